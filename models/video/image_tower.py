"""open_clip image towers as feature extractors: one row a picture, from a local checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from laban.errors import LabanError
from models.compat import import_torchvision
from models.video.checkpoints import load_into
from models.video.windows import Rows, Sampling

PREFIX = "open_clip:"
FPS = 4.0
"""Pictures a second, unless the caller says otherwise."""


def load_image_tower(
    name: str, weights: str | Path | None, *, fps: float = FPS, device: torch.device | None = None
) -> tuple[Rows, Sampling]:
    """The image tower of `open_clip:MODEL` and how it reads a video; rows are unit vectors of the joint space.

    Raises LabanError for an unknown model, no or wrong weights, or where open_clip is not installed.
    """
    model_name = name.removeprefix(PREFIX)
    if find_spec("open_clip") is None:
        raise LabanError("encoder open_clip: package open_clip_torch is missing; run: pip install 'laban[video]'")
    import_torchvision()
    import open_clip

    if model_name not in open_clip.list_models():
        known = ", ".join(open_clip.list_models()[:6])
        raise LabanError(f"encoder {name!r}: unknown model; accepted: {PREFIX}MODEL with {known}, …")
    config = open_clip.get_model_config(model_name) or {}
    if "hf_model_name" in config.get("text_cfg", {}):
        raise LabanError(f"encoder {name}: its text tower would be fetched from the network; accepted: models without "
                         "a Hugging Face text tower")  # fmt: skip
    if weights is None:
        raise LabanError(f"encoder {name}: needs weights (--weights FILE); without them its features mean nothing")
    network = open_clip.create_model(model_name, pretrained=None)
    load_into(network.visual, weights, name=f"the image tower of {model_name}")
    tower = network.visual.eval().to(device or torch.device("cpu"))
    size = tower.image_size[0] if isinstance(tower.image_size, tuple) else tower.image_size
    mean, std = (tuple(getattr(tower, key, None) or standard) for key, standard in _STANDARD.items())

    def rows(clips: Float[Tensor, "batch 3 1 size size"]) -> Float[Tensor, "batch width"]:
        return F.normalize(tower(clips[:, :, 0]), dim=-1)

    return rows, Sampling(fps, 1, 1, size, mean, std)


_STANDARD = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
"""Of CLIP's training pictures (Radford et al. 2021)."""
