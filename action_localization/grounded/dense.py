"""A dense text-conditioned head (UniVTG, UniMD): the pyramid's classifier and regressor are made from the sentence.

Lin et al. (ICCV 2023) and Zeng et al. (ECCV 2024). The video is read once, whatever is asked about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from action_localization.grounded.fusion import TextReader, against_video
from action_localization.grounded.queries import (
    GroundingBatch,
    Learning,
    QueryConfig,
    Span,
    asking,
    optimisation,
    to_spans,
    train_grounding,
)
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.decode import best_of_levels, level_candidates
from action_localization.spine.encoder import Encoder, Level
from action_localization.spine.heads import Trunk
from action_localization.spine.losses import diou_loss, focal_loss
from action_localization.spine.matching import SetTargets, edges
from action_localization.spine.nms import SoftNMS, suppress
from action_localization.spine.points import assign, pyramid_points
from action_localization.spine.systems import DecodingConfig, EncoderConfig, HeadConfig
from models.features import Features
from models.training import drawing_from


@dataclass(frozen=True)
class DenseGrounding:
    """A pyramid (`encoder.levels` 1: one level, as UniVTG) and heads whose last layers the sentence makes."""

    encoder: EncoderConfig = EncoderConfig(width=96, levels=5, embed=2, stem=1, heads=4, window=9, hidden=192)
    head: HeadConfig = HeadConfig(width=96, layers=1, prior=0.02)
    decoding: DecodingConfig = DecodingConfig(
        threshold=0.0, candidates=300, nms=SoftNMS(method="hard", overlap=0.7, min_score=1e-9, keep=10)
    )
    reach: float = 4.0
    radius: float = 1.5
    learning: Learning = field(
        default_factory=lambda: Learning(QueryConfig(videos=8, queries=8), optimisation(800, lr=1.5e-3))
    )


@dataclass(frozen=True)
class DenseAnswer:
    """What every point of the pyramid says about every query."""

    logits: Float[Tensor, "queries points"]
    offsets: Float[Tensor, "queries points 2"]
    """Distances to start and end, in strides."""
    mask: Tensor


class DenseGrounder(nn.Module):
    """Levels of an encoder, two trunks, and a sentence that becomes a class weight and a gate of the boundaries.

    With `levels_from`, the levels are those of a network that stays as it is and is no part of the weights.
    """

    def __init__(self, config: DenseGrounding, features: int, text: int, *, own: bool = True) -> None:
        super().__init__()
        width = config.head.width
        self.config = config
        self.encoder = Encoder(config.encoder, features) if own else None
        self.class_trunk = Trunk(config.encoder.width, config.head, causal=False)
        self.boundary_trunk = Trunk(config.encoder.width, config.head, causal=False)
        self.reader = TextReader(text, width)
        self.weight, self.gate = nn.Linear(width, width + 1), nn.Linear(width, width)
        self.boundary = nn.Linear(width, 2)
        self.scales = nn.Parameter(torch.ones(config.encoder.levels))
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.prior = float(np.log(config.head.prior / (1 - config.head.prior)))

    def levels(self, batch: GroundingBatch) -> tuple[Level, ...]:
        """The pyramid of each video."""
        if self.encoder is None:
            raise RuntimeError("a grounder without an encoder of its own needs levels")
        return self.encoder.pyramid(self.encoder.embed(batch.values, batch.mask), batch.mask)

    def forward(self, batch: GroundingBatch, levels: tuple[Level, ...] | None = None) -> DenseAnswer:
        """`levels` in place of those of its own encoder."""
        levels = self.levels(batch) if levels is None else levels
        vector = self.reader(batch.sentence, batch.tokens, batch.words)
        weight, bias = self.weight(vector).split([vector.shape[1], 1], -1)
        gate = 1 + self.gate(vector)
        logits, offsets, masks = [], [], []
        for scale, (x, mask) in zip(self.scales, levels, strict=True):
            fit = against_video(self.class_trunk(x, mask), weight, batch.video)
            logits.append(fit / weight.shape[1] ** 0.5 + bias + self.prior)
            edge = self.boundary_trunk(x, mask)
            ends = [against_video(edge, gate * side, batch.video) for side in self.boundary.weight]
            offsets.append(torch.relu(scale * (torch.stack(ends, -1) + self.boundary.bias)))
            real = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
            masks.append(real[batch.video])
        return DenseAnswer(torch.cat(logits, 1), torch.cat(offsets, 1), torch.cat(masks, 1))


def dense_loss(network: DenseGrounder, batch: GroundingBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Focal loss of all points, DIoU loss of the positive ones; points of unsure stretches alone are left out.

    What the network draws at random is seeded from the generator.
    """
    with drawing_from(generator):
        return answer_loss(network(batch), batch, network.config)


