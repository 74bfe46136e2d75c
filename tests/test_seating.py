"""Sitting and lying by geometry: contact without penetration, feet on the floor, whatever the height and turn."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT
from models.scene.pieces import box, joined
from models.scene.rooms import make_room
from models.scene.scene import Scene, SceneObject
from models.scene.seating import CELLS, GoalPose, lying_pose, posed, sitting_pose
from models.scene.seats import turned

SOLES = [JOINT[name] for name in ("left_ankle", "right_ankle", "left_foot", "right_foot")]


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    """Coarse distances and fewer steps do for what is asked here."""
    monkeypatch.setattr("models.scene.seating.CELLS", 40)
    monkeypatch.setattr("models.scene.seating.STEPS", 40)
    assert CELLS > 40


@lru_cache
def chair(height: float, yaw: float = 0.0, at: tuple[float, float] = (0.0, 0.0)) -> Scene:
    """A block to sit on with a board for a back."""
    vertices, faces = joined([box(0.46, 0.44, 0.0, height), box(0.46, 0.04, 0.0, height + 0.4, 0.0, -0.24)])
    vertices = turned(vertices, yaw) + [at[0], 0.0, at[1]]
    low, high = vertices.min(0), vertices.max(0)
    thing = SceneObject("chair_1", "chair", tuple(low.tolist()), tuple(high.tolist()), yaw, False, "sit")
    return Scene(
        "a chair", vertices.astype(np.float32), faces.astype(np.int32), np.zeros(len(faces), np.int32), (thing,)
    )


@lru_cache
def sat(scene: Scene) -> GoalPose:
    return sitting_pose(scene, scene.objects[0], load_body(OPEN_BODY))


@pytest.mark.parametrize("height", [0.32, 0.45])
def test_one_sits_in_contact_and_in_nothing(height):
    pose = sat(chair(height))
    assert pose.contact and pose.penetration < 0.5
    hips = pose.joints[[JOINT["left_hip"], JOINT["right_hip"]], 1]
    assert ((hips - height > 0.05) & (hips - height < 0.18)).all()
    vertices = posed(load_body(OPEN_BODY), pose.rotations[None], pose.pelvis[None])[0]
    assert vertices[:, 1].min() > -0.02 and (pose.joints[SOLES, 1] < 0.16).all()
    head, pelvis = pose.joints[JOINT["head"]], pose.joints[0]
    assert head[1] - pelvis[1] > 0.5
    ahead = pose.joints[[JOINT["left_knee"], JOINT["right_knee"]], 2] - pelvis[2]
    assert (ahead > 0.3).all() and (pose.joints[JOINT["left_wrist"], 1] < pelvis[1] + 0.35)


def test_a_turned_chair_turns_who_sits_on_it():
    here, there = sat(chair(0.45)), sat(chair(0.45, math.pi / 2, (2.0, -1.0)))
    moved = turned(here.joints.numpy(), math.pi / 2) + [2.0, 0.0, -1.0]
    assert np.abs(moved - there.joints.numpy()).max() < 0.06  # the grids of distances are not the same


def test_on_a_seat_as_high_as_a_bar_the_feet_hang():
    pose = sat(chair(0.75))
    assert pose.contact and pose.penetration < 0.5 and (pose.joints[SOLES, 1] > 0.1).all()


def test_one_lies_on_a_bed_with_the_head_at_its_head():
    scene = make_room(6)
    pose = lying_pose(scene, scene.object("bed_1"), load_body(OPEN_BODY))
    assert pose.lies and pose.penetration < 2 and pose.contact
    along = (pose.joints[JOINT["head"]] - pose.joints[0])[[0, 2]].numpy() @ pose.seat.facing
    assert along < -0.4 and np.ptp(pose.joints[:, 1].numpy()) < 0.45
    box_low, box_high = (np.array(corner) for corner in (scene.object("bed_1").low, scene.object("bed_1").high))
    flat = pose.joints[:, [0, 2]].numpy()
    assert (flat > box_low[[0, 2]] - 0.1).all() and (flat < box_high[[0, 2]] + 0.1).all()


def test_nobody_sits_where_nothing_is_level():
    scene = chair(0.45)
    tall = replace(scene, vertices=scene.vertices * np.array([1, 4, 1], np.float32))
    with pytest.raises(LabanError, match="nothing level"):
        sitting_pose(tall, tall.objects[0], load_body(OPEN_BODY))


def test_poses_are_repeatable_and_the_body_is_as_long_as_before():
    body, scene = load_body(OPEN_BODY), chair(0.45)
    first, second = sat(scene), sitting_pose(scene, scene.objects[0], body)
    assert torch.equal(first.rotations, second.rotations) and torch.equal(first.pelvis, second.pelvis)
    thigh = (first.joints[4] - first.joints[1]).norm()
    torch.testing.assert_close(thigh, (body.joint_template[4] - body.joint_template[1]).norm())
