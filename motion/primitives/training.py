"""Training the streaming generator: reconstruction, denoising, distillation; one folder, resumable at any time."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.data.dataset import MotionDataset
from models.representation import primitive
from models.representation.primitive import HISTORY
from models.text.encoder import load_text_encoder
from models.training import Loss, TrainConfig, fit, steps_done
from motion.bank import build_bank
from motion.primitives.card import model_card
from motion.primitives.data import SequenceBatches, Sequences, features_of, stance, statistics
from motion.primitives.distill import pool_batches, student_loss
from motion.primitives.losses import denoiser_loss, vae_loss
from motion.primitives.network import PrimitiveConfig, PrimitiveModel, digest_of, load_primitives, save_primitives
from motion.train import LICENCES, choose_records

STAGES = ("vae", "denoiser", "student")


@dataclass(frozen=True)
class PrimitiveTraining:
    """What to train, on what, and for how long."""

    dataset: Path
    output: Path
    run: Path
    variant: str = "research"
    batch: int = 128
    """Sequences of `primitives` primitives a step."""
    primitives: int = 4
    minutes: float | None = None
    """Stop after this much time; the next call goes on."""
    balance: float = 0.25
    """An action of n clips gets n ** balance of the draws (`models.data.sampling`)."""
    config: PrimitiveConfig = PrimitiveConfig()
    steps: tuple[int, int, int] = (2300, 5800, 350)
    """Of the three stages."""
    own: tuple[float, float] = (0.35, 0.6)
    """Shares of a stage at which predicted histories begin, and from which there are no others (DART 3.4)."""
    init: str | Path | None = None
    """Weights to start from (VAE and denoiser), at half the learning rate, on predicted histories from the start."""
    compile: bool = False
    """Compile the denoiser for its training (`torch.compile`): minutes at first, then 1.7 times the steps on a CPU."""
    seed: int = 0


def train_primitives(job: PrimitiveTraining, *, quiet: bool = False) -> Path | None:
    """Train (or go on) and write the checkpoint to `job.output`; None where time was up before the end."""
    end = time.monotonic() + 60 * job.minutes if job.minutes else None
    dataset = MotionDataset.open(job.dataset)
    records = choose_records(dataset.records, job.variant)
    bank = build_bank(dataset, records, balance=job.balance, fps=primitive.LAYOUT.fps, quiet=quiet)
    config = replace(job.config, licence=LICENCES[job.variant],
                     known=tuple(Counter(record.action for record in records).most_common()))  # fmt: skip
    batches = SequenceBatches(bank, load_text_encoder(config.text), batch=job.batch, primitives=job.primitives,
                              seed=job.seed)  # fmt: skip
    torch.manual_seed(job.seed)
    network = started(job, config)
    if job.init is None:
        mean, std = statistics(batches, network.rest)
        network.mean.copy_(mean)
        network.std.copy_(std)
    network.stance.copy_(stance(batches, network.rest))
    for stage in STAGES:
        network = _train_stage(job, stage, network, batches, minutes=_left(end), quiet=quiet)
        if steps_done(job.run / stage) < job.steps[STAGES.index(stage)]:
            return None
    before = "" if job.init is None else digest_of(job.init)
    save_primitives(job.output, network, model_card(job.variant, config, records, job.steps, before))
    return job.output


def started(job: PrimitiveTraining, config: PrimitiveConfig) -> PrimitiveModel:
    """New networks, or those of `job.init`; LabanError where these have other sizes."""
    network = PrimitiveModel(config, load_body(OPEN_BODY).joint_template)
    if job.init is None:
        return network
    before = load_primitives(job.init)
    for name in ("tokens", "latent", "width", "layers", "heads", "hidden", "denoiser", "text", "steps"):
        found, wanted = getattr(before.config, name), getattr(config, name)
        if found != wanted:
            raise LabanError(f"--init {job.init}: {name} {found}; expected {wanted}")
    network.load_state_dict(before.state_dict())
    return network


def _train_stage(
    job: PrimitiveTraining, stage: str, network: PrimitiveModel, batches: SequenceBatches, *,
    minutes: float | None, quiet: bool,
) -> PrimitiveModel:  # fmt: skip
    steps = job.steps[STAGES.index(stage)]
    config = TrainConfig(steps=steps, lr=1e-3, muon_lr=0.02, warmup=100, seed=job.seed)
    if job.init is not None:
        config = replace(config, lr=5e-4, muon_lr=0.01)
    network.requires_grad_(False)
    {"vae": network.vae, "denoiser": network.denoiser, "student": network.student}[stage].requires_grad_(True)
    own = (0, 0) if job.init is not None else (round(job.own[0] * steps), round(job.own[1] * steps))
    rising = SequenceBatches(batches.bank, batches.encoder, batch=batches.batch, primitives=batches.primitives,
                             seed=batches.seed + STAGES.index(stage), own=own)  # fmt: skip
    source: Callable[[int], object] = rising
    if stage == "denoiser":
        _latent_statistics(network, batches)
        if job.compile:
            network.denoiser.compile()
    if stage == "student":
        network.student.load_state_dict(copy.deepcopy(network.denoiser.state_dict()))
        source = pool_batches(network, batches, job.run / "pool", batch=2 * job.batch, quiet=quiet)
        config = replace(config, lr=4e-4, muon_lr=0.008)
    losses: dict[str, Loss] = {"vae": vae_loss, "denoiser": denoiser_loss, "student": student_loss}
    return fit(network.train(), losses[stage], source, config, job.run / stage, minutes=minutes, progress=not quiet)


@torch.no_grad()
def _latent_statistics(network: PrimitiveModel, batches: SequenceBatches, steps: int = 8) -> None:
    """Mean and deviation of latents, with which denoising gets numbers of unit variance."""
    network.latent_mean.zero_()
    network.latent_std.fill_(1)
    latents = []
    for step in range(steps):
        sequences = batches(20_000_000 + step)
        latents += [network.latent_of(*_truth(network, sequences, k)).flatten(1) for k in range(batches.primitives)]
    everything = torch.cat(latents)
    network.latent_mean.copy_(everything.mean(0))
    network.latent_std.copy_(everything.std(0).clamp_min(1e-3 * everything.std()))


def _truth(network: PrimitiveModel, sequences: Sequences, k: int) -> tuple[Tensor, Tensor]:
    frames = network.normalise(features_of(sequences, k, network.rest))
    return frames[:, :HISTORY], frames[:, HISTORY:]


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.01, (end - time.monotonic()) / 60)
