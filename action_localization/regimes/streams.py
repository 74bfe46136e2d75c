"""The streams that all regimes are measured on: gym clips, spliced motion capture with a text twin, and toy motifs.

A set is fixed by its data and its seed alone. Which classes are held out, how many streams there are, and what the
synthetic sound is made of are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from action_localization.gym.detector import GymConfig, StreamBatches, as_input, fit_principal
from action_localization.gym.streams import FOLDS, Stream, action_classes, read_clips, scored_streams, split
from action_localization.open_vocabulary.rows import text_rows
from action_localization.pose.classes import CLASSES
from action_localization.pose.features import person_features
from action_localization.pose.mocap import measured_streams
from action_localization.pose.mocap import read_clips as read_motion_clips
from action_localization.pose.streams import MIRRORED, Pool, make_stream
from action_localization.pose.streams import Stream as PoseStream
from action_localization.regimes.sound import sound_of
from laban.progress import progress
from laban.timeline import FrameGrid, Segment, Timeline
from models.data.dataset import MotionDataset
from models.features import Features, read_features, write_features
from models.motion_text.encoder import load_motion_text
from models.text.captions import mirror_text

Embed = Callable[[Sequence[str]], Float[ndarray, "texts width"]]
Joints = Float32[ndarray, "frames 22 3"]

EVERY = 4
"""Every fourth class in alphabetical order is held out from what zero-shot systems learn from."""
GYM_STREAMS, MOCAP_STREAMS = 160, 140
"""Training streams."""
_SEED = 20261


@dataclass(frozen=True)
class RegimeVideo:
    """A stream, what is true of it, and what else can be known of it.

    `sentences` are segments labelled with a sentence; `text` are unit rows of a text-aligned encoder; `audio` rows of
    sound. Each array has a grid of its own.
    """

    name: str
    features: Features
    truth: Timeline
    sentences: tuple[Segment, ...] = ()
    text: Features | None = None
    audio: Features | None = None


@dataclass(frozen=True)
class RegimeSet:
    """Streams to learn from, to choose thresholds on, and to measure on; `embed` is the text side of `text`."""

    name: str
    classes: tuple[str, ...]
    wordings: dict[str, str]
    """A class in plain words."""
    train: tuple[RegimeVideo, ...]
    tune: tuple[RegimeVideo, ...]
    test: tuple[RegimeVideo, ...]
    embed: Embed | None = None

    @property
    def unseen(self) -> tuple[str, ...]:
        """The classes that zero-shot systems do not learn from."""
        return self.classes[1::EVERY]

    @property
    def seen(self) -> tuple[str, ...]:
        """The others."""
        return tuple(label for label in self.classes if label not in self.unseen)

    @property
    def width(self) -> int:
        """Of the features."""
        return self.train[0].features.width


def only(video: RegimeVideo, classes: Sequence[str]) -> RegimeVideo:
    """The same stream with the truth of some classes alone."""
    kept = tuple(segment for segment in video.truth.segments if segment.label in classes)
    return replace(video, truth=Timeline(kept, video.truth.duration))


def gym_set(path: str | Path, fold: int = 0, config: GymConfig = GymConfig()) -> RegimeSet:
    """Streams of gym clips: one of five clip-disjoint folds to measure on, the next to choose on, three to learn from.

    Rows are 32 principal components of either half of the I3D numbers (pictures, then flow), fitted on training clips
    without labels, the likeness of rows to the one before with the first and to the one after with the second; each
    row is given twice and counts as a second. Sound is synthetic.
    """
    clips = read_clips(path)
    folds, classes = split(clips), action_classes(clips)
    test, tune = (np.flatnonzero(folds == (fold + i) % FOLDS) for i in (0, 1))
    train = np.flatnonzero((folds != fold) & (folds != (fold + 1) % FOLDS))
    halves = [np.split(clip.values, 2, 1) for clip in clips]
    narrow = replace(config, components=config.components // 2)
    axes = [fit_principal([halves[i][one] for i in train], narrow) for one in (0, 1)]
    read = [
        replace(clip, values=np.concatenate([axes[one](pair[one]) for one in (0, 1)], 1))
        for clip, pair in zip(clips, halves, strict=True)
    ]
    half = narrow.components
    order = [*range(half), 2 * half, *range(half, 2 * half), 2 * half + 1]
    batches = StreamBatches([read[i] for i in train], classes, config, _SEED)
    learnt = [batches.drawn(np.random.default_rng((_SEED, fold, number))) for number in range(GYM_STREAMS)]

    def videos(streams: Sequence[Stream], name: str) -> tuple[RegimeVideo, ...]:
        found = []
        for number, stream in enumerate(streams):
            features = as_input(stream, 0, config.repeat)
            features = replace(features, values=features.values[:, order])
            sentences = tuple(replace(s, label=f"somebody does {s.label}") for s in stream.truth.segments)
            key = f"{name}_{number:03d}"
            found.append(RegimeVideo(key, features, stream.truth, sentences,
                                     audio=sound_of(key, stream.truth, classes)))  # fmt: skip
        return tuple(found)

    return RegimeSet(
        "gym", classes, {label: f"somebody does {label}" for label in classes}, videos(learnt, "train"),
        videos(scored_streams(read, tune, FOLDS + fold), "tune"), videos(scored_streams(read, test, fold), "test"),
    )  # fmt: skip


def read_mocap_set(folder: str | Path, cache: str | Path = "runs/regimes/text", *, quiet: bool = False) -> RegimeSet:
    """`mocap_set` of a built motion set, with the embedded motion-text encoder for its text twin."""
    encoder = load_motion_text()
    text = partial(text_rows, encoder=encoder)
    return mocap_set(MotionDataset.open(folder), Path(cache), text=text, embed=encoder.embed_text, quiet=quiet)


def mocap_set(
    dataset: MotionDataset, cache: Path, *, text: Callable[[Joints], Features] | None = None,
    embed: Embed | None = None, quiet: bool = False,
) -> RegimeSet:  # fmt: skip
    """Spliced motion capture: features are the embedded detector's entries; sentences are captions of the clips.

    Splits are the dataset's own: `train` to learn from, `val` to choose on, `test` to measure on. `text` makes the text
    twin of a stream's joints (20 fps, metres), kept in `cache`; `embed` is its text side. Sound is synthetic.
    """
    pool = Pool(read_motion_clips(dataset, "train", trust=True, quiet=quiet))
    learnt = {f"train_{n:03d}": make_stream(pool, (_SEED, n)) for n in range(MOCAP_STREAMS)}
    wordings = {one.name: WORDINGS.get(one.name, f"a person does {one.name}") for one in CLASSES}
    classes = tuple(label for label in sorted(wordings) if label in pool.by_label)
    sets: list[tuple[RegimeVideo, ...]] = []
    for streams in (
        learnt,
        measured_streams(dataset, "val", quiet=True),
        measured_streams(dataset, "test", quiet=True),
    ):
        with progress("text twins" if text else "streams", len(streams), quiet=quiet) as advance:
            videos = []
            for name, stream in streams.items():
                twin = _kept(cache / f"{name}.npz", stream.joints, text) if text else None
                videos.append(_mocap_video(name, stream, dataset, classes, wordings, twin))
                advance(1)
        sets.append(tuple(videos))
    train, tune, test = sets
    return RegimeSet("mocap", classes, {label: wordings[label] for label in classes}, train, tune, test, embed)


def _mocap_video(
    name: str, stream: PoseStream, dataset: MotionDataset, classes: Sequence[str], wordings: dict[str, str],
    text: Features | None,
) -> RegimeVideo:  # fmt: skip
    sentences = tuple(
        replace(segment, label=_caption(dataset, clip, segment, wordings))
        for segment, clip in zip(stream.truth.segments, stream.clips, strict=True)
    )
    features = person_features(stream.joints, stream.confidence, stream.observed, 20.0)
    truth = Timeline(tuple(s for s in stream.truth.segments if s.label in classes), stream.truth.duration)
    return RegimeVideo(name, features, truth, sentences, text, sound_of(name, truth, classes))


def _caption(dataset: MotionDataset, clip: str, segment: Segment, wordings: dict[str, str]) -> str:
    """A sentence about the clip: the caption that covers most of it, or its label in words, with sides as mirrored.

    For a part of a take it is the wording of the part's class.
    """
    name = clip.removesuffix(MIRRORED)
    record = dataset.by_id.get(name)
    if record is None or "@" in name:
        return wordings[segment.label]
    longest = max(record.captions, key=lambda one: one.end - one.start, default=None)
    texts = record.texts if longest is None else longest.texts
    text = texts[sum(name.encode()) % len(texts)] if texts else wordings[segment.label]
    return text if clip == name else mirror_text(text)


def _kept(path: Path, joints: Joints, text: Callable[[Joints], Features]) -> Features:
    """The text twin from the cache, else made and kept."""
    if path.is_file():
        return read_features(path)
    features = text(joints)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_features(features, path)
    return features


TOY_CLASSES = ("bend", "hop", "nod", "spin", "turn")
_TOY_WIDTH, _TOY_TEXT = 16, 12


def toy_set(seed: int = 0, *, train: int = 40, measured: int = 12) -> RegimeSet:
    """Motifs planted in noise: streams of about 80 entries (10 a second) that anything sound learns in seconds.

    A motif has a pattern that fades from its beginning into another at its end. Text rows are the class's embedding in
    noise; sound marks the true boundaries.
    """
    rng = np.random.default_rng((_SEED, seed))
    motif = rng.normal(size=(len(TOY_CLASSES), 2, _TOY_WIDTH))
    words = np.linalg.qr(rng.normal(size=(_TOY_TEXT, _TOY_TEXT)))[0][: len(TOY_CLASSES) + 1]
    wordings = {label: f"a person does {label}" for label in TOY_CLASSES}

    def embed(texts: Sequence[str]) -> Float[ndarray, "texts width"]:
        named = [next((i for i, c in enumerate(TOY_CLASSES) if c in text), len(TOY_CLASSES)) for text in texts]
        return words[named]

    def video(name: str, draw: np.random.Generator) -> RegimeVideo:
        values, segments = np.zeros((0, _TOY_WIDTH)), list[Segment]()
        label = np.zeros(0, int)
        for _ in range(int(draw.integers(3, 6))):
            gap, length, one = int(draw.integers(4, 12)), int(draw.integers(8, 20)), int(draw.integers(len(motif)))
            share = np.linspace(0, 1, length)[:, None]
            planted = (1 - share) * motif[one, 0] + share * motif[one, 1]
            start = (len(values) + gap) / 10
            values = np.concatenate([values, np.zeros((gap, _TOY_WIDTH)), planted])
            label = np.concatenate([label, np.full(gap, len(motif)), np.full(length, one)])
            segments.append(Segment(start, start + length / 10, TOY_CLASSES[one]))
        values = np.concatenate([values, np.zeros((6, _TOY_WIDTH))]) + draw.normal(
            0, 0.5, (len(values) + 6, _TOY_WIDTH)
        )
        label = np.concatenate([label, np.full(6, len(motif))])
        rows = words[label] + draw.normal(0, 0.25, (len(label), _TOY_TEXT))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        grid, truth = FrameGrid(10.0, len(values)), Timeline(tuple(segments), len(values) / 10)
        sentences = tuple(replace(s, label=wordings[s.label]) for s in segments)
        return RegimeVideo(name, Features(values.astype(np.float32), grid, "toy"), truth, sentences,
                           Features(rows.astype(np.float32), grid, "toy text"),
                           sound_of(name, truth, TOY_CLASSES))  # fmt: skip

    def videos(split: str, count: int) -> tuple[RegimeVideo, ...]:
        number = ("train", "tune", "test").index(split)
        return tuple(video(f"{split}_{i}", np.random.default_rng((_SEED, seed, number, i))) for i in range(count))

    return RegimeSet("toy", TOY_CLASSES, wordings, videos("train", train), videos("tune", measured),
                     videos("test", measured), embed)  # fmt: skip


WORDINGS = {
    "walk": "a person walks", "walk and turn": "a person walks and turns", "run": "a person runs",
    "walk backward": "a person walks backwards", "walk sideways": "a person walks sideways",
    "jump": "a person jumps", "dance": "a person dances", "wave": "a person waves a hand",
    "raise arms": "a person raises both arms", "clap": "a person claps", "bend forward": "a person bows",
    "punch": "a person punches", "kick": "a person kicks", "throw": "a person throws something",
    "catch": "a person catches something", "draw in the air": "a person draws in the air with a hand",
    "hammer": "a person hammers", "golf swing": "a person swings a golf club",
    "tennis swing": "a person plays tennis", "basketball": "a person plays basketball",
    "sit down": "a person sits down", "stand up": "a person stands up", "pick up": "a person picks something up",
    "carry": "a person carries something", "push": "a person pushes something", "pull": "a person pulls something",
    "get up from the floor": "a person gets up from the floor", "fall down": "a person falls down",
    "crawl": "a person crawls on the floor", "cartwheel": "a person does a cartwheel", "flip": "a person does a flip",
    "roll": "a person rolls over the floor", "sword swing": "a person swings a sword",
    "archery": "a person shoots with a bow", "aim a gun": "a person aims a gun", "swim": "a person swims",
    "push-up": "a person does push-ups", "jumping jacks": "a person does jumping jacks", "squat": "a person squats",
}  # fmt: skip
"""The pose classes of motion capture in plain words, written before any system was measured."""
