"""Clean-up: planted feet stand still, everything else stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.body.cleanup import FARTHEST, clean_up, corrections, lock_feet, steadied
from models.body.pose import motion_joints
from models.body.skeleton import JOINT
from models.body.vectors import axis_rotation, rotation_angle
from models.motion import Motion
from models.objectives import foot_skate, jerk

FPS = 20.0
FEET = [JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]


def standing(frames: int = 60, bend: float = 0.3) -> Motion:
    """Somebody who stands with knees slightly bent, feet flat."""
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    x = np.array([1.0, 0.0, 0.0])
    for side in ("left", "right"):
        rotations[:, :, JOINT[f"{side}_hip"]] = axis_rotation(x, np.array(-bend / 2))
        rotations[:, :, JOINT[f"{side}_knee"]] = axis_rotation(x, np.array(bend))
        rotations[:, :, JOINT[f"{side}_ankle"]] = axis_rotation(x, np.array(-bend / 2))
    motion = Motion(rotations, np.zeros((1, frames, 3), np.float32), FPS)
    motion.root[..., 1] -= motion_joints(motion)[0, 0, FEET, 1].min() - 0.02
    return motion


def creeping(speed: float = 0.05) -> Motion:
    """The same, sliding forward as a whole."""
    motion = standing()
    root = motion.root.copy()
    root[0, :, 2] += speed * np.arange(motion.frames) / FPS
    return replace(motion, root=root)


def skate(motion: Motion) -> float:
    return float(foot_skate(torch.from_numpy(motion_joints(motion)[0]), FPS))


def test_still_feet_stay_as_they_are() -> None:
    motion = standing()
    assert np.abs(motion_joints(lock_feet(motion)) - motion_joints(motion)).max() < 1e-5


def test_creeping_feet_are_held() -> None:
    motion = creeping()
    locked = lock_feet(motion)
    assert skate(motion) == pytest.approx(0.05, rel=0.02)
    assert skate(locked) < 0.001
    joints = motion_joints(locked)[0]
    assert np.abs(joints[:, FEET] - joints[:1, FEET]).max() < 1e-3


def test_only_legs_and_root_change_and_feet_keep_their_direction() -> None:
    rng = np.random.default_rng(0)
    motion = creeping()
    sway = np.cumsum(rng.normal(0, 0.004, (motion.frames, 3)), 0).astype(np.float32)
    motion = replace(motion, root=motion.root + sway * (1, 0, 1))
    locked = lock_feet(motion)
    legs = [JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("hip", "knee", "ankle")]
    others = [joint for joint in range(55) if joint not in legs]
    assert np.array_equal(locked.rotations[:, :, others], motion.rotations[:, :, others])
    before, after = motion_joints(motion)[0], motion_joints(locked)[0]
    for side in ("left", "right"):
        ankle, toe = JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]
        assert np.abs((after[:, toe] - after[:, ankle]) - (before[:, toe] - before[:, ankle])).max() < 1e-4
    assert np.abs(after[:, FEET, 1] - before[:, FEET, 1]).max() < 1e-3
    assert np.abs(np.linalg.det(locked.rotations) - 1).max() < 1e-4


def test_a_foot_moves_no_farther_than_allowed() -> None:
    fast = creeping(0.4)  # 1.2 m in three seconds: meant to slide, mostly
    path = motion_joints(fast)[0][:, JOINT["left_foot"]].astype(np.float64)
    ankle = motion_joints(fast)[0][:, JOINT["left_ankle"]].astype(np.float64)
    found = corrections(ankle, path, 0.0, FPS)
    assert np.abs(found).max() == pytest.approx(FARTHEST)


def test_a_foot_in_the_air_is_bridged_smoothly() -> None:
    frames = np.arange(60)
    toe = np.zeros((60, 3))
    toe[:, 1] = np.where((frames > 20) & (frames < 40), 0.3, 0.0)
    toe[:, 2] = 0.002 * frames + np.where(frames > 30, 0.5, 0.0)  # creeps while it stands, and makes a step
    found = corrections(toe + (0, 0.08, -0.1), toe, 0.0, FPS)
    still = (toe[:, [0, 2]] + found)[:20]
    assert np.ptp(still, axis=0).max() < 1e-9
    assert np.abs(np.diff(found[20:41], axis=0)).max() < 0.005
    assert np.array_equal(corrections(toe + (0, 1.0, 0), toe + (0, 1.0, 0), 0.0, FPS), np.zeros((60, 2)))


def test_a_leg_too_short_brings_the_hips_down() -> None:
    motion = standing(bend=0.02)
    spread = motion.root.copy()
    spread[0, :, 0] += 0.1 * np.sin(np.linspace(0, np.pi, motion.frames))  # sways sideways on straight legs
    locked = lock_feet(replace(motion, root=spread))
    assert skate(locked) < 0.01
    turned = rotation_angle(np.swapaxes(locked.rotations[0, 1:], -1, -2) @ locked.rotations[0, :-1])
    assert turned.max() < 0.2  # no knee snaps


def test_tremble_goes_and_slow_motion_stays() -> None:
    rng = np.random.default_rng(1)
    motion = standing()
    noise = axis_rotation(np.array([0.0, 0.0, 1.0]), rng.normal(0, 0.02, motion.frames))
    rotations = motion.rotations.copy()
    rotations[0, :, JOINT["left_shoulder"]] = noise
    shaky = replace(motion, rotations=rotations)
    calm = steadied(shaky)

    def shake(m: Motion) -> float:
        return float(jerk(torch.from_numpy(motion_joints(m)[0]), FPS))

    assert shake(calm) < 0.8 * shake(shaky)
    assert np.abs(motion_joints(steadied(motion)) - motion_joints(motion)).max() < 1e-5


def test_several_actors_and_a_single_frame() -> None:
    one = creeping()
    two = replace(one, rotations=np.repeat(one.rotations, 2, 0), root=np.repeat(one.root, 2, 0),
                  betas=np.zeros((2, 10), np.float32))  # fmt: skip
    cleaned = clean_up(two)
    assert cleaned.rotations.shape == two.rotations.shape
    assert np.allclose(cleaned.rotations[0], clean_up(one).rotations[0], atol=1e-6)
    assert clean_up(one.slice(0, 1)).frames == 1
