"""The truth of one video out of any file of scores, and how detections compare with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from action_localization.data.corpus import listed
from action_localization.data.layouts import read_corpus
from action_localization.data.source import kind, open_source
from action_localization.pose.classes import class_of_motion, class_of_video
from laban.errors import LabanError
from laban.scores import babel, read_timelines
from laban.timeline import Segment, Timeline

OVERLAP = 0.5
"""Temporal intersection over union from which a detection counts as the truth's."""


@dataclass(frozen=True)
class Match:
    """A segment of the truth and what was found of it: the detection of its label that overlaps most, None if none."""

    truth: Segment
    found: Segment | None
    overlap: float

    @property
    def right(self) -> bool:
        """Whether the overlap is enough."""
        return self.overlap >= OVERLAP


def read_truth(path: str | Path, name: str, classes: Collection[str]) -> tuple[Timeline, list[str]]:
    """The truth of video `name`, its labels in the words of `classes` where they mean one; and what is wrong in it.

    Intervals that end before they start and the like are left out and listed; labels that belong to no class are kept
    and listed. A file with one video need not name it. LabanError when the file does not hold the video.
    """
    timelines, problems = _timelines(Path(path))
    if name in timelines or len(timelines) == 1:
        truth = timelines.get(name) or next(iter(timelines.values()))
    else:
        if not timelines:
            raise LabanError(f"{path}: holds no video")
        some = ", ".join(list(timelines)[:3])
        raise LabanError(f"{path}: has no video {name!r} among its {len(timelines)} ({some} …)")
    unknown: dict[str, int] = {}
    segments = []
    for segment in truth.segments:
        label = named(segment.label, classes)
        if label is None:
            unknown[segment.label] = unknown.get(segment.label, 0) + 1
        segments.append(Segment(segment.start, segment.end, label or segment.label))
    problems += [f"{path}: label {label!r} ({count} segments) is unknown to the detector" for label, count in
                 unknown.items()]  # fmt: skip
    return Timeline(tuple(segments), truth.duration), problems


def named(label: str, classes: Collection[str]) -> str | None:
    """The class that a label means: itself, or the class it belongs to in the embedded detector's lists."""
    for known in (label, class_of_video(label), class_of_motion(label)):
        if known in classes:
            return known
    return None


def compare(found: Timeline, truth: Timeline) -> tuple[list[Match], list[Segment]]:
    """Each segment of the truth with its detection, and the detections that are nobody's.

    The surest detection chooses first, among the segments of its label that are free, the one it overlaps most.
    """
    best: dict[int, tuple[Segment, float]] = {}
    extra: list[Segment] = []
    for segment in sorted(found.segments, key=lambda s: -s.score):
        free = [(overlap(segment, other), -index) for index, other in enumerate(truth.segments)
                if index not in best and other.label == segment.label]  # fmt: skip
        value, index = max(free, default=(0.0, 0))
        if value >= OVERLAP:
            best[-index] = (segment, value)
        else:
            extra.append(segment)
    return [Match(other, *best.get(i, _nearest(other, extra))) for i, other in enumerate(truth.segments)], extra


def overlap(one: Segment, other: Segment) -> float:
    """Temporal intersection over union."""
    shared = max(min(one.end, other.end) - max(one.start, other.start), 0.0)
    return shared / (one.seconds + other.seconds - shared)


def _nearest(truth: Segment, extra: list[Segment]) -> tuple[Segment | None, float]:
    of_label = [(overlap(segment, truth), -i) for i, segment in enumerate(extra) if segment.label == truth.label]
    value, index = max(of_label, default=(0.0, 0))
    return (extra[-index], value) if value > 0 else (None, 0.0)


def _timelines(path: Path) -> tuple[Mapping[str, Timeline], list[str]]:
    if kind(path) in (".vtt", ".srt"):
        return read_timelines(path), []
    if kind(path) == ".json":
        source = open_source(path)
        results = isinstance(source.document, dict) and isinstance(source.document.get("results"), dict)
        if results or babel.recognise(source):
            return read_timelines(path), []
    corpus = read_corpus(path)
    return corpus.timelines(), listed(corpus.problems)
