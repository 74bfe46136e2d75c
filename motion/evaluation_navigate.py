"""How well people walk through rooms and sit in them: DIMOS's measures of each way of doing it, room by room.

Mean and best of several seeds, with intervals, on the rooms of a folder and on generated rooms that nobody learnt in.
What has been measured is kept, room by room, and a long evaluation goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from models.body.model import BodyModel, load_body
from models.body.pose import motion_joints
from models.motion import Motion
from models.objectives import foot_skate, jerk
from models.scene.reading import read_scene
from models.scene.rooms import make_room, routes
from models.scene.scene import Scene
from motion.navigation.footing import finished
from motion.navigation.goal_policy import GoalPolicy
from motion.navigation.metrics import diversity, measure
from motion.navigation.routes import NEAR
from motion.navigation.settling import state_of
from motion.navigation.surveyed import Surveyed, survey
from motion.navigation.tasks import Place, Task
from motion.navigation.tour import Guides, by_own_way, tour
from motion.navigation.walking import Lead, Search, walk
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made

ROWS = ("straight", "policy", "search", "scene policy", "scene search", "path", "dip", "hybrid")
"""Straight at the goal through whatever stands there; the goal policy led along the path, alone and with search; the
scene policy, alone and with its tree search; optimised noise; DIP; DIP's objectives on primitives."""
SITTING = ("sit", "sit policy", "sit search")
"""Brought down by the words and bent into the pose, as `laban navigate` does it; the policy of acts, alone and with its
tree search."""
SLOW = ("scene search", "path", "dip", "hybrid")
SOFTER = 20.0
"""Metres that a penetration of nothing is taken to be when ways are ranked: contact and distance in the same order."""
SAT = 0.02
"""Metres from the pose within which somebody sits."""
UP_AGAIN, UPRIGHT = 0.8, 0.5
"""Metres of pelvis height, and of the head above it, of somebody who has stood up."""
BOOTSTRAPS = 1000
VERSION = 2


@dataclass(frozen=True, eq=False)
class Walkers:
    """What the rows are made with."""

    network: PrimitiveModel
    policy: GoalPolicy
    scene_policy: GoalPolicy
    act_policy: GoalPolicy | None = None
    body: BodyModel = field(default_factory=load_body)
    gait: str = "walk"
    search: Search = field(default_factory=lambda: Search(tries=16))
    digests: tuple[str, str, str, str] = ("", "", "", "")
    """Of the weights of the network and of the three policies: what was made by others is measured anew."""

    def made_by(self, row: str) -> str:
        """Digest of the weights that a row uses."""
        policy = 2 if row.startswith("scene ") else 3 if row in ("sit policy", "sit search") else 1
        return f"{self.digests[0]} {self.digests[policy]}"


@dataclass(frozen=True)
class Result:
    """One way or one stay; `measured` is None where nothing came of it."""

    room: str
    row: str
    case: int
    seed: int
    reached: bool
    measured: dict[str, float | None]
    work: float
    """Seconds."""


# -------------------------------------------------------------------------------------------------------------- rooms


def rooms_of(folder: Path | None, generated: int, *, first: int = 0) -> list[Scene]:
    """The rooms of a folder with `rooms.json`, and so many held-out generated ones; LabanError for no room at all."""
    scenes = []
    if folder is not None:
        listed = folder / "rooms.json"
        if not listed.is_file():
            raise LabanError(f"--rooms {folder}: no rooms.json; expected a folder with that file and its meshes")
        for about in json.loads(listed.read_text(encoding="utf-8")).values():
            if (folder / about["mesh"]).is_file():
                scenes.append(read_scene(folder / about["mesh"]))
    scenes += [make_room(first + seed, held_out=True) for seed in range(generated)]
    if not scenes:
        raise LabanError("no rooms; accepted: --rooms FOLDER, --generated N")
    return scenes


