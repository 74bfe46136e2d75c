"""`laban detect` as a user runs it: what it prints and writes, and what it says to bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from action_localization.detect import over_the_whole, source_kind
from laban.cli import run
from laban.scores import read_timeline
from laban.timeline import Segment, Timeline
from models.features import Features, FrameGrid, write_features
from models.video import images
from tests.detect_files import Standing, save_pose_detector, save_random
from tests.video_files import write_video

SIZE = (96, 72)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_pose_detector(tmp_path_factory.mktemp("weights") / "detect"))


@pytest.fixture(scope="module")
def feature_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_random(tmp_path_factory.mktemp("weights") / "x3d", 8, ("run", "jump"), "x3d_s"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    return write_video(path, [k / 30 for k in range(60)], size=SIZE, sound=2.0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a person who stands in every picture."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    stands_in(monkeypatch, Standing())
    return folder


def stands_in(monkeypatch: pytest.MonkeyPatch, networks: Standing) -> None:
    monkeypatch.setattr("models.video.pose.PoseNetworks", networks)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as box:
        return [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in box.decode(video=0)]


def test_one_command_without_flags_prints_and_writes(clip, checkpoint, here, capsys):
    assert run(["detect", str(clip), "--checkpoint", checkpoint]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("clip.mp4: 0:02.0, 1 person in view, ")
    assert lines[-1] == "-> clip.actions.json, clip.actions.png"
    assert names(here) == ["clip.actions.json", "clip.actions.png"]
    document = json.loads((here / "clip.actions.json").read_text())
    found = document["results"]["clip"]
    assert {"label", "score", "segment"} <= set(found[0])
    assert len(lines) == len(found) + 2
    with Image.open(here / "clip.actions.png") as picture:
        assert picture.width == 1600 and picture.height > 300


def test_every_format_in_one_call(clip, checkpoint, here, capsys):
    suffixes = ("json", "csv", "tsv", "vtt", "srt", "txt", "svg", "png", "mp4")
    outputs = [argument for suffix in suffixes for argument in ("-o", f"out/a.{suffix}")]
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "--json", *outputs]) == 0
    said = json.loads(capsys.readouterr().out)
    assert names(here / "out") == sorted(f"a.{suffix}" for suffix in suffixes)
    assert said["files"] == [f"out/a.{suffix}" for suffix in suffixes]
    assert said["people"] == 1 and said["seconds"] == 2.0 and said["timings"]["after"] > 0
    for suffix in ("json", "csv", "tsv", "vtt", "srt", "txt"):
        timeline = read_timeline(here / "out" / f"a.{suffix}")
        starts = [segment["start"] for segment in said["segments"]]
        assert [s.start for s in timeline.segments] == pytest.approx(starts, abs=1e-3)
    assert len(frames(here / "out" / "a.mp4")) == 60


def test_people_are_told_apart(clip, checkpoint, monkeypatch, capsys):
    stands_in(monkeypatch, Standing([(0.25, 0.55, 0.8), (0.75, 0.55, 0.8)]))
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "--people", "2", "-o", "a.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 people in view" in lines[0] and {"person 1", "person 2"} <= set(lines)
    assert {segment.actor for segment in read_timeline("a.json").segments} == {0, 1}


def test_nobody_in_view_is_an_empty_result(clip, checkpoint, here, monkeypatch, capsys):
    stands_in(monkeypatch, Standing([]))
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "-o", "a.json", "-o", "a.png", "-o", "a.txt",
                "-o", "a.vtt", "-o", "a.mp4"]) == 0  # fmt: skip
    printed = capsys.readouterr()
    assert printed.out.startswith("clip.mp4: 0:02.0, no person in view, no action found")
    assert "a.txt: STMC text cannot hold" in printed.err
    assert names(here) == ["a.json", "a.mp4", "a.png", "a.vtt"]
    assert json.loads((here / "a.json").read_text())["results"] == {"clip": []}


def test_nothing_sure_enough_names_the_nearest(clip, checkpoint, capsys):
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "--threshold", "1", "-v", "-o", "a.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "no action found" in lines[0] and lines[1].startswith("  nothing sure enough; nearest was ")
    assert lines[2].startswith("  over the whole: ") and "x real time" in lines[3]


def test_a_whole_recording_is_ranked_by_what_covers_it():
    rows = ((0.0, 1.0, "wave", 0.9), (0.0, 4.0, "walk", 0.3), (2.0, 4.0, "walk", 0.5), (2.0, 4.0, "walk", 0.2))
    found = Timeline(tuple(Segment(a, b, label, score=score) for a, b, label, score in rows), 4.0)
    ranked = over_the_whole(found)
    assert list(ranked) == ["walk", "wave"]
    assert ranked == pytest.approx({"walk": (0.3 + 0.5) / 2, "wave": 0.9 / 4})
    assert over_the_whole(Timeline((), 4.0)) == {}


def test_a_motion_file_is_read_the_same_way(checkpoint, here, capsys):
    from models.formats import write_motion
    from models.motion import Motion

    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (2, 40, 55, 3, 3)).copy()
    root = np.zeros((2, 40, 3), np.float32) + np.array([[[0, 1.3, 0]], [[1.2, 1.3, 0]]], np.float32)
    write_motion(Motion(rotations, root, 20.0), here / "two.glb")
    assert run(["detect", "two.glb", "--checkpoint", checkpoint, "--threshold", "0", "-o", "two.json"]) == 0
    assert capsys.readouterr().out.startswith("two.glb: 0:02.0, 2 people in view, ")
    assert read_timeline("two.json").segments
    for option in ("--seconds", "--rate"):
        assert run(["detect", "two.glb", "--checkpoint", checkpoint, option, "1"]) == 2
        assert f"{option} 1: is for videos; the source is read as motion" in capsys.readouterr().err
    write_motion(Motion(rotations[:1, :6], root[:1, :6], 20.0), here / "one.npz")
    assert run(["detect", "one.npz", "--checkpoint", checkpoint, "-o", "one.png", "--overlay", "one.mp4"]) == 0
    assert len(frames(here / "one.mp4")) == pytest.approx(9, abs=1)


def test_a_folder_of_images_is_a_video(checkpoint, here, tmp_path, capsys):
    shots = tmp_path / "shots"
    shots.mkdir()
    for index in range(12):
        Image.new("RGB", SIZE, (20 * index, 90, 90)).save(shots / f"{index}.png")
    assert run(["detect", str(shots), "--checkpoint", checkpoint, "--rate", "10", "--overlay", "film.mp4"]) == 0
    assert names(here) == ["film.mp4", "shots.actions.json", "shots.actions.png"]
    assert [time for time, _ in frames(here / "film.mp4")] == pytest.approx([k / 10 for k in range(12)], abs=1e-3)


def test_reading_stops_where_it_is_told(clip, checkpoint, capsys):
    arguments = ["detect", str(clip), "--checkpoint", checkpoint, "--seconds", "1", "-o", "a.mp4", "--json"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == pytest.approx(1.0, abs=0.06)
    assert len(frames(Path("a.mp4"))) == 30


def test_what_extract_wrote_can_be_detected_on(clip, checkpoint, here, monkeypatch):
    assert run(["extract", str(clip), "-o", "clip.npz", "--encoder", "pose_confidence"]) == 0
    stands_in(monkeypatch, Standing())
    for source in (str(clip), "clip.npz"):
        assert run(["detect", source, "--checkpoint", checkpoint, "-o", f"{Path(source).suffix[1:]}.csv"]) == 0
    one, other = (read_timeline(here / name) for name in ("mp4.csv", "npz.csv"))
    assert [(s.start, s.end, s.label) for s in one.segments] == [(s.start, s.end, s.label) for s in other.segments]


# --- features ---------------------------------------------------------------------------------------------------------


def features(path: Path, rows: int = 24, width: int = 8, extractor: str = "x3d_s", bad: float = 0.0) -> Path:
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    write_features(Features(values, FrameGrid(30, rows, 4, 16), extractor), path)
    if bad:
        values[3, 2] = bad
        with path.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
    return path


def test_features_with_their_checkpoint(feature_checkpoint, here, capsys):
    features(here / "a.npy")
    assert run(["detect", "a.npy", "--checkpoint", feature_checkpoint]) == 0
    assert names(here) == ["a.actions.json", "a.actions.png", "a.npy", "a.npy.json"]
    features(here / "b.npy", extractor="mvit_b_16x4")
    capsys.readouterr()
    assert run(["detect", "b.npy", "--checkpoint", feature_checkpoint, "-o", "b.json"]) == 0
    assert "features are by mvit_b_16x4; the checkpoint was trained on x3d_s's" in capsys.readouterr().err


def test_a_side_car_of_the_folder_tells_features_from_motions(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((24, 8), np.float32), allow_pickle=False)
    assert source_kind(tmp_path / "clip.npy") == "motion"
    (tmp_path / "features.json").write_text('{"fps": 4}')
    assert source_kind(tmp_path / "clip.npy") == "features"


def no_side_car(here: Path) -> str:
    (features(here / "a.npy").with_name("a.npy.json")).unlink()
    return "a.npy: has no side-car"


def side_car_of_another_length(here: Path) -> str:
    car = features(here / "a.npy").with_name("a.npy.json")
    car.write_text(json.dumps({**json.loads(car.read_text()), "frames": 99}))
    return "a.npy: has frames 24, but its side-car says 99"


def not_a_number(here: Path) -> str:
    features(here / "a.npy", bad=np.nan)
    return "a.npy: holds a NaN or infinite number, first in row 3, column 2"


def another_width(here: Path) -> str:
    features(here / "a.npy", width=5)
    return "a.npy: features are 5 wide; the detector was trained on 8"


@pytest.mark.parametrize("make", [no_side_car, side_car_of_another_length, not_a_number, another_width])
def test_bad_features_are_one_line(make, feature_checkpoint, here, capsys):
    message = make(here)
    before = names(here)
    assert run(["detect", "a.npy", "--checkpoint", feature_checkpoint]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert names(here) == before


# --- bad videos -------------------------------------------------------------------------------------------------------


def not_a_video(here: Path) -> str:
    (here / "bad.mp4").write_text("this is a letter, not a film\n" * 40)
    return "bad.mp4: is not a readable video"


def missing(here: Path) -> str:
    return "bad.mp4: does not exist; accepted: a video"


def empty(here: Path) -> str:
    (here / "bad.mp4").write_bytes(b"")
    return "bad.mp4: is empty"


def only_sound(here: Path) -> str:
    with av.open(str(here / "bad.mp4"), "w") as box:
        track = box.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        box.mux(track.encode(frame))
        box.mux(track.encode(None))
    return "bad.mp4: has no video stream (found audio)"


def no_pictures(here: Path) -> str:
    with av.open(str(here / "bad.mp4"), "w") as box:
        stream = box.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        box.start_encoding()
    return "bad.mp4"


@pytest.mark.parametrize("make", [not_a_video, missing, empty, only_sound, no_pictures])
def test_what_is_no_video_is_one_line(make, checkpoint, here, capsys):
    message = make(here)
    before = names(here)
    assert run(["detect", "bad.mp4", "--checkpoint", checkpoint, "--overlay", "x.mp4"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert names(here) == before


def test_a_truncated_file_is_used_as_far_as_it_goes_and_that_is_said(checkpoint, here, capsys):
    # Fragments, as cameras and downloads write them: each can be read without what follows.
    whole = write_video(here / "whole.mkv", [k / 30 for k in range(90)], size=SIZE)
    cut = here / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    assert run(["detect", "cut.mkv", "--checkpoint", checkpoint, "--json", "-o", "a.json", "-o", "a.mp4"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert 0.3 < said["seconds"] < 2.8
    assert "cut.mkv: ends after" in printed.err and "cut short or damaged" in printed.err
    assert any("cut short" in note for note in said["notes"])
    assert len(frames(here / "a.mp4")) == pytest.approx(30 * said["seconds"], abs=2)


def test_metadata_that_is_not_utf8_does_no_harm(checkpoint, here, capsys):
    path = write_video(here / "odd.avi", [k / 30 for k in range(20)], size=SIZE, codec="mpeg4")
    data = path.read_bytes()
    software = data.index(b"Lavf")
    path.write_bytes(data[:software] + b"\xff\xfe\xfa\xe9" + data[software + 4 :])
    assert run(["detect", "odd.avi", "--checkpoint", checkpoint, "-o", "a.json", "-o", "x.mp4"]) == 0
    assert names(here) == ["a.json", "odd.avi", "x.mp4"]


def test_an_interrupted_reading_leaves_nothing(clip, checkpoint, here, monkeypatch, capsys):
    stands_in(monkeypatch, Standing(fail_after=20))
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "--overlay", "x.mp4"]) == 130
    assert names(here) == []
    assert capsys.readouterr().err == "laban: interrupted; nothing half-written\n"


@pytest.fixture
def ctrl_c():
    """Python's own handling of Ctrl-C, also where the tests were started with it ignored, as background jobs are."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("stops", "status"), [((20,), 0), ((20, 20), 130)])
