"""Reads the WordNet 3.0 database, and bakes from it the dictionary that comes with the package.

`python -m models.text.wordnet --dictionary /usr/share/wordnet --words /usr/share/dict/words` writes it anew, which is
needed only when the templates or the scenes change. Verbs are all taken; other words when the word list has them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laban.errors import LabanError
from laban.files import atomic_path
from models.text.captions import every_template
from models.text.dictionary import FILE, FUNCTION_WORDS, base_forms

PARTS = {"v": "verb", "n": "noun", "a": "adj", "r": "adv"}
TAGGED = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
"""WordNet's numbers for the parts of speech in its counts; 5 is a satellite adjective."""
NEAR = ("@", "@i", "$", "&", "\\")
"""Pointers followed one step: hypernyms, verb groups, similar adjectives, what an adverb or adjective is made from."""
PERSONS = "18"
CLAUSES, LONGEST, RELATIVES, SENSES = 2, 16, 8, 5
"""At most so many clauses of a definition, words in a clause, related words, and meanings of a word."""
CREDIT = "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. See WORDNET-LICENSE.txt."


@dataclass(frozen=True)
class Synset:
    """One meaning: its lexicographer file, its words, pointers (symbol, offset, part of speech), and gloss."""

    kind: str
    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, str], ...]
    gloss: str

    @property
    def clauses(self) -> list[str]:
        """The definition's clauses, without examples and remarks in brackets."""
        found = re.sub(r"\([^)]*\)|\"[^\"]*\"?", "", self.gloss).split(";")
        return [" ".join(clause.split()).strip(" ,:") for clause in found if clause.strip(" ,:")]


def synsets(path: Path) -> Iterator[tuple[str, Synset]]:
    """(offset, synset) for every line of a `data.*` file; nothing when there is no such file."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        field = head.split()
        count = int(field[3], 16)
        words = tuple(re.sub(r"\(.*\)", "", word).replace("_", " ") for word in field[4 : 4 + 2 * count : 2])
        rest = field[5 + 2 * count :]
        pointers = tuple((rest[i], rest[i + 1], rest[i + 2]) for i in range(0, 4 * int(field[4 + 2 * count]), 4))
        yield field[0], Synset(field[1], words, pointers, gloss)


def sense_counts(path: Path) -> Counter[tuple[str, str, int]]:
    """(part of speech, word, number of the sense) -> how often it was met in WordNet's tagged texts."""
    found: Counter[tuple[str, str, int]] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        key, number, count = line.split()
        word, _, rest = key.partition("%")
        found[TAGGED[rest[0]], word.replace("_", " "), int(number)] += int(count)
    return found


def senses(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(word, offsets of its meanings, the most frequent first) for every line of an `index.*` file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            field = line.split()
            yield field[0].replace("_", " "), field[-int(field[2]) :]


def known_words() -> set[str]:
    """Every word that the templates can say, with its base forms, and the function words."""
    words = {word for text in every_template() for word in re.findall(r"[a-z]+", text.lower())}
    return {form for word in words for form in base_forms(word, {})} | FUNCTION_WORDS


def bake(folder: Path, listed: set[str]) -> dict[str, Any]:
    """The dictionary's content: for words that captions lack, how often they mean what, in words that captions have."""
    known, counts = known_words(), sense_counts(folder / "cntlist.rev")
    every = {part: dict(synsets(folder / f"data.{name}")) for part, name in PARTS.items()}
    place: dict[str, int] = {}
    words: dict[str, dict[str, list[int]]] = {}
    for part, name in PARTS.items():
        rows = words[part] = {}
        for word, offsets in senses(folder / f"index.{name}"):
            first = word.split()[0]
            if not word.replace(" ", "").isalpha() or first in known or (part != "v" and word not in listed):
                continue
            found = [(counts[part, word, i + 1], _meaning(every, part, o, known)) for i, o in enumerate(offsets)]
            pairs = [(n, place.setdefault(text, len(place))) for n, text in found[:SENSES]]
            rows[word] = [number for pair in pairs for number in pair]
    odd = {
        part: {new: old for new, old in _exceptions(folder / f"{name}.exc") if old in words[part]}
        for part, name in PARTS.items()
    }
    return {"credit": CREDIT, "known": " ".join(sorted(known)), "words": words, "odd": odd, "meanings": list(place)}


def _meaning(every: dict[str, dict[str, Synset]], part: str, offset: str, known: set[str]) -> str:
    """A meaning on one line: "person" or "", definition clauses, related known words, set apart by bars."""
    synset = every[part][offset]
    clauses = [" ".join(clause.split()[:LONGEST]) for clause in synset.clauses[:CLAUSES]]
    if part == "n":
        clauses = [re.sub(r"^(?:an?|the|any|some) ", "", clause) for clause in clauses]
    near = [every["a" if p == "s" else p][o] for symbol, o, p in synset.pointers if symbol in NEAR]
    related = dict.fromkeys(word for each in (synset, *near) for word in each.words if _said(word, known))
    person = "person" if part == "n" and synset.kind == PERSONS else ""
    return "|".join((person, ";".join(clauses), ";".join(list(related)[:RELATIVES])))


def _said(phrase: str, known: set[str]) -> bool:
    """Whether all words of a phrase are known and at least one is more than a function word."""
    words = phrase.split()
    return set(words) <= known and not set(words) <= FUNCTION_WORDS


def _exceptions(path: Path) -> Iterator[tuple[str, str]]:
    """(inflected form, base form) of a WordNet exception list."""
    for line in path.read_text(encoding="utf-8").splitlines():
        new, old, *_ = line.split()
        yield new, old


def main() -> None:
    """Bake the dictionary into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dictionary", type=Path, required=True, help="folder of the WordNet 3.0 database files")
    parser.add_argument("--words", type=Path, required=True, help="word list; words other than verbs must be in it")
    options = parser.parse_args()
    for path in (options.dictionary / "index.verb", options.words):
        if not path.is_file():
            raise LabanError(f"{path}: no such file; expected the WordNet 3.0 database and a word list")
    content = bake(options.dictionary, set(options.words.read_text(encoding="utf-8").split()))
    packed = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    with atomic_path(FILE) as temporary:
        temporary.write_bytes(gzip.compress(packed, 9, mtime=0))
    print(f"{FILE}: {sum(map(len, content['words'].values()))} words, {FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
