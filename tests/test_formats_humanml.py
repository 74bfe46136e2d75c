"""Joint positions: HumanML3D's 263 features against the published ones, their inverse, InterHuman's two people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laban.errors import LabanError
from models.body.model import load_body
from models.body.pose import motion_joints
from models.formats import ReadOptions, read_motion, write_motion
from models.motion import Motion
from models.representation.humanml263 import BONES, CHAINS, LENGTHS, decode, encode, place, with_reference_bones
from models.rotations import axis_angle_to_matrix

SMOOTHING_REACH = 81  # frames at the end that the frame after the last one would have changed


def walk(frames: int = 90, seed: int = 0) -> Motion:
    """Somebody who walks a curve, swings arms and legs, and leans."""
    random = np.random.default_rng(seed)
    t = np.arange(frames) / 20
    phase, yaw = 2 * np.pi * t + random.uniform(0, 6), random.uniform(-0.6, 0.6) * t
    vectors = np.zeros((1, frames, 55, 3))
    vectors[0, :, 0, 1] = yaw
    for joint, size in ((1, 0.5), (2, -0.5)):
        vectors[0, :, joint, 0] = -size * np.sin(phase)
    vectors[0, :, [4, 5], 0] = 0.4 + 0.3 * np.sin(phase)
    vectors[0, :, 16, 2], vectors[0, :, 17, 2] = -1.1, 1.1
    vectors[0, :, [18, 19], 1] = 0.4 * np.sin(phase)
    vectors[0, :, 3, 0] = 0.1
    speed = 1.1 / 20
    root = np.zeros((1, frames, 3), np.float32)
    root[0, :, 0], root[0, :, 2] = np.cumsum(speed * np.sin(yaw)), np.cumsum(speed * np.cos(yaw))
    root[0, :, 1] = 1.3 + 0.02 * np.cos(2 * phase)
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    return Motion(rotations, root, 20.0)


def turned(joints: np.ndarray, angle: float, shift: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + shift


@given(seed=st.integers(0, 1000), frames=st.integers(2, 90))
@settings(max_examples=20, deadline=None)
def test_decoding_gives_placed_joints_back(seed: int, frames: int) -> None:
    joints = motion_joints(walk(frames, seed))[0].astype(np.float64)
    features = encode(joints)
    assert features.shape == (frames - 1, 263)
    assert np.abs(decode(features) - place(joints)[:-1]).max() < 1e-4


@given(angle=st.floats(-3, 3), x=st.floats(-5, 5), y=st.floats(-1, 1), z=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_features_do_not_depend_on_place_and_heading(angle: float, x: float, y: float, z: float) -> None:
    joints = motion_joints(walk())[0].astype(np.float64)
    moved = turned(joints, angle, np.array([x, y, z]))
    assert np.abs(encode(moved) - encode(joints)).max() < 1e-4


def test_rotations_rebuild_the_bone_directions() -> None:
    """Forward kinematics of the 6D channels on the stick figure points every bone where it points."""
    joints = place(motion_joints(walk())[0].astype(np.float64))
    features = encode(joints, canonical=False).astype(np.float64)
    sixd = features[:, 67:193].reshape(-1, 21, 2, 3)
    first, second = sixd[:, :, 0], sixd[:, :, 1]
    local = np.stack([first, second, np.cross(first, second)], axis=-1)
    half = np.concatenate([[0.0], np.cumsum(features[:-1, 0])]) * 2
    zero, one = np.zeros_like(half), np.ones_like(half)
    # Turns of headings to +Z, whose frame the first bone of each chain from the pelvis starts in.
    heading = np.stack([np.cos(half), zero, np.sin(half), zero, one, zero, -np.sin(half), zero, np.cos(half)], -1)
    for chain in CHAINS:
        world = heading.reshape(-1, 3, 3)
        for parent, child in zip(chain[:-1], chain[1:], strict=True):
            world = world @ local[:, child - 1]
            bone = joints[:-1, child] - joints[:-1, parent]
            assert np.abs(world @ BONES[child] - bone / np.linalg.norm(bone, axis=-1, keepdims=True)).max() < 1e-3


def test_reference_bones_keep_directions_and_change_lengths() -> None:
    joints = motion_joints(walk())[0].astype(np.float64)
    again = with_reference_bones(joints)
    from models.body.skeleton import PARENTS

    parents = list(PARENTS[1:22])
    before, after = joints[:, 1:] - joints[:, parents], again[:, 1:] - again[:, parents]
    lengths = np.linalg.norm(after, axis=-1)
    assert lengths == pytest.approx(np.tile(LENGTHS[1:], (90, 1)), abs=1e-6)
    cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / lengths
    assert cosine.min() > 1 - 1e-9
    assert np.abs(with_reference_bones(again) - again).max() < 1e-9


def test_feet_are_in_contact_while_they_rest() -> None:
    joints = np.tile(motion_joints(walk(1))[0].astype(np.float64), (5, 1, 1))
    joints[2:, 10] += (0.0, 0.0, 0.05)
    contact = encode(joints)[:, 259:]
    assert contact.tolist() == [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_one_frame_is_refused() -> None:
    with pytest.raises(LabanError, match="1 frames; accepted: 2 or more"):
        encode(motion_joints(walk(1))[0])


def test_written_joints_are_the_bodys_at_20_fps(tmp_path: Path) -> None:
    motion = walk()
    from models.resample import resample

    write_motion(resample(motion, 60.0), tmp_path / "a.npy")
    assert np.abs(np.load(tmp_path / "a.npy") - motion_joints(motion)[0]).max() < 1e-5
    write_motion(motion, tmp_path / "b.npy", layout="263")
    assert np.load(tmp_path / "b.npy").shape == (89, 263)


def test_joints_and_features_are_read_as_motion(tmp_path: Path) -> None:
    """Positions come back through retargeting, which keeps the directions of bones and the place of the feet."""
    motion = walk()
    joints = motion_joints(motion)[0]
    write_motion(motion, tmp_path / "a.npy")
    again = read_motion(tmp_path / "a.npy")
    assert again.fps == 20
    assert np.linalg.norm(motion_joints(again)[0] - joints, axis=-1).mean() < 0.03
    np.save(tmp_path / "b.npy", encode(joints.astype(np.float64)))
    placed = place(joints.astype(np.float64))[:-1]
    assert np.linalg.norm(motion_joints(read_motion(tmp_path / "b.npy"))[0] - placed, axis=-1).mean() < 0.03


def test_interhuman_files_of_both_persons_are_read_together(tmp_path: Path) -> None:
    first, second = walk(40, 1), walk(40, 2)
    both = []
    for folder, motion in (("person1", first), ("person2", second)):
        joints = motion_joints(motion)[0]
        both.append(joints)
        values = np.zeros((40, 492), np.float32)
        values[:, :66] = (joints @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])).reshape(40, 66)
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "7.npy", values)
    for folder in ("person1", "person2"):
        motion = read_motion(tmp_path / folder / "7.npy")
        assert (motion.actors, motion.fps) == (2, 30.0)
        assert np.linalg.norm(motion_joints(motion) - np.stack(both), axis=-1).mean() < 0.03
    features = np.zeros((40, 2, 262), np.float32)
    features[:, :, :66] = np.stack(both, axis=1).reshape(40, 2, 66)
    np.save(tmp_path / "pair.npy", features)
    assert np.abs(motion_joints(read_motion(tmp_path / "pair.npy")) - motion_joints(motion)).max() < 1e-3


@pytest.mark.parametrize("shape", [(5,), (0, 22, 3), (5, 21, 3), (5, 264), (5, 3, 262), ()])
def test_other_shapes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(LabanError, match=r"a.npy: has shape .*; accepted: HumanML3D joints \(T, 22, 3\)"):
        read_motion(tmp_path / "a.npy")


def test_absurd_positions_and_nan_are_refused(tmp_path: Path) -> None:
    joints = motion_joints(walk(5))[0]
    joints[2, 3, 1] = np.nan
    np.save(tmp_path / "a.npy", joints)
    with pytest.raises(LabanError, match=r"a.npy: holds a NaN .* first at index \[2, 3, 1\]"):
        read_motion(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.full((3, 22, 3), 1e30))
    with pytest.raises(LabanError, match="holds a number of size 1e[+]30; accepted: up to 10000"):
        read_motion(tmp_path / "a.npy")


def test_options_overrule_rate_and_axis(tmp_path: Path) -> None:
    joints = motion_joints(walk(30))[0]
    np.save(tmp_path / "a.npy", joints @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]))
    motion = read_motion(tmp_path / "a.npy", ReadOptions(fps=40.0, up="z", body=load_body()))
    assert motion.fps == 40
    assert np.linalg.norm(motion_joints(motion)[0] - joints, axis=-1).mean() < 0.03


@pytest.mark.data
@pytest.mark.parametrize("sample", ["012314", "000000"])
def test_published_features_and_joints_agree(sample: str, mocap_folder: Path) -> None:
    """Ours against the published files of the same clips; their last rows saw one frame more than is published."""
    folder = mocap_folder / "reference"
    joints, features = (np.load(folder / f"{kind}_{sample}.npy") for kind in ("new_joints", "new_joint_vecs"))
    assert np.abs(decode(features) - joints).max() < 1e-6
    ours, theirs = encode(joints, canonical=False), features[:-1]
    settled = len(ours) - SMOOTHING_REACH
    assert np.abs(ours - theirs)[:settled].max() < 2e-5
    assert np.abs(ours - theirs).max() < 2e-2
    assert np.array_equal(ours[:, 259:], theirs[:, 259:])
    assert np.abs(with_reference_bones(joints) - joints).max() < 1e-4
    assert np.abs(place(joints) - joints).max() < 1e-5
