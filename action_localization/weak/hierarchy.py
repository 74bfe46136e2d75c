"""Hierarchical latent attention (after AHLM, ICCV 2023): change points of latent scales, and attention that picks them.

A variational hierarchy over one video: at each scale a latent of every entry, whose prior is either "as it was an entry
ago" or "what the scale above expects". Explaining the features by latents that mostly stay makes them stay within an
action and jump where it changes. A jump is a change point; no label has a part in where it lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.regimes.streams import RegimeSet
from action_localization.spine.layers import TemporalConv, halved, masked
from action_localization.spine.losses import gaussian_kl
from action_localization.spine.nms import Candidates, SoftNMS, join, suppress
from action_localization.weak.activation import as_timeline, attention_pool, attention_spread, cas, inner_minus_outer
from action_localization.weak.learning import (
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
from action_localization.weak.supervision import CutConfig, weak_videos
from laban.timeline import Timeline
from models.features import Features
from models.training import TrainConfig


@dataclass(frozen=True)
class HierarchyConfig:
    """Scales, the prior that makes latents stay, and how change points become segments."""

    rows: RowConfig = RowConfig()
    scales: int = 3
    """Each has half as many entries as the one below."""
    latent: int = 16
    stay: float = 0.8
    """Prior chance that a latent is as it was an entry ago."""
    step: float = 0.3
    """Standard deviation of a latent that stays."""
    elbo: float = 1.0
    """Weight of reconstruction and KL, per feature column."""
    kl: float = 0.05
    """Weight of the KL against the reconstruction."""
    share: float = 0.125
    normalise: float = 0.1
    """As TSCN's attention normalisation."""
    reach: int = 4
    """A candidate spans up to so many stretches between change points that follow one another."""
    quantiles: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9)
    """A change point is a peak of the latents' speed above one of these quantiles of the video; each gives a set."""
    margin: float = 0.25
    nms: SoftNMS = SoftNMS(sigma=0.3, keep=200)
    cut: CutConfig = CutConfig()
    batches: WeakBatchConfig = WeakBatchConfig()
    training: TrainConfig = field(default_factory=lambda: training_config(600, 2e-3))


class Scale(NamedTuple):
    """The latents of one scale: posterior, and the KL to staying and to what the scale above expects, in nats."""

    mean: Float[Tensor, "batch time latent"]
    log_variance: Float[Tensor, "batch time latent"]
    stays: Float[Tensor, "batch time"]
    changes: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"] | None


class HierarchyOutput(NamedTuple):
    """Scales from fine to coarse, the features as they explain them, attention, and class logits of entries."""

    scales: list[Scale]
    features: Float[Tensor, "batch time features"]
    attention: Float[Tensor, "batch time"]
    logits: Float[Tensor, "batch time classes"]


class LatentHierarchy(nn.Module):
    """Rows halved from scale to scale, latents from the coarsest down, and attention and classes on all of them."""

    def __init__(self, features: int, classes: tuple[str, ...], config: HierarchyConfig) -> None:
        super().__init__()
        self.features, self.classes, self.config = features, classes, config
        width, latent, above = config.rows.width, config.latent, range(config.scales - 1)
        self.rows = Rows(features, config.rows)
        self.down = nn.ModuleList(TemporalConv(width, width, 3, stride=2) for _ in above)
        self.posterior = nn.ModuleList(
            nn.Linear(width + (latent if scale in above else 0), 2 * latent) for scale in range(config.scales)
        )
        self.prior = nn.ModuleList(nn.Linear(latent, 2 * latent) for _ in above)
        self.explain = nn.Sequential(nn.Linear(config.scales * latent, width), nn.ReLU(), nn.Linear(width, features))
        self.attention = nn.Linear(width + config.scales * latent, 1)
        self.head = nn.Linear(width + config.scales * latent, len(classes))

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> HierarchyOutput:
        """Latents are drawn while training, and the posterior's means otherwise."""
        rows, masks = [self.rows(x, mask)], [mask]
        for layer in self.down:
            masks.append(halved(masks[-1]))
            rows.append(masked(F.relu(layer(rows[-1])), masks[-1]))
        scales: list[Scale] = []
        drawn: list[Tensor] = []
        for scale in reversed(range(self.config.scales)):
            context = _finer(drawn[-1], rows[scale].shape[1]) if drawn else None
            found, sample = self._latents(scale, rows[scale], context, masks[scale])
            scales.append(found)
            drawn.append(sample)
        scales.reverse()
        every = torch.cat([_finer(z, x.shape[1], 2**scale) for scale, z in enumerate(reversed(drawn))], -1)
        seen = torch.cat([rows[0], every], -1)
        attention = self.attention(seen)[..., 0].sigmoid()
        return HierarchyOutput(scales, self.explain(every), attention, cas(seen, self.head.weight, self.head.bias))

    def _latents(
        self, scale: int, rows: Tensor, context: Tensor | None, mask: Tensor | None
    ) -> tuple[Scale, Float[Tensor, "batch time latent"]]:
        seen = rows if context is None else torch.cat([rows, context], -1)
        mean, log_variance = self.posterior[scale](seen).chunk(2, -1)
        log_variance = log_variance.clamp(-8, 2)
        sample = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        if context is None:
            expected, expected_log = torch.zeros_like(mean), torch.zeros_like(mean)
        else:
            expected, expected_log = self.prior[scale](context).chunk(2, -1)
            expected_log = expected_log.clamp(-8, 2)
        before = F.pad(sample, (0, 0, 1, 0))[:, :-1]
        still = torch.full_like(mean, 2 * math.log(self.config.step))
        stays = gaussian_kl(mean, log_variance, before, still)
        changes = gaussian_kl(mean, log_variance, expected, expected_log)
        stays = torch.cat([changes[:, :1], stays[:, 1:]], 1)  # nothing comes before the first entry
        return Scale(mean, log_variance, stays, changes, mask), sample


