"""MATR (Song et al., ECCV 2024): a flag token, a memory of past segments, and one decoder each for ends and starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.online.batches import MomentConfig, Moments, window_index, windows_of
from action_localization.online.lane import Guess, Lane, Memory
from action_localization.online.windows import SMALL, WindowConfig, WindowEncoder, age_code
from action_localization.spine.losses import focal_loss
from action_localization.spine.matching import SetLoss, SetTargets, centred, edges, generalised_iou, match
from action_localization.spine.set_decoder import Memory as Read
from action_localization.spine.set_decoder import SetDecoder, SetDecoderConfig
from models.training import TrainConfig, drawing_from, small_training


@dataclass(frozen=True)
class MATRConfig:
    """MATR in a small form; the paper's has 64 rows, 7 segments of memory, width 1024, 3 and 5 layers, 10 queries."""

    window: int = 64
    """Rows of a segment."""
    memory: int = 3
    """Past segments that are kept."""
    stride: int = 2
    """Every so manieth token of a kept segment."""
    queries: int = 6
    encoder: WindowConfig = SMALL
    layers: int = 2
    """Of each decoder."""
    back: int = 16
    ahead: int = 16
    """Instances that end from `back` rows before to `ahead` rows after the newest row are asked for."""
    threshold: float = 0.3
    """Of the score; chosen on tuning streams when it is learnt."""
    overlap: float = 0.3
    """IoU with something emitted before from which a guess says nothing new."""
    dense: float = 1.0
    """Weight of the class under way at each token. Not in the paper; decoders learn from few instances a step."""
    flag: float = 0.5
    loss: SetLoss = SetLoss(label=2.0, l1=5.0, giou=0.0, diou=2.0, kind="focal")
    moments: MomentConfig = MomentConfig(size=10, moments=4, ahead=16, back=16)
    training: TrainConfig = small_training(600, 1.5e-3)


@dataclass(frozen=True)
class Said:
    """What both decoders say, per layer; times are counted in windows, `region` is how many windows ago it started."""

    logits: Float[Tensor, "layers n queries classes"]
    end: Float[Tensor, "layers n queries"]
    region: Float[Tensor, "layers n queries regions"]
    place: Float[Tensor, "layers n queries regions"]
    """Within each region, from 0 to 1."""

    def spans(self) -> Float[Tensor, "layers n queries 2"]:
        """(start, end): the start lies in the likeliest region."""
        best = self.region.argmax(-1, keepdim=True)
        start = -(best + self.place.gather(-1, best)).squeeze(-1)
        return torch.stack([torch.minimum(start, self.end - 1e-3), self.end], -1)


