"""Ego4D moment queries: recall@kx, the share of moments that one of the first k·n answers finds.

n is how many moments of the class the video has. The official evaluator pools all moments and asks for an overlap
*above* the threshold; OpenTAD takes the mean over classes and asks for the threshold itself. Both are here, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from action_localization.evaluation.instances import Instances, Labelled, as_instances, hull_overlap, overlap, positions
from laban.errors import LabanError


@dataclass(frozen=True)
class RetrievalScores:
    """Recall at each threshold for the first k·n answers, from 0 to 1."""

    rule: str
    tious: tuple[float, ...]
    tops: tuple[int, ...]
    recall: Float64[ndarray, "tious tops"]
    truths: int

    def at(self, top: int, tiou: float) -> float:
        """Recall@`top`x at a threshold."""
        row = np.flatnonzero(np.isclose(self.tious, tiou, rtol=0, atol=1e-6))
        if not len(row) or top not in self.tops:
            raise LabanError(f"recall@{top}x at {tiou:g} was not computed; accepted: {self.tops} at {self.tious}")
        return float(self.recall[row[0], self.tops.index(top)])


def evaluate_retrieval(
    truth: Labelled,
    answers: Labelled,
    *,
    tious: tuple[float, ...] = (0.3, 0.5, 0.7),
    tops: tuple[int, ...] = (1, 2, 3, 4, 5),
    rule: Literal["ego4d", "opentad"] = "ego4d",
) -> RetrievalScores:
    """Recall@kx. Answers of a video and class count in falling order of score, equal scores in order of the file."""
    truth, answers = as_instances(truth), as_instances(answers)
    if not len(truth):
        raise LabanError("recall@kx needs moments; the ground truth has none")
    found = np.stack([_reached(truth, answers, tiou, tops, rule) for tiou in tious])
    if rule == "ego4d":
        recall = found.mean(axis=1)
    else:
        classes = [truth.label == label for label in np.unique(truth.label)]
        recall = np.stack([found[:, chosen].mean(axis=1) for chosen in classes]).mean(axis=0)
    return RetrievalScores(rule, tious, tops, recall, len(truth))


def bootstrap_retrieval(
    truth: Labelled, answers: Labelled, *, tious: tuple[float, ...] = (0.3, 0.5, 0.7),
    tops: tuple[int, ...] = (1, 2, 3, 4, 5), repeats: int = 200, seed: int = 0,
) -> Float64[ndarray, "repeats tious tops"]:  # fmt: skip
    """Recall@kx by the rule `ego4d` over videos drawn with replacement; a draw without any moment is NaN."""
    truth, answers = as_instances(truth), as_instances(answers)
    found = np.stack([_reached(truth, answers, tiou, tops, "ego4d") for tiou in tious])
    drawn = len(truth.videos)
    rng = np.random.default_rng(seed)
    result = np.empty((repeats, len(tious), len(tops)))
    for repeat in range(repeats):
        weights = rng.multinomial(drawn, np.full(drawn, 1 / drawn)).astype(np.float64)[truth.video]
        with np.errstate(invalid="ignore"):
            result[repeat] = np.einsum("n,tnk->tk", weights, found) / weights.sum()
    return result


def _reached(
    truth: Instances, answers: Instances, tiou: float, tops: tuple[int, ...], rule: str
) -> Float64[ndarray, "truths tops"]:
    """1 where one of the first k·n answers to a moment's class and video reaches it."""
    first = np.full(len(truth), np.iinfo(np.int64).max)
    count = np.zeros(len(truth), np.int64)
    for moments, chosen in _queries(truth, answers):
        count[moments] = len(moments)
        if not len(chosen):
            continue
        measure = hull_overlap if rule == "ego4d" else overlap
        value = measure(
            answers.start[chosen][None], answers.end[chosen][None], truth.start[moments][:, None],
            truth.end[moments][:, None],
        )  # fmt: skip
        reached = value > tiou if rule == "ego4d" else value >= tiou
        some = reached.any(axis=1)
        first[moments[some]] = reached[some].argmax(axis=1)
    return (first[:, None] < count[:, None] * np.array(tops)).astype(np.float64)


def _queries(truth: Instances, answers: Instances) -> list[tuple[Int64[ndarray, " _"], Int64[ndarray, " _"]]]:
    """For each video and class with moments: these, and the answers in falling order of score."""
    classes = len(truth.labels)
    label = positions(answers.labels, truth.labels)[answers.label]
    video = positions(answers.videos, truth.videos)[answers.video]
    asked = np.where((label < 0) | (video < 0), -1, video * classes + label)
    order = np.lexsort((-answers.score, asked))
    low, high = (np.searchsorted(asked[order], truth.video * classes + truth.label, side=s) for s in ("left", "right"))
    group = truth.video * classes + truth.label
    by_group = np.argsort(group, kind="stable")
    parts = np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1)
    return [(moments, order[low[moments[0]] : high[moments[0]]]) for moments in parts]
