"""Side-car JSON of a room: its objects with boxes and affordances, and routes to try, beside the mesh."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laban.errors import LabanError
from models.scene.scene import AFFORDS, Point

SHARED = "rooms.json"
"""The file that may describe all meshes of a folder, by their names without suffix."""
MAX_BYTES = 1 << 24

Route = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Said:
    """What a side-car says of one object, in the mesh file's own units and axes; None: nothing."""

    name: str
    kind: str | None = None
    low: Point | None = None
    high: Point | None = None
    yaw: float | None = None
    walkable: bool | None = None
    affords: str | None = None
    """"" where the side-car says that it affords nothing."""


@dataclass(frozen=True)
class SideCar:
    """What stands beside a mesh."""

    path: Path
    objects: tuple[Said, ...]
    routes: tuple[Route, ...] = ()


def find_side_car(mesh: Path) -> Path | None:
    """`NAME.json` beside the mesh, else a `rooms.json` that has NAME; None without either."""
    own = mesh.with_suffix(".json")
    if own.is_file():
        return own
    shared = mesh.with_name(SHARED)
    return shared if shared.is_file() and mesh.stem in _loaded(shared) else None


def read_side_car(path: Path, room: str) -> SideCar:
    """The record of one room: {"objects": [...], "routes_xz": [[[x, z], [x, z]], ...]}.

    An object has "id", "kind", "min", "max", "yaw_deg", "walkable" and "affords"; only the id is needed. The file holds
    that record, or rooms by name. Raises LabanError that names the file and the place in it.
    """
    content = _loaded(path)
    record = content if "objects" in content else content.get(room)
    if not isinstance(record, dict) or not isinstance(record.get("objects"), list):
        names = ", ".join(sorted(content)[:12])
        wanted = f'{{"objects": [...]}} or such a record under {room!r}'
        raise LabanError(f"{path}: expected {wanted}; found: {names or 'nothing'}")
    objects = tuple(_object(one, f"{path}: objects[{i}]") for i, one in enumerate(record["objects"]))
    names_seen: set[str] = set()
    for one in objects:
        if one.name in names_seen:
            raise LabanError(f"{path}: objects: two are called {one.name!r}; expected names that differ")
        names_seen.add(one.name)
    routes = record.get("routes_xz", [])
    if not isinstance(routes, list):
        raise LabanError(f"{path}: routes_xz: expected a list of [[x, z], [x, z]]")
    return SideCar(path, objects, tuple(_route(one, f"{path}: routes_xz[{i}]") for i, one in enumerate(routes)))


def _loaded(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabanError(f"{path}: larger than {MAX_BYTES >> 20} MB; expected a list of objects in JSON")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabanError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise LabanError(f"{path}: is not JSON ({error})") from error
    if isinstance(content, list):
        return {"objects": content}
    if not isinstance(content, dict):
        raise LabanError(f'{path}: expected {{"objects": [...]}}, found {type(content).__name__}')
    return content


def _object(one: Any, where: str) -> Said:
    if not isinstance(one, Mapping):
        raise LabanError(f'{where}: expected {{"id": ..., ...}}, found {type(one).__name__}')
    name = one.get("id", one.get("name"))
    if not isinstance(name, str) or not name.strip():
        raise LabanError(f'{where}: "id" is {name!r}; expected the name of an object')
    affords = one.get("affords", "")
    if "affords" in one and affords not in (*AFFORDS, None):
        raise LabanError(f'{where}: "affords" is {affords!r}; accepted: {", ".join(AFFORDS)}, null')
    kind = one.get("kind")
    walkable = one.get("walkable")
    if not isinstance(walkable, bool | None):
        raise LabanError(f'{where}: "walkable" is {walkable!r}; accepted: true, false')
    yaw = one.get("yaw_deg")
    low, high = _corner(one, "min", where), _corner(one, "max", where)
    if low is not None and high is not None and any(a > b for a, b in zip(low, high, strict=True)):
        raise LabanError(f'{where}: "min" {list(low)} is not below "max" {list(high)}')
    if (low is None) != (high is None):
        raise LabanError(f'{where}: has only one of "min" and "max"; expected both or neither')
    turned = None if yaw is None else math.radians(_number(yaw, f'{where}: "yaw_deg"'))
    said = None if "affords" not in one else affords or ""
    return Said(name.strip(), kind if isinstance(kind, str) else None, low, high, turned, walkable, said)


def _corner(one: Mapping[str, Any], key: str, where: str) -> Point | None:
    if (value := one.get(key)) is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise LabanError(f'{where}: "{key}" is {value!r}; expected [x, y, z]')
    x, y, z = (_number(number, f'{where}: "{key}"') for number in value)
    return x, y, z


def _route(one: Any, where: str) -> Route:
    if not (isinstance(one, list) and len(one) == 2 and all(isinstance(end, list) and len(end) == 2 for end in one)):
        raise LabanError(f"{where}: is {str(one)[:60]}; expected [[x, z], [x, z]]")
    (a, b), (c, d) = ((_number(x, where), _number(z, where)) for x, z in one)
    return (a, b), (c, d)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise LabanError(f"{where} has {value!r}; expected finite numbers")
    return float(value)
