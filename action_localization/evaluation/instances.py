"""`Instances`: intervals of many videos as columns, which is what every evaluator computes on.

A `Timeline` refuses intervals of no length, but published files hold some and official evaluators count them; columns
carry them. `from_timelines` is the way in for everything of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import Timeline

_LABEL = attrgetter("label")

Row = tuple[str, str, float, float, float]
"""Video, label, start and end in seconds, score."""


@dataclass(frozen=True)
class Instances:
    """n intervals: `video` and `label` index `videos` and `labels`; times in seconds; the order is the file's."""

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: Int64[ndarray, " n"]
    label: Int64[ndarray, " n"]
    start: Float64[ndarray, " n"]
    end: Float64[ndarray, " n"]
    score: Float64[ndarray, " n"]

    @classmethod
    def from_rows(cls, rows: Iterable[Row], videos: Iterable[str] = ()) -> Instances:
        """Columns of rows; `videos` are further videos, which have no interval. LabanError for a number not finite."""
        rows = list(rows)
        names, labels = dict.fromkeys(videos), dict.fromkeys(row[1] for row in rows)
        names.update(dict.fromkeys(row[0] for row in rows))
        numbers = np.array([row[2:] for row in rows], np.float64).reshape(-1, 3)
        if not np.isfinite(numbers).all():
            wrong = int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0])
            raise LabanError(f"row {wrong + 1} ({rows[wrong][0]}): found {rows[wrong][2:]}; accepted: finite numbers")
        return cls(
            tuple(names),
            tuple(labels),
            _indices(names, [row[0] for row in rows]),
            _indices(labels, [row[1] for row in rows]),
            *np.ascontiguousarray(numbers.T),
        )

    @classmethod
    def from_timelines(cls, timelines: Mapping[str, Timeline]) -> Instances:
        """Columns of the segments of every timeline, video by video, each in its order of time."""
        videos = tuple(timelines)
        segments = [segment for timeline in timelines.values() for segment in timeline.segments]
        counts = [len(timeline.segments) for timeline in timelines.values()]
        labels = dict.fromkeys(map(_LABEL, segments))
        return cls(
            videos,
            tuple(labels),
            np.repeat(np.arange(len(videos)), counts).astype(np.int64),
            _indices(labels, map(_LABEL, segments), len(segments)),
            np.fromiter(map(attrgetter("start"), segments), np.float64, len(segments)),
            np.fromiter(map(attrgetter("end"), segments), np.float64, len(segments)),
            np.fromiter(map(attrgetter("score"), segments), np.float64, len(segments)),
        )

    def __len__(self) -> int:
        return len(self.start)

    def keep(self, chosen: Bool[ndarray, " n"] | Int64[ndarray, " m"]) -> Instances:
        """The chosen intervals, in the given order, over the same videos and labels."""
        columns = ("video", "label", "start", "end", "score")
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def with_label(self, label: str) -> Bool[ndarray, " n"]:
        """Which intervals carry a label."""
        if label not in self.labels:
            return np.zeros(len(self), bool)
        return self.label == self.labels.index(label)

    def with_labels(self, labels: Iterable[str]) -> Bool[ndarray, " n"]:
        """Which intervals carry one of the labels."""
        wanted = set(labels)
        return np.isin(self.label, [i for i, label in enumerate(self.labels) if label in wanted])

    def without_videos(self, left_out: Iterable[str]) -> Instances:
        """The intervals and names of all other videos."""
        dropped = set(left_out)
        staying = [i for i, name in enumerate(self.videos) if name not in dropped]
        position = np.full(len(self.videos), -1, np.int64)
        position[staying] = np.arange(len(staying))
        kept = self.keep(position[self.video] >= 0)
        return replace(kept, videos=tuple(self.videos[i] for i in staying), video=position[kept.video])

    def relabelled(self, name: Mapping[str, str]) -> Instances:
        """The same intervals under other labels; labels that become equal are one class from then on."""
        new = [name[label] for label in self.labels]
        labels = dict.fromkeys(new)
        return replace(self, labels=tuple(labels), label=_indices(labels, new)[self.label])


Labelled = Instances | Mapping[str, Timeline]
"""What evaluators take: columns, or a timeline for each video."""


def as_instances(labelled: Labelled) -> Instances:
    """Columns as they are, or those of timelines."""
    return labelled if isinstance(labelled, Instances) else Instances.from_timelines(labelled)


def positions(names: tuple[str, ...], among: tuple[str, ...]) -> Int64[ndarray, " n"]:
    """Where each name stands in `among`; -1 where it does not."""
    index = {name: position for position, name in enumerate(among)}
    return np.array([index.get(name, -1) for name in names], np.int64)


def overlap(
    start: Float64[ndarray, "*#s"], end: Float64[ndarray, "*#s"], start2: Float64[ndarray, "*#s"],
    end2: Float64[ndarray, "*#s"],
) -> Float64[ndarray, "..."]:  # fmt: skip
    """Temporal intersection over union, in the operations and order of the ActivityNet evaluator: equal to the bit.

    Two intervals of no length give 0/0, which that code takes for the best match there is: infinity here.
    """
    inter = np.minimum(end, end2) - np.maximum(start, start2)
    np.maximum(inter, 0, out=inter)
    union = (end2 - start2) + (end - start) - inter
    with np.errstate(invalid="ignore", divide="ignore"):
        result = inter / union
    result[np.isnan(result)] = np.inf
    return result


def hull_overlap(
    start: Float64[ndarray, "*#s"], end: Float64[ndarray, "*#s"], start2: Float64[ndarray, "*#s"],
    end2: Float64[ndarray, "*#s"],
) -> Float64[ndarray, "..."]:  # fmt: skip
    """Intersection over the smallest interval that holds both: the overlap of the THUMOS kit and of Ego4D retrieval.

    It equals intersection over union wherever the two meet, up to rounding, and 0 elsewhere (0/0 included).
    """
    inter = np.maximum(np.minimum(end, end2) - np.maximum(start, start2), 0)
    hull = np.maximum(end, end2) - np.minimum(start, start2)
    return np.divide(inter, hull, out=np.zeros_like(inter), where=hull > 0)


def _indices(index: Mapping[str, object], names: Iterable[str], count: int = -1) -> Int64[ndarray, " n"]:
    position = {name: i for i, name in enumerate(index)}
    return np.fromiter(map(position.__getitem__, names), np.int64, count)
