"""What all weak systems learn with: rows by temporal convolution, batches of labelled videos, losses of label sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.regimes.streams import RegimeVideo
from action_localization.spine.batches import dealt
from action_localization.spine.layers import TemporalConv, masked
from action_localization.weak.supervision import WeakVideo
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features
from models.training import Loss, TrainConfig, drawing_from, fit_whole, small_training

Network = TypeVar("Network", bound=nn.Module)
UNKNOWN = -1
"""In `WeakBatch.target`: nothing is known of this entry."""


@dataclass(frozen=True)
class RowConfig:
    """The temporal convolutions that make rows of features."""

    width: int = 64
    kernel: int = 3
    layers: int = 2
    drop: float = 0.3
    """Dropout of the features and after each layer."""


@dataclass(frozen=True)
class WeakBatchConfig:
    """How training videos are put together; the union of label sets holds for videos that are joined."""

    size: int = 16
    joined: int = 2
    """Up to so many videos follow one another in a sample."""
    noise: float = 0.2
    """Standard deviation of what is added to the features, relative to each column's own."""


@dataclass(frozen=True)
class WeakBatch:
    """Padded videos; `target` is the wanted attention (pseudo truth) or UNKNOWN, `frame` a class number or UNKNOWN."""

    features: Float[Tensor, "batch time features"]
    mask: Bool[Tensor, "batch time"]
    labels: Float[Tensor, "batch classes"]
    target: Float[Tensor, "batch time"]
    frame: Int[Tensor, "batch time"]


@dataclass(frozen=True)
class PseudoTruth:
    """Per entry of one video, what an earlier round of learning or a click says."""

    target: Float32[ndarray, " time"]
    frame: Int[ndarray, " time"]


class Rows(nn.Module):
    """Features to rows: convolutions over time with ReLU and dropout, each after the first added to what it read.

    All features are first multiplied by one number, which `fit_weak` sets so that they vary by about one.
    """

    scale: Tensor

    def __init__(self, features: int, config: RowConfig) -> None:
        super().__init__()
        sizes = [features] + [config.width] * config.layers
        self.layers = nn.ModuleList(TemporalConv(a, b, config.kernel) for a, b in zip(sizes, sizes[1:], strict=False))
        self.drop = nn.Dropout(config.drop)
        self.register_buffer("scale", torch.ones(()))

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """Zeros at masked entries."""
        x = self.drop(x * self.scale)
        for number, layer in enumerate(self.layers):
            y = masked(self.drop(F.relu(layer(x))), mask)
            x = x + y if number else y
        return x


class WeakBatches:
    """step -> WeakBatch: a function of (seed, step)."""

    def __init__(
        self, videos: Sequence[WeakVideo], config: WeakBatchConfig, seed: int,
        pseudo: Sequence[PseudoTruth] | None = None,
    ) -> None:  # fmt: skip
        self.videos, self.config, self.seed = videos, config, seed
        self.pseudo = pseudo or [clicked(video) for video in videos]
        self.deviation = np.concatenate([video.values for video in videos]).std(0)
        self.noise = config.noise * self.deviation

    def __call__(self, step: int) -> WeakBatch:
        config = self.config
        rng = np.random.default_rng((self.seed, 3, step))
        numbers = dealt(step, config.size * config.joined, len(self.videos), self.seed)
        groups = [numbers[i : i + int(rng.integers(1, config.joined + 1))]
                  for i in range(0, len(numbers), config.joined)]  # fmt: skip
        longest = max(sum(len(self.videos[i].values) for i in group) for group in groups)
        width, classes = self.videos[0].values.shape[1], len(self.videos[0].labels)
        batch = WeakBatch(
            torch.zeros(len(groups), longest, width), torch.zeros(len(groups), longest, dtype=torch.bool),
            torch.zeros(len(groups), classes), torch.full((len(groups), longest), float(UNKNOWN)),
            torch.full((len(groups), longest), UNKNOWN),
        )  # fmt: skip
        for row, group in enumerate(groups):
            at = 0
            for number in group:
                video, pseudo = self.videos[number], self.pseudo[number]
                span = slice(at, at + len(video.values))
                noise = rng.standard_normal(video.values.shape, np.float32) * self.noise
                batch.features[row, span] = torch.from_numpy(video.values + noise)
                batch.mask[row, span] = True
                batch.target[row, span] = torch.from_numpy(pseudo.target)
                batch.frame[row, span] = torch.from_numpy(pseudo.frame)
                batch.labels[row] = torch.maximum(batch.labels[row], torch.from_numpy(video.labels))
                at = span.stop
        return batch


