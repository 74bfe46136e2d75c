"""The diffusion core: conversions invert, every sampler recovers known data, hooks hold, a network ignores padding."""

from __future__ import annotations

import pytest
import torch

from laban.errors import LabanError
from models.diffusion.denoiser import Condition, Denoiser, DenoiserConfig
from models.diffusion.sampler import Hooks, SamplerConfig, Window, batched_guidance, guided, sample, windowed
from models.diffusion.schedule import add_noise, cosine_schedule, from_x0, linear_schedule, timesteps, to_x0

METHODS = [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0), ("dpm++", 0.0)]


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_prediction_types_invert(prediction) -> None:
    schedule = cosine_schedule(100)
    x0, noise = torch.randn(2, 4, 7, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    t = torch.tensor([3, 20, 50, 90])
    x_t = add_noise(schedule, x0[0], t, noise)
    alpha, sigma = schedule.alpha(t)[:, None].double(), schedule.sigma(t)[:, None].double()
    value = from_x0(prediction, x0[0], x_t, alpha, sigma)
    torch.testing.assert_close(to_x0(prediction, value, x_t, alpha, sigma), x0[0])


@pytest.mark.parametrize("make", [cosine_schedule, linear_schedule])
def test_schedules_fall_from_signal_to_noise(make) -> None:
    bar = make(1000).alpha_bar
    assert (bar.diff() < 0).all() and bar[0] > 0.99 and bar[-1] < 1e-3


@pytest.mark.parametrize(("method", "eta"), METHODS)
@pytest.mark.parametrize("steps", [1, 5, 50])
def test_a_perfect_predictor_recovers_the_data(method, eta, steps) -> None:
    data = torch.randn(3, 6, 5)
    out = sample(lambda x, t: data, torch.randn(3, 6, 5), cosine_schedule(200), SamplerConfig(method, steps, eta))
    torch.testing.assert_close(out, data)


@pytest.mark.parametrize(("method", "eta"), METHODS)
def test_samplers_reach_a_known_gaussian(method, eta) -> None:
    """For data N(m, s^2) the ideal denoiser is known in closed form; samples must have that mean and spread."""
    schedule, mean, spread = cosine_schedule(500), 1.5, 0.3

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
        return mean + alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * (x - alpha * mean)

    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 1, generator=generator)
    out = sample(denoise, noise, schedule, SamplerConfig(method, 250, eta), generator=generator)
    assert abs(out.mean() - mean) < 0.02 and abs(out.std() - spread) < 0.02


def test_a_seed_repeats_and_the_published_variance_noise_is_quieter() -> None:
    def run(seed: int, variance: bool) -> torch.Tensor:
        config = SamplerConfig("ddpm", 50, variance_noise=variance)
        generator = torch.Generator().manual_seed(seed)
        return sample(lambda x, t: 0.5 * x, torch.ones(64, 8), cosine_schedule(100), config, generator=generator)

    assert torch.equal(run(1, False), run(1, False))
    assert run(1, True).std() < run(1, False).std()


def test_overwrite_holds_exactly_and_guidance_moves_the_result() -> None:
    known = torch.randn(1, 4)

    def overwrite(x0, t):
        return torch.cat([known, x0[1:]])

    out = sample(lambda x, t: torch.zeros_like(x), torch.randn(3, 4), cosine_schedule(50), SamplerConfig(steps=10),
                 hooks=Hooks(lambda x0, x, t: x0 + 1, overwrite))  # fmt: skip
    assert torch.equal(out[:1], known) and torch.equal(out[1:], torch.ones(2, 4))


def test_sampling_is_differentiable_in_the_noise() -> None:
    noise = torch.randn(1, 4, requires_grad=True)
    sample(lambda x, t: torch.tanh(x), noise, cosine_schedule(50), SamplerConfig(steps=4)).sum().backward()
    assert noise.grad is not None and noise.grad.abs().sum() > 0


def test_windows_that_cover_once_compose_to_the_whole() -> None:
    x = torch.randn(1, 20, 3)
    half = torch.cat([torch.ones(5), torch.full((5,), 0.5)])[:, None]
    windows = [Window(0, 10, half), Window(5, 20, torch.cat([torch.full((5,), 0.5), torch.ones(10)])[:, None])]
    merged = windowed(lambda batch, t: 2 * batch, windows)(x, torch.tensor([3]))
    torch.testing.assert_close(merged, 2 * x)


def test_timesteps_start_at_the_noisiest_and_bad_counts_are_refused() -> None:
    schedule = cosine_schedule(100)
    assert timesteps(schedule, 100) == list(range(99, -1, -1)) and timesteps(schedule, 4)[0] == 99
    with pytest.raises(LabanError, match="accepted: 1 to 100"):
        timesteps(schedule, 0)


def make_network(**extra) -> tuple[Denoiser, Condition]:
    torch.manual_seed(0)
    network = Denoiser(DenoiserConfig(12, width=32, layers=2, heads=2, hidden=64, text=8, **extra)).eval()
    torch.nn.init.normal_(network.out.weight)
    words = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return network, Condition(torch.randn(2, 5, 8), words, torch.randn(2, 8))


def test_padding_frames_and_padding_words_change_nothing() -> None:
    network, condition = make_network()
    x, t = torch.randn(2, 16, 12), torch.tensor([5, 9])
    short = network(
        x[1:, :8], t[1:], Condition(condition.tokens[1:, :3], condition.mask[1:, :3], condition.sentence[1:])
    )
    mask = torch.arange(16)[None] < torch.tensor([[16], [8]])
    noisy = torch.where(mask[..., None], x, 1e3)
    torch.testing.assert_close(network(noisy, t, condition, mask)[1:, :8], short, atol=1e-4, rtol=1e-4)


def test_text_slots_and_hints_are_used_and_can_be_dropped() -> None:
    network, condition = make_network(slots=(("partner", 4),), hint=True)
    x, t = torch.randn(2, 8, 12), torch.tensor([5, 9])
    slots = {"partner": (torch.randn(2, 6, 4), torch.ones(2, 6, dtype=torch.bool))}
    hint = (torch.randn(2, 8, 12), torch.rand(2, 8, 12) > 0.5)
    rich = Condition(condition.tokens, condition.mask, condition.sentence, slots, hint)
    outputs = [network(x, t, c) for c in (condition, rich, rich.without_text())]
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(outputs, outputs[1:] + outputs[:1], strict=True))
    other = Condition(condition.tokens + 1, condition.mask, condition.sentence + 1).without_text()
    torch.testing.assert_close(network(x, t, other), network(x, t, condition.without_text()))


def test_batched_guidance_equals_two_calls() -> None:
    network, condition = make_network()
    x, t = torch.randn(2, 8, 12), torch.tensor([5, 5])
    empty = condition.without_text()
    two = guided(lambda x, t: network(x, t, condition), lambda x, t: network(x, t, empty), 2.5)(x, t)
    both = condition.cat(empty)
    torch.testing.assert_close(batched_guidance(lambda x, t: network(x, t, both), 2.5)(x, t), two, atol=1e-5, rtol=1e-5)
