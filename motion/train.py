"""Training a text-to-motion generator: from a dataset folder to a checkpoint folder, resumable at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from laban.errors import LabanError
from laban.weights import load_module, load_weights
from models.body.model import OPEN_BODY, load_body
from models.data.dataset import ClipRecord, MotionDataset
from models.data.sampling import FILTERS
from models.diffusion.denoiser import DenoiserConfig
from models.representation import rifke
from models.text.encoder import load_text_encoder
from models.training import TrainConfig, fit
from motion.bank import build_bank
from motion.generator import Generator, GeneratorConfig, diffusion_loss, save_generator
from motion.training_data import Mixture, TextMotionBatches

VARIANTS = {
    "open": "records whose licence starts with CC0, CMU or MIT",
    "research": "all captured and animated records except depth-camera ones; parts are for non-commercial use only",
}
LICENCES = {
    "open": "Apache-2.0 (trained on CC0, CMU and MIT motion)",
    "research": "non-commercial (CC BY-NC 4.0 motion)",
}


@dataclass(frozen=True)
class GeneratorTraining:
    """What to train, on what, and for how long."""

    dataset: Path
    output: Path
    run: Path
    variant: str = "research"
    batch: int = 64
    init: str | None = None
    """Checkpoint whose weights the training starts from (warm start)."""
    minutes: float | None = None
    """Stop after this much time; the next call goes on."""
    text: str = "embedded"
    """Text encoder to condition on."""
    balance: float = 0.05
    """An action of n clips gets n ** balance of the draws (`models.data.sampling`)."""
    denoiser: DenoiserConfig = DenoiserConfig(rifke.LAYOUT.features)
    optimisation: TrainConfig = TrainConfig(steps=7000, lr=1e-3, muon_lr=0.02)
    mixture: Mixture = Mixture()
    stop: int | None = None
    """Stop after this many steps of the schedule; a later call may go on."""


def choose_records(records: Sequence[ClipRecord], variant: str, split: str = "train") -> list[ClipRecord]:
    """The records of a split that a variant may be trained on."""
    if variant not in VARIANTS:
        raise LabanError(f"--variant {variant}; accepted: {', '.join(VARIANTS)}")
    return [record for record in records if record.split == split and FILTERS[variant](record)]


def train_generator(job: GeneratorTraining, *, quiet: bool = False) -> Path:
    """Train (or go on training) and write the EMA weights to `job.output`; returns that folder."""
    dataset = MotionDataset.open(job.dataset)
    records = choose_records(dataset.records, job.variant)
    bank = build_bank(dataset, records, balance=job.balance, quiet=quiet)
    rest = load_body(OPEN_BODY).joint_template
    config = GeneratorConfig(denoiser=job.denoiser, text=job.text, licence=LICENCES[job.variant],
                             known=tuple(Counter(record.action for record in records).most_common()))  # fmt: skip
    optimisation = job.optimisation
    torch.manual_seed(optimisation.seed)
    batches = TextMotionBatches(bank, load_text_encoder(config.text), rest, batch=job.batch, seed=optimisation.seed,
                                mixture=job.mixture)  # fmt: skip
    network = Generator(config, rest)
    if job.init:
        network = _warm_start(network, job.init)
    network.mean.copy_(batches.mean)
    network.std.copy_(batches.std)
    network.train()
    trained = fit(network, diffusion_loss, batches, optimisation, job.run, stop=job.stop, minutes=job.minutes,
                  progress=not quiet)  # fmt: skip
    save_generator(job.output, trained, model_card(job, config, records))
    return job.output


def _warm_start(network: Generator, name: str) -> Generator:
    tensors, _ = load_weights(name)
    keep = {key: value for key, value in tensors.items() if key.startswith("denoiser.")}
    load_module(network.denoiser, {key.removeprefix("denoiser."): value for key, value in keep.items()}, name)
    return network


def model_card(job: GeneratorTraining, config: GeneratorConfig, records: Sequence[ClipRecord]) -> str:
    """The README of a generator's checkpoint."""
    hours = sum(record.seconds for record in records) / 3600
    licences = "\n".join(f"- {n} clips: {name}" for name, n in Counter(r.license for r in records).most_common())
    known = ", ".join(f"{action} ({count})" for action, count in config.known)
    train = job.optimisation
    command = f"laban train generator --variant {job.variant} --dataset DATASET --steps {train.steps}"
    return f"""# Generator `{job.variant}`

Text to motion: a diffusion transformer over the {config.representation} representation at 20 fps, windows of up to
{config.max_seconds:g} s, on the open body.
Conditioned on the tokens and the sentence vector of the text encoder `{config.text}`.

- **Trained on**: {len(records)} clips ({hours:.2f} h) of the `train` split: {VARIANTS[job.variant]}.
- **Licence of these weights**: {config.licence}. Licences of the clips:
{licences}
- **Command**: `{command}`{f", started from `{job.init}`" if job.init else ""}
- **Schedule**: {train.steps} steps of {job.batch} windows; cosine noise schedule, x0 prediction, EMA {train.ema}.
- **Measured**: see the tables of the project's README (`python benchmarks/generation.py`).
- **Known actions** (clips): {known}.
- **Weak at**: actions with one or two clips, fingers (never moved), objects and other people (not modelled), sentences
  about places, things or feelings that change no movement.
"""


def with_steps(config: TrainConfig, **changes: Any) -> TrainConfig:
    """The configuration with every change that is not None."""
    return replace(config, **{name: value for name, value in changes.items() if value is not None})
