"""GLB: the skinned, coloured, animated body as one glTF 2.0 file for three.js, Blender, Unity, Unreal, Godot.

Each actor is a skeleton of 55 joints under a node of its own, a skinned mesh in T-pose with its soles on the floor,
and channels in the one animation: the travel on the pelvis, a rotation for every joint that moves. A glTF skin has
four joints a vertex, as the open body has; of a body with more the four largest weights are kept, renormalised. Pose
correctives of licensed bodies have no place in a skin and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, UInt8, UInt16
from numpy import ndarray

from laban import __version__
from models.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from models.formats.gltf_buffer import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GltfBuffer, pack_glb
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.model import BodyModel

_INFLUENCES = 4
_SMALL_TURN = 1e-6  # quaternion components; a joint that turns less is not animated
_PLAIN = (0.72, 0.66, 0.6, 1.0)  # linear RGBA of a body without vertex colours


@dataclass(frozen=True)
class StillMesh:
    """Something around the people that does not move: world coordinates, one sRGB colour."""

    name: str
    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    color: tuple[int, int, int]


@dataclass
class _Document:
    """The growing file: its JSON lists and its buffer."""

    buffer: GltfBuffer = field(default_factory=GltfBuffer)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    skins: list[dict[str, Any]] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    samplers: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)  # of what stands around; 0 is the body's
    once: int | None = None  # the key time of joints that are turned but still
    shapes: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # mesh and bind matrices of each shape made


def write_glb(motion: Motion, path: Path, *, body: BodyModel | None = None, around: Sequence[StillMesh] = ()) -> None:
    """Write all actors of a motion as one GLB, with what stands `around` them; `body` None takes the default body."""
    from laban.files import atomic_path
    from models.body.model import load_body

    content = pack_motion(motion, body or load_body(), name=path.stem, around=around)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def pack_motion(motion: Motion, body: BodyModel, *, name: str = "motion", around: Sequence[StillMesh] = ()) -> bytes:
    """The bytes of the GLB file; `name` names the animation. What stands around has nodes without skin or channel."""
    document = _Document()
    times = document.buffer.add((np.arange(motion.frames) / motion.fps).astype(np.float32), bounds=True)
    for actor in range(motion.actors):
        prefix = "" if motion.actors == 1 else f"actor{actor}_"
        _add_actor(document, motion.actor(actor), body, times, prefix=prefix)
    for thing in around:
        _add_still(document, thing)
    colour = {} if body.colors is not None else {"baseColorFactor": list(_PLAIN)}
    return pack_glb(
        {
            "asset": {"version": "2.0", "generator": f"Laban {__version__}"},
            "scene": 0,
            "scenes": [{"name": name, "nodes": document.roots}],
            "nodes": document.nodes,
            "meshes": document.meshes,
            "skins": document.skins,
            "materials": [
                {"name": "body", "pbrMetallicRoughness": colour | {"metallicFactor": 0.0, "roughnessFactor": 0.85}},
                *document.materials,
            ],
            "animations": [
                {
                    "name": name,
                    "channels": document.channels,
                    "samplers": document.samplers,
                    "extras": {"fps": motion.fps, "frames": motion.frames},
                }
            ],
        },
        document.buffer,
    )


def _add_actor(document: _Document, motion: Motion, body: BodyModel, times: int, *, prefix: str) -> None:
    """Append the skeleton, skin, mesh node and channels of one actor; `times` is the accessor of the key times."""
    vertices, joints = _standing_body(body, motion.betas[0])
    key = motion.betas.tobytes()
    if key not in document.shapes:
        binds = np.tile(np.eye(4, dtype=np.float32), (NUM_JOINTS, 1, 1))
        binds[:, :3, 3] = -joints
        document.shapes[key] = (_add_mesh(document, body, vertices), document.buffer.add(binds))
    mesh, binds_accessor = document.shapes[key]
    armature = len(document.nodes)
    first = armature + 1
    document.nodes.append({"name": f"{prefix}armature", "children": [first]})
    for joint, name in enumerate(JOINT_NAMES):
        offset = joints[joint] - (joints[PARENTS[joint]] if joint else 0)
        node: dict[str, Any] = {"name": prefix + name, "translation": offset.astype(float).round(7).tolist()}
        children = [first + child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
        document.nodes.append(node | ({"children": children} if children else {}))
    document.skins.append(
        {
            "name": f"{prefix}skin",
            "skeleton": first,
            "joints": list(range(first, first + NUM_JOINTS)),
            "inverseBindMatrices": binds_accessor,
            "extras": {
                "betas": motion.betas[0].astype(float).tolist(),
                "gender": motion.genders[0],
                "joints": motion.mask.astype(int).tolist(),
            },
        }
    )
    # Beside the armature, not below it: the transforms above a skinned mesh have no effect, and validators warn.
    document.roots += [armature, len(document.nodes)]
    document.nodes.append({"name": f"{prefix}body", "mesh": mesh, "skin": len(document.skins) - 1})
    pelvis = _rest(body, motion.betas[0])[1][0]
    _add_channels(document, motion, (motion.root[0] + pelvis).astype(np.float32), first, times)


def _add_still(document: _Document, thing: StillMesh) -> None:
    """Append a mesh of one colour and its node; corners of one face alone, so that edges are edges."""
    buffer, corners = document.buffer, thing.vertices[thing.faces].reshape(-1, 3).astype(np.float32)
    whole = np.arange(len(corners)).reshape(-1, 3)
    attributes = {
        "POSITION": buffer.add(corners, target=ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.add(vertex_normals(corners, whole), target=ARRAY_BUFFER),
    }
    linear = linear_colors(np.array([thing.color], np.uint8))[0] / 65535
    surface = {"baseColorFactor": linear.tolist(), "metallicFactor": 0.0, "roughnessFactor": 0.85}
    document.materials.append({"name": thing.name, "pbrMetallicRoughness": surface, "doubleSided": True})
    primitive = {"attributes": attributes, "material": len(document.materials)}
    document.meshes.append({"name": thing.name, "primitives": [primitive]})
    document.roots.append(len(document.nodes))
    document.nodes.append({"name": thing.name, "mesh": len(document.meshes) - 1})


def _add_channels(
    document: _Document, motion: Motion, pelvis: Float[ndarray, "frames 3"], first: int, times: int
) -> None:
    _add_channel(document, first, "translation", times, pelvis)
    quaternions = gltf_quaternions(motion.rotations[0])
    for joint in range(NUM_JOINTS):
        keys = quaternions[:, joint]
        if np.abs(keys[:, :3]).max() < _SMALL_TURN:
            continue
        still = np.abs(keys - keys[0]).max() < _SMALL_TURN
        _add_channel(document, first + joint, "rotation", times, keys[:1] if still else keys)


def _add_channel(
    document: _Document, node: int, path: str, times: int, values: Float[ndarray, "keys components"]
) -> None:
    if len(values) < document.buffer.accessors[times]["count"]:
        if document.once is None:
            document.once = document.buffer.add(np.zeros(1, np.float32), bounds=True)
        times = document.once
    sampler = {"input": times, "output": document.buffer.add(values), "interpolation": "LINEAR"}
    document.channels.append({"sampler": len(document.samplers), "target": {"node": node, "path": path}})
    document.samplers.append(sampler)


def gltf_quaternions(rotations: Float[ndarray, "frames joints 3 3"]) -> Float[ndarray, "frames joints 4"]:
    """Quaternions (x, y, z, w), each on the same side as the one before so that players take the short way."""
    import torch

    from models.rotations import matrix_to_quaternion

    wxyz = matrix_to_quaternion(torch.from_numpy(rotations.astype(np.float64))).numpy()
    flips = (wxyz[1:] * wxyz[:-1]).sum(-1) < 0
    signs = np.ones(wxyz.shape[:2])
    signs[1:] = np.where(np.cumsum(flips, axis=0) % 2 == 1, -1.0, 1.0)
    return np.roll(wxyz * signs[..., None], -1, axis=-1).astype(np.float32)


def _rest(
    body: BodyModel, betas: Float[ndarray, " shape"]
) -> tuple[Float[ndarray, "vertices 3"], Float[ndarray, "55 3"]]:
    """Vertices and joints of the unposed body of one shape."""
    import torch

    count = min(len(betas), body.shapedirs.shape[-1])
    shape = torch.from_numpy(np.ascontiguousarray(betas, np.float32))
    vertices = body.v_template + body.shapedirs[..., :count] @ shape[:count]
    return vertices.numpy(), body.rest_joints(shape[None])[0].numpy()


def _standing_body(
    body: BodyModel, betas: Float[ndarray, " shape"]
) -> tuple[Float[ndarray, "vertices 3"], Float[ndarray, "55 3"]]:
    """The unposed body lifted so that its soles are at height 0."""
    vertices, joints = _rest(body, betas)
    lift = np.array([0.0, -vertices[:, 1].min(), 0.0], np.float32)
    return vertices + lift, joints + lift


def _add_mesh(document: _Document, body: BodyModel, vertices: Float[ndarray, "vertices 3"]) -> int:
    buffer, faces = document.buffer, body.faces.numpy()
    joints, weights = largest_weights(body.weights.numpy())
    attributes = {
        "POSITION": buffer.add(vertices.astype(np.float32), target=ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.add(vertex_normals(vertices, faces), target=ARRAY_BUFFER),
        "JOINTS_0": buffer.add(joints, target=ARRAY_BUFFER),
        "WEIGHTS_0": buffer.add(weights, target=ARRAY_BUFFER, normalized=True),
    }
    if body.colors is not None:
        linear = linear_colors(body.colors.numpy())
        attributes["COLOR_0"] = buffer.add(linear, target=ARRAY_BUFFER, normalized=True)
    kind = np.uint16 if len(vertices) < 65535 else np.uint32
    indices = buffer.add(faces.reshape(-1).astype(kind), target=ELEMENT_ARRAY_BUFFER)
    document.meshes.append(
        {"name": "body", "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}
    )
    return len(document.meshes) - 1


def largest_weights(
    weights: Float[ndarray, "vertices joints"],
) -> tuple[UInt8[ndarray, "vertices 4"], UInt16[ndarray, "vertices 4"]]:
    """The four largest weights of each vertex and their joints, as 16-bit fractions that sum to exactly 65535.

    Joints of zero weight are given as joint 0, as the specification asks.
    """
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    chosen = np.take_along_axis(weights, order, axis=1).astype(np.float64)
    exact = chosen / chosen.sum(axis=1, keepdims=True) * 65535
    whole = np.floor(exact)
    short = (65535 - whole.sum(axis=1)).astype(int)
    rank = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1, kind="stable")
    whole += rank < short[:, None]  # largest remainders get what flooring took
    return np.where(whole > 0, order, 0).astype(np.uint8), whole.astype(np.uint16)


def vertex_normals(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> Float[ndarray, "vertices 3"]:
    """Unit normals, each the area-weighted mean of its faces' normals."""
    corners = vertices[faces].astype(np.float64)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(total, faces[:, corner], area)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.maximum(length, 1e-30), [0.0, 1.0, 0.0]).astype(np.float32)


def linear_colors(colors: UInt8[ndarray, "vertices 3"]) -> UInt16[ndarray, "vertices 4"]:
    """sRGB bytes to the linear RGBA of glTF's COLOR_0, in 16 bits: 8 would band the dark tones."""
    srgb = colors.astype(np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    rgba = np.concatenate([linear, np.ones((len(colors), 1))], axis=1)
    return np.rint(rgba * 65535).astype(np.uint16)
