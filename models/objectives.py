"""Differentiable measures of motion, each written once: training loss, guidance energy, reward term and metric.

Every function takes world joint positions `(..., frames, 22, 3)` in metres, Y up (SMPL joint order), and returns one
number per clip, shape `(...)`, lower is better. `valid` marks the real frames of a padded batch; a difference over
time counts only where all its frames are valid. A clip too short for a measure scores zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.body.skeleton import FEET, JOINT, NUM_BODY, PARENTS

CONTACT_HEIGHTS: tuple[float, ...] = (0.12, 0.05, 0.12, 0.05)
"""Metres above the floor below which an ankle (0.12) or toe (0.05) joint may be in contact; `FEET` order (InterGen)."""
CONTACT_SPEED = 20.0 * math.sqrt(0.002)
"""Metres a second below which a low foot is in contact: HumanML3D's squared step of 0.002 m2 at 20 fps, 0.89 m/s."""
TOES: tuple[int, ...] = (JOINT["left_foot"], JOINT["right_foot"])

Joints = Float[Tensor, "*batch frames 22 3"]
Points = Float[Tensor, "*batch frames _ 3"]
Valid = Bool[Tensor, "*batch frames"]
PerClip = Float[Tensor, " *batch"]


# ---------------------------------------------------------------------------------------------------------- contact


def floor_height(joints: Joints, *, valid: Valid | None = None) -> PerClip:
    """Height of the lowest foot joint when it rests: the 5th percentile over frames of the lowest of the four.

    A percentile, because one noisy frame must not lift every threshold. It is the level of the *joint* (a toe joint
    rests 2-4 cm above the ground), so measures relative to it do not depend on where a source put its floor.
    """
    lowest = joints[..., FEET, 1].amin(-1)
    if valid is not None:
        lowest = torch.where(valid, lowest, torch.nan)
    return torch.nanquantile(lowest, 0.05, dim=-1)


def foot_contact(
    joints: Joints, fps: float, *, floor: PerClip | None = None, valid: Valid | None = None
) -> Bool[Tensor, "*batch steps 4"]:
    """Which of `FEET` touch the floor between each frame and the next: low (`CONTACT_HEIGHTS`) and below 0.89 m/s.

    Heights are taken above `floor`, by default the clip's own `floor_height`. Not differentiable.
    """
    feet = joints.detach()[..., FEET, :]
    level = floor_height(joints.detach(), valid=valid) if floor is None else floor
    height = torch.maximum(feet[..., 1:, :, 1], feet[..., :-1, :, 1]) - level[..., None, None]
    slow = _speed(feet, fps) < CONTACT_SPEED
    contact = slow & (height < torch.tensor(CONTACT_HEIGHTS, device=joints.device))
    return contact if valid is None else contact & _steps(valid, 1)[..., None]


def foot_skate(joints: Joints, fps: float, *, floor: PerClip | None = None, valid: Valid | None = None) -> PerClip:
    """Mean horizontal speed, m/s, of the foot joints while they are in contact (`foot_contact`).

    The contact itself is held fixed, so the gradient stops a sliding foot and never lifts it to escape the measure.
    A clip without contact (in the air, lying) scores zero.
    """
    contact = foot_contact(joints, fps, floor=floor, valid=valid)
    feet = joints[..., FEET, :]
    planar = (feet[..., 1:, :, 0::2] - feet[..., :-1, :, 0::2]) * fps
    speed = torch.where(contact, planar.square().sum(-1).clamp_min(1e-12).sqrt(), 0.0)
    return speed.sum((-1, -2)) / contact.sum((-1, -2)).clamp_min(1)


def foot_skate_soft(joints: Joints, fps: float, *, floor: PerClip | None = None, valid: Valid | None = None) -> PerClip:
    """DART's skate: toe displacement x (2 - 2^clamp(h / 0.03 m, 0, 1)), here times fps, mean over toes and steps, m/s.

    The weight falls smoothly from 1 on the floor to 0 at 3 cm above it, so the gradient also reaches the height.
    """
    level = floor_height(joints, valid=valid) if floor is None else floor
    toes = joints[..., TOES, :]
    height = torch.maximum(toes[..., 1:, :, 1], toes[..., :-1, :, 1]) - level[..., None, None]
    planar = (toes[..., 1:, :, 0::2] - toes[..., :-1, :, 0::2]) * fps
    slide = planar.square().sum(-1).clamp_min(1e-12).sqrt() * (2 - 2 ** (height / 0.03).clamp(0, 1))
    return _mean(slide.mean(-1), valid, 1)


