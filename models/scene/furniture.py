"""What furniture is called, what it is good for, and which way it faces."""

from __future__ import annotations

import math
import re

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from models.scene.upright import surface_of

KINDS = {
    "armchair": ("armchair", "recliner"),
    "couch": ("couch", "sofa", "settee", "loveseat"),
    "chair": ("chair", "seat"),
    "stool": ("stool", "ottoman", "pouf", "pouffe"),
    "bench": ("bench",),
    "bed": ("bed", "mattress"),
    "rug": ("rug", "carpet", "doormat", "mat"),
    "table": ("table", "desk"),
    "shelf": ("shelf", "shelves", "bookcase", "bookshelf"),
    "cabinet": ("cabinet", "cupboard", "wardrobe", "dresser", "drawer", "drawers", "sideboard", "commode"),
    "lamp": ("lamp", "light"),
    "plant": ("plant", "cactus", "pot"),
}
"""Kinds by the words of names."""
SHELL_WORDS = ("floor", "wall", "walls", "ceiling", "roof", "ground", "door", "window", "room", "shell", "skirting")
"""Words of names that are the room itself."""
BY_KIND = {"armchair": "sit", "couch": "sit", "chair": "sit", "stool": "sit", "bench": "sit", "bed": "lie"}
"""What kinds afford where nobody has said it."""


def words_of(name: str) -> list[str]:
    """The words of a name such as "0_bed_double_A" or "DiningChair.003"."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def kind_of(name: str) -> str:
    """The kind that a name says, else "object"."""
    words = words_of(name)
    joined = "".join(words)
    for kind, known in KINDS.items():
        if any(word in words or word + "s" in words for word in known):
            return kind
    return next((kind for kind in KINDS if len(kind) > 4 and kind in joined), "object")


def is_shell(name: str) -> bool:
    """Whether a name is one of floor, walls and the like, and of no furniture."""
    return kind_of(name) == "object" and any(word in SHELL_WORDS for word in words_of(name))


def facing_of(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> float:
    """Radians about Y of the front of a seat or bed: away from what stands highest of it, which is its back.

    The back is where the surface of the upper third has its centre. A multiple of 90 degrees; 0 where there is none.
    """
    surface = surface_of(vertices.astype(np.float64), faces)
    low, high = vertices.min(0), vertices.max(0)
    upper = surface.centers[:, 1] > (0.35 * low + 0.65 * high)[1]
    weights = surface.areas * upper
    if not weights.sum() > 0:
        return 0.0
    back = (surface.centers * weights[:, None]).sum(0) / weights.sum() - (low + high) / 2
    x, z = -back[0] / max(high[0] - low[0], 1e-9), -back[2] / max(high[2] - low[2], 1e-9)
    if max(abs(x), abs(z)) < 0.05:
        return 0.0
    return math.pi / 2 * round(math.atan2(x, z) / (math.pi / 2))
