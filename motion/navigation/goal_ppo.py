"""PPO by stable-baselines3 with the goal policy as its actor and a network of the same kind as its critic."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from motion.navigation.goal_env import GoalWorld
from motion.navigation.goal_gym import GoalVecEnv
from motion.navigation.goal_policy import GoalPolicy

DEVIATION = 0.3
"""Of actions around the policy's, at first; learned from then on."""


class _Both(nn.Module):
    """Actor and critic as stable-baselines3 calls them."""

    def __init__(self, actor: GoalPolicy, critic: nn.Module) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic
        self.latent_dim_pi = self.latent_dim_vf = actor.config.tokens * actor.config.latent

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(seen), self.critic(seen)

    def forward_actor(self, seen: Tensor) -> Tensor:
        return self.actor(seen)

    def forward_critic(self, seen: Tensor) -> Tensor:
        return self.critic(seen)


class GoalActorCritic(ActorCriticPolicy):
    """The actor's output is the mean of the action itself."""

    def __init__(self, *args: Any, actor: GoalPolicy, **options: Any) -> None:
        self.__dict__["_both"] = _Both(actor, GoalPolicy(replace(actor.config, bound=1e3)))  # torch knows of it later
        super().__init__(*args, **options)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = self.__dict__.pop("_both")

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # type: ignore[assignment]
        options: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **options)


def actor_of(model: PPO) -> GoalPolicy:
    """The policy that is trained."""
    return cast(_Both, model.policy.mlp_extractor).actor


def learner(policy: GoalPolicy, world: GoalWorld, *, roll: int, seed: int = 0, lr: float = 1e-4) -> PPO:
    """PPO with DART's settings (gamma 0.99, lambda 0.95, clip 0.2), a lower rate, and a bound on the drift."""
    torch.manual_seed(seed)
    policy.requires_grad_(True)  # a moving average, as `fit` returns it, has no gradients
    env = GoalVecEnv(world, policy.config.bound)
    rows = roll * world.people
    batch = rows // max(1, round(rows / 512))
    given = {"actor": policy, "ortho_init": False, "log_std_init": math.log(DEVIATION)}
    return PPO(GoalActorCritic, env, learning_rate=lr, n_steps=roll, batch_size=batch, n_epochs=5, gamma=0.99,
               gae_lambda=0.95, clip_range=0.2, max_grad_norm=0.5, target_kl=0.02, ent_coef=0.0, seed=None,
               policy_kwargs=given, device=world.goal.device)  # fmt: skip


def state_of(model: PPO) -> dict[str, Any]:
    """What a run needs to go on, as tensors and plain containers."""
    return {"policy": model.policy.state_dict(), "optimizer": model.policy.optimizer.state_dict(),
            "steps": model.num_timesteps}  # fmt: skip


def take_state(model: PPO, state: dict[str, Any]) -> None:
    """Go on from `state_of`."""
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.num_timesteps = state["steps"]
