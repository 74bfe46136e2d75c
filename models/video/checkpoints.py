"""Weights that users bring for video networks: safetensors, or foreign .pt files of which only tensors are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laban.errors import LabanError

NESTED = ("model_state", "state_dict", "model_state_dict", "model")
"""Keys under which training programs keep the tensors."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".pyth", ".ckpt", ".bin")


def load_into(network: nn.Module, path: str | Path, *, without: tuple[str, ...] = (), name: str = "") -> None:
    """Load a checkpoint into a network; every tensor must be there and fit.

    Tensors whose names begin with one of `without` are left out on both sides: the last layer, whose classes are the
    user's. The file may be of a larger model of which `network` is a part. Nothing in it is executed. Raises LabanError
    for a file that cannot be read or is of another network.
    """
    wanted = {key: value for key, value in network.state_dict().items() if not key.startswith(without or "\0")}
    found = _unwrapped(read_tensors(path), wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        raise LabanError(
            f"{path}: not weights of {name}: {len(missing)} of {len(wanted)} tensors are missing, first {missing[0]}"
        )
    wrong = [key for key in wanted if found[key].shape != wanted[key].shape]
    if wrong:
        shapes = f"{tuple(found[wrong[0]].shape)}; expected {tuple(wanted[wrong[0]].shape)}"
        raise LabanError(f"{path}: not weights of {name}: {wrong[0]} has shape {shapes}")
    network.load_state_dict({key: found[key] for key in wanted}, strict=False)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint file."""
    path = Path(path)
    if not path.is_file():
        raise LabanError(f"{path}: no such file; expected weights ({', '.join(SUFFIXES)})")
    if path.suffix.lower() not in SUFFIXES:
        raise LabanError(f"{path}: found the suffix {path.suffix or '(none)'}; accepted {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged zip, damaged pickle, forbidden object: each has its own type
        reason = " ".join(str(error).split())[:120]
        raise LabanError(f"{path}: not a readable checkpoint of tensors alone ({reason})") from None
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise LabanError(f"{path}: holds {type(content).__name__}; accepted: a dictionary of tensors")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _unwrapped(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wrappers put before them: the beginning that makes most of the wanted names known."""
    prefixes = {""}
    for name in list(wanted)[:1]:
        prefixes |= {key.removesuffix(name) for key in tensors if key.endswith(f".{name}")}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in tensors for name in wanted))
    return {key.removeprefix(best): value for key, value in tensors.items() if key.startswith(best)}
