"""Soft shadows on the floor, and of bodies on one another.

Everything is projected to the floor plane on a coarse grid of cells, once along the key light and once straight down.
A cell knows its lowest occluder: low ones give sharp, dark shadow, high ones wide and faint shadow, as a light of some
size would (compare percentage-closer soft shadows, Fernando 2005). The straight-down map darkens the place under feet.
The highest occluder of a cell tells surfaces whether something stands between them and the light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, no_type_check

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from viz.jit import kernel

if TYPE_CHECKING:
    from viz.renderer import Mesh
    from viz.studio import Studio, Vector

FINEST_CELL = 0.016
MOST_CELLS = 320
MARGIN = 0.45
NOTHING_HIGH, NOTHING_LOW = -1e9, 1e9
KEY_LAYERS = ((-1.0, 0.02, 0.30, 0.020), (0.02, 0.30, 0.90, 0.042), (0.30, 0.90, 9.0, 0.095))
POOL_LAYERS = ((-1.0, 0.0, 0.16, 0.028), (0.0, 0.16, 1.6, 0.16))
"""(from, peak, to, blur): an occluder's weight rises and falls over these heights; blur in metres."""


@dataclass(frozen=True)
class ShadowMap:
    """Darkness of the floor (0 to 1), and what stands highest towards the key light, over square cells.

    `corner` is the world (x, z) of the first cell's corner, `cell` the side in metres. Rows follow z, columns x.
    """

    corner: tuple[float, float]
    cell: float
    highest: Float32[ndarray, "rows columns"]
    darkness: Float32[ndarray, "rows columns"]

    def frame(self, light: Vector) -> Float32[ndarray, "5"]:
        """Corner x, corner z, cells a metre, and how far a point one metre up falls in x and z along `light`."""
        return np.array([*self.corner, 1 / self.cell, light[0] / light[1], light[2] / light[1]], np.float32)


def cast_shadows(meshes: Sequence[Mesh], studio: Studio) -> ShadowMap:
    """Shadows of `meshes` on the studio's floor, and what they throw on one another."""
    meshes = [mesh for mesh in meshes if mesh.casts]
    corner, cell, shape = _grid(meshes, studio)
    shadows = ShadowMap(corner, cell, np.full(shape, NOTHING_HIGH, np.float32), np.zeros(shape, np.float32))
    if studio.floor is None:
        _project_all(meshes, shadows.highest, shadows.frame(studio.key), 0.0)
        return shadows
    lowest, cover = _project_all(meshes, shadows.highest, shadows.frame(studio.key), studio.floor)
    key = _softened(lowest, cover, KEY_LAYERS, cell)
    ignored = np.empty_like(lowest)
    lowest, cover = _project_all(meshes, ignored, shadows.frame((0.0, 1.0, 0.0)), studio.floor)
    pool = _softened(lowest, cover, POOL_LAYERS, cell)
    shadows.darkness[:] = 1 - (1 - studio.shadow * key) * (1 - studio.pool * pool)
    return shadows


