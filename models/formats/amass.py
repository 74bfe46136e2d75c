"""AMASS `.npz`: the SMPL-H layout of the first releases and the SMPL-X "stage-ii" layout.

Both are Z up; on the way in the world is turned to Y up about its origin (`models.formats.world`), on the way out it is
turned back. Files hold one person. A motion of several actors becomes `name_0.npz`, `name_1.npz` …, and reading
`name.npz` finds them again (`models.formats`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import array_names, need_numbers, read_npz, write_npz
from models.formats.rotvec import to_matrices, to_vectors
from models.formats.world import Z_UP_TO_Y_UP, rest_joints, turn_world
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.model import BodyModel

LAYOUTS = ("smplx", "smplh")
_PARTS = {"root_orient": 1, "pose_body": 21, "pose_jaw": 1, "pose_eye": 2, "pose_hand": 30}
_RATES = ("mocap_frame_rate", "mocap_framerate")
_WANTED = {"poses", "trans", "betas", "gender", "surface_model_type", "joint_mask", *_PARTS, *_RATES}
_BODY_AND_HANDS = (*range(22), *range(25, 55))
_JOINTS_OF_WIDTH = {
    66: tuple(range(22)),
    72: tuple(range(22)),  # SMPL: its two hand joints have no counterpart among the 55
    156: _BODY_AND_HANDS,
    165: tuple(range(55)),
}
_ACCEPTED = "poses (T, 66 | 72 | 156 | 165), or root_orient (T, 3) and pose_body (T, 63)"


def read_amass(path: Path, *, fps: float | None = None, up: str = "z", body: BodyModel | None = None) -> Motion:
    """One person from an AMASS file of either layout.

    `fps` overrules the file's rate (those of SMPL-X releases are not all right), `up` its vertical axis ("y" or "z").
    The pelvis offset comes from `body` (None: the default body) with the file's betas.
    """
    data = read_npz(path, _WANTED)
    vectors, present = _axis_angles(path, data)
    frames = len(vectors)
    trans = _array(path, data, "trans", (frames, 3))
    betas = _betas(path, data)
    root = trans.astype(np.float32)[None]
    rotations = to_matrices(vectors)[None]
    if up == "z":
        pelvis = rest_joints(betas[None], body)[:, 0]
        rotations, turned = turn_world(rotations, trans[None], pelvis, Z_UP_TO_Y_UP)
        root = turned.astype(np.float32)
    return Motion(rotations, root, fps or _rate(path, data), betas[None], (_gender(data),), _mask(data, present))


def write_amass(motion: Motion, path: Path, *, layout: str | None = None, body: BodyModel | None = None) -> None:
    """One person as an AMASS file: layout "smplx" (stage-ii, the default) or "smplh" (no jaw and eyes)."""
    layout = layout or "smplx"
    if layout not in LAYOUTS:
        raise LabanError(f"--layout {layout}: accepted for .npz: {', '.join(LAYOUTS)}")
    if motion.actors != 1:
        raise LabanError(f"{path}: an AMASS file holds one person; found {motion.actors}")
    pelvis = rest_joints(motion.betas, body)[:, 0]
    rotations, trans = turn_world(motion.rotations, motion.root, pelvis, Z_UP_TO_Y_UP.T)
    vectors = to_vectors(rotations[0]).astype(np.float32)
    common = {
        "trans": trans[0].astype(np.float32),
        "betas": motion.betas[0],
        "gender": motion.genders[0],
        "surface_model_type": layout,
        "joint_mask": motion.mask,
    }
    write = {"smplx": _stage_ii, "smplh": _smplh}[layout]
    write_npz(path, common | write(vectors, motion))


def _stage_ii(vectors: Float[ndarray, "frames 55 3"], motion: Motion) -> dict[str, ndarray | float | int]:
    flat = vectors.reshape(len(vectors), -1)
    start, parts = 0, {}
    for name, joints in _PARTS.items():
        parts[name] = flat[:, start : start + 3 * joints]
        start += 3 * joints
    return parts | {
        "poses": flat,
        "mocap_frame_rate": float(motion.fps),
        "mocap_time_length": motion.seconds,
        "num_betas": motion.betas.shape[1],
    }


def _smplh(vectors: Float[ndarray, "frames 55 3"], motion: Motion) -> dict[str, ndarray | float | int]:
    poses = vectors[:, _BODY_AND_HANDS].reshape(len(vectors), -1)
    mask = motion.mask & np.isin(np.arange(55), _BODY_AND_HANDS)
    return {
        "poses": poses,
        "mocap_framerate": float(motion.fps),
        "dmpls": np.zeros((len(poses), 8), np.float32),
        "joint_mask": mask,
    }


def _axis_angles(path: Path, data: dict[str, ndarray]) -> tuple[Float[ndarray, "frames 55 3"], Bool[ndarray, " 55"]]:
    """Rotation vectors of all joints, and which joints the file has."""
    if "poses" in data:
        poses = _array(path, data, "poses", (None, None))
        joints = _JOINTS_OF_WIDTH.get(poses.shape[1])
        if joints is None:
            raise LabanError(f"{path}: poses have shape {poses.shape}; accepted: {_ACCEPTED}")
        poses = poses[:, : 3 * len(joints)]
    elif {"root_orient", "pose_body"} <= data.keys():
        frames = len(_array(path, data, "pose_body", (None, 63)))
        parts = [_part(path, data, name, frames) for name in _PARTS]
        poses, joints = np.concatenate(parts, axis=1), tuple(range(55))
    else:
        raise LabanError(f"{path}: holds {', '.join(sorted(array_names(path))[:12])}; accepted: {_ACCEPTED}, and trans")
    if not len(poses):
        raise LabanError(f"{path}: poses have no frames")
    vectors = np.zeros((len(poses), 55, 3))
    vectors[:, joints] = poses.reshape(len(poses), -1, 3)
    return vectors, vectors.any(axis=(0, 2)) & np.isin(np.arange(55), joints)


def _part(path: Path, data: dict[str, ndarray], name: str, frames: int) -> Float[ndarray, "frames width"]:
    width = 3 * _PARTS[name]
    if name not in data and name not in ("root_orient", "pose_body"):
        return np.zeros((frames, width))
    return _array(path, data, name, (frames, width))


def _array(path: Path, data: dict[str, ndarray], name: str, shape: tuple[int | None, ...]) -> Float[ndarray, "..."]:
    if name not in data:
        raise LabanError(f"{path}: has no array '{name}'; found {', '.join(sorted(data)) or 'none that is known'}")
    values = data[name]
    wrong = values.ndim != len(shape) or any(
        want not in (None, got) for want, got in zip(shape, values.shape, strict=False)
    )
    if wrong:
        accepted = ", ".join("T" if want is None else str(want) for want in shape)
        raise LabanError(f"{path}: {name} has shape {values.shape}; accepted: ({accepted})")
    return need_numbers(values, f"{path}: {name}")


def _betas(path: Path, data: dict[str, ndarray]) -> Float[ndarray, " shape"]:
    if "betas" not in data:
        return np.zeros(10, np.float32)
    betas = np.atleast_1d(np.squeeze(need_numbers(data["betas"], f"{path}: betas")))
    if betas.ndim == 2:  # one row a frame in some releases: a body does not change its shape
        betas = betas[0]
    if betas.ndim != 1 or not 1 <= len(betas) <= 400:
        raise LabanError(f"{path}: betas have shape {data['betas'].shape}; accepted: (1 to 400)")
    return betas.astype(np.float32)


def _rate(path: Path, data: dict[str, ndarray]) -> float:
    for name in _RATES:
        if name in data:
            rate = need_numbers(data[name], f"{path}: {name}")
            if rate.size != 1 or not rate.item() > 0:
                raise LabanError(f"{path}: {name} is {rate.tolist()}; accepted: one positive number")
            return rate.item()
    raise LabanError(f"{path}: has neither {' nor '.join(_RATES)}; give the rate with --source-fps")


def _gender(data: dict[str, ndarray]) -> str:
    value = data.get("gender", np.array("neutral"))
    text = value.reshape(-1)[0] if value.size and value.dtype.kind in "SU" else "neutral"
    name = (text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)).lower()
    return name if name in ("female", "male") else "neutral"


def _mask(data: dict[str, ndarray], present: Bool[ndarray, " 55"]) -> Bool[ndarray, " 55"]:
    """Our own files say which joints are real; elsewhere hands, jaw and eyes count where they move at all."""
    stored = data.get("joint_mask")
    if stored is not None and stored.shape == (55,):
        return stored.astype(bool)
    groups = (range(22), (22,), (23, 24), range(25, 40), range(40, 55))
    mask = np.zeros(55, bool)
    for group in groups:
        mask[list(group)] = group[0] == 0 or present[list(group)].any()
    return mask
