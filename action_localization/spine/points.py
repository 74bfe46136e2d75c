"""The points of the pyramid: where each lies, how far it answers for, and what it should say (FCOS assignment)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from laban.timeline import FrameGrid


@dataclass(frozen=True)
class Points:
    """All points, level after level; lengths and places in entries of the first level."""

    place: Float[Tensor, " points"]
    stride: Float[Tensor, " points"]
    low: Float[Tensor, " points"]
    high: Float[Tensor, " points"]
    sizes: tuple[int, ...]
    """Points per level."""


@dataclass(frozen=True)
class Targets:
    """What the points should say; `instance` is the index of the assigned segment, or -1 for background."""

    classes: Float[Tensor, "batch points classes"]
    offsets: Float[Tensor, "batch points 2"]
    """Distances to start and end, in strides; meaningless for background."""
    instance: Int[Tensor, "batch points"]

    @property
    def positive(self) -> Tensor:
        """(batch, points), bool."""
        return self.instance >= 0


def level_sizes(frames: int, levels: int) -> tuple[int, ...]:
    """Entries per level: each has half as many as the one before, rounded up."""
    return tuple(-(-frames // 2**level) for level in range(levels))


def pyramid_points(
    frames: int, levels: int, *, reach: float = 4.0, overlap: bool = False, device: torch.device | None = None
) -> Points:
    """Points of a pyramid over `frames` entries.

    Level l has stride 2**l and answers for distances up to reach * 2**l; the last one for all longer ones. The shortest
    distance of a level is the longest of the one before, or half of it with `overlap`.
    """
    sizes = level_sizes(frames, levels)
    places, strides, lows, highs = [], [], [], []
    for level, size in enumerate(sizes):
        low = 0.0 if level == 0 else reach * 2 ** (level - 1) / (2 if overlap else 1)
        high = float("inf") if level == levels - 1 else reach * 2**level
        places.append(torch.arange(size, device=device, dtype=torch.float32) * 2**level)
        strides.append(torch.full((size,), float(2**level), device=device))
        lows.append(torch.full((size,), low, device=device))
        highs.append(torch.full((size,), high, device=device))
    return Points(torch.cat(places), torch.cat(strides), torch.cat(lows), torch.cat(highs), sizes)


def assign(
    points: Points, segments: Float[Tensor, "batch n 2"], labels: Int[Tensor, "batch n"], classes: int, *,
    radius: float = 1.5,
) -> Targets:  # fmt: skip
    """Assign segments to points (Tian et al., ICCV 2019, in one dimension, as ActionFormer does).

    `segments` are in entries, `labels` below 0 are padding. A point takes a segment that it lies in, within `radius`
    strides of its centre, when the farther boundary is in the point's range. The shortest wins; others within 0.001 of
    its length add their labels.
    """
    start, end = segments[:, None, :, 0], segments[:, None, :, 1]
    place, stride = points.place[None, :, None], points.stride[None, :, None]
    left, right = place - start, end - place
    centre = (start + end) / 2
    near = (place - centre).abs() < radius * stride
    inside = (left > 0) & (right > 0)
    farther = torch.maximum(left, right)
    ranged = (farther >= points.low[None, :, None]) & (farther <= points.high[None, :, None])
    takes = near & inside & ranged & (labels[:, None, :] >= 0)
    length = torch.where(takes, end - start, float("inf"))
    length = torch.nn.functional.pad(length, (0, 1), value=float("inf"))
    shortest, instance = length.min(-1)
    found = shortest.isfinite()
    instance = torch.where(found, instance, -1)
    chosen = (length[..., :-1] <= shortest[..., None] + 1e-3) & takes
    one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), classes).float()
    multi = (chosen.float() @ one_hot).clamp(max=1.0)
    at = instance.clamp(min=0)[..., None]
    pick = torch.cat([_pick(left, at), _pick(right, at)], -1) / points.stride[None, :, None]
    return Targets(multi, pick, instance)


def _pick(values: Tensor, at: Tensor) -> Tensor:
    if values.shape[-1] == 0:
        return torch.zeros(at.shape, device=values.device)
    return values.gather(-1, at)


def to_entries(grid: FrameGrid, seconds: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Real-valued entries whose windows are centred on these times: the inverse of `FrameGrid.centre`."""
    return (seconds - grid.centre(0)) / (grid.centre(1) - grid.centre(0))


def to_seconds(grid: FrameGrid, entries: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Times of the window centres of real-valued entries."""
    return grid.centre(0) + entries * (grid.centre(1) - grid.centre(0))
