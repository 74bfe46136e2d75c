"""`laban ground VIDEO|MOTION|FEATURES "the person waves with both hands"`: where a sentence is true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.detect import FIGURES, FILM, Job, check_film, check_reading, plan_outputs, source_name
from laban.cli.options import Json, emit
from laban.progress import progress
from laban.timeline import Segment, clock

if TYPE_CHECKING:
    from action_localization.detect import Kind
    from action_localization.grounded.ground import GroundedSource, GroundOptions
    from viz.sheet import Thumbnails


def command(
    source: Annotated[str, typer.Argument(help="Video, folder of images, /dev/video0 or rtsp://…; motion (.npz .bvh "
                                               ".glb .npy); or features of `laban extract` (pose_confidence).")],
    query: Annotated[str, typer.Argument(help='A sentence in English: "the person waves with both hands".')],
    count: Annotated[int, typer.Option("-k", min=1, help="Give at most this many spans for each person.")] = 5,
    output: Annotated[list[Path] | None, typer.Option("--output", "-o", help="json csv tsv vtt srt txt, png svg pdf "
                                                      "(curve and pictures), mp4 (overlay). Repeatable. "
                                                      "[SOURCE.ground.json and .png, here]")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Also write the video with the spans (.mp4).")] = None,
    checkpoint: Annotated[str, typer.Option(help="Embedded grounder, or a folder.")] = "ground",
    people: Annotated[int, typer.Option(help="Follow at most this many people at a time.")] = 1,
    threshold: Annotated[float | None, typer.Option(help="Show spans that score at least this.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frame rate of a folder of images, or of a wrong file.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Read only this much, as of a camera.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Find where a sentence is true: in a video, a motion, or features of poses."""
    name = source_name(source)
    planned = plan_outputs(source, output or [Path(f"{name}.ground.json"), Path(f"{name}.ground.png")], overlay)
    job = Job(source, planned)
    from action_localization.detect import DetectOptions, source_kind
    from action_localization.grounded.ground import GroundOptions, checked_sentence, own_grounder

    options = GroundOptions(checkpoint, count, people, threshold, rate, seconds)
    checked_sentence(query)
    kind = source_kind(source, checkpoint) if own_grounder(checkpoint) else source_kind(source)
    check_film(job, kind)
    check_reading(DetectOptions(people=people, rate=rate, seconds=seconds), kind)
    found, thumbnails = _ground(job, kind, query, options, quiet=json)
    for note in found.notes:
        print(f"laban: {source}: {note}", file=sys.stderr)
    files = _write_all(job, found, thumbnails, options, quiet=json)
    results = {
        "source": source, "query": found.sentence, "seconds": found.timeline.duration, "people": found.persons,
        "threshold": found.threshold, "found": bool(found.timeline.segments),
        "spans": [_row(segment) for segment in _ranked(found.timeline.segments)],
        "candidates": [_row(segment) for segment in _ranked(found.candidates.segments)],
        "files": files, "notes": list(found.notes),
    }  # fmt: skip
    emit(results, json, [*_lines(job, found), f"-> {', '.join(files)}"])


def _ground(
    job: Job, kind: Kind, query: str, options: GroundOptions, *, quiet: bool
) -> tuple[GroundedSource, Thumbnails | None]:
    from action_localization.grounded.ground import ground_source

    if kind != "video":
        return ground_source(job.source, query, options, kind=kind), None
    from models.video.pose import FPS
    from models.video.reading import open_video, stoppable, tidy_times
    from viz.sheet import Thumbnails

    thumbnails = Thumbnails() if any(path.suffix.lower() in FIGURES for path in job.outputs) else None
    with open_video(job.source, rate=options.rate) as video, stoppable(video):
        if thumbnails is not None:
            video.raw = thumbnails.watch(tidy_times(video.raw, video.info, video.notes), video.size())
        lasts = min((s for s in (video.info.seconds, options.seconds) if s is not None), default=None)
        with progress(f"reading {job.name}", None if lasts is None else round(lasts * FPS), quiet=quiet) as advance:
            return ground_source(video, query, options, advance=advance), thumbnails


def _write_all(
    job: Job, found: GroundedSource, thumbnails: Thumbnails | None, options: GroundOptions, *, quiet: bool
) -> list[str]:
    """Write every output, each whole or not at all; returns those written."""
    from laban.scores import write_timelines

    written = []
    for path in job.outputs:
        suffix = path.suffix.lower()
        if suffix in FIGURES:
            from viz.grounded import draw_grounded
            from viz.sheet import motion_thumbnails

            if found.motion is not None and thumbnails is None:
                thumbnails = motion_thumbnails(found.motion)
            draw_grounded(found.timeline, found.curves, path, threshold=found.threshold, title=_headline(job, found),
                          thumbnails=thumbnails)  # fmt: skip
        elif suffix == FILM:
            _write_film(job, path, found, options, quiet=quiet)
        elif suffix == ".txt" and not found.timeline.segments:
            print(f"laban: {path}: STMC text cannot hold a score without segments; not written", file=sys.stderr)
            continue
        else:
            write_timelines(path, {job.name: found.timeline}, form="results")
        written.append(str(path))
    return written


def _write_film(job: Job, path: Path, found: GroundedSource, options: GroundOptions, *, quiet: bool) -> None:
    from viz.overlay import Detected, overlay_motion, overlay_video

    with progress(f"drawing {path.name}", None, quiet=quiet) as advance:
        if found.motion is not None:
            overlay_motion(found.motion, path, found.timeline, advance=advance)
        elif found.people is not None:
            detected = Detected(found.timeline, found.streams, found.people.size)
            overlay_video(job.source, path, detected, rate=options.rate, seconds=options.seconds, advance=advance)


def _headline(job: Job, found: GroundedSource) -> str:
    """`clip.mp4, 0:24.2: "a person waves" in 2 stretches`."""
    count = len(found.timeline.segments)
    nobody = found.persons == 0
    said = "nobody in view" if nobody else "not found" if not count else f"{count} stretch{'es' if count > 1 else ''}"
    name = Path(job.source).name or job.source
    return f'{name}, {clock(found.timeline.duration)}: "{found.sentence}": {said}'


def _lines(job: Job, found: GroundedSource) -> list[str]:
    """What a person reads: a line for each span, the best first, grouped by person where there are several."""
    lines = [_headline(job, found)]
    for segment in _ranked(found.timeline.segments):
        whose = f"person {segment.actor + 1}  " if (found.persons or 1) > 1 else ""
        lines.append(f"  {clock(segment.start)} - {clock(segment.end)}  {whose}{segment.score:.2f}")
    if not found.timeline.segments and found.candidates.segments:
        best = _ranked(found.candidates.segments)[0]
        lines.append(f"  nothing reaches {found.threshold:.2f}; nearest was {clock(best.start)} - {clock(best.end)}, "
                     f"score {best.score:.2f}")  # fmt: skip
    return lines


def _ranked(segments: tuple[Segment, ...]) -> list[Segment]:
    return sorted(segments, key=lambda segment: (segment.actor, -segment.score))


def _row(segment: Segment) -> dict[str, Any]:
    return {"start": segment.start, "end": segment.end, "score": segment.score, "person": segment.actor + 1}
