"""`laban react`: the motion of one person and a sentence in, the motion of both out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.generate import DATA_SUFFIXES, FASTEST, check_outputs, parse_size
from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from models.body.model import BodyModel
    from models.motion import Motion
    from motion.reaction.react import ReactConfig

PICTURE_RATE = 30.0
"""Frames a second of a film of a faster motion."""


# Every parameter is an option of the command line.
def command(  # noqa: PLR0913
    source: Annotated[Path, typer.Argument(metavar="ACTOR", help="Motion of one person (.npz .bvh .glb .smpl .npy).")],
    text: Annotated[
        str | None, typer.Argument(help='What the two do, such as "they dance salsa together" [the motion alone].')
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="File to write; the suffix picks the format. Repeatable. Default: out/NAME-pair.mp4"
        ),
    ] = None,
    actor: Annotated[
        int | None, typer.Option("--actor", min=0, help="Of a file with several people: who is reacted to, from 0.")
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="React live: frame by frame, from what the actor has done so far.")
    ] = False,
    n: Annotated[int, typer.Option("--n", help="How many different reactions.")] = 1,
    seed: Seed = 0,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="Embedded reaction or a folder [reaction].")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps of each stage.")] = 10,
    temperature: Annotated[
        float, typer.Option("--temperature", help="How varied ways are: 0 the likeliest, 1 as in the data.")
    ] = 0.2,
    guidance: Annotated[
        float, typer.Option("--guidance", help="How strictly the text is followed; 1 = not guided.")
    ] = 1.0,
    cleanup: Annotated[
        bool, typer.Option("--cleanup/--no-cleanup", help="Lock the reactor's planted feet and take out tremble.")
    ] = True,
    hold: Annotated[
        bool, typer.Option("--hold/--no-hold", help="Close the last gap where hands all but hold each other.")
    ] = True,
    fps: Annotated[float | None, typer.Option("--fps", help="Frame rate of what is written [the actor's].")] = None,
    size: Annotated[str, typer.Option("--size", help="Picture size, WIDTHxHEIGHT.")] = "512x512",
    body: Body = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Give somebody a partner: where they stand, when they answer, how they touch."""
    if fps is not None and not 1 <= fps <= FASTEST:
        raise LabanError(f"--fps {fps:g}; accepted: 1 to {FASTEST}")
    from models.body.model import load_body
    from motion.reaction.react import ReactConfig

    outputs = output or [Path("out") / f"{source.stem}-pair.mp4"]
    targets = check_outputs(outputs, n)
    writing = Writing(parse_size(size), fps, load_body(body), json)
    config = ReactConfig(steps, steps, temperature, guidance, seed, cleanup, hold, device.value)
    given, remarks = read_actor(source, actor, body)
    made = [_react(given, text, checkpoint, config, seed + k, writing, online=online) for k in range(n)]
    written = [name for pair, paths in zip(made, targets, strict=True) for name in writing.write(pair, paths)]
    result: dict[str, Any] = {
        "actor": str(source), "text": text, "seconds": round(given.seconds, 3), "fps": given.fps, "seed": seed,
        "online": online, "remarks": remarks, "files": written,
    }  # fmt: skip
    result["weights_licence"] = licence = licence_of(checkpoint, online=online)
    said = f"{text!r}" if text and text.strip() else "no text: the motion alone says what to do"
    emit(result, json, [said, *remarks, f"weights: {licence}", *written])


@dataclass(frozen=True)
class Writing:
    """How pairs are written."""

    size: tuple[int, int]
    fps: float | None
    body: BodyModel
    quiet: bool

    def write(self, motion: Motion, paths: list[Path]) -> list[str]:
        """Both people in every format; returns the files' names."""
        from models.formats import write_motion
        from models.resample import resample
        from viz.render import render_motion

        motion, names = resample(motion, self.fps or motion.fps), list[str]()
        for path in paths:
            if path.suffix.lower() in DATA_SUFFIXES:
                names += [str(part) for part in write_motion(motion, path, body=self.body)]
                continue
            render_motion(motion, path, size=self.size, fps=self.fps or min(motion.fps, PICTURE_RATE), body=self.body,
                          progress=not self.quiet)  # fmt: skip
            names.append(str(path))
        return names


def read_actor(source: Path, actor: int | None, body: Path | None) -> tuple[Motion, list[str]]:
    """The one person who is reacted to, and what there is to say about the file; LabanError for several or none."""
    from models.body.model import load_body
    from models.formats import ReadOptions, read_motion
    from motion.reaction.features import FPS
    from motion.reaction.react import check_actor

    motion = read_motion(source, ReadOptions(body=load_body(body)) if body else None)
    if motion.actors == 0:
        raise LabanError(f"{source}: holds nobody; accepted: a motion of one person")
    if actor is not None and actor >= motion.actors:
        people = "1 person" if motion.actors == 1 else f"{motion.actors} people"
        raise LabanError(f"--actor {actor}: {source} holds {people}; accepted: 0 to {motion.actors - 1}")
    if actor is None and motion.actors > 1:
        raise LabanError(f"{source}: holds {motion.actors} people; accepted: one person; --actor 0 takes the first")
    motion = motion.actor(actor or 0)
    try:
        check_actor(motion)
    except LabanError as error:
        raise LabanError(f"{source}: {error}") from error
    rate = f"{source} has {motion.fps:g} fps: read at {FPS:g}, the reaction is brought back to {motion.fps:g}"
    return motion, [] if motion.fps == FPS else [rate]


def licence_of(checkpoint: str | None, *, online: bool) -> str:
    """The licence of the weights that react."""
    from motion.reaction.network import load_reactor
    from motion.reaction.online_network import load_live

    name = checkpoint or "reaction"
    config = load_live(name).config if online else load_reactor(name).config
    return config.licence or "no licence stated"


def _react(
    actor: Motion, text: str | None, checkpoint: str | None, config: ReactConfig, seed: int, writing: Writing, *,
    online: bool,
) -> Motion:  # fmt: skip
    from dataclasses import replace

    from motion.reaction.online import LiveConfig, react_online
    from motion.reaction.react import react

    config, name = replace(config, seed=seed), checkpoint or "reaction"
    if online:
        live = LiveConfig(seed, config.steps, config.guidance, config.cleanup)
        with progress("reacting", round(actor.seconds), quiet=writing.quiet) as advance:
            return react_online(actor, text, checkpoint=name, config=live, body=writing.body, progress=advance)
    with progress("reacting", config.steps + config.way_steps, quiet=writing.quiet) as advance:
        return react(actor, text, checkpoint=name, config=config, body=writing.body, progress=advance)
