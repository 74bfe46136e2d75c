"""HumanML3D's 263 numbers a frame (Guo et al., CVPR 2022): encoding of 22 joints, and decoding back to joints.

20 fps, Y up, metres. Row t, which needs frame t + 1, so that T frames give T - 1 rows:

    0        yaw speed, as half the angle turned in one frame (radians)
    1:3      root speed along x and z in the heading frame (metres a frame)
    3        root height
    4:67     positions of joints 1 to 21 relative to the root's place on the floor, in the heading frame
    67:193   6D rotations (first two columns, one behind the other) of joints 1 to 21, from inverse kinematics
    193:259  displacement of the 22 joints in one frame, in the heading frame of row t
    259:263  contact of left ankle, left foot, right ankle, right foot

The heading is worked out from hips and shoulders and smoothed over time (`_headings`). The rotations are not SMPL's:
they aim the bones of a stick figure (`BONES`) from parent to child, each by the shortest turn, so twists mean nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.skeleton import FEET, JOINT, PARENTS

FPS = 20.0
WIDTH = 263
CONTACT_SQUARED_STEP = 0.002
"""A foot is in contact while it moves less than the square root of this, in metres, from one frame to the next."""
HEADING_SIGMA = 20.0
"""Frames of the Gaussian that smooths the heading."""

CHAINS: tuple[tuple[int, ...], ...] = (
    (0, 2, 5, 8, 11),
    (0, 1, 4, 7, 10),
    (0, 3, 6, 9, 12, 15),
    (9, 14, 17, 19, 21),
    (9, 13, 16, 18, 20),
)
_X, _Y, _Z = np.eye(3)
BONES: Float[ndarray, "22 3"] = np.array([
    0 * _X, _X, -_X, _Y, -_Y, -_Y, _Y, -_Y, -_Y, _Y, _Z, _Z, _Y, _X, -_X, _Z, -_Y, -_Y, -_Y, -_Y, -_Y, -_Y,
])  # fmt: skip
"""Direction of the bone that ends at each joint in the stick figure's rest pose."""

LENGTHS: Float[ndarray, " 22"] = np.array([
    0.0, 0.10307, 0.10988, 0.13157, 0.39362, 0.39019, 0.14319, 0.43243, 0.42564, 0.05736, 0.14338, 0.14942, 0.21936,
    0.13749, 0.14338, 0.10304, 0.13161, 0.12298, 0.25684, 0.26309, 0.26601, 0.26988,
])  # fmt: skip
"""Metres from each joint to its parent in all published clips, which were brought to one person's bones."""

_HIPS = (JOINT["right_hip"], JOINT["left_hip"])
_SHOULDERS = (JOINT["right_shoulder"], JOINT["left_shoulder"])


