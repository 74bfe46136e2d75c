"""Furniture made of boxes, rings and cushions: random sizes, in two families of shapes, one of them never trained on.

A piece stands on the floor around the origin and faces +Z: that is where one sits down from. Metres, Y up, every part a
closed surface. Sizes are those of ordinary furniture, with seats from 0.30 to 0.54 m.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Surface = tuple[Float[ndarray, "_ 3"], Int[ndarray, "_ 3"]]
Outline = Float[ndarray, "_ 2"]
Random = np.random.Generator


@dataclass(frozen=True)
class Piece:
    """A piece of furniture at the origin, facing +Z."""

    kind: str
    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    affords: str | None = None
    walkable: bool = False

    @property
    def low(self) -> Float[ndarray, "3"]:
        """Lowest corner of its box."""
        return self.vertices.min(0)

    @property
    def high(self) -> Float[ndarray, "3"]:
        """Highest corner of its box."""
        return self.vertices.max(0)


# -------------------------------------------------------------------------------------------------------------- parts


def loft(rings: Float[ndarray, "rings corners 3"]) -> Surface:
    """The closed surface through rings of as many corners each, bottom to top, clockwise as seen from above."""
    count, corners = rings.shape[:2]
    middle = rings[[0, -1]].mean(1)
    k, j = np.meshgrid(np.arange(count - 1), np.arange(corners), indexing="ij")
    a, b = k * corners + j, k * corners + (j + 1) % corners
    sides = np.concatenate([np.stack([a, a + corners, b], -1), np.stack([b, a + corners, b + corners], -1)])
    first = np.arange(corners)
    after, bottom, top = (first + 1) % corners, count * corners, count * corners + 1
    up = (count - 1) * corners
    caps = [np.stack([first, after, np.full(corners, bottom)], -1),
            np.stack([up + after, up + first, np.full(corners, top)], -1)]  # fmt: skip
    return np.concatenate([rings.reshape(-1, 3), middle]), np.concatenate([sides.reshape(-1, 3), *caps])


def rectangle(width: float, depth: float, x: float = 0.0, z: float = 0.0) -> Outline:
    """Corners (x, z), clockwise as seen from above."""
    w, d = width / 2, depth / 2
    return np.array([[x - w, z - d], [x - w, z + d], [x + w, z + d], [x + w, z - d]])[::-1]


def circle(radius: float, x: float = 0.0, z: float = 0.0, corners: int = 16) -> Outline:
    """Corners (x, z), clockwise as seen from above."""
    angle = 2 * math.pi * np.arange(corners) / corners
    return np.stack([x + radius * np.cos(angle), z + radius * np.sin(angle)], -1)


def prism(outline: Outline, low: float, high: float, *, taper: float = 1.0, lean: float = 0.0) -> Surface:
    """From an outline at one height to the same at another, there `taper` times as large and moved by `lean` in z."""
    middle = outline.mean(0)
    upper = (outline - middle) * taper + middle + [0.0, lean]
    return loft(np.stack([_raised(outline, low), _raised(upper, high)]))


def cushion(outline: Outline, low: float, high: float, *, soft: float = 0.03) -> Surface:
    """A prism whose upper edge is bevelled by `soft` metres."""
    middle, size = outline.mean(0), np.ptp(outline, axis=0).min()
    inner = (outline - middle) * max(0.1, 1 - 2 * soft / size) + middle
    return loft(np.stack([_raised(outline, low), _raised(outline, high - soft), _raised(inner, high)]))


def box(width: float, depth: float, low: float, high: float, x: float = 0.0, z: float = 0.0) -> Surface:
    """An upright box around (x, z)."""
    return prism(rectangle(width, depth, x, z), low, high)


def legs(
    width: float, depth: float, high: float, thick: float, *, taper: float = 1.0, behind: float = 0.0
) -> list[Surface]:
    """Four legs in the corners of a rectangle, whose middle is `behind` metres behind the origin."""
    w, d = (width - thick) / 2, (depth - thick) / 2
    return [prism(rectangle(thick * taper, thick * taper, x, z - behind), 0, high, taper=1 / taper)
            for x in (-w, w) for z in (-d, d)]  # fmt: skip


def bow(radius: float, thick: float, low: float, high: float, spread: float, parts: int = 7) -> list[Surface]:
    """A curved wall behind the origin that spreads over an angle (radians), of straight parts."""
    edges = np.linspace(-spread / 2, spread / 2, parts + 1) + math.pi
    wall = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        around = ((radius, first), (radius, last), (radius + thick, last), (radius + thick, first))
        wall.append(prism(np.array([(r * math.sin(a), r * math.cos(a)) for r, a in around]), low, high))
    return wall


def joined(surfaces: Sequence[Surface]) -> Surface:
    """Several surfaces as one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in surfaces[:-1])])
    faces = [faces + start for (_, faces), start in zip(surfaces, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in surfaces]), np.concatenate(faces)


