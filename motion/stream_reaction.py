"""From a new word to visible motion: the same person with the same noise, once told something and once left to idle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Sampling, noise_for, standing, step
from motion.prompts import STAND
from motion.stream_metrics import SIGNS, departure, first_sign
from motion.stream_speed import on_device

PAIRS: tuple[tuple[str, str], ...] = (
    ("walk", "walk"), ("run", "run"), ("turn left", "turn"), ("wave with the right hand", "wave"),
    ("raise both arms", "raise arms"), ("jump", "jump"), ("kick", "kick"), ("sit down", "sit down"), ("bow", "bow"),
    ("walk backwards", "walk backward"), ("walk sideways to the left", "walk sideways"), ("punch", "punch"),
    ("dance", "dance"),
)  # fmt: skip
"""What somebody who stands is told, and the action whose kinematic sign is waited for, if it has one."""
SETTLED, WATCHED = 8, 19
"""Primitives of idling before the word (2.1 s), and after it (5.1 s)."""


@dataclass(frozen=True)
class Reaction:
    """Frames after the word took effect, of every text and seed; nan where nothing was seen in `WATCHED` primitives.

    Frame 1 is the first that the new word made.
    """

    texts: tuple[str, ...]
    actions: tuple[str, ...]
    departed: Float[ndarray, "texts seeds"]
    """Until a joint is `stream_metrics.VISIBLE` from where idling with the same noise has it."""
    signs: Float[ndarray, "texts seeds"]
    """Until the action's kinematic sign; nan also where it has none."""
    chance: Float[ndarray, "texts seeds"]
    """As `departed`, for idling with other noise: what departs without any word."""
    false_signs: Float[ndarray, "texts seeds"]
    """As `signs`, in idling."""


def measure_reaction(
    network: PrimitiveModel, read: Callable[[Sequence[str]], Condition], sampling: Sampling, *, seeds: int = 20,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> Reaction:  # fmt: skip
    """Perform every pair with every seed, all at once; `read` makes the condition of texts as a stream does."""
    texts, actions = [text for text, _ in pairs], [action for _, action in pairs]
    rows = len(pairs) * seeds
    generator = torch.Generator().manual_seed(0)
    device = network.mean.device
    idle, told = _each(on_device(read([STAND]), device), rows), _each(on_device(read(texts), device), seeds)
    with torch.inference_mode():
        state = standing(network, rows)
        for _ in range(SETTLED):
            state, _ = step(network, state, idle, noise_for(network, rows, generator), sampling)
        states, joints = [state] * 3, list[tuple[Tensor, ...]]()
        for _ in range(WATCHED):
            noise, other = (noise_for(network, rows, generator) for _ in range(2))
            made = [step(network, s, c, n, sampling)
                    for s, c, n in zip(states, (told, idle, idle), (noise, noise, other), strict=True)]  # fmt: skip
            states = [after for after, _ in made]
            joints.append(tuple(new.joints(network).cpu() for _, new in made))
    moved, rest, stirred = (torch.cat(each, 1).double().numpy() for each in zip(*joints, strict=True))
    shape = (len(pairs), seeds)
    return Reaction(
        tuple(texts), tuple(actions),
        _frames([departure(a, b) for a, b in zip(moved, rest, strict=True)], shape),
        _frames(_signs(moved, actions, seeds), shape),
        _frames([departure(a, b) for a, b in zip(stirred, rest, strict=True)], shape),
        _frames(_signs(rest, actions, seeds), shape),
    )  # fmt: skip


def _signs(joints: Float[ndarray, "rows frames 22 3"], actions: Sequence[str], seeds: int) -> list[int | None]:
    each = [action for action in actions for _ in range(seeds)]
    return [first_sign(own, FPS, action) if action in SIGNS else None for own, action in zip(joints, each, strict=True)]


def _frames(found: Sequence[int | None], shape: tuple[int, int]) -> Float[ndarray, "texts seeds"]:
    return np.array([np.nan if index is None else index + 1.0 for index in found]).reshape(shape)


def _each(condition: Condition, times: int) -> Condition:
    """Every row `times` times, one after another."""
    return replace(condition, tokens=condition.tokens.repeat_interleave(times, 0),
                   mask=condition.mask.repeat_interleave(times, 0),
                   sentence=condition.sentence.repeat_interleave(times, 0))  # fmt: skip


def summary(frames: Float[ndarray, " n"]) -> str:
    """Median and 90th percentile in frames and primitives, counting what was never seen as later than all."""
    frames = np.where(np.isnan(frames), np.inf, frames)
    middle, late = (float(np.percentile(frames, q, method="higher")) for q in (50, 90))
    within = float((frames <= 2 * FUTURE).mean())
    return (f"{_shown(middle)} median, {_shown(late)} p90, within 2 primitives {100 * within:.0f} %, "
            f"never {100 * float(np.isinf(frames).mean()):.0f} %, n = {len(frames)}")  # fmt: skip


def _shown(frames: float) -> str:
    return "never" if np.isinf(frames) else f"{frames:.0f} frames ({int(-(-frames // FUTURE))} primitives)"
