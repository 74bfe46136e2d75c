"""Detectors on disk: a checkpoint folder that says what system it is, its classes, and its features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.network import Detector, build_network
from action_localization.spine.systems import from_json, to_json
from laban.errors import LabanError
from laban.weights import load_module, load_weights, save_weights

_TRAINING_ONLY = "sensitivity."


def save_detector(
    folder: str | Path, network: Detector | BoundaryMatcher, card: str, *, extra: Mapping[str, Any] | None = None
) -> str:
    """Write a checkpoint folder without what only training uses; returns the SHA-256 of the weights.

    `extra` joins the configuration, such as the extractor and the grid of the features.
    """
    tensors = {k: v for k, v in network.state_dict().items() if not k.startswith(_TRAINING_ONLY)}
    config = {"system": to_json(network.system), "features": network.features, "classes": list(network.classes)}
    return save_weights(folder, tensors, {**(extra or {}), **config}, card)


def load_detector(name: str | Path) -> tuple[Detector | BoundaryMatcher, dict[str, Any]]:
    """(network in evaluation mode, configuration) of an embedded checkpoint's name or of a folder."""
    tensors, config = load_weights(name)
    missing = [key for key in ("system", "features", "classes") if key not in config]
    if missing:
        raise LabanError(f"checkpoint {name}: is no detector (config.json has no {', '.join(missing)})")
    network = build_network(from_json(config["system"], name=f"{name}/config.json"), config["features"],
                            config["classes"])  # fmt: skip
    unused = {k: v for k, v in network.state_dict().items() if k.startswith(_TRAINING_ONLY)}
    return load_module(network, {**unused, **tensors}, name), config
