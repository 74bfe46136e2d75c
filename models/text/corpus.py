"""The sentences that the text student is distilled on: training captions, templates, and sentences that cover words.

Nothing from a validation or test split is read, and the sentences kept for measurement are taken out by exact text.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from models.text.captions import action_captions, captions_for, clean
from models.text.phrases import PHRASES, SCENES
from models.text.wordnet import synsets

MAX_WORDS = 20
VIDEO_CAPTIONS = 18_000
DEFINED = (("verb", (), 24_000), ("noun", ("04", "06", "18"), 14_000))
"""Parts of WordNet (part of speech, lexicographer files or all) and the most sentences taken from each."""
WORD_FRAMES: dict[str, tuple[str, ...]] = {
    "ing": ("a person is {w}", "someone is {w} around the room", "the man keeps {w} it", "{w} on the floor"),
    "ly": ("a person walks {w}", "she moves {w}", "he {w} waves a hand", "someone {w} sits down"),
    "ed": ("a man {w} the ball", "someone {w}", "she {w} across the room", "the person looks {w}"),
    "s": (
        "a person {w}",
        "he {w} across the room",
        "the woman {w} something",
        "there are {w} on the table",
        "someone {w}",
    ),
    "": (
        "a person holds a {w}",
        "the {w} walks",
        "a {w} is running",
        "he picks up the {w}",
        "a {w} person jumps",
        "she begins to {w}",
        "a man with a {w}",
        "in the {w}",
        "{w}",
    ),
}
_ACTORS = (
    "a person",
    "someone",
    "the man",
    "a woman",
    "he",
    "a boy",
    "the girl",
    "a dancer",
    "an athlete",
    "the figure",
)
_MOVES = (
    "walks",
    "runs",
    "steps",
    "jogs",
    "jumps",
    "hops",
    "crawls",
    "rolls",
    "slides",
    "moves",
    "leans",
    "skips",
    "paces",
)
_LIMBS = ("hand", "arm", "leg", "foot", "knee", "fist", "elbow")
_LIMB_VERBS = ("raises", "lifts", "waves", "lowers", "swings", "stretches", "moves", "shakes", "bends")
_DOINGS = (
    "jumps",
    "claps",
    "kicks",
    "punches",
    "waves",
    "spins",
    "squats",
    "bows",
    "nods",
    "hops",
    "knocks",
    "turns around",
)
_DIRECTIONS = (
    "forward",
    "forwards",
    "ahead",
    "straight ahead",
    "backward",
    "backwards",
    "in reverse",
    "sideways",
    "to the side",
)
_SIDED = ("to the left", "to the right", "to his left", "to her right", "leftwards", "rightwards")
_COUNTS = (
    "once",
    "one time",
    "twice",
    "two times",
    "2 times",
    "three times",
    "thrice",
    "3 times",
    "four times",
    "4 times",
)
_SPEEDS = (
    "slowly",
    "at a slow pace",
    "gradually",
    "quickly",
    "fast",
    "rapidly",
    "very fast",
    "at full speed",
    "swiftly",
)
_NUMBERS = ("one", "two", "three", "four", "2", "3")
_TURNS = ("clockwise", "counterclockwise", "anticlockwise", "counter-clockwise")


def corpus(
    annotations: Path, mocap: Path, words: Path, dictionary: Path, *, held_out: Iterable[str] = (), seed: int = 0
) -> list[str]:
    """Distinct sentences in a fixed order, less the held-out ones; sources that are not there are left out."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    video = [text for text in activitynet(annotations) if len(text.split()) <= MAX_WORDS]
    video = rng.sample(video, min(VIDEO_CAPTIONS, len(video)))
    sources = (video, kit(mocap), crosstask(annotations), motion(mocap), templates())
    for source in (*sources, slot_sentences(rng, 8_000), word_sentences(words, rng), definitions(dictionary, rng)):
        found.update((clean(text), None) for text in source if 0 < len(text.split()) <= MAX_WORDS)
    for text in held_out:
        found.pop(clean(text), None)
    return list(found)


