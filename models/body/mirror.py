"""Mirroring a motion: left becomes right, across the plane x = 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.skeleton import MIRROR

_FLIP = np.array([-1.0, 1.0, 1.0], np.float32)


def mirror_rotations(
    rotations: Float[ndarray, "*batch joints 3 3"], root: Float[ndarray, "*batch 3"]
) -> tuple[Float[ndarray, "*batch joints 3 3"], Float[ndarray, "*batch 3"]]:
    """Local rotations and root as seen in a mirror at x = 0, on a body whose rest pose is symmetric about that plane.

    The reflection S = diag(-1, 1, 1) turns a rotation R into S R S; each joint takes that of its partner on the other
    side. Works for the first 22 joints and for all 55; twice is the identity.
    """
    partner = list(MIRROR[: rotations.shape[-3]])
    turned = rotations[..., partner, :, :] * (_FLIP[:, None] * _FLIP).astype(rotations.dtype)
    return turned, root * _FLIP.astype(root.dtype)
