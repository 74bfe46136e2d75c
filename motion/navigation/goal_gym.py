"""A goal world as gymnasium knows environments: one person at a time, and as stable-baselines3's vector of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy import ndarray
from stable_baselines3.common.vec_env import VecEnv

from motion.navigation.goal_env import GoalWorld, Outcome

SEEN = 100.0
"""Bound of an observation's numbers."""


def spaces_of(world: GoalWorld, bound: float) -> tuple[spaces.Box, spaces.Box]:
    """(observations, actions): the action is the noise of a primitive as one row."""
    noise = world.network.config.tokens * world.network.config.latent
    return (spaces.Box(-SEEN, SEEN, (world.seen,), np.float32), spaces.Box(-bound, bound, (noise,), np.float32))


class GoalEnv(gymnasium.Env[ndarray, ndarray]):
    """One person; an episode ends with a fall, and is cut when a goal takes too long. Goals that are reached move."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, world: GoalWorld, bound: float = 3.0) -> None:
        if world.people != 1:
            raise ValueError(f"a world of {world.people} people; expected 1")
        self.world = world
        self.observation_space, self.action_space = spaces_of(world, bound)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ndarray, dict[str, Any]]:
        """Stand at the origin with a new goal and gait; with a seed always the same ones."""
        super().reset(seed=seed)
        if seed is not None:
            self.world.seeded(seed)
        return numbers(self.world.reset())[0], {}

    @torch.no_grad()
    def step(self, action: ndarray) -> tuple[ndarray, float, bool, bool, dict[str, Any]]:
        """One primitive."""
        outcome = self.world.step(_noise(self.world, action[None]))
        info = {name: float(value[0]) for name, value in outcome.terms.items()}
        fallen, late = bool(outcome.fallen[0]), bool(outcome.late[0])
        return numbers(outcome.observation)[0], float(outcome.reward[0]), fallen, late, info


class GoalVecEnv(VecEnv):
    """The people of a world as so many environments, all computed in one batch."""

    def __init__(self, world: GoalWorld, bound: float = 3.0) -> None:
        self.world = world
        seen, noise = spaces_of(world, bound)
        super().__init__(world.people, seen, noise)
        self._action = np.zeros((world.people, *noise.shape), np.float32)

    def reset(self) -> ndarray:
        """Everybody stands at the origin."""
        return numbers(self.world.reset())

    def step_async(self, actions: ndarray) -> None:
        self._action = actions

    @torch.no_grad()
    def step_wait(self) -> tuple[ndarray, ndarray, ndarray, list[dict[str, Any]]]:
        """One primitive for everybody; who has fallen or takes too long starts anew."""
        outcome = self.world.step(_noise(self.world, self._action))
        over = outcome.fallen | outcome.late
        infos = self._infos(outcome)
        if bool(over.any()):
            self.world.start_anew(over)
        return numbers(self.world.observation()), outcome.reward.cpu().numpy(), over.cpu().numpy(), infos

    def _infos(self, outcome: Outcome) -> list[dict[str, Any]]:
        last = numbers(outcome.observation)
        rows: list[dict[str, Any]] = [{"reached": bool(reached)} for reached in outcome.reached]
        for k in (outcome.fallen | outcome.late).nonzero()[:, 0].tolist():
            rows[k] |= {"terminal_observation": last[k], "TimeLimit.truncated": not bool(outcome.fallen[k])}
        return rows

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None) for _ in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **options: Any) -> list[Any]:
        return [getattr(self, method_name)(*args, **options) for _ in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: None | int | Sequence[int]) -> Sequence[int]:
        return range(self.num_envs) if indices is None else [indices] if isinstance(indices, int) else indices


def numbers(observation: torch.Tensor) -> ndarray:
    """An observation as gymnasium takes it."""
    return torch.nan_to_num(observation).detach().clamp(-SEEN, SEEN).float().cpu().numpy()


def _noise(world: GoalWorld, action: ndarray) -> torch.Tensor:
    rows = torch.from_numpy(np.asarray(action, np.float32)).to(world.goal.device)
    return rows.unflatten(-1, (world.network.config.tokens, world.network.config.latent))
