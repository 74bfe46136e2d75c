"""glTF reading: rigs of other tools, every interpolation, buffers inside and beside the file, and damaged files."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from laban.errors import LabanError
from models.body.clip import clip_world
from models.formats import read_motion
from models.formats.gltf_buffer import GltfBuffer, pack_glb
from models.formats.gltf_read import read_gltf_clips

PARENTS = (-1, 0, 1, 2, 2, 1)  # a reference node, hips, spine, two hands, a foot
NAMES = ("Reference", "Hips", "Spine", "HandL", "HandR", "Foot")


def rig(seed: int, *, frames: int = 7, scale: float = 1.0, moving: int = 1) -> dict[str, Any]:
    """Node transforms of a random rig whose rest pose is turned in every joint, and keys for all of them."""
    random = np.random.default_rng(seed)
    joints = len(PARENTS)
    rest_t = random.normal(0, 0.3, (joints, 3))
    keys_t = np.tile(rest_t[:, None], (1, frames, 1))
    keys_t[moving] += random.normal(0, 0.2, (frames, 3))
    keys_r = Rotation.random(joints * frames, rng=random).as_quat().reshape(joints, frames, 4)
    return {"t": rest_t, "r": Rotation.random(joints, rng=random).as_quat(), "keys_t": keys_t, "keys_r": keys_r,
            "times": (np.arange(frames) / 30).astype(np.float32), "scale": scale}  # fmt: skip


def document(parts: dict[str, Any], buffer: GltfBuffer, kind: str = "LINEAR") -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    for joint, name in enumerate(NAMES):
        node = {"name": name, "translation": parts["t"][joint].tolist(), "rotation": parts["r"][joint].tolist()}
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        nodes.append(node | ({"children": children} if children else {}))
    nodes.append({"name": "armature", "scale": [parts["scale"]] * 3, "children": [0]})
    times = buffer.add(parts["times"], bounds=True)
    samplers, channels = [], []
    for joint in range(len(NAMES)):
        for path, values in (("translation", parts["keys_t"]), ("rotation", parts["keys_r"])):
            keys = values[joint]
            if kind == "CUBICSPLINE":
                keys = np.stack([0 * keys, keys, 0 * keys], axis=1).reshape(-1, keys.shape[-1])
            samplers.append({"input": times, "output": buffer.add(keys.astype(np.float32)), "interpolation": kind})
            channels.append({"sampler": len(samplers) - 1, "target": {"node": joint, "path": path}})
    return {
        "asset": {"version": "2.0"},
        "nodes": nodes,
        "scenes": [{"nodes": [len(nodes) - 1]}],
        "skins": [{"joints": list(range(len(NAMES)))}],
        "animations": [{"name": "take", "channels": channels, "samplers": samplers}],
    }


def write_rig(path: Path, parts: dict[str, Any], kind: str = "LINEAR") -> Path:
    buffer = GltfBuffer()
    path.write_bytes(pack_glb(document(parts, buffer, kind), buffer))
    return path


def expected_places(parts: dict[str, Any], *, stretch: bool) -> np.ndarray:
    """World positions of all joints; without `stretch` only the hips keep their own travel."""
    frames = len(parts["times"])
    places, turns = [], []
    for joint, parent in enumerate(PARENTS):
        local = parts["keys_t"][joint] if stretch or joint <= 1 else np.tile(parts["t"][joint], (frames, 1))
        turn = Rotation.from_quat(parts["keys_r"][joint])
        if parent < 0:
            places.append(local * parts["scale"])
            turns.append(turn)
        else:
            places.append(places[parent] + turns[parent].apply(local * parts["scale"]))
            turns.append(turns[parent] * turn)
    return np.stack(places, axis=1)


@pytest.mark.parametrize("kind", ["LINEAR", "STEP", "CUBICSPLINE"])
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1.0, 0.01, 2.5]))
@settings(max_examples=10, deadline=None)
def test_rest_rotations_scale_and_travel_below_the_root(
    kind: str, seed: int, scale: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Joints stand on every key where the node tree puts them, although the clip's own rest pose has no turns."""
    parts = rig(seed, scale=scale)
    (clip,) = read_gltf_clips(write_rig(tmp_path_factory.mktemp("rig") / "a.glb", parts, kind))
    assert clip.names[0] == "Hips"
    assert set(clip.names) == set(NAMES[1:])
    assert (clip.fps, clip.frames) == (30.0, 7)
    places = clip_world(clip)[0]
    expected = expected_places(parts, stretch=True)
    for k, name in enumerate(clip.names):
        assert np.abs(places[:, k] - expected[:, NAMES.index(name)]).max() < 1e-4 * max(scale, 1), name


