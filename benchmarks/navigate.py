"""People in rooms: the rows of `laban eval navigate` beside the bars.

    python benchmarks/navigate.py [--rooms ../shared/data/mocap/scenes] [--generated 10] [--routes 20] [--seeds 1]
                                  [--row straight --row policy --row search ...] [--cache runs/navigate]

All options are those of `laban eval navigate`. Ways: the 20 start/goal pairs of each room of the folder (ends that no
body of 1.8 m fits on are moved to the nearest free place) and 20 of each generated held-out room. Success is the pelvis
within 0.3 m of the goal in the last frame. Sitting: each seat, up to four a room, from a start of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from laban.cli import run

ROOMS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "mocap" / "scenes"


def main() -> None:
    arguments = sys.argv[1:]
    if "--rooms" not in arguments and ROOMS.is_dir():
        arguments = ["--rooms", str(ROOMS), *arguments]
    if "--cache" not in arguments:
        arguments = ["--cache", "runs/navigate", *arguments]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    sys.exit(run(["eval", "navigate", *arguments]))


if __name__ == "__main__":
    main()
