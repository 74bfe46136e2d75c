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
from laban.progress import progress
from laban.timeline import PARTS
from models.text.part_words import Clause, Named, clauses, neutral, part_phrases, says_action, together

if TYPE_CHECKING:
    from torch import Tensor

LIKE = 0.5
"""Cosine from which a clause without a known phrase is read like the phrase nearest in meaning."""
DEFAULT_SIDE = "right"
"""An arm whose side nothing tells is the right one."""


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
        return [_merge(self._groups(row, near), together(text)) for text, row in zip(texts, read, strict=True)]

    def _nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        if not texts or self.like > 1:
            return [("", 0.0)] * len(texts)
        return nearest_phrases(texts)

    def _groups(self, row: Sequence[Clause], near: dict[str, tuple[str, float]]) -> list[_Action]:
        """Clauses by action: one without an action belongs to the action before it (or, at the head, after it)."""
        groups: list[_Action] = []
        for clause in row:
            found = _Action([phrase for phrase, _ in clause.phrases], set(), clause.named, [])
            found.because = [f'"{phrase}"' for phrase in found.phrases]
            phrase, cosine = near.get(clause.text, ("", 0.0))
            if not found.phrases and cosine >= self.like:
                found.phrases, found.because = [phrase], [f'like "{phrase.lstrip("~")}" ({cosine:.2f})']
            found.slots = {slot for _, slots in clause.phrases for slot in slots}
            if not clause.phrases and found.phrases:
                found.slots = set(part_phrases()[phrase])
            leading = len(groups) == 1 and not groups[0].phrases and re.match(r"(?:with|using) ", row[0].text)
            if groups and (leading or not found.phrases):
                groups[-1].add(found)
            else:
                groups.append(found)
        return groups


@dataclass
class _Action:
    """An action of a text: the phrases that tell it, the slots that they need, what its clauses name, and why."""

    phrases: list[str]
    slots: set[str]
    named: Named
    because: list[str]

    def add(self, more: _Action) -> None:
        self.phrases += more.phrases
        self.slots |= more.slots
        self.named.add(more.named)
        self.because += more.because

    def lasts(self) -> bool:
        """Whether the arm stays busy: what is held is held during the next action too."""
        return any(phrase.split()[0] in ("hold", "carry") for phrase in self.phrases)


def _merge(groups: Sequence[_Action], at_once: bool) -> PartReading:
    """The union over actions. An arm of unsaid side is the one that the text names elsewhere; the other one, where that
    is busy at the same time; or else the right one.
    """
    sides = {side for action in groups for side in action.named.sides}
    busy = at_once or any(action.lasts() and action.named.sides for action in groups)
    parts: set[str] = set()
    assumed = False
    for action in groups:
        found, unsaid = _resolve(action.slots, action.named)
        parts |= found
        if unsaid and len(sides) == 1:
            parts |= {f"{side} arm" for side in ("left", "right") if (side in sides) != busy}
        elif unsaid:
            parts.add(f"{DEFAULT_SIDE} arm")
            assumed = True
    if not parts:
        return PartReading(PARTS, "nothing known is said: the whole body")
    because = [line for action in groups for line in (*action.because, *_said(action.named))]
    assumed = assumed and not {"left arm", "right arm"} <= parts
    because += [f"no side said: {DEFAULT_SIDE} arm"] if assumed else []
    return PartReading(tuple(part for part in PARTS if part in parts), "; ".join(dict.fromkeys(because)), assumed)


def _resolve(slots: set[str], named: Named) -> tuple[set[str], bool]:
    """Parts of one action with what its clauses name (named arms win), and whether it needs an arm of unsaid side."""
    if {"arms", "legs", "head", "spine"} <= slots:
        return set(PARTS), False
    parts = (slots & {"legs", "head", "spine"}) | named.other
    if named.sides:
        return parts | {f"{side} arm" for side in named.sides}, False
    if named.plural or ("arms" in slots and not named.one):
        return parts | {"left arm", "right arm"}, False
    return parts, named.single or bool(slots & {"arm", "arms"})


def _said(named: Named) -> list[str]:
    arms = sorted(f"{side} arm" for side in named.sides) or (["arms"] if named.plural else [])
    said = [*arms, *sorted(named.other)]
    return [f"names {', '.join(said)}"] if said else []


# The nearest phrase --------------------------------------------------------------------------------------------------


def nearest_phrases(texts: Sequence[str]) -> list[tuple[str, float]]:
    """For each text the phrase of the table nearest in meaning (embedded text encoder), and its cosine."""
    from models.text.encoder import load_text_encoder

    phrases = tuple(part_phrases())
    similarity = load_text_encoder().encode(texts).sentence @ _table().T
    best, place = similarity.max(-1)
    return [(phrases[i], float(cosine)) for i, cosine in zip(place.tolist(), best.tolist(), strict=True)]


@lru_cache(maxsize=1)
def _table() -> Tensor:
    """Sentence vectors of the phrases, one row each; kept in the user's cache."""
    import numpy as np
    import torch

    from models.formats.arrays import read_npz
    from models.text.encoder import load_text_encoder

    encoder = load_text_encoder()
    texts = [phrase.lstrip("~") for phrase in part_phrases()]
    digest = hashlib.sha256("\n".join((encoder.name, *texts)).encode()).hexdigest()[:24]
    path = cache_folder() / "body_parts" / f"phrases-{digest}.npz"
    with suppress(LabanError, TypeError):
        if path.is_file():
            stored = read_npz(path, ("vectors",))["vectors"]
            if stored.shape == (len(texts), encoder.width) and stored.dtype == np.float32 and np.isfinite(stored).all():
                return torch.from_numpy(stored)
    parts = []
    with progress("reading phrases of actions", len(texts)) as advance:
        for start in range(0, len(texts), 64):
            parts.append(encoder.encode(texts[start : start + 64]).sentence)
            advance(len(parts[-1]))
    vectors = torch.cat(parts)
    with suppress(LabanError), atomic_path(path) as temporary:
        np.savez(temporary, vectors=vectors.numpy())
    return vectors
