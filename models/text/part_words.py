"""Body parts by rules: the parts that a clause names, and the phrases of actions that occur in it word for word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from models.text.captions import IRREGULAR_PAST, clean, inflect, only_sides

GAP = 2
"""Words that may stand between two words of a phrase: "picks (a box) up"."""
SLOTS = ("arm", "arms", "legs", "head", "spine")
"""What phrases need: `arm` is one arm of unsaid side, `arms` are both."""

_DATA = json.loads(Path(__file__).with_name("data").joinpath("parts.json").read_text(encoding="utf-8"))
_SKIPPED, _BREAKS, _MOVERS, _IDLE = (
    frozenset(_DATA["words"][k].split()) for k in ("skipped", "breaks", "movers", "idle")
)
"""Words that phrases pass over; that no gap of a phrase may hold; verbs that say how a part moves, not which action it
belongs to ("turn the head" is no turn); words that say no action."""
_IRREGULAR = {
    "drank": "drink", "drunk": "drink", "wrote": "write", "written": "write", "rode": "ride", "ridden": "ride",
    "blew": "blow", "blown": "blow", "swept": "sweep", "sang": "sing", "sung": "sing", "wept": "weep", "wore": "wear",
    "thrown": "throw", "taken": "take", "shaken": "shake", "fallen": "fall", "eaten": "eat", "driven": "drive",
    "drawn": "draw", "spoken": "speak", "dealt": "deal", "stuck": "stick", "hung": "hang", "slid": "slide",
    "woke": "wake", "fled": "flee", "laid": "lie", "lain": "lie", "swum": "swim", "sprang": "spring", "beaten": "beat",
}  # fmt: skip

_ARM = "arm|hand|fist|palm|elbow|wrist|forearm|finger|fingertip|thumb|shoulder|bicep|knuckle"
_ARMS = "arms|hands|fists|palms|elbows|wrists|forearms|fingertips|thumbs|shoulders|biceps|knuckles"
_STRIKE = "hook|jab|cross|uppercut|punch|straight|backhand|forehand|handed|hander|swing"
_BETWEEN = r"(?:(?:index|middle|ring|little|pointer|upper|lower|whole|open|raised|outstretched|free|bent|clenched) )?"
_LEGS = "legs?|foot|feet|knees?|toes?|ankles?|thighs?|heels?|calf|calves|shins?"
_HEAD = "head|neck|face|chin|nose|mouth|ears?|eyes?|forehead|cheeks?|hair|lips?|brows?|eyebrows?|temple"
_SPINE = "torso|trunk|waist|upper body|spine|upper back|lower back|back|chest|belly|stomach|abdomen|core|body"
_HIPS = "hips?|pelvis|buttocks|bottom"
_NOUNS = frozenset(re.sub(r"s\?", "|", f"{_ARM}|{_ARMS}|legs|knees|toes|{_LEGS}|{_HEAD}|{_HIPS}|back|torso").split("|"))
_SIDED = re.compile(rf"\b(left|right)[ -]{_BETWEEN}(?:(?:{_ARM})s?|(?:{_STRIKE})(?:es|s)?)\b")
_BARE_SIDE = re.compile(r"\b(?:with|using) (?:the |his |her |their |my |a )?(left|right)(?=$| (?:to|at|in|on|for)\b)")
_BOTH = re.compile(
    rf"\b(?:(?:both|two|each|left and right|right and left)(?: of)?(?: the| his| her| their)? {_BETWEEN}"
    rf"(?:(?:{_ARM})s?|(?:{_STRIKE})(?:es|s))|(?:the|his|her|their) other (?:{_ARM}))\b"
)
_ONE = re.compile(rf"\b(?:an?|one|single) {_BETWEEN}(?:{_ARM})\b")
_SINGLE = re.compile(rf"\b(?:{_ARM}|fingers)\b")
_PLURAL = re.compile(rf"\b(?:{_ARMS})\b")
_DET = r"(?:the |his |her |their |my |its |one |both )?(?:left |right )?(?:upper |lower )?(?:body )?"
_PLACE = rf"(?:on|onto|at|to|behind|around|against|in front of|by|from|near|across|into|under|between|over) {_DET}"
_NOT_HEAD = re.compile(rf"\b(?:above|over|level with|overhead) {_DET}(?:{_HEAD})\b|\bface (?:down|up|to)\b")
_NOT_SPINE = re.compile(rf"\b(?:{_PLACE}|overhead )(?:{_SPINE}|{_HIPS})\b")
_NOT_LEGS = re.compile(rf"\b{_PLACE}(?:{_LEGS})\b")
_OVER_SHOULDER = re.compile(rf"\b(?:over|on|onto|to) {_DET}shoulders?\b|\bshoulder[- ](?:width|height|level)\b")
_OWNED = r"(?:the|his|her|their|my|its|upper|lower) "
_NAMED_SPINE = re.compile(rf"\b(?:{_OWNED}(?:back|spine|trunk|waist)|torso|upper body|upper back|lower back)\b")
_NAMED_HEAD = re.compile(rf"\b(?:(?:his|her|their|my|the|own|left|right) (?:{_HEAD})|head|neck)\b")
_WHOLE = re.compile(r"\b(?:whole|entire|full) body\b|\bevery limb\b|\ball limbs\b")
_BE = r"\b(?:is|are|was|gets?|got|getting|being|be) (?:\w+ly )?(?:being )?"
_WHO = r"(?:^|\b(?:to|he|she|they|person|someone|man|woman) )(?:is )?"
_TOUCH = r"(?:(?:tap|pat|rub|grab|scratch|touch|itch)\w{0,4}|(?:massag|squeez|strok)(?:es?|ed|ing))"
_SIDE_ARM = rf"(?:(?:the|his|her|their) )?(?:left|right) (?:{_ARM})\b"
_IDIOMS = tuple(
    (re.compile(pattern), other)
    for pattern, other in (
        (_BE + r"(?:pushed|shoved|jostled|pulled|push|shove)\b", "jostled"),
        (_BE + r"(?:hit|struck|punched|kicked|slapped)\b", "get hit"),
        (r"\b(?:starting|end|same|this|that|some|the|a) point\b", "place"),
        (r"\bstart(?:s|ed|ing)? with (?:the |his |her )?(?:left|right)$", ""),
        (r"\b(?:left|right)[- ]handed (?=person|man|woman|one\b)", ""),
        (rf"\b({_TOUCH}) (?={_SIDE_ARM})(?!.*\bwith\b)", r"\1 with both hands the "),
        (rf"\b(one (?:{_ARM})\b.*\bthe other)\b(?! (?:{_LEGS}|person|man|woman|one|side))", r"\1 hand"),
        (_WHO + r"hand(?:s|ed|ing)? (?=(?:an?|something|him|them|the|over (?:an?|the)|out|back) )"
         r"(?!over (?:the )?head)", "handover "),
        (r"\bhead(?:s|ed|ing) (?=(?:to|for|towards?|out|off|over|into|home|back|up|down|in)\b)", "walk "),
        (r"(?:^|\b(?:to|they) )head (?=(?:to|for|towards?|out|off|over|into|home)\b)", "walk "),
        (r"\b(?:(?:turn(?:s|ed|ing)? )?to|and) face (?=(?:the|an?|north|south|east|west|left|right|forward)\b)",
         "turn to face "),
        (_WHO + r"fac(?:es?|ing) (?=(?:the|an?)\b)", "turn to face "),
        (r"\blook(?:s|ed|ing)? (?=like\b)", "seem "),
        (r"\bon foot\b|\b(?:\d+|two|three|six|ten) feet\b|\bhead over heels\b", ""),
        (r"\b(?:without|instead of|not) [^,;]*", ""),
        (rf"\b(?:left|right) (?:and|or|then) (?:left|right) (?=(?:\w+ )?(?:{_ARM}|{_STRIKE}))", "both "),
    )
)  # fmt: skip
"""Phrases rewritten before reading: words of body parts that mean something else, passives, "the other" hand."""
_PAIRS = re.compile(
    r"\b(?P<a>up|back|left|right|in|over|again|round|forwards?|backwards?|side|to|off|more) and "
    r"(?P<b>down|forth|right|left|out|over|again|round|backwards?|forwards?|side|fro|on|more)\b"
)
_JOINT = re.compile(
    r"\s*(?:[,;.:/&+|]+|\b(?:while|whilst|and|then|but|as|before|after|until|whereas|followed by)\b)\s*"
)
_AS_IF = re.compile(r"\b(?:as if|as though|like)\b.*")


_SIDE_WORDS = re.compile(
    r"\b(?:(?:to|on|at) (?:the |his |her |their )?)?(?:left|right)(?:wards?)?\b|\b(?:(?:counter|anti)[- ]?)?clockwise\b"
)
_SUBJECT = re.compile(
    r"^(?:an? |the )?(?:person|man|woman|human|someone|somebody|figure|he|she|they) (?:(?:is|are|was|were) )?"
)
_ARM_WORDS = re.compile(
    rf"\b(?:(?:with|using|in|by) )?(?:(?:the|his|her|their|my|an?|one|both|two|other|of) )*(?:(?:left|right)[ -])?"
    rf"{_BETWEEN}(?:{_ARM})s?\b|\b(?:with|using) (?:(?:the|his|her|their|a) )?(?:left|right)$"
)


@dataclass
class Named:
    """What a clause names: sides of arms, one or both arms of unsaid side, other parts."""

    sides: set[str] = field(default_factory=set)
    one: bool = False
    single: bool = False
    plural: bool = False
    other: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.sides or self.single or self.plural or self.other)

    def add(self, more: Named) -> None:
        """Take over what another clause of the same action names; an arm without a side is the one already named."""
        self.sides |= more.sides
        self.other |= more.other
        self.plural |= more.plural
        self.single, self.one = self.single or more.single, self.one or more.one


@dataclass
class Clause:
    """A clause, the phrases found in it with what they need, and what it names."""

    text: str
    phrases: list[tuple[str, tuple[str, ...]]]
    named: Named
    moved: bool
    """Whether a verb of the clause moves a named part, so that it is no action of its own."""


@lru_cache(maxsize=1)
def part_phrases() -> dict[str, tuple[str, ...]]:
    """Phrase (base form, "~" in front where it is only compared in meaning) -> slots, from `data/parts.json`."""
    rows: dict[str, tuple[str, ...]] = {}
    for key, phrases in _DATA["phrases"].items():
        slots = ("arms", "legs", "head", "spine") if key == "all" else tuple(key.split(", "))
        for phrase in phrases:
            rows.setdefault(re.sub(r"[*=]", "", phrase), slots)
    return rows


@lru_cache(maxsize=1)
def _forms() -> dict[str, str]:
    """Inflected form -> base, for every verb of the table and every verb of movement."""
    phrases = " ".join(phrase for row in _DATA["phrases"].values() for phrase in row)
    verbs = sorted({*re.findall(r"\*([a-z]+)", phrases), *_MOVERS})
    found = {inflect(verb, form): verb for form in ("past", "s", "ing") for verb in verbs}
    known = {past: verb for verb, past in IRREGULAR_PAST.items() if verb in verbs}
    return {**known, **_IRREGULAR, **found, **{verb: verb for verb in verbs}}


def lemma(word: str) -> str:
    """The base form of a verb, the singular of a noun that is no body part."""
    if word in _NOUNS:
        return word
    if word in (forms := _forms()):
        return forms[word]
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "is", "us")) else word


def _words(text: str) -> list[str]:
    """Lemmas without determiners and sides."""
    found = re.findall(r"[a-z]+", text.lower())
    return [lemma(word) for word in found if word not in _SKIPPED and word not in ("left", "right")]


@lru_cache(maxsize=1)
def _index() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """First word -> phrases that begin with it, longest first; those compared in meaning alone are left out."""
    rows: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for phrase in part_phrases():
        if not phrase.startswith("~"):
            words = tuple(_words(phrase))
            rows.setdefault(words[0], []).append((words, phrase))
    return rows


def _occurrence(words: list[str], phrase: tuple[str, ...], start: int) -> tuple[int, ...] | None:
    """Where the phrase's words stand if it begins at `start`, with gaps of at most `GAP` words, none a body part."""
    places = [start]
    for wanted in phrase[1:]:
        for step in range(1, GAP + 2):
            at = places[-1] + step
            if at >= len(words) or words[at] == wanted:
                break
            if words[at] in _NOUNS or words[at] in _BREAKS:
                return None
        if at >= len(words) or words[at] != wanted:
            return None
        places.append(at)
    return tuple(places)


