"""Retargeting: a motion put on other skeletons, with other names, sizes and rest poses, is found again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.clip import SkeletonClip, clip_world
from models.body.mirror import mirror_rotations
from models.body.model import load_body
from models.body.pose import motion_joints
from models.body.retarget import global_rotations, local_rotations, retarget, retarget_joints, two_bone
from models.body.retarget_map import map_joints
from models.body.retarget_quality import bone_errors
from models.body.skeleton import JOINT, MIRROR, NUM_JOINTS, PARENTS
from models.body.vectors import axis_rotation, rotation_angle, swing
from models.motion import Motion
from models.rotations import matrix_to_quaternion

FRAMES = 90
X, Y, Z = np.eye(3)


def dancer(seed: int = 0) -> Motion:
    """A person who sways, bends knees and elbows as hinges, and turns trunk, head, shoulders and hips freely."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, FRAMES)
    local = np.broadcast_to(np.eye(3), (FRAMES, NUM_JOINTS, 3, 3)).copy()

    def wave(low: float, high: float) -> Float[ndarray, " frames"]:
        phase, pace = rng.uniform(0, 6), rng.integers(1, 3)
        return low + (high - low) * (0.5 + 0.5 * np.sin(pace * time + phase))

    def free(size: float) -> Float[ndarray, "frames 3 3"]:
        return (
            axis_rotation(X, wave(-size, size))
            @ axis_rotation(Y, wave(-size, size))
            @ axis_rotation(Z, wave(-size, size))
        )

    local[:, 0] = axis_rotation(Y, wave(-2, 2)) @ free(0.1)
    head = free(0.15)
    for name in ("spine1", "spine2", "spine3"):
        local[:, JOINT[name]] = free(0.1)
    for name in ("neck", "head"):
        local[:, JOINT[name]] = head
    for side, sign in (("left", 1), ("right", -1)):
        lower = axis_rotation(Z, wave(-1.3, -0.2) * sign)
        local[:, JOINT[f"{side}_shoulder"]] = lower @ free(0.3)
        local[:, JOINT[f"{side}_elbow"]] = axis_rotation(-sign * Y, wave(0.3, 1.8))
        local[:, JOINT[f"{side}_wrist"]] = free(0.3)
        bend = wave(0.2, 1.2)
        local[:, JOINT[f"{side}_hip"]] = axis_rotation(-X, bend) @ free(0.05)
        local[:, JOINT[f"{side}_knee"]] = axis_rotation(X, 2 * bend)
        local[:, JOINT[f"{side}_ankle"]] = axis_rotation(-X, bend)
    root = np.stack([np.sin(time), 1.35 + 0.0 * time, np.cos(time)], -1)
    return Motion(local[None].astype(np.float32), root[None].astype(np.float32), 30.0)


MIXAMO = (
    "mixamorig:Hips|mixamorig:Spine|mixamorig:Spine1|mixamorig:Spine2|mixamorig:Neck|mixamorig:Head|mixamorig:{S}UpLeg"
    "|mixamorig:{S}Leg|mixamorig:{S}Foot|mixamorig:{S}ToeBase|mixamorig:{S}Shoulder|mixamorig:{S}Arm"
    "|mixamorig:{S}ForeArm|mixamorig:{S}Hand"
)
ROLES = "pelvis spine1 spine2 spine3 neck head hip knee ankle foot collar shoulder elbow wrist"


def named(style: str) -> tuple[str, ...]:
    """Names of the 22 joints in a rig's style (the roles' names, parted by |): {S} Left, {s} left, {L} L, {l} l."""
    texts = dict(zip(ROLES.split(), style.split("|"), strict=True))
    names = []
    for joint in list(JOINT)[:22]:
        side, _, role = joint.partition("_")
        if role and side in ("left", "right"):
            names.append(texts[role].format(S=side.title(), s=side, L=side[0].upper(), l=side[0]))
        else:
            names.append(texts[joint])
    return tuple(names)


def on_skeleton(motion: Motion, pose: Float[ndarray, "22 3 3"], *, scale: float = 1.0) -> SkeletonClip:
    """The motion on a skeleton `scale` times as large whose rest pose has the world rotations `pose`."""
    rest = load_body().joint_template[:22].numpy()
    world = global_rotations(motion.rotations[0, :, :22])
    offsets = np.zeros((22, 3), np.float32)
    for joint in range(1, 22):
        offsets[joint] = pose[PARENTS[joint]] @ (rest[joint] - rest[PARENTS[joint]]) * scale
    turned = local_rotations((world @ pose.swapaxes(-1, -2)).astype(np.float32))
    quaternions = matrix_to_quaternion(_tensor(turned)).numpy()
    root = (motion.root[0] + rest[0]) * scale
    return SkeletonClip(named(MIXAMO), tuple(PARENTS[:22]), offsets, quaternions, root.astype(np.float32), motion.fps)


