"""Ways through a room: the shortest with room to spare, pulled straight without ever leaving what is free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from laban.errors import LabanError
from models.scene.scene import Scene
from models.scene.walkable import Walkable

COMFORT = 0.3
"""Metres beyond the body's radius that one keeps from things where there is room."""
DEAR = 2.0
"""How much longer a metre counts that leaves nothing to spare."""
EVERY = 6
"""Cells between places on a straight stretch at which a way may turn when it is pulled."""
AHEAD = 16
"""Of these places, how many ahead are tried for a straight line; more as long as it is free."""

Place = tuple[float, float]


@dataclass(frozen=True)
class _Graph:
    """Free cells as nodes; `number` is -1 where not free."""

    number: Int[ndarray, "x z"]
    cells: Int[ndarray, "nodes 2"]
    matrix: csr_matrix


def find_path(
    walkable: Walkable, start: Place, goal: Place, *, scene: Scene | None = None
) -> Float[ndarray, "points 2"]:
    """Corners (x, z) of a way from `start` to `goal`, both included; every point of it is free.

    Raises LabanError for ends that are not free, with the nearest place that is (and what is in the way, if `scene` is
    given), and for goals that cannot be reached.
    """
    ends = [check_free(walkable, place, what, scene) for place, what in ((start, "start"), (goal, "goal"))]
    first, last = ends
    cells = walkable.cells_of(np.stack(ends))
    areas = walkable.areas[tuple(cells.T)]
    if areas[0] != areas[1]:
        raise unreachable(walkable, start, goal)
    graph = _graph(walkable)
    a, b = (int(graph.number[tuple(cell)]) for cell in cells)
    before = dijkstra(graph.matrix, indices=b, return_predecessors=True)[1]
    nodes = [a]
    while nodes[-1] != b:
        nodes.append(int(before[nodes[-1]]))
    corners = np.concatenate([first[None], walkable.centers_of(graph.cells[nodes[1:-1]]), last[None]])
    return _pulled(walkable, corners)


def check_free(walkable: Walkable, place: Place, what: str, scene: Scene | None = None) -> Float[ndarray, "2"]:
    """The place (x, z), if a body can be there; else LabanError with the reason and the nearest place that is free."""
    point = np.asarray(place, np.float64)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise LabanError(f"{what} {place}: expected x,z in metres")
    if walkable.inside(point):
        return point
    nearest = walkable.nearest(point)
    offered = np.round(nearest, 2)
    if not walkable.inside(offered):
        offered = np.round(nearest, 4)
    where = f"{what} {point[0]:g},{point[1]:g}"
    raise LabanError(
        f"{where} is {_reason(walkable, point, scene)}; the nearest free place is {offered[0] + 0:g},{offered[1] + 0:g}"
    )


def _reason(walkable: Walkable, point: ndarray, scene: Scene | None) -> str:
    i, j = walkable.cells_of(point)
    if not (0 <= i < walkable.free.shape[0] and 0 <= j < walkable.free.shape[1]):
        return "outside of the room"
    if scene is not None:
        for one in scene.objects:
            over = one.low[0] <= point[0] <= one.high[0] and one.low[2] <= point[1] <= one.high[2]
            if over and not one.walkable and one.low[1] < walkable.body.height:
                return f"inside {one.name}"
    if walkable.clearance[i, j] > 0:
        return f"only {walkable.clearance[i, j]:.2f} m from what stands there (a body of {walkable.body.radius:g} m)"
    return "inside furniture or a wall, or there is no floor"


def unreachable(walkable: Walkable, start: Place, goal: Place) -> LabanError:
    """What to say of two places in areas that no way joins."""
    sizes = []
    for place in (start, goal):
        area = int(walkable.areas[tuple(walkable.cells_of(np.asarray(place)))])
        sizes.append(float((walkable.areas == area).sum()) * walkable.cell**2)
    gap, here, there = cut(walkable, start, goal)
    return LabanError(
        f"goal {goal[0]:g},{goal[1]:g} cannot be reached from {start[0]:g},{start[1]:g}: the floor around the start "
        f"({sizes[0]:.1f} m2) and around the goal ({sizes[1]:.1f} m2) are cut off from one another for a body of "
        f"radius {walkable.body.radius:g} m; they are nearest, {gap:.2f} m apart, at {here[0]:.2f},{here[1]:.2f} "
        f"and {there[0]:.2f},{there[1]:.2f}"
    )


def cut(walkable: Walkable, start: Place, goal: Place) -> tuple[float, Place, Place]:
    """Metres between the areas of two places, and the two free cells (x, z) where these are nearest."""
    from scipy.spatial import cKDTree

    areas = [int(walkable.areas[tuple(walkable.cells_of(np.asarray(place)))]) for place in (start, goal)]
    ours, theirs = (walkable.centers_of(np.argwhere(walkable.areas == area)) for area in areas)
    gaps, near = cKDTree(theirs).query(ours)
    at = int(gaps.argmin())
    (a, b), (c, d) = ours[at].tolist(), theirs[near[at]].tolist()
    return float(gaps[at]), (a, b), (c, d)


