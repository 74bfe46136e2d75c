"""Rooms: how long signed distances, walkable floor and ways take, beside their bars and references.

    python benchmarks/scene.py [--triangles 100000] [--cells 128] [--threads 2] [--rooms ../shared/data/mocap/scenes]

The room is a generated one (`models.scene.rooms`) whose triangles are cut until there are so many. Seconds are of the
wall clock, with the processor's beside them: on a machine that is busy with other things the first are more. Queries
go to points anywhere in the room; the reference is trimesh, which measures every triangle for every point, on few
points. Ways: the routes that came with the rooms (a body of 1.25 m passes beneath their shelves at 1.3 m, one of
1.8 m starts and ends at the nearest places that are free for it), and a corridor of 12 m with turns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from models.scene.distance import SdfGrid, sdf_of
from models.scene.paths import find_path, length_of
from models.scene.reading import read_scene
from models.scene.rooms import make_room
from models.scene.scene import SHELL, Scene
from models.scene.walkable import BodySize, walkable_of

QUERIES = 1_000_000
FEW = 40
"""Points of the reference."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--triangles", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rooms", type=Path, default=Path("../shared/data/mocap/scenes"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    scene = finer(make_room(0), options.triangles)
    print(f"room of {len(scene.faces):,} triangles, {len(scene.objects)} objects, {scene.size[0]} x {scene.size[2]} m")
    grid = distances(scene, options.cells)
    queries(scene, grid)
    timed("walkable floor, cells of 5 cm", lambda: walkable_of(scene))
    corridor()
    if options.rooms.is_dir():
        given_routes(options.rooms)


def timed(what: str, work: Callable[[], Any], bar: str = "") -> Any:
    wall, processor = time.perf_counter(), time.process_time()
    made = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.3f} s ({processor:.3f} s of processor)" + (f"   bar {bar}" if bar else ""), flush=True)
    return made


def finer(scene: Scene, triangles: int) -> Scene:
    """The room with its largest triangles cut in four until there are so many."""
    vertices, faces, part = scene.vertices, scene.faces, scene.part
    while len(faces) < triangles:
        count = min(len(faces), -(-(triangles - len(faces)) // 3))
        largest = np.argsort(-trimesh.triangles.area(vertices[faces]))[:count]
        corners = vertices[faces[largest]]
        middles = (corners + np.roll(corners, -1, axis=1)) / 2
        number = len(vertices) + np.arange(3 * count).reshape(-1, 3)
        (a, b, c), (ab, bc, ca) = faces[largest].T, number.T
        quarters = [np.stack(three, 1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        vertices = np.concatenate([vertices, middles.reshape(-1, 3)])
        faces = np.concatenate([np.delete(faces, largest, 0), *quarters])
        part = np.concatenate([np.delete(part, largest), np.tile(part[largest], 4)])
    return replace(scene, vertices=vertices.astype(np.float32), faces=faces.astype(np.int32), part=part)


def distances(scene: Scene, cells: int) -> SdfGrid:
    grid = timed(f"signed distances, {cells}^3", lambda: sdf_of(scene, cells), "20 s")
    small = make_room(0)
    timed(f"  a room of {len(small.faces):,} triangles", lambda: sdf_of(small, cells))
    timed("  the same without point-cloud-utils", lambda: sdf_of(small, cells, fallback=True))
    return grid


def queries(scene: Scene, grid: SdfGrid) -> None:
    low, high = torch.from_numpy(scene.low), torch.from_numpy(scene.high)
    points = torch.rand(QUERIES, 3, generator=torch.Generator().manual_seed(0)) * (high - low) + low
    grid(points)
    timed("1 M points", lambda: grid(points), "0.3 s")
    grid.slopes  # noqa: B018 - made at the first use
    timed("  their gradients", lambda: grid.gradient(points))
    moving = points.clone().requires_grad_()
    timed("  with autograd", lambda: grid(moving).sum().backward())
    over = np.array([*(one.walkable for one in scene.objects), False])[scene.part]
    floor = (scene.vertices[scene.faces, 1].max(1) < 0.05) & (scene.part == SHELL)
    mesh = trimesh.Trimesh(scene.vertices, scene.faces[~(over | floor)], process=False)
    few = points[(points[:, 1] > 0.2) & (grid(points) > 0)][:FEW]
    exact = timed(f"  reference: trimesh, {FEW} points",
                  lambda: trimesh.proximity.closest_point_naive(mesh, few.numpy().astype(np.float64))[1])  # fmt: skip
    off = np.abs(grid(few).numpy() - exact)
    print(f"  grid against trimesh: {off.mean() * 1000:.1f} mm on average, {off.max() * 1000:.1f} mm at most "
          f"(nodes {', '.join(f'{1000 * step:.0f}' for step in grid.spacing.tolist())} mm apart)")  # fmt: skip


def corridor() -> None:
    """Two turns, 1.2 m wide, in a block of walls."""
    walls = [(5.0, 1.2, 1.9, -2.4), (5.0, 1.2, -1.9, 0.0), (5.0, 1.2, 1.9, 2.4)]
    parts = [np.array([[-5, 0, -5], [-5, 0, 5], [5, 0, 5], [5, 0, -5]], float)]
    vertices, faces = [parts[0]], [np.array([[0, 1, 2], [0, 2, 3]])]
    for width, depth, x, z in walls:
        made = trimesh.creation.box((width + 2, 2.5, depth), trimesh.transformations.translation_matrix((x, 1.25, z)))
        faces.append(np.asarray(made.faces) + sum(map(len, vertices)))
        vertices.append(np.asarray(made.vertices))
    whole = np.concatenate(faces)
    scene = Scene("corridor", np.concatenate(vertices).astype(np.float32), whole.astype(np.int32),
                  np.full(len(whole), SHELL, np.int32))  # fmt: skip
    walkable = timed("corridor: walkable floor", lambda: walkable_of(scene))
    path = timed("corridor: way", lambda: find_path(walkable, (4.0, -3.6), (4.0, 1.2)))
    print(f"  {length_of(path):.1f} m, {len(path)} corners")


def given_routes(folder: Path) -> None:
    for body in (BodySize(height=1.25), BodySize()):
        found = total = moved = 0
        began, processor = time.perf_counter(), time.process_time()
        for file in sorted(folder.glob("*.obj")):
            scene = read_scene(file)
            walkable = walkable_of(scene, body)
            for route in scene.routes:
                ends = [tuple(float(v) for v in walkable.nearest(end)) for end in route]
                moved += any(np.linalg.norm(np.subtract(a, b)) > 0.02 for a, b in zip(ends, route, strict=True))
                find_path(walkable, (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1]), scene=scene)
                found, total = found + 1, total + 1
        wall, processor = time.perf_counter() - began, time.process_time() - processor
        print(f"routes of the rooms, a body of {body.height} m: {found} of {total} found, {moved} with an end moved; "
              f"{wall:.1f} s ({processor:.1f} s of processor) with reading and floor")  # fmt: skip


if __name__ == "__main__":
    main()
