"""The one transformer denoiser: patchified frames, text by cross-attention, optional further slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from laban.errors import LabanError
from models.attention import Attention, FeedForward, sinusoid


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the network. `slots` names further sequences it may attend to, with their feature widths."""

    features: int
    width: int = 256
    layers: int = 8
    heads: int = 4
    hidden: int = 1024
    patch: int = 4
    """Frames per token."""
    text: int = 384
    slots: tuple[tuple[str, int], ...] = ()
    """(name, width) of optional context sequences, such as history or a partner."""
    hint: bool = False
    """Whether known values and their mask are added to the frames (control)."""


@dataclass(frozen=True)
class Condition:
    """What the denoiser may look at. A row whose mask is all False is unconditional in that slot."""

    tokens: Float[Tensor, "batch words text"]
    mask: Bool[Tensor, "batch words"]
    sentence: Float[Tensor, "batch text"]
    slots: Mapping[str, tuple[Float[Tensor, "batch length width"], Bool[Tensor, "batch length"]]] = field(
        default_factory=dict
    )
    hint: tuple[Float[Tensor, "batch frames features"], Bool[Tensor, "batch frames features"]] | None = None

    def without_text(self, drop: Bool[Tensor, " batch"] | None = None) -> Condition:
        """The same with the text of the chosen rows (default: all) removed."""
        drop = torch.ones(len(self.mask), dtype=torch.bool, device=self.mask.device) if drop is None else drop
        keep = ~drop[:, None]
        return Condition(self.tokens, self.mask & keep, self.sentence * keep, self.slots, self.hint)

    def cat(self, other: Condition) -> Condition:
        """Rows of `self`, then rows of `other` (the doubled batch of classifier-free guidance)."""
        slots = {
            name: (torch.cat([value, other.slots[name][0]]), torch.cat([mask, other.slots[name][1]]))
            for name, (value, mask) in self.slots.items()
        }
        hint = None
        if self.hint is not None and other.hint is not None:
            hint = (torch.cat([self.hint[0], other.hint[0]]), torch.cat([self.hint[1], other.hint[1]]))
        tokens, mask = torch.cat([self.tokens, other.tokens]), torch.cat([self.mask, other.mask])
        return Condition(tokens, mask, torch.cat([self.sentence, other.sentence]), slots, hint)


class Layer(nn.Module):
    """Self-attention, cross-attention and feed-forward, modulated by time and sentence (adaLN, Peebles & Xie 2023)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.self_attention = Attention(width, config.heads)
        self.cross_attention = Attention(width, config.heads, context=width)
        self.feed_forward = FeedForward(width, config.hidden)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.cross_norm = nn.LayerNorm(width)
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, mask: Tensor, context: Tensor, seen: Tensor, signal: Tensor) -> Tensor:
        """`signal` (batch, 6, width) is shared by all layers (PixArt's adaLN-single); each adds its own offset."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (signal + self.modulation).unsqueeze(2).unbind(1)
        x = x + gate_a * self.self_attention(self.norm(x) * (1 + scale_a) + shift_a, mask=mask)
        x = x + self.cross_attention(self.cross_norm(x), context, seen)
        return x + gate_f * self.feed_forward(self.norm(x) * (1 + scale_f) + shift_f)


class Denoiser(nn.Module):
    """(x_t, t, condition) -> prediction of the same shape as x_t; padding frames are ignored."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed = nn.Linear(config.patch * config.features, width)
        self.hint = nn.Linear(2 * config.patch * config.features, width, bias=False) if config.hint else None
        self.text = nn.Linear(config.text, width)
        self.sentence = nn.Linear(config.text, width, bias=False)
        self.slots = nn.ModuleDict({name: nn.Linear(size, width) for name, size in config.slots})
        self.registers = nn.Parameter(torch.randn(2, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.signal = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.patch * config.features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            for layer in self.layers:
                layer.get_parameter("modulation")[[2, 5]] = 1.0

    def forward(
        self, x: Float[Tensor, "batch frames features"], t: Tensor, condition: Condition,
        mask: Bool[Tensor, "batch frames"] | None = None,
    ) -> Float[Tensor, "batch frames features"]:  # fmt: skip
        """`mask` is True at real frames; t counts training steps."""
        frames, patch = x.shape[1], self.config.patch
        if x.shape[-1] != self.config.features:
            raise LabanError(f"denoiser: input has {x.shape[-1]} features; expected {self.config.features}")
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        x = x * mask[..., None]
        hidden = self.embed(_patchify(x, patch))
        if self.hint is not None and condition.hint is not None:
            value, known = condition.hint
            hidden = hidden + self.hint(_patchify(torch.cat([value * known, known.to(value)], -1), patch))
        token_mask = _patchify(mask[..., None].float(), patch).amax(-1) > 0
        context, seen = self._context(condition)
        sentence = condition.sentence * self.config.text**0.5  # unit vectors to unit variance
        signal = self.time(sinusoid(t.float(), self.config.width)) + self.sentence(sentence)
        signal = self.signal(signal).unflatten(-1, (6, -1))
        for layer in self.layers:
            hidden = layer(hidden, token_mask, context, seen, signal)
        out = self.out(self.norm(hidden)).unflatten(-1, (patch, -1)).flatten(1, 2)
        return out[:, :frames].float()

    def _context(self, condition: Condition) -> tuple[Tensor, Tensor]:
        batch = len(condition.mask)
        parts = [self.registers.expand(batch, -1, -1), self.text(condition.tokens)]
        masks = [torch.ones(batch, 2, dtype=torch.bool, device=condition.mask.device), condition.mask]
        for name, (value, mask) in condition.slots.items():
            parts.append(self.slots[name](value))
            masks.append(mask)
        return torch.cat([p.to(parts[-1].dtype) for p in parts], 1), torch.cat(masks, 1)


def _patchify(x: Float[Tensor, "batch frames features"], patch: int) -> Float[Tensor, "batch tokens wide"]:
    x = F.pad(x, (0, 0, 0, -x.shape[1] % patch))
    return x.unflatten(1, (-1, patch)).flatten(2)
