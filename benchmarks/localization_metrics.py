"""Mean average precision: ours beside a plain loop over classes, detections, thresholds and truths, equal to 1e-9.

    python benchmarks/localization_metrics.py [--repeats 5] [--skip-large]

Seeded synthetic sets: one of THUMOS14's size, one of 422,000 predictions over 211 videos (2,000 a video, what a
detector without a score threshold emits). "From timelines" adds turning `Timeline`s into columns; the plain loop starts
from columns always. Seconds are processor time of one thread, which other work on the machine stretches least: the best
of the repeats, of one run for the plain loop on the large set.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.instances import Instances
from action_localization.evaluation.protocols import PROTOCOLS
from laban.timeline import Segment, Timeline

CLASSES, VIDEOS = 20, 211


def synthetic(truths: int, detections: int, seed: int) -> tuple[Instances, Instances]:
    """Videos of one or two classes with truths one after another; detections around truths and at random."""
    rng = np.random.default_rng(seed)
    video = np.sort(rng.integers(0, VIDEOS, truths))
    main, other = rng.integers(0, CLASSES, VIDEOS), rng.integers(0, CLASSES, VIDEOS)
    label = np.where(rng.random(truths) < 0.9, main[video], other[video])
    start = rng.uniform(0, 600, truths)
    length = rng.lognormal(1.2, 0.6, truths)
    near = np.sort(rng.integers(0, truths, detections))  # video by video, as files are
    blur = rng.normal(0, 0.35, (2, detections)) * length[near]
    begin = np.maximum(start[near] + blur[0], 0)
    end = np.maximum(start[near] + length[near] + blur[1], begin + 0.1)
    random = rng.random(detections) < 0.5
    begin = np.where(random, rng.uniform(0, 600, detections), begin)
    end = np.where(random, begin + rng.lognormal(1.2, 0.8, detections), end)
    guess = np.where(rng.random(detections) < 0.8, label[near], rng.integers(0, CLASSES, detections))
    names = tuple(f"video_{i:07d}" for i in range(VIDEOS)), tuple(f"class {i}" for i in range(CLASSES))
    truth = Instances(*names, video, label, start, start + length, np.ones(truths))
    return truth, Instances(*names, video[near], guess, begin, end, rng.random(detections))


def plain(truth: Instances, detections: Instances, tious: tuple[float, ...]) -> np.ndarray:
    """What the protocol says, walked step by step."""
    result = []
    for label in sorted(set(truth.label.tolist())):
        by_video: dict[int, list[int]] = {}
        for index in np.flatnonzero(truth.label == label):
            by_video.setdefault(int(truth.video[index]), []).append(int(index))
        positives = sum(map(len, by_video.values()))
        chosen = np.flatnonzero(detections.label == label)
        chosen = chosen[np.argsort(detections.score[chosen], kind="stable")[::-1]]
        right = np.zeros((len(tious), len(chosen)))
        taken: list[set[int]] = [set() for _ in tious]
        for place, index in enumerate(chosen):
            there = by_video.get(int(detections.video[index]))
            if there is None:
                continue
            start, end = detections.start[index], detections.end[index]
            inter = np.clip(np.minimum(end, truth.end[there]) - np.maximum(start, truth.start[there]), 0, None)
            value = inter / (truth.end[there] - truth.start[there] + (end - start) - inter)
            preferred = np.argsort(value)[::-1]
            for row, tiou in enumerate(tious):
                for candidate in preferred:
                    if value[candidate] < tiou:
                        break
                    if there[candidate] not in taken[row]:
                        taken[row].add(there[candidate])
                        right[row, place] = 1
                        break
        result.append([area(row, positives) for row in right])
    return np.array(result).T


def area(right: np.ndarray, positives: int) -> float:
    total = np.cumsum(right)
    precision = np.concatenate([[0.0], total / np.arange(1, len(right) + 1), [0.0]])
    recall = np.concatenate([[0.0], total / positives, [1.0]])
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())


def timelines(instances: Instances) -> dict[str, Timeline]:
    found: dict[str, list[Segment]] = {name: [] for name in instances.videos}
    rows = zip(instances.video, instances.label, instances.start, instances.end, instances.score, strict=True)
    for video, label, start, end, score in rows:
        segment = Segment(float(start), float(end), instances.labels[label], score=float(score))
        found[instances.videos[video]].append(segment)
    return {name: Timeline(tuple(segments)) for name, segments in found.items()}


def timed(action: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, float]:
    """The result and the shortest of several runs, in seconds of processor time."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        result = action()
        best = min(best, time.process_time() - begun)
    return result, best


def row(truths: int, count: int, protocol: str, repeats: int) -> str:
    """One row of the table; stops where the two disagree."""
    truth, detections = synthetic(truths, count, 0)
    tious = PROTOCOLS[protocol].tious
    expected, slow = timed(lambda: plain(truth, detections, tious), 1 if count > 100_000 else repeats)
    found, quick = timed(lambda: evaluate_detection(truth, detections, protocol).ap, repeats)
    ours_truth, ours = timelines(truth), timelines(detections)
    _, objects = timed(lambda: evaluate_detection(ours_truth, ours, protocol).ap, repeats)
    by_name = np.argsort(sorted(range(CLASSES), key=lambda i: f"class {i}"))
    difference = float(np.abs(found[:, by_name] - expected).max())
    if difference > 1e-9:
        raise SystemExit(f"{protocol}, {count} detections: differs from the plain loop by {difference:.2g}")
    figures = (f"{100 * expected.mean():.3f}", f"{slow:.3f}", f"{quick:.4f}", f"{slow / quick:.0f}", f"{objects:.4f}",
               f"{slow / objects:.0f}", f"{difference:.1e}")  # fmt: skip
    return " | ".join((protocol, f"{count:,}", f"{truths:,}", str(VIDEOS), *figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip-large", action="store_true", help="only the set of THUMOS14's size")
    options = parser.parse_args()
    cases = [("THUMOS14 size", 3400, 3000, "thumos14"), ("THUMOS14 size", 3400, 3000, "activitynet")]
    if not options.skip_large:
        cases += [("2,000 a video", 3400, 422_000, "thumos14"), ("2,000 a video", 3400, 422_000, "activitynet")]
    print(f"device: CPU, {platform.machine()}, {os.cpu_count()} cores, one thread; numpy {np.__version__}; seed 0")
    print("| set | protocol | detections | truths | videos | average mAP | plain s | ours s | ratio | "
          "from timelines s | ratio | largest difference |")  # fmt: skip
    print("| --- | --- " + "| ---: " * 10 + "|")
    for name, truths, count, protocol in cases:
        print(f"| {name} | {row(truths, count, protocol, options.repeats)} |")


if __name__ == "__main__":
    main()
