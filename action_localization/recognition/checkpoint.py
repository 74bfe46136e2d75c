"""The shipped recogniser: Attentive Semantic Units over the regions of a body, and the sentences it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from action_localization.open_vocabulary.labels import sentence_of
from action_localization.open_vocabulary.similarity import softmax
from action_localization.recognition.network import ASU, SemanticUnits, label_scores, picked_units
from action_localization.recognition.regions import body_regions
from action_localization.recognition.units import unit_bank
from laban.config import from_dict
from laban.errors import LabanError
from laban.weights import find_weights, load_module, load_weights, save_weights
from models.motion_text.encoder import MotionTextEncoder, load_motion_text

NAME = "recognize"
SCALE = 14.0
"""Of the encoder's own cosines, before they become chances."""
CLASSIFIER = 0.75
"""Share of the encoder's own classifier where every label is one of its actions; chosen on validation clips."""
TRUST = 0.5
"""Share of the units' answer in the logarithm of a chance where a label is new to them; chosen on validation clips of
actions that were left out of training."""


@dataclass(frozen=True)
class Recogniser:
    """The network, the frozen encoder below it, and the sentences that it was trained with."""

    network: SemanticUnits
    encoder: MotionTextEncoder
    known: frozenset[str]

    def chances(
        self, clips: Sequence[Float[ndarray, "_ 133"]], sentences: Sequence[str], *, trust: float | None = None
    ) -> Float32[ndarray, "clips labels"]:
        """Chances of labels, given as sentences, for clips of joint features.

        Where all of them are actions that the encoder classifies, its classifier is heard, too (unless `trust` is
        given).
        """
        found = self.region_chances(body_regions(self.encoder, clips), sentences, trust=trust)
        place = {sentence_of(action): number for number, action in enumerate(self.encoder.actions)}
        if trust is not None or not self.known.issuperset(sentences):
            return found
        return with_classifier(found, self.encoder.classify(clips)[:, [place[sentence] for sentence in sentences]])

    def region_chances(
        self, regions: Float[ndarray, "clips regions visual"], sentences: Sequence[str], *, trust: float | None = None
    ) -> Float32[ndarray, "clips labels"]:
        """The same for regions (`body_regions`).

        `trust` in the units: 1 alone, 0 the encoder alone; unless given, 1 where every sentence is known from training
        and `TRUST` otherwise.
        """
        if not sentences:
            raise LabanError("labels: found none; accepted: at least one")
        share = trust if trust is not None else 1.0 if self.known.issuperset(sentences) else TRUST
        texts = self.encoder.embed_text(sentences)
        units = np.log(label_scores(self.network, regions, texts) + 1e-9)
        logits = share * units + (1 - share) * SCALE * regions[:, 0] @ texts.T
        return softmax(logits).astype(np.float32)

    def units(self, clip: Float[ndarray, "frames 133"], count: int = 5) -> list[tuple[str, str, float]]:
        """(kind, name, share) of the units that a clip picks, strongest first."""
        bank = unit_bank()
        picked = picked_units(self.network, body_regions(self.encoder, [clip])[0], count)
        return [(bank[i].kind, bank[i].name, share) for i, share in picked]


def with_classifier(
    units: Float[ndarray, "clips labels"], classes: Float[ndarray, "clips labels"]
) -> Float32[ndarray, "clips labels"]:
    """Chances of the units with those of the encoder's classifier for the same labels."""
    share = classes / np.maximum(classes.sum(-1, keepdims=True), 1e-9)
    logits = CLASSIFIER * np.log(share + 1e-9) + (1 - CLASSIFIER) * np.log(units + 1e-9)
    return softmax(logits).astype(np.float32)


def bank_rows(encoder: MotionTextEncoder) -> Float32[ndarray, "units width"]:
    """The embeddings of the bank's units."""
    return encoder.embed_text([unit.sentence for unit in unit_bank()]).astype(np.float32)


def save_recogniser(folder: str | Path, network: SemanticUnits, known: Sequence[str], card: str) -> str:
    """Write the checkpoint folder; returns the SHA-256 of the weights."""
    config: dict[str, Any] = {"kind": NAME, "network": asdict(network.config), "known": sorted(known),
                              "units": [unit.sentence for unit in unit_bank()]}  # fmt: skip
    return save_weights(folder, network.state_dict(), config, card)


@cache
def load_recogniser(name: str = NAME) -> Recogniser:
    """The shipped recogniser or one of a folder; LabanError when it was trained with other units."""
    tensors, config = load_weights(find_weights(name))
    if config.get("kind") != NAME:
        raise LabanError(f"checkpoint {name}: is no recogniser; accepted: {NAME}, or a folder that its training made")
    if config["units"] != [unit.sentence for unit in unit_bank()]:
        raise LabanError(f"checkpoint {name}: was trained with other semantic units; train it again")
    sizes = from_dict(ASU, config["network"], name=f"{name}/config.json network")
    bank = np.zeros((len(config["units"]), sizes.text), np.float32)
    network = load_module(SemanticUnits(sizes, bank), tensors, name)
    return Recogniser(network.eval(), load_motion_text(), frozenset(config["known"]))
