"""A video, a motion or a feature file in; when each action starts and ends out.

from action_localization.detect import detect_video

found = detect_video("clip.mp4")
for segment in found.timeline.segments:
    print(segment.start, segment.end, segment.label, segment.score)
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from action_localization.audio.joining import hears, joined
from action_localization.pose.detector import (
    EXTRACTED,
    NAME,
    PoseDetector,
    detect_extracted,
    detect_motion,
    load_pose_detector,
    shown,
)
from action_localization.pose.features import EXTRACTOR as POSE_EXTRACTOR
from action_localization.pose.features import extracted_features
from action_localization.spine.checkpoint import check_regime, load_detector, regime_of
from action_localization.spine.detect import detect_features, features_end
from action_localization.spine.systems import System
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from laban.weights import find_weights
from models.audio.log_mel import EXTRACTOR as LOG_MEL
from models.audio.log_mel import sound_features
from models.devices import one_thread
from models.features import FOLDER_SIDE_CAR, Features, read_features, side_car_path
from models.formats import read_motion
from models.formats.arrays import array_names
from models.motion import Motion
from models.video.pose import People, Person, read_people, stream_features, streams
from models.video.reading import Video, open_video, until
from models.video.tracking import Networks

Kind = Literal["video", "motion", "features"]
MOTION_SUFFIXES = (".bvh", ".glb", ".gltf", ".smpl")
ARRAY_SUFFIXES = (".npz", ".npy")
FEATURE_SUFFIXES = (".h5", ".hdf5")

FEATURE_THRESHOLD = 0.3
"""Score from which detections on features are shown, where neither the user nor the checkpoint says otherwise."""

MOST_PEOPLE = 20

STEP = 0.1
"""Seconds between the moments at which a whole recording is looked at."""


@dataclass(frozen=True)
class Found:
    """What was detected: `timeline` is worth showing, `candidates` everything with its score; `classes` are known.

    A segment's `actor` is its person: a row of `streams` (who follow one another in time) for video, an actor of
    `motion`. `notes` is what a user should know; the seconds are those spent reading and encoding, and after that.
    """

    timeline: Timeline
    candidates: Timeline
    classes: tuple[str, ...]
    people: People | None = None
    streams: tuple[tuple[Person, ...], ...] = ()
    motion: Motion | None = None
    notes: tuple[str, ...] = ()
    encoding_seconds: float = 0.0
    detecting_seconds: float = 0.0

    @property
    def persons(self) -> int | None:
        """How many people were in view at a time, at most; None for features, which do not tell."""
        if self.people is not None:
            return len(self.streams)
        return self.motion.actors if self.motion is not None else None


@dataclass(frozen=True)
class DetectOptions:
    """`threshold` replaces the checkpoint's own scores from which a segment is shown; `people` is at most, at a time.

    `rate` is the frame rate of a folder of images or of a file whose own is wrong; `seconds` ends the reading early.
    """

    checkpoint: str | Path = NAME
    people: int = 1
    threshold: float | None = None
    rate: float | None = None
    seconds: float | None = None
    audio: Path | None = None
    """Features of the sound, for a feature file and a checkpoint that hears; a video brings its own."""

    def __post_init__(self) -> None:
        if not 1 <= self.people <= MOST_PEOPLE:
            raise LabanError(f"--people {self.people}; accepted: 1 to {MOST_PEOPLE}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise LabanError(f"--threshold {self.threshold:g}; accepted: 0 to 1")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise LabanError(f"--seconds {self.seconds:g}; accepted: more than 0")


@runtime_checkable
class Finder(Protocol):
    """What finds actions in what was seen of people: the embedded detector, or one that goes by words."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What can be found."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know beforehand."""

    def sound(self, video: Video, options: DetectOptions) -> Features | None:
        """The sound of a video, where it matters."""

    def extracted(self, features: Features, sound: Features | None) -> Timeline:
        """Every candidate in a person's rows of the `pose_confidence` extractor."""

    def motion(self, motion: Motion) -> Timeline:
        """Every candidate in a motion, with actors."""

    def shown(self, candidates: Timeline, threshold: float | None) -> Timeline:
        """Those worth showing."""


