"""The 205-column layout of STMC's SMPL-RIFKE (Petrovich et al. 2024), Y up, on the SMPL-X skeleton.

Columns: pelvis height, planar displacement and yaw step per frame in the heading frame, 22 local rotations in 6D with
the yaw taken out of the pelvis, and 23 joint positions (21 body joints and the two middle knuckles in place of SMPL's
hands), relative to the pelvis and turned into the heading frame.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from models.body.skeleton import NUM_BODY, PARENTS, PARTS
from models.representation.heading import increments, integrate, pelvis_heading, turn
from models.representation.layout import Layout
from models.rotations import matrix_to_6d, sixd_to_matrix, yaw_rotation

POSITION_JOINTS: tuple[int, ...] = (*range(1, 22), 28, 43)
_CHAIN = (*range(22), 28, 43)
_CHAIN_PARENTS = (*PARENTS[:22], 20, 21)


def _part_columns(part: str) -> tuple[int, ...]:
    joints = PARTS[part]
    rotations = [4 + 6 * j + k for j in joints if j < NUM_BODY for k in range(6)]
    positions = [136 + 3 * POSITION_JOINTS.index(j) + k for j in joints if j in POSITION_JOINTS for k in range(3)]
    return (*(range(4) if part == "legs" else ()), *rotations, *positions)


LAYOUT = Layout(
    name="rifke205", fps=20.0,
    groups={"height": slice(0, 1), "planar": slice(1, 3), "yaw": slice(3, 4), "rotations": slice(4, 136),
            "positions": slice(136, 205)},
    parts={part: _part_columns(part) for part in PARTS}, root=(0, 1, 2, 3), sixd="columns",
    frame="Y up, floor at 0; first frame at x = z = 0 with heading 0 (facing +Z)",
)  # fmt: skip


def encode(
    rotations: Float[ndarray, "frames joints 3 3"], root: Float[ndarray, "frames 3"], rest: Float[ndarray, "55 3"]
) -> Float[ndarray, "frames 205"]:
    """One actor's clip at 20 fps: local rotations (22 or 55 joints), SMPL-X transl and rest joints, in metres."""
    yaw = pelvis_heading(rotations[:, 0])
    pelvis = root + rest[0]
    rate, planar = increments(yaw, pelvis)
    local = torch.as_tensor(rotations[:, :NUM_BODY], dtype=torch.float64)
    local = torch.cat([(yaw_rotation(torch.as_tensor(-yaw)) @ local[:, 0])[:, None], local[:, 1:]], 1)
    positions = local_positions(local, torch.as_tensor(rest, dtype=torch.float64))
    columns = [pelvis[:, 1:2], planar, rate[:, None], matrix_to_6d(local).flatten(1).numpy(),
               positions.flatten(1).numpy()]  # fmt: skip
    return np.concatenate(columns, -1).astype(np.float32)


def decode(
    features: Float[Tensor, "*batch frames 205"], rest: Float[Tensor, "55 3"]
) -> tuple[Float[Tensor, "*batch frames 22 3 3"], Float[Tensor, "*batch frames 3"]]:
    """(local rotations, SMPL-X transl) in the canonical frame; differentiable. The position columns are not used."""
    local = heading_rotations(features)
    yaw, planar = integrate(features[..., 3], features[..., 1:3])
    pelvis = torch.stack([planar[..., 0], features[..., 0], planar[..., 1]], -1)
    turned = (yaw_rotation(yaw) @ local[..., 0, :, :])[..., None, :, :]
    return torch.cat([turned, local[..., 1:, :, :]], -3), pelvis - rest[0].to(pelvis)


def heading_rotations(features: Float[Tensor, "*batch frames 205"]) -> Float[Tensor, "*batch frames 22 3 3"]:
    """Local rotations as stored: the pelvis without its yaw."""
    return sixd_to_matrix(features[..., 4:136].unflatten(-1, (NUM_BODY, 6)))


def local_positions(
    rotations: Float[Tensor, "*batch 22 3 3"], rest: Float[Tensor, "55 3"]
) -> Float[Tensor, "*batch 23 3"]:
    """Forward kinematics: positions of `POSITION_JOINTS` relative to the pelvis, given rotations without yaw."""
    rest = rest.to(rotations)
    placed, oriented = [torch.zeros_like(rotations[..., 0, :, 0])], [rotations[..., 0, :, :]]
    for i, parent in enumerate(_CHAIN_PARENTS[1:], 1):
        offset = rest[_CHAIN[i]] - rest[_CHAIN[parent]]
        placed.append(placed[parent] + oriented[parent] @ offset)
        oriented.append(oriented[parent] @ rotations[..., i, :, :] if i < NUM_BODY else oriented[parent])
    return torch.stack(placed[1:], -2)


def foot_velocities(
    features: Float[Tensor, "*batch frames 205"], positions: Float[Tensor, "*batch frames 23 3"]
) -> Float[Tensor, "*batch steps 4 3"]:
    """World velocity in metres per frame, in the heading frame, of ankles and feet (L ankle, L foot, R ankle, R foot).

    `positions` are `local_positions` of the same frames.
    """
    feet = positions[..., [6, 9, 7, 10], :]
    height = features[..., 0]
    step = torch.stack([features[..., 1], torch.zeros_like(height), features[..., 2]], -1)[..., :-1, :]
    rise = torch.stack([torch.zeros_like(height), height, torch.zeros_like(height)], -1)
    now, following = feet + rise[..., None, :], feet[..., 1:, :, :] + rise[..., 1:, None, :]
    moved = turn(features[..., :-1, 3, None].expand(following.shape[:-1]), following)
    return moved + step[..., None, :] - now[..., :-1, :, :]
