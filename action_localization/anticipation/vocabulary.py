"""`Vocabulary`: the actions that can be foreseen, by full name, verb and noun; text is parsed with a confidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property

from laban.errors import LabanError

EXACT, SYNONYM, SENTENCE, OTHER_PAIR = 1.0, 0.9, 0.85, 0.6
"""Confidence of the same words, of words of the same classes, of a sentence that has an action's words in their order,
and of a noun that is known with other verbs alone."""

ACCEPTED = 0.8
"""Confidence from which a text is taken for an action."""

_SMALL = frozenset({"a", "an", "the", "some", "of", "my", "his", "her", "their", "its"})


@dataclass(frozen=True)
class Parsed:
    """What a text means: the number of an action, and from 0 to 1 how sure that is."""

    action: int
    confidence: float


@dataclass(frozen=True)
class Vocabulary:
    """Actions by number. `names` are canonical and full (never shortened to a first synonym: those collide).

    `pairs` are (verb, noun) of each name; without them the first word is the verb and the rest the noun. `verb_words`
    and `noun_words` say which class further words belong to.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    verb_words: Mapping[str, str] = field(default_factory=dict)
    noun_words: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names:
            raise LabanError("a vocabulary of actions is empty; accepted: at least one name")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise LabanError(f"a vocabulary names {twice!r} twice")
        pairs = self.pairs or tuple(split_name(name) for name in self.names)
        if len(pairs) != len(self.names):
            raise LabanError(f"a vocabulary has {len(self.names)} names and {len(pairs)} pairs of verb and noun")
        object.__setattr__(self, "pairs", tuple((str(verb), str(noun)) for verb, noun in pairs))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def verbs(self) -> tuple[str, ...]:
        """The distinct verbs in order of first appearance."""
        return tuple(dict.fromkeys(verb for verb, _ in self.pairs))

    @cached_property
    def nouns(self) -> tuple[str, ...]:
        """The distinct nouns in order of first appearance."""
        return tuple(dict.fromkeys(noun for _, noun in self.pairs))

    @cached_property
    def verb_of(self) -> tuple[int, ...]:
        """The verb's number of every action."""
        number = {verb: i for i, verb in enumerate(self.verbs)}
        return tuple(number[verb] for verb, _ in self.pairs)

    @cached_property
    def noun_of(self) -> tuple[int, ...]:
        """The noun's number of every action."""
        number = {noun: i for i, noun in enumerate(self.nouns)}
        return tuple(number[noun] for _, noun in self.pairs)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _plain(self) -> dict[str, int]:
        """The first action of each name as `plain` leaves it."""
        found: dict[str, int] = {}
        for i, name in enumerate(self.names):
            found.setdefault(plain(name), i)
        return found

    @cached_property
    def _verb_words(self) -> dict[str, str]:
        return _words(self.verbs, self.verb_words)

    @cached_property
    def _noun_words(self) -> dict[str, str]:
        return _words(self.nouns, self.noun_words)

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(self.pairs):
            found.setdefault(pair, i)
        return found

    def get(self, name: str) -> int | None:
        """The number of a canonical name, in whatever case and with whatever separators; None if it is none."""
        found = self._number.get(name)
        return self._plain.get(plain(name)) if found is None else found

    def parse(self, text: str) -> Parsed | None:
        """What a text means, however unsure; None where not even one word is shared.

        The same words give 1; a verb and a noun of its classes 0.9 (in any inflection that the synonyms list); a
        sentence in which an action's words stand in order, in any inflection, 0.85 (the longest such action); a noun
        with a verb that it is not known with 0.6; everything else the similarity of letters, at most 0.89.
        """
        if text in self._number:
            return Parsed(self._number[text], EXACT)
        words = plain(text)
        if words in self._plain:
            return Parsed(self._plain[words], EXACT)
        tokens = [word for word in words.split() if word not in _SMALL]
        if " ".join(tokens) in self._plain:
            return Parsed(self._plain[" ".join(tokens)], EXACT)
        best = self._by_words(tokens)
        if best is None or best.confidence < SENTENCE:
            best = self._in_sentence(tokens) or best
        return self._by_letters(" ".join(tokens)) if best is None else best

    def action(self, text: str) -> int:
        """The number of the action that a text means; LabanError with the nearest ones when none is meant."""
        parsed = self.parse(text)
        if parsed is not None and parsed.confidence >= ACCEPTED:
            return parsed.action
        near = ", ".join(repr(name) for name in self.nearest(text))
        raise LabanError(f"label {text!r} is not in the vocabulary of {len(self)} actions; nearest: {near}")

    def nearest(self, text: str, count: int = 3) -> tuple[str, ...]:
        """The names most like a text, the likest first."""
        words = plain(text)
        close = get_close_matches(words, list(self._plain), n=count, cutoff=0.0)
        names = [self.names[self._plain[name]] for name in close]
        parsed = self.parse(text)
        first = [self.names[parsed.action]] if parsed is not None else []
        return tuple(dict.fromkeys([*first, *names]))[:count]

    def _by_words(self, tokens: Sequence[str]) -> Parsed | None:
        """A verb at the beginning (the longest), then the longest noun; ties go to the earlier."""
        verb, rest = _longest_prefix(tokens, self._verb_words)
        if verb is None:
            return None
        noun = _longest_inside(rest, self._noun_words) if rest else ""
        if noun is None:
            return None
        if (verb, noun) in self._by_pair:
            return Parsed(self._by_pair[verb, noun], SYNONYM)
        same = [i for i, (_, other) in enumerate(self.pairs) if other == noun and noun]
        return Parsed(same[0], OTHER_PAIR) if same else None

    @cached_property
    def _stems(self) -> tuple[tuple[tuple[str, ...], int], ...]:
        """The stems of every name, most letters first, and its number."""
        found = {tuple(map(stem, name.split())): i for name, i in reversed(self._plain.items())}
        return tuple(sorted(found.items(), key=lambda one: (-len(one[0]), -sum(map(len, one[0])), one[1])))

    def _in_sentence(self, tokens: Sequence[str]) -> Parsed | None:
        words = [stem(token) for token in tokens]
        known = set(words)
        for stems, action in self._stems:
            if stems and known.issuperset(stems):
                rest = iter(words)
                if all(one in rest for one in stems):
                    return Parsed(action, SENTENCE)
        return None

    def _by_letters(self, words: str) -> Parsed | None:
        close = get_close_matches(words, list(self._plain), n=1, cutoff=0.3)
        if not close:
            return None
        likeness = SequenceMatcher(None, words, close[0]).ratio()
        return Parsed(self._plain[close[0]], min(0.89, likeness))

    def to_json(self) -> dict[str, object]:
        """As a checkpoint keeps it."""
        return {"names": list(self.names), "pairs": [list(pair) for pair in self.pairs],
                "verb_words": dict(self.verb_words), "noun_words": dict(self.noun_words)}  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, object], name: str) -> Vocabulary:
        """Back from `to_json`; LabanError names the checkpoint."""
        try:
            names, pairs = values["names"], values.get("pairs", [])
            verb_words, noun_words = values.get("verb_words", {}), values.get("noun_words", {})
            assert isinstance(names, list) and isinstance(pairs, list)
            assert isinstance(verb_words, dict) and isinstance(noun_words, dict)
            return cls(tuple(map(str, names)), tuple((str(v), str(n)) for v, n in pairs), verb_words, noun_words)
        except (KeyError, ValueError, TypeError, AssertionError):
            raise LabanError(f"{name}: holds no vocabulary; accepted: names, pairs, verb_words, noun_words") from None


