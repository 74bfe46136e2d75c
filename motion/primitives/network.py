"""The networks of the streaming generator: primitive VAE, latent denoiser and distilled student; their checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from laban.errors import LabanError
from laban.weights import find_weights, load_module, load_weights, save_weights
from models.attention import Block
from models.body.cleanup import TOES
from models.diffusion.denoiser import Condition, Denoiser, DenoiserConfig
from models.diffusion.schedule import NoiseSchedule, cosine_schedule
from models.representation import primitive
from models.representation.primitive import FUTURE

FEATURES = primitive.LAYOUT.features
PAIR = 2
"""Frames of a token in the VAE."""
LOG_VARIANCE = 10.0
"""Bound of the log-variance, as DART's."""


@dataclass(frozen=True)
class PrimitiveConfig:
    """What a checkpoint needs to be rebuilt and used."""

    tokens: int = 2
    """Latent tokens of a primitive."""
    latent: int = 64
    """Numbers a latent token has."""
    width: int = 256
    layers: int = 3
    heads: int = 4
    hidden: int = 512
    denoiser: DenoiserConfig = DenoiserConfig(64, 256, 5, 4, 512, patch=1, slots=(("history", FEATURES),))
    representation: str = primitive.LAYOUT.name
    text: str = "embedded"
    steps: int = 1000
    """Diffusion steps of the training schedule (cosine, x0 prediction)."""
    licence: str = ""
    known: tuple[tuple[str, int], ...] = ()
    """(action, number of training clips), most frequent first."""


