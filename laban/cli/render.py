"""`laban render MOTION|TIMELINE -o FILE`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laban.cli.options import Body, Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from laban.timeline import Timeline
    from models.body.model import BodyModel
    from models.motion import Motion
    from viz.cast import Color
    from viz.movie import Look

Outputs = Annotated[
    list[Path] | None,
    typer.Option("--output", "-o", help="File to write: .mp4 .gif film; .png .jpg .webp .svg .pdf poses. Repeatable."),
]


# Every parameter is an option of the command line.
def command(  # noqa: PLR0913
    source: Annotated[Path, typer.Argument(help="Motion (.npz .bvh .npy .smpl) or timeline (.txt .json .vtt .csv).")],
    output: Outputs = None,
    timeline: Annotated[Path | None, typer.Option(help="Timeline to draw above the motion's poses.")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels; a strip of poses takes the height.")] = "512x512",
    fps: Annotated[float, typer.Option(help="Frames a second of a film.")] = 30.0,
    frames: Annotated[str | None, typer.Option(help="FIRST:LAST, a part of the motion in its own frames.")] = None,
    at: Annotated[float | None, typer.Option(help="Draw this one second, not a strip of poses.")] = None,
    filmstrip: Annotated[int, typer.Option(help="Number of poses on a picture.")] = 6,
    path: Annotated[bool, typer.Option("--path", help="Leave the poses where they happen.")] = False,
    camera: Annotated[str, typer.Option(help="follow, fixed or orbit.")] = "follow",
    azimuth: Annotated[float | None, typer.Option(help="Degrees around the people from +Z. [three-quarter]")] = None,
    renderer: Annotated[str, typer.Option(help="auto, numba or pyrender.")] = "auto",
    color: Annotated[list[str] | None, typer.Option(help="Clothes as RRGGBB; once for each person.")] = None,
    skeleton: Annotated[bool, typer.Option("--skeleton", help="Joints and bones instead of bodies.")] = False,
    contacts: Annotated[bool, typer.Option("--contacts/--no-contacts", help="Colour where people touch.")] = True,
    body: Body = None,
    json: Json = False,
) -> None:
    """Draw a motion or a timeline as video, picture or filmstrip."""
    from laban.scores import READERS, read_timeline
    from viz.cast import CLOTHES
    from viz.movie import Look
    from viz.render import parse_size

    bare = source.suffix.lower() in READERS
    outputs = output or [Path("out") / f"{source.stem}{'.png' if bare or timeline else '.mp4'}"]
    check_outputs(outputs, figure=bare or timeline is not None)
    look = Look(size=parse_size(size), renderer=renderer, camera=camera, azimuth=azimuth, skeleton=skeleton,
                contacts=contacts, colors=tuple(parse_color(c) for c in color) if color else CLOTHES)  # fmt: skip
    score_file = source if bare else timeline
    score = read_timeline(score_file) if score_file else None
    motion, model = (None, None) if bare else read_part(source, body, frames)
    for target in outputs:
        if score is not None:
            _draw_score(score, target, motion, look, body=model)
            continue
        assert motion is not None and model is not None  # without a score, the source is a motion
        if target.suffix.lower() in (".mp4", ".gif"):
            from viz.movie import film

            film(motion, target, look, fps=fps, body=model, progress=not json)
        else:
            _draw_poses(motion, target, look, at=at, count=filmstrip, path=path, body=model)
    files = [str(target) for target in outputs]
    seconds = motion.seconds if motion is not None else score.duration if score is not None else 0.0
    emit({"source": str(source), "files": files, "seconds": seconds}, json, files)


def check_outputs(outputs: list[Path], *, figure: bool) -> None:
    """LabanError, before any work, for a suffix that cannot show a motion (or a timeline's `figure`)."""
    from viz.filmstrip import PICTURE_SUFFIXES
    from viz.timeline import FIGURE_SUFFIXES
    from viz.video import VIDEO_SUFFIXES, check_suffix

    for path in outputs:
        check_suffix(path, FIGURE_SUFFIXES if figure else VIDEO_SUFFIXES + PICTURE_SUFFIXES)
        if path.is_dir():
            raise LabanError(f"{path}: is a folder; name a file to write")


def read_part(source: Path, body: Path | None, frames: str | None) -> tuple[Motion, BodyModel]:
    """The motion of a file, cut to FIRST:LAST frames (last excluded, either may be left out), and the body for it."""
    from models.body.model import load_body
    from models.formats import ReadOptions, read_motion

    model = load_body(body)
    motion = read_motion(source, ReadOptions(body=model))
    if frames is None:
        return motion, model
    match = re.fullmatch(r"(\d*):(\d*)", frames.strip())
    first = int(match[1] or 0) if match else -1
    last = int(match[2] or motion.frames) if match else -1
    if not 0 <= first < last <= motion.frames:
        raise LabanError(f"--frames: found {frames!r}; accepted FIRST:LAST within 0:{motion.frames}, {source}'s frames")
    return motion.slice(first, last), model


def parse_color(text: str) -> Color:
    """(red, green, blue), 0 to 255, of "4a79b8" or "#4a79b8"."""
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        raise LabanError(f"--color: found {text!r}; accepted RRGGBB, six hexadecimal digits")
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _draw_score(score: Timeline, target: Path, motion: Motion | None, look: Look, *, body: BodyModel | None) -> None:
    from viz.timeline import draw_timeline

    draw_timeline(score, target, motion, look=look, body=body)


def _draw_poses(
    motion: Motion, target: Path, look: Look, *, at: float | None, count: int, path: bool, body: BodyModel
) -> None:
    from dataclasses import replace

    from viz.filmstrip import filmstrip, path_picture, save_picture, still, strip_size

    if at is not None:
        picture = still(motion, at, look, body=body)
    elif path:
        picture = path_picture(motion, count, look, body=body)
    else:
        picture = filmstrip(motion, count, replace(look, size=strip_size(look.size[1], count)), body=body)
    save_picture(picture, target)
