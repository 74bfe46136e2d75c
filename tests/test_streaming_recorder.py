"""Recordings: exact, of constant memory, and whole after Ctrl-C, SIGTERM, a failure and a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from laban.cli import run
from laban.cli.generate import Files
from laban.cli.performing import Asked, Tapes, perform
from laban.errors import LabanError
from laban.scores import read_timeline
from models.formats import read_motion
from motion.streaming.recorder import NUMBERS, Recorder, read_spool
from motion.streaming.script import parse_script
from motion.streaming.session import Session
from tests.streaming_walk import Walker


def record(folder: Path, script: str) -> list:
    """Perform a script into a spool; the frames."""
    lines, frames = parse_script(script), []
    session = Session(Walker(), script=lines, frames=lines.frames, fast=True)
    with Recorder(folder) as recorder:
        session.sinks += [recorder, frames.append]
        session.run()
    return frames


def test_frames_and_words_come_back_as_they_were(tmp_path) -> None:
    frames = record(tmp_path / "a.spool", "walk*3,wave*2,walk*1")
    spool = read_spool(tmp_path / "a.spool")
    motion, timeline = spool.motion(), spool.timeline()
    np.testing.assert_array_equal(motion.rotations[0, :, :22], np.stack([f.rotations for f in frames]))
    np.testing.assert_array_equal(motion.root[0], np.stack([f.root for f in frames]))
    assert (motion.fps, motion.frames) == (30.0, 48)
    assert [(s.label, round(s.start * 30), round(s.end * 30)) for s in timeline.segments] == [
        ("walk", 0, 24), ("wave", 24, 40), ("walk", 40, 48)]  # fmt: skip


def test_parts_join_to_the_whole(tmp_path) -> None:
    record(tmp_path / "a.spool", "walk*3,wave*2")
    spool = read_spool(tmp_path / "a.spool")
    motions, timelines = zip(*spool.parts(most=15), strict=True)
    np.testing.assert_array_equal(np.concatenate([m.root for m in motions], 1), spool.motion().root)
    assert [m.frames for m in motions] == [15, 15, 10]
    assert [s.label for t in timelines for s in t.segments] == ["walk", "walk", "wave", "wave"]


def test_what_a_crash_cut_off_is_left_out(tmp_path) -> None:
    record(tmp_path / "a.spool", "walk*2,wave*2")
    with (tmp_path / "a.spool" / "frames.f32").open("r+b") as file:
        file.truncate(20 * NUMBERS * 4 + 17)
    with (tmp_path / "a.spool" / "words.jsonl").open("a") as file:
        file.write('{"frame": 18, "te')
    spool = read_spool(tmp_path / "a.spool")
    assert spool.frames == spool.motion().frames == 20
    assert [s.label for s in spool.timeline().segments] == ["walk", "wave"]


def test_memory_stays_the_same_however_long_it_records(tmp_path) -> None:
    frames = list(islice(Walker("walk"), 64))
    tracemalloc.start()
    try:
        with Recorder(tmp_path / "a.spool") as recorder:
            sizes = []
            for turn in range(180):
                for frame in frames:
                    recorder(frame)
                if turn in (20, 179):
                    sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert recorder.frames == 180 * 64
    assert sizes[1] - sizes[0] < 20_000


def start(tmp_path: Path, *files: str) -> subprocess.Popen:
    """A performance of 100 s in a process of its own, once it has recorded something."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "tests.streaming_perform", "100", *files]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    for _ in range(600):
        spools = list(tmp_path.glob("*.spool/frames.f32"))
        if process.poll() is not None or (spools and spools[0].stat().st_size >= 16 * NUMBERS * 4):
            return process
        time.sleep(0.05)
    raise TimeoutError("nothing recorded within 30 s")


