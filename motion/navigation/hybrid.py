"""DIP's objectives as noise optimisation on primitives: the same journeys, by the distilled student of `laban stream`.

The noises of the next primitives are optimised window after window (`motion.primitives.steering`), starting from those
that the goal policy would give, so that a few steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.devices import pick_device
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE, HISTORY
from motion.navigation.dip_energy import OURS, DipWeights, asked, weights_for
from motion.navigation.goal_policy import GoalPolicy, load_goal_policy
from motion.navigation.journey import Journey, Plan, heading_of, plan_of
from motion.navigation.outcome import Bodies, Clock, Outcome, manner_of, outcome_of
from motion.primitives.control import Objective
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel, load_primitives
from motion.primitives.rollout import Made, Sampling, State, noise_for, standing, step
from motion.primitives.steering import Planned, SteerConfig, conditions_for


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
    scale: float = 0.5
    """Of the noise that primitives start from where there is no policy."""
    weights: dict[str, DipWeights] = field(default_factory=lambda: OURS)
    even: bool = False
    candidates: int = 2
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
            raise LabanError(f"hybrid: keeps {self.keep} primitives of a window of {self.horizon}; accepted: at most all")


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
    objectives = (*task.objectives(weights), *task.carried(weights.floor))
    bodies = Windows(network, policy, config, plan, objectives).run(progress)
    return outcome_of("hybrid", bodies, task, weights, began=began)


@dataclass(frozen=True)
class Windows:
    """One journey, every candidate a person of one batch."""

    network: PrimitiveModel
    policy: GoalPolicy | None
    config: HybridConfig
    plan: Plan
    objectives: Sequence[Objective]

    def run(self, progress: Callable[[int], None]) -> Bodies:
        """Bodies at every frame of the plan."""
        people = self.config.candidates
        primitives = -(-(self.plan.frames - 1) // FUTURE)
        conditions = conditions_for(self.network, self._texts(primitives), primitives, people)
        generator = torch.Generator().manual_seed(self.config.seed)
        state = first = self._start(people)
        made: list[Made] = []
        while len(made) < primitives:
            window = conditions[len(made) : len(made) + self.config.horizon]
            walks = self._walks(len(made)) and self._walks(len(made) + len(window) - 1)
            noise = self._noise(state, window, len(made), generator, walks=walks)
            steps = self.config.iterations if walks else self.config.settling
            tuned = SteerConfig(horizon=len(window), keep=1, iterations=max(1, steps), tries=1, lr=self.config.lr,
                                prior=self.config.prior, sampling=self.config.sampling)  # fmt: skip
            planned = Planned(self.network, state, window, self.objectives, len(made) * FUTURE + 1, tuned)
            if steps:
                noise = planned.optimise(noise[:, :, None], progress).movedim(1, 0)
            count = len(window) if len(made) + len(window) == primitives else self.config.keep
            frames = planned.roll(noise.movedim(0, 1)[:, None, :count], grad=False)[1]
            made += frames
            state = frames[-1].state
        rotations = torch.cat([first.rotations[:, -1:], *(m.rotations for m in made)], 1)
        pelvis = torch.cat([first.pelvis[:, -1:], *(m.pelvis for m in made)], 1)
        return rotations[:, : self.plan.frames], pelvis[:, : self.plan.frames]

    def _start(self, people: int) -> State:
        """Standing at the first place, or the pose one gets up from."""
        plan, like = self.plan, self.network.mean
        if plan.poses and plan.poses[0].time == 0:
            rotations = torch.from_numpy(plan.poses[0].rotations).to(like).expand(people, HISTORY, -1, -1, -1)
            return State(rotations.clone(), torch.from_numpy(plan.poses[0].pelvis).to(like).expand(people, HISTORY, 3))
        x, z = plan.places[0]
        place = torch.tensor([[x, 0.0, z]]).expand(people, 3)
        heading = torch.full((people,), heading_of(plan.places[1] - plan.places[0]))
        return standing(self.network, people, places=place, headings=heading, dtype=torch.float32)

    def _texts(self, primitives: int) -> list[str]:
        """What is said at the middle of each primitive."""
        middles = [min(k * FUTURE + FUTURE // 2, self.plan.frames - 1) for k in range(primitives)]
        return [next(leg.text for leg in self.plan.legs if leg.first <= at <= leg.last) for at in middles]

    def _walks(self, primitive: int) -> bool:
        first, last = self.plan.walking
        settles = last + 1 < self.plan.frames
        return first <= primitive * FUTURE + 1 and ((primitive + 1) * FUTURE <= last or not settles)

    def _noise(
        self, state: State, window: Sequence[Condition], first: int, generator: torch.Generator, *, walks: bool
    ) -> Float[Tensor, "primitives people tokens latent"]:
        """Where optimisation starts: what the policy would do, the first candidate's exactly; else random."""
        people = len(state.pelvis)
        found = []
        with torch.no_grad():
            for k, condition in enumerate(window):
                fresh = noise_for(self.network, people, generator)
                if self.policy is None or not walks:
                    found.append(self.config.scale * fresh)
                    continue
                due = min((first + k) * FUTURE + round(self.config.ahead * FPS), self.plan.walking[1])
                goal = torch.from_numpy(self.plan.places[due]).to(state.pelvis).expand(people, 2)
                noise = self.policy.noise(self.network, state, goal, condition)
                noise[1:] = 0.9 * noise[1:] + 0.4 * fresh[1:]
                found.append(noise)
                state = step(self.network, state, condition, noise, self.config.sampling)[0]
        return torch.stack(found)
