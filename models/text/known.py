"""Which known actions a sentence leans on, and what it asks of direction, side, count and speed: told to the user."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder
from models.text.captions import action_captions
from models.text.encoder import OneText, TextEncoder, TextFeatures, load_text_encoder, pad_features
from models.text.phrases import SCENES
from models.text.slots import Slots, parse_slots

NEAR, RELATED = 0.6, 0.42
"""Cosines above which an action is called near, or related: the middle and the lowest of the student's cosines over the
fourteen pairs of `benchmarks/text_pairs.json` (nine of ten unrelated sentences there stay below 0.33)."""
STRANGE, FAMILIAR = 0.6, 0.9
"""Cosines to the nearest known caption below which only that caption's sentence vector counts, above which only the
sentence's own."""


@dataclass(frozen=True)
class Leaning:
    """The known actions nearest to a sentence, best first, with cosines; and the slots that it names."""

    text: str
    actions: tuple[tuple[str, float], ...]
    slots: Slots

    @property
    def nearness(self) -> str:
        """ "near", "related" or "far": how close the best known action is."""
        best = self.actions[0][1]
        return "near" if best >= NEAR else "related" if best >= RELATED else "far"

    def summary(self) -> str:
        """One line for the terminal: "leans on walk 0.91, jog 0.62 (near); asks: direction forward"."""
        actions = ", ".join(f"{action} {similarity:.2f}" for action, similarity in self.actions)
        said = "; ".join(f"{name} {_shown(value)}" for name, value in self.slots.said().items())
        return f"leans on {actions} ({self.nearness})" + (f"; asks: {said}" if said else "")


@dataclass(frozen=True)
class KnownActions:
    """Sentence vectors of what a checkpoint was trained on: one row for each caption, with the action it stands for."""

    encoder: TextEncoder
    actions: tuple[str, ...]
    captions: tuple[str, ...]
    vectors: Float[Tensor, "captions width"]

    def lean_on(self, text: str, k: int = 3) -> list[tuple[str, float]]:
        """The `k` known actions nearest to `text` and their cosines (each action's best caption), best first."""
        query = self.encoder.encode([text]).sentence[0]
        best: dict[str, float] = {}
        for action, similarity in zip(self.actions, (self.vectors @ query).tolist(), strict=True):
            best[action] = max(best.get(action, -1.0), similarity)
        return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:k]

    def leaning(self, text: str, k: int = 3) -> Leaning:
        """`lean_on` together with the sentence's slots."""
        return Leaning(text, tuple(self.lean_on(text, k)), parse_slots(text))

    def read(self, texts: Sequence[str]) -> TextFeatures:
        """Features for a network that learned from these captions; sentences in other words are helped by the nearest.

        A token-conditioned network follows words it was trained on and is lost with others, while sentence vectors
        know that "he ambles" is near "a person walks". So a sentence that is not familiar gets the tokens of its
        nearest caption beside its own, and a sentence vector between the two.
        """
        own = self.encoder.encode(texts)
        similarity = own.sentence @ self.vectors.T
        value, index = similarity.max(-1)
        trust = ((value - STRANGE) / (FAMILIAR - STRANGE)).clamp(0, 1)
        near = self.encoder.encode([self.captions[i] for i in index.tolist()])
        items = []
        for row, share in enumerate(trust.tolist()):
            tokens, sentence = own.tokens[row][own.mask[row]], own.sentence[row]
            if share < 1:
                tokens = torch.cat([tokens, near.tokens[row][near.mask[row]]])
                sentence = F.normalize(share * sentence + (1 - share) * near.sentence[row], dim=-1)
            items.append(OneText(sentence, tokens, own.cut[row]))
        return pad_features(items)


def load_known(actions: Iterable[str], encoder: str = "embedded") -> KnownActions:
    """The table of a checkpoint's actions by a named text encoder, kept in memory and in the user's cache."""
    return _known(tuple(dict.fromkeys(actions)), encoder)


@lru_cache(maxsize=4)
def _known(actions: tuple[str, ...], encoder: str) -> KnownActions:
    return known_actions(actions, load_text_encoder(encoder), cache=cache_folder() / "known")


def representative_captions(actions: Iterable[str], most: int = 4) -> list[tuple[str, str]]:
    """(action, sentence): the first plain sentences of each action's templates, at most `most` per variant; scenes."""
    actions = tuple(actions)
    plain = [(name, text) for name in actions for texts in action_captions(name).values() for text in texts[:most]]
    return plain + [(name, text) for name in actions for text in SCENES.get(name, ())]


def known_actions(actions: Iterable[str], encoder: TextEncoder, *, cache: Path | None = None) -> KnownActions:
    """The table for a checkpoint's list of coarse actions; LabanError when the list is empty.

    `cache` is a folder that keeps the vectors between runs, one file for each encoder and list.
    """
    rows = representative_captions(dict.fromkeys(actions))
    if not rows:
        raise LabanError("known actions: the checkpoint lists none; expected at least one")
    names, texts = zip(*rows, strict=True)
    digest = hashlib.sha256("\n".join((encoder.name, *texts)).encode()).hexdigest()[:24]
    path = None if cache is None else cache / f"{digest}.npy"
    vectors = _read(path, (len(texts), encoder.width))
    if vectors is None:
        vectors = torch.cat([encoder.encode(texts[start : start + 64]).sentence for start in range(0, len(texts), 64)])
        _write(path, vectors)
    return KnownActions(encoder, names, texts, vectors)


def _read(path: Path | None, shape: tuple[int, int]) -> Float[Tensor, "captions width"] | None:
    try:
        found = None if path is None else np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(found) if found is not None and found.shape == shape else None


def _write(path: Path | None, vectors: Float[Tensor, "captions width"]) -> None:
    """Keep the vectors; a cache that cannot be written is no error."""
    if path is not None:
        with suppress(LabanError), atomic_path(path) as temporary:
            np.save(temporary, vectors.numpy())


def _shown(value: tuple[str, ...] | int) -> str:
    return str(value) if isinstance(value, int) else " and ".join(value)
