"""`laban stream`: endless motion from words said while it runs."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli import performing
from laban.cli.generate import Files, parse_size
from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.cli.performing import Asked
from laban.errors import LabanError
from laban.network import LOOPBACK
from laban.timeline import FrameGrid, Timeline

if TYPE_CHECKING:
    from motion.streaming.script import Script

HOLD = 4.0
"""Seconds that a line of a piped script lasts when it does not say."""
LONGEST = 24 * 3600.0


def command(
    text: Annotated[str | None, typer.Argument(help='What the person does at first, such as "walk".')] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="Record to a file: .npz .bvh .glb .mp4 .png, or what was done when: .vtt .json .csv. Repeatable.",
        ),
    ] = None,
    script: Annotated[
        str | None,
        typer.Option(
            "--script",
            help='"walk*10,turn left*2.5s": for 10 primitives of 0.27 s, then 2.5 s. Or a file, '
            "or - for standard input.",
        ),
    ] = None,
    score: Annotated[
        Path | None, typer.Option("--score", help="Play a score live, with its tracks (.txt .json .vtt .srt .csv).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="End after so long; scripts and scores have their own length.")
    ] = None,
    view: Annotated[bool, typer.Option("--view", help="Show it live in the browser.")] = False,
    view_port: Annotated[int, typer.Option("--view-port", help="Port of the page; 0 takes a free one.")] = 8080,
    serve: Annotated[bool, typer.Option("--serve", help="Send every frame as JSON over a WebSocket.")] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the WebSocket; 0 takes a free one.")] = 8765,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any but the default lets other machines connect.")
    ] = LOOPBACK,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as it can, not in real time.")] = False,
    recover: Annotated[
        Path | None, typer.Option("--recover", help="Write the recording that a killed process has left.")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Embedded streaming model or a folder.")
    ] = "primitives_research",
    distilled: Annotated[
        bool | None,
        typer.Option("--distilled/--full", help="The student's two unguided steps, or the full model (default)."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", help="How strictly words are followed (full model).")
    ] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", help="Futures drawn whenever words change; the best fit to them is kept.")
    ] = 1,
    seed: Seed = 0,
    skeleton: Annotated[bool, typer.Option("--skeleton", help="Show a stick figure, which is light to draw.")] = False,
    size: Annotated[str, typer.Option("--size", help="Picture size of films, WIDTHxHEIGHT.")] = "512x512",
    body: Body = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Stream human motion from words: type, script or send them; look at it, serve it or record it."""
    files = Files(parse_size(size), 30.0, body, json)
    if recover is not None:
        _recover(recover, output, files)
        return
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise LabanError(f"--seconds {seconds:g}; accepted: above 0, up to {LONGEST:.0f}")
    at_terminal = performing.in_foreground()
    if not (view or serve or script or score or output or fast) and at_terminal and seconds is None:
        if not (view := find_spec("viser") is not None):
            performing.tell("recorded only; to watch it in the browser: pip install 'laban[stream]'")
        output = [_default_output()]
    performing_live = view or serve or (at_terminal and script is None and score is None)
    timeline = None if score is None else _score(score, script or text)
    lines = None if timeline else _script(script, text, stdin=not performing_live)
    output = output or ([] if view or serve else [_default_output()])
    asked = Asked(
        performing.checked_outputs(output), lines, _frames(seconds, timeline or lines),
        fast or not performing_live,
        prompt=script != "-" and (performing_live and (at_terminal or not sys.stdin.isatty())),
        serve=port if serve else None, view=view_port if view else None, host=host, skeleton=skeleton,
    )  # fmt: skip
    given = {"seed": seed, "distilled": distilled, "guidance": guidance, "candidates": candidates,
             "device": device.value}  # fmt: skip
    _perform(asked, files, checkpoint, timeline or text, {k: value for k, value in given.items() if value is not None})


def _perform(
    asked: Asked, files: Files, checkpoint: str, what: str | Timeline | None, given: dict[str, Any]
) -> None:  # fmt: skip
    from motion.primitives.played import PlayedScore
    from motion.primitives.stream import MotionStream, StreamConfig
    from motion.prompts import STAND

    words = what if isinstance(what, str) else STAND
    stream = MotionStream(checkpoint, text=words, config=StreamConfig(**given))
    played = PlayedScore(stream, what) if isinstance(what, Timeline) else stream
    performed = performing.perform(played, asked, files)
    seconds = performed.frames / 30
    result = {"frames": performed.frames, "seconds": round(seconds, 3), "seed": given["seed"], "checkpoint": checkpoint,
              "late": round(performed.lost, 3), "said": performed.said, "files": performed.files}  # fmt: skip
    doubtful = [f"{said['text']!r}: not sure; {said['leaning']}" for said in performed.said
                if not said["sure"] and said["by"] == "script"]  # fmt: skip
    emit(result, files.json, [*doubtful, f"{seconds:.1f} s", *performed.files])


def _recover(folder: Path, output: list[Path] | None, files: Files) -> None:
    outputs = performing.checked_outputs(output or [folder.with_suffix(".npz")])
    written = performing.write_spool(folder, outputs, files)
    emit({"recovered": str(folder), "files": written}, files.json, [*written, f"{folder} is still there"])


def _score(path: Path, other: str | None) -> Timeline:
    from laban.scores import read_timeline

    if other is not None:
        raise LabanError(f"--score {path}: a score says all there is to say; leave out {other!r}")
    return read_timeline(path)


def _script(script: str | None, text: str | None, *, stdin: bool) -> Script | None:
    """The script given, or on standard input when nobody is there to type; None when words come while it runs."""
    from motion.streaming.script import Line, Script, parse_script, primitives_of

    if script == "-":
        return parse_script(_read_stdin(), "standard input", hold=HOLD)
    if script is not None:
        path = Path(script)
        if "*" not in script and _is_file(path):
            try:
                return parse_script(path.read_text(encoding="utf-8"), str(path), hold=None)
            except UnicodeDecodeError:
                raise LabanError(f"--script {path}: is no text in UTF-8") from None
        return parse_script(script)
    if not stdin:
        return None
    if text is not None:
        return Script((Line(" ".join(text.split()), primitives_of(HOLD)),))
    return parse_script(_read_stdin(), "standard input", hold=HOLD)


def _read_stdin() -> str:
    return sys.stdin.buffer.read(1 << 20).decode("utf-8", "replace")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name
        return False


def _frames(seconds: float | None, what: Timeline | Script | None) -> int | None:
    length = what.duration if seconds is None and isinstance(what, Timeline) else seconds
    if length is not None:
        return FrameGrid.lasting(length, 30.0).frames
    return None if what is None or isinstance(what, Timeline) else what.frames


def _default_output() -> Path:
    return performing.free(performing.FOLDER / f"stream-{performing.stamp()}.npz")
