"""Small batched geometry in numpy: unit vectors, the shortest turn between two directions, frames from two axes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

_VAGUE = 1e-5  # sine of the angle below which two axes are taken to be one


def unit(vector: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 3"]:
    """The vector at length one; a zero vector stays zero."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def turn(matrix: Float[ndarray, "*#batch 3 3"], vector: Float[ndarray, "*#batch 3"]) -> Float[ndarray, "*batch 3"]:
    """`matrix @ vector`, broadcast over the batch."""
    return (matrix @ vector[..., None])[..., 0]


def cross_matrix(vector: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 3 3"]:
    """The skew-symmetric matrix K with `K @ x = vector × x`."""
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)


def swing(start: Float[ndarray, "*#batch 3"], end: Float[ndarray, "*#batch 3"]) -> Float[ndarray, "*batch 3 3"]:
    """Shortest rotation that takes unit vector `start` to unit vector `end` (Rodrigues' formula).

    For opposite vectors, where no turn is shortest, a half turn about an axis perpendicular to `start`.
    """
    start, end = np.broadcast_arrays(start, end)
    cosine = (start * end).sum(-1)[..., None, None]
    skew = cross_matrix(np.cross(start, end))
    result = np.eye(3, dtype=start.dtype) + skew + skew @ skew / np.maximum(1 + cosine, 1e-6)
    opposite = cosine[..., 0, 0] < -1 + 1e-5
    if opposite.any():
        axis = unit(np.cross(start, np.eye(3, dtype=start.dtype)[np.abs(start).argmin(-1)]))
        half = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3, dtype=start.dtype)
        result = np.where(opposite[..., None, None], half, result)
    return result


def frame(main: Float[ndarray, "*#batch 3"], side: Float[ndarray, "*#batch 3"]) -> Float[ndarray, "*batch 3 3"]:
    """Rotation whose second column is `main` and whose first is as near to `side` as can be.

    A rotation in any case: a `main` of no length is taken to be up, and a `side` of no length or along `main` is
    replaced by the axis that is farthest from `main`.
    """
    main, side = np.broadcast_arrays(main, side)
    axes = np.eye(3, dtype=main.dtype)
    y = unit(main)
    y = np.where(np.linalg.norm(y, axis=-1, keepdims=True) > 0.5, y, axes[1])
    z = np.cross(unit(side), y)
    vague = np.linalg.norm(z, axis=-1, keepdims=True) < _VAGUE
    if vague.any():
        z = np.where(vague, np.cross(axes[np.abs(y).argmin(-1)], y), z)
    z = unit(z)
    return np.stack([np.cross(y, z), y, z], axis=-1)


def held(
    vector: Float[ndarray, "frames 3"], otherwise: Float[ndarray, "frames 3"], least: float = 1e-4
) -> Float[ndarray, "frames 3"]:
    """Unit vectors; one shorter than `least` takes the direction of the nearest frame that is not, or `otherwise`."""
    good = np.flatnonzero(np.linalg.norm(vector, axis=-1) > least)
    if not len(good):
        return unit(otherwise)
    if len(good) == len(vector):
        return unit(vector)
    frames = np.arange(len(vector))
    after = np.searchsorted(good, frames).clip(0, len(good) - 1)
    before = (after - 1).clip(0)
    nearer = np.where(np.abs(good[before] - frames) < np.abs(good[after] - frames), before, after)
    return unit(vector[good[nearer]])


def mean_rotation(total: Float[ndarray, "*batch 3 3"]) -> Float[ndarray, "*batch 3 3"]:
    """Rotation nearest to a (weighted) sum of rotations: their chordal mean, by singular values."""
    left, _, right = np.linalg.svd(total.astype(np.float64))
    sign = np.linalg.det(left @ right)
    left[..., :, 2] *= np.atleast_1d(sign).reshape(sign.shape)[..., None]
    return left @ right


def rotation_angle(matrix: Float[ndarray, "*batch 3 3"]) -> Float[ndarray, "*batch"]:
    """Angle of each rotation in radians, accurate for small angles too."""
    antisymmetric = matrix - np.swapaxes(matrix, -1, -2)
    sine = np.linalg.norm(antisymmetric, axis=(-1, -2)) / (2 * np.sqrt(2))
    return np.arctan2(sine, (np.trace(matrix, axis1=-2, axis2=-1) - 1) / 2)


def axis_rotation(axis: Float[ndarray, "*#batch 3"], angle: Float[ndarray, "*#batch"]) -> Float[ndarray, "*batch 3 3"]:
    """Rotation about a unit axis by `angle` radians (Rodrigues' formula)."""
    skew = cross_matrix(np.asarray(axis))
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3, dtype=skew.dtype) + sine * skew + (1 - cosine) * (skew @ skew)