def contact_consistency(joints: Joints, contact: Float[Tensor, "*batch frames 4"], fps: float) -> PerClip:
    """Mean squared speed, (m/s)^2, of the four `FEET` joints, weighted by a given contact probability per frame."""
    feet = joints[..., FEET, :]
    squared = ((feet[..., 1:, :, :] - feet[..., :-1, :, :]) * fps).square().sum(-1)
    weight = torch.minimum(contact[..., 1:, :], contact[..., :-1, :])
    return (squared * weight).mean((-1, -2))


def floor_penetration(
    joints: Joints, *, floor: float = 0.0, clearance: float = 0.0, valid: Valid | None = None
) -> PerClip:
    """Mean depth, metres, of the lowest joint below `floor + clearance` (clearance: flesh under the lowest joint)."""
    lowest = joints[..., 1].amin(-1)
    return _mean((floor + clearance - lowest).clamp_min(0), valid)


def floating(joints: Joints, *, floor: float = 0.0, clearance: float = 0.0, valid: Valid | None = None) -> PerClip:
    """Mean height, metres, of the lowest joint above `floor + clearance`; a jump floats too, so compare by action."""
    lowest = joints[..., 1].amin(-1)
    return _mean((lowest - floor - clearance).clamp_min(0), valid)


# ------------------------------------------------------------------------------------------------------- smoothness


def jerk(joints: Joints, fps: float, *, valid: Valid | None = None) -> PerClip:
    """Mean over joints and frames of the norm of the third difference, m/s^3."""
    return _mean(_difference_norm(joints, fps, 3).mean(-1), valid, 3)


def peak_jerk(joints: Joints, fps: float, *, valid: Valid | None = None) -> PerClip:
    """Largest norm of the third difference over joints and frames, m/s^3 (DART's jerk term)."""
    if joints.shape[-3] < 4:
        return joints.new_zeros(joints.shape[:-3])
    values = _difference_norm(joints, fps, 3).amax(-1)
    return (values if valid is None else torch.where(_steps(valid, 3), values, 0.0)).amax(-1)


def smoothness(joints: Joints, fps: float, *, valid: Valid | None = None) -> PerClip:
    """Mean over joints and frames of the squared acceleration, (m/s^2)^2."""
    return _mean((torch.diff(joints, n=2, dim=-3) * fps**2).square().sum(-1).mean(-1), valid, 2)


def bone_length_drift(joints: Joints, *, valid: Valid | None = None) -> PerClip:
    """Mean absolute departure, metres, of the 21 bone lengths from their mean over the clip; zero for a rigid body."""
    parents = PARENTS[1:NUM_BODY]
    lengths = (joints[..., 1:, :] - joints[..., parents, :]).square().sum(-1).clamp_min(1e-12).sqrt()
    weight = torch.ones_like(lengths[..., :1]) if valid is None else valid[..., None].to(lengths.dtype)
    average = (lengths * weight).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True).clamp_min(1)
    return _mean((lengths - average).abs().mean(-1), valid)


# ------------------------------------------------------------------------------------------------------------ goals


def goal_joint(joints: Joints, joint: int, goal: Float[Tensor, "*#batch 3"], *, frame: int = -1) -> PerClip:
    """Distance, metres, of one joint to a world point at one frame."""
    return _length(joints[..., frame, joint, :] - goal)


def root_goal(joints: Joints, goal: Float[Tensor, "*#batch 2"], *, frame: int = -1) -> PerClip:
    """Horizontal distance, metres, of the pelvis to a place (x, z) at one frame."""
    return _length(joints[..., frame, 0, 0::2] - goal)


def approach(joints: Joints, goal: Float[Tensor, "*#batch 2"]) -> PerClip:
    """How much further, metres, the pelvis is from a place (x, z) at the last frame than at the first; progress < 0."""
    return root_goal(joints, goal) - root_goal(joints, goal, frame=0)


def root_track(joints: Joints, places: Float[Tensor, "*#batch frames 2"], *, valid: Valid | None = None) -> PerClip:
    """Mean horizontal distance, metres, of the pelvis to the place (x, z) that is due at each frame."""
    return _mean(_length(joints[..., 0, 0::2] - places), valid)


def pose_at(joints: Joints, pose: Float[Tensor, "*#batch 22 3"], *, frame: int = -1) -> PerClip:
    """Mean distance, metres, of the 22 joints to those of a pose in the world at one frame."""
    return _length(joints[..., frame, :, :] - pose).mean(-1)


