"""TALL / CTRL (Gao et al., ICCV 2017): every window of several lengths is scored against the sentence and shifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from action_localization.grounded.fusion import TextReader
from action_localization.grounded.queries import (
    GroundingBatch,
    Learning,
    QueryConfig,
    Span,
    asking,
    optimisation,
    to_spans,
    train_grounding,
    video_queries,
)
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.layers import TemporalConv, masked
from action_localization.spine.matching import edges
from action_localization.spine.nms import Candidates, SoftNMS, suppress
from models.features import Features


@dataclass(frozen=True)
class CTRL:
    """The paper's windows, fusion and losses. Two small convolutions stand in for its clip features.

    `nms` is fixed: the published code ties it to the overlap that is asked for, which tunes answers to the measure.
    """

    lengths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0)
    """Seconds of the windows; `fit_ctrl` takes them from the training sentences."""
    overlap: float = 0.8
    width: int = 128
    hidden: int = 256
    positive: float = 0.5
    """Least overlap of a window with what the sentence is true of."""
    outside: float = 0.35
    """Most of a positive window that may lie outside."""
    regression: float = 0.01
    nms: float = 0.5
    learning: Learning = field(
        default_factory=lambda: Learning(QueryConfig(videos=8, queries=6, absent=0.0), optimisation(800, lr=2e-3))
    )


class WindowGrounder(nn.Module):
    """Windows with the context before and after, fused with the sentence: product, sum, and a layer on both."""

    rate: Tensor

    def __init__(self, config: CTRL, features: int, text: int, rate: float = 1.0) -> None:
        """`rate`: entries of the features a second."""
        super().__init__()
        width = config.width
        self.config = config
        self.register_buffer("rate", torch.tensor(rate))
        self.stem = nn.ModuleList([TemporalConv(features, width), TemporalConv(width, width)])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.window = nn.Linear(3 * width, width)
        self.reader = TextReader(text, width)
        self.both = nn.Linear(2 * width, width)
        self.out = nn.Sequential(nn.Linear(3 * width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 3))

    def sums(self, batch: GroundingBatch) -> Float[Tensor, "videos later width"]:
        """Running sums of the clip features, one more than there are entries."""
        x = batch.values
        for conv, norm in zip(self.stem, self.norms, strict=True):
            x = masked(torch.relu(norm(conv(x))), batch.mask)
        return F.pad(x.cumsum(1), (0, 0, 1, 0))

    def windows(
        self, sums: Float[Tensor, "later width"], bounds: Int[Tensor, "n 2"], length: int
    ) -> Float[Tensor, "n width"]:
        """Unit vectors of windows of a video of so many entries, each with as much context on both sides."""
        size = bounds[:, 1] - bounds[:, 0]
        parts = []
        for low, high in ((bounds[:, 0] - size, bounds[:, 0]), (bounds[:, 0], bounds[:, 1]),
                          (bounds[:, 1], bounds[:, 1] + size)):  # fmt: skip
            first, last = low.clamp(0, length), high.clamp(0, length)
            parts.append((sums[last] - sums[first]) / (last - first).clamp(min=1)[:, None])
        return F.normalize(self.window(torch.cat(parts, 1)), dim=-1)

    def score(self, windows: Float[Tensor, "n width"], sentences: Float[Tensor, "m width"]) -> Float[Tensor, "n m 3"]:
        """(score, shift of the start, shift of the end) of every pair; shifts in seconds."""
        one = windows[:, None].expand(-1, len(sentences), -1)
        two = F.normalize(sentences, dim=-1)[None].expand(len(windows), -1, -1)
        scale = windows.shape[-1] ** 0.5
        joined = torch.cat([one * two * scale, one + two, self.both(torch.cat([one, two], -1))], -1)
        return self.out(joined)


def sliding_windows(length: int, sizes: Sequence[float], overlap: float) -> Int[Tensor, "n 2"]:
    """(first, last) entries of windows of each size, overlapping their neighbours so much; the last ends at the end."""
    rows = []
    for size in dict.fromkeys(min(max(1, round(size)), length) for size in sizes):
        step = max(1, round(size * (1 - overlap)))
        first = np.unique(np.append(np.arange(0, length - size + 1, step), length - size))
        rows.append(np.stack([first, first + size], 1))
    return torch.from_numpy(np.concatenate(rows))


def ctrl_loss(network: WindowGrounder, batch: GroundingBatch, generator: torch.Generator) -> dict[str, Tensor]:
    """Alignment of all pairs of windows and sentences (negatives weigh 1/N) and the shift of the positive ones.

    Pairs of a window and another sentence that speaks of the same class are left out: it may be true of it.
    """
    config, sums, rate = network.config, network.sums(batch), float(network.rate)
    vectors = network.reader(batch.sentence, batch.tokens, batch.words)
    windows, rows, shifts = [], [], []
    for number, video in enumerate(batch.video.tolist()):
        real = batch.targets.labels[number] >= 0
        length = int(batch.mask[video].sum())
        found = _positive(length, edges(batch.targets.spans[number][real]) * length, rate, config, generator)
        if found is not None:
            bounds, truth = found
            windows.append(network.windows(sums[video], bounds[None], length))
            rows.append(number)
            shifts.append((truth - bounds) / rate)
    if not rows:
        return {"loss": vectors.sum() * 0}
    out = network.score(torch.cat(windows), vectors[rows])
    same = batch.kind[rows]
    own = torch.eye(len(rows), dtype=torch.bool)
    negative = ~own & ~((same[:, None] == same) & (same >= 0))
    scores = out[..., 0]
    align = F.softplus(-scores[own]).mean() + F.softplus(scores[negative]).sum() / len(rows) ** 2
    shift = (out[own][:, 1:] - torch.stack(shifts)).abs().sum(-1).mean()
    return {"loss": align + config.regression * shift, "align": align, "shift": shift}


def _positive(
    length: int, truth: Float[Tensor, "n 2"], rate: float, config: CTRL, generator: torch.Generator
) -> tuple[Int[Tensor, " 2"], Float[Tensor, " 2"]] | None:
    """A random window that covers a random truth well enough (entries), and that truth."""
    if not len(truth):
        return None
    chosen = truth[int(torch.randint(len(truth), (1,), generator=generator))]
    bounds = sliding_windows(length, [size * rate for size in config.lengths], config.overlap)
    shared = (torch.minimum(bounds[:, 1], chosen[1]) - torch.maximum(bounds[:, 0], chosen[0])).clamp(min=0)
    size = (bounds[:, 1] - bounds[:, 0]).float()
    iou = shared / (size + chosen[1] - chosen[0] - shared)
    good = ((iou > config.positive) & (1 - shared / size < config.outside)).nonzero()[:, 0]
    if not len(good):
        return None
    return bounds[good[int(torch.randint(len(good), (1,), generator=generator))]], chosen


def fit_ctrl(
    data: RegimeSet, config: CTRL, folder: Path, *, seed: int, quiet: bool = True, text: int = 384,
    deadline: float | None = None,
) -> WindowGrounder:  # fmt: skip
    """Train on `data.train`; the windows' lengths are quantiles of how long its sentences are true."""
    torch.manual_seed(seed)
    spans = [b - a for video in data.train for query in video_queries(video) for a, b in query.windows]
    lengths = tuple(round(float(x), 2) for x in np.quantile(spans, (0.1, 0.35, 0.65, 0.9)))
    rate = entries_a_second(data.train[0].features)
    network = WindowGrounder(replace(config, lengths=lengths), data.width, text, rate)
    return train_grounding(network, ctrl_loss, data.train, config.learning, folder, seed=seed, quiet=quiet,
                           deadline=deadline)  # fmt: skip


