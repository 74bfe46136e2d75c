"""The 50 paraphrases of known actions: read them, and check that they share no content word with training captions.

`python benchmarks/paraphrases.py --check [--mocap FOLDER]` exits 1 and names every shared word. Words are compared as
stems, function words (determiners, pronouns, prepositions, particles, auxiliaries) aside; a stem that only adds a
derivational ending to another ("breathless", "breath") counts as shared. Training captions are everything that the
templates can produce and, where the motion set is there, every text, caption and segment label of its records.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from models.text.captions import IRREGULAR_PAST, every_template, human_captions

FILE = Path(__file__).with_name("paraphrases.json")
MOCAP = Path(__file__).resolve().parents[2] / "shared" / "data" / "mocap"
_STOP = """
    a an the this that these those some any each every all i you he she it we they me him her us them his its our
    their someone somebody something anyone anybody everything nothing himself herself itself who which what
    and or but then than as if so while when until not no
    at by for from in into of off on onto out over to up down with without across along around through under above
    below behind between before after against about like past toward towards near
    am is are was were be been being has have had having do does did doing can could will would may might must
    very too just also again there here
"""
STOP = frozenset(_STOP.split())
IRREGULAR = {past: verb for verb, past in IRREGULAR_PAST.items() if past != verb} | {
    "bent": "bend",
    "broken": "break",
    "drawn": "draw",
    "driven": "drive",
    "eaten": "eat",
    "fallen": "fall",
    "feet": "foot",
    "flown": "fly",
    "given": "give",
    "gone": "go",
    "men": "man",
    "women": "woman",
    "shaken": "shake",
    "spoken": "speak",
    "taken": "take",
    "thrown": "throw",
    "knives": "knife",
    "leaves": "leaf",
}
ENDINGS = ("ing", "ed", "es", "s", "er", "ers", "ly", "ness", "est", "y", "ful", "less", "ward", "wards", "like", "ion")


def stem(word: str) -> str:
    """A crude stem: irregular forms, then plural, participle and adverb endings, doubled consonants, final e and y."""
    word = IRREGULAR.get(word, word)
    for ending in ("ingly", "edly", "ings", "ing", "ied", "ies", "ed", "ly", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us")):
            word = word[: -len(ending)] + ("y" if ending in ("ied", "ies") else "")
            break
    word = re.sub(r"([bdfgklmnprtz])\1$", r"\1", word)
    return re.sub(r"[ey]$", "", word) if len(word) > 3 else word


def content_words(text: str) -> dict[str, str]:
    """Stem -> word for every word of `text` that is not on the stop list."""
    words = re.findall(r"[a-z]+", text.lower().replace("'s", ""))
    return {stem(word): word for word in words if word not in STOP and len(word) > 1}


def training_words(texts: Iterable[str]) -> set[str]:
    """Stems of all content words of the texts."""
    return {found for text in set(texts) for found in content_words(text)}


def shared_words(text: str, known: set[str]) -> list[str]:
    """Words of `text` that training captions contain too, exactly by stem or up to a derivational ending."""
    return [word for own, word in content_words(text).items() if own in known or _derived(own, known)]


def _derived(own: str, known: set[str]) -> bool:
    longer = any(own + ending in known for ending in ENDINGS)
    shorter = any(own.endswith(end) and len(own) - len(end) >= 4 and own[: -len(end)] in known for end in ENDINGS)
    return len(own) >= 3 and (longer or shorter)


def load_paraphrases(path: Path = FILE) -> list[dict[str, str]]:
    """The list of {"text", "action"}."""
    return json.loads(path.read_text(encoding="utf-8"))["paraphrases"]


def mocap_texts(folder: Path) -> Iterator[str]:
    """Every sentence of the motion set that could reach a trainer: texts, human captions, segment labels, labels."""
    records: list[dict[str, Any]] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for record in records:
        yield from record["texts"]
        yield from human_captions(record)
        yield from (str(segment["label"]) for segment in record["segments"])
        yield record["action"]


def violations(paraphrases: Iterable[dict[str, str]], known: set[str]) -> list[str]:
    """One line for each paraphrase that shares a word."""
    found = [(item["text"], shared_words(item["text"], known)) for item in paraphrases]
    return [f"{text!r} shares {', '.join(words)}" for text, words in found if words]


def main(arguments: list[str] | None = None) -> int:
    """Print the check's outcome; 0 when nothing is shared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit 1 when a content word is shared")
    parser.add_argument("--file", type=Path, default=FILE, help="paraphrases to check")
    parser.add_argument("--mocap", type=Path, default=MOCAP, help="folder of the motion set")
    options = parser.parse_args(arguments)
    texts = list(every_template())
    if (options.mocap / "index.json").is_file():
        texts += mocap_texts(options.mocap)
    paraphrases, known = load_paraphrases(options.file), training_words(texts)
    problems = violations(paraphrases, known)
    actions = len({item["action"] for item in paraphrases})
    print(f"{len(paraphrases)} paraphrases of {actions} actions against {len(known)} training stems: ", end="")
    print("; ".join(problems) if problems else "no shared content word")
    return 1 if options.check and problems else 0


if __name__ == "__main__":
    sys.exit(main())
