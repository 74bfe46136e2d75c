"""The numba back end: a z-buffer in machine code that needs no graphics library.

Triangles are drawn at two by two samples a pixel into a buffer of packed 10-bit colours, within the bounding box of
what is in the picture, and averaged in linear light onto the painted studio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8
from numpy import ndarray

from viz.camera import Camera
from viz.jit import kernel
from viz.renderer import Mesh, check_size
from viz.scene import paint_studio
from viz.shading import LINEAR_OF_SRGB, SRGB_OF_ROOT, shade, vertex_normals
from viz.shadow import cast_shadows
from viz.studio import STUDIO, Studio

NEAR = 0.05
"""Metres before the eye where triangles are dropped."""


class RasterRenderer:
    """`Renderer` on one CPU core; the GIL is released while it draws."""

    name = "numba"

    def __init__(self, size: tuple[int, int] = (512, 512), *, samples: int = 4) -> None:
        self.size = check_size(size)
        self._fine = 2 if samples == 4 else 1
        fine_shape = size[1] * self._fine, size[0] * self._fine
        self._depth = np.zeros(fine_shape, np.float32)
        self._color = np.zeros(fine_shape, np.uint32)

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, studio: Studio = STUDIO
    ) -> UInt8[ndarray, "height width 3"]:
        """The picture as sRGB; the caller owns the array."""
        canvas = np.empty((self.size[1], self.size[0], 3), np.uint8)
        shadow = cast_shadows(meshes, studio)
        paint_studio(canvas, camera, studio, shadow)
        self._depth[:] = 0
        for layer in layers(meshes, camera):
            box = np.array([*self._depth.shape, 0, 0], np.int32)
            drawn = []
            for mesh in layer:
                normals = vertex_normals(mesh.vertices, mesh.faces)
                colors = shade(mesh.vertices, normals, mesh.vertex_colors(), eye=camera.eye, studio=studio,
                               shadow=shadow)  # fmt: skip
                drawn.append((self._screen(mesh.vertices, camera, box), colors, mesh.faces))
            self._color[box[0] & ~1 : box[2] + 1, box[1] & ~1 : box[3] + 1] = 0
            for points, colors, faces in drawn:
                _rasterise(points, colors, faces, self._depth, self._color)
            _resolve(self._color, canvas, box, np.float32(layer[0].opacity), LINEAR_OF_SRGB, SRGB_OF_ROOT)
        return canvas

    def close(self) -> None:
        """Nothing is held outside Python."""

    def _screen(
        self, vertices: Float32[ndarray, "vertices 3"], camera: Camera, box: Int32[ndarray, "4"]
    ) -> Float32[ndarray, "vertices 3"]:
        """Sample x, sample y and 1 / depth of every vertex (0 behind the eye); widens `box` to hold them."""
        points = np.empty_like(vertices)
        height, width = self._depth.shape
        view = np.concatenate([camera.axes().ravel(), camera.eye, [camera.focal((width, height)), NEAR]])
        _transform(vertices, view.astype(np.float32), points, box, self._depth)
        return points


def layers(meshes: Sequence[Mesh], camera: Camera) -> list[list[Mesh]]:
    """Meshes to draw together: all solid ones, then every ghost on its own from the farthest to the nearest."""
    visible = [mesh for mesh in meshes if len(mesh.faces) and mesh.opacity > 0]
    solid = [mesh for mesh in visible if mesh.opacity >= 1]
    ghosts = sorted((mesh for mesh in visible if mesh.opacity < 1), key=lambda mesh: -_depth_of(mesh, camera))
    return ([solid] if solid else []) + [[ghost] for ghost in ghosts]


def _depth_of(mesh: Mesh, camera: Camera) -> float:
    middle: Float[ndarray, "3"] = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2 - np.asarray(camera.eye)
    return float(middle @ camera.axes()[2])


@kernel
@no_type_check
def _transform(V, view, out, box, depth):
    height, width = depth.shape
    half, one = np.float32(0.5), np.float32(1)
    x0, y0, x1, y1 = np.float32(width), np.float32(height), -one, -one
    for i in range(V.shape[0]):
        x, y, z = V[i, 0] - view[9], V[i, 1] - view[10], V[i, 2] - view[11]
        forward = x * view[6] + y * view[7] + z * view[8]
        if forward < view[13]:
            out[i, 2] = 0
            continue
        inverse = one / forward
        scale = view[12] * inverse
        sx = width * half + scale * (x * view[0] + y * view[1] + z * view[2])
        sy = height * half - scale * (x * view[3] + y * view[4] + z * view[5])
        out[i, 0], out[i, 1], out[i, 2] = sx, sy, inverse
        x0, y0, x1, y1 = min(x0, sx), min(y0, sy), max(x1, sx), max(y1, sy)
    box[0] = min(box[0], max(int(np.floor(y0)), 0))
    box[1] = min(box[1], max(int(np.floor(x0)), 0))
    box[2] = max(box[2], min(int(np.floor(y1)) + 1, height))
    box[3] = max(box[3], min(int(np.floor(x1)) + 1, width))


@kernel
@no_type_check
def _rasterise(P, C, F, depth, color):
    """Front faces only. Depth is 1 / distance, which is linear over the picture; larger is nearer."""
    height, width = depth.shape
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    for t in range(F.shape[0]):
        a, b, c = F[t, 0], F[t, 1], F[t, 2]
        ax, ay, az = P[a, 0], P[a, 1], P[a, 2]
        bx, by, bz = P[b, 0], P[b, 1], P[b, 2]
        cx, cy, cz = P[c, 0], P[c, 1], P[c, 2]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area >= zero or az == zero or bz == zero or cz == zero:
            continue
        x0, x1 = max(int(np.ceil(min(ax, bx, cx) - half)), 0), min(int(np.floor(max(ax, bx, cx) - half)), width - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy) - half)), 0), min(int(np.floor(max(ay, by, cy) - half)), height - 1)
        if x1 < x0 or y1 < y0:
            continue
        scale = one / area
        left, top = x0 + half, y0 + half
        a_row = ((bx - left) * (cy - top) - (cx - left) * (by - top)) * scale
        b_row = ((cx - left) * (ay - top) - (ax - left) * (cy - top)) * scale
        a_x, a_y = (by - cy) * scale, (cx - bx) * scale
        b_x, b_y = (cy - ay) * scale, (ax - cx) * scale
        for y in range(y0, y1 + 1):
            wa, wb = a_row, b_row
            for x in range(x0, x1 + 1):
                wc = one - wa - wb
                if wa >= zero and wb >= zero and wc >= zero:
                    near = wa * az + wb * bz + wc * cz
                    if near > depth[y, x]:
                        depth[y, x] = near
                        red = np.uint32(wa * C[a, 0] + wb * C[b, 0] + wc * C[c, 0])
                        green = np.uint32(wa * C[a, 1] + wb * C[b, 1] + wc * C[c, 1])
                        blue = np.uint32(wa * C[a, 2] + wb * C[b, 2] + wc * C[c, 2])
                        color[y, x] = red | (green << 10) | (blue << 20) | (1 << 30)
                wa += a_x
                wb += b_x
            a_row += a_y
            b_row += b_y


@kernel
@no_type_check
def _resolve(color, canvas, box, opacity, linear, srgb):
    """Mean of a pixel's samples in linear light, laid over the canvas with the covered share of its area."""
    fine = color.shape[0] // canvas.shape[0]
    step = np.float32(1 / 1023)
    share = opacity / np.float32(fine * fine)
    for y in range(box[0] // fine, min((box[2] + fine - 1) // fine, canvas.shape[0])):
        for x in range(box[1] // fine, min((box[3] + fine - 1) // fine, canvas.shape[1])):
            red, green, blue, hits = np.float32(0), np.float32(0), np.float32(0), 0
            for j in range(fine):
                for i in range(fine):
                    packed = color[y * fine + j, x * fine + i]
                    if packed:
                        hits += 1
                        r = np.float32(packed & 1023) * step
                        g = np.float32((packed >> 10) & 1023) * step
                        b = np.float32((packed >> 20) & 1023) * step
                        red += r * r
                        green += g * g
                        blue += b * b
            if hits:
                through = np.float32(1) - share * hits
                red = red * share + through * linear[canvas[y, x, 0]]
                green = green * share + through * linear[canvas[y, x, 1]]
                blue = blue * share + through * linear[canvas[y, x, 2]]
                canvas[y, x, 0] = srgb[int(np.sqrt(red) * np.float32(1023) + np.float32(0.5))]
                canvas[y, x, 1] = srgb[int(np.sqrt(green) * np.float32(1023) + np.float32(0.5))]
                canvas[y, x, 2] = srgb[int(np.sqrt(blue) * np.float32(1023) + np.float32(0.5))]
