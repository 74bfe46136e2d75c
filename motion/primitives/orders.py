"""What is typed to a stream, taken apart: words, the body parts they are for, and a place to go to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from laban.errors import LabanError
from laban.timeline import canonical_part

FORM = "words, 'wave [right arm + head]' for some parts of the body, or 'walk to 2 1' for a place (x z, metres)"
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_PLACE = re.compile(rf"(?:(?P<gait>.*\S)\s+)?to\s+(?P<x>{_NUMBER})\s*[\s,;]\s*(?P<z>{_NUMBER})(?:\s*m)?", re.ASCII)
_PARTS = re.compile(r"(?P<words>[^\[\]]*)\[(?P<parts>[^\[\]]*)\]")
WALK = "a person walks forward"


@dataclass(frozen=True)
class Order:
    """Words, the parts of the body that do it (none: all), and where to go with it, metres on the floor (x, z)."""

    text: str
    parts: tuple[str, ...] = ()
    place: tuple[float, float] | None = None


def parse_order(text: str) -> Order:
    """The order that a line spells (`FORM`); LabanError for brackets without parts in them, and for unknown parts."""
    line = " ".join(text.split())
    if place := _PLACE.fullmatch(line):
        gait = place["gait"] or "go"
        return Order(WALK if gait.lower() == "go" else gait, (), (float(place["x"]), float(place["z"])))
    if "[" not in line and "]" not in line:
        return Order(line)
    found = _PARTS.fullmatch(line)
    names = [name.strip() for name in re.split(r"[+,&]|\band\b", found["parts"])] if found else []
    if found is None or not all(names):
        raise LabanError(f"found {line[:60]!r}; accepted: {FORM}")
    return Order(found["words"].strip(), tuple(canonical_part(name) for name in names))
