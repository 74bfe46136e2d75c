"""GRNet-like goal recognition (Chiari et al., ICAPS 2023): what will be true at the end, and whose goal it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from numpy import ndarray
from torch import Tensor, nn

from action_localization.anticipation.chains import TaskChains
from action_localization.anticipation.sequences import SequenceSet
from laban.errors import LabanError
from models.training import TrainConfig, fit

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


@dataclass(frozen=True)
class GoalTraces:
    """Traces with what is true at their ends, over `actions` kinds of actions."""

    actions: int
    traces: tuple[Int64[ndarray, " _"], ...]
    truths: Float32[ndarray, "traces propositions"]


@dataclass(frozen=True)
class GoalTraining:
    """Where the run is kept, its length and its seed."""

    folder: Path
    steps: int = 500
    batch: int = 48
    seed: int = 0
    quiet: bool = True


def train_recogniser(data: GoalTraces, training: GoalTraining, config: GoalConfig = GoalConfig()) -> GoalRecogniser:
    """Binary cross-entropy of every proposition after every prefix."""
    if not data.traces or any(len(trace) == 0 for trace in data.traces):
        raise LabanError(f"goal recognition: {len(data.traces)} traces, or an empty one; accepted: traces of actions")
    torch.manual_seed(training.seed)
    network = GoalRecogniser(data.actions, data.truths.shape[1], config)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((training.seed, step))
        chosen = rng.integers(len(data.traces), size=training.batch)
        return padded([data.traces[i] for i in chosen], config.context), torch.from_numpy(data.truths[chosen])

    def loss(network: GoalRecogniser, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        traces, truths = batch
        odds = network(traces)
        each = F.binary_cross_entropy_with_logits(odds, truths[:, None].expand_as(odds), reduction="none").sum(-1)
        known = (traces != PADDING).float()
        return {"loss": (each * known).sum() / known.sum()}

    optimisation = TrainConfig(steps=training.steps, lr=5e-3, warmup=min(50, training.steps // 5 + 1), ema=0.98,
                               weight_decay=0.01, seed=training.seed, precision="32-true", accelerator="cpu",
                               log_every=50)  # fmt: skip
    return fit(network, loss, batches, optimisation, training.folder, progress=not training.quiet)


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


def task_traces(training: SequenceSet, chains: TaskChains) -> GoalTraces:
    """Videos as traces: the propositions are the steps done by the end, and that a task was done."""
    number = {task: i for i, task in enumerate(chains.tasks)}
    traces, truths = [], []
    for one in training.sequences:
        actions = one.array[one.array >= 0]
        if len(actions) and one.goal in number:
            truth = np.zeros(len(training.vocabulary) + len(number), np.float32)
            truth[actions] = 1
            truth[len(training.vocabulary) + number[one.goal]] = 1
            traces.append(actions)
            truths.append(truth)
    if not traces:
        raise LabanError(f"{training.name}: says no video's task; accepted: COIN, CrossTask, NIV, Breakfast")
    return GoalTraces(len(training.vocabulary), tuple(traces), np.stack(truths))


def task_shares(data: GoalTraces, tasks: int) -> Float[ndarray, "tasks steps"]:
    """In what share of a task's training videos each step is done: its candidate goal over the steps."""
    done, task = data.truths[:, : data.actions], data.truths[:, data.actions :].argmax(1)
    shares = np.zeros((tasks, data.actions))
    for number in range(tasks):
        shares[number] = done[task == number].mean(0)
    return shares


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
