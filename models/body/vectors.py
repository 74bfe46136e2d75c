"""Small batched geometry in numpy: unit vectors, the shortest turn between two directions, frames from two axes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray


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
    """Rotation whose second column is `main` and whose first is as near to `side` as can be."""
    y = unit(main)
    z = unit(np.cross(side, y))
    return np.stack([np.cross(y, z), y, z], axis=-1)


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
