"""Where to compute, and in what arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from laban.errors import LabanError


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU; LabanError for an unknown or absent device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise LabanError(f"--device {name}; accepted: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise LabanError("--device cuda: no CUDA device is available; accepted here: auto, cpu")
    return torch.device(name)


def fast_inference(device: torch.device) -> AbstractContextManager[object]:
    """bf16 autocast where the hardware has bf16 arithmetic (a third of the time), fp32 elsewhere."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if device.type == "cuda" or (supported is not None and supported()):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """For networks so small that a second thread costs more than it brings, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
