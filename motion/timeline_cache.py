"""Generated performances of timelines as joint features, kept on disk: a long evaluation goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.timeline import Timeline
from models.formats.arrays import read_npz
from models.motion import Motion
from models.motion_text.features import features_of
from motion.timeline_items import Item

CHUNK = 12
"""Timelines between two savings."""
APART = 100_000
"""Between the seeds of two repeats; timeline i of repeat r is drawn from APART * r + i."""

Features = Float[ndarray, "_ 133"]
TimelineFunction = Callable[[list[Timeline], str, str, int], list[Motion]]
"""(timelines, method, checkpoint, seed) -> one motion of one actor each; timeline i from seed + i."""


@dataclass(frozen=True)
class Source:
    """One generated row: a method of a checkpoint, and everything that its motions depend on besides the seed."""

    method: str
    checkpoint: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def path(self, folder: Path, repeat: int) -> Path:
        """The file of one repeat; other settings have another file."""
        digest = _digest([self.method, self.checkpoint, dict(self.settings)])
        slug = re.sub(r"[^a-z0-9]+", "-", f"{self.method}-{Path(self.checkpoint).name}".lower())
        return folder / f"{slug}-r{repeat}-{digest}.npz"


def performances(
    items: Sequence[Item], source: Source, generate: TimelineFunction, *, repeat: int = 0, cache: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Features]:  # fmt: skip
    """Joint features of every timeline, from the cache where it has them; new ones are saved every `CHUNK` timelines.

    LabanError when the generator gives another number of motions, or one of another length than its timeline.
    """
    digests = [_digest([item.id, [repr(s) for s in item.timeline.segments], item.timeline.duration]) for item in items]
    path = None if cache is None else source.path(cache, repeat)
    done = {} if path is None else _read(path)
    advance(sum(digest in done for digest in digests))
    for first in range(0, len(items), CHUNK):
        chunk = range(first, min(first + CHUNK, len(items)))
        if all(digests[i] in done for i in chunk):
            continue
        scores = [items[i].timeline for i in chunk]
        motions = generate(scores, source.method, source.checkpoint, APART * repeat + first)
        if len(motions) != len(scores):
            raise LabanError(f"{source.method}: gave {len(motions)} motions for {len(scores)} timelines")
        new = sum(digests[i] not in done for i in chunk)
        for i, motion in zip(chunk, motions, strict=True):
            features = features_of(motion)[0]
            if abs(len(features) - items[i].frames) > 1:
                raise LabanError(f"{source.method}: timeline {items[i].id} came with {len(features)} frames at 20 fps; "
                                 f"accepted: {items[i].frames}")  # fmt: skip
            done[digests[i]] = features.astype(np.float32)
        if path is not None:
            _write(path, done)
        advance(new)
    return [done[digest] for digest in digests]


def _read(path: Path) -> dict[str, Features]:
    if not path.is_file():
        return {}
    found = read_npz(path, ("names", "ends", "features"))
    if set(found) != {"names", "ends", "features"}:
        raise LabanError(f"{path}: holds {', '.join(found) or 'nothing'}; accepted: names, ends, features; delete it")
    names, ends, features = found["names"].tolist(), found["ends"], found["features"]
    if (
        features.ndim != 2
        or features.shape[1] != 133
        or len(names) != len(ends)
        or (len(ends) and ends[-1] != len(features))
    ):
        raise LabanError(f"{path}: its arrays do not fit together; delete it, and it is made anew")
    return dict(zip(names, np.split(features, ends[:-1]), strict=True))


def _write(path: Path, done: Mapping[str, Features]) -> None:
    with atomic_path(path) as temporary:
        np.savez(temporary, names=np.array(list(done)), ends=np.cumsum([len(rows) for rows in done.values()]),
                 features=np.concatenate(list(done.values())))  # fmt: skip


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
