"""A stream without a network: somebody who walks, turns, waves or stands, by closed formulas, as the words ask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from laban.errors import LabanError
from models.body.model import load_body
from models.body.skeleton import JOINT
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS, Frame

KNOWN = {"walk": 1.2, "turn left": 0.5, "stand": 0.0, "wave": 0.0}
"""Actions, and how many metres a second they go forward."""


@dataclass(frozen=True)
class Answer:
    """What `say` answers, as the contract of streams has it."""

    text: str
    leaning: str
    sure: bool
    seconds: float | None


class Walker:
    """An endless stream; words take effect at the next primitive."""

    def __init__(self, text: str = "stand") -> None:
        self._text, self._next = text, text
        self._index, self._heading = 0, 0.0
        self._place = np.zeros(2)
        self._height = -float(load_body().v_template[:, 1].min())

    def say(self, text: str) -> Answer:
        if not text.strip():
            raise LabanError("found nothing said; accepted: words")
        sure = text in KNOWN
        self._next = text
        return Answer(text, f"leans on {text if sure else 'stand'} {1.0 if sure else 0.1:.2f}", sure, None)

    def __iter__(self) -> Walker:
        return self

    def __next__(self) -> Frame:
        if self._index % FUTURE == 0:
            self._text = self._next
        seconds = self._index / FPS
        self._heading += (math.pi / 2 / FPS) * (self._text == "turn left")
        speed = KNOWN.get(self._text, 0.0)
        self._place += np.array([math.sin(self._heading), math.cos(self._heading)]) * speed / FPS
        root = np.array([self._place[0], self._height, self._place[1]], np.float32)
        frame = Frame(self._index, seconds, self._pose(seconds, speed), root, self._text)
        self._index += 1
        return frame

    def _pose(self, seconds: float, speed: float) -> np.ndarray:
        swing = math.sin(2 * math.pi * 0.9 * seconds) * min(speed, 1.0)
        turns = {"left_hip": ("x", -0.5 * swing), "right_hip": ("x", 0.5 * swing),
                 "left_knee": ("x", 0.6 * max(0.0, swing)), "right_knee": ("x", 0.6 * max(0.0, -swing)),
                 "left_shoulder": ("z", -1.25), "right_shoulder": ("z", 1.25)}  # fmt: skip
        if self._text == "wave":
            turns["right_shoulder"] = ("z", -0.6 + 0.3 * math.sin(4 * math.pi * seconds))
        pose = np.tile(np.eye(3, dtype=np.float32), (22, 1, 1))
        pose[0] = turn("y", self._heading)
        for joint, (axis, angle) in turns.items():
            pose[JOINT[joint]] = turn(axis, angle)
        return pose


def turn(axis: str, angle: float) -> np.ndarray:
    """The rotation matrix about an axis, float32."""
    one, two = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[[one, one, two, two], [one, two, one, two]] = [math.cos(angle), -math.sin(angle), math.sin(angle),
                                                          math.cos(angle)]  # fmt: skip
    return matrix
