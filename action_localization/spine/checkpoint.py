"""Detectors on disk: a checkpoint folder that says what system it is, its classes, and its features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.network import Detector, build_network
from action_localization.spine.systems import from_json, to_json
from laban.errors import LabanError
from laban.weights import load_module, load_weights, save_weights

TRAINING_ONLY = ("sensitivity.", "under_way.")
"""How the names of tensors begin that training alone uses (ASL's, MATR's)."""

_USE = {
    "offline": "laban detect SOURCE --checkpoint", "weak": "laban detect FEATURES --checkpoint",
    "online": "laban detect --online SOURCE --checkpoint", "grounded": 'laban ground SOURCE "SENTENCE" --checkpoint',
}  # fmt: skip
_NOUN = {
    "offline": "an offline detector", "weak": "a weak detector", "online": "an online detector",
    "grounded": "a grounder",
}  # fmt: skip


def regime_of(config: Mapping[str, Any]) -> str | None:
    """offline, weak, online or grounded: what localizes by this configuration of a checkpoint; None: nothing does."""
    system = config.get("system")
    if isinstance(system, str):
        return str(config.get("regime", "online"))
    if config.get("kind") == "pose grounder":
        return "grounded"
    return "offline" if isinstance(system, Mapping) else None


def check_regime(name: str | Path, config: Mapping[str, Any], *wanted: str) -> None:
    """LabanError, saying which command takes it, for a checkpoint of another regime than those `wanted`."""
    found = regime_of(config)
    if found not in wanted:
        other = f" but {_NOUN[found]}" if found in _NOUN else ""
        use = f"{_USE[found]} {name}" if found in _USE else "a folder that laban train detect wrote"
        raise LabanError(f"checkpoint {name}: is no {_NOUN[wanted[0]].split(' ', 1)[1]}{other}; accepted: {use}")


def lasting(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network without those that training alone uses."""
    return {key: value for key, value in network.state_dict().items() if not key.startswith(TRAINING_ONLY)}


def filled(network: nn.Module, tensors: Mapping[str, Tensor], name: str | Path) -> Any:
    """The network in evaluation mode with the tensors that `lasting` kept; LabanError as `load_module` has it."""
    unused = {key: value for key, value in network.state_dict().items() if key.startswith(TRAINING_ONLY)}
    return load_module(network, {**unused, **tensors}, name)


def save_detector(
    folder: str | Path, network: Detector | BoundaryMatcher, card: str, *, extra: Mapping[str, Any] | None = None
) -> str:
    """Write a checkpoint folder without what only training uses; returns the SHA-256 of the weights.

    `extra` joins the configuration, such as the extractor and the grid of the features.
    """
    config = {"system": to_json(network.system), "features": network.features, "classes": list(network.classes)}
    return save_weights(folder, lasting(network), {**(extra or {}), **config}, card)


def load_detector(name: str | Path) -> tuple[Detector | BoundaryMatcher, dict[str, Any]]:
    """(network in evaluation mode, configuration) of an embedded checkpoint's name or of a folder."""
    tensors, config = load_weights(name)
    missing = [key for key in ("system", "features", "classes") if key not in config]
    if missing:
        raise LabanError(f"checkpoint {name}: is no detector (config.json has no {', '.join(missing)})")
    check_regime(name, config, "offline")
    network = build_network(from_json(config["system"], name=f"{name}/config.json"), config["features"],
                            config["classes"])  # fmt: skip
    return filled(network, tensors, name), config
