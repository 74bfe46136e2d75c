"""How a body sits or lies on a piece of furniture: by its own proportions, touching what carries it and in nothing.

Geometry and no learning. A pose is put together from the seat (`seats.seat_of`) and the lengths of the body's bones,
and then fitted for a second: by gradients through the skinned body and the object's signed distance, all of its surface
kept out of the object and the floor, buttocks to the seat, back to the back rest, soles to the floor, and every joint
as near to where it was as that allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.limbs import ARMS, bend, pose_of
from models.body.model import BodyModel
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS, PARENTS
from models.body.skinning import skin
from models.body.vectors import axis_rotation
from models.rotations import axis_angle_to_matrix, yaw_rotation
from models.scene.distance import SdfGrid, sdf_of
from models.scene.scene import Scene, SceneObject
from models.scene.seats import Seat, bed_of, seat_of

VERTICES = 10_475
"""Of the body by which penetration is stated, as in DIMOS's tables."""
TOUCH = 0.01
"""Metres within which skin touches something."""
FLESH = 0.10
"""Metres of flesh below a hip joint of somebody who sits, before it is measured."""
ABDUCTION = 0.10
"""Radians that a knee points outwards."""
STEPS, LYING, RATE = 70, 150, 0.012
"""Of the fitting: Adam steps, those of somebody who lies, and radians or metres that the first ones go."""
SPARSE = 3
"""Every third vertex is fitted."""
ARM: tuple[int, ...] = (16, 17, 18, 19)
"""Shoulders and elbows, which give way more easily than the rest."""
SIDES: tuple[tuple[int, tuple[int, int, int]], ...] = ((1, (16, 18, 20)), (-1, (17, 19, 21)))
"""The side of +X and the other, with shoulder, elbow and wrist."""
SOLES: tuple[tuple[int, ...], ...] = ((7, 10), (8, 11))
LAID: tuple[tuple[int, ...], ...] = ((4, 7), (5, 8), (15,), (20, *range(25, 40)), (21, *range(40, 55)))
"""Joints whose skin rests on the floor of somebody who sits, and on the bed of somebody who lies: legs, head, hands."""
HANDS: tuple[tuple[int, tuple[int, int]], ...] = ((20, (1, 4)), (21, (2, 5)))
"""Wrists, each with the hip and knee of the thigh that its hand lies on."""
KNEES, BACKWARD = [JOINT["left_knee"], JOINT["right_knee"]], 20.0
"""Knees, and what a squared radian of bending straight ones backwards costs."""
COARSE = 0.02
"""Metres by which distances in a whole room may be wrong."""
CELLS = 80
"""Nodes of an object's own distance grid along each axis."""

Rotations = Float[ndarray, "22 3 3"]
Distance = Callable[[Float[Tensor, "*points 3"]], Float[Tensor, " *points"]]


@dataclass(frozen=True)
class GoalPose:
    """A body on an object, in the world."""

    rotations: Float[Tensor, "22 3 3"]
    """Local rotations of the body joints, the pelvis in the world."""
    pelvis: Float[Tensor, "3"]
    """Place of the pelvis joint, which is not SMPL-X `transl`."""
    joints: Float[Tensor, "22 3"]
    penetration: float
    """Metres: sum over vertices of how deep they are in the object, scaled to 10,475 vertices (DIMOS's measure)."""
    contact: bool
    """Whether what carries the body touches it: within `TOUCH`."""
    seat: Seat
    lies: bool = False


def sitting_pose(
    scene: Scene, thing: SceneObject, body: BodyModel, *, seat: Seat | None = None, around: Distance | None = None
) -> GoalPose:
    """Somebody who sits on an object with the feet on the floor, hands on the thighs, leaning on a back rest if any.

    On seats too high for the feet to reach the floor they hang. `around` is the distance from everything in the room:
    nobody's knees are in the table. LabanError where the object has no place to sit.
    """
    seat = seat or seat_of(thing, scene)
    rest = body.joint_template[:NUM_BODY].numpy().astype(np.float64)
    turns, pelvis = _sat(seat, rest, _soles(body, rest))
    return _fitted(scene, thing, body, seat, turns, pelvis, _Touching(soles=True, around=around))


