"""T3AL (Liberatori et al., CVPR 2024): text-aligned rows adapted to one video at test time, nothing trained before.

Per video: which labels it seems to hold (from its mean row, or from its best rows), a few steps on projections of text
and rows and on the logit scale with the label's nearest and farthest rows as positives and negatives, then similarity
again, a threshold, and runs of rows. The state lives in one call: no video knows of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from torch import Tensor

from action_localization.open_vocabulary.similarity import Words, chances, check_rows, likeliest, softmax, unit
from action_localization.spine.nms import Candidates, SoftNMS, join, suppress
from action_localization.weak.activation import ThresholdConfig, as_timeline, moving_average, proposals
from laban.errors import LabanError
from laban.timeline import Timeline
from models.features import Features


@dataclass(frozen=True)
class T3AL:
    """How one video is adapted to and decoded. The paper's THUMOS14 setting is `PAPER`; the defaults are ours."""

    pool: int = 8
    """Rows whose chances say whether a label is there; 0: the mean row of the video alone (paper)."""
    labels: int = 10
    """Labels that a video is taken to hold, at most (paper: 1)."""
    bar: float = 0.1
    """Chance from which a further label is taken to be there."""
    subtract: bool = False
    """Take the video's mean row, as background, off every row before the similarity."""
    smooth: int = 9
    """Rows of the moving average."""
    picked: int = 4
    """Rows taken as positives, and as many as negatives, of each label."""
    jitter: int = 2
    """Rows by which a picked one may be moved."""
    steps: int = 30
    lr: float = 1e-3
    weight_decay: float = 1e-4
    visual: float = 1e-3
    """Learning rate of the rows' projection as a share of the text's."""
    smoothing: float = 0.2
    feature: float = 0.0
    """Weight of the term that draws text and positives together (paper: 1). On tuning streams of motion capture it
    costs 6 to 17 points of mAP: the nearest rows are not always the label's."""
    scale: float = 40.0
    """Of the logits, before adaptation."""
    decode: Literal["chance", "similarity"] = "chance"
    """What the threshold is put to: chances among all words, or the similarity between its extremes (paper)."""
    decoding: ThresholdConfig = ThresholdConfig(thresholds=(0.2,), relative=False)
    mean_level: bool = False
    """The threshold is the mean of the normalised similarity (paper, THUMOS14) instead of `decoding`'s levels."""
    nms: SoftNMS = SoftNMS(sigma=0.3, keep=200)
    agree: float = 0.75
    """Captions: how alike two stretches must be."""
    seed: int = 0


PAPER = T3AL(feature=1.0, smooth=20, picked=4, jitter=10, steps=60, lr=1e-5, scale=100.0, mean_level=True,
             decode="similarity", decoding=ThresholdConfig(gap=20), pool=0, labels=1, subtract=True)  # fmt: skip
"""THUMOS14 at the video's own frame rate, as published."""


def t3al_detect(
    features: Features, words: Words, config: T3AL = T3AL(), *, captions: Features | None = None
) -> Timeline:
    """Scored segments of the labels that the video seems to hold.

    `captions` are unit vectors of what a captioner says over time, in the space of the words; segments that disagree
    with more than half of the others of their label are then left out. LabanError for rows that do not fit the words.
    """
    check_rows(features, words)
    if not len(features.values):
        return Timeline((), 0.0)
    words = likeliest(features, words, 256)
    rows = features.values - features.values.mean(0) if config.subtract else features.values
    chosen = held(features.values, words, config)
    adapted = adapt(unit(rows), words.take(chosen), config) if chosen else None
    if adapted is None:
        return as_timeline(join([_none()]), features.grid, words.labels)
    similarity, chance = adapted
    parts = [_none()]
    for place, label in enumerate(chosen):
        spans = _spans((chance if config.decode == "chance" else similarity)[:, place], config)
        if captions is not None:
            spans = agreeing(spans, features, captions, config.agree)
        parts.append(_scored(spans, chance[:, place], label))
    return as_timeline(suppress(join(parts), config.nms, span=len(rows)), features.grid, words.labels)


def held(rows: Float[ndarray, "rows width"], words: Words, config: T3AL) -> list[int]:
    """The labels that a video is taken to hold, likeliest first: pseudo-labels of the whole video."""
    if config.pool == 0:
        chance = chances(unit(rows.mean(0)[None]), words, config.scale)[0]
    else:
        each = np.sort(moving_average(chances(rows, words, config.scale), config.smooth), axis=0)
        chance = each[-min(config.pool, len(rows)) :].mean(0)
    order = np.argsort(-chance, kind="stable")[: config.labels]
    return [int(i) for rank, i in enumerate(order) if rank == 0 or chance[i] >= config.bar]


