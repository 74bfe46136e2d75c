"""How fast primitives are made: frames a second, and the latency of one (median, 99th percentile), for one and many."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Sampling, noise_for, repeated, standing, step

WARM = 5
"""Primitives that are not timed."""


@dataclass(frozen=True)
class Speed:
    """Timings of `people` at once; seconds are those of one primitive of everybody."""

    people: int
    seconds: Float[ndarray, " primitives"]

    @property
    def frames(self) -> float:
        """Frames a second, of all people together."""
        return self.people * FUTURE * len(self.seconds) / float(self.seconds.sum())

    @property
    def median(self) -> float:
        """Milliseconds of a primitive."""
        return 1000 * float(np.median(self.seconds))

    @property
    def p99(self) -> float:
        """Milliseconds that one primitive of a hundred takes longer than."""
        return 1000 * float(np.percentile(self.seconds, 99))

    def line(self) -> str:
        """For a person to read."""
        return (f"{self.frames:,.0f} frames/s ({self.frames / FPS / self.people:.1f}x real time each), primitive "
                f"{self.median:.1f} ms median, {self.p99:.1f} ms p99, n = {len(self.seconds)}")  # fmt: skip


def on_device(condition: Condition, device: torch.device) -> Condition:
    """The text of a condition where a network is."""
    return Condition(condition.tokens.to(device), condition.mask.to(device), condition.sentence.to(device))


def measure_speed(
    network: PrimitiveModel, condition: Condition, sampling: Sampling, *, people: int = 1, primitives: int = 200
) -> Speed:
    """Time primitive after primitive of `people` who all follow one text (a condition of one row)."""
    device = network.mean.device
    crowd, state = repeated(on_device(condition, device), people), standing(network, people)
    generator = torch.Generator().manual_seed(0)
    seconds = []
    with torch.inference_mode():
        for number in range(WARM + primitives):
            start = time.perf_counter()
            state, made = step(network, state, crowd, noise_for(network, people, generator), sampling)
            made.pelvis.cpu()  # what is computed elsewhere counts once it is here
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number >= WARM:
                seconds.append(time.perf_counter() - start)
    return Speed(people, np.array(seconds))
