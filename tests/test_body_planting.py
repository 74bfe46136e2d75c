"""The foot lock of live motion: sliding feet stand, feet in the air are left alone, and it never needs the future."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.body.cleanup import FARTHEST
from models.body.limbs import pose_of
from models.body.model import OPEN_BODY, load_body
from models.body.planting import FootLock
from models.body.skeleton import FEET
from models.objectives import foot_skate
from models.rotations import axis_angle_to_matrix

REST = load_body(OPEN_BODY).joint_template
FPS = 30.0


def standing(frames: int, speed: float, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Somebody with bent knees whose whole body slides along +Z, the soles `lift` above the floor."""
    angles = torch.zeros(frames, 22, 3)
    angles[:, (1, 2), 0], angles[:, (4, 5), 0], angles[:, (7, 8), 0] = -0.3, 0.6, -0.3
    rotations = axis_angle_to_matrix(angles).numpy()
    root = np.zeros((frames, 3), np.float32)
    feet = pose_of(rotations[:1], root[:1], REST).places[0, list(FEET), 1]
    root[:, 1] = -feet.min() + level() + lift
    root[:, 2] = np.arange(frames) * speed / FPS
    return rotations, root


def level() -> float:
    return 0.025


def held(rotations: np.ndarray, root: np.ndarray, chunk: int = 8) -> tuple[np.ndarray, np.ndarray]:
    lock = FootLock(REST, level(), FPS)
    parts = [lock.hold(rotations[k : k + chunk], root[k : k + chunk]) for k in range(0, len(root), chunk)]
    return np.concatenate([r for r, _ in parts]), np.concatenate([p for _, p in parts])


def skate(rotations: np.ndarray, root: np.ndarray) -> float:
    return float(foot_skate(torch.from_numpy(pose_of(rotations, root, REST).places), FPS))


def test_sliding_feet_stand_until_they_are_as_far_away_as_may_be() -> None:
    rotations, root = standing(20, 0.15)
    before, after = skate(rotations, root), skate(*held(rotations, root))
    assert before > 0.14
    assert after < 0.01
    long = standing(90, 0.3)
    apart = pose_of(*held(*long), REST).places - pose_of(*long, REST).places
    assert np.linalg.norm(apart[:, list(FEET)], axis=-1).max() < FARTHEST + 0.01


def test_what_stands_or_flies_is_left_alone() -> None:
    for motion in (standing(20, 0.0), standing(20, 0.3, lift=0.4)):
        rotations, root = held(*motion)
        np.testing.assert_allclose(root, motion[1], atol=1e-6)
        np.testing.assert_allclose(rotations, motion[0], atol=1e-5)


@given(st.integers(1, 20))
def test_it_does_not_matter_how_many_frames_come_at_once(chunk: int) -> None:
    rotations, root = standing(20, 0.2)
    every, few = held(rotations, root, 20), held(rotations, root, chunk)
    np.testing.assert_allclose(every[1], few[1], atol=1e-6)
    np.testing.assert_allclose(every[0], few[0], atol=1e-5)


def test_a_foot_that_leaves_the_floor_goes_back_to_its_way() -> None:
    rotations, root = standing(60, 0.15)
    root[15:, 1] += 0.3
    made = held(rotations, root)
    apart = np.linalg.norm(pose_of(*made, REST).places - pose_of(rotations, root, REST).places, axis=-1)
    assert apart[14].max() > 0.03
    assert apart[-1].max() < 2e-3
    assert np.abs(np.diff(apart, axis=0)).max() < 0.03  # without a jump
