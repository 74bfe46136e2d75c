"""Chances of labels as bars, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from viz.palette import FAINT, INK, PAPER, label_colors, web
from viz.timeline import DPI, FIGURE_SUFFIXES, save_figure
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, NAME, TOP, BOTTOM, ROW = 5.6, 2.1, 0.45, 0.12, 0.36
"""Inches."""
_LETTERS = 32


def draw_chances(best: Sequence[tuple[str, float]], path: str | Path, *, title: str = "") -> None:
    """Write a bar for each label; LabanError for another suffix than png, svg, pdf, jpg or webp."""
    path = Path(path)
    check_suffix(path, FIGURE_SUFFIXES)
    save_figure(chances_figure(best, title=title), path)


def chances_figure(best: Sequence[tuple[str, float]], *, title: str = "") -> Figure:
    """The matplotlib figure of `draw_chances`."""
    from matplotlib.figure import Figure

    height = TOP + len(best) * ROW + BOTTOM
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=web(PAPER))
    axes = figure.add_axes((NAME / WIDTH, BOTTOM / height, (WIDTH - NAME - 0.15) / WIDTH, len(best) * ROW / height))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(best), 0)
    axes.set_facecolor(web(PAPER))
    axes.axis("off")
    colors = label_colors(label for label, _ in best)
    for row, (label, chance) in enumerate(best):
        axes.barh(row + 0.5, 1.0, height=0.62, color=web(FAINT))
        axes.barh(row + 0.5, chance, height=0.62, color=web(colors[label]))
        axes.text(
            -0.02,
            row + 0.5,
            label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1]}…",
            ha="right",
            va="center",
            fontsize=9,
            color=web(INK),
        )
        axes.text(
            min(chance + 0.015, 0.9), row + 0.5, f"{chance:.2f}", ha="left", va="center", fontsize=8.5, color=web(INK)
        )
    figure.text(0.02, 1 - 0.24 / height, title, ha="left", va="center", fontsize=9.5, color=web(INK))
    return figure
