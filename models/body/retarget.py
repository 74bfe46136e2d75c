"""Retargeting: any humanoid skeleton, or 22 bare joint positions, to SMPL-X rotations and root on a body.

Bones keep the source's directions and the twist of the source's own joints; the pelvis travels scaled by leg length;
the legs are then re-solved (analytic two-bone inverse kinematics) so that the toes stay where the source's are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from laban.errors import LabanError
from models.body.clip import SkeletonClip, clip_world
from models.body.model import BodyModel
from models.body.retarget_body import TargetBody, target_body
from models.body.retarget_calibrate import Calibration, calibrate, floor_shift
from models.body.retarget_hands import finger_rotations
from models.body.retarget_map import map_joints, with_toes
from models.body.retarget_source import LIMBS, SourceTracks, leg_length, tracks_from_clip, tracks_from_joints
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS, PARENTS
from models.body.vectors import axis_rotation, rotation_angle, swing, turn, unit
from models.motion import Motion

_UP = np.array([0.0, 1.0, 0.0], np.float32)


_SOLID = [JOINT[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_hip", "right_hip",
                                   "left_knee", "right_knee", "left_shoulder", "right_shoulder")]  # fmt: skip
_MOST_RAISED = 0.3  # metres; a hand deeper than this is not brought above the floor


def retarget(
    clip: SkeletonClip,
    *,
    to22: Float[ndarray, "22 joints"] | None = None,
    body: BodyModel | None = None,
    calibration: Calibration | None = None,
) -> Motion:
    """Motion of one person on `body` (None: the default body) from a clip of any humanoid skeleton.

    `to22` weighs the skeleton's joints into the 22 body joints; without it they are recognised by name (LabanError
    names those that are missing). A `calibration` made from several clips of the skeleton serves better than one clip.
    Fingers are carried over where the skeleton has them and a rest pose that stands; `mask` says so.
    """
    if to22 is None:
        clip = with_toes(clip)
        to22 = map_joints(clip)
    tracks = tracks_from_clip(clip, to22)
    known = calibration or calibrate([tracks], target_body(body).joints)
    motion = retarget_tracks(tracks, body=body, calibration=known)
    if not known.from_rest:
        return motion
    carriers = to22.argmax(1)
    hands = {
        side: (int(carriers[JOINT[f"{side}_wrist"]]), known.turns[JOINT[f"{side}_wrist"]]) for side in ("left", "right")
    }
    fingers, mask = finger_rotations(clip, clip_world(clip)[1], hands, body)
    if not mask.any():
        return motion
    rotations = motion.rotations.copy()
    rotations[0, :, mask] = fingers[:, mask].swapaxes(0, 1)
    return replace(motion, rotations=rotations, mask=motion.mask | mask)


def retarget_joints(
    joints: Float[ndarray, "frames joints axes"],
    fps: float,
    *,
    body: BodyModel | None = None,
    calibration: Calibration | None = None,
) -> Motion:
    """Motion of one person on `body` from positions (metres, Y up) of the 22 joints in SMPL order.

    Positions say nothing about the twist of straight limbs; it is taken from the planes in which they bend.
    """
    if joints.ndim != 3 or joints.shape[1:] != (NUM_BODY, 3) or not len(joints):
        raise LabanError(f"retarget: joints have shape {joints.shape}; expected (frames, 22, 3)")
    if not np.isfinite(joints).all():
        raise LabanError("retarget: joints hold a NaN or infinite number")
    return retarget_tracks(tracks_from_joints(joints, fps), body=body, calibration=calibration)


def retarget_tracks(
    tracks: SourceTracks, *, body: BodyModel | None = None, calibration: Calibration | None = None
) -> Motion:
    """Motion of one person on `body` from source tracks; without a calibration they are calibrated on themselves."""
    if tracks.leg < 1e-3:
        raise LabanError("retarget: the legs have no length; expected a humanoid skeleton in metres")
    target = target_body(body)
    world, root = solve(tracks, calibration or calibrate([tracks], target.joints), target)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(world), NUM_JOINTS, 3, 3)).copy()
    rotations[0, :, :NUM_BODY] = local_rotations(world)
    return Motion(rotations, root[None].astype(np.float32), tracks.fps)


def solve(
    tracks: SourceTracks, calibration: Calibration, target: TargetBody
) -> tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]]:
    """World rotations of the 22 joints and SMPL-X `transl` (metres) that carry the source's motion on the target."""
    world = (tracks.turned @ calibration.turns.astype(np.float32)).astype(np.float32)
    _spine(world, tracks, target)
    _arms(world, tracks, target)
    pelvis = _legs(world, tracks, calibration, target)
    _raise_hands(world, pelvis, target)
    return world, pelvis - target.joints[0]


