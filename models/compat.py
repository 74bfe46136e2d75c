"""Shims for dependencies that do not fit together out of the box; called before the package in question is imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_operators: list[Any] = []


def import_torchvision() -> ModuleType:
    """torchvision, also where a CUDA build of it stands beside a CPU-only torch.

    There its C++ operators cannot load and importing fails at the registration of `nms`; declaring the two operators
    first lets the Python part work. pytorchvideo also wants a module by its old name.
    """
    import torch

    try:
        torchvision = importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)
        torchvision = importlib.import_module("torchvision")
    old = "torchvision.transforms.functional_tensor"
    if old not in sys.modules:
        try:
            importlib.import_module(old)
        except ModuleNotFoundError:
            sys.modules[old] = importlib.import_module("torchvision.transforms._functional_tensor")
    return torchvision


def import_lightning() -> ModuleType:
    """pytorch_lightning, whose metrics package imports torchvision wherever that is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    return importlib.import_module("pytorch_lightning")
