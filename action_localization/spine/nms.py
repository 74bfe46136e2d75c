"""Soft non-maximum suppression of intervals and segment voting, in plain numpy, all classes at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

_CHECK = 16
"""Rounds between two looks at what can be left out."""


@dataclass(frozen=True)
class SoftNMS:
    """How overlapping candidates lower one another (Bodla et al., ICCV 2017), and how many stay."""

    method: Literal["gaussian", "linear", "hard"] = "gaussian"
    sigma: float = 0.5
    """Gaussian: a score is multiplied by exp(-IoU² / sigma)."""
    overlap: float = 0.0
    """Only candidates whose IoU with the chosen one exceeds this are lowered."""
    widen: float = 0.0
    """Added to `overlap` times the chosen one's share of the whole span (BMN)."""
    min_score: float = 0.001
    """What has less is left out; a score of 0 always is."""
    keep: int = 200
    per_class: bool = True
    voting: float = 0.0
    """IoU from which candidates vote on a kept segment's boundaries; 0: no voting."""


@dataclass(frozen=True)
class Candidates:
    """Intervals (in any one unit) with their scores and class numbers."""

    start: Float[ndarray, " n"]
    end: Float[ndarray, " n"]
    score: Float[ndarray, " n"]
    label: Int[ndarray, " n"]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: Int[ndarray, " k"] | Bool[ndarray, " n"]) -> Candidates:
        """Those at these places, in this order."""
        return Candidates(self.start[index], self.end[index], self.score[index], self.label[index])


def join(parts: list[Candidates]) -> Candidates:
    """All candidates one after another."""
    names = ("start", "end", "score", "label")
    return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def suppress(candidates: Candidates, config: SoftNMS, *, span: float = 1.0) -> Candidates:
    """The `keep` best after soft-NMS, by falling score, with voted boundaries if the configuration asks for them.

    Equal to the plain loop (take the best of a class, lower the rest, until all are below `min_score`) run to its end
    and cut at `keep`: scores only ever fall, so whatever is below the worst of `keep` found so far is left out early.
    `span` is the length that `widen` counts shares of. Voting holds for per-class suppression as well.
    """
    groups = candidates.label if config.per_class else np.zeros_like(candidates.label)
    places, scores, floor = [np.empty(0, np.int64)], [np.empty(0)], config.min_score
    for lanes in _lanes(candidates, groups):
        for place, score in _rounds(lanes, config, span, floor):
            places.append(place)
            scores.append(score)
        floor = _floor(scores, config)
    place, score = np.concatenate(places), np.concatenate(scores)
    order = np.argsort(-score, kind="stable")[: config.keep]
    kept = candidates.take(place[order])
    if config.voting > 0:
        kept = vote(kept, candidates, config.voting, per_class=config.per_class)
    return Candidates(kept.start, kept.end, score[order], kept.label)


def vote(kept: Candidates, candidates: Candidates, overlap: float, *, per_class: bool = True) -> Candidates:
    """Each kept segment's boundaries as the score-weighted mean of the candidates with IoU >= `overlap`."""
    start, end = kept.start.copy(), kept.end.copy()
    for label in np.unique(kept.label) if per_class else [None]:
        mine = np.flatnonzero(kept.label == label) if per_class else np.arange(len(kept))
        voters = candidates.take(candidates.label == label) if per_class else candidates
        weight = interval_iou(start[mine], end[mine], voters.start, voters.end)
        weight = np.where(weight >= overlap, voters.score, 0.0)
        total = weight.sum(1)
        heard = total > 0
        start[mine[heard]] = (weight @ voters.start)[heard] / total[heard]
        end[mine[heard]] = (weight @ voters.end)[heard] / total[heard]
    return Candidates(start, end, kept.score, kept.label)