def local_rotations(world: Float[ndarray, "frames joints 3 3"]) -> Float[ndarray, "frames joints 3 3"]:
    """Parent-relative rotations of world rotations over the SMPL-X tree."""
    local = world.copy()
    for joint in range(1, world.shape[1]):
        local[:, joint] = world[:, PARENTS[joint]].swapaxes(-1, -2) @ world[:, joint]
    return local


def global_rotations(local: Float[ndarray, "frames joints 3 3"]) -> Float[ndarray, "frames joints 3 3"]:
    """World rotations of parent-relative rotations over the SMPL-X tree."""
    world = local.copy()
    for joint in range(1, local.shape[1]):
        world[:, joint] = world[:, PARENTS[joint]] @ local[:, joint]
    return world


def _aim(
    world: Float[ndarray, "frames 22 3 3"],
    target: TargetBody,
    bone: tuple[str, str],
    direction: Float[ndarray, "frames 3"],
) -> None:
    """Turn joint `bone[0]` by the shortest way so that its child `bone[1]` lies along `direction`."""
    joint = JOINT[bone[0]]
    now = turn(world[:, joint], unit(target.bone(*bone)))
    world[:, joint] = swing(now, direction) @ world[:, joint]


def _direction(tracks: SourceTracks, start: str, end: str) -> Float[ndarray, "frames 3"]:
    return unit(tracks.places[:, JOINT[end]] - tracks.places[:, JOINT[start]])


def _between(
    start: Float[ndarray, "frames 3 3"], end: Float[ndarray, "frames 3 3"], share: float
) -> Float[ndarray, "frames 3 3"]:
    """The rotation a share of the way from `start` to `end` (spherical)."""
    relative = start.swapaxes(-1, -2) @ end
    skew = (relative - relative.swapaxes(-1, -2)) / 2
    axis = unit(np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], -1))
    return start @ axis_rotation(axis, share * rotation_angle(relative))


def _spine(world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, target: TargetBody) -> None:
    pelvis, chest, head = (world[:, JOINT[name]] for name in ("pelvis", "spine3", "head"))
    if not tracks.spine:
        world[:, JOINT["spine1"]] = _between(pelvis, chest, 1 / 3)
        world[:, JOINT["spine2"]] = _between(pelvis, chest, 2 / 3)
    world[:, JOINT["neck"]] = _between(chest, head, 0.5)
    _aim(world, target, ("neck", "head"), _direction(tracks, "neck", "head"))


def _arms(world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, target: TargetBody) -> None:
    for side in ("left", "right"):
        shoulder, elbow, wrist = (f"{side}_{part}" for part in ("shoulder", "elbow", "wrist"))
        for bone in ((shoulder, elbow), (elbow, wrist)):
            _aim(world, target, bone, _direction(tracks, *bone))


