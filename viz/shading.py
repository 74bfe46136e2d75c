"""Light on surfaces: smooth normals, a key light that casts shadows, a fill light, sky and floor, a soft rim."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from numpy import ndarray

from viz.jit import kernel
from viz.shadow import ShadowMap
from viz.studio import Studio

DISPLAY_STEPS = 1023
"""Vertex colours are kept as 1023 * sqrt(linear): even steps to the eye, ten bits, and linear again by squaring."""


def _linear_of_srgb() -> Float32[ndarray, " 256"]:
    """Linear light of an 8-bit sRGB value (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _srgb_of_root() -> UInt8[ndarray, " 1024"]:
    """8-bit sRGB value of `sqrt(linear) * 1023`."""
    linear = (np.arange(DISPLAY_STEPS + 1) / DISPLAY_STEPS) ** 2
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


LINEAR_OF_SRGB = _linear_of_srgb()
SRGB_OF_ROOT = _srgb_of_root()


def vertex_normals(
    vertices: Float32[ndarray, "vertices 3"], faces: Int32[ndarray, "faces 3"]
) -> Float32[ndarray, "vertices 3"]:
    """Unit vertex normals: the sum of the neighbouring faces' normals, weighted by area."""
    normals = np.zeros_like(vertices)
    _normals(vertices, faces, normals)
    return normals


def shade(
    vertices: Float32[ndarray, "vertices 3"],
    normals: Float32[ndarray, "vertices 3"],
    colors: UInt8[ndarray, "vertices 3"],
    *,
    eye: tuple[float, float, float],
    studio: Studio,
    shadow: ShadowMap,
) -> Float32[ndarray, "vertices 3"]:
    """Colour of every vertex as seen from `eye`, as 1023 * sqrt(linear light)."""
    shaded = np.empty_like(vertices)
    lights = np.array(
        [studio.key, studio.key_color, studio.fill, studio.fill_color, studio.sky, studio.bounce, studio.rim, eye],
        np.float32,
    )
    _shade(vertices, normals, colors, lights, LINEAR_OF_SRGB, shadow.highest, shadow.frame(studio.key), shaded)
    return shaded


@kernel
@no_type_check
def _normals(V, F, N):
    for t in range(F.shape[0]):
        a, b, c = F[t, 0], F[t, 1], F[t, 2]
        ux, uy, uz = V[b, 0] - V[a, 0], V[b, 1] - V[a, 1], V[b, 2] - V[a, 2]
        wx, wy, wz = V[c, 0] - V[a, 0], V[c, 1] - V[a, 1], V[c, 2] - V[a, 2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for i in (a, b, c):
            N[i, 0] += nx
            N[i, 1] += ny
            N[i, 2] += nz
    tiny = np.float32(1e-30)
    for i in range(N.shape[0]):
        scale = np.float32(1) / np.sqrt(N[i, 0] * N[i, 0] + N[i, 1] * N[i, 1] + N[i, 2] * N[i, 2] + tiny)
        N[i, 0] *= scale
        N[i, 1] *= scale
        N[i, 2] *= scale


@kernel
@no_type_check
def _shade(V, N, base, lights, linear, highest, frame, out):
    """`frame`: world x and z of the shadow map's corner, cells a metre, shear in x and z (see ShadowMap.frame)."""
    rows, columns = highest.shape
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    wrap = np.float32(0.2)
    for i in range(V.shape[0]):
        x, y, z = V[i, 0], V[i, 1], V[i, 2]
        nx, ny, nz = N[i, 0], N[i, 1], N[i, 2]
        key = (nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2] + wrap) / (one + wrap)
        fill = max(nx * lights[2, 0] + ny * lights[2, 1] + nz * lights[2, 2], zero)
        vx, vy, vz = lights[7, 0] - x, lights[7, 1] - y, lights[7, 2] - z
        scale = one / np.sqrt(vx * vx + vy * vy + vz * vz + np.float32(1e-12))
        facing = min(max((nx * vx + ny * vy + nz * vz) * scale, zero), one)
        edge = one - facing
        rim = edge * edge * edge * (half + half * ny)
        hx, hy, hz = lights[0, 0] + vx * scale, lights[0, 1] + vy * scale, lights[0, 2] + vz * scale
        gloss = max(nx * hx + ny * hy + nz * hz, zero) / np.sqrt(hx * hx + hy * hy + hz * hz + np.float32(1e-12))
        gloss = gloss * gloss
        gloss = gloss * gloss
        gloss = gloss * gloss
        gloss = np.float32(0.06) * gloss * gloss
        if key > zero:
            u = (x - frame[3] * y - frame[0]) * frame[2] - half
            v = (z - frame[4] * y - frame[1]) * frame[2] - half
            column, row = int(np.floor(u)), int(np.floor(v))
            if 1 <= column < columns - 2 and 1 <= row < rows - 2:
                fu, fv = u - np.float32(column), v - np.float32(row)
                lit = zero
                for j in range(-1, 3):
                    # Weights of a box three cells wide around (u, v).
                    wv = one - fv if j == -1 else (fv if j == 2 else one)
                    for k in range(-1, 3):
                        wu = one - fu if k == -1 else (fu if k == 2 else one)
                        above = (highest[row + j, column + k] - y - np.float32(0.05)) * np.float32(14.0)
                        lit += wu * wv * min(max(one - above, zero), one)
                key *= lit * np.float32(1 / 9)
                gloss *= lit * np.float32(1 / 9)
        else:
            key = zero
            gloss = zero
        up = half + half * ny
        for c in range(3):
            light = key * lights[1, c] + fill * lights[3, c] + up * lights[4, c] + (one - up) * lights[5, c]
            value = linear[base[i, c]] * (light + rim * lights[6, c]) + gloss * lights[1, c]
            # A soft shoulder: below .6 nothing changes, above it light is compressed towards 1.
            if value > np.float32(0.6):
                value = one - np.float32(0.16) / (value - np.float32(0.2))
            out[i, c] = np.sqrt(max(value, zero)) * np.float32(1023)
