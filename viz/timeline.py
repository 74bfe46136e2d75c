"""A score as a figure: tracks as rows over seconds, with the motion's filmstrip beneath."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laban.files import atomic_path
from laban.timeline import Segment, Timeline
from models.motion import Motion
from viz import palette
from viz.filmstrip import POSE_WIDTH, filmstrip
from viz.movie import Look
from viz.palette import ink_on, label_colors, web
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from models.body.model import BodyModel
    from viz.cast import Color

FIGURE_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
INK, FAINT, PAPER = (web(color) for color in (palette.INK, palette.FAINT, palette.PAPER))
WIDTH, MARGIN_LEFT, MARGIN_RIGHT = 12.8, 1.15, 0.25
ROW, STRIP, AXIS, TOP = 0.42, 2.7, 0.42, 0.22
DPI = 125
"""Inches, and pixels an inch."""


def draw_timeline(
    timeline: Timeline,
    path: str | Path,
    motion: Motion | None = None,
    *,
    look: Look | None = None,
    body: BodyModel | None = None,
) -> None:
    """Write a timeline as a figure (png, svg, pdf, jpg or webp), above poses of `motion` when there is one.

    A row is one actor's body parts or track; what overlaps within it takes several lines. Equal labels have equal
    colours; a score below 1 pales its bar. A pose stands at the time it was taken.
    Raises LabanError for another suffix or a place that cannot be written.
    """
    path = Path(path)
    check_suffix(path, FIGURE_SUFFIXES)
    save_figure(timeline_figure(timeline, motion, look=look, body=body), path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix; the same figure gives the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "laban"}), atomic_path(path) as temporary:
        plain = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(temporary, dpi=DPI, metadata=plain, facecolor=PAPER)


def timeline_figure(
    timeline: Timeline, motion: Motion | None = None, *, look: Look | None = None, body: BodyModel | None = None
) -> Figure:
    """The matplotlib figure of `draw_timeline`."""
    from matplotlib.figure import Figure

    rows = list(timeline_rows(timeline))
    lines = max(1, sum(len(lanes) for _, lanes in rows))
    strip = STRIP if motion is not None else 0.0
    height = TOP + lines * ROW + AXIS + strip
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    inner = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / WIDTH
    axes = figure.add_axes((MARGIN_LEFT / WIDTH, (AXIS + strip) / height, inner, lines * ROW / height))
    duration = max(timeline.duration, motion.seconds if motion is not None else 0.0, 1e-3)
    style_time_axis(axes, duration, lines)
    _draw_rows(axes, rows, timeline.labels())
    if motion is not None:
        below = figure.add_axes((MARGIN_LEFT / WIDTH, 0.0, inner, (strip - 0.08) / height))
        _draw_strip(below, motion, duration, (round(inner * WIDTH * DPI), round((strip - 0.08) * DPI)), look, body)
    return figure


def timeline_rows(timeline: Timeline) -> Iterator[tuple[str, list[list[Segment]]]]:
    """Title and lanes of every row, in order of actor, track and first appearance; no lane overlaps itself."""
    keys = sorted(
        dict.fromkeys((s.actor, s.track, s.parts) for s in timeline.segments), key=lambda key: (key[0], key[1])
    )
    actors, tracks = {key[0] for key in keys}, {key[1] for key in keys}
    for actor, track, parts in keys:
        title = [f"person {actor + 1}"] if len(actors) > 1 else []
        title += [", ".join(parts)] if parts else []
        title += [f"track {track + 1}"] if len(tracks) > 1 and not parts else []
        lanes: list[list[Segment]] = []
        for segment in timeline.segments:
            if (segment.actor, segment.track, segment.parts) != (actor, track, parts):
                continue
            free = next((lane for lane in lanes if lane[-1].end <= segment.start + 1e-9), None)
            if free is None:
                lanes.append([segment])
            else:
                free.append(segment)
        yield "\n".join(title), lanes


def style_time_axis(axes: Axes, duration: float, lines: int) -> None:
    """Seconds along the bottom, `lines` rows from the top down, and nothing else."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlim=(0, duration), ylim=(lines, 0), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axes.tick_params(colors=INK, length=3, width=0.6, labelsize=8.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=FAINT, linewidth=0.8)


def _draw_rows(axes: Axes, rows: list[tuple[str, list[list[Segment]]]], labels: tuple[str, ...]) -> None:
    colors = label_colors(labels)
    line = 0
    for title, lanes in rows:
        middle = line + len(lanes) / 2
        axes.text(-0.008, middle, title, transform=axes.get_yaxis_transform(), ha="right", va="center", color=INK,
                  fontsize=8.5, linespacing=1.15)  # fmt: skip
        if line:
            axes.axhline(line, color=FAINT, linewidth=0.8)
        for lane in lanes:
            for segment in lane:
                _draw_bar(axes, segment, line, colors[segment.label])
            line += 1


def _draw_bar(axes: Axes, segment: Segment, line: int, color: Color) -> None:
    from matplotlib.patches import FancyBboxPatch

    # Round corners are drawn in pixels' proportions, whatever the scales of the two axes.
    box = axes.get_window_extent()
    seconds, lines = axes.get_xlim()[1], axes.get_ylim()[0]
    corner = 4.5 * seconds / box.width
    inset = min(corner * 0.35, segment.seconds * 0.1)
    width = segment.seconds - 2 * inset
    corner = min(corner, width / 2.01)
    strength = 0.35 + 0.65 * min(max(segment.score, 0.0), 1.0)
    shade = [round(strength * value + (1 - strength) * 255) for value in color]
    axes.add_patch(
        FancyBboxPatch(
            (segment.start + inset, line + 0.1),
            width,
            0.8,
            linewidth=0,
            facecolor=web(color),
            alpha=strength,
            boxstyle=f"round,pad=0,rounding_size={corner}",
            mutation_aspect=(lines / box.height) / (seconds / box.width),
        )  # fmt: skip
    )
    text = axes.text(segment.start + segment.seconds / 2, line + 0.5, segment.label, ha="center", va="center",
                     fontsize=8.5, color=web(ink_on(shade)), clip_on=True)  # fmt: skip
    shorten(text, width / seconds * box.width - 8)


def shorten(text: Text, pixels: float) -> None:
    """Cut a label with an ellipsis until it is at most `pixels` wide; drop it when not even two letters fit."""
    full = text.get_text().replace("$", r"\$")
    text.set_text(full)
    kept = len(full)
    while kept and text.get_window_extent().width > pixels:
        kept = min(kept - 1, int(kept * max(pixels, 0) / text.get_window_extent().width))
        text.set_text(full[:kept].rstrip(" \\") + "…" if kept > 1 else "")
        if kept <= 1:
            break


def _draw_strip(
    axes: Axes, motion: Motion, duration: float, size: tuple[int, int], look: Look | None, body: BodyModel | None
) -> None:
    width = max(2, round(size[0] * motion.seconds / duration))
    count = max(1, min(round(width / (size[1] * POSE_WIDTH)), motion.frames))
    look = replace(look or Look(), size=(width, size[1]))
    extent: Any = (0, motion.seconds, 0, 1)
    axes.imshow(filmstrip(motion, count, look, body=body), extent=extent, aspect="auto", interpolation="lanczos")
    axes.set(xlim=(0, duration), ylim=(0, 1))
    axes.axis("off")
