"""Exact constraints: smooth corrections of root, pose and limbs that bring a motion to every key.

The root is corrected in what moves it, its turns and steps, so that a path is bent and not slid along; poses are
blended in around their time; hands and feet get there by inverse kinematics, and by leaning and crouching where a
limb is too short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.limbs import ARMS, LEGS, Limb, Pose, bend, limb_length, pose_of
from models.body.model import BodyModel, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.body.vectors import axis_rotation, unit
from models.motion import Motion
from models.representation.heading import pelvis_heading
from models.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from motion.constraints import Constraints, JointKey, PoseKey, RootKey, frame_of, root_heading, root_place

BLEND = 0.5
"""Seconds before and after a key over which pose, height and limbs are blended to it."""
ALONG = 0.3
"""Seconds (standard deviation) over which the direction of motion is taken when a body is turned along its path."""
TRUST = 0.25
"""How much an undecided motion is taken to go forward: the weight of facing along the path, against its own steps."""
APPROACH = 0.7
"""Metres that the pelvis keeps from a target of hand or foot, horizontally, at most."""
STRETCH = 0.97
"""Share of a limb's length that is used before the body leans."""
STOOP = 0.6
"""Radians that the spine leans towards a target at most."""
STAND = 0.2
"""Metres that the pelvis goes to and fro over feet that stand; what is more, the feet go with."""
SPINE = (JOINT["spine1"], JOINT["spine2"], JOINT["spine3"])


@dataclass(frozen=True)
class Clip:
    """One actor: local rotations of the body joints and the place of the pelvis joint."""

    rotations: Float[ndarray, "frames 22 3 3"]
    pelvis: Float[ndarray, "frames 3"]


@dataclass(frozen=True)
class Pace:
    """Frames a second, and the seconds before and after a key over which a body is blended to it."""

    fps: float
    blend: float = BLEND


def enforce(motion: Motion, constraints: Constraints, body: BodyModel | None = None) -> Motion:
    """The motion of one person, corrected so that it meets every constraint that a body can meet.

    Constraints at time 0 place the whole motion; otherwise its first frame stays where it is. See
    `motion.constraints.misses` for what is left.
    """
    if not len(constraints):
        return motion
    if motion.actors != 1:
        raise LabanError(f"constraints: the motion has {motion.actors} people; accepted: one")
    rest = (body or load_body()).rest_joints(torch.from_numpy(np.asarray(motion.betas, np.float32)))[0]
    rest = rest[:NUM_BODY].double()
    root = motion.root[0].astype(np.float64)
    clip = Clip(motion.rotations[0, :, :NUM_BODY].astype(np.float64), root + rest[0].numpy())
    done = enforced(clip, constraints, rest, Pace(motion.fps))
    rotations = motion.rotations.copy()
    rotations[0, :, :NUM_BODY] = done.rotations
    return replace(motion, rotations=rotations, root=(done.pelvis - rest[0].numpy()).astype(motion.root.dtype)[None])


def enforced(clip: Clip, constraints: Constraints, rest: torch.Tensor, pace: Pace) -> Clip:
    """`enforce` for one actor on a body with these rest joints (at least 22, metres)."""
    clip = root_enforced(clip, constraints, pace)
    clip = _poses(clip, constraints, pace)
    if constraints.joints:
        clip = _reached(clip, constraints, rest, pace)
        for limb in (*ARMS, *LEGS):
            clip = _limb(clip, limb, constraints, rest, pace)
    return clip


# ------------------------------------------------------------------------------------------------------------- root


