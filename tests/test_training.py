"""The trainer: learns a toy problem, resumes exactly, refuses a folder of another run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from laban.errors import LabanError
from models.diffusion.denoiser import Condition, Denoiser, DenoiserConfig
from models.diffusion.sampler import SamplerConfig, sample
from models.diffusion.schedule import add_noise, cosine_schedule
from models.training import TrainConfig, fit

SMALL = TrainConfig(steps=40, lr=1e-2, warmup=5, precision="32-true", accelerator="cpu", log_every=10)


@dataclass(frozen=True)
class Example:
    """A batch as the real systems make it: a frozen dataclass that holds another."""

    label: torch.Tensor
    condition: Condition


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 16), nn.Linear(16, 1)])})


def loss(network, batch, generator):
    x, y = batch
    noise = 0.01 * torch.randn(y.shape, generator=generator)
    out = network["layers"][1](torch.tanh(network["layers"][0](x)))
    return {"loss": (out - y - noise).square().mean()}


def batches(step: int):
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(step))
    return x, x.prod(-1, keepdim=True) + x.sum(-1, keepdim=True)


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_resuming_is_exact(tmp_path, muon) -> None:
    config = replace(SMALL, muon_lr=muon)
    whole = fit(make_network(), loss, batches, config, tmp_path / "whole", progress=False)
    fit(make_network(), loss, batches, config, tmp_path / "parts", stop=17, progress=False)
    parts = fit(make_network(), loss, batches, config, tmp_path / "parts", progress=False)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)
    again = fit(make_network(), loss, batches, config, tmp_path / "whole", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path) -> None:
    whole = fit(make_network(), loss, batches, SMALL, tmp_path / "whole", progress=False)

    def interrupted(step: int):
        if step == 13:
            raise KeyboardInterrupt
        return batches(step)

    with pytest.raises(SystemExit):
        fit(make_network(), loss, interrupted, SMALL, tmp_path / "parts", progress=False)
    parts = fit(make_network(), loss, batches, SMALL, tmp_path / "parts", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_a_killed_run_keeps_what_was_saved_by_time(tmp_path, muon) -> None:
    """Nothing is told the process when it is killed: the state on disk is the last timed save."""
    states = []

    def watched(step: int):
        states.append((tmp_path / "last.ckpt").exists())
        return batches(step)

    fit(make_network(), loss, watched, replace(SMALL, muon_lr=muon, save_minutes=1e-6), tmp_path, progress=False)
    assert not states[0] and states[5]


def test_a_time_limit_ends_the_call_and_each_call_has_its_own(tmp_path) -> None:
    config = replace(SMALL, steps=6)
    whole = fit(make_network(), loss, batches, config, tmp_path / "whole", progress=False)
    for _ in range(config.steps):
        parts = fit(make_network(), loss, batches, config, tmp_path / "parts", minutes=1e-9, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    asked = []
    fit(make_network(), loss, lambda step: asked.append(step) or batches(step), config, tmp_path / "one", minutes=1e-9,
        progress=False)  # fmt: skip
    assert max(asked) < config.steps - 1


def test_another_configuration_in_the_same_folder_is_refused(tmp_path) -> None:
    fit(make_network(), loss, batches, replace(SMALL, steps=4), tmp_path, progress=False)
    with pytest.raises(LabanError, match="lr"):
        fit(make_network(), loss, batches, replace(SMALL, steps=4, lr=1.0), tmp_path, progress=False)


def test_a_denoiser_learns_which_text_means_which_motion(tmp_path) -> None:
    """Two texts, two ramps: after a short training each text must give its own ramp, by guided sampling."""
    schedule = cosine_schedule(100)
    texts = torch.eye(2, 8)[:, None]
    ramps = torch.stack([torch.linspace(-1, 1, 16), torch.linspace(1, -1, 16)])[..., None]

    def condition(label):
        return Condition(texts[label], torch.ones(len(label), 1, dtype=torch.bool), texts[label, 0])

    def make_batch(step):
        label = torch.randint(0, 2, (16,), generator=torch.Generator().manual_seed(step))
        return Example(label, condition(label))

    def train_loss(network, batch, generator):
        label = batch.label
        t = torch.randint(0, 100, (16,), generator=generator)
        noise = torch.randn(16, 16, 1, generator=generator)
        dropped = batch.condition.without_text(torch.rand(16, generator=generator) < 0.1)
        return {
            "loss": (network(add_noise(schedule, ramps[label], t, noise), t, dropped) - ramps[label]).square().mean()
        }

    torch.manual_seed(0)
    network = Denoiser(DenoiserConfig(1, width=32, layers=2, heads=2, hidden=64, text=8))
    config = replace(SMALL, steps=150, lr=3e-3, ema=0.9)
    trained = fit(network, train_loss, make_batch, config, tmp_path, progress=False)
    label = torch.tensor([0, 1])
    with torch.no_grad():
        out = sample(
            lambda x, t: trained(x, t, condition(label)), torch.randn(2, 16, 1), schedule, SamplerConfig(steps=10)
        )
    assert (out - ramps).abs().mean() < 0.15
