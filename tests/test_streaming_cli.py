"""`laban stream` as a user meets it: scripts, pipes, a terminal, a socket; one clear line for bad input."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
import threading
import time

import pytest

from laban.cli import run
from laban.cli.generate import Files
from laban.cli.performing import Asked, perform
from laban.network import listen
from laban.scores import read_timeline
from models.formats import read_motion
from tests.streaming_walk import Walker
from tests.test_stream import weights  # noqa: F401, a fixture


@pytest.fixture(autouse=True)
def _piped(monkeypatch, tmp_path) -> None:
    """Nothing on standard input, and a folder of one's own."""
    pipe(monkeypatch, "")
    monkeypatch.chdir(tmp_path)


def pipe(monkeypatch, text: str) -> None:
    """Text on standard input, and then no more."""
    ours, theirs = os.pipe()
    os.write(theirs, text.encode())
    os.close(theirs)
    monkeypatch.setattr(sys, "stdin", os.fdopen(ours, encoding="utf-8"))


def stream(weights, *arguments: str) -> int:  # noqa: F811
    return run(["stream", *arguments, "--checkpoint", str(weights)])


def test_a_script_is_performed_and_written_in_every_format(weights, tmp_path, capsys) -> None:  # noqa: F811
    names = ["a.npz", "a.bvh", "a.glb", "a.png", "a.vtt", "a.json"]
    outputs = [part for name in names for part in ("-o", name)]
    assert stream(weights, "--script", "walk*3,run*2s", *outputs, "--size", "64", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["seed"]) == ((3 + 8) * 8, 0)
    assert [(said["text"], said["by"]) for said in told["said"]] == [("walk", "script"), ("run", "script")]
    assert sorted(told["files"]) == sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert read_motion("a.npz").frames == 88
    assert [(s.label, round(s.end * 30)) for s in read_timeline("a.vtt").segments] == [("walk", 24), ("run", 88)]


def test_a_script_may_be_a_file_or_come_through_a_pipe(weights, tmp_path, monkeypatch, capsys) -> None:  # noqa: F811
    (tmp_path / "s.txt").write_text("walk*2\n# then\nwave*1\n")
    assert stream(weights, "--script", "s.txt", "-o", "a.npz") == 0
    pipe(monkeypatch, "walk\n")
    assert stream(weights, "--seconds", "2", "-o", "b.npz") == 0
    pipe(monkeypatch, "walk\nwave\n")
    assert stream(weights, "-o", "c.npz") == 0
    assert [read_motion(f"{name}.npz").frames for name in "abc"] == [24, 60, 240]
    assert "b.npz" in capsys.readouterr().out


def test_without_a_file_to_write_it_is_recorded_under_the_time(weights, tmp_path) -> None:  # noqa: F811
    for _ in range(2):
        assert stream(weights, "walk, then wave", "--seconds", "1") == 0
    made = sorted((tmp_path / "out").iterdir())
    assert len(made) == 2 and all(path.match("stream-*.npz") for path in made)


def test_the_same_seed_gives_the_same_motion(weights) -> None:  # noqa: F811
    for name, seed in (("a.npz", "1"), ("b.npz", "1"), ("c.npz", "2")):
        assert stream(weights, "walk", "--seconds", "1", "--seed", seed, "-o", name) == 0
    a, b, c = (read_motion(name).rotations for name in ("a.npz", "b.npz", "c.npz"))
    assert (a == b).all() and abs(a - c).max() > 1e-3