def root_enforced(clip: Clip, constraints: Constraints, pace: Pace) -> Clip:
    """Root only: heading, path and height; the body is turned and carried along as it is."""
    frames = len(clip.pelvis)
    yaw = pelvis_heading(clip.rotations[:, 0])
    keys = _roots(constraints, frames, pace)
    turned = _turns(yaw, clip.pelvis, keys, constraints, pace)
    steps = np.diff(clip.pelvis, axis=0)
    cosine, sine = np.cos(turned[:-1]), np.sin(turned[:-1])
    x, z = cosine * steps[:, 0] + sine * steps[:, 2], -sine * steps[:, 0] + cosine * steps[:, 2]
    planar = np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack([x, z], -1), 0)]) + clip.pelvis[0, [0, 2]]
    places = {frame: place for frame, (place, _) in keys.items()}
    start = {0: np.zeros(2)} if constraints.anchored or not places else {}
    gaps = start | {frame: place - planar[frame] for frame, place in places.items()}
    planar = planar + _through(gaps, frames, pace)
    planar = planar + _through(_approaches(planar, places, constraints, pace), frames, pace)
    heights = {frame_of(k.time, pace.fps, frames): float(k.pelvis[1]) for k in constraints.poses}
    heights |= {frame_of(k.time, pace.fps, frames): k.height for k in constraints.path if k.height is not None}
    rise = _around({f: np.array([h - clip.pelvis[f, 1]]) for f, h in heights.items()}, frames, pace)[:, 0]
    rotations = clip.rotations.copy()
    rotations[:, 0] = axis_rotation(np.array([0.0, 1.0, 0.0]), turned) @ rotations[:, 0]
    return Clip(rotations, np.stack([planar[:, 0], clip.pelvis[:, 1] + rise, planar[:, 1]], -1))


def placement(clip: Clip, constraints: Constraints, pace: Pace) -> tuple[float, Float[ndarray, " 3"]]:
    """Yaw and horizontal place that constraints give to the origin of a canonical clip: the whole is put there."""
    placed = root_enforced(clip, constraints, pace)
    yaw = pelvis_heading(placed.rotations[:1, 0])[0] - pelvis_heading(clip.rotations[:1, 0])[0]
    return float(yaw), placed.pelvis[0] * np.array([1.0, 0.0, 1.0])


def _roots(constraints: Constraints, frames: int, pace: Pace) -> dict[int, tuple[Float[ndarray, " 2"], float | None]]:
    """Frame → place and heading of the pelvis: of several keys in a frame the nearest; a dense path is interpolated."""
    path = constraints.path
    times, places = np.array([k.time for k in path]), np.array([k.position for k in path]).reshape(-1, 2)
    found: dict[int, tuple[float, Float[ndarray, " 2"], float | None]] = {}
    keys: list[RootKey | PoseKey] = [*path, *constraints.poses]
    for key in keys:
        frame = frame_of(key.time, pace.fps, frames)
        gap = abs(key.time - frame / pace.fps) - (1 if isinstance(key, PoseKey) else 0)  # a pose has the last word
        if frame in found and found[frame][0] <= gap:
            continue
        place = root_place(key)
        if isinstance(key, RootKey):
            after = int(np.searchsorted(times, frame / pace.fps))
            if 0 < after < len(times) and times[after] - times[after - 1] < 0.15:
                place = np.array([np.interp(frame / pace.fps, times, column) for column in places.T])
        found[frame] = (gap, place, root_heading(key))
    return {frame: (place, heading) for frame, (_, place, heading) in sorted(found.items())}


def _turns(
    yaw: Float[ndarray, " frames"], pelvis: Float[ndarray, "frames 3"],
    keys: dict[int, tuple[Float[ndarray, " 2"], float | None]], constraints: Constraints, pace: Pace,
) -> Float[ndarray, " frames"]:  # fmt: skip
    """By how much the heading is turned at each frame, radians."""
    frames = len(yaw)
    path = {frame_of(k.time, pace.fps, frames): keys[frame_of(k.time, pace.fps, frames)][0] for k in constraints.path}
    turned = _along(yaw, pelvis, path, pace) if len(path) > 1 else np.zeros(frames)
    free = len(path) > 1 and min(path) == 0
    if len(path) > 1 and not free:
        begin = min(1.0, 1.0 / max(min(path) / pace.fps, 1e-3))
        ramp = np.clip(np.arange(frames) / pace.fps * begin, 0.0, 1.0)
        turned = turned * ramp * ramp * (3 - 2 * ramp)
    wanted = {f: heading - yaw[f] - turned[f] for f, (_, heading) in keys.items() if heading is not None}
    if 0 not in wanted and not free and (constraints.anchored or not wanted):
        wanted[0] = 0.0
    if not wanted:
        return turned
    order = sorted(wanted)
    gaps = np.array([wanted[frame] for frame in order])
    gaps[0] = np.remainder(gaps[0] + np.pi, 2 * np.pi) - np.pi
    gaps = np.unwrap(gaps)
    return turned + _through(dict(zip(order, gaps[:, None], strict=True)), frames, pace)[:, 0]


