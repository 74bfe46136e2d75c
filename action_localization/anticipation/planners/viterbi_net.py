"""ViterbiPlanNet-like: emissions from start and goal, transitions from the task's chain, by soft Viterbi."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from action_localization.anticipation.chains import TaskChains
from action_localization.anticipation.planners.given import Given
from action_localization.anticipation.viterbi import NEVER, best_batch


@dataclass(frozen=True)
class ViterbiConfig:
    """Sizes: `width` of the hidden layer."""

    width: int = 128
    dropout: float = 0.1


class ViterbiPlanner(nn.Module):
    """Best plans in a task's own steps (after ViterbiPlanNet, CVPR 2026).

    One hidden layer over start, goal, task and (where given) end actions makes emissions for every place; transitions
    are the training videos' (the procedural knowledge graph), scaled and corrected by what is learnt. Its loss is the
    negative log-likelihood of the whole plan, by the log-partition of the soft Viterbi recursion; the paper regresses
    that recursion's probabilities to one-hot rows.
    """

    steps: Int[Tensor, "tasks states"]
    chain: Float[Tensor, "tasks states states"]

    def __init__(self, config: ViterbiConfig, chains: TaskChains, observed: int) -> None:
        super().__init__()
        steps, chain = padded_chains(chains)
        self.register_buffer("steps", torch.from_numpy(steps), persistent=False)
        self.register_buffer("chain", torch.from_numpy(chain).float(), persistent=False)
        tasks, actions, width = len(chains.tasks), len(chains.vocabulary), config.width
        self.seen = nn.Linear(2 * observed, width)
        self.task = nn.Embedding(tasks, width)
        self.ends = nn.ModuleList(nn.Embedding(actions + 1, width) for _ in range(2))
        self.places = nn.Parameter(0.1 * torch.randn(2, 8, width))
        self.mix = nn.Sequential(nn.GELU(), nn.Dropout(config.dropout), nn.Linear(width, width), nn.GELU())
        self.look = nn.ModuleList(nn.Linear(observed, actions) for _ in range(2))
        self.emit = nn.Embedding(actions, width)
        nn.init.normal_(self.emit.weight, std=0.02)
        for table in (self.task, *self.ends):
            nn.init.normal_(table.weight, std=0.3)
        self.scale = nn.Parameter(torch.ones(()))
        self.change = nn.Parameter(torch.zeros(self.chain.shape))

    def scores(self, given: Given) -> tuple[Float[Tensor, "plans length states"], Float[Tensor, "plans states states"]]:
        """(emissions, transitions) in log space over the states of each plan's task."""
        task = given.task.argmax(1)
        own = self.steps[task]
        hidden = self.seen(torch.cat([given.start, given.goal], 1)) + self.task(task)
        for table, action in zip(self.ends, given.ends.unbind(1), strict=True):
            hidden = hidden + table(action + 1)
        row = torch.arange(given.length, device=own.device).clamp(max=7)
        hidden = hidden[:, None] + self.places[0, row] + self.places[1, row.flip(0)]
        emissions = self.mix(hidden) @ self.emit(own.clamp(min=0)).transpose(1, 2)
        emissions = torch.where((own >= 0)[:, None], emissions, NEVER)
        for side, (place, action, seen) in enumerate(((0, given.ends[:, 0], given.start),
                                                      (-1, given.ends[:, 1], given.goal))):  # fmt: skip
            emissions[:, place] = emissions[:, place] + self.look[side](seen).gather(1, own.clamp(min=0))
            there = (own == action[:, None]) & (action >= 0)[:, None]
            there = there | ~there.any(1, keepdim=True)
            emissions[:, place] = torch.where(there, emissions[:, place], NEVER)
        return emissions, self.scale * self.chain[task] + self.change[task]

    def log_probability(self, given: Given, plans: Int[Tensor, "plans length"]) -> Float[Tensor, " plans"]:
        """Of whole plans among all of the task; plans with a step that the task has not are all but impossible."""
        emissions, transitions = self.scores(given)
        match = self.steps[given.task.argmax(1)][:, None] == plans[..., None]
        state = match.float().argmax(-1)
        own = emissions.gather(2, state[..., None])[..., 0].sum(1)
        pairs = torch.arange(len(plans), device=plans.device)[:, None], state[:, :-1], state[:, 1:]
        own = own + transitions[pairs].sum(1)
        own = torch.where(match.any(-1).all(1), own, torch.tensor(NEVER))
        return own - log_partition(emissions, transitions)

    def plan(self, given: Given) -> Int[np.ndarray, "plans length"]:
        """The likeliest plan of each, by hard Viterbi. End actions that the task has not are kept as given."""
        with torch.inference_mode():
            emissions, transitions = self.scores(given)
        states = best_batch(emissions.numpy(), transitions.numpy())
        own = self.steps[given.task.argmax(1)].numpy()
        found = np.take_along_axis(own, states, 1)
        ends = given.ends.numpy()
        for place in (0, -1):
            found[:, place] = np.where(ends[:, place] >= 0, ends[:, place], found[:, place])
        return found


def log_partition(
    emissions: Float[Tensor, "plans length states"], transitions: Float[Tensor, "plans states states"]
) -> Float[Tensor, " plans"]:
    """Soft Viterbi: log-sum-exp instead of the maximum, so that the value is smooth and its gradient the marginals
    (Mensch & Blondel, ICML 2018)."""
    score = emissions[:, 0]
    for step in range(1, emissions.shape[1]):
        score = (score[:, :, None] + transitions).logsumexp(1) + emissions[:, step]
    return score.logsumexp(1)


def padded_chains(
    chains: TaskChains,
) -> tuple[Int[np.ndarray, "tasks states"], Float[np.ndarray, "tasks states states"]]:
    """(steps of every task, -1 beyond them; log transitions, 0 beyond them)."""
    states = max(len(steps) for steps in chains.steps)
    found = np.full((len(chains.tasks), states), -1, np.int64)
    table = np.zeros((len(chains.tasks), states, states))
    for task, steps in enumerate(chains.steps):
        found[task, : len(steps)] = steps
        table[task, : len(steps), : len(steps)] = chains.log_transitions(task)
    return found, table


def refine(
    odds: Float[np.ndarray, "plans length actions"], tasks: Int[np.ndarray, " plans"],
    chain: tuple[Int[np.ndarray, "tasks states"], Float[np.ndarray, "tasks states states"]], weight: float,
) -> Int[np.ndarray, "plans length"]:  # fmt: skip
    """Any planner's log-odds through the task's chain (SCHEMA's last step): the likeliest plan, transitions counting
    `weight`. Rows that are sure of an action the task has not keep it."""
    own, table = chain[0][tasks], weight * chain[1][tasks]
    emissions = np.take_along_axis(odds, np.maximum(own, 0)[:, None].repeat(odds.shape[1], 1), 2)
    emissions = np.where((own >= 0)[:, None], emissions, NEVER)
    found = np.take_along_axis(own, best_batch(emissions, table), 1)
    sure = odds.argmax(2)
    outside = ~(sure[..., None] == own[:, None]).any(-1)
    return np.where(outside, sure, found)
