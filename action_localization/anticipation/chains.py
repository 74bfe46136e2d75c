"""Tasks as Markov chains over their steps: which task a trace is of, and the likeliest way from a start to a goal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from action_localization.anticipation.sequences import SequenceSet
from action_localization.anticipation.viterbi import NEVER, best_paths
from action_localization.anticipation.vocabulary import Vocabulary, plain
from laban.errors import LabanError

START = -2
SMOOTHING = 0.1
"""What every step of a task counts after every other without ever having been seen there."""

TRUST = 2.0
"""Counts that a chain is worth beside the plans that were seen: on held-out training videos of COIN, CrossTask and NIV
the best for all three at once (COIN alone wants 1 or less, the others 6)."""

PAIRS = 20.0
"""Counts that the last step alone is worth beside the last two; chosen with `TRUST`."""

CANDIDATES = 12
"""Ways of the chain that are considered beside the plans that were seen."""

LONGEST = 20
"""Steps of a plan."""

Protocol = Literal["A", "B"]


@dataclass(frozen=True)
class PlanWindows:
    """Stretches of `length` steps with their tasks. `padded` of them are of shorter videos; `first` is the place of the
    first step in its video, negative by as many steps as were put before it."""

    plans: Int64[ndarray, "windows length"]
    goals: tuple[str, ...]
    video: Int64[ndarray, " windows"]
    first: Int64[ndarray, " windows"]
    padded: int

    def __len__(self) -> int:
        return len(self.goals)


def plan_windows(sequences: SequenceSet, length: int, protocol: Protocol = "A") -> PlanWindows:
    """Every stretch of `length` steps. Protocol A (PDPP, KEPP, MTID) pads a shorter video by its first step; protocol B
    (P3IV, SCHEMA) leaves it out. The published splits of B also differ, and are not ours."""
    if length < 2:
        raise LabanError(f"plans of {length} steps; accepted: 2 or more")
    rows, goals, videos, places, padded = [], [], [], [], 0
    for number, one in enumerate(sequences.sequences):
        actions = one.array[one.array >= 0]
        if not len(actions):
            continue
        short = length - len(actions)
        if short > 0:
            if protocol == "B":
                continue
            actions = np.concatenate([np.repeat(actions[:1], short), actions])
            padded += 1
        for first in range(len(actions) - length + 1):
            rows.append(actions[first : first + length])
            goals.append(one.goal)
            videos.append(number)
            places.append(first - max(0, short))
    if not rows:
        raise LabanError(f"{sequences.name}: no sequence has {length} steps")
    return PlanWindows(np.stack(rows), tuple(goals), np.array(videos), np.array(places), padded)


@dataclass(frozen=True)
class Plan:
    """Steps by number, the task they are of, and their share among all plans between the same ends."""

    steps: Int64[ndarray, " length"]
    task: str
    share: float


@dataclass(frozen=True)
class TaskChains:
    """How often step b followed step a in each task, as (task, a, b, count); `START` stands before the first step."""

    vocabulary: Vocabulary
    tasks: tuple[str, ...]
    counts: Int64[ndarray, "transitions 4"]
    videos: Int64[ndarray, " tasks"]
    plans: Mapping[tuple[int, ...], int] = field(default_factory=dict)
    """Training plans: (task, steps …) and how often, at every length they were asked for."""
    trust: float = TRUST
    """Counts that the chain is worth beside them."""

    @cached_property
    def steps(self) -> tuple[Int64[ndarray, " _"], ...]:
        """The steps that each task has."""
        found = []
        for task in range(len(self.tasks)):
            rows = self.counts[self.counts[:, 0] == task]
            found.append(np.unique(rows[:, 2]))
        return tuple(found)

    @cached_property
    def _chains(self) -> tuple[tuple[Float64[ndarray, " _"], Float64[ndarray, "_ _"]], ...]:
        """(log start, log transitions) of each task over its own steps."""
        found = []
        for task, steps in enumerate(self.steps):
            place = {int(step): i for i, step in enumerate(steps)}
            start, table = np.full(len(steps), SMOOTHING), np.full((len(steps), len(steps)), SMOOTHING)
            for _, before, after, count in self.counts[self.counts[:, 0] == task].tolist():
                if before == START:
                    start[place[after]] += count
                elif before in place:
                    table[place[before], place[after]] += count
            found.append((np.log(start / start.sum()), np.log(table / table.sum(1, keepdims=True))))
        return tuple(found)

    def log_transitions(self, task: int) -> Float64[ndarray, "states states"]:
        """From row to column over the task's own `steps`, smoothed."""
        return self._chains[task][1]

    def task(self, name: str) -> int:
        """The number of a task by its name, in any case; LabanError with the nearest."""
        words = {plain(_spaced(task)): i for i, task in enumerate(self.tasks)}
        asked = plain(_spaced(name))
        if asked in words:
            return words[asked]
        near = [self.tasks[words[word]] for word in get_close_matches(asked, list(words), n=3, cutoff=0.0)]
        raise LabanError(f"task {name!r} is none of {len(self.tasks)}; nearest: {', '.join(map(repr, near))}")

    def posterior(self, trace: Sequence[int] | Int64[ndarray, " _"]) -> Float64[ndarray, " tasks"]:
        """How probable each task is after the first steps of a trace: Bayes over the chains. A step that a task does
        not have costs as much as one chance in a thousand."""
        score = np.log(self.videos / self.videos.sum())
        for task, (start, table) in enumerate(self._chains):
            place = self._places[task]
            before: int | None = None
            for position, step in enumerate(trace):
                here = place.get(int(step))
                if here is None:
                    score[task] += np.log(1e-3 / max(1, len(place)))
                elif before is None:
                    score[task] += start[here] if position == 0 else -np.log(len(place))
                else:
                    score[task] += table[before, here]
                before = here
        score = np.exp(score - score.max())
        return score / score.sum()

    def unordered(self, trace: Sequence[int] | Int64[ndarray, " _"]) -> Float64[ndarray, " tasks"]:
        """The same from how common each step is in a task, whatever their order: what a chain has to be better than."""
        score = np.log(self.videos / self.videos.sum())
        for task, (steps, common) in enumerate(zip(self.steps, self._common, strict=True)):
            total = sum(common.values())
            for step in trace:
                there = common.get(int(step), 0)
                score[task] += np.log((there + SMOOTHING * 1e-1) / (total + SMOOTHING * len(steps)))
        score = np.exp(score - score.max())
        return score / score.sum()

    @cached_property
    def _common(self) -> tuple[dict[int, int], ...]:
        """How often each step occurs in each task."""
        found: tuple[dict[int, int], ...] = tuple({} for _ in self.tasks)
        for task, _, step, count in self.counts.tolist():
            found[task][step] = found[task].get(step, 0) + count
        return found

    def plan(self, first: int, last: int, length: int, task: int | None = None) -> Int64[ndarray, " length"]:
        """The best of `ranked`."""
        return self.ranked(first, last, length, task)[0].steps

    def ranked(self, first: int, last: int, length: int, task: int | None = None) -> tuple[Plan, ...]:
        """Plans of `length` steps from `first` to `last`, best first: training plans between the two by how often they
        were, with `trust` further counts shared out by the task's chain; its likeliest way (Viterbi; KEPP and
        ViterbiPlanNet use such graphs) is always among them.

        Without a task, every task that has both steps is asked. LabanError where none has, or for less than two steps.
        """
        if not 2 <= length <= LONGEST:
            raise LabanError(f"a plan of {length} steps; accepted: 2 to {LONGEST} (the first and the last are given)")
        if length == 2 and first == last:
            raise LabanError("a plan of 2 steps that starts and ends with the same one; accepted: more steps")
        found = []
        for number in range(len(self.tasks)) if task is None else [task]:
            if first in self.steps[number] and last in self.steps[number]:
                found += [(c, self._log(number, way), number, way) for c, way in
                          self.candidates(number, first, last, length)]  # fmt: skip
        if not found:
            names = self.vocabulary.names
            where = "no task has" if task is None else f"task {self.tasks[task]!r} has not"
            raise LabanError(f"{where} both {names[first]!r} and {names[last]!r}; accepted: steps of one task")
        found.sort(key=lambda one: one[:2], reverse=True)
        total = sum(count for count, *_ in found)
        return tuple(Plan(way, self.tasks[number], count / total) for count, _, number, way in found)

    def ordered(self, first: int, last: int, length: int, task: int | None = None) -> tuple[Plan, ...]:
        """`ranked`, or the one step itself where start and goal are the same and nothing else is asked for."""
        if length == 1 and first == last:
            name = self.tasks[task] if task is not None else self.tasks[int(self.posterior([first]).argmax())]
            return (Plan(np.array([first], np.int64), name, 1.0),)
        return self.ranked(first, last, length, task)

    def candidates(self, task: int, first: int, last: int, length: int) -> list[tuple[float, Int64[ndarray, " _"]]]:
        """Candidates with their counts, those of the chain included: its first order finds them, its second weighs."""
        key = task, first, last, length
        if key not in self._known:
            self._known[key] = self._weighed(*key)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[int, int, int, int], list[tuple[float, Int64[ndarray, " _"]]]]:
        return {}

    def _weighed(self, task: int, first: int, last: int, length: int) -> list[tuple[float, Int64[ndarray, " _"]]]:
        seen = {plan[1:]: float(count) for plan, count in self._between.get((task, first, last, length), ())}
        for way in self.likeliest(task, first, last, length):
            seen.setdefault(tuple(way.tolist()), 0.0)
        ways = [np.array(plan, np.int64) for plan in seen]
        chance = np.exp(np.array([self._log(task, way) for way in ways]))
        counts = np.array(list(seen.values())) + self.trust * chance / chance.sum()
        return list(zip(counts.tolist(), ways, strict=True))

    @cached_property
    def _between(self) -> dict[tuple[int, int, int, int], list[tuple[tuple[int, ...], int]]]:
        found: dict[tuple[int, int, int, int], list[tuple[tuple[int, ...], int]]] = {}
        for plan, count in self.plans.items():
            found.setdefault((plan[0], plan[1], plan[-1], len(plan) - 1), []).append((plan, count))
        return found

    def likeliest(self, task: int, first: int, last: int, length: int) -> list[Int64[ndarray, " length"]]:
        """The best ways of the first-order chain between two steps (Viterbi), the likeliest first."""
        steps, (_, table) = self.steps[task], self._chains[task]
        emissions = np.zeros((length, len(steps)))
        for row, given in ((0, first), (length - 1, last)):
            emissions[row] = np.where(steps == given, 0.0, NEVER)
        return [steps[path.states] for path in best_paths(emissions, table, count=CANDIDATES)]

    def _log(self, task: int, plan: Int64[ndarray, " _"]) -> float:
        """Log-probability of a plan after its first step: each step after the last two, backed off to the last one."""
        place, table, steps = self._places[task], self._chains[task][1], plan.tolist()
        total = 0.0
        for at in range(1, len(steps)):
            chance = float(np.exp(table[place[steps[at - 1]], place[steps[at]]]))
            if at >= 2:
                follow = self._triples.get((task, steps[at - 2], steps[at - 1]), {})
                chance = (follow.get(steps[at], 0) + PAIRS * chance) / (sum(follow.values()) + PAIRS)
            total += float(np.log(chance))
        return total

    @cached_property
    def _places(self) -> tuple[dict[int, int], ...]:
        return tuple({int(step): i for i, step in enumerate(steps)} for steps in self.steps)

    @cached_property
    def _triples(self) -> dict[tuple[int, int, int], dict[int, int]]:
        """How often each step followed two others, out of the plans of three steps."""
        found: dict[tuple[int, int, int], dict[int, int]] = {}
        for plan, count in self.plans.items():
            if len(plan) == 4:
                found.setdefault((plan[0], plan[1], plan[2]), {})[plan[3]] = count
        return found


