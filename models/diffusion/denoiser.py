"""The one transformer denoiser: patchified frames, text by cross-attention, optional further slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from laban.errors import LabanError
from models.attention import Attention, Block, FeedForward, sinusoid

PARTNER = "partner"
"""The slot of another person's frames."""


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
    partner: int = 0
    """Width of another person's frames in the slot `partner`; 0: nobody. Their clock is that of the frames."""
    partner_layers: int = 2
    """Blocks that read the partner's frames before anybody attends to them."""


@dataclass(frozen=True)
class Condition:
    """What the denoiser may look at. A row whose mask is all False is unconditional in that slot."""

    tokens: Float[Tensor, "batch words text"]
    mask: Bool[Tensor, "batch words"]
    sentence: Float[Tensor, "batch text"]
    slots: Mapping[str, tuple[Float[Tensor, "batch _ _"], Bool[Tensor, "batch _"]]] = field(default_factory=dict)
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
        self.partner = PartnerAttention(config) if config.partner else None

    def forward(
        self, x: Tensor, mask: Tensor, context: Tensor, seen: Tensor, signal: Tensor,
        partner: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """`signal` (batch, 6, width) is shared by all layers (PixArt's adaLN-single); each adds its own offset."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (signal + self.modulation).unsqueeze(2).unbind(1)
        x = x + gate_a * self.self_attention(self.norm(x) * (1 + scale_a) + shift_a, mask=mask)
        x = x + self.cross_attention(self.cross_norm(x), context, seen)
        if self.partner is not None and partner is not None:
            x = x + self.partner(x, *partner)
        return x + gate_f * self.feed_forward(self.norm(x) * (1 + scale_f) + shift_f)


class PartnerAttention(nn.Module):
    """Attention to another person's tokens, which adds nothing at first: a trained network is left as it is.

    (Gated cross-attention: Alayrac et al., Flamingo, NeurIPS 2022; ReMoGen, 2026, has such modules for reactions. Here
    the projection of what is added begins at zero, which opens faster than a gate of its own.)
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, context=width, aligned=True)
        nn.init.zeros_(self.attention.out.weight)

    def forward(self, x: Tensor, partner: Tensor, seen: Tensor) -> Tensor:
        """What is added to x."""
        return self.attention(self.norm(x), partner, seen)


class PartnerEncoder(nn.Module):
    """Another person's frames as tokens, and what they add to the tokens of the same time (nothing at first)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.embed = nn.Linear(config.patch * config.partner, config.width)
        self.layers = nn.ModuleList(
            Block(config.width, config.heads, 2 * config.width) for _ in range(config.partner_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, their mask, what is added to the frames' own tokens). A partner nobody sees adds nothing."""
        hidden = self.embed(_patchify(frames * mask[..., None], self.patch))
        seen = _patchify(mask[..., None].float(), self.patch).amax(-1) > 0
        anybody = seen | ~seen.any(1, keepdim=True)  # a softmax needs one key; what it gives is masked below
        for layer in self.layers:
            hidden = layer(hidden, anybody)
        hidden = self.norm(hidden) * seen[..., None]
        return hidden, anybody, self.out(hidden) * seen[..., None]


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
        self.partner = PartnerEncoder(config) if config.partner else None
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
        partner = None
        if self.partner is not None and PARTNER in condition.slots:
            tokens, known, added = self.partner(*condition.slots[PARTNER])
            hidden, partner = (hidden + added if added.shape[1] == hidden.shape[1] else hidden), (tokens, known)
        for layer in self.layers:
            hidden = layer(hidden, token_mask, context, seen, signal, partner)
        out = self.out(self.norm(hidden)).unflatten(-1, (patch, -1)).flatten(1, 2)
        return out[:, :frames].float()

    def _context(self, condition: Condition) -> tuple[Tensor, Tensor]:
        batch = len(condition.mask)
        parts = [self.registers.expand(batch, -1, -1), self.text(condition.tokens)]
        masks = [torch.ones(batch, 2, dtype=torch.bool, device=condition.mask.device), condition.mask]
        for name, (value, mask) in condition.slots.items():
            if name == PARTNER and self.partner is not None:
                continue
            parts.append(self.slots[name](value))
            masks.append(mask)
        return torch.cat([p.to(parts[-1].dtype) for p in parts], 1), torch.cat(masks, 1)


def _patchify(x: Float[Tensor, "batch frames features"], patch: int) -> Float[Tensor, "batch tokens wide"]:
    x = F.pad(x, (0, 0, 0, -x.shape[1] % patch))
    return x.unflatten(1, (-1, patch)).flatten(2)
