"""Where people touch: vertices near another body, coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray
from scipy.spatial import cKDTree

from viz.renderer import Mesh

HIGHLIGHT = (255, 190, 0)
NEAR, FAR = 0.02, 0.05
"""Metres to the other surface at which a vertex has the whole colour, and beyond which it has none of it."""


def highlighted(people: Sequence[Mesh]) -> list[Mesh]:
    """The same surfaces with `HIGHLIGHT` where one comes near another; one person alone stays as they are."""
    result = list(people)
    for index, mesh in enumerate(people):
        others = [other.vertices for place, other in enumerate(people) if place != index]
        share = np.max([nearness(mesh.vertices, other) for other in others], axis=0) if others else np.zeros(0)
        if share.any():
            colors = mesh.vertex_colors() * (1 - share[:, None]) + np.array(HIGHLIGHT) * share[:, None]
            result[index] = replace(mesh, colors=np.round(colors).astype(np.uint8))
    return result


def nearness(
    vertices: Float32[ndarray, "vertices 3"], other: Float32[ndarray, "others 3"]
) -> Float[ndarray, " vertices"]:
    """1 for vertices within `NEAR` of a vertex of the other surface, falling to 0 at `FAR`."""
    share = np.zeros(len(vertices))
    low, high = (np.stack([f(vertices, axis=0), f(other, axis=0)]) for f in (np.min, np.max))
    low, high = low.max(0) - FAR, high.min(0) + FAR  # what both boxes share: only there can anything be near
    if (low > high).any():
        return share
    mine, theirs = (((points >= low) & (points <= high)).all(1) for points in (vertices, other))
    if mine.any() and theirs.any():
        gaps, _ = cKDTree(other[theirs]).query(vertices[mine], distance_upper_bound=FAR)
        share[mine] = np.clip((FAR - gaps) / (FAR - NEAR), 0.0, 1.0)
    return share
