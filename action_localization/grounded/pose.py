"""The embedded grounder: a text-made classifier over the embedded detector's pyramid and boundaries.

The detector stays as it is, so what it learnt about pose in video carries over, and only words are new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.grounded.dense import DenseAnswer, DenseGrounding, curves, read_answer
from action_localization.grounded.fusion import TextReader, against_video
from action_localization.grounded.queries import Span, asking
from action_localization.pose.detector import PoseDetector, load_pose_detector
from action_localization.spine.nms import SoftNMS
from action_localization.spine.systems import DecodingConfig, EncoderConfig
from laban.config import from_dict
from laban.errors import LabanError
from laban.weights import load_module, load_weights
from models.features import Features

NAME = "ground"
"""The embedded checkpoint."""
PRIOR = -3.0
"""Logit that a sentence is true at a point, before anything is learnt."""


@dataclass(frozen=True)
class PointSizes:
    """Sizes of the text-made classifier."""

    point: int = 384
    """Of what a point is described by: the pyramid's level and the detector's class trunk."""
    text: int = 384
    width: int = 192


class TextPoints(nn.Module):
    """Points of a pyramid, adapted, against a class weight that the sentence makes (UniMD)."""

    def __init__(self, sizes: PointSizes) -> None:
        super().__init__()
        width = sizes.width
        self.sizes = sizes
        self.adapt = nn.Sequential(
            nn.LayerNorm(sizes.point), nn.Linear(sizes.point, width), nn.GELU(), nn.Linear(width, width),
            nn.LayerNorm(width),
        )  # fmt: skip
        self.reader = TextReader(sizes.text, width)
        self.weight = nn.Linear(width, width + 1)

    def forward(
        self, points: Float[Tensor, "videos points _"], video: Int[Tensor, " queries"],
        sentence: Float[Tensor, "queries text"], tokens: Float[Tensor, "queries words text"],
        words: Bool[Tensor, "queries words"],
    ) -> Float[Tensor, "queries points"]:  # fmt: skip
        """Logits that a sentence is true at the points of its video."""
        weight = self.weight(self.reader(sentence, tokens, words))
        logits = against_video(self.adapt(points), weight[:, :-1], video) / self.sizes.width**0.5
        return logits + weight[:, -1:] + PRIOR


@dataclass(frozen=True)
class PoseGrounder:
    """The classifier with the detector under it; `threshold` is the score from which a span is shown."""

    network: TextPoints
    detector: PoseDetector
    threshold: float
    config: dict[str, Any]


@dataclass(frozen=True)
class Grounded:
    """What was found for a sentence: spans in seconds, best first, and how likely it is true at every entry."""

    sentence: str
    spans: list[Span]
    curve: Float[ndarray, " entries"]
    threshold: float

    @property
    def found(self) -> list[Span]:
        """The spans that reach the threshold."""
        return [span for span in self.spans if span[2] >= self.threshold]


def decoding(detector: PoseDetector, most: int = 10) -> DenseGrounding:
    """How the points' answers become spans: the detector's pyramid, hard suppression at 0.5."""
    host = detector.network.host
    return DenseGrounding(
        encoder=EncoderConfig(width=host.encoder.width, levels=host.encoder.levels),
        decoding=DecodingConfig(
            threshold=0.0, candidates=300, nms=SoftNMS(method="hard", overlap=0.5, min_score=1e-9, keep=most)
        ),
        reach=host.learning.reach, radius=host.learning.radius,
    )  # fmt: skip


@torch.inference_mode()
def describe(
    detector: PoseDetector, values: Float32[ndarray, "entries 217"]
) -> tuple[Float[Tensor, "points point"], Float[Tensor, "points 2"]]:
    """What is known of every point of the pyramid, and how far its action's ends are, in strides."""
    network = detector.network
    levels = network.encoder.pyramid(network.encoder.embed(torch.from_numpy(values)[None].float(), None), None)
    trunk = [network.class_head.trunk(x, mask) for x, mask in levels]
    offsets = torch.cat(network.boundary_head(levels), 1)[0, :, 0]
    return torch.cat([torch.cat([x for x, _ in levels], 1), torch.cat(trunk, 1)], -1)[0], offsets


@torch.inference_mode()
def ground_entries(
    grounder: PoseGrounder, features: Features, sentences: Sequence[str], *, most: int = 10
) -> list[Grounded]:
    """Where each sentence is true in the detector's own features; LabanError for an empty sentence or a NaN."""
    batch = asking(features, sentences)
    config = decoding(grounder.detector, most)
    points, offsets = describe(grounder.detector, features.values)
    logits = grounder.network(points[None], batch.video, batch.sentence, batch.tokens, batch.words)
    count = len(sentences)
    answer = DenseAnswer(logits, offsets.expand(count, -1, -1), torch.ones_like(logits, dtype=torch.bool))
    lines = curves(answer, len(features.values), config.encoder.levels)
    spans = read_answer(answer, features, config)
    return [Grounded(*row, grounder.threshold) for row in zip(sentences, spans, lines, strict=True)]


def load_grounder(name: str | Path = NAME) -> PoseGrounder:
    """The embedded grounder, or one from a folder; LabanError when its detector is another than it learnt with."""
    tensors, config = load_weights(name)
    if config.get("kind") != "pose grounder":
        raise LabanError(f"checkpoint {name}: is no grounder; accepted: {NAME}, or a folder made by "
                         "python -m action_localization.grounded.build")  # fmt: skip
    detector = load_pose_detector(config["detector"])
    if detector.config.get("sha256") != config["detector_sha256"]:
        raise LabanError(f"checkpoint {name}: learnt with other weights of {config['detector']}; build it again")
    sizes = from_dict(PointSizes, config["sizes"], name=f"{name}/config.json sizes")
    return PoseGrounder(load_module(TextPoints(sizes), tensors, name), detector, float(config["threshold"]), config)
