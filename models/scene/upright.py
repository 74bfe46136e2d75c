"""How a mesh stands: which axis is up, in what unit it is, and where its floor lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from laban.errors import LabanError

TURNS = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "x": ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
"""By the axis that points up in the file: rows of the rotation to Y up."""
UNITS = {"centimetres": 0.01, "millimetres": 0.001}
"""Units that files too large to be in metres are tried in, in this order."""
WIDE = (1.0, 100.0)
"""Metres along the longer side of a room that is believed."""
TALL = (1.8, 6.0)
"""Metres of height of a room in a unit that is believed without being said."""
TOPS = 20.0
"""Metres of height that are still believed of a file in metres."""
LEVEL = math.cos(math.radians(10))
"""A triangle whose normal is this much along an axis lies level."""
LAYER = 0.02
"""Metres of height that count as one level."""
SLAB = 0.6
"""Metres of a floor's thickness at the most, and of steps within a floor."""
LEAST_FLOOR = (0.5, 0.1)
"""Square metres, and share of the plan, of the least level area that is taken for a floor."""
TABLE = (0.25, 0.1)
"""Share of the plan below which, and of the height above the lowest point over which, a level area is no floor."""


@dataclass(frozen=True)
class Surface:
    """Triangles as areas with normals: what is asked of them here."""

    areas: Float[ndarray, " faces"]
    normals: Float[ndarray, "faces 3"]
    centers: Float[ndarray, "faces 3"]


def surface_of(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Surface:
    """Areas, unit normals and centres of triangles; normals of flat ones are zero."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(across, axis=1)
    return Surface(lengths / 2, across / np.maximum(lengths, 1e-300)[:, None], corners.mean(1))


def find_up(surface: Surface, size: Float[ndarray, "3"], scale: float | None = None) -> str:
    """The axis that points up: y, or z where the mesh clearly lies on its back, its largest level area across z.

    Walls are large too: a room turned to Z must be lower than it was, and of a height that a person fits into (in the
    unit that it is said to be in, or would be taken for), so that corridors are not turned.
    """
    largest = [_levels(surface, axis, float(size.max()))[1].max(initial=0.0) for axis in range(3)]
    if not (largest[2] > 1.5 * largest[1] and size[1] > size[2] and largest[2] >= largest[0]):
        return "y"
    try:
        factor = scale or find_scale(size[[0, 2, 1]], "")[0]
    except LabanError:
        factor = _likely(float(max(size[0], size[1])), float(size[2]))[0]
    return "z" if factor * size[2] >= TALL[0] else "y"


def find_scale(size: Float[ndarray, "3"], name: str) -> tuple[float, str | None]:
    """What makes metres of the file's unit, and a note if that is not 1.

    A room `WIDE` metres along its longer side and up to `TOPS` m tall is in metres. A larger one is converted from
    centimetres or millimetres if that gives a room `WIDE` and `TALL`. LabanError for every other, with the likely unit.
    """
    long, tall = float(max(size[0], size[2])), float(size[1])
    if not long > 1e-6:
        raise LabanError(f"{name}: all of it lies at one place; expected the mesh of a room")
    if WIDE[0] <= long <= WIDE[1] and tall <= TOPS:
        return 1.0, None
    for unit, scale in UNITS.items():
        if WIDE[0] <= long * scale <= WIDE[1] and TALL[0] <= tall * scale <= TALL[1]:
            made = f"{long:,.4g} long and {tall:,.4g} tall in its own unit"
            return scale, f"{made}: taken for {unit} (scaled by {scale:g}; --scale says otherwise)"
    guess, what = _likely(long, tall)
    found = f"{long:.4g} x {tall:.4g} (longer side x height)"
    raise LabanError(f"{name}: {found}, which is no room in metres; likely {what}: --scale {guess:g}")


def _likely(long: float, tall: float) -> tuple[float, str]:
    named = {1e-3: "millimetres", 1e-2: "centimetres", 0.0254: "inches", 0.3048: "feet", 1e3: "kilometres"}
    for scale, unit in named.items():
        if WIDE[0] <= long * scale <= WIDE[1] and TALL[0] <= tall * scale <= TALL[1]:
            return scale, f"in {unit}"
    power = 10.0 ** round(math.log10(5.0 / max(long, 1e-12)))
    return power, f"in {named[power]}" if power in named else "shrunk or grown by a program"


def find_floor(surface: Surface, low: Float[ndarray, "3"], high: Float[ndarray, "3"]) -> float | None:
    """Height of the floor: the largest low level area, on top if it is a slab; None if there is none.

    Low: the lowest of all heights with at least half of the largest level area. A ceiling is as large but higher. A
    small area well above the lowest point is a table in a room without a floor.
    """
    heights, areas = _levels(surface, 1, float(high[1] - low[1]))
    if not len(areas):
        return None
    plan = float((high[0] - low[0]) * (high[2] - low[2]))
    large = (areas >= areas.max() / 2) & (areas >= max(LEAST_FLOOR[0], LEAST_FLOOR[1] * plan))
    if not large.any():
        return None
    at = int(large.argmax())
    slab = large & (heights > heights[at]) & (heights <= heights[at] + SLAB)
    if slab.any() and _faces_up(surface, heights[at]) < 0:
        at = int(np.flatnonzero(slab)[0])
    if areas[at] < TABLE[0] * plan and heights[at] - low[1] > TABLE[1] * (high[1] - low[1]):
        return None
    chosen = _near(surface, heights[at])
    return float(np.average(surface.centers[chosen, 1], weights=surface.areas[chosen]))


def _near(surface: Surface, height: float) -> ndarray:
    return (np.abs(surface.centers[:, 1] - height) <= LAYER) & (np.abs(surface.normals[:, 1]) > LEVEL)


def _faces_up(surface: Surface, height: float) -> float:
    chosen = _near(surface, height)
    return float((surface.areas[chosen] * np.sign(surface.normals[chosen, 1])).sum())


def _levels(surface: Surface, axis: int, whole: float) -> tuple[ndarray, ndarray]:
    """Heights along an axis, rising, and how much area lies level at each."""
    lies = np.abs(surface.normals[:, axis]) > LEVEL
    heights, areas = surface.centers[lies, axis], surface.areas[lies]
    layer = LAYER if whole < 1000 * LAYER else whole / 1000
    bins, where = np.unique(np.round(heights / layer).astype(np.int64), return_inverse=True)
    total = np.bincount(where, areas, len(bins))
    middle = np.bincount(where, areas * heights, len(bins)) / np.maximum(total, 1e-300)
    return middle, total
