"""People who walk through furnished rooms, hundreds at once and many rooms in one batch (after DIMOS).

Zhao et al., ICCV 2023. A `GoalWorld` in which the goal runs ahead of each person on a path that was found, as far as it
can be seen, and in which they also see the walkable floor around them. The action is the noise of the next primitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models import objectives
from models.representation import primitive
from models.scene.distance import SdfGrid, sdf_of
from models.scene.paths import find_path
from models.scene.rooms import make_room, routes
from models.scene.scene import Scene
from models.scene.walkable import BodySize, Walkable, walkable_of
from motion.navigation.goal_env import GAITS, Gait, Gaits, GoalTask, GoalWorld, Mover, judged
from motion.navigation.room_stack import SIDE, RoomStack, stack_rooms
from motion.navigation.walking import Ways, ways_of
from motion.primitives.control import world_joints
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made, State, standing

FARTHEST = 5.0
"""Metres; a path that is longer is seen as being so long."""
LOOKS = (1.4, 1.1, 0.85, 0.6, 0.4)
"""Metres ahead on the path where the goal may be: the first that a straight way leads to, else the last."""
SAMPLES = 8
"""Points of a straight way that have to be free."""
SEEING = 0.18
"""Metres of radius of who goes that straight way."""
ASIDE = 0.9
"""Radians that somebody may look aside of the path who stands at its beginning."""
CELLS = 64
"""Nodes of a training room's distance grid along each axis."""


@dataclass(frozen=True)
class SceneRewards:
    """Weights of a primitive's rewards, as DIMOS names them; its units are `goal_env.Rewards`'s."""

    goal: float = 1.0
    """A metre nearer to the goal that runs ahead on the path, up to the gait's own pace."""
    success: float = 1.0
    """Being within `GoalTask.success` of the path's end at any frame."""
    facing: float = 0.2
    """Of radians between the body's heading and the goal's direction."""
    skate: float = 0.4
    floor: float = 4.0
    penetration: float = 1.5
    """Of metres that spheres about the joints reach into walls and furniture, summed over joints."""
    prior: float = 0.05
    """Of how far the squared noise is above what Gaussian noise has: the pose prior of primitives."""
    fall: float = 2.0


@dataclass(frozen=True)
class SceneTask(GoalTask):
    """Walking through rooms; `nearest` and `farthest` play no part, as paths say where goals are."""

    gaits: tuple[Gait, ...] = GAITS[:3]
    patience: int = 75
    lost: int = 40
    restart: float = 0.06
    radius: float = 0.09
    """Metres about the joints that are kept out of things."""
    rewards: SceneRewards = field(default_factory=SceneRewards)  # type: ignore[assignment]


@dataclass(frozen=True)
class Tours:
    """Ways through rooms; each goes on where another one ends."""

    ways: Ways
    room: Int[Tensor, " ways"]
    after: Int[Tensor, " ways"]
    """The way that begins where this one ends."""


@dataclass(frozen=True)
class Rooms:
    """Rooms with what has been worked out of them, and the tours through them."""

    scenes: tuple[Scene, ...]
    grids: tuple[SdfGrid, ...]
    plans: tuple[Walkable, ...]
    stack: RoomStack
    tours: Tours


def rooms_of(
    scenes: Sequence[Scene], *, places: int = 6, seed: int = 0, cells: int = CELLS, cache: Path | None = None
) -> Rooms:
    """Rooms in which everybody walks round a tour of random places on connected free floor; grids kept in `cache`."""
    plans = [walkable_of(scene, BodySize()) for scene in scenes]
    tours = [_tour(scene, plan, places, seed) for scene, plan in zip(scenes, plans, strict=True)]
    grids = [sdf_of(scene, cells, cache=cache) for scene in scenes]
    return prepared(scenes, plans, tours, grids=grids)


def prepared(
    scenes: Sequence[Scene], plans: Sequence[Walkable], tours: Sequence[Sequence[Float[ndarray, "_ 2"]]], *,
    grids: Sequence[SdfGrid] | None = None, cells: int = CELLS,
) -> Rooms:  # fmt: skip
    """Rooms with given tours: paths (x, z) of each, the last of which is followed by the first."""
    if not scenes or not all(tours):
        raise LabanError("rooms: expected one or more, with a path or more in each")
    grids = grids or [sdf_of(scene, cells) for scene in scenes]
    after, room = list[int](), list[int]()
    for k, paths in enumerate(tours):
        first = len(after)
        after += [first + (i + 1) % len(paths) for i in range(len(paths))]
        room += [k] * len(paths)
    ways = ways_of([path for paths in tours for path in paths])
    return Rooms(tuple(scenes), tuple(grids), tuple(plans), stack_rooms(grids, plans),
                 Tours(ways, torch.tensor(room), torch.tensor(after)))  # fmt: skip


