"""`SetDecoder`: queries that read one or more memories and refine their spans; shared by all set-predicting systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from laban.errors import LabanError
from models.attention import Attention, FeedForward, sinusoid

Init = Literal["learned", "noise", "carry"]
_PLACES = 100.0
"""Sinusoids see places in [0, 1] on this scale."""
_EDGE = 1e-4
"""Spans stay this far inside [0, 1] where they pass a logit."""


@dataclass(frozen=True)
class SetDecoderConfig:
    """How many queries there are, where they come from and what they read."""

    queries: int = 10
    init: Init = "learned"
    """learned: parameters (Moment-DETR, MATR). noise: spans drawn by the caller and one content shared by all, so that
    queries are interchangeable (DenoiseLoc). carry: content (and spans) of the caller, e.g. from the step before."""
    cross_to: tuple[str, ...] = ("video",)
    """Names of the memories that are read, all at once; RoI features come from the first."""
    width: int = 96
    heads: int = 4
    layers: int = 2
    refine: bool = True
    """Whether queries have spans (centre, width) that every layer refines; without, they have learned places (MATR)."""
    sharing: int = 1
    """So many queries share a learned place: i with i + queries / sharing and so on (MATR: class and boundary)."""
    roi: int = 0
    """Samples across each span that a dynamic convolution reads (Sparse R-CNN, DenoiseLoc); 0: attention alone."""
    dynamic: int = 8
    """Channels between the two products of the dynamic convolution."""


@dataclass(frozen=True)
class Memory:
    """What queries read: entries over time, which are real, and codes of their places (added; None: already in)."""

    values: Float[Tensor, "batch time width"]
    mask: Bool[Tensor, "batch time"] | None = None
    position: Float[Tensor, "#batch time width"] | None = None

    def placed(self) -> Float[Tensor, "batch time width"]:
        """Values with their places."""
        return self.values if self.position is None else self.values + self.position

    def real(self) -> Bool[Tensor, "batch time"]:
        """The mask, all True where there is none."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.values.shape[:2], dtype=torch.bool, device=self.values.device)


@dataclass(frozen=True)
class SetStates:
    """What every layer says, last layer last; spans are (centre, width) as shares of the first memory's real length."""

    content: Float[Tensor, "layers batch queries width"]
    spans: Float[Tensor, "layers batch queries 2"] | None


