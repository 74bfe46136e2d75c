"""Steering of streamed primitives: paths, poses, joints by optimised noise; goals by the policy; trivial rows beside.

    python benchmarks/steering.py [--data runs/data/mocap] [--checkpoint primitives_research] [--policy goal_policy]
                                  [--pretrained runs/goal-policy/pretrained] [--paths 20] [--goals 200] [--seeds 3]
                                  [--part paths --part poses --part goals]

Paths: arcs and S-curves of 4 m at 0.8 to 1.1 m/s, in any direction, with a radius of 1.2 m or more; the error is the
mean horizontal distance of the pelvis from the place that is due at each frame, also from the nearest point of the
path. Poses: that of a held-out (validation) walk 2 s after another of its poses, which one starts from. Joints: a wrist
at a point in front of somebody who stands, after 1.6 s. Goals: random places up to 6 m around somebody who stands, all
directions, reached when the pelvis is within 0.3 m in 16 s. "unsteered" is what random noise makes of the same words.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.body.pose import motion_joints
from models.body.skeleton import JOINT
from models.data.dataset import MotionDataset
from models.objectives import foot_skate, goal_joint, path_distance, pose_at, root_track
from models.resample import resample
from motion.navigation.goal_env import GoalTask, GoalWorld
from motion.navigation.goal_policy import GoalPolicy, load_goal_policy
from motion.navigation.goal_reaching import Reached, reach_goals
from motion.primitives.control import follow, keep_pose, natural, reach, timed_path
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel, load_primitives
from motion.primitives.rollout import State, standing
from motion.primitives.steering import SteerConfig, Steered, steer

PARTS = ("paths", "poses", "goals")
LENGTH = 4.0
TEXT = "a person walks forward"
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", default="runs/data/mocap")
    parser.add_argument("--checkpoint", default="primitives_research")
    parser.add_argument("--policy", default="goal_policy")
    parser.add_argument("--pretrained", default="runs/goal-policy/pretrained")
    parser.add_argument("--paths", type=int, default=20)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--goals", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = load_primitives(options.checkpoint).requires_grad_(False)
    print(f"{options.checkpoint}, {options.threads} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    parts = options.part or PARTS
    if "paths" in parts:
        show("paths", paths(network, options.paths, options.iterations, options.data))
    if "poses" in parts:
        show("poses and joints", poses(network, options.cases, options.iterations, options.data))
    if "goals" in parts:
        show("goals", goals(network, options))


def show(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        print("  " + json.dumps(row), flush=True)


def estimate(values: torch.Tensor) -> list[float]:
    """Mean and half of its 95 % interval over cases."""
    values = values.double()
    return [round(float(values.mean()), 4), round(float(1.96 * values.std() / len(values) ** 0.5), 4)]


# ------------------------------------------------------------------------------------------------------------- paths


def smooth_path(rng: np.random.Generator) -> np.ndarray:
    """An arc or an S of `LENGTH` metres from the origin, starting along +Z, in steps of 5 cm."""
    steps = round(LENGTH / 0.05)
    bend = rng.choice([-1, 1]) * rng.uniform(0, 1 / 1.2)
    turn = np.full(steps, bend)
    if rng.random() < 0.5:
        turn[steps // 2 :] *= -1
    heading = np.cumsum(turn * 0.05)
    return np.concatenate([[[0, 0]], np.cumsum(0.05 * np.stack([np.sin(heading), np.cos(heading)], -1), 0)])


def paths(network: PrimitiveModel, count: int, iterations: int, data: str) -> list[Row]:
    rng = np.random.default_rng(0)
    curves = [smooth_path(rng) for _ in range(count)]
    timed = [timed_path(curve, float(rng.uniform(0.8, 1.1))) for curve in curves]
    frames = max(len(one) for one in timed)
    places = torch.stack([torch.cat([one, one[-1:].expand(frames - len(one), 2)]) for one in timed])
    lengths = torch.tensor([len(one) for one in timed])
    config = SteerConfig(primitives=-(-frames // 8), iterations=iterations)
    start = standing(network, count, dtype=torch.float32)
    rows: list[Row] = []
    for name, tuned in (("unsteered", replace(config, iterations=1, lr=1e-9, tries=1)), ("noise optimised", config)):
        began = time.monotonic()
        steered = steer(network, start, [TEXT], [follow(places), *natural(network)], tuned)
        rows.append({"row": name, "n": count, **_path_errors(steered, places, lengths, curves),
                     "seconds of work for each of motion":
                     round((time.monotonic() - began) / float(lengths.sum() / FPS), 2)})  # fmt: skip
    return [*rows, {"row": "real walking", **real_skate(data)}]


def _path_errors(steered: Steered, places: torch.Tensor, lengths: torch.Tensor, curves: list[np.ndarray]) -> Row:
    joints = steered.joints[:, : places.shape[1]]
    valid = torch.arange(places.shape[1]) < lengths[:, None]
    due = root_track(joints, places, valid=valid)
    beside = torch.stack([path_distance(one, torch.from_numpy(curve).float(), valid=keep)
                          for one, curve, keep in zip(joints, curves, valid, strict=True)])  # fmt: skip
    return {"metres from where due": estimate(due), "metres from the path": estimate(beside),
            "within 0.1 m": round(float((due <= 0.1).float().mean()), 3),
            "skate m/s": estimate(foot_skate(joints, FPS, valid=valid))}  # fmt: skip


def real_skate(data: str) -> Row:
    """Skate of held-out real walks, as it is measured above."""
    found = MotionDataset.open(data)
    records = found.select(lambda r: r.action == "walk", split="val")
    values = []
    for record in records:
        joints = torch.from_numpy(motion_joints(resample(found.motion(record), FPS))[0, :, :22]).float()
        values.append(foot_skate(joints, FPS))
    return {"n": len(values), "skate m/s": estimate(torch.stack(values))}


# ------------------------------------------------------------------------------------------------- poses and joints


def poses(network: PrimitiveModel, count: int, iterations: int, data: str) -> list[Row]:
    """A pose 64 frames later; a wrist at a point after 48 frames."""
    start, pose = held_out(network, count, data)
    config = SteerConfig(primitives=8, horizon=8, keep=8, iterations=2 * iterations, scale=0.1)
    rows: list[Row] = []
    for name, tuned in _pair(config):
        steered = steer(network, start, [TEXT], [keep_pose(pose, 63), *natural(network)], tuned)
        rows.append({"row": f"pose, {name}", "n": len(pose),
                     "metres": estimate(pose_at(steered.joints, pose, frame=63)),
                     "skate m/s": estimate(foot_skate(steered.joints, FPS))})  # fmt: skip
    rng, people = np.random.default_rng(1), standing(network, count, dtype=torch.float32)
    points = torch.tensor(np.stack([rng.uniform(-0.2, 0.5, count), rng.uniform(0.8, 1.6, count),
                                    rng.uniform(0.25, 0.45, count)], -1), dtype=torch.float32)  # fmt: skip
    wrist = JOINT["left_wrist"]
    for name, tuned in _pair(replace(config, primitives=6, horizon=6, keep=6)):
        steered = steer(
            network, people, ["a person raises the left arm"], [reach(wrist, points, 47), *natural(network)], tuned
        )
        rows.append({"row": f"left wrist, {name}", "n": count,
                     "metres": estimate(goal_joint(steered.joints, wrist, points, frame=47)),
                     "skate m/s": estimate(foot_skate(steered.joints, FPS))})  # fmt: skip
    return rows


def _pair(config: SteerConfig) -> list[tuple[str, SteerConfig]]:
    free = replace(config, iterations=1, lr=1e-9, tries=1, scale=1.0)
    return [("unsteered", free), ("noise optimised", config)]


def held_out(network: PrimitiveModel, count: int, data: str) -> tuple[State, torch.Tensor]:
    """Two frames of a validation walk, and its joints 64 frames after them."""
    from motion.primitives.control import world_joints

    found, rng = MotionDataset.open(data), np.random.default_rng(2)
    records = found.select(lambda r: r.action == "walk" and r.seconds > 2.6, split="val")
    rotations, pelvis, joints = [], [], []
    for k in rng.permutation(len(records))[:count]:
        motion = resample(found.motion(records[int(k)]), FPS)
        first = int(rng.integers(0, motion.frames - 66 + 1))
        turned = torch.from_numpy(np.ascontiguousarray(motion.rotations[0, first : first + 66, :22])).float()
        place = torch.from_numpy(motion.root[0, first : first + 66]).float() + network.rest[0]
        rotations.append(turned[:2])
        pelvis.append(place[:2])
        joints.append(world_joints(network, turned[None, -1:], place[None, -1:])[0, 0])
    return State(torch.stack(rotations), torch.stack(pelvis)), torch.stack(joints)


# ------------------------------------------------------------------------------------------------------------- goals


def goals(network: PrimitiveModel, options: argparse.Namespace) -> list[Row]:
    """Random goals: without a policy (with and without the gaits' words for turning), pre-trained, and after PPO."""
    world = GoalWorld(network, options.goals)
    plain = GoalWorld(network, options.goals, task=replace(GoalTask(), aside=4.0))
    rows = [_goal_row("unsteered", plain, None, options.seeds), _goal_row("words alone", world, None, options.seeds)]
    for name, folder in (("gradients", options.pretrained), ("gradients, then PPO", options.policy)):
        if folder == options.policy or Path(folder).exists():
            rows.append(_goal_row(name, world, load_goal_policy(folder, options.checkpoint), options.seeds))
    return rows


def _goal_row(name: str, world: GoalWorld, policy: GoalPolicy | None, seeds: int) -> Row:
    began = time.monotonic()
    runs = [reach_goals(world, policy, seed=seed) for seed in range(1000, 1000 + seeds)]
    took = time.monotonic() - began
    n = seeds * world.people
    reached = torch.cat([one.reached for one in runs])
    share = float(reached.float().mean())
    low, high = wilson(share, n)
    gaits = {gait.name: _share(runs, k) for k, gait in enumerate(world.task.gaits)}
    return {"row": name, "n": n, "seeds": seeds, "within 0.3 m": round(share, 4),
            "95 %": [round(low, 3), round(high, 3)],
            "seconds": round(float(torch.cat([one.seconds for one in runs]).nanmedian()), 2),
            "metres missed by": round(float(torch.cat([one.nearest for one in runs])[~reached].mean()), 2),
            "skate m/s": estimate(torch.cat([one.skate for one in runs])), "by gait": gaits,
            "wall clock s": round(took, 1)}  # fmt: skip


def _share(runs: list[Reached], gait: int) -> float:
    return round(float(torch.cat([one.reached[one.gait == gait] for one in runs]).float().mean()), 3)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share that was counted in n draws (Wilson 1927)."""
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


if __name__ == "__main__":
    main()
