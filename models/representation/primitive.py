"""Motion primitives: frames in the frame of the newest history frame (DART, Zhao et al., ICLR 2025), Y up, on SMPL-X.

Columns: pelvis position, 22 rotations in 6D (the pelvis in the primitive's frame, the others local), and 21 body
joints relative to the pelvis, along the primitive's axes. The frame has its origin on the floor below the pelvis of the
last history frame and its +Z along that pelvis' heading. DART's difference columns are left out: the history has two
frames, so they say nothing new, and losses take differences themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.skeleton import NUM_BODY, PARTS
from models.representation.layout import Layout
from models.rotations import matrix_to_6d, sixd_to_matrix

HISTORY, FUTURE = 2, 8
"""Frames of a primitive that are given, and that are made."""
UPSIDE_DOWN = 1e-3
"""Of a pelvis that is upside down the heading is not defined; below this it counts as zero."""

Rotations = Float[Tensor, "*batch frames 22 3 3"]
Pelvis = Float[Tensor, "*batch frames 3"]


def _part_columns(part: str) -> tuple[int, ...]:
    joints = [joint for joint in PARTS[part] if joint < NUM_BODY]
    rotations = [3 + 6 * j + k for j in joints for k in range(6)]
    return (*(range(3) if part == "legs" else ()), *rotations,
            *(135 + 3 * (j - 1) + k for j in joints if j for k in range(3)))  # fmt: skip


LAYOUT = Layout(
    name="primitive198", fps=30.0,
    groups={"pelvis": slice(0, 3), "rotations": slice(3, 135), "joints": slice(135, 198)},
    parts={part: _part_columns(part) for part in PARTS}, root=(0, 1, 2), sixd="columns",
    frame="Y up, floor at 0; the last history frame at x = z = 0 with heading 0 (facing +Z)",
)  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """Where a primitive's frame lies in the world: world = turn @ local + origin."""

    turn: Float[Tensor, "*batch 3 3"]
    origin: Float[Tensor, "*batch 3"]

    def into(self, rotations: Rotations, pelvis: Pelvis) -> tuple[Rotations, Pelvis]:
        """World to primitive."""
        back = self.turn.transpose(-1, -2)
        return _turned(rotations, back), _spun(pelvis - self.origin[..., None, :], back)

    def out_of(self, rotations: Rotations, pelvis: Pelvis) -> tuple[Rotations, Pelvis]:
        """Primitive to world; inverse of `into`."""
        return _turned(rotations, self.turn), _spun(pelvis, self.turn) + self.origin[..., None, :]


def heading(orientation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation about +Y in an orientation: the twist of its swing-twist decomposition; differentiable."""
    cos, sin = orientation[..., 0, 0] + orientation[..., 2, 2], orientation[..., 0, 2] - orientation[..., 2, 0]
    length = (cos.square() + sin.square()).clamp_min(UPSIDE_DOWN**2).sqrt()
    lost = length <= UPSIDE_DOWN
    cos, sin = torch.where(lost, 1.0, cos / length), torch.where(lost, 0.0, sin / length)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], -1).unflatten(-1, (3, 3))


def placement(rotations: Rotations, pelvis: Pelvis, frame: int = HISTORY - 1) -> Placement:
    """The primitive frame of a window: below the pelvis of `frame`, along its heading."""
    origin = pelvis[..., frame, :] * pelvis.new_tensor([1.0, 0.0, 1.0])
    return Placement(heading(rotations[..., frame, 0, :, :]), origin)


def encode(rotations: Rotations, pelvis: Pelvis, rest: Float[Tensor, "55 3"]) -> Float[Tensor, "*batch frames 198"]:
    """Features of frames that are in the primitive's frame already; `rest` are the body's rest joints in metres."""
    rest = rest[:NUM_BODY].to(rotations)
    joints, _ = forward_kinematics(rotations, rest - rest[0], torch.zeros_like(pelvis))
    return torch.cat([pelvis, matrix_to_6d(rotations).flatten(-2), joints[..., 1:, :].flatten(-2)], -1)


def decode(features: Float[Tensor, "*batch frames 198"]) -> tuple[Rotations, Pelvis]:
    """(rotations, pelvis) in the primitive's frame; the joint columns are not used."""
    return sixd_to_matrix(features[..., 3:135].unflatten(-1, (NUM_BODY, 6))), features[..., :3]


def joints_of(features: Float[Tensor, "*batch frames 198"]) -> Float[Tensor, "*batch frames 22 3"]:
    """Joint positions in the primitive's frame as the columns state them."""
    pelvis = features[..., None, :3]
    return torch.cat([pelvis, features[..., 135:].unflatten(-1, (NUM_BODY - 1, 3)) + pelvis], -2)


def _turned(rotations: Rotations, turn: Float[Tensor, "*batch 3 3"]) -> Rotations:
    first = turn[..., None, :, :] @ rotations[..., 0, :, :]
    return torch.cat([first[..., None, :, :], rotations[..., 1:, :, :]], -3)


def _spun(points: Pelvis, turn: Float[Tensor, "*batch 3 3"]) -> Pelvis:
    return (turn[..., None, :, :] @ points[..., None])[..., 0]
