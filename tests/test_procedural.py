"""Procedural motion: limbs that reach, bones that keep their lengths, and actions that do what their names say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from action_localization.pose.classes import names
from action_localization.pose.features import FPS
from action_localization.pose.observe import ViewConfig, observe
from action_localization.pose.procedural import (
    SIDES,
    bent,
    between,
    leaning,
    loosened,
    posed,
    procedural_clips,
    standing,
    turns,
    wave,
)
from action_localization.pose.procedural_actions import ACTIONS
from action_localization.pose.streams import Pool, make_stream
from models.body.retarget_body import target_body
from models.body.skeleton import JOINT, PARENTS

SEEDS = range(8)


def made(label: str | None, seed: int, frames: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return posed(loosened(ACTIONS[label][0](rng, frames), rng))


def height(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[:, [JOINT[f"{side}_{name}"] for side in SIDES], 1]


def test_a_limb_reaches_what_is_near_and_stretches_for_what_is_far() -> None:
    root = np.zeros((3, 3))
    target = np.array([[0.3, 0.0, 0.0], [0.0, -0.4, 0.1], [2.0, 0.0, 0.0]])
    pole = np.array([0.0, 0.0, 1.0]) + 0 * root
    bones = (np.array([0.26, 0.0, 0.0]), np.array([0.0, 0.25, 0.0]))
    middle, end = bent(root, target, bones, pole)
    np.testing.assert_allclose(end[:2], target[:2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=-1), 0.26, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(end - middle, axis=-1), 0.25, atol=1e-9)
    assert (middle[:2] * pole[:2]).sum(-1).min() > 0.05
    assert end[2, 0] == pytest.approx(0.51, abs=0.005)


@pytest.mark.parametrize("label", ACTIONS)
def test_bones_keep_their_lengths_and_bodies_move_like_bodies(label: str | None) -> None:
    rest = target_body().joints
    for seed in SEEDS:
        joints = made(label, seed)
        assert joints.dtype == np.float32 and np.isfinite(joints).all()
        for joint in range(1, joints.shape[1]):
            wanted = np.linalg.norm(rest[joint] - rest[PARENTS[joint]])
            found = np.linalg.norm(joints[:, joint] - joints[:, PARENTS[joint]], axis=-1)
            np.testing.assert_allclose(found, wanted, rtol=1e-4)
        assert -0.3 < joints[..., 1].min() < 1.0 and joints[..., 1].max() < 3.0
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * FPS
        assert np.percentile(speed.max(-1), 90) < 12, "metres a second"


def test_clips_are_a_function_of_the_seed_and_of_known_classes() -> None:
    assert set(ACTIONS) - {None} <= set(names())
    one, again, other = (procedural_clips(ACTIONS, 2, seed, 8.0) for seed in (1, 1, 2))
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(one, again, strict=True))
    assert not any(a.joints.shape == b.joints.shape and np.array_equal(a.joints, b.joints)
                   for a, b in zip(one, other, strict=True))  # fmt: skip
    assert {clip.label for clip in one} == set(ACTIONS)
    for clip in one:
        low, high = ACTIONS[clip.label][1]
        assert low - 0.05 <= len(clip.joints) / FPS <= high + 0.05 and clip.weight == 4.0
        assert clip.idle == (clip.label is None)
    stream = make_stream(Pool(one), (3,))
    assert np.isfinite(stream.joints).all() and len(stream.truth.segments) > 3


def test_a_squat_goes_down_and_comes_up() -> None:
    for seed in SEEDS:
        pelvis = made("squat", seed)[:, 0, 1]
        assert pelvis.max() - pelvis.min() > 0.18 and pelvis.max() > 0.9


def test_planks_and_push_ups_are_level_and_only_one_of_them_moves() -> None:
    for seed in SEEDS:
        held, done = made("plank", seed), made("push-up", seed)
        for joints in (held, done):
            trunk = joints[:, JOINT["neck"]] - joints[:, 0]
            assert np.abs(trunk[:, 1] / np.linalg.norm(trunk, axis=-1)).mean() < 0.6
        assert np.ptp(height(held, "shoulder").mean(1)) < 0.1 < np.ptp(height(done, "shoulder").mean(1))


def test_arms_are_up_when_legs_are_apart() -> None:
    for seed in SEEDS:
        joints = made("jumping jacks", seed)
        apart = np.abs(joints[:, JOINT["left_ankle"], 0] - joints[:, JOINT["right_ankle"], 0])
        hands = height(joints, "wrist").mean(1)
        assert np.corrcoef(apart, hands)[0, 1] > 0.8 and np.ptp(hands) > 0.6


def test_pedals_go_round_on_opposite_sides() -> None:
    for seed in SEEDS:
        ankles = (
            height(made("cycle", seed), "ankle")
            + made("cycle", seed)[:, [JOINT["left_ankle"], JOINT["right_ankle"]], 2]
        )
        moved = ankles - ankles.mean(0)
        assert np.corrcoef(moved.T)[0, 1] < -0.5 and np.ptp(moved) > 0.1


def test_a_waving_hand_is_up() -> None:
    for seed in SEEDS:
        joints = made("wave", seed)
        assert (height(joints, "wrist").max(1) > joints[:, JOINT["right_shoulder"], 1] - 0.12).mean() > 0.5


def test_helpers_turn_and_rest_where_they_should() -> None:
    rng = np.random.default_rng(0)
    count = turns(rng, 41, (1.0, 1.0), 0.0)
    assert count[0] == 0 and np.diff(count).min() > 0 and count[-1] == pytest.approx(2.0, rel=0.3)
    np.testing.assert_allclose(wave(np.array([0.0, 0.5, 1.0])), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(between(np.array([1.0, 3.0]), np.array([0, 1]), np.array([0, 0.5, 1])), [1, 2, 3])
    up = leaning(np.full(2, 0.3), np.zeros(2), np.zeros(2))[:, :, 1]
    np.testing.assert_allclose(up, [[0, np.cos(0.3), np.sin(0.3)]] * 2, atol=1e-12)
    pose = standing(rng, 5)
    place = pose.hands + (0, 1.6, 0.2)
    wrist = posed(replace(pose, placed=True, hands=place))[:, JOINT["left_wrist"]]
    np.testing.assert_allclose(wrist, place[:, 0], atol=1e-5)


def test_a_camera_may_take_left_for_right_and_miss_legs() -> None:
    joints = made("wave", 1)
    still = ViewConfig(noise=0.0, crop=0.0, swaps=0.0, losses=0.0, turned=0.0)
    plain, _, _ = observe(joints, np.random.default_rng(4), still)
    swapped = observe(joints, np.random.default_rng(4), replace(still, turned=1.0))[0]
    left, right = JOINT["left_wrist"], JOINT["right_wrist"]
    higher = plain[:, left, 1] > plain[:, right, 1]
    changed = (swapped[:, left, 1] > swapped[:, right, 1]) != higher
    assert changed.mean() > 0.2
    close = [observe(joints, np.random.default_rng(k), ViewConfig(crop=1.0))[1] for k in range(6)]
    ankles = [JOINT["left_ankle"], JOINT["right_ankle"]]
    assert np.mean([seen[:, ankles].mean() for seen in close]) < 0.35 < np.mean([seen[:, 0].mean() for seen in close])
