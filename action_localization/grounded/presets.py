"""What each grounding system learns with on each set of streams; about the same time of training for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from action_localization.grounded.ctrl import CTRL
from action_localization.grounded.denoise_loc import DenoiseLoc
from action_localization.grounded.dense import DenseGrounding
from action_localization.grounded.fusion import FusionConfig
from action_localization.grounded.moment_detr import MomentDETR
from action_localization.grounded.queries import Learning, QueryConfig, optimisation
from action_localization.spine.set_decoder import SetDecoderConfig
from laban.errors import LabanError

SYSTEMS = ("ctrl", "moment-detr", "denoise-loc", "dense")


def grounded_preset(system: str, data: str) -> Any:
    """The configuration of a system for a set (others than mocap get gym's); LabanError for another system.

    Mocap has ten rows a second and streams of a minute and more: sets read means of four rows, and crops of 32 s.
    """
    if system not in SYSTEMS:
        raise LabanError(f"grounding system {system!r}; accepted: {', '.join(SYSTEMS)}")
    mocap = data == "mocap"
    fusion = FusionConfig(width=64, layers=2, pool=4 if mocap else 1)
    steps, frames = (1.0, 320) if mocap else (0.6, 160)
    if system == "ctrl":
        return replace(CTRL(), learning=_learning(QueryConfig(8, 6, frames, absent=0.0), steps * 900, 2e-3))
    if system == "dense":
        return replace(DenseGrounding(), learning=_learning(QueryConfig(8, 8, frames), steps * 600, 2e-3))
    if system == "moment-detr":
        return replace(MomentDETR(), fusion=fusion, learning=_learning(QueryConfig(8, 4, frames), steps * 700, 2e-3))
    decoder = SetDecoderConfig(queries=20, init="noise", layers=3, roi=8)
    host = replace(DenoiseLoc().host, fusion=fusion, decoder=decoder)
    return DenoiseLoc(host=host, learning=_learning(QueryConfig(6, 4, frames), steps * 600, 2e-3))


def _learning(batches: QueryConfig, steps: float, lr: float) -> Learning:
    return Learning(batches, replace(optimisation(round(steps), lr), ema=0.99))
