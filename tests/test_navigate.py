"""People in rooms: what is asked and how it is answered, led walks, feet that stay, sitting down, and figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.cli.navigate import asked
from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT
from models.diffusion.denoiser import DenoiserConfig
from models.motion import Motion
from models.representation import primitive
from models.rotations import yaw_rotation
from models.scene.rooms import make_room
from models.scene.scene import Scene, SceneObject
from motion.evaluation_navigate import Asked, Result, cases_of, rooms_of, summary
from motion.navigation import walking
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig, digest_of, save_goal_policy
from motion.navigation.settling import arms_towards, between, eased, facing_ahead, planted, shape_distance
from motion.navigation.stance import aimed, slid, soles, stand_firm, turned
from motion.navigation.surveyed import Surveyed, survey
from motion.navigation.tasks import Task, check_order, read_task
from motion.navigation.tour import Guides, joined, plan, spliced, tour
from motion.navigation.turning import Stand, heading_of, turn_about
from motion.navigation.walking import Lead, Search, Walkers, standing_at, walk, ways_of
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel, save_primitives
from motion.primitives.rollout import Made, State, standing
from tests.small_primitives import small_primitives

SMALL = PrimitiveConfig(
    tokens=2, latent=4, width=16, layers=1, heads=2, hidden=16, known=(("walk", 5), ("sit down", 5), ("stand", 5)),
    denoiser=DenoiserConfig(4, 16, 1, 2, 16, patch=1, text=384, slots=(("history", FEATURES),)), steps=50,
)  # fmt: skip
THINGS = (
    SceneObject("0_couch", "couch", (-1.0, 0.0, -2.4), (1.0, 0.8, -1.4), affords="sit"),
    SceneObject("1_chair_A", "chair", (1.5, 0.0, 0.0), (2.0, 0.8, 0.5), affords="sit"),
    SceneObject("2_chair_A", "chair", (1.5, 0.0, 1.0), (2.0, 0.8, 1.5), affords="sit"),
    SceneObject("3_bed", "bed", (-2.4, 0.0, 0.0), (-1.4, 0.5, 2.0), affords="lie"),
)

LISTED = Scene("a room", np.zeros((3, 3), np.float32), np.zeros((1, 3), np.int32), np.full(1, -1, np.int32), THINGS)


@pytest.fixture(scope="module")
def network() -> PrimitiveModel:
    """A small model with random weights that gets about a little."""
    model = small_primitives(SMALL, 0.3)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def policy() -> GoalPolicy:
    torch.manual_seed(1)
    return GoalPolicy(GoalPolicyConfig("", 32, 1, tokens=2, latent=4, text=384))


@pytest.fixture(scope="module")
def room() -> Surveyed:
    return survey(make_room(3, held_out=True), cells=48)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks of a network that gets nowhere end sooner."""
    monkeypatch.setattr(walking, "LATE", 0.3)


def upright(network: PrimitiveModel, step: tuple[float, float] = (0.0, 0.0)) -> tuple[State, Made]:
    """Somebody who stands and is carried by `step` metres a frame along x and z."""
    state = standing(network, 1, dtype=torch.float32)
    shift = torch.arange(1, 9)[:, None] * torch.tensor([step[0], 0.0, step[1]])
    return state, Made(state.rotations[:, -1:].expand(1, 8, 22, 3, 3).clone(), state.pelvis[:, -1:] + shift)


# ------------------------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize(("said", "kind", "name", "place"), [
    ("sit on couch", "sit", "0_couch", None),
    ("sit on the sofa", "sit", "0_couch", None), ("Sit down on the couch", "sit", "0_couch", None),
    ("sit on chair_2", "sit", "2_chair_A", None), ("sit on 1_chair_A", "sit", "1_chair_A", None),
    ("lie down on bed", "lie", "3_bed", None), ("lie down", "lie", "3_bed", None),
    ("stand up", "stand", None, None), ("get up again", "stand", None, None),
    ("go to -1.5, 2", "go", None, (-1.5, 2.0)), ("walk to the bed", "go", "3_bed", None),
    ("wave", "act", None, None), ("sits quietly and waves", "act", None, None),
])  # fmt: skip
def test_what_is_said_becomes_a_task(said: str, kind: str, name: str | None, place: tuple[float, float] | None) -> None:
    if said == "sits quietly and waves":
        with pytest.raises(LabanError, match="0_couch"):
            read_task(said, LISTED)
        return
    task = read_task(said, LISTED)
    assert (task.kind, task.name, task.place) == (kind, name, place)


