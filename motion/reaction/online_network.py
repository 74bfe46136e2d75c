"""The streaming primitives with an actor in sight: what is added to their denoiser, and its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from laban.errors import LabanError
from laban.weights import EMBEDDED, load_module, load_weights, save_weights
from motion.primitives.network import PrimitiveModel, load_primitives
from motion.reaction.features import SEEN
from motion.reaction.network import digest_of

PRIMITIVES = "primitives_research"


def new_live(primitives: str = PRIMITIVES) -> PrimitiveModel:
    """A trained streaming model whose denoiser also sees an actor, which changes nothing yet; only that may learn."""
    before = load_primitives(primitives)
    sizes = replace(before.config.denoiser, partner=SEEN)
    model = PrimitiveModel(replace(before.config, denoiser=sizes))
    known = before.state_dict()
    model.load_state_dict({**model.state_dict(), **known})
    for name, value in model.named_parameters():
        value.requires_grad_(_is_added(name))
    return model


def _is_added(name: str) -> bool:
    return name.startswith("denoiser.") and ".partner" in name


def save_live(
    folder: str | Path, model: PrimitiveModel, card: str, *, primitives: str, trained: tuple[str, ...]
) -> str:
    """Write what was added to the primitives; returns the SHA-256 of the weights."""
    tensors = {name: value for name, value in model.state_dict().items() if _is_added(name)}
    about = {"kind": "live-reaction", "primitives": primitives, "primitives_digest": digest_of(primitives),
             "licence": model.config.licence, "trained": trained}  # fmt: skip
    return save_weights(folder, tensors, about, card)


def load_live(name: str | Path = "reaction") -> PrimitiveModel:
    """The live part of a reaction's checkpoint, ready to stream; LabanError where its primitives are others now."""
    for folder in (Path(name) / "live", EMBEDDED / str(name) / "live"):
        if (folder / "config.json").is_file():
            return _load(folder)
    raise LabanError(f"checkpoint {name}: has no live part (live/config.json); train one: "
                     "laban train reaction --stage live --dataset DATASET")  # fmt: skip


@lru_cache(maxsize=2)
def _load(folder: Path) -> PrimitiveModel:
    tensors, config = load_weights(folder)
    if config.get("kind") != "live-reaction":
        raise LabanError(f"{folder}: holds a {config.get('kind')}; expected a live reaction")
    found, wanted = digest_of(config["primitives"]), config["primitives_digest"]
    if found != wanted:
        raise LabanError(f"checkpoint {folder}: was trained on other primitives {config['primitives']} (SHA-256 "
                         f"{wanted[:12]}, found {found[:12]}); train it again")  # fmt: skip
    model = new_live(config["primitives"])
    loaded: PrimitiveModel = load_module(model, {**model.state_dict(), **tensors}, folder)
    return loaded.requires_grad_(False)
