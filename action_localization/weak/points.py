"""Point labels (SF-Net, ECCV 2020; LACP, ICCV 2021): one click on each action, and background mined between clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.regimes.streams import RegimeSet
from action_localization.weak.activation import ThresholdConfig, as_timeline, cas, threshold_decode, top_mean
from action_localization.weak.learning import (
    UNKNOWN,
    PseudoTruth,
    RowConfig,
    Rows,
    WeakBatch,
    WeakBatchConfig,
    WeakBatches,
    as_batch,
    fit_weak,
    named,
    training_config,
)
from action_localization.weak.supervision import Clicks, CutConfig, WeakVideo, drawn_clicks, weak_videos
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features
from models.training import TrainConfig


@dataclass(frozen=True)
class PointConfig:
    """What clicks and label sets weigh, and how often the actions around clicks are drawn anew."""

    rows: RowConfig = RowConfig()
    share: float = 0.125
    video: float = 0.5
    """Weight of the label sets."""
    frame: float = 1.0
    """Weight of the clicks and of what was drawn around them."""
    mined: float = 0.25
    """Share of a video's unknown entries that are taken for background: those that look most like it."""
    rounds: int = 2
    """Times that the network learns again from the likeliest stretches around the clicks."""
    cut: CutConfig = CutConfig(seconds=0.0)
    """Streams stay whole: a cut would part an action from its click."""
    batches: WeakBatchConfig = WeakBatchConfig(size=6, joined=1)
    training: TrainConfig = field(default_factory=lambda: training_config(300, 2e-3))
    """Of each round."""
    decoding: ThresholdConfig = ThresholdConfig()


class PointNetwork(nn.Module):
    """Rows, and logits of every class and of background, the last."""

    def __init__(self, features: int, classes: tuple[str, ...], config: PointConfig) -> None:
        super().__init__()
        self.features, self.classes, self.config = features, classes, config
        self.rows = Rows(features, config.rows)
        self.head = nn.Linear(config.rows.width, len(classes) + 1)

    def forward(
        self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time classes_and_background"]:
        """Logits."""
        return cas(self.rows(x, mask), self.head.weight, self.head.bias)


def point_loss(network: PointNetwork, batch: WeakBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy at known entries and at mined background, and the label set through the largest chances."""
    config = network.config
    logits = network(batch.features, batch.mask)
    log = logits.log_softmax(-1)
    background = logits.shape[-1] - 1
    mined = mine_background(log[..., -1].detach(), batch, config.mined)
    frame = torch.where(mined, background, batch.frame)
    known = (frame != UNKNOWN) & batch.mask
    picked = -log.gather(-1, frame.clamp(min=0)[..., None])[..., 0]
    action = known & (frame != background)
    terms = [(picked * which).sum() / which.sum().clamp(min=1) for which in (action, known & ~action)]
    clicks = 0.5 * (terms[0] + terms[1])
    chance = top_mean(log.exp()[..., :-1], batch.mask, config.share).clamp(1e-6, 1 - 1e-6)
    video = F.binary_cross_entropy(chance, batch.labels)
    return {"loss": config.frame * clicks + config.video * video, "clicks": clicks, "video": video}


def mine_background(
    log_background: Float[Tensor, "batch time"], batch: WeakBatch, share: float
) -> Bool[Tensor, "batch time"]:
    """Of the entries of which nothing is known, this share of each video: those likeliest to be background."""
    free = (batch.frame == UNKNOWN) & batch.mask
    order = log_background.masked_fill(~free, -torch.inf).argsort(1, descending=True)
    taken = (free.sum(1, keepdim=True) * share).round()
    chosen = torch.arange(free.shape[1], device=free.device) < taken
    return torch.zeros_like(free).scatter(1, order, chosen) & free


def fit_points(
    data: RegimeSet, config: PointConfig, folder: Path, *, seed: int, clicks: Clicks | None = None, quiet: bool = True,
    deadline: float | None = None,
) -> PointNetwork:  # fmt: skip
    """Learn from one click on each action of the training streams (simulated where none are given).

    LabanError where there is no click at all.
    """
    if clicks is None:
        clicks = drawn_clicks({video.name: video.truth for video in data.train}, seed)
    silent = [(name, features, Timeline((), truth.duration)) for name, features, truth in named(data.train)]
    if not any(clicks.get(name) for name, _, _ in silent):
        raise LabanError("no click on any action of the training videos; accepted: one labelled moment of each")
    videos = weak_videos(silent, data.classes, config.cut, seed=seed, clicks=clicks)
    torch.manual_seed(seed)
    network = PointNetwork(data.width, data.classes, config)
    batches = WeakBatches(videos, config.batches, seed)
    return fit_weak(network, point_loss, batches, config.training, folder,
                    relabel=[around_clicks] * config.rounds, quiet=quiet, deadline=deadline)  # fmt: skip


def around_clicks(network: PointNetwork, videos: Sequence[WeakVideo]) -> list[PseudoTruth]:
    """What the network takes for the actions around the clicks of training videos, as the next round's truth."""
    found = []
    network.eval()
    with torch.inference_mode():
        for video in videos:
            log = network(torch.from_numpy(video.values)[None])[0].log_softmax(-1).double().numpy()
            frame = likeliest_stretches(log, video.clicks)
            found.append(PseudoTruth((frame < log.shape[1] - 1).astype(np.float32), frame))
    return found


def likeliest_stretches(
    log: Float[ndarray, "time classes_and_background"], clicks: Int[ndarray, "clicks 2"]
) -> Int[ndarray, " time"]:
    """The likeliest labels of entries in which each click is inside one stretch of its class, background between.

    From one click to the next, the first action's stretch ends somewhere, then comes background of any length, even
    none, then the second's begins: both places are found at once from sums of `log` (log-chances).
    """
    time, background = log.shape[0], log.shape[1] - 1
    frame = np.full(time, background)
    total = np.concatenate([np.zeros((1, log.shape[1])), np.cumsum(log, 0)])
    ends = [(0, background), *((int(at), int(label)) for at, label in clicks), (time - 1, background)]
    for number, ((first, one), (last, other)) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        low = first if number == 0 else first + 1
        high = last + 1 if number == len(ends) - 2 else last
        if high < low:
            continue
        leave = total[low : high + 1, one] - total[low : high + 1, background]
        enter = total[low : high + 1, background] - total[low : high + 1, other]
        best = np.maximum.accumulate(leave)
        end = int((best + enter).argmax())
        begin = int(leave[: end + 1].argmax())
        frame[low : low + begin], frame[low + end : high] = one, other
    frame[clicks[:, 0]] = clicks[:, 1]
    return frame


def point_detect(network: PointNetwork, features: Features, *, duration: float | None = None) -> Timeline:
    """Runs of each class's chance above many levels."""
    if not len(features.values):
        return Timeline((), duration or 0.0)
    network.eval()
    with torch.inference_mode():
        chance = network(as_batch(features.values, network.features))[0].softmax(-1).double().numpy()
    found = threshold_decode(chance[:, :-1], network.config.decoding)
    return as_timeline(found, features.grid, network.classes, duration)
