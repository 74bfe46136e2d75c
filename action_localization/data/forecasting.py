"""Annotations of long-term anticipation: Ego4D's LTA files and EPIC-KITCHENS-55's tables of actions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.kitchen import seconds
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, open_source, split_in_name, table
from laban.errors import LabanError
from laban.scores.source import Source

APART = 1e-3
"""Seconds that keep two actions in the order of the file."""


def read_ego4d_lta(source: Source, options: ReadOptions) -> Corpus:
    """`fho_lta_{train,val}.json`: `clips` are single actions, of which those of one `clip_uid` belong together.

    Their order is `action_idx`, which follows the moment of no return: where an action's start disagrees with it, it is
    moved up to its predecessor's. Labels are "VERB NOUN" by their full taxonomy names, synonyms in brackets included
    (without them names collide). Unannotated test files have no verbs: LabanError.
    """
    builder = Builder("ego4d-lta", source.path, options.classes)
    split = str(source.document.get("split", "")) or split_in_name(source, "train", "val", "test")
    clips: dict[str, list[tuple[int, int, Mapping[str, Any]]]] = {}
    for place, entry in enumerate(source.document["clips"]):
        if "verb" not in entry or "noun" not in entry:
            raise source.fail(f"clips[{place}] has no verb and noun (a test file?); accepted: train and val files")
        clips.setdefault(str(entry["clip_uid"]), []).append((int(entry["action_idx"]), place, entry))
    for name, actions in clips.items():
        builder.video(name, 0.0, split)
        latest = 0.0
        for _, place, entry in sorted(actions, key=lambda one: one[:2]):
            start, end = entry.get("action_clip_start_sec"), entry.get("action_clip_end_sec")
            if isinstance(start, (int, float)) and isinstance(end, (int, float)) and end > start >= 0:
                start = max(float(start), latest)
                latest, end = start + APART, max(float(end), start + APART)
            label = f"{_full(entry['verb'])} {_full(entry['noun'])}"
            builder.add(name, f"clips[{place}] ({name}, action {entry['action_idx']})", start, end, label)
    return builder.build(strict=options.strict)


def _full(name: object) -> str:
    """A taxonomy name without spaces: verb and noun of a label are parted by its only one."""
    return "_".join(str(name).split())


def lta_words(names: tuple[str, ...]) -> dict[str, str]:
    """Synonyms in the brackets of taxonomy names, and names without brackets: word -> the first name that has it."""
    found: dict[str, str] = {}
    for name in names:
        bare, _, inside = name.partition("_(")
        for word in (bare, *inside.rstrip(")").split(",")):
            if cleaned := word.strip("_ ").replace("_", " "):
                found.setdefault(cleaned, name)
    return found


def read_epic55(source: Source, options: ReadOptions) -> Corpus:
    """`EPIC_train_action_labels.csv` of EPIC-KITCHENS-55, by `options.task`; names from `EPIC_verb_classes.csv` and
    `EPIC_noun_classes.csv` beside it, without which the table's own words are taken."""
    needed = ("uid", "video_id", "start_timestamp", "stop_timestamp", "verb", "verb_class", "noun", "noun_class")
    names = epic55_words(source)
    builder = Builder(f"epic55-{options.task}", source.path, options.classes)
    for line, row in table(source, needed):
        builder.video(row["video_id"], 0.0, split_in_name(source, "train", "test"))
        try:
            start, end = seconds(row["start_timestamp"]), seconds(row["stop_timestamp"])
            verb, noun = (_named(names[what][0], row[f"{what}_class"], row[what], what) for what in ("verb", "noun"))
        except LabanError as error:
            builder.annotations += 1
            builder.note(f"line {line} ({row['uid']})", str(error))
            continue
        label = {"verb": verb, "noun": noun, "action": f"{verb} {noun}"}[options.task]
        builder.add(row["video_id"], f"line {line} ({row['uid']})", start, end, label)
    return builder.build(strict=options.strict)


def _named(names: tuple[str, ...], number: str, word: str, what: str) -> str:
    if not names:
        return word
    if not number.strip().isdecimal() or int(number) >= len(names):
        raise LabanError(f"{what} class is {number!r}; accepted: 0 to {len(names) - 1}")
    return names[int(number)]


def epic55_words(source: Source) -> dict[str, tuple[tuple[str, ...], dict[str, str]]]:
    """verb, noun -> (class names in order, the class of every word); empty where the class tables are not there."""
    found: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
    for what in ("verb", "noun"):
        there = beside(source.path, f"EPIC_{what}_classes.csv")
        keys: list[str] = []
        words: dict[str, str] = {}
        for _, row in table(open_source(there), (f"{what}_id", "class_key", f"{what}s")) if there else ():
            keys.append(row["class_key"])
            for word in re.findall(r"'([^']+)'", row[f"{what}s"]):
                words.setdefault(word, row["class_key"])
        found[what] = tuple(keys), words
    return found
