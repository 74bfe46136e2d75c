"""Decoding with PyAV: time stamps, rotation tags, odd pixels and damage of real files; the sound track on request."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import ExitError, FFmpegError
from jaxtyping import Float, UInt8
from numpy import ndarray

from laban.errors import LabanError

CAMERA = "/dev/video"
TIMEOUT = (20.0, 20.0)
"""Seconds to wait for a camera or an address: for its answer, and for each packet."""

DEFAULT_RATE = 30.0
REORDERED = 4
"""Pictures among which time stamps may be out of order."""

MISSING_END = 0.5
"""A video that ends this many seconds before the length it declares is said to be cut short."""

MISSING_FRAMES = 0.9
"""So is one with less than this share of the pictures it declares."""

Draw = Callable[[tuple[int, int]], UInt8[ndarray, "height width 3"]]


@dataclass(frozen=True)
class Info:
    """What is known of a video before it is read: size after rotation, nominal frame rate, declared length.

    `seconds` and `frames` are what the file says of itself, None where it says nothing.
    """

    source: str
    width: int
    height: int
    fps: float
    seconds: float | None = None
    frames: int | None = None
    codec: str = ""
    rotation: int = 0
    sound: bool = False
    live: bool = False


@dataclass(frozen=True)
class Raw:
    """One picture before it is converted: `draw((width, height))` gives sRGB pixels, upright."""

    time: float
    draw: Draw


@dataclass(frozen=True)
class Sound:
    """Mono samples from `start` seconds on."""

    start: float
    rate: int
    samples: Float[ndarray, " samples"]


def is_live(source: str) -> bool:
    """Whether a source is a camera or an address rather than a file."""
    return source.startswith(CAMERA) or ("://" in source and not source.startswith("file:"))


@contextmanager
def open_container(source: str, rate: float | None, notes: list[str]) -> Iterator[tuple[Info, Iterator[Raw]]]:
    """A file, camera or address as its `Info` and its pictures; LabanError when it is no video or has no picture."""
    with _opened(source) as box:
        if not box.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in box.streams})) or "no streams at all"
            raise LabanError(f"{source}: has no video stream (found {kinds})")
        stream = box.streams.video[0]
        stream.thread_type = "AUTO"
        fps = rate or _rate(stream)
        frames = _decoded(box, stream, notes)
        first = next(frames, None)
        if first is None:
            reason = f" ({notes[-1]})" if notes else ""
            raise LabanError(f"{source}: not one picture could be decoded{reason}")
        info = _info(source, box, stream, first, fps)
        yield info, _timed(chain([first], frames), _start(box, first), info, rate, notes)


def read_sound(source: str | Path, rate: int = 16_000) -> Iterator[Sound]:
    """The first sound track, mixed to mono and resampled to `rate`, about a second at a time, with true times.

    LabanError when the file has none. Damaged packets are skipped; the times show the gap.
    """
    with _opened(str(source)) as box:
        if not box.streams.audio:
            raise LabanError(f"{source}: has no sound track")
        stream = box.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate, frame_size=rate)
        origin = (box.start_time or 0) / 1e6
        for frame in chain(_decoded(box, stream, []), [None]):
            try:
                pieces = resampler.resample(frame)
            except (FFmpegError, ValueError):
                continue
            for piece in pieces:
                start = float(piece.pts * (piece.time_base or 0)) if piece.pts is not None else origin
                yield Sound(start - origin, rate, piece.to_ndarray().reshape(-1).astype(np.float32))


@contextmanager
def _opened(source: str) -> Iterator[Any]:
    """An open container. A file may refer to nothing but itself: playlists cannot make us read or fetch anything."""
    live = is_live(source)
    if not live:
        path = Path(source.removeprefix("file://"))
        if path.is_dir() or not path.exists():
            raise LabanError(f"{source}: {'is a folder' if path.is_dir() else 'does not exist'}; accepted: a video")
        if path.stat().st_size == 0:
            raise LabanError(f"{source}: is empty; accepted: a video")
    format = "v4l2" if source.startswith(CAMERA) else None
    options = {} if live else {"protocol_whitelist": "file"}
    extra: dict[str, Any] = {"timeout": TIMEOUT} if live else {}
    try:
        box = av.open(source if live else str(path), format=format, options=options, metadata_errors="ignore", **extra)
    except (FFmpegError, ValueError, OSError) as error:
        raise LabanError(f"{source}: is not a readable video ({_reason(error)})") from None
    try:
        yield box
    finally:
        box.close()


def _decoded(box: Any, stream: Any, notes: list[str]) -> Iterator[Any]:
    """Every whole frame; damaged packets and frames are counted, not raised."""
    damaged = 0
    packets = box.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except ExitError:  # what PyAV makes of a packet that did not come in time
            notes.append(f"has stalled: nothing came for {TIMEOUT[1]:g} s; ended there")
            break
        except FFmpegError as error:
            notes.append(f"cannot be read further ({_reason(error)})")
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if getattr(frame, "is_corrupt", False):
                damaged += 1
            else:
                yield frame
    if damaged:
        notes.append(f"{damaged} damaged packets or pictures were left out")


def _timed(frames: Iterator[Any], start: float, info: Info, rate: float | None, notes: list[str]) -> Iterator[Raw]:
    time, index = -1 / info.fps, -1
    for index, (stamp, frame) in enumerate(_stamped(frames)):
        if rate is not None:
            time = index / rate
        elif stamp is None:
            time += 1 / info.fps
        else:
            time = max(stamp - start, 0.0)
        yield Raw(time, _drawer(frame))
    end = time + 1 / info.fps
    if info.frames is not None and index + 1 < MISSING_FRAMES * info.frames:
        notes.append(f"ends after {index + 1} of the {info.frames} pictures it declares: cut short or damaged")
    elif info.seconds is not None and rate is None and end < info.seconds - max(MISSING_END, 3 / info.fps):
        notes.append(f"ends after {end:.2f} s of the {info.seconds:.2f} s it declares: cut short or damaged")


def _stamped(frames: Iterator[Any]) -> Iterator[tuple[float | None, Any]]:
    """Each frame with its time stamp, stamps in order.

    Decoders give frames in the order they are shown, but AVI files store no such stamps, and those derived for streams
    with B-frames come in another order: the frame that comes first gets the earliest of the next few stamps.
    """
    stamps: list[float] = []
    waiting: list[Any] = []
    for frame in frames:
        if frame.pts is None:
            yield from zip(sorted(stamps), waiting, strict=True)
            stamps, waiting = [], []
            yield None, frame
            continue
        heapq.heappush(stamps, float(frame.pts * frame.time_base))
        waiting.append(frame)
        if len(waiting) > REORDERED:
            yield heapq.heappop(stamps), waiting.pop(0)
    yield from zip(sorted(stamps), waiting, strict=True)


def _drawer(frame: Any) -> Draw:
    def draw(size: tuple[int, int]) -> UInt8[ndarray, "height width 3"]:
        turns = _quarter_turns(frame)
        width, height = size if turns % 2 == 0 else size[::-1]
        picture = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture

    return draw


def _info(source: str, box: Any, stream: Any, first: Any, fps: float) -> Info:
    ratio = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = max(round(first.width * ratio), 1), first.height
    turns = _quarter_turns(first)
    if turns % 2:
        width, height = height, width
    seconds = None
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif box.duration:
        seconds = box.duration / 1e6
    live = is_live(source)
    known = seconds if seconds and math.isfinite(seconds) and seconds > 0 and not live else None
    codec = stream.codec_context.name
    frames = int(stream.frames) or None
    return Info(source, width, height, fps, known, frames, codec, 90 * turns, bool(box.streams.audio), live)


def _quarter_turns(frame: Any) -> int:
    """Turns by 90 degrees, anticlockwise, that set a frame upright."""
    return round((getattr(frame, "rotation", 0) or 0) / 90) % 4


def _rate(stream: Any) -> float:
    for value in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if value and 0.01 <= float(value) <= 1000:
            return float(value)
    return DEFAULT_RATE


def _start(box: Any, first: Any) -> float:
    """The moment that counts as 0 s: where the container starts, so that picture and sound share one clock."""
    if first.pts is None:
        return 0.0
    shown = float(first.pts * first.time_base)
    start = box.start_time / 1e6 if box.start_time is not None else shown
    return start if start <= shown <= start + 10.0 else shown


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:120] or type(error).__name__
