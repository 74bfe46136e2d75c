"""The losses of the spine, element by element, so that whoever calls them can weigh the elements."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def focal_loss(
    logits: Float[Tensor, "*n"], targets: Float[Tensor, "*n"], alpha: float = 0.25,
    gamma: float | Float[Tensor, "*#n"] = 2.0,
) -> Float[Tensor, "*n"]:  # fmt: skip
    """Sigmoid focal loss (Lin et al., ICCV 2017) against targets in [0, 1]; `gamma` may differ, e.g. by class."""
    chance = logits.sigmoid()
    right = chance * targets + (1 - chance) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - right) ** gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def offsets_iou(offsets: Float[Tensor, "*n 2"], targets: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """IoU of two intervals around one point, given as distances (to start, to end) >= 0."""
    both = torch.minimum(offsets, targets).sum(-1)
    union = offsets.sum(-1) + targets.sum(-1) - both
    return both / union.clamp(min=1e-8)


def diou_loss(offsets: Float[Tensor, "*n 2"], targets: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """1 - IoU + (distance of the centres / length of the hull)² (Zheng et al., AAAI 2020), in one dimension."""
    hull = torch.maximum(offsets, targets).sum(-1)
    apart = offsets - targets
    centres = 0.5 * (apart[..., 1] - apart[..., 0])
    return 1 - offsets_iou(offsets, targets) + (centres / hull.clamp(min=1e-8)).square()


def balanced_bce(
    logits: Float[Tensor, "*n"], positive: Bool[Tensor, "*n"], real: Bool[Tensor, "*n"]
) -> Float[Tensor, ""]:
    """Cross-entropy over the `real` elements with positives and negatives counting half each (BMN)."""
    real_float = real.float()
    count, positives = real_float.sum().clamp(min=1), (positive & real).float().sum().clamp(min=1)
    ratio = (count / positives).clamp(min=1.001)
    weight = torch.where(positive, 0.5 * ratio, 0.5 * ratio / (ratio - 1)) * real_float
    losses = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    return (weight * losses).sum() / count


def contrastive_loss(
    anchors: Float[Tensor, "n width"], labels: Int[Tensor, " n"], background: Float[Tensor, "m width"],
    temperature: float,
) -> Float[Tensor, ""]:  # fmt: skip
    """Supervised InfoNCE (Khosla et al., NeurIPS 2020): an anchor's positives are the others of its class.

    Rows need not be normalised. Anchors without a positive do not count; 0 when there are none.
    """
    count = len(anchors)
    own = torch.eye(count, dtype=torch.bool, device=anchors.device)
    same = (labels[:, None] == labels) & ~own
    useful = same.any(1)
    if not useful.any():
        return anchors.sum() * 0
    anchors, background = F.normalize(anchors.float(), dim=-1), F.normalize(background.float(), dim=-1)
    logits = anchors @ torch.cat([anchors, background]).T / temperature
    logits = logits.masked_fill(F.pad(own, (0, len(background))), -torch.inf)
    log_chance = logits[:, :count] - logits.logsumexp(1, keepdim=True)
    mean = torch.where(same, log_chance, 0.0).sum(1) / same.sum(1).clamp(min=1)
    return -mean[useful].mean()


def gaussian_kl(
    mean: Float[Tensor, "*n latent"], log_variance: Float[Tensor, "*n latent"], other: Float[Tensor, "*n latent"],
    other_log: Float[Tensor, "*n latent"],
) -> Float[Tensor, "*n"]:  # fmt: skip
    """KL divergence of one diagonal Gaussian from another, in nats."""
    apart = (log_variance.exp() + (mean - other).square()) / other_log.exp()
    return 0.5 * (apart - 1 + other_log - log_variance).sum(-1)
