"""From 33 landmarks of a person to the 22 body joints: metres, Y up, +Z towards the camera, the floor at 0.

A landmark network measures directions better than lengths: the joints here have the bones of the open body, turned as
the landmarks say. The person is placed in front of a level pinhole camera so that the joints project onto the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d, median_filter, percentile_filter

from models.body.retarget_body import target_body
from models.body.skeleton import JOINT, NUM_BODY, PARENTS
from models.body.vectors import frame, swing, turn, unit

NOSE, LEFT_EAR, RIGHT_EAR = 0, 7, 8
TRUNK = (11, 12, 23, 24)
"""Shoulders and hips, left before right."""

LIMBS: tuple[tuple[str, int, int], ...] = (
    ("left_elbow", 11, 13), ("right_elbow", 12, 14), ("left_wrist", 13, 15), ("right_wrist", 14, 16),
    ("left_knee", 23, 25), ("right_knee", 24, 26), ("left_ankle", 25, 27), ("right_ankle", 26, 28),
    ("left_foot", 27, 31), ("right_foot", 28, 32),
)  # fmt: skip
"""A joint, and the two landmarks that give the direction of the bone that ends in it."""

SEEN_BY: dict[str, tuple[int, ...]] = {
    "pelvis": (23, 24), "left_hip": (23,), "right_hip": (24,), "spine1": (23, 24), "left_knee": (25,),
    "right_knee": (26,), "spine2": TRUNK, "left_ankle": (27,), "right_ankle": (28,), "spine3": (11, 12),
    "left_foot": (27, 31), "right_foot": (28, 32), "neck": (11, 12), "left_collar": (11,), "right_collar": (12,),
    "head": (NOSE, LEFT_EAR, RIGHT_EAR), "left_shoulder": (11,), "right_shoulder": (12,), "left_elbow": (13,),
    "right_elbow": (14,), "left_wrist": (15,), "right_wrist": (16,),
}  # fmt: skip
"""The landmarks that a joint is measured by: its confidence is the mean of theirs."""

SKIN: dict[str, float] = {
    "pelvis": 0.1, "left_hip": 0.09, "right_hip": 0.09, "left_knee": 0.05, "right_knee": 0.05, "left_ankle": 0.075,
    "right_ankle": 0.075, "left_foot": 0.028, "right_foot": 0.028, "spine3": 0.11, "left_shoulder": 0.06,
    "right_shoulder": 0.06, "left_elbow": 0.04, "right_elbow": 0.04, "left_wrist": 0.03, "right_wrist": 0.03,
    "head": 0.09,
}  # fmt: skip
"""Metres from a joint to the skin around it: how high it lies when that part of the body rests on the floor."""

FOCAL = 1.0
"""Focal length of an unknown camera, as a fraction of the longer side: about 53 degrees wide."""

SMOOTH, SMOOTH_DEPTH, SMOOTH_DISTANCE = 0.03, 0.08, 0.4
"""Standard deviations in seconds of the filters over landmarks, their depth, and the distance from the camera."""

STRAIGHT = np.radians(25)
"""Between legs and trunk, and between them and the picture's vertical, of somebody who stands."""

LARGEST_PITCH = np.radians(40)
STANDING_FRAMES = 10

FLOOR_WINDOW = 3.0
"""Seconds within which somebody stands on the floor for a while."""

FLOOR_SHARE = 30
"""Percent of those seconds: half of them would be too many for a jumper, very few would be the lowest errors."""


@dataclass(frozen=True)
class Shots:
    """Landmarks of one person at a constant rate: `image` in pixels, `world` as `models.video.blazepose` has it."""

    image: Float[ndarray, "frames 33 3"]
    world: Float[ndarray, "frames 33 3"]
    visibility: Float[ndarray, "frames 33"]
    fps: float
    size: tuple[int, int]


def lift(shots: Shots) -> Float[ndarray, "frames 22 3"]:
    """World positions of the 22 joints, metres: x to the right of the picture, Y up, +Z towards the camera.

    The camera is taken to be still, and to look up or down by so much as makes people stand upright. The floor is where
    the lowest part of the body is within some seconds: the drift of a moving camera is taken out, and jumps stay.
    """
    world = smooth_landmarks(shots.world, shots.visibility, shots.fps)
    joints = rebuild(world * (1, -1, -1))
    travel = camera_positions(shots, world) * size_ratio(world)
    joints += (travel * (1, -1, -1))[:, None]
    joints = _pitched(joints, camera_pitch(joints))
    joints[..., 1] -= floor_level(joints, shots.fps)[:, None]
    joints[..., [0, 2]] -= joints[:1, :1, [0, 2]]
    return joints.astype(np.float32)


