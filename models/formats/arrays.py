"""Reading NumPy files that strangers made: nothing is unpickled, and nothing is allocated before its size is known."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy import ndarray

from laban.errors import LabanError

MAX_ARRAY_BYTES = 1 << 29
"""Largest array read from one file: an hour of 55 joints at 120 fps in double precision is half a gigabyte."""

LARGEST = 1e6
"""Metres, radians, frames a second: no number of a motion file is larger."""

_BROKEN = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npz(path: Path, wanted: Collection[str]) -> dict[str, ndarray]:
    """The arrays of an `.npz` file whose names are in `wanted`; others are not even opened.

    Raises LabanError where the file cannot be opened, is not a whole NPZ, holds pickled objects under a wanted name,
    or declares an array above `MAX_ARRAY_BYTES`.
    """
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {
                name: _read_member(archive, info, f"{path}: array '{name}'")
                for name, info in members.items()
                if name in wanted
            }
    except LabanError:
        raise
    except _BROKEN as error:
        raise LabanError(f"{path}: is not a whole .npz file ({error}); accepted: an uncut NumPy archive") from error


def array_names(path: Path) -> list[str]:
    """Names of all arrays in an `.npz` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except _BROKEN as error:
        raise LabanError(f"{path}: is not a whole .npz file ({error}); accepted: an uncut NumPy archive") from error


def read_npy(path: Path) -> ndarray:
    """The one array of an `.npy` file, with the checks of `read_npz`."""
    check_is_file(path)
    try:
        with path.open("rb") as stream:
            return _read_array(stream, path.stat().st_size, str(path))
    except LabanError:
        raise
    except _BROKEN as error:
        raise LabanError(f"{path}: is not a whole .npy file ({error}); accepted: an uncut NumPy array") from error


def read_npy_bytes(content: bytes, where: str) -> ndarray:
    """The array of an `.npy` file that is in memory, with the checks of `read_npz`; `where` names it in errors."""
    try:
        return _read_array(io.BytesIO(content), len(content), where)
    except LabanError:
        raise
    except _BROKEN as error:
        raise LabanError(f"{where}: is not a whole .npy file ({error}); accepted: an uncut NumPy array") from error


def write_npz(path: Path, arrays: Mapping[str, ndarray | str | int | float]) -> None:
    """Compressed `.npz`, written whole or not at all."""
    from laban.files import atomic_path

    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        plain: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez_compressed(stream, allow_pickle=False, **plain)


def check_is_file(path: Path) -> None:
    """LabanError unless `path` is an existing file (a folder and a missing file are told apart)."""
    if path.is_dir():
        raise LabanError(f"{path}: is a folder; name a file to read")
    if not path.exists():
        raise LabanError(f"{path}: does not exist")


def need_numbers(values: ndarray, where: str, *, limit: float = LARGEST) -> ndarray:
    """`values` as float64; LabanError unless it holds finite real numbers of at most `limit` in size."""
    if values.dtype.kind not in "fiub":
        raise LabanError(f"{where}: holds {values.dtype} values; accepted: real numbers")
    result = values.astype(np.float64)
    if not np.isfinite(result).all():
        bad = np.argwhere(~np.isfinite(result))[0].tolist()
        raise LabanError(f"{where}: holds a NaN or infinite number, first at index {bad}")
    if result.size and (largest := np.abs(result).max()) > limit:
        raise LabanError(f"{where}: holds a number of size {largest:g}; accepted: up to {limit:g}")
    return result


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> ndarray:
    with archive.open(info) as stream:
        return _read_array(cast("io.BufferedIOBase", stream), info.file_size, where)


def _read_array(stream: io.BufferedIOBase, file_bytes: int, where: str) -> ndarray:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise LabanError(f"{where}: is in NumPy format {version}; accepted: 1.0, 2.0")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise LabanError(f"{where}: holds pickled Python objects, which are never loaded; accepted: plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_ARRAY_BYTES:
        raise LabanError(f"{where}: declares {size} bytes (shape {shape}); accepted: up to {MAX_ARRAY_BYTES}")
    if size > file_bytes:
        raise LabanError(f"{where}: declares {size} bytes (shape {shape}) but the file holds only {file_bytes}")
    data = stream.read(size)
    if len(data) < size:
        raise LabanError(f"{where}: is cut short: {len(data)} of {size} bytes")
    if stream.read(1):
        raise LabanError(f"{where}: goes on after the {size} bytes its header declares")
    flat = np.frombuffer(io.BytesIO(data).getbuffer(), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()
