"""Shards: tar files of features with their side-car and segments, for archives that outgrow a disk.

The layout is webdataset's: members `KEY.npy` and `KEY.json`, one after the other; KEY is the video's name, quoted as in
addresses (dots too). A shard is read from front to back, from a file or from an address that the caller names, and
nothing of it is ever written to disk, so a member's name can lead nowhere.
"""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import quote, unquote

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.formats.arrays import read_npy_bytes

BLOCK = tarfile.BLOCKSIZE
LARGEST_MEMBER = 1 << 29
"""Bytes; also of an array, see `models.formats.arrays`."""
LARGEST_HEADER = 1 << 16
"""Bytes of an extended header; names need no more."""
_ADDRESSES = ("http://", "https://")
_TIMEOUT = 60.0


@runtime_checkable
class _Readable(Protocol):
    """A file or the body of an answer."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Sample:
    """One video."""

    name: str
    features: Features
    truth: Timeline


@dataclass(frozen=True)
class RawSample:
    """One video before its array is looked at."""

    source: str
    key: str
    array: bytes
    note: bytes

    @property
    def name(self) -> str:
        """The video's, from the key."""
        return unquote(self.key)

    def read(self) -> Sample:
        """Decode; LabanError names the shard and the member."""
        where = f"{self.source}: {self.key}"
        try:
            said = json.loads(self.note)
            duration = float(said["duration"])
            grid = FrameGrid(**{key: said["grid"][key] for key in ("fps", "frames", "stride", "window", "offset")})
            segments = tuple(Segment(float(start), float(end), str(label)) for start, end, label in said["segments"])
            extractor = str(said["extractor"])
            truth = Timeline(segments, duration)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise LabanError(f"{where}.json: does not say what it should ({type(error).__name__}: {error})") from None
        values = _numbers(read_npy_bytes(self.array, f"{where}.npy"), where)
        if len(values) != grid.frames:
            raise LabanError(f"{where}: has {len(values)} rows; its .json says {grid.frames}")
        return Sample(self.name, Features(values, grid, extractor), truth)


def _numbers(values: ndarray, where: str) -> Float32[ndarray, "time width"]:
    if values.ndim == 2 and values.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            result = values.astype(np.float32)
        if np.isfinite(result).all():
            return result
    raise LabanError(f"{where}.npy: holds {values.dtype} of shape {values.shape}; accepted: finite numbers, (T, D)")


# --------------------------------------------------------------------------------------------------------- writing


