"""Checkpoint folders: `model.safetensors` (bf16 or int8), `config.json`, `README.md` (the card); nothing unpickled."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laban.errors import LabanError
from laban.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Raised whenever a checkpoint written before can no longer be read."""

SCALE = ":scale"
"""Ends the name of what the rows of an int8 matrix are multiplied by."""

EMBEDDED = Path(__file__).resolve().parent.parent / "checkpoints"


def save_weights(
    folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: str, *, int8: bool = False
) -> str:
    """Write a checkpoint folder, matrices as bf16 and vectors as they are; return the SHA-256 of the weights.

    With `int8` matrices take half the room: whole numbers from -127 to 127 and a scale for each row.
    """
    from safetensors.torch import save_file

    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        packed |= _packed(name, value.detach().cpu(), int8)
    folder = Path(folder)
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(packed, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    with atomic_path(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, "sha256": digest, **config}, indent=1) + "\n")
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(card)
    return digest


def _packed(name: str, value: Tensor, int8: bool) -> dict[str, Tensor]:
    """How a tensor is kept: one of the file's, or two for an int8 matrix."""
    import torch

    if not value.is_floating_point() or value.ndim < 2:
        return {name: value.contiguous()}
    if not int8:
        return {name: value.to(torch.bfloat16).contiguous()}
    scale = value.float().flatten(1).abs().amax(1).clamp(min=1e-12) / 127
    rows = (value.float() / scale.view(-1, *[1] * (value.ndim - 1))).round()
    return {name: rows.to(torch.int8).contiguous(), name + SCALE: scale}


def find_weights(name: str | Path) -> Path:
    """The folder of an embedded checkpoint's name or of a path; LabanError lists what there is."""
    for folder in (Path(name), EMBEDDED / str(name)):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    known = sorted(path.parent.name for path in EMBEDDED.glob("*/config.json"))
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise LabanError(
        f"checkpoint {name}: no folder with config.json and model.safetensors; {hint}embedded: {', '.join(known)}"
    )


def load_weights(name: str | Path, *, verify: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(fp32 tensors, config) of an embedded checkpoint's name or of a folder.

    `verify` also compares the weights' SHA-256 with the config's. Raises LabanError when a file is missing, damaged
    or of another format version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = find_weights(name)
    config = _read_config(folder / "config.json")
    path = folder / "model.safetensors"
    if verify and (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != config.get("sha256"):
        raise LabanError(f"{path}: SHA-256 is {digest}; config.json expects {config.get('sha256')}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LabanError(f"{path}: not a readable safetensors file ({error})") from error
    scales = {key.removesuffix(SCALE): tensors.pop(key) for key in [*tensors] if key.endswith(SCALE)}
    for key, scale in scales.items():
        if key not in tensors or tensors[key].ndim < 2 or len(tensors[key]) != len(scale):
            raise LabanError(f"{path}: {key}{SCALE} belongs to no matrix of {len(scale)} rows")
        tensors[key] = tensors[key].float() * scale.view(-1, *[1] * (tensors[key].ndim - 1))
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}, config


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise LabanError(f"{path}: not readable JSON ({error})") from error
    found = config.get("format") if isinstance(config, dict) else type(config).__name__
    if found != FORMAT:
        raise LabanError(f"{path}: checkpoint format {found!r}; this version of Laban reads format {FORMAT}")
    return config


def load_module(module: Any, tensors: Mapping[str, Tensor], name: str | Path) -> Any:
    """Load tensors into an `nn.Module` strictly; LabanError says what is missing, unknown or of another shape."""
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(tensors))
    unknown = sorted(set(tensors) - set(wanted))
    shapes = sorted(key for key in set(wanted) & set(tensors) if wanted[key].shape != tensors[key].shape)
    for kind, keys in (("missing", missing), ("unknown", unknown), ("of another shape", shapes)):
        if keys:
            raise LabanError(
                f"checkpoint {name}: {len(keys)} tensors {kind}, first {keys[0]}; written by another version?"
            )
    module.load_state_dict(dict(tensors))
    return module.eval()
