"""`laban convert`: from any format to any other on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.cli import run
from models.body.pose import motion_joints
from models.formats import read_motion, write_motion
from models.motion import Motion
from models.rotations import axis_angle_to_matrix


def sway(frames: int = 31, fps: float = 30.0, actors: int = 1) -> Motion:
    """Somebody who stands and sways, arms hanging."""
    t = np.arange(frames) / fps
    vectors = np.zeros((actors, frames, 55, 3))
    vectors[:, :, 16, 2], vectors[:, :, 17, 2] = -1.2, 1.2
    vectors[:, :, 3, 2] = 0.2 * np.sin(2 * t)
    vectors[:, :, [4, 5], 0] = 0.3
    vectors[:, :, [1, 2], 0] = -0.15
    root = np.tile(np.array([0, 1.3, 0], np.float32), (actors, frames, 1))
    root[..., 0] += 0.1 * np.sin(2 * t) + np.arange(actors)[:, None]
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    return Motion(rotations, root.astype(np.float32), fps, np.zeros((actors, 10), np.float32), ("neutral",) * actors)


@pytest.mark.parametrize("source", [".npz", ".bvh", ".smpl", ".glb"])
@pytest.mark.parametrize("target", [".npz", ".bvh", ".smpl", ".glb", ".npy"])
def test_every_format_becomes_every_other(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_motion(sway(), tmp_path / f"in{source}")
    assert run(["convert", str(tmp_path / f"in{source}"), str(tmp_path / f"out{target}")]) == 0
    line = capsys.readouterr().out.strip()
    assert line == f"{tmp_path}/in{source} -> {tmp_path}/out{target}: 31 frames at 30 fps, 1.03 s"
    if target != ".npy":
        again = motion_joints(read_motion(tmp_path / f"out{target}"))
        assert np.abs(again - motion_joints(sway())).max() < 1e-5


def test_resampling_layout_and_json(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_motion(sway(), tmp_path / "in.npz")
    out = tmp_path / "deep" / "folder" / "out.npz"
    assert run(["convert", str(tmp_path / "in.npz"), str(out), "--fps", "60", "--layout", "smplh", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["frames"], result["fps"], result["actors"], result["files"]) == (61, 60.0, 1, [str(out)])
    with np.load(out) as data:
        assert data["poses"].shape == (61, 156)
        assert data["mocap_framerate"] == 60


def test_source_rate_and_axis_are_overruled(tmp_path: Path) -> None:
    write_motion(sway(), tmp_path / "in.npz")
    flags = ["--source-fps", "15", "--up", "y", "--fps", "30"]
    assert run(["convert", str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), *flags]) == 0
    again = read_motion(tmp_path / "out.npz")
    assert again.frames == 61
    # Taken as Y up although it was Z up, and written as Z up: turned by a quarter.
    assert again.root[0, 0] == pytest.approx([0, 0, 1.3 - 0.35 - 0.01], abs=0.5)


def test_two_people_become_two_files_or_one_glb(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_motion(sway(actors=2), tmp_path / "duet.npz")
    assert run(["convert", str(tmp_path / "duet.npz"), str(tmp_path / "duet.bvh")]) == 0
    assert "duet_0.bvh, " in capsys.readouterr().out
    assert run(["convert", str(tmp_path / "duet.npz"), str(tmp_path / "duet.glb")]) == 0
    assert "2 people, 31 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "flags", "message"),
    [
        ("in.npz", "out.fbx", [], "suffix '.fbx' is not known; accepted to write"),
        ("none.npz", "out.npz", [], "none.npz: does not exist"),
        (".", "out.npz", [], "suffix '' is not known; accepted to read"),
        ("in.npz", "out.npz", ["--layout", "smpl"], "--layout smpl: accepted for .npz: smplx, smplh"),
        ("in.npz", "out.npz", ["--fps", "-5"], "fps is -5.0; expected a positive number"),
        ("in.npz", "out.npz", ["--up", "sideways"], "--up sideways: accepted: y, z"),
        ("in.bvh", "out.npz", ["--unit", "ell"], "--unit ell: accepted: m, cmu, inch, cm, mm"),
        ("in.npz", "out.npz", ["--body", "none.npz"], "none.npz: found nothing; accepted: a body model file"),
        ("in.npz", "out.npz", ["--fqs", "5"], "No such option: --fqs"),
    ],
)
def test_wrong_calls_are_one_line_and_status_2(
    source: str, target: str, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_motion(sway(), tmp_path / "in.npz")
    write_motion(sway(), tmp_path / "in.bvh")
    before = sorted(tmp_path.iterdir())
    assert run(["convert", str(tmp_path / source), str(tmp_path / target), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
