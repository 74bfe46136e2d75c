"""From a network's output to candidates: the points of a pyramid, or the cells of a boundary map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from action_localization.spine.nms import Candidates, join
from action_localization.spine.points import Points
from action_localization.spine.systems import DecodingConfig


def level_candidates(
    logits: Float[ndarray, "points classes"], offsets: Float[ndarray, "points per_class 2"], points: Points,
    config: DecodingConfig, *, core: tuple[float, float] = (-math.inf, math.inf),
) -> list[Candidates]:  # fmt: skip
    """Candidates of one video per level, in entries (ActionFormer's rule).

    A point counts for a class when its score exceeds the threshold and is among the highest of the level; only points
    that lie in `core` are used.
    """
    place, stride = points.place.cpu().numpy().astype(np.float64), points.stride.cpu().numpy().astype(np.float64)
    bar = math.log(config.threshold / (1 - config.threshold)) if config.threshold > 0 else -math.inf
    found, first = [], 0
    for size in points.sizes:
        rows = slice(first, first + size)
        inside = np.flatnonzero((place[rows] >= core[0]) & (place[rows] < core[1])) + first
        first += size
        point, label = np.nonzero(logits[inside] > bar)
        point = inside[point]
        best = highest(logits[point, label], config.candidates)
        point, label = point[best], label[best]
        away = offsets[point, label if offsets.shape[1] > 1 else 0] * stride[point, None]
        score = 1 / (1 + np.exp(-logits[point, label].astype(np.float64)))
        found.append(Candidates(place[point] - away[:, 0], place[point] + away[:, 1], score, label))
    return found


def best_of_levels(chunks: Sequence[list[Candidates]], config: DecodingConfig) -> Candidates:
    """All candidates of a video that was looked at piece by piece: the limit per level holds over all pieces.

    Too short ones are left out after that.
    """
    levels = [join(list(parts)) for parts in zip(*chunks, strict=True)]
    best = join([level.take(highest(level.score, config.candidates)) for level in levels])
    return best.take(best.end - best.start > config.shortest)


def highest(values: Float[ndarray, " n"], count: int) -> Int[ndarray, " k"]:
    """Places of the `count` highest values, in order of place."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.sort(np.argpartition(-values, count - 1)[:count])


def map_candidates(
    start: Float[ndarray, " time"], end: Float[ndarray, " time"], quality: Float[ndarray, "2 durations time"]
) -> Candidates:
    """Proposals of BMN, in edges, all with label 0; every input is a probability.

    A proposal joins a start and an end that are peaks or exceed half the maximum; its score is the product of both
    boundaries' chances and of the two confidences of its cell. An end at the last edge has the last entry's chance.
    """
    durations = quality.shape[1]
    ends = np.append(end, end[-1])
    first, last = np.flatnonzero(_peaks(start)), np.flatnonzero(_peaks(ends))
    s, e = (grid.ravel() for grid in np.meshgrid(first, last, indexing="ij"))
    fits = (e > s) & (e - s <= durations)
    s, e = s[fits], e[fits]
    score = start[s] * ends[e] * quality[0, e - s - 1, s] * quality[1, e - s - 1, s]
    return Candidates(s.astype(np.float64), e.astype(np.float64), score.astype(np.float64), np.zeros(len(s), int))


def _peaks(chance: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Higher than both neighbours, or more than half the maximum."""
    wide = np.pad(chance, 1, constant_values=-np.inf)
    return ((chance > wide[:-2]) & (chance > wide[2:])) | (chance > 0.5 * chance.max())