def _finer(z: Tensor, time: int, factor: int = 2) -> Tensor:
    return z.repeat_interleave(factor, 1)[:, :time]


def mixture_kl(scale: Scale, stay: float) -> Float[Tensor, "batch time"]:
    """Upper bound of the KL to the mixture of staying and changing (Hershey and Olsen, ICASSP 2007, one component)."""
    terms = torch.stack([math.log(stay) - scale.stays, math.log1p(-stay) - scale.changes])
    return -terms.logsumexp(0)


def hierarchy_loss(network: LatentHierarchy, batch: WeakBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Negative ELBO of the features, cross-entropy of the label set, attention normalisation."""
    config, out = network.config, network(batch.features, batch.mask)
    entries = batch.mask.sum()
    error = ((out.features - batch.features).square().sum(-1) * batch.mask).sum() / entries
    divergence = sum(((mixture_kl(s, config.stay) * s.mask).sum() for s in out.scales), torch.zeros(()))
    elbo = (0.5 * error + config.kl * divergence / entries) / network.features
    mean = (out.attention * batch.mask).sum(1) / batch.mask.sum(1)
    labels = label_loss(attention_pool(out.logits, out.attention, batch.mask), batch.labels)
    attention = attention_loss(attention_spread(out.attention, batch.mask, config.share), mean, batch.labels)
    loss = labels + config.normalise * attention + config.elbo * elbo
    return {"loss": loss, "labels": labels, "attention": attention, "elbo": elbo}


def fit_hierarchy(
    data: RegimeSet, config: HierarchyConfig, folder: Path, *, seed: int, quiet: bool = True,
    deadline: float | None = None,
) -> LatentHierarchy:  # fmt: skip
    """Learn from the label sets of cut training streams; the hierarchy itself sees no label."""
    videos = weak_videos(named(data.train), data.classes, config.cut, seed=seed)
    torch.manual_seed(seed)
    network = LatentHierarchy(data.width, data.classes, config)
    batches = WeakBatches(videos, config.batches, seed)
    return fit_weak(network, hierarchy_loss, batches, config.training, folder, quiet=quiet, deadline=deadline)


def change_points(speeds: list[Float[ndarray, " _"]], quantile: float) -> list[Int[ndarray, " points"]]:
    """Per scale, the entries before which its latent changes: peaks of its speed above this quantile of the video.

    A coarse peak is placed at the fastest entry of the finest scale that it covers. 0 and the end are not among them.
    """
    found = []
    for scale, speed in enumerate(speeds):
        inner = speed[1:]
        level = np.quantile(inner, quantile) if len(inner) else 0.0
        before, after = np.append(-np.inf, inner[:-1])[: len(inner)], np.append(inner[1:], -np.inf)[: len(inner)]
        peak = (inner >= before) & (inner > after) & (inner >= level) & (inner > inner.min(initial=np.inf))
        places = (np.flatnonzero(peak) + 1) * 2**scale
        found.append(np.unique([_fastest(speeds[0], int(place), 2**scale) for place in places]).astype(np.int64))
    return found


def _fastest(speed: Float[ndarray, " time"], place: int, size: int) -> int:
    low, high = max(1, place - size // 2), min(len(speed), place + size)
    return low + int(speed[low:high].argmax()) if high > low else place


def hierarchy_candidates(
    activation: Float[ndarray, "time classes"], speeds: list[Float[ndarray, " _"]], config: HierarchyConfig
) -> Candidates:
    """Stretches between change points, scored by inner minus outer activation; before suppression."""
    time, spans = len(activation), set[tuple[int, int]]()
    for quantile in config.quantiles:
        for points in change_points(speeds, quantile):
            edges = [0, *(int(p) for p in points if 0 < p < time), time]
            spans |= {(edges[i], edges[j]) for i in range(len(edges) - 1)
                      for j in range(i + 1, min(i + config.reach, len(edges) - 1) + 1)}  # fmt: skip
    ranges = np.array(sorted(spans), np.int64).reshape(-1, 2)
    start, end = ranges[:, 0].astype(np.float64), ranges[:, 1].astype(np.float64)
    return join([
        Candidates(start, end, inner_minus_outer(activation[:, label], ranges, config.margin),
                   np.full(len(ranges), label))
        for label in range(activation.shape[1])
    ])  # fmt: skip


def hierarchy_detect(network: LatentHierarchy, features: Features, *, duration: float | None = None) -> Timeline:
    """Change points, the stretches between them that attention and classes agree on, suppression."""
    if not len(features.values):
        return Timeline((), duration or 0.0)
    activation, speeds = hierarchy_activation(network, features)
    found = suppress(hierarchy_candidates(activation, speeds, network.config), network.config.nms)
    return as_timeline(found, features.grid, network.classes, duration)


def hierarchy_activation(
    network: LatentHierarchy, features: Features
) -> tuple[Float[ndarray, "time classes"], list[Float[ndarray, " _"]]]:
    """(attention-weighted chances of classes, speed of each scale's latent) of one video.

    Speed is what moving adds to the KL to staying: squared distance from an entry ago over twice the squared `step`.
    """
    network.eval()
    with torch.inference_mode():
        out = network(as_batch(features.values, network.features))
    activation = out.attention[0, :, None] * out.logits[0].softmax(-1)
    means = [F.pad(scale.mean[0].double().diff(dim=0), (0, 0, 1, 0)) for scale in out.scales]
    return activation.double().numpy(), [m.square().sum(-1).numpy() / (2 * network.config.step**2) for m in means]
