"""The hybrid: DIP's objectives as noise optimisation on primitives, on a small model with random weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.diffusion.denoiser import DenoiserConfig
from models.rotations import axis_angle_to_matrix
from motion.navigation.dip_energy import OURS, DipWeights, asked
from motion.navigation.hybrid import HybridConfig, Windows, hybrid, primitives_of, text_at, walking
from motion.navigation.journey import GoalPose, Journey, plan_of
from motion.primitives.control import pillars
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel, save_primitives
from motion.primitives.rollout import standing
from tests.small_primitives import small_primitives

SMALL = PrimitiveConfig(
    tokens=2, latent=4, width=16, layers=1, heads=2, hidden=16, known=(("walk", 5), ("sit down", 5)),
    denoiser=DenoiserConfig(4, 16, 1, 2, 16, patch=1, text=384, slots=(("history", FEATURES),)), steps=50,
)  # fmt: skip
QUICK = HybridConfig(horizon=2, keep=1, iterations=4, settling=4, policy=None, lr=0.1)
STRAIGHT = np.array([[0.0, 0.0], [0.0, 0.8]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small model with random weights that gets about a little."""
    model = small_primitives(SMALL, 0.08)
    folder = tmp_path_factory.mktemp("hybrid") / "small"
    save_primitives(folder, model, "# small\n")
    return folder


def seated() -> GoalPose:
    turns = np.tile(np.eye(3), (22, 1, 1))
    for joint, bend in ((1, -1.5), (2, -1.5), (4, 1.5), (5, 1.5)):
        turns[joint] = axis_angle_to_matrix(torch.tensor([bend, 0.0, 0.0], dtype=torch.float64)).numpy()
    return GoalPose(turns, np.array([0.0, 0.55, 1.0]))


def test_optimised_noises_lead_along_the_way_more_than_random_ones(checkpoint):
    journey = Journey(STRAIGHT, speed=1.0, scene=pillars([(0.42, 0.3, 0.25)]))
    config = replace(QUICK, lr=0.3, prior=0.0, weights={"walk": DipWeights(0, 1.0, 0, 0)})
    told: list[int] = []
    free = hybrid(journey, replace(config, settling=0), checkpoint=checkpoint)
    led = hybrid(journey, replace(config, settling=8), checkpoint=checkpoint, progress=told.append)
    assert led.errors["path"] < free.errors["path"] and sum(told) > 8
    assert led.motion.fps == 30 and led.motion.frames == led.plan.frames and led.backend == "hybrid"


def test_the_goal_pose_is_met_and_the_best_candidate_kept(checkpoint):
    journey = Journey(STRAIGHT, speed=1.0, goal=seated())
    made = hybrid(journey, replace(QUICK, settling=1, candidates=2), checkpoint=checkpoint)
    assert made.errors["pose"] < 0.01 and made.errors["goal"] < 0.01
    assert made.errors["total"] <= made.mean["total"]


def test_seeds_make_the_same_motion_again(checkpoint):
    journey = Journey(STRAIGHT, speed=1.0)
    first, again, other = (hybrid(journey, replace(QUICK, settling=1, seed=seed), checkpoint=checkpoint)
                           for seed in (3, 3, 4))  # fmt: skip
    assert np.array_equal(first.motion.rotations, again.motion.rotations)
    assert not np.array_equal(first.motion.rotations, other.motion.rotations)


def test_who_is_late_gets_more_time_and_who_is_not_none(checkpoint):
    task = asked(plan_of(Journey(np.array([[0.0, 0.0], [0.0, 4.0]]), speed=1.2), 30), None, every=1 / 30)
    windows = Windows(small(), None, QUICK, OURS["walk"])
    frame = 64
    states = [standing(small(), 1, places=torch.tensor([[0.0, 0.0, z]]), dtype=torch.float32)
              for z in (float(task.plan.places[frame, 1]), float(task.plan.places[frame - 24, 1]))]  # fmt: skip
    on_time, late = (windows.caught_up(task, state, frame, 999) for state in states)
    assert on_time is task and late.plan.frames == task.plan.frames + 24
    assert np.allclose(late.plan.places[frame], task.plan.places[frame - 24])
    assert windows.caught_up(task, states[1], frame, task.plan.frames) is task  # never for ever


def small() -> PrimitiveModel:
    return PrimitiveModel(SMALL, load_body(OPEN_BODY).joint_template).eval()


def test_words_and_ways_by_primitive():
    plan = plan_of(Journey(np.array([[0.0, 0.0], [0.0, 3.0]]), speed=1.2, goal=seated()), 30)
    count = primitives_of(plan)
    texts = [text_at(plan, k) for k in range(count)]
    assert texts[0] == "a person walks forward" and texts[-1] == "a person sits down"
    walks = [walking(plan, k) for k in range(count)]
    assert walks[0] and not walks[-1] and walks == sorted(walks, reverse=True)


def test_bad_input_is_refused(checkpoint):
    with pytest.raises(LabanError, match="keeps 3 primitives of a window of 2"):
        HybridConfig(horizon=2, keep=3)
    with pytest.raises(LabanError, match="candidates 0"):
        HybridConfig(candidates=0)
    through = Journey(STRAIGHT, scene=pillars([(0.0, 0.5, 0.3)]))
    with pytest.raises(LabanError, match="inside of something"):
        hybrid(through, QUICK, checkpoint=checkpoint)
    with pytest.raises(LabanError, match="not a number"):
        Journey(np.array([[0.0, math.inf], [0.0, 1.0]]))
