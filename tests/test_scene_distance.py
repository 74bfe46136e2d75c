"""Signed distance of rooms: against closed formulas and trimesh, with holes, behind walls, in torch, kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from models.scene.distance import SdfGrid, sdf_of
from models.scene.reading import read_scene
from models.scene.scene import Scene
from models.scene.solid import cut_up, open_edges, samples_of, turned_out, winding
from tests.scene_rooms import DEPTH, WIDTH, box, couch, furnished, scene_of, shell

CELLS = 48


def at(grid: SdfGrid, *point: float) -> float:
    return float(grid(torch.tensor(point, dtype=torch.float32)))


def without_faces(mesh: trimesh.Trimesh, normal: tuple[int, int, int]) -> trimesh.Trimesh:
    """The mesh without the side that faces so."""
    mesh = mesh.copy()
    mesh.update_faces(mesh.face_normals @ np.array(normal) < 0.9)
    return mesh


@pytest.fixture(scope="module")
def room() -> Scene:
    return scene_of(furnished())


@pytest.fixture(scope="module")
def grid(room: Scene) -> SdfGrid:
    return sdf_of(room, CELLS)


# ------------------------------------------------------------------------------------------------------------- parity


def box_distance(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Exact signed distance of a box."""
    out = np.maximum(low - points, points - high)
    return np.linalg.norm(out.clip(0), axis=-1) + np.minimum(out.max(-1), 0)


@pytest.mark.parametrize("fallback", [False, True])
def test_a_box_and_a_ball_as_by_formula(fallback: bool) -> None:
    if not fallback:
        pytest.importorskip("point_cloud_utils")
    ball = trimesh.creation.icosphere(2 if fallback else 3, 0.5)
    ball.apply_translation((1.0, 0.8, 0.5))
    scene = scene_of({"floor": shell()["floor"], "crate": box(1.0, 0.8, 0.6, (-1, 0.6, -0.5)), "ball": ball})
    grid = sdf_of(scene, 24 if fallback else 64, fallback=fallback)
    points = np.random.default_rng(0).uniform((-2.4, 0.05, -1.9), (2.4, 0.95, 1.9), (4000, 3))
    crate = box_distance(points, np.array([-1.5, 0.2, -0.8]), np.array([-0.5, 1.0, -0.2]))
    sphere = np.linalg.norm(points - (1.0, 0.8, 0.5), axis=1) - 0.5
    exact = np.minimum(crate, sphere)
    found = grid(torch.from_numpy(points).float()).numpy()
    step = float(grid.spacing.max())
    assert np.abs(found - exact).max() < 0.6 * step
    assert np.abs(found - exact).mean() < 0.06 * step
    assert (np.sign(found) == np.sign(exact))[np.abs(exact) > 0.5 * step].all()


def test_a_couch_as_trimesh_has_it() -> None:
    """The point of every triangle that is closest, by trimesh; outside of the couch, and above where it rests."""
    mesh = couch()
    grid = sdf_of(scene_of({"floor": shell()["floor"], "couch": mesh}), 64)
    points = np.random.default_rng(1).uniform((-1.5, 0.1, -2), (1.5, 1.4, 0), (400, 3))
    points = points[np.abs(winding(np.asarray(mesh.triangles), points)) < 0.5]
    faces = np.repeat(np.asarray(mesh.triangles)[None], len(points), 0).reshape(-1, 3, 3)
    closest = trimesh.triangles.closest_point(faces, np.repeat(points, len(mesh.faces), 0))
    exact = np.linalg.norm(closest.reshape(len(points), -1, 3) - points[:, None], axis=-1).min(1)
    found = grid(torch.from_numpy(points).float()).numpy()
    assert np.abs(found - exact).max() < 0.5 * float(grid.spacing.max())


def test_with_and_without_point_cloud_utils(room: Scene, grid: SdfGrid) -> None:
    pytest.importorskip("point_cloud_utils")
    other = sdf_of(room, CELLS, fallback=True)
    gaps = (grid.values - other.values).abs()
    near = grid.values.abs() < 0.2
    assert gaps[near].max() < 0.01 and gaps.max() < float(grid.spacing.max())


# --------------------------------------------------------------------------------------------------------------- sign


