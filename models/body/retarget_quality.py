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
BUILT_IN = frozenset(JOINT[name] for name in ("left_hip", "right_hip", "left_collar", "right_collar"))
"""Bones whose direction within pelvis or chest is the body's shape: no joint turns them, on either skeleton."""
_POSED = [joint - 1 for joint in range(1, 22) if joint not in BUILT_IN]
_TURNING = [joint for joint in range(22) if joint not in TOES]
_RESTING = 0.15  # metres a second; a toe slower than this is taken to be in contact where it is low
_LOW = 0.05  # metres above the clip's lowest toe


@dataclass(frozen=True)
class Quality:
    """Differences between a source and its retargeted motion; NaN where a clip has no such frames.

    `bone` median angle between bones, degrees; `posed` the same without those of `BUILT_IN`. Over frames in which a toe
    of the source (scaled by leg length) rests: `lift` median change of its height, metres, which is that between the
    skeletons' toe joints over the sole; `toe` 95th percentile of what changes beyond it; `slide` and `source_slide`
    median horizontal speed, metres a second. `pace` and `source_pace`: 99th percentile of the angular velocities of all
    joints but the toes, radians a second; `flip` the highest of all, new over source.
    """

    bone: float
    posed: float
    toe: float
    lift: float
    slide: float
    source_slide: float
    pace: float
    source_pace: float
    flip: float


def measure(
    tracks: SourceTracks, world: Float[ndarray, "frames 22 3 3"], places: Float[ndarray, "frames 22 3"]
) -> Quality:
    """Quality of world rotations and joint positions of a target that follow `tracks`."""
    errors = bone_errors(tracks.places, places)
    toe, lift, slide, source_slide = _contact(tracks.places * (leg_length(places) / tracks.leg), places, tracks.fps)
    pace, source_pace = (_turning(turned, tracks.fps) for turned in (world, tracks.turned))
    fast, source_fast = (float(np.percentile(velocity, 99)) for velocity in (pace, source_pace))
    return Quality(
        bone=float(np.median(errors)), posed=float(np.median(errors[:, _POSED])), toe=toe, lift=lift, slide=slide,
        source_slide=source_slide, pace=fast, source_pace=source_fast,
        flip=float(pace.max() / max(source_pace.max(), 1.0)),
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
) -> tuple[float, float, float, float]:
    nothing = np.nan, np.nan, np.nan, np.nan
    if len(source) < 3:
        return nothing
    before, after = (places[:, TOES] for places in (source, target))
    speeds = [np.linalg.norm(np.gradient(p[..., (0, 2)], axis=0), axis=-1) * fps for p in (before, after)]
    resting = (speeds[0] < _RESTING) & (before[..., 1] < before[..., 1].min() + _LOW)
    if not resting.any():
        return nothing
    change = (after - before)[..., 1][resting]
    lift = float(np.median(change))
    slide, source_slide = (float(np.median(speed[resting])) for speed in (speeds[1], speeds[0]))
    return float(np.percentile(np.abs(change - lift), 95)), lift, slide, source_slide


def _turning(turned: Float[ndarray, "frames 22 3 3"], fps: float) -> Float[ndarray, "steps joints"]:
    """Angular velocities in radians a second between frames."""
    if len(turned) < 2:
        return np.zeros((1, len(_TURNING)), np.float32)
    some = turned[:, _TURNING]
    return rotation_angle(some[1:].swapaxes(-1, -2) @ some[:-1]) * fps
