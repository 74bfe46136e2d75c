"""CSA: from the classes that seem to be in a video, which channels and times of its features matter.

Sridhar et al., Class Semantics-based Attention for Action Detection, ICCV 2021. The paper gives no widths;
these are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from action_localization.spine.layers import masked
from action_localization.spine.systems import CSA

_TOP = 8
"""A video's logit for a class is the mean of the highest of one in so many entries."""


class ChannelGate(nn.Module):
    """Multiplies features by a gate per channel, and one per time; both are 1 before training."""

    def __init__(self, config: CSA, width: int, classes: int) -> None:
        super().__init__()
        self.activation = nn.Linear(width, classes)
        self.squeeze = nn.Linear(width, max(1, width // config.reduction))
        self.expand = nn.Linear(self.squeeze.out_features, width)
        self.time = nn.Linear(1, 1) if config.times else None
        for layer in (self.expand, self.time):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None
    ) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch time classes"]]:
        """(gated features, class activation sequence as logits)."""
        logits = self.activation(x)
        shown = logits if mask is None else logits.masked_fill(~mask[..., None], -1e4)
        # per class a mean of the features where the class is active, then one mean by how present each class is
        pooled = shown.softmax(1).transpose(1, 2) @ x
        present = video_logits(logits, mask).sigmoid()[..., None]
        summary = (pooled * present).sum(1) / present.sum(1).clamp(min=1e-6)
        gate = 2 * self.expand(F.relu(self.squeeze(summary))).sigmoid()
        x = x * gate[:, None]
        if self.time is not None:
            x = x * (2 * self.time(shown.amax(-1, keepdim=True).clamp(-20, 20)).sigmoid())
        return masked(x, mask), logits


def video_logits(
    logits: Float[Tensor, "batch time classes"], mask: Bool[Tensor, "batch time"] | None
) -> Float[Tensor, "batch classes"]:
    """Multiple-instance pooling: the mean of the highest eighth of the entries, per class."""
    batch, time, _ = logits.shape
    count = torch.full((batch,), time, device=logits.device) if mask is None else mask.sum(1)
    if mask is not None:
        logits = logits.masked_fill(~mask[..., None], -1e4)
    most = max(1, -(-time // _TOP))
    top = logits.topk(most, 1).values
    wanted = (count + _TOP - 1).div(_TOP, rounding_mode="floor").clamp(min=1)
    used = (torch.arange(most, device=logits.device) < wanted[:, None])[..., None]
    return (top * used).sum(1) / used.sum(1)


def semantics_loss(
    logits: Float[Tensor, "batch time classes"], mask: Bool[Tensor, "batch time"] | None, labels: Int[Tensor, "batch n"]
) -> Float[Tensor, ""]:
    """Multi-label loss of the video: which classes occur anywhere (labels below 0 are padding)."""
    one_hot = F.one_hot(labels.clamp(min=0), logits.shape[-1]) * (labels >= 0)[..., None]
    present = one_hot.sum(1).clamp(max=1).float()
    return F.binary_cross_entropy_with_logits(video_logits(logits.float(), mask), present)