def _raised(outline: Outline, height: float) -> Float[ndarray, "corners 3"]:
    return np.stack([outline[:, 0], np.full(len(outline), height), outline[:, 1]], -1)


def _piece(kind: str, surfaces: Sequence[Surface], affords: str | None = None, *, walkable: bool = False) -> Piece:
    vertices, faces = joined(surfaces)
    return Piece(kind, vertices, faces, affords, walkable)


# ------------------------------------------------------------------------------------------------------------ to sit on


def chair(rng: Random, held_out: bool) -> Piece:
    """A chair with a panel or slats for a back; held out: a round seat on one foot with a curved back."""
    seat, width, depth = rng.uniform(0.30, 0.48), rng.uniform(0.40, 0.50), rng.uniform(0.40, 0.47)
    back, thick = seat + rng.uniform(0.32, 0.48), rng.uniform(0.025, 0.045)
    if held_out:
        radius = width / 2 + 0.01
        wall = bow(radius - 0.03, 0.03, seat - 0.02, seat + rng.uniform(0.25, 0.38), rng.uniform(1.6, 2.2))
        foot = [prism(circle(0.21), 0, 0.03), prism(circle(0.035), 0.03, seat - 0.05)]
        return _piece("chair", [*foot, cushion(circle(radius), seat - 0.05, seat, soft=0.015), *wall], "sit")
    parts = [*legs(width, depth, seat - thick, rng.uniform(0.03, 0.05)), box(width, depth, seat - thick, seat)]
    lean, behind = -rng.uniform(0.02, 0.10), -depth / 2 + 0.015
    if rng.random() < 0.5:
        parts.append(prism(rectangle(width, 0.03, 0, behind), seat, back, lean=lean))
    else:
        across = np.linspace(-width / 2 + 0.02, width / 2 - 0.02, int(rng.integers(3, 6)))
        parts += [prism(rectangle(0.03, 0.025, x, behind), seat, back, lean=lean) for x in across]
        parts.append(box(width, 0.03, back - 0.01, back + 0.05, 0, behind + lean))
    return _piece("chair", parts, "sit")


def armchair(rng: Random, held_out: bool) -> Piece:
    """A block with a cushion, arms and a back; held out: a tub on tapered legs, closed around."""
    seat, inner, depth = rng.uniform(0.31, 0.46), rng.uniform(0.54, 0.66), rng.uniform(0.50, 0.60)
    if held_out:
        radius = inner / 2 + 0.02
        wall = bow(radius, 0.09, 0.15, seat + rng.uniform(0.22, 0.36), rng.uniform(3.2, 3.9), 12)
        parts = [*legs(0.44, 0.44, 0.16, 0.05, taper=0.6), prism(circle(radius), 0.15, seat - 0.12),
                 cushion(circle(radius), seat - 0.12, seat), *wall]  # fmt: skip
        return _piece("armchair", parts, "sit")
    return _piece("armchair", _upholstered(rng, seat, inner, depth, 1), "sit")


def couch(rng: Random, held_out: bool) -> Piece:
    """Two or three cushions between arms; held out: without one arm, that end long enough to lie on."""
    seat, depth, places = rng.uniform(0.31, 0.46), rng.uniform(0.50, 0.62), int(rng.integers(2, 4))
    inner = places * rng.uniform(0.56, 0.68)
    parts = _upholstered(rng, seat, inner, depth, places, right=not held_out)
    if held_out:
        width, long = inner / places, rng.uniform(0.45, 0.7)
        x, z = (inner - width) / 2, depth / 2 + long / 2
        parts += [box(width, long, 0.06, seat - 0.14, x, z),
                  cushion(rectangle(width - 0.01, long, x, z), seat - 0.14, seat)]  # fmt: skip
    return _piece("couch", parts, "sit")


