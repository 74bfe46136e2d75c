"""Body parts from text: which of the five parts of a timeline a sentence needs, where its author has not said."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder
from laban.timeline import PARTS
from models.text.part_words import Clause, Named, clauses, neutral, part_phrases, says_action

if TYPE_CHECKING:
    from torch import Tensor

LIKE = 0.5
"""Cosine from which a clause without a known phrase is read like the phrase nearest in meaning."""
DEFAULT_SIDE = "right"
"""An arm of unsaid side is the right one."""


@dataclass(frozen=True, slots=True)
class PartReading:
    """The parts that a text needs, in the order of `PARTS`; why, for the user; whether an arm's side was assumed."""

    parts: tuple[str, ...]
    because: str
    assumed_side: bool = False


@runtime_checkable
class Labeller(Protocol):
    """Anything that says which body parts texts need."""

    def read(self, texts: Sequence[str]) -> list[PartReading]:
        """One reading for each text, in order."""
        ...


def body_parts(texts: Sequence[str], labeller: Labeller | None = None) -> list[tuple[str, ...]]:
    """The parts (in the order of `PARTS`, at least one) that each text needs, by the embedded labeller or another.

    Raises LabanError for an empty text.
    """
    return [reading.parts for reading in explain(texts, labeller)]


def explain(texts: Sequence[str], labeller: Labeller | None = None) -> list[PartReading]:
    """`body_parts` with the reasons."""
    for number, text in enumerate(texts, 1):
        if not re.search(r"\w", text):
            raise LabanError(
                f"body parts: text {number} is {text!r}; accepted: words such as 'wave with the left hand'"
            )
    return (labeller or EmbeddedLabeller()).read(texts)


@dataclass(frozen=True)
class EmbeddedLabeller:
    """Named parts first, then phrases of actions found word for word, then the phrase nearest in meaning.

    `like` is the cosine from which the nearest phrase speaks; above 1 it never does.
    """

    like: float = LIKE

    def read(self, texts: Sequence[str]) -> list[PartReading]:
        """One reading for each text; a text that says nothing known needs the whole body."""
        read = [clauses(text) for text in texts]
        asked = [clause for row in read for clause in row if says_action(clause)]
        near = dict(zip([clause.text for clause in asked], self._nearest([neutral(c) for c in asked]), strict=True))
        return [self._merge(row, near) for row in read]

    def _nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        if not texts or self.like > 1:
            return [("", 0.0)] * len(texts)
        return nearest_phrases(texts)

    def _merge(self, row: Sequence[Clause], near: dict[str, tuple[str, float]]) -> PartReading:
        """The union over actions; a clause without an action belongs to the action before it (or, first, after it)."""
        groups: list[tuple[list[tuple[str, tuple[str, ...]]], Named]] = []
        because: list[str] = []
        for clause in row:
            actions = list(clause.phrases)
            because += [f'"{phrase}"' for phrase, _ in actions]
            if not actions and clause.text in near:
                phrase, cosine = near[clause.text]
                if cosine >= self.like:
                    actions = [(phrase, part_phrases()[phrase])]
                    because.append(f'like "{phrase.lstrip("~")}" ({cosine:.2f})')
            leading = len(groups) == 1 and not groups[0][0] and re.match(r"(?:with|using) ", row[0].text)
            if groups and (not actions or leading):
                groups[-1][0].extend(actions)
                groups[-1][1].add(clause.named)
            else:
                groups.append((actions, clause.named))
        parts: set[str] = set()
        assumed = False
        for actions, named in groups:
            found, guessed = _resolve({slot for _, slots in actions for slot in slots}, named)
            parts, assumed = parts | found, assumed or guessed
            because += _said(named)
        assumed = assumed and f"{_other(DEFAULT_SIDE)} arm" not in parts
        because += [f"no side said: {DEFAULT_SIDE} arm"] if assumed else []
        if not parts:
            return PartReading(PARTS, "nothing known is said: the whole body")
        return PartReading(tuple(part for part in PARTS if part in parts), "; ".join(dict.fromkeys(because)), assumed)


def _resolve(slots: set[str], named: Named) -> tuple[set[str], bool]:
    """Parts of one action with what its clauses name, and whether a side had to be assumed: named arms win."""
    if {"arms", "legs", "head", "spine"} <= slots:
        return set(PARTS), False
    parts = (slots & {"legs", "head", "spine"}) | named.other
    if named.sides:
        return parts | {f"{side} arm" for side in named.sides}, False
    if named.plural or ("arms" in slots and not named.one):
        return parts | {"left arm", "right arm"}, False
    if named.single or slots & {"arm", "arms"}:
        return parts | {f"{DEFAULT_SIDE} arm"}, True
    return parts, False


def _said(named: Named) -> list[str]:
    arms = sorted(f"{side} arm" for side in named.sides) or (["arms"] if named.plural else [])
    said = [*arms, *sorted(named.other)]
    return [f"names {', '.join(said)}"] if said else []


def _other(side: str) -> str:
    return "left" if side == "right" else "right"


# The nearest phrase --------------------------------------------------------------------------------------------------


def nearest_phrases(texts: Sequence[str]) -> list[tuple[str, float]]:
    """For each text the phrase of the table nearest in meaning (embedded text encoder), and its cosine."""
    from models.text.encoder import load_text_encoder

    phrases = tuple(part_phrases())
    similarity = load_text_encoder().encode(texts).sentence @ _table().T
    best, place = similarity.view(len(texts), 2, len(phrases)).amax(1).max(-1)
    return [(phrases[i], float(cosine)) for i, cosine in zip(place.tolist(), best.tolist(), strict=True)]


@lru_cache(maxsize=1)
def _table() -> Tensor:
    """Sentence vectors of the phrases as they stand, then with a person who does them; kept in the user's cache."""
    import numpy as np
    import torch

    from models.formats.arrays import read_npz
    from models.text.encoder import load_text_encoder

    encoder = load_text_encoder()
    plain = [phrase.lstrip("~") for phrase in part_phrases()]
    texts = [*plain, *(f"a person is going to {phrase}" for phrase in plain)]
    digest = hashlib.sha256("\n".join((encoder.name, *texts)).encode()).hexdigest()[:24]
    path = cache_folder() / "body_parts" / f"phrases-{digest}.npz"
    with suppress(LabanError, TypeError):
        if path.is_file():
            stored = read_npz(path, ("vectors",))["vectors"]
            if stored.shape == (len(texts), encoder.width) and stored.dtype == np.float32 and np.isfinite(stored).all():
                return torch.from_numpy(stored)
    vectors = encoder.encode(texts).sentence
    with suppress(LabanError), atomic_path(path) as temporary:
        np.savez(temporary, vectors=vectors.numpy())
    return vectors
