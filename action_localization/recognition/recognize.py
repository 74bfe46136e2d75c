"""A trimmed clip in, what it shows out: motion files and people in video against any labels.

Which way is taken was decided on validation clips (`benchmarks/recognition.py`). Motion files are read by Attentive
Semantic Units, beside the encoder's classifier where that knows every label. People in video are not: a pose network's
errors mislead the encoder of clean motion, so that what the detector, which has learnt those errors, sees of its
classes is carried over to labels by the likeness of their texts.

    from action_localization.recognition.recognize import recognize

    for label, chance in recognize("clip.mp4", "waves, sits down, kicks a ball").best:
        print(label, chance)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from action_localization.detect import (
    ARRAY_SUFFIXES,
    MOTION_SUFFIXES,
    DetectOptions,
    Found,
    detect_video,
    over_the_whole,
)
from action_localization.open_vocabulary.labels import Labels, checked_labels, read_labels, sentence_of
from action_localization.pose.classes import CLASSES
from action_localization.recognition.checkpoint import load_recogniser
from laban.errors import LabanError
from laban.timeline import Timeline
from models.formats import read_motion
from models.motion import Motion
from models.motion_text.encoder import LONGEST, MotionTextEncoder, load_motion_text
from models.motion_text.examples import SEQUENCE
from models.motion_text.features import joints_of
from models.representation import joints as joint_columns
from models.video.reading import open_video
from models.video.tracking import Networks

POWER, LIKENESS = 2, 10.0
"""What the detector says of a class is raised to this power, and counts for a label by exp(LIKENESS * (cosine - 1))."""
OTHER_WORDS = {
    "plank": "a person holds still face down on the forearms and toes",
    "russian twist": "a person sits on the floor and twists the trunk from side to side",
    "jump rope": "a person skips with a rope", "football juggling": "a person keeps a ball in the air with the feet",
    "lift a barbell": "a person lifts weights", "hula hoop": "a person circles the hips with a hoop",
    "pommel horse": "a person does gymnastics on the hands", "pull-up": "a person pulls up on a bar",
    "cycle": "a person rides a bicycle", "stir": "a person stirs food in a pan",
    "ride a segway": "a person rides on a scooter", "jumping jacks": "a person jumps and spreads arms and legs",
    "squat": "a person bends the knees deeply and rises", "push-up": "a person presses up from the floor",
}  # fmt: skip
"""Classes whose names say little to an encoder of sentences about motion, in other words."""
UNSURE = 0.2
"""Best chance of a class in a video below which nothing was really recognised."""
UNITS = 5


@dataclass(frozen=True)
class Recognition:
    """`best` are (label, chance) of the likeliest labels, `chances` those of all labels, which sum to one.

    `units` are the semantic units picked, as (kind, name, share), for motions; `seconds` is how much was read; `notes`
    what to know.
    """

    best: tuple[tuple[str, float], ...]
    chances: dict[str, float]
    seconds: float
    units: tuple[tuple[str, str, float], ...] = ()
    notes: tuple[str, ...] = ()


def default_labels(*, motion: bool) -> Labels:
    """What is looked for where no labels are given: the actions of the motion set; in video the detector's, too."""
    known = load_recogniser().known
    actions = [one for one in load_motion_text().actions if one != SEQUENCE and sentence_of(one) in known]
    return checked_labels(list(dict.fromkeys([*actions, *(() if motion else (one.name for one in CLASSES))])))


def recognize(
    source: str | Path | Motion, labels: str | Path | Labels | None = None, *, count: int = 5,
    seconds: float | None = None, rate: float | None = None, networks: Networks | None = None,
    advance: Callable[[int], None] | None = None,
) -> Recognition:  # fmt: skip
    """The likeliest of `labels` (text with commas, or a file; else `default_labels`) for a motion file or a video.

    Of several people the most prominent one counts. LabanError when nobody is in view, for labels that are none, and
    for a `count` below one.
    """
    if count < 1:
        raise LabanError(f"-k {count}; accepted: 1 or more")
    options = DetectOptions(rate=rate, seconds=seconds)
    moving = isinstance(source, Motion) or Path(source).suffix.lower() in (*MOTION_SUFFIXES, *ARRAY_SUFFIXES)
    if labels is None:
        wanted = default_labels(motion=moving)
    else:
        wanted = labels if isinstance(labels, Labels) else read_labels(labels)
    if moving:
        for name, value in (("--seconds", seconds), ("--rate", rate)):
            if value is not None:
                raise LabanError(f"{name} {value:g}: is for videos; the source is a motion")
        return _of_motion(source, wanted, count)
    assert not isinstance(source, Motion)
    with open_video(source, rate=rate) as video:
        found = detect_video(video, options, networks=networks, advance=advance)
    if not found.persons:
        raise LabanError(f"{source}: nobody is in view")
    return _of_found(found, wanted, count)


def label_chances(
    classes: Mapping[str, float], labels: Labels, encoder: MotionTextEncoder
) -> Float32[ndarray, " labels"]:
    """What a detector says of its classes, carried over to other labels by the likeness of their sentences."""
    said = [(number, text) for number, name in enumerate(classes) for text in (sentence_of(name), OTHER_WORDS.get(name))
            if text is not None]  # fmt: skip
    ours = encoder.embed_text([text for _, text in said])
    theirs = encoder.embed_text([labels.sentences[name] for name in labels.names])
    cosine = np.full((len(classes), len(theirs)), -1.0)
    np.maximum.at(cosine, [number for number, _ in said], ours @ theirs.T)
    likeness = np.exp(LIKENESS * (cosine - 1))
    weight = np.array(list(classes.values())) ** POWER
    found = weight @ likeness + 1e-12
    return (found / found.sum()).astype(np.float32)


def _of_motion(source: str | Path | Motion, labels: Labels, count: int) -> Recognition:
    motion = source if isinstance(source, Motion) else read_motion(source)
    if not motion.frames:
        raise LabanError(f"{source}: has no frames")
    clip, own = joint_columns.encode(joints_of(motion)[0].astype(np.float64)), load_recogniser()
    notes = [f"{motion.actors} people; the first one counts"] if motion.actors > 1 else []
    chance = own.chances([clip], [labels.sentences[name] for name in labels.names])[0]
    return _ranked(labels, chance, count, len(clip) / joint_columns.FPS, notes, tuple(own.units(clip, UNITS)))


def _of_found(found: Found, labels: Labels, count: int) -> Recognition:
    first = [segment for segment in found.candidates.segments if segment.actor == 0]
    classes = over_the_whole(Timeline(tuple(first), found.candidates.duration))
    notes = list(found.notes)
    if max(classes.values(), default=0.0) < UNSURE:
        notes.append("nothing that the detector knows is seen for long: the chances are a guess")
    chance = label_chances({one.name: classes.get(one.name, 0.0) for one in CLASSES}, labels, load_motion_text())
    return _ranked(labels, chance, count, found.timeline.duration, notes)


def _ranked(
    labels: Labels, chance: Float32[ndarray, " labels"], count: int, seconds: float, notes: list[str],
    units: tuple[tuple[str, str, float], ...] = (),
) -> Recognition:  # fmt: skip
    if seconds * joint_columns.FPS > LONGEST:
        notes = [*notes, f"lasts {seconds:.1f} s: recognised as one action; laban detect finds several in turn"]
    order = np.argsort(-chance, kind="stable")[:count]
    best = tuple((labels.names[i], float(chance[i])) for i in order)
    every = dict(zip(labels.names, map(float, chance), strict=True))
    return Recognition(best, every, seconds, units, (*notes, *labels.notes))
