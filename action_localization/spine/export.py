"""A pyramid detector as ONNX: encoder and heads at any length; decoding and suppression stay in numpy.

    python -m action_localization.spine.export CHECKPOINT -o model.onnx

Inputs: `features` (1, time, width) fp32 and `mask` (1, time) bool, True at real entries; time is a multiple of the
block that the metadata names (what lies after the video changes nothing about it). Outputs: `logits` (1, points,
classes) and `offsets` (1, points, 1 or classes, 2) in strides, level after level, as `Detector` gives them for that
length. Metadata: `system`, `classes`, `block`, as JSON. Needs the packages of `laban[onnx]`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from torch import Tensor, nn

from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.checkpoint import load_detector
from action_localization.spine.network import Detector
from action_localization.spine.points import level_sizes
from action_localization.spine.systems import Dense, System, base, from_json, to_json
from laban.errors import LabanError
from laban.files import atomic_path

_QUERIES = 32
"""Windowed attention takes so many queries at a time; every level gets a multiple of it."""
_LONGEST = 4096
"""Blocks."""


class _Heads(nn.Module):
    """The detector with plain tensors in and out."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]
    ) -> tuple[Tensor, Tensor]:
        """(logits, offsets)."""
        out = self.network(features, mask)
        return out.logits, out.offsets


def block_of(system: System) -> int:
    """Entries that an exported detector's input has, or a multiple of them."""
    host = base(system)
    assert isinstance(host, Dense)
    return _QUERIES * 2 ** (host.encoder.levels - 1)


def export_detector(
    network: Detector | BoundaryMatcher, path: str | Path, *, about: Mapping[str, Any] | None = None
) -> Path:
    """Write the network as ONNX; `about` joins the metadata. LabanError for BMN and where packages are missing."""
    if not isinstance(network, Detector):
        raise LabanError(
            f"{network.host.name} reads videos of one length and has no pyramid; its export is not offered"
        )
    onnx = _package("onnx")
    _package("onnxscript")
    block, path = block_of(network.system), Path(path)
    if path.suffix != ".onnx":
        raise LabanError(f"{path}: found the suffix {path.suffix or '(none)'}; accepted: .onnx")
    features, mask = torch.zeros(1, 2 * block, network.features), torch.ones(1, 2 * block, dtype=torch.bool)
    time = block * torch.export.Dim("blocks", min=1, max=_LONGEST)
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            _Heads(network.float().eval()), (features, mask), dynamo=True, verbose=False,
            dynamic_shapes={"features": {1: time}, "mask": {1: time}},
            input_names=["features", "mask"], output_names=["logits", "offsets"],
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    said = {"system": to_json(network.system), "classes": list(network.classes), "block": block, **(about or {})}
    for key, value in said.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))
    return path


class OnnxDetector:
    """An exported detector under onnxruntime: features of any length in, logits and offsets of that length out."""

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        runtime = _package("onnxruntime")
        if not Path(path).is_file():
            raise LabanError(f"{path}: does not exist")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            said = self.session.get_modelmeta().custom_metadata_map
            self.classes, self.block = tuple(json.loads(said["classes"])), int(said["block"])
            self.system = from_json(json.loads(said["system"]), name=str(path))
        except LabanError:
            raise
        except Exception as error:  # onnxruntime has exceptions of its own, one for each way a file can be wrong
            raise LabanError(f"{path}: is no detector exported as ONNX ({str(error).splitlines()[0]})") from None
        self.width = int(self.session.get_inputs()[0].shape[2])

    def __call__(
        self, values: Float32[ndarray, "time width"]
    ) -> tuple[Float32[ndarray, "points classes"], Float32[ndarray, "points per_class 2"]]:
        """(logits, offsets) of the points of `time` entries, as `Detector` gives them."""
        time = len(values)
        if not time or values.shape[1] != self.width:
            raise LabanError(f"features of shape {values.shape}; accepted: (time, {self.width}), at least one entry")
        whole = -(-time // self.block) * self.block
        features = np.zeros((1, whole, self.width), np.float32)
        features[0, :time] = values
        mask = np.arange(whole)[None] < time
        logits, offsets = self.session.run(None, {"features": features, "mask": mask})
        real = _real_points(time, whole, base(self.system).encoder.levels)  # type: ignore[union-attr]
        return logits[0, real], offsets[0, real]


def _real_points(time: int, whole: int, levels: int) -> Bool[ndarray, " points"]:
    """Which points of the padded pyramid belong to the video."""
    pairs = zip(level_sizes(time, levels), level_sizes(whole, levels), strict=True)
    return np.concatenate([np.arange(padded) < size for size, padded in pairs])


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise LabanError(f"ONNX: package {name} is missing ({error}); run: pip install 'laban[onnx]'") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m action_localization.spine.export", description="Detector to ONNX.")
    parser.add_argument("checkpoint", help="folder that `laban train detect` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write (.onnx)")
    options = parser.parse_args(arguments)
    network, config = load_detector(options.checkpoint)
    about: dict[str, Any] = {key: config[key] for key in ("extractor", "grid", "layout") if key in config}
    print(f"wrote {export_detector(network, options.output, about=about)}")


if __name__ == "__main__":
    try:
        main()
    except LabanError as error:
        raise SystemExit(f"laban: {error}") from None