def test_an_interrupted_process_leaves_valid_files_and_nothing_else(tmp_path) -> None:
    process = start(tmp_path, "a.npz", "a.bvh", "a.vtt")
    process.send_signal(signal.SIGINT)
    told, complaint = process.communicate(timeout=30)
    assert process.returncode == 0, complaint
    result = json.loads(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bvh", "a.npz", "a.vtt"]
    motion = read_motion(tmp_path / "a.npz")
    assert motion.frames == result["frames"] >= 16
    assert motion.root[0, -1, 2] > motion.root[0, 0, 2]
    assert read_timeline(tmp_path / "a.vtt").labels() == ("walk",)


class Signalling(Walker):
    """Walks; at the 60th frame, when some were shown, a signal reaches the process."""

    def __init__(self, kind: signal.Signals) -> None:
        super().__init__("walk")
        self._kind = kind

    def __next__(self):
        if self._index == 60:
            os.kill(os.getpid(), self._kind)
        return super().__next__()


@pytest.fixture
def handled():
    """Sets a signal's handler for one test, however the tests were started (`nohup` and `&` ignore some)."""
    before = {}

    def handle(kind: signal.Signals, handler) -> None:
        before[kind] = signal.signal(kind, handler)

    yield handle
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_just_as_well(tmp_path, kind, handled) -> None:
    handled(kind, signal.SIG_DFL)
    performed = perform(Signalling(kind), Asked([tmp_path / "a.npz"]), Files((64, 64), 30.0, None, True))
    assert read_motion(tmp_path / "a.npz").frames == performed.frames > 0
    assert signal.getsignal(kind) == signal.SIG_DFL


def test_a_closed_terminal_does_not_end_what_was_started_to_outlive_it(tmp_path, handled) -> None:
    handled(signal.SIGHUP, signal.SIG_IGN)
    asked = Asked([tmp_path / "a.npz"], frames=90, fast=True)
    performed = perform(Signalling(signal.SIGHUP), asked, Files((64, 64), 30.0, None, True))
    assert read_motion(tmp_path / "a.npz").frames == performed.frames == 90


def test_a_failing_stream_leaves_what_came_before(tmp_path) -> None:
    class Failing(Walker):
        def __next__(self):
            if self._index == 30:
                raise RuntimeError("out of order")
            return super().__next__()

    with pytest.raises(RuntimeError, match="out of order"):
        perform(Failing("walk"), Asked([tmp_path / "a.npz"], fast=True), Files((64, 64), 30.0, None, True))
    assert read_motion(tmp_path / "a.npz").frames == 30


def test_what_cannot_be_written_stays_in_the_spool(tmp_path, capsys) -> None:
    (tmp_path / "taken").write_text("")
    outputs = [tmp_path / "a.npz", tmp_path / "taken" / "b.npz"]
    with pytest.raises(LabanError, match="taken"):
        perform(Walker("walk"), Asked(outputs, frames=16, fast=True), Files((64, 64), 30.0, None, True))
    spool = next(tmp_path.glob("*.spool"))
    assert f"kept: laban stream --recover {spool}" in capsys.readouterr().err
    assert read_spool(spool).frames == read_motion(tmp_path / "a.npz").frames == 16


def test_the_button_of_the_page_records_what_is_between_two_presses(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = Session(Walker("walk"), frames=40, fast=True)
    tapes, told = Tapes(session, Files((64, 64), 30.0, None, True)), []
    presses = {10: True, 26: False, 30: True}
    session.sinks.append(lambda f: told.append(tapes.switch(presses[f.index])) if f.index in presses else None)
    session.run()
    tapes.finish()
    first, second = (read_motion(name) for name in tapes.written)
    assert told == ["", f"{tapes.written[0]} written", ""]
    assert (first.frames, second.frames) == (15, 9)  # between frames 10 and 26, and after 30
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".npz", ".npz"]
    assert tapes.switch(True) == "" and tapes.switch(False) == "nothing was recorded"


def test_a_killed_process_leaves_a_spool_that_can_be_recovered(tmp_path, capsys) -> None:
    process = start(tmp_path, "a.npz")
    process.kill()
    _, said = process.communicate(timeout=30)
    spool = next(tmp_path.glob("*.spool"))
    assert f"--recover {spool.name}" in said
    assert run(["stream", "--recover", str(spool), "-o", str(tmp_path / "b.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(tmp_path / "b.npz")]
    assert read_motion(tmp_path / "b.npz").frames >= 16
    assert spool.is_dir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "is no recording of a stream"),
        (lambda folder: folder.mkdir(), "is no recording of a stream"),
        (lambda folder: (folder.mkdir(), (folder / "header.json").write_text("[")), "is no recording"),
    ],
)
def test_what_is_no_spool_is_named(tmp_path, capsys, make, says) -> None:
    make(tmp_path / "x.spool")
    assert run(["stream", "--recover", str(tmp_path / "x.spool"), "-o", str(tmp_path / "x.npz")]) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and len(told.splitlines()) == 1


def test_a_spool_of_another_version_is_named(tmp_path) -> None:
    record(tmp_path / "a.spool", "walk*1")
    header = json.loads((tmp_path / "a.spool" / "header.json").read_text())
    (tmp_path / "a.spool" / "header.json").write_text(json.dumps(header | {"version": 9}))
    with pytest.raises(LabanError, match=r"header.json: found .*9.*accepted"):
        read_spool(tmp_path / "a.spool")
