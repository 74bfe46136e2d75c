"""Online, weak and grounded systems on data of one's own: learnt from features and annotations, and asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from action_localization.audio.joining import hears
from action_localization.data.corpus import Corpus, Instant, listed
from action_localization.data.layouts import read_corpus
from action_localization.evaluation.instances import Instances
from action_localization.grounded.ground import OwnGrounder, ground_own, own_grounder
from action_localization.grounded.pose import ground_entries, load_grounder
from action_localization.grounded.queries import Span
from action_localization.pose.detector import EXTRACTED
from action_localization.pose.features import EXTRACTOR, extracted_features
from action_localization.regimes.streams import RegimeSet, RegimeVideo
from action_localization.regimes.systems import KINDS, answering, kind_preset, load_system, save_system
from action_localization.regimes.table import best_threshold
from action_localization.spine.checkpoint import load_detector, regime_of
from action_localization.spine.detect import detect_features
from action_localization.spine.learn import DetectorTraining, FeatureFolder, HeardFolder, training_part
from action_localization.spine.presets import preset
from action_localization.weak.supervision import drawn_clicks
from laban.errors import LabanError
from laban.progress import progress
from laban.timeline import Segment, Timeline
from laban.weights import load_weights
from models.features import Features
from models.shards import read_shard
from models.text.captions import clean
from models.training import TrainConfig, UnfinishedError

HELD_OUT = 0.2
"""Share of the training videos that thresholds are chosen on; nothing else is learnt from them."""
_SLOW = 5.0
"""Rows a second below which online systems take the preset of the slow streams."""
_WHOLE = 0.95
"""A segment that fills this share of its video says what is in the video, not where."""
_ASKED = 20
"""Sentences that each held-out video is asked about."""


@dataclass(frozen=True)
class OwnData:
    """What a system learns from: `data` has no test streams; `clicks` are moments that the annotations give."""

    data: RegimeSet
    clicks: Mapping[str, Sequence[Instant]]
    bounded: bool
    """Whether some segment tells where in its video something happens."""
    remarks: tuple[str, ...]


def train_system(job: DetectorTraining, *, quiet: bool = False) -> tuple[Path | None, list[str]]:
    """Train, or go on with, the system of a job; (checkpoint folder, or None when time ran out, and remarks).

    A share of the training videos is held out, on which the threshold is chosen. LabanError for options that only
    offline systems heed, when fewer than two videos have features, or the run's folder holds another run.
    """
    _check(job)
    own = own_data(job, quiet=quiet)
    data, kind, remarks = own.data, KINDS[job.system], list(own.remarks)
    config = configured(job, own)
    more: dict[str, Any] = {"choose": bool(_truths(data))} if kind.regime == "online" else {}
    if job.system == "points" and any(own.clicks.values()):
        drawn = drawn_clicks({video.name: video.truth for video in data.train}, job.seed)
        more["clicks"] = {name: (*drawn[name], *own.clicks[name]) for name in drawn}
    deadline = None if job.minutes is None else time.monotonic() + 60 * job.minutes
    try:
        network = kind.fit(data, config, job.run, seed=job.seed, quiet=quiet, deadline=deadline, **more)
    except UnfinishedError:
        return None, remarks
    least = _threshold(job.system, network, own, quiet=quiet)
    features = data.train[0].features
    grid = features.grid
    facts: dict[str, Any] = {
        "extractor": features.extractor, "threshold": least, "held_out": [video.name for video in data.tune],
        "grid": {"fps": grid.fps, "stride": grid.stride, "window": grid.window, "offset": grid.offset},
    }  # fmt: skip
    if kind.regime == "grounded":
        facts["features"] = data.width
    elif kind.regime == "weak" and least is not None:
        facts["thresholds"] = dict.fromkeys(data.classes, least)
    save_system(job.output, job.system, network, _card(job, own, network, least), facts)
    return job.output, remarks


def _check(job: DetectorTraining) -> None:
    given = {"--audio": job.audio, "--precision": job.precision if job.precision != "32-true" else None,
             "--devices": job.devices if job.devices != 1 else None,
             "--strategy": job.strategy if job.strategy != "auto" else None}  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise LabanError(f"train detect: {option} {value} with --system {job.system}, which learns from features "
                             "alone, on one processor, in 32-true; accepted: without it")  # fmt: skip
    if job.shards and (job.features, job.side_car, job.key) != (None, None, None):
        raise LabanError("train detect: --shards hold features and their grid; accepted without --features, --grid, "
                         "--key")  # fmt: skip


def own_data(job: DetectorTraining, *, quiet: bool = False) -> OwnData:
    """The training part of a job's annotations with their features, all in memory, a share of it held out."""
    corpus = training_part(read_corpus(job.annotations, job.read), preset("actionformer", job.layout), job.split)
    features = _features(job, corpus, quiet=quiet)
    source = job.features or (job.shards or ("--features",))[0]
    if len(features) < 2:
        raise LabanError(f"{source}: has features of {len(features)} of {len(corpus.videos)} videos (such as "
                         f"{next(iter(corpus.videos))}); accepted: at least two, one of which is held out")  # fmt: skip
    grounded = KINDS[job.system].regime == "grounded"
    if not corpus.classes and not grounded:
        raise LabanError(f"{job.annotations}: has sentences and no classes; accepted with --system "
                         f"{', '.join(name for name, kind in KINDS.items() if kind.regime == 'grounded')}")  # fmt: skip
    first = next(iter(features.values()))
    for name, one in features.items():
        if one.width != first.width:
            raise LabanError(f"{name}: features are {one.width} wide; the first ones are {first.width}")
    videos = []
    for name, one in features.items():
        truth = Timeline(corpus.videos[name].timeline.segments, corpus.videos[name].duration)
        videos.append(RegimeVideo(name, one, truth, truth.segments if grounded else ()))
    train, tune = held_out(videos, job.seed)
    rate = first.grid.fps / first.grid.stride
    like = "mocap" if first.extractor == EXTRACTOR else "gym" if _slow(job.system, rate) else "own"
    known = {label for video in train for label in video.truth.labels()}
    known |= {instant.label for video in train for instant in corpus.videos[video.name].instants}
    remarks = [f"{len(features)} of {len(corpus.videos)} videos have features; {len(tune)} are held out",
               *listed(corpus.problems)]  # fmt: skip
    if unseen := [label for label in corpus.classes if label not in known]:
        remarks.append(f"{len(unseen)} of {len(corpus.classes)} classes are in no training video, first {unseen[0]}")
    spans = [(s.end - s.start) / video.truth.duration for video in videos for s in video.truth.segments]
    data = RegimeSet(like, corpus.classes, {label: label for label in corpus.classes}, train, tune, ())
    clicks = {video.name: corpus.videos[video.name].instants for video in train}
    return OwnData(data, clicks, any(span < _WHOLE for span in spans), tuple(remarks))


