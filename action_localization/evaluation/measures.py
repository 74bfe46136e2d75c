"""Reports of what else than mAP is asked: average recall of proposals, Ego4D's recall@kx, scores of frame labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from action_localization.data.corpus import Corpus
from action_localization.evaluation.detection import Counts, without_repeats
from action_localization.evaluation.instances import Instances, positions
from action_localization.evaluation.proposals import bootstrap_proposals, evaluate_proposals
from action_localization.evaluation.protocols import AMBIGUOUS, Protocol
from action_localization.evaluation.report import (
    RANDOM,
    ReportRow,
    check_videos,
    interval_of,
    table_lines,
    trivial_detections,
)
from action_localization.evaluation.retrieval import bootstrap_retrieval, evaluate_retrieval
from action_localization.evaluation.segmentation import (
    OVERLAPS,
    bootstrap_segmentation,
    evaluate_segmentation,
    frame_labels,
)
from laban.errors import LabanError
from laban.timeline import FrameGrid

Measure = Literal["map", "proposals", "recall"]

NUMBERS = (1, 5, 10, 100)
"""Average numbers of proposals a video that are printed; the curve ends at the last."""

TOPS, TIOUS = (1, 5), (0.3, 0.5, 0.7)
"""Of recall@kx: the k and the thresholds that are printed."""

WHOLE_ONCE = "whole video"
_ABOUT = {
    "proposals": "average recall of proposals of any class, tIoU .5:.05:.95 (ActivityNet's official evaluator)",
    "recall": "recall@kx of moments (Ego4D's official evaluator)",
}


@dataclass(frozen=True)
class MeasureReport:
    """Rows of one measure other than mAP, in `columns`, from 0 to 1."""

    protocol: str
    measure: Measure
    columns: tuple[str, ...]
    repeats: int
    rows: tuple[ReportRow, ...]

    def table(self) -> str:
        """Markdown, in per cent, with what was counted."""
        first, n = self.rows[0], self.rows[0].counts
        unknown = "" if self.measure == "proposals" else f"{n.unknown} of unknown class, "
        return "\n".join([
            f"{self.protocol}, {self.measure}: {_ABOUT[self.measure]}, in per cent "
            f"[95 % of {self.repeats} bootstraps over videos]; {n.videos} videos, {n.truths} truths",
            *table_lines(self.columns, self.rows),
            f"{first.name}: {n.detections} detections ({unknown}{n.elsewhere} in other videos)",
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, from 0 to 1."""
        n = self.rows[0].counts
        rows = {
            row.name: {
                "values": dict(zip(self.columns, row.values.tolist(), strict=True)),
                "interval": dict(zip(self.columns, row.interval.T.tolist(), strict=True)),
                "detections": row.counts.detections,
            }
            for row in self.rows
        }
        return {"protocol": self.protocol, "measure": self.measure, "videos": n.videos, "truths": n.truths,
                "unknown": n.unknown, "elsewhere": n.elsewhere, "bootstraps": self.repeats, "rows": rows}  # fmt: skip


def measure_named(name: str) -> Measure:
    """LabanError that lists the measures for an unknown one."""
    if name not in get_args(Measure):
        raise LabanError(f"unknown measure {name!r}; accepted: {', '.join(get_args(Measure))}")
    return cast(Measure, name)


def usual_measures(corpus: Corpus, detections: Mapping[str, Instances], protocol: Protocol) -> tuple[Measure, ...]:
    """mAP; recall@kx too where the protocol is Ego4D's, average recall too where a set of detections is of no class."""
    known = {segment.label for timeline in corpus.timelines().values() for segment in timeline.segments}
    free = any(len(found.labels) == 1 and found.labels[0] not in known for found in detections.values())
    recall: tuple[Measure, ...] = ("recall",) if protocol.name == "ego4d-mq" else ()
    return ("map", *(("proposals",) if free else ()), *recall)


def measure_report(
    corpus: Corpus, detections: Mapping[str, Instances], protocol: Protocol, measure: Measure, *, repeats: int = 200,
    seed: int = 0,
) -> MeasureReport:  # fmt: skip
    """Named sets of detections, then the trivial ones, by `proposals` or `recall`; all by the same bootstraps.

    Of the protocol, the videos that are left out and the rule for repeated truths apply; ambiguous intervals are no
    truths. LabanError where there is no truth, or no detection lies in a video of the truth.
    """
    if measure == "map":
        raise LabanError("measure 'map' has a report of its own, detection_report; accepted: proposals, recall")
    truth = corpus.instances().without_videos(protocol.without)
    check_videos(truth, detections)
    truth = truth.keep(~truth.with_label(AMBIGUOUS))
    if protocol.merge is not None:
        truth = without_repeats(truth, protocol.merge)
    trivial = trivial_proposals if measure == "proposals" else trivial_detections
    rows = []
    for name, found in {**detections, **trivial(corpus, seed=seed)}.items():
        found = found.without_videos(protocol.without)
        try:
            of = _proposals if measure == "proposals" else _recall
            values, drawn = of(truth, found, repeats, seed)
        except LabanError as error:
            raise LabanError(f"{name}: {error}") from None
        rows.append(ReportRow(name, values, interval_of(drawn), _counts(truth, found)))
    columns = [*(f"AR@{number}" for number in NUMBERS), "AUC"]
    if measure == "recall":
        columns = [f"R@{top}x @{tiou:g}" for tiou in TIOUS for top in TOPS]
    return MeasureReport(protocol.name, measure, tuple(columns), repeats, tuple(rows))


