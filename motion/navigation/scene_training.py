"""Training the policies of rooms: walking ways and acting on furniture, as the goal policy is trained and from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from laban.errors import LabanError
from laban.weights import load_weights
from models.body.model import OPEN_BODY, load_body
from motion.navigation.goal_env import GoalWorld
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig
from motion.navigation.goal_training import HORIZON, ROLL, GoalTraining
from motion.navigation.reaching import attempts
from motion.navigation.scene_world import Rooms, SceneTask, SceneWorld, training_rooms
from motion.navigation.seat_world import SeatTask, SeatWorld, seats_in
from motion.primitives.network import PrimitiveModel

TASKS = ("walk", "act")
"""What a policy of rooms may learn."""
OTHERS = 500
"""Seed of the rooms in which the success curve is measured: of the training family, but not learnt in."""


@dataclass(frozen=True)
class SceneTraining(GoalTraining):
    """What to train in generated rooms, and for how long."""

    output: Path = Path("runs/checkpoints/walk_policy")
    run: Path = Path("runs/walk-policy")
    kind: str = "walk"
    """"walk" (along found ways to a place) or "act" (sit, lie, get up)."""
    rooms: int = 24
    measured: int = 64
    """People whose success is measured every `every` updates."""
    every: int | None = 50

    def __post_init__(self) -> None:
        if self.kind not in TASKS or self.rooms < 1:
            raise LabanError(
                f"scene policy: task {self.kind!r} in {self.rooms} rooms; accepted: walk or act, in 1 or more"
            )

    def world(self, network: PrimitiveModel, people: int, seed: int) -> GoalWorld:
        """People in the training rooms."""
        return self.within(network, people, seed, _rooms(self.rooms, self.seed, self.run), self.run / "seats.npz")

    def within(
        self, network: PrimitiveModel, people: int, seed: int, rooms: Rooms, cache: Path | None = None
    ) -> GoalWorld:
        """People in some rooms who do what is to be learnt."""
        if self.kind == "walk":
            return SceneWorld(network, people, rooms, task=SceneTask(), seed=seed)
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
        seats = seats_in(rooms.scenes, load_body(OPEN_BODY), cache=cache)
        return SeatWorld(network, people, rooms.stack, seats, task=SeatTask(), seed=seed)

    def config(self, network: PrimitiveModel, world: GoalWorld, digest: str) -> GoalPolicyConfig:
        """A policy that sees what there is to see in this world."""
        return GoalPolicyConfig(digest, tokens=network.config.tokens, latent=network.config.latent, text=world.text,
                                gaits=world.task.gaits, aside=world.task.aside, licence=network.config.licence,
                                extra=world.extra, task=self.kind)  # fmt: skip

    def begin(self, policy: GoalPolicy) -> None:
        """Weights of another policy, also of a goal policy, as far as they are of the same shape."""
        if self.init is None:
            return
        tensors, own = load_weights(self.init)[0], policy.state_dict()
        fit = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
        if not fit:
            raise LabanError(f"{self.init}: holds no weights of a goal policy's shapes")
        policy.load_state_dict(own | fit)

    def measure(self, network: PrimitiveModel, policy: GoalPolicy) -> dict[str, float]:
        """Success and what it costs, in rooms that are not learnt in."""
        rooms = _rooms(4, OTHERS, self.run)
        world = self.within(network, self.measured, 0, rooms, self.run / "seats-measured.npz")
        return attempts(world, policy, seed=OTHERS, seconds=16.0 if self.kind == "walk" else 8.0).summary()

    def card(self, config: GoalPolicyConfig, ppo: int) -> str:
        """The README of a checkpoint."""
        does = WALKS if self.kind == "walk" else ACTS
        start = f", from `{self.init.name}`" if self.init else ""
        learnt = f"{self.pretrain} updates through the simulator ({self.people} people x {HORIZON} primitives each)"
        command = f"laban train scene-policy --task {self.kind} --pretrain {self.pretrain} --ppo {ppo}"
        command += f" --people {self.people} --rooms {self.rooms}" + (f" --init {self.init.name}" if self.init else "")
        curve = self.run / "curve.jsonl"
        rows = curve.read_text().strip() if curve.exists() else "not measured"
        return f"""# Scene policy: {self.kind}

{does}

- **Bound to**: primitives with SHA-256 `{config.primitives}`; with others it is refused.
- **Trained by**: {learnt}, then {ppo} updates of PPO ({self.people} people x {ROLL} primitives each), in {self.rooms}
  generated rooms{start}. No recorded data of its own.
- **Command**: `{command}`.
- **Licence of these weights**: {config.licence or "as the primitives'"}.

How success grew, in rooms that it did not learn in (`seconds` of those who got there, `penetration` in metres, skate in
m/s); the README has the rest:

```
{rows}
```
"""


WALKS = """Walks along found ways through furnished rooms with streamed primitives (DIMOS, Zhao et al., ICCV 2023).
It sees the next place on the way, its own last two frames, the text's sentence vector and a 16 x 16 map of the walkable
floor around it, and gives the noise from which the student makes the next 8 frames. Weak at: gaps below 0.5 m, people
and doors that move (it sees none)."""
ACTS = """Sits down, lies down and gets up with streamed primitives (DIMOS, Zhao et al., ICCV 2023). It sees of each
joint where its goal is and how far things are, its own last two frames and the text's sentence vector. The goal poses
are geometry (`models/scene/seating.py`); how people get there rests on the handful of captured clips of sitting down,
standing up and lying that the primitives were trained on, so that arms and timing are less natural than in walking."""


@lru_cache(maxsize=2)
def _rooms(count: int, seed: int, run: Path) -> Rooms:
    """Generated rooms, made once; their grids are kept in the run's folder."""
    grids = run / "grids"
    grids.mkdir(parents=True, exist_ok=True)
    return training_rooms(count, seed=seed, cache=grids)
