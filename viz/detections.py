"""Detections as a figure: a row for each class over seconds with scores and truth, and pictures of every segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import UInt8
from numpy import ndarray

from laban.timeline import Segment, Timeline, clock
from viz.palette import FAINT, INK, PAPER, ink_on, label_colors, web
from viz.sheet import Thumbnails, chosen_segments, segment_row, time_row
from viz.timeline import DPI, FIGURE_SUFFIXES, WIDTH, save_figure, shorten, style_time_axis
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from viz.cast import Color

LEFT, RIGHT, TOP, AXIS, ROW, BAND = 1.75, 0.25, 0.5, 0.42, 0.40, 0.95
SHEET_ROW, SHEET_GAP, HEADING, LEGEND = 1.05, 0.10, 0.34, 3.2
"""Inches."""
MOST_ROWS = 40
MOST_SHEETS = 12
QUIET = (104, 113, 128)


@dataclass(frozen=True)
class Row:
    """One class of one person: what was found, and what is true; either may be empty."""

    label: str
    actor: int
    found: tuple[Segment, ...] = ()
    truth: tuple[Segment, ...] = ()


def draw_detections(
    found: Timeline,
    path: str | Path,
    *,
    title: str = "",
    truth: Timeline | None = None,
    thumbnails: Thumbnails | None = None,
) -> None:
    """Write detections as a figure (png, svg, pdf, jpg or webp).

    A row holds one class (of one person, where there are several): bars with their scores, and below them outlined
    what is true. With `thumbnails`, pictures of the whole video stand under the axis where they were taken, and under
    those a row of pictures for each segment, for the best ones where there are many. LabanError for another suffix.
    """
    path = Path(path)
    check_suffix(path, FIGURE_SUFFIXES)
    save_figure(detections_figure(found, title=title, truth=truth, thumbnails=thumbnails), path)


def detection_rows(found: Timeline, truth: Timeline | None = None) -> list[Row]:
    """The rows in order of person and first appearance; at most `MOST_ROWS`, those with the best scores.

    The truth does not say whose it is: it joins the first person's row of its class.
    """
    keys = dict.fromkeys((s.actor, s.label) for s in sorted(found.segments, key=lambda s: (s.actor, s.start)))
    of_truth = truth.segments if truth is not None else ()
    for segment in of_truth:
        if not any(label == segment.label for _, label in keys):
            keys[(0, segment.label)] = None
    rows = []
    given: set[str] = set()
    for actor, label in sorted(keys, key=lambda key: key[0]):
        mine = tuple(s for s in found.segments if (s.actor, s.label) == (actor, label))
        true = () if label in given else tuple(s for s in of_truth if s.label == label)
        given.add(label)
        rows.append(Row(label, actor, mine, true))
    best = sorted(rows, key=lambda row: -max([s.score for s in row.found], default=1.0))[:MOST_ROWS]
    return [row for row in rows if any(row is other for other in best)]


def detections_figure(
    found: Timeline, *, title: str = "", truth: Timeline | None = None, thumbnails: Thumbnails | None = None
) -> Figure:
    """The matplotlib figure of `draw_detections`."""
    from matplotlib.figure import Figure

    rows = detection_rows(found, truth)
    pictures = thumbnails is not None and bool(thumbnails.times)
    sheet = chosen_segments(found, MOST_SHEETS) if pictures else []
    colors = label_colors([row.label for row in rows])
    bars = max(len(rows), 1) * ROW
    band = BAND if pictures else 0.0
    below = HEADING + len(sheet) * (SHEET_ROW + SHEET_GAP) if sheet else 0.05
    height = TOP + bars + AXIS + band + below
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    inner = WIDTH - LEFT - RIGHT

    def place(left: float, top: float, width: float, tall: float) -> Axes:
        return figure.add_axes((left / WIDTH, 1 - (top + tall) / height, width / WIDTH, tall / height))

    duration = max([found.duration, 1e-3, *([truth.duration] if truth is not None else [])])
    axes = place(LEFT, TOP, inner, bars)
    style_time_axis(axes, duration, max(len(rows), 1))
    _heading(figure, height, title, legend=truth is not None and bool(truth.segments))
    _draw_rows(axes, rows, colors, several=len({row.actor for row in rows}) > 1)
    if thumbnails is not None and pictures:
        strip = place(LEFT, TOP + bars + AXIS, inner, band - 0.1)
        show_picture(strip, time_row(thumbnails, duration, pixels(inner, band - 0.1)))
        top = TOP + bars + AXIS + band
        if sheet:
            _left_text(figure, height, top + HEADING / 2, _sheet_title(sheet, found), QUIET)
        for index, segment in enumerate(sheet):
            at = top + HEADING + index * (SHEET_ROW + SHEET_GAP)
            draw_sheet_row(place(0.0, at, WIDTH, SHEET_ROW), thumbnails, segment, colors[segment.label])
    return figure


def _heading(figure: Figure, height: float, title: str, *, legend: bool) -> None:
    text = figure.text(LEFT / WIDTH, 1 - TOP / 2 / height, title, ha="left", va="center", color=web(INK), fontsize=10)
    shorten(text, (WIDTH - LEFT - RIGHT - (LEGEND if legend else 0)) * DPI)
    if legend:
        figure.text(1 - RIGHT / WIDTH, 1 - TOP / 2 / height, "filled: found, with its score    outlined: truth",
                    ha="right", va="center", color=web(QUIET), fontsize=8.5)  # fmt: skip


def _draw_rows(axes: Axes, rows: Sequence[Row], colors: dict[str, Color], *, several: bool) -> None:
    room = LEFT * DPI - 24
    for line, row in enumerate(rows):
        if line % 2 == 0:
            axes.axhspan(line, line + 1, color=web(FAINT), alpha=0.28, linewidth=0)
        name = f"{row.actor + 1}  {row.label}" if several else row.label
        text = axes.text(-0.008, line + 0.5, name, transform=axes.get_yaxis_transform(), ha="right", va="center",
                         color=web(INK), fontsize=9)  # fmt: skip
        shorten(text, room)
        if line and row.actor != rows[line - 1].actor:
            axes.axhline(line, color=web(INK), linewidth=0.6)
        top, tall = (line + 0.12, 0.48) if row.truth else (line + 0.18, 0.64)
        for segment in sorted(row.found, key=lambda s: -s.seconds):  # short ones lie on top of long ones
            after = min((s.start for s in row.found if s.start > segment.start), default=None)
            _draw_bar(axes, segment, (top, tall), colors[row.label], after)
        for segment in row.truth:
            axes.add_patch(_box(segment.start, line + 0.68, segment.seconds, 0.20, facecolor="none",
                                edgecolor=web(colors[row.label]), linewidth=1.4))  # fmt: skip
    if not rows:
        axes.text(0.5, 0.5, "nothing found", transform=axes.transAxes, ha="center", va="center", color=web(QUIET),
                  fontsize=10)  # fmt: skip


def _draw_bar(axes: Axes, segment: Segment, span: tuple[float, float], color: Color, after: float | None) -> None:
    """A bar with its score: inside where it fits, else behind it where nothing follows."""
    axes.add_patch(_box(segment.start, span[0], segment.seconds, span[1], facecolor=web(color),
                        edgecolor=web(PAPER), linewidth=0.8))  # fmt: skip
    second = axes.get_window_extent().width / axes.get_xlim()[1]
    text = axes.text((segment.start + segment.end) / 2, span[0] + span[1] / 2, f"{segment.score:.2f}", ha="center",
                     va="center_baseline", fontsize=8, color=web(ink_on(color)), clip_on=True)  # fmt: skip
    wide = text.get_window_extent().width + 6
    if segment.seconds * second >= wide:
        return
    end = after if after is not None else axes.get_xlim()[1]
    if (end - segment.end) * second >= wide:
        text.set(x=segment.end + 3 / second, ha="left", color=web(INK))
    else:
        text.remove()


def _box(x: float, y: float, width: float, height: float, **looks: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, **looks)


def _sheet_title(sheet: Sequence[Segment], found: Timeline) -> str:
    count = len(found.segments)
    return "what was found" if len(sheet) == count else f"the best {len(sheet)} of {count} segments, in order of time"


def _left_text(figure: Figure, height: float, top: float, text: str, color: Color) -> None:
    figure.text(LEFT / WIDTH, 1 - top / height, text, ha="left", va="center", color=web(color), fontsize=8.5)


def draw_sheet_row(axes: Axes, thumbnails: Thumbnails, segment: Segment, color: Color) -> None:
    """The segment's label, times and score in the margin, then its pictures with the second at which each was taken."""
    inner = WIDTH - LEFT - RIGHT
    picture, places = segment_row(thumbnails, segment.start, segment.end, pixels(inner, SHEET_ROW))
    axes.set(xlim=(0, WIDTH), ylim=(SHEET_ROW, 0))
    axes.axis("off")
    extent: Any = (LEFT, LEFT + inner, SHEET_ROW, 0)
    axes.imshow(picture, extent=extent, aspect="auto", interpolation="none")
    axes.add_patch(_box(LEFT - 0.1, 0, 0.06, SHEET_ROW, facecolor=web(color), linewidth=0))
    lines = (segment.label, f"{clock(segment.start)} - {clock(segment.end)}", f"score {segment.score:.2f}")
    for index, (line, ink) in enumerate(zip(lines, (INK, QUIET, QUIET), strict=True)):
        text = axes.text(LEFT - 0.2, SHEET_ROW / 2 + (index - 1) * 0.21, line, ha="right", va="center",
                         color=web(ink), fontsize=9.5 if index == 0 else 8.5)  # fmt: skip
        shorten(text, (LEFT - 0.3) * DPI)
    for time, x in places:
        axes.text(LEFT + x / DPI + 0.05, SHEET_ROW - 0.05, clock(time), ha="left", va="bottom", fontsize=7.5,
                  color=web(PAPER), bbox={"facecolor": web(INK), "alpha": 0.65, "pad": 1.6, "lw": 0})  # fmt: skip


def pixels(width: float, height: float) -> tuple[int, int]:
    """Inches to whole pixels."""
    return max(round(width * DPI), 1), max(round(height * DPI), 1)


def show_picture(axes: Axes, picture: UInt8[ndarray, "height width 3"]) -> None:
    """A picture that fills its axes."""
    axes.imshow(picture, aspect="auto", interpolation="none")
    axes.axis("off")
