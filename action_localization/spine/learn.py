"""From a data set on disk (annotations and feature files) to a detector's checkpoint folder; resumable at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import torch

from action_localization.audio.joining import hears, joined, sized
from action_localization.data.corpus import Corpus, listed
from action_localization.data.layouts import read_corpus
from action_localization.data.options import ReadOptions
from action_localization.evaluation.epic import Task
from action_localization.spine.batches import BatchConfig, FeatureBatches, StreamBatches, TrainingVideo, training_video
from action_localization.spine.checkpoint import save_detector
from action_localization.spine.network import build_network
from action_localization.spine.presets import Preset, preset
from action_localization.spine.systems import base
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import FrameGrid, Timeline
from models.features import SUFFIXES, Features, SideCar, read_features
from models.shards import RawSample, Sample, read_shard, shuffled
from models.training import Batches, fit, is_main_process, steps_done

CACHE_BYTES = 4 << 30
"""Features kept in memory; what goes beyond is read from disk whenever its turn comes."""


@dataclass(frozen=True)
class DetectorTraining:
    """What `laban train detect` is asked for; None: as the preset of `system` on `layout` has it."""

    features: Path | None
    """Folder of feature files; None: `shards`."""
    annotations: Path
    output: Path
    run: Path
    layout: str = "thumos14"
    system: str = "actionformer"
    split: str | None = None
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int = 0
    minutes: float | None = None
    precision: str | None = None
    """None: bf16-mixed; systems of other regimes than the offline one know 32-true alone."""
    read: ReadOptions = ReadOptions()
    side_car: SideCar | None = None
    """Where rows lie in time, for features without side-cars."""
    key: str | None = None
    """The array's name in npz and h5 files."""
    shards: tuple[str, ...] = ()
    """Paths or addresses of tar files (see `models.shards`) instead of the folder."""
    devices: int = 1
    strategy: str = "auto"
    audio: Path | None = None
    """Folder of sound features, for a system that hears; videos without a file in it are silent."""


class FeatureFolder:
    """The feature files of a folder by the name of their video; kept in memory as far as `cache` bytes reach."""

    def __init__(
        self, folder: str | Path, *, side_car: SideCar | None = None, key: str | None = None, cache: int = CACHE_BYTES
    ) -> None:
        self.folder, self.side_car, self.key, self.room = Path(folder), side_car, key, cache
        if not self.folder.is_dir():
            raise LabanError(f"{folder}: is no folder; accepted: a folder of {', '.join(SUFFIXES)} files")
        self.kept: dict[str, Features] = {}

    def path(self, name: str) -> Path | None:
        """The file of a video, or None; LabanError for a name that would lead out of the folder."""
        if not name or name != Path(name).name:
            raise LabanError(f"video {name!r}: is no file name")
        return next((path for suffix in SUFFIXES if (path := self.folder / f"{name}{suffix}").is_file()), None)

    def __call__(self, name: str) -> Features:
        """The features of a video; LabanError where there are none."""
        if name in self.kept:
            return self.kept[name]
        path = self.path(name)
        if path is None:
            raise LabanError(f"{self.folder}: has no features of {name}; looked for {name}{{{','.join(SUFFIXES)}}}")
        features = read_features(path, key=self.key, side_car=self.side_car)
        if features.values.nbytes <= self.room:
            self.room -= features.values.nbytes
            self.kept[name] = features
        return features


class HeardFolder(FeatureFolder):
    """Feature files joined with those of a folder of sound, by the name of the video; one without is silent.

    `width` is that of the first sound file; LabanError when there is none.
    """

    def __init__(
        self, folder: str | Path, audio: str | Path, *, side_car: SideCar | None = None, key: str | None = None
    ) -> None:
        super().__init__(folder, side_car=side_car, key=key)
        self.sound = FeatureFolder(audio)
        first = next((path for path in sorted(self.sound.folder.iterdir()) if path.suffix.lower() in SUFFIXES), None)
        if first is None:
            raise LabanError(f"{audio}: holds no features of sound; laban extract VIDEO --encoder log_mel makes them")
        found = read_features(first)
        self.width, self.extractor = found.width, found.extractor

    def __call__(self, name: str) -> Features:
        """Pictures and sound of a video on the grid of the pictures."""
        sound = self.sound(name) if self.sound.path(name) else None
        try:
            return joined(super().__call__(name), sound, self.width)
        except LabanError as error:
            raise LabanError(f"{name}: {error}") from None


