"""ASL: how much each frame of an action counts for its class and for its boundaries, learnt beside the host.

Shao et al., Action Sensitivity Learning for Temporal Action Localization, ICCV 2023. Class level: a Gaussian per class
over the place in the action for the classification, two (towards start and end) for the boundaries. Instance level: a
head that predicts how good a point's answer will be. Both become weights of the host's losses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from action_localization.spine.encoder import Level
from action_localization.spine.heads import PointHead
from action_localization.spine.losses import contrastive_loss
from action_localization.spine.systems import ASL, HeadConfig


@dataclass(frozen=True)
class Positives:
    """The points that are responsible for a segment, over the whole batch."""

    batch: Int[Tensor, " n"]
    point: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    place: Float[Tensor, " n"]
    """Distance from the segment's centre in lengths of the segment: -0.5 at its start, 0.5 at its end."""
    quality: Float[Tensor, " n"]
    """Confidence in the class times IoU of the boundaries, without gradient."""


class Sensitivity(nn.Module):
    """Learnt weights of positives; used by the loss alone, so detecting costs nothing more."""

    def __init__(self, config: ASL, width: int, classes: int) -> None:
        super().__init__()
        self.config = config
        start = float(torch.tensor(config.sigma).log())
        self.class_mean = nn.Parameter(torch.zeros(classes))
        self.class_log_sigma = nn.Parameter(torch.full((classes,), start))
        self.boundary_mean = nn.Parameter(torch.tensor([-0.5, 0.5]).repeat(classes, 1))
        self.boundary_log_sigma = nn.Parameter(torch.full((classes, 2), start))
        self.quality: PointHead | None = None
        if config.instance:
            self.quality = PointHead(width, 1, HeadConfig(width=width, layers=1), causal=False)

    def forward(
        self, levels: tuple[Level, ...], positives: Positives
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], dict[str, Tensor]]:
        """(weights of the class loss, weights of the boundary loss, further terms by name); the weights have mean 1."""
        label, place = positives.label, positives.place
        for_class = _gaussian(place, self.class_mean[label], self.class_log_sigma[label])
        for_boundary = _gaussian(place[:, None], self.boundary_mean[label], self.boundary_log_sigma[label]).sum(-1)
        terms: dict[str, Tensor] = {}
        if self.quality is not None:
            found = torch.cat(self.quality(levels), 1)[positives.batch, positives.point, 0].float().sigmoid()
            if len(found):
                terms["quality"] = self.config.quality * (found - positives.quality).square().mean()
            for_class, for_boundary = (self._combine(level, found.detach()) for level in (for_class, for_boundary))
        return _mean_one(for_class), _mean_one(for_boundary), terms

    def contrast(
        self, features: Float[Tensor, "batch points width"], positives: Positives, weights: Float[Tensor, " n"],
        background: Float[Tensor, "m width"], generator: torch.Generator,
    ) -> Float[Tensor, ""]:  # fmt: skip
        """Frames that count most (weight of at least 1) of one class together, away from other classes and background.

        At most `anchors` frames are drawn; `background` are features of points without a segment.
        """
        chosen = torch.nonzero(weights.detach() >= 1)[:, 0]
        order = torch.randperm(len(chosen), generator=generator, device=generator.device).to(chosen.device)
        chosen = chosen[order][: self.config.anchors]
        anchors = features[positives.batch[chosen], positives.point[chosen]]
        loss = contrastive_loss(anchors, positives.label[chosen], background, self.config.temperature)
        return self.config.contrast * loss

    def _combine(self, by_class: Tensor, by_instance: Tensor) -> Tensor:
        return by_class * by_instance if self.config.combine == "product" else by_class + by_instance


def _gaussian(x: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    return torch.exp(-0.5 * (x - mean).square() * torch.exp(-2 * log_sigma))


def _mean_one(weights: Tensor) -> Tensor:
    return weights / weights.mean().clamp(min=1e-6) if len(weights) else weights
