"""Open vocabulary on a minute of features: seconds of T3AL, the plain threshold and naming proposals, on one thread.

    python benchmarks/open_vocabulary.py [--labels 40] [--repeats 5]

Rows of a text-aligned encoder are given (256 numbers, 5 a second and 30 a second); bar: T3AL in 5 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from action_localization.open_vocabulary.proposals import named
from action_localization.open_vocabulary.similarity import Words, frame_similarity, unit
from action_localization.open_vocabulary.test_time import PAPER, T3AL, t3al_detect
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

SECONDS, WIDTH, BAR = 60.0, 256, 5.0


def minute(fps: float, labels: int, seed: int = 0) -> tuple[Features, Words, Timeline]:
    """A minute in which six of the labels come one after another, the words, and proposals around them."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(labels + 20, WIDTH)))
    count = round(SECONDS * fps)
    happening = np.repeat(rng.integers(0, labels, 6), -(-count // 6))[:count]
    rows = unit(vectors[happening] + 0.06 * rng.normal(size=(count, WIDTH)))
    starts = np.sort(rng.uniform(0, SECONDS - 5, 100))
    found = tuple(Segment(float(t), float(t + rng.uniform(1, 5)), "action", score=float(rng.random())) for t in starts)
    words = Words(tuple(f"label {i}" for i in range(labels)), vectors[:labels], vectors[labels:])
    return Features(rows, FrameGrid(fps, count), "random"), words, Timeline(found, SECONDS)


def seconds(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(median, longest) processor seconds of several runs after one that is not counted."""
    run()
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return float(np.median(taken)), max(taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"60 s of features, {options.labels} labels, one thread, processor seconds (median, longest)")
    for fps in (5.0, 30.0):
        rows, words, found = minute(fps, options.labels)
        systems: dict[str, Callable[[], object]] = {
            "T3AL": lambda: t3al_detect(rows, words, T3AL()),  # noqa: B023
            "T3AL as published": lambda: t3al_detect(rows, words, PAPER),  # noqa: B023
            "threshold": lambda: frame_similarity(rows, words),  # noqa: B023
            "100 proposals named": lambda: named(found, rows, words),  # noqa: B023
        }
        for name, run in systems.items():
            middle, longest = seconds(run, options.repeats)
            bar = f" (bar {BAR:g} s: {'met' if longest <= BAR else 'MISSED'})" if name.startswith("T3AL") else ""
            print(f"  {fps:4.0f} rows a second  {name:20} {middle:7.3f}  {longest:7.3f}{bar}")


if __name__ == "__main__":
    main()