def _slow(system: str, rate: float) -> bool:
    return KINDS[system].regime == "online" and rate < _SLOW


def held_out(videos: Sequence[RegimeVideo], seed: int) -> tuple[tuple[RegimeVideo, ...], tuple[RegimeVideo, ...]]:
    """(to learn from, to choose on) in their order; a video with the only example of a class is learnt from.

    At least one is held out, whatever it holds.
    """
    order = [int(place) for place in np.random.default_rng((seed, 20)).permutation(len(videos))]
    wanted, chosen, left = max(1, round(HELD_OUT * len(videos))), list[int](), dict[str, int]()
    for video in videos:
        for label in video.truth.labels():
            left[label] = left.get(label, 0) + 1
    for place in order:
        labels = set(videos[place].truth.labels())
        if len(chosen) < wanted and labels and all(left[label] > 1 for label in labels):
            chosen.append(place)
            left.update({label: left[label] - 1 for label in labels})
    chosen = chosen or order[:1]
    return (tuple(video for place, video in enumerate(videos) if place not in chosen),
            tuple(videos[place] for place in sorted(chosen)))  # fmt: skip


def _features(job: DetectorTraining, corpus: Corpus, *, quiet: bool) -> dict[str, Features]:
    """The features of the videos of a corpus that have any; rows of `pose_confidence` become the detector's entries."""
    found: dict[str, Features] = {}
    if job.shards:
        for source in job.shards:
            found |= {raw.name: raw.read().features for raw in read_shard(source) if raw.name in corpus.videos}
        found = {name: found[name] for name in corpus.videos if name in found}
    elif job.features is None:
        raise LabanError("train detect: accepted: --features FOLDER, or --shards")
    else:
        folder = FeatureFolder(job.features, side_car=job.side_car, key=job.key)
        names = [name for name in corpus.videos if folder.path(name)]
        with progress("features", len(names), quiet=quiet) as advance:
            for name in names:
                found[name] = folder(name)
                advance(1)
    return {name: as_trained(one, EXTRACTOR, name) if one.extractor == EXTRACTED else one
            for name, one in found.items()}  # fmt: skip


