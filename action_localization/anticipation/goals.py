"""GRNet-like goal recognition (Chiari et al., ICAPS 2023): what will be true at the end, and whose goal it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from numpy import ndarray
from torch import Tensor, nn

PADDING = -1


@dataclass(frozen=True)
class GoalConfig:
    """Sizes; traces are cut to their last `context` actions."""

    width: int = 64
    hidden: int = 96
    dropout: float = 0.3
    context: int = 32


class GoalRecogniser(nn.Module):
    """A trace of actions to the probability of every proposition at its end: embedding, LSTM, attention over time, one
    sigmoid each. Causal: every prefix of a trace has its own answer, and all of them are learnt from."""

    def __init__(self, actions: int, propositions: int, config: GoalConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(actions + 1, config.width)
        self.lstm = nn.LSTM(config.width, config.hidden, batch_first=True)
        self.weigh = nn.Linear(config.hidden, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(2 * config.hidden, propositions)

    def forward(self, traces: Int[Tensor, "traces length"]) -> Float[Tensor, "traces length propositions"]:
        """Log-odds after every action; `PADDING` may follow. Attention weighs what the LSTM said so far."""
        states, _ = self.lstm(self.dropout(self.embed(traces + 1)))
        weight = self.weigh(states)[..., 0].clamp(-20, 20).exp()
        total = (weight[..., None] * states).cumsum(1) / weight.cumsum(1)[..., None]
        return self.out(self.dropout(torch.cat([states, total], 2)))


def padded(traces: Sequence[Int64[ndarray, " _"]], context: int) -> Int[Tensor, "traces length"]:
    """The last `context` actions of each as rows, `PADDING` after the end."""
    cut = [trace[-context:] for trace in traces]
    found = np.full((len(cut), max(len(trace) for trace in cut)), PADDING, np.int64)
    for row, trace in zip(found, cut, strict=True):
        row[: len(trace)] = trace
    return torch.from_numpy(found)


def facts(network: GoalRecogniser, traces: Sequence[Int64[ndarray, " _"]]) -> Float32[ndarray, "traces propositions"]:
    """Log-odds of every proposition at the end that traces lead to, from what is there of them."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(traces), 256):
            rows = padded(traces[first : first + 256], network.config.context)
            last = (rows != PADDING).sum(1) - 1
            found.append(network(rows)[torch.arange(len(rows)), last].numpy())
    return np.concatenate(found)


def mean_odds(
    networks: Sequence[GoalRecogniser], traces: Sequence[Int64[ndarray, " _"]]
) -> Float32[ndarray, "traces propositions"]:
    """`facts`, averaged over networks of several seeds."""
    return np.mean([facts(network, traces) for network in networks], axis=0)


def set_scores(
    odds: Float[ndarray, "traces propositions"], goals: Float[ndarray, "goals propositions"]
) -> Float[ndarray, "traces goals"]:
    """GRNet's score of candidate goals, which are sets of propositions (0 or 1): the sum of their probabilities."""
    return (1 / (1 + np.exp(-odds))) @ goals.T


def expected_scores(
    odds: Float[ndarray, "traces propositions"], shares: Float[ndarray, "goals propositions"]
) -> Float[ndarray, "traces goals"]:
    """The same for goals that make each proposition true with some probability: the expected log-likelihood."""
    return -np.logaddexp(0, -odds) @ shares.T - np.logaddexp(0, odds) @ (1 - shares).T


@dataclass(frozen=True)
class TaskBelief:
    """How much a task's own proposition, its steps', and the chains' posterior count (log-linear)."""

    own: float = 1.0
    steps: float = 0.0
    chains: float = 0.0


BELIEFS = (*(TaskBelief(own, steps, chains) for own, steps in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.3))
             for chains in (0.0, 0.5, 1.0)), TaskBelief(0.3, 0.0, 1.0), TaskBelief(0.1, 0.0, 1.0))  # fmt: skip


def task_scores(
    odds: Float[ndarray, "traces propositions"], shares: Float[ndarray, "tasks steps"],
    posterior: Float[ndarray, "traces tasks"], belief: TaskBelief,
) -> Float[ndarray, "traces tasks"]:  # fmt: skip
    """Log-scores of tasks by their propositions, and by the chains."""
    steps = odds[:, : shares.shape[1]]
    return (belief.own * -np.logaddexp(0, -odds[:, shares.shape[1] :])
            + belief.steps * expected_scores(steps, shares) + belief.chains * np.log(posterior + 1e-12))  # fmt: skip


def best_belief(
    odds: Float[ndarray, "traces propositions"], shares: Float[ndarray, "tasks steps"],
    posterior: Float[ndarray, "traces tasks"], truth: Int64[ndarray, " traces"],
) -> TaskBelief:  # fmt: skip
    """The belief that is right most often, on traces that the network was not trained on; ties go to likelihood."""

    def quality(belief: TaskBelief) -> tuple[float, float]:
        scores = task_scores(odds, shares, posterior, belief)
        chance = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return float((scores.argmax(1) == truth).mean()), float(chance[np.arange(len(truth)), truth].mean())

    return max(BELIEFS, key=quality)
