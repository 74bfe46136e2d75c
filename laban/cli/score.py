"""`laban generate SCORE`: a timeline file in, one motion in which everything happens at its time out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laban.errors import LabanError
from laban.progress import progress
from laban.scores import READERS, read_timelines
from laban.timeline import Timeline

if TYPE_CHECKING:
    from models.motion import Motion
    from models.text.parts import Labeller
    from motion.compose import Control
    from motion.constraints import Constraints
    from motion.generate import GenerateConfig

FIGURES = (".png", ".svg")
"""The score above the motion's poses: written beside each result."""


@dataclass(frozen=True)
class Performance:
    """One score of a file, the motions made for it, and the parts of each interval with the reason."""

    name: str
    timeline: Timeline
    motions: list[Motion]
    parts: list[tuple[tuple[str, ...], str]]

    def lines(self) -> list[str]:
        """For the terminal: an interval a line."""
        return [f"{segment.start:6.2f} to {segment.end:6.2f} s  {segment.label}: {', '.join(parts)} ({because})"
                for segment, (parts, because) in zip(self.timeline.segments, self.parts, strict=True)]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries."""
        intervals = [{"text": segment.label, "start": segment.start, "end": segment.end, "parts": list(parts),
                      "because": because}
                     for segment, (parts, because) in zip(self.timeline.segments, self.parts, strict=True)]  # fmt: skip
        return {"name": self.name, "seconds": self.timeline.duration, "intervals": intervals}


def is_score(text: str) -> bool:
    """Whether the argument of `laban generate` names a file of timelines, not a sentence.

    Raises LabanError for a file that is not there, or a file of another kind.
    """
    path = Path(text)
    if path.suffix.lower() in READERS and not any(c.isspace() for c in path.suffix):
        if not path.is_file() and (" " not in text or path.parent != Path()):
            raise LabanError(f"{text}: no such file; accepted: a sentence, or a score ({', '.join(READERS)})")
        return path.is_file()
    try:
        exists = path.is_file()
    except OSError:  # a sentence longer than a file's name may be
        return False
    if exists:
        raise LabanError(f"{text}: unknown score suffix {path.suffix!r}; accepted: {', '.join(READERS)}, or a sentence")
    return False


def perform(
    path: Path, n: int, *, checkpoint: str, config: GenerateConfig, control: Control, labeller: Labeller | None,
    quiet: bool, constraints: Constraints | None = None,
) -> list[Performance]:  # fmt: skip
    """Every score of the file, `n` times; the whole file is checked before anything is generated."""
    from models.text.parts import PartReading, explain
    from motion.compose import generate_timelines
    from motion.prompts import check

    found = []
    for name, timeline in read_timelines(path).items():
        where = path if name == path.stem else f"{path}: timeline {name}"
        try:
            check(timeline)
        except LabanError as error:
            raise LabanError(f"{where}: {error}") from None
        silent = [segment.label for segment in timeline.segments if not segment.parts]
        read = iter(explain(silent, labeller) if silent else ())
        told = [PartReading(s.parts, "as written") if s.parts else next(read) for s in timeline.segments]
        parts = [(reading.parts, reading.because) for reading in told]
        found.append(Performance(name, timeline, [], parts))
    with progress("sampling", n * len(found), quiet=quiet) as advance:
        for k, one in enumerate(found):
            inferred = [p for s, (p, _) in zip(one.timeline.segments, one.parts, strict=True) if not s.parts]
            one.motions.extend(
                generate_timelines(
                    [one.timeline] * n, checkpoint=checkpoint, config=replace(config, seed=config.seed + n * k),
                    control=control, parts_of=partial(_said, inferred), constraints=constraints,
                    progress=advance,
                )
            )  # fmt: skip
    return found


def _said(parts: list[tuple[str, ...]], texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The parts that were already read and shown, for the prompts that name none."""
    return parts


def settings(
    method: str, overlap: float, config: GenerateConfig, *, as_published: bool
) -> tuple[Control, GenerateConfig]:
    """How scores are composed and sampled; `as_published` is what STMC's authors do, whatever else is asked."""
    from motion.compose import AS_PUBLISHED, Control
    from motion.windows import method_named

    if not as_published:
        return Control(method_named(method), overlap), config
    return replace(AS_PUBLISHED, method=method_named(method)), replace(config, steps=100, method="ddpm", candidates=1)


def labeller_at(url: str | None, model: str | None) -> Labeller | None:
    """The language model that is asked for body parts; its key is the environment's LABAN_LABELLER_KEY."""
    from models.text.part_llm import LlmLabeller

    if url is None:
        return None
    return LlmLabeller(url, model or "default", os.environ.get("LABAN_LABELLER_KEY") or None)


def figure_files(targets: Sequence[Path]) -> list[Path]:
    """The figures of a result: those asked for, else PNG and SVG beside its first file."""
    asked = [path for path in targets if path.suffix.lower() in FIGURES]
    return asked or [targets[0].with_suffix(suffix) for suffix in FIGURES]
