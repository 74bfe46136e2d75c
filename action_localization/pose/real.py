"""Real video with labels of our own: which seconds of which clips show what, and the person who does it.

The clips themselves are not part of this project: `real_clips.json` names files of a folder that the user brings, each
with the start of its SHA-256, and what we saw in them. `source` is the same for clips that may show the same person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from action_localization.pose.classes import names
from action_localization.pose.features import FPS
from action_localization.pose.streams import Clip
from laban.errors import LabanError
from models.body.skeleton import NUM_BODY
from models.video.pose import People, Person, Tracks, lifted, read_tracks, streams
from models.video.reading import open_video
from models.video.tracking import Networks
from models.video.tracks_file import read_tracks_file, write_tracks

SEEN = 0.5
"""A stretch serves for measuring when its person was found in at least this share of it, whatever a detector says."""

AWAY = 0.15
"""How far from where we saw somebody the hips of a track may lie to be theirs, as a fraction of the longer side."""

PREFIX = 16
"""Hexadecimal digits of a file's SHA-256 that the annotation keeps."""


@dataclass(frozen=True)
class Stretch:
    """Seconds `start` to `end` of a file that show one action; `label` None: none of the classes.

    `at` is where the person's hips are in the middle of the stretch, as fractions of the picture, where somebody else
    is more prominent. `idle`: they stand, sit or talk.
    """

    file: str
    sha256: str
    label: str | None
    start: float
    end: float
    source: str
    note: str = ""
    verified_by_eye: bool = True
    at: tuple[float, float] | None = None
    idle: bool = False

    @property
    def name(self) -> str:
        """The file with the second at which the stretch starts."""
        return f"{self.file}@{self.start:g}"


@dataclass(frozen=True)
class RealClip:
    """A stretch and the person in it at 20 fps; `seen` is the share of it in which they were found."""

    stretch: Stretch
    clip: Clip
    seen: float

    @property
    def source(self) -> str:
        return self.stretch.source

    @property
    def label(self) -> str | None:
        return self.stretch.label


@cache
def marked_stretches() -> tuple[Stretch, ...]:
    """Every stretch that we marked, in order of file and time."""
    text = files("action_localization.pose").joinpath("data/real_clips.json").read_text("utf-8")
    return tuple(_stretch(row) for row in loads(text)["clips"])