def _grid(meshes: Sequence[Mesh], studio: Studio) -> tuple[tuple[float, float], float, tuple[int, int]]:
    """Corner, cell size and shape of a map that holds every mesh and its shadow, with room for the blur."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    fall = np.array([studio.key[0], studio.key[2]]) / studio.key[1]
    for mesh in meshes:
        if len(mesh.vertices):
            lowest, highest = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
            reach = fall * (float(highest[1]) - (studio.floor or 0.0))
            low = np.minimum(low, lowest[::2] - np.maximum(reach, 0))
            high = np.maximum(high, highest[::2] - np.minimum(reach, 0))
    if not np.isfinite(low).all():
        low, high = np.zeros(2), np.zeros(2)
    low, high = low - MARGIN, high + MARGIN
    cell = FINEST_CELL
    while (high - low).max() > cell * MOST_CELLS:
        cell *= 1.25
    # Cells stay where they are in the world from frame to frame: on a moving grid the edges would swim.
    first = np.floor(low / cell)
    columns, rows = (np.ceil(high / cell) - first).astype(int).tolist()
    return (float(first[0] * cell), float(first[1] * cell)), cell, (rows, columns)


def _project_all(
    meshes: Sequence[Mesh], highest: Float32[ndarray, "rows columns"], frame: Float32[ndarray, "5"], floor: float
) -> tuple[Float32[ndarray, "rows columns"], Float32[ndarray, "rows columns"]]:
    """Lowest occluder above the floor and strongest opacity of every cell; raises `highest` in place."""
    lowest, cover = np.full_like(highest, NOTHING_LOW), np.zeros_like(highest)
    for mesh in meshes:
        _project(mesh.vertices, mesh.faces, frame, np.array([mesh.opacity, floor], np.float32), lowest, highest, cover)
    return lowest, cover


def _softened(
    lowest: Float32[ndarray, "rows columns"],
    cover: Float32[ndarray, "rows columns"],
    layers: tuple[tuple[float, float, float, float], ...],
    cell: float,
) -> Float32[ndarray, "rows columns"]:
    """Sum of the layers, each blurred by its own width (two box passes), at most 1."""
    total, layer, turned = np.zeros_like(lowest), np.empty_like(lowest), np.empty(lowest.shape[::-1], np.float32)
    for start, peak, end, blur in layers:
        _weigh(lowest, cover, np.array([start, peak, end], np.float32), layer)
        radius = max(1, round(blur / cell))
        for _ in range(2):
            _blur_rows(layer, turned, radius)
            _blur_rows(turned, layer, radius)
        total += layer
    return np.minimum(total, 1, out=total)


@kernel
@no_type_check
def _project(V, F, frame, how, lowest, highest, cover):
    """Rasterise every triangle, from above and from below, at the centres of the cells."""
    rows, columns = lowest.shape
    half = np.float32(0.5)
    opacity, floor = how[0], how[1]
    for t in range(F.shape[0]):
        a, b, c = F[t, 0], F[t, 1], F[t, 2]
        ha, hb, hc = V[a, 1], V[b, 1], V[c, 1]
        ax = (V[a, 0] - frame[3] * (ha - floor) - frame[0]) * frame[2] - half
        ay = (V[a, 2] - frame[4] * (ha - floor) - frame[1]) * frame[2] - half
        bx = (V[b, 0] - frame[3] * (hb - floor) - frame[0]) * frame[2] - half
        by = (V[b, 2] - frame[4] * (hb - floor) - frame[1]) * frame[2] - half
        cx = (V[c, 0] - frame[3] * (hc - floor) - frame[0]) * frame[2] - half
        cy = (V[c, 2] - frame[4] * (hc - floor) - frame[1]) * frame[2] - half
        x0, x1 = max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))), columns - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))), rows - 1)
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if x1 < x0 or y1 < y0 or area == 0:
            continue
        scale = np.float32(1) / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wa = ((bx - x) * (cy - y) - (cx - x) * (by - y)) * scale
                wb = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) * scale
                wc = np.float32(1) - wa - wb
                if wa >= 0 and wb >= 0 and wc >= 0:
                    height = wa * ha + wb * hb + wc * hc
                    lowest[y, x] = min(lowest[y, x], max(height - floor, np.float32(0)))
                    cover[y, x] = max(cover[y, x], opacity)
                    if opacity >= np.float32(1):
                        highest[y, x] = max(highest[y, x], height)


@kernel
@no_type_check
def _weigh(lowest, cover, heights, out):
    """Opacity of each cell times a smooth hat over its lowest occluder's height."""
    for y in range(lowest.shape[0]):
        for x in range(lowest.shape[1]):
            h = lowest[y, x]
            if h <= heights[1]:
                s = (h - heights[0]) / (heights[1] - heights[0])
            else:
                s = (heights[2] - h) / (heights[2] - heights[1])
            s = min(max(s, np.float32(0)), np.float32(1))
            out[y, x] = cover[y, x] * s * s * (np.float32(3) - np.float32(2) * s)


@kernel
@no_type_check
def _blur_rows(image, turned, radius):
    """Box mean of side 2 radius + 1 along x, zero outside, written transposed: a second call does the other axis."""
    rows, columns = image.shape
    scale = np.float32(1) / np.float32(2 * radius + 1)
    for y in range(rows):
        total = np.float32(0)
        for x in range(min(radius, columns)):
            total += image[y, x]
        for x in range(columns):
            if x + radius < columns:
                total += image[y, x + radius]
            if x > radius:
                total -= image[y, x - radius - 1]
            turned[x, y] = max(total * scale, np.float32(0))