def plain(text: str) -> str:
    """Lower case; hyphens, underscores, colons, slashes and brackets are spaces."""
    return " ".join(re.sub(r"[-_:/()\[\],.;]+", " ", text.lower()).split())


def stem(word: str) -> str:
    """A word without the endings of English inflection: the same for wave, waves, waved and waving."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    word = word[:-1] if len(word) > 3 and word.endswith("e") else word
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def split_name(name: str) -> tuple[str, str]:
    """(verb, noun) of a name: EGTEA's and Breakfast's are parted by the first underscore, others by the first space."""
    head, mark, rest = name.partition("_")
    if not mark:
        head, _, rest = name.partition(" ")
    return head.strip(), rest.strip()


def merged(vocabularies: Iterable[Vocabulary]) -> Vocabulary:
    """Every action of several vocabularies, in order of first appearance; `pour_milk` of a later one is `pour milk`."""
    pairs: dict[str, tuple[str, str]] = {}
    known: dict[str, str] = {}
    verbs: dict[str, str] = {}
    nouns: dict[str, str] = {}
    for vocabulary in vocabularies:
        for name, pair in zip(vocabulary.names, vocabulary.pairs, strict=True):
            if known.get(plain(name), "") not in pairs:
                pairs[name] = pair
        known |= {plain(name): name for name in pairs if plain(name) not in known}
        verbs = {**vocabulary.verb_words, **verbs}
        nouns = {**vocabulary.noun_words, **nouns}
    return Vocabulary(tuple(pairs), tuple(pairs.values()), verbs, nouns)


def _words(names: Iterable[str], more: Mapping[str, str]) -> dict[str, str]:
    """Class by plain words: the class's own name first, then what else is said for it."""
    found = {plain(name): name for name in names}
    for name in names:
        turned = plain(" ".join(reversed(name.split(":"))))
        found.setdefault(turned, name)
    for word, name in more.items():
        found.setdefault(plain(word), name)
    found.pop("", None)
    return found


def _longest_prefix(tokens: Sequence[str], words: Mapping[str, str]) -> tuple[str | None, Sequence[str]]:
    for length in range(len(tokens), 0, -1):
        if (name := words.get(" ".join(tokens[:length]))) is not None:
            return name, tokens[length:]
    return None, tokens


def _longest_inside(tokens: Sequence[str], words: Mapping[str, str]) -> str | None:
    for length in range(len(tokens), 0, -1):
        for first in range(len(tokens) - length + 1):
            if (name := words.get(" ".join(tokens[first : first + length]))) is not None:
                return name
    return None
