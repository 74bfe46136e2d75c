"""Edit distances of many pairs of equally long action sequences at once, at every length: ED@Z and AUED."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from numpy import ndarray

from laban.errors import LabanError

Level = Literal["verb", "noun", "action"]
LEVELS: tuple[Level, ...] = ("verb", "noun", "action")


def prefix_distances(
    a: Shaped[ndarray, "pairs length"], b: Shaped[ndarray, "pairs length"]
) -> Int64[ndarray, "pairs length"]:
    """Levenshtein distance of the first z items of every pair, for z = 1 .. length.

    One table gives all of them: they are its diagonal. A row is computed for all pairs and columns at once, what comes
    from the left by a running minimum (d[i, j] - j never needs more than its own row's smallest so far).
    """
    if a.shape != b.shape or a.shape[-1] == 0:
        raise LabanError(f"edit distance of sequences of shapes {a.shape} and {b.shape}; accepted: equal, not empty")
    pairs, length = a.shape
    columns = np.arange(length + 1, dtype=np.int16)
    row = np.broadcast_to(columns, (pairs, length + 1)).copy()
    found = np.empty((pairs, length), np.int64)
    for i in range(length):
        step = np.empty_like(row)
        step[:, 0] = i + 1
        step[:, 1:] = np.minimum(row[:, 1:] + 1, row[:, :-1] + (b != a[:, i : i + 1]))
        row = np.minimum.accumulate(step - columns, axis=1) + columns
        found[:, i] = row[:, i + 1]
    return found


WORD = 64


def pair_distances(
    a: Shaped[ndarray, "first length"], b: Shaped[ndarray, "second length"]
) -> Int64[ndarray, "first second"]:
    """Levenshtein distance of every sequence of `a` from every one of `b`.

    A column of the table is two words of bits, for all pairs at once (Myers, JACM 1999, in Hyyrö's form for whole
    strings); sequences of more than 64 items go by `prefix_distances`.
    """
    length = a.shape[1]
    if length > WORD or b.shape[1] != length:
        pairs = np.repeat(a, len(b), 0), np.tile(b, (len(a), 1))
        return prefix_distances(*pairs)[:, -1].reshape(len(a), len(b))
    bit = np.uint64(1) << np.arange(length, dtype=np.uint64)
    one, last = np.uint64(1), bit[-1]
    kinds, number = np.unique(np.concatenate([a.ravel(), b.ravel()]), return_inverse=True)
    where = np.zeros((len(a), len(kinds)), np.uint64)
    np.bitwise_or.at(where, (np.arange(len(a))[:, None], number[: a.size].reshape(a.shape)), bit)
    symbols = number[a.size :].reshape(b.shape)
    up = np.full((len(a), len(b)), ~np.uint64(0))
    down = np.zeros_like(up)
    found = np.full((len(a), len(b)), length, np.int64)
    for column in range(length):
        same = where[:, symbols[:, column]]
        vertical = same | down
        across = (((same & up) + up) ^ up) | same
        more, less = down | ~(across | up), up & across
        found += (more & last) != 0
        found -= (less & last) != 0
        more, less = (more << one) | one, less << one
        up, down = less | ~(vertical | more), more & vertical
    return found


def hypothesis_distances(
    truth: Int64[ndarray, "samples length"], hypotheses: Int64[ndarray, "samples hypotheses length"]
) -> Float64[ndarray, "samples hypotheses length"]:
    """Edit distance over length of every hypothesis, at every length 1 .. Z (the last is what ED@Z takes)."""
    samples, many, length = hypotheses.shape
    repeated = np.repeat(truth, many, axis=0)
    found = prefix_distances(hypotheses.reshape(-1, length), repeated)
    return found.reshape(samples, many, length) / np.arange(1, length + 1)


def ed_at_z(distances: Float64[ndarray, "samples hypotheses length"]) -> Float64[ndarray, " samples"]:
    """ED@Z of every sample: the best of the hypotheses (Ego4D, Grauman et al. 2022). Plain Levenshtein: the official
    docstring says Damerau-Levenshtein, its call does not."""
    return distances[:, :, -1].min(1)


def aued_fixed(distances: Float64[ndarray, "samples hypotheses length"]) -> Float64[ndarray, " samples"]:
    """Area under ED@z for z = 1 .. Z over Z - 1 (trapezoids) of the one hypothesis that is best by that area."""
    return _area(distances).min(1)


def aued_naive(distances: Float64[ndarray, "samples hypotheses length"]) -> Float64[ndarray, " samples"]:
    """The same with another best hypothesis at every z, as the official code computes it: never larger."""
    return _area(distances.min(1))


def _area(values: Float64[ndarray, "*batch length"]) -> Float64[ndarray, "*batch"]:
    if values.shape[-1] < 2:
        raise LabanError("AUED needs at least two future actions")
    return np.trapezoid(values, axis=-1) / (values.shape[-1] - 1)
