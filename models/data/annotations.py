"""Text and time labels that are published apart from the motion: HumanML3D, BABEL, KIT-ML and unified JSON files.

All name AMASS recordings. Files of AMASS releases and of the annotations differ in folder names and suffixes, so a
recording is known here by the last two parts of its path (`recording_key`).
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from laban.errors import LabanError
from laban.timeline import Segment
from models.data.dataset import Caption

HUMANML3D_FPS = 20.0
_CUT_FIRST = {"Eyes_Japan_Dataset": 3.0, "MPI_HDM05": 3.0, "TotalCapture": 1.0, "MPI_Limits": 1.0,
              "Transitions_mocap": 0.5}  # fmt: skip
"""Seconds that HumanML3D cuts from the beginning of a sub-set's recordings before it counts frames."""


@dataclass(frozen=True)
class Window:
    """A described stretch of a recording: seconds, name, captions in seconds of the stretch, split (None: unsaid)."""

    name: str
    start: float
    end: float
    captions: tuple[Caption, ...]
    split: str | None = None


@dataclass
class Notes:
    """Everything known about one recording."""

    windows: list[Window] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    split: str | None = None


def recording_key(path: str) -> str:
    """Subject folder and file stem of an AMASS path, without the suffixes that releases add, in lower case."""
    parts = path.replace("\\", "/").strip("./").split("/")
    stem = parts[-1].rsplit(".", 1)[0] if parts[-1].endswith((".npz", ".npy")) else parts[-1]
    for suffix in ("_poses", "_stageii"):
        stem = stem.removesuffix(suffix)
    return "/".join([*parts[-2:-1], stem]).lower().replace(" ", "_")


def is_annotation_folder(folder: Path) -> bool:
    """Whether a folder holds annotations that `read_annotations` knows."""
    return (folder / "index.csv").is_file() or any(_json_files(folder))


def _json_files(folder: Path) -> Iterable[Path]:
    files = sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")])
    return [path for path in files if path.name not in ("index.json", "skeletons.json", "dataset.json", "report.json")]


def read_annotations(folders: Iterable[Path]) -> dict[str, Notes]:
    """Notes by recording key from all annotation folders."""
    notes: dict[str, Notes] = defaultdict(Notes)
    for folder in folders:
        if (folder / "index.csv").is_file():
            _read_humanml3d(folder, notes)
        for path in _json_files(folder):
            _read_json(path, notes)
    return dict(notes)


def _read_humanml3d(folder: Path, notes: dict[str, Notes]) -> None:
    """index.csv names window and recording; texts/NAME.txt the captions; train.txt, val.txt, test.txt the split."""
    splits = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}.txt"
        names = path.read_text(encoding="utf-8").split() if path.is_file() else ()
        splits.update(dict.fromkeys(names, split))
    with (folder / "index.csv").open(encoding="utf-8", newline="") as stream:
        for line, row in enumerate(csv.DictReader(stream), start=2):
            try:
                source, name = row["source_path"], Path(row["new_name"]).stem
                first, last = float(row["start_frame"]), float(row["end_frame"])
            except (KeyError, TypeError, ValueError) as error:
                accepted = "columns source_path, start_frame, end_frame, new_name"
                raise LabanError(f"{folder / 'index.csv'}, line {line}: found {row}; accepted: {accepted}") from error
            cut = next((seconds for part, seconds in _CUT_FIRST.items() if part in source.split("/")), 0.0)
            start = cut + first / HUMANML3D_FPS
            end = cut + last / HUMANML3D_FPS if last > 0 else float("inf")
            captions = _humanml3d_texts(folder / "texts" / f"{name}.txt", end - start)
            notes[recording_key(source)].windows.append(Window(name, start, end, captions, splits.get(name)))


def _humanml3d_texts(path: Path, seconds: float) -> tuple[Caption, ...]:
    """Captions of `caption#tokens#start#end` lines; 0.0#0.0 (or not a number) means the whole window."""
    if not path.is_file():
        return ()
    found: dict[tuple[float, float], list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.strip().split("#")
        if not parts[0]:
            continue
        start, end = (_number(text) for text in parts[2:4]) if len(parts) >= 4 else (0.0, 0.0)
        found[(start, end) if end > start else (0.0, seconds)].append(parts[0].strip())
    return tuple(Caption(start, end, tuple(texts)) for (start, end), texts in found.items())


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if value == value else 0.0


def _read_json(path: Path, notes: dict[str, Notes]) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            data = json.load(stream)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LabanError(f"{path}: is not JSON ({error})") from error
    entries = data.values() if isinstance(data, dict) else data
    split = next((name for name in ("train", "val", "test") if name in path.name.split(".")[0].split("_")), None)
    for name, entry in zip(data, entries, strict=True) if isinstance(data, dict) else ((None, e) for e in entries):
        if isinstance(entry, dict):
            _read_entry(str(name), entry, notes, split)


def _read_entry(name: str, entry: dict[str, Any], notes: dict[str, Notes], split: str | None) -> None:
    """One recording: BABEL has `feat_p`, unified files `path` and `annotations`, the mocap set's files `amass`."""
    if "feat_p" in entry:
        found = notes[recording_key(entry["feat_p"])]
        found.split = found.split or split
        for kind in ("frame_ann", "seq_ann"):
            _read_babel(entry, kind, found)
    elif "path" in entry and "annotations" in entry:
        captions = tuple(Caption(float(a["start"]), float(a["end"]), (a["text"],)) for a in entry["annotations"])
        end = float(entry.get("duration", float("inf")))
        notes[recording_key(entry["path"])].windows.append(Window(name, 0.0, end, captions, split))
    elif "amass" in entry and "texts" in entry and "seconds" in entry:
        captions = tuple(Caption(float(start), float(end), (text,)) for text, start, end in entry["texts"])
        notes[recording_key(entry["amass"])].windows.append(Window(name, 0.0, entry["seconds"], captions, split))
    elif "amass" in entry and "segments" in entry:
        found = notes[recording_key(entry["amass"])]
        found.segments += [Segment(start, end, label) for label, start, end, *_ in entry["segments"] if end > start]
        found.actions += [action for *_, actions in entry["segments"] for action in actions]


def _read_babel(entry: dict[str, Any], kind: str, found: Notes) -> None:
    """Labels of BABEL: those of frames become segments, those of the sequence texts; both name actions."""
    blocks = [entry.get(kind), *(entry.get(f"{kind}s") or ())]
    for label in (label for block in blocks if block for label in block.get("labels") or ()):
        text = label.get("proc_label") or label.get("raw_label") or ""
        found.actions += label.get("act_cat") or []
        start, end = label.get("start_t"), label.get("end_t")
        if kind == "seq_ann" or start is None or end is None:
            found.texts.append(text)
        elif end > start:
            found.segments.append(Segment(max(float(start), 0.0), float(end), text or "action"))
