"""Ways through rooms: free all along, straight where that is free, with room to spare; bad ends and cuts are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laban.cli import run
from laban.errors import LabanError
from models.scene.paths import check_free, crossed, cut, find_path, length_of
from models.scene.reading import read_scene
from models.scene.scene import Scene
from models.scene.walkable import BodySize, Walkable, walkable_of
from tests.scene_rooms import DEPTH, WIDTH, box, furnished, scene_of, shell, write

CUT = shell() | {"wall_between": box(0.1, 2.5, DEPTH, (0.5, 1.25, 0))}


@pytest.fixture(scope="module")
def room() -> Scene:
    return scene_of(furnished())


@pytest.fixture(scope="module")
def walkable(room: Scene) -> Walkable:
    return walkable_of(room)


def along(path: np.ndarray, spacing: float = 0.004) -> np.ndarray:
    """Points all along a polyline."""
    pieces = [
        a + np.linspace(0, 1, int(np.linalg.norm(b - a) / spacing) + 2)[:, None] * (b - a)
        for a, b in zip(path, path[1:], strict=False)
    ]
    return np.concatenate(pieces)


places = st.tuples(st.floats(-WIDTH / 2, WIDTH / 2), st.floats(-DEPTH / 2, DEPTH / 2))


@given(places, places)
def test_every_point_of_a_way_is_free(walkable: Walkable, a: tuple[float, float], b: tuple[float, float]) -> None:
    start, goal = (tuple(walkable.nearest(place).tolist()) for place in (a, b))
    path = find_path(walkable, start, goal)
    assert path[0] == pytest.approx(start) and path[-1] == pytest.approx(goal)
    assert walkable.inside(along(path)).all()
    straight = np.linalg.norm(np.subtract(goal, start))
    assert straight - 1e-6 <= length_of(path) <= 2.2 * straight + 6


@given(st.integers(0, 10_000))
def test_ways_in_random_mazes_are_free(seed: int) -> None:
    """Cells free or not at random: the tightest corners there are."""
    rng = np.random.default_rng(seed)
    free = rng.random((14, 14)) < 0.72
    clearance = np.where(free, 0.3, 0.0)
    maze = Walkable(np.zeros(free.shape), clearance, np.zeros(2), 0.05, BodySize())
    assume((maze.areas == 1).sum() > 20)
    cells = np.argwhere(maze.areas == 1)
    ends = maze.centers_of(cells[rng.integers(len(cells), size=2)]) + rng.uniform(-0.024, 0.024, (2, 2))
    path = find_path(maze, tuple(ends[0].tolist()), tuple(ends[1].tolist()))
    assert maze.inside(along(path, 0.001)).all()


def test_a_free_way_is_straight() -> None:
    walkable = walkable_of(scene_of(shell()))
    assert len(find_path(walkable, (-1.0, -1.0), (1.2, 0.9))) == 2
    assert find_path(walkable, (0.3, 0.3), (0.3, 0.3)) == pytest.approx(np.full((2, 2), 0.3))


def test_a_way_goes_around_with_room_to_spare() -> None:
    walkable = walkable_of(scene_of(shell() | {"crate": box(0.6, 1, 2.0, (0, 0.5, -1))}))
    path = find_path(walkable, (-1.5, -1.0), (1.5, -1.0))
    assert 3.3 < length_of(path) < 5.5
    index = walkable.cells_of(along(path))
    assert walkable.clearance[tuple(index.T)].min() > 0.3  # more than the radius of 0.25


def test_touched_cells_include_both_sides_of_a_corner(walkable: Walkable) -> None:
    corner = walkable.origin + walkable.cell * (np.array([10, 10]) + 0.5)
    cells = crossed(walkable, corner - 0.01, corner + 0.01)
    assert {tuple(cell) for cell in cells.tolist()} >= {(10, 10), (11, 11), (10, 11), (11, 10)}


@given(places, places)
def test_touched_cells_hold_the_whole_segment(
    walkable: Walkable, a: tuple[float, float], b: tuple[float, float]
) -> None:
    cells = {tuple(cell) for cell in crossed(walkable, np.array(a), np.array(b)).tolist()}
    points = np.array(a) + np.linspace(0, 1, 300)[:, None] * np.subtract(b, a)
    assert {tuple(cell) for cell in walkable.cells_of(points).tolist()} <= cells


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((0.0, -1.5), "inside couch"),
        ((1.7, 0.7), "inside table"),
        ((9.0, 0.0), "outside of the room"),
        ((2.4, 1.5), r"only 0\.\d+ m from"),
    ],
)
def test_ends_that_are_not_free_are_said(
    place: tuple[float, float], said: str, room: Scene, walkable: Walkable
) -> None:
    with pytest.raises(LabanError, match=f"start .* is {said}.*nearest free place is") as caught:
        find_path(walkable, place, (0.0, 0.0), scene=room)
    x, z = (float(v) for v in str(caught.value).rsplit(" ", 1)[1].split(","))
    assert walkable.inside(np.array([x, z]))
    with pytest.raises(LabanError, match="goal .*"):
        find_path(walkable, (0.0, 0.0), place)
    with pytest.raises(LabanError, match="expected x,z"):
        check_free(walkable, (float("nan"), 0.0), "goal")


def test_a_goal_that_is_cut_off_is_said() -> None:
    walkable = walkable_of(scene_of(CUT))
    with pytest.raises(LabanError, match=r"cannot be reached.*\(8\.\d m2\).*\(\d\.\d m2\).*0\.6\d m apart"):
        find_path(walkable, (-1.0, 0.0), (1.5, 0.0))
    gap, here, there = cut(walkable, (-1.0, 0.0), (1.5, 0.0))
    assert gap == pytest.approx(0.6, abs=0.06) and here[0] < 0.5 < there[0]


def test_a_large_hall_is_crossed_in_time() -> None:
    import time

    parts = shell(20, 2.5, 10) | {f"crate_{i}": box(0.5, 1, 8, (i - 8, 0.5, (-1) ** (i // 4))) for i in range(0, 17, 4)}
    walkable = walkable_of(scene_of(parts))
    begun = time.process_time()
    path = find_path(walkable, (-9.5, -4.5), (9.5, 4.5))
    assert time.process_time() - begun < 5
    assert walkable.inside(along(path, 0.02)).all() and len(path) > 6


# ---------------------------------------------------------------------------------------------------------------- CLI


def test_inspect_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, plan = write(furnished(), tmp_path / "room.glb"), tmp_path / "plan.png"
    command = ["scene", "inspect", str(room), "--start=-1,0", "--goal", "1,1.5", "-o", str(plan), "--sit", "table"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["walkable_m2"] > 5 and found["size"] == pytest.approx([WIDTH, 2.5, DEPTH])
    assert [one["affords"] for one in found["objects"]] == ["sit", "sit", None, None]
    assert found["path"]["length"] > 2 and found["files"] == [str(plan)]
    assert plan.read_bytes().startswith(b"\x89PNG")
    assert run(["scene", "inspect", str(room)]) == 0
    said = capsys.readouterr().out
    assert "couch" in said and "sit" in said and "walkable for a body of radius 0.25 m" in said


def test_inspect_draws_the_cut_and_says_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, plan = write(CUT, tmp_path / "room.obj"), tmp_path / "cut.png"
    assert run(["scene", "inspect", str(room), "--start=-1,0", "--goal", "1.5,0", "-o", str(plan)]) == 2
    assert "cannot be reached" in capsys.readouterr().err and plan.stat().st_size > 5000
    for options, said in (
        (["--start", "0,0"], "--goal"),
        (["--start", "0,a", "--goal", "1,1"], "--start"),
        (["--body-radius", "-1"], "body radius"),
        (["-o", str(tmp_path / "plan.mp4")], "plan.mp4"),
    ):
        assert run(["scene", "inspect", str(room), *options]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.parametrize("name", ["living_room", "bedroom", "dining_room"])
def test_all_routes_of_shared_rooms_are_found(name: str, mocap_folder: Path) -> None:
    """As given for a body that passes beneath the shelves at 1.3 m; from the nearest free places for one of 1.8 m."""
    scene = read_scene(mocap_folder / "scenes" / f"{name}.obj")
    short, tall = walkable_of(scene, BodySize(height=1.25)), walkable_of(scene)
    for start, goal in scene.routes:
        assert short.inside(along(find_path(short, start, goal, scene=scene))).all()
        ends = [tuple(tall.nearest(end).tolist()) for end in (start, goal)]
        assert max(np.linalg.norm(np.subtract(ends, (start, goal)), axis=1)) < 0.5
        assert tall.inside(along(find_path(tall, *ends, scene=scene))).all()
