"""Voices of a stream: texts that drive body parts for a while (a live form of STMC's tracks)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from laban.timeline import PARTS
from models.body.skeleton import NUM_BODY
from models.body.skeleton import PARTS as PART_JOINTS
from motion.primitives.rollout import Made
from motion.prompts import STAND


@dataclass(frozen=True)
class Voice:
    """A text that moves some parts of the body, for so many more primitives (None: for good), and what follows it."""

    text: str
    parts: tuple[str, ...]
    left: int | None
    then: str


def merged(made: Made, voices: Sequence[Voice]) -> Made:
    """Rows of (people x voices) as people: each body part from its own voice, the way of the root from the legs'."""
    if len(voices) == 1:
        return made
    people = len(made.pelvis) // len(voices)
    rotations = made.rotations.unflatten(0, (people, len(voices)))
    owner = torch.zeros(NUM_BODY, dtype=torch.long)
    for index, voice in enumerate(voices):
        for part in voice.parts:
            owner[[joint for joint in PART_JOINTS[part] if joint < NUM_BODY]] = index
    joints = torch.arange(NUM_BODY)
    picked = rotations.movedim(1, -4)[..., owner, joints, :, :]
    return Made(picked, made.pelvis.unflatten(0, (people, len(voices)))[:, int(owner[0])])


def taken(voices: Sequence[Voice], new: Voice) -> tuple[Voice, ...]:
    """The voices after a new one has taken its parts from them."""
    kept = [replace(v, parts=tuple(part for part in v.parts if part not in new.parts)) for v in voices]
    return (*(v for v in kept if v.parts), new)


def later(voices: Sequence[Voice]) -> tuple[Voice, ...]:
    """The voices one primitive later: one that is over gives its parts back, or idles if there is no other."""
    left = [v if v.left is None else replace(v, left=v.left - 1) for v in voices]
    over = [v for v in left if v.left == 0]
    going = [v for v in left if v.left != 0]
    if not over:
        return tuple(left)
    free = tuple(part for v in over for part in v.parts)
    if not going:
        last = max(over, key=lambda v: len(v.parts))
        return (Voice(last.then, PARTS, None, STAND),)
    widest = max(going, key=lambda v: len(v.parts))
    return tuple(replace(v, parts=(*v.parts, *free)) if v is widest else v for v in going)
