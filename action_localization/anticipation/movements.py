"""Labelled stretches of motion clips as sequences, in the words of the embedded detector: what people do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from action_localization.anticipation.sequences import ActionSequence, SequenceSet, encode
from action_localization.anticipation.vocabulary import Vocabulary
from action_localization.data.source import open_source
from action_localization.pose.classes import IDLE, class_of_motion, names
from laban.errors import LabanError
from laban.timeline import Segment, Timeline

SCRIPTED = ("kinect",)
"""Sources whose clips all follow one script of actions: their order says nothing about people."""


def is_motion_set(path: Path) -> bool:
    """Whether a file is the index of a motion set (`models/data/mocap.py`)."""
    return path.name == "index.json"


def read_movements(path: Path) -> SequenceSet:
    """The clips of a motion set's index with at least two labelled stretches, in the detector's class names where a
    label belongs to one, without standing about and transitions. The vocabulary has every class of the detector."""
    source = open_source(path)
    if not isinstance(source.document, list):
        raise source.fail("is no index of a motion set; accepted: a list of records with 'segments'")
    kept = [(record, found) for record in source.document if (found := _timeline(record)) is not None]
    if not kept:
        raise LabanError(f"{path}: no clip has two labelled stretches")
    labels = [segment.label for _, timeline in kept for segment in timeline.segments]
    # Actions of the body have neither verb nor noun of their own that would come back: each is its own noun.
    known = tuple(dict.fromkeys([*names(), *labels]))
    vocabulary = Vocabulary(known, tuple((name, name) for name in known))
    sequences = tuple(
        ActionSequence(str(record["id"]), timeline, encode(timeline, vocabulary), split=str(record["split"]))
        for record, timeline in kept
    )
    return SequenceSet("movements", vocabulary, sequences)


def _timeline(record: dict[str, Any]) -> Timeline | None:
    if record.get("source") in SCRIPTED:
        return None
    segments = [Segment(s["start"], s["end"], class_of_motion(s["label"]) or s["label"])
                for s in record.get("segments") or [] if s["end"] > s["start"] >= 0]  # fmt: skip
    acting = tuple(s for s in segments if s.label not in (*IDLE, "transition"))
    return Timeline(acting) if len(acting) > 1 else None
