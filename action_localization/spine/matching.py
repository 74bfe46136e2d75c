"""Set prediction: overlaps of spans, Hungarian assignment of queries to truth, and the loss over all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from action_localization.spine.losses import focal_loss


@dataclass(frozen=True)
class SetLoss:
    """Weights of the costs that match and of the losses that follow (Moment-DETR's by default)."""

    label: float = 4.0
    l1: float = 10.0
    giou: float = 1.0
    diou: float = 0.0
    empty: float = 0.1
    """Weight of queries that match nothing, in the softmax loss."""
    kind: Literal["softmax", "focal"] = "softmax"
    """softmax: the last column of the logits is "nothing"; focal: one sigmoid a class, nothing is no column."""
    auxiliary: bool = True
    """Whether all layers are trained, each with a matching of its own."""


@dataclass(frozen=True)
class SetTargets:
    """Padded truth: spans as (centre, width) in shares of the whole, class numbers; -1 is padding."""

    spans: Float[Tensor, "batch n 2"]
    labels: Int[Tensor, "batch n"]


@dataclass(frozen=True)
class Assignment:
    """Which query (of which sample) answers for which target; three columns of equal length."""

    sample: Int[Tensor, " pairs"]
    query: Int[Tensor, " pairs"]
    target: Int[Tensor, " pairs"]


def edges(spans: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """(centre, width) to (start, end)."""
    half = spans[..., 1] / 2
    return torch.stack([spans[..., 0] - half, spans[..., 0] + half], -1)


def centred(intervals: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """(start, end) to (centre, width)."""
    return torch.stack([intervals.mean(-1), intervals[..., 1] - intervals[..., 0]], -1)


def generalised_iou(
    one: Float[Tensor, "*n 2"], other: Float[Tensor, "*m 2"], *, distance: bool = False
) -> Float[Tensor, "*k"]:
    """gIoU (Rezatofighi et al., CVPR 2019) of (start, end) intervals, broadcast; `distance`: DIoU instead.

    In one dimension gIoU is IoU less the gap's share of the hull; DIoU is IoU less (distance of centres / hull)².
    """
    inner = torch.minimum(one[..., 1], other[..., 1]) - torch.maximum(one[..., 0], other[..., 0])
    hull = (torch.maximum(one[..., 1], other[..., 1]) - torch.minimum(one[..., 0], other[..., 0])).clamp(min=1e-6)
    both = inner.clamp(min=0)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - both
    iou = both / union.clamp(min=1e-6)
    if distance:
        return iou - ((one.mean(-1) - other.mean(-1)) / hull).square()
    return iou - (hull - union).clamp(min=0) / hull


@torch.no_grad()
def match(
    logits: Float[Tensor, "batch queries classes"], spans: Float[Tensor, "batch queries 2"], targets: SetTargets,
    weights: SetLoss,
) -> Assignment:  # fmt: skip
    """The assignment of least total cost, sample by sample (Kuhn 1955); targets beyond the queries stay out."""
    costs = _costs(logits.float(), spans.float(), targets, weights).cpu().numpy()
    rows: list[Tensor] = [torch.empty(3, 0, dtype=torch.long)]
    for sample, real in enumerate((targets.labels >= 0).cpu()):
        chosen = real.nonzero()[:, 0].numpy()
        query, column = linear_sum_assignment(costs[sample][:, chosen])
        target = torch.from_numpy(chosen[column])
        rows.append(torch.stack([torch.full_like(target, sample), torch.from_numpy(query), target]))
    sample, query, target = torch.cat(rows, 1).to(logits.device)
    return Assignment(sample, query, target)


def _costs(logits: Tensor, spans: Tensor, targets: SetTargets, weights: SetLoss) -> Tensor:
    """(batch, queries, n)."""
    label = targets.labels.clamp(min=0)[:, None].expand(-1, logits.shape[1], -1)
    if weights.kind == "softmax":
        cost = -weights.label * logits.softmax(-1).gather(2, label)
    else:  # Deformable DETR's: what becoming a positive would change
        one = focal_loss(logits, torch.ones_like(logits)) - focal_loss(logits, torch.zeros_like(logits))
        cost = weights.label * one.gather(2, label)
    mine, theirs = spans[:, :, None], targets.spans[:, None].to(spans.dtype)
    cost = cost + weights.l1 * (mine - theirs).abs().sum(-1)
    cost = cost - weights.giou * generalised_iou(edges(mine), edges(theirs))
    if weights.diou:
        cost = cost - weights.diou * generalised_iou(edges(mine), edges(theirs), distance=True)
    return torch.nan_to_num(cost, nan=1e6, posinf=1e6, neginf=-1e6)


def set_loss(
    logits: Sequence[Tensor] | Tensor, spans: Sequence[Tensor] | Tensor, targets: SetTargets, weights: SetLoss
) -> dict[str, Tensor]:
    """Losses over layers, last layer last: logits (layers, batch, queries, classes), spans (layers, batch, queries, 2).

    `loss` is the weighted sum over layers; the other terms are the last layer's own, unweighted.
    """
    first = 0 if weights.auxiliary else len(logits) - 1
    total, terms = torch.zeros((), device=logits[-1].device), dict[str, Tensor]()
    for layer in range(first, len(logits)):
        terms = _layer_loss(logits[layer], spans[layer], targets, weights)
        total = total + weights.label * terms["label"] + weights.l1 * terms["l1"] + weights.giou * terms["giou"]
        total = total + weights.diou * terms["diou"]
    return {"loss": total, **terms}


def _layer_loss(logits: Tensor, spans: Tensor, targets: SetTargets, weights: SetLoss) -> dict[str, Tensor]:
    found = match(logits, spans, targets, weights)
    label = targets.labels[found.sample, found.target]
    count = max(1, len(label))
    if weights.kind == "softmax":
        nothing = logits.shape[-1] - 1
        wanted = torch.full(logits.shape[:2], nothing, device=logits.device)
        wanted[found.sample, found.query] = label
        balance = torch.ones(nothing + 1, device=logits.device, dtype=logits.dtype)
        balance[nothing] = weights.empty
        label_loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), balance)
    else:
        wanted = torch.zeros_like(logits)
        wanted[found.sample, found.query, label] = 1
        label_loss = focal_loss(logits, wanted).sum() / count
    mine, theirs = spans[found.sample, found.query], targets.spans[found.sample, found.target].to(spans.dtype)
    ends, wanted_ends = edges(mine), edges(theirs)
    return {
        "label": label_loss,
        "l1": (mine - theirs).abs().sum() / count,
        "giou": (1 - generalised_iou(ends, wanted_ends)).sum() / count,
        "diou": (1 - generalised_iou(ends, wanted_ends, distance=True)).sum() / count,
    }


def set_targets(intervals: Sequence[Float[Tensor, "_ 2"]], labels: Sequence[Int[Tensor, " _"]]) -> SetTargets:
    """(start, end) shares of each sample, padded into one batch."""
    most = max([1, *map(len, labels)])
    spans, numbers = torch.full((len(labels), most, 2), 0.5), torch.full((len(labels), most), -1)
    for sample, (ends, label) in enumerate(zip(intervals, labels, strict=True)):
        spans[sample, : len(ends)] = centred(ends)
        numbers[sample, : len(label)] = label
    return SetTargets(spans, numbers)
