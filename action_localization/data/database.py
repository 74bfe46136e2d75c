"""The ActivityNet layout and its relatives: one JSON object per video with `annotations`.

`{"database": {id: {subset, duration, annotations: [{label, segment}]}}}` is ActivityNet, HACS, FineAction, MUSES, GTEA,
BEOID, EGTEA (HAT), THUMOS14 (ActionFormer, OAT) and what to write for one's own videos; the objects may also stand
alone. BMN's ActivityNet (`duration_second`, subsets in `video_info_new.csv` beside it) and Ego4D clips (`start_time`,
`end_time`) differ in key names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, open_source, table
from laban.errors import LabanError
from laban.scores.source import Source

YOUTUBE_ID = 11


def recognise(document: object) -> bool:
    """Whether a JSON document has one of these layouts."""
    entries = videos_of(document).values()
    return any(isinstance(entry, dict) and isinstance(entry.get("annotations"), list) for entry in entries)


def videos_of(document: object) -> Mapping[str, Any]:
    """The objects by video id, wherever they stand."""
    if not isinstance(document, dict):
        return {}
    database = document.get("database", document)
    return database if isinstance(database, dict) else {}


def read(source: Source, options: ReadOptions) -> Corpus:
    """Every video, its split from `subset`, or from fold `options.fold` of `subset_by_split`, or from BMN's table."""
    document = source.document
    subsets = _subsets(source, options) | _fold(source, options)
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes)
    numbered: dict[str, int] = {}
    for key, entry in videos_of(document).items():
        if not isinstance(entry, dict):
            builder.note(key, f"is {type(entry).__name__}; accepted: an object with 'annotations'")
            continue
        name = video_id(key)
        duration = next((entry[k] for k in ("duration", "duration_second") if k in entry), 0.0)
        if "parent_start_sec" in entry and "parent_end_sec" in entry:
            duration = _length(entry)
        builder.video(name, duration, subsets.get(key, entry.get("subset", "")), entry.get("fps"))
        annotations = entry.get("annotations", [])
        if not isinstance(annotations, list):
            builder.note(key, f"annotations is {type(annotations).__name__}; accepted: a list")
            continue
        for place, annotation in enumerate(annotations):
            _add(builder, name, f"{key}.annotations[{place}]", annotation, numbered)
    return builder.build(_in_order(builder, numbered, options), strict=options.strict)


def video_id(key: str) -> str:
    """An ActivityNet id without the `v_` that some files put before it; any other id as it is."""
    return key[2:] if key.startswith("v_") and len(key) == 2 + YOUTUBE_ID else key


def _add(builder: Builder, name: str, item: str, annotation: object, numbered: dict[str, int]) -> None:
    if not isinstance(annotation, dict):
        builder.annotations += 1
        builder.note(item, f"is {type(annotation).__name__}; accepted: an object with 'segment' and 'label'")
        return
    span = annotation.get("segment", [annotation.get("start_time"), annotation.get("end_time")])
    if not isinstance(span, list) or len(span) != 2:
        builder.annotations += 1
        builder.note(item, f"segment is {span!r}; accepted: [start, end] in seconds")
        return
    label = annotation.get("label")
    builder.add(name, item, span[0], span[1], label)
    index = annotation.get("label_id", annotation.get("labelIndex"))
    if isinstance(index, int) and isinstance(label, str):
        numbered[" ".join(label.split())] = index


def _in_order(builder: Builder, numbered: Mapping[str, int], options: ReadOptions) -> list[str] | None:
    """Class names by the numbers that the file gives them, if it numbers each."""
    if options.classes is not None or set(numbered) != set(builder.labels):
        return None
    return sorted(numbered, key=lambda label: numbered[label])


def _length(entry: Mapping[str, Any]) -> object:
    start, end = entry["parent_start_sec"], entry["parent_end_sec"]
    return end - start if isinstance(start, (int, float)) and isinstance(end, (int, float)) else 0.0


def _fold(source: Source, options: ReadOptions) -> dict[str, str]:
    folds = source.document.get("subset_by_split") if isinstance(source.document, dict) else None
    if not isinstance(folds, dict):
        return {}
    if str(options.fold) not in folds:
        raise LabanError(f"{source.path}: has no fold {options.fold}; accepted: {', '.join(folds)}")
    return {str(key): str(value) for key, value in folds[str(options.fold)].items()}


def _subsets(source: Source, options: ReadOptions) -> dict[str, str]:
    entry = next(iter(videos_of(source.document).values()), None)
    found = beside(source.path, "video_info_new.csv")
    if not isinstance(entry, dict) or "duration_second" not in entry or found is None:
        return {}
    return {row["video"]: row["subset"] for _, row in table(open_source(found), ("video", "subset"))}
