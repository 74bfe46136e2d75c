"""The prior: an interpolated n-gram with a recency cache of actions and of objects; no network, learnt in a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from action_localization.anticipation.rollout import Rollout
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError

Context = tuple[int, ...]
Row = tuple[Int64[ndarray, " _"], Float64[ndarray, " _"]]
"""Actions that followed a context, and how often."""

START = -2
"""Stands in a context for what was before the first action."""

_ARRAYS = ("contexts", "sizes", "actions", "counts")
COMPONENTS = ("n-gram", "repeated actions", "repeated objects")
ORDERS = (2, 3, 4)
HALF_LIVES = (2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True)
class PriorSettings:
    """`order` of the n-gram; actions and objects count half after `half_life` and `object_half_life` further actions;
    `weights` of `COMPONENTS` sum to 1. All are chosen on held-out training videos (`fit_prior`)."""

    order: int = 4
    half_life: float = 8.0
    object_half_life: float = 8.0
    weights: tuple[float, ...] = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Prior:
    """Counts of what followed what. `tables[n]` are contexts of n actions; `verbs` counts the verbs done with a noun
    after a verb, for objects that come back."""

    vocabulary: Vocabulary
    tables: tuple[Mapping[Context, Row], ...]
    settings: PriorSettings = field(default_factory=PriorSettings)

    def start(self, history: Int64[ndarray, " length"], copies: int = 1) -> Rollout:
        """Begin after a history; one of unknown actions (negative numbers) is as if they had not been."""
        return PriorRollout(self, history, copies)

    @cached_property
    def base(self) -> Float64[ndarray, " actions"]:
        """The n-gram without any context: how common actions are, no one impossible."""
        size = len(self.vocabulary)
        ids, counts = self.tables[0].get((), (np.zeros(0, np.int64), np.zeros(0)))
        found = np.full(size, max(len(ids), 1) / size)
        found[ids] += counts
        return found / found.sum()

    @cached_property
    def noun_of(self) -> Int64[ndarray, " actions"]:
        """The noun's number of each action."""
        return np.array(self.vocabulary.noun_of, np.int64)

    @cached_property
    def of_noun(self) -> Float64[ndarray, " actions"]:
        """How common an action is among those with its noun."""
        total = np.bincount(self.noun_of, self.base, len(self.vocabulary.nouns))
        return self.base / total[self.noun_of]

    @cached_property
    def small_base(self) -> Float32[ndarray, " actions"]:
        """`base` in single precision."""
        return self.base.astype(np.float32)

    @cached_property
    def _sparse(self) -> dict[Context, tuple[float, ndarray, ndarray]]:
        return {}

    def sparse_ngram(self, context: Context) -> tuple[float, Int64[ndarray, " _"], Float32[ndarray, " _"]]:
        """`ngram` as (share of `base`, actions, what is added to each); remembered by context."""
        if (found := self._sparse.get(context)) is None:
            share, added = 1.0, np.zeros(0)
            ids = np.zeros(0, np.int64)
            for length in range(1, self.settings.order):
                row = self.tables[length].get(context[len(context) - length :]) if length <= len(context) else None
                if row is None:
                    break
                kinds, total = len(row[0]), row[1].sum()
                more = np.union1d(ids, row[0])
                values = np.zeros(len(more))
                values[np.searchsorted(more, ids)] += added * (kinds / (total + kinds))
                values[np.searchsorted(more, row[0])] += row[1] / (total + kinds)
                share, ids, added = share * kinds / (total + kinds), more, values
            found = self._sparse[context] = (share, ids, added.astype(np.float32))
        return found

    def ngram(self, context: Sequence[int]) -> Float64[ndarray, " actions"]:
        """Witten-Bell: p = (c + T p') / (N + T), where T kinds of actions followed N times and p' is of the shorter
        context (Bell, Cleary & Witten 1990)."""
        found = self.base
        for length in range(1, self.settings.order):
            if length > len(context):
                break
            row = self.tables[length].get(tuple(context[len(context) - length :]))
            if row is None:
                break
            ids, counts = row
            total = counts.sum()
            found = found * (len(ids) / (total + len(ids)))
            found[ids] += counts / (total + len(ids))
        return found

    def transitions(self) -> Float64[ndarray, "actions actions"]:
        """The transition graph: how probable each action (column) is right after each (row); rows sum to 1."""
        return np.stack([self.ngram((action,)) for action in range(len(self.vocabulary))])


