"""open_clip text towers as text encoders: penultimate token features and the pooled vector, from a local checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from laban.errors import LabanError
from models.compat import import_torchvision
from models.text.encoder import CachedEncoder, OneText


def load_open_clip(name: str, cache: Path | None = None) -> CachedEncoder:
    """The text tower of "open_clip:MODEL:WEIGHTS"; LabanError without weights (an untrained CLIP means nothing)."""
    parts = name.split(":", 2)
    if len(parts) != 3 or not all(parts):
        raise LabanError(f"text encoder {name!r}: no weights named; expected open_clip:MODEL:WEIGHTS, a local file")
    model_name, path = parts[1], Path(parts[2])
    if not path.is_file():
        raise LabanError(f"{path}: no such file; expected the weights of open_clip {model_name}")
    model, tokenizer = _tower(model_name, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def compute(texts: Sequence[str]) -> list[OneText]:
        ids = tokenizer(list(texts))
        hidden, pooled = clip_features(model, ids)
        ends = (ids.argmax(-1) + 1).tolist()
        limit = ids.shape[1]
        return [
            OneText(F.normalize(pooled[row].float(), dim=-1), hidden[row, :end].float().clone(), end >= limit)
            for row, end in enumerate(ends)
        ]

    return CachedEncoder(f"{model_name}:{digest}", int(model.ln_final.normalized_shape[0]), compute, folder=cache)


def load_joint_text(name: str, weights: str | Path) -> Callable[[Sequence[str]], Float[np.ndarray, "texts width"]]:
    """Sentences as unit vectors in the space that the image tower of "open_clip:MODEL" shares; LabanError as above."""
    path = Path(weights)
    if not path.is_file():
        raise LabanError(f"{path}: no such file; expected the weights of {name}")
    model, tokenizer = _tower(name.removeprefix("open_clip:"), path)

    def embed(texts: Sequence[str]) -> Float[np.ndarray, "texts width"]:
        rows = []
        for first in range(0, len(texts), 64):
            with torch.inference_mode():
                rows.append(F.normalize(model.encode_text(tokenizer(list(texts[first : first + 64]))).float(), dim=-1))
        return torch.cat(rows).numpy()

    return embed


def _tower(model_name: str, path: Path) -> tuple[Any, Any]:
    if find_spec("open_clip") is None:
        raise LabanError("text encoder open_clip: package open_clip_torch is not installed; accepted: embedded")
    import_torchvision()
    import open_clip

    if model_name not in open_clip.list_models():
        known = ", ".join(open_clip.list_models()[:6])
        raise LabanError(f"text encoder open_clip: unknown model {model_name!r}; accepted: {known}, …")
    model = open_clip.create_model(model_name, pretrained=None)
    try:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:160]
        raise LabanError(f"{path}: not the weights of open_clip {model_name} ({reason})") from error
    if not hasattr(model, "token_embedding"):
        raise LabanError(
            f"text encoder open_clip: {model_name} keeps its text tower elsewhere; accepted: plain CLIP models"
        )
    return model.eval(), open_clip.get_tokenizer(model_name)


@torch.no_grad()
def clip_features(
    model: Any, ids: Int[Tensor, "batch length"]
) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch width"]]:
    """Token features before the last layer, and the last layer's normalised state at the end mark (unprojected)."""
    hidden = model.token_embedding(ids) + model.positional_embedding[: ids.shape[1]]
    blocks = list(model.transformer.resblocks)
    mask = model.attn_mask[: ids.shape[1], : ids.shape[1]] if model.attn_mask is not None else None
    for block in blocks[:-1]:
        hidden = block(hidden, attn_mask=mask)
    last = model.ln_final(blocks[-1](hidden, attn_mask=mask))
    return hidden, last[torch.arange(len(ids)), ids.argmax(-1)]
