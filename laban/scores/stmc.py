"""The multi-track text form of STMC (Petrovich et al. 2024): one interval a line, a blank line between timelines.

text # start # end # body part # body part
"""

from __future__ import annotations

from collections.abc import Mapping

from laban.errors import LabanError
from laban.scores.source import Source, number
from laban.timeline import Segment, Timeline

SHAPE = "text # start # end # body part # body part …"


def read(source: Source) -> dict[str, Timeline]:
    """The timelines of a file: one is named after the file, several are numbered from 1."""
    groups: list[list[Segment]] = [[]]
    for line_number, line in enumerate(source.lines(), 1):
        if line.strip():
            with source.at(line_number):
                groups[-1].append(_segment(line))
        elif groups[-1]:
            groups.append([])
    timelines = [Timeline(tuple(group)) for group in groups if group]
    if not timelines:
        raise source.fail(f"holds no interval; accepted: lines of '{SHAPE}'")
    if len(timelines) == 1:
        return {source.path.stem: timelines[0]}
    return {str(position): timeline for position, timeline in enumerate(timelines, 1)}


def _segment(line: str) -> Segment:
    fields = [field.strip() for field in line.split("#")]
    if len(fields) < 3:
        raise LabanError(f"found {line.strip()[:80]!r}; accepted: '{SHAPE}'")
    label, start, end, *parts = fields
    return Segment(number(start, "start"), number(end, "end"), label, tuple(parts))


def write(timelines: Mapping[str, Timeline]) -> str:
    """The text; LabanError for a label with '#' and for a timeline without segments, which the form cannot express."""
    blocks = []
    for name, timeline in timelines.items():
        if not timeline.segments:
            raise LabanError(f"timeline {name!r} has no segments; STMC text cannot keep an empty timeline")
        blocks.append("".join(_line(segment) for segment in timeline.segments))
    return "\n".join(blocks)


def _line(segment: Segment) -> str:
    if "#" in segment.label:
        raise LabanError(f"label {segment.label!r} holds '#', which separates the fields of STMC text")
    return " # ".join([segment.label, repr(segment.start), repr(segment.end), *segment.parts]) + "\n"
