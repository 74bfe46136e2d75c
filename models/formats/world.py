"""Which way is up, and where the pelvis is: turning the world of SMPL-type root motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

if TYPE_CHECKING:
    from models.body.model import BodyModel

Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""(x, y, z) with Z up and -Y forward, as in AMASS, to (x, z, -y): Y up, +Z forward."""


def rest_joints(betas: Float[ndarray, "actors shape"], body: BodyModel | None) -> Float[ndarray, "actors 55 3"]:
    """Rest joints in metres of the given body (None: the default one) with the shapes `betas`."""
    import torch

    from models.body.model import load_body

    values = torch.from_numpy(np.ascontiguousarray(betas, np.float32))
    return (body or load_body()).rest_joints(values).numpy().astype(np.float64)


def turn_world(
    rotations: Float[ndarray, "actors frames 55 3 3"],
    root: Float[ndarray, "actors frames 3"],
    pelvis: Float[ndarray, "actors 3"],
    turn: Float[ndarray, "3 3"],
) -> tuple[Float[ndarray, "actors frames 55 3 3"], Float[ndarray, "actors frames 3"]]:
    """Rotate the world about its origin by `turn`.

    SMPL's translation does not place the pelvis: the pelvis is at `root + J0`, where J0 (`pelvis`) is the rest
    pelvis. So `root' = turn (root + J0) - J0`, and the pelvis rotation is multiplied from the left.
    """
    turned = rotations.copy()
    turned[:, :, 0] = (turn @ rotations[:, :, 0].astype(np.float64)).astype(rotations.dtype)
    offset = pelvis[:, None]
    return turned, (root.astype(np.float64) + offset) @ turn.T - offset