def test_furniture_is_negative_inside_and_free_below(grid: SdfGrid) -> None:
    assert at(grid, 0, 0.2, -1.5) < -0.1  # in the couch's seat
    assert at(grid, 0, 0.6, -1.4) > 0.1  # above the seat
    assert at(grid, 1.7, 0.4, 0.7) > 0.2  # under the table
    assert at(grid, 1.7, 0.725, 0.7) < 0.0  # in its top
    assert at(grid, -2.3, 1.45, -1.2) < -0.1  # in the shelf
    assert at(grid, -2.3, 0.6, -1.2) > 0.15  # under it


def test_behind_walls_is_negative_and_grows(grid: SdfGrid) -> None:
    x = WIDTH / 2
    assert at(grid, x - 0.1, 1, 1) == pytest.approx(0.1, abs=0.03)
    assert at(grid, x + 0.1, 1, 1) == pytest.approx(-0.1, abs=0.03)
    assert at(grid, x + 2, 1, 1) < -1.5
    assert at(grid, 0, 1, DEPTH / 2 + 1) < -0.8


def test_rugs_and_floors_are_not_in_the_way(grid: SdfGrid) -> None:
    assert at(grid, -0.8, 0.01, 0.8) > 0.5
    assert at(grid, 0.3, -0.05, 0.5) > 0.5


def test_where_a_cushion_sinks_into_a_frame_is_deep() -> None:
    """The seat's box within the back's: the way out is the seat's surface and not the face between the two."""
    grid = sdf_of(scene_of({"floor": shell()["floor"], "couch": couch()}), 96)
    assert at(grid, 0, 0.25, -1.72) == pytest.approx(-0.2, abs=0.03)
    slope = grid.gradient(torch.tensor([0.0, 0.35, -1.5]))
    assert slope[1] > 0.9


@pytest.mark.parametrize("open_side", [(0, -1, 0), (0, 0, 1), (0, 1, 0)])
def test_furniture_with_a_side_missing_is_solid(open_side: tuple[int, int, int]) -> None:
    crate = without_faces(box(1.0, 0.6, 0.8, (0.5, 0.5, 0)), open_side)
    grid = sdf_of(scene_of(shell() | {"crate": crate}), CELLS)
    assert open_edges(np.asarray(crate.triangles)) == 4
    assert at(grid, 0.5, 0.5, 0) < -0.2 and at(grid, 0.5, 1.2, 0) > 0.3


def test_pieces_with_turned_normals_are_solid() -> None:
    flipped = box(0.9, 0.45, 0.9, (0, 0.225, 0))
    flipped.invert()
    both = trimesh.util.concatenate([flipped, box(0.9, 0.9, 0.3, (0, 0.45, -0.4))])
    grid = sdf_of(scene_of(shell() | {"seat": both}), CELLS)
    assert at(grid, 0, 0.2, 0.2) < -0.1 and at(grid, 0, 0.3, -0.4) < -0.05 and at(grid, 0, 0.7, 0.2) > 0.1


def test_a_scan_of_one_sheet_is_solid_below_its_furniture() -> None:
    """Floor and a block are one height field without names or normals: below the block nobody gets."""
    line_x, line_z = np.linspace(-2.5, 2.5, 101), np.linspace(-2, 2, 81)
    x, z = np.meshgrid(line_x, line_z, indexing="ij")
    y = np.where((np.abs(x) < 0.5) & (np.abs(z) < 0.5), 0.6, 0.0)
    number = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (number[i, j].ravel() for i, j in ((np.s_[:-1], np.s_[:-1]), (np.s_[1:], np.s_[:-1]),
                                                     (np.s_[1:], np.s_[1:]), (np.s_[:-1], np.s_[1:])))  # fmt: skip
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    faces[::2] = faces[::2, ::-1]
    sheet = trimesh.Trimesh(np.stack([x.ravel(), y.ravel(), z.ravel()], 1), faces, process=False)
    walls = {name: wall for name, wall in shell(5, 2.5, 4).items() if name != "floor"}
    grid = sdf_of(scene_of({"floor": sheet} | walls), CELLS)
    assert at(grid, 0, 0.3, 0) < -0.2 and at(grid, 0, 1.0, 0) > 0.3 and at(grid, 1.5, 0.3, 1) > 0.3


