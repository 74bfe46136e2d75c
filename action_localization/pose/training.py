"""Train the embedded detector on spliced streams, and fine-tune it on a few labelled clips of people in video.

Every stream is a function of (seed, number) and every batch of (seed, step). A stream is cropped anew each time it is
used, `reuse` times within a short while, because seeing a motion through a camera costs as much as learning from it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from action_localization.pose.classes import names
from action_localization.pose.features import WIDTH, entry_grid, pooled, pose_rows
from action_localization.pose.mocap import read_clips, read_takes
from action_localization.pose.observe import ViewConfig, observe
from action_localization.pose.procedural import procedural_clips
from action_localization.pose.procedural_actions import ACTIONS
from action_localization.pose.streams import Clip, Pool, Stream, make_stream
from action_localization.spine.batches import Batch, BatchConfig, TrainingVideo, collate, cropped, training_video
from action_localization.spine.network import Detector, build_network
from action_localization.spine.systems import ActionFormer, DecodingConfig, EncoderConfig, HeadConfig, LearningConfig
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from models.data.dataset import MotionDataset
from models.features import Features
from models.training import TrainConfig, fit, steps_done

SYSTEM = ActionFormer(
    encoder=EncoderConfig(width=192, levels=6, stem=1, window=19, hidden=768),
    head=HeadConfig(width=192),
    learning=LearningConfig(normaliser=200.0, iou_power=0.2),
    decoding=DecodingConfig(candidates=500),
)


PROCEDURAL, PROCEDURAL_SEED, PROCEDURAL_WEIGHT = 96, 7, 8.0
"""Procedural clips of each action that is written down, their seed, and what they weigh together."""


def motion_clips(dataset: MotionDataset, *, quiet: bool = False) -> list[Clip]:
    """What the detector learns from in place of video: the clips of the `train` split, and procedural motion."""
    drawn = procedural_clips(ACTIONS, PROCEDURAL, PROCEDURAL_SEED, PROCEDURAL_WEIGHT)
    return [*read_clips(dataset, "train", trust=True, quiet=quiet), *drawn]


@dataclass(frozen=True)
class MixConfig:
    """What batches are made of."""

    size: int = 8
    frames: int = 640
    """Entries (0.1 s each) that streams are cropped to."""
    observed: float = 0.75
    """Share of streams that are seen through a camera."""
    takes: float = 0.06
    """Share of whole takes in place of spliced clips."""
    shots: float = 1.5
    """Cuts to another camera in an observed stream, on average."""
    short: float = 0.1
    """Share of crops that are as short as a clip of one action."""
    real: float = 0.0
    """Share of streams spliced from clips of people in video, when there are any."""
    reuse: int = 4
    block: int = 200
    """Streams that are in use at a time."""
    seed: int = 0
    view: ViewConfig = ViewConfig()


class StreamSource:
    """number -> a stream's features and truth."""

    def __init__(
        self, pool: Pool, config: MixConfig, *, takes: Sequence[Stream] = (), real: Pool | None = None
    ) -> None:
        self.pool, self.config, self.takes, self.real = pool, config, tuple(takes), real
        self.classes = names()

    def __call__(self, number: int) -> TrainingVideo:
        config = self.config
        rng = np.random.default_rng((config.seed, 3, number))
        chance, seed = rng.random(), (config.seed, 4, number)
        if self.real is not None and chance < config.real:
            stream = make_stream(self.real, seed)
        elif self.takes and rng.random() < config.takes:
            stream = self.takes[int(rng.integers(len(self.takes)))]
        else:
            stream = make_stream(self.pool, seed)
        shown = not stream.seen and rng.random() < config.observed
        values = observed_entries(stream, rng, config) if shown else stream_entries(stream)
        features = Features(values, entry_grid(len(stream.joints)), "")
        return training_video(features, stream.truth, self.classes, name=f"stream {number}")


