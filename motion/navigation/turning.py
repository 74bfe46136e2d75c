"""Turning about where one stands: the words for turning, led to where one should look and back to where one stood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models import objectives
from models.representation import primitive
from motion.navigation.metrics import contact_score
from motion.navigation.stance import soles, stand_firm, turned
from motion.primitives.control import Distance, world_joints
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, State, noise_for, step
from motion.primitives.steering import conditions_for

TRIES = 24
"""Noises that are tried for each primitive."""
CALM = 0.6
"""Standard deviation of their noise."""
ROUND = 0.42
"""Radians that a primitive is turned at most by who turns about."""
TURNS = 12
"""Primitives in which one has turned about."""
FLESH = 0.06
"""Metres about the joints that are kept out of things."""
STANDS = 0.82
"""Metres of pelvis height from which somebody stands."""


@dataclass(frozen=True)
class Stand:
    """Where somebody is to stand, and which way to look."""

    spot: Float[Tensor, "2"]
    """(x, z) of the pelvis."""
    heading: float
    """Radians about +Y, 0 faces +Z."""
    near: float = 0.12
    """Metres from the spot that will do."""
    facing: float = 0.25
    """Radians from the heading that will do."""


def turn_about(
    network: PrimitiveModel, state: State, stand: Stand, distance: Distance | None, generator: torch.Generator,
    progress: Callable[[int], None] = lambda primitives: None,
) -> list[Made]:  # fmt: skip
    """The primitives in which one person turns on the spot until they look where they should, and step to the spot.

    Of `TRIES` futures of "turns left" and the like the one is taken that is best turned, stands best, touches least and
    is nearest. Nothing for who stands so already; it ends after `TURNS` primitives also for who does not get there.
    """
    made: list[Made] = []
    spot = stand.spot.cpu().float()
    for _ in range(TURNS):
        left = wrapped(stand.heading - heading_of(state))
        gap = spot - state.pelvis[0, -1, 0::2].cpu()
        if abs(left) < stand.facing and float(gap.norm()) < stand.near:
            break
        ahead = float(gap[0]) * math.sin(stand.heading) + float(gap[1]) * math.cos(stand.heading) > 0
        text = "a person steps forward" if ahead else "a person walks backwards"
        if abs(left) >= stand.facing:
            text = "a person turns left" if left > 0 else "a person turns right"
        condition = conditions_for(network, [text], 1, TRIES)[0]
        before = state.repeated(TRIES)
        with torch.no_grad():
            noise = CALM * noise_for(network, TRIES, generator)
            frames = step(network, before, condition, noise, STUDENT)[1]
            own = wrapped_each(headings_of(frames) - heading_of(state))
            frames = turned(before, frames, wrapped_each(left - own).clamp(-ROUND, ROUND))
            after, frames = stand_firm(network, before, frames)
        best = int(_astray(network, before, frames, stand, distance).argmin())
        state = after.people(slice(best, best + 1))
        made.append(frames.people(slice(best, best + 1)))
        progress(1)
    return made


def _astray(
    network: PrimitiveModel, before: State, frames: Made, stand: Stand, distance: Distance | None
) -> Float[Tensor, " people"]:
    """What is wrong with each future of somebody who turns about."""
    feet = soles(network, torch.cat([before.rotations[:, -1:], frames.rotations], 1),
                 torch.cat([before.pelvis[:, -1:], frames.pelvis], 1))  # fmt: skip
    cost = wrapped_each(stand.heading - headings_of(frames)).abs() - contact_score(feet, FPS)
    cost = cost + 2 * (frames.pelvis[:, -1, 0::2] - stand.spot.to(frames.pelvis)).norm(dim=-1)
    if distance is not None:
        joints = world_joints(network, frames.rotations, frames.pelvis)
        cost = cost + 12 * objectives.scene_penetration(joints, distance, FLESH)
    return cost + 3 * (STANDS - frames.pelvis[:, :, 1].amin(1)).clamp_min(0)


def heading_of(state: State) -> float:
    """Radians about +Y of the pelvis, 0 faces +Z."""
    forward = primitive.heading(state.rotations[0, -1, 0])[:, 2]
    return math.atan2(float(forward[0]), float(forward[2]))


def headings_of(made: Made) -> Float[Tensor, " people"]:
    """The same at the end of a primitive."""
    forward = primitive.heading(made.rotations[:, -1, 0])[:, :, 2]
    return torch.atan2(forward[:, 0], forward[:, 2])


def wrapped(angle: float) -> float:
    """Between -pi and pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def wrapped_each(angle: Float[Tensor, " people"]) -> Float[Tensor, " people"]:
    """Between -pi and pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