def lying_pose(scene: Scene, thing: SceneObject, body: BodyModel, *, seat: Seat | None = None) -> GoalPose:
    """Somebody who lies on the back on an object, head at its head end, arms beside. LabanError as `sitting_pose`."""
    seat = seat or bed_of(thing, scene)
    rest = body.joint_template[:NUM_BODY].numpy().astype(np.float64)
    turns = _global(rest)
    laid = _about(0, -math.pi / 2)
    turns = laid @ turns
    for side, arm in SIDES:
        for joint in arm:
            turns[joint] = laid @ _about(2, -side * 1.15)
    turns[9] = laid @ _about(0, 0.1)
    turns[[12, 15]] = laid @ _about(0, 0.35)
    tall = float(np.ptp(body.v_template[:, 1].numpy()))
    head_free = max(0.05, (seat.depth - tall) / 2)
    back = seat.depth - head_free - (float(body.v_template[:, 1].max()) - rest[0, 1])
    pelvis = np.array([0.0, seat.height + 0.13, -back])
    return _fitted(scene, thing, body, seat, turns, pelvis, _Touching(soles=False))


def penetration_of(vertices: Float[Tensor, "vertices 3"], distance: SdfGrid) -> float:
    """Sum over vertices of their depth in something, metres, scaled to DIMOS's 10,475 vertices."""
    return float((-distance(vertices)).clamp_min(0).sum()) * VERTICES / len(vertices)


def posed(
    body: BodyModel, rotations: Float[Tensor, "people 22 3 3"], pelvis: Float[Tensor, "people 3"]
) -> Float[Tensor, "people vertices 3"]:
    """The body's surface, with relaxed hands, from rotations of the body joints and the place of the pelvis joint."""
    rest = rotations.new_zeros(len(rotations), NUM_JOINTS - NUM_BODY, 3)
    if body.hand_mean is not None:
        rest[:, -30:] = body.hand_mean
    whole = torch.cat([rotations, axis_angle_to_matrix(rest)], 1)
    return skin(body, whole, pelvis - body.joint_template[0]).vertices


# ---------------------------------------------------------------------------------------------- poses in a seat's frame


def _sat(seat: Seat, rest: Float[ndarray, "22 3"], soles: float) -> tuple[Rotations, Float[ndarray, "3"]]:
    """(global rotations, pelvis) of somebody on a seat, in its frame; `soles` are metres from an ankle to the floor."""
    thigh, shank = (float(np.linalg.norm(rest[b] - rest[a])) for a, b in ((1, 4), (4, 7)))
    hip = seat.height + FLESH
    lean = _lean(seat)
    slope, tilt = _leg(hip, thigh, shank, soles)
    over = 0.06 + max(0.0, seat.height - (shank + soles - 0.07)) * 2  # high seats are sat on near the edge
    hip_z = min(over - thigh * math.cos(slope), -0.12)
    if seat.rest:
        hip_z = max(hip_z, -seat.depth + 0.13)
    turns = _global(rest)
    upper = _about(0, -lean)
    for joint in (0, 3, 6, 9, 13, 14):
        turns[joint] = upper
    turns[0] = _about(0, -min(lean + 0.12, 0.4))
    turns[12] = _about(0, -0.5 * lean)
    for side, (up, low, foot, toe) in ((1, (1, 4, 7, 10)), (-1, (2, 5, 8, 11))):
        out = _about(1, side * ABDUCTION)
        turns[up] = out @ _about(0, -(math.pi / 2 + slope))
        turns[low] = out @ _about(0, -tilt)
        turns[foot] = turns[toe] = out
    offset = turns[0] @ ((rest[1] + rest[2]) / 2 - rest[0])
    pelvis = np.array([0.0, hip, hip_z]) - offset * [0.0, 1.0, 1.0]
    return _hands_on_thighs(turns, pelvis, rest), pelvis


def _lean(seat: Seat) -> float:
    """Radians that the back leans back: upright without a rest, more on deep seats, where the rest is far behind."""
    return 0.06 if not seat.rest else float(np.clip(0.16 + 0.7 * (seat.depth - 0.42), 0.14, 0.32))


