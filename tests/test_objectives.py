"""Motion objectives: closed forms, invariances and useful gradients."""

from __future__ import annotations

import math

import pytest
import torch

from models import objectives
from models.body.skeleton import FEET, JOINT, NUM_BODY

FPS = 20.0


def standing(frames: int = 24) -> torch.Tensor:
    """A crude upright body: feet at their resting heights, left side at +X, facing +Z; (frames, 22, 3)."""
    joints = torch.zeros(NUM_BODY, 3)
    joints[:, 1] = torch.linspace(0.9, 1.6, NUM_BODY)
    for name, joint in JOINT.items():
        if joint < NUM_BODY:
            joints[joint, 0] = 0.1 if name.startswith("left") else -0.1 if name.startswith("right") else 0.0
    for ankle, toe in ((FEET[0], FEET[1]), (FEET[2], FEET[3])):
        joints[ankle, 1], joints[toe, 1], joints[toe, 2] = 0.08, 0.03, 0.12
    return joints.expand(frames, NUM_BODY, 3).clone()


def moved(joints: torch.Tensor, velocity: tuple[float, float, float]) -> torch.Tensor:
    times = torch.arange(len(joints)) / FPS
    return joints + times[:, None, None] * torch.tensor(velocity)


def walking_noise(seed: int = 0, frames: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return standing(frames) + 0.02 * torch.randn(frames, NUM_BODY, 3, generator=generator)


MEASURES = {
    "foot_skate": lambda joints: objectives.foot_skate(joints, FPS),
    "foot_skate_soft": lambda joints: objectives.foot_skate_soft(joints, FPS),
    "jerk": lambda joints: objectives.jerk(joints, FPS),
    "peak_jerk": lambda joints: objectives.peak_jerk(joints, FPS),
    "smoothness": lambda joints: objectives.smoothness(joints, FPS),
    "bone_length_drift": objectives.bone_length_drift,
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_still_body_scores_zero(measure):
    assert measure(standing()).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_measures_ignore_where_the_body_stands_and_how_high_the_floor_is(measure):
    joints = walking_noise()
    elsewhere = joints + torch.tensor([3.0, 0.7, -5.0])
    assert measure(elsewhere).item() == pytest.approx(measure(joints).item(), rel=1e-3)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_batch_scores_as_its_clips_do_one_by_one(measure):
    batch = torch.stack([walking_noise(seed) for seed in range(6)]).reshape(2, 3, 40, NUM_BODY, 3)
    alone = torch.stack([measure(clip) for clip in batch.flatten(0, 1)]).reshape(2, 3)
    torch.testing.assert_close(measure(batch), alone)


@pytest.mark.parametrize(
    "measure",
    [objectives.foot_skate, objectives.foot_skate_soft, objectives.jerk, objectives.peak_jerk, objectives.smoothness],
)
def test_padding_marked_invalid_changes_nothing(measure):
    joints = walking_noise(frames=30)
    padded = torch.cat((joints, 9.0 * torch.randn(10, NUM_BODY, 3)))
    valid = torch.arange(40) < 30
    torch.testing.assert_close(measure(padded, FPS, valid=valid), measure(joints, FPS))


@pytest.mark.parametrize("measure", [objectives.bone_length_drift, objectives.floor_penetration, objectives.floating])
def test_padding_marked_invalid_changes_nothing_without_fps(measure):
    joints = walking_noise(frames=30)
    padded = torch.cat((joints, torch.full((10, NUM_BODY, 3), -7.0)))
    torch.testing.assert_close(measure(padded, valid=torch.arange(40) < 30), measure(joints))


def test_a_sliding_body_skates_at_its_own_speed():
    sliding = moved(standing(), (0.3, 0.0, 0.4))
    assert objectives.foot_skate(sliding, FPS).item() == pytest.approx(0.5, rel=1e-4)
    assert objectives.foot_skate_soft(sliding, FPS).item() == pytest.approx(0.5, rel=1e-4)


def test_a_body_moving_over_fixed_feet_does_not_skate():
    sliding = moved(standing(), (0.3, 0.0, 0.4))
    sliding[:, FEET] = standing()[:, FEET]
    assert objectives.foot_skate(sliding, FPS).item() == pytest.approx(0, abs=1e-5)


def test_a_lifted_or_fast_foot_is_not_in_contact():
    joints = standing()
    joints[:, FEET[0:2], 1] += 0.3
    joints[:, FEET[2:4]] = moved(joints, (1.5, 0.0, 0.0))[:, FEET[2:4]]
    contact = objectives.foot_contact(joints, FPS)
    assert not contact.any()
    assert objectives.foot_skate(joints, FPS).item() == 0


def test_skate_does_not_depend_on_the_frame_rate():
    slow, fast = moved(standing(20), (0.4, 0.0, 0.0)), standing(40)
    fast = fast + (torch.arange(40) / 40.0)[:, None, None] * torch.tensor([0.4, 0.0, 0.0])
    torch.testing.assert_close(objectives.foot_skate(slow, 20.0), objectives.foot_skate(fast, 40.0))


def test_constant_acceleration_has_no_jerk_but_is_not_smooth():
    times = torch.arange(24, dtype=torch.float64) / FPS
    falling = standing().double() + (0.5 * 9.81 * times**2)[:, None, None] * torch.tensor([0.0, -1.0, 0.0])
    assert objectives.jerk(falling, FPS).item() == pytest.approx(0, abs=1e-5)
    assert objectives.smoothness(falling, FPS).item() == pytest.approx(9.81**2, rel=1e-6)


def test_a_cubic_path_has_its_own_jerk():
    times = torch.arange(24, dtype=torch.float64) / FPS
    cubic = standing().double() + (times**3)[:, None, None] * torch.tensor([2.0, 0.0, 0.0])
    assert objectives.jerk(cubic, FPS).item() == pytest.approx(12, rel=1e-6)
    assert objectives.peak_jerk(cubic, FPS).item() == pytest.approx(12, rel=1e-6)


def test_floor_measures_are_depth_and_height_of_the_lowest_joint():
    assert objectives.floor_penetration(standing()).item() == 0
    sunk = standing() - torch.tensor([0.0, 0.05, 0.0])
    assert objectives.floor_penetration(sunk).item() == pytest.approx(0.02, abs=1e-6)
    assert objectives.floor_penetration(standing(), clearance=0.04).item() == pytest.approx(0.01, abs=1e-6)
    assert objectives.floating(standing()).item() == pytest.approx(0.03, abs=1e-6)
    assert objectives.floating(standing(), floor=0.01, clearance=0.02).item() == pytest.approx(0, abs=1e-6)


def test_bone_drift_sees_stretching_and_ignores_turning():
    joints = walking_noise()[:1].expand(16, -1, -1)
    angles = torch.linspace(0, 2, 16)
    turn = torch.stack([rotation_about_y(angle.item()) for angle in angles])
    assert objectives.bone_length_drift(joints @ turn).item() == pytest.approx(0, abs=1e-6)
    stretched = joints * torch.linspace(0.9, 1.1, 16)[:, None, None]
    assert objectives.bone_length_drift(stretched).item() > 0.005


def rotation_about_y(angle: float) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])


