"""The studio every picture is taken in: a bright room with a floor that fades into its backdrop, and three lights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Studio:
    """Lights (linear RGB; directions point TO the light and need not be of unit length) and colours (sRGB 0-255).

    `grid` is the side of a floor square in metres; `floor` the height of the floor, or None for no floor at all.
    """

    key: Vector = (-0.46, 0.84, 0.44)
    key_color: Vector = (0.98, 0.945, 0.89)
    fill: Vector = (0.79, 0.25, 0.56)
    fill_color: Vector = (0.15, 0.17, 0.20)
    sky: Vector = (0.31, 0.33, 0.37)
    bounce: Vector = (0.20, 0.19, 0.18)
    rim: Vector = (0.30, 0.32, 0.35)
    backdrop_top: Vector = (222, 228, 236)
    backdrop_horizon: Vector = (244, 246, 249)
    floor_color: Vector = (231, 234, 239)
    line_color: Vector = (196, 203, 213)
    shadow_color: Vector = (92, 100, 118)
    shadow: float = 0.62
    pool: float = 0.50
    grid: float = 0.5
    floor: float | None = 0.0

    def __post_init__(self) -> None:
        for name in ("key", "fill"):
            direction = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, tuple((direction / np.linalg.norm(direction)).tolist()))

    def turned(self, azimuth: float) -> Studio:
        """The same lights turned by `azimuth` degrees around +Y, so that they stand as before for a camera there."""
        cos, sin = np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))

        def turn(v: Vector) -> Vector:
            return float(cos * v[0] + sin * v[2]), v[1], float(cos * v[2] - sin * v[0])

        return replace(self, key=turn(self.key), fill=turn(self.fill))


STUDIO = Studio()
