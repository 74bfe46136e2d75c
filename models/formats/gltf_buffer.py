"""The binary half of a glTF 2.0 file: arrays packed into one buffer, each behind an accessor."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COMPONENT_TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.int8): 5120,
    np.dtype(np.uint8): 5121,
    np.dtype(np.int16): 5122,
    np.dtype(np.uint16): 5123,
    np.dtype(np.uint32): 5125,
    np.dtype(np.float32): 5126,
}
ELEMENT_SHAPES: dict[str, tuple[int, ...]] = {
    "SCALAR": (),
    "VEC2": (2,),
    "VEC3": (3,),
    "VEC4": (4,),
    "MAT2": (2, 2),
    "MAT3": (3, 3),
    "MAT4": (4, 4),
}
GLB_MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942


@dataclass
class GltfBuffer:
    """Collects arrays; `accessors` and `views` are what the JSON half lists."""

    data: bytearray = field(default_factory=bytearray)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)

    def add(self, values: ndarray, *, target: int | None = None, bounds: bool = False, normalized: bool = False) -> int:
        """Append one array, one element a row; returns its accessor. Matrices are given as (n, 4, 4) in row order.

        `bounds` writes the minimum and maximum, which glTF requires of positions and key times.
        """
        kind = next(name for name, shape in ELEMENT_SHAPES.items() if shape == values.shape[1:])
        if kind.startswith("MAT"):
            values = values.swapaxes(-1, -2)  # glTF stores columns
        raw = np.ascontiguousarray(values).tobytes()
        self.data += bytes(-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": COMPONENT_TYPES[values.dtype],
            "count": len(values),
            "type": kind,
        }
        if target is not None:
            view["target"] = target
        if normalized:
            accessor["normalized"] = True
        if bounds:
            flat = values.reshape(len(values), -1)
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        self.data += raw
        self.views.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def pack_glb(document: dict[str, Any], buffer: GltfBuffer) -> bytes:
    """A whole `.glb`: the header, the JSON chunk padded with spaces, the binary chunk padded with zeros."""
    binary = bytes(buffer.data) + bytes(-len(buffer.data) % 4)
    document = document | {
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), JSON_CHUNK) + text + struct.pack("<II", len(binary), BINARY_CHUNK) + binary
    return struct.pack("<III", GLB_MAGIC, 2, 12 + len(chunks)) + chunks