def joint_confidence(visibility: Float[ndarray, "frames 33"]) -> Float[ndarray, "frames 22"]:
    """How well each of the 22 joints was seen, 0 to 1."""
    columns = [visibility[:, list(SEEN_BY[name])].mean(1) for name in _names()]
    return np.stack(columns, 1).astype(np.float32)


def smooth_landmarks(
    world: Float[ndarray, "frames 33 3"], visibility: Float[ndarray, "frames 33"], fps: float
) -> Float[ndarray, "frames 33 3"]:
    """Filtered over time, depth more than the rest; landmarks that were hardly seen lean on the frames around them."""
    weight = visibility[..., None].clip(0.05)
    result = np.empty(world.shape)
    for axes, seconds in (((0, 1), SMOOTH), ((2,), SMOOTH_DEPTH)):
        pick = list(axes)
        result[..., pick] = _filtered(world[..., pick] * weight, seconds * fps) / _filtered(weight, seconds * fps)
    return result


def rebuild(points: Float[ndarray, "frames 33 3"]) -> Float[ndarray, "frames 22 3"]:
    """The open body's bones in the directions of the landmarks (Y up), the middle of the hips at the origin."""
    rest = target_body().joints.astype(np.float64)
    bones = {name: rest[JOINT[name]] - rest[PARENTS[JOINT[name]]] for name in _names()[1:]}
    hips, shoulders = points[:, 23] - points[:, 24], points[:, 11] - points[:, 12]
    up = points[:, [11, 12]].mean(1) - points[:, [23, 24]].mean(1)
    low, high = (_trunk_turn(up, across) for across in (hips, shoulders))
    middle = _trunk_turn(up, unit(hips) + unit(shoulders))
    turns = dict.fromkeys(("left_hip", "right_hip", "spine1"), low) | {"spine2": middle, "spine3": middle}
    turns |= dict.fromkeys(("neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder"), high)
    ways = {name: unit(points[:, end] - points[:, start]) for name, start, end in LIMBS}
    for side in ("left", "right"):
        ways[f"{side}_knee"], ways[f"{side}_ankle"] = _knee(ways[f"{side}_knee"], ways[f"{side}_ankle"], low)
    ways["head"] = unit(points[:, [LEFT_EAR, RIGHT_EAR]].mean(1) - points[:, [11, 12]].mean(1))
    joints = np.zeros((len(points), NUM_BODY, 3))
    for name in _names()[1:]:
        bone = turns[name] @ bones[name] if name in turns else ways[name] * np.linalg.norm(bones[name])
        joints[:, JOINT[name]] = joints[:, PARENTS[JOINT[name]]] + bone
    return joints - joints[:, [JOINT["left_hip"], JOINT["right_hip"]]].mean(1, keepdims=True)


def size_ratio(world: Float[ndarray, "frames 33 3"]) -> float:
    """How much larger the open body is than the person in `world`, by trunk, thighs and shanks."""
    rest = target_body().joints
    pairs = (("left_shoulder", "left_hip", 11, 23), ("right_shoulder", "right_hip", 12, 24),
             ("left_hip", "left_knee", 23, 25), ("right_hip", "right_knee", 24, 26),
             ("left_knee", "left_ankle", 25, 27), ("right_knee", "right_ankle", 26, 28))  # fmt: skip
    ours = sum(float(np.linalg.norm(rest[JOINT[a]] - rest[JOINT[b]])) for a, b, _, _ in pairs)
    theirs = sum(float(np.median(np.linalg.norm(world[:, i] - world[:, j], axis=-1))) for _, _, i, j in pairs)
    return ours / max(theirs, 1e-3)


