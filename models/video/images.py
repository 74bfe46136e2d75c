"""A folder of images as a video: its files in natural order of their names, at a constant rate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageOps

from laban.errors import LabanError
from models.video.container import DEFAULT_RATE, Draw, Info, Raw

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def is_folder(source: str | Path) -> bool:
    """Whether a source is a folder on this machine."""
    return Path(source).is_dir()


@contextmanager
def open_folder(source: str, rate: float | None, notes: list[str]) -> Iterator[tuple[Info, Iterator[Raw]]]:
    """The images of a folder as `Info` and pictures; unreadable ones are left out and noted.

    Raises LabanError when the folder holds no image that can be read.
    """
    paths = sorted((path for path in Path(source).iterdir() if path.suffix.lower() in SUFFIXES), key=natural_key)
    first = next((size for path in paths if (size := _size(path))), None)
    if first is None:
        raise LabanError(f"{source}: holds no image that can be read; accepted: {', '.join(SUFFIXES)}")
    if rate is None:
        notes.append(f"a folder of images has no frame rate; {DEFAULT_RATE:g} frames a second were assumed")
    fps = rate or DEFAULT_RATE
    yield Info(source, *first, fps, len(paths) / fps, len(paths), "images"), _pictures(paths, fps, notes)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts `frame2` before `frame10`."""
    pieces = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _pictures(paths: list[Path], fps: float, notes: list[str]) -> Iterator[Raw]:
    bad = []
    for index, path in enumerate(paths):
        picture = _read(path)
        if picture is None:
            bad.append(path.name)
            continue
        yield Raw(index / fps, _drawer(picture))
    if bad:
        notes.append(f"{len(bad)} images cannot be read and were left out, first {bad[0]}")


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) after rotation, or None when the file is no image."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return image.size[::-1] if turned else image.size
    except _UNREADABLE:
        return None


def _read(path: Path) -> Image.Image | None:
    """The whole image, upright; None when it is damaged or none."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except _UNREADABLE:
        return None


def _drawer(picture: Image.Image) -> Draw:
    def draw(size: tuple[int, int]) -> UInt8[ndarray, "height width 3"]:
        return np.asarray(picture if picture.size == size else picture.resize(size)).copy()

    return draw
