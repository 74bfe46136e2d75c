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
from models.body.retarget_source import (
    LIMBS,
    SourceTracks,
    leg_length,
    steady_twist,
    tracks_from_clip,
    tracks_from_joints,
)
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS, PARENTS
from models.body.vectors import axis_rotation, held, rotation_angle, swing, turn, unit
from models.motion import Motion

_UP = np.array([0.0, 1.0, 0.0], np.float32)


_SOLID = [JOINT[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_hip", "right_hip",
                                   "left_knee", "right_knee", "left_shoulder", "right_shoulder")]  # fmt: skip
_MOST_RAISED = 0.4  # metres; a hand deeper than this is not brought above the floor
_HAND_BENDS = np.radians(np.arange(0, 75, 5, dtype=np.float32))  # of a wrist, backward
_MOST_LEANT = 0.2
"""Radians by which bones within spine and shoulders are laid along the source's: rigs differ in where they put these
joints, and a larger difference is one of drawing, not of posture."""
_GIVE = 0.01  # part of a leg's length over which it straightens gently


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
    if not (np.isfinite(fps) and fps > 0):
        raise LabanError(f"retarget: fps is {fps}; expected a positive number")
    return retarget_tracks(tracks_from_joints(joints, fps), body=body, calibration=calibration)


def retarget_tracks(
    tracks: SourceTracks, *, body: BodyModel | None = None, calibration: Calibration | None = None
) -> Motion:
    """Motion of one person on `body` from source tracks; without a calibration they are calibrated on themselves."""
    tracks.check()
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
    _lay_hands(world, pelvis, target, tracks.fps)
    _raise_hands(world, pelvis, target, tracks.fps)
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
    *,
    most: float = np.pi,
) -> None:
    """Turn joint `bone[0]` by the shortest way, and by `most` radians, so that its child lies along `direction`."""
    joint = JOINT[bone[0]]
    now = turn(world[:, joint], unit(target.bone(*bone)))
    step = swing(now, direction)
    if most < np.pi:
        step = axis_rotation(unit(np.cross(now, direction)), np.minimum(rotation_angle(step), most))
    world[:, joint] = step @ world[:, joint]


def _direction(tracks: SourceTracks, start: str, end: str) -> Float[ndarray, "frames 3"]:
    return unit(tracks.places[:, JOINT[end]] - tracks.places[:, JOINT[start]])


def _between(
    start: Float[ndarray, "frames 3 3"], end: Float[ndarray, "frames 3 3"], share: float
) -> Float[ndarray, "frames 3 3"]:
    """The rotation a share of the way from `start` to `end` (spherical).

    Two turns more than 120 degrees apart have no way that a spine could go, and at 180 none that is shorter: from
    there on the rotation goes back to `start`, so that it never jumps.
    """
    relative = start.swapaxes(-1, -2) @ end
    skew = (relative - relative.swapaxes(-1, -2)) / 2
    axis = unit(np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], -1))
    angle = rotation_angle(relative)
    return start @ axis_rotation(axis, share * np.minimum(angle, 2 * (np.pi - angle)))


def _spine(world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, target: TargetBody) -> None:
    pelvis, chest, head = (world[:, JOINT[name]] for name in ("pelvis", "spine3", "head"))
    if not tracks.spine:
        world[:, JOINT["spine1"]] = _between(pelvis, chest, 1 / 3)
        world[:, JOINT["spine2"]] = _between(pelvis, chest, 2 / 3)
    for bone in (("spine1", "spine2"), ("spine2", "spine3")):
        _aim(world, target, bone, _direction(tracks, *bone), most=_MOST_LEANT)
    world[:, JOINT["neck"]] = _between(chest, head, 0.5)
    _aim(world, target, ("neck", "head"), _direction(tracks, "neck", "head"))


def _arms(world: Float[ndarray, "frames 22 3 3"], tracks: SourceTracks, target: TargetBody) -> None:
    for side in ("left", "right"):
        collar, shoulder, elbow, wrist = (f"{side}_{part}" for part in ("collar", "shoulder", "elbow", "wrist"))
        _aim(world, target, (collar, shoulder), _direction(tracks, collar, shoulder), most=_MOST_LEANT)
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
    ankle = ankle + _eased(np.maximum(under, 0), tracks.fps / 2)[:, None] * _UP
    hip = pelvis + turn(world[:, 0], target.bone("pelvis", upper))
    for bone in ((upper, hinge), (hinge, end)):
        _aim(world, target, bone, _direction(tracks, *bone))
    bones = target.bone(upper, hinge), target.bone(hinge, end)
    knee = two_bone(hip, ankle, bones, _pole(world, tracks, upper, hinge), give=_GIVE)
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
    return _eased(np.maximum(-lowest, 0), fps)