def _tensor(array: ndarray):  # noqa: ANN202 - torch is imported for its type only here
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def a_pose() -> Float[ndarray, "22 3 3"]:
    """World rotations of a rest pose with the arms 45 degrees down."""
    pose = np.broadcast_to(np.eye(3), (22, 3, 3)).copy()
    for side, sign in (("left", -1), ("right", 1)):
        for part in ("shoulder", "elbow", "wrist"):
            pose[JOINT[f"{side}_{part}"]] = axis_rotation(Z, np.array(sign * np.pi / 4))
    return pose


def bones_along_y() -> Float[ndarray, "22 3 3"]:
    """World rotations of a rest pose in which every limb bone lies along +Y, as in files without their bind pose."""
    rest = load_body().joint_template[:22].numpy()
    pose = np.broadcast_to(np.eye(3), (22, 3, 3)).copy()
    for side in ("left", "right"):
        for chain in (("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")):
            for start, end in pairwise(chain):
                bone = rest[JOINT[f"{side}_{end}"]] - rest[JOINT[f"{side}_{start}"]]
                spin = axis_rotation(Y, np.array(0.7 * JOINT[f"{side}_{start}"]))
                pose[JOINT[f"{side}_{start}"]] = spin @ swing(bone / np.linalg.norm(bone), Y)
        pose[JOINT[f"{side}_wrist"]] = pose[JOINT[f"{side}_elbow"]]
    return pose


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_motion_on_a_renamed_a_pose_skeleton_comes_back(scale: float) -> None:
    motion = dancer()
    again = retarget(on_skeleton(motion, a_pose(), scale=scale))
    apart = rotation_angle(motion.rotations[0, :, :22].swapaxes(-1, -2) @ again.rotations[0, :, :22])
    toes = [JOINT["left_foot"], JOINT["right_foot"]]
    body = np.delete(apart, toes, axis=1)  # the toes' own bend is worked out anew
    assert np.degrees(np.median(body)) < 2
    assert np.degrees(np.percentile(body, 99)) < 12
    assert np.abs(motion_joints(again) - motion_joints(motion)).max() < 0.06


def test_motion_on_a_skeleton_without_a_rest_pose_keeps_bones_and_hinges() -> None:
    motion = dancer(1)
    clip = on_skeleton(motion, bones_along_y())
    again = retarget(clip)
    errors = bone_errors(clip_world(clip)[0], motion_joints(again)[0])
    assert np.median(errors) < 3
    limbs = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "elbow", "hip", "knee")]
    world, found = (global_rotations(m.rotations[0, :, :22])[:, limbs] for m in (motion, again))
    apart = rotation_angle(world.swapaxes(-1, -2) @ found)
    assert np.degrees(np.median(apart)) < 6


def test_bare_joints_give_bones_and_natural_hinges() -> None:
    motion = dancer(2)
    joints = motion_joints(motion)[0]
    again = retarget_joints(joints, 30.0)
    assert np.median(bone_errors(joints, motion_joints(again)[0])) < 3
    knees = again.rotations[0][:, [JOINT["left_knee"], JOINT["right_knee"]]]
    forward = knees[..., 1, 2]  # sine of the bend about +X, negated: positive would be a knee bent the wrong way
    assert forward.max() < 0.1
    pace = [
        rotation_angle(m.rotations[0, 1:, :22].swapaxes(-1, -2) @ m.rotations[0, :-1, :22]) for m in (motion, again)
    ]
    assert np.percentile(pace[1], 99) < 1.5 * np.percentile(pace[0], 99)


def test_planted_toes_stay_planted_on_another_size() -> None:
    motion = standing_squat()
    again = retarget(on_skeleton(motion, a_pose(), scale=0.7))
    toes = motion_joints(again)[0][:, [JOINT["left_foot"], JOINT["right_foot"]]]
    assert np.ptp(toes, axis=0).max() < 0.005


