"""Steering by noise optimisation: objectives, paths and scenes, the optimiser, and the command's complaints."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.cli.steer import parse_points
from laban.errors import LabanError
from models import objectives
from models.body.skeleton import JOINT
from models.diffusion.denoiser import DenoiserConfig
from models.representation.primitive import FUTURE
from motion.navigation.routes import Surroundings, arrival, go_along, go_to
from motion.primitives.control import (
    BODY_RADIUS,
    Window,
    approach,
    check_clear,
    follow,
    keep_out,
    keep_pose,
    natural,
    pillars,
    reach,
    timed_path,
)
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel, save_primitives
from motion.primitives.rollout import Made, standing
from motion.primitives.steering import SteerConfig, steer, windows
from tests.small_primitives import small_primitives

SMALL = PrimitiveConfig(
    tokens=2, latent=4, width=16, layers=1, heads=2, hidden=16, known=(("walk", 5), ("wave", 5)),
    denoiser=DenoiserConfig(4, 16, 1, 2, 16, patch=1, text=384, slots=(("history", FEATURES),)), steps=50,
)  # fmt: skip
QUICK = SteerConfig(primitives=4, horizon=2, keep=1, iterations=6, tries=2)


@pytest.fixture(scope="module")
def network() -> PrimitiveModel:
    """A small model with random weights that gets about a little."""
    model = small_primitives(SMALL, 0.3)
    return model.eval()


def body(frames: int = 12, people: int = 2, tries: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(people, tries, frames, 22, 3, generator=generator)
    return joints + torch.tensor([0.0, 0.5, 0.0])


# ---------------------------------------------------------------------------------------------------------- objectives


def test_a_body_that_is_where_it_should_be_costs_nothing():
    joints = body()
    window = Window(joints, -2)
    places = joints[:, 0, 2:, 0, 0::2]
    assert follow(places).measure(window)[:, 0].abs().max() < 1e-5
    assert follow(places).measure(window)[:, 1].min() > 0.1
    assert keep_pose(joints[:, 1, 7], 5).measure(window)[:, 1].abs().max() < 1e-5
    wrist = JOINT["left_wrist"]
    assert reach(wrist, joints[:, 2, 2, wrist], 0).measure(window)[:, 2].abs().max() < 1e-5
    assert approach(joints[:, 0, -1, 0, 0::2]).measure(window)[:, 0].abs().max() < 1e-5


def test_frames_outside_of_a_window_do_not_count():
    window = Window(body(), 30)
    assert keep_pose(torch.zeros(2, 22, 3), 5).measure(window).tolist() == [[0.0] * 3] * 2
    assert reach(0, torch.zeros(2, 3), 42).measure(window).abs().sum() == 0
    assert reach(0, torch.zeros(2, 3), 41).measure(window).min() > 0


def test_after_the_end_of_a_path_one_stays_there():
    joints = torch.zeros(1, 1, 10, 22, 3)
    joints[..., 0, 2] = 3.0
    places = torch.tensor([[[0.0, 1.0], [0.0, 3.0]]])
    assert follow(places).measure(Window(joints, 1)).item() == pytest.approx(0, abs=1e-5)
    assert follow(places).measure(Window(joints, 0)).item() == pytest.approx(0.2, abs=1e-5)


def test_a_scene_counts_how_deep_spheres_reach_into_it():
    joints = torch.full((1, 4, 22, 3), 9.0)
    joints[:, 0, 3] = torch.tensor([1.0, 0.5, 0.2])
    distance = pillars([(1.0, 0.0, 0.5)])
    depth = objectives.scene_penetration(joints, distance, 0.1)
    assert depth.item() == pytest.approx((0.1 + 0.3) / 4, abs=1e-5)
    assert keep_out(distance).measure(Window(joints[None], 0)).shape == (1, 1)


def test_progress_is_negative_when_the_goal_comes_nearer():
    joints = torch.zeros(5, 22, 3)
    joints[:, :, 2] = torch.linspace(0, 1, 5)[:, None]
    assert objectives.approach(joints, torch.tensor([0.0, 3.0])).item() == pytest.approx(-1, abs=1e-5)
    assert objectives.root_goal(joints, torch.tensor([4.0, 1.0])).item() == pytest.approx(4, abs=1e-5)


@pytest.mark.parametrize("name", ["path", "goal", "pose", "joint", "scene", "natural"])
def test_gradients_are_finite_and_go_downhill(name, network):
    made = {
        "path": [follow(torch.ones(2, 8, 2))], "goal": [approach(torch.full((2, 2), 3.0))],
        "pose": [keep_pose(torch.zeros(2, 22, 3), 3)], "joint": [reach(20, torch.ones(2, 3), 4)],
        "scene": [keep_out(pillars([(0.5, 0.5, 0.6)]))], "natural": natural(network),
    }[name]  # fmt: skip
    joints = body().requires_grad_(True)

    def cost(x: torch.Tensor) -> torch.Tensor:
        return sum(o.weight * o.measure(Window(x, -2)) for o in made).sum()

    (gradient,) = torch.autograd.grad(cost(joints), joints)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    assert cost(joints - 1e-4 * gradient / gradient.norm()) < cost(joints)


# --------------------------------------------------------------------------------------------------- paths and scenes


def test_a_path_is_walked_at_its_speed_with_a_soft_start_and_end():
    places = timed_path(np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 2.0]]), 1.0).numpy()
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) * 30
    assert np.allclose(places[-1], [2, 2], atol=1e-3) and len(places) == round((4 + 0.8) * 30)
    assert steps.max() < 1.02 and steps[0] < 0.1 and steps[-1] < 0.1
    assert np.median(steps) == pytest.approx(1, abs=0.01)


def test_a_short_path_is_gone_slowly():
    places = timed_path(np.array([[0.0, 0.0], [0.1, 0.0]]), 2.0)
    assert torch.isfinite(places).all() and places[-1, 0].item() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    ("points", "speed", "said"),
    [
        (np.zeros((0, 2)), 1.0, "0 different points"),
        (np.zeros((3, 2)), 1.0, "1 different points"),
        (np.array([[0, 0], [math.nan, 1]]), 1.0, "not a number"),
        (np.array([[0.0, 0], [1, 1]]), 12.0, "nobody exceeds"),
        (np.array([[0.0, 0], [1, 1]]), math.nan, "--speed nan"),
    ],
)
def test_paths_that_nobody_can_go_are_refused(points, speed, said):
    with pytest.raises(LabanError, match=said):
        timed_path(points, speed)


def test_a_goal_in_a_wall_is_refused():
    scene = pillars([(2.0, 0.0, 0.5)])
    check_clear(torch.tensor([[0.0, 0.0]]), scene, "goal")
    with pytest.raises(LabanError, match="inside of something"):
        check_clear(torch.tensor([[0.0, 0.0], [2.0, 0.1]]), scene, "goal")
    with pytest.raises(LabanError, match="a body needs"):
        check_clear(torch.tensor([[2.0, 0.5 + BODY_RADIUS - 0.01]]), scene, "goal")
    with pytest.raises(LabanError, match="not a number"):
        check_clear(torch.tensor([[math.nan, 0.0]]), None, "goal")
    with pytest.raises(LabanError, match="radius above 0"):
        pillars([(0.0, 0.0, -1.0)])


# ---------------------------------------------------------------------------------------------------------- optimiser


def test_the_optimiser_comes_nearer_to_the_objective(network):
    state = standing(network, 2, dtype=torch.float32)
    goal = torch.tensor([[0.5, 0.5], [-0.5, 0.2]])
    free = SteerConfig(primitives=2, horizon=2, keep=2, iterations=1, tries=1, lr=1e-9)
    before = steer(network, state, ["walk"], [approach(goal)], free)
    steered = steer(network, state, ["walk"], [approach(goal)], SteerConfig(2, 2, 2, 25, 2))
    assert (steered.errors["goal"] < before.errors["goal"] - 0.02).all()


def test_what_is_made_is_what_the_noises_make(network):
    state = standing(network, 2, dtype=torch.float32)
    counted: list[int] = []
    first, again = (
        steer(network, state, ["walk"], [approach(torch.ones(2, 2)), *natural(network)], QUICK, progress=counted.append)
        for _ in range(2)
    )
    assert len(first.made) == 4 and first.joints.shape == (2, 4 * FUTURE, 22, 3) and first.noise.shape == (4, 2, 2, 4)
    assert torch.equal(first.noise, again.noise)
    assert sum(counted) == 2 * windows(QUICK) * QUICK.iterations
    assert set(first.errors) == {"goal", "skate", "floor", "jerk"}
    assert torch.equal(first.state.pelvis, first.made[-1].pelvis[:, -2:])


def test_texts_may_change_from_primitive_to_primitive(network):
    state = standing(network, 1, dtype=torch.float32)
    steer(network, state, ["walk", "walk", "wave", "wave"], [approach(torch.ones(1, 2))], QUICK)
    with pytest.raises(LabanError, match="3 texts for 4 primitives"):
        steer(network, state, ["walk"] * 3, [approach(torch.ones(1, 2))], QUICK)
    with pytest.raises(LabanError, match="no objectives"):
        steer(network, state, ["walk"], [], QUICK)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(LabanError, match="iterations 0"):
        SteerConfig(iterations=0)
    with pytest.raises(LabanError, match="keeps 9 primitives"):
        SteerConfig(keep=9)


def test_ways_end_where_the_goal_is_reached(network):
    went = go_along(network, "walk", np.array([[1.0, 1.0], [1.0, 1.3]]), Surroundings(1.0), QUICK)
    assert went.frames == len(timed_path(np.array([[0.0, 0.0], [0.0, 0.3]]), 1.0)) and math.isfinite(went.error)
    start = went.made[0].pelvis[0, 0, [0, 2]]
    assert (start - torch.tensor([1.0, 1.0])).norm() < 0.5
    there = go_to(network, "walk", (0.1, 0.1), Surroundings(1.0), QUICK)
    assert there.arrived and there.frames <= FUTURE and there.error < 0.3
    still = Made(torch.eye(3).expand(1, 8, 22, 3, 3), torch.zeros(1, 8, 3))
    assert arrival((still,), torch.tensor([[3.0, 0.0]])).error == pytest.approx(3)
    assert arrival((still, still), torch.tensor([[0.0, 0.0]]), before=1).frames == FUTURE + 1  # not where it set out


# ------------------------------------------------------------------------------------------------------- the command


def test_places_are_read_from_words_and_files(tmp_path: Path):
    assert parse_points("0,0 2,1.5", "--path") == [(0, 0), (2, 1.5)]
    (tmp_path / "a.json").write_text("[[0, 0], [1, 2]]")
    (tmp_path / "b.csv").write_text("x,z\n0,0\n-1, 2\n\n")
    assert parse_points(str(tmp_path / "a.json"), "--path") == [(0, 0), (1, 2)]
    assert parse_points(str(tmp_path / "b.csv"), "--path") == [(0, 0), (-1, 2)]


@pytest.mark.parametrize("given", ["", "1;2", "1,2,3", "nan,1", "missing.csv"])
def test_places_that_are_none_are_refused(given):
    with pytest.raises(LabanError, match="--path"):
        parse_points(given, "--path")


def test_the_command_says_what_is_wrong(network, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_primitives(tmp_path / "p", network, "card")
    common = ["steer", "walk", "--checkpoint", str(tmp_path / "p"), "-o", str(tmp_path / "x.npz")]
    for more, said in (
        ([], "either --path or --goal"),
        (["--path", "0,0 1,1", "--by", "policy"], "--by policy with --path"),
        (["--goal", "2,0", "--obstacle", "2,0,1"], "inside of something"),
        (["--path", "0,0 1,1", "--speed", "30"], "nobody exceeds"),
        (["--goal", "1,1 2,2"], "2 places"),
    ):
        assert run([*common, *more]) == 2
        assert said in capsys.readouterr().err


def test_the_command_writes_a_motion(network, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_primitives(tmp_path / "p", network, "card")
    target = tmp_path / "x.npz"
    options = ["--path", "0,0 0,0.3", "--speed", "1", "--iterations", "2", "--tries", "1", "-o", str(target)]
    assert run(["steer", "walk", "--checkpoint", str(tmp_path / "p"), *options]) == 0
    assert "from where one was due" in capsys.readouterr().out
    with np.load(target) as stored:
        assert len(stored["trans"]) == len(timed_path(np.array([[0.0, 0.0], [0.0, 0.3]]), 1.0))