class PrimitiveVae(nn.Module):
    """Future frames, given the history, to latent tokens and back; all frames normalised (DART 3.2)."""

    def __init__(self, config: PrimitiveConfig) -> None:
        super().__init__()
        width, pair = config.width, PAIR * FEATURES
        self.config = config
        self.encode_frames, self.decode_history = nn.Linear(pair, width), nn.Linear(pair, width)
        self.queries = nn.Parameter(torch.randn(config.tokens, width) * 0.1)
        self.futures = nn.Parameter(torch.randn(FUTURE // PAIR, width) * 0.1)
        self.encoder_layers = nn.ModuleList(Block(width, config.heads, config.hidden) for _ in range(config.layers))
        self.decoder_layers = nn.ModuleList(Block(width, config.heads, config.hidden) for _ in range(config.layers))
        self.latent_in, self.latent_out = nn.Linear(config.latent, width), nn.Linear(width, 2 * config.latent)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.out = nn.Linear(width, pair)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def encode(
        self, history: Float[Tensor, "batch 2 198"], future: Float[Tensor, "batch 8 198"]
    ) -> tuple[Float[Tensor, "batch tokens latent"], Float[Tensor, "batch tokens latent"]]:
        """(mean, log-variance) of the latent; the future is seen as its difference from the last history frame."""
        frames = torch.cat([history, future - history[:, -1:]], 1)
        hidden = self.encode_frames(frames.unflatten(1, (-1, PAIR)).flatten(2))
        hidden = torch.cat([self.queries.expand(len(history), -1, -1), hidden], 1)
        for layer in self.encoder_layers:
            hidden = layer(hidden)
        mean, log_variance = self.latent_out(self.norm_in(hidden[:, : self.config.tokens])).float().chunk(2, -1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def decode(
        self, latent: Float[Tensor, "batch tokens latent"], history: Float[Tensor, "batch 2 198"]
    ) -> Float[Tensor, "batch 8 198"]:
        """Future frames: what the network adds to the last history frame."""
        past = self.decode_history(history.flatten(1))[:, None]
        hidden = torch.cat([self.latent_in(latent), past, self.futures.expand(len(history), -1, -1)], 1)
        for layer in self.decoder_layers:
            hidden = layer(hidden)
        change = self.out(self.norm_out(hidden[:, -FUTURE // PAIR :])).float()
        return history[:, -1:] + change.unflatten(-1, (PAIR, FEATURES)).flatten(1, 2)


class PrimitiveModel(nn.Module):
    """VAE, denoiser and student with what is needed to use them."""

    mean: Tensor
    std: Tensor
    latent_mean: Tensor
    latent_std: Tensor
    rest_joints: Tensor
    stance: Tensor
    """Features of how people stand on average, where a stream starts."""

    def __init__(self, config: PrimitiveConfig, rest: Float[Tensor, "55 3"] | None = None) -> None:
        super().__init__()
        self.config = config
        self.vae = PrimitiveVae(config)
        self.denoiser, self.student = Denoiser(config.denoiser), Denoiser(config.denoiser)
        for name, size in (("mean", FEATURES), ("stance", FEATURES), ("latent_mean", config.tokens * config.latent)):
            self.register_buffer(name, torch.zeros(size))
        for name, size in (("std", FEATURES), ("latent_std", config.tokens * config.latent)):
            self.register_buffer(name, torch.ones(size))
        self.register_buffer("rest_joints", torch.zeros(165) if rest is None else rest.flatten().clone())
        self.schedule: NoiseSchedule = cosine_schedule(config.steps)

    @property
    def rest(self) -> Float[Tensor, "55 3"]:
        """Rest joints of the body it was trained on, in metres."""
        return self.rest_joints.view(55, 3)

    @property
    def toe_height(self) -> Tensor:
        """Height of the toe joints of somebody who stands on the floor, in metres."""
        return primitive.joints_of(self.stance[None])[0, TOES, 1].mean()

    def normalise(self, features: Float[Tensor, "*batch 198"]) -> Float[Tensor, "*batch 198"]:
        """Features to zero mean and about unit variance."""
        return (features - self.mean) / self.std

    def restore(self, x: Float[Tensor, "*batch 198"]) -> Float[Tensor, "*batch 198"]:
        """Inverse of `normalise`."""
        return x * self.std + self.mean

    def latent_of(
        self, history: Float[Tensor, "batch 2 198"], future: Float[Tensor, "batch 8 198"]
    ) -> Float[Tensor, "batch tokens latent"]:
        """What the denoiser has to predict: the mean of the latent, of zero mean and unit variance."""
        mean, _ = self.vae.encode(history, future)
        return ((mean.flatten(1) - self.latent_mean) / self.latent_std).unflatten(1, mean.shape[1:])

    def future_of(
        self, latent: Float[Tensor, "batch tokens latent"], history: Float[Tensor, "batch 2 198"]
    ) -> Float[Tensor, "batch 8 198"]:
        """Normalised frames of a denoised latent."""
        raw = latent.flatten(1) * self.latent_std + self.latent_mean
        return self.vae.decode(raw.unflatten(1, latent.shape[1:]), history)

    def seen(self, condition: Condition, history: Float[Tensor, "batch 2 198"]) -> Condition:
        """The condition with the history in its slot, beside what other slots hold."""
        known = torch.ones(history.shape[:2], dtype=torch.bool, device=history.device)
        return replace(condition, slots={**condition.slots, "history": (history, known)})


def save_primitives(folder: str | Path, network: PrimitiveModel, card: str) -> str:
    """Write the checkpoint; returns the SHA-256 of its weights."""
    return save_weights(folder, network.state_dict(), {"kind": "primitives", **asdict(network.config)}, card)


def load_primitives(name: str | Path = "primitives_research") -> PrimitiveModel:
    """Embedded primitives by name, or a checkpoint folder, ready to stream."""
    return _load(find_weights(name))


def digest_of(primitives: str | Path) -> str:
    """The SHA-256 that a checkpoint of primitives states."""
    return str(json.loads((find_weights(primitives) / "config.json").read_text())["sha256"])


@lru_cache(maxsize=2)
def _load(folder: Path) -> PrimitiveModel:
    tensors, config = load_weights(folder)
    return load_module(PrimitiveModel(_parse(folder, config)), tensors, folder)


def _parse(folder: Path, config: Mapping[str, Any]) -> PrimitiveConfig:
    if config.get("kind") != "primitives":
        raise LabanError(f"{folder}: holds a {config.get('kind')}; expected primitives")
    fields = {key: value for key, value in config.items() if key in PrimitiveConfig.__dataclass_fields__}
    slots = tuple(map(tuple, config["denoiser"]["slots"]))
    fields["denoiser"] = DenoiserConfig(**{**config["denoiser"], "slots": slots})
    fields["known"] = tuple((action, count) for action, count in config["known"])
    return PrimitiveConfig(**fields)
