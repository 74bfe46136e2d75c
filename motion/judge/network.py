"""The judge's own architecture: temporal convolutions and recurrence, where the encoder in use is a transformer.

Five streams, one for each body part, see that part's columns alone and say which action the part shows. The whole-body
stream reads all columns; its recurrent state is pooled to the embedding and classified.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.motion_text.network import PATCH, AttentionPool, MotionOutput, Normalise, Sizes, patchify
from models.representation.joints import LAYOUT

REACH = 5
"""Patches that one temporal convolution sees."""


class ConvBlock(nn.Module):
    """Depthwise temporal convolution and a two-layer perceptron: ConvNeXt (Liu et al. 2022) in one dimension."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.mix = nn.Parameter(torch.randn(REACH, width) * REACH**-0.5)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Padding (False in `mask`) is silenced first, so that a clip's answer does not depend on its batch."""
        reach = self.dilation * (REACH // 2)
        wide = F.pad(x * mask[..., None], (0, 0, reach, reach))
        # Shifted sums: a depthwise Conv1d is several times slower on a CPU, forward and back.
        mixed = sum(wide[:, k * self.dilation : k * self.dilation + x.shape[1]] * w for k, w in enumerate(self.mix))
        return x + self.down(F.gelu(self.up(self.norm(mixed))))


class PartStream(nn.Module):
    """One body part's columns to action logits."""

    def __init__(self, columns: tuple[int, ...], width: int, actions: int) -> None:
        super().__init__()
        self.columns = list(columns)
        self.inlet = nn.Linear(PATCH * len(columns), width)
        self.blocks = nn.ModuleList(ConvBlock(width, dilation) for dilation in (1, 2))
        self.pool = AttentionPool(width, 2, actions)

    def forward(
        self, normalised: Float[Tensor, "batch frames 133"], seen: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch actions"]:
        """Logits of the action that the part shows."""
        x = self.inlet(patchify(normalised[..., self.columns]))
        for block in self.blocks:
            x = block(x, seen)
        return self.pool(x, seen)


class JudgeMotion(nn.Module):
    """Whole-body stream (convolutions, then a bidirectional GRU) and the five part streams."""

    def __init__(self, sizes: Sizes, part_width: int = 48) -> None:
        super().__init__()
        self.normalise = Normalise(sizes.features)
        self.inlet = nn.Linear(PATCH * sizes.features, sizes.width)
        self.blocks = nn.ModuleList(ConvBlock(sizes.width, 2**k) for k in range(sizes.layers))
        self.recurrence = nn.GRU(sizes.width, sizes.width // 2, batch_first=True, bidirectional=True)
        self.pool = AttentionPool(sizes.width, 4, sizes.embedding)
        self.actions = nn.Linear(sizes.embedding, sizes.actions)
        self.parts = nn.ModuleList(PartStream(c, part_width, sizes.actions) for c in LAYOUT.parts.values())

    def forward(
        self, features: Float[Tensor, "batch frames columns"], mask: Bool[Tensor, "batch frames"]
    ) -> MotionOutput:
        """Frames must be a multiple of `PATCH`; padding (False in `mask`) comes in whole patches at the end."""
        normalised, seen = self.normalise(features), mask[:, ::PATCH]
        x = self.inlet(patchify(normalised))
        for block in self.blocks:
            x = block(x, seen)
        x = x + _packed(self.recurrence, x, seen)
        pooled = self.pool(x, seen).float()
        parts = torch.stack([stream(normalised, seen) for stream in self.parts], 1)
        return MotionOutput(F.normalize(pooled, dim=-1), self.actions(pooled), x, parts)


class JudgeText(nn.Module):
    """Token features to a unit vector by a bidirectional GRU."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.recurrence = nn.GRU(sizes.text_features, sizes.width // 2, batch_first=True, bidirectional=True)
        self.pool = AttentionPool(sizes.width, 4, sizes.embedding)

    def forward(
        self, tokens: Float[Tensor, "batch length columns"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch dim"]:
        """L2-normalised sentence embeddings."""
        x = _packed(self.recurrence, tokens, mask)
        return F.normalize(self.pool(x, mask).float(), dim=-1)


class JudgeNetwork(nn.Module):
    """Both towers; the same three attributes as `models.motion_text.network.MotionText`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.motion, self.text = JudgeMotion(sizes), JudgeText(sizes)
        self.log_scale = nn.Parameter(torch.tensor(2.66))


def _packed(
    recurrence: nn.GRU, x: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length out"]:
    """Run a recurrence over real positions only, whatever the padding."""
    lengths = mask.sum(1).cpu()
    packed = nn.utils.rnn.pack_padded_sequence(x.float(), lengths, batch_first=True, enforce_sorted=False)
    with torch.autocast(x.device.type, enabled=False):
        states, _ = recurrence(packed)
    return nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]
