"""Moment-DETR (Lei et al., NeurIPS 2021): a set of queries answers a sentence with spans; saliency beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from action_localization.grounded.fusion import FusedEncoder, FusionConfig, covered
from action_localization.grounded.queries import (
    GroundingBatch,
    Learning,
    Span,
    asking,
    to_spans,
    train_grounding,
)
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.matching import SetLoss, edges, set_loss
from action_localization.spine.nms import Candidates, SoftNMS, suppress
from action_localization.spine.set_decoder import SetDecoder, SetDecoderConfig
from models.features import Features


@dataclass(frozen=True)
class MomentDETR:
    """The paper's weights and two decoder layers; small widths, and spans refined from layer to layer (as later DETRs).

    The sentence is read as QD-DETR does (Moon et al., CVPR 2023): by cross-attention, not as more entries.
    """

    fusion: FusionConfig = FusionConfig()
    decoder: SetDecoderConfig = SetDecoderConfig(queries=10, init="learned", layers=2)
    loss: SetLoss = SetLoss(label=4.0, l1=10.0, giou=1.0, empty=0.1)
    saliency: float = 1.0
    margin: float = 0.2
    learning: Learning = field(default_factory=Learning)


@dataclass(frozen=True)
class SetGrounding:
    """Layers of class logits (one: the span, two: nothing) and spans, and the saliency of every cell."""

    logits: Float[Tensor, "layers queries slots 2"]
    spans: Float[Tensor, "layers queries slots 2"]
    saliency: Float[Tensor, "queries cells"]
    mask: Tensor


class SetGrounder(nn.Module):
    """A fused encoder, a set decoder over it, and heads; DenoiseLoc differs in where spans come from."""

    def __init__(self, config: MomentDETR, features: int, text: int) -> None:
        super().__init__()
        width = config.fusion.width
        self.config = config
        self.encoder = FusedEncoder(features, text, config.fusion)
        self.decoder = SetDecoder(replace(config.decoder, width=width, heads=config.fusion.heads))
        self.label = nn.Linear(width, 2)
        self.saliency = nn.Linear(width, 1)

    def forward(
        self, batch: GroundingBatch, spans: Float[Tensor, "queries slots 2"] | None = None,
        condition: Float[Tensor, "queries width"] | None = None,
    ) -> SetGrounding:  # fmt: skip
        """`spans` and `condition` as the decoder takes them."""
        memory, vector = self.encoder(batch)
        condition = vector if condition is None else vector + condition
        states = self.decoder({"video": memory}, spans=spans, condition=condition)
        saliency = self.saliency(memory.values)[..., 0]
        return SetGrounding(self.label(states.content), states.spans, saliency, memory.real())


def grounding_loss(
    out: SetGrounding, batch: GroundingBatch, config: MomentDETR, generator: torch.Generator
) -> dict[str, Tensor]:
    """The set loss of all layers and the hinge between a cell inside a window and one outside."""
    terms = set_loss(out.logits, out.spans, batch.targets, config.loss)
    hinge = saliency_loss(out.saliency, batch, out.mask, config.margin, generator)
    return {**terms, "saliency": hinge, "loss": terms["loss"] + config.saliency * hinge}


def saliency_loss(
    saliency: Float[Tensor, "queries cells"], batch: GroundingBatch, mask: Tensor, margin: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:  # fmt: skip
    """max(0, margin + outside - inside) for a random cell of each; queries without either do not count."""
    inside = covered(batch.targets, mask)
    outside = mask & ~inside & ~covered(batch.unsure, mask)
    useful = (inside.any(1) & outside.any(1)).nonzero()[:, 0]
    if not len(useful):
        return saliency.sum() * 0
    drawn = [torch.multinomial(where[useful].float().cpu(), 1, generator=generator) for where in (inside, outside)]
    one, other = (saliency[useful].gather(1, index.to(saliency.device))[:, 0] for index in drawn)
    return (margin + other - one).clamp(min=0).mean()


def moment_detr_loss(network: SetGrounder, batch: GroundingBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """What training minimises."""
    return grounding_loss(network(batch), batch, network.config, generator)


def fit_moment_detr(
    data: RegimeSet, config: MomentDETR, folder: Path, *, seed: int, quiet: bool = True, text: int = 384,
    deadline: float | None = None,
) -> SetGrounder:  # fmt: skip
    """Train on `data.train` and the sentences there."""
    torch.manual_seed(seed)
    network = SetGrounder(config, data.width, text)
    return train_grounding(network, moment_detr_loss, data.train, config.learning, folder, seed=seed, quiet=quiet,
                           deadline=deadline)  # fmt: skip


@torch.inference_mode()
def ground_moment_detr(network: SetGrounder, features: Features, sentences: Sequence[str]) -> list[list[Span]]:
    """For each sentence its spans in seconds, the likeliest first; no suppression, as in the paper."""
    out = network.eval()(asking(features, sentences))
    return read_slots(out, features)


@torch.inference_mode()
def saliency_curve(
    network: SetGrounder, features: Features, sentences: Sequence[str]
) -> Float[ndarray, "sentences cells"]:
    """The saliency of every cell of the video for each sentence; no unit."""
    return network.eval()(asking(features, sentences)).saliency.numpy()


def read_slots(out: SetGrounding, features: Features, nms: float | None = None) -> list[list[Span]]:
    """The last layer's spans by their chance; with `nms`, those that overlap a likelier one by more fall out."""
    chances = out.logits[-1].softmax(-1)[..., 0].numpy()
    intervals = edges(out.spans[-1]).clamp(0, 1).numpy().astype(np.float64)
    answers = []
    for chance, ends in zip(chances.astype(np.float64), intervals, strict=True):
        kept = Candidates(ends[:, 0], ends[:, 1], chance, np.zeros(len(chance), np.int64))
        if nms is not None:
            kept = suppress(kept, SoftNMS(method="hard", overlap=nms, min_score=1e-9, keep=len(chance)))
        answers.append(to_spans(features, np.stack([kept.start, kept.end], 1), kept.score))
    return answers
