"""Towards a goal: a predictor whose next actions are those that a task's steps or the goal's words make likelier."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray

from action_localization.anticipation.anticipator import Anticipator
from action_localization.anticipation.rollout import Predictor, Rollout
from action_localization.anticipation.vocabulary import Vocabulary, plain, stem
from laban.errors import LabanError

WORD = 12.0
"""How much likelier a word of the goal makes an action that has it."""
OUTSIDE = 1e-3
"""What is left of an action that is no step of the goal's task."""
_SMALL = frozenset({"a", "an", "the", "some", "of", "to", "in", "on", "with", "and", "make", "do", "my", "his", "her"})


@dataclass(frozen=True)
class Steered:
    """Another predictor's probabilities times a factor for each action, as shares of one."""

    part: Predictor
    factor: Float32[ndarray, " actions"]

    @property
    def vocabulary(self) -> Vocabulary:
        """The part's."""
        return self.part.vocabulary

    def start(self, history: Int64[ndarray, " past"], copies: int = 1) -> Rollout:
        """The part, begun."""
        return _SteeredRollout(self.part.start(history, copies), self.factor)


class _SteeredRollout:
    def __init__(self, part: Rollout, factor: Float32[ndarray, " actions"]) -> None:
        self.part, self.factor = part, factor

    def next(self) -> Float[ndarray, "copies actions"]:
        """The product, summing to 1."""
        found = self.part.next() * self.factor
        return found / found.sum(1, keepdims=True)

    def take(self, chosen: Int64[ndarray, " copies"]) -> None:
        """Tell the part."""
        self.part.take(chosen)


def steered(anticipator: Anticipator, goal: str) -> Predictor:
    """What comes next on the way to a goal; without one, the anticipator's own predictor.

    A goal that names a task makes the steps of that task likely and all others unlikely. Any other goal speaks by its
    words: actions that have them become likelier. LabanError, with the nearest, for a goal of which no word is known.
    """
    return Steered(anticipator.predictor, goal_factor(anticipator, goal)) if plain(goal) else anticipator.predictor


def goal_factor(anticipator: Anticipator, goal: str) -> Float32[ndarray, " actions"]:
    """How much likelier a goal makes each action."""
    if (task := task_of(anticipator, goal)) is not None:
        chains = anticipator.chains
        assert chains is not None
        factor = np.full(len(anticipator.vocabulary), OUTSIDE, np.float32)
        factor[chains.steps[task]] = 1.0
        return factor
    vocabulary = anticipator.vocabulary
    asked = {stem(word) for word in plain(goal).split() if word not in _SMALL}
    verb = _alike(vocabulary.verbs, vocabulary.verb_words, asked)
    noun = _alike(vocabulary.nouns, vocabulary.noun_words, asked)
    hits = verb[np.array(vocabulary.verb_of)].astype(int) + noun[np.array(vocabulary.noun_of)]
    if not hits.any():
        known = [*(anticipator.chains.tasks if anticipator.chains else ()), *vocabulary.nouns, *vocabulary.verbs]
        near = get_close_matches(plain(goal), [plain(name) for name in known if name], n=3, cutoff=0.0)
        raise LabanError(f"goal {goal!r}: no word of it is known; nearest: {', '.join(map(repr, near))}")
    return (WORD**hits).astype(np.float32)


def task_of(anticipator: Anticipator, goal: str) -> int | None:
    """The number of the task that a goal names, by its words in any order; None where it names none."""
    if anticipator.chains is None:
        return None
    if goal in anticipator.chains.tasks:
        return anticipator.chains.tasks.index(goal)
    asked = _stems(goal)
    same = (number for number, task in enumerate(anticipator.chains.tasks) if _stems(task) == asked)
    return next(same, None) if asked else None


def _stems(name: str) -> set[str]:
    """The stems of a task's name: `MakeTea` is `make the tea`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {stem(word) for word in plain(spaced).split() if word not in ("a", "an", "the", "some")}


def _alike(names: tuple[str, ...], words: Mapping[str, str], asked: set[str]) -> Bool[ndarray, " names"]:
    """Which classes have a word of the goal in their name or among their synonyms."""
    found = {name for name in names if asked & {stem(word) for word in plain(name).split()}}
    found |= {name for word, name in words.items() if stem(plain(word)) in asked}
    return np.array([name in found for name in names])
