"""Clips of gym exercises (2048-d I3D rows) strung together to streams with truth, in clip-disjoint folds.

Everything here is fixed by constants: which classes are background, the folds, and the streams that are scored. The
frame rate behind a row is not known, so one row counts as one second, and no boundary is finer than a row: a clip of a
single row is a segment of one second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.formats.arrays import read_npz

BACKGROUND = ("deadlift", "incline bench press", "leg raises", "russian twist", "tricep dips")
"""Held out as background: every fourth of the 21 classes in alphabetical order, chosen before anything was trained."""

FOLDS = 5
SEED = 2026
EXTRACTOR = "I3D, 2048"


Members = Sequence[int] | Int[ndarray, " n"]
"""Numbers of some of the clips."""


@dataclass(frozen=True)
class Clip:
    """One clip: its rows, and its exercise."""

    name: str
    label: str
    values: Float32[ndarray, "rows width"]

    @property
    def background(self) -> bool:
        """Whether its exercise is one of those held out."""
        return self.label in BACKGROUND


@dataclass(frozen=True)
class StreamConfig:
    """How a stream is put together."""

    clips: int = 8
    """Clips of actions in a stream."""
    rounds: int = 3
    """Every clip comes so many times, in another order each time; never twice running without background between."""
    gap: float = 0.6
    """Chance of background before a clip, and at the end."""
    longest: int = 6
    """Rows of the longest background; all lengths from 1 are equally likely."""


@dataclass(frozen=True)
class Stream:
    """Features with truth; `clip` is the number of the clip that each row is from."""

    name: str
    features: Features
    truth: Timeline
    clip: Int[ndarray, " rows"]


def read_clips(path: str | Path) -> tuple[Clip, ...]:
    """The clips of `workout_i3d.npz`: `feats` (rows, width) and `index`, JSON of [name, class, first row, rows].

    LabanError where the file is damaged or the two do not fit.
    """
    path = Path(path)
    arrays = read_npz(path, {"feats", "index"})
    if missing := {"feats", "index"} - set(arrays):
        raise LabanError(f"{path}: has no array {', '.join(sorted(missing))}; accepted: feats and index")
    values = arrays["feats"]
    if values.ndim != 2 or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise LabanError(
            f"{path}: feats is {values.dtype} of shape {values.shape}; accepted: finite numbers, (rows, width)"
        )
    clips = []
    try:
        for name, label, first, rows in json.loads(str(arrays["index"])):
            if not 0 <= first < first + rows <= len(values):
                raise LabanError(f"{path}: clip {name} has rows {first} to {first + rows} of {len(values)}")
            clips.append(Clip(str(name), str(label), values[first : first + rows].astype(np.float32)))
    except (ValueError, TypeError) as error:
        raise LabanError(f"{path}: index is no list of [name, class, first row, rows] ({error})") from None
    if not clips:
        raise LabanError(f"{path}: holds no clip")
    return tuple(clips)


def action_classes(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Names of the classes that are not background, in alphabetical order."""
    return tuple(sorted({clip.label for clip in clips if not clip.background}))


def split(clips: Sequence[Clip], parts: int = FOLDS, seed: int = SEED) -> Int[ndarray, " clips"]:
    """The fold of each clip: every class is dealt out evenly, in a seeded order."""
    rng = np.random.default_rng((seed, 0))
    fold, dealt = np.zeros(len(clips), np.int64), 0
    for label in sorted({clip.label for clip in clips}):
        members = rng.permutation([i for i, clip in enumerate(clips) if clip.label == label])
        fold[members] = (np.arange(len(members)) + dealt) % parts
        dealt += len(members)
    return fold


def scored_streams(
    clips: Sequence[Clip], members: Members, seed: int, config: StreamConfig = StreamConfig()
) -> list[Stream]:
    """Streams in which each action clip of `members` comes `rounds` times, all in the same stream.

    So streams share no action and can be drawn with replacement for an interval; background clips do come again.
    """
    rng = np.random.default_rng((SEED, 1, seed))
    actions = rng.permutation([i for i in members if not clips[i].background])
    background = [int(i) for i in members if clips[i].background]
    groups = np.array_split(actions, max(1, round(len(actions) / config.clips)))
    return [
        string_together(f"stream {seed}/{number}", clips, rounds(group, config, rng), background, config, rng)
        for number, group in enumerate(groups)
    ]


def rounds(group: Int[ndarray, " n"], config: StreamConfig, rng: np.random.Generator) -> list[int]:
    """All of a group, so many times over, each time in another order."""
    return [int(i) for _ in range(config.rounds) for i in rng.permutation(group)]


def string_together(
    name: str, clips: Sequence[Clip], order: Members, background: Members, config: StreamConfig,
    rng: np.random.Generator,
) -> Stream:  # fmt: skip
    """Clips in this order, with background of random length before some of them."""
    pieces: list[tuple[int, Float32[ndarray, "rows width"]]] = []
    segments, at, previous = [], 0, -1
    for index in [*order, -1]:
        if len(background) and (rng.random() < config.gap or index == previous):
            for piece in _background(clips, background, int(rng.integers(1, config.longest + 1)), rng):
                pieces.append(piece)
                at += len(piece[1])
        if index >= 0:
            pieces.append((index, clips[index].values))
            segments.append(Segment(float(at), float(at + len(clips[index].values)), clips[index].label))
            at += len(clips[index].values)
        previous = index
    values = np.concatenate([rows for _, rows in pieces])
    clip = np.repeat([i for i, _ in pieces], [len(rows) for _, rows in pieces])
    return Stream(name, Features(values, FrameGrid(1.0, at), EXTRACTOR), Timeline(tuple(segments), float(at)), clip)


def _background(
    clips: Sequence[Clip], background: Members, rows: int, rng: np.random.Generator
) -> list[tuple[int, Float32[ndarray, "rows width"]]]:
    """Consecutive rows of background clips drawn at random, until there are enough."""
    pieces = []
    while rows > 0:
        index = int(rng.choice(background))
        values = clips[index].values
        length = min(rows, len(values))
        first = int(rng.integers(0, len(values) - length + 1))
        pieces.append((index, values[first : first + length]))
        rows -= length
    return pieces
