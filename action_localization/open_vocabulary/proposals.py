"""STOV-TAL (Hyun et al., WACV 2025): a class-agnostic localizer, proposals named by text, learning from its own labels.

The pyramid of the spine with one class, `ACTION`, learns where actions of the labelled classes start and end; then it
labels unlabelled streams itself and learns again from people's labels and its own sure ones. What a proposal is called
is text's business alone, so any words will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from action_localization.open_vocabulary.similarity import (
    FrameConfig,
    Words,
    chances,
    check_rows,
    frame_similarity,
    likeliest,
)
from action_localization.spine.batches import BatchConfig, FeatureBatches, TrainingVideo, training_video
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector, build_network
from action_localization.spine.nms import Candidates, SoftNMS, join, suppress
from action_localization.spine.systems import ActionFormer, DecodingConfig, EncoderConfig, HeadConfig, LearningConfig
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.features import Features
from models.training import TrainConfig, fit, small_training

if TYPE_CHECKING:
    from action_localization.regimes.streams import RegimeSet, RegimeVideo

ACTION = "action"
"""The localizer's only class."""


@dataclass(frozen=True)
class Labelling:
    """How proposals get names: mean chances of labels in a proposal, times how sure the localizer is to a power."""

    scale: float = 10.0
    """Of the cosines, before the softmax."""
    power: float = 1.0
    """Of the localizer's score."""
    names: int = 4
    """Labels of a proposal, at most."""
    least: float = 0.02
    """Score of the localizer below which a proposal is left out."""
    core: float = 1.0
    """Share of a proposal, about its middle, whose rows are looked at."""
    runs: FrameConfig | None = field(default_factory=FrameConfig)
    """Stretches where a label's own chance stays high are proposals too, for actions unlike any that the localizer
    learnt from; None: the localizer's alone (paper)."""
    nms: SoftNMS = SoftNMS(sigma=0.3, keep=200)


@dataclass(frozen=True)
class STOVTAL:
    """The localizer, how it learns, and how proposals are named."""

    system: ActionFormer = ActionFormer(
        encoder=EncoderConfig(width=96, levels=6, embed=2, stem=1, heads=4, window=19, hidden=192, drop_path=0.1),
        head=HeadConfig(width=96, layers=1), learning=LearningConfig(normaliser=100.0, iou_power=0.2),
        decoding=DecodingConfig(candidates=400, nms=SoftNMS(sigma=0.3, keep=200)),
    )  # fmt: skip
    batch: BatchConfig = BatchConfig(size=6, frames=384, shrink=0.7)
    noise: float = 0.1
    """Standard deviation of the noise added to the features while learning."""
    training: TrainConfig = small_training(200, 2e-3, warmup=30, ema=0.98)
    rounds: int = 1
    """Times that the localizer labels the unlabelled streams and learns anew; 0: from people's labels alone."""
    confident: float = 0.4
    """Score from which a proposal becomes a label."""
    shortest: float = 0.5
    """Seconds; shorter stretches between held-out actions are not learnt from."""
    labelling: Labelling = Labelling()


def fit_stov(
    data: RegimeSet, config: STOVTAL, folder: Path, *, seed: int, classes: Sequence[str] | None = None,
    quiet: bool = True,
) -> Detector:  # fmt: skip
    """Train on `data.train` with the labels of `classes` alone (default: the set's seen ones).

    The first round sees no entry of any other class: streams are cut where they are. Later rounds see whole streams,
    whose other actions nobody has labelled.
    """
    known = tuple(data.seen if classes is None else classes)
    labelled = [piece for video in data.train for piece in pieces(video, known, config.shortest)]
    if not labelled:
        raise LabanError(f"{data.name}: no stream has a stretch with the labels {', '.join(known[:6])}, …")
    network = _learn([_learnt(f, t, n) for n, f, t in labelled], config, folder / "labelled", seed, quiet)
    for turn in range(config.rounds):
        streams = [_learnt(v.features, pseudo_labels(network, v, known, config), v.name) for v in data.train]
        network = _learn(streams, config, folder / f"self-{turn + 1}", seed + 101 * (turn + 1), quiet)
    return network


def pieces(video: RegimeVideo, known: Sequence[str], shortest: float = 0.5) -> list[tuple[str, Features, Timeline]]:
    """(name, features, truth) of the stretches of a stream between actions of other classes than the known ones."""
    grid, cuts = video.features.grid, [0]
    for segment in video.truth.segments:  # in order of their starts; some lie within others
        if segment.label not in known:
            first, last = grid.span(segment.start, segment.end)
            cuts += [max(first, cuts[-1]), max(last, cuts[-1])]
    cuts.append(grid.frames)
    found = []
    for first, last in zip(cuts[::2], cuts[1::2], strict=True):
        low, high = grid.start(first), grid.start(last)
        if last <= first or high - low < shortest:
            continue
        own = [s for s in video.truth.segments if s.label in known and low <= (s.start + s.end) / 2 < high]
        truth = [Segment(max(s.start - low, 0.0), min(s.end, high) - low, s.label) for s in own]
        part = Features(video.features.values[first:last], replace(grid, frames=last - first, offset=0.0),
                        video.features.extractor)  # fmt: skip
        found.append((f"{video.name} {low:.1f} s", part, Timeline(tuple(truth), high - low)))
    return found


