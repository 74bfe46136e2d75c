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
    """Somebody who stands on the floor and sways, arms hanging."""
    t = np.arange(frames) / fps
    vectors = np.zeros((actors, frames, 55, 3))
    vectors[:, :, 16, 2], vectors[:, :, 17, 2] = -1.2, 1.2
    vectors[:, :, 3, 2] = 0.2 * np.sin(2 * t)
    vectors[:, :, [4, 5], 0] = 0.3
    vectors[:, :, [1, 2], 0] = -0.15
    root = np.tile(np.array([0, 1.32, 0], np.float32), (actors, frames, 1))
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


MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    **{f"{side}_{ours}": f"{side.title()}{theirs}" for side in ("left", "right") for ours, theirs in (
        ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("foot", "ToeBase"), ("collar", "Shoulder"),
        ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"))},
}  # fmt: skip


def test_a_foreign_skeleton_is_retargeted(tmp_path: Path) -> None:
    """The same motion under another tool's names, in inches: bones keep their directions, feet their place."""
    motion = sway()
    write_motion(motion, tmp_path / "own.bvh", layout="body")
    rows = []
    for row in (tmp_path / "own.bvh").read_text().splitlines():
        words = row.split()
        if words[0] in ("ROOT", "JOINT"):
            words[1] = f"mixamorig:{MIXAMO[words[1]]}"
        elif words[0] == "OFFSET":
            words[1:] = [f"{float(word) / 2.54:.6f}" for word in words[1:]]
        elif len(words) == 69:
            words[:3] = [f"{float(word) / 2.54:.6f}" for word in words[:3]]
        rows.append(" ".join(words))
    (tmp_path / "mixamo.bvh").write_text("\n".join(rows) + "\n")
    assert run(["convert", str(tmp_path / "mixamo.bvh"), str(tmp_path / "out.npz")]) == 0
    again, before = motion_joints(read_motion(tmp_path / "out.npz"))[0], motion_joints(motion)[0]
    assert np.linalg.norm(again - before, axis=-1).max() < 0.03


def test_a_skeleton_that_is_no_person_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = (
        "HIERARCHY\nROOT Box\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation\n"
        "End Site\n{\nOFFSET 0 100 0\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n0 0 0 0 0 0\n"
    )
    (tmp_path / "box.bvh").write_text(text)
    assert run(["convert", str(tmp_path / "box.bvh"), str(tmp_path / "out.npz")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/box.bvh: retarget: found no joint for" in error
    assert not (tmp_path / "out.npz").exists()
