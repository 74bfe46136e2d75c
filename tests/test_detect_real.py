"""Real video: the annotation file, the people in its stretches, folds over sources, and the streams of a fold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.pose.classes import names
from action_localization.pose.features import WIDTH
from action_localization.pose.real import (
    PREFIX,
    RealClip,
    Stretch,
    check_file,
    files_of,
    joined,
    marked_stretches,
    read_real_clips,
    real_clip,
)
from action_localization.pose.real_streams import FROM_MOTION, SEGMENTS, measured, real_streams, source_folds
from action_localization.pose.real_train import (
    LIMBS,
    LOWEST_BAR,
    left_out_bars,
    mixed_weights,
    refilmed,
    shaken,
    training_clips,
)
from action_localization.pose.streams import Clip
from action_localization.pose.training import SYSTEM
from action_localization.spine.network import Detector, build_network
from laban.errors import LabanError
from laban.files import cache_folder
from laban.timeline import FrameGrid
from models.body.retarget_body import target_body
from models.body.skeleton import NUM_BODY
from models.video.blazepose import Landmarks, PoseNetworks, Region
from models.video.pose import People, Person, Tracks, lifted, streams
from models.video.tracking import Sightings
from models.video.tracks_file import read_tracks_file, write_tracks

INSTALLED = cache_folder()
"""The user's own cache, before the tests hide it."""


def a_clip(label: str | None, source: str, frames: int = 60, seen: float = 1.0, start: float = 0.0) -> RealClip:
    """Somebody who stands and sways, seen all the time; the head's height tells one source from another."""
    rng = np.random.default_rng(sum(map(ord, source + (label or ""))))
    rest = target_body().joints[:NUM_BODY] - target_body().joints[0] + (0, 0.95, 0)
    joints = rest[None] + 0.02 * np.sin(np.arange(frames) / 4 + rng.uniform(0, 6))[:, None, None]
    whole = np.ones((frames, NUM_BODY), np.float32)
    stretch = Stretch(f"{source}.mp4", "0" * PREFIX, label, start, start + frames / 20, source, idle=label is None)
    clip = Clip(stretch.name, joints.astype(np.float32), label, label is None, whole, np.ones(frames, bool))
    return RealClip(stretch, clip, seen)


def some_clips() -> list[RealClip]:
    """Four classes of four sources, one of two, one known from motion capture alone, one that nothing else teaches."""
    many = [a_clip(label, f"{label} {k}") for label in ("squat", "plank", "walk", "jump rope") for k in range(4)]
    rare = [a_clip("wave", "film one"), a_clip("wave", "film two"), a_clip("push-up", "room"), a_clip("stir", "mug")]
    return [*many, *rare, *(a_clip(None, f"street {k}", 200) for k in range(4)), a_clip("plank", "dark", seen=0.3)]


# --- the annotation file ----------------------------------------------------------------------------------------------


def test_every_stretch_is_well_formed() -> None:
    stretches = marked_stretches()
    assert len(stretches) > 60 and list(stretches) == sorted(stretches, key=lambda s: (s.file, s.start, s.label or ""))
    for one in stretches:
        assert one.label is None or one.label in names()
        assert 0 <= one.start < one.end and one.verified_by_eye and one.source and one.note is not None
        assert re.fullmatch(f"[0-9a-f]{{{PREFIX}}}", one.sha256)
        assert one.at is None or all(0 < value < 1 for value in one.at)
        assert not one.idle or one.label is None
    assert len({(s.file, s.sha256) for s in stretches}) == len({s.file for s in stretches})
    assert files_of(stretches) == len({(s.file, s.at is None) for s in stretches})


def test_stretches_of_one_person_do_not_overlap() -> None:
    last: dict[tuple[str, tuple[float, float] | None], float] = {}
    for one in marked_stretches():
        key = (one.file, one.at)
        assert one.start >= last.get(key, 0.0)
        last[key] = one.end


def test_known_classes_of_one_source_are_classes() -> None:
    assert set(FROM_MOTION) <= set(names())


# --- people of a stretch ----------------------------------------------------------------------------------------------


