"""Writing moving pictures, frame by frame: H.264 in an mp4 file, or an animated GIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path

VIDEO_SUFFIXES = (".mp4", ".gif")
QUALITY = 20
"""x264's constant rate factor: 0 is lossless, 51 worst."""
GIF_COLORS = 255

AddFrame = Callable[[UInt8[ndarray, "height width 3"]], None]


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


def check_suffix(path: Path, accepted: tuple[str, ...]) -> None:
    """LabanError unless `path` ends in one of `accepted`."""
    if path.suffix.lower() not in accepted:
        raise LabanError(f"{path}: found the suffix {path.suffix or '(none)'}; accepted {', '.join(accepted)}")


@contextmanager
def _open_mp4(path: Path, fps: float, quality: int, preset: str) -> Iterator[AddFrame]:
    import av

    options = {"crf": str(quality), "preset": preset}
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 13
            started = False

            def add(picture: UInt8[ndarray, "height width 3"]) -> None:
                nonlocal started
                picture = _even(picture)
                if not started:
                    stream.height, stream.width = picture.shape[:2]
                    started = True
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                # Players take untagged colours for BT.601 or BT.709 by size; here they are always converted as tagged.
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                container.mux(stream.encode(frame))

            yield add
            if started:
                container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


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
