"""`laban scene inspect`: what a room file holds, where one can walk in it, and a plan of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Json, emit
from laban.cli.steer import parse_numbers
from laban.errors import LabanError

if TYPE_CHECKING:
    from numpy import ndarray

    from models.scene.scene import Scene
    from models.scene.walkable import Walkable

Place = tuple[float, float]

RoomFile = Annotated[Path, typer.Argument(help="Room: .glb, .obj, .ply or .stl, in metres with Y up (or see --scale).")]
Objects = Annotated[
    Path | None,
    typer.Option("--objects", help="JSON with the room's objects [NAME.json or rooms.json beside the room]."),
]
Sit = Annotated[list[str] | None, typer.Option("--sit", help="Name of an object that one can sit on. Repeatable.")]
Scale = Annotated[float | None, typer.Option("--scale", help="Metres of a unit of the file, such as 0.01 [found].")]
Up = Annotated[str | None, typer.Option("--up", help="The file's axis that points up: x, y, z, -y, -z [found].")]
Floor = Annotated[
    float | None,
    typer.Option("--floor", help="There is floor everywhere at this height, metres, such as 0 [the mesh's own floor]."),
]
BodyRadius = Annotated[float, typer.Option("--body-radius", help="Metres around the body's middle.")]
BodyHeight = Annotated[float, typer.Option("--body-height", help="Metres of headroom.")]

app = typer.Typer(
    no_args_is_help=True, help="Look into rooms.", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _rooms() -> None:
    """Look into rooms."""


@app.command()
def inspect(
    room: RoomFile,
    objects: Objects = None,
    sit: Sit = None,
    scale: Scale = None,
    up: Up = None,
    floor: Floor = None,
    body_radius: BodyRadius = 0.25,
    body_height: BodyHeight = 1.8,
    start: Annotated[str | None, typer.Option("--start", help='"x,z": try a way from here (with --goal).')] = None,
    goal: Annotated[str | None, typer.Option("--goal", help='"x,z": try a way to here.')] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", help="Plan view to write (png, svg, pdf). Repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what a room file holds and where one can walk in it; draw its plan."""
    if (start is None) != (goal is None):
        raise LabanError("--start and --goal: only one is given; expected both or neither")
    ends = None if start is None or goal is None else (_place(start, "--start"), _place(goal, "--goal"))
    from models.scene.reading import read_scene
    from models.scene.walkable import BodySize, walkable_of

    scene = read_scene(room, objects=objects, scale=scale, up=up, floor=floor, sit=sit or ())
    body = BodySize(radius=body_radius, height=body_height)
    walkable = walkable_of(scene, body)
    routes = [_way(scene, walkable, *route)[0] for route in scene.routes]
    path, problem = _way(scene, walkable, *ends) if ends else (None, None)
    for target in output or ():
        _draw(scene, walkable, target, [one for one in routes if one is not None], ends, path, problem)
    found = _found(scene, walkable, routes, path)
    found["files"] = [str(target) for target in output or ()]
    if problem is not None:
        for target in found["files"]:
            typer.echo(target, err=json)
        raise problem
    emit(found, json, _lines(scene, walkable, found))


def _place(text: str, option: str) -> Place:
    x, z = parse_numbers(text, 2, option)
    return x, z


def _way(scene: Scene, walkable: Walkable, start: Place, goal: Place) -> tuple[ndarray | None, LabanError | None]:
    """The way, or why there is none."""
    from models.scene.paths import find_path

    try:
        return find_path(walkable, start, goal, scene=scene), None
    except LabanError as error:
        return None, error


