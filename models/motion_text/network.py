"""The motion-text encoder: a patch transformer over joint features and a small transformer over text tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention import Block

PATCH = 4
"""Frames per token: 0.2 s at 20 fps."""
CLAMP = 8.0
"""Standard deviations at which a normalised column is cut, so that one wild joint cannot swamp a patch."""


@dataclass(frozen=True)
class Sizes:
    """Architecture of `MotionText`; stored in the checkpoint's config."""

    features: int = 133
    text_features: int = 384
    actions: int = 110
    width: int = 192
    layers: int = 4
    text_layers: int = 2
    heads: int = 4
    embedding: int = 256


@dataclass(frozen=True)
class MotionOutput:
    """What a network says of a batch of motions; `part_logits` only where the network has part heads."""

    embedding: Float[Tensor, "batch dim"]
    logits: Float[Tensor, "batch actions"]
    patches: Float[Tensor, "batch patches width"]
    part_logits: Float[Tensor, "batch parts actions"] | None = None


class Normalise(nn.Module):
    """Z-scores of the feature columns by the training set's mean and deviation, kept with the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def set(self, features: Float[Tensor, "frames columns"]) -> None:
        """Take mean and deviation from training frames; no column is scaled up by more than 1 / 0.02."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(0.02))

    def forward(self, features: Float[Tensor, "batch frames columns"]) -> Float[Tensor, "batch frames columns"]:
        """Normalised and clamped."""
        return ((features - self.mean) / self.deviation).clamp(-CLAMP, CLAMP)


class AttentionPool(nn.Module):
    """Weighted mean over the real positions of a sequence, several learned weightings side by side."""

    def __init__(self, width: int, heads: int, out: int) -> None:
        super().__init__()
        self.score, self.out = nn.Linear(width, heads), nn.Linear(heads * width, out)

    def forward(
        self, x: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch out"]:
        """`mask` is True at real positions; every row needs at least one."""
        weights = self.score(x).masked_fill(~mask[..., None], float("-inf")).softmax(1)
        return self.out(torch.einsum("blh,blw->bhw", weights, x).flatten(1))


class TextTower(nn.Module):
    """Token features of a sentence encoder to a unit vector."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.inlet = nn.Linear(sizes.text_features, sizes.width)
        self.blocks = nn.ModuleList(Block(sizes.width, sizes.heads) for _ in range(sizes.text_layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.pool = AttentionPool(sizes.width, 4, sizes.embedding)

    def forward(
        self, tokens: Float[Tensor, "batch length columns"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch dim"]:
        """L2-normalised sentence embeddings."""
        x = self.inlet(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return F.normalize(self.pool(self.norm(x), mask).float(), dim=-1)


class MotionTower(nn.Module):
    """Joint features to a unit vector, action logits and one feature vector per 0.2 s."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.normalise = Normalise(sizes.features)
        self.inlet = nn.Linear(PATCH * sizes.features, sizes.width)
        self.blocks = nn.ModuleList(Block(sizes.width, sizes.heads) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.pool = AttentionPool(sizes.width, 4, sizes.embedding)
        self.actions = nn.Linear(sizes.embedding, sizes.actions)

    def forward(
        self, features: Float[Tensor, "batch frames columns"], mask: Bool[Tensor, "batch frames"]
    ) -> MotionOutput:
        """Frames must be a multiple of `PATCH`; padding (False in `mask`) comes in whole patches."""
        x = self.inlet(patchify(self.normalise(features)))
        seen = mask[:, ::PATCH]
        for block in self.blocks:
            x = block(x, seen)
        x = self.norm(x)
        pooled = self.pool(x, seen).float()
        return MotionOutput(F.normalize(pooled, dim=-1), self.actions(pooled), x)


class MotionText(nn.Module):
    """Motion and text towers with a shared 256-d unit sphere (TMR-like, contrastive)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.motion, self.text = MotionTower(sizes), TextTower(sizes)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # 1 / temperature = 14, CLIP's start


def patchify(features: Float[Tensor, "batch frames columns"]) -> Float[Tensor, "batch patches joined"]:
    """`PATCH` frames side by side; frames must divide evenly."""
    return features.unflatten(1, (-1, PATCH)).flatten(2)


def pad_clips(
    clips: list[Float[Tensor, "_ columns"]],
) -> tuple[Float[Tensor, "batch frames columns"], Bool[Tensor, "batch frames"]]:
    """One batch of clips of any length: each cut to whole patches (a shorter one holds its last frame), then padded."""
    whole = [_whole_patches(clip) for clip in clips]
    frames = max(len(clip) for clip in whole)
    batch = whole[0].new_zeros(len(whole), frames, whole[0].shape[-1])
    mask = torch.zeros(len(whole), frames, dtype=torch.bool)
    for row, clip in enumerate(whole):
        batch[row, : len(clip)] = clip
        mask[row, : len(clip)] = True
    return batch, mask.to(batch.device)


def _whole_patches(clip: Float[Tensor, "frames columns"]) -> Float[Tensor, "kept columns"]:
    if len(clip) < PATCH:
        return torch.cat((clip, clip[-1:].expand(PATCH - len(clip), -1)))
    return clip[: len(clip) // PATCH * PATCH]
