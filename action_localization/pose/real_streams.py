"""Measuring on real video: folds that leave sources out, and seeded streams of clips that a fold has left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from action_localization.pose.features import FPS
from action_localization.pose.real import SEEN, RealClip
from action_localization.pose.streams import Clip, Stream, cut, splice
from laban.errors import LabanError

FOLDS = 4
STREAMS = 20
SEED = 2025

FROM_MOTION = ("jumping jacks", "push-up", "run", "swim", "tennis swing")
"""Classes with a single real source that motion files teach: their folds test what carried over."""

SEGMENTS = 7
CROP = (4.0, 10.0)
"""Seconds that longer clips are cropped to."""
GAP = 0.75
"""Chance of a gap before an action; a quarter of gaps show nobody, where there is other material."""
NOBODY = 0.25
GAP_SECONDS = (1.0, 4.0)


def measured(clips: Sequence[RealClip]) -> list[RealClip]:
    """The clips that serve for measuring: the person is seen, and their class can be known without their source.

    A class can be known from another source, or from motion files (`FROM_MOTION`). Background always serves.
    """
    seen = [clip for clip in clips if clip.seen >= SEEN]
    sources: dict[str | None, set[str]] = {}
    for clip in seen:
        sources.setdefault(clip.label, set()).add(clip.source)
    return [c for c in seen if c.label is None or len(sources[c.label]) > 1 or c.label in FROM_MOTION]


def source_folds(clips: Sequence[RealClip], count: int = FOLDS) -> list[frozenset[str]]:
    """Disjoint sets of sources such that no class with several sources has all of them in one set.

    Rare classes are dealt out first, each source to the fold that has least of its class, then least in all; a function
    of the clips' labels and sources alone. LabanError for fewer than two folds.
    """
    if count < 2:
        raise LabanError(f"{count} folds; accepted: 2 or more")
    labels: dict[str | None, list[str]] = {}
    for clip in clips:
        held = labels.setdefault(clip.label, [])
        if clip.source not in held:
            held.append(clip.source)
    folds: list[set[str]] = [set() for _ in range(count)]
    for _, sources in sorted(labels.items(), key=lambda item: (item[0] is None, len(item[1]), item[0] or "")):
        for source in sorted(sources):
            if not any(source in fold for fold in folds):
                min(folds, key=lambda fold: (len(fold.intersection(sources)), len(fold))).add(source)
    for label, sources in labels.items():
        if label is not None and len(sources) > 1 and any(fold.issuperset(sources) for fold in folds):
            raise LabanError(f"folds: every source of {label!r} fell into one fold; use more folds")
    return [frozenset(fold) for fold in folds]


def real_streams(
    clips: Sequence[RealClip], folds: Sequence[frozenset[str]], count: int = STREAMS, seed: int = SEED
) -> list[tuple[int, Stream]]:
    """(fold, stream) pairs: stream n is spliced from clips of fold n modulo the number of folds, and of no other.

    Each has `SEGMENTS` actions of at least three classes; classes and clips take turns, in random order. LabanError
    when a fold has fewer than three classes.
    """
    used: Counter[str] = Counter()
    made = []
    for number in range(count):
        fold = number % len(folds)
        inside = [clip for clip in clips if clip.source in folds[fold]]
        rng = np.random.default_rng([seed, number])
        made.append((fold, _stream(inside, used, rng, f"fold {fold}")))
    return made


def _stream(clips: Sequence[RealClip], used: Counter[str], rng: np.random.Generator, where: str) -> Stream:
    labels = sorted({clip.label for clip in clips if clip.label is not None})
    if len(labels) < 3:
        raise LabanError(f"{where}: holds clips of {len(labels)} classes; a stream takes at least 3")
    gaps = [clip.clip for clip in clips if clip.label is None]
    parts: list[Clip] = []
    order: list[str] = []
    for _ in range(SEGMENTS):
        if not order:
            order = [labels[i] for i in rng.permutation(len(labels))]
            if parts and parts[-1].label == order[-1]:
                order.reverse()
        mine = [clip for clip in clips if clip.label == order[-1]]
        order.pop()
        least = min(used[clip.stretch.name] for clip in mine)
        mine = [clip for clip in mine if used[clip.stretch.name] == least]
        chosen = mine[int(rng.integers(len(mine)))]
        used[chosen.stretch.name] += 1
        action = _shortened(chosen.clip, CROP, rng)
        if parts and (rng.random() < GAP or parts[-1].label == action.label):
            parts.append(_gap(gaps, parts[-1], rng))
        parts.append(action)
    return splice(parts, rng)


def _gap(gaps: Sequence[Clip], before: Clip, rng: np.random.Generator) -> Clip:
    """Somebody who does nothing of note, or nobody."""
    if gaps and rng.random() >= NOBODY:
        return _shortened(gaps[int(rng.integers(len(gaps)))], GAP_SECONDS, rng)
    frames = round(rng.uniform(*GAP_SECONDS) * FPS)
    joints = np.repeat(before.joints[-1:], frames, 0)
    return Clip("nobody", joints, None, False, np.zeros(joints.shape[:2], np.float32), np.zeros(frames, bool))


def _shortened(clip: Clip, seconds: tuple[float, float], rng: np.random.Generator) -> Clip:
    frames = round(rng.uniform(*seconds) * FPS)
    if len(clip.joints) <= frames:
        return clip
    return cut(clip, int(rng.integers(0, len(clip.joints) - frames + 1)), frames)