class PriorRollout:
    """The prior going on from a history, in several copies."""

    def __init__(self, prior: Prior, history: Int64[ndarray, " length"], copies: int) -> None:
        self.prior, settings = prior, prior.settings
        known = [int(action) for action in history if action >= 0]
        context = [START] * max(0, settings.order - 1 - len(known)) + known
        self.contexts = [context[len(context) - settings.order + 1 :] if settings.order > 1 else []] * copies
        self.decay = 0.5 ** (1 / settings.half_life), 0.5 ** (1 / settings.object_half_life)
        actions = np.zeros(len(prior.vocabulary), np.float32)
        objects = np.zeros(len(prior.vocabulary.nouns), np.float32)
        self.of_noun = prior.of_noun.astype(np.float32)
        for action in known:
            self._note(actions, objects, action)
        self.actions, self.objects = np.tile(actions, (copies, 1)), np.tile(objects, (copies, 1))
        self.same = True

    def _note(self, actions: ndarray, objects: ndarray, action: int) -> None:
        actions *= self.decay[0]
        objects *= self.decay[1]
        actions[action] += 1
        objects[self.prior.noun_of[action]] += 1

    def components(self, copy: int) -> Float64[ndarray, "components actions"]:
        """What each of `COMPONENTS` says; without a past the n-gram speaks for all."""
        ngram = self.prior.ngram(self.contexts[copy])
        if not self.actions[copy].any():
            return np.stack([ngram] * len(COMPONENTS))
        objects = self.objects[copy] / self.objects[copy].sum()
        again = objects[self.prior.noun_of] * self.prior.of_noun
        return np.stack([ngram, self.actions[copy] / self.actions[copy].sum(), again])

    def components_of(self, action: int) -> Float64[ndarray, " components"]:
        """What each of `COMPONENTS` gives one action in the first copy: the same as `components`, without the rest."""
        prior, context = self.prior, self.contexts[0]
        ngram = float(prior.base[action])
        for length in range(1, prior.settings.order):
            row = prior.tables[length].get(tuple(context[len(context) - length :]))
            if row is None:
                break
            total, kinds = float(row[1].sum()), len(row[0])
            ngram = (ngram * kinds + float(row[1][row[0] == action].sum())) / (total + kinds)
        if not self.actions[0].any():
            return np.full(len(COMPONENTS), ngram)
        noun = prior.noun_of[action]
        again = self.objects[0, noun] / self.objects[0].sum() * prior.of_noun[action]
        return np.array([ngram, self.actions[0, action] / self.actions[0].sum(), again], np.float64)

    def next(self) -> Float[ndarray, "copies actions"]:
        """The weighted mean of the components, computed with actions in rows."""
        copies = 1 if self.same else len(self.contexts)
        contexts = [tuple(context) for context in self.contexts[:copies]]
        rows = [self.prior.sparse_ngram(context) for context in contexts]
        first, second, third = self.prior.settings.weights if self.actions[0].any() else (1.0, 0.0, 0.0)
        scale = np.array([first * row[0] for row in rows], np.float32)
        found = self.prior.small_base[:, None] * scale
        where = np.repeat(np.arange(copies), [len(row[1]) for row in rows])
        found[np.concatenate([row[1] for row in rows]), where] += first * np.concatenate([row[2] for row in rows])
        if second or third:
            objects = self.objects[:copies].T * (third / self.objects[:copies].sum(1))
            found += objects[self.prior.noun_of] * self.of_noun[:, None]
            seen = np.flatnonzero(self.actions[:copies].any(0))
            found[seen] += self.actions[:copies, seen].T * (second / self.actions[:copies].sum(1))
        return np.repeat(found, len(self.contexts), 1).T if self.same else found.T

    def take(self, chosen: Int64[ndarray, " copies"]) -> None:
        """Each copy's context and memory move on by one."""
        self.same = self.same and bool((chosen == chosen[0]).all())
        keep = self.prior.settings.order - 1
        self.contexts = [
            [*context, int(action)][-keep:] if keep else []
            for context, action in zip(self.contexts, chosen, strict=True)
        ]
        self.actions *= self.decay[0]
        self.objects *= self.decay[1]
        rows = np.arange(len(chosen))
        self.actions[rows, chosen] += 1
        self.objects[rows, self.prior.noun_of[chosen]] += 1


def learn_prior(
    vocabulary: Vocabulary, sequences: Iterable[Int64[ndarray, " _"]], settings: PriorSettings | None = None
) -> Prior:
    """Count what followed what; negative numbers (unknown actions) part a sequence and are never foreseen."""
    settings = settings or PriorSettings()
    counts: list[dict[Context, dict[int, int]]] = [{} for _ in range(settings.order)]
    for sequence in sequences:
        padded = [START] * (settings.order - 1) + [int(action) for action in sequence]
        for place in range(settings.order - 1, len(padded)):
            action = padded[place]
            if action < 0:
                continue
            for length in range(settings.order):
                context = tuple(padded[place - length : place])
                if -1 in context:
                    break
                after = counts[length].setdefault(context, {})
                after[action] = after.get(action, 0) + 1
    if not counts[0]:
        raise LabanError("a prior needs at least one sequence with a known action")
    return Prior(vocabulary, tuple(_rows(table) for table in counts), settings)


