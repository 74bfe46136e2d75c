"""Transformer blocks shared by every network: rotary self-attention, cross-attention, and their feed-forward layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


def rotary(
    x: Float[Tensor, "batch heads length dim"], base: float = 10000.0
) -> Float[Tensor, "batch heads length dim"]:
    """Rotary position embedding (Su et al. 2021) over positions 0 .. length - 1."""
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; self-attention is rotary, cross-attention is not.

    `aligned` makes cross-attention rotary too: position n of the context is at the time of position n of the input.
    """

    def __init__(self, width: int, heads: int, context: int | None = None, *, aligned: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary = heads, context is None or aligned
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(context or width, width, bias=False)
        self.value = nn.Linear(context or width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.query_scale = nn.Parameter(torch.ones(width // heads))

    def forward(
        self, x: Float[Tensor, "batch length width"], context: Float[Tensor, "batch keys context"] | None = None,
        mask: Bool[Tensor, "batch keys"] | None = None,
    ) -> Float[Tensor, "batch length width"]:  # fmt: skip
        """`mask` is True at keys that may be seen; every row needs at least one."""
        source = x if context is None else context
        q, k, v = (self._split(f(y)) for f, y in ((self.query, x), (self.key, source), (self.value, source)))
        q, k = _unit(q) * self.query_scale.to(v.dtype), _unit(k)
        if self.rotary:
            q, k = rotary(q), rotary(k)
        return self.out(_attend(q, k, v, mask).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax attention. Written out for the CPU: for some tens of tokens its fused backward pass is 5 times slower."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None])
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(~mask, -1e4)[:, None, None]
    return scores.softmax(-1).to(v.dtype) @ v


def _unit(x: Tensor) -> Tensor:
    return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()


class FeedForward(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Apply to the last axis."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Pre-norm self-attention + feed-forward block, for plain encoders."""

    def __init__(self, width: int, heads: int, hidden: int | None = None) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden or 4 * width)

    def forward(
        self, x: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"] | None = None
    ) -> Float[Tensor, "batch length width"]:
        """`mask` is True at real positions."""
        x = x + self.attention(self.norms[0](x), mask=mask)
        return x + self.feed_forward(self.norms[1](x))


def sinusoid(t: Float[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Sinusoidal embedding of a scalar (Vaswani et al. 2017)."""
    frequency = 10000.0 ** (-torch.arange(width // 2, device=t.device, dtype=torch.float32) / (width // 2))
    angle = t[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)
