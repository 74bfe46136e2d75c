"""`Features`: an array over time with its grid, and the files it is kept in: npy, npz or h5, each with a side-car."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.timeline import FrameGrid
from models.formats.arrays import MAX_ARRAY_BYTES, array_names, check_is_file, read_npy, read_npz

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
ARRAY = "features"
"""Name of the array in npz and h5 files."""

FOLDER_SIDE_CAR = "features.json"
"""A side-car for a whole folder: what all its files share, without their lengths."""


@dataclass(frozen=True)
class Features:
    """`values` (T, D), one row for each entry of `grid`, computed by `extractor` (a name that tells what made them)."""

    values: Float32[ndarray, "entries width"]
    grid: FrameGrid
    extractor: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise LabanError(
                f"features: found {self.values.dtype} of shape {self.values.shape}; accepted: float32 (T, D)"
            )
        if len(self.values) != self.grid.frames:
            raise LabanError(f"features: {len(self.values)} rows for {self.grid.frames} entries of their grid")

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.values.shape[1]


@dataclass(frozen=True)
class SideCar:
    """What a side-car says: where rows lie in time (see `FrameGrid`) and what made them; None where it is unsaid."""

    fps: float
    stride: float = 1
    window: float = 1
    offset: float = 0.0
    extractor: str = "unknown"
    frames: int | None = None
    width: int | None = None


def side_car_path(path: str | Path) -> Path:
    """`clip.npz` has its side-car in `clip.npz.json`."""
    return Path(f"{path}.json")


def write_features(features: Features, path: str | Path) -> list[Path]:
    """Write `.npy`, `.npz` or `.h5` and the side-car beside it; returns both paths. LabanError for another suffix."""
    path = Path(path)
    check_suffix(path)
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".npy":
            with temporary.open("wb") as stream:
                np.save(stream, features.values, allow_pickle=False)
        elif path.suffix.lower() == ".npz":
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **{ARRAY: features.values})
        else:
            with _h5().File(temporary, "w") as file:
                file.create_dataset(ARRAY, data=features.values, compression="gzip")
    grid, car = features.grid, side_car_path(path)
    said = {
        "fps": grid.fps, "stride": grid.stride, "window": grid.window, "offset": grid.offset,
        "extractor": features.extractor, "frames": grid.frames, "width": features.width,
    }  # fmt: skip
    with atomic_path(car) as temporary:
        temporary.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return [path, car]


def read_features(path: str | Path, *, key: str | None = None, side_car: SideCar | None = None) -> Features:
    """Features of a `.npy`, `.npz` or `.h5` file.

    Where they lie in time is said by `side_car`, else by the file's own (`FILE.json`), else by `features.json` of its
    folder. `key` names the array in an npz or h5 file (`group/name` for h5); a single array needs none.

    Raises LabanError when the file or side-car is missing or damaged, they contradict each other, or a number is NaN.
    """
    path = Path(path)
    check_suffix(path)
    check_is_file(path)
    car = side_car or read_side_car(path)
    values = _read_array(path, key)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise LabanError(f"{path}: holds {values.dtype} of shape {values.shape}; accepted: numbers, (T, D)")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))[0].tolist()
        raise LabanError(f"{path}: holds a NaN or infinite number, first in row {bad[0]}, column {bad[1]} (in 32 bits)")
    for name, said, found in (("frames", car.frames, values.shape[0]), ("width", car.width, values.shape[1])):
        if said is not None and said != found:
            raise LabanError(f"{path}: has {name} {found}, but its side-car says {said}")
    grid = FrameGrid(car.fps, len(values), car.stride, car.window, car.offset)
    return Features(values, grid, car.extractor)


def read_side_car(path: str | Path) -> SideCar:
    """The side-car of a feature file, its own or its folder's; LabanError when there is none or it is wrong."""
    own, shared = side_car_path(path), Path(path).parent / FOLDER_SIDE_CAR
    car = own if own.is_file() else shared
    if not car.is_file():
        raise LabanError(f"{path}: has no side-car; expected {own.name} (or {shared.name}) with fps, stride, window, "
                         "offset and extractor")  # fmt: skip
    try:
        said = json.loads(car.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabanError(f"{car}: is not JSON ({error})") from None
    if not isinstance(said, dict) or "fps" not in said:
        raise LabanError(f"{car}: says no fps; accepted: an object with fps, stride, window, offset and extractor")
    return _checked(said, car)


def check_suffix(path: Path) -> None:
    """LabanError unless `path` has the suffix of a feature file."""
    if path.suffix.lower() not in SUFFIXES:
        raise LabanError(f"{path}: found the suffix {path.suffix or '(none)'}; accepted {', '.join(SUFFIXES)}")


def _checked(said: Mapping[str, Any], car: Path) -> SideCar:
    numbers: dict[str, float] = {}
    for name in ("fps", "stride", "window", "offset"):
        if name in said:
            if isinstance(said[name], bool) or not isinstance(said[name], (int, float)):
                raise LabanError(f"{car}: {name} is {said[name]!r}; accepted: a number")
            numbers[name] = said[name]
    counts: dict[str, int] = {}
    for name in ("frames", "width"):
        if said.get(name) is not None:
            if isinstance(said[name], bool) or not isinstance(said[name], int) or said[name] < 0:
                raise LabanError(f"{car}: {name} is {said[name]!r}; accepted: a whole number from 0")
            counts[name] = said[name]
    try:
        FrameGrid(numbers["fps"], 0, numbers.get("stride", 1), numbers.get("window", 1), numbers.get("offset", 0.0))
    except LabanError as error:
        raise LabanError(f"{car}: {error}") from None
    return SideCar(extractor=str(said.get("extractor", "unknown")), **numbers, **counts)  # type: ignore[arg-type]


def _read_array(path: Path, key: str | None) -> ndarray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".npz":
        name = _chosen(path, array_names(path), key)
        return read_npz(path, {name})[name]
    h5py = _h5()
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            return _read_h5(file[_chosen(path, names, key)], path)
    except (OSError, RuntimeError) as error:
        raise LabanError(f"{path}: is not a whole HDF5 file ({error})") from None


def _read_h5(dataset: Any, path: Path) -> ndarray:
    """What a dataset holds itself, with the checks of `models.formats.arrays`: its size, and nothing of other files."""
    if dataset.external or dataset.is_virtual:
        raise LabanError(f"{path}: array {dataset.name!r} lies in other files; accepted: arrays in the file itself")
    if dataset.nbytes > MAX_ARRAY_BYTES:
        raise LabanError(
            f"{path}: declares {dataset.nbytes} bytes (shape {dataset.shape}); accepted: up to {MAX_ARRAY_BYTES}"
        )
    return np.asarray(dataset[()])


def _chosen(path: Path, names: list[str], key: str | None) -> str:
    wanted = key or (names[0] if len(names) == 1 else ARRAY)
    if wanted not in names:
        listed = ", ".join(sorted(names)[:8]) + (", …" if len(names) > 8 else "")
        raise LabanError(f"{path}: has no array {wanted!r}; it holds: {listed or 'nothing'}")
    return wanted


def _h5() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise LabanError(f"HDF5: package h5py is missing ({error}); run: pip install 'laban[h5]'") from None