def _rows(table: Mapping[Context, Mapping[int, int]]) -> dict[Context, Row]:
    return {
        context: (np.array(list(after), np.int64), np.array(list(after.values()), np.float64))
        for context, after in table.items()
    }


def fit_prior(
    vocabulary: Vocabulary, training: Sequence[Int64[ndarray, " _"]], held_out: Sequence[Int64[ndarray, " _"]]
) -> PriorSettings:
    """The settings under which held-out training videos are likeliest: order and half-lives tried, weights by
    expectation maximisation. Never give it an evaluation set."""
    best, found = -np.inf, PriorSettings()
    memory = {half: _component_truth(vocabulary, training, held_out, 2, half) for half in HALF_LIVES}
    for order in ORDERS:
        ngram = _component_truth(vocabulary, training, held_out, order, HALF_LIVES[0])[:, 0]
        for half in HALF_LIVES:
            for objects in HALF_LIVES:
                table = np.stack([ngram, memory[half][:, 1], memory[objects][:, 2]], 1)
                weights, likelihood = mixture_weights(table)
                if likelihood > best:
                    settings = PriorSettings(order, half, objects, tuple(weights.tolist()))
                    best, found = likelihood, settings
    return found


def _component_truth(
    vocabulary: Vocabulary, training: Sequence[Int64[ndarray, " _"]], held_out: Sequence[Int64[ndarray, " _"]],
    order: int, half_life: float,
) -> Float64[ndarray, "actions components"]:  # fmt: skip
    """What each component gave every action of the held-out videos before it came."""
    settings = replace(PriorSettings(), order=order, half_life=half_life, object_half_life=half_life)
    prior = learn_prior(vocabulary, training, settings)
    found = []
    for sequence in held_out:
        rollout = PriorRollout(prior, np.zeros(0, np.int64), 1)
        for action in sequence[sequence >= 0]:
            found.append(rollout.components_of(int(action)))
            rollout.take(np.array([action]))
    return np.array(found).reshape(-1, len(COMPONENTS))


def mixture_weights(
    table: Float[ndarray, "actions parts"], rounds: int = 60
) -> tuple[Float64[ndarray, " parts"], float]:
    """(weights of a mixture, mean log-likelihood in nats) by expectation maximisation, from what each part gave."""
    if not len(table):
        raise LabanError("weights of a mixture need at least one held-out action")
    weights = np.full(table.shape[1], 1 / table.shape[1])
    for _ in range(rounds):
        share = weights * table
        weights = (share / np.maximum(share.sum(1, keepdims=True), 1e-300)).mean(0)
    return weights / weights.sum(), float(np.log(np.maximum(table @ weights, 1e-300)).mean())


def prior_arrays(prior: Prior) -> dict[str, ndarray]:
    """The counts as flat arrays: contexts, where each one's followers begin, followers and their counts."""
    found: dict[str, ndarray] = {}
    for length, table in enumerate(prior.tables):
        contexts = np.array(list(table), np.int64).reshape(len(table), length)
        sizes = np.array([len(ids) for ids, _ in table.values()], np.int64)
        found[f"contexts{length}"] = contexts.astype(np.int16)
        found[f"sizes{length}"] = sizes.astype(np.int16)
        found[f"actions{length}"] = np.concatenate([ids for ids, _ in table.values()]).astype(np.int16)
        found[f"counts{length}"] = np.concatenate([c for _, c in table.values()]).astype(np.int32)
    return found


def prior_from_arrays(vocabulary: Vocabulary, arrays: Mapping[str, ndarray], settings: PriorSettings) -> Prior:
    """Back from `prior_arrays`."""
    tables = []
    for length in range(settings.order):
        try:
            contexts, sizes, actions, counts = (arrays[f"{n}{length}"] for n in _ARRAYS)
        except KeyError as error:
            raise LabanError(f"prior: array {error} is missing; the settings say order {settings.order}") from None
        ends = np.cumsum(sizes.astype(np.int64))
        rows = zip(np.split(actions.astype(np.int64), ends[:-1]), np.split(counts.astype(np.float64), ends[:-1]),
                   strict=True)  # fmt: skip
        tables.append(dict(zip(map(tuple, contexts.astype(np.int64).tolist()), rows, strict=True)))
    return Prior(vocabulary, tuple(tables), settings)


def settings_json(settings: PriorSettings) -> dict[str, object]:
    """As a checkpoint's configuration keeps them."""
    return asdict(settings)
