"""What is written is read back: every format, random motions, several actors, other frame rates."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.formats import ReadOptions, read_motion, write_motion
from models.formats.amass import write_amass
from models.formats.world import Z_UP_TO_Y_UP
from models.motion import Motion
from models.resample import resample
from models.rotations import axis_angle_to_matrix, geodesic_angle

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def make_motion(
    seed: int = 0, *, actors: int = 1, frames: int = 9, joints: int = 55, fps: float = 30.0, spread: float = 1.5
) -> Motion:
    random = np.random.default_rng(seed)
    vectors = np.zeros((actors, frames, 55, 3))
    vectors[:, :, :joints] = random.normal(0, spread, (actors, frames, joints, 3))
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    root = random.normal(0, 3, (actors, frames, 3)).astype(np.float32)
    betas = random.normal(0, 1, (actors, 10)).astype(np.float32)
    genders = tuple(("neutral", "female", "male")[i % 3] for i in range(actors))
    return Motion(rotations, root, fps, betas, genders, np.arange(55) < joints)


@st.composite
def motions(draw: st.DrawFn, joints: tuple[int, ...] = (22, 55)) -> Motion:
    return make_motion(
        draw(st.integers(0, 2**32 - 1)),
        frames=draw(st.integers(1, 12)),
        joints=draw(st.sampled_from(joints)),
        fps=draw(st.sampled_from([20.0, 30.0, 60.0, 120.0, 29.97, 12.5, 100.0, 23.976])),
        spread=draw(st.sampled_from([0.0, 1e-5, 0.3, 2.0, 10.0])),
    )


def angle(a: Motion, b: Motion) -> float:
    """Largest angle between the rotations of two motions, radians."""
    return geodesic_angle(torch.from_numpy(a.rotations).double(), torch.from_numpy(b.rotations).double()).max().item()


def joints(motion: Motion) -> np.ndarray:
    rest = load_body().rest_joints(torch.from_numpy(motion.betas))[:, None]
    return forward_kinematics(torch.from_numpy(motion.rotations), rest, torch.from_numpy(motion.root))[0].numpy()


def there_and_back(motion: Motion, name: str, layout: str | None = None) -> Motion:
    with tempfile.TemporaryDirectory() as folder:
        write_motion(motion, Path(folder) / name, layout=layout)
        return read_motion(Path(folder) / name)


@pytest.mark.parametrize("name", ["a.npz", "a.smpl", "a.bvh", "a.glb"])
@given(motion=motions())
@QUICK
def test_rotations_root_rate_and_mask_survive(name: str, motion: Motion) -> None:
    again = there_and_back(motion, name)
    assert angle(motion, again) < 5e-6
    assert np.abs(motion.root - again.root).max() < 1e-5
    assert again.fps == pytest.approx(motion.fps, rel=1e-7)
    assert np.array_equal(again.mask, motion.mask) or motion.rotations[0, 0, 22:].trace(axis1=1, axis2=2).min() > 2.99


@given(motion=motions())
@QUICK
def test_smplh_layout_keeps_all_but_jaw_and_eyes(motion: Motion) -> None:
    again = there_and_back(motion, "a.npz", "smplh")
    kept = [j for j in range(55) if j not in (22, 23, 24)]
    assert angle(replace(motion, rotations=again.rotations), again) == 0
    assert np.abs(again.rotations[:, :, kept] - motion.rotations[:, :, kept]).max() < 2e-6
    assert np.array_equal(again.rotations[:, :, 22:25], np.broadcast_to(np.eye(3), again.rotations[:, :, 22:25].shape))
    assert not again.mask[22:25].any()
    assert np.array_equal(again.betas, motion.betas)


@pytest.mark.parametrize("name", ["a.npz", "a.smpl", "a.glb"])
def test_shape_and_gender_survive(name: str) -> None:
    motion = make_motion(3, actors=3)
    again = there_and_back(motion, name)
    assert np.array_equal(again.betas, motion.betas)
    assert again.genders == motion.genders


@given(seed=st.integers(0, 1000), size=st.floats(0, 2.5))
@QUICK
def test_bvh_gives_the_shape_back_through_its_bones(seed: int, size: float) -> None:
    motion = make_motion(seed)
    motion = replace(motion, betas=motion.betas * np.float32(size))
    again = there_and_back(motion, "a.bvh")
    assert np.abs(joints(again) - joints(motion)).max() < 2e-4


@pytest.mark.parametrize("suffix", [".npz", ".bvh", ".smpl"])
def test_actors_become_one_file_each_and_come_back_together(suffix: str, tmp_path: Path) -> None:
    motion = make_motion(5, actors=2)
    written = write_motion(motion, tmp_path / f"duet{suffix}")
    assert [path.name for path in written] == [f"duet_0{suffix}", f"duet_1{suffix}"]
    again = read_motion(tmp_path / f"duet{suffix}")
    assert angle(motion, again) < 5e-6
    assert angle(motion.actor(1), read_motion(written[1])) < 5e-6


def test_actors_of_different_length_are_refused(tmp_path: Path) -> None:
    write_motion(make_motion(frames=5), tmp_path / "duet_0.npz")
    write_motion(make_motion(frames=6), tmp_path / "duet_1.npz")
    with pytest.raises(LabanError, match=r"duet.npz: actor 1 has 6 frames"):
        read_motion(tmp_path / "duet.npz")


def test_a_file_that_exists_is_preferred_to_actor_files(tmp_path: Path) -> None:
    write_motion(make_motion(frames=5), tmp_path / "a.npz")
    write_motion(make_motion(frames=6), tmp_path / "a_0.npz")
    assert read_motion(tmp_path / "a.npz").frames == 5


def test_z_up_files_stand_the_body_up_and_place_its_pelvis(tmp_path: Path) -> None:
    """An upright AMASS body is turned by +90 degrees about x; its pelvis is at trans + J0 in that world."""
    motion = make_motion(7, frames=4)
    path = tmp_path / "a.npz"
    write_amass(motion, path)
    with np.load(path) as data:
        assert data["surface_model_type"] == "smplx"
        assert data["poses"].shape == (4, 165)
        pelvis = data["trans"] + load_body().rest_joints(torch.from_numpy(motion.betas))[0, 0].numpy()
        poses = torch.from_numpy(data["poses"].reshape(4, 55, 3)).float()
        raw = np.array(data["trans"], np.float32)
        betas = data["betas"]
    world = joints(motion)[0]
    assert np.abs(pelvis @ Z_UP_TO_Y_UP.T - world[:, 0]).max() < 1e-5
    rest = load_body().rest_joints(torch.from_numpy(betas)[None])
    z_up = forward_kinematics(axis_angle_to_matrix(poses), rest, torch.from_numpy(raw))[0].numpy()
    assert np.abs(z_up @ Z_UP_TO_Y_UP.T - world).max() < 1e-5
    assert world[0, :, 1] == pytest.approx(z_up[0, :, 2], abs=1e-5)  # height is z there


def test_y_up_archives_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    poses = np.random.default_rng(0).normal(size=(3, 66))
    trans = np.arange(9.0).reshape(3, 3)
    np.savez(path, poses=poses, trans=trans, mocap_framerate=50.0)
    motion = read_motion(path, ReadOptions(up="y", fps=25.0))
    assert np.array_equal(motion.root[0], trans.astype(np.float32))
    assert motion.fps == 25.0
    assert not motion.mask[22:].any()


def test_split_stage_ii_arrays_equal_one_poses_array(tmp_path: Path) -> None:
    motion = make_motion(11)
    write_amass(motion, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as data:
        parts = {name: data[name] for name in data.files if name not in ("poses", "joint_mask")}
    np.savez(tmp_path / "parts.npz", **parts)
    again = read_motion(tmp_path / "parts.npz")
    assert angle(motion, again) < 5e-6
    assert again.mask.all()


def test_published_smplh_file_with_bytes_gender_and_sixteen_betas(tmp_path: Path) -> None:
    poses = np.random.default_rng(0).normal(size=(4, 156)) * 0.2
    np.savez(tmp_path / "a.npz", poses=poses, trans=np.zeros((4, 3)), betas=np.arange(16.0) / 10, gender=b"male",
             mocap_framerate=np.array(120.0), dmpls=np.zeros((4, 8)))  # fmt: skip
    motion = read_motion(tmp_path / "a.npz")
    assert motion.genders == ("male",)
    assert motion.betas.shape == (1, 16)
    assert motion.fps == 120.0
    left_index = axis_angle_to_matrix(torch.from_numpy(poses[:, 66:69])).numpy()
    assert np.abs(motion.rotations[0, :, 25] - left_index).max() < 1e-6
    assert not motion.mask[22:25].any()
    assert motion.mask[25:].all()


@given(motion=motions(), rate=st.floats(5, 240))
@QUICK
@example(motion=make_motion(frames=1), rate=7.0)
def test_resampling_keeps_rotations_and_the_time_span(motion: Motion, rate: float) -> None:
    again = resample(motion, rate)
    gram = again.rotations.swapaxes(-1, -2) @ again.rotations
    assert np.abs(gram - np.eye(3)).max() < 1e-5
    span = (motion.frames - 1) / motion.fps
    assert (again.frames - 1) / rate <= span + 1e-6
    assert again.frames / rate > span - 1e-6
    assert np.array_equal(again.rotations[:, 0], motion.rotations[:, 0])
    assert np.array_equal(again.root[:, 0], motion.root[:, 0])


@given(motion=motions(), factor=st.integers(1, 5))
@QUICK
def test_resampling_up_and_down_again_is_exact(motion: Motion, factor: int) -> None:
    again = resample(resample(motion, motion.fps * factor), motion.fps)
    assert np.array_equal(again.rotations, motion.rotations)
    assert np.array_equal(again.root, motion.root)
    assert resample(motion, motion.fps) is motion


def test_resampling_turns_at_constant_speed() -> None:
    turns = np.zeros((1, 5, 55, 3))
    turns[0, :, 0, 1] = np.arange(5) * 0.4
    motion = Motion(
        axis_angle_to_matrix(torch.from_numpy(turns)).numpy().astype(np.float32),
        np.stack([np.arange(5.0) * 0.1, np.zeros(5), np.zeros(5)], -1).astype(np.float32)[None],
        10.0,
    )
    fine = resample(motion, 33.0)
    seconds = np.arange(fine.frames) / 33
    yaw = np.arctan2(fine.rotations[0, :, 0, 0, 2], fine.rotations[0, :, 0, 0, 0])
    assert yaw == pytest.approx(seconds * 4, abs=1e-5)
    assert fine.root[0, :, 0] == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize("rate", [0.0, -3.0, float("nan"), float("inf")])
def test_absurd_rates_are_refused(rate: float) -> None:
    with pytest.raises(LabanError, match="positive number"):
        resample(make_motion(), rate)
