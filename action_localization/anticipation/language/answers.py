"""Answers of language models as legal actions: what can be read is read, what cannot is never passed on."""

from __future__ import annotations

import re
from functools import lru_cache

from action_localization.anticipation.vocabulary import ACCEPTED, OTHER_PAIR, Vocabulary
from laban.errors import LabanError

LONGEST = 20_000
"""Characters of an answer that are looked at."""
LONGEST_ITEM = 80
MOST_ITEMS = 200


def legal_actions(answer: str, vocabulary: Vocabulary, who: str) -> tuple[int, ...]:
    """The actions of a list with commas, semicolons or lines, numbered or not; each is a number of the vocabulary.

    An item that means no action is left out, one that nearly does becomes the nearest. LabanError where not one item
    surely is an action (a refusal, prose, noise).
    """
    items = re.split(r"[,;\n]+", answer[:LONGEST])[:MOST_ITEMS]
    bare = [re.sub(r"^[\s\-*\d.)\]]+|[\s.\"']+$", "", item).strip("\"' ") for item in items]
    parsed = [_parsed(vocabulary, item) for item in bare if item and len(item) <= LONGEST_ITEM]
    if not any(one is not None and one[1] >= ACCEPTED for one in parsed):
        shown = " ".join("".join(c if c.isprintable() else " " for c in answer[:400]).split())[:80] or "nothing"
        raise LabanError(f"{who}: wrote {shown!r}; expected actions of the vocabulary ({len(vocabulary)} known)")
    return tuple(one[0] for one in parsed if one is not None and one[1] >= OTHER_PAIR)


def _parsed(vocabulary: Vocabulary, item: str) -> tuple[int, float] | None:
    return _remembered(_Held(vocabulary), item)


class _Held:
    """A vocabulary as a key, by which object it is: comparing thousands of names would take longer than parsing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def __hash__(self) -> int:
        return id(self.vocabulary)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.vocabulary is self.vocabulary


@lru_cache(maxsize=20_000)
def _remembered(held: _Held, item: str) -> tuple[int, float] | None:
    parsed = held.vocabulary.parse(item)
    return None if parsed is None else (parsed.action, parsed.confidence)
