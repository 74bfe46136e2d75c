"""Which joints of a skeleton are the 22 body joints, recognised by name."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.clip import SkeletonClip


def map_joints(clip: SkeletonClip) -> Float[ndarray, "22 joints"]:
    """Matrix that weighs a skeleton's joints into the 22 body joints."""
    return np.zeros((22, len(clip.names)), np.float32)