def scene_penetration(
    joints: Joints, distance: Callable[[Float[Tensor, "*points 3"]], Float[Tensor, " *points"]], radius: float
) -> PerClip:
    """Depth, metres, by which spheres of `radius` about the joints reach into a scene: mean over frames of their sum.

    `distance` is the scene's signed distance, negative inside of things (DART's collision term, PROX's before it).
    """
    return (radius - distance(joints)).clamp_min(0).sum(-1).mean(-1)


def path_distance(joints: Joints, path: Float[Tensor, "points 2"], *, valid: Valid | None = None) -> PerClip:
    """Mean horizontal distance, metres, of the pelvis to a polyline of (x, z) points (at least two)."""
    pelvis = joints[..., 0, 0::2].unsqueeze(-2)
    start, edge = path[:-1], path[1:] - path[:-1]
    along = ((pelvis - start) * edge).sum(-1) / edge.square().sum(-1).clamp_min(1e-12)
    nearest = start + along.clamp(0, 1)[..., None] * edge
    return _mean(_length(pelvis - nearest).amin(-1), valid)


def facing(joints: Joints) -> Float[Tensor, "*batch frames 2"]:
    """Unit heading (x, z) of the body: perpendicular to the line through hips and shoulders; +Z in the rest pose."""
    left = joints[..., (JOINT["left_hip"], JOINT["left_shoulder"]), :]
    right = joints[..., (JOINT["right_hip"], JOINT["right_shoulder"]), :]
    across = (left - right).sum(-2)
    heading = torch.stack((-across[..., 2], across[..., 0]), -1)
    return heading / _length(heading)[..., None]


def orientation(joints: Joints, direction: Float[Tensor, "*#batch 2"], *, valid: Valid | None = None) -> PerClip:
    """Mean angle, radians, between the body's heading and a horizontal direction (x, z)."""
    heading, target = facing(joints), direction.unsqueeze(-2)
    cross = heading[..., 0] * target[..., 1] - heading[..., 1] * target[..., 0]
    return _mean(torch.atan2(cross, (heading * target).sum(-1)).abs(), valid)


def touch(joints: Joints, joint: int, points: Float[Tensor, "points 3"], *, tolerance: float = 0.0) -> PerClip:
    """How far, metres beyond `tolerance`, a joint stays from the nearest of a set of points at its closest frame."""
    gaps = _length(joints[..., joint, :].unsqueeze(-2) - points)
    return (gaps.amin((-1, -2)) - tolerance).clamp_min(0)


# ------------------------------------------------------------------------------------------------------- two people


def pair_vectors(
    first: Points, second: Points, true_first: Points, true_second: Points, *, scale: float = 0.15, knee: float = 0.1
) -> Float[Tensor, "*batch frames"]:
    """How wrong the vectors between points of two people are, most of all where they should be near; per frame.

    Huber error (quadratic up to `knee`, metres) of each vector, in decimetres, weighted by exp(-d / scale) of the true
    distance d, summed over the second person's points, averaged over the first one's: the interaction loss of reaction
    generators (InterGen's distance map, ReGenNet, MoReact), with directions.
    """
    error = (first - true_first)[..., :, None, :] - (second - true_second)[..., None, :, :]
    apart = _length(true_first[..., :, None, :] - true_second[..., None, :, :])
    size = _length(error) / knee
    huber = torch.where(size < 1, 0.5 * size.square(), size - 0.5) * (10 * knee) ** 2
    return (huber * (-apart / scale).exp()).sum(-1).mean(-1)


# ---------------------------------------------------------------------------------------------------------- helpers


def _length(vector: Float[Tensor, "*shape k"]) -> Float[Tensor, " *shape"]:
    """Euclidean norm with a finite gradient at zero."""
    return vector.square().sum(-1).clamp_min(1e-12).sqrt()


def _speed(points: Float[Tensor, "*batch frames k 3"], fps: float) -> Float[Tensor, "*batch steps k"]:
    return _length(points[..., 1:, :, :] - points[..., :-1, :, :]) * fps


def _difference_norm(joints: Joints, fps: float, order: int) -> Float[Tensor, "*batch steps 22"]:
    return _length(torch.diff(joints, n=order, dim=-3) * fps**order)


def _steps(valid: Valid, order: int) -> Bool[Tensor, "*batch steps"]:
    """True where `order + 1` consecutive frames are all valid."""
    for _ in range(order):
        valid = valid[..., 1:] & valid[..., :-1]
    return valid


def _mean(values: Float[Tensor, "*batch steps"], valid: Valid | None, order: int = 0) -> PerClip:
    if valid is None:
        return values.sum(-1) / max(values.shape[-1], 1)
    keep = _steps(valid, order)
    return torch.where(keep, values, 0.0).sum(-1) / keep.sum(-1).clamp_min(1)
