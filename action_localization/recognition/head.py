"""Attentive Semantic Units as the text head of open-vocabulary localization: proposals named from their own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from action_localization.open_vocabulary.proposals import STOVTAL
from action_localization.open_vocabulary.similarity import Words, check_rows, softmax
from action_localization.recognition.network import SemanticUnits, label_scores
from action_localization.recognition.regions import PIECES, row_regions
from action_localization.recognition.training import LabelledRegions, UnitsConfig, fit_units
from action_localization.recognition.units import unit_bank
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector
from action_localization.spine.nms import Candidates, suppress
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.features import Features


@dataclass(frozen=True)
class HeadTraining:
    """How the head learns, and how much it counts beside the rows' own likeness to the words, which is `scale`d."""

    units: UnitsConfig = UnitsConfig(keep=1.0)
    trust: float = 0.5
    scale: float = 14.0
    least: float = 0.02
    """Score of a proposal below which it is left out."""
    names: int = 4
    """Labels of a proposal, at most."""


def fit_head(
    data: RegimeSet, config: HeadTraining, folder: Path, *, seed: int, classes: Sequence[str] | None = None,
    quiet: bool = True,
) -> SemanticUnits:  # fmt: skip
    """Learn from the true segments of `classes` (default: the set's seen ones) on the text twin of the streams."""
    known = tuple(data.seen if classes is None else classes)
    rows, label = [], []
    for video in data.train:
        if (text := video.text) is None:
            continue
        for segment in video.truth.segments:
            if segment.label in known:
                rows.append(segment_regions(text, segment))
                label.append(known.index(segment.label))
    if data.embed is None or not rows:
        raise LabanError(f"{data.name}: has no text side, or no segment of {', '.join(known[:6])}, …")
    texts = np.asarray(data.embed([data.wordings[name] for name in known]), np.float32)
    bank = np.asarray(data.embed([unit.sentence for unit in unit_bank()]), np.float32)
    width = texts.shape[1]
    sizes = replace(config.units.network, visual=width, text=width, regions=len(PIECES), aligned=True)
    learnt = LabelledRegions(np.stack(rows), np.array(label), texts)
    return fit_units(learnt, bank, replace(config.units, network=sizes), folder, seed=seed, quiet=quiet)


def segment_regions(text: Features, segment: Segment) -> Float32[ndarray, "4 width"]:
    """The regions of a stretch of text-aligned rows; one shorter than a row has that row."""
    first, last = text.grid.span(segment.start, segment.end)
    if last <= first:
        first = min(max(text.grid.index((segment.start + segment.end) / 2), 0), text.grid.frames - 1)
        last = first + 1
    return row_regions(text.values[first:last])


def head_chances(
    head: SemanticUnits, regions: Float[ndarray, "clips regions width"], words: Words, config: HeadTraining
) -> Float[ndarray, "clips labels"]:
    """Chances of labels for regions, beside what else may go on (`words.others`)."""
    units = np.log(label_scores(head, regions, words.every) + 1e-9)
    plain = config.scale * regions[:, 0] @ words.every.T
    return softmax(config.trust * units + (1 - config.trust) * plain)[:, : len(words.labels)]


def asu_detect(
    localizer: Detector, head: SemanticUnits, features: Features, text: Features, words: Words,
    config: HeadTraining = HeadTraining(), stov: STOVTAL = STOVTAL(), *, duration: float | None = None,
) -> Timeline:  # fmt: skip
    """Proposals of a class-agnostic localizer (`fit_stov`) as segments that the head names, suppressed per label."""
    check_rows(text, words)
    found = detect_features(features, stov.system, localizer, duration=duration)
    own = [segment for segment in found.segments if segment.score >= config.least]
    if not own or not len(text.values):
        return Timeline((), found.duration)
    chance = head_chances(head, np.stack([segment_regions(text, segment) for segment in own]), words, config)
    best = np.argsort(-chance, axis=1, kind="stable")[:, : config.names]
    row = np.repeat(np.arange(len(own)), best.shape[1])
    start, end, sure = (np.array([getattr(s, name) for s in own])[row] for name in ("start", "end", "score"))
    named = Candidates(start, end, sure * chance[row, best.ravel()], best.ravel())
    kept = suppress(named, stov.labelling.nms, span=max(found.duration, 1e-6))
    every = zip(kept.start, kept.end, kept.score, kept.label, strict=True)
    segments = (Segment(float(a), float(b), words.labels[int(k)], score=float(score)) for a, b, score, k in every)
    return Timeline(tuple(segments), found.duration)
