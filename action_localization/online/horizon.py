"""Any offline detector on a stream: run again and again on the latest rows, believed behind a horizon.

The honest baseline of online detection: what a detector that may look ahead loses when it must not look far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from action_localization.online.lane import Guess, Lane, Memory
from laban.errors import LabanError
from laban.timeline import FrameGrid, Timeline
from models.features import Features

Offline = Callable[[Features], Timeline]
"""Features to scored segments."""

MOST = 64
"""Segments of a run that are looked at, best first."""


@dataclass(frozen=True)
class HorizonConfig:
    """When the detector runs and what is believed."""

    window: int = 256
    """Rows it sees."""
    every: int = 10
    """Rows between two runs."""
    horizon: int = 20
    """Rows that a segment's end must lie back before it is emitted."""
    threshold: float = 0.3
    overlap: float = 0.3
    """IoU with something emitted before from which a segment says nothing new."""
    steady: float = 0.0
    """Rows from the window's beginning before which a start is not believed, once the window is full."""

    def __post_init__(self) -> None:
        if not (self.every >= 1 and 0 <= self.horizon < self.window):
            raise LabanError(f"horizon {self.horizon}, every {self.every}, window {self.window}; accepted: a horizon "
                             "from 0 within the window, and a run every 1 or more rows")  # fmt: skip


class Horizon:
    """An `OnlineSystem` around an offline detector; its memory is the number of rows that came."""

    def __init__(
        self, detector: Offline, features: int, classes: Sequence[str], config: HorizonConfig | None = None
    ) -> None:
        self.detector, self.features, self.classes = detector, features, tuple(classes)
        self.config = config or HorizonConfig()
        self.rows = self.config.window
        self.threshold = torch.tensor(self.config.threshold)
        self._number = {label: number for number, label in enumerate(self.classes)}

    def fresh(self) -> Memory:
        """No row yet."""
        return {"count": torch.zeros((), dtype=torch.long)}

    def step(
        self, rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"], memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """The segments in the latest rows where a run is due or the stream is over, in rows from now; else none."""
        count = memory["count"] + 1
        found = torch.zeros(len(rows), MOST, 4)
        due = (count % self.config.every == 0) | ~real[:, -1]
        for lane in due.nonzero()[:, 0].tolist():
            found[lane] = self._run(rows[lane][real[lane]])
        return {"found": found}, {"count": count}

    def _run(self, rows: Float[Tensor, "count features"]) -> Float[Tensor, "most 4"]:
        """(start, end, score, label), best first, padded with zeros; rows count as seconds for the detector."""
        count = len(rows)
        segments = self.detector(Features(rows.numpy().copy(), FrameGrid(1.0, count), "")).segments
        best = sorted(segments, key=lambda segment: -segment.score)[:MOST]
        table = [(s.start - count, s.end - count, s.score, self._number[s.label]) for s in best]
        return F.pad(torch.tensor(table).reshape(-1, 4), (0, 0, 0, MOST - len(table)))

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        """The segments behind the horizon that are new; at the end of a stream all that are new."""
        config, guesses = self.config, []
        for start, end, score, label in out["found"][out["found"][:, 2] >= self.threshold.clamp(min=1e-6)].tolist():
            cut = lane.count > config.window and start + config.window < config.steady
            if not cut and (last or end <= -config.horizon):
                guesses.append(Guess(start, min(end, 0.0), int(label), score))
        return lane.unsaid(guesses, config.overlap) if guesses else []
