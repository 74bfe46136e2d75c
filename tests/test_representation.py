"""Representations: exact round trips, invariance to where and which way the clip starts, and truthful layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from models.body.skeleton import PARENTS
from models.representation import joints as joints133
from models.representation import rifke
from models.representation.heading import integrate, pelvis_heading


def make_clip(seed: int, frames: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth random local rotations, root and rest joints."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(0, 0.2, (55, 3))
    start, stop = rng.normal(0, 0.6, (2, 22, 3))
    time = np.linspace(0, 1, frames)[:, None, None]
    rotations = Rotation.from_rotvec(((1 - time) * start + time * stop).reshape(-1, 3)).as_matrix()
    root = np.cumsum(rng.normal(0, 0.02, (frames, 3)), 0) + [0.3, 0.9, -1.0]
    return rotations.reshape(frames, 22, 3, 3), root, rest


def place(rotations: np.ndarray, root: np.ndarray, rest: np.ndarray, yaw: float, shift: np.ndarray):
    """The clip turned by `yaw` about the world's Y axis and moved along the floor."""
    turn = Rotation.from_rotvec([0, yaw, 0]).as_matrix()
    turned = rotations.copy()
    turned[:, 0] = turn @ rotations[:, 0]
    return turned, (root + rest[0]) @ turn.T + shift - rest[0]


def world_joints(rotations: np.ndarray, root: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Forward kinematics by scipy, joint by joint."""
    placed, oriented = {0: root + rest[0]}, {0: rotations[:, 0]}
    for j in range(1, 22):
        p = PARENTS[j]
        placed[j] = placed[p] + oriented[p] @ (rest[j] - rest[p])
        oriented[j] = oriented[p] @ rotations[:, j]
    return np.stack([placed[j] for j in range(22)], 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3.0, 3.0))
def test_rifke_round_trip_up_to_where_the_clip_starts(seed: int, yaw: float) -> None:
    rotations, root, rest = make_clip(seed)
    turned, moved = place(rotations, root, rest, yaw, np.array([2.0, 0.0, -5.0]))
    features = rifke.encode(turned, moved, rest)
    np.testing.assert_allclose(features, rifke.encode(rotations, root, rest), atol=2e-5)
    back, transl = rifke.decode(torch.from_numpy(features).double(), torch.from_numpy(rest))
    again = rifke.encode(back.numpy(), transl.numpy(), rest)
    np.testing.assert_allclose(again, features, atol=2e-5)
    np.testing.assert_allclose(back[:, 1:].numpy(), rotations[:, 1:], atol=1e-5)
    first = (transl[0] + torch.from_numpy(rest[0]))[[0, 2]]
    np.testing.assert_allclose(first.numpy(), 0, atol=1e-6)


def test_rifke_positions_are_those_of_forward_kinematics() -> None:
    rotations, root, rest = make_clip(3)
    features = rifke.encode(rotations, root, rest)
    yaw = pelvis_heading(rotations[:, 0])
    joints = world_joints(rotations, root, rest)
    local = np.einsum("tab,tjb->tja", Rotation.from_rotvec(np.stack([0 * yaw, -yaw, 0 * yaw], -1)).as_matrix(),
                      joints[:, 1:] - joints[:, :1])  # fmt: skip
    np.testing.assert_allclose(features[:, 136:199].reshape(-1, 21, 3), local, atol=1e-5)


def test_foot_velocities_are_the_differences_of_world_positions() -> None:
    rotations, root, rest = make_clip(5)
    features = torch.from_numpy(rifke.encode(rotations, root, rest)).double()
    positions = rifke.local_positions(rifke.heading_rotations(features), torch.from_numpy(rest))
    velocity = rifke.foot_velocities(features, positions).norm(dim=-1)
    joints = world_joints(rotations, root, rest)[:, [7, 10, 8, 11]]
    np.testing.assert_allclose(velocity.numpy(), np.linalg.norm(np.diff(joints, axis=0), axis=-1), atol=1e-5)


def test_heading_passes_smoothly_through_a_forward_roll_and_a_bow() -> None:
    pitch = np.linspace(0, 2.6, 60)
    orientation = Rotation.from_euler("YX", np.stack([np.full(60, 0.7), pitch], -1)).as_matrix()
    np.testing.assert_allclose(pelvis_heading(orientation), 0.7, atol=1e-6)


def test_joint_features_round_trip() -> None:
    rotations, root, rest = make_clip(9)
    joints = world_joints(rotations, root, rest)
    features = joints133.encode(joints)
    np.testing.assert_allclose(joints133.encode(joints133.decode(features)), features, atol=1e-4)


@pytest.mark.parametrize("module", [rifke, joints133])
def test_parts_cover_every_column_once(module) -> None:
    columns = sorted(c for part in module.LAYOUT.parts.values() for c in part)
    assert columns == list(range(module.LAYOUT.features))


def test_integration_of_a_circle_closes() -> None:
    frames = 64
    yaw, position = integrate(torch.full((frames,), 2 * np.pi / frames), torch.tensor([[0.0, 0.1]]).expand(frames, 2))
    assert yaw[0] == 0 and position[0].norm() == 0
    closing = position[-1] + 0.1 * torch.tensor([yaw[-1].sin(), yaw[-1].cos()])
    assert closing.norm() < 1e-4
