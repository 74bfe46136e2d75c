"""GLB: an evaluator of its own, written from the glTF specification, finds the body where our skinning puts it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from laban.errors import LabanError
from models.body.model import OPEN_BODY, BodyModel, load_body
from models.body.skeleton import JOINT_NAMES, PARENTS
from models.body.skinning import skin
from models.formats import write_motion
from models.formats.glb import gltf_quaternions, largest_weights, linear_colors, vertex_normals
from models.motion import Motion
from models.rotations import axis_angle_to_matrix

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Evaluated:
    """A GLB, read with nothing but struct and json, and posed as sections 3.7 and 3.11 of glTF 2.0 say."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        magic, version, length, size, kind = struct.unpack_from("<4sIII4s", raw)
        assert (magic, version, length, kind) == (b"glTF", 2, len(raw), b"JSON")
        self.json = json.loads(raw[20 : 20 + size])
        binary_size, binary_kind = struct.unpack_from("<I4s", raw, 20 + size)
        assert binary_kind == b"BIN\0"
        self.binary = raw[28 + size : 28 + size + binary_size]
        assert len(self.binary) == self.json["buffers"][0]["byteLength"]

    def accessor(self, index: int) -> np.ndarray:
        entry = self.json["accessors"][index]
        view = self.json["bufferViews"][entry["bufferView"]]
        kind, width = _TYPES[entry["componentType"]], _WIDTHS[entry["type"]]
        assert view["byteOffset"] % np.dtype(kind).itemsize == 0
        values = np.frombuffer(self.binary, kind, entry["count"] * width, view["byteOffset"]).reshape(-1, width)
        if entry.get("normalized"):
            values = values / np.iinfo(kind).max
        return values.reshape(-1, 4, 4).swapaxes(1, 2) if entry["type"] == "MAT4" else values

    def sample(self, time: float | None) -> list[dict[str, np.ndarray]]:
        """Translation and rotation of every node at a time; None is the file's own pose, with no animation."""
        rest = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1)}
        nodes = [{path: np.array(n.get(path, value)) for path, value in rest.items()} for n in self.json["nodes"]]
        animation = self.json["animations"][0]
        for channel in animation["channels"] if time is not None else []:
            sampler = animation["samplers"][channel["sampler"]]
            assert sampler["interpolation"] == "LINEAR"
            times, values = self.accessor(sampler["input"])[:, 0], self.accessor(sampler["output"])
            assert len(times) == len(values)
            path = channel["target"]["path"]
            at = np.clip(time, times[0], times[-1])
            if len(times) == 1:
                value = values[0]
            elif path == "rotation":
                value = Slerp(times, Rotation.from_quat(values))(at).as_quat()
            else:
                value = np.array([np.interp(at, times, values[:, k]) for k in range(3)])
            nodes[channel["target"]["node"]][path] = value
        return nodes

    def world(self, time: float | None) -> np.ndarray:
        nodes, matrices = self.sample(time), np.tile(np.eye(4), (len(self.json["nodes"]), 1, 1))
        local = []
        for node in nodes:
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = Rotation.from_quat(node["rotation"]).as_matrix(), node["translation"]
            local.append(matrix)

        def walk(index: int, above: np.ndarray) -> None:
            matrices[index] = above @ local[index]
            for child in self.json["nodes"][index].get("children", []):
                walk(child, matrices[index])

        for root in self.json["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        return matrices

    def skinned(self, time: float | None, actor: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and joints of one skin."""
        world, current = self.world(time), self.json["skins"][actor]
        node = next(n for n in self.json["nodes"] if n.get("skin") == actor)
        attributes = self.json["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        binds = self.accessor(current["inverseBindMatrices"])
        bones = world[current["joints"]] @ binds
        joints, weights = self.accessor(attributes["JOINTS_0"]), self.accessor(attributes["WEIGHTS_0"])
        vertices = self.accessor(attributes["POSITION"])
        mixed = np.einsum("vk,vkxy->vxy", weights, bones[joints])
        return np.einsum("vxy,vy->vx", mixed[:, :3, :3], vertices) + mixed[:, :3, 3], world[current["joints"], :3, 3]


def make_motion(seed: int = 0, *, actors: int = 1, frames: int = 6, spread: float = 0.3) -> Motion:
    random = np.random.default_rng(seed)
    vectors = np.cumsum(random.normal(0, spread, (actors, frames, 55, 3)), axis=1)
    vectors[:, :, 22:] *= 0.3
    vectors[:, :, [4, 7]] = 0  # joints that never move
    vectors[:, :, 5] = (0.5, 0, 0)  # and one that is bent, and still
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    betas = random.normal(0, 0.7, (actors, 10)).astype(np.float32)
    root = random.normal(0, 1, (actors, frames, 3)).astype(np.float32)
    return Motion(rotations, root, 30.0, betas, mask=np.ones(55, bool))


def posed(body: BodyModel, motion: Motion, actor: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
    pick = np.s_[frame : frame + 1]
    out = skin(body, torch.from_numpy(motion.rotations[actor, pick]), torch.from_numpy(motion.root[actor, pick]),
               torch.from_numpy(motion.betas[actor : actor + 1]))  # fmt: skip
    return out.vertices[0].numpy(), out.joints[0].numpy()


@pytest.mark.parametrize("actors", [1, 2])
def test_posed_file_agrees_with_our_skinning(actors: int, tmp_path: Path) -> None:
    motion = make_motion(1, actors=actors, spread=0.15)
    body = load_body(OPEN_BODY)
    write_motion(motion, tmp_path / "a.glb", body=body)
    file = Evaluated(tmp_path / "a.glb")
    for actor in range(actors):
        for frame in (0, 3, 5):
            vertices, joints = file.skinned(frame / 30, actor)
            exact_vertices, exact_joints = posed(body, motion, actor, frame)
            assert np.abs(joints - exact_joints).max() < 1e-5
            assert np.linalg.norm(vertices - exact_vertices, axis=-1).max() < 1e-4


def test_between_frames_joints_turn_by_the_shortest_way(tmp_path: Path) -> None:
    motion = make_motion(2)
    write_motion(motion, tmp_path / "a.glb")
    file = Evaluated(tmp_path / "a.glb")
    before, middle, after = (file.skinned(t / 30)[1] for t in (2, 2.5, 3))
    span = np.linalg.norm(after - before, axis=-1)
    assert (np.linalg.norm(middle - before, axis=-1) <= 1.2 * span + 1e-3).all()


def test_the_pose_without_animation_is_a_t_pose_standing_on_the_floor(tmp_path: Path) -> None:
    motion = make_motion(3)
    write_motion(motion, tmp_path / "a.glb")
    vertices, joints = Evaluated(tmp_path / "a.glb").skinned(None)
    rest = load_body().rest_joints(torch.from_numpy(motion.betas))[0].numpy()
    assert np.abs((joints - joints[0]) - (rest - rest[0])).max() < 1e-5
    assert vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    wrists = joints[[JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")]]
    assert np.ptp(wrists[:, 1]) < 0.03
    assert wrists[0, 0] > 0.5 > -0.5 > wrists[1, 0]


def test_bind_pose_leaves_the_mesh_as_it_is(tmp_path: Path) -> None:
    write_motion(make_motion(4), tmp_path / "a.glb")
    file = Evaluated(tmp_path / "a.glb")
    vertices, _ = file.skinned(None)
    attributes = file.json["meshes"][0]["primitives"][0]["attributes"]
    assert np.abs(vertices - file.accessor(attributes["POSITION"])).max() < 1e-5


def test_structure_is_what_the_specification_asks(tmp_path: Path) -> None:
    motion = make_motion(5, actors=2)
    write_motion(motion, tmp_path / "duet.glb")
    gltf = pygltflib.GLTF2().load(str(tmp_path / "duet.glb"))
    assert gltf.asset.version == "2.0"
    assert [animation.name for animation in gltf.animations] == ["duet"]
    assert len(gltf.skins) == 2
    names = [node.name for node in gltf.nodes]
    assert len(set(names)) == len(names)
    for actor, current in enumerate(gltf.skins):
        assert [names[j] for j in current.joints] == [f"actor{actor}_{name}" for name in JOINT_NAMES]
        parent = {child: j for j in current.joints for child in gltf.nodes[j].children or []}
        assert [parent.get(j, -1) for j in current.joints] == [-1 if p < 0 else current.joints[p] for p in PARENTS]
        assert gltf.accessors[current.inverseBindMatrices].count == 55
    lists = [view for view in gltf.bufferViews]
    assert all(view.byteOffset % 4 == 0 for view in lists)
    assert sum(view.byteLength for view in lists) <= gltf.buffers[0].byteLength
    for mesh in gltf.meshes:
        position = gltf.accessors[mesh.primitives[0].attributes.POSITION]
        assert len(position.min) == len(position.max) == 3
    for sampler in gltf.animations[0].samplers:
        assert gltf.accessors[sampler.input].min == [0.0]
    assert all(node.matrix is None for node in gltf.nodes)


def test_only_joints_that_move_have_channels(tmp_path: Path) -> None:
    write_motion(make_motion(6), tmp_path / "a.glb")
    file = Evaluated(tmp_path / "a.glb")
    nodes, animation = file.json["nodes"], file.json["animations"][0]
    keys = {
        (nodes[c["target"]["node"]]["name"], c["target"]["path"]): len(
            file.accessor(animation["samplers"][c["sampler"]]["input"])
        )
        for c in animation["channels"]
    }
    assert ("left_knee", "rotation") not in keys
    assert keys["right_knee", "rotation"] == 1
    assert keys["pelvis", "translation"] == keys["pelvis", "rotation"] == 6
    assert {path for _, path in keys if path != "rotation"} == {"translation"}


def test_actors_of_the_same_shape_share_one_mesh(tmp_path: Path) -> None:
    motion = make_motion(7, actors=2)
    same = replace(motion, betas=motion.betas[[0, 0]])
    write_motion(same, tmp_path / "same.glb")
    write_motion(motion, tmp_path / "two.glb")
    assert len(Evaluated(tmp_path / "same.glb").json["meshes"]) == 1
    assert (tmp_path / "same.glb").stat().st_size < 0.6 * (tmp_path / "two.glb").stat().st_size


def test_a_single_frame_and_a_rest_pose_can_be_written(tmp_path: Path) -> None:
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, 1, 55, 1, 1))
    write_motion(Motion(rotations, np.ones((1, 1, 3), np.float32), 30.0), tmp_path / "a.glb")
    file = Evaluated(tmp_path / "a.glb")
    assert len(file.json["animations"][0]["channels"]) == 1
    assert np.abs(file.skinned(0.0)[1] - (load_body().joint_template.numpy() + 1)).max() < 1e-5


def test_trimesh_loads_the_mesh_with_its_colours_and_outward_normals(tmp_path: Path) -> None:
    write_motion(make_motion(8), tmp_path / "a.glb")
    mesh = next(iter(trimesh.load(tmp_path / "a.glb").geometry.values()))
    body = load_body()
    assert mesh.faces.shape == tuple(body.faces.shape)
    assert mesh.vertex_normals.shape == mesh.vertices.shape
    stored = Evaluated(tmp_path / "a.glb")
    normals = stored.accessor(stored.json["meshes"][0]["primitives"][0]["attributes"]["NORMAL"])
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-5)
    centre = mesh.vertices.mean(axis=0)
    assert ((mesh.vertices - centre) * normals).sum(1).mean() > 0.02
    assert mesh.volume > 0.04  # cubic metres: faces are wound outwards


@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.1, 1.0, 3.0]))
@settings(max_examples=20, deadline=None)
def test_quaternions_keep_to_one_side(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    turns = torch.from_numpy(np.cumsum(random.normal(0, spread, (30, 4, 3)), axis=0))
    quaternions = gltf_quaternions(axis_angle_to_matrix(turns).numpy())
    assert ((quaternions[1:] * quaternions[:-1]).sum(-1) >= -1e-6).all()
    again = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(30, 4, 3, 3)
    assert np.abs(again - axis_angle_to_matrix(turns).numpy()).max() < 1e-5


@given(seed=st.integers(0, 1000), joints=st.integers(4, 55))
@settings(max_examples=20, deadline=None)
def test_weights_sum_to_one_exactly_and_keep_the_largest(seed: int, joints: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.full(joints, 0.2), 50).astype(np.float32)
    chosen, parts = largest_weights(weights)
    assert (parts.astype(int).sum(1) == 65535).all()
    assert (chosen[np.arange(50), parts.argmax(1)] == weights.argmax(1)).all()
    assert (chosen[parts == 0] == 0).all()


def test_normals_of_a_box_point_outwards_and_colours_are_linear() -> None:
    box = trimesh.creation.box()
    normals = vertex_normals(np.asarray(box.vertices, np.float32), np.asarray(box.faces))
    assert (normals * box.vertices).sum(1).min() > 0.5
    linear = linear_colors(np.array([[0, 255, 188]], np.uint8))
    assert linear[0, 3] == 65535
    assert linear[0, :3] / 65535 == pytest.approx([0, 1, 0.5029], abs=1e-3)


def test_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match=r"--layout smplh: .glb has one layout"):
        write_motion(make_motion(), tmp_path / "a.glb", layout="smplh")
    assert not list(tmp_path.iterdir())
