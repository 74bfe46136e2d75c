"""People who sit down, lie down and get up again on furniture, hundreds at once (DIMOS's interaction task).

A `GoalWorld` whose goal is a whole pose: `models.scene.seating` says how a body sits on an object, and whoever is there
has to stand in front of it next. They see where each of their joints has to go, and how far it is from what is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from models import objectives
from models.body.model import BodyModel
from models.diffusion.denoiser import Condition
from models.formats.arrays import read_npz
from models.representation import primitive
from models.scene.scene import Scene
from models.scene.seating import GoalPose, lying_pose, sitting_pose
from motion.navigation.goal_env import Gait, Gaits, GoalTask, GoalWorld, Mover, read_gaits
from motion.navigation.room_stack import RoomStack
from motion.primitives.control import toe_level, world_joints
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made, State, standing

NEAR = 0.5
"""Metres from things beyond which their distance is not seen."""
BEFORE = (0.15, 0.45)
"""Metres in front of a seat's edge where the pelvis of somebody is who stands there before: hardly a step."""
BESIDE, TURNED = 0.15, 0.5
"""Metres beside the middle of the seat, and radians off its direction, up to which one may stand then."""
BELOW = 0.2
"""Metres of pelvis height above the floor below which somebody lies on it."""
FEATURES = 8
"""Numbers that are seen of each joint: direction and distance of its goal, distance and slope of what is there."""

MANNERS: tuple[Gait, ...] = (
    Gait("sit", "a person sits down", "a person stands up", "a person stands up"),
    Gait("lie", "a person lies down", "a person gets up", "a person gets up"),
)
"""What is said: on the way down, and up. A `Gait` has three texts; here the last two are the same."""


@dataclass(frozen=True)
class SeatRewards:
    """Weights of a primitive's rewards, as DIMOS names them."""

    goal: float = 4.0
    """Nearer to the pose: by how much the root of the mean distance of joints, metres, has fallen."""
    success: float = 1.0
    """Being within `SeatTask.success` of the pose at any frame."""
    facing: float = 0.1
    """Of radians between the heading and the pose's."""
    skate: float = 0.8
    floor: float = 4.0
    """Of metres that the lowest joint is below the floor, or above both the floor and where it is in the pose."""
    penetration: float = 1.0
    """Of metres that spheres about the joints reach into things, summed over joints."""
    prior: float = 0.05
    fall: float = 2.0


@dataclass(frozen=True)
class SeatTask(GoalTask):
    """Sitting, lying and getting up."""

    gaits: tuple[Gait, ...] = MANNERS
    success: float = 0.15
    """Metres: mean distance of the joints from the pose."""
    hurry: float = 0.1
    """Of `goal` that is paid for in a primitive: nobody drops onto a seat."""
    patience: int = 40
    lost: int = 24
    restart: float = 0.02
    radius: float = 0.05
    """Metres about the joints that are kept out of things: less than the flesh that a seat presses."""
    rewards: SeatRewards = field(default_factory=SeatRewards)  # type: ignore[assignment]


@dataclass(frozen=True)
class Seats:
    """Places to sit or lie, of several rooms."""

    room: Int[Tensor, " seats"]
    manner: Int[Tensor, " seats"]
    """0 to sit, 1 to lie: rows of `MANNERS`."""
    rotations: Float[Tensor, "seats 22 3 3"]
    pelvis: Float[Tensor, "seats 3"]
    front: Float[Tensor, "seats 2"]
    """Middle (x, z) of the front edge, or of the side of a bed where one gets up."""
    heading: Float[Tensor, " seats"]
    """Radians: the direction in which one sits down from there."""
    lowest: Float[Tensor, " seats"]
    """Metres above the floor of the pose's lowest joint."""

    def __len__(self) -> int:
        return len(self.room)


@dataclass(frozen=True)
class Place:
    """A pose on furniture, and the edge in front of which one stands before."""

    room: int
    manner: int
    """0 to sit, 1 to lie."""
    pose: GoalPose
    front: tuple[float, float]
    heading: float


