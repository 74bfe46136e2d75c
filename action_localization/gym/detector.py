"""A small pyramid detector on gym streams: its inputs, the streams it learns from, its settings.

Too few clips for 2048 numbers a row, so a row becomes the log-chances of cross-fitted probes (each clip is read by a
probe that has not seen it), its principal components, and how much it resembles the row before and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from action_localization.gym.probe import Probe, fit_probe
from action_localization.gym.streams import Clip, Members, Stream, StreamConfig, split, string_together
from action_localization.spine.batches import Batch, TrainingVideo, collate, training_video
from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector, build_network
from action_localization.spine.nms import SoftNMS
from action_localization.spine.systems import (
    ASL,
    ActionFormer,
    DecodingConfig,
    EncoderConfig,
    HeadConfig,
    LearningConfig,
    System,
    TemporalMaxer,
    TriDet,
)
from action_localization.spine.training import training_loss
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.training import TrainConfig, fit, small_training

PARTS = 5
"""Probes that read the training clips, each fitted without a fifth of them."""


@dataclass(frozen=True)
class GymConfig:
    """Sizes and augmentation, decided on validation streams inside the training clips of fold 0."""

    penalty: float = 1e-2
    """Of the probes."""
    power: float = 0.5
    """That rows are raised to."""
    components: int = 64
    """Principal components that a row keeps."""
    repeat: int = 2
    """Entries that a row becomes."""
    noise: float = 0.3
    """Standard deviation added to the principal components, which have one of 1 on average."""
    part: float = 0.5
    """Chance that a clip of a training stream is only a stretch of itself."""
    mix: float = 0.5
    """Chance that a clip of a training stream is moved towards another of its class."""
    size: int = 8
    clips: int = 8
    training: TrainConfig = small_training(750, 2e-3)


_ENCODER = EncoderConfig(width=64, levels=4, embed=2, stem=1, heads=4, window=9, hidden=128, drop_path=0.1)
_HEAD = HeadConfig(width=64, layers=1, bins=8)
_LEARNING = LearningConfig(normaliser=60.0)
_DECODING = DecodingConfig(nms=SoftNMS(sigma=0.35, keep=400))
SYSTEMS: dict[str, System] = {
    "actionformer": ActionFormer(encoder=_ENCODER, head=_HEAD, learning=_LEARNING, decoding=_DECODING),
    "tridet": TriDet(
        encoder=replace(_ENCODER, block="sgp", factor=2.0), head=replace(_HEAD, boundary="trident"),
        learning=replace(_LEARNING, iou_power=0.2), decoding=_DECODING,
    ),
    "temporalmaxer": TemporalMaxer(
        encoder=replace(_ENCODER, block="pool", stem=0), head=_HEAD, learning=_LEARNING, decoding=_DECODING
    ),
}  # fmt: skip
SYSTEMS["asl"] = ASL(SYSTEMS["actionformer"])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Principal:
    """Rows to their principal components, which have a variance of one on average."""

    power: float
    mean: Float32[ndarray, " width"]
    scale: Float32[ndarray, " width"]
    axes: Float32[ndarray, "width components"]

    def __call__(self, values: Float32[ndarray, "rows width"]) -> Float32[ndarray, "rows components"]:
        """The components of rows."""
        return (((values**self.power - self.mean) / self.scale) @ self.axes).astype(np.float32)


@dataclass(frozen=True)
class Reader:
    """What turns rows into inputs; fitted on training clips alone."""

    probes: tuple[Probe, ...]
    part: Mapping[str, int]
    """By name of a training clip, the number of the probe that has not seen it."""
    principal: Principal

    def __call__(self, clip: Clip) -> Clip:
        """The clip with (log-chances, principal components) as its rows."""
        one = self.part.get(clip.name)
        probes = self.probes if one is None else self.probes[one : one + 1]
        log = np.mean([torch.from_numpy(p.logits(clip.values)).log_softmax(-1).numpy() for p in probes], 0)
        columns = [np.maximum(log, -10) / 3, self.principal(clip.values)]
        return replace(clip, values=np.concatenate(columns, 1).astype(np.float32))


def fit_reader(clips: Sequence[Clip], members: Members, classes: Sequence[str], config: GymConfig) -> Reader:
    """Probes and principal components of the training clips."""
    part = split([clips[i] for i in members], PARTS)
    probes = tuple(
        fit_probe(clips, np.array(members)[part != one], classes, penalty=config.penalty, power=config.power)
        for one in range(PARTS)
    )
    names = {clips[i].name: int(p) for i, p in zip(members, part, strict=True)}
    return Reader(probes, names, fit_principal([clips[i].values for i in members], config))


def fit_principal(values: Sequence[Float32[ndarray, "_ width"]], config: GymConfig) -> Principal:
    """The principal components of rows; no label is seen."""
    rows = np.concatenate(values) ** config.power
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    _, singular, axes = np.linalg.svd((rows - mean) / scale, full_matrices=False)
    spread = np.sqrt((singular[: config.components] ** 2).mean() / len(rows))
    return Principal(config.power, mean, scale, (axes[: config.components].T / spread).astype(np.float32))


def as_input(stream: Stream, columns: int, repeat: int) -> Features:
    """A stream of read clips as the detector takes it: likeness to both neighbours appended, every row repeated.

    `columns` log-chances come first in a row; the rest are principal components.
    """
    values = stream.features.values
    principal = values[:, columns:]
    unit = principal / np.maximum(np.linalg.norm(principal, axis=1, keepdims=True), 1e-6)
    like = np.pad((unit[1:] * unit[:-1]).sum(1), 1)
    values = np.concatenate([values, 2 * like[:-1, None], 2 * like[1:, None]], 1)
    repeated = np.repeat(values, repeat, 0)
    return Features(repeated.astype(np.float32), FrameGrid(float(repeat), len(repeated)), stream.features.extractor)


@dataclass(frozen=True)
class StreamBatches:
    """step -> Batch of streams drawn afresh from training clips; a function of (seed, step)."""

    clips: Sequence[Clip]
    """Read ones, all of them training clips."""
    classes: tuple[str, ...]
    config: GymConfig
    seed: int

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, 2, step))
        return collate([self.stream(rng) for _ in range(self.config.size)])

    def stream(self, rng: np.random.Generator) -> TrainingVideo:
        """One stream of `drawn`, with noise on the principal components, as the detector takes it."""
        stream = self.drawn(rng)
        columns = len(self.classes) + 1
        values = stream.features.values.copy()
        values[:, columns:] += rng.normal(0, self.config.noise, values[:, columns:].shape)
        noisy = replace(stream, features=replace(stream.features, values=values))
        return training_video(as_input(noisy, columns, self.config.repeat), stream.truth, self.classes)

    def drawn(self, rng: np.random.Generator) -> Stream:
        """One stream of rows; rare classes come more often than they are, so that all are learnt."""
        actions = [i for i, clip in enumerate(self.clips) if not clip.background]
        background = [i for i, clip in enumerate(self.clips) if clip.background]
        label = np.array([self.classes.index(self.clips[i].label) for i in actions])
        weight = 1 / np.sqrt(np.bincount(label)[label])
        order = rng.choice(actions, self.config.clips, p=weight / weight.sum())
        changed = [self._changed(self.clips[i], rng) for i in order]
        changed += [self.clips[i] for i in background]
        numbers = list(range(len(order), len(changed)))
        layout = StreamConfig(rounds=1, gap=float(rng.uniform(0.3, 0.9)), longest=8)
        return string_together("", changed, list(range(len(order))), numbers, layout, rng)

    def _changed(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """Perhaps only a stretch of it, perhaps moved towards another clip of its class."""
        values = clip.values
        if len(values) > 1 and rng.random() < self.config.part:
            length = int(rng.integers(1, len(values) + 1))
            first = int(rng.integers(0, len(values) - length + 1))
            values = values[first : first + length]
        if rng.random() < self.config.mix:
            others = [other for other in self.clips if other.label == clip.label]
            other = others[int(rng.integers(len(others)))].values
            values = values + rng.uniform(0, 0.4) * (other[int(rng.integers(len(other)))] - values.mean(0))
        return replace(clip, values=values.astype(np.float32))


def train_detector(
    system: System, clips: Sequence[Clip], classes: tuple[str, ...], config: GymConfig, folder: Path, *, seed: int
) -> Detector | BoundaryMatcher:
    """A detector for read training clips."""
    columns = clips[0].values.shape[1] + 2
    torch.manual_seed(seed)
    network = build_network(system, columns, classes)
    batches = StreamBatches(clips, classes, config, seed)
    return fit(network, training_loss, batches, replace(config.training, seed=seed), folder, progress=False)


def detections(
    network: Detector | BoundaryMatcher, system: System, streams: Sequence[Stream], config: GymConfig
) -> dict[str, Timeline]:
    """Segments of streams of read clips, by name; boundaries lie at ends of rows."""
    found = {}
    for stream in streams:
        features = as_input(stream, len(network.classes) + 1, config.repeat)
        found[stream.name] = _snapped(detect_features(features, system, network, duration=stream.truth.duration))
    return found


def _snapped(timeline: Timeline) -> Timeline:
    """Every boundary at the nearest whole row; a segment keeps at least one."""
    segments = []
    for segment in timeline.segments:
        start = float(round(segment.start))
        end = max(float(round(segment.end)), start + 1)
        segments.append(Segment(start, end, segment.label, score=segment.score))
    return Timeline(tuple(segments), max([timeline.duration or 0.0, *(s.end for s in segments)]))
