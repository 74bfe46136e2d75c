"""BMN: a confidence for every pair of start and duration, and the chance of a start and of an end at every time.

Lin et al., BMN: Boundary-Matching Network for Temporal Action Proposal Generation, ICCV 2019. A video has a fixed
number of entries; edge i lies before entry i. Cell (d, t) of the map is the proposal from edge t to edge t + d + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from action_localization.spine.layers import TemporalConv
from action_localization.spine.losses import balanced_bce, focal_loss
from action_localization.spine.semantics import ChannelGate
from action_localization.spine.systems import BMN, CSA, System, base, wrapper
from laban.errors import LabanError

_GROUPS = 4
_NEAR = 1.5
"""Half the width of the stretch around a boundary that counts as the boundary, in entries."""


@dataclass(frozen=True)
class MapOutput:
    """All as logits."""

    start: Float[Tensor, "batch time"]
    end: Float[Tensor, "batch time"]
    quality: Float[Tensor, "batch 2 durations time"]
    """Confidence of each cell: trained as a classification, and as a regression of the IoU."""
    activation: Float[Tensor, "batch time classes"]
    """Which classes are under way."""
    gated: bool
    """The activation sequence is that of CSA's gate."""


class BoundaryMatcher(nn.Module):
    """Features over a fixed number of entries to boundary chances, the map, and class activations."""

    normaliser: Tensor
    rows: Tensor
    columns: Tensor
    weights: Tensor
    cells: Tensor

    def __init__(self, system: System, features: int, classes: Sequence[str]) -> None:
        super().__init__()
        host = base(system)
        if not isinstance(host, BMN):
            raise LabanError(f"{host.name} has no boundary map")
        self.system, self.host, self.features, self.classes = system, host, features, tuple(classes)
        width, small, gate = host.width, host.map_width, wrapper(system, CSA)
        groups = _GROUPS if features % _GROUPS == width % _GROUPS == 0 else 1
        self.base = nn.ModuleList(TemporalConv(n, width, groups=groups) for n in (features, width))
        self.gate = ChannelGate(gate, width, len(classes)) if gate else None
        self.classifier = None if gate else nn.Linear(width, len(classes))
        self.start = nn.ModuleList([TemporalConv(width, width, groups=groups), TemporalConv(width, 1, 1)])
        self.end = nn.ModuleList([TemporalConv(width, width, groups=groups), TemporalConv(width, 1, 1)])
        self.reduce = TemporalConv(width, small)
        self.sample = nn.Linear(small, host.samples * host.sample_width, bias=False)
        self.sample_bias = nn.Parameter(torch.zeros(host.sample_width))
        self.squeeze = nn.Linear(host.sample_width, small)
        self.map = nn.ModuleList([nn.Conv2d(small, small, 3, padding=1), nn.Conv2d(small, small, 3, padding=1),
                                  nn.Conv2d(small, 2, 1)])  # fmt: skip
        for name, value in zip(("cells", "rows", "columns", "weights"), sampling(host), strict=True):
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, features: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> MapOutput:
        """`features` have exactly `frames` entries (`resize`); the mask is not used. LabanError for another length."""
        if features.shape[1] != self.host.frames:
            raise LabanError(f"features have {features.shape[1]} entries; accepted: {self.host.frames} (resize them)")
        x = features
        for conv in self.base:
            x = F.relu(conv(x))
        if self.gate is not None:
            x, activation = self.gate(x, None)
        elif self.classifier is not None:
            activation = self.classifier(x)
        start, end = (tail[1](F.relu(tail[0](x)))[..., 0] for tail in (self.start, self.end))
        return MapOutput(start, end, self._quality(F.relu(self.reduce(x))), activation, self.gate is not None)

    def _quality(self, x: Float[Tensor, "batch time small"]) -> Float[Tensor, "batch 2 durations time"]:
        """Weigh the samples' features first and sample afterwards: both are linear, and a cell then costs far less.

        What is sampled has one row per (entry, sample) and is gathered by a sparse matrix, in fp32.
        """
        host, (batch, time, _) = self.host, x.shape
        weighed = self.sample(x).view(batch, time * host.samples, host.sample_width).transpose(0, 1).flatten(1)
        with torch.autocast(x.device.type, enabled=False):
            shape = (len(self.cells), time * host.samples)
            matrix = torch.sparse_coo_tensor(torch.stack([self.rows, self.columns]), self.weights.float(), shape,
                                             is_coalesced=True, check_invariants=False)  # fmt: skip
            sampled = torch.sparse.mm(matrix, weighed.float()).view(len(self.cells), batch, host.sample_width)
        sampled = sampled.to(x.dtype).transpose(0, 1) + self.sample_bias
        image = x.new_zeros(batch, host.durations * time, host.map_width)
        small = F.relu(self.squeeze(F.relu(sampled)))
        image = image.index_copy(1, self.cells, small.to(image.dtype)).transpose(1, 2)
        image = image.unflatten(2, (host.durations, time))
        for conv in self.map[:-1]:
            image = F.relu(conv(image))
        return self.map[-1](image)


def cell_mask(config: BMN, device: torch.device | None = None) -> Bool[Tensor, "durations time"]:
    """Which cells are proposals that end within the video."""
    duration, start = torch.arange(config.durations, device=device), torch.arange(config.frames, device=device)
    return start + duration[:, None] + 1 <= config.frames


