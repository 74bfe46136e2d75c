"""Measures on streamed motion that need no network: rest, freezing, drift, skate, jerk at switches, and first signs.

All take world joints (frames, 22, 3) in metres, Y up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from models import objectives
from models.body.skeleton import JOINT
from models.representation.heading import joints_heading
from motion.stream_prompts import Rest

Joints = Float[ndarray, "frames 22 3"]
Sign = Callable[[Joints, float], Bool[ndarray, " frames"]]
"""(joints, frames per second) -> whether each frame shows that something has begun, seen from frame 0."""

VISIBLE = 0.05
"""Metres that a joint has to be away from where it would have been, to be seen to do something else. Half of 473 quiet
stretches of 0.53 s in captured clips move some joint by 3.6 cm: less than that is lost in a body's own sway."""
AROUND = 0.25
"""Seconds before and after a switch within which jerk is looked at."""
WALKING, BACKING = 0.3, 0.2
"""m/s of the pelvis from which somebody walks, or walks backwards."""
TURNED = np.radians(20)
RAISED, HOPPED, LOWERED, BOWED, KICKED = 0.1, 0.1, 0.15, 0.12, 0.25
"""Metres: wrist above shoulder height less this, pelvis up, pelvis down, head down, ankle up."""


def fastest(joints: Joints, fps: float) -> float:
    """Mean speed, m/s, of the joint that is fastest on average; a single frame has none."""
    if len(joints) < 2:
        return 0.0
    return float((np.linalg.norm(np.diff(joints, axis=0), axis=-1) * fps).mean(0).max())


def at_rest(joints: Joints, fps: float, rest: Rest, still: float) -> bool:
    """Whether no joint moves faster than `still` on average, with pelvis and head as high as in a posture."""
    pelvis, head = joints[:, 0, 1].mean(), joints[:, JOINT["head"], 1].mean()
    high = rest.pelvis[0] <= pelvis <= rest.pelvis[1] and rest.head[0] <= head <= rest.head[1]
    return bool(high and fastest(joints, fps) < still)


def skate(joints: Joints, fps: float) -> float:
    """`objectives.foot_skate` of one stretch above its own floor, m/s."""
    return float(objectives.foot_skate(torch.from_numpy(np.asarray(joints, np.float64)), fps))


def peak_jerks(joints: Joints, fps: float, frames: Sequence[int]) -> Float[ndarray, " places"]:
    """Largest jerk of any joint within `AROUND` seconds of each frame, m/s3."""
    reach, clip = round(AROUND * fps), torch.from_numpy(np.asarray(joints, np.float64))
    near = [clip[max(0, frame - reach) : frame + reach + 1] for frame in frames]
    return np.array([float(objectives.peak_jerk(part, fps)) for part in near])


def drift(joints: Joints, fps: float) -> tuple[float, float]:
    """(m/s, degrees/s) that the pelvis moves over the floor, and the body turns, between first and last frame."""
    seconds = max(len(joints) - 1, 1) / fps
    heading = joints_heading(joints)
    moved = np.linalg.norm((joints[-1, 0] - joints[0, 0])[[0, 2]])
    return float(moved / seconds), float(np.degrees(abs(heading[-1] - heading[0])) / seconds)


# ---------------------------------------------------------------------------------------------------------- reaction


def departure(joints: Joints, idle: Joints, threshold: float = VISIBLE) -> int | None:
    """The first frame in which some joint is more than `threshold` metres from where it is in `idle`; None: never."""
    return _first(np.linalg.norm(joints - idle, axis=-1).max(1) > threshold)


def first_sign(joints: Joints, fps: float, action: str) -> int | None:
    """The first frame that shows the sign of an action (`SIGNS`); None: never. KeyError for one that has no sign."""
    return _first(SIGNS[action](joints, fps))


def _first(shown: Bool[ndarray, " frames"]) -> int | None:
    found = np.flatnonzero(shown)
    return int(found[0]) if len(found) else None


def _pelvis_speed(joints: Joints, fps: float) -> Float[ndarray, "frames 2"]:
    """(forward, across) speed over the floor, m/s, as a mean over the last 0.2 s; forward is where frame 0 faces."""
    back = max(1, round(0.2 * fps))
    moved = np.zeros((len(joints), 2))
    moved[back:] = (joints[back:, 0] - joints[:-back, 0])[:, [0, 2]] * fps / back
    yaw = joints_heading(joints[:1])[0]
    return np.stack([moved @ [np.sin(yaw), np.cos(yaw)], moved @ [np.cos(yaw), -np.sin(yaw)]], -1)


def _goes(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    return np.linalg.norm(_pelvis_speed(joints, fps), axis=-1) > WALKING


def _backs(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    return _pelvis_speed(joints, fps)[:, 0] < -BACKING


def _turns(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    heading = joints_heading(joints)
    return np.asarray(np.abs(heading - heading[0]) > TURNED)


def _raises(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    wrists = joints[:, (JOINT["left_wrist"], JOINT["right_wrist"]), 1]
    shoulders = joints[:, (JOINT["left_shoulder"], JOINT["right_shoulder"]), 1]
    return np.asarray((wrists > shoulders - RAISED).any(1))


def _lifts(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    ankles = joints[:, (JOINT["left_ankle"], JOINT["right_ankle"]), 1]
    return np.asarray((ankles - ankles[0] > KICKED).any(1))


def _rises(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    return joints[:, 0, 1] - joints[0, 0, 1] > HOPPED


def _lowers(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    return joints[0, 0, 1] - joints[:, 0, 1] > LOWERED


def _bows(joints: Joints, fps: float) -> Bool[ndarray, " frames"]:
    return joints[0, JOINT["head"], 1] - joints[:, JOINT["head"], 1] > BOWED


SIGNS: dict[str, Sign] = {
    "walk": _goes, "run": _goes, "walk sideways": _goes, "walk backward": _backs, "turn": _turns, "wave": _raises,
    "raise arms": _raises, "kick": _lifts, "jump": _rises, "sit down": _lowers, "bow": _bows,
}  # fmt: skip
"""Kinematic signs that somebody who stood has begun to do something; they need neither judge nor encoder."""