class StreamBatches:
    """step -> Batch of random crops of streams."""

    def __init__(self, source: Callable[[int], TrainingVideo], config: MixConfig) -> None:
        self.source, self.config = source, config
        self.kept: dict[int, TrainingVideo] = {}

    def __call__(self, step: int) -> Batch:
        config = self.config
        rng = np.random.default_rng((config.seed, 5, step))
        videos = []
        for place in range(step * config.size, (step + 1) * config.size):
            short = rng.random() < config.short
            frames = int(rng.integers(min(10, config.frames), min(100, config.frames) + 1)) if short else config.frames
            videos.append(cropped(self.stream(self.number(place)), BatchConfig(frames=frames, shrink=0.6), rng))
        return collate(videos)

    def number(self, place: int) -> int:
        """The stream that the place-th sample is cropped from."""
        turn, at = divmod(place, self.config.block)
        block, repeat = divmod(turn, self.config.reuse)
        order = np.random.default_rng((self.config.seed, 6, block, repeat)).permutation(self.config.block)
        return block * self.config.block + int(order[at])

    def stream(self, number: int) -> TrainingVideo:
        """A stream, kept while its block is in use."""
        if number not in self.kept:
            first = number // self.config.block * self.config.block
            self.kept = {k: v for k, v in self.kept.items() if k >= first}
            self.kept[number] = self.source(number)
        return self.kept[number]


def stream_entries(stream: Stream) -> Float32[ndarray, "entries 217"]:
    """The detector's entries of a stream as it is."""
    return pooled(pose_rows(stream.joints, stream.confidence, stream.observed))


def observed_entries(
    stream: Stream, rng: np.random.Generator, config: MixConfig | None = None
) -> Float32[ndarray, "entries 217"]:
    """The detector's entries of a stream that is filmed by one camera after another."""
    config = config or MixConfig()
    frames = len(stream.joints)
    cuts = np.unique(rng.integers(0, frames, rng.poisson(config.shots)))
    edges = [0, *(int(c) for c in cuts if 40 <= c <= frames - 40), frames]
    shots = [observe(stream.joints[a:b], rng, config.view) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    return pooled(np.concatenate([pose_rows(*shot) for shot in shots]))


@dataclass(frozen=True)
class DetectTraining:
    """A training run of the detector."""

    dataset: Path
    run: Path = Path("runs/detect")
    minutes: float | None = None
    mix: MixConfig = MixConfig()
    optimisation: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=6000, lr=6e-4, warmup=150, weight_decay=0.03, ema=0.998)
    )
    system: ActionFormer = SYSTEM


def train_detector(job: DetectTraining, *, quiet: bool = False) -> Detector | None:
    """Train, or go on where the run's folder stopped; None when `minutes` were up before the schedule was.

    LabanError when the dataset is missing or holds no clip of a known action.
    """
    dataset = MotionDataset.open(job.dataset)
    source = StreamSource(
        Pool(motion_clips(dataset, quiet=quiet)), replace(job.mix, seed=job.optimisation.seed),
        takes=list(read_takes(dataset, "train", quiet=quiet).values()),
    )  # fmt: skip
    torch.manual_seed(job.optimisation.seed)
    network = build_network(job.system, WIDTH, names())
    batches = StreamBatches(source, source.config)
    trained = fit(network, training_loss, batches, job.optimisation, job.run, minutes=job.minutes, progress=not quiet)
    return trained if isinstance(trained, Detector) and steps_done(job.run) >= job.optimisation.steps else None


@dataclass(frozen=True)
class FineTuning:
    """A short training of a trained network."""

    run: Path
    """A new folder; one that holds an interrupted run of the same kind is gone on with."""
    steps: int = 250
    lr: float = 1.5e-4
    mix: MixConfig = MixConfig(real=0.5)
    seed: int = 0


def finetune(
    network: Detector, real: Sequence[Clip], motion: Sequence[Clip], job: FineTuning, *, takes: Sequence[Stream] = (),
    quiet: bool = False,
) -> Detector:  # fmt: skip
    """Go on training with streams of labelled clips of people in video among the spliced motion; minutes on a CPU.

    `real` are clips with confidence, `motion` those of `motion_clips(dataset)`. The network is left
    as it is. LabanError for a label that is no class of the network.
    """
    unknown = sorted({clip.label for clip in real if clip.label is not None} - set(network.classes))
    if unknown:
        raise LabanError(f"fine-tuning: labels that are no class: {', '.join(unknown)}")
    mix = replace(job.mix, seed=job.seed, real=job.mix.real if real else 0.0)
    source = StreamSource(Pool(motion), mix, takes=takes, real=Pool(real) if real else None)
    config = TrainConfig(
        steps=job.steps, lr=job.lr, warmup=min(30, job.steps), weight_decay=0.03, ema=0.99, seed=job.seed
    )
    student = copy.deepcopy(network).train().requires_grad_(True)
    return fit(student, training_loss, StreamBatches(source, mix), config, job.run, progress=not quiet)
