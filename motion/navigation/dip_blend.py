"""Joining two rounds of motion over frames they share: powers of rotations, linear places (DIP, Gong et al. 2026)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.rotations import axis_angle_to_matrix, matrix_to_axis_angle

Rotations = Float[Tensor, "*batch 22 3 3"]
Places = Float[Tensor, "*batch 3"]


def power_blend(
    first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"], alpha: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """(R2 R1^T)^alpha R1: alpha 0 is `first`, 1 is `second`, in between the shortest turn at constant speed."""
    step = matrix_to_axis_angle(second @ first.transpose(-1, -2))
    return axis_angle_to_matrix(alpha[..., None] * step) @ first


def shares(frames: int, *, like: Tensor) -> Float[Tensor, " frames"]:
    """How much of the second counts at each shared frame: linear, end points (all first, all second) excluded."""
    return torch.arange(1, frames + 1, dtype=like.dtype, device=like.device) / (frames + 1)


def joined(
    first: tuple[Float[Tensor, "people before 22 3 3"], Float[Tensor, "people before 3"]],
    second: tuple[Float[Tensor, "people after 22 3 3"], Float[Tensor, "people after 3"]],
    overlap: int,
) -> tuple[Float[Tensor, "people frames 22 3 3"], Float[Tensor, "people frames 3"]]:
    """Rotations and places of two motions of which the last `overlap` frames of one are the first of the other."""
    (turns, places), (later, beyond) = first, second
    least = min(turns.shape[1], later.shape[1])
    if not 0 <= overlap <= least:
        raise LabanError(f"joining: {overlap} frames shared by motions of {turns.shape[1]} and {later.shape[1]}; "
                         f"accepted: 0 to {least}")  # fmt: skip
    if not overlap:
        return torch.cat([turns, later], 1), torch.cat([places, beyond], 1)
    share = shares(overlap, like=places)
    middle = power_blend(turns[:, -overlap:], later[:, :overlap], share[None, :, None])
    between = places[:, -overlap:] + share[:, None] * (beyond[:, :overlap] - places[:, -overlap:])
    return (torch.cat([turns[:, :-overlap], middle, later[:, overlap:]], 1),
            torch.cat([places[:, :-overlap], between, beyond[:, overlap:]], 1))  # fmt: skip
