"""The two-person takes: what bringing held hands together changes, and what it must not.

    python -m benchmarks.pairs [runs/data/mocap]

Held frames are those in which a hand holds another (`models.body.touching`). Gaps are medians over held frames, between
palm centres and between wrists; `met` is the share of held frames with palms within 5 cm. Skate is the foot skate of
both people, m/s: arms alone may move. Turns are of the six arm joints, over all frames; the fastest is the top speed
of a wrist in the holds and 0.3 s around them, m/s: nothing may jerk.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.pose import motion_joints
from models.body.skeleton import JOINT
from models.body.touching import FADE, Hold, held_hands, join_hands, palms
from models.body.vectors import rotation_angle
from models.data.dataset import MotionDataset
from models.data.pairs import Pair, mocap_pairs
from models.motion import Motion
from models.objectives import foot_skate

ARM = slice(JOINT["left_shoulder"], JOINT["right_wrist"] + 1)
WRISTS = slice(JOINT["left_wrist"], JOINT["right_wrist"] + 1)


@dataclass(frozen=True)
class Change:
    """One take before and after; gaps of every held frame."""

    palms: Float[ndarray, "2 held"]
    wrists: Float[ndarray, "2 held"]
    skate: Float[ndarray, "2"]
    fastest: Float[ndarray, "2"]
    turns: Float[ndarray, "people frames 6"]
    held: float
    holds: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/data/mocap"))
    pairs = mocap_pairs(MotionDataset.open(parser.parse_args().folder), repaired=False)
    print(
        f"{'take':14s}{'frames':>7s}{'held':>6s}{'holds':>6s}{'palms cm':>14s}{'wrists cm':>14s}{'met %':>11s}"
        f"{'skate m/s':>15s}{'fastest m/s':>12s}{'turns °, mean, p99, max':>25s}"
    )
    changes = [measure(pair) for pair in pairs]
    for pair, change in zip(pairs, changes, strict=True):
        print(line(pair.name, pair.motion.frames, change))
    print(line("all", sum(pair.motion.frames for pair in pairs), joined(changes)))


def measure(pair: Pair) -> Change:
    """A take before and after its held hands were brought together."""
    holds = held_hands(pair.motion)
    both = (pair.motion, join_hands(pair.motion, holds))
    joints = [motion_joints(motion) for motion in both]
    inside, around = np.zeros((2, pair.motion.frames), bool)
    for hold in holds:
        inside[hold.start : hold.stop] = True
        around[max(0, hold.start - round(FADE * 30)) : hold.stop + round(FADE * 30)] = True
    speeds = [np.linalg.norm(np.diff(one[:, :, WRISTS], axis=1), axis=-1)[:, around[1:]] * 30 for one in joints]
    turned = rotation_angle(np.swapaxes(both[0].rotations, -1, -2)[:, :, ARM] @ both[1].rotations[:, :, ARM])
    return Change(
        np.stack([gaps(palms(motion), holds) for motion in both]),
        np.stack([gaps(one[:, :, WRISTS], holds) for one in joints]),
        np.array([skate(motion) for motion in both]),
        np.array([speed.max(initial=0.0) for speed in speeds]),
        np.degrees(turned),
        float(inside.mean()),
        len(holds),
    )


def gaps(hands: Float[ndarray, "2 frames 2 3"], holds: tuple[Hold, ...]) -> Float[ndarray, " held"]:
    """Metres between the hands of every hold in each of its frames."""
    apart = [
        np.linalg.norm(hands[0, h.start : h.stop, h.first] - hands[1, h.start : h.stop, h.second], axis=-1)
        for h in holds
    ]
    return np.concatenate([np.zeros(0), *apart])


def skate(motion: Motion) -> float:
    """Mean foot skate of both people, m/s."""
    return float(foot_skate(torch.from_numpy(motion_joints(motion)), motion.fps).mean())


def joined(changes: list[Change]) -> Change:
    """All takes as one."""
    frames = np.array([change.turns.shape[1] for change in changes])
    share = frames / frames.sum()
    return Change(
        np.concatenate([change.palms for change in changes], 1),
        np.concatenate([change.wrists for change in changes], 1),
        np.sum([change.skate * part for change, part in zip(changes, share, strict=True)], 0),
        np.max([change.fastest for change in changes], 0),
        np.concatenate([change.turns for change in changes], 1),
        float(np.sum([change.held * part for change, part in zip(changes, share, strict=True)])),
        sum(change.holds for change in changes),
    )


def line(name: str, frames: int, change: Change) -> str:
    """One row of the table."""
    palm, wrist = (100 * np.median(values, axis=1) for values in (change.palms, change.wrists))
    met = 100 * (change.palms < 0.05).mean(1)
    turns = change.turns.mean(), np.percentile(change.turns, 99), change.turns.max()
    return (
        f"{name:14s}{frames:7d}{100 * change.held:5.0f}%{change.holds:6d}{palm[0]:7.1f} ->{palm[1]:4.1f}"
        f"{wrist[0]:8.1f} ->{wrist[1]:5.1f}{met[0]:5.0f} ->{met[1]:3.0f}{change.skate[0]:8.3f} ->{change.skate[1]:6.3f}"
        f"{change.fastest[0]:6.1f} ->{change.fastest[1]:4.1f}{turns[0]:14.1f}{turns[1]:6.0f}{turns[2]:5.0f}"
    )


if __name__ == "__main__":
    main()