def _legs(
    world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, calibration: Calibration, target: TargetBody
) -> Float[ndarray, "frames 3"]:
    """Set the legs' rotations; returns the pelvis positions (metres)."""
    scale = leg_length(target.joints) / tracks.leg
    toe_lift, hip_lift, ahead = _foot_differences(tracks, calibration, target, scale)
    floor = scale * floor_shift(tracks, calibration) * _UP
    middle = tracks.places[:, [JOINT["left_hip"], JOINT["right_hip"]]].mean(1) * scale + hip_lift * _UP - floor
    middle = middle + ahead * world[:, 0, :, 2] * (1 - _UP)
    offset = target.joints[[JOINT["left_hip"], JOINT["right_hip"]]].mean(0) - target.joints[0]
    pelvis = middle - turn(world[:, 0], offset)
    goals = [tracks.places[:, JOINT[f"{side}_foot"]] * scale + toe_lift * _UP - floor for side in ("left", "right")]
    for limb, goal in zip(LIMBS[:2], goals, strict=True):
        _leg(world, tracks, target, limb[:3], (pelvis, goal))
    lift = _floor_lift(world, pelvis, target, tracks.fps)
    if lift.any():
        pelvis = pelvis + lift[:, None] * _UP
        for limb, goal in zip(LIMBS[:2], goals, strict=True):
            _leg(world, tracks, target, limb[:3], (pelvis, goal))
    return pelvis


def _leg(
    world: Float[ndarray, "frames 22 3 3"],
    tracks: SourceTracks,
    target: TargetBody,
    limb: tuple[str, str, str],
    places: tuple[Float[ndarray, "frames 3"], Float[ndarray, "frames 3"]],
) -> None:
    """Bend one leg so that from the pelvis its toe reaches the goal (or the floor, where the goal is under it)."""
    upper, hinge, end = limb
    pelvis, goal = places
    toe = end.replace("ankle", "foot")
    foot = turn(world[:, JOINT[end]], target.bone(end, toe))
    ankle = goal - foot
    under = np.maximum(target.sole("foot") - goal[:, 1], target.sole("ankle") - ankle[:, 1])
    ankle = ankle + np.maximum(under, 0)[:, None] * _UP
    hip = pelvis + turn(world[:, 0], target.bone("pelvis", upper))
    for bone in ((upper, hinge), (hinge, end)):
        _aim(world, target, bone, _direction(tracks, *bone))
    bones = target.bone(upper, hinge), target.bone(hinge, end)
    knee = two_bone(hip, ankle, bones, _pole(world, tracks, upper, hinge))
    _aim(world, target, (upper, hinge), unit(knee - hip))
    _aim(world, target, (hinge, end), unit(ankle - knee))
    height = (ankle + foot)[:, 1] - target.sole("foot")
    world[:, JOINT[toe]] = world[:, JOINT[end]] @ _toe_bend(world[:, JOINT[end]], height, tracks.fps)


def _floor_lift(
    world: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"], target: TargetBody, fps: float
) -> Float[ndarray, " frames"]:
    """How far the pelvis must rise, smoothly, so that neither trunk, head nor knees sink into the floor.

    A source that lies or kneels has bones nearer the floor than this body's flesh allows.
    """
    heights = target.heights(world, pelvis)
    lowest = np.min([target.lowest(world, heights, joint) for joint in _SOLID], axis=0)
    sunk = np.maximum(-lowest, 0)
    return gaussian_filter1d(maximum_filter1d(sunk, round(0.3 * fps) | 1), 0.1 * fps, mode="nearest")


