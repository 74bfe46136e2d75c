from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation, Slerp

from laban.errors import LabanError
from models import rotations as rot

ORDERS = ["".join(p) for p in itertools.product("XYZ", repeat=3) if p[0] != p[1] and p[1] != p[2]]
VECTORS = arrays(np.float64, (5, 3), elements=st.floats(-3, 3, allow_subnormal=False))


def random_rotations(count: int = 200) -> Rotation:
    return Rotation.random(count, rng=np.random.default_rng(0))


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def test_matrices_quaternions_and_vectors_agree_with_scipy():
    reference = random_rotations()
    matrix = tensor(reference.as_matrix())
    quaternion = tensor(reference.as_quat(canonical=True)[:, [3, 0, 1, 2]])
    vector = tensor(reference.as_rotvec())
    torch.testing.assert_close(rot.quaternion_to_matrix(quaternion), matrix)
    torch.testing.assert_close(rot.matrix_to_quaternion(matrix), quaternion)
    torch.testing.assert_close(rot.axis_angle_to_matrix(vector), matrix)
    torch.testing.assert_close(rot.matrix_to_axis_angle(matrix), vector)
    torch.testing.assert_close(rot.quaternion_to_axis_angle(quaternion), vector)


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_agree_with_scipy_and_survive_gimbal_lock(order):
    reference = random_rotations(50)
    angles = rot.matrix_to_euler(tensor(reference.as_matrix()), order)
    np.testing.assert_allclose(angles, reference.as_euler(order), atol=1e-12)
    locked = torch.tensor([0.3, 0.0 if order[0] == order[2] else torch.pi / 2, 0.4], dtype=torch.float64)
    matrix = rot.euler_to_matrix(locked, order)
    torch.testing.assert_close(rot.euler_to_matrix(rot.matrix_to_euler(matrix, order), order), matrix)


@pytest.mark.parametrize("order", ["XX", "XXY", "xyz", "ABC", ""])
def test_unknown_euler_orders_are_named(order):
    with pytest.raises(LabanError, match="Euler order"):
        rot.euler_to_matrix(torch.zeros(3), order)


@settings(max_examples=50, deadline=None)
@given(VECTORS)
def test_every_representation_round_trips(vectors):
    matrix = rot.axis_angle_to_matrix(tensor(vectors))
    back = (
        rot.sixd_to_matrix(rot.matrix_to_6d(matrix)),
        rot.quaternion_to_matrix(rot.matrix_to_quaternion(matrix)),
        rot.axis_angle_to_matrix(rot.matrix_to_axis_angle(matrix)),
        rot.euler_to_matrix(rot.matrix_to_euler(matrix, "ZXY"), "ZXY"),
    )
    for other in back:
        torch.testing.assert_close(other, matrix, atol=1e-7, rtol=0)


def test_sixd_is_the_first_two_columns_and_any_six_numbers_give_a_rotation():
    matrix = tensor(random_rotations(3).as_matrix())
    torch.testing.assert_close(rot.matrix_to_6d(matrix)[:, :3], matrix[:, :, 0])
    torch.testing.assert_close(rot.matrix_to_6d(matrix)[:, 3:], matrix[:, :, 1])
    free = rot.sixd_to_matrix(torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    torch.testing.assert_close(free @ free.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(free), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("start", ["identity", "half turn", "generic"])
def test_gradients_are_finite_everywhere(start):
    vectors = {"identity": torch.zeros(4, 3), "half turn": torch.pi * torch.eye(3), "generic": torch.ones(2, 3)}
    vector = vectors[start].double().requires_grad_()
    matrix = rot.axis_angle_to_matrix(vector)
    total = (
        rot.matrix_to_axis_angle(matrix).sum()
        + rot.matrix_to_6d(matrix).sum()
        + rot.matrix_to_euler(matrix, "ZXY").sum()
        + rot.geodesic_angle(matrix, matrix.detach()).sum()
        + rot.slerp(rot.matrix_to_quaternion(matrix), torch.tensor([1.0, 0, 0, 0]).double(), 0.5).sum()
    )
    total.backward()
    assert torch.isfinite(vector.grad).all()


def test_gradients_match_finite_differences():
    vectors = torch.tensor([[0.3, -0.2, 0.9], [1e-5, 0, 0], [2.9, 0.5, -0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rot.axis_angle_to_matrix, vectors)
    assert torch.autograd.gradcheck(lambda v: rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(v)), vectors)


def test_slerp_agrees_with_scipy_and_takes_the_short_way():
    reference = random_rotations(2)
    ends = tensor(reference.as_quat()[:, [3, 0, 1, 2]])
    times = np.linspace(0, 1, 7)
    expected = Slerp([0, 1], reference)(times).as_matrix()
    for start in (ends[0], -ends[0]):
        blended = rot.slerp(start.expand(7, 4), ends[1].expand(7, 4), tensor(times))
        np.testing.assert_allclose(rot.quaternion_to_matrix(blended), expected, atol=1e-10)


def test_quaternion_product_and_application_agree_with_matrices():
    quaternions = tensor(random_rotations(10).as_quat()[:, [3, 0, 1, 2]])
    a, b = quaternions[:5], quaternions[5:]
    product = rot.quaternion_to_matrix(a) @ rot.quaternion_to_matrix(b)
    torch.testing.assert_close(rot.quaternion_to_matrix(rot.quaternion_multiply(a, b)), product)
    vector = torch.tensor([0.2, -1.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(rot.quaternion_apply(a, vector), rot.quaternion_to_matrix(a) @ vector)
    unit = rot.quaternion_multiply(a, rot.quaternion_conjugate(a))
    torch.testing.assert_close(unit[:, 0], torch.ones(5, dtype=torch.float64))


@settings(max_examples=50, deadline=None)
@given(VECTORS, VECTORS)
def test_rotation_between_turns_one_direction_into_the_other(a, b):
    first, second = tensor(a + [0.1, 0, 5]), tensor(b + [0, 7, 0.1])
    turn = rot.rotation_between(first, second)
    turned = (turn @ first[..., None])[..., 0]
    torch.testing.assert_close(turned / turned.norm(dim=-1, keepdim=True), second / second.norm(dim=-1, keepdim=True))
    angle = torch.arccos((first * second).sum(-1) / first.norm(dim=-1) / second.norm(dim=-1))
    torch.testing.assert_close(rot.geodesic_angle(torch.eye(3, dtype=torch.float64), turn), angle, atol=1e-6, rtol=0)


def test_rotation_between_opposite_directions_is_a_half_turn():
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    turn = rot.rotation_between(axes, -axes)
    torch.testing.assert_close((turn @ axes[..., None])[..., 0], -axes)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(6).double())


def test_yaw_turns_forward_to_the_left():
    turned = rot.yaw_rotation(torch.tensor(torch.pi / 2)) @ torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(turned, torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)


def test_geodesic_angle_measures_the_turn():
    angles = torch.linspace(0, torch.pi, 9, dtype=torch.float64)
    measured = rot.geodesic_angle(torch.eye(3, dtype=torch.float64), rot.yaw_rotation(angles))
    torch.testing.assert_close(measured, angles)
