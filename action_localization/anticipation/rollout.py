"""What every predictor of the next action offers, and what is made of it: mixtures, samples, the K futures to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from action_localization.anticipation.distances import pair_distances
from action_localization.anticipation.refine import refined
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError


@runtime_checkable
class Rollout(Protocol):
    """Several copies of one history, each going on in its own way."""

    def next(self) -> Float[ndarray, "copies actions"]:
        """How probable each action is to come next; rows sum to 1."""

    def take(self, chosen: Int64[ndarray, " copies"]) -> None:
        """Say what came."""


@runtime_checkable
class Predictor(Protocol):
    """Anything that says what comes next."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The actions by number."""

    def start(self, history: Int64[ndarray, " past"], copies: int = 1) -> Rollout:
        """Begin after a history of known actions, which may be empty."""


@runtime_checkable
class AllAtOnce(Protocol):
    """A predictor that sees a whole sequence in one pass, and never ahead."""

    def along(self, actions: Int64[ndarray, " length"]) -> Float[ndarray, "length actions"]:
        """The same as step by step."""


@dataclass(frozen=True)
class Mixture:
    """Several predictors over one vocabulary; `weights` are chosen on held-out training videos."""

    parts: tuple[Predictor, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.weights) or not self.parts or abs(sum(self.weights) - 1) > 1e-6:
            raise LabanError(f"a mixture of {len(self.parts)} predictors with weights {self.weights}; they sum to 1")
        if any(part.vocabulary.names != self.parts[0].vocabulary.names for part in self.parts):
            raise LabanError("a mixture of predictors over different vocabularies")

    @property
    def vocabulary(self) -> Vocabulary:
        """The one of all parts."""
        return self.parts[0].vocabulary

    def start(self, history: Int64[ndarray, " past"], copies: int = 1) -> Rollout:
        """All parts, begun."""
        return _Mixed([part.start(history, copies) for part in self.parts], self.weights)


class _Mixed:
    def __init__(self, parts: list[Rollout], weights: Sequence[float]) -> None:
        self.parts, self.weights = parts, weights

    def next(self) -> Float[ndarray, "copies actions"]:
        """The weighted mean of the parts."""
        found = self.weights[0] * self.parts[0].next()
        for weight, part in zip(self.weights[1:], self.parts[1:], strict=True):
            found = found + weight * part.next()
        return found

    def take(self, chosen: Int64[ndarray, " copies"]) -> None:
        """Tell every part."""
        for part in self.parts:
            part.take(chosen)


def next_probabilities(predictor: Predictor, history: Int64[ndarray, " past"]) -> Float[ndarray, " actions"]:
    """How probable each action is after a history."""
    return predictor.start(history).next()[0]


def probabilities_along(predictor: Predictor, actions: Int64[ndarray, " length"]) -> Float[ndarray, "length actions"]:
    """How probable each action was before each one of a sequence came, given those before it."""
    if isinstance(predictor, Mixture):
        parts = [w * probabilities_along(p, actions) for p, w in zip(predictor.parts, predictor.weights, strict=True)]
        return np.asarray(np.sum(parts, 0, dtype=np.float32))
    if isinstance(predictor, AllAtOnce):
        return predictor.along(actions)
    rollout = predictor.start(np.zeros(0, np.int64))
    found = np.empty((len(actions), len(predictor.vocabulary)), np.float32)
    for place, action in enumerate(actions):
        found[place] = rollout.next()[0]
        if action >= 0:
            rollout.take(np.array([action]))
    return found


BLOCK = 64
"""Actions whose probabilities are first summed, to find where a draw falls."""


def drawn(
    probabilities: Float[ndarray, "copies actions"], temperature: Float32[ndarray, " copies"],
    rng: np.random.Generator,
) -> Int64[ndarray, " copies"]:  # fmt: skip
    """One action for each copy, by its probabilities to the power 1 / temperature."""
    powered = np.array(probabilities.T, np.float32, order="C")
    if (temperature != 1).any():
        np.maximum(powered, 1e-30, out=powered)
        np.log(powered, out=powered)
        powered /= temperature
        np.exp(powered, out=powered)
    actions, copies = powered.shape
    whole = actions // BLOCK * BLOCK
    sums = powered[:whole].reshape(-1, BLOCK, copies).sum(1)
    totals = np.concatenate([sums, powered[whole:].sum(0)[None]]).cumsum(0, np.float64)
    at = rng.random(copies) * totals[-1]
    block = np.minimum((totals <= at).sum(0), len(totals) - 1)
    before = np.where(block > 0, totals[block - 1, np.arange(copies)], 0)
    rows = np.minimum(block * BLOCK + np.arange(BLOCK)[:, None], actions - 1)
    inside = powered[rows, np.arange(copies)].cumsum(0, np.float64) + before
    return np.minimum(block * BLOCK + (inside <= at).sum(0), actions - 1)


