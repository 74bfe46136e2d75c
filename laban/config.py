"""Frozen dataclasses to JSON and back, with errors that name the key."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from laban.errors import LabanError
from laban.files import atomic_path

Config = TypeVar("Config")


def to_dict(config: object) -> dict[str, Any]:
    """The JSON form of a dataclass instance: nested objects for dataclasses, lists for tuples, text for paths."""
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"not a dataclass instance: {config!r}")
    return {field.name: _plain(getattr(config, field.name)) for field in fields(config)}


def from_dict(cls: type[Config], values: object, *, name: str = "") -> Config:
    """Build a dataclass from its JSON form; `name` stands before the key in messages, such as the file's name.

    Understands nested dataclasses, Optional and other unions, Literal, enums, Path, tuple, list and dict of these.
    Raises LabanError naming the path of keys for an unknown key (with the nearest known one), a missing key or a value
    of another type. A whole number is accepted where a float is due, nothing else is converted.
    """
    if not isinstance(values, Mapping):
        raise LabanError(f"{_at(name)}found {_shown(values)}; accepted: an object with {', '.join(_names(cls))}")
    known = _names(cls)
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise LabanError(f"{_at(name)}unknown key {key!r}{hint}; accepted: {', '.join(known)}")
    hints = get_type_hints(cls)
    given = {}
    for field in fields(cls):  # type: ignore[arg-type]  # the caller's promise: cls is a dataclass
        place = f"{name}.{field.name}" if name else field.name
        if field.name in values:
            given[field.name] = _parse(hints[field.name], values[field.name], place)
        elif _required(field):
            raise LabanError(f"{_at(name)}key {field.name!r} is missing")
    return cls(**given)


def read_config(cls: type[Config], path: str | Path) -> Config:
    """Read a JSON file into a dataclass; LabanError names the file and the key."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LabanError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise LabanError(f"{path}: is not JSON ({error})") from None
    return from_dict(cls, values, name=str(path))


def write_config(config: object, path: str | Path) -> None:
    """Write a dataclass instance as a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _parse(kind: Any, value: object, place: str) -> Any:
    """`value` as an instance of the annotation `kind`."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _parse_union(get_args(kind), value, place)
    if origin is Literal:
        return _one_of(get_args(kind), value, place)
    if origin in (tuple, list):
        return _parse_sequence(kind, value, place)
    if origin is dict:
        items = _expect(dict, value, place)
        return {key: _parse(get_args(kind)[1], item, f"{place}.{key}") for key, item in items.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return from_dict(kind, value, name=place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(_one_of(tuple(member.value for member in kind), value, place))
    if kind is Path:
        return Path(_expect(str, value, place))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _expect(kind, value, place)


def _parse_union(kinds: tuple[Any, ...], value: object, place: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    failures = []
    for kind in kinds:
        try:
            return _parse(kind, value, place)
        except LabanError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    names = ", ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise LabanError(f"{_at(place)}found {_shown(value)}; accepted: one of {names}")


def _parse_sequence(kind: Any, value: object, place: str) -> Any:
    build, inner = get_origin(kind), get_args(kind)
    items = _expect(list, value, place)
    if build is list or inner[1:] == (...,):
        kinds = inner[:1] * len(items)
    elif len(items) == len(inner):
        kinds = inner
    else:
        raise LabanError(f"{_at(place)}found {len(items)} items; accepted: {len(inner)}")
    return build(_parse(k, item, f"{place}[{i}]") for i, (k, item) in enumerate(zip(kinds, items, strict=True)))


def _expect(kind: type, value: object, place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise LabanError(f"{_at(place)}found {_shown(value)}; accepted: {_NAMES.get(kind, kind.__name__)}")
    return value


def _one_of(accepted: tuple[Any, ...], value: object, place: str) -> Any:
    # True equals 1 in Python, but not in JSON.
    if any(value == choice and type(value) is type(choice) for choice in accepted):
        return value
    near = get_close_matches(str(value), [str(choice) for choice in accepted], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise LabanError(f"{_at(place)}found {_shown(value)}{hint}; accepted: {', '.join(map(repr, accepted))}")


_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls) if field.init]  # type: ignore[arg-type]


def _required(field: Field[Any]) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING


def _at(place: str) -> str:
    return f"{place}: " if place else ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}…"
