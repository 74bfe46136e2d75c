"""glTF 2.0 as a file: its JSON, buffers and accessors. Nothing outside the file's own folder is read."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import check_is_file, need_numbers
from models.formats.gltf_buffer import BINARY_CHUNK, COMPONENT_TYPES, ELEMENT_SHAPES, GLB_MAGIC, JSON_CHUNK

MAX_BYTES = 1 << 30
_DTYPES = {code: dtype for dtype, code in COMPONENT_TYPES.items()}
_ACCEPTED = "a glTF 2.0 file (.glb or .gltf)"
_UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


@dataclass(frozen=True)
class GltfFile:
    """A parsed file; `buffers` holds the bytes of each buffer."""

    path: Path
    json: dict[str, Any]
    buffers: tuple[bytes, ...]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """A top-level list such as "nodes"; empty where the file has none."""
        found = self.json.get(kind, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.error(f"'{kind}' is not a list of objects")
        return found

    def item(self, kind: str, index: Any) -> dict[str, Any]:
        """One entry of a top-level list; LabanError where the index points nowhere."""
        found = self.items(kind)
        if not isinstance(index, int) or not 0 <= index < len(found):
            raise self.error(f"refers to {kind}[{index}], of {len(found)}")
        return found[index]

    def error(self, message: str) -> LabanError:
        """A LabanError that names the file."""
        return LabanError(f"{self.path}: {message}; accepted: {_ACCEPTED}")

    def accessor(self, index: Any) -> Float[ndarray, "count ..."]:
        """The values of an accessor as float64, one element a row; matrices as (n, 4, 4) in row order."""
        entry = self.item("accessors", index)
        dtype, shape = _DTYPES.get(entry.get("componentType", 0)), ELEMENT_SHAPES.get(entry.get("type", ""))
        count = entry.get("count")
        if dtype is None or shape is None or not isinstance(count, int) or count < 1:
            raise self.error(f"accessors[{index}] has no valid componentType, type and count")
        if "sparse" in entry or "bufferView" not in entry:
            raise self.error(f"accessors[{index}] is sparse, which animations seldom are and this reader does not take")
        view = self.item("bufferViews", entry["bufferView"])
        width = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        stride = view.get("byteStride", width)
        start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
        if not (isinstance(stride, int) and width <= stride <= 252 and isinstance(start, int) and start >= 0):
            raise self.error(f"accessors[{index}] has a bad offset or stride")
        buffer_index = view.get("buffer")
        if not isinstance(buffer_index, int) or not 0 <= buffer_index < len(self.buffers):
            raise self.error(f"refers to buffers[{buffer_index}], of {len(self.buffers)}")
        data = self.buffers[buffer_index]
        end = start + stride * (count - 1) + width
        if end > len(data):
            raise self.error(f"accessors[{index}] ends at byte {end} of a buffer of {len(data)}")
        rows = np.ndarray((count, width), np.uint8, data, offset=start, strides=(stride, 1))
        values = np.ascontiguousarray(rows).view(dtype.newbyteorder("<")).astype(np.float64).reshape(count, *shape)
        if entry.get("normalized") and dtype.kind in "iu":
            values = np.maximum(values / np.iinfo(dtype).max, -1.0)
        values = need_numbers(values, f"{self.path}: accessors[{index}]")
        return values.swapaxes(-1, -2) if len(shape) == 2 else values


def read_gltf_file(path: Path) -> GltfFile:
    """Read a `.glb` or `.gltf` with its buffers, which may be embedded or lie beside the file."""
    check_is_file(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise LabanError(f"{path}: is {size} bytes; accepted: up to {MAX_BYTES}")
    raw = path.read_bytes()
    text, binary = _chunks(path, raw) if path.suffix.lower() == ".glb" else (raw, None)
    try:
        document = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise LabanError(f"{path}: its JSON cannot be read ({error}); accepted: {_ACCEPTED}") from error
    version = document.get("asset", {}).get("version") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("2."):
        raise LabanError(f"{path}: is glTF version {version}; accepted: {_ACCEPTED}")
    required = document.get("extensionsRequired", [])
    if blocked := [name for name in _UNREADABLE if name in required]:
        raise LabanError(f"{path}: is compressed with {', '.join(blocked)}; accepted: uncompressed glTF 2.0")
    buffers = document.get("buffers", [])
    entries = enumerate(buffers) if isinstance(buffers, list) else ()
    return GltfFile(path, document, tuple(_buffer(path, index, entry, binary) for index, entry in entries))


def _chunks(path: Path, raw: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the binary chunk of a GLB container."""
    if len(raw) < 20 or struct.unpack_from("<I", raw)[0] != GLB_MAGIC:
        raise LabanError(f"{path}: does not begin like a GLB; accepted: {_ACCEPTED}")
    version, length = struct.unpack_from("<II", raw, 4)
    if version != 2:
        raise LabanError(f"{path}: is GLB version {version}; accepted: 2")
    if length > len(raw):
        raise LabanError(f"{path}: is cut short: {len(raw)} of {length} bytes; accepted: a whole GLB")
    chunks: dict[int, bytes] = {}
    position = 12
    while position + 8 <= length:
        size, kind = struct.unpack_from("<II", raw, position)
        if position + 8 + size > length:
            raise LabanError(f"{path}: a chunk of {size} bytes goes past the end of the file; accepted: a whole GLB")
        chunks.setdefault(kind, raw[position + 8 : position + 8 + size])
        position += 8 + size
    if JSON_CHUNK not in chunks:
        raise LabanError(f"{path}: has no JSON chunk; accepted: {_ACCEPTED}")
    return chunks[JSON_CHUNK], chunks.get(BINARY_CHUNK)


def _buffer(path: Path, index: int, entry: Any, binary: bytes | None) -> bytes:
    uri = entry.get("uri") if isinstance(entry, dict) else None
    if uri is None:
        if index == 0 and binary is not None:
            return binary
        raise LabanError(f"{path}: buffers[{index}] has no data; accepted: {_ACCEPTED}")
    if not isinstance(uri, str):
        raise LabanError(f"{path}: buffers[{index}].uri is not text; accepted: {_ACCEPTED}")
    if uri.startswith("data:"):
        try:
            return base64.b64decode(uri.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise LabanError(f"{path}: buffers[{index}] holds broken base64; accepted: {_ACCEPTED}") from error
    folder = path.absolute().parent.resolve()
    beside = (folder / unquote(uri)).resolve()
    if not beside.is_relative_to(folder) or "://" in uri:
        raise LabanError(f"{path}: buffers[{index}] lies at {uri[:80]!r}; accepted: a file beside or below this one")
    check_is_file(beside)
    if beside.stat().st_size > MAX_BYTES:
        raise LabanError(f"{beside}: is {beside.stat().st_size} bytes; accepted: up to {MAX_BYTES}")
    return beside.read_bytes()
