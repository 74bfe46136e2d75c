"""Furnished rooms made of a seed: to learn in, and others, with other layouts and other furniture, to be measured in.

Training rooms are rectangles with furniture along the walls and a group in the middle, everything at right angles.
Held-out rooms have a wall that stands into the room, furniture at any angle and couches in the middle, and the shapes
that `pieces` keeps for them. In both, whatever can be sat or lain on can be walked to, and most floor is one piece.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from laban.errors import LabanError
from models.scene.pieces import MAKERS, Piece, Random, box, joined
from models.scene.scene import Scene, SceneObject
from models.scene.seats import turned
from models.scene.walkable import Walkable

CELL = 0.05
"""Metres of a cell of the plan on which pieces are placed."""
BODY = 0.28
"""Metres that have to be free around somebody who passes."""
GAP = 0.05
"""Metres between pieces, and between a piece and the wall."""
FRONT = 0.55
"""Metres in front of a seat where one stands before sitting down."""
ONE_PIECE = 0.93
"""Share of the free floor that has to hang together."""
WALL, TALL = 0.10, 2.6
"""Metres: how thick walls are, and how high."""
TRIES = 30

THEMES: dict[str, tuple[str, ...]] = {
    "living room": ("couch", "armchair", "cabinet", "shelf", "lamp", "plant", "armchair"),
    "bedroom": ("bed", "cabinet", "chair", "armchair", "shelf", "lamp"),
    "dining room": ("cabinet", "shelf", "bench", "plant", "lamp"),
    "study": ("shelf", "shelf", "armchair", "cabinet", "bed", "stool"),
}
"""What stands along the walls, the most important first."""


@dataclass(frozen=True)
class Placed:
    """A piece in the room: its middle (x, z), and radians about +Y from facing +Z towards facing +X."""

    piece: Piece
    x: float
    z: float
    yaw: float

    def vertices(self) -> Float[ndarray, "vertices 3"]:
        """In the room."""
        return turned(self.piece.vertices, self.yaw) + [self.x, 0.0, self.z]

    def covers(
        self, points: Float[ndarray, "*points 2"], more: float = 0.0, ahead: float = 0.0
    ) -> Bool[ndarray, "*points"]:
        """Which points (x, z) lie below its own box, made wider by `more` and longer to the front by `ahead`."""
        local = turned(np.insert(points - [self.x, self.z], 1, 0.0, -1), -self.yaw)[..., [0, 2]]
        low, high = self.piece.low[[0, 2]] - more, self.piece.high[[0, 2]] + [more, more + ahead]
        return np.asarray(((local > low) & (local < high)).all(-1))

    def front(self) -> Float[ndarray, "2"]:
        """Where somebody stands who is about to sit down, or about to lie down on the side with more room."""
        ahead = self.piece.high[2] + FRONT / 2 + BODY / 2
        return np.array([self.x + ahead * math.sin(self.yaw), self.z + ahead * math.cos(self.yaw)])


@dataclass(frozen=True)
class Plan:
    """A floor with what stands on it: a grid of points, and which are taken."""

    size: tuple[float, float]
    walls: tuple[tuple[float, float, float, float], ...] = ()
    """Inner walls: low x, low z, high x, high z."""
    placed: tuple[Placed, ...] = ()

    def points(self) -> Float[ndarray, "x z 2"]:
        """Middles of the cells."""
        axes = [np.arange(round(side / CELL)) * CELL - side / 2 + CELL / 2 for side in self.size]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1)

    def free(self) -> Bool[ndarray, "x z"]:
        """Where the middle of a body may be."""
        points = self.points()
        blocked = np.zeros(points.shape[:2], bool)
        for low_x, low_z, high_x, high_z in self.walls:
            blocked |= ((points > (low_x, low_z)) & (points < (high_x, high_z))).all(-1)
        for one in self.placed:
            if not one.piece.walkable:
                blocked |= one.covers(points)
        blocked = np.pad(blocked, 1, constant_values=True)
        return (ndimage.distance_transform_edt(~blocked)[1:-1, 1:-1] * CELL) > BODY

    def fits(self, new: Placed) -> bool:
        """Whether a piece stands inside of the walls, in nothing else, and nobody's way is cut off."""
        points = self.points()
        corners = new.vertices()[:, [0, 2]]
        inside = (np.abs(corners) < np.array(self.size) / 2 - GAP / 2).all()
        own = new.covers(points, GAP)
        taken = any(
            new.piece.walkable == one.piece.walkable and (own & one.covers(points, GAP)).any() for one in self.placed
        )
        wall = any((own & ((points > w[:2]) & (points < w[2:])).all(-1)).any() for w in self.walls)
        if not inside or taken or wall:
            return False
        return new.piece.walkable or replace(self, placed=(*self.placed, new)).connected()

    def connected(self) -> bool:
        """Whether most of the free floor hangs together, and whatever affords something is reached from it."""
        labels, count = ndimage.label(self.free())
        if not count:
            return False
        sizes = np.bincount(labels.ravel())[1:]
        main = labels == 1 + sizes.argmax()
        if main.sum() < ONE_PIECE * sizes.sum():
            return False
        points = self.points()[main]
        return all(self._reached(one, points) for one in self.placed if one.piece.affords)

    @staticmethod
    def _reached(one: Placed, points: Float[ndarray, "points 2"]) -> bool:
        if one.piece.affords == "lie":
            return bool(one.covers(points, BODY + 0.25).any())
        return bool((np.linalg.norm(points - one.front(), axis=-1) < 0.15).any())


