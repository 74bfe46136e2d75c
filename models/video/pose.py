"""People in a video as 22 body joints at 20 fps: detection, following, lifting, and the features of motion encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from laban.timeline import FrameGrid
from models.body.skeleton import NUM_BODY
from models.features import Features
from models.representation import joints as joint_features
from models.video.blazepose import PoseNetworks
from models.video.lifting import Shots, joint_confidence, lift
from models.video.reading import Video
from models.video.tracking import Networks, Sightings, track_people

FPS = joint_features.FPS
SHORT_SIDE = 480
"""Larger pictures are shrunk to this: the landmark network sees 256 pixels of a person."""

SHORTEST = 5
"""Frames; whoever is seen for less is taken for an error."""

OVERLAP = 4
"""Frames that one track may go on beside the next and still be followed by it: rounding, and two looks at a cut."""

EXTRACTOR = "pose"
EXTRACTOR_CONFIDENCE = "pose_confidence"
CONFIDENCE_COLUMNS = NUM_BODY + 1
"""Behind the 133 joint columns: confidence of each joint, and whether anybody was seen at all."""


@dataclass(frozen=True)
class Person:
    """One person from the first to the last time they are seen; entry 0 is entry `first` of the video's grid.

    `joints` are metres, Y up, floor at 0, +Z towards the camera; `confidence` says how well each was seen, `observed`
    whether the person was found at all (False: interpolated). `image` and `visibility` are the network's 33 landmarks,
    in pixels of a picture of the size in `People`, for drawing.
    """

    first: int
    joints: Float[ndarray, "frames 22 3"]
    confidence: Float[ndarray, "frames 22"]
    observed: Bool[ndarray, " frames"]
    image: Float[ndarray, "frames 33 3"]
    visibility: Float[ndarray, "frames 33"]

    @property
    def last(self) -> int:
        """One past the last entry of the video's grid."""
        return self.first + len(self.joints)

    @property
    def prominence(self) -> float:
        """Frames seen times the person's size in the picture: orders people by how much a video is about them."""
        low, high = self.image[..., :2].min(1), self.image[..., :2].max(1)
        return float((np.linalg.norm(high - low, axis=-1) * self.observed).sum())


