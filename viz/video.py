"""Writing moving pictures, frame by frame: H.264 in an mp4 file, or an animated GIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path

if TYPE_CHECKING:
    from models.video.container import Sound

VIDEO_SUFFIXES = (".mp4", ".gif")
QUALITY = 20
"""x264's constant rate factor: 0 is lossless, 51 worst."""
GIF_COLORS = 255

TICKS = 90_000
"""Time stamps a second in a film whose frames come at times of their own."""
SOUND_RATE = 48_000
SOUND_BLOCK = 1024

AddFrame = Callable[[UInt8[ndarray, "height width 3"]], None]
AddTimed = Callable[[float, UInt8[ndarray, "height width 3"]], None]


@contextmanager
def open_video(path: str | Path, fps: float, *, quality: int = QUALITY, preset: str = "veryfast") -> Iterator[AddFrame]:
    """Yield a function that appends one sRGB frame; all frames must have the first one's size.

    The suffix picks the format: mp4 (H.264, yuv420p, BT.709, index in front; an odd side is grown by one pixel) or gif.
    The file appears under its name only when the block ends well. Raises LabanError for another suffix, a frame of
    another size, no frame at all, or a file that cannot be written.
    """
    target = Path(path)
    check_suffix(target, VIDEO_SUFFIXES)
    if not (np.isfinite(fps) and 0 < fps <= 1000):
        raise LabanError(f"{target}: found {fps} frames a second; accepted above 0, up to 1000")
    with atomic_path(target) as temporary:
        opener = (
            _open_mp4(temporary, fps, quality, preset) if target.suffix.lower() == ".mp4" else _open_gif(temporary, fps)
        )
        with opener as add:
            size: tuple[int, ...] | None = None

            def checked(frame: UInt8[ndarray, "height width 3"]) -> None:
                nonlocal size
                if size is not None and frame.shape != size:
                    raise LabanError(f"{target}: found a frame of shape {frame.shape}; accepted {size}")
                size = frame.shape
                add(frame)

            yield checked
            if size is None:
                raise LabanError(f"{target}: found no frames to write; accepted one or more")


@contextmanager
def open_timed_video(path: str | Path, fps: float, *, sound: Iterator[Sound] | None = None) -> Iterator[AddTimed]:
    """Yield a function that appends one sRGB frame at its own time (seconds, each later than the one before), as mp4.

    `fps` is the nominal rate. `sound` (mono at `SOUND_RATE`) is read as far as the pictures go; gaps in it are silent.
    Otherwise as `open_video`.
    """
    target = Path(path)
    check_suffix(target, VIDEO_SUFFIXES[:1])
    with atomic_path(target) as temporary, _open_mp4(temporary, fps, QUALITY, "veryfast", sound=sound) as add:
        last = -1

        def timed(seconds: float, frame: UInt8[ndarray, "height width 3"]) -> None:
            nonlocal last
            last = max(round(seconds * TICKS), last + 1)
            add(frame, last)

        yield timed
        if last < 0:
            raise LabanError(f"{target}: found no frames to write; accepted one or more")


def check_suffix(path: Path, accepted: tuple[str, ...]) -> None:
    """LabanError unless `path` ends in one of `accepted`."""
    if path.suffix.lower() not in accepted:
        raise LabanError(f"{path}: found the suffix {path.suffix or '(none)'}; accepted {', '.join(accepted)}")


@contextmanager
def _open_mp4(
    path: Path, fps: float, quality: int, preset: str, *, sound: Iterator[Sound] | None = None
) -> Iterator[Callable[..., None]]:
    """Yield `add(picture)`, one picture after another, or `add(picture, tick)` for pictures at times of their own."""
    import av

    options = {"crf": str(quality), "preset": preset}
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 13
            track = _Track(container, sound) if sound is not None else None
            started, end = False, 0.0

            def add(picture: UInt8[ndarray, "height width 3"], tick: int | None = None) -> None:
                nonlocal started, end
                picture = _even(picture)
                if not started:
                    stream.height, stream.width = picture.shape[:2]
                    if tick is not None:
                        context.time_base = stream.time_base = Fraction(1, TICKS)
                    started = True
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                # Players take untagged colours for BT.601 or BT.709 by size; here they are always converted as tagged.
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                if tick is not None:
                    frame.pts, frame.time_base, end = tick, Fraction(1, TICKS), tick / TICKS + 1 / fps
                    frame.duration = round(TICKS / fps)
                container.mux(stream.encode(frame))
                if track is not None:
                    track.write(end)

            yield add
            if started:
                container.mux(stream.encode(None))
                if track is not None:
                    track.close(end)
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


class _Track:
    """The sound of a film: pieces with times of their own become one AAC stream without gaps."""

    def __init__(self, container: Any, pieces: Iterator[Sound]) -> None:
        self._container, self._pieces = container, pieces
        self._stream = container.add_stream("aac", rate=SOUND_RATE)
        self._stream.layout = "mono"
        self._waiting = np.zeros(0, np.float32)
        self._written = 0

    def write(self, until: float) -> None:
        """Sound up to `until` seconds, in whole blocks."""
        while (self._written + len(self._waiting)) / SOUND_RATE < until:
            piece = next(self._pieces, None)
            if piece is None:
                return
            gap = round(piece.start * SOUND_RATE) - self._written - len(self._waiting)
            silence = np.zeros(max(gap, 0), np.float32)
            self._waiting = np.concatenate([self._waiting, silence, piece.samples[max(-gap, 0) :]])
        while len(self._waiting) >= SOUND_BLOCK and self._written / SOUND_RATE < until:
            self._encode(SOUND_BLOCK)

    def close(self, until: float) -> None:
        """The rest, up to `until` seconds."""
        self.write(until)
        left = min(len(self._waiting), max(round(until * SOUND_RATE) - self._written, 0))
        if left:
            self._encode(left)
        self._container.mux(self._stream.encode(None))

    def _encode(self, samples: int) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(self._waiting[None, :samples], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._written, Fraction(1, SOUND_RATE)
        self._waiting = self._waiting[samples:]
        self._written += samples
        self._container.mux(self._stream.encode(frame))


def _even(picture: UInt8[ndarray, "height width 3"]) -> UInt8[ndarray, "grown_height grown_width 3"]:
    """The picture with its last row and column repeated where a side is odd: 4:2:0 halves both."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)


@contextmanager
def _open_gif(path: Path, fps: float) -> Iterator[AddFrame]:
    """Each frame has its own palette; all are kept until the end, at a byte a pixel."""
    from PIL import Image

    frames: list[Image.Image] = []

    def add(picture: UInt8[ndarray, "height width 3"]) -> None:
        frames.append(Image.fromarray(picture).quantize(GIF_COLORS, dither=Image.Dither.NONE))

    yield add
    if frames:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0)