def a_person(first: int, frames: int, x: float = 100.0, height: float = 0.9) -> Person:
    joints = np.zeros((frames, NUM_BODY, 3), np.float32)
    joints[..., 0] = np.linspace(0, 1, frames)[:, None]
    joints[..., 1] = height
    image = np.full((frames, 33, 3), x, np.float32)
    whole = np.ones((frames, NUM_BODY), np.float32)
    return Person(first, joints, whole, np.ones(frames, bool), image, np.ones((frames, 33), np.float32))


def test_joined_people_go_on_where_they_stopped() -> None:
    joints, confidence, observed = joined([a_person(0, 10), a_person(20, 10)], 0, 35)
    assert (
        joints.shape == (35, NUM_BODY, 3)
        and observed.tolist() == [True] * 10 + [False] * 10 + [True] * 10 + [False] * 5
    )
    assert not confidence[~observed].any() and (confidence[observed] == 1).all()
    steps = np.abs(np.diff(joints[..., 0], axis=0)).max()
    assert steps <= 1 / 9 + 1e-6
    np.testing.assert_allclose(joints[-1], joints[29])


def test_a_stretch_takes_the_person_at_its_place() -> None:
    found = People(FrameGrid(20, 40), (a_person(0, 40, 300, 0.9), a_person(0, 40, 50, 0.4)), (400, 100))
    stretch = Stretch("a.mp4", "0" * PREFIX, "squat", 0.5, 1.5, "one")
    most, there = real_clip(stretch, found), real_clip(replace(stretch, at=(0.1, 0.5)), found)
    assert most is not None and there is not None
    assert most.clip.joints.shape == (20, NUM_BODY, 3) and most.clip.label == "squat" and most.seen == 1
    assert np.allclose(most.clip.joints[..., 1], 0.9) and np.allclose(there.clip.joints[..., 1], 0.4)
    assert real_clip(replace(stretch, start=3.0, end=4.0), found) is None
    assert real_clip(stretch, People(FrameGrid(20, 40), (), (400, 100))) is None


def test_tracks_that_meet_at_a_cut_are_one_stream() -> None:
    grid, size = FrameGrid(20, 60), (400, 100)
    meeting = People(grid, (a_person(0, 30), a_person(28, 30)), size)
    assert [[p.first for p in s] for s in streams(meeting)] == [[0, 28]]
    together = People(grid, (a_person(0, 30), a_person(20, 30)), size)
    assert [[p.first for p in s] for s in streams(together)] == [[0]]
    within = People(grid, (a_person(0, 30), a_person(10, 5)), size)
    assert [[p.first for p in s] for s in streams(within)] == [[0]]


def some_tracks() -> Tracks:
    rng = np.random.default_rng(0)
    track = Sightings()
    for k in range(12):
        image, world = (rng.normal(size=(33, 3)).astype(np.float32) for _ in range(2))
        seen = rng.random((2, 33)).astype(np.float32)
        track.add(k / 20, Landmarks(image, world, seen[0], seen[1], 0.9, Region(1, 2, 3, 0.5)))
    return Tracks((track, Sightings([0.7], [track.landmarks[0]])), 20, (64, 48), 20.0)


def test_tracks_come_back_from_disk(tmp_path: Path) -> None:
    tracks = some_tracks()
    write_tracks(tracks, tmp_path / "a.npz")
    back = read_tracks_file(tmp_path / "a.npz")
    assert (back.frames, back.size, back.slowest) == (20, (64, 48), 20.0)
    assert [t.times for t in back.tracks] == [t.times for t in tracks.tracks]
    for ours, theirs in zip(tracks.tracks[0].landmarks, back.tracks[0].landmarks, strict=True):
        assert ours.following == theirs.following and ours.score == pytest.approx(theirs.score)
        np.testing.assert_array_equal(ours.world, theirs.world)
    np.testing.assert_array_equal(lifted(tracks).people[0].joints, lifted(back).people[0].joints)
    write_tracks(Tracks((), 5, (64, 48), 20.0), tmp_path / "none.npz")
    assert lifted(read_tracks_file(tmp_path / "none.npz")).people == ()


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(LabanError, match="lacks grid"):
        read_tracks_file(tmp_path / "other.npz")
    (tmp_path / "clip.mp4").write_bytes(b"not the clip")
    with pytest.raises(LabanError, match="is not the clip"):
        check_file(tmp_path / "clip.mp4", "0" * PREFIX)
    with pytest.raises(LabanError, match="no such file"):
        check_file(tmp_path / "none.mp4", "0" * PREFIX)
    with pytest.raises(LabanError, match="no such file"):
        read_real_clips(tmp_path, marked_stretches()[:1])


