"""Where a person can walk in a room: ground a body fits on, as a height-field, with the clearance around each place.

As Recast bakes it (M. Mononen): ground needs headroom, a gentle slope, and small steps between neighbours; here on one
storey, with exact distances to what stands in the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.ndimage import binary_closing, binary_dilation, distance_transform_edt, label, minimum_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from laban.errors import LabanError
from models.scene.scene import Scene
from models.scene.solid import samples_of

MOST_CELLS = 40_000_000
"""Of a height-field: a hall of 300 m by 300 m at 5 cm."""
SENSE = 0.05
"""Metres of radius that the walkability map of DIMOS (Zhao et al., ICCV 2023) leaves around things."""


@dataclass(frozen=True)
class BodySize:
    """What a body needs, in metres; the slope in degrees."""

    radius: float = 0.25
    height: float = 1.8
    step: float = 0.1
    """The highest step, up or down, between places that lie side by side."""
    slope: float = 15.0

    def __post_init__(self) -> None:
        for name, least, most in (("radius", 0, 2), ("height", 0.1, 5), ("step", 0, 1), ("slope", 0, 60)):
            if not least <= getattr(self, name) <= most:
                raise LabanError(f"body {name} {getattr(self, name)}; accepted: {least} to {most}")


@dataclass(frozen=True, eq=False)
class Walkable:
    """Cells of a plan on which a body's middle can be. Cell (i, j) is centred at `origin` + (i, j) * `cell`."""

    ground: Float[ndarray, "x z"]
    """Height of the ground; NaN where there is none to stand on."""
    clearance: Float[ndarray, "x z"]
    """Metres from the cell's centre to what stands in the way; 0 where no one can stand."""
    origin: Float[ndarray, "2"]
    cell: float
    body: BodySize

    @cached_property
    def free(self) -> Bool[ndarray, "x z"]:
        """Where the body's middle can be."""
        return self.clearance >= max(self.body.radius - 1e-3, 1e-6)

    @cached_property
    def areas(self) -> Int[ndarray, "x z"]:
        """Free cells by the connected area they belong to, the largest 1; 0 where not free."""
        found, count = label(self.free)
        order = np.argsort(-np.bincount(found.ravel(), minlength=count + 1)[1:], kind="stable")
        number = np.zeros(count + 1, np.int32)
        number[order + 1] = np.arange(1, count + 1)
        return number[found]

    @property
    def area(self) -> float:
        """Square metres that are free."""
        return float(self.free.sum()) * self.cell**2

    def cells_of(self, points: Float[ndarray, "*batch 2"]) -> Int[ndarray, "*batch 2"]:
        """The cell of each point (x, z); it may lie outside of the plan."""
        return np.floor((np.asarray(points, np.float64) - self.origin) / self.cell + 0.5).astype(np.int64)

    def centers_of(self, cells: Int[ndarray, "*batch 2"]) -> Float[ndarray, "*batch 2"]:
        """The middle (x, z) of each cell."""
        return self.origin + np.asarray(cells) * self.cell

    def inside(self, points: Float[ndarray, "*batch 2"]) -> Bool[ndarray, " *batch"]:
        """Whether the body's middle can be at each point (x, z)."""
        i, j = np.moveaxis(self.cells_of(points), -1, 0)
        within = (i >= 0) & (j >= 0) & (i < self.free.shape[0]) & (j < self.free.shape[1])
        return np.asarray(within & self.free[np.where(within, i, 0), np.where(within, j, 0)])

    def nearest(
        self, point: tuple[float, float] | Float[ndarray, "2"], *, area: int | None = None
    ) -> Float[ndarray, "2"]:
        """The free place (x, z) nearest to a point, which itself is one if free; with `area` of that area alone.

        LabanError where nothing is free.
        """
        there = np.asarray(point, np.float64)
        cells = np.argwhere(self.free if area is None else self.areas == area)
        if not len(cells):
            raise LabanError(f"no place in the room is free for a body of radius {self.body.radius:g} m")
        gaps = np.abs(self.centers_of(cells) - there).clip(min=self.cell / 2) - self.cell / 2
        best = cells[int(np.square(gaps).sum(1).argmin())]
        inset = 0.4 * self.cell
        return np.clip(there, self.centers_of(best) - inset, self.centers_of(best) + inset)

    @cached_property
    def _sensed(self) -> Float[Tensor, "x z"]:
        return torch.from_numpy(self.clearance.astype(np.float32))

    def patch(
        self, places: Float[Tensor, "people 2"], forward: Float[Tensor, "people 2"], *, size: int = 16,
        reach: float = 0.8, radius: float = SENSE,
    ) -> Float[Tensor, "people size size"]:  # fmt: skip
        """DIMOS's walkability map: +1 where a body of `radius` can be, -1 where not, around each person.

        Row i is ahead of the person (the last the furthest), column j to their left (the last the furthest), at the
        middles of `size` x `size` squares of `reach` metres each way. `forward` points (x, z) ahead.
        """
        points = patch_points(places, forward, size, reach)
        return patch_values(self._sensed.to(places.device), points, self.origin, self.cell, radius)


