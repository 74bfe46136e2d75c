"""`laban eval`: figures beside trivial baselines, with protocol, n, seeds and intervals."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.eval_anticipate import anticipate
from laban.cli.eval_ground import ground
from laban.cli.eval_navigate import navigate
from laban.cli.eval_open import open_vocabulary
from laban.cli.eval_react import react
from laban.cli.eval_timeline import timeline
from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from rich.table import Table

    from models.motion import Motion
    from motion.evaluation import Paraphrased, Report, Row

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(anticipate)
app.command()(ground)
app.command()(timeline)
app.command()(navigate)
app.command()(react)
app.command("open")(open_vocabulary)

Data = Annotated[Path, typer.Option("--data", help="Folder made by `laban data build`.")]
Steps = Annotated[int, typer.Option("--steps", help="Denoising steps.", min=1)]
Guidance = Annotated[float, typer.Option("--guidance", help="How strictly the text is followed; 1 = not guided.")]
Candidates = Annotated[int, typer.Option("--candidates", help="Drawn for each clip; the best fit is kept.")]
Method = Annotated[str, typer.Option("--method", help="Sampler: ddim, ddpm or dpm++.")]
SETS = ("test", "test+kinect", "balanced")
FIGURES = ("R@1 micro", "R@2 micro", "R@3 micro", "R@1 macro", "R@3 macro", "accuracy micro", "accuracy macro",
           "matching", "diversity", "KID x1000", "nearest (judge)", "nearest pose cm", "multimodality")  # fmt: skip


@app.callback()
def _eval() -> None:
    """Measure models by the published protocols, beside trivial baselines."""


@app.command()
def generation(
    data: Data,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Repeatable.")] = None,
    items: Annotated[list[str] | None, typer.Option("--set", help=f"Repeatable: {', '.join(SETS)}.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Generated rows, one a seed.", min=1)] = 1,
    samples: Annotated[int, typer.Option("--samples", help="For multimodality: samples of each text.", min=0)] = 0,
    steps: Steps = 20,
    guidance: Guidance = 2.5,
    candidates: Candidates = 4,
    method: Method = "ddim",
    by_action: Annotated[bool, typer.Option("--by-action", help="Kinematics of every action.")] = False,
    json: Json = False,
) -> None:
    """Text-to-motion by the judge: real, generated, retrieval, action oracle and random rows."""
    from motion.evaluation import evaluate_generation
    from motion.judge.judge import load_judge

    chosen = items or list(SETS)
    if unknown := [name for name in chosen if name not in SETS]:
        raise LabanError(f"--set {unknown[0]}; accepted: {', '.join(SETS)}")
    report = evaluate_generation(
        data, load_judge(), sampler(steps, guidance, method, candidates), checkpoints=checkpoint or ["research"],
        sets=chosen, seeds=range(seeds), samples=samples,
    )  # fmt: skip
    if json:
        emit(
            {**report.to_json(), "steps": steps, "guidance": guidance, "method": method, "candidates": candidates},
            True,
            [],
        )
    else:
        print_report(report, by_action=by_action)


@app.command()
def paraphrases(
    file: Annotated[Path, typer.Argument(help='JSON with "paraphrases": a list of {"text", "action"}.')],
    data: Data,
    checkpoint: Annotated[str, typer.Option("--checkpoint")] = "research",
    seeds: Annotated[int, typer.Option("--seeds", help="Samples of each sentence.", min=1)] = 4,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each sample.")] = 4.0,
    steps: Steps = 20,
    guidance: Guidance = 2.5,
    candidates: Candidates = 4,
    method: Method = "ddim",
    json: Json = False,
) -> None:
    """How many sentences in new words give the wanted action, by the judge's classifier."""
    from models.data.dataset import MotionDataset
    from models.motion_text.examples import read_examples
    from motion.evaluation import evaluate_paraphrases
    from motion.judge.judge import load_judge

    judge, pairs = load_judge(), read_pairs(file)
    if unknown := [action for _, action in pairs if action not in judge.actions]:
        raise LabanError(f"{file}: action {unknown[0]!r} is unknown; accepted: {', '.join(judge.actions)}")
    examples, _ = read_examples(MotionDataset.open(data), quiet=json)
    found = evaluate_paraphrases(pairs, judge, sampler(steps, guidance, method, candidates), examples,
                                 checkpoint=checkpoint, seeds=seeds, seconds=seconds)  # fmt: skip
    if json:
        emit(found.to_json(), True, [])
    else:
        print_paraphrases(found)