def test_kept_tracks_need_no_networks(tmp_path: Path) -> None:
    stretch = Stretch("gone.mp4", "ab" * 8, "squat", 0.0, 0.6, "one")
    write_tracks(some_tracks(), tmp_path / f"{stretch.sha256}-1.npz")
    told: list[int] = []
    (clip,) = read_real_clips(tmp_path, [stretch], kept=tmp_path, advance=told.append)
    assert len(clip.clip.joints) == 12 and told == [1] and clip.source == "one"


# --- folds and streams ------------------------------------------------------------------------------------------------


def test_no_source_is_in_two_folds_and_every_class_stays_known() -> None:
    clips = measured(some_clips())
    folds = source_folds(clips)
    assert sum(map(len, folds)) == len(frozenset().union(*folds)) == len({clip.source for clip in clips})
    for fold in folds:
        outside = {clip.label for clip in clips if clip.source not in fold}
        assert outside >= {clip.label for clip in clips if clip.source in fold and clip.label not in FROM_MOTION}
    assert folds == source_folds(list(reversed(clips)))
    with pytest.raises(LabanError, match="accepted: 2 or more"):
        source_folds(clips, 1)


def test_what_cannot_be_known_is_not_measured() -> None:
    kept = measured(some_clips())
    labels = {clip.label for clip in kept}
    assert "stir" not in labels and {"push-up", "wave", None} <= labels
    assert all(clip.source != "dark" for clip in kept)


def test_streams_are_exact_and_repeatable() -> None:
    clips = measured(some_clips())
    folds = source_folds(clips)
    made, again = real_streams(clips, folds, 8), real_streams(clips, folds, 8)
    for number, ((fold, stream), (_, same)) in enumerate(zip(made, again, strict=True)):
        np.testing.assert_array_equal(stream.joints, same.joints)
        assert stream.truth == same.truth and fold == number % len(folds)
        inside = {clip.label for clip in clips if clip.source in folds[fold]}
        assert len(stream.truth.segments) == SEGMENTS and len(stream.truth.labels()) >= 3
        assert set(stream.truth.labels()) <= inside and stream.seen
        assert stream.truth.duration == pytest.approx(len(stream.joints) / 20)
        assert all(2 <= segment.seconds <= 4 for segment in stream.truth.segments)
        ends = [(s.start, s.end) for s in stream.truth.segments]
        assert all(a[1] <= b[0] for a, b in zip(ends[:-1], ends[1:], strict=True))
    other = real_streams(clips, folds, 1, seed=1)[0][1]
    assert other.joints.shape != made[0][1].joints.shape or not np.array_equal(other.joints, made[0][1].joints)


def test_classes_take_turns_and_gaps_may_show_nobody() -> None:
    clips = measured(some_clips())
    made = real_streams(clips, source_folds(clips), 8)
    counts = {label: 0 for label in ("squat", "plank", "walk", "jump rope")}
    for _, stream in made:
        for segment in stream.truth.segments:
            counts[segment.label] = counts.get(segment.label, 0) + 1
    assert min(counts[label] for label in ("squat", "plank", "walk", "jump rope")) >= 6
    assert any(not stream.observed.all() for _, stream in made)


def test_a_fold_of_two_classes_makes_no_stream() -> None:
    clips = [a_clip(label, f"{label} {k}") for label in ("squat", "walk") for k in range(2)]
    with pytest.raises(LabanError, match="takes at least 3"):
        real_streams(clips, source_folds(clips, 2), 1)


