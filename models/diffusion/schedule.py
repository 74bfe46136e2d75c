"""Noise schedules and conversions between prediction types; plain tensors and functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from laban.errors import LabanError

Prediction = Literal["x0", "eps", "v"]


@dataclass(frozen=True)
class NoiseSchedule:
    """x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1, for t = 0 .. steps - 1 (t = 0 is least noisy)."""

    alpha_bar: Float[Tensor, " steps"]

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return len(self.alpha_bar)

    def alpha(self, t: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Signal scale at step t; t = -1 is clean data."""
        return self._bar(t).sqrt()

    def sigma(self, t: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Noise scale at step t; t = -1 is clean data."""
        return (1 - self._bar(t)).sqrt()

    def _bar(self, t: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        bar = self.alpha_bar.to(t.device)[t.clamp(min=0)]
        return torch.where(t < 0, torch.ones_like(bar), bar)


def cosine_schedule(steps: int = 1000, s: float = 0.008) -> NoiseSchedule:
    """Cosine schedule (Nichol & Dhariwal 2021, eq. 17), betas clipped at 0.999."""
    f = [math.cos((i / steps + s) / (1 + s) * math.pi / 2) ** 2 for i in range(steps + 1)]
    betas = torch.tensor([min(1 - f[i + 1] / f[i], 0.999) for i in range(steps)], dtype=torch.float64)
    return NoiseSchedule(torch.cumprod(1 - betas, 0).float())


def linear_schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> NoiseSchedule:
    """Linear betas (Ho et al. 2020), scaled so that any number of steps destroys the same amount of signal."""
    scale = 1000 / steps
    betas = torch.linspace(first * scale, last * scale, steps, dtype=torch.float64).clamp(max=0.999)
    return NoiseSchedule(torch.cumprod(1 - betas, 0).float())


def add_noise(schedule: NoiseSchedule, x0: Tensor, t: Int[Tensor, " batch"], noise: Tensor) -> Tensor:
    """Sample q(x_t | x_0): eq. 4 of Ho et al. 2020."""
    alpha, sigma = _expand(schedule.alpha(t), x0), _expand(schedule.sigma(t), x0)
    return alpha * x0 + sigma * noise


def to_x0(prediction: Prediction, value: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The clean sample implied by a network output of the given type (v: Salimans & Ho 2022)."""
    if prediction == "x0":
        return value
    if prediction == "eps":
        return (x_t - sigma * value) / alpha
    if prediction == "v":
        return alpha * x_t - sigma * value
    raise LabanError(f"prediction {prediction!r}; accepted: x0, eps, v")


def from_x0(prediction: Prediction, x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The network output of the given type that implies this clean sample; inverse of `to_x0`."""
    if prediction == "x0":
        return x0
    eps = (x_t - alpha * x0) / sigma
    if prediction == "eps":
        return eps
    if prediction == "v":
        return alpha * eps - sigma * x0
    raise LabanError(f"prediction {prediction!r}; accepted: x0, eps, v")


def timesteps(schedule: NoiseSchedule, steps: int) -> list[int]:
    """`steps` training steps spread evenly from the noisiest down to 0 (trailing spacing, Lin et al. 2024)."""
    if not 1 <= steps <= schedule.steps:
        raise LabanError(f"{steps} sampling steps; accepted: 1 to {schedule.steps}")
    return [round(schedule.steps * (steps - i) / steps) - 1 for i in range(steps)]


def _expand(value: Float[Tensor, " batch"], like: Tensor) -> Tensor:
    return value.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