def feature_folder(
    features: str | Path, audio: str | Path | None = None, *, side_car: SideCar | None = None, key: str | None = None
) -> FeatureFolder:
    """The features of a folder, with the sound of another one where that is named."""
    if audio is None:
        return FeatureFolder(features, side_car=side_car, key=key)
    return HeardFolder(features, audio, side_car=side_car, key=key)


class FolderVideos(Sequence[TrainingVideo]):
    """Training videos that are read when they are asked for."""

    def __init__(self, folder: FeatureFolder, truth: Mapping[str, Timeline], classes: Sequence[str]) -> None:
        self.folder, self.truth, self.classes, self.names = folder, truth, tuple(classes), tuple(truth)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> TrainingVideo:  # type: ignore[override]
        name = self.names[index]
        return training_video(self.folder(name), self.truth[name], self.classes, name=name)

    def __iter__(self) -> Iterator[TrainingVideo]:
        return (self[index] for index in range(len(self)))


def train_detector(job: DetectorTraining, *, quiet: bool = False) -> tuple[Path | None, list[str]]:
    """Train, or go on with, the detector of a job; (checkpoint folder, or None when time ran out, and remarks).

    Videos without features are left out and counted in the remarks. LabanError when nothing is left, labels are no
    classes, or the run's folder holds another run.
    """
    chosen = preset(job.system, job.layout)
    if (hears(chosen.system) is None) != (job.audio is None):
        raise LabanError(f"train detect: --system {job.system} with {'' if job.audio else 'no '}--audio; accepted: "
                         "--system mrav with --audio FOLDER, any other without")  # fmt: skip
    corpus = training_part(read_corpus(job.annotations, job.read), chosen, job.split)
    batch = replace(chosen.batch, seed=job.seed, **({} if job.batch is None else {"size": job.batch}))
    batches, count, first = (_from_shards if job.shards else _from_folder)(job, corpus, batch)
    remarks = [f"{count} of {len(corpus.videos)} videos have features", *listed(corpus.problems)]
    training = replace(chosen, batch=batch).schedule(count)
    training = replace(training, seed=job.seed, precision=job.precision or training.precision, devices=job.devices,
                       strategy=job.strategy)  # fmt: skip
    if job.lr is not None:
        training = replace(training, lr=job.lr)
    if job.steps is not None:
        training = replace(training, steps=job.steps, warmup=min(training.warmup, job.steps // 5))
    torch.manual_seed(job.seed)
    sound = _sound_of(job)
    system = sized(chosen.system, sound["width"]) if sound else chosen.system
    network = build_network(system, first.width, corpus.classes)
    network = fit(network, training_loss, batches, training, job.run, minutes=job.minutes, progress=not quiet)
    if steps_done(job.run) < training.steps:
        return None, remarks
    grid = first.grid
    extra = {
        "layout": job.layout, "extractor": first.extractor,
        "grid": {"fps": grid.fps, "stride": grid.stride, "window": grid.window, "offset": grid.offset},
        **({"audio": sound} if sound else {}),
    }  # fmt: skip
    if is_main_process():
        save_detector(job.output, network, _card(job, corpus, training.steps, count), extra=extra)
    return job.output, remarks


def _sound_of(job: DetectorTraining) -> dict[str, Any] | None:
    """What made the sound features of a job, and how wide they are; None where it has none."""
    if job.audio is None or job.features is None:
        return None
    folder = HeardFolder(job.features, job.audio, side_car=job.side_car, key=job.key)
    return {"extractor": folder.extractor, "width": folder.width}


def _from_folder(job: DetectorTraining, corpus: Corpus, batch: BatchConfig) -> tuple[Batches, int, Features]:
    """(batches, number of videos, features of the first one) of a folder of files."""
    if job.features is None:
        raise LabanError("train detect: accepted: --features FOLDER, or --shards")
    folder = feature_folder(job.features, job.audio, side_car=job.side_car, key=job.key)
    truth = {name: video.timeline for name, video in corpus.videos.items() if folder.path(name)}
    if not truth:
        raise LabanError(f"{job.features}: has features of none of {len(corpus.videos)} videos "
                         f"(such as {next(iter(corpus.videos))})")  # fmt: skip
    videos = FolderVideos(folder, truth, corpus.classes)
    return FeatureBatches(videos, batch), len(truth), folder(videos.names[0])


def _from_shards(job: DetectorTraining, corpus: Corpus, batch: BatchConfig) -> tuple[Batches, int, Features]:
    """The same of shards, whose own segments give way to the annotations; all of their videos are looked for once."""
    if (job.features, job.side_car, job.key, job.audio) != (None, None, None, None):
        raise LabanError(
            "train detect: --shards hold features and their grid; accepted without --features, --grid, --key, --audio"
        )
    truth, first, names = corpus.timelines(), None, set[str]()
    for source in job.shards:
        for raw in read_shard(source):
            if raw.name in truth:
                first = first or raw.read().features
                names.add(raw.name)
    if first is None:
        raise LabanError(f"{job.shards[0]} and others: hold none of {len(truth)} videos (such as {next(iter(truth))})")

    def stream() -> Iterator[Callable[[], TrainingVideo]]:
        for raw in shuffled(job.shards, seed=job.seed):
            if raw.name in names:
                yield partial(_decoded, raw, truth[raw.name], corpus.classes)

    return StreamBatches(stream, batch), len(names), first


def _decoded(raw: RawSample, truth: Timeline, classes: Sequence[str]) -> TrainingVideo:
    return training_video(raw.read().features, truth, classes, name=raw.name)


def folder_samples(folder: FeatureFolder, corpus: Corpus) -> Iterator[Sample]:
    """The videos of a corpus that have features in a folder, as shards hold them."""
    for name, video in corpus.videos.items():
        if folder.path(name):
            yield Sample(name, folder(name), Timeline(video.timeline.segments, video.duration))


def side_car_of(text: str | None) -> SideCar | None:
    """`FPS,STRIDE,WINDOW[,OFFSET]` as a side-car; None for None."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        if not 3 <= len(numbers) <= 4:
            raise ValueError
        fps, stride, window, offset = [*numbers, 0.0][:4]
        FrameGrid(fps, 0, stride, window, offset)
    except (ValueError, LabanError) as error:
        raise LabanError(f"grid {text!r}: accepted: FPS,STRIDE,WINDOW[,OFFSET], such as 30,4,16 ({error})") from None
    return SideCar(fps, stride, window, offset)


def task_named(name: str) -> Task:
    """The task of that name; LabanError for another."""
    if name not in get_args(Task):
        raise LabanError(f"task {name!r}; accepted: {', '.join(get_args(Task))}")
    return cast(Task, name)


def training_part(corpus: Corpus, chosen: Preset, split: str | None) -> Corpus:
    """The videos of the named split, else of the preset's; all of them where the file names no splits."""
    if split is not None:
        return corpus.part(split)
    present = {name.lower() for name in corpus.splits()}
    if present <= {""}:
        return corpus
    for name in chosen.splits:
        if name in present:
            return corpus.part(name)
    raise LabanError(f"{corpus.name}: has the splits {', '.join(sorted(present))}; name the one to train on (--split)")


def _card(job: DetectorTraining, corpus: Corpus, steps: int, videos: int) -> str:
    host = base(preset(job.system, job.layout).system).name
    source = f"--features {job.features.name}" if job.features else f"--shards … ({len(job.shards)} of them)"
    source += f" --audio {job.audio.name}" if job.audio else ""
    return f"""# Detector: {job.system} ({host}) on {corpus.name}

- Trained by `laban train detect {source} --annotations {job.annotations.name} --layout
  {job.layout} --system {job.system}`, {steps} steps, seed {job.seed}, on {videos} videos.
- Classes: {len(corpus.classes)}. Licence and terms are those of the data it was trained on.
- Read by `laban eval detect --checkpoint`; features must come from the same extractor at the same rate (config.json).
"""
