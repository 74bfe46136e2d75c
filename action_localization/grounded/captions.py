"""The localizer of UAL-Bench (Abdullah et al., WACV 2025): captions over time are matched with the sentence as text.

A captioner says what happens stretch by stretch, and the span whose captions are most like the sentence is the answer.
Captions are given (of any video), or for motion the nearest of known sentences to rows of the motion-text encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from action_localization.grounded.queries import Span, to_spans
from action_localization.weak.activation import ThresholdConfig, threshold_decode
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.text.captions import clean
from models.text.encoder import TextEncoder, load_text_encoder


@dataclass(frozen=True)
class CaptionMatching:
    """How captions are read."""

    rate: float = 4.0
    """Moments a second at which they are looked at."""
    least: float = 0.35
    """Cosine that the best caption must have; below, there is no answer (None)."""
    levels: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)
    """Between the least and the most likely moment; stretches above any are candidates."""
    smooth: int = 3
    """Moments that are averaged."""


def match_captions(
    captions: Timeline, sentence: str, config: CaptionMatching = CaptionMatching(), *, text: TextEncoder | None = None
) -> list[Span] | None:
    """Spans in seconds, the best first; None, which measures must have a rule for, where no caption is like enough.

    LabanError for an empty sentence or no captions.
    """
    if not clean(sentence):
        raise LabanError("grounding: the query is empty; accepted: a sentence such as 'the person waves'")
    if not captions.segments:
        raise LabanError("grounding: there are no captions to match; accepted: at least one")
    encoder = text or load_text_encoder()
    said = captions.labels()
    vectors = encoder.encode([clean(sentence), *said]).sentence.numpy()
    like = dict(zip(said, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    if max(like.values()) < config.least:
        return None
    grid = FrameGrid.lasting(captions.duration, config.rate)
    curve = np.full(grid.frames, min(0.0, *like.values()))
    for segment in captions.segments:
        first, last = grid.span(segment.start, segment.end)
        curve[first:last] = np.maximum(curve[first:last], like[segment.label])
    spans = _spans(curve, grid, config)
    return spans or [(0.0, captions.duration, float(curve.max()))]


def _spans(curve: Float[ndarray, " moments"], grid: FrameGrid, config: CaptionMatching) -> list[Span]:
    reading = ThresholdConfig(thresholds=config.levels, relative=True, smooth=config.smooth)
    found = threshold_decode(curve[:, None], reading)
    shares = np.stack([found.start, found.end], 1) / len(curve)
    return to_spans(Features(np.zeros((len(curve), 1), np.float32), grid, "captions"), shares, found.score)


def nearest_captions(rows: Features, sentences: Sequence[str], vectors: Float[ndarray, "sentences width"]) -> Timeline:
    """For every row the sentence whose vector is nearest, neighbours with the same one joined: captions of a motion.

    `rows` and `vectors` are of one text-aligned encoder (`action_localization.open_vocabulary.rows`), unit length.
    """
    best = (rows.values @ vectors.T).argmax(1)
    edges = np.flatnonzero(np.diff(best)) + 1
    first, last = np.append(0, edges), np.append(edges, len(best))
    segments = [
        Segment(max(rows.grid.start(int(a)), 0.0), rows.grid.start(int(b)), sentences[int(best[a])])
        for a, b in zip(first, last, strict=True)
    ]
    return Timeline(tuple(segments), rows.grid.seconds)