def _raise_hands(
    world: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"], target: TargetBody
) -> None:
    """Bend the arms so that hands that would sink into the floor rest on it."""
    heights = target.heights(world, pelvis)
    for _, _, wrist, _ in LIMBS[2:]:
        sunk = np.maximum(-target.lowest(world, heights, JOINT[wrist]), 0)
        rise = np.where(sunk < _MOST_RAISED, sunk, 0)
        if not rise.any():
            continue
        shoulder, elbow = wrist.replace("wrist", "shoulder"), wrist.replace("wrist", "elbow")
        bones = target.bone(shoulder, elbow), target.bone(elbow, wrist)
        first, second = (turn(world[:, JOINT[name]], bone) for name, bone in zip((shoulder, elbow), bones, strict=True))
        goal = first + second + rise[:, None] * _UP
        back = -world[:, JOINT[elbow]][..., :, 2]
        middle = two_bone(np.zeros_like(goal), goal, bones, first - 0.5 * (first + second) + 0.02 * back)
        moved = rise > 0
        for bone, direction in (((shoulder, elbow), middle), ((elbow, wrist), goal - middle)):
            aimed = world.copy()
            _aim(aimed, target, bone, unit(direction))
            world[moved, JOINT[bone[0]]] = aimed[moved, JOINT[bone[0]]]


def _foot_differences(
    tracks: SourceTracks, calibration: Calibration, target: TargetBody, scale: float
) -> tuple[float, float, float]:
    """What a standing source must be moved by, after scaling, to stand on the target's feet.

    Up at the toes, up at the hips, and forward at the hips (a longer foot has its ankle farther behind its toes).
    """
    toe, ankle = (height * tracks.leg for height in (calibration.toe_height, calibration.ankle_height))
    rise = ankle - toe
    length = float(np.median(np.linalg.norm(tracks.places[:, 10] - tracks.places[:, 7], axis=-1)))
    ahead = np.sqrt(max(length**2 - rise**2, 0.0))
    reach = (target.bone("left_ankle", "left_foot")[2] + target.bone("right_ankle", "right_foot")[2]) / 2
    return target.sole("foot") - scale * toe, target.sole("ankle") - scale * ankle, scale * float(ahead) - float(reach)


def _pole(
    world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, upper: str, hinge: str
) -> Float[ndarray, "frames 3"]:
    """Where the knee points: the source's own bend, and the thigh's front where the leg is nearly straight."""
    thigh = _direction(tracks, upper, hinge)
    whole = _direction(tracks, upper, hinge.replace("knee", "ankle"))
    bend = thigh - (thigh * whole).sum(-1, keepdims=True) * whole
    front = world[:, JOINT[upper]][..., :, 2]
    behind = np.minimum((bend * front).sum(-1, keepdims=True), 0)
    return bend - behind * front + 0.05 * front


def two_bone(
    start: Float[ndarray, "frames 3"],
    end: Float[ndarray, "frames 3"],
    bones: tuple[Float[ndarray, " 3"], Float[ndarray, " 3"]],
    pole: Float[ndarray, "frames 3"],
) -> Float[ndarray, "frames 3"]:
    """Middle joint of two bones of fixed length from `start` to `end`, on the side of `pole`.

    Where the end is out of reach the middle lies on the straight line (law of cosines, clamped).
    """
    first, second = (float(np.linalg.norm(bone)) for bone in bones)
    line = end - start
    reach = np.clip(np.linalg.norm(line, axis=-1, keepdims=True), abs(first - second) + 1e-3, (first + second) * 0.9999)
    line = unit(line)
    cosine = np.clip((first**2 + reach**2 - second**2) / (2 * first * reach), -1, 1)
    out = unit(pole - (pole * line).sum(-1, keepdims=True) * line)
    return start + first * (cosine * line + np.sqrt(1 - cosine**2) * out)


def _toe_bend(
    foot: Float[ndarray, "frames 3 3"], height: Float[ndarray, " frames"], fps: float
) -> Float[ndarray, "frames 3 3"]:
    """Toes stay near level while the heel rises over them and ease back, over a tenth of a second, in the air."""
    pitch = np.arcsin(np.clip(-foot[:, 1, 2], -1, 1))
    near = np.clip(1 - (height - 0.01) / 0.1, 0, 1)
    angle = -np.clip(pitch, 0, np.pi / 4) * near * near * (3 - 2 * near)
    angle = gaussian_filter1d(angle, 0.06 * fps, mode="nearest").astype(np.float32)
    return axis_rotation(np.array([1, 0, 0], np.float32), angle)