class MATR(nn.Module):
    """An `OnlineSystem`; its memory is a queue of encoded segments with their ages in rows, -1 where it is empty."""

    threshold: Tensor

    def __init__(self, config: MATRConfig, features: int, classes: Sequence[str]) -> None:
        super().__init__()
        self.config, self.features, self.classes = config, features, tuple(classes)
        self.rows, width = config.window, config.encoder.width
        self.regions = config.memory + 2
        self.encoder = WindowEncoder(config.encoder, features, config.window, extra=1)
        self.flag = nn.Linear(width, 1)
        self.under_way = nn.Linear(width, len(self.classes))
        nn.init.constant_(self.under_way.bias, -3.0)
        self.segment = nn.Embedding(self.regions, width)
        shape = SetDecoderConfig(queries=2 * config.queries, sharing=2, refine=False, width=width,
                                 heads=config.encoder.heads, layers=config.layers, cross_to=("window",))  # fmt: skip
        self.end_decoder = SetDecoder(shape)
        self.start_decoder = SetDecoder(replace(shape, cross_to=("window", "memory")))
        self.class_head = nn.Linear(2 * width, len(self.classes))
        nn.init.constant_(self.class_head.bias, -3.0)
        self.end_head, self.start_head = _head(width, 1), _head(width, 2 * self.regions)
        spread = torch.linspace(-config.back, config.ahead, config.queries) / config.window
        self.reference = nn.Parameter(spread)
        self.register_buffer("threshold", torch.tensor(config.threshold))

    def encode(self, embedded: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, their mask, logit of the flag) of windows of embedded rows."""
        tokens, mask = self.encoder(embedded, real)
        return tokens[:, 1:], mask[:, 1:], self.flag(tokens[:, 0])[:, 0]

    def decode(
        self, tokens: Float[Tensor, "n tokens width"], mask: Bool[Tensor, "n tokens"],
        kept: Float[Tensor, "n segments few width"], age: Float[Tensor, "n segments"],
    ) -> Said:  # fmt: skip
        """What is said with a memory of segments that ended `age` rows ago (-1: none)."""
        config, width, patch = self.config, tokens.shape[-1], self.config.encoder.patch
        past = torch.arange(tokens.shape[1] - 1, -1, -1.0) * patch + patch / 2
        window = Read(tokens, mask, self._code(past[None], width))
        few = kept.shape[2]
        inside = torch.arange(few - 1, -1, -1.0) * patch * config.stride + patch / 2
        there = (age >= 0) & (age <= config.memory * config.window)
        past = (age[..., None] + inside).clamp(min=0).flatten(1)
        memory = Read(kept.flatten(1, 2), there.repeat_interleave(few, 1), self._code(past, width))
        of_end = self.end_decoder({"window": window}).content
        of_start = self.start_decoder({"window": window, "memory": memory}).content
        count = config.queries
        both = torch.cat([of_end[:, :, :count], of_start[:, :, :count]], -1)
        end = self.reference + self.end_head(of_end[:, :, count:])[..., 0]
        region, place = self.start_head(of_start[:, :, count:]).chunk(2, -1)
        return Said(self.class_head(both), end, region, place.sigmoid())

    def _code(self, age: Tensor, width: int) -> Tensor:
        number = (age / self.config.window).long().clamp(max=self.regions - 1)
        return age_code(age, width) + self.segment(number)

    def fresh(self) -> Memory:
        """An empty queue."""
        config = self.config
        few = -(-self.encoder.tokens // config.stride)
        return {"kept": torch.zeros(config.memory, few, config.encoder.width),
                "age": torch.full((config.memory,), -1.0), "count": torch.zeros(())}  # fmt: skip

    def step(
        self, rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"], memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """The best class of each query with its span in rows; every `window` rows a flagged segment is remembered."""
        tokens, mask, flag = self.encode(self.encoder.embed(rows), real)
        age = torch.where(memory["age"] >= 0, memory["age"] + 1, -1.0)
        kept, count = memory["kept"], memory["count"] + 1
        said = self.decode(tokens, mask, kept, age)
        score, label = said.logits[-1].sigmoid().max(-1)
        spans = said.spans()[-1] * self.config.window
        due = (count % self.config.window == 0) & (flag.sigmoid() > self.config.flag)
        if due.any():
            newest = tokens[:, None, (tokens.shape[1] - 1) % self.config.stride :: self.config.stride]
            kept = torch.where(due[:, None, None, None], torch.cat([kept[:, 1:], newest], 1), kept)
            age = torch.where(due[:, None], torch.cat([age[:, 1:], torch.zeros_like(age[:, :1])], 1), age)
        return {"score": score, "label": label, "spans": spans}, {"kept": kept, "age": age, "count": count}

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        """Sure segments that have ended and are new; at the end of a stream those that are about to end as well."""
        sure = (out["score"] >= self.threshold).nonzero()[:, 0].tolist()
        guesses = []
        for query in sure:
            start, end = out["spans"][query].tolist()
            if end <= 0 or last:
                guesses.append(Guess(start, min(end, 0.0), int(out["label"][query]), float(out["score"][query])))
        return lane.unsaid(guesses, self.config.overlap) if guesses else []


def matr_loss(network: MATR, batch: Moments, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
    """Hungarian matching with instances that end about now, and cross-entropy of the flag; layers count alike."""
    config = network.config
    with drawing_from(generator):
        x = network.encoder.embed(batch.rows)
        drop = torch.rand(len(x), config.memory, generator=generator) < 0.1
        index, seen = window_index(batch.at, batch.over, config.window)
        seen = seen & windows_of(batch.real[..., None], index)[..., 0]
        windows = windows_of(x, index)
        past = config.memory * config.window
        blocks, there = (v[:, :past].unflatten(1, (config.memory, -1)).flatten(0, 1) for v in (x, batch.real))
        tokens, mask, flag = network.encode(
            torch.cat([windows.flatten(0, 1), blocks]), torch.cat([seen.flatten(0, 1), there])
        )
    count = batch.at.numel()
    age = batch.at[..., None] - (past - 1) + config.window * torch.arange(config.memory - 1, -1, -1)
    busy = _busy(batch, age.float(), config.window) & there.view(len(x), 1, config.memory, -1).any(-1)
    kept = tokens[count:, (tokens.shape[1] - 1) % config.stride :: config.stride]
    kept = kept.view(len(x), 1, config.memory, *kept.shape[1:]).expand(-1, batch.at.shape[1], -1, -1, -1)
    age = torch.where(busy & ~drop[:, None], age.float(), -1.0)
    said = network.decode(tokens[:count], mask[:count], kept.flatten(0, 1), age.flatten(0, 1))
    now = _busy(batch, torch.zeros(*batch.at.shape, 1), config.window).flatten()
    terms = {"flag": F.binary_cross_entropy_with_logits(flag[:count], now.float())}
    if config.dense:
        terms["dense"] = config.dense * _dense(network, tokens, mask, batch)
    targets = _targets(batch, config)
    terms |= _set_terms(said, targets, config.loss, network.regions)
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def _busy(batch: Moments, age: Float[Tensor, "b m k"], length: int) -> Bool[Tensor, "b m k"]:
    """Whether something happens in the `length` rows up to so many rows ago."""
    start, end = batch.segments[..., None, 0], batch.segments[..., None, 1]
    stop = -age[:, :, None]
    return ((start < stop) & (end > stop - length) & (batch.labels[..., None] >= 0)).any(2)


def _dense(network: MATR, tokens: Tensor, mask: Tensor, batch: Moments) -> Float[Tensor, ""]:
    """Focal loss of the classes under way at each token of the windows, and of the blocks of the memory after them."""
    patch, blocks = network.config.encoder.patch, network.config.memory
    age = torch.arange(tokens.shape[1] - 1, -1, -1.0) * patch + patch / 2
    ends = network.rows * torch.arange(1, blocks + 1) - (batch.at[:, :1] + 1)
    at = torch.cat([batch.over.flatten(), ends.flatten()])[:, None, None] - age[:, None]
    both = (batch.segments, batch.labels)
    spans, labels = (torch.cat([v.flatten(0, 1), v[:, 0].repeat_interleave(blocks, 0)]) for v in both)
    inside = (spans[:, None, :, 0] <= at) & (at < spans[:, None, :, 1]) & (labels[:, None] >= 0)
    wanted = (inside.float() @ F.one_hot(labels.clamp(min=0), len(network.classes)).float()).clamp(max=1.0)
    losses = focal_loss(network.under_way(tokens), wanted).sum(-1)
    return (losses * mask).sum() / (wanted.amax(-1) * mask).sum().clamp(min=1)


def _targets(batch: Moments, config: MATRConfig) -> SetTargets:
    spans, labels = batch.segments.flatten(0, 1), batch.labels.flatten(0, 1)
    asked = (spans[..., 1] >= -config.back) & (spans[..., 1] <= config.ahead) & (spans[..., 0] < 0)
    spans = spans.clamp(min=-float((config.memory + 2) * config.window) + 1e-3) / config.window
    return SetTargets(centred(spans), torch.where(asked, labels, -1))


def _set_terms(said: Said, targets: SetTargets, weights: SetLoss, regions: int) -> dict[str, Tensor]:
    spans, total = centred(said.spans().detach()), dict[str, Tensor]()
    for layer in range(len(spans)):
        found = match(said.logits[layer], spans[layer], targets, weights)
        at = (layer, found.sample, found.query)
        label, true = targets.labels[found.sample, found.target], edges(targets.spans[found.sample, found.target])
        wanted, count = torch.zeros_like(said.logits[layer]), max(1, len(label))
        wanted[found.sample, found.query, label] = 1
        region = (-true[:, 0]).long().clamp(0, regions - 1)
        start = -(region + said.place[at].gather(-1, region[:, None])[:, 0])
        mine = torch.stack([torch.minimum(start, said.end[at] - 1e-3), said.end[at]], -1)
        terms = {
            "class": weights.label * focal_loss(said.logits[layer], wanted).sum() / count,
            "edges": weights.l1 * ((start - true[:, 0]).abs() + (said.end[at] - true[:, 1]).abs()).sum() / count,
            "diou": weights.diou * (1 - generalised_iou(mine, true, distance=True)).sum() / count,
            "region": F.cross_entropy(said.region[at], region, reduction="sum") / count,
        }
        for name, value in terms.items():
            total[name] = total.get(name, torch.zeros(())) + value
    return total


def _head(width: int, out: int) -> nn.Sequential:
    last = nn.Linear(width, out)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), last)
