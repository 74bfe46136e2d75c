"""The best way through a chain in log space: hard (one or the k best) and soft; for planners and for segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from laban.errors import LabanError

NEVER = -1e9
"""Log-probability of what cannot happen."""


@dataclass(frozen=True)
class Path:
    """States of a chain, one a step, and the log-score of the whole."""

    states: Int64[ndarray, " steps"]
    score: float


def best_path(
    emissions: Float[ndarray, "steps states"], transitions: Float[ndarray, "states states"],
    start: Float[ndarray, " states"] | None = None,
) -> Path:  # fmt: skip
    """The likeliest states: the largest sum of log emissions, of log transitions (from row to column) and `start`.

    LabanError when no state is possible at some step.
    """
    return best_paths(emissions, transitions, start, count=1)[0]


def best_paths(
    emissions: Float[ndarray, "steps states"], transitions: Float[ndarray, "states states"],
    start: Float[ndarray, " states"] | None = None, *, count: int,
) -> tuple[Path, ...]:  # fmt: skip
    """The `count` likeliest ways, best first (fewer where there are not so many): list Viterbi.

    Ties go to the lower number of the earlier state.
    """
    steps, states = emissions.shape
    if transitions.shape != (states, states) or (start is not None and start.shape != (states,)):
        raise LabanError(f"Viterbi: transitions {transitions.shape} for {states} states")
    score = np.full((states, count), -np.inf)
    score[:, 0] = emissions[0] + (0.0 if start is None else start)
    backs = []
    for step in range(1, steps):
        # candidates: (from, rank) x to
        through = score[:, :, None] + transitions[:, None, :]
        flat = through.reshape(states * count, states)
        order = np.argsort(-flat, axis=0, kind="stable")[:count]
        backs.append(order)
        score = np.take_along_axis(flat, order, 0).T + emissions[step][:, None]
    return _traced(score, backs, count)


def _traced(score: Float[ndarray, "states count"], backs: list[Int64[ndarray, "count states"]],
            count: int) -> tuple[Path, ...]:  # fmt: skip
    found = []
    for flat in np.argsort(-score.ravel(), kind="stable")[:count].tolist():
        value = float(score.ravel()[flat])
        if value <= NEVER / 2:
            break
        state, rank = divmod(flat, count)
        way = [state]
        for back in reversed(backs):
            state, rank = divmod(int(back[rank, state]), count)
            way.append(state)
        found.append(Path(np.array(way[::-1], np.int64), value))
    if not found:
        raise LabanError("Viterbi: no way through the chain is possible (contradictory start, goal or transitions)")
    return tuple(found)


def best_batch(
    emissions: Float[ndarray, "batch steps states"], transitions: Float[ndarray, "batch states states"]
) -> Int64[ndarray, "batch steps"]:
    """The likeliest states of many chains at once; what cannot be is `NEVER`. Ties go to the lower number."""
    score, backs = emissions[:, 0], []
    for step in range(1, emissions.shape[1]):
        through = score[:, :, None] + transitions
        backs.append(through.argmax(1))
        score = through.max(1) + emissions[:, step]
    way = [score.argmax(1)]
    for back in reversed(backs):
        way.append(np.take_along_axis(back, way[-1][:, None], 1)[:, 0])
    return np.stack(way[::-1], 1).astype(np.int64)


def posterior(
    emissions: Float[ndarray, "steps states"], transitions: Float[ndarray, "states states"],
    start: Float[ndarray, " states"] | None = None,
) -> Float[ndarray, "steps states"]:  # fmt: skip
    """The soft form: how probable each state is at each step, given everything (forward-backward); rows sum to 1."""
    steps, states = emissions.shape
    forward, backward = np.empty((steps, states)), np.zeros((steps, states))
    forward[0] = emissions[0] + (0.0 if start is None else start)
    for step in range(1, steps):
        forward[step] = _log_sum(forward[step - 1][:, None] + transitions, 0) + emissions[step]
    for step in range(steps - 2, -1, -1):
        backward[step] = _log_sum(transitions + (emissions[step + 1] + backward[step + 1])[None], 1)
    both = forward + backward
    both = np.exp(both - both.max(1, keepdims=True))
    return both / both.sum(1, keepdims=True)


def left_to_right(states: int, stay: float = 0.5) -> Float[ndarray, "states states"]:
    """Log transitions of a chain that stays or goes on by one: segmentation into known stages in order."""
    if not 0 < stay < 1:
        raise LabanError(f"stay is {stay:g}; accepted: between 0 and 1")
    found = np.full((states, states), NEVER)
    np.fill_diagonal(found, np.log(stay))
    found[np.arange(states - 1), np.arange(1, states)] = np.log(1 - stay)
    return found


def _log_sum(values: Float[ndarray, "rows columns"], axis: int) -> Float[ndarray, " _"]:
    top = values.max(axis)
    return top + np.log(np.exp(values - np.expand_dims(top, axis)).sum(axis))
