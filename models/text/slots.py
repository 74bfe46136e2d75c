"""What a sentence says outright about direction, side, turn, count and speed: the words that sentence vectors hide."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from models.text.captions import side_words

_GO = r"(?:walk|step|move|run|jog|jump|hop|lean|go|dodge|skip|dance|slide|shuffle|hurr|leap|back|roll|crawl|stumble)\w*"
_PATTERNS: dict[str, dict[str, re.Pattern[str]]] = {
    kind: {value: re.compile(rf"\b(?:{pattern})\b") for value, pattern in table.items()}
    for kind, table in {
        "direction": {
            "forward": r"forwards?|ahead|onwards?",
            "backward": rf"backwards?|in reverse|rearwards?|(?:steps?|stepp\w+|back\w*) away|backs? up|"
            rf"{_GO} back(?! and)",
            "sideways": r"sideways|sidesteps?|laterally|to (?:the|his|her|their) side|side steps?",
            "up": r"upwards?",
            "down": r"downwards?",
            "around": r"in (?:a|an|the) (?:\w+ )?circles?|in circles",
        },
        "turn": {
            "counterclockwise": r"(?:counter|anti)[- ]?clockwise",
            "clockwise": r"(?<!counter )(?<!counter-)(?<!anti-)(?<!anti )clockwise",
        },
        "speed": {
            "slow": r"slow(?:ly|er)?|leisurely|unhurriedly|at a slow pace|at low speed|gradually",
            "fast": r"fast(?:er)?|quick(?:ly|er)?|rapid(?:ly)?|swift(?:ly)?|speedily|brisk(?:ly)?|hastily|"
            r"(?:at )?(?:full|high|top) speed",
        },
    }.items()
}
_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_COUNT = re.compile(
    r"\b(?:(?P<adverb>once|twice|thrice)|(?P<number>\d{1,3}|" + "|".join(_NUMBERS) + r")[ -](?:\w+ )?"
    r"(?:time|step|jump|hop|punch(?:e|es)?|kick|clap|squat|wave|turn|circle|repetition|rep|lap|stride|pace|"
    r"push-up|pushup|jumping jack)s?)\b"
)
_BOTH = re.compile(r"\b(?:both|two) (?:hands|arms|feet|legs|fists|palms|knees|elbows)\b")


@dataclass(frozen=True)
class Slots:
    """Values found in a sentence; empty tuples and None where it says nothing."""

    direction: tuple[str, ...] = ()
    side: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    count: int | None = None
    speed: tuple[str, ...] = ()

    def said(self) -> dict[str, tuple[str, ...] | int]:
        """Only what the sentence says."""
        return {name: value for name, value in asdict(self).items() if value}


def parse_slots(text: str) -> Slots:
    """Direction, side, turning sense, count and speed words of a sentence (English; rules, no model)."""
    text = text.lower()
    found = {
        kind: tuple(value for value, pattern in table.items() if pattern.search(text))
        for kind, table in _PATTERNS.items()
    }
    sides = side_words(text) + (("both",) if _BOTH.search(text) else ())
    return Slots(found["direction"], sides, found["turn"], _count(text), found["speed"])


def _count(text: str) -> int | None:
    match = _COUNT.search(text)
    if match is None:
        return None
    if adverb := match["adverb"]:
        return {"once": 1, "twice": 2, "thrice": 3}[adverb]
    return _NUMBERS.get(match["number"]) or int(match["number"])
