"""Which of a list of actions a sentence means: a linear classifier on sentence vectors beside the nearest captions.

Single nearest captions are a poor guide for strange wordings (one shared trade or place decides); the mean of an
action's three nearest captions is better, and a logistic regression trained on all captions finds what tells the
actions apart. The two err differently, so their scores are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = 3
"""Captions of an action whose similarities are averaged."""
DECAY = 3e-3
"""Weight of the squared norm of the regression's coefficients."""
SHARPNESS = 20.0
"""What a similarity counts beside a log probability."""
ITERATIONS = 150


@dataclass(frozen=True)
class Probe:
    """A multinomial logistic regression on standardised sentence vectors; the last column is the bias."""

    centre: Float[Tensor, " width"]
    scale: float
    weight: Float[Tensor, "actions columns"]

    def log_probabilities(self, sentence: Float[Tensor, "texts width"]) -> Float[Tensor, "texts actions"]:
        """Log probability of each action."""
        return (_with_one((sentence - self.centre) / self.scale) @ self.weight.T).log_softmax(-1)


def fit_probe(vectors: Float[Tensor, "captions width"], label: Int[Tensor, " captions"], actions: int) -> Probe:
    """Fit by L-BFGS; every action counts the same, however many captions it has."""
    centre, scale = vectors.mean(0), float(vectors.std().clamp_min(1e-6))
    x = _with_one((vectors - centre) / scale)
    share = 1 / (actions * torch.bincount(label, minlength=actions).float())[label]
    weight = torch.zeros(actions, x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=ITERATIONS)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (share * F.cross_entropy(x @ weight.T, label, reduction="none")).sum()
        value = value + DECAY * weight[:, :-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return Probe(centre, scale, weight.detach())


def nearest_mean(
    similarity: Float[Tensor, "texts captions"], label: Int[Tensor, " captions"], actions: int
) -> Float[Tensor, "texts actions"]:
    """Mean of the `NEIGHBOURS` largest similarities to each action's captions."""
    members: Sequence[Tensor] = [(label == action).nonzero()[:, 0] for action in range(actions)]
    return torch.stack([similarity[:, rows].topk(min(NEIGHBOURS, len(rows)), 1).values.mean(1) for rows in members], 1)


def _with_one(x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows columns"]:
    return torch.cat([x, torch.ones(len(x), 1)], 1)
