"""DIP's objectives as noise optimisation on primitives: the same journeys, by the distilled student of `laban stream`.

The noises of the next primitives are optimised window after window (`motion.primitives.steering`), starting from those
that the goal policy would give, so that a few steps do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.devices import pick_device
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE, HISTORY
from motion.navigation.dip_energy import OURS, Asked, DipWeights, asked, weights_for
from motion.navigation.goal_policy import GoalPolicy, load_goal_policy
from motion.navigation.journey import Journey, Plan, heading_of, plan_of
from motion.navigation.outcome import Bodies, Clock, Outcome, manner_of, outcome_of
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel, load_primitives
from motion.primitives.rollout import Made, Sampling, State, noise_for, standing, step
from motion.primitives.steering import Planned, SteerConfig, conditions_for

LATE, MOST_LATE = 0.25, 3.0
"""Seconds behind from which the rest of a way is put off, and the most that is looked back for."""

FIRMER = {manner: replace(own, skate=20 * own.skate, slide=2.5 * own.slide) for manner, own in OURS.items()}
"""Ours of DIP, but feet count more: primitives slide more than full clips."""


@dataclass(frozen=True)
class HybridConfig:
    """How noises are optimised."""

    horizon: int = 3
    """Primitives (0.27 s each) that are optimised together."""
    keep: int = 3
    """Of a window, before the next one is optimised."""
    iterations: int = 12
    """Adam steps for each window of a way."""
    settling: int = 24
    """The same where somebody gets up, turns about or settles, where the policy does not help."""
    lr: float = 0.3
    prior: float = 2.0
    """Weight of how far a noise is outside of the shell where Gaussian noise lies."""
    ahead: float = 1.2
    """Seconds ahead of which the place that is due is what the policy is sent to."""
    spread: float = 0.2
    """How much random noise is added to the policy's."""
    scale: float = 0.5
    """Of the noise that primitives start from where there is no policy."""
    weights: dict[str, DipWeights] = field(default_factory=lambda: FIRMER)
    even: bool = False
    candidates: int = 1
    seed: int = 0
    sampling: Sampling = Sampling(distilled=True, steps=1)
    """One step of the student is half the work of its two, and optimisation makes up for it."""
    policy: str | Path | None = "goal_policy"
    """Embedded goal policy or a folder; None: start from random noise."""
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("iterations", 0), ("settling", 0), ("keep", 1), ("candidates", 1)):
            if getattr(self, name) < least:
                raise LabanError(f"hybrid: {name} {getattr(self, name)}; accepted: {least} or more")
        if self.keep > self.horizon:
            raise LabanError(
                f"hybrid: keeps {self.keep} primitives of a window of {self.horizon}; accepted: at most all"
            )


def hybrid(
    journey: Journey, config: HybridConfig = HybridConfig(), *, checkpoint: str | Path = "primitives_research",
    progress: Callable[[int], None] = lambda steps: None,
) -> Outcome:  # fmt: skip
    """Somebody who makes the journey, at 30 fps; `progress` is told of Adam steps.

    Raises LabanError as `dip` does.
    """
    began = Clock()
    device = pick_device(config.device)
    network = load_primitives(checkpoint).to(device)
    policy = None if config.policy is None else load_goal_policy(config.policy, checkpoint).to(device)
    plan = plan_of(journey, FPS, seed=config.seed, even=config.even)
    task = asked(plan, journey.scene, every=1 / FPS)
    weights = weights_for(config.weights, plan, manner_of(journey))
    windows = Windows(network, policy, config, weights)
    each = [windows.run(task, config.seed + k, progress) for k in range(config.candidates)]
    return outcome_of("hybrid", each, weights, began=began)