@pytest.mark.parametrize("said", ["sit on throne", "sit", "sit on chair_7", "go to the moon", "  "])
def test_who_asks_for_what_is_not_there_is_told_what_is(said: str) -> None:
    with pytest.raises(LabanError, match="0_couch|accepted"):
        read_task(said, LISTED)


def test_who_sits_stands_up_before_going_on() -> None:
    sit, go, up = Task("sit", "x", name="0_couch"), Task("go", "", (0.0, 0.0)), Task("stand", "x")
    assert [task.kind for task in check_order([go, sit, go])] == ["go", "sit", "stand", "go"]
    assert [task.kind for task in check_order([sit, up, sit])] == ["sit", "stand", "sit"]
    with pytest.raises(LabanError, match="nobody sits"):
        check_order([go, up])


def test_goals_come_before_what_follows_and_may_be_objects() -> None:
    tasks = asked(["0,1 1,1", "couch"], ["wave"], LISTED)
    assert [(task.kind, task.place, task.name) for task in tasks] == [
        ("go", (0.0, 1.0), None), ("go", (1.0, 1.0), None), ("go", None, "0_couch"), ("act", None, None)]  # fmt: skip
    with pytest.raises(LabanError, match="nothing to do"):
        asked([], [], LISTED)


# ------------------------------------------------------------------------------------------------ feet, turns and ways


def test_soles_of_somebody_who_stands_are_on_the_floor(network: PrimitiveModel) -> None:
    rest = torch.eye(3).expand(1, 1, 22, 3, 3)
    body = load_body(OPEN_BODY)
    pelvis = body.joint_template[0] - torch.tensor([0.0, float(body.v_template[:, 1].min()), 0.0])
    assert soles(network, rest, pelvis[None, None])[..., 1].abs().max() < 0.02


def test_a_sliding_foot_takes_the_pelvis_back_but_not_its_speed(network: PrimitiveModel) -> None:
    before, made = upright(network, (0.02, -0.01))
    state, firm = stand_firm(network, before, made)
    assert (firm.pelvis - before.pelvis[:, -1:])[..., 0::2].abs().max() < 1e-5
    speed = state.pelvis[0, 1] - state.pelvis[0, 0]
    assert speed.tolist() == pytest.approx([0.02, 0.0, -0.01], abs=1e-6)
    assert torch.allclose(stand_firm(network, before, made, 0.0)[1].pelvis, made.pelvis)


def test_nobody_in_the_air_is_held(network: PrimitiveModel) -> None:
    before, made = upright(network, (0.02, 0.0))
    points = soles(network, made.rotations, made.pelvis + torch.tensor([0.0, 0.5, 0.0]))
    assert slid(points).abs().max() == 0


def test_walkers_are_turned_towards_the_goal_by_no_more_than_allowed(network: PrimitiveModel) -> None:
    before, made = upright(network, (0.0, 0.05))
    left = aimed(before, made, torch.tensor([[5.0, 0.0]]), torch.tensor([0.2]))
    way = left.pelvis[0, -1] - before.pelvis[0, -1]
    assert math.atan2(float(way[0]), float(way[2])) == pytest.approx(0.2, abs=0.01)
    straight = aimed(before, made, torch.tensor([[0.0, 5.0]]), torch.tensor([0.2]))
    assert torch.allclose(straight.pelvis, made.pelvis, atol=1e-5)


