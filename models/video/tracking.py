"""Following people through a video: landmarks where they were last, the detector only where somebody is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from models.video.blazepose import Landmarks, Region

MIN_SCORE = 0.5
"""Of the landmark network: below it, a person is lost."""

SEARCH_EVERY = 0.5
"""Seconds between searches for more people while somebody is followed, and between searches in close-ups."""

REVIEW_EVERY = 1.0
"""Seconds between looks at whether somebody more prominent has come while as many are followed as were asked for."""

MORE_PROMINENT = 1.4
"""How much more prominent they must be to be followed instead."""

RESUME = 1.0
"""A person found again within this many seconds, near the same place, is the same one."""

NEAR = 0.5
"""Two regions whose centres lie closer than this fraction of their mean side may be of one person."""

SAME = 0.12
"""Two skeletons whose landmarks lie this close on average, as a fraction of the region's side, are one person."""

LONGEST = 300.0
"""Seconds after which a track is ended and its person followed in a new one, so that memory stays small."""

CUT = 45.0
"""Mean difference of grey thumbnails (0 to 255) between pictures above which a new shot begins."""

SMALLEST = 24.0
"""Pixels a side: smaller people are not followed."""

TILES = 3
"""Overlapping squares along the longer side, in which people are sought who are too small in the whole picture."""


@runtime_checkable
class Networks(Protocol):
    """What the tracker needs of `models.video.blazepose.PoseNetworks`."""

    def detect(self, picture: UInt8[ndarray, "height width 3"]) -> list[tuple[float, Region]]: ...

    def landmarks(self, picture: UInt8[ndarray, "height width 3"], region: Region) -> Landmarks: ...


@dataclass(eq=False)
class Sightings:
    """One person: the times (seconds) at which they were seen, and their landmarks then."""

    times: list[float] = field(default_factory=list)
    landmarks: list[Landmarks] = field(default_factory=list)

    @property
    def region(self) -> Region:
        """Where to look next."""
        return self.landmarks[-1].following

    def add(self, time: float, found: Landmarks) -> None:
        self.times.append(time)
        self.landmarks.append(found)


class Tracker:
    """Follows up to `people` people through pictures added in order; `finished` gives the tracks that ended."""

    def __init__(self, networks: Networks, people: int = 1) -> None:
        self._networks, self._people = networks, people
        self._followed: list[Sightings] = []
        self._lost: list[Sightings] = []
        self._thumbnail: ndarray | None = None
        self._searched = self._searched_parts = -np.inf
        self._tracks: list[Sightings] = []

    def add(self, time: float, picture: UInt8[ndarray, "height width 3"]) -> None:
        """Take the next picture, shown at `time` seconds."""
        if self._is_cut(picture):
            self._followed, self._lost = [], []
            self._searched = self._searched_parts = -np.inf
        self._follow(time, picture)
        self._lost = [track for track in self._lost if time - track.times[-1] <= RESUME]
        missing = self._people - len(self._followed)
        wait = REVIEW_EVERY if missing <= 0 else SEARCH_EVERY if self._followed else 0.0
        if time - self._searched >= wait:
            self._searched = time
            self._search(time, picture, max(missing, 1))
            self._drop_least(picture)

    @property
    def followed(self) -> tuple[Sightings, ...]:
        """Those who were seen in the latest picture."""
        return tuple(self._followed)

    def finished(self, *, all_of_them: bool = False) -> list[Sightings]:
        """The tracks to which nothing will be added any more, each of them once, in order of appearance."""
        growing = [] if all_of_them else [*self._followed, *self._lost]
        done = [track for track in self._tracks if not any(track is other for other in growing)]
        self._tracks = growing
        return done

    def _follow(self, time: float, picture: ndarray) -> None:
        kept: list[Sightings] = []
        for track in self._followed:
            found = self._look(picture, track.region)
            if found is None:
                self._lost.append(track)
            elif not any(_same(found, other.landmarks[-1]) for other in kept):
                if time - track.times[0] > LONGEST:
                    track = self._new_track()
                track.add(time, found)
                kept.append(track)
        self._followed = kept

    def _search(self, time: float, picture: ndarray, missing: int) -> None:
        detections = self._networks.detect(picture)
        if len(self._followed) >= self._people:
            bar = MORE_PROMINENT * min(prominence(track.region, picture) for track in self._followed)
            detections = [(score, region) for score, region in detections if prominence(region, picture) > bar]
        found = self._new_people(picture, detections, missing)
        if not found and not self._followed and time - self._searched_parts >= SEARCH_EVERY:
            self._searched_parts = time
            found = self._new_people(picture, _in_parts(self._networks, picture), missing)
        for landmarks in found:
            track = next((t for t in self._lost if _close(t.region, landmarks.following)), None)
            if track is None:
                track = self._new_track()
            else:
                self._lost = [other for other in self._lost if other is not track]
            track.add(time, landmarks)
            self._followed.append(track)

    def _new_track(self) -> Sightings:
        self._tracks.append(Sightings())
        return self._tracks[-1]

    def _drop_least(self, picture: ndarray) -> None:
        """Follow no more people than were asked for."""
        if len(self._followed) > self._people:
            least = min(self._followed, key=lambda track: prominence(track.region, picture))
            self._followed = [track for track in self._followed if track is not least]

    def _new_people(self, picture: ndarray, detections: list[tuple[float, Region]], missing: int) -> list[Landmarks]:
        """Landmarks of the most prominent detections that nobody followed explains; each looked at twice."""
        known = [track.landmarks[-1] for track in self._followed]
        found: list[Landmarks] = []
        for _, region in sorted(detections, key=lambda pair: -pair[0] * prominence(pair[1], picture)):
            rough = self._look(picture, region, least=0.1)
            landmarks = rough and self._look(picture, rough.following)
            if landmarks is not None and not any(_same(landmarks, other) for other in (*known, *found)):
                found.append(landmarks)
                if len(found) == missing:
                    break
        return found

    def _look(self, picture: ndarray, region: Region, least: float = MIN_SCORE) -> Landmarks | None:
        height, width = picture.shape[:2]
        if not (SMALLEST <= region.side <= 8 * max(height, width)):
            return None
        if not (-0.5 * width < region.x < 1.5 * width and -0.5 * height < region.y < 1.5 * height):
            return None
        found = self._networks.landmarks(picture, region)
        return found if found.score >= least and np.isfinite(found.image).all() else None

    def _is_cut(self, picture: ndarray) -> bool:
        thumbnail = _thumbnail(picture)
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > CUT


