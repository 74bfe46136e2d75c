"""The fully supervised offline row that the other regimes are compared with: the spine's ActionFormer, made small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from action_localization.regimes.streams import RegimeSet
from action_localization.spine.batches import Batch, BatchConfig, FeatureBatches, training_video
from action_localization.spine.network import Detector
from action_localization.spine.nms import SoftNMS
from action_localization.spine.systems import ActionFormer, DecodingConfig, EncoderConfig, HeadConfig, LearningConfig
from action_localization.spine.training import training_loss
from models.training import TrainConfig, fit, small_training

SMALL = ActionFormer(
    encoder=EncoderConfig(width=64, levels=5, embed=2, stem=1, window=9, hidden=128),
    head=HeadConfig(width=64, layers=1),
    learning=LearningConfig(normaliser=60.0, iou_power=0.2),
    decoding=DecodingConfig(nms=SoftNMS(sigma=0.35, keep=400)),
)


@dataclass(frozen=True)
class OfflineConfig:
    """Sizes and steps; the same for all sets."""

    system: ActionFormer = SMALL
    frames: int = 384
    """Entries that streams are cropped to."""
    size: int = 4
    noise: float = 0.2
    """Standard deviation of what is added to the training features, as a share of their own."""
    training: TrainConfig = small_training(700, 2e-3)


def fit_offline(
    data: RegimeSet, folder: Path, config: OfflineConfig | None = None, *, seed: int = 0, quiet: bool = True
) -> Detector:
    """The detector of a set's training streams; resumable at any time."""
    config = config or OfflineConfig()
    torch.manual_seed(seed)
    network = Detector(config.system, data.width, data.classes)
    videos = [training_video(v.features, v.truth, data.classes, name=v.name) for v in data.train]
    batches = FeatureBatches(videos, BatchConfig(config.size, config.frames, shrink=0.6, seed=seed))
    scale = torch.from_numpy(videos[0].values).std()

    def loss(network: Detector, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = torch.randn(batch.features.shape, generator=generator)
        noisy = replace(batch, features=batch.features + config.noise * scale * noise)
        return training_loss(network, noisy, generator)

    return fit(network, loss, batches, replace(config.training, seed=seed), folder, progress=not quiet)
