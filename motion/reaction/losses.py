"""What the stages of a reaction are trained on: InterGen's geometric terms, and an interaction loss between people."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.diffusion.denoiser import Condition
from models.diffusion.schedule import add_noise
from models.objectives import pair_vectors
from models.representation import pair, rifke
from motion.reaction.features import (
    BODY,
    WAY,
    actor_alone,
    actor_beside,
    in_frame,
    path_of,
    start_yaw,
    way_of,
)
from motion.reaction.network import Stage, beside

EASED = 0.25
"""Share of the interaction loss where one network makes everything: with the way unknown it is four times as large."""
SKEW = 0.4
"""Radians: the deviation by which windows' frames are turned off the actor's first heading, in training."""
CREEP = 0.005
"""Decimetres per frame below which a resting foot's speed is punished by its square, above by its size."""


@dataclass(frozen=True)
class Reactions:
    """A training batch: people as they are in the world, Y up, metres, at 20 fps."""

    actor_points: Float[Tensor, "batch frames 24 3"]
    actor_path: Float[Tensor, "batch frames 5"]
    actor_body: Float[Tensor, "batch frames 205"]
    points: Float[Tensor, "batch frames 24 3"]
    path: Float[Tensor, "batch frames 5"]
    body: Float[Tensor, "batch frames 205"]
    mask: Bool[Tensor, "batch frames"]
    condition: Condition


@dataclass(frozen=True)
class ReactionWeights:
    """Weights of the terms beside the plain x0 loss; lengths in decimetres, so that all are of order one."""

    velocity: float = 4.0
    """Squared error of how a normalised way changes per frame, times 20."""
    joints: float = 2.0
    joint_velocity: float = 10.0
    skate: float = 1.0
    interaction: float = 5.0
    """Huber error of vectors between the points of both, weighted by how near these are (`models.objectives`)."""
    near: float = 0.15
    """Metres: the scale on which closeness counts."""
    drop: float = 0.15
    """Share of texts that are left out."""
    rest_speed: float = 0.008
    stray: float = 1.0
    """How far ways stray from the truth when bodies learn to reach what they reached, as a share of `STRAY`."""


STRAY = (0.12, 0.02, 0.2)
"""Deviations of a way that strays: planar and vertical in metres, heading in radians; half constant, half swaying."""


def way_loss(
    network: Stage, batch: Reactions, generator: torch.Generator, weights: ReactionWeights = ReactionWeights()
) -> dict[str, Tensor]:
    """x0 regression of the reactor's way, and of how it changes (InterGen's velocity and relative orientation)."""
    angle = start_yaw(batch.actor_path)
    angle = angle + SKEW * torch.randn(angle.shape, generator=generator, device=angle.device)
    x = way_of(batch.path, batch.actor_path, angle)
    condition = beside(batch.condition, actor_alone(batch.actor_points, batch.actor_path, angle))
    predicted, signal = _denoised(network, x, condition, batch.mask, generator, weights)
    terms = _way_terms(predicted, x, batch.mask, signal)
    return {"loss": terms["x0"] + weights.velocity * terms["velocity"], **terms}


def body_loss(
    network: Stage, batch: Reactions, generator: torch.Generator, weights: ReactionWeights = ReactionWeights()
) -> dict[str, Tensor]:
    """Stage two: the body on a way that is given, a little off the true one, reaching what was truly reached."""
    path = stray(batch.path, generator, weights.stray)
    body = torch.cat([pair.root_columns(path), batch.body[..., 4:]], -1)
    x = network.normalise(body)
    partner = actor_beside(batch.actor_points, batch.actor_path, path, x[..., :4])
    predicted, signal = _denoised(network, x, beside(batch.condition, partner), batch.mask, generator, weights)
    predicted = torch.cat([x[..., :4], predicted[..., 4:]], -1)
    with torch.autocast(x.device.type, enabled=False):
        terms = {"x0": _mean(_huber(predicted - x)[..., 4:].mean(-1), batch.mask)}
        terms |= _geometry(network, predicted, batch, path, signal, weights)
    return {"loss": _total(terms, weights), **terms}


def whole_loss(
    network: Stage, batch: Reactions, generator: torch.Generator, weights: ReactionWeights = ReactionWeights()
) -> dict[str, Tensor]:
    """One network for way and body, and, in a joint one, for the actor, who is known in half of the rows."""
    angle = start_yaw(batch.actor_path)
    way, joint = way_of(batch.path, batch.actor_path, angle), network.config.variant == "joint"
    parts = [network.normalise(batch.body), way]
    condition = batch.condition
    if joint:
        parts.append(network.normalise(batch.actor_body))
    else:
        condition = beside(condition, actor_alone(batch.actor_points, batch.actor_path, angle))
    x = torch.cat(parts, -1)
    if joint:
        known = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        told = torch.rand(len(x), generator=generator, device=x.device) < 0.5
        known[..., BODY + WAY :] = told[:, None, None]
        condition = Condition(condition.tokens, condition.mask, condition.sentence, condition.slots, (x, known))
    predicted, signal = _denoised(network, x, condition, batch.mask, generator, weights)
    with torch.autocast(x.device.type, enabled=False):
        terms = {"x0": _mean(_huber(predicted - x).mean(-1), batch.mask)}
        own = _way_terms(predicted[..., BODY : BODY + WAY], way, batch.mask, signal)
        terms |= {"way": own["x0"], "way_velocity": own["velocity"]}
        path = path_of(predicted[..., BODY : BODY + WAY], batch.actor_path, angle)
        on_way = torch.cat([network.normalise(_columns(path, batch.body))[..., :4], predicted[..., 4:BODY]], -1)
        terms |= _geometry(network, on_way, batch, path, signal, weights)
    way_total = terms["way"] + weights.velocity * terms["way_velocity"]
    eased = replace(weights, interaction=EASED * weights.interaction)
    return {"loss": _total(terms, eased) + 0.5 * way_total, **terms}


