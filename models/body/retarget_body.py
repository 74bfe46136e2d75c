"""The body that a retargeting must reach: rest joints, soles, and how far its skin reaches around each bone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.model import BodyModel, load_body
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS, PARENTS
from models.body.vectors import unit


@dataclass(frozen=True)
class TargetBody:
    """Rest joints of a body (SMPL-X order, metres), the height of its soles in the same coordinates, and `hulls`: per
    joint the outermost points of the skin that moves with it, from the joint."""

    joints: Float[ndarray, "22 3"]
    floor: float
    hulls: tuple[Float[ndarray, "_ 3"], ...]

    def bone(self, start: str, end: str) -> Float[ndarray, " 3"]:
        """Vector from one rest joint to another."""
        return self.joints[JOINT[end]] - self.joints[JOINT[start]]

    def sole(self, part: str) -> float:
        """Height above the soles of "foot" (base of the toes) or "ankle", the mean of both sides."""
        return float(self.joints[[JOINT[f"left_{part}"], JOINT[f"right_{part}"]], 1].mean() - self.floor)

    def heights(
        self, world: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"]
    ) -> Float[ndarray, "frames 22"]:
        """Height of every joint, metres, of a pose given by world rotations and the pelvis."""
        heights = np.empty((len(world), NUM_BODY), np.float32)
        heights[:, 0] = pelvis[:, 1]
        for joint in range(1, NUM_BODY):
            parent = PARENTS[joint]
            heights[:, joint] = heights[:, parent] + world[:, parent, 1] @ (self.joints[joint] - self.joints[parent])
        return heights

    def lowest(
        self, world: Float[ndarray, "frames 22 3 3"], heights: Float[ndarray, "frames 22"], joint: int
    ) -> Float[ndarray, " frames"]:
        """Height of the lowest skin around a joint, as if its skin were rigid."""
        return heights[:, joint] + (world[:, joint, 1] @ self.hulls[joint].T).min(axis=1)


def target_body(body: BodyModel | None = None) -> TargetBody:
    """The average shape of a body (None: the default body) as a target."""
    return _target(body or load_body())


@lru_cache(maxsize=4)
def _target(body: BodyModel) -> TargetBody:
    joints, skin = body.joint_template[:NUM_BODY].numpy(), body.v_template.numpy()
    owner = _carriers()[body.weights.numpy().argmax(axis=1)]
    hulls = tuple(_outermost(skin[owner == joint] - joints[joint]) for joint in range(NUM_BODY))
    return TargetBody(joints, float(skin[:, 1].min()), hulls)


def _carriers() -> ndarray:
    """For each of the 55 joints the body joint that carries it: the head for the face, the wrists for the fingers."""
    carrier = np.arange(NUM_JOINTS)
    for joint in range(NUM_BODY, NUM_JOINTS):
        carrier[joint] = carrier[PARENTS[joint]]
    return carrier


def _outermost(points: Float[ndarray, "count 3"]) -> Float[ndarray, "_ 3"]:
    """The points that reach farthest in some direction of a grid of 98; the origin alone where there are none."""
    if not len(points):
        return np.zeros((1, 3), np.float32)
    grid = np.array(np.meshgrid(*[np.linspace(-1, 1, 5)] * 3), np.float32).reshape(3, -1).T
    directions = unit(grid[np.abs(grid).max(axis=1) == 1])
    return points[np.unique((points @ directions.T).argmax(axis=0))]
