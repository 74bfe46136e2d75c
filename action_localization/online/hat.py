"""HAT (Reza et al., ECCV 2024) and its base OAT (Kim et al., ECCV 2022): anchors that end now, refined by history.

OAT looks at one window with anchors of several lengths. HAT compresses what came before the latest rows into a few
tokens, which are made to foresee what comes, and lets the anchors read them. A suppressor says when to speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.online.batches import MomentConfig, Moments, window_index, windows_of
from action_localization.online.lane import Guess, Lane, Memory
from action_localization.online.suppressor import Suppressor, SuppressorConfig
from action_localization.online.windows import SMALL, WindowConfig, WindowEncoder
from action_localization.spine.losses import focal_loss
from action_localization.spine.set_decoder import Memory as Read
from action_localization.spine.set_decoder import SetDecoder, SetDecoderConfig
from models.training import TrainConfig, drawing_from, small_training

_TOLERANCE = 1.0
"""Rows that an end may be said to lie ahead: boundaries are not known better than that."""


@dataclass(frozen=True)
class HATConfig:
    """HAT in a small form; the paper's has 16 + 48 rows, 16 tokens and 5 layers. Without `history` it is OAT."""

    short: int = 32
    """The latest rows, which the anchors read."""
    history: int = 96
    """The rows before them; 0: none (OAT)."""
    tokens: int = 8
    """That the history is compressed to."""
    anchors: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    """Lengths in rows of the segments that might end now."""
    encoder: WindowConfig = SMALL
    layers: int = 1
    """Of each decoder."""
    ahead: int = 8
    """Rows from now at which the history must say what goes on."""
    anticipation: float = 0.2
    """Weight of that."""
    balance: float = 2.0
    """How much sharper the focal loss of a class becomes whose gradients are mostly negative; 0: plain focal loss."""
    threshold: float = 0.3
    overlap: float = 0.3
    """Of what is said again."""
    suppressor: SuppressorConfig = SuppressorConfig()
    """When to speak."""
    moments: MomentConfig = MomentConfig(size=6, past=128, block=64, ahead=8, back=4)
    training: TrainConfig = small_training(600, 1.5e-3)

    @property
    def rows(self) -> int:
        """How many rows are looked at."""
        return self.short + self.history


OAT = HATConfig(short=128, history=0, anticipation=0.0, balance=0.0, encoder=replace(SMALL, patch=4))
"""The base: one window, no history."""


@dataclass(frozen=True)
class Anchored:
    """What is said of every anchor, times in anchor lengths, and of what comes."""

    logits: Float[Tensor, "n anchors classes"]
    boxes: Float[Tensor, "n anchors 2"]
    """(end from now / anchor, log(length / anchor))."""
    coming: Float[Tensor, "n classes"] | None


