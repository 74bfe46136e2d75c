"""Films: what a decoder finds in them, and that nothing is left when something goes wrong."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from laban.errors import LabanError
from models.formats import write_motion
from models.motion import Motion
from viz.cast import BATCH, Cast, dressed
from viz.movie import Look, film, shots
from viz.render import parse_size, render_motion
from viz.video import open_video


def clip(frames: int = 10, *, fps: float = 30.0, actors: int = 1) -> Motion:
    """People in T-pose, 1.2 m apart, walking along +Z like statues on wheels."""
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (actors, frames, 55, 3, 3)).copy()
    root = np.zeros((actors, frames, 3), np.float32)
    root[..., 0] = 1.2 * np.arange(actors)[:, None]
    root[..., 1] = 1.3
    root[..., 2] = np.arange(frames) / fps
    return Motion(rotations, root, fps)


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def ramp(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), (40 + 20 * index, 200 - 15 * index, 90), np.uint8)


@pytest.mark.parametrize("fps", [30, 24, 29.97, 12.5])
def test_an_mp4_holds_every_frame_at_its_rate_and_colour(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "film.mp4"
    with open_video(path, fps) as add:
        for index in range(7):
            add(ramp(index))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
        assert stream.average_rate.denominator in (1, 2, 1001, 100)
    frames = decode(path)
    assert len(frames) == 7
    for index, frame in enumerate(frames):
        assert frame.reshape(-1, 3).mean(axis=0) == pytest.approx(ramp(index)[0, 0], abs=5)


def test_the_index_is_in_front_so_that_a_browser_can_start_at_once(tmp_path: Path) -> None:
    with open_video(tmp_path / "film.mp4", 30) as add:
        add(ramp(0))
    data = (tmp_path / "film.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("size", "found"), [((65, 48), (66, 48)), ((64, 47), (64, 48)), ((3, 3), (4, 4))])
def test_odd_sides_grow_by_a_pixel(tmp_path: Path, size: tuple[int, int], found: tuple[int, int]) -> None:
    with open_video(tmp_path / "film.mp4", 30) as add:
        add(ramp(1, size))
    assert decode(tmp_path / "film.mp4")[0].shape == (found[1], found[0], 3)


def test_a_gif_moves(tmp_path: Path) -> None:
    from PIL import Image

    with open_video(tmp_path / "film.gif", 20) as add:
        for index in range(5):
            add(ramp(index))
    with Image.open(tmp_path / "film.gif") as image:
        assert image.n_frames == 5
        assert image.info["duration"] == 50


def write(path: Path, *steps: np.ndarray | type[BaseException]) -> None:
    """Add frames to a film until a step is an error to raise."""
    with open_video(path, 30) as add:
        for step in steps:
            if isinstance(step, type):
                raise step
            add(step)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, LabanError])
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_interruption_leaves_nothing_and_keeps_the_older_film(tmp_path: Path, error: type, suffix: str) -> None:
    older = tmp_path / f"film{suffix}"
    older.write_bytes(b"older")
    with pytest.raises(error):
        write(older, ramp(0), error)
    assert [path.name for path in tmp_path.iterdir()] == [older.name]
    assert older.read_bytes() == b"older"


def test_bad_films_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match=r"film.avi: found the suffix .avi; accepted .mp4, .gif$"):
        open_video(tmp_path / "film.avi", 30).__enter__()
    with pytest.raises(LabanError, match="found 0 frames a second"):
        open_video(tmp_path / "film.mp4", 0).__enter__()
    with pytest.raises(LabanError, match="found no frames"):
        write(tmp_path / "film.mp4")
    with pytest.raises(LabanError, match=r"found a frame of shape \(48, 64, 3\)"):
        write(tmp_path / "film.mp4", ramp(0, (32, 32)), ramp(0))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabanError, match="cannot be written"):
        open_video(tmp_path / "file" / "film.mp4", 30).__enter__()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the limit would cut short the bytecode of modules imported meanwhile.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    noise = np.random.default_rng(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(LabanError, match="film.mp4: cannot be written"):
            write(tmp_path / "film.mp4", *(noise.integers(0, 255, (128, 128, 3), np.uint8) for _ in range(40)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_motion_is_filmed_at_the_rate_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    assert render_motion(clip(21, fps=20), path, size=(96, 80), fps=30, progress=False) == 31
    frames = decode(path)
    assert (len(frames), frames[0].shape) == (31, (80, 96, 3))
    body = np.abs(frames[15].astype(int) - np.median(frames[15], axis=(0, 1))).max(axis=-1) > 60
    assert 0.03 < body.mean() < 0.6


def test_pictures_by_suffix(tmp_path: Path) -> None:
    from PIL import Image

    assert render_motion(clip(4), tmp_path / "strip.png", size=(64, 96), progress=False) == 4
    with Image.open(tmp_path / "strip.png") as image:
        assert image.height == 96
        assert image.width > 2 * 96 * 0.4


def test_batches_of_skinned_frames_join_without_a_seam() -> None:
    from models.body.model import load_body

    motion = clip(2 * BATCH + 3, actors=2)
    cast = Cast(load_body())
    meshes = list(cast.frames(motion))
    assert len(meshes) == motion.frames
    assert {len(people) for people in meshes} == {2}
    for frame in (0, BATCH - 1, BATCH, 2 * BATCH + 2):
        alone = cast.at(motion, [frame])[0]
        for actor in range(2):
            assert meshes[frame][actor].vertices == pytest.approx(alone[actor].vertices, abs=1e-5)


def test_joints_move_with_the_root_and_a_skeleton_stands_on_them() -> None:
    from models.body.model import load_body

    motion = clip(5, actors=2)
    body, sticks = Cast(load_body()), Cast(load_body(), skeleton=True)
    joints = body.joints(motion)
    assert joints.shape == (2, 5, 55, 3)
    assert joints[1, 4, 0] - joints[0, 0, 0] == pytest.approx([1.2, 0.0, 4 / 30], abs=1e-5)
    mesh = sticks.at(motion, [0])[0][0]
    assert sticks.joints(motion) == pytest.approx(joints[:, :, :22], abs=1e-6)
    low, high = joints[0, 0, :22].min(axis=0), joints[0, 0, :22].max(axis=0)
    assert mesh.vertices.min(axis=0) == pytest.approx(low, abs=0.12)
    assert mesh.vertices.max(axis=0) == pytest.approx(high, abs=0.12)


def test_several_people_are_dressed_apart_and_keep_their_skin() -> None:
    own = np.uint8([[214, 168, 140], [70, 110, 160], [40, 36, 34]])
    other = dressed(own, (201, 92, 70))
    assert (other[[0, 2]] == own[[0, 2]]).all()
    assert other[1, 0] > other[1, 2]
    assert np.abs(other[1].astype(int).max() - own[1].astype(int).max()) <= 1


def test_the_same_motion_gives_the_same_pictures() -> None:
    look = Look(size=(64, 64), skeleton=True)
    first, second = (np.stack(list(shots(clip(3), look))) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("text", ["512", "512x512", " 512 X 512 "])
def test_sizes_are_read(text: str) -> None:
    assert parse_size(text) == (512, 512)


@pytest.mark.parametrize("text", ["", "x", "12x", "-4x5", "1x1", "99999x2", "12.5x3", "axb", "1x2x3"])
def test_bad_sizes_are_one_line(text: str) -> None:
    with pytest.raises(LabanError, match=r"^--size: found .*; accepted WIDTHxHEIGHT"):
        parse_size(text)


def test_an_error_of_the_encoder_ends_the_film(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabanError, match="cannot be written"):
        film(clip(3), tmp_path / "file" / "x.mp4", Look(size=(64, 64), skeleton=True), progress=False)


def _heed_ctrl_c() -> None:
    """A shell's background jobs ignore SIGINT, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_ctrl_c_during_a_film_leaves_nothing(tmp_path: Path, repository: Path) -> None:
    source, out = tmp_path / "long.npz", tmp_path / "out"
    write_motion(clip(4000), source)
    code = "import sys; from laban.cli import run; sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, "render", str(source), "-o", str(out / "x.mp4")],
                               cwd=repository, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c)  # fmt: skip
    # Pictures in the file show that everything is imported and compiled: before, a library may swallow the interrupt.
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if out.is_dir() and any(path.stat().st_size for path in out.iterdir()):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in message
    assert not list(out.iterdir())


def test_rates_are_exact_fractions(tmp_path: Path) -> None:
    with open_video(tmp_path / "film.mp4", 30000 / 1001) as add:
        add(ramp(0))
        add(ramp(1))
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
