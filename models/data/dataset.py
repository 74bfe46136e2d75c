"""A training set on disk: one folder of canonical motions at 30 fps with captions and timed labels.

    dataset.json     format, version, frame rate, the body it was retargeted to
    records.jsonl    one `ClipRecord` a line
    rotations.npy    (N, 22, 4) float32, local rotations, quaternions w x y z with w >= 0; read through a memory map
    root.npy         (N, 3) float32, SMPL-X `transl`, metres
    report.json      what the build skipped and why, and how well each clip was retargeted

A clip is rows `start : start + frames` of both arrays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.timeline import Segment
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.rotations import quaternion_to_matrix

FORMAT = "laban-dataset"
VERSION = 1
FPS = 30.0


@dataclass(frozen=True)
class Caption:
    """Sentences that people wrote about [start, end) seconds of a clip."""

    start: float
    end: float
    texts: tuple[str, ...]


@dataclass(frozen=True)
class ClipRecord:
    """What is known about one clip; `start` and `frames` locate it in the dataset's arrays."""

    id: str
    source: str
    action: str
    label: str
    texts: tuple[str, ...]
    license: str
    split: str
    start: int = 0
    frames: int = 0
    fps: float = FPS
    seconds: float = 0.0
    style: str | None = None
    captions: tuple[Caption, ...] = ()
    segments: tuple[Segment, ...] = ()
    flags: tuple[str, ...] = ()
    subject: str = ""
    pair: str | None = None
    role: str | None = None
    parts: tuple[str, ...] = ()


def record_to_json(record: ClipRecord) -> dict[str, Any]:
    """Plain dictionary of a record; segments keep start, end and label."""
    plain = asdict(record)
    plain["segments"] = [{"start": s.start, "end": s.end, "label": s.label} for s in record.segments]
    return plain


def record_from_json(plain: dict[str, Any]) -> ClipRecord:
    """The record of a dictionary; keys that this version does not know are ignored."""
    known = {field.name for field in fields(ClipRecord)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in plain.items() if key in known
    }
    values["captions"] = tuple(
        Caption(float(c["start"]), float(c["end"]), tuple(c["texts"])) for c in plain.get("captions", ())
    )
    values["segments"] = tuple(Segment(s["start"], s["end"], s["label"]) for s in plain.get("segments", ()))
    return ClipRecord(**values)


@dataclass(frozen=True)
class MotionDataset:
    """An opened dataset folder; the arrays are memory-mapped, so opening is cheap."""

    folder: Path
    records: tuple[ClipRecord, ...]
    rotations: Float[ndarray, "rows 22 4"]
    root: Float[ndarray, "rows 3"]

    @classmethod
    def open(cls, folder: str | Path) -> MotionDataset:
        """Open a folder that `laban data build` made; LabanError names what is missing or does not fit."""
        folder = Path(folder)
        try:
            meta = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            if (meta.get("format"), meta.get("version")) != (FORMAT, VERSION):
                found = f"{meta.get('format')} version {meta.get('version')}"
                raise LabanError(f"{folder}: is {found}; accepted: {FORMAT} version {VERSION}; build it again")
            lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
            records = tuple(record_from_json(json.loads(line)) for line in lines)
            rotations = np.load(folder / "rotations.npy", mmap_mode="r", allow_pickle=False)
            root = np.load(folder / "root.npy", mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise LabanError(f"{folder}: no {missing}; accepted: a folder made by `laban data build`") from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, LabanError):
                raise
            raise LabanError(f"{folder}: is damaged ({error}); build it again with `laban data build`") from error
        rows = max((record.start + record.frames for record in records), default=0)
        if rotations.shape[1:] != (NUM_BODY, 4) or root.shape != (len(rotations), 3) or len(rotations) < rows:
            shapes = f"rotations {rotations.shape}, root {root.shape}"
            raise LabanError(f"{folder}: {shapes} do not hold the {rows} rows of its records; build it again")
        return cls(folder, records, rotations, root)

    @cached_property
    def by_id(self) -> dict[str, ClipRecord]:
        """Records by their id."""
        return {record.id: record for record in self.records}

    def select(self, *tests: Callable[[ClipRecord], bool], split: str | None = None) -> list[ClipRecord]:
        """Records of a split (None: all) that pass every test, in order."""
        return [r for r in self.records if split in (None, r.split) and all(test(r) for test in tests)]

    def pairs(self) -> list[tuple[ClipRecord, ClipRecord]]:
        """Both records of each two-person take, role A first; they share clock and world."""
        roles: dict[str, dict[str, ClipRecord]] = {}
        for record in self.records:
            if record.pair and record.role:
                roles.setdefault(record.pair, {})[record.role] = record
        return [(both["A"], both["B"]) for both in roles.values() if {"A", "B"} <= both.keys()]

    def motion(self, record: ClipRecord) -> Motion:
        """The clip as a canonical Motion of one person."""
        rows = slice(record.start, record.start + record.frames)
        rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, record.frames, NUM_JOINTS, 3, 3)).copy()
        rotations[0, :, :NUM_BODY] = quaternion_to_matrix(torch.from_numpy(np.array(self.rotations[rows]))).numpy()
        return Motion(rotations, np.array(self.root[rows])[None], record.fps)


def write_index(folder: Path, records: Iterable[ClipRecord], meta: dict[str, Any]) -> None:
    """Write records.jsonl, then dataset.json, whose presence says that the dataset is whole."""
    with atomic_path(folder / "records.jsonl") as path, path.open("w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(record_to_json(record), ensure_ascii=False) + "\n")
    with atomic_path(folder / "dataset.json") as path:
        path.write_text(json.dumps({"format": FORMAT, "version": VERSION, "fps": FPS, **meta}, indent=1))
