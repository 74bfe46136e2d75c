"""The pyramid detector as one network: encoder, heads, and the extra parts that a system names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.encoder import Encoder, Level
from action_localization.spine.fusion import AudioFusion, check_fusion
from action_localization.spine.heads import OffsetHead, PointHead, TridentHead
from action_localization.spine.points import Points, pyramid_points
from action_localization.spine.semantics import ChannelGate
from action_localization.spine.sensitivity import Sensitivity
from action_localization.spine.systems import ASL, BMN, CSA, MRAV, Dense, System, base, wrapper
from laban.errors import LabanError


@dataclass(frozen=True)
class DenseOutput:
    """What the detector says at every point, level after level."""

    logits: Float[Tensor, "batch points classes"]
    offsets: Float[Tensor, "batch points per_class 2"]
    """Distances to start and end in strides; one pair for all classes, or one for each."""
    mask: Bool[Tensor, "batch points"] | None
    levels: tuple[Level, ...]
    activation: Float[Tensor, "batch time classes"] | None
    """Class logits over time that the gate of CSA is made from."""

    @property
    def features(self) -> Float[Tensor, "batch points width"]:
        """What the heads read, before any sound joins."""
        return torch.cat([x for x, _ in self.levels], 1)


class Detector(nn.Module):
    """Features to class logits and distances at every point of the pyramid."""

    normaliser: Tensor

    def __init__(self, system: System, features: int, classes: Sequence[str]) -> None:
        super().__init__()
        self.system, self.host, self.features, self.classes = system, _dense(system), features, tuple(classes)
        encoder, head, count = self.host.encoder, self.host.head, len(self.classes)
        gate, weights, sound = wrapper(system, CSA), wrapper(system, ASL), wrapper(system, MRAV)
        if sound:
            check_fusion(sound, encoder, features)
        self.encoder = Encoder(encoder, features - sound.audio - 1 if sound else features)
        self.gate = ChannelGate(gate, encoder.width, count) if gate else None
        self.class_head = PointHead(encoder.width, count, head, causal=encoder.causal, prior=head.prior)
        self.boundary_head: OffsetHead | TridentHead
        if head.boundary == "trident":
            self.boundary_head = TridentHead(encoder.width, count, head)
        else:
            self.boundary_head = OffsetHead(encoder.width, encoder.levels, head, causal=encoder.causal)
        self.sensitivity = Sensitivity(weights, encoder.width, count) if weights else None
        self.fusion = AudioFusion(sound, encoder) if sound else None
        self.register_buffer("normaliser", torch.tensor(self.host.learning.normaliser))

    def forward(
        self, features: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> DenseOutput:
        """`mask` is True at real entries; None: all are. What follows a video never changes what is said about it."""
        features, activation = masked_input(features, mask), None
        if self.fusion is not None:
            features, sound, heard = self.fusion.split(features, mask)
        x = self.encoder.embed(features, mask)
        if self.gate is not None:
            x, activation = self.gate(x, mask)
        levels = self.encoder.pyramid(x, mask)
        of_class, of_boundary = levels, levels
        if self.fusion is not None:
            of_class, of_boundary = self.fusion(levels, sound, heard)
        logits, offsets = self.class_head(of_class), self.boundary_head(of_boundary)
        masks = [m for _, m in levels if m is not None]
        joined = torch.cat(masks, 1) if masks else None
        return DenseOutput(torch.cat(logits, 1), torch.cat(offsets, 1), joined, levels, activation)

    def points(self, frames: int) -> Points:
        """The points of an input with this many entries, in the order of the output."""
        learning = self.host.learning
        return pyramid_points(
            frames, self.host.encoder.levels, reach=learning.reach, overlap=learning.overlap,
            device=self.normaliser.device,
        )  # fmt: skip


def masked_input(features: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros in place of padding, whatever the padding holds."""
    return features if mask is None else torch.where(mask[..., None], features, 0.0)


def build_network(system: System, features: int, classes: Sequence[str]) -> Detector | BoundaryMatcher:
    """A new network for features of a width and a list of class names; LabanError for parts that do not fit."""
    if features < 1 or not classes:
        raise LabanError(f"{features} features and {len(classes)} classes; accepted: at least one of each")
    if len(set(classes)) != len(classes):
        raise LabanError("a class name occurs twice")
    if isinstance(base(system), BMN):
        if wrapper(system, ASL):
            raise LabanError("ASL weighs the points of a pyramid; BMN has none")
        return BoundaryMatcher(system, features, classes)
    return Detector(system, features, classes)


def _dense(system: System) -> Dense:
    host = base(system)
    if isinstance(host, BMN):
        raise LabanError("BMN has no pyramid")
    encoder, head = host.encoder, host.head
    if encoder.causal and (head.boundary == "trident" or wrapper(system, CSA)):
        part = "the trident head" if head.boundary == "trident" else "CSA"
        raise LabanError(f"{part} looks ahead; a causal encoder goes with the offset head alone")
    if encoder.width % encoder.heads or encoder.window % 2 == 0 or encoder.kernel % 2 == 0:
        raise LabanError(
            f"width {encoder.width}, heads {encoder.heads}, window {encoder.window}, kernel {encoder.kernel}; "
            "accepted: a width that the heads divide, an odd window, an odd kernel"
        )
    return host
