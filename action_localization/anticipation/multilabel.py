"""What a video will still show: multi-label futures after 25, 50 and 75 % of it (EGO-TOPO), and how plans spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from action_localization.anticipation.chains import TaskChains, learn_chains, plan_windows
from action_localization.anticipation.distances import Level
from action_localization.anticipation.evaluate import Report, Row
from action_localization.anticipation.measures import Figure, mean_over_groups, multilabel_map, plan_spread
from action_localization.anticipation.rollout import Predictor, sample_futures
from action_localization.anticipation.sequences import SequenceSet
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError
from laban.progress import Advance

SHARES = (0.25, 0.5, 0.75)
WORLDS = 32
LONGEST = 40
"""Actions of a sampled future at most."""
REPEATS = 200
DRAWS = 1500
"""Plans drawn for each start and goal (P3IV's number)."""


@dataclass(frozen=True)
class Still:
    """At one observed share: whether each class is still to come in each video, and the pasts."""

    pasts: tuple[Int64[ndarray, " _"], ...]
    positive: Bool[ndarray, "videos classes"]


def classes_of(vocabulary: Vocabulary, level: Level) -> Int64[ndarray, " actions"]:
    """The class of each action: its verb, its noun, or itself."""
    if level == "action":
        return np.arange(len(vocabulary))
    return np.array(vocabulary.verb_of if level == "verb" else vocabulary.noun_of)


def still_to_come(evaluation: SequenceSet, share: float, level: Level) -> Still:
    """The actions begun in the first share of a video's duration are seen; those after it are to come."""
    table = classes_of(evaluation.vocabulary, level)
    pasts, positive = [], []
    for one in evaluation.sequences:
        cut = share * one.timeline.duration
        seen = np.array([s.start < cut for s in one.timeline.segments], bool)
        known = one.array >= 0
        later = np.zeros(int(table.max()) + 1, bool)
        later[table[one.array[~seen & known]]] = True
        if later.any():
            pasts.append(one.array[seen & known])
            positive.append(later)
    if not pasts:
        raise LabanError(f"{evaluation.name}: no video has an action after {share:.0%} of it")
    return Still(tuple(pasts), np.stack(positive))


def foreseen_classes(
    predictor: Predictor, past: Int64[ndarray, " past"], table: Int64[ndarray, " actions"], length: int,
    rng: np.random.Generator,
) -> Float64[ndarray, " classes"]:  # fmt: skip
    """In what share of sampled futures of `length` actions each class comes."""
    worlds = table[sample_futures(predictor, past, WORLDS, length, rng=rng)]
    found = np.zeros((WORLDS, int(table.max()) + 1))
    found[np.arange(WORLDS)[:, None], worlds] = 1
    return found.mean(0)


def multilabel_report(
    training: SequenceSet, evaluation: SequenceSet, predictors: dict[str, Predictor], *, level: Level = "verb",
    frequent: int = 100, seed: int = 0, advance: Advance | None = None,
) -> Report:  # fmt: skip
    """mAP of all, frequent and rare classes (more than `frequent` training instances or not), averaged over `SHARES`;
    rows: how common a class is, whether it was seen, and each predictor. Intervals over videos."""
    table = classes_of(training.vocabulary, level)
    pool = np.concatenate([one.array for one in training.sequences])
    common = np.bincount(table[pool[pool >= 0]], minlength=int(table.max()) + 1)
    typical = float(np.median([len(one.actions) for one in training.sequences]))
    stills = {share: still_to_come(evaluation, share, level) for share in SHARES}
    scores: dict[str, dict[float, Float64[ndarray, "videos classes"]]] = defaultdict(dict)
    for share, still in stills.items():
        length = int(np.clip(round((1 - share) * typical), 1, LONGEST))
        scores["most frequent"][share] = np.tile(common / common.sum(), (len(still.pasts), 1))
        seen = np.stack([np.bincount(table[past], minlength=len(common)) > 0 for past in still.pasts])
        scores["seen before"][share] = seen + common / common.sum()
        for name, predictor in predictors.items():
            rng = np.random.default_rng(seed)
            found = []
            for past in still.pasts:
                found.append(foreseen_classes(predictor, past, table, length, rng) + 1e-3 * common / common.sum())
                if advance is not None:
                    advance(1)
            scores[name][share] = np.stack(found)
    rows = tuple(Row(name, _maps(stills, each, common, frequent, seed)) for name, each in scores.items())
    about = (
        f"after 25, 50 and 75 % of {len(evaluation.sequences)} videos, which of {len(common)} {level} classes are "
        f"still to come; frequent: more than {frequent} training instances; 95 % intervals over videos"
    )
    return Report(f"multi-label future of {evaluation.name}", about, rows)


def _maps(stills: dict[float, Still], scores: dict[float, Float64[ndarray, "videos classes"]],
          common: Int64[ndarray, " classes"], frequent: int, seed: int) -> dict[str, Figure]:  # fmt: skip
    rng = np.random.default_rng(seed)

    def means(draw: bool) -> dict[str, float]:
        parts: dict[str, list[float]] = defaultdict(list)
        for share, still in stills.items():
            many = len(still.pasts)
            chosen = rng.integers(many, size=many) if draw else np.arange(many)
            found = multilabel_map(scores[share][chosen], still.positive[chosen], common, frequent)
            for name, value in found.items():
                parts[name].append(value)
        return {name: float(np.mean(values)) for name, values in parts.items()}

    value, drawn = means(False), [means(True) for _ in range(REPEATS)]
    count = sum(len(still.pasts) for still in stills.values())
    figures = {}
    for name, middle in value.items():
        if np.isfinite(middle):
            low, high = np.nanpercentile([one[name] for one in drawn], (2.5, 97.5))
            figures[f"mAP {name}"] = Figure(middle, float(low), float(high), count)
    return figures


def spread_report(training: SequenceSet, evaluation: SequenceSet, steps: int, *, seed: int = 0) -> Report:
    """NLL, KL, mode precision and recall of plans between true ends (P3IV, Zhao et al. 2022), by task and by ends
    alone, from `DRAWS` samples of the training plans' distribution."""
    if not training.goals:
        raise LabanError(f"{training.name}: has no tasks; accepted for plans: COIN, CrossTask, NIV and their like")
    chains = learn_chains(training)
    windows = plan_windows(evaluation, steps)
    groups: dict[tuple[int, int, str], list[int]] = defaultdict(list)
    for row, (plan, goal) in enumerate(zip(windows.plans, windows.goals, strict=True)):
        groups[int(plan[0]), int(plan[-1]), goal].append(row)
    rows = []
    for name, with_task in (("ends alone", False), ("task and ends", True)):
        values: dict[str, list[float]] = defaultdict(list)
        unknown = 0
        for number, ((first, last, goal), members) in enumerate(groups.items()):
            task = training.goals.index(goal) if with_task and goal in training.goals else None
            try:
                drawn = _drawn(chains, (first, last, steps), task, np.random.default_rng((seed, number)))
            except LabanError:
                unknown += 1
                drawn = np.repeat(np.full((1, steps), first), DRAWS, 0)
            spread = plan_spread(windows.plans[members], drawn)
            for measure in ("nll", "kl", "precision", "recall"):
                values[measure].append(getattr(spread, measure))
        each = np.arange(len(groups))
        titles = {"nll": "NLL", "kl": "KL", "precision": "mode precision", "recall": "mode recall"}
        figures = {titles[m]: mean_over_groups(np.array(v), each, seed=seed) for m, v in values.items()}
        rows.append(Row(f"{name} ({unknown} unknown)", figures))
    about = (f"{steps} steps, protocol A: {len(windows)} windows, {len(groups)} different starts and goals, {DRAWS} "
             "draws of each; 95 % intervals over these")  # fmt: skip
    return Report(f"spread of plans on {evaluation.name}", about, tuple(rows))


def _drawn(chains: TaskChains, asked: Sequence[int], task: int | None,
           rng: np.random.Generator) -> Int64[ndarray, "draws length"]:  # fmt: skip
    plans = chains.ranked(asked[0], asked[1], asked[2], task)
    shares = np.array([max(plan.share, 1e-9) for plan in plans])
    return np.stack([plan.steps for plan in plans])[rng.choice(len(plans), DRAWS, p=shares / shares.sum())]