def pseudo_labels(network: Detector, video: RegimeVideo, known: Sequence[str], config: STOVTAL) -> Timeline:
    """People's labels of the known classes, and where none of them is, what the localizer is sure of."""
    own = [s for s in video.truth.segments if s.label in known]
    found = detect_features(video.features, config.system, network, duration=video.truth.duration).segments
    sure = sorted((s for s in found if s.score >= config.confident), key=lambda s: -s.score)
    for segment in sure:
        if all(_shared(segment, other) < 0.3 * min(segment.seconds, other.seconds) for other in own):
            own.append(segment)
    return Timeline(tuple(own), video.truth.duration)


def stov_detect(
    network: Detector, features: Features, text: Features, words: Words, config: STOVTAL = STOVTAL(), *,
    duration: float | None = None,
) -> Timeline:  # fmt: skip
    """Proposals of the localizer in `features`, named by the text-aligned rows that lie in them."""
    if network.classes != (ACTION,):
        raise LabanError(f"localizer: has {len(network.classes)} classes; accepted: one, {ACTION!r}")
    found = detect_features(features, config.system, network, duration=duration)
    return named(found, text, words, config.labelling)


def named(found: Timeline, text: Features, words: Words, config: Labelling = Labelling()) -> Timeline:
    """Proposals (their own labels are not looked at) as segments labelled by text, suppressed per label."""
    check_rows(text, words)
    if not len(text.values):
        return Timeline((), found.duration)
    words = likeliest(text, words, 500)
    parts = [_candidates(found.segments, text, words, config)]
    if config.runs is not None:
        place = {label: index for index, label in enumerate(words.labels)}
        spoken = frame_similarity(text, words, config.runs).segments
        inside = [(s.start, min(s.end, found.duration), s.score, place[s.label]) for s in spoken]
        start, end, score, label = np.array([one for one in inside if one[0] < one[1]], np.float64).reshape(-1, 4).T
        parts.append(Candidates(start, end, score, label.astype(np.int64)))
    kept = suppress(join(parts), config.nms, span=max(found.duration, 1e-6))
    every = zip(kept.start, kept.end, kept.score, kept.label, strict=True)
    segments = (Segment(float(a), float(b), words.labels[int(k)], score=float(score)) for a, b, score, k in every)
    return Timeline(tuple(segments), found.duration)


def _candidates(segments: Sequence[Segment], text: Features, words: Words, config: Labelling) -> Candidates:
    own = [s for s in segments if s.score >= config.least]
    if not own:
        return Candidates(np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))
    each = replace(text, values=chances(text.values, words, config.scale))
    chance = pooled(each, own, config.core)
    best = np.argsort(-chance, axis=1, kind="stable")[:, : config.names]
    row = np.repeat(np.arange(len(own)), best.shape[1])
    sure = np.array([s.score for s in own])[row] ** config.power
    start, end = (np.array([getattr(s, name) for s in own])[row] for name in ("start", "end"))
    return Candidates(start, end, sure * chance[row, best.ravel()], best.ravel())


def pooled(text: Features, segments: Sequence[Segment], core: float = 1.0) -> Float[ndarray, "segments width"]:
    """The mean row of each segment, or of a share of it about its middle."""
    total = np.concatenate([np.zeros((1, text.width)), np.cumsum(text.values, 0, dtype=np.float64)])
    rows = np.empty((len(segments), text.width))
    for place, one in enumerate(segments):
        middle, half = (one.start + one.end) / 2, core * one.seconds / 2
        first, last = text.grid.span(middle - half, middle + half)
        if last <= first:
            first = min(max(text.grid.index(middle), 0), text.grid.frames - 1)
            last = first + 1
        rows[place] = (total[last] - total[first]) / (last - first)
    return rows


def _learnt(features: Features, truth: Timeline, name: str) -> TrainingVideo:
    agnostic = Timeline(tuple(replace(s, label=ACTION, score=1.0) for s in truth.segments), truth.duration)
    return training_video(features, agnostic, (ACTION,), name=name)


def _learn(videos: Sequence[TrainingVideo], config: STOVTAL, folder: Path, seed: int, quiet: bool) -> Detector:
    torch.manual_seed(seed)
    network = build_network(config.system, videos[0].values.shape[1], (ACTION,))
    batches = FeatureBatches(videos, replace(config.batch, seed=seed))

    def noisy(step: int) -> object:
        batch = batches(step)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = torch.randn(batch.features.shape, generator=generator)
        return replace(batch, features=batch.features + config.noise * noise)

    trained = fit(network, training_loss, noisy, replace(config.training, seed=seed), folder, progress=not quiet)
    return cast(Detector, trained)


def _shared(one: Segment, other: Segment) -> float:
    return max(0.0, min(one.end, other.end) - max(one.start, other.start))