def _draw(
    scene: Scene, walkable: Walkable, target: Path, routes: list[ndarray], ends: tuple[Place, Place] | None,
    path: ndarray | None, problem: LabanError | None,
) -> None:  # fmt: skip
    from models.scene.paths import cut
    from viz.plan import PLAN_SUFFIXES, Course, plan_figure
    from viz.timeline import save_figure
    from viz.video import check_suffix

    check_suffix(target, PLAN_SUFFIXES)
    course = Course(path=path, start=ends[0] if ends else None, goals=ends[1:] if ends else ())
    size = f"{scene.size[0]:.1f} x {scene.size[2]:.1f} m, walkable {walkable.area:.1f} m2"
    figure = plan_figure(scene, walkable, course, title=f"{scene.name}: {size}")
    axes = figure.axes[0]
    for route in [] if ends else routes:
        axes.plot(*route.T, color="#2b6cb0", linewidth=0.9, alpha=0.45, zorder=5)
    if ends and problem is not None and all(bool(walkable.inside(end)) for end in _arrays(ends)):
        gap, here, there = cut(walkable, *ends)
        axes.plot(*zip(here, there, strict=True), color="#c53030", linewidth=2.4, zorder=11)
        axes.annotate(f"cut off: {gap:.2f} m", here, xytext=(6, 6), textcoords="offset points", color="#c53030",
                      fontsize=8, zorder=12)  # fmt: skip
    save_figure(figure, target)


def _arrays(ends: tuple[Place, Place]) -> list[ndarray]:
    import numpy as np

    return [np.asarray(end) for end in ends]


def _found(scene: Scene, walkable: Walkable, routes: list[ndarray | None], path: ndarray | None) -> dict[str, Any]:
    import numpy as np

    from models.scene.paths import length_of

    areas = np.bincount(walkable.areas.ravel())[1:] * walkable.cell**2
    found: dict[str, Any] = {
        "room": scene.name, "size": [round(one, 3) for one in scene.size], "triangles": len(scene.faces),
        "floor": scene.floor, "notes": list(scene.notes),
        "objects": [
            {"name": one.name, "kind": one.kind, "min": [round(v, 3) for v in one.low],
             "max": [round(v, 3) for v in one.high], "yaw_deg": round(math.degrees(one.yaw), 1),
             "walkable": one.walkable, "affords": one.affords}
            for one in scene.objects
        ],
        "body": {"radius": walkable.body.radius, "height": walkable.body.height},
        "walkable_m2": round(walkable.area, 2), "areas_m2": [round(float(one), 2) for one in areas],
        "routes": {"given": len(routes), "found": sum(one is not None for one in routes)},
    }  # fmt: skip
    if path is not None:
        found["path"] = {"points": np.round(path, 3).tolist(), "length": round(length_of(path), 3)}
    return found


def _lines(scene: Scene, walkable: Walkable, found: dict[str, Any]) -> list[str]:
    x, y, z = scene.size
    lines = [f"{scene.name}: {x:.2f} x {z:.2f} m, {y:.2f} m high, {len(scene.faces):,} triangles, floor at 0"]
    lines += [f"note: {note}" for note in scene.notes]
    if scene.objects:
        wide = max(len(one.name) for one in scene.objects)
        lines.append(f"{len(scene.objects)} objects (middle x,z; width x depth x height; front; what for):")
    for one in scene.objects:
        size = f"{one.size[0]:.2f} x {one.size[2]:.2f} x {one.size[1]:.2f}"
        use = one.affords or ("walk over" if one.walkable else "-")
        front = f"{math.degrees(one.yaw):4.0f} deg" if one.affords else " " * 8
        lines.append(f"  {one.name:{wide}}  {one.center[0]:6.2f},{one.center[2]:6.2f}  {size}  {front}  {use}")
    areas = found["areas_m2"]
    body = f"a body of radius {walkable.body.radius:g} m, {walkable.body.height:g} m tall"
    apart = f" in {len(areas)} parts ({', '.join(f'{one:.1f}' for one in areas[:6])})" if len(areas) > 1 else ""
    lines.append(f"walkable for {body}: {walkable.area:.1f} m2{apart}")
    if found["routes"]["given"]:
        lines.append(f"routes of the side-car: {found['routes']['found']} of {found['routes']['given']} have a way")
    if "path" in found:
        corners = " ".join(f"{px:.2f},{pz:.2f}" for px, pz in found["path"]["points"])
        lines.append(f"way of {found['path']['length']:.2f} m: {corners}")
    return lines + found["files"]