def as_trained(features: Features, extractor: str, name: str | Path) -> Features:
    """Features as a checkpoint over those of `extractor` reads them; LabanError for those of another encoder."""
    if extractor == EXTRACTOR and features.extractor != EXTRACTOR:
        try:
            return extracted_features(features)
        except LabanError as error:
            raise LabanError(f"{name}: {error}") from None
    return features


def configured(job: DetectorTraining, own: OwnData) -> Any:
    """The preset of a job's system with its steps, batch and learning rate; weak videos without boundaries stay whole.

    `steps` is the length of each round of learning; a suppressor (OSN) never learns for longer than its preset.
    """
    config = kind_preset(job.system, own.data.name)
    training = _training(config)
    if job.lr is not None:
        training = replace(training, lr=job.lr)
    if job.steps is not None:
        training = _lasting(training, job.steps)
        if hasattr(config, "suppressor"):
            few = _lasting(config.suppressor.training, min(job.steps, config.suppressor.training.steps))
            config = replace(config, suppressor=replace(config.suppressor, training=few))
    regime = KINDS[job.system].regime
    if regime == "grounded":
        batches = config.learning.batches
        batches = batches if job.batch is None else replace(batches, videos=job.batch)
        return replace(config, learning=replace(config.learning, training=training, batches=batches))
    part = "moments" if regime == "online" else "batches"
    drawn = getattr(config, part)
    drawn = drawn if job.batch is None else replace(drawn, size=job.batch)
    config = replace(config, training=training, **{part: drawn})
    if regime == "weak" and not own.bounded:
        config = replace(config, cut=replace(config.cut, seconds=0.0))
    return config


