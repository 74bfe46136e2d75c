"""What steering asks of streamed frames: objectives of `models.objectives`, each of its frames, with a weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models import objectives
from models.body.skeleton import FEET
from models.representation import primitive
from motion.constraints import FASTEST
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel

BODY_RADIUS = 0.25
"""Metres around the pelvis that a goal or path keeps from walls."""
RAMP = 0.8
"""Seconds in which somebody who follows a path gets up to speed, and slows down again."""
SKIN = 0.06
"""Metres of flesh around a joint, kept out of a scene."""

Distance = Callable[[Float[Tensor, "*points 3"]], Float[Tensor, " *points"]]
"""Signed distance, metres, of points in the world to a scene; negative inside of things."""


@dataclass(frozen=True)
class Window:
    """Frames that are being made: joints in the world, and the number of the first; frame 0 is the first new one."""

    joints: Float[Tensor, "people tries frames 22 3"]
    first: int

    def index(self, frame: int) -> int | None:
        """Where a frame lies in `joints`; None outside."""
        own = frame - self.first
        return own if 0 <= own < self.joints.shape[2] else None


@dataclass(frozen=True)
class Objective:
    """One number for each person and try, lower is better; zero where none of its frames is in the window."""

    name: str
    weight: float
    measure: Callable[[Window], Float[Tensor, "people tries"]]


def world_joints(
    network: PrimitiveModel, rotations: Float[Tensor, "people frames 22 3 3"], pelvis: Float[Tensor, "people frames 3"]
) -> Float[Tensor, "people frames 22 3"]:
    """World joint positions by forward kinematics, of any number of frames."""
    return primitive.joints_of(primitive.encode(rotations, pelvis, network.rest.to(pelvis)))


def toe_level(network: PrimitiveModel) -> float:
    """Height in metres of the lowest foot joint of somebody who stands: what the floor is for foot joints."""
    stance = primitive.joints_of(network.stance[None, None])
    return float(stance[..., FEET, 1].amin())


# ---------------------------------------------------------------------------------------------------------- objectives


def follow(places: Float[Tensor, "people frames 2"], weight: float = 1.0) -> Objective:
    """The pelvis above the place that is due at each frame (`timed_path`); after the last it stays there."""

    def measure(window: Window) -> Tensor:
        new = slice(max(0, -window.first), None)
        numbers = torch.arange(window.joints.shape[2], device=places.device)[new] + window.first
        due = places[:, numbers.clamp_max(places.shape[1] - 1)].to(window.joints)
        return objectives.root_track(window.joints[:, :, new], due[:, None])

    return Objective("path", weight, measure)


def approach(goal: Float[Tensor, "people 2"], weight: float = 1.0) -> Objective:
    """The pelvis as near to a place as it gets by the window's end."""
    return Objective(
        "goal", weight, lambda window: objectives.root_goal(window.joints, goal[:, None].to(window.joints))
    )


def reach(joint: int, point: Float[Tensor, "people 3"], frame: int, weight: float = 1.0) -> Objective:
    """One joint at a point in the world at one frame."""
    return _at(
        f"joint {joint}", weight, frame,
        lambda joints, at: objectives.goal_joint(joints, joint, point[:, None].to(joints), frame=at),
    )  # fmt: skip


def keep_pose(pose: Float[Tensor, "people 22 3"], frame: int, weight: float = 1.0) -> Objective:
    """The whole body (its joints' places in the world) at one frame."""
    return _at("pose", weight, frame,
               lambda joints, at: objectives.pose_at(joints, pose[:, None].to(joints), frame=at))  # fmt: skip


def keep_out(distance: Distance, weight: float = 1.0, *, radius: float = SKIN) -> Objective:
    """No joint nearer to a scene than `radius` metres."""
    return Objective("scene", weight, lambda window: objectives.scene_penetration(window.joints, distance, radius))


