"""Body models in the SMPL-X file format: the open body that ships here, or a licensed file of the user's."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models.body.landmarks import FACE_LANDMARKS, LANDMARK_VERTICES
from models.body.skeleton import NUM_JOINTS, PARENTS

OPEN_BODY = Path(__file__).parent / "data" / "smplx_open_body.npz"
FULL_SHAPE_COMPONENTS = 300
"""Shape components of a full SMPL-X file; its expressions follow. Smaller files have 10 and 10."""

BLOCK = 4096
"""Vertices skinned together: larger blocks need more joints each, smaller ones more passes."""

_MAX_BYTES = 2_000_000_000
_REQUIRED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
_OPTIONAL = ("v_colors", "lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords",
             "hands_meanl", "hands_meanr")  # fmt: skip


@dataclass(frozen=True)
class SkinBlock:
    """Vertices `start:stop` and the weights of the few joints that move any of them."""

    start: int
    stop: int
    joints: Int[Tensor, " used"]
    weights: Float[Tensor, "used block"]


@dataclass(frozen=True)
class BodyModel:
    """A skinned body of V vertices, F triangles and 55 joints: metres, Y up, facing +Z, in T-pose.

    `shapedirs` are shape components, `exprdirs` facial expressions, `posedirs` pose correctives (None when the file
    has only zeros), over the 486 numbers of `rotations[1:] - identity`. `hand_mean` is a relaxed hand: axis-angle of
    the 30 finger joints.
    """

    v_template: Float[Tensor, "vertices 3"]
    shapedirs: Float[Tensor, "vertices 3 shapes"]
    exprdirs: Float[Tensor, "vertices 3 expressions"]
    posedirs: Float[Tensor, "vertices 3 486"] | None
    J_regressor: Float[Tensor, "55 vertices"]
    weights: Float[Tensor, "vertices 55"]
    faces: Int[Tensor, "faces 3"]
    colors: UInt8[Tensor, "vertices 3"] | None = None
    landmark_faces: Int[Tensor, " landmarks"] | None = None
    landmark_weights: Float[Tensor, "landmarks 3"] | None = None
    hand_mean: Float[Tensor, "30 3"] | None = None
    parents: tuple[int, ...] = PARENTS
    name: str = ""

    @cached_property
    def joint_template(self) -> Float[Tensor, "55 3"]:
        """Rest joints of the average shape."""
        return self.J_regressor @ self.v_template

    @cached_property
    def joint_shapedirs(self) -> Float[Tensor, "55 3 shapes"]:
        """How the rest joints move with the shape components: the regressor is linear, so it is applied once."""
        return torch.einsum("jv,vdk->jdk", self.J_regressor, self.shapedirs)

    @cached_property
    def joint_exprdirs(self) -> Float[Tensor, "55 3 expressions"]:
        """How the rest joints move with the expressions."""
        return torch.einsum("jv,vdk->jdk", self.J_regressor, self.exprdirs)

    @cached_property
    def blocks(self) -> tuple[SkinBlock, ...]:
        """Consecutive runs of vertices with the joints that each of them needs."""
        blocks = []
        for start in range(0, len(self.weights), BLOCK):
            weights = self.weights[start : start + BLOCK]
            joints = torch.nonzero((weights != 0).any(0))[:, 0]
            blocks.append(SkinBlock(start, start + len(weights), joints, weights[:, joints].T.contiguous()))
        return tuple(blocks)

    def rest_joints(
        self,
        betas: Float[Tensor, "batch shape"] | None = None,
        expression: Float[Tensor, "faces expressions"] | None = None,
    ) -> Float[Tensor, "bodies 55 3"]:
        """Rest joints in metres of each shape; missing components are 0, further ones than the file has are ignored."""
        joints = self.joint_template[None]
        for values, moves in ((betas, self.joint_shapedirs), (expression, self.joint_exprdirs)):
            if values is not None:
                count = min(values.shape[-1], moves.shape[-1])
                joints = joints + torch.einsum("bk,jdk->bjd", values[:, :count], moves[..., :count])
        return joints

    def to(self, target: torch.device | str | torch.dtype) -> BodyModel:
        """The same body on another device, or with its floating-point numbers in another type."""
        is_type = isinstance(target, torch.dtype)
        moved: dict[str, Any] = {
            field.name: value.to(target)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor) and (not is_type or value.is_floating_point())
        }
        return replace(self, **moved)


def load_body(path: str | Path | None = None) -> BodyModel:
    """The body at `path`, else at `$LABAN_BODY`, else the open body; read once and kept.

    Raises LabanError, naming the file, when it is missing, damaged, of another format, or lacks arrays.
    """
    chosen = Path(path or os.environ.get("LABAN_BODY") or OPEN_BODY).expanduser()
    if not chosen.is_file():
        found = "a folder" if chosen.is_dir() else "nothing"
        raise LabanError(f"{chosen}: found {found}; accepted: a body model file, e.g. SMPLX_NEUTRAL.npz")
    stat = chosen.stat()
    return _load(chosen.resolve(), stat.st_mtime_ns, stat.st_size)


@cache
def _load(path: Path, _modified: int, _size: int) -> BodyModel:
    arrays = read_arrays(path)
    _check(path, arrays)
    return _assemble(arrays, path.name)


def read_arrays(path: Path) -> dict[str, ndarray]:
    """The arrays of a body file that we use, after checking the sizes its headers declare. Nothing is unpickled."""
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise LabanError(f"{path}: is a pickle, which can run code when read; accepted: the .npz of the same model")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem for name in archive.namelist() if name.endswith(".npy")}
            missing = [key for key in _REQUIRED if key not in names]
            if missing:
                raise LabanError(f"{path}: lacks {', '.join(missing)}; accepted: an SMPL-X model file (.npz)")
            wanted = [key for key in (*_REQUIRED, *_OPTIONAL) if key in names]
            declared = sum(_declared_bytes(path, archive, key) for key in wanted)
        if declared > _MAX_BYTES:
            limit = f"up to {_MAX_BYTES / 1e9:.0f} GB"
            raise LabanError(f"{path}: declares {declared / 1e9:.1f} GB of arrays; accepted: {limit}")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in wanted}
    except LabanError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabanError(f"{path}: is damaged or not an .npz file ({reason})") from error


def _declared_bytes(path: Path, archive: zipfile.ZipFile, key: str) -> int:
    """Size that an array will have in memory, read from its header alone."""
    with archive.open(f"{key}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
    if dtype.hasobject or dtype.kind not in "fiu":
        raise LabanError(f"{path}: {key} holds {dtype}; accepted: numbers")
    return prod(shape) * dtype.itemsize


def _check(path: Path, arrays: dict[str, ndarray]) -> None:
    """Shapes agree with one another and with 55 joints; numbers are finite; indices are in range."""
    vertices, faces = len(arrays["v_template"]), len(arrays["f"])
    shapes = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim == 3 else 0
    marks = len(arrays.get("lmk_faces_idx", ()))
    expected: dict[str, tuple[Any, ...]] = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, shapes), "f": (faces, 3),
        "posedirs": (vertices, 3, 9 * (NUM_JOINTS - 1)), "J_regressor": (NUM_JOINTS, vertices),
        "weights": (vertices, NUM_JOINTS), "kintree_table": (2, NUM_JOINTS), "v_colors": (vertices, 3),
        "lmk_faces_idx": (marks,), "lmk_bary_coords": (marks, 3), "hands_meanl": (45,), "hands_meanr": (45,),
    }  # fmt: skip
    wrong = [
        f"{key} {arrays[key].shape} (expected {shape})"
        for key, shape in expected.items()
        if key in arrays and arrays[key].shape != shape
    ]
    if wrong:
        raise LabanError(f"{path}: wrong shapes: {'; '.join(wrong)}; accepted: SMPL-X with {NUM_JOINTS} joints")
    if shapes < 20:
        raise LabanError(f"{path}: shapedirs has {shapes} components; accepted: 10 + 10 expressions or 300 + 100")
    bad = [key for key, value in arrays.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
    if bad:
        raise LabanError(f"{path}: {', '.join(bad)} holds NaN or infinite numbers")
    if faces and (arrays["f"].min() < 0 or arrays["f"].max() >= vertices):
        raise LabanError(f"{path}: f names vertex {arrays['f'].max()}; accepted: 0 to {vertices - 1}")
    if vertices <= max(LANDMARK_VERTICES.values()):
        raise LabanError(f"{path}: has {vertices} vertices; accepted: an SMPL-X body, with those of its landmarks")
    parents = arrays["kintree_table"][0].astype(np.int64)[1:].tolist()
    if tuple(parents) != PARENTS[1:]:
        raise LabanError(f"{path}: kintree_table is another joint tree; accepted: that of SMPL-X")


def _assemble(arrays: dict[str, ndarray], name: str) -> BodyModel:
    def real(key: str) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(arrays[key], dtype=np.float32))

    directions = real("shapedirs")
    split = FULL_SHAPE_COMPONENTS if directions.shape[-1] > FULL_SHAPE_COMPONENTS else 10
    optional: dict[str, Any] = {}
    if "v_colors" in arrays:
        optional["colors"] = torch.from_numpy(arrays["v_colors"].astype(np.uint8))
    if "lmk_faces_idx" in arrays and len(arrays["lmk_faces_idx"]) == FACE_LANDMARKS:
        optional["landmark_faces"] = torch.from_numpy(arrays["lmk_faces_idx"].astype(np.int64))
        optional["landmark_weights"] = real("lmk_bary_coords")
    if "hands_meanl" in arrays and "hands_meanr" in arrays:
        optional["hand_mean"] = torch.cat([real("hands_meanl"), real("hands_meanr")]).view(30, 3)
    return BodyModel(
        v_template=real("v_template"),
        shapedirs=_term_major(directions[..., :split]),
        exprdirs=_term_major(directions[..., split:]),
        posedirs=_term_major(real("posedirs")) if arrays["posedirs"].any() else None,
        J_regressor=real("J_regressor"),
        weights=real("weights"),
        faces=torch.from_numpy(arrays["f"].astype(np.int64)),
        name=name,
        **optional,
    )


def _term_major(basis: Float[Tensor, "vertices 3 terms"]) -> Float[Tensor, "vertices 3 terms"]:
    """The same basis, laid out in memory as (terms, 3, vertices): the order in which skinning multiplies it."""
    return basis.permute(2, 1, 0).contiguous().permute(2, 1, 0)
