"""The audio-visual rows of the table: MRAV, and its host on the pictures alone and on the sound alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from action_localization.audio.joining import common_width, joined, with_sound
from action_localization.regimes.streams import RegimeSet, RegimeVideo
from action_localization.spine.batches import BatchConfig, FeatureBatches, training_video
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector, build_network
from action_localization.spine.nms import SoftNMS
from action_localization.spine.systems import (
    ActionFormer,
    DecodingConfig,
    EncoderConfig,
    HeadConfig,
    LearningConfig,
    System,
)
from action_localization.spine.training import training_loss
from laban.timeline import Timeline
from models.features import Features
from models.training import TrainConfig, fit, small_training

Reads = Literal["fused", "visual", "audio"]

_HOST = ActionFormer(
    encoder=EncoderConfig(width=64, levels=4, embed=2, stem=1, heads=4, window=9, hidden=128),
    head=HeadConfig(width=64, layers=1), learning=LearningConfig(normaliser=60.0),
    decoding=DecodingConfig(nms=SoftNMS(sigma=0.35, keep=400)),
)  # fmt: skip


@dataclass(frozen=True)
class FusionConfig:
    """What a row reads, and how all rows alike are trained."""

    reads: Reads = "fused"
    host: ActionFormer = _HOST
    batch: BatchConfig = BatchConfig(size=8, frames=256)
    training: TrainConfig = small_training(500, 2e-3, warmup=40)


def fit_fusion(data: RegimeSet, config: FusionConfig, folder: Path, *, seed: int, quiet: bool = True) -> Detector:
    """MRAV, or its host on one of the two, from the training streams of a set; a run that was interrupted goes on."""
    width = common_width([video.audio for video in data.train])
    videos = [
        training_video(_input(video, config.reads, width), video.truth, data.classes, name=video.name)
        for video in data.train
    ]
    system: System = with_sound(config.host, width) if config.reads == "fused" else config.host
    torch.manual_seed(seed)
    network = build_network(system, videos[0].values.shape[1], data.classes)
    assert isinstance(network, Detector)
    batches = FeatureBatches(videos, replace(config.batch, seed=seed))
    return fit(network, training_loss, batches, replace(config.training, seed=seed), folder, progress=not quiet)


def fusion_detect(network: Detector, video: RegimeVideo, reads: Reads, *, width: int) -> Timeline:
    """Scored segments of a stream; `width` is that of the sound it may lack."""
    return detect_features(_input(video, reads, width), network.system, network, duration=video.truth.duration)


def detections(network: Detector, videos: Sequence[RegimeVideo], reads: Reads, *, width: int) -> dict[str, Timeline]:
    """`fusion_detect` of several streams, by name."""
    return {video.name: fusion_detect(network, video, reads, width=width) for video in videos}


def _input(video: RegimeVideo, reads: Reads, width: int) -> Features:
    """What a row sees of a stream; sound alone keeps the column that says where it is."""
    if reads == "visual":
        return video.features
    both = joined(video.features, video.audio, width)
    if reads == "fused":
        return both
    return Features(both.values[:, video.features.width :].copy(), both.grid, "sound")