class SetDecoder(nn.Module):
    """Layers of self-attention among queries, attention to memories and, if asked, dynamic convolution of RoI features.

    Carion et al. (ECCV 2020) with refined references (Zhu et al., ICLR 2021); spans pass no gradient between layers.
    Before training, refinement changes nothing: the spans that come out are those that went in.
    """

    def __init__(self, config: SetDecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, count = config.width, config.queries
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        shared = config.init == "noise"
        self.content = (
            None if config.init == "carry" else nn.Parameter(torch.randn(1 if shared else count, width) * 0.02)
        )
        self.place: nn.Sequential | None = None
        self.reference: nn.Parameter | None = None
        self.places: nn.Parameter | None = None
        if config.refine:
            self.place = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
            if config.init == "learned":
                self.reference = nn.Parameter(_spread(count))
        else:
            self.places = nn.Parameter(torch.randn(count // config.sharing, width) * 0.02)

    def forward(
        self, memories: Mapping[str, Memory], *, content: Float[Tensor, "batch queries width"] | None = None,
        spans: Float[Tensor, "batch queries 2"] | None = None, condition: Float[Tensor, "batch width"] | None = None,
    ) -> SetStates:  # fmt: skip
        """`content` and `spans` as `init` asks; `condition` (a diffusion step, a sentence) is added to every query.

        LabanError where something is missing.
        """
        missing = [name for name in self.config.cross_to if name not in memories]
        if missing:
            raise LabanError(f"set decoder: memories {', '.join(memories) or 'none'}; needed too: {', '.join(missing)}")
        chosen = [memories[name] for name in self.config.cross_to]
        keys = torch.cat([memory.placed() for memory in chosen], 1)
        mask = torch.cat([memory.real() for memory in chosen], 1)
        batch = len(keys)
        x, spans = self._start(batch, content, spans)
        if condition is not None:
            x = x + condition[:, None]
        contents, found = [], []
        for layer in self.layers:
            x = layer(x, self._places(batch, spans), keys, mask, chosen[0], spans)
            if spans is not None and isinstance(layer.refine, nn.Sequential):
                refined = (_logit(spans) + layer.refine(x)).sigmoid()
                found.append(refined)
                spans = refined.detach()
            contents.append(self.norm(x))
        return SetStates(torch.stack(contents), torch.stack(found) if found else None)

    def _places(self, batch: int, spans: Tensor | None) -> Tensor:
        """What tells where queries look: codes of their spans, or what was learned."""
        if self.place is not None and spans is not None:
            return self.place(_codes(spans, self.config.width))
        assert self.places is not None
        return self.places.repeat(self.config.sharing, 1).expand(batch, -1, -1)

    def _start(self, batch: int, content: Tensor | None, spans: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.config.refine and spans is None:
            if self.reference is None:
                raise LabanError(f"set decoder with init {self.config.init}: needs the spans to start from")
            spans = self.reference.sigmoid().expand(batch, -1, -1)
        if not self.config.refine:
            spans = None
        if content is None:
            if self.content is None:
                raise LabanError("set decoder with init carry: needs the content to go on with")
            count = self.config.queries if spans is None else spans.shape[1]
            content = self.content.expand(batch, count if len(self.content) == 1 else -1, -1)
        return content, spans


class _Layer(nn.Module):
    """Self-attention, attention to memories, dynamic convolution, feed-forward; all residual, normalised before."""

    def __init__(self, config: SetDecoderConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.among = Attention(width, config.heads, width)
        self.cross = Attention(width, config.heads, width)
        self.dynamic = DynamicConv(width, config.dynamic, config.roi) if config.roi else None
        self.feed_forward = FeedForward(width, 2 * width)
        self.refine = None
        if config.refine:
            last = nn.Linear(width, 2)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.refine = nn.Sequential(nn.Linear(width, width), nn.GELU(), last)

    def forward(
        self, x: Tensor, place: Tensor, keys: Tensor, mask: Tensor, first: Memory, spans: Tensor | None
    ) -> Tensor:
        """(batch, queries, width) in and out."""
        own = self.norms[0](x) + place
        x = x + self.among(own, own)
        x = x + self.cross(self.norms[1](x) + place, keys, mask)
        if self.dynamic is not None and spans is not None:
            x = x + self.dynamic(
                self.norms[2](x), span_features(first.values, first.real(), spans, self.dynamic.samples)
            )
        return x + self.feed_forward(self.norms[3](x))


class DynamicConv(nn.Module):
    """A query makes the weights that its own RoI features pass (Sun et al., CVPR 2021), in one dimension."""

    def __init__(self, width: int, inner: int, samples: int) -> None:
        super().__init__()
        self.inner, self.samples = inner, samples
        self.weights = nn.Linear(width, 2 * width * inner)
        self.norms = nn.ModuleList([nn.LayerNorm(inner), nn.LayerNorm(width)])
        self.out = nn.Linear(samples * width, width)

    def forward(
        self, x: Float[Tensor, "batch queries width"], features: Float[Tensor, "batch queries samples width"]
    ) -> Float[Tensor, "batch queries width"]:
        """What is added to the queries."""
        down, up = self.weights(x).unflatten(-1, (2, x.shape[-1], self.inner)).unbind(2)
        y = F.gelu(self.norms[0](features @ down))
        y = F.gelu(self.norms[1](y @ up.transpose(-1, -2)))
        return self.out(y.flatten(2))


def span_features(
    values: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"],
    spans: Float[Tensor, "batch queries 2"], samples: int,
) -> Float[Tensor, "batch queries samples width"]:  # fmt: skip
    """1-D RoI features: linear interpolation at `samples` even places of each span (centre, width; shares)."""
    length = mask.sum(1).to(values.dtype)[:, None, None]
    share = (torch.arange(samples, device=values.device, dtype=values.dtype) + 0.5) / samples - 0.5
    at = (spans[..., :1] + spans[..., 1:] * share) * length - 0.5
    at = torch.minimum(at.clamp(min=0), (length - 1).clamp(min=0))
    low = at.floor()
    high = torch.minimum(low + 1, (length - 1).clamp(min=0))
    part = (at - low)[..., None]
    return (1 - part) * _rows(values, low) + part * _rows(values, high)


def place_codes(mask: Bool[Tensor, "batch time"], width: int) -> Float[Tensor, "batch time width"]:
    """Sinusoids of where each entry lies, as a share of its video's real length."""
    time = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32) + 0.5
    share = time / mask.sum(1, keepdim=True).clamp(min=1)
    return sinusoid(share.flatten() * _PLACES, width).view(*mask.shape, width)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    batch = torch.arange(len(values), device=values.device)[:, None, None]
    return values[batch, index.long()]


def _codes(spans: Float[Tensor, "batch queries 2"], width: int) -> Float[Tensor, "batch queries twice"]:
    return sinusoid(spans.flatten() * _PLACES, width).view(*spans.shape[:2], 2 * width).to(spans.dtype)


def _logit(spans: Tensor) -> Tensor:
    return spans.clamp(_EDGE, 1 - _EDGE).logit()


def _spread(count: int) -> Float[Tensor, "queries 2"]:
    """Logits of spans whose centres are spread evenly, a quarter of the whole wide."""
    centre = (torch.arange(count) + 0.5) / count
    return torch.stack([centre, torch.full_like(centre, 0.25)], 1).logit()
