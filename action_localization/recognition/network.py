"""Attentive Semantic Units (Chen et al., ICCV 2023): a clip's regions pick units of text, and meet labels with them.

The regions attend to one another, then to the bank of units (the cross-modal decoder); what they picked is added to
what the frozen encoder said of the clip, and the sum is compared with the embeddings of labels. The part that is added
starts at 0, so that training starts from the encoder's own zero-shot answer. Widths are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor, nn

from laban.errors import LabanError

Embed = Callable[[Sequence[str]], Float[ndarray, "texts width"]]


@dataclass(frozen=True)
class ASU:
    """Sizes; `aligned` says that the first region is an embedding comparable with those of texts."""

    visual: int = 256
    text: int = 256
    regions: int = 7
    width: int = 64
    heads: int = 4
    aligned: bool = True
    scale: float = 20.0
    """Of the cosine between clip and label, at the start."""
    drop: float = 0.2
    """Chance that a unit is hidden while training, and a number of the regions' tokens."""


@dataclass(frozen=True)
class Recognised:
    """What a network says of clips."""

    embedding: Float[Tensor, "clips text"]
    """Unit vectors, to be compared with those of labels."""
    units: Float[Tensor, "clips regions units"]
    """How much each region picks each unit; sums to one over the units."""
    weight: Float[Tensor, "clips regions"]
    """How much each region counts; sums to one."""


class SemanticUnits(nn.Module):
    """Regions and units to the embedding of a clip."""

    bank: Tensor

    def __init__(self, config: ASU, bank: Float32[ndarray, "units text"]) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.register_buffer("bank", torch.from_numpy(np.ascontiguousarray(bank)))
        self.inlet, self.unit = nn.Linear(config.visual, width), nn.Linear(config.text, width)
        self.place = nn.Parameter(torch.zeros(config.regions, width))
        self.mix = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.pick = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.count, self.out = nn.Linear(width, 1), nn.Linear(width, config.text)
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(config.scale))))
        self.gate = nn.Parameter(torch.tensor(0.0 if config.aligned else 1.0))

    def forward(self, regions: Float[Tensor, "clips regions visual"]) -> Recognised:
        """`regions` are unit vectors."""
        x = F.dropout(self.inlet(regions) + self.place, self.config.drop, self.training)
        y = self.norms[0](x)
        x = x + self.mix(y, y, y, need_weights=False)[0]
        units = self.unit(self.bank).expand(len(x), -1, -1)
        hidden = None
        if self.training:
            hidden = torch.rand(len(x), units.shape[1], device=x.device) < self.config.drop
        picked, share = self.pick(self.norms[1](x), units, units, key_padding_mask=hidden)
        x = x + picked
        x = x + self.mlp(self.norms[2](x))
        weight = self.count(x)[..., 0].softmax(-1)
        found = self.out((weight[..., None] * x).sum(1))
        start = regions[:, 0] if self.config.aligned else 0.0
        return Recognised(F.normalize(start + self.gate * found, dim=-1), share, weight)

    def logits(self, embedding: Float[Tensor, "clips text"], labels: Float[Tensor, "labels text"]) -> Tensor:
        """(clips, labels): scaled cosines; labels are unit vectors."""
        return self.log_scale.clamp(max=4.6).exp() * embedding @ labels.T


def label_scores(
    network: SemanticUnits, regions: Float[ndarray, "clips regions visual"], labels: Float[ndarray, "labels text"],
    *, batch: int = 512,
) -> Float32[ndarray, "clips labels"]:  # fmt: skip
    """Chances of labels for clips, each row summing to one: the text head of recognition and of proposals.

    `labels` are unit vectors of the texts (`Embed`). LabanError for no clips or labels, or numbers that are not finite.
    """
    if not len(labels) or not len(regions):
        raise LabanError(f"{len(regions)} clips and {len(labels)} labels; accepted: at least one of each")
    wanted = (network.config.regions, network.config.visual)
    if regions.shape[1:] != wanted or labels.shape[1] != network.config.text:
        raise LabanError(f"regions of shape {regions.shape[1:]} and labels of {labels.shape[1]}; accepted: {wanted} "
                         f"and {network.config.text}")  # fmt: skip
    for name, values in (("regions", regions), ("labels", labels)):
        if not np.isfinite(values).all():
            raise LabanError(f"{name}: hold NaN or infinity")
    network.eval()
    texts, rows = torch.from_numpy(np.ascontiguousarray(labels, np.float32)), []
    with torch.inference_mode():
        for first in range(0, len(regions), batch):
            part = torch.from_numpy(np.ascontiguousarray(regions[first : first + batch], np.float32))
            rows.append(network.logits(network(part).embedding, texts).softmax(-1).numpy())
    return np.concatenate(rows)


def picked_units(
    network: SemanticUnits, regions: Float[ndarray, "regions visual"], count: int
) -> list[tuple[int, float]]:
    """The units that one clip picks, strongest first, with their shares over all regions."""
    network.eval()
    with torch.inference_mode():
        found = network(torch.from_numpy(np.ascontiguousarray(regions, np.float32))[None])
        share = (found.weight[0, :, None] * found.units[0]).sum(0)
    order = share.argsort(descending=True)[:count]
    return [(int(i), float(share[i])) for i in order]