def _json(path: Path) -> Any:
    if not path.is_file():
        return {}
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    return json.loads(path.read_text(encoding="utf-8"))


def activitynet(annotations: Path) -> Iterator[str]:
    """ActivityNet Captions, training part (MIT)."""
    for video in _json(annotations / "activitynet" / "captions_train.json.gz").values():
        yield from video["sentences"]


def kit(mocap: Path) -> Iterator[str]:
    """KIT Motion-Language captions."""
    for clip in _json(mocap / "annotations" / "kitml_captions.json.gz").values():
        yield from (text for text, *_ in clip["texts"])


def crosstask(annotations: Path) -> Iterator[str]:
    """CrossTask task and step names (BSD-3-Clause)."""
    for task in _json(annotations / "procedure" / "crosstask_cls_step.json").values():
        yield task["task_name"]
        yield from task["step_name"].values()


def motion(mocap: Path) -> Iterator[str]:
    """Label sentences and templates of the motion set's training records.

    Their human captions are left out: they come from the test part of HumanML3D.
    """
    for record in _json(mocap / "index.json") or ():
        if record["split"] == "train":
            yield from captions_for({**record, "captions": []}, count=6)


def templates() -> Iterator[str]:
    """Plain sentences for every known action, with several subjects."""
    for action in PHRASES:
        for texts in action_captions(action).values():
            for text in texts:
                yield text
                yield text.replace("a person", "someone", 1)
                yield text.replace("a person", "the man", 1)
    for scenes in SCENES.values():
        yield from scenes


def plain_words(path: Path) -> list[str]:
    """The lower-case words of three letters and more of a word list; none when there is no such file."""
    words = path.read_text(encoding="utf-8").split() if path.is_file() else []
    return [word for word in words if word.isascii() and word.isalpha() and word.islower() and len(word) > 2]


def word_sentences(path: Path, rng: random.Random) -> Iterator[str]:
    """One sentence around each lower-case word of a word list, framed by the word's ending."""
    for word in plain_words(path):
        ending = next(end for end in WORD_FRAMES if word.endswith(end) and not word.endswith("ss") or not end)
        yield rng.choice(WORD_FRAMES[ending]).format(w=word)


def definitions(folder: Path, rng: random.Random) -> Iterator[str]:
    """What WordNet says of verbs, and of some of the nouns for acts, things and people: definitions, examples."""
    for name, kinds, most in DEFINED:
        found = []
        for _, synset in synsets(folder / f"data.{name}"):
            if kinds and synset.kind not in kinds:
                continue
            lemma, gloss = synset.words[0], synset.gloss
            meaning = re.sub(r"\(.*?\)|\".*", "", gloss).split(";")[0].strip()
            found.append(f"to {lemma} is to {meaning}" if name == "verb" else f"a {lemma} is {meaning}")
            found += re.findall(r"\"([^\"]+)\"", gloss)
        yield from rng.sample(found, min(most, len(found)))


def slot_sentences(rng: random.Random, count: int) -> Iterator[str]:
    """Sentences that differ in direction, side, turning sense, count and speed alone."""
    for _ in range(count // 4):
        actor, move, doing = rng.choice(_ACTORS), rng.choice(_MOVES), rng.choice(_DOINGS)
        limb, verb = rng.choice(_LIMBS), rng.choice(_LIMB_VERBS)
        yield f"{actor} {move} {rng.choice(_DIRECTIONS + _SIDED)}" + rng.choice(("", f" {rng.choice(_SPEEDS)}"))
        yield f"{actor} {verb} the {rng.choice(('left', 'right'))} {limb}" + rng.choice(("", f" {rng.choice(_COUNTS)}"))
        yield f"{actor} {doing} {rng.choice(_COUNTS + _SPEEDS)}"
        yield rng.choice(
            (
                f"{actor} {verb} both {limb}s".replace("foots", "feet"),
                f"{actor} {move} in a circle {rng.choice(_TURNS)}",
                f"{actor} turns {rng.choice(_TURNS + ('left', 'right'))}",
                f"{actor} takes {rng.choice(_NUMBERS)} steps {rng.choice(_DIRECTIONS)}",
            )
        )