def interval_iou(
    start: Float[ndarray, " n"], end: Float[ndarray, " n"], other_start: Float[ndarray, " m"],
    other_end: Float[ndarray, " m"],
) -> Float[ndarray, "n m"]:  # fmt: skip
    """Intersection over union of every pair of intervals; 0 where both are empty."""
    both = np.minimum(end[:, None], other_end) - np.maximum(start[:, None], other_start)
    both = np.maximum(both, 0.0)
    union = (end - start)[:, None] + (other_end - other_start) - both
    return both / np.maximum(union, 1e-12)


@dataclass
class _Lanes:
    """Candidates of several groups side by side: (groups, longest), padded with score 0."""

    start: Float[ndarray, "g m"]
    end: Float[ndarray, "g m"]
    score: Float[ndarray, "g m"]
    place: Int[ndarray, "g m"]

    def shrink(self, floor: float) -> None:
        """Leave out what is below `floor`, once that halves the work; the order of the rest stays."""
        live = self.score >= floor
        most = int(live.sum(1).max())
        if 2 * most > live.shape[1]:
            return
        rows = live.any(1)
        order = np.argsort(~live[rows], axis=1, kind="stable")[:, :most]
        for name in ("start", "end", "score", "place"):
            setattr(self, name, np.take_along_axis(getattr(self, name)[rows], order, 1))


def _lanes(candidates: Candidates, groups: Int[ndarray, " n"]) -> Iterator[_Lanes]:
    """Groups of similar size together, so that padding stays below half."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    column = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = np.frexp(counts)[1]
    for power in np.unique(size)[::-1]:
        chosen = np.flatnonzero(size == power)
        row_of = np.full(len(counts), -1)
        row_of[chosen] = np.arange(len(chosen))
        mine = row_of[group[order]] >= 0
        at, place = (row_of[group[order[mine]]], column[mine]), order[mine]
        shape = (len(chosen), int(counts[chosen].max()))
        lanes = _Lanes(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))
        lanes.start[at], lanes.end[at], lanes.score[at] = (
            candidates.start[place],
            candidates.end[place],
            candidates.score[place],
        )
        lanes.place[at] = place
        yield lanes


def _rounds(lanes: _Lanes, config: SoftNMS, span: float, floor: float) -> Iterator[tuple[ndarray, ndarray]]:
    """One round takes the best of every group and lowers the others; yields (places, scores) of the taken."""
    scores: list[ndarray] = []
    while lanes.score.size:
        if len(scores) % _CHECK == 0:
            floor = max(floor, _floor(scores, config))
            lanes.shrink(floor)
            if not lanes.score.size:
                return
        rows = np.arange(len(lanes.score))
        best = lanes.score.argmax(1)
        top = lanes.score[rows, best]
        live = (top >= floor) & (top > 0)
        if not live.any():
            return
        scores.append(top[live])
        yield lanes.place[rows, best][live], top[live]
        _lower(lanes, rows, best, config, span)


def _lower(lanes: _Lanes, rows: Int[ndarray, " g"], best: Int[ndarray, " g"], config: SoftNMS, span: float) -> None:
    start, end = lanes.start[rows, best, None], lanes.end[rows, best, None]
    both = np.minimum(lanes.end, end)
    both -= np.maximum(lanes.start, start)
    np.maximum(both, 0.0, out=both)
    union = lanes.end - lanes.start
    union += end - start
    union -= both
    both /= np.maximum(union, 1e-12, out=union)
    bar = config.overlap + config.widen * (end - start) / span
    if config.method == "gaussian":
        factor = np.exp(np.square(both) / -config.sigma)
    else:
        factor = 1.0 - both if config.method == "linear" else np.zeros_like(both)
    if config.method != "gaussian" or bar.any():
        factor[both <= bar] = 1.0
    lanes.score *= factor
    lanes.score[rows, best] = 0.0


def _floor(scores: list[ndarray], config: SoftNMS) -> float:
    """What a further candidate must reach to be among the `keep` best."""
    found = np.concatenate(scores) if scores else np.empty(0)
    if len(found) < config.keep:
        return config.min_score
    return max(config.min_score, float(np.partition(found, -config.keep)[-config.keep]))
