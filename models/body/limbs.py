"""Two-bone inverse kinematics of arms and legs: an end goes where it has to, knees and elbows bend as they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.kinematics import forward_kinematics
from models.body.skeleton import JOINT, NUM_BODY, PARENTS
from models.body.vectors import axis_rotation, swing, turn, unit

REACH = 0.998
"""Share of a limb's length at which it is as straight as it gets."""
BACKWARD = 0.3
"""Sine of the bend below which a knee or elbow that bends backward is taken for a straight one."""


@dataclass(frozen=True)
class Pose:
    """Global joint positions and rotations of one actor."""

    places: Float[ndarray, "frames 22 3"]
    turns: Float[ndarray, "frames 22 3 3"]


@dataclass(frozen=True)
class Limb:
    """Three joints of an arm or leg, and the axis, in the frame of the first, about which a straight one bends."""

    start: int
    middle: int
    end: int
    hinge: tuple[float, float, float]


def _limb(names: tuple[str, str, str], hinge: tuple[float, float, float]) -> Limb:
    start, middle, end = (JOINT[name] for name in names)
    return Limb(start, middle, end, hinge)


LEGS: tuple[Limb, Limb] = (
    _limb(("left_hip", "left_knee", "left_ankle"), (1.0, 0.0, 0.0)),
    _limb(("right_hip", "right_knee", "right_ankle"), (1.0, 0.0, 0.0)),
)
ARMS: tuple[Limb, Limb] = (
    _limb(("left_shoulder", "left_elbow", "left_wrist"), (0.0, -1.0, 0.0)),
    _limb(("right_shoulder", "right_elbow", "right_wrist"), (0.0, 1.0, 0.0)),
)


def pose_of(
    rotations: Float[ndarray, "frames joints 3 3"], root: Float[ndarray, "frames 3"], rest: torch.Tensor
) -> Pose:
    """Forward kinematics of the body joints; `rest` are at least 22 rest joints in metres, `root` is SMPL-X transl."""
    local = torch.from_numpy(np.asarray(rotations[:, :NUM_BODY], np.float64))
    rest = rest[:NUM_BODY].double()
    places, turns = forward_kinematics(local, rest[None], torch.from_numpy(np.asarray(root, np.float64)))
    return Pose(places.numpy(), turns.numpy())


def limb_length(pose: Pose, limb: Limb) -> float:
    """Metres from the first joint over the second to the third."""
    start, middle, end = (pose.places[0, joint] for joint in (limb.start, limb.middle, limb.end))
    return float(np.linalg.norm(middle - start) + np.linalg.norm(end - middle))


def bend(
    rotations: Float[ndarray, "frames joints 3 3"], pose: Pose, limb: Limb, shift: Float[ndarray, "frames 3"],
    move: Float[ndarray, "frames 3"],
) -> None:  # fmt: skip
    """In place: the end goes to its place in `pose` plus `move`, or as near as it gets, from a start moved by `shift`.

    `rotations` are local and equal those of `pose` down to the limb, whose end keeps its global rotation.
    """
    start, middle, end = (pose.places[:, joint] for joint in (limb.start, limb.middle, limb.end))
    upper, lower = np.linalg.norm(middle - start, axis=-1), np.linalg.norm(end - middle, axis=-1)
    before = np.linalg.norm(end - start, axis=-1)
    wanted = end + move - start - shift
    straight = np.maximum(REACH * (upper + lower), before)
    after = np.clip(np.linalg.norm(wanted, axis=-1), np.abs(upper - lower) + 1e-3, straight)
    at_middle = axis_rotation(_axis(pose, limb), _opening(upper, lower, before) - _opening(upper, lower, after))
    bent = middle + turn(at_middle, end - middle) - start
    at_start = swing(unit(bent), unit(wanted))
    first, second = at_start @ pose.turns[:, limb.start], at_start @ at_middle @ pose.turns[:, limb.middle]
    rotations[:, limb.start] = np.swapaxes(pose.turns[:, PARENTS[limb.start]], -1, -2) @ first
    rotations[:, limb.middle] = np.swapaxes(first, -1, -2) @ second
    rotations[:, limb.end] = np.swapaxes(second, -1, -2) @ pose.turns[:, limb.end]


def _axis(pose: Pose, limb: Limb) -> Float[ndarray, "frames 3"]:
    """Axis of the bend; a straight limb says nothing of where it bends to, nor does one bent a little backward."""
    start, middle, end = (pose.places[:, joint] for joint in (limb.start, limb.middle, limb.end))
    axis = np.cross(unit(middle - start), unit(end - middle))
    hinge = turn(pose.turns[:, limb.start], np.asarray(limb.hinge))
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    backward = ((axis * hinge).sum(-1, keepdims=True) < 0) & (sine < BACKWARD)
    return unit(np.where((sine > 1e-3) & ~backward, axis, hinge))


def _opening(
    upper: Float[ndarray, " frames"], lower: Float[ndarray, " frames"], distance: Float[ndarray, " frames"]
) -> Float[ndarray, " frames"]:
    """Angle inside the middle joint, radians, at which the limb's ends are so far apart (law of cosines)."""
    return np.arccos(np.clip((upper**2 + lower**2 - distance**2) / (2 * upper * lower), -1.0, 1.0))
