"""TSCN (Zhai et al., ECCV 2020): two streams learn from label sets, and from what their attention agrees on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.pose.features import WIDTH as POSE_WIDTH
from action_localization.regimes.streams import RegimeSet
from action_localization.weak.activation import (
    ThresholdConfig,
    as_timeline,
    attention_pool,
    attention_spread,
    cas,
    threshold_decode,
)
from action_localization.weak.learning import (
    UNKNOWN,
    PseudoTruth,
    RowConfig,
    Rows,
    WeakBatch,
    WeakBatchConfig,
    WeakBatches,
    as_batch,
    attention_loss,
    fit_weak,
    label_loss,
    named,
    training_config,
)
from action_localization.weak.supervision import CutConfig, WeakVideo, weak_videos
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features
from models.training import TrainConfig

Views = Literal["halves", "alternate", "pose"]


@dataclass(frozen=True)
class TSCNConfig:
    """The two streams and the rounds of pseudo ground truth."""

    views: Views = "alternate"
    """What each stream sees: the `halves` of a row (RGB and flow where they stand side by side), `alternate` columns
    (where nothing separates them), or a `pose` row's positions and its velocities."""
    rows: RowConfig = RowConfig()
    share: float = 0.125
    """Of a video's entries at the top and at the bottom, whose attention is pushed apart."""
    normalise: float = 0.1
    """Weight of the attention normalisation."""
    first: float = 0.5
    """Share of the first stream in the fused attention and activations."""
    rounds: int = 2
    """Times that the streams learn again from what both agreed on."""
    agree: float = 2.0
    """Weight of the pseudo truth (MSE)."""
    hard: bool = True
    """Pseudo truth is the fused attention's side of one half, instead of the attention itself."""
    cut: CutConfig = CutConfig()
    batches: WeakBatchConfig = WeakBatchConfig()
    training: TrainConfig = field(default_factory=lambda: training_config(300, 2e-3))
    """Of each round."""
    decoding: ThresholdConfig = ThresholdConfig()
    gated: bool = True
    """Candidates are runs of attention times class activation instead of attention alone, which parts actions that
    follow one another without a pause."""


class StreamOutput(NamedTuple):
    """Attention in [0, 1], class logits of entries, and class logits of the attention-pooled video."""

    attention: Float[Tensor, "batch time"]
    logits: Float[Tensor, "batch time classes"]
    video: Float[Tensor, "batch classes"]


class AttentionStream(nn.Module):
    """Temporal convolution, a sigmoid attention, and one classifier for pooled rows and for single ones."""

    def __init__(self, features: int, classes: int, config: RowConfig) -> None:
        super().__init__()
        self.rows = Rows(features, config)
        self.attention = nn.Linear(config.width, 1)
        self.head = nn.Linear(config.width, classes)

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> StreamOutput:
        """Logits of the pooled row are the attention-weighted mean of those of its rows: the head is linear."""
        rows = self.rows(x, mask)
        attention = self.attention(rows)[..., 0].sigmoid()
        logits = cas(rows, self.head.weight, self.head.bias)
        return StreamOutput(attention, logits, attention_pool(logits, attention, mask))


