"""The empty studio as a picture: backdrop, floor with its grid, and the shadows that lie on it."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from viz.camera import Camera
from viz.jit import kernel
from viz.shadow import ShadowMap
from viz.studio import Studio

FADE = (0.55, 1.9)
"""The floor starts to fade, and has become backdrop, at these multiples of the camera's distance from its target."""
LINE = 0.008
DITHER = np.array(
    [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32
) / 16 + np.float32(1 / 32)  # fmt: skip


def paint_studio(canvas: UInt8[ndarray, "height width 3"], camera: Camera, studio: Studio, shadow: ShadowMap) -> None:
    """Fill `canvas` with what stands behind and below the people. Colours are mixed as sRGB, where fades look even."""
    height, width = canvas.shape[:2]
    rows = _backdrop(studio, height)
    if studio.floor is None or camera.eye[1] <= studio.floor:
        canvas[:] = (rows[:, None] + DITHER[np.arange(height) % 4][:, np.arange(width) % 4, None]).astype(np.uint8)
        return
    axes = camera.axes()
    focal = camera.focal((width, height))
    look = np.concatenate([axes.ravel(), camera.eye, [studio.floor, focal]]).astype(np.float32)
    reach = camera.distance
    floor = np.array(
        [*studio.floor_color, *studio.line_color, *studio.shadow_color, camera.target[0], camera.target[2],
         (FADE[0] * reach) ** 2, (FADE[1] * reach) ** 2, studio.grid, LINE], np.float32)  # fmt: skip
    corner = np.array([*shadow.corner, 1 / shadow.cell], np.float32)
    _paint(canvas, rows, DITHER, look, floor, shadow.darkness, corner)


def _backdrop(studio: Studio, height: int) -> Float32[ndarray, "height 3"]:
    """Colour of every row of the backdrop: a smooth vertical gradient."""
    down = np.linspace(0, 1, height)[:, None]
    blend = down * down * (3 - 2 * down)
    top, horizon = np.array(studio.backdrop_top), np.array(studio.backdrop_horizon)
    return (top + (horizon - top) * blend).astype(np.float32)


@kernel
@no_type_check
def _paint(canvas, rows, dither, look, floor, darkness, corner):
    """`look`: right, up, forward, eye, floor height, focal length. `floor`: colours, focus, fade, grid, line width.

    The camera does not roll, so all floor points of a picture row lie at one distance along the view, and the world
    position is linear in x: a row is a few loops without branches.
    """
    height, width = canvas.shape[:2]
    half, least = np.float32(0.5), np.float32(1e-4)
    ink, clear, dark = np.empty(width, np.float32), np.empty(width, np.float32), np.zeros(width, np.float32)
    way = np.empty(6, np.float32)
    for y in range(height):
        up = (height * half - y - half) / look[13]
        down = -(look[7] + up * look[4])
        t = (look[10] - look[12]) / max(down, least)
        # Floor point of the first pixel, the step to the next one, and the metres a pixel spans along x and z.
        way[2], way[3] = t / look[13] * look[0], t / look[13] * look[2]
        way[0] = look[9] + t * (look[6] + up * look[3]) - way[2] * (width * half - half)
        way[1] = look[11] + t * (look[8] + up * look[5]) - way[3] * (width * half - half)
        slope = t / max(down, least) / look[13]
        way[4] = abs(way[2]) + abs(slope * (look[6] * look[4] - look[3] * look[7]))
        way[5] = abs(way[3]) + abs(slope * (look[8] * look[4] - look[5] * look[7]))
        offset = (way[0] - floor[9]) * way[3] - (way[1] - floor[10]) * way[2]
        if down < least or offset * offset >= floor[12] * (way[2] * way[2] + way[3] * way[3]):
            for x in range(width):
                for c in range(3):
                    canvas[y, x, c] = np.uint8(rows[y, c] + dither[y & 3, x & 3])
            continue
        _draw_grid(way, floor, ink, clear)
        _look_up(way, darkness, corner, dark)
        for x in range(width):
            for c in range(3):
                value = floor[c] + ink[x] * (floor[3 + c] - floor[c])
                value += dark[x] * (floor[6 + c] - value)
                value = rows[y, c] + clear[x] * (value - rows[y, c])
                canvas[y, x, c] = np.uint8(value + dither[y & 3, x & 3])


@kernel
@no_type_check
def _draw_grid(way, floor, ink, clear):
    """Share of line and clearness of the floor along a row: 1 near the focus, 0 where it has become backdrop.

    A line of width w seen through a pixel's footprint f covers a share of it: at most min(f, w) / f.
    """
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    grid, line = floor[13], floor[14]
    inverse, fade = one / grid, one / (floor[12] - floor[11])
    most_x, most_z = min(way[4], line), min(way[5], line)
    reach_x, reach_z = (way[4] + line) * half, (way[5] + line) * half
    for x in range(len(ink)):
        px, pz = way[0] + np.float32(x) * way[2], way[1] + np.float32(x) * way[3]
        dx, dz = px - floor[9], pz - floor[10]
        s = min(max((dx * dx + dz * dz - floor[11]) * fade, zero), one)
        clear[x] = (one - s) * (one - s)
        gx, gz = px * inverse, pz * inverse
        gx = abs(gx - np.floor(gx + half)) * grid
        gz = abs(gz - np.floor(gz + half)) * grid
        lx = min(max(reach_x - gx, zero), most_x) / way[4]
        lz = min(max(reach_z - gz, zero), most_z) / way[5]
        ink[x] = one - (one - lx) * (one - lz)


@kernel
@no_type_check
def _look_up(way, darkness, corner, dark):
    """Bilinear darkness along a row, over the pixels that meet the shadow map."""
    half = np.float32(0.5)
    u, v = (way[0] - corner[0]) * corner[2] - half, (way[1] - corner[1]) * corner[2] - half
    du, dv = way[2] * corner[2], way[3] * corner[2]
    dark[:] = 0
    first, last = np.float32(0), np.float32(len(dark) - 1)
    for start, step, cells in ((u, du, darkness.shape[1]), (v, dv, darkness.shape[0])):
        # A row along one of the map's own axes never leaves by its sides: a step of nearly nothing stands for none.
        step = step if abs(step) > np.float32(1e-9) else np.float32(1e-9)
        one_end, other_end = -start / step, (np.float32(cells) - np.float32(1.001) - start) / step
        first, last = max(first, min(one_end, other_end)), min(last, max(one_end, other_end))
    for x in range(int(np.ceil(first)), int(np.floor(last)) + 1):
        a, b = u + x * du, v + x * dv
        # Clamped, because rounding far from the origin may step over the edge.
        i, j = min(max(int(b), 0), darkness.shape[0] - 2), min(max(int(a), 0), darkness.shape[1] - 2)
        fb, fa = b - i, a - j
        near = darkness[i, j] + fa * (darkness[i, j + 1] - darkness[i, j])
        far = darkness[i + 1, j] + fa * (darkness[i + 1, j + 1] - darkness[i + 1, j])
        dark[x] = near + fb * (far - near)
