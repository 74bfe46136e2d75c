"""BABEL JSON (Punnakkal et al. 2021): per sequence, labels of the whole (`seq_ann`) and of intervals (`frame_ann`).

The extra release's plural keys `seq_anns` / `frame_anns` (several annotators) are read by their first annotator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from laban.errors import LabanError
from laban.scores.source import Source, number, words
from laban.timeline import Segment, Timeline

KEYS = ("seq_ann", "frame_ann", "seq_anns", "frame_anns")


def recognise(source: Source) -> bool:
    """Whether a JSON document's first entry is a BABEL sequence."""
    document = source.document
    first = next(iter(document.values()), None) if isinstance(document, dict) else None
    return isinstance(first, dict) and any(key in first for key in KEYS)


def read(source: Source) -> dict[str, Timeline]:
    """Timelines by sequence id: the intervals, or without any the labels of the whole sequence over its duration."""
    timelines = {}
    for name, sequence in source.document.items():
        try:
            timelines[name] = _timeline(sequence)
        except LabanError as error:
            raise source.fail(f"{name}: {error}") from None
    return timelines


def _timeline(sequence: object) -> Timeline:
    if not isinstance(sequence, dict):
        raise LabanError(f"is {type(sequence).__name__}; accepted: an object with {' or '.join(KEYS[:2])}")
    empty = Timeline((), number(sequence.get("dur", 0.0), "dur"))
    labels = _labels(sequence, "frame_ann")
    if labels:
        segments = [
            _segment(label, label.get("start_t"), label.get("end_t"), f"frame_ann.labels[{position}]")
            for position, label in enumerate(labels)
        ]
    else:
        whole = empty.duration
        segments = [
            _segment(label, 0.0, whole, f"seq_ann.labels[{position}]")
            for position, label in enumerate(_labels(sequence, "seq_ann"))
        ]
    return Timeline(tuple(segments), empty.duration)


def _labels(sequence: dict[str, Any], key: str) -> list[dict[str, Any]]:
    several = sequence.get(f"{key}s")
    annotation = sequence.get(key) or (several[0] if several and isinstance(several, list) else several)
    if annotation is None or annotation == []:
        return []
    labels = annotation.get("labels", []) if isinstance(annotation, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise LabanError(f"{key} is not an object with a list 'labels' of objects")
    return labels


def _segment(label: dict[str, Any], start: object, end: object, place: str) -> Segment:
    text = label.get("proc_label") or label.get("raw_label")
    try:
        return Segment(number(start, "start"), number(end, "end"), words(text, "label"))
    except LabanError as error:
        raise LabanError(f"{place}: {error}") from None


def write(timelines: Mapping[str, Timeline]) -> str:
    """The JSON: labels and times, as `frame_ann`."""
    document = {
        name: {
            "babel_sid": name,
            "feat_p": name,
            "dur": timeline.duration,
            "seq_ann": {"mul_act": len(timeline.labels()) > 1, "labels": []},
            "frame_ann": {"labels": [_label(segment) for segment in timeline.segments]},
        }
        for name, timeline in timelines.items()
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _label(segment: Segment) -> dict[str, Any]:
    return {
        "raw_label": segment.label,
        "proc_label": segment.label,
        "act_cat": None,
        "start_t": segment.start,
        "end_t": segment.end,
    }
