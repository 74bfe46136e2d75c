"""`Search`: finds actions that the user names, in videos, motions and text-aligned features, as other detectors do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from action_localization.detect import DetectOptions, Found
from action_localization.open_vocabulary.labels import METHODS, Labels, other_actions
from action_localization.open_vocabulary.proposals import Labelling, named
from action_localization.open_vocabulary.rows import EXTRACTOR, rows_of_columns
from action_localization.open_vocabulary.similarity import (
    Embed,
    FrameConfig,
    Words,
    frame_similarity,
    words_of,
)
from action_localization.open_vocabulary.test_time import T3AL, t3al_detect
from action_localization.pose.detector import NAME, detect_extracted, load_pose_detector
from action_localization.pose.features import ROW, pose_rows
from action_localization.spine.checkpoint import load_detector
from action_localization.spine.detect import detect_features
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features, read_features
from models.motion import Motion
from models.motion_text.encoder import MotionTextEncoder, load_motion_text
from models.motion_text.features import joints_of
from models.representation import joints as joint_columns
from models.video.image_tower import PREFIX
from models.video.pose import EXTRACTOR as POSE
from models.video.pose import EXTRACTOR_CONFIDENCE
from models.video.reading import Video

SHOWN = {"stov-tal": 0.3, "t3al": 0.55, "frame": 0.55}
"""Scores from which segments are shown: about the best F1 on tuning streams, ten labels among all other actions."""
SAME = 0.4
"""Intersection over union from which only the best of two labels is shown."""
NEAR = 0.75
"""Cosine to a label from which another action is no alternative to it."""
_COLUMNS = 133
"""Joint columns, the first of a row of the pose extractors."""
_IN_VIEW = 0.5
"""Share of a segment's frames in which the person must have been seen."""


@dataclass(frozen=True)
class Search:
    """A `Finder` for labels in the user's words: motion-text rows of what people do, and one of the methods.

    `stov-tal` names the proposals of the embedded detector, whose own classes are not looked at; `t3al` adapts to each
    person's rows; `frame` is the plain threshold.
    """

    labels: Labels
    words: Words
    method: str = "stov-tal"
    encoder: MotionTextEncoder | None = None
    localizer: str | Path = NAME
    t3al: T3AL = T3AL()
    labelling: Labelling = Labelling()
    frame: FrameConfig = field(default_factory=FrameConfig)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels.names

    @property
    def notes(self) -> tuple[str, ...]:
        """What is doubtful about the labels."""
        return self.labels.notes

    def sound(self, video: Video, options: DetectOptions) -> Features | None:
        """None: words are compared with what is seen."""
        return None

    def extracted(self, features: Features, sound: Features | None = None) -> Timeline:
        """Every candidate in a person's rows of the `pose_confidence` extractor."""
        rows = rows_of_columns(features.values[:, :_COLUMNS], encoder=self.encoder or "motion_text")
        found = self.found(rows, features)
        return _in_view(found, features)

    def motion(self, motion: Motion) -> Timeline:
        """Every candidate in a motion, with actors."""
        segments: list[Segment] = []
        for actor, joints in enumerate(joints_of(motion)):
            whole = np.ones(joints.shape[:2], np.float32)
            values = pose_rows(joints, whole, np.ones(len(joints), bool))
            features = Features(values, FrameGrid(joint_columns.FPS, len(joints)), EXTRACTOR_CONFIDENCE)
            segments += [replace(segment, actor=actor) for segment in self.extracted(features).segments]
        duration = motion.frames / motion.fps
        cut = (replace(s, end=min(s.end, duration)) for s in segments if s.start < duration)
        return Timeline(tuple(cut), duration)

    def shown(self, candidates: Timeline, threshold: float | None = None) -> Timeline:
        """The segments above the method's bar (or `threshold`); of those that name one stretch twice, the surest."""
        bar = SHOWN[self.method] if threshold is None else threshold
        kept: list[Segment] = []
        for segment in sorted(candidates.segments, key=lambda one: -one.score):
            if segment.score >= bar and all(_overlap(segment, other) < SAME for other in kept):
                kept.append(segment)
        return Timeline(tuple(kept), candidates.duration)

    def found(self, rows: Features, features: Features | None = None) -> Timeline:
        """Every candidate in text-aligned rows; `features` are those that the localizer reads (default: the rows)."""
        if self.method == "t3al":
            return t3al_detect(rows, self.words, self.t3al)
        if self.method == "frame":
            return frame_similarity(rows, self.words, self.frame)
        if features is not None and features.width == ROW:
            proposals = detect_extracted(load_pose_detector(self.localizer), features)
        else:
            network, _ = load_detector(self.localizer)
            proposals = detect_features(features or rows, network.system, network)
        return named(proposals, rows, self.words, self.labelling)


