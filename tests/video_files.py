"""Tiny videos for the tests, written with PyAV: each picture's brightness tells its number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (64, 48)


def brightness(index: int) -> int:
    """Grey value of picture `index`."""
    return 20 + 6 * (index % 36)


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey picture with a red mark in its upper left corner."""
    pixels = np.full((size[1], size[0], 3), brightness(index), np.uint8)
    pixels[: size[1] // 4, : size[0] // 4] = (250, 20, 20)
    return pixels


def write_video(
    path: Path,
    times: Sequence[float],
    *,
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    rotation: int = 0,
    sound: float = 0.0,
    options: dict[str, str] | None = None,
    **stream_options: object,
) -> Path:
    """A video with pictures at `times` (seconds) and, if wanted, `sound` seconds of a 440 Hz tone."""
    with av.open(str(path), "w", options=options or {}) as box:
        stream = box.add_stream(codec, rate=30, options={"g": "6"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 30 if codec == "mpeg4" else 600)
        if rotation:
            stream.set_display_rotation(rotation)
        for name, value in {"bit_rate": 4_000_000, **stream_options}.items():
            setattr(stream.codec_context, name, value)
        track = box.add_stream("aac" if path.suffix != ".avi" else "mp2", rate=44100) if sound else None
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
        if track is not None:
            tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(sound * 44100)) / 44100)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
            fifo = av.AudioFifo()
            fifo.write(frame)
            while (piece := fifo.read(1024)) is not None:
                box.mux(track.encode(piece))
            box.mux(track.encode(None))
    return path


def numbers(frames: np.ndarray) -> list[int]:
    """Which picture each of some decoded ones is, by its brightness in the lower right corner."""
    grey = frames[:, -frames.shape[1] // 3 :, -frames.shape[2] // 3 :].mean((1, 2, 3))
    return [round((value - 20) / 6) for value in grey]
