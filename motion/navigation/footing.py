"""What a network made as it is shown: no tremble, planted feet that stay, and no sole below the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from models.body.cleanup import clean_up
from models.body.limbs import LEGS, bend, pose_of
from models.body.model import BodyModel
from models.body.skeleton import NUM_BODY
from models.motion import Motion
from motion.navigation.stance import soles
from motion.primitives.choice import motions_of
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made

SOONER, SLOW, QUICK = 0.1, 0.12, 0.05
"""Seconds before and after in which a sole is lifted, and over which lifting the body, and one foot, is smoothed."""
BODY, FOOT = 0.06, 0.12
"""Metres that the body, and a foot, is lifted at most."""
BEGIN = 0.2
"""Seconds at the beginning in which lifting sets in: the first frame goes on from others."""


def finished(
    made: Sequence[Made], network: PrimitiveModel, body: BodyModel, floor: float = 0.0, *, person: int = 0
) -> Motion:
    """The primitives of one person as a clean motion at 30 fps, with their soles on or above the floor."""
    motion = clean_up(motions_of(made, network)[person], body, follow=False)
    return lifted(motion, network, floor)


def lifted(motion: Motion, network: PrimitiveModel, floor: float = 0.0) -> Motion:
    """The motion with soles that are not below the floor: both feet by the pelvis, one more than it by its knee."""
    rest = network.rest.cpu().double()
    rotations, root = motion.rotations[0].astype(np.float64), motion.root[0].astype(np.float64)
    points = soles(network, torch.from_numpy(rotations[None, :, :NUM_BODY]).float(),
                   (torch.from_numpy(root)[None] + rest[0]).float())[0].cpu().numpy()  # fmt: skip
    below = floor - points[..., 1].reshape(len(points), 2, 3).min(2)  # left and right
    whole = _smooth(np.clip(below.min(1), 0, BODY), SLOW, motion.fps)
    if not below.max() > 0:
        return motion
    moves = np.zeros((2, len(root), 3))
    for foot in (0, 1):
        moves[foot, :, 1] = np.maximum(whole, _smooth(np.clip(below[:, foot], 0, FOOT), QUICK, motion.fps))
    shift = np.zeros_like(root)
    shift[:, 1] = whole
    pose = pose_of(rotations, root, rest)
    for move, leg in zip(moves, LEGS, strict=True):
        bend(rotations, pose, leg, shift, move)
    return replace(motion, rotations=rotations[None].astype(np.float32), root=(root + shift)[None].astype(np.float32))


def _smooth(depth: Float[ndarray, " frames"], seconds: float, fps: float) -> Float[ndarray, " frames"]:
    """At least about the depth, smooth, and nothing at the beginning."""
    size = 2 * round(SOONER * fps) + 1
    result = gaussian_filter1d(maximum_filter1d(depth, size, mode="nearest"), seconds * fps, mode="nearest")
    share = np.clip(np.arange(len(depth)) / (BEGIN * fps), 0, 1)
    return np.asarray(result * share * share * (3 - 2 * share))
