"""CSV and TSV with a header line: `start`, `end`, `label`, and as wanted `parts` (joined by bars), `actor`, `track`,
`score`, `timeline` (a name, for several in one file), `duration`, and `gentime` (of online detections).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from laban.errors import LabanError
from laban.scores.source import Source, number, whole_number
from laban.timeline import Segment, Timeline

REQUIRED = ("start", "end", "label")
COLUMNS = ("timeline", *REQUIRED, "parts", "actor", "track", "score", "duration")
GENTIME = "gentime"
"""Written where a segment has one."""
ACCEPTED = (*COLUMNS, GENTIME)
ALIASES = {"text": "label", "action": "label", "video": "timeline", "name": "timeline"}
DELIMITERS = ",;\t"


def read(source: Source, bad: Callable[[int, str], None] | None = None) -> dict[str, Timeline]:
    """Timelines by the `timeline` column, else one named after the file; a header alone is one empty timeline.

    `bad` is told the line and the reason of each row that is wrong, which is then left out; without it the first one is
    a LabanError.
    """
    lines = source.lines()
    delimiter = max(DELIMITERS, key=lines[0].count)
    rows = csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, strict=True)
    segments: dict[str, list[Segment]] = {}
    durations: dict[str, float] = {}
    try:
        columns = _columns(source, next(rows, []))
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            try:
                name, segment, duration = _row(columns, row, source.path.stem)
            except LabanError as error:
                if bad is None:
                    raise source.fail(str(error), rows.line_num) from None
                bad(rows.line_num, str(error))
                continue
            segments.setdefault(name, []).append(segment)
            durations[name] = max(duration, durations.get(name, 0.0))
    except csv.Error as error:
        raise source.fail(f"is not a table ({error})", rows.line_num) from None
    if not segments:
        return {source.path.stem: Timeline()}
    return {name: Timeline(tuple(found), durations[name]) for name, found in segments.items()}


def _columns(source: Source, header: list[str]) -> list[str]:
    names = [ALIASES.get(cell.strip().lower(), cell.strip().lower()) for cell in header]
    unknown = [name for name in names if name not in ACCEPTED]
    if unknown:
        near = get_close_matches(unknown[0], [*ACCEPTED, *ALIASES], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise source.fail(f"found column {unknown[0]!r}{hint}; accepted: {', '.join(ACCEPTED)}", 1)
    missing = [name for name in REQUIRED if name not in names]
    if missing or len(set(names)) != len(names):
        wrong = f"has no column {missing[0]!r}" if missing else "names a column twice"
        raise source.fail(f"the header {wrong}; accepted: {', '.join(ACCEPTED)}, of which start, end, label", 1)
    return names


def _row(columns: list[str], row: list[str], stem: str) -> tuple[str, Segment, float]:
    if len(row) != len(columns):
        raise LabanError(f"found {len(row)} cells; accepted: {len(columns)}, as in the header")
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True) if cell.strip()}
    for name in REQUIRED:
        if name not in cells:
            raise LabanError(f"{name} is empty")
    segment = Segment(
        number(cells["start"], "start"),
        number(cells["end"], "end"),
        cells["label"],
        tuple(cells["parts"].split("|")) if "parts" in cells else (),
        actor=whole_number(cells.get("actor", "0"), "actor"),
        track=whole_number(cells.get("track", "0"), "track"),
        score=number(cells.get("score", "1"), "score"),
        gentime=number(cells[GENTIME], GENTIME) if GENTIME in cells else None,
    )
    duration = Timeline((segment,), number(cells.get("duration", "0"), "duration")).duration
    return cells.get("timeline", stem), segment, duration


def write(timelines: Mapping[str, Timeline]) -> str:
    """The table with every column, separated by commas; LabanError for a timeline without segments beside others."""
    return _write(timelines, ",")


def write_tabs(timelines: Mapping[str, Timeline]) -> str:
    """The same, separated by tabs."""
    return _write(timelines, "\t")


def _write(timelines: Mapping[str, Timeline], delimiter: str) -> str:
    empty = [name for name, timeline in timelines.items() if not timeline.segments]
    if empty and len(timelines) > 1:
        raise LabanError(f"timeline {empty[0]!r} has no segments; a table of several cannot keep an empty timeline")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    online = any(s.gentime is not None for timeline in timelines.values() for s in timeline.segments)
    writer.writerow(ACCEPTED if online else COLUMNS)
    for name, timeline in timelines.items():
        for s in timeline.segments:
            times = repr(s.start), repr(s.end)
            cells = [name, *times, s.label, "|".join(s.parts), s.actor, s.track, s.score, timeline.duration]
            writer.writerow([*cells, "" if s.gentime is None else s.gentime] if online else cells)
    return out.getvalue()
