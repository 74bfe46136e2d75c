"""Reading rooms: mesh, side-car and names become a `Scene` that stands upright on its floor, in metres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.scene.furniture import BY_KIND, facing_of, is_shell, kind_of
from models.scene.meshes import Part, read_parts
from models.scene.scene import SHELL, Scene, SceneObject
from models.scene.sidecar import Said, SideCar, find_side_car, read_side_car
from models.scene.solid import SILL, open_edges
from models.scene.upright import TURNS, Surface, find_floor, find_scale, find_up, surface_of

BOX = 0.01
"""Metres that triangles of an object may lie outside of its box."""
FURNITURE = 0.6
"""Share of the room's length and depth that a piece of furniture fills at most, in one of both."""


def read_scene(
    path: str | Path, *, objects: Path | None = None, scale: float | None = None, up: str | None = None,
    floor: float | None = None, sit: Sequence[str] = (),
) -> Scene:  # fmt: skip
    """A room out of a GLB, OBJ, PLY or STL file, moved so that its floor is at height 0.

    `objects`: a side-car JSON (default: `NAME.json` or `rooms.json` beside the mesh); `scale`: metres of a unit of the
    file; `up`: the axis of the file that points up (x, y, z, -y, -z); both are found if not said. `floor`: the file's
    height, in metres after scaling, of a floor that reaches as far as the room, instead of the mesh's own. `sit`: names
    of objects that one can sit on besides those known. Raises LabanError for damage, rooms of impossible size, rooms
    without a floor, and side-cars that do not fit.
    """
    path = Path(path)
    parts = read_parts(path)
    turn, factor, notes = _stance(path, parts, scale, up)
    matrix = factor * np.array(TURNS[turn], np.float64)
    parts = [replace(part, vertices=part.vertices @ matrix.T) for part in parts]
    low, high = _box(parts)
    level = _floor(path, parts, floor)
    if abs(level) > 1e-3:
        notes.append(f"its floor was at {level:.3f} m and is moved to 0")
    lift = np.array([0.0, -level, 0.0])
    parts = [replace(part, vertices=part.vertices + lift) for part in parts]
    side_car = _side_car(path, objects)
    if side_car is not None:
        side_car = _brought(side_car, matrix, lift)
        owners, found = _owners_by_side_car(parts, side_car)
    else:
        owners, found = _owners_by_name(parts, (high - low)[[0, 2]], notes)
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float32)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32)
    owner = np.concatenate([np.full(len(p.faces), who, np.int32) for p, who in zip(parts, owners, strict=True)])
    scene = Scene(path.stem, vertices, faces, owner, tuple(found), 0.0, tuple(notes),
                  side_car.routes if side_car else (), floor is not None)  # fmt: skip
    if side_car is not None:
        scene = _by_boxes(scene, {one.name for one in side_car.objects if one.yaw is None})
    scene = replace(scene, notes=scene.notes + _leaks(scene))
    return with_affordance(scene, {name: "sit" for name in sit})


def with_affordance(scene: Scene, affords: dict[str, str]) -> Scene:
    """The scene whose objects of these names can be sat or lain on; LabanError for names that it does not have."""
    changed = {scene.index(name): what for name, what in affords.items()}
    return replace(scene, objects=tuple(
        replace(one, affords=changed.get(i, one.affords)) for i, one in enumerate(scene.objects)
    ))  # fmt: skip


def _leaks(scene: Scene) -> tuple[str, ...]:
    """A note of the objects that have holes, or of the whole mesh where it has no objects."""
    corners = scene.vertices[scene.faces]
    if not scene.objects and (count := open_edges(corners.astype(np.float64))):
        return (f"not watertight: {count:,} open edges; its inside is where it closes a space at least half",)
    names = [one.name for i, one in enumerate(scene.objects) if open_edges(corners[scene.part == i].astype(np.float64))]
    if not names:
        return ()
    some = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return (f"not watertight: {some}; their inside is where they close a space at least half",)


# --------------------------------------------------------------------------------------------------- how it stands


def _stance(path: Path, parts: list[Part], scale: float | None, up: str | None) -> tuple[str, float, list[str]]:
    notes: list[str] = []
    if up is not None and up.lower() not in TURNS:
        raise LabanError(f"--up {up}; accepted: {', '.join(TURNS)}")
    if scale is not None and not 1e-6 <= scale <= 1e6:
        raise LabanError(f"--scale {scale}; accepted: metres of a unit of the file, such as 0.01 for centimetres")
    low, high = _box(parts)
    turn = up.lower() if up else find_up(_surface(parts), high - low, scale)
    if up is None and turn != "y":
        notes.append(f"{turn.upper()} is up in the file: turned to Y up (--up y says otherwise)")
    size = np.abs(np.array(TURNS[turn], np.float64)) @ (high - low)
    if scale is not None:
        return turn, scale, notes
    factor, note = find_scale(size, str(path))
    return turn, factor, notes + ([note] if note else [])


def _floor(path: Path, parts: list[Part], declared: float | None) -> float:
    if declared is not None:
        return declared
    low, high = _box(parts)
    level = find_floor(_surface(parts), low, high)
    if level is None:
        raise LabanError(
            f"{path}: has no floor (no level area of some size, low in the room); "
            "--up if another axis is up, --floor 0 if the floor is at height 0 and was left out"
        )
    return level


def _surface(parts: list[Part]) -> Surface:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    return surface_of(vertices, np.concatenate([p.faces + s for p, s in zip(parts, starts, strict=False)]))


def _box(parts: list[Part]) -> tuple[Float[ndarray, "3"], Float[ndarray, "3"]]:
    boxes = np.stack([np.stack([part.vertices.min(0), part.vertices.max(0)]) for part in parts])
    return boxes[:, 0].min(0), boxes[:, 1].max(0)


