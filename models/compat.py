"""Shims for dependencies that do not fit together out of the box; called before the package in question is imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from ctypes.util import find_library
from types import ModuleType
from typing import Any

from laban.errors import LabanError

_GL_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
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


def import_transformers() -> ModuleType:
    """transformers, whose model files import torchvision wherever that is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    return importlib.import_module("transformers")


def import_pyrender() -> ModuleType:
    """pyrender for drawing without a display: through EGL where its library is, else through OSMesa.

    `$PYOPENGL_PLATFORM` is honoured; OpenGL reads it once, at its first import. pyrender 0.1.45 still uses a name that
    numpy 2 dropped. Raises LabanError when the package or both libraries are missing.
    """
    import numpy as np

    if "infty" not in vars(np):
        vars(np)["infty"] = np.inf
    if "PYOPENGL_PLATFORM" not in os.environ:
        platform = next((name for name, library in _GL_LIBRARIES.items() if find_library(library)), None)
        if platform is None:
            raise LabanError("pyrender: found neither libEGL nor libOSMesa; accepted: either, or the numba renderer")
        os.environ["PYOPENGL_PLATFORM"] = platform
    try:
        return importlib.import_module("pyrender")
    except ImportError as error:
        raise LabanError(f"pyrender: cannot be imported ({error}); try pip install 'laban[render]'") from error
