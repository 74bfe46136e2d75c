"""Feature files: what is written is read back, and a side-car that is missing or wrong is one clear line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features, SideCar, read_features, side_car_path, write_features


def some(frames=7, width=3):
    values = np.random.default_rng(0).normal(size=(frames, width)).astype(np.float32)
    return Features(values, FrameGrid(29.97, frames, 4, 16, 0.25), "x3d_s")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".hdf5"])
@pytest.mark.parametrize("frames", [0, 7])
def test_what_is_written_is_read_back(tmp_path, suffix, frames):
    if suffix.startswith(".h"):
        pytest.importorskip("h5py")
    features = some(frames)
    path, car = write_features(features, tmp_path / f"clip{suffix}")
    back = read_features(path)
    assert car == side_car_path(path) and back.grid == features.grid and back.extractor == "x3d_s"
    assert back.values.dtype == np.float32 and (back.values == features.values).all()


def test_a_folder_may_share_one_side_car_and_a_caller_may_say_it_all(tmp_path):
    np.save(tmp_path / "a.npy", some().values.astype(np.float64))
    with pytest.raises(LabanError, match=r"has no side-car; expected a\.npy\.json \(or features\.json\)"):
        read_features(tmp_path / "a.npy")
    (tmp_path / "features.json").write_text('{"fps": 30, "stride": 4, "window": 16, "extractor": "i3d"}')
    features = read_features(tmp_path / "a.npy")
    assert features.grid == FrameGrid(30, 7, 4, 16) and features.extractor == "i3d"
    assert read_features(tmp_path / "a.npy", side_car=SideCar(25.0)).grid == FrameGrid(25, 7)


def test_arrays_are_found_by_name(tmp_path):
    np.savez(tmp_path / "two.npz", left=np.zeros((2, 3)), right=np.ones((4, 3)))
    car = SideCar(10.0)
    assert read_features(tmp_path / "two.npz", key="right", side_car=car).values.sum() == 12
    with pytest.raises(LabanError, match="has no array 'features'; it holds: left, right"):
        read_features(tmp_path / "two.npz", side_car=car)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file["video_1/rgb"] = np.ones((5, 2), np.float16)
        file["video_2/rgb"] = np.zeros((6, 2))
    assert read_features(tmp_path / "many.h5", key="video_1/rgb", side_car=car).values.shape == (5, 2)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"stride": 4}, "says no fps"),
        ([1], "says no fps"),
        ({"fps": "30"}, "fps is '30'; accepted: a number"),
        ({"fps": True}, "fps is True"),
        ({"fps": 0}, "fps is 0; accepted: a positive number"),
        ({"fps": 30, "stride": -1}, "stride is -1"),
        ({"fps": 30, "frames": 8}, "has frames 7, but its side-car says 8"),
        ({"fps": 30, "width": 2}, "has width 3, but its side-car says 2"),
        ({"fps": 30, "frames": 7.5}, "frames is 7.5"),
        ({"fps": float("nan")}, "fps is nan"),
    ],
)
def test_a_wrong_side_car_is_one_clear_line(tmp_path, said, message):
    path, car = write_features(some(), tmp_path / "clip.npy")
    car.write_text(json.dumps(said))
    with pytest.raises(LabanError) as caught:
        read_features(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_and_foreign_files_are_one_clear_line(tmp_path):
    path, car = write_features(some(), tmp_path / "clip.npy")
    car.write_text("{")
    with pytest.raises(LabanError, match="is not JSON"):
        read_features(path)
    for name, content, message in (("cut.npy", path.read_bytes()[:-5], "cut.npy"), ("cut.npz", b"PK", "cut.npz")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LabanError, match=message):
            read_features(tmp_path / name, side_car=SideCar(30.0))
    np.save(tmp_path / "objects.npy", np.array([{}], object))
    with pytest.raises(LabanError, match="never loaded"):
        read_features(tmp_path / "objects.npy", side_car=SideCar(30.0))
    with pytest.raises(LabanError, match=r"found the suffix \.mat"):
        read_features(tmp_path / "x.mat")
    with pytest.raises(LabanError, match="does not exist"):
        read_features(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros(5), "shape \\(5,\\)"), (np.zeros((2, 3, 4)), "accepted: numbers, \\(T, D\\)"),
     (np.array([["a"]]), "holds <U1"), (np.array([[0, 1], [np.nan, 2]]), "row 1, column 0"),
     (np.array([[0, 1], [0, 1e300]]), "row 1, column 1")],
)  # fmt: skip
def test_what_is_no_table_of_numbers_is_refused(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(LabanError, match=message):
        read_features(tmp_path / "x.npy", side_car=SideCar(30.0))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"fps": 1' + "0" * 400 + "}"])
def test_a_hostile_side_car_is_one_clear_line(tmp_path, text):
    path, car = write_features(some(), tmp_path / "clip.npy")
    car.write_text(text)
    with pytest.raises(LabanError, match=r"clip\.npy\.json: "):
        read_features(path)


def test_an_hdf5_file_is_read_as_far_as_it_is_small_and_holds_the_array_itself(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("features", shape=(10**8, 2048), dtype="f4", chunks=(1, 2048))
    assert (tmp_path / "huge.h5").stat().st_size < 10_000
    with pytest.raises(LabanError, match="declares 819200000000 bytes"):
        read_features(tmp_path / "huge.h5", side_car=SideCar(30.0))
    (tmp_path / "other").write_bytes(bytes(16))
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("features", shape=(2, 2), dtype="f4", external=[(str(tmp_path / "other"), 0, 16)])
    with pytest.raises(LabanError, match="lies in other files"):
        read_features(tmp_path / "outside.h5", side_car=SideCar(30.0))


def test_features_agree_with_their_grid():
    with pytest.raises(LabanError, match="7 rows for 8 entries"):
        Features(some().values, FrameGrid(30, 8), "x")
