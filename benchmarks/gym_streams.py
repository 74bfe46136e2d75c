"""A small pyramid detector beside a linear probe with run-length merging, on streams of real I3D features of gym clips.

    python benchmarks/gym_streams.py workout_i3d.npz [--folds 0 1 2 3 4] [--seeds 3] [--systems actionformer asl …]

Sixteen exercises, five more as background; five clip-disjoint folds; every test clip comes three times in one stream,
between background of random length. Average mAP .3:.1:.7 and mAP @.5 of each fold's streams, means over the folds;
"pooled" is one mAP over the streams of all folds, where scores of different folds compete. Intervals are 95 % of 1000
bootstraps over streams within folds, differences are paired. The probe's penalty, the power of its features and its run
settings are chosen for each fold on validation streams inside its training clips. The detector's settings are the same
in all folds; they were fixed, from half a dozen trials, on such streams of fold 0, which are made of the clips that
fold 1 tests: the last column leaves fold 1 out. Nothing else was ever looked at.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.gym.detector import (
    SYSTEMS,
    GymConfig,
    detections,
    fit_reader,
    train_detector,
)
from action_localization.gym.probe import PROTOCOL, choose_probe, fit_probe, probe_detections
from action_localization.gym.streams import (
    BACKGROUND,
    FOLDS,
    Clip,
    Stream,
    StreamConfig,
    action_classes,
    read_clips,
    scored_streams,
    split,
)
from action_localization.spine.detect import in_bf16
from action_localization.spine.network import Detector
from laban.progress import Advance, progress
from laban.timeline import Timeline

Found = dict[str, Timeline]
Row = dict[str, Any]
PROBE, BARE = "linear probe, runs", "  … streams without background"
FIRST, SMALL = "actionformer, seed 0", "  … seed 0 run in bf16"
REPEATS = 1000


def fold_rows(
    clips: Sequence[Clip], fold: int, options: argparse.Namespace, folder: Path, advance: Advance
) -> tuple[dict[str, Found], list[Stream], list[Stream]]:
    """(detections by row, test streams, test streams without background) of one fold."""
    folds, classes = split(clips), action_classes(clips)
    test = np.flatnonzero(folds == fold)
    inside = folds == (fold + 1) % FOLDS
    train, inner, validation = (np.flatnonzero(x) for x in (folds != fold, (folds != fold) & ~inside, inside))
    streams = scored_streams(clips, test, fold)
    bare = scored_streams(clips, test, fold, StreamConfig(gap=0.0))
    chosen = choose_probe(clips, inner, scored_streams(clips, validation, FOLDS + fold), classes)
    probe = fit_probe(clips, train, classes, penalty=chosen.penalty, power=chosen.power)
    found = {PROBE: probe_detections(probe, streams, classes, chosen.runs),
             BARE: probe_detections(probe, bare, classes, chosen.runs)}  # fmt: skip
    print(f"# fold {fold}: probe's {chosen}", flush=True)
    config = GymConfig()
    config = replace(config, training=replace(config.training, steps=options.steps or config.training.steps))
    reader = fit_reader(clips, train, classes, config)
    read = [reader(clip) for clip in clips]
    inputs = scored_streams(read, test, fold)
    for name in options.systems:
        for seed in range(seeds(name, options)):
            begun = time.process_time()
            network = train_detector(SYSTEMS[name], [read[i] for i in train], classes, config,
                                     folder / f"{fold}-{name}-{seed}", seed=seed)  # fmt: skip
            found[f"{name}, seed {seed}"] = detections(network, SYSTEMS[name], inputs, config)
            if f"{name}, seed {seed}" == FIRST and isinstance(network, Detector):
                found[SMALL] = detections(in_bf16(network), SYSTEMS[name], inputs, config)
            advance(1)
            print(f"# fold {fold}, {name}, seed {seed}: {time.process_time() - begun:.0f} s", flush=True)
    return found, streams, bare


def figures(truth: Mapping[str, Timeline], found: Mapping[str, Timeline]) -> tuple[Row, np.ndarray]:
    """The scores of a row, means over folds, with their intervals, and its bootstraps of the average."""
    scores, drawn = [], []
    folds = sorted({name.partition("/")[0] for name in truth})
    for fold in folds:
        mine, ours = ({n: t for n, t in x.items() if n.startswith(f"{fold}/")} for x in (truth, found))
        scores.append(evaluate_detection(mine, ours, PROTOCOL))
        drawn.append(bootstrap_detection(mine, ours, PROTOCOL, repeats=REPEATS, seed=len(drawn)))
    draws = np.mean(drawn, 0)
    at = int(np.flatnonzero(np.isclose(scores[0].tious, 0.5))[0])
    names = list(zip(folds, scores, strict=True))
    return {
        "average": mean(one.average for one in scores), "average interval": interval(draws.mean(1)),
        "@.5": mean(one.at(0.5) for one in scores), "@.5 interval": interval(draws[:, at]),
        "by threshold": [float(value) for value in np.mean([one.mean_ap for one in scores], 0)],
        "by fold": {fold: one.average for fold, one in names},
        "without fold 1": mean([s.average for f, s in names if f != "stream 1"] or [math.nan]),
        "pooled": evaluate_detection(truth, found, PROTOCOL).average,
    }, draws.mean(1)  # fmt: skip


def interval(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def seeds(name: str, options: argparse.Namespace) -> int:
    """How often a system is trained."""
    return options.seeds if name in ("actionformer", "asl") else 1


def report(found: Mapping[str, Found], truth: Found, bare: Found) -> dict[str, Row]:
    """Print the table, in per cent, and return what is in it."""
    rows: dict[str, Row] = {}
    drawn: dict[str, np.ndarray] = {}
    print(
        "\nrow | average .3:.7 [95 %] | @.5 [95 %] | difference to the probe [95 %, paired] | pooled | without fold 1\n"
        "--- | ---: | ---: | ---: | ---: | ---:"
    )
    for name, timelines in found.items():
        rows[name], drawn[name] = figures(bare if name == BARE else truth, timelines)
        if name not in (PROBE, BARE):
            compare(rows[name], rows[PROBE], drawn[name], drawn[PROBE])
        cells = [shown(rows[name], key) for key in ("average", "@.5", "difference")]
        cells += [f"{100 * rows[name][key]:.1f}" for key in ("pooled", "without fold 1")]
        print(f"{name} | " + " | ".join(cells), flush=True)
    for system in dict.fromkeys(name.split(",")[0] for name in rows if ", seed" in name):
        members = [name for name in rows if name.startswith(f"{system}, seed")]
        averages = [rows[name]["average"] for name in members]
        name = f"{system}, mean of {len(members)}"
        drawn[name] = np.mean([drawn[one] for one in members], 0)
        rows[name] = {"average": mean(averages), "average interval": interval(drawn[name])}
        rows[name]["without fold 1"] = mean(rows[one]["without fold 1"] for one in members)
        compare(rows[name], rows[PROBE], drawn[name], drawn[PROBE])
        spread = f", ± {100 * stdev(averages):.1f} over seeds" if len(members) > 1 else ""
        print(f"**{name}** | {shown(rows[name], 'average')}{spread} | | {shown(rows[name], 'difference')} | | "
              f"{100 * rows[name]['without fold 1']:.1f}")  # fmt: skip
    if SMALL in rows:
        small = rows["bf16 beside fp32"] = dict(rows[SMALL])
        compare(small, rows[FIRST], drawn[SMALL], drawn[FIRST])
        print(f"bf16 beside fp32 | | | {shown(small, 'difference', 2)} | |")
    host, wrapped = (next((n for n in rows if n.startswith(f"{s}, mean")), None) for s in ("actionformer", "asl"))
    if host and wrapped:
        beside: Row = dict(rows[wrapped])
        compare(beside, rows[host], drawn[wrapped], drawn[host])
        rows["asl beside its host"] = beside
        print(f"asl beside its host | | | {shown(beside, 'difference')} | |")
    return rows


def compare(row: Row, other: Row, drawn: np.ndarray, beside: np.ndarray) -> None:
    """Add the difference to another row and its interval."""
    row["difference"] = row["average"] - other["average"]
    row["difference interval"] = interval(drawn - beside)


def shown(row: Row, key: str, digits: int = 1) -> str:
    """A figure with its interval, in per cent."""
    if key not in row:
        return ""
    sign = "+" if key == "difference" else ""
    low, high = row[f"{key} interval"]
    one, two, three = (f"{100 * value:{sign}.{digits}f}" for value in (row[key], low, high))
    return f"{one} [{two}, {three}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="workout_i3d.npz: feats (rows, 2048) and index")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--seeds", type=int, default=3, help="of actionformer and asl; one of all others")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--steps", type=int, help="for a quick look")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", type=Path, help="folder that keeps the trainings, so that a stopped run goes on")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    clips = read_clips(options.features)
    held, actions = (sum(clip.background is one for clip in clips) for one in (True, False))
    print(f"{actions} clips of {len(action_classes(clips))} actions, {held} of {len(BACKGROUND)} held out as "
          f"background ({', '.join(BACKGROUND)}); folds {options.folds}; {options.threads} thread(s)")  # fmt: skip
    total = len(options.folds) * sum(seeds(name, options) for name in options.systems)
    found: dict[str, Found] = {}
    truth: Found = {}
    bare: Found = {}
    with progress("training", total) as advance, tempfile.TemporaryDirectory() as temporary:
        for fold in options.folds:
            rows, streams, without = fold_rows(clips, fold, options, options.run or Path(temporary), advance)
            truth.update({stream.name: stream.truth for stream in streams})
            bare.update({stream.name: stream.truth for stream in without})
            for name, timelines in rows.items():
                found.setdefault(name, {}).update(timelines)
            one = {s.name: s.truth for s in streams}
            short = {n: evaluate_detection(one, t, PROTOCOL).average for n, t in rows.items() if n != BARE}
            print(f"# fold {fold}: " + ", ".join(f"{n} {100 * v:.1f}" for n, v in short.items()), flush=True)
    rows_by_name = report(found, truth, bare)
    segments = sum(len(timeline.segments) for timeline in truth.values())
    print(f"n: {len(truth)} streams, {segments} segments (every clip {StreamConfig().rounds} times)")
    if options.json:
        result = {"streams": len(truth), "segments": segments, "background": BACKGROUND, "rows": rows_by_name}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
