"""Measures of anticipation, each under its true name: class-mean recall@k, mAP by frequency, NLL, KL, modes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray

from laban.errors import LabanError

SURE = (2.5, 97.5)
REPEATS = 1000


@dataclass(frozen=True)
class Figure:
    """A value with the middle 95 % of its bootstrap and what it was computed on."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float]:
        """As plain values."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def mean_over_groups(
    values: Float[ndarray, " samples"], groups: Int64[ndarray, " samples"], *, repeats: int = REPEATS, seed: int = 0
) -> Figure:
    """Mean over samples; the interval draws groups (videos) with replacement, whose samples are not independent."""
    if not len(values):
        raise LabanError("a mean over no samples")
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    total = np.bincount(index, values, count)
    size = np.bincount(index, minlength=count).astype(np.float64)
    weights = _draws(count, repeats, seed)
    drawn = (weights @ total) / np.maximum(weights @ size, 1e-12)
    low, high = np.percentile(drawn, SURE)
    return Figure(float(np.mean(values)), float(low), float(high), len(values))


@lru_cache(maxsize=4)
def _draws(count: int, repeats: int, seed: int) -> Float64[ndarray, "repeats count"]:
    """How often each group is drawn: the same for every row of a table."""
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=repeats)
    return drawn.astype(np.float64)


def top_hits(
    scores: Float[ndarray, "samples classes"], truth: Int64[ndarray, " samples"], k: int
) -> Bool[ndarray, " samples"]:
    """Whether the truth is among the k best classes; ties count against it. A truth below 0 is never right."""
    if not 1 <= k <= scores.shape[1]:
        raise LabanError(f"recall@{k} of {scores.shape[1]} classes; accepted: 1 to {scores.shape[1]}")
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], 1)
    rank = (scores >= own).sum(1)
    return (rank <= k) & (truth >= 0)


def class_mean_recall(
    hits: Bool[ndarray, " samples"], truth: Int64[ndarray, " samples"],
    groups: Int64[ndarray, " samples"] | None = None, *, classes: Collection[int] | None = None,
    repeats: int = REPEATS, seed: int = 0,
) -> Figure:  # fmt: skip
    """Class-mean top-k recall (EPIC-KITCHENS-100's anticipation measure): hits over instances, averaged over classes
    with an instance; `classes` restricts it (the tail). The interval draws groups with replacement and is centred on
    the value: a draw loses rare classes, which are the hardest, and so is better by itself."""
    kept = np.ones(len(truth), bool) if classes is None else np.isin(truth, list(classes))
    if not kept.any():
        raise LabanError("class-mean recall: no instance of any of the classes")
    hits, truth = hits[kept], truth[kept]
    index = np.arange(len(truth)) if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    _, label = np.unique(truth, return_inverse=True)
    count, kinds = int(index.max()) + 1, int(label.max()) + 1
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=repeats)
    drawn = [_recall(hits, label, kinds, weight[index].astype(np.float64)) for weight in weights]
    value = _recall(hits, label, kinds, np.ones(len(hits)))
    low, high = np.percentile(drawn, SURE) - np.mean(drawn) + value
    return Figure(value, float(low), float(high), len(hits))


def _recall(
    hits: Bool[ndarray, " samples"], label: Int64[ndarray, " samples"], kinds: int, weight: Float64[ndarray, " samples"]
) -> float:
    there = np.bincount(label, weight, kinds)
    right = np.bincount(label, weight * hits, kinds)
    return float((right[there > 0] / there[there > 0]).mean())


def average_precision(scores: Float[ndarray, " samples"], positive: Bool[ndarray, " samples"]) -> float:
    """Mean precision at the positives, best score first (ties in the order given); NaN without positives."""
    if not positive.any():
        return float("nan")
    right = positive[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].mean())


def multilabel_map(
    scores: Float[ndarray, "samples classes"], positive: Bool[ndarray, "samples classes"],
    frequency: Int64[ndarray, " classes"], frequent: int,
) -> dict[str, float]:  # fmt: skip
    """mAP over the classes with a positive: `all`, `frequent` (more than `frequent` training samples) and `rare`.

    EGO-TOPO (Nagarajan et al. 2020): which classes a video will still show after 25, 50 and 75 % of it.
    """
    each = np.array([average_precision(scores[:, i], positive[:, i]) for i in range(scores.shape[1])])
    there, often = ~np.isnan(each), frequency > frequent
    parts = {"all": there, "frequent": there & often, "rare": there & ~often}
    return {name: float(each[chosen].mean()) if chosen.any() else float("nan") for name, chosen in parts.items()}


@dataclass(frozen=True)
class PlanSpread:
    """How a planner's samples spread beside the true plans of the same start, goal and length.

    `nll` of the true plans in nats, `kl` of the true from the planned distribution, and shares of modes: how many
    planned plans are true ones (`precision`) and how many true ones are planned (`recall`).
    """

    nll: float
    kl: float
    precision: float
    recall: float


def plan_spread(
    truth: Int64[ndarray, "plans length"], drawn: Int64[ndarray, "samples length"], *, smoothing: float = 1.0,
    plans: float | None = None,
) -> PlanSpread:  # fmt: skip
    """NLL, KL, mode precision and recall for one start and goal (P3IV, Zhao et al. 2022, who draw 1,500 samples).

    The planned distribution is the samples' with `smoothing` counts shared by all `plans` possible plans (by default as
    many as were seen on either side), so that a true plan that was never drawn has a finite cost.
    """
    true, true_counts = np.unique(truth, axis=0, return_counts=True)
    made, made_counts = np.unique(drawn, axis=0, return_counts=True)
    count = {tuple(plan): int(number) for plan, number in zip(made.tolist(), made_counts, strict=True)}
    known = {tuple(plan) for plan in true.tolist()}
    possible = plans if plans is not None else float(len(known | set(count)))
    of_true = np.array([count.get(tuple(plan), 0) for plan in true.tolist()], np.float64)
    q = (of_true + smoothing / possible) / (len(drawn) + smoothing)
    p = true_counts / len(truth)
    nll = float(-(p * np.log(q)).sum())
    shared = len(known & set(count))
    return PlanSpread(nll, nll + float((p * np.log(p)).sum()), shared / len(count), shared / len(known))
