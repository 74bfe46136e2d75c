"""Training the goal policy: first by gradients through the primitives themselves, then by PPO from where that led.

The simulator is a network, so that the rewards' gradient with regard to the policy is known (short horizon, as SHAC of
Xu et al., ICLR 2022, without its critic): some hundred updates of a few thousand primitives do what took DART's PPO
2e8 steps. PPO (stable-baselines3) goes on from there, without gradients of the simulator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from laban.weights import load_module, load_weights
from models.training import TrainConfig, fit, steps_done
from motion.navigation.goal_env import GoalTask, GoalWorld
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig, save_goal_policy
from motion.navigation.goal_reaching import reach_goals
from motion.primitives.network import PrimitiveModel, digest_of, load_primitives

HORIZON = 6
"""Primitives that gradients go back through (1.6 s)."""
EXPLORE = 0.4
"""Deviation of the noise that is added to the policy's while it learns: it must be right in the mean."""
ANEW = 0.3
"""Share of those who stand at the origin again then."""
PRIOR = 0.3
"""Weight of how far a noise is outside of the shell where Gaussian noise lies."""
MOST = 4.0
"""Times the median gradient over people that a single person's may be."""
ROLL = 16
"""Primitives of each person between two updates of PPO."""
SAVE = 5
"""Updates of PPO between two savings."""


@dataclass(frozen=True)
class GoalTraining:
    """What to train, and for how long."""

    primitives: str | Path = "primitives_research"
    output: Path = Path("runs/checkpoints/goal_policy")
    run: Path = Path("runs/goal-policy")
    people: int = 64
    pretrain: int = 300
    """Updates through the simulator."""
    ppo: int = 60
    """Updates of PPO, each of `people` x 16 primitives; 0 leaves it out."""
    ppo_rate: float = 1e-4
    """Learning rate of PPO: low, as it starts from a policy that is good already."""
    task: GoalTask = GoalTask()
    init: Path | None = None
    """Policy to start from, whatever primitives it was trained for."""
    minutes: float | None = None
    """Stop after this much time; the next call goes on."""
    seed: int = 0
    every: int | None = None
    """Updates between two measurements of success, kept in the run's `curve.jsonl`; None measures nothing."""

    def world(self, network: PrimitiveModel, people: int, seed: int) -> GoalWorld:
        """Where it is learnt."""
        return GoalWorld(network, people, task=self.task, seed=seed)

    def config(self, network: PrimitiveModel, world: GoalWorld, digest: str) -> GoalPolicyConfig:
        """What is trained."""
        return GoalPolicyConfig(digest, tokens=network.config.tokens, latent=network.config.latent, text=world.text,
                                gaits=self.task.gaits, aside=self.task.aside,
                                licence=network.config.licence)  # fmt: skip

    def begin(self, policy: GoalPolicy) -> None:
        """The weights to start from."""
        if self.init is not None:
            load_module(policy, load_weights(self.init)[0], self.init)

    def measure(self, network: PrimitiveModel, policy: GoalPolicy) -> dict[str, float]:
        """A row of the success curve."""
        reached = reach_goals(self.world(network, self.people, self.seed), policy, seed=1000)
        return {"n": self.people, "success": round(reached.success, 4)}

    def card(self, config: GoalPolicyConfig, ppo: int) -> str:
        """The README of the checkpoint."""
        return card(self, config, ppo)


def train_goal_policy(job: GoalTraining, *, quiet: bool = False) -> Path | None:
    """Train (or go on) and write the checkpoint to `job.output`; None where time was up before the end.

    What gradients alone led to is kept as `pretrained` in the run's folder. Raises LabanError for a run of other
    primitives.
    """
    end = time.monotonic() + 60 * job.minutes if job.minutes else None
    network, digest = load_primitives(job.primitives), digest_of(job.primitives)
    _same_run(job.run, digest)
    world = job.world(network, job.people, job.seed + steps_done(job.run / "pretrain"))
    policy = initial_policy(network, world, digest, job)
    policy = pretrain(policy, world, job, minutes=_left(end), quiet=quiet)
    done = steps_done(job.run / "pretrain")
    if done < job.pretrain:
        return None
    save_goal_policy(job.run / "pretrained", policy, job.card(policy.config, 0))
    if job.ppo:
        world.seeded(job.seed + 1)
        policy, rounds = fine_tune(policy, world, job, end=end, quiet=quiet)
        if rounds < job.ppo:
            return None
    save_goal_policy(job.output, policy, job.card(policy.config, job.ppo))
    return job.output


