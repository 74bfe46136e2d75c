"""Inter-X (Xu et al., CVPR 2024): two people in SMPL-X parameters, Y up.

`motions/NAME/P1.npz` and `P2.npz` of the published set hold one person each at 120 fps, which no array says:
`root_orient` (T, 3), `pose_body` (T, 21, 3), `pose_lhand` and `pose_rhand` (T, 15, 3), `trans` (T, 3), `betas` (1, 10)
and `gender`. Its processed `.h5` files hold both people of a sequence in one array (T, 56, 6) at 30 fps: 55 rotation
vectors and the translation, of P1 in the first three columns, of P2 in the last three.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import array_names, need_numbers, read_npz
from models.formats.rotvec import to_matrices
from models.formats.world import Z_UP_TO_Y_UP, rest_joints, turn_world
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.model import BodyModel

FPS, PROCESSED_FPS = 120.0, 30.0
FILES = ("P1.npz", "P2.npz")
_HANDS = ("pose_lhand", "pose_rhand")
_SHAPES = {"root_orient": 1, "pose_body": 21, "pose_lhand": 15, "pose_rhand": 15, "trans": 1}
_GENDERS = ("neutral", "female", "male")


def is_interx(path: Path) -> bool:
    """Whether an existing `.npz` file has the arrays that Inter-X alone has."""
    return path.is_file() and {"pose_body", *_HANDS} <= set(array_names(path))


def read_interx(path: Path, *, fps: float | None = None, up: str = "y", body: BodyModel | None = None) -> Motion:
    """Everybody of a take: `path` is one of its two files, and the other beside it is read too where there is one."""
    from models.formats import together

    paths = [path.with_name(name) for name in FILES] if path.name in FILES else [path]
    people = [_person(one, fps or FPS, up, body) for one in paths if one.is_file()]
    return people[0] if len(people) == 1 else together(people, str(path.parent))


def processed_pair(values: Float[ndarray, "..."], where: str, *, fps: float = PROCESSED_FPS) -> Motion:
    """Both people of a sequence of the processed files, on the average body; `where` names it in errors."""
    if values.ndim != 3 or values.shape[1:] != (56, 6) or not len(values):
        raise LabanError(f"{where}: has shape {values.shape}; accepted: (T, 56, 6)")
    people = np.moveaxis(need_numbers(values, where).reshape(-1, 56, 2, 3), 2, 0)
    return Motion(to_matrices(people[:, :, :55]), people[:, :, 55].astype(np.float32), fps, mask=np.ones(55, bool))


def _person(path: Path, fps: float, up: str, body: BodyModel | None) -> Motion:
    data = read_npz(path, {*_SHAPES, "betas", "gender"})
    frames = len(data["pose_body"]) if "pose_body" in data and data["pose_body"].ndim else 0
    parts = {name: _array(path, data, name, (frames, joints, 3)) for name, joints in _SHAPES.items()}
    face = np.zeros((frames, 3, 3))  # jaw and eyes, which were not captured
    vectors = np.concatenate([parts["root_orient"], parts["pose_body"], face, parts["pose_lhand"],
                              parts["pose_rhand"]], 1)  # fmt: skip
    betas = need_numbers(data.get("betas", np.zeros(10)), f"{path}: betas").reshape(1, -1).astype(np.float32)
    rotations, root = to_matrices(vectors)[None], parts["trans"][None, :, 0].astype(np.float32)
    if up == "z":
        rotations, turned = turn_world(rotations, root, rest_joints(betas, body)[:, 0], Z_UP_TO_Y_UP)
        root = turned.astype(np.float32)
    mask = np.ones(55, bool)
    mask[22:25] = False
    said = data.get("gender", np.array("neutral"))
    gender = str(said.reshape(-1)[0]) if said.size and said.dtype.kind == "U" else "neutral"
    return Motion(rotations, root, fps, betas, (gender if gender in _GENDERS else "neutral",), mask)


def _array(path: Path, data: dict[str, ndarray], name: str, shape: tuple[int, int, int]) -> Float[ndarray, "..."]:
    """An array that is stored as (T, joints, 3) or flat."""
    if name not in data:
        raise LabanError(f"{path}: has no array {name!r}; accepted: {', '.join(_SHAPES)}, betas, gender")
    values = need_numbers(data[name], f"{path}: {name}")
    if not shape[0] or values.size != np.prod(shape) or len(values) != shape[0]:
        raise LabanError(f"{path}: {name} has shape {values.shape}; accepted: {shape}, or flat")
    return values.reshape(shape)
