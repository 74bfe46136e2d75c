"""Mean average precision of detections: the ActivityNet rule and the THUMOS14 kit, for all classes and videos at once.

A class counts if it has a truth. A detection of a class without any is ignored (and counted in the scores), one in a
video without truth of its class is false, a truth in a video without detections is missed. Equal scores are taken in
reverse order of the file, as the ActivityNet evaluator does; in the kit in order of video name, then file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from action_localization.evaluation.instances import Instances, Labelled, as_instances, positions
from action_localization.evaluation.matching import Intervals, assign, overlapping
from action_localization.evaluation.protocols import AMBIGUOUS, Protocol, protocol_named
from laban.errors import LabanError


@dataclass(frozen=True)
class Counts:
    """What was scored: `unknown` detections have a class without truth, `elsewhere` ones a video without any truth."""

    videos: int
    truths: int
    detections: int
    unknown: int
    elsewhere: int


@dataclass(frozen=True)
class DetectionScores:
    """Average precision of each class (in order of their names) at each threshold, from 0 to 1."""

    protocol: str
    tious: tuple[float, ...]
    classes: tuple[str, ...]
    ap: Float64[ndarray, "tious classes"]
    counts: Counts

    @property
    def mean_ap(self) -> Float64[ndarray, " tious"]:
        """The mean over classes at each threshold."""
        return self.ap.mean(axis=1)

    @property
    def average(self) -> float:
        """The mean over classes and thresholds."""
        return float(self.mean_ap.mean())

    def at(self, tiou: float) -> float:
        """Mean average precision at one of the thresholds."""
        found = np.flatnonzero(np.isclose(self.tious, tiou, rtol=0, atol=1e-6))
        if not len(found):
            accepted = ", ".join(f"{one:g}" for one in np.round(self.tious, 6))
            raise LabanError(f"tIoU {tiou:g} is not part of {self.protocol}; accepted: {accepted}")
        return float(self.mean_ap[found[0]])

    def table(self) -> str:
        """The scores as a Markdown table, in per cent, with what they were computed from."""
        heads = [f"@{tiou:g}" for tiou in np.round(self.tious, 6)] + ["average"]
        cells = [f"{100 * value:.2f}" for value in (*self.mean_ap, self.average)]
        lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---:"] * len(heads), cells)]
        n = self.counts
        return "\n".join([
            f"{self.protocol}: mAP in per cent; {n.videos} videos, {n.truths} truths of {len(self.classes)} classes, "
            f"{n.detections} detections (ignored, of unknown class: {n.unknown}; in other videos: {n.elsewhere})",
            *lines,
        ])  # fmt: skip


@dataclass(frozen=True)
class _Ranked:
    """Truths and detections in the order of their files, with indices into the truth's videos and classes (-1: none).

    `order` lists the detections of known classes by class, then precedence; `rank` is its inverse.
    """

    videos: tuple[str, ...]
    classes: tuple[str, ...]
    truth_video: Int64[ndarray, " truths"]
    truth_class: Int64[ndarray, " truths"]
    video: Int64[ndarray, " detections"]
    label: Int64[ndarray, " detections"]
    truths: Intervals
    detections: Intervals
    order: Int64[ndarray, " known"]
    rank: Int64[ndarray, " detections"]
    ignored: Bool[ndarray, " detections"] | None


@dataclass(frozen=True)
class _Hits:
    """The ranks of true detections, one threshold after another, in order; `at` counts thresholds."""

    at: Int64[ndarray, " hits"]
    rank: Int64[ndarray, " hits"]


def evaluate_detection(truth: Labelled, detections: Labelled, protocol: Protocol | str) -> DetectionScores:
    """Score detections by a protocol (or its name in `PROTOCOLS`).

    Both are `Instances`, or timelines by video; videos of the truth without a segment may be among them. Intervals that
    the truth labels "Ambiguous" are of no class. Raises LabanError when no truth is left to score.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    ranked, counts = _prepare(as_instances(truth), as_instances(detections), protocol)
    ap = _average_precision(ranked, _hits(ranked, protocol), protocol)
    return DetectionScores(protocol.name, protocol.tious, ranked.classes, ap, counts)


