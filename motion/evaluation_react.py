"""How good reactions are: every take held out once by the folds, each way of reacting a row, beside the real partner.

Both directions of a take are measured: A is reacted to, then B. Networks of fold K have not learnt from its takes. What
has been measured is kept, case by case, and a long evaluation goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from models.body.model import BodyModel, load_body
from models.data.pairs import FOLDS, Pair, swap
from models.motion import Motion
from motion.generate import GenerateConfig, generate
from motion.metrics import diversity, kid, multimodality
from motion.reaction.baselines import alone_beside, nearest_partner, partners_of
from motion.reaction.measures import measure, summary
from motion.reaction.network import Reactor, digest_of, load_stage
from motion.reaction.pair_encoder import PairEncoder, load_pair_encoder
from motion.reaction.react import ReactConfig, react, seam

TRAINED = ("two-stage", "pretrained", "no-interaction", "one-stage", "joint", "scratch")
ROWS = ("real", *TRAINED, "live", "nearest", "beside")
"""The captured partner; the variants of the network, of which `pretrained` has learnt from synthetic pairs first; the
live one; the partner of the nearest actor of the other folds; the single-person generator, put beside the actor."""
ALWAYS = ("real", "nearest")
"""Rows in which nothing is drawn: one seed says it all."""
VERSION = 1
ERROR = "trajectory error"


@dataclass(frozen=True)
class Case:
    """A take in one direction, with its measures under one seed."""

    take: int
    turned: bool
    seed: int
    measured: dict[str, float]
    work: float
    """Seconds that making it took, for a second of motion."""
    rows: tuple[tuple[float, ...], ...] = ()
    """Embeddings of its windows by the pair encoder of the take's fold."""


@dataclass(frozen=True)
class Row:
    """One way of reacting: its figures over all cases, and over seeds."""

    row: str
    n: int
    seeds: int
    figures: dict[str, tuple[float, float, float]]
    """Mean and 95 % bootstrap interval over cases (each the mean of its seeds)."""
    by_seed: tuple[float, ...]
    """Trajectory error under each seed."""
    work: float
    kid: tuple[float, float] | None = None
    """Against the real pairs, x 1000: mean over folds, and its standard error over them; None without the encoder."""
    diversity: float | None = None
    """Mean distance of two windows of one fold and seed in the pair encoder; good is near the real pairs' value."""
    multimodality: float | None = None
    """Mean distance of two reactions, under different seeds, in one window; None for a single seed."""


@dataclass(frozen=True)
class Asked:
    """What is measured, and where its networks are."""

    folder: Path
    rows: tuple[str, ...] = ROWS
    seeds: int = 5
    config: ReactConfig = ReactConfig()
    seconds: float | None = None
    """Of each take, from its middle; None: whole takes."""
    quick: bool = False
    """One direction of each take alone."""
    folds: tuple[int, ...] = tuple(range(FOLDS))
    """Those whose takes are measured."""

    def __post_init__(self) -> None:
        if unknown := [row for row in self.rows if row not in ROWS]:
            raise LabanError(f"--row {unknown[0]}; accepted: {', '.join(ROWS)}")
        if wrong := [fold for fold in self.folds if not 0 <= fold < FOLDS]:
            raise LabanError(f"--fold {wrong[0]}; accepted: 0 to {FOLDS - 1}")

    def seeds_of(self, row: str) -> int:
        """How often a row is drawn."""
        return 1 if row in ALWAYS else self.seeds


def fold_folder(folder: Path, fold: int, variant: str, seed: int | None = None) -> Path:
    """Where a variant's network of a fold lies; with a seed, that of the way."""
    return folder / f"fold{fold}" / (variant if seed is None else f"way-seed{seed}")


def reactor_for(folder: Path, fold: int, variant: str, seed: int) -> Reactor:
    """The network of a fold; stage one is that of the seed. LabanError says what is not trained."""
    body = _body_at(fold_folder(folder, fold, variant) / "body")
    if body.config.whole:
        return Reactor(body, None, variant)
    return Reactor(body, _way_at(_way_folder(folder, fold, variant, seed)), variant)


_body_at, _way_at = lru_cache(maxsize=FOLDS)(load_stage), lru_cache(maxsize=32)(load_stage)


