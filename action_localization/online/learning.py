"""Training online detectors on a set of streams, and choosing their thresholds on its tuning streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from action_localization.evaluation.online import evaluate_online
from action_localization.online.batches import MomentBatches, MomentConfig
from action_localization.online.lane import Guess, Lane, Memory, OnlineSystem, push_together
from action_localization.regimes.streams import RegimeSet, RegimeVideo
from action_localization.spine.batches import TrainingVideo, training_video
from laban.timeline import Timeline
from models.training import Loss, TrainConfig, fit_whole

Network = TypeVar("Network", bound=nn.Module)
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


@runtime_checkable
class Thresholded(OnlineSystem, Protocol):
    """A detector whose score from which it emits can be set."""

    threshold: Tensor


@runtime_checkable
class Learning(Protocol):
    """What a system's configuration says of its training."""

    @property
    def moments(self) -> MomentConfig:
        """What batches hold."""

    @property
    def training(self) -> TrainConfig:
        """How they are learnt from."""


def learnt(
    network: Network, loss: Loss, data: RegimeSet, config: Learning, folder: Path, *, seed: int, quiet: bool = True,
    deadline: float | None = None,
) -> Network:  # fmt: skip
    """Train on the training streams of a set, or go on where the folder stopped (`models.training.fit_whole`)."""
    batches = MomentBatches(training_videos(data), replace(config.moments, seed=seed))
    training = replace(config.training, seed=seed)
    return fit_whole(network, loss, batches, training, folder, deadline=deadline, progress=not quiet)


def training_videos(data: RegimeSet) -> list[TrainingVideo]:
    """The training streams with their truth in entries."""
    return [training_video(one.features, one.truth, data.classes, name=one.name) for one in data.train]


def choose_threshold(network: Thresholded, streams: Sequence[RegimeVideo], thresholds: Sequence[float]) -> float:
    """Set the threshold with the best mean of Hungarian F1 and average precision at IoU .5; returns it.

    The network runs once; its decisions are replayed for every threshold.
    """
    truths = {video.name: video.truth for video in streams}
    said = recorded(network, streams)
    best = (-1.0, thresholds[0])
    for threshold in thresholds:
        network.threshold.fill_(threshold)
        scores = evaluate_online(truths, {v.name: _replayed(network, v, said[v.name]) for v in streams})
        best = max(best, ((scores.f1 + scores.average_precision) / 2, threshold))
    network.threshold.fill_(best[1])
    return best[1]


def recorded(network: OnlineSystem, streams: Sequence[RegimeVideo]) -> dict[str, list[dict[str, Tensor]]]:
    """What a detector says at every row of each stream and, last, at its end; by name."""
    record = _Recorded(network)
    lanes = [Lane(record, video.features.grid, video.name) for video in streams]
    push_together(lanes, [video.features for video in streams])
    for lane in lanes:
        lane.flush()
    return record.said


class _Recorded:
    """A detector that keeps what it says at every row, by name of the stream, and emits nothing."""

    def __init__(self, network: OnlineSystem) -> None:
        self.classes, self.features, self.rows = network.classes, network.features, network.rows
        self.fresh: Callable[[], Memory] = network.fresh
        self.step: Callable[[Tensor, Tensor, Memory], tuple[dict[str, Tensor], Memory]] = network.step
        self.said: dict[str, list[dict[str, Tensor]]] = {}

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        self.said.setdefault(lane.name, []).append(out)
        return []


@torch.inference_mode()
def _replayed(network: Thresholded, video: RegimeVideo, said: Sequence[dict[str, Tensor]]) -> Timeline:
    """What a detector emits, given what it says at every row and, last, at the end."""
    lane = Lane(network, video.features.grid, video.name)
    for row, out in zip(torch.from_numpy(video.features.values), said, strict=False):
        lane.take(row)
        lane.settle(out, lane.memory)
    lane.settle(said[-1], lane.memory, last=True)
    return lane.timeline()
