"""Sampling alone: the few-step default beside the same network run by the 1000-step DDPM it was trained as.

    python benchmarks/sampling.py --data runs/data/mocap [--checkpoint research] [--clips 64] [--threads 2]

Time: median of one 6-second clip at a time, text already encoded, decoding included. Quality: both samplers make the
same texts of held-out clips, one of each action first, and the judge reads them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from models.data.dataset import MotionDataset
from models.motion_text.examples import read_examples
from motion.evaluation import Item, ItemSet, build_bank, generated_features, item_sets, measure
from motion.generate import GenerateConfig, generate
from motion.judge.judge import load_judge

TEXT = "a person walks forward and waves"
FIGURES = ("accuracy micro", "R@1 micro", "R@3 micro", "matching")


def timed(config: GenerateConfig, checkpoint: str, repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        generate([TEXT], 6.0, checkpoint=checkpoint, config=config)
        seconds.append(time.perf_counter() - start)
    return seconds


def chosen_items(sets: list[ItemSet], clips: int) -> ItemSet:
    """Items of the balanced set, one of each action before a second of any."""
    seen: dict[str, int] = {}
    ranked: list[tuple[int, Item]] = []
    for item in next(items for items in sets if items.balanced).items:
        ranked.append((seen.setdefault(item.action, 0), item))
        seen[item.action] += 1
    ranked.sort(key=lambda pair: pair[0])
    return ItemSet("balanced texts", "one of each action first", tuple(item for _, item in ranked[:clips]))


def sampler(config: GenerateConfig) -> Callable:
    def run(texts: list[str], seconds: list[float], checkpoint: str, seed: int) -> list:
        return generate(texts, seconds, checkpoint=checkpoint, config=config)

    return run


def compare(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    few = GenerateConfig(candidates=1, device="cpu")
    many = replace(few, steps=1000, method="ddpm")
    runs = {f"{few.method}, {few.steps} steps (default)": (few, options.repeats), "ddpm, 1000 steps": (many, 1)}
    timed(few, options.checkpoint, 2)
    judge, (examples, _) = load_judge(), read_examples(MotionDataset.open(options.data))
    items, bank = chosen_items(item_sets(examples), options.clips), build_bank(examples, judge)
    print(
        f"{options.checkpoint}, {options.threads} threads, {len(items.items)} texts, {len(set(items.actions))} actions"
    )
    results: dict[str, dict[str, object]] = {}
    for name, (config, repeats) in runs.items():
        seconds = timed(config, options.checkpoint, repeats)
        row = measure(name, generated_features(items, options.checkpoint, sampler(config)), items, judge, bank)
        quality = {figure: str(row.figures[figure]) for figure in FIGURES}
        skate = row.kinematics["all"]["foot_skate"].ratio
        results[name] = {"median s": median(seconds), "repeats": repeats, **quality, "skate ratio": skate}
        figures = "; ".join(f"{figure} {value}" for figure, value in quality.items())
        print(f"{name}: 6 s clip in {median(seconds):.3f} s (median of {repeats}); {figures}; skate ratio {skate:.2f}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--checkpoint", default="research")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = compare(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
