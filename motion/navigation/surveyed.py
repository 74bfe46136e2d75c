"""A room with what people need who go about in it: signed distances, and where a body can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.scene.distance import SdfGrid, sdf_of
from models.scene.paths import find_path
from models.scene.scene import Scene
from models.scene.walkable import SENSE, BodySize, Walkable, walkable_of
from motion.navigation.metrics import Place

NEAREST = 0.6
"""Metres beside an object within which somebody has gone to it."""


@dataclass(frozen=True, eq=False)
class Surveyed:
    """A room that has been looked over once."""

    scene: Scene
    distance: SdfGrid
    walkable: Walkable

    @cached_property
    def sensed(self) -> Walkable:
        """Floor with `SENSE` metres around things: where body parts may be (DIMOS's map for sensing)."""
        return walkable_of(self.scene, BodySize(radius=SENSE, height=self.walkable.body.height))

    @property
    def place(self) -> Place:
        """What motion in this room is measured against."""
        return Place(self.distance, self.sensed.inside, self.scene.floor)

    def path(self, start: tuple[float, float], goal: tuple[float, float]) -> Float[ndarray, "points 2"]:
        """Corners of the way (x, z); LabanError as `find_path`."""
        return find_path(self.walkable, start, goal, scene=self.scene)

    def onward(self, place: tuple[float, float], goal: tuple[float, float]) -> Float[ndarray, "points 2"]:
        """The way from where somebody is, be it free or not: from the free place nearest to it."""
        inside = bool(self.walkable.inside(np.asarray(place)))
        return self.path(place if inside else self.free(place), goal)

    def free(self, place: tuple[float, float]) -> tuple[float, float]:
        """The free place nearest to one."""
        x, z = np.asarray(self.walkable.nearest(place)).tolist()
        return x, z

    def reachable(self, place: tuple[float, float], start: tuple[float, float]) -> tuple[float, float]:
        """The free place nearest to `place` that somebody gets to who is at `start`."""
        x, z = np.asarray(self.walkable.nearest(place, area=self.area(start))).tolist()
        return x, z

    def beside(self, name: str, start: tuple[float, float]) -> tuple[float, float]:
        """A free place beside an object, that can be reached: in front of it, or else the nearest to `start`.

        LabanError where no place near it is free.
        """
        thing = self.scene.object(name)
        middle, facing = np.array([thing.center[0], thing.center[2]]), np.array(thing.facing)
        reach = 0.5 * abs(facing) @ np.array([thing.size[0], thing.size[2]]) + self.walkable.body.radius
        cells = np.argwhere(self.walkable.areas == self.area(start))
        places = self.walkable.centers_of(cells)
        low, high = np.array([thing.low[0], thing.low[2]]), np.array([thing.high[0], thing.high[2]])
        gaps = np.linalg.norm(np.clip(places, low, high) - places, axis=1)
        near = gaps < self.walkable.body.radius + NEAREST
        if not near.any():
            raise LabanError(f"{name}: no free place within {NEAREST:g} m of it can be reached; see the plan (--plan)")
        front = np.linalg.norm(places[near] - (middle + reach * facing), axis=1)
        x, z = places[near][int(front.argmin())].tolist()
        return x, z

    def area(self, place: tuple[float, float]) -> int:
        """Number of the connected area that a place, or the free place nearest to it, lies in."""
        cell = self.walkable.cells_of(np.asarray(self.free(place)))
        return int(self.walkable.areas[tuple(cell)])


def survey(scene: Scene, body: BodySize = BodySize(), *, cells: int = 128, cache: Path | None = None) -> Surveyed:
    """Look a room over; `cache` is a folder for its distances. LabanError where nobody can stand anywhere."""
    return Surveyed(scene, sdf_of(scene, cells, cache=cache), walkable_of(scene, body))
