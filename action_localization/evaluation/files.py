"""Detections as submitted: ActivityNet JSON, the THUMOS14 kit's text, EPIC-KITCHENS JSON, and our own tables.

They become `Instances`, which keep intervals of no length and the order of the file, on which ties depend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from action_localization.data.source import kind, open_source
from action_localization.data.thumos import CLASS_NUMBERS, class_named
from action_localization.evaluation.epic import NOUNS, TASKS, Task
from action_localization.evaluation.instances import Instances, Row
from laban.errors import LabanError
from laban.scores import table
from laban.scores.source import Source, number, whole_number, words

UNLABELLED = "proposal"
"""The label of all entries of a file that names none."""


def read_detections(path: str | Path) -> Instances:
    """Detections of a file, also gzipped: `.json` (ActivityNet `results`), `.txt` (THUMOS14 kit), `.csv`, `.tsv`.

    The JSON may be one of proposals, which have no label: all of them are then of the class `UNLABELLED`.
    """
    source = open_source(path)
    if kind(path) == ".json":
        return _columns(source, list(_results(source)), _videos(source))
    if kind(path) == ".txt":
        return _columns(source, list(_kit(source)))
    if kind(path) in (".csv", ".tsv"):
        return Instances.from_timelines(table.read(source))
    raise LabanError(f"{path}: unknown suffix of detections; accepted: .json, .txt, .csv, .tsv, also with .gz")


def read_epic_detections(path: str | Path) -> dict[Task, Instances]:
    """An EPIC-KITCHENS-100 submission (`verb`, `noun`, `action` as "verb,noun", `score`, `segment`), for each task."""
    source = open_source(path)
    rows: dict[Task, list[Row]] = {task: [] for task in TASKS}
    for video, place, entry in _entries(source):
        try:
            start, end = _span(entry)
            score = number(entry.get("score"), "score")
            verb, noun = (whole_number(entry.get(key), key) for key in ("verb", "noun"))
            pair = [whole_number(part.strip(), "action") for part in words(entry.get("action"), "action").split(",")]
            if len(pair) != 2:
                raise LabanError(f"action is {entry['action']!r}; accepted: 'verb,noun'")
        except LabanError as error:
            raise source.fail(f"{place}: {error}") from None
        for task, label in zip(TASKS, (verb, noun, pair[0] * NOUNS + pair[1]), strict=True):
            rows[task].append((video, str(label), start, end, score))
    return {task: _columns(source, found, _videos(source)) for task, found in rows.items()}


def read_frame_labels(folder: str | Path) -> dict[str, list[str]]:
    """The label of each frame of every video: `VIDEO.txt` with a label a line, or the file of MS-TCN, which has all of
    them on the line after a heading that begins with `###`."""
    folder = Path(folder)
    paths = (
        sorted(path for path in folder.iterdir() if path.suffix in ("", ".txt") and path.is_file())
        if folder.is_dir()
        else []
    )
    found = {}
    for path in paths:
        lines = [line.strip() for line in open_source(path).lines() if line.strip()]
        if lines and lines[0].startswith("###"):
            lines = [label for line in lines[1:] for label in line.split()]
        found[path.stem] = lines
    if not found:
        raise LabanError(f"{folder}: holds no frame labels; accepted: a folder of VIDEO.txt with a label a line")
    return found


def _columns(source: Source, rows: list[Row], videos: Iterable[str] = ()) -> Instances:
    try:
        return Instances.from_rows(rows, videos)
    except LabanError as error:
        raise source.fail(str(error)) from None


def _results(source: Source) -> Iterator[Row]:
    without = not any("label" in entry for _, _, entry in _entries(source))
    for video, place, entry in _entries(source):
        try:
            start, end = _span(entry)
            label = UNLABELLED if without else " ".join(words(entry.get("label"), "label").split())
            yield video, label, start, end, number(entry.get("score"), "score")
        except LabanError as error:
            raise source.fail(f"{place}: {error}") from None


def _videos(source: Source) -> Mapping[str, Any]:
    document = source.document
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise source.fail("has no 'results'; accepted: {\"results\": {video: [{segment, label, score}]}}")
    return results


def _entries(source: Source) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for video, entries in _videos(source).items():
        if not isinstance(entries, list):
            raise source.fail(f"results.{video}: is {type(entries).__name__}; accepted: a list")
        for index, entry in enumerate(entries):
            place = f"results.{video}[{index}]"
            if not isinstance(entry, dict):
                raise source.fail(f"{place}: is {type(entry).__name__}; accepted: an object")
            yield video, place, entry


def _span(entry: Mapping[str, Any]) -> tuple[float, float]:
    span = entry.get("segment")
    if not isinstance(span, list) or len(span) != 2:
        raise LabanError(f"segment is {span!r}; accepted: [start, end] in seconds")
    start, end = number(span[0], "start"), number(span[1], "end")
    if not start <= end:
        raise LabanError(f"segment is {span!r}: the end is before the start")
    return start, end


def _kit(source: Source) -> Iterator[Row]:
    """Lines of `video start end class-number score`; `.mp4` after the video is left out."""
    for line, text in enumerate(source.lines(), 1):
        parts = text.split()
        if not parts:
            continue
        with source.at(line):
            if len(parts) != 5:
                raise LabanError(f"found {len(parts)} words; accepted: video, start, end, class number, score")
            label = class_named(whole_number(parts[3], "class"))
            if label is None:
                raise LabanError(f"class is {parts[3]}; accepted: {', '.join(map(str, CLASS_NUMBERS.values()))}")
            start, end = number(parts[1], "start"), number(parts[2], "end")
            yield parts[0].replace(".mp4", ""), label, start, end, number(parts[4], "score")