def _upholstered(
    rng: Random, seat: float, inner: float, depth: float, places: int, *, right: bool = True
) -> list[Surface]:
    """Base, cushions, back and arms, or the arm at -X alone; the seat's middle is at the origin."""
    arm, back = rng.uniform(0.10, 0.18), rng.uniform(0.14, 0.22)
    rise, rest = rng.uniform(0.14, 0.24), rng.uniform(0.32, 0.48)
    foot, cut = rng.uniform(0.04, 0.12), seat - rng.uniform(0.12, 0.16)
    width = inner / places
    behind = prism(rectangle(inner, back, 0, -(depth + back) / 2), foot, seat + rest, lean=-rng.uniform(0.0, 0.08))
    parts = [box(inner, depth, foot, cut), behind]
    for k in range(places):
        x = (k - (places - 1) / 2) * width
        parts.append(cushion(rectangle(width - 0.01, depth, x), cut, seat))
    for side in (-1, 1) if right else (-1,):
        x = side * (inner + arm) / 2
        parts.append(cushion(rectangle(arm, depth + back, x, -back / 2), foot, seat + rise))
    return parts + legs(inner - 0.05, depth + back - 0.05, foot + 0.02, 0.05, behind=back / 2)


def stool(rng: Random, held_out: bool) -> Piece:
    """A seat on four legs; held out: a drum."""
    seat, size = rng.uniform(0.38, 0.54), rng.uniform(0.34, 0.46)
    if held_out:
        return _piece("stool", [cushion(circle(size / 2 + 0.02), 0.0, seat, soft=0.02)], "sit")
    return _piece("stool", [*legs(size, size, seat - 0.04, 0.04), box(size, size, seat - 0.04, seat)], "sit")


def bench(rng: Random, held_out: bool) -> Piece:
    """A long seat on two boards; held out: upholstered, on four legs."""
    seat, width, depth = rng.uniform(0.40, 0.48), rng.uniform(0.9, 1.4), rng.uniform(0.34, 0.42)
    if held_out:
        top = cushion(rectangle(width, depth), seat - 0.10, seat)
        return _piece("bench", [*legs(width, depth, seat - 0.10, 0.05), top], "sit")
    feet = [box(0.04, depth - 0.04, 0, seat - 0.04, x) for x in (0.15 - width / 2, width / 2 - 0.15)]
    return _piece("bench", [*feet, box(width, depth, seat - 0.04, seat)], "sit")


def bed(rng: Random, held_out: bool) -> Piece:
    """Frame, mattress, pillows at -Z and a headboard; held out: a wide platform, low, with a board at the feet too."""
    width, length = float(rng.choice([0.9, 1.0, 1.4, 1.6])), rng.uniform(1.95, 2.1)
    top, thick = (rng.uniform(0.28, 0.45), 0.14) if held_out else (rng.uniform(0.34, 0.58), 0.18)
    rim = rng.uniform(0.08, 0.15) if held_out else 0.03
    under = box(width + 2 * rim, length + 2 * rim, 0.0 if held_out else 0.12, top - thick)
    parts = [under, cushion(rectangle(width, length), top - thick, top, soft=0.06 if held_out else 0.04)]
    if not held_out:
        parts += legs(width, length, 0.13, 0.07)
    ends = [(-1, rng.uniform(0.3, 0.6))] + ([(1, rng.uniform(0.02, 0.2))] if held_out else [])
    parts += [box(width + 2 * rim, 0.05, 0.0, top + over, 0, end * (length / 2 + rim + 0.025)) for end, over in ends]
    pillows = 1 if width < 1.2 else 2
    for k in range(pillows):
        x, wide = (k - (pillows - 1) / 2) * width / pillows, min(0.6, width / pillows - 0.08)
        parts.append(cushion(rectangle(wide, 0.34, x, -length / 2 + 0.2), top - 0.01, top + rng.uniform(0.05, 0.08)))
    return _piece("bed", parts, "lie")


# --------------------------------------------------------------------------------------------------------- other pieces


def table(rng: Random, held_out: bool, *, low: bool = False) -> Piece:
    """A board on four legs; held out: a round one on a column."""
    top = rng.uniform(0.32, 0.46) if low else rng.uniform(0.70, 0.78)
    width = rng.uniform(0.7, 1.2) if low else rng.uniform(0.8, 1.6)
    if held_out:
        radius = width / 2 if low else min(width, 1.1) / 2
        parts = [prism(circle(radius * 0.6), 0, 0.04), prism(circle(0.05), 0.04, top - 0.03),
                 prism(circle(radius, corners=20), top - 0.03, top)]  # fmt: skip
        return _piece("table", parts)
    depth = rng.uniform(0.45, 0.7) if low else rng.uniform(0.7, 0.9)
    board = rng.uniform(0.025, 0.05)
    return _piece("table", [*legs(width, depth, top - board, 0.05), box(width, depth, top - board, top)])


