"""WebVTT and SubRip: a timeline as subtitles, for any video player. Times are kept to the millisecond."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping

from laban.errors import LabanError
from laban.scores.source import Source
from laban.timeline import Segment, Timeline

STAMP = r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})"
TIMING = re.compile(rf"\s*{STAMP}\s+-->\s+{STAMP}(?:\s.*)?$")
VTT_TAG = re.compile(r"<[^<>]*>")
NOT_CUES = ("NOTE", "STYLE", "REGION")
SHAPE = "00:00:01.500 --> 00:00:04.000"
Block = list[tuple[int, str]]


def read_vtt(source: Source) -> dict[str, Timeline]:
    """The cues of a WebVTT file; comments, styles, cue settings and markup are passed over."""
    first, *blocks = _blocks(source.lines()) or [[(1, "")]]
    if not re.match(r"WEBVTT(\s|$)", first[0][1]) or first[0][0] != 1:
        raise source.fail(f"found {first[0][1][:40]!r}; accepted: 'WEBVTT' as the first line of a .vtt file", 1)
    for line, text in first:
        if "-->" in text:
            raise source.fail("found a cue in the header; accepted: a blank line after 'WEBVTT'", line)
    cues = [block for block in blocks if block[0][1].split(maxsplit=1)[0] not in NOT_CUES]
    return {source.path.stem: Timeline(tuple(_cue(source, cue, markup=True) for cue in cues))}


def read_srt(source: Source) -> dict[str, Timeline]:
    """The entries of a SubRip file."""
    return {source.path.stem: Timeline(tuple(_cue(source, b, markup=False) for b in _blocks(source.lines())))}


def _blocks(lines: Iterable[str]) -> list[Block]:
    """Runs of non-blank lines, each line with its number from 1."""
    blocks: list[Block] = [[]]
    for position, line in enumerate(lines, 1):
        if line.strip():
            blocks[-1].append((position, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _cue(source: Source, block: Block, *, markup: bool) -> Segment:
    timing_at = 0 if "-->" in block[0][1] or len(block) == 1 else 1
    line, timing = block[timing_at]
    match = TIMING.match(timing)
    if not match:
        raise source.fail(f"found {timing.strip()[:60]!r}; accepted: a timing such as '{SHAPE}'", line)
    text = " ".join(content for _, content in block[timing_at + 1 :])
    if markup:
        text = html.unescape(VTT_TAG.sub("", text))
    with source.at(line):
        return Segment(_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), text)


def _seconds(fields: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(field or 0) for field in fields)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths) / 1000


def write_vtt(timelines: Mapping[str, Timeline]) -> str:
    """One timeline as WebVTT; LabanError for several."""
    cues = (
        f"\n{start} --> {end}\n{html.escape(label, quote=False)}\n" for start, end, label in _stamped(timelines, ".")
    )
    return "WEBVTT\n" + "".join(cues)


def write_srt(timelines: Mapping[str, Timeline]) -> str:
    """One timeline as SubRip; LabanError for several."""
    entries = enumerate(_stamped(timelines, ","), 1)
    return "\n".join(f"{position}\n{start} --> {end}\n{label}\n" for position, (start, end, label) in entries)


def _stamped(timelines: Mapping[str, Timeline], point: str) -> Iterator[tuple[str, str, str]]:
    if len(timelines) != 1:
        raise LabanError(f"subtitles hold one timeline; found {len(timelines)}")
    for segment in next(iter(timelines.values())).segments:
        start = round(segment.start * 1000)
        # An interval shorter than the format's millisecond must not come out empty.
        end = max(round(segment.end * 1000), start + 1)
        yield _stamp(start, point), _stamp(end, point), segment.label


def _stamp(thousandths: int, point: str) -> str:
    seconds, rest = divmod(thousandths, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{point}{rest:03d}"
