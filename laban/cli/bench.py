"""`laban bench`: how fast things are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from laban.cli.options import Device, DeviceOption, Json, emit

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _bench() -> None:
    """How fast things are on this machine."""


@app.command()
def detect(
    system: Annotated[
        str, typer.Option("--system", help="actionformer, tridet, temporalmaxer, bmn, csa or asl.")
    ] = "actionformer",
    layout: Annotated[str, typer.Option("--layout", help="Sizes: thumos14, activitynet, epic100, ego4d.")] = "thumos14",
    frames: Annotated[int, typer.Option("--frames", min=1, help="Entries of the video's features.")] = 2304,
    features: Annotated[int, typer.Option("--features", min=1, help="Their width.")] = 2048,
    classes: Annotated[int, typer.Option("--classes", min=1)] = 20,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Medians are over these.")] = 5,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Of the processor.")] = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """A detector's forward pass (fp32, bf16), decoding and soft-NMS on features of random numbers."""
    from action_localization.spine.bench import Load, bench_detector

    load = Load(system, layout, frames, features, classes, repeats, threads, device.value)
    result = bench_detector(load, quiet=json)
    emit(result.to_json(), json, result.lines())
