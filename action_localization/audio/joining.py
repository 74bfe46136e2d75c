"""Sound on the grid of the pictures: what MRAV reads is one array, so that all of the spine takes it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from action_localization.spine.systems import ASL, MRAV, Dense, System, wrapper
from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features


def joined(visual: Features, audio: Features | None, width: int) -> Features:
    """(entries, visual columns + `width` + 1): sound at each visual entry, and 1 where there is sound.

    The result goes by the name of the visual extractor.

    An entry hears the mean of the rows whose middle lies in its stride, or, where rows are longer than that, the two
    nearest in proportion. Before the first row and after the last one there is no sound, as with None. LabanError for
    another width or rows that are not finite.
    """
    count = len(visual.values)
    sound, heard = np.zeros((count, width), np.float32), np.zeros(count, bool)
    if audio is not None and len(audio.values):
        if audio.width != width:
            raise LabanError(f"sound is {audio.width} wide by {audio.extractor}; accepted: {width}")
        bad = np.flatnonzero(~np.isfinite(audio.values).all(1))
        if len(bad):
            raise LabanError(f"sound: {len(bad)} of {len(audio.values)} rows hold NaN or infinity, first {bad[0]}")
        sound, heard = on_grid(audio, visual.grid)
    columns = [visual.values, np.where(heard[:, None], sound, 0), heard[:, None]]
    return Features(np.concatenate(columns, 1).astype(np.float32), visual.grid, visual.extractor)


def on_grid(audio: Features, grid: FrameGrid) -> tuple[Float32[ndarray, "entries width"], Bool[ndarray, " entries"]]:
    """(rows of sound at the entries of a grid, which entries lie within the sound)."""
    rows, half = len(audio.values), grid.stride / grid.fps / 2
    middle = np.array([audio.grid.centre(i) for i in range(rows)])
    wanted = np.array([grid.centre(i) for i in range(grid.frames)])
    first, last = np.searchsorted(middle, wanted - half), np.searchsorted(middle, wanted + half)
    sums = np.concatenate([np.zeros((1, audio.width)), np.cumsum(audio.values, 0, dtype=np.float64)])
    means = (sums[last] - sums[first]) / np.maximum(last - first, 1)[:, None]
    low = np.clip(np.searchsorted(middle, wanted, side="right") - 1, 0, max(rows - 2, 0))
    high = np.minimum(low + 1, rows - 1)
    gap = np.maximum(middle[high] - middle[low], 1e-9)
    share = np.clip((wanted - middle[low]) / gap, 0, 1)[:, None]
    between = (1 - share) * audio.values[low] + share * audio.values[high]
    end = max(audio.grid.start(rows), 2 * middle[-1] - audio.grid.start(rows - 1))
    heard = (wanted >= audio.grid.start(0)) & (wanted < end)
    return np.where((last > first)[:, None], means, between).astype(np.float32), heard


def with_sound(host: Dense | ASL, width: int) -> MRAV:
    """A host that hears, for sound of this width."""
    return MRAV(host=host, audio=width)


def hears(system: System) -> int | None:
    """Width of the sound that a system reads; None when it reads none."""
    fused = wrapper(system, MRAV)
    return fused.audio if fused else None


def sized(system: System, width: int) -> System:
    """The same system for sound of another width; LabanError when it reads none."""
    if not isinstance(system, MRAV):
        raise LabanError(f"system {system.name} reads no sound; accepted: mrav")
    return replace(system, audio=width)


def common_width(sounds: Sequence[Features | None]) -> int:
    """The width of the sounds there are; LabanError when there are none or they differ."""
    widths = sorted({one.width for one in sounds if one is not None})
    if len(widths) != 1:
        found = ", ".join(map(str, widths)) or "no sound at all"
        raise LabanError(f"sound: found {found}; accepted: videos with sound of one width, some of which may be silent")
    return widths[0]
