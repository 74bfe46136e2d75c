"""Training planners and the task classifier on windows of training videos: small, resumable, kept by what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray
from torch import Tensor, nn

from action_localization.anticipation.chains import PlanWindows, TaskChains
from action_localization.anticipation.planners.diffusion import Columns, DiffusionConfig, PlanDenoiser, plan_loss
from action_localization.anticipation.planners.given import NOT_GIVEN, Given, Observed
from action_localization.anticipation.planners.viterbi_net import ViterbiConfig, ViterbiPlanner
from laban.errors import LabanError
from models.training import TrainConfig, fit

BATCH = 128
ENDS_GIVEN = 0.5
"""Share of training plans whose end actions are given: one network answers with and without them."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class PlanData:
    """Windows of each length with the numbers of their tasks and what was observed of them; -1: a task that the chains
    do not know."""

    chains: TaskChains
    windows: Mapping[int, PlanWindows]
    observed: Mapping[int, Observed]
    vectors: Float32[ndarray, "actions observed"] | None = None
    """What each step looks like without noise, where observations are text embeddings."""

    @property
    def width(self) -> int:
        """Numbers in an observation."""
        return next(iter(self.observed.values())).start.shape[1]

    def tasks(self, length: int) -> Int64[ndarray, " windows"]:
        """The task of each window."""
        number = {name: i for i, name in enumerate(self.chains.tasks)}
        return np.array([number.get(goal, -1) for goal in self.windows[length].goals], np.int64)


@dataclass(frozen=True)
class PlanTraining:
    """Where runs are kept, how many steps they have, and their seed."""

    folder: Path
    steps: int = 600
    seed: int = 0
    quiet: bool = True


def one_hot(tasks: Int64[ndarray, " plans"], count: int) -> Float[Tensor, "plans tasks"]:
    """Tasks as rows of a condition."""
    return F.one_hot(torch.from_numpy(tasks), count).float()


class PlanBatches:
    """Batches of one length each, functions of (seed, step)."""

    def __init__(self, data: PlanData, seed: int) -> None:
        self.data, self.seed = data, seed
        self.tasks = {length: data.tasks(length) for length in data.windows}
        if any((tasks < 0).any() for tasks in self.tasks.values()):
            raise LabanError("training windows without a task; accepted: annotations that say each video's task")

    def __call__(self, step: int) -> tuple[Tensor, Given]:
        """(plans, what is given of them)."""
        rng = np.random.default_rng((self.seed, step))
        lengths = sorted(self.data.windows)
        length = lengths[int(rng.integers(len(lengths)))]
        plans = self.data.windows[length].plans
        chosen = rng.integers(len(plans), size=BATCH)
        start, goal = self.data.observed[length].look(chosen, rng)
        ends = torch.from_numpy(plans[chosen][:, [0, -1]])
        known = torch.from_numpy(rng.random(BATCH) < ENDS_GIVEN)
        ends = torch.where(known[:, None], ends, NOT_GIVEN)
        task = one_hot(self.tasks[length][chosen], len(self.data.chains.tasks))
        return torch.from_numpy(plans[chosen]), Given(length, start, goal, task, ends)


def task_steps(chains: TaskChains) -> Bool[Tensor, "tasks actions"]:
    """Which actions each task has in the training videos."""
    found = torch.zeros(len(chains.tasks), len(chains.vocabulary), dtype=torch.bool)
    for task, steps in enumerate(chains.steps):
        found[task, torch.from_numpy(steps)] = True
    return found


def optimisation(training: PlanTraining, lr: float) -> TrainConfig:
    """How planners are trained."""
    return TrainConfig(steps=training.steps, lr=lr, warmup=min(50, training.steps // 5 + 1), weight_decay=0.01,
                       ema=0.98, seed=training.seed, precision="32-true", accelerator="cpu", save_minutes=5.0,
                       log_every=50)  # fmt: skip


def train_diffusion(data: PlanData, config: DiffusionConfig, training: PlanTraining) -> PlanDenoiser:
    """PDPP, Masked-PDPP or MTID, by its configuration."""
    torch.manual_seed(training.seed)
    columns = Columns(len(data.chains.tasks), len(data.chains.vocabulary), data.width)
    network = PlanDenoiser(config, columns, task_steps(data.chains))

    def loss(network: PlanDenoiser, batch: Sequence[object], generator: torch.Generator) -> dict[str, Tensor]:
        plans, given = batch
        assert isinstance(plans, Tensor) and isinstance(given, Given)
        return {"loss": plan_loss(network, plans, given, generator)}

    return _fitted(network, loss, data, training, 3e-3)


def train_viterbi(data: PlanData, config: ViterbiConfig, training: PlanTraining) -> ViterbiPlanner:
    """The ViterbiPlanNet-like planner."""
    torch.manual_seed(training.seed)
    network = ViterbiPlanner(config, data.chains, data.width)

    def loss(network: ViterbiPlanner, batch: Sequence[object], generator: torch.Generator) -> dict[str, Tensor]:
        plans, given = batch
        assert isinstance(plans, Tensor) and isinstance(given, Given)
        return {"loss": -network.log_probability(given, plans).mean() / given.length}

    return _fitted(network, loss, data, training, 3e-3)


class TaskClassifier(nn.Module):
    """The task from start and goal, as PDPP and its successors predict it."""

    def __init__(self, observed: int, tasks: int, width: int = 128) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * observed, width), nn.GELU(), nn.Dropout(0.2), nn.Linear(width, tasks))

    def forward(
        self, start: Float[Tensor, "plans observed"], goal: Float[Tensor, "plans observed"]
    ) -> Float[Tensor, "plans tasks"]:
        """Log-odds."""
        return self.net(torch.cat([start, goal], 1))


def train_classifier(data: PlanData, training: PlanTraining) -> TaskClassifier:
    """The task classifier, on the same windows and noise."""
    torch.manual_seed(training.seed)
    network = TaskClassifier(data.width, len(data.chains.tasks))

    def loss(network: TaskClassifier, batch: Sequence[object], generator: torch.Generator) -> dict[str, Tensor]:
        given = batch[1]
        assert isinstance(given, Given)
        return {"loss": F.cross_entropy(network(given.start, given.goal), given.task.argmax(1))}

    return _fitted(network, loss, data, training, 3e-3)


def _fitted(network: Network, loss: object, data: PlanData, training: PlanTraining, lr: float) -> Network:
    batches = PlanBatches(data, training.seed)
    return fit(network, loss, batches, optimisation(training, lr), training.folder,  # type: ignore[arg-type]
               progress=not training.quiet)  # fmt: skip
