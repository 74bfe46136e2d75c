"""`laban bench`: how fast things are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laban.cli.options import Device, DeviceOption, Json, emit
from laban.errors import LabanError

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


@app.command()
def regimes(
    data: Annotated[Path | None, typer.Option("--data", help="Built motion set (laban data build): spliced streams.")]
    = None,
    gym: Annotated[Path | None, typer.Option("--gym", help="I3D rows of gym clips, such as workout_i3d.npz.")] = None,
    toy: Annotated[bool, typer.Option("--toy", help="Also streams of planted motifs; needs no data.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; repeatable.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    fold: Annotated[int, typer.Option("--fold", min=0, max=4, help="Of the gym clips, to measure on.")] = 0,
    folder: Annotated[Path, typer.Option("--folder", help="Where trained rows are kept.")] = Path("runs/regimes"),
    json: Json = False,
) -> None:  # fmt: skip
    """Every regime of localization in one table: trained and measured on the same streams; goes on where it stopped."""
    if data is None and gym is None and not toy:
        raise LabanError("nothing to measure on; accepted: --data FOLDER, --gym FILE, --toy, or several of them")
    from action_localization.regimes.streams import gym_set, read_mocap_set, toy_set
    from action_localization.regimes.table import TableConfig, measure_table, ratios, summary, table_lines

    sets = [toy_set()] if toy else []
    sets += [gym_set(gym, fold)] if gym is not None else []
    sets += [read_mocap_set(data, folder / "text", quiet=json)] if data is not None else []
    cells = measure_table(sets, TableConfig(folder / "table", tuple(row or ()), seeds), quiet=json)
    rows = summary(cells)
    emit({"rows": rows, "ratios": ratios(rows)}, json, [*table_lines(rows), *ratios(rows)])
