"""Action segmentation: frame accuracy, segmental edit score and F1@k (Lea et al. 2017; the evaluator of MS-TCN)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import FrameGrid, Timeline

OVERLAPS = (0.1, 0.25, 0.5)

Frames = Sequence[str] | Sequence[int] | Int64[ndarray, " _"]
"""The label of each frame."""


@dataclass(frozen=True)
class SegmentationScores:
    """All in per cent, as papers print them; `f1` for each of `overlaps`."""

    accuracy: float
    edit: float
    f1: tuple[float, ...]
    overlaps: tuple[float, ...]
    videos: int
    frames: int


def evaluate_segmentation(
    truth: Mapping[str, Frames],
    predictions: Mapping[str, Frames],
    *,
    background: Collection[str | int] = ("background",),
    overlaps: tuple[float, ...] = OVERLAPS,
) -> SegmentationScores:
    """Scores over the videos of `truth`: accuracy over all frames, edit as the mean over videos, F1 over all segments.

    Segments of `background` labels are left out of edit and F1, their frames count for the accuracy. Raises LabanError
    for a video without prediction or of another length.
    """
    each = _by_video(truth, predictions, background, overlaps)
    accuracy, edit, *f1 = _figures(each, np.ones(len(each))).tolist()
    return SegmentationScores(accuracy, edit, tuple(f1), overlaps, len(each), int(each[:, 1].sum()))


def bootstrap_segmentation(
    truth: Mapping[str, Frames], predictions: Mapping[str, Frames], *,
    background: Collection[str | int] = ("background",), overlaps: tuple[float, ...] = OVERLAPS, repeats: int = 200,
    seed: int = 0,
) -> Float64[ndarray, "repeats figures"]:  # fmt: skip
    """Accuracy, edit and F1 at each overlap, in per cent, over videos drawn with replacement."""
    each = _by_video(truth, predictions, background, overlaps)
    rng, drawn = np.random.default_rng(seed), len(each)
    weights = rng.multinomial(drawn, np.full(drawn, 1 / drawn), size=repeats).astype(np.float64)
    return np.stack([_figures(each, weight) for weight in weights])


def _by_video(
    truth: Mapping[str, Frames], predictions: Mapping[str, Frames], background: Collection[str | int],
    overlaps: tuple[float, ...],
) -> Float64[ndarray, "videos columns"]:  # fmt: skip
    """Right frames, frames, the edit score, then hits, false and missed segments at each overlap."""
    if not truth:
        raise LabanError("segmentation scores need at least one video")
    rows = []
    for name, labels in truth.items():
        true, found = _pair(name, labels, predictions)
        ours, theirs = _segments(found, background), _segments(true, background)
        counts = [count for overlap in overlaps for count in _f1_counts(ours, theirs, overlap)]
        edit = _edit(ours[0].tolist(), theirs[0].tolist())
        rows.append([float((true == found).sum()), len(true), edit, *counts])
    return np.array(rows, np.float64)


def _figures(each: Float64[ndarray, "videos columns"], weight: Float64[ndarray, " videos"]) -> Float64[ndarray, " _"]:
    """Accuracy, edit and F1 of videos that count `weight` times."""
    right, frames, edit, *counts = weight @ each
    hits, false, missed = np.reshape(counts, (-1, 3)).T
    f1 = np.divide(2 * hits, 2 * hits + false + missed, out=np.zeros(len(hits)), where=hits > 0)
    return 100 * np.array([right / frames, edit / weight.sum() / 100, *f1])


def frame_labels(timeline: Timeline, grid: FrameGrid, background: str = "background") -> list[str]:
    """The label of each frame of a grid; where segments overlap the later one wins, where none is, `background`."""
    labels = [background] * grid.frames
    for segment in timeline.segments:
        first, last = grid.span(segment.start, segment.end)
        labels[first:last] = [segment.label] * (last - first)
    return labels


Segments = tuple[ndarray, Int64[ndarray, " _"], Int64[ndarray, " _"]]
"""Label, first frame and the one after the last."""


def _pair(name: str, labels: Frames, predictions: Mapping[str, Frames]) -> tuple[ndarray, ndarray]:
    if name not in predictions:
        raise LabanError(f"{name}: has no prediction; accepted: the labels of all {len(labels)} frames")
    true, found = np.asarray(labels), np.asarray(predictions[name])
    if not len(true) or true.shape != found.shape or true.ndim != 1:
        raise LabanError(f"{name}: truth has {len(true)} frames and the prediction {len(found)}; accepted: as many")
    if (true.dtype.kind in "US") != (found.dtype.kind in "US"):
        raise LabanError(f"{name}: truth is labelled by {true.dtype} and the prediction by {found.dtype}")
    return true, found


def _segments(labels: ndarray, background: Collection[str | int]) -> Segments:
    starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
    ends = np.append(starts[1:], len(labels))
    kept = np.array([label not in background for label in labels[starts].tolist()], bool)
    return labels[starts][kept], starts[kept], ends[kept]


def _edit(found: list[str | int], true: list[str | int]) -> float:
    """100 minus the Levenshtein distance of two label sequences in per cent of the longer one."""
    if not found and not true:
        return 100.0
    row = list(range(len(true) + 1))
    for i, label in enumerate(found, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(true, 1):
            best = diagonal if label == other else 1 + min(row[j], row[j - 1], diagonal)
            diagonal, row[j] = row[j], best
    return 100 * (1 - row[-1] / max(len(found), len(true)))


def _f1_counts(found: Segments, true: Segments, overlap: float) -> tuple[int, int, int]:
    """Hits, false and missed segments: each found segment asks for the true one of its label that it overlaps most."""
    if not len(found[0]) or not len(true[0]):
        return 0, len(found[0]), len(true[0])
    inter = np.minimum(found[2][:, None], true[2]) - np.maximum(found[1][:, None], true[1])
    union = np.maximum(found[2][:, None], true[2]) - np.minimum(found[1][:, None], true[1])
    value: Float64[ndarray, "found true"] = inter / union * (found[0][:, None] == true[0])
    best = value.argmax(axis=1)
    asked = best[value[np.arange(len(best)), best] >= overlap]
    hits = len(np.unique(asked))
    return hits, len(best) - hits, len(true[0]) - hits
