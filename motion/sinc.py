"""Two actions at once from two motions: SINC's composition (Athanasiou et al., ICCV 2023), of motions and of features.

The motion that needs more body parts is the base and keeps every part that the other does not need. Legs, pelvis and
the way through the world travel together, with whoever owns the feet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from laban.timeline import PARTS
from models.body.skeleton import PARTS as JOINTS
from models.motion import Motion
from models.representation import rifke
from motion.prompts import Prompt, owners

Crop = Literal["centre", "head"]


def composite(
    first: Motion, second: Motion, parts_first: Sequence[str], parts_second: Sequence[str], *, crop: Crop = "centre"
) -> Motion:
    """Both actions in one motion of one actor, as long as the shorter; the order of the two makes no difference.

    `parts_*` are the body parts (`laban.timeline.PARTS`) that each action needs. Joint rotations are copied part by
    part; root, body shape and gender come from the owner of the legs. `crop` keeps the middle of the longer motion or
    its head. Raises LabanError for several actors, different frame rates, unknown parts, and for equal parts.
    """
    for place, motion in (("first", first), ("second", second)):
        if motion.actors != 1:
            raise LabanError(f"composite: the {place} motion has {motion.actors} people; accepted: one")
    if abs(first.fps - second.fps) > 1e-6:
        raise LabanError(f"composite: motions at {first.fps:g} and {second.fps:g} fps; accepted: one frame rate")
    owned = owners_of_two(parts_first, parts_second)
    frames = min(first.frames, second.frames)
    both = [_cropped(motion, frames, crop) for motion in (first, second)]
    base = both[owned["legs"]]
    rotations, mask = base.rotations.copy(), base.mask.copy()
    for part, owner in owned.items():
        joints = list(JOINTS[part])
        rotations[:, :, joints], mask[joints] = both[owner].rotations[:, :, joints], both[owner].mask[joints]
    return replace(base, rotations=rotations, mask=mask)


def owners_of_two(first: Sequence[str], second: Sequence[str]) -> dict[str, int]:
    """Body part -> 0 or 1: whose it is, by `motion.prompts.owners`; of equally many parts the earlier ones lead."""
    for parts in (first, second):
        if not parts or (unknown := sorted({*parts} - {*PARTS})):
            raise LabanError(f"composite: parts are {', '.join(unknown) if parts else 'none'}; "
                             f"accepted: {', '.join(PARTS)}")  # fmt: skip
    if {*first} == {*second}:
        raise LabanError(f"composite: both motions need {', '.join(first)}; accepted: different parts")
    ranked = sorted((0, 1), key=lambda i: sorted(PARTS.index(part) for part in {*(first, second)[i]}))
    active = [(i, Prompt("", place, place + 1, tuple({*(first, second)[i]}))) for place, i in enumerate(ranked)]
    return owners(active)


def merge(
    first: Float[ndarray, "frames 205"], second: Float[ndarray, "frames 205"], owned: Mapping[str, int]
) -> Float[ndarray, "frames 205"]:
    """RIFKE features of two clips in one, part by part; `with_positions` then makes the positions consistent."""
    out = first.copy()
    for part, owner in owned.items():
        columns = list(rifke.LAYOUT.parts[part])
        out[:, columns] = (first, second)[owner][:, columns]
    return out


def with_positions(
    features: Float[Tensor, "*batch frames 205"], rest: Float[Tensor, "55 3"]
) -> Float[Tensor, "*batch frames 205"]:
    """The features with joint positions computed again from their rotations (forward kinematics)."""
    out = features.clone()
    local = rifke.local_positions(rifke.heading_rotations(features), rest)
    out[..., rifke.LAYOUT.groups["positions"]] = local.flatten(-2)
    return out


def mirrored_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts as seen in a mirror, in the order of `PARTS`."""
    other = {"left arm": "right arm", "right arm": "left arm"}
    swapped = {other.get(part, part) for part in parts}
    return tuple(part for part in PARTS if part in swapped)


def _cropped(motion: Motion, frames: int, crop: Crop) -> Motion:
    start = (motion.frames - frames) // 2 if crop == "centre" else 0
    return motion.slice(start, start + frames)