def test_turning_keeps_the_place_and_turns_the_heading(network: PrimitiveModel) -> None:
    before, made = upright(network)
    done = turned(before, made, torch.tensor([0.4]))
    assert torch.allclose(done.pelvis, made.pelvis, atol=1e-6)
    expected = yaw_rotation(torch.tensor(0.4)) @ made.rotations[0, -1, 0]
    assert torch.allclose(done.rotations[0, -1, 0], expected, atol=1e-5)


def test_places_along_ways_and_how_far_beside_them() -> None:
    ways = ways_of([np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])])
    assert ways.length.tolist() == pytest.approx([3.0, 1.0])
    who = torch.tensor([0, 1])
    assert ways.at(who, torch.tensor([2.6, 9.0]))[0].tolist() == pytest.approx([2.0, 0.6], abs=0.03)
    assert ways.at(who, torch.tensor([2.6, 9.0]))[1].tolist() == pytest.approx([0.0, 1.0])
    metres, beside = ways.along(who, torch.tensor([[1.0, 0.2], [0.1, 0.5]]), torch.tensor([0.8, 0.4]))
    assert metres.tolist() == pytest.approx([1.0, 0.5], abs=0.03)
    assert beside.tolist() == pytest.approx([0.2, 0.1], abs=0.02)


def test_who_walks_is_shown_what_they_can_see(network: PrimitiveModel, policy: GoalPolicy) -> None:
    ways = ways_of([np.array([[0.0, 0.0], [0.0, 0.6], [0.6, 0.6]])])
    wall = lambda points: (points[..., 0] - 0.25).abs().maximum(points[..., 2] - 0.4)  # noqa: E731
    state = standing(network, 1, dtype=torch.float32)
    who, metres = torch.zeros(1, dtype=torch.long), torch.zeros(1)
    hidden = Walkers(Lead(network, policy), ways, wall, Search())._seen(state, who, metres)
    open_ = Walkers(Lead(network, policy), ways, None, Search())._seen(state, who, metres)
    assert torch.allclose(open_, torch.tensor([[0.3, 0.6]]), atol=0.05)
    assert torch.allclose(hidden, torch.tensor([[0.0, 0.6]]), atol=0.05)


