"""Names, parents and groups of the 55 SMPL-X joints; the first 22 are the body joints of SMPL and HumanML3D."""

from __future__ import annotations

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye", "right_eye",
    *(f"{side}_{finger}{k}" for side in ("left", "right")
      for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)),
)  # fmt: skip

PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip

NUM_JOINTS = 55
NUM_BODY = 22
JOINT: dict[str, int] = {name: i for i, name in enumerate(JOINT_NAMES)}


def _mirrored(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return "left_" + name.removeprefix("right_") if name.startswith("right_") else name


MIRROR: tuple[int, ...] = tuple(JOINT[_mirrored(name)] for name in JOINT_NAMES)
"""MIRROR[j] is the joint on the other side of the body."""

PARTS: dict[str, tuple[int, ...]] = {
    "legs": (0, 1, 2, 4, 5, 7, 8, 10, 11),
    "spine": (3, 6, 9),
    "head": (12, 15, 22, 23, 24),
    "left arm": (13, 16, 18, 20, *range(25, 40)),
    "right arm": (14, 17, 19, 21, *range(40, 55)),
}
"""STMC's five body parts (pelvis and root belong to the legs) over the 55 joints; they partition it."""

FEET: tuple[int, ...] = (7, 10, 8, 11)
"""Left ankle, left foot, right ankle, right foot: HumanML3D's contact order."""
