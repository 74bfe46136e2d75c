"""Clips and whole takes of a built motion set as the detector's classes know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from action_localization.pose.classes import DISTRACTORS, IDLE, class_of_motion
from action_localization.pose.features import FPS
from action_localization.pose.streams import Clip, Pool, Stream, StreamConfig, make_stream
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.data.dataset import ClipRecord, MotionDataset
from models.motion_text.examples import SEQUENCE, read_joints

TRUST = {
    "hand_animated": 0.5,
    "reproportioned": 0.8,
    "in_place": 0.7,
    "mirrored_copy": 0.5,
    "spikes": 0.0,
    "short": 0.0,
}
"""How much clips with a flag count among those of their class, in training; measuring takes all alike."""

MEASURED = {"test": (2026, 60), "val": (2027, 40)}
"""Per split the seed of the streams that figures are measured on, and how many there are."""


def measured_streams(dataset: MotionDataset, split: str, *, quiet: bool = False) -> dict[str, Stream]:
    """The spliced streams of a split, all classes drawn alike: fixed by the dataset alone."""
    seed, count = MEASURED[split]
    pool = Pool(read_clips(dataset, split, quiet=quiet), StreamConfig(balance=0.0))
    return {f"{split}_{number:02d}": make_stream(pool, (seed, number)) for number in range(count)}


def read_clips(dataset: MotionDataset, split: str, *, trust: bool = False, quiet: bool = False) -> list[Clip]:
    """The labelled clips of a split, those of no class, and the marked parts of takes with several actions.

    With `trust`, rough and drawn clips weigh less, and a source with many clips of a class less for each of them.
    Takes of the test split are not cut up: they are measured whole. LabanError when nothing is left.
    """
    clips = []
    for record, joints in _records(dataset, split, quiet=quiet):
        if record.action == SEQUENCE:
            clips += _parts(record, joints) if split != "test" and "composite" not in record.flags else []
            continue
        label = class_of_motion(record.action)
        if label is not None or record.action in (*IDLE, *DISTRACTORS):
            weight = float(np.prod([TRUST.get(flag, 1.0) for flag in record.flags])) if trust else 1.0
            clips.append(Clip(record.id, joints, label, record.action in IDLE, weight=weight))
    if not clips:
        raise LabanError(f"{dataset.folder}: has no clip of a known action in split {split!r}")
    return _shared_out(clips, dataset) if trust else clips


def read_takes(dataset: MotionDataset, split: str, *, quiet: bool = False) -> dict[str, Stream]:
    """The captured takes in which several actions follow one another, whole, with those of our classes as truth."""
    takes = {}
    for record, joints in _records(dataset, split, quiet=quiet):
        marked = _marked(record)
        if record.action == SEQUENCE and "composite" not in record.flags and marked:
            truth = Timeline(tuple(marked), len(joints) / FPS)
            shape = joints.shape[:2]
            takes[record.id] = Stream(joints, np.ones(shape, np.float32), np.ones(shape[0], bool), truth)
    return takes


def _records(
    dataset: MotionDataset, split: str, *, quiet: bool
) -> Iterator[tuple[ClipRecord, Float32[ndarray, "frames 22 3"]]]:
    for record, joints in zip(dataset.records, read_joints(dataset, quiet=quiet), strict=True):
        if record.split == split:
            yield record, joints


def _marked(record: ClipRecord) -> list[Segment]:
    """The segments of our classes; neighbours of one class that touch are one."""
    found: list[Segment] = []
    for segment in sorted(record.segments, key=lambda one: one.start):
        label = class_of_motion(segment.label)
        if label is None:
            continue
        if found and found[-1].label == label and segment.start - found[-1].end < 0.05:
            found[-1] = Segment(found[-1].start, segment.end, label)
        else:
            found.append(Segment(segment.start, min(segment.end, record.seconds), label))
    return found


def _parts(record: ClipRecord, joints: Float32[ndarray, "frames 22 3"]) -> list[Clip]:
    rows = [(s, round(s.start * FPS), round(s.end * FPS)) for s in _marked(record)]
    return [Clip(f"{record.id}@{s.start:.1f}", joints[first:last], s.label) for s, first, last in rows]


def _shared_out(clips: list[Clip], dataset: MotionDataset) -> list[Clip]:
    """Clips of a class share what their source gets of it: the square root of how many they are."""
    sources = [dataset.by_id[clip.name.split("@")[0]].source for clip in clips]
    count = Counter((clip.label, source) for clip, source in zip(clips, sources, strict=True))
    return [
        Clip(c.name, c.joints, c.label, c.idle, weight=c.weight / count[c.label, source] ** 0.5)
        for c, source in zip(clips, sources, strict=True)
    ]
