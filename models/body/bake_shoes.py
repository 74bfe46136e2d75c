"""A pair of shoes lofted along the soles of the bare feet, which they replace."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

from models.body.bake_mesh import Surface
from models.body.skeleton import JOINT

RINGS = 26
DOME = 11
MARGIN = 0.006
SOLE = 0.017
SOLE_EDGE = 0.0025

_HEIGHT = np.array(
    [(-1.0, 0.058), (-0.8, 0.07), (-0.35, 0.082), (0.05, 0.07), (0.4, 0.05), (0.75, 0.042), (1.0, 0.034)]
)
"""Height of the upper above the floor, from heel (-1) to toe (1)."""


def shoes(
    bare: Surface, joints: Float[ndarray, "55 3"], upper: int, sole: int
) -> tuple[Float[ndarray, "new 3"], Float[ndarray, "new terms"], Int[ndarray, " new"], Int[ndarray, "faces 3"]]:
    """Points, attributes, parts (`upper` or `sole`) and faces of both shoes of a barefoot surface.

    The first 55 attributes are skinning weights: the shoe bends over the ball of the foot. All other attributes are
    averages over the nearest points of the foot, so that shoes grow with their wearer.
    """
    points: list[ndarray] = []
    attributes: list[ndarray] = []
    parts: list[ndarray] = []
    faces: list[ndarray] = []
    for side, x in (("left", 1.0), ("right", -1.0)):
        ankle, ball = JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]
        share = bare.attributes[:, ankle] + bare.attributes[:, ball]
        foot = np.flatnonzero((share > 0.5) & (bare.points[:, 1] < joints[ankle, 1]) & (bare.points[:, 0] * x > 0))
        place, part, ring_faces = _loft(bare.points[foot], upper, sole)
        gap, near = cKDTree(bare.points[foot]).query(place, k=12)
        mix = 1 / (gap + 0.005)
        values = np.einsum("nk,nkt->nt", mix / mix.sum(1, keepdims=True), bare.attributes[foot][near])
        bend = np.clip((place[:, 2] - joints[ball, 2]) / 0.04 + 0.5, 0, 1)
        values[:, :55] = 0
        values[:, ball], values[:, ankle] = bend, 1 - bend
        faces.append(ring_faces + sum(len(placed) for placed in points))
        points.append(place)
        attributes.append(values)
        parts.append(part)
    return np.concatenate(points), np.concatenate(attributes), np.concatenate(parts), np.concatenate(faces)


def _loft(
    foot: Float[ndarray, "points 3"], upper: int, sole: int
) -> tuple[Float[ndarray, "new 3"], Int[ndarray, " new"], Int[ndarray, "faces 3"]]:
    heel, toe, floor = foot[:, 2].min() - MARGIN, foot[:, 2].max() + 1.5 * MARGIN, foot[:, 1].min() - 0.5 * MARGIN
    along = np.sin(np.linspace(-np.pi / 2, np.pi / 2, RINGS)) * 0.9999
    depth = heel + (along + 1) / 2 * (toe - heel)
    low = foot[foot[:, 1] < floor + 0.05]
    slices = [low[np.abs(low[:, 2] - z) < 0.015] for z in np.linspace(heel + 0.02, toe - 0.03, 12)]
    middle = np.array([(part[:, 2].mean(), np.ptp(part[:, 0]) / 2, (part[:, 0].min() + part[:, 0].max()) / 2)
                       for part in slices])  # fmt: skip
    width = np.polyval(np.polyfit(middle[:, 0], middle[:, 1], 3), depth) + MARGIN
    centre = np.polyval(np.polyfit(middle[:, 0], middle[:, 2], 2), depth)
    taper = np.sqrt(1 - np.abs(along) ** 6)
    height = SOLE + (np.interp(along, *_HEIGHT.T) - SOLE) * np.sqrt(taper)
    angle = np.linspace(0, np.pi, DOME)
    outline = [np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7, np.abs(np.sin(angle)) ** 0.8]
    rings = []
    for z, c, w, h, t in zip(depth, centre, width, height, taper, strict=True):
        inner, edge = w * t, w * t + SOLE_EDGE
        dome = np.stack([c + inner * outline[0], floor + SOLE + (h - SOLE) * outline[1], np.full(DOME, z)], axis=1)
        rim = np.array([(c - edge, floor + SOLE, z), (c - edge, floor, z), (c, floor, z), (c + edge, floor, z),
                        (c + edge, floor + SOLE, z)])  # fmt: skip
        rings.append(np.concatenate([dome, rim]))
    size = len(rings[0])
    part = np.tile([upper] * DOME + [sole] * (size - DOME), RINGS)
    return np.concatenate(rings), part, _tube(RINGS, size)


def _tube(rings: int, size: int) -> Int[ndarray, "faces 3"]:
    """Faces between consecutive closed rings, and fans that close both ends; rings turn left about the axis."""
    first = np.arange(size)
    after = np.roll(first, -1)
    strip = np.concatenate(
        [np.stack([first, after, first + size], 1), np.stack([after, after + size, first + size], 1)]
    )
    sides = np.concatenate([strip + ring * size for ring in range(rings - 1)])
    fan = np.stack([np.zeros(size - 2, int), np.arange(1, size - 1), np.arange(2, size)], axis=1)
    return np.concatenate([sides, fan[:, ::-1], fan + (rings - 1) * size])
