"""Which clips a training run may see, and how often it sees each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.data.dataset import ClipRecord

OPEN_LICENCES = ("CC0", "CMU", "MIT")


def is_open(record: ClipRecord) -> bool:
    """Whether a model that is published without conditions may learn from the clip: its licence is CC0, CMU or MIT."""
    return record.license.startswith(OPEN_LICENCES)


def is_research(record: ClipRecord) -> bool:
    """Every clip but those of depth cameras, which are too rough for a generator."""
    return record.source != "kinect"


FILTERS = {"open": is_open, "research": is_research}


@dataclass(frozen=True)
class Sampling:
    """How often clips are drawn: an action of n clips gets n ** `balance` of the draws, shared by trust.

    `balance` 1 draws all clips alike, 0 all actions alike; the default evens out a set of which a third are raised
    arms. `trust` multiplies the weight of clips that carry a flag (captured clips without flags have 1).
    """

    balance: float = 0.5
    trust: Mapping[str, float] = field(
        default_factory=lambda: {
            "hand_animated": 0.6, "reproportioned": 0.7, "root_from_feet": 0.8, "in_place": 0.5, "off_floor": 0.7,
            "no_vertical_root_motion": 0.5, "mirrored_copy": 0.5, "joints_only": 0.8, "noisy": 0.1, "spikes": 0.0,
            "short": 0.0,
        }
    )  # fmt: skip

    def trust_of(self, record: ClipRecord) -> float:
        """Product of the factors of the record's flags."""
        return float(np.prod([self.trust.get(flag, 1.0) for flag in record.flags]))


def sampling_weights(records: Sequence[ClipRecord], sampling: Sampling | None = None) -> Float[ndarray, " records"]:
    """Probability of drawing each record; they sum to 1 (all 0 when no record is trusted at all).

    Within an action the draws are shared by trust; an action's own share also shrinks with the mean trust of its clips,
    so that an action known only from rough clips is not drawn as often as a captured one.
    """
    sampling = sampling or Sampling()
    count = Counter(record.action for record in records)
    weights = [count[record.action] ** (sampling.balance - 1) * sampling.trust_of(record) for record in records]
    total = sum(weights)
    return np.array(weights, np.float64) / (total or 1.0)
