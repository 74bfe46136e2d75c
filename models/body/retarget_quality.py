"""How well a retargeted clip keeps its source: bone directions, contacts, and the pace of its rotations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.retarget_source import SourceTracks, leg_length
from models.body.skeleton import JOINT, PARENTS
from models.body.vectors import rotation_angle, unit

TOES = (JOINT["left_foot"], JOINT["right_foot"])
_RESTING = 0.15  # metres a second; a toe slower than this is taken to be in contact where it is low
_LOW = 0.05  # metres above the clip's lowest toe


@dataclass(frozen=True)
class Quality:
    """Differences between a source and its retargeted motion; NaN where a clip has no such frames.

    `bone` median angle between bones, degrees. Over frames in which a toe of the source rests: `toe` 95th percentile
    of the change in its height beyond the clip's constant one, metres, `lift` that constant, `slide` median of the
    extra horizontal speed, metres a second. `pace` ratio of the fastest turns (99th percentile of all joints' angular
    velocity relative to the pelvis frame before), new over source.
    """

    bone: float
    toe: float
    lift: float
    slide: float
    pace: float


def measure(
    tracks: SourceTracks, world: Float[ndarray, "frames 22 3 3"], places: Float[ndarray, "frames 22 3"]
) -> Quality:
    """Quality of world rotations and joint positions of a target that follow `tracks`."""
    scale = leg_length(places) / tracks.leg
    toe, lift, slide = _contact(tracks.places * scale, places, tracks.fps)
    return Quality(
        bone=float(np.median(bone_errors(tracks.places, places))), toe=toe, lift=lift, slide=slide,
        pace=_pace(world) / max(_pace(tracks.turned), 1e-6),
    )  # fmt: skip


def bone_errors(
    source: Float[ndarray, "frames 22 3"], target: Float[ndarray, "frames 22 3"]
) -> Float[ndarray, "frames 21"]:
    """Angle in degrees between each bone of the source and of the target."""
    parents = list(PARENTS[1:22])
    first, second = (unit(places[:, 1:22] - places[:, parents]) for places in (source, target))
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.degrees(np.arctan2(sine, (first * second).sum(-1)))


def _contact(
    source: Float[ndarray, "frames 22 3"], target: Float[ndarray, "frames 22 3"], fps: float
) -> tuple[float, float, float]:
    if len(source) < 3:
        return np.nan, np.nan, np.nan
    before, after = (places[:, TOES] for places in (source, target))
    speeds = [np.linalg.norm(np.gradient(p[..., (0, 2)], axis=0), axis=-1) * fps for p in (before, after)]
    resting = (speeds[0] < _RESTING) & (before[..., 1] < before[..., 1].min() + _LOW)
    if not resting.any():
        return np.nan, np.nan, np.nan
    change = (after - before)[..., 1][resting]
    lift = float(np.median(change))
    slide = float(np.median(np.maximum(speeds[1] - speeds[0], 0)[resting]))
    return float(np.percentile(np.abs(change - lift), 95)), lift, slide


def _pace(turned: Float[ndarray, "frames 22 3 3"]) -> float:
    if len(turned) < 2:
        return 0.0
    limbs = turned[:, (0, 1, 2, 4, 5, 9, 15, 16, 17, 18, 19)]
    step = limbs[1:].swapaxes(-1, -2) @ limbs[:-1]
    return float(np.percentile(rotation_angle(step), 99))
