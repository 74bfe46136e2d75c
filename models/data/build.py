"""Building a dataset folder from sources: piece by piece, so that an interrupted build goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from models.body.model import BodyModel, load_body
from models.data.annotations import is_annotation_folder, read_annotations
from models.data.dataset import ClipRecord, record_from_json, record_to_json, write_index
from models.data.files import amass_files, amass_jobs, bvh_jobs
from models.data.jobs import BuiltClip, Job, Outcome, Skipped
from models.data.mocap import mocap_jobs

_PIECES = "pieces"
_REVISION = 2
"""Raise when the retargeting changes, so that pieces of older builds are not taken over."""


@dataclass(frozen=True)
class BuildReport:
    """What a build kept and left out."""

    clips: int
    seconds: float
    skipped: tuple[Skipped, ...]
    quality: dict[str, dict[str, float]]
    """Median over each source's clips of each quality figure."""


def build_dataset(
    sources: Sequence[str | Path], output: str | Path, *, body: BodyModel | None = None, quiet: bool = False
) -> BuildReport:
    """Build (or go on building) the dataset of all `sources` in folder `output`.

    A source is a folder in the layout of `models.data.mocap`, of AMASS files, of BVH files, or of annotations for AMASS
    (`models.data.annotations`). Each job's clips are kept under `output/pieces` until all are done; then they are put
    end to end and the pieces are removed.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise LabanError(f"{output}: is a file; name a folder for the dataset")
    body = body or load_body()
    jobs = source_jobs([Path(source) for source in sources], body)
    if not jobs:
        raise LabanError(f"{', '.join(map(str, sources))}: holds no motion; accepted: see `laban data build --help`")
    pieces = _pieces_folder(output, sources, body)
    with progress("retargeting clips", sum(job.clips for job in jobs), quiet=quiet) as advance:
        for job in jobs:
            if not (pieces / f"{job.key}.json").exists():
                _write_piece(pieces, job, job.run())
            advance(job.clips)
    report = _merge(pieces, jobs, output, sources, body)
    shutil.rmtree(pieces)
    return report


def source_jobs(sources: Sequence[Path], body: BodyModel) -> list[Job]:
    """Jobs of all sources; what each folder is, is recognised by what it holds. Annotations serve the AMASS folders."""
    for source in sources:
        if not source.is_dir():
            found = "a file" if source.exists() else "nothing"
            raise LabanError(f"{source}: found {found}; accepted: a folder of motion or of annotations")
    kinds = {source: _kind(source) for source in sources}
    notes = read_annotations([source for source, kind in kinds.items() if kind == "annotations"])
    jobs: list[Job] = []
    for source, kind in kinds.items():
        if kind == "mocap":
            jobs += mocap_jobs(source, body)
        elif kind == "amass":
            jobs += amass_jobs(source, notes, body)
        elif kind == "bvh":
            jobs += bvh_jobs(source, body)
    return jobs


def _kind(source: Path) -> str:
    if (source / "index.json").is_file():
        return "mocap"
    if is_annotation_folder(source):
        return "annotations"
    if amass_files(source):
        return "amass"
    if any(path.suffix.lower() == ".bvh" for path in source.rglob("*")):
        return "bvh"
    accepted = "index.json with clips/, AMASS .npz, .bvh, or annotations (index.csv with texts/, .json)"
    raise LabanError(f"{source}: found no motion; accepted: {accepted}")


def _pieces_folder(output: Path, sources: Sequence[str | Path], body: BodyModel) -> Path:
    """The folder of finished pieces; emptied when sources, body or method are not those it was begun with."""
    state = {"revision": _REVISION, "sources": [str(Path(source).resolve()) for source in sources],
             "stamp": [_stamp(Path(source)) for source in sources], "body": _body_print(body)}  # fmt: skip
    pieces = output / _PIECES
    path = pieces / "state.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != state:
        shutil.rmtree(pieces)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(state))
    return pieces


def _stamp(source: Path) -> str:
    """Changes when a file of the source is added, removed, or written again."""
    mark = hashlib.sha256()
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        stat = path.stat()
        mark.update(f"{path.relative_to(source)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return mark.hexdigest()[:16]


def _body_print(body: BodyModel) -> str:
    return hashlib.sha256(body.joint_template.numpy().round(3).tobytes()).hexdigest()[:16]


def _write_piece(pieces: Path, job: Job, outcomes: Sequence[Outcome]) -> None:
    clips = [outcome for outcome in outcomes if isinstance(outcome, BuiltClip)]
    rotations = np.concatenate([np.zeros((0, 22, 4), np.float32), *(clip.rotations for clip in clips)])
    root = np.concatenate([np.zeros((0, 3), np.float32), *(clip.root for clip in clips)])
    with atomic_path(pieces / f"{job.key}.npz") as path:
        np.savez(path, rotations=rotations, root=root)
    plain = {
        "records": [record_to_json(clip.record) for clip in clips],
        "quality": [clip.quality for clip in clips],
        "skipped": [asdict(outcome) for outcome in outcomes if isinstance(outcome, Skipped)],
    }
    with atomic_path(pieces / f"{job.key}.json") as path:
        path.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")


def _merge(
    pieces: Path, jobs: Sequence[Job], output: Path, sources: Sequence[str | Path], body: BodyModel
) -> BuildReport:
    plains = [json.loads((pieces / f"{job.key}.json").read_text(encoding="utf-8")) for job in jobs]
    records, row = [], 0
    for plain in plains:
        for entry in plain["records"]:
            record = replace(record_from_json(entry), start=row)
            row += record.frames
            records.append(record)
    (output / "dataset.json").unlink(missing_ok=True)  # from here until the end the folder is not a whole dataset
    for features in output.glob("*.npz"):  # made by trainings from the arrays that go
        features.unlink()
    for name, width in (("rotations", (22, 4)), ("root", (3,))):
        with atomic_path(output / f"{name}.npy") as path:
            merged = np.lib.format.open_memmap(path, "w+", np.float32, (row, *width))
            at = 0
            for job in jobs:
                with np.load(pieces / f"{job.key}.npz", allow_pickle=False) as piece:
                    part = piece[name]
                merged[at : at + len(part)] = part
                at += len(part)
            merged.flush()
            del merged
    quality = [figures for plain in plains for figures in plain["quality"]]
    skipped = tuple(Skipped(**entry) for plain in plains for entry in plain["skipped"])
    report = _report(records, quality, skipped)
    _write_report(output, report, records, quality)
    meta = {"body": body.name, "body_joints": _body_print(body), "sources": [str(source) for source in sources]}
    write_index(output, records, meta)
    return report


def _report(
    records: Sequence[ClipRecord], quality: Sequence[dict[str, float]], skipped: tuple[Skipped, ...]
) -> BuildReport:
    medians: dict[str, dict[str, float]] = {}
    for source in dict.fromkeys(record.source for record in records):
        rows = [
            figures for record, figures in zip(records, quality, strict=True) if record.source == source and figures
        ]
        names = rows[0] if rows else ()
        medians[source] = {n: round(float(np.nanmedian([row[n] for row in rows])), 4) for n in names}
    return BuildReport(len(records), sum(record.seconds for record in records), skipped, medians)


def _write_report(
    output: Path, report: BuildReport, records: Sequence[ClipRecord], quality: Sequence[dict[str, float]]
) -> None:
    plain: dict[str, Any] = {
        "clips": report.clips,
        "seconds": round(report.seconds, 3),
        "skipped": [asdict(entry) for entry in report.skipped],
        "reasons": Counter(entry.reason.partition(":")[0] for entry in report.skipped),
        "splits": Counter(record.split for record in records),
        "flags": Counter(flag for record in records for flag in record.flags),
        "quality": report.quality,
        "clip_quality": {r.id: figures for r, figures in zip(records, quality, strict=True) if figures},
    }
    with atomic_path(output / "report.json") as path:
        path.write_text(json.dumps(plain, indent=1, ensure_ascii=False).replace("NaN", "null"), encoding="utf-8")
