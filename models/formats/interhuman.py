"""InterHuman (Liang et al., 2023): two people, one array each.

`person1/NAME.npy` and `person2/NAME.npy` of the published set are (T, 492), Z up: 62 joint positions, of which the
first 22 are the body's, then 51 rotations. The 262 features that its models train on are Y up: 22 positions, 22
displacements, 21 rotations, 4 contacts; two people are (T, 2, 262).
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import need_numbers, read_npy
from models.formats.world import Z_UP_TO_Y_UP

INTERHUMAN_FPS = 30.0
WIDTHS = (492, 262)
_PERSON_FOLDERS = ("person1", "person2")


def interhuman_people(path: Path, values: Float[ndarray, "..."]) -> list[Float[ndarray, "frames 22 3"]]:
    """World joints, Y up, of each person; the file of the other person beside `path` is read too where there is one."""
    if values.ndim == 3:
        return [_joints(values[:, person]) for person in range(values.shape[1])]
    other = _other_person(path)
    if other is None:
        return [_joints(values)]
    partner = need_numbers(read_npy(other), str(other))
    if partner.shape != values.shape:
        raise LabanError(f"{other}: has shape {partner.shape}; accepted: {values.shape}, that of {path}")
    pair = [values, partner] if path.parent.name == _PERSON_FOLDERS[0] else [partner, values]
    return [_joints(person) for person in pair]


def _joints(values: Float[ndarray, "frames width"]) -> Float[ndarray, "frames 22 3"]:
    joints = values[:, :66].reshape(len(values), 22, 3)
    return joints @ Z_UP_TO_Y_UP.T if values.shape[1] == WIDTHS[0] else joints


def _other_person(path: Path) -> Path | None:
    folder = path.absolute().parent
    if folder.name not in _PERSON_FOLDERS:
        return None
    other = folder.parent / _PERSON_FOLDERS[1 - _PERSON_FOLDERS.index(folder.name)] / path.name
    return other if other.is_file() else None
