"""The one loss of all systems, as `models.training.fit` takes it."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_localization.spine.batches import Batch
from action_localization.spine.boundary_map import BoundaryMatcher, map_loss
from action_localization.spine.losses import diou_loss, focal_loss, offsets_iou
from action_localization.spine.network import DenseOutput, Detector
from action_localization.spine.points import Points, Targets, assign
from action_localization.spine.semantics import semantics_loss
from action_localization.spine.sensitivity import Positives
from action_localization.spine.systems import CSA, wrapper
from models.training import drawing_from, mean_over_processes


def training_loss(
    network: Detector | BoundaryMatcher, batch: Batch, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """The named terms of a system's loss; `loss` is their sum. A function of network, batch and generator alone.

    What the network draws at random (stochastic depth) is seeded from the generator, and the caller's random state is
    left as it was. In training mode the running number of positives is updated.
    """
    with drawing_from(generator):
        out = network(batch.features, batch.mask)
    if isinstance(network, BoundaryMatcher):
        terms = map_loss(out, network.host, batch.segments, batch.labels, generator)
        activation = out.activation if out.gated else None
        mask = None
    else:
        terms = dense_loss(network, out, batch, generator)
        activation, mask = out.activation, batch.mask
    gate = wrapper(network.system, CSA)
    if gate is not None and activation is not None:
        terms["semantics"] = gate.auxiliary * semantics_loss(activation, mask, batch.labels)
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def dense_loss(
    network: Detector, out: DenseOutput, batch: Batch, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """Focal loss of the classes and DIoU loss of the boundaries, over the running number of positives.

    With ASL the positives are weighed, and its own terms are added.
    """
    learning = network.host.learning
    points = network.points(batch.features.shape[1])
    targets = assign(points, batch.segments, batch.labels, len(network.classes), radius=learning.radius)
    if out.mask is not None:
        targets = replace(targets, instance=torch.where(out.mask, targets.instance, -1))
    positives, offsets, wanted = _positives(out, points, targets, batch)
    of_class, of_boundary = (torch.ones_like(positives.place) for _ in range(2))
    terms: dict[str, Tensor] = {}
    if network.sensitivity is not None:
        of_class, of_boundary, terms = network.sensitivity(out.levels, positives)
        if network.sensitivity.config.contrast > 0:
            background = _background(out, targets, network.sensitivity.config.anchors, generator)
            terms["contrast"] = network.sensitivity.contrast(out.features, positives, of_class, background, generator)
    if learning.iou_power > 0:
        of_class = of_class * offsets_iou(offsets, wanted).detach() ** learning.iou_power
    classes = targets.classes * (1 - learning.smoothing) + learning.smoothing / (len(network.classes) + 1)
    weight = torch.ones_like(out.logits[..., 0], dtype=torch.float32) if out.mask is None else out.mask.float()
    weight = weight.index_put((positives.batch, positives.point), of_class)
    count = _normalise(network, len(positives.batch))
    focal = focal_loss(out.logits.float(), classes, learning.alpha, learning.gamma)
    return {
        "class": (focal.sum(-1) * weight).sum() / count,
        "boundary": learning.regression * (diou_loss(offsets, wanted) * of_boundary).sum() / count,
        **terms,
    }


def _positives(
    out: DenseOutput, points: Points, targets: Targets, batch: Batch
) -> tuple[Positives, Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """(the positives, their distances, the distances they should say)."""
    at, point = torch.nonzero(targets.positive, as_tuple=True)
    instance = targets.instance[at, point]
    label, segment = batch.labels[at, instance], batch.segments[at, instance]
    per_class = out.offsets[at, point].float()
    offsets = per_class[torch.arange(len(at)), label] if per_class.shape[1] > 1 else per_class[:, 0]
    wanted = targets.offsets[at, point]
    place = (points.place[point] - segment.mean(-1)) / (segment[:, 1] - segment[:, 0])
    chance = out.logits[at, point, label].float().sigmoid()
    quality = (chance * offsets_iou(offsets, wanted)).detach()
    return Positives(at, point, label, place, quality), offsets, wanted


def _background(out: DenseOutput, targets: Targets, count: int, generator: torch.Generator) -> Tensor:
    """Features of points without a segment, at most `count` of them, drawn at random."""
    free = ~targets.positive if out.mask is None else ~targets.positive & out.mask
    at, point = torch.nonzero(free, as_tuple=True)
    order = torch.randperm(len(at), generator=generator, device=generator.device)[:count].to(at.device)
    return out.features[at[order], point[order]]


def _normalise(network: Detector, positives: int) -> Tensor:
    """The running number of positives (of a process, in the mean), at least one; updated in training mode."""
    if network.training:
        momentum = network.host.learning.momentum
        with torch.no_grad():
            found = mean_over_processes(torch.full_like(network.normaliser, max(positives, 1)))
            network.normaliser.mul_(momentum).add_((1 - momentum) * found)
    return network.normaliser.clone()
