"""Stills, filmstrips, timeline figures and the `render` command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laban.cli import run
from laban.cli.render import parse_color
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.formats import write_motion
from models.motion import Motion
from viz.filmstrip import filmstrip, frame_at, path_picture, pick_frames, save_picture, still, strip_size
from viz.movie import Look
from viz.timeline import draw_timeline, timeline_figure, timeline_rows

STICKS = Look(size=(400, 200), skeleton=True)


@pytest.fixture(scope="module")
def walk() -> Motion:
    """Two seconds of someone in T-pose sliding along +Z."""
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, 60, 55, 3, 3)).copy()
    root = np.zeros((1, 60, 3), np.float32)
    root[0, :, 1], root[0, :, 2] = 1.3255, np.linspace(0, 3, 60)
    return Motion(rotations, root, 30.0)


SCORE = Timeline(
    (
        Segment(0.0, 2.0, "walk", ("legs",)), Segment(0.5, 1.5, "wave", ("right arm",)),
        Segment(1.0, 2.0, "point", ("right arm",)), Segment(0.0, 1.0, "nod", actor=1),
    ),
    2.5,
)  # fmt: skip


def dark(picture: np.ndarray) -> np.ndarray:
    return picture.astype(int).min(axis=-1) < 120


def test_a_strip_shows_every_pose_in_its_own_place(walk: Motion) -> None:
    picture = filmstrip(walk, 3, Look(size=(900, 200), skeleton=True), labels=False)
    assert picture.shape == (200, 900, 3)
    columns = dark(picture).any(axis=0)
    starts = np.flatnonzero(columns[1:] & ~columns[:-1])
    centres = [
        np.flatnonzero(dark(picture)[:, third * 300 : third * 300 + 300].any(axis=0)).mean() for third in range(3)
    ]
    assert len(starts) >= 3
    assert centres == pytest.approx([150] * 3, abs=40)
    assert not columns[[0, 299, 300, 599, 600, 899]].any()


def test_labels_are_written_below_the_feet(walk: Motion) -> None:
    picture = filmstrip(walk, 2, STICKS).astype(int).min(axis=-1)
    assert (picture[187:196, 70:130] < 170).any()
    assert (picture[187:196, 270:330] < 170).any()
    assert not (picture[197:] < 170).any()


def test_a_path_shows_poses_where_they_happen_and_earlier_ones_fainter(walk: Motion) -> None:
    look = Look(size=(400, 200), skeleton=True, azimuth=90.0)
    picture = path_picture(walk, 3, look, labels=False)
    strength = 255 - picture[20:110].astype(int).min(axis=(0, 2))
    peaks = [part.max() for part in np.array_split(strength, 3)]
    assert peaks == sorted(peaks) or peaks == sorted(peaks, reverse=True)
    assert max(peaks) - min(peaks) > 30


def test_a_still_is_the_frame_of_its_time(walk: Motion) -> None:
    look = Look(size=(200, 160), skeleton=True, camera="fixed", azimuth=90.0)
    early, late = (np.flatnonzero(dark(still(walk, t, look)).any(axis=0)).mean() for t in (0.0, 1.9))
    assert abs(early - late) > 50
    assert frame_at(walk, 2.0) == 59
    with pytest.raises(LabanError, match="found 2.5 s; accepted 0 to 2 s"):
        frame_at(walk, 2.5)


@pytest.mark.parametrize("count", [0, -1, 61])
def test_too_few_or_too_many_poses_are_refused(walk: Motion, count: int) -> None:
    with pytest.raises(LabanError, match=f"--filmstrip: found {count} poses; accepted 1 to 60"):
        filmstrip(walk, count, STICKS)


def test_poses_are_the_middles_of_equal_parts(walk: Motion) -> None:
    assert pick_frames(walk, 3).tolist() == [10, 30, 50]
    assert strip_size(512, 12)[0] == pytest.approx(2 * strip_size(512, 6)[0], abs=1)


def test_pictures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    save_picture(picture, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.size == (6, 4)
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "a.bmp", tmp_path / "file" / "a.png", tmp_path / "new"):
        with pytest.raises(LabanError):
            save_picture(picture, bad)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "new"]


def test_rows_hold_actors_and_parts_and_lanes_never_overlap() -> None:
    rows = dict(timeline_rows(SCORE))
    assert list(rows) == ["person 1\nlegs", "person 1\nright arm", "person 2"]
    assert [[s.label for s in lane] for lane in rows["person 1\nright arm"]] == [["wave"], ["point"]]
    assert list(timeline_rows(Timeline())) == []


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_timeline_is_drawn_alone_and_the_same_each_time(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        draw_timeline(SCORE, path)
    if suffix != ".pdf":
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size > 2000


def test_a_timeline_stands_above_the_poses_of_its_motion(tmp_path: Path, walk: Motion) -> None:
    draw_timeline(SCORE, tmp_path / "a.png")
    draw_timeline(SCORE, tmp_path / "b.png", walk, look=STICKS)
    with Image.open(tmp_path / "a.png") as alone, Image.open(tmp_path / "b.png") as both:
        assert alone.width == both.width
        assert both.height > alone.height + 200


def test_long_labels_are_cut_and_odd_ones_survive() -> None:
    labels = ("a long label that can never fit into so short a bar", "cost $5 & $x^", "größer <b>")
    score = Timeline(tuple(Segment(i, i + 0.4, label) for i, label in enumerate(labels)), 30)
    figure = timeline_figure(score)
    figure.canvas.draw()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert all(text.get_window_extent().width < 60 for text in texts)
    draw_empty = timeline_figure(Timeline((), 3.0))
    assert draw_empty.axes[0].get_xlim() == (0, 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, walk: Motion) -> Path:
    folder = tmp_path_factory.mktemp("render")
    write_motion(walk, folder / "walk.npz")
    (folder / "score.txt").write_text("walk # 0.0 # 2.0 # legs\nwave # 0.5 # 1.5 # right arm\n")
    return folder


def test_the_command_draws_films_strips_and_scores(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk = str(files / "walk.npz")
    common = ["--skeleton", "--size", "64x64", "--renderer", "numba"]
    assert run(["render", walk, "-o", str(files / "a.mp4"), "-o", str(files / "a.png"), *common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(files / "a.mp4"), str(files / "a.png")]
    assert run(["render", walk, "-o", str(files / "b.png"), "--path", "--filmstrip", "3", *common]) == 0
    assert run(["render", walk, "-o", str(files / "c.png"), "--at", "1", "--frames", "10:50", *common]) == 0
    assert run(["render", walk, "-o", str(files / "d.svg"), "--timeline", str(files / "score.txt"), *common]) == 0
    assert run(["render", str(files / "score.txt"), "-o", str(files / "e.png")]) == 0
    with Image.open(files / "c.png") as image:
        assert image.size == (64, 64)
    assert {p.name for p in files.iterdir()} >= {"a.mp4", "a.png", "b.png", "c.png", "d.svg", "e.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk.npz", "-o", "x.doc"], "x.doc: found the suffix .doc; accepted .mp4"),
        (["score.txt", "-o", "x.mp4"], "x.mp4: found the suffix .mp4; accepted .png"),
        (["walk.npz", "-o", "x.mp4", "--size", "0x9"], "--size: found 0x9"),
        (["walk.npz", "-o", "x.mp4", "--size", "big"], "--size: found 'big'"),
        (["walk.npz", "-o", "x.mp4", "--fps", "-3"], "fps"),
        (["walk.npz", "-o", "x.mp4", "--camera", "moon"], "--camera: found 'moon'"),
        (["walk.npz", "-o", "x.mp4", "--renderer", "vulkan"], "--renderer: found 'vulkan'"),
        (["walk.npz", "-o", "x.mp4", "--frames", "50:70"], "--frames: found '50:70'; accepted FIRST:LAST within 0:60"),
        (["walk.npz", "-o", "x.mp4", "--frames", "a"], "--frames: found 'a'"),
        (["walk.npz", "-o", "x.png", "--filmstrip", "0"], "--filmstrip: found 0 poses"),
        (["walk.npz", "-o", "x.png", "--at", "7"], "found 7 s"),
        (["walk.npz", "-o", "x.mp4", "--color", "red"], "--color: found 'red'"),
        (["gone.npz", "-o", "x.mp4"], "gone.npz"),
        (["walk.npz", "-o", "x.mp4", "--timeline", "gone.txt"], "x.mp4: found the suffix .mp4"),
        (["walk.npz", "-o", "x.mp4", "--body", "gone.npz"], "gone.npz"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    assert run(["render", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert sorted(files.iterdir()) == before


def test_colours_are_read() -> None:
    assert parse_color("#4a79b8") == parse_color("4A79B8") == (0x4A, 0x79, 0xB8)
