"""Two people: trains what is missing of the folds' networks, then prints every row beside the bars.

    python benchmarks/react.py [--data runs/data/mocap] [--folder runs/react] [--fold 0 --fold 1] [--train-only]
                               [--seeds 5] [--row two-stage ...] [--minutes 60]

Interrupted, it goes on where it stopped. With `--fold`, only networks of these folds are trained and only their takes
measured; with `--train-only` two calls can share two cores. Way: 5 seeds a fold; bodies: one a fold and variant.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from laban.cli import run

BODIES = ("two-stage", "one-stage", "no-interaction", "joint")
FOLDS = 4


def main() -> None:
    options = _options()
    folder, end = Path(options.folder), time.monotonic() + 60 * options.minutes if options.minutes else None
    for name, arguments in _trainings(options, folder):
        if all((folder / name / part / "config.json").is_file() for part in arguments["parts"]):
            continue
        call = ["train", "reaction", "--dataset", options.data, *arguments["options"], "-o", str(folder / name),
                "--run", str(folder / "runs" / name.replace("/", "-"))]  # fmt: skip
        if end is not None:
            left = (end - time.monotonic()) / 60
            if left <= 0:
                sys.exit("time is up; call again to go on")
            call += ["--minutes", f"{left:.2f}"]
        began, work = time.monotonic(), time.process_time()
        print(f"training {name}", file=sys.stderr, flush=True)
        if run(call):
            sys.exit(f"{name}: training failed")
        took = f"{(time.process_time() - work) / 60:.1f} min of CPU, {(time.monotonic() - began) / 60:.1f} min"
        print(f"{name}: {took}", file=sys.stderr, flush=True)
    if options.train_only:
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    rows = [argument for row in options.row for argument in ("--row", row)]
    wanted = ["--seeds", str(options.seeds), *(word for fold in options.fold for word in ("--fold", str(fold)))]
    sys.exit(run(["eval", "react", "--data", options.data, "--folder", str(folder), *wanted, *rows, *options.rest]))


def _trainings(options: argparse.Namespace, folder: Path) -> list[tuple[str, dict[str, list[str]]]]:
    """Name below the folder, what it has to hold, and the options of `laban train reaction`; cheap ones first."""
    wanted = options.row or ["real", *BODIES, "nearest", "beside"]
    found = []
    seeds = options.seeds if {"two-stage", "no-interaction", "scratch"} & set(wanted) else 0
    for fold in options.fold:
        found += [(f"fold{fold}/way-seed{seed}", _training(fold, "two-stage", ["way"], ["--seed", str(seed)]))
                  for seed in range(seeds)]  # fmt: skip
    if "pretrained" in wanted:
        found.append(("synthetic", _training(None, "two-stage", ["way", "body"], ["--synthetic", "30"])))
    for variant in (*BODIES, "scratch", "pretrained", "live"):
        if variant not in wanted:
            continue
        for fold in options.fold:
            own, parts, more = variant, ["body"], list[str]()
            if variant == "pretrained":
                own, parts, more = "two-stage", ["way", "body"], ["--init", str(folder / "synthetic")]
            if variant == "live":
                own, parts = "two-stage", ["live"]
            found.append((f"fold{fold}/{variant}", _training(fold, own, parts, more)))
    return found


def _training(fold: int | None, variant: str, parts: list[str], more: list[str]) -> dict[str, list[str]]:
    stages = [argument for part in parts for argument in ("--stage", part)]
    which = [] if fold is None else ["--fold", str(fold)]
    return {"parts": parts, "options": ["--variant", variant, *stages, *which, *more]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="runs/data/mocap")
    parser.add_argument("--folder", default="runs/react")
    parser.add_argument("--fold", type=int, action="append", choices=range(FOLDS))
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--train-only", action="store_true")
    options, options_rest = parser.parse_known_args()
    options.rest, options.fold = options_rest, options.fold or list(range(FOLDS))
    return options


if __name__ == "__main__":
    main()
