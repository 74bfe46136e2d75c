"""Video networks of pytorchvideo (X3D, SlowFast, Slow, MViT) as feature extractors, with weights the user brings."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from laban.errors import LabanError
from models.compat import import_torchvision
from models.video.checkpoints import load_into
from models.video.windows import Rows, Sampling

SOURCE_FPS = 30.0
"""Frame rate that the published sampling steps count in."""


@dataclass(frozen=True)
class Backbone:
    """One published network: `frames` pictures, every `step`-th of a 30 fps video, `size` pixels square.

    `head` names its last layer's tensors; `slow_every` is the ratio of SlowFast's two paths.
    """

    build: str
    frames: int
    step: int
    size: int
    head: str
    slow_every: int = 0

    def sampling(self, stride_seconds: float | None = None) -> Sampling:
        """How it reads a video; rows are a quarter of a window apart unless `stride_seconds` says otherwise."""
        fps = SOURCE_FPS / self.step
        stride = max(round(self.frames / 4 if stride_seconds is None else stride_seconds * fps), 1)
        return Sampling(fps, self.frames, stride, self.size, (0.45,) * 3, (0.225,) * 3)


BACKBONES: dict[str, Backbone] = {
    "x3d_xs": Backbone("x3d.x3d_xs", 4, 12, 160, "blocks.5.proj"),
    "x3d_s": Backbone("x3d.x3d_s", 13, 6, 160, "blocks.5.proj"),
    "x3d_m": Backbone("x3d.x3d_m", 16, 5, 224, "blocks.5.proj"),
    "slow_r50": Backbone("resnet.slow_r50", 8, 8, 224, "blocks.5.proj"),
    "slowfast_r50": Backbone("slowfast.slowfast_r50", 32, 2, 224, "blocks.6.proj", slow_every=4),
    "mvit_b_16x4": Backbone("vision_transformers.mvit_base_16x4", 16, 4, 224, "head.proj"),
    "mvit_b_32x3": Backbone("vision_transformers.mvit_base_32x3", 32, 3, 224, "head.proj"),
}


def load_backbone(name: str, weights: str | Path | None, device: torch.device | None = None) -> Rows:
    """The network `name` without its last layer, as a function from windows to rows.

    Raises LabanError for an unknown name, no or wrong weights, or where pytorchvideo is not installed.
    """
    if name not in BACKBONES:
        raise LabanError(f"encoder {name!r}; accepted: {', '.join(BACKBONES)}")
    if weights is None:
        raise LabanError(f"encoder {name}: needs weights (--weights FILE); without them its features mean nothing")
    spec = BACKBONES[name]
    network = build(spec)
    load_into(network, weights, without=(spec.head,), name=name)
    without_head(network, spec)
    network = network.eval().to(device or torch.device("cpu"))

    def rows(clips: Float[Tensor, "batch 3 window size size"]) -> Float[Tensor, "batch width"]:
        inputs: Any = clips
        if spec.slow_every:
            inputs = [clips[:, :, :: spec.slow_every], clips]
        return network(inputs).flatten(1)

    return rows


def build(spec: Backbone) -> nn.Module:
    """The network with random weights; LabanError where pytorchvideo is missing."""
    module, function = spec.build.split(".")
    try:
        import_torchvision()
        factory = getattr(import_module(f"pytorchvideo.models.hub.{module}"), function)
    except ImportError as error:
        raise LabanError(
            f"encoder: package pytorchvideo is missing ({error}); run: pip install 'laban[video]'"
        ) from None
    return factory(pretrained=False)


def without_head(network: nn.Module, spec: Backbone) -> None:
    """Replace the last linear layer and the activation behind it by nothing."""
    head: Any = network.get_submodule(spec.head.rsplit(".", 1)[0])
    head.proj = nn.Identity()
    head.activation = None
