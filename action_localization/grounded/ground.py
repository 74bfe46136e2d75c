"""A video, a motion or features in, and a sentence; the stretches that it is true of out, for each person.

from action_localization.grounded.ground import GroundOptions, ground_source

found = ground_source("clip.mp4", "the person waves with both hands")
for segment in found.timeline.segments:
    print(segment.start, segment.end, segment.score)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from action_localization.detect import DetectOptions, Kind
from action_localization.grounded.pose import NAME, Grounded, PoseGrounder, ground_entries, load_grounder
from action_localization.grounded.queries import Span
from action_localization.pose.features import EXTRACTOR, FPS, extracted_features, person_features
from action_localization.regimes.systems import answering, load_system
from action_localization.spine.checkpoint import check_regime
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from laban.weights import load_weights
from models.features import Features, read_features
from models.formats import read_motion
from models.motion import Motion
from models.text.captions import clean
from models.text.dictionary import load_dictionary
from models.video.pose import People, Person, read_people, stream_features, streams
from models.video.reading import Video, open_video, until

MOST = 100
"""Spans that can be asked for."""
USUAL = 0.3
"""Score from which spans are shown where a checkpoint does not say."""
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class GroundOptions:
    """At most `spans` for each person; `threshold` replaces the checkpoint's score from which a span is shown."""

    checkpoint: str | Path = NAME
    spans: int = 5
    people: int = 1
    threshold: float | None = None
    rate: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.spans <= MOST:
            raise LabanError(f"-k {self.spans}; accepted: 1 to {MOST}")
        DetectOptions(people=self.people, threshold=self.threshold, seconds=self.seconds)


@dataclass(frozen=True)
class GroundedSource:
    """`timeline` holds the spans that reach `threshold`, none within another; `candidates` the best ones of all.

    A segment's actor is its person, and so is the place in `curves`: how likely the sentence is true, every 0.1 s.
    """

    sentence: str
    timeline: Timeline
    candidates: Timeline
    threshold: float
    curves: tuple[Float[ndarray, " entries"], ...]
    people: People | None = None
    streams: tuple[tuple[Person, ...], ...] = ()
    motion: Motion | None = None
    notes: tuple[str, ...] = ()

    @property
    def persons(self) -> int | None:
        """How many people were in view at a time, at most; None for features, which do not tell."""
        if self.people is not None:
            return len(self.streams)
        return self.motion.actors if self.motion is not None else None


@dataclass(frozen=True)
class OwnGrounder:
    """A grounding system that `laban train detect` taught; `reads` is the extractor of its features."""

    ground: Callable[[Features, Sequence[str]], list[list[Span]]]
    reads: str
    width: int
    threshold: float


def own_grounder(checkpoint: str | Path) -> OwnGrounder | None:
    """The grounding system in a folder; None for the embedded grounder and others like it.

    LabanError for a checkpoint that grounds nothing.
    """
    _, config = load_weights(checkpoint)
    if config.get("kind") == "pose grounder":
        return None
    check_regime(checkpoint, config, "grounded")
    network, config = load_system(checkpoint, "grounded")
    least = config.get("threshold")
    return OwnGrounder(answering(network, config), str(config.get("extractor", "unknown")), int(config["features"]),
                       USUAL if least is None else float(least))  # fmt: skip


def ground_own(own: OwnGrounder, features: Features, sentence: str) -> Grounded:
    """Spans of a sentence in features of the grounder's own kind; the curve is the best span's score at each 0.1 s.

    LabanError for features of another width.
    """
    if features.width != own.width:
        raise LabanError(f"features are {features.width} wide; the grounder was trained on {own.width}")
    spans = own.ground(features, [sentence])[0]
    at = (np.arange(max(1, round(10 * features.grid.seconds))) + 0.5) / 10
    curve = np.zeros(len(at))
    for start, end, score in spans:
        curve = np.maximum(curve, score * ((start <= at) & (at < end)))
    return Grounded(sentence, spans, curve, own.threshold)


def checked_sentence(sentence: str) -> tuple[str, list[str]]:
    """The sentence in plain form, and what the user should know of it; LabanError when it says nothing."""
    text = clean(sentence)
    words = _WORD.findall(text)
    if not words:
        raise LabanError(
            f"query {sentence!r} is empty; accepted: a sentence such as 'the person waves with both hands'"
        )
    long = [word for word in words if len(word) > 2 or not word.isascii()]
    dictionary = load_dictionary()
    strange = [word for word in long if not word.isascii() or not dictionary.knows(word)]
    if strange and 2 * len(strange) >= len(long):
        return text, [
            f"query: {', '.join(strange[:5])} are no English words; the answer is a guess (accepted: English)"
        ]
    return text, []


