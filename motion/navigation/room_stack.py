"""Several rooms in one batch: signed distances, slopes and walkability around people, each in a room of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from laban.errors import LabanError
from models.scene.distance import SdfGrid
from models.scene.walkable import SENSE, Walkable, patch_points

SIDE, REACH = 16, 0.8
"""Squares of a walkability patch along each side, and metres that it reaches to each side (DIMOS)."""


@dataclass(frozen=True)
class RoomStack:
    """Grids of rooms, one above the other; smaller plans are padded by places where nobody can be."""

    distance: Float[Tensor, "rooms x y z"]
    """Metres at the nodes of each room's grid, as `SdfGrid`."""
    low: Float[Tensor, "rooms 3"]
    spacing: Float[Tensor, "rooms 3"]
    clearance: Float[Tensor, "rooms i j"]
    """Metres from the middle of each cell to what stands in the way."""
    origin: Float[Tensor, "rooms 2"]
    """The middle (x, z) of the first cell."""
    cell: float

    def gaps(
        self, room: Int[Tensor, " people"], points: Float[Tensor, "people *batch 3"]
    ) -> Float[Tensor, "people *batch"]:
        """Signed distance of points in each person's room, trilinear, differentiable; beyond a grid as at its edge."""
        shape = (len(points),) + (1,) * (points.dim() - 2)
        sizes = torch.tensor(self.distance.shape[1:], device=points.device)
        low, spacing = (one[room].to(points).view(*shape, 3) for one in (self.low, self.spacing))
        at = ((points - low) / spacing).clamp_min(0)
        at = torch.minimum(at, (sizes - 1.001).to(points))
        node = at.detach().long()
        share = at - node
        rooms = room.view(shape).expand(points.shape[:-1])
        total = torch.zeros_like(points[..., 0])
        for corner in range(8):
            bits = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1], device=points.device)
            weight = torch.where(bits.bool(), share, 1 - share).prod(-1)
            x, y, z = (node + bits).unbind(-1)
            total = total + weight * self.distance[rooms, x, y, z]
        return total

    def slopes(
        self, room: Int[Tensor, " people"], points: Float[Tensor, "people joints 3"]
    ) -> Float[Tensor, "people joints 3"]:
        """The gradient of the distance, by differences over two of the grid's spacings."""
        step = self.spacing[room].to(points)[:, None, None] * torch.eye(3).to(points)
        ahead, behind = (self.gaps(room, points[:, :, None] + sign * step) for sign in (1, -1))
        return (ahead - behind) / (2 * self.spacing[room].to(points)[:, None])

    def free(
        self, room: Int[Tensor, " people"], points: Float[Tensor, "people *batch 2"], radius: float
    ) -> Bool[Tensor, "people *batch"]:
        """Whether a body of this radius can have its middle at each point (x, z)."""
        shape = (len(points),) + (1,) * (points.dim() - 2)
        index = ((points.detach() - self.origin[room].to(points).view(*shape, 2)) / self.cell).round().long()
        i, j = index[..., 0], index[..., 1]
        high_i, high_j = (size - 1 for size in self.clearance.shape[1:])
        within = (i >= 0) & (j >= 0) & (i <= high_i) & (j <= high_j)
        rooms = room.view(shape).expand(i.shape)
        return within & (self.clearance[rooms, i.clamp(0, high_i), j.clamp(0, high_j)] >= max(radius, 1e-6))

    def patch(
        self, room: Int[Tensor, " people"], places: Float[Tensor, "people 2"], forward: Float[Tensor, "people 2"]
    ) -> Float[Tensor, "people 16 16"]:
        """DIMOS's walkability map around each person, as `Walkable.patch` makes it of one room."""
        points = patch_points(places, forward, SIDE, REACH)
        return torch.where(self.free(room, points, SENSE), 1.0, -1.0).to(places)

    def to(self, device: torch.device | str) -> RoomStack:
        """The same rooms on another device."""
        return RoomStack(self.distance.to(device), self.low.to(device), self.spacing.to(device),
                         self.clearance.to(device), self.origin.to(device), self.cell)  # fmt: skip


def stack_rooms(grids: Sequence[SdfGrid], plans: Sequence[Walkable]) -> RoomStack:
    """Rooms in one batch; LabanError where their grids have other numbers of nodes or their plans other cells."""
    if not grids or len(grids) != len(plans):
        raise LabanError(f"rooms: {len(grids)} distance grids and {len(plans)} plans; expected as many, 1 or more")
    shapes, cells = {tuple(grid.values.shape) for grid in grids}, {plan.cell for plan in plans}
    if len(shapes) > 1 or len(cells) > 1:
        raise LabanError(f"rooms: grids of {sorted(shapes)} nodes, plans of {sorted(cells)} m cells; expected one size")
    size = np.max([plan.clearance.shape for plan in plans], 0)
    clearance = np.zeros((len(plans), *size), np.float32)
    for k, plan in enumerate(plans):
        clearance[k, : plan.clearance.shape[0], : plan.clearance.shape[1]] = plan.clearance
    origin = torch.tensor(np.stack([plan.origin for plan in plans]), dtype=torch.float32)
    return RoomStack(torch.stack([grid.values.float() for grid in grids]), torch.stack([grid.low for grid in grids]),
                     torch.stack([grid.spacing for grid in grids]), torch.from_numpy(clearance), origin,
                     plans[0].cell)  # fmt: skip
