"""The text-to-motion generator: denoiser, statistics and skeleton in one module, its loss, and its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from laban.errors import LabanError
from laban.weights import find_weights, load_module, load_weights, save_weights
from models.diffusion.denoiser import Condition, Denoiser, DenoiserConfig
from models.diffusion.schedule import NoiseSchedule, add_noise, cosine_schedule
from models.representation import rifke

CREEP = 0.005
"""Decimetres per frame below which a resting foot's speed is punished by its square, above by its size (1 cm/s)."""


@dataclass(frozen=True)
class GeneratorConfig:
    """What a checkpoint needs to be rebuilt and used."""

    denoiser: DenoiserConfig = DenoiserConfig(rifke.LAYOUT.features)
    representation: str = rifke.LAYOUT.name
    text: str = "embedded"
    """Name of the text encoder whose features it was trained on."""
    steps: int = 1000
    """Diffusion steps of the training schedule (cosine, x0 prediction)."""
    max_seconds: float = 10.0
    """Longest window it was trained on."""
    licence: str = ""
    known: tuple[tuple[str, int], ...] = ()
    """(action, number of training clips), most frequent first."""


@dataclass(frozen=True)
class TextMotion:
    """One training batch; `x` is normalised."""

    x: Float[Tensor, "batch frames features"]
    mask: Bool[Tensor, "batch frames"]
    condition: Condition


class FeatureDenoiser(nn.Module):
    """Denoiser of motion features with their mean and spread, the rest joints that decode them, a noise schedule."""

    mean: Tensor
    std: Tensor
    rest_joints: Tensor

    def __init__(self, denoiser: DenoiserConfig, features: int, steps: int) -> None:
        """`features` is the width of `mean` and `std`: the motion's, of what may be a wider sequence."""
        super().__init__()
        self.denoiser = Denoiser(denoiser)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("rest_joints", torch.zeros(165))
        self.schedule: NoiseSchedule = cosine_schedule(steps)

    @property
    def rest(self) -> Float[Tensor, "55 3"]:
        """Rest joints of the body it was trained on, in metres."""
        return self.rest_joints.view(55, 3)

    def normalise(self, features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Features to zero mean and about unit variance."""
        return (features - self.mean) / self.std

    def restore(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Inverse of `normalise`."""
        return x * self.std + self.mean

    def forward(
        self, x: Float[Tensor, "batch frames features"], t: Tensor, condition: Condition,
        mask: Bool[Tensor, "batch frames"] | None = None,
    ) -> Float[Tensor, "batch frames features"]:  # fmt: skip
        """Predicted clean normalised features."""
        return self.denoiser(x, t, condition, mask)


class Generator(FeatureDenoiser):
    """Denoiser of normalised features with what is needed to decode them."""

    def __init__(self, config: GeneratorConfig, rest: Float[Tensor, "55 3"] | None = None) -> None:
        super().__init__(config.denoiser, config.denoiser.features, config.steps)
        self.config = config
        if rest is not None:
            self.rest_joints.copy_(rest.flatten())


@dataclass(frozen=True)
class LossWeights:
    """Weights of the geometric terms beside the plain x0 loss, and the share of texts dropped for guidance."""

    joints: float = 2.0
    """Squared error in decimetres of the joints by forward kinematics."""
    velocity: float = 10.0
    """The same of their change per frame."""
    skate: float = 1.5
    """Speed in decimetres per frame of feet that rest in the data; not squared, or slow creeping would cost nothing."""
    root: float = 0.5
    """Mean squared error of the four normalised root columns, which are 2 % of the plain loss and carry the body."""
    drop: float = 0.12
    rest_speed: float = 0.008
    """Feet slower than this in the data, in metres per frame, count as resting."""
    decoded: float = 0.5
    """Share of a batch, the least noisy rows, whose body is decoded for the geometric terms."""


def diffusion_loss(
    network: Generator, batch: TextMotion, generator: torch.Generator, weights: LossWeights = LossWeights()
) -> dict[str, Tensor]:
    """x0 regression (Ho et al. 2020; MDM, Tevet et al. 2023) with geometric terms on the decoded body."""
    rows, device = len(batch.x), batch.x.device
    t = torch.randint(0, network.config.steps, (rows,), generator=generator, device=device)
    noise = torch.randn(batch.x.shape, generator=generator, device=device)
    drop = torch.rand(rows, generator=generator, device=device) < weights.drop
    x_t = add_noise(network.schedule, batch.x, t, noise)
    predicted = network(x_t, t, batch.condition.without_text(drop), batch.mask)
    signal = network.schedule.alpha(t) ** 2
    with torch.autocast(device.type, enabled=False):
        best = signal.topk(math.ceil(rows * weights.decoded)).indices
        terms = _geometry(network, predicted[best].float(), batch.x[best], batch.mask[best], signal[best], weights)
        error = (predicted - batch.x).square()
        terms["x0"] = _mean(error.mean(-1), batch.mask)
        terms["root"] = _mean(error[..., list(rifke.LAYOUT.root)].mean(-1), batch.mask)
    total = terms["x0"] + sum(getattr(weights, name) * terms[name] for name in ("joints", "velocity", "skate", "root"))
    return {"loss": total, **terms}


def _geometry(
    network: Generator, predicted: Tensor, x: Tensor, mask: Tensor, signal: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    features, truth = network.restore(predicted), network.restore(x)
    positions = rifke.local_positions(rifke.heading_rotations(features), network.rest)
    wanted = truth[..., 136:].unflatten(-1, (23, 3))
    pair = mask[:, 1:] & mask[:, :-1]
    error = 10 * (positions - wanted)
    feet = rifke.foot_velocities(features, positions)
    still = rifke.foot_velocities(truth, wanted).norm(dim=-1) < weights.rest_speed
    creep = (100 * feet.square().sum(-1) + CREEP**2).sqrt() - CREEP
    return {
        "joints": weights.decoded * _mean(error.square().mean((-1, -2)), mask, signal),
        "velocity": weights.decoded * _mean((error[:, 1:] - error[:, :-1]).square().mean((-1, -2)), pair, signal),
        "skate": weights.decoded * _mean((still * creep).sum(-1), pair, signal),
    }


def _mean(values: Tensor, mask: Tensor, rows: Tensor | None = None) -> Tensor:
    weight = mask.float() if rows is None else mask * rows[:, None]
    return (values * weight).sum() / mask.sum().clamp(min=1)


def save_generator(folder: str | Path, network: Generator, card: str) -> str:
    """Write the checkpoint; returns the SHA-256 of its weights."""
    return save_weights(folder, network.state_dict(), {"kind": "generator", **asdict(network.config)}, card)


def load_generator(name: str | Path = "research") -> Generator:
    """An embedded generator by name or a checkpoint folder, ready to sample."""
    return _load(find_weights(name))


@lru_cache(maxsize=2)
def _load(folder: Path) -> Generator:
    tensors, config = load_weights(folder)
    return load_module(Generator(_parse(folder, config)), tensors, folder)


def _parse(folder: Path, config: Mapping[str, Any]) -> GeneratorConfig:
    if config.get("kind") != "generator":
        raise LabanError(f"{folder}: holds a {config.get('kind')}; expected a generator")
    fields = {key: value for key, value in config.items() if key in GeneratorConfig.__dataclass_fields__}
    fields["denoiser"] = DenoiserConfig(
        **{**config["denoiser"], "slots": tuple(map(tuple, config["denoiser"]["slots"]))}
    )
    fields["known"] = tuple((action, count) for action, count in config["known"])
    return GeneratorConfig(**fields)
