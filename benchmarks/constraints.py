"""Constrained generation: errors at the keys, sliding feet and jerk, beside free generation, real clips and naive rows.

    python benchmarks/constraints.py --data runs/data/mocap [--checkpoint research] [--cases 20]

In-betweening: the poses two seconds apart of held-out (validation) clips, with the clip's own caption. Paths: lines,
circles and S-curves at 0.6 to 1.2 m/s with a point every half second. Hands and feet: a point in the air in front of
somebody who stands, at a moment of a four-second clip. "network" is what the last steps of sampling left, put in
place but not corrected; "enforced" corrected; "final" cleaned up too, as `laban generate` writes it; "afterwards only"
corrects a free motion, which the network never saw constrained.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.body.pose import motion_joints
from models.body.vectors import axis_rotation
from models.data.dataset import ClipRecord, MotionDataset
from models.motion import Motion
from models.objectives import foot_skate, jerk, peak_jerk
from models.resample import resample
from models.rotations import matrix_to_quaternion, quaternion_to_matrix, slerp
from models.text.known import KnownActions, load_known
from motion.constraints import Constraints, JointKey, RootKey, misses, pose_key
from motion.enforce import Clip, Pace, enforce, placement
from motion.generate import FPS, GenerateConfig, _sample, finished, generate, noise_of, to_motion
from motion.generator import Generator, load_generator

APART = 2.0
"""Seconds between the two poses of in-betweening."""


@dataclass(frozen=True)
class Case:
    """What is asked for, and the real clip that it was taken from, if any."""

    text: str
    seconds: float
    constraints: Constraints
    real: Motion | None = None


def between(data: MotionDataset, rng: np.random.Generator, count: int) -> list[Case]:
    """Poses of validation clips, of different actions first."""
    long = data.select(lambda r: r.seconds > APART + 0.5 and bool(r.texts), split="val")
    seen: dict[str, int] = {}
    ranked: list[tuple[int, ClipRecord]] = []
    for record in (long[i] for i in rng.permutation(len(long))):
        ranked.append((seen.setdefault(record.action, 0), record))
        seen[record.action] += 1
    cases = []
    for _, record in sorted(ranked, key=lambda pair: pair[0])[:count]:
        motion = resample(data.motion(record), FPS)
        start = int(rng.integers(0, motion.frames - round(APART * FPS)))
        real = motion.slice(start, start + round(APART * FPS) + 1)
        keys = Constraints(poses=(pose_key(real, 0.0, 0.0), pose_key(real, APART, APART)))
        cases.append(Case(record.texts[0], APART + 1 / FPS, keys, real))
    return cases


def paths(kind: str, rng: np.random.Generator, count: int) -> list[Case]:
    """Places of the root every half second; a line in any direction, a full circle, an S."""
    cases = []
    for _ in range(count):
        speed, seconds = float(rng.uniform(0.6, 1.2)), 6.0
        length, along = speed * seconds, np.linspace(0, 1, 13)
        if kind == "line":
            x, z = np.zeros(13), length * along
        elif kind == "circle":
            radius, side = length / (2 * np.pi), rng.choice([-1, 1])
            x, z = side * radius * (1 - np.cos(2 * np.pi * along)), radius * np.sin(2 * np.pi * along)
        else:
            x, z = 0.12 * length * np.sin(2 * np.pi * along), 0.9 * length * along
        turn = float(rng.uniform(-np.pi, np.pi)) if kind == "line" else 0.0
        x, z = np.cos(turn) * x + np.sin(turn) * z, np.cos(turn) * z - np.sin(turn) * x
        keys = tuple(RootKey(seconds * a, (float(p), float(q))) for a, p, q in zip(along, x, z, strict=True))
        cases.append(Case("a person walks forward", seconds, Constraints(path=keys)))
    return cases


def hands(rng: np.random.Generator, count: int) -> list[Case]:
    """A wrist somewhere before the chest, to the side, overhead or low."""
    cases = []
    for _ in range(count):
        side, sign = (("left", 1), ("right", -1))[int(rng.integers(2))]
        point = np.array([sign * rng.uniform(-0.1, 0.6), rng.uniform(0.6, 1.8), rng.uniform(0.15, 0.6)])
        key = JointKey(float(rng.uniform(1.5, 2.5)), f"{side}_wrist", point)
        cases.append(Case(f"a person reaches out with the {side} hand", 4.0, Constraints(joints=(key,))))
    return cases


def feet(rng: np.random.Generator, count: int) -> list[Case]:
    """An ankle in the air before the body."""
    cases = []
    for _ in range(count):
        side, sign = (("left", 1), ("right", -1))[int(rng.integers(2))]
        point = np.array([sign * rng.uniform(0.0, 0.3), rng.uniform(0.15, 0.8), rng.uniform(0.2, 0.6)])
        key = JointKey(float(rng.uniform(1.5, 2.5)), f"{side}_ankle", point)
        cases.append(Case(f"a person kicks with the {side} leg", 4.0, Constraints(joints=(key,))))
    return cases


def naive(case: Case) -> Motion:
    """Straight from one pose to the next: linear and slerp."""
    assert case.real is not None
    quaternions = matrix_to_quaternion(torch.from_numpy(case.real.rotations[0].astype(np.float64)))
    share = torch.linspace(0, 1, case.real.frames, dtype=torch.float64)
    mixed = slerp(quaternions[:1], quaternions[-1:], share[:, None])
    root = case.real.root[0, 0] + share.numpy()[:, None] * (case.real.root[0, -1] - case.real.root[0, 0])
    return replace(case.real, rotations=quaternion_to_matrix(mixed).float().numpy()[None],
                   root=root.astype(np.float32)[None])  # fmt: skip


def row(motions: list[Motion], cases: list[Case]) -> dict[str, float]:
    """Errors in cm and degrees at all keys; sliding in m/s and jerk in m/s3, mean and 95 % interval over clips."""
    found = [miss for motion, case in zip(motions, cases, strict=True) for miss in misses(motion, case.constraints)]
    metres, degrees = 100 * np.array([m.metres for m in found]), np.array([m.degrees for m in found])
    joints = [torch.from_numpy(motion_joints(motion)[0]) for motion in motions]
    skates = np.array([float(foot_skate(j, m.fps)) for j, m in zip(joints, motions, strict=True)])
    jerks = np.array([float(jerk(j, m.fps)) for j, m in zip(joints, motions, strict=True)])
    peaks = np.array([float(peak_jerk(j, m.fps)) for j, m in zip(joints, motions, strict=True)])
    half = 1.96 / np.sqrt(len(motions))
    return {"n": len(motions), "keys": len(found), "cm median": float(np.median(metres)), "cm max": metres.max(),
            "deg median": float(np.median(degrees)), "deg max": degrees.max(), "skate": skates.mean(),
            "skate +-": half * skates.std(), "jerk": jerks.mean(), "peak": peaks.mean(), "peak +-": half * peaks.std(),
            }  # fmt: skip


def measured(cases: list[Case], checkpoint: str, config: GenerateConfig) -> dict[str, dict[str, float]]:
    """All rows of one kind of constraint."""

    def each(constrained: bool, config: GenerateConfig) -> list[Motion]:
        return [generate([case.text], case.seconds, checkpoint=checkpoint, config=replace(config, seed=i),
                         constraints=case.constraints if constrained else None)[0]
                for i, case in enumerate(cases)]  # fmt: skip

    raw, free = each(True, replace(config, cleanup=False)), each(False, config)
    network = load_generator(checkpoint)
    known = load_known([action for action, _ in network.config.known], network.config.text)
    own = [_uncorrected(case, i, network, known, config) for i, case in enumerate(cases)]
    late = [enforce(motion, case.constraints) for motion, case in zip(free, cases, strict=True)]
    rows = {"network": own, "enforced": raw,
            "final": [finished(m, config, case.constraints) for m, case in zip(raw, cases, strict=True)],
            "afterwards only": late, "free": free}  # fmt: skip
    table = {name: row(motions, cases) for name, motions in rows.items()}
    if cases[0].real is not None:
        table["naive"] = row([naive(case) for case in cases], cases)
        table["real"] = row([case.real for case in cases if case.real is not None], cases)
    return table


def _uncorrected(case: Case, seed: int, network: Generator, known: KnownActions, config: GenerateConfig) -> Motion:
    """The first candidate as sampled, moved as a whole to where the constraints start."""
    noise = noise_of(seed, round(case.seconds * FPS))
    settings = replace(config, seed=seed)
    features = _sample(network, known, [(case.text, noise)], config=settings, constraints=case.constraints)[0]
    motion = to_motion(features, network.rest)
    rest = network.rest[0].double().numpy()
    clip = Clip(motion.rotations[0, :, :22].astype(np.float64), motion.root[0] + rest)
    yaw, start = placement(clip, case.constraints, Pace(FPS))
    turn = axis_rotation(np.array([0.0, 1.0, 0.0]), np.array(yaw))
    rotations = motion.rotations.copy()
    rotations[0, :, 0] = turn @ rotations[0, :, 0]
    root = clip.pelvis @ turn.T + start - rest
    return replace(motion, rotations=rotations, root=root.astype(np.float32)[None])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", default="research")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, count = MotionDataset.open(options.data), options.cases
    made: dict[str, Callable[[np.random.Generator], list[Case]]] = {
        "in-between": lambda rng: between(data, rng, count), "line": lambda rng: paths("line", rng, count),
        "circle": lambda rng: paths("circle", rng, count), "s-curve": lambda rng: paths("s", rng, count),
        "hand": lambda rng: hands(rng, count), "foot": lambda rng: feet(rng, count),
    }  # fmt: skip
    config, tables = GenerateConfig(candidates=options.candidates, device="cpu"), {}
    for kind in options.only or made:
        tables[kind] = measured(made[kind](np.random.default_rng(0)), options.checkpoint, config)
        for name, values in tables[kind].items():
            print(f"{kind:11}{name:16}" + "  ".join(f"{key} {value:.4g}" for key, value in values.items()), flush=True)
    if options.json:
        with open(options.json, "w") as out:
            json.dump(tables, out, indent=1)


if __name__ == "__main__":
    main()
