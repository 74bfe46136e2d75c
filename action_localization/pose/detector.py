"""The embedded detector: body pose of a motion file or of a person in a video in, a score out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from action_localization.audio.joining import hears, joined
from action_localization.pose import features as pose_features
from action_localization.spine.checkpoint import load_detector
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector
from action_localization.spine.systems import System
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.features import Features
from models.motion import Motion

NAME = "detect"
"""The embedded checkpoint."""

DEFAULT_THRESHOLD = 0.4
"""For classes that the checkpoint names no threshold for."""

EXTRACTED = "pose_confidence"
"""What `laban extract` writes, which detectors of the user's may read as it is."""

SAME = 0.4
"""Intersection over union from which only the best of two labels is shown."""


@dataclass(frozen=True)
class PoseDetector:
    """A trained detector; `thresholds` are the scores from which segments of a class are worth showing."""

    network: Detector
    thresholds: dict[str, float]
    config: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return self.network.classes

    @property
    def system(self) -> System:
        """How the network is built and decoded."""
        return self.network.system


def load_pose_detector(name: str | Path = NAME) -> PoseDetector:
    """The embedded detector, or one from a checkpoint folder; LabanError when it reads no poses."""
    network, config = load_detector(name)
    if config.get("extractor") not in (pose_features.EXTRACTOR, EXTRACTED) or not isinstance(network, Detector):
        found = config.get("extractor", "unnamed features")
        raise LabanError(f"checkpoint {name}: reads {found}; accepted: a detector over {pose_features.EXTRACTOR}")
    return PoseDetector(network, dict(config.get("thresholds", {})), config)


def detect_person(
    detector: PoseDetector, joints: Float[ndarray, "frames 22 3"], confidence: Float[ndarray, "frames 22"],
    observed: Bool[ndarray, " frames"], fps: float,
) -> Timeline:  # fmt: skip
    """What one person does and when; every candidate with its score (see `shown` for those worth showing).

    `joints` are metres, Y up, the floor at 0, `confidence` from 0 to 1, `observed` False where nobody was found.
    Times count from the first frame. LabanError for no frames or numbers that are not finite.
    """
    features = pose_features.person_features(joints, confidence, observed, fps)
    return detect_entries(detector, features, duration=len(joints) / fps)


def detect_motion(detector: PoseDetector, motion: Motion) -> Timeline:
    """What the people of a motion do; segments carry their actor."""
    from models.motion_text.features import joints_of

    segments: list[Segment] = []
    for actor, joints in enumerate(joints_of(motion)):
        whole = np.ones((len(joints), joints.shape[1]), np.float32)
        found = detect_person(detector, joints, whole, np.ones(len(joints), bool), pose_features.FPS)
        segments += [replace(segment, actor=actor) for segment in found.segments]
    duration = motion.frames / motion.fps
    return Timeline(tuple(s for s in (_until(s, duration) for s in segments) if s is not None), duration)


def detect_extracted(detector: PoseDetector, features: Features, sound: Features | None = None) -> Timeline:
    """What a person does, from the features that `laban extract VIDEO --encoder pose_confidence` wrote."""
    pooled = detector.config.get("extractor") == pose_features.EXTRACTOR
    entries = pose_features.extracted_features(features) if pooled else features
    return detect_entries(detector, entries, duration=features.grid.seconds, sound=sound)


def detect_entries(
    detector: PoseDetector, features: Features, *, duration: float | None = None, sound: Features | None = None
) -> Timeline:
    """Every candidate in the detector's own features; `sound` is for one that hears, None where nothing is heard."""
    if (width := hears(detector.system)) is not None:
        features = joined(features, sound, width)
    return detect_features(features, detector.system, detector.network, duration=duration)


def shown(detector: PoseDetector, timeline: Timeline) -> Timeline:
    """The segments above their class's threshold; of those that name one stretch twice, the surest by its threshold."""
    margins = [(s.score / detector.thresholds.get(s.label, DEFAULT_THRESHOLD), s) for s in timeline.segments]
    kept: list[Segment] = []
    for margin, segment in sorted(margins, key=lambda pair: -pair[0]):
        if margin >= 1 and all(_overlap(segment, other) < SAME for other in kept):
            kept.append(segment)
    return Timeline(tuple(kept), timeline.duration)


def _overlap(one: Segment, other: Segment) -> float:
    if one.actor != other.actor:
        return 0.0
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared / (max(one.end, other.end) - min(one.start, other.start))


def _until(segment: Segment, end: float) -> Segment | None:
    return replace(segment, end=min(segment.end, end)) if segment.start < end else None