def standing_squat() -> Motion:
    """Feet planted while the hips go down and up: thigh, shank and ankle bend so that the ankles stay in place."""
    rest = load_body().joint_template[:22].numpy()
    down = 0.25 * (1 - np.cos(np.linspace(0, 2 * np.pi, FRAMES)))
    local = np.broadcast_to(np.eye(3), (FRAMES, NUM_JOINTS, 3, 3)).copy()
    for side in ("left", "right"):
        hip, knee, ankle = (JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
        bones = rest[knee] - rest[hip], rest[ankle] - rest[knee]
        start = rest[hip] - down[:, None] * Y
        middle = two_bone(start, np.broadcast_to(rest[ankle], start.shape), bones, np.broadcast_to(Z, start.shape))
        thigh = swing(bones[0] / np.linalg.norm(bones[0]), _unit(middle - start))
        shank = swing(bones[1] / np.linalg.norm(bones[1]), _unit(rest[ankle] - middle))
        local[:, hip], local[:, knee] = thigh, thigh.swapaxes(-1, -2) @ shank
        local[:, ankle] = shank.swapaxes(-1, -2)
    floor = float(load_body().v_template[:, 1].min())
    root = -(down + floor)[:, None] * Y
    root = np.stack([np.zeros(FRAMES), -floor - down, np.zeros(FRAMES)], -1)
    return Motion(local[None].astype(np.float32), root[None].astype(np.float32), 30.0)


def _unit(vector: ndarray) -> ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


@pytest.mark.parametrize("reach", [0.3, 0.7, 0.99])
def test_two_bones_keep_their_lengths_and_meet_the_goal(reach: float) -> None:
    rng = np.random.default_rng(0)
    bones = np.array([0.0, -0.42, 0.0], np.float32), np.array([0.0, -0.4, 0.05], np.float32)
    start = rng.normal(size=(20, 3)).astype(np.float32)
    end = start + _unit(rng.normal(size=(20, 3))).astype(np.float32) * np.float32(reach * 0.82)
    middle = two_bone(start, end, bones, rng.normal(size=(20, 3)).astype(np.float32))
    assert np.allclose(np.linalg.norm(middle - start, axis=-1), np.linalg.norm(bones[0]), atol=1e-4)
    assert np.allclose(np.linalg.norm(end - middle, axis=-1), np.linalg.norm(bones[1]), atol=1e-3)


STYLES = {
    "mixamo": MIXAMO,
    "smpl": (
        "pelvis|spine1|spine2|spine3|neck|head|{s}_hip|{s}_knee|{s}_ankle|{s}_foot|{s}_collar"
        "|{s}_shoulder|{s}_elbow|{s}_wrist"
    ),
    "unreal": (
        "pelvis|spine_01|spine_02|spine_03|neck_01|head|thigh_{l}|calf_{l}|foot_{l}|ball_{l}"
        "|clavicle_{l}|upperarm_{l}|lowerarm_{l}|hand_{l}"
    ),
    "vrm": (
        "J_Bip_C_Hips|J_Bip_C_Spine|J_Bip_C_Chest|J_Bip_C_UpperChest|J_Bip_C_Neck|J_Bip_C_Head"
        "|J_Bip_{L}_UpperLeg|J_Bip_{L}_LowerLeg|J_Bip_{L}_Foot|J_Bip_{L}_ToeBase|J_Bip_{L}_Shoulder"
        "|J_Bip_{L}_UpperArm|J_Bip_{L}_LowerArm|J_Bip_{L}_Hand"
    ),
    "bandai": (
        "Hips|Spine|Spine1|Chest|Neck|Head|UpperLeg_{L}|LowerLeg_{L}|Foot_{L}|Toes_{L}|Shoulder_{L}"
        "|UpperArm_{L}|LowerArm_{L}|Hand_{L}"
    ),
    "cgspeed": (
        "hip|abdomen|abdomen2|chest|neck|head|{l}Thigh|{l}Shin|{l}Foot|{l}Toe|{l}Collar|{l}Shldr"
        "|{l}ForeArm|{l}Hand"
    ),
    "rigify": (
        "DEF-spine|DEF-spine.001|DEF-spine.002|DEF-spine.003|DEF-spine.004|DEF-head|DEF-thigh.{L}"
        "|DEF-shin.{L}|DEF-foot.{L}|DEF-toe.{L}|DEF-shoulder.{L}|DEF-upper_arm.{L}|DEF-forearm.{L}"
        "|DEF-hand.{L}"
    ),
    "makehuman": (
        "root|spine05|spine03|spine01|neck01|head|upperleg01.{L}|lowerleg01.{L}|foot.{L}|toe1-1.{L}"
        "|clavicle.{L}|upperarm01.{L}|lowerarm01.{L}|wrist.{L}"
    ),
    "biped": (
        "Bip01 Pelvis|Bip01 Spine|Bip01 Spine1|Bip01 Spine2|Bip01 Neck|Bip01 Head|Bip01 {L} Thigh"
        "|Bip01 {L} Calf|Bip01 {L} Foot|Bip01 {L} Toe0|Bip01 {L} Clavicle|Bip01 {L} UpperArm"
        "|Bip01 {L} Forearm|Bip01 {L} Hand"
    ),
}  # fmt: skip


def renamed(clip: SkeletonClip, names: tuple[str, ...]) -> SkeletonClip:
    return SkeletonClip(names, clip.parents, clip.offsets, clip.rotations, clip.root, clip.fps)


@pytest.mark.parametrize("style", STYLES)
def test_joints_are_recognised_by_the_names_of_common_rigs(style: str) -> None:
    clip = renamed(on_skeleton(dancer(), a_pose()), named(STYLES[style]))
    assert map_joints(clip).argmax(axis=1).tolist() == list(range(22))


def test_a_skeleton_without_legs_is_refused_by_name() -> None:
    names = tuple(name.replace("Leg", "Fin").replace("UpLeg", "Fin") for name in named(MIXAMO))
    with pytest.raises(LabanError, match="left_hip, left_knee"):
        retarget(renamed(on_skeleton(dancer(), a_pose()), names))


@pytest.mark.parametrize("shape", [(5, 21, 3), (5, 22, 2), (0, 22, 3)])
def test_joints_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabanError, match="expected \\(frames, 22, 3\\)"):
        retarget_joints(np.zeros(shape, np.float32), 30.0)


