"""K futures made better one action at a time: the change that lowers their expected best-of-K distance most, again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int64
from numpy import ndarray

from action_localization.anticipation.vocabulary import Vocabulary

MOST_ACTIONS = 96
"""Actions that are tried at each place: the commonest of the sampled futures."""


def refined(
    futures: Int64[ndarray, "count length"], worlds: Int64[ndarray, "worlds length"], vocabulary: Vocabulary, *,
    changes: int, weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> Int64[ndarray, "count length"]:  # fmt: skip
    """At most `changes` actions replaced in each future, each time the one at the place and by the action that lowers
    the mean over worlds of the smallest edit distance most (verbs, nouns and actions weighted); stops where none does.

    Median strings by coordinate descent: minimum Bayes risk for ED@Z, as far as `worlds` are what may happen.
    """
    tables = [np.array(vocabulary.verb_of), np.array(vocabulary.noun_of), np.arange(len(vocabulary))]
    seen, count = np.unique(worlds, return_counts=True)
    tried = np.unique(np.concatenate([seen[np.argsort(-count, kind="stable")[:MOST_ACTIONS]], futures.ravel()]))
    levels = [_Level(table, worlds, tried, weight) for table, weight in zip(tables, weights, strict=True)]
    found = futures.copy()
    own = np.stack([[level.distance(future) for level in levels] for future in found])  # count, levels, worlds
    for number in range(len(found)):
        for _ in range(changes):
            others = np.delete(own, number, 0)
            rivals = others.min(0) if len(others) else np.full(own.shape[1:], np.inf, np.float32)
            now = sum(level.weight * np.minimum(own[number, i], rivals[i]).mean() for i, level in enumerate(levels))
            total = np.sum([level.replaced(found[number], rivals[i]) for i, level in enumerate(levels)], 0)
            place, which = divmod(int(total.argmin()), total.shape[1])
            if total[place, which] > now - 1e-4:
                break
            found[number, place] = tried[which]
            own[number] = [level.distance(found[number]) for level in levels]
    return found


class _Level:
    """Worlds as verbs, nouns or actions, with small numbers; `tried` actions likewise."""

    def __init__(self, table: Int64[ndarray, " actions"], worlds: Int64[ndarray, "worlds length"],
                 tried: Int64[ndarray, " tried"], weight: float) -> None:  # fmt: skip
        self.table, self.weight = table, weight
        self.kinds, small = np.unique(table[np.concatenate([worlds.ravel(), tried])], return_inverse=True)
        self.worlds: Int64[ndarray, "length worlds"] = small[: worlds.size].reshape(worlds.shape).T
        self.tried = small[worlds.size :]

    def _number(self, future: Int64[ndarray, " length"]) -> Int64[ndarray, " length"]:
        return np.searchsorted(self.kinds, self.table[future])

    def distance(self, future: Int64[ndarray, " length"]) -> Float32[ndarray, " worlds"]:
        """Edit distance over length from every world."""
        length = len(future)
        return prefix_table(self._number(future), self.worlds)[length, length].astype(np.float32) / length

    def replaced(
        self, future: Int64[ndarray, " length"], rivals: Float32[ndarray, " worlds"]
    ) -> Float64[ndarray, "length tried"]:
        """Weighted mean over worlds of the smaller of a rival's distance and the future's with one action replaced."""
        length, many = self.worlds.shape
        own = self._number(future)
        ahead = prefix_table(own, self.worlds)
        behind = prefix_table(own[::-1], self.worlds[::-1])[::-1, ::-1]
        through = ahead[:-1, :-1] + behind[1:, 1:]  # length, length, worlds: one item over one item
        other = np.minimum(through.min(1), (ahead[:-1] + behind[1:]).min(1)) + 1
        cost = np.repeat(other[:, None], len(self.kinds), 1)
        rows = np.arange(length)[:, None]
        for place in range(length):
            at = rows, self.worlds[place][None], np.arange(many)[None]
            cost[at] = np.minimum(cost[at], through[:, place])
        best = np.minimum(cost.astype(np.float32) / length, rivals).mean(2)
        return (self.weight * best)[:, self.tried].astype(np.float64)


def prefix_table(
    own: Int64[ndarray, " length"], worlds: Int64[ndarray, "length worlds"]
) -> Int16[ndarray, "rows columns worlds"]:
    """Edit distance of every beginning of one sequence from every beginning of each world."""
    length, many = worlds.shape
    columns = np.arange(length + 1, dtype=np.int16)[:, None]
    found = np.empty((len(own) + 1, length + 1, many), np.int16)
    found[0] = columns
    for i, symbol in enumerate(own):
        step = found[i + 1]
        step[0] = i + 1
        np.minimum(found[i, 1:] + np.int16(1), found[i, :-1] + (worlds != symbol), out=step[1:])
        step -= columns
        np.minimum.accumulate(step, axis=0, out=step)
        step += columns
    return found
