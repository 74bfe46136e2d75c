"""Where on a piece of furniture somebody sits or lies down, by where they can stand before it.

The middle of a couch is no use where a table stands before it, nor is a chair's front edge at a dining table: people
sit where they can get to, or from the side, and then move on what they sit on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.body.model import BodyModel
from models.body.skeleton import JOINT
from models.scene.seating import GoalPose, lying_pose, sitting_pose
from models.scene.seats import Seat, bed_of, moved, seat_of, sideways
from motion.navigation.surveyed import Surveyed

Place = tuple[float, float]

BEFORE = 0.3
"""Metres ahead of the front edge where somebody stands who is going to sit down."""
ONE = 0.5
"""Metres across that one person takes who chooses where on something wide."""
STEP = 0.1
"""Metres between the places that are looked at on something wide."""
MIDDLE, SIDEWAYS, FOOT = 0.2, 0.45, 0.3
"""What a metre from the middle, sitting down from the side, and lying down from the foot end cost, in metres that the
place before is away from where one can stand."""
ARM = 0.12
"""Metres that something is wider than its seat on each side if it has arms, over which nobody sits down."""
EDGE = 0.45
"""Metres from the side of a wide bed at which one lies."""
HIPS = 0.85
"""Metres of somebody who lies from the soles to the hips."""
TALL = 1.7
CLEAR = 0.05
"""Metres ahead of where the feet will be that one stands, so that the calves are free."""
ANKLE = 0.16
"""Metres of height of an ankle whose foot stands."""


@dataclass(frozen=True)
class Target:
    """A pose on a piece of furniture, and the one in which somebody sits down there first."""

    name: str
    kind: str
    pose: GoalPose
    first: GoalPose
    """The same as `pose`, or on the edge, from where one moves on."""

    @property
    def stands(self) -> bool:
        """Whether both feet are on the floor of who sits down."""
        ankles = self.first.joints[[JOINT["left_ankle"], JOINT["right_ankle"]], 1]
        return bool((ankles < ANKLE).all())

    @property
    def spot(self) -> Place:
        """Where one stands before going down: over where the feet will be, or else before the seat."""
        feet = self.first.joints[[JOINT["left_ankle"], JOINT["right_ankle"]]][:, [0, 2]].mean(0)
        x, z = (feet + CLEAR * self.first.seat.facing).tolist() if self.stands else self.first.seat.place(0.15).tolist()
        return x, z

    @property
    def heading(self) -> float:
        """Radians about +Y of where one looks who sits down."""
        return self.first.seat.yaw


@dataclass(frozen=True)
class Way:
    """A seat or bed, and where one sits down first; `extra` is what speaks against it, metres."""

    first: Seat
    last: Seat
    extra: float = 0.0


def target_on(room: Surveyed, name: str, kind: str, start: Place, body: BodyModel) -> Target:
    """The pose of who sits or lies on an object and comes from `start`; LabanError where nothing of it is level."""
    thing, way = room.scene.object(name), way_onto(room, name, kind, start)
    if kind == "lie":
        pose = lying_pose(room.scene, thing, body, seat=way.last)
        return Target(name, kind, pose, sitting_pose(room.scene, thing, body, seat=way.first, around=room.distance))
    pose = sitting_pose(room.scene, thing, body, seat=way.last, around=room.distance)
    if way.first is way.last:
        return Target(name, kind, pose, pose)
    return Target(name, kind, pose, sitting_pose(room.scene, thing, body, seat=way.first, around=room.distance))


def way_onto(room: Surveyed, name: str, kind: str, start: Place) -> Way:
    """The one of all ways to sit or lie on an object that costs least for who comes from `start`."""
    return min(_ways(room, name, kind), key=lambda way: way.extra + _astray(room, way.first, start))


def before(room: Surveyed, target: Target, start: Place) -> Place:
    """Where one stands before settling: in front of the seat as near as one can stand, coming from `start`."""
    x, z = room.reachable(_ahead(target.first.seat), start)
    return x, z


def _ways(room: Surveyed, name: str, kind: str) -> Iterator[Way]:
    """All ways to sit or lie on an object."""
    thing = room.scene.object(name)
    if kind == "lie":
        bed = bed_of(thing, room.scene)
        yield Way(_at_foot(bed), bed, FOOT)
        aside = max(0.0, bed.width / 2 - EDGE)
        along = min(bed.depth - 0.3, max(0.3, (bed.depth - TALL) / 2 + HIPS))
        for side in (1, -1):
            yield Way(sideways(bed, side, along), moved(bed, side * aside))
        return
    seat = seat_of(thing, room.scene)
    yield Way(seat, seat)
    spare = (seat.width - ONE) / 2
    for aside in np.arange(STEP, spare + 1e-6, STEP):
        for place in (moved(seat, float(aside)), moved(seat, -float(aside))):
            yield Way(place, place, MIDDLE * float(aside))
    across = abs(np.array([math.cos(seat.yaw), -math.sin(seat.yaw)])) @ np.array([thing.size[0], thing.size[2]])
    if spare < STEP and across / 2 - seat.width / 2 < ARM:
        for side in (1, -1):
            yield Way(sideways(seat, side, seat.depth / 2), seat, SIDEWAYS)


def _at_foot(bed: Seat) -> Seat:
    return Seat(bed.height, bed.middle, bed.yaw, bed.depth, min(bed.width, ONE), 0.0)


def _ahead(seat: Seat) -> Place:
    x, z = seat.place(BEFORE).tolist()
    return x, z


def _astray(room: Surveyed, seat: Seat, start: Place) -> float:
    """Metres from where one would stand before a seat to where one can."""
    place = _ahead(seat)
    return math.dist(place, room.reachable(place, start))
