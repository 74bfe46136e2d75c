"""What a source of motion hands to the dataset builder: jobs, each of them some clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.skeleton import NUM_BODY
from models.data.dataset import FPS, ClipRecord
from models.motion import Motion
from models.resample import resample
from models.rotations import matrix_to_quaternion

SHORTEST = 20
"""Frames at 30 fps; shorter clips are left out."""
FASTEST = 20.0
"""Metres a second; a clip in which a joint passes this is flagged `spikes`."""


@dataclass(frozen=True)
class BuiltClip:
    """One clip ready for the dataset, and how well it was retargeted (empty where nothing was)."""

    record: ClipRecord
    rotations: Float[ndarray, "frames 22 4"]
    root: Float[ndarray, "frames 3"]
    quality: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A clip that was left out, and why in a few words."""

    id: str
    source: str
    reason: str


Outcome = BuiltClip | Skipped


@dataclass(frozen=True)
class Job:
    """A restartable piece of a build: `run` gives the outcome of its `clips` clips; `key` names it for good."""

    key: str
    clips: int
    run: Callable[[], list[Outcome]]


def built(record: ClipRecord, motion: Motion, quality: dict[str, float] | None = None) -> Outcome:
    """The clip of a person's motion at 30 fps; its record gets length and rate, or it is skipped as too short."""
    motion = resample(motion, FPS)
    if motion.frames < SHORTEST:
        return Skipped(record.id, record.source, "short")
    turns = torch.from_numpy(np.asarray(motion.rotations[0, :, :NUM_BODY], np.float32))
    record = replace(record, frames=motion.frames, fps=FPS, seconds=round(motion.frames / FPS, 3))
    return BuiltClip(record, matrix_to_quaternion(turns).numpy(), np.asarray(motion.root[0], np.float32), quality or {})
