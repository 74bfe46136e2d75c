"""The two-person takes: what bringing held hands together changes, and what the measures make of wrong partners.

    python -m benchmarks.pairs [runs/data/mocap] [--measures]

Held frames are those in which a hand holds another (`models.body.touching`). Gaps are medians over held frames, between
palm centres and between wrists; `met` is the share of held frames with palms within 5 cm. Skate is the foot skate of
both people, m/s: arms alone may move. Turns are of the six arm joints, over all frames; the fastest is the top speed
of a wrist in the holds and 0.3 s around them, m/s: nothing may jerk.

With `--measures` the second table: 6 s windows of all takes, every 12 s, each by the encoder of its fold, with the real
partner, the real one as captured (hands apart), the same partner from another moment of the take, and the partner of
the nearest actor of the other folds' takes. KID x 1000 is a mean over folds; `captured` is the probability that the
encoder gives to windows being real.
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
from models.data.pairs import FOLDS, Pair, mocap_pairs, with_holds
from models.formats import together
from models.motion import Motion
from models.objectives import foot_skate
from motion.metrics import kid_of_halves
from motion.reaction.baselines import nearest_partner, partners_of
from motion.reaction.measures import measure as reaction_figures
from motion.reaction.measures import summary
from motion.reaction.pair_encoder import load_pair_encoder

ARM = slice(JOINT["left_shoulder"], JOINT["right_wrist"] + 1)
CLIP = 180
"""Frames at 30 fps."""
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
    parser.add_argument("--measures", action="store_true", help="measure real and wrong partners, too")
    arguments = parser.parse_args()
    pairs = mocap_pairs(MotionDataset.open(arguments.folder), repaired=False)
    print(
        f"{'take':14s}{'frames':>7s}{'held':>6s}{'holds':>6s}{'palms cm':>14s}{'wrists cm':>14s}{'met %':>11s}"
        f"{'skate m/s':>15s}{'fastest m/s':>12s}{'turns °, mean, p99, max':>25s}"
    )
    changes = [measure(pair) for pair in pairs]
    for pair, change in zip(pairs, changes, strict=True):
        print(line(pair.name, pair.motion.frames, change))
    print(line("all", sum(pair.motion.frames for pair in pairs), joined(changes)))
    if arguments.measures:
        measures([with_holds(pair) for pair in pairs], pairs)


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


def measures(pairs: list[Pair], raw: list[Pair]) -> None:
    """Print what every measure says of real and of wrong partners."""
    encoder = load_pair_encoder()
    rows: dict[str, list[dict[str, float]]] = {}
    scores: dict[str, list[tuple[float, float]]] = {}
    for fold in range(FOLDS):
        bank = partners_of([pair for pair in pairs if pair.fold != fold])
        real, made = [], {}
        for pair, before in zip(pairs, raw, strict=True):
            for start in range(0, pair.motion.frames - CLIP, 2 * CLIP) if pair.fold == fold else ():
                clip = pair.motion.slice(start, start + CLIP)
                later = (start + pair.motion.frames // 2) % (pair.motion.frames - CLIP)
                real.append(clip)
                for name, motion in {
                    "real": clip,
                    "as captured": before.motion.slice(start, start + CLIP),
                    "another moment": with_partner(clip, pair.motion.slice(later, later + CLIP)),
                    "nearest partner": nearest_partner(clip.actor(0), bank),
                }.items():
                    made.setdefault(name, []).append(motion)
                    rows.setdefault(name, []).append(reaction_figures(motion, clip))
        for name, motions in made.items():
            kid = encoder.kid(motions, real, fold)[0]
            if name == "real":
                kid = kid_of_halves(encoder.embed(real, fold))[0]
            scores.setdefault(name, []).append((kid, float(encoder.real(motions, fold).mean())))
    for name, figures in rows.items():
        kid, captured = np.mean(scores[name], axis=0)
        print(f"{name} (n = {len(figures)}): KID {kid:.1f}, captured {captured:.2f}")
        for measure_name, estimate in summary(figures).items():
            print(f"    {measure_name:20s}{estimate}")


def with_partner(one: Motion, other: Motion) -> Motion:
    """The actor of one motion with the partner of another."""
    return together([one.actor(0), other.actor(1)], "partner")


if __name__ == "__main__":
    main()