class TSCN(nn.Module):
    """Two streams over different columns; what they say together is a weighted mean."""

    def __init__(self, features: int, classes: tuple[str, ...], config: TSCNConfig) -> None:
        super().__init__()
        self.features, self.classes, self.config = features, classes, config
        self.columns = view_columns(config.views, features)
        self.streams = nn.ModuleList(AttentionStream(len(c), len(classes), config.rows) for c in self.columns)

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> list[StreamOutput]:
        """Both streams."""
        return [stream(x[..., columns], mask) for stream, columns in zip(self.streams, self.columns, strict=True)]

    def fused(
        self, x: Float[Tensor, "batch time features"]
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time classes"]]:
        """(attention, chances of classes) of both streams together."""
        one, other = self(x)
        share = self.config.first
        attention = share * one.attention + (1 - share) * other.attention
        return attention, share * one.logits.softmax(-1) + (1 - share) * other.logits.softmax(-1)


def view_columns(views: Views, width: int) -> tuple[Int[ndarray, " first"], Int[ndarray, " second"]]:
    """The columns of either stream; LabanError where rows have no such columns."""
    every = np.arange(width)
    if views == "pose":
        if width != POSE_WIDTH:
            raise LabanError(f"features are {width} wide; pose rows have {POSE_WIDTH} columns")
        confidence = every[-23:]
        return np.concatenate([every[:64], confidence]), np.concatenate([every[64:-23], confidence])
    if width < 2:
        raise LabanError(f"features are {width} wide; two streams need at least 2 columns")
    return (every[: width // 2], every[width // 2 :]) if views == "halves" else (every[::2], every[1::2])


def tscn_loss(network: TSCN, batch: WeakBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Label sets, attention normalisation, and where there is pseudo truth, the squared distance of attention to it."""
    config, terms = network.config, dict[str, Tensor]()
    known = (batch.target != UNKNOWN) & batch.mask
    for out in network(batch.features, batch.mask):
        mean = (out.attention * batch.mask).sum(1) / batch.mask.sum(1)
        spread = attention_spread(out.attention, batch.mask, config.share)
        apart = (out.attention - batch.target).square()
        found = {
            "labels": label_loss(out.video, batch.labels),
            "attention": config.normalise * attention_loss(spread, mean, batch.labels),
            "agree": config.agree * (apart * known).sum() / known.sum().clamp(min=1),
        }
        terms = {name: terms.get(name, 0) + value for name, value in found.items()}
    return {"loss": terms["labels"] + terms["attention"] + terms["agree"], **terms}


def fit_tscn(
    data: RegimeSet, config: TSCNConfig, folder: Path, *, seed: int, quiet: bool = True, deadline: float | None = None
) -> TSCN:
    """Learn from the label sets of cut training streams, then `rounds` times from the fused attention as well."""
    videos = weak_videos(named(data.train), data.classes, config.cut, seed=seed)
    torch.manual_seed(seed)
    network = TSCN(data.width, data.classes, config)
    batches = WeakBatches(videos, config.batches, seed)
    return fit_weak(network, tscn_loss, batches, config.training, folder,
                    relabel=[consensus] * config.rounds, quiet=quiet, deadline=deadline)  # fmt: skip


def consensus(network: TSCN, videos: Sequence[WeakVideo]) -> list[PseudoTruth]:
    """The fused attention of training videos as the next round's truth, soft or hard."""
    found = []
    network.eval()
    with torch.inference_mode():
        for video in videos:
            attention = network.fused(torch.from_numpy(video.values)[None])[0][0].numpy()
            target = (attention >= 0.5).astype(np.float32) if network.config.hard else attention
            found.append(PseudoTruth(target, np.full(len(target), UNKNOWN, np.int64)))
    return found


def tscn_activation(
    network: TSCN, features: Features
) -> tuple[Float[ndarray, " time"], Float[ndarray, "time classes"]]:
    """(fused attention, attention-weighted chances of classes) of one video."""
    network.eval()
    with torch.inference_mode():
        attention, chance = network.fused(as_batch(features.values, network.features))
    weight = attention[0].double().numpy()
    return weight, weight[:, None] * chance[0].double().numpy()


def tscn_detect(network: TSCN, features: Features, *, duration: float | None = None) -> Timeline:
    """Runs above many levels, scored by inner minus outer weighted activation."""
    if not len(features.values):
        return Timeline((), duration or 0.0)
    attention, activation = tscn_activation(network, features)
    shape = None if network.config.gated else attention[:, None]
    found = threshold_decode(activation, network.config.decoding, shape=shape)
    return as_timeline(found, features.grid, network.classes, duration)
