"""Truth out of files of scores, its labels in the detector's words, and detections compared with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from action_localization.truth import compare, named, overlap, read_truth
from laban.errors import LabanError
from laban.scores import write_timelines
from laban.timeline import Segment, Timeline, clock

CLASSES = ("run", "jump", "squat")


def found(*rows: tuple[float, float, str, float]) -> Timeline:
    return Timeline(tuple(Segment(start, end, label, score=score) for start, end, label, score in rows), 20.0)


def test_a_detection_matches_one_segment_and_the_surest_chooses_first():
    truth = Timeline((Segment(0, 4, "run"), Segment(5, 9, "run"), Segment(10, 12, "jump")), 20.0)
    matches, extra = compare(found((0.5, 4, "run", 0.6), (0, 4, "run", 0.5), (5, 8, "run", 0.9)), truth)
    assert [match.right for match in matches] == [True, True, False]
    assert matches[0].found is not None and matches[0].found.score == 0.6
    assert matches[2].found is None and matches[2].overlap == 0.0
    assert [(s.start, s.score) for s in extra] == [(0.0, 0.5)]


def test_what_overlaps_too_little_is_a_miss_and_is_named():
    matches, extra = compare(found((3, 9, "jump", 0.9)), Timeline((Segment(0, 4, "jump"), Segment(0, 4, "run")), 9))
    assert [match.right for match in matches] == [False, False]
    assert matches[0].found == extra[0] and matches[0].overlap == pytest.approx(1 / 9)
    assert matches[1].found is None
    assert compare(Timeline(), Timeline()) == ([], [])


def test_overlap_is_intersection_over_union():
    assert overlap(Segment(0, 2, "a"), Segment(1, 3, "a")) == pytest.approx(1 / 3)
    assert overlap(Segment(0, 1, "a"), Segment(1, 3, "a")) == 0.0


def test_labels_of_data_sets_are_put_into_the_detectors_words():
    assert named("squat", CLASSES) == "squat"
    assert named("HighJump", CLASSES) == "jump"
    assert named("jog", CLASSES) == "run"
    assert named("wave", CLASSES) is None
    assert named("levitate", CLASSES) is None


@pytest.mark.parametrize("suffix", ["json", "csv", "vtt", "srt", "txt", "tsv"])
def test_every_form_of_score_is_read(tmp_path: Path, suffix: str):
    truth = Timeline((Segment(0, 4, "HighJump"), Segment(5, 9, "levitate")), 9.0)
    path = tmp_path / f"clip.{suffix}"
    write_timelines(path, {"clip": truth})
    timeline, problems = read_truth(path, "clip", CLASSES)
    assert [(s.start, s.end, s.label) for s in timeline.segments] == [(0, 4, "jump"), (5, 9, "levitate")]
    assert problems == [f"{path}: label 'levitate' (1 segments) is unknown to the detector"]
    if suffix == "json":
        for form in ("results", "babel"):
            write_timelines(path, {"clip": truth}, form=form)
            assert read_truth(path, "clip", CLASSES)[0].segments == timeline.segments


def test_the_video_is_found_by_name_or_is_the_only_one(tmp_path: Path):
    path = tmp_path / "all.json"
    one, other = Timeline((Segment(0, 1, "run"),), 2.0), Timeline((Segment(1, 2, "jump"),), 2.0)
    write_timelines(path, {"a": one, "b": other})
    assert read_truth(path, "b", CLASSES)[0].labels() == ("jump",)
    with pytest.raises(LabanError, match=r"all.json: has no video 'c' among its 2 \(a, b …\)"):
        read_truth(path, "c", CLASSES)
    write_timelines(path, {"a": one})
    assert read_truth(path, "c", CLASSES)[0].labels() == ("run",)


def test_bad_intervals_are_left_out_and_listed(tmp_path: Path):
    path = tmp_path / "truth.json"
    rows = [{"segment": [3, 1], "label": "run"}, {"segment": [0, 1], "label": "run"},
            {"segment": ["x", 1], "label": "run"}]  # fmt: skip
    path.write_text(json.dumps({"database": {"v": {"duration": 5, "annotations": rows}}}))
    timeline, problems = read_truth(path, "v", CLASSES)
    assert [(s.start, s.end) for s in timeline.segments] == [(0, 1)]
    assert len(problems) == 2 and "end 1 is not after start 3" in problems[0] and "start is 'x'" in problems[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (7.44, "0:07.4"), (59.96, "1:00.0"), (3727.4, "1:02:07.4"), (36000, "10:00:00.0")],
)
def test_times_are_written_for_people(seconds: float, text: str):
    assert clock(seconds) == text