def track_people(
    pictures: Iterable[tuple[float, UInt8[ndarray, "height width 3"]]], networks: Networks, people: int = 1
) -> Iterator[Sightings]:
    """Everybody seen in (seconds, picture) pairs, at most `people` at a time, each once they are gone."""
    tracker = Tracker(networks, people)
    for time, picture in pictures:
        tracker.add(time, picture)
        yield from tracker.finished()
    yield from tracker.finished(all_of_them=True)


def prominence(region: Region, picture: UInt8[ndarray, "height width 3"]) -> float:
    """How much a picture is about somebody: their size, half as much at the left and right edges as in the middle."""
    half = picture.shape[1] / 2
    return region.side * (1 - 0.5 * min(abs(region.x - half) / half, 1.0))


def _in_parts(networks: Networks, picture: ndarray) -> list[tuple[float, Region]]:
    """Detections in overlapping squares, two thirds of the shorter side, in the coordinates of the whole picture."""
    height, width = picture.shape[:2]
    side = max(min(height, width) * 2 // 3, 1)
    found = []
    for top in _starts(height, side):
        for left in _starts(width, side):
            part = np.ascontiguousarray(picture[top : top + side, left : left + side])
            found += [(score, Region(r.x + left, r.y + top, r.side, r.angle)) for score, r in networks.detect(part)]
    return found


def _starts(length: int, side: int) -> list[int]:
    count = min(max(round(2 * length / side) - 1, 1), TILES)
    return sorted({round(k * (length - side) / max(count - 1, 1)) for k in range(count)})


def _thumbnail(picture: ndarray) -> Float[ndarray, "rows columns"]:
    height, width = picture.shape[:2]
    rows, columns = np.linspace(0, height - 1, 24).astype(int), np.linspace(0, width - 1, 32).astype(int)
    return picture[rows[:, None], columns].mean(-1)


def _same(one: Landmarks, other: Landmarks) -> bool:
    """Shoulders and hips lie on one another."""
    trunk = [11, 12, 23, 24]
    apart = np.linalg.norm(one.image[trunk, :2] - other.image[trunk, :2], axis=-1).mean()
    return bool(apart < SAME * min(one.following.side, other.following.side))


def _close(one: Region, other: Region) -> bool:
    side = (one.side + other.side) / 2
    near = np.hypot(one.x - other.x, one.y - other.y) < NEAR * side
    return bool(near and 0.5 < one.side / max(other.side, 1e-6) < 2)
