"""The figures of timeline generation in one run: every method on our timelines, and on MTT's where its file is given.

    python benchmarks/timelines.py --data runs/data/mocap [--mtt mtt_timelines.json] [--repeats 20] [--cache DIR]

Each is also a command: `laban eval timeline --data …` and `laban eval timeline mtt_timelines.json --protocol …`.
Methods run from the cheapest to the dearest, each drawn once, and `stmc` again as `laban generate` runs it; with
--cache an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

METHODS = ("single", "sinc", "sinc-lerp", "diffcollage", "stmc-blend", "stmc")
AGAIN = ("--method", "stmc", "--candidates", "4")
"""The default of `laban generate`: prompts that fail are drawn again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--mtt", type=Path, help="MTT's timelines as JSON (NVIDIA's, for non-commercial use)")
    parser.add_argument("--checkpoint", action="append", help="repeatable; default: research")
    parser.add_argument("--method", action="append", help=f"repeatable; default: {', '.join(METHODS)}")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=Path("runs/timelines"))
    options = parser.parse_args()
    shared = ["--repeats", str(options.repeats), "--steps", str(options.steps), "--cache", str(options.cache)]
    shared += [] if options.limit is None else ["--limit", str(options.limit)]
    shared += [word for value in options.checkpoint or ["research"] for word in ("--checkpoint", value)]
    once = [word for value in options.method or METHODS for word in ("--method", value)]
    run(["--data", str(options.data), "--by-action", *shared, *once])
    run(["--data", str(options.data), "--by-action", *shared, *AGAIN])
    if options.mtt:
        for protocol in ("corrected", "as-published"):
            run([str(options.mtt), "--protocol", protocol, *shared, *once])


def run(words: list[str]) -> None:
    """One `laban eval timeline`; the second reading of MTT takes its motions from the cache."""
    program = "from laban.cli import main; main()"
    subprocess.run([sys.executable, "-P", "-c", program, "eval", "timeline", *words], check=True)


if __name__ == "__main__":
    main()
