"""Online localization: Hungarian F1, how many segments were emitted and how late, and starts within some seconds.

Average precision hardly counts what nobody needed to hear; F1 of a one-to-one assignment does (Kang et al., ECCV 2024).
IoU is that of the intervals as they are: the code of OAT and MATR takes no union to be shorter than a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy.optimize import linear_sum_assignment

from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.instances import overlap
from action_localization.evaluation.protocols import Protocol
from laban.errors import LabanError
from laban.timeline import Segment, Timeline

TOLERANCES = tuple(float(seconds) for seconds in range(1, 11))
"""Seconds within which a start counts as found (Shou et al., ECCV 2018)."""


@dataclass(frozen=True)
class OnlineScores:
    """What a stream's listener gets: shares from 0 to 1, seconds, and counts."""

    tiou: float
    right: int
    truths: int
    emitted: int
    f1_any: float
    """F1 where classes do not count (ActionSwitch's own measure)."""
    delay: float
    """Mean of gentime less the true end, over right segments that have a gentime; NaN where none has."""
    average_precision: float
    """Mean average precision at the same IoU, by the ActivityNet rule."""
    starts: dict[float, float]
    """Mean average precision of starts, by the seconds of tolerance."""

    @property
    def precision(self) -> float:
        """Right segments among those emitted."""
        return self.right / self.emitted if self.emitted else 0.0

    @property
    def recall(self) -> float:
        """True segments that were found."""
        return self.right / self.truths

    @property
    def f1(self) -> float:
        """Micro F1 of the assignment, each class for itself."""
        return 2 * self.right / (self.truths + self.emitted)

    def table(self) -> str:
        """Two lines for people."""
        starts = ", ".join(f"{100 * self.starts[s]:.1f} @{s:g} s" for s in self.starts if s in (1.0, 3.0, 10.0))
        return (f"F1@{self.tiou:g} {100 * self.f1:.1f} (precision {100 * self.precision:.1f}, recall "
                f"{100 * self.recall:.1f}; classes aside {100 * self.f1_any:.1f}); {self.emitted} emitted, "
                f"{self.truths} true, {self.delay:.2f} s after the end\nmAP@{self.tiou:g} "
                f"{100 * self.average_precision:.1f}; p-mAP of starts {starts}")  # fmt: skip


def evaluate_online(
    truth: Mapping[str, Timeline], emitted: Mapping[str, Timeline], *, tiou: float = 0.5
) -> OnlineScores:
    """Score what was emitted in the videos of the truth; a video without anything emitted is missed.

    LabanError when there is no truth.
    """
    truths = sum(len(timeline.segments) for timeline in truth.values())
    if not truths:
        raise LabanError("online: the ground truth has no instance to score")
    heard = {name: emitted.get(name, Timeline()) for name in truth}
    right, delays, alike = 0, list[float](), 0
    for name, timeline in truth.items():
        for found, true in matched(heard[name].segments, timeline.segments, tiou=tiou):
            right += 1
            if found.gentime is not None:
                delays.append(found.gentime - true.end)
        alike += len(matched(heard[name].segments, timeline.segments, tiou=tiou, classes=False))
    count = sum(len(timeline.segments) for timeline in heard.values())
    precision = evaluate_detection(truth, heard, Protocol("online", (tiou,))).average
    starts = {seconds: start_precision(truth, heard, seconds) for seconds in TOLERANCES}
    delay = float(np.mean(delays)) if delays else float("nan")
    return OnlineScores(tiou, right, truths, count, 2 * alike / (truths + count), delay, precision, starts)


def matched(
    found: Sequence[Segment], truth: Sequence[Segment], *, tiou: float = 0.5, classes: bool = True
) -> list[tuple[Segment, Segment]]:
    """The pairs of the one-to-one assignment with the largest total IoU whose IoU is at least `tiou`.

    With `classes` only segments of one label can be paired.
    """
    if not found or not truth:
        return []
    start, end = (np.array([getattr(s, name) for s in found])[:, None] for name in ("start", "end"))
    iou = overlap(start, end, np.array([s.start for s in truth])[None], np.array([s.end for s in truth])[None])
    if classes:
        iou = np.where(_same(found, truth), iou, 0.0)
    rows, columns = linear_sum_assignment(-iou)
    return [(found[i], truth[j]) for i, j in zip(rows, columns, strict=True) if iou[i, j] >= tiou]


def start_precision(truth: Mapping[str, Timeline], emitted: Mapping[str, Timeline], seconds: float) -> float:
    """Point-level mean average precision: a start is right within so many seconds of a true one of its class and video.

    By falling score, each takes the nearest true start that is free; precision is made to fall (VOC 2011).
    """
    labels = sorted({segment.label for timeline in truth.values() for segment in timeline.segments})
    return float(np.mean([_of_class(truth, emitted, label, seconds) for label in labels]))


def _of_class(truth: Mapping[str, Timeline], emitted: Mapping[str, Timeline], label: str, seconds: float) -> float:
    free = {name: [s.start for s in timeline.segments if s.label == label] for name, timeline in truth.items()}
    total = sum(map(len, free.values()))
    said = [(s.score, name, s.start) for name in truth for s in emitted.get(name, Timeline()).segments
            if s.label == label]  # fmt: skip
    hits = np.zeros(len(said), bool)
    for place, (_, name, start) in enumerate(sorted(said, key=lambda one: -one[0])):
        nearest = min(free[name], key=lambda true: abs(true - start), default=None)
        if nearest is not None and abs(nearest - start) <= seconds:
            free[name].remove(nearest)
            hits[place] = True
    return area(hits, total)


def area(hits: Bool[ndarray, " n"], total: int) -> float:
    """Area under the interpolated curve of hits by rank."""
    precision: Float64[ndarray, " n"] = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / total)


def _same(found: Sequence[Segment], truth: Sequence[Segment]) -> Bool[ndarray, "n m"]:
    return np.array([[one.label == other.label for other in truth] for one in found])
