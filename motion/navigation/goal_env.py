"""Many people at once who have to reach places on the floor; the action is the noise of their next primitive.

The world is differentiable: rewards are functions of the frames, and those of the action. `goal_gym` shows the same
world to libraries that know gymnasium. What walks is any `Mover`; usually the student of a streaming checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from laban.errors import LabanError
from models import objectives
from models.diffusion.denoiser import Condition
from models.representation import primitive
from models.representation.primitive import FUTURE, HISTORY
from models.text.known import load_known
from motion.primitives.control import toe_level, world_joints
from motion.primitives.frames import FPS
from motion.primitives.network import FEATURES, PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, Sampling, State, condition_of, noise_for, standing, step

FAR = 5.0
"""Metres; goals beyond are seen as being so far away."""
LOW = 0.4
"""Metres of pelvis height below which somebody who should walk has fallen."""
HURRY = 1.3
"""Times its usual speed that a gait may have to be paid for."""
SLOWEST = 0.8
"""Metres a second that are paid for whatever the gait."""
PLACE = 4
"""Numbers of an observation that tell where the goal is."""

Mover = Callable[[State, Condition, Tensor], tuple[State, Made]]
"""(state, condition, noise) -> the state after one primitive, and its frames."""


@dataclass(frozen=True)
class Gait:
    """A way to go: what is said when the goal is ahead, to the left and to the right."""

    name: str
    ahead: str
    left: str
    right: str

    @property
    def texts(self) -> tuple[str, str, str]:
        """As `Gaits` numbers them."""
        return self.ahead, self.left, self.right


def _styled(name: str, style: str) -> Gait:
    return Gait(name, f"a person walks {style}", f"a person turns left while walking {style}",
                f"a person turns right while walking {style}")  # fmt: skip


GAITS: tuple[Gait, ...] = (
    Gait("walk", "a person walks forward", "a person walks and turns left", "a person walks and turns right"),
    _styled("walk energetically", "energetically"),
    _styled("walk as if exhausted", "as if exhausted"),
    Gait("run", "a person runs", "a person runs and turns left", "a person runs and turns right"),
)


@dataclass(frozen=True)
class Rewards:
    """Weights of a primitive's rewards (after DART's; its units are per frame, these are per second)."""

    progress: float = 1.0
    """A metre nearer to the goal, up to the gait's own pace (`paces`): nobody is paid for running when told to walk."""
    success: float = 1.0
    """Being within `GoalTask.success` at any frame."""
    skate: float = 0.4
    """Of m/s of sliding (`foot_skate_soft`). The hard measure will not do: slower feet count as more contact there."""
    floor: float = 4.0
    """Of metres that the lowest joint is below the floor or above where it rests."""
    orientation: float = 0.2
    """Of radians between the body's heading and the goal's direction."""
    fall: float = 2.0
    """For lying on the floor, after which one starts anew."""


@dataclass(frozen=True)
class GoalTask:
    """What has to be done."""

    gaits: tuple[Gait, ...] = GAITS
    nearest: float = 0.6
    farthest: float = 6.0
    """Metres of a new goal from the person; all directions, distances evenly spread."""
    success: float = 0.3
    """Metres of the pelvis from the goal; then there is a new goal."""
    aside: float = math.radians(45)
    """From this angle on what is said is the gait's turn to that side."""
    patience: int = 60
    """Primitives without reaching a goal, after which one starts anew (16 s)."""
    lost: int = 12
    """Primitives without reaching a goal, after which it teaches nothing: somebody who learns has another one."""
    restart: float = 0.0
    """Share of people who start anew after a primitive while gradients teach: who always walks on forgets how to set
    off."""
    rewards: Rewards = field(default_factory=Rewards)

    def __post_init__(self) -> None:
        if not self.gaits or not 0 < self.success < self.nearest <= self.farthest:
            raise LabanError("goal task: expected a gait or more, and 0 < success < nearest <= farthest")


