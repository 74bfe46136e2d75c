"""The plain baseline: multiple-instance learning, the mean of a class's largest activations against the label set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.regimes.streams import RegimeSet
from action_localization.weak.activation import ThresholdConfig, as_timeline, cas, threshold_decode, top_mean
from action_localization.weak.learning import (
    RowConfig,
    Rows,
    WeakBatch,
    WeakBatchConfig,
    WeakBatches,
    as_batch,
    fit_weak,
    named,
    training_config,
)
from action_localization.weak.supervision import CutConfig, weak_videos
from laban.timeline import Timeline
from models.features import Features
from models.training import TrainConfig


@dataclass(frozen=True)
class PooledConfig:
    """Multiple-instance learning as in W-TALC's classification branch (Paul et al., ECCV 2018), with sigmoids."""

    rows: RowConfig = RowConfig()
    share: float = 0.125
    """Of a video's entries that are pooled."""
    cut: CutConfig = CutConfig()
    batches: WeakBatchConfig = WeakBatchConfig()
    training: TrainConfig = field(default_factory=lambda: training_config(600, 2e-3))
    decoding: ThresholdConfig = ThresholdConfig()


class PooledNetwork(nn.Module):
    """Rows, and a class activation sequence of logits."""

    def __init__(self, features: int, classes: tuple[str, ...], config: PooledConfig) -> None:
        super().__init__()
        self.features, self.classes, self.config = features, classes, config
        self.rows = Rows(features, config.rows)
        self.head = nn.Linear(config.rows.width, len(classes))

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time classes"]:
        """Logits."""
        return cas(self.rows(x, mask), self.head.weight, self.head.bias)


def pooled_loss(network: PooledNetwork, batch: WeakBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Binary cross-entropy of the pooled logits with the label set."""
    scores = top_mean(network(batch.features, batch.mask), batch.mask, network.config.share)
    return {"loss": F.binary_cross_entropy_with_logits(scores, batch.labels)}


def fit_pooled(
    data: RegimeSet, config: PooledConfig, folder: Path, *, seed: int, quiet: bool = True,
    deadline: float | None = None,
) -> PooledNetwork:  # fmt: skip
    """Learn from the label sets of cut training streams."""
    videos = weak_videos(named(data.train), data.classes, config.cut, seed=seed)
    torch.manual_seed(seed)
    network = PooledNetwork(data.width, data.classes, config)
    batches = WeakBatches(videos, config.batches, seed)
    return fit_weak(network, pooled_loss, batches, config.training, folder, quiet=quiet, deadline=deadline)


def pooled_detect(network: PooledNetwork, features: Features, *, duration: float | None = None) -> Timeline:
    """Runs of each class's chance above many levels."""
    if not len(features.values):
        return Timeline((), duration or 0.0)
    network.eval()
    with torch.inference_mode():
        chance = network(as_batch(features.values, network.features))[0].sigmoid().double().numpy()
    found = threshold_decode(chance, network.config.decoding)
    return as_timeline(found, features.grid, network.classes, duration)
