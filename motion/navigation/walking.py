"""Walking through rooms by the goal policy: it is led along a path, and search looks out for furniture.

The policy knows goals and no furniture. What it is shown as its goal runs ahead of it on the path, round the next
corner; and of several noises around its own the one is taken whose next frames earn most (DIMOS's test-time search, by
the rewards that the policy was trained with, and one for keeping out of things).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models import objectives
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE
from models.text.known import load_known
from motion.navigation.goal_env import GoalTask, judged, local_goal, side
from motion.navigation.goal_policy import GoalPolicy
from motion.navigation.metrics import contact_score
from motion.navigation.routes import LATE, NEAR, Went, usual_speed
from motion.navigation.stance import aimed, soles, stand_firm
from motion.navigation.turning import ROUND
from motion.primitives.control import Distance, checked_path, world_joints
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, State, condition_of, noise_for, standing, step
from motion.prompts import STAND

STEP = 0.04
"""Metres between the points that a path is looked up in."""
LOOKS = (0.9, 0.6, 0.4, 0.2)
"""Metres on the path from where one is to what the policy is shown as its goal: the farthest that can be seen."""
EYES, PASSES = (0.25, 0.6, 1.0), 0.12
"""Metres above the floor at which a straight way there is looked along, and metres that it keeps from things."""
THERE = 0.15
"""Metres from the goal at which one stops."""
ON = 0.06
"""Metres along the path in a primitive below which somebody waits."""
SETTLE = 3
"""Primitives of standing at the goal."""
BESIDE = 0.12
"""Metres beside the path that cost nothing."""
ASIDE = 0.5
"""Radians between where one looks and where one should go from which one is turned more."""
OFF, WORTH = 0.35, 0.6
"""Metres beside the path from which there is another one, and from the goal up to which there is none."""
ADRIFT, STAY = 0.25, 4.0
"""Metres from the goal from which somebody who came to rest goes on, and what a metre from it costs until then."""
SHARES = (0.0, 0.3, 0.0, 0.6)
"""Of the policy's noise in what is tried: all of it gets there fastest, and slides."""
TRIES_STANDING = 8
"""Ways to come to rest that are looked at, also without search."""