def seats_in(scenes: Sequence[Scene], body: BodyModel, *, cache: Path | None = None, quiet: bool = False) -> Seats:
    """Every object of the rooms that affords something, with the pose on it; kept in `cache` (npz) if given.

    Objects without a level place are left out. LabanError where nothing is left.
    """
    names = [f"{scene.name}/{thing.name}" for scene in scenes for thing in scene.objects if thing.affords]
    if cache is not None and cache.exists() and (kept := _kept(cache, names)) is not None:
        return kept
    rows: list[Place] = []
    with progress("seats", len(names), quiet=quiet) as advance:
        for number, scene in enumerate(scenes):
            for thing in scene.objects:
                if thing.affords:
                    rows += _posed(number, scene, thing.name, body)
                    advance(1)
    if not rows:
        raise LabanError("rooms: nothing in them can be sat or lain on")
    seats = seats_of(rows)
    if cache is not None:
        with atomic_path(cache) as temporary:
            arrays = {name: getattr(seats, name).numpy() for name in Seats.__dataclass_fields__}
            np.savez(temporary, names=np.array("\n".join(names).encode()), **arrays)
    return seats


def seats_of(places: Sequence[Place]) -> Seats:
    """Places to sit or lie in one batch."""
    poses = [place.pose for place in places]
    return Seats(torch.tensor([place.room for place in places]), torch.tensor([place.manner for place in places]),
                 torch.stack([pose.rotations for pose in poses]), torch.stack([pose.pelvis for pose in poses]),
                 torch.tensor([place.front for place in places]),
                 torch.tensor([place.heading for place in places]),
                 torch.stack([pose.joints[:, 1].min() for pose in poses]))  # fmt: skip


def place_on(room: int, scene: Scene, pose: GoalPose) -> Place:
    """A pose on furniture of a room, with where one stands before."""
    return Place(room, int(pose.lies), pose, *_edge(scene, pose))


def _posed(room: int, scene: Scene, name: str, body: BodyModel) -> list[Place]:
    thing = scene.object(name)
    try:
        pose = (lying_pose if thing.affords == "lie" else sitting_pose)(scene, thing, body)
    except LabanError:
        return []
    return [place_on(room, scene, pose)]


def _edge(scene: Scene, pose: GoalPose) -> tuple[tuple[float, float], float]:
    """(x, z) of the edge in front of which one stands, and the heading there: of a bed a side with room beside it."""
    seat = pose.seat
    if not pose.lies:
        return seat.middle, seat.yaw
    sides = []
    for turn in (math.pi / 2, -math.pi / 2):
        heading = seat.yaw + turn
        direction = np.array([math.sin(heading), math.cos(heading)])
        edge = pose.pelvis[[0, 2]].numpy() + seat.width / 2 * direction
        sides.append((_beside(scene, edge + BEFORE[1] * direction), (float(edge[0]), float(edge[1])), heading))
    return max(sides, key=lambda side: side[0])[1:]


def _beside(scene: Scene, place: Float[np.ndarray, "2"]) -> float:
    """Metres from a place (x, z) to the room's edge and to the boxes of its furniture; negative inside."""
    gap = float(np.minimum(place - scene.low[[0, 2]], scene.high[[0, 2]] - place).min())
    for one in scene.objects:
        if not one.walkable:
            low, high = np.array(one.low)[[0, 2]], np.array(one.high)[[0, 2]]
            gap = min(gap, float(np.maximum(low - place, place - high).max()))
    return gap


def _kept(cache: Path, names: list[str]) -> Seats | None:
    stored = read_npz(cache, ("names", *Seats.__dataclass_fields__))
    names_then = stored.pop("names", np.array(b"")).item()
    if bytes(names_then).decode() != "\n".join(names) or set(stored) != set(Seats.__dataclass_fields__):
        return None
    return Seats(**{name: torch.from_numpy(array) for name, array in stored.items()})


