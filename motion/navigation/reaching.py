"""How well people get where they should in a world: to the end of a way, or into a pose; with and without search."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.objectives import foot_skate
from models.representation.primitive import FUTURE
from motion.navigation.goal_env import GoalWorld, elapsed
from motion.navigation.goal_policy import GoalPolicy
from motion.navigation.search import GREEDY, SearchConfig, proposed, search
from motion.primitives.control import world_joints
from motion.primitives.frames import FPS


@dataclass(frozen=True)
class Attempts:
    """What each person of a world did until they were there, or time was up."""

    rotations: Float[Tensor, "people frames 22 3 3"]
    pelvis: Float[Tensor, "people frames 3"]
    valid: Bool[Tensor, "people frames"]
    """Frames until the primitive in which they arrived."""
    reached: Bool[Tensor, " people"]
    fallen: Bool[Tensor, " people"]
    terms: dict[str, Float[Tensor, " people"]]
    """Means over their primitives of the rewards' terms."""
    skate: Float[Tensor, " people"]
    """m/s of foot joints in contact."""

    @property
    def seconds(self) -> Float[Tensor, " people"]:
        """Until they were there, or time was up."""
        return self.valid.sum(-1) / FPS

    def summary(self) -> dict[str, float]:
        """Means over people; `seconds` over those who got there."""
        within = self.seconds[self.reached]
        row = {"n": len(self.reached), "success": float(self.reached.float().mean()),
               "fallen": float(self.fallen.float().mean()), "skate": float(self.skate.mean()),
               "seconds": float(within.mean()) if len(within) else math.nan}  # fmt: skip
        row |= {name: float(self.terms[name].mean()) for name in ("penetration", "facing") if name in self.terms}
        return {name: round(value, 4) for name, value in row.items()}


@torch.no_grad()
def attempts(
    world: GoalWorld, policy: GoalPolicy | None, *, seed: int | None = None, seconds: float = 16.0,
    config: SearchConfig | None = None, progress: Callable[[int], None] = lambda primitives: None,
) -> Attempts:  # fmt: skip
    """Everybody once to their goal, anew with `seed`, or as they are; by tree search where a config is given.

    The same seed gives the same starts whoever walks. Without a policy noises are random.
    """
    if seed is not None:
        world.seeded(seed)
        world.reset()
    depth = math.ceil(seconds / elapsed(1))
    runs = _searched(world, policy, config, depth, progress) if config else _together(world, policy, depth, progress)
    joints = world_joints(world.network, runs.rotations, runs.pelvis)
    return Attempts(runs.rotations, runs.pelvis, runs.valid, runs.reached, runs.fallen, runs.terms,
                    foot_skate(joints, FPS, valid=runs.valid))  # fmt: skip


@dataclass(frozen=True)
class _Runs:
    rotations: Tensor
    pelvis: Tensor
    valid: Tensor
    reached: Tensor
    fallen: Tensor
    terms: dict[str, Tensor]


def _together(
    world: GoalWorld, policy: GoalPolicy | None, depth: int, progress: Callable[[int], None]
) -> _Runs:  # fmt: skip
    """All people in one batch, each primitive once."""
    generator = torch.Generator().manual_seed(0)
    going = torch.ones(world.people, dtype=torch.bool, device=world.goal.device)
    reached, fallen, count = torch.zeros_like(going), torch.zeros_like(going), torch.zeros_like(world.age)
    made, totals = [], dict[str, Tensor]()
    for _ in range(depth):
        outcome = world.step(proposed(world, policy, GREEDY, 1, generator))
        made.append(outcome.made)
        count = count + going
        for name, value in outcome.terms.items():
            totals[name] = totals.get(name, torch.zeros_like(value)) + value * going
        reached, fallen = reached | (going & outcome.reached), fallen | (going & outcome.fallen)
        going = going & ~outcome.reached & ~outcome.fallen
        progress(1)
        if not bool(going.any()):
            break
    frames = torch.arange(len(made) * FUTURE, device=count.device)
    return _Runs(torch.cat([m.rotations for m in made], 1), torch.cat([m.pelvis for m in made], 1),
                 frames < FUTURE * count[:, None], reached, fallen,
                 {name: value / count.clamp_min(1) for name, value in totals.items()})  # fmt: skip


def _searched(
    world: GoalWorld, policy: GoalPolicy | None, config: SearchConfig, depth: int, progress: Callable[[int], None]
) -> _Runs:
    """One person after the other by tree search; what was found is then done again for its terms."""
    runs: list[_Runs] = []
    for person in range(world.people):
        found = search(world, policy, replace(config, depth=depth), person=person, progress=progress)
        again = world.chosen(torch.tensor([person]))
        outcomes = [again.step(noise[None]) for noise in found.noise]
        terms = {name: torch.stack([one.terms[name] for one in outcomes]).mean(0) for name in outcomes[0].terms}
        rotations = torch.cat([one.made.rotations for one in outcomes], 1)
        pelvis = torch.cat([one.made.pelvis for one in outcomes], 1)
        valid = torch.ones(pelvis.shape[:2], dtype=torch.bool, device=pelvis.device)
        fallen = torch.stack([one.fallen for one in outcomes]).any(0)
        runs.append(_Runs(rotations, pelvis, valid, torch.tensor([found.reached]), fallen, terms))
    longest = max(run.pelvis.shape[1] for run in runs)
    stack = [torch.cat([_padded(getattr(run, name), longest) for run in runs]) for name in ("rotations", "pelvis")]
    valid = torch.cat([torch.nn.functional.pad(run.valid, (0, longest - run.valid.shape[1])) for run in runs])
    return _Runs(stack[0], stack[1], valid, torch.cat([run.reached for run in runs]),
                 torch.cat([run.fallen for run in runs]),
                 {name: torch.cat([run.terms[name] for run in runs]) for name in runs[0].terms})  # fmt: skip


def _padded(frames: Tensor, count: int) -> Tensor:
    """With its last frame again and again."""
    return torch.cat([frames, frames[:, -1:].expand(-1, count - frames.shape[1], *frames.shape[2:])], 1)
