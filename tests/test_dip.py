"""DIP: plans of journeys, objectives and gradients, guidance through the next denoising call, rounds that join."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT
from models.body.vectors import rotation_angle
from models.diffusion.denoiser import Condition, DenoiserConfig
from models.diffusion.sampler import Hooks, SamplerConfig, posterior_variance, sample
from models.diffusion.schedule import cosine_schedule
from models.representation import rifke
from models.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    slerp,
    yaw_rotation,
)
from motion.constraints import Constraints
from motion.generator import Generator, GeneratorConfig, load_generator, save_generator
from motion.navigation.dip import PRESETS, DipConfig, Frame, Round, Rounds, dip, rounds_of
from motion.navigation.dip_blend import joined, power_blend, shares
from motion.navigation.dip_energy import OURS, PUBLISHED, DipWeights, asked, foot_height, jolts, leaning, slower_foot
from motion.navigation.flesh import flesh_of
from motion.navigation.journey import GoalPose, Journey, clearance, plan_of, rounded, timed
from motion.primitives.control import Window, pillars

SMALL = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
QUICK = DipConfig(steps=4, inner=2, candidates=1, guidance=1.5)
STRAIGHT = np.array([[0.0, 0.0], [0.0, 2.0]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint folder with random weights whose poses are near the T-pose, its pelvis at standing height."""
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(SMALL, known=(("walk", 3),)), load_body(OPEN_BODY).joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[0], network.mean[2] = 0.95, 0.05
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    folder = tmp_path_factory.mktemp("dip") / "small"
    save_generator(folder, network, "# small\n")
    return folder


def turned(seed: int, *shape: int) -> torch.Tensor:
    return axis_angle_to_matrix(torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, 3))))


def seated(x: float = 0.0, z: float = 2.4, yaw: float = math.pi) -> GoalPose:
    turns = np.tile(np.eye(3), (22, 1, 1))
    for joint, bend in ((1, -1.5), (2, -1.5), (4, 1.5), (5, 1.5)):
        turns[joint] = axis_angle_to_matrix(torch.tensor([bend, 0.0, 0.0], dtype=torch.float64)).numpy()
    turns[0] = yaw_rotation(torch.tensor(yaw, dtype=torch.float64)).numpy()
    return GoalPose(turns, np.array([x, 0.55, z]))


# ------------------------------------------------------------------------------------------------------------ joining


@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_powers_of_rotations_are_rotations_between_the_two_as_slerp_has_them(seed, share):
    first, second = turned(seed, 4), turned(seed + 1, 4)
    alpha = torch.full((4,), share, dtype=torch.float64)
    got = power_blend(first, second, alpha)
    assert torch.allclose(got @ got.transpose(-1, -2), torch.eye(3, dtype=torch.float64).expand(4, 3, 3), atol=1e-9)
    assert torch.allclose(torch.linalg.det(got), torch.ones(4, dtype=torch.float64))
    wanted = quaternion_to_matrix(slerp(matrix_to_quaternion(first), matrix_to_quaternion(second), alpha))
    assert torch.allclose(got, wanted, atol=1e-6)
    assert torch.allclose(geodesic_angle(first, got), share * geodesic_angle(first, second), atol=1e-6)


@given(seed=st.integers(0, 10**6))
def test_the_ends_of_a_blend_are_exact(seed):
    first, second = turned(seed, 3), turned(seed + 1, 3)
    assert torch.allclose(power_blend(first, second, torch.zeros(3, dtype=torch.float64)), first, atol=1e-12)
    assert torch.allclose(power_blend(first, second, torch.ones(3, dtype=torch.float64)), second, atol=1e-9)


def test_rounds_are_joined_over_the_frames_they_share_and_nowhere_else():
    first, second = (turned(1, 2, 9, 22), torch.zeros(2, 9, 3)), (turned(2, 2, 7, 22), torch.ones(2, 7, 3))
    turns, places = joined(first, second, 4)
    assert turns.shape == (2, 12, 22, 3, 3)
    assert torch.equal(turns[:, :5], first[0][:, :5]) and torch.equal(turns[:, 9:], second[0][:, 4:])
    assert torch.allclose(places[0, 5:9, 0], torch.tensor([0.2, 0.4, 0.6, 0.8]))
    assert torch.allclose(shares(4, like=places), places[0, 5:9, 0])
    with pytest.raises(LabanError, match="8 frames shared by motions of 9 and 7"):
        joined(first, second, 8)


