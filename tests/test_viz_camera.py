"""Cameras: projection against independent matrices, and paths that keep people in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from models.body.skeleton import JOINT, PARENTS
from viz.camera import CAMERA_KINDS, SAFE, Camera, facing_azimuth, plan_camera

SIZES = [(512, 512), (1280, 720), (360, 640)]


def standing(frames: int = 40) -> np.ndarray:
    """Someone in T-pose, 1.8 m tall, facing +Z: (1, frames, 22, 3)."""
    joints = np.zeros((22, 3))
    heights = {"pelvis": 0.95, "spine1": 1.05, "spine2": 1.2, "spine3": 1.3, "neck": 1.5, "head": 1.6}
    for name, y in heights.items():
        joints[JOINT[name]] = 0, y, 0
    for side, x in (("left", 1), ("right", -1)):
        chain = {"hip": (0.09, 0.9), "knee": (0.1, 0.5), "ankle": (0.1, 0.08), "foot": (0.1, 0.02)}
        chain |= {"collar": (0.07, 1.42), "shoulder": (0.18, 1.42), "elbow": (0.45, 1.42), "wrist": (0.7, 1.42)}
        for name, (reach, y) in chain.items():
            joints[JOINT[f"{side}_{name}"]] = x * reach, y, 0.1 if name == "foot" else 0
    return np.broadcast_to(joints, (1, frames, 22, 3)).copy()


def turned(joints: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T


def matrices(camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """OpenGL's projection times gluLookAt, written out from their definitions."""
    eye, target = np.array(camera.eye), np.array(camera.target)
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0, 1, 0], back)
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = right, np.cross(back, right), back
    view[:3, 3] = -view[:3, :3] @ eye
    f = 1 / np.tan(np.radians(camera.fov) / 2)
    near, far = 0.1, 100.0
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = f * size[1] / size[0], f
    projection[2, 2], projection[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    projection[3, 2] = -1
    return projection @ view


def test_a_known_point_lands_on_its_pixel() -> None:
    camera = Camera((0.0, 1.0, 5.0), (0.0, 1.0, 0.0), fov=90.0)
    x, y, depth = camera.project(np.array([1.0, 2.0, 0.0]), (200, 100))
    assert (x, y, depth) == pytest.approx((110.0, 40.0, 5.0))


@given(
    eye=st.tuples(*[st.floats(-4, 4)] * 3), way=st.tuples(*[st.floats(0.2, 2)] * 3), fov=st.floats(10, 100),
    point=st.tuples(*[st.floats(-3, 3)] * 3), size=st.sampled_from(SIZES),
)  # fmt: skip
def test_projection_agrees_with_opengl_matrices(eye, way, fov, point, size) -> None:
    camera = Camera(eye, tuple(np.add(eye, way).tolist()), fov)
    clip = matrices(camera, size) @ [*point, 1.0]
    x, y, depth = camera.project(np.array(point), size)
    assert depth == pytest.approx(clip[3], abs=1e-9)
    if abs(depth) > 0.05:
        assert x == pytest.approx((clip[0] / clip[3] + 1) / 2 * size[0], rel=1e-6, abs=1e-4)
        assert y == pytest.approx((1 - clip[1] / clip[3]) / 2 * size[1], rel=1e-6, abs=1e-4)


def test_right_stays_horizontal_and_axes_are_a_rotation_even_straight_down() -> None:
    for target in ((1.0, 0.3, -2.0), (0.0, -5.0, 0.0)):
        axes = Camera((0.0, 2.0, 0.0), target).axes()
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-9)
        assert axes[0, 1] == pytest.approx(0)


@pytest.mark.parametrize("degrees", [0, 40, 90, 200, -75])
def test_facing_follows_the_turn_of_the_body(degrees: float) -> None:
    found = facing_azimuth(turned(standing(1), degrees)[0, 0])
    assert (found - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@given(
    seed=st.integers(0, 10_000), kind=st.sampled_from(CAMERA_KINDS), size=st.sampled_from(SIZES),
    people=st.integers(1, 3), lift=st.floats(0, 3),
)  # fmt: skip
def test_every_joint_stays_inside_the_safe_part_of_the_picture(seed, kind, size, people, lift) -> None:
    random = np.random.default_rng(seed)
    travel = np.cumsum(random.normal(0, 0.05, (people, 60, 1, 3)), axis=1)
    travel += random.uniform(-1, 1, (people, 1, 1, 3)) * [1, 0, 1] + [0, lift, 0]
    joints = standing(60) + travel
    joints[:, :, JOINT["right_wrist"]] += [0.3, 0.8, 0.1]
    path = plan_camera(joints, 30, size, kind=kind)
    border = np.array(size) * (1 - SAFE) / 2
    for frame in range(60):
        pixels = path[frame].project(joints[:, frame], size)
        assert (pixels[..., 2] > 0).all()
        assert (pixels[..., :2] >= border - 1e-6).all()
        assert (pixels[..., :2] <= np.array(size) - border + 1e-6).all()


def test_a_standing_body_fills_the_height_and_is_centred() -> None:
    camera = plan_camera(standing(), 30, (512, 512))[0]
    top, bottom = camera.project(np.array([[0, 1.84, 0], [0, -0.1, 0]]), (512, 512))[:, 1]
    assert bottom - top > 0.75 * 512
    assert 512 - bottom == pytest.approx(top, abs=15)


def test_the_follow_camera_takes_the_walk_but_not_the_sway() -> None:
    time = np.arange(300) / 30
    joints = standing(300)
    joints[..., 0] += 0.04 * np.sin(2 * np.pi * 1.0 * time)[None, :, None]
    joints[..., 2] += 1.2 * time[None, :, None]
    targets = plan_camera(joints, 30, (512, 512)).targets[60:-60]
    assert np.ptp(targets[:, 0]) < 0.004
    assert np.ptp(np.diff(targets[:, 2])) < 1e-3
    assert targets[-1, 2] - targets[0, 2] == pytest.approx(1.2 * 179 / 30, rel=0.01)


def test_the_fixed_camera_stands_still_and_the_orbit_turns_once_in_twelve_seconds() -> None:
    joints = standing(361)
    joints[..., 2] += np.linspace(0, 5, 361)[None, :, None]
    fixed = plan_camera(joints, 30, (512, 512), kind="fixed")
    assert fixed[0] == fixed[360]
    orbit = plan_camera(joints, 30, (512, 512), kind="orbit")
    assert orbit.azimuths[360] - orbit.azimuths[0] == pytest.approx(360)


def test_the_view_is_three_quarter_on_the_front() -> None:
    camera = plan_camera(turned(standing(), 120), 30, (512, 512))[0]
    assert 20 < (camera.azimuth - 120) % 360 < 50


def test_fifty_five_joints_are_accepted() -> None:
    joints = np.concatenate([standing(), standing()[:, :, [20] * (len(PARENTS) - 22)]], axis=2)
    assert len(plan_camera(joints, 30, (512, 512))) == 40


def test_an_unknown_camera_is_refused_in_one_line() -> None:
    with pytest.raises(LabanError, match=r"^--camera: found 'moon'; accepted follow, fixed, orbit$"):
        plan_camera(standing(), 30, (512, 512), kind="moon")
