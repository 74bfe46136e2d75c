"""Foot lock for motion that is still being made: planted feet are held with nothing known of what comes.

The rule is that of `models.body.cleanup`; but where the whole clip is known there, corrections begin here with a step
of the foot, fade once it is in the air, and the pelvis follows late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from models.body.cleanup import FARTHEST, PLANTED_SPEED, TOES
from models.body.limbs import LEGS, REACH, Pose, bend, limb_length, pose_of
from models.objectives import CONTACT_HEIGHTS

FADE = 0.12
"""Seconds in which the correction of a foot in the air falls to a third."""
FOLLOW = 0.2
"""Seconds in which the pelvis makes two thirds of the way to where both feet have been moved."""
LOWER = 0.06
"""The same for sinking and rising where a leg is too short."""
WHILE, HIGHEST = 1.0, 0.1
"""Seconds after which, and metres up to which, somebody who floats is taken to stand."""
LEAVING = 0.8
"""Metres a second from which a foot that was planted is so no more."""
DEEPEST = 0.08
"""Metres that the pelvis sinks at most."""


@dataclass
class FootLock:
    """Holds the feet of one person; frames go through `hold` in order, any number at a time."""

    rest: torch.Tensor
    """Rest joints of the body, (55, 3), metres."""
    level: float
    """Height of the toe joints when they rest on the floor, metres. Whoever has not come so low for `WHILE` seconds
    stands on what they came nearest to."""
    fps: float
    lows: deque[float] = field(default_factory=deque)
    """Heights of the lowest foot joint in the frames of the last `WHILE` seconds."""
    last: Float[ndarray, "2 2 3"] | None = None
    """Where ankle and toe of both feet were in the frame before, as the motion has them."""
    planted: Bool[ndarray, "2 2"] = field(default_factory=lambda: np.zeros((2, 2), bool))
    """Whether ankle and toe of both feet were on the floor in the frame before."""
    offset: Float[ndarray, "2 2"] = field(default_factory=lambda: np.zeros((2, 2)))
    """How far (x, z) each foot is moved."""
    shift: Float[ndarray, " 3"] = field(default_factory=lambda: np.zeros(3))
    """How far the pelvis is moved."""

    def hold(
        self, rotations: Float[ndarray, "frames 22 3 3"], root: Float[ndarray, "frames 3"]
    ) -> tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]]:
        """The next frames with planted feet that stand still; `root` is SMPL-X transl."""
        pose = pose_of(rotations, root, self.rest)
        moves, shifts = np.zeros((2, len(root), 3)), np.zeros((len(root), 3))
        for frame in range(len(root)):
            self._advance(pose, frame)
            moves[:, frame, [0, 2]] = self.offset
            shifts[frame] = self.shift
        turned = np.asarray(rotations, np.float64).copy()
        for move, leg in zip(moves, LEGS, strict=True):
            bend(turned, pose, leg, shifts, move)
        return turned.astype(np.float32), (root + shifts).astype(np.float32)

    def _advance(self, pose: Pose, frame: int) -> None:
        feet = np.stack([pose.places[frame, [leg.end, toe]] for leg, toe in zip(LEGS, TOES, strict=True)])
        before, self.last = (feet if self.last is None else self.last), feet
        self.lows.append(float(feet[..., 1].min()))
        if len(self.lows) > WHILE * self.fps:
            self.lows.popleft()
        level = min(max(self.level, min(self.lows)), self.level + HIGHEST)
        heights, steps = np.maximum(feet, before)[..., 1] - level, (feet - before)[..., [0, 2]]
        limit = np.where(self.planted, LEAVING, PLANTED_SPEED)
        slow = np.linalg.norm(steps, axis=-1) * self.fps < limit
        down = self.planted = slow & (heights < np.asarray(CONTACT_HEIGHTS[:2]))
        for foot in range(2):
            if down[foot].any():
                self.offset[foot] -= steps[foot, 1 if down[foot, 1] else 0]
                self.offset[foot] *= min(1.0, FARTHEST / max(float(np.linalg.norm(self.offset[foot])), 1e-9))
            else:
                self.offset[foot] *= np.exp(-1 / (FADE * self.fps))
        self.shift[[0, 2]] += (self.offset.mean(0) - self.shift[[0, 2]]) * (1 - np.exp(-1 / (FOLLOW * self.fps)))
        self.shift[1] += (-self._short(pose, frame) - self.shift[1]) * (1 - np.exp(-1 / (LOWER * self.fps)))

    def _short(self, pose: Pose, frame: int) -> float:
        """How far the hips have to come down for both feet to be in reach, metres."""
        need = 0.0
        for foot, leg in enumerate(LEGS):
            way = pose.places[frame, leg.end] - pose.places[frame, leg.start]
            most = max(REACH * limb_length(pose, leg), float(np.linalg.norm(way)))
            across = float(np.linalg.norm(way[[0, 2]] + self.offset[foot] - self.shift[[0, 2]]))
            if across < most:
                need = max(need, -way[1] - float(np.sqrt(most**2 - across**2)))
        return min(need, DEEPEST)
