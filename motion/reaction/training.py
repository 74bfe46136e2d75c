"""Training a reaction: way, then body, on pairs of a dataset and on synthetic ones; by folds, resumable at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.data.dataset import MotionDataset
from models.data.pairs import FOLDS, Pair, mocap_pairs
from models.text.encoder import load_text_encoder
from models.training import Loss, TrainConfig, fit, steps_done
from motion.reaction.batches import BatchMix, ReactionBatches, tracks_of
from motion.reaction.features import Track
from motion.reaction.losses import ReactionWeights, body_loss, way_loss, whole_loss
from motion.reaction.network import STAGES, VARIANTS, Stage, load_stage, new_stage, save_stage, stage_config

PARTS = (*STAGES, "live")
"""What a checkpoint of a reaction holds: two stages, and what streaming primitives need to react."""
LICENCE = "non-commercial (CC BY-NC 4.0 motion)"


@dataclass(frozen=True)
class ReactionTraining:
    """What to train, on what, and for how long."""

    output: Path
    run: Path
    variant: str = "two-stage"
    stages: tuple[str, ...] = STAGES
    fold: int | None = None
    """The fold that is left out; None: all takes are learnt from."""
    seed: int = 0
    steps: tuple[int, int, int] = (800, 900, 900)
    """Of way, body and live part."""
    batch: tuple[int, int, int] = (32, 16, 64)
    prior: str | None = "research"
    """Single-person generator that the body grows from."""
    init: Path | None = None
    """Folder of a reaction of the same variant to start from, such as one that has learnt from synthetic pairs."""
    mixture: BatchMix = BatchMix()
    minutes: float | None = None
    """Stop after this much time; the next call goes on."""

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise LabanError(f"--variant {self.variant}; accepted: {', '.join(VARIANTS)}")
        if self.fold is not None and not 0 <= self.fold < FOLDS:
            raise LabanError(f"--fold {self.fold}; accepted: 0 to {FOLDS - 1}")
        if unknown := [stage for stage in self.stages if stage not in PARTS]:
            raise LabanError(f"--stage {unknown[0]}; accepted: {', '.join(PARTS)}")


def optimisation(stage: str, steps: int, seed: int = 0, *, tuned: bool = False) -> TrainConfig:
    """How a stage learns; `tuned` from weights that have learnt before."""
    gentle = 0.5 if tuned else 1.0
    if stage == "way":
        return TrainConfig(steps=steps, lr=2e-3 * gentle, muon_lr=0.01 * gentle, warmup=min(100, steps // 8 + 1),
                           weight_decay=0.05, ema=0.995, seed=seed)  # fmt: skip
    return TrainConfig(steps=steps, lr=1e-3 * gentle, muon_lr=0.01 * gentle, warmup=min(100, steps // 8 + 1), ema=0.995,
                       seed=seed)  # fmt: skip


def pairs_for(dataset: MotionDataset, fold: int | None) -> list[Pair]:
    """The takes that a fold learns from; LabanError for a dataset without any."""
    pairs = [one for one in mocap_pairs(dataset) if fold is None or one.fold != fold]
    if not pairs:
        raise LabanError(f"{dataset.folder}: holds no take of two people; accepted: a dataset with pairs and roles")
    return pairs


def synthetic_for(dataset: MotionDataset, each: int, seed: int = 0) -> list[Pair]:
    """Synthetic pairs made from single clips that a generator may learn from, so many of each kind."""
    from motion.reaction.synthetic import synthetic_pairs

    return list(synthetic_pairs(dataset, each=each, seed=seed))


def train_reaction(job: ReactionTraining, pairs: Sequence[Pair], *, quiet: bool = False) -> Path | None:
    """Train (or go on) and write the stages to `job.output`; None where time was up before the end."""
    if "live" in job.stages:
        from motion.reaction.online_training import train_live

        if not train_live(job, pairs, steps=job.steps[2], batch=job.batch[2], quiet=quiet):
            return None
    tracks = tracks_of(pairs, quiet=quiet) if stages_of(job) else []
    for stage in stages_of(job):
        steps = job.steps[STAGES.index(stage)]
        network = train_stage(job, stage, tracks, quiet=quiet)
        if steps_done(job.run / stage) < steps:
            return None
        network.config = replace(network.config, licence=LICENCE, trained=tuple(pair.name for pair in pairs))
        save_stage(job.output / stage, network, stage_card(job, stage, pairs))
    return job.output


def stages_of(job: ReactionTraining) -> list[str]:
    """The stages that a job trains: one network that makes everything has no way of its own."""
    whole = stage_config("body", job.variant, None).whole
    return [stage for stage in STAGES if stage in job.stages and not (whole and stage == "way")]


def train_stage(job: ReactionTraining, stage: str, tracks: Sequence[Track], *, quiet: bool = False) -> Stage:
    """One stage's network, trained as far as time allows."""
    at = STAGES.index(stage)
    steps, batch = job.steps[at], job.batch[at]
    torch.manual_seed(job.seed)
    config = stage_config(stage, job.variant, job.prior)
    network = new_stage(config, load_body(OPEN_BODY).joint_template)
    if job.init is not None:
        network.load_state_dict(load_stage(job.init / stage).state_dict())
    batches = ReactionBatches(tracks, load_text_encoder(config.text), batch=batch, seconds=config.seconds,
                              seed=job.seed, mixture=job.mixture, sped=stage == "way")  # fmt: skip
    if config.prior is None and stage == "body":
        _statistics(network, tracks)
    return fit(network.train(), loss_of(stage, job.variant), batches,
               optimisation(stage, steps, job.seed, tuned=job.init is not None), job.run / stage, minutes=job.minutes,
               progress=not quiet)  # fmt: skip