def test_rounds_that_agree_are_joined_without_a_change():
    turns, places = turned(3, 1, 12, 22), torch.rand(1, 12, 3, dtype=torch.float64)
    got = joined((turns[:, :8], places[:, :8]), (turns[:, 5:], places[:, 5:]), 3)
    assert torch.allclose(got[0], turns, atol=1e-7) and torch.allclose(got[1], places)


# -------------------------------------------------------------------------------------------------------------- plans


def test_a_straight_way_takes_as_long_as_its_speed_says():
    path = np.stack([np.zeros(41), np.linspace(0, 4, 41)], -1)
    places = timed(path, 1.25, 20)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) * 20
    assert np.allclose(places[[0, -1]], path[[0, -1]]) and steps.max() < 1.26
    assert 3.2 < len(places) / 20 < 4.4 and steps[0] < 0.6 and steps[-1] < 0.6
    published = plan_of(Journey(STRAIGHT, speed=1.0), 20, even=True)
    assert published.frames == 41 and np.allclose(np.diff(published.places[:, 1]), 0.05)


def test_speeds_are_drawn_from_the_published_range():
    frames = [plan_of(Journey(np.array([[0.0, 0.0], [0.0, 10.0]])), 20, seed=k, even=True).frames for k in range(30)]
    speeds = 10 / ((np.array(frames) - 1) / 20)
    assert 1.09 < speeds.min() < 1.2 < 1.3 < speeds.max() < 1.41


def test_one_goes_slower_round_a_sharp_bend():
    places = timed(rounded(np.array([[0.0, 0.0], [0.0, 3.0], [3.0, 3.0]]), None), 1.3, 20)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) * 20
    corner = int(np.linalg.norm(places - [0, 3], axis=1).argmin())
    assert steps[corner - 2 : corner + 2].min() < 0.8 < 1.2 < steps[corner // 2]


@given(x=st.floats(0.2, 0.8), z=st.floats(1.2, 1.8), radius=st.floats(0.05, 0.3))
def test_corners_are_rounded_as_far_as_there_is_room(x, z, radius):
    path, scene = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 2.0]]), pillars([(x, z, radius)])
    got, sharp = rounded(path, scene), rounded(path, pillars([(9.0, 9.0, 0.1)]))
    before = min(clearance(np.stack([np.interp(np.linspace(0, 4, 81), [0, 2, 4], path[:, k]) for k in (0, 1)], -1),
                           scene).min(), 0.25)  # fmt: skip
    assert clearance(got, scene).min() >= before - 0.03
    assert np.allclose(got[[0, -1]], path[[0, -1]])
    assert np.linalg.norm(sharp - [0.0, 2.0], axis=1).min() > 0.1


def test_who_sits_turns_about_then_goes_down_over_feet_that_stand():
    plan = plan_of(Journey(STRAIGHT, goal=seated(), speed=1.2), 20)
    texts = [leg.text for leg in plan.legs]
    assert texts == ["a person walks forward", "a person turns around", "a person sits down"]
    assert plan.legs[-1].last == plan.frames - 1 and [leg.first for leg in plan.legs[1:]] == [
        leg.last + 1 for leg in plan.legs[:-1]
    ]
    arrived, held = (round(key.time * 20) for key in plan.poses)
    assert held == plan.frames - 1 and held - arrived == 10  # DIP: the last pose is held for 10 frames
    assert np.allclose(plan.places[arrived:], [0, 2.4])
    ankles = {key.joint: key.position for key in plan.feet}
    assert set(ankles) == {"left_ankle", "right_ankle"}
    assert np.allclose(ankles["left_ankle"], seated().joints()[JOINT["left_ankle"]])
    assert math.isclose(math.remainder(plan.headings[-1][1] - math.pi, 2 * math.pi), 0, abs_tol=1e-6)
    heights = [height for _, height in plan.heights]
    assert heights == sorted(heights, reverse=True) and heights[0] <= 0.93 and heights[-1] >= 0.55


def test_who_faces_the_seats_way_already_does_not_turn():
    plan = plan_of(Journey(STRAIGHT, goal=seated(yaw=0.2), speed=1.2), 20)
    assert [leg.text for leg in plan.legs] == ["a person walks forward", "a person sits down"]


def test_a_way_that_is_put_off_keeps_everything_in_order():
    plan = plan_of(Journey(STRAIGHT, goal=seated(), speed=1.2), 20)
    later = plan.delayed(20, 7)
    assert later.frames == plan.frames + 7 and later.walking[1] == plan.walking[1] + 7
    assert np.allclose(later.places[27:], plan.places[20:]) and np.allclose(later.places[20], plan.places[13])
    assert [key.time for key in later.poses] == pytest.approx([key.time + 0.35 for key in plan.poses])
    assert later.legs[0].first == 0 and later.legs[-1].last == later.frames - 1


