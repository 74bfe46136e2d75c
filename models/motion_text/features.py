"""From a `Motion` to the joint features that motion encoders read."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.kinematics import forward_kinematics
from models.body.model import BodyModel, load_body
from models.body.skeleton import NUM_BODY
from models.motion import Motion
from models.representation import joints as joint_features
from models.resample import resample


def joints_of(
    motion: Motion, *, fps: float = joint_features.FPS, body: BodyModel | None = None
) -> Float[ndarray, "actors frames 22 3"]:
    """World positions of the 22 body joints, metres, resampled to `fps`; on the open body unless another is given."""
    motion = resample(motion, fps)
    with torch.no_grad():
        rest = (body or load_body()).rest_joints(torch.as_tensor(motion.betas, dtype=torch.float32))[:, None, :NUM_BODY]
        turns = torch.as_tensor(motion.rotations[:, :, :NUM_BODY], dtype=torch.float32)
        places, _ = forward_kinematics(turns, rest, torch.as_tensor(motion.root, dtype=torch.float32))
    return places.numpy()


def features_of(motion: Motion, *, body: BodyModel | None = None) -> list[Float[ndarray, "frames 133"]]:
    """Joint features at 20 fps of every actor (`models.representation.joints`)."""
    return [joint_features.encode(joints.astype(np.float64)) for joints in joints_of(motion, body=body)]
