"""The command line: a table of commands, one module each, imported only when its command runs.

A command's module is `laban/cli/<name>.py` and holds either `command`, a function with typer annotations, or `app`, a
`typer.Typer` with sub-commands. Heavy imports (torch, models, viz) go inside the function:

    def command(
        source: Annotated[Path, typer.Argument(help="motion file to draw")],
        output: Outputs,                       # laban.cli.options: the options that several commands share
        json: Json = False,
    ) -> None:
        \"\"\"Draw a motion or a timeline.\"\"\"  # first line: what `laban render --help` shows
        from viz.renderer import render        # only now

Wrong input is `raise LabanError("FILE: found X; accepted Y")`, printed here as one line, exit status 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer

from laban import __version__
from laban.errors import LabanError

COMMANDS: dict[str, str] = {
    "generate": "Text or a timeline in, human motion out (npz, bvh, glb, mp4, png).",
    "stream": "Say what a person does while you watch: live view, WebSocket, recording.",
    "steer": "Send somebody along a path or to a place, as streamed motion.",
    "scene": "Look into a room: its objects, its floor, where one can walk (glb, obj, ply, stl).",
    "navigate": "Walk somebody through a furnished room; sit down and stand up again.",
    "react": "Give somebody a partner: one person's motion and a text in, both people out.",
    "render": "Draw a motion or a timeline as video, picture or filmstrip.",
    "convert": "Convert motion between AMASS npz, BVH, GLB and HumanML3D joints.",
    "detect": "A video or motion in, when each action starts and ends out.",
    "ground": "A sentence and a video or motion in, where it is true out.",
    "recognize": "A short clip in, what it shows out, by any labels.",
    "anticipate": "A score or video in, what will happen next out.",
    "plan": "The steps between a first and a last one, from how people did the task.",
    "extract": "Turn a video into features: poses, or the rows of a video or image network.",
    "data": "Build and inspect training sets.",
    "train": "Train a model, or go on with a training that was interrupted.",
    "eval": "Measure a model by the published protocols, beside trivial baselines.",
    "bench": "How fast things are on this machine.",
    "setup": "Fetch what cannot be a plain dependency; warm the caches.",
}
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
LONG_OPTION_HELP = {"help_option_names": ["-h", "--help"]}


def available_commands() -> dict[str, str]:
    """Name and summary of every command whose module is installed."""
    return {name: text for name, text in COMMANDS.items() if find_spec(f"{__name__}.{name}")}


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The application for one call: the command that `arguments` name is imported, the others are only listed."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True,
                      context_settings=LONG_OPTION_HELP)  # fmt: skip
    app.callback(help="Laban writes and reads human movement.")(_global_options)
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in available_commands().items():
        if name != chosen:
            app.command(name, help=summary)(_listed_only)
            continue
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=summary)
        else:
            app.command(name, context_settings=LONG_OPTION_HELP)(module.command)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status. Every foreseen failure is one line on stderr."""
    try:
        app = build_app(arguments)
        status = app(list(arguments) or ["--help"], prog_name="laban", standalone_mode=False)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except LabanError as error:
        return _complain(str(error))
    except typer.TyperException as error:
        return _complain(_with_hint(error))
    except OSError as error:
        said = error.strerror or str(error) or type(error).__name__
        return _complain(said if error.filename is None else f"{error.filename}: {said}")
    if status == EXIT_INTERRUPTED:
        print("laban: interrupted; nothing half-written", file=sys.stderr)
    return status if isinstance(status, int) else 0


def main() -> None:
    """Console script `laban`."""
    sys.exit(run(sys.argv[1:]))


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"laban {__version__}")
        raise typer.Exit
    return wanted


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of `laban` itself; `--version` is done by its callback before this is reached."""


def _listed_only() -> None:
    """Stands in `--help` for a command that this call does not run."""


def _with_hint(error: typer.TyperException) -> str:
    """The error's message, with the nearest valid option where there is one."""
    near: Sequence[str] | None = getattr(error, "possibilities", None)
    return f"{error.message}; did you mean {' or '.join(near)}?" if near else error.format_message()


def _complain(message: str) -> int:
    if message:  # empty when the help text has just been shown instead
        print(f"laban: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT
