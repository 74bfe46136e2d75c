"""`laban generate` as a user runs it: wall time and peak memory of the whole process, first with empty caches.

    python benchmarks/generate_cli.py [--repeats 5] [--seconds 6] [--checkpoint research]

Writes mp4 (512 x 512), npz, bvh and glb of one clip. "First" has an empty Laban and numba cache; files already in the
operating system's page cache stay there, because emptying it needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TEXT = "a person walks forward and waves"
SUFFIXES = ("mp4", "npz", "bvh", "glb")


def run_once(folder: Path, options: argparse.Namespace, environment: dict[str, str]) -> tuple[float, float]:
    """(wall seconds, peak resident megabytes) of one command; fails when it does or when a file is missing."""
    command = [sys.executable, "-c", "import sys; from laban.cli import main; main()", "generate", TEXT,
               "--seconds", str(options.seconds), "--checkpoint", options.checkpoint]  # fmt: skip
    for suffix in SUFFIXES:
        command += ["-o", str(folder / f"clip.{suffix}")]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"laban generate failed with status {process.returncode}")
    empty = [suffix for suffix in SUFFIXES if not (folder / f"clip.{suffix}").stat().st_size]
    if empty:
        raise SystemExit(f"nothing in clip.{empty[0]}")
    return wall, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--checkpoint", default="research")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {**os.environ, "LABAN_CACHE": str(folder / "cache"), "NUMBA_CACHE_DIR": str(folder / "numba")}
        runs = [run_once(folder, options, environment) for _ in range(options.repeats + 1)]
    first, warm = runs[0], runs[1:]
    result = {
        "seconds": options.seconds, "formats": list(SUFFIXES), "cores": os.cpu_count(), "repeats": options.repeats,
        "first_wall_s": round(first[0], 2), "warm_wall_s_median": round(median(w for w, _ in warm), 2),
        "warm_wall_s_max": round(max(w for w, _ in warm), 2), "peak_mb": round(max(m for _, m in runs)),
    }  # fmt: skip
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
