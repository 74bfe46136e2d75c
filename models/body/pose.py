"""Joint positions of a motion."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.kinematics import forward_kinematics
from models.body.model import BodyModel, load_body
from models.body.skeleton import NUM_BODY
from models.motion import Motion


def motion_joints(
    motion: Motion, body: BodyModel | None = None, joints: int = NUM_BODY
) -> Float[ndarray, "actors frames joints 3"]:
    """World positions in metres of the first `joints` joints of each actor, on `body` with the motion's own shape."""
    body = body or load_body()
    rest = body.rest_joints(torch.from_numpy(np.asarray(motion.betas, np.float32)))[:, None, :joints]
    rotations = torch.from_numpy(np.asarray(motion.rotations[:, :, :joints], np.float32))
    places, _ = forward_kinematics(rotations, rest, torch.from_numpy(np.asarray(motion.root, np.float32)))
    return places.numpy()
