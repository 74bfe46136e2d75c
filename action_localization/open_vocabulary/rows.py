"""Text-aligned rows of body motion: the motion-text encoder over sliding windows, comparable with its sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features
from models.motion_text.encoder import LONGEST, MotionTextEncoder, load_motion_text
from models.representation import joints as joint_columns

EXTRACTOR = "motion_text"
"""Followed by the window lengths in the name of the rows: rows of other windows are other features."""
_AT_ONCE = 1024
"""Windows that are read in one go, so that an hour of motion needs no more memory than a minute."""
_SHORTEST = 4
"""Frames of the shortest window the encoder reads."""


@dataclass(frozen=True)
class RowConfig:
    """Where rows lie: one every `stride` frames at 20 fps, of windows of `windows` frames about the row's middle.

    With several lengths a row is the direction of the mean of their unit vectors. Windows are cut at the ends. The two
    lengths name 51 % of the rows of validation streams rightly among 28 classes; single ones 42 to 49 %.
    """

    stride: int = 4
    windows: tuple[int, ...] = (24, 48)

    def __post_init__(self) -> None:
        if self.stride < 1 or not self.windows or not all(_SHORTEST <= one <= LONGEST for one in self.windows):
            raise LabanError(f"rows: stride {self.stride}, windows {self.windows}; accepted: a stride from 1, and "
                             f"windows of {_SHORTEST} to {LONGEST} frames")  # fmt: skip


def text_rows(
    joints: Float[ndarray, "frames 22 3"], *, config: RowConfig | None = None,
    encoder: MotionTextEncoder | str | Path = "motion_text",
) -> Features:  # fmt: skip
    """Unit rows of a person's 22 joints at 20 fps (metres, Y up, floor at 0); dot products with sentences compare.

    LabanError for no frames or a joint that is not finite.
    """
    if joints.ndim != 3 or not len(joints):
        raise LabanError(f"joints: found shape {joints.shape}; accepted: (frames, 22, 3), at least one frame")
    bad = np.flatnonzero(~np.isfinite(joints).all((1, 2)))
    if len(bad):
        raise LabanError(f"joints: {len(bad)} of {len(joints)} frames hold NaN or infinity, first {bad[0]}")
    return rows_of_columns(joint_columns.encode(joints.astype(np.float64)), config=config, encoder=encoder)


def rows_of_columns(
    columns: Float[ndarray, "frames 133"], *, config: RowConfig | None = None,
    encoder: MotionTextEncoder | str | Path = "motion_text",
) -> Features:  # fmt: skip
    """The same from joint columns (`models.representation.joints`), the first 133 of the pose extractors' rows."""
    config = config or RowConfig()
    own = encoder if isinstance(encoder, MotionTextEncoder) else load_motion_text(encoder)
    frames = len(columns)
    count = -(-frames // config.stride)
    total = np.zeros((count, 0), np.float32)
    for window in config.windows:
        read = _read(own, columns, _windows(frames, count, config.stride, window))
        total = read if not total.shape[1] else total + read
    rows = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    grid = FrameGrid(joint_columns.FPS, count, stride=config.stride, window=config.stride)
    return Features(rows.astype(np.float32), grid, f"{EXTRACTOR}/{'+'.join(map(str, config.windows))}")


def _windows(frames: int, count: int, stride: int, window: int) -> list[tuple[int, int]]:
    """(first, last) frame of the window about every row's middle, cut at the ends."""
    middles = [index * stride + stride // 2 for index in range(count)]
    spans = [(max(0, m - window // 2), min(frames, m - window // 2 + window)) for m in middles]
    return [(min(first, frames - 1), max(last, min(first, frames - 1) + 1)) for first, last in spans]


def _read(
    encoder: MotionTextEncoder, columns: Float[ndarray, "frames 133"], spans: list[tuple[int, int]]
) -> Float32[ndarray, "rows dim"]:
    parts = []
    for first in range(0, len(spans), _AT_ONCE):
        windows = [columns[a:b] for a, b in spans[first : first + _AT_ONCE]]
        parts.append(encoder.read(windows, 128).embedding.numpy())
    return np.concatenate(parts)
