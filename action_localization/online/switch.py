"""ActionSwitch (Kang et al., ECCV 2024): switches that actions turn on and off, whatever their class.

K switches make 2^K states; a recurrent network names the state of every row, a state machine reads segments off it, and
a small classifier labels the rows of a closed segment. What is open when the stream ends is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from action_localization.online.batches import MomentConfig, Moments
from action_localization.online.lane import Guess, Lane, Memory
from models.attention import Block, FeedForward
from models.training import TrainConfig, drawing_from, small_training


@dataclass(frozen=True)
class ActionSwitchConfig:
    """ActionSwitch in a small form; the paper's has 4 recurrent layers of 2048 and a history of 48 rows."""

    switches: int = 2
    width: int = 128
    layers: int = 2
    bins: int = 8
    """Pieces of a closed segment that the classifier sees."""
    longest: int = 256
    """Rows of a closed segment that can be looked at."""
    shortest: float = 3.0
    """Rows below which a segment is taken for flicker."""
    conservative: float = 0.025
    """Weight of staying in the state that was predicted for the row before (`alpha`)."""
    threshold: float = 0.0
    """Of the class's chance; F1 wants all segments that the switches find."""
    dropout: float = 0.1
    moments: MomentConfig = MomentConfig(size=8, moments=1, past=0, block=256, over=0.0)
    training: TrainConfig = small_training(500, 2e-3)


