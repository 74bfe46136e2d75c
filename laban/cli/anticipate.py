"""`laban anticipate SCORE|VIDEO`: what comes next, from a score in any form or from what is detected in a video."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli import anticipating, foreshowing
from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError
from laban.timeline import Timeline, clock

if TYPE_CHECKING:
    from action_localization.anticipation.anticipator import Anticipator, Foreseen
    from models.motion import Motion
    from models.video.pose import People

FIGURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
SCORES = (".json", ".csv", ".tsv", ".vtt", ".srt")
WRITTEN = (".json", ".csv", ".tsv", ".vtt", ".srt", ".txt", ".gz")
"""Suffixes that are read as scores; everything else is looked at as video, motion or features."""
SHOWN = 8
"""Actions of a future that a line shows."""


def command(
    source: Annotated[str, typer.Argument(help="Score (json csv tsv vtt srt txt, or an annotation set with --name); "
                                               "video, motion or features, which are detected first.")],
    following: Annotated[int, typer.Option("--next", help="Actions to foresee.")] = 20,
    count: Annotated[int, typer.Option("-k", help="Futures to give.")] = 5,
    output: Annotated[list[Path] | None, typer.Option("--output", "-o", help="png svg pdf: figure; json csv vtt srt: "
                      "the futures as timelines. Repeatable. [NAME.next.png]")] = None,
    name: Annotated[str | None, typer.Option(help="Which timeline of a file with several.")] = None,
    until: Annotated[float | None, typer.Option(help="Observe only so many seconds; what followed is drawn, too.")]
    = None,
    checkpoint: Annotated[str | None, typer.Option(help="Embedded anticipator or folder [the one that fits].")] = None,
    learn: Annotated[Path | None, typer.Option(help="Learn from these annotations instead (any known layout).")] = None,
    goal: Annotated[str, typer.Option(help='What it is all for, also against the facts ("make coffee"); "infer": '
                                           "from what was seen.")] = "",
    lm: Annotated[str | None, typer.Option(help="Who tells the futures: embedded, a .gguf file or transformers folder, "
                                                "or the URL of an OpenAI-compatible server (key: $LABAN_LM_KEY).")]
    = None,
    lm_model: Annotated[str | None, typer.Option(help="The model that the server serves.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Have the whole procedure planned before the future.")] = False,
    captions: Annotated[Path | None, typer.Option(help="Captions as context for --lm (vtt srt csv json txt).")] = None,
    examples: Annotated[Path | None, typer.Option(help="Annotations from which examples for --lm are chosen.")] = None,
    show: Annotated[Path | None, typer.Option(help="Of a motion or a video: mp4 gif png of the motion seen and, as a "
                                                   "ghost, of the next action generated from its last pose.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """Say what will happen next, with probabilities, after what was seen."""
    if checkpoint is not None and learn is not None:
        raise LabanError("--checkpoint and --learn exclude each other; name one")
    outputs = plan_outputs(source, output)
    foreshowing.check_show(show)
    observed = observe(source, name)
    if show is not None and observed.motion is None and not (observed.people and observed.people.people):
        raise LabanError(f"--show {show}: {source} holds no motion; accepted: a motion file, or a video of a person")
    begun = time.perf_counter()
    from action_localization.anticipation.anticipator import read_history

    chosen, anticipator = choose(observed.timeline, checkpoint, learn)
    history = read_history(observed.timeline, anticipator.vocabulary, until)
    notes = [*observed.notes, *notes_on(history.unknown, anticipator, source)]
    if observed.timeline.segments and not history.actions and history.unknown:
        anticipator.vocabulary.action(history.unknown[0])  # no label is known: says so, with the nearest
    wording = anticipating.Wording(lm, lm_model, goal, plan, captions, examples)
    found, said, goals = anticipating.foresee_by(wording, anticipator, chosen, history, count=count,
                                                 length=following, seed=seed)  # fmt: skip
    if found.empty:
        notes.append("nothing was observed: these are the beginnings that the prior knows, no answer to a past")
    spent = time.perf_counter() - begun
    followed = observed.timeline if until is not None else None
    files = write_all(outputs, found, f"{observed.name}: after {clock(found.now)} ({chosen})", followed)
    if show is not None:
        label, chance = found.following[0]
        ahead = (label, chance, float(anticipator.seconds[anticipator.vocabulary.action(label)]))
        motion, begins = foreshowing.motion_of(observed.motion, observed.people)
        said.append(foreshowing.show(motion, found.now - begins, ahead, show, seed=seed, quiet=json))
        files.append(str(show))
    for note in notes:
        print(f"laban: {note}", file=sys.stderr)
    result = {**results(source, chosen, found, files, notes, spent), "language": said, "goals": goals}
    emit(result, json, [*said, *lines(found, chosen, files, spent)])


@dataclass(frozen=True)
class Observed:
    """What was seen, under the source's short name."""

    name: str
    timeline: Timeline
    notes: tuple[str, ...] = ()
    motion: Motion | None = None
    people: People | None = None
    """Who was found in a video, as joints."""


