"""`laban eval timeline`: performed timelines by the judge: recognition, timing and seams, beside real clips."""

from __future__ import annotations

import json as json_format
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.generate import OVERLAP
from laban.cli.options import Device, DeviceOption, Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from laban.timeline import Timeline
    from models.motion import Motion
    from motion.evaluation_mtt import Paired
    from motion.evaluation_timelines import Report, Row
    from motion.timeline_cache import TimelineFunction
    from motion.windows import Method

BENCHMARK = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "timelines.json"


def timeline(
    file: Annotated[
        Path, typer.Argument(help="benchmarks/timelines.json, MTT's JSON, or any score.", show_default=False)
    ] = BENCHMARK,
    data: Annotated[Path | None, typer.Option("--data", help="Folder made by `laban data build`.")] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="Composition; repeatable. One row each.")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Repeatable.")] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of every row, with seeds of their own.")] = 1,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first timelines alone.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Denoising steps.")] = 20,
    guidance: Annotated[float, typer.Option("--guidance", help="How strictly the text is followed.")] = 2.5,
    overlap: Annotated[float, typer.Option("--overlap", min=0, help="Seconds neighbours share at a seam.")] = OVERLAP,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Draws of a prompt that failed (stmc, stmc-blend); 1: none.")
    ] = 1,
    cleanup: Annotated[bool, typer.Option("--cleanup/--no-cleanup", help="Lock feet, filter tremble.")] = True,
    protocol: Annotated[str, typer.Option("--protocol", help="MTT: corrected or as-published.")] = "corrected",
    paired: Annotated[Path | None, typer.Option("--paired", help="MTT: JSON of text → motion file.")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Keep performances here, and go on from them.")] = None,
    device: DeviceOption = Device.auto,
    by_action: Annotated[bool, typer.Option("--by-action", help="Recognition of every action.")] = False,
    json: Json = False,
) -> None:
    """Performed timelines by the judge, one row a method, beside real clips alone, spliced and shuffled."""

    from motion.timeline_items import read_benchmark

    benchmark, asked = read_benchmark(file), _protocol(protocol)
    if benchmark.actions and data is None:
        raise LabanError("--data is missing; accepted: a folder made by `laban data build`, for the real clips")
    methods, checkpoints = _methods(method), checkpoint or ["research"]
    from motion.evaluation_timelines import Plan, evaluate_timelines
    from motion.generate import GenerateConfig

    config = GenerateConfig(steps=steps, guidance=guidance, candidates=candidates, cleanup=cleanup, device=device.value)
    settings = {"steps": steps, "guidance": guidance, "overlap": overlap, "candidates": candidates, "cleanup": cleanup,
                "weights": {name: weights_of(name) for name in checkpoints}}  # fmt: skip
    plan = Plan(tuple((m, c) for c in checkpoints for m in methods), repeats, cache, settings, json)
    generate, chosen = performer(config, overlap), benchmark.first(limit)
    from motion.judge.judge import load_judge

    console = _console()
    finished = _silent if json else lambda row: console.print(summary(row))
    if benchmark.actions and data is not None:
        from models.data.dataset import MotionDataset
        from models.motion_text.examples import read_examples

        examples, _ = read_examples(MotionDataset.open(data), quiet=json)
        report = evaluate_timelines(chosen, examples, load_judge(), generate, plan, finished=finished)
    else:
        from models.text.known import load_known
        from motion.evaluation_mtt import evaluate_mtt
        from motion.generator import load_generator

        own = load_generator(checkpoints[0]).config
        known = load_known([action for action, _ in own.known], own.text)
        report = evaluate_mtt(chosen, load_judge(), generate, plan, known=known, protocol=asked,
                              paired=read_paired(paired), finished=finished)  # fmt: skip
    if json:
        emit(report.to_json(), True, [])
    else:
        print_timelines(report, console, by_action=by_action)


def _methods(names: list[str] | None) -> list[Method]:
    from motion.windows import method_named

    return [method_named(name) for name in dict.fromkeys(names or ["stmc"])]


def _protocol(name: str) -> Any:
    from motion.evaluation_mtt import PROTOCOLS

    if name not in PROTOCOLS:
        raise LabanError(f"--protocol {name}; accepted: {', '.join(PROTOCOLS)}")
    return name


def performer(config: Any, overlap: float) -> TimelineFunction:
    """`motion.compose.generate_timelines` with the given settings, as the protocol calls it."""
    from motion.compose import Control, generate_timelines

    def run(timelines: list[Timeline], method: str, checkpoint: str, seed: int) -> list[Motion]:
        control: Any = {"method": method, "overlap": overlap}
        return generate_timelines(timelines, checkpoint=checkpoint, config=replace(config, seed=seed),
                                  control=Control(**control))  # fmt: skip

    return run


