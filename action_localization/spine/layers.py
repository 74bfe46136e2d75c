"""Layers over (batch, time, channels): convolution, pooling and windowed attention that respect masks and causality.

A mask is (batch, time), True at real entries; None means that all are. Masked entries hold zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

_CHUNK = 32
"""Queries that share one stretch of keys in windowed attention."""


def masked(x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None) -> Tensor:
    """Zeros where there is nothing."""
    return x if mask is None else x * mask[..., None].to(x.dtype)


def halved(mask: Bool[Tensor, "batch time"] | None) -> Tensor | None:
    """The mask of every second entry."""
    return None if mask is None else mask[:, ::2]


class TemporalConv(nn.Module):
    """1-D convolution; with stride 2, entry i of the result lies at entry 2i. Causal: it looks back only.

    Written as a 2-D convolution over channels-last memory, which is what (batch, time, channels) is: no transposition,
    and several times faster than `conv1d` for depthwise kernels on a CPU.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, bias: bool = True,
        causal: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel, self.stride, self.groups, self.causal = kernel, stride, groups, causal
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch shorter outputs"]:
        """The result has ceil(time / stride) entries."""
        if self.causal and self.kernel > 1:
            x = F.pad(x, (0, 0, self.kernel - 1, 0))
        padding = 0 if self.causal else self.kernel // 2
        image = x.transpose(1, 2).unsqueeze(2)
        out = F.conv2d(image, self.weight.unsqueeze(2), self.bias, (1, self.stride), (0, padding), groups=self.groups)
        return out.squeeze(2).transpose(1, 2)


def max_pool(
    x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None = None, *, causal: bool = False
) -> Float[Tensor, "batch half width"]:
    """The largest of three neighbours, at every second entry; what is masked or outside is never the largest."""
    if mask is not None:
        x = x.masked_fill(~mask[..., None], -torch.inf)
    x = F.pad(x, (0, 0, 2, 0) if causal else (0, 0, 1, 1), value=-torch.inf)
    out = torch.maximum(torch.maximum(x[:, :-2:2], x[:, 1:-1:2]), x[:, 2::2])
    return out if mask is None else out.masked_fill(~mask[:, ::2, None], 0.0)


class Residual(nn.Module):
    """What is added to the main path: scaled per channel (small at first), and left out at random while training."""

    def __init__(self, width: int, drop: float = 0.0, start: float = 1e-4) -> None:
        super().__init__()
        self.drop = drop
        self.scale = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """Stochastic depth (Huang et al., ECCV 2016) leaves out whole samples and scales up the rest."""
        x = x * self.scale
        if not self.training or self.drop == 0:
            return x
        keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop
        return x * (keep / (1 - self.drop)).to(x.dtype)


def window_attention(
    q: Float[Tensor, "batch time width"], k: Float[Tensor, "batch time width"], v: Float[Tensor, "batch time width"],
    mask: Bool[Tensor, "batch time"] | None = None, *, heads: int, back: int, ahead: int,
) -> Float[Tensor, "batch time width"]:  # fmt: skip
    """Softmax attention of every entry to those from `back` entries before it to `ahead` entries after it.

    Cost and memory grow with time * (back + ahead + 32). Results at masked entries are finite and meaningless.
    """
    batch, time, width = q.shape
    count = -(-time // _CHUNK)
    length, rest = _CHUNK + back + ahead, count * _CHUNK - time

    def windows(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, back, ahead + rest)).unfold(1, length, _CHUNK)
        return x.unflatten(2, (heads, -1)).flatten(0, 1)

    query = F.pad(q, (0, 0, 0, rest)).view(batch * count, _CHUNK, heads, width // heads).transpose(1, 2)
    real = torch.ones(1, time, dtype=torch.bool, device=q.device) if mask is None else mask
    seen = F.pad(real, (back, ahead + rest)).unfold(1, length, _CHUNK)
    gap = torch.arange(length, device=q.device) - torch.arange(_CHUNK, device=q.device)[:, None]
    seen = seen[:, :, None, :] & (gap >= 0) & (gap <= back + ahead)
    bias = torch.zeros(seen.shape, dtype=q.dtype, device=q.device).masked_fill_(~seen, -1e4)
    bias = bias.expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    out = _attend(query, windows(k), windows(v), bias)
    return out.transpose(1, 2).reshape(batch, count * _CHUNK, width)[:, :time]


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Queries (n, heads, queries, dim) over keys and values (n, heads, dim, keys).

    Written out while training on a CPU, where the fused kernel's backward pass is slow for few tokens.
    """
    if q.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k.transpose(-1, -2), v.transpose(-1, -2), attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k + bias
    return scores.softmax(-1).to(v.dtype) @ v.transpose(-1, -2)


def masked_mean(x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None) -> Tensor:
    """(batch, 1, width): the mean over real entries; zeros where there are none."""
    if mask is None:
        return x.mean(1, keepdim=True)
    return masked(x, mask).sum(1, keepdim=True) / mask.sum(1).clamp(min=1)[:, None, None].to(x.dtype)


def running_mean(x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
    """At every entry the mean of all up to it."""
    count = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=torch.float32)
    return (x.float().cumsum(1) / count[:, None]).to(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation over the real entries and a group of channels; causal: over a group of channels alone."""

    def __init__(self, groups: int, width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.groups, self.causal = groups, causal
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(
        self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """Statistics in fp32."""
        y = x.float().unflatten(-1, (self.groups, -1))
        mean, square = y.mean(-1), y.square().mean(-1)
        if not self.causal:
            mean, square = masked_mean(mean, mask), masked_mean(square, mask)
        y = (y - mean[..., None]) * (square - mean.square()).clamp(min=0).add(1e-5).rsqrt()[..., None]
        return (y.flatten(-2) * self.weight + self.bias).to(x.dtype)
