"""Procedural motion: a body posed by targets for its hands and feet, for actions that motion capture lacks.

A pose is the pelvis, how hips and chest are turned, and where wrists and ankles are; elbows and knees follow from the
lengths of the bones (two-bone inverse kinematics). Frames come at 20 fps; the body faces +Z, Y up, the floor at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from action_localization.pose.features import FPS
from action_localization.pose.observe import lasting
from action_localization.pose.streams import Clip
from models.body.retarget import two_bone
from models.body.retarget_body import target_body
from models.body.skeleton import JOINT, NUM_BODY
from models.body.vectors import axis_rotation, mean_rotation, turn, unit

SIDES = ("left", "right")
OUT = np.array([1.0, -1.0])
"""Sign of x on the left and on the right."""
STANDING = 0.97
"""Metres of the pelvis above the floor of somebody who stands."""
ANKLE = 0.08
GIVE = 0.005
"""Share of a limb's length over which it straightens ever more slowly."""


@dataclass(frozen=True)
class Posing:
    """A pose per frame; left before right. `hands` are from the shoulders in the chest's axes, unless `placed`."""

    pelvis: Float[ndarray, "frames 3"]
    hips: Float[ndarray, "frames 3 3"]
    chest: Float[ndarray, "frames 3 3"]
    hands: Float[ndarray, "frames 2 3"]
    feet: Float[ndarray, "frames 2 3"]
    elbows: Float[ndarray, "frames 2 3"]
    """Where elbows point, in the chest's axes."""
    knees: Float[ndarray, "frames 2 3"]
    """Where knees point, in the hips' axes."""
    toes: Float[ndarray, "frames 2 3"]
    nod: Float[ndarray, " frames"]
    """Radians by which the head leans ahead of the chest."""
    placed: bool = False
    """`hands` are world positions of the wrists."""


Action = Callable[[np.random.Generator, int], Posing]
"""(random numbers, frames) -> an action of that length."""


def procedural_clips(
    actions: Mapping[str | None, tuple[Action, tuple[float, float]]], count: int, seed: int, total: float
) -> list[Clip]:
    """`count` clips of each action, by its label (None: somebody who stands about) and shortest and longest seconds.

    Clips of an action weigh `total` together. A function of its arguments.
    """
    clips = []
    for place, (label, (action, (low, high))) in enumerate(actions.items()):
        for number in range(count):
            rng = np.random.default_rng((seed, place, number))
            frames = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))) * FPS)
            joints = posed(loosened(action(rng, frames), rng))
            clips.append(Clip(f"procedural {label} {number}", joints, label, label is None, weight=total / count))
    return clips


def posed(pose: Posing) -> Float32[ndarray, "frames 22 3"]:
    """The joints of the open body in a pose; hands and feet that are too far are reached for."""
    rest = target_body().joints.astype(np.float64)
    joints = np.zeros((len(pose.pelvis), NUM_BODY, 3))
    joints[:, 0] = pose.pelvis
    middle = mean_rotation(pose.hips + pose.chest)
    head = pose.chest @ pitched(pose.nod)
    for turns, names in (
        (pose.hips, ("left_hip", "right_hip", "spine1")), (middle, ("spine2", "spine3")),
        (pose.chest, ("neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder")), (head, ("head",)),
    ):  # fmt: skip
        for name in names:
            joint, parent = JOINT[name], _PARENT[name]
            joints[:, joint] = joints[:, parent] + turns @ (rest[joint] - rest[parent])
    for k, side in enumerate(SIDES):
        shoulder, elbow, wrist, hip, knee, ankle, foot = (
            JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
        )
        hand = pose.hands[:, k] if pose.placed else joints[:, shoulder] + turn(pose.chest, pose.hands[:, k])
        arm = _bones(rest, shoulder, elbow, wrist)
        joints[:, elbow], joints[:, wrist] = bent(joints[:, shoulder], hand, arm, turn(pose.chest, pose.elbows[:, k]))
        leg = _bones(rest, hip, knee, ankle)
        joints[:, knee], joints[:, ankle] = bent(
            joints[:, hip], pose.feet[:, k], leg, turn(pose.hips, pose.knees[:, k])
        )
        joints[:, foot] = joints[:, ankle] + unit(pose.toes[:, k]) * np.linalg.norm(rest[foot] - rest[ankle])
    return joints.astype(np.float32)


def bent(
    root: Float[ndarray, "frames 3"], target: Float[ndarray, "frames 3"],
    bones: tuple[Float[ndarray, " 3"], Float[ndarray, " 3"]], pole: Float[ndarray, "frames 3"],
) -> tuple[Float[ndarray, "frames 3"], Float[ndarray, "frames 3"]]:  # fmt: skip
    """(elbow or knee, wrist or ankle) of a limb of two bones that reaches for a target and bends towards `pole`."""
    middle = two_bone(root, target, bones, pole, give=GIVE)
    return middle, middle + np.linalg.norm(bones[1]) * unit(target - middle)


