"""Skinning weights for game engines: at most four joints a vertex, chosen so that the skin keeps its shape in motion.

To keep the four largest would notch the neckline: a small weight of the arm, which swings far, would go before a larger
one of the spine, which hardly bends.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS, PARENTS

INFLUENCES = 4

_SWING = {
    "spine1": 0.1, "spine2": 0.1, "spine3": 0.1, "neck": 0.25, "head": 0.27, "collar": 0.16, "shoulder": 0.92,
    "elbow": 0.69, "wrist": 0.37, "hip": 0.46, "knee": 0.43, "ankle": 0.5, "foot": 0.13,
}  # fmt: skip
"""How far a joint turns against its parent in captured motion: root mean square about the mean, radians."""

_OTHER_SWING = 0.3


def limit_influences(weights: Float[ndarray, "vertices 55"]) -> Float[ndarray, "vertices 55"]:
    """The same weights with at most `INFLUENCES` joints a vertex; rows that need no change are left as they are.

    The joint that is missed least gives its weight to the joint that moves most like it, until few enough are left.
    A row's result depends on that row alone, so vertices that share their weights stay together.
    """
    apart = _swing_apart()
    result = weights.copy()
    for vertex in np.flatnonzero((weights > 0).sum(1) > INFLUENCES):
        row = result[vertex]
        while (row > 0).sum() > INFLUENCES:
            _drop_one(row, apart)
    return result


def _swing_apart() -> Float[ndarray, "55 55"]:
    """How far two joints turn against each other: the swings of all joints on the way through the tree, radians."""
    swing = np.array([_SWING.get(name.split("_")[-1], _OTHER_SWING) for name in JOINT_NAMES])
    above = np.zeros((NUM_JOINTS, NUM_JOINTS), bool)
    for joint, parent in enumerate(PARENTS):
        above[joint] = above[parent] if parent >= 0 else False
        above[joint, joint] = True
    return (above[:, None] ^ above[None]) @ swing


def _drop_one(row: Float[ndarray, " 55"], apart: Float[ndarray, "55 55"]) -> None:
    """Give away, in place, the weight that is missed least; left and right go together where they weigh the same."""
    joints = np.flatnonzero(row)
    distance = apart[np.ix_(joints, joints)]
    np.fill_diagonal(distance, np.inf)
    loss = row[joints] * distance.min(1)
    first = joints[np.argmin(loss)]
    dropped = [first, MIRROR[first]] if np.isclose(row[first], row[MIRROR[first]], rtol=1e-3) else [first]
    kept = np.setdiff1d(joints, dropped)
    for joint in set(dropped):
        nearest = kept[np.isclose(apart[joint, kept], apart[joint, kept].min())]
        row[nearest] += row[joint] * row[nearest] / row[nearest].sum()
        row[joint] = 0
