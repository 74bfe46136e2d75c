"""The rows of the one table: what each system learns from a set, and what it answers on its streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from action_localization.audio.detector import FusionConfig, Reads, detections, fit_fusion
from action_localization.audio.joining import common_width
from action_localization.evaluation.grounding import random_spans
from action_localization.grounded.queries import Span, video_queries
from action_localization.online.horizon import HorizonConfig
from action_localization.online.lane import detect_together
from action_localization.online.systems import fit_horizon
from action_localization.open_vocabulary.proposals import STOVTAL, Labelling, fit_stov, stov_detect
from action_localization.open_vocabulary.protocol import zero_shot_words
from action_localization.open_vocabulary.similarity import frame_similarity
from action_localization.open_vocabulary.test_time import t3al_detect
from action_localization.recognition.head import HeadTraining, asu_detect, fit_head
from action_localization.regimes.offline import fit_offline
from action_localization.regimes.streams import RegimeSet, RegimeVideo
from action_localization.regimes.systems import KINDS, kind_preset
from action_localization.spine.detect import detect_features
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features

Found = dict[str, Timeline]


@dataclass(frozen=True)
class Answers:
    """What a row says on the test streams: segments by name of a stream, or spans for each query, in their order.

    `tuned` is what it says on the tuning streams, where it does not choose itself from which score it speaks.
    """

    found: Found = field(default_factory=dict)
    tuned: Found | None = None
    spans: Sequence[Sequence[Span]] | None = None
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """`run` takes a set, a folder for what is being trained, and a seed; `unseen`: only held-out classes count.

    Rows that read one network in two ways share its folder, so that it is trained once.
    """

    regime: str
    run: Callable[[RegimeSet, Path, int], Answers]
    sets: tuple[str, ...] = ("toy", "gym", "mocap")
    unseen: bool = False
    seeded: bool = True


Detect = Callable[[RegimeVideo], Timeline]


def _both(data: RegimeSet, detect: Detect) -> Answers:
    found, tuned = ({video.name: detect(video) for video in videos} for videos in (data.test, data.tune))
    return Answers(found, tuned)


def _offline(data: RegimeSet, folder: Path, seed: int) -> Answers:
    network = fit_offline(data, folder, seed=seed)
    return _both(data, lambda v: detect_features(v.features, network.system, network, duration=v.truth.duration))


def _fitted(name: str, data: RegimeSet, folder: Path, seed: int) -> Any:
    return KINDS[name].fit(data, kind_preset(name, data.name), folder, seed=seed)


def _online(name: str, data: RegimeSet, folder: Path, seed: int) -> Answers:
    network = _fitted(name, data, folder, seed)
    return Answers(detect_together(network, {video.name: video.features for video in data.test}))


def _horizon(data: RegimeSet, folder: Path, seed: int) -> Answers:
    offline = fit_offline(data, folder.with_name(f"offline-{seed}"), seed=seed)

    def detect(features: Features) -> Timeline:
        return detect_features(features, offline.system, offline)

    network = fit_horizon(data, detect, HorizonConfig())
    return Answers(detect_together(network, {video.name: video.features for video in data.test}))


def _weak(name: str, data: RegimeSet, folder: Path, seed: int) -> Answers:
    network, detect = _fitted(name, data, folder, seed), KINDS[name].answer
    return _both(data, lambda video: detect(network, video.features, duration=video.truth.duration))


def _text(video: RegimeVideo) -> Features:
    if video.text is None:
        raise LabanError(f"{video.name}: has no text twin, which this row reads")
    return video.text


def _zero_shot(detect: Callable[..., Timeline], data: RegimeSet, folder: Path, seed: int) -> Answers:
    words = zero_shot_words(data)
    return _both(data, lambda video: detect(_text(video), words))


def _stov(config: STOVTAL, trained: str, data: RegimeSet, folder: Path, seed: int) -> Answers:
    words = zero_shot_words(data)
    network = fit_stov(data, config, folder.with_name(f"{trained}-{seed}"), seed=seed)
    return _both(data, lambda v: stov_detect(network, v.features, _text(v), words, config, duration=v.truth.duration))


def _asu(data: RegimeSet, folder: Path, seed: int) -> Answers:
    words = zero_shot_words(data)
    localizer = fit_stov(data, STOVTAL(), folder.with_name(f"stov-tal-{seed}"), seed=seed)
    head = fit_head(data, HeadTraining(), folder, seed=seed)
    return _both(
        data, lambda v: asu_detect(localizer, head, v.features, _text(v), words, duration=v.truth.duration)
    )  # fmt: skip


def _grounded(name: str, data: RegimeSet, folder: Path, seed: int) -> Answers:
    network, ground = _fitted(name, data, folder, seed), KINDS[name].answer
    spans: list[list[Span]] = []
    for video in data.test:
        spans += ground(network, video.features, [query.text for query in video_queries(video)])
    return Answers(spans=spans)


def _random_spans(data: RegimeSet, folder: Path, seed: int) -> Answers:
    rng = np.random.default_rng(seed)
    return Answers(spans=[random_spans(v.truth.duration, 5, rng) for v in data.test for _ in video_queries(v)])


def _audio(reads: Reads, data: RegimeSet, folder: Path, seed: int) -> Answers:
    config = FusionConfig(reads=reads)
    network = fit_fusion(data, config, folder, seed=seed)
    width = common_width([video.audio for video in data.train])
    found, tuned = (detections(network, videos, reads, width=width) for videos in (data.test, data.tune))
    return Answers(found, tuned)


_SPOKEN = ("toy", "mocap")
PAPER_STOV = STOVTAL(labelling=Labelling(runs=None))
"""Proposals of the localizer alone; ours also names runs of rows that resemble a label."""
ROWS: dict[str, Row] = {
    "offline": Row("full", _offline),
    "horizon": Row("online", _horizon),
    "matr": Row("online", partial(_online, "matr")),
    "oat": Row("online", partial(_online, "oat")),
    "hat": Row("online", partial(_online, "hat")),
    "action-switch": Row("online", partial(_online, "action-switch")),
    "mil": Row("weak", partial(_weak, "mil")),
    "tscn": Row("weak", partial(_weak, "tscn")),
    "hierarchy": Row("weak", partial(_weak, "hierarchy")),
    "points": Row("weak", partial(_weak, "points")),
    "frame-similarity": Row("zero-shot", partial(_zero_shot, frame_similarity), _SPOKEN, unseen=True, seeded=False),
    "t3al": Row("zero-shot", partial(_zero_shot, t3al_detect), _SPOKEN, unseen=True, seeded=False),
    "stov-tal": Row("zero-shot", partial(_stov, STOVTAL(), "stov-tal"), _SPOKEN, unseen=True),
    "stov-tal-paper": Row("zero-shot", partial(_stov, PAPER_STOV, "stov-tal"), _SPOKEN, unseen=True),
    "stov-tal-once": Row("zero-shot", partial(_stov, STOVTAL(rounds=0), "stov-tal-once"), _SPOKEN, unseen=True),
    "asu": Row("zero-shot", _asu, _SPOKEN, unseen=True),
    "random-spans": Row("grounded", _random_spans),
    "ctrl": Row("grounded", partial(_grounded, "ctrl")),
    "moment-detr": Row("grounded", partial(_grounded, "moment-detr")),
    "denoise-loc": Row("grounded", partial(_grounded, "denoise-loc")),
    "dense": Row("grounded", partial(_grounded, "dense")),
    "visual": Row("audio-visual", partial(_audio, "visual")),
    "audio": Row("audio-visual", partial(_audio, "audio")),
    "mrav-ff": Row("audio-visual", partial(_audio, "fused")),
}
"""By name; the order is that of the table."""