class SeatWorld(GoalWorld):
    """People at seats: half of them stand before theirs and go down, the others get up; then the other way round."""

    own = ("goal", "gait", "age", "seat", "rising", "target")
    extra = FEATURES * 22 + 2
    """Of each joint, then the mean distance of joints and whether one is to get up."""

    def __init__(
        self, network: PrimitiveModel, people: int, stack: RoomStack, seats: Seats, *, move: Mover | None = None,
        task: SeatTask = SeatTask(), gaits: Gaits | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        device = network.mean.device
        self.stack, self.seats, self.radius, self.hurry = stack.to(device), seats, task.radius, task.hurry
        self.seat = torch.zeros(people, dtype=torch.long, device=device)
        self.rising = torch.zeros(people, dtype=torch.bool, device=device)
        self.target = torch.zeros(people, 22, 3, device=device)
        self.level = toe_level(network)
        super().__init__(network, people, move=move, task=task, gaits=gaits or read_gaits(network, task.gaits),
                         seed=seed)  # fmt: skip

    def paces(self) -> Float[Tensor, " gaits"]:
        """Nobody is paid for a pace here."""
        return torch.zeros(len(self.task.gaits))

    @property
    def room(self) -> Int[Tensor, " people"]:
        """The number of each person's room."""
        return self.seats.room.to(self.seat.device)[self.seat]

    def condition(self) -> Condition:
        """What is said to each person now."""
        return self.gaits.rows(3 * self.gait + self.rising.long())

    def start_anew(self, who: Bool[Tensor, " people"]) -> None:
        """These people are at some seat: before it, or on it to get up."""
        drawn = torch.rand(2, self.people, generator=self.generator).to(self.target)
        self.seat = torch.where(who, (drawn[0] * len(self.seats)).long(), self.seat)
        self.rising = torch.where(who, drawn[1] < 0.5, self.rising)
        self.gait = torch.where(who, self.seats.manner.to(self.seat.device)[self.seat], self.gait)
        self.age = torch.where(who, 0, self.age)
        seated, before = self.seated(), self.before()
        pick = self.rising[:, None, None]
        begins = State(torch.where(pick[..., None, None], seated.rotations, before.rotations),
                       torch.where(pick, seated.pelvis, before.pelvis))  # fmt: skip
        self.put(who, begins)
        self.aim(who, torch.where(self.rising[:, None, None], self.joints(before), self.joints(seated)))

    def retarget(self, who: Bool[Tensor, " people"]) -> None:
        """These people start anew."""
        if bool(who.any()):
            self.start_anew(who)

    def begin(self, state: State, *, rising: bool) -> None:
        """Everybody is as in `state` and goes down on the seat they have, or gets up in front of it."""
        self.state = State(state.rotations.to(self.target), state.pelvis.to(self.target))
        everybody = torch.ones_like(self.rising)
        self.rising, self.age = everybody & rising, torch.zeros_like(self.age)
        self.aim(everybody, self.joints(self.before() if rising else self.seated()))

    def go_on(self, reached: Bool[Tensor, " people"]) -> None:
        """Who sits or lies gets up next, and who is up goes down again."""
        if not bool(reached.any()):
            return
        self.rising = self.rising ^ reached
        pick = self.rising[:, None, None]
        self.aim(reached, torch.where(pick, self.joints(self.before()), self.joints(self.seated())))

    def aim(self, who: Bool[Tensor, " people"], target: Float[Tensor, "people 22 3"]) -> None:
        """These people have this pose for a goal."""
        self.target = torch.where(who[:, None, None], target, self.target)
        self.goal = torch.where(who[:, None], target[:, 0, 0::2], self.goal)

    def seated(self) -> State:
        """Everybody on their seat, at rest."""
        rotations, pelvis = (one.to(self.target)[self.seat] for one in (self.seats.rotations, self.seats.pelvis))
        return State(rotations[:, None].expand(-1, 2, -1, -1, -1), pelvis[:, None].expand(-1, 2, -1))

    def before(self) -> State:
        """Everybody stands in front of their seat, somewhere."""
        drawn = torch.rand(3, self.people, generator=self.generator).to(self.target)
        heading = self.seats.heading.to(self.target)[self.seat]
        ahead = BEFORE[0] + (BEFORE[1] - BEFORE[0]) * drawn[0]
        aside = BESIDE * (2 * drawn[1] - 1)
        sin, cos = heading.sin(), heading.cos()
        x, z = self.seats.front.to(self.target)[self.seat].unbind(-1)
        places = torch.stack([x + ahead * sin + aside * cos, torch.zeros_like(x), z + ahead * cos - aside * sin], -1)
        return standing(self.network, self.people, places=places, headings=heading + TURNED * (2 * drawn[2] - 1),
                        dtype=torch.float32)  # fmt: skip

    def joints(self, state: State) -> Float[Tensor, "people 22 3"]:
        """Where the joints of everybody's last frame are."""
        return world_joints(self.network, state.rotations[:, -1:], state.pelvis[:, -1:])[:, 0]

    def lifted(self) -> Float[Tensor, "people 3"]:
        """Metres, upwards, that everybody's lowest joint is above the floor in their pose: on a bed, or a high seat."""
        pose = self.seats.lowest.to(self.target)[self.seat]
        zero = torch.zeros_like(pose)
        return torch.stack([zero, (pose - self.level).clamp_min(0), zero], -1)

    def observation(self) -> Float[Tensor, "people seen"]:
        """As in a goal world, then what is seen of each joint (DIMOS): all in the frame of the body's heading."""
        joints = self.joints(self.state)
        back = primitive.placement(self.state.rotations, self.state.pelvis).turn.transpose(-1, -2)
        away = self.target - joints
        distance = away.square().sum(-1, keepdim=True).clamp_min(1e-6).sqrt()
        gap = self.stack.gaps(self.room, joints)[..., None]
        near = (gap < NEAR).to(gap)
        slope = self.stack.slopes(self.room, joints) * near
        turned = [(back[:, None] @ vector[..., None])[..., 0] for vector in (away / distance, slope)]
        each = torch.cat([*turned, distance, gap.clamp(-NEAR, NEAR)], -1).flatten(1)
        rest = torch.stack([distance.mean((1, 2)), self.rising.to(each)], -1)
        return torch.cat([super().observation(), each, rest], -1)

    def judged(self, before: State, made: Made, noise: Tensor) -> dict[str, Float[Tensor, " people"]]:
        """Terms by DIMOS's names."""
        joints = world_joints(self.network, torch.cat([before.rotations[:, -1:], made.rotations], 1),
                              torch.cat([before.pelvis[:, -1:], made.pelvis], 1))  # fmt: skip
        new, room = joints[:, 1:], self.room
        gaps = (joints - self.target[:, None]).square().sum(-1).clamp_min(1e-6).sqrt().mean(-1)
        heading = objectives.facing(self.target[:, None])[:, 0]
        lowest = new[:, -1, 0, 1]
        return {
            "goal": gaps[:, 0].sqrt() - gaps[:, -1].sqrt(),
            "success": (gaps[:, 1:].detach().amin(-1) < self.task.success).to(joints),
            "facing": -objectives.orientation(joints[:, -1:], heading),
            "skate": -objectives.foot_skate_soft(joints, FPS, floor=joints.new_full((len(joints),), self.level)),
            "floor": -objectives.floor_penetration(joints, floor=self.level - 0.02)
            - objectives.floating(joints - self.lifted()[:, None, None], floor=self.level + 0.02),
            "penetration": -objectives.scene_penetration(
                new, lambda points: self.stack.gaps(room, points), self.radius
            ),
            "prior": -(noise.flatten(1).square().mean(-1) - 1).clamp_min(0),
            "fall": -(lowest < BELOW).to(joints),
        }  # fmt: skip

    def paid(self, terms: dict[str, Float[Tensor, " people"]]) -> dict[str, Float[Tensor, " people"]]:
        """Nobody is paid for hurrying."""
        return {**terms, "goal": terms["goal"].clamp_max(self.hurry)}


def at_seat(
    network: PrimitiveModel, scene: Scene, stack: RoomStack, pose: GoalPose, *, rising: bool = False,
    start: State | None = None, people: int = 1, gaits: Gaits | None = None,
) -> SeatWorld:  # fmt: skip
    """People who are to take a pose on furniture, or to get up from it: as in `start`, or before it, or in it."""
    world = SeatWorld(network, people, stack, seats_of([place_on(0, scene, pose)]), gaits=gaits)
    world.gait = torch.full_like(world.gait, int(pose.lies))
    world.begin(start or (world.seated() if rising else world.before()), rising=rising)
    return world
