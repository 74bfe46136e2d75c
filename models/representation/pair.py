"""Two people in one frame: the actor at the origin facing +Z at a reference frame, the partner where they then are.

A trajectory is five columns a frame: x and z of the pelvis, its height, and sine and cosine of its heading
(`TRAJECTORY`). What the body does beside it are the 205 columns of `models.representation.rifke`, of which the first
four say the same as a trajectory, in steps: `root_columns` turns one into the other. Y up, metres, radians; people are
always in the order of the motion, and the actor is person 0 unless another is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.model import BodyModel, load_body
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.representation import rifke
from models.representation.heading import turn
from models.representation.primitive import Placement, heading, placement
from models.rotations import yaw_rotation

TRAJECTORY: tuple[str, ...] = ("x", "z", "height", "sin heading", "cos heading")

Rotations = Float[Tensor, "*batch people frames 22 3 3"]
Pelvis = Float[Tensor, "*batch people frames 3"]
Path = Float[Tensor, "*batch frames 5"]


@dataclass(frozen=True)
class PairWindow:
    """Two people for as long as a network sees them, in the actor's frame at the reference frame."""

    trajectory: Float[Tensor, "2 frames 5"]
    body: Float[Tensor, "2 frames 205"]
    """`models.representation.rifke` of each person; of its rotations the pelvis' heading is taken out."""
    joints: Float[Tensor, "2 frames 22 3"]
    placement: Placement
    """Where this frame lies in the world."""
    fps: float


def canonical(
    rotations: Rotations, pelvis: Pelvis, *, frame: int = 0, actor: int = 0
) -> tuple[Rotations, Pelvis, Placement]:
    """Everybody in the frame of `actor` at `frame`; distances between people and heights stay. Differentiable."""
    place = placement(rotations[..., actor, :, :, :, :], pelvis[..., actor, :, :], frame)
    return (*_shared(place, pelvis).into(rotations, pelvis), place)


def world(rotations: Rotations, pelvis: Pelvis, place: Placement) -> tuple[Rotations, Pelvis]:
    """Inverse of `canonical`."""
    return _shared(place, pelvis).out_of(rotations, pelvis)


def trajectory(rotations: Float[Tensor, "*batch frames 22 3 3"], pelvis: Float[Tensor, "*batch frames 3"]) -> Path:
    """Root trajectory of each person (`TRAJECTORY`)."""
    spin = heading(rotations[..., 0, :, :])
    return torch.stack([pelvis[..., 0], pelvis[..., 2], pelvis[..., 1], spin[..., 0, 2], spin[..., 0, 0]], -1)


def pelvis_of(path: Path) -> Float[Tensor, "*batch frames 3"]:
    """Pelvis positions of a trajectory."""
    return path[..., [0, 2, 1]]


def yaw_of(path: Path) -> Float[Tensor, "*batch frames"]:
    """Heading of a trajectory in radians about +Y, not unwrapped; sine and cosine need not be of length one."""
    return torch.atan2(path[..., 3], path[..., 4])


def relative(path: Path, actor: Path) -> Path:
    """A trajectory seen by the actor: in the frame of the actor's own pelvis and heading at each frame."""
    yaw = yaw_of(actor)
    way = turn(-yaw, pelvis_of(path) - pelvis_of(actor) * path.new_tensor([1.0, 0.0, 1.0]))
    spin = yaw_of(path) - yaw
    return torch.stack([way[..., 0], way[..., 2], way[..., 1], spin.sin(), spin.cos()], -1)


def absolute(seen: Path, actor: Path) -> Path:
    """Inverse of `relative`."""
    yaw = yaw_of(actor)
    way = turn(yaw, pelvis_of(seen)) + pelvis_of(actor) * seen.new_tensor([1.0, 0.0, 1.0])
    spin = yaw_of(seen) + yaw
    return torch.stack([way[..., 0], way[..., 2], way[..., 1], spin.sin(), spin.cos()], -1)


