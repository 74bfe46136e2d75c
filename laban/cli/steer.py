"""`laban steer`: streamed motion along a path or to a goal, around obstacles."""

from __future__ import annotations

import csv
import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laban.cli.generate import Files, check_outputs, default_output, parse_size
from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from models.motion import Motion
    from motion.navigation.routes import Surroundings, Went
    from motion.primitives.network import PrimitiveModel
    from motion.primitives.steering import SteerConfig

WAYS = ("noise", "policy")


def command(
    text: Annotated[str, typer.Argument(help='How to go there, such as "walk" or "a person walks as if exhausted".')],
    path: Annotated[
        str | None, typer.Option("--path", help='"x,z x,z ..." in metres, or a file of such pairs (.json .csv .txt).')
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option("--goal", help='"x,z": a place to reach from the origin; with --by policy also several.'),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="noise: optimise it (slow, exact); policy: at once (goals only).")
    ] = "",
    obstacle: Annotated[
        list[str] | None, typer.Option("--obstacle", help='"x,z,radius": a pillar to keep out of. Repeatable.')
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="Metres a second [as fast as the words make people go].")
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", help="File to write. Repeatable. Default: out/TEXT.mp4")
    ] = None,
    iterations: Annotated[int, typer.Option("--iterations", help="Optimisation steps of each 1.6 s.")] = 40,
    tries: Annotated[int, typer.Option("--tries", help="Starts that are optimised side by side.")] = 2,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Embedded streaming model or a folder.")
    ] = "primitives_research",
    policy: Annotated[str, typer.Option("--policy", help="Embedded goal policy or a folder.")] = "goal_policy",
    size: Annotated[str, typer.Option("--size", help="Picture size of films, WIDTHxHEIGHT.")] = "512x512",
    body: Body = None,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Send somebody along a path or to a place: as streamed motion, steered by optimised noise or by a policy."""
    way = _way(by, path, goal)
    points = parse_points(path, "--path") if path is not None else parse_points(goal or "", "--goal")
    if way == "noise" and goal is not None and len(points) > 1:
        raise LabanError(f"--goal {goal}: {len(points)} places; accepted: one, or --by policy, or --path")
    files = Files(parse_size(size), 30.0, body, json)
    targets = check_outputs(output or [default_output(text)], 1)[0]
    from models.devices import pick_device
    from motion.navigation.routes import Surroundings
    from motion.primitives.control import pillars
    from motion.primitives.network import load_primitives
    from motion.primitives.steering import SteerConfig

    discs = [(x, z, r) for x, z, r in (parse_numbers(one, 3, "--obstacle") for one in obstacle or ())]
    scene = pillars(discs) if discs else None
    around = Surroundings(speed, scene)
    network = load_primitives(checkpoint).to(pick_device(device.value))
    if way == "policy":
        went = _by_policy(network, text, points, around, policy, checkpoint)
    else:
        config = SteerConfig(iterations=iterations, tries=tries, seed=seed)
        went = _by_noise(network, text, points, around, config, is_path=path is not None, quiet=json)
    written = files.write(_motion(network, went), targets)
    _tell(went, text, way, is_path=path is not None, written=written, json=json)


def parse_numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """So many finite numbers with commas between; LabanError names the option."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(abs(number) < 1e6 for number in numbers):
        raise LabanError(f"{option} {text!r}; expected {'x,z' if count == 2 else 'x,z,radius'} in metres")
    return numbers


def parse_points(given: str, option: str) -> list[tuple[float, float]]:
    """Places (x, z) of "x,z x,z ...", or of a file: a JSON list of pairs, or lines `x,z`."""
    source = Path(given.strip())
    if source.suffix.lower() in (".json", ".csv", ".txt"):
        if not source.is_file():
            raise LabanError(f"{option} {given}: no such file")
        pairs = _pairs(source)
    else:
        pairs = given.split()
    if not pairs:
        raise LabanError(f'{option} {given!r}: no places; expected "x,z x,z ..." in metres or a file of them')
    return [(numbers[0], numbers[1]) for numbers in (parse_numbers(pair, 2, option) for pair in pairs)]


def _pairs(source: Path) -> list[str]:
    try:
        content = source.read_text(encoding="utf-8")
        if source.suffix.lower() == ".json":
            return [",".join(str(number) for number in pair) for pair in json_format.loads(content)]
    except (ValueError, TypeError) as error:
        raise LabanError(f"{source}: not a JSON list of pairs [x, z] ({error})") from error
    rows = [row for row in csv.reader(content.splitlines()) if any(cell.strip() for cell in row)]
    if rows and not rows[0][0].strip().lstrip("-+").replace(".", "", 1).isdigit():
        rows = rows[1:]
    return [",".join(cell.strip() for cell in row) for row in rows]


def _way(by: str, path: str | None, goal: str | None) -> str:
    if (path is None) == (goal is None):
        raise LabanError("say where to: either --path or --goal")
    way = by or "noise"
    if way not in WAYS:
        raise LabanError(f"--by {by}; accepted: {', '.join(WAYS)}")
    if way == "policy" and path is not None:
        raise LabanError("--by policy with --path; accepted: --goal (several places are reached one after the other)")
    return way


def _by_noise(
    network: PrimitiveModel, text: str, points: list[tuple[float, float]], around: Surroundings, config: SteerConfig,
    *, is_path: bool, quiet: bool,
) -> Went:  # fmt: skip
    import numpy as np

    from motion.navigation.routes import go_along, go_to

    with progress("steering", None, quiet=quiet) as advance:
        if not is_path:
            return go_to(network, text, points[0], around, config, progress=advance)
        whole = np.array(points if len(points) > 1 else [(0.0, 0.0), *points], dtype=np.float64)
        return go_along(network, text, whole, around, config, progress=advance)


def _by_policy(
    network: PrimitiveModel,
    text: str,
    goals: list[tuple[float, float]],
    around: Surroundings,
    policy: str,
    checkpoint: str,
) -> Went:
    from motion.navigation.goal_policy import load_goal_policy
    from motion.navigation.routes import go_by_policy

    loaded = load_goal_policy(policy, checkpoint).to(network.mean.device)
    return go_by_policy(network, loaded, text, goals, around.scene)


def _motion(network: PrimitiveModel, went: Went) -> Motion:
    from dataclasses import replace

    from models.body.cleanup import lock_feet
    from motion.primitives.choice import motions_of

    whole = lock_feet(motions_of(went.made, network)[0], follow=False)  # the way of the pelvis is what was asked for
    return replace(whole, rotations=whole.rotations[:, : went.frames], root=whole.root[:, : went.frames])


def _tell(went: Went, text: str, way: str, *, is_path: bool, written: list[str], json: bool) -> None:
    seconds = went.frames / 30
    if is_path:
        said = f"{text!r} for {seconds:.1f} s: {went.error:.2f} m from where one was due, on average"
    else:
        reached = "reached" if went.arrived else f"not reached: {went.error:.2f} m short"
        said = f"{text!r} for {seconds:.1f} s: goal {reached}"
    result = {"text": text, "by": way, "seconds": seconds, "error": went.error, "arrived": went.arrived,
              "files": written}  # fmt: skip
    emit(result, json, [said, *written])