def search_for(labels: Labels, method: str | None = None, *, localizer: str | Path = NAME) -> Search:
    """A search by the embedded motion-text encoder: for videos, motions, and features of poses."""
    encoder = load_motion_text()
    return Search(labels, _words(labels, encoder.embed_text, other_actions()), _checked(method), encoder, localizer)


def search_file(
    path: str | Path, labels: Labels, method: str | None = None, *, weights: Path | None = None,
    options: DetectOptions | None = None,
) -> Found:  # fmt: skip
    """Labels in a feature file: of poses, of motion-text rows, or of an open_clip image tower with its `weights`.

    LabanError for features of another encoder, which have no words, and for wrong or missing weights.
    """
    options, begun = options or DetectOptions(), time.perf_counter()
    features = read_features(path)
    read = time.perf_counter()
    poses = features.extractor in (POSE, EXTRACTOR_CONFIDENCE) or features.width == ROW
    if features.extractor.startswith(PREFIX):
        search = _clip_search(path, features.extractor, labels, method, weights, options)
    elif poses or features.extractor.startswith(EXTRACTOR):
        if weights is not None:
            raise LabanError(f"--weights {weights}: {path} holds {features.extractor}; its words are embedded")
        search = search_for(labels, method or (None if poses else "t3al"), localizer=options.checkpoint)
    else:
        raise LabanError(f"{path}: features are by {features.extractor}, which has no words; accepted: {POSE}, "
                         f"{EXTRACTOR_CONFIDENCE}, {EXTRACTOR}, or {PREFIX}MODEL with --weights")  # fmt: skip
    try:
        if poses and search.method == "stov-tal" and features.width != ROW:
            raise LabanError(f"its localizer reads {EXTRACTOR_CONFIDENCE}; accepted for {features.extractor}: --method "
                             "t3al or frame")  # fmt: skip
        candidates = search.extracted(features) if poses else search.found(features)
    except LabanError as error:
        raise LabanError(f"{path}: {error}") from None
    return Found(search.shown(candidates, options.threshold), candidates, labels.names, notes=labels.notes,
                 encoding_seconds=read - begun, detecting_seconds=time.perf_counter() - read)  # fmt: skip


def _clip_search(
    path: str | Path, extractor: str, labels: Labels, method: str | None, weights: Path | None, options: DetectOptions
) -> Search:
    from models.text.open_clip_text import load_joint_text

    if weights is None:
        raise LabanError(f"{path}: features are by {extractor}; its words need the same weights (--weights FILE)")
    own = _checked(method or ("t3al" if options.checkpoint == NAME else "stov-tal"))
    if own == "stov-tal" and options.checkpoint == NAME:
        raise LabanError("--method stov-tal: needs a localizer that was trained on such features (--checkpoint FOLDER)")
    embed = load_joint_text(extractor, weights)
    words = _words(labels, lambda texts: embed([f"a video of {text}" for text in texts]), _SCENERY)
    return Search(labels, words, own, None, options.checkpoint)


_SCENERY = ("nothing in particular", "people standing and talking", "an empty room", "an audience", "a landscape")


def _words(labels: Labels, embed: Embed, others: tuple[str, ...]) -> Words:
    """Labels beside the other actions that are none of them."""
    words = words_of(labels.names, embed, wordings=labels.sentences, others=others)
    apart = (words.others @ words.vectors.T).max(1) < NEAR
    return replace(words, others=words.others[apart])


def _checked(method: str | None) -> str:
    if method is not None and method not in METHODS:
        raise LabanError(f"--method {method}; accepted: {', '.join(METHODS)}")
    return method or METHODS[0]


def _in_view(found: Timeline, features: Features) -> Timeline:
    """Without segments in which the person was mostly not seen."""
    if features.width != ROW:
        return found
    seen = np.concatenate([[0.0], np.cumsum(features.values[:, ROW - 1], dtype=np.float64)])
    kept = []
    for segment in found.segments:
        first, last = features.grid.span(segment.start, segment.end)
        if last > first and seen[last] - seen[first] >= _IN_VIEW * (last - first):
            kept.append(replace(segment, end=min(segment.end, features.grid.seconds)))
    return Timeline(tuple(kept), features.grid.seconds)


def _overlap(one: Segment, other: Segment) -> float:
    if one.actor != other.actor:
        return 0.0
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared / (max(one.end, other.end) - min(one.start, other.start))
