"""Samplers as plain functions over `denoise(x_t, t) -> x0`; differentiable, with hooks.

The hooks: *slice* and *compose* wrap `denoise` (`windowed`), *guide*, *overwrite* and *lead* are `Hooks` of `sample`
(`guide(x0, x_t, t) -> x0` before the step, `overwrite(x0, t) -> x0` after it and once more at the end;
`lead(mean, next_t, variance) -> mean` changes what the next step starts from, before noise is added to it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from laban.errors import LabanError
from models.diffusion.schedule import NoiseSchedule, timesteps

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t (batch, ...), t (batch,)) -> predicted x0 (batch, ...)."""
Guide = Callable[[Tensor, Tensor, int], Tensor]
Overwrite = Callable[[Tensor, int], Tensor]
Lead = Callable[[Tensor, int, float], Tensor]
Method = Literal["ddpm", "ddim", "dpm++"]


@dataclass(frozen=True)
class SamplerConfig:
    """How to walk from noise to data."""

    method: Method = "ddim"
    steps: int = 20
    eta: float = 0.0
    """DDIM's share of fresh noise: 0 is deterministic, 1 has DDPM's posterior variance."""
    variance_noise: bool = False
    """DDPM: multiply the noise by the posterior variance instead of its root, as STMC's published sampler does."""


@dataclass(frozen=True)
class Hooks:
    """What steps in while denoising; the module's docstring says when each is called."""

    guide: Guide | None = None
    overwrite: Overwrite | None = None
    lead: Lead | None = None


def sample(
    denoise: Denoise, noise: Tensor, schedule: NoiseSchedule, config: SamplerConfig = SamplerConfig(), *,
    generator: torch.Generator | None = None, hooks: Hooks = Hooks(), progress: Callable[[int], None] | None = None,
) -> Tensor:  # fmt: skip
    """Denoise `noise` (batch, ...) to a clean sample of the same shape."""
    steps = {"ddpm": _ddpm_step, "ddim": _ddim_step, "dpm++": _dpm_step}
    if config.method not in steps:
        raise LabanError(f"sampler {config.method!r}; accepted: {', '.join(steps)}")
    step = steps[config.method]
    times = timesteps(schedule, config.steps)
    x, previous = noise, None
    for index, t in enumerate(times):
        x0 = denoise(x, torch.full((len(x),), t, device=x.device))
        if hooks.guide is not None:
            x0 = hooks.guide(x0, x, t)
        if hooks.overwrite is not None:
            x0 = hooks.overwrite(x0, t)
        next_t = times[index + 1] if index + 1 < len(times) else -1
        state = _Step(x, x0, t, next_t, previous)
        if next_t >= 0:
            mean, fresh = step(schedule, state, config)
            if hooks.lead is not None:
                mean = hooks.lead(mean, next_t, posterior_variance(schedule, t, next_t))
            x = mean if fresh is None else mean + fresh * _randn(mean, generator)
        else:
            x = x0
        previous = (t, x0)
        if progress is not None:
            progress(index + 1)
    return hooks.overwrite(x, -1) if hooks.overwrite is not None else x


@dataclass(frozen=True)
class _Step:
    x: Tensor
    x0: Tensor
    t: int
    next_t: int
    previous: tuple[int, Tensor] | None


def _scales(schedule: NoiseSchedule, t: int, like: Tensor) -> tuple[Tensor, Tensor]:
    index = torch.tensor(t)
    return schedule.alpha(index).to(like), schedule.sigma(index).to(like)


def _randn(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)


def posterior_variance(schedule: NoiseSchedule, t: int, next_t: int) -> float:
    """Variance of x at `next_t` given x at `t` and the clean sample (Ho et al. 2020, eq. 7), between any two steps."""
    (alpha, sigma), (alpha_n, sigma_n) = _scales(schedule, t, torch.ones(())), _scales(schedule, next_t, torch.ones(()))
    return float(sigma_n**2 / sigma**2 * (1 - (alpha / alpha_n) ** 2))


Mean = tuple[Tensor, Tensor | None]
"""Where a step leads to, and how much fresh noise is added to it; None: none, and none is drawn."""


