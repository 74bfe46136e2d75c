"""Motion files that are wrong, hostile or cannot be written: one line that names the file, and nothing left behind."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laban.errors import LabanError
from models.formats import ReadOptions, check_target, read_motion, write_motion
from models.motion import Motion

SUFFIXES = (".npz", ".bvh", ".glb", ".npy", ".smpl")


def still(frames: int = 3, actors: int = 1) -> Motion:
    rotations = np.tile(np.eye(3, dtype=np.float32), (actors, frames, 55, 1, 1))
    return Motion(rotations, np.zeros((actors, frames, 3), np.float32), 30.0, np.zeros((actors, 10), np.float32))


def good() -> dict[str, np.ndarray]:
    return {
        "poses": np.zeros((4, 156)),
        "trans": np.zeros((4, 3)),
        "betas": np.zeros(16),
        "gender": np.array("male"),
        "mocap_framerate": np.array(120.0),
    }


def with_value(name: str, value: object) -> dict[str, np.ndarray]:
    return good() | {name: np.asarray(value)}


def without(name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in good().items() if key != name}


def nan_at(name: str, index: tuple[int, ...]) -> dict[str, np.ndarray]:
    values = good()[name].copy()
    values[index] = np.nan
    return good() | {name: values}


BAD_ARRAYS = {
    r"poses have shape \(4, 100\); accepted: poses \(T, 66": with_value("poses", np.zeros((4, 100))),
    r"poses has shape \(4, 52, 3\); accepted: \(T, T\)": with_value("poses", np.zeros((4, 52, 3))),
    r"poses have no frames": with_value("poses", np.zeros((0, 156))),
    r"poses: holds a NaN .* first at index \[2, 5\]": nan_at("poses", (2, 5)),
    r"poses: holds <U1 values; accepted: real numbers": with_value("poses", np.full((4, 156), "a")),
    r"poses: holds complex128 values": with_value("poses", np.zeros((4, 156), complex)),
    r"array 'poses': holds pickled Python objects": with_value("poses", np.full((4, 156), None, object)),
    r"trans: holds a number of size 1e[+]300; accepted: up to 1e[+]06": with_value("trans", np.full((4, 3), 1e300)),
    r"poses: holds a number of size 1e[+]12": with_value("poses", np.full((4, 156), -1e12)),
    r"trans has shape \(5, 3\); accepted: \(4, 3\)": with_value("trans", np.zeros((5, 3))),
    r"trans: holds a NaN": nan_at("trans", (0, 0)),
    r"has no array 'trans'; found": without("trans"),
    r"holds betas, gender, mocap_framerate, trans; accepted: poses": without("poses"),
    r"betas have shape \(2, 2, 2\)": with_value("betas", np.zeros((2, 2, 2))),
    r"betas: holds a NaN": nan_at("betas", (3,)),
    r"has neither mocap_frame_rate nor mocap_framerate; give the rate with --source-fps": without("mocap_framerate"),
    r"mocap_framerate is 0.0; accepted: one positive number": with_value("mocap_framerate", 0.0),
    r"mocap_framerate is \[30.0, 30.0\]": with_value("mocap_framerate", [30.0, 30.0]),
    r"mocap_framerate: holds a NaN": with_value("mocap_framerate", np.nan),
}


@pytest.mark.parametrize("message", sorted(BAD_ARRAYS))
def test_wrong_arrays_are_named(message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **BAD_ARRAYS[message])
    with pytest.raises(LabanError, match=f"^{path}: .*{message}|^{path}: {message}") as caught:
        read_motion(path)
    assert "\n" not in str(caught.value)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **good())
    assert read_motion(tmp_path / "a.npz").frames == 4


def test_pickles_beside_the_wanted_arrays_are_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (pytest.fail, ("a pickle was loaded",))

    marker = io.BytesIO()
    pickle.dump(Bomb(), marker)
    np.savez(tmp_path / "a.npz", **good(), labels=np.array([{"a": 1}], object))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("markers.npy", marker.getvalue())
    assert read_motion(tmp_path / "a.npz").frames == 4


def npy_header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def archive_with(path: Path, name: str, content: bytes) -> Path:
    np.savez(path, **without(name))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_header((10**12, 156)), "declares 1248000000000000 bytes"),
        (npy_header((1000, 156)) + bytes(100), "declares 1248000 bytes .* but the file holds only"),
        (npy_header((4, 156)) + bytes(4 * 156 * 8 - 10), "is cut short: 4982 of 4992 bytes"),
        (npy_header((4, 156)) + bytes(4 * 156 * 8 + 10), "goes on after"),
        (npy_header((4, 156), "|O") + bytes(5000), "holds pickled Python objects"),
        (b"\x93NUMPY\x07\x00" + bytes(300), r"NumPy format \(7, 0\)"),
        (b"not an array at all", "is not a whole .npz file"),
        (npy_header((-4, 156)) + bytes(5000), "a.npz: .*"),
    ],
)
def test_array_headers_that_lie(content: bytes, message: str, tmp_path: Path) -> None:
    path = archive_with(tmp_path / "a.npz", "poses", content)
    with pytest.raises(LabanError, match=message) as caught:
        read_motion(path)
    assert str(caught.value).startswith(str(path))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that pack a thousand to one: the size counts that the header declares, not that of the file."""
    monkeypatch.setattr("models.formats.arrays.MAX_ARRAY_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", **with_value("poses", np.zeros((4000, 156))))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(LabanError, match="declares 4992000 bytes .*; accepted: up to 1048576"):
        read_motion(tmp_path / "a.npz")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_archives_never_crash(data: st.DataObject) -> None:
    import tempfile

    stream = io.BytesIO()
    np.savez_compressed(stream, **good())
    raw = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(raw) - 1))
        raw[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
        outcome = "read"
        try:
            read_motion(path)
        except LabanError as error:
            outcome = str(error)
        assert outcome == "read" or outcome.startswith(str(path))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".smpl", ".bvh"])
