"""Dress the bare body: shirt, trousers, shoes, hair, brows, lips and eyes, as parts of one mesh with sharp edges.

All levels are heights and distances in metres on the neutral person in T-pose (pelvis at `PELVIS`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from models.body.bake_mesh import Surface, cut, normals, refine, smooth, without
from models.body.bake_shoes import shoes

SKIN, SHIRT, TROUSERS, SOCKS, FEET, SHOES, SOLES, HAIR, BROWS, EYES, IRIS, PUPILS = range(12)

COLORS: dict[int, tuple[int, int, int]] = {
    SKIN: (216, 170, 142), SHIRT: (62, 112, 158), TROUSERS: (64, 66, 78), SOCKS: (50, 50, 56), FEET: (0, 0, 0),
    SHOES: (92, 78, 66), SOLES: (226, 222, 214), HAIR: (66, 48, 38), BROWS: (92, 66, 52), EYES: (240, 238, 234),
    IRIS: (92, 66, 44), PUPILS: (16, 14, 14),
}  # fmt: skip
LIPS = (186, 116, 104)

HEM = -0.375
SLEEVE = 0.315
CUFF = -1.272
SOCK = -1.29

_HAIRLINE = np.array([(-0.06, 0.178), (-0.02, 0.19), (0.03, 0.238), (0.05, 0.27), (0.078, 0.272), (0.084, 0.3),
                      (0.098, 0.33), (0.125, 0.352), (0.2, 0.362)])  # fmt: skip
"""Height of the hairline by depth z: nape, behind the ear, side burn, temple, forehead."""

_BROW = np.array([(0.0125, 0.3015, 0.0026), (0.022, 0.3045, 0.003), (0.033, 0.3055, 0.0025), (0.045, 0.3005, 0.001)])
"""Distance from the middle, height and half width along a brow."""


def dress(
    surface: Surface, joints: Float[ndarray, "55 3"], lips: int, ears: int
) -> tuple[Surface, UInt8[ndarray, "vertices 3"]]:
    """Cut the parts, lift the clothes off the skin, put shoes on, and colour every vertex.

    The first 55 attributes of the surface are skinning weights; `lips` and `ears` are the columns of painted masks.
    """
    pair = shoes(surface, joints, SHOES, SOLES)
    surface = replace(surface, points=_drape(surface))
    surface = _cut_head(_cut_clothes(surface), ears)
    surface = _joined(replace(surface, points=_lift(surface)), *pair)
    colors = np.array([COLORS[part] for part in range(len(COLORS))], np.float64)[surface.parts]
    share = np.where(surface.parts == SKIN, np.clip(surface.attributes[:, lips], 0, 1), 0)[:, None]
    return surface, np.rint(colors + share * (np.array(LIPS) - colors)).astype(np.uint8)


def _joined(surface: Surface, points: ndarray, attributes: ndarray, parts: ndarray, faces: ndarray) -> Surface:
    return Surface(
        np.concatenate([surface.points, points]),
        np.concatenate([surface.attributes, attributes]),
        np.concatenate([surface.parts, parts]),
        np.concatenate([surface.faces, faces + len(surface.points)]),
    )


def _ramp(value: Float[ndarray, " vertices"], low: float, high: float) -> Float[ndarray, " vertices"]:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _bump(points: Float[ndarray, "vertices 3"], centre: Float[ndarray, "3"], radius: float) -> ndarray:
    return np.exp(-(np.linalg.norm((points - centre) * [1, 1, 0.5], axis=1) ** 2) / radius**2)


def _drape(surface: Surface) -> Float[ndarray, "vertices 3"]:
    """Cloth does not follow every fold of the body: smooth what it covers, and take the small features out."""
    points = surface.points
    x, y, z = points.T
    bare = surface.parts == SKIN
    covered = _ramp(-y, -0.08, 0.0) * _ramp(-np.abs(x), -0.34, -0.24) * _ramp(y, CUFF, CUFF + 0.15) * bare
    torso = _ramp(y, HEM - 0.05, HEM + 0.1)
    chest = np.where((x > 0.04) & (x < 0.14) & (y > -0.2) & (y < 0.0), z, -np.inf)
    breast = points[np.argmax(chest)]
    navel = np.array([0.0, -0.25, z[(np.abs(x) < 0.02) & (np.abs(y + 0.25) < 0.02)].max()])
    small = sum(_bump(points, centre, 0.03) for centre in (breast, breast * [-1, 1, 1], navel))
    points = smooth(points, surface.faces, np.clip(small * 2, 0, 1) * bare, 500)
    points = smooth(points, surface.faces, 0.5 * covered * (0.35 + 0.65 * torso), 12)
    crotch = np.exp(-(((x / 0.08) ** 2) + ((y + 0.44) / 0.09) ** 2)) * bare
    return smooth(points, surface.faces, 0.5 * crotch, 25)


def _neck_line(points: Float[ndarray, "vertices 3"]) -> Float[ndarray, " vertices"]:
    """Above a tilted plane round the throat: positive below it."""
    return 0.118 - 0.42 * (points[:, 2] - 0.0) - points[:, 1]


def _cut_clothes(surface: Surface) -> Surface:
    points = surface.points
    shirt = np.minimum.reduce([_neck_line(points), SLEEVE - np.abs(points[:, 0]), points[:, 1] - HEM])
    surface = cut(surface, shirt, SKIN, SHIRT, rim=True)
    below = (surface.parts == SKIN) & (surface.points[:, 1] < HEM + 0.01)
    surface = replace(surface, parts=np.where(below, TROUSERS, surface.parts))
    surface = cut(surface, CUFF - surface.points[:, 1], TROUSERS, SOCKS, rim=True)
    return without(cut(surface, SOCK - surface.points[:, 1], SOCKS, FEET), FEET)


def _brow_field(points: Float[ndarray, "vertices 3"]) -> Float[ndarray, " vertices"]:
    along = np.linspace(0, 1, 40)
    stations = np.linspace(0, 1, len(_BROW))
    curve = np.stack([np.interp(along, stations, column) for column in _BROW.T], axis=1)
    flat = np.stack([np.abs(points[:, 0]), points[:, 1]], axis=1)
    gap = np.linalg.norm(flat[:, None] - curve[None, :, :2], axis=2)
    return np.where(points[:, 2] > 0.11, (curve[:, 2] - gap).max(1), -1.0)


def _cut_head(surface: Surface, ears: int) -> Surface:
    points = surface.points
    above = points[:, 1] - np.interp(points[:, 2], *_HAIRLINE.T)
    above = above - 0.03 * np.clip(surface.attributes[:, ears], 0, 1) * 2
    surface = cut(surface, np.where(points[:, 1] > 0.15, above, -1.0), SKIN, HAIR, rim=True)
    for _ in range(2):
        x, y, z = surface.points.T
        browed = (np.abs(x) < 0.052) & (np.abs(y - 0.303) < 0.009) & (z > 0.1) & (surface.parts == SKIN)
        eyed = (np.hypot(np.abs(x) - 0.0295, y - 0.2834) < 0.009) & (z > 0.13) & (surface.parts == EYES)
        surface = refine(surface, browed | eyed)
    surface = cut(surface, _brow_field(surface.points), SKIN, BROWS)
    for part, new_part, radius in ((EYES, IRIS, 0.0062), (IRIS, PUPILS, 0.0027)):
        x, y, z = surface.points.T
        centre = surface.points[surface.parts >= EYES]
        middle = np.abs(centre[:, 0]).min() / 2 + np.abs(centre[:, 0]).max() / 2
        level = (centre[:, 1].min() + centre[:, 1].max()) / 2
        deep = (centre[:, 2].min() + centre[:, 2].max()) / 2
        field = radius - np.hypot(np.abs(x) - middle, y - level)
        surface = cut(surface, np.where(z > deep, field, -1.0), part, new_part)
    return surface


def _lift(surface: Surface) -> Float[ndarray, "vertices 3"]:
    """Cloth, leather and hair have thickness."""
    points, parts = surface.points, surface.parts
    x, y, z = points.T
    thickness = np.zeros(len(points))
    hem, arm = _ramp(-y, 0.1, 0.4), _ramp(np.abs(x), 0.2, SLEEVE)
    thickness[parts == SHIRT] = (0.005 + 0.007 * hem + 0.006 * arm)[parts == SHIRT]
    thickness[parts == TROUSERS] = (0.004 + 0.016 * _ramp(-y, 0.75, 1.22))[parts == TROUSERS]
    above = y - np.interp(z, *_HAIRLINE.T)
    thickness[parts == HAIR] = (0.0025 + 0.0115 * _ramp(above, 0.0, 0.06))[parts == HAIR]
    _, first, same = np.unique(points.round(6), axis=0, return_index=True, return_inverse=True)
    outwards = normals(points[first], same.ravel()[surface.faces])[same.ravel()]
    return points + thickness[:, None] * outwards
