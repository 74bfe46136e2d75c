"""ActivityNet JSON: ground truth (`database`) and detections (`results`), both by video id.

Body parts, actor, track and gentime (when an online detector said so), which the form does not know, are kept as
further keys where they are not the default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from laban.errors import LabanError
from laban.scores.source import Source, number, whole_number, words
from laban.timeline import Segment, Timeline

Json = dict[str, Any]
EXTRA: Json = {"parts": [], "actor": 0, "track": 0, "gentime": None}


def read(source: Source) -> dict[str, Timeline]:
    """Timelines by video id; a results file has no durations, so they end with their last segment."""
    document = source.document
    found = f"a list of {len(document)}" if isinstance(document, list) else type(document).__name__
    if isinstance(document, dict):
        for key, read_entry in (("database", _database_entry), ("results", _results_entry)):
            if isinstance(document.get(key), dict):
                return {name: read_entry(source, f"{key}.{name}", entry) for name, entry in document[key].items()}
        found = f"keys {', '.join(list(document)[:5]) or '(none)'}"
    raise source.fail(
        f"found {found}; accepted: an object with 'database' or 'results' (ActivityNet), or BABEL sequences"
    )


def _database_entry(source: Source, place: str, entry: object) -> Timeline:
    if not isinstance(entry, dict):
        raise source.fail(f"{place}: is {type(entry).__name__}; accepted: an object with 'annotations'")
    segments = _segments(source, f"{place}.annotations", entry.get("annotations", []))
    try:
        return Timeline(segments, number(entry.get("duration", 0.0), "duration"))
    except LabanError as error:
        raise source.fail(f"{place}: {error}") from None


def _results_entry(source: Source, place: str, entry: object) -> Timeline:
    return Timeline(_segments(source, place, entry))


def _segments(source: Source, place: str, annotations: object) -> tuple[Segment, ...]:
    if not isinstance(annotations, list):
        raise source.fail(f"{place}: is {type(annotations).__name__}; accepted: a list")
    segments = []
    for position, annotation in enumerate(annotations):
        try:
            segments.append(_segment(annotation))
        except LabanError as error:
            raise source.fail(f"{place}[{position}]: {error}") from None
    return tuple(segments)


def _segment(annotation: object) -> Segment:
    if not isinstance(annotation, dict):
        raise LabanError(f"is {type(annotation).__name__}; accepted: an object with 'segment' and 'label'")
    missing = [key for key in ("segment", "label") if key not in annotation]
    if missing:
        raise LabanError(f"has no {' and no '.join(map(repr, missing))}")
    span = annotation["segment"]
    if not isinstance(span, list) or len(span) != 2:
        raise LabanError(f"segment is {span!r}; accepted: [start, end] in seconds")
    parts = annotation.get("parts", [])
    if not isinstance(parts, list):
        raise LabanError(f"parts is {parts!r}; accepted: a list of body parts")
    return Segment(
        number(span[0], "start"),
        number(span[1], "end"),
        words(annotation["label"], "label"),
        tuple(words(part, "body part") for part in parts),
        actor=whole_number(annotation.get("actor", 0), "actor"),
        track=whole_number(annotation.get("track", 0), "track"),
        score=number(annotation.get("score", 1.0), "score"),
        gentime=None if annotation.get("gentime") is None else number(annotation["gentime"], "gentime"),
    )


def write_database(timelines: Mapping[str, Timeline]) -> str:
    """Ground truth: `database`, with durations; a score other than 1 is kept."""
    database = {
        name: {"duration": timeline.duration, "annotations": [_annotation(s, 1.0) for s in timeline.segments]}
        for name, timeline in timelines.items()
    }
    return _dump({"version": "laban 1", "database": database})


def write_results(timelines: Mapping[str, Timeline]) -> str:
    """Detections: `results`, each with its score."""
    results = {name: [_annotation(s, None) for s in timeline.segments] for name, timeline in timelines.items()}
    return _dump({"version": "laban 1", "results": results, "external_data": {}})


def _annotation(segment: Segment, usual_score: float | None) -> Json:
    annotation: Json = {"segment": [segment.start, segment.end], "label": segment.label}
    if segment.score != usual_score:
        annotation["score"] = segment.score
    extra: Json = {"parts": list(segment.parts), "actor": segment.actor, "track": segment.track,
                   "gentime": segment.gentime}  # fmt: skip
    return annotation | {key: value for key, value in extra.items() if value != EXTRA[key]}


def _dump(document: Json) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
