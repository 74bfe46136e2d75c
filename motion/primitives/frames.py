"""`Frame`: one frame of one streamed person."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from models.representation import primitive

FPS = primitive.LAYOUT.fps


@dataclass(frozen=True)
class Frame:
    """One frame of one streamed person: Y up, +Z forward, metres."""

    index: int
    """0, 1, 2 ... since the stream began."""
    seconds: float
    rotations: Float[ndarray, "22 3 3"]
    """Local SMPL-X body joints."""
    root: Float[ndarray, " 3"]
    """SMPL-X transl."""
    text: str
    """What drives it."""
