"""The figures of streaming beside their bars and references, from one run: speed, reaction, ten minutes of prompts.

    python benchmarks/stream.py [--data runs/data/mocap] [--checkpoint primitives_research] [--seeds 3] [--minutes 10]
                                [--part speed --part reaction --part roll] [--threads 2] [--dev] [--cache runs/stream]

Roll-outs that are done are kept in the cache, so that an interrupted run goes on where it stopped. `--dev` takes the
development prompts: anything may be tuned on these, and on nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from laban.files import atomic_path
from laban.weights import find_weights
from models.data.dataset import MotionDataset
from models.diffusion.denoiser import Condition
from models.motion_text.examples import read_examples
from motion import evaluation_stream as evaluation
from motion.judge.judge import load_judge
from motion.metrics import Estimate
from motion.primitives.rollout import condition_of
from motion.primitives.stream import MotionStream, StreamConfig
from motion.stream_metrics import SIGNS, VISIBLE
from motion.stream_prompts import StreamPrompts, read_stream_prompts
from motion.stream_reaction import measure_reaction, summary
from motion.stream_roll import Rolled, rolled
from motion.stream_speed import measure_speed

PARTS = ("speed", "reaction", "roll")
FOLDER = Path(__file__).parent
CROWD = {"cpu": (32,), "cuda": (32, 1024)}
"""People at once, by device."""


def device_name(device: str) -> str:
    """What computed, for a person to read."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    name, cores = found[1] if found else platform.processor() or "CPU", os.cpu_count()
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return f"{name}, {torch.get_num_threads()} threads of {cores} cores, {busy}"


def begun(options: argparse.Namespace, config: StreamConfig, seed: int = 0) -> MotionStream:
    """A stream nothing was said to."""
    return MotionStream(options.checkpoint, config=replace(config, seed=seed))


