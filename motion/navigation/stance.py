"""Frames of somebody who is led, corrected as they are made: feet that stand do not slide, and one goes where one aims.

A foot lock bends legs, which hold only for some centimetres; here the whole body is moved back by what the lowest foot
has slid, and turned a little about the vertical towards its goal (trajectory warping, as in games), before the next
primitive goes on from there, so that who leads it sees where it really is.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.landmarks import LANDMARK_VERTICES
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.representation import primitive
from models.rotations import yaw_rotation
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made, State

EVEN = 0.003
"""Metres of height that make one point below the feet rather than another the one that stands."""
MOVES, NEARBY = 0.15, 0.25
"""Metres in a primitive from which somebody walks, and from a goal within which nobody is turned towards it."""
LOW, HIGH = 0.06, 0.12
"""Metres above the floor: up to the first the lowest point stands, from the second on nobody does."""
POINTS: tuple[tuple[str, str], ...] = tuple(
    (f"{side}_{joint}", f"{side}_{point}")
    for side in ("left", "right")
    for joint, point in (("ankle", "heel"), ("foot", "big_toe"), ("foot", "small_toe"))
)
"""Joint that carries it, and name, of each point below the feet."""


def stand_firm(network: PrimitiveModel, before: State, made: Made, share: float = 1.0) -> tuple[State, Made]:
    """The primitive without so much of the sliding of the lowest foot, and what the next goes on from.

    The latter is where the last frame is and as fast as it was made: who is slowed down would stop walking.
    """
    rotations = torch.cat([before.rotations[:, -1:], made.rotations], 1)
    points = soles(network, rotations, torch.cat([before.pelvis[:, -1:], made.pelvis], 1))
    moved = slid(points).cumsum(1) * share
    shift = torch.stack([moved[..., 0], torch.zeros_like(moved[..., 0]), moved[..., 1]], -1)
    state = made.state
    return State(state.rotations, state.pelvis - shift[:, -1:]), Made(made.rotations, made.pelvis - shift)


def aimed(before: State, made: Made, goal: Float[Tensor, "people 2"], most: Float[Tensor, " people"]) -> Made:
    """The primitive turned about where it starts, growing evenly, by up to `most` radians so that it leads to a goal.

    Who walks is turned by the way they go, who hardly moves by where they face.
    """
    start = before.pelvis[:, -1]
    gone = (made.pelvis[:, -1] - start)[:, 0::2]
    facing = primitive.heading(made.rotations[:, -1, 0])[:, 0::2, 2]
    moves = (gone.norm(dim=-1, keepdim=True) / MOVES).clamp(max=1)
    way = moves * gone / gone.norm(dim=-1, keepdim=True).clamp_min(1e-6) + (1 - moves) * facing
    wanted = goal.to(start) - made.pelvis[:, -1, 0::2]
    cross = way[:, 1] * wanted[:, 0] - way[:, 0] * wanted[:, 1]
    angle = torch.atan2(cross, (way * wanted).sum(-1)).clamp(-most, most)
    return turned(before, made, torch.where(wanted.norm(dim=-1) < NEARBY, 0.0, angle))


def turned(before: State, made: Made, angle: Float[Tensor, " people"]) -> Made:
    """The primitive turned about the vertical where it starts, growing evenly to `angle` radians (left is positive)."""
    start = before.pelvis[:, -1]
    share = torch.arange(1, made.pelvis.shape[1] + 1, device=angle.device).to(angle) / made.pelvis.shape[1]
    turn = yaw_rotation(angle[:, None] * share)
    first = turn[:, :, None] @ made.rotations[:, :, :1]
    places = (turn @ (made.pelvis - start[:, None])[..., None])[..., 0] + start[:, None]
    return Made(torch.cat([first, made.rotations[:, :, 1:]], 2), places)


def slid(points: Float[Tensor, "people frames points 3"]) -> Float[Tensor, "people steps 2"]:
    """How far (x, z) what stands has moved between each frame and the next: the lowest point, if it is low."""
    height = torch.maximum(points[:, 1:, :, 1], points[:, :-1, :, 1])
    weight = torch.softmax(-height / EVEN, -1)
    standing = ((HIGH - height.amin(-1)) / (HIGH - LOW)).clamp(0, 1)
    steps = points[:, 1:, :, 0::2] - points[:, :-1, :, 0::2]
    return (weight[..., None] * steps).sum(-2) * standing[..., None]


def soles(
    network: PrimitiveModel, rotations: Float[Tensor, "people frames 22 3 3"], pelvis: Float[Tensor, "people frames 3"]
) -> Float[Tensor, "people frames 6 3"]:
    """Heel and toes of both feet, below the sole, in the world."""
    rest = network.rest[:NUM_BODY].to(pelvis)
    places, turns = forward_kinematics(rotations, rest - rest[0], pelvis)
    joints = [JOINT[joint] for joint, _ in POINTS]
    offsets = below().to(pelvis)
    return places[..., joints, :] + (turns[..., joints, :, :] @ offsets[..., None])[..., 0]


@cache
def below() -> Float[Tensor, "6 3"]:
    """From the joints of `POINTS` to the points, in the rest pose of the default body, metres."""
    body = load_body(OPEN_BODY)
    points = body.v_template[[LANDMARK_VERTICES[name] for _, name in POINTS]]
    return points - body.joint_template[[JOINT[joint] for joint, _ in POINTS]]
