"""A dictionary for words that no caption holds: a sentence with such words is also read in words that captions have.

"He slinks out" is met by "he walks stealthily out" and "he walks out": each strange word is replaced in turn by what
WordNet says it means (definition, synonyms, the next more general words), the readings weighted by how often the word
means that. The dictionary is baked by `models.text.wordnet`; its words and definitions are WordNet's.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from laban.errors import LabanError
from models.text.captions import clean, inflect

FILE = Path(__file__).with_name("data") / "dictionary.json.gz"
VERB = 3.0
"""What a meaning as a verb counts beside one as another part of speech, for a verb names the action."""
BYSTANDER = 0.02
"""What a person's name or trade counts beside other words, for it says who acts, not what is done."""
UNSEEN = 0.5
"""Added to the number of times that a word was met in a meaning."""
MOST = 16
"""Readings of one sentence, at most."""
_FUNCTION_WORDS = """
    a an the this that these those some any each every all both either neither i you he she it we they me him her us
    them his hers its our ours their theirs my mine your yours myself yourself himself herself itself ourselves
    themselves who whom whose which what where why how and or but nor yet then than as if so while when until since
    because though although unless whether not no at by for from in into of off on onto out over to up down with within
    without across along around through throughout under above below behind between before after against about like
    past toward towards near upon among via per am is are was were be been being has have had having do does did done
    doing can could will would shall should may might must ought very too just also again here there s t
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that never are strange; those of up to two letters are not either."""
_PLURAL = (("ies", "y"), ("es", ""), ("es", "e"), ("s", ""))
_ENDINGS = {"v": (*_PLURAL, ("ied", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e")), "n": _PLURAL}
"""Part of speech -> endings, and what the base form has in their place."""
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Meaning:
    """One meaning of a word, as a share of all of them; "v", "n", "a" or "r"; clauses of definition; related words."""

    share: float
    part: str
    person: bool
    clauses: tuple[str, ...]
    related: tuple[str, ...]

    def wordings(self) -> Iterator[tuple[float, str]]:
        """(share, wording): half for the definition, half for the related words, or all for what there is."""
        groups = [group for group in (self.clauses, self.related) if group]
        yield from ((self.share / len(groups) / len(group), text) for group in groups for text in group)


@dataclass(frozen=True)
class StrangeWord:
    """A place in a sentence (start, end) with the meanings of what stands there; `ending` as in `captions.inflect`."""

    start: int
    end: int
    ending: str
    meanings: tuple[Meaning, ...]

    @property
    def verb(self) -> float:
        """The share of its meanings as a verb."""
        return sum(meaning.share for meaning in self.meanings if meaning.part == "v")

    @property
    def person(self) -> bool:
        """Whether it is most of all a noun, and may name a person."""
        noun = sum(meaning.share for meaning in self.meanings if meaning.part == "n")
        return noun > 0.5 and any(meaning.person for meaning in self.meanings)

    @property
    def weight(self) -> float:
        """What it counts beside the sentence's other strange words."""
        return BYSTANDER if self.person else 1 + (VERB - 1) * self.verb


@dataclass(frozen=True)
class Dictionary:
    """What words mean: `words` maps part of speech and word to numbers (times met, place in `meanings`, and so on)."""

    known: frozenset[str]
    words: Mapping[str, Mapping[str, list[int]]]
    odd: Mapping[str, Mapping[str, str]]
    meanings: tuple[str, ...]

    @cached_property
    def irregular(self) -> dict[str, str]:
        """Irregular form -> base form, verbs before other words."""
        return {new: old for part in reversed(list(self.words)) for new, old in self.odd.get(part, {}).items()}

    def strange(self, text: str, familiar: Collection[str] = ()) -> list[StrangeWord]:
        """The words of `text` (in lower case) that are neither known nor familiar and stand in the dictionary."""
        spans = [match.span() for match in _WORD.finditer(text)]
        found: list[StrangeWord] = []
        for index, (start, end) in enumerate(spans):
            word = text[start:end]
            if found and start < found[-1].end or self._is_known(word, familiar):
                continue
            longest = [(spans[i][1], text[end : spans[i][1]]) for i in range(min(index + 2, len(spans) - 1), index, -1)]
            tries = (self._look_up(word, start, stop, tail) for stop, tail in (*longest, (end, "")))
            found += [hit for hit in tries if hit is not None][:1]
        return found

    def readings(self, text: str, familiar: Collection[str] = ()) -> list[tuple[float, str]]:
        """(weight, sentence), at most `MOST`, weights adding up to 1; none for a sentence without strange words.

        One strange word after another is replaced by each of its wordings; in the rest of the sentence, strange words
        that may name a person become "person".
        """
        text = clean(text)
        found = self.strange(text, familiar)
        rows: list[tuple[float, str]] = []
        for word in found if len(found) <= MOST else sorted(found, key=lambda word: -word.weight)[:MOST]:
            before, after = _plainly(text, 0, word.start, found), _plainly(text, word.end, len(text), found)
            for meaning in word.meanings:
                for share, wording in meaning.wordings():
                    said = _inflected(wording, word.ending) if meaning.part == "v" else wording
                    rows.append((word.weight * share, f"{before}{said}{after}"))
        rows = sorted(rows, key=lambda row: -row[0])[:MOST]
        total = sum(weight for weight, _ in rows)
        return [(weight / total, sentence) for weight, sentence in rows]

    def knows(self, word: str) -> bool:
        """Whether a word (lower case) or its base form is known or stands in the dictionary; short words always are."""
        forms = base_forms(word, self.irregular)
        return self._is_known(word, ()) or any(form in table for form in forms for table in self.words.values())

    def _is_known(self, word: str, familiar: Collection[str]) -> bool:
        return len(word) < 3 or any(form in self.known or form in familiar for form in base_forms(word, self.irregular))

    def _look_up(self, word: str, start: int, end: int, tail: str) -> StrangeWord | None:
        """A word together with the words that follow it ("tees" + " off"); None when it is not in the dictionary."""
        rows = [
            (part, base, self.words[part][base + tail])
            for part in self.words
            for base in base_forms(word, self.odd.get(part, {}), part)
            if base + tail in self.words[part]
        ]
        if not rows:
            return None
        counted = [
            (part, (times + UNSEEN) * (VERB if part == "v" else 1), self.meanings[place])
            for part, _, numbers in rows
            for times, place in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        total = sum(count for _, count, _ in counted)
        base = rows[0][1]
        ending = "base" if word == base else "ing" if word.endswith("ing") else "s" if word.endswith("s") else "past"
        meanings = tuple(_meaning(part, count / total, line) for part, count, line in counted)
        return StrangeWord(start, end, ending, meanings)


def _meaning(part: str, share: float, line: str) -> Meaning:
    person, clauses, related = line.split("|")
    return Meaning(share, part, bool(person), _list(clauses), _list(related))


def _list(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(";")) if joined else ()


def base_forms(word: str, irregular: Mapping[str, str], part: str = "v") -> list[str]:
    """The word itself and what it may be an inflection of: its irregular base form, and what is left without endings.

    Verbs have all the endings of nouns. Forms need not be words.
    """
    forms = [word, *([irregular[word]] if word in irregular else [])]
    for ending, instead in _ENDINGS.get(part, ()):
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            base = word[: len(word) - len(ending)]
            forms.append(base + instead)
            if not instead and len(base) > 3 and base[-1] == base[-2]:
                forms.append(base[:-1])
    return list(dict.fromkeys(forms))


def _plainly(text: str, start: int, end: int, found: list[StrangeWord]) -> str:
    """A stretch of the sentence in which strange words that may name a person are "person"."""
    for word in reversed(found):
        if word.person and start <= word.start and word.end <= end:
            text = text[: word.start] + "person" + text[word.end :]
            end += len("person") - (word.end - word.start)
    return text[start:end]


def _inflected(wording: str, ending: str) -> str:
    """A verb's wording in the form of the word that it stands for: "walk stealthily" -> "walks stealthily"."""
    verb, space, rest = wording.partition(" ")
    return f"{inflect(verb, ending)}{space}{rest}" if verb.isalpha() else wording


@lru_cache(maxsize=1)
def load_dictionary() -> Dictionary:
    """The dictionary of the package; LabanError when its file is missing or damaged."""
    try:
        content = json.loads(gzip.decompress(FILE.read_bytes()))
        known = frozenset(content["known"].split())
        return Dictionary(known, content["words"], content["odd"], tuple(content["meanings"]))
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise LabanError(f"{FILE}: not a dictionary ({error}); expected what `models.text.wordnet` writes") from error
