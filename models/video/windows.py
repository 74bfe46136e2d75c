"""From a video to features by windows: the pictures a network sees at a time, and where its rows lie in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features
from models.video.reading import Video

READ_MARGIN = 1.15
"""Pictures are read this much larger than the crop, so that scaling them down once more keeps them sharp."""


@dataclass(frozen=True)
class Sampling:
    """`window` pictures `1 / fps` seconds apart make a row, `stride` pictures later the next; `size` pixels square."""

    fps: float
    window: int
    stride: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.stride < 1 or self.window < 1:
            raise LabanError(f"stride {self.stride}, window {self.window}; accepted: at least one picture each")


Rows = Callable[[Float[Tensor, "batch 3 window size size"]], Float[Tensor, "batch width"]]
"""A network without its last layer."""


def windowed_features(
    video: Video,
    rows_of: Rows,
    sampling: Sampling,
    extractor: str,
    *,
    batch: int = 4,
    device: torch.device | None = None,
    advance: Callable[[int], None] | None = None,
) -> Features:
    """One row for every window that lies in the video (a shorter video gives one, its last picture held).

    Only the pictures of one batch of windows are in memory. Row i is of pictures i * stride to i * stride + window.
    """
    place = device or torch.device("cpu")
    rows: list[ndarray] = []
    pending: list[Tensor] = []

    def run() -> None:
        with torch.inference_mode():
            rows.append(rows_of(torch.stack(pending).to(place)).float().cpu().numpy())
        if advance is not None:
            advance(len(pending))
        pending.clear()

    for window in windows(prepared(video, sampling), sampling.window, sampling.stride):
        pending.append(torch.stack(window, 1))
        if len(pending) == batch:
            run()
    if pending:
        run()
    values = np.concatenate(rows).astype(np.float32)
    grid = FrameGrid(sampling.fps, len(values), sampling.stride, sampling.window)
    return Features(values, grid, extractor)


def prepared(video: Video, sampling: Sampling) -> Iterator[Float[Tensor, "3 size size"]]:
    """The video's pictures at `sampling.fps`, each scaled, cropped in the middle and normalised once."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (sampling.mean, sampling.std))
    short_side = round(sampling.size * READ_MARGIN)
    for chunk in video.chunks(fps=sampling.fps, short_side=short_side):
        for picture in chunk.frames:
            yield (centre_crop(picture, sampling.size) / 255 - mean) / std


def centre_crop(picture: UInt8[ndarray, "height width 3"], size: int) -> Float[Tensor, "3 size size"]:
    """Scale the shorter side to `size` and cut the middle square out; values 0 to 255."""
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    scaled = max(round(height * scale), size), max(round(width * scale), size)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    if scaled != (height, width):
        pixels = F.interpolate(pixels, scaled, mode="bilinear", antialias=True, align_corners=False)
    top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return pixels[0, :, top : top + size, left : left + size].contiguous()


def windows(pictures: Iterator[Tensor], window: int, stride: int) -> Iterator[list[Tensor]]:
    """Every complete run of `window` pictures, `stride` apart; of a shorter video one, its last picture held."""
    held: list[Tensor] = []
    skip, complete = 0, False
    for picture in pictures:
        if skip:
            skip -= 1
            continue
        held.append(picture)
        if len(held) == window:
            complete = True
            yield list(held)
            skip = max(stride - window, 0)
            del held[: min(stride, window)]
    if held and not complete:
        yield held + held[-1:] * (window - len(held))
