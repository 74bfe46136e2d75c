"""Grounding: R@n, IoU >= m and mIoU (Charades-STA, TACoS), R@1, TD <= p and onset accuracy (UAL-Bench), in per cent.

An answer is a list of (start, end, score) in seconds, the best first, or None where a system gave none that could be
read. What None counts is a rule of its own, and part of every figure: `wrong` takes it for a miss, `random` for a
random span of the video, as published rows of language models do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from action_localization.evaluation.report import interval_of
from laban.errors import LabanError

NullRule = Literal["wrong", "random"]
Windows = Sequence[tuple[float, float]]
Answer = Sequence[Sequence[float]] | None

TOPS = (1, 5)
IOUS = (0.3, 0.5, 0.7)
TIME_DIFFERENCES = (0.0, 1.0, 3.0, 5.0, 7.0)
"""Seconds by which both ends may be off (UAL-Bench)."""
ONSETS = (1.0, 0.25)
"""Seconds by which the start may be off."""
_EDGE = 1e-6
"""A difference or an overlap that equals its bar, up to this, reaches it."""


@dataclass(frozen=True)
class Question:
    """One query: its video, the video's seconds, and the stretches that answer it."""

    video: str
    duration: float
    windows: Windows
    text: str = ""


@dataclass(frozen=True)
class GroundingScores:
    """Of every query: the best overlap among the first n answers, and how far the first's ends are off (seconds)."""

    videos: tuple[str, ...]
    tops: tuple[int, ...]
    best: Float64[ndarray, "queries tops"]
    off: Float64[ndarray, "queries 2"]
    null: int
    """Queries without an answer."""
    rule: NullRule

    def figures(self, weights: Float64[ndarray, " queries"] | None = None) -> dict[str, float]:
        """Every figure by its name, in per cent; `weights` count queries more than once."""
        weights = np.ones(len(self.best)) if weights is None else weights
        total = max(weights.sum(), 1e-12)

        def share(hit: Any) -> float:
            return float(100 * (weights * hit).sum() / total)

        found = {
            f"R@{top}, IoU={iou:g}": share(self.best[:, column] >= iou - _EDGE)
            for column, top in enumerate(self.tops)
            for iou in IOUS
        }
        found["mIoU"] = share(self.best[:, 0])
        found |= {f"R@1, TD<={p:g}": share((self.off <= p + _EDGE).all(1)) for p in TIME_DIFFERENCES}
        return found | {f"onset within {p:g} s": share(self.off[:, 0] <= p + _EDGE) for p in ONSETS}

    def intervals(self, *, repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % of bootstraps over videos."""
        names, video = np.unique(np.array(self.videos), return_inverse=True)
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(repeats):
            times = rng.multinomial(len(names), np.full(len(names), 1 / len(names))).astype(np.float64)
            drawn.append(list(self.figures(times[video]).values()))
        low, high = interval_of(np.array(drawn))
        return {name: (float(a), float(b)) for name, a, b in zip(self.figures(), low, high, strict=True)}


def score_grounding(
    questions: Sequence[Question], answers: Sequence[Answer], *, null: NullRule, tops: tuple[int, ...] = TOPS,
    seed: int = 0,
) -> GroundingScores:  # fmt: skip
    """Scores of answers in the order of the questions; an empty answer is as good as None.

    Where a question has several windows, the first answer is compared with the one that it overlaps most, or else is
    nearest to. LabanError for another number of answers or a rule that is unknown.
    """
    if null not in ("wrong", "random"):
        raise LabanError(f"null rule {null!r}; accepted: wrong, random")
    if len(questions) != len(answers):
        raise LabanError(f"{len(answers)} answers to {len(questions)} questions; accepted: one for each, None for none")
    if not questions:
        raise LabanError("grounding: no questions to score")
    rng = np.random.default_rng(seed)
    best = np.zeros((len(questions), len(tops)))
    off = np.full((len(questions), 2), np.inf)
    missing = 0
    for row, (question, given) in enumerate(zip(questions, answers, strict=True)):
        answer = given
        if not answer:
            missing += 1
            if null == "wrong":
                continue
            answer = random_spans(question.duration, max(tops), rng)
        spans, windows = np.array([span[:2] for span in answer], np.float64), np.array(question.windows, np.float64)
        overlaps = span_iou(spans, windows)
        best[row] = [overlaps[:top].max() for top in tops]
        away = np.abs(windows - spans[0])
        nearest = int(np.lexsort((away.sum(1), -overlaps[0]))[0])
        off[row] = away[nearest]
    return GroundingScores(tuple(q.video for q in questions), tops, best, off, missing, null)


def span_iou(spans: Float64[ndarray, "n 2"], windows: Float64[ndarray, "m 2"]) -> Float64[ndarray, "n m"]:
    """Intersection over union; two equal moments overlap wholly, anything else without length not at all."""
    shared = np.minimum(spans[:, None, 1], windows[:, 1]) - np.maximum(spans[:, None, 0], windows[:, 0])
    shared = np.maximum(shared, 0.0)
    union = (spans[:, 1] - spans[:, 0])[:, None] + (windows[:, 1] - windows[:, 0]) - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), (spans[:, None] == windows).all(-1))


# ------------------------------------------------------------------------------------------------------ trivial rows


def random_spans(duration: float, count: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Spans between two uniform moments."""
    ends = np.sort(rng.uniform(0, duration, (count, 2)), 1)
    return [(float(a), float(b), 0.0) for a, b in ends]


def prior_spans(questions: Sequence[Question], count: int = max(TOPS), *, cells: int = 20) -> list[tuple[float, float]]:
    """The shares of a video that are the best blind answers to training questions, the best first.

    Each next one, on a grid of `cells`, answers most questions (IoU >= 0.5) that the ones before do not; ties go to the
    higher mean overlap.
    """
    grid = np.array([(a, b) for a in range(cells) for b in range(a + 1, cells + 1)], np.float64) / cells
    best = np.stack([
        span_iou(grid, np.array(q.windows, np.float64) / max(q.duration, 1e-9)).max(1) for q in questions if q.windows
    ])  # fmt: skip
    free = np.ones(len(best), bool)
    chosen = []
    for _ in range(count):
        hits, mean = (best[free] >= 0.5).sum(0), best[free].mean(0) if free.any() else best.mean(0)
        one = int(np.lexsort((-mean, -hits))[0])
        chosen.append((float(grid[one, 0]), float(grid[one, 1])))
        free &= best[:, one] < 0.5
    return chosen


def trivial_answers(
    questions: Sequence[Question], training: Sequence[Question] = (), *, seed: int = 0
) -> dict[str, list[Answer]]:
    """Rows that see no video: random spans, the whole video, and the best fixed spans of training questions."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Answer]] = {
        "random spans": [random_spans(q.duration, max(TOPS), rng) for q in questions],
        "whole video": [[(0.0, q.duration, 1.0)] for q in questions],
    }
    if training:
        prior = prior_spans(training)
        rows["best fixed spans of training"] = [
            [(a * q.duration, b * q.duration, 1.0) for a, b in prior] for q in questions
        ]
    return rows