def plan_outputs(source: str, outputs: list[Path] | None) -> tuple[Path, ...]:
    """The files to write; LabanError, before any work, for a suffix that is none of ours or for the source itself."""
    from laban.cli.detect import source_name

    paths = tuple(outputs or [Path(f"{source_name(source)}.next.png")])
    accepted = (*FIGURES, *SCORES)
    for path in paths:
        if path.suffix.lower() not in accepted:
            raise LabanError(f"-o {path}: format {path.suffix!r} is unknown; accepted: {', '.join(accepted)}")
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise LabanError(f"-o {path}: is the source; name another file")
    return paths


def observe(source: str, name: str | None) -> Observed:
    """The score of a file, or the one that is detected in a video, a motion or features."""
    from laban.cli.detect import source_name

    path, short = Path(source), source_name(source)
    if path.suffix.lower() in WRITTEN and not path.is_dir():
        return _written(path, name)
    if name is not None:
        raise LabanError(f"--name {name}: is for files with several timelines; {source} is read as a video")
    from action_localization.detect import (
        DetectOptions,
        detect_feature_file,
        detect_motion_file,
        detect_video,
        source_kind,
    )

    options = DetectOptions()
    kind = source_kind(source, options.checkpoint)
    if kind != "video":
        found = (detect_motion_file if kind == "motion" else detect_feature_file)(source, options)
    else:
        from models.video.reading import open_video, stoppable

        with open_video(source) as video, stoppable(video):
            found = detect_video(video, options)
    return Observed(short, found.timeline, tuple(f"{source}: {note}" for note in found.notes), found.motion,
                    found.people)  # fmt: skip


def _written(path: Path, name: str | None) -> Observed:
    from action_localization.data.corpus import listed
    from action_localization.data.layouts import read_corpus
    from laban.scores import read_timelines

    problems: list[str] = []
    try:
        timelines = read_timelines(path)
    except LabanError as error:
        try:
            corpus = read_corpus(path)
        except LabanError:
            raise error from None
        timelines, problems = corpus.timelines(), listed(corpus.problems)
    if name is None and len(timelines) == 1:
        name = next(iter(timelines))
    if name is None or name not in timelines:
        some = ", ".join(list(timelines)[:3])
        asked = "--name is missing" if name is None else f"--name {name}: is not there"
        raise LabanError(f"{path}: holds {len(timelines)} timelines; {asked}; accepted: {some} …")
    return Observed(name, timelines[name], tuple(problems if len(timelines) == 1 else ()))


def choose(timeline: Timeline, checkpoint: str | None, learn: Path | None) -> tuple[str, Anticipator]:
    """(its name, the anticipator): the one asked for, one learnt on the spot, or the embedded one that fits."""
    from action_localization.anticipation.anticipator import fitting, learn_anticipator, load_anticipator

    if learn is not None:
        from action_localization.anticipation.sequences import read_sequences

        return f"learnt from {learn.name}", learn_anticipator(read_sequences(learn))
    chosen = checkpoint or fitting([segment.label for segment in timeline.segments])
    return chosen, load_anticipator(chosen)


def notes_on(unknown: tuple[str, ...], anticipator: Anticipator, source: str) -> list[str]:
    """What is said of labels that mean no action, with the nearest that do."""
    notes = []
    for label in unknown[:5]:
        near = ", ".join(map(repr, anticipator.vocabulary.nearest(label)))
        notes.append(f"{source}: label {label!r} is not in the vocabulary of {len(anticipator.vocabulary)} actions and "
                     f"is left out; nearest: {near}")  # fmt: skip
    if len(unknown) > 5:
        notes.append(f"{source}: … and {len(unknown) - 5} more labels")
    return notes


def write_all(outputs: tuple[Path, ...], found: Foreseen, title: str, followed: Timeline | None) -> list[str]:
    """Write every output, each whole or not at all."""
    for path in outputs:
        if path.suffix.lower() in FIGURES:
            from viz.anticipated import draw_anticipated

            draw_anticipated(found.history.timeline, found.futures, path, now=found.now, title=title, truth=followed)
        else:
            from laban.scores import write_timelines

            named = {f"future {i}": future for i, future in enumerate(found.futures, 1)}
            write_timelines(path, named, form="results")
    return [str(path) for path in outputs]


def lines(found: Foreseen, chosen: str, files: list[str], spent: float) -> list[str]:
    """What a person reads."""
    past = found.history.timeline.segments
    said = ["observed: " + (", ".join(s.label for s in past[-SHOWN:]) if past else "nothing")]
    said.append("next: " + ", ".join(f"{label} {100 * chance:.0f} %" for label, chance in found.following))
    for number, future in enumerate(found.futures, 1):
        names = [segment.label for segment in future.segments]
        more = f" … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        said.append(f"future {number}: {', '.join(names[:SHOWN])}{more}")
    return [*said, f"{chosen}, {spent:.2f} s -> {', '.join(files)}"]


def results(source: str, chosen: str, found: Foreseen, files: list[str], notes: list[str],
            spent: float) -> dict[str, Any]:  # fmt: skip
    """The same for programs."""
    futures = [[{"start": s.start, "end": s.end, "label": s.label, "probability": s.score} for s in future.segments]
               for future in found.futures]  # fmt: skip
    return {"source": source, "anticipator": chosen, "now": found.now, "prior_only": found.empty,
            "observed": [segment.label for segment in found.history.timeline.segments],
            "unknown": list(found.history.unknown),
            "next": [{"label": n, "probability": p} for n, p in found.following],
            "futures": futures, "files": files, "notes": notes, "seconds": spent}  # fmt: skip
