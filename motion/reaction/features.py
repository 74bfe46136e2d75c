"""What the networks of a reaction see: the reactor's way beside the actor, and the actor as either of them sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.model import BodyModel
from models.motion import Motion
from models.representation import pair, rifke
from models.representation.heading import turn
from models.resample import resample

FPS = rifke.LAYOUT.fps
BODY, WAY = rifke.LAYOUT.features, len(pair.TRAJECTORY)
POINTS = 1 + len(rifke.POSITION_JOINTS)
"""The 22 body joints and the two middle knuckles, because hands are held at the palm."""
SEEN = 3 * POINTS + 6
"""Columns of the actor in the slot `partner`: points, heading (sine and cosine), and four of movement."""
ACROSS = 0.8
"""Metres that count as one in the planar columns of a way: as far as two people stand from one another."""
HEIGHT, RISE = 0.9, 0.1
"""Metres: mean and deviation of the height of a pelvis."""
HEADING = 0.7
"""Deviation of the sine and the cosine of a heading."""
REACH = 0.5
"""Metres that count as one for the points of the actor."""

Path = Float[Tensor, "*batch frames 5"]
Points = Float[Tensor, "*batch frames 24 3"]


@dataclass(frozen=True)
class Track:
    """Two people at `FPS` in one world; `way` is that of the reactor beside the actor, before any turn."""

    actor_points: Float[Tensor, "frames 24 3"]
    actor_path: Float[Tensor, "frames 5"]
    actor_body: Float[Tensor, "frames 205"]
    points: Float[Tensor, "frames 24 3"]
    path: Float[Tensor, "frames 5"]
    body: Float[Tensor, "frames 205"]
    texts: tuple[str, ...]
    """What the two do, in one way or another."""
    synthetic: bool = False

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.path)


def tracks_of_roles(
    motion: Motion, texts: tuple[str, ...], body: BodyModel | None = None, *, synthetic: bool = False
) -> tuple[Track, Track]:
    """Two people as networks are taught by them: the first as the actor, and the second as the actor."""
    window = pair.encode(resample(motion, FPS), body)
    points = points_on(window.body, window.trajectory)
    first, second = ((points[one], window.trajectory[one], window.body[one]) for one in range(2))
    return Track(*first, *second, texts, synthetic), Track(*second, *first, texts, synthetic)


def points_on(body: Float[Tensor, "*batch frames 205"], path: Path) -> Points:
    """World points of a body that goes along a trajectory, as its columns state them."""
    about = body[..., rifke.LAYOUT.groups["positions"]].unflatten(-1, (POINTS - 1, 3))
    about = torch.cat([torch.zeros_like(about[..., :1, :]), about], -2)
    angle = pair.yaw_of(path)[..., None].expand(about.shape[:-1])
    return turn(angle, about) + pair.pelvis_of(path)[..., None, :]


def points_of(
    rotations: Float[Tensor, "*batch 22 3 3"], pelvis: Float[Tensor, "*batch 3"], rest: Float[Tensor, "55 3"]
) -> Float[Tensor, "*batch 24 3"]:
    """The same from local rotations and the place of the pelvis, by forward kinematics."""
    about = rifke.local_positions(rotations, rest)
    return torch.cat([torch.zeros_like(about[..., :1, :]), about], -2) + pelvis[..., None, :]


def turned(path: Path, angle: Float[Tensor, "*batch"]) -> Path:
    """A way, or a trajectory, turned by `angle` radians about +Y through the origin."""
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    x, z, height, s, c = path.unbind(-1)
    return torch.stack([cos * x + sin * z, cos * z - sin * x, height, s * cos + c * sin, c * cos - s * sin], -1)


def way_of(path: Path, actor: Path, angle: Float[Tensor, "*batch"]) -> Path:
    """The reactor's way, normalised: from the actor's pelvis at each frame, in the window's frame, turned by `angle`.

    Planar columns and headings keep their lengths under turns, so noise of unit variance stays such noise: windows that
    are turned against one another can be denoised together.
    """
    return normalised(turned(path - actor * path.new_tensor([1.0, 1.0, 0.0, 0.0, 0.0]), -angle))


def path_of(way: Path, actor: Path, angle: Float[Tensor, "*batch"]) -> Path:
    """Inverse of `way_of`; headings come out with sine and cosine of length one."""
    path = turned(restored(way), angle) + actor * way.new_tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    spin = path[..., 3:]
    return torch.cat([path[..., :3], spin / spin.norm(dim=-1, keepdim=True).clamp_min(1e-4)], -1)


def normalised(way: Path) -> Path:
    """A way in metres to about unit variance."""
    return (way - _mean(way)) / _std(way)


def restored(way: Path) -> Path:
    """Inverse of `normalised`."""
    return way * _std(way) + _mean(way)


def _mean(like: Tensor) -> Tensor:
    return like.new_tensor([0.0, 0.0, HEIGHT, 0.0, 0.0])


def _std(like: Tensor) -> Tensor:
    return like.new_tensor([ACROSS, ACROSS, RISE, HEADING, HEADING])


def start_yaw(actor: Path) -> Float[Tensor, "*batch"]:
    """Heading of the actor at a window's first frame: the turn of the window's frame."""
    return pair.yaw_of(actor[..., :1, :])[..., 0]


def actor_alone(points: Points, actor: Path, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch frames 78"]:
    """The actor as stage one sees it: points about its own pelvis in the window's frame, heading, and how it moves."""
    spun = (-angle)[..., None].expand(actor.shape[:-1])
    ground = points - _planted(actor)[..., None, :]
    about = turn(spun[..., None].expand(points.shape[:-1]), ground)
    spin = turned(actor, -angle)
    yaw = torch.diff(pair.yaw_of(actor), dim=-1)
    rate = torch.remainder(yaw + torch.pi, 2 * torch.pi) - torch.pi
    step = torch.diff(spin[..., :2], dim=-2) * FPS
    moves = torch.cat([step, rate[..., None] * FPS / 3, torch.diff(actor[..., 2:3], dim=-2) * FPS], -1)
    moves = torch.cat([moves, moves[..., -1:, :]], -2)
    return torch.cat([(about / REACH).flatten(-2), spin[..., 3:], moves], -1)


def actor_beside(
    points: Points, actor: Path, path: Path, columns: Float[Tensor, "*batch frames 4"]
) -> Float[Tensor, "*batch frames 78"]:
    """The actor as stage two sees it: points and heading in the reactor's own frame at each frame, and the reactor's
    root columns (normalised), which are what moves the reactor."""
    yaw = pair.yaw_of(path)
    away = in_frame(points, path)
    spin = pair.yaw_of(actor) - yaw
    return torch.cat([(away / REACH).flatten(-2), spin.sin()[..., None], spin.cos()[..., None], columns], -1)


def in_frame(points: Points, path: Path) -> Points:
    """World points in the frame of a trajectory at each frame: from the floor below the pelvis, along the heading."""
    angle = (-pair.yaw_of(path))[..., None].expand(points.shape[:-1])
    return turn(angle, points - _planted(path)[..., None, :])


def _planted(path: Path) -> Float[Tensor, "*batch frames 3"]:
    """The place on the floor below a pelvis."""
    return pair.pelvis_of(path) * path.new_tensor([1.0, 0.0, 1.0])