# ---------------------------------------------------------------------------------------------------------- objects


def _side_car(path: Path, given: Path | None) -> SideCar | None:
    if given is not None and not given.is_file():
        raise LabanError(f"--objects {given}: no such file")
    found = given or find_side_car(path)
    return None if found is None else read_side_car(found, path.stem)


def _brought(side_car: SideCar, matrix: ndarray, lift: ndarray) -> SideCar:
    """The side-car as the mesh was brought to stand: boxes, yaws and routes in its new axes and unit."""

    def moved(one: Said) -> Said:
        if one.low is None or one.high is None:
            return one
        a, b = np.array(one.low) @ matrix.T + lift, np.array(one.high) @ matrix.T + lift
        return replace(one, low=_point(np.minimum(a, b)), high=_point(np.maximum(a, b)))

    if np.allclose(matrix, np.eye(3)):
        routes = side_car.routes
    else:
        factor = float(np.abs(matrix).max())
        routes = tuple(((a * factor, b * factor), (c * factor, d * factor)) for (a, b), (c, d) in side_car.routes)
    return replace(side_car, objects=tuple(moved(one) for one in side_car.objects), routes=routes)


def _owners_by_side_car(parts: list[Part], side_car: SideCar) -> tuple[list[int], list[SceneObject]]:
    """The object of each part, by name; what no part is named after has only its box yet."""
    number = {one.name: i for i, one in enumerate(side_car.objects)}
    owners = [next((number[name] for name in reversed(part.names) if name in number), SHELL) for part in parts]
    found = []
    for i, one in enumerate(side_car.objects):
        own = [part for part, owner in zip(parts, owners, strict=True) if owner == i]
        if not own and one.low is None:
            raise LabanError(
                f"{side_car.path}: objects[{i}]: no part of the mesh is called {one.name!r}, and it has no box"
            )
        found.append(_from_said(one, own))
    return owners, found


def _by_boxes(scene: Scene, turned: Collection[str]) -> Scene:
    """With the triangles of the room in the box of each object that has none (floor left out), as in scans.

    Objects named in `turned` get the yaw that their triangles say.
    """
    part, found, notes = scene.part.copy(), list(scene.objects), list(scene.notes)
    corners = scene.vertices[scene.faces]
    for i, one in enumerate(scene.objects):
        if (part == i).any():
            continue
        within = ((corners >= np.array(one.low) - BOX) & (corners <= np.array(one.high) + BOX)).all((1, 2))
        own = within & (part == SHELL) & (corners[..., 1].max(1) > scene.floor + SILL)
        part[own] = i
        if not own.any():
            notes.append(f"{one.name}: only its box is known, the mesh has nothing of its name or in its box")
        elif one.name in turned and one.affords:
            found[i] = replace(one, yaw=facing_of(corners[own].reshape(-1, 3), np.arange(3 * own.sum()).reshape(-1, 3)))
    return replace(scene, part=part, objects=tuple(found), notes=tuple(notes))


def _from_said(one: Said, own: list[Part]) -> SceneObject:
    low, high = _box(own) if own else (np.array(one.low), np.array(one.high))
    kind = one.kind or kind_of(one.name)
    affords = BY_KIND.get(kind) if one.affords is None else one.affords or None
    yaw = one.yaw if one.yaw is not None else _yaw(own, affords)
    return SceneObject(one.name, kind, _point(low), _point(high), yaw,
                       kind == "rug" if one.walkable is None else one.walkable, affords)  # fmt: skip


def _owners_by_name(
    parts: list[Part], plan: Float[ndarray, "2"], notes: list[str]
) -> tuple[list[int], list[SceneObject]]:
    """Objects are the outermost nodes that are small enough to be furniture; what has no name is the room itself."""
    names = [_object_name(parts, part, plan) for part in parts]
    order = list(dict.fromkeys(name for name in names if name is not None))
    found = []
    for name in order:
        own = [part for part, whose in zip(parts, names, strict=True) if whose == name]
        kind = kind_of(name)
        low, high = _box(own)
        affords = BY_KIND.get(kind)
        found.append(SceneObject(name, kind, _point(low), _point(high), _yaw(own, affords), kind == "rug", affords))
    if found:
        notes.append(f"no side-car JSON: {len(found)} objects and what they afford go by the file's own names")
    else:
        notes.append("no named objects: all of the mesh is taken for the room itself")
    return [SHELL if name is None else order.index(name) for name in names], found


def _object_name(parts: list[Part], part: Part, plan: Float[ndarray, "2"]) -> str | None:
    for depth, name in enumerate(part.names):
        below = [other for other in parts if other.names[: depth + 1] == part.names[: depth + 1]]
        low, high = _box(below)
        if is_shell(name):
            if depth == len(part.names) - 1:
                return None
            continue
        if ((high - low)[[0, 2]] <= FURNITURE * plan).any() and not _is_wall(low, high, plan):
            return name
    return None


def _is_wall(low: ndarray, high: ndarray, plan: Float[ndarray, "2"]) -> bool:
    """Thin and almost as long as the room."""
    across = (high - low)[[0, 2]]
    return bool(across.min() < 0.3 and (across > 0.9 * plan).any() and (high - low)[1] > 1.8)


def _yaw(own: list[Part], affords: str | None) -> float:
    if not own or affords is None:
        return 0.0
    starts = np.cumsum([0, *(len(part.vertices) for part in own)])
    faces = np.concatenate([part.faces + start for part, start in zip(own, starts, strict=False)])
    return facing_of(np.concatenate([part.vertices for part in own]), faces)


def _point(values: ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
