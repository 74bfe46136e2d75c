"""Signed distance to a room's walls and furniture as a grid, looked up in torch by trilinear interpolation."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from laban.errors import LabanError
from laban.files import atomic_path
from models.formats.arrays import read_npz
from models.scene.scene import Scene

MARGIN = 0.2
"""Metres of the grid around the room."""
BELOW = 0.1
"""Metres of the grid below the floor."""
TOP = 2.0
"""Metres above the floor that the grid reaches at least: people are not beyond it."""
_VERSION = 2
"""Of the way grids are made: another one reads no grids that were kept."""


@dataclass(frozen=True, eq=False)
class SdfGrid:
    """Metres to the nearest surface: positive in free space, negative inside of furniture and behind walls.

    Floor and rugs are no part of it. Called with points it is a `motion.primitives.control.Distance`.
    """

    values: Float[Tensor, "x y z"]
    """At the nodes of a regular grid from `low` to `high`."""
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]

    @property
    def spacing(self) -> Float[Tensor, "3"]:
        """Metres between nodes along x, y, z."""
        return (self.high - self.low) / (torch.tensor(self.values.shape, device=self.low.device) - 1)

    @cached_property
    def slopes(self) -> Float[Tensor, "3 x y z"]:
        """The gradient at the nodes, by central differences."""
        steps = self.spacing.tolist()
        return torch.stack([torch.gradient(self.values, spacing=steps[axis], dim=axis)[0] for axis in range(3)])

    def to(self, device: torch.device | str) -> SdfGrid:
        """The same grid on another device."""
        return SdfGrid(self.values.to(device), self.low.to(device), self.high.to(device))

    def __call__(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, " *batch"]:
        """Signed distance of points, differentiable. Beyond the grid it grows by the distance to the grid's box.

        It grows away from zero: who leaves a walled room is further behind its walls the further they go.
        """
        near = points.clamp(self.low.to(points), self.high.to(points))
        value = self._sampled(self.values[None], near)[..., 0]
        away = points - near
        beyond = (away * away).sum(-1)
        further = torch.where(beyond > 0, beyond, 1.0).sqrt() * (beyond > 0)
        return value * (1 + further / value.abs().clamp_min(float(self.spacing.max())))

    def gradient(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The gradient: of length about 1, out of things; interpolated between nodes, so that it does not jump."""
        return self._sampled(self.slopes, points.clamp(self.low.to(points), self.high.to(points)))

    def _sampled(self, grids: Tensor, points: Tensor) -> Tensor:
        """(channels, x, y, z) at (*batch, 3), as (*batch, channels)."""
        places = (points - self.low.to(points)) / (self.high - self.low).to(points) * 2 - 1
        flat = places.reshape(1, 1, 1, -1, 3).flip(-1)
        found = F.grid_sample(grids[None].to(points), flat, align_corners=True, padding_mode="border")
        return found.reshape(len(grids), -1).T.reshape(*points.shape[:-1], len(grids))


def sdf_of(scene: Scene, cells: int = 128, *, cache: Path | None = None, fallback: bool = False) -> SdfGrid:
    """The signed distance grid of a room with `cells` nodes along every axis.

    `cache`: a folder in which grids are kept by the content of the room. Uses point-cloud-utils if it is there (extra
    `scene`) and not `fallback`, else scipy and trimesh, which take minutes for scans. The sign holds for furniture that
    is not watertight too (`models.scene.solid`). LabanError for fewer than 8 cells.
    """
    if not 8 <= cells <= 1024:
        raise LabanError(f"a grid of {cells} cells along each side; accepted: 8 to 1024")
    kept = None if cache is None else cache / f"sdf-{_key(scene, cells)}.npz"
    if kept is not None and (grid := _kept(kept, cells)) is not None:
        return grid
    from models.scene.solid import signed_distances

    low, high = scene.low.astype(np.float64), scene.high.astype(np.float64)
    low, high = low - MARGIN, high + MARGIN
    low[1], high[1] = scene.floor - BELOW, max(float(scene.high[1]), scene.floor + TOP)
    values = signed_distances(scene, low, high, cells, fallback=fallback)
    grid = SdfGrid(torch.from_numpy(values), torch.tensor(low, dtype=torch.float32),
                   torch.tensor(high, dtype=torch.float32))  # fmt: skip
    if kept is not None:
        with atomic_path(kept) as path:
            np.savez(path, values=values, low=grid.low.numpy(), high=grid.high.numpy())
    return grid


def _key(scene: Scene, cells: int) -> str:
    digest = hashlib.sha256(f"{_VERSION} {cells} {scene.floor} {scene.open_floor}".encode())
    digest.update(repr([one.walkable for one in scene.objects]).encode())
    for array in (scene.vertices, scene.faces, scene.part):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


def _kept(path: Path, cells: int) -> SdfGrid | None:
    """A grid that was kept; None if there is none or it is not whole."""
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path, ("values", "low", "high"))
        values, low, high = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("values", "low", "high"))
    except (LabanError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    fits = values.shape == (cells,) * 3 and low.shape == high.shape == (3,) and bool(values.isfinite().all())
    return SdfGrid(values, low, high) if fits else None