def clicked(video: WeakVideo) -> PseudoTruth:
    """The clicks alone: their classes, and attention 1 there; the rest is unknown."""
    target, frame = np.full(len(video.values), UNKNOWN, np.float32), np.full(len(video.values), UNKNOWN, np.int64)
    target[video.clicks[:, 0]], frame[video.clicks[:, 0]] = 1.0, video.clicks[:, 1]
    return PseudoTruth(target, frame)


def label_loss(logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Cross-entropy of softmax scores with the label set, each of its classes an equal share; none: no loss."""
    share = labels / labels.sum(1, keepdim=True).clamp(min=1)
    return -(share * logits.log_softmax(1)).sum() / (labels.sum(1) > 0).sum().clamp(min=1)


def attention_loss(
    spread: Float[Tensor, " batch"], mean: Float[Tensor, " batch"], labels: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """Attention normalisation: spread wide where there is an action; videos known to hold none want none at all."""
    some = labels.sum(1) > 0
    return torch.where(some, -spread, mean).mean()


def fit_weak(
    network: Network, loss: Loss, batches: WeakBatches, training: TrainConfig, folder: Path, *,
    relabel: Sequence[Callable[[Network, Sequence[WeakVideo]], list[PseudoTruth]]] = (), quiet: bool = True,
    deadline: float | None = None,
) -> Network:  # fmt: skip
    """`models.training.fit_whole`, then once more at half the rate with what each of `relabel` says of the videos.

    Dropout and other chance are seeded by the step: a function of its arguments. Each round has a folder of its own and
    is resumable.
    """

    def seeded(network: Network, batch: WeakBatch, generator: torch.Generator) -> Mapping[str, Tensor]:
        with drawing_from(generator):
            return loss(network, batch, generator)

    for module in network.modules():
        if isinstance(module, Rows):
            module.scale.fill_(1 / max(float(np.sqrt(np.square(batches.deviation).mean())), 1e-6))
    config = replace(training, seed=batches.seed)
    network = fit_whole(network, seeded, batches, config, folder, deadline=deadline, progress=not quiet)
    for number, said in enumerate(relabel, 1):
        again = WeakBatches(batches.videos, batches.config, batches.seed + 1000 * number,
                            said(network, batches.videos))  # fmt: skip
        config = replace(training, seed=again.seed, lr=training.lr / 2)
        network.requires_grad_(True).train()
        network = fit_whole(network, seeded, again, config, folder / f"round{number}", deadline=deadline,
                            progress=not quiet)  # fmt: skip
    return network


def named(videos: Sequence[RegimeVideo]) -> list[tuple[str, Features, Timeline]]:
    """Streams as `supervision.weak_videos` takes them."""
    return [(video.name, video.features, video.truth) for video in videos]


def as_batch(values: Float32[ndarray, "time width"], width: int) -> Float[Tensor, "1 time width"]:
    """One video for a network of this input width; LabanError where its features do not fit."""
    if values.shape[1] != width:
        raise LabanError(f"features are {values.shape[1]} wide; the network was trained on {width}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise LabanError(f"features: {len(bad)} of {len(values)} entries hold NaN or infinity, first {bad[0]}")
    return torch.from_numpy(np.ascontiguousarray(values))[None]


def training_config(steps: int, lr: float) -> TrainConfig:
    """How all of them are trained, but for the length and the rate."""
    return small_training(steps, lr, warmup=min(50, steps // 4), weight_decay=0.02)
