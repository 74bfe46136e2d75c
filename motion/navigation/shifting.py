"""Moving on what one sits on: from the edge of a bed to lying on it, and round on a chair to its front.

No words do this, so it is drawn by hand: round by the hips, back by the spine, legs over the edge with bent knees, each
in its own part of the time; then all frames are fitted so that flesh stays out of things (spheres about the bones
against the room's signed distance), changing as little and as smoothly as will do.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.rotations import axis_angle_to_matrix, matrix_to_axis_angle, yaw_rotation
from motion.navigation.flesh import flesh_of
from motion.navigation.placing import Target
from motion.navigation.surveyed import Surveyed
from motion.navigation.turning import wrapped
from motion.primitives.frames import FPS

LYING, ROUND = 3.2, 2.2
"""Seconds that lying down takes from sitting on the edge, and moving round while seated."""
OVER = {"lie": (1.45, 1.0), "sit": (1.75, 1.35)}
"""Radians by which hips and knees are bent on the way."""
TURN, LEAN, LEGS, ARMS = (0.0, 0.7), (0.2, 1.0), (0.0, 0.4, 0.4, 0.9), (0.1, 0.8)
"""Shares of the time in which one goes round, leans back, lifts and lowers the legs, and moves the arms."""
STEPS, RATE = 60, 0.03
"""Of the fitting: Adam steps, and radians or metres that the first ones go."""
DEEP, SMOOTH, NEAR = 60.0, 40.0, 0.3
"""What a squared metre of depth, of change from frame to frame, and of any change costs."""
KNEES, BACKWARD = [JOINT["left_knee"], JOINT["right_knee"]], 20.0
"""Knees, and what a squared radian of bending them backwards costs."""
SKIN = 0.02
"""Metres that flesh gives way."""


def shifted(target: Target, rest: Float[Tensor, "22 3"], room: Surveyed) -> Motion:
    """From `target.first` to `target.pose`, at 30 fps; both are its first and its last frame, but for hands."""
    rotations, pelvis = drawn(target)
    rotations, pelvis = _kept_out(rotations, pelvis, rest, room)
    whole = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(pelvis), NUM_JOINTS, 3, 3)).copy()
    whole[0, :, :NUM_BODY] = rotations.numpy()
    return Motion(whole, (pelvis - rest[0]).numpy()[None].astype(np.float32), FPS)


def drawn(target: Target) -> tuple[Float[Tensor, "frames 22 3 3"], Float[Tensor, "frames 3"]]:
    """Local rotations and places of the pelvis, before anything is kept out of anything."""
    first, last = target.first, target.pose
    frames = round((LYING if target.kind == "lie" else ROUND) * FPS)
    time = torch.linspace(0, 1, frames)
    round_by = wrapped(last.seat.yaw - first.seat.yaw)
    turn, lean, arms = (eased(time, *span) for span in (TURN, LEAN, ARMS))
    upright = [yaw_rotation(torch.tensor(-one.seat.yaw)).float() @ one.rotations[0].float() for one in (first, last)]
    pelvis = yaw_rotation((first.seat.yaw + turn * round_by).float()) @ between(upright[0], upright[1], lean)
    rotations = torch.stack([between(first.rotations[j].float(), last.rotations[j].float(), lean)
                             for j in range(NUM_BODY)], 1)  # fmt: skip
    rotations[:, 0] = pelvis
    for joint in (
        j for name, j in JOINT.items() if any(part in name for part in ("collar", "shoulder", "elbow", "wrist"))
    ):
        rotations[:, joint] = between(first.rotations[joint].float(), last.rotations[joint].float(), arms)
    lifted, lowered = eased(time, *LEGS[:2]), eased(time, *LEGS[2:])
    for name, angle in zip(("hip", "knee"), OVER[target.kind], strict=True):
        bent = axis_angle_to_matrix(torch.tensor([-angle if name == "hip" else angle, 0.0, 0.0]))
        for joint in (JOINT[f"left_{name}"], JOINT[f"right_{name}"]):
            up = between(first.rotations[joint].float(), bent, lifted)
            rotations[:, joint] = torch.stack([between(a, last.rotations[joint].float(), share[None])[0]
                                               for a, share in zip(up, lowered, strict=True)])  # fmt: skip
    share = eased(time, 0.0, 0.9)[:, None]
    return rotations, first.pelvis + share * (last.pelvis - first.pelvis)


def eased(time: Float[Tensor, " frames"], start: float, stop: float) -> Float[Tensor, " frames"]:
    """From 0 at one share of the time to 1 at another, slow at both ends."""
    share = ((time - start) / (stop - start)).clamp(0, 1)
    return share**3 * (10 - 15 * share + 6 * share**2)


def between(
    first: Float[Tensor, "3 3"], second: Float[Tensor, "3 3"], share: Float[Tensor, " frames"]
) -> Float[Tensor, "frames 3 3"]:
    """So much of the shortest turn from one rotation to another."""
    return axis_angle_to_matrix(share[:, None] * matrix_to_axis_angle(second @ first.T)) @ first


def _kept_out(
    rotations: Float[Tensor, "frames 22 3 3"], pelvis: Float[Tensor, "frames 3"], rest: Float[Tensor, "22 3"],
    room: Surveyed,
) -> tuple[Float[Tensor, "frames 22 3 3"], Float[Tensor, "frames 3"]]:  # fmt: skip
    """The frames with flesh out of things and the floor; the first and the last one stay."""
    flesh, frames = flesh_of(), len(pelvis)
    ends = torch.sin(math.pi * torch.linspace(0, 1, frames)).clamp(0, 0.5)[:, None] * 2
    turns = torch.zeros(frames, NUM_BODY, 3, requires_grad=True)
    shift = torch.zeros(frames, 3, requires_grad=True)
    adam = torch.optim.Adam([turns, shift], lr=RATE)
    offsets, bent = rest - rest[0], matrix_to_axis_angle(rotations[:, KNEES])[..., 0]

    def moved() -> tuple[Tensor, Tensor]:
        return rotations @ axis_angle_to_matrix(turns * ends[..., None]), pelvis + shift * ends

    for _ in range(STEPS):
        own, place = moved()
        centres = flesh.centres(forward_kinematics(own, offsets, place)[0])
        gaps = torch.minimum(room.distance(centres), centres[..., 1] - room.scene.floor) - flesh.radius
        change = torch.cat([turns.flatten(1), shift], 1)
        loss = DEEP * (-gaps - SKIN).clamp_min(0).square().sum() + NEAR * change.square().sum()
        loss = loss + BACKWARD * (bent + turns[:, KNEES, 0]).clamp(max=0).square().sum()
        loss = loss + SMOOTH * change.diff(dim=0).diff(dim=0).square().sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        own, place = moved()
    return own.detach(), place.detach()