@dataclass(frozen=True)
class Gaits:
    """What the texts of gaits mean to a checkpoint: row 3 g + (0 ahead, 1 left, 2 right)."""

    condition: Condition

    def rows(self, rows: Int[Tensor, " people"]) -> Condition:
        """The condition of each person."""
        return Condition(self.condition.tokens[rows], self.condition.mask[rows], self.condition.sentence[rows])


def read_gaits(network: PrimitiveModel, gaits: Sequence[Gait]) -> Gaits:
    """The gaits' texts as a stream of this checkpoint would read them."""
    known = load_known([action for action, _ in network.config.known], network.config.text)
    return Gaits(condition_of(known.read([text for gait in gaits for text in gait.texts]).to(network.mean.device)))


def mover(network: PrimitiveModel, sampling: Sampling = STUDENT) -> Mover:
    """The checkpoint's primitives; its weights are not trained further."""
    network.requires_grad_(False)
    return lambda state, condition, noise: step(network, state, condition, noise, sampling)


@torch.no_grad()
def paces(network: PrimitiveModel, move: Mover, gaits: Gaits, *, people: int = 4) -> Float[Tensor, " gaits"]:
    """Metres that each gait goes in a primitive when nobody steers it, and `HURRY` more; at least `SLOWEST`."""
    count = len(gaits.condition.sentence) // 3
    rows = 3 * torch.arange(count, device=network.mean.device).repeat_interleave(people)
    state, generator = standing(network, len(rows), dtype=torch.float32), torch.Generator().manual_seed(0)
    gone = torch.zeros(len(rows), device=network.mean.device)
    for k in range(12):
        before = state.pelvis[:, -1, 0::2]
        state, _ = move(state, gaits.rows(rows), noise_for(network, len(rows), generator))
        gone += (state.pelvis[:, -1, 0::2] - before).norm(dim=-1) * (k >= 6) / 6
    usual = torch.nan_to_num(gone).unflatten(0, (count, people)).median(-1).values
    return (HURRY * usual).clamp_min(SLOWEST * FUTURE / FPS)


def local_goal(state: State, goal: Float[Tensor, "people 2"]) -> Float[Tensor, "people 2"]:
    """The goal (x to the left, z ahead), in metres, as the person sees it."""
    place = primitive.placement(state.rotations, state.pelvis)
    away = torch.stack([goal[:, 0], torch.zeros_like(goal[:, 0]), goal[:, 1]], -1).to(state.pelvis) - place.origin
    return (place.turn.transpose(-1, -2) @ away[..., None])[:, 0::2, 0]


def side(local: Float[Tensor, "people 2"], aside: float) -> Int[Tensor, " people"]:
    """0 where a goal is ahead, 1 where it is to the left, 2 to the right."""
    angle = torch.atan2(local[:, 0], local[:, 1])
    return (angle > aside).long() + 2 * (angle < -aside).long()


def observe(
    network: PrimitiveModel, state: State, goal: Float[Tensor, "people 2"], sentence: Float[Tensor, "people text"]
) -> Float[Tensor, "people seen"]:
    """Direction of the goal, distance up to `FAR`, nearness, the last two frames, and the text's sentence vector."""
    history, _ = state.history(network)
    local = local_goal(state, goal).to(history)
    distance = local.square().sum(-1, keepdim=True).clamp_min(1e-6).sqrt()
    where = torch.cat([local / distance, distance.clamp_max(FAR) / FAR, torch.exp(-distance)], -1)
    return torch.cat([where, history.flatten(1), sentence.to(history) * sentence.shape[-1] ** 0.5], -1)


def observed_size(text: int) -> int:
    """Numbers of an observation with sentence vectors of this width."""
    return PLACE + HISTORY * FEATURES + text


