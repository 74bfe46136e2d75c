"""Training online detectors on a set of streams, and choosing their thresholds on its tuning streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from action_localization.evaluation.online import evaluate_online
from action_localization.online.batches import MomentBatches, MomentConfig
from action_localization.online.lane import Guess, Lane, Memory, OnlineSystem, push_together
from action_localization.regimes.streams import RegimeSet, RegimeVideo
from action_localization.spine.batches import TrainingVideo, training_video
from laban.timeline import Timeline
from models.training import Loss, TrainConfig, fit

Network = TypeVar("Network", bound=nn.Module)
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


@runtime_checkable
class Thresholded(OnlineSystem, Protocol):
    """A detector whose score from which it emits can be set."""

    threshold: Tensor


def learnt(
    network: Network, loss: Loss, data: RegimeSet, moments: MomentConfig, training: TrainConfig, folder: Path, *,
    seed: int, quiet: bool = True,
) -> Network:  # fmt: skip
    """Train on the training streams of a set, or go on where the folder stopped."""
    batches = MomentBatches(training_videos(data), replace(moments, seed=seed))
    return fit(network, loss, batches, replace(training, seed=seed), folder, progress=not quiet)


def training_videos(data: RegimeSet) -> list[TrainingVideo]:
    """The training streams with their truth in entries."""
    return [training_video(one.features, one.truth, data.classes, name=one.name) for one in data.train]


def choose_threshold(network: Thresholded, streams: Sequence[RegimeVideo], thresholds: Sequence[float]) -> float:
    """Set the threshold with the best mean of Hungarian F1 and average precision at IoU .5; returns it.

    The network runs once; its decisions are replayed for every threshold.
    """
    record = _Recorded(network)
    truths = {video.name: video.truth for video in streams}
    _run(record, streams)
    best = (-1.0, thresholds[0])
    for threshold in thresholds:
        network.threshold.fill_(threshold)
        record.at = 0
        scores = evaluate_online(truths, _run(record, streams))
        best = max(best, ((scores.f1 + scores.average_precision) / 2, threshold))
    network.threshold.fill_(best[1])
    return best[1]


class _Recorded:
    """A detector that computes its steps once, and says them again from the first whenever `at` is 0."""

    def __init__(self, network: Thresholded) -> None:
        self.network, self.steps, self.at = network, list[tuple[dict[str, Tensor], Memory]](), 0
        self.classes, self.features, self.rows = network.classes, network.features, network.rows
        self.fresh: Callable[[], Memory] = network.fresh
        self.decide: Callable[..., list[Guess]] = network.decide

    def step(self, rows: Tensor, real: Tensor, memory: Memory) -> tuple[dict[str, Tensor], Memory]:
        if self.at == len(self.steps):
            self.steps.append(self.network.step(rows, real, memory))
        self.at += 1
        return self.steps[self.at - 1]


def _run(network: _Recorded, streams: Sequence[RegimeVideo]) -> Mapping[str, Timeline]:
    lanes = [Lane(network, video.features.grid, video.name) for video in streams]
    push_together(lanes, [video.features for video in streams])
    for lane in lanes:
        lane.flush()
    return {lane.name: lane.timeline() for lane in lanes}
