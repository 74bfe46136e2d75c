"""What was seen beside what is foreseen: the past as a solid person, the anticipated motion as a coloured ghost."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from laban.progress import progress as show_progress
from models.motion import Motion
from models.resample import resample
from viz.camera import facing_azimuth
from viz.cast import Cast, Color
from viz.filmstrip import PICTURE_SUFFIXES, TURN, filmstrip, save_picture, strip_size
from viz.movie import Look, Picture, shots
from viz.video import VIDEO_SUFFIXES, check_suffix, open_video

if TYPE_CHECKING:
    from models.body.model import BodyModel

GHOST: Color = (92, 150, 124)
OPACITY = 0.65
POSES = 5
INK = (70, 74, 80)
SUFFIXES = VIDEO_SUFFIXES + PICTURE_SUFFIXES


@dataclass(frozen=True)
class Side:
    """A motion and the line above its picture."""

    motion: Motion
    title: str


def draw_foreseen(
    past: Side, future: Side, path: str | Path, *, height: int = 480, fps: float = 30, body: BodyModel | None = None,
    quiet: bool = False,
) -> int:  # fmt: skip
    """Write the two side by side, as a film in which the past plays, then the future, or as two filmstrips; returns the
    number of pictures drawn. LabanError for another suffix or a file that cannot be written."""
    path = Path(path)
    check_suffix(path, SUFFIXES)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        save_picture(_strips(past, future, height, body), path)
        return 2 * POSES
    look = Look(size=(height, height), camera="fixed", azimuth=_azimuth(past.motion, body))
    ghost = replace(look, colors=(GHOST,), opacity=OPACITY)
    first, second = (replace(side, motion=resample(side.motion, fps)) for side in (past, future))
    total = first.motion.frames + second.motion.frames - 1
    with (
        closing(shots(first.motion, look, body=body)) as before,
        closing(shots(second.motion, ghost, body=body)) as after,
        open_video(path, fps) as add,
        show_progress("rendering", total, quiet=quiet) as advance,
    ):
        begun = next(after)
        for held in before:
            add(_beside(held, begun, past.title, future.title))
            advance(1)
        for picture in after:
            add(_beside(held, picture, past.title, future.title))
            advance(1)
    return total


def _strips(past: Side, future: Side, height: int, body: BodyModel | None) -> Picture:
    found, azimuth = [], _azimuth(past.motion, body)
    for side, ghost in ((past, False), (future, True)):
        count = min(POSES, side.motion.frames)
        look = Look(size=strip_size(height, count), azimuth=azimuth)
        look = replace(look, colors=(GHOST,), opacity=OPACITY) if ghost else look
        found.append(filmstrip(side.motion, count, look, body=body))
    return _beside(found[0], found[1], past.title, future.title)


def _azimuth(past: Motion, body: BodyModel | None) -> float:
    """From where both are seen: three-quarter on the front of the last pose, which they share."""
    from models.body.model import load_body

    last = past.slice(past.frames - 1, past.frames)
    return facing_azimuth(Cast(body or load_body()).joints(last)[0, 0]) + TURN


def _beside(
    left: UInt8[ndarray, "height left 3"], right: UInt8[ndarray, "height right 3"], *titles: str
) -> UInt8[ndarray, "height both 3"]:
    """Two pictures with a line between them, and a title above each."""
    from PIL import Image, ImageDraw, ImageFont

    line = np.full((left.shape[0], 2, 3), INK, np.uint8)
    whole = np.concatenate([left, line, right], 1)
    whole = whole[:, : whole.shape[1] // 2 * 2]  # video wants even sides
    image = Image.fromarray(np.ascontiguousarray(whole))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(12, round(left.shape[0] * 0.042)))
    for title, start in zip(titles, (0, left.shape[1] + 2), strict=True):
        draw.text((start + 14, 10), title, fill=INK, font=font)
    return np.asarray(image)