def _leg(hip: float, thigh: float, shank: float, soles: float) -> tuple[float, float]:
    """(slope of the thigh, tilt of the shank forward), radians, with the sole on the floor where it reaches it."""
    for tilt in np.arange(0.0, 0.85, 0.05):
        knee = soles + shank * math.cos(tilt)
        slope = math.asin(float(np.clip((knee - hip) / thigh, -0.2, 0.95)))
        if slope <= 0.30 + 0.5 * tilt:
            return slope, float(tilt)
    return slope, float(tilt)


def _hands_on_thighs(turns: Rotations, pelvis: Float[ndarray, "3"], rest: Float[ndarray, "22 3"]) -> Rotations:
    """The arms let down, bent, and the wrists brought to above the middle of the thighs."""
    for side, (shoulder, elbow, wrist) in SIDES:
        turns[shoulder] = _about(0, 0.25) @ _about(2, -side * 1.4)
        turns[elbow] = turns[shoulder] @ axis_rotation(np.array([0.0, -float(side), 0.0]), np.array(1.1))
        turns[wrist] = _about(1, -side * 1.35) @ _about(2, -side * 0.1)
    local = _local(turns)[None]
    pose = pose_of(local, (pelvis - rest[0])[None], torch.from_numpy(rest))
    still = np.zeros((1, 3))
    for limb, up, low in zip(ARMS, (1, 2), (4, 5), strict=True):
        places = torch.from_numpy(pose.places[0])
        target = _on_thigh(places, up, low) - places[limb.end]
        bend(local, pose, limb, still, target.numpy()[None])
    return _whole(local[0])


def _on_thigh(joints: Float[Tensor, "22 3"], hip: int, knee: int) -> Float[Tensor, "3"]:
    """Where a wrist is when the hand lies on the thigh."""
    return joints[hip] + 0.62 * (joints[knee] - joints[hip]) + joints.new_tensor([0.0, 0.115, 0.0])


def _global(rest: Float[ndarray, "22 3"]) -> Rotations:
    return np.tile(np.eye(3), (len(rest), 1, 1))


def _about(axis: int, angle: float) -> Float[ndarray, "3 3"]:
    return axis_rotation(np.eye(3)[axis], np.array(angle))


def _local(turns: Rotations) -> Rotations:
    parents = np.array(PARENTS[1:NUM_BODY])
    return np.concatenate([turns[:1], np.swapaxes(turns[parents], -1, -2) @ turns[1:]])


def _whole(local: Rotations) -> Rotations:
    turns = local.copy()
    for joint in range(1, NUM_BODY):
        turns[joint] = turns[PARENTS[joint]] @ local[joint]
    return turns


def _soles(body: BodyModel, rest: Float[ndarray, "22 3"]) -> float:
    """Metres from an ankle down to the sole."""
    return float(rest[JOINT["left_ankle"], 1] - float(body.v_template[:, 1].min()))


# -------------------------------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True)
class _Touching:
    """What touches besides what one sits on: the soles the floor, or else back, head, legs and hands the object."""

    soles: bool
    around: Distance | None = None


def _fitted(
    scene: Scene, thing: SceneObject, body: BodyModel, seat: Seat, turns: Rotations, pelvis: Float[ndarray, "3"],
    touching: _Touching,
) -> GoalPose:  # fmt: skip
    """The pose in the world, fitted to the object's surface."""
    facing = yaw_rotation(torch.tensor(seat.yaw, dtype=torch.float32))
    local = torch.from_numpy(_local(turns)).float()
    local[0] = facing @ local[0]
    place = facing @ torch.from_numpy(pelvis).float() + torch.tensor([seat.middle[0], scene.floor, seat.middle[1]])
    distance = sdf_of(_alone(scene, thing), CELLS)
    rotations, place = _fit(_sparse(body), local, place, distance, scene.floor, touching, bool(seat.rest))
    vertices = posed(body, rotations[None], place[None])[0]
    carrying = (0, 1, 2) if touching.soles else (0, 1, 2, 3, 6, 9)
    carried = distance(vertices[_near(body, carrying)]).sort().values[:30].mean()
    rest = body.joint_template[:NUM_BODY]
    joints, _ = forward_kinematics(rotations, rest, place - rest[0])
    return GoalPose(
        rotations,
        place,
        joints,
        penetration_of(vertices, distance),
        bool(carried.abs() <= TOUCH),
        seat,
        not touching.soles,
    )


