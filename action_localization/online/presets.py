"""What each online system learns with on each set of streams; chosen on tuning streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from action_localization.online.batches import MomentConfig
from action_localization.online.hat import OAT, HATConfig
from action_localization.online.matr import MATRConfig
from action_localization.online.switch import ActionSwitchConfig
from action_localization.online.windows import SMALL
from laban.errors import LabanError
from models.training import small_training

_DEFAULT: dict[str, Any] = {
    "matr": MATRConfig(), "oat": OAT, "hat": HATConfig(), "action-switch": ActionSwitchConfig(),
}  # fmt: skip

_FINE = replace(SMALL, patch=1, dropout=0.2, convolutions=2)
_ANCHORS = (2, 4, 8, 12)
_DRAWN = MomentConfig(size=6, past=128, block=64, ahead=4, back=4, noise=0.3, spliced=0.9)
_GYM: dict[str, Any] = {
    "matr": MATRConfig(
        window=16, memory=4, encoder=_FINE, queries=4, back=6, ahead=4,
        moments=replace(_DRAWN, size=12, moments=6), training=small_training(2000, 2e-3),
    ),
    "oat": replace(
        OAT, short=32, anchors=_ANCHORS, encoder=_FINE, moments=_DRAWN, training=small_training(1200, 2e-3)
    ),
    "hat": HATConfig(
        short=16, history=32, tokens=4, anchors=_ANCHORS, encoder=_FINE, ahead=4, moments=_DRAWN,
        training=small_training(1200, 2e-3),
    ),
    "action-switch": ActionSwitchConfig(
        shortest=1.0, longest=32, bins=4, moments=replace(ActionSwitchConfig().moments, noise=0.3, spliced=0.9),
        training=small_training(700, 2e-3),
    ),
}  # fmt: skip
"""Two rows a second, and half of all actions last two rows: a token a row, short windows, streams put together anew."""


_ROWS = replace(SMALL, dropout=0.2, convolutions=2)
_MOVED = replace(_DRAWN, ahead=8, noise=0.1)
_MOCAP: dict[str, Any] = {
    "matr": MATRConfig(
        encoder=_ROWS, queries=4, back=12, ahead=8, moments=replace(_MOVED, size=10, moments=6),
        training=small_training(1500, 2e-3),
    ),
    "oat": replace(OAT, encoder=replace(OAT.encoder, dropout=0.2, convolutions=2), moments=_MOVED),
    "hat": HATConfig(encoder=_ROWS, moments=_MOVED),
    "action-switch": ActionSwitchConfig(moments=replace(ActionSwitchConfig().moments, spliced=0.9)),
}  # fmt: skip
"""Ten rows a second, 38 classes, actions of three seconds in the middle: tokens of two rows."""


def online_preset(system: str, data: str) -> Any:
    """The configuration of a system (matr, oat, hat, action-switch) for a set; LabanError for another system.

    Sets without one of their own get the defaults, which learn in half a minute of one core.
    """
    if system not in _DEFAULT:
        raise LabanError(f"online system {system!r}; accepted: {', '.join(_DEFAULT)}")
    return {"gym": _GYM, "mocap": _MOCAP}.get(data, _DEFAULT)[system]