def _along(
    yaw: Float[ndarray, " frames"], pelvis: Float[ndarray, "frames 3"], path: dict[int, Float[ndarray, " 2"]],
    pace: Pace,
) -> Float[ndarray, " frames"]:  # fmt: skip
    """The turn that makes the body's own steps go along a path, whichever way it faces; forward if it hardly steps."""
    order = sorted(path)
    first, last = order[0], order[-1]
    wanted = PchipInterpolator(order, np.array([path[f] for f in order]))(np.arange(first, last + 1))
    goal, own = (np.gradient(way, axis=0) * pace.fps for way in (wanted, pelvis[first : last + 1][:, [0, 2]]))
    # headings as complex numbers: +Z is 1, +X is i
    to, by = goal[:, 1] + 1j * goal[:, 0], own[:, 1] + 1j * own[:, 0]
    evidence = to * np.conj(by) + TRUST * np.abs(to) * np.exp(1j * (np.angle(to) - yaw[first : last + 1])) * (to != 0)
    sigma = ALONG * pace.fps
    real, imaginary = (gaussian_filter1d(part, sigma, mode="nearest") for part in (evidence.real, evidence.imag))
    angle = np.unwrap(np.angle(real + 1e-6 + 1j * imaginary))
    return np.concatenate([np.full(first, angle[0]), angle, np.full(len(yaw) - last - 1, angle[-1])])


def _approaches(
    planar: Float[ndarray, "frames 2"], places: dict[int, Float[ndarray, " 2"]], constraints: Constraints, pace: Pace
) -> dict[int, Float[ndarray, " 2"]]:
    """How the root has to go nearer to targets that are too far from it, where its place is not prescribed."""
    gaps = {0: np.zeros(2)} | {frame: np.zeros(2) for frame in places}
    for key in constraints.joints:
        frame = frame_of(key.time, pace.fps, len(planar))
        way = key.position[[0, 2]] - planar[frame]
        far = float(np.linalg.norm(way))
        if frame not in gaps and far > APPROACH:
            gaps[frame] = way * (1 - APPROACH / far)
    return gaps


# ---------------------------------------------------------------------------------------------------- pose and limbs


def _poses(clip: Clip, constraints: Constraints, pace: Pace) -> Clip:
    """Local rotations blended to those of the keyframes."""
    if not constraints.poses:
        return clip
    frames = len(clip.pelvis)
    gaps = {}
    for key in constraints.poses:
        frame = frame_of(key.time, pace.fps, frames)
        gaps[frame] = _log(key.rotations @ np.swapaxes(clip.rotations[frame], -1, -2))
    return replace(clip, rotations=_exp(_around(gaps, frames, pace)) @ clip.rotations)