def _way_folder(folder: Path, fold: int, variant: str, seed: int) -> Path:
    """A variant's own way, else that of the seed, which variants share."""
    own = fold_folder(folder, fold, variant) / "way"
    return own if own.is_dir() else fold_folder(folder, fold, variant, seed) / "way"


def evaluate_react(
    pairs: Sequence[Pair], asked: Asked, *, finished: Callable[[int], None] = lambda cases: None
) -> list[Row]:
    """The rows over all takes; `finished` is told of each case."""
    own = [pair for pair in pairs if pair.fold in asked.folds]
    found = {row: [case for pair in own for case in _cases(row, pair, pairs, asked, finished)] for row in asked.rows}
    folds = {pair.take: pair.fold for pair in own}
    return [replace(row_of(row, cases), kid=_kid(cases, found.get("real"), folds), diversity=_diversity(cases, folds),
                    multimodality=_multimodality(cases)) for row, cases in found.items()]  # fmt: skip


def _kid(cases: Sequence[Case], real: Sequence[Case] | None, folds: Mapping[int, int]) -> tuple[float, float] | None:
    """Kernel inception distance of a row, fold by fold: encoders of different folds have nothing in common."""
    if real is None or not real[0].rows or not cases[0].rows:
        return None
    values = []
    for fold in sorted(set(folds.values())):
        made, true = (np.array([row for case in own if folds[case.take] == fold for row in case.rows])
                      for own in (cases, real))  # fmt: skip
        values.append(kid(made, true)[0])
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), error


def _diversity(cases: Sequence[Case], folds: Mapping[int, int]) -> float | None:
    """Over windows of one fold and seed, averaged; embeddings of different folds have nothing in common."""
    groups = dict[tuple[int, int], list[tuple[float, ...]]]()
    for case in cases:
        groups.setdefault((folds[case.take], case.seed), []).extend(case.rows)
    means = [diversity(np.array(rows)).value for rows in groups.values() if len(rows) > 1]
    return float(np.mean(means)) if means else None


def _multimodality(cases: Sequence[Case]) -> float | None:
    """Over the seeds of a take and direction, window by window, averaged."""
    groups = dict[tuple[int, bool], list[tuple[tuple[float, ...], ...]]]()
    for case in cases:
        groups.setdefault((case.take, case.turned), []).append(case.rows)
    means = [multimodality(np.array(seeds).swapaxes(0, 1)).value for seeds in groups.values()
             if len(seeds) > 1 and seeds[0]]  # fmt: skip
    return float(np.mean(means)) if means else None


def _cases(
    row: str, pair: Pair, pairs: Sequence[Pair], asked: Asked, finished: Callable[[int], None]
) -> list[Case]:  # fmt: skip
    """Both directions of a take under each seed, from the cache where they are there."""
    found = []
    for turned in (False,) if asked.quick else (False, True):
        own = _part(swap(pair) if turned else pair, asked.seconds)
        for seed in range(asked.seeds_of(row)):
            path = asked.folder / "measured" / f"{_key(row, own, turned, seed, asked)}.json"
            if path.is_file():
                found.append(_kept(path))
            else:
                found.append(_measured(row, own, pairs, turned, seed, asked))
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(found[-1].__dict__))
            finished(1)
    return found