def natural(
    network: PrimitiveModel, *, skate: float = 0.1, floor: float = 1.0, jerk: float = 1e-5
) -> tuple[Objective, ...]:
    """Feet that stay where they stand (m/s) and on the floor (m), and no jolts (m/s^3): each with its weight."""
    level = toe_level(network)

    def off(window: Window) -> Tensor:
        below = objectives.floor_penetration(window.joints, floor=level - 0.02)
        return below + objectives.floating(window.joints, floor=level + 0.02)

    return (
        Objective("skate", skate, lambda window: objectives.foot_skate(window.joints, FPS)),
        Objective("floor", floor, off),
        Objective("jerk", jerk, lambda window: objectives.peak_jerk(window.joints, FPS)),
    )


def _at(name: str, weight: float, frame: int, measure: Callable[[Tensor, int], Tensor]) -> Objective:
    def measured(window: Window) -> Tensor:
        at = window.index(frame)
        return window.joints.new_zeros(window.joints.shape[:2]) if at is None else measure(window.joints, at)

    return Objective(f"{name} at frame {frame}", weight, measured)


# --------------------------------------------------------------------------------------------------- paths and scenes


def timed_path(
    points: Float[ndarray, "points 2"], speed: float, seconds: float | None = None
) -> Float[Tensor, "frames 2"]:
    """Where somebody is at each new frame who goes along a polyline of (x, z): up to speed in `RAMP`, and to a halt.

    With `seconds` no more frames than that. Raises LabanError for fewer than two different points, for NaN, and for a
    speed that nobody has.
    """
    points = checked_path(points, speed)
    edges = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(edges)])
    length = float(along[-1])
    top = min(speed, length / RAMP)
    whole = length / top + RAMP
    times = np.arange(1, round((whole if seconds is None else min(whole, seconds)) * FPS) + 1) / FPS
    gone = np.where(times < RAMP, top * times**2 / (2 * RAMP), top * (times - RAMP / 2))
    left = np.clip(whole - times, 0, None)
    gone = np.where(left < RAMP, length - top * left**2 / (2 * RAMP), gone)
    places = np.stack([np.interp(gone, along, points[:, k]) for k in (0, 1)], -1)
    return torch.from_numpy(places.astype(np.float32))


def checked_path(points: Float[ndarray, "points 2"], speed: float) -> Float[ndarray, "points 2"]:
    """The points without repetitions; LabanError says what is wrong with them."""
    if not np.isfinite(points).all():
        raise LabanError("path: a coordinate is not a number; accepted: metres")
    if not 0 < speed <= FASTEST:
        raise LabanError(f"--speed {speed:g} m/s; accepted: above 0, up to {FASTEST:g}, which nobody exceeds")
    moved = np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-3
    kept = points[np.concatenate([[True], moved])] if len(points) else points
    if len(kept) < 2:
        raise LabanError(f"path: {len(kept)} different points; expected at least 2")
    return kept


def check_clear(
    places: Float[Tensor, "*batch 2"], distance: Distance | None, name: str, *, height: float = 0.9
) -> None:
    """LabanError where a goal or a path comes nearer to a scene than the body is wide."""
    if not bool(torch.isfinite(places).all()):
        raise LabanError(f"{name}: a coordinate is not a number; accepted: metres")
    if distance is None:
        return
    flat = places.reshape(-1, 2)
    gaps = distance(torch.stack([flat[:, 0], torch.full_like(flat[:, 0], height), flat[:, 1]], -1))
    worst = int(gaps.argmin())
    if float(gaps[worst]) <= BODY_RADIUS:
        x, z = flat[worst].tolist()
        where = "inside of something" if float(gaps[worst]) <= 0 else f"{float(gaps[worst]):.2f} m from something"
        raise LabanError(f"{name}: ({x:.2f}, {z:.2f}) is {where}; a body needs {BODY_RADIUS:g} m around it")


def pillars(discs: Sequence[tuple[float, float, float]]) -> Distance:
    """The signed distance of a scene of round pillars (x, z, radius), as high as one likes."""
    if not discs or not np.isfinite(discs).all() or min(radius for *_, radius in discs) <= 0:
        raise LabanError("obstacle: expected x,z,radius in metres with a radius above 0")
    table = torch.tensor(discs)

    def distance(points: Tensor) -> Tensor:
        gaps = points[..., None, 0::2] - table[:, :2].to(points)
        return (gaps.square().sum(-1).clamp_min(1e-12).sqrt() - table[:, 2].to(points)).amin(-1)

    return distance
