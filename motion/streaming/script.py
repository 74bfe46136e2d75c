"""Prompts in DART's form, `action*n,action*n`: what is said one after the other, and for how many primitives each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from laban.errors import LabanError
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS

PRIMITIVE = FUTURE / FPS
"""Seconds that a primitive lasts; words take effect where one starts."""
LONGEST = 24 * 3600.0
"""Seconds that a script may last."""
FORM = "action*n with n primitives of 0.27 s, or action*2.5s, joined by commas or line ends"
SEPARATOR = re.compile(r"[,\n]")
LENGTH = re.compile(r"(?P<count>\d+)|(?P<seconds>\d+(?:\.\d*)?|\.\d+)\s*s", re.ASCII)


@dataclass(frozen=True)
class Line:
    """One action of a script: its text and how many primitives it goes on."""

    text: str
    primitives: int

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return self.primitives * FUTURE


@dataclass(frozen=True)
class Script:
    """Actions in order."""

    lines: tuple[Line, ...]

    @property
    def frames(self) -> int:
        """Length of the whole in frames."""
        return sum(line.frames for line in self.lines)

    def cues(self) -> dict[int, str]:
        """What is said at which frame."""
        cues, start = {}, 0
        for line in self.lines:
            cues[start] = line.text
            start += line.frames
        return cues

    def __str__(self) -> str:
        return ", ".join(f"{line.text}*{line.primitives}" for line in self.lines)


def parse_script(text: str, source: str = "--script", *, hold: float | None = None) -> Script:
    """The script that `text` spells: `walk*10, turn left*2.5s`.

    Lines may end with a comma, may be empty, and `#` starts a comment. Seconds are rounded to whole primitives, at
    least one. `hold` is how many seconds an action without a length lasts; None refuses it. LabanError gives the place
    (`source:LINE:COLUMN`, or the column alone of a single line), what was found and what is accepted.
    """
    lines: list[Line] = []
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        column = 1
        pieces = row.partition("#")[0].split(",")
        for index, piece in enumerate(pieces):
            at = column + len(piece) - len(piece.lstrip())
            place = f"{source}:{number}:{at}" if len(rows) > 1 else f"{source}: column {at}"
            column += len(piece) + 1
            if piece.strip():
                lines.append(_line(piece.strip(), place, hold))
            elif index < len(pieces) - 1:  # a comma may end a line, but has to end something
                raise LabanError(f"{place}: found a comma with no action before it; accepted: {FORM}")
    if not lines:
        raise LabanError(f"{source}: found no action; accepted: {FORM}")
    script = Script(tuple(lines))
    if script.frames / FPS > LONGEST:
        raise LabanError(f"{source}: lasts {script.frames / FPS:.0f} s; accepted: up to {LONGEST:.0f} s")
    return script


def _line(piece: str, place: str, hold: float | None) -> Line:
    action, star, length = (part.strip() for part in piece.rpartition("*"))
    if not star:
        if hold is None:
            raise LabanError(f"{place}: found {_short(piece)} without a length; accepted: {FORM}")
        action, count = piece, primitives_of(hold)
    else:
        count = _count(length, place)
    if not action.strip("* "):
        raise LabanError(f"{place}: found a length, {_short(length)}, without an action; accepted: {FORM}")
    if any(ord(character) < 32 or ord(character) == 127 for character in action):
        raise LabanError(f"{place}: found a control character in {_short(action)}; accepted: {FORM}")
    return Line(" ".join(action.split()), count)


def _count(length: str, place: str) -> int:
    match = LENGTH.fullmatch(length)
    if match is None:
        raise LabanError(f"{place}: found the length {_short(length)}; accepted: a whole number of primitives from 1, "
                         "or seconds such as 2.5s")  # fmt: skip
    most = int(LONGEST / PRIMITIVE)
    number = match["count"] if match["count"] is not None else match["seconds"]
    count = (int(number) if len(number) < 12 else most + 1) if match["count"] else primitives_of(float(number[:24]))
    if match["seconds"] and float(number[:24]) == 0 or not 1 <= count <= most:
        raise LabanError(f"{place}: found the length {_short(length)}; accepted: from 1 to {most} primitives, above 0 "
                         f"to {LONGEST:.0f}s")  # fmt: skip
    return count


def primitives_of(seconds: float) -> int:
    """The whole number of primitives nearest to a length, at least one."""
    return max(1, math.floor(seconds / PRIMITIVE + 0.5 + 1e-9))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
