"""`laban detect --online`: what is said and written, refusals, Ctrl-C, and a camera that stalls."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.online.listening import Session
from action_localization.online.matr import MATR, MATRConfig
from action_localization.online.watching import HORIZON, Arrival, Watcher
from action_localization.online.windows import WindowConfig
from action_localization.pose.features import EXTRACTOR, FPS, WIDTH, entry_grid, pooled, pose_rows
from action_localization.regimes.systems import save_system
from laban.cli import run
from laban.scores import read_timeline
from models.features import Features, write_features
from models.video.pose import person_of
from models.video.tracking import Sightings
from tests.detect_files import Standing, save_pose_detector
from tests.video_files import write_video

CLASSES = ("wave", "walk")


def eager(rows: int = WIDTH) -> MATR:
    torch.manual_seed(0)
    config = MATRConfig(window=8, memory=1, queries=4, encoder=WindowConfig(width=16, heads=2, hidden=16, layers=1),
                        layers=1, back=6, ahead=3, threshold=0.01)  # fmt: skip
    network = MATR(config, rows, CLASSES).eval()
    torch.nn.init.normal_(network.class_head.weight, std=1.0)
    return network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("weights") / "online"
    save_system(folder, "matr", eager(), "# random\n", {"extractor": EXTRACTOR})
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4", [k / 30 for k in range(120)], size=(96, 72))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a person who stands in every picture."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    stands_in(monkeypatch, Standing())
    return folder


def stands_in(monkeypatch: pytest.MonkeyPatch, networks: Standing) -> None:
    monkeypatch.setattr("action_localization.online.watching.PoseNetworks", networks)


def test_each_action_is_said_when_it_ends(clip, checkpoint, here, capsys):
    assert run(["detect", str(clip), "--online", "--checkpoint", checkpoint, "-o", "a.json", "-o", "a.csv", "-v"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    said = [line for line in lines if "(said at " in line]
    assert said and lines[-1] == "-> a.json, a.csv" and "0:04.0 heard, " in printed.out
    found = json.loads((here / "a.json").read_text())["results"]["clip"]
    assert len(found) == len(said)
    for one in found:
        assert one["segment"][1] <= one["gentime"] <= 4.1
    late = [one["gentime"] - one["segment"][1] for one in found if one["gentime"] < 3.9]
    assert min(late) > 0.2  # the horizon of lifting
    table = read_timeline(here / "a.csv")
    assert sorted(s.gentime for s in table.segments) == pytest.approx(sorted(one["gentime"] for one in found))


def test_interrupting_a_file_keeps_what_was_found(clip, checkpoint, here, monkeypatch, capsys):
    stands_in(monkeypatch, Standing(fail_after=60))
    assert run(["detect", str(clip), "--online", "--checkpoint", checkpoint, "--json", "-o", "a.json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert results["stopped"] and results["files"] == ["a.json"] and "keeping what was found" in printed.err
    assert 1.5 < results["seconds"] < 3.5
    assert len(read_timeline(here / "a.json").segments) == len(results["segments"]) > 0


def test_a_stream_that_stalls_is_said_and_flushed(checkpoint, here, monkeypatch, tmp_path, capsys):
    whole = write_video(tmp_path / "clip.ts", [k / 30 for k in range(150)], size=(96, 72)).read_bytes()
    over = threading.Event()

    class Stalling(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(whole[: len(whole) * 3 // 4])
            self.wfile.flush()
            over.wait(30)

        def log_message(self, *arguments: object) -> None:
            pass

    monkeypatch.setattr("models.video.container.TIMEOUT", (10.0, 1.0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/live.ts"
        assert run(["detect", address, "--online", "--checkpoint", checkpoint, "--json", "-o", "a.json"]) == 0
    finally:
        over.set()
        server.shutdown()
        server.server_close()
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert any("stalled" in note for note in results["notes"]) and "stalled" in printed.err
    assert 2 < results["seconds"] < 4.5 and results["segments"] and (here / "a.json").exists()


def test_features_and_motion_files(checkpoint, here, capsys):
    values = np.random.default_rng(0).normal(size=(60, WIDTH)).astype(np.float32)
    write_features(Features(values, entry_grid(120), EXTRACTOR), here / "rows.npz")
    assert run(["detect", "rows.npz", "--online", "--checkpoint", checkpoint, "--json", "-o", "a.json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["seconds"] == pytest.approx(6.0) and results["segments"]
    assert run(["detect", "rows.npz", "--online", "--checkpoint", checkpoint, "--seconds", "3"]) == 2
    assert "--seconds 3: is for videos" in capsys.readouterr().err
    write_features(Features(values[:, :9], entry_grid(120), "other"), here / "narrow.npz")
    assert run(["detect", "narrow.npz", "--online", "--checkpoint", checkpoint]) == 2
    assert "narrow.npz: features are 9 wide" in capsys.readouterr().err
    joints = np.cumsum(np.random.default_rng(1).normal(0, 0.01, (80, 22, 3)), 0).astype(np.float32) + 1
    np.save("motion.npy", joints)
    assert run(["detect", "motion.npy", "--online", "--checkpoint", checkpoint, "--json", "-o", "b.json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["seconds"] == pytest.approx(4.0, abs=0.2)
    for one in results["segments"]:
        assert one["end"] <= one["gentime"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--people", "2"], "--people 2: --online follows the most prominent person alone"),
        (["--labels", "waves"], "--labels waves: does not go with --online"),
        (["-o", "a.mp4"], "-o a.mp4: a stream is drawn by"),
        (["--checkpoint", "detect2"], "no folder with config.json"),
    ],
)
def test_what_does_not_go_with_a_stream(arguments, message, clip, checkpoint, capsys):
    given = arguments if "--checkpoint" in arguments else [*arguments, "--checkpoint", checkpoint]
    assert run(["detect", str(clip), "--online", *given]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out


def test_an_offline_checkpoint_is_refused(clip, tmp_path, capsys):
    folder = save_pose_detector(tmp_path / "offline")
    assert run(["detect", str(clip), "--online", "--checkpoint", str(folder)]) == 2
    assert "is no online detector" in capsys.readouterr().err


def test_a_bad_row_in_a_session_is_noted_and_passed_over():
    values = np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32)
    values[20, 5] = np.inf
    session = Session(eager(), "camera")
    said = list(session.hear(Arrival(values[i : i + 1], i / 10 + 0.3) for i in range(40)))
    assert session.lanes[0].count == 40 and said
    assert [note.split(";")[0] for note in session.notes] == [
        "stream camera: row 20 holds NaN or infinity"]  # fmt: skip
    assert session.timeline().duration == pytest.approx(4.0)


def test_rows_of_pictures_equal_those_of_the_whole_video_inside():
    networks = Standing()
    watcher, rows = Watcher(networks, (96, 72), 1 / FPS), []
    picture = np.zeros((72, 96, 3), np.uint8)
    for frame in range(80):
        watcher.add(frame / FPS, picture)
        made = watcher.rows()
        rows.append(made)
        assert watcher.done in (max(frame + 1 - HORIZON, 0) // 2 * 2, 0)  # two frames a row, a quarter of a second late
    rows.append(watcher.rows(last=True))
    streamed = np.concatenate(rows)
    assert len(streamed) == 40 and np.isfinite(streamed).all()
    again = Standing()
    sightings = Sightings()
    for frame in range(80):
        tracker_sees(sightings, frame / FPS, picture, again)
    person = person_of(sightings, 80, (96, 72), 1 / FPS)
    whole = pooled(pose_rows(person.joints, person.confidence, person.observed))
    assert np.abs(streamed[10:, :70] - whole[10:, :70]).max() < 0.25  # the floor and the pitch settle as seconds pass
    assert streamed[10:, -1].min() == 1.0


def tracker_sees(sightings: Sightings, time: float, picture: np.ndarray, networks: Standing) -> None:
    region = networks.detect(picture)[0][1]
    for _ in range(1 if time == 0 else 0):
        networks.landmarks(picture, region)
    sightings.add(time, networks.landmarks(picture, region))


def test_the_offline_detector_behind_a_horizon(clip, here, tmp_path, capsys):
    folder = str(save_pose_detector(tmp_path / "offline"))
    asked = ["detect", str(clip), "--online", "--checkpoint", folder, "--threshold", "0.1", "-o", "a.json", "--json"]
    assert run([*asked, "--horizon", "0.5"]) == 0
    segments = json.loads(capsys.readouterr().out)["segments"]
    assert segments and all(s["gentime"] - s["end"] >= 0.5 for s in segments if s["gentime"] < 4.0)
    assert run([*asked, "--horizon", "-1"]) == 2
    assert "--horizon -1; accepted: 0 to " in capsys.readouterr().err
    assert run(["detect", str(clip), "--horizon", "1"]) == 2
    assert "--horizon 1: goes with --online alone" in capsys.readouterr().err
