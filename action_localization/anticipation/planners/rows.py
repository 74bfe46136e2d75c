"""Planners as rows under the same inputs: modal plan, filler lookup, chains, and what was learnt; SR, mAcc and mIoU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray
from torch import Tensor

from action_localization.anticipation.chains import TaskChains
from action_localization.anticipation.measures import Figure, mean_over_groups
from action_localization.anticipation.plan_measures import accuracy, batch_iou, cumulative_iou, sample_iou, success
from action_localization.anticipation.planners.diffusion import PlanDenoiser, denoise_plans
from action_localization.anticipation.planners.given import NOT_GIVEN, Given
from action_localization.anticipation.planners.learn import PlanData, TaskClassifier, one_hot
from action_localization.anticipation.planners.viterbi_net import ViterbiPlanner
from laban.errors import LabanError

Inputs = Literal["observations", "ends"]
"""Noisy observations alone (the task is predicted from them), or the true task and both end actions."""

Plans = Int64[ndarray, "plans length"]
LARGEST_BATCH = 1024
FLOOR = 1e-6
LEGACY_BATCH = 256


@dataclass(frozen=True)
class Asked:
    """Evaluation windows of one length as planners meet them: each distinct condition once, `back` says where it is.

    `nearest` are the steps whose embeddings are nearest to both observations, among the task's own (with given ends:
    those)."""

    given: Given
    nearest: Int64[ndarray, "plans 2"]
    back: Int64[ndarray, " windows"]

    @property
    def tasks(self) -> Int64[ndarray, " plans"]:
        """The task of each condition: the truth or a classifier's choice."""
        return self.given.task.argmax(1).numpy()


def asked(data: PlanData, length: int, inputs: Inputs, classifier: TaskClassifier, seed: int = 0) -> Asked:
    """What planners are given of the windows of one length. A task that nobody was taught is replaced, with given ends
    too, by the likeliest known one."""
    windows, count = data.windows[length], len(data.chains.tasks)
    start, goal = data.observed[length].look(slice(None), np.random.default_rng((seed, length)))
    with torch.inference_mode():
        guessed = classifier(start, goal).argmax(1).numpy()
    if inputs == "observations":
        given = Given(length, start, goal, one_hot(guessed, count), torch.full((len(windows), 2), NOT_GIVEN))
        return Asked(given, nearest_steps(data, length, start, goal, guessed), np.arange(len(windows)))
    tasks = data.tasks(length)
    tasks = np.where(tasks >= 0, tasks, guessed)
    keys = np.column_stack([tasks, windows.plans[:, 0], windows.plans[:, -1]])
    _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    observed, ends = data.observed[length], windows.plans[first][:, [0, -1]]
    given = Given(length, torch.from_numpy(observed.start[first]), torch.from_numpy(observed.goal[first]),
                  one_hot(tasks[first], count), torch.from_numpy(ends))  # fmt: skip
    return Asked(given, ends, back.reshape(-1).astype(np.int64))


def nearest_steps(data: PlanData, length: int, start: Tensor, goal: Tensor,
                  tasks: Int64[ndarray, " plans"]) -> Int64[ndarray, "plans 2"]:  # fmt: skip
    """Which of a task's steps look most like each observation."""
    if data.vectors is None:
        raise LabanError("features of videos have no step that they are nearest to; accepted: text embeddings")
    vectors = torch.from_numpy(data.vectors)
    found = np.zeros((len(tasks), 2), np.int64)
    for task in np.unique(tasks):
        rows, steps = np.flatnonzero(tasks == task), data.chains.steps[task]
        for side, seen in enumerate((start, goal)):
            found[rows, side] = steps[torch.cdist(seen[rows], vectors[steps]).argmin(1).numpy()]
    return found


def modal_rows(chains: TaskChains, tasks: Int64[ndarray, " plans"], length: int) -> Plans:
    """The most frequent training plan of each task."""
    best: dict[int, tuple[int, tuple[int, ...]]] = {}
    for plan, count in sorted(chains.plans.items()):
        if len(plan) == length + 1 and count > best.get(plan[0], (0, ()))[0]:
            best[plan[0]] = count, plan[1:]
    empty = (NOT_GIVEN,) * length
    return np.array([best.get(task, (0, empty))[1] for task in tasks.tolist()], np.int64)


def filler_rows(chains: TaskChains, tasks: Int64[ndarray, " plans"], ends: Int64[ndarray, "plans 2"],
                length: int) -> Plans:  # fmt: skip
    """The most frequent training plan of the task between two steps; of any task where it has none; else the first step
    repeated up to the last."""
    best: dict[tuple[int, int, int], tuple[int, tuple[int, ...]]] = {}
    anywhere: dict[tuple[int, ...], int] = {}
    for plan, count in sorted(chains.plans.items()):
        if len(plan) == length + 1:
            anywhere[plan[1:]] = anywhere.get(plan[1:], 0) + count
            if count > best.get((plan[0], plan[1], plan[-1]), (0, ()))[0]:
                best[plan[0], plan[1], plan[-1]] = count, plan[1:]
    for plan, count in anywhere.items():
        if count > best.get((NOT_GIVEN, plan[0], plan[-1]), (0, ()))[0]:
            best[NOT_GIVEN, plan[0], plan[-1]] = count, plan
    rows = []
    for task, (first, last) in zip(tasks.tolist(), ends.tolist(), strict=True):
        own = best.get((task, first, last)) or best.get((NOT_GIVEN, first, last))
        rows.append(own[1] if own else (first,) * (length - 1) + (last,))
    return np.array(rows, np.int64)


