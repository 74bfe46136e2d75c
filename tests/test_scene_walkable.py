"""Where one can walk: rugs, sills, tables, shelves, ramps, holes; the clearance, and the map around a person."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from laban.errors import LabanError
from models.scene.reading import read_scene
from models.scene.scene import Scene
from models.scene.walkable import BodySize, Walkable, walkable_of
from tests.scene_rooms import DEPTH, WIDTH, box, furnished, plane, scene_of, shell

THIN = BodySize(radius=0.0)


def is_free(walkable: Walkable, x: float, z: float) -> bool:
    return bool(walkable.inside(np.array([x, z], float)))


@pytest.fixture(scope="module")
def room() -> Scene:
    return scene_of(furnished())


@pytest.fixture(scope="module")
def walkable(room: Scene) -> Walkable:
    return walkable_of(room)


def test_an_empty_room_is_free_up_to_a_radius_from_its_walls() -> None:
    walkable = walkable_of(scene_of(shell()))
    assert walkable.area == pytest.approx((WIDTH - 0.5) * (DEPTH - 0.5), rel=0.03)
    assert walkable.areas.max() == 1
    middle = walkable.cells_of(np.zeros(2))
    assert walkable.clearance[tuple(middle)] == pytest.approx(DEPTH / 2, abs=0.06)


def test_clearance_is_the_distance_to_what_stands_there() -> None:
    walkable = walkable_of(scene_of(shell() | {"crate": box(1, 1, 1, (0, 0.5, 0))}), THIN)
    cells = np.argwhere(walkable.clearance > 0)
    x, z = np.abs(walkable.centers_of(cells)).T
    crate = np.hypot((x - 0.5).clip(0), (z - 0.5).clip(0))
    exact = np.minimum(crate, np.minimum(WIDTH / 2 - x, DEPTH / 2 - z))
    assert np.abs(walkable.clearance[tuple(cells.T)] - exact).max() < 0.02


@pytest.mark.parametrize(
    ("x", "z", "free", "what"),
    [
        (0, 0, True, "the floor"),
        (-0.8, 0.8, True, "a rug"),
        (-1.58, 0.8, True, "the rug's edge"),
        (1.7, 0.7, False, "under a table"),
        (0, -1.4, False, "a couch"),
        (-2.2, -1.2, False, "under a shelf at 1.3 m"),
        (-1.95, -1.2, False, "beside it"),
        (WIDTH / 2 + 1, 0, False, "outside"),
        (WIDTH / 2 - 0.1, 0, False, "at the wall"),
    ],
)
def test_what_is_free(x: float, z: float, free: bool, what: str, walkable: Walkable) -> None:
    assert is_free(walkable, x, z) == free, what


def test_a_child_walks_under_the_shelf(room: Scene) -> None:
    small = walkable_of(room, BodySize(height=1.2))
    assert is_free(small, -2.2, -1.2) and not is_free(small, 1.7, 0.7)


def test_a_lamp_over_the_head_is_in_nobodys_way() -> None:
    parts = shell() | {"lamp": box(0.4, 0.3, 0.4, (0, 2.1, 0))}
    assert is_free(walkable_of(scene_of(parts)), 0, 0)
    assert not is_free(walkable_of(scene_of(parts), BodySize(height=2.0)), 0, 0)


@pytest.mark.parametrize(("height", "free"), [(0.05, True), (0.09, True), (0.13, False), (0.3, False)])
def test_steps(height: float, free: bool) -> None:
    """A dais across one end of the room."""
    parts = shell() | {"dais": box(1.5, height, DEPTH, (-1.75, height / 2, 0))}
    walkable = walkable_of(scene_of(parts))
    assert is_free(walkable, -1.5, 0) == free and is_free(walkable, 1.5, 0)
    if free:
        assert walkable.areas.max() == 1
        assert walkable.ground[tuple(walkable.cells_of(np.array([-1.5, 0])))] == pytest.approx(height)


@pytest.mark.parametrize(("degrees", "free"), [(8, True), (14, True), (20, False), (35, False)])
def test_ramps(degrees: float, free: bool) -> None:
    rise = 1.5 * math.tan(math.radians(degrees))
    ramp = plane([(-2.5, rise, -2), (-2.5, rise, 2), (-1, 0, 2), (-1, 0, -2)])
    assert is_free(walkable_of(scene_of(shell() | {"ramp": ramp})), -1.9, 0) == free


def test_a_doorsill_joins_two_rooms() -> None:
    parts = shell() | {
        "wall_a": box(0.1, 2.5, 1.5, (0, 1.25, -1.25)),
        "wall_b": box(0.1, 2.5, 1.5, (0, 1.25, 1.25)),
        "sill": box(0.1, 0.04, 1.0, (0, 0.02, 0)),
    }
    walkable = walkable_of(scene_of(parts))
    assert walkable.areas.max() == 1 and is_free(walkable, 0, 0)
    assert walkable_of(scene_of(parts), BodySize(radius=0.55)).areas.max() == 2


def test_holes_in_the_floor() -> None:
    """A pit of half a metre is none, a slit that a scanner missed is floor."""
    x = WIDTH / 2
    strips = {
        f"floor_{i}": plane([(a, 0, -2), (a, 0, 2), (b, 0, 2), (b, 0, -2)])
        for i, (a, b) in enumerate([(-x, -0.75), (-0.25, 1.0), (1.12, x)])
    }
    walls = {name: part for name, part in shell().items() if name != "floor"}
    walkable = walkable_of(scene_of(walls | strips), THIN)
    assert not is_free(walkable, -0.5, 0) and is_free(walkable, 1.06, 0)
    assert walkable.areas.max() == 2


def test_a_noisy_scan_is_walkable() -> None:
    rng = np.random.default_rng(0)
    x, z = np.meshgrid(np.linspace(-2.5, 2.5, 101), np.linspace(-2, 2, 81), indexing="ij")
    y = np.where((np.abs(x) < 0.5) & (np.abs(z) < 0.5), 0.6, rng.normal(0, 0.008, x.shape))
    number = np.arange(x.size).reshape(x.shape)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.concatenate([np.stack([p.ravel() for p in t], 1) for t in ((a, b, c), (a, c, d))])
    sheet = trimesh.Trimesh(np.stack([x.ravel(), y.ravel(), z.ravel()], 1), faces, process=False)
    walkable = walkable_of(scene_of({"floor": sheet}))
    assert walkable.areas.max() == 1 and is_free(walkable, 1.5, 1) and not is_free(walkable, 0, 0)
    assert walkable.area > 0.75 * (4.5 * 3.5 - 1.5 * 1.5)


def test_a_declared_floor_is_everywhere() -> None:
    walls = {name: part for name, part in shell().items() if name != "floor"}
    scene = scene_of(walls | {"crate": box(1, 1, 1, (0, 0.5, 0))})
    with pytest.raises(LabanError, match="nobody of 1.8 m can stand"):
        walkable_of(scene)
    from dataclasses import replace

    walkable = walkable_of(replace(scene, open_floor=True))
    assert is_free(walkable, 1.5, 1) and not is_free(walkable, 0, 0)


def test_bad_bodies_and_cells_are_said(room: Scene) -> None:
    for name, value in (("radius", -1), ("height", 0), ("step", 2), ("slope", 90), ("radius", math.nan)):
        with pytest.raises(LabanError, match=f"body {name}"):
            BodySize(**{name: value})
    with pytest.raises(LabanError, match="cells of"):
        walkable_of(room, cell=0.0)
    with pytest.raises(LabanError, match="larger cells"):
        walkable_of(scene_of({"floor": shell(99, 2, 99)["floor"]}), cell=0.005)


def test_nearest_is_free_and_as_near_as_any(walkable: Walkable) -> None:
    for point in ((0.0, -1.5), (1.7, 0.7), (9.0, 9.0), (0.0, 0.3), (-2.4, -1.9)):
        nearest = walkable.nearest(point)
        assert walkable.inside(nearest)
        gap = np.linalg.norm(nearest - point)
        best = np.linalg.norm(walkable.centers_of(np.argwhere(walkable.free)) - point, axis=1).min()
        assert gap <= best + 1e-9
    assert walkable.nearest((0.0, 0.3)) == pytest.approx((0.0, 0.3), abs=0.011)


# ----------------------------------------------------------------------------------------------------- the map around


def test_the_map_around_a_person_turns_with_them(walkable: Walkable) -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(40, 2, generator=generator) * 4 - 2
    angles = torch.rand(40, generator=generator) * 6.28
    forward = torch.stack([angles.sin(), angles.cos()], -1)
    found = walkable.patch(places, forward)
    assert found.shape == (40, 16, 16) and set(found.unique().tolist()) == {-1.0, 1.0}
    back = walkable.patch(places, -3 * forward)
    assert torch.equal(found.flip(1).flip(2), back)
    assert torch.equal(walkable.patch(places[7:8], forward[7:8])[0], found[7])


def test_rows_lie_ahead_and_columns_to_the_left() -> None:
    walkable = walkable_of(scene_of(shell()))
    east = walkable.patch(torch.tensor([[WIDTH / 2 - 0.4, 0.0]]), torch.tensor([[1.0, 0.0]]))[0]
    assert (east[:11] == 1).all() and (east[12:] == -1).all()
    # facing +Z, the wall in the east (+X) is to the left
    north = walkable.patch(torch.tensor([[WIDTH / 2 - 0.4, 0.0]]), torch.tensor([[0.0, 1.0]]))[0]
    assert torch.equal(north, east.T)
    wide = walkable.patch(torch.tensor([[WIDTH / 2 - 0.4, 0.0]]), torch.tensor([[1.0, 0.0]]), radius=0.25)[0]
    assert wide.sum() < east.sum()


@pytest.mark.data
@pytest.mark.parametrize("name", ["living_room", "bedroom", "dining_room"])
def test_shared_rooms_have_as_much_floor_as_was_said(name: str, mocap_folder: Path) -> None:
    """Their makers let people walk beneath shelves that hang at 1.3 m."""
    import json

    scene = read_scene(mocap_folder / "scenes" / f"{name}.obj")
    said = json.loads((mocap_folder / "scenes" / "rooms.json").read_text())[name]
    walkable = walkable_of(scene, BodySize(height=1.25))
    assert walkable.area / (scene.size[0] * scene.size[2]) == pytest.approx(said["free_share"], abs=0.04)