def write_shards(
    samples: Iterable[Sample], folder: str | Path, *, shard_bytes: int = 256 << 20, overwrite: bool = False
) -> list[Path]:
    """Write `shard-000000.tar` and so on, each closed once it holds `shard_bytes`; returns their paths.

    Arrays keep 32 bits. The same samples give the same bytes. LabanError for a name that comes twice, and for a
    folder that holds shards already unless `overwrite`: they are replaced, and those left over deleted at the end.
    """
    old = sorted(Path(folder).glob("shard-*.tar"))
    paths: list[Path] = []
    seen: set[str] = set()
    waiting = iter(samples)
    sample = next(waiting, None)
    if sample is not None and old and not overwrite:
        raise LabanError(f"{folder}: holds {len(old)} shards already; name another folder or give --overwrite")
    while sample is not None:
        path = Path(folder) / f"shard-{len(paths):06d}.tar"
        with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            while sample is not None and (archive.offset == 0 or archive.offset < shard_bytes):
                if sample.name in seen:
                    raise LabanError(f"{folder}: video {sample.name} comes twice")
                seen.add(sample.name)
                for suffix, content in (("npy", _array_bytes(sample)), ("json", _note_bytes(sample))):
                    info = tarfile.TarInfo(f"{key_of(sample.name)}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
                sample = next(waiting, None)
        paths.append(path)
    for left in set(old) - set(paths) if paths else ():
        left.unlink()
    return paths


def key_of(name: str) -> str:
    """A video's name as the key of its members."""
    if not name:
        raise LabanError("a video has no name")
    return quote(name, safe=" ").replace(".", "%2E")


def _array_bytes(sample: Sample) -> bytes:
    stream = io.BytesIO()
    np.save(stream, sample.features.values, allow_pickle=False)
    return stream.getvalue()


def _note_bytes(sample: Sample) -> bytes:
    segments = [[s.start, s.end, s.label] for s in sample.truth.segments]
    said = {"extractor": sample.features.extractor, "grid": asdict(sample.features.grid),
            "duration": sample.truth.duration, "segments": segments}  # fmt: skip
    return json.dumps(said).encode()


# --------------------------------------------------------------------------------------------------------- reading


def read_shard(source: str | Path) -> Iterator[RawSample]:
    """The samples of one shard, a path or an address (http, https), in its order.

    Members that are neither `.npy` nor `.json` are passed over. LabanError for a shard that is damaged or cut short, a
    member that is a link or a device, and one whose other half is missing.
    """
    key, halves = "", dict[str, bytes]()
    with _opened(source) as stream:
        for name, content in _members(stream, str(source)):
            stem, _, suffix = name.rpartition("/")[2].partition(".")
            if suffix not in ("npy", "json"):
                continue
            if stem != key:
                if halves:
                    raise LabanError(f"{source}: {key} has no {'.json' if 'npy' in halves else '.npy'}")
                key = stem
            halves[suffix] = content
            if len(halves) == 2:
                yield RawSample(str(source), key, halves["npy"], halves["json"])
                halves = {}
    if halves:
        raise LabanError(f"{source}: {key} has no {'.json' if 'npy' in halves else '.npy'}")


def shuffled(sources: Sequence[str | Path], *, seed: int, buffer: int = 64) -> Iterator[RawSample]:
    """The samples of all shards, round after round without end, as a function of the seed.

    In every round the shards come in another order, and a sample is drawn from `buffer` that wait. LabanError when a
    round brings none.
    """
    if not sources:
        raise LabanError("no shard is named")
    turn = 0
    while True:
        rng, count = np.random.default_rng((seed, turn)), 0
        waiting: list[RawSample] = []
        for number in rng.permutation(len(sources)):
            for sample in read_shard(sources[number]):
                count += 1
                waiting.append(sample)
                if len(waiting) > buffer:
                    yield waiting.pop(int(rng.integers(len(waiting))))
        if not count:
            raise LabanError(f"{len(sources)} shards hold no sample, first {sources[0]}")
        for place in rng.permutation(len(waiting)):
            yield waiting[place]
        turn += 1


@contextmanager
def _opened(source: str | Path) -> Iterator[_Readable]:
    try:
        if str(source).startswith(_ADDRESSES):
            with urllib.request.urlopen(str(source), timeout=_TIMEOUT) as stream:
                yield stream
        else:
            with Path(source).open("rb") as stream:
                yield stream
    except (OSError, HTTPException) as error:
        raise LabanError(f"{source}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _members(stream: _Readable, source: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file in a tar stream; only as much is held as one member has."""
    long_name: str | None = None
    while header := stream.read(BLOCK):
        if header == bytes(len(header)):  # the end of the archive
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise LabanError(f"{source}: is no whole tar file ({error})") from None
        extended = info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)
        where, most = f"{source}: {info.name}", LARGEST_HEADER if extended else LARGEST_MEMBER
        if not 0 <= info.size <= most:
            raise LabanError(f"{where}: declares {info.size} bytes; accepted: up to {most}")
        content = stream.read(-(-info.size // BLOCK) * BLOCK)
        if len(content) < info.size:
            raise LabanError(f"{where}: is cut short: {len(content)} of {info.size} bytes")
        content = content[: info.size]
        if extended:
            long_name = _long_name(info.type, content, where) or long_name
        elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield long_name or info.name, content
            long_name = None
        elif info.type == tarfile.DIRTYPE:
            long_name = None
        else:
            raise LabanError(f"{where}: is no plain file (type {info.type!r}); accepted: files")
    raise LabanError(f"{source}: is cut short: it has no end mark")


def _long_name(kind: bytes, content: bytes, where: str) -> str | None:
    """The name that an extended header gives to the next member, if it does."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    name = None
    while content.strip(b"\0"):
        length, space, _ = content.partition(b" ")
        if not space or not length.isdigit() or not 0 < int(length) <= len(content):
            raise LabanError(f"{where}: has a damaged extended header")
        key, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            raise LabanError(f"{where}: has a size in an extended header; accepted: members up to {LARGEST_MEMBER}")
        content = content[int(length) :]
    return name
