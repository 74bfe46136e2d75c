"""Small pictures of a video kept while it is read, and a contact sheet: a row of them for each segment found."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from laban.timeline import Segment, Timeline
from models.motion import Motion
from models.resample import resample
from models.video.container import Raw
from viz.movie import Look, shots
from viz.palette import PAPER

if TYPE_CHECKING:
    from models.body.model import BodyModel

Picture = UInt8[ndarray, "height width 3"]

SIDE = 160
"""Pixels of the shorter side of a small picture."""
SPACING = 0.2
"""Seconds between small pictures, doubled whenever there are too many."""
MOST = 4096
"""Small pictures kept at a time: some 30 MB as JPEG."""
FILMED = 150
"""Small pictures drawn of a motion."""
QUALITY = 85
GAP = 4
"""Pixels between the pictures of a row."""


@dataclass
class Thumbnails:
    """Small pictures of a video, evenly spaced in time, collected in passing by whoever reads the video.

    Memory is bounded: where a video is long, the pictures lie further apart.
    """

    spacing: float = SPACING
    most: int = MOST
    times: list[float] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)

    def watch(self, raw: Iterator[Raw], size: tuple[int, int]) -> Iterator[Raw]:
        """The same pictures; a small copy, at most (width, height) = `size`, is kept of one every `spacing` seconds."""
        small = thumbnail_size(size)
        for item in raw:
            if not self.times or item.time >= self.times[-1] + self.spacing - 1e-6:
                self.keep(item.time, item.draw(small))
            yield item

    def at(self, seconds: Sequence[float]) -> list[tuple[float, Picture]]:
        """Time and picture of those nearest to some moments, each once, in order of time."""
        if not self.times:
            return []
        known = np.array(self.times)
        chosen = sorted({int(np.abs(known - second).argmin()) for second in seconds})
        return [(self.times[i], _unpacked(self.pictures[i])) for i in chosen]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return Image.open(io.BytesIO(self.pictures[0])).size if self.pictures else (SIDE, SIDE)

    def keep(self, time: float, picture: Picture) -> None:
        """Keep a small picture; every other one is let go when there are too many."""
        packed = io.BytesIO()
        Image.fromarray(picture).save(packed, "JPEG", quality=QUALITY)
        self.times.append(time)
        self.pictures.append(packed.getvalue())
        if len(self.times) > self.most:
            self.times, self.pictures = self.times[::2], self.pictures[::2]
            self.spacing *= 2


def motion_thumbnails(motion: Motion, *, body: BodyModel | None = None) -> Thumbnails:
    """Small pictures of a motion, filmed with the camera that would film it large; at most `FILMED` of them."""
    spacing = max(SPACING, motion.seconds / FILMED)
    kept = Thumbnails(spacing)
    few = resample(motion, 1 / spacing)
    for index, picture in enumerate(shots(few, Look(size=(SIDE, SIDE)), body=body)):
        kept.keep(index * spacing, picture)
    return kept


def thumbnail_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) with the shorter side at `SIDE`, the longer one at most four times that."""
    scale = SIDE / min(size)
    return tuple(min(max(round(side * scale), 2), 4 * SIDE) for side in size)  # type: ignore[return-value]


def chosen_segments(timeline: Timeline, most: int) -> list[Segment]:
    """At most `most` segments in order of time: the best of every label first, then the best of all."""
    best = sorted(timeline.segments, key=lambda segment: -segment.score)
    first = {segment.label: segment for segment in reversed(best)}
    ranked = sorted(best, key=lambda segment: first[segment.label] is not segment)
    return sorted(ranked[:most], key=lambda segment: (segment.start, segment.end))


def segment_row(
    thumbnails: Thumbnails, start: float, end: float, size: tuple[int, int]
) -> tuple[Picture, list[tuple[float, float]]]:
    """Pictures from within [start, end) side by side on white, (width, height) = `size`.

    Also returned: for each picture its time, and the x at which its left edge stands.
    """
    width, height = size
    own = thumbnails.size
    count = max(round((width + GAP) / (height * own[0] / own[1] + GAP)), 1)
    middles = [start + (k + 0.5) * (end - start) / count for k in range(count)]
    slack = max(thumbnails.spacing, 0.05)
    found = [pair for pair in thumbnails.at(middles) if start - slack <= pair[0] < end + slack]
    row, places = np.full((height, width, 3), PAPER, np.uint8), []
    for index, (time, picture) in enumerate(found):
        left, right = (round(k * (width + GAP) / count) for k in (index, index + 1))
        row[:, left : right - GAP] = _cropped(picture, (max(right - GAP - left, 1), height))
        places.append((time, float(left)))
    return row, places


def time_row(thumbnails: Thumbnails, duration: float, size: tuple[int, int]) -> Picture:
    """Pictures of a whole video side by side, each where it was taken on a time axis of `duration` seconds."""
    width, height = size
    own = thumbnails.size
    each = max(round(height * own[0] / own[1]), 1)
    count = max(width // each, 1)
    row = np.full((height, width, 3), PAPER, np.uint8)
    last = thumbnails.times[-1] if thumbnails.times else 0.0
    for k in range(count):
        left, right = round(k * width / count), round((k + 1) * width / count) - 1
        middle = (left + right) / 2 / width * duration
        if middle > last + 2 * thumbnails.spacing or not thumbnails.times:
            continue
        _, picture = thumbnails.at([middle])[0]
        row[:, left:right] = _cropped(picture, (right - left, height))
    return row


def _cropped(picture: Picture, size: tuple[int, int]) -> UInt8[ndarray, "new_height new_width 3"]:
    """The middle of a picture in the proportions of `size`, at that size."""
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    cut_x, cut_y = (width - size[0] / scale) / 2, (height - size[1] / scale) / 2
    box = (cut_x, cut_y, width - cut_x, height - cut_y)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, box=box))


def _unpacked(packed: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(packed)).convert("RGB"))