@dataclass(frozen=True)
class Search:
    """How many noises are tried for each primitive, and how far each is followed; 1 try is no search."""

    tries: int = 1
    ahead: int = 2
    """Primitives."""
    spread: float = 0.6
    """Standard deviation of the noise that is tried: below 1 people move as most do."""
    scene: float = 20.0
    """Weight of metres that joints reach into things, against a metre of progress."""
    contact: float = 8.0
    """Weight of DIMOS's contact, 0 to 1, of a primitive: one foot stands still, on the floor."""
    radius: float = 0.1
    """Metres of flesh around a joint."""
    turn: float = 0.15
    """Radians that a primitive is turned towards where it should lead, at most (`stance.aimed`)."""
    firm: float = 1.0
    """How much of a foot's sliding is taken from the pelvis (`stance`)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.tries <= 256 and 1 <= self.ahead <= 8):
            raise LabanError(f"--search {self.tries}; accepted: 1 (no search) to 256 tries")


@dataclass(frozen=True)
class Ways:
    """Paths as points every `STEP` metres; shorter ones stay at their end."""

    points: Float[Tensor, "people steps 2"]
    length: Float[Tensor, " people"]

    def along(
        self, who: Int[Tensor, " rows"], places: Float[Tensor, "rows 2"], before: Float[Tensor, " rows"]
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """Metres on the path to the point of it that is nearest, not far from `before`, and metres from there."""
        gaps = (self.points[who] - places[:, None].to(self.points)).norm(dim=-1)
        metres = STEP * torch.arange(gaps.shape[1], device=gaps.device)
        far = (metres < before[:, None] - 0.5) | (metres > before[:, None] + 1.2)
        nearest = gaps.masked_fill(far, torch.inf).min(1)
        return torch.minimum(STEP * nearest.indices, self.length[who]), nearest.values

    def at(self, who: Int[Tensor, " rows"], metres: Float[Tensor, " rows"]) -> Float[Tensor, "rows 2"]:
        """The places so far along."""
        index = (metres / STEP).round().long().clamp(0, self.points.shape[1] - 1)
        return self.points[who, index]

    def replaced(self, person: int, path: Float[ndarray, "_ 2"]) -> Ways:
        """The same with another path for one person."""
        own = ways_of([path])
        count = max(self.points.shape[1], own.points.shape[1])
        points, other = (torch.cat([one, one[:, -1:].expand(-1, count - one.shape[1], -1)], 1)
                         for one in (self.points, own.points))  # fmt: skip
        points, length = points.clone(), self.length.clone()
        points[person], length[person] = other[0], own.length[0]
        return Ways(points, length)


def ways_of(paths: Sequence[Float[ndarray, "_ 2"]]) -> Ways:
    """Polylines (x, z) as they are followed; LabanError for one without two different points."""
    lines = [checked_path(np.asarray(path, np.float64), 1.0) for path in paths]
    lengths = [float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in lines]
    count = math.ceil(max(lengths) / STEP) + 1
    points = []
    for line in lines:
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        metres = STEP * np.arange(count)
        points.append(np.stack([np.interp(metres, along, line[:, k]) for k in (0, 1)], -1))
    return Ways(torch.tensor(np.stack(points), dtype=torch.float32), torch.tensor(lengths))


Route = Callable[[tuple[float, float], tuple[float, float]], Float[ndarray, "points 2"]]
"""A path from a place to a goal; it may raise LabanError."""


@dataclass(frozen=True, eq=False)
class Lead:
    """What makes somebody walk: the primitives, the policy of their noise, and the words."""

    network: PrimitiveModel
    policy: GoalPolicy
    gait: str = "walk"
    route: Route | None = None
    """The path from where somebody is who has got off theirs; without it they are led back to it."""


def walk(
    lead: Lead, paths: Sequence[Float[ndarray, "_ 2"]],
    scene: Distance | None = None, search: Search = Search(), *, start: State | None = None, settle: int = SETTLE,
    progress: Callable[[int], None] = lambda primitives: None,
) -> list[Went]:  # fmt: skip
    """Everybody along their own path, and to rest at its end; by default they stand at its beginning, facing along it.

    Each has twice the time that the gait takes and a few seconds; `Went.error` is the distance from the goal at the
    end. Ctrl-C ends it early, with the frames there are. `progress` is told of each primitive. Raises LabanError for
    paths that are none.
    """
    walkers = Walkers(lead, ways_of(paths), scene, search)
    speed = max(usual_speed(lead.network, walkers.texts[0]), 0.2)
    most = math.ceil((2 * float(walkers.ways.length.max()) / speed + 2 * LATE) * FPS / FUTURE)
    state = start or standing_at(lead.network, paths)
    made: list[Made] = []
    done = torch.zeros(len(paths))
    arrived = torch.full((len(paths),), -1)
    stopped, waited = False, torch.zeros(len(paths))
    for k in range(most + settle):
        resting = arrived >= 0
        if bool(((k - arrived >= settle) & resting).all()):
            break
        try:
            state, frames = walkers.next(state, done, resting, waited)
        except KeyboardInterrupt:
            if not made:
                raise
            stopped = True
            break
        made.append(frames)
        before = done
        here = state.pelvis[:, -1, 0::2].cpu().float()
        done, beside = walkers.ways.along(torch.arange(len(paths)), here, before)
        waited = torch.where(done - before < ON, waited + 1, 0.0)
        arrived = torch.where(~resting & walkers.there(frames), k + 1, arrived)
        arrived = torch.where(resting & walkers.adrift(state), -1, arrived)
        done = torch.where(walkers.rerouted(here, ~resting & (beside > OFF)), 0.0, done)
        progress(1)
    goals = walkers.goals()
    ends = [(min(int(arrived[i]) + settle, len(made)) if arrived[i] >= 0 else len(made)) for i in range(len(paths))]
    return [replace(_went(made[:end], i, goals[i]), stopped=stopped) for i, end in enumerate(ends)]


def standing_at(network: PrimitiveModel, paths: Sequence[Float[ndarray, "_ 2"]]) -> State:
    """People at the beginning of their paths, facing along them."""
    places = torch.tensor(np.stack([[path[0][0], 0.0, path[0][1]] for path in paths]), dtype=torch.float32)
    ways = [np.asarray(path[1]) - np.asarray(path[0]) for path in paths]
    return standing(network, len(paths), places=places, dtype=torch.float32,
                    headings=torch.tensor([math.atan2(way[0], way[1]) for way in ways]))  # fmt: skip


class Walkers:
    """What everybody needs for the next primitive."""

    def __init__(self, lead: Lead, ways: Ways, scene: Distance | None, search: Search) -> None:
        network, policy, gait = lead.network, lead.policy, lead.gait
        known = load_known([action for action, _ in network.config.known], network.config.text)
        own = next((one for one in policy.config.gaits if gait in (one.name, *one.texts)), None)
        self.texts = (*(own.texts if own else (gait, gait, gait)), STAND)
        self.network, self.policy, self.ways, self.scene, self.search = network, policy, ways, scene, search
        self.route = lead.route
        self._condition = condition_of(known.read(list(self.texts)).to(network.mean.device))
        self._generator = torch.Generator().manual_seed(search.seed)
        self._weights = {f.name: getattr(GoalTask().rewards, f.name) for f in fields(GoalTask().rewards)}

    def goals(self) -> Float[Tensor, "people 2"]:
        """Where the paths end."""
        return self.ways.at(torch.arange(len(self.ways.length)), self.ways.length)

    def there(self, frames: Made) -> Bool[Tensor, " people"]:
        """Who comes to within `THERE` of their goal."""
        gaps = (frames.pelvis[..., 0::2].cpu().float() - self.goals()[:, None]).norm(dim=-1)
        return gaps.amin(1) < THERE

    def adrift(self, state: State) -> Bool[Tensor, " people"]:
        """Who is no more at their goal."""
        return (state.pelvis[:, -1, 0::2].cpu().float() - self.goals()).norm(dim=-1) > ADRIFT

    def rerouted(self, here: Float[Tensor, "people 2"], off: Bool[Tensor, " people"]) -> Bool[Tensor, " people"]:
        """Gives people who are off their path and not yet at the goal another one; says who has one."""
        found = torch.zeros_like(off)
        far = (here - self.goals()).norm(dim=-1) > WORTH
        for i in torch.nonzero(off & far)[:, 0].tolist() if self.route else ():
            assert self.route is not None
            (a, b), (x, z) = here[i].tolist(), self.goals()[i].tolist()
            try:
                path = self.route((a, b), (x, z))
            except LabanError:
                continue
            self.ways, found[i] = self.ways.replaced(i, path), True
        return found

    @torch.no_grad()
    def next(
        self, state: State, done: Float[Tensor, " people"], resting: Bool[Tensor, " people"],
        waited: Float[Tensor, " people"],
    ) -> tuple[State, Made]:  # fmt: skip
        """The next primitive of everybody, `done` metres along their paths; who has waited is in more of a hurry."""
        people = len(done)
        tries = max(self.search.tries, TRIES_STANDING if bool(resting.any()) else 1)
        who = torch.arange(people).repeat_interleave(tries)
        number = torch.arange(people * tries) % tries
        now, metres, total, chosen = state.repeated(tries), done[who], torch.zeros(len(who)), None
        for _ in range(self.search.ahead if tries > 1 else 1):
            goal = self._seen(now, who, metres)
            condition = self._said(now, goal, resting[who])
            noise = self._noise(now, goal, condition, number, resting[who])
            before = now
            made = step(self.network, before, condition, noise, STUDENT)[1]
            made = aimed(before, made, goal, self._most(before, goal) * (~resting[who]).to(goal))
            now, made = stand_firm(self.network, before, made, self.search.firm)
            chosen = chosen or (now, made)
            if tries > 1:
                earned, metres, stood = self._earned(who, before, made, goal, metres, resting[who])
                earned = earned + self.search.contact * 0.5 ** waited[who] * stood
                total = total + earned
        assert chosen is not None  # at least one primitive is looked at
        best = total.unflatten(0, (people, tries)).argmax(1) + tries * torch.arange(people)
        return chosen[0].people(best), chosen[1].people(best)

    def _seen(self, state: State, who: Int[Tensor, " rows"], metres: Float[Tensor, " rows"]) -> Float[Tensor, "rows 2"]:
        """The farthest of `LOOKS` ahead on the path that a straight way leads to, or the nearest of them."""
        length = self.ways.length[who]
        ahead = torch.stack([self.ways.at(who, torch.minimum(metres + look, length)) for look in LOOKS], 1)
        ahead = ahead.to(state.pelvis)
        if self.scene is None:
            return ahead[:, 0]
        here = state.pelvis[:, -1, 0::2]
        share = torch.linspace(0.2, 1, 5).to(here)[:, None]
        line = (here[:, None, None] + share * (ahead - here[:, None])[:, :, None])[..., None, :]
        eyes = torch.tensor(EYES).to(here).expand(*line.shape[:3], len(EYES))
        points = torch.stack([line[..., 0].expand_as(eyes), eyes, line[..., 1].expand_as(eyes)], -1)
        clear = (self.scene(points) > PASSES).all(-1).all(-1)
        clear[:, -1] = True
        return ahead[torch.arange(len(ahead)), clear.float().argmax(1)]

    def _most(self, state: State, goal: Float[Tensor, "rows 2"]) -> Float[Tensor, " rows"]:
        """Radians that a primitive may be turned: more for who looks far aside of where they should go."""
        if not self.search.turn:
            return torch.zeros_like(goal[:, 0])
        local = local_goal(state, goal)
        aside = torch.atan2(local[:, 0], local[:, 1]).abs().to(goal)
        return (aside - ASIDE).clamp(0, ROUND - self.search.turn) + self.search.turn

    def _said(self, state: State, goal: Float[Tensor, "rows 2"], resting: Bool[Tensor, " rows"]) -> Condition:
        turn = side(local_goal(state, goal), self.policy.config.aside).cpu()
        rows = torch.where(resting, len(self.texts) - 1, turn).to(self.network.mean.device)
        read = self._condition
        return Condition(read.tokens[rows], read.mask[rows], read.sentence[rows])

    def _noise(
        self, state: State, goal: Tensor, condition: Condition, number: Int[Tensor, " rows"], resting: Tensor
    ) -> Float[Tensor, "rows tokens latent"]:
        """The policy's own noise for the first try; for the others a share of it, and noise that is usual."""
        drawn = self.search.spread * noise_for(self.network, len(number), self._generator)
        led = self.policy.noise(self.network, state, goal, condition)
        shares = torch.tensor(SHARES)[number % len(SHARES)]
        share = torch.where(resting, 0.0, torch.where(number == 0, 1.0, shares))[:, None, None]
        return share * led + torch.where(number == 0, 0.0, 1.0)[:, None, None] * drawn

    def _earned(
        self, who: Tensor, before: State, made: Made, goal: Tensor, metres: Tensor, resting: Tensor
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """What a primitive earns, how far along the path it ends, and its contact."""
        terms = judged(self.network, GoalTask(), before, made, goal)
        place = made.pelvis[:, -1, 0::2].float()
        now, beside = self.ways.along(who, place, metres)
        away = (place - self.goals()[who]).norm(dim=-1)
        gone = (place - before.pelvis[:, -1, 0::2].float()).norm(dim=-1)
        on = torch.minimum(now - metres, gone) - (beside - BESIDE).clamp_min(0)
        terms = {**terms, "progress": torch.where(resting, -STAY * away, on), "success": torch.zeros_like(away)}
        earned = torch.stack([self._weights[name] * value for name, value in terms.items()]).sum(0)
        rotations = torch.cat([before.rotations[:, -1:], made.rotations], 1)
        feet = soles(self.network, rotations, torch.cat([before.pelvis[:, -1:], made.pelvis], 1))
        stood = contact_score(feet, FPS)
        if self.scene is not None:
            joints = world_joints(self.network, made.rotations, made.pelvis)
            depth = objectives.scene_penetration(joints, self.scene, self.search.radius)
            earned = earned - self.search.scene * depth
        return torch.nan_to_num(earned, nan=-1e3), now, torch.nan_to_num(stood)


def _went(made: Sequence[Made], person: int, goal: Float[Tensor, "2"]) -> Went:
    own = tuple(one.people(slice(person, person + 1)) for one in made)
    pelvis = torch.cat([one.pelvis for one in own], 1)[0, :, 0::2].cpu().float()
    gaps = (pelvis - goal).norm(dim=-1)
    return Went(own, len(pelvis), float(gaps[-1]), bool(gaps[-1] < NEAR))
