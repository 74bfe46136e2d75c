"""The policy that reaches goals: what one sees in, the noise of the next primitive out; its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from laban.errors import LabanError
from laban.weights import find_weights, load_module, load_weights, save_weights
from models.diffusion.denoiser import Condition
from motion.navigation.goal_env import GAITS, Gait, GoalTask, local_goal, observe, observed_size, side
from motion.primitives.network import PrimitiveModel, digest_of
from motion.primitives.rollout import State


@dataclass(frozen=True)
class GoalPolicyConfig:
    """What a checkpoint needs to be rebuilt and used."""

    primitives: str
    """SHA-256 of the weights whose noise it gives; with others it would be meaningless."""
    width: int = 256
    blocks: int = 2
    bound: float = 3.0
    """No noise beyond this."""
    tokens: int = 2
    latent: int = 64
    text: int = 384
    gaits: tuple[Gait, ...] = GAITS
    aside: float = GoalTask().aside
    licence: str = ""
    extra: int = 0
    """Numbers that are seen besides the goal, the body and the text: of a room, and of what is in it."""
    task: str = "goal"
    """What it has learnt: "goal" (places on a bare floor), "walk" (ways through rooms), "act" (to sit, lie, get up)."""


class Block(nn.Module):
    """A residual step of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(self.norm(x))))


class GoalPolicy(nn.Module):
    """A residual MLP with bounded output, which starts as zero: the most usual motion (after DART's)."""

    def __init__(self, config: GoalPolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(observed_size(config.text), config.width)
        if config.extra:
            self.more = nn.Linear(config.extra, config.width, bias=False)
            nn.init.zeros_(self.more.weight)
        self.blocks = nn.ModuleList(Block(config.width) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.tokens * config.latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, observation: Float[Tensor, "people seen"]) -> Float[Tensor, "people noise"]:
        """The noise as one row, between -bound and bound."""
        size = self.embed.in_features
        hidden = self.embed(observation[:, :size].clamp(-10, 10))
        if self.config.extra:
            hidden = hidden + self.more(observation[:, size:])
        for block in self.blocks:
            hidden = block(hidden)
        return self.config.bound * torch.tanh(self.out(self.norm(hidden)) / self.config.bound)

    @property
    def sees(self) -> int:
        """Numbers of an observation that it reads; a world may have more."""
        return self.embed.in_features + self.config.extra

    def shaped(self, noise: Float[Tensor, "people noise"]) -> Float[Tensor, "people tokens latent"]:
        """As the sampler takes it."""
        return noise.unflatten(-1, (self.config.tokens, self.config.latent))

    def noise(
        self, network: PrimitiveModel, state: State, goal: Float[Tensor, "people 2"], condition: Condition
    ) -> Float[Tensor, "people tokens latent"]:
        """The noise with which each person's next primitive leads to the goal (x, z); for the student's two steps."""
        return self.shaped(self(observe(network, state, goal, condition.sentence)))

    def words(self, gait: str, state: State, goal: Float[Tensor, "people 2"]) -> list[str]:
        """What to say to each person: a known gait's turn when the goal is aside; other texts stay as they are."""
        known = next((own for own in self.config.gaits if gait in (own.name, *own.texts)), None)
        if known is None:
            return [gait] * len(state.pelvis)
        return [known.texts[k] for k in side(local_goal(state, goal), self.config.aside).tolist()]


def arrived(
    state: State, goal: Float[Tensor, "people 2"], within: float = GoalTask().success
) -> Bool[Tensor, " people"]:
    """Whose pelvis is so near to the goal now."""
    return (state.pelvis[:, -1, 0::2] - goal.to(state.pelvis)).norm(dim=-1) < within


def save_goal_policy(folder: str | Path, policy: GoalPolicy, card: str) -> str:
    """Write the checkpoint; returns the SHA-256 of its weights."""
    return save_weights(folder, policy.state_dict(), {"kind": "goal-policy", **asdict(policy.config)}, card)


def load_goal_policy(name: str | Path, primitives: str | Path) -> GoalPolicy:
    """The policy of a checkpoint, for the primitives it was trained with; LabanError with any others."""
    policy, digest = _load(find_weights(name)), digest_of(primitives)
    if policy.config.primitives != digest:
        raise LabanError(
            f"goal policy {name}: trained for primitives {policy.config.primitives[:12]}; {primitives} are"
            f" {digest[:12]}; train it for them with: laban train goal-policy --primitives {primitives}"
        )
    return policy


@lru_cache(maxsize=4)
def _load(folder: Path) -> GoalPolicy:
    tensors, config = load_weights(folder)
    return load_module(GoalPolicy(_parse(folder, config)), tensors, folder)


def _parse(folder: Path, config: Mapping[str, Any]) -> GoalPolicyConfig:
    if config.get("kind") != "goal-policy":
        raise LabanError(f"{folder}: holds a {config.get('kind')}; expected a goal-policy")
    fields = {key: value for key, value in config.items() if key in GoalPolicyConfig.__dataclass_fields__}
    fields["gaits"] = tuple(Gait(**gait) for gait in config["gaits"])
    return GoalPolicyConfig(**fields)