def _matches(words: list[str], taken: set[int], *, single: bool) -> Iterator[tuple[tuple[int, ...], str]]:
    """Phrases in `words` that do not overlap: longest first, then the tightest, then the earliest."""
    found = []
    for start, word in enumerate(words):
        for phrase, text in _index().get(word, ()):
            if (len(phrase) == 1) == single and (places := _occurrence(words, phrase, start)):
                found.append((-len(phrase), places[-1] - places[0], places, text))
    for _, _, places, text in sorted(found):
        if not taken & set(places):
            taken |= set(places)
            yield places, text


def _moved(words: list[str], taken: set[int]) -> bool:
    """Mark verbs of movement beside a body part ("turn head", "arms swing"); whether there were any."""
    any_moved = False
    for at, word in enumerate(words):
        if word not in _MOVERS or at in taken:
            continue
        after = [w for w in words[at + 1 : at + 4] if w not in ("both", "one", "two", "up", "down", "out", "other")][:1]
        before = [
            w for w in words[max(at - 2, 0) : at] if not (w in ("is", "are", "be", "being", "both") or w.endswith("ly"))
        ][-1:]
        if (after and after[0] in _NOUNS) or (before and before[0] in _NOUNS):
            taken.add(at)
            any_moved = True
    return any_moved


