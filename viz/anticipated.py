"""What was observed and what is foreseen as a figure: one track of the past, one of each future with probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laban.timeline import Segment, Timeline
from viz.palette import FAINT, INK, PAPER, ink_on, label_colors, web
from viz.timeline import DPI, FIGURE_SUFFIXES, WIDTH, save_figure, shorten, style_time_axis
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from viz.cast import Color

LEFT, RIGHT, TOP, AXIS, ROW = 1.05, 0.25, 0.62, 0.42, 0.62
"""Inches."""
PAST = 0.4
"""Share of the width that the past may take; what is older is cut off."""


def draw_anticipated(
    observed: Timeline, futures: Sequence[Timeline], path: str | Path, *, now: float, title: str = "",
    truth: Timeline | None = None, tracks: tuple[str, str] = ("observed", "future"),
) -> None:  # fmt: skip
    """Write the figure: past, what really followed (where it is known), and futures, the most useful first.

    A foreseen action's strength of colour is its score, the probability that it comes at that place, which also stands
    below its name. Raises LabanError for another suffix than png, svg, pdf, jpg or webp.
    """
    path = Path(path)
    check_suffix(path, FIGURE_SUFFIXES)
    save_figure(anticipated_figure(observed, futures, now=now, title=title, truth=truth, tracks=tracks), path)


def anticipated_figure(
    observed: Timeline, futures: Sequence[Timeline], *, now: float, title: str = "", truth: Timeline | None = None,
    tracks: tuple[str, str] = ("observed", "future"),
) -> Figure:  # fmt: skip
    """The matplotlib figure of `draw_anticipated`; `tracks` are the words before the past and before each future."""
    from matplotlib.figure import Figure

    end = max([now + 1e-3, *(future.duration for future in futures)])
    begin = max(0.0, now - (end - now) * PAST / (1 - PAST))
    lanes = _lanes([s for s in observed.segments if s.end > begin])
    rows: list[tuple[str, list[Segment], bool]] = [(tracks[0] if not i else "", lane, False) for i, lane in
                                                   enumerate(lanes)]  # fmt: skip
    if truth is not None:
        later = [s for s in truth.segments if now <= s.start < end]
        rows += [("followed" if not i else "", lane, False) for i, lane in enumerate(_lanes(later))]
    for number, future in enumerate(futures, 1):
        rows += [(f"{tracks[1]} {number}" if not i else "", lane, True) for i, lane in
                 enumerate(_lanes(list(future.segments)))]  # fmt: skip
    height = TOP + len(rows) * ROW + AXIS
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    inner = (WIDTH - LEFT - RIGHT) / WIDTH
    axes = figure.add_axes((LEFT / WIDTH, AXIS / height, inner, len(rows) * ROW / height))
    style_time_axis(axes, end, len(rows))
    axes.set_xlim(begin, end)
    axes.axvline(now, color=web(INK), linewidth=1.2)
    axes.text(now, -0.08, "now", ha="center", va="bottom", fontsize=8.5, color=web(INK))
    axes.text(begin, -0.45, title, ha="left", va="bottom", fontsize=9.5, color=web(INK))
    colors = label_colors(segment.label for _, lane, _ in rows for segment in lane)
    for line, (name, lane, foreseen) in enumerate(rows):
        if line and name:
            axes.axhline(line, color=web(FAINT), linewidth=0.8)
        axes.text(-0.008, line + 0.5, name, transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=web(INK), fontsize=8.5)  # fmt: skip
        for segment in lane:
            _bar(axes, segment, line, colors[segment.label], foreseen=foreseen)
    return figure


def _lanes(segments: list[Segment]) -> list[list[Segment]]:
    """At least one row; what overlaps goes to the next one that is free."""
    lanes: list[list[Segment]] = [[]]
    for segment in segments:
        free = next((lane for lane in lanes if not lane or lane[-1].end <= segment.start + 1e-9), None)
        if free is None:
            lanes.append([segment])
        else:
            free.append(segment)
    return lanes


def _bar(axes: Axes, segment: Segment, line: int, color: Color, *, foreseen: bool) -> None:
    from matplotlib.patches import Rectangle

    strength = 0.15 + 0.75 * min(max(segment.score, 0.0), 1.0) if foreseen else 1.0
    shade = [round(strength * value + (1 - strength) * paper) for value, paper in zip(color, PAPER, strict=True)]
    low, high = axes.get_xlim()
    axes.add_patch(Rectangle((segment.start, line + 0.1), segment.seconds, 0.8, facecolor=web(shade),
                             edgecolor=web(color), linewidth=0.8, linestyle="--" if foreseen else "-"))  # fmt: skip
    seen = max(segment.start, low)
    pixels = (segment.end - seen) / (high - low) * axes.get_window_extent().width - 5
    middle, height = (seen + segment.end) / 2, line + (0.38 if foreseen else 0.5)
    ink = web(ink_on(shade))
    text = axes.text(middle, height, segment.label, ha="center", va="center", fontsize=8, color=ink, clip_on=True)
    shorten(text, pixels)
    if foreseen:
        chance = axes.text(middle, line + 0.68, f"{100 * segment.score:.0f} %", ha="center", va="center", fontsize=6.5,
                           color=ink, clip_on=True)  # fmt: skip
        shorten(chance, pixels)