@app.command()
def detect(
    predictions: Annotated[
        list[Path] | None, typer.Argument(help="Detections: ActivityNet or EPIC JSON, THUMOS14 text, csv, tsv.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="Truth, in any layout that is known.")
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="thumos14, activitynet, epic, ego4d-mq, …")] = "thumos14",
    split: Annotated[str | None, typer.Option("--split", help="Part to score, as the annotations name it.")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Detector to run; repeatable.")] = None,
    features: Annotated[Path | None, typer.Option("--features", help="Folder of features for --checkpoint.")] = None,
    audio: Annotated[Path | None, typer.Option("--audio", help="Folder of sound for a checkpoint that hears.")] = None,
    grid: Annotated[str | None, typer.Option("--grid", help="FPS,STRIDE,WINDOW[,OFFSET] without side-cars.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Name of the array in npz and h5 files.")] = None,
    task: Annotated[str, typer.Option("--task", help="EPIC, EGTEA: verb, noun or action.")] = "action",
    fold: Annotated[int, typer.Option("--fold", min=1, help="Of several published splits.")] = 1,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", help="map, proposals (AR, AUC), recall (R@kx); repeatable.")
    ] = None,
    bootstraps: Annotated[int, typer.Option("--bootstraps", min=2, help="For the intervals.")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Detections of files or of checkpoints by a protocol, with intervals, beside trivial detections."""
    from action_localization.data.corpus import listed
    from action_localization.data.layouts import read_corpus
    from action_localization.data.options import ReadOptions
    from action_localization.evaluation.measures import measure_named, measure_report, usual_measures
    from action_localization.evaluation.protocols import protocol_named
    from action_localization.evaluation.report import detection_report, submitted
    from action_localization.regimes.own import detect_corpus
    from action_localization.spine.learn import feature_folder, side_car_of, task_named

    if annotations is None or not (predictions or checkpoint) or bool(checkpoint) != bool(features):
        raise LabanError("eval detect: accepted: PREDICTIONS, or --checkpoint with --features; and --annotations")
    rule, chosen = protocol_named(protocol), task_named(task)
    asked = [measure_named(name) for name in dict.fromkeys(measure or [])]
    corpus = read_corpus(annotations, ReadOptions(task=chosen, fold=fold))
    corpus = corpus.part(split) if split else corpus
    problems = listed(corpus.problems)
    found = {name: submitted(path, annotations, chosen) for name, path in _named(predictions or []).items()}
    if features is not None:
        folder = feature_folder(features, audio, side_car=side_car_of(grid), key=key)
        if missing := [name for name in corpus.videos if folder.path(name) is None]:
            problems.append(f"{len(missing)} of {len(corpus.videos)} videos have no features, first {missing[0]}: "
                            "what is true in them counts as missed")  # fmt: skip
        found.update({name: detect_corpus(name, corpus, folder, quiet=json) for name in checkpoint or ()})
    results: dict[str, Any] = {"protocol": rule.name}
    tables = []
    for name in asked or usual_measures(corpus, found, rule):
        if name == "map":
            report = detection_report(corpus, found, rule, repeats=bootstraps, seed=seed)
            results |= report.to_json()
            tables.append(report.table())
        else:
            other = measure_report(corpus, found, rule, name, repeats=bootstraps, seed=seed)
            results[name] = other.to_json()
            tables.append(other.table())
    results |= {"split": split, "seed": seed, "problems": problems}
    emit(results, json, ["\n\n".join(tables), *(f"note: {problem}" for problem in problems)])


@app.command()
def segmentation(
    predictions: Annotated[Path, typer.Argument(help="Folder of VIDEO.txt with a label a line, or MS-TCN's files.")],
    annotations: Annotated[
        Path, typer.Option("--annotations", help="Frame labels: MS-TCN's folders, or JSON of runs.")
    ],
    split: Annotated[str | None, typer.Option("--split", help="Part to score, as the annotations name it.")] = None,
    fold: Annotated[int, typer.Option("--fold", min=1, help="Of several published splits.")] = 1,
    fps: Annotated[float | None, typer.Option("--fps", help="Where the annotations do not state it.")] = None,
    background: Annotated[list[str] | None, typer.Option("--background", help="Of no segment; repeatable.")] = None,
    bootstraps: Annotated[int, typer.Option("--bootstraps", min=2, help="For the intervals.")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Frame labels by MS-TCN's protocol: accuracy, edit and F1@k, beside the most common label everywhere."""
    from action_localization.data.corpus import listed
    from action_localization.data.layouts import read_corpus
    from action_localization.data.options import ReadOptions
    from action_localization.evaluation.files import read_frame_labels
    from action_localization.evaluation.measures import segmentation_report

    corpus = read_corpus(annotations, ReadOptions(fold=fold, fps=fps))
    corpus = corpus.part(split) if split else corpus
    found = {predictions.name: read_frame_labels(predictions)}
    report = segmentation_report(corpus, found, background=background or ["background"], repeats=bootstraps, seed=seed)
    problems = listed(corpus.problems)
    results = {**report.to_json(), "split": split, "seed": seed, "problems": problems}
    emit(results, json, [report.table(), *(f"note: {problem}" for problem in problems)])


def _named(paths: list[Path]) -> dict[str, Path]:
    """Files by their names, or by their paths where two have one name."""
    names = [path.name for path in paths]
    return {name if names.count(name) == 1 else str(path): path for name, path in zip(names, paths, strict=True)}


def sampler(steps: int, guidance: float, method: str, candidates: int, cleanup: bool = True) -> Any:
    """`motion.generate.generate` with the given settings, as the protocol calls it."""
    from typing import cast, get_args

    from models.diffusion.sampler import Method as SamplerMethod
    from motion.generate import GenerateConfig, generate

    if method not in get_args(SamplerMethod):
        raise LabanError(f"--method {method}; accepted: {', '.join(get_args(SamplerMethod))}")

    def run(texts: list[str], seconds: list[float], checkpoint: str, seed: int) -> list[Motion]:
        chosen = cast(SamplerMethod, method)
        config = GenerateConfig(steps=steps, guidance=guidance, seed=seed, method=chosen, candidates=candidates,
                                cleanup=cleanup)  # fmt: skip
        return generate(texts, seconds, checkpoint=checkpoint, config=config)

    return run


def read_pairs(file: Path) -> list[tuple[str, str]]:
    """(text, action) of a paraphrase file; LabanError names what is wrong with it."""
    try:
        content = json_format.loads(file.read_text(encoding="utf-8"))
        return [(str(pair["text"]), str(pair["action"])) for pair in content["paraphrases"]]
    except OSError as error:
        raise LabanError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LabanError(f'{file}: {error!r}; accepted: {{"paraphrases": [{{"text", "action"}}]}}') from None


# ------------------------------------------------------------------------------------------------------------ tables


def print_report(report: Report, *, by_action: bool = False) -> None:
    """Tables of figures and of kinematics, one of each for every item set."""
    from rich.console import Console

    console = Console(width=None if Console().is_terminal else 160)
    console.print(f"protocol {report.protocol}; judge {report.judge[:12]}; seeds {', '.join(map(str, report.seeds))}; "
                  f"{report.training_clips} training clips; R-precision in pools of 32, [95 % bootstrap over clips], "
                  "± over draws; KID against the set's real clips, for these between halves")  # fmt: skip
    for name, about in report.sets.items():
        rows = [row for row in report.rows if row.set == name]
        console.print(_figures_table(f"{name}: {about}", rows))
        console.print(_kinematics_table(f"{name}: kinematics, mean (ratio to captured clips of the same action)", rows))
        if by_action:
            for row in rows:
                if row.name.startswith("generated"):
                    console.print(_actions_table(row))


def _figures_table(title: str, rows: list[Row]) -> Table:
    """Figures downwards, rows of the protocol across; R@3 also as a share of the real clips'."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(row.name, justify="right", overflow="fold")
    real = next((row for row in rows if row.name == "real"), None)
    for name in (name for name in FIGURES if any(name in row.figures for row in rows)):
        table.add_row(name, *(_shown(row.figures.get(name), row.figures.get("KID sd"), name) for row in rows))
        if name.startswith("R@3") and real is not None:
            table.add_row("  of real", *(_share(row.figures.get(name), real.figures[name]) for row in rows))
    return table


def _share(value: Any, real: Any) -> str:
    return "" if value is None else f"{100 * value.value / real.value:.1f} %"


def _shown(value: Any, spread: Any, name: str) -> str:
    if value is None:
        return ""
    if name == "KID x1000":
        return f"{value:.1f} ±{spread:.1f}"
    if isinstance(value, float):
        return f"{value:.3f}" if value < 1 else f"{value:.1f}"
    tail = f" ±{value.spread:.3f}" if value.spread else ""
    return f"{value.value:.3f}{tail}\n[{value.low:.3f}, {value.high:.3f}]"


def _kinematics_table(title: str, rows: list[Row]) -> Table:
    from rich.table import Table

    from motion.metrics import KINEMATICS

    table = Table(title=title, title_justify="left")
    table.add_column("row")
    table.add_column("n", justify="right")
    for name, unit in KINEMATICS.items():
        table.add_column(f"{name} {unit}", justify="right")
    for row in rows:
        if overall := row.kinematics.get("all"):
            table.add_row(row.name, str(next(iter(overall.values())).clips), *(_ratio(overall[k]) for k in KINEMATICS))
    return table


def _ratio(value: Any) -> str:
    return f"{value.generated:.3g} ({'-' if value.ratio is None else f'{value.ratio:.2f}'})"


def _actions_table(row: Row) -> Table:
    from rich.table import Table

    from motion.metrics import KINEMATICS

    table = Table(title=f"{row.set}, {row.name}: by action", title_justify="left")
    for name in ("action", "clips", "captured", *KINEMATICS):
        table.add_column(name, justify="left" if name == "action" else "right")
    for action, values in row.kinematics.items():
        first = next(iter(values.values()))
        table.add_row(action, str(first.clips), str(first.captured), *(_ratio(values[name]) for name in KINEMATICS))
    return table


def print_paraphrases(found: Paraphrased) -> None:
    """One line for each sentence, then the share that is right."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 140)
    table = Table(title=f"paraphrases, checkpoint {found.checkpoint}, {found.seeds} seeds of {found.seconds:g} s, "
                        f"judge {found.judge[:12]}", title_justify="left")  # fmt: skip
    for name in ("sentence", "action", "right", "mostly taken for"):
        table.add_column(name)
    for text, action, right, mostly in found.by_text:
        table.add_row(text, action, f"{right}/{found.seeds}", "" if mostly == action else mostly)
    console.print(table)
    console.print(f"right: {found.right} of {found.right.n}; reference, real clips of the same actions "
                  f"(training takes included, macro): {found.real}")  # fmt: skip
