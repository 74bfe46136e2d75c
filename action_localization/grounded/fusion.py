"""What grounding networks read with: a sentence as one vector, and video entries that have read its words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from action_localization.grounded.queries import GroundingBatch
from action_localization.spine.layers import TemporalConv, masked
from action_localization.spine.matching import SetTargets, edges
from action_localization.spine.set_decoder import Memory, place_codes
from models.attention import Attention, Block


@dataclass(frozen=True)
class FusionConfig:
    """Sizes of the encoder that joins video and words."""

    width: int = 96
    heads: int = 4
    layers: int = 2
    pool: int = 1
    """Entries of the features that become one."""


class TextReader(nn.Module):
    """Sentence vector and words to one vector.

    The sentence vector knows other words for the same thing; the words, pooled by learned attention, tell sides apart.
    """

    def __init__(self, text: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.sentence, self.word = nn.Linear(text, width), nn.Linear(text, width)
        self.score = nn.Linear(text, heads)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self, sentence: Float[Tensor, "queries text"], tokens: Float[Tensor, "queries words text"],
        words: Bool[Tensor, "queries words"],
    ) -> Float[Tensor, "queries width"]:  # fmt: skip
        """`words` is True at real ones."""
        weight = self.score(tokens).masked_fill(~words[..., None], -1e4).softmax(1)
        pooled = torch.einsum("nlh,nlhw->nhw", weight, self.word(tokens).unflatten(-1, (self.heads, -1)))
        return self.out(self.sentence(sentence) + pooled.flatten(1))


class FusedEncoder(nn.Module):
    """Video entries, convolved and pooled, that attend to one another and to the query's words (QD-DETR's order)."""

    def __init__(self, features: int, text: int, config: FusionConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.stem = nn.ModuleList([TemporalConv(features, width), TemporalConv(width, width)])
        self.stem_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.reader = TextReader(text, width)
        self.word = nn.Linear(text, width)
        self.cross = nn.ModuleList(Attention(width, config.heads, width) for _ in range(config.layers))
        self.cross_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers))
        self.blocks = nn.ModuleList(Block(width, config.heads, 2 * width) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, batch: GroundingBatch) -> tuple[Memory, Float[Tensor, "queries width"]]:
        """Entries of each query's video as a memory, with codes of their places; and the query's vector."""
        x, mask = self.video(batch.values, batch.mask)
        vector = self.reader(batch.sentence, batch.tokens, batch.words)
        x, mask = x[batch.video], mask[batch.video]
        words = torch.cat([self.word(batch.tokens), vector[:, None]], 1)
        real = torch.cat([batch.words, torch.ones_like(batch.words[:, :1])], 1)
        for cross, norm, block in zip(self.cross, self.cross_norms, self.blocks, strict=True):
            x = x + cross(norm(x), words, real) + norm(x) * vector[:, None]
            x = block(x, mask)
        return Memory(masked(self.norm(x), mask), mask, place_codes(mask, x.shape[-1])), vector

    def video(
        self, values: Float[Tensor, "videos time features"], mask: Bool[Tensor, "videos time"]
    ) -> tuple[Float[Tensor, "videos cells width"], Bool[Tensor, "videos cells"]]:
        """What of the video does not depend on the query: convolutions, and means of `pool` entries."""
        x = values
        for conv, norm in zip(self.stem, self.stem_norms, strict=True):
            x = masked(torch.relu(norm(conv(x))), mask)
        return pooled(x, mask, self.config.pool)


def against_video(
    x: Float[Tensor, "videos time width"], weights: Float[Tensor, "queries width"], video: Int[Tensor, " queries"]
) -> Float[Tensor, "queries time"]:
    """The product of each query's weight with the entries of its own video; queries come in order of their videos."""
    counts = torch.bincount(video, minlength=len(x)).tolist()
    parts = [part @ own.T for part, own in zip(weights.split(counts), x, strict=True)]
    return torch.cat(parts)


def pooled(
    x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"], pool: int
) -> tuple[Float[Tensor, "batch cells width"], Bool[Tensor, "batch cells"]]:
    """Means over `pool` entries; what is left over at the end is a cell of its own."""
    if pool == 1:
        return x, mask
    rest = -x.shape[1] % pool
    x = torch.nn.functional.pad(x, (0, 0, 0, rest)).unflatten(1, (-1, pool))
    real = torch.nn.functional.pad(mask, (0, rest)).unflatten(1, (-1, pool))
    count = real.sum(2, keepdim=True).clamp(min=1)
    return (x * real[..., None]).sum(2) / count, real.any(2)


def covered(spans: SetTargets, mask: Bool[Tensor, "queries cells"]) -> Bool[Tensor, "queries cells"]:
    """Which cells lie (with their middle) in any of a query's spans."""
    place = (torch.arange(mask.shape[1], device=mask.device) + 0.5) / mask.sum(1, keepdim=True).clamp(min=1)
    ends = edges(spans.spans)
    inside = (place[:, :, None] >= ends[:, None, :, 0]) & (place[:, :, None] < ends[:, None, :, 1])
    return (inside & (spans.labels[:, None] >= 0)).any(2) & mask