def _reached(clip: Clip, constraints: Constraints, rest: torch.Tensor, pace: Pace) -> Clip:
    """The body leans, then the pelvis goes over standing feet, towards targets that are out of a limb's reach."""
    frames = len(clip.pelvis)
    held = {frame_of(k.time, pace.fps, frames): np.zeros((3, 3)) for k in constraints.poses}
    hands = [(frame_of(k.time, pace.fps, frames), k) for k in constraints.joints if "wrist" in k.joint]
    pose = pose_of(clip.rotations, clip.pelvis - rest[0].numpy(), rest)
    leans = dict(held)
    for frame, key in hands:
        if frame not in held:
            leans[frame] = leans.get(frame, 0) + _lean(pose, frame, key)
    if len(leans) > len(held):
        rotations = clip.rotations.copy()
        rotations[:, SPINE] = _exp(_around(leans, frames, pace)) @ rotations[:, SPINE]
        clip = replace(clip, rotations=rotations)
        pose = pose_of(clip.rotations, clip.pelvis - rest[0].numpy(), rest)
    roots = _roots(constraints, frames, pace)
    shifts = {frame: np.zeros(3) for frame in held}
    for key in constraints.joints:
        frame = frame_of(key.time, pace.fps, frames)
        if frame in held:
            continue
        limb = _limb_of(key)
        way = _goal(pose, frame, key) - pose.places[frame, limb.start]
        over = float(np.linalg.norm(way)) - STRETCH * limb_length(pose, limb)
        shift = unit(way) * max(over, 0.0)
        if frame in roots:  # only up and down
            across, length = float(np.linalg.norm(way[[0, 2]])), STRETCH * limb_length(pose, limb)
            most = np.sqrt(max(length**2 - across**2, 0.0))
            shift = np.array([0.0, np.sign(way[1]) * max(abs(way[1]) - most, 0.0), 0.0]) if over > 0 else np.zeros(3)
        shifts[frame] = shifts.get(frame, np.zeros(3)) + shift
    if not any(shift.any() for shift in shifts.values()):
        return clip
    return _shifted(clip, pose, _around(shifts, frames, pace))


def _shifted(clip: Clip, pose: Pose, shift: Float[ndarray, "frames 3"]) -> Clip:
    """The pelvis moved over feet that stay, as far as legs allow; they go along with what is more than `STAND`."""
    far = np.linalg.norm(shift[:, [0, 2]], axis=-1, keepdims=True)
    rise = np.maximum(shift[:, 1:2] - 0.05, 0.0)  # legs stretch a little; then it is a jump
    carried = shift * np.array([1.0, 0.0, 1.0]) * np.maximum(1 - STAND / np.maximum(far, 1e-9), 0.0)
    carried = carried + rise * np.array([0.0, 1.0, 0.0])
    rotations = clip.rotations.copy()
    for leg in LEGS:
        bend(rotations, pose, leg, shift, carried)
    return Clip(rotations, clip.pelvis + shift)


def _lean(pose: Pose, frame: int, key: JointKey) -> Float[ndarray, "3 3"]:
    """Rotation vectors of the three spine joints, in their parents' frames, that bring a shoulder near its target."""
    limb = _limb_of(key)
    pivot, shoulder = pose.places[frame, SPINE[1]], pose.places[frame, limb.start]
    arm, to = shoulder - pivot, _goal(pose, frame, key) - pivot
    a, d, reach = float(np.linalg.norm(arm)), float(np.linalg.norm(to)), STRETCH * limb_length(pose, limb)
    if np.linalg.norm(to - arm) <= reach or d < 1e-3:
        return np.zeros((3, 3))
    between = float(np.arccos(np.clip(arm @ to / (a * d), -1, 1)))
    left = float(np.arccos(np.clip((a * a + d * d - reach * reach) / (2 * a * d), -1, 1)))
    angle = min(max(between - left, 0.0), STOOP)
    axis = unit(np.cross(arm, to)) * angle / len(SPINE)
    parents = (0, *SPINE[:-1])
    return np.stack([pose.turns[frame, parent].T @ axis for parent in parents])


