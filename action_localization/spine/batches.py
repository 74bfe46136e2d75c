"""Training batches: a function of (seed, step) over labelled feature sequences, cropped and padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from torch import Tensor

from action_localization.spine.points import to_entries
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features

_TRIES = 10
"""Crops without any segment are drawn again, so many times."""


@dataclass(frozen=True)
class Batch:
    """Padded videos with their truth; segments in entries, label -1 is padding."""

    features: Float[Tensor, "batch time features"]
    mask: Bool[Tensor, "batch time"]
    segments: Float[Tensor, "batch n 2"]
    labels: Int[Tensor, "batch n"]


@dataclass(frozen=True)
class TrainingVideo:
    """Features (which may be a memory map) and segments in entries."""

    values: Float32[ndarray, "time features"]
    segments: Float[ndarray, "n 2"]
    labels: Int[ndarray, " n"]


@dataclass(frozen=True)
class BatchConfig:
    """How batches are drawn."""

    size: int = 2
    frames: int = 2304
    """Videos are cropped at random to this many entries."""
    shrink: float = 0.9
    """Shorter videos are cropped at random to between this share of their length and all of it."""
    inside: float = 0.5
    """A segment stays if at least this share of it is in the crop."""
    resize: int = 0
    """Bring every video to this many entries instead of cropping (BMN, ActivityNet)."""
    seed: int = 0


def training_video(
    features: Features, truth: Timeline, classes: Sequence[str], *, name: str = "video"
) -> TrainingVideo:
    """Bring a timeline to the entries of features; LabanError for values that are not finite or an unknown label."""
    values = features.values
    if not len(values):
        raise LabanError(f"{name}: has no features")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise LabanError(f"{name}: {len(bad)} of {len(values)} entries hold NaN or infinity, first {bad[0]}")
    index = {label: number for number, label in enumerate(classes)}
    unknown = [label for label in truth.labels() if label not in index]
    if unknown:
        raise LabanError(f"{name}: labels that are no class: {', '.join(unknown)}")
    times = np.array([(s.start, s.end) for s in truth.segments], np.float64).reshape(-1, 2)
    labels = np.array([index[s.label] for s in truth.segments], np.int64)
    return TrainingVideo(values, to_entries(features.grid, times), labels)


def dealt(step: int, size: int, count: int, seed: int) -> list[int]:
    """The `size` videos of a step, out of `count`: each comes once in every round of all, in an order of its own."""
    chosen = []
    for place in range(step * size, (step + 1) * size):
        turn, position = divmod(place, count)
        order = np.random.default_rng((seed, 0, turn)).permutation(count)
        chosen.append(int(order[position]))
    return chosen


class FeatureBatches:
    """step -> Batch. Every video comes once in each round of all, in an order of its own.

    `videos` may be read from disk when they are asked for. LabanError when there is none or their widths differ.
    """

    def __init__(self, videos: Sequence[TrainingVideo], config: BatchConfig) -> None:
        if not videos:
            raise LabanError("no videos to train on")
        self.videos, self.config = videos, config

    def __call__(self, step: int) -> Batch:
        config = self.config
        rng = np.random.default_rng((config.seed, 1, step))
        chosen = []
        for number in dealt(step, config.size, len(self.videos), config.seed):
            video = self.videos[number]
            chosen.append(resized(video, config.resize) if config.resize else cropped(video, config, rng))
        return collate(chosen)


class StreamBatches:
    """step -> Batch of videos that come one after another, as from shards.

    `stream` starts the endless sequence of videos anew, the same every time; what it yields reads one. Steps are cheap
    in order; an earlier step starts from the front, and what lies before a step is passed over unread.
    """

    def __init__(self, stream: Callable[[], Iterator[Callable[[], TrainingVideo]]], config: BatchConfig) -> None:
        self.stream, self.config, self.place = stream, config, 0
        self.videos = stream()

    def __call__(self, step: int) -> Batch:
        config, first = self.config, step * self.config.size
        rng = np.random.default_rng((config.seed, 1, step))
        if first < self.place:
            self.videos, self.place = self.stream(), 0
        chosen: list[TrainingVideo] = []
        while len(chosen) < config.size:
            video = next(self.videos)
            self.place += 1
            if self.place > first:
                read = video()
                chosen.append(resized(read, config.resize) if config.resize else cropped(read, config, rng))
        return collate(chosen)


def cropped(video: TrainingVideo, config: BatchConfig, rng: np.random.Generator) -> TrainingVideo:
    """A random stretch, with the segments that are mostly inside, cut at its ends."""
    time = len(video.values)
    for _ in range(_TRIES):
        if time > config.frames:
            length = config.frames
        else:
            length = int(rng.integers(max(1, int(config.shrink * time)), time + 1))
        first = int(rng.integers(0, time - length + 1))
        cut = np.clip(video.segments - first, 0, length)
        share = (cut[:, 1] - cut[:, 0]) / np.maximum(video.segments[:, 1] - video.segments[:, 0], 1e-9)
        stays = share >= config.inside
        if stays.any() or not len(stays):
            break
    return TrainingVideo(video.values[first : first + length], cut[stays], video.labels[stays])


def resized(video: TrainingVideo, frames: int) -> TrainingVideo:
    """The whole video over another number of entries."""
    ratio = len(video.values) / frames
    return TrainingVideo(resize(video.values, frames), (video.segments + 0.5) / ratio - 0.5, video.labels)


def resize(values: Float32[ndarray, "time features"], frames: int) -> Float32[ndarray, "frames features"]:
    """Another number of entries over the same stretch: means when there are fewer, straight lines when there are more.

    Entry j of the result is centred where (j + 0.5) * time / frames - 0.5 was.
    """
    if len(values) == frames:
        return values
    tensor = torch.from_numpy(np.ascontiguousarray(values)).T[None]
    mode = {"mode": "area"} if frames < len(values) else {"mode": "linear", "align_corners": False}
    return np.ascontiguousarray(F.interpolate(tensor, frames, **mode)[0].T.numpy())


def collate(videos: Sequence[TrainingVideo]) -> Batch:
    """Videos one beside another, padded to the longest; LabanError when their features differ in width."""
    widths = sorted({video.values.shape[1] for video in videos})
    if len(widths) > 1:
        raise LabanError(f"videos have features of different widths: {', '.join(map(str, widths))}")
    time, count = max(len(v.values) for v in videos), max(1, *(len(v.labels) for v in videos))
    features = torch.zeros(len(videos), time, videos[0].values.shape[1])
    mask = torch.zeros(len(videos), time, dtype=torch.bool)
    segments, labels = torch.zeros(len(videos), count, 2), torch.full((len(videos), count), -1)
    for row, video in enumerate(videos):
        length, n = len(video.values), len(video.labels)
        features[row, :length] = torch.from_numpy(np.ascontiguousarray(video.values))
        mask[row, :length] = True
        segments[row, :n] = torch.from_numpy(video.segments).float()
        labels[row, :n] = torch.from_numpy(video.labels)
    return Batch(features, mask, segments, labels)
