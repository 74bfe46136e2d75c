"""How a source's joint frames sit in its body: constant turns per joint, found from its rest pose or its motion.

A joint's world frame in the file is arbitrary: the bone may lie along any axis of it. For each of the 22 joints
`Calibration.turns[k]` completes it, so that `frame @ turns[k]` is the world rotation of the SMPL-X joint. A rest pose
that is a standing figure gives the turns by straightening it into the T-pose, bone by bone, without twist. Other rest
poses (bones along one axis, as in files that keep the bind pose elsewhere) say nothing; then the motion does: elbows
and knees are hinges, so the axis about which they bend fixes the twist of both their bones, and trunk, head and feet
are taken level on average over the frames in which the person stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from models.body.retarget_source import LIMBS, SourceTracks, natural_axis
from models.body.skeleton import JOINT, NUM_BODY
from models.body.vectors import axis_rotation, frame, mean_rotation, swing, turn, unit

_UP = np.array([0.0, 1.0, 0.0])
_ENOUGH = 10
_HINGE_FRAMES = 90
_SHIFT = 0.06
_NATURAL = 0.02
_MOST = 20000


@dataclass(frozen=True)
class Calibration:
    """Constant turn of each of the 22 joints, and the height of standing feet as a fraction of the leg's length."""

    turns: Float[ndarray, "22 3 3"]
    toe_height: float
    ankle_height: float
    from_rest: bool


def calibrate(tracks: Sequence[SourceTracks], target: Float[ndarray, "22 3"]) -> Calibration:
    """Calibration of one skeleton from all its clips (the more, the better); `target` is the T-pose to reach."""
    for track in tracks:
        track.check()
    sample = _sample(tracks)
    places, turned, speed = sample
    rest = tracks[0].rest
    standing = False
    turns = np.broadcast_to(np.eye(3), (NUM_BODY, 3, 3)).copy()
    if rest is not None and is_standing(rest):
        standing = True
        still = rest.astype(np.float64)[None], np.broadcast_to(np.eye(3), (1, NUM_BODY, 3, 3))
        _trunk_turns(turns, *still, target)
        _limb_turns_from_rest(turns, still[0][0], target)
        _limb_turns_from_motion(turns, places, turned, target, least=_HINGE_FRAMES)
    else:
        upright = _upright(places)
        _trunk_turns(turns, places[upright], turned[upright], target)
        _limb_turns_from_motion(turns, places, turned, target, least=0)
    toes, ankles = _feet_turns(turns, sample, target, standing=standing)
    return Calibration(turns=turns, toe_height=toes, ankle_height=ankles, from_rest=standing)


def is_standing(rest: Float[ndarray, "22 3"]) -> bool:
    """Whether a rest pose is a person standing: trunk upright, legs below, toes ahead, arms beside or below."""
    trunk, side, forward = _axes(rest)
    left, right = rest[JOINT["left_wrist"]], rest[JOINT["right_wrist"]]
    good = trunk[1] > 0.9 and (left - right) @ side > 0 and (rest[JOINT["head"]] - rest[JOINT["neck"]]) @ trunk > 0
    for name in ("left", "right"):
        shoulder, elbow, wrist = (rest[JOINT[f"{name}_{part}"]] for part in ("shoulder", "elbow", "wrist"))
        leg = unit(rest[JOINT[f"{name}_ankle"]] - rest[JOINT[f"{name}_hip"]])
        toe = unit(rest[JOINT[f"{name}_foot"]] - rest[JOINT[f"{name}_ankle"]])
        straight = unit(elbow - shoulder) @ unit(wrist - elbow) > 0.7
        good = good and leg @ trunk < -0.8 and toe @ forward > 0.3 and unit(wrist - shoulder)[1] < 0.5 and straight
    return bool(good)


def _axes(places: Float[ndarray, "*frames 22 3"]) -> tuple[ndarray, ndarray, ndarray]:
    """Directions of the trunk (mid-hips to neck), its left side, and forward."""
    middle = (places[..., JOINT["left_hip"], :] + places[..., JOINT["right_hip"], :]) / 2
    axes = frame(places[..., JOINT["neck"], :] - middle, places[..., JOINT["left_hip"], :] - middle)
    return axes[..., 1], axes[..., 0], axes[..., 2]