def test_rounds_cover_each_leg_and_fit_the_network():
    plan = plan_of(Journey(np.array([[0.0, 0.0], [0.0, 15.0]]), speed=1.1, goal=seated(z=15.4)), 20)
    rounds = rounds_of(plan, replace(QUICK, seconds=8.0), window=200)
    assert rounds[0][0] == 0 and rounds[-1][1] == plan.frames
    assert all(before[1] == after[0] for before, after in zip(rounds, rounds[1:], strict=False))
    assert all(last - first + QUICK.overlap <= 160 for first, last, _ in rounds) and len(rounds) > 3


@pytest.mark.parametrize(
    ("path", "scene", "message"),
    [
        ([[0.0, 0.0], [0.0, 4.0]], pillars([(0.1, 2.0, 0.4)]), "path: .* is inside of something"),
        ([[0.0, 0.0], [0.0, 4.0]], pillars([(0.45, 2.0, 0.4)]), "path: .* m from something"),
        ([[0.0, 0.0], [0.0, math.nan]], None, "not a number"),
        ([[0.0, 0.0]], None, "1 different points"),
        ([[0.0, 0.0], [0.0, 0.0]], None, "1 different points"),
        ([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]], None, "shape"),
    ],
)
def test_paths_that_cannot_be_gone_are_refused(path, scene, message):
    with pytest.raises(LabanError, match=message):
        plan_of(Journey(np.array(path), scene=scene), 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotations": np.eye(3)}, "rotations of shape"),
        ({"rotations": np.zeros((22, 3, 3))}, "no rotation matrices"),
        ({"pelvis": np.array([0.0, math.nan, 0.0])}, "pelvis holds a NaN"),
        ({"pelvis": np.zeros(2)}, "pelvis of shape"),
        ({"manner": "hover"}, "manner 'hover'; accepted: sit, lie"),
        ({"text": " "}, "text is empty"),
    ],
)
def test_goal_poses_that_are_none_are_refused(change, message):
    with pytest.raises(LabanError, match=message):
        replace(seated(), **change)


def test_settings_that_make_no_sense_are_refused():
    for change, message in (({"steps": 0}, "steps 0"), ({"candidates": 0}, "candidates"), ({"seconds": 1.0}, "rounds")):
        with pytest.raises(LabanError, match=message):
            replace(DipConfig(), **change)
    with pytest.raises(LabanError, match="text is empty"):
        Journey(STRAIGHT, text="")


# --------------------------------------------------------------------------------------------------------- objectives


def moving(slow: float = 1.0, frames: int = 12) -> torch.Tensor:
    """(1, 2, frames, 22, 3) joints of a T-pose that jitter and drift, floor included."""
    rest = load_body(OPEN_BODY).joint_template[:22].double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 2, frames, 22, 3, generator=generator, dtype=torch.float64)
    drift = 0.1 * torch.arange(frames, dtype=torch.float64)[:, None, None] * torch.tensor([0.0, 0.0, 1.0])
    return rest - rest[:, 1].min() * torch.tensor([0.0, 1.0, 0.0]) + slow * (0.03 * noise + drift)


@pytest.mark.parametrize("name", ["pose", "path", "skate", "contact", "smooth", "slide", "penetration", "facing",
                                  "height", "lean"])  # fmt: skip
def test_gradients_of_objectives_are_finite_differences(name):
    plan = plan_of(Journey(STRAIGHT, goal=seated(), speed=1.2), 20)
    task = asked(plan, pillars([(0.2, 0.4, 0.35)]), every=0.1)
    every = DipWeights(skate=1.0, penetration=1.0, smooth=1.0, slide=1.0)
    made = {o.name: o for o in (*task.objectives(every), *task.carried(1.0))}[name]
    first = {"pose": plan.frames - 12, "facing": plan.headings[-1][0] - 5, "height": plan.heights[0][0] - 3}.get(
        name, 0
    )
    x = moving(0.2 if name == "slide" else 1.0).requires_grad_(True)
    measured = made.measure(Window(x, first))
    assert measured.shape == (1, 2) and (measured > 0).all()
    (gradient,) = torch.autograd.grad(measured.sum(), x)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    ahead, back = (made.measure(Window(x.detach() + sign * 1e-6 * way, first)).sum() for sign in (1, -1))
    assert float((ahead - back) / 2e-6) == pytest.approx(float((gradient * way).sum()), rel=0.02, abs=1e-5)


