"""What the templates say about each coarse action: verb phrases (verbs marked `*`), nouns (`=`), by what a record says.

The table is `data/phrases.json`; `data/scenes.json` has whole sentences in wider words, true of any clip of an action.
In the table, A key is a set of words that must all occur in the record's own texts before its
phrases may be used; "" always may. Verbs are in the base form and inflected by `models.text.captions`. The table is
frozen: the paraphrases in `benchmarks/paraphrases.json` share no content word with it, and generators depend on it.
"""

from __future__ import annotations

import json
from pathlib import Path


def _scenes() -> dict[str, tuple[str, ...]]:
    content = json.loads(Path(__file__).with_name("data").joinpath("scenes.json").read_text(encoding="utf-8"))
    return {action: tuple(sentences) for action, sentences in content["actions"].items()}


def _read() -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, tuple[str, ...]]]:
    content = json.loads(Path(__file__).with_name("data").joinpath("phrases.json").read_text(encoding="utf-8"))
    actions = {action: {key: tuple(row) for key, row in table.items()} for action, table in content["actions"].items()}
    return actions, {style: tuple(adverbs) for style, adverbs in content["styles"].items()}


PHRASES, STYLES = _read()
"""Action -> words that the record must contain -> phrases; and style -> adverbs."""
SCENES = _scenes()
"""Action -> whole sentences in many other words: trades, places, objects, limbs ("the joiner cuts a board in two")."""
