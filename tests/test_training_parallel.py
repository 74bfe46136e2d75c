"""Two processes with batches of four learn what one process learns from batches of eight, and stop and go on alike."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from laban.errors import LabanError
from models.training import TrainConfig, fit, is_main_process

ROOT = Path(__file__).resolve().parent.parent
CONFIG = TrainConfig(steps=12, lr=1e-2, warmup=2, ema=0.5, precision="32-true", accelerator="cpu", log_every=4)

SCRIPT = """
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("parallel", {file!r})
parallel = module_from_spec(spec)
spec.loader.exec_module(parallel)
parallel.learn_in_two({folder!r}, stop={stop!r})
"""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def batches(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
    return x, x.prod(1, keepdim=True)


def pairs(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    both = batches(2 * step), batches(2 * step + 1)
    return torch.cat([both[0][0], both[1][0]]), torch.cat([both[0][1], both[1][1]])


def loss(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator):
    return {"loss": (network(batch[0]) - batch[1]).square().mean()}


def learn_in_two(folder: str, stop: int | None) -> None:
    """What each of the two processes runs."""
    config = replace(CONFIG, devices=2, strategy="ddp")
    learnt = fit(network(), loss, batches, config, folder, stop=stop, progress=False)
    if is_main_process():
        torch.save(learnt.state_dict(), Path(folder) / "learnt.pt")


def in_two(folder: Path, stop: int | None = None) -> None:
    script = folder.parent / "script.py"
    script.write_text(SCRIPT.format(file=str(Path(__file__).resolve()), folder=str(folder), stop=stop))
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_equal_one_with_both_batches(tmp_path: Path) -> None:
    alone = fit(network(), loss, pairs, CONFIG, tmp_path / "alone", progress=False).state_dict()
    in_two(tmp_path / "two", stop=5)
    in_two(tmp_path / "two")
    learnt = torch.load(tmp_path / "two" / "learnt.pt", weights_only=True)
    for name, value in alone.items():
        assert torch.allclose(value, learnt[name], atol=1e-6), name
    assert len((tmp_path / "two" / "loss.jsonl").read_text().splitlines()) == 3
    with pytest.raises(LabanError, match="another configuration"):
        fit(network(), loss, batches, CONFIG, tmp_path / "two", progress=False)


def test_outside_distributed_runs_every_process_is_the_main_one() -> None:
    assert is_main_process()
