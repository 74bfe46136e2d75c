"""Whole reports of anticipation: trivial rows, the plain n-gram, prior and network, under true and noisy pasts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from action_localization.anticipation.anticipator import Anticipator, learn_anticipator
from action_localization.anticipation.evaluate import (
    LongTerm,
    NextActions,
    Report,
    balanced,
    choosing,
    long_term_row,
    next_actions,
    next_row,
    sampling,
    trivial_rows,
    with_label_noise,
)
from action_localization.anticipation.prior import PriorSettings, learn_prior
from action_localization.anticipation.rollout import Predictor
from action_localization.anticipation.sequences import SequenceSet, leak_note, read_sequences, together
from action_localization.data.source import beside, cells, open_source
from laban.errors import LabanError
from laban.progress import Advance

PLAIN = PriorSettings(order=4, weights=(1.0, 0.0, 0.0))
"""The 4-gram of the literature's no-vision rows: no memory of what was."""


def read_sets(training: Path, evaluation: Path, anticipator: Anticipator | None) -> tuple[SequenceSet, SequenceSet]:
    """Both sets over one vocabulary: the anticipator's, where there is one (it has to name most of their actions)."""
    learn, measure = read_sequences(training), read_sequences(evaluation)
    learn = training_part(learn)
    if len({one.split for one in measure.sequences}) > 1:
        measure = measure.part("test", "validation", "val", "testing")
    if anticipator is None:
        both = together(learn, [measure])
        return both[0], both[1]
    learn, measure = learn.over(anticipator.vocabulary), measure.over(anticipator.vocabulary)
    unknown = float(np.mean(np.concatenate([one.array for one in measure.sequences]) < 0))
    if unknown > 0.5:
        raise LabanError(f"{evaluation}: {unknown:.0%} of its actions are unknown to the anticipator; accepted: a set "
                         "like the one it was learnt on")  # fmt: skip
    return learn, measure


def training_part(sequences: SequenceSet) -> SequenceSet:
    """The training videos of a set with several splits; all of one without."""
    several = len({one.split.lower() for one in sequences.sequences}) > 1
    return sequences.part("train", "training") if several else sequences


def long_term_report(
    training: SequenceSet, evaluation: SequenceSet, protocol: LongTerm, anticipator: Anticipator | None = None, *,
    noise: float = 0.0, every: int = 1, seed: int = 0, advance: Advance | None = None,
) -> Report:  # fmt: skip
    """ED@Z and AUED of the trivial rows, the plain 4-gram, the prior, and what else the anticipator has."""
    anticipator = anticipator or learn_anticipator(training)
    windows = protocol.windows(evaluation).every(every)
    if noise:
        noisy = with_label_noise(windows.observed, noise, training, seed)
        windows = replace(windows, observed=noisy)
    plain = learn_prior(training.vocabulary, [one.array for one in training.sequences], PLAIN)
    futures = trivial_rows(training, protocol)
    futures[f"4-gram, {protocol.count} samples"] = sampling(plain, protocol)
    prior = anticipator.prior
    futures["prior, samples at 0.7"] = sampling(prior, protocol, 0.7)
    far = prior if anticipator.far is None else replace(prior, settings=anticipator.far)
    futures["prior, chosen"] = choosing(far, protocol, anticipator.search)
    if anticipator.network is not None:
        futures["prior + network, chosen"] = choosing(anticipator.predictor_far, protocol, anticipator.search)
    rows = []
    for name, row in futures.items():
        rows.append(long_term_row(name, row, windows, evaluation.vocabulary, seed=seed))
        if advance is not None:
            advance(1)
    past = "true past" if not noise else f"{noise:.0%} of the past replaced"
    about = (f"{protocol.observed} observed -> {protocol.future} future actions, best of {protocol.count}, a window "
             f"every {protocol.stride} actions; {len(windows)} windows of {len(np.unique(windows.video))} videos; "
             f"{past}; 95 % intervals over videos")  # fmt: skip
    return Report(f"long-term anticipation on {evaluation.name}", about, tuple(rows),
                  tuple(leak_note(training, evaluation)))  # fmt: skip


def next_report(
    training: SequenceSet, evaluation: SequenceSet, anticipator: Anticipator | None = None, *,
    balance: float | None = None, unseen: Collection[str] = (), tail: Collection[int] | None = None,
    seed: int = 0, advance: Advance | None = None,
) -> Report:  # fmt: skip
    """Next action given all true ones before it: accuracy, class-mean recall@5, NLL; `balance` is the strength of logit
    adjustment, chosen on held-out training videos. `unseen` are beginnings of the names of videos."""
    anticipator = anticipator or learn_anticipator(training)
    arrays = [one.array for one in training.sequences]
    plain = learn_prior(training.vocabulary, arrays, PLAIN)
    predictors: dict[str, Predictor] = {"4-gram": plain, "prior": anticipator.prior}
    if anticipator.network is not None:
        predictors["prior + network"] = anticipator.predictor
    marks: Bool[ndarray, " _"] | None = None
    rows = []
    found: NextActions | None = None
    for name, predictor in predictors.items():
        found = next_actions(predictor, evaluation, advance)
        if unseen:
            names = [one.name for one in evaluation.sequences]
            marks = np.array([names[video].startswith(tuple(unseen)) for video in found.video])
        rows.append(next_row(name, found, unseen=marks, tail=None if tail is None else sorted(tail), seed=seed))
    assert found is not None
    common = np.broadcast_to(plain.base.astype(np.float32), found.probabilities.shape)
    rows.insert(0, next_row("most frequent", replace(found, probabilities=common), unseen=marks,
                            tail=None if tail is None else sorted(tail), seed=seed))  # fmt: skip
    if balance is not None:
        scores = balanced(found.probabilities, plain.base, balance)
        rows.append(next_row(f"{rows[-1].name}, balanced {balance:g}", found, scores=scores, unseen=marks,
                             tail=None if tail is None else sorted(tail), seed=seed))  # fmt: skip
    about = (f"all true actions before it are known; {len(found.truth)} actions of {len(evaluation.sequences)} videos, "
             f"{len(np.unique(found.truth))} classes; 95 % intervals over videos")  # fmt: skip
    return Report(f"next action on {evaluation.name}", about, tuple(rows), tuple(leak_note(training, evaluation)))


def epic_tail(path: Path, evaluation: SequenceSet) -> tuple[int, ...] | None:
    """The actions with a tail verb or a tail noun, from EPIC's lists beside a file; None without them."""
    vocabulary = evaluation.vocabulary
    rare: list[set[str]] = []
    for tail, classes in (("EPIC_100_tail_verbs.csv", "EPIC_100_verb_classes.csv"),
                          ("EPIC_100_tail_nouns.csv", "EPIC_100_noun_classes_v2.csv")):  # fmt: skip
        listed, named = beside(path, tail), beside(path, classes)
        if listed is None or named is None:
            return None
        names = {row[0]: row[1] for _, row in cells(open_source(named))}
        rare.append({names[row[0]] for _, row in cells(open_source(listed)) if row[0] in names})
    return tuple(i for i, (verb, noun) in enumerate(vocabulary.pairs) if verb in rare[0] or noun in rare[1])


def epic_unseen(path: Path) -> tuple[str, ...]:
    """Participants of EPIC's validation who are in no training video, as beginnings of video names."""
    there = beside(path, "EPIC_100_unseen_participant_ids_validation.csv")
    rows = [row[0] for _, row in cells(open_source(there))] if there is not None else []
    return tuple(f"{name}_" for name in rows if name.startswith("P") and name[1:].isdecimal())