def entries_a_second(features: Features) -> float:
    """How many rows a second has."""
    return features.grid.fps / features.grid.stride


@torch.inference_mode()
def ground_ctrl(network: WindowGrounder, features: Features, sentences: Sequence[str]) -> list[list[Span]]:
    """For each sentence the windows, shifted, in seconds, after hard suppression at the fixed overlap."""
    config, batch = network.eval().config, asking(features, sentences)
    length, rate = len(features.values), entries_a_second(features)
    bounds = sliding_windows(length, [size * rate for size in config.lengths], config.overlap)
    windows = network.windows(network.sums(batch)[0], bounds, length)
    vectors = network.reader(batch.sentence, batch.tokens, batch.words)
    answers = []
    for vector in vectors:
        out = network.score(windows, vector[None])[:, 0]
        ends = ((bounds + out[:, 1:] * rate) / length).clamp(0, 1).double().numpy()
        chance = out[:, 0].sigmoid().double().numpy()
        kept = suppress(Candidates(ends[:, 0], np.maximum(ends[:, 1], ends[:, 0]), chance, np.zeros(len(chance), int)),
                        SoftNMS(method="hard", overlap=config.nms, min_score=1e-9, keep=10))  # fmt: skip
        answers.append(to_spans(features, np.stack([kept.start, kept.end], 1), kept.score))
    return answers
