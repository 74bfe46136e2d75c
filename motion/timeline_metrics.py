"""Measures on performed timelines: seams, boundaries found in curves, and intervals from resampling whole timelines.

Intervals of one timeline share a motion, so they are not independent: every 95 % interval here resamples timelines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from motion.metrics import Estimate, local_poses

DRAWS = 1000
AROUND = 5
"""Frames before and after a seam (0.25 s at 20 fps) within which feet and jerk are looked at."""

Joints = Float[ndarray, "frames 22 3"]


# ------------------------------------------------------------------------------------------------------- estimates


@dataclass(frozen=True)
class Values:
    """One number for each interval (or seam) with the timeline it belongs to; `label` is what a macro mean is over."""

    value: Float[ndarray, " units"]
    timeline: Int[ndarray, " units"]
    label: ndarray | None = None

    @classmethod
    def joined(cls, several: Sequence[Values]) -> Values:
        """The values of several repeats as one."""
        labels = [one.label for one in several if one.label is not None]
        return cls(np.concatenate([one.value for one in several]), np.concatenate([one.timeline for one in several]),
                   np.concatenate(labels) if labels else None)  # fmt: skip

    def where(self, keep: Bool[ndarray, " units"]) -> Values:
        """The units that a mask keeps."""
        return Values(self.value[keep], self.timeline[keep], None if self.label is None else self.label[keep])


def estimate(values: Values, *, macro: bool = False, repeats: Sequence[Values] = (), seed: int = 0) -> Estimate:
    """Mean with its interval; `macro` averages over labels. `repeats` (pooled in `values`) give the spread."""
    point, resampled = _means(values, macro, seed)
    low, high = np.nanpercentile(resampled, (2.5, 97.5))
    each = [_means(one, macro, seed, draws=0)[0] for one in repeats]
    spread = 1.96 * float(np.std(each, ddof=1)) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return Estimate(point, float(low), float(high), len(values.value), spread)


def ratio(ours: Values, real: Values, *, macro: bool = False, seed: int = 0) -> Estimate:
    """Mean of ours over mean of real; both are resampled by the same timelines."""
    top, tops = _means(ours, macro, seed)
    bottom, bottoms = _means(real, macro, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanpercentile(tops / bottoms, (2.5, 97.5))
        return Estimate(float(np.float64(top) / bottom), float(low), float(high), len(ours.value))


def _means(values: Values, macro: bool, seed: int, draws: int = DRAWS) -> tuple[float, Float[ndarray, " draws"]]:
    """The mean, and means over drawn timelines: the same draw for every `Values` of one benchmark and seed."""
    if not len(values.value):
        return float("nan"), np.full(max(draws, 1), np.nan)
    labels = values.label if macro and values.label is not None else np.zeros(len(values.value), np.int64)
    names, column = np.unique(labels, return_inverse=True)
    timelines = int(values.timeline.max()) + 1
    sums, counts = np.zeros((2, timelines, len(names)))
    np.add.at(sums, (values.timeline, column), values.value)
    np.add.at(counts, (values.timeline, column), 1.0)
    rng = np.random.default_rng(seed)
    used = np.unique(values.timeline)
    weight = np.zeros((draws, timelines))
    if draws:
        picked = rng.integers(len(used), size=(draws, len(used)))
        np.add.at(weight, (np.arange(draws)[:, None], used[picked]), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        point = float(np.mean(sums.sum(0) / counts.sum(0)))
        return point, np.nanmean((weight @ sums) / (weight @ counts), axis=1) if draws else np.zeros(0)


# ------------------------------------------------------------------------------------------------------------ seams


def transition_distance(joints: Joints, frames: Sequence[int]) -> Float[ndarray, " seams"]:
    """How far, cm, a joint jumps on average from frame f - 1 to f, in pelvis-centred coordinates turned to the heading.

    TEACH's and MTT's "transition distance" as described: travel and turning of the body do not count.
    """
    local = local_poses(joints)
    return _jump(local - local[:, :1], frames)


def transition_as_published(joints: Joints, frames: Sequence[int]) -> Float[ndarray, " seams"]:
    """What MTT's script computes for generated motion: from every joint its own first coordinate is subtracted.

    The root is meant, but the coordinate axis is indexed instead of the joint axis.
    """
    local = local_poses(joints)
    return _jump(local - local[..., :1], frames)


def _jump(local: Joints, frames: Sequence[int]) -> Float[ndarray, " seams"]:
    at = np.asarray(frames, np.int64)
    return 100 * np.linalg.norm(local[at] - local[at - 1], axis=-1).mean(-1).astype(np.float64)


def seams_as_published(edges: Sequence[int], frames: int) -> list[int]:
    """The frames at which MTT's script measures: distinct starts and ends within the motion, less the first and last.

    The end of the timeline is outside already, so that the "last" which falls away is a true boundary.
    """
    return sorted({edge for edge in edges if edge < frames})[1:-1]


def quarters(frames: int) -> list[int]:
    """Where MTT measures transitions of motion without boundaries: at 1/4, 2/4 and 3/4."""
    return [k * frames // 4 for k in (1, 2, 3)]


def seam_kinematics(joints: Joints, frames: Sequence[int], fps: float) -> dict[str, Float[ndarray, " seams"]]:
    """Within 0.25 s of each seam: `foot_skate` (m/s, heights above the whole motion's floor) and `peak_jerk` (m/s3)."""
    import torch

    from models import objectives

    clip = torch.from_numpy(np.asarray(joints, np.float64))
    floor = objectives.floor_height(clip)
    found: dict[str, list[float]] = {"foot_skate": [], "peak_jerk": []}
    for frame in frames:
        near = clip[max(0, frame - AROUND) : frame + AROUND + 1]
        found["foot_skate"].append(float(objectives.foot_skate(near, fps, floor=floor)))
        found["peak_jerk"].append(float(objectives.peak_jerk(near, fps)))
    return {name: np.array(values) for name, values in found.items()}


# ----------------------------------------------------------------------------------------------------------- timing


def change_point(evidence: Float[ndarray, " places"]) -> int:
    """The place k from which on `evidence` (log-odds of after against before) is above its middle, before it below.

    The middle lies halfway between the 5th and the 95th percentile, because a classifier's odds lean to one side; the
    k from 0 to n is taken that maximises the sum from k on less the sum before it, of what is clipped to these levels.
    """
    low, high = np.percentile(evidence, (5, 95))
    centred = np.clip(evidence, low, high) - (low + high) / 2
    after = np.concatenate([np.cumsum(centred[::-1])[::-1], [0.0]])
    return int(np.argmax(2 * after - after[0]))
