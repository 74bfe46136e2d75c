"""Start-up of the command line: best of several runs of help, of a wrong option and of a wrong command.

python benchmarks/startup.py        (bar: 0.5 s each, and no torch import)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

BAR_SECONDS = 0.5
RUNS = 7
CALLS = (["--help"], ["generate", "--help"], ["generate", "--secnods", "6"], ["genrate"])


def seconds(command: list[str]) -> list[float]:
    """Wall-clock seconds of each run, sorted."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        times.append(time.perf_counter() - start)
    return sorted(times)


def imports_torch(arguments: list[str]) -> bool:
    """Whether the call imports torch."""
    code = f"import sys\nfrom laban.cli import run\nrun({arguments!r})\nprint('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1] == "True"


def main() -> int:
    script = str(Path(sys.executable).with_name("laban"))
    reference = seconds([sys.executable, "-c", "import typer, rich"])
    print(f"{os.cpu_count()} cores; best / median of {RUNS} runs; bar {BAR_SECONDS} s and no torch import")
    print(f"{'python -c import typer, rich (reference)':42} {reference[0]:.2f} / {reference[RUNS // 2]:.2f} s")
    failed = False
    for arguments in CALLS:
        times = seconds([script, *arguments])
        heavy = imports_torch(arguments)
        failed |= times[0] > BAR_SECONDS or heavy
        shown = "laban " + " ".join(arguments)
        print(f"{shown:42} {times[0]:.2f} / {times[RUNS // 2]:.2f} s, torch imported: {'yes' if heavy else 'no'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
