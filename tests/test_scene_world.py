"""Worlds of rooms: what is seen and paid, learning, search, views for other libraries, and training that goes on."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE
from models.rotations import yaw_rotation
from models.scene.distance import sdf_of
from models.scene.pieces import box, joined
from models.scene.rooms import make_room
from models.scene.scene import Scene, SceneObject
from models.scene.seating import GoalPose
from models.scene.seats import seat_of
from models.scene.walkable import walkable_of
from motion.navigation.goal_env import GAITS, Gaits
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig, load_goal_policy, save_goal_policy
from motion.navigation.goal_training import fine_tune, pretrain
from motion.navigation.reaching import attempts
from motion.navigation.room_stack import stack_rooms
from motion.navigation.scene_training import SceneTraining
from motion.navigation.scene_world import Rooms, SceneRewards, SceneTask, SceneWorld, on_path, prepared, rooms_of
from motion.navigation.search import SearchConfig, search
from motion.navigation.seat_world import SeatTask, SeatWorld, seats_in
from motion.primitives.network import save_primitives
from motion.primitives.rollout import Made, State, standing
from tests.test_goal_policy import glide, network

pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

TASK = SceneTask(gaits=GAITS[:2], rewards=SceneRewards(skate=0), patience=30, lost=20)
"""A stiff body slides."""
QUIET = SearchConfig(first=6, children=3, expanded=2, depth=8)


def words(rows: int) -> Gaits:
    generator = torch.Generator().manual_seed(0)
    sentence = torch.nn.functional.normalize(torch.randn(rows, 8, generator=generator), dim=-1)
    tokens = torch.randn(rows, 3, 8, generator=generator)
    return Gaits(Condition(tokens, torch.ones(rows, 3, dtype=torch.bool), sentence))


def block_room(at: tuple[float, float] = (0.0, 0.0), yaw: float = 0.0) -> Scene:
    """Walls of 5 by 4 m and a block of 1 m in the middle, all of it turned about the origin and moved."""
    walls = [box(5.2, 0.1, 0, 2.4, 0, 2.05), box(5.2, 0.1, 0, 2.4, 0, -2.05), box(0.1, 4, 0, 2.4, 2.55),
             box(0.1, 4, 0, 2.4, -2.55), box(5.2, 4.2, -0.1, 0.0)]  # fmt: skip
    shell, block = joined(walls), box(1.0, 1.0, 0.0, 0.45)
    vertices, faces = joined([shell, block])
    turn = yaw_rotation(torch.tensor(yaw, dtype=torch.float64)).numpy()
    vertices = vertices @ turn.T + [at[0], 0.0, at[1]]
    part = np.where(np.arange(len(faces)) < len(shell[1]), -1, 0).astype(np.int32)
    own = vertices[len(shell[0]) :]
    low, high = (tuple(corner.tolist()) for corner in (own.min(0), own.max(0)))
    thing = SceneObject("block_1", "stool", low, high, yaw, False, "sit")
    return Scene("block", vertices.astype(np.float32), faces.astype(np.int32), part, (thing,))


@pytest.fixture(scope="module")
def rooms() -> Rooms:
    """A room with a block, and a generated one."""
    return rooms_of([block_room(), make_room(9, held_out=True)], places=3, cells=32)


def world(rooms: Rooms, people: int = 6, seed: int = 0, **options) -> SceneWorld:
    task = options.pop("task", TASK)
    return SceneWorld(network(), people, rooms, move=glide, task=task, gaits=words(6), seed=seed, **options)


def policy_for(own: SceneWorld | SeatWorld, digest: str = "0" * 64, task: str = "walk") -> GoalPolicy:
    torch.manual_seed(0)
    return GoalPolicy(GoalPolicyConfig(digest, 32, 1, tokens=2, latent=4, text=8, gaits=own.task.gaits,
                                       extra=own.extra, task=task))  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- the rooms


def test_rooms_in_one_batch_are_looked_up_as_one_by_one(rooms):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(40, 3, generator=generator) * torch.tensor([3.0, 1.5, 3.0]) - torch.tensor([1.5, 0.0, 1.5])
    room = torch.arange(40) % 2
    found, slopes = rooms.stack.gaps(room, points), rooms.stack.slopes(room, points[:, None])[:, 0]
    for k, grid in enumerate(rooms.grids):
        own = room == k
        torch.testing.assert_close(found[own], grid(points[own]), atol=1e-4, rtol=0)
        cosine = torch.nn.functional.cosine_similarity(slopes[own], grid.gradient(points[own]), dim=-1)
        assert cosine.median() > 0.98
    places, forward = points[:, [0, 2]], torch.nn.functional.normalize(points[:, [2, 1]] + 0.1, dim=-1)
    patch = rooms.stack.patch(room, places, forward)
    for k, plan in enumerate(rooms.plans):
        assert torch.equal(patch[room == k], plan.patch(places[room == k], forward[room == k]))


def test_the_patch_is_what_brute_force_says(rooms):
    own = world(rooms, 3)
    patch = own.observation()[:, -256:].unflatten(-1, (16, 16))
    for person in range(3):
        plan, state = rooms.plans[int(own.room[person])], own.state
        ahead = state.rotations[person, -1, 0][[0, 2], 2].numpy()
        ahead = ahead / np.linalg.norm(ahead)
        left = np.array([ahead[1], -ahead[0]])
        for row in range(0, 16, 5):
            for column in range(0, 16, 5):
                away = ((row + 0.5) / 8 - 1) * 0.8 * ahead + ((column + 0.5) / 8 - 1) * 0.8 * left
                point = state.pelvis[person, -1, [0, 2]].numpy() + away
                i, j = np.floor((point - plan.origin) / plan.cell + 0.5).astype(int)
                free = (
                    plan.clearance[i, j] >= 0.05
                    if min(i, j) >= 0 and (np.array([i, j]) < plan.free.shape).all()
                    else False
                )
                assert patch[person, row, column] == (1 if free else -1)


def test_nobody_is_spawned_in_furniture_and_seeds_repeat(rooms):
    own = world(rooms, 64, seed=2)
    for k, plan in enumerate(rooms.plans):
        assert plan.inside(own.state.pelvis[own.room == k, -1][:, [0, 2]].numpy()).all()
    assert own.depth(own.network.rest[None, None, :22] * 0 + own.state.pelvis[:, -1:, None]).max() == 0
    again = world(rooms, 64, seed=2)
    assert torch.equal(own.observation(), again.observation())
    assert not torch.equal(own.way, world(rooms, 64, seed=3).way)


def test_turning_room_and_person_together_changes_nothing_that_is_seen():
    seen = []
    for yaw, at in ((0.0, (0.0, 0.0)), (math.pi / 2, (3.0, -1.0))):
        scene = block_room(at, yaw)
        turn = yaw_rotation(torch.tensor(yaw, dtype=torch.float64)).numpy()
        path = (np.array([[-1.6, 0.0, -1.2], [-1.4, 0.0, 1.2], [1.5, 0.0, 1.3]]) @ turn.T)[:, [0, 2]] + at
        plan = walkable_of(scene)
        own = SceneWorld(network(), 1, prepared([scene], [plan], [[path]], cells=32), move=glide, task=TASK,
                         gaits=words(6))  # fmt: skip
        place = torch.tensor([[path[0, 0], 0.0, path[0, 1]]])
        own.begin(standing(own.network, 1, places=place, headings=torch.tensor([yaw + 0.3])))
        own.gait *= 0
        seen.append(own.observation()[0])
    size = len(seen[0]) - 256
    torch.testing.assert_close(seen[0][:size], seen[1][:size], atol=2e-3, rtol=0)
    assert (seen[0][size:] != seen[1][size:]).float().mean() < 0.06  # cells of a plan are not turned with it


# ------------------------------------------------------------------------------------------------------------ the walk


def test_the_goal_runs_ahead_on_the_way_and_never_behind_a_corner(rooms):
    scene, plan = rooms.scenes[0], rooms.plans[0]
    path = np.array([[-1.2, -1.2], [-1.2, 1.2], [1.2, 1.2]])
    own = on_path(network(), prepared([scene], [plan], [[path]], grids=[rooms.grids[0]]), task=TASK, gaits=words(6))
    assert own.goal[0].tolist() == pytest.approx([-1.2, 0.2], abs=0.05)
    for z in (-0.2, 0.9):
        own.state = State(own.state.rotations, torch.tensor([[[-1.2, 0.0, z]]]).expand(1, 2, 3))
        own.go_on(torch.tensor([False]))
    assert own.metres.item() == pytest.approx(2.1, abs=0.1) and own.goal[0, 0] > -0.9
    line = own.state.pelvis[:, -1, 0::2] + torch.linspace(0, 1, 9)[:, None] * (own.goal - own.state.pelvis[:, -1, 0::2])
    assert own.stack.free(torch.zeros(9, dtype=torch.long), line, 0.15).all()


def test_at_the_end_of_a_way_comes_the_next(rooms):
    own = world(rooms, 2)
    ends = own.end.clone()
    place = torch.stack([ends[:, 0], torch.full((2,), 0.93), ends[:, 1]], -1)[:, None]
    own.begin(State(own.state.rotations, torch.cat([own.state.pelvis[:1], place[1:].expand(1, 2, 3)])))
    before = own.way.clone()
    noise = torch.zeros(2, 2, 4)
    noise[:, 0, 1] = -20
    outcome = own.step(noise)
    assert outcome.reached.tolist() == [False, True] and outcome.terms["success"].tolist() == [0, 1]
    assert own.way[0] == before[0] and own.way[1] == rooms.tours.after[before[1]]


def test_who_walks_into_furniture_pays_for_it(rooms):
    own = on_path(network(), prepared(rooms.scenes[:1], rooms.plans[:1], [[np.array([[-1.6, 0.0], [1.6, 0.0]])]],
                                      grids=rooms.grids[:1]), task=TASK, gaits=words(6))  # fmt: skip
    own.move = glide
    noise = torch.zeros(1, 2, 4)
    noise[:, 0, 1] = 20
    depths = [-own.step(noise).terms["penetration"].item() for _ in range(4)]
    assert depths[0] == 0 and depths[-1] > 0.1
    noise.requires_grad_(True)
    own.detach()
    (gradient,) = torch.autograd.grad(own.step(noise).terms["penetration"].sum(), noise)
    assert torch.isfinite(gradient).all()


def test_gradients_teach_to_keep_to_the_way_and_out_of_things(tmp_path):
    alone = rooms_of([block_room()], places=4, cells=32, seed=3)
    job = SceneTraining(run=tmp_path, people=16, pretrain=16, every=None, task=TASK)
    learner = policy_for(world(alone, 1))
    before = attempts(world(alone, 32), learner.eval(), seed=5, seconds=6)
    learned = pretrain(learner.train(), world(alone, 16), job, quiet=True)
    after = attempts(world(alone, 32), learned, seed=5, seconds=6)
    assert after.summary()["success"] > before.summary()["success"] - 0.05
    assert after.summary()["penetration"] > 0.6 * before.summary()["penetration"]
    assert (after.valid.sum(-1)[~after.reached] >= 6 * 30 - FUTURE).all()


# ----------------------------------------------------------------------------------------------------------- the seats


def pose_on(scene: Scene) -> GoalPose:
    """Sitting upright on the block, without the fitting."""
    rotations = torch.eye(3).expand(22, 3, 3).clone()
    thing = scene.objects[0]
    seat = seat_of(thing, scene)
    pelvis = torch.tensor([thing.center[0], 0.6, thing.center[2]])
    joints = network().rest[:22] - network().rest[0] + pelvis
    return GoalPose(rotations, pelvis, joints, 0.0, True, seat)


@pytest.fixture
def seats(monkeypatch, rooms) -> SeatWorld:
    monkeypatch.setattr("motion.navigation.seat_world.sitting_pose", lambda scene, thing, body: pose_on(scene))
    found = seats_in(rooms.scenes[:1], load_body(OPEN_BODY), quiet=True)
    stack = stack_rooms(rooms.grids[:1], rooms.plans[:1])
    return SeatWorld(network(), 16, stack, found, move=glide, task=SeatTask(), gaits=words(6), seed=1)


def test_half_get_up_and_half_sit_down_and_then_the_other_way_round(seats):
    assert 0 < seats.rising.sum() < 16
    up = seats.rising
    assert torch.allclose(seats.state.pelvis[up, -1, 1], torch.tensor(0.6))
    assert torch.allclose(seats.target[~up][:, 0, 1], torch.tensor(0.6))
    away = (seats.state.pelvis[~up, -1][:, [0, 2]]).norm(dim=-1)
    assert (away > 0.6).all() and seats.observation().shape[1] == seats.seen
    seats.go_on(torch.ones(16, dtype=torch.bool))
    assert torch.equal(seats.rising, ~up) and (seats.target[~up][:, 0, 1] > 0.8).all()


def test_nearer_to_the_pose_pays_and_being_there_is_success(seats):
    seats.begin(seats.seated(), rising=False)
    still = lambda state, condition, noise: _still(state)  # noqa: E731
    seats.move = still
    outcome = seats.step(torch.zeros(16, 2, 4))
    assert outcome.reached.all() and seats.rising.all()
    seats.begin(seats.before(), rising=False)
    nearer = seats.before()
    toward = State(nearer.rotations, 0.5 * (nearer.pelvis + seats.target[:, None, 0]))
    seats.move = lambda state, condition, noise: _still(toward)
    outcome = seats.step(torch.zeros(16, 2, 4))
    assert (outcome.terms["goal"] > 0).all() and not outcome.fallen.any()


def _still(state: State) -> tuple[State, Made]:
    made = Made(state.rotations[:, -1:].expand(-1, FUTURE, -1, -1, -1), state.pelvis[:, -1:].expand(-1, FUTURE, -1))
    return made.state, made


def test_what_is_seen_of_joints_is_in_the_frame_of_the_body(seats):
    seats.begin(seats.before(), rising=False)
    seen = seats.observation()[:, -seats.extra :]
    each = seen[:, :-2].unflatten(-1, (22, 8))
    distance = (seats.joints(seats.state) - seats.target).norm(dim=-1)
    torch.testing.assert_close(each[..., 6], distance, atol=1e-4, rtol=0)
    assert each[..., :3].norm(dim=-1).min() > 0.99 and (each[..., 7].abs() <= 0.5).all()
    torch.testing.assert_close(seen[:, -2], distance.mean(-1), atol=1e-4, rtol=0)


def test_poses_are_kept_and_read_again(tmp_path, rooms, monkeypatch):
    calls = []

    def once(scene, thing, body):
        calls.append(thing.name)
        return pose_on(scene)

    monkeypatch.setattr("motion.navigation.seat_world.sitting_pose", once)
    first, second = (
        seats_in(rooms.scenes[:1], load_body(OPEN_BODY), cache=tmp_path / "s.npz", quiet=True) for _ in "ab"
    )
    assert len(calls) == 1 and torch.equal(first.pelvis, second.pelvis) and torch.equal(first.front, second.front)


# --------------------------------------------------------------------------------------------------------- the search


def test_search_is_never_worse_than_its_policy_and_leaves_the_world_alone(rooms):
    own = world(rooms, 2)
    mine = policy_for(own).eval()
    before = own.observation()
    alone = search(own, mine, SearchConfig(first=1, children=1, expanded=1, depth=8, spread=0.0))
    found = search(own, mine, QUIET)
    assert found.reward + 5 * found.reached >= alone.reward + 5 * alone.reached - 1e-4
    assert torch.equal(own.observation(), before) and len(found.made) == len(found.noise)
    again = own.chosen(torch.tensor([0]))
    for noise, made in zip(found.noise, found.made, strict=True):
        torch.testing.assert_close(again.step(noise[None]).made.pelvis, made.pelvis, atol=1e-4, rtol=0)
    assert search(own, None, QUIET).reward == search(own, None, QUIET).reward


def test_attempts_by_search_and_without_say_who_arrived(rooms):
    own = world(rooms, 2)
    for config in (None, QUIET):
        made = attempts(own, None, seed=4, seconds=3, config=config)
        assert made.pelvis.shape[0] == 2 and made.valid.shape == made.pelvis.shape[:2]
        assert made.summary()["n"] == 2 and (made.seconds <= 3.3).all()
    with pytest.raises(LabanError, match="expands 9 of 6"):
        SearchConfig(first=6, expanded=9)
    with pytest.raises(LabanError, match="depth 0"):
        SearchConfig(depth=0)


# -------------------------------------------------------------------------------------------------- views and training


def test_gymnasium_and_stable_baselines_accept_the_worlds(rooms):
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common.env_checker import check_env as check_sb3

    from motion.navigation.goal_gym import GoalEnv, GoalVecEnv

    env = GoalEnv(world(rooms, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
        check_sb3(env)
    many = GoalVecEnv(world(rooms, 3))
    seen = many.reset()
    assert seen.shape == (3, many.world.seen) and many.observation_space.contains(seen[0])
    many.world.age[:] = 29
    _, _, over, infos = many.step(np.zeros((3, 8), np.float32))
    assert over.all() and infos[0]["terminal_observation"].shape == seen[0].shape


def test_training_starts_from_a_goal_policy_goes_on_and_writes_a_card(tmp_path, rooms):
    own = world(rooms, 4)
    digest = save_primitives(tmp_path / "primitives", own.network, "card")
    goal = GoalPolicy(GoalPolicyConfig(digest, 32, 1, tokens=2, latent=4, text=8))
    torch.nn.init.normal_(goal.out.weight)
    save_goal_policy(tmp_path / "goal", goal, "card")
    job = SceneTraining(run=tmp_path / "run", people=4, pretrain=2, ppo=2, every=1, init=tmp_path / "goal", task=TASK)
    job.run.mkdir()
    learner = policy_for(own, digest)
    job.begin(learner)
    seen = own.observation()
    torch.testing.assert_close(learner(seen), goal(seen[:, : goal.sees]), atol=0.1, rtol=0)
    object.__setattr__(job, "measure", lambda network, policy: {"success": 0.5})
    pretrain(learner, own, job, quiet=True)
    policy, done = fine_tune(learner, own, job, quiet=True)
    rows = [json.loads(line) for line in (job.run / "curve.jsonl").read_text().splitlines()]
    assert done == 2 and [(row["stage"], row["update"]) for row in rows][:3] == [
        ("pretrain", 0),
        ("pretrain", 1),
        ("pretrain", 2),
    ]
    text = job.card(policy.config, 2)
    assert digest in text and '"success": 0.5' in text and "from `goal`" in text
    save_goal_policy(tmp_path / "walk", policy, text)
    back = load_goal_policy(tmp_path / "walk", tmp_path / "primitives")
    assert back.config.task == "walk" and back.sees == own.seen


def test_what_makes_no_sense_is_refused(rooms):
    with pytest.raises(LabanError, match="task 'fly'"):
        SceneTraining(kind="fly")
    with pytest.raises(LabanError, match="accepted: walk"):
        on_path(network(), rooms, gait="moonwalk", task=TASK)
    with pytest.raises(LabanError, match="0 people"):
        world(rooms, 0)
    with pytest.raises(LabanError, match="one or more"):
        prepared([], [], [])
    small = sdf_of(rooms.scenes[0], 16)
    with pytest.raises(LabanError, match="expected one size"):
        stack_rooms([rooms.grids[0], small], list(rooms.plans))
