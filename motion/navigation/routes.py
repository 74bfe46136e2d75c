"""From a place to another with streamed primitives: along a path or to a goal by optimised noise, or by the policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.representation.primitive import FUTURE
from motion.navigation.goal_policy import GoalPolicy
from motion.primitives.control import (
    Distance,
    Objective,
    approach,
    check_clear,
    checked_path,
    follow,
    keep_out,
    natural,
    timed_path,
)
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, Sampling, State, noise_for, standing, step
from motion.primitives.steering import SteerConfig, conditions_for, steer

STILL = 0.15
"""Metres a second below which words get nobody anywhere."""
NEAR = 0.3
"""Metres of the pelvis from a goal that is reached."""
LATE = 3.0
"""Seconds more than the straight way takes that somebody has to reach a goal."""


@dataclass(frozen=True)
class Went:
    """One person's way: frames up to the arrival, and how well it went."""

    made: tuple[Made, ...]
    frames: int
    """Of `made`, until the arrival."""
    error: float
    """Metres: mean distance from where one was due on a path, or the distance from the goal at the end."""
    arrived: bool
    stopped: bool = False
    """Somebody pressed Ctrl-C on the way."""


@dataclass(frozen=True)
class Surroundings:
    """How fast one goes, and what one keeps out of."""

    speed: float | None = None
    """Metres a second; None: as fast as the words make people go."""
    scene: Distance | None = None


def usual_speed(
    network: PrimitiveModel, text: str, sampling: Sampling = STUDENT, *, people: int = 8, primitives: int = 12
) -> float:
    """Metres a second that the words make people go who are not steered; the median over the second half."""
    state, places = standing(network, people, dtype=torch.float32), []
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for condition in conditions_for(network, [text], primitives, people):
            state, made = step(network, state, condition, noise_for(network, people, generator), sampling)
            places.append(made.pelvis[:, -1, 0::2])
    half = torch.stack(places[primitives // 2 :], 1)
    return float(half.diff(dim=1).norm(dim=-1).mean(1).median() * FPS / FUTURE)


def go_along(
    network: PrimitiveModel, text: str, points: Float[ndarray, "points 2"], around: Surroundings = Surroundings(),
    config: SteerConfig = SteerConfig(), *, progress: Callable[[int], None] = lambda steps: None,
) -> Went:  # fmt: skip
    """Along a polyline of (x, z), from its first point on, where one stands facing along it, to its last.

    Raises LabanError for paths through the scene, words that get nobody anywhere, and speeds that nobody has.
    """
    points = checked_path(points, around.speed or 1.0)
    speed = _speed(network, text, around, config)
    places = timed_path(points, speed)
    check_clear(places, around.scene, "path")
    first = points[1] - points[0]
    start = standing(network, 1, places=torch.tensor([[points[0, 0], 0.0, points[0, 1]]]),
                     headings=torch.tensor([math.atan2(first[0], first[1])]))  # fmt: skip
    config = replace(config, primitives=-(-len(places) // FUTURE))
    objectives = [follow(places[None]), *_common(network, around)]
    steered = steer(network, start, [text], objectives, config, progress=progress)
    return Went(steered.made, len(places), float(steered.errors["path"][0]), True)


def go_to(
    network: PrimitiveModel, text: str, goal: tuple[float, float], around: Surroundings = Surroundings(),
    config: SteerConfig = SteerConfig(), *, start: State | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> Went:  # fmt: skip
    """To a place (x, z), from the origin where one stands facing +Z, by optimised noise."""
    start, place = start or standing(network), torch.tensor([goal])
    check_clear(place, around.scene, "goal")
    speed = _speed(network, text, around, config)
    away = float((place[0] - start.pelvis[0, -1, 0::2].cpu()).norm())
    config = replace(config, primitives=math.ceil((away / speed + LATE) * FPS / FUTURE))
    steered = steer(network, start, [text], [approach(place), *_common(network, around)], config, progress=progress)
    return arrival(steered.made, place)


def go_by_policy(
    network: PrimitiveModel, policy: GoalPolicy, gait: str, goals: Sequence[tuple[float, float]],
    scene: Distance | None = None, *, start: State | None = None, seconds: float = 16.0,
) -> Went:  # fmt: skip
    """To one place after the other as the policy leads; each has to be reached in so many seconds."""
    if not goals:
        raise LabanError("goal: none; expected one or more places x,z")
    state, made = start or standing(network, dtype=torch.float32), list[Made]()
    check_clear(torch.tensor(goals), scene, "goal")
    for goal in goals:
        place, before = torch.tensor([goal], device=network.mean.device), len(made)
        for _ in range(math.ceil(seconds * FPS / FUTURE)):
            said = policy.words(gait, state, place)[0]
            condition = conditions_for(network, [said], 1, 1)[0]
            with torch.no_grad():
                state, frames = step(network, state, condition, policy.noise(network, state, place, condition), STUDENT)
            made.append(frames)
            if float((frames.pelvis[0, :, 0::2] - place).norm(dim=-1).min()) < NEAR:
                break
        else:
            break
    return arrival(tuple(made), place, before)


def arrival(made: tuple[Made, ...], goal: Float[Tensor, "1 2"], before: int = 0) -> Went:
    """What was made up to the first frame that is within `NEAR` of the goal, or the nearest one.

    Frames of the first `before` primitives, on the way to other goals, do not count as there.
    """
    pelvis = torch.cat([m.pelvis for m in made], 1)[0, :, 0::2].cpu()
    gaps = (pelvis - goal.to(pelvis)).norm(dim=-1)
    gaps[: before * FUTURE] = torch.inf
    near = (gaps < NEAR).nonzero()
    frame = int(near[0]) if len(near) else int(gaps.argmin())
    return Went(made, frame + 1, float(gaps[frame]), bool(len(near)))


def _common(network: PrimitiveModel, around: Surroundings) -> tuple[Objective, ...]:
    scene = () if around.scene is None else (keep_out(around.scene, 5.0),)
    return (*natural(network), *scene)


def _speed(network: PrimitiveModel, text: str, around: Surroundings, config: SteerConfig) -> float:
    if around.speed is not None:
        checked_path(np.array([[0.0, 0.0], [1.0, 0.0]]), around.speed)
        return around.speed
    speed = usual_speed(network, text, config.sampling)
    if not speed > STILL:
        raise LabanError(
            f'"{text}" gets nobody anywhere ({speed:.2f} m/s); say how to go, such as walk, or give a speed'
        )
    return speed
