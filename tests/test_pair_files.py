"""Two-person data sets on disk, InterHuman and Inter-X, from small files written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laban.errors import LabanError
from models.body.pose import motion_joints
from models.data.pair_files import interhuman_pairs, interx_pairs
from models.formats import read_motion
from models.formats.rotvec import to_vectors
from models.motion import Motion
from tests.test_pairs import two_people

NAME = "G001T000A000R000"


def interx_folder(folder: Path, motion: Motion, texts: str = "They shake hands.\nTwo people greet.\n") -> Path:
    """The published layout, 120 fps."""
    take = folder / "motions" / NAME
    take.mkdir(parents=True)
    (folder / "texts").mkdir()
    (folder / "texts" / f"{NAME}.txt").write_text(texts, encoding="utf-8")
    for person in (0, 1):
        vectors = to_vectors(motion.rotations[person])
        np.savez(take / f"P{person + 1}.npz", root_orient=vectors[:, 0], pose_body=vectors[:, 1:22],
                 pose_lhand=vectors[:, 25:40], pose_rhand=vectors[:, 40:55], trans=motion.root[person],
                 betas=motion.betas[person][None], gender="female")  # fmt: skip
    return take


def test_interx_files_are_two_people_and_the_set_is_pairs_with_their_sentences(tmp_path: Path) -> None:
    motion = two_people(49)
    take = interx_folder(tmp_path, motion)
    read = read_motion(take / "P2.npz")
    assert (read.actors, read.fps, read.genders) == (2, 120.0, ("female", "female"))
    assert np.abs(read.rotations - motion.rotations).max() < 1e-5 and np.allclose(read.betas, motion.betas)
    (pair,) = interx_pairs(tmp_path)
    assert (pair.name, pair.text, pair.wordings) == (NAME, "They shake hands.", ("Two people greet.",))
    assert pair.motion.fps == 30 and np.allclose(pair.motion.root, motion.root[:, ::4], atol=1e-6)


def test_processed_interx_files_hold_both_people(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    motion = two_people()
    rows = np.concatenate([to_vectors(motion.rotations), motion.root[:, :, None]], 2)
    path = tmp_path / "val.h5"
    with h5py.File(path, "w") as file:
        file[NAME] = np.concatenate([rows[0], rows[1]], -1).astype("f4")
    (pair,) = interx_pairs(path)
    assert pair.motion.fps == 30 and np.abs(pair.motion.rotations - motion.rotations).max() < 1e-5
    assert np.allclose(pair.motion.root, motion.root, atol=1e-6) and pair.text == ""
    with h5py.File(path, "w") as file:
        file[NAME] = np.zeros((3, 55, 6))
    with pytest.raises(LabanError, match=r"shape \(3, 55, 6\); accepted: \(T, 56, 6\)"):
        list(interx_pairs(path))


def test_interhuman_features_of_two_people_are_a_pair(tmp_path: Path) -> None:
    joints = motion_joints(two_people(30)).astype(np.float32)
    features = np.zeros((30, 2, 262), np.float32)
    features[:, :, :66] = np.moveaxis(joints, 0, 1).reshape(30, 2, 66)
    (tmp_path / "motions").mkdir()
    (tmp_path / "annots").mkdir()
    np.save(tmp_path / "motions" / "7.npy", features)
    (tmp_path / "annots" / "7.txt").write_text("one greets the other\n", encoding="utf-8")
    (pair,) = interhuman_pairs(tmp_path)
    assert (pair.text, pair.motion.actors, pair.motion.fps) == ("one greets the other", 2, 30.0)
    apart = np.linalg.norm(joints[0, :, 0] - joints[1, :, 0], axis=-1)
    places = motion_joints(pair.motion)[:, :, 0]
    assert np.abs(np.linalg.norm(places[0] - places[1], axis=-1) - apart).max() < 0.05


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="no motions"):
        list(interhuman_pairs(tmp_path))
    (tmp_path / "motions").mkdir()
    np.save(tmp_path / "motions" / "x.npy", np.zeros((4, 2, 263)))
    with pytest.raises(LabanError, match=r"shape \(4, 2, 263\); accepted"):
        list(interhuman_pairs(tmp_path))
    take = interx_folder(tmp_path / "x", two_people(8))
    (take / "P2.npz").unlink()
    with pytest.raises(LabanError, match=r"lacks P2\.npz"):
        list(interx_pairs(tmp_path / "x"))
    np.savez(take / "P1.npz", pose_body=np.zeros((8, 21, 3)), pose_lhand=np.zeros((8, 15, 3)),
             pose_rhand=np.zeros((8, 15, 3)), root_orient=np.full((8, 3), np.nan), trans=np.zeros((8, 3)))  # fmt: skip
    with pytest.raises(LabanError, match=r"P1\.npz: root_orient: holds a NaN"):
        read_motion(take / "P1.npz")
