"""Rotation vectors as files store them, to matrices and back, in numpy and double precision."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def to_matrices(vectors: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 3 3"]:
    """Float32 matrices of rotation vectors in radians."""
    import torch

    from models.rotations import axis_angle_to_matrix

    return axis_angle_to_matrix(torch.from_numpy(vectors.astype(np.float64))).numpy().astype(np.float32)


def to_vectors(rotations: Float[ndarray, "*batch 3 3"]) -> Float[ndarray, "*batch 3"]:
    """Rotation vectors in radians of matrices."""
    import torch

    from models.rotations import matrix_to_axis_angle

    return matrix_to_axis_angle(torch.from_numpy(rotations.astype(np.float64))).numpy()
