"""The embedded audio encoder: log-mel energies of a sound track, a row every tenth of a second.

The front end is VGGish's (Hershey et al., ICASSP 2017: 16 kHz, windows of 25 ms every 10 ms, 64 bands from 125 to
7500 Hz, log(energy + 0.01)), without its network: a row holds the mean and the highest of each band over 0.2 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features
from models.video.container import Sound, is_live, read_sound

EXTRACTOR = "log_mel"
RATE = 16_000
HOP, WINDOW, SIZE = 160, 400, 512
"""Samples from one spectrum to the next, in a spectrum, and in its Fourier transform."""
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
FLOOR = 0.01
SCALE = 4.0
"""Silence is 0; a tone of full volume is about 2."""
STRIDE, SPAN = 10, 20
"""Spectra from one row to the next, and in a row."""
WIDTH = 2 * BANDS
LONGEST_GAP = 3600.0
"""Seconds; a time stamp that jumps further is taken for damage, and what follows goes on where the sound was."""


def sound_features(
    source: str | Path, *, seconds: float | None = None, advance: Callable[[int], None] | None = None
) -> Features:
    """The first sound track of a video or sound file, up to `seconds`, as rows of 128 every 0.1 s from 0 s on.

    Rows end where the sound does, which may be before the pictures do. Gaps and numbers that are not finite are
    silence. Memory grows by 26 kB a second. `advance` is told of each second read. LabanError when there is no sound
    track, nothing in it can be decoded, or the source is a camera or an address.
    """
    if is_live(str(source)):
        raise LabanError(f"{source}: sound is read from files alone; record it first")
    samples, read = [], 0
    for piece in _in_place(read_sound(source, RATE)):
        samples.append(piece)
        read += len(piece)
        if advance is not None:
            advance(1)
        if seconds is not None and read >= seconds * RATE:
            break
    if not read:
        raise LabanError(f"{source}: nothing of its sound track can be decoded")
    last = None if seconds is None else round(seconds * RATE)
    return log_mel(np.concatenate(samples)[:last])


def log_mel(samples: Float[ndarray, " samples"]) -> Features:
    """Rows of mono samples at 16 kHz from 0 s on; at least one."""
    spectra = np.concatenate(list(_spectra(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0))))
    count = max(1, -(-(len(spectra) - SPAN) // STRIDE) + 1)
    padded = np.pad(spectra, ((0, (count - 1) * STRIDE + SPAN - len(spectra)), (0, 0)))
    rows = np.lib.stride_tricks.sliding_window_view(padded, SPAN, axis=0)[::STRIDE]
    values = np.concatenate([rows.mean(-1), rows.max(-1)], 1).astype(np.float32)
    return Features(values, FrameGrid(RATE / HOP, len(values), STRIDE, SPAN), EXTRACTOR)


def _spectra(samples: Float[ndarray, " samples"]) -> Iterator[Float32[ndarray, "spectra 64"]]:
    """Log-mel energies, a minute of sound at a time; 0 is silence. The last window is filled up with silence."""
    count = max(1, -(-len(samples) // HOP))
    padded = np.pad(samples.astype(np.float32).clip(-8, 8), (0, count * HOP + WINDOW - HOP - len(samples)))
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    for first in range(0, count, 60 * RATE // HOP):
        part = windows[first : first + 60 * RATE // HOP] * shape
        energy = np.abs(np.fft.rfft(part, SIZE)) @ mel_filters()
        yield ((np.log(energy + FLOOR) - np.log(FLOOR)) / SCALE).astype(np.float32)


@cache
def mel_filters() -> Float[ndarray, "frequencies 64"]:
    """Triangles between equally spaced mels (2595 log10(1 + f / 700)), with a height of 1."""
    lowest, highest = _mel(np.array([LOWEST, HIGHEST])).tolist()
    edges = np.linspace(lowest, highest, BANDS + 2)
    places = _mel(np.fft.rfftfreq(SIZE, 1 / RATE))[:, None]
    step = edges[1] - edges[0]
    return (1 - np.abs(places - edges[1:-1]) / step).clip(0)


def _mel(hertz: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    return 2595 * np.log10(1 + hertz / 700)


def _in_place(pieces: Iterable[Sound]) -> Iterator[Float32[ndarray, " samples"]]:
    """Samples one after another from 0 s on: gaps are silence, and what comes before 0 s or twice is left out."""
    at = 0
    for piece in pieces:
        start, samples = round(piece.start * RATE), piece.samples.astype(np.float32)
        if abs(start - at) > LONGEST_GAP * RATE:
            start = at
        if start > at + RATE // 50:
            yield np.zeros(start - at, np.float32)
            at = start
        skipped = max(0, at - start) if abs(at - start) > RATE // 50 else 0
        samples = samples[skipped:]
        at += len(samples)
        if len(samples):
            yield samples