def _ddpm_step(schedule: NoiseSchedule, s: _Step, config: SamplerConfig) -> Mean:
    """Ancestral step: posterior of eq. 7, Ho et al. 2020, between any two steps."""
    (alpha, sigma), (alpha_n, sigma_n) = _scales(schedule, s.t, s.x), _scales(schedule, s.next_t, s.x)
    ratio = (alpha / alpha_n) ** 2
    mean = alpha_n * (1 - ratio) / sigma**2 * s.x0 + (alpha / alpha_n) * sigma_n**2 / sigma**2 * s.x
    variance = sigma_n**2 / sigma**2 * (1 - ratio)
    return mean, variance if config.variance_noise else variance.sqrt()


def _ddim_step(schedule: NoiseSchedule, s: _Step, config: SamplerConfig) -> Mean:
    """Song et al. 2021, eq. 12 with sigma scaled by eta (eq. 16)."""
    (alpha, sigma), (alpha_n, sigma_n) = _scales(schedule, s.t, s.x), _scales(schedule, s.next_t, s.x)
    eps = (s.x - alpha * s.x0) / sigma
    fresh = config.eta * sigma_n / sigma * (1 - (alpha / alpha_n) ** 2).clamp(min=0).sqrt()
    x = alpha_n * s.x0 + (sigma_n**2 - fresh**2).clamp(min=0).sqrt() * eps
    return x, fresh if config.eta > 0 else None


def _dpm_step(schedule: NoiseSchedule, s: _Step, config: SamplerConfig) -> Mean:
    """DPM-Solver++(2M), data prediction: Lu et al. 2022, algorithm 2."""
    (alpha, sigma), (alpha_n, sigma_n) = _scales(schedule, s.t, s.x), _scales(schedule, s.next_t, s.x)
    half_log_snr = (alpha / sigma).log()
    h = (alpha_n / sigma_n).log() - half_log_snr
    x0 = s.x0
    if s.previous is not None:
        alpha_p, sigma_p = _scales(schedule, s.previous[0], s.x)
        r = (half_log_snr - (alpha_p / sigma_p).log()) / h
        x0 = (1 + 0.5 / r) * s.x0 - 0.5 / r * s.previous[1]
    return sigma_n / sigma * s.x - alpha_n * torch.expm1(-h) * x0, None


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """Classifier-free guidance from two callables: u + scale (c - u) (Ho & Salimans 2022)."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        u = unconditional(x, t)
        return u + scale * (conditional(x, t) - u)

    return denoise


def batched_guidance(denoise: Denoise, scale: float) -> Denoise:
    """Guidance in one call: `denoise` sees a doubled batch, conditional half first, unconditional half second."""

    def call(x: Tensor, t: Tensor) -> Tensor:
        c, u = denoise(torch.cat([x, x]), torch.cat([t, t])).chunk(2)
        return u + scale * (c - u)

    return call


@dataclass(frozen=True)
class Window:
    """Frames `start:stop` of sequence `row` and the (features,) or (frames, features) weight of its prediction."""

    start: int
    stop: int
    weight: Tensor
    row: int = 0


def windowed(denoise: Denoise, windows: Sequence[Window]) -> Denoise:
    """*Slice* and *compose*: cut every window out of x_t (rows, frames, features), denoise all in one batch, add up.

    `denoise` gets (windows, longest, features) and must ignore rows beyond a window's own length. The weights of the
    windows must sum to one at every frame and feature (DiffCollage, Zhang et al. 2023). Guidance may be part of them:
    u + g (c - u) is a window with its text, weighing g, and the same without, weighing 1 - g.
    """
    longest = max(w.stop - w.start for w in windows)

    def call(x: Tensor, t: Tensor) -> Tensor:
        batch = x.new_zeros(len(windows), longest, x.shape[-1])
        for row, w in zip(batch, windows, strict=True):
            row[: w.stop - w.start] = x[w.row, w.start : w.stop]
        x0 = denoise(batch, t[:1].expand(len(windows)))
        merged = torch.zeros_like(x)
        for row, w in zip(x0, windows, strict=True):
            merged[w.row, w.start : w.stop] += w.weight.to(x) * row[: w.stop - w.start]
        return merged

    return call