def encode(joints: Float[ndarray, "frames 22 3"], *, canonical: bool = True) -> Float[ndarray, "rows 263"]:
    """Features of world joints at 20 fps; `canonical` first moves them as the published pipeline does (`place`).

    The published pipeline gives every clip the bones of one person before this step: see `with_reference_bones`.
    """
    if len(joints) < 2:
        raise LabanError(f"humanml263: {len(joints)} frames; accepted: 2 or more, since a row needs its next frame")
    joints = joints.astype(np.float64)
    if canonical:
        joints = place(joints)
    headings = _headings(joints)
    step = joints[1:] - joints[:-1]
    floor = joints[:, :1] * np.array([1.0, 0.0, 1.0])
    local = _turn(headings[:, None], joints - floor)[:, 1:]
    turned = _multiply(headings[1:], _inverse(headings[:-1]))
    # The root's speed is taken in the heading of the frame it arrives at, the joints' in that of the frame they leave.
    root_step = _turn(headings[1:], step[:, 0])
    moved = _turn(headings[:-1, None], step)
    contact = (step[:, list(FEET)] ** 2).sum(-1) < CONTACT_SQUARED_STEP
    parts = [
        np.arcsin(np.clip(turned[:, 2:3], -1, 1)),
        root_step[:, [0, 2]],
        joints[:-1, 0, 1:2],
        local[:-1].reshape(len(step), -1),
        _sixd(_inverse_kinematics(joints, headings))[:-1].reshape(len(step), -1),
        moved.reshape(len(step), -1),
        contact,
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def decode(features: Float[ndarray, "frames 263"]) -> Float[ndarray, "frames 22 3"]:
    """World joints of features: yaw and travel are summed up from frame 0, which stands at the origin facing +Z."""
    features = features.astype(np.float64)
    half = np.concatenate([[0.0], np.cumsum(features[:-1, 0])])
    to_world = np.zeros((len(features), 4))
    to_world[:, 0], to_world[:, 2] = np.cos(half), -np.sin(half)
    root = np.zeros((len(features), 3))
    step = np.zeros((len(features) - 1, 3))
    step[:, [0, 2]] = features[:-1, 1:3]
    root[1:] = np.cumsum(_turn(to_world[1:], step), axis=0)
    joints = np.zeros((len(features), 22, 3))
    joints[:, 1:] = _turn(to_world[:, None], features[:, 4:67].reshape(-1, 21, 3))
    joints += root[:, None]
    joints[:, 0, 1] = features[:, 3]
    return joints.astype(np.float32)


def with_reference_bones(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 22 3"]:
    """The same bone directions with the bone lengths `LENGTHS`; the root's path is scaled by leg length.

    Joints of a clip whose bones keep their lengths come out as the published pipeline's retargeting puts them.
    """
    joints = joints.astype(np.float64)
    legs = [JOINT["right_knee"], JOINT["right_ankle"]]
    bones = joints - joints[:, [max(parent, 0) for parent in PARENTS[:22]]]
    scale = LENGTHS[legs].sum() / np.linalg.norm(bones[0, legs], axis=-1).sum()
    result = np.zeros_like(joints)
    result[:, 0] = joints[:, 0] * scale
    for joint, parent in enumerate(PARENTS[1:22], start=1):
        result[:, joint] = result[:, parent] + LENGTHS[joint] * _unit(bones[:, joint])
    return result


def place(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 22 3"]:
    """Lowest joint of the clip at height 0, first root above the origin, first frame facing +Z."""
    moved = joints - np.array([0.0, joints[..., 1].min(), 0.0])
    moved = moved - moved[0, 0] * np.array([1.0, 0.0, 1.0])
    across = _across(moved[:1], _HIPS) + _across(moved[:1], _SHOULDERS)
    heading = _between(_unit(np.cross(_Y, _unit(across))), np.broadcast_to(_Z, (1, 3)))
    return _turn(heading[:, None], moved)


def _headings(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 4"]:
    """Quaternions that turn each frame's smoothed heading to +Z; the first frame's is the identity by definition.

    The published inverse kinematics names the hips the wrong way round, so its side axis is shoulders minus hips: it
    points the right way only because shoulders are wider. All published features have it, and so has this.
    """
    across = _across(joints, _SHOULDERS) - _across(joints, _HIPS)
    forward = gaussian_filter1d(np.cross(_Y, _unit(across)), HEADING_SIGMA, axis=0, mode="nearest")
    result = _between(_unit(forward), np.broadcast_to(_Z, forward.shape))
    result[0] = (1.0, 0.0, 0.0, 0.0)
    return result


def _across(joints: Float[ndarray, "frames 22 3"], pair: tuple[int, int]) -> Float[ndarray, "frames 3"]:
    """From the left joint of a pair to the right one."""
    return joints[:, pair[0]] - joints[:, pair[1]]


def _inverse_kinematics(
    joints: Float[ndarray, "frames 22 3"], headings: Float[ndarray, "frames 4"]
) -> Float[ndarray, "frames 21 4"]:
    result = np.zeros((len(joints), 22, 4))
    for chain in CHAINS:
        world = headings
        for parent, child in zip(chain[:-1], chain[1:], strict=True):
            bone = _unit(joints[:, child] - joints[:, parent])
            aimed = _between(np.broadcast_to(BONES[child], bone.shape), bone)
            result[:, child] = _multiply(_inverse(world), aimed)
            world = _multiply(world, result[:, child])
    return result[:, 1:]


def _sixd(quaternion: Float[ndarray, "*batch 4"]) -> Float[ndarray, "*batch 6"]:
    columns = [_turn(quaternion, np.broadcast_to(axis, (*quaternion.shape[:-1], 3))) for axis in (_X, _Y)]
    return np.concatenate(columns, axis=-1)


def _unit(vector: Float[ndarray, "*batch n"]) -> Float[ndarray, "*batch n"]:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def _between(start: Float[ndarray, "*batch 3"], end: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 4"]:
    """Shortest turn from one unit vector to another, as a quaternion (w, x, y, z)."""
    w = 1 + (start * end).sum(-1, keepdims=True)
    return _unit(np.concatenate([w, np.cross(start, end)], axis=-1))


def _inverse(quaternion: Float[ndarray, "*batch 4"]) -> Float[ndarray, "*batch 4"]:
    return quaternion * np.array([1.0, -1.0, -1.0, -1.0])


def _multiply(a: Float[ndarray, "*batch 4"], b: Float[ndarray, "*batch 4"]) -> Float[ndarray, "*batch 4"]:
    w = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdims=True)
    return np.concatenate([w, a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])], -1)


def _turn(quaternion: Float[ndarray, "*#batch 4"], vector: Float[ndarray, "*batch 3"]) -> Float[ndarray, "*batch 3"]:
    axis = np.broadcast_to(quaternion[..., 1:], vector.shape)
    twice = 2 * np.cross(axis, vector)
    return vector + quaternion[..., :1] * twice + np.cross(axis, twice)
