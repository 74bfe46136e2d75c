"""What every reader starts from: the text of a file, checked, and errors that name the place in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from laban.errors import LabanError

MAX_BYTES = 256 * 2**20
"""Far above any annotation file (ActivityNet's is 30 MB); anything larger is another kind of file."""


@dataclass(frozen=True)
class Source:
    """A file's text with its path, for messages."""

    path: Path
    text: str

    def lines(self) -> list[str]:
        """The lines without their ends (LF, CRLF or CR)."""
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def fail(self, message: str, line: int | None = None) -> LabanError:
        """The error to raise: `FILE:LINE: message`."""
        return LabanError(f"{self.path}{'' if line is None else f':{line}'}: {message}")

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Add the file and line to a LabanError raised inside."""
        try:
            yield
        except LabanError as error:
            raise self.fail(str(error), line) from None

    @cached_property
    def document(self) -> Any:
        """The parsed JSON."""
        try:
            return json.loads(self.text)
        except json.JSONDecodeError as error:
            raise self.fail(f"is not JSON ({error.msg}, column {error.colno})", error.lineno) from None
        except (RecursionError, ValueError) as error:
            raise self.fail(f"is not usable JSON ({error})") from None


def read_source(path: Path) -> Source:
    """Read a text file: UTF-8, with or without a byte-order mark, at most `MAX_BYTES`."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise LabanError(f"{path}: is a folder; accepted: a timeline file")
        if size > MAX_BYTES:
            raise LabanError(f"{path}: is {size / 2**20:.0f} MiB; accepted: up to {MAX_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise LabanError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return Source(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabanError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; accepted: UTF-8 text") from None


def number(value: object, name: str) -> float:
    """A number as a file has it, or LabanError naming the field; NaN and infinity are `Segment`'s to refuse."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
        except OverflowError:
            return math.inf
    raise LabanError(f"{name} is {_shown(value)}; accepted: a number")


def whole_number(value: object, name: str) -> int:
    """The same for a count from 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    raise LabanError(f"{name} is {_shown(value)}; accepted: a whole number from 0")


def words(value: object, name: str) -> str:
    """The same for text."""
    if isinstance(value, str):
        return value
    raise LabanError(f"{name} is {_shown(value)}; accepted: text")


def _shown(value: object) -> str:
    text = repr(value.strip() if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"
