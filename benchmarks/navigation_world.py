"""Throughput of the world of rooms: characters times frames that are made in a second, with all that is seen of them.

    python benchmarks/navigation_world.py [--people 256] [--threads 2] [--seconds 20] [--rooms 8] [--task walk]

One frame of one character is a character-frame; a primitive has eight. The observation (walkability patch, or what is
seen of each joint) and the rewards are part of the work. The bar is 2,000 character-frames/s with 256 characters on 2
cores. On a machine that does other things too, the rate by second of processor time says what one free core does.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from models.representation.primitive import FUTURE
from motion.navigation.scene_training import TASKS, SceneTraining
from motion.primitives.network import load_primitives
from motion.primitives.rollout import noise_for

BAR = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--people", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rooms", type=int, default=8)
    parser.add_argument("--task", choices=TASKS, default="walk")
    parser.add_argument("--primitives", default="primitives_research")
    parser.add_argument("--run", type=Path, default=Path("runs/navigation-world"), help="Where seats are kept.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = load_primitives(options.primitives)
    job = SceneTraining(kind=options.task, rooms=options.rooms, run=options.run)
    began = time.monotonic()
    world = job.world(network, options.people, 0)
    print(f"{options.rooms} rooms in {time.monotonic() - began:.1f} s", flush=True)
    generator, steps = torch.Generator().manual_seed(0), 0
    with torch.no_grad():
        world.step(noise_for(network, options.people, generator))
        began, worked = time.monotonic(), time.process_time()
        while time.monotonic() - began < options.seconds:
            outcome = world.step(noise_for(network, options.people, generator))
            world.start_anew(outcome.fallen | outcome.late)
            steps += 1
    took, worked = time.monotonic() - began, time.process_time() - worked
    rate = steps * options.people * FUTURE / took
    row = {"task": options.task, "characters": options.people, "threads": options.threads, "cores": os.cpu_count(),
           "load": round(os.getloadavg()[0], 1), "character-frames/s": round(rate), "bar": BAR,
           "by second of processor": round(steps * options.people * FUTURE / worked), "steps": steps}  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
