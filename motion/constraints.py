"""What a motion has to meet: full-body keyframes, points of the root's path, targets of hands and feet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.mirror import mirror_rotations
from models.body.model import load_body
from models.body.skeleton import JOINT, JOINT_NAMES, MIRROR, NUM_BODY
from models.body.vectors import rotation_angle
from models.motion import Motion
from models.representation.heading import pelvis_heading

ENDS: tuple[str, ...] = ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "left_foot", "right_foot")
"""Joints that can be targets; left_foot and right_foot are the balls of the feet."""
FASTEST = 8.0
"""Metres a second that nobody's pelvis exceeds between two keys."""
LEAP = 0.45
"""Metres by which a jump lifts the body over standing."""
LEAN = 1.3
"""Metres that a hand or foot gets from the pelvis at most."""
SAME = 0.02
"""Metres, and radians, within which two statements about the same moment agree."""
AT_ONCE = 1e-3
"""Seconds within which two times are the same moment."""


@dataclass(frozen=True, eq=False)
class RootKey:
    """The pelvis is above (x, z) at a time; `heading` in radians from +Z towards +X and `height` only where given."""

    time: float
    position: tuple[float, float]
    heading: float | None = None
    height: float | None = None
    origin: str = ""
    """Where it was read, for messages, such as `moves.json: entry 2`."""


@dataclass(frozen=True, eq=False)
class PoseKey:
    """The whole body at a time: local rotations, the pelvis' being global, and the pelvis joint in the world."""

    time: float
    rotations: Float[ndarray, "22 3 3"]
    pelvis: Float[ndarray, " 3"]
    origin: str = ""


@dataclass(frozen=True, eq=False)
class JointKey:
    """One of `ENDS` at a point in the world at a time; `rotation` is the global one of wrist or ankle."""

    time: float
    joint: str
    position: Float[ndarray, " 3"]
    rotation: Float[ndarray, "3 3"] | None = None
    origin: str = ""


Key = RootKey | PoseKey | JointKey


@dataclass(frozen=True, eq=False)
class Constraints:
    """Y up, +Z forward, metres, seconds; LabanError for NaN, times before the start and contradictions.

    Without a word about time 0 the motion starts at x = z = 0 facing +Z. A path from time 0 that names no heading is
    met by whatever direction the body moves in: who walks forward faces along it.
    """

    poses: tuple[PoseKey, ...] = ()
    path: tuple[RootKey, ...] = ()
    joints: tuple[JointKey, ...] = ()
    anchored: bool = True
    """False: the start is not at x = z = 0 facing +Z but wherever the first pose or root place makes it."""

    def __post_init__(self) -> None:
        for key in self:
            _finite(key)
        for name in ("poses", "path", "joints"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=lambda key: key.time)))
        _agree("two full-body poses", pairwise(self.poses), _same_pose)
        _agree("two places of the root", pairwise(self.path), _same_point)
        for joint in ENDS:
            own = [key for key in self.joints if key.joint == joint]
            _agree(f"two places of {joint}", pairwise(own), lambda a, b: _near(a.position, b.position))
        _agree("a full-body pose and a place of the root", product(self.poses, self.path),
               lambda a, b: _near(root_place(a), root_place(b)))  # fmt: skip

    def __iter__(self) -> Iterator[Key]:
        yield from self.poses
        yield from self.path
        yield from self.joints

    def __len__(self) -> int:
        return len(self.poses) + len(self.path) + len(self.joints)

    def __add__(self, other: Constraints) -> Constraints:
        return Constraints(self.poses + other.poses, self.path + other.path, self.joints + other.joints,
                           self.anchored and other.anchored)  # fmt: skip


def pose_key(motion: Motion, at: float, time: float, origin: str = "") -> PoseKey:
    """The pose that the first actor of `motion` has at second `at`, asked for at second `time` of what is made."""
    last = (motion.frames - 1) / motion.fps
    if not 0 <= at <= last + 1 / motion.fps:
        raise LabanError(f"{origin or 'pose'}: second {at:g} of a motion; accepted: 0 to {last:g}")
    frame = min(round(at * motion.fps), motion.frames - 1)
    rest = load_body().rest_joints(torch.from_numpy(np.asarray(motion.betas[:1], np.float32)))[0, 0].double().numpy()
    return PoseKey(time, motion.rotations[0, frame, :NUM_BODY].astype(np.float64), motion.root[0, frame] + rest, origin)


