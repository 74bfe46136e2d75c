"""What online detectors learn from: stretches of streams with moments at which to decide, and the truth seen from each.

Some moments are ends of streams: the stream is cut there, and so are the segments under way. A detector sees an end as
one missing row after the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from action_localization.spine.batches import TrainingVideo


@dataclass(frozen=True)
class MomentConfig:
    """How stretches and moments are drawn."""

    size: int = 8
    """Stretches in a batch."""
    moments: int = 8
    """Moments in each."""
    past: int = 128
    """Rows of a stretch before the first moment can be."""
    block: int = 64
    """Moments lie in one block of so many rows; blocks are counted from a stream's beginning."""
    ahead: int = 4
    """Moments near an end lie from `back` rows after it to `ahead` rows before it."""
    back: int = 4
    near: float = 0.6
    """Share of moments that are near an end."""
    over: float = 0.1
    """Share of moments at which the stream ends."""
    noise: float = 0.1
    """Standard deviation of noise added to rows."""
    spliced: float = 0.0
    """Share of stretches that come from streams put together anew: pieces that cut no segment, of any streams."""
    seed: int = 0


@dataclass(frozen=True)
class Moments:
    """Stretches with moments; segments are in rows from each moment (the end of the newest row is 0)."""

    rows: Float[Tensor, "batch time features"]
    real: Bool[Tensor, "batch time"]
    """False before a stream's beginning."""
    at: Int[Tensor, "batch moments"]
    """The newest row of each moment, as a place in the stretch."""
    over: Bool[Tensor, "batch moments"]
    segments: Float[Tensor, "batch moments n 2"]
    labels: Int[Tensor, "batch moments n"]
    """-1 is padding."""


class MomentBatches:
    """step -> Moments: a function of (seed, step). A stretch is `past + block` rows and begins at a block."""

    def __init__(self, videos: Sequence[TrainingVideo], config: MomentConfig) -> None:
        self.videos, self.config = videos, config
        self.cuts = [free_cuts(video) for video in videos] if config.spliced else []
        blocks = [-(-len(video.values) // config.block) for video in videos]
        self.ends = np.cumsum(blocks, dtype=np.int64)

    def __call__(self, step: int) -> Moments:
        config = self.config
        rng = np.random.default_rng((config.seed, 31, step))
        drawn = [self._stretch(int(rng.integers(self.ends[-1])), rng) for _ in range(config.size)]
        return _collated(drawn)

    def _stretch(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        config = self.config
        which = int(np.searchsorted(self.ends, number, side="right"))
        video = self.videos[which]
        edge = (number - (int(self.ends[which - 1]) if which else 0)) * config.block
        if self.cuts and rng.random() < config.spliced:
            edge = int(rng.integers(-(-config.past // config.block) + 1)) * config.block
            video = self._spliced(edge + config.block + config.ahead, rng)
        first, stop = edge - config.past, min(edge + config.block, len(video.values))
        rows = np.zeros((config.past + config.block, video.values.shape[1]), np.float32)
        real = np.zeros(len(rows), bool)
        rows[max(-first, 0) : stop - first] = video.values[max(first, 0) : stop]
        real[max(-first, 0) : stop - first] = True
        if config.noise:
            rows += rng.normal(0, config.noise, rows.shape).astype(np.float32) * real[:, None]
        at = self._moments(video, edge, stop, rng)
        over = (rng.random(len(at)) < config.over) | (at == len(video.values) - 1)
        segments = np.repeat(video.segments[None], len(at), 0) - (at[:, None, None] + 0.5)
        labels = np.repeat(video.labels[None], len(at), 0)
        segments[over] = np.minimum(segments[over], 0.0)
        labels = np.where(over[:, None] & (segments[..., 1] - segments[..., 0] < 1.0), -1, labels)
        return rows, real, at - first, over, segments, labels

    def _spliced(self, rows: int, rng: np.random.Generator) -> TrainingVideo:
        """A stream of at least so many rows, of pieces of up to half a block and one segment more."""
        values, segments, labels, length = [], [], [], 0
        while length < rows:
            which = int(rng.integers(len(self.videos)))
            video, cuts = self.videos[which], self.cuts[which]
            first = int(rng.choice(cuts[:-1]))
            wanted = first + int(rng.integers(1, self.config.block // 2 + 1))
            stop = int(cuts[min(int(np.searchsorted(cuts, wanted)), len(cuts) - 1)])
            middle = video.segments.mean(1) + 0.5
            inside = (middle > first) & (middle < stop)
            values.append(video.values[first:stop])
            segments.append(video.segments[inside] + length - first)
            labels.append(video.labels[inside])
            length += stop - first
        return TrainingVideo(np.concatenate(values), np.concatenate(segments), np.concatenate(labels))

    def _moments(
        self, video: TrainingVideo, edge: int, stop: int, rng: np.random.Generator
    ) -> Int[np.ndarray, " moments"]:
        config = self.config
        at = rng.integers(edge, stop, config.moments)
        ends = np.ceil(video.segments[:, 1] - 0.5).astype(int)
        ends = ends[(ends >= edge - config.back) & (ends < stop + config.ahead)]
        if len(ends):
            close = rng.choice(ends, config.moments) + rng.integers(-config.ahead, config.back + 1, config.moments)
            at = np.where(rng.random(config.moments) < config.near, close.clip(edge, stop - 1), at)
        return at


def free_cuts(video: TrainingVideo) -> Int[np.ndarray, " cuts"]:
    """The rows before which a stream can be cut without cutting a segment (by more than a quarter of a row)."""
    edges = np.arange(len(video.values) + 1) - 0.5
    start, end = video.segments[:, :1] + 0.25, video.segments[:, 1:] - 0.25
    return np.flatnonzero(~((start < edges) & (edges < end)).any(0) | (edges < 0) | (edges > len(video.values) - 1))


def _collated(drawn: Sequence[tuple[np.ndarray, ...]]) -> Moments:
    rows, real, at, over, segments, labels = zip(*drawn, strict=True)
    count = max(1, *(one.shape[1] for one in labels))
    spans = [np.pad(one, ((0, 0), (0, count - one.shape[1]), (0, 0))) for one in segments]
    names = [np.pad(one, ((0, 0), (0, count - one.shape[1])), constant_values=-1) for one in labels]
    stack = [torch.from_numpy(np.stack(one)) for one in (rows, real, at, over, spans, names)]
    return Moments(stack[0], stack[1], stack[2].long(), stack[3], stack[4].float(), stack[5].long())


def window_index(
    at: Int[Tensor, "batch moments"], over: Bool[Tensor, "batch moments"], length: int
) -> tuple[Int[Tensor, "batch moments length"], Bool[Tensor, "batch moments length"]]:
    """(places of each moment's latest rows, which there are); at a stream's end the last one is missing."""
    index = at[..., None] + torch.arange(1 - length, 1) + over[..., None].long()
    return index, (index <= at[..., None]) & (index >= 0)


def windows_of(values: Shaped[Tensor, "batch time width"], index: Int[Tensor, "batch moments length"]) -> Tensor:
    """(batch, moments, length, width): rows at these places; those outside are repeated edges, to be masked."""
    batch = torch.arange(len(values))[:, None, None]
    return values[batch, index.clamp(0, values.shape[1] - 1)]