def _named(text: str, consumed: frozenset[str], looks: bool) -> Named:
    """Parts that a clause names; words that a matched phrase explains already (`consumed`) do not count again,
    nor places: knees that a hand lies on, feet that one `looks` at."""
    named = Named()
    text = _OVER_SHOULDER.sub(" ", text)
    both = bool(_BOTH.search(text))
    named.sides = {"left", "right"} if both else {m[1] for p in (_SIDED, _BARE_SIDE) for m in p.finditer(text)}
    left = " ".join(word for word in text.split() if word not in consumed)
    named.plural = bool(_PLURAL.search(left)) and not named.sides
    named.one = bool(_ONE.search(text)) and not named.sides
    named.single = named.one or (bool(_SINGLE.search(left)) and not named.sides)
    arms = bool(named.sides or named.single or named.plural or re.search(rf"\b(?:{_ARM}|{_ARMS})\b", text))
    for part, pattern, apart in (("head", _NAMED_HEAD, _NOT_HEAD), ("spine", _NAMED_SPINE, _NOT_SPINE)):
        if pattern.search(apart.sub(" ", left)):
            named.other.add(part)
    legs = _NOT_LEGS.sub(" ", left) if arms or looks else left
    if re.search(rf"\b(?:{_LEGS}|lower body)\b", legs):
        named.other.add("legs")
    if re.search(rf"\b(?:{_HIPS})\b", _NOT_SPINE.sub(" ", left)):
        named.other |= {"legs", "spine"}
    if arms and re.search(rf"\b(?:{_HEAD})\b", _NOT_HEAD.sub(" ", left)):
        named.other.add("head")  # a hand that meets the head: both belong to one owner
    return named


