"""Changing a motion's frame rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from laban.errors import LabanError
from models.motion import Motion

_ON_FRAME = 1e-6  # a sample this near a source frame (in frames) takes that frame bit for bit


def resample(motion: Motion, fps: float) -> Motion:
    """`motion` at `fps` frames a second, from its first frame to the last sample not after its last frame.

    Rotations are interpolated by slerp, root positions by a cubic spline through all frames; a sample that falls on a
    source frame is that frame exactly, so equal rates return `motion` itself. There is no low-pass filter.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise LabanError(f"fps is {fps}; expected a positive number")
    if fps == motion.fps:
        return motion
    count = int(np.floor((motion.frames - 1) * fps / motion.fps + _ON_FRAME)) + 1
    position = np.minimum(np.arange(count) * (motion.fps / fps), motion.frames - 1)
    nearest = np.rint(position)
    position = np.where(np.abs(position - nearest) < _ON_FRAME, nearest, position)
    start = np.minimum(position.astype(np.int64), motion.frames - 1)
    fraction = position - start
    return replace(motion, rotations=_rotations_at(motion.rotations, start, fraction),
                   root=_root_at(motion.root, position, start), fps=float(fps))  # fmt: skip


def _rotations_at(
    rotations: Float[ndarray, "actors frames 55 3 3"], start: Int[ndarray, " count"], fraction: Float[ndarray, " count"]
) -> Float[ndarray, "actors count 55 3 3"]:
    import torch

    from models.rotations import matrix_to_quaternion, quaternion_to_matrix, slerp

    result = rotations[:, start]
    between = fraction > 0
    if between.any():
        quaternions = matrix_to_quaternion(torch.from_numpy(np.ascontiguousarray(rotations, np.float64)))
        first, weight = torch.from_numpy(start[between]), torch.from_numpy(fraction[between])
        mixed = slerp(quaternions[:, first], quaternions[:, first + 1], weight[:, None])
        result[:, between] = quaternion_to_matrix(mixed).numpy()
    return result


def _root_at(
    root: Float[ndarray, "actors frames 3"], position: Float[ndarray, " count"], start: Int[ndarray, " count"]
) -> Float[ndarray, "actors count 3"]:
    from scipy.interpolate import CubicSpline

    result = root[:, start]
    between = position > start
    if between.any():
        spline = CubicSpline(np.arange(root.shape[1]), root.astype(np.float64), axis=1)
        result[:, between] = spline(position[between])
    return result