@dataclass(frozen=True)
class Windows:
    """One candidate after another, each window after window."""

    network: PrimitiveModel
    policy: GoalPolicy | None
    config: HybridConfig
    weights: DipWeights

    def run(self, task: Asked, seed: int, progress: Callable[[int], None]) -> tuple[Bodies, Asked]:
        """Bodies at every frame, and what was asked of them in the end: who is late on the way goes on from there."""
        config, plan = self.config, task.plan
        generator = torch.Generator().manual_seed(seed)
        state = first = self._start(plan)
        made: list[Made] = []
        most = plan.frames + round(MOST_LATE * FPS)
        while (left := primitives_of(plan) - len(made)) > 0:
            task = self.caught_up(task, state, len(made) * FUTURE, most)
            plan, window = task.plan, range(len(made), min(len(made) + config.horizon, primitives_of(task.plan)))
            walks = self.policy is not None and all(walking(plan, k) for k in window)
            conditions, noise = self._begin(plan, state, window, generator, walks=walks)
            steps = config.iterations if walks else config.settling
            if steps:
                tuned = SteerConfig(horizon=len(window), keep=1, iterations=steps, tries=1, lr=config.lr,
                                    prior=config.prior, sampling=config.sampling)  # fmt: skip
                objectives = (*task.objectives(self.weights), *task.carried(self.weights.floor))
                planned = Planned(self.network, state, conditions, objectives, len(made) * FUTURE + 1, tuned)
                noise = planned.optimise(noise[:, :, None], progress).movedim(1, 0)
            for k in range(len(window) if left <= len(window) else config.keep):
                with torch.no_grad():
                    state, frames = step(self.network, state, conditions[k], noise[k], config.sampling)
                made.append(frames)
        rotations = torch.cat([first.rotations[:, -1:], *(m.rotations for m in made)], 1)
        pelvis = torch.cat([first.pelvis[:, -1:], *(m.pelvis for m in made)], 1)
        return (rotations[:, : plan.frames], pelvis[:, : plan.frames]), task

    def _start(self, plan: Plan) -> State:
        """Standing at the first place, or the pose one gets up from."""
        like = self.network.mean
        if plan.poses and plan.poses[0].time == 0:
            rotations = torch.from_numpy(plan.poses[0].rotations).to(like).expand(1, HISTORY, -1, -1, -1)
            return State(rotations.clone(), torch.from_numpy(plan.poses[0].pelvis).to(like).expand(1, HISTORY, 3))
        x, z = plan.places[0]
        heading = torch.tensor([heading_of(plan.places[1] - plan.places[0])])
        return standing(self.network, 1, places=torch.tensor([[x, 0.0, z]]), headings=heading, dtype=torch.float32)

    def caught_up(self, task: Asked, state: State, frame: int, most: int) -> Asked:
        """What is asked with the rest of the way later by as much as somebody is behind; `most` frames in all."""
        first, last = task.plan.walking
        if not first < frame <= last:
            return task
        recent = range(max(first, frame - round(MOST_LATE * FPS)), frame + 1)
        gaps = np.linalg.norm(task.plan.places[recent] - state.pelvis[0, -1, 0::2].cpu().double().numpy(), axis=1)
        late = min(frame - recent[int(gaps.argmin())], most - task.plan.frames)
        if late <= LATE * FPS:
            return task
        return asked(task.plan.delayed(frame, late), task.scene, every=1 / FPS)

    def _begin(
        self, plan: Plan, state: State, window: range, generator: torch.Generator, *, walks: bool
    ) -> tuple[list[Condition], Float[Tensor, "primitives people tokens latent"]]:
        """Words and noises where optimisation starts: what the policy would say and do, else the leg's words."""
        conditions, found = [], []
        with torch.no_grad():
            for k in window:
                text, fresh = text_at(plan, k), noise_for(self.network, 1, generator)
                if not walks or self.policy is None:
                    conditions.append(conditions_for(self.network, [text], 1, 1)[0])
                    found.append(self.config.scale * fresh)
                    continue
                due = min(k * FUTURE + round(self.config.ahead * FPS), plan.walking[1])
                goal = torch.from_numpy(plan.places[due]).to(state.pelvis)[None]
                conditions.append(conditions_for(self.network, self.policy.words(text, state, goal), 1, 1)[0])
                found.append(self.policy.noise(self.network, state, goal, conditions[-1]) + self.config.spread * fresh)
                state = step(self.network, state, conditions[-1], found[-1], self.config.sampling)[0]
        return conditions, torch.stack(found)


def primitives_of(plan: Plan) -> int:
    """How many primitives a plan takes."""
    return -(-(plan.frames - 1) // FUTURE)


def text_at(plan: Plan, primitive: int) -> str:
    """What is in force at the middle of a primitive."""
    at = min(primitive * FUTURE + FUTURE // 2, plan.frames - 1)
    return next(leg.text for leg in plan.legs if leg.first <= at <= leg.last)


def walking(plan: Plan, primitive: int) -> bool:
    """Whether a primitive belongs to the way as a whole."""
    first, last = plan.walking
    settles = last + 1 < plan.frames
    return first <= primitive * FUTURE + 1 and ((primitive + 1) * FUTURE <= last or not settles)
