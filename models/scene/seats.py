"""Where on a piece of furniture one can sit or lie: the horizontal area in its box, and the back rest behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from laban.errors import LabanError
from models.scene.scene import Scene, SceneObject

CELL = 0.02
"""Metres of a cell of the height map."""
LEVEL = 0.035
"""Metres that heights of one seat differ by: cushions are not flat."""
USUAL, SPREAD = 0.45, 0.22
"""Metres of height at which people sit, and how much that differs: arms and backs are higher than seats."""
LOWEST, HIGHEST = 0.12, 1.05
"""Metres above the floor between which one can sit."""
SMALLEST = 0.04
"""Square metres that a seat has at least."""
WIDTH = 0.36
"""Metres across that one person takes."""
PILLOW = 0.25
"""Metres that something may stand above the level of a bed and still carry a head."""
REST = 0.12
"""Metres above the seat at which something behind it is a back rest."""


@dataclass(frozen=True)
class Seat:
    """A horizontal area to sit or lie on. Its own frame: +Z is where one looks, x to the left, floor below."""

    height: float
    """Metres above the floor."""
    middle: tuple[float, float]
    """(x, z) in the world: across in the middle of the place, at its front edge."""
    yaw: float
    """Radians about +Y of where one looks: 0 faces +Z, a quarter turn faces +X."""
    depth: float
    """Metres from the front edge back to the back rest, or to where the area ends."""
    width: float
    """Metres across, between the arms."""
    rest: float
    """Metres that the back rest rises above the seat; 0 without one."""

    @property
    def facing(self) -> Float[ndarray, "2"]:
        """Direction (x, z) of where one looks."""
        return np.array([math.sin(self.yaw), math.cos(self.yaw)])

    def place(self, ahead: float) -> Float[ndarray, "2"]:
        """The place (x, z) so many metres ahead of the front edge."""
        return np.array(self.middle) + ahead * self.facing


@dataclass(frozen=True)
class _Map:
    """The upper side of an object in a frame in which it faces +Z; -inf where there is nothing."""

    top: Float[ndarray, "x z"]
    x: Float[ndarray, " x"]
    z: Float[ndarray, " z"]


def moved(seat: Seat, left: float) -> Seat:
    """The same place, so many metres farther to the left."""
    x, z = (np.array(seat.middle) + left * _left(seat)).tolist()
    return replace(seat, middle=(x, z))


def sideways(seat: Seat, side: int, back: float) -> Seat:
    """Sitting on the left (1) or right (-1) edge, looking away from it, so many metres behind the front edge."""
    x, z = (seat.place(-back) + side * seat.width / 2 * _left(seat)).tolist()
    return Seat(seat.height, (x, z), seat.yaw + side * math.pi / 2, seat.width, min(WIDTH, seat.depth), 0.0)


def _left(seat: Seat) -> Float[ndarray, "2"]:
    return np.array([math.cos(seat.yaw), -math.sin(seat.yaw)])


def seat_of(thing: SceneObject, scene: Scene) -> Seat:
    """The place to sit on an object: of its level areas the largest at a height that people sit at.

    On something wide it is in the middle, where its front edge is straight. LabanError where nothing is level.
    """
    found = _map(thing, scene)
    area = _level(found, scene.floor, f"{thing.name} ({thing.kind}) in {scene.name}")
    left, right, front, back = _place(area)
    height = float(np.median(found.top[area]))
    behind = found.top[left:right, max(0, back - round(0.2 / CELL)) : back]
    rises = np.nan_to_num(behind.max(1), neginf=0.0) - height if behind.size else np.zeros(1)
    rest = float(np.median(rises))
    local = np.array([(found.x[left] + found.x[right - 1]) / 2, found.z[front - 1] + CELL / 2])
    middle = _into_world(local, thing)
    wide = _run(area[:, (front + back) // 2], (left + right) // 2) * CELL
    return Seat(height - scene.floor, (float(middle[0]), float(middle[1])), thing.yaw, (front - back) * CELL, wide,
                rest if rest > REST else 0.0)  # fmt: skip


def bed_of(thing: SceneObject, scene: Scene) -> Seat:
    """The place to lie on: the level area as a whole, its front edge where the feet are, facing there.

    The head is at that end of the longer side which stands higher: board or pillow. Without either it is behind.
    """
    found = _map(thing, scene)
    area = _level(found, scene.floor, f"{thing.name} ({thing.kind}) in {scene.name}")
    height = float(np.median(found.top[area]))
    carries = (found.top > height - LEVEL) & (found.top < height + PILLOW)
    columns, rows = np.flatnonzero(carries.mean(1) > 0.4), np.flatnonzero(carries.mean(0) > 0.4)
    low = np.array([found.x[columns[0]], found.z[rows[0]]]) - CELL / 2
    high = np.array([found.x[columns[-1]], found.z[rows[-1]]]) + CELL / 2
    (wide, long), centre = high - low, (low + high) / 2
    along = long >= 0.85 * wide
    top = np.where(np.isfinite(found.top), found.top, scene.floor)
    slices, angle = (top, thing.yaw) if along else (top.T, thing.yaw + math.pi / 2)
    fifth = max(1, slices.shape[1] // 5)
    turned_round = slices[:, -fifth:].mean() > slices[:, :fifth].mean() + 0.01
    foot = np.array([centre[0], low[1] if turned_round else high[1]]) if along else np.array(
        [low[0] if turned_round else high[0], centre[1]])  # fmt: skip
    middle = _into_world(foot, thing)
    return Seat(height - scene.floor, (float(middle[0]), float(middle[1])),
                (angle + math.pi * turned_round) % (2 * math.pi), float(long if along else wide),
                float(wide if along else long), 0.0)  # fmt: skip


def _level(found: _Map, floor: float, name: str) -> Bool[ndarray, "x z"]:
    """The connected level area that suits best, by its size and height."""
    heights = found.top - floor
    candidates = heights[(heights > LOWEST) & (heights < HIGHEST)]
    best, score = None, 0.0
    for height in np.unique(np.round(candidates, 2)):
        labels, count = ndimage.label(np.abs(heights - height) < LEVEL)
        if not count:
            continue
        cells = np.bincount(labels.ravel())[1:]
        suits = cells.max() * CELL**2 * math.exp(-(((height - USUAL) / SPREAD) ** 2))
        if cells.max() * CELL**2 >= SMALLEST and suits > score * 1.001:
            best, score = labels == 1 + cells.argmax(), suits
    if best is None:
        raise LabanError(f"{name}: nothing level to sit on, from {LOWEST:g} to {HIGHEST:g} m above the floor")
    return best


def _place(area: Bool[ndarray, "x z"]) -> tuple[int, int, int, int]:
    """(left, right, front, back) of one person's place: cells, the right and the front one past the end."""
    columns = np.flatnonzero(area.any(1))
    front = np.array([np.flatnonzero(area[c]).max() + 1 for c in columns])
    back = np.array([front[k] - _run(area[c], int(front[k]) - 1, both=False) for k, c in enumerate(columns)])
    wide = min(round(WIDTH / CELL), len(columns))
    middle, costs = (len(columns) - wide) / 2, []
    for start in range(len(columns) - wide + 1):
        part = slice(start, start + wide)
        uneven = float(np.ptp(front[part][wide // 6 : wide - wide // 6])) * CELL if wide > 6 else 0.0
        deep = float(np.median(front[part] - back[part])) * CELL
        costs.append(CELL * abs(start - middle) + 3 * max(0.0, deep - 0.72) + 2 * max(0.0, uneven - 0.06))
    start = int(np.argmin(costs))
    part = slice(start, start + wide)
    return (int(columns[start]), int(columns[start + wide - 1]) + 1, int(np.percentile(front[part], 60)),
            int(np.median(back[part])))  # fmt: skip


def _run(row: Bool[ndarray, " cells"], at: int, *, both: bool = True) -> int:
    """Cells in a row around `at`, or from it down."""
    low = high = at
    while low > 0 and row[low - 1]:
        low -= 1
    while both and high + 1 < len(row) and row[high + 1]:
        high += 1
    return high - low + 1


def _map(thing: SceneObject, scene: Scene) -> _Map:
    """Heights of an object's upper side, each triangle rasterised as seen from above."""
    vertices, faces = scene.mesh_of(thing.name)
    points = turned(vertices - _centre(thing), -thing.yaw)
    low, high = points.min(0), points.max(0)
    count = np.maximum(np.ceil((high - low)[[0, 2]] / CELL).astype(int), 1)
    x, z = (low[axis] + (np.arange(n) + 0.5) * CELL for axis, n in zip((0, 2), count, strict=True))
    top = np.full(tuple(count), -np.inf)
    for triangle in points[faces]:
        _raster(top, triangle, x, z)
    return _Map(top, x, z)


def _raster(top: Float[ndarray, "x z"], triangle: Float[ndarray, "3 3"], x: ndarray, z: ndarray) -> None:
    """In place: heights of the triangle where it covers the middle of a cell and is the highest."""
    flat = triangle[:, [0, 2]]
    first, second = flat[1] - flat[0], flat[2] - flat[0]
    area = first[0] * second[1] - first[1] * second[0]
    if abs(area) < 1e-9:
        return
    i, j = _cells(x, flat[:, 0]), _cells(z, flat[:, 1])
    offset = np.stack(np.meshgrid(x[i] - flat[0, 0], z[j] - flat[0, 1], indexing="ij"), -1)
    u = (offset[..., 0] * second[1] - offset[..., 1] * second[0]) / area
    v = (first[0] * offset[..., 1] - first[1] * offset[..., 0]) / area
    height = triangle[0, 1] + u * (triangle[1, 1] - triangle[0, 1]) + v * (triangle[2, 1] - triangle[0, 1])
    inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
    window = top[i, j]
    np.copyto(window, np.maximum(window, height), where=inside)


def _cells(middles: ndarray, values: ndarray) -> slice:
    low, high = np.searchsorted(middles, [values.min(), values.max()])
    return slice(max(0, int(low) - 1), int(high) + 1)


def _centre(thing: SceneObject) -> Float[ndarray, "3"]:
    return np.array([thing.center[0], 0.0, thing.center[2]])


def _into_world(local: Float[ndarray, "2"], thing: SceneObject) -> Float[ndarray, "2"]:
    return (turned(np.array([local[0], 0.0, local[1]]), thing.yaw) + _centre(thing))[[0, 2]]


def turned(points: Float[ndarray, "*points 3"], yaw: float) -> Float[ndarray, "*points 3"]:
    """Points turned about +Y by `yaw` radians: +Z goes towards +X."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return points @ np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