def test_measures_by_hand():
    still = moving()[:, :, :1].repeat(1, 1, 10, 1, 1)
    assert slower_foot(still, 20).abs().max() == 0 and jolts(still, 20).abs().max() == 0
    slid = still + 0.1 * torch.arange(10, dtype=torch.float64)[:, None, None]  # 2 m/s along each axis
    assert slower_foot(slid, 20)[0, 0].item() == pytest.approx(math.sqrt(12) - 0.5)
    joints = torch.zeros(1, 1, 3, 22, 3)
    joints[..., 1] = 0.5
    assert foot_height(joints, 0.1).item() == pytest.approx(0.39)
    joints[..., JOINT["neck"], :] = torch.tensor([0.5, 1.0, 0.0])
    assert leaning(joints).item() == pytest.approx(math.pi / 4 - 0.15)


def test_the_bodys_spheres_lie_within_its_skin_and_reach_its_ends():
    flesh, body = flesh_of(), load_body()
    centres = flesh.centres(body.joint_template[:22].float())
    low, high = body.v_template.amin(0), body.v_template.amax(0)
    assert (centres > low - 0.01).all() and (centres < high + 0.01).all()
    reach = torch.stack([(centres - flesh.radius[:, None]).amin(0), (centres + flesh.radius[:, None]).amax(0)])
    assert (reach - torch.stack([low, high])).abs().max() < 0.12
    joints = body.joint_template[:22].float()[None]
    assert flesh.depth(joints, lambda points: torch.full(points.shape[:-1], 0.2)).item() == 0
    assert flesh.depth(joints, lambda points: points[..., 0] + 0.5).item() > 0


def test_published_weights_are_those_of_the_paper():
    assert PUBLISHED["walk"] == DipWeights(1.0, 1.0, 1e-3, 0.1, 0.0, 0.0, 0.0)
    assert (PUBLISHED["sit"].penetration, PUBLISHED["sit"].smooth, PUBLISHED["sit"].skate) == (0.1, 1e-3, 3e-4)
    assert (PUBLISHED["lie"].penetration, PUBLISHED["lie"].skate) == (0.03, 0.0)
    published = PRESETS["published"]
    assert (published.steps, published.inner, published.scale, published.method) == (1000, 10, 20.0, "ddpm")
    assert published.free * 1000 == 10 and published.fixed * 1000 == 50


# ----------------------------------------------------------------------------------------------------------- guidance


def test_a_lead_changes_what_the_next_step_starts_from():
    schedule, noise = cosine_schedule(50), torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    seen: list[tuple[int, float]] = []

    def lead(mean: torch.Tensor, t: int, variance: float) -> torch.Tensor:
        seen.append((t, variance))
        return mean + 1

    config = SamplerConfig("ddpm", 50)
    plain, led = (sample(lambda x, t: 0.5 * x, noise, schedule, config, hooks=Hooks(lead=hook),
                         generator=torch.Generator().manual_seed(0)) for hook in (None, lead))  # fmt: skip
    assert [t for t, _ in seen] == list(range(48, -1, -1)) and (led > plain).all()
    alpha, before = schedule.alpha_bar[20].item(), schedule.alpha_bar[19].item()
    assert posterior_variance(schedule, 20, 19) == pytest.approx(
        (1 - before) / (1 - alpha) * (1 - alpha / before), 1e-4
    )


def test_noise_free_samplers_draw_nothing_and_can_be_led():
    noise = torch.randn(1, 4, generator=torch.Generator().manual_seed(2))
    for method in ("ddim", "dpm++"):
        config = SamplerConfig(method, 5)
        still = [sample(lambda x, t: 0.9 * x, noise, cosine_schedule(50), config) for _ in range(2)]
        assert torch.equal(*still)
        assert not torch.equal(still[0], sample(lambda x, t: 0.9 * x, noise, cosine_schedule(50), config,
                                                hooks=Hooks(lead=lambda mean, t, v: mean * 1.1)))  # fmt: skip


