"""Two-person data sets on disk as pairs: InterHuman and Inter-X, motion beside the sentences written about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.model import BodyModel
from models.body.pose import motion_joints
from models.body.retarget import retarget_joints
from models.data.pairs import Pair
from models.formats import together
from models.formats.arrays import MAX_ARRAY_BYTES, need_numbers, read_npy
from models.formats.interhuman import INTERHUMAN_FPS, WIDTHS, interhuman_people
from models.formats.interx import FILES, processed_pair, read_interx
from models.motion import Motion
from models.resample import resample

FPS = 30.0
INTERHUMAN_LICENCE = "CC BY-NC-SA 4.0 (InterHuman)"
INTERX_LICENCE = "research only, by agreement (Inter-X)"


def interhuman_pairs(folder: str | Path, body: BodyModel | None = None) -> Iterator[Pair]:
    """Pairs of InterHuman in the order of their names, retargeted one at a time, at 30 fps.

    `folder` holds `motions_processed/person1/NAME.npy` and `person2/NAME.npy`, or `motions/NAME.npy` of the 262
    features of both people (T, 2, 262); and `annots/NAME.txt` with a sentence a line. People stay where they were:
    retargeting alone would stretch each one's way by the length of their legs.
    """
    folder = Path(folder)
    files = sorted((folder / "motions_processed" / "person1").glob("*.npy")) or sorted(folder.glob("motions/*.npy"))
    if not files:
        raise LabanError(f"{folder}: no motions; accepted: a folder with motions_processed/person1/NAME.npy")
    for take, path in enumerate(files):
        values = need_numbers(read_npy(path), str(path))
        if not len(values) or values.shape[1:] not in ((2, WIDTHS[1]), *((width,) for width in WIDTHS)):
            raise LabanError(f"{path}: has shape {values.shape}; accepted: (T, 492), (T, 262) or (T, 2, 262)")
        people = interhuman_people(path, values)
        if len(people) != 2:
            raise LabanError(f"{path}: holds {len(people)} person; accepted: person1 and person2, or (T, 2, 262)")
        motion = together([_in_place(joints, body) for joints in people], str(path))
        text, *others = _sentences(folder / "annots" / f"{path.stem}.txt")
        yield Pair(path.stem, resample(motion, FPS), text, "interhuman", INTERHUMAN_LICENCE, take, take % 4,
                   wordings=tuple(others))  # fmt: skip


def interx_pairs(path: str | Path, body: BodyModel | None = None) -> Iterator[Pair]:
    """Pairs of Inter-X in the order of their names, read one at a time, at 30 fps.

    `path` is the set's folder (`motions/NAME/P1.npz` and `P2.npz`), or one of its processed `.h5` files; sentences are
    in `texts/NAME.txt`, or `texts_processed/NAME.txt`, beside it. P1 is person 0: the file that says who acts first is
    a pickle, which is never opened.
    """
    path = Path(path)
    motions = _interx_h5(path) if path.is_file() else _interx_folder(path, body)
    for take, (name, motion) in enumerate(motions):
        text, *others = _interx_sentences(path, name)
        yield Pair(name, resample(motion, FPS), text, "inter-x", INTERX_LICENCE, take, take % 4,
                   wordings=tuple(others))  # fmt: skip


def _in_place(joints: Float[ndarray, "frames 22 3"], body: BodyModel | None) -> Motion:
    """One person retargeted, with the pelvis above where it was."""
    motion = retarget_joints(joints.astype(np.float32), INTERHUMAN_FPS, body=body)
    root = motion.root.copy()
    root[0, :, ::2] += joints[:, 0, ::2] - motion_joints(motion, body, 1)[0, :, 0, ::2]
    return replace(motion, root=root)


def _interx_folder(folder: Path, body: BodyModel | None) -> Iterator[tuple[str, Motion]]:
    takes = sorted(one for one in folder.glob("motions/*") if (one / FILES[0]).is_file())
    if not takes:
        raise LabanError(f"{folder}: no motions; accepted: a folder with motions/NAME/{FILES[0]} and {FILES[1]}")
    for take in takes:
        motion = read_interx(take / FILES[0], body=body)
        if motion.actors != 2:
            raise LabanError(f"{take}: lacks {FILES[1]}; accepted: {' and '.join(FILES)}")
        yield take.name, motion


def _interx_h5(path: Path) -> Iterator[tuple[str, Motion]]:
    try:
        h5py = import_module("h5py")
    except ImportError as error:
        raise LabanError(f"HDF5: package h5py is missing ({error}); run: pip install 'laban[h5]'") from None
    try:
        with h5py.File(path, "r") as file:
            for name in sorted(file):
                item = file[name]
                if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                    raise LabanError(f"{path}: {name!r} is no array of its own; accepted: arrays (T, 56, 6)")
                if item.nbytes > MAX_ARRAY_BYTES:
                    raise LabanError(f"{path}: {name} declares {item.nbytes} bytes; accepted: up to {MAX_ARRAY_BYTES}")
                yield name, processed_pair(np.asarray(item[()]), f"{path}: {name}")
    except (OSError, RuntimeError) as error:
        raise LabanError(f"{path}: is not a whole HDF5 file ({error})") from None


def _interx_sentences(path: Path, name: str) -> list[str]:
    roots = [path] if path.is_dir() else [path.parent, path.parent.parent]
    places = [root / folder / f"{name}.txt" for root in roots for folder in ("texts", "texts_processed")]
    return next((_sentences(place) for place in places if place.is_file()), [""])


def _sentences(path: Path) -> list[str]:
    """Sentences of a text file, one a line, without part-of-speech tags (behind a #); an empty one without a file."""
    if not path.is_file():
        return [""]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise LabanError(f"{path}: is not UTF-8 text ({error})") from error
    return [line.split("#")[0].strip() for line in lines if line.strip()] or [""]
