"""Matching in order of precedence, for all videos, classes and thresholds at once.

A greedy walk, in which each proposer in turn takes the best partner that is still free, has exactly one stable result,
because every partner would rather have the earlier proposer. Deferred acceptance (Gale and Shapley 1962) reaches the
same result in rounds in which all proposers act at once, and a handful of rounds is enough in practice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from action_localization.evaluation.instances import hull_overlap, overlap

PAIRS_AT_ONCE = 1 << 18
"""Pairs whose overlap is computed in one go: the columns stay in the processor's cache."""


@dataclass(frozen=True)
class Intervals:
    """Intervals with the group (video and class) in which alone they can match; group -1 matches nothing."""

    group: Int64[ndarray, " n"]
    start: Float64[ndarray, " n"]
    end: Float64[ndarray, " n"]


@dataclass(frozen=True)
class Pairs:
    """Proposer i, partner j and their overlap, in order of i, for each i in order of preference."""

    proposer: Int64[ndarray, " pairs"]
    partner: Int64[ndarray, " pairs"]
    overlap: Float64[ndarray, " pairs"]

    def keep(self, chosen: Bool[ndarray, " pairs"]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.proposer[chosen], self.partner[chosen], self.overlap[chosen])

    def renamed(self, name: Int64[ndarray, " proposers"]) -> Pairs:
        """The same with proposer i called `name[i]`, in order of the new names."""
        proposer = name[self.proposer]
        order = np.argsort(proposer, kind="stable")
        return Pairs(proposer[order], self.partner[order], self.overlap[order])


def overlapping(
    proposers: Intervals, partners: Intervals, least: float, *, later_first: bool = True, hull: bool = False
) -> Pairs:
    """All pairs of one group that overlap by `least` (above 0) or more, each proposer's best first.

    Of partners that overlap equally the later one is preferred, as the ActivityNet evaluator has it (it reverses an
    ascending sort), or the earlier one. `hull` chooses `hull_overlap`.
    """
    measure = hull_overlap if hull else overlap
    order, low, high = _candidates(proposers, partners)
    some = np.flatnonzero(high > low)
    low, high = low[some], high[some]
    ends = np.cumsum(high - low)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    begin = 0
    while begin < len(ends):
        before = int(ends[begin - 1]) if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
        size = high[begin:stop] - low[begin:stop]
        which = np.repeat(some[begin:stop], size)
        partner = order[np.repeat(high[begin:stop] - ends[begin:stop], size) + np.arange(before, ends[stop - 1])]
        value = measure(proposers.start[which], proposers.end[which], partners.start[partner], partners.end[partner])
        kept = (value >= least) & (proposers.group[which] == partners.group[partner])
        found.append((which[kept], partner[kept], value[kept]))
        begin = stop
    proposer, partner, value = (np.concatenate(column) for column in zip(*found, strict=True))
    return _by_preference(Pairs(proposer, partner, value), later_first)


def _by_preference(pairs: Pairs, later_first: bool) -> Pairs:
    """The same pairs, still in order of proposer, each proposer's in order of preference."""
    equal = pairs.proposer[1:] == pairs.proposer[:-1]
    shared = np.zeros(len(pairs.proposer), bool)
    shared[1:] |= equal
    shared[:-1] |= equal
    choice = np.flatnonzero(shared)
    proposer, partner, value = pairs.proposer[choice], pairs.partner[choice], pairs.overlap[choice]
    order = np.lexsort((-partner if later_first else partner, -value, proposer))
    pairs.partner[choice], pairs.overlap[choice] = partner[order], value[order]
    return pairs


def _candidates(
    proposers: Intervals, partners: Intervals
) -> tuple[Int64[ndarray, " partners"], Int64[ndarray, " n"], Int64[ndarray, " n"]]:
    """An order of partners, and half-open ranges in it that hold all that a proposer can overlap, and few others.

    Time lines of the groups are laid end to end; the running maximum of ends makes them searchable. A proposer of no
    length gets every partner of its group, because 0/0 with another of no length counts as a match.
    """
    times = (side for one in (proposers, partners) for side in (one.start, one.end) if len(side))
    span = 2 + 2 * max((max(float(side.max()), -float(side.min())) for side in times), default=0.0)
    slack = 1e-12 * span * (2 + float(partners.group.max(initial=0)))
    order = np.argsort(partners.start + span * partners.group)
    base = span * partners.group[order]
    mine = span * proposers.group
    reach = np.maximum.accumulate(base + partners.end[order]) if len(order) else base
    low = np.searchsorted(reach, mine + (proposers.start - slack))
    high = np.searchsorted(base + partners.start[order], mine + (proposers.end + slack), side="right")
    empty = np.flatnonzero(proposers.start >= proposers.end)
    if len(empty):
        low[empty], high[empty] = (np.searchsorted(base, mine[empty], side=side) for side in ("left", "right"))
    high[proposers.group < 0] = 0
    return order, low, high


def assign(pairs: Sequence[Pairs], partners: int) -> Int64[ndarray, "problems partners"]:
    """Which proposer each partner ends with (-1: none) when proposers take the best free partner in turn, 0 first.

    Each element of `pairs` is a problem of its own over the same proposers and partners (one threshold each).
    """
    sizes = [len(one.proposer) for one in pairs]
    problem = np.repeat(np.arange(len(pairs)), sizes)
    proposer = np.concatenate([one.proposer for one in pairs])
    partner = np.concatenate([one.partner for one in pairs]) + problem * partners
    change = np.empty(len(proposer), bool)
    change[:1] = True
    change[1:] = (proposer[1:] != proposer[:-1]) | (problem[1:] != problem[:-1])
    next_pair = np.flatnonzero(change)
    names, last_pair = proposer[next_pair], np.append(next_pair[1:], len(proposer))
    nobody = len(names)
    holder = np.full(len(pairs) * partners, nobody, np.int64)
    active = np.arange(nobody)
    while len(active):
        target = partner[next_pair[active]]
        before = holder[target]
        np.minimum.at(holder, target, active)
        won = holder[target] == active
        active = np.concatenate([active[~won], before[won & (before < nobody)]])
        next_pair[active] += 1
        active = active[next_pair[active] < last_pair[active]]
    return np.append(names, -1)[holder].reshape(len(pairs), partners)