def test_a_root_that_travels_itself_stays_the_root(tmp_path: Path) -> None:
    parts = rig(3, moving=0)
    (clip,) = read_gltf_clips(write_rig(tmp_path / "a.glb", parts))
    assert clip.names[0] == "Reference"
    places, expected = clip_world(clip)[0], expected_places(parts, stretch=False)
    assert np.abs(places - expected[:, [NAMES.index(name) for name in clip.names]]).max() < 1e-4


def test_sampling_between_keys_and_at_another_rate(tmp_path: Path) -> None:
    parts = rig(4, frames=4)
    (clip,) = read_gltf_clips(write_rig(tmp_path / "a.glb", parts), fps=90)
    assert clip.frames == 10
    (coarse,) = read_gltf_clips(tmp_path / "a.glb")
    assert np.abs(clip.rotations[::3] - coarse.rotations).max() < 1e-5
    assert np.linalg.norm(clip.rotations, axis=-1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rate", [20.0, 24.0, 25.0, 30.0, 60.0, 120.0])
def test_the_rate_is_that_of_the_keys(rate: float, tmp_path: Path) -> None:
    parts = rig(5, frames=13)
    parts["times"] = (np.arange(13) / rate).astype(np.float32)
    assert read_gltf_clips(write_rig(tmp_path / "a.glb", parts))[0].fps == rate


def test_buffers_may_be_embedded_or_beside_the_file(tmp_path: Path) -> None:
    parts = rig(6)
    (whole,) = read_gltf_clips(write_rig(tmp_path / "a.glb", parts))
    buffer = GltfBuffer()
    content = document(parts, buffer) | {"bufferViews": buffer.views, "accessors": buffer.accessors}
    (tmp_path / "the data.bin").write_bytes(buffer.data)
    uris = ("the%20data.bin", "data:application/octet-stream;base64," + base64.b64encode(buffer.data).decode())
    for uri in uris:
        content["buffers"] = [{"byteLength": len(buffer.data), "uri": uri}]
        (tmp_path / "a.gltf").write_text(json.dumps(content))
        (clip,) = read_gltf_clips(tmp_path / "a.gltf")
        assert np.array_equal(clip.rotations, whole.rotations)


@pytest.mark.parametrize("uri", ["../secret.bin", "/etc/hostname", "http://example.com/a.bin", "data:;base64,%%%", 7])
def test_buffers_elsewhere_are_not_read(uri: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    folder = tmp_path / "folder"
    folder.mkdir()
    content = {"asset": {"version": "2.0"}, "buffers": [{"byteLength": 10, "uri": uri}]}
    (folder / "a.gltf").write_text(json.dumps(content))
    with pytest.raises(LabanError, match="accepted: "):
        read_motion(folder / "a.gltf")


def test_one_of_several_animations_is_chosen_by_name(tmp_path: Path) -> None:
    parts, buffer = rig(7), GltfBuffer()
    content = document(parts, buffer)
    content["animations"].append(content["animations"][0] | {"name": "jump"})
    (tmp_path / "a.glb").write_bytes(pack_glb(content, buffer))
    assert len(read_gltf_clips(tmp_path / "a.glb", clip="jump")) == 1
    with pytest.raises(LabanError, match="holds 2 animations; choose one with --clip: take, jump"):
        read_gltf_clips(tmp_path / "a.glb")
    with pytest.raises(LabanError, match="--clip run: accepted: take, jump"):
        read_gltf_clips(tmp_path / "a.glb", clip="run")


def test_no_skin_is_needed_and_skins_that_share_joints_are_one_character(tmp_path: Path) -> None:
    parts, buffer = rig(8), GltfBuffer()
    content = document(parts, buffer)
    content["skins"] = [{"joints": [1, 2, 3]}, {"joints": [2, 4, 5, 0]}]
    (tmp_path / "a.glb").write_bytes(pack_glb(content, buffer))
    (shared,) = read_gltf_clips(tmp_path / "a.glb")
    assert set(shared.names) == set(NAMES[1:])
    del content["skins"]
    (tmp_path / "b.glb").write_bytes(pack_glb(content, buffer))
    (bare,) = read_gltf_clips(tmp_path / "b.glb")
    places = dict(zip(bare.names, clip_world(bare)[0].swapaxes(0, 1), strict=True))
    for k, name in enumerate(shared.names):
        assert np.abs(places[name] - clip_world(shared)[0][:, k]).max() < 1e-5


def test_z_up_scenes_are_turned(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "a.glb", rig(9))
    upright, turned = (clip_world(read_gltf_clips(path, up=up)[0])[0] for up in ("y", "z"))
    assert np.abs(upright @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T - turned).max() < 1e-5


def broken(change: str) -> dict[str, Any]:
    """A document with one thing wrong."""
    buffer = GltfBuffer()
    content = document(rig(10), buffer)
    content |= {"bufferViews": buffer.views, "accessors": buffer.accessors}
    uri = "data:;base64," + base64.b64encode(buffer.data).decode()
    content["buffers"] = [{"byteLength": len(buffer.data), "uri": uri}]
    nan = base64.b64encode(np.full(len(buffer.data) // 4 + 1, np.nan, np.float32).tobytes()).decode()
    animation = content["animations"][0]
    changes = {
        "version": lambda: content.update(asset={"version": "1.0"}),
        "no asset": lambda: content.pop("asset"),
        "no animation": lambda: content.pop("animations"),
        "no channels": lambda: animation.update(channels=[]),
        "draco": lambda: content.update(extensionsRequired=["KHR_draco_mesh_compression"]),
        "nodes": lambda: content.update(nodes={"a": 1}),
        "circle": lambda: content["nodes"][3].update(children=[1]),
        "self": lambda: content["nodes"][3].update(children=[3]),
        "child": lambda: content["nodes"][3].update(children=[99]),
        "joint": lambda: content["skins"][0].update(joints=[0, 77]),
        "sampler": lambda: animation["channels"][0].update(sampler=99),
        "target": lambda: animation["channels"][0]["target"].update(node=99),
        "interpolation": lambda: animation["samplers"][0].update(interpolation="MAGIC"),
        "mismatch": lambda: animation["samplers"][0].update(output=animation["samplers"][1]["output"]),
        "accessor": lambda: animation["samplers"][0].update(output=99),
        "sparse": lambda: content["accessors"][1].update(sparse={}),
        "count": lambda: content["accessors"][1].update(count=10**12),
        "type": lambda: content["accessors"][1].update(type="VEC9"),
        "offset": lambda: content["bufferViews"][1].update(byteOffset=-8),
        "stride": lambda: content["bufferViews"][1].update(byteStride=1),
        "buffer": lambda: content["bufferViews"][1].update(buffer=5),
        "nan": lambda: content["buffers"][0].update(uri="data:;base64," + nan),
        "transform": lambda: content["nodes"][2].update(rotation=[0, 0, 0, 0]),
        "text transform": lambda: content["nodes"][2].update(translation="here"),
        "matrix": lambda: content["nodes"][2].update(matrix=[0] * 16),
    }
    if change == "all":
        return changes
    changes[change]()
    return content


@pytest.mark.parametrize("change", sorted(broken("all")))
def test_broken_files_are_refused_in_one_line(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gltf"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(LabanError) as caught:
        read_gltf_clips(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin like a GLB"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "is GLB version 1; accepted: 2"),
        (b"glTF" + struct.pack("<II", 2, 5000) + bytes(8), "is cut short: 20 of 5000 bytes"),
        (b"glTF" + struct.pack("<II", 2, 20) + struct.pack("<I4s", 4000, b"JSON"), "goes past the end"),
        (b"glTF" + struct.pack("<II", 2, 24) + struct.pack("<I4s", 4, b"BIN\0") + bytes(4), "has no JSON chunk"),
        (b"glTF" + struct.pack("<II", 2, 24) + struct.pack("<I4s", 4, b"JSON") + b"{{{{", "its JSON cannot be read"),
        (b"glTF" + struct.pack("<II", 2, 24) + struct.pack("<I4s", 4, b"JSON") + b"[]  ", "is glTF version None"),
    ],
)
def test_broken_containers(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(content)
    with pytest.raises(LabanError, match=message):
        read_motion(tmp_path / "a.glb")


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_files_never_crash(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    buffer = GltfBuffer()
    raw = bytearray(pack_glb(document(rig(11, frames=3), buffer), buffer))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(st.sampled_from([b"9", b"-", b"{}", b"null", b'"', b"[", b"\xff", b"1e400"]))
        raw[start : start + len(piece)] = piece
    path = tmp_path_factory.mktemp("fuzz") / "a.glb"
    path.write_bytes(bytes(raw[: len(raw) - data.draw(st.sampled_from([0, 0, 7]))]))
    outcome = "read"
    try:
        read_gltf_clips(path)
    except LabanError as error:
        outcome = str(error)
    assert outcome == "read" or outcome.startswith((str(path), "skeleton: "))
