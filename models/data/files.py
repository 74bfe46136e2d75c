"""Folders of motion files: AMASS `.npz` (with annotations given apart) and `.bvh`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from laban.errors import LabanError
from laban.timeline import Segment
from models.body.model import BodyModel
from models.body.retarget_source import leg_length
from models.data.annotations import Notes, Window, recording_key
from models.data.dataset import Caption, ClipRecord
from models.data.jobs import FASTEST, Job, Outcome, Skipped, built
from models.motion import Motion

FILES_A_JOB = 16
AMASS_LICENCE = "AMASS: non-commercial research"
UNKNOWN_LICENCE = "unknown"
_TRANSITION = "transition"


def amass_files(folder: Path) -> list[Path]:
    """The recordings of a folder of AMASS sub-sets (not the shape files that lie beside them)."""
    files = sorted(folder.rglob("*.npz"))
    return [path for path in files if path.name != "shape.npz" and not path.stem.endswith(("_stagei", "neutral"))]


def amass_jobs(folder: Path, notes: dict[str, Notes], body: BodyModel) -> list[Job]:
    """Jobs over AMASS recordings. Each described window becomes a clip; a recording without windows is one clip."""
    return _jobs(folder, amass_files(folder), lambda path: _amass_clips(folder, path, notes, body))


def bvh_jobs(folder: Path, body: BodyModel) -> list[Job]:
    """Jobs over the BVH files of a folder; texts come from the files' names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".bvh")
    return _jobs(folder, files, lambda path: _bvh_clips(folder, path, body))


def _jobs(folder: Path, files: Sequence[Path], read: Callable[[Path], list[Outcome]]) -> list[Job]:
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]
    jobs = []
    for first in range(0, len(files), FILES_A_JOB):
        some = files[first : first + FILES_A_JOB]
        run = _reading(folder, some, read)
        jobs.append(Job(f"{folder.name}-{mark}-{first:06d}", len(some), run))
    return jobs


def _reading(folder: Path, files: Sequence[Path], read: Callable[[Path], list[Outcome]]) -> Callable[[], list[Outcome]]:
    def run() -> list[Outcome]:
        outcomes: list[Outcome] = []
        for path in files:
            try:
                outcomes += read(path)
            except LabanError as error:
                outcomes.append(Skipped(path.relative_to(folder).as_posix(), folder.name, f"unreadable: {error}"))
        return outcomes

    return run


def _amass_clips(folder: Path, path: Path, notes: dict[str, Notes], body: BodyModel) -> list[Outcome]:
    from models.formats.amass import read_amass

    motion = on_average_shape(read_amass(path, body=body), body)
    place = path.relative_to(folder)
    known = notes.get(recording_key(place.as_posix()), Notes())
    name = place.with_suffix("").as_posix()
    record = ClipRecord(
        id=name, source=place.parts[0] if len(place.parts) > 1 else folder.name, action=_action(known.actions),
        label=", ".join(dict.fromkeys(known.texts)), texts=tuple(dict.fromkeys(known.texts)), license=AMASS_LICENCE,
        split=known.split or stable_split(recording_key(place.as_posix())), segments=tuple(known.segments),
        flags=("spikes",) if _spikes(motion, body) else (), subject=place.parts[-2] if len(place.parts) > 1 else "",
    )  # fmt: skip
    if not known.windows:
        return [built(_within(record, 0.0, motion.seconds), motion)]
    return [_window_clip(record, window, motion) for window in known.windows]


def _window_clip(record: ClipRecord, window: Window, motion: Motion) -> Outcome:
    first = round(window.start * motion.fps)
    last = min(motion.frames, round(min(window.end, motion.seconds) * motion.fps))
    if last - first < 2:
        return Skipped(f"{record.id}#{window.name}", record.source, "window outside the recording")
    seconds = (last - first) / motion.fps
    captions = tuple(replace(c, end=min(c.end, seconds)) for c in window.captions if c.start < seconds)
    whole = tuple(text for c in captions if c.start <= 0 and c.end >= seconds - 0.1 for text in c.texts)
    labelled = _within(record, first / motion.fps, last / motion.fps)
    labelled = replace(labelled, id=f"{record.id}#{window.name}", captions=captions, texts=whole or record.texts,
                       split=window.split or record.split)  # fmt: skip
    return built(labelled, motion.slice(first, last))


def _within(record: ClipRecord, start: float, end: float) -> ClipRecord:
    """The record with its segments cut to [start, end) and counted from `start`; the action from what is left."""
    kept = [
        Segment(max(s.start, start) - start, min(s.end, end) - start, s.label)
        for s in record.segments
        if min(s.end, end) - max(s.start, start) > 0.1
    ]
    labels = list(dict.fromkeys(s.label for s in kept if s.label != _TRANSITION))
    action = record.action if len(labels) <= 1 else "sequence"
    captions = tuple(Caption(c.start - start, c.end - start, c.texts) for c in record.captions)
    return replace(record, segments=tuple(kept), action=action or (labels or [""])[0], captions=captions)


def _action(actions: Sequence[str]) -> str:
    counted = Counter(action for action in actions if action != _TRANSITION)
    return counted.most_common(1)[0][0] if counted else ""


def _bvh_clips(folder: Path, path: Path, body: BodyModel) -> list[Outcome]:
    from models.formats.bvh import read_bvh

    motion = read_bvh(path, body=body)
    place = path.relative_to(folder)
    words = " ".join(word for word in path.stem.replace("-", "_").split("_") if not word.isdigit()).lower()
    flags = ("spikes",) if _spikes(motion, body) else ()
    source = place.parts[0] if len(place.parts) > 1 else folder.name
    record = ClipRecord(id=place.with_suffix("").as_posix(), source=source, action=words, label=path.stem,
                        texts=(words,) if words else (), license=UNKNOWN_LICENCE, flags=flags,
                        split=stable_split(place.as_posix()))  # fmt: skip
    return [built(record, motion)]


def on_average_shape(motion: Motion, body: BodyModel) -> Motion:
    """The motion on the average shape of the body: rotations as they are, travel scaled by the length of the legs."""
    shaped = body.rest_joints(torch.from_numpy(np.asarray(motion.betas, np.float32))).numpy()
    plain = body.joint_template.numpy()
    scale = leg_length(plain[:22]) / leg_length(shaped[0, :22])
    root = (motion.root + shaped[:, None, 0]) * scale - plain[0]
    return replace(motion, root=root.astype(np.float32), betas=np.zeros_like(motion.betas))


def _spikes(motion: Motion, body: BodyModel) -> bool:
    from models.body.pose import motion_joints

    if motion.frames < 2:
        return False
    step = np.diff(motion_joints(motion, body), axis=1)
    return bool((np.linalg.norm(step, axis=-1) * motion.fps > FASTEST).any())


def stable_split(name: str) -> str:
    """Split of a recording that no annotation assigns: a fixed hash of its name, 80 / 10 / 10."""
    share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10
    return {0: "test", 1: "val"}.get(share, "train")