def speed(options: argparse.Namespace, configs: dict[str, StreamConfig]) -> None:
    """Frames a second, latencies, many at once; and the same through the whole stream, words included."""
    print("\nSpeed (bar: 120 frames/s for one with guidance, p99 of a primitive at most 100 ms, 32 at once 5x that)")
    for name, config in configs.items():
        stream = begun(options, config)
        device = stream.network.mean.device.type
        print(f"  {name}, {config.sampling}, on {device_name(device)}")
        condition = read(stream, ["a person walks forward"])
        alone = measure_speed(stream.network, condition, config.sampling, primitives=options.primitives)
        print(f"    1 person: {alone.line()}")
        for people in CROWD[device]:
            crowd = measure_speed(stream.network, condition, config.sampling, people=people,
                                  primitives=max(20, options.primitives // 10))  # fmt: skip
            print(f"    {people} people: {crowd.line()}; {crowd.frames / alone.frames:.1f}x the throughput of one")
        streamed(stream, options)


def streamed(stream: MotionStream, options: argparse.Namespace) -> None:
    """What a user has: primitives with all that goes round them, and what saying something costs."""
    prompts, spent, said = read_stream_prompts(FOLDER / "stream_prompts_dev.json").prompts, list[float](), list[float]()
    for number in range(options.primitives):
        if number % 10 == 0:
            start = time.perf_counter()
            stream.say(prompts[number // 10 % len(prompts)].text)
            said.append(time.perf_counter() - start)
        start = time.perf_counter()
        stream.primitive()
        spent.append(time.perf_counter() - start)
    ms = 1000 * np.array(spent)
    print(f"    whole stream, a new text every 10 primitives: {8000 / ms.mean():,.0f} frames/s, primitive "
          f"{np.median(ms):.1f} ms median, {np.percentile(ms, 99):.1f} ms p99, n = {len(ms)}; saying something "
          f"{1000 * np.median(said):.0f} ms median, {1000 * max(said):.0f} ms at most, n = {len(said)}")  # fmt: skip


def reaction(options: argparse.Namespace, configs: dict[str, StreamConfig]) -> None:
    """From a word to what can be seen."""
    print(f"\nReaction (bar: 2 primitives, 16 frames): frames from the primitive that is first told, until a joint is "
          f"{100 * VISIBLE:.0f} cm from where idling\nwith the same noise has it; a word waits 0 to 7 frames more for "
          "its primitive")  # fmt: skip
    for name, config in configs.items():
        stream = begun(options, config)
        found = measure_reaction(stream.network, partial(read, stream), config.sampling, seeds=options.reactions)
        print(f"  {name}: {summary(found.departed.ravel())}")
        print(f"    idling with other noise instead of a word: {summary(found.chance.ravel())}")
        for row, (text, action) in enumerate(zip(found.texts, found.actions, strict=True)):
            print(f"    {text}: {summary(found.departed[row])}")
            if action in SIGNS:
                idle = np.isfinite(found.false_signs[row]).mean()
                print(f"      kinematic sign: {summary(found.signs[row])}; in idling {100 * idle:.0f} % have it")


def read(stream: MotionStream, texts: Sequence[str]) -> Condition:
    """Texts as a stream reads them."""
    return condition_of(stream.known.read(list(texts)))


def roll(options: argparse.Namespace, configs: dict[str, StreamConfig]) -> None:
    """The ten minutes."""
    name = "stream_prompts_dev" if options.dev else "stream_prompts"
    prompts = read_stream_prompts(FOLDER / f"{name}.json")
    prompts = prompts.first(max(1, round(options.minutes * 60 / prompts.seconds)))
    dataset = MotionDataset.open(options.data)
    print(f"\n{len(prompts.prompts)} prompts of {prompts.seconds:g} s ({prompts.name}), {options.seeds} seeds; "
          f"intervals: 95 %, over prompts\n{prompts.rule}\n(bar: 85 % of windows right, skate at most 1.5x real, "
          "no NaN, constant memory)")  # fmt: skip
    rolls = {label: performed(options, prompts, config) for label, config in configs.items()}
    report = evaluation.evaluate_stream(prompts, dataset, read_examples(dataset)[0], load_judge(), rolls,
                                        repeats=options.seeds, finished=print_row)  # fmt: skip
    print("\n".join(report.notes))
    print_prompts(prompts, report)
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(report.to_json(), indent=1))


def performed(options: argparse.Namespace, prompts: StreamPrompts, config: StreamConfig) -> Iterator[Rolled]:
    """The roll-outs of one configuration, one seed after another."""
    weights = json.loads((find_weights(options.checkpoint) / "config.json").read_text())["sha256"]
    settings = {**asdict(config), "seed": None, "device": None, "weights": weights}
    for seed in range(options.seeds):
        yield rolled(prompts, lambda own: begun(options, config, own), seed, settings, cache=options.cache)


def print_row(row: evaluation.Row) -> None:
    """One row as soon as it is there."""
    print(f"  {row.name} ({row.repeats} repeats)")
    for key, value in row.figures.items():
        beside = f"; {row.ratios[key]} of real" if key in row.ratios else ""
        print(f"    {key:32s} {shown(value)}{beside}")


def shown(value: Estimate) -> str:
    """With its n."""
    return f"{value}, n = {value.n}"


def print_prompts(prompts: StreamPrompts, report: evaluation.Report) -> None:
    """What was seen of each prompt: share of right windows by row, and the names of the last row's first repeat."""
    rows = [row for row in report.rows if row.name not in (evaluation.IDLING, evaluation.SHUFFLED)]
    print(f"\n  right windows, by prompt: {', '.join(row.name for row in rows)}; what they were called (* at rest)")
    for n, prompt in enumerate(prompts.prompts):
        shares = " ".join(f"{row.prompts[n]:5.2f}" for row in rows)
        print(f"    {prompt.text:44s} {shares}  {', '.join(report.rows[-1].names[n])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--checkpoint", default="primitives_research")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--dev", action="store_true", help="the development prompts")
    parser.add_argument("--row", action="append", choices=("guided", "distilled"), help="repeatable; default: both")
    parser.add_argument("--steps", type=int, help="of the guided sampler")
    parser.add_argument("--guidance", type=float, default=StreamConfig().guidance)
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--primitives", type=int, default=500, help="that are timed")
    parser.add_argument("--reactions", type=int, default=20, help="seeds of each text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", type=Path, default=Path("runs/stream"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    guided = StreamConfig(steps=options.steps, guidance=options.guidance, candidates=options.candidates,
                          device=options.device)  # fmt: skip
    configs = {"guided": guided, "distilled": replace(guided, distilled=True, steps=None)}
    configs = {name: config for name, config in configs.items() if name in (options.row or configs)}
    for part in options.part or PARTS:
        {"speed": speed, "reaction": reaction, "roll": roll}[part](options, configs)


if __name__ == "__main__":
    main()
