"""The encoder: features to a pyramid of levels, each with half the entries of the one before, by pluggable blocks.

A block is `block(x, mask) -> (x, mask)` over (batch, time, width); made with stride 2 it halves the time.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.spine.layers import (
    GroupNorm,
    Residual,
    TemporalConv,
    halved,
    masked,
    masked_mean,
    max_pool,
    running_mean,
    window_attention,
)
from action_localization.spine.systems import EncoderConfig

Level = tuple[Tensor, Tensor | None]
"""(batch, time, width) and its mask."""


class WindowAttention(nn.Module):
    """Local multi-head attention whose queries, keys and values come from depthwise convolutions (ActionFormer)."""

    def __init__(self, config: EncoderConfig, stride: int) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.back = config.window - 1 if config.causal else config.window // 2
        self.ahead = 0 if config.causal else config.window // 2
        self.query_conv, self.key_conv, self.value_conv = (
            TemporalConv(width, width, stride=stride, groups=width, bias=False, causal=config.causal) for _ in range(3)
        )
        self.query_norm, self.key_norm, self.value_norm = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch half"] | None) -> Tensor:
        """`mask` is that of the result."""
        q = self.query(self.query_norm(masked(self.query_conv(x), mask)))
        k = self.key(self.key_norm(masked(self.key_conv(x), mask)))
        v = self.value(self.value_norm(masked(self.value_conv(x), mask)))
        out = window_attention(q, k, v, mask, heads=self.heads, back=self.back, ahead=self.ahead)
        return self.out(out)


class AttentionBlock(nn.Module):
    """Pre-norm transformer block of ActionFormer; the path around attention is max-pooled when it halves the time."""

    def __init__(self, config: EncoderConfig, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.causal = stride, config.causal
        self.attention_norm, self.mlp_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = WindowAttention(config, stride)
        self.mlp = _mlp(config)
        self.attention_scale = Residual(config.width, config.drop_path)
        self.mlp_scale = Residual(config.width, config.drop_path)

    def forward(self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None) -> Level:
        """Halves the time with stride 2."""
        inner, skip = masked(self.attention_norm(x), mask), x
        if self.stride == 2:
            skip, mask = max_pool(x, mask, causal=self.causal), halved(mask)
        x = skip + masked(self.attention_scale(self.attention(inner, mask)), mask)
        return x + masked(self.mlp_scale(self.mlp(self.mlp_norm(x))), mask), mask


class SGPBlock(nn.Module):
    """Scalable-granularity perception of TriDet: an instant branch, and two depthwise windows under one gate.

    Causal, the video's mean becomes the mean so far, and group norm looks at one entry at a time.
    """

    def __init__(self, config: EncoderConfig, stride: int = 1) -> None:
        super().__init__()
        width, causal = config.width, config.causal
        self.stride, self.causal = stride, causal
        self.norm = nn.LayerNorm(width)
        self.instant, self.video = nn.Linear(width, width), nn.Linear(width, width)
        self.gate, self.short, self.long = (
            TemporalConv(width, width, kernel, groups=width, causal=causal)
            for kernel in (config.kernel, config.kernel, long_kernel(config))
        )
        self.group_norm = GroupNorm(16 if width % 16 == 0 else 1, width, causal=causal)
        self.mlp = _mlp(config)
        self.scale, self.mlp_scale = Residual(width, config.drop_path), Residual(width, config.drop_path)

    def forward(self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None) -> Level:
        """Halves the time with stride 2."""
        if self.stride == 2:
            x, mask = max_pool(x, mask, causal=self.causal), halved(mask)
        inner = masked(self.norm(x), mask)
        mean = running_mean(inner) if self.causal else masked_mean(inner, mask)
        inner = (
            self.instant(inner) * F.relu(self.video(mean))
            + (self.short(inner) + self.long(inner)) * self.gate(inner)
            + inner
        )
        x = x + masked(self.scale(inner), mask)
        return x + masked(self.mlp_scale(self.mlp(self.group_norm(x, mask))), mask), mask


class PoolBlock(nn.Module):
    """TemporalMaxer's block: max-pooling and nothing else; without a stride it passes everything on."""

    def __init__(self, config: EncoderConfig, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.causal = stride, config.causal

    def forward(self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None) -> Level:
        """Halves the time with stride 2."""
        return (max_pool(x, mask, causal=self.causal), halved(mask)) if self.stride == 2 else (x, mask)


BLOCKS = {"attention": AttentionBlock, "sgp": SGPBlock, "pool": PoolBlock}


class Encoder(nn.Module):
    """Embedding convolutions, stem blocks, one halving block per further level, and a norm per level."""

    def __init__(self, config: EncoderConfig, features: int) -> None:
        super().__init__()
        block, width = BLOCKS[config.block], config.width
        widths = [features, *[width] * config.embed]
        self.embed_convs = nn.ModuleList(
            TemporalConv(a, b, bias=False, causal=config.causal) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.embed_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.embed))
        self.stem = nn.ModuleList(block(config) for _ in range(config.stem))
        self.branch = nn.ModuleList(block(config, stride=2) for _ in range(config.levels - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.levels))

    def embed(self, x: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None) -> Tensor:
        """Features to (batch, time, width)."""
        for conv, norm in zip(self.embed_convs, self.embed_norms, strict=True):
            x = F.relu(norm(masked(conv(x), mask)))
        return masked(x, mask)

    def pyramid(
        self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None
    ) -> tuple[Level, ...]:
        """Embedded features to normalised levels, the finest first."""
        for block in self.stem:
            x, mask = block(x, mask)
        levels: list[Level] = [(x, mask)]
        for block in self.branch:
            x, mask = block(x, mask)
            levels.append((x, mask))
        return tuple((masked(norm(x), mask), mask) for norm, (x, mask) in zip(self.norms, levels, strict=True))


def long_kernel(config: EncoderConfig) -> int:
    """The longer window of an SGP block."""
    return round((config.kernel + 1) * config.factor) // 2 * 2 + 1


def reach(config: EncoderConfig) -> int:
    """Entries on either side that an output of the encoder can depend on, the mean of an SGP block apart."""
    if config.block == "attention":
        inner = config.window - 1 if config.causal else config.window // 2
    else:
        inner = long_kernel(config) if config.block == "sgp" else 0
    side = 2 if config.causal else 1
    total = side * config.embed + config.stem * (inner + side)
    for level in range(1, config.levels):
        total += 2 ** (level - 1) * side + 2**level * inner
    return total


def _mlp(config: EncoderConfig) -> nn.Sequential:
    return nn.Sequential(nn.Linear(config.width, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.width))