def _sample(tracks: Sequence[SourceTracks]) -> tuple[ndarray, ndarray, ndarray]:
    """Up to 20,000 frames of all clips at the leg length of one metre: places, turned, joint speeds per second."""
    stride = max(1, sum(len(t.places) for t in tracks) // _MOST)
    parts = []
    for track in tracks:
        places = track.places / track.leg
        speed = (
            np.linalg.norm(np.gradient(places, axis=0), axis=-1) * track.fps if len(places) > 1 else 0 * places[..., 0]
        )
        parts.append((places[::stride], track.turned[::stride], speed[::stride]))
    places, turned, speed = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return places, turned, speed


def _upright(places: Float[ndarray, "frames 22 3"]) -> Bool[ndarray, " frames"]:
    """Frames in which the person stands upright: trunk and thighs near vertical; failing that, the nearest to it."""
    trunk, _, _ = _axes(places)
    score = trunk[:, 1]
    for upper, hinge, end, _ in LIMBS[:2]:
        for a, b in ((upper, hinge), (hinge, end)):
            score = np.minimum(score, unit(places[:, JOINT[a]] - places[:, JOINT[b]])[:, 1])
    return score >= min(0.9, np.quantile(score, 1 - min(1.0, max(_ENOUGH / len(score), 0.05))))


def _trunk_turns(
    turns: Float[ndarray, "22 3 3"],
    places: Float[ndarray, "frames 22 3"],
    turned: Float[ndarray, "frames 22 3 3"],
    target: Float[ndarray, "22 3"],
) -> None:
    """Pelvis, chest, head: on average over upright frames as in the T-pose; collars too while the arms hang."""
    trunk, hips, _ = _axes(places)
    goal = np.stack(_axes(target)[1::-1] + (_axes(target)[2],), axis=-1)
    shoulders = places[:, JOINT["left_shoulder"]] - places[:, JOINT["right_shoulder"]]
    for names, side in ((("pelvis", "spine1"), hips), (("spine2", "spine3", "neck", "head"), shoulders)):
        wanted = frame(trunk, side) @ goal.T
        for name in names:
            turns[JOINT[name]] = mean_rotation((turned[:, JOINT[name]].swapaxes(-1, -2) @ wanted).sum(0))
    chest = turned[:, JOINT["spine3"]] @ turns[JOINT["spine3"]]
    for side in ("left", "right"):
        arm = unit(places[:, JOINT[f"{side}_elbow"]] - places[:, JOINT[f"{side}_shoulder"]])[:, 1]
        hanging = arm <= max(-0.5, float(np.quantile(arm, min(1.0, _ENOUGH / len(arm)))))
        collar = turned[hanging, JOINT[f"{side}_collar"]].swapaxes(-1, -2)
        turns[JOINT[f"{side}_collar"]] = mean_rotation((collar @ chest[hanging]).sum(0))


def _limb_turns_from_rest(
    turns: Float[ndarray, "22 3 3"], rest: Float[ndarray, "22 3"], target: Float[ndarray, "22 3"]
) -> None:
    """Each limb bone turned from the T-pose to the rest pose by the shortest way, on top of its parent's turn."""
    for upper, hinge, end, _ in LIMBS:
        turning = turns[JOINT["pelvis" if end.endswith("ankle") else "spine3"]]
        for bone, tip in ((upper, hinge), (hinge, end)):
            goal = unit(target[JOINT[tip]] - target[JOINT[bone]])
            turning = swing(turning @ goal, unit(rest[JOINT[tip]] - rest[JOINT[bone]])) @ turning
            turns[JOINT[bone]] = turning
        turns[JOINT[end]] = turning


def _limb_turns_from_motion(
    turns: Float[ndarray, "22 3 3"],
    places: Float[ndarray, "frames 22 3"],
    turned: Float[ndarray, "frames 22 3 3"],
    target: Float[ndarray, "22 3"],
    *,
    least: int,
) -> None:
    """Limb bones by their mean direction and the mean axis of their hinge; hands are straight on average.

    With `least` above zero the rest pose has spoken already: limbs bent in fewer frames, and hands, keep its answer.
    """
    for upper, hinge, end, axis in LIMBS:
        first = unit(places[:, JOINT[hinge]] - places[:, JOINT[upper]])
        second = unit(places[:, JOINT[end]] - places[:, JOINT[hinge]])
        bend = np.cross(first, second)
        bent = np.linalg.norm(bend, axis=-1, keepdims=True) > 0.25
        if bent.sum() < least:
            continue
        trunk = JOINT["pelvis" if end.endswith("ankle") else "spine3"]
        natural = natural_axis(first, turned[:, trunk] @ turns[trunk], np.array(axis))
        bend = bend * bent + _NATURAL * natural  # what is left to say about limbs that never bend
        for bone, tip, direction in ((upper, hinge, first), (hinge, end, second)):
            back = turned[:, JOINT[bone]].swapaxes(-1, -2)
            local = frame(turn(back, direction).mean(0), turn(back, bend).mean(0))
            goal = frame(target[JOINT[tip]] - target[JOINT[bone]], np.array(axis))
            turns[JOINT[bone]] = local @ goal.T
        if least:
            continue
        wanted = turned[:, JOINT[hinge]] @ turns[JOINT[hinge]]
        turns[JOINT[end]] = mean_rotation((turned[:, JOINT[end]].swapaxes(-1, -2) @ wanted).sum(0))


def resting_feet(
    places: Float[ndarray, "frames 22 3"], speed: Float[ndarray, "frames 22"], side: str
) -> Bool[ndarray, " frames"]:
    """Frames in which a foot rests flat: slow, low, under an upright shank (at a leg length of one metre)."""
    knee, ankle, toe = (JOINT[f"{side}_{part}"] for part in ("knee", "ankle", "foot"))
    direction = unit(places[:, toe] - places[:, ankle])[:, 1]
    shank = unit(places[:, ankle] - places[:, knee])[:, 1]
    low = places[:, ankle, 1] < np.quantile(places[:, ankle, 1], 0.5) + 0.02
    slow = (speed[:, ankle] < 0.2) & (speed[:, toe] < 0.2)
    return slow & low & (shank < -0.85) & (direction < 0.2) & (direction > -0.7)


def floor_shift(tracks: SourceTracks, calibration: Calibration) -> float:
    """How far (metres) a clip's resting feet stand above where those of its skeleton usually do; 0 if none rests."""
    places, _, speed = _sample([tracks])
    heights = [places[resting_feet(places, speed, side), JOINT[f"{side}_foot"], 1] for side in ("left", "right")]
    resting = np.concatenate(heights)
    if len(resting) < _ENOUGH:
        return 0.0
    return float(np.clip(np.median(resting) - calibration.toe_height, -_SHIFT, _SHIFT)) * tracks.leg


def _feet_turns(
    turns: Float[ndarray, "22 3 3"],
    sample: tuple[ndarray, ndarray, ndarray],
    target: Float[ndarray, "22 3"],
    *,
    standing: bool,
) -> tuple[float, float]:
    """Soles level while a foot rests under an upright shank; returns the heights of toe and ankle then."""
    places, turned, speed = sample
    heights = []
    for side in ("left", "right"):
        knee, ankle, toe = (JOINT[f"{side}_{part}"] for part in ("knee", "ankle", "foot"))
        direction = unit(places[:, toe] - places[:, ankle])
        resting = resting_feet(places, speed, side)
        if resting.sum() >= _ENOUGH:
            flat, rotation = direction[resting], turned[resting, ankle]
            heights.append(np.median(places[resting][:, (toe, ankle), 1], axis=0))
        else:
            flat, rotation = direction, turned[:, ankle]
        goal = target[toe] - target[ankle]
        heading = np.arctan2(flat[:, 0], flat[:, 2]) - np.arctan2(goal[0], goal[2])
        if resting.sum() >= _ENOUGH:
            wanted = axis_rotation(_UP, heading)
            turns[ankle] = mean_rotation((rotation.swapaxes(-1, -2) @ wanted).sum(0))
        else:
            _foot_turn_from_bones(turns, (knee, ankle, toe), sample, target)
        turns[toe] = turns[ankle]
    if not heights:
        return 0.03, 0.1
    toe_height, ankle_height = np.mean(heights, axis=0)
    return float(toe_height), float(ankle_height)


def _foot_turn_from_bones(
    turns: Float[ndarray, "22 3 3"],
    joints: tuple[int, int, int],
    sample: tuple[ndarray, ndarray, ndarray],
    target: Float[ndarray, "22 3"],
) -> None:
    """A foot that never rests: its toe lies where the T-pose's does, its side along the knee's axis on average."""
    knee, ankle, toe = joints
    places, turned, _ = sample
    back = turned[:, ankle].swapaxes(-1, -2)
    side = (turned[:, knee] @ turns[knee])[..., :, 0]
    local = frame(turn(back, unit(places[:, toe] - places[:, ankle])).mean(0), turn(back, side).mean(0))
    turns[ankle] = local @ frame(target[toe] - target[ankle], np.array([1.0, 0.0, 0.0])).T