def camera_positions(shots: Shots, world: Float[ndarray, "frames 33 3"]) -> Float[ndarray, "frames 3"]:
    """Where the middle of the hips is, in metres from the camera (x right, y down, z away).

    Least squares of u (Z + z) = f (X + x) over the landmarks, u being pixels from the picture's centre; the distance is
    found first, made smooth, and the other two follow from it.
    """
    width, height = shots.size
    focal = FOCAL * max(width, height)
    seen = (shots.image[..., :2] - (width / 2, height / 2)) / focal
    weight = shots.visibility.clip(0.02)
    weight = weight / weight.sum(1, keepdims=True)

    def centred(values: ndarray) -> ndarray:
        return values - (weight[..., None] * values).sum(1, keepdims=True)

    u, target = centred(seen), centred(world[..., :2] - seen * world[..., 2:])
    spread = (weight[..., None] * u**2).sum((1, 2))
    distance = (weight[..., None] * u * target).sum((1, 2)) / spread.clip(1e-9)
    distance = _steady(distance.clip(0.3, 100.0), shots.fps)
    across = (weight[..., None] * (seen * (world[..., 2:] + distance[:, None, None]) - world[..., :2])).sum(1)
    return np.column_stack([_filtered(across, SMOOTH * shots.fps), distance])


def floor_level(joints: Float[ndarray, "frames 22 3"], fps: float) -> Float[ndarray, " frames"]:
    """Height of the floor beneath a person, followed slowly: the lowest that the body's skin gets within seconds."""
    names = list(SKIN)
    lowest = (joints[:, [JOINT[name] for name in names], 1] - np.array([SKIN[name] for name in names])).min(1)
    window = min(max(round(FLOOR_WINDOW * fps), 1), 2 * len(lowest) + 1)
    level = percentile_filter(lowest, FLOOR_SHARE, size=window, mode="nearest")
    return gaussian_filter1d(level, FLOOR_WINDOW * fps / 4, mode="nearest")


def camera_pitch(joints: Float[ndarray, "frames 22 3"]) -> float:
    """Radians by which the camera looks down: how far people who stand with straight legs lean towards it on average.

    0 where nobody stands for half a second.
    """
    ankles, hips = joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]]].mean(1), joints[:, 0]
    legs, trunk, whole = unit(hips - ankles), unit(joints[:, JOINT["neck"]] - hips), joints[:, JOINT["neck"]] - ankles
    extent = np.linalg.norm(whole, axis=-1)
    standing = (legs * trunk).sum(-1) > np.cos(STRAIGHT)
    standing &= extent > 0.9 * np.linalg.norm(target_body().bone("left_ankle", "neck"))
    standing &= np.abs(whole[:, 0]) < np.sin(STRAIGHT) * extent
    lean = np.arctan2(whole[standing, 2], whole[standing, 1])
    lean = lean[np.abs(lean) < LARGEST_PITCH]
    return float(np.median(lean)) if len(lean) >= STANDING_FRAMES else 0.0


def _pitched(joints: Float[ndarray, "frames 22 3"], pitch: float) -> Float[ndarray, "frames 22 3"]:
    cos, sin = np.cos(pitch), np.sin(pitch)
    return joints @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).T


def _trunk_turn(up: Float[ndarray, "frames 3"], across: Float[ndarray, "frames 3"]) -> Float[ndarray, "frames 3 3"]:
    """Rotation of the trunk from the rest pose, by the line from hips to shoulders and a line from right to left."""
    rest = target_body().joints.astype(np.float64)
    shoulders, hips = (rest[[JOINT[f"left_{name}"], JOINT[f"right_{name}"]]].mean(0) for name in ("shoulder", "hip"))
    still = frame((shoulders - hips)[None], np.array([[1.0, 0.0, 0.0]]))
    return frame(up, across) @ still.swapaxes(-1, -2)


def _knee(
    thigh: Float[ndarray, "frames 3"], shank: Float[ndarray, "frames 3"], pelvis: Float[ndarray, "frames 3 3"]
) -> tuple[Float[ndarray, "frames 3"], Float[ndarray, "frames 3"]]:
    """Directions of thigh and shank; a knee that bends the wrong way, as noise in depth makes it, is straightened."""
    leg = unit(thigh + shank)
    forward = turn(swing(-pelvis[..., 1], leg), pelvis[..., 2])
    wrong = ((thigh - shank) * forward).sum(-1, keepdims=True).clip(max=0.0) / 2
    return unit(thigh - wrong * forward), unit(shank + wrong * forward)


def _steady(distance: Float[ndarray, " frames"], fps: float) -> Float[ndarray, " frames"]:
    window = min(2 * round(SMOOTH_DISTANCE * fps) + 1, 2 * len(distance) + 1)
    return np.exp(_filtered(median_filter(np.log(distance), window, mode="nearest"), SMOOTH_DISTANCE * fps))


def _filtered(values: ndarray, sigma: float) -> ndarray:
    return gaussian_filter1d(values, sigma, axis=0, mode="nearest")


def _names() -> tuple[str, ...]:
    return tuple(SEEN_BY)