def read_real_clips(
    folder: Path,
    stretches: Sequence[Stretch] | None = None,
    *,
    kept: Path | None = None,
    networks: Networks | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[RealClip]:
    """The people in the stretches (all of `marked_stretches` unless given) of clips below `folder`, in their order.

    Stretches in which nobody is found are left out. With the folder `kept`, what the pose networks saw is kept there
    and read again. `advance` is told of each file done. LabanError when a file is missing or not the one we saw.
    """
    stretches = marked_stretches() if stretches is None else stretches
    groups: dict[tuple[str, int], list[Stretch]] = {}
    for stretch in stretches:
        groups.setdefault((stretch.file, 1 if stretch.at is None else 2), []).append(stretch)
    clips: dict[Stretch, RealClip] = {}
    for (file, people), rows in groups.items():
        found = lifted(_tracks(folder / file, rows[0].sha256, people, kept, networks))
        for stretch in rows:
            if (clip := real_clip(stretch, found)) is not None:
                clips[stretch] = clip
        if advance is not None:
            advance(1)
    return [clips[stretch] for stretch in stretches if stretch in clips]


def files_of(stretches: Sequence[Stretch]) -> int:
    """How many readings `read_real_clips` makes: for a progress bar."""
    return len({(stretch.file, stretch.at is None) for stretch in stretches})


def real_clip(stretch: Stretch, found: People) -> RealClip | None:
    """The person of a stretch among those found in its video; None when nobody was."""
    first = max(round(stretch.start * FPS), 0)
    last = min(round(stretch.end * FPS), found.grid.frames)
    persons = _the_person(stretch, found, (first + last) // 2)
    if not any(person.first < last and person.last > first for person in persons):
        return None
    joints, confidence, observed = joined(persons, first, last)
    clip = Clip(stretch.name, joints, stretch.label, stretch.idle, confidence, observed)
    return RealClip(stretch, clip, float(observed.mean()))


def joined(
    persons: Sequence[Person], first: int, last: int
) -> tuple[Float32[ndarray, "frames 22 3"], Float32[ndarray, "frames 22"], Bool[ndarray, " frames"]]:
    """Entries `first` to `last` of people who follow one another: joints, confidence, and whether somebody was found.

    Each goes on above the spot where the one before stopped; in between, joints go evenly and confidence is 0.
    """
    frames = last - first
    joints = np.zeros((frames, NUM_BODY, 3), np.float32)
    confidence, observed = np.zeros((frames, NUM_BODY), np.float32), np.zeros(frames, bool)
    covered = np.zeros(frames, bool)
    spot: ndarray | None = None
    for person in sorted(persons, key=lambda one: one.first):
        low, high = max(person.first, first), min(person.last, last)
        if low >= high:
            continue
        here = slice(low - person.first, high - person.first)
        part = person.joints[here].copy()
        if spot is not None:
            part[..., [0, 2]] += spot - part[0, 0, [0, 2]]
        spot = part[-1, 0, [0, 2]]
        there = slice(low - first, high - first)
        joints[there], covered[there] = part, True
        confidence[there] = person.confidence[here] * person.observed[here, None]
        observed[there] = person.observed[here]
    return _filled(joints, covered), confidence, observed


def _filled(joints: Float32[ndarray, "frames 22 3"], covered: Bool[ndarray, " frames"]) -> Float32[ndarray, "..."]:
    known = np.flatnonzero(covered)
    flat = joints.reshape(len(joints), -1)
    columns = [np.interp(np.arange(len(flat)), known, column[known]) for column in flat.T]
    return np.stack(columns, 1).reshape(joints.shape).astype(np.float32)


def _the_person(stretch: Stretch, found: People, middle: int) -> list[Person]:
    if stretch.at is None:
        return next(iter(streams(found)), [])
    place = np.array(stretch.at) * found.size

    def away(person: Person) -> float:
        hips = person.image[middle - person.first, [23, 24], :2].mean(0)
        return float(np.linalg.norm(hips - place))

    there = [person for person in found.people if person.first <= middle < person.last]
    nearest = min(there, key=away, default=None)
    return [nearest] if nearest is not None and away(nearest) <= AWAY * max(found.size) else []


def _tracks(path: Path, sha256: str, people: int, kept: Path | None, networks: Networks | None) -> Tracks:
    stored = None if kept is None else kept / f"{sha256}-{people}.npz"
    if stored is not None and stored.is_file():
        return read_tracks_file(stored)
    check_file(path, sha256)
    with open_video(path) as video:
        tracks = read_tracks(video, people=people, networks=networks)
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        write_tracks(tracks, stored)
    return tracks


def check_file(path: Path, sha256: str) -> None:
    """LabanError unless this is the file that was annotated."""
    if not path.is_file():
        raise LabanError(f"{path}: no such file; the annotated clips are looked for below the folder you name")
    found = hashlib.sha256(path.read_bytes()).hexdigest()[: len(sha256)]
    if found != sha256:
        raise LabanError(f"{path}: is not the clip that was annotated (SHA-256 {found}…, expected {sha256}…)")


def _stretch(row: dict[str, Any]) -> Stretch:
    at = row.get("at")
    stretch = Stretch(**{**row, "at": None if at is None else (float(at[0]), float(at[1]))})
    if stretch.label is not None and stretch.label not in names():
        raise LabanError(f"real_clips.json: {stretch.name}: label {stretch.label!r} is no class of the detector")
    if not 0 <= stretch.start < stretch.end:
        raise LabanError(f"real_clips.json: {stretch.name}: {stretch.start:g} to {stretch.end:g} s is no stretch")
    return stretch