def test_a_live_source_is_stopped_by_one_interrupt_and_aborted_by_two(stops, status, checkpoint, here, monkeypatch,
                                                                      tmp_path, capsys, ctrl_c):  # fmt: skip
    opened = images.open_folder

    @contextmanager
    def live(*arguments):
        with opened(*arguments) as (info, raw):
            yield replace(info, live=True, seconds=None, frames=None), interrupting(raw)

    def interrupting(raw):
        for index, item in enumerate(raw):
            for _ in range(stops.count(index)):
                signal.raise_signal(signal.SIGINT)
            yield item

    monkeypatch.setattr(images, "open_folder", live)
    (tmp_path / "pictures").mkdir()
    for index in range(60):
        Image.new("RGB", SIZE, (index, 99, 0)).save(tmp_path / "pictures" / f"{index}.png")
    before = ctrl_c
    asked = [str(tmp_path / "pictures"), "--rate", "20", "--json"]
    assert run(["detect", *asked, "--checkpoint", checkpoint, "-o", "a.json"]) == status
    out, err = capsys.readouterr()
    assert "laban: reading stopped" in err and signal.getsignal(signal.SIGINT) is before
    assert names(here) == (["a.json"] if status == 0 else [])
    if status == 0:
        assert json.loads(out)["seconds"] == pytest.approx(21 / 20)
        assert run(["extract", *asked, "-o", "x.npz"]) == 0
        assert json.loads(capsys.readouterr().out)["features"][0]["rows"] == 21