def shelf(rng: Random, held_out: bool) -> Piece:
    """Boards between two sides, with a back; held out: boards on four thin posts, narrower upwards."""
    width, depth, height = rng.uniform(0.6, 1.2), rng.uniform(0.25, 0.38), rng.uniform(1.2, 2.0)
    levels = np.linspace(0.05, height - 0.03, int(rng.integers(4, 6)))
    if held_out:
        boards = [box(width, depth * (1 - 0.5 * h / height), h, h + 0.025, 0, -0.25 * depth * h / height)
                  for h in levels]  # fmt: skip
        ends = ((depth / 2, -depth / 2), (-depth / 2, 0.0))
        posts = [prism(rectangle(0.03, 0.03, x, z), 0, height, lean=lean)
                 for x in (-width / 2, width / 2) for z, lean in ends]  # fmt: skip
        return _piece("shelf", boards + posts)
    sides = [box(0.025, depth, 0, height, x) for x in (-width / 2, width / 2)]
    boards = [box(width, depth, h, h + 0.025) for h in levels]
    return _piece("shelf", [*sides, *boards, box(width, 0.015, 0, height, 0, -depth / 2)])


def cabinet(rng: Random, held_out: bool) -> Piece:
    """A block on a plinth, low or as high as a wardrobe; held out: a sideboard on legs."""
    width, depth = rng.uniform(0.5, 1.3), rng.uniform(0.38, 0.6)
    if held_out:
        return _piece("cabinet", [*legs(width, depth, 0.2, 0.05, taper=0.6), box(width, depth, 0.19, 0.75)])
    height = float(rng.choice([rng.uniform(0.6, 0.95), rng.uniform(1.7, 2.1)]))
    return _piece("cabinet", [box(width - 0.06, depth - 0.06, 0, 0.08), box(width, depth, 0.08, height)])


def lamp(rng: Random, held_out: bool) -> Piece:
    """A foot, a pole and a shade; held out: the shade is a ball on three legs."""
    height = rng.uniform(1.3, 1.7)
    if held_out:
        feet = [prism(circle(0.012, x, z, 6), 0, height - 0.2, lean=-z)
                for x, z in ((0.0, 0.2), (0.17, -0.1), (-0.17, -0.1))]  # fmt: skip
        heights = height + 0.16 * np.array([-1.0, -0.7, 0.0, 0.7, 1.0])
        rings = [_raised(circle(r), h) for r, h in zip((0.03, 0.11, 0.16, 0.11, 0.03), heights, strict=True)]
        return _piece("lamp", [*feet, loft(np.stack(rings))])
    return _piece("lamp", [prism(circle(0.14), 0, 0.03), prism(circle(0.015, corners=8), 0.03, height),
                           prism(circle(0.2), height - 0.05, height + 0.22, taper=0.6)])  # fmt: skip


def plant(rng: Random, held_out: bool) -> Piece:
    """A pot with something conical in it; held out: something round."""
    radius, height = rng.uniform(0.12, 0.2), rng.uniform(0.6, 1.3)
    pot = prism(circle(radius * 0.7), 0, 0.3, taper=1.4)
    wide = radius * 1.6
    profile = ((0.0, wide), (0.7, wide), (1.0, 0.3 * wide)) if held_out else ((0.0, wide), (1.0, 0.02))
    rings = [_raised(circle(r, corners=10), 0.3 + (height - 0.3) * share) for share, r in profile]
    return _piece("plant", [pot, loft(np.stack(rings))])


def rug(rng: Random, held_out: bool) -> Piece:
    """Something thin to walk on; held out: round."""
    if held_out:
        return _piece("rug", [prism(circle(rng.uniform(0.6, 1.0), corners=24), 0, 0.012)], walkable=True)
    return _piece("rug", [box(rng.uniform(1.2, 2.2), rng.uniform(0.9, 1.5), 0, 0.012)], walkable=True)


MAKERS: dict[str, Callable[[Random, bool], Piece]] = {
    "chair": chair, "armchair": armchair, "couch": couch, "stool": stool, "bench": bench, "bed": bed, "table": table,
    "low table": partial(table, low=True), "shelf": shelf, "cabinet": cabinet, "lamp": lamp, "plant": plant, "rug": rug,
}  # fmt: skip
"""Every kind of piece, made of random numbers and whether the shape is held out."""
