"""Reaching goals: the world and its views, the learner on a task with a known answer, and the checkpoint."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.diffusion.denoiser import Condition, DenoiserConfig
from models.representation import primitive
from models.representation.primitive import FUTURE
from models.rotations import yaw_rotation
from motion.navigation.goal_env import GAITS, Gaits, GoalTask, GoalWorld, Rewards, local_goal, mover, observe, side
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig, arrived, load_goal_policy, save_goal_policy
from motion.navigation.goal_reaching import reach_goals
from motion.navigation.goal_training import GoalTraining, fine_tune, goal_loss, pretrain
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel, save_primitives
from motion.primitives.rollout import Made, State, standing

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

SMALL = PrimitiveConfig(
    tokens=2, latent=4, width=16, layers=1, heads=2, hidden=16,
    denoiser=DenoiserConfig(4, 16, 1, 2, 16, patch=1, text=8, slots=(("history", FEATURES),)), steps=50,
)  # fmt: skip
TASK = GoalTask(gaits=GAITS[:2], farthest=4.0, patience=20, rewards=Rewards(skate=0))
"""A stiff body slides."""


def network(seed: int = 0) -> PrimitiveModel:
    """A small model with random weights whose person stands upright."""
    torch.manual_seed(seed)
    model = PrimitiveModel(SMALL, load_body(OPEN_BODY).joint_template)
    eye = torch.eye(3).expand(1, 1, 22, 3, 3)
    model.stance.copy_(primitive.encode(eye, torch.tensor([[[0.0, 0.93, 0.0]]]), model.rest)[0, 0])
    model.mean.copy_(model.stance)
    model.std.fill_(0.2)
    torch.nn.init.normal_(model.student.out.weight, std=0.3)
    torch.nn.init.normal_(model.vae.out.weight, std=0.3)
    return model.eval()


def gaits(seed: int = 0) -> Gaits:
    generator = torch.Generator().manual_seed(seed)
    rows = 3 * len(TASK.gaits)
    tokens = torch.randn(rows, 3, 8, generator=generator)
    sentence = torch.nn.functional.normalize(torch.randn(rows, 8, generator=generator), dim=-1)
    return Gaits(Condition(tokens, torch.ones(rows, 3, dtype=torch.bool), sentence))


def glide(state: State, condition: Condition, noise: torch.Tensor) -> tuple[State, Made]:
    """A stiff body: the first number of the noise turns it, the second moves it ahead, at most 0.4 m."""
    share = torch.arange(1, FUTURE + 1) / FUTURE
    turn = yaw_rotation(0.8 * torch.tanh(noise[:, 0, :1]) * share)
    first = turn @ state.rotations[:, -1:, 0]
    rotations = torch.cat([first[:, :, None], state.rotations[:, -1:, 1:].expand(-1, FUTURE, -1, -1, -1)], 2)
    speed = (0.4 * torch.sigmoid(noise[:, 0, 1]) / FUTURE)[:, None, None]
    pelvis = state.pelvis[:, -1:] + (first[..., :, 2] * speed).cumsum(1)
    made = Made(rotations, pelvis)
    return made.state, made


def world(people: int = 4, seed: int = 0, *, gliding: bool = True, task: GoalTask = TASK) -> GoalWorld:
    model = network()
    return GoalWorld(model, people, move=glide if gliding else mover(model), task=task, gaits=gaits(), seed=seed)


def policy_for(model: PrimitiveModel, digest: str = "0" * 64) -> GoalPolicy:
    torch.manual_seed(0)
    return GoalPolicy(GoalPolicyConfig(digest, 32, 1, tokens=2, latent=4, text=8, gaits=TASK.gaits))


@pytest.mark.parametrize("heading", [0.0, 1.0, -2.5])
def test_a_goal_is_seen_from_where_one_stands(heading):
    model = network()
    state = standing(model, 1, places=torch.tensor([[2.0, 0.0, -1.0]]), headings=torch.tensor([heading]))
    ahead = torch.tensor([[2 + 3 * math.sin(heading), -1 + 3 * math.cos(heading)]])
    left = torch.tensor([[2 + 3 * math.cos(heading), -1 - 3 * math.sin(heading)]])
    torch.testing.assert_close(local_goal(state, ahead).float(), torch.tensor([[0.0, 3.0]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(local_goal(state, left).float(), torch.tensor([[3.0, 0.0]]), atol=1e-5, rtol=0)
    assert side(local_goal(state, ahead), 0.8).item() == 0 and side(local_goal(state, left), 0.8).item() == 1


def test_an_observation_does_not_depend_on_the_place():
    model, sentence = network(), torch.zeros(1, 8)
    here, there = standing(model, 1), standing(model, 1, places=torch.tensor([[5.0, 0.0, 7.0]]))
    first = observe(model, here, torch.tensor([[1.0, 2.0]]), sentence)
    torch.testing.assert_close(observe(model, there, torch.tensor([[6.0, 9.0]]), sentence), first)


def test_the_reward_reaches_the_noise_of_earlier_primitives():
    people = world(gliding=False)
    noise = torch.randn(4, 2, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    people.step(noise)
    outcome = people.step(torch.zeros(4, 2, 4))
    (gradient,) = torch.autograd.grad(outcome.reward.sum(), noise)
    assert torch.isfinite(gradient).all() and (gradient.flatten(1).norm(dim=-1) > 0).all()


def test_walking_towards_the_goal_pays_and_reaching_it_moves_it():
    people = world(1)
    people.goal = torch.tensor([[0.0, 0.9]])
    noise = torch.zeros(1, 2, 4)
    noise[:, 0, 1] = 20
    first = people.step(noise)
    assert first.terms["progress"].item() == pytest.approx(0.4, abs=1e-4) and not first.reached.item()
    second = people.step(noise)
    assert second.reached.item() and second.terms["success"].item() == 1
    assert (people.goal - people.state.pelvis[:, -1, 0::2]).norm().item() >= TASK.nearest - 1e-5


def test_nobody_is_paid_for_going_faster_than_the_gait_does():
    people = world(1)
    people.goal, noise = torch.tensor([[0.0, 3.0]]), torch.zeros(1, 2, 4)
    noise[:, 0, 1] = 20
    outcome = people.step(noise)
    pace = people.pace[people.gait].item()
    assert 0.8 * 8 / 30 - 1e-6 <= pace < 0.4 and outcome.terms["progress"].item() == pytest.approx(0.4, abs=1e-4)
    rewards = TASK.rewards
    rest = rewards.floor * outcome.terms["floor"] + rewards.orientation * outcome.terms["orientation"]
    assert outcome.reward.item() == pytest.approx(pace + rest.item(), abs=1e-4)


def test_who_takes_too_long_starts_anew_and_nobody_else():
    people = world(3)
    people.age = torch.tensor([0, 19, 3])
    outcome = people.step(torch.zeros(3, 2, 4))
    assert outcome.late.tolist() == [False, True, False]
    before = people.state.pelvis.clone()
    people.start_anew(outcome.late)
    assert torch.equal(people.state.pelvis[[0, 2]], before[[0, 2]]) and people.age.tolist() == [1, 0, 4]


def test_other_goals_are_around_where_one_is_now():
    people = world(3)
    people.state = State(people.state.rotations, people.state.pelvis + torch.tensor([9.0, 0.0, 0.0]))
    goal = people.goal.clone()
    people.retarget(torch.tensor([True, False, True]))
    assert torch.equal(people.goal[1], goal[1]) and not torch.equal(people.goal[0], goal[0])
    distance = (people.goal - torch.tensor([9.0, 0.0])).norm(dim=-1)[[0, 2]]
    assert (distance <= TASK.farthest + 1e-4).all() and (distance >= TASK.nearest - 1e-4).all()


def test_a_body_that_breaks_apart_counts_as_fallen():
    people = world(2)
    broken = torch.tensor([1, torch.nan])[:, None, None]
    people.move = lambda state, condition, noise: glide(state, condition, noise * broken)
    outcome = people.step(torch.ones(2, 2, 4))
    assert outcome.fallen.tolist() == [False, True] and torch.isfinite(outcome.reward).all()


def test_the_same_seed_gives_the_same_world():
    first, second = world(seed=3), world(seed=3)
    noise = torch.randn(4, 2, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.step(noise).observation, second.step(noise).observation)
    assert not torch.equal(world(seed=4).goal, world(seed=3).goal)


def test_gymnasium_accepts_the_environment():
    from gymnasium.utils.env_checker import check_env

    from motion.navigation.goal_gym import GoalEnv

    env = GoalEnv(world(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    seen, _ = env.reset(seed=1)
    same, _ = env.reset(seed=1)
    assert np.array_equal(seen, same) and env.observation_space.contains(seen)
    with pytest.raises(ValueError, match="3 people"):
        GoalEnv(world(3))


def test_the_vector_view_starts_people_anew_and_keeps_what_they_saw_last():
    from motion.navigation.goal_gym import GoalVecEnv

    env = GoalVecEnv(world(3))
    env.reset()
    env.world.age = torch.tensor([0, 19, 0])
    seen, reward, over, infos = env.step(np.zeros((3, 8), np.float32))
    assert over.tolist() == [False, True, False] and reward.shape == (3,) and seen.dtype == np.float32
    assert infos[1]["TimeLimit.truncated"] and infos[1]["terminal_observation"].shape == seen[1].shape
    assert "terminal_observation" not in infos[0]


def test_gradients_through_a_simple_world_teach_to_reach_goals(tmp_path):
    people = world(32)
    job = GoalTraining(run=tmp_path, people=32, pretrain=60, task=TASK)
    untrained = policy_for(people.network)
    before = reach_goals(world(64), untrained, seed=5, seconds=8).success
    learned = pretrain(untrained, people, job, quiet=True)
    after = reach_goals(world(64), learned, seed=5, seconds=8)
    assert before < 0.5 and after.success >= 0.95
    assert torch.isnan(after.seconds).tolist() == (~after.reached).tolist() and (after.nearest >= 0).all()


def test_ppo_earns_more_than_it_did_and_goes_on_where_it_stopped(tmp_path):
    people = world(48)
    job = GoalTraining(run=tmp_path, people=48, ppo=10, ppo_rate=2e-3, task=TASK)
    policy, done = fine_tune(policy_for(people.network), people, job, quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "ppo" / "loss.jsonl").read_text().splitlines()]
    assert done == 10 and [row["update"] for row in rows] == [5, 10]
    assert rows[1]["reward"] > rows[0]["reward"] + 0.05
    same, again = fine_tune(policy_for(people.network), people, job, quiet=True)
    assert again == 10 and torch.equal(same.out.weight, policy.out.weight)


def test_ppo_trains_the_actor_of_a_moving_average_too(tmp_path):
    people = world(16)
    policy = policy_for(people.network).requires_grad_(False)  # as `fit` returns it
    before = policy.out.weight.clone()
    fine_tune(policy, people, GoalTraining(run=tmp_path, people=16, ppo=1, ppo_rate=2e-3, task=TASK), quiet=True)
    assert (policy.out.weight - before).abs().max() > 1e-4


def test_a_step_of_the_learner_is_repeatable():
    losses = [
        goal_loss(policy_for(network()), world(4, seed=2), torch.Generator().manual_seed(1))["loss"].item()
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_noise_for_a_stream_is_what_the_policy_says_of_what_is_seen():
    model = network()
    policy = policy_for(model)
    torch.nn.init.normal_(policy.out.weight, std=1.0)
    state, goal = standing(model, 2), torch.tensor([[1.0, 2.0], [0.0, -3.0]])
    condition = gaits().rows(torch.tensor([0, 1]))
    noise = policy.noise(model, state, goal, condition)
    assert noise.shape == (2, 2, 4) and noise.abs().max() <= 3
    assert not torch.allclose(noise[0], noise[1])
    aside = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    assert policy.words("walk", state, aside) == [GAITS[0].left, GAITS[0].right]
    assert policy.words(GAITS[0].left, state, goal)[0] == GAITS[0].ahead
    assert arrived(state, torch.tensor([[0.2, 0.1], [0.0, 1.0]])).tolist() == [True, False]
    assert policy.words("do the moonwalk", state, goal) == ["do the moonwalk"] * 2


def test_a_checkpoint_comes_back_and_refuses_other_primitives(tmp_path: Path):
    model = network()
    digest = save_primitives(tmp_path / "primitives", model, "card")
    policy = policy_for(model, digest)
    torch.nn.init.normal_(policy.out.weight, std=0.5)
    save_goal_policy(tmp_path / "policy", policy, "card")
    back = load_goal_policy(tmp_path / "policy", tmp_path / "primitives")
    assert back.config == policy.config
    torch.testing.assert_close(back.out.weight, policy.out.weight, atol=1e-2, rtol=1e-2)
    save_primitives(tmp_path / "others", network(1), "card")
    with pytest.raises(LabanError, match="trained for primitives"):
        load_goal_policy(tmp_path / "policy", tmp_path / "others")
    with pytest.raises(LabanError, match="expected a goal-policy"):
        load_goal_policy(tmp_path / "primitives", tmp_path / "primitives")


def test_tasks_and_worlds_that_make_no_sense_are_refused():
    with pytest.raises(LabanError, match="goal task"):
        GoalTask(nearest=0.1)
    with pytest.raises(LabanError, match="0 people"):
        world(0)