def answer_loss(answer: DenseAnswer, batch: GroundingBatch, config: DenseGrounding) -> dict[str, Tensor]:
    """The loss of an answer."""
    points = pyramid_points(batch.mask.shape[1], config.encoder.levels, reach=config.reach, overlap=True)
    targets = assign(points, entries(batch.targets, batch), batch.targets.labels, 1, radius=config.radius)
    unsure = assign(points, entries(batch.unsure, batch), batch.unsure.labels, 1, radius=2 * config.radius)
    positive = targets.positive & answer.mask
    counted = answer.mask & (positive | ~unsure.positive)
    focal = focal_loss(answer.logits.float(), positive.float())
    count = positive.sum().clamp(min=1)
    boundary = diou_loss(answer.offsets[positive], targets.offsets[positive]).sum() / count
    label = (focal * counted).sum() / count
    return {"loss": label + boundary, "label": label, "boundary": boundary}


def entries(targets: SetTargets, batch: GroundingBatch) -> Float[Tensor, "queries n 2"]:
    """(start, end) of targets in entries of their videos, entry 0 being the middle of the first."""
    return edges(targets.spans) * batch.length[:, None, None] - 0.5


def fit_dense(
    data: RegimeSet, config: DenseGrounding, folder: Path, *, seed: int, quiet: bool = True, text: int = 384,
    deadline: float | None = None,
) -> DenseGrounder:  # fmt: skip
    """Train on `data.train` and the sentences there."""
    torch.manual_seed(seed)
    network = DenseGrounder(config, data.width, text)
    return train_grounding(network, dense_loss, data.train, config.learning, folder, seed=seed, quiet=quiet,
                           deadline=deadline)  # fmt: skip


@torch.inference_mode()
def ground_dense(network: DenseGrounder, features: Features, sentences: Sequence[str]) -> list[list[Span]]:
    """For each sentence its spans in seconds, the likeliest first."""
    return read_answer(network.eval()(asking(features, sentences)), features, network.config)


def read_answer(answer: DenseAnswer, features: Features, config: DenseGrounding) -> list[list[Span]]:
    """Candidates of all points as spans in seconds, after suppression."""
    length = len(features.values)
    points = pyramid_points(length, config.encoder.levels, reach=config.reach, overlap=True)
    found = []
    for logits, offsets in zip(answer.logits.double().numpy(), answer.offsets.double().numpy(), strict=True):
        levels = level_candidates(logits[:, None], offsets[:, None], points, config.decoding)
        kept = suppress(best_of_levels([levels], config.decoding), config.decoding.nms, span=length)
        shares = (np.stack([kept.start, kept.end], 1) + 0.5) / length
        found.append(to_spans(features, shares, kept.score, config.decoding.nms.keep))
    return found


def curves(answer: DenseAnswer, entries: int, levels: int) -> Float[ndarray, "queries entries"]:
    """How likely each sentence is true at every entry: the best of the points over it, from all levels."""
    sizes = pyramid_points(entries, levels).sizes
    best = np.zeros((len(answer.logits), entries))
    first, chance = 0, answer.logits.sigmoid().double().numpy()
    for level, size in enumerate(sizes):
        repeated = np.repeat(chance[:, first : first + size], 2**level, axis=1)[:, :entries]
        best = np.maximum(best, repeated)
        first += size
    return best