def cases_of(room: Surveyed, count: int, seed: int = 0) -> list[tuple[Place, Place]]:
    """Start and goal of ways: those that came with the room, ends that no body fits on moved to the nearest free
    place, or else drawn on connected floor."""
    found = [(room.free(start), room.free(goal)) for start, goal in room.scene.routes[:count]]
    if found:
        return [(start, goal) for start, goal in found if room.area(start) == room.area(goal)]
    drawn = routes(room.scene, room.walkable, count, seed)
    return [((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) for a, b in drawn]


# --------------------------------------------------------------------------------------------------------------- ways


def gone(row: str, walkers: Walkers, room: Surveyed, cases: Sequence[tuple[Place, Place]], seed: int) -> list[Motion]:
    """Every way of a room as one of `ROWS` goes it."""
    paths = [room.path(*case) for case in cases]
    lead = Lead(walkers.network, walkers.policy, walkers.gait, room.onward if row == "search" else None)
    alone = Search(tries=1, firm=0.0, turn=0.0, seed=seed)
    if row == "straight":
        paths = [np.array(case, np.float64) for case in cases]
    if row in ("straight", "policy", "search"):
        how = replace(walkers.search, seed=seed) if row == "search" else alone
        return [_motion(went.made, walkers) for went in walk(lead, paths, room.distance, how)]
    if row in ("scene policy", "scene search"):
        return [_in_world(walkers, room, path, seed, search=row == "scene search") for path in paths]
    guides = Guides(walkers.network, walkers.policy, walkers.body, walkers.gait, seed=seed, method=row)
    return [by_own_way(guides, room, path).motion for path in paths]


def _motion(made: Sequence[Made], walkers: Walkers) -> Motion:
    return finished(made, walkers.network)


def _in_world(walkers: Walkers, room: Surveyed, path: Float[ndarray, "points 2"], seed: int, *, search: bool) -> Motion:
    """One way in the scene world, up to the primitive in which one is there."""
    from motion.navigation.reaching import attempts
    from motion.navigation.scene_world import on_path, prepared
    from motion.navigation.search import SearchConfig

    world = on_path(walkers.network, prepared([room.scene], [room.walkable], [[path]], grids=[room.distance]))
    config = SearchConfig(first=32, children=8, expanded=4, seed=seed) if search else None
    torch.manual_seed(seed)
    went = attempts(world, walkers.scene_policy, config=config)
    valid = went.valid[0]
    return _motion([Made(went.rotations[:, valid], went.pelvis[:, valid])], walkers)


def ways(
    row: str, walkers: Walkers, room: Surveyed, cases: Sequence[tuple[Place, Place]], seeds: int
) -> tuple[list[Result], list[float]]:
    """Results of all seeds, and each case's diversity over them."""
    found, motions = list[Result](), list[list[Motion]]()
    for seed in range(seeds):
        began = time.monotonic()
        motions.append(gone(row, walkers, room, cases, seed))
        work = (time.monotonic() - began) / max(len(cases), 1)
        for number, (motion, (_, goal)) in enumerate(zip(motions[-1], cases, strict=True)):
            own = measure(motion, walkers.body, room.place, goal)
            plain = own.to_json() | _natural(motion)
            found.append(Result(room.scene.name, row, number, seed, own.distance <= NEAR, plain, work))
    joints = [[motion_joints(one[k])[0, :, :22] for one in motions] for k in range(len(cases))]
    return found, [diversity(own) for own in joints]


def _natural(motion: Motion) -> dict[str, float]:
    """Sliding of feet in contact, m/s, and mean jerk, m/s3: 22 held-out real walks have 0.13 and 162 at 30 fps."""
    joints = torch.from_numpy(motion_joints(motion)[0, :, :22]).float()
    return {"skate": round(float(foot_skate(joints, motion.fps)), 4), "jerk": round(float(jerk(joints, motion.fps)), 2)}


# ------------------------------------------------------------------------------------------------------------ sitting


def sat(row: str, walkers: Walkers, room: Surveyed, seed: int, *, most: int = 4) -> list[Result]:
    """Sitting down on each seat of a room from a start pose of its own, staying, and standing up again, as one of
    `SITTING` does it (policies begin before the seat)."""
    found, rng = list[Result](), np.random.default_rng([seed, len(room.scene.objects)])
    seats = [one.name for one in room.scene.objects if one.affords == "sit"][:most]
    for number, name in enumerate(seats):
        try:
            start = _near(room, name, rng)
        except LabanError:
            continue  # no floor before it: nobody gets there
        began = time.monotonic()
        if row == "sit":
            down, up, done = _toured(walkers, room, name, start, seed)
        else:
            down, up, done = _acted(walkers, room, name, seed, search=row == "sit search")
        work = time.monotonic() - began
        own = measure(down, walkers.body, room.place)
        plain = own.to_json() | _natural(down) | {"stood up": float(_upright(up))}
        found.append(Result(room.scene.name, row, number, seed, done, plain, work))
    return found


def _toured(walkers: Walkers, room: Surveyed, name: str, start: Place, seed: int) -> tuple[Motion, Motion, bool]:
    """Down and up as `laban navigate` does it, and whether one sat."""
    tasks = [Task("sit", "a person sits down", name=name), Task("stand", "a person stands up")]
    guides = Guides(walkers.network, walkers.policy, walkers.body, walkers.gait, walkers.search, seed)
    legs = {leg.task.kind: leg for leg in tour(guides, room, start, tasks)}
    return legs["sit"].motion, legs["stand"].motion, legs["sit"].done


def _acted(walkers: Walkers, room: Surveyed, name: str, seed: int, *, search: bool) -> tuple[Motion, Motion, bool]:
    """Down and up by the policy of acts, and whether it came into the pose."""
    from models.scene.seating import sitting_pose
    from motion.navigation.reaching import attempts
    from motion.navigation.room_stack import stack_rooms
    from motion.navigation.search import SearchConfig
    from motion.navigation.seat_world import at_seat

    pose = sitting_pose(room.scene, room.scene.object(name), walkers.body)
    world = at_seat(walkers.network, room.scene, stack_rooms([room.distance], [room.walkable]), pose)
    config = SearchConfig(first=32, children=8, expanded=4, seed=seed) if search else None
    torch.manual_seed(seed)
    found = list[tuple[Motion, bool]]()
    for rising in (False, True):
        if rising:
            world.begin(state_of(found[0][0], walkers.network), rising=True)
        went = attempts(world, walkers.act_policy, seconds=8.0, config=config)
        valid = went.valid[0]
        made = Made(went.rotations[:, valid], went.pelvis[:, valid])
        found.append((finished([made], walkers.network, room.scene.floor), bool(went.reached[0])))
    (down, done), (up, _) = found
    return down, up, done


def _near(room: Surveyed, name: str, rng: np.random.Generator) -> Place:
    """A free place about a metre and a half from an object, from which it can be reached."""
    thing = room.scene.object(name)
    area = room.area(room.beside(name, (thing.center[0] + thing.facing[0], thing.center[2] + thing.facing[1])))
    cells = np.argwhere(room.walkable.areas == area)
    places = room.walkable.centers_of(cells)
    gaps = np.linalg.norm(places - [thing.center[0], thing.center[2]], axis=1)
    near = places[(gaps > 1.0) & (gaps < 2.5)]
    x, z = (near if len(near) else places)[rng.integers(len(near) if len(near) else len(places))].tolist()
    return x, z


def _upright(motion: Motion) -> bool:
    joints = motion_joints(motion)[0, -1]
    return bool(joints[0, 1] > UP_AGAIN and joints[15, 1] - joints[0, 1] > UPRIGHT)


# --------------------------------------------------------------------------------------------------------------- report


@dataclass(frozen=True)
class Summary:
    """A row over rooms: each measure as (mean, low, high), and the mean of each case's best seed."""

    row: str
    rooms: int
    cases: int
    seeds: int
    mean: dict[str, tuple[float, float, float]]
    best: dict[str, float]
    by_room: dict[str, dict[str, float]]


def summary(row: str, results: Sequence[Result], diversities: Sequence[float]) -> Summary:
    """The figures of one row; intervals are 95 % bootstraps over cases, the best seed is that of the least cost."""
    names = [*results[0].measured, "success", "work"]
    cases = sorted({(one.room, one.case) for one in results})
    by_case = {case: [one for one in results if (one.room, one.case) == case] for case in cases}
    values = {name: np.array([_mean([_value(one, name) for one in by_case[case]]) for case in cases]) for name in names}
    best = {name: _mean([_value(min(by_case[case], key=_cost), name) for case in cases]) for name in names}
    mean = {name: _interval(own) for name, own in values.items()}
    if any(math.isfinite(one) for one in diversities):
        mean["diversity"] = _interval(np.array(diversities))
    rooms = sorted({room for room, _ in cases})
    by_room = {room: {name: _mean([float(v) for v, (own, _) in zip(values[name], cases, strict=True) if own == room])
                      for name in names} for room in rooms}  # fmt: skip
    return Summary(row, len(rooms), len(cases), len({one.seed for one in results}), mean, best, by_room)


def _value(result: Result, name: str) -> float:
    if name in ("success", "work"):
        return float(result.reached) if name == "success" else result.work
    value = result.measured[name]
    return float("nan") if value is None else float(value)


def _cost(result: Result) -> float:
    """What tells the best of several seeds: first to be there, then contact, what is touched, floor."""
    found = {name: value for name, value in result.measured.items() if value is not None}
    return (10.0 * (not result.reached) - found.get("contact", 0.0) - found.get("walkable", 0.0)
            + found.get("penetration", 0.0) / SOFTER)  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if math.isfinite(value)]
    return float(np.mean(kept)) if kept else float("nan")