def _limb(clip: Clip, limb: Limb, constraints: Constraints, rest: torch.Tensor, pace: Pace) -> Clip:
    """One arm or leg brought to its targets."""
    frames = len(clip.pelvis)
    keys = {frame_of(k.time, pace.fps, frames): k for k in constraints.joints if _limb_of(k) == limb}
    held = {frame_of(k.time, pace.fps, frames) for k in constraints.poses}
    keys = {frame: key for frame, key in keys.items() if frame not in held}
    if not keys:
        return clip
    root, rotations = clip.pelvis - rest[0].numpy(), clip.rotations.copy()
    pose = pose_of(rotations, root, rest)
    aims = {f: _log(k.rotation @ pose.turns[f, limb.end].T) for f, k in keys.items() if k.rotation is not None}
    if aims:
        aims |= {frame: np.zeros(3) for frame in held}
        turned = _exp(_around(aims, frames, pace)) @ pose.turns[:, limb.end]
        rotations[:, limb.end] = np.swapaxes(pose.turns[:, limb.middle], -1, -2) @ turned
    for _ in range(3):
        pose = pose_of(rotations, root, rest)
        gaps = {f: k.position - pose.places[f, JOINT[k.joint]] for f, k in keys.items()}
        if max(np.linalg.norm(gap) for gap in gaps.values()) < 1e-4:
            break
        gaps |= {frame: np.zeros(3) for frame in held}
        bend(rotations, pose, limb, np.zeros_like(root), _around(gaps, frames, pace))
    return replace(clip, rotations=rotations)


def _limb_of(key: JointKey) -> Limb:
    pair = ARMS if "wrist" in key.joint else LEGS
    return pair[0] if key.joint.startswith("left") else pair[1]


def _goal(pose: Pose, frame: int, key: JointKey) -> Float[ndarray, " 3"]:
    """Where the limb's last joint has to go, for its own target or that of the ball of the foot."""
    end, joint = _limb_of(key).end, JOINT[key.joint]
    offset = pose.places[frame, joint] - pose.places[frame, end]
    if key.rotation is not None:
        offset = key.rotation @ pose.turns[frame, end].T @ offset
    return key.position - offset


# ------------------------------------------------------------------------------------------------------ interpolation


def _through(gaps: dict[int, Float[ndarray, " axes"]], frames: int, pace: Pace) -> Float[ndarray, "frames axes"]:
    """Corrections through those of the keys: monotonous in between, held before the first and after the last."""
    order = sorted(gaps)
    rows = [np.asarray(gaps[frame], np.float64) for frame in order]
    margin = max(round(pace.blend * pace.fps), 1)
    if order[0] > 0:
        order, rows = [order[0] - margin, *order], [rows[0], *rows]
    if order[-1] < frames - 1:
        order, rows = [*order, order[-1] + margin], [*rows, rows[-1]]
    if len(order) == 1:
        return np.broadcast_to(rows[0], (frames, len(rows[0]))).copy()
    return PchipInterpolator(order, np.stack(rows))(np.clip(np.arange(frames), order[0], order[-1]))


def _around(gaps: dict[int, Float[ndarray, "*axes"]], frames: int, pace: Pace) -> Float[ndarray, "frames *axes"]:
    """Corrections that are those of the keys at their frames and fade within `BLEND` seconds of them."""
    if not gaps:
        return np.zeros((frames, 1))
    order, grid = sorted(gaps), np.arange(frames)
    shape = gaps[order[0]].shape
    values = _through({f: gaps[f].reshape(-1) for f in order}, frames, pace)
    rest = np.ones(frames)
    for frame in order:
        x = np.clip(np.abs(grid - frame) / max(pace.blend * pace.fps, 1.0), 0.0, 1.0)
        rest = rest * (x**3 * (x * (6 * x - 15) + 10))
    return (values * (1 - rest)[:, None]).reshape(frames, *shape)


def _log(rotations: Float[ndarray, "*batch 3 3"]) -> Float[ndarray, "*batch 3"]:
    return matrix_to_axis_angle(torch.from_numpy(np.ascontiguousarray(rotations))).numpy()


def _exp(vectors: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 3 3"]:
    return axis_angle_to_matrix(torch.from_numpy(np.ascontiguousarray(vectors))).numpy()
