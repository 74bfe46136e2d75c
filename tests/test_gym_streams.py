"""Gym streams: clip-disjoint folds, truth where the clips are, a probe that learns, a detector that beats its runs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from action_localization.gym.detector import (
    SYSTEMS,
    GymConfig,
    StreamBatches,
    as_input,
    detections,
    fit_reader,
    train_detector,
)
from action_localization.gym.probe import (
    Choice,
    RunConfig,
    average,
    choose_probe,
    fit_probe,
    probe_detections,
    run_segments,
)
from action_localization.gym.streams import (
    BACKGROUND,
    FOLDS,
    Clip,
    StreamConfig,
    action_classes,
    read_clips,
    scored_streams,
    split,
)
from laban.errors import LabanError

LABELS = ("squat", "pull up", "push-up", BACKGROUND[0], BACKGROUND[1])
WIDTH = 12


def clips(per_class: int = 15, noise: float = 0.6, seed: int = 0) -> tuple[Clip, ...]:
    """Each class a direction, each clip one of its own beside it, rows around their clip; never below 0."""
    rng = np.random.default_rng(seed)
    made = []
    for label in LABELS:
        towards = rng.uniform(0, 2, WIDTH)
        for number in range(per_class):
            own = np.abs(towards + rng.normal(0, noise, WIDTH))
            rows = np.abs(own + rng.normal(0, 0.1, (int(rng.integers(1, 6)), WIDTH)))
            made.append(Clip(f"{label}_{number}", label, rows.astype(np.float32)))
    return tuple(made)


def test_every_class_is_dealt_out_evenly_and_the_same_every_time() -> None:
    made = clips()
    fold = split(made)
    assert np.array_equal(fold, split(made))
    for label in LABELS:
        assert np.bincount(fold[[clip.label == label for clip in made]], minlength=FOLDS).tolist() == [3] * FOLDS


def test_scored_streams_hold_each_clip_three_times_in_one_stream_only() -> None:
    made = clips()
    members = np.flatnonzero(split(made) == 2)
    streams = scored_streams(made, members, 2, StreamConfig(clips=3))
    actions = [i for i in members if not made[i].background]
    home: dict[int, str] = {}
    for stream in streams:
        starts = {s.start for s in stream.truth.segments} | {s.end for s in stream.truth.segments}
        assert set(stream.clip) <= set(members)
        for index in set(stream.clip) & set(actions):
            assert home.setdefault(int(index), stream.name) == stream.name
            assert (stream.clip == index).sum() == 3 * len(made[index].values)
        for segment in stream.truth.segments:
            inside = stream.clip[int(segment.start) : int(segment.end)]
            assert len(set(inside)) == 1
            assert made[inside[0]].label == segment.label
            rows = stream.features.values[int(segment.start) : int(segment.end)]
            assert np.array_equal(rows, made[inside[0]].values)
        covered = sum(s.end - s.start for s in stream.truth.segments)
        assert covered == sum(not made[i].background for i in stream.clip)
        assert starts <= set(range(len(stream.clip) + 1))
    assert set(home) == set(actions)
    again = scored_streams(made, members, 2, StreamConfig(clips=3))
    assert all(np.array_equal(a.features.values, b.features.values) for a, b in zip(streams, again, strict=True))


def test_a_clip_never_follows_itself_directly() -> None:
    made = clips()
    for seed in range(20):
        for stream in scored_streams(made, np.arange(len(made)), seed, StreamConfig(clips=2, gap=0.0)):
            segments = stream.truth.segments
            for one, other in zip(segments[:-1], segments[1:], strict=True):
                if one.end == other.start:
                    assert stream.clip[int(one.start)] != stream.clip[int(other.start)]


def test_runs_merge_rows_and_leave_background_out() -> None:
    best = [2, 0, 0, 1, 1, 2, 1]
    logits = np.full((7, 3), -4.0, np.float32)
    logits[np.arange(7), best] = 4.0
    found = run_segments(logits, ("a", "b"), RunConfig())
    assert [(s.start, s.end, s.label) for s in found.segments] == [(1, 3, "a"), (3, 5, "b"), (6, 7, "b")]
    summed = run_segments(logits, ("a", "b"), RunConfig(score="sum"))
    assert summed.segments[0].score == pytest.approx(2 * found.segments[0].score)
    assert run_segments(logits, ("a", "b"), RunConfig(background=20.0)).segments == ()


def test_the_probe_learns_and_its_choice_is_made_on_the_given_streams() -> None:
    made = clips(noise=0.3)
    fold, classes = split(made), action_classes(made)
    train, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    streams = scored_streams(made, test, 0)
    probe = fit_probe(made, train, classes, penalty=1e-2, power=1.0)
    assert np.allclose(probe.chances(made[0].values).sum(1), 1, atol=1e-5)
    value = average(streams, probe_detections(probe, streams, classes, RunConfig()))
    chosen = choose_probe(made, train, streams, classes)
    assert isinstance(chosen, Choice)
    assert 0.5 < value <= chosen.value <= 1


def test_a_training_clip_is_read_by_a_probe_that_has_not_seen_it() -> None:
    made = clips()
    members, config = list(range(60)), GymConfig(components=4)
    classes = action_classes(made)
    reader = fit_reader(made, members, classes, config)
    seen = [reader(made[i]).values for i in (0, 70)]
    assert [x.shape[1] for x in seen] == [len(classes) + 1 + 4] * 2
    # a lie about one training clip changes every probe but the one that reads it
    lied = list(made)
    lied[0] = replace(made[0], label="push-up")
    other = fit_reader(lied, members, classes, config)
    one = reader.part[made[0].name]
    assert np.array_equal(reader.probes[one].weight, other.probes[one].weight) == (other.part == reader.part)


def test_training_streams_are_a_function_of_seed_and_step_and_inputs_know_their_neighbours() -> None:
    made = clips()
    classes, config = action_classes(made), GymConfig(components=4, size=2, clips=4)
    reader = fit_reader(made, list(range(len(made))), classes, config)
    read = [reader(clip) for clip in made]
    batches = StreamBatches(read, classes, config, 3)
    one, again, other = batches(5), StreamBatches(read, classes, config, 3)(5), batches(6)
    assert np.array_equal(one.features.numpy(), again.features.numpy())
    assert one.features.shape != other.features.shape or not np.array_equal(one.features, other.features)
    assert (one.labels >= 0).sum() == 2 * 4
    stream = scored_streams(read, np.arange(len(read)), 0)[0]
    features = as_input(stream, len(classes) + 1, 3)
    same = stream.clip[1:] == stream.clip[:-1]
    likeness = features.values[::3][1:, -2]
    assert likeness[same].min() > likeness[~same].mean()
    assert features.grid.seconds == stream.truth.duration


@pytest.mark.parametrize("name", ["actionformer", "asl"])
def test_the_detector_learns_toy_streams(name: str, tmp_path: Path) -> None:
    made = clips(noise=0.4)
    fold, classes = split(made), action_classes(made)
    train, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    config = GymConfig(components=6, size=4, clips=4)
    config = replace(config, training=replace(config.training, steps=60, lr=6e-3, warmup=5, ema=0.9))
    reader = fit_reader(made, train, classes, config)
    read = [reader(clip) for clip in made]
    network = train_detector(SYSTEMS[name], [read[i] for i in train], classes, config, tmp_path, seed=0)
    streams = scored_streams(read, test, 0)
    found = detections(network, SYSTEMS[name], streams, config)
    assert average(streams, found) > 0.5
    for timeline in found.values():
        assert all(s.start == round(s.start) and s.end >= s.start + 1 for s in timeline.segments)


def write(path: Path, index: object, rows: int = 4) -> Path:
    np.savez(path, feats=np.ones((rows, 3), np.float16), index=np.array(json.dumps(index)))
    return path


def test_bad_files_are_named(tmp_path: Path) -> None:
    assert read_clips(write(tmp_path / "good.npz", [["a_1", "a", 0, 4]]))[0].values.shape == (4, 3)
    with pytest.raises(LabanError, match="clip a_1 has rows 2 to 6 of 4"):
        read_clips(write(tmp_path / "long.npz", [["a_1", "a", 2, 4]]))
    with pytest.raises(LabanError, match="index is no list"):
        read_clips(write(tmp_path / "short.npz", [["a_1", "a"]]))
    with pytest.raises(LabanError, match="holds no clip"):
        read_clips(write(tmp_path / "empty.npz", []))
    np.savez(tmp_path / "other.npz", feats=np.ones((2, 2)))
    with pytest.raises(LabanError, match="has no array index"):
        read_clips(tmp_path / "other.npz")


@pytest.mark.data
def test_the_real_clips() -> None:
    path = Path(os.environ.get("LABAN_ANNOTATIONS", "../shared/data/annotations")) / "features/workout_i3d.npz"
    if not path.is_file():
        pytest.skip("the gym features are not here")
    made = read_clips(path)
    assert (len(made), sum(len(clip.values) for clip in made)) == (505, 1395)
    assert len(action_classes(made)) == 16
    assert set(BACKGROUND) < {clip.label for clip in made}
    assert np.bincount(split(made)).tolist() == [101] * FOLDS
