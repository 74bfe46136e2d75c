"""DIMOS's measures where the answer is known: still and sliding feet, bodies pushed into boxes, two ways apart."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, BodyModel, load_body
from models.motion import Motion
from motion.navigation.metrics import (
    HEIGHT,
    SOLE,
    SPEED,
    VERTICES,
    Place,
    contact_score,
    diversity,
    measure,
    penetration,
    surfaces,
)

FPS = 40.0


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body(OPEN_BODY)


def standing(body: BodyModel, frames: int = 5, step: float = 0.0) -> Motion:
    """Somebody in T-pose whose soles are on the floor and who slides along +X."""
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    root = np.zeros((1, frames, 3), np.float32)
    root[0, :, 0] = np.arange(frames) * step
    root[..., 1] = -float(body.v_template[:, 1].min())
    return Motion(rotations, root, FPS)


def wall(face: float) -> torch.Tensor:
    """Signed distance to everything beyond x = face."""
    return lambda points: face - points[..., 0]


def test_still_feet_on_the_floor_score_one() -> None:
    assert float(contact_score(torch.zeros(7, 6, 3), FPS)) == 1.0


@pytest.mark.parametrize("speed", [0.05, 0.275, 1.0])
def test_feet_that_slide_at_a_known_speed(speed: float) -> None:
    feet = torch.zeros(9, 6, 3)
    feet[..., 0] = torch.arange(9)[:, None] * speed / FPS
    expected = math.exp(-max(speed - SPEED, 0))
    assert float(contact_score(feet, FPS)) == pytest.approx(expected, abs=1e-5)


def test_one_foot_that_stands_is_enough() -> None:
    feet = torch.zeros(9, 6, 3)
    feet[:, 3:, 0] = torch.arange(9)[:, None] * 0.05
    assert float(contact_score(feet, FPS)) == 1.0


@pytest.mark.parametrize("height", [0.15, -0.15])
def test_who_floats_or_sinks_has_less_contact(height: float) -> None:
    feet = torch.zeros(9, 6, 3)
    feet[..., 1] = height + 0.4
    expected = math.exp(-(abs(height) - HEIGHT))
    assert float(contact_score(feet, FPS, floor=0.4)) == pytest.approx(expected, abs=1e-5)


def test_a_jump_to_and_fro_is_no_speed_of_central_differences() -> None:
    feet = torch.zeros(9, 6, 3)
    feet[::2, :, 0] = 1.0
    assert float(contact_score(feet, FPS)) == 1.0


def test_penetration_is_the_sum_of_depths_in_the_unit_of_10475_vertices() -> None:
    points = torch.zeros(2, 100, 3)
    points[1, :30, 0] = 0.5
    depths = penetration(points, wall(0.3))
    assert depths.tolist() == pytest.approx([0.0, 30 * 0.2 * VERTICES / 100], rel=1e-5)


def test_a_body_pushed_into_a_box_by_a_known_depth(body: BodyModel) -> None:
    motion = standing(body)
    reach = float(body.v_template[:, 0].max())
    deep = measure(motion, body, Place(distance=wall(reach - 0.1)))
    inside = (body.v_template[:, 0] - (reach - 0.1)).clamp_min(0)
    assert deep.penetration == pytest.approx(float(inside.sum()) * VERTICES / len(inside), rel=1e-3)
    assert deep.deepest == pytest.approx(deep.penetration, rel=1e-3)
    assert measure(motion, body, Place(distance=wall(reach + 0.01))).penetration == 0


def test_the_worst_frame_is_not_the_mean(body: BodyModel) -> None:
    motion = standing(body, frames=4, step=0.1)
    reach = float(body.v_template[:, 0].max()) + 0.25
    found = measure(motion, body, Place(distance=wall(reach)))
    assert found.deepest > 2 * found.penetration > 0


def test_walkable_share_counts_vertices_and_frames(body: BodyModel) -> None:
    motion = standing(body, frames=2)
    left = measure(motion, body, Place(inside=lambda places: places[..., 0] > 0))
    assert left.walkable == pytest.approx(float((body.v_template[:, 0] > 0).float().mean()), abs=1e-3)


def test_distance_and_seconds(body: BodyModel) -> None:
    found = measure(standing(body, frames=81, step=0.025), body, Place(), goal=(2.0, 1.5))
    pelvis = body.joint_template[0]
    assert found.distance == pytest.approx(math.hypot(pelvis[0], pelvis[2] - 1.5), abs=1e-3)
    assert found.seconds == pytest.approx(81 / FPS)
    assert found.contact == pytest.approx(math.exp(-(1.0 - SPEED)), abs=1e-3)
    assert found.to_json()["penetration"] is None


def test_sole_points_are_below_the_feet(body: BodyModel) -> None:
    vertices, soles = next(surfaces(standing(body), body))
    assert torch.allclose(soles[..., 1], vertices[..., 1].amin(-1, keepdim=True).expand(-1, 6), atol=0.02)
    assert len(SOLE) == 6


def test_two_people_are_refused(body: BodyModel) -> None:
    one = standing(body)
    both = replace(one, rotations=one.rotations.repeat(2, 0), root=one.root.repeat(2, 0), betas=one.betas.repeat(2, 0),
                   genders=one.genders * 2)  # fmt: skip
    with pytest.raises(LabanError, match="2 people"):
        measure(both, body, Place())


def test_diversity_is_how_far_apart_they_are_whatever_they_last() -> None:
    way = np.zeros((30, 22, 3))
    assert diversity([way, np.zeros((47, 22, 3)) + [0.3, 0.0, 0.4]]) == pytest.approx(0.5)
    assert math.isnan(diversity([way]))
