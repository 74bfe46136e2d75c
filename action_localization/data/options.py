"""What a caller may ask of any reader of annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ReadOptions:
    """`classes` are the accepted labels in order of their numbers (None: what the file has).

    `fold` chooses one of several published splits (from 1), `task` the labels of EPIC and EGTEA tables, `fps` the frame
    rate of files that count frames and do not state one, `strict` refuses a file with any unusable annotation.
    """

    classes: tuple[str, ...] | None = None
    fold: int = 1
    task: Literal["verb", "noun", "action"] = "action"
    fps: float | None = None
    strict: bool = False
