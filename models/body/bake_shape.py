"""From sculpted people to a statistical body: T-pose, joints, shape components and joint regressor.

Everything here is linear algebra on arrays; nothing reads files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from models.body.skeleton import JOINT, NUM_JOINTS, PARENTS

PELVIS = np.array([0.0, -0.35, 0.01])
"""Where every shape's pelvis is put: SMPL-X's origin is near the throat, so its translations carry over unchanged."""

PELVIS_HEIGHT = 0.45
"""Height of the pelvis joint between the hip line (0) and the navel (1)."""

REGRESSOR_VERTICES = 700
"""How many of the nearest vertices a joint is found from: several times the number of equations it must meet."""

REGRESSOR_RIDGE = 3e-4
"""Keeps the regressor's weights small, so that it does not amplify rounding; costs about a millimetre."""

TEMPLATE_WEIGHT = 100.0
"""How much more the average shape's joints count than those of a component: they come out exact to a micrometre."""

KNEE_SPLAY = np.radians(4.0)
_SIDES = (("left", 1.0), ("right", -1.0))


@dataclass(frozen=True)
class TPose:
    """A person in T-pose, and the rotations that lead from there to the sculpted pose."""

    vertices: Float[ndarray, "points 3"]
    joints: Float[ndarray, "55 3"]
    rest: Float[ndarray, "55 3 3"]


@dataclass(frozen=True)
class ShapeSpace:
    """Template and principal components of vertices and joints, one standard deviation long each."""

    vertices: Float[ndarray, "points 3"]
    joints: Float[ndarray, "55 3"]
    vertex_components: Float[ndarray, "points 3 components"]
    joint_components: Float[ndarray, "55 3 components"]
    explained: float


def joint_positions(
    vertices: Float[ndarray, "points 3"], cubes: tuple[Int[ndarray, " corners"], ...]
) -> Float[ndarray, "55 3"]:
    """Joint centres: means of the marker cubes; the pelvis lies between the hips, a little above their line."""
    joints = np.stack([vertices[cube].mean(0) for cube in cubes])
    hips = (joints[JOINT["left_hip"]] + joints[JOINT["right_hip"]]) / 2
    joints[0] = hips + PELVIS_HEIGHT * (joints[JOINT["spine1"]] - hips)
    joints[0, 0] = 0
    return joints


def _unit(vector: Float[ndarray, "3"]) -> Float[ndarray, "3"]:
    return vector / np.linalg.norm(vector)


