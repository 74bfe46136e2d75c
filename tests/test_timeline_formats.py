"""Timelines on disk: what each format keeps comes back, and wrong files are answered with the place and the remedy."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laban.errors import LabanError
from laban.scores import READERS, read_timeline, read_timelines, source, write_timeline, write_timelines
from laban.timeline import PARTS, Segment, Timeline

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)
TIMES = st.floats(0, 1e5, allow_subnormal=False)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=12)


@st.composite
def segments(draw, labels=WORDS):
    start, length = draw(TIMES), draw(st.floats(0.001, 1e4))
    parts = draw(st.lists(st.sampled_from(PARTS), unique=True, max_size=3))
    extra = {"actor": draw(st.integers(0, 3)), "track": draw(st.integers(0, 3)), "score": draw(st.floats(-10, 10))}
    return Segment(start, start + length, draw(labels), tuple(parts), **extra)


def timelines(labels=WORDS, min_segments=0):
    several = st.lists(segments(labels), min_size=min_segments, max_size=6)
    return st.builds(lambda found, duration: Timeline(tuple(found), duration), several, TIMES)


def keep(timeline: Timeline, *fields: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(segment, field) for field in fields) for segment in timeline.segments]


def through_disk(suffix: str, written: dict[str, Timeline], form="activitynet") -> dict[str, Timeline]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"score{suffix}"
        write_timelines(path, written, form)
        return read_timelines(path)


@given(st.dictionaries(NAMES, timelines(), min_size=1, max_size=4))
def test_activitynet_ground_truth_keeps_everything(written):
    assert through_disk(".json", written) == written


@given(st.dictionaries(NAMES, timelines(), min_size=1, max_size=4))
def test_activitynet_results_keep_all_but_the_duration(written):
    ending = {name: Timeline(timeline.segments) for name, timeline in written.items()}
    assert through_disk(".json", written, "results") == ending


@given(st.dictionaries(NAMES, timelines(min_segments=1), min_size=1, max_size=4), st.sampled_from([".csv", ".tsv"]))
def test_tables_keep_everything(written, suffix):
    assert through_disk(suffix, written) == written


@given(st.dictionaries(NAMES, timelines(), min_size=1, max_size=4))
def test_babel_keeps_labels_times_and_duration(written):
    read = through_disk(".json", written, "babel")
    assert {n: (keep(t, "start", "end", "label"), t.duration) for n, t in read.items()} == {
        n: (
            keep(Timeline(tuple(replace(s, actor=0, track=0) for s in t.segments)), "start", "end", "label"),
            t.duration,
        )
        for n, t in written.items()
    }


@given(st.lists(timelines(WORDS.filter(lambda text: "#" not in text), min_segments=1), min_size=2, max_size=4))
def test_stmc_text_keeps_labels_times_and_parts(written):
    read = through_disk(".txt", {str(i): timeline for i, timeline in enumerate(written, 1)})
    plain = [Timeline(tuple(replace(s, actor=0, track=0, score=1.0) for s in t.segments)) for t in written]
    assert read == {str(i): timeline for i, timeline in enumerate(plain, 1)}


@given(timelines(), st.sampled_from([".vtt", ".srt"]))
def test_subtitles_keep_labels_and_milliseconds(written, suffix):
    read = through_disk(suffix, {"score": written})["score"]
    assert sorted(segment.label for segment in read.segments) == sorted(segment.label for segment in written.segments)
    for field in ("start", "end"):
        expected = sorted(getattr(segment, field) for segment in written.segments)
        assert sorted(getattr(segment, field) for segment in read.segments) == pytest.approx(expected, abs=0.0011)


@given(timelines(), st.sampled_from([".vtt", ".srt"]))
def test_subtitles_are_stable_after_the_first_rounding(written, suffix):
    once = through_disk(suffix, {"score": written})
    assert through_disk(suffix, once) == once


def test_stmc_text_as_published(tmp_path):
    path = tmp_path / "demo.txt"
    path.write_bytes(
        b"\xef\xbb\xbfwalk in a circle # 0.0 # 5.0 # legs\r\n"
        b"wave # 1.5 # 4 # right hand # torso\r\n\r\n\r\nsit # 0 # 2\r\n"
    )
    read = read_timelines(path)
    assert list(read) == ["1", "2"]
    assert read["1"].segments[1] == Segment(1.5, 4.0, "wave", ("right arm", "spine"))
    assert read["2"].segments == (Segment(0.0, 2.0, "sit"),)


def test_webvtt_with_everything_a_player_allows(tmp_path):
    path = tmp_path / "captions.vtt"
    path.write_text(
        "WEBVTT - made elsewhere\n\nNOTE a comment\nof two lines\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:04.500 align:start position:0%\n<v Ann>walk &amp; <i>wave</i>\nslowly\n\n"
        "01:00:00.000 --> 01:00:01.000\nsit\n"
    )
    assert read_timeline(path).segments == (Segment(1.0, 4.5, "walk & wave slowly"), Segment(3600.0, 3601.0, "sit"))


def test_babel_sequences_without_intervals_use_the_labels_of_the_whole(tmp_path):
    path = tmp_path / "val.json"
    sequence = {"dur": 4.0, "frame_ann": None, "seq_ann": {"labels": [{"raw_label": "walking", "proc_label": "walk"}]}}
    extra = {"dur": 2.0, "frame_anns": [{"labels": [{"raw_label": "sit", "start_t": 0.5, "end_t": 1}]}], "seq_anns": []}
    path.write_text(json.dumps({"7": sequence, "8": extra}))
    assert read_timelines(path) == {
        "7": Timeline((Segment(0, 4.0, "walk"),), 4.0),
        "8": Timeline((Segment(0.5, 1.0, "sit"),), 2.0),
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "walk # 0 # 2\nwave # 3 # 1 # legs\n", "a.txt:2: end 1 is not after start 3"),
        ("a.txt", "walk # 0 # 2\n\nwave\n", "a.txt:3: found 'wave'; accepted: 'text # start"),
        ("a.txt", "walk # zero # 2", "a.txt:1: start is 'zero'; accepted: a number"),
        ("a.txt", "walk # 0 # nan", "a.txt:1: end is nan"),
        ("a.txt", "walk # 0 # 2 # leggs", "a.txt:1: unknown body part 'leggs' (did you mean 'legs'?)"),
        ("a.txt", " # 0 # 2", "a.txt:1: label is empty"),
        ("a.txt", "\n\n", "a.txt: holds no interval"),
        ("a.json", "{", "a.json:1: is not JSON"),
        ("a.json", "[1, 2]", "a.json: found a list of 2; accepted: an object with 'database' or 'results'"),
        ("a.json", '{"data": {}}', "a.json: found keys data; accepted"),
        ("a.json", "[" * 100_000, "a.json: is not usable JSON"),
        ("a.json", '{"database": {"v1": []}}', "database.v1: is list; accepted"),
        ("a.json", '{"database": {"v1": {"annotations": {}}}}', "database.v1.annotations: is dict"),
        ("a.json", '{"results": {"v1": [{"label": "x"}]}}', "results.v1[0]: has no 'segment'"),
        ("a.json", '{"results": {"v1": [{"label": "x", "segment": [3]}]}}', "results.v1[0]: segment is [3]"),
        ("a.json", '{"results": {"v1": [{"label": "x", "segment": [3, NaN]}]}}', "results.v1[0]: end is nan"),
        ("a.json", '{"database": {"v1": {"duration": "long"}}}', "database.v1: duration is 'long'"),
        ("a.json", '{"7": {"dur": 1, "frame_ann": 3}}', "7: frame_ann is not an object"),
        ("a.json", '{"7": {"frame_ann": {"labels": [{}]}}}', "7: frame_ann.labels[0]: start is None"),
        ("a.vtt", "walk", "a.vtt:1: found 'walk'; accepted: 'WEBVTT'"),
        ("a.vtt", "", "a.vtt:1: found ''; accepted: 'WEBVTT'"),
        ("a.vtt", "WEBVTT\n00:01.000 --> 00:02.000\nwalk\n", "a.vtt:2: found a cue in the header"),
        ("a.vtt", "WEBVTT\n\n00:01 --> 00:02\nwalk", "a.vtt:3: found '00:01 --> 00:02'; accepted: a timing"),
        ("a.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nwalk", "a.vtt:3: end 1 is not after start 2"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n", "a.srt:2: label is empty"),
        ("a.srt", "walk", "a.srt:1: found 'walk'; accepted: a timing"),
        ("a.csv", "", "a.csv:1: the header has no column 'start'"),
        ("a.csv", "start,end,lable\n", "a.csv:1: found column 'lable' (did you mean 'label'?)"),
        ("a.csv", "start,end,label\n0,1\n", "a.csv:2: found 2 cells; accepted: 3"),
        ("a.csv", "start,end,label\n0,1,walk\n3,2,sit\n", "a.csv:3: end 2 is not after start 3"),
        ("a.csv", "start,end,label,actor\n0,1,walk,-1\n", "a.csv:2: actor is '-1'"),
        ("a.csv", "start,end,label\n0,,walk\n", "a.csv:2: end is empty"),
        ("a.csv", 'start,end,label\n0,1,"walk\n', "a.csv:3: is not a table"),
        ("a.foo", "", "unknown timeline suffix '.foo'; accepted: .txt, .json, .vtt"),
    ],
)
def test_a_wrong_file_is_answered_with_place_and_remedy(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(LabanError) as caught:
        read_timelines(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path))
    assert "\n" not in text


def test_files_that_are_no_text(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    with pytest.raises(LabanError, match="cannot be read"):
        read_timelines(path)
    path.write_bytes(b"walk # 0 # 1\n\xffwave # 1 # 2\n")
    with pytest.raises(LabanError, match="a.txt:2: byte 0xff is not UTF-8"):
        read_timelines(path)
    monkeypatch.setattr(source, "MAX_BYTES", 10)
    with pytest.raises(LabanError, match="accepted: up to"):
        read_timelines(path)
    folder = tmp_path / "b.txt"
    folder.mkdir()
    with pytest.raises(LabanError, match="is a folder"):
        read_timelines(folder)


def test_one_timeline_is_asked_for_and_several_are_found(tmp_path):
    path = tmp_path / "two.txt"
    path.write_text("walk # 0 # 2\n\nsit # 0 # 2\n")
    with pytest.raises(LabanError, match=r"holds 2 timelines \(1, 2 …\); accepted: a file with exactly one"):
        read_timeline(path)


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("a.txt", {"a": Timeline((Segment(0, 1, "take #2"),))}, "'#'"),
        ("a.txt", {"a": Timeline((), 2.0)}, "no segments"),
        ("a.csv", {"a": Timeline((), 2.0), "b": Timeline((Segment(0, 1, "walk"),))}, "no segments"),
        ("a.vtt", {"a": Timeline(), "b": Timeline()}, "found 2"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_left(tmp_path, name, written, message):
    with pytest.raises(LabanError, match=message):
        write_timelines(tmp_path / name, written)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_survives_a_failed_write(tmp_path):
    path = tmp_path / "a.txt"
    write_timeline(path, Timeline((Segment(0, 1, "walk"),)))
    with pytest.raises(LabanError):
        write_timeline(path, Timeline())
    assert read_timeline(path).labels() == ("walk",)


@pytest.mark.data
def test_the_published_multi_track_timelines_survive_every_format(mocap_folder, tmp_path):
    published = json.loads((mocap_folder / "annotations" / "mtt_timelines.json").read_text())
    built = {
        str(i): Timeline(tuple(Segment(s["start"], s["end"], s["text"], tuple(s["parts"])) for s in timeline))
        for i, timeline in enumerate(published, 1)
    }
    assert len(built) == 500
    for name in ("mtt.txt", "mtt.json", "mtt.csv"):
        write_timelines(tmp_path / name, built)
        assert read_timelines(tmp_path / name) == built


@pytest.mark.data
def test_babel_annotations_survive_their_own_layout(mocap_folder, tmp_path):
    with gzip.open(mocap_folder / "annotations" / "babel_val.json.gz") as stream:
        records = json.load(stream)
    layout = {
        str(record["sid"]): {
            "dur": record["seconds"],
            "seq_ann": {"labels": [{"raw_label": label} for label in record["sequence"]]},
            "frame_ann": {
                "labels": [
                    {"proc_label": label, "start_t": start, "end_t": end} for label, start, end, _ in record["segments"]
                ]
            },
        }
        for record in records
    }
    path = tmp_path / "babel.json"
    path.write_text(json.dumps(layout))
    read = read_timelines(path)
    assert len(read) == 2191
    with_intervals = {str(record["sid"]) for record in records if record["segments"]}
    assert sum(len(read[name].segments) for name in with_intervals) == 13314
    write_timelines(path, read, "babel")
    assert read_timelines(path) == read


@pytest.mark.data
def test_real_detection_annotations_are_read(data_folder, tmp_path):
    folder = data_folder / "annotations"
    path = tmp_path / "thumos14.json"
    path.write_bytes(gzip.decompress((folder / "thumos14" / "thumos14_actionformer.json.gz").read_bytes()))
    truth = read_timelines(path)
    assert len(truth) == 412
    assert sum(len(timeline.segments) for timeline in truth.values()) == 6365


PIECES = st.sampled_from(
    [
        "walk",
        " # ",
        "0",
        "1.5",
        "\n",
        "\n\n",
        "WEBVTT\n\n",
        "00:00:01.000 --> 00:00:02.000\n",
        "1\n",
        "start,end,label\n",
    ]
    + [
        ",",
        "|",
        '"',
        "{",
        "}",
        "[",
        "]",
        ":",
        '"database"',
        '"results"',
        '"frame_ann"',
        '"labels"',
        "null",
        "NaN",
        "-1",
    ]
    + ["legs", "\t", ";", "\r\n", "\ufeff", "\x00", "é", "1e999", '"segment"', '"label"', '"dur"']
)


def outcome(name: str, content: str) -> tuple[str, dict[str, Timeline]]:
    """The message, if the file is refused, and what was read, if it is not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(content, encoding="utf-8", newline="")
        try:
            return "", read_timelines(path)
        except LabanError as error:
            return str(error).removeprefix(f"{folder}/"), {}


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60), st.sampled_from(list(READERS)))
def test_no_content_whatever_breaks_a_reader(content, suffix):
    message, read = outcome(f"score{suffix}", content)
    assert bool(message) != bool(read) or suffix == ".json"
    assert message.count("\n") == 0
    assert message == "" or message.startswith(f"score{suffix}:")
    assert all(segment.end <= timeline.duration for timeline in read.values() for segment in timeline.segments)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["walk", "legs", "", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["database", "results", "annotations", "segment", "label", "score", "duration", "parts", "actor", "dur"]
                + ["frame_ann", "seq_ann", "frame_anns", "labels", "start_t", "end_t", "raw_label", "proc_label", "v1"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from(["{}", '{{"database": {}}}', '{{"results": {{"v": {}}}}}', '{{"7": {}}}']))
@settings(max_examples=200)
def test_no_json_whatever_breaks_a_reader(value, wrapper):
    message, read = outcome("score.json", wrapper.format(json.dumps(value)))
    assert message == "" or message.startswith("score.json:")
    assert all(isinstance(timeline, Timeline) for timeline in read.values())