def test_who_is_off_the_path_has_another_one(network: PrimitiveModel, policy: GoalPolicy) -> None:
    line = np.array([[0.0, 0.0], [0.0, 4.0]])

    def route(place: tuple[float, float], goal: tuple[float, float]) -> np.ndarray:
        if place[0] < 0:
            raise LabanError("no way")
        return np.array([place, (place[0], goal[1]), goal])

    walkers = Walkers(Lead(network, policy, route=route), ways_of([line] * 4), None, Search())
    here = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [0.4, 3.9]])
    found = walkers.rerouted(here, torch.tensor([True, True, False, True]))
    assert found.tolist() == [True, False, False, False]  # one has no way, one is on theirs, one is all but there
    assert walkers.ways.length.tolist() == pytest.approx([4.0, 4.0, 4.0, 4.0], abs=1e-5)
    assert torch.allclose(walkers.ways.at(torch.tensor([0, 2]), torch.ones(2)), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    assert torch.allclose(walkers.goals(), torch.tensor([[0.0, 4.0]]))


def test_who_looks_the_wrong_way_turns_about_on_the_spot(network: PrimitiveModel) -> None:
    state, generator = standing(network, 1, dtype=torch.float32), torch.Generator().manual_seed(0)
    stand = Stand(torch.zeros(2), math.radians(150), near=math.inf)
    made = turn_about(network, state, stand, None, generator)
    assert made and abs(heading_of(made[-1].state) - math.radians(150)) < stand.facing
    assert turn_about(network, made[-1].state, stand, None, generator) == []


def test_a_walk_ends_and_says_how_far_from_the_goal(network: PrimitiveModel, policy: GoalPolicy) -> None:
    paths = [np.array([[0.0, 0.0], [0.0, 0.5]]), np.array([[1.0, 0.0], [1.5, 0.0]])]
    went = walk(Lead(network, policy), paths, lambda points: points[..., 0] + 9, Search(tries=2, ahead=1))
    assert len(went) == 2
    for one, path in zip(went, paths, strict=True):
        pelvis = torch.cat([made.pelvis for made in one.made], 1)[0, :, 0::2]
        assert one.frames == len(pelvis)
        assert one.error == pytest.approx(float((pelvis[-1] - torch.tensor(path[-1])).norm()), abs=1e-2)
        assert one.arrived == (one.error < 0.3)


def test_ctrl_c_keeps_the_frames_there_are(
    network: PrimitiveModel, policy: GoalPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def stop(primitives: int) -> None:
        calls.append(primitives)

    real = walking.Walkers.next

    def interrupted(self: walking.Walkers, *args: torch.Tensor) -> tuple[State, Made]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(walking.Walkers, "next", interrupted)
    went = walk(Lead(network, policy), [np.array([[0.0, 0.0], [0.0, 3.0]])], progress=stop)[0]
    assert went.stopped and went.frames == 16


# ----------------------------------------------------------------------------------------------------------- settling


def test_feet_go_to_their_places_one_after_the_other() -> None:
    start = np.zeros((22, 3)), np.broadcast_to(np.eye(3), (22, 3, 3))
    end = np.zeros((22, 3)) + [0.2, 0.0, 0.1], start[1]
    found = planted(start, end, 60)
    keys = {side: [key for key in found if key.joint == f"{side}_ankle"] for side in ("left", "right")}
    moves = {side: np.array([key.position[0] for key in own]) for side, own in keys.items()}
    moving = {side: np.flatnonzero(np.abs(np.diff(own)) > 1e-6) for side, own in moves.items()}
    assert moving["left"].max() <= moving["right"].min() + 1
    assert all(own[0] == 0 and own[-1] == pytest.approx(0.2) for own in moves.values())
    assert max(key.position[1] for key in keys["left"]) > 0.02
    assert all(key.position[1] == 0 for key in planted(start, start, 60))


def test_half_a_turn_between_two_rotations() -> None:
    first, second = (yaw_rotation(torch.tensor(angle, dtype=torch.float64)).numpy() for angle in (0.2, 1.0))
    middle = yaw_rotation(torch.tensor(0.6, dtype=torch.float64)).numpy()
    assert between(first, second, 0.5) == pytest.approx(middle, abs=1e-6)


def test_a_pose_is_as_near_wherever_and_whichever_way_it_is() -> None:
    joints = torch.rand(1, 1, 22, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 0.2, 0.0])
    moved = (yaw_rotation(torch.tensor(1.1)) @ joints[..., None])[..., 0] + torch.tensor([3.0, 0.0, -2.0])
    assert shape_distance(moved, joints[0, 0]).item() == pytest.approx(0, abs=1e-5)
    assert shape_distance(moved + torch.tensor([0.0, 0.3, 0.0]), joints[0, 0]).item() == pytest.approx(0.3, abs=1e-5)
    hips = facing_ahead(moved)[0, 0, [JOINT["left_hip"], JOINT["right_hip"]]]
    assert hips[0, 2] == pytest.approx(float(hips[1, 2]), abs=1e-5) and hips[0, 0] > hips[1, 0]


def test_arms_arrive_before_the_rest_of_the_body() -> None:
    rotations = np.broadcast_to(np.eye(3), (1, 20, 55, 3, 3)).copy()
    pose = np.tile(yaw_rotation(torch.tensor(0.7, dtype=torch.float64)).numpy(), (22, 1, 1))
    done = arms_towards(rotations, pose)
    assert done[0, 12, JOINT["left_elbow"]] == pytest.approx(pose[0], abs=1e-6)
    assert (done[0, 0] == rotations[0, 0]).all() and (done[:, :, JOINT["left_knee"]] == np.eye(3)).all()


def test_the_way_back_up_begins_and_ends_where_the_way_down_does() -> None:
    motion = Motion(np.broadcast_to(np.eye(3, dtype=np.float32), (1, 30, 55, 3, 3)).copy(),
                    np.linspace(0, 1, 30, dtype=np.float32)[None, :, None].repeat(3, 2), 30.0)  # fmt: skip
    done = eased(motion)
    assert done.root[0, [0, -1]].tolist() == motion.root[0, [0, -1]].tolist()
    assert np.abs(np.diff(done.root[0, :3, 0])).max() <= np.diff(motion.root[0, :, 0]).max()


def test_two_legs_are_brought_together(network: PrimitiveModel) -> None:
    state, made = upright(network, (0.0, 0.01))
    motion = Motion(np.broadcast_to(np.eye(3, dtype=np.float32), (1, 40, 55, 3, 3)).copy(),
                    np.full((1, 40, 3), 0.4, np.float32), 30.0)  # fmt: skip
    done = spliced(state, motion, network)
    home = (state.pelvis[0, -1] - network.rest[0]).numpy()
    assert np.linalg.norm(done.root[0, 0] - home) < 0.05
    assert done.root[0, -1] == pytest.approx(motion.root[0, -1])
    assert made.pelvis.shape == (1, 8, 3)


# --------------------------------------------------------------------------------------------------------------- tours


def test_a_tour_goes_from_leg_to_leg(network: PrimitiveModel, policy: GoalPolicy, room: Surveyed) -> None:
    start, goal = cases_of(room, 2)[0]
    guides = Guides(network, policy, load_body(OPEN_BODY), search=Search(tries=1))
    legs = list(tour(guides, room, start, [Task("go", "", goal), Task("act", "a person waves")]))
    assert [leg.task.kind for leg in legs] == ["go", "act"]
    whole = joined(legs)
    assert whole.frames == sum(leg.motion.frames for leg in legs)
    seam = legs[0].motion.frames
    steps = np.linalg.norm(np.diff(whole.root[0], axis=0), axis=1)
    assert steps[seam - 1] < max(0.1, 3 * steps.max())


def test_plans_are_checked_before_anything_is_made(room: Surveyed) -> None:
    start, goal = cases_of(room, 1)[0]
    assert len(plan(room, start, [Task("go", "", goal)])) == 1
    with pytest.raises(LabanError, match="nearest free place"):
        plan(room, (50.0, 0.0), [Task("go", "", goal)])
    with pytest.raises(LabanError, match="goal"):
        plan(room, start, [Task("go", "", (50.0, 0.0))])


def test_methods_have_names(network: PrimitiveModel, policy: GoalPolicy) -> None:
    with pytest.raises(LabanError, match="--method fly; accepted: policy"):
        Guides(network, policy, load_body(OPEN_BODY), method="fly")


def test_one_stands_where_the_way_begins(network: PrimitiveModel) -> None:
    state = standing_at(network, [np.array([[1.0, 2.0], [3.0, 2.0]])])
    assert state.pelvis[0, -1, 0::2].tolist() == pytest.approx([1.0, 2.0], abs=1e-4)
    forward = primitive.heading(state.rotations[0, -1, 0])[:, 2]
    assert forward.tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-4)