class HAT(nn.Module):
    """An `OnlineSystem`; its memory is the best score of each class at the latest rows, for the suppressor."""

    length: Tensor
    threshold: Tensor
    gradients: Tensor

    def __init__(self, config: HATConfig, features: int, classes: Sequence[str]) -> None:
        super().__init__()
        width, count = config.encoder.width, len(config.anchors)
        self.config, self.features, self.classes, self.rows = config, features, tuple(classes), config.rows
        self.encoder = WindowEncoder(config.encoder, features, config.short)
        base = SetDecoderConfig(queries=count, refine=False, cross_to=("short",), width=width,
                                heads=config.encoder.heads, layers=config.layers)  # fmt: skip
        self.anchors = SetDecoder(base)
        self.past = None
        if config.history:
            plain = replace(config.encoder, layers=0)
            self.past = WindowEncoder(plain, features, config.history)
            self.compress = SetDecoder(replace(base, queries=config.tokens, cross_to=("history",)))
            self.refresh = SetDecoder(replace(base, queries=config.tokens, init="carry"))
            self.recall = SetDecoder(replace(base, init="carry", cross_to=("history",)))
            self.foresee = nn.Linear(width, len(self.classes))
        self.class_head, self.box_head = nn.Linear(width, len(self.classes)), nn.Linear(width, 2)
        nn.init.constant_(self.class_head.bias, -3.0)
        nn.init.normal_(self.box_head.weight, std=0.01)
        self.suppressor = Suppressor(config.suppressor)
        self.register_buffer("length", torch.tensor([float(a) for a in config.anchors]))
        self.register_buffer("threshold", torch.tensor(config.threshold))
        self.register_buffer("gradients", torch.ones(2, len(self.classes)))

    def forward(self, rows: Float[Tensor, "n rows features"], real: Bool[Tensor, "n rows"]) -> Anchored:
        """What is said at the end of windows of rows."""
        history = self.config.history
        tokens, mask = self.encoder(self.encoder.embed(rows[:, history:]), real[:, history:])
        short = Read(tokens, mask)
        x, coming = self.anchors({"short": short}).content[-1], None
        if self.past is not None:
            before, there = self.past(self.past.embed(rows[:, :history]), real[:, :history])
            kept = self.compress({"history": Read(before, there)}).content[-1]
            coming = self.foresee(kept.mean(1))
            kept = self.refresh({"short": short}, content=kept).content[-1]
            x = x + self.recall({"history": Read(kept)}, content=x).content[-1]
        return Anchored(self.class_head(x), self.box_head(x), coming)

    def spans(self, boxes: Float[Tensor, "n anchors 2"]) -> Float[Tensor, "n anchors 2"]:
        """(start, end) in rows from now."""
        end = boxes[..., 0] * self.length
        return torch.stack([end - self.length * boxes[..., 1].clamp(-3, 3).exp(), end], -1)

    def fresh(self) -> Memory:
        """No scores yet."""
        return {"scores": torch.zeros(self.config.suppressor.rows, len(self.classes))}

    def step(
        self, rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"], memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """The best anchor of each class that has ended, and whether to speak of it."""
        said = self(rows, real)
        spans = self.spans(said.boxes)
        ended = (spans[..., 1] <= _TOLERANCE)[..., None]
        score, anchor = (said.logits.sigmoid() * ended).max(1)
        scores = torch.cat([memory["scores"][:, 1:], score[:, None]], 1)
        best = spans.gather(1, anchor[..., None].expand(-1, -1, 2))
        return {"score": score, "spans": best, "speak": self.suppressor(scores)}, {"scores": scores}

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        """Classes that are sure, new, and due to be said; a stream's end does not wait for the suppressor."""
        sure = (out["score"] >= self.threshold) & (last | (out["speak"] > 0))
        guesses = []
        for label in sure.nonzero()[:, 0].tolist():
            start, end = out["spans"][label].tolist()
            guesses.append(Guess(start, min(end, 0.0), label, float(out["score"][label])))
        return lane.unsaid(guesses, self.config.overlap) if guesses else []


def hat_loss(network: HAT, batch: Moments, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
    """Adaptive focal loss of the anchors, L1 of their boxes where they fit (IoU at least .5), and anticipation."""
    config = network.config
    index, seen = window_index(batch.at, batch.over, config.rows)
    seen = (seen & windows_of(batch.real[..., None], index)[..., 0]).flatten(0, 1)
    with drawing_from(generator):
        said = network(windows_of(batch.rows, index).flatten(0, 1), seen)
    spans, labels = batch.segments.flatten(0, 1), batch.labels.flatten(0, 1)
    iou, best = _overlaps(spans, labels, network.length).max(-1)
    positive = iou >= 0.5
    label, true = labels.gather(1, best), spans.gather(1, best[..., None].expand(-1, -1, 2))
    wanted = F.one_hot(label.clamp(min=0), len(network.classes)).float() * positive[..., None]
    boxes = torch.stack([true[..., 1] / network.length,
                         ((true[..., 1] - true[..., 0]).clamp(min=1e-3) / network.length).log()], -1)  # fmt: skip
    count = positive.sum().clamp(min=1)
    terms = {
        "class": _adaptive_focal(network, said.logits, wanted) / count,
        "boxes": ((said.boxes - boxes).abs().sum(-1) * positive).sum() / count,
    }
    if said.coming is not None:
        later = (spans[..., 0] <= config.ahead) & (spans[..., 1] > config.ahead) & (labels >= 0)
        goes_on = (F.one_hot(labels.clamp(min=0), len(network.classes)) * later[..., None]).amax(1).float()
        alive = ~batch.over.flatten()
        losses = F.binary_cross_entropy_with_logits(said.coming, goes_on, reduction="none").sum(-1)
        terms["anticipation"] = config.anticipation * (losses * alive).sum() / alive.sum().clamp(min=1)
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def _overlaps(
    spans: Float[Tensor, "n k 2"], labels: Tensor, length: Float[Tensor, " anchors"]
) -> Float[Tensor, "n anchors k"]:
    """IoU of the anchors, which end now, with the truth; -1 for padding."""
    start, end = spans[:, None, :, 0], spans[:, None, :, 1]
    low = -length[None, :, None]
    both = (end.clamp(max=0) - torch.maximum(start, low)).clamp(min=0)
    iou = both / ((end - start) - low - both).clamp(min=1e-6)
    return torch.where(labels[:, None] >= 0, iou, -1.0)


def _adaptive_focal(network: HAT, logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss that is sharper for classes whose gradients have been mostly negative (Li et al., CVPR 2022)."""
    config, gamma = network.config, 2.0
    if not config.balance:
        return focal_loss(logits, wanted).sum()
    with torch.no_grad():
        if network.training:
            push = (logits.sigmoid() - wanted).abs()
            now = torch.stack([(push * wanted).sum((0, 1)), (push * (1 - wanted)).sum((0, 1))])
            network.gradients.mul_(0.99).add_(now, alpha=0.01)
        ratio = (network.gradients[0] / network.gradients[1].clamp(min=1e-6)).clamp(0, 1)
        sharp = gamma + config.balance * (1 - ratio)
    return (focal_loss(logits, wanted, gamma=sharp[None, None]) * (sharp / gamma)).sum()
