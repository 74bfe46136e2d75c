"""Class activation sequences: how they are pooled over a video while learning, and how segments are read off them.

An activation sequence says how much every class is there at every entry. Networks work on (batch, time, classes)
tensors with masks, True at real entries; decoding works on the arrays of one video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from action_localization.spine.nms import Candidates, SoftNMS, join, suppress
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline


@dataclass(frozen=True)
class ThresholdConfig:
    """How segments are read off an activation sequence."""

    thresholds: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
    """Levels; every run of entries at or above one of them is a candidate."""
    relative: bool = True
    """Levels are shares of the way from a sequence's smallest to its largest value, instead of values."""
    smooth: int = 1
    """Entries of the moving average taken first; 1: none."""
    opening: int = 0
    """Radius in entries of the morphological opening of each level's runs, which takes away what is shorter."""
    closing: int = 0
    """Radius in entries of the closing that follows, which fills what lies between."""
    gap: int = 0
    """Runs with at most so many entries between them are one."""
    shortest: int = 1
    """Entries; shorter candidates are left out."""
    margin: float = 0.25
    """What counts as outside: this share of a candidate's length on either side, at least one entry."""
    nms: SoftNMS = SoftNMS(sigma=0.3, keep=200)


# ------------------------------------------------------------------------------------------------ while learning


def cas(
    rows: Float[Tensor, "*batch time width"], classes: Float[Tensor, "classes width"],
    bias: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, "*batch time classes"]:  # fmt: skip
    """Class activation sequence (Zhou et al., CVPR 2016, over time): every row by the weights of every class.

    Unit rows and the unit vectors of texts give cosines.
    """
    return torch.nn.functional.linear(rows, classes, bias)


def top_mean(
    activation: Float[Tensor, "batch time classes"], mask: Bool[Tensor, "batch time"] | None, share: float = 0.125
) -> Float[Tensor, "batch classes"]:
    """Multiple-instance pooling: per class, the mean of the largest `share` of the real entries, at least one."""
    counts = _counts(activation, mask)
    if mask is not None:
        activation = activation.masked_fill(~mask[..., None], -torch.inf)
    ordered = activation.sort(1, descending=True).values
    taken = (counts * share).ceil().clamp(min=1)
    place = torch.arange(activation.shape[1], device=activation.device)
    chosen = (place < taken[:, None])[..., None]
    return ordered.masked_fill(~chosen, 0.0).sum(1) / taken[:, None]


def attention_pool(
    rows: Float[Tensor, "batch time width"], attention: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"] | None,
) -> Float[Tensor, "batch width"]:  # fmt: skip
    """The attention-weighted mean of the real rows; weights >= 0 that need not add up to one."""
    weight = attention if mask is None else attention * mask.to(attention.dtype)
    return (rows * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1e-6)


def attention_spread(
    attention: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"] | None, share: float = 0.125
) -> Float[Tensor, " batch"]:
    """Mean of the largest `share` of a video's attention minus mean of the smallest (TSCN's normalisation)."""
    high = top_mean(attention[..., None], mask, share)[:, 0]
    return high + top_mean(-attention[..., None], mask, share)[:, 0]


def _counts(values: Tensor, mask: Tensor | None) -> Float[Tensor, " batch"]:
    if mask is None:
        return torch.full((len(values),), float(values.shape[1]), device=values.device)
    return mask.sum(1).float()


# ------------------------------------------------------------------------------------------------------- reading


def threshold_decode(
    activation: Float[ndarray, "time classes"], config: ThresholdConfig = ThresholdConfig(), *,
    shape: Float[ndarray, "time #classes"] | None = None,
) -> Candidates:  # fmt: skip
    """Segments in half-open entries: runs above many levels, scored inner minus outer, then suppressed.

    Runs are those of `shape` (an attention that all classes share, or a column each) where it is given, else of the
    activations; scores are those of the activations. A score of `nms.min_score` or less is none. LabanError for
    numbers that are not finite.
    """
    _check(activation)
    shape = activation if shape is None else np.broadcast_to(shape, activation.shape)
    _check(shape)
    found = [_none()]
    for label in range(activation.shape[1]):
        spans = proposals(shape[:, label], config)
        score = inner_minus_outer(activation[:, label], spans, config.margin)
        found.append(_candidates(spans, score, label))
    return suppress(join(found), config.nms, span=max(1, len(activation)))


def proposals(values: Float[ndarray, " time"], config: ThresholdConfig) -> Int[ndarray, "n 2"]:
    """The distinct runs, in half-open entries, of one sequence above all levels, in order of time."""
    if not len(values):
        return np.empty((0, 2), np.int64)
    smooth = moving_average(values, config.smooth)
    levels = np.array(config.thresholds, np.float64)
    if config.relative:
        low, high = float(smooth.min()), float(smooth.max())
        levels = low + levels * (high - low)
        if high - low < 1e-9:
            return np.empty((0, 2), np.int64)
    spans = []
    for level in levels:
        above = closed(opened(smooth >= level, config.opening), config.closing)
        spans.append(merged(runs(above), config.gap))
    every = np.unique(np.concatenate(spans), axis=0)
    return every[every[:, 1] - every[:, 0] >= config.shortest]


