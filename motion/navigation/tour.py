"""One person's tour of a room: task after task, each leg going on from the frames of the one before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.model import BodyModel
from models.body.skeleton import NUM_BODY
from models.motion import Motion
from models.representation.primitive import FUTURE
from models.resample import resample
from models.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from models.scene.paths import check_free
from motion.navigation.footing import finished
from motion.navigation.goal_policy import GoalPolicy
from motion.navigation.journey import Journey
from motion.navigation.placing import Target, before, target_on
from motion.navigation.routes import NEAR, usual_speed
from motion.navigation.settling import Settler, places_of, state_of, strung
from motion.navigation.surveyed import Surveyed
from motion.navigation.tasks import Place, Task
from motion.navigation.turning import Stand, turn_about
from motion.navigation.walking import Lead, Search, standing_at, walk
from motion.primitives.control import follow, keep_out, natural, timed_path
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import State, standing
from motion.primitives.steering import SteerConfig, steer

METHODS = ("policy", "path", "dip", "hybrid")
"""By the policy; along the path by optimised noise; DIP on the full-clip generator; DIP on primitives."""
SEAM = 0.4
"""Seconds over which two legs that were made apart are brought together."""
ABOUT = 0.9
"""Radians off the way from which somebody turns about before walking."""
CLOSE = 0.25
"""Metres within which one is where one should go."""


@dataclass(frozen=True, eq=False)
class Leg:
    """One task as it was done, at 30 fps; nothing but the frames that are new."""

    task: Task
    motion: Motion
    path: Float[ndarray, "points 2"] | None = None
    """As planned, (x, z)."""
    goal: Place | None = None
    """Where the pelvis was to be at the end."""
    done: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Guides:
    """Who makes the frames."""

    network: PrimitiveModel
    policy: GoalPolicy
    body: BodyModel
    gait: str = "walk"
    search: Search = field(default_factory=Search)
    seed: int = 0
    method: str = "policy"
    """One of `METHODS`: how ways are gone."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise LabanError(f"--method {self.method}; accepted: {', '.join(METHODS)}")


def tour(
    guides: Guides, room: Surveyed, start: Place, tasks: Sequence[Task], *,
    progress: Callable[[int], None] = lambda primitives: None,
) -> Iterator[Leg]:  # fmt: skip
    """Each task's leg as soon as it is there. Raises LabanError for what cannot be done, before the first leg if it is
    known by then: places that are not free or cannot be reached."""
    plan(room, start, tasks)
    state, place = None, start
    settler = Settler(guides.network, guides.body, room, guides.seed)
    for number, task in enumerate(tasks):
        if task.kind in ("sit", "lie"):
            assert task.name is not None  # by how tasks are read
            target = target_on(room, task.name, task.kind, place, guides.body)
            front = before(room, target, place)
            state = state or _first(guides, room, place, front)
            if math.dist(front, place) > CLOSE:
                leg = _walked(guides, room, state, place, front, Task("go", "", front), number, progress)
                yield leg
                if "interrupted" in leg.notes:
                    return
                state, place = state_of(leg.motion, guides.network), _place(leg.motion, guides)
            leg = Leg(task, settler.settle(state, target, progress), goal=_over(target))
        elif task.kind == "stand":
            assert state is not None  # tasks are in an order in which that is so
            leg = Leg(task, settler.rise(state, task.text, progress))
        elif task.kind == "go":
            goal = _goal(room, place, task)
            state = state or _first(guides, room, place, goal)
            if math.dist(goal, place) <= CLOSE:
                continue
            leg = _walked(guides, room, state, place, goal, task, number, progress)
        else:
            state = state or _first(guides, room, place, None)
            leg = Leg(task, settler.act(state, task.text, progress))
        yield leg
        if "interrupted" in leg.notes:
            return
        state, place = state_of(leg.motion, guides.network), _place(leg.motion, guides)


def plan(room: Surveyed, start: Place, tasks: Sequence[Task]) -> list[Float[ndarray, "points 2"]]:
    """The ways of all tasks that go somewhere, from one goal to the next; LabanError for one that there is not."""
    place, ways = start, []
    check_free(room.walkable, start, "start", room.scene)
    for task in tasks:
        if task.kind != "go":
            if task.name is not None:
                place = room.beside(task.name, place)
            continue
        goal = _goal(room, place, task)
        ways.append(room.path(place, goal))
        place = goal
    return ways


def joined(legs: Sequence[Leg]) -> Motion:
    """All legs as one motion."""
    return strung([leg.motion for leg in legs])


def _goal(room: Surveyed, place: Place, task: Task) -> Place:
    if task.place is not None:
        return task.place
    assert task.name is not None  # a way leads to a place or to a thing
    return room.beside(task.name, place)


def _place(motion: Motion, guides: Guides) -> Place:
    x, z = places_of(motion, guides.network)[-1].tolist()
    return x, z


def _over(target: Target) -> Place:
    x, _, z = target.pose.pelvis.tolist()
    return x, z


def _first(guides: Guides, room: Surveyed, start: Place, goal: Place | None) -> State:
    """Standing at the start, facing along the way that will be gone."""
    if goal is None or math.dist(start, goal) <= CLOSE:
        return standing(guides.network, 1, places=torch.tensor([[start[0], 0.0, start[1]]]), dtype=torch.float32)
    return standing_at(guides.network, [room.path(start, goal)])


