"""Regions of a clip: what the frozen encoder of motion says of the body and of each part, or of pieces of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from models.motion_text.encoder import MotionTextEncoder, windowed
from models.representation.joints import LAYOUT

BODY = ("whole body", "left arm", "right arm", "arms", "legs", "trunk", "way")
"""Regions of a pose, in the order of their rows."""
_MADE_OF = {"left arm": ("left arm",), "right arm": ("right arm",), "arms": ("left arm", "right arm"),
            "legs": ("legs",), "trunk": ("spine", "head")}  # fmt: skip
PIECES = ("whole clip", "first third", "middle third", "last third")
"""Regions of feature rows."""


def body_columns(region: str) -> list[int]:
    """The columns of joint features that a region is told by; its way over the floor is told by the root and pelvis."""
    if region == "whole body":
        return list(range(LAYOUT.features))
    if region == "way":
        return [*LAYOUT.root, *range(67, 70)]
    return sorted({column for part in _MADE_OF[region] for column in LAYOUT.parts[part]})


def body_regions(
    encoder: MotionTextEncoder, clips: Sequence[Float[ndarray, "_ 133"]], *, batch: int = 32
) -> Float32[ndarray, "clips 7 width"]:
    """Unit vectors of every clip's regions (`BODY`), on the sphere of the encoder's text; the whole body comes first.

    A part is read with all other columns at the mean of the encoder's training motions.
    """
    mean = encoder.network.motion.normalise.mean.numpy()

    def read(region: str) -> Float[ndarray, "clips width"]:
        columns = body_columns(region)
        hidden = []
        for clip in clips:
            seen = np.broadcast_to(mean, clip.shape).copy()
            seen[:, columns] = clip[:, columns]
            hidden.append(seen)
        return windowed(hidden, lambda windows: encoder.read(windows, batch).embedding.numpy())

    rows = np.stack([read(region) for region in BODY], 1)
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def row_regions(rows: Float[ndarray, "rows width"]) -> Float32[ndarray, "4 width"]:
    """Unit vectors of a clip's feature rows (`PIECES`): their mean, and those of its thirds."""
    parts = [rows, *(rows[first:last] for first, last in _thirds(len(rows)))]
    means = np.stack([part.mean(0) for part in parts])
    return (means / np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def _thirds(count: int) -> list[tuple[int, int]]:
    edges = [round(count * part / 3) for part in range(4)]
    return [(min(a, count - 1), max(b, min(a, count - 1) + 1)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
