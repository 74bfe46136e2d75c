"""Test-time tree search over noises, scored by the rewards of the world that one is in (DIMOS, Zhao et al., ICCV 2023).

Of many first primitives the best are kept, each of them has children, of all these the best are kept, and so on until
somebody is there: a beam search in which the policy proposes and the rewards decide. It works for any world and policy,
and for none: then noises are random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from motion.navigation.goal_env import GoalWorld
from motion.navigation.goal_policy import GoalPolicy
from motion.primitives.rollout import Made, State, noise_for


@dataclass(frozen=True)
class SearchConfig:
    """How wide and how deep the tree is."""

    first: int = 128
    """First primitives (DIMOS: 128)."""
    children: int = 16
    """Of each primitive that is expanded (16)."""
    expanded: int = 8
    """Primitives that are expanded at each depth (8)."""
    depth: int = 60
    """Primitives at most, of 0.27 s."""
    spread: float = 0.5
    """Standard deviation of noises around the policy's; the first of each set is the policy's own."""
    there: float = 5.0
    """Reward of being there, besides the world's own: who is there first, well, has the best way."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("first", "children", "expanded", "depth"):
            if getattr(self, name) < 1:
                raise LabanError(f"search: {name} {getattr(self, name)}; accepted: 1 or more")
        if self.expanded > self.first:
            raise LabanError(f"search: expands {self.expanded} of {self.first} primitives; accepted: at most all")


GREEDY = SearchConfig(first=1, children=1, expanded=1, spread=0.0)
"""No search: the policy alone."""


@dataclass(frozen=True)
class Found:
    """The best way of one person."""

    made: tuple[Made, ...]
    reward: float
    """What it earned."""
    reached: bool
    noise: Float[Tensor, "primitives tokens latent"]
    """What its primitives are made from."""
    world: GoalWorld
    """Where it led."""

    @property
    def state(self) -> State:
        """The last two frames."""
        return self.made[-1].state


@torch.no_grad()
def search(
    world: GoalWorld, policy: GoalPolicy | None, config: SearchConfig = SearchConfig(), *, person: int = 0,
    progress: Callable[[int], None] = lambda primitives: None,
) -> Found:  # fmt: skip
    """The best way found for one person of a world, until they have reached their goal or `depth` is.

    The world stays as it is. `progress` is called after each depth. Ties and seeds make it repeatable.
    """
    generator = torch.Generator().manual_seed(config.seed)
    tree = world.chosen(torch.full((config.first,), person))
    total = torch.zeros(config.first, device=tree.goal.device)
    trail: list[tuple[Tensor, Made, Tensor]] = []
    parents = torch.zeros(config.first, dtype=torch.long, device=tree.goal.device)
    for depth in range(config.depth):
        noise = proposed(tree, policy, config, config.first if depth == 0 else config.children, generator)
        outcome = tree.step(noise)
        total = total + outcome.reward - 1e3 * outcome.fallen
        score = total + config.there * outcome.reached
        best = score.argsort(descending=True, stable=True)[: config.expanded]
        trail.append((parents[best], outcome.made.people(best), noise[best]))
        progress(1)
        reached = bool(outcome.reached[best[0]])
        if reached or depth + 1 == config.depth:
            break
        tree = tree.chosen(best.repeat_interleave(config.children))
        total = total[best].repeat_interleave(config.children)
        parents = torch.arange(len(best), device=best.device).repeat_interleave(config.children)
    made, noises = _traced(trail)
    return Found(made, float(total[best[0]]), reached, noises, tree.chosen(best[:1]))


def proposed(
    world: GoalWorld, policy: GoalPolicy | None, config: SearchConfig, siblings: int, generator: torch.Generator
) -> Float[Tensor, "people tokens latent"]:
    """Noises around the policy's, which the first of each `siblings` gets as it is; random ones without a policy."""
    drawn = noise_for(world.network, world.people, generator)
    if policy is None:
        return drawn
    own = policy.shaped(policy(world.observation()[:, : policy.sees]))
    around = own + config.spread * drawn
    first = torch.arange(world.people, device=own.device) % siblings == 0
    return torch.where(first[:, None, None], own, around)


def _traced(trail: list[tuple[Tensor, Made, Tensor]]) -> tuple[tuple[Made, ...], Tensor]:
    """From the best leaf back to the root."""
    made, noises, row = list[Made](), list[Tensor](), 0
    for parents, frames, noise in reversed(trail):
        made.append(frames.people(slice(row, row + 1)))
        noises.append(noise[row])
        row = int(parents[row])
    return tuple(reversed(made)), torch.stack(noises[::-1])