def weights_of(checkpoint: str) -> str:
    """The first letters of the SHA-256 of a checkpoint's weights, so that a cache tells two trainings apart."""
    from laban.weights import find_weights

    config = json_format.loads((find_weights(checkpoint) / "config.json").read_text(encoding="utf-8"))
    return str(config.get("sha256", ""))[:12]


def read_paired(path: Path | None) -> Paired | None:
    """Real clips of MTT's texts, from JSON {text: file} or {text: {"file", "start", "end"}}; files beside it."""
    if path is None:
        return None
    from models.formats import read_motion
    from models.motion_text.features import features_of
    from models.resample import resample
    from motion.evaluation_mtt import paired_clips

    try:
        content = json_format.loads(path.read_text(encoding="utf-8"))
        rows = {str(text): row if isinstance(row, dict) else {"file": row} for text, row in content.items()}
        places = {text: (path.parent / row["file"], float(row.get("start", 0)), row.get("end"))
                  for text, row in rows.items()}  # fmt: skip
    except OSError as error:
        raise LabanError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabanError(f'{path}: {error!r}; accepted: {{"text": "file.npz" or {{"file", "start", "end"}}}}') from None
    clips = {}
    for text, (file, start, end) in places.items():
        rows20 = features_of(resample(read_motion(file), 20.0))[0]
        clips[text] = rows20[round(start * 20) : None if end is None else round(float(end) * 20)]
        if len(clips[text]) < 4:
            raise LabanError(f"{path}: {text!r}: {file} has {len(rows20)} frames at 20 fps, none within the times")
    return paired_clips(clips)


# ------------------------------------------------------------------------------------------------------------ tables


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 180)


def _silent(row: Row) -> None:
    """Stands in for the line of a finished row."""


def summary(row: Row) -> str:
    """One line for a row that is done, long before the table."""
    shown = [f"{name} {row.figures[name].value:.3f}" for name in ("top-1", "M2T R@1", "R@1", "timing error s")
             if name in row.figures]  # fmt: skip
    return f"{row.name}: {', '.join(shown)}"


def print_timelines(report: Report, console: Console | None = None, *, by_action: bool = False) -> None:
    """Figures downwards, rows across; each with its interval, and its share of the real clips' figure."""
    from rich.table import Table

    console = console or _console()
    console.print(f"protocol {report.protocol}; judge {report.judge[:12]}; {report.benchmark}: {report.timelines} "
                  f"timelines, {report.intervals} intervals; {report.repeats} repeats; [95 % bootstrap over "
                  f"timelines], ± 1.96 sd / sqrt(repeats); {_said(report.settings)}")  # fmt: skip
    console.print(report.about, style="dim")
    table = Table(title="figures, and as shares of what real clips reach", title_justify="left")
    for name in ("", "n", *(row.name for row in report.rows)):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    names = list(dict.fromkeys(name for row in report.rows for name in row.figures))
    for name in names:
        count = max(row.figures[name].n for row in report.rows if name in row.figures)
        table.add_row(name, str(count), *(_cell(row, name) for row in report.rows))
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}")
    if by_action:
        _print_actions(report.rows, console)


def _cell(row: Row, name: str) -> str:
    if (found := row.figures.get(name)) is None:
        return ""
    form = ".0f" if abs(found.value) >= 100 else ".3f"
    tail = f" ±{found.spread:{form}}" if found.spread else ""
    shares = {other: own[name] for other, own in row.shares.items() if name in own and "bias" not in name}
    of = "".join(f"\n{s.value:.2f} of {other} [{s.low:.2f}, {s.high:.2f}]" for other, s in shares.items())
    return f"{found.value:{form}}{tail}\n[{found.low:{form}}, {found.high:{form}}]{of}"


def _said(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _print_actions(rows: Sequence[Row], console: Console) -> None:
    from rich.table import Table

    table = Table(title="top-1 by action (intervals)", title_justify="left")
    for name in ("action", *(row.name for row in rows)):
        table.add_column(name, justify="left" if name == "action" else "right")
    for action in sorted({action for row in rows for action in row.actions}):
        cells = (row.actions.get(action) for row in rows)
        table.add_row(action, *("" if cell is None else f"{cell[0]:.2f} ({cell[1]})" for cell in cells))
    console.print(table)
