"""Open-vocabulary protocols: splits of classes, zero-shot and generalized scores, and labels of external classifiers.

Zero-shot: only unseen classes are offered and scored. Generalized: all are offered; seen, unseen and their harmonic
mean are scored. Cross-dataset: what one data set taught is measured on another with that one's names. Labels of a
classifier that was trained on the whole data set are a row of their own, which says so: they know unseen classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from action_localization.data.corpus import Corpus, Video
from action_localization.data.lists import ClassSplit, read_class_splits
from action_localization.data.source import open_source
from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.instances import Instances, Row
from action_localization.evaluation.protocols import Protocol
from action_localization.open_vocabulary.similarity import Words, words_of
from laban.errors import LabanError
from laban.timeline import Timeline

if TYPE_CHECKING:
    from action_localization.regimes.streams import RegimeSet

EXTERNAL = "external classifier"
"""Part of the name of every row whose labels come from one."""
_LABELS = 2
"""Labels that a segment gets from the scores of its video (ActivityNet's rule)."""


@dataclass(frozen=True)
class OpenScores:
    """Average mAP, from 0 to 1, over the unseen classes and, where seen ones were offered too, over those."""

    unseen: float
    seen: float | None = None

    @property
    def harmonic(self) -> float | None:
        """The harmonic mean of both, which generalized protocols report; 0 where one of them is."""
        return None if self.seen is None else harmonic_mean(self.seen, self.unseen)


def harmonic_mean(one: float, other: float) -> float:
    """Of two shares; 0 where one of them is."""
    return 2 * one * other / (one + other) if one + other > 0 else 0.0


def zero_shot_words(data: RegimeSet) -> Words:
    """The held-out classes of a set to look for; the seen ones are what else may be going on, and are never found.

    LabanError for a set without a text side.
    """
    if data.embed is None:
        raise LabanError(f"set {data.name}: has no text side; accepted: mocap, toy")
    return words_of(data.unseen, data.embed, wordings=data.wordings, others=[data.wordings[c] for c in data.seen])


def draw_splits(classes: Sequence[str], seen: float, folds: int = 10, seed: int = 0) -> dict[str, ClassSplit]:
    """Random splits of classes, `seen` of them (0.5 or 0.75 as published) to learn from; the same for the same seed.

    LabanError for fewer than two classes or a share that leaves nothing on one side.
    """
    count = round(len(classes) * seen)
    if not 0 < count < len(classes):
        raise LabanError(f"split of {len(classes)} classes, {seen:g} of them seen; accepted: some on both sides")
    splits = {}
    for fold in range(folds):
        order = np.random.default_rng((seed, fold)).permutation(len(classes))
        sides = [tuple(classes[i] for i in sorted(part)) for part in (order[:count], order[count:])]
        splits[str(fold)] = ClassSplit(*sides)
    return splits


def named_split(path: str | Path, name: str, fold: str = "0") -> ClassSplit:
    """One fold of a set of `read_class_splits`, such as THUMOS14/50_50; LabanError that lists what there is."""
    every = read_class_splits(path)
    if name not in every:
        raise LabanError(f"{path}: has no set {name!r}; accepted: {', '.join(every)}")
    if fold not in every[name]:
        raise LabanError(f"{path}: {name} has no fold {fold!r}; accepted: {', '.join(every[name])}")
    return every[name][fold]


def of_classes(corpus: Corpus, classes: Sequence[str]) -> Corpus:
    """The corpus with the truth of some classes alone; LabanError for a class that it does not know."""
    known = {*corpus.classes, *(label for video in corpus.videos.values() for label in video.timeline.labels())}
    if unknown := [label for label in classes if label not in known]:
        raise LabanError(f"{corpus.name}: has no class {unknown[0]!r} of the split ({len(unknown)} are unknown)")
    kept = set(classes)

    def cut(video: Video) -> Video:
        truth = tuple(segment for segment in video.timeline.segments if segment.label in kept)
        return replace(video, timeline=Timeline(truth, video.timeline.duration),
                       instants=tuple(one for one in video.instants if one.label in kept))  # fmt: skip

    return replace(corpus, classes=tuple(classes), videos={name: cut(video) for name, video in corpus.videos.items()})


def open_scores(
    truth: Mapping[str, Timeline], found: Mapping[str, Timeline], split: ClassSplit, protocol: Protocol | str
) -> OpenScores:
    """Zero-shot scores where only unseen classes are among what was found, else generalized ones.

    Streams are scored whole: a segment of an unseen class over a seen one's truth is false.
    """
    seen, unseen = set(split.train), set(split.test)
    offered = {segment.label for timeline in found.values() for segment in timeline.segments}
    novel = evaluate_detection(_only(truth, unseen), _only(found, unseen), protocol).average
    if not offered & seen or not any(s.label in seen for t in truth.values() for s in t.segments):
        return OpenScores(novel)
    return OpenScores(novel, evaluate_detection(_only(truth, seen), _only(found, seen), protocol).average)


def read_video_scores(path: str | Path) -> dict[str, dict[str, float]]:
    """`{video: {class: score}}` of a classifier of whole videos; LabanError for anything else."""
    source = open_source(path)
    document = source.document
    if isinstance(document, dict) and isinstance(document.get("results"), dict):
        document = document["results"]
    try:
        scores = {str(video): {str(k): float(v) for k, v in row.items()} for video, row in document.items()}
    except (AttributeError, TypeError, ValueError):
        raise source.fail("holds no scores of videos; accepted: {video: {class: score}}") from None
    if not scores or not all(np.isfinite(v) for row in scores.values() for v in row.values()):
        raise source.fail("names no video, or a score is not finite")
    return scores


def externally_labelled(found: Instances, scores: Mapping[str, Mapping[str, float]]) -> Instances:
    """Segments with the labels of their video's best two classes, scores multiplied; those of other videos are gone.

    A segment that was found under several labels counts once, with its best score.
    """
    best: dict[tuple[str, float, float], float] = {}
    for video, start, end, score in zip(found.video, found.start, found.end, found.score, strict=True):
        key = (found.videos[video], float(start), float(end))
        best[key] = max(best.get(key, 0.0), float(score))
    rows: list[Row] = []
    for (video, start, end), score in best.items():
        top = sorted(scores.get(video, {}).items(), key=lambda item: -item[1])[:_LABELS]
        rows += [(video, label, start, end, score * chance) for label, chance in top]
    return Instances.from_rows(rows, found.videos)


def external_name(name: str, path: str | Path) -> str:
    """What the row of externally labelled detections is called."""
    return f"{name} + {EXTERNAL} {Path(path).name}"


def _only(timelines: Mapping[str, Timeline], labels: set[str]) -> dict[str, Timeline]:
    return {
        name: Timeline(tuple(s for s in timeline.segments if s.label in labels), timeline.duration)
        for name, timeline in timelines.items()
    }