def test_a_closed_room_next_door_is_free_but_a_wardrobe_is_not() -> None:
    parts = shell(8.0, 2.5, 4.0) | {"wall_between": box(0.1, 2.5, 4.0, (2, 1.25, 0))}
    hollow = trimesh.util.concatenate([box(1.0, 2.0, 0.6, (-3, 1.0, -1.5)), box(0.9, 1.9, 0.5, (-3, 1.0, -1.5))])
    grid = sdf_of(scene_of(parts | {"wardrobe": without_faces(hollow, (9, 9, 9))}), CELLS)
    assert at(grid, 3, 1, 0) > 0.5 and at(grid, -1, 1, 0) > 0.5
    assert at(grid, -3, 1, -1.5) < 0
    assert at(grid, 5, 1, 0) < 0


def test_thin_partitions_are_solid_and_closed_rooms_are_not() -> None:
    """A wall of 6 cm within a room whose floor, walls and ceiling are one closed box."""
    inner = box(WIDTH, 2.5, DEPTH, (0, 1.25, 0))
    grid = sdf_of(scene_of({"wall_room": inner, "wall_part": box(0.06, 2.5, 2.0, (0.5, 1.25, -1.0))}), CELLS)
    assert at(grid, 0.5, 1, -1) < 0 and at(grid, 0.5, 0.02, -1) < 0.01
    assert at(grid, -1, 1, 0) > 0.9 and at(grid, 1.5, 1, 0) > 0.7 and at(grid, WIDTH / 2 + 0.1, 1, 0) < 0


def test_the_way_out_of_a_wall_is_into_the_room() -> None:
    """Who is in the outer half of an outer wall is as deep as its inner side is away."""
    walls = {f"wall_{x}": box(0.2, 2.5, DEPTH, (x, 1.25, 0)) for x in (-2.4, 2.4)}
    walls |= {f"wall_{z}": box(WIDTH, 2.5, 0.2, (0, 1.25, z)) for z in (-1.9, 1.9)}
    grid = sdf_of(scene_of({"floor": shell()["floor"]} | walls), 64)
    assert at(grid, 2.45, 1, 0.5) == pytest.approx(-0.15, abs=0.03)
    assert at(grid, 2.6, 1, 0.5) == pytest.approx(-0.3, abs=0.03)
    assert float(grid.gradient(torch.tensor([2.45, 1.0, 0.5]))[0]) < -0.9


def test_a_room_with_nothing_in_it_is_far_from_everything() -> None:
    grid = sdf_of(scene_of({"floor": shell()["floor"]}), 16)
    assert (grid.values > 5).all()


# ------------------------------------------------------------------------------------------------------------- lookup


def test_nodes_are_read_exactly_and_any_batch_shape(grid: SdfGrid) -> None:
    lines = [torch.linspace(float(grid.low[k]), float(grid.high[k]), CELLS) for k in range(3)]
    nodes = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
    assert torch.allclose(grid(nodes), grid.values, atol=1e-4)
    points = torch.rand(3, 4, 5, 3)
    assert grid(points).shape == (3, 4, 5) and grid.gradient(points).shape == points.shape
    assert torch.allclose(grid(points)[1, 2], grid(points[1, 2])) and grid(points[0, 0, 0]).shape == ()
    assert grid(torch.zeros(0, 3)).shape == (0,)


@given(st.lists(st.floats(-6, 6), min_size=3, max_size=3), st.lists(st.floats(-6, 6), min_size=3, max_size=3))
def test_distance_never_changes_faster_than_one_goes(grid: SdfGrid, a: list[float], b: list[float]) -> None:
    """Twice as fast where it is read beyond the grid, and a step for what lies between nodes."""
    one, other = torch.tensor(a), torch.tensor(b)
    low, high = grid.low, grid.high
    inside = bool(((one >= low) & (one <= high) & (other >= low) & (other <= high)).all())
    way = float((one - other).norm())
    change = abs(float(grid(one)) - float(grid(other)))
    assert np.isfinite(change)
    if inside:
        assert change <= 1.5 * way + 2.5 * float(grid.spacing.max())


def test_gradients_lead_out(grid: SdfGrid) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(4000, 3, generator=generator) * torch.tensor([4.8, 1.6, 3.8]) + torch.tensor([-2.4, 0.1, -1.9])
    points.requires_grad_()
    values = grid(points)
    (slope,) = torch.autograd.grad(values.sum(), points)
    near = (values.abs() < 0.4) & (values.abs() > 0.05)
    assert (slope[near].norm(dim=-1) - 1).abs().median() < 0.05
    smooth = grid.gradient(points.detach())
    assert torch.nn.functional.cosine_similarity(slope[near], smooth[near], dim=-1).median() > 0.98
    moved = grid(points.detach() + 0.05 * torch.nn.functional.normalize(smooth, dim=-1))
    assert (moved > values)[near].float().mean() > 0.93
    outside = torch.tensor([9.0, 1.0, 0.0], requires_grad=True)
    (pull,) = torch.autograd.grad(grid(outside), outside)
    assert pull.isfinite().all() and pull[0] < -0.5  # behind the wall: back towards the room