def _columns(path: Tensor, like: Tensor) -> Tensor:
    """Root columns of a path, as the first of 205 that are otherwise zero; normalisation is per column."""
    columns = pair.root_columns(path)
    return torch.cat([columns, columns.new_zeros(*columns.shape[:-1], like.shape[-1] - 4)], -1)


def _total(terms: dict[str, Tensor], weights: ReactionWeights) -> Tensor:
    return (terms["x0"] + weights.joints * terms["joints"] + weights.joint_velocity * terms["joint_velocity"]
            + weights.skate * terms["skate"] + weights.interaction * terms["interaction"])  # fmt: skip


def stray(path: Float[Tensor, "batch frames 5"], generator: torch.Generator, share: float) -> Tensor:
    """Ways that are a little off, each constantly and swaying slowly, as those of stage one are (`STRAY`)."""
    rows, frames = path.shape[:2]

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=path.device)

    spread = path.new_tensor([STRAY[0], STRAY[0], STRAY[1], STRAY[2]]) * share * math.sqrt(0.5)
    time = torch.arange(frames, device=path.device)[None, :, None] / 20
    period = 2.0 + 4.0 * torch.rand(rows, 1, 4, generator=generator, device=path.device)
    phase = 2 * math.pi * torch.rand(rows, 1, 4, generator=generator, device=path.device)
    sway = math.sqrt(2) * torch.sin(2 * math.pi * time / period + phase) * normal(rows, 1, 4)
    off = spread * (normal(rows, 1, 4) + sway)
    yaw = pair.yaw_of(path) + off[..., 3]
    return torch.cat([path[..., :3] + off[..., :3], yaw.sin()[..., None], yaw.cos()[..., None]], -1)


def _denoised(
    network: Stage, x: Tensor, condition: Condition, mask: Tensor, generator: torch.Generator, weights: ReactionWeights
) -> tuple[Tensor, Tensor]:
    """(predicted clean features, signal of each row)."""
    rows, device = len(x), x.device
    t = torch.randint(0, network.config.steps, (rows,), generator=generator, device=device)
    noise = torch.randn(x.shape, generator=generator, device=device)
    drop = torch.rand(rows, generator=generator, device=device) < weights.drop
    predicted = network(add_noise(network.schedule, x, t, noise), t, condition.without_text(drop), mask)
    return predicted.float(), network.schedule.alpha(t) ** 2


def _way_terms(predicted: Tensor, x: Tensor, mask: Tensor, signal: Tensor) -> dict[str, Tensor]:
    error = predicted - x
    steps = mask[:, 1:] & mask[:, :-1]
    change = 20 * (error[:, 1:] - error[:, :-1])
    return {"x0": _mean(error.square().mean(-1), mask),
            "velocity": _mean(change.square().mean(-1), steps, signal) / 16}  # fmt: skip


def _geometry(
    network: Stage, predicted: Tensor, truth: Reactions, path: Tensor, signal: Tensor, weights: ReactionWeights
) -> dict[str, Tensor]:
    """Joints, their speed, feet that rest, and vectors between people, of bodies on `path`.

    Speed and feet count by the signal of their row: what is made of noise is an average, which has neither.
    """
    features, wanted = network.restore(predicted), truth.body[..., 136:].unflatten(-1, (23, 3))
    positions = rifke.local_positions(rifke.heading_rotations(features), network.rest)
    steps = truth.mask[:, 1:] & truth.mask[:, :-1]
    error = 10 * (positions - wanted)
    still = rifke.foot_velocities(truth.body, wanted).norm(dim=-1) < weights.rest_speed
    creep = (100 * rifke.foot_velocities(features, positions).square().sum(-1) + CREEP**2).sqrt() - CREEP
    terms = {
        "joints": _mean(error.square().mean((-1, -2)), truth.mask),
        "joint_velocity": _mean((error[:, 1:] - error[:, :-1]).square().mean((-1, -2)), steps, signal),
        "skate": _mean((still * creep).sum(-1), steps, signal),
    }
    rise = torch.cat([torch.zeros_like(path[..., :2]), path[..., 2:3]], -1)[..., [0, 2, 1]]
    body = torch.cat([rise[..., None, :], positions + rise[..., None, :]], -2)
    apart = pair_vectors(body, in_frame(truth.actor_points, path), in_frame(truth.points, path),
                         in_frame(truth.actor_points, path), scale=weights.near)  # fmt: skip
    return {**terms, "interaction": _mean(apart, truth.mask)}


def _huber(error: Tensor) -> Tensor:
    """Squared up to one deviation, then linear: captured takes have a few frames that are far from everything."""
    size = error.abs()
    return torch.where(size < 1, size.square(), 2 * size - 1)


def _mean(values: Tensor, mask: Tensor, rows: Tensor | None = None) -> Tensor:
    weight = mask.float() if rows is None else mask * rows[:, None]
    return (values * weight).sum() / mask.sum().clamp(min=1)
