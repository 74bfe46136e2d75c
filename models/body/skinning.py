"""Linear blend skinning with pose correctives (SMPL-X, Pavlakos et al., CVPR 2019): plain torch, differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.model import BodyModel


@dataclass(frozen=True)
class BodyOutput:
    """Posed bodies: vertices and joints in metres, and the joints' global rotations."""

    vertices: Float[Tensor, "batch vertices 3"]
    joints: Float[Tensor, "batch 55 3"]
    rotations: Float[Tensor, "batch 55 3 3"]


def skin(
    body: BodyModel,
    rotations: Float[Tensor, "batch 55 3 3"],
    root: Float[Tensor, "batch 3"],
    betas: Float[Tensor, "#batch shape"] | None = None,
    *,
    expression: Float[Tensor, "#batch expressions"] | None = None,
) -> BodyOutput:
    """Pose bodies by local joint rotations; `root` is SMPL-X `transl`, so the pelvis is at `root + J0(betas)`."""
    shaped = body.v_template[None]
    rest = body.rest_joints(betas)
    if betas is not None:
        count = min(betas.shape[-1], body.shapedirs.shape[-1])
        shaped = shaped + torch.einsum("bk,vdk->bvd", betas[:, :count], body.shapedirs[..., :count])
    if expression is not None:
        count = min(expression.shape[-1], body.exprdirs.shape[-1])
        shaped = shaped + torch.einsum("bk,vdk->bvd", expression[:, :count], body.exprdirs[..., :count])
        rest = rest + torch.einsum("bk,jdk->bjd", expression[:, :count], body.joint_exprdirs[..., :count])
    if body.posedirs is not None:
        feature = (rotations[:, 1:] - torch.eye(3).to(rotations)).flatten(1)
        shaped = shaped + torch.einsum("bk,vdk->bvd", feature, body.posedirs)
    joints, turns = forward_kinematics(rotations, rest, root, body.parents)
    shift = joints - (turns @ rest[..., None])[..., 0]
    blended = torch.einsum("vj,bjx->bvx", body.weights, torch.cat([turns, shift[..., None]], dim=-1).flatten(2))
    blended = blended.unflatten(-1, (3, 4))
    vertices = (blended[..., :3] @ shaped[..., None])[..., 0] + blended[..., 3]
    return BodyOutput(vertices, joints, turns)