def test_joints_that_are_not_numbers_are_refused() -> None:
    joints = motion_joints(dancer())[0].copy()
    joints[3, 4, 0] = np.nan
    with pytest.raises(LabanError, match="NaN"):
        retarget_joints(joints, 30.0)


def test_mirroring_twice_changes_nothing() -> None:
    motion = dancer()
    once = mirror_rotations(motion.rotations, motion.root)
    again = mirror_rotations(*once)
    assert np.array_equal(again[0], motion.rotations)
    assert np.array_equal(again[1], motion.root)


def test_mirrored_motion_has_mirrored_joints() -> None:
    motion = dancer()
    rotations, root = mirror_rotations(motion.rotations, motion.root)
    places = motion_joints(Motion(rotations, root, motion.fps))
    expected = motion_joints(motion)[..., list(MIRROR[:22]), :] * np.array([-1, 1, 1], np.float32)
    assert np.abs(places - expected).max() < 2e-3  # the body itself is symmetric to a millimetre


def fingered(curl: float) -> tuple[Motion, SkeletonClip]:
    """The dancer with all fingers bent alike, and the same on a skeleton with fingers in the Mixamo style."""
    motion = dancer()
    rotations = motion.rotations.copy()
    for joint, name in enumerate(JOINT):
        side = name.partition("_")[0]
        if joint >= 25:
            sign = -1 if side == "left" else 1
            rotations[0, :, joint] = axis_rotation(sign * Z, np.linspace(0, curl, FRAMES))
    motion = Motion(rotations, motion.root, motion.fps)
    rest = load_body().joint_template.numpy()
    joints = [*range(22), *range(25, 55)]
    names = list(named(MIXAMO))
    for name in list(JOINT)[25:]:
        side, _, finger = name.partition("_")
        names.append(f"mixamorig:{side.title()}Hand{finger.title()}")
    parents = tuple(-1 if joint == 0 else joints.index(PARENTS[joint]) for joint in joints)
    offsets = np.array([rest[joint] - rest[max(PARENTS[joint], 0)] for joint in joints], np.float32)
    quaternions = matrix_to_quaternion(_tensor(rotations[0][:, joints])).numpy()
    root = (motion.root[0] + rest[0]).astype(np.float32)
    return motion, SkeletonClip(tuple(names), parents, offsets, quaternions, root, motion.fps)


def test_fingers_are_carried_over_and_marked() -> None:
    motion, clip = fingered(1.2)
    again = retarget(clip)
    assert again.mask[25:].all()
    assert not again.mask[22:25].any()
    apart = rotation_angle(motion.rotations[0, :, 25:].swapaxes(-1, -2) @ again.rotations[0, :, 25:])
    assert np.degrees(apart).max() < 1


def test_a_skeleton_that_ends_at_the_ankles_gets_toes() -> None:
    clip = on_skeleton(dancer(), a_pose())
    ends = {JOINT["left_foot"], JOINT["right_foot"]}
    kept = [joint for joint in range(22) if joint not in ends]
    parents = tuple(-1 if clip.parents[j] < 0 else kept.index(clip.parents[j]) for j in kept)
    names = tuple(clip.names[j] for j in kept)
    short = SkeletonClip(names, parents, clip.offsets[kept], clip.rotations[:, kept], clip.root, clip.fps)
    apart = np.abs(motion_joints(retarget(short)) - motion_joints(retarget(clip)))
    assert apart.max() < 0.12
    assert np.median(apart) < 0.03