# --------------------------------------------------------------------------------------------------------- the command


def write_room(path: Path) -> Path:
    """4 x 4 m with walls and a box of a table in the middle of one side."""
    lines, count = [], 0
    faces = {"floor": [[-2, 0, -2], [-2, 0, 2], [2, 0, 2], [2, 0, -2]],
             "wall_a": [[-2, 0, -2], [2, 0, -2], [2, 2.5, -2], [-2, 2.5, -2]],
             "wall_b": [[2, 0, 2], [-2, 0, 2], [-2, 2.5, 2], [2, 2.5, 2]],
             "wall_c": [[-2, 0, 2], [-2, 0, -2], [-2, 2.5, -2], [-2, 2.5, 2]],
             "wall_d": [[2, 0, -2], [2, 0, 2], [2, 2.5, 2], [2, 2.5, -2]]}  # fmt: skip
    for name, corners in faces.items():
        lines += [f"o {name}", *(f"v {x} {y} {z}" for x, y, z in corners)]
        lines.append("f " + " ".join(str(count + k + 1) for k in range(4)))
        count += 4
    lines.append("o table_1")
    lines += [f"v {x} {y} {z}" for y in (0, 0.7) for x, z in ((-0.5, -1), (0.5, -1), (0.5, 0), (-0.5, 0))]
    for quad in ((4, 5, 6, 7), (3, 2, 1, 0), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)):
        lines.append("f " + " ".join(str(count + k + 1) for k in reversed(quad)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("options", "said"), [
    (["--start", "0,-0.5", "--goal", "1,1"], "inside table_1; the nearest free place"),
    (["--start", "9,9", "--goal", "1,1"], "outside of the room; the nearest free place"),
    (["--start", "1,1", "--goal", "lamp"], "table_1"),
    (["--start", "1,1", "--then", "sit on throne"], "table_1"),
    (["--start", "1,1"], "nothing to do"),
    (["--start", "1;1", "--goal", "0,1"], "--start"),
    (["--start", "1,1", "--goal", "0,1", "-o", "film.avi"], "avi"),
    (["--start", "1,1", "--goal", "0,1", "--plan", "plan.txt"], "txt"),
])  # fmt: skip
def test_complaints(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["navigate", str(write_room(tmp_path / "hall.obj")), *options]) == 2
    assert said in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".obj"] == []