def training_rooms(
    count: int, *, seed: int = 0, held_out: bool = False, places: int = 6, cache: Path | None = None
) -> Rooms:
    """Generated rooms with a tour through each; in those of other seeds, or held out, nobody has learnt."""
    scenes = [make_room(1000 * seed + k, held_out=held_out) for k in range(count)]
    return rooms_of(scenes, places=places, seed=seed, cache=cache)


def _tour(scene: Scene, plan: Walkable, places: int, seed: int) -> list[Float[ndarray, "_ 2"]]:
    """Paths from place to place and back to the first."""
    stops = routes(scene, plan, places, seed)[:, 0]
    stops = stops[np.linalg.norm(stops - np.roll(stops, 1, 0), axis=1) > 0.5]
    if len(stops) < 2:
        raise LabanError(f"{scene.name}: no two free places half a metre from each other; accepted: a larger room")
    ends = np.roll(stops, -1, 0)
    return [find_path(plan, tuple(a), tuple(b)) for a, b in zip(stops.tolist(), ends.tolist(), strict=True)]


class SceneWorld(GoalWorld):
    """People in rooms, each on a way with a gait. At its end comes the next way of the tour."""

    own = ("goal", "gait", "age", "way", "metres")
    extra = 1 + SIDE * SIDE
    """Metres left to the end of the way, and the walkability patch."""

    def __init__(
        self, network: PrimitiveModel, people: int, rooms: Rooms, *, move: Mover | None = None,
        task: SceneTask = SceneTask(), gaits: Gaits | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        device = network.mean.device
        self.radius = task.radius
        self.rooms, self.stack, self.tours = rooms, rooms.stack.to(device), rooms.tours
        self.ways = Ways(self.tours.ways.points.to(device), self.tours.ways.length.to(device))
        self.way = torch.zeros(people, dtype=torch.long, device=device)
        self.metres = torch.zeros(people, device=device)
        super().__init__(network, people, move=move, task=task, gaits=gaits, seed=seed)

    @property
    def room(self) -> Int[Tensor, " people"]:
        """The number of each person's room."""
        return self.tours.room.to(self.way.device)[self.way]

    @property
    def end(self) -> Float[Tensor, "people 2"]:
        """Where each person's way ends."""
        return self.ways.at(self.way, self.ways.length[self.way])

    def start_anew(self, who: Bool[Tensor, " people"]) -> None:
        """These people stand at the beginning of some way, looking about in its direction, with another gait."""
        drawn = torch.rand(3, self.people, generator=self.generator).to(self.metres)
        self.way = torch.where(who, (drawn[0] * len(self.tours.after)).long(), self.way)
        self.gait = torch.where(who, (drawn[1] * len(self.task.gaits)).long(), self.gait)
        self.metres, self.age = torch.where(who, 0.0, self.metres), torch.where(who, 0, self.age)
        zero = torch.zeros_like(self.metres)
        place, ahead = self.ways.at(self.way, zero), self.ways.at(self.way, zero + 0.4)
        way = ahead - place
        heading = torch.atan2(way[:, 0], way[:, 1]) + ASIDE * (2 * drawn[2] - 1)
        there = torch.stack([place[:, 0], zero, place[:, 1]], -1)
        self.put(who, standing(self.network, self.people, places=there, headings=heading, dtype=torch.float32))
        self.goal = self.ahead()

    def retarget(self, who: Bool[Tensor, " people"]) -> None:
        """These people start anew: where they are there may be no way on."""
        if bool(who.any()):
            self.start_anew(who)

    def begin(self, state: State) -> None:
        """Everybody is as in `state`, at the beginning of the way they have."""
        self.state = State(state.rotations.to(self.metres), state.pelvis.to(self.metres))
        self.metres, self.age = torch.zeros_like(self.metres), torch.zeros_like(self.age)
        self.goal = self.ahead()

    def go_on(self, reached: Bool[Tensor, " people"]) -> None:
        """Who is at the end of a way has the next one; the goal runs ahead of the others."""
        here = self.state.pelvis[:, -1, 0::2].detach()
        self.way = torch.where(reached, self.tours.after.to(self.way.device)[self.way], self.way)
        found, _ = self.ways.along(self.way, here, torch.where(reached, 0.0, self.metres))
        self.metres = torch.where(reached, found, torch.maximum(found, self.metres))
        self.goal = self.ahead()

    def ahead(self) -> Float[Tensor, "people 2"]:
        """The farthest of a few places ahead on the way that a straight way leads to."""
        here = self.state.pelvis[:, -1, 0::2].detach()
        length = self.ways.length[self.way]
        places = torch.stack([self.ways.at(self.way, torch.minimum(self.metres + look, length)) for look in LOOKS], 1)
        share = torch.linspace(0.25, 1, SAMPLES, device=here.device)[:, None]
        line = here[:, None, None] + share * (places - here[:, None])[:, :, None]
        straight = self.stack.free(self.room, line, SEEING).all(-1)
        straight[:, -1] = True
        first = straight.float().argmax(1)
        return places[torch.arange(len(places), device=first.device), first]

    def observation(self) -> Float[Tensor, "people seen"]:
        """As in a goal world, then the way that is left, and the walkability patch."""
        left = (self.ways.length[self.way] - self.metres).clamp(0, FARTHEST) / FARTHEST
        here = self.state.pelvis[:, -1, 0::2].detach()
        place = primitive.placement(self.state.rotations, self.state.pelvis)
        patch = self.stack.patch(self.room, here, place.turn[:, 0::2, 2].detach())
        return torch.cat([super().observation(), left[:, None].to(patch), patch.flatten(1)], -1)

    def judged(self, before: State, made: Made, noise: Tensor) -> dict[str, Float[Tensor, " people"]]:
        """Terms by DIMOS's names; those of a bare floor are a goal world's."""
        base = judged(self.network, self.task, before, made, self.goal)
        joints = world_joints(self.network, made.rotations, made.pelvis)
        near = (joints[..., 0, 0::2].detach() - self.end[:, None]).norm(dim=-1).amin(-1)
        return {
            "goal": base["progress"], "success": (near < self.task.success).to(joints), "facing": base["orientation"],
            "skate": base["skate"], "floor": base["floor"], "penetration": -self.depth(joints),
            "prior": -(noise.flatten(1).square().mean(-1) - 1).clamp_min(0), "fall": base["fall"],
        }  # fmt: skip

    def depth(self, joints: Float[Tensor, "people frames 22 3"]) -> Float[Tensor, " people"]:
        """Metres by which spheres about the joints reach into each person's room."""
        room = self.room
        return objectives.scene_penetration(joints, lambda points: self.stack.gaps(room, points), self.radius)

    def paid(self, terms: dict[str, Float[Tensor, " people"]]) -> dict[str, Float[Tensor, " people"]]:
        """Nobody is paid for going faster than the gait does."""
        return {**terms, "goal": terms["goal"].minimum(self.pace[self.gait])}


def on_path(
    network: PrimitiveModel,
    rooms: Rooms,
    *,
    gait: str = GAITS[0].name,
    start: State | None = None,
    people: int = 1,
    task: SceneTask = SceneTask(), gaits: Gaits | None = None,
) -> SceneWorld:  # fmt: skip
    """People who are to walk the first way of `rooms` (`prepared` makes them of one's own room and path).

    They are as in `start`, or stand at the way's beginning, facing along it. LabanError for gaits that the task does
    not have.
    """
    names = [one.name for one in task.gaits]
    if gait not in names:
        raise LabanError(f"gait {gait!r}; accepted: {', '.join(names)}")
    world = SceneWorld(network, people, rooms, task=task, gaits=gaits)
    world.gait, world.way = torch.full_like(world.gait, names.index(gait)), torch.zeros_like(world.way)
    zero = torch.zeros_like(world.metres)
    first, ahead = world.ways.at(world.way, zero), world.ways.at(world.way, zero + 0.4)
    if start is None:
        way, places = ahead - first, torch.stack([first[:, 0], zero, first[:, 1]], -1)
        start = standing(network, people, places=places, headings=torch.atan2(way[:, 0], way[:, 1]))
    world.begin(start)
    return world