def _interval(values: Float[ndarray, " cases"]) -> tuple[float, float, float]:
    kept = values[np.isfinite(values)]
    if not len(kept):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(0).choice(kept, (BOOTSTRAPS, len(kept))).mean(1)
    return float(kept.mean()), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


# ---------------------------------------------------------------------------------------------------------- all of it


@dataclass(frozen=True)
class Asked:
    """What is measured."""

    rows: tuple[str, ...] = ("straight", "policy", "search")
    cases: int = 20
    slow: int = 2
    """Ways of each room that the slow rows go."""
    seeds: int = 1
    sit: bool = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        if unknown := [row for row in self.rows if row not in (*ROWS, *SITTING)]:
            raise LabanError(f"--row {unknown[0]}; accepted: {', '.join((*ROWS, *SITTING))}")


def evaluate_navigate(
    scenes: Sequence[Scene], walkers: Walkers, asked: Asked = Asked(), *,
    finished: Callable[[int], None] = lambda rooms: None,
) -> list[Summary]:  # fmt: skip
    """The rows over all rooms, and sitting; `finished` is told of each room of each row."""
    found: dict[str, tuple[list[Result], list[float]]] = {}
    for scene in scenes:
        room = survey(scene, cache=asked.cache)
        cases = cases_of(room, asked.cases)
        for row in (*asked.rows, *(("sit",) if asked.sit else ())):
            own = cases[: asked.slow] if row in SLOW else cases
            results, spread = _kept(row, walkers, room, own, asked)
            into = found.setdefault(row, ([], []))
            into[0].extend(results)
            into[1].extend(spread)
            finished(1)
    return [summary(row, *found[row]) for row in found if found[row][0]]


def _kept(
    row: str, walkers: Walkers, room: Surveyed, cases: Sequence[tuple[Place, Place]], asked: Asked
) -> tuple[list[Result], list[float]]:
    """Results of a room and row, from the cache where they are there."""
    about = [VERSION, row, room.scene.name, [list(a + b) for a, b in cases], asked.seeds, walkers.made_by(row),
             walkers.gait, repr(walkers.search)]  # fmt: skip
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    path = None if asked.cache is None else asked.cache / f"navigate-{key}.json"
    if path is not None and path.is_file():
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return [Result(**one) for one in content["results"]], [float(one) for one in content["diversity"]]
    if row in SITTING:
        results, spread = [one for seed in range(asked.seeds) for one in sat(row, walkers, room, seed)], list[float]()
    else:
        results, spread = ways(row, walkers, room, cases, asked.seeds)
    if path is not None:
        plain = {"results": [one.__dict__ for one in results], "diversity": spread}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(plain), encoding="utf-8")
    return results, spread