@dataclass(frozen=True)
class People:
    """Everybody found in a video, most prominent first, on its grid; `size` is (width, height) of the pictures used."""

    grid: FrameGrid
    people: tuple[Person, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Tracks:
    """What the pose networks saw of a video: every track, and the video's grid of `frames` entries.

    `slowest` is the rate of the pictures that were looked at, per second; `size` their (width, height).
    """

    tracks: tuple[Sightings, ...]
    frames: int
    size: tuple[int, int]
    slowest: float


def read_people(
    video: Video,
    *,
    people: int = 1,
    networks: Networks | None = None,
    advance: Callable[[int], None] | None = None,
) -> People:
    """Find and follow up to `people` people at a time through a video, in memory that grows by 1 kB a person and frame.

    `advance` is told of every entry done. Raises LabanError when the pose networks are not installed.
    """
    nets = networks or PoseNetworks()
    size, slowest = video.size(SHORT_SIDE), min(FPS, video.info.fps)
    times: list[float] = []
    tracks = track_people(_pictures(video, times, advance), nets, people)
    made = [person_of(track, len(times), size, 1 / slowest) for track in tracks]
    return _together(made, len(times), size)


def read_tracks(
    video: Video,
    *,
    people: int = 1,
    networks: Networks | None = None,
    advance: Callable[[int], None] | None = None,
) -> Tracks:
    """`read_people` up to the lifting, which is the part that takes time: 2 kB a person and frame."""
    nets = networks or PoseNetworks()
    times: list[float] = []
    found = tuple(track_people(_pictures(video, times, advance), nets, people))
    return Tracks(found, len(times), video.size(SHORT_SIDE), min(FPS, video.info.fps))


def lifted(tracks: Tracks) -> People:
    """Tracks as people on the video's grid; those who are seen for too short a while are left out."""
    made = [person_of(track, tracks.frames, tracks.size, 1 / tracks.slowest) for track in tracks.tracks]
    return _together(made, tracks.frames, tracks.size)


def streams(found: People, count: int = 1) -> list[list[Person]]:
    """`count` streams of people who follow one another in time, the most prominent in the first; later ones fill gaps.

    Empty streams are left out, so no stream at all means that nobody is in view.
    """
    result: list[list[Person]] = [[] for _ in range(count)]
    for person in found.people:
        free = (s for s in result if not any(_together_in_time(person, other) for other in s))
        if (stream := next(free, None)) is not None:
            stream.append(person)
    return [sorted(stream, key=lambda person: person.first) for stream in result if stream]


def stream_features(found: People, stream: list[Person], *, confidence: bool = False) -> Features:
    """The 133 joint columns (`models.representation.joints`) of a stream, one row for each entry of the video's grid.

    Where nobody is seen, rows go evenly from the last person's to the next one's. With `confidence`, 23 columns more:
    each joint's confidence, and 1 where somebody was seen; 0 tells what is interpolated.
    """
    rows = np.zeros((found.grid.frames, joint_features.LAYOUT.features), np.float32)
    seen = np.zeros((found.grid.frames, CONFIDENCE_COLUMNS), np.float32)
    covered = np.zeros(found.grid.frames, bool)
    for person in stream:
        span = slice(person.first, person.last)
        rows[span] = joint_features.encode(person.joints.astype(np.float64))
        seen[span, :NUM_BODY] = person.confidence * person.observed[:, None]
        seen[span, NUM_BODY] = person.observed
        covered[span] = True
    rows = _filled(rows, covered)
    if confidence:
        return Features(np.concatenate([rows, seen], 1), found.grid, EXTRACTOR_CONFIDENCE)
    return Features(rows, found.grid, EXTRACTOR)


def pose_features(source: str | Path, *, people: int = 1, confidence: bool = False) -> list[Features]:
    """Features of the `people` most prominent people of a video; an empty list when nobody is in view."""
    from models.video.reading import open_video

    with open_video(source) as video:
        found = read_people(video, people=people)
    return [stream_features(found, stream, confidence=confidence) for stream in streams(found, people)]


def _together_in_time(one: Person, other: Person) -> bool:
    """Whether both are seen for longer than where one follows the other at a cut."""
    return min(one.last, other.last) - max(one.first, other.first) > min(OVERLAP, len(one.joints) - 1)


def _pictures(
    video: Video, times: list[float], advance: Callable[[int], None] | None
) -> Iterator[tuple[float, ndarray]]:
    """Each picture once, with its time; `times` grows by one for every entry of the grid."""
    for chunk in video.chunks(fps=FPS, short_side=SHORT_SIDE):
        for time, picture in zip(chunk.times.tolist(), chunk.frames, strict=True):
            if not times or time != times[-1]:
                yield time, picture
            times.append(time)
            if advance is not None:
                advance(1)


def _together(made: list[Person | None], frames: int, size: tuple[int, int]) -> People:
    found = [person for person in made if person is not None]
    return People(FrameGrid(FPS, frames), tuple(sorted(found, key=lambda person: -person.prominence)), size)


def person_of(track: Sightings, frames: int, size: tuple[int, int], interval: float) -> Person | None:
    """One track on the video's grid, of which `frames` are known: values go linearly between sightings.

    None when it is too short. Sightings further apart than `interval` seconds leave a gap that is flagged.
    """
    times = np.array(track.times)
    first = max(int(np.ceil(times[0] * FPS - 0.5)), 0)
    last = min(int(np.floor(times[-1] * FPS + 0.5)) + 1, frames)
    moments = np.arange(first, last) / FPS
    observed = _nearest(times, moments) <= 0.75 * interval
    if observed.sum() < SHORTEST:
        return None

    def at(values: list[ndarray]) -> ndarray:
        flat = np.stack(values).reshape(len(values), -1)
        columns = [np.interp(moments, times, column) for column in flat.T]
        return np.stack(columns, 1).reshape(len(moments), *values[0].shape).astype(np.float32)

    image = at([found.image for found in track.landmarks])
    world = at([found.world for found in track.landmarks])
    visibility = at([found.visibility * found.presence for found in track.landmarks])
    joints = lift(Shots(image, world, visibility, FPS, size))
    return Person(first, joints, joint_confidence(visibility), observed, image, visibility)


def _nearest(times: Float[ndarray, " sightings"], moments: Float[ndarray, " frames"]) -> Float[ndarray, " frames"]:
    after = np.searchsorted(times, moments).clip(0, len(times) - 1)
    return np.minimum(np.abs(times[after] - moments), np.abs(times[(after - 1).clip(0)] - moments))


def _filled(rows: Float[ndarray, "frames width"], covered: Bool[ndarray, " frames"]) -> Float[ndarray, "frames width"]:
    known = np.flatnonzero(covered)
    if len(known) in (0, len(rows)):
        return rows
    result = rows.copy()
    missing = np.flatnonzero(~covered)
    after = np.searchsorted(known, missing).clip(0, len(known) - 1)
    before = (np.searchsorted(known, missing) - 1).clip(0)
    low, high = known[before], known[after]
    share = np.where(high > low, (missing - low) / np.maximum(high - low, 1), 0.0).clip(0, 1)[:, None]
    result[missing] = rows[low] * (1 - share) + rows[high] * share
    return result