Weigh = Callable[[Int64[ndarray, " ways"], Plans], ndarray]
"""(rows of the conditions, a plan for each) -> a log-score of each, comparable within a row."""

Key = tuple[int, int, int]


def chain_rows(
    chains: TaskChains, tasks: Int64[ndarray, " plans"], ends: Int64[ndarray, "plans 2"], length: int,
    weigh: Weigh | None = None, trust: float = 0.0,
) -> Plans:  # fmt: skip
    """The default planner: training plans between two steps by their counts, and the chain's (`TaskChains.ranked`).

    With `weigh` a learned planner's probabilities of the same candidates count as `trust` more training plans (KEPP has
    such plans of a graph for a condition; here they are what is chosen from).
    """
    found = filler_rows(chains, tasks, ends, length)
    keys: dict[Key, list[int]] = {}
    for row, (task, (first, last)) in enumerate(zip(tasks.tolist(), ends.tolist(), strict=True)):
        if first in chains.steps[task] and last in chains.steps[task] and not (length == 2 and first == last):
            keys.setdefault((task, first, last), []).append(row)
    candidates = {key: chains.candidates(*key, length) for key in keys}
    scores = {key: np.array([count for count, _ in ways]) for key, ways in candidates.items()}
    if weigh is not None and trust > 0 and keys:
        rows = np.concatenate([np.full(len(ways), keys[key][0]) for key, ways in candidates.items()])
        plans = np.stack([way for ways in candidates.values() for _, way in ways])
        values, at = weigh(rows, plans), 0
        for key, ways in candidates.items():
            own = np.exp(values[at : at + len(ways)] - values[at : at + len(ways)].max())
            scores[key] = scores[key] + trust * own / own.sum()
            at += len(ways)
    for key, rows_of in keys.items():
        found[rows_of] = candidates[key][int(scores[key].argmax())][1]
    return found


def by_viterbi(network: ViterbiPlanner, given: Given) -> Weigh:
    """Candidates by their probability in the network's chain."""

    def weigh(rows: Int64[ndarray, " ways"], plans: Plans) -> ndarray:
        found = []
        with torch.inference_mode():
            for part in torch.arange(len(rows)).split(LARGEST_BATCH):
                some = given.rows(torch.from_numpy(rows)[part])
                found.append(network.log_probability(some, torch.from_numpy(plans)[part]).numpy())
        return np.concatenate(found)

    return weigh


def by_places(odds: Float32[ndarray, "plans length actions"]) -> Weigh:
    """Candidates by what a diffusion planner says of every place."""

    def weigh(rows: Int64[ndarray, " ways"], plans: Plans) -> ndarray:
        return odds[rows[:, None], np.arange(plans.shape[1]), plans].sum(1)

    return weigh


def diffusion_odds(
    network: PlanDenoiser, given: Given, seed: int, spread: float, steps: int = 0
) -> Float32[ndarray, "plans length actions"]:
    """Log-probabilities of actions by a diffusion planner, as `denoise_plans` gives them."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.arange(len(given)).split(LARGEST_BATCH)
    found = [denoise_plans(network, given.rows(part), generator, spread, steps).numpy() for part in parts]
    return np.log(np.concatenate(found) + np.float32(FLOOR))


def viterbi_rows(network: ViterbiPlanner, given: Given) -> Plans:
    """Plans of the ViterbiPlanNet-like planner."""
    parts = torch.arange(len(given)).split(LARGEST_BATCH)
    return np.concatenate([network.plan(given.rows(part)) for part in parts])


@dataclass(frozen=True)
class PlanRow:
    """A planner's figures on windows of one length, in per cent: means over `seeds`, intervals over videos."""

    name: str
    length: int
    inputs: Inputs
    figures: Mapping[str, Figure]
    seeds: tuple[float, ...]
    """SR of each seed."""
    legacy: Mapping[str, float]
    """The other two mIoUs of the literature, where they were asked for."""

    def __str__(self) -> str:
        """As a report prints it."""
        values = " / ".join(f"{f.value:.1f} [{f.low:.1f}, {f.high:.1f}]" for f in self.figures.values())
        spread = f"  SR of {len(self.seeds)} seeds {min(self.seeds):.1f}..{max(self.seeds):.1f}"
        return f"{self.name:34s} {values}{spread if len(self.seeds) > 1 else ''}"


MEASURES: Mapping[str, Callable[[Plans, Plans], ndarray]] = {"SR": success, "mAcc": accuracy, "mIoU": sample_iou}


def plan_row(name: str, data: PlanData, length: int, inputs: Inputs, found: Sequence[Plans], *,
             legacy: bool = False) -> PlanRow:  # fmt: skip
    """Figures of the plans that each seed found for all windows of one length."""
    windows = data.windows[length]
    figures = {}
    for measure, each in MEASURES.items():
        values = np.mean([100.0 * each(windows.plans, plans) for plans in found], 0)
        figures[measure] = mean_over_groups(values, windows.video)
    other = {f"mIoU of batches of {LEGACY_BATCH}": 100 * batch_iou(windows.plans, found[0], LEGACY_BATCH),
              "mIoU, sets never emptied": 100 * cumulative_iou(windows.plans, found[0])} if legacy else {}  # fmt: skip
    seeds = tuple(float(100 * success(windows.plans, plans).mean()) for plans in found)
    return PlanRow(name, length, inputs, figures, seeds, other)
