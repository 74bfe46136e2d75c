"""Tracks on disk: what the pose networks saw, so that lifting can be done again without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import read_npz, write_npz
from models.video.blazepose import Landmarks, Region
from models.video.pose import Tracks
from models.video.tracking import Sightings

SHAPES: dict[str, tuple[int, ...]] = {
    "track": (), "time": (), "image": (33, 3), "world": (33, 3), "visibility": (33,), "presence": (33,), "score": (),
    "region": (4,),
}  # fmt: skip
"""Of one row of each array."""
COLUMNS = tuple(SHAPES)[2:]
NAMES = ("grid", *SHAPES)


def write_tracks(tracks: Tracks, path: Path) -> None:
    """One .npz of plain arrays, every track's sightings one after another. LabanError when it cannot be written."""
    seen = [found for track in tracks.tracks for found in track.landmarks]
    counts = [len(track.times) for track in tracks.tracks]
    regions = [found.following for found in seen]
    arrays: dict[str, ndarray | str | int | float] = {
        "grid": np.array([tracks.frames, *tracks.size, tracks.slowest], np.float64),
        "track": np.repeat(np.arange(len(counts)), counts),
        "time": np.array([time for track in tracks.tracks for time in track.times], np.float64),
        "image": _stacked([found.image for found in seen], (33, 3)),
        "world": _stacked([found.world for found in seen], (33, 3)),
        "visibility": _stacked([found.visibility for found in seen], (33,)),
        "presence": _stacked([found.presence for found in seen], (33,)),
        "score": np.array([found.score for found in seen], np.float32),
        "region": _stacked([np.array([r.x, r.y, r.side, r.angle]) for r in regions], (4,)),
    }
    write_npz(path, arrays)


def read_tracks_file(path: Path) -> Tracks:
    """What `write_tracks` wrote; LabanError for any other file."""
    data = read_npz(path, NAMES)
    if missing := [name for name in NAMES if name not in data]:
        raise LabanError(f"{path}: no file of tracks; it lacks {', '.join(missing)}")
    count = data["track"].size
    for name, shape in {"grid": (4,), **{name: (count, *rest) for name, rest in SHAPES.items()}}.items():
        if data[name].shape != shape or data[name].dtype.kind not in "fiu":
            raise LabanError(f"{path}: no file of tracks; {name} is {data[name].dtype} of shape {data[name].shape}")
    if count and not 0 <= data["track"].min() <= data["track"].max() < count:
        raise LabanError(f"{path}: no file of tracks; tracks are numbered to {data['track'].max()} in {count} rows")
    frames, width, height, slowest = data["grid"].tolist()
    tracks = [Sightings() for _ in range(int(data["track"].max(initial=-1)) + 1)]
    for row, index in enumerate(data["track"].tolist()):
        image, world, visibility, presence, score, region = (data[name][row] for name in COLUMNS)
        found = Landmarks(image, world, visibility, presence, float(score), Region(*region.tolist()))
        tracks[index].add(float(data["time"][row]), found)
    return Tracks(tuple(tracks), int(frames), (int(width), int(height)), slowest)


def _stacked(rows: Sequence[ndarray], shape: tuple[int, ...]) -> Float32[ndarray, "rows ..."]:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, *shape), np.float32)
