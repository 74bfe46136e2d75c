"""People in pictures as they come: the rows of the pose detector a moment after each picture.

Lifting smooths over time and finds the floor within seconds, so a stretch of the last seconds is lifted again and again
and believed up to a quarter of a second before its end: that, the picture after (which says which one is nearest) and
the two frames of a row are the whole delay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from action_localization.pose.features import FPS, POOL, ROW, pooled, pose_rows
from models.video.blazepose import PoseNetworks
from models.video.pose import SHORT_SIDE, person_of
from models.video.reading import Video
from models.video.tracking import Networks, Sightings, Tracker

STRETCH = 6.0
"""Seconds that are lifted at a time."""

HORIZON = 5
"""Frames at 20 fps that are not believed yet: two standard deviations and a half of the widest filter but depth's."""


@dataclass(frozen=True)
class Arrival:
    """Rows of one person, and the seconds of the stream at which the last of them was known."""

    rows: Float32[ndarray, "entries width"]
    known: float
    actor: int = 0


class Watcher:
    """Pictures of a 20 fps grid in, rows of the most prominent person out (zeros before anybody was seen)."""

    def __init__(self, networks: Networks, size: tuple[int, int], interval: float) -> None:
        self.tracker = Tracker(networks, 1)
        self.size, self.interval = size, interval
        self.frames = 0
        """Pictures of the grid that came."""
        self.done = 0
        """Frames that were given out."""
        self.seen = 0
        """Frames given out in which somebody was seen."""
        self._tracks: deque[Sightings] = deque()
        self._held = np.zeros(ROW, np.float32)

    def add(self, time: float, picture: UInt8[ndarray, "height width 3"], *, new: bool = True) -> None:
        """The next picture of the grid; not `new`: the one before is shown again."""
        if new:
            self.tracker.add(time, picture)
            self.tracker.finished()
            for track in self.tracker.followed:
                if not any(track is other for other in self._tracks):
                    self._tracks.append(track)
            while self._tracks and time - self._tracks[0].times[-1] > STRETCH:
                self._tracks.popleft()
        self.frames += 1

    def rows(self, *, last: bool = False) -> Float32[ndarray, "entries width"]:
        """The rows that can be believed by now; at the end of the video all of them, an odd frame counting twice."""
        stop = self.frames if last else max(self.frames - HORIZON, 0)
        count = stop - self.done
        count -= 0 if last else count % POOL
        if count <= 0:
            return np.zeros((0, pooled(np.zeros((POOL, ROW), np.float32)).shape[1]), np.float32)
        span = range(self.done, self.done + count)
        rows = np.repeat(self._held[None], count, 0)
        rows[:, 1:4] = rows[:, 67:] = 0.0  # nobody moves whom nobody sees
        for track in self._tracks:
            self._fill(rows, span, track)
        self.done, self._held = span.stop, rows[-1].copy()
        self.seen += int(rows[:, -1].sum())
        return pooled(rows)

    def _fill(self, rows: Float32[ndarray, "count 156"], span: range, track: Sightings) -> None:
        """Put a person's rows where they were seen."""
        first = int(np.searchsorted(track.times, track.times[-1] - STRETCH))
        recent = Sightings(track.times[first:], track.landmarks[first:])
        if (recent.times[-1] + self.interval) * FPS < span.start:
            return
        person = person_of(recent, self.frames, self.size, self.interval)
        if person is None:
            return
        low, high = max(person.first, span.start), min(person.last, span.stop)
        if low < high:
            made = pose_rows(person.joints, person.confidence, person.observed)
            rows[low - span.start : high - span.start] = made[low - person.first : high - person.first]


def watch(video: Video, networks: Networks | None = None) -> Iterator[Arrival]:
    """The rows of a video while it is read. LabanError when the pose networks are not installed."""
    watcher = Watcher(networks or PoseNetworks(), video.size(SHORT_SIDE), 1 / min(FPS, video.info.fps))
    before, interval = -1.0, 1 / video.info.fps
    for chunk in video.chunks(fps=FPS, short_side=SHORT_SIDE, length=1):
        time = float(chunk.times[0])
        watcher.add(time, chunk.frames[0], new=time != before)
        before = time
        rows = watcher.rows()
        if len(rows):
            yield Arrival(rows, max(watcher.frames / FPS, time) + interval)
    rows = watcher.rows(last=True)
    if len(rows):
        yield Arrival(rows, watcher.frames / FPS + interval)
