"""How each system is trained on each data set: sizes, batches and optimisation by the name of the protocol.

Values are ActionFormer's and BMN's where the papers and their code give them (localization notes §1.1, §1.3); what they
leave open is ours: schedules end at 2 % of the peak, and the running mean of the weights is .999.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from action_localization.spine.batches import BatchConfig
from action_localization.spine.systems import (
    ASL,
    BMN,
    CSA,
    MRAV,
    PROTOCOLS,
    ActionFormer,
    System,
    TemporalMaxer,
    TriDet,
    base,
    for_protocol,
)
from laban.errors import LabanError
from models.training import TrainConfig

SYSTEMS: dict[str, Callable[[], System]] = {
    "actionformer": ActionFormer, "tridet": TriDet, "temporalmaxer": TemporalMaxer, "bmn": BMN, "csa": CSA, "asl": ASL,
    "mrav": MRAV,
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A system with what trains it; `epochs` counts the warm-up in."""

    system: System
    batch: BatchConfig
    training: TrainConfig
    epochs: int
    warmup: int
    """Epochs."""
    splits: tuple[str, ...]
    """Names that the training videos go by, any case; the first one that the annotations have."""

    def schedule(self, videos: int) -> TrainConfig:
        """The optimisation with its steps counted out for so many videos."""
        rounds = max(1, -(-videos // self.batch.size))
        return replace(self.training, steps=self.epochs * rounds, warmup=self.warmup * rounds)


_TRAINING = TrainConfig(lr=1e-4, weight_decay=0.05, clip=1.0, ema=0.999)
_NAMES = ("training", "train")
_PRESETS = {
    "thumos14": (BatchConfig(size=2, frames=2304), _TRAINING, 35, 5, ("validation", "val", *_NAMES)),
    "activitynet": (BatchConfig(size=16, resize=192), replace(_TRAINING, lr=1e-3), 15, 5, _NAMES),
    "epic100": (BatchConfig(size=2, frames=2304), _TRAINING, 30, 5, _NAMES),
    "ego4d": (BatchConfig(size=2, frames=2304), _TRAINING, 15, 5, _NAMES),
}


def preset(system: str, protocol: str) -> Preset:
    """The preset of a system (a name in `SYSTEMS`) for a data set; LabanError lists the names for an unknown one."""
    if system not in SYSTEMS:
        raise LabanError(f"system {system!r}; accepted: {', '.join(SYSTEMS)}")
    if protocol not in PROTOCOLS:
        raise LabanError(f"layout {protocol!r}; accepted: {', '.join(PROTOCOLS)}")
    made = for_protocol(SYSTEMS[system](), protocol)
    batch, training, epochs, warmup, splits = _PRESETS[protocol]
    host = base(made)
    if isinstance(host, BMN):
        batch, training = BatchConfig(size=16, resize=host.frames), replace(training, lr=1e-3, weight_decay=1e-4)
        epochs, warmup = 9, 1
    return Preset(made, batch, training, epochs, warmup, splits)