def _kept(path: Path) -> Case:
    """A case from the cache."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Case(**{**plain, "rows": tuple(tuple(row) for row in plain["rows"])})


def _part(pair: Pair, seconds: float | None) -> Pair:
    if seconds is None:
        return pair
    frames = min(pair.motion.frames, round(seconds * pair.motion.fps))
    start = (pair.motion.frames - frames) // 2
    return replace(pair, motion=pair.motion.slice(start, start + frames))


def _measured(row: str, pair: Pair, pairs: Sequence[Pair], turned: bool, seed: int, asked: Asked) -> Case:
    others = [swap(one) if turned else one for one in pairs if one.fold != pair.fold]
    body, began = load_body(), time.monotonic()
    made = made_by(row, pair, others, seed, asked, body)
    work = (time.monotonic() - began) / pair.motion.seconds
    encoder = _encoder()
    rows = [] if encoder is None else encoder.embed([made], pair.fold).astype(float).round(5).tolist()
    measured = measure(made, pair.motion)
    if row in TRAINED:
        measured["seam jerk"] = seam(made, reactor_for(asked.folder, pair.fold, row, seed).body)
    return Case(pair.take, turned, seed, measured, work, tuple(map(tuple, rows)))


@lru_cache(maxsize=1)
def _encoder() -> PairEncoder | None:
    try:
        return load_pair_encoder()
    except LabanError:
        return None


def made_by(row: str, pair: Pair, others: Sequence[Pair], seed: int, asked: Asked, body: BodyModel) -> Motion:
    """Both people of a take, the second as a row makes it from the first; `others` may be learnt from."""
    actor = pair.motion.actor(0)
    config = replace(asked.config, seed=seed)
    if row == "real":
        return pair.motion
    if row == "live":
        from motion.reaction.online import LiveConfig, react_online

        checkpoint = fold_folder(asked.folder, pair.fold, "live")
        return react_online(actor, pair.text, checkpoint=checkpoint, config=LiveConfig(seed), body=body)
    if row == "nearest":
        return nearest_partner(actor, partners_of(others, body), body=body)
    if row == "beside":
        return alone_beside(actor, others, pair.text, _alone, seed=seed, body=body)
    reactor = reactor_for(asked.folder, pair.fold, row, seed)
    return react(actor, pair.text, checkpoint=reactor, config=config, body=body)


def _alone(text: str, seconds: float, seed: int) -> Motion:
    """Somebody by the single-person generator."""
    return generate([text], seconds, config=GenerateConfig(seed=seed, candidates=1))[0]


def _key(row: str, pair: Pair, turned: bool, seed: int, asked: Asked) -> str:
    """A case's name in the cache: other weights, settings or takes are measured anew."""
    digests: list[str] = []
    if row in TRAINED:
        folder = fold_folder(asked.folder, pair.fold, row)
        digests = [digest_of(folder / "body")]
        if row not in ("one-stage", "joint"):
            digests.append(digest_of(_way_folder(asked.folder, pair.fold, row, seed)))
    if row == "live":
        digests = [digest_of(fold_folder(asked.folder, pair.fold, "live") / "live")]
    about = [VERSION, row, pair.name, turned, seed, digests, pair.motion.frames, asked.seconds,
             repr(asked.config) if row in TRAINED else ""]  # fmt: skip
    return f"{row}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"


# --------------------------------------------------------------------------------------------------------------- report


def row_of(row: str, cases: Sequence[Case]) -> Row:
    """Figures of one row: intervals over cases, and the trajectory error under each seed."""
    places = sorted({(case.take, case.turned) for case in cases})
    seeds = sorted({case.seed for case in cases})
    means = [_mean([case.measured for case in cases if (case.take, case.turned) == place]) for place in places]
    figures = {name: (one.value, one.low, one.high) for name, one in summary(means).items()}
    by_seed = tuple(float(np.mean([case.measured[ERROR] for case in cases if case.seed == seed])) for seed in seeds)
    return Row(row, len(places), len(seeds), figures, by_seed, float(np.mean([case.work for case in cases])))


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def seed_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) over seeds."""
    from scipy.stats import t

    own: Float[ndarray, " seeds"] = np.asarray(values, np.float64)
    if len(own) < 2:
        return float(own.mean()), math.nan, math.nan
    half = float(t.ppf(0.975, len(own) - 1)) * float(own.std(ddof=1)) / math.sqrt(len(own))
    return float(own.mean()), float(own.mean()) - half, float(own.mean()) + half


def against(rows: Sequence[Row], own: str = "two-stage") -> dict[str, tuple[float, float, float]]:
    """How much smaller the trajectory error of `own` is than those of others, metres: mean and interval over seeds."""
    by_name = {row.row: row for row in rows}
    if own not in by_name:
        return {}
    found = dict[str, tuple[float, float, float]]()
    for name in ("nearest", "one-stage", "joint"):
        if name in by_name:
            other = by_name[name].by_seed
            values = other if len(other) > 1 else other * len(by_name[own].by_seed)
            pairs = zip(values, by_name[own].by_seed, strict=False)
            found[name] = seed_interval([theirs - ours for theirs, ours in pairs])
    return found


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "row": row.row,
        "n": row.n,
        "seeds": row.seeds,
        "mean [95 %]": {name: [round(v, 4) for v in own] for name, own in row.figures.items()},
        "trajectory error over seeds [95 %]": [round(v, 4) for v in seed_interval(row.by_seed)],
        "KID x1000 [standard error over folds]": row.kid,
        "diversity": row.diversity,
        "multimodality": row.multimodality,
        "seconds a second": round(row.work, 3),
    }
