"""The online, weak and grounded systems by name: preset, training, answers, and their checkpoint folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from action_localization.grounded.ctrl import WindowGrounder, fit_ctrl, ground_ctrl
from action_localization.grounded.denoise_loc import SpanDenoiser, fit_denoise_loc, ground_denoise_loc
from action_localization.grounded.dense import DenseGrounder, fit_dense, ground_dense
from action_localization.grounded.moment_detr import SetGrounder, fit_moment_detr, ground_moment_detr
from action_localization.grounded.presets import grounded_preset
from action_localization.online.hat import HAT
from action_localization.online.lane import detect_online
from action_localization.online.matr import MATR
from action_localization.online.presets import online_preset
from action_localization.online.switch import ActionSwitch
from action_localization.online.systems import fit_hat, fit_matr, fit_switch
from action_localization.spine.checkpoint import check_regime, filled, lasting
from action_localization.weak.hierarchy import LatentHierarchy, fit_hierarchy, hierarchy_detect
from action_localization.weak.points import PointNetwork, fit_points, point_detect
from action_localization.weak.pooled import PooledNetwork, fit_pooled, pooled_detect
from action_localization.weak.presets import weak_preset
from action_localization.weak.tscn import TSCN, fit_tscn, tscn_detect
from laban.config import from_dict, to_dict
from laban.errors import LabanError
from laban.weights import load_weights, save_weights

Regime = Literal["online", "weak", "grounded"]
_TEXT = 384
"""Numbers in a sentence's vector by the embedded text encoder."""


@dataclass(frozen=True)
class Kind:
    """A system: `network` is built of config, features and classes (grounded: the width of texts), by keyword.

    `answer` takes network and features, and gives a score (grounded: takes sentences as well, and gives their spans).
    """

    regime: Regime
    network: Callable[..., nn.Module]
    fit: Callable[..., Any]
    answer: Callable[..., Any]


KINDS: dict[str, Kind] = {
    "matr": Kind("online", MATR, fit_matr, detect_online),
    "oat": Kind("online", HAT, fit_hat, detect_online),
    "hat": Kind("online", HAT, fit_hat, detect_online),
    "action-switch": Kind("online", ActionSwitch, fit_switch, detect_online),
    "mil": Kind("weak", PooledNetwork, fit_pooled, pooled_detect),
    "tscn": Kind("weak", TSCN, fit_tscn, tscn_detect),
    "hierarchy": Kind("weak", LatentHierarchy, fit_hierarchy, hierarchy_detect),
    "points": Kind("weak", PointNetwork, fit_points, point_detect),
    "ctrl": Kind("grounded", WindowGrounder, fit_ctrl, ground_ctrl),
    "moment-detr": Kind("grounded", SetGrounder, fit_moment_detr, ground_moment_detr),
    "denoise-loc": Kind("grounded", SpanDenoiser, fit_denoise_loc, ground_denoise_loc),
    "dense": Kind("grounded", DenseGrounder, fit_dense, ground_dense),
}


def kind_preset(system: str, data: str = "") -> Any:
    """The configuration of a system for a set of streams (`RegimeSet.name`), or that of sets without one of their own.

    LabanError for a system that there is not.
    """
    if system not in KINDS:
        raise LabanError(f"system {system!r}; accepted: {', '.join(KINDS)}")
    return {"online": online_preset, "weak": weak_preset, "grounded": grounded_preset}[KINDS[system].regime](
        system, data
    )


def save_system(folder: str | Path, system: str, network: Any, card: str, facts: Mapping[str, Any]) -> str:
    """Write the checkpoint folder of a trained system; returns the SHA-256 of the weights.

    `facts` join the configuration: extractor and grid of the features, thresholds; for grounders `features`, a width.
    """
    kind, own = KINDS[system], dict[str, Any]()
    if kind.regime != "grounded":
        own = {"features": network.features, "classes": list(network.classes)}
    config = {"system": system, "regime": kind.regime, "config": to_dict(network.config), **own}
    return save_weights(folder, lasting(network), {**facts, **config}, card)


def load_system(name: str | Path, regime: Regime) -> tuple[Any, dict[str, Any]]:
    """(network in evaluation mode, configuration) of an embedded checkpoint's name or of a folder.

    LabanError for a checkpoint of another regime, which says what takes it, and for a damaged one.
    """
    tensors, config = load_weights(name)
    check_regime(name, config, regime)
    system = config["system"]
    if missing := [key for key in ("config", "features") if key not in config]:
        raise LabanError(f"checkpoint {name}: config.json has no {', '.join(missing)}")
    if system not in KINDS or KINDS[system].regime != regime:
        raise LabanError(f"checkpoint {name}: {regime} system {system!r}; accepted: "
                         f"{', '.join(known for known, kind in KINDS.items() if kind.regime == regime)}")  # fmt: skip
    made = from_dict(type(kind_preset(system)), config["config"], name=f"{name}/config.json")
    last = {"text": _TEXT} if regime == "grounded" else {"classes": tuple(config["classes"])}
    network = KINDS[system].network(config=made, features=config["features"], **last)
    return filled(network, tensors, name), config


def answering(network: Any, config: Mapping[str, Any]) -> Callable[..., Any]:
    """What `load_system` gave as a function of features (and, where it grounds, of sentences)."""
    return partial(KINDS[config["system"]].answer, network)
