"""DIP, its published setting and the fast hybrid on the same routes of furnished rooms; a corridor against the clock.

    python benchmarks/dip.py [--rooms ../shared/data/mocap/scenes] [--routes 4] [--published 1] [--generated 0]
                             [--seats 1] [--part walks --part seats --part corridor] [--candidates 1]

Walks: start and goal of the rooms' own routes (`rooms.json`; ends that are not free are moved to the nearest free
place), planned on the walkable floor, made by each way on the same path at the same speed with the same scene. Seats:
the same, then sitting down on an object. Seconds are the processor's own on one thread, which other work on the machine
does not change; they leave out reading weights, scene and path. Penetration: at joints, metres by which the deepest of
the 22 is inside of things, mean over frames; of the skin, DIMOS's (`motion.navigation.metrics`). Contact: DIMOS's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import trimesh

from laban.errors import LabanError
from laban.progress import progress
from models.body.model import load_body
from models.body.pose import motion_joints
from models.objectives import foot_skate
from models.scene.distance import sdf_of
from models.scene.paths import find_path, length_of
from models.scene.reading import read_scene
from models.scene.rooms import make_room, routes
from models.scene.scene import SHELL, Scene, SceneObject
from models.scene.seating import sitting_pose
from models.scene.walkable import Walkable, walkable_of
from motion.navigation.dip import PRESETS, DipConfig, dip
from motion.navigation.hybrid import HybridConfig, hybrid
from motion.navigation.journey import GoalPose, Journey
from motion.navigation.metrics import Place, measure
from motion.navigation.outcome import Outcome

PARTS = ("walks", "seats", "corridor")
SPEED = 1.2
"""Metres a second of every walk, so that ways are compared on the same task."""
BEFORE = 0.28
"""Metres ahead of a seat's front edge where one stands before one sits down."""
CORRIDOR = ((0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (7.0, 3.0), (7.0, 6.0))
"""13 m along the middle of a corridor 1.2 m wide with three right-angled turns; 12 m for who cuts them."""
WIDE = 1.2
Row = dict[str, object]
Way = Callable[[Journey, int], Outcome]


@dataclass(frozen=True)
class Task:
    """A journey with what it is measured by."""

    name: str
    journey: Journey
    place: Place
    goal: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rooms", default="../shared/data/mocap/scenes")
    parser.add_argument("--routes", type=int, default=4, help="of each room")
    parser.add_argument("--generated", type=int, default=0, help="held-out generated rooms besides")
    parser.add_argument("--published", type=int, default=1, help="walks that the published setting makes too (slow)")
    parser.add_argument("--seats", type=int, default=1, help="of each room")
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{processor()}, {options.threads} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    parts = options.part or PARTS
    ways: dict[str, Way] = {
        "DIP": lambda journey, seed: dip(journey, DipConfig(seed=seed, candidates=options.candidates)),
        "hybrid": lambda journey, seed: hybrid(journey, HybridConfig(seed=seed, candidates=options.candidates)),
    }
    warm(ways)
    if "corridor" in parts:
        show("corridor of 12 m", [corridor(name, way) for name, way in ways.items()])
    if "walks" in parts:
        tasks = [task for scene in rooms(options) for task in walks(scene, options.routes)]
        slow = replace(PRESETS["published"], candidates=options.candidates)
        published = {"DIP, published setting": lambda journey, seed: dip(journey, replace(slow, seed=seed))}
        compare("walks", tasks, ways)
        if options.published:
            few = tasks[:: max(1, len(tasks) // options.published)][: options.published]
            compare("walks that the published setting makes too", few, published | ways)
    if "seats" in parts:
        compare("sitting down", [task for scene in rooms(options) for task in seats(scene, options.seats)], ways)


def processor() -> str:
    """The machine's name for its processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def show(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        print("  " + json.dumps(row), flush=True)


def warm(ways: dict[str, Way]) -> None:
    """Weights and texts are read once, before anything is timed."""
    for way in ways.values():
        way(Journey(np.array([[0.0, 0.0], [0.0, 1.0]]), speed=SPEED), 0)


# ------------------------------------------------------------------------------------------------------------- tasks


def rooms(options: argparse.Namespace) -> list[Scene]:
    """Rooms of a folder, then generated ones that nothing was trained in."""
    files = sorted(Path(options.rooms).glob("*.obj"))
    if not files:
        raise LabanError(f"{options.rooms}: holds no rooms (.obj)")
    return [read_scene(file) for file in files] + [make_room(900 + k, held_out=True) for k in range(options.generated)]


def walks(scene: Scene, count: int) -> list[Task]:
    """Ways between free places."""
    floor, distance = walkable_of(scene), sdf_of(scene)
    pairs = scene.routes[:count] or [tuple(map(tuple, pair)) for pair in routes(scene, floor, count)]
    found = []
    for k, pair in enumerate(pairs):
        start, goal = (_free(floor, end) for end in pair)
        path = find_path(floor, start, goal, scene=scene)
        journey = Journey(np.asarray(path, np.float64), speed=SPEED, scene=distance)
        found.append(Task(f"{scene.name} {k}", journey, Place(distance, floor.inside), goal))
    return found


def seats(scene: Scene, count: int) -> list[Task]:
    """Ways to seats from the first free ends of the room's routes, and sitting down there."""
    floor, distance, body = walkable_of(scene), sdf_of(scene), load_body()
    found, starts = [], [_free(floor, pair[0]) for pair in scene.routes] or [_free(floor, (0.0, 0.0))]
    for thing in [one for one in scene.objects if one.affords == "sit"][:count]:
        pose = sitting_pose(scene, thing, body)
        stand = _free(floor, tuple(pose.seat.place(BEFORE)))
        start = max(starts, key=lambda place: float(np.hypot(place[0] - stand[0], place[1] - stand[1])))
        path = np.asarray(find_path(floor, start, stand, scene=scene), np.float64)
        goal = GoalPose(pose.rotations.double().numpy(), pose.pelvis.double().numpy())
        journey = Journey(path, speed=SPEED, scene=distance, goal=goal)
        found.append(Task(f"{scene.name} {thing.name}", journey, Place(distance, floor.inside), tuple(goal.place)))
    return found


def _free(floor: Walkable, place: Sequence[float]) -> tuple[float, float]:
    x, z = floor.nearest(np.asarray(place, np.float64))
    return float(x), float(z)


# ----------------------------------------------------------------------------------------------------------- figures


def compare(title: str, tasks: Sequence[Task], ways: dict[str, Way]) -> None:
    """Every way on every task, then medians and how many times faster each is than the first."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    with progress(title, len(tasks) * len(ways)) as advance:
        for seed, task in enumerate(tasks):
            for name, way in ways.items():
                rows[name].append(figures(way(task.journey, seed), task))
                advance(1)
    first = next(iter(rows.values()))
    table: list[Row] = []
    for name, own in rows.items():
        ratio = [slow["work"] / fast["work"] for slow, fast in zip(first, own, strict=True)]
        medians = {key: round(float(np.median([row[key] for row in own])), 4) for key in own[0]}
        worst = {f"worst {key}": round(max(row[key] for row in own), 3) for key in ("joints m", "skin", "distance m")}
        table.append({"row": name, "n": len(own), "times faster": round(float(np.median(ratio)), 2), **medians, **worst,
                      "mean skin": round(float(np.mean([row["skin"] for row in own])), 3)})  # fmt: skip
    show(title, table)


def figures(outcome: Outcome, task: Task) -> dict[str, float]:
    """What is reported of one outcome."""
    motion, own = outcome.motion, measure(outcome.motion, load_body(), task.place, task.goal)
    joints = torch.from_numpy(motion_joints(motion)[0])
    assert task.place.distance is not None
    deep = (-task.place.distance(joints)).clamp_min(0).amax(-1)
    return {
        "work": outcome.cpu / motion.seconds, "joints m": float(deep.mean()), "skin": own.penetration,
        "contact": own.contact, "distance m": own.distance, "walkable": own.walkable,
        "slide m/s": float(foot_skate(joints, motion.fps)), "seconds": motion.seconds,
    }  # fmt: skip


def corridor(name: str, way: Way) -> Row:
    """Seconds of planning and of motion along the corridor, by the clock and by the processor."""
    room = corridor_room()
    distance, runs = sdf_of(room), []
    for seed in range(3):
        wall, cpu = time.monotonic(), time.process_time()
        path = np.asarray(find_path(walkable_of(room), CORRIDOR[0], CORRIDOR[-1], scene=room), np.float64)
        planned = time.process_time() - cpu
        outcome = way(Journey(path, scene=distance), seed)
        runs.append((time.monotonic() - wall, time.process_time() - cpu, planned, length_of(path), outcome))
    own = [measure(run[-1].motion, load_body(), Place(distance), CORRIDOR[-1]) for run in runs]
    return {"row": name, "n": len(runs), "metres": round(runs[0][3], 2),
            "seconds by the clock": [round(run[0], 2) for run in runs],
            "seconds of the processor": [round(run[1], 2) for run in runs],
            "of them planning": [round(run[2], 2) for run in runs],
            "seconds of motion": [round(run[-1].motion.seconds, 2) for run in runs],
            "skin": [round(one.penetration, 4) for one in own], "contact": [round(one.contact, 3) for one in own],
            "distance m": [round(one.distance, 3) for one in own]}  # fmt: skip


def corridor_room() -> Scene:
    """Blocks 2.5 m high wherever the corridor is not."""
    half = np.full(2, WIDE / 2)
    ways = [(np.minimum(a, b) - half, np.maximum(a, b) + half) for a, b in pairwise(np.array(CORRIDOR))]
    xs, zs = (np.unique(np.concatenate([[low[k] for low, _ in ways], [high[k] for _, high in ways]])) for k in (0, 1))
    xs, zs = (np.concatenate([[line[0] - 0.3], line, [line[-1] + 0.3]]) for line in (xs, zs))
    boxes, objects = [], []
    for low, high in ((np.array([x0, z0]), np.array([x1, z1])) for x0, x1 in pairwise(xs) for z0, z1 in pairwise(zs)):
        middle = (low + high) / 2
        if not any((start < middle).all() and (middle < end).all() for start, end in ways):
            bounds = [[low[0], 0.0, low[1]], [high[0], 2.5, high[1]]]
            boxes.append(trimesh.creation.box(bounds=bounds))
            objects.append(SceneObject(f"block_{len(boxes)}", "block", *map(tuple, bounds)))
    corners = np.array([[x, 0.0, z] for x in xs[[0, -1]] for z in zs[[0, -1]]])
    floor = trimesh.Trimesh(corners, [[0, 1, 2], [2, 1, 3]], process=False)
    part = np.concatenate([np.full(len(box.faces), k) for k, box in enumerate(boxes)] + [np.full(2, SHELL)])
    whole = trimesh.util.concatenate([*boxes, floor])
    return Scene("corridor", whole.vertices.astype(np.float32), whole.faces.astype(np.int32), part.astype(np.int32),
                 tuple(objects))  # fmt: skip


if __name__ == "__main__":
    main()