def initial_policy(network: PrimitiveModel, world: GoalWorld, digest: str, job: GoalTraining) -> GoalPolicy:
    """A policy that gives zero noise, or the one to start from."""
    torch.manual_seed(job.seed)
    policy = GoalPolicy(job.config(network, world, digest))
    job.begin(policy)
    return policy.train()


# ------------------------------------------------------------------------------------------ through the simulator


def pretrain(
    policy: GoalPolicy, world: GoalWorld, job: GoalTraining, *, minutes: float | None = None, quiet: bool = False
) -> GoalPolicy:
    """Gradients of the rewards through `HORIZON` primitives; the world goes on where it was, update after update."""
    config = TrainConfig(steps=job.pretrain, lr=8e-4, warmup=10, weight_decay=0.0, clip=0.5, ema=0.98, seed=job.seed,
                         precision="32-true", accelerator=world.goal.device.type, save_minutes=2.0,
                         log_every=5)  # fmt: skip
    end = None if minutes is None else time.monotonic() + 60 * minutes
    folder, every = job.run / "pretrain", job.every or job.pretrain
    done = steps_done(folder)
    if job.every and not done:
        _measured(job, world, policy, "pretrain", 0)
    while True:
        stop = min(job.pretrain, (done // every + 1) * every)
        learned = fit(
            policy, lambda network, people, generator: goal_loss(network, people, generator), lambda step: world,
            config, folder, stop=stop, minutes=_left(end), progress=not quiet,
        )  # fmt: skip
        done = steps_done(folder)
        if job.every and done == stop:
            _measured(job, world, learned, "pretrain", done)
        if done < stop or done >= job.pretrain:
            return learned


def goal_loss(policy: GoalPolicy, world: GoalWorld, generator: torch.Generator) -> Mapping[str, Tensor]:
    """What `HORIZON` primitives cost on average; moves the world on, and starts those anew who fell."""
    world.detach()
    totals: dict[str, Tensor] = {}
    loss = torch.zeros((), device=world.goal.device)
    going = torch.ones(world.people, device=world.goal.device)
    for _ in range(HORIZON):
        mean = policy(world.observation())
        if mean.requires_grad:
            mean.register_hook(_tame)
        noise = mean + EXPLORE * torch.randn(mean.shape, generator=generator, device=mean.device)
        outcome = world.step(policy.shaped(noise))
        outside = (mean.square().mean(-1) + EXPLORE**2 - 1).clamp_min(0).square()
        loss = loss + (going * (PRIOR * outside - outcome.reward)).mean() / HORIZON
        terms = {**outcome.terms, "outside": outside}
        for name, value in terms.items():
            totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value.detach().mean() / HORIZON
        late = world.age >= world.task.lost
        over = outcome.fallen | (late & (torch.rand(world.people, generator=generator, device=generator.device) < ANEW))
        if world.task.restart:
            over = over | (torch.rand(world.people, generator=generator, device=generator.device) < world.task.restart)
        going = going * (~over)
        world.retarget(late & ~over)
        if bool(over.any()):
            world.start_anew(over)
    return {"loss": loss, **totals}


def _tame(gradient: Tensor) -> Tensor:
    """No person's gradient is more than `MOST` times the median one's, or not a number: chaos is not followed."""
    gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    size = gradient.norm(dim=-1, keepdim=True)
    return gradient * (MOST * size.median() / size.clamp_min(1e-12)).clamp_max(1)


# ---------------------------------------------------------------------------------------------------------------- PPO


def fine_tune(
    policy: GoalPolicy, world: GoalWorld, job: GoalTraining, *, end: float | None = None, quiet: bool = False
) -> tuple[GoalPolicy, int]:
    """PPO from the policy's weights; returns the policy and the updates done so far. Saved every few updates."""
    from motion.navigation.goal_ppo import actor_of, learner, state_of, take_state

    folder = job.run / "ppo"
    model = learner(policy, world, roll=ROLL, seed=job.seed, lr=job.ppo_rate)
    last, done = folder / "last.pt", 0
    if last.exists():
        stored = torch.load(last, map_location="cpu", weights_only=True)
        take_state(model, stored["state"])
        done = int(stored["done"])
        world.seeded(job.seed + 1 + done)
    folder.mkdir(parents=True, exist_ok=True)
    with progress("PPO", job.ppo, quiet=quiet) as advance:
        advance(done)
        while done < job.ppo and (end is None or time.monotonic() < end):
            rounds = min(SAVE, job.ppo - done)
            model.learn(rounds * ROLL * world.people, reset_num_timesteps=False)
            done += rounds
            _log(folder, done, {"reward": float(model.rollout_buffer.rewards.mean()), **model.logger.name_to_value})
            with atomic_path(last) as temporary:
                torch.save({"state": state_of(model), "done": done}, temporary)
            if job.every and (done % job.every == 0 or done == job.ppo):
                _measured(job, world, actor_of(model), "ppo", done)
            advance(rounds)
    return actor_of(model).eval(), done


def _measured(job: GoalTraining, world: GoalWorld, policy: GoalPolicy, stage: str, update: int) -> None:
    """A row of the success curve."""
    training = policy.training
    row = {"stage": stage, "update": update, **job.measure(world.network, policy.eval())}
    policy.train(training)
    with (job.run / "curve.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _log(folder: Path, done: int, values: Mapping[str, float]) -> None:
    row = {"update": done, **{name: round(float(value), 5) for name, value in values.items() if _is_number(value)}}
    with (folder / "loss.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) or hasattr(value, "item")


def _same_run(run: Path, digest: str) -> None:
    path = run / "primitives.txt"
    if path.exists() and (found := path.read_text().strip()) != digest:
        raise LabanError(f"{run}: holds a run for primitives {found[:12]}, not {digest[:12]}; name another folder")
    with atomic_path(path) as temporary:
        temporary.write_text(digest + "\n")


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.01, (end - time.monotonic()) / 60)


def card(job: GoalTraining, config: GoalPolicyConfig, ppo: int) -> str:
    """The README of a checkpoint."""
    gaits = ", ".join(gait.name for gait in config.gaits)
    start = (
        "" if job.init is None else ", from a policy that had been trained so for an earlier state of the primitives"
    )
    return f"""# Goal policy

Reaches places on the floor with streamed primitives (after DART, Zhao et al., ICLR 2025): a residual MLP of
{config.blocks} blocks, {config.width} wide, sees the goal in its own frame, the last two frames and the text's sentence
vector, and gives the noise from which the student makes the next 8 frames.

- **Bound to**: primitives with SHA-256 `{config.primitives}`; with others it is refused.
- **Trained by**: {job.pretrain} updates through the simulator ({job.people} people x {HORIZON} primitives each), then
  {ppo} updates of PPO ({job.people} x {ROLL} primitives each){start}. No recorded data of its own.
- **Command**: `laban train goal-policy --primitives PRIMITIVES --pretrain {job.pretrain} --ppo {ppo}`.
- **Gaits**: {gaits}; when the goal is more than {round(config.aside * 57.2958)} degrees aside, the gait's own words for
  turning are said.
- **Licence of these weights**: {config.licence or "as the primitives'"}.
- **Measured**: see the README's table (`python benchmarks/steering.py`).
- **Weak at**: obstacles (it sees none), stopping on the spot, other gaits than these.
"""
