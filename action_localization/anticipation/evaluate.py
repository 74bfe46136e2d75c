"""Protocols of anticipation with their trivial rows: ED@Z over windows of videos, class-mean recall of the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray

from action_localization.anticipation.distances import (
    LEVELS,
    aued_fixed,
    aued_naive,
    ed_at_z,
    hypothesis_distances,
)
from action_localization.anticipation.measures import Figure, class_mean_recall, mean_over_groups, top_hits
from action_localization.anticipation.rollout import (
    Predictor,
    Search,
    choose_futures,
    probabilities_along,
    sample_futures,
)
from action_localization.anticipation.sequences import SequenceSet
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError
from laban.progress import Advance

Futures = Callable[[Int64[ndarray, " observed"], np.random.Generator], Int64[ndarray, "count length"]]
"""(observed actions, random numbers) -> K hypotheses."""


@dataclass(frozen=True)
class Windows:
    """Observed and following actions of many stretches, and the video each is of."""

    observed: Int64[ndarray, "windows observed"]
    future: Int64[ndarray, "windows future"]
    video: Int64[ndarray, " windows"]

    def __len__(self) -> int:
        return len(self.video)

    def every(self, step: int) -> Windows:
        """Each `step`-th window."""
        return Windows(self.observed[::step], self.future[::step], self.video[::step])


@dataclass(frozen=True)
class LongTerm:
    """Ego4D's long-term protocol on any set: `observed` true actions, `future` to foresee by `count` hypotheses, a
    window every `stride` actions of each video."""

    observed: int = 8
    future: int = 20
    count: int = 5
    stride: int = 10

    def windows(self, sequences: SequenceSet) -> Windows:
        """The windows of a set; LabanError where no video is long enough."""
        long = self.observed + self.future
        rows, videos = [], []
        for number, one in enumerate(sequences.sequences):
            for first in range(0, len(one.actions) - long + 1, self.stride):
                rows.append(one.array[first : first + long])
                videos.append(number)
        if not rows:
            raise LabanError(f"{sequences.name}: no sequence has {long} actions; accepted: fewer of them")
        table = np.stack(rows)
        return Windows(table[:, : self.observed], table[:, self.observed :], np.array(videos))


@dataclass(frozen=True)
class Row:
    """One predictor's figures by name, each with its interval."""

    name: str
    figures: Mapping[str, Figure]
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """Rows by one protocol; `about` says what was counted."""

    protocol: str
    about: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    def table(self) -> str:
        """Markdown: value [95 % interval]."""
        heads = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        lines = [f"{self.protocol}: {self.about}", "| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
        for row in self.rows:
            cells = (_cell(row.figures.get(name)) for name in heads)
            lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        rows = {r.name: {**{k: f.to_json() for k, f in r.figures.items()}, "seconds": r.seconds} for r in self.rows}
        return {"protocol": self.protocol, "about": self.about, "rows": rows, "notes": list(self.notes)}


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def with_label_noise(
    observed: Int64[ndarray, "windows observed"], share: float, training: SequenceSet, seed: int = 0
) -> Int64[ndarray, "windows observed"]:
    """A recogniser that errs: a `share` of observed actions becomes one drawn by how common it is in training.

    Blind to what was there, so harsher than a real confusion matrix, whose mistakes are near misses.
    """
    if not 0 <= share <= 1:
        raise LabanError(f"label noise {share:g}; accepted: 0 to 1")
    rng = np.random.default_rng(seed)
    pool = np.concatenate([one.array for one in training.sequences])
    pool = pool[pool >= 0]
    return np.where(rng.random(observed.shape) < share, rng.choice(pool, observed.shape), observed)


def long_term_row(
    name: str, futures: Futures, windows: Windows, vocabulary: Vocabulary, *, seed: int = 0,
    advance: Advance | None = None,
) -> Row:  # fmt: skip
    """ED@Z and both AUEDs of verbs, nouns and actions; intervals over videos."""
    import time

    begun, rng = time.perf_counter(), np.random.default_rng(seed)
    found = []
    for observed in windows.observed:
        found.append(futures(observed[observed >= 0], rng))
        if advance is not None:
            advance(1)
    spent = time.perf_counter() - begun
    table = np.stack(found)
    figures: dict[str, Figure] = {}
    by_level = {level: hypothesis_distances(*at_level(windows.future, table, level, vocabulary)) for level in LEVELS}
    length = windows.future.shape[1]
    named = {f"ED@{length}": ed_at_z} | ({"AUED": aued_fixed, "AUED naive": aued_naive} if length > 1 else {})
    for measure, compute in named.items():
        for level, distances in by_level.items():
            figures[f"{measure} {level}"] = mean_over_groups(compute(distances), windows.video, seed=seed)
    return Row(name, figures, spent)


def at_level(
    truth: Int64[ndarray, "windows length"], found: Int64[ndarray, "windows count length"], level: str,
    vocabulary: Vocabulary,
) -> tuple[Int64[ndarray, "windows length"], Int64[ndarray, "windows count length"]]:  # fmt: skip
    """Truth and hypotheses as numbers of verbs, nouns or actions; unknown truths stay unknown."""
    if level == "action":
        return truth, found
    table = np.array(vocabulary.verb_of if level == "verb" else vocabulary.noun_of)
    return np.where(truth >= 0, table[np.maximum(truth, 0)], -1), table[found]


def trivial_rows(training: SequenceSet, protocol: LongTerm) -> dict[str, Futures]:
    """What needs no order: the K most frequent actions all the way, the last one repeated, the past copied round."""
    pool = np.concatenate([one.array for one in training.sequences])
    common = np.argsort(-np.bincount(pool[pool >= 0], minlength=len(training.vocabulary)), kind="stable")
    count, length = protocol.count, protocol.future

    def constant(observed: Int64[ndarray, " observed"], rng: np.random.Generator) -> Int64[ndarray, "count length"]:
        return np.repeat(common[np.arange(count) % len(common)][:, None], length, 1)

    def repeated(observed: Int64[ndarray, " observed"], rng: np.random.Generator) -> Int64[ndarray, "count length"]:
        return np.full((count, length), observed[-1] if len(observed) else common[0])

    def copied(observed: Int64[ndarray, " observed"], rng: np.random.Generator) -> Int64[ndarray, "count length"]:
        return np.tile(np.resize(observed if len(observed) else common[:1], length), (count, 1))

    return {f"{count} most frequent": constant, "last repeated": repeated, "past copied": copied}


def sampling(predictor: Predictor, protocol: LongTerm, temperature: float = 1.0) -> Futures:
    """K plain samples."""
    return lambda observed, rng: sample_futures(
        predictor, observed, protocol.count, protocol.future, rng=rng, temperature=temperature
    )


def choosing(predictor: Predictor, protocol: LongTerm, search: Search | None = None) -> Futures:
    """K futures chosen for the best of K."""
    return lambda observed, rng: choose_futures(
        predictor, observed, count=protocol.count, length=protocol.future, rng=rng, search=search
    )


@dataclass(frozen=True)
class NextActions:
    """What a predictor gave every action of a set before it came, with all true actions before it as its past."""

    probabilities: Float[ndarray, "actions classes"]
    truth: Int64[ndarray, " actions"]
    video: Int64[ndarray, " actions"]


def next_actions(predictor: Predictor, sequences: SequenceSet, advance: Advance | None = None) -> NextActions:
    """Every action foreseen from the true ones before it (the first of a video from none)."""
    rows: list[ndarray] = []
    truth: list[int] = []
    video: list[int] = []
    for number, one in enumerate(sequences.sequences):
        rows.append(probabilities_along(predictor, one.array))
        truth += one.actions
        video += [number] * len(one.actions)
        if advance is not None:
            advance(1)
    return NextActions(np.concatenate(rows), np.array(truth), np.array(video))


def balanced(
    probabilities: Float[ndarray, "actions classes"], common: Float[ndarray, " classes"], strength: float
) -> Float[ndarray, "actions classes"]:
    """Probabilities over how common a class is to the power `strength`: a measure that counts classes alike asks for it
    (logit adjustment, Menon et al. 2021)."""
    return probabilities / (common.astype(np.float32) ** strength)


def next_row(
    name: str, found: NextActions, *, scores: Float[ndarray, "actions classes"] | None = None,
    unseen: Bool[ndarray, " actions"] | None = None, tail: Sequence[int] | None = None, k: int = 5, seed: int = 0,
) -> Row:  # fmt: skip
    """Top-1 and top-k accuracy, class-mean recall@k (also of `unseen` kitchens and of `tail` classes), NLL in nats."""
    ranked = found.probabilities if scores is None else scores
    k = min(k, ranked.shape[1])
    hits = top_hits(ranked, found.truth, k)
    known = found.truth >= 0
    own = np.take_along_axis(found.probabilities, np.maximum(found.truth, 0)[:, None], 1)[known, 0]
    figures = {
        "top-1": mean_over_groups(top_hits(ranked, found.truth, 1).astype(np.float64), found.video, seed=seed),
        f"top-{k}": mean_over_groups(hits.astype(np.float64), found.video, seed=seed),
        f"class-mean recall@{k}": class_mean_recall(hits, found.truth, found.video, repeats=200, seed=seed),
    }
    if unseen is not None and unseen.any():
        figures[f"unseen recall@{k}"] = class_mean_recall(hits[unseen], found.truth[unseen], found.video[unseen],
                                                          repeats=200, seed=seed)  # fmt: skip
    if tail is not None and np.isin(found.truth, tail).any():
        figures[f"tail recall@{k}"] = class_mean_recall(hits, found.truth, found.video, classes=set(tail), repeats=200,
                                                        seed=seed)  # fmt: skip
    if scores is None:
        nll = -np.log(np.maximum(own.astype(np.float64), 1e-12))
        figures["NLL"] = mean_over_groups(nll, found.video[known], seed=seed)
    return Row(name, figures)


def best_balance(found: NextActions, common: Float64[ndarray, " classes"], k: int = 5) -> float:
    """The strength of `balanced` that is best on held-out training videos, to a tenth."""

    def recall(strength: float) -> float:
        hits = top_hits(balanced(found.probabilities, common, strength), found.truth, min(k, len(common)))
        return class_mean_recall(hits, found.truth, found.video, repeats=2).value

    return max((round(0.1 * i, 1) for i in range(11)), key=recall)
