"""`laban plan --task TASK --start STEP --goal STEP --steps N`: what to do between a first and a last step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from action_localization.anticipation.anticipator import Anticipator
    from action_localization.anticipation.chains import Plan, TaskChains
    from laban.timeline import Timeline

SHOWN = 3
EMBEDDED = "anticipate_tasks"


def command(
    start: Annotated[str, typer.Option(help="First step, in words.")],
    goal: Annotated[str, typer.Option(help="Last step, in words.")],
    steps: Annotated[int, typer.Option(help="Steps of the plan, first and last among them.")] = 4,
    task: Annotated[str | None, typer.Option(help="What is being done, as 'make pancakes' [by both steps].")] = None,
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
    guesses = [] if number is not None else task_guesses(anticipator, first, last, str(learn or checkpoint))
    if guesses:
        number = chains.tasks.index(guesses[0]["task"])
    found = chains.ordered(first, last, steps, number)
    plans, chances = found[:count], place_chances(found)
    files = _write(anticipator, plans, chances, output or [])
    names = anticipator.vocabulary.names
    rows: list[dict[str, Any]] = [
        {
            "task": p.task,
            "steps": [names[s] for s in p.steps],
            "share": p.share,
            "probabilities": [chances[place][s] for place, s in enumerate(p.steps.tolist())],
        }
        for p in plans
    ]
    results: dict[str, Any] = {"start": names[first], "goal": names[last], "plans": rows, "files": files,
                               "task": plans[0].task, "inferred": guesses}  # fmt: skip
    lines = [f"{row['share']:5.0%}  {row['task']}: {' -> '.join(row['steps'])}" for row in rows]
    lines = [*([_said(guesses)] if guesses else []), *lines]
    if max(len(plan) for plan in chains.plans) - 1 < steps:
        print(f"laban: no training plan has {steps} steps in one piece; these follow the task's chain", file=sys.stderr)
    emit(results, json, [*lines, *([f"-> {', '.join(files)}"] if files else [])])


def task_guesses(anticipator: Anticipator, first: int, last: int, where: str) -> list[dict[str, Any]]:
    """The tasks that have both steps, the likeliest first, by the recogniser of goals or the chains alone; [] for none.

    What was seen is taken to be the start and then the goal. LabanError for a recogniser that cannot be read.
    """
    from numpy import array

    from action_localization.anticipation.recogniser import recogniser_of

    recogniser = recogniser_of(anticipator, where)
    among = [i for i, own in enumerate(recogniser.chains.steps) if first in own and last in own]
    if not among:
        return []
    found = recogniser.likeliest(array([first, last] if last != first else [first]), among)
    return [{"task": recogniser.chains.tasks[i], "probability": p, "by": recogniser.by} for i, p in found]


def _said(guesses: Sequence[dict[str, Any]]) -> str:
    """Which task was taken, and what else it could have been."""
    first, *others = guesses
    also = [f"{one['task']} {one['probability']:.0%}" for one in others[:SHOWN] if one["probability"] >= 0.005]
    rest = f"; it could be {', '.join(also)}" if also else ""
    if not others:
        return f"task: {first['task']} (the only one with both steps)"
    return f"task: {first['task']} ({first['probability']:.0%}, by {first['by']}{rest}; --task names another)"


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


def place_chances(plans: Sequence[Plan]) -> list[dict[int, float]]:
    """How probable each step is at each place of the plan: the shares of the plans that have it there."""
    found: list[dict[int, float]] = [{} for _ in plans[0].steps]
    for plan in plans:
        for place, step in zip(found, plan.steps.tolist(), strict=True):
            place[step] = place.get(step, 0.0) + plan.share
    return found


def _timeline(anticipator: Anticipator, plan: Plan, chances: list[dict[int, float]]) -> Timeline:
    from laban.timeline import Segment, Timeline

    segments, at = [], 0.0
    for place, step in enumerate(plan.steps.tolist()):
        long = max(0.1, float(anticipator.seconds[step]))
        segments.append(
            Segment(at, at + long, anticipator.vocabulary.names[step], score=min(1.0, chances[place][step]))
        )
        at += max(0.1, long + anticipator.pause)
    return Timeline(tuple(segments))


def _write(anticipator: Anticipator, plans: Sequence[Plan], chances: list[dict[int, float]],
           outputs: list[Path]) -> list[str]:  # fmt: skip
    from laban.cli.anticipate import FIGURES
    from laban.scores import write_timeline
    from laban.timeline import Timeline

    timelines = [_timeline(anticipator, plan, chances) for plan in plans]
    for path in outputs:
        if path.suffix.lower() in FIGURES:
            from viz.anticipated import draw_anticipated

            start = timelines[0].segments[0]
            later = [Timeline(one.segments[1:] or one.segments) for one in timelines]
            draw_anticipated(Timeline((start,)), later, path, now=start.end, title=plans[0].task,
                             tracks=("start", "plan"))  # fmt: skip
        else:
            write_timeline(path, timelines[0])
    return [str(path) for path in outputs]
