"""`.smpl` files (smplcodec): a flat NPZ of numbers, SMPL-X pose parts as rotation vectors, SMPL's native Y-up axes.

The field names and shapes are those that smplcodec 2.x documents; the package itself is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import need_numbers, read_npz, write_npz
from models.formats.rotvec import to_matrices, to_vectors
from models.formats.world import Z_UP_TO_Y_UP, rest_joints, turn_world
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.model import BodyModel

_CODEC_VERSION = 2
_VERSIONS = ("SMPL", "SMPL-H", "SMPL-X", "SUPR", "SMPL++", "SKEL", "SMIL", "SMPL-X S")
_SMPLX = 2
_GENDERS = ("neutral", "male", "female")
_PARTS = {"bodyPose": range(22), "headPose": range(22, 25), "leftHandPose": range(25, 40),
          "rightHandPose": range(40, 55)}  # fmt: skip
_READABLE = {0: 24, 1: 22, 2: 22, 3: 22, 6: 24, 7: 22}  # versions by their number of body joints
_WANTED = {"codecVersion", "smplVersion", "gender", "shapeParameters", "frameCount", "frameRate", "bodyTranslation",
           *_PARTS}  # fmt: skip


def read_smpl(path: Path, *, fps: float | None = None, up: str = "y", body: BodyModel | None = None) -> Motion:
    """One person from a `.smpl` file of an SMPL, SMPL-H, SMPL-X or SUPR body; `fps` and `up` overrule the file."""
    data = {name: need_numbers(values, f"{path}: {name}") for name, values in read_npz(path, _WANTED).items()}
    version = int(_scalar(path, data, "smplVersion", _SMPLX))
    if version not in _READABLE:
        name = _VERSIONS[version] if 0 <= version < len(_VERSIONS) else version
        raise LabanError(f"{path}: smplVersion is {name}; accepted: SMPL, SMPL-H, SMPL-X, SUPR")
    if "bodyPose" not in data:
        raise LabanError(f"{path}: has no bodyPose; accepted: a .smpl file with motion")
    frames = len(data["bodyPose"])
    if (count := _scalar(path, data, "frameCount", frames)) != frames:
        raise LabanError(f"{path}: frameCount is {count:g}, bodyPose has shape {data['bodyPose'].shape}")
    vectors = np.zeros((frames, 55, 3))
    mask = np.zeros(55, bool)
    for name, joints in _PARTS.items():
        if name in data:
            stored = _READABLE[version] if name == "bodyPose" else len(joints)
            vectors[:, list(joints)] = _shaped(path, data, name, (frames, stored, 3))[:, : len(joints)]
            mask[list(joints)] = name == "bodyPose" or data[name].any()
    root = _shaped(path, data, "bodyTranslation", (frames, 3))[None] if "bodyTranslation" in data else None
    root = np.zeros((1, frames, 3)) if root is None else root
    shape = data.get("shapeParameters", np.zeros(10))
    if shape.ndim != 1:
        raise LabanError(f"{path}: shapeParameters has shape {shape.shape}; accepted: one row of numbers")
    betas = shape.astype(np.float32)[None]
    rotations = to_matrices(vectors)[None]
    if up == "z":
        rotations, root = turn_world(rotations, root, rest_joints(betas, body)[:, 0], Z_UP_TO_Y_UP)
    gender = _GENDERS[int(_scalar(path, data, "gender", 0)) % 3]
    rate = fps or float(_scalar(path, data, "frameRate", 30.0))
    return Motion(rotations, root.astype(np.float32), rate, betas, (gender,), mask)


def write_smpl(motion: Motion, path: Path) -> None:
    """One person as a `.smpl` file of an SMPL-X body."""
    if motion.actors != 1:
        raise LabanError(f"{path}: a .smpl file holds one person; found {motion.actors}")
    vectors = to_vectors(motion.rotations[0])
    gender = _GENDERS.index(motion.genders[0]) if motion.genders[0] in _GENDERS else 0
    numbers = {"codecVersion": _CODEC_VERSION, "smplVersion": _SMPLX, "gender": gender, "frameCount": motion.frames}
    arrays = {name: vectors[:, list(joints)] for name, joints in _PARTS.items()}
    arrays |= {"shapeParameters": motion.betas[0], "bodyTranslation": motion.root[0], "frameRate": np.array(motion.fps)}
    fields = {name: np.array(value, np.int32) for name, value in numbers.items()}
    write_npz(path, fields | {name: values.astype(np.float32) for name, values in arrays.items()})


def _scalar(path: Path, data: dict[str, ndarray], name: str, default: float) -> float:
    values = data.get(name, np.array(default))
    if values.size != 1:
        raise LabanError(f"{path}: {name} has shape {values.shape}; accepted: one number")
    return values.item()


def _shaped(path: Path, data: dict[str, ndarray], name: str, shape: tuple[int, ...]) -> ndarray:
    if data[name].shape != shape:
        raise LabanError(f"{path}: {name} has shape {data[name].shape}; accepted: {shape}")
    return data[name]