def _fit(
    body: BodyModel, local: Float[Tensor, "22 3 3"], place: Float[Tensor, "3"], distance: SdfGrid, floor: float,
    touching: _Touching, rest: bool,
) -> tuple[Float[Tensor, "22 3 3"], Float[Tensor, "3"]]:  # fmt: skip
    """Adam on turns of the joints and a shift of the whole, from the pose as it was put together."""
    under, behind = _near(body, (0, 1, 2)), _near(body, (3, 6, 9))
    parts = SOLES if touching.soles else LAID
    limbs = [_near(body, joints) for joints in parts]
    bones = body.joint_template[:NUM_BODY]
    turns = torch.zeros(NUM_BODY, 3, requires_grad=True)
    shift = torch.zeros(3, requires_grad=True)
    stiff = torch.full((NUM_BODY, 1), 1.0)
    stiff[list(ARM)] = 0.3
    adam = torch.optim.Adam([turns, shift], lr=RATE)
    steps = STEPS if touching.soles else LYING
    for k in range(steps):
        rotations = local @ axis_angle_to_matrix(turns)
        vertices = posed(body, rotations[None], (place + shift)[None])[0]
        gaps, heights = distance(vertices), vertices[:, 1] - floor
        inside = (-gaps).clamp_min(0) + (-heights).clamp_min(0)
        if touching.around is not None:
            inside = inside + (-touching.around(vertices) - COARSE).clamp_min(0)
        loss = 0.4 * SPARSE * inside.sum() + (stiff * turns.square()).sum() + 8 * _lowest(gaps[under]).abs()
        if rest or not touching.soles:
            loss = loss + 2 * _lowest(gaps[behind]).clamp(0, 0.12)
        for part in limbs:
            away = heights[part] if touching.soles else gaps[part]
            loss = loss + 2 * _lowest(away).clamp(0, 0.12 if touching.soles else 0.5)
        if not touching.soles:
            loss = loss + BACKWARD * turns[KNEES, 0].clamp(max=0).square().sum()
        if touching.soles:
            joints, _ = forward_kinematics(rotations, bones, place + shift - bones[0])
            loss = loss + sum((joints[wrist] - _on_thigh(joints, *leg)).norm() for wrist, leg in HANDS)
        adam.zero_grad()
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = RATE * (1 - 0.9 * k / steps)
        adam.step()
    with torch.no_grad():
        return local @ axis_angle_to_matrix(turns), place + shift


def _lowest(gaps: Float[Tensor, " vertices"], count: int = 12) -> Float[Tensor, ""]:
    """What the nearest vertices are away on average, less two millimetres."""
    return gaps.topk(min(count, len(gaps)), largest=False).values.mean() - 0.002


def _near(body: BodyModel, joints: tuple[int, ...]) -> Bool[Tensor, " vertices"]:
    """Vertices that belong to these joints."""
    return torch.isin(body.weights.argmax(1), torch.tensor(joints))


def _sparse(body: BodyModel) -> BodyModel:
    """The body with every `SPARSE`th vertex, and the same joints."""
    take = slice(None, None, SPARSE)
    vertices = body.v_template[take]
    regressor = body.joint_template @ torch.linalg.pinv(vertices)
    return replace(
        body, v_template=vertices, shapedirs=body.shapedirs[take], exprdirs=body.exprdirs[take], J_regressor=regressor,
        posedirs=None if body.posedirs is None else body.posedirs[take], weights=body.weights[take],
        faces=body.faces[:0], colors=None, landmark_faces=None, landmark_weights=None,
    )  # fmt: skip


def _alone(scene: Scene, thing: SceneObject) -> Scene:
    """A room with nothing in it but this object."""
    vertices, faces = scene.mesh_of(thing.name)
    part = np.zeros(len(faces), scene.part.dtype)
    return replace(scene, vertices=vertices, faces=faces, part=part, objects=(thing,), routes=(), open_floor=True)
