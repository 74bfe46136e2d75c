"""Training goal recognition on traces, and whole recognisers of tasks: beliefs are chosen on held-out videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor

from action_localization.anticipation.chains import TaskChains, learn_chains
from action_localization.anticipation.goals import (
    PADDING,
    GoalConfig,
    GoalRecogniser,
    best_belief,
    mean_odds,
    padded,
    task_scores,
)
from action_localization.anticipation.recogniser import TaskRecogniser
from action_localization.anticipation.sequences import SequenceSet
from laban.errors import LabanError
from models.training import TrainConfig, fit

HELD_OUT = 0.1
FRACTIONS = (0.3, 0.5, 0.7)
"""Parts of a trace after which goals are asked for."""
STEPS = 1500
NETWORKS = 3
"""Networks of several seeds whose log-odds are averaged."""


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


def prefixes(sequences: SequenceSet, share: float) -> list[Int64[ndarray, " _"]]:
    """The first part of each trace; of it the actions that are known."""
    cut = [one.array[: max(1, int(np.ceil(share * len(one.array))))] for one in sequences.sequences]
    return [trace[trace >= 0] for trace in cut]


def task_numbers(sequences: SequenceSet, chains: TaskChains) -> Int64[ndarray, " sequences"]:
    """The number of each sequence's task, -1 where it is unknown."""
    number = {task: i for i, task in enumerate(chains.tasks)}
    return np.array([number.get(one.goal, -1) for one in sequences.sequences])


@dataclass(frozen=True)
class Learnt:
    """A recogniser, and what was found on `held` training videos that its chosen belief was not learnt from: the share
    of right answers of belief and chains after every part of `FRACTIONS`."""

    recogniser: TaskRecogniser
    held: int
    right: dict[str, tuple[float, ...]]


def learn_recogniser(
    training: SequenceSet, chains: TaskChains, run: Path, *, steps: int = STEPS, networks: int = NETWORKS,
    quiet: bool = True,
) -> Learnt:  # fmt: skip
    """Networks without a tenth of the videos, on which the belief is chosen beside chains that have not seen them
    either; then networks of all videos. `run` keeps `goal…` and `goal-all…`: it resumes."""
    rest, held = training.held_out(HELD_OUT, 0)
    data = task_traces(rest, chains)
    part = learn_chains(rest)
    own = [chains.tasks.index(task) for task in part.tasks]
    nets = _networks(data, run / "goal", steps, networks, quiet)
    traces = [trace for share in FRACTIONS for trace in prefixes(held, share)]
    truth = np.tile(task_numbers(held, chains), len(FRACTIONS))
    known = np.array([len(trace) > 0 for trace in traces]) & (truth >= 0)
    traces, truth = [trace for trace, one in zip(traces, known, strict=True) if one], truth[known]
    posterior = np.full((len(traces), len(chains.tasks)), 1e-12)
    posterior[:, own] = np.stack([part.posterior(trace) for trace in traces])
    odds, shares = mean_odds(nets, traces), task_shares(data, len(chains.tasks))
    belief = best_belief(odds, shares, posterior, truth)
    at = np.repeat(np.arange(len(FRACTIONS)), len(held.sequences))[known]
    scores = {"belief": task_scores(odds, shares, posterior, belief), "chains": posterior}
    right = {name: tuple(float((one.argmax(1) == truth)[at == i].mean()) for i in range(len(FRACTIONS)))
             for name, one in scores.items()}  # fmt: skip
    full = task_traces(training, chains)
    nets = _networks(full, run / "goal-all", steps, networks, quiet)
    recogniser = TaskRecogniser(chains, nets, task_shares(full, len(chains.tasks)), belief)
    return Learnt(recogniser, len(held.sequences), right)


def _networks(data: GoalTraces, run: Path, steps: int, count: int, quiet: bool) -> tuple[GoalRecogniser, ...]:
    """Networks of several seeds."""
    folders = [run if seed == 0 else run.with_name(f"{run.name}-{seed}") for seed in range(count)]
    return tuple(train_recogniser(data, GoalTraining(folder, steps, seed=seed, quiet=quiet))
                 for seed, folder in enumerate(folders))  # fmt: skip
