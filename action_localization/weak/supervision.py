"""What weak systems may know of their training videos: the set of classes in each, or one click on each action.

A stream in which most classes occur teaches nothing by its label set. So a stream is first cut into shorter videos,
once and by a seeded rule that knows nothing of its truth: lengths drawn evenly around a configured one. Somebody then
says of each video which classes are in it. Nothing below this module sees a boundary.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from action_localization.data.corpus import Instant
from action_localization.spine.points import to_entries
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features

Clicks = Mapping[str, Sequence[Instant]]
"""By name of a stream, one labelled moment of each of its actions, in seconds."""


@dataclass(frozen=True)
class CutConfig:
    """How streams become short videos with label sets of their own."""

    seconds: float = 12.0
    """Mean length of a video; 0 leaves streams whole."""
    spread: float = 0.3
    """Lengths are drawn evenly from 1 - this to 1 + this times the mean."""
    present: float = 0.5
    """A class is said to be in a video that holds this share of one of its segments, or is filled by one so far."""


@dataclass(frozen=True)
class WeakVideo:
    """A training video: `labels` is 1 for each class in it, `clicks` are (entry, class), in order of time."""

    name: str
    values: Float32[ndarray, "time width"]
    labels: Float32[ndarray, " classes"]
    clicks: Int[ndarray, "clicks 2"]


def weak_videos(
    streams: Sequence[tuple[str, Features, Timeline]], classes: Sequence[str], config: CutConfig, *, seed: int,
    clicks: Clicks | None = None,
) -> tuple[WeakVideo, ...]:  # fmt: skip
    """(name, features, truth) cut into videos; the truth is asked for label sets alone, as an annotator would be.

    LabanError where features are missing or not finite, a click's label is no class or its moment outside the stream,
    or no video has a label.
    """
    index = {label: number for number, label in enumerate(classes)}
    found = []
    for name, features, truth in streams:
        _check(name, features)
        edges = _cuts(name, features, config, seed)
        chosen = _click_entries(name, features, (clicks or {}).get(name, ()), index)
        for number, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            labels = np.zeros(len(classes), np.float32)
            low, high = features.grid.start(int(first)), features.grid.start(int(last))
            labels[[index[c] for c in classes_within(truth, low, high, config.present) if c in index]] = 1
            mine = chosen[(chosen[:, 0] >= first) & (chosen[:, 0] < last)] - (first, 0)
            labels[mine[:, 1]] = 1
            found.append(WeakVideo(f"{name}/{number}", features.values[first:last], labels, mine))
    if not any(video.labels.any() for video in found):
        raise LabanError("no training video has a label; accepted: videos of which some hold one of the classes")
    return tuple(found)


def classes_within(truth: Timeline, low: float, high: float, present: float) -> set[str]:
    """What somebody says is seen from `low` to `high` seconds."""
    found = set()
    for segment in truth.segments:
        seen = min(segment.end, high) - max(segment.start, low)
        if seen > 0 and seen >= present * min(segment.seconds, high - low):
            found.add(segment.label)
    return found


def drawn_clicks(truths: Mapping[str, Timeline], seed: int) -> dict[str, tuple[Instant, ...]]:
    """Simulated annotation with points: one moment of each segment, evenly drawn over it."""
    found = {}
    for name, truth in truths.items():
        rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
        found[name] = tuple(Instant(s.start + float(rng.random()) * s.seconds, s.label) for s in truth.segments)
    return found


def _cuts(name: str, features: Features, config: CutConfig, seed: int) -> list[int]:
    """Entries at which a stream is cut, its ends among them; no video is shorter than half the mean length."""
    grid = features.grid
    mean, time = config.seconds * grid.fps / grid.stride, len(features.values)
    if config.seconds <= 0 or mean >= time:
        return [0, time]
    rng, edges = np.random.default_rng((seed, zlib.crc32(name.encode()), 1)), [0]
    while True:
        at = edges[-1] + max(1, round(mean * float(rng.uniform(1 - config.spread, 1 + config.spread))))
        if at > time - mean / 2:
            return [*edges, time]
        edges.append(at)


def _click_entries(
    name: str, features: Features, clicks: Sequence[Instant], index: Mapping[str, int]
) -> Int[ndarray, "clicks 2"]:
    rows, ordered = [], sorted(clicks, key=lambda one: one.seconds)
    entries = np.rint(to_entries(features.grid, np.array([click.seconds for click in ordered]))).astype(np.int64)
    for click, entry in zip(ordered, entries.tolist(), strict=True):
        if click.label not in index:
            raise LabanError(f"{name}: a click is labelled {click.label!r}; accepted: {', '.join(index)}")
        if not -1 <= entry <= len(features.values):
            raise LabanError(f"{name}: a click at {click.seconds:g} s lies outside the features")
        rows.append((min(max(entry, 0), len(features.values) - 1), index[click.label]))
    return np.array(rows, np.int64).reshape(-1, 2)


def _check(name: str, features: Features) -> None:
    if not len(features.values):
        raise LabanError(f"{name}: has no features")
    bad = np.flatnonzero(~np.isfinite(features.values).all(1))
    if len(bad):
        raise LabanError(f"{name}: {len(bad)} of {len(features.values)} entries hold NaN or infinity, first {bad[0]}")
