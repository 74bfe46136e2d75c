"""Forward kinematics of a joint tree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.skeleton import PARENTS


def forward_kinematics(
    rotations: Float[Tensor, "*batch joints 3 3"],
    rest_joints: Float[Tensor, "*#batch joints 3"],
    root: Float[Tensor, "*#batch 3"],
    parents: Sequence[int] = PARENTS,
) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints 3 3"]]:
    """Joint positions in metres and global rotations of local rotations.

    The root joint ends at `root + rest_joints[0]` (SMPL-X `transl`). `parents[j] < j`, -1 for the root; more entries
    than joints are ignored, so the 55-joint tree serves the first 22 joints too. Joints of equal depth go through one
    batched product each.
    """
    count = rotations.shape[-3]
    parents = tuple(parents)[:count]
    rest_joints = rest_joints.expand(*rotations.shape[:-3], count, 3)
    turns: list[Tensor] = [rotations[..., 0, :, :]]
    places: list[Tensor] = [root + rest_joints[..., 0, :]]
    for joint in range(1, count):
        parent = parents[joint]
        bone = rest_joints[..., joint, :] - rest_joints[..., parent, :]
        places.append(places[parent] + (turns[parent] @ bone[..., None])[..., 0])
        turns.append(turns[parent] @ rotations[..., joint, :, :])
    return torch.stack(torch.broadcast_tensors(*places), dim=-2), torch.stack(turns, dim=-3)
