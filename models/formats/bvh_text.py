"""BVH as text: the hierarchy with its channels, and the table of numbers. Every error names file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import LARGEST, check_is_file

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
MAX_BYTES = 1 << 29
MAX_JOINTS = 2048
_CHANNEL_OF = {name.lower(): name for name in CHANNELS}
_MOTION = re.compile(rb"^[ \t]*MOTION[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_NEWLINE, _SPACE = 10, 32  # bytes; what is not above a space parts two numbers


@dataclass
class Node:
    """One joint of the hierarchy; `end` is the offset of its End Site, where it has one."""

    name: str
    parent: int
    line: int
    offset: tuple[float, float, float] | None = None
    channels: tuple[str, ...] | None = None
    end: tuple[float, float, float] | None = None
    closed: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class BvhText:
    """A parsed file: joints in file order (parents first), and the table, one row a frame, one column a channel."""

    nodes: tuple[Node, ...]
    values: Float[ndarray, "frames channels"]
    frame_time: float
    time_text: str


def parse_bvh(path: Path) -> BvhText:
    """Read a BVH file whole. Raises LabanError with file and line for whatever is wrong."""
    check_is_file(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise LabanError(f"{path}: is {size} bytes; accepted: up to {MAX_BYTES}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise LabanError(f"{path}: cannot be read ({error.strerror})") from error
    found = _MOTION.search(raw)
    head = raw[: found.start()] if found else raw
    if not head.strip():
        head = raw[:80]  # for the message: a file that has no hierarchy
    nodes = _Hierarchy(path).parse(_decode(path, head))
    if found is None:
        raise LabanError(f"{path}:{_lines(raw)}: the file ends without a MOTION section")
    width = sum(len(node.channels or ()) for node in nodes)
    return _motion(path, raw, found.end(), nodes, width)


def _decode(path: Path, head: bytes) -> str:
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        raise LabanError(
            f"{path}:{line}: byte {head[error.start]:#04x} is not UTF-8 text; accepted: a BVH text file"
        ) from error


def _lines(raw: bytes) -> int:
    return max(len(raw.splitlines()), 1)


class _Hierarchy:
    """Line-by-line reader of the HIERARCHY section; a brace may stand on its own line or behind the name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[Node] = []
        self.stack: list[int] = []  # open joints; -1 stands for an open End Site
        self.pending: int | None = None  # joint whose opening brace is still to come
        self.line = 0

    def parse(self, text: str) -> tuple[Node, ...]:
        rows = text.replace("{", " { ").replace("}", " } ").splitlines()
        start = next((i for i, row in enumerate(rows) if row.strip()), 0)
        if not rows or rows[start].split()[:1] != ["HIERARCHY"]:
            found = rows[start].strip()[:40] if rows else ""
            raise LabanError(
                f"{self.path}:{start + 1}: found {found!r}; accepted: HIERARCHY as the first word of a BVH"
            )
        for number, row in enumerate(rows[start + 1 :], start=start + 2):
            self.line = number
            words = row.split()
            while words:
                words = self._step(words)
        self.line = len(rows)
        self._finish()
        return tuple(self.nodes)

    def _step(self, words: list[str]) -> list[str]:
        """Consume one statement; returns the words of the line behind it."""
        word = words[0].upper()
        if self.pending is not None and word != "{":
            raise self._error(f"found {words[0]!r}; accepted: '{{' after the joint's name")
        if word in ("ROOT", "JOINT", "END"):
            return self._open(word, words[1:])
        if word == "{":
            if self.pending is None:
                raise self._error("found '{' that no ROOT, JOINT or End Site comes before")
            self.stack.append(self.pending)
            self.pending = None
            return words[1:]
        if word == "}":
            if not self.stack:
                raise self._error("found '}' without its '{'")
            self._close(self.stack.pop())
            return words[1:]
        if word == "OFFSET":
            return self._offset(words)
        if word == "CHANNELS":
            return self._channels(words)
        raise self._error(f"unknown word {words[0][:40]!r}; accepted: ROOT, JOINT, End Site, OFFSET, CHANNELS, MOTION")

    def _open(self, kind: str, rest: list[str]) -> list[str]:
        brace = rest.index("{") if "{" in rest else len(rest)
        name = " ".join(rest[:brace])
        if kind == "END":
            if not self.stack or self.stack[-1] < 0:
                raise self._error("found an End Site outside a joint")
            self.pending = -1
            return rest[brace:]
        if kind == "ROOT" and self.nodes:
            raise self._error(f"a second ROOT {name!r}; accepted: one skeleton a file")
        if kind == "JOINT" and (not self.stack or self.stack[-1] < 0):
            raise self._error(f"JOINT {name!r} is outside a joint")
        if not name:
            raise self._error(f"{kind} has no name")
        if len(self.nodes) >= MAX_JOINTS:
            raise self._error(f"more than {MAX_JOINTS} joints")
        self.pending = len(self.nodes)
        self.nodes.append(Node(name, self.stack[-1] if self.stack else -1, self.line))
        return rest[brace:]

    def _close(self, index: int) -> None:
        if index < 0:
            return
        node = self.nodes[index]
        if node.offset is None:
            raise self._error(f"joint {node.name!r} (line {node.line}) has no OFFSET")
        if node.channels is None:
            raise self._error(f"joint {node.name!r} (line {node.line}) has no CHANNELS; accepted: CHANNELS n names…")
        node.closed = True

    def _offset(self, words: list[str]) -> list[str]:
        if not self.stack:
            raise self._error("found OFFSET outside a joint")
        values = self._floats(words[1:4])
        if len(values) != 3 or not all(abs(value) <= LARGEST for value in values):
            raise self._error(f"OFFSET {' '.join(words[1:4])}: accepted: three numbers up to {LARGEST:g}")
        offset = (values[0], values[1], values[2])
        if self.stack[-1] >= 0:
            self.nodes[self.stack[-1]].offset = offset
        else:
            self.nodes[self.stack[-2]].end = offset
        return words[4:]

    def _floats(self, words: list[str]) -> list[float]:
        try:
            return [float(word) for word in words]
        except ValueError:
            return []

    def _channels(self, words: list[str]) -> list[str]:
        if not self.stack or self.stack[-1] < 0:
            raise self._error("found CHANNELS outside a joint")
        if len(words) < 2 or not words[1].isdecimal() or int(words[1]) > 12:
            raise self._error(f"CHANNELS {' '.join(words[1:2])}: accepted: a count of 0 to 12, then the names")
        count = int(words[1])
        names = tuple(_CHANNEL_OF.get(word.lower(), "") for word in words[2 : 2 + count])
        if "" in names:
            raise self._error(f"unknown channel {words[2 + names.index('')]!r}; accepted: {', '.join(CHANNELS)}")
        if len(names) < count:
            raise self._error(f"CHANNELS {count} is followed by {len(names)} names; accepted: {count}")
        extra = words[2 + count :]
        if extra and extra[0].lower() in _CHANNEL_OF:
            raise self._error(f"CHANNELS {count} is followed by more than {count} names")
        if any(name.endswith("position") and names.count(name) > 1 for name in names):
            raise self._error(f"CHANNELS {' '.join(names)}: a position channel stands there twice")
        self.nodes[self.stack[-1]].channels = names
        return extra

    def _finish(self) -> None:
        if not self.nodes:
            raise self._error("the hierarchy has no ROOT")
        if self.stack or self.pending is not None:
            open_joint = next((self.nodes[i].name for i in reversed(self.stack) if i >= 0), self.nodes[-1].name)
            raise self._error(f"the hierarchy ends inside joint {open_joint!r} ('}}' missing)")
        root = self.nodes[0]
        missing = [name for name in CHANNELS if name not in (root.channels or ())]
        if missing:
            self.line = root.line
            raise self._error(f"root {root.name!r} lacks the channels {', '.join(missing)}")

    def _error(self, message: str) -> LabanError:
        return LabanError(f"{self.path}:{self.line}: {message}")


