"""QVHighlights: moment retrieval (R1, mAP) and highlights (mAP, Hit@1), as Lei et al. 2021 score them, in per cent.

A query is a plain record of the published files: `qid`, `relevant_windows`, and for highlights `duration`,
`relevant_clip_ids` and `saliency_scores` (three raters, 0 to 4, per 2 s clip); an answer has `pred_relevant_windows`
([start, end, score], best first) and `pred_saliency_scores` (one per clip).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.instances import Instances, Row, hull_overlap, overlap
from action_localization.evaluation.protocols import Protocol
from laban.errors import LabanError

TIOUS = tuple(float(f"{tiou:.2f}") for tiou in np.linspace(0.5, 0.95, 10))
RANGES = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": (0, 150)}
"""Seconds of a window: longer than the first, up to the second; `full` takes all."""

MOST = 10
"""Answers of a query that count for the mAP."""

RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
CLIP = 2
"""Seconds of a clip."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class MomentScores:
    """Of one range of lengths: mean over queries, in per cent, at `TIOUS`."""

    mean_ap: tuple[float, ...]
    recall_at_1: tuple[float, ...]
    queries: int

    @property
    def average(self) -> float:
        """The mean of `mean_ap`."""
        return float(np.mean(self.mean_ap))


@dataclass(frozen=True)
class HighlightScores:
    """With clips of at least one rating as highlights, in per cent."""

    mean_ap: float
    hit_at_1: float


def evaluate_moments(queries: Sequence[Record], answers: Sequence[Record]) -> dict[str, MomentScores]:
    """Scores of each range in `RANGES`. Raises LabanError where queries and answers are not the same."""
    found = _by_query(queries, answers, "pred_relevant_windows")
    return {name: _range(queries, found, *limits, whole=name == "full") for name, limits in RANGES.items()}


def evaluate_highlights(queries: Sequence[Record], answers: Sequence[Record]) -> dict[str, HighlightScores]:
    """Scores with each of `RATINGS` as the least rating of a highlight."""
    found = _by_query(queries, answers, "pred_saliency_scores")
    result = {}
    for name, least in RATINGS.items():
        ap, hits = [], []
        for query in queries:
            truth = _ratings(query) >= least
            scores = np.asarray(found[query["qid"]]["pred_saliency_scores"], np.float64)
            best = int(scores.argmax())
            hits.append(best < len(truth) and bool(truth[best].any()))
            fitted = np.zeros(len(truth))
            fitted[: len(scores)] = scores[: len(truth)]
            ap.append([ranking_precision(column, fitted) for column in truth.T])
        result[name] = HighlightScores(100 * float(np.mean(ap)), 100 * float(np.mean(hits)))
    return result


def ranking_precision(truth: Bool[ndarray, " n"], scores: Float64[ndarray, " n"]) -> float:
    """Interpolated average precision of a ranking: the mean over distinct steps of recall; 0 without any positive.

    Entries of equal score enter together, as one step. All positive gives 1.
    """
    if not truth.any() or truth.all():
        return float(truth.any())
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    right = np.cumsum(truth[order])[last]
    precision = np.maximum.accumulate((right / (last + 1))[::-1])[::-1]
    steps = np.diff(right, prepend=0) > 0
    return float(precision[steps].mean())


def _range(
    queries: Sequence[Record], answers: Mapping[Any, Record], low: float, high: float, *, whole: bool
) -> MomentScores:
    """Windows in one range of lengths, over the queries that have any (all queries, if `whole`)."""
    truth_rows: list[Row] = []
    found_rows: list[Row] = []
    best: list[float] = []
    for query in queries:
        windows = [w for w in query["relevant_windows"] if whole or low < w[1] - w[0] <= high]
        if not windows and not whole:
            continue
        name = str(query["qid"])
        answer = answers[query["qid"]]["pred_relevant_windows"]
        truth_rows += [(name, name, float(start), float(end), 1.0) for start, end in windows]
        counted = answer[:MOST][::-1]  # equal scores are taken in reverse, and here the earlier answer goes first
        found_rows += [(name, name, float(start), float(end), float(score)) for start, end, score in counted]
        best.append(_top_overlap(windows, answer))
    if not truth_rows:
        return MomentScores((float("nan"),) * len(TIOUS), (float("nan"),) * len(TIOUS), 0)
    protocol = Protocol("qvhighlights", TIOUS)
    truth, found = Instances.from_rows(truth_rows), Instances.from_rows(found_rows)
    ap = evaluate_detection(truth, found, protocol).ap
    mean_ap = 100 * ap.sum(axis=1) / len(best)
    recall = 100 * (np.array(best)[:, None] >= np.array(TIOUS)).mean(axis=0)
    return MomentScores(tuple(mean_ap.tolist()), tuple(recall.tolist()), len(best))


def _top_overlap(windows: Sequence[Sequence[float]], answer: Sequence[Sequence[float]]) -> float:
    """How far the first answer covers the window it meets best (union: the smallest interval that holds both)."""
    if not windows or not answer:
        return 0.0
    start, end = np.array(windows, np.float64).T
    first, last = np.full(len(start), float(answer[0][0])), np.full(len(start), float(answer[0][1]))
    place = int(overlap(first, last, start, end).argmax())
    return float(hull_overlap(first, last, start, end)[place])


def _ratings(query: Record) -> Float64[ndarray, "clips raters"]:
    full = np.zeros((int(query["duration"] / CLIP), 3))
    full[np.asarray(query["relevant_clip_ids"], np.int64)] = np.asarray(query["saliency_scores"], np.float64)
    return full


def _by_query(queries: Sequence[Record], answers: Sequence[Record], key: str) -> dict[Any, Record]:
    found = {answer["qid"]: answer for answer in answers if key in answer}
    asked = {query["qid"] for query in queries}
    if asked != set(found):
        missing, extra = sorted(map(str, asked - set(found))), sorted(map(str, set(found) - asked))
        raise LabanError(
            f"answers with {key!r} do not fit the queries: {len(missing)} are missing ({', '.join(missing[:3])}), "
            f"{len(extra)} are of other queries ({', '.join(extra[:3])})"
        )
    return found
