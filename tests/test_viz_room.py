"""Rooms in pictures: walls that hide nobody, ghosts in front of people, plan views, and the room in a GLB file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from laban.errors import LabanError
from models.body.model import OPEN_BODY, load_body
from models.formats.glb import StillMesh, pack_motion
from models.motion import Motion
from models.scene.scene import Scene, SceneObject
from viz.camera import CameraPath
from viz.cast import Cast
from viz.filmstrip import path_picture, still
from viz.movie import Look
from viz.plan import Course, draw_plan, plan_figure
from viz.renderer import make_renderer
from viz.room import GHOST, Room, kind_color, outline, room_cameras, room_of, still_meshes
from viz.shadow import cast_shadows
from viz.studio import STUDIO

SIZE = (160, 120)
WALLS = [((-2, -2), (2, -2)), ((2, -2), (2, 2)), ((2, 2), (-2, 2)), ((-2, 2), (-2, -2))]


@dataclass(frozen=True)
class Floor:
    free: np.ndarray
    origin: np.ndarray = field(default_factory=lambda: np.array([-1.95, -1.95]))
    cell: float = 0.1


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> trimesh.Trimesh:
    return trimesh.creation.box(bounds=(low, high))


def wall(start: tuple[float, float], end: tuple[float, float]) -> trimesh.Trimesh:
    corners = [[start[0], 0, start[1]], [end[0], 0, end[1]], [end[0], 2.5, end[1]], [start[0], 2.5, start[1]]]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def scene() -> Scene:
    """4 x 4 m, with a ceiling, a tall cabinet towards +Z, a chair in a corner and a rug."""
    things = [
        SceneObject("cabinet", "cabinet", (-0.6, 0.0, 1.2), (0.6, 1.9, 1.6)),
        SceneObject("chair", "chair", (-1.8, 0.0, -1.8), (-1.3, 0.8, -1.3), affords="sit"),
        SceneObject("rug", "rug", (-1.0, 0.0, -1.0), (1.0, 0.02, 0.8), walkable=True),
    ]
    flat = box((-2, -0.02, -2), (2, 0.0, 2)), box((-2, 2.5, -2), (2, 2.52, 2))
    meshes = [*flat, *(wall(*ends) for ends in WALLS), *(box(one.low, one.high) for one in things)]
    parts = [-1] * 6 + [0, 1, 2]
    vertices = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32)
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]).astype(np.int32)
    part = np.repeat(parts, [len(mesh.faces) for mesh in meshes]).astype(np.int32)
    return Scene("box room", vertices, faces, part, tuple(things))


@pytest.fixture(scope="module")
def room() -> Room:
    return room_of(scene())


def person(x: float = 0.0, z: float = 0.0, frames: int = 3) -> Motion:
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    root = np.broadcast_to(np.array([x, 1.33, z], np.float32), (1, frames, 3)).copy()
    return Motion(rotations, root, 30.0)


def joints_of(motion: Motion) -> np.ndarray:
    return Cast(load_body(OPEN_BODY)).joints(motion)


def test_a_room_has_a_piece_for_each_thing_and_no_floor_or_ceiling(room: Room) -> None:
    names = [piece.name for piece in room.pieces]
    assert names[:3] == ["cabinet", "chair", "rug"] and {"walls", "outline"} <= set(names)
    walls = next(piece.mesh for piece in room.pieces if piece.name == "walls")
    corners = walls.vertices[walls.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.abs(normals[:, 1]).max() < 1e-6
    assert ((normals * -corners.mean(1))[:, [0, 2]].sum(-1) > 0).all(), "walls face the room's middle"
    assert walls.vertices.min(0) == pytest.approx([-2, 0, -2], abs=0.03) and not walls.casts


@pytest.mark.parametrize("azimuth", [0.0, 137.0, -90.0])
def test_no_wall_hides_what_is_in_the_room(room: Room, azimuth: float) -> None:
    ball = trimesh.creation.icosphere(radius=0.3)
    mesh = next(piece.mesh for piece in room.pieces if piece.name == "cabinet")
    ball = replace(mesh, vertices=(ball.vertices + [0, 1, 0]).astype(np.float32), faces=ball.faces.astype(np.int32),
                   color=(255, 0, 0))  # fmt: skip
    walls = [piece.mesh for piece in room.pieces if piece.name == "walls"]
    camera = CameraPath(np.array([[0.0, 1.0, 0.0]]), np.array([azimuth]), 20.0, 7.0)[0]
    renderer = make_renderer("numba", SIZE)
    with_walls, alone = (renderer.render(meshes, camera, STUDIO) for meshes in ([*walls, ball], [ball]))
    red = [(p[..., 0].astype(int) - p[..., 1] > 60).sum() for p in (with_walls, alone)]
    assert red[0] == pytest.approx(red[1], rel=0.05) and red[1] > 100
    assert (with_walls != alone).any(-1).mean() > 0.2, "the far walls are seen"


def test_walls_throw_no_shadow(room: Room) -> None:
    walls = [piece.mesh for piece in room.pieces if piece.name == "walls"]
    assert not cast_shadows(walls, STUDIO).darkness.any()
    assert cast_shadows([replace(walls[0], casts=True)], STUDIO).darkness.any()


def test_furniture_becomes_a_ghost_only_in_front_of_somebody(room: Room) -> None:
    joints, cabinet = joints_of(person(frames=8)), [piece.name for piece in room.pieces].index("cabinet")
    for azimuth, expected in ((0.0, GHOST), (180.0, 1.0)):
        cameras = CameraPath(np.zeros((8, 3)) + [0, 0.9, 0], np.full(8, azimuth), 15.0, 7.0)
        strengths = room.opacities(cameras, joints, 30.0)
        assert strengths[:, cabinet] == pytest.approx(expected, abs=0.02)
    assert any(mesh.opacity < 1 for mesh in room.meshes(np.full(len(room.pieces), GHOST)))


def test_somebody_on_a_chair_is_not_hidden_by_it(room: Room) -> None:
    cameras = CameraPath(np.zeros((3, 3)), np.full(3, 30.0), 15.0, 7.0)
    strengths = room.opacities(cameras, joints_of(person(-1.5, -1.5)), 30.0)
    assert strengths[:, [piece.name for piece in room.pieces].index("chair")].min() == 1


def test_the_camera_goes_where_the_cabinet_hides_nobody_and_sees_the_whole_room(room: Room) -> None:
    path = room_cameras(room, joints_of(person()), 30.0, SIZE)
    assert abs((path.azimuths[0] + 180) % 360 - 180) > 25
    pixels = path[0].project(room.corners, SIZE)
    assert (pixels[:, :2] > 0).all() and (pixels[:, :2] < SIZE).all()


def test_pictures_show_room_and_person(room: Room) -> None:
    motion = person()
    bare, inside = (still(motion, 0.0, Look(SIZE, "numba", room=one)) for one in (None, room))
    brown = [(np.abs(picture.astype(int) - kind_color("cabinet")).sum(-1) < 90).sum() for picture in (bare, inside)]
    assert brown[1] > brown[0] + 100
    assert path_picture(motion, 2, Look(SIZE, "numba", room=room)).shape == (120, 160, 3)


def test_the_same_picture_without_a_room_as_ever() -> None:
    motion = person()
    first, again = (still(motion, 0.0, Look(SIZE, "numba")) for _ in range(2))
    assert (first == again).all()


def test_the_outline_is_the_walls_lower_edges() -> None:
    made = scene()
    edges = outline(made.vertices, made.faces[made.part < 0], 0.0)
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=-1)
    assert sorted(lengths[lengths > 3].tolist())[-4:] == [4.0] * 4


def test_a_plan_names_everything_and_tells_parts_apart_that_are_cut_off() -> None:
    free = np.ones((40, 40), bool)
    free[20] = False
    course = Course(start=(-1.0, 0.0), goals=((1.0, 0.0),), path=np.array([[-1.0, 0.0], [1.0, 0.0]]),
                    trace=np.stack([np.linspace(-1, 1, 90), np.zeros(90)], -1))  # fmt: skip
    axes = plan_figure(scene(), Floor(free), course).axes[0]
    assert {"cabinet", "chair", "rug", "0", "2"} <= {text.get_text() for text in axes.texts}
    colors = {tuple(np.round(c, 3)) for c in np.asarray(axes.images[0].get_array()).reshape(-1, 4)}
    assert len(colors) == 3, "blocked, the start's part, the goal's part"
    whole = plan_figure(scene(), Floor(np.ones((40, 40), bool)), course).axes[0]
    assert len({tuple(c) for c in np.asarray(whole.images[0].get_array()).reshape(-1, 4)}) == 1


def test_plan_files(tmp_path: Path) -> None:
    draw_plan(scene(), tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 5000
    with pytest.raises(LabanError, match="bmp"):
        draw_plan(scene(), tmp_path / "plan.bmp")


def test_a_glb_file_holds_the_room_beside_the_person(tmp_path: Path) -> None:
    around = still_meshes(scene())
    assert [thing.name for thing in around] == ["cabinet", "chair", "rug", "room"]
    body = load_body(OPEN_BODY)
    raw = pack_motion(person(), body, around=around)
    content = json.loads(raw[20 : 20 + int.from_bytes(raw[12:16], "little")])
    named = {node["name"]: node for node in content["nodes"] if "mesh" in node}
    assert {"body", "cabinet", "chair", "rug", "room"} == set(named) and "skin" not in named["chair"]
    assert all(named[thing.name] and isinstance(thing, StillMesh) for thing in around)
    path = tmp_path / "room.glb"
    path.write_bytes(raw)
    loaded = trimesh.load(path)
    chair = loaded.geometry["chair"]
    assert chair.bounds == pytest.approx(np.array([[-1.8, 0, -1.8], [-1.3, 0.8, -1.3]]), abs=1e-5)
    assert pack_motion(person(), body) == pack_motion(person(), body, around=())
