"""Distillation: guided sampling in many steps, learnt as a map from noise to latent in one or two steps, unguided.

A deterministic sampler maps each noise to one latent. The student learns that map at the noisiest step, and from the
points that its own first answer leads to, so that a second step refines the first (after progressive distillation,
Salimans & Ho 2022, and guided distillation, Meng et al. 2023). The pairs are drawn once and learnt from many times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.files import atomic_path
from laban.progress import progress
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import SamplerConfig, batched_guidance, sample
from models.diffusion.schedule import add_noise
from models.representation.primitive import HISTORY
from motion.primitives.data import SequenceBatches, features_of
from motion.primitives.losses import carried_on, latent_terms, text_rows
from motion.primitives.network import PrimitiveModel

TEACHER = SamplerConfig("ddim", 8)
GUIDANCE = 1.5
"""Of the teacher; what the student does is guided by as much."""
SECOND = 0.45
"""Where the student's second step starts, as a share of the schedule."""
CHUNK = 2048
"""Pairs of one file of the pool."""


@dataclass(frozen=True)
class Pairs:
    """Noise and what the guided teacher makes of it."""

    noise: Float[Tensor, "batch tokens latent"]
    latent: Float[Tensor, "batch tokens latent"]
    history: Float[Tensor, "batch 2 198"]
    condition: Condition


def guided_latent(
    network: PrimitiveModel, condition: Condition, history: Tensor, noise: Tensor, *,
    sampler: SamplerConfig = TEACHER, guidance: float = GUIDANCE,
) -> Float[Tensor, "batch tokens latent"]:  # fmt: skip
    """The latent that deterministic, guided sampling makes of `noise`; differentiable."""
    own = network.seen(condition, history)
    both = own.cat(own.without_text())
    denoise = batched_guidance(lambda x, t: network.denoiser(x, t, both), guidance)
    return sample(denoise, noise, network.schedule, sampler)


def student_latent(
    network: PrimitiveModel, condition: Condition, history: Tensor, noise: Tensor, *, steps: int = 2
) -> Float[Tensor, "batch tokens latent"]:
    """The student's latent in one or two unguided steps; differentiable."""
    own, rows = network.seen(condition, history), len(noise)
    last = torch.full((rows,), network.config.steps - 1, device=noise.device)
    latent = network.student(noise, last, own)
    if steps == 1:
        return latent
    middle = _second(network, rows, noise.device)
    return network.student(add_noise(network.schedule, latent, middle, noise), middle, own)


def student_loss(network: PrimitiveModel, batch: Pairs, generator: torch.Generator) -> dict[str, Tensor]:
    """Both steps of the student against the teacher's latent and the frames it means."""
    own, rows = network.seen(batch.condition, batch.history), len(batch.noise)
    last = torch.full((rows,), network.config.steps - 1, device=batch.noise.device)
    first = network.student(batch.noise, last, own)
    middle = _second(network, rows, batch.noise.device)
    second = network.student(add_noise(network.schedule, first.detach(), middle, batch.noise), middle, own)
    with torch.no_grad():
        future = network.future_of(batch.latent, batch.history).float()
    terms = latent_terms(network, second, batch.latent, future, batch.history)
    once = latent_terms(network, first, batch.latent, future, batch.history)
    total = sum((terms[name] + once[name] for name in ("latent", "frames", "joints")), torch.zeros(()))
    return {"loss": total + 10 * (terms["velocity"] + once["velocity"]), **terms, "once": once["latent"]}


def pool_batches(
    network: PrimitiveModel, batches: SequenceBatches, folder: Path, *, batch: int, pairs: int = 30_000,
    quiet: bool = False,
) -> Callable[[int], Pairs]:  # fmt: skip
    """Draw the pool (or what is missing of it) and return batches of it; a batch is a function of its step alone."""
    files = [folder / f"{k:04d}.npz" for k in range(-(-pairs // CHUNK))]
    with progress("drawing pairs", len(files), quiet=quiet) as advance:
        for k, path in enumerate(files):
            if not path.exists():
                _draw(network, batches, path, k)
            advance(1)
    whole = [_read(path) for path in files]
    columns = {name: torch.cat([chunk[name] for chunk in whole]) for name in whole[0]}
    size = len(columns["noise"])

    def batch_of(step: int) -> Pairs:
        chosen = torch.from_numpy(np.random.default_rng((batches.seed, 3, step)).integers(0, size, batch))
        take = {name: value[chosen] for name, value in columns.items()}
        condition = Condition(take["tokens"].float(), take["mask"], take["sentence"].float())
        return Pairs(take["noise"].float(), take["latent"].float(), take["history"].float(), condition)

    return batch_of


@torch.no_grad()
def _draw(network: PrimitiveModel, batches: SequenceBatches, path: Path, chunk: int) -> None:
    """One file of pairs: sequences that the teacher carries on by itself, starting from the data."""
    kept: dict[str, list[Tensor]] = {}
    count, step = 0, 0
    while count < CHUNK:
        sequences = batches(30_000_000 + 1000 * chunk + step)
        history = network.normalise(features_of(sequences, 0, network.rest))[:, :HISTORY]
        for k in range(batches.primitives):
            condition = text_rows(sequences, k)
            shape = (len(history), network.config.tokens, network.config.latent)
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(977 * (1000 * chunk + step) + k))
            with torch.autocast("cpu", torch.bfloat16):
                latent = guided_latent(network, condition, history, noise).float()
                future = network.future_of(latent, history).float()
            row = {"noise": noise, "latent": latent, "history": history, "tokens": condition.tokens,
                   "mask": condition.mask, "sentence": condition.sentence}  # fmt: skip
            for name, value in row.items():
                kept.setdefault(name, []).append(value if name == "mask" else value.half())
            history, count = carried_on(network, future), count + len(noise)
        step += 1
    words = max(value.shape[1] for value in kept["mask"])
    for name in ("tokens", "mask"):
        kept[name] = [_padded(value, words) for value in kept[name]]
    with atomic_path(path) as temporary:
        arrays: dict[str, Any] = {name: torch.cat(values)[:CHUNK].numpy() for name, values in kept.items()}
        np.savez(temporary, **arrays)


def _read(path: Path, words: int = 24) -> dict[str, Tensor]:
    with np.load(path) as stored:
        tensors = {name: torch.from_numpy(stored[name]) for name in stored.files}
    return {name: _padded(value, words) if name in ("tokens", "mask") else value for name, value in tensors.items()}


def _padded(value: Tensor, words: int) -> Tensor:
    short = words - value.shape[1]
    return torch.cat([value, value.new_zeros(value.shape[0], short, *value.shape[2:])], 1) if short > 0 else value


def _second(network: PrimitiveModel, rows: int, device: torch.device) -> Tensor:
    return torch.full((rows,), round(SECOND * network.config.steps), device=device)