@dataclass(frozen=True)
class Outcome:
    """What one primitive brought each person; rewards are differentiable, the rest is not."""

    reward: Float[Tensor, " people"]
    terms: dict[str, Float[Tensor, " people"]]
    """Unweighted, by the names of `Rewards`."""
    reached: Bool[Tensor, " people"]
    fallen: Bool[Tensor, " people"]
    late: Bool[Tensor, " people"]
    """No goal for `GoalTask.patience`: starts anew, which is the clock's fault and not a state's."""
    observation: Float[Tensor, "people seen"]
    """Before anybody starts anew."""
    made: Made


def judged(
    network: PrimitiveModel, task: GoalTask, before: State, made: Made, goal: Float[Tensor, "people 2"]
) -> dict[str, Float[Tensor, " people"]]:
    """The terms of `Rewards` for one primitive."""
    rotations = torch.cat([before.rotations[:, -1:], made.rotations], 1)
    joints = world_joints(network, rotations, torch.cat([before.pelvis[:, -1:], made.pelvis], 1))
    goal, level = goal.to(joints), toe_level(network)
    distance = (joints[..., 0, 0::2] - goal[:, None]).square().sum(-1).clamp_min(1e-12).sqrt()
    toward = goal - joints[:, -1, 0, 0::2]
    toward = toward / toward.square().sum(-1, keepdim=True).clamp_min(1e-4).sqrt()
    return {
        "progress": -objectives.approach(joints, goal),
        "success": (distance.amin(-1) < task.success).to(joints),
        "skate": -objectives.foot_skate_soft(joints, FPS, floor=joints.new_full((len(joints),), level)),
        "floor": -objectives.floor_penetration(joints, floor=level - 0.02)
        - objectives.floating(joints, floor=level + 0.02),
        "orientation": -objectives.orientation(joints[:, -1:], toward),
        "fall": -(joints[:, -1, 0, 1] < LOW).to(joints),
    }


