"""How good reactions are: every take held out once by the folds, each way of reacting a row, beside the real partner.

Both directions of a take are measured: A is reacted to, then B. Networks of fold K have not learnt from its takes. What
has been measured is kept, case by case, and a long evaluation goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from motion.reaction.measures import measure, summary
from motion.reaction.network import Reactor, digest_of, load_stage
from motion.reaction.react import ReactConfig, react

TRAINED = ("two-stage", "no-interaction", "one-stage", "joint", "scratch")
ROWS = ("real", *TRAINED, "live", "nearest", "beside")
"""The captured partner; the variants of the network; the live one; the partner of the nearest actor among those of the
other folds; the single-person generator, put beside the actor."""
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

    def __post_init__(self) -> None:
        if unknown := [row for row in self.rows if row not in ROWS]:
            raise LabanError(f"--row {unknown[0]}; accepted: {', '.join(ROWS)}")


def fold_folder(folder: Path, fold: int, variant: str, seed: int | None = None) -> Path:
    """Where a variant's network of a fold lies; with a seed, that of the way."""
    return folder / f"fold{fold}" / (variant if seed is None else f"way-seed{seed}")


def reactor_for(folder: Path, fold: int, variant: str, seed: int) -> Reactor:
    """The network of a fold; stage one is that of the seed. LabanError says what is not trained."""
    body = load_stage(fold_folder(folder, fold, variant) / "body")
    if body.config.whole:
        return Reactor(body, None, variant)
    return Reactor(body, load_stage(fold_folder(folder, fold, variant, seed) / "way"), variant)


def evaluate_react(
    pairs: Sequence[Pair], asked: Asked, *, finished: Callable[[int], None] = lambda cases: None
) -> list[Row]:
    """The rows over all takes; `finished` is told of each case."""
    rows = []
    for row in asked.rows:
        cases = [case for pair in pairs for case in _cases(row, pair, pairs, asked, finished)]
        rows.append(row_of(row, cases))
    return rows


def _cases(
    row: str, pair: Pair, pairs: Sequence[Pair], asked: Asked, finished: Callable[[int], None]
) -> list[Case]:  # fmt: skip
    """Both directions of a take under each seed, from the cache where they are there."""
    seeds = 1 if row in ALWAYS else asked.seeds
    found = []
    for turned in (False,) if asked.quick else (False, True):
        own = _part(swap(pair) if turned else pair, asked.seconds)
        for seed in range(seeds):
            path = asked.folder / "measured" / f"{_key(row, own, turned, seed, asked)}.json"
            if path.is_file():
                found.append(Case(**json.loads(path.read_text(encoding="utf-8"))))
            else:
                found.append(_measured(row, own, pairs, turned, seed, asked))
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(found[-1].__dict__))
            finished(1)
    return found


def _part(pair: Pair, seconds: float | None) -> Pair:
    from dataclasses import replace

    if seconds is None:
        return pair
    frames = min(pair.motion.frames, round(seconds * pair.motion.fps))
    start = (pair.motion.frames - frames) // 2
    return replace(pair, motion=pair.motion.slice(start, start + frames))


def _measured(row: str, pair: Pair, pairs: Sequence[Pair], turned: bool, seed: int, asked: Asked) -> Case:
    body, began = load_body(), time.monotonic()
    made = made_by(row, pair, pairs, seed, asked, body)
    work = (time.monotonic() - began) / pair.motion.seconds
    return Case(pair.take, turned, seed, measure(made, pair.motion), work)


def made_by(row: str, pair: Pair, pairs: Sequence[Pair], seed: int, asked: Asked, body: BodyModel) -> Motion:
    """Both people of a take, the second as a row makes it from the first."""
    from dataclasses import replace

    actor = pair.motion.actor(0)
    config = replace(asked.config, seed=seed)
    if row == "real":
        return pair.motion
    if row == "live":
        from motion.reaction.online import LiveConfig, react_online

        checkpoint = fold_folder(asked.folder, pair.fold, "live")
        return react_online(actor, pair.text, checkpoint=checkpoint, config=LiveConfig(seed), body=body)
    if row in ("nearest", "beside"):
        from motion.reaction.baselines import beside, nearest_partner

        if row == "beside":
            return beside(actor, pair.text, seed)
        return nearest_partner(actor, [one for one in pairs if one.fold != pair.fold])
    return react(actor, pair.text, checkpoint=reactor_for(asked.folder, pair.fold, row, seed), config=config, body=body)


def _key(row: str, pair: Pair, turned: bool, seed: int, asked: Asked) -> str:
    """A case's name in the cache: other weights, settings or takes are measured anew."""
    digests: list[str] = []
    if row in TRAINED:
        folder = fold_folder(asked.folder, pair.fold, row)
        digests = [digest_of(folder / "body")]
        way = fold_folder(asked.folder, pair.fold, row, seed) / "way"
        digests += [digest_of(way)] if way.is_dir() and row not in ("one-stage", "joint") else []
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
    """How much smaller the trajectory error of `own` is than that of other rows, metres: mean and interval over seeds."""
    by_name = {row.row: row for row in rows}
    if own not in by_name:
        return {}
    found = {}
    for name in ("nearest", "one-stage", "joint"):
        if name in by_name:
            other = by_name[name].by_seed
            values = other if len(other) > 1 else other * len(by_name[own].by_seed)
            pairs = zip(values, by_name[own].by_seed, strict=False)
            found[name] = seed_interval([theirs - ours for theirs, ours in pairs])
    return found


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {"row": row.row, "n": row.n, "seeds": row.seeds,
            "mean [95 %]": {name: [round(v, 4) for v in own] for name, own in row.figures.items()},
            "trajectory error over seeds [95 %]": [round(v, 4) for v in seed_interval(row.by_seed)],
            "seconds a second": round(row.work, 3), "folds": FOLDS}  # fmt: skip