def test_gradient_survives_no_grad_and_doubles() -> None:
    grid = sdf_of(scene_of(shell() | {"couch": couch()}), 12)
    with torch.no_grad():
        assert grid.gradient(torch.zeros(2, 3)).isfinite().all()
    points = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(grid, points + 0.003, eps=1e-5, atol=1e-3)


# ------------------------------------------------------------------------------------------------------------- keeping


def test_grids_are_kept_by_content(room: Scene, tmp_path: Path) -> None:
    first = sdf_of(room, 16, cache=tmp_path)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    files[0].touch()
    assert torch.equal(sdf_of(room, 16, cache=tmp_path).values, first.values)
    sdf_of(room.without(["couch"]), 16, cache=tmp_path)
    sdf_of(room, 17, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    files[0].write_bytes(files[0].read_bytes()[:100])  # a broken one is made again
    assert torch.equal(sdf_of(room, 16, cache=tmp_path).values, first.values)


def test_cells_have_limits(room: Scene) -> None:
    with pytest.raises(LabanError, match="8 to 1024"):
        sdf_of(room, 4)


# -------------------------------------------------------------------------------------------------------------- pieces


def test_winding_of_closed_and_open_meshes() -> None:
    mesh = box(1, 1, 1, (0, 0, 0))
    triangles = np.asarray(mesh.triangles)
    points = np.array([[0, 0, 0], [0.4, 0.4, 0.4], [0.6, 0, 0], [3, 2, 1]], float)
    assert winding(triangles, points) == pytest.approx([1, 1, 0, 0], abs=1e-9)
    assert winding(triangles[:, ::-1], points) == pytest.approx([-1, -1, 0, 0], abs=1e-9)
    assert winding(turned_out(triangles[:, ::-1]), points) == pytest.approx([1, 1, 0, 0], abs=1e-9)
    opened = np.asarray(without_faces(mesh, (0, 1, 0)).triangles)
    assert winding(opened, points)[0] == pytest.approx(5 / 6, abs=1e-9)
    assert open_edges(triangles) == 0 and open_edges(opened) == 4


@given(st.floats(0.02, 0.5))
def test_cutting_up_keeps_the_surface(longest: float) -> None:
    mesh = box(0.7, 0.3, 0.45, (0, 0, 0))
    pieces = cut_up(np.asarray(mesh.triangles), longest)
    edges = np.linalg.norm(pieces - np.roll(pieces, 1, axis=1), axis=2)
    assert edges.max() <= longest + 1e-9
    assert trimesh.triangles.area(pieces).sum() == pytest.approx(mesh.area)
    assert (trimesh.triangles.normals(pieces)[0] @ mesh.face_normals.T).max(1) == pytest.approx(1)


@given(st.floats(0.02, 0.3))
def test_samples_leave_no_gaps(spacing: float) -> None:
    triangles = np.asarray(box(0.5, 0.3, 0.2, (0, 0, 0)).triangles)
    samples, owner = samples_of(triangles, spacing)
    places, face = trimesh.sample.sample_surface(trimesh.Trimesh(**trimesh.triangles.to_kwargs(triangles)), 200, seed=1)
    gaps = np.linalg.norm(places[:, None] - samples[None], axis=-1).min(1)
    assert gaps.max() <= spacing and len(owner) == len(samples) and owner.max() == len(triangles) - 1


@pytest.mark.data
def test_seats_of_a_shared_room_are_solid(mocap_folder: Path) -> None:
    scene = read_scene(mocap_folder / "scenes" / "living_room.obj")
    grid = sdf_of(scene, 32)
    for one in scene.objects:
        if one.kind in ("couch", "armchair"):
            assert at(grid, one.center[0], 0.15, one.center[2]) < -0.05
            assert at(grid, one.center[0], 0.3 + one.high[1], one.center[2]) > 0.1
    for start, goal in scene.routes:
        assert at(grid, start[0], 0.5, start[1]) > 0.1 and at(grid, goal[0], 0.5, goal[1]) > 0.1
