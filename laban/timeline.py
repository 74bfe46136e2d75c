"""The score: labelled intervals in seconds, and the one place where seconds become frame numbers."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace
from difflib import get_close_matches

from laban.errors import LabanError

PARTS = ("left arm", "right arm", "legs", "head", "spine")
"""The five body parts of multi-track timelines (STMC, Petrovich et al. 2024)."""

PART_ALIASES = {
    "torso": "spine",
    "trunk": "spine",
    "back": "spine",
    "neck": "head",
    "left hand": "left arm",
    "right hand": "right arm",
    "left leg": "legs",
    "right leg": "legs",
    "left foot": "legs",
    "right foot": "legs",
    "feet": "legs",
}

_NOISE = 1e-6
"""Fraction of a frame below which a difference is floating-point noise, not time."""


def canonical_part(name: str) -> str:
    """The name in `PARTS` that `name` (any case, underscores for spaces, an alias) stands for; LabanError if none."""
    plain = " ".join(name.lower().replace("_", " ").split())
    if plain in PARTS:
        return plain
    if plain in PART_ALIASES:
        return PART_ALIASES[plain]
    near = get_close_matches(plain, [*PARTS, *PART_ALIASES], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise LabanError(f"unknown body part {name!r}{hint}; accepted: {', '.join(PARTS)}")


@dataclass(frozen=True, slots=True)
class Segment:
    """One label over the half-open interval [start, end), in seconds.

    `parts` are names of `PARTS` (none: the whole body or unsaid), `actor` and `track` count from 0, `score` is a
    detector's confidence, `gentime` the moment at which an online detector said so (None: nobody was in a hurry). White
    space in the label is collapsed; body parts are put into their canonical form.
    """

    start: float
    end: float
    label: str
    parts: tuple[str, ...] = ()
    actor: int = 0
    track: int = 0
    score: float = 1.0
    gentime: float | None = None

    def __post_init__(self) -> None:
        for name in ("start", "end", "score"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if self.gentime is not None:
            object.__setattr__(self, "gentime", _finite("gentime", self.gentime))
        if self.start < 0:
            raise LabanError(f"start {self.start:g} is negative; accepted: seconds from 0")
        if self.end <= self.start:
            raise LabanError(f"end {self.end:g} is not after start {self.start:g}")
        for name in ("actor", "track"):
            if getattr(self, name) < 0:
                raise LabanError(f"{name} is {getattr(self, name)}; accepted: a whole number from 0")
        object.__setattr__(self, "label", _one_line(self.label))
        object.__setattr__(self, "parts", tuple(dict.fromkeys(canonical_part(part) for part in self.parts)))

    @property
    def seconds(self) -> float:
        """Length of the interval."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Timeline:
    """Segments in order of time, over `duration` seconds; overlaps are allowed.

    Segments may be given in any order. A segment that ends after `duration` extends it, so every segment lies within.
    """

    segments: tuple[Segment, ...] = ()
    duration: float = 0.0

    def __post_init__(self) -> None:
        given = _finite("duration", self.duration)
        if given < 0:
            raise LabanError(f"duration {given:g} is negative")
        segments = tuple(sorted(self.segments, key=_order))
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "duration", max([given, *(segment.end for segment in segments)]))

    def labels(self) -> tuple[str, ...]:
        """The distinct labels in order of first appearance."""
        return tuple(dict.fromkeys(segment.label for segment in self.segments))

    def at(self, seconds: float) -> tuple[Segment, ...]:
        """The segments under way at one moment."""
        return tuple(segment for segment in self.segments if segment.start <= seconds < segment.end)

    def boundaries(self) -> tuple[float, ...]:
        """Every distinct time at which something starts or ends, with 0 and the duration, in order."""
        inner = (time for segment in self.segments for time in (segment.start, segment.end))
        return tuple(sorted({0.0, self.duration, *inner}))

    def shift(self, seconds: float) -> Timeline:
        """The same score `seconds` later (earlier if negative; LabanError when that goes below 0)."""
        moved = (_moved(s, s.start + seconds, s.end + seconds, seconds) for s in self.segments)
        return Timeline(tuple(moved), self.duration + seconds)

    def crop(self, start: float, end: float) -> Timeline:
        """The part within [start, end), with times counted from `start`; segments are cut at both edges."""
        if not 0 <= start < end:
            raise LabanError(f"cannot crop a timeline to [{start:g}, {end:g}); accepted: 0 <= start < end")
        inside = (s for s in self.segments if s.start < end and s.end > start)
        cut = (_moved(s, max(s.start, start) - start, min(s.end, end) - start, -start) for s in inside)
        return Timeline(tuple(cut), end - start)


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Where the entries of an array lie in time: the only conversion between seconds and indices.

    Entry i starts at `offset + i * stride / fps` seconds and was computed from `window` frames from there on. So 20 fps
    motion is `FrameGrid(20, frames)`, and features of 16-frame windows every 4 frames are `FrameGrid(30, n, 4, 16)`.

    Rounding: a time goes to the nearest entry start, halves upward, after differences below a millionth of an entry are
    taken for floating-point noise (4.1 s at 30 fps is entry 123, although 4.1 * 30 < 123 in floating point).
    """

    fps: float
    frames: int
    stride: float = 1
    window: float = 1
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fps", "stride", "window"):
            value = _finite(name, getattr(self, name))
            if value <= 0:
                raise LabanError(f"{name} is {value:g}; accepted: a positive number")
        _finite("offset", self.offset)
        if self.frames < 0:
            raise LabanError(f"frames is {self.frames}; accepted: a whole number from 0")

    @classmethod
    def lasting(cls, seconds: float, fps: float) -> FrameGrid:
        """The plain grid of `fps` that covers `seconds`, by the rounding above; at least one frame."""
        return cls(fps, max(1, cls(fps, 0).index(seconds)))

    @property
    def seconds(self) -> float:
        """From the first entry's start to the last one's end, an entry lasting one stride."""
        return self.frames * self.stride / self.fps

    def start(self, index: float) -> float:
        """Seconds at which an entry starts."""
        return self.offset + index * self.stride / self.fps

    def centre(self, index: float) -> float:
        """Seconds of the middle of the window that an entry was computed from."""
        return self.offset + (index * self.stride + self.window / 2) / self.fps

    def index(self, seconds: float) -> int:
        """The entry whose start is nearest to a time; may lie outside the array."""
        return math.floor(self._position(seconds) + 0.5 + _NOISE)

    def span(self, start: float, end: float) -> tuple[int, int]:
        """Half-open range of the entries of [start, end), clipped to the array.

        An interval that reaches into the array keeps at least one entry; one outside it gives an empty range.
        """
        first, last = (min(max(self.index(time), 0), self.frames) for time in (start, end))
        if first < last:
            return first, last
        low, high = self._position(start), self._position(end)
        if high <= _NOISE or low >= self.frames - _NOISE or high <= low:
            return first, first
        first = min(max(math.floor(low + _NOISE), 0), self.frames - 1)
        return first, first + 1

    def segment(self, first: int, last: int, label: str, *, score: float = 1.0) -> Segment:
        """The segment of the half-open range of entries [first, last)."""
        return Segment(max(self.start(first), 0.0), self.start(last), label, score=score)

    def _position(self, seconds: float) -> float:
        return (_finite("time", seconds) - self.offset) * self.fps / self.stride


def clock(seconds: float) -> str:
    """A time for people to read, to the tenth: `0:07.4` or `1:02:07.4`."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{tenths // 10:02d}.{tenths % 10}"


def _moved(segment: Segment, start: float, end: float, later: float) -> Segment:
    gentime = None if segment.gentime is None else segment.gentime + later
    return replace(segment, start=start, end=end, gentime=gentime)


def _order(segment: Segment) -> tuple[float, float, int, int, str]:
    return segment.start, segment.end, segment.actor, segment.track, segment.label


def _finite(name: str, value: float) -> float:
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        finite, value = False, math.inf
    if not finite:
        raise LabanError(f"{name} is {value}; accepted: a finite number")
    return float(value)


def _one_line(label: str) -> str:
    line = " ".join(label.split())
    if not line:
        raise LabanError("label is empty; accepted: text such as 'walk forward'")
    for character in line:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise LabanError(f"label {line!r} holds the control character {character!r}")
    return line
