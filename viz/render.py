"""The short way from a motion to a file: the suffix decides between film and filmstrip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from laban.errors import LabanError
from models.motion import Motion
from viz.filmstrip import PICTURE_SUFFIXES, filmstrip, save_picture, strip_size
from viz.movie import Look, film
from viz.renderer import MAX_SIDE, check_size
from viz.video import VIDEO_SUFFIXES, check_suffix

if TYPE_CHECKING:
    from models.body.model import BodyModel

POSES = 6


def render_motion(
    motion: Motion,
    path: str | Path,
    *,
    size: tuple[int, int] = (512, 512),
    fps: float = 30,
    body: BodyModel | None = None,
    renderer: str = "auto",
    camera: str = "follow",
    progress: bool = True,
) -> int:
    """Draw a motion and write it to `path`; returns the number of poses drawn.

    mp4 and gif are films of `size` (width, height) at `fps`; png, jpg and webp are filmstrips of six poses, as high as
    `size` says and as wide as they need. `body` is the open body unless given; `camera` is `follow`, `fixed` or
    `orbit`. Where people touch one another they are coloured. Raises LabanError for a bad size, suffix, camera or
    renderer, and for a file that cannot be written.
    """
    path = Path(path)
    check_suffix(path, VIDEO_SUFFIXES + PICTURE_SUFFIXES)
    touching = motion.actors > 1
    look = Look(size=size, renderer=renderer, camera=camera, contacts=touching)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return film(motion, path, look, fps=fps, body=body, progress=progress)
    count = min(POSES, motion.frames)
    look = Look(size=strip_size(size[1], count), renderer=renderer, contacts=touching)
    save_picture(filmstrip(motion, count, look, body=body), path)
    return count


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "1280x720" or "512" (square); LabanError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:[xX×]\s*(\d{1,6})\s*)?", text)
    if not match:
        raise LabanError(f"--size: found {text!r}; accepted WIDTHxHEIGHT in pixels, each from 2 to {MAX_SIDE}")
    return check_size((int(match[1]), int(match[2] or match[1])))