def patch_points(
    places: Float[Tensor, "people 2"], forward: Float[Tensor, "people 2"], size: int, reach: float
) -> Float[Tensor, "people size size 2"]:
    """Where a patch is looked up: rows from behind to ahead, columns from right to left, Y up."""
    ahead = forward / forward.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    left = torch.stack([ahead[:, 1], -ahead[:, 0]], -1)  # of somebody who faces +Z, +X is left
    line = ((torch.arange(size, device=places.device, dtype=places.dtype) + 0.5) / size * 2 - 1) * reach
    rows = line[:, None, None] * ahead[:, None, None]
    return places[:, None, None] + rows + line[:, None] * left[:, None, None]


def patch_values(
    clearance: Float[Tensor, "x z"], points: Float[Tensor, "*batch 2"], origin: Float[ndarray, "2"], cell: float,
    radius: float,
) -> Float[Tensor, " *batch"]:  # fmt: skip
    """+1 where there is `radius` of clearance, -1 elsewhere and outside of the plan."""
    index = ((points - torch.as_tensor(origin).to(points)) / cell).round().long()
    i, j = index[..., 0], index[..., 1]
    within = (i >= 0) & (j >= 0) & (i < clearance.shape[0]) & (j < clearance.shape[1])
    found = clearance[i.clamp(0, clearance.shape[0] - 1), j.clamp(0, clearance.shape[1] - 1)]
    return torch.where(within & (found >= radius), 1.0, -1.0).to(points.dtype)


# -------------------------------------------------------------------------------------------------------------- baking


def walkable_of(scene: Scene, body: BodySize = BodySize(), cell: float = 0.05) -> Walkable:
    """Where a body can walk. LabanError for cells that are too many, and rooms in which nobody can stand anywhere."""
    if not 0.005 <= cell <= 0.5:
        raise LabanError(f"cells of {cell} m; accepted: 0.005 to 0.5")
    low, high = scene.low[[0, 2]].astype(np.float64), scene.high[[0, 2]].astype(np.float64)
    shape = tuple(int(n) for n in np.ceil((high - low) / cell - 1e-6).clip(1) + 2)
    if shape[0] * shape[1] > MOST_CELLS:
        raise LabanError(f"{scene.name}: {shape[0]} x {shape[1]} cells of {cell:g} m; take larger cells")
    origin = low - cell / 2
    columns = _columns(scene, body, origin, cell, shape)
    ground, gentle = _ground(columns, body, shape, scene)
    stands = _reached(ground, gentle, body, cell, scene.floor)
    clearance = _clearance(columns, stands, ground, body, origin, cell)
    if not stands.any():
        raise LabanError(
            f"{scene.name}: nobody of {body.height:g} m can stand anywhere (no floor with that much room above it); "
            "check --up and --scale"
        )
    return Walkable(np.where(stands, ground, np.nan), clearance, origin, cell, body)


@dataclass(frozen=True)
class _Columns:
    """Samples of the surfaces, by column, rising."""

    column: Int[ndarray, " samples"]
    place: Float[ndarray, "samples 2"]
    height: Float[ndarray, " samples"]
    gentle: Bool[ndarray, " samples"]


def _columns(scene: Scene, body: BodySize, origin: ndarray, cell: float, shape: tuple[int, ...]) -> _Columns:
    triangles = scene.vertices[scene.faces].astype(np.float64)
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    tilt = np.abs(across[:, 1]) / np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    within = (triangles[..., 1].min(1) < scene.floor + 2 * body.height) & (triangles[..., 1].max(1) > scene.floor - 1)
    points, owner = samples_of(triangles[within], cell / 2)
    gentle = tilt[within][owner] >= math.cos(math.radians(body.slope)) - 1e-6
    if scene.open_floor:
        i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
        plane = np.stack([i.ravel() * cell + origin[0], np.full(i.size, scene.floor), j.ravel() * cell + origin[1]], 1)
        points, gentle = np.concatenate([points, plane]), np.concatenate([gentle, np.ones(len(plane), bool)])
    index = np.floor((points[:, [0, 2]] - origin) / cell + 0.5).astype(np.int64)
    index = index.clip(0, np.array(shape) - 1)
    column = index[:, 0] * shape[1] + index[:, 1]
    order = np.lexsort((points[:, 1], column))
    return _Columns(column[order], points[order][:, [0, 2]], points[order, 1], gentle[order])