def standing(rng: np.random.Generator, frames: int) -> Posing:
    """Somebody who stands with hanging arms."""
    width, toes = rng.uniform(0.08, 0.2), rng.uniform(0.0, 0.4)
    feet = np.zeros((frames, 2, 3)) + np.array([0, ANKLE, 0.02])
    feet[..., 0] = OUT * width
    feet[..., 2] += rng.normal(0, 0.03, 2)
    hands = np.zeros((frames, 2, 3)) + np.array([0, -0.48, 0.06])
    hands[..., 0] = OUT * rng.uniform(0.02, 0.12, 2)
    still = np.repeat(np.eye(3)[None], frames, 0)
    return Posing(
        np.zeros((frames, 3)) + np.array([0, STANDING - 0.01, 0]), still, still, hands, feet,
        np.zeros((frames, 2, 3)) + np.stack([OUT * 0.5, [-0.7, -0.7], [-0.6, -0.6]], -1),
        np.zeros((frames, 2, 3)) + np.stack([OUT * 0.15, [0, 0], [1, 1]], -1),
        np.zeros((frames, 2, 3)) + np.stack([OUT * toes, [-0.35, -0.35], [1, 1]], -1),
        np.full(frames, rng.normal(0.05, 0.12)),
    )  # fmt: skip


def loosened(pose: Posing, rng: np.random.Generator) -> Posing:
    """The pose as a person would hold it: hands, trunk and weight are never quite still nor quite even."""
    frames = len(pose.pelvis)
    level = float(np.exp(rng.normal(0, 0.5)))
    lean = np.radians(level * (rng.normal(0, 3, 3) + 1.2 * lasting(rng, (frames, 3), 0.8)))
    loose = leaning(*lean.T)
    return replace(
        pose,
        pelvis=pose.pelvis + level * lasting(rng, (frames, 3), 0.7) * (0.006, 0.003, 0.006),
        chest=loose @ pose.chest,
        hands=pose.hands + rng.normal(0, 0.02, (1, 2, 3)) + 0.01 * level * lasting(rng, (frames, 2, 3), 1.0),
        feet=pose.feet + rng.normal(0, 0.01, (1, 2, 3)),
        elbows=pose.elbows + rng.normal(0, 0.2, (1, 2, 3)), knees=pose.knees + rng.normal(0, 0.08, (1, 2, 3)),
        nod=pose.nod + 0.05 * level * lasting(rng, (frames,), 0.5),
    )  # fmt: skip


def turns(rng: np.random.Generator, frames: int, rate: tuple[float, float], start: float | None = None) -> ndarray:
    """Turns done by each frame, at a rate of so many a second that wavers by a tenth; from `start` or anywhere."""
    pace = rng.uniform(*rate) * (1 + 0.1 * lasting(rng, (frames,), 0.7)).clip(0.3, 1.7)
    return (rng.random() if start is None else start) + np.cumsum(pace) / FPS - pace[0] / FPS


def wave(turn_count: ndarray) -> ndarray:
    """0 at whole turns, 1 in between, smoothly."""
    return (1 - np.cos(2 * np.pi * turn_count)) / 2


def pitched(angle: Float[ndarray, " frames"]) -> Float[ndarray, "frames 3 3"]:
    """Rotation that leans ahead by an angle in radians."""
    return axis_rotation(np.array([1.0, 0.0, 0.0]), np.asarray(angle, float))


def leaning(
    ahead: Float[ndarray, " frames"], side: Float[ndarray, " frames"], twist: Float[ndarray, " frames"]
) -> Float[ndarray, "frames 3 3"]:
    """Rotation that leans ahead, then to the side, on a body twisted to its left; radians."""
    tilt = axis_rotation(np.array([0.0, 0.0, 1.0]), np.asarray(side, float)) @ pitched(ahead)
    return axis_rotation(np.array([0.0, 1.0, 0.0]), np.asarray(twist, float)) @ tilt


def between(keys: ndarray, at: ndarray, when: ndarray) -> ndarray:
    """Values at `when` of a movement that rests for a moment at every key, `keys[k]` being reached at `at[k]`."""
    place = np.interp(when, at, np.arange(len(at)))
    low = np.minimum(place.astype(int), len(at) - 2)
    share = place - low
    share = (share * share * (3 - 2 * share)).reshape(-1, *[1] * (np.ndim(keys) - 1))
    keys = np.asarray(keys, float)
    return keys[low] * (1 - share) + keys[low + 1] * share


_PARENT = {
    "left_hip": 0, "right_hip": 0, "spine1": 0, "spine2": 3, "spine3": 6, "neck": 9, "left_collar": 9,
    "right_collar": 9, "left_shoulder": 13, "right_shoulder": 14, "head": 12,
}  # fmt: skip


def _bones(rest: Float[ndarray, "22 3"], *chain: int) -> tuple[Float[ndarray, " 3"], Float[ndarray, " 3"]]:
    first, middle, last = chain
    return rest[middle] - rest[first], rest[last] - rest[middle]
