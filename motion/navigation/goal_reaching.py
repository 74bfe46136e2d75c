"""How well goals are reached: random places around somebody who stands, with and without a policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.objectives import foot_skate
from models.representation.primitive import HISTORY
from motion.navigation.goal_env import GoalWorld, elapsed
from motion.navigation.goal_policy import GoalPolicy
from motion.primitives.control import world_joints
from motion.primitives.frames import FPS
from motion.primitives.rollout import noise_for


@dataclass(frozen=True)
class Reached:
    """Who got to the goal, when, and how near anybody came; `skate` is the mean of foot speeds in contact."""

    reached: Bool[Tensor, " people"]
    seconds: Float[Tensor, " people"]
    """Until then; NaN for who did not."""
    nearest: Float[Tensor, " people"]
    skate: Float[Tensor, " people"]
    """m/s, until then or the end."""
    gait: Int[Tensor, " people"]
    """Number of the gait."""

    @property
    def success(self) -> float:
        """Share that got there."""
        return float(self.reached.float().mean())


@torch.no_grad()
def reach_goals(world: GoalWorld, policy: GoalPolicy | None, *, seed: int, seconds: float = 16.0) -> Reached:
    """Everybody in `world` stands and goes to one random goal; without a policy noises are random.

    The goals of a seed are the same whoever walks.
    """
    world.seeded(seed)
    world.reset()
    goal, gait = world.goal.clone(), world.gait.clone()
    noises = torch.Generator().manual_seed(seed + 1)
    people = world.people
    nearest, when = torch.full((people,), math.inf), torch.full((people,), math.nan)
    rotations, pelvis = [world.state.rotations], [world.state.pelvis]
    for k in range(math.ceil(seconds / elapsed(1))):
        noise = noise_for(world.network, people, noises)
        if policy is not None:
            noise = policy.shaped(policy(world.observation()))
        world.state, made = world.move(world.state, world.condition(), noise)
        gaps = (made.pelvis[..., 0::2] - goal[:, None]).norm(dim=-1).cpu()
        near = (gaps < world.task.success).float()
        first = elapsed(k) + (near.argmax(1) + 1) / FPS
        when = torch.where(torch.isnan(when) & near.any(1), first, when)
        nearest = torch.minimum(nearest, gaps.amin(1))
        rotations.append(made.rotations)
        pelvis.append(made.pelvis)
    joints = world_joints(world.network, torch.cat(rotations, 1), torch.cat(pelvis, 1))
    end = torch.where(torch.isnan(when), math.inf, when * FPS + HISTORY)
    valid = (torch.arange(joints.shape[1])[None] < end[:, None]).to(joints.device)
    skate = foot_skate(joints, FPS, valid=valid).cpu()
    return Reached(~torch.isnan(when), when, nearest, skate, gait.cpu())
