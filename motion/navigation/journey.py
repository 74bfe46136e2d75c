"""What somebody is asked to do in a scene, as places and poses that are due at each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.representation.heading import pelvis_heading
from motion.constraints import JointKey, PoseKey
from motion.primitives.control import BODY_RADIUS, RAMP, Distance, checked_path

WALKING = (1.1, 1.4)
"""Metres a second of those who walk, drawn evenly (DIP)."""
MANNERS: dict[str, tuple[float, float]] = {"sit": (0.45, 0.6), "lie": (0.25, 0.6)}
"""The same of those who sit or lie down, or get up again."""
HELD = 0.5
"""Seconds that the last pose is held."""
LEAST = 1.4
"""Seconds that sitting down, lying down or getting up takes at least."""
ABOUT = math.radians(120.0)
"""Radians a second that somebody turns about on the spot."""
ASIDE = math.radians(35.0)
"""Radians by which one may face another way than the pose before one turns on the spot first."""
STANDING = 0.93
"""Height in metres of the pelvis of somebody who stands."""
STANDS = 0.2
"""Metres above the floor up to which an ankle of a pose is that of a foot that stands."""
ONE_FOOT = 0.45
"""Seconds by which one foot stands where it will stay before the other does."""
OFTEN = 0.15
"""Seconds between the hints of those who settle."""
TURN = 1.6
"""Radians a second that a walker turns at most: round sharper bends one goes slower."""
SMOOTHINGS = (0.3, 0.2, 0.12, 0.06, 0.0)
"""Metres of path (standard deviation) over which corners are rounded: as much as the scene has room for."""
GRID = 0.05
"""Metres between the points of a rounded path."""
HEIGHTS = (0.3, 0.6, 0.9, 1.3)
"""Metres above the floor where a path must not be inside of things."""
TIGHT = 0.1
"""Metres that the middle of a path keeps from things at least."""


@dataclass(frozen=True, eq=False)
class GoalPose:
    """A pose in the world: local rotations, the pelvis' being global, and the pelvis joint; and how one gets there."""

    rotations: ndarray
    """(22, 3, 3)"""
    pelvis: ndarray
    """(3,), metres"""
    text: str = "a person sits down"
    manner: str = "sit"

    def __post_init__(self) -> None:
        if self.manner not in MANNERS:
            raise LabanError(f"goal pose: manner {self.manner!r}; accepted: {', '.join(MANNERS)}")
        if not self.text.strip():
            raise LabanError("goal pose: text is empty; say how to get there, for example: a person sits down")
        for name, shape in (("rotations", (NUM_BODY, 3, 3)), ("pelvis", (3,))):
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != shape:
                raise LabanError(f"goal pose: {name} of shape {value.shape}; expected {shape}")
            if not np.isfinite(value).all():
                raise LabanError(f"goal pose: {name} holds a NaN or infinite number; accepted: finite numbers")
            object.__setattr__(self, name, value)
        turns = self.rotations
        if np.abs(turns @ np.swapaxes(turns, -1, -2) - np.eye(3)).max() > 1e-3 or (np.linalg.det(turns) < 0).any():
            raise LabanError("goal pose: rotations that are no rotation matrices; expected (22, 3, 3) local rotations")

    @property
    def place(self) -> Float[ndarray, " 2"]:
        """(x, z) of the pelvis."""
        return self.pelvis[[0, 2]]

    @property
    def heading(self) -> float:
        """Radians from +Z towards +X."""
        return float(pelvis_heading(self.rotations[None, 0])[0])

    def joints(self) -> Float[ndarray, "22 3"]:
        """World positions of the default body's joints."""
        rest = load_body().joint_template[:NUM_BODY].double()
        root = torch.from_numpy(self.pelvis) - rest[0]
        return forward_kinematics(torch.from_numpy(self.rotations), rest, root)[0].numpy()

    def feet(self) -> dict[str, Float[ndarray, " 3"]]:
        """Side to place of the ankle, of the feet that stand on the floor."""
        places = {side: self.joints()[JOINT[f"{side}_ankle"]] for side in ("left", "right")}
        return {side: place for side, place in places.items() if place[1] < STANDS}


