"""Timelines on disk: STMC text, ActivityNet JSON, BABEL JSON, WebVTT, SRT and CSV, told apart by suffix and content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from laban.errors import LabanError
from laban.files import atomic_path
from laban.scores import activitynet, babel, stmc, subtitles, table
from laban.scores.source import Source, read_source
from laban.timeline import Timeline

READERS: dict[str, Callable[[Source], dict[str, Timeline]]] = {
    ".txt": stmc.read,
    ".json": lambda source: babel.read(source) if babel.recognise(source) else activitynet.read(source),
    ".vtt": subtitles.read_vtt,
    ".srt": subtitles.read_srt,
    ".csv": table.read,
    ".tsv": table.read,
}

WRITERS: dict[str, Callable[[Mapping[str, Timeline]], str]] = {
    ".txt": stmc.write,
    ".json": activitynet.write_database,
    ".vtt": subtitles.write_vtt,
    ".srt": subtitles.write_srt,
    ".csv": table.write,
    ".tsv": table.write_tabs,
}

JsonForm = Literal["activitynet", "results", "babel"]
JSON_WRITERS: dict[JsonForm, Callable[[Mapping[str, Timeline]], str]] = {
    "activitynet": activitynet.write_database,
    "results": activitynet.write_results,
    "babel": babel.write,
}


def read_timelines(path: str | Path) -> dict[str, Timeline]:
    """Every timeline of a file by its name: the video or sequence id, or the file's stem where the form has no names.

    Raises LabanError as `FILE:LINE: found X; accepted Y` (in JSON: `FILE: KEYS: …`).
    """
    path = Path(path)
    return READERS[_suffix(path)](read_source(path))


def read_timeline(path: str | Path) -> Timeline:
    """The one timeline of a file; LabanError when it holds none or several."""
    timelines = read_timelines(path)
    if len(timelines) != 1:
        names = ", ".join(list(timelines)[:3])
        raise LabanError(f"{path}: holds {len(timelines)} timelines ({names} …); accepted: a file with exactly one")
    return next(iter(timelines.values()))


def write_timelines(path: str | Path, timelines: Mapping[str, Timeline], form: JsonForm = "activitynet") -> None:
    """Write timelines, whole or not at all; the suffix picks the format, `form` the layout of a JSON file.

    CSV and ActivityNet JSON keep everything. STMC text keeps labels, times and body parts, BABEL JSON labels and times,
    subtitles labels and times to the millisecond. Raises LabanError for what a format cannot express at all.
    """
    path = Path(path)
    suffix = _suffix(path)
    write = JSON_WRITERS[form] if suffix == ".json" else WRITERS[suffix]
    try:
        text = write(timelines)
    except LabanError as error:
        raise LabanError(f"{path}: {error}") from None
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_timeline(path: str | Path, timeline: Timeline, form: JsonForm = "activitynet") -> None:
    """Write one timeline under the file's stem; see `write_timelines`."""
    write_timelines(path, {Path(path).stem: timeline}, form)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise LabanError(f"{path}: unknown timeline suffix {suffix!r}; accepted: {', '.join(READERS)}")
    return suffix