@dataclass(frozen=True)
class _Embedded:
    """The embedded detector, or one like it, as a `Finder`."""

    detector: PoseDetector

    @property
    def classes(self) -> tuple[str, ...]:
        return self.detector.classes

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def sound(self, video: Video, options: DetectOptions) -> Features | None:
        return _sound(video, self.detector, options)

    def extracted(self, features: Features, sound: Features | None) -> Timeline:
        return detect_extracted(self.detector, features, sound)

    def motion(self, motion: Motion) -> Timeline:
        return detect_motion(self.detector, motion)

    def shown(self, candidates: Timeline, threshold: float | None) -> Timeline:
        return _worth_showing(self.detector, candidates, threshold)


class _Clock:
    """Adds up the seconds of two parts of the work: reading and encoding, and everything after."""

    def __init__(self) -> None:
        self.encoding = self.detecting = 0.0

    @contextmanager
    def encode(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.encoding += time.perf_counter() - start

    @contextmanager
    def detect(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.detecting += time.perf_counter() - start


def detect_video(
    source: str | Path | Video, options: DetectOptions | None = None, *, finder: Finder | None = None,
    networks: Networks | None = None, advance: Callable[[int], None] | None = None,
) -> Found:  # fmt: skip
    """What the people of a video do and when; an empty timeline when nobody is in view.

    `source` is a video file, a folder of images, a camera, an address, or a video that is open and not yet read.
    Memory grows by 3 kB a person and frame at 20 fps. `advance` is told of every such frame. LabanError for what is no
    video and when the pose networks are not installed (`laban setup`).
    """
    options, clock = options or DetectOptions(), _Clock()
    with clock.detect(), one_thread():
        own = finder or _Embedded(load_pose_detector(options.checkpoint))
    with ExitStack() as stack:
        video = source if isinstance(source, Video) else stack.enter_context(open_video(source, rate=options.rate))
        if options.seconds is not None:
            video.raw = until(video.raw, options.seconds)
        with clock.encode():
            people = read_people(video, people=options.people, networks=networks, advance=advance)
            sound = own.sound(video, options)
        rows = streams(people, options.people)
        per_person: list[Timeline] = []
        for row in rows:
            with clock.encode():
                features = stream_features(people, row, confidence=True)
            with clock.detect(), one_thread():
                per_person.append(own.extracted(features, sound))
    with clock.detect():
        candidates = _together(per_person, people.grid.seconds)
        timeline = own.shown(candidates, options.threshold)
    notes = (*own.notes, *video.notes)
    return Found(timeline, candidates, own.classes, people, tuple(tuple(row) for row in rows), notes=notes,
                 encoding_seconds=clock.encoding, detecting_seconds=clock.detecting)  # fmt: skip


def detect_motion_file(
    path: str | Path | Motion, options: DetectOptions | None = None, *, finder: Finder | None = None
) -> Found:
    """What the people of a motion file (AMASS npz, bvh, glb, smpl, joints npy), or of a motion, do and when."""
    options, clock = options or DetectOptions(), _Clock()
    with clock.detect(), one_thread():
        own = finder or _Embedded(load_pose_detector(options.checkpoint))
    with clock.encode():
        motion = path if isinstance(path, Motion) else read_motion(path)
    with clock.detect(), one_thread():
        candidates = own.motion(motion)
        timeline = own.shown(candidates, options.threshold)
    return Found(timeline, candidates, own.classes, motion=motion, notes=own.notes, encoding_seconds=clock.encoding,
                 detecting_seconds=clock.detecting)  # fmt: skip


def detect_feature_file(path: str | Path, options: DetectOptions | None = None) -> Found:
    """What happens in features (npy, npz or h5 with a side-car), by the detector that was trained on their like.

    LabanError when the side-car is missing or contradicts the file, a number is NaN, or the width is another.
    """
    options, clock = options or DetectOptions(), _Clock()
    with clock.encode():
        features = read_features(path)
    notes = list[str]()
    with clock.detect():
        if regime_of(_config(options.checkpoint)) == "weak":
            candidates, classes, timeline = _weakly(path, features, options, notes)
        else:
            candidates, classes, timeline = _offline(path, features, options, notes)
    return Found(timeline, candidates, classes, notes=tuple(notes), encoding_seconds=clock.encoding,
                 detecting_seconds=clock.detecting)  # fmt: skip


def _offline(
    path: str | Path, features: Features, options: DetectOptions, notes: list[str]
) -> tuple[Timeline, tuple[str, ...], Timeline]:
    """(every candidate, classes, what is worth showing) of a detector that knows whole segments."""
    network, config = load_detector(options.checkpoint)
    try:
        sound = _sound_file(network.system, features, options, notes)
        if config.get("extractor") == POSE_EXTRACTOR:
            own = load_pose_detector(options.checkpoint)
            candidates = detect_extracted(own, features, sound)
            return candidates, network.classes, _worth_showing(own, candidates, options.threshold)
        _note_extractor(features, config, notes)
        width = hears(network.system)
        heard = features if width is None else joined(features, sound, width)
        candidates = detect_features(heard, network.system, network)
    except LabanError as error:
        raise LabanError(f"{path}: {error}") from None
    return candidates, network.classes, _above(candidates, config.get("thresholds", {}), options.threshold)


def _weakly(
    path: str | Path, features: Features, options: DetectOptions, notes: list[str]
) -> tuple[Timeline, tuple[str, ...], Timeline]:
    """The same of a detector that learnt from labels without boundaries."""
    from action_localization.regimes.systems import answering, load_system

    network, config = load_system(options.checkpoint, "weak")
    if options.audio is not None:
        raise LabanError(f"--audio {options.audio}: checkpoint {options.checkpoint} reads no sound")
    try:
        if config.get("extractor") == POSE_EXTRACTOR and features.extractor != POSE_EXTRACTOR:
            features = extracted_features(features)
        _note_extractor(features, config, notes)
        candidates = answering(network, config)(features, duration=features_end(features.grid))
    except LabanError as error:
        raise LabanError(f"{path}: {error}") from None
    return candidates, network.classes, _above(candidates, config.get("thresholds", {}), options.threshold)


def _note_extractor(features: Features, config: Mapping[str, Any], notes: list[str]) -> None:
    trained = config.get("extractor")
    if trained and trained != features.extractor:
        notes.append(f"features are by {features.extractor}; the checkpoint was trained on {trained}'s")


def _sound(video: Video, own: PoseDetector, options: DetectOptions) -> Features | None:
    """The sound of a video as a detector reads it; None, with a note, where there is none or it reads none."""
    if hears(own.system) is None:
        return None
    made = own.config.get("audio", {}).get("extractor", LOG_MEL)
    if made != LOG_MEL:
        raise LabanError(f"checkpoint {options.checkpoint}: hears {made}; of videos, {LOG_MEL} alone can be made here")
    try:
        sound = sound_features(video.info.source, seconds=options.seconds)
    except LabanError as error:
        video.notes.append(f"read without sound ({str(error).removeprefix(f'{video.info.source}: ')})")
        return None
    return sound


def _sound_file(system: System, features: Features, options: DetectOptions, notes: list[str]) -> Features | None:
    """The sound features that the options name, with notes about what they lack; LabanError where none are read."""
    if hears(system) is None:
        if options.audio is not None:
            raise LabanError(f"--audio {options.audio}: checkpoint {options.checkpoint} reads no sound")
        return None
    if options.audio is None:
        notes.append("read without sound; --audio names its features (laban extract VIDEO --encoder log_mel)")
        return None
    sound = read_features(options.audio)
    lasts, heard = features_end(features.grid), features_end(sound.grid)
    if heard < lasts - 0.5:
        notes.append(f"the sound ends at {heard:.1f} s of {lasts:.1f} s; the rest is read without")
    return sound


def source_kind(source: str | Path, checkpoint: str | Path = NAME) -> Kind:
    """What a source is, by its suffix and what lies beside it, and by what the checkpoint reads.

    `.npz` and `.npy` hold features when a side-car is beside them, the file says so, or the checkpoint reads nothing
    else; otherwise a motion. LabanError when the checkpoint cannot read such a source.
    """
    path = Path(source)
    suffix = "" if "://" in str(source) or path.is_dir() else path.suffix.lower()
    reads = _reads(checkpoint)
    if suffix in MOTION_SUFFIXES:
        kind: Kind = "motion"
    elif suffix in FEATURE_SUFFIXES:
        kind = "features"
    elif suffix in ARRAY_SUFFIXES:
        kind = "features" if reads != POSE_EXTRACTOR or _holds_features(path) else "motion"
    else:
        kind = "video"
    readable = {"features": True, "motion": reads == POSE_EXTRACTOR, "video": reads in (POSE_EXTRACTOR, EXTRACTED)}
    if not readable[kind]:
        raise LabanError(f"{source}: is a {kind}, but checkpoint {checkpoint} reads features ({reads}); accepted: a "
                         "feature file with its side-car (laban extract makes them)")  # fmt: skip
    return kind


def checkpoint_classes(checkpoint: str | Path = NAME) -> tuple[str, ...]:
    """What a checkpoint can detect, without loading its weights; LabanError for one that speaks online, or grounds."""
    config = _config(checkpoint)
    check_regime(checkpoint, config, "offline", "weak")
    return tuple(map(str, config["classes"]))


def _reads(checkpoint: str | Path) -> str:
    """The extractor that a checkpoint names for its features."""
    return str(_config(checkpoint).get("extractor", "of its training"))


def _config(checkpoint: str | Path) -> dict[str, Any]:
    try:
        config = json.loads((find_weights(checkpoint) / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabanError(f"checkpoint {checkpoint}: config.json is not JSON ({error})") from None
    if not isinstance(config, dict) or not (isinstance(config.get("classes"), list) or regime_of(config) == "grounded"):
        raise LabanError(f"checkpoint {checkpoint}: is no detector; accepted: {NAME}, or a folder that training made")
    return config


def _holds_features(path: Path) -> bool:
    if side_car_path(path).is_file() or (path.parent / FOLDER_SIDE_CAR).is_file():
        return True
    return path.suffix.lower() == ".npz" and path.is_file() and array_names(path) == ["features"]


def _together(timelines: list[Timeline], duration: float) -> Timeline:
    """Timelines of several people as one; a person's number is the segment's actor."""
    segments: list[Segment] = []
    for actor, timeline in enumerate(timelines):
        segments += [replace(segment, actor=actor) for segment in timeline.segments]
    return Timeline(tuple(segments), duration)


def _worth_showing(detector: PoseDetector, candidates: Timeline, threshold: float | None) -> Timeline:
    if threshold is not None:
        detector = replace(detector, thresholds=dict.fromkeys(detector.classes, max(threshold, 1e-9)))
    return shown(detector, candidates)


def over_the_whole(candidates: Timeline) -> dict[str, float]:
    """What a recording shows as a whole: classes, most likely first, from 0 to 1.

    A class gets the mean over the recording's moments of the best candidate of it that covers the moment.
    """
    count = math.ceil((candidates.duration - STEP / 2) / STEP)
    best: dict[str, np.ndarray] = {}
    for one in candidates.segments:
        first, last = (max(0, math.ceil(time / STEP - 0.5)) for time in (one.start, one.end))
        row = best.setdefault(one.label, np.zeros(max(count, 1)))
        row[first:last] = np.maximum(row[first:last], one.score)
    means = {label: float(row.mean()) for label, row in best.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def _above(candidates: Timeline, thresholds: Mapping[str, float], threshold: float | None) -> Timeline:
    def least(label: str) -> float:
        return threshold if threshold is not None else thresholds.get(label, FEATURE_THRESHOLD)

    kept = tuple(segment for segment in candidates.segments if segment.score >= least(segment.label))
    return Timeline(kept, candidates.duration)
