"""`laban navigate`: somebody walks through a furnished room, sits down, and stands up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.generate import DATA_SUFFIXES, check_outputs, parse_size
from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.cli.scene import BodyRadius, Floor, Objects, RoomFile, Scale, Sit, Up
from laban.cli.steer import parse_points
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from models.body.model import BodyModel
    from models.motion import Motion
    from motion.navigation.surveyed import Surveyed
    from motion.navigation.tasks import Task
    from motion.navigation.tour import Leg

Place = tuple[float, float]
MOST = 50
"""Things to do in one call."""


# Every parameter is an option of the command line.
def command(  # noqa: PLR0913
    room: RoomFile,
    start: Annotated[str, typer.Option("--start", help='"x,z": where one stands at first, metres on the floor.')],
    goal: Annotated[
        list[str] | None,
        typer.Option("--goal", help='"x,z", "x,z x,z ..." or an object: where to go, one after the other. Repeatable.'),
    ] = None,
    then: Annotated[
        list[str] | None,
        typer.Option("--then", help='"sit on chair", "lie on bed", "stand up", "go to x,z", "wave". Repeatable.'),
    ] = None,
    text: Annotated[str, typer.Option("--text", help='How to go, such as "walk" or "walk as if exhausted".')] = "walk",
    method: Annotated[
        str, typer.Option("--method", help="policy; path (optimised noise); dip; hybrid (DIP on primitives).")
    ] = "policy",
    search: Annotated[
        int, typer.Option("--search", help="policy: noises that are tried for each 0.27 s; 1: no search.")
    ] = 16,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="File to write (mp4 png glb npz bvh). Repeatable. Default: out/ROOM.mp4"),
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="Plan view to write, with path and trace.")] = None,
    objects: Objects = None,
    sit: Sit = None,
    scale: Scale = None,
    up: Up = None,
    floor: Floor = None,
    body_radius: BodyRadius = 0.25,
    size: Annotated[str, typer.Option("--size", help="Picture size, WIDTHxHEIGHT.")] = "768x576",
    camera: Annotated[str, typer.Option("--camera", help="fixed (the whole room), follow or orbit.")] = "fixed",
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Embedded streaming model or a folder.")
    ] = "primitives_research",
    policy: Annotated[str, typer.Option("--policy", help="Embedded goal policy or a folder.")] = "goal_policy",
    body: Body = None,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Walk somebody through a room without cutting through the furniture; sit down; stand up again."""
    first = _start(start)
    targets = check_outputs(output or [Path("out") / f"{room.stem}.mp4"], 1)[0]
    _check_plan(plan)
    shape, look = parse_size(size), camera
    from models.scene.reading import read_scene
    from models.scene.walkable import BodySize
    from motion.navigation.surveyed import survey

    scene = read_scene(room, objects=objects, scale=scale, up=up, floor=floor, sit=sit or ())
    tasks = asked(goal or [], then or [], scene)
    with progress("looking over the room", None, quiet=json):
        around = survey(scene, BodySize(radius=body_radius), cache=_cache())
    _check_ways(around, first, tasks, plan or Path("out") / f"{room.stem}-plan.png")
    guides = _guides(checkpoint, policy, body, device, text=text, method=method, search=search, seed=seed)
    legs, interrupted = perform(guides, around, first, tasks, quiet=json)
    shown = Shown(around, guides.body, shape, look, quiet=json)
    written = [shown.write(legs, path) for path in targets]
    if plan is not None:
        shown.plan(legs, first, plan)
        written.append(str(plan))
    report = reported(around, legs, guides.body)
    report |= {"room": scene.name, "method": method, "search": search, "seed": seed, "interrupted": interrupted,
               "notes": list(scene.notes), "files": written}  # fmt: skip
    emit(report, json, [*lines(report), *written])
    if interrupted:
        raise typer.Exit(130)


def asked(goals: Sequence[str], then: Sequence[str], scene: Any) -> list[Task]:
    """Everything to do, in order; LabanError where nothing is asked, or an object is unknown."""
    from motion.navigation.tasks import Task, check_order, named, read_task

    tasks: list[Task] = []
    for goal in goals:
        if any(letter.isalpha() for letter in goal) and not Path(goal).is_file():
            tasks.append(Task("go", "", name=named(goal.strip(), scene)))
        else:
            tasks += [Task("go", "", place=place) for place in parse_points(goal, "--goal")]
    tasks += [read_task(said, scene) for said in then]
    if not tasks:
        raise LabanError("nothing to do; say where to with --goal x,z or what with --then")
    if len(tasks) > MOST:
        raise LabanError(f"{len(tasks)} things to do; accepted: up to {MOST}")
    return check_order(tasks)


def perform(
    guides: Any, around: Surveyed, start: Place, tasks: Sequence[Task], *, quiet: bool
) -> tuple[list[Leg], bool]:
    """The legs that were done, and whether Ctrl-C ended it early; nothing at all is an interruption."""
    from motion.navigation.tour import tour

    legs: list[Leg] = []
    try:
        with progress("walking", None, quiet=quiet) as advance:
            for leg in tour(guides, around, start, tasks, progress=advance):
                legs.append(leg)
    except KeyboardInterrupt:
        if not legs:
            raise
        return legs, True
    return legs, any("interrupted" in leg.notes for leg in legs)