def bootstrap_detection(
    truth: Labelled, detections: Labelled, protocol: Protocol | str, *, repeats: int = 200, seed: int = 0
) -> Float64[ndarray, "repeats tious"]:
    """Mean average precision over videos drawn with replacement; percentiles of a column are its interval.

    Each video is weighed by how often it was drawn; classes that a draw leaves without truth are not part of its mean,
    and a draw without any truth is NaN.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    ranked, _ = _prepare(as_instances(truth), as_instances(detections), protocol)
    hits, drawn = _hits(ranked, protocol), len(ranked.videos)
    rng = np.random.default_rng(seed)
    result = np.empty((repeats, len(protocol.tious)))
    for repeat in range(repeats):
        weights = rng.multinomial(drawn, np.full(drawn, 1 / drawn)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            ap = _average_precision(ranked, hits, protocol, weights)
        known = ~np.isnan(ap[0])  # whether a class has truth does not depend on the threshold
        result[repeat] = ap[:, known].mean(axis=1) if known.any() else np.nan
    return result


# ---------------------------------------------------------------------------------------------------- preparation


def _prepare(truth: Instances, detections: Instances, protocol: Protocol) -> tuple[_Ranked, Counts]:
    if protocol.without:
        truth, detections = truth.without_videos(protocol.without), detections.without_videos(protocol.without)
    ambiguous = truth.keep(truth.with_label(AMBIGUOUS))
    truth = truth.keep(~truth.with_label(AMBIGUOUS))
    if protocol.merge is not None:
        truth = without_repeats(truth, protocol.merge)
    if not len(truth):
        raise LabanError(f"{protocol.name}: the ground truth has no instance to score")
    classes = tuple(sorted(truth.labels[i] for i in np.unique(truth.label)))
    label = positions(detections.labels, classes)[detections.label]
    video = positions(detections.videos, truth.videos)[detections.video]
    start, end = detections.start, detections.end
    if protocol.rule == "thumos-kit":
        start, end = np.minimum(start, end), np.maximum(start, end)
    unknown = int((label < 0).sum())
    counts = Counts(len(truth.videos), len(truth), len(label), unknown, int(((video < 0) & (label >= 0)).sum()))
    order = _precedence(detections, label, protocol)[unknown:]
    rank = np.full(len(label), -1, np.int64)
    rank[order] = np.arange(len(order))
    truth_class = positions(truth.labels, classes)[truth.label]
    group = video * len(classes) + label
    group[(video < 0) | (label < 0)] = -1
    ranked = _Ranked(
        truth.videos, classes, truth.video, truth_class, video, label,
        Intervals(truth.video * len(classes) + truth_class, truth.start, truth.end), Intervals(group, start, end),
        order, rank, _touching(video, start, end, ambiguous) if protocol.rule == "thumos-kit" else None,
    )  # fmt: skip
    return ranked, counts


def _precedence(detections: Instances, label: Int64[ndarray, " n"], protocol: Protocol) -> Int64[ndarray, " n"]:
    """The order of detections: by class (-1 first), then falling score, ties as the rule has them."""
    if protocol.rule == "thumos-kit":
        names = np.argsort(np.argsort(np.array(detections.videos), kind="stable"))
        order = np.lexsort((names[detections.video], -detections.score))
    else:
        order = np.argsort(detections.score)[::-1]
        ascending = detections.score[order]
        if (ascending[1:] == ascending[:-1]).any():
            order = np.argsort(detections.score, kind="stable")[::-1]
    narrow = np.int16 if label.max(initial=0) < 2**15 else np.int64  # whole numbers of 16 bits are sorted by radix
    return order[np.argsort(label[order].astype(narrow), kind="stable")]


def _touching(
    video: Int64[ndarray, " n"], start: Float64[ndarray, " n"], end: Float64[ndarray, " n"], ambiguous: Instances
) -> Bool[ndarray, " n"]:
    """Which intervals share some time with an ambiguous one."""
    touching = np.zeros(len(video), bool)
    for place, low, high in zip(ambiguous.video, ambiguous.start, ambiguous.end, strict=True):
        touching |= (video == place) & (start < high) & (end > low) & (low < high)
    return touching


def without_repeats(truth: Instances, tolerance: float) -> Instances:
    """Truths of some length, each once: later ones of its video and class with both ends within `tolerance` seconds of
    one that stays are left out (OpenTAD's rule)."""
    kept: dict[tuple[int, int], list[int]] = {}
    for i in np.flatnonzero(truth.end > truth.start):
        same = kept.setdefault((int(truth.video[i]), int(truth.label[i])), [])
        off = np.maximum(np.abs(truth.start[same] - truth.start[i]), np.abs(truth.end[same] - truth.end[i]))
        if not (off <= tolerance).any():
            same.append(int(i))
    return truth.keep(np.array(sorted(i for same in kept.values() for i in same), np.int64))


# ----------------------------------------------------------------------------------------------- matching and area


def _hits(ranked: _Ranked, protocol: Protocol) -> _Hits:
    """The true detections at each threshold."""
    tious = protocol.tious
    if protocol.rule == "thumos-kit":
        ordered = Intervals(*(column[ranked.order] for column in vars(ranked.detections).values()))
        pairs = overlapping(ranked.truths, ordered, min(tious), later_first=False, hull=True)
        at, rank = np.nonzero(assign([pairs.keep(pairs.overlap > t) for t in tious], len(ranked.order)) >= 0)
    else:
        pairs = overlapping(ranked.detections, ranked.truths, min(tious)).renamed(ranked.rank)
        taken = assign([pairs.keep(pairs.overlap >= t) for t in tious], len(ranked.truth_video))
        at, truth = np.nonzero(taken >= 0)
        rank = taken[at, truth]
        order = np.lexsort((rank, at))
        at, rank = at[order], rank[order]
    return _Hits(at, rank)


def _average_precision(
    ranked: _Ranked, hits: _Hits, protocol: Protocol, weights: Float64[ndarray, " videos"] | None = None
) -> Float64[ndarray, "tious classes"]:
    """Area under each class's curve; precision changes the area at true detections alone, so only those are looked at.

    `weights` count a video's truths and detections as often as it was drawn; a class without any truth gives NaN.
    """
    count, classes = len(protocol.tious), len(ranked.classes)
    found = ranked.order[hits.rank]
    column = hits.at * classes + ranked.label[found]
    positives = np.bincount(ranked.truth_class, None if weights is None else weights[ranked.truth_video], classes)
    weight = np.ones(len(found)) if weights is None else weights[ranked.video[found]]
    right = np.cumsum(weight) - _before(weight, column, count * classes)[column]
    precision = np.divide(right, _seen(ranked, hits, weights), out=np.zeros(len(right)), where=right > 0)
    if protocol.rule == "activitynet":
        precision = _best_from_here(precision, column)
    return np.bincount(column, precision * weight, count * classes).reshape(count, classes) / positives


def _seen(ranked: _Ranked, hits: _Hits, weights: Float64[ndarray, " videos"] | None) -> Float64[ndarray, " hits"]:
    """How many detections that count were seen up to each true one, in its class."""
    if weights is None and ranked.ignored is None:
        size = np.bincount(ranked.label + 1, minlength=len(ranked.classes) + 1)[1:]
        return hits.rank - (np.cumsum(size) - size)[ranked.label[ranked.order[hits.rank]]] + 1.0
    label, video = ranked.label[ranked.order], ranked.video[ranked.order]
    weight = np.ones(len(video)) if weights is None else np.where(video < 0, 1.0, weights[video])
    seen = np.empty(len(hits.at))
    for at in np.unique(hits.at):
        here = hits.at == at
        true = hits.rank[here]
        counted = weight if ranked.ignored is None else weight * ~ranked.ignored[ranked.order]
        counted[true] = weight[true]
        seen[here] = (np.cumsum(counted) - _before(counted, label, len(ranked.classes))[label])[true]
    return seen


def _before(weight: Float64[ndarray, " n"], column: Int64[ndarray, " n"], count: int) -> Float64[ndarray, " count"]:
    """The weight of everything that stands before each column, of entries in order of their column."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(column, weight, count))[:-1]])


def _best_from_here(value: Float64[ndarray, " n"], column: Int64[ndarray, " n"]) -> Float64[ndarray, " n"]:
    """The largest value from each entry to the last of its column, by doubling."""
    best, step = value.copy(), 1
    while step < len(best):
        same = column[step:] == column[:-step]
        if not same.any():
            break
        best[:-step] = np.maximum(best[:-step], np.where(same, best[step:], 0.0))
        step *= 2
    return best
