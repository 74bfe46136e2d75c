"""`TaskRecogniser`: how probable each task is after a trace, by GRNet-like networks and chains; its checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray

from action_localization.anticipation.anticipator import Anticipator
from action_localization.anticipation.chains import TaskChains
from action_localization.anticipation.goals import GoalConfig, GoalRecogniser, TaskBelief, mean_odds, task_scores
from laban.config import from_dict
from laban.errors import LabanError
from laban.weights import load_module, load_weights, save_weights

KIND = "task recogniser"
CHAINS_ALONE = TaskBelief(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class TaskRecogniser:
    """Chains, networks whose log-odds of propositions are averaged (none: the chains alone), in what share of a task's
    training videos each step is done, and how much each of them counts."""

    chains: TaskChains
    networks: tuple[GoalRecogniser, ...] = ()
    shares: Float[ndarray, "tasks actions"] | None = None
    belief: TaskBelief = CHAINS_ALONE

    def scores(
        self, traces: Sequence[Int64[ndarray, " _"]], posterior: Float[ndarray, "traces tasks"] | None = None
    ) -> Float[ndarray, "traces tasks"]:
        """Log-scores of every task after traces; before the first action, or without networks, the chains' alone.
        `posterior` is the chains', where it is known already."""
        if posterior is None:
            posterior = np.stack([self.chains.posterior(trace) for trace in traces])
        found = np.log(posterior + 1e-12)
        begun = np.array([len(trace) > 0 for trace in traces])
        if self.networks and self.shares is not None and begun.any():
            odds = mean_odds(self.networks, [trace for trace in traces if len(trace)])
            found[begun] = task_scores(odds, self.shares, posterior[begun], self.belief)
        return found

    def likeliest(
        self, trace: Int64[ndarray, " _"], among: Sequence[int] | None = None
    ) -> tuple[tuple[int, float], ...]:
        """(number, probability) of every task, or of those that are asked for, the likeliest first."""
        tasks = np.arange(len(self.chains.tasks)) if among is None else np.array(among, np.int64)
        scores = self.scores([trace])[0, tasks]
        chance = np.exp(scores - np.logaddexp.reduce(scores))
        return tuple((int(tasks[i]), float(chance[i])) for i in np.argsort(-chance, kind="stable"))

    @cached_property
    def by(self) -> str:
        """Whose answer it is, in words."""
        return "goal recogniser and task chains" if self.networks else "task chains"


def recogniser_of(anticipator: Anticipator, where: str) -> TaskRecogniser:
    """The recogniser that an anticipator's checkpoint names, or its chains alone where it names none.

    LabanError for an anticipator without tasks (`where` says which), and for a recogniser that is missing or of other
    actions or tasks.
    """
    if anticipator.chains is None:
        raise LabanError(f"{where}: knows no tasks; accepted: annotations that say each video's task")
    if anticipator.goals is None:
        return TaskRecogniser(anticipator.chains)
    return load_recogniser(anticipator.goals, anticipator.chains)


def chains_digest(chains: TaskChains) -> str:
    """SHA-256 of what a recogniser's numbers mean: the names of the actions and of the tasks, in order."""
    return hashlib.sha256("\n".join([*chains.vocabulary.names, "", *chains.tasks]).encode()).hexdigest()


def save_recogniser(folder: str | Path, recogniser: TaskRecogniser, card: str, **extra: Any) -> str:
    """Write a checkpoint folder; returns the SHA-256 of its weights. Chains and vocabulary stay the anticipator's: the
    configuration has their digest alone. `extra` joins it."""
    if not recogniser.networks or recogniser.shares is None:
        raise LabanError(f"{folder}: a recogniser without networks is its anticipator's chains; nothing to save")
    tensors = {f"{i}.{name}": value for i, network in enumerate(recogniser.networks)
               for name, value in network.state_dict().items()}  # fmt: skip
    at = np.flatnonzero(recogniser.shares)
    tensors["shares.at"] = torch.from_numpy(at.astype(np.int32))
    tensors["shares.value"] = torch.from_numpy(recogniser.shares.ravel()[at]).float()
    config = {"kind": KIND, "digest": chains_digest(recogniser.chains), "networks": len(recogniser.networks),
              "network": asdict(recogniser.networks[0].config), "belief": asdict(recogniser.belief),
              **extra}  # fmt: skip
    return save_weights(folder, tensors, config, card)


def load_recogniser(name: str | Path, chains: TaskChains) -> TaskRecogniser:
    """A checkpoint's recogniser beside the chains that it was learnt with; LabanError for another kind of checkpoint,
    or one of other actions or tasks."""
    tensors, config = load_weights(name)
    if config.get("kind") != KIND:
        raise LabanError(f"checkpoint {name}: is a {config.get('kind', 'checkpoint of another kind')}, no {KIND}")
    if config.get("digest") != chains_digest(chains):
        raise LabanError(f"checkpoint {name}: was learnt with other actions or tasks than these {len(chains.tasks)} "
                         "tasks; accepted: the recogniser made with this anticipator")  # fmt: skip
    actions, tasks = len(chains.vocabulary), len(chains.tasks)
    sizes = from_dict(GoalConfig, config["network"], name=f"{name}/config.json")
    networks = []
    for i in range(int(config["networks"])):
        own = {key.removeprefix(f"{i}."): value for key, value in tensors.items() if key.startswith(f"{i}.")}
        networks.append(load_module(GoalRecogniser(actions, actions + tasks, sizes), own, name))
    if {"shares.at", "shares.value"} - set(tensors):
        raise LabanError(f"checkpoint {name}: has no shares of steps; written by another version?")
    shares = np.zeros(tasks * actions)
    shares[tensors["shares.at"].numpy()] = tensors["shares.value"].numpy()
    belief = from_dict(TaskBelief, config["belief"], name=f"{name}/config.json")
    return TaskRecogniser(chains, tuple(networks), shares.reshape(tasks, actions), belief)
