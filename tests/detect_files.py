"""A person who stands in every picture, and small detectors with random weights, for the tests of detection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from action_localization.pose import features as pose_features
from action_localization.spine.checkpoint import save_detector
from action_localization.spine.network import build_network
from action_localization.spine.systems import ActionFormer, EncoderConfig, HeadConfig
from models.video.blazepose import Landmarks, Region

PLACES = {
    0: (0.0, -0.62), 7: (0.06, -0.64), 8: (-0.06, -0.64), 11: (0.18, -0.48), 12: (-0.18, -0.48), 13: (0.22, -0.22),
    14: (-0.22, -0.22), 15: (0.24, 0.02), 16: (-0.24, 0.02), 19: (0.24, 0.09), 20: (-0.24, 0.09), 23: (0.10, 0.0),
    24: (-0.10, 0.0), 25: (0.11, 0.42), 26: (-0.11, 0.42), 27: (0.11, 0.82), 28: (-0.11, 0.82), 29: (0.11, 0.87),
    30: (-0.11, 0.87), 31: (0.13, 0.88), 32: (-0.13, 0.88),
}  # fmt: skip
"""Where BlazePose's landmarks of somebody who faces the camera are, in metres from the hips, y down."""


class Standing:
    """Stands in for the pose networks: people at (x, y) of their hips and their height, as shares of the picture."""

    def __init__(self, people: Sequence[tuple[float, float, float]] = ((0.5, 0.55, 0.8),), fail_after: int = -1):
        self.people, self.fail_after, self.looks = people, fail_after, 0

    def __call__(self) -> Standing:
        return self

    def _regions(self, picture: np.ndarray) -> list[Region]:
        height, width = picture.shape[:2]
        return [Region(x * width, y * height, 1.2 * tall * height, 0.0) for x, y, tall in self.people]

    def detect(self, picture: np.ndarray) -> list[tuple[float, Region]]:
        return [(0.9, region) for region in self._regions(picture)]

    def landmarks(self, picture: np.ndarray, region: Region) -> Landmarks:
        self.looks += 1
        if self.looks == self.fail_after:
            raise KeyboardInterrupt
        here = min(self._regions(picture), key=lambda r: abs(r.x - region.x), default=region)
        world = np.zeros((33, 3), np.float32)
        for index, place in PLACES.items():
            world[index, :2] = place
        swing = 0.3 * np.sin(self.looks / 5)
        world[15, 1] -= 0.3 + swing
        image = world * here.side / 2 + (here.x, here.y, 0)
        one = np.ones(33, np.float32)
        score = float(bool(self.people) and abs(here.x - region.x) < region.side / 2)
        return Landmarks(image.astype(np.float32), world, one, one, score, here)


def save_random(folder: Path, width: int, classes: Sequence[str], extractor: str, **extra: object) -> Path:
    """A detector's checkpoint folder with random weights, whose scores lie about 0.5."""
    torch.manual_seed(0)
    encoder = EncoderConfig(width=16, levels=3, heads=2, hidden=32, window=5)
    host = ActionFormer(encoder=encoder, head=HeadConfig(width=16, prior=0.5))
    save_detector(folder, build_network(host, width, tuple(classes)), "# random\n",
                  extra={"extractor": extractor, **extra})  # fmt: skip
    return folder


def save_pose_detector(folder: Path, classes: Sequence[str] = ("walk", "wave", "jump")) -> Path:
    """The same for body pose."""
    return save_random(folder, pose_features.WIDTH, classes, pose_features.EXTRACTOR,
                       thresholds=dict.fromkeys(classes, 0.6))  # fmt: skip