class GoalWorld:
    """People on an endless floor, each with a goal and a gait. After a goal comes the next, on the way."""

    own: tuple[str, ...] = ("goal", "gait", "age")
    """Attributes with a row for each person, besides `state`."""
    extra: int = 0
    """Numbers of an observation after those of `observe`."""

    def __init__(
        self, network: PrimitiveModel, people: int, *, move: Mover | None = None, task: GoalTask = GoalTask(),
        gaits: Gaits | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        if people < 1:
            raise LabanError(f"{type(self).__name__}: {people} people; accepted: 1 or more")
        self.network, self.people, self.task = network, people, task
        self.move = move or mover(network)
        self.gaits = gaits or read_gaits(network, task.gaits)
        self.pace = self.paces().to(network.mean.device)
        """Metres a primitive that each gait's progress is paid for."""
        self.seeded(seed)
        self.reset()

    def paces(self) -> Float[Tensor, " gaits"]:
        """What `pace` is."""
        return paces(self.network, self.move, self.gaits)

    def seeded(self, seed: int) -> None:
        """Draw what comes from this seed on."""
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def text(self) -> int:
        """Width of sentence vectors."""
        return self.gaits.condition.sentence.shape[-1]

    @property
    def seen(self) -> int:
        """Numbers of an observation."""
        return observed_size(self.text) + self.extra

    def reset(self) -> Float[Tensor, "people seen"]:
        """Everybody starts anew."""
        self.state = standing(self.network, self.people, dtype=torch.float32)
        self.goal = self.state.pelvis.new_zeros(self.people, 2)
        self.gait = torch.zeros(self.people, dtype=torch.long, device=self.goal.device)
        self.age = torch.zeros_like(self.gait)
        self.start_anew(torch.ones(self.people, dtype=torch.bool, device=self.goal.device))
        return self.observation()

    def chosen(self, rows: Int[Tensor, " rows"]) -> GoalWorld:
        """A world of its own with these people, as often as they are named, and where they are now."""
        other = copy(self)
        other.people, other.state = len(rows), self.state.people(rows)
        for name in self.own:
            setattr(other, name, getattr(self, name)[rows])
        return other

    def condition(self) -> Condition:
        """What is said to each person now."""
        return self.gaits.rows(3 * self.gait + side(local_goal(self.state, self.goal).detach(), self.task.aside))

    def observation(self) -> Float[Tensor, "people seen"]:
        """What each person sees."""
        return observe(self.network, self.state, self.goal, self.condition().sentence)

    def step(self, noise: Float[Tensor, "people tokens latent"]) -> Outcome:
        """One primitive. Who has reached the goal has the next one; nobody starts anew by this."""
        before = self.state
        self.state, made = self.move(before, self.condition(), noise)
        terms = self.judged(before, made, noise)
        terms = {name: torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0) for name, value in terms.items()}
        weights = {f.name: getattr(self.task.rewards, f.name) for f in fields(self.task.rewards)}
        reward = torch.stack([weights[name] * value for name, value in self.paid(terms).items()]).sum(0)
        finite = torch.isfinite(made.pelvis).all(-1).all(-1) & torch.isfinite(made.rotations).flatten(1).all(-1)
        reached, fallen = terms["success"] > 0, (terms["fall"] < 0) | ~finite
        self.age = torch.where(reached, 0, self.age + 1)
        late = self.age >= self.task.patience
        self.go_on(reached)
        return Outcome(reward, terms, reached, fallen, late, self.observation(), made)

    def judged(self, before: State, made: Made, noise: Tensor) -> dict[str, Float[Tensor, " people"]]:
        """The terms of the rewards for one primitive, unweighted; success above 0 and fall below 0 are events."""
        return judged(self.network, self.task, before, made, self.goal)

    def paid(self, terms: dict[str, Float[Tensor, " people"]]) -> dict[str, Float[Tensor, " people"]]:
        """The terms as they are paid."""
        return {**terms, "progress": terms["progress"].minimum(self.pace[self.gait])}

    def go_on(self, reached: Bool[Tensor, " people"]) -> None:
        """After each primitive: who has reached a goal has the next one."""
        self.goal = torch.where(reached[:, None], self.new_goals(), self.goal)

    def start_anew(self, who: Bool[Tensor, " people"]) -> None:
        """These people stand at the origin again, with another goal and gait."""
        self.put(who, standing(self.network, self.people, dtype=torch.float32))
        drawn = torch.randint(len(self.task.gaits), (self.people,), generator=self.generator).to(self.gait.device)
        self.gait = torch.where(who, drawn, self.gait)
        self.goal = torch.where(who[:, None], self.new_goals(), self.goal)
        self.age = torch.where(who, 0, self.age)

    def put(self, who: Bool[Tensor, " people"], fresh: State) -> None:
        """These people are as in `fresh` now."""
        pick = who[:, None, None]
        self.state = State(torch.where(pick[..., None, None], fresh.rotations, self.state.rotations),
                           torch.where(pick, fresh.pelvis, self.state.pelvis))  # fmt: skip

    def retarget(self, who: Bool[Tensor, " people"]) -> None:
        """These people have another goal, on the way."""
        self.goal = torch.where(who[:, None], self.new_goals(), self.goal)
        self.age = torch.where(who, 0, self.age)

    def detach(self) -> None:
        """Forget how the present came about: gradients go no further back."""
        self.state = State(self.state.rotations.detach(), self.state.pelvis.detach())

    def new_goals(self) -> Float[Tensor, "people 2"]:
        """A place for each person, anywhere around where they are."""
        drawn = torch.rand(2, self.people, generator=self.generator).to(self.goal)
        angle = 2 * math.pi * drawn[0]
        distance = self.task.nearest + (self.task.farthest - self.task.nearest) * drawn[1]
        away = torch.stack([angle.sin(), angle.cos()], -1) * distance[:, None]
        return self.state.pelvis[:, -1, 0::2].detach() + away


def elapsed(primitives: int) -> float:
    """Seconds of so many primitives."""
    return primitives * FUTURE / FPS
