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

    The camera does not roll, so all floor points of a picture row lie at one distance along the view: the world
    position is linear in x, and no pixel needs a division of its own.
    """
    height, width = canvas.shape[:2]
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    focal = look[13]
    above = look[10] - look[12]
    grid, line = floor[13], floor[14]
    fade = one / (floor[12] - floor[11])
    for y in range(height):
        up = (height * half - y - half) / focal
        down = -(look[7] + up * look[4])
        if down < np.float32(1e-4):
            for x in range(width):
                for c in range(3):
                    canvas[y, x, c] = np.uint8(rows[y, c] + dither[y & 3, x & 3])
            continue
        t = above / down
        step = t / focal
        wx, wz = look[9] + t * (look[6] + up * look[3]), look[11] + t * (look[8] + up * look[5])
        # Metres of floor that a pixel spans along world x and z: to the right, and down the picture.
        slope = t / down / focal
        across_x, across_z = abs(step * look[0]), abs(step * look[2])
        along_x = abs(slope * (look[6] * look[4] - look[3] * look[7]))
        along_z = abs(slope * (look[8] * look[4] - look[5] * look[7]))
        foot_x, foot_z = across_x + along_x, across_z + along_z
        for x in range(width):
            right = x + half - width * half
            px, pz = wx + right * step * look[0], wz + right * step * look[2]
            dx, dz = px - floor[9], pz - floor[10]
            s = min(max((dx * dx + dz * dz - floor[11]) * fade, zero), one)
            clear = (one - s) * (one - s)
            gx = px / grid
            gz = pz / grid
            gx = abs(gx - np.floor(gx + half)) * grid
            gz = abs(gz - np.floor(gz + half)) * grid
            # A line of width `line` seen through a pixel's footprint: its covered share, faint where it is thin.
            lx = min(max((foot_x + line) * half - gx, zero), min(foot_x, line)) / foot_x
            lz = min(max((foot_z + line) * half - gz, zero), min(foot_z, line)) / foot_z
            ink = one - (one - lx) * (one - lz)
            dark = zero
            u, v = (px - corner[0]) * corner[2] - half, (pz - corner[1]) * corner[2] - half
            if zero <= u < darkness.shape[1] - 1 and zero <= v < darkness.shape[0] - 1:
                i, j = int(v), int(u)
                fv, fu = v - i, u - j
                near = darkness[i, j] + fu * (darkness[i, j + 1] - darkness[i, j])
                far = darkness[i + 1, j] + fu * (darkness[i + 1, j + 1] - darkness[i + 1, j])
                dark = near + fv * (far - near)
            for c in range(3):
                value = floor[c] + ink * (floor[3 + c] - floor[c])
                value += dark * (floor[6 + c] - value)
                value = rows[y, c] + clear * (value - rows[y, c])
                canvas[y, x, c] = np.uint8(value + dither[y & 3, x & 3])
