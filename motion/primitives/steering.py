"""Steering in space by noise optimisation (DART 3.5): the noises of the next primitives are what is optimised.

A deterministic few-step sampler makes frames a differentiable function of the noises they start from, so that whatever
can be measured of frames can be asked for: a path, a goal, a pose, to keep out of a scene. Long motions are steered
window after window (receding horizon): of each optimised window the first primitives are kept, and the rest is where
the next starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE, HISTORY
from models.text.known import load_known
from motion.primitives.control import Objective, Window, world_joints
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, Sampling, State, condition_of, noise_for, step


@dataclass(frozen=True)
class SteerConfig:
    """How noises are optimised."""

    primitives: int = 8
    """How many are made (0.27 s each)."""
    horizon: int = 6
    """Primitives that are optimised together."""
    keep: int = 3
    """Of a window, before the next one is optimised; the last window is kept whole."""
    iterations: int = 40
    """Adam steps for each window."""
    tries: int = 2
    """Starts that are optimised side by side; the best is kept."""
    lr: float = 0.05
    """At first; annealed linearly."""
    scale: float = 1.0
    """Of the noise at first: DART takes 1 for paths and 0.1 for poses, which starts from the most usual motion."""
    prior: float = 0.2
    """Weight of how far a noise is outside of the shell where Gaussian noise lies."""
    sampling: Sampling = STUDENT
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("primitives", "horizon", "keep", "iterations", "tries"):
            if getattr(self, name) < 1:
                raise LabanError(f"steering: {name} {getattr(self, name)}; accepted: 1 or more")
        if self.keep > self.horizon:
            raise LabanError(
                f"steering: keeps {self.keep} primitives of a window of {self.horizon}; accepted: at most all"
            )


@dataclass(frozen=True)
class Steered:
    """What was made, the noises that make it, and each objective over all of it."""

    made: tuple[Made, ...]
    noise: Float[Tensor, "primitives people tokens latent"]
    errors: dict[str, Float[Tensor, " people"]]
    """By the objectives' names, in their own units."""
    joints: Float[Tensor, "people frames 22 3"]

    @property
    def state(self) -> State:
        """What a stream may go on from."""
        return self.made[-1].state


def steer(
    network: PrimitiveModel, state: State, texts: Sequence[str], objectives: Sequence[Objective],
    config: SteerConfig = SteerConfig(), *, progress: Callable[[int], None] = lambda steps: None,
) -> Steered:  # fmt: skip
    """Frames of everybody in `state` that do what `texts` say and come as near as they can to the objectives.

    `texts` are one for the whole motion, or one for each primitive. `progress` is called with the Adam steps done
    (`windows(config)` times `iterations` in all). Raises LabanError where there is nothing to do.
    """
    if not objectives:
        raise LabanError("steering: no objectives; expected a path, a goal, a pose or anything else to come near to")
    conditions = conditions_for(network, texts, config.primitives, len(state.pelvis))
    generator = torch.Generator().manual_seed(config.seed)
    noise = drawn(network, config.primitives, len(state.pelvis), config, generator)
    made: list[Made] = []
    kept: list[Tensor] = []
    start, before = 0, state
    while start < config.primitives:
        end = min(start + config.horizon, config.primitives)
        window = Planned(network, before, conditions[start:end], objectives, start * FUTURE, config)
        best = window.optimise(noise[start:end], progress)
        count = end - start if end == config.primitives else config.keep
        frames = window.roll(best[:, None, :count], grad=False)[1]
        made += frames
        kept += list(best[:, :count].unbind(1))
        before, start = frames[-1].state, start + count
        noise = _warm(network, noise, best[:, count:], start, config, generator)
    joints = _joints(network, made)
    old = world_joints(network, state.rotations, state.pelvis)
    whole = Window(torch.cat([old, joints], 1)[:, None], -HISTORY)
    errors = {o.name: o.measure(whole)[:, 0].detach() for o in objectives}
    return Steered(tuple(made), torch.stack(kept), errors, joints)