def make_room(seed: int, *, held_out: bool = False) -> Scene:
    """The furnished room of this seed: 3.6 to 6.5 m wide, floor at 0, around the origin; always the same.

    Raises LabanError for a negative seed.
    """
    if seed < 0:
        raise LabanError(f"room {seed}; accepted: a seed of 0 or more")
    rng = np.random.default_rng((seed, int(held_out), 77))
    size = (round(float(rng.uniform(3.8, 6.5)), 2), round(float(rng.uniform(3.6, 5.5)), 2))
    theme = str(rng.choice(list(THEMES)))
    plan = Plan(size, _partition(size, rng) if held_out else ())
    plan = _middle(plan, theme, rng, held_out)
    plan = _along_walls(plan, THEMES[theme], rng, held_out)
    return _scene(f"{'held-out ' * held_out}{theme} {seed}", plan)


def routes(scene: Scene, walkable: Walkable, n: int, seed: int = 0, *, apart: float = 1.5) -> Float[ndarray, "n 2 2"]:
    """Pairs of places (x, z) on the largest connected piece of free floor, at least `apart` metres from each other.

    In a room too small for that they are as far apart as half of its floor's extent. LabanError where nothing is free.
    """
    cells = np.argwhere(walkable.areas == 1)
    if not len(cells):
        raise LabanError(f"{scene.name}: no free floor for a body; accepted: a room that somebody can stand in")
    places = walkable.centers_of(cells)
    apart = min(apart, float(np.linalg.norm(np.ptp(places, axis=0))) / 2)
    rng, pairs = np.random.default_rng((seed, 78)), list[ndarray]()
    while len(pairs) < n:
        pair = places[rng.integers(0, len(places), 2)]
        if np.linalg.norm(pair[1] - pair[0]) >= apart:
            pairs.append(pair)
    return np.stack(pairs)


# -------------------------------------------------------------------------------------------------------------- layouts


def _middle(plan: Plan, theme: str, rng: Random, held_out: bool) -> Plan:
    """A rug and, by theme, a table with chairs around it or a low table; held out: also a couch that stands freely."""
    yaw = rng.uniform(0, math.pi) if held_out else float(rng.choice([0, math.pi / 2]))
    x, z = (rng.uniform(-0.4, 0.4) for _ in range(2))
    plan = _added(plan, Placed(MAKERS["rug"](rng, held_out), x, z, yaw))
    if theme == "dining room":
        plan = _seated(plan, Placed(MAKERS["table"](rng, held_out), x, z, yaw), 4, rng, held_out)
    elif theme == "living room":
        board = Placed(MAKERS["low table"](rng, held_out), x, z, yaw)
        if held_out:
            plan = _added(plan, _at_table(board, int(rng.integers(4)), MAKERS["couch"](rng, held_out), rng))
        plan = _added(plan, board)
    elif theme == "study":
        plan = _seated(plan, Placed(MAKERS["table"](rng, held_out), x, z, yaw), 1, rng, held_out)
    elif held_out:
        plan = _added(plan, Placed(MAKERS["stool"](rng, held_out), x, z, yaw))
    return plan


def _seated(plan: Plan, board: Placed, seats: int, rng: Random, held_out: bool) -> Plan:
    """A table with chairs at up to so many of its sides."""
    laid = _added(plan, board)
    for side in rng.permutation(4)[:seats].tolist() if laid is not plan else ():
        laid = _added(laid, _at_table(board, side, MAKERS["chair"](rng, held_out), rng))
    return laid