def _walked(
    guides: Guides, room: Surveyed, state: State, place: Place, goal: Place, task: Task, number: int,
    progress: Callable[[int], None],
) -> Leg:  # fmt: skip
    path = room.onward(place, goal)
    if guides.method != "policy":
        return _made_otherwise(guides, room, state, path, replace(task, text=task.text or guides.gait), progress)
    search = replace(guides.search, seed=guides.search.seed + 1000 * guides.seed + number)
    gait = task.text if task.kind == "go" and task.text else guides.gait
    generator = torch.Generator().manual_seed(search.seed)
    about = turn_about(guides.network, state, _along_path(path, place), room.distance, generator, progress)
    lead = Lead(guides.network, guides.policy, gait, room.onward)
    went = walk(lead, [path], room.distance, search, start=about[-1].state if about else state, progress=progress)[0]
    motion = finished([*about, *went.made], guides.network, room.scene.floor)
    said = Task("go", gait, goal, task.name)
    notes = (
        ("interrupted",)
        if went.stopped
        else ()
        if went.arrived
        else (f"{went.error:.2f} m short of {goal[0]:.2f},{goal[1]:.2f}",)
    )
    if not went.made:
        raise LabanError(f"goal {goal[0]:g},{goal[1]:g}: no way to go")
    return Leg(said, motion, path, goal, went.arrived, notes)


def _along_path(path: Float[ndarray, "points 2"], place: Place) -> Stand:
    """Standing where one is, looking along the beginning of the path."""
    way = next((corner - place for corner in path[1:] if math.dist(corner, place) > CLOSE), path[-1] - place)
    return Stand(torch.tensor(place, dtype=torch.float32), math.atan2(*way), near=math.inf, facing=ABOUT)


def _made_otherwise(
    guides: Guides, room: Surveyed, state: State, path: Float[ndarray, "points 2"], task: Task,
    progress: Callable[[int], None],
) -> Leg:  # fmt: skip
    """A way by optimised noise or by DIP, which start standing at its beginning: brought together with what was."""
    text = "a person walks forward" if task.text == "walk" else task.text  # the gait of that name
    x, z = path[-1].tolist()
    if guides.method == "path":
        motion = _along(guides, room, state, path, text, progress)
    else:
        motion = by_journey(guides.method, Journey(path, text, scene=room.distance), guides.seed, progress)
        motion = spliced(state, motion, guides.network)
    gap = math.dist(_place(motion, guides), (x, z))
    short = () if gap < NEAR else (f"{gap:.2f} m short of {x:.2f},{z:.2f}",)
    return Leg(Task("go", text, (x, z), task.name), motion, path, (x, z), gap < NEAR, short)


def by_own_way(guides: Guides, room: Surveyed, path: Float[ndarray, "points 2"]) -> Leg:
    """One way alone, from standing at its beginning, by any method but the policy's."""
    return _made_otherwise(guides, room, standing_at(guides.network, [path]), path, Task("go", guides.gait),
                           lambda steps: None)  # fmt: skip


def by_journey(method: str, journey: Journey, seed: int, progress: Callable[[int], None]) -> Motion:
    """A journey as DIP or the hybrid makes it, at 30 fps."""
    if method == "dip":
        from motion.navigation.dip import DipConfig, dip

        return resample(dip(journey, DipConfig(seed=seed), progress=progress).motion, FPS)
    from motion.navigation.hybrid import HybridConfig, hybrid

    return resample(hybrid(journey, HybridConfig(seed=seed), progress=progress).motion, FPS)


def _along(
    guides: Guides, room: Surveyed, state: State, path: Float[ndarray, "points 2"], text: str,
    progress: Callable[[int], None],
) -> Motion:  # fmt: skip
    """Along the path by noise optimisation (`motion.primitives.steering`), keeping out of the furniture."""
    network = guides.network
    places = timed_path(path, max(usual_speed(network, text), 0.4))
    count = -(-len(places) // FUTURE)
    objectives = [follow(places[None]), *natural(network), keep_out(room.distance, 5.0)]
    config = SteerConfig(primitives=count, seed=guides.seed)
    made = steer(network, state, [text], objectives, config, progress=progress).made
    return finished(made, network, room.scene.floor)


def spliced(state: State, motion: Motion, network: PrimitiveModel) -> Motion:
    """A motion that goes on from a state: the difference at its beginning fades away."""
    count = min(round(SEAM * FPS), motion.frames)
    fade = 1 - np.linspace(0, 1, count + 1)[1:]
    fade = fade * fade * (3 - 2 * fade)
    rotations, root = motion.rotations.copy(), motion.root.copy()
    before = state.rotations[0, -1].double().cpu().numpy()
    turn = torch.from_numpy(before @ np.swapaxes(motion.rotations[0, 0, :NUM_BODY].astype(np.float64), -1, -2))
    part = axis_angle_to_matrix(matrix_to_axis_angle(turn)[None] * torch.from_numpy(fade)[:, None, None]).numpy()
    rotations[0, :count, :NUM_BODY] = part @ motion.rotations[0, :count, :NUM_BODY]
    gap = (state.pelvis[0, -1].cpu() - network.rest[0].cpu()).numpy() - motion.root[0, 0]
    root[0, :count] += (fade[:, None] * gap).astype(root.dtype)
    return replace(motion, rotations=rotations, root=root)
