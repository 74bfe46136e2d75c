"""What each weak system learns with on each set of streams; chosen on tuning streams, the same effort for all."""

from __future__ import annotations

from typing import Any

from action_localization.weak.activation import ThresholdConfig
from action_localization.weak.hierarchy import HierarchyConfig
from action_localization.weak.learning import RowConfig, WeakBatchConfig, training_config
from action_localization.weak.points import PointConfig
from action_localization.weak.pooled import PooledConfig
from action_localization.weak.tscn import TSCNConfig
from laban.errors import LabanError

_DEFAULT: dict[str, Any] = {
    "mil": PooledConfig(), "tscn": TSCNConfig(), "hierarchy": HierarchyConfig(), "points": PointConfig(),
}  # fmt: skip

_ROWS = RowConfig(kernel=5, drop=0.2)
_VIDEOS, _STREAMS = WeakBatchConfig(size=8, joined=1), WeakBatchConfig(size=2, joined=1)
_SMOOTH = ThresholdConfig(smooth=5)
_MOCAP: dict[str, Any] = {
    "mil": PooledConfig(rows=_ROWS, batches=_VIDEOS, decoding=_SMOOTH, training=training_config(900, 4e-3)),
    "tscn": TSCNConfig(
        views="pose", rows=_ROWS, batches=_VIDEOS, rounds=1, decoding=_SMOOTH, training=training_config(700, 4e-3)
    ),
    "hierarchy": HierarchyConfig(rows=_ROWS, batches=_VIDEOS, scales=4, training=training_config(900, 4e-3)),
    "points": PointConfig(
        rows=_ROWS, batches=_STREAMS, rounds=1, decoding=_SMOOTH, training=training_config(350, 4e-3)
    ),
}  # fmt: skip
"""Ten rows of 217 numbers a second, 38 classes: longer kernels, smaller batches, TSCN on positions and velocities."""


_GYM = {**_DEFAULT, "tscn": TSCNConfig(views="halves")}
"""Pictures and flow are the two halves of a row."""


def weak_preset(system: str, data: str) -> Any:
    """The configuration of a system (mil, tscn, hierarchy, points) for a set; LabanError for another system.

    Sets without one of their own get the defaults, which were chosen on gym streams.
    """
    if system not in _DEFAULT:
        raise LabanError(f"weak system {system!r}; accepted: {', '.join(_DEFAULT)}")
    return {"mocap": _MOCAP, "gym": _GYM}.get(data, _DEFAULT)[system]
