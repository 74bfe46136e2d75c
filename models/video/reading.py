"""Video in: files, folders of images, cameras and stream addresses through one interface, in constant memory."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from laban.errors import LabanError
from models.video import container, images
from models.video.container import Info, Raw

CHUNK = 32
"""Pictures of a chunk: 32 of 854 x 480 are 39 MB."""

MAX_GAP = 600.0
"""Seconds between two pictures above which a time stamp is taken for an error."""


@dataclass(frozen=True)
class Chunk:
    """Pictures in order: sRGB, upright; `times` are the seconds from the start of the video at which each is shown."""

    times: Float[ndarray, " frames"]
    frames: UInt8[ndarray, "frames height width 3"]


@dataclass
class Video:
    """An opened video that is read once, from start to end.

    `notes` collects, while it is read, what a user should know: damaged or missing parts, and what was assumed.
    """

    info: Info
    raw: Iterator[Raw]
    notes: list[str] = field(default_factory=list)

    def size(self, short_side: int | None = None) -> tuple[int, int]:
        """(width, height) of the pictures, upright, shrunk so that the shorter side has at most `short_side` pixels."""
        width, height = self.info.width, self.info.height
        shrink = min(1.0, (short_side or math.inf) / min(width, height))
        return max(round(width * shrink), 1), max(round(height * shrink), 1)

    def chunks(
        self, *, fps: float | None = None, short_side: int | None = None, length: int = CHUNK
    ) -> Iterator[Chunk]:
        """Chunks of at most `length` pictures.

        With `fps`, entry k of all chunks together is the picture nearest to k / fps seconds (`FrameGrid(fps, n)`),
        shown again where the video is slower than that; its true time stays in `times`. Without, every picture
        comes once.
        """
        size = self.size(short_side)
        raw = tidy_times(self.raw, self.info, self.notes)
        times: list[float] = []
        frames: list[ndarray] = []
        for item in raw if fps is None else nearest(raw, fps, 1 / self.info.fps):
            repeated = bool(times) and item.time == times[-1]
            frames.append(frames[-1] if repeated else item.draw(size))
            times.append(item.time)
            if len(frames) == length:
                yield Chunk(np.array(times), np.stack(frames))
                times, frames = [], []
        if frames:
            yield Chunk(np.array(times), np.stack(frames))


@contextmanager
def open_video(source: str | Path, *, rate: float | None = None) -> Iterator[Video]:
    """Open a video file, a folder of images, a camera (`/dev/video0`) or an address (`rtsp://…`, `http://…`).

    Nothing but an address that is given here is ever fetched: files that point elsewhere are not followed. `rate` is
    the frame rate of a folder of images (30 unless given), or replaces a file's time stamps by a constant rate.

    Raises LabanError when there is no such file, it is no video, has no video stream, or no picture can be decoded.
    """
    if rate is not None and not (math.isfinite(rate) and 0 < rate <= 1000):
        raise LabanError(f"{source}: frame rate {rate}; accepted above 0, up to 1000")
    notes: list[str] = []
    opener = images.open_folder if images.is_folder(source) else container.open_container
    with opener(str(source), rate, notes) as (info, raw):
        yield Video(info, raw, notes)


@contextmanager
def stoppable(video: Video) -> Iterator[None]:
    """While the block runs, the first Ctrl-C ends the reading of a camera or address after the picture at hand.

    The next one interrupts as ever; so does the first for files.
    """
    before = signal.getsignal(signal.SIGINT)
    if not video.info.live or before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, before)
        print("laban: reading stopped; finishing with what was read (Ctrl-C again aborts)", file=sys.stderr)

    def pictures(raw: Iterator[Raw]) -> Iterator[Raw]:
        for item in raw:
            yield item
            if stopped.is_set():
                return

    video.raw = pictures(video.raw)
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def until(raw: Iterator[Raw], seconds: float) -> Iterator[Raw]:
    """The pictures that are shown before a moment; LabanError for one that is not after 0."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise LabanError(f"--seconds {seconds:g}; accepted: more than 0")
    return takewhile(lambda item: item.time < seconds, raw)


def tidy_times(raw: Iterator[Raw], info: Info, notes: list[str]) -> Iterator[Raw]:
    """The pictures with times that increase: one that goes back is dropped, a jump of minutes is closed."""
    last, shift, backward, jumps = -math.inf, 0.0, 0, 0
    for item in raw:
        time = item.time + shift
        if time <= last:
            backward += 1
            continue
        if time - max(last, 0.0) > MAX_GAP:
            jumps += 1
            shift += max(last, 0.0) + 1 / info.fps - time
            time = item.time + shift
        last = time
        yield Raw(time, item.draw)
    if backward:
        notes.append(f"{backward} pictures are stamped no later than the one before and were left out")
    if jumps:
        notes.append(f"time stamps jump by more than {MAX_GAP:g} s in {jumps} places; the gaps were closed")


def nearest(raw: Iterator[Raw], fps: float, interval: float) -> Iterator[Raw]:
    """For each time k / fps the picture nearest to it, until the last one, shown for `interval` seconds, is over."""
    if not (math.isfinite(fps) and fps > 0):
        raise LabanError(f"frame rate {fps}; accepted: a positive number")
    k, before = 0, None
    for item in raw:
        while item.time >= k / fps:
            moment = k / fps
            yield item if before is None or item.time - moment <= moment - before.time else before
            k += 1
        before = item
    while before is not None and k / fps < before.time + interval - 1e-6:
        yield before
        k += 1
