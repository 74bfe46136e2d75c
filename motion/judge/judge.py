"""`load_judge`: the frozen network behind the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.weights import find_weights
from models.motion_text.encoder import Clips, MotionTextEncoder, assemble, windowed
from models.representation.joints import LAYOUT
from motion.judge.network import JudgeNetwork

PARTS: tuple[str, ...] = tuple(LAYOUT.parts)
"""Order of the part heads: legs, spine, head, left arm, right arm."""


@dataclass(frozen=True)
class Judge(MotionTextEncoder):
    """An encoder with part heads; see `models.motion_text.encoder` for what motions may be."""

    def classify_parts(self, motions: Clips, *, batch: int = 32) -> Float[ndarray, "clips 5 actions"]:
        """Probabilities of the action that each of `PARTS` shows, from that part alone."""

        def read(features: Sequence[ndarray]) -> ndarray:
            logits = self.read(features, batch).part_logits
            assert logits is not None  # every JudgeNetwork has part heads
            return logits.softmax(-1).flatten(1).numpy()

        return windowed(motions, read).reshape(-1, len(PARTS), len(self.actions))

    def predict_parts(self, motions: Clips, *, batch: int = 32) -> list[dict[str, str]]:
        """The likeliest action of each body part."""
        best = self.classify_parts(motions, batch=batch).argmax(-1)
        return [{part: self.actions[i] for part, i in zip(PARTS, row, strict=True)} for row in np.asarray(best)]


def load_judge(name: str | Path = "judge") -> Judge:
    """The judge of an embedded checkpoint's name or a folder; loaded once, its weights checked against their SHA-256.

    Raises LabanError when a file is missing or the weights are not those that the config names.
    """
    return _load(str(find_weights(name)))


@cache
def _load(folder: str) -> Judge:
    loaded = assemble(folder, JudgeNetwork, verify=True)
    return Judge(loaded.network, loaded.text, loaded.actions, loaded.config)