def reported(around: Surveyed, legs: Sequence[Leg], body: BodyModel) -> dict[str, Any]:
    """Measures of each leg and of the whole."""
    from motion.navigation.metrics import measure
    from motion.navigation.tour import joined

    each = []
    for leg in legs:
        found = measure(leg.motion, body, around.place, leg.goal)
        each.append({"task": leg.task.kind, "text": leg.task.text, "object": leg.task.name, "goal": leg.goal,
                     "done": leg.done, "notes": list(leg.notes), **found.to_json()})  # fmt: skip
    whole = measure(joined(legs), body, around.place, legs[-1].goal).to_json()
    return {"legs": each, **whole}


def lines(report: dict[str, Any]) -> list[str]:
    """The report for a reader."""
    told = []
    for leg in report["legs"]:
        where = leg["object"] or (f"{leg['goal'][0]:.2f},{leg['goal'][1]:.2f}" if leg["goal"] else "")
        gap = "" if leg["distance"] is None else f", {leg['distance']:.2f} m from it"
        problem = f" ({'; '.join(leg['notes'])})" if leg["notes"] else ""
        told.append(f"{leg['task']} {where or leg['text']}: {leg['seconds']:.1f} s{gap}, contact {leg['contact']:.2f}, "
                    f"on walkable floor {leg['walkable']:.2f}, penetration {leg['penetration']:.2f} "
                    f"(worst {leg['deepest']:.1f}){problem}")  # fmt: skip
    return told


@dataclass(frozen=True)
class Shown:
    """How results are drawn and written."""

    around: Surveyed
    body: BodyModel
    size: tuple[int, int]
    camera: str
    quiet: bool

    def write(self, legs: Sequence[Leg], path: Path) -> str:
        """One file, with the room where its format has place for one; returns its name."""
        from motion.navigation.tour import joined

        motion = joined(legs)
        if path.suffix.lower() == ".glb":
            from models.formats.glb import write_glb
            from viz.room import still_meshes

            write_glb(motion, path, body=self.body, around=still_meshes(self.around.scene))
        elif path.suffix.lower() in DATA_SUFFIXES:
            from models.formats import write_motion

            write_motion(motion, path, body=self.body)
        else:
            self._draw(motion, path)
        return str(path)

    def _draw(self, motion: Motion, path: Path) -> None:
        from viz.filmstrip import path_picture, save_picture
        from viz.movie import Look, film
        from viz.room import room_of
        from viz.video import VIDEO_SUFFIXES

        look = Look(self.size, camera=self.camera, room=room_of(self.around.scene))
        if path.suffix.lower() in VIDEO_SUFFIXES:
            film(motion, path, look, body=self.body, progress=not self.quiet)
        else:
            save_picture(path_picture(motion, min(6, motion.frames), look, body=self.body), path)

    def plan(self, legs: Sequence[Leg], start: Place, path: Path) -> None:
        """The plan view with what was planned and how it was gone."""
        import numpy as np

        from motion.navigation.tour import joined
        from viz.plan import Course, draw_plan

        motion = joined(legs)
        pelvis = motion.root[0] + self.body.joint_template[0].numpy()
        ways = [leg.path for leg in legs if leg.path is not None]
        notes = {f"{leg.task.kind}s": leg.goal for leg in legs if leg.task.kind in ("sit", "lie") and leg.goal}
        course = Course(np.concatenate(ways) if ways else None, pelvis[:, [0, 2]].astype(float), motion.fps, start,
                        tuple(leg.goal for leg in legs if leg.goal and leg.task.kind == "go"), notes)  # fmt: skip
        draw_plan(self.around.scene, path, self.around.walkable, course)


def _start(given: str) -> Place:
    places = parse_points(given, "--start")
    if len(places) != 1:
        raise LabanError(f"--start {given}: {len(places)} places; accepted: one")
    return places[0]


def _check_plan(plan: Path | None) -> None:
    if plan is not None:
        from viz.plan import PLAN_SUFFIXES
        from viz.video import check_suffix

        check_suffix(plan, PLAN_SUFFIXES)


def _cache() -> Path:
    from laban.files import cache_folder

    return cache_folder() / "rooms"


def _check_ways(around: Surveyed, start: Place, tasks: Sequence[Task], plan: Path) -> None:
    """LabanError before any work for what cannot be gone; a goal that is cut off is drawn."""
    from models.scene.paths import check_free
    from motion.navigation.tour import plan as plan_ways

    try:
        plan_ways(around, start, tasks)
    except LabanError as error:
        goals = tuple(task.place for task in tasks if task.place is not None)
        check_free(around.walkable, start, "start", around.scene)
        for goal in goals:
            check_free(around.walkable, goal, "goal", around.scene)
        from viz.plan import Course, draw_plan

        draw_plan(around.scene, plan, around.walkable, Course(start=start, goals=goals))
        raise LabanError(f"{error}; drawn in {plan}") from error


def _guides(
    checkpoint: str, policy: str, body: Path | None, device: Device, *, text: str, method: str, search: int, seed: int
) -> Any:
    from models.body.model import load_body
    from models.devices import pick_device
    from motion.navigation.goal_policy import load_goal_policy
    from motion.navigation.tour import Guides
    from motion.navigation.walking import Search
    from motion.primitives.network import load_primitives

    network = load_primitives(checkpoint).requires_grad_(False).to(pick_device(device.value))
    loaded = load_goal_policy(policy, checkpoint).to(network.mean.device)
    return Guides(network, loaded, load_body(body), text, Search(tries=search), seed, method)