Figures = tuple[Float64[ndarray, " columns"], Float64[ndarray, "repeats columns"]]


def _proposals(truth: Instances, found: Instances, repeats: int, seed: int) -> Figures:
    scores = evaluate_proposals(truth, found, most=NUMBERS[-1])
    drawn = bootstrap_proposals(truth, found, numbers=NUMBERS, repeats=repeats, seed=seed)
    return np.array([*map(scores.at, NUMBERS), scores.auc]), drawn


def _recall(truth: Instances, found: Instances, repeats: int, seed: int) -> Figures:
    scores = evaluate_retrieval(truth, found, tious=TIOUS, tops=TOPS)
    drawn = bootstrap_retrieval(truth, found, tious=TIOUS, tops=TOPS, repeats=repeats, seed=seed)
    return scores.recall.ravel(), drawn.reshape(repeats, -1)


def _counts(truth: Instances, found: Instances) -> Counts:
    known = {truth.labels[i] for i in np.unique(truth.label)}
    strange = np.array([label not in known for label in found.labels], bool)[found.label]
    away = positions(found.videos, truth.videos)[found.video] < 0
    return Counts(len(truth.videos), len(truth), len(found), int(strange.sum()), int(away.sum()))


def trivial_proposals(corpus: Corpus, *, seed: int = 0, each: int = NUMBERS[-1]) -> dict[str, Instances]:
    """What needs no network: the whole of every video; and `each` segments a video with lengths drawn from the truth,
    at random places in a random order."""
    truth = corpus.instances()
    truth = truth.keep(~truth.with_label(AMBIGUOUS))
    if not len(truth):
        return {}
    rng, names = np.random.default_rng(seed), tuple(corpus.videos)
    duration = np.array([video.duration for video in corpus.videos.values()], np.float64)
    count = len(names)
    place = np.repeat(np.arange(count), each)
    long = np.minimum(rng.choice(truth.end - truth.start, len(place)), duration[place])
    start = rng.uniform(0, 1, len(place)) * (duration[place] - long)
    whole = Instances(names, ("",), np.arange(count), np.zeros(count, np.int64), np.zeros(count), duration,
                      np.ones(count))  # fmt: skip
    drawn = Instances(names, ("",), place, np.zeros(len(place), np.int64), start, start + long,
                      rng.uniform(0, 1, len(place)))  # fmt: skip
    return {WHOLE_ONCE: whole, f"{RANDOM}, {each} a video": drawn}


# -------------------------------------------------------------------------------------------------- frame labels

COMMONEST = "most common label"


@dataclass(frozen=True)
class SegmentationReport:
    """Accuracy, edit and F1 of sets of frame labels, from 0 to 1; counts are of videos and frames."""

    columns: tuple[str, ...]
    repeats: int
    videos: int
    frames: int
    rows: Mapping[str, tuple[Float64[ndarray, " columns"], Float64[ndarray, "2 columns"]]]

    def table(self) -> str:
        """Markdown, in per cent, with what was counted."""
        counts = Counts(self.videos, 0, 0, 0, 0)
        rows = [ReportRow(name, *figures, counts) for name, figures in self.rows.items()]
        return "\n".join([
            f"segmentation (evaluator of MS-TCN): in per cent [95 % of {self.repeats} bootstraps over videos]; "
            f"{self.videos} videos, {self.frames} frames",
            *table_lines(self.columns, rows),
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, from 0 to 1."""
        rows = {
            name: {"values": dict(zip(self.columns, values.tolist(), strict=True)),
                   "interval": dict(zip(self.columns, interval.T.tolist(), strict=True))}
            for name, (values, interval) in self.rows.items()
        }  # fmt: skip
        return {"protocol": "segmentation", "videos": self.videos, "frames": self.frames, "bootstraps": self.repeats,
                "rows": rows}  # fmt: skip


def segmentation_report(
    corpus: Corpus, predictions: Mapping[str, Mapping[str, Sequence[str]]], *, background: Sequence[str],
    repeats: int = 200, seed: int = 0,
) -> SegmentationReport:  # fmt: skip
    """Named sets of frame labels, then the commonest label everywhere, on the frames of the annotations.

    Frames without annotation are of the first `background` label. LabanError where the annotations state no frame rate.
    """
    truth = {}
    for name, video in corpus.videos.items():
        if video.fps is None:
            raise LabanError(f"{name}: has no frame rate; accepted: frame labels, such as MS-TCN's folders, or --fps")
        truth[name] = frame_labels(video.timeline, FrameGrid.lasting(video.duration, video.fps), background[0])
    labels, times = np.unique(list(chain(*truth.values())), return_counts=True)
    common = {name: [str(labels[times.argmax()])] * len(frames) for name, frames in truth.items()}
    rows = {}
    for name, found in {**predictions, COMMONEST: common}.items():
        try:
            scores = evaluate_segmentation(truth, found, background=background)
        except LabanError as error:
            raise LabanError(f"{name}: {error}") from None
        drawn = bootstrap_segmentation(truth, found, background=background, repeats=repeats, seed=seed)
        rows[name] = np.array([scores.accuracy, scores.edit, *scores.f1]) / 100, interval_of(drawn / 100)
    columns = ("accuracy", "edit", *(f"F1@{100 * overlap:g}" for overlap in OVERLAPS))
    return SegmentationReport(columns, repeats, len(truth), int(times.sum()), rows)
