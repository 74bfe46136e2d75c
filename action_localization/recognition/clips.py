"""Trimmed clips of a built motion set, with the action of each: what recognition learns from and is measured on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from laban.errors import LabanError
from models.data.dataset import MotionDataset
from models.motion_text.encoder import LONGEST
from models.motion_text.examples import SEQUENCE, read_joints
from models.representation import joints as joint_columns

_SEED = 5


@dataclass(frozen=True)
class TrimmedClip:
    """The middle 10 s (at most) of a clip: its name, its coarse action, and its joint features."""

    name: str
    action: str
    features: Float32[ndarray, "frames 133"]


def trimmed_clips(
    dataset: MotionDataset, split: str, *, most: int | None = None, quiet: bool = False
) -> list[TrimmedClip]:
    """Clips of one action, in an order fixed by the dataset; at most so many of an action, drawn at random.

    LabanError when nothing is left.
    """
    joints = read_joints(dataset, quiet=quiet)
    count, found = Counter[str](), []
    for i in np.random.default_rng(_SEED).permutation(len(dataset.records)):
        record = dataset.records[int(i)]
        if record.split != split or record.action == SEQUENCE:
            continue
        if most is not None and count[record.action] >= most:
            continue
        count[record.action] += 1
        clip = joints[int(i)]
        first = max(0, (len(clip) - LONGEST) // 2)
        features = joint_columns.encode(clip.astype(np.float64))[first : first + LONGEST]
        found.append(TrimmedClip(record.id, record.action, features))
    if not found:
        raise LabanError(f"{dataset.folder}: has no clip of one action in split {split!r}")
    return found
