"""THUMOS14 in G-TAD's tables and in the official kit; the dense `actions` layout (MultiTHUMOS, Charades, AVA)."""

from __future__ import annotations

from pathlib import Path

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, open_source, table
from action_localization.evaluation.protocols import AMBIGUOUS
from laban.scores.source import Source

CLASS_NUMBERS = {
    "BaseballPitch": 7, "BasketballDunk": 9, "Billiards": 12, "CleanAndJerk": 21, "CliffDiving": 22,
    "CricketBowling": 23, "CricketShot": 24, "Diving": 26, "FrisbeeCatch": 31, "GolfSwing": 33, "HammerThrow": 36,
    "HighJump": 40, "JavelinThrow": 45, "LongJump": 51, "PoleVault": 68, "Shotput": 79, "SoccerPenalty": 85,
    "TennisSwing": 92, "ThrowDiscus": 93, "VolleyballSpiking": 97,
}  # fmt: skip
"""The 20 detection classes and their numbers among the 101 of UCF101 (from 1)."""

CLASSES = tuple(CLASS_NUMBERS)
_NAMES = {number: name for name, number in CLASS_NUMBERS.items()}


def class_named(number: int) -> str | None:
    """The class of a UCF101 number, as the kit's result files have it; None for a number of no detection class."""
    return _NAMES.get(number)


def split_of(video: str) -> str:
    """THUMOS14 names its split in the video id: `video_test_0000004`."""
    parts = video.split("_")
    return parts[1] if len(parts) == 3 else ""


def read_table(source: Source, options: ReadOptions) -> Corpus:
    """G-TAD's csv: by class name, or with durations by place in `CLASSES` (from 0; `-1` is ambiguous)."""
    builder = Builder("thumos14", source.path, options.classes or CLASSES)
    named = "type" in source.lines()[0].split(",")
    needed = ("video", "type", "start", "end") if named else ("video-name", "t-init", "t-end", "label-idx")
    for line, row in table(source, needed):
        video = row[needed[0]]
        builder.video(video, row.get("video-duration", 0.0), split_of(video), row.get("frame-rate"))
        label = row["type"] if named else _label(row["label-idx"])
        start, end = (row["start"], row["end"]) if named else (row["t-init"], row["t-end"])
        builder.add(video, f"line {line}", start, end, label)
    return builder.build(strict=options.strict)


def _label(number: str) -> str:
    place = int(number) if number.lstrip("-").isdecimal() else len(CLASSES)
    if place < 0:
        return AMBIGUOUS
    return CLASSES[place] if place < len(CLASSES) else f"class {number}"


def read_kit(source: Source, options: ReadOptions) -> Corpus:
    """The kit's annotation in one JSON object: class (and "Ambiguous") to a list of [video, start, end]."""
    builder = Builder("thumos14", source.path, options.classes or CLASSES)
    for label, rows in source.document.items():
        for place, row in enumerate(rows if isinstance(rows, list) else [rows]):
            if not isinstance(row, list) or len(row) != 3:
                builder.annotations += 1
                builder.note(f"{label}[{place}]", f"is {row!r}; accepted: [video, start, end]")
                continue
            builder.video(str(row[0]), split=split_of(str(row[0])))
            builder.add(str(row[0]), f"{label}[{place}]", row[1], row[2], label)
    return builder.build(strict=options.strict)


def read_kit_folder(folder: Path, options: ReadOptions) -> Corpus:
    """The kit as it is published: a folder of `CLASS_test.txt` (or `_val`), each line `video start end`."""
    builder = Builder("thumos14", folder, options.classes or CLASSES)
    for path in sorted(folder.glob("*_[tv][ea]*.txt")):
        label = path.stem.rsplit("_", 1)[0]
        source = open_source(path)
        for line, text in enumerate(source.lines(), 1):
            if not text.strip():
                continue
            row = text.split()
            if len(row) != 3:
                raise source.fail(f"found {text!r}; accepted: video, start, end", line)
            builder.video(row[0], split=split_of(row[0]))
            builder.add(row[0], f"{path.name}:{line}", row[1], row[2], label)
    return builder.build(strict=options.strict)


def read_dense(source: Source, options: ReadOptions) -> Corpus:
    """`{video: {subset, duration, actions: [[class number, start, end]]}}`: MultiTHUMOS, Charades, AVA intervals.

    The files hold numbers only. Class names are `options.classes`, or known: for Charades from
    `Charades_v1_classes.txt` beside the file (numbers from 0), for MultiTHUMOS the first 20 (numbers from 1) are those
    of THUMOS14. Else a class is called "class N".
    """
    builder = Builder(source.path.name.split(".")[0], source.path)
    thumos = any(name.startswith("video_test_") for name in source.document)
    names, first = _class_names(source, options, thumos)
    highest = 0
    for video, entry in source.document.items():
        if not isinstance(entry, dict):
            builder.note(video, f"is {type(entry).__name__}; accepted: an object with 'actions'")
            continue
        builder.video(video, entry.get("duration", 0.0), entry.get("subset", ""))
        for place, action in enumerate(entry.get("actions", [])):
            item = f"{video}.actions[{place}]"
            if not isinstance(action, list) or len(action) != 3 or not isinstance(action[0], int):
                builder.annotations += 1
                builder.note(item, f"is {action!r}; accepted: [class number, start, end]")
                continue
            number = action[0] - first
            highest = max(highest, number)
            if options.classes is not None and not 0 <= number < len(names):
                builder.annotations += 1
                builder.note(item, f"class {action[0]} is unknown; accepted: {first} to {len(names) - 1 + first}")
                continue
            label = names[number] if 0 <= number < len(names) else f"class {action[0]}"
            builder.add(video, item, action[1], action[2], label)
    classes = [*names, *(f"class {number + first}" for number in range(len(names), highest + 1))]
    return builder.build(classes, strict=options.strict)


def _class_names(source: Source, options: ReadOptions, thumos: bool) -> tuple[list[str], int]:
    if options.classes is not None:
        return list(options.classes), 1 if thumos else 0
    if thumos:
        return list(CLASSES), 1
    found = beside(source.path, "Charades_v1_classes.txt")
    return (charades_classes(found), 0) if found and "charades" in source.path.name.lower() else ([], 0)


def charades_classes(path: Path) -> list[str]:
    """The class names of `Charades_v1_classes.txt`, whose lines are a code such as `c012` and a name."""
    source = open_source(path)
    names: list[str] = []
    for line, text in enumerate(source.lines(), 1):
        if not text.strip():
            continue
        code, _, name = text.strip().partition(" ")
        if code != f"c{len(names):03d}" or not name:
            raise source.fail(f"found {text!r}; accepted: c{len(names):03d} and a name", line)
        names.append(name)
    return names
