"""Captions for training: what people wrote, the record's own texts, and sentences made from `models.text.phrases`.

Direction, side, count and speed are said only where the record says them. Everything is deterministic given a seed.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.text.phrases import PHRASES, SCENES, STYLES

SUBJECTS = ("a person", "someone", "the person", "a man", "the man", "a woman", "the woman", "somebody", "he", "she")
NEUTRAL_SUBJECTS = ("a person", "someone", "the person", "somebody", "a human", "the figure")
FORMS = ("s", "s", "ing", "past", "gerund", "base")
STYLE_SHARE = 0.8
SCENE_SHARE = 0.4
"""Scenes that a record without a style gets, as a share of its other captions."""
IRREGULAR_PAST = {
    "be": "was",
    "bend": "bent",
    "bring": "brought",
    "break": "broke",
    "build": "built",
    "cast": "cast",
    "catch": "caught",
    "come": "came",
    "creep": "crept",
    "cut": "cut",
    "dig": "dug",
    "do": "did",
    "draw": "drew",
    "drive": "drove",
    "eat": "ate",
    "fall": "fell",
    "fight": "fought",
    "float": "floated",
    "fly": "flew",
    "get": "got",
    "give": "gave",
    "go": "went",
    "have": "had",
    "hit": "hit",
    "hold": "held",
    "keep": "kept",
    "kneel": "knelt",
    "lead": "led",
    "leap": "leapt",
    "let": "let",
    "lie": "lay",
    "lose": "lost",
    "make": "made",
    "put": "put",
    "rise": "rose",
    "run": "ran",
    "say": "said",
    "shake": "shook",
    "shoot": "shot",
    "sit": "sat",
    "sleep": "slept",
    "speak": "spoke",
    "spin": "spun",
    "spread": "spread",
    "stand": "stood",
    "strike": "struck",
    "swim": "swam",
    "swing": "swung",
    "take": "took",
    "throw": "threw",
    "thrust": "thrust",
    "tread": "trod",
    "wind": "wound",
}
_BARE_TEXT = re.compile(r"\bdoes an? .*\bmotion$")
_SHORT_VERB = re.compile(r"^[^aeiou]*[aeiou][bdgklmnprt]$|^control$")
_VERB = re.compile(r"\*([a-z]+)")


def inflect(verb: str, form: str) -> str:
    """`verb` (base form) in `form`: "s" (third person), "ing", "past" or "base"."""
    if form == "base":
        return verb
    if form == "past":
        return IRREGULAR_PAST.get(verb) or _regular_past(verb)
    if form == "s":
        return _third_person(verb)
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return (verb + verb[-1] if _SHORT_VERB.match(verb) else verb) + "ing"


def _third_person(verb: str) -> str:
    special = {"be": "is", "have": "has"}
    if verb in special:
        return special[verb]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return (verb + verb[-1] if _SHORT_VERB.match(verb) else verb) + "ed"


def inflect_phrase(phrase: str, form: str) -> str:
    """Inflect every `*verb` of a phrase; "gerund" and "ing" give the same words."""
    form = "ing" if form == "gerund" else form
    return _VERB.sub(lambda match: inflect(match[1], form), phrase)


def sentence(phrase: str, form: str, subject: str, style: str = "") -> str:
    """One caption from a phrase of the table: `form` is one of FORMS; nouns ("=…") stand as they are."""
    tail = f" {style}" if style else ""
    if phrase.startswith("="):
        return phrase[1:] + tail
    if form in ("gerund", "base"):
        return inflect_phrase(phrase, form) + tail
    if form == "ing" and not phrase.startswith("*be "):
        return f"{subject} is {inflect_phrase(phrase, 'ing')}{tail}"
    return f"{subject} {inflect_phrase(phrase, 'past' if form == 'past' else 's')}{tail}"


def _field(record: Any, name: str, default: Any = None) -> Any:
    value = record.get(name, default) if isinstance(record, Mapping) else getattr(record, name, default)
    return default if value is None else value


def human_captions(record: Any) -> list[str]:
    """Sentences that people wrote about the record (its `captions`, each a string or a mapping with `texts`)."""
    found: list[str] = []
    for caption in _field(record, "captions", ()):
        if isinstance(caption, str):
            found.append(caption)
        else:
            found.extend(_field(caption, "texts", ()))
    return _unique(clean(text) for text in found)


def own_texts(record: Any) -> list[str]:
    """The record's label sentences, less the bare "does a X motion" form, which says no more than the action."""
    return _unique(clean(text) for text in _field(record, "texts", ()) if not _BARE_TEXT.search(text))


