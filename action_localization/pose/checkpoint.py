"""The detector's checkpoint: weights, the scores from which its segments are shown, and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from action_localization.pose.classes import VERSION
from action_localization.pose.detector import DEFAULT_THRESHOLD, PoseDetector, detect_entries
from action_localization.pose.features import EXTRACTOR, FPS, entry_grid
from action_localization.pose.mocap import measured_streams
from action_localization.pose.procedural_actions import ACTIONS
from action_localization.pose.streams import Stream
from action_localization.pose.training import observed_entries, stream_entries
from action_localization.spine.checkpoint import save_detector
from action_localization.spine.network import Detector
from laban.timeline import Timeline
from models.data.dataset import MotionDataset
from models.features import Features

CARD = """# detect: when each action starts and ends, from body pose

A pyramid detector (ActionFormer blocks, {parameters:.1f} M parameters) over the 22 body joints of a person at 20 fps,
two frames an entry. The same weights read motion files and people that the pose network finds in video
(`laban extract --encoder pose_confidence`). {count} classes: {classes}.

- Data: the `train` split of the project's motion capture set: Bandai Namco Research (CC BY-NC 4.0), CMU, DeepMimic
  (MIT; its Sony clips CC BY-NC 4.0), animator-keyed CC0 clips, UTKinect-Action3D and MSR Action3D (no licence stated,
  research use). Clips are spliced to streams with exact boundaries; two in three streams are seen through simulated
  cameras, with a pose network's errors, and lifted as real video is. **The weights are licensed CC BY-NC 4.0: for
  non-commercial use.**
- Procedural motion of {drawn} of the classes, those that motion capture lacks or hardly has:
  `action_localization/pose/procedural_actions.py` poses a body by rules with wide random ranges, written down from what
  the actions are, not fitted to recordings.{real}
- CMU: the data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
  EIA-0196217.
- Train again: `laban train pose-detector --dataset DATASET --run RUN -o FOLDER` (DATASET from `laban data build`).
- Segments are shown from a score of their class on, chosen for the best F1 on streams of the `val` split; classes
  without validation clips: {default:g}.

## Measured

{figures}

## Weaknesses

Most of the motion is one studio's walking, running, waving and arm raising, and half of the classes are known from
depth cameras or from fewer than ten takes alone. Test clips come from the same studios, actors and rooms as training
clips (depth-camera clips: other people). {weak}
"""


def stream_features(stream: Stream, seed: int | None) -> Features:
    """A stream's entries: as a motion file (None), or through the simulated cameras of a seed."""
    values = stream_entries(stream) if seed is None else observed_entries(stream, np.random.default_rng((seed, 7)))
    return Features(values, entry_grid(len(stream.joints)), EXTRACTOR)


def choose_thresholds(network: Detector, dataset: MotionDataset) -> dict[str, float]:
    """The scores from which segments are shown, from the validation streams, clean and observed."""
    detector = PoseDetector(network, {}, {})
    truths: dict[str, Timeline] = {}
    found: dict[str, Timeline] = {}
    for number, (name, stream) in enumerate(measured_streams(dataset, "val").items()):
        seed = None if number % 3 == 0 else number
        truths[name] = stream.truth
        found[name] = detect_entries(detector, stream_features(stream, seed), duration=stream.truth.duration)
    return best_thresholds(truths, found)


def save_pose_detector(
    folder: str | Path, network: Detector, thresholds: Mapping[str, float], *, figures: str = "Not yet.",
    real: str = "", weak: str = "",
) -> str:  # fmt: skip
    """Write the checkpoint folder; `figures`, `real` (what real video it saw) and `weak` go into the card."""
    card = CARD.format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6, count=len(network.classes),
        classes=", ".join(network.classes), drawn=sum(label is not None for label in ACTIONS),
        real=f"\n- {real}" if real else "", default=DEFAULT_THRESHOLD,
        figures=figures, weak=weak,
    )  # fmt: skip
    extra = {"extractor": EXTRACTOR, "fps": FPS, "class_version": VERSION, "thresholds": dict(thresholds)}
    return save_detector(folder, network, card, extra=extra)


def best_thresholds(
    truths: dict[str, Timeline], found: dict[str, Timeline], *, tiou: float = 0.5, least: int = 3
) -> dict[str, float]:
    """Per class the score from which segments are shown: the one with the best F1 over these streams.

    Classes with fewer than `least` truths are left out. Detections take the free truth that they overlap most.
    """
    thresholds = {}
    for label in sorted({segment.label for truth in truths.values() for segment in truth.segments}):
        total = sum(segment.label == label for truth in truths.values() for segment in truth.segments)
        hits = sorted(
            (hit for name in truths for hit in matched(truths[name], found[name], label, tiou)), key=lambda hit: -hit[0]
        )
        if total < least or not hits:
            continue
        right = np.cumsum([hit for _, hit in hits])
        score = 2 * right / (total + np.arange(1, len(hits) + 1))
        best = int(score.argmax())
        below = hits[best + 1][0] if best + 1 < len(hits) else 0.0
        thresholds[label] = round(float(np.clip((hits[best][0] + below) / 2, 0.05, 0.9)), 3)
    return thresholds


def matched(truth: Timeline, found: Timeline, label: str, tiou: float) -> list[tuple[float, bool]]:
    """(score, whether it takes a truth) of every detection of a class, best first."""
    free = [segment for segment in truth.segments if segment.label == label]
    result = []
    for one in sorted((s for s in found.segments if s.label == label), key=lambda s: -s.score):
        overlaps = [
            (min(one.end, t.end) - max(one.start, t.start)) / (max(one.end, t.end) - min(one.start, t.start))
            for t in free
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= tiou
        if hit:
            free.pop(best)
        result.append((one.score, hit))
    return result
