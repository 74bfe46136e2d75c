"""Rooms from files: formats agree, names and side-cars are found, rooms are put upright and to scale, bad ones said."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from laban.errors import LabanError
from models.scene.furniture import facing_of, is_shell, kind_of
from models.scene.meshes import read_parts
from models.scene.reading import read_scene
from models.scene.scene import SHELL
from tests.scene_rooms import DEPTH, HEIGHT, WIDTH, box, couch, furnished, plane, shell, write

SIZE = (WIDTH, HEIGHT, DEPTH)


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply", ".stl"])
def test_every_format_gives_the_same_room(suffix: str, tmp_path: Path) -> None:
    scene = read_scene(write(furnished(), tmp_path / f"room{suffix}"))
    assert scene.size == pytest.approx(SIZE, abs=1e-5)
    assert scene.floor == 0 and scene.low[1] == pytest.approx(0, abs=1e-6)
    assert len(scene.faces) == sum(len(part.faces) for part in furnished().values())
    names = [one.name for one in scene.objects]
    assert names == ([] if suffix in (".ply", ".stl") else ["couch", "table", "rug", "shelf"])
    assert any("no named objects" in note for note in scene.notes) == (not names)


def test_names_say_what_objects_are_good_for(tmp_path: Path) -> None:
    scene = read_scene(write(furnished(), tmp_path / "room.glb"))
    assert [one.affords for one in scene.objects] == ["sit", None, None, None]
    assert [one.walkable for one in scene.objects] == [False, False, True, False]
    assert scene.object("couch").yaw == pytest.approx(0.0)
    assert (scene.part == SHELL).sum() == 10
    vertices, faces = scene.mesh_of("table")
    assert vertices.min(0) == pytest.approx(scene.object("table").low, abs=1e-6) and len(faces) == 60
    assert read_scene(tmp_path / "room.glb", sit=["table"]).object("table").affords == "sit"


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_couch_faces_away_from_its_back(turns: int) -> None:
    mesh = couch()
    mesh.apply_translation((0, 0, 1.5))
    mesh.apply_transform(trimesh.transformations.rotation_matrix(turns * math.pi / 2, (0, 1, 0)))
    yaw = facing_of(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    assert math.cos(yaw - turns * math.pi / 2) == pytest.approx(1)


def test_words_of_names() -> None:
    assert kind_of("3_chair_A") == "chair" and kind_of("DiningTable.001") == "table" and kind_of("Sofa") == "couch"
    assert kind_of("BookShelf2") == "shelf" and kind_of("thing") == "object"
    assert kind_of("material") == "object"  # a mat, but not at the start of other words
    assert is_shell("wall_north") and is_shell("Floor.002") and not is_shell("floor_lamp")


def test_children_of_a_node_are_one_object(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for name, part in shell().items():
        scene.add_geometry(part, node_name=name)
    moved = trimesh.transformations.translation_matrix((1.0, 0, 0.5))
    scene.graph.update(frame_to="chair_1", frame_from=scene.graph.base_frame, matrix=moved)
    for name, part in (("seat", box(0.5, 0.05, 0.5, (0, 0.45, 0))), ("back", box(0.5, 0.5, 0.05, (0, 0.7, -0.22)))):
        scene.add_geometry(part, node_name=name, geom_name=f"{name}_mesh", parent_node_name="chair_1")
    scene.export(tmp_path / "room.glb")
    read = read_scene(tmp_path / "room.glb")
    assert [one.name for one in read.objects] == ["chair_1"]
    chair = read.object("chair_1")
    assert chair.low == pytest.approx((0.75, 0.425, 0.25), abs=1e-5)
    assert chair.affords == "sit" and chair.yaw == pytest.approx(0)


# ------------------------------------------------------------------------------------------------ axis, unit, floor


def turned(parts: dict[str, trimesh.Trimesh], matrix: np.ndarray) -> dict[str, trimesh.Trimesh]:
    whole = np.eye(4)
    whole[:3, :3] = matrix
    return {name: part.copy().apply_transform(whole) for name, part in parts.items()}


Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)


def test_a_room_on_its_back_is_turned(tmp_path: Path) -> None:
    straight = read_scene(write(furnished(), tmp_path / "straight.obj"))
    path = write(turned(furnished(), Z_UP), tmp_path / "room.obj")
    scene = read_scene(path)
    assert any("Z is up" in note for note in scene.notes)
    assert scene.vertices == pytest.approx(straight.vertices, abs=1e-5)
    assert scene.object("couch").yaw == pytest.approx(0)
    assert read_scene(path, up="z").vertices == pytest.approx(scene.vertices)


def test_corridors_are_not_turned(tmp_path: Path) -> None:
    """Their walls are larger than their floor."""
    scene = read_scene(write(shell(12.0, 2.6, 1.5), tmp_path / "corridor.obj"))
    assert scene.size == pytest.approx((12.0, 2.6, 1.5), abs=1e-5)
    assert not any("is up" in note for note in scene.notes)


@pytest.mark.parametrize(("scale", "unit"), [(100, "centimetres"), (1000, "millimetres")])
def test_large_units_are_converted_and_said(scale: float, unit: str, tmp_path: Path) -> None:
    scene = read_scene(write(turned(furnished(), scale * np.eye(3)), tmp_path / "room.obj"))
    assert scene.size == pytest.approx(SIZE, rel=1e-5)
    assert any(unit in note and "--scale" in note for note in scene.notes)


@pytest.mark.parametrize(
    ("scale", "said"),
    [(0.003 / WIDTH, "kilometres"), (3000 / WIDTH, "millimetres"), (1 / 0.0254, "inches"), (0.01, "program")],
)
def test_impossible_sizes_name_the_likely_unit(scale: float, said: str, tmp_path: Path) -> None:
    path = write(turned(furnished(), scale * np.eye(3)), tmp_path / "room.glb")
    with pytest.raises(LabanError, match=rf"room\.glb: .*no room in metres; likely .*{said}: --scale"):
        read_scene(path)
    assert read_scene(path, scale=1 / scale).size == pytest.approx(SIZE, rel=1e-4)


def test_the_floor_is_moved_to_zero(tmp_path: Path) -> None:
    parts = {name: part.copy().apply_translation((0, 1.2, 0)) for name, part in furnished().items()}
    scene = read_scene(write(parts, tmp_path / "room.obj"))
    assert scene.low[1] == pytest.approx(0, abs=1e-5) and any("1.200 m" in note for note in scene.notes)


def test_a_floor_with_thickness_is_its_top(tmp_path: Path) -> None:
    parts = {"floor": box(WIDTH, 0.2, DEPTH, (0, -0.1, 0)), "ceiling": box(WIDTH, 0.1, DEPTH, (0, 2.55, 0))}
    scene = read_scene(write(furnished() | parts, tmp_path / "room.obj"))
    assert scene.low[1] == pytest.approx(-0.2, abs=1e-5)
    assert scene.object("couch").low[1] == pytest.approx(0, abs=1e-5)


def test_a_mesh_without_names_that_has_holes_is_said(tmp_path: Path) -> None:
    assert any("not watertight: " in note for note in read_scene(write(furnished(), tmp_path / "room.ply")).notes)


def test_a_table_is_no_floor(tmp_path: Path) -> None:
    parts = {name: part for name, part in shell().items() if name not in ("floor", "ceiling")}
    parts["table"] = box(1.6, 0.35, 1.0, (0, 0.175, 0))
    with pytest.raises(LabanError, match="no floor"):
        read_scene(write(parts, tmp_path / "bare.obj"))


def test_no_floor_is_said_and_may_be_declared(tmp_path: Path) -> None:
    walls = {name: part for name, part in shell().items() if name != "floor"}
    path = write(walls, tmp_path / "room.obj")
    with pytest.raises(LabanError, match="no floor.*--floor 0"):
        read_scene(path)
    assert read_scene(path, floor=0.0).open_floor


# --------------------------------------------------------------------------------------------------------- side-cars


def test_a_side_car_beside_the_mesh_counts(tmp_path: Path) -> None:
    path = write(furnished(), tmp_path / "room.obj")
    (tmp_path / "rooms.json").write_text(json.dumps({
        "room": {
            "objects": [
                {"id": "couch", "kind": "sofa", "yaw_deg": 90, "affords": "lie"},
                {"id": "rug", "walkable": False},
                {"id": "ghost", "min": [0, 0, 0], "max": [1, 1, 1]},
            ],
            "routes_xz": [[[0, 1], [1, 1.5]]],
        }
    }))  # fmt: skip
    scene = read_scene(path)
    assert scene.object("couch").yaw == pytest.approx(math.pi / 2) and scene.object("couch").affords == "lie"
    assert not scene.object("rug").walkable and scene.object("ghost").high == (1, 1, 1)
    assert scene.routes == (((0, 1), (1, 1.5)),)
    assert any("ghost" in note for note in scene.notes)
    (tmp_path / "room.json").write_text('[{"id": "table"}]')
    assert [one.name for one in read_scene(path).objects] == ["table"]  # its own file comes first


def test_side_cars_turn_and_shrink_with_the_mesh(tmp_path: Path) -> None:
    path = write(turned(furnished(), 100 * Z_UP), tmp_path / "room.obj")
    said = {"objects": [{"id": "ghost", "min": [0, -200, 0], "max": [100, 0, 50]}]}
    (tmp_path / "room.json").write_text(json.dumps(said))
    ghost = read_scene(path).object("ghost")
    assert ghost.low == pytest.approx((0, 0, 0)) and ghost.high == pytest.approx((1, 0.5, 2))


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_boxes_name_the_pieces_of_a_mesh_without_names(suffix: str, tmp_path: Path) -> None:
    path = write(furnished(), tmp_path / f"scan{suffix}")
    low, high = (corner.tolist() for corner in couch().bounds)
    (tmp_path / "scan.json").write_text(json.dumps([{"id": "sofa", "min": low, "max": high, "affords": "sit"}]))
    scene = read_scene(path)
    assert len(scene.mesh_of("sofa")[1]) == 24 - 4  # less the undersides on the floor
    assert scene.object("sofa").yaw == pytest.approx(0) and len(scene.shell()[1]) + 20 == len(scene.faces)


def test_files_that_are_too_large_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.scene.meshes.MAX_BYTES", 1 << 10)
    with pytest.raises(LabanError, match="MB; accepted: up to"):
        read_scene(write(furnished(), tmp_path / "room.obj"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("3", "found int"),
        ("{}", "expected"),
        ('{"objects": [{"kind": "x"}]}', r'objects\[0\]: "id"'),
        ('{"objects": [{"id": "couch", "affords": "fly"}]}', "accepted: sit, lie"),
        ('{"objects": [{"id": "couch", "min": [1, 2]}]}', r"\[x, y, z\]"),
        ('{"objects": [{"id": "couch", "min": [1, 2, 3]}]}', "only one of"),
        ('{"objects": [{"id": "couch", "min": [1, 2, 3], "max": [0, 9, 9]}]}', "not below"),
        ('{"objects": [{"id": "couch", "min": [1, 2, NaN], "max": [9, 9, 9]}]}', "finite"),
        ('{"objects": [{"id": "couch"}, {"id": "couch"}]}', "two are called"),
        ('{"objects": [{"id": "piano"}]}', "'piano', and it has no box"),
        ('{"objects": [{"id": "couch", "yaw_deg": "left"}]}', "yaw_deg"),
        ('{"objects": [{"id": "couch", "walkable": 1}]}', "true, false"),
        ('{"objects": [], "routes_xz": [[1, 2]]}', r"routes_xz\[0\]"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_broken_side_cars_are_said(content: str, said: str, tmp_path: Path) -> None:
    path = write(furnished(), tmp_path / "room.obj")
    (tmp_path / "room.json").write_text(content)
    with pytest.raises(LabanError, match=said) as caught:
        read_scene(path)
    assert "room.json" in str(caught.value)


def test_unknown_objects_are_said_with_those_there_are(tmp_path: Path) -> None:
    scene = read_scene(write(furnished() | {"couch_2": box(0.5, 0.5, 0.5, (2, 0.25, -1.5))}, tmp_path / "room.obj"))
    with pytest.raises(LabanError, match="did you mean table.*; it has: couch, table, rug, shelf, couch_2"):
        scene.object("tabel")
    with pytest.raises(LabanError, match="may be couch, couch_2|may be"):
        scene.object("cou")
    assert scene.object("couch").name == "couch"
    assert [one.name for one in scene.without(["rug", "couch"]).objects] == ["table", "shelf", "couch_2"]
    assert scene.without(["rug"]).mesh_of("shelf")[0] == pytest.approx(scene.mesh_of("shelf")[0])


# --------------------------------------------------------------------------------------------------------- bad files


def glb(content: object) -> bytes:
    """A GLB file of this JSON alone."""
    if isinstance(content, dict):
        content = {"asset": {"version": "2.0"}, "scene": 0} | content
    body = json.dumps(content).encode()
    body += b" " * (-len(body) % 4)
    return struct.pack("<4sII", b"glTF", 2, 20 + len(body)) + struct.pack("<I4s", len(body), b"JSON") + body


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    good = write(furnished(), folder / "good.glb").read_bytes()
    binary = write(furnished(), folder / "good.ply").read_bytes()
    return {
        "empty.obj": (b"", "no triangles"),
        "empty.glb": (b"", "not a whole GLB"),
        "empty.stl": (b"", "STL|no triangles"),
        "points.obj": (b"v 0 0 0\nv 1 0 0\n", "no triangles"),
        "text.obj": (b"v 0 0 0\nv 1 a 0\n", "line 2"),
        "index.obj": (b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 4\n", "line 4.*vertex 4 of 3"),
        "two.obj": (b"v 0 0 0\nv 1 0 0\nf 1 2\n", "three corners"),
        "nan.obj": (b"v 0 0 0\nv nan 0 0\nv 1 1 0\nf 1 2 3\n", "vertex 2 is .*finite"),
        "inf.obj": (b"o a\nv 0 0 0\nv inf 0 0\nv 1 1 0\nf 1 2 3\n", "of 'a' is .*finite"),
        "cut.glb": (good[: len(good) // 2], "not a whole GLB"),
        "cut.ply": (binary[: len(binary) // 2], "PLY|vertex"),
        "noise.glb": (bytes(range(256)) * 8, "not a whole GLB"),
        "huge.ply": (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nproperty float y\n"
            b"property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n",
            "PLY",
        ),
        "huge.stl": (bytes(80) + struct.pack("<I", 2**31), "STL|no triangles"),
        "cycle.glb": (
            glb({"nodes": [{"children": [1]}, {"children": [0]}], "scenes": [{"nodes": [0]}]}),
            "no triangles",
        ),
        "count.glb": (glb({"accessors": [{"componentType": 5126, "count": 1 << 40, "type": "VEC3"}]}), "GLB|triangles"),
        "list.glb": (glb([1]), "not a whole GLB"),
        "flat.obj": (b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "at one place"),
        "room.fbx": (b"x", "rooms are read from .glb, .obj, .ply, .stl"),
        "room.gltf": (b"{}", "export it as .glb"),
    }


@pytest.mark.parametrize(
    "name",
    ["empty.obj", "empty.glb", "empty.stl", "points.obj", "text.obj", "index.obj", "two.obj", "nan.obj", "inf.obj",
     "cut.glb", "cut.ply", "noise.glb", "cycle.glb", "count.glb", "list.glb", "flat.obj", "huge.ply", "huge.stl",
     "room.fbx", "room.gltf"],
)  # fmt: skip
def test_bad_files_are_said_in_one_line(name: str, tmp_path: Path) -> None:
    content, said = bad_files(tmp_path)[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LabanError, match=said) as caught:
        read_scene(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_and_options_are_said(tmp_path: Path) -> None:
    path = write(furnished(), tmp_path / "room.obj")
    with pytest.raises(LabanError, match="nowhere"):
        read_scene(tmp_path / "nowhere.glb")
    with pytest.raises(LabanError, match="--objects"):
        read_scene(path, objects=tmp_path / "nothing.json")
    with pytest.raises(LabanError, match="--up w"):
        read_scene(path, up="w")
    with pytest.raises(LabanError, match="--scale"):
        read_scene(path, scale=float("nan"))


def test_nothing_that_a_file_refers_to_is_opened(tmp_path: Path) -> None:
    """A material library outside the folder, and a GLB whose buffer is another file."""
    (tmp_path / "secret.txt").write_text("newmtl a\nmap_Kd secret.png\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    path = write(furnished(), inner / "room.obj")
    path.write_text("mtllib ../secret.txt\nusemtl a\n" + path.read_text())
    assert len(read_scene(path).objects) == 4
    (inner / "room.glb").write_bytes(glb({"buffers": [{"byteLength": 4, "uri": "../secret.txt"}]}))
    with pytest.raises(LabanError):
        read_scene(inner / "room.glb")


def test_obj_polygons_and_negative_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("g one\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4/1/1 -3//2 -2 -1\ng two\nf 1 2 3\n")
    parts = read_parts(tmp_path / "a.obj")
    assert [part.names for part in parts] == [("one",), ("two",)]
    assert parts[0].faces.tolist() == [[0, 1, 2], [0, 2, 3]] and len(parts[1].vertices) == 3


def test_holes_are_noted(tmp_path: Path) -> None:
    open_box = box(0.5, 0.5, 0.5, (1, 0.25, 1))
    open_box.update_faces(np.arange(len(open_box.faces)) > 1)
    scene = read_scene(
        write(shell() | {"crate": open_box, "cube": box(0.4, 0.4, 0.4, (-1, 0.2, 1))}, tmp_path / "r.obj")
    )
    assert any("not watertight: crate;" in note for note in scene.notes)


@pytest.mark.data
@pytest.mark.parametrize("name", ["living_room", "bedroom", "dining_room"])
def test_shared_rooms(name: str, mocap_folder: Path) -> None:
    scene = read_scene(mocap_folder / "scenes" / f"{name}.obj")
    record = json.loads((mocap_folder / "scenes" / "rooms.json").read_text())[name]
    assert [one.name for one in scene.objects] == [one["id"] for one in record["objects"]]
    for one, said in zip(scene.objects, record["objects"], strict=True):
        assert one.low == pytest.approx(said["min"], abs=1e-3) and one.high == pytest.approx(said["max"], abs=1e-3)
        if one.affords == "sit":
            found = facing_of(*scene.mesh_of(one.name))
            assert math.cos(found - math.radians(said["yaw_deg"])) == pytest.approx(1)
    assert len(scene.routes) == 20


def test_a_plane_of_furniture_size_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="no floor"):
        read_scene(write({"thing": plane([(0, 0, 0), (1.5, 0, 0), (1.5, 2, 0), (0, 2, 0)])}, tmp_path / "thing.obj"))
