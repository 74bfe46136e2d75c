"""From a dataset on disk to the bank of features a generator trains on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from models.body.mirror import mirror_rotations
from models.body.model import OPEN_BODY, load_body
from models.data.dataset import ClipRecord, MotionDataset
from models.data.sampling import Sampling, sampling_weights
from models.representation import rifke
from models.resample import resample
from models.text.captions import action_captions, captions_for, clean
from motion.training_data import Bank, Span

SHORTEST = 1.0
"""Seconds a span needs to be trained on."""
UNSUITABLE = frozenset(("spikes", "noisy", "short"))


def build_bank(
    dataset: MotionDataset, records: Sequence[ClipRecord], *, balance: float = 0.5, fps: float = rifke.LAYOUT.fps,
    quiet: bool = False,
) -> Bank:  # fmt: skip
    """Features of the records at `fps` (cached beside the dataset) and their captioned, balanced spans."""
    usable = [record for record in records if not UNSUITABLE & set(record.flags)]
    if not usable:
        raise LabanError(f"{dataset.folder}: no clip of the chosen split and licences is fit for training a generator")
    features, starts = _features(dataset, usable, fps, quiet=quiet)
    weights = sampling_weights(usable, Sampling(balance=balance))
    spans = []
    for record, start, stop, weight in zip(usable, starts, [*starts[1:], features.shape[1]], weights, strict=True):
        spans.extend(_spans(record, start, stop - start, float(weight), fps))
    return Bank(features, tuple(spans))


def _features(
    dataset: MotionDataset, records: Sequence[ClipRecord], fps: float, *, quiet: bool
) -> tuple[Float[ndarray, "2 rows 205"], list[int]]:
    rest = load_body(OPEN_BODY).joint_template.numpy()
    built = (dataset.folder / "rotations.npy").stat().st_mtime_ns  # a rebuilt dataset has other motions
    key = json.dumps([rifke.LAYOUT.name, built, rest.round(5).tolist(), [(r.id, r.start, r.frames) for r in records]])
    rate = "" if fps == rifke.LAYOUT.fps else f"-{fps:g}"
    path = dataset.folder / f"{rifke.LAYOUT.name}{rate}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
    if not path.exists():
        pairs, starts, rows = [], [], 0
        with progress("encoding clips", len(records), quiet=quiet) as advance:
            for record in records:
                pairs.append(_encode(dataset, record, rest, fps))
                starts.append(rows)
                rows += pairs[-1].shape[1]
                advance(1)
        with atomic_path(path) as temporary:
            np.savez(temporary, features=np.concatenate(pairs, 1), starts=np.array(starts))
    with np.load(path) as stored:
        return stored["features"], stored["starts"].tolist()


def _encode(
    dataset: MotionDataset, record: ClipRecord, rest: Float[ndarray, "55 3"], fps: float
) -> Float[ndarray, "2 rows 205"]:
    motion = resample(dataset.motion(record), fps)
    rotations, root = motion.rotations[0, :, :22], motion.root[0]
    mirrored = mirror_rotations(rotations, root)
    both = [rifke.encode(rotations, root, rest), rifke.encode(*mirrored, rest)]
    return np.stack(both).astype(np.float16)


def _spans(record: ClipRecord, start: int, frames: int, weight: float, fps: float) -> list[Span]:
    """The whole clip, or, for clips whose segments are marked, mostly the segments."""
    whole = Span(start, frames, record.action, tuple(captions_for(record)), weight)
    parts = []
    for segment in record.segments if record.action == "sequence" else ():
        first, last = (round(t * fps) for t in (segment.start, segment.end))
        if (length := min(last, frames) - first) >= SHORTEST * fps:
            captions = [c for group in action_captions(segment.label).values() for c in group] or [clean(segment.label)]
            parts.append(Span(start + first, length, segment.label, tuple(captions), 0.0))
    spans = [whole] if frames >= SHORTEST * fps else []
    if parts:
        shared = [Span(p.start, p.frames, p.action, p.captions, 0.7 * weight / len(parts)) for p in parts]
        spans = [Span(start, frames, whole.action, whole.captions, 0.3 * weight), *shared]
    return spans
