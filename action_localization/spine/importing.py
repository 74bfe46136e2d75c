"""Published ActionFormer checkpoints (`.pth.tar`) as ours: the same network under other names.

    python -m action_localization.spine.importing epoch.pth.tar --classes classes.txt --layout thumos14 -o FOLDER

The file is read by `torch.load(weights_only=True)`, which builds tensors and plain containers and nothing else. Taken
is `state_dict_ema` where there is one. Sizes come from the shapes; heads and window of the attention, which no shape
tells, from the release's configuration of the data set. Names follow the public code; no released file was at hand to
try it on. Two things differ: the original reads padding behind a video's end (within some entries of it outputs differ
a little), and its ActivityNet and Ego4D models add position encodings that are not stored, so those are not offered.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_localization.spine.checkpoint import save_detector
from action_localization.spine.network import Detector
from action_localization.spine.systems import ActionFormer, for_protocol
from laban.errors import LabanError
from laban.weights import load_module

WINDOWS = {"thumos14": 19, "epic100": 9}
"""Entries that attention spans, by the data set."""

_NAMES = (
    (r"backbone\.embd\.(\d+)\.conv\.weight", r"encoder.embed_convs.\1.weight"),
    (r"backbone\.embd_norm\.(\d+)\.(weight|bias)", r"encoder.embed_norms.\1.\2"),
    (r"backbone\.(stem|branch)\.(\d+)\.ln1\.(weight|bias)", r"encoder.\1.\2.attention_norm.\3"),
    (r"backbone\.(stem|branch)\.(\d+)\.ln2\.(weight|bias)", r"encoder.\1.\2.mlp_norm.\3"),
    (r"backbone\.(stem|branch)\.(\d+)\.attn\.(query|key|value)_conv\.conv\.weight",
     r"encoder.\1.\2.attention.\3_conv.weight"),
    (r"backbone\.(stem|branch)\.(\d+)\.attn\.((?:query|key|value)(?:_norm)?)\.(weight|bias)",
     r"encoder.\1.\2.attention.\3.\4"),
    (r"backbone\.(stem|branch)\.(\d+)\.attn\.proj\.(weight|bias)", r"encoder.\1.\2.attention.out.\3"),
    (r"backbone\.(stem|branch)\.(\d+)\.mlp\.0\.(weight|bias)", r"encoder.\1.\2.mlp.0.\3"),
    (r"backbone\.(stem|branch)\.(\d+)\.mlp\.3\.(weight|bias)", r"encoder.\1.\2.mlp.2.\3"),
    (r"backbone\.(stem|branch)\.(\d+)\.drop_path_attn\.scale", r"encoder.\1.\2.attention_scale.scale"),
    (r"backbone\.(stem|branch)\.(\d+)\.drop_path_mlp\.scale", r"encoder.\1.\2.mlp_scale.scale"),
    (r"neck\.fpn_norms\.(\d+)\.(weight|bias)", r"encoder.norms.\1.\2"),
    (r"cls_head\.head\.(\d+)\.conv\.weight", r"class_head.trunk.convs.\1.weight"),
    (r"cls_head\.norm\.(\d+)\.(weight|bias)", r"class_head.trunk.norms.\1.\2"),
    (r"cls_head\.cls_head\.conv\.(weight|bias)", r"class_head.out.\1"),
    (r"reg_head\.head\.(\d+)\.conv\.weight", r"boundary_head.head.trunk.convs.\1.weight"),
    (r"reg_head\.norm\.(\d+)\.(weight|bias)", r"boundary_head.head.trunk.norms.\1.\2"),
    (r"reg_head\.offset_head\.conv\.(weight|bias)", r"boundary_head.head.out.\1"),
    (r"reg_head\.scale\.(\d+)\.scale", r"boundary_head.scales.\1"),
)  # fmt: skip
"""Names in the release and in our network."""


def import_actionformer(state: Mapping[str, Tensor], classes: Sequence[str], *, layout: str = "thumos14") -> Detector:
    """Our network with the weights of a release's state dict, in evaluation mode.

    `classes` are names in order of their numbers. LabanError for tensors that are no part of ActionFormer with
    convolutional embedding, local attention and plain pyramid, and for a number of classes that does not fit.
    """
    if layout not in WINDOWS:
        raise LabanError(f"layout {layout!r}: accepted for released weights: {', '.join(WINDOWS)}")
    tensors: dict[str, Tensor] = {}
    scales: dict[int, Tensor] = {}
    for name, value in state.items():
        new = renamed(name)
        if new.startswith("boundary_head.scales."):
            scales[int(new.rpartition(".")[2])] = value.float().reshape(())
        else:
            tensors[new] = _reshaped(new, value.float())
    try:
        system, features = _system(tensors, len(scales), layout)
        tensors["boundary_head.scales"] = torch.stack([scales[level] for level in range(len(scales))])
    except (KeyError, RuntimeError) as error:
        raise LabanError(f"the weights lack a part of ActionFormer ({error})") from None
    if (count := len(tensors["class_head.out.bias"])) != len(classes):
        raise LabanError(f"the weights tell {count} classes apart; found {len(classes)} names")
    network = Detector(system, features, classes)
    tensors["normaliser"] = network.normaliser
    return load_module(network, tensors, "of ActionFormer")


def renamed(name: str) -> str:
    """Our name of a tensor of the release; LabanError for one that has none."""
    plain = name.removeprefix("module.")
    for pattern, new in _NAMES:
        if match := re.fullmatch(pattern, plain):
            return match.expand(new)
    raise LabanError(f"tensor {name} is no part of ActionFormer as it is known here (plain pyramid, local attention)")


def _reshaped(name: str, value: Tensor) -> Tensor:
    """Norms and scales lose their ones; 1 x 1 convolutions become matrices."""
    if ".norm" in name or "_norm" in name or name.endswith(".scale"):
        return value.reshape(-1)
    matrix = re.search(r"\.(attention\.(query|key|value|out)|mlp\.\d)\.weight$", name)
    return value.squeeze(-1) if matrix else value


def _system(tensors: Mapping[str, Tensor], levels: int, layout: str) -> tuple[ActionFormer, int]:
    """(the system, width of its features) that the shapes belong to."""
    first = tensors["encoder.embed_convs.0.weight"]
    made = for_protocol(ActionFormer(), layout)
    assert isinstance(made, ActionFormer)
    encoder = replace(
        made.encoder, width=first.shape[0], levels=levels, embed=_count(tensors, "encoder.embed_convs"),
        stem=_count(tensors, "encoder.stem"), hidden=tensors["encoder.branch.0.mlp.0.bias"].shape[0],
        window=WINDOWS[layout],
    )  # fmt: skip
    head = replace(made.head, width=tensors["class_head.out.weight"].shape[1],
                   layers=_count(tensors, "class_head.trunk.convs"))  # fmt: skip
    return replace(made, encoder=encoder, head=head), first.shape[1]


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    found = {name.removeprefix(f"{prefix}.").partition(".")[0] for name in tensors if name.startswith(f"{prefix}.")}
    return len(found)


def read_release(path: str | Path) -> dict[str, Tensor]:
    """The (averaged) state dict of a `.pth.tar` file; nothing is unpickled but tensors and plain containers."""
    if not Path(path).is_file():
        raise LabanError(f"{path}: does not exist")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is raised depends on where the file is damaged or what it would have built
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabanError(f"{path}: is no checkpoint of tensors alone ({first})") from None
    if isinstance(content, dict):
        content = content.get("state_dict_ema", content.get("state_dict", content))
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise LabanError(f"{path}: holds no state dict; accepted: state_dict_ema or state_dict of tensors by name")
    return dict(content)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m action_localization.spine.importing",
                                     description="Released ActionFormer weights as a checkpoint folder.")  # fmt: skip
    parser.add_argument("checkpoint", type=Path, help=".pth.tar file")
    parser.add_argument("--classes", type=Path, required=True, help="class names, one a line, in order of their number")
    parser.add_argument("--layout", default="thumos14", help=", ".join(WINDOWS))
    parser.add_argument("-o", "--output", type=Path, required=True, help="checkpoint folder to write")
    options = parser.parse_args(arguments)
    try:
        names = options.classes.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LabanError(f"{options.classes}: cannot be read ({error})") from None
    classes = [name.strip() for name in names if name.strip()]
    network = import_actionformer(read_release(options.checkpoint), classes, layout=options.layout)
    card = f"# ActionFormer, imported from {options.checkpoint.name}\n\nLicence and terms are those of that file.\n"
    save_detector(options.output, network, card, extra={"layout": options.layout})
    print(f"wrote {options.output}")


if __name__ == "__main__":
    try:
        main()
    except LabanError as error:
        raise SystemExit(f"laban: {error}") from None
