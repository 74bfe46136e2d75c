"""Training the causal sequence model on sequences of actions: `models.training.fit`, resumable at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from action_localization.anticipation.network import ActionModel, ModelConfig
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError
from models.training import TrainConfig, fit, steps_done

IGNORED = -100
DROPPED = 0.08
"""Share of input actions that another one of the sequence replaces, so that a wrong past is nothing new."""


def optimisation(steps: int, seed: int = 0) -> TrainConfig:
    """How the model is trained."""
    return TrainConfig(steps=steps, lr=2e-3, warmup=min(100, steps // 5 + 1), weight_decay=0.05, ema=0.99, seed=seed,
                       precision="32-true", accelerator="cpu", save_minutes=2.0)  # fmt: skip


@dataclass(frozen=True)
class ModelTraining:
    """One training: where it is kept, how long it is, and how large its batches are."""

    run: Path
    steps: int = 1500
    batch: int = 16
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    minutes: float | None = None


def crops(sequences: Sequence[Int64[ndarray, " _"]], training: ModelTraining, step: int) -> tuple[Tensor, Tensor]:
    """(inputs, targets) of one step: stretches of sequences drawn by their length, a function of (seed, step).

    Targets are the stretch itself: position i is foreseen from what was before it. What is missing is `IGNORED`.
    """
    rng = np.random.default_rng((training.seed, step))
    long = training.model.context
    sizes = np.array([len(sequence) for sequence in sequences], np.float64)
    chosen = rng.choice(len(sequences), training.batch, p=sizes / sizes.sum())
    inputs = np.zeros((training.batch, long), np.int64)
    targets = np.full((training.batch, long), IGNORED, np.int64)
    for row, number in enumerate(chosen):
        sequence = sequences[number]
        first = int(rng.integers(max(1, len(sequence) - long // 2)))
        piece = sequence[first : first + long]
        targets[row, : len(piece)] = piece
        noisy = np.where(rng.random(len(piece)) < DROPPED, rng.choice(piece, len(piece)), piece)
        inputs[row, : len(piece)] = noisy
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def next_action_loss(network: ActionModel, batch: Sequence[Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
    """Cross-entropy of every action given those before it."""
    inputs, targets = batch
    odds, _ = network(inputs[:, :-1])
    return {"loss": F.cross_entropy(odds.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)}


def train_model(
    vocabulary: Vocabulary, sequences: Sequence[Int64[ndarray, " _"]], training: ModelTraining, *, quiet: bool = False
) -> ActionModel | None:
    """The trained network, or None when time was up before the end (call again to go on)."""
    known = [sequence[sequence >= 0] for sequence in sequences]
    known = [sequence for sequence in known if len(sequence) > 1]
    if not known:
        raise LabanError("training needs at least one sequence of two known actions")
    torch.manual_seed(training.seed)
    network = ActionModel(vocabulary, training.model)
    counts = np.bincount(np.concatenate(known), minlength=len(vocabulary)) + 0.5
    with torch.no_grad():
        network.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())).float())
    trained = fit(network, next_action_loss, lambda step: crops(known, training, step),
                  optimisation(training.steps, training.seed), training.run, minutes=training.minutes,
                  progress=not quiet)  # fmt: skip
    return trained if steps_done(training.run) >= training.steps else None
