"""Goal poses for sitting and lying: how many touch what carries them, and how deep they are in it, by kind.

    python benchmarks/seating.py [--rooms 8] [--scenes ../shared/data/mocap/scenes] [--threads 1]

Furniture of generated rooms, in both families, and of rooms on disk. Contact: within 1 cm of what carries the body;
penetration: DIMOS's measure of one frame, the sum over vertices of their depth in metres, scaled to 10,475 vertices.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from models.body.model import OPEN_BODY, load_body
from models.scene.reading import read_scene
from models.scene.rooms import make_room
from models.scene.scene import Scene
from models.scene.seating import GoalPose, lying_pose, sitting_pose


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rooms", type=int, default=8, help="Generated rooms of each family.")
    parser.add_argument("--scenes", type=Path, default=Path("../shared/data/mocap/scenes"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    families = {
        "generated, training": [make_room(k) for k in range(options.rooms)],
        "generated, held out": [make_room(k, held_out=True) for k in range(options.rooms)],
        "on disk": [read_scene(path) for path in sorted(options.scenes.glob("*.obj"))],
    }
    for name, scenes in families.items():
        began, found = time.process_time(), poses(scenes)
        for kind, rows in sorted(found.items()):
            print(json.dumps({"rooms": name, "kind": kind, **summary(rows)}), flush=True)
        every = [row for rows in found.values() for row in rows]
        if every:
            took = (time.process_time() - began) / len(every)
            print(
                json.dumps({"rooms": name, "kind": "all", **summary(every), "processor s": round(took, 2)}), flush=True
            )


def poses(scenes: list[Scene]) -> dict[str, list[GoalPose]]:
    """The pose on everything that affords one, by kind."""
    body, found = load_body(OPEN_BODY), defaultdict(list)
    for scene in scenes:
        for thing in scene.objects:
            if thing.affords:
                pose = lying_pose if thing.affords == "lie" else sitting_pose
                found[thing.kind].append(pose(scene, thing, body))
    return dict(found)


def summary(rows: list[GoalPose]) -> dict[str, float]:
    """Counts and means."""
    depths = [row.penetration for row in rows]
    return {"n": len(rows), "contact": round(float(np.mean([row.contact for row in rows])), 3),
            "penetration mean": round(float(np.mean(depths)), 3), "max": round(float(np.max(depths)), 3)}  # fmt: skip


if __name__ == "__main__":
    main()