def _lasting(training: TrainConfig, steps: int) -> TrainConfig:
    return replace(training, steps=steps, warmup=min(training.warmup, steps // 5))


def _training(config: Any) -> TrainConfig:
    found: TrainConfig = config.learning.training if hasattr(config, "learning") else config.training
    return found


# -------------------------------------------------------------------------------------------------------- thresholds


def _truths(data: RegimeSet) -> dict[str, Timeline]:
    """The truth of the held-out videos that have some."""
    return {video.name: video.truth for video in data.tune if video.truth.segments}


def _threshold(system: str, network: Any, own: OwnData, *, quiet: bool) -> float | None:
    """The score from which something is shown: chosen on the held-out videos; None where they cannot tell."""
    kind, truths = KINDS[system], _truths(own.data)
    if not truths or not (own.bounded or kind.regime == "online"):
        return None
    if kind.regime == "online":
        return float(network.threshold)
    answer: Callable[..., Any] = kind.answer
    found = {}
    sentences = list(dict.fromkeys(label for truth in truths.values() for label in truth.labels()))
    with progress("choosing a threshold", len(truths), quiet=quiet) as advance:
        for video in own.data.tune:
            if video.name in truths and kind.regime == "weak":
                found[video.name] = answer(network, video.features, duration=video.truth.duration)
            elif video.name in truths:
                mine = video.truth.labels()
                asked = [*mine, *(one for one in sentences if one not in mine)][:_ASKED]
                found[video.name] = as_score(asked, answer(network, video.features, asked), video.truth.duration)
            advance(1)
    return best_threshold(truths, found)


def as_score(sentences: Sequence[str], spans: Sequence[Sequence[tuple[float, float, float]]], end: float) -> Timeline:
    """Spans as segments labelled with their sentence, cut at the end (seconds)."""
    rows = [(text, max(start, 0.0), min(stop, end), score) for text, several in zip(sentences, spans, strict=True)
            for start, stop, score in several]  # fmt: skip
    return Timeline(tuple(Segment(a, b, text, score=score) for text, a, b, score in rows if b > a), end)


# ------------------------------------------------------------------------------------------------------------ asking


def detect_corpus(checkpoint: str | Path, corpus: Corpus, folder: FeatureFolder, *, quiet: bool = False) -> Instances:
    """Detections of a checkpoint (offline, weak or online) in all videos of a corpus that have features.

    LabanError where none has, where sound is missing or not read, and for features of another encoder.
    """
    detect, config, sound = corpus_detector(checkpoint)
    made_from = config.get("extractor", "unknown")
    if sound != isinstance(folder, HeardFolder):
        raise LabanError(f"{checkpoint}: reads {'sound, too: name its folder' if sound else 'no sound'} (--audio)")
    names = [name for name in corpus.videos if folder.path(name)]
    if not names:
        raise LabanError(f"{folder.folder}: has features of none of {len(corpus.videos)} videos")
    found = {}
    with progress("detecting", len(names), quiet=quiet) as advance:
        for name in names:
            features = folder(name)
            if regime_of(config) != "offline" and features.extractor == EXTRACTED:
                features = as_trained(features, made_from, name)
            if made_from != "unknown" and features.extractor not in ("unknown", made_from):
                raise LabanError(f"{name}: features of {features.extractor}; {checkpoint} was trained on {made_from}")
            found[name] = detect(features, corpus.videos[name].duration or None)
            advance(1)
    return Instances.from_timelines(found)


def ground_corpus(
    checkpoint: str | Path, corpus: Corpus, folder: FeatureFolder, *, quiet: bool = False
) -> dict[tuple[str, str], list[Span]]:
    """Spans, best first, for every annotated sentence of the videos that have features, by video and sentence.

    LabanError where none has, and for features of another width than the grounder's.
    """
    own = own_grounder(checkpoint) or load_grounder(checkpoint)
    reads = own.reads if isinstance(own, OwnGrounder) else EXTRACTOR
    names = [name for name, video in corpus.videos.items() if folder.path(name) and video.timeline.segments]
    if not names:
        raise LabanError(f"{folder.folder}: has features of none of {len(corpus.videos)} videos with a sentence")
    found = {}
    with progress("grounding", len(names), quiet=quiet) as advance:
        for name in names:
            features = as_trained(folder(name), reads, name)
            texts = list(dict.fromkeys(clean(segment.label) for segment in corpus.videos[name].timeline.segments))
            if isinstance(own, OwnGrounder):
                answers = [ground_own(own, features, text).spans for text in texts]
            else:
                answers = [one.spans for one in ground_entries(own, features, texts)]
            found.update({(name, text): spans for text, spans in zip(texts, answers, strict=True)})
            advance(1)
    return found


def corpus_detector(
    checkpoint: str | Path,
) -> tuple[Callable[[Features, float | None], Timeline], dict[str, Any], bool]:
    """(what detects in features of a video of so many seconds, configuration, whether it hears) of a checkpoint."""
    regime = regime_of(load_weights(checkpoint)[1])
    if regime == "online":
        online, config = load_system(checkpoint, "online")
        return lambda features, duration: answering(online, config)(features), config, False
    if regime == "weak":
        weak, config = load_system(checkpoint, "weak")
        return lambda features, duration: answering(weak, config)(features, duration=duration), config, False
    network, config = load_detector(checkpoint)
    system = network.system
    return (lambda features, duration: detect_features(features, system, network, duration=duration), config,
            hears(system) is not None)  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- card

_LEARNT = {
    "online": "Learnt from whole segments. It says each action when it ends, from what came before alone.",
    "weak": "Learnt from **label sets alone**: {cut} and of each nothing but the set of classes in it is read. No "
            "boundary is learnt from.",
    "points": "Learnt from **one moment of each segment**: those of the annotations that have no length, and one drawn "
              "evenly from each segment. No boundary is learnt from.",
    "grounded": "Learnt from labels taken as sentences, each true where it is annotated and nowhere else in its video.",
}  # fmt: skip
_WEAK_POINTS = {
    "online": "What is said cannot be taken back: a pause within an action ends it. Sizes and steps are the presets of "
              "rows like these (config.json), not searched for on this data.",
    "weak": "Segments are stretches that tell classes apart, not annotators' boundaries: expect parts of actions, and "
            "actions that follow one another without a pause as one. The preset was not searched for on this data.",
    "grounded": "Sentences that mean the same but are worded differently are told apart as if they did not. Small "
                "networks; the preset was not searched for on this data.",
}  # fmt: skip


CARD = """# {system}, {regime}, on {name}

- **Data**: {videos} videos of {name}, {segments} segments; features by {extractor},
  {width} wide, {rate:g} rows a second. Licence and terms are those of the data.
- **Command**: `laban train detect {source} --annotations {name} --system {system}
  --seed {seed}`: {steps} steps (of each round), {size:.0f} thousand weights.
- **{what}**: {classes}.
- {how}
- **Threshold**: {threshold}.
- **Use**: `{use}`.

## Weaknesses

{weak} Training measures nothing: `laban eval` does.
"""
_USE = {
    "online": "laban detect --online FEATURES --checkpoint FOLDER", "weak": "laban detect FEATURES --checkpoint FOLDER",
    "grounded": 'laban ground FEATURES "SENTENCE" --checkpoint FOLDER',
}  # fmt: skip
_ALSO = "`, `laban eval {} --checkpoint FOLDER --features … --annotations …"


def _card(job: DetectorTraining, own: OwnData, network: nn.Module, least: float | None) -> str:
    data, regime = own.data, KINDS[job.system].regime
    grid, training = data.train[0].features.grid, _training(network.config)
    cut = "training videos are cut into short stretches by a seeded rule that sees no label,"
    if not own.bounded:
        cut = "every training video is one stretch, because its segments fill it,"
    threshold = "the usual one; no held-out video tells a better one"
    if least is not None:
        threshold = (f"{least:.3g}, chosen on {len(data.tune)} held-out training videos (named in config.json), whose "
                     "boundaries are read for this alone")  # fmt: skip
    return CARD.format(
        system=job.system, regime=regime, name=job.annotations.name, videos=len(data.train),
        segments=sum(len(video.truth.segments) for video in data.train), width=data.width,
        extractor=data.train[0].features.extractor, rate=grid.fps / grid.stride, seed=job.seed, steps=training.steps,
        source=f"--features {job.features.name}" if job.features else f"--shards … ({len(job.shards)} of them)",
        size=sum(p.numel() for p in network.parameters()) / 1e3, threshold=threshold,
        what="Sentences" if regime == "grounded" else "Classes",
        classes=len({s.label for video in data.train for s in video.sentences} or data.classes),
        how=_LEARNT["points" if job.system == "points" else regime].format(cut=cut),
        use=_USE[regime] + _ALSO.format("ground" if regime == "grounded" else "detect"),
        weak=_WEAK_POINTS[regime],
    )  # fmt: skip
