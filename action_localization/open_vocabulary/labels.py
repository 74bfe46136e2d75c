"""Labels in the user's words: read from an option or a file, checked, put into sentences, and known doubts told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from laban.errors import LabanError
from models.text.captions import SUBJECTS, action_captions, clean, inflect
from models.text.dictionary import FUNCTION_WORDS, base_forms, load_dictionary
from models.text.phrases import PHRASES

METHODS = ("stov-tal", "t3al", "frame")
"""How labels are searched for (`action_localization.open_vocabulary.search`); the first unless another is named."""
MOST, LONGEST = 10_000, 300
"""Labels of one search, and letters of a label, at most."""
STANDING = ("a person stands still", "a person stands and does nothing", "somebody idles")
"""What people do who do nothing."""
_SUBJECT = re.compile(
    rf"^(?:{'|'.join(SUBJECTS)}|people|somebody|a|an|the|his|her|their|both|one|two|this|that)\b", re.I
)
_WORD = re.compile(r"[^\W\d_]+")
_VERB = re.compile(r"\*([a-z]+)")
_SHOWN = 3


@dataclass(frozen=True)
class Labels:
    """Distinct labels in order, the sentence of each, and what the user should know of them."""

    names: tuple[str, ...]
    sentences: dict[str, str]
    notes: tuple[str, ...] = ()


def read_labels(given: str | Path) -> Labels:
    """Labels separated by commas, or the lines of a text file.

    Repeated ones count once. LabanError for none, more than `MOST`, one longer than `LONGEST` letters, or one with
    control characters.
    """
    text = str(given)
    path = Path(text) if len(text) < 1000 and "\n" not in text else None
    try:
        from_file = path is not None and path.is_file()
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path and from_file else text.split(",")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise LabanError(f"--labels {text}: cannot be read as text ({error})") from None
    if not from_file and "," not in text and Path(text).suffix.lower() in (".txt", ".csv", ".tsv", ".json"):
        raise LabanError(f"--labels {text}: no such file; accepted: labels separated by commas, or a text file "
                         "with one a line")  # fmt: skip
    return checked_labels(lines, where=f"--labels {text}" if from_file else "--labels")


def checked_labels(lines: Iterable[str], *, where: str = "--labels") -> Labels:
    """The same from strings; empty ones are passed over."""
    found: dict[str, str] = {}
    repeated: list[str] = []
    for number, line in enumerate(lines, 1):
        name = " ".join(line.split())
        if not name:
            continue
        if len(name) > LONGEST:
            raise LabanError(f"{where}: label {number} has {len(name)} letters; accepted: up to {LONGEST}")
        if bad := next((c for c in name if unicodedata.category(c) in ("Cc", "Cs")), None):
            raise LabanError(f"{where}: label {number} holds the control character {bad!r}; accepted: plain text")
        if name.lower() in found:
            repeated.append(name)
        else:
            found[name.lower()] = name
    names = tuple(found.values())
    if not names:
        raise LabanError(f"{where}: found no label; accepted: words such as 'waves, sits down, kicks a ball'")
    if len(names) > MOST:
        raise LabanError(f"{where}: found {len(names)} labels; accepted: up to {MOST}")
    notes = [f"named twice and searched for once: {_listed(repeated)}"] if repeated else []
    return Labels(names, {name: sentence_of(name) for name in names}, (*notes, *doubts(names)))


def sentence_of(label: str) -> str:
    """A label as a sentence about a person: "waves", "waving", "wave" -> "a person waves" or "a person is waving"."""
    text = clean(label)
    if plain := action_captions(text).get("") if text in PHRASES else None:
        return plain[0]
    first, _, rest = text.partition(" ")
    tail = f" {rest}" if rest else ""
    if _SUBJECT.match(text) and rest:
        return text
    if first.endswith("ing") and len(first) > 4:
        return f"a person is {text}"
    if first in _verbs():
        return f"a person {inflect(first, 's')}{tail}"
    if any(map(_is_verb, base_forms(first, load_dictionary().irregular)[1:])):
        return f"a person {text}"
    return f"a person does {text}"


def _is_verb(word: str) -> bool:
    """Whether a base form is a verb: of the templates, of the dictionary, or one that captions have with -ing."""
    dictionary = load_dictionary()
    return word in _verbs() or word in dictionary.words["v"] or {word, inflect(word, "ing")} <= dictionary.known


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    """Base forms of the verbs that captions use."""
    phrases = (phrase for table in PHRASES.values() for row in table.values() for phrase in row)
    return frozenset(verb for phrase in phrases for verb in _VERB.findall(phrase))


def doubts(names: Sequence[str]) -> list[str]:
    """What should be said of labels that do not look like English, which is all that the embedded encoder knows."""
    strange = [name for name in names if not looks_english(name)]
    if not strange:
        return []
    return [f"not English, as far as the dictionary tells: {_listed(strange)}; searched for as written, but the "
            "embedded text encoder reads English alone, so what is found may mean nothing"]  # fmt: skip


def looks_english(text: str) -> bool:
    """Whether more than half of the words (of three letters or more) are English, or all but one; other alphabets are
    not."""
    words = [word for word in _WORD.findall(text.lower()) if len(word) > 2]
    if not words:
        return text.isascii()
    dictionary = load_dictionary()
    known = sum(word.isascii() and (word in FUNCTION_WORDS or dictionary.knows(word)) for word in words)
    return 2 * known > len(words) or 0 < known == len(words) - 1


def other_actions() -> tuple[str, ...]:
    """Sentences of everything that captions name, and of standing about: what may go on beside the labels."""
    return (*STANDING, *(text for action in PHRASES for text in action_captions(action).get("", ())[:1]))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:37]}…") for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
