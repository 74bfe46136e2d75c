"""`laban detect --online SOURCE`: each action the moment it ends, from a video, a camera, a motion or features."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laban.cli.options import emit
from laban.errors import LabanError
from laban.timeline import Segment, clock
from laban.weights import EMBEDDED

if TYPE_CHECKING:
    from action_localization.detect import DetectOptions
    from action_localization.online.lane import OnlineSystem
    from action_localization.online.listening import Session
    from action_localization.online.watching import Arrival

FIGURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")

HORIZON = 2.0
"""Seconds behind which the offline detector is believed where there is no online one."""


@dataclass(frozen=True)
class Stream:
    """What is listened to, what is written, and how; `horizon` in seconds asks the offline detector instead."""

    source: str
    name: str
    outputs: tuple[Path, ...]
    options: DetectOptions
    horizon: float | None = None


def listen(stream: Stream, apart: Mapping[str, object], *, json: bool, verbose: bool) -> None:
    """Run a stream to its end, or to Ctrl-C, saying each action as it ends; then write the files.

    LabanError for options that do not go with a stream: those of `apart` that are not None, and some of `options`.
    """
    from action_localization.detect import source_kind
    from action_localization.online.listening import Session

    for option, value in apart.items():
        if value is not None:
            raise LabanError(f"{option} {value}: does not go with --online")
    network, config, stream = _loaded(stream)
    options, source = stream.options, stream.source
    kind = source_kind(source, options.checkpoint)
    _check(options, stream.outputs, kind)
    begun, found = time.perf_counter(), list[Segment]()
    with ExitStack() as stack:
        arrivals, grid, notes = stack.enter_context(_arrivals(source, kind, options, config))
        session = Session(network, stream.name, grid)
        if not json:
            print(f"{source}: listening for {len(network.classes)} actions; Ctrl-C ends it", file=sys.stderr)
        stopped = False
        try:
            for segment in session.hear(arrivals):
                _say(segment, found, json)
        except KeyboardInterrupt:
            stopped = True
            print("laban: stopped; keeping what was found", file=sys.stderr)
    for segment in session.close():
        _say(segment, found, json)
    passed = time.perf_counter() - begun
    notes = [*notes, *session.notes]
    for note in notes:
        print(f"laban: {source}: {note}", file=sys.stderr)
    files = _write(session, stream)
    _finish(session, source, files, notes, passed, json=json, verbose=verbose, stopped=stopped)


def _loaded(stream: Stream) -> tuple[OnlineSystem, dict[str, Any], Stream]:
    """(detector, its configuration, the stream with the checkpoint that is meant)."""
    from action_localization.detect import NAME as OFFLINE
    from action_localization.online.listening import NAME, behind_horizon, load_online

    options = stream.options
    if stream.horizon is None and options.checkpoint == OFFLINE and not (EMBEDDED / NAME / "config.json").is_file():
        print(f"laban: checkpoint {NAME} is not here (python -m action_localization.online.build makes it); the "
              f"offline detector speaks, {HORIZON:g} s late", file=sys.stderr)  # fmt: skip
        stream = replace(stream, horizon=HORIZON)
    if stream.horizon is not None:
        network, config = behind_horizon(options.checkpoint, stream.horizon, options.threshold)
        return network, config, stream
    if options.checkpoint == OFFLINE:
        options = replace(options, checkpoint=NAME)
    own, config = load_online(options.checkpoint)
    if options.threshold is not None:
        own.threshold.fill_(max(options.threshold, 1e-6))
    return own, config, replace(stream, options=options)


def _check(options: DetectOptions, outputs: tuple[Path, ...], kind: str) -> None:
    if options.people != 1:
        raise LabanError(f"--people {options.people}: --online follows the most prominent person alone; accepted: 1")
    film = [path for path in outputs if path.suffix.lower() == ".mp4"]
    if film:
        raise LabanError(f"-o {film[0]}: a stream is drawn by `laban detect` without --online; accepted: scores and "
                         f"{', '.join(FIGURES)}")  # fmt: skip
    for option, value in (("--rate", options.rate), ("--seconds", options.seconds)):
        if value is not None and kind != "video":
            raise LabanError(f"{option} {value:g}: is for videos; the source is read as {kind}")


@contextmanager
def _arrivals(
    source: str, kind: str, options: DetectOptions, config: dict[str, Any]
) -> Iterator[tuple[Iterable[Arrival], Any, list[str]]]:
    """(rows as they come, their grid where it is not the pose detector's, notes that grow meanwhile)."""
    from action_localization.online.listening import feature_arrivals, motion_arrivals

    if kind == "features":
        grid, rows = feature_arrivals(source, config)
        yield rows, grid, []
    elif kind == "motion":
        from models.formats import read_motion

        yield motion_arrivals(read_motion(source)), None, []
    else:
        from action_localization.online.watching import watch
        from models.video.reading import open_video, stoppable, until

        with open_video(source, rate=options.rate) as video, stoppable(video):
            if options.seconds is not None:
                video.raw = until(video.raw, options.seconds)
            yield watch(video), None, video.notes


def _say(segment: Segment, found: list[Segment], json: bool) -> None:
    found.append(segment)
    if not json:
        who = f"  person {segment.actor + 1}" if segment.actor else ""
        said = "" if segment.gentime is None else f"  (said at {clock(segment.gentime)})"
        print(f"  {clock(segment.start)} - {clock(segment.end)}  {segment.label:20}  {segment.score:.2f}{said}{who}",
              flush=True)  # fmt: skip


def _write(session: Session, stream: Stream) -> list[str]:
    from laban.scores import write_timelines

    written, timeline = [], session.timeline()
    for path in stream.outputs:
        if path.suffix.lower() in FIGURES:
            from viz.detections import draw_detections

            draw_detections(timeline, path, title=f"{Path(stream.source).name or stream.source}: online")
        elif path.suffix.lower() == ".txt" and not timeline.segments:
            print(f"laban: {path}: STMC text cannot hold a score without segments; not written", file=sys.stderr)
            continue
        else:
            write_timelines(path, {stream.name: timeline}, form="results")
        written.append(str(path))
    return written


def _finish(
    session: Session, source: str, files: list[str], notes: list[str], passed: float, *, json: bool, verbose: bool,
    stopped: bool,
) -> None:  # fmt: skip
    timeline, (median, slowest) = session.timeline(), session.step_seconds()
    count = len(timeline.segments)
    rows = [{"start": s.start, "end": s.end, "label": s.label, "score": s.score, "gentime": s.gentime,
             "person": s.actor + 1} for s in timeline.segments]  # fmt: skip
    real_time = timeline.duration / max(passed, 1e-9)
    steps = {"median": median, "p99": slowest} if timeline.duration else None
    results = {"source": source, "seconds": timeline.duration, "segments": rows, "stopped": stopped, "files": files,
               "notes": notes, "step_seconds": steps, "real_time": real_time}  # fmt: skip
    said = f"{count} action{'s' if count > 1 else ''}" if count else "no action"
    lines = [f"{clock(timeline.duration)} heard, {said}"]
    if verbose and steps:
        lines.append(f"detector: {1e3 * median:.1f} ms a row, 99 % below {1e3 * slowest:.1f} ms; {real_time:.1f} x "
                     "real time in all")  # fmt: skip
    emit(results, json, [*lines, *([f"-> {', '.join(files)}"] if files else [])])
