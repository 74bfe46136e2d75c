"""`Scene`: a room as one triangle mesh with its named objects, and what each of them is good for."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from laban.errors import LabanError

SHELL = -1
"""What `Scene.part` says of floor, walls, ceiling and whatever belongs to no object."""
AFFORDS = ("sit", "lie")
"""What one can do on an object."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class SceneObject:
    """A piece of furniture: its box along the axes, metres, and what it is good for."""

    name: str
    kind: str
    """"chair", "table" and so on, or "object"."""
    low: Point
    high: Point
    yaw: float = 0.0
    """Radians about Y, of its front: 0 faces +Z, pi/2 faces +X, as headings of people do."""
    walkable: bool = False
    """One may walk over it, as over a rug."""
    affords: str | None = None
    """"sit", "lie" or None."""

    @property
    def center(self) -> Point:
        """The middle of the box."""
        x, y, z = ((a + b) / 2 for a, b in zip(self.low, self.high, strict=True))
        return x, y, z

    @property
    def size(self) -> Point:
        """Metres along x, y, z."""
        x, y, z = (b - a for a, b in zip(self.low, self.high, strict=True))
        return x, y, z

    @property
    def facing(self) -> tuple[float, float]:
        """The direction (x, z) of its front, of length 1."""
        return math.sin(self.yaw), math.cos(self.yaw)


@dataclass(frozen=True, eq=False)
class Scene:
    """A room, Y up, metres, right handed; x and z are as in the file."""

    name: str
    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    part: Int[ndarray, " faces"]
    """The object of each triangle, an index into `objects`, or `SHELL`."""
    objects: tuple[SceneObject, ...] = ()
    floor: float = 0.0
    """Height of the floor."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the file was read: conversions, guesses, holes."""
    routes: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = ()
    """Starts and goals (x, z) that came with the room."""
    open_floor: bool = False
    """There is floor everywhere within the bounds, whether the mesh has one or not."""

    @property
    def low(self) -> Float[ndarray, "3"]:
        """The lowest corner of the mesh's box."""
        return self.vertices.min(0)

    @property
    def high(self) -> Float[ndarray, "3"]:
        """The highest corner of the mesh's box."""
        return self.vertices.max(0)

    @property
    def size(self) -> Point:
        """Metres along x, y, z."""
        x, y, z = (float(length) for length in self.high - self.low)
        return x, y, z

    def object(self, name: str) -> SceneObject:
        """The object of that name; also of a unique part of it, such as "couch" of "0_couch".

        Raises LabanError with the names there are.
        """
        return self.objects[self.index(name)]

    def index(self, name: str) -> int:
        """Where the object of that name stands in `objects`; LabanError as `object`."""
        names = [one.name for one in self.objects]
        wanted = name.strip().lower()
        exact = [i for i, one in enumerate(names) if one.lower() == wanted]
        found = exact or [i for i, one in enumerate(names) if wanted and wanted in one.lower()]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise LabanError(f"object {name!r}: may be {', '.join(names[i] for i in found)}; say which")
        near = get_close_matches(wanted, [one.lower() for one in names], n=1)
        hint = f" (did you mean {names[[one.lower() for one in names].index(near[0])]}?)" if near else ""
        there = ", ".join(names) if names else "no named objects (name them in a side-car JSON)"
        raise LabanError(f"object {name!r}: not in {self.name}{hint}; it has: {there}")

    def mesh_of(self, name: str) -> tuple[Float[ndarray, "vertices 3"], Int[ndarray, "faces 3"]]:
        """The vertices and triangles of one object."""
        return self._taken(self.part == self.index(name))

    def shell(self) -> tuple[Float[ndarray, "vertices 3"], Int[ndarray, "faces 3"]]:
        """The vertices and triangles of floor, walls and the like."""
        return self._taken(self.part == SHELL)

    def without(self, names: Collection[str]) -> Scene:
        """The room when these objects have been carried out; LabanError for names that it does not have."""
        gone = {self.index(name) for name in names}
        kept = [i for i in range(len(self.objects)) if i not in gone]
        number = np.full(len(self.objects) + 1, SHELL, self.part.dtype)
        number[kept] = np.arange(len(kept), dtype=self.part.dtype)
        stays = ~np.isin(self.part, list(gone)) if gone else np.ones(len(self.part), bool)
        vertices, faces = self._taken(stays)
        return replace(
            self, vertices=vertices, faces=faces, part=number[self.part[stays]],
            objects=tuple(self.objects[i] for i in kept),
        )  # fmt: skip

    def _taken(self, chosen: ndarray) -> tuple[ndarray, ndarray]:
        faces = self.faces[chosen]
        used, renumbered = np.unique(faces, return_inverse=True)
        return self.vertices[used], renumbered.reshape(-1, 3).astype(self.faces.dtype)
