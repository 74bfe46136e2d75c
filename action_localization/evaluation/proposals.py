"""Average recall of proposals against their number per video (the ActivityNet proposal task): AR@AN and AUC.

The official evaluator does not give every video the same number. For an average of AN proposals, each video may use the
same *share* of what was submitted for it: the share is AN times the videos with truth over all proposals submitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from action_localization.evaluation.instances import Instances, Labelled, as_instances, overlap, positions
from action_localization.evaluation.protocols import PROTOCOLS
from laban.errors import LabanError

POINTS = 100
"""Points of the curve, at equal steps up to the largest average number."""


@dataclass(frozen=True)
class ProposalScores:
    """Recall at each threshold and average number of proposals per video; the curve is its mean over thresholds."""

    tious: tuple[float, ...]
    numbers: Float64[ndarray, " points"]
    recall: Float64[ndarray, "tious points"]
    videos: int
    truths: int

    @property
    def average_recall(self) -> Float64[ndarray, " points"]:
        """AR at each average number."""
        return self.recall.mean(axis=0)

    @property
    def auc(self) -> float:
        """Area under the AR-AN curve over its largest number, from 0 to 1 (papers print it in per cent)."""
        heights, steps = self.average_recall, np.diff(self.numbers)
        return float((steps * (heights[1:] + heights[:-1]) / 2).sum() / self.numbers[-1])

    def at(self, number: float) -> float:
        """AR@AN for a number on the curve; LabanError for one that is not."""
        near = int(np.abs(self.numbers - number).argmin())
        if abs(self.numbers[near] - number) > 1e-6 * max(number, 1):
            raise LabanError(f"AN {number:g} is no point of the curve; accepted: multiples of {self.numbers[0]:g}")
        return float(self.average_recall[near])


@dataclass(frozen=True)
class _Curve:
    """For each truth: the rank of the first proposal that reaches it, and how many may be used at each point."""

    truth: Instances
    first: Int64[ndarray, "tious truths"]
    allowed: Int64[ndarray, "truths points"]
    numbers: Float64[ndarray, " points"]
    videos: int

    def recalled(self, tiou: int) -> Bool[ndarray, "truths points"]:
        """Which truths are found at the threshold of a number."""
        return self.first[tiou][:, None] < self.allowed


def evaluate_proposals(
    truth: Labelled,
    proposals: Labelled,
    *,
    most: float | None = 100,
    tious: tuple[float, ...] = PROTOCOLS["activitynet"].tious,
) -> ProposalScores:
    """The AR-AN curve up to `most` proposals a video on average (None: all that were submitted); labels do not matter.

    Videos without truth are left out of the recall, but their proposals count as submitted; equal scores are taken in
    reverse order of the file, as the official evaluator does. Raises LabanError where nothing can be scored.
    """
    curve = _curve(truth, proposals, most, tious)
    recall = np.stack([curve.recalled(row).sum(axis=0) / len(curve.truth) for row in range(len(tious))])
    return ProposalScores(tious, curve.numbers, recall, curve.videos, len(curve.truth))


def bootstrap_proposals(
    truth: Labelled, proposals: Labelled, *, numbers: tuple[float, ...] = (1, 5, 10, 100),
    tious: tuple[float, ...] = PROTOCOLS["activitynet"].tious, repeats: int = 200, seed: int = 0,
) -> Float64[ndarray, "repeats figures"]:  # fmt: skip
    """AR at each of `numbers` (whole steps of the curve, which ends at the last), then AUC, over videos drawn with
    replacement; a draw without any truth is NaN. Every video keeps the number of proposals that the whole set gave it.
    """
    curve = _curve(truth, proposals, numbers[-1], tious)
    videos, points = len(curve.truth.videos), len(curve.numbers)
    found = np.zeros((videos, points))
    for row in range(len(tious)):
        np.add.at(found, curve.truth.video, curve.recalled(row) / len(tious))
    truths = np.bincount(curve.truth.video, minlength=videos)
    rng = np.random.default_rng(seed)
    result = np.empty((repeats, len(numbers) + 1))
    for repeat in range(repeats):
        weights = rng.multinomial(videos, np.full(videos, 1 / videos)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            height = weights @ found / (weights @ truths)
        scores = ProposalScores(tious, curve.numbers, height[None], curve.videos, len(curve.truth))
        result[repeat] = [*map(scores.at, numbers), scores.auc]
    return result


def _curve(truth: Labelled, proposals: Labelled, most: float | None, tious: tuple[float, ...]) -> _Curve:
    truth, proposals = (as_instances(one) for one in (truth, proposals))
    if not len(truth) or not len(proposals):
        raise LabanError(f"average recall needs truths and proposals; found {len(truth)} and {len(proposals)}")
    with_truth = np.unique(truth.video)
    videos = len(with_truth)
    most = len(proposals) / videos if most is None else most
    ratio = most * float(videos) / len(proposals)
    video = positions(proposals.videos, truth.videos)[proposals.video]
    by_video = {int(place): np.flatnonzero(video == place) for place in with_truth}
    size = np.array([min(int(len(by_video[int(v)]) * ratio), len(by_video[int(v)])) for v in with_truth])
    if not size.sum():
        raise LabanError("no proposal lies in a video with truth")
    share = np.arange(1, POINTS + 1) / 100.0 * (most * float(videos) / int(size.sum()))
    first = _first_ranks(truth, proposals, by_video, dict(zip(with_truth.tolist(), size.tolist(), strict=True)), tious)
    budget = np.minimum((size[:, None] * share).astype(np.int64), size[:, None])
    allowed = budget[np.searchsorted(with_truth, truth.video)]
    return _Curve(truth, first, allowed, share * (int(size.sum()) / videos), videos)


def _first_ranks(
    truth: Instances, proposals: Instances, by_video: Mapping[int, Int64[ndarray, " _"]], size: Mapping[int, int],
    tious: tuple[float, ...],
) -> Int64[ndarray, "tious truths"]:  # fmt: skip
    """The rank in its video of the first proposal that reaches each threshold; very large where none does."""
    result = np.full((len(tious), len(truth)), np.iinfo(np.int64).max)
    for place, chosen in by_video.items():
        chosen = chosen[np.argsort(proposals.score[chosen], kind="stable")[::-1]][: size[place]]
        if not len(chosen):
            continue
        there = np.flatnonzero(truth.video == place)
        value = overlap(
            proposals.start[chosen][None], proposals.end[chosen][None], truth.start[there][:, None],
            truth.end[there][:, None],
        )  # fmt: skip
        for row, tiou in enumerate(tious):
            reached = value >= tiou
            some = reached.any(axis=1)
            result[row, there[some]] = reached[some].argmax(axis=1)
    return result