def windows(config: SteerConfig) -> int:
    """How many windows are optimised."""
    return 1 + max(0, -(-(config.primitives - config.horizon) // config.keep))


def conditions_for(network: PrimitiveModel, texts: Sequence[str], primitives: int, people: int) -> list[Condition]:
    """The condition of each primitive, a row for each person."""
    if len(texts) not in (1, primitives):
        raise LabanError(f"steering: {len(texts)} texts for {primitives} primitives; expected 1 or {primitives}")
    known = load_known([action for action, _ in network.config.known], network.config.text)
    distinct = list(dict.fromkeys(texts))
    features = condition_of(known.read(distinct).to(network.mean.device))
    rows = [distinct.index(text) for text in (texts if len(texts) == primitives else list(texts) * primitives)]
    return [
        Condition(*(getattr(features, name)[[row] * people] for name in ("tokens", "mask", "sentence"))) for row in rows
    ]


def drawn(
    network: PrimitiveModel, primitives: int, people: int, config: SteerConfig, generator: torch.Generator
) -> Float[Tensor, "primitives people tries tokens latent"]:
    """Noises to start from."""
    rows = noise_for(network, primitives * people * config.tries, generator)
    return config.scale * rows.unflatten(0, (primitives, people, config.tries))


@dataclass(frozen=True)
class Planned:
    """A window of primitives that is optimised: `people` times `tries` roll-outs in one batch."""

    network: PrimitiveModel
    state: State
    conditions: Sequence[Condition]
    objectives: Sequence[Objective]
    first: int
    """Number of its first new frame."""
    config: SteerConfig

    def optimise(
        self, noise: Float[Tensor, "primitives people tries tokens latent"], progress: Callable[[int], None]
    ) -> Float[Tensor, "people primitives tokens latent"]:
        """The best noises found for each person."""
        z = noise.movedim(0, 2).clone().requires_grad_(True)
        adam = torch.optim.Adam([z], lr=self.config.lr)
        best, lowest = z.detach().clone(), torch.full(z.shape[:2], torch.inf, device=z.device)
        for k in range(self.config.iterations + 1):
            loss = self.loss(z)
            better = loss.detach() < lowest
            best = torch.where(better[..., None, None, None], z.detach(), best)
            lowest = torch.where(better, loss.detach().to(lowest), lowest)
            if k == self.config.iterations:
                break
            z.grad = _unit(torch.autograd.grad(loss.sum(), z)[0])
            for group in adam.param_groups:
                group["lr"] = self.config.lr * (1 - k / self.config.iterations)
            adam.step()
            progress(1)
        return best[torch.arange(len(best)), lowest.argmin(1)]

    def loss(self, z: Float[Tensor, "people tries primitives tokens latent"]) -> Float[Tensor, "people tries"]:
        """What each roll-out costs."""
        window, _ = self.roll(z, grad=torch.is_grad_enabled())
        outside = (z.square().mean((-1, -2)) - 1).clamp_min(0).square().mean(-1)
        total = self.config.prior * outside
        for objective in self.objectives:
            total = total + objective.weight * objective.measure(window).to(total)
        return total

    def roll(
        self, z: Float[Tensor, "people tries primitives tokens latent"], *, grad: bool
    ) -> tuple[Window, list[Made]]:
        """Roll-outs from noises, with the frames before them."""
        people, tries = z.shape[:2]
        state = self.state.repeated(tries)
        old = world_joints(self.network, state.rotations, state.pelvis)
        made: list[Made] = []
        with torch.set_grad_enabled(grad):
            for k in range(z.shape[2]):
                noise = z[:, :, k].flatten(0, 1)
                state, frames = step(self.network, state, _each(self.conditions[k], tries), noise, self.config.sampling)
                made.append(frames)
            joints = torch.cat([old, _joints(self.network, made)], 1)
        return Window(joints.unflatten(0, (people, tries)), self.first - HISTORY), made


def _each(condition: Condition, times: int) -> Condition:
    return Condition(*(getattr(condition, name).repeat_interleave(times, 0) for name in ("tokens", "mask", "sentence")))


def _joints(network: PrimitiveModel, made: Sequence[Made]) -> Float[Tensor, "people frames 22 3"]:
    return world_joints(network, torch.cat([m.rotations for m in made], 1), torch.cat([m.pelvis for m in made], 1))


def _unit(gradient: Float[Tensor, "people tries primitives tokens latent"]) -> Tensor:
    """Each roll-out's gradient with norm 1; zero where it is not finite."""
    gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    norm = gradient.flatten(2).norm(dim=-1)[..., None, None, None]
    return gradient / norm.clamp_min(1e-12)


def _warm(
    network: PrimitiveModel, noise: Tensor, rest: Tensor, start: int, config: SteerConfig, generator: torch.Generator
) -> Float[Tensor, "primitives people tries tokens latent"]:
    """Noises with what the last window found for the primitives after it; all tries but the first are disturbed."""
    if not rest.shape[1]:
        return noise
    found = rest.movedim(1, 0)[:, :, None].expand(-1, -1, config.tries, -1, -1).clone()
    fresh = drawn(network, len(found), found.shape[1], config, generator)
    found[:, :, 1:] = 0.8 * found[:, :, 1:] + 0.6 * fresh[:, :, 1:]
    noise = noise.clone()
    noise[start : start + len(found)] = found
    return noise