def _frame(primary: Float[ndarray, "3"], secondary: Float[ndarray, "3"]) -> Float[ndarray, "3 3"]:
    x = _unit(primary)
    z = _unit(secondary - (secondary @ x) * x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _align(source: tuple[ndarray, ndarray], target: tuple[ndarray, ndarray]) -> Float[ndarray, "3 3"]:
    """Rotation that takes one pair of directions to another: the first exactly, the second as near as it can."""
    return _frame(*target) @ _frame(*source).T


def _straighten_arm(joints: Float[ndarray, "55 3"], turns: Float[ndarray, "55 3 3"], side: str, x: float) -> None:
    """Arm along the side axis, elbow crease and palm so that the elbow bends forward and the palm looks down."""

    def at(name: str) -> Float[ndarray, "3"]:
        return joints[JOINT[f"{side}_{name}"]]

    out, ahead = np.array([x, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    upper, fore, hand = at("elbow") - at("shoulder"), at("wrist") - at("elbow"), at("middle1") - at("wrist")
    across = at("index1") - at("pinky1")
    turns[JOINT[f"{side}_shoulder"]] = _align((upper, fore), (out, ahead))
    turns[JOINT[f"{side}_wrist"]] = wrist = _align((hand, across), (out, ahead))
    turns[JOINT[f"{side}_elbow"]] = _align((fore, across), (out, ahead))
    for finger in ("index", "middle", "pinky", "ring"):
        spread = (wrist @ (at(f"{finger}1") - at("middle1")))[2]
        turn = wrist
        for k in (1, 2, 3):
            bone = at(f"{finger}{k + 1}") - at(f"{finger}{k}") if k < 3 else None
            if bone is not None:
                turn = _align((bone, across), (out + [0, 0, 3 * spread], ahead))
            turns[JOINT[f"{side}_{finger}{k}"]] = turn
    for k in (1, 2, 3):
        turns[JOINT[f"{side}_thumb{k}"]] = wrist


def _straighten_leg(joints: Float[ndarray, "55 3"], turns: Float[ndarray, "55 3 3"], side: str, x: float) -> None:
    """Thigh a few degrees outwards, shin upright in the front view, foot as sculpted (flat on the floor)."""
    hip, knee, ankle = (joints[JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
    ahead = np.array([0.0, 0.0, 1.0])
    thigh, shin = knee - hip, ankle - knee
    splayed = np.array([-x * thigh[1] * np.tan(KNEE_SPLAY), thigh[1], thigh[2]])
    turns[JOINT[f"{side}_hip"]] = _align((thigh, ahead), (splayed, ahead))
    turns[JOINT[f"{side}_knee"]] = _align((shin, ahead), (np.array([0.0, shin[1], shin[2]]), ahead))


def to_t_pose(
    vertices: Float[ndarray, "points 3"], joints: Float[ndarray, "55 3"], weights: Float[ndarray, "points 55"]
) -> TPose:
    """The T-pose whose linear blend skinning gives back the sculpted pose exactly.

    Skinning forwards would pinch the shoulders twice: once here and once more when an animation lowers the arms. So
    the blended matrix of every vertex is inverted instead, and lowered arms look as they were sculpted.
    """
    turns = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    for side, x in _SIDES:
        _straighten_arm(joints, turns, side, x)
        _straighten_leg(joints, turns, side, x)
    posed = joints.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            posed[joint] = posed[parent] + turns[parent] @ (joints[joint] - joints[parent])
    back = turns.transpose(0, 2, 1)
    shift = joints - np.einsum("jab,jb->ja", back, posed)
    blend = np.einsum("vj,jab->vab", weights, back)
    moved = np.linalg.solve(blend, (vertices - weights @ shift)[..., None])[..., 0]
    local = np.stack([back[j] if p < 0 else back[p].T @ back[j] for j, p in enumerate(PARENTS)])
    offset = PELVIS - posed[0]
    return TPose(moved + offset, posed + offset, local)


def shape_space(neutral: TPose, people: list[TPose], components: int) -> ShapeSpace:
    """Principal components of `people` about their mean, carried to the neutral person; positive is taller."""
    vertices = np.stack([person.vertices for person in people])
    joints = np.stack([person.joints for person in people])
    spread = (vertices - vertices.mean(0)).reshape(len(people), -1)
    scores, strength, _ = np.linalg.svd(spread, full_matrices=False)
    basis = scores[:, :components] * np.sqrt(len(people) - 1)
    tall = np.sign(basis.T @ (np.ptp(vertices[..., 1], axis=1) - np.ptp(vertices[..., 1], axis=1).mean()))
    basis = basis * np.where(tall == 0, 1, tall) / (len(people) - 1)
    explained = float((strength[:components] ** 2).sum() / (strength**2).sum())
    return ShapeSpace(
        neutral.vertices,
        neutral.joints,
        np.einsum("nvd,nk->vdk", vertices - vertices.mean(0), basis),
        np.einsum("njd,nk->jdk", joints - joints.mean(0), basis),
        explained,
    )


def joint_regressor(space: ShapeSpace, expressions: Float[ndarray, "points 3 actions"]) -> Float[ndarray, "55 points"]:
    """Sparse weights, summing to 1, that find each joint from the vertices near it.

    They are the smallest weights that meet template and every component at once (expressions must not move a joint),
    so the joints of any shape in the space come out right, not only those of the people that were sampled.
    """
    zeros = np.zeros((NUM_JOINTS, *expressions.shape[1:]))
    values = np.concatenate([space.vertices[..., None], space.vertex_components, expressions], axis=2)
    wanted = np.concatenate([space.joints[..., None], space.joint_components, zeros], axis=2)
    fits = [_fit_joint(values, wanted[j], space.vertices, space.joints[j]) for j in range(NUM_JOINTS)]
    return np.stack(fits)


def _fit_joint(
    values: Float[ndarray, "points 3 terms"],
    wanted: Float[ndarray, "3 terms"],
    vertices: Float[ndarray, "points 3"],
    place: Float[ndarray, "3"],
) -> Float[ndarray, " points"]:
    near = np.argsort(np.linalg.norm(vertices - place, axis=1))[:REGRESSOR_VERTICES]
    centred = values[near].copy()
    target = wanted.copy()
    centred[..., 0] -= place
    target[:, 0] = 0
    weigh = np.ones(target.shape)
    weigh[:, 0] = TEMPLATE_WEIGHT
    rows = (centred * weigh).reshape(len(near), -1).T
    system = np.vstack([rows, np.full(len(near), TEMPLATE_WEIGHT)])
    gram = system @ system.T + REGRESSOR_RIDGE**2 * np.eye(len(system))
    weights = system.T @ np.linalg.solve(gram, np.append((target * weigh).ravel(), TEMPLATE_WEIGHT))
    result = np.zeros(len(vertices))
    result[near] = weights / weights.sum()
    return result