def root_columns(path: Path) -> Float[Tensor, "*batch frames 4"]:
    """The root columns of `rifke` (height, planar step, yaw step) of a trajectory at the rate of the network.

    The last step goes on as the one before it changed. Differentiable.
    """
    yaw, pelvis = yaw_of(path), pelvis_of(path)
    rate = torch.remainder(torch.diff(yaw, dim=-1) + torch.pi, 2 * torch.pi) - torch.pi
    step = turn(-yaw[..., :-1], torch.diff(pelvis, dim=-2))
    moves = torch.cat([step[..., [0, 2]], rate[..., None]], -1)
    if moves.shape[-2] > 1:
        moves = torch.cat([moves, 2 * moves[..., -1:, :] - moves[..., -2:-1, :]], -2)
    else:
        moves = torch.cat([moves, moves.new_zeros(*moves.shape[:-2], 1, 3)], -2)
    return torch.cat([path[..., 2:3], moves[..., : path.shape[-2], :]], -1)


def on_path(
    body: Float[Tensor, "*batch frames 205"], path: Path
) -> tuple[Float[Tensor, "*batch frames 22 3 3"], Float[Tensor, "*batch frames 3"]]:
    """(local rotations, pelvis) of a body that goes exactly along a trajectory: its own root columns are not used."""
    local = rifke.heading_rotations(body)
    turned = yaw_rotation(yaw_of(path)) @ local[..., 0, :, :]
    return torch.cat([turned[..., None, :, :], local[..., 1:, :, :]], -3), pelvis_of(path)


def encode(motion: Motion, body: BodyModel | None = None, *, frame: int = 0, actor: int = 0) -> PairWindow:
    """Two people as a window in the frame of `actor` at `frame`, at the motion's own rate. float32."""
    if motion.actors != 2:
        raise LabanError(f"motion: holds {motion.actors} people; accepted: 2")
    rest = rest_joints(motion, body)
    rotations = torch.from_numpy(np.asarray(motion.rotations[:, :, :NUM_BODY], np.float64))
    pelvis = torch.from_numpy(np.asarray(motion.root, np.float64)) + rest[:, None, 0]
    rotations, pelvis, place = canonical(rotations, pelvis, frame=frame, actor=actor)
    joints, _ = forward_kinematics(rotations, (rest - rest[:, :1])[:, None, :NUM_BODY], pelvis)
    features = [
        rifke.encode(rotations[one].numpy(), (pelvis[one] - rest[one, 0]).numpy(), rest[one].numpy())
        for one in range(2)
    ]
    return PairWindow(trajectory(rotations, pelvis).float(), torch.from_numpy(np.stack(features)), joints.float(),
                      place, motion.fps)  # fmt: skip


def decode(window: PairWindow, body: BodyModel | None = None, like: Motion | None = None) -> Motion:
    """The two people in the world again, going along their trajectories; `like` gives shapes (else the mean shape)."""
    rotations, pelvis = on_path(window.body.double(), window.trajectory.double())
    rotations, pelvis = world(rotations, pelvis, window.placement)
    frames = rotations.shape[1]
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (2, frames, NUM_JOINTS, 3, 3)).copy()
    full[:, :, :NUM_BODY] = rotations.numpy()
    blank = Motion(full, np.zeros((2, frames, 3), np.float32), window.fps)
    if like is not None:
        blank = replace(blank, betas=like.betas, genders=like.genders)
    root = (pelvis - rest_joints(blank, body)[:, None, 0]).numpy().astype(np.float32)
    return Motion(full, root, window.fps, blank.betas, blank.genders)


def rest_joints(motion: Motion, body: BodyModel | None = None) -> Float[Tensor, "people 55 3"]:
    """Rest joints in metres of each person's body, double."""
    shapes = torch.from_numpy(np.asarray(motion.betas, np.float32))
    return (body or load_body()).rest_joints(shapes).double()


def _shared(place: Placement, pelvis: Pelvis) -> Placement:
    """One frame for everybody, as a frame for each."""
    people = pelvis.shape[-3]
    turns = place.turn[..., None, :, :].expand(*pelvis.shape[:-3], people, 3, 3)
    return Placement(turns, place.origin[..., None, :].expand(*pelvis.shape[:-3], people, 3))
