"""Timelines to measure on: intervals with the action that is wanted, from our benchmark, MTT's file, or any score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from laban.errors import LabanError
from laban.scores import read_timelines
from laban.timeline import FrameGrid, Segment, Timeline
from models.representation.joints import FPS

FORMAT, VERSION = "laban-timelines", 1
SHAPE = '{"format": "laban-timelines", "timelines": [{"id", "intervals": [{"text", "action", "start", "end"}]}]}'
MTT_SHAPE = '[[{"text", "start", "end", "parts"}, …], …]'


@dataclass(frozen=True)
class Interval:
    """One prompt of a timeline in seconds; `action` is None where nobody said which known action it asks for."""

    text: str
    start: float
    end: float
    action: str | None = None
    parts: tuple[str, ...] = ()
    side: str | None = None
    track: int = 0

    @property
    def meaning(self) -> str:
        """What makes two prompts ask for the same: the action and its side, else the words."""
        return self.text if self.action is None else f"{self.action} {self.side or ''}".strip()


@dataclass(frozen=True)
class Item:
    """One timeline to be performed."""

    id: str
    intervals: tuple[Interval, ...]

    @cached_property
    def timeline(self) -> Timeline:
        """The score that a generator is given: texts, times, parts and tracks alone."""
        return Timeline(tuple(Segment(i.start, i.end, i.text, i.parts, track=i.track) for i in self.intervals))

    @property
    def frames(self) -> int:
        """Length at 20 fps."""
        return round(self.timeline.duration * FPS)

    def span(self, interval: Interval) -> tuple[int, int]:
        """Half-open frames of an interval."""
        return FrameGrid(FPS, self.frames).span(interval.start, interval.end)

    def seams(self) -> list[int]:
        """Frames, each once and in order, at which something starts or ends inside the timeline."""
        grid = FrameGrid(FPS, self.frames)
        edges = {grid.index(time) for time in self.timeline.boundaries()}
        return sorted(edge for edge in edges if 0 < edge < self.frames)


@dataclass(frozen=True)
class Benchmark:
    """A file of timelines; `actions` says whether every interval names the action it asks for."""

    name: str
    about: str
    items: tuple[Item, ...]
    candidates: tuple[str, ...] = ()

    @property
    def actions(self) -> bool:
        """Whether recognition can be measured."""
        return all(interval.action is not None for item in self.items for interval in item.intervals)

    @property
    def texts(self) -> tuple[str, ...]:
        """The distinct texts of the whole file, in order of first appearance: what retrieval chooses among."""
        return self.candidates or tuple(
            dict.fromkeys(interval.text for item in self.items for interval in item.intervals)
        )

    def first(self, count: int | None) -> Benchmark:
        """The same with the first timelines alone (None: all)."""
        return self if count is None else replace(self, items=self.items[:count], candidates=self.texts)


def read_benchmark(path: Path) -> Benchmark:
    """Timelines of a benchmark file, of MTT's JSON (Petrovich et al. 2024), or of any score that `laban.scores` reads.

    LabanError names the timeline and interval that is wrong.
    """
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LabanError(f"{path}: cannot be read ({error.strerror or error})") from None
        except ValueError as error:
            raise LabanError(f"{path}: is no JSON ({error})") from None
        if isinstance(content, list):
            return _mtt(path, content)
        if isinstance(content, dict) and content.get("format") == FORMAT:
            return _ours(path, content)
    scores = read_timelines(path)
    items = [Item(name, tuple(Interval(s.label, s.start, s.end, None, s.parts, None, s.track) for s in t.segments))
             for name, t in scores.items()]  # fmt: skip
    return _checked(path, Benchmark(path.stem, "a score", tuple(items)))


def _ours(path: Path, content: dict[str, Any]) -> Benchmark:
    if content.get("version") != VERSION:
        raise LabanError(f"{path}: version {content.get('version')}; accepted: {VERSION}")
    rows = content.get("timelines")
    if not isinstance(rows, list):
        raise LabanError(f"{path}: timelines is {type(rows).__name__}; accepted: {SHAPE}")
    items = [_item(path, str(_get(path, number, row, "id")), _get(path, number, row, "intervals"))
             for number, row in enumerate(rows, 1)]  # fmt: skip
    return _checked(path, Benchmark(str(content.get("name", path.stem)), str(content.get("about", "")), tuple(items)))


def _mtt(path: Path, content: list[Any]) -> Benchmark:
    items = [_item(path, str(number), rows) for number, rows in enumerate(content, 1)]
    return _checked(path, Benchmark(path.stem, "multi-track timelines in MTT's form", tuple(items)))


def _get(path: Path, number: int, row: Any, key: str) -> Any:
    if not isinstance(row, dict) or key not in row:
        raise LabanError(f"{path}: timeline {number} has no {key!r}; accepted: {SHAPE}")
    return row[key]


def _item(path: Path, name: str, rows: Any) -> Item:
    if not isinstance(rows, list) or not rows:
        raise LabanError(f"{path}: timeline {name} has no intervals; accepted: {SHAPE} or {MTT_SHAPE}")
    found = []
    for number, row in enumerate(rows, 1):
        where = f"{path}: timeline {name}, interval {number}"
        try:
            segment = Segment(row["start"], row["end"], row["text"], tuple(row.get("parts", ())))
            action = None if row.get("action") is None else str(row["action"])
            found.append(Interval(segment.label, segment.start, segment.end, action, segment.parts, row.get("side"),
                                  int(row.get("track", 0))))  # fmt: skip
        except LabanError as error:
            raise LabanError(f"{where}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LabanError(f"{where}: {error!r}; accepted: text, start, end, parts in an object") from None
    return Item(name, _tracks(found))


def _tracks(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Without tracks of their own, intervals that overlap an earlier one of the list go to the next free track."""
    if any(interval.track for interval in intervals):
        return tuple(intervals)
    placed: list[Interval] = []
    for interval in intervals:
        busy = {p.track for p in placed if p.start < interval.end and p.end > interval.start}
        placed.append(replace(interval, track=next(t for t in range(len(placed) + 1) if t not in busy)))
    return tuple(placed)


def _checked(path: Path, found: Benchmark) -> Benchmark:
    if not found.items:
        raise LabanError(f"{path}: holds no timeline; accepted: {SHAPE}, {MTT_SHAPE} or a score")
    for item in found.items:
        if not item.intervals:
            raise LabanError(f"{path}: timeline {item.id} has no intervals")
    return found
