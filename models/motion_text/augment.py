"""Augmentation of joint features (`models.representation.joints`) in feature space: no joints are computed again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.body.skeleton import MIRROR, NUM_BODY, PARENTS
from models.representation.joints import LAYOUT

RATES = [*range(1, 4), *range(67, 133)]
"""Columns per second (planar velocity, yaw rate, joint velocities): they scale with playing speed."""


BUILD: tuple[tuple[int, ...], ...] = (
    (1, 2, 4, 5, 7, 8, 10, 11), (3, 6, 9, 12, 15), (13, 14, 16, 17), (18, 19, 20, 21)
)  # fmt: skip
"""Joints whose bones (from their parent) lengthen together: legs, spine and head, shoulders, arms."""
_GROUP = {joint: group for group, joints in enumerate(BUILD) for joint in joints}


@dataclass(frozen=True)
class Augmentation:
    """How far a training clip may be bent away from the captured one."""

    frames: int = 200
    trim: float = 0.12
    """Largest share cut off each end."""
    speed: float = 0.25
    """Speeds from 1 / (1 + speed) to 1 + speed."""
    size: float = 0.1
    """Body sizes from 1 - size to 1 + size."""
    build: float = 0.1
    """Legs, spine, shoulders and arms each from 1 - build to 1 + build times as long, beside the body's size."""
    height: float = 0.02
    """Standard deviation of a constant floor error, metres."""
    jitter: float = 0.01
    """Largest standard deviation of joint noise, metres."""
    still: float = 0.0
    """Share of clips that lose their travel, as motion read from a cropped video does."""


def _mirror_table() -> tuple[list[int], list[float]]:
    joint = list(MIRROR[:NUM_BODY])
    order, sign = list(range(4)), [1.0, -1.0, 1.0, -1.0]  # height, planar (x, z), yaw
    for start, joints in ((4 - 3, range(1, NUM_BODY)), (67, range(NUM_BODY))):
        for j in joints:
            order += [start + 3 * joint[j] + k for k in range(3)]
            sign += [-1.0, 1.0, 1.0]
    return order, sign


_ORDER, _SIGN = _mirror_table()


def mirror(features: Float[Tensor, "*frames 133"]) -> Float[Tensor, "*frames 133"]:
    """Features of the same motion seen in a mirror: left and right joints swapped, x negated."""
    return features[..., _ORDER] * torch.tensor(_SIGN, dtype=features.dtype, device=features.device)


def change_speed(features: Float[Tensor, "frames 133"], speed: float) -> Float[Tensor, "new 133"]:
    """Features of the same motion played `speed` times as fast (linear interpolation between frames)."""
    if len(features) < 2:
        return features
    position = torch.arange(0, len(features) - 1 + 1e-6, speed).clamp_max(len(features) - 1)
    before: Int[Tensor, " new"] = position.long().clamp_max(len(features) - 2)
    mixed = torch.lerp(features[before], features[before + 1], (position - before)[:, None])
    mixed[:, RATES] *= speed
    return mixed


def change_build(
    features: Float[Tensor, "frames 133"], scales: Float[Tensor, " groups"]
) -> Float[Tensor, "frames 133"]:
    """Features of the same motion on a body whose bones are `scales` times as long, one scale for each of `BUILD`.

    The pelvis rises and travels with the legs, so that planted feet stay planted; the heading stays as it was.
    """
    result = features.clone()
    legs = scales[0]
    result[:, :3] *= legs
    places, speeds = features[:, 4:67].unflatten(-1, (-1, 3)), features[:, 67:].unflatten(-1, (-1, 3))
    places = torch.cat((torch.zeros_like(places[:, :1]), places), 1)
    new_places, new_speeds = [places[:, 0]], [legs * speeds[:, 0]]
    for joint in range(1, NUM_BODY):
        parent, scale = PARENTS[joint], scales[_GROUP[joint]]
        new_places.append(new_places[parent] + scale * (places[:, joint] - places[:, parent]))
        new_speeds.append(new_speeds[parent] + scale * (speeds[:, joint] - speeds[:, parent]))
    result[:, 4:67] = torch.stack(new_places[1:], 1).flatten(1)
    result[:, 67:] = torch.stack(new_speeds, 1).flatten(1)
    return result


def augment(
    features: Float[Tensor, "frames 133"], rule: Augmentation, generator: torch.Generator
) -> Float[Tensor, "new 133"]:
    """A random trim, crop, speed, size, floor error and joint noise; mirroring is the caller's, because of the text."""
    trims, picks = torch.rand(2, generator=generator), torch.rand(6, generator=generator).tolist()
    start, cut = (trims * rule.trim * len(features)).long().tolist()
    speed = (1 + rule.speed) ** (2 * picks[0] - 1)
    clip = change_speed(features[start : max(len(features) - cut, start + 4)], speed)
    first = int(picks[1] * max(len(clip) - rule.frames + 1, 1))
    groups = 1 + rule.build * (2 * torch.rand(len(BUILD), generator=generator) - 1)
    clip = change_build(clip[first : first + rule.frames], groups * (1 + rule.size * (2 * picks[2] - 1)))
    clip[:, 0] += rule.height * torch.randn((), generator=generator)
    if picks[3] < rule.still:
        clip[:, 67:] -= clip[:, 67:70].repeat(1, NUM_BODY)
        clip[:, 1:4] = 0
    return _shake(clip, picks[4] * rule.jitter, generator)


def _shake(
    clip: Float[Tensor, "frames 133"], deviation: float, generator: torch.Generator
) -> Float[Tensor, "frames 133"]:
    """Independent joint noise, with the velocities that such noise has."""
    if len(clip) < 2:
        return clip
    noise = deviation * torch.randn(len(clip), NUM_BODY * 3, generator=generator)
    clip[:, 4:67] += noise[:, 3:]
    clip[:-1, 67:] += (noise[1:] - noise[:-1]) * LAYOUT.fps
    return clip
