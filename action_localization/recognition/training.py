"""How Attentive Semantic Units learn: regions of labelled clips against the embeddings of their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from action_localization.recognition.network import ASU, SemanticUnits
from laban.errors import LabanError
from models.training import TrainConfig, drawing_from, fit, small_training


@dataclass(frozen=True)
class UnitsConfig:
    """The network, and how it is trained; classes are drawn alike."""

    network: ASU = ASU()
    size: int = 64
    noise: float = 0.02
    """Standard deviation added to every column of a region, which has a length of one."""
    keep: float = 0.5
    """Weight of staying near the encoder's own answer."""
    training: TrainConfig = small_training(200, 2e-3, warmup=20, ema=0.98)


@dataclass(frozen=True)
class LabelledRegions:
    """Clips as regions, with the class of each, and the text embedding of every class."""

    regions: Float[ndarray, "clips regions visual"]
    label: Int[ndarray, " clips"]
    texts: Float[ndarray, "classes text"]

    def __post_init__(self) -> None:
        if not len(self.label) or not (np.isfinite(self.regions).all() and np.isfinite(self.texts).all()):
            raise LabanError(f"{len(self.label)} labelled clips; accepted: at least one, all numbers finite")


@dataclass(frozen=True)
class RegionBatch:
    """Some clips as regions, with their classes."""

    regions: Float[Tensor, "batch regions visual"]
    label: Int[Tensor, " batch"]


def fit_units(
    data: LabelledRegions, bank: Float[ndarray, "units text"], config: UnitsConfig, folder: Path, *, seed: int,
    quiet: bool = True,
) -> SemanticUnits:  # fmt: skip
    """Train on labelled clips; a run that was interrupted goes on."""
    torch.manual_seed(seed)
    network = SemanticUnits(config.network, bank.astype(np.float32))
    rows = [np.flatnonzero(data.label == one) for one in np.unique(data.label)]
    regions = torch.from_numpy(np.ascontiguousarray(data.regions, np.float32))
    texts = torch.from_numpy(np.ascontiguousarray(data.texts, np.float32))

    def batch(step: int) -> RegionBatch:
        rng = np.random.default_rng((seed, 3, step))
        classes = rng.integers(len(rows), size=config.size)
        chosen = np.array([rng.choice(rows[one]) for one in classes])
        return RegionBatch(regions[chosen], torch.from_numpy(data.label[chosen]))

    def loss(network: SemanticUnits, batch: RegionBatch, generator: torch.Generator) -> Mapping[str, Tensor]:
        clips = batch.regions
        noise = config.noise * torch.randn(clips.shape, generator=generator)
        with drawing_from(generator):
            found = network(F.normalize(clips + noise, dim=-1))
        terms = {"label": F.cross_entropy(network.logits(found.embedding, texts), batch.label)}
        if config.network.aligned:
            terms["keep"] = config.keep * (1 - (found.embedding * clips[:, 0]).sum(-1)).mean()
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    training = replace(config.training, seed=seed)
    return fit(network, loss, batch, training, folder, progress=not quiet).eval()
