"""How long a detector takes on this machine: forward pass in fp32 and bf16, decoding, soft-NMS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.decode import best_of_levels, level_candidates, map_candidates
from action_localization.spine.detect import in_bf16
from action_localization.spine.network import Detector, build_network
from action_localization.spine.nms import Candidates, suppress
from action_localization.spine.presets import preset
from action_localization.spine.systems import BMN, base
from laban.progress import progress
from models.devices import pick_device

FORWARD, SMALL = "forward fp32", "forward bf16"


@dataclass(frozen=True)
class Load:
    """What is timed; BMN always sees as many entries as it is made for."""

    system: str = "actionformer"
    layout: str = "thumos14"
    frames: int = 2304
    features: int = 2048
    classes: int = 20
    repeats: int = 5
    threads: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Timings:
    """Seconds of every repeat, by what was done."""

    load: Load
    parameters: int
    candidates: int
    kept: int
    threads: int
    device: str
    seconds: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        medians = {name: median(values) for name, values in self.seconds.items()}
        return {**asdict(self), "medians": medians}

    def lines(self) -> list[str]:
        """One line for each part, beside the forward pass in fp32."""
        load, forward = self.load, median(self.seconds[FORWARD])
        rows = [
            f"{load.system} on {load.layout}, {self.parameters / 1e6:.1f} M parameters, {load.frames} x {load.features}"
            f", {load.classes} classes, {self.device}, {self.threads} threads, median of {load.repeats}"
        ]
        for name, values in self.seconds.items():
            rows.append(f"{name:<14} {1000 * median(values):9.1f} ms  {median(values) / forward:7.3f} x   "
                        f"({1000 * min(values):.1f} to {1000 * max(values):.1f})")  # fmt: skip
        return [*rows, f"{self.candidates} candidates, {self.kept} kept"]


def bench_detector(load: Load, *, quiet: bool = False) -> Timings:
    """Time an untrained network of the preset on random features, and what follows on scores as after training."""
    device, threads = pick_device(load.device), torch.get_num_threads()
    if load.threads is not None:
        torch.set_num_threads(load.threads)
    try:
        torch.manual_seed(0)
        chosen = preset(load.system, load.layout)
        host = base(chosen.system)
        frames = host.frames if isinstance(host, BMN) else load.frames
        network = build_network(chosen.system, load.features, [f"class {n}" for n in range(load.classes)])
        network = network.eval().to(device)
        features = torch.randn(1, frames, load.features, device=device)
        runs = {FORWARD: _synchronised(lambda: network(features), device)}
        if isinstance(network, Detector):
            small, half = in_bf16(network), features.bfloat16()
            runs[SMALL] = _synchronised(lambda: small(half), device)
        decode = _decoding(network, frames)
        found = decode()
        runs["decode"] = decode
        nms = host.nms if isinstance(host, BMN) else host.decoding.nms
        runs["soft-NMS"] = lambda: suppress(found, nms, span=float(frames))
        with torch.inference_mode(), progress("timing", load.repeats + 1, quiet=quiet) as advance:
            seconds = alternate(runs, load.repeats, advance=advance)
        kept = suppress(found, nms, span=float(frames))
        size = sum(p.numel() for p in network.parameters())
        used = torch.get_num_threads()
        return Timings(load, size, len(found), len(kept), used, str(device), seconds)
    finally:
        torch.set_num_threads(threads)


def alternate(
    runs: dict[str, Callable[[], object]], repeats: int, *, clock: Callable[[], float] = time.perf_counter,
    advance: Callable[[int], None] = lambda steps: None,
) -> dict[str, list[float]]:  # fmt: skip
    """Seconds of each run, taken in turns after one round for warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if turn:
                seconds[name].append(clock() - start)
        advance(1)
    return seconds


def trained_scores(
    frames: int, network: Detector, seed: int = 0
) -> tuple[Float32[ndarray, "points classes"], Float32[ndarray, "points 1 2"]]:
    """Logits and offsets as after training: background almost everywhere, some thousand points above the threshold."""
    rng = np.random.default_rng(seed)
    points, classes = len(network.points(frames).place), len(network.classes)
    logits = rng.normal(-9.5, 1.6, (points, classes)).astype(np.float32)
    length = min(20, points)
    for _ in range(30):
        first, kind = int(rng.integers(points - length + 1)), int(rng.integers(classes))
        logits[first : first + length, kind] += rng.uniform(4, 10)
    return logits, rng.gamma(3, 0.7, (points, 1, 2)).astype(np.float32)


def _decoding(network: Detector | BoundaryMatcher, frames: int) -> Callable[[], Candidates]:
    if isinstance(network, Detector):
        points, config = network.points(frames), network.host.decoding
        logits, offsets = trained_scores(frames, network)
        return lambda: best_of_levels([level_candidates(logits, offsets, points, config)], config)
    rng = np.random.default_rng(0)
    start, end = rng.uniform(size=(2, frames))
    quality = rng.uniform(size=(2, network.host.durations, frames))
    return lambda: map_candidates(start, end, quality)


def _synchronised(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The same, waiting until the device has done it."""
    if device.type != "cuda":
        return run

    def waiting() -> object:
        result = run()
        torch.cuda.synchronize(device)
        return result

    return waiting
