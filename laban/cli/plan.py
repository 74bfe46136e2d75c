"""`laban plan --task TASK --start STEP --goal STEP --steps N`: what to do between a first and a last step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from action_localization.anticipation.anticipator import Anticipator
    from action_localization.anticipation.chains import Plan, TaskChains

SHOWN = 3
EMBEDDED = "anticipate_tasks"


def command(
    start: Annotated[str, typer.Option(help="First step, in words.")],
    goal: Annotated[str, typer.Option(help="Last step, in words.")],
    steps: Annotated[int, typer.Option(help="Steps of the plan, first and last among them.")] = 4,
    task: Annotated[str | None, typer.Option(help="What is being done, as 'make pancakes' [any task].")] = None,
    count: Annotated[int, typer.Option("-k", min=1, help="Plans to give.")] = SHOWN,
    output: Annotated[list[Path] | None, typer.Option("--output", "-o", help="The best plan as a timeline: json csv "
                      "tsv vtt srt; or drawn: png svg pdf. Repeatable.")] = None,
    checkpoint: Annotated[str, typer.Option(help="Embedded anticipator with tasks, or a folder.")] = EMBEDDED,
    learn: Annotated[Path | None, typer.Option(help="Learn from these annotations instead (COIN, CrossTask …).")]
    = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Find the steps between a first and a last one, from how people did the task."""
    from laban.cli.anticipate import FIGURES, SCORES

    for path in output or []:
        if path.suffix.lower() not in (*FIGURES, *SCORES):
            accepted = ", ".join((*FIGURES, *SCORES))
            raise LabanError(f"-o {path}: format {path.suffix!r} is unknown; accepted: {accepted}")
    anticipator = _anticipator(checkpoint, learn)
    chains = anticipator.chains
    if chains is None:
        raise LabanError(f"{learn or checkpoint}: knows no tasks; accepted: annotations that say each video's task")
    number = None if task is None else chains.task(task)
    first, last = (step_named(chains, text, number, option) for text, option in ((start, "--start"), (goal, "--goal")))
    plans = chains.ranked(first, last, steps, number)[:count]
    files = _write(anticipator, plans[0], output or [])
    names = anticipator.vocabulary.names
    rows: list[dict[str, Any]] = [
        {"task": p.task, "steps": [names[s] for s in p.steps], "share": p.share} for p in plans
    ]
    results: dict[str, Any] = {"start": names[first], "goal": names[last], "plans": rows, "files": files}
    lines = [f"{row['share']:5.0%}  {row['task']}: {' -> '.join(row['steps'])}" for row in rows]
    if max(len(plan) for plan in chains.plans) - 1 < steps:
        print(f"laban: no training plan has {steps} steps in one piece; these follow the task's chain", file=sys.stderr)
    emit(results, json, [*lines, *([f"-> {', '.join(files)}"] if files else [])])


def step_named(chains: TaskChains, text: str, task: int | None, option: str) -> int:
    """The step that a text means, among those of the task; LabanError with the nearest of them."""
    from action_localization.anticipation.vocabulary import Vocabulary

    own = [int(step) for step in (range(len(chains.vocabulary)) if task is None else chains.steps[task])]
    known = Vocabulary(
        tuple(chains.vocabulary.names[step] for step in own), tuple(chains.vocabulary.pairs[step] for step in own)
    )
    try:
        return own[known.action(text)]
    except LabanError as error:
        raise LabanError(f"{option}: {error}") from None


def _anticipator(checkpoint: str, learn: Path | None) -> Anticipator:
    from action_localization.anticipation.anticipator import learn_anticipator, load_anticipator

    if learn is None:
        return load_anticipator(checkpoint)
    from action_localization.anticipation.sequences import read_sequences

    return learn_anticipator(read_sequences(learn))


def _write(anticipator: Anticipator, plan: Plan, outputs: list[Path]) -> list[str]:
    from laban.cli.anticipate import FIGURES
    from laban.scores import write_timeline
    from laban.timeline import Segment, Timeline

    segments, at = [], 0.0
    for step in plan.steps.tolist():
        long = max(0.1, float(anticipator.seconds[step]))
        segments.append(Segment(at, at + long, anticipator.vocabulary.names[step]))
        at += max(0.1, long + anticipator.pause)
    timeline = Timeline(tuple(segments))
    for path in outputs:
        if path.suffix.lower() in FIGURES:
            from viz.timeline import draw_timeline

            draw_timeline(timeline, path)
        else:
            write_timeline(path, timeline)
    return [str(path) for path in outputs]