def _motion(path: Path, raw: bytes, start: int, nodes: tuple[Node, ...], width: int) -> BvhText:
    first_line = raw[:start].count(b"\n") + 1
    position, line, header = start, first_line, {}
    for key, pattern in (("frames", rb"\s*Frames:\s*(\S+)[ \t\r]*"), ("time", rb"\s*Frame\s+Time:\s*(\S+)[ \t\r]*")):
        match = re.compile(pattern, re.IGNORECASE).match(raw, position)
        if match is None:
            here = first_line + raw[start:position].count(b"\n")
            wanted = "Frames: n" if key == "frames" else "Frame Time: seconds"
            raise LabanError(f"{path}:{here}: MOTION is not followed by '{wanted}'")
        line = first_line + raw[start : match.end()].count(b"\n")
        header[key] = (match.group(1).decode("ascii", "replace"), line)
        position = match.end()
    frames = _frame_count(path, *header["frames"])
    frame_time = _frame_time(path, *header["time"])
    values = _table(path, raw[position:], line, frames, width)
    return BvhText(nodes, values, frame_time, header["time"][0])


def _frame_count(path: Path, text: str, line: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000_000:
        raise LabanError(f"{path}:{line}: Frames: {text}; accepted: a whole number from 1")
    return int(text)


def _frame_time(path: Path, text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 1e-5 <= value <= 1e3:
        raise LabanError(f"{path}:{line}: Frame Time: {text}; accepted: seconds a frame, such as 0.033333")
    return value


def _table(path: Path, raw: bytes, line: int, frames: int, width: int) -> Float[ndarray, "frames channels"]:
    """The numbers behind the header: one row of `width` values a line, `frames` lines; `line` is the header's last."""
    codes = np.frombuffer(raw, np.uint8)
    rows, counts = _row_lengths(codes)
    wrong = counts != width
    if wrong.any():
        bad = int(np.argmax(wrong))
        cut = " (the file is cut short)" if bad == len(rows) - 1 and counts[bad] < width else ""
        raise LabanError(
            f"{path}:{line + rows[bad]}: found {counts[bad]} values; accepted: {width}, one a channel{cut}"
        )
    if len(rows) != frames:
        last = line + (int(rows[-1]) if len(rows) else 0)
        raise LabanError(f"{path}:{last}: found {len(rows)} lines of values; 'Frames:' says {frames}")
    values = _floats(path, raw, line).reshape(frames, width)
    sound: Bool[ndarray, "frames channels"] = np.abs(values) <= LARGEST  # false for NaN as well
    if not sound.all():
        row, column = np.argwhere(~sound)[0]
        found = f"value {column + 1} is {values[row, column]}"
        raise LabanError(f"{path}:{line + rows[row]}: {found}; accepted: numbers up to {LARGEST:g}")
    return values


def _row_lengths(codes: UInt8[ndarray, " bytes"]) -> tuple[Int[ndarray, " rows"], Int[ndarray, " rows"]]:
    """Line numbers (from 0) of the lines that hold anything, and how many words each has."""
    blank = codes <= _SPACE
    first = ~blank
    first[1:] &= blank[:-1]
    starts = np.flatnonzero(first)
    until = np.searchsorted(starts, np.flatnonzero(codes == _NEWLINE))  # words before the end of each line
    counts = np.diff(np.concatenate([[0], until, [len(starts)]]))
    rows = np.flatnonzero(counts)
    return rows, counts[rows]


def _floats(path: Path, raw: bytes, line: int) -> Float[ndarray, " values"]:
    try:
        return np.fromstring(raw, np.float64, sep=" ")  # any white space, by the rule for text
    except ValueError as error:
        for number, row in enumerate(raw.split(b"\n")):
            for word in row.split():
                _check_number(path, word, line + number)
        raise LabanError(f"{path}:{line}: the values cannot be read ({error}); accepted: numbers and spaces") from error


def _check_number(path: Path, word: bytes, line: int) -> None:
    try:
        float(word)
    except ValueError as error:
        shown = word[:40].decode("utf-8", "replace")
        raise LabanError(f"{path}:{line}: {shown!r} is not a number") from error