def adapt(
    rows: Float32[ndarray, "rows width"], words: Words, config: T3AL
) -> tuple[Float32[ndarray, "rows labels"], Float32[ndarray, "rows labels"]]:
    """(similarity of each row and label, chance of each label) after adapting to these rows alone."""
    torch_rows, text = torch.from_numpy(rows), torch.from_numpy(words.every)
    count, width = len(words.labels), rows.shape[1]
    before = moving_average(rows @ words.vectors.T, config.smooth)
    picks = [pick(before[:, label], config, np.random.default_rng((config.seed, label))) for label in range(count)]
    project_text = torch.eye(width).requires_grad_()
    project_rows = torch.eye(width).requires_grad_()
    scale = torch.tensor(float(np.log(config.scale))).requires_grad_()
    groups = [{"params": [project_text, scale], "lr": config.lr},
              {"params": [project_rows], "lr": config.lr * config.visual}]  # fmt: skip
    optimiser = torch.optim.Adam(groups, weight_decay=0.0)
    usable = [(label, high, low) for label, (high, low) in enumerate(picks) if len(high)]
    with torch.enable_grad():
        for _ in range(config.steps if usable else 0):
            moved = F.normalize(text @ project_text, dim=-1)
            terms = [_loss(torch_rows[high] @ project_rows, torch_rows[low] @ project_rows, moved[label], scale, config)
                     for label, high, low in usable]  # fmt: skip
            # decay towards the identity, where the encoder was
            kept = (project_text - torch.eye(width)).square().sum() + (project_rows - torch.eye(width)).square().sum()
            optimiser.zero_grad(set_to_none=True)
            (torch.stack(terms).mean() + config.weight_decay * kept).backward()
            optimiser.step()
    with torch.no_grad():
        moved = F.normalize(text @ project_text, dim=-1)
        cosine = (F.normalize(torch_rows @ project_rows, dim=-1) @ moved.T).numpy()
    chance = softmax(float(scale.detach().exp()) * cosine)[:, :count]
    return moving_average(cosine[:, :count], config.smooth), moving_average(chance, config.smooth)


def pick(
    similarity: Float[ndarray, " rows"], config: T3AL, rng: np.random.Generator
) -> tuple[Int[ndarray, " high"], Int[ndarray, " low"]]:
    """(rows most like the label, rows least like it), moved at random by up to `jitter`; never a row in both.

    Of a short video as many as there are to tell apart: none of one row.
    """
    count = min(config.picked, len(similarity) // 2)
    order = np.argsort(-similarity, kind="stable")
    half = len(similarity) // 2
    upper = np.zeros(len(similarity), bool)
    upper[order[:half]] = True

    def moved(rows: Int[ndarray, " n"], side: bool) -> Int[ndarray, " kept"]:
        shifted = np.clip(rows + rng.integers(-config.jitter, config.jitter + 1, len(rows)), 0, len(similarity) - 1)
        return np.unique(np.where(upper[shifted] == side, shifted, rows))

    return moved(order[:count], True), moved(order[len(order) - count :], False)


def _loss(high: Tensor, low: Tensor, text: Tensor, scale: Tensor, config: T3AL) -> Tensor:
    """Similarities drawn towards one and zero (as BYOL compares two views: by their directions), text to positives."""
    near, far = F.normalize(high, dim=-1), F.normalize(low, dim=-1)
    cosine = torch.cat([near, far]) @ text
    said = torch.sigmoid(scale.exp() * (cosine - cosine.detach().mean()))
    wanted = torch.cat([torch.ones(len(high)), torch.zeros(len(low))])
    wanted = wanted * (1 - config.smoothing) + config.smoothing / 2
    mean = F.normalize(near.mean(0), dim=-1)
    return 2 - 2 * F.cosine_similarity(said, wanted, dim=0) + config.feature * (2 - 2 * mean @ text)


def _spans(similarity: Float[ndarray, " rows"], config: T3AL) -> Int[ndarray, "n 2"]:
    if config.decode == "chance":
        return proposals(similarity, config.decoding)
    low, high = float(similarity.min()), float(similarity.max())
    if high - low < 1e-9:
        return np.array([[0, len(similarity)]])
    decoding = config.decoding
    if config.mean_level:
        mean = float((similarity.mean() - low) / (high - low))
        decoding = ThresholdConfig(thresholds=(mean,), gap=decoding.gap, shortest=decoding.shortest)
    return proposals(similarity, decoding)


def _scored(spans: Int[ndarray, "n 2"], chance: Float[ndarray, " rows"], label: int) -> Candidates:
    total = np.concatenate([[0.0], np.cumsum(chance, dtype=np.float64)])
    first, last = spans[:, 0], spans[:, 1]
    score = (total[last] - total[first]) / np.maximum(last - first, 1)
    return Candidates(first.astype(np.float64), last.astype(np.float64), score, np.full(len(spans), label))


def _none() -> Candidates:
    return _scored(np.empty((0, 2), np.int64), np.zeros(1, np.float32), 0)


def agreeing(spans: Int[ndarray, "n 2"], features: Features, captions: Features, bar: float) -> Int[ndarray, "kept 2"]:
    """The spans whose mean caption is at least `bar` alike to those of half of the other spans or more."""
    if captions.width != features.width:
        raise LabanError(f"captions are {captions.width} wide, the rows {features.width}; accepted: one text encoder")
    if len(spans) < 2:
        return spans
    grid = features.grid
    means = []
    for first, last in spans:
        a, b = captions.grid.span(grid.start(int(first)), grid.start(int(last)))
        means.append(captions.values[a:b].mean(0) if b > a else np.zeros(captions.width, np.float32))
    vectors = unit(np.stack(means))
    alike = (vectors @ vectors.T >= bar).sum(1) - 1
    return spans[alike * 2 >= len(spans) - 1]
