"""Small rooms out of boxes, as files and as scenes, for the tests of rooms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import trimesh

from models.scene.scene import SHELL, Scene, SceneObject

WIDTH, HEIGHT, DEPTH = 5.0, 2.5, 4.0
"""Metres along x, y, z; the room's middle is the origin."""


def box(x: float, y: float, z: float, middle: tuple[float, float, float]) -> trimesh.Trimesh:
    """A closed box: metres along each axis, and where its middle is."""
    return trimesh.creation.box((x, y, z), trimesh.transformations.translation_matrix(middle))


def plane(corners: list[tuple[float, float, float]]) -> trimesh.Trimesh:
    """A rectangle without thickness."""
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def shell(width: float = WIDTH, height: float = HEIGHT, depth: float = DEPTH) -> dict[str, trimesh.Trimesh]:
    """Floor and four walls without thickness."""
    x, z = width / 2, depth / 2
    return {
        "floor": plane([(-x, 0, -z), (-x, 0, z), (x, 0, z), (x, 0, -z)]),
        "wall_north": plane([(-x, 0, -z), (x, 0, -z), (x, height, -z), (-x, height, -z)]),
        "wall_south": plane([(x, 0, z), (-x, 0, z), (-x, height, z), (x, height, z)]),
        "wall_west": plane([(-x, 0, z), (-x, 0, -z), (-x, height, -z), (-x, height, z)]),
        "wall_east": plane([(x, 0, -z), (x, 0, z), (x, height, z), (x, height, -z)]),
    }


def couch() -> trimesh.Trimesh:
    """Seat and back, two boxes that sink into one another, at the north wall; its front is +Z."""
    seat = box(1.8, 0.45, 0.9, (0, 0.225, -1.5))
    return trimesh.util.concatenate([seat, box(1.8, 0.9, 0.25, (0, 0.45, -1.8))])


def table() -> trimesh.Trimesh:
    """A top on four legs, open below."""
    legs = [box(0.06, 0.7, 0.06, (x, 0.35, z)) for x in (1.3, 2.1) for z in (0.3, 1.1)]
    return trimesh.util.concatenate([box(0.9, 0.05, 0.9, (1.7, 0.725, 0.7)), *legs])


def furnished() -> dict[str, trimesh.Trimesh]:
    """A room with a couch, a table, a rug and a shelf that hangs at 1.3 m."""
    return shell() | {
        "couch": couch(),
        "table": table(),
        "rug": box(1.6, 0.03, 1.2, (-0.8, 0.015, 0.8)),
        "shelf": box(0.4, 0.3, 1.0, (-2.3, 1.45, -1.2)),
    }


def write(parts: Mapping[str, trimesh.Trimesh], path: Path) -> Path:
    """The parts as a file; OBJ with an `o` line each, others as trimesh writes them."""
    if path.suffix == ".obj":
        lines, start = [], 1
        for name, part in parts.items():
            lines += [f"o {name}", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in part.vertices)]
            lines += [f"f {a + start} {b + start} {c + start}" for a, b, c in part.faces]
            start += len(part.vertices)
        path.write_text("\n".join(lines) + "\n")
        return path
    scene = trimesh.Scene()
    for name, part in parts.items():
        scene.add_geometry(part, node_name=name, geom_name=name)
    (trimesh.util.concatenate(list(parts.values())) if path.suffix in (".ply", ".stl") else scene).export(path)
    return path


def scene_of(parts: Mapping[str, trimesh.Trimesh], walkable: tuple[str, ...] = ("rug",)) -> Scene:
    """The parts as a scene; what is not a floor or a wall is an object."""
    vertices, faces, part, objects, start = [], [], [], [], 0
    for name, mesh in parts.items():
        is_shell = name.startswith(("floor", "wall", "ceiling"))
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + start)
        part.append(np.full(len(mesh.faces), SHELL if is_shell else len(objects)))
        start += len(mesh.vertices)
        if not is_shell:
            low, high = (tuple(float(v) for v in corner) for corner in mesh.bounds)
            objects.append(SceneObject(name, name, low, high, 0.0, name in walkable))
    return Scene("room", np.concatenate(vertices).astype(np.float32), np.concatenate(faces).astype(np.int32),
                 np.concatenate(part).astype(np.int32), tuple(objects))  # fmt: skip