def test_the_command_writes_what_was_asked_for(
    network: PrimitiveModel, policy: GoalPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, led = tmp_path / "weights", tmp_path / "policy"
    save_primitives(weights, network, "card")
    save_goal_policy(led, GoalPolicy(replace(policy.config, primitives=digest_of(weights))), "card")
    outputs = [tmp_path / name for name in ("walk.npz", "walk.glb", "walk.mp4")]
    arguments = ["navigate", str(write_room(tmp_path / "hall.obj")), "--start", "1,1", "--goal", "0.72,1", "--json",
                 "--checkpoint", str(weights), "--policy", str(led), "--search", "1", "--size", "64x48",
                 "--plan", str(tmp_path / "plan.png")]  # fmt: skip
    for path in outputs:
        arguments += ["-o", str(path)]
    assert run(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == [str(path) for path in (*outputs, tmp_path / "plan.png")]
    assert all(path.stat().st_size > 500 for path in (*outputs, tmp_path / "plan.png"))
    assert {"seconds", "distance", "contact", "walkable", "penetration"} <= set(report["legs"][0])


# -------------------------------------------------------------------------------------------------------------- figures


def test_mean_and_best_of_seeds() -> None:
    about = {"contact": 0.9, "walkable": 1.0, "penetration": 0.0}
    results = [Result("a", "search", case, seed, seed == 1, about | {"seconds": 4.0 + seed + case}, 1.0)
               for case in range(2) for seed in range(2)]  # fmt: skip
    found = summary("search", results, [0.2, 0.4])
    assert found.cases == 2 and found.seeds == 2
    assert found.mean["success"][0] == 0.5 and found.best["success"] == 1.0
    assert found.mean["seconds"][0] == 5.0 and found.best["seconds"] == 5.5
    assert found.mean["diversity"][0] == pytest.approx(0.3)
    assert found.mean["seconds"][1] <= 5.0 <= found.mean["seconds"][2]


def test_rooms_to_measure_in(tmp_path: Path) -> None:
    assert [scene.name for scene in rooms_of(None, 2)] == [make_room(k, held_out=True).name for k in range(2)]
    with pytest.raises(LabanError, match=r"rooms\.json"):
        rooms_of(tmp_path, 1)
    with pytest.raises(LabanError, match="no rooms"):
        rooms_of(None, 0)
    with pytest.raises(LabanError, match="--row fly"):
        Asked(rows=("fly",))


def test_cases_are_free_and_connected(room: Surveyed) -> None:
    for start, goal in cases_of(room, 6):
        assert room.walkable.inside(np.array([start, goal])).all()
        assert len(room.path(start, goal)) >= 2