def inner_minus_outer(
    values: Float[ndarray, " time"], spans: Int[ndarray, "n 2"], margin: float = 0.25
) -> Float[ndarray, " n"]:
    """Mean inside each span minus mean of what lies `margin` lengths on either side of it (Shou et al., ECCV 2018).

    At least one entry on either side counts as outside; 0 is taken for the outside where a span is the whole video.
    """
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    first, last = spans[:, 0], spans[:, 1]
    reach = np.maximum(1, np.ceil((last - first) * margin).astype(np.int64))
    low, high = np.maximum(first - reach, 0), np.minimum(last + reach, len(values))
    inside, around = total[last] - total[first], total[high] - total[low]
    outer = (around - inside) / np.maximum((high - low) - (last - first), 1)
    return inside / np.maximum(last - first, 1) - outer


def as_timeline(found: Candidates, grid: FrameGrid, classes: Sequence[str], duration: float | None = None) -> Timeline:
    """Candidates in half-open entries as scored segments in seconds, inside [0, duration] (default: the grid's end).

    An entry lasts one stride around the middle of its window.
    """
    half = grid.stride / 2 / grid.fps
    end = max(0.0, grid.centre(grid.frames - 1) + half) if duration is None else duration
    segments = []
    for first, last, score, label in zip(found.start, found.end, found.score, found.label, strict=True):
        low, high = max(0.0, grid.centre(float(first)) - half), min(end, grid.centre(float(last) - 1) + half)
        if high > low:
            segments.append(Segment(low, high, classes[int(label)], score=float(score)))
    return Timeline(tuple(segments), end)


def moving_average(values: Float[ndarray, "time *rest"], width: int) -> Float[ndarray, "time *rest"]:
    """The mean over `width` entries around each (one more before than after if even), of those that there are."""
    if width <= 1 or len(values) < 2:
        return values
    total = np.concatenate([np.zeros_like(values[:1], np.float64), np.cumsum(values, 0, dtype=np.float64)])
    place = np.arange(len(values))
    low, high = np.maximum(place - width // 2, 0), np.minimum(place + (width + 1) // 2, len(values))
    count = (high - low).reshape(-1, *[1] * (values.ndim - 1))
    return ((total[high] - total[low]) / count).astype(values.dtype)


def dilated(flags: Bool[ndarray, " time"], radius: int) -> Bool[ndarray, " time"]:
    """True wherever an entry within `radius` is true."""
    if radius <= 0 or not len(flags):
        return flags
    total = np.concatenate([[0], np.cumsum(flags)])
    place = np.arange(len(flags))
    return total[np.minimum(place + radius + 1, len(flags))] > total[np.maximum(place - radius, 0)]


def eroded(flags: Bool[ndarray, " time"], radius: int) -> Bool[ndarray, " time"]:
    """True where all entries within `radius` are; what lies outside the video counts as its edge does."""
    return ~dilated(~flags, radius)


def opened(flags: Bool[ndarray, " time"], radius: int) -> Bool[ndarray, " time"]:
    """Erosion, then dilation: runs of up to 2 * radius entries vanish, the others stay as they are."""
    return dilated(eroded(flags, radius), radius)


def closed(flags: Bool[ndarray, " time"], radius: int) -> Bool[ndarray, " time"]:
    """Dilation, then erosion: gaps of up to 2 * radius entries are filled, the others stay as they are."""
    return ~opened(~flags, radius)


def runs(flags: Bool[ndarray, " time"]) -> Int[ndarray, "n 2"]:
    """Half-open ranges of true entries, in order."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)], 1)


def merged(spans: Int[ndarray, "n 2"], gap: int) -> Int[ndarray, "m 2"]:
    """Spans in order of time, with those that lie at most `gap` entries apart made one."""
    if len(spans) < 2 or gap <= 0:
        return spans
    far = spans[1:, 0] - spans[:-1, 1] > gap
    return np.stack([spans[np.concatenate([[True], far]), 0], spans[np.concatenate([far, [True]]), 1]], 1)


def _candidates(spans: Int[ndarray, "n 2"], score: Float[ndarray, " n"], label: int) -> Candidates:
    start, end = spans[:, 0].astype(np.float64), spans[:, 1].astype(np.float64)
    return Candidates(start, end, score, np.full(len(spans), label))


def _none() -> Candidates:
    return _candidates(np.empty((0, 2), np.int64), np.empty(0), 0)


def _check(values: Float[ndarray, "time classes"]) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise LabanError(f"activations: {len(bad)} of {len(values)} entries hold NaN or infinity, first {bad[0]}")
