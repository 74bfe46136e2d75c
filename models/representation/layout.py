"""`Layout`: what the columns of a representation are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """Columns of a (frames, features) representation.

    `groups` maps a name to its columns in order; `parts` maps each of STMC's five body parts to the columns it owns;
    `root` are the columns that move the body through the world (owned by the legs as well).
    """

    name: str
    fps: float
    groups: Mapping[str, slice]
    parts: Mapping[str, tuple[int, ...]]
    root: tuple[int, ...]
    sixd: Literal["columns", "rows", "none"]
    """Which two vectors of a rotation matrix its six numbers are."""
    frame: str
    """The canonical frame, in words."""

    @property
    def features(self) -> int:
        """Number of columns."""
        return max(group.stop for group in self.groups.values())