def length_of(path: Float[ndarray, "points 2"]) -> float:
    """Metres along a polyline."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


# ------------------------------------------------------------------------------------------------------- graph of cells


def _dearness(walkable: Walkable) -> Float[ndarray, "x z"]:
    """What a metre counts: 1 with `COMFORT` to spare, up to 1 + `DEAR` with none."""
    spare = (walkable.clearance - walkable.body.radius).clip(0, COMFORT) / COMFORT
    return 1 + DEAR * (1 - spare) ** 2


@lru_cache(maxsize=8)
def _graph(walkable: Walkable) -> _Graph:
    """Free cells with their eight neighbours; diagonals only between free sides, so that no corner is cut."""
    free, dear = walkable.free, _dearness(walkable)
    cells = np.argwhere(free)
    number = np.full(free.shape, -1, np.int64)
    number[free] = np.arange(len(cells))
    rows, cols, costs = [], [], []
    for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1)):
        a, b = _pair(free, di, dj)
        passes = free[a] & free[b]
        if di and dj:
            sides = [(slice(*s0), slice(*s1)) for s0, s1 in _sides(di, dj)]
            passes &= free[sides[0]] & free[sides[1]]
        rows.append(number[a][passes])
        cols.append(number[b][passes])
        costs.append(((dear[a] + dear[b]) / 2)[passes] * walkable.cell * float(np.hypot(di, dj)))
    i, j, cost = np.concatenate(rows), np.concatenate(cols), np.concatenate(costs)
    shape = (len(cells), len(cells))
    both = coo_matrix((np.tile(cost, 2), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=shape)
    return _Graph(number, cells, both.tocsr())


def _pair(free: ndarray, di: int, dj: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Views of all cells and of their neighbours by (di, dj); di is 0 or 1."""
    if dj >= 0:
        return (
            (slice(0, free.shape[0] - di), slice(0, free.shape[1] - dj)),
            (slice(di, None), slice(dj, None)),
        )
    return (slice(0, free.shape[0] - di), slice(-dj, None)), (slice(di, None), slice(0, free.shape[1] + dj))


def _sides(di: int, dj: int) -> tuple[tuple[tuple[int | None, int | None], ...], ...]:
    """The two cells that a diagonal passes between, as slices of the views of `_pair`."""
    if dj > 0:
        return ((1, None), (0, -1)), ((0, -1), (1, None))
    return ((1, None), (1, None)), ((0, -1), (0, -1))


# ------------------------------------------------------------------------------------------------------- string pulling


def _pulled(walkable: Walkable, corners: Float[ndarray, "points 2"]) -> Float[ndarray, "kept 2"]:
    """The corners that are left when each stretch becomes the longest straight line that is free and no dearer.

    Tried are the turns of the way and every `EVERY`-th cell between them.
    """
    steps = np.diff(corners, axis=0)
    turns = 1 + np.flatnonzero(np.abs(np.diff(steps, axis=0)).max(1) > 1e-9)
    tried = np.unique(np.concatenate([[0, len(corners) - 1], turns, np.arange(0, len(corners), EVERY)]))
    corners = corners[tried]
    dear = _dearness(walkable)
    stretches = [_cost(walkable, dear, a, b) for a, b in zip(corners, corners[1:], strict=False)]
    along = np.concatenate([[0.0], np.cumsum(stretches)])
    kept = [0]
    while kept[-1] < len(corners) - 1:
        here = kept[-1]

        def straight(ahead: int, here: int = here) -> bool:
            line = _cost(walkable, dear, corners[here], corners[ahead])
            return ahead == here + 1 or line <= float(along[ahead] - along[here]) * 1.001

        reach = min(here + AHEAD, len(corners) - 1)
        while reach < len(corners) - 1 and straight(reach):
            reach = min(here + 2 * (reach - here), len(corners) - 1)
        kept.append(next(ahead for ahead in range(reach, here, -1) if straight(ahead)))
    return corners[kept]


def _cost(walkable: Walkable, dear: ndarray, a: ndarray, b: ndarray) -> float:
    """What a straight line counts; infinite where it touches a cell that is not free."""
    cells = crossed(walkable, a, b)
    inside = ((cells >= 0) & (cells < walkable.free.shape)).all(1)
    if not inside.all() or not walkable.free[tuple(cells.T)].all():
        return float("inf")
    length = float(np.linalg.norm(b - a))
    count = max(2, int(np.ceil(length / walkable.cell)) + 1)
    points = a + np.linspace(0, 1, count)[:, None] * (b - a)
    return length * float(dear[tuple(walkable.cells_of(points).T)].mean())


def crossed(walkable: Walkable, a: Float[ndarray, "2"], b: Float[ndarray, "2"]) -> Int[ndarray, "cells 2"]:
    """Every cell that a segment passes or touches, corners included (with those beside a corner)."""
    start = (np.asarray(a, np.float64) - walkable.origin) / walkable.cell + 0.5
    end = (np.asarray(b, np.float64) - walkable.origin) / walkable.cell + 0.5
    times = [np.array([0.0, 1.0])]
    for axis in range(2):
        step = end[axis] - start[axis]
        low, high = sorted((start[axis], end[axis]))
        lines = np.arange(np.ceil(low), np.floor(high) + 1)
        if abs(step) > 1e-12 and len(lines):
            times.append(((lines - start[axis]) / step).clip(0, 1))
    ordered = np.sort(np.concatenate(times))
    middles = (ordered[1:] + ordered[:-1]) / 2
    points = start + np.concatenate([ordered, middles])[:, None] * (end - start)
    near = 1e-9
    corners = [np.floor(points + np.array(shift) * near) for shift in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return np.unique(np.concatenate(corners).astype(np.int64), axis=0)
