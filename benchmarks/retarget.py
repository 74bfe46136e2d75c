"""Retargeting over the whole motion set, beside the source's own values.

    python -m benchmarks.retarget ../shared/data/mocap [--every 10]

Bars: median bone-direction error at most 5 degrees; resting toes keep their height within 1 cm (beyond the constant
between the two skeletons' toe joints) and their slide within 2 cm/s of the source's; no joint turns faster than 1.5 x
the source's fastest (twist flips); the whole set in minutes.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

from models.body.pose import motion_joints
from models.body.retarget import global_rotations, retarget_tracks
from models.body.retarget_body import target_body
from models.body.retarget_quality import Quality, measure
from models.data.mocap import MocapFolder

_HEADER = (
    f"{'source':20s}{'clips':>6s}{'bone °':>8s}{'posed °':>8s}{'toe cm':>8s}{'slide cm/s (source)':>21s}"
    f"{'turn °/s (source)':>19s}{'flips':>7s}"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="measure every n-th clip of a source")
    arguments = parser.parse_args()
    results, seconds, frames = run(arguments.folder, arguments.every)
    print(_HEADER)
    everything = [row for rows in results.values() for row in rows]
    for source, rows in {**results, "all": everything}.items():
        print(line(source, rows))
    print(
        f"retargeted {frames / 30 / 3600:.2f} h in {seconds:.0f} s ({frames / 30 / seconds:.0f} x real time, one core)"
    )
    print("bar                              5.0             1.0          source + 2.0     (1.5 x at most)      0")


def run(folder: Path, every: int = 1) -> tuple[dict[str, list[Quality]], float, int]:
    """Quality by source, seconds of processor time spent on retargeting alone, frames retargeted."""
    mocap, target = MocapFolder(folder), target_body()
    calibration = cache(lambda skeleton: mocap.calibration(skeleton, target))
    results: dict[str, list[Quality]] = defaultdict(list)
    seconds, frames = 0.0, 0
    usable = [plain for plain in mocap.index if "short" not in plain["flags"]]
    for plain in usable[::every]:
        start = time.process_time()
        tracks = mocap.tracks(plain)
        motion = retarget_tracks(tracks, calibration=calibration(plain["skeleton"]))
        seconds += time.process_time() - start
        frames += motion.frames
        world = global_rotations(motion.rotations[0, :, :22])
        results[plain["source"]].append(measure(tracks, world, motion_joints(motion)[0]))
    return dict(results), seconds, frames


def line(source: str, rows: list[Quality]) -> str:
    """One row of the table: medians over clips, and how many clips hold a flip."""

    def middle(name: str) -> float:
        values = [getattr(row, name) for row in rows]
        return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")

    flips = sum(row.flip > 1.5 for row in rows)
    turns = f"{np.degrees(middle('pace')):.0f} ({np.degrees(middle('source_pace')):.0f})"
    slides = f"{middle('slide') * 100:.1f} ({middle('source_slide') * 100:.1f})"
    angles = f"{middle('bone'):8.1f}{middle('posed'):8.1f}"
    return f"{source:20s}{len(rows):6d}{angles}{middle('toe') * 100:8.2f}{slides:>21s}{turns:>19s}{flips:7d}"


if __name__ == "__main__":
    main()