@dataclass(frozen=True, eq=False)
class Journey:
    """Along a path of (x, z), from a pose if there is one, to a pose if there is one, keeping out of a scene."""

    path: ndarray
    """(points, 2), metres"""
    text: str = "a person walks forward"
    speed: float | None = None
    """Metres a second; None: drawn from `WALKING`."""
    scene: Distance | None = None
    start: GoalPose | None = None
    """Where one gets up from, to the path's first point; its text says how, such as "a person stands up"."""
    goal: GoalPose | None = None
    """Where one settles from the path's last point."""

    def __post_init__(self) -> None:
        path = np.asarray(self.path, np.float64)
        if path.ndim != 2 or path.shape[1] != 2:
            raise LabanError(f"path: shape {path.shape}; expected points (x, z)")
        object.__setattr__(self, "path", checked_path(path, self.speed or 1.0))
        if not self.text.strip():
            raise LabanError("text is empty; say how to go, for example: a person walks forward")


@dataclass(frozen=True)
class Leg:
    """Frames `first` to `last`, both included, during which a text is in force."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Plan:
    """A journey in frames: where the pelvis is due at each, which poses when, and which words."""

    fps: float
    places: Float[ndarray, "frames 2"]
    legs: tuple[Leg, ...]
    poses: tuple[PoseKey, ...]
    """At their times; the last one is held."""
    headings: tuple[tuple[int, float], ...]
    """(frame, radians) where the direction one faces is known besides."""
    heights: tuple[tuple[int, float], ...]
    """(frame, metres) of the pelvis of somebody who settles; its place is hinted there too."""
    feet: tuple[JointKey, ...]
    """Ankles that stand where a pose has them, from when one begins to settle."""
    walking: tuple[int, int]
    """First and last frame of the way."""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.places)

    def delayed(self, frame: int, by: int) -> Plan:
        """The same where everything from a frame of the way on is due so many frames later, the last places again."""
        first, last = self.walking
        back = np.arange(frame - by, self.frames).clip(first)

        def late(at: int) -> int:
            return at + by if at >= frame else at

        seconds = by / self.fps
        return replace(
            self, places=np.concatenate([self.places[:frame], self.places[back]]), walking=(first, late(last)),
            legs=tuple(replace(leg, first=late(leg.first), last=late(leg.last)) for leg in self.legs),
            poses=tuple(replace(key, time=key.time + seconds * (key.time * self.fps > last)) for key in self.poses),
            feet=tuple(replace(key, time=key.time + seconds) for key in self.feet),
            headings=tuple((late(at), angle) for at, angle in self.headings),
            heights=tuple((late(at), height) for at, height in self.heights),
        )  # fmt: skip


def plan_of(journey: Journey, fps: float, *, seed: int = 0, even: bool = False) -> Plan:
    """Places, poses and words at each frame. `even`: as published, one speed from the first step to the last.

    Raises LabanError for a path that goes through things.
    """
    rng = np.random.default_rng(seed)
    path = journey.path if even else rounded(journey.path, journey.scene)
    check_path(path, journey.scene)
    speed = journey.speed or float(rng.uniform(*WALKING))
    way = _evenly(path, speed, fps) if even else timed(path, speed, fps)
    rise, settle = np.zeros((0, 2)), _Settled()
    legs, poses, headings, heights = [], [], list[tuple[int, float]](), list[tuple[int, float]]()
    if journey.start is not None:
        rise = _between(journey.start.place, path[0], _took(journey.start, path[0], rng), fps)[:-1]
        legs.append(Leg(0, len(rise) - 1, journey.start.text))
        poses.append(PoseKey(0.0, journey.start.rotations, journey.start.pelvis, "start"))
        headings.append((len(rise), heading_of(way[1] - way[0])))
        lifted = STANDING - float(journey.start.pelvis[1])
        heights = [(k, float(journey.start.pelvis[1]) + lifted * ease(min(1.0, k / (0.8 * len(rise)))))
                   for k in range(round(OFTEN * fps), len(rise), round(OFTEN * fps))]  # fmt: skip
    first, last = len(rise), len(rise) + len(way) - 1
    legs.append(Leg(first, last, journey.text))
    if journey.goal is not None:
        faced = heading_of(way[-1] - way[-2])
        headings.append((last, faced))
        settle = _settled(journey.goal, path[-1], faced, last, fps, _took(journey.goal, path[-1], rng))
    return Plan(fps, np.concatenate([rise, way, settle.places]), (*legs, *settle.legs), (*poses, *settle.poses),
                (*headings, *settle.headings), (*heights, *settle.heights), settle.feet, (first, last))  # fmt: skip


@dataclass(frozen=True)
class _Settled:
    """What follows the way: one turns about, goes down with feet that stand, and stays."""

    places: Float[ndarray, "frames 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    legs: tuple[Leg, ...] = ()
    poses: tuple[PoseKey, ...] = ()
    headings: tuple[tuple[int, float], ...] = ()
    heights: tuple[tuple[int, float], ...] = ()
    feet: tuple[JointKey, ...] = ()


def _settled(
    goal: GoalPose, place: Float[ndarray, " 2"], faced: float, last: int, fps: float, seconds: float
) -> _Settled:
    """From `place`, facing some way at frame `last`, into a pose."""
    about = math.remainder(goal.heading - faced, 2 * math.pi)
    legs, headings, turned = list[Leg](), list[tuple[int, float]](), last
    if abs(about) > ASIDE:
        turned = last + round((abs(about) / ABOUT + 0.5) * fps)
        side = "around" if abs(about) > 2.2 else "left" if about > 0 else "right"
        legs.append(Leg(last + 1, turned, f"a person turns {side}"))
        headings = [(k, faced + about * ease((k - last) / (turned - last)))
                    for k in range(last + round(OFTEN * fps), turned + 1, max(1, round(OFTEN * fps)))]  # fmt: skip
        headings = [pair for pair in headings if pair[0] < turned - 1] + [(turned, faced + about)]
    down = _between(place, goal.place, seconds, fps)[1:]
    arrived, held = turned + len(down), round(HELD * fps)
    legs.append(Leg(turned + 1, arrived + held, goal.text))
    step = max(1, round(OFTEN * fps))
    heights = [(k, STANDING + (float(goal.pelvis[1]) - STANDING) * ease((k - turned) / len(down)))
               for k in range(turned + step, arrived - step // 2, step)]  # fmt: skip
    headings += [(k, faced + about) for k, _ in heights]
    begins = dict(zip(goal.feet(), (max(last + step, turned - round(ONE_FOOT * fps)), turned + step), strict=False))
    feet = [JointKey(k / fps, f"{side}_ankle", ankle, origin="goal")
            for side, ankle in goal.feet().items() for k in range(begins[side], arrived, step)]  # fmt: skip
    poses = [PoseKey(k / fps, goal.rotations, goal.pelvis, "goal") for k in (arrived, arrived + held)]
    places = np.concatenate([np.tile(place, (turned - last, 1)), down, np.tile(goal.place, (held, 1))])
    return _Settled(places, tuple(legs), tuple(poses), tuple(headings), tuple(heights), tuple(feet))


def ease(u: float) -> float:
    """From 0 to 1 with a gentle start and end."""
    return u * u * (3 - 2 * u)


def rounded(path: Float[ndarray, "points 2"], scene: Distance | None) -> Float[ndarray, "places 2"]:
    """The path in small steps with its corners rounded as far as that brings nobody nearer to the scene."""
    edges = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(edges)])
    count = max(2, math.ceil(along[-1] / GRID) + 1)
    fine = np.stack([np.interp(np.linspace(0, along[-1], count), along, path[:, k]) for k in (0, 1)], -1)
    if scene is None:
        return _smoothed(fine, SMOOTHINGS[0])
    room = min(float(clearance(fine, scene).min()), BODY_RADIUS)
    choices = (_smoothed(fine, sigma) for sigma in SMOOTHINGS)
    return next(one for one in choices if float(clearance(one, scene).min()) >= room - 0.02)


def clearance(path: Float[ndarray, "points 2"], scene: Distance) -> Float[ndarray, " points"]:
    """Metres from each point to the nearest thing, at the lowest of the heights of `HEIGHTS`."""
    flat = torch.from_numpy(np.ascontiguousarray(path, np.float32))
    height = torch.tensor(HEIGHTS)[:, None].expand(-1, len(flat))
    points = torch.stack([flat[:, 0].expand_as(height), height, flat[:, 1].expand_as(height)], -1)
    with torch.no_grad():
        return scene(points).amin(0).numpy()


def check_path(path: Float[ndarray, "points 2"], scene: Distance | None) -> None:
    """LabanError where a path goes through things, or hardly past them."""
    if scene is None:
        return
    gaps = clearance(path, scene)
    worst = int(gaps.argmin())
    if not gaps[worst] > TIGHT:
        x, z = path[worst]
        where = "inside of something" if gaps[worst] <= 0 else f"{gaps[worst]:.2f} m from something"
        raise LabanError(f"path: ({x:.2f}, {z:.2f}) is {where}; accepted: at least {TIGHT:g} m from everything")


def timed(path: Float[ndarray, "points 2"], speed: float, fps: float) -> Float[ndarray, "frames 2"]:
    """Where one is at each frame: from a stand to a halt, slower round bends, the first point at the first frame."""
    edges = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(edges)])
    turn = np.unwrap(np.arctan2(*np.diff(path, axis=0).T))
    bend = np.zeros(len(path))
    bend[1:-1] = np.abs(np.diff(turn)) / ((edges[1:] + edges[:-1]) / 2)
    bend = gaussian_filter1d(bend, 0.15 / GRID, mode="nearest") if len(path) > 2 else bend
    top = np.minimum(speed, TURN / np.maximum(bend, 1e-6))
    pace, slowest = 2 * speed / RAMP, 0.25 * speed
    limit = np.sqrt(slowest**2 + pace * np.minimum(along, along[-1] - along))
    top = np.maximum(np.minimum(top, limit), slowest)
    for order in (range(1, len(top)), range(len(top) - 2, -1, -1)):
        for k in order:
            before = k - 1 if order.step > 0 else k + 1
            top[k] = min(top[k], math.sqrt(top[before] ** 2 + pace * abs(along[k] - along[before])))
    times = np.concatenate([[0.0], np.cumsum(edges / ((top[1:] + top[:-1]) / 2))])
    frames = max(2, round(times[-1] * fps) + 1)
    at = np.interp(np.linspace(0, times[-1], frames), times, along)
    return np.stack([np.interp(at, along, path[:, k]) for k in (0, 1)], -1)


def _evenly(path: Float[ndarray, "points 2"], speed: float, fps: float) -> Float[ndarray, "frames 2"]:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    frames = max(2, round(along[-1] / speed * fps) + 1)
    at = np.linspace(0, along[-1], frames)
    return np.stack([np.interp(at, along, path[:, k]) for k in (0, 1)], -1)


def _took(pose: GoalPose, place: Float[ndarray, " 2"], rng: np.random.Generator) -> float:
    """Seconds between a pose and somebody who stands at a place."""
    return max(LEAST, float(np.linalg.norm(pose.place - place)) / float(rng.uniform(*MANNERS[pose.manner])))


def _between(
    start: Float[ndarray, " 2"], end: Float[ndarray, " 2"], seconds: float, fps: float
) -> Float[ndarray, "frames 2"]:
    """From a place to another, eased at both ends; both of them included."""
    u = np.linspace(0, 1, max(2, round(seconds * fps) + 1))[:, None]
    return start + u * u * (3 - 2 * u) * (end - start)


def _smoothed(path: Float[ndarray, "points 2"], metres: float) -> Float[ndarray, "points 2"]:
    """A Gaussian filter over the path's length that leaves its ends where they are."""
    if not metres:
        return path
    sigma = metres / GRID
    reach = min(len(path) - 1, math.ceil(4 * sigma))
    before, after = 2 * path[0] - path[reach:0:-1], 2 * path[-1] - path[-2 : -2 - reach : -1]
    whole = gaussian_filter1d(np.concatenate([before, path, after]), sigma, axis=0)
    return whole[reach : reach + len(path)]


def heading_of(step: Sequence[float] | Float[ndarray, " 2"]) -> float:
    """Radians from +Z towards +X of a step (x, z)."""
    return math.atan2(float(step[0]), float(step[1]))
