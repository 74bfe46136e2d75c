"""The networks of a reaction: the way that somebody goes beside an actor, what the body does, their checkpoint."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from laban.weights import EMBEDDED, find_weights, load_module, load_weights, save_weights
from models.diffusion.denoiser import PARTNER, Condition, Denoiser, DenoiserConfig, Layer
from motion.generator import FeatureDenoiser, load_generator
from motion.reaction.features import BODY, SEEN, WAY

VARIANTS = {
    "two-stage": "first the way that the reactor goes, then the body on that way",
    "no-interaction": "two stages, of which the second learns without the interaction loss",
    "one-stage": "way and body in one network",
    "joint": "one network of both people, in which the actor is known (InterMask's way of reacting)",
    "scratch": "two stages, of which the second starts from nothing instead of a single-person generator",
}
STAGES = ("way", "body")
HELD = (".feed_forward.", ".cross_attention.", "denoiser.text.", "denoiser.sentence.", "denoiser.slots.",
        "denoiser.signal.", "denoiser.time.", "denoiser.registers")  # fmt: skip
"""Of a prior: what it knows of words, time, and how features go together. What attends over time, goes in and out, or
sees the partner learns. (With everything but the last held, the loss fell half as fast in a trial.)"""


@dataclass(frozen=True)
class StageConfig:
    """What a stage of a reaction needs to be rebuilt and used."""

    stage: str = "way"
    variant: str = "two-stage"
    denoiser: DenoiserConfig = DenoiserConfig(WAY, 96, 3, 4, 288, patch=6, partner=SEEN, partner_layers=1)
    prior: str | None = None
    """Single-person generator whose denoiser this one has grown from; None: it has learnt everything itself."""
    prior_digest: str = ""
    held: bool = False
    """Whether most of the prior's weights stay as they were (`HELD`); the checkpoint then holds only the others."""
    text: str = "embedded"
    steps: int = 1000
    """Diffusion steps of the training schedule (cosine, x0 prediction)."""
    seconds: float = 6.0
    """Longest window it was trained on."""
    licence: str = ""
    trained: tuple[str, ...] = ()
    """Names of the takes it has learnt from."""

    @property
    def whole(self) -> bool:
        """Whether this network makes way and body at once."""
        return self.variant in ("one-stage", "joint")


class Stage(FeatureDenoiser):
    """A denoiser of normalised features with what is needed to decode them.

    Columns of stage `way`: a way (`motion.reaction.features.way_of`). Of stage `body`: the 205 of rifke, then, where
    one network makes everything, the way, and in a joint network the actor's 205.
    """

    def __init__(self, config: StageConfig) -> None:
        super().__init__(config.denoiser, BODY, config.steps)
        self.config = config


@dataclass(frozen=True, eq=False)
class Reactor:
    """What makes a reaction: two stages, or one network alone."""

    body: Stage
    way: Stage | None = None
    name: str = ""

    @property
    def config(self) -> StageConfig:
        """Of the network that makes the body."""
        return self.body.config


def stage_config(stage: str, variant: str, prior: str | None = "research") -> StageConfig:
    """The sizes of a stage of a variant; LabanError for names that there are not."""
    if variant not in VARIANTS or stage not in STAGES:
        raise LabanError(f"--variant {variant}; accepted: {', '.join(VARIANTS)}")
    if stage == "way":
        return StageConfig(variant=variant)
    features = {"one-stage": BODY + WAY, "joint": BODY + WAY + BODY}.get(variant, BODY)
    partner = 0 if variant == "joint" else SEEN
    if variant == "scratch" or prior is None:
        sizes = DenoiserConfig(features, 192, 5, 4, 576, patch=4, partner=partner)
        return StageConfig("body", variant, sizes)
    single = load_generator(prior).config
    sizes = replace(single.denoiser, features=features, partner=partner, hint=variant == "joint")
    return StageConfig("body", variant, sizes, prior, digest_of(prior), held=variant != "joint",
                       text=single.text, steps=single.steps, licence=single.licence)  # fmt: skip


def new_stage(config: StageConfig, rest: Float[Tensor, "55 3"]) -> Stage:
    """A network before any training: grown from its prior where it has one. Only what may learn requires gradients."""
    stage = Stage(config)
    stage.rest_joints.copy_(rest.flatten())
    if config.prior is None:
        for layer in stage.denoiser.layers:
            if isinstance(layer, Layer) and layer.partner is not None:
                layer.partner.attention.out.reset_parameters()
        return stage
    single = load_generator(config.prior)
    stage.mean.copy_(single.mean)
    stage.std.copy_(single.std)
    _grow(stage.denoiser, single.denoiser)
    for name, value in stage.named_parameters():
        value.requires_grad_(not (config.held and is_held(name)))
    return stage