def mirrored(constraints: Constraints) -> Constraints:
    """The same seen in a mirror at x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    poses = [replace(k, rotations=mirror_rotations(k.rotations, k.pelvis)[0], pelvis=k.pelvis * flip)
             for k in constraints.poses]  # fmt: skip
    path = [replace(k, position=(-k.position[0], k.position[1]), heading=None if k.heading is None else -k.heading)
            for k in constraints.path]  # fmt: skip
    joints = [replace(k, joint=JOINT_NAMES[MIRROR[JOINT[k.joint]]], position=k.position * flip,
                      rotation=None if k.rotation is None else k.rotation * flip[:, None] * flip)
              for k in constraints.joints]  # fmt: skip
    return Constraints(tuple(poses), tuple(path), tuple(joints), constraints.anchored)


def check_reach(constraints: Constraints, seconds: float, rest: Float[ndarray, "joints 3"]) -> None:
    """LabanError for a time outside a clip of `seconds` and for what no body with these rest joints gets to."""
    for key in constraints:
        if key.time > seconds + AT_ONCE:
            raise LabanError(f"{_where(key)}: time {key.time:g} s is outside the clip; accepted: 0 to {seconds:g} s")
    every: list[RootKey | PoseKey] = [*constraints.path, *constraints.poses]
    roots = sorted(every, key=lambda key: key.time)
    if constraints.anchored and (not roots or roots[0].time > AT_ONCE):
        roots.insert(0, RootKey(0.0, (0.0, 0.0), origin="the start at x = z = 0"))
    for before, after in pairwise(roots):
        way, time = float(np.linalg.norm(root_place(after) - root_place(before))), after.time - before.time
        if way > FASTEST * time + SAME:
            raise LabanError(
                f"{_where(after)}: the root is {way:.2f} m from where it is {time:.2f} s before ({_where(before)}); "
                f"accepted: up to {FASTEST:g} m/s"
            )
    floor = rest[JOINT["left_foot"], 1] - 0.02
    for target in constraints.joints:
        _check_target(target, constraints, rest, floor)


def _check_target(target: JointKey, constraints: Constraints, rest: Float[ndarray, "joints 3"], floor: float) -> None:
    first, limb = ("shoulder", ("shoulder", "elbow", "wrist")) if "wrist" in target.joint else (
        "hip", ("hip", "knee", "ankle"))  # fmt: skip
    side = target.joint.split("_")[0]
    points = [rest[JOINT[f"{side}_{name}"]] for name in limb]
    length = sum(float(np.linalg.norm(b - a)) for a, b in pairwise(points))
    top = float(rest[JOINT[f"{side}_{first}"], 1] - floor) + length + LEAP
    if not -0.1 <= target.position[1] <= top:
        raise LabanError(
            f"{_where(target)}: {target.joint} at a height of {target.position[1]:.2f} m cannot be reached; "
            f"accepted: 0 to {top:.2f} m"
        )
    for pose in constraints.poses:
        place = _places(pose, torch.from_numpy(rest[:NUM_BODY]))[JOINT[target.joint]]
        if _near(place, target.position):
            continue
        _agree(f"a full-body pose and a place of {target.joint}", [(pose, target)], lambda a, b: False)
    roots: list[RootKey | PoseKey] = [*constraints.path, *constraints.poses]
    for root in roots:
        gap = float(np.linalg.norm(root_place(root) - target.position[[0, 2]]))
        if _together(root, target) and gap > LEAN:
            raise LabanError(
                f"{_where(target)}: {target.joint} is {gap:.2f} m from the root, which is prescribed for the same "
                f"time ({_where(root)}); accepted: up to {LEAN:g} m"
            )


def root_place(key: RootKey | PoseKey) -> Float[ndarray, " 2"]:
    """(x, z) of the pelvis."""
    return np.asarray(key.pelvis[[0, 2]] if isinstance(key, PoseKey) else key.position, np.float64)


def root_heading(key: RootKey | PoseKey) -> float | None:
    """Heading in radians, where the key has one."""
    return float(pelvis_heading(key.rotations[None, 0])[0]) if isinstance(key, PoseKey) else key.heading


def frame_of(time: float, fps: float, frames: int) -> int:
    """The frame in which a time falls."""
    return min(round(time * fps), frames - 1)


@dataclass(frozen=True)
class Miss:
    """How far a motion is from one constraint."""

    time: float
    what: str
    metres: float
    degrees: float


def misses(motion: Motion, constraints: Constraints) -> list[Miss]:
    """The error at each constraint of a one-person motion: the farthest joint, the joint turned most."""
    rest = load_body().rest_joints(torch.from_numpy(np.asarray(motion.betas[:1], np.float32)))[0, :NUM_BODY].double()
    rotations = torch.from_numpy(motion.rotations[0, :, :NUM_BODY].astype(np.float64))
    tensors = forward_kinematics(rotations, rest[None], torch.from_numpy(motion.root[0].astype(np.float64)))
    places, turns = (tensor.numpy() for tensor in tensors)
    found = []
    for key in constraints:
        f = frame_of(key.time, motion.fps, motion.frames)
        if isinstance(key, PoseKey):
            gap = np.linalg.norm(places[f] - _places(key, rest), axis=-1).max()
            local = rotations[f].numpy()
            angle = rotation_angle(np.swapaxes(local, -1, -2) @ key.rotations).max()
            found.append(Miss(key.time, "pose", float(gap), math.degrees(angle)))
        elif isinstance(key, RootKey):
            gap = float(np.linalg.norm(places[f, 0, [0, 2]] - np.asarray(key.position)))
            gap = gap if key.height is None else math.hypot(gap, places[f, 0, 1] - key.height)
            yaw = pelvis_heading(rotations[f : f + 1, 0].numpy())[0]
            angle = 0.0 if key.heading is None else abs(math.remainder(yaw - key.heading, 2 * math.pi))
            found.append(Miss(key.time, "root", gap, math.degrees(angle)))
        else:
            end = JOINT[key.joint.replace("foot", "ankle")]
            gap = float(np.linalg.norm(places[f, JOINT[key.joint]] - key.position))
            angle = 0.0 if key.rotation is None else float(rotation_angle((turns[f, end].T @ key.rotation)[None])[0])
            found.append(Miss(key.time, key.joint, gap, math.degrees(angle)))
    return found


def _places(key: PoseKey, rest: Float[torch.Tensor, "22 3"]) -> Float[ndarray, "22 3"]:
    root = torch.from_numpy(np.asarray(key.pelvis, np.float64)) - rest[0]
    return forward_kinematics(torch.from_numpy(key.rotations)[None], rest[None].double(), root[None])[0][0].numpy()


def _finite(key: Key) -> None:
    if not (math.isfinite(key.time) and key.time >= 0):
        raise LabanError(f"{_where(key)}: time is {key.time}; accepted: seconds from 0")
    if isinstance(key, JointKey) and key.joint not in ENDS:
        raise LabanError(f"{_where(key)}: joint {key.joint!r}; accepted: {', '.join(ENDS)}")
    for name, value in vars(key).items():
        if name not in ("origin", "joint") and value is not None and not np.isfinite(np.asarray(value)).all():
            raise LabanError(f"{_where(key)}: {name} holds a NaN or infinite number; accepted: finite numbers")


def _together(first: Key, second: Key) -> bool:
    return bool(abs(first.time - second.time) < AT_ONCE)


def _same_pose(first: PoseKey, second: PoseKey) -> bool:
    turned = rotation_angle(np.swapaxes(first.rotations, -1, -2) @ second.rotations).max()
    return bool(turned < SAME and np.linalg.norm(first.pelvis - second.pelvis) < SAME)


def _same_point(first: RootKey, second: RootKey) -> bool:
    turned = 0.0 if first.heading is None or second.heading is None else math.remainder(
        first.heading - second.heading, 2 * math.pi)  # fmt: skip
    return _near(root_place(first), root_place(second)) and abs(turned) < SAME


def _where(key: Key) -> str:
    return key.origin or f"constraint at {key.time:g} s"


def _near(first: Float[ndarray, " axes"], second: Float[ndarray, " axes"]) -> bool:
    return float(np.linalg.norm(np.asarray(first) - np.asarray(second))) < SAME


def _agree(what: str, pairs: Iterable[tuple[Any, Any]], same: Callable[[Any, Any], bool]) -> None:
    for first, second in pairs:
        if _together(first, second) and not same(first, second):
            raise LabanError(f"{_where(second)}: {what} at {second.time:g} s that differ (the other: {_where(first)}); "
                             "accepted: one for each time")  # fmt: skip
