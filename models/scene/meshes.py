"""Meshes out of GLB, OBJ, PLY and STL files, as parts with their names. Nothing outside the file is read."""

from __future__ import annotations

import io
import warnings
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import check_is_file

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
MAX_BYTES = 1 << 30
"""A room of twenty million triangles in GLB is half of it."""


@dataclass(frozen=True)
class Part:
    """A piece of a file; `names` are its own name and those of the nodes above it, the outermost first."""

    names: tuple[str, ...]
    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]


def read_parts(path: Path) -> list[Part]:
    """The parts of a mesh file, in its own units and axes, with at least one triangle each.

    Raises LabanError for other kinds of files, damage, files above `MAX_BYTES`, numbers that are not finite and files
    without triangles.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        more = " (a .gltf reads other files: export it as .glb)" if suffix == ".gltf" else ""
        raise LabanError(f"{path}: rooms are read from {', '.join(SUFFIXES)}{more}")
    check_is_file(path)
    if path.stat().st_size > MAX_BYTES:
        size = path.stat().st_size / (1 << 20)
        raise LabanError(f"{path}: {size:,.0f} MB; accepted: up to {MAX_BYTES >> 20} MB (simplify the mesh)")
    parts = _read_obj(path) if suffix == ".obj" else _read_by_trimesh(path, suffix[1:])
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise LabanError(f"{path}: holds no triangles; expected the mesh of a room")
    for part in parts:
        _check(path, part)
    return parts


def _check(path: Path, part: Part) -> None:
    name = f" of {part.names[-1]!r}" if part.names else ""
    if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
        raise LabanError(
            f"{path}: a triangle{name} has a vertex that the file does not have ({len(part.vertices)} there)"
        )
    bad = ~(np.abs(part.vertices) < 1e9).all(1)
    bad[np.setdiff1d(np.arange(len(bad)), part.faces)] = False
    if bad.any():
        first = int(bad.argmax())
        raise LabanError(
            f"{path}: vertex {first + 1}{name} is {part.vertices[first].tolist()}; expected finite numbers"
        )


# ------------------------------------------------------------------------------------------------------------------ OBJ


def _read_obj(path: Path) -> list[Part]:
    """Wavefront OBJ: `v`, `f` (polygons become fans, negative numbers count back), objects `o` or else groups `g`."""
    vertices, faces = array("d"), array("q")
    named: list[tuple[str, str, int]] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            try:
                if words[0] == "v":
                    vertices.extend((float(words[1]), float(words[2]), float(words[3])))
                elif words[0] == "f":
                    corners = [_corner(word, len(vertices) // 3) for word in words[1:]]
                    if len(corners) < 3:
                        raise ValueError("a face needs three corners")
                    for a, b in zip(corners[1:], corners[2:], strict=False):
                        faces.extend((corners[0], a, b))
                elif words[0] in ("o", "g"):
                    named.append((words[0], " ".join(words[1:]), len(faces) // 3))
            except (ValueError, IndexError) as error:
                said = f"{line.strip()[:60]!r} is not `{'v x y z' if words[0] == 'v' else 'f a b c'}`"
                raise LabanError(f"{path}: line {number}: {said} ({error})") from error
    kind = "o" if any(mark == "o" for mark, _, _ in named) else "g"
    starts = [("", 0), *((name, start) for mark, name, start in named if mark == kind)]
    ends = [start for _, start in starts[1:]] + [len(faces) // 3]
    points = np.frombuffer(vertices, np.float64).reshape(-1, 3)
    triangles = np.frombuffer(faces, np.int64).reshape(-1, 3)
    whole: dict[str, list[ndarray]] = {}
    for (name, start), end in zip(starts, ends, strict=True):
        whole.setdefault(name, []).append(triangles[start:end])
    return [_own(points, np.concatenate(pieces), (name,) if name else ()) for name, pieces in whole.items()]


def _corner(word: str, count: int) -> int:
    index = int(word.partition("/")[0])
    found = index - 1 if index > 0 else count + index
    if index == 0 or not 0 <= found < count:
        raise ValueError(f"vertex {index} of {count}")
    return found


def _own(points: ndarray, corners: ndarray, names: tuple[str, ...]) -> Part:
    """The part with no other vertices than its own."""
    used, renumbered = np.unique(corners, return_inverse=True)
    return Part(names, points[used], renumbered.reshape(-1, 3))


# -------------------------------------------------------------------------------------------------------- GLB, PLY, STL


def _read_by_trimesh(path: Path, kind: str) -> list[Part]:
    import trimesh

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # from memory and without a resolver: nothing that a file refers to can be opened
            loaded = trimesh.load(io.BytesIO(path.read_bytes()), file_type=kind, process=False, skip_materials=True)
    except Exception as error:  # whatever a broken file makes a reader of many formats raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise LabanError(f"{path}: is not a whole {kind.upper()} file ({reason})") from error
    if isinstance(loaded, trimesh.Trimesh):
        return [Part((), _float(loaded.vertices), _whole(loaded.faces))]
    if not isinstance(loaded, trimesh.Scene):
        return []
    order = {name: number for number, name in enumerate(loaded.geometry)}
    nodes = sorted(loaded.graph.nodes_geometry, key=lambda node: (order[loaded.graph[node][1]], str(node)))
    return [part for node in nodes if (part := _node(loaded, str(node))) is not None]


def _node(scene: object, node: str) -> Part | None:
    """A node of a glTF with its mesh, in the world."""
    import trimesh

    assert isinstance(scene, trimesh.Scene)
    matrix, geometry = scene.graph[node]
    mesh = scene.geometry[geometry]
    if not isinstance(mesh, trimesh.Trimesh):
        return None
    matrix = np.asarray(matrix, np.float64)
    vertices = _float(mesh.vertices) @ matrix[:3, :3].T + matrix[:3, 3]
    faces = _whole(mesh.faces)
    parents = scene.graph.transforms.parents
    names, seen = [node], {node}
    while (above := parents.get(names[0])) is not None and above not in seen:
        names.insert(0, str(above))
        seen.add(above)
    names = [name for name in names if name != scene.graph.base_frame]
    if geometry != node:
        names.append(str(geometry))
    return Part(tuple(names), vertices, faces[:, ::-1] if _mirrors(matrix) else faces)


def _mirrors(matrix: Float[ndarray, "4 4"]) -> bool:
    a, b, c = matrix[:3, :3]
    return bool(np.dot(np.cross(a, b), c) < 0)


def _float(values: object) -> Float[ndarray, "vertices 3"]:
    return np.asarray(values, np.float64).reshape(-1, 3)


def _whole(values: object) -> Int[ndarray, "faces 3"]:
    return np.asarray(values, np.int64).reshape(-1, 3)
