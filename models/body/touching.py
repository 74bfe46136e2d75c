"""Hands of two people that hold each other: found in time, and brought together by inverse kinematics of the arms.

Retargeted to other bodies, two people who held hands keep their gestures but not their distance. A hold is found by
what retargeting leaves alone: hands that are near each other and move together. Both arms then go half of the way each;
elbows bend as they did, hands keep their global rotation, and the correction fades where hands let go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.limbs import ARMS, Pose, bend, pose_of
from models.body.model import BodyModel, load_body
from models.body.skeleton import JOINT
from models.body.vectors import turn
from models.motion import Motion

KNUCKLES: tuple[int, int] = (JOINT["left_middle1"], JOINT["right_middle1"])
PALM = 0.85
"""Where hands hold each other: this share of the way from the wrist to the middle knuckle."""
NEAR = 0.3
"""Metres between palms below which hands may hold each other."""
TOGETHER, SLOW, WINDOW = 0.6, 0.15, 0.2
"""Hands move together where the coherence of their velocities, over a Gaussian of `WINDOW` seconds, is above
`TOGETHER`; hands below `SLOW` metres a second count as together."""
SHORTEST, PAUSE = 0.35, 0.2
"""Seconds that a hold lasts at least, and for which hands may seem to part within one."""
TOUCH = 0.03
"""Metres between palm centres of hands that touch: the thickness of a palm."""
FADE = 0.3
"""Seconds in which a correction comes and goes."""
ROUNDS = 5
"""Where one arm is too short the other goes the rest of the way: each round halves what is left."""


@dataclass(frozen=True)
class Hold:
    """Frames [start, stop) in which a hand of person 0 holds a hand of person 1; hands are 0 (left) and 1 (right)."""

    start: int
    stop: int
    first: int
    second: int


Palms = Float[ndarray, "people frames 2 3"]


def palms(motion: Motion, body: BodyModel | None = None) -> Palms:
    """World positions in metres of the palm centres, left and right."""
    rest = _rest(motion, body)
    return np.stack([_palms(pose, one) for pose, one in zip(_poses(motion, rest), rest, strict=True)])


def held_hands(motion: Motion, body: BodyModel | None = None) -> tuple[Hold, ...]:
    """Who holds whose hand when, in the order of time: near, and moving together. A hand holds one hand at a time."""
    _need_two(motion)
    places = palms(motion, body)
    speed = np.gradient(places, axis=1) * motion.fps if motion.frames > 1 else np.zeros_like(places)
    gap, near = np.empty((2, 2, motion.frames)), np.zeros((2, 2, motion.frames), bool)
    for first in (0, 1):
        for second in (0, 1):
            gap[first, second] = np.linalg.norm(places[0, :, first] - places[1, :, second], axis=-1)
            joint = _coherence(speed[0, :, first], speed[1, :, second], motion.fps) > TOGETHER
            near[first, second] = joint & (gap[first, second] < NEAR)
    holds = []
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        # of two hands that could be meant, the nearer one
        rival = np.minimum(gap[first, 1 - second] + ~near[first, 1 - second],
                           gap[1 - first, second] + ~near[1 - first, second])  # fmt: skip
        steps = _closed(near[first, second] & (gap[first, second] <= rival), motion.fps)
        holds += [Hold(start, stop, first, second) for start, stop in steps]
    return tuple(sorted(holds, key=lambda hold: (hold.start, hold.first, hold.second)))


def join_hands(
    motion: Motion,
    holds: tuple[Hold, ...],
    body: BodyModel | None = None,
    *,
    fade: float = FADE,
    places: Float[ndarray, "holds 3"] | None = None,
    relaxed: bool = False,
    still: int | None = None,
) -> Motion:
    """The motion with those hands brought together (palm centres within `TOUCH`), as far as arms reach.

    They meet half-way, at `places`, or where the hand of person `still` is. Only the arms change, from `fade` seconds
    before a hold to as long after it.
    Hands keep their global rotation, or, `relaxed`, follow their forearms: for hands that have a long way to go.
    """
    _need_two(motion)
    rest = _rest(motion, body)
    rotations = motion.rotations.astype(np.float64)
    for _ in range(ROUNDS):
        current = replace(motion, rotations=rotations)
        poses = _poses(current, rest)
        centres = np.stack([_palms(pose, one) for pose, one in zip(poses, rest, strict=True)])
        moves = _moves(centres, holds, round(fade * motion.fps), places, still)
        for person in (0, 1):
            for side, arm in enumerate(ARMS):
                if moves[person, side].any():
                    none = np.zeros((motion.frames, 3))
                    bend(rotations[person], poses[person], arm, none, moves[person, side])
                    if relaxed:
                        rotations[person, :, arm.end] = motion.rotations[person, :, arm.end]
    return replace(motion, rotations=rotations.astype(motion.rotations.dtype))


def _moves(
    centres: Palms, holds: tuple[Hold, ...], fade: int, places: Float[ndarray, "holds 3"] | None, still: int | None
) -> Float[ndarray, "people 2 frames 3"]:
    """How far each hand goes: half of the gap while it holds, eased in before and out after with what it had there."""
    frames = centres.shape[1]
    total, weights = np.zeros((2, 2, frames, 3)), np.zeros((2, 2, frames))
    for number, hold in enumerate(holds):
        here = np.arange(frames)
        inside = here.clip(hold.start, hold.stop - 1)
        hands = np.stack([centres[0, :, hold.first], centres[1, :, hold.second]])[:, inside]
        gap = hands[1] - hands[0]
        short = gap * np.minimum(1.0, TOUCH / np.linalg.norm(gap, axis=-1, keepdims=True).clip(1e-9))
        middle = hands.mean(0) if places is None else places[number]
        if still is not None:
            middle = hands[still] + (0.5 - still) * short
        share = np.clip(1 - np.abs(here - inside) / max(fade, 1), 0.0, 1.0)
        share = share * share * (3 - 2 * share)
        for person, side, sign in ((0, hold.first, -0.5), (1, hold.second, 0.5)):
            total[person, side] += share[:, None] * (middle + sign * short - hands[person])
            weights[person, side] += share
    return total / np.maximum(weights, 1.0)[..., None]


def _coherence(
    one: Float[ndarray, "frames 3"], other: Float[ndarray, "frames 3"], fps: float
) -> Float[ndarray, " frames"]:
    """1 for velocities that are the same, 0 for unrelated, -1 for opposite ones; what is slow counts as the same."""
    sigma = WINDOW * fps
    common = gaussian_filter1d(2 * (one * other).sum(-1), sigma, mode="nearest") + SLOW**2
    return common / (gaussian_filter1d((one**2 + other**2).sum(-1), sigma, mode="nearest") + SLOW**2)


def _closed(steps: Bool[ndarray, " frames"], fps: float) -> list[tuple[int, int]]:
    """Runs of True that are long enough, after pauses that are too short were filled."""
    runs: list[tuple[int, int]] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], steps, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] <= PAUSE * fps:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return [(start, stop) for start, stop in runs if stop - start >= SHORTEST * fps]


def _poses(motion: Motion, rest: torch.Tensor) -> list[Pose]:
    return [pose_of(motion.rotations[one], motion.root[one], rest[one]) for one in range(motion.actors)]


def _palms(pose: Pose, rest: torch.Tensor) -> Float[ndarray, "frames 2 3"]:
    centres = []
    for arm, knuckle in zip(ARMS, KNUCKLES, strict=True):
        offset = PALM * (rest[knuckle] - rest[arm.end]).numpy()
        centres.append(pose.places[:, arm.end] + turn(pose.turns[:, arm.end], offset))
    return np.stack(centres, 1)


def _rest(motion: Motion, body: BodyModel | None) -> torch.Tensor:
    shapes = torch.from_numpy(np.asarray(motion.betas, np.float32))
    return (body or load_body()).rest_joints(shapes).double()


def _need_two(motion: Motion) -> None:
    if motion.actors != 2:
        raise LabanError(f"motion: holds {motion.actors} people; accepted: 2")