def sampling(
    config: BMN,
) -> tuple[Int[Tensor, " cells"], Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, " n"]]:
    """The boundary-matching matrix in coordinates: (cells in use, rows, columns, weights).

    Row r is the r-th cell in use, column `entry * samples + sample`. A sample is the mean of its sub-samples, each
    interpolated between the two nearest entries; what lies outside the video counts as zero.
    """
    cells = torch.nonzero(cell_mask(config).flatten())[:, 0]
    start, length = (cells % config.frames).double(), (cells // config.frames + 1).double()
    points = config.samples * config.subsamples
    share = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    wide = length * (1 + 2 * config.context)
    x = (start - config.context * length)[:, None] + wide[:, None] * share - 0.5
    low = x.floor()
    row = torch.arange(len(cells))[:, None].expand_as(x)
    sample = (torch.arange(points) // config.subsamples).expand_as(x)
    entries, weights = torch.stack([low, low + 1]), torch.stack([low + 1 - x, x - low]) / config.subsamples
    inside = (entries >= 0) & (entries < config.frames) & (weights > 0)
    columns = entries.long() * config.samples + sample
    index = torch.stack([row.expand_as(columns)[inside], columns[inside]])
    shape = (len(cells), config.frames * config.samples)
    matrix = torch.sparse_coo_tensor(index, weights[inside].float(), shape, check_invariants=False).coalesce()
    rows, cols = matrix.indices()
    return cells, rows.contiguous(), cols.contiguous(), matrix.values()


def map_targets(
    config: BMN, segments: Float[Tensor, "batch n 2"], labels: Int[Tensor, "batch n"]
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"], Float[Tensor, "batch durations time"]]:
    """(chance of a start, of an end, IoU of every cell with the nearest segment); segments in entries."""
    edges = F.pad(segments + 0.5, (0, 0, 0, 1))
    real = F.pad(labels >= 0, (0, 1))
    at = torch.arange(config.frames, device=segments.device, dtype=torch.float32)

    def near(boundary: Tensor) -> Tensor:
        low = torch.maximum(at - 0.5, boundary[..., None] - _NEAR)
        high = torch.minimum(at + 0.5, boundary[..., None] + _NEAR)
        return ((high - low).clamp(min=0) * real[..., None]).amax(1)

    length = torch.arange(1, config.durations + 1, device=segments.device)[:, None].float()
    best = torch.zeros(len(labels), config.durations, config.frames, device=segments.device)
    for n in range(labels.shape[1]):
        start, end = edges[:, n, 0, None, None], edges[:, n, 1, None, None]
        both = (torch.minimum(at + length, end) - torch.maximum(at.expand_as(at + length), start)).clamp(min=0)
        iou = both / (length + (end - start) - both).clamp(min=1e-6)
        best = torch.maximum(best, iou * real[:, n, None, None])
    return near(edges[..., 0]), near(edges[..., 1]), best


def map_loss(
    out: MapOutput, config: BMN, segments: Float[Tensor, "batch n 2"], labels: Int[Tensor, "batch n"],
    generator: torch.Generator,
) -> dict[str, Tensor]:  # fmt: skip
    """BMN's terms (boundaries, map as classification, map as regression), and the focal loss of the activations."""
    start, end, iou = map_targets(config, segments, labels)
    everywhere = torch.ones_like(start, dtype=torch.bool)
    cells = cell_mask(config, segments.device).expand_as(iou)
    quality = out.quality.float()
    weight = _balance(iou, cells, generator)
    error = (quality[:, 1].sigmoid() - iou).square() * weight
    under_way = _under_way(config.frames, segments, labels, out.activation.shape[-1])
    active = focal_loss(out.activation.float(), under_way).sum() / under_way.sum().clamp(min=1)
    return {
        "boundary": balanced_bce(out.start.float(), start > 0.5, everywhere)
        + balanced_bce(out.end.float(), end > 0.5, everywhere),
        "map_class": balanced_bce(quality[:, 0], iou > 0.9, cells),
        "map_iou": config.map_weight * 0.5 * error.sum() / weight.sum().clamp(min=1),
        "activation": active,
    }


def _balance(iou: Tensor, cells: Tensor, generator: torch.Generator) -> Tensor:
    """Cells that the regression looks at: all good ones (IoU > 0.7), and about as many middling and bad ones."""
    good, middling = (iou > 0.7) & cells, (iou <= 0.7) & (iou > 0.3) & cells
    bad = (iou <= 0.3) & (iou > 0) & cells
    chance = torch.rand(iou.shape, generator=generator, device=generator.device).to(iou.device)
    count = good.sum().clamp(min=1)
    take = [part & (chance < count / part.sum().clamp(min=1)) for part in (middling, bad)]
    return (good | take[0] | take[1]).float()


def _under_way(frames: int, segments: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(batch, frames, classes): 1 where an entry's centre lies in a segment of the class."""
    at = torch.arange(frames, device=segments.device, dtype=torch.float32)
    inside = (at >= segments[..., :1]) & (at < segments[..., 1:]) & (labels >= 0)[..., None]
    one_hot = F.one_hot(labels.clamp(min=0), classes).float()
    return (inside.float().transpose(1, 2) @ one_hot).clamp(max=1)
