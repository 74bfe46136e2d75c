"""Motion files: time and size of every format, and BVH to quaternions beside an independent reader (pybvh).

python benchmarks/formats.py        (a 6 s clip at 30 fps; BVH also five minutes at 120 fps)
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pybvh
import torch

from models.formats import read_motion, write_motion
from models.formats.bvh import read_bvh_clip
from models.motion import Motion
from models.rotations import axis_angle_to_matrix

REPEATS = 5


def swaying(seconds: float, fps: float) -> Motion:
    """A clip in which all 22 body joints move."""
    t = np.arange(int(seconds * fps)) / fps
    phase = np.random.default_rng(0).uniform(0, 6, (22, 3))
    vectors = np.zeros((1, len(t), 55, 3))
    vectors[0, :, :22] = 0.3 * np.sin(2 * t[:, None, None] + phase)
    root = np.stack([0.1 * np.sin(t), np.full_like(t, 1.3), 0.5 * t], axis=-1).astype(np.float32)[None]
    return Motion(axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32), root, fps)


def best(action: Callable[[], object]) -> float:
    """Shortest of several runs, milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    torch.set_num_threads(1)
    clip = swaying(6, 30)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'6 s at 30 fps, 22 joints':28} {'write ms':>9} {'read ms':>9} {'kB':>8}")
        for suffix in (".npz", ".smpl", ".bvh", ".glb", ".npy"):
            path = Path(folder) / f"clip{suffix}"
            written, read = best(lambda path=path: write_motion(clip, path)), best(lambda path=path: read_motion(path))
            print(f"{suffix:28} {written:9.1f} {read:9.1f} {path.stat().st_size / 1000:8.0f}")
        path = Path(folder) / "long.bvh"
        write_motion(swaying(300, 120), path)
        size = path.stat().st_size / 1e6
        ours = best(lambda: read_bvh_clip(path))
        theirs = best(lambda: pybvh.read_bvh_file(path, world_up="+y").to_quat())
        print(f"BVH of {size:.0f} MB, 36,000 frames: {ours:.0f} ms; pybvh {theirs:.0f} ms; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
