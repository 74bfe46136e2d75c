"""Worlds of furnished rooms as gymnasium and stable-baselines3 know environments, by the name of the task."""

from __future__ import annotations

import gymnasium
from numpy import ndarray
from stable_baselines3.common.vec_env import VecEnv

from motion.navigation.goal_env import GoalWorld
from motion.navigation.goal_gym import GoalEnv, GoalVecEnv
from motion.navigation.scene_training import SceneTraining
from motion.primitives.network import load_primitives


def make_env(
    task: str = "walk", *, primitives: str = "primitives_research", rooms: int = 8, seed: int = 0
) -> gymnasium.Env[ndarray, ndarray]:
    """One person in generated rooms who walks ways ("walk") or sits, lies and gets up ("act").

    An action is the noise of the next primitive (0.27 s), observations are `SceneWorld`'s or `SeatWorld`'s; an episode
    ends with a fall and is cut when a goal takes too long. LabanError for other tasks.
    """
    return GoalEnv(_world(task, primitives, 1, rooms, seed))


def make_vec_env(
    task: str = "walk", people: int = 256, *, primitives: str = "primitives_research", rooms: int = 24, seed: int = 0
) -> VecEnv:
    """Hundreds of people in generated rooms, computed in one batch, as stable-baselines3 takes them."""
    return GoalVecEnv(_world(task, primitives, people, rooms, seed))


def _world(task: str, primitives: str, people: int, rooms: int, seed: int) -> GoalWorld:
    return SceneTraining(kind=task, rooms=rooms, seed=seed).world(load_primitives(primitives), people, seed)