def test_a_straight_way_is_followed(checkpoint):
    told: list[int] = []
    made = dip(Journey(STRAIGHT, speed=1.2), replace(QUICK, candidates=2), checkpoint=checkpoint, progress=told.append)
    assert made.errors["path"] < 0.05 and made.errors["goal"] < 0.05 and sum(told) == QUICK.steps
    assert made.motion.frames == made.plan.frames and made.motion.fps == 20
    assert made.errors["total"] <= made.mean["total"] and made.seconds > 0 and made.cpu > 0


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("path", DipWeights(0, 1.0, 0, 0)), ("skate", DipWeights(0, 0, 1.0, 0)), ("contact", DipWeights(0, 0, 0, 30.0)),
        ("penetration", DipWeights(0, 0, 0, 0, penetration=1.0)), ("smooth", DipWeights(0, 0, 0, 0, smooth=0.1)),
        ("slide", DipWeights(0, 0, 0, 0, slide=1.0)),
    ],
)  # fmt: skip
def test_the_posterior_mean_is_led_down_each_objective_of_the_prediction_from_it(checkpoint, name, weights):
    network, config = load_generator(checkpoint), replace(QUICK, inner=4, scale=100.0)
    task = asked(plan_of(Journey(STRAIGHT, speed=1.0), 20), pillars([(0.0, 0.6, 0.5)]), every=0.2)
    own = task.objectives(weights)
    assert [o.name for o in own] == [name]
    condition = Condition(torch.zeros(1, 1, 384), torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 384))
    part = Round(Rounds(network, config, task, own), 0, 0, 30, condition, None)
    frame = Frame(np.zeros(1), np.zeros((1, 2)))
    mean = torch.randn(1, 30, 205, generator=torch.Generator().manual_seed(0)) * (0.2 if name == "slide" else 1.0)
    led = part.lead(lambda x, t: 0.9 * x, lambda x0, t: x0, frame, [Constraints()])
    before, after = (part.energy(0.9 * x, frame, own) for x in (mean, led(mean, 200, 0.05)))
    assert 0 < float(after) < 0.9 * float(before)
    assert torch.equal(led(mean, 0, 0.05), mean)  # the last steps are the network's own


def test_penetration_falls_when_it_is_guided(checkpoint):
    journey = Journey(STRAIGHT, speed=1.2, scene=pillars([(0.5, 1.0, 0.33)]))
    way = {"walk": DipWeights(0, 0, 0, 0, penetration=1.0)}
    free, led = (dip(journey, replace(QUICK, inner=inner, weights=way, scale=20000.0), checkpoint=checkpoint)
                 for inner in (0, 4))  # fmt: skip
    assert led.errors["penetration"] < 0.97 * free.errors["penetration"]


def test_long_ways_are_made_in_rounds_that_join_smoothly_and_end_in_the_pose(checkpoint):
    journey = Journey(np.array([[0.0, 0.0], [0.0, 4.0]]), speed=1.3, goal=seated(z=4.4))
    config = replace(QUICK, steps=3, seconds=4.0, inner=1)
    made = dip(journey, config, checkpoint=checkpoint)
    assert len(rounds_of(made.plan, config, 200)) >= 3
    steps = np.linalg.norm(np.diff(made.motion.root[0], axis=0), axis=-1)
    assert steps.max() < 0.25
    last = made.motion.rotations[0, -1, :22].astype(np.float64)
    assert rotation_angle(np.swapaxes(last, -1, -2) @ seated(z=4.4).rotations).max() < 0.01
    assert made.errors["pose"] < 0.01 and made.errors["goal"] < 0.01


def test_who_gets_up_starts_in_the_pose(checkpoint):
    start = replace(seated(z=0.4, yaw=0.0), text="a person stands up")
    made = dip(
        Journey(STRAIGHT + [0.0, 0.8], speed=1.2, start=start), replace(QUICK, steps=3, inner=1), checkpoint=checkpoint
    )
    first = made.motion.root[0, 0] + load_body().joint_template[0].numpy()
    assert np.linalg.norm(first - start.pelvis) < 0.15 and made.plan.legs[0].text == "a person stands up"
    assert made.errors["goal"] < 0.05


def test_seeds_make_the_same_motion_again_and_others_another(checkpoint):
    journey = Journey(STRAIGHT / 2, speed=1.2)
    first, again, other = (dip(journey, replace(QUICK, steps=2, inner=1, seed=seed), checkpoint=checkpoint)
                           for seed in (3, 3, 4))  # fmt: skip
    assert np.array_equal(first.motion.rotations, again.motion.rotations)
    assert not np.array_equal(first.motion.rotations, other.motion.rotations)


def test_weights_of_ours_keep_walkers_out_of_things():
    assert all(OURS[manner].penetration > 0 for manner in ("walk", "sit", "lie"))