def test_words_that_nobody_knows_are_told(weights, capsys) -> None:  # noqa: F811
    assert stream(weights, "--script", "xyzzy qwerty*2", "-o", "a.npz") == 0
    assert "'xyzzy qwerty': not sure; leans on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "standard input: found no action"),
        (["--script", "walk*0", "-o", "a.npz"], "--script: column 1: found the length '0'"),
        (["--script", "walk", "-o", "a.npz"], "without a length; accepted: action*n"),
        (["--script", "-", "-o", "a.npz"], "standard input: found no action"),
        (["walk", "--seconds", "0"], "--seconds 0; accepted: above 0"),
        (["walk", "--seconds", "nan"], "--seconds nan; accepted"),
        (["walk", "-o", "a.fbx"], "'.fbx' is unknown; accepted: .npz, .bvh, .glb"),
        (["walk", "--candidates", "0"], "--candidates 0; accepted"),
        (["walk", "--guidance", "high"], "--guidance"),
        (["   ", "--seconds", "1"], "text is empty"),
        (["walk", "--size", "big"], "--size"),
        (["walk", "--sceonds", "1"], "--seconds"),
        (["walk", "--serve", "--port", "99999"], "--port 99999; accepted"),
        (["walk", "--serve", "--host", "no such host"], "cannot listen on no such host"),
        (["walk", "--recover", "missing.spool"], "missing.spool: is no recording"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(weights, tmp_path, capsys, arguments, says) -> None:  # noqa: F811
    assert stream(weights, *arguments) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "option"), [("websockets", "--serve"), ("viser", "--view")])
def test_a_missing_package_is_named_with_its_extra(weights, monkeypatch, capsys, package, option) -> None:  # noqa: F811
    monkeypatch.setitem(sys.modules, package, None)
    assert stream(weights, option) == 2
    told = capsys.readouterr().err
    assert f"package {package} is missing" in told and "pip install 'laban[stream]'" in told


def test_ports_in_use_are_named(weights, capsys) -> None:  # noqa: F811
    with listen("127.0.0.1", 0, "--port") as taken:
        port = taken.getsockname()[1]
        assert stream(weights, "--serve", "--port", str(port)) == 2
    assert f"port {port} of 127.0.0.1 is in use" in capsys.readouterr().err


def test_frames_are_served_until_control_c(weights, tmp_path, capsys) -> None:  # noqa: F811
    sync = pytest.importorskip("websockets.sync.client")
    with listen("127.0.0.1", 0, "--port") as free:
        port = free.getsockname()[1]
    received = []

    def look() -> None:
        try:
            for _ in range(400):
                try:
                    connection = sync.connect(f"ws://127.0.0.1:{port}", close_timeout=0.5)
                    break
                except OSError:
                    time.sleep(0.05)
            connection.send('{"say": "wave"}')
            received.extend(json.loads(connection.recv(timeout=10)) for _ in range(30))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=look, daemon=True).start()
    assert stream(weights, "--serve", "--port", str(port), "-o", "a.npz") == 0
    kinds = [message["type"] for message in received]
    assert kinds[0] == "hello" and kinds.count("said") == 1 and kinds.count("frame") == 28
    assert read_motion("a.npz").frames >= 28
    said = capsys.readouterr()
    assert f"frames at ws://127.0.0.1:{port}/" in said.err and "wave: " in said.err and "a.npz" in said.out


@pytest.mark.parametrize("end", [b"\n", b"quit\n", b"\x04"])
def test_lines_typed_at_a_terminal_are_said_until_an_empty_one(tmp_path, monkeypatch, capsys, end) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(ours, b"walk\nxyzzy\n")

        def finish() -> None:
            while not any(path.stat().st_size for path in tmp_path.glob("*.spool/frames.f32")):
                time.sleep(0.05)
            os.write(ours, end)

        threading.Thread(target=finish, daemon=True).start()
        asked = Asked([tmp_path / "a.npz"], prompt=True)
        performed = perform(Walker(), asked, Files((64, 64), 30.0, None, False))
    os.close(ours)
    assert [(said["text"], said["by"], said["sure"]) for said in performed.said] == [
        ("walk", "prompt", True), ("xyzzy", "prompt", False)]  # fmt: skip
    assert read_motion(tmp_path / "a.npz").frames == performed.frames > 0
    assert "xyzzy: nothing known is near; leans on stand 0.10" in capsys.readouterr().err
