"""Rows against words: how likely each label is at each row, and the plain threshold on it that everything must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from action_localization.spine.nms import Candidates
from action_localization.weak.activation import as_timeline, merged, moving_average, runs
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features

Embed = Callable[[Sequence[str]], Float[ndarray, "texts width"]]
_AT_ONCE = 2048


@dataclass(frozen=True)
class Words:
    """Labels to look for and their unit vectors; `others` are vectors of what may happen besides and is never found."""

    labels: tuple[str, ...]
    vectors: Float32[ndarray, "labels width"]
    others: Float32[ndarray, "others width"]

    @property
    def every(self) -> Float32[ndarray, "texts width"]:
        """Vectors of the labels, then of the others."""
        return np.concatenate([self.vectors, self.others])

    def take(self, index: Sequence[int]) -> Words:
        """Some of the labels beside all of the others."""
        return Words(tuple(self.labels[i] for i in index), self.vectors[list(index)], self.others)


def words_of(
    labels: Sequence[str], embed: Embed, *, wordings: Mapping[str, str] | None = None, others: Sequence[str] = ()
) -> Words:
    """Labels through a text encoder, each as its sentence in `wordings` or as it is; `others` are sentences.

    LabanError for no label.
    """
    if not labels:
        raise LabanError("labels: found none; accepted: at least one")
    said = [(wordings or {}).get(label, label) for label in labels]
    vectors = unit(embed([*said, *others]))
    return Words(tuple(labels), vectors[: len(labels)], vectors[len(labels) :])


def unit(rows: Float[ndarray, "rows width"]) -> Float32[ndarray, "rows width"]:
    """Rows of length one (those of no length stay zero)."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def check_rows(features: Features, words: Words) -> None:
    """LabanError where rows and words do not lie in one space, or a row is not finite."""
    if features.width != words.vectors.shape[1]:
        raise LabanError(f"features are {features.width} wide by {features.extractor}, the words "
                         f"{words.vectors.shape[1]}; accepted: rows and text of one encoder")  # fmt: skip
    bad = np.flatnonzero(~np.isfinite(features.values).all(1))
    if len(bad):
        raise LabanError(f"features: {len(bad)} of {len(features.values)} entries hold NaN or infinity, first {bad[0]}")


def chances(rows: Float[ndarray, "rows width"], words: Words, scale: float) -> Float32[ndarray, "rows labels"]:
    """Chance of every label at every row: softmax of `scale` times the cosines over labels and others."""
    every, count = words.every, len(words.labels)
    found = np.empty((len(rows), count), np.float32)
    for first in range(0, len(rows), _AT_ONCE):
        found[first : first + _AT_ONCE] = softmax(scale * rows[first : first + _AT_ONCE] @ every.T)[:, :count]
    return found


def softmax(logits: Float[ndarray, "rows columns"]) -> Float[ndarray, "rows columns"]:
    """Over the columns."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def likeliest(features: Features, words: Words, most: int) -> Words:
    """At most `most` of the labels: those that come nearest to some stretch of the rows, in their order."""
    if len(words.labels) <= most:
        return words
    best = np.full(len(words.labels), -np.inf)
    for first in range(0, len(features.values), _AT_ONCE):
        best = np.maximum(best, (features.values[first : first + _AT_ONCE] @ words.vectors.T).max(0, initial=-np.inf))
    return words.take(np.sort(np.argsort(-best, kind="stable")[:most]).tolist())


@dataclass(frozen=True)
class FrameConfig:
    """The plain baseline: the label's chance at every row against one threshold; runs of rows become segments.

    The defaults are the best of 168 settings on the tuning streams of motion capture.
    """

    scale: float = 40.0
    threshold: float = 0.2
    smooth: int = 9
    gap: int = 0
    shortest: int = 1


def frame_similarity(features: Features, words: Words, config: FrameConfig = FrameConfig()) -> Timeline:
    """Segments where a label's chance stays above the threshold, scored by its mean. Nothing is learnt or adapted."""
    check_rows(features, words)
    words = likeliest(features, words, 500)
    chance = moving_average(chances(features.values, words, config.scale), config.smooth)
    spans, score, label = [np.empty((0, 2), np.int64)], [np.empty(0)], [np.empty(0, np.int64)]
    for column in np.flatnonzero(chance.max(0, initial=0) >= config.threshold):
        found = merged(runs(chance[:, column] >= config.threshold), config.gap)
        found = found[found[:, 1] - found[:, 0] >= config.shortest]
        spans.append(found)
        score.append(np.array([chance[a:b, column].mean() for a, b in found], np.float64))
        label.append(np.full(len(found), column))
    every = np.concatenate(spans).astype(np.float64)
    kept = Candidates(every[:, 0], every[:, 1], np.concatenate(score), np.concatenate(label))
    return as_timeline(kept, features.grid, words.labels)
