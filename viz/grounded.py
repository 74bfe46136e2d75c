"""Where a sentence is true as a figure: how likely over seconds, the spans that were found, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.timeline import Timeline
from viz.detections import (
    AXIS,
    BAND,
    HEADING,
    LEFT,
    QUIET,
    RIGHT,
    SHEET_GAP,
    SHEET_ROW,
    TOP,
    draw_sheet_row,
    pixels,
    show_picture,
)
from viz.palette import FAINT, INK, label_colors, web
from viz.sheet import Thumbnails, chosen_segments, time_row
from viz.timeline import DPI, FIGURE_SUFFIXES, WIDTH, save_figure, shorten, style_time_axis
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE = 1.05
"""Inches of a person's curve."""
MOST_SHEETS = 6


def draw_grounded(
    found: Timeline, curves: Sequence[Float[ndarray, " entries"]], path: str | Path, *, threshold: float,
    title: str = "", rate: float = 10.0, thumbnails: Thumbnails | None = None,
) -> None:  # fmt: skip
    """Write the figure (png, svg, pdf, jpg or webp): a curve for each person, with `rate` values a second."""
    path = Path(path)
    check_suffix(path, FIGURE_SUFFIXES)
    figure = grounded_figure(found, curves, threshold=threshold, title=title, rate=rate, thumbnails=thumbnails)
    save_figure(figure, path)


def grounded_figure(
    found: Timeline, curves: Sequence[Float[ndarray, " entries"]], *, threshold: float, title: str = "",
    rate: float = 10.0, thumbnails: Thumbnails | None = None,
) -> Figure:  # fmt: skip
    """The matplotlib figure of `draw_grounded`."""
    from matplotlib.figure import Figure

    pictures = thumbnails is not None and bool(thumbnails.times)
    sheet = chosen_segments(found, MOST_SHEETS) if pictures else []
    tall = max(len(curves), 1) * CURVE
    band = BAND if pictures else 0.0
    height = TOP + tall + AXIS + band + (HEADING / 2 + len(sheet) * (SHEET_ROW + SHEET_GAP) if sheet else 0.05)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    inner = WIDTH - LEFT - RIGHT

    def place(left: float, top: float, width: float, size: float) -> Axes:
        return figure.add_axes((left / WIDTH, 1 - (top + size) / height, width / WIDTH, size / height))

    text = figure.text(LEFT / WIDTH, 1 - TOP / 2 / height, title, ha="left", va="center", color=web(INK), fontsize=10)
    shorten(text, inner * DPI)
    duration = max(found.duration, 1e-3)
    for actor, curve in enumerate(curves or [np.zeros(0)]):
        axes = place(LEFT, TOP + actor * CURVE, inner, CURVE)
        _draw_curve(axes, found, curve, actor, (threshold, rate, duration), last=actor >= len(curves) - 1)
        if len(curves) > 1:
            axes.text(-0.05, 0.5, f"person {actor + 1}", transform=axes.transAxes, ha="right", va="center",
                      color=web(INK), fontsize=9)  # fmt: skip
    if thumbnails is not None and pictures:
        show_picture(place(LEFT, TOP + tall + AXIS, inner, band - 0.1),
                     time_row(thumbnails, duration, pixels(inner, band - 0.1)))  # fmt: skip
        for index, segment in enumerate(sheet):
            at = TOP + tall + AXIS + band + HEADING / 2 + index * (SHEET_ROW + SHEET_GAP)
            color = label_colors([segment.label])[segment.label]
            draw_sheet_row(place(0.0, at, WIDTH, SHEET_ROW), thumbnails, segment, color)
    return figure


def _draw_curve(
    axes: Axes, found: Timeline, curve: Float[ndarray, " entries"], actor: int, scale: tuple[float, float, float], *,
    last: bool,
) -> None:  # fmt: skip
    threshold, rate, duration = scale
    style_time_axis(axes, duration, 1)
    axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1.0])
    axes.tick_params(axis="y", labelsize=7.5, colors=web(QUIET))
    if not last:
        axes.tick_params(axis="x", labelbottom=False, length=0)
    for segment in found.segments:
        if segment.actor == actor:
            color = web(label_colors([segment.label])[segment.label])
            axes.axvspan(segment.start, segment.end, color=color, alpha=0.25, linewidth=0)
            axes.text((segment.start + segment.end) / 2, 0.96, f"{segment.score:.2f}", ha="center", va="top",
                      color=web(INK), fontsize=8, clip_on=True)  # fmt: skip
    axes.axhline(threshold, color=web(QUIET), linewidth=0.8, linestyle=(0, (4, 3)))
    axes.text(
        duration, threshold, f"shown from {threshold:.2f} ", ha="right", va="bottom", color=web(QUIET), fontsize=7.5
    )
    axes.plot((np.arange(len(curve)) + 0.5) / rate, curve, color=web(INK), linewidth=1.2)
    if not len(curve):
        axes.text(0.5, 0.5, "nobody in view", transform=axes.transAxes, ha="center", va="center", color=web(QUIET),
                  fontsize=10)  # fmt: skip
    elif not any(segment.actor == actor for segment in found.segments):
        axes.text(0.5, 0.72, "not found", transform=axes.transAxes, ha="center", va="center", color=web(QUIET),
                  fontsize=10)  # fmt: skip
    axes.set_facecolor(web(FAINT) + "22")