def _grow(denoiser: Denoiser, prior: Denoiser) -> None:
    """Copy a prior's weights; columns that it does not have begin at zero."""
    own, patch = denoiser.state_dict(), prior.config.patch
    wide, narrow = denoiser.config.features, prior.config.features
    with torch.no_grad():
        for name, value in prior.state_dict().items():
            if name not in ("embed.weight", "out.weight", "out.bias") or wide == narrow:
                own[name].copy_(value)
                continue
            own[name].zero_()
            axis = 1 if name == "embed.weight" else 0
            target = own[name].unflatten(axis, (patch, wide)).narrow(axis + 1, 0, narrow)
            target.copy_(value.unflatten(axis, (patch, narrow)))
            if name == "embed.weight":
                rest = own[name].unflatten(1, (patch, wide)).narrow(2, narrow, wide - narrow)
                rest.copy_(torch.randn_like(rest) * narrow**-0.5 / patch)


def is_held(name: str) -> bool:
    """Whether a tensor of a stage is one of `HELD`."""
    return ".partner" not in name and any(part in name for part in HELD)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def save_stage(folder: str | Path, stage: Stage, card: str) -> str:
    """Write one stage; of a prior that is held only what it does not hold. Returns the SHA-256 of the weights."""
    tensors = stage.state_dict()
    if stage.config.held:
        tensors = {name: value for name, value in tensors.items() if not is_held(name)}
    return save_weights(folder, tensors, {"kind": "reaction-stage", **asdict(stage.config)}, card)


def load_stage(folder: str | Path) -> Stage:
    """A stage ready to sample; LabanError where its prior is not the one that it was trained with."""
    tensors, config = load_weights(folder)
    parsed = _parse(folder, config)
    stage = Stage(parsed)
    if parsed.prior is not None:
        found = digest_of(parsed.prior)
        if found != parsed.prior_digest:
            raise LabanError(f"checkpoint {folder}: was trained on other weights of the generator {parsed.prior} "
                             f"(SHA-256 {parsed.prior_digest[:12]}, found {found[:12]}); train it again")  # fmt: skip
    if parsed.held and parsed.prior is not None:
        whole = new_stage(parsed, torch.zeros(55, 3)).state_dict()
        tensors = {**{name: whole[name] for name in whole if name not in tensors}, **tensors}
    return load_module(stage, tensors, folder)  # type: ignore[no-any-return]


def digest_of(name: str | Path) -> str:
    """The SHA-256 that a checkpoint states."""
    return str(json.loads((find_weights(name) / "config.json").read_text(encoding="utf-8"))["sha256"])


def load_reactor(name: str | Path = "reaction") -> Reactor:
    """An embedded reaction by name or a folder: `body` with its `way` beside it, or one network for everything."""
    return _load(_folder(name))


def _folder(name: str | Path) -> Path:
    for folder in (Path(name), EMBEDDED / str(name)):
        if (folder / "body" / "config.json").is_file():
            return folder
    known = sorted(path.parent.parent.name for path in EMBEDDED.glob("*/body/config.json"))
    near = difflib.get_close_matches(str(name), known, 1)
    raise LabanError(
        f"checkpoint {name}: no folder with a trained reaction (body/config.json, and way/ for two stages); "
        f"{f'did you mean {near[0]}? ' if near else ''}train one: laban train reaction --dataset DATASET"
    )


@lru_cache(maxsize=4)
def _load(folder: Path) -> Reactor:
    body = load_stage(folder / "body")
    if body.config.whole:
        return Reactor(body, None, str(folder))
    return Reactor(body, load_stage(folder / "way"), str(folder))


def _parse(folder: str | Path, config: Mapping[str, Any]) -> StageConfig:
    if config.get("kind") != "reaction-stage":
        raise LabanError(f"{folder}: holds a {config.get('kind')}; expected a stage of a reaction")
    fields = {key: value for key, value in config.items() if key in StageConfig.__dataclass_fields__}
    slots = tuple(map(tuple, config["denoiser"]["slots"]))
    fields["denoiser"] = DenoiserConfig(**{**config["denoiser"], "slots": slots})
    fields["trained"] = tuple(config["trained"])
    return StageConfig(**fields)


def beside(condition: Condition, partner: Float[Tensor, "batch frames seen"]) -> Condition:
    """The condition with the actor in the slot `partner`; frames that are not real may hold anything but NaN."""
    seen = torch.ones(partner.shape[:2], dtype=torch.bool, device=partner.device)
    return replace(condition, slots={PARTNER: (partner, seen)})
