"""A video, a camera, a motion or features as a stream; each action the moment it ends out.

session = Session(load_online(), "clip")
for segment in session.hear(arrivals):
    print(segment.label, segment.start, segment.end, segment.gentime)
session.timeline()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from action_localization.online.horizon import Horizon, HorizonConfig
from action_localization.online.lane import Lane, OnlineSystem
from action_localization.online.learning import Thresholded
from action_localization.online.watching import Arrival
from action_localization.pose.detector import detect_entries, load_pose_detector, shown
from action_localization.pose.features import EXTRACTOR, FPS, POOL, entry_grid, extracted_features, person_features
from action_localization.regimes.systems import load_system
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features, read_features
from models.motion import Motion

NAME = "online"
"""The embedded checkpoint."""

LOOK_AHEAD = 1 / FPS
"""Seconds after a row's end at which it is known: the velocities of a frame need the next one."""


def load_online(name: str | Path = NAME) -> tuple[Thresholded, dict[str, Any]]:
    """(detector in evaluation mode, configuration) of an embedded checkpoint's name or of a folder that training made.

    LabanError when it is another kind of checkpoint.
    """
    return load_system(name, "online")


def behind_horizon(name: str | Path, seconds: float, threshold: float | None = None) -> tuple[Horizon, dict[str, Any]]:
    """(the offline pose detector, believed so many seconds back; its configuration); `threshold` is for all classes.

    LabanError for a negative or too long horizon.
    """
    rate = FPS / POOL
    if not 0 <= seconds * rate < HorizonConfig.window:
        raise LabanError(f"--horizon {seconds:g}; accepted: 0 to {(HorizonConfig.window - 1) / rate:g} seconds")
    detector = load_pose_detector(name)
    if threshold is not None:
        detector = replace(detector, thresholds=dict.fromkeys(detector.classes, max(threshold, 1e-9)))
    config = HorizonConfig(horizon=round(seconds * rate), every=5, threshold=0.0)
    offline = Horizon(lambda features: shown(detector, detect_entries(detector, features)), detector.network.features,
                      detector.classes, config)  # fmt: skip
    return offline, {**detector.config, "features": detector.network.features}


class Session:
    """One source under a detector: a lane for each person, what was noted, and how long rows took."""

    def __init__(self, network: OnlineSystem, name: str, grid: FrameGrid | None = None) -> None:
        self.network, self.name, self.grid = network, name, grid or entry_grid(0)
        self.lanes: dict[int, Lane] = {}
        self.notes: list[str] = []

    def hear(self, arrivals: Iterable[Arrival]) -> Iterator[Segment]:
        """The segments of arrivals as they become known; rows that are refused are noted and passed over."""
        for arrival in arrivals:
            lane = self._lane(arrival.actor)
            for row in range(len(arrival.rows)):
                lane.lag = max(0.0, arrival.known - lane.end_of(lane.count))
                try:
                    found = lane.push(arrival.rows[row : row + 1])
                except LabanError as error:
                    if not np.isfinite(arrival.rows[row]).all():
                        self.notes.append(str(error))
                        found = lane.skip(1)
                    else:
                        raise
                for segment in found:
                    yield replace(segment, actor=arrival.actor)

    def close(self) -> Iterator[Segment]:
        """The stream is over: what is still open."""
        for actor, lane in self.lanes.items():
            for segment in lane.flush():
                yield replace(segment, actor=actor)

    def timeline(self) -> Timeline:
        """Everything emitted so far."""
        found = {actor: lane.timeline() for actor, lane in self.lanes.items()}
        segments = [replace(s, actor=actor) for actor, timeline in found.items() for s in timeline.segments]
        return Timeline(tuple(segments), max((timeline.duration for timeline in found.values()), default=0.0))

    def step_seconds(self) -> tuple[float, float]:
        """(median, 99th percentile) of the seconds that a row took the detector; NaN before the first one."""
        latest = [seconds for lane in self.lanes.values() for seconds in lane.latency.latest]
        return (float(np.percentile(latest, 50)), float(np.percentile(latest, 99))) if latest else (np.nan, np.nan)

    def _lane(self, actor: int) -> Lane:
        if actor not in self.lanes:
            self.lanes[actor] = Lane(self.network, self.grid, self.name if actor == 0 else f"{self.name}#{actor + 1}")
        return self.lanes[actor]


def motion_arrivals(motion: Motion) -> Iterator[Arrival]:
    """The rows of everybody in a motion, in order of time."""
    from models.motion_text.features import joints_of

    entries = []
    for joints in joints_of(motion):
        whole = np.ones(joints.shape[:2], np.float32)
        entries.append(person_features(joints, whole, np.ones(len(joints), bool), FPS))
    for row in range(max((len(one.values) for one in entries), default=0)):
        for actor, one in enumerate(entries):
            if row < len(one.values):
                yield Arrival(one.values[row : row + 1], one.grid.start(row + 1) + LOOK_AHEAD, actor)


def feature_arrivals(path: str | Path, config: Mapping[str, Any]) -> tuple[FrameGrid, Iterator[Arrival]]:
    """(where they lie in time, the rows) of a feature file; a row is known when its window is over.

    LabanError as `read_features` has it, and for features of another kind than the detector's.
    """
    features = read_features(path)
    if config.get("extractor") == EXTRACTOR and features.width != config["features"]:
        try:
            features = extracted_features(features)
        except LabanError as error:
            raise LabanError(f"{path}: {error}") from None
    if features.width != config["features"]:
        raise LabanError(f"{path}: features are {features.width} wide; the detector was trained on "
                         f"{config['features']}")  # fmt: skip
    return features.grid, _rows(features)


def _rows(features: Features) -> Iterator[Arrival]:
    for row in range(len(features.values)):
        yield Arrival(features.values[row : row + 1], 0.0)