def test_an_interrupted_drawing_leaves_no_film(clip, checkpoint, here, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("viz.overlay._draw_labels", interrupted)
    assert run(["detect", str(clip), "--checkpoint", checkpoint, "-o", "a.json", "-o", "x.mp4"]) == 130
    assert names(here) == ["a.json"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.doc"], "-o a.doc: format '.doc' is unknown; accepted: .json, .csv"),
        (["--overlay", "a.gif"], "--overlay a.gif: found the suffix .gif; accepted: .mp4"),
        (["--people", "0"], "--people 0; accepted: 1 to 20"),
        (["--threshold", "7"], "--threshold 7; accepted: 0 to 1"),
        (["--seconds", "-1"], "--seconds -1; accepted: more than 0"),
        (["--rate", "0"], "frame rate 0.0; accepted above 0, up to 1000"),
        (["--checkpoint", "detekt"], "checkpoint detekt: no folder with config.json"),
        (["--checkpoint", "text_student"], "checkpoint text_student: is no detector"),
        (["--truth", "gone.json"], "gone.json: cannot be read"),
    ],
)
def test_wrong_options_are_one_line_before_any_work(arguments, message, clip, checkpoint, here, capsys):
    given = arguments if "--checkpoint" in arguments else [*arguments, "--checkpoint", checkpoint]
    assert run(["detect", str(clip), *given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert names(here) == []


def test_the_source_is_never_written_over(clip, checkpoint, feature_checkpoint, here, capsys):
    copy = here / "clip.mp4"
    copy.write_bytes(clip.read_bytes())
    assert run(["detect", "clip.mp4", "--checkpoint", checkpoint, "--overlay", "./clip.mp4"]) == 2
    assert "is the source; name another file" in capsys.readouterr().err
    assert copy.read_bytes() == clip.read_bytes()
    assert run(["detect", "clip.mp4", "--checkpoint", feature_checkpoint]) == 2
    assert "reads features (x3d_s)" in capsys.readouterr().err
    features(here / "a.npy")
    assert run(["detect", "a.npy", "--checkpoint", feature_checkpoint, "-o", "a.mp4"]) == 2
    assert "features have no pictures" in capsys.readouterr().err
    assert run(["detect", "rtsp://nowhere.invalid/live?x=1", "--checkpoint", checkpoint, "-o", "a.mp4"]) == 2
    assert "can be read only once" in capsys.readouterr().err


# --- truth ------------------------------------------------------------------------------------------------------------


def test_truth_is_compared_and_what_is_wrong_in_it_is_listed(clip, checkpoint, here, capsys):
    annotations = [{"segment": [0.2, 1.5], "label": "walk"}, {"segment": [1.0, 0.5], "label": "wave"},
                   {"segment": [0.0, 1.0], "label": "levitate"}]  # fmt: skip
    truth = here / "truth.json"
    truth.write_text(json.dumps({"database": {"clip": {"duration": 2.0, "annotations": annotations}}}))
    arguments = ["detect", str(clip), "--checkpoint", checkpoint, "--truth", "truth.json", "-o", "a.png"]
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert "clip[1]" in printed.err or "annotations[1]" in printed.err
    assert "end 0.5 is not after start 1" in printed.err
    assert "label 'levitate' (1 segments) is unknown to the detector" in printed.err
    assert (
        "truth: " in printed.out and "of 2 found" in printed.out and "0:00.0 - 0:01.0  levitate: missed" in printed.out
    )
    arguments[-1] = "a.json"
    assert run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["truth"]
    assert len(said["segments"]) == 2 and len(said["problems"]) == 2
    truth.write_text(json.dumps({"database": {"clip": {"duration": 2.0, "annotations": annotations[1:2]}}}))
    assert run(arguments) == 2
    assert "1 of 1 annotations are unusable" in capsys.readouterr().err


def test_help_needs_no_heavy_library(repository):
    code = ("import sys; from laban.cli import run; run(['detect', '--help']);"
            "sys.exit(', '.join({'torch', 'numpy', 'av', 'matplotlib'} & set(sys.modules)) or 0)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
