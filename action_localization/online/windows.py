"""The latest rows as tokens: the part that online detectors with a window share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention import Block, sinusoid


@dataclass(frozen=True)
class WindowConfig:
    """Sizes of a window encoder; `patch` rows become one token."""

    width: int = 96
    heads: int = 4
    hidden: int = 192
    layers: int = 2
    patch: int = 2
    dropout: float = 0.1
    """Of row embeddings."""
    convolutions: int = 0
    """So many convolutions over three tokens before the blocks: what an edge looks like does not depend on its age."""


SMALL = WindowConfig(width=64, hidden=128, layers=1)
"""What a minute of one core can teach."""


class WindowEncoder(nn.Module):
    """Rows embedded one by one, `patch` of them joined to a token, then transformer blocks over a window of tokens.

    Windows end now, so a token's place tells its age. `extra` learned tokens stand before the others (MATR's flag).
    """

    def __init__(self, config: WindowConfig, features: int, rows: int, extra: int = 0) -> None:
        super().__init__()
        width = config.width
        self.config, self.tokens, self.extra = config, rows // config.patch, extra
        self.embedding = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.GELU())
        self.joining = nn.Linear(config.patch * width, width)
        self.place = nn.Parameter(torch.randn(extra + self.tokens, width) * 0.02)
        self.local = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(config.convolutions))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.hidden) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def embed(self, rows: Float[Tensor, "*n features"]) -> Float[Tensor, "*n width"]:
        """Rows, each for itself."""
        return F.dropout(self.embedding(rows), self.config.dropout, self.training)

    def forward(
        self, embedded: Float[Tensor, "n rows width"], real: Bool[Tensor, "n rows"]
    ) -> tuple[Float[Tensor, "n tokens width"], Bool[Tensor, "n tokens"]]:
        """(tokens, `extra` first; which stand for at least one row)."""
        embedded = embedded * real[..., None].to(embedded.dtype)
        patch = self.config.patch
        x = self.joining(embedded.unflatten(1, (-1, patch)).flatten(2))
        mask = F.pad(real.unflatten(1, (-1, patch)).any(-1), (self.extra, 0), value=True)
        there = mask[:, self.extra :, None].to(x.dtype)
        for convolution in self.local:
            x = (x + F.gelu(convolution(x.transpose(1, 2))).transpose(1, 2)) * there
        x = F.pad(x, (0, 0, self.extra, 0)) + self.place
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask


def age_code(age: Float[Tensor, "n tokens"], width: int) -> Float[Tensor, "n tokens width"]:
    """Sinusoids of how many rows ago something was."""
    return sinusoid(age.flatten(), width).view(*age.shape, width)
