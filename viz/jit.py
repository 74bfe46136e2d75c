"""Compiled kernels: how they are compiled and where the machine code is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from laban.files import cache_folder


def cache_place(package: Path, fallback: Path) -> Path | None:
    """Where compiled code may be kept: beside the sources if that can be written, else `fallback`, else nowhere."""
    if os.access(package, os.W_OK):
        return package / "__pycache__"
    try:
        fallback.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return fallback if os.access(fallback, os.W_OK) else None


def _configure() -> bool:
    """Point numba at a folder that can be written; False when there is none and every run has to compile."""
    if numba.config.CACHE_DIR:
        return True
    package = Path(__file__).parent
    place = cache_place(package, cache_folder() / "numba")
    if place is not None and place.parent != package:
        numba.config.CACHE_DIR = str(place)
    return place is not None


_CACHED = _configure()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, keep the machine code on disk, and release the GIL while it runs.

    Kernels also carry `@no_type_check`, because a run-time checker's wrapper cannot be compiled; they are called only
    from annotated functions of the same module. A kernel calls no kernel of another file: numba does not notice when
    such a callee changes.
    """
    return numba.njit(cache=_CACHED, nogil=True, fastmath=True, error_model="numpy")(function)