def loss_of(stage: str, variant: str) -> Loss:
    """The loss of a stage of a variant."""
    weights = ReactionWeights(interaction=0.0) if variant == "no-interaction" else ReactionWeights()
    if stage == "way":
        return partial(way_loss, weights=weights)
    return partial(whole_loss if variant in ("one-stage", "joint") else body_loss, weights=weights)


def _statistics(network: Stage, tracks: Sequence[Track]) -> None:
    """Mean and deviation of the body features, for a network without a prior."""
    rows = torch.cat([track.body for track in tracks])
    network.mean.copy_(rows.mean(0))
    network.std.copy_(rows.std(0).clamp_min(0.05 * float(rows.std(0).mean())))


def _fold(job: ReactionTraining) -> str:
    return "" if job.fold is None else f" --fold {job.fold}"


def stage_card(job: ReactionTraining, stage: str, pairs: Sequence[Pair]) -> str:
    """The README of a stage's checkpoint."""
    real = [pair.name for pair in pairs if not pair.synthetic]
    licences = "\n".join(f"- {n} pairs: {name}" for name, n in Counter(pair.license for pair in pairs).most_common())
    left = "no take: all are learnt from, so figures come from networks of the folds" if job.fold is None else (
        f"fold {job.fold}")  # fmt: skip
    return f"""# Reaction, stage `{stage}` ({job.variant}: {VARIANTS[job.variant]})

The motion of somebody who reacts to another person, from that person's motion and a text.

- **Trained on**: {len(real)} takes of two people ({", ".join(real) or "none"});
  {len(pairs) - len(real)} synthetic pairs.
- **Left out**: {left}.
- **Prior**: {
        f"the single-person generator `{job.prior}`, which has seen the people of these takes one by one"
        if stage == "body" and job.variant != "scratch"
        else "none"
    }.
- **Licence of these weights**: {LICENCE}. Licences of the clips:
{licences}
- **Command**: `laban train reaction --variant {job.variant} --stage {stage}{_fold(job)}`
- **Measured**: see the README's section on two people (`python benchmarks/react.py`).
- **Weak at**: everything but salsa and what synthetic pairs show (approaching, following, mirroring, handing over);
  fingers; contact that needs millimetres.
"""
