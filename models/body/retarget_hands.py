"""Fingers: carried over where a skeleton has them and its rest pose shows them straight."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from models.body.clip import SkeletonClip
from models.body.model import BodyModel, load_body
from models.body.retarget_map import read_name
from models.body.skeleton import JOINT, NUM_JOINTS
from models.body.vectors import swing, turn, unit

_FINGERS = {"thumb": "thumb", "index": "index", "middle": "middle", "mid": "middle", "ring": "ring", "pinky": "pinky",
            "little": "pinky", "pinkie": "pinky"}  # fmt: skip
_FINGER = re.compile("|".join(sorted(_FINGERS, key=len, reverse=True)))
_PHALANGES = 3


def finger_joints(clip: SkeletonClip) -> dict[str, int]:
    """SMPL-X finger joints ("left_index1" …) and the skeleton's joints for them, by name.

    In a chain of more than three the last joint is taken for the finger's tip; what precedes three phalanges is in the
    palm.
    """
    chains: dict[tuple[str, str], list[int]] = defaultdict(list)
    for joint, name in enumerate(clip.names):
        side, words = read_name(name)
        found = _FINGER.search(words)
        if side and found and not words.endswith(("end", "tip", "nub", "metacarpal")):
            chains[side, _FINGERS[found[0]]].append(joint)
    result = {}
    for (side, finger), joints in chains.items():
        tipped = len(joints) > _PHALANGES and joints[-1] not in clip.parents
        kept = joints[:-1] if tipped else joints
        for number, joint in enumerate(kept[-_PHALANGES:], start=1):
            result[f"{side}_{finger}{number}"] = joint
    return result


def finger_rotations(
    clip: SkeletonClip,
    turned: Float[ndarray, "frames joints 3 3"],
    hands: dict[str, tuple[int, Float[ndarray, "3 3"]]],
    body: BodyModel | None = None,
) -> tuple[Float[ndarray, "frames 55 3 3"], Bool[ndarray, " 55"]]:
    """Local SMPL-X rotations of the fingers (identity elsewhere), and which joints they are.

    `turned` are the clip's world rotations, `hands` for "left" and "right" the hand's joint and the turn that completes
    its frame to that of the SMPL-X wrist (`Calibration.turns`). Fingers are straightened from their rest pose to the
    body's, bone by bone, without twist.
    """
    rest = (body or load_body()).joint_template.numpy()
    local = np.broadcast_to(np.eye(3, dtype=np.float32), (len(turned), NUM_JOINTS, 3, 3)).copy()
    mask = np.zeros(NUM_JOINTS, bool)
    found = finger_joints(clip)
    places = clip.rest_joints()
    for name, joint in found.items():
        side = name.partition("_")[0]
        if side not in hands:
            continue
        above = name[:-1] + str(int(name[-1]) - 1)
        wrist, base = hands[side]
        parent = found.get(above, wrist)
        turning = _finger_turn(clip, places, rest, (name, joint), base)
        before = base if above not in found else _finger_turn(clip, places, rest, (above, found[above]), base)
        relative = turned[:, parent].swapaxes(-1, -2) @ turned[:, joint]
        local[:, JOINT[name]] = before.T @ relative @ turning
        mask[JOINT[name]] = True
    return local, mask


def _finger_turn(
    clip: SkeletonClip,
    places: Float[ndarray, "joints 3"],
    rest: Float[ndarray, "55 3"],
    finger: tuple[str, int],
    base: Float[ndarray, "3 3"],
) -> Float[ndarray, "3 3"]:
    """Turn that completes a finger joint's frame: the hand's, swung so that the body's bone lies along the source's."""
    name, joint = finger
    bone = _bone(clip, places, joint)
    return base if bone is None else swing(turn(base, _along(rest, name)), unit(bone)) @ base


def _along(rest: Float[ndarray, "55 3"], name: str) -> Float[ndarray, " 3"]:
    """Direction of a finger bone of the body; the last phalanx continues the one before."""
    number = int(name[-1])
    start, end = (number, number + 1) if number < _PHALANGES else (number - 1, number)
    return unit(rest[JOINT[f"{name[:-1]}{end}"]] - rest[JOINT[f"{name[:-1]}{start}"]])


def _bone(clip: SkeletonClip, places: Float[ndarray, "joints 3"], joint: int) -> Float[ndarray, " 3"] | None:
    """Vector from a joint to its child in the rest pose, or from its parent to it where it has none."""
    children = [child for child, parent in enumerate(clip.parents) if parent == joint]
    vector = places[children[0]] - places[joint] if children else places[joint] - places[clip.parents[joint]]
    return vector if np.linalg.norm(vector) > 1e-4 else None