@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"PK\x03\x04 cut", bytes(range(256)) * 4], ids=len)
def test_nonsense_under_a_known_suffix(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(LabanError) as caught:
        read_motion(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".smpl", ".bvh"])
def test_missing_files_and_folders(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="does not exist"):
        read_motion(tmp_path / f"none{suffix}")
    (tmp_path / f"dir{suffix}").mkdir()
    with pytest.raises(LabanError, match="is a folder; name a file to read"):
        read_motion(tmp_path / f"dir{suffix}")


def test_unknown_suffixes_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match=r"suffix '.fbx' is not known; accepted to read: .npz, .bvh"):
        read_motion(tmp_path / "a.fbx")
    with pytest.raises(LabanError, match=r"suffix '' is not known; accepted to write: .npz, .bvh, .glb"):
        check_target(tmp_path / "a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"up": "x"}, "--up x: accepted: y, z"), ({"fps": 0.0}, "--source-fps 0.0"), ({"fps": float("nan")}, "fps nan")],
)
def test_options_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(LabanError, match=message):
        ReadOptions(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smplVersion": np.array(4)}, "smplVersion is SMPL[+][+]; accepted: SMPL, SMPL-H"),
        ({"bodyPose": np.zeros((3, 24, 3))}, r"bodyPose has shape \(3, 24, 3\); accepted: \(3, 22, 3\)"),
        ({"bodyTranslation": np.zeros((2, 3))}, "bodyTranslation has shape"),
        ({"frameCount": np.array([1, 2])}, "frameCount has shape"),
        ({"frameCount": np.array(-1)}, "frameCount is -1"),
        ({"frameCount": np.array(4)}, r"frameCount is 4, bodyPose has shape \(3, 22, 3\)"),
        ({"shapeParameters": np.zeros((3, 3))}, "shapeParameters has shape"),
        ({"frameRate": np.array(-5.0)}, "fps is -5.0"),
        ({"headPose": np.full((3, 3, 3), np.inf)}, "headPose: holds a NaN or infinite"),
    ],
)
def test_wrong_smpl_files(change: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    write_motion(still(), tmp_path / "good.smpl")
    with np.load(tmp_path / "good.smpl") as data:
        arrays = dict(data) | change
    with (tmp_path / "a.smpl").open("wb") as stream:
        np.savez(stream, **arrays)
    with pytest.raises(LabanError, match=message) as caught:
        read_motion(tmp_path / "a.smpl")
    assert str(caught.value).startswith(str(tmp_path / "a.smpl"))


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestWriting:
    def test_a_folder_in_the_way(self, suffix: str, tmp_path: Path) -> None:
        (tmp_path / f"a{suffix}").mkdir()
        with pytest.raises(LabanError, match="is a folder; name a file to write"):
            write_motion(still(), tmp_path / f"a{suffix}")

    def test_a_folder_that_cannot_be_written(self, suffix: str) -> None:
        with pytest.raises(LabanError, match="cannot be written"):
            write_motion(still(), Path("/proc/nowhere") / f"a{suffix}")

    def test_a_file_where_a_folder_should_be(self, suffix: str, tmp_path: Path) -> None:
        (tmp_path / "plain").write_text("")
        with pytest.raises(LabanError, match="cannot be written"):
            write_motion(still(), tmp_path / "plain" / f"a{suffix}")


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """The disk is full at 400 bytes: a limit on file size, set in a process of its own, fails each write midway."""
    code = (
        "import resource, sys, numpy as np\n"
        "from laban.errors import LabanError\n"
        "from models.formats import write_motion\n"
        "from models.motion import Motion\n"
        "rotations = np.tile(np.eye(3, dtype=np.float32), (1, 200, 55, 1, 1))\n"
        "motion = Motion(rotations, np.random.default_rng(0).normal(size=(1, 200, 3)).astype(np.float32), 20.0)\n"
        "sys.dont_write_bytecode = True  # else the limit would cut the modules' own bytecode short\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        write_motion(motion, path)\n"
        "    except LabanError as error:\n"
        "        print(error)\n"
    )
    targets = [tmp_path / f"a{suffix}" for suffix in SUFFIXES]
    for target in targets:
        target.write_text("the old file")
    done = subprocess.run([sys.executable, "-c", code, *map(str, targets)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{target}: cannot be written (File too large)" for target in targets]
    assert {path.name for path in tmp_path.iterdir()} == {target.name for target in targets}
    assert all(target.read_text() == "the old file" for target in targets)
