"""`read_corpus`: annotations of any known layout, told apart by what is in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from action_localization.data import (
    charades,
    database,
    events,
    forecasting,
    frames,
    kitchen,
    procedure,
    sentences,
    thumos,
)
from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import kind, open_source
from laban.errors import LabanError
from laban.scores import READERS, table
from laban.scores.source import Source

Reader = Callable[[Source, ReadOptions], Corpus]
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".txt")

TABLES: dict[str, Reader] = {
    "video,type,type_idx,": thumos.read_table,
    "video-name,t-init,": thumos.read_table,
    "narration_id,": kitchen.read_epic,
    "uid,participant_id,video_id,": forecasting.read_epic55,
    "id,subject,": charades.read,
    "filename\t": events.read_avvp,
}
"""Readers of tables by the beginning of the header line."""


def read_corpus(path: str | Path, options: ReadOptions | None = None) -> Corpus:
    """The annotated videos of a file, plain or gzipped, or of a folder in MS-TCN's or the THUMOS14 kit's layout.

    Files beside it that belong to it are used: class lists, video tables, step names (each reader says which). Times
    are seconds. What is wrong with single items is listed in `problems`; LabanError if nothing is left or, with
    `options.strict`, if anything was left out, and for a file of no known layout.
    """
    path, options = Path(path), options or ReadOptions()
    if path.is_dir():
        return _folder(path, options)
    if kind(path) not in SUFFIXES:
        raise LabanError(f"{path}: unknown annotation suffix; accepted: {', '.join(SUFFIXES)}, also with .gz; folders")
    source = open_source(path)
    reader = {".json": _json, ".jsonl": lambda _: sentences.read_queries}.get(kind(path), _table)(source)
    try:
        return reader(source, options)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, LabanError):
            raise
        raise source.fail(f"does not keep to its layout ({type(error).__name__}: {error})") from error


def _folder(path: Path, options: ReadOptions) -> Corpus:
    if (path / "groundTruth").is_dir() and (path / "mapping.txt").is_file():
        return frames.read_folder(path, options)
    if any(path.glob("BaseballPitch_*.txt")):
        return thumos.read_kit_folder(path, options)
    raise LabanError(
        f"{path}: is a folder of no known layout; accepted: groundTruth/ with mapping.txt (MS-TCN), or CLASS_test.txt "
        "of the THUMOS14 kit; else name the annotation file"
    )


def _json(source: Source) -> Reader:
    """The reader of a JSON document, by its keys and those of its first video."""
    document = source.document
    if isinstance(document, list) and document and isinstance(document[0], dict) and "steps" in document[0]:
        return procedure.read_crosstask
    if not isinstance(document, dict) or not document:
        raise _unknown(source, document)
    if database.recognise(document) or document.get("database") == {}:
        return database.read
    if isinstance(document.get("clips"), list) and document["clips"] and "action_idx" in document["clips"][0]:
        return forecasting.read_ego4d_lta
    if isinstance(document.get("videos"), list):
        return kitchen.read_ego4d
    if isinstance(document.get("videos"), dict) and "action_ids" in document:
        return procedure.read_niv
    if isinstance(document.get("videos"), dict) and "fps" in document:
        return frames.read_runs
    if "annotator_1" in document:
        return events.read_points
    return _by_first(source, next(iter(document.values())))


def _by_first(source: Source, first: object) -> Reader:
    """The reader of a JSON object by video (or class), by its first value."""
    if isinstance(first, list) and first and isinstance(first[0], list) and len(first[0]) == 3:
        return thumos.read_kit
    if isinstance(first, dict):
        for key, reader in _BY_KEY.items():
            if key in first:
                return reader
        lists = next(iter(first.values()), None)
        if isinstance(lists, list) and lists and all(isinstance(frame, int) for frame in lists):
            return events.read_cycle_ends
    raise _unknown(source, source.document)


_BY_KEY: dict[str, Reader] = {
    "actions": thumos.read_dense,
    "timestamps": sentences.read_captions,
    "annotation": procedure.read_coin,
    "gt": frames.read_results,
}
"""Readers of JSON by a key of the first video."""


def _table(source: Source) -> Reader:
    """The reader of a table or of lines of text, by the first line."""
    line = source.lines()[0]
    for beginning, reader in TABLES.items():
        if line.startswith(beginning):
            return reader
    if "repetition_start" in line:
        return events.read_countix
    if "L1" in line.split(","):
        return events.read_repcount
    if "##" in line:
        return sentences.read_charades_sta
    if line.count("&") == 4:
        return events.read_ave
    cells = line.split(",")
    if len(cells) == kitchen.RULSTM_COLUMNS and all(cell.strip().isdecimal() for cell in cells[2:]):
        return kitchen.read_rulstm
    return _own


def _own(source: Source, options: ReadOptions) -> Corpus:
    """A timeline table of the user's own (see `laban.scores.table`)."""
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes)

    def bad(line: int, found: str) -> None:
        builder.annotations += 1
        builder.note(f"line {line}", found)

    own = table.read(source, bad) if kind(source.path) in (".csv", ".tsv") else READERS[".txt"](source)
    for name, timeline in own.items():
        builder.video(name, timeline.duration)
        for place, segment in enumerate(timeline.segments):
            builder.add(name, f"{name}[{place}]", segment.start, segment.end, segment.label)
    return builder.build(strict=options.strict)


def _unknown(source: Source, document: object) -> LabanError:
    if isinstance(document, dict) and "results" in document:
        return source.fail("holds detections ('results'), no annotation; `evaluation.files` reads them")
    keys = f"keys {', '.join(map(str, list(document)[:4])) or '(none)'}" if isinstance(document, dict) else "a list"
    return source.fail(
        f"found {keys}, no known layout of annotations; accepted: 'database' (ActivityNet and relatives), "
        "Ego4D moments, THUMOS14, MultiTHUMOS, Charades, frame labels, captions, steps"
    )