def clean(text: str) -> str:
    """Lower case, single spaces, no final full stop."""
    return " ".join(text.lower().split()).rstrip(" .")


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for item in items if item))


def phrases_for(action: str, texts: Iterable[str] = ()) -> list[str]:
    """The table's phrases that hold for an action, given the words that the record's own texts contain."""
    joined = " ".join(texts).lower()
    words = set(re.findall(r"[a-z]+(?:-[a-z]+)*", joined)) | set(re.findall(r"[a-z]+", joined))
    table = PHRASES.get(action, {})
    chosen = [phrase for key, phrases in table.items() if set(key.split()) <= words for phrase in phrases]
    return _unique(chosen)


def captions_for(record: Any, *, seed: int = 0, count: int = 24) -> list[str]:
    """Distinct captions of a record: human ones first, its own texts, template sentences (`count` so far), then scenes.

    `record` is a mapping or an object with `id`, `action`, `texts` and, optionally, `style`, `captions`, `segments`.
    """
    rng = random.Random(f"{seed}:{_field(record, 'id', '')}")
    fixed = human_captions(record) + own_texts(record)
    templates = list(_template_captions(record, rng, 4 * count))
    plain = _unique(fixed + templates)[: max(count, len(fixed))] or [clean(_field(record, "action", ""))]
    scenes = SCENES.get(_field(record, "action", ""), ()) if _field(record, "style", "") in ("", "normal") else ()
    return _unique(plain + rng.sample(scenes, min(len(scenes), math.ceil(SCENE_SHARE * len(plain)))))


def _template_captions(record: Any, rng: random.Random, draws: int) -> Iterator[str]:
    action, texts = _field(record, "action", ""), _field(record, "texts", ())
    phrases, style = phrases_for(action, texts), _field(record, "style", "")
    if not phrases:
        yield from _sequence_captions(record, rng, min(draws, 8))
        return
    for phrase in rng.sample(phrases, len(phrases)):
        yield _draw_sentence(phrase, style, rng)
    for _ in range(draws - len(phrases)):
        yield _draw_sentence(rng.choice(phrases), style, rng)


def _draw_sentence(phrase: str, style: str, rng: random.Random) -> str:
    share = 0.15 if style == "normal" else STYLE_SHARE
    adverb = rng.choice(STYLES[style]) if style in STYLES and rng.random() < share else ""
    if phrase.startswith("=") and adverb.endswith("ly"):
        adverb = ""
    subjects = SUBJECTS if style not in STYLES or style == "normal" else NEUTRAL_SUBJECTS
    return sentence(phrase, rng.choice(FORMS), rng.choice(subjects), adverb)


def _sequence_captions(record: Any, rng: random.Random, draws: int) -> Iterator[str]:
    """Sentences such as "a person walks, then sits down" from timed segments whose labels are known actions."""
    segments = sorted(_field(record, "segments", ()), key=lambda item: _field(item, "start", 0.0))
    labels = [_field(item, "label", "") for item in segments]
    known = [label for label in labels if PHRASES.get(label, {}).get("")]
    known = [label for index, label in enumerate(known) if index == 0 or label != known[index - 1]]
    if not 2 <= len(known) <= 8 or len(known) < 0.7 * len(labels):
        return
    for _ in range(draws):
        verbs = [rng.choice([p for p in PHRASES[label][""] if not p.startswith("=")]) for label in known]
        form = rng.choice(("s", "past"))
        parts = [inflect_phrase(verb, form) for verb in verbs]
        joined = rng.choice((" and then ", ", then ", ", and then ")).join(parts)
        yield f"{rng.choice(SUBJECTS)} {joined}"


def action_captions(action: str) -> dict[str, list[str]]:
    """Plain sentences that stand for an action, by what they specify ("" = nothing more): "a person walks forward"."""
    table = PHRASES.get(action, {})
    plain = {key: [sentence(p, "s", "a person") for p in phrases if p[0] != "="] for key, phrases in table.items()}
    return plain or {"": [f"a person does {action}"]}