# --- what a fine-tuning sees ------------------------------------------------------------------------------------------


def test_shaken_copies_stay_near_and_limbs_are_forgotten() -> None:
    clip = a_clip("squat", "one").clip
    rng = np.random.default_rng(0)
    copies = [shaken(clip, rng) for _ in range(40)]
    assert all(np.abs(copy.joints - clip.joints).max() < 0.15 for copy in copies)
    assert any(not np.array_equal(copy.joints, clip.joints) for copy in copies)
    unseen = [copy.confidence[0, list(limb)].max() < 0.5 for copy in copies for limb in LIMBS]  # type: ignore[index]
    assert 0.02 < np.mean(unseen) < 0.4
    assert clip.confidence is not None and (clip.confidence == 1).all()


def test_a_source_with_many_clips_weighs_less_for_each() -> None:
    clips = [a_clip("squat", "gym", start=k) for k in range(4)] + [
        a_clip("squat", "room"),
        a_clip("plank", "x", seen=0.1),
    ]
    chosen = training_clips(clips)
    gym = [clip.weight for clip in chosen if clip.name.startswith("gym")]
    room = [clip.weight for clip in chosen if clip.name.startswith("room")]
    assert not any(clip.label == "plank" for clip in chosen)
    assert sum(gym) == pytest.approx(2 * sum(room))


def test_well_seen_clips_are_filmed_anew() -> None:
    dim = a_clip("squat", "dim")
    assert dim.clip.confidence is not None
    dim = replace(dim, clip=replace(dim.clip, confidence=dim.clip.confidence * 0.3))
    chosen = refilmed([a_clip("squat", "bright"), dim])
    assert [clip.name for clip in chosen] == ["bright.mp4@0"]
    assert chosen[0].confidence is None and chosen[0].observed is None


def test_bars_are_those_of_classes_that_are_told_apart() -> None:
    row = {"ap": {"squat": 0.8, "cycle": 0.1, "plank": 0.9}}
    measured = {
        "streams": {"fine-tuned on other sources": row},
        "thresholds": {"squat": 0.3, "cycle": 0.1, "plank": 0.05},
    }
    assert left_out_bars(measured) == {"squat": 0.3, "plank": LOWEST_BAR}


def test_mixed_weights_lie_between_two_networks() -> None:
    small = replace(
        SYSTEM, encoder=replace(SYSTEM.encoder, width=16, hidden=32, levels=2), head=replace(SYSTEM.head, width=16)
    )
    one, other = (build_network(small, WIDTH, names()) for _ in range(2))
    assert isinstance(one, Detector) and isinstance(other, Detector)
    with torch.no_grad():
        for value in one.parameters():
            value.add_(1.0)
    mixed = mixed_weights(one, other, 0.25)
    for a, b, found in zip(one.parameters(), other.parameters(), mixed.parameters(), strict=True):
        torch.testing.assert_close(found, 0.25 * a + 0.75 * b)
    for share, like in ((0.0, other), (1.0, one)):
        for a, found in zip(like.parameters(), mixed_weights(one, other, share).parameters(), strict=True):
            torch.testing.assert_close(found, a)


# --- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_annotated_files_are_there(data_folder: Path) -> None:
    files = {(stretch.file, stretch.sha256) for stretch in marked_stretches()}
    for file, sha256 in files:
        check_file(data_folder / "video" / file, sha256)
    assert len(files) > 50


@pytest.mark.data
def test_a_real_clip_end_to_end(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("LABAN_CACHE", str(INSTALLED))
    try:
        networks = PoseNetworks(1)
    except LabanError as error:
        pytest.skip(str(error))
    wanted = [one for one in marked_stretches() if one.file == "exercise/squat_correct_009.mp4"]
    (clip,) = read_real_clips(data_folder / "video", wanted, networks=networks)
    assert clip.label == "squat" and clip.seen > 0.9
    heights = clip.clip.joints[:, 0, 1]
    assert heights.max() - heights.min() > 0.25, "the pelvis goes down in a squat"
