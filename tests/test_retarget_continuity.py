"""Retargeting never jumps: limbs straight, folded, reversed or of no length, heads turned round, few frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.pose import motion_joints
from models.body.retarget import global_rotations, retarget, retarget_joints
from models.body.skeleton import JOINT, NUM_JOINTS, PARENTS
from models.body.vectors import axis_rotation, rotation_angle
from models.motion import Motion
from tests.test_retarget_skeletons import FRAMES, X, Y, Z, a_pose, bones_along_y, dancer, on_skeleton, standing_squat


def steps(motion: Motion, *names: str) -> Float[ndarray, "steps joints"]:
    """Degrees by which world rotations of the named joints (none named: of the 22) change from frame to frame."""
    world = global_rotations(motion.rotations[0, :, :22])
    some = world[:, [JOINT[name] for name in names]] if names else world
    return np.degrees(rotation_angle(some[1:].swapaxes(-1, -2) @ some[:-1]))


def posed(**angles: tuple[ndarray, ndarray]) -> Motion:
    """A person in the T-pose above the floor but for some joints, each turned about an axis by an angle per frame."""
    local = np.broadcast_to(np.eye(3), (FRAMES, NUM_JOINTS, 3, 3)).copy()
    for name, (axis, angle) in angles.items():
        local[:, JOINT[name]] = axis_rotation(axis, angle)
    root = np.broadcast_to(1.35 * Y, (FRAMES, 3))
    return Motion(local[None].astype(np.float32), root[None].astype(np.float32), 30.0)


def is_rotation(motion: Motion) -> bool:
    """Whether all rotations are proper ones, and the root is finite."""
    matrices = motion.rotations.astype(np.float64)
    proper = np.abs(matrices.swapaxes(-1, -2) @ matrices - np.eye(3)).max() < 1e-3 and np.linalg.det(matrices).min() > 0
    return bool(proper and np.isfinite(motion.root).all())


def test_a_head_turned_all_the_way_round_leaves_the_neck_whole() -> None:
    around = np.linspace(0, 2 * np.pi, FRAMES)
    motion = posed(head=(Y, around))
    again = retarget(on_skeleton(motion, a_pose()))
    assert steps(again, "neck").max() < 2 * steps(motion, "head").max()


def test_legs_stretched_beyond_their_length_do_not_snap_straight() -> None:
    joints = motion_joints(standing_squat())[0].copy()
    legs = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "foot")]
    higher = np.array([0.0 if joint in legs else 0.03 for joint in range(22)], np.float32)
    higher[[JOINT["left_knee"], JOINT["right_knee"]]] = 0.015
    plain, stretched = retarget_joints(joints, 30.0), retarget_joints(joints + higher[:, None] * Y, 30.0)
    knees = "left_knee", "right_knee", "left_hip", "right_hip"
    assert steps(stretched, *knees).max() < 1.5 * steps(plain, *knees).max()


@pytest.mark.parametrize("bend", [0.0, 0.6])
def test_feet_that_point_down_past_the_vertical_do_not_turn_about(bend: float) -> None:
    down = np.linspace(0, 2.4, FRAMES)
    motion = posed(
        left_knee=(X, np.full(FRAMES, bend)), right_knee=(X, np.full(FRAMES, bend)),
        left_ankle=(X, down), right_ankle=(X, 0.8 * down),
    )  # fmt: skip
    again = retarget_joints(motion_joints(motion)[0], 30.0)
    assert steps(again).max() < 3 * steps(motion).max()


def test_an_elbow_that_comes_to_bend_the_other_way_does_not_flip_the_arm() -> None:
    bend = np.linspace(0.5, -0.6, FRAMES)
    motion = posed(left_elbow=(-Y, bend), right_elbow=(Y, bend), left_shoulder=(-Z, np.linspace(0, 1, FRAMES)))
    again = retarget_joints(motion_joints(motion)[0], 30.0)
    assert steps(again, "left_shoulder", "right_shoulder").max() < 25


def test_knees_that_bend_backward_for_a_moment_stay_in_front() -> None:
    joints = motion_joints(standing_squat())[0].copy()
    back = 0.25 * np.exp(-(((np.arange(FRAMES) - FRAMES / 2) / 6) ** 2))
    joints[:, JOINT["left_knee"]] -= back[:, None] * Z
    joints[:, JOINT["left_knee"]] += 0.2 * back[:, None] * X * np.sin(np.arange(FRAMES))[:, None]
    again = retarget_joints(joints, 30.0)
    places = motion_joints(again)[0]
    middle = (places[:, JOINT["left_hip"]] + places[:, JOINT["left_ankle"]]) / 2
    assert ((places[:, JOINT["left_knee"]] - middle)[:, 2] > -0.02).all()
    assert steps(again, "left_hip", "left_knee").max() < 15


def test_hands_that_point_into_the_floor_are_laid_on_it_smoothly() -> None:
    motion = crouch()
    again = retarget(on_skeleton(motion, a_pose()))
    assert steps(again, "left_elbow", "left_shoulder").max() < steps(motion).max()


def crouch() -> Motion:
    """A person who squats bent over, the arms hanging, until the stretched fingers point into the floor."""
    motion = standing_squat()
    rotations = motion.rotations.copy()
    rotations[0, :, JOINT["spine1"]] = axis_rotation(X, 1.2 * np.ones(FRAMES))
    for side, sign in (("left", 1), ("right", -1)):
        hanging = axis_rotation(X, np.array(-1.2)) @ axis_rotation(Z, np.array(-1.5 * sign))
        rotations[0, :, JOINT[f"{side}_shoulder"]] = hanging
        rotations[0, :, JOINT[f"{side}_elbow"]] = axis_rotation(-sign * Y, np.array(0.2))
    return Motion(rotations, motion.root, motion.fps)


@pytest.mark.parametrize("joint", range(1, 22))
def test_a_joint_on_top_of_its_parent_still_gives_rotations(joint: int) -> None:
    joints = motion_joints(dancer())[0].copy()
    joints[:, joint] = joints[:, PARENTS[joint]]
    assert is_rotation(retarget_joints(joints, 30.0))


@pytest.mark.parametrize("pose", [a_pose, bones_along_y])
@pytest.mark.parametrize("name", ["ToeBase", "ForeArm", "Hand", "Leg", "Foot"])
def test_a_skeleton_with_a_bone_of_no_length_still_gives_rotations(pose, name: str) -> None:  # noqa: ANN001
    clip = on_skeleton(dancer(), pose())
    offsets = clip.offsets.copy()
    offsets[clip.names.index(f"mixamorig:Left{name}")] = 0
    assert is_rotation(retarget(replace(clip, offsets=offsets)))


def test_a_joint_that_is_lost_for_a_moment_takes_its_direction_from_the_frames_around() -> None:
    joints = motion_joints(dancer())[0].copy()
    lost = joints.copy()
    lost[40, JOINT["left_elbow"]] = lost[40, JOINT["left_shoulder"]]
    plain, again = (retarget_joints(places, 30.0) for places in (joints, lost))
    assert is_rotation(again)
    assert steps(again, "left_shoulder").max() < 2 * steps(plain, "left_shoulder").max() + 5


@pytest.mark.parametrize("limb", [("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")])
@pytest.mark.parametrize("reach", [2.0, 0.0])
def test_limbs_straight_or_folded_throughout_give_rotations(limb: tuple[str, str, str], reach: float) -> None:
    joints = motion_joints(dancer())[0].copy()
    for side in ("left", "right"):
        upper, hinge, end = (JOINT[f"{side}_{part}"] for part in limb)
        joints[:, end] = joints[:, upper] + reach * (joints[:, hinge] - joints[:, upper])
    assert is_rotation(retarget_joints(joints, 30.0))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_few_frames(frames: int) -> None:
    clip = on_skeleton(dancer(), a_pose())
    short = replace(clip, rotations=clip.rotations[:frames], root=clip.root[:frames])
    assert is_rotation(retarget(short))
    assert is_rotation(retarget_joints(motion_joints(dancer())[0][:frames], 30.0))


def test_four_times_the_frame_rate_gives_the_same_motion() -> None:
    time, fine = np.arange(FRAMES), np.arange(4 * FRAMES - 3) / 4
    joints = motion_joints(dancer())[0].reshape(FRAMES, -1)
    more = np.stack([np.interp(fine, time, column) for column in joints.T], -1).reshape(-1, 22, 3)
    slow, fast = retarget_joints(joints.reshape(-1, 22, 3), 30.0), retarget_joints(more.astype(np.float32), 120.0)
    apart = rotation_angle(slow.rotations[0].swapaxes(-1, -2) @ fast.rotations[0, ::4])
    assert np.degrees(apart).max() < 6


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan"), float("inf")])
def test_frame_rates_that_are_none_are_refused(fps: float) -> None:
    with pytest.raises(LabanError, match="fps"):
        retarget_joints(motion_joints(dancer())[0], fps)


def test_skeletons_of_no_or_boundless_size_are_refused() -> None:
    clip = on_skeleton(dancer(), a_pose())
    with pytest.raises(LabanError, match="legs have no length"):
        retarget(replace(clip, offsets=0 * clip.offsets))
    with pytest.raises(LabanError, match="farther"):
        retarget(replace(clip, offsets=1e30 * clip.offsets))
