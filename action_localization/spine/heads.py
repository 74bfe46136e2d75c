"""Anchor-free heads, shared by all levels: class logits, and distances to start and end in strides."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.spine.encoder import Level
from action_localization.spine.layers import TemporalConv, masked
from action_localization.spine.systems import HeadConfig


class Trunk(nn.Module):
    """Convolution, layer norm, ReLU, some times over."""

    def __init__(self, inputs: int, config: HeadConfig, *, causal: bool) -> None:
        super().__init__()
        widths = [inputs, *[config.width] * config.layers]
        self.convs = nn.ModuleList(
            TemporalConv(a, b, bias=False, causal=causal) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.layers))

    def forward(
        self, x: Float[Tensor, "batch time inputs"], mask: Bool[Tensor, "batch time"] | None
    ) -> Float[Tensor, "batch time width"]:
        """One level."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = masked(F.relu(norm(masked(conv(x), mask))), mask)
        return x


class PointHead(nn.Module):
    """A trunk and an output convolution, applied to every level; the output is computed in the convolution's own type.

    So the last layer can stay in fp32 when the rest runs in bf16.
    """

    def __init__(self, inputs: int, outputs: int, config: HeadConfig, *, causal: bool, prior: float = 0.5) -> None:
        super().__init__()
        self.trunk = Trunk(inputs, config, causal=causal)
        self.out = TemporalConv(config.width, outputs, causal=causal)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias, math.log(prior / (1 - prior)))

    def forward(self, levels: tuple[Level, ...]) -> list[Tensor]:
        """Per level (batch, time, outputs); what it says at masked entries is meaningless."""
        return [self.out(self.trunk(x, mask).to(self.out.weight.dtype)) for x, mask in levels]


class OffsetHead(nn.Module):
    """Two distances per point, directly (ActionFormer): ReLU(scale of the level * convolution)."""

    def __init__(self, inputs: int, levels: int, config: HeadConfig, *, causal: bool) -> None:
        super().__init__()
        self.head = PointHead(inputs, 2, config, causal=causal)
        self.scales = nn.Parameter(torch.ones(levels))

    def forward(self, levels: tuple[Level, ...]) -> list[Tensor]:
        """Per level (batch, time, 1, 2), the same for all classes."""
        outs = zip(self.scales, self.head(levels), strict=True)
        return [F.relu(scale * out)[:, :, None] for scale, out in outs]


class TridentHead(nn.Module):
    """Distances as expectations over bins (TriDet): boundary logits of the neighbours plus offsets from the centre.

    For each class, the start is sought in the `bins` entries before a point and the point itself, the end in those
    after it; bins outside the video are closed.
    """

    def __init__(self, inputs: int, classes: int, config: HeadConfig) -> None:
        super().__init__()
        self.bins = config.bins
        self.start = PointHead(inputs, classes, config, causal=False)
        self.end = PointHead(inputs, classes, config, causal=False)
        self.centre = PointHead(inputs, 2 * (config.bins + 1), config, causal=False)

    def forward(self, levels: tuple[Level, ...]) -> list[Tensor]:
        """Per level (batch, time, classes, 2)."""
        away = torch.arange(self.bins + 1, device=levels[0][0].device, dtype=torch.float32)
        return [torch.stack([p @ away for p in sides], -1) for sides in self.probabilities(levels)]

    def probabilities(self, levels: tuple[Level, ...]) -> list[tuple[Tensor, Tensor]]:
        """Per level, for start and end, (batch, time, classes, bins + 1) that sum to one; bin b lies b strides away."""
        result = []
        logits = zip(self.start(levels), self.end(levels), self.centre(levels), levels, strict=True)
        for start, end, centre, (_, mask) in logits:
            before, after = centre.float().chunk(2, -1)
            real = torch.ones_like(start[..., :1]) if mask is None else mask[..., None]
            start = self._neighbours(start.float(), real).flip(-1) + before[:, :, None]
            end = self._neighbours(end.float().flip(1), real.flip(1)).flip(1, -1) + after[:, :, None]
            result.append((start.softmax(-1), end.softmax(-1)))
        return result

    def _neighbours(self, logits: Tensor, real: Tensor) -> Tensor:
        """(batch, time, classes, bins + 1): the logits of the entries up to and including each one, oldest first."""
        logits = logits.masked_fill(real == 0, -1e4)
        return F.pad(logits, (0, 0, self.bins, 0), value=-1e4).unfold(1, self.bins + 1, 1)
