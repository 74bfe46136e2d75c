"""Make the embedded online detector: `python -m action_localization.online.build DATASET --run RUN -o FOLDER`.

It goes on where it stopped. MATR learns from what the offline detector learns from: spliced motion capture of the
`train` split and procedural motion, most of it seen through simulated cameras. The score from which it speaks is chosen
on streams of `val`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from action_localization.online.batches import MomentBatches, MomentConfig
from action_localization.online.matr import MATR, MATRConfig, matr_loss
from action_localization.online.windows import WindowConfig
from action_localization.pose.classes import names
from action_localization.pose.features import WIDTH
from action_localization.pose.mocap import read_takes
from action_localization.pose.streams import Pool
from action_localization.pose.training import MixConfig, StreamSource, motion_clips
from action_localization.spine.batches import TrainingVideo
from laban.progress import progress
from models.data.dataset import MotionDataset
from models.training import TrainConfig, fit, steps_done

PRESET = MATRConfig(
    window=64, memory=3, queries=6, back=16, ahead=16, encoder=WindowConfig(width=96, hidden=192),
    moments=MomentConfig(size=6, moments=8, past=192, block=64, ahead=16, back=16, noise=0.03),
    training=TrainConfig(
        steps=700, lr=1.5e-3, warmup=50, weight_decay=0.05, ema=0.99, precision="32-true", accelerator="cpu",
        log_every=20, save_minutes=4.0,
    ),
)  # fmt: skip
"""Rows are a tenth of a second: segments of 6.4 s, and a memory of 19 s more."""


@dataclass(frozen=True)
class Building:
    """What is built of what; `minutes` ends this call, not the run."""

    dataset: Path
    run: Path
    streams: int = 160
    minutes: float | None = None
    mix: MixConfig = field(default_factory=lambda: MixConfig(observed=0.6))
    config: MATRConfig = PRESET


def train(building: Building, *, quiet: bool = False) -> MATR | None:
    """Train, or go on where the run stopped; None when `minutes` were up before the schedule was."""
    config = building.config
    torch.manual_seed(config.training.seed)
    network = MATR(config, WIDTH, names())
    done = steps_done(building.run) >= config.training.steps
    videos = [] if done else learnt_streams(building, quiet=quiet)
    batches = MomentBatches(videos, replace(config.moments, seed=config.training.seed))
    network = fit(network, matr_loss, batches, config.training, building.run, minutes=building.minutes,
                  progress=not quiet)  # fmt: skip
    return network if steps_done(building.run) >= config.training.steps else None


def learnt_streams(building: Building, *, quiet: bool = False) -> list[TrainingVideo]:
    """The streams that are learnt from: a function of dataset and mix."""
    dataset = MotionDataset.open(building.dataset)
    source = StreamSource(Pool(motion_clips(dataset, quiet=quiet)), building.mix,
                          takes=list(read_takes(dataset, "train", quiet=quiet).values()))  # fmt: skip
    videos = []
    with progress("streams", building.streams, quiet=quiet) as advance:
        for number in range(building.streams):
            videos.append(source(number))
            advance(1)
    return videos
