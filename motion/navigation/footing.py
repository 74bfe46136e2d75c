"""What a network made as it is shown: no tremble, planted feet that stay, and no sole below the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from models.body.cleanup import TOES, bridged, lowering, planted, steadied, stretches, undone
from models.body.limbs import LEGS, bend, pose_of
from models.body.skeleton import NUM_BODY
from models.motion import Motion
from models.objectives import floor_height
from motion.navigation.stance import soles
from motion.primitives.choice import motions_of
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made

SLOW = 0.1
"""Seconds over which the body follows what its feet are lifted by."""
DOWN, UP = 0.03, 0.1
"""Metres that a planted foot is lowered, and lifted, at most; farther from the floor it does not stand on it."""
BEGIN = 0.2
"""Seconds at the beginning in which lifting sets in: the first frame goes on from others."""


def finished(made: Sequence[Made], network: PrimitiveModel, floor: float = 0.0, *, person: int = 0) -> Motion:
    """The primitives of one person as a clean motion at 30 fps, with soles that stand on the floor."""
    return grounded(steadied(motions_of(made, network)[person]), network, floor)


def grounded(motion: Motion, network: PrimitiveModel, floor: float = 0.0) -> Motion:
    """The motion with soles that stand still on the floor while a foot is planted, and are never below it.

    As `models.body.cleanup.lock_feet`, but what stands still is the point of the sole that is lowest, in all three
    directions: heels and toes roll off, and nothing floats or sinks. The body follows up and down.
    """
    rest = network.rest.cpu().double()
    rotations, root = motion.rotations[0].astype(np.float64), motion.root[0].astype(np.float64)
    points = soles(network, torch.from_numpy(rotations[None, :, :NUM_BODY]).float(),
                   (torch.from_numpy(root)[None] + rest[0]).float())[0].cpu().numpy()  # fmt: skip
    pose = pose_of(rotations, root, rest)
    level = float(floor_height(torch.from_numpy(pose.places)))
    share = np.clip(np.arange(len(root)) / (BEGIN * motion.fps), 0, 1)
    share = share * share * (3 - 2 * share)
    moves = np.zeros((2, len(root), 3))
    for foot, (leg, toe) in enumerate(zip(LEGS, TOES, strict=True)):
        heel, ball = planted(pose.places[:, leg.end], pose.places[:, toe], level, motion.fps)
        own = points.reshape(len(root), 2, -1, 3)[:, foot].astype(np.float64)
        moves[foot] = _kept(own, heel | ball, floor) * share[:, None]
    shift = np.zeros_like(root)
    shift[:, 1] = gaussian_filter1d(moves[..., 1].mean(0), SLOW * motion.fps, mode="nearest")
    shift[:, 1] = share * (shift[:, 1] - lowering(pose, moves - shift, motion.fps))
    for move, leg in zip(moves, LEGS, strict=True):
        bend(rotations, pose, leg, shift, move)
    return replace(motion, rotations=rotations[None].astype(np.float32), root=(root + shift)[None].astype(np.float32))


def _kept(
    points: Float[ndarray, "frames points 3"], stands: Bool[ndarray, " steps"], floor: float
) -> Float[ndarray, "frames 3"]:
    """Where one foot has to go so that its lowest point stays put on the floor while it `stands`; smooth in between."""
    below = floor - points[..., 1].min(1)
    lowest = np.arange(len(points) - 1), points[:-1, :, 1].argmin(1)
    drift = (points[1:][lowest] - points[:-1][lowest])[:, [0, 2]]
    move, known = np.zeros((len(points), 3)), np.zeros(len(points), bool)
    for start, stop in stretches(stands & (np.abs(below[:-1]) < UP)):
        move[start : stop + 1, 0::2], known[start : stop + 1] = undone(drift[start:stop]), True
        move[start : stop + 1, 1] = np.clip(below[start : stop + 1], -DOWN, UP)
    move = bridged(move, known)
    move[:, 1] = np.maximum(move[:, 1], np.minimum(below, UP))
    return move
