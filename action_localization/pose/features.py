"""What the detector sees of a person: one row for every two frames at 20 fps, the same for motion files and video.

It is a function of the columns that `laban extract VIDEO --encoder pose_confidence` writes: 133 joint columns
(`models.representation.joints`), the confidence of 22 joints, and whether the person was seen at all.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.body.skeleton import NUM_BODY
from models.features import Features
from models.representation import joints as joint_columns

FPS = joint_columns.FPS
POOL = 2
"""Frames in an entry: positions are averaged over them, velocities are kept one by one."""
EXTRACTOR = "pose_confidence/2"
ROW = 133 + NUM_BODY + 1
WIDTH = 1 + 63 + 3 + 1 + POOL * 63 + NUM_BODY + 1
"""Columns: height, joints about the pelvis, its velocity, yaw rate, joint velocities of either frame, confidences."""

_HEIGHT, _REACH, _PACE, _YAW, _SPEED, _LIMIT = 0.9, 0.3, 1.0, 2.0, 1.5, 4.0


def pose_rows(
    joints: Float[ndarray, "frames 22 3"], confidence: Float[ndarray, "frames 22"], observed: Bool[ndarray, " frames"]
) -> Float32[ndarray, "frames 156"]:
    """The columns of the `pose_confidence` extractor for one person at 20 fps; joints in metres, Y up, floor at 0."""
    rows = np.empty((len(joints), ROW), np.float32)
    rows[:, :133] = joint_columns.encode(joints.astype(np.float64))
    rows[:, 133:155] = confidence * observed[:, None]
    rows[:, 155] = observed
    return rows


def pooled(rows: Float32[ndarray, "frames 156"]) -> Float32[ndarray, "entries 217"]:
    """Rows of the `pose_confidence` extractor to the detector's entries; an odd last frame counts twice.

    Joint velocities are relative to the pelvis and everything is brought to about unit size; what no body does is cut.
    """
    if len(rows) % POOL:
        rows = np.concatenate([rows, rows[-1:]])
    mean = rows.reshape(-1, POOL, ROW).mean(1)
    speed = rows[:, 67:133].reshape(-1, NUM_BODY, 3)
    around = (speed[:, 1:] - speed[:, :1]).reshape(-1, POOL * 63) / _SPEED
    travel = np.stack([mean[:, 1], mean[:, 68], mean[:, 2]], 1) / _PACE
    columns = [(mean[:, :1] - _HEIGHT) / _REACH, mean[:, 4:67] / _REACH, travel, mean[:, 3:4] / _YAW, around,
               mean[:, 133:155], mean[:, 155:156]]  # fmt: skip
    return np.concatenate(columns, 1).clip(-_LIMIT, _LIMIT).astype(np.float32)


def entry_grid(frames: int) -> FrameGrid:
    """Where the entries of so many frames at 20 fps lie in time."""
    return FrameGrid(FPS, -(-frames // POOL), stride=POOL, window=POOL)


def person_features(
    joints: Float[ndarray, "frames 22 3"], confidence: Float[ndarray, "frames 22"], observed: Bool[ndarray, " frames"],
    fps: float,
) -> Features:  # fmt: skip
    """The detector's features of one person; another frame rate is brought to 20 fps by straight lines.

    LabanError for no frames or numbers that are not finite.
    """
    if not len(joints):
        raise LabanError("pose: has no frames")
    if not (np.isfinite(joints).all() and np.isfinite(confidence).all()):
        raise LabanError("pose: joints or confidences hold NaN or infinity")
    if fps != FPS:
        joints, confidence, observed = _resampled(joints, confidence, observed, fps)
    return Features(pooled(pose_rows(joints, confidence, observed)), entry_grid(len(joints)), EXTRACTOR)


def extracted_features(features: Features) -> Features:
    """The detector's features from those of the `pose_confidence` extractor; LabanError for anything else."""
    grid = features.grid
    if features.width != ROW or (grid.fps, grid.stride, grid.window, grid.offset) != (FPS, 1, 1, 0):
        raise LabanError(
            f"features are {features.width} wide by {features.extractor}; accepted: those of the pose_confidence "
            f"extractor, {ROW} wide at {FPS:g} fps"
        )
    return Features(pooled(features.values), entry_grid(grid.frames), EXTRACTOR)


def _resampled(
    joints: Float[ndarray, "frames 22 3"], confidence: Float[ndarray, "frames 22"], observed: Bool[ndarray, " frames"],
    fps: float,
) -> tuple[Float[ndarray, "new 22 3"], Float[ndarray, "new 22"], Bool[ndarray, " new"]]:  # fmt: skip
    count = FrameGrid.lasting(len(joints) / fps, FPS).frames
    place = (np.arange(count) * fps / FPS).clip(0, len(joints) - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(joints) - 1)
    share = place - low
    at = np.where(share < 0.5, low, high)
    moved = joints[low] * (1 - share)[:, None, None] + joints[high] * share[:, None, None]
    seen = confidence[low] * (1 - share)[:, None] + confidence[high] * share[:, None]
    return moved, seen, observed[at]