def ground_source(
    source: str | Path | Motion | Video | Features, sentence: str, options: GroundOptions | None = None, *,
    kind: Kind = "video", grounder: PoseGrounder | OwnGrounder | None = None,
    advance: Callable[[int], None] | None = None,
) -> GroundedSource:  # fmt: skip
    """Where a sentence is true. `kind` says what a path is (`action_localization.detect.source_kind` finds out).

    Nobody in view gives empty timelines. LabanError for an empty sentence and for what cannot be read.
    """
    options = options or GroundOptions()
    text, notes = checked_sentence(sentence)
    own = grounder or own_grounder(options.checkpoint) or load_grounder(options.checkpoint)
    if options.threshold is not None:
        own = replace(own, threshold=options.threshold)
    if isinstance(source, Features) or (kind == "features" and isinstance(source, str | Path)):
        features = source if isinstance(source, Features) else _read(source, own)
        return _answered(own, text, options, [features], features.grid.seconds, notes)
    if isinstance(own, OwnGrounder) and own.reads != EXTRACTOR:
        raise LabanError(f"{source}: is no features; the grounder reads those of {own.reads} alone")
    if isinstance(source, Motion) or (kind == "motion" and isinstance(source, str | Path)):
        motion = source if isinstance(source, Motion) else read_motion(source)
        found = _answered(own, text, options, motion_entries(motion), motion.frames / motion.fps, notes)
        return replace(found, motion=motion)
    if isinstance(source, Video):
        return _video(source, own, text, options, notes, advance)
    with open_video(source, rate=options.rate) as video:
        return _video(video, own, text, options, notes, advance)


def motion_entries(motion: Motion) -> list[Features]:
    """The detector's features of everybody in a motion."""
    from models.motion_text.features import joints_of

    everybody = []
    for joints in joints_of(motion):
        shape = joints.shape[:2]
        everybody.append(person_features(joints, np.ones(shape, np.float32), np.ones(shape[0], bool), FPS))
    return everybody


def _video(
    video: Video, grounder: PoseGrounder | OwnGrounder, text: str, options: GroundOptions, notes: list[str],
    advance: Callable[[int], None] | None,
) -> GroundedSource:  # fmt: skip
    if options.seconds is not None:
        video.raw = until(video.raw, options.seconds)
    people = read_people(video, people=options.people, advance=advance)
    rows = streams(people, options.people)
    features = [extracted_features(stream_features(people, row, confidence=True)) for row in rows]
    found = _answered(grounder, text, options, features, people.grid.seconds, [*video.notes, *notes])
    return replace(found, people=people, streams=tuple(tuple(row) for row in rows))


def _read(path: str | Path, grounder: PoseGrounder | OwnGrounder) -> Features:
    try:
        features = read_features(path)
        if isinstance(grounder, OwnGrounder) and features.width == grounder.width:
            return features
        return extracted_features(features)
    except LabanError as error:
        raise LabanError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _answered(
    grounder: PoseGrounder | OwnGrounder, text: str, options: GroundOptions, everybody: list[Features],
    duration: float, notes: list[str],
) -> GroundedSource:  # fmt: skip
    if isinstance(grounder, OwnGrounder):
        answers = [ground_own(grounder, features, text) for features in everybody]
    else:
        answers = [ground_entries(grounder, features, [text], most=4 * options.spans)[0] for features in everybody]
    candidates, shown = list[Segment](), list[Segment]()
    for actor, one in enumerate(answers):
        found = _segments(one, text, actor, duration)
        candidates += found[: options.spans]
        shown += _apart([segment for segment in found if segment.score >= grounder.threshold])[: options.spans]
    return GroundedSource(text, Timeline(tuple(shown), duration), Timeline(tuple(candidates), duration),
                          grounder.threshold, tuple(one.curve for one in answers), notes=tuple(notes))  # fmt: skip


def _apart(segments: list[Segment]) -> list[Segment]:
    """Without those that lie half or more within a likelier one of the same person, or it in them."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda one: -one.score):
        if not any(_nested(segment, other) for other in kept):
            kept.append(segment)
    return kept


def _nested(one: Segment, other: Segment) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return one.actor == other.actor and 2 * shared >= min(one.seconds, other.seconds)


def _segments(one: Grounded, text: str, actor: int, duration: float) -> list[Segment]:
    rows = [(max(start, 0.0), min(end, duration), score) for start, end, score in one.spans]
    return [Segment(start, end, text, actor=actor, score=score) for start, end, score in rows if end > start]