def learn_chains(training: SequenceSet, lengths: Sequence[int] = (3, 4, 5, 6)) -> TaskChains:
    """Count the transitions and the plans (protocol A's windows) of every task of a training set."""
    tasks = training.goals
    if not tasks:
        raise LabanError(f"{training.name}: says no video's task; accepted: COIN, CrossTask, NIV, Breakfast")
    number = {task: i for i, task in enumerate(tasks)}
    counts: Counter[tuple[int, int, int]] = Counter()
    for one in training.sequences:
        actions = [START, *(int(a) for a in one.actions if a >= 0)]
        if one.goal:
            counts.update((number[one.goal], a, b) for a, b in zip(actions, actions[1:], strict=False))
    table = np.array([(*key, count) for key, count in sorted(counts.items())], np.int64).reshape(-1, 4)
    videos = np.bincount([number[one.goal] for one in training.sequences if one.goal], minlength=len(tasks))
    plans: Counter[tuple[int, ...]] = Counter()
    for length in lengths:
        windows = plan_windows(training, length)
        plans.update((number[g], *plan) for g, plan in zip(windows.goals, windows.plans.tolist(), strict=True) if g)
    return TaskChains(training.vocabulary, tasks, table, videos.astype(np.int64), plans)


def modal_plans(training: SequenceSet, length: int) -> dict[str, Int64[ndarray, " length"]]:
    """The most frequent training plan of each task: the row that no planner may fall below."""
    windows = plan_windows(training, length)
    by_task: dict[str, Counter[tuple[int, ...]]] = {}
    for goal, plan in zip(windows.goals, windows.plans.tolist(), strict=True):
        by_task.setdefault(goal, Counter())[tuple(plan)] += 1
    return {goal: np.array(max(sorted(c), key=lambda plan: c[plan])) for goal, c in by_task.items()}


def chain_arrays(chains: TaskChains) -> dict[str, ndarray]:
    """The counts as flat arrays: transitions, videos, and the plans of every length with their counts."""
    found: dict[str, ndarray] = {"counts": chains.counts.astype(np.int32), "videos": chains.videos.astype(np.int32)}
    for length in sorted({len(plan) for plan in chains.plans}):
        rows = [(*plan, count) for plan, count in chains.plans.items() if len(plan) == length]
        found[f"plans{length - 1}"] = np.array(rows, np.int16)
    return found


def chains_from_arrays(vocabulary: Vocabulary, tasks: Sequence[str], arrays: Mapping[str, ndarray]) -> TaskChains:
    """Back from `chain_arrays`."""
    plans: dict[tuple[int, ...], int] = {}
    for name, rows in arrays.items():
        if name.startswith("plans"):
            plans.update({tuple(row[:-1]): row[-1] for row in rows.tolist()})
    return TaskChains(
        vocabulary, tuple(tasks), arrays["counts"].astype(np.int64), arrays["videos"].astype(np.int64), plans
    )


def _spaced(name: str) -> str:
    """`MakeTea` as `Make Tea`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
