"""OSN, the online suppression network of OAT (Kim et al., ECCV 2022): when to speak, from the latest scores.

A class's scores at the latest rows, beside the best of all others, tell whether its segment is as good now as it will
get. One small network serves all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor, nn

from action_localization.spine.nms import interval_iou
from models.training import TrainConfig, small_training

WORTH = 0.05
"""Scores below it are nothing to speak of."""


@dataclass(frozen=True)
class SuppressorConfig:
    """Sizes and training."""

    rows: int = 16
    """The latest scores that are seen; the paper's are 64."""
    width: int = 32
    size: int = 256
    """Moments of classes in a batch."""
    positive: float = 0.25
    """Share of them at which to speak."""
    training: TrainConfig = small_training(300, 3e-3, warmup=20, ema=0.98, weight_decay=0.01)


class Suppressor(nn.Module):
    """Scores of all classes at the latest rows to a logit of each: above 0 it is time to speak."""

    def __init__(self, config: SuppressorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.net = nn.Sequential(nn.Linear(2 * config.rows, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
                                 nn.Linear(width, 1))  # fmt: skip

    def forward(self, scores: Float[Tensor, "lanes rows classes"]) -> Float[Tensor, "lanes classes"]:
        """The newest row is last."""
        own = scores.transpose(1, 2)
        top = scores.topk(min(2, scores.shape[-1]), -1).values
        other = torch.where(own == top[:, None, :, 0], top[:, None, :, -1], top[:, None, :, 0])
        return self.net(torch.cat([own, other], -1))[..., 0]


@dataclass(frozen=True)
class Heard:
    """What a detector said at every row of a stream: the best score of each class with its span, in rows of the stream;
    and the true segments with their classes."""

    scores: Float[ndarray, "time classes"]
    spans: Float[ndarray, "time classes 2"]
    truth: Float[ndarray, "n 2"]
    labels: ndarray


def best_moments(heard: Heard, *, least: float = 0.5) -> Bool[ndarray, "time classes"]:
    """When to speak: for each true segment the moment at which its class's span fits best, and the one after."""
    speak = np.zeros(heard.scores.shape, bool)
    for (start, end), label in zip(heard.truth, heard.labels, strict=True):
        spans = heard.spans[:, label]
        iou = interval_iou(spans[:, 0], spans[:, 1], np.array([start]), np.array([end]))[:, 0]
        value = np.where((iou >= least) & (heard.scores[:, label] >= WORTH), iou + 0.5 * heard.scores[:, label], -1.0)
        if value.max(initial=-1.0) > 0:
            best = int(value.argmax())
            speak[best : best + 2, label] = True
    return speak


class SuppressorBatches:
    """step -> (scores of one class and of the best other, whether to speak); a function of (seed, step)."""

    def __init__(self, streams: Sequence[Heard], config: SuppressorConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        histories, wanted = [], []
        for heard in streams:
            padded = np.pad(heard.scores, ((config.rows - 1, 0), (0, 0))).astype(np.float32)
            speak = best_moments(heard)
            for at, label in np.argwhere(heard.scores >= WORTH):
                window = padded[at : at + config.rows]
                histories.append(np.stack([window[:, label], np.delete(window, label, 1).max(1, initial=0.0)], 1))
                wanted.append(speak[at, label])
        self.histories = torch.from_numpy(np.stack(histories)) if histories else torch.zeros(1, config.rows, 2)
        self.wanted = np.array(wanted, bool) if histories else np.zeros(1, bool)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, 37, step))
        yes, no = np.flatnonzero(self.wanted), np.flatnonzero(~self.wanted)
        few = round(self.config.positive * self.config.size) if len(yes) and len(no) else 0
        rest = rng.choice(no if len(no) else yes, self.config.size - few)
        chosen = np.concatenate([rng.choice(yes, few), rest]) if few else rest
        return self.histories[chosen], torch.from_numpy(self.wanted[chosen]).float()


def suppressor_loss(
    network: Suppressor, batch: Sequence[Tensor], generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy of speaking."""
    histories, wanted = batch
    return {"loss": F.binary_cross_entropy_with_logits(network(histories)[:, 0], wanted)}
