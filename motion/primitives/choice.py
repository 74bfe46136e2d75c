"""Best of several futures: the one that the motion-text encoder finds nearest to the words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.resample import resample
from models.text.known import KnownActions
from motion.candidates import rated
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made

RATED_FPS = 20.0
"""What motion encoders read."""


def best_ahead(made: Sequence[Made], text: str, network: PrimitiveModel, known: KnownActions) -> int:
    """Which of the people, whose primitives follow one another in `made`, does best what `text` says."""
    motions = motions_of(made, network)
    rating = rated([resample(motion, RATED_FPS) for motion in motions], [text], known)
    return int(np.argmax([r.score for r in rating]))


def motions_of(made: Sequence[Made], network: PrimitiveModel) -> list[Motion]:
    """Primitives that follow one another as a motion at 30 fps for each person."""
    rotations = torch.cat([m.rotations for m in made], 1).float().cpu().numpy()
    root = torch.cat([m.pelvis for m in made], 1).float().cpu() - network.rest[0].cpu()
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (*rotations.shape[:2], NUM_JOINTS, 3, 3)).copy()
    full[:, :, :NUM_BODY] = rotations
    return [Motion(full[i : i + 1], root[i : i + 1].numpy(), FPS) for i in range(len(full))]
