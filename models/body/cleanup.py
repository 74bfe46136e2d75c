"""Clean-up: no tremble from frame to frame, and planted feet that stay where they are.

Foot lock as is usual for captured and generated motion (Kovar, Schreiner and Gleicher, "Footskate cleanup for motion
capture editing", SCA 2002): find when a foot is on the floor, hold it there by inverse kinematics of the leg, and
spread the correction smoothly over the time in which it is in the air.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from models.body.limbs import LEGS, REACH, Pose, bend, limb_length, pose_of
from models.body.model import BodyModel, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.body.vectors import mean_rotation
from models.motion import Motion
from models.objectives import CONTACT_HEIGHTS, floor_height

TREMBLE = 0.0225
"""Seconds: standard deviation of the filter that takes out what a generator gets wrong from frame to frame."""
PLANTED_SPEED = 0.45
"""Metres a second: a low foot that moves more slowly was meant to stand (a foot in the air passes 1 m/s)."""
SHORTEST = 0.1
"""Seconds that a foot stands at least."""
FARTHEST = 0.12
"""Metres that a foot is moved at most; what slides farther was meant to, in part."""
FOLLOW = 0.15
"""Seconds (standard deviation) over which the pelvis follows what both feet are moved by."""
TOES: tuple[int, int] = (JOINT["left_foot"], JOINT["right_foot"])


def clean_up(motion: Motion, body: BodyModel | None = None, *, follow: bool = True) -> Motion:
    """The motion without tremble, with locked feet (`lock_feet`): for what a network made."""
    return lock_feet(steadied(motion), body, follow=follow)


def steadied(motion: Motion, seconds: float = TREMBLE) -> Motion:
    """The motion through a Gaussian filter of `seconds` (standard deviation): body rotations and root."""
    sigma, rotations = seconds * motion.fps, motion.rotations.copy()
    total = gaussian_filter1d(rotations[:, :, :NUM_BODY].astype(np.float64), sigma, axis=1, mode="nearest")
    rotations[:, :, :NUM_BODY] = mean_rotation(total)
    root = gaussian_filter1d(motion.root.astype(np.float64), sigma, axis=1, mode="nearest")
    return replace(motion, rotations=rotations, root=root.astype(motion.root.dtype))


def lock_feet(motion: Motion, body: BodyModel | None = None, *, follow: bool = True) -> Motion:
    """The motion with feet that stand still while they are on the floor.

    Feet move horizontally only, by at most `FARTHEST`; they keep their global rotation. Knees bend as they did, the
    pelvis follows what both feet have in common, unless `follow` is False because its place is prescribed, and is
    lowered where a leg would be too short.
    """
    body = body or load_body()
    rest = body.rest_joints(torch.from_numpy(np.asarray(motion.betas, np.float32)))[:, :NUM_BODY].double()
    rotations, root = motion.rotations.copy(), motion.root.copy()
    for actor in range(motion.actors):
        rotations[actor], root[actor] = _lock(rotations[actor], root[actor], rest[actor], motion.fps, follow)
    return replace(motion, rotations=rotations, root=root)


def planted(
    ankle: Float[ndarray, "frames 3"], toe: Float[ndarray, "frames 3"], level: float, fps: float
) -> Bool[ndarray, "2 steps"]:
    """Whether ankle and toe stand from each frame to the next: low, slow, and for long enough."""
    result = []
    for joint, height in zip((ankle, toe), CONTACT_HEIGHTS[:2], strict=True):
        low = np.maximum(joint[1:, 1], joint[:-1, 1]) - level < height
        speed = np.linalg.norm(np.diff(joint[:, [0, 2]], axis=0), axis=-1) * fps
        result.append(_long_enough(low & (speed < PLANTED_SPEED), round(SHORTEST * fps)))
    return np.stack(result)


def corrections(
    ankle: Float[ndarray, "frames 3"], toe: Float[ndarray, "frames 3"], level: float, fps: float
) -> Float[ndarray, "frames 2"]:
    """Where one foot has to go (x, z) so that it stands still while it is planted; smooth in between.

    The toe is what stands while it is down, the ankle while only the heel is. Over each stay the mean correction is
    nothing, so that the foot goes as little out of its way as can be.
    """
    heel, ball = planted(ankle, toe, level, fps)
    drift = np.where(ball[:, None], np.diff(toe[:, [0, 2]], axis=0), np.diff(ankle[:, [0, 2]], axis=0))
    result, known = np.zeros((len(toe), 2)), np.zeros(len(toe), bool)
    for start, stop in stretches(heel | ball):
        result[start : stop + 1], known[start : stop + 1] = undone(drift[start:stop]), True
    return bridged(result, known)


def undone(drift: Float[ndarray, "steps 2"]) -> Float[ndarray, "frames 2"]:
    """What has to be added, in the mean nothing, so that what drifts so stands still; at most `FARTHEST`."""
    path = np.concatenate([np.zeros((1, 2)), -np.cumsum(drift, axis=0)])
    path -= path.mean(0)
    return np.asarray(path * min(1.0, FARTHEST / max(float(np.abs(path).max()), 1e-9)))


def _lock(
    rotations: Float[ndarray, "frames 55 3 3"], root: Float[ndarray, "frames 3"], rest: torch.Tensor, fps: float,
    follow: bool,
) -> tuple[Float[ndarray, "frames 55 3 3"], Float[ndarray, "frames 3"]]:  # fmt: skip
    pose = pose_of(rotations, root, rest)
    level = float(floor_height(torch.from_numpy(pose.places)))
    moves = np.zeros((2, len(root), 3))
    for move, leg, toe in zip(moves, LEGS, TOES, strict=True):
        move[:, [0, 2]] = corrections(pose.places[:, leg.end], pose.places[:, toe], level, fps)
    if not moves.any():
        return rotations, root
    shift = gaussian_filter1d(moves.mean(0), FOLLOW * fps, axis=0, mode="nearest") if follow else np.zeros_like(root)
    shift[:, 1] = -lowering(pose, moves - shift, fps)
    rotations = rotations.astype(np.float64)
    for move, leg in zip(moves, LEGS, strict=True):
        bend(rotations, pose, leg, shift, move)
    return rotations.astype(np.float32), (root + shift).astype(np.float32)


def lowering(pose: Pose, moves: Float[ndarray, "2 frames 3"], fps: float) -> Float[ndarray, " frames"]:
    """How far the hips have to come down for both feet to be in reach, metres."""
    need = np.zeros(len(pose.places))
    for move, leg in zip(moves, LEGS, strict=True):
        way = pose.places[:, leg.end] + move - pose.places[:, leg.start]
        before = np.linalg.norm(pose.places[:, leg.end] - pose.places[:, leg.start], axis=-1)
        most = np.maximum(REACH * limb_length(pose, leg), before)
        across = np.linalg.norm(way[:, [0, 2]], axis=-1)
        deepest = np.sqrt(np.maximum(most**2 - across**2, 0.0))
        need = np.maximum(need, np.where(across < most, -way[:, 1] - deepest, 0.0))
    size = 2 * round(FOLLOW * fps) + 1
    return gaussian_filter1d(maximum_filter1d(np.clip(need, 0.0, 0.1), size), FOLLOW * fps / 2, mode="nearest")


def stretches(steps: Bool[ndarray, " steps"]) -> list[tuple[int, int]]:
    """First step and one past the last of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], steps, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _long_enough(steps: Bool[ndarray, " steps"], least: int) -> Bool[ndarray, " steps"]:
    kept = np.zeros_like(steps)
    for start, stop in stretches(steps):
        kept[start:stop] = stop - start >= least
    return kept


def bridged(values: Float[ndarray, "frames d"], known: Bool[ndarray, " frames"]) -> Float[ndarray, "frames d"]:
    """Between known stretches from the end of one to the start of the next, eased; held before and after."""
    places = np.flatnonzero(known)
    if not len(places):
        return values
    frames = np.arange(len(values))
    after = places[np.searchsorted(places, frames).clip(0, len(places) - 1)]
    before = places[(np.searchsorted(places, frames, side="right") - 1).clip(0)]
    share = np.clip((frames - before) / np.maximum(after - before, 1), 0.0, 1.0)[:, None]
    share = share * share * (3 - 2 * share)
    return values[before] * (1 - share) + values[after] * share