class ActionSwitch(nn.Module):
    """An `OnlineSystem`; its memory is the recurrent state, and the row at which each switch turned on (-1: off)."""

    threshold: Tensor

    def __init__(self, config: ActionSwitchConfig, features: int, classes: Sequence[str]) -> None:
        super().__init__()
        width = config.width
        self.config, self.features, self.classes, self.rows = config, features, tuple(classes), config.longest
        self.embedding = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.GELU())
        self.cells = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(config.layers))
        self.mixing = nn.Sequential(nn.Linear(config.layers, 2 * config.layers), nn.GELU(),
                                    nn.Linear(2 * config.layers, config.layers))  # fmt: skip
        self.channels = FeedForward(width, 2 * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.state = nn.Linear(width, 2**config.switches)
        self.place = nn.Parameter(torch.randn(config.bins, width) * 0.02)
        self.length = nn.Linear(1, width)
        self.block = Block(width, 4, 2 * width)
        self.label = nn.Linear(width, len(self.classes))
        self.register_buffer("threshold", torch.tensor(config.threshold))

    def embed(self, rows: Float[Tensor, "*n features"]) -> Float[Tensor, "*n width"]:
        """Rows, each for itself."""
        return F.dropout(self.embedding(rows), self.config.dropout, self.training)

    def recur(
        self, x: Float[Tensor, "batch time width"], hidden: Float[Tensor, "batch layers width"] | None = None
    ) -> tuple[Float[Tensor, "batch time states"], Float[Tensor, "batch layers width"]]:
        """Logits of the states: the layers' outputs are mixed as tokens (Tolstikhin et al., 2021)."""
        tokens, after = [], []
        for layer, cell in enumerate(self.cells):
            first = None if hidden is None else hidden[:, layer][None].contiguous()
            y, end = cell(x, first)
            x = x + y
            tokens.append(x)
            after.append(end[0])
        stack = torch.stack(tokens, 2)
        stack = stack + self.mixing(self.norms[0](stack).transpose(-1, -2)).transpose(-1, -2)
        stack = stack + self.channels(self.norms[1](stack))
        return self.state(self.norms[2](stack.mean(2))), torch.stack(after, 1)

    def classify(self, rows: Float[Tensor, "n bins width"], length: Float[Tensor, " n"]) -> Float[Tensor, "n classes"]:
        """Logits of the class of segments, from the means of their pieces and their length in rows."""
        x = self.block(rows + self.place + self.length(length.log1p()[:, None, None]))
        return self.label(x.mean(1))

    def fresh(self) -> Memory:
        """All switches off."""
        config = self.config
        return {"hidden": torch.zeros(config.layers, config.width), "on": torch.full((config.switches,), -1.0),
                "count": torch.zeros(())}  # fmt: skip

    def step(
        self, rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"], memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """The switches that turned off and the rows since they had been on; the newest row alone is read."""
        logits, hidden = self.recur(self.embed(rows[:, -1:]), memory["hidden"])
        state = logits[:, 0].argmax(-1)
        bits = (state[:, None] >> torch.arange(self.config.switches)) & 1
        count, on = memory["count"] + 1, memory["on"]
        closed = torch.where((bits == 0) & (on >= 0), on, -1.0)
        opened = torch.where(on >= 0, on, (count - 1)[:, None])
        after = torch.where(bits == 1, opened, -1.0)
        return {"closed": closed, "open": on}, {"hidden": hidden, "on": after, "count": count}

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        """The segments whose switch has turned off, labelled; at the end of a stream those that are still open too."""
        first = [one for one in out["open" if last else "closed"].tolist() if one >= 0]
        stop = lane.count if last else lane.count - 1
        guesses = []
        for begun in first:
            if stop - begun < self.config.shortest:
                continue
            rows = lane.rows[-min(lane.count - int(begun), self.rows) : None if last else -1]
            pieces = _pieces(self.embed(rows), self.config.bins)
            chance = self.classify(pieces[None], torch.tensor([stop - begun])).softmax(-1)[0]
            score, label = chance.max(-1)
            if score >= self.threshold:
                guesses.append(Guess(begun - lane.count, float(stop - lane.count), int(label), float(score)))
        return guesses


def switch_loss(network: ActionSwitch, batch: Moments, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy of the states under the best naming of the switches, conservativeness, and that of the classes."""
    config = network.config
    with drawing_from(generator):
        x = network.embed(batch.rows)
    logits = network.recur(x)[0]
    real = batch.real
    segments = batch.segments[:, 0] + batch.at[:, :1, None] + 0.5
    states = switch_states(segments, batch.labels[:, 0], x.shape[1], config.switches)
    losses = []
    for order in permutations(range(config.switches)):
        named = torch.stack([((states >> k) & 1) << place for k, place in enumerate(order)]).sum(0)
        loss = F.cross_entropy(logits.flatten(0, 1), named.flatten(), reduction="none").view(real.shape)
        losses.append((loss * real).sum(1) / real.sum(1).clamp(min=1))
    said = logits.argmax(-1)
    changed = (said[:, 1:] != said[:, :-1]) & real[:, 1:]
    stay = F.cross_entropy(logits[:, 1:].flatten(0, 1), said[:, :-1].flatten(), reduction="none").view(changed.shape)
    terms = {
        "state": torch.stack(losses).amin(0).mean(),
        "conservative": config.conservative * (stay * changed).sum() / changed.sum().clamp(min=1),
        "class": _class_loss(network, x, segments, batch, generator),
    }
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def switch_states(
    segments: Float[Tensor, "batch n 2"], labels: Int[Tensor, "batch n"], rows: int, switches: int
) -> Int[Tensor, "batch rows"]:
    """Which switches are on in each row, as a binary number: a segment takes the free one that was off for longest.

    Segments that touch so change hands, and their boundary can be seen. One that finds no free switch has none.
    """
    states = torch.zeros(len(labels), rows, dtype=torch.long)
    for sample in range(len(labels)):
        off = [switch - 1e9 for switch in range(switches)]
        order = sorted((s, e) for (s, e), one in zip(segments[sample].tolist(), labels[sample].tolist(), strict=True)
                       if one >= 0)  # fmt: skip
        for start, end in order:
            switch = min(range(switches), key=lambda k: off[k])
            if off[switch] <= start + 1e-6:
                off[switch] = end
                first, last = (min(max(round(edge + 0.5), 0), rows) for edge in (start, end))
                states[sample, first:last] |= 1 << switch
    return states


def _class_loss(
    network: ActionSwitch, x: Tensor, segments: Tensor, batch: Moments, generator: torch.Generator
) -> Tensor:
    """Of true segments with their boundaries moved by up to a tenth of their length."""
    pieces, lengths, labels = [], [], []
    for sample, (spans, names) in enumerate(zip(segments, batch.labels[:, 0], strict=True)):
        for (start, end), label in zip(spans.tolist(), names.tolist(), strict=True):
            move = 0.2 * (torch.rand(2, generator=generator) - 0.5) * (end - start)
            first, last = round(start + 0.5 + float(move[0])), round(end + 0.5 + float(move[1]))
            first, last = max(first, 0), min(last, x.shape[1])
            if label >= 0 and last - first >= max(2, 0.5 * (end - start)):
                pieces.append(_pieces(x[sample, first:last], network.config.bins))
                lengths.append(float(last - first))
                labels.append(label)
    if not labels:
        return x.sum() * 0
    return F.cross_entropy(network.classify(torch.stack(pieces), torch.tensor(lengths)), torch.tensor(labels))


def _pieces(rows: Float[Tensor, "time width"], bins: int) -> Float[Tensor, "bins width"]:
    """Means of equal pieces."""
    return F.adaptive_avg_pool1d(rows.T[None], bins)[0].T
