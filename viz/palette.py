"""Colours of labels: the same label has the same colour in every picture, and colour-blind eyes tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from viz.cast import Color

INK, FAINT, PAPER = (57, 66, 79), (223, 228, 234), (255, 255, 255)
CLASS_COLORS: tuple[Color, ...] = (
    (204, 102, 119), (51, 34, 136), (221, 204, 119), (17, 119, 51), (136, 204, 238), (136, 34, 85), (68, 170, 153),
    (153, 153, 51), (170, 68, 153),
)  # fmt: skip
"""The `muted` set of Paul Tol's notes on colour schemes (SRON/EPS/TN/09-002)."""


def label_colors(labels: Iterable[str]) -> dict[str, Color]:
    """A colour for each label, which its text alone decides, unless another label of the same picture has taken it.

    Up to nine labels differ; beyond that colours come again.
    """
    colors: dict[str, Color] = {}
    count = len(CLASS_COLORS)
    for label in sorted(set(labels)):
        wanted = crc32(label.encode()) % count
        taken = set(colors.values())
        order = [CLASS_COLORS[(wanted + step) % count] for step in range(count)]
        colors[label] = next((color for color in order if color not in taken), order[0])
    return colors


def ink_on(color: Sequence[int]) -> Color:
    """White, or dark ink, whichever is read more easily on a colour."""
    return PAPER if _luminance(color) < 0.30 else INK


def web(color: Sequence[int]) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _luminance(color: Sequence[int]) -> float:
    """Relative luminance of sRGB (IEC 61966-2-1), 0 to 1."""
    linear = [c / 12.92 if (c := v / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for v in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