@pytest.mark.parametrize("angle", [-2.5, -0.4, 0.0, 1.2, 3.0])
def test_heading_follows_the_body(angle):
    turned = standing() @ rotation_about_y(angle)
    expected = torch.tensor([math.sin(angle), math.cos(angle)])
    torch.testing.assert_close(objectives.facing(turned)[0], expected, atol=1e-5, rtol=0)
    off = objectives.orientation(turned, torch.tensor([0.0, 1.0]))
    assert off.item() == pytest.approx(abs(angle), abs=1e-5)


def test_goal_and_path_are_distances():
    joints = moved(standing(21), (0.0, 0.0, 1.0))
    goal = joints[-1, JOINT["left_wrist"]] + torch.tensor([0.0, 3.0, 4.0])
    assert objectives.goal_joint(joints, JOINT["left_wrist"], goal).item() == pytest.approx(5, rel=1e-5)
    straight = torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.0, 1.0]])
    assert objectives.path_distance(joints, straight).item() == pytest.approx(0, abs=1e-5)
    assert objectives.path_distance(joints, straight + torch.tensor([0.25, 0.0])).item() == pytest.approx(0.25)


def test_touch_takes_the_closest_frame_and_point():
    joints = moved(standing(21), (0.0, 0.0, 1.0))
    wrist = joints[10, JOINT["right_wrist"]]
    points = torch.stack((wrist + torch.tensor([0.2, 0.0, 0.0]), wrist + 9))
    assert objectives.touch(joints, JOINT["right_wrist"], points).item() == pytest.approx(0.2, abs=1e-5)
    assert objectives.touch(joints, JOINT["right_wrist"], points, tolerance=0.3).item() == 0


def test_contact_consistency_charges_only_marked_feet():
    sliding = moved(standing(), (0.5, 0.0, 0.0))
    contact = torch.zeros(24, 4)
    assert objectives.contact_consistency(sliding, contact, FPS).item() == 0
    assert objectives.contact_consistency(sliding, contact + 1, FPS).item() == pytest.approx(0.25, rel=1e-4)


ENERGIES = MEASURES | {
    "floor_penetration": lambda joints: objectives.floor_penetration(joints, clearance=0.05),
    "floating": objectives.floating,
    "goal": lambda joints: objectives.goal_joint(joints, 20, torch.tensor([1.0, 1.0, 1.0])),
    "path": lambda joints: objectives.path_distance(joints, torch.tensor([[1.0, 0.0], [1.0, 2.0]])),
    "orientation": lambda joints: objectives.orientation(joints, torch.tensor([1.0, 0.0])),
    "touch": lambda joints: objectives.touch(joints, 20, torch.tensor([[1.0, 1.0, 1.0]])),
    "contact": lambda joints: objectives.contact_consistency(joints, torch.ones(joints.shape[0], 4), FPS),
}


@pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)
def test_a_small_step_down_the_gradient_lowers_the_energy(energy):
    joints = walking_noise(3).double().requires_grad_()
    before = energy(joints)
    (gradient,) = torch.autograd.grad(before, joints)
    assert gradient.isfinite().all()
    assert gradient.norm() > 0
    after = energy(joints.detach() - 1e-4 * gradient / gradient.norm())
    assert after < before


@pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)
def test_gradients_stay_finite_on_a_perfectly_still_body(energy):
    joints = standing().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(joints), joints)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_too_short_for_a_difference_score_zero(frames):
    short = walking_noise(frames=frames)
    assert objectives.jerk(short, FPS).item() == 0
    assert objectives.peak_jerk(short, FPS).item() == 0
    assert math.isfinite(objectives.foot_skate(short, FPS).item())
