"""Time and memory of a score: one padded batch beside a loop over windows, few steps beside 100, and growing lengths.

    python benchmarks/timeline_speed.py [--repeats 7] [--judged 36] [--threads 2]

The score lasts 20 s and has six intervals on two tracks. The loop takes the same windows one after another, each at
its own length, with and without its text; same noise, same steps. Judged: top-1 of the intervals of development
timelines (`benchmarks/timelines_dev.json`), by the judge. Memory: peak of a fresh process for each length.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from laban.timeline import Segment, Timeline
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import Denoise, Window
from models.motion_text.features import features_of
from models.text.known import KnownActions
from motion import compose
from motion.compose import Control, generate_timelines
from motion.generate import GenerateConfig
from motion.generator import Generator
from motion.judge.judge import load_judge
from motion.timeline_items import read_benchmark

SCORE = Timeline(
    (
        Segment(0, 5, "a person walks forward", ("legs",)),
        Segment(1.5, 4.5, "a person waves with the right hand", ("right arm",)),
        Segment(5, 8, "a person turns left", ("legs",)),
        Segment(8, 12, "a person sits down", ("legs", "spine")),
        Segment(12, 15, "a person stands up", ("legs", "spine")),
        Segment(15, 20, "a person raises both arms", ("left arm", "right arm")),
    )
)
ONCE = GenerateConfig(candidates=1, device="cpu")
LENGTHS = (15, 30, 60, 120)


def loop_over(network: Generator, known: KnownActions, windows: list[Window], texts: list[str]) -> Denoise:
    """The windows one after another, none padded, merged as in one batch."""
    features = known.read([text or "a person" for text in texts])
    asked = Condition(features.tokens, features.mask, features.sentence)
    condition = asked.without_text(torch.tensor([not text for text in texts]))

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        merged = torch.zeros_like(x)
        for i, w in enumerate(windows):
            own = Condition(condition.tokens[i : i + 1], condition.mask[i : i + 1], condition.sentence[i : i + 1])
            part = network(x[w.row : w.row + 1, w.start : w.stop], t[:1], own)
            merged[w.row, w.start : w.stop] += w.weight * part[0]
        return merged

    return denoise


def timed(config: GenerateConfig, repeats: int) -> float:
    """Median seconds of a whole call, decoding and clean-up included."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        generate_timelines([SCORE], config=config)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def right(config: GenerateConfig, timelines: int) -> tuple[float, float, float, int]:
    """Share of whole-body intervals whose action the judge names, its 95 % interval over timelines, and n."""
    items, judge = read_benchmark(Path(__file__).with_name("timelines_dev.json")).first(timelines).items, load_judge()
    motions = generate_timelines([item.timeline for item in items], config=config)
    shares = []
    for item, motion in zip(items, motions, strict=True):
        own = [i for i in item.intervals if not i.parts]
        found = judge.predict([features_of(motion.slice(*item.span(i)))[0] for i in own]) if own else []
        shares.append((sum(a == i.action for a, i in zip(found, own, strict=True)), len(own)))
    table = np.array(shares, float)
    draws = np.random.default_rng(0).integers(len(table), size=(1000, len(table)))
    low, high = np.percentile(table[draws, 0].sum(1) / table[draws, 1].sum(1), (2.5, 97.5))
    return table[:, 0].sum() / table[:, 1].sum(), float(low), float(high), int(table[:, 1].sum())


def peak(seconds: int) -> float:
    """Megabytes of a fresh process that performs a score of that length."""
    command = [sys.executable, "-P", __file__, "--perform", str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def perform(seconds: int) -> None:
    repeated = [replace(s, start=s.start + 20 * k, end=s.end + 20 * k) for k in range(-(-seconds // 20))
                for s in SCORE.segments]  # fmt: skip
    generate_timelines([Timeline(tuple(repeated)).crop(0, seconds)], config=GenerateConfig(device="cpu"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--judged", type=int, default=36, help="development timelines to judge; 0: none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--perform", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.perform:
        perform(options.perform)
        return
    timed(ONCE, 2)
    default, few = timed(GenerateConfig(device="cpu"), options.repeats), timed(ONCE, options.repeats)
    many = timed(replace(ONCE, steps=100), max(3, options.repeats // 2))
    batched, compose._network_over = compose._network_over, loop_over
    loop = timed(ONCE, options.repeats)
    loop_many = timed(replace(ONCE, steps=100), max(3, options.repeats // 2))
    compose._network_over = batched
    print(f"20 s, 6 intervals, {Control().method}, {options.threads} threads, median of {options.repeats}")
    print(f"default, failed prompts drawn again: {default:.2f} s; drawn once: {few:.2f} s, 20 steps")
    print(f"loop over windows: {loop:.2f} s, so {loop / few:.2f}x; with 100 steps {loop_many / many:.2f}x")
    print(f"100 steps: {many:.2f} s batched ({many / few:.1f}x), {loop_many:.2f} s in a loop ({loop_many / few:.1f}x)")
    if options.judged:
        for name, config in (("20 steps", ONCE), ("100 steps", replace(ONCE, steps=100))):
            value, low, high, n = right(config, options.judged)
            print(f"{name}: top-1 {value:.3f} [{low:.3f}, {high:.3f}], n = {n}")
    for seconds in LENGTHS:
        print(f"{seconds} s score: {peak(seconds):.0f} MB peak")


if __name__ == "__main__":
    main()