def every_template() -> Iterator[str]:
    """Every sentence part that templates and augmentation can produce: the closed vocabulary of training captions."""
    for table in PHRASES.values():
        for phrase in (phrase for phrases in table.values() for phrase in phrases):
            yield from (inflect_phrase(phrase.lstrip("="), form) for form in ("s", "ing", "past", "base"))
    for adverbs in STYLES.values():
        yield from adverbs
    yield from SUBJECTS + NEUTRAL_SUBJECTS
    for scenes in SCENES.values():
        yield from scenes
    yield from (f"{one} {other}" for one, other in SPELLINGS)
    yield "is and then"


# Mirroring -----------------------------------------------------------------------------------------------------------

_SWAPS = {
    "left": "right",
    "lefts": "rights",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "leftmost": "rightmost",
    "lefty": "righty",
    "leftie": "rightie",
    "lefties": "righties",
    "clockwise": "counterclockwise",
}
_SWAPS |= {other: one for one, other in _SWAPS.items()}
_SIDE = r"(?:left|right)"
_NOT_A_SIDE = re.compile(
    rf"\b(?:{_SIDE} (?:away|now|angles?|angled|side up|after|before|behind (?!hand|foot|arm|leg))"
    rf"|(?:all|just|that's|is|are|was|were|what's|nothing|anything|something|time|energy|one|has|have|had) {_SIDE}"
    rf"(?! (?:hand|arm|leg|foot|side|knee|elbow|shoulder|fist|hook|jab|cross|palm|ear|eye|hip|wrist|ankle|thigh))"
    rf"|(?:person|man|woman|he|she|they|who|it|someone|somebody) {_SIDE} (?:the|a|an|his|her|their|for|from|with))\b"
)
_WORD = re.compile(
    r"\b(?:(?:counter|anti)[- ]?clockwise|clockwise|(?:left|right)(?:s|wards?|most|y|ie|ies)?|lefties|righties)\b", re.I
)


def mirror_text(text: str) -> str:
    """`text` as said of the motion seen in a mirror: left and right, clockwise and counterclockwise change places.

    "left" and "right" that are not sides ("what is left", "right away", "she left the room") stay. Its own inverse up
    to the spelling of "counterclockwise".
    """
    kept = [match.span() for match in _NOT_A_SIDE.finditer(text.lower())]

    def swap(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in kept):
            return match[0]
        word = match[0].lower()
        other = "clockwise" if word.startswith(("counter", "anti")) else _SWAPS[word]
        return _like(match[0], other)

    return _WORD.sub(swap, text)


def only_sides(text: str) -> str:
    """Lower case, with other words for a "left" and "right" that are no sides: `mirror_text` swaps all that remain."""
    kept = {"left": "leaves", "right": "just"}
    return _NOT_A_SIDE.sub(lambda match: re.sub(rf"\b{_SIDE}\b", lambda word: kept[word[0]], match[0]), text.lower())


def side_words(text: str) -> tuple[str, ...]:
    """("left",), ("right",), both or neither: the sides that a sentence names ("what is left" names none)."""
    text = text.lower()
    kept = [match.span() for match in _NOT_A_SIDE.finditer(text)]
    words = [m[0] for m in _WORD.finditer(text) if not any(start <= m.start() < end for start, end in kept)]
    return tuple(side for side in ("left", "right") if any(word.startswith(side) for word in words))


def _like(pattern: str, word: str) -> str:
    if pattern.isupper():
        return word.upper()
    return word.capitalize() if pattern[0].isupper() else word


# Augmentation --------------------------------------------------------------------------------------------------------

SPELLINGS = (("forward", "forwards"), ("backward", "backwards"), ("someone", "somebody"), ("toward", "towards"))
_SUBJECT = re.compile(r"^(?:a person|someone|the person|somebody)\b")
_GENDERED = re.compile(r"\b(?:man|woman|masculine|feminine|his|her|he|she|himself|herself)\b")


def augment_caption(text: str, rng: random.Random) -> str:
    """Another wording of the same caption: subject and spelling vary, what is done and how does not."""
    result = clean(text)
    if _SUBJECT.match(result) and rng.random() < 0.6:
        subjects = NEUTRAL_SUBJECTS if _GENDERED.search(result) or " like a" in result else SUBJECTS
        result = _SUBJECT.sub(rng.choice(subjects), result, count=1)
    for one, other in SPELLINGS:
        if rng.random() < 0.3:
            source, target = rng.sample((one, other), 2)
            result = re.sub(rf"\b{source}\b", target, result)
    return f"{result}." if rng.random() < 0.15 else result