def sample_futures(
    predictor: Predictor, history: Int64[ndarray, " past"], count: int, length: int, *,
    rng: np.random.Generator, temperature: float | Float32[ndarray, " count"] = 1.0,
) -> Int64[ndarray, "count length"]:  # fmt: skip
    """`count` futures drawn action by action, each at its temperature."""
    rollout = predictor.start(history, count)
    each = np.broadcast_to(np.asarray(temperature, np.float32), count)
    found = np.empty((count, length), np.int64)
    for step in range(length):
        found[:, step] = drawn(rollout.next(), each, rng)
        if step + 1 < length:
            rollout.take(found[:, step])
    return found


@dataclass(frozen=True)
class Search:
    """How K futures are chosen: `samples` possible worlds drawn at `temperature`, and candidates drawn at `sharp`; then
    up to `changes` actions of each future are replaced. `levels` weigh verbs, nouns and actions."""

    samples: int = 48
    temperature: float = 1.0
    sharp: float = 0.7
    candidates: int = 24
    changes: int = 0
    levels: tuple[float, ...] = (1.0, 1.0, 1.0)


def choose_futures(
    predictor: Predictor, history: Int64[ndarray, " past"], *, count: int, length: int,
    rng: np.random.Generator, search: Search | None = None,
) -> Int64[ndarray, "count length"]:  # fmt: skip
    """K futures of which one should be near what comes, the most useful first.

    Sampled futures stand for what may happen; from these, sharper samples and what the past suggests (repeated,
    copied), those are taken greedily whose nearest one is close to every sampled future: the expected ED@Z of verbs,
    nouns and actions, minimised for the measure's own best-of-K.
    """
    search = search or Search()
    temperature = np.repeat(np.array([search.temperature, search.sharp], np.float32),
                            [search.samples, search.candidates])  # fmt: skip
    both = sample_futures(predictor, history, len(temperature), length, rng=rng, temperature=temperature)
    worlds = both[: search.samples]
    candidates = np.concatenate([both, *(f[None] for f in trivial_futures(history, length))])
    candidates = np.unique(candidates, axis=0)
    costs = expected_costs(candidates, worlds, predictor.vocabulary) * np.array(search.levels)[:, None, None]
    chosen = candidates[spread_choice(costs, count)]
    if not search.changes:
        return chosen
    return refined(chosen, worlds, predictor.vocabulary, changes=search.changes, weights=search.levels)


def trivial_futures(history: Int64[ndarray, " past"], length: int) -> list[Int64[ndarray, " _"]]:
    """The past copied in a circle, backwards too, and its last action repeated; nothing for an empty past."""
    if not len(history):
        return []
    return [np.resize(history, length), np.resize(history[::-1], length), np.repeat(history[-1], length)]


def expected_costs(
    candidates: Int64[ndarray, "candidates length"], worlds: Int64[ndarray, "worlds length"], vocabulary: Vocabulary
) -> Float64[ndarray, "levels candidates worlds"]:
    """ED of every candidate in every world, of verbs, nouns and actions."""
    found = []
    for table in (np.array(vocabulary.verb_of), np.array(vocabulary.noun_of), None):
        ours, theirs = (candidates, worlds) if table is None else (table[candidates], table[worlds])
        found.append(pair_distances(ours, theirs) / ours.shape[1])
    return np.stack(found)


def spread_choice(costs: Float64[ndarray, "levels candidates worlds"], count: int) -> Int64[ndarray, " count"]:
    """Greedily the candidates whose best one costs least on average over worlds, levels by themselves."""
    best = np.full((costs.shape[0], costs.shape[2]), np.inf)
    chosen: list[int] = []
    for _ in range(count):
        total = np.minimum(costs, best[:, None]).mean((0, 2))
        total[chosen] += 1e-6  # a candidate twice only when there are too few
        chosen.append(int(total.argmin()))
        best = np.minimum(best, costs[:, chosen[-1]])
    return np.array(chosen, np.int64)