def _read(text: str) -> Clause:
    if _WHOLE.search(text):
        return Clause(text, [("the whole body", ("arms", "legs", "head", "spine"))], Named(), True)
    head = _AS_IF.sub("", text).strip() or text
    words, taken = _words(text), set[int]()
    own = len(_words(head))
    found = list(_matches(words, taken, single=False))
    moved = _moved(words[:own], taken)
    found += _matches(words[:own], taken, single=True)
    if not found and own < len(words):
        found += _matches(words, taken, single=True)
    table = part_phrases()
    slots = [(phrase, table[phrase]) for _, phrase in found]
    consumed = frozenset(words[at] for places, _ in found for at in places if words[at] in _NOUNS)
    return Clause(text, slots, _named(head, consumed, any("head" in row for _, row in slots)), moved)


def clauses(text: str) -> list[Clause]:
    """A text cut at "and", "while", "then", commas and the like; each clause read by the rules."""
    plain = only_sides(clean(text))
    for pattern, other in _IDIOMS:
        plain = pattern.sub(other, plain)
    plain = _PAIRS.sub(r"\g<a> \g<b>", plain)
    plain = re.sub(r"\bas (?=if\b|though\b)", "as_", plain)
    pieces = (piece.replace("as_", "as ").strip() for piece in _JOINT.split(plain))
    return [_read(" ".join(piece.split())) for piece in pieces if piece]


def together(text: str) -> bool:
    """Whether a text says that its actions happen at the same time."""
    return bool(
        re.search(r"\b(?:while|whilst|whereas|meanwhile|simultaneously|same time|as (?!if|though))\b", text.lower())
    )


def neutral(clause: Clause) -> str:
    """The clause without subject, sides, turning senses and named arms: compared in meaning, the same in the mirror."""
    text = clause.text
    if clause.named.sides or clause.named.single or clause.named.plural:
        text = _ARM_WORDS.sub(" ", _BOTH.sub(" ", text))
    return _SUBJECT.sub("", " ".join(_SIDE_WORDS.sub(" ", text).split()))


def says_action(clause: Clause) -> bool:
    """Whether a clause without a phrase says what is done, not only how, where or by which part."""
    if clause.phrases or clause.moved:
        return False
    words = _words(neutral(clause))
    idle = _IDLE | _NOUNS | (_MOVERS if {"it", "them"} & set(words) else frozenset())
    return not all(word in idle or word.endswith("ly") or word == "" for word in words)
