"""DenoiseLoc (Xu et al., ICLR 2024): true spans are noised, and a decoder denoises them in one pass.

Spans are diffused by the shared cosine schedule at a random step. The decoder's layers, with dynamic convolutions, are
the denoising steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from action_localization.grounded.moment_detr import MomentDETR, SetGrounder, SetGrounding, grounding_loss, read_slots
from action_localization.grounded.queries import GroundingBatch, Learning, Span, asking, train_grounding
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.matching import SetLoss, SetTargets
from action_localization.spine.set_decoder import SetDecoderConfig
from models.attention import sinusoid
from models.diffusion.schedule import NoiseSchedule, add_noise, cosine_schedule
from models.features import Features


@dataclass(frozen=True)
class DenoiseLoc:
    """The paper's weights, 30 spans and scale; fewer layers (it has 8) and narrower ones."""

    host: MomentDETR = field(
        default_factory=lambda: MomentDETR(
            decoder=SetDecoderConfig(queries=30, init="noise", layers=4, roi=8),
            loss=SetLoss(label=2.0, l1=10.0, giou=1.3, empty=0.1),
        )
    )
    steps: int = 1000
    scale: float = 4.0
    """Spans in [0, 1] become [-scale, scale] before they are noised, and are cut to that afterwards."""
    nms: float = 0.8
    learning: Learning = field(default_factory=Learning)


class SpanDenoiser(nn.Module):
    """A set grounder that starts from noised spans and knows the step of the diffusion."""

    def __init__(self, config: DenoiseLoc, features: int, text: int) -> None:
        super().__init__()
        self.config = config
        self.grounder = SetGrounder(config.host, features, text)
        width = config.host.fusion.width
        self.step = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.schedule = cosine_schedule(config.steps)

    def forward(
        self, batch: GroundingBatch, spans: Float[Tensor, "queries slots 2"], t: Int[Tensor, " queries"]
    ) -> SetGrounding:
        """Spans (centre, width) at step t to clean ones, layer by layer."""
        condition = self.step(sinusoid(t.float(), self.config.host.fusion.width))
        return self.grounder(batch, spans, condition)


def noised_spans(
    spans: Float[Tensor, "queries slots 2"], t: Int[Tensor, " queries"], schedule: NoiseSchedule, scale: float,
    generator: torch.Generator,
) -> Float[Tensor, "queries slots 2"]:  # fmt: skip
    """q(x_t | x_0) of spans; t = -1 adds nothing."""
    noise = torch.randn(spans.shape, generator=generator, device=spans.device)
    noisy = add_noise(schedule, (2 * spans - 1) * scale, t, noise)
    return (noisy.clamp(-scale, scale) / scale + 1) / 2


def padded_truth(targets: SetTargets, slots: int, generator: torch.Generator) -> Float[Tensor, "queries slots 2"]:
    """True spans repeated over half of the slots, the rest drawn from N(0.5, 1/6); all drawn where nothing is true."""
    device = targets.spans.device
    shape = (len(targets.labels), slots, 2)
    result = (0.5 + torch.randn(shape, generator=generator, device=device) / 6).clamp(0.01, 0.99)
    for number, real in enumerate(targets.labels >= 0):
        true = targets.spans[number][real]
        if len(true):
            count = max(len(true), slots // 2)
            result[number, :count] = true.repeat(-(-count // len(true)), 1)[:count][:slots]
    return result


def denoise_loss(network: SpanDenoiser, batch: GroundingBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Noise the truth at a random step, denoise it, and match what comes out."""
    config = network.config
    t = torch.randint(config.steps, (len(batch.video),), generator=generator, device=batch.values.device)
    start = padded_truth(batch.targets, config.host.decoder.queries, generator)
    noisy = noised_spans(start, t, network.schedule, config.scale, generator)
    return grounding_loss(network(batch, noisy, t), batch, config.host, generator)


def fit_denoise_loc(
    data: RegimeSet, config: DenoiseLoc, folder: Path, *, seed: int, quiet: bool = True, text: int = 384,
    deadline: float | None = None,
) -> SpanDenoiser:  # fmt: skip
    """Train on `data.train` and the sentences there."""
    torch.manual_seed(seed)
    network = SpanDenoiser(config, data.width, text)
    return train_grounding(network, denoise_loss, data.train, config.learning, folder, seed=seed, quiet=quiet,
                           deadline=deadline)  # fmt: skip


@torch.inference_mode()
def ground_denoise_loc(
    network: SpanDenoiser, features: Features, sentences: Sequence[str], *, seed: int = 0
) -> list[list[Span]]:
    """For each sentence its spans in seconds: random spans, one pass, suppression at a fixed overlap."""
    config = network.config
    batch = asking(features, sentences)
    generator = torch.Generator().manual_seed(seed)
    slots = config.host.decoder.queries
    noise = torch.randn(len(sentences), slots, 2, generator=generator)
    spans = (noise.clamp(-config.scale, config.scale) / config.scale + 1) / 2
    t = torch.full((len(sentences),), config.steps - 1)
    return read_slots(network.eval()(batch, spans, t), features, config.nms)