def _eased(amount: Float[ndarray, " frames"], fps: float) -> Float[ndarray, " frames"]:
    """An amount that begins and ends smoothly in time, and is nowhere much below the given one."""
    if not amount.any():
        return amount
    return gaussian_filter1d(maximum_filter1d(amount, round(0.3 * fps) | 1), 0.1 * fps, mode="nearest")


def _lay_hands(
    world: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"], target: TargetBody, fps: float
) -> None:
    """Bend back hands that point into the floor, as far as it takes to lay them on it and a wrist allows."""
    heights = target.heights(world, pelvis)
    for name, sign in (("left_wrist", 1.0), ("right_wrist", -1.0)):
        joint = JOINT[name]
        hull, low = target.hulls[joint], target.lowest(world, heights, joint)
        if not (low < 0).any():
            continue
        axis = np.array([0.0, 0.0, sign], np.float32)
        bent = axis_rotation(axis, _HAND_BENDS) @ hull.T
        lowest = heights[:, joint, None] + np.einsum("tc,acp->tap", world[:, joint, 1], bent, optimize=True).min(-1)
        clear = np.minimum(lowest, 0) - 1e-3 * _HAND_BENDS  # the least bend, of those that serve as well
        bend = np.where(low < 0, _HAND_BENDS[clear.argmax(axis=1)], 0)
        world[:, joint] = world[:, joint] @ axis_rotation(axis, _eased(bend, fps).astype(np.float32))


def _raise_hands(
    world: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"], target: TargetBody, fps: float
) -> None:
    """Bend the arms so that hands that would sink into the floor rest on it."""
    heights = target.heights(world, pelvis)
    for _, _, wrist, _ in LIMBS[2:]:
        sunk = np.maximum(-target.lowest(world, heights, JOINT[wrist]), 0)
        rise = _eased(sunk * np.clip((_MOST_RAISED - sunk) / 0.1, 0, 1), fps)
        if not rise.any():
            continue
        shoulder, elbow = wrist.replace("wrist", "shoulder"), wrist.replace("wrist", "elbow")
        bones = target.bone(shoulder, elbow), target.bone(elbow, wrist)
        first, second = (turn(world[:, JOINT[name]], bone) for name, bone in zip((shoulder, elbow), bones, strict=True))
        goal = first + second + rise[:, None] * _UP
        back = -world[:, JOINT[elbow]][..., :, 2]
        pole = first - 0.5 * (first + second) + 0.2 * rise[:, None] * back
        middle = two_bone(np.zeros_like(goal), goal, bones, pole)
        moved = rise > 1e-5
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
    """Where the knee points: the source's own bend, and the thigh's front where the leg is nearly straight.

    A knee that bends backward is noise; its bend is mirrored to the front.
    """
    thigh = _direction(tracks, upper, hinge)
    whole = _direction(tracks, upper, hinge.replace("knee", "ankle"))
    bend = thigh - (thigh * whole).sum(-1, keepdims=True) * whole
    front = world[:, JOINT[upper]][..., :, 2]
    behind = np.minimum((bend * front).sum(-1, keepdims=True), 0)
    pole = bend - 2 * behind * front + 0.05 * front
    pole = pole - (pole * whole).sum(-1, keepdims=True) * whole
    return steady_twist(whole, held(pole, front), np.linalg.norm(pole, axis=-1) + 1e-3, 0.05 * tracks.fps)


def two_bone(
    start: Float[ndarray, "frames 3"],
    end: Float[ndarray, "frames 3"],
    bones: tuple[Float[ndarray, " 3"], Float[ndarray, " 3"]],
    pole: Float[ndarray, "frames 3"],
    *,
    give: float = 1e-4,
) -> Float[ndarray, "frames 3"]:
    """Middle joint of two bones of fixed length from `start` to `end`, on the side of `pole` (law of cosines).

    Over the last part `give` of their length the bones straighten ever more slowly, and never quite: a limb that
    reached for an end out of its reach would snap straight, as the bend changes without bound there.
    """
    first, second = (float(np.linalg.norm(bone)) for bone in bones)
    line = end - start
    reach = np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), abs(first - second) + 1e-3)
    soft = give * (first + second)
    over = np.maximum(reach - (first + second - soft), 0)
    reach = np.where(over > 0, first + second - soft * np.exp(-over / soft), reach)
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