def _ground(columns: _Columns, body: BodySize, shape: tuple[int, ...], scene: Scene) -> tuple[ndarray, ndarray]:
    """The lowest height in each column with headroom above it, from half a metre below the floor; NaN without any."""
    above = np.full(len(columns.height), np.inf)
    same = columns.column[1:] == columns.column[:-1]
    above[:-1][same] = columns.height[1:][same]
    headroom = (above - columns.height >= body.height) & (columns.height >= scene.floor - 0.5)
    first, index = np.unique(columns.column[headroom], return_index=True)
    ground, gentle = np.full(math.prod(shape), np.nan), np.zeros(math.prod(shape), bool)
    ground[first] = columns.height[headroom][index]
    empty = np.bincount(columns.column, minlength=len(ground)).reshape(shape) == 0
    # the top of a rim is as gentle as what lies within a centimetre of it
    flat = columns.gentle & (np.abs(columns.height - ground[columns.column]) <= 0.01)
    gentle[columns.column[flat]] = True
    return _closed(ground.reshape(shape), gentle.reshape(shape), empty)


def _closed(ground: ndarray, gentle: ndarray, empty: ndarray) -> tuple[ndarray, ndarray]:
    """With small holes of a scan (up to four cells across, in which there is nothing at all) as ground around them."""
    known = ~np.isnan(ground)
    holes = binary_closing(known, np.ones((3, 3), bool), iterations=2) & empty & ~known
    if not holes.any():
        return ground, gentle
    near = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(holes, ground[tuple(near)], ground), gentle | holes


def _reached(ground: ndarray, gentle: ndarray, body: BodySize, cell: float, floor: float) -> Bool[ndarray, "x z"]:
    """Cells that one gets to from the floor by steps; steep ones only as the edge of gentle ones, within a step."""
    lowest = np.where(gentle, ground, np.inf)
    around = minimum_filter(lowest, size=5, mode="nearest")
    with np.errstate(invalid="ignore"):
        rim = ~gentle & (np.abs(ground - around) <= body.step)
    stands = ~np.isnan(ground) & (gentle | rim)
    number = np.arange(ground.size).reshape(ground.shape)
    height = np.where(stands, ground, np.inf)
    pairs = []
    for axis in range(2):
        turned, index = np.moveaxis(height, axis, 0), np.moveaxis(number, axis, 0)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            passes = np.abs(turned[:-1] - turned[1:]) <= body.step + 1e-6
        pairs.append(np.stack([index[:-1][passes], index[1:][passes]]))
    rows, cols = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, cols)), shape=(ground.size,) * 2)
    piece = connected_components(graph, directed=False)[1].reshape(ground.shape)
    with np.errstate(invalid="ignore"):
        on_floor = stands & (np.abs(ground - floor) <= max(body.step, 0.02))
    return stands & np.isin(piece, np.unique(piece[on_floor]))


def _clearance(
    columns: _Columns, stands: ndarray, ground: ndarray, body: BodySize, origin: ndarray, cell: float
) -> Float[ndarray, "x z"]:
    """Metres from the middle of each cell where one stands to surfaces in the way, and to cells with no ground."""
    blocked = ~stands.ravel()[columns.column]
    found = np.zeros(stands.shape)
    if not stands.any():
        return found
    grounds = ground[stands]
    in_way = blocked & (columns.height > grounds.min() + body.step) & (columns.height < grounds.max() + body.height)
    edge = binary_dilation(stands, np.ones((3, 3), bool)) & ~stands
    seen = np.zeros(stands.size, bool)
    seen[columns.column[in_way]] = True
    bare = np.argwhere(edge & ~seen.reshape(stands.shape))
    near_edge = edge.ravel()[columns.column[in_way]]
    points = np.concatenate([columns.place[in_way][near_edge], origin + bare * cell])
    middles = origin + np.argwhere(stands) * cell
    found[stands] = cKDTree(points).query(middles)[0]
    return found