def _at_table(board: Placed, side: int, piece: Piece, rng: Random, away: float = 0.75) -> Placed:
    """A seat that faces one of the four sides of a table, drawn back so far that one can sit down."""
    half = board.piece.high[[2, 0, 2, 0][side]]
    direction = board.yaw + side * math.pi / 2
    distance = half + piece.high[2] + away + rng.uniform(0.0, 0.15)
    return Placed(piece, board.x + distance * math.sin(direction), board.z + distance * math.cos(direction),
                  (direction + math.pi) % (2 * math.pi))  # fmt: skip


def _along_walls(plan: Plan, kinds: tuple[str, ...], rng: Random, held_out: bool) -> Plan:
    """Each kind with its back to some wall, or held out at some angle to it; what finds no place is left out."""
    for kind in kinds:
        piece = MAKERS[kind](rng, held_out)
        for _ in range(TRIES):
            side = int(rng.integers(4))
            yaw = side * math.pi / 2
            across, deep = plan.size[side % 2], plan.size[1 - side % 2]
            offset = rng.uniform(-1, 1) * (across / 2 - piece.high[0] - GAP)
            aside = rng.uniform(-0.5, 0.5) if held_out and piece.affords == "sit" else 0.0
            reach = float(turned(piece.vertices, aside)[:, 2].min())
            back = deep / 2 - GAP + reach - (rng.uniform(0.0, 0.3) if aside else 0.0)
            x, z = offset * math.cos(yaw) - back * math.sin(yaw), -offset * math.sin(yaw) - back * math.cos(yaw)
            new = Placed(piece, x, z, (yaw + aside) % (2 * math.pi))
            if plan.fits(new):
                plan = replace(plan, placed=(*plan.placed, new))
                break
    return plan


def _added(plan: Plan, new: Placed) -> Plan:
    return replace(plan, placed=(*plan.placed, new)) if plan.fits(new) else plan


def _partition(size: tuple[float, float], rng: Random) -> tuple[tuple[float, float, float, float], ...]:
    """A wall that stands into the room from one of its sides."""
    wide, deep = size
    if rng.random() < 0.5:
        x, long = rng.uniform(-wide / 6, wide / 6), rng.uniform(0.25, 0.45) * deep
        low = -deep / 2 if rng.random() < 0.5 else deep / 2 - long
        return ((x - WALL / 2, low, x + WALL / 2, low + long),)
    z, long = rng.uniform(-deep / 6, deep / 6), rng.uniform(0.25, 0.45) * wide
    low = -wide / 2 if rng.random() < 0.5 else wide / 2 - long
    return ((low, z - WALL / 2, low + long, z + WALL / 2),)


# ---------------------------------------------------------------------------------------------------------------- scene


def _scene(name: str, plan: Plan) -> Scene:
    """The mesh: floor and walls, then the pieces."""
    shell = joined(_shell(plan))
    surfaces, parts, objects = [shell], [np.full(len(shell[1]), -1)], list[SceneObject]()
    for number, one in enumerate(plan.placed):
        vertices = one.vertices()
        surfaces.append((vertices, one.piece.faces))
        parts.append(np.full(len(one.piece.faces), number))
        kind = one.piece.kind
        objects.append(
            SceneObject(f"{kind}_{1 + sum(o.kind == kind for o in objects)}", kind, _corner(vertices.min(0)),
                        _corner(vertices.max(0)), one.yaw, one.piece.walkable, one.piece.affords)
        )  # fmt: skip
    vertices, faces = joined(surfaces)
    return Scene(name, vertices.astype(np.float32), faces.astype(np.int32), np.concatenate(parts).astype(np.int32),
                 tuple(objects), floor=0.0)  # fmt: skip


def _shell(plan: Plan) -> list[tuple[ndarray, ndarray]]:
    """A slab of floor, four walls, and those inside."""
    wide, deep = plan.size
    out = WALL / 2
    walls = [box(wide + 2 * WALL, WALL, 0, TALL, 0, side * (deep / 2 + out)) for side in (-1, 1)]
    walls += [box(WALL, deep, 0, TALL, side * (wide / 2 + out), 0) for side in (-1, 1)]
    walls += [box(hx - lx, hz - lz, 0, TALL, (lx + hx) / 2, (lz + hz) / 2) for lx, lz, hx, hz in plan.walls]
    return [box(wide + 2 * WALL, deep + 2 * WALL, -0.1, 0.0), *walls]


def _corner(values: Float[ndarray, "3"]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
