"""`laban detect VIDEO|MOTION|FEATURES`: when each action starts and ends."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Json, emit
from laban.errors import LabanError
from laban.progress import progress
from laban.timeline import Segment, Timeline, clock

if TYPE_CHECKING:
    from action_localization.detect import DetectOptions, Found, Kind
    from action_localization.open_vocabulary.labels import Labels
    from action_localization.truth import Match
    from viz.sheet import Thumbnails

SCORES = (".json", ".csv", ".tsv", ".vtt", ".srt", ".txt")
FIGURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
FILM = ".mp4"
LIKELIEST = 2
"""Classes that are named for a whole recording."""

Outputs = Annotated[
    list[Path] | None,
    typer.Option("--output", "-o", help="File to write: json csv tsv vtt srt txt (STMC), png svg pdf (timeline), mp4 "
                                        "(overlay). Repeatable. [SOURCE.actions.json and .png, here]"),
]  # fmt: skip


def command(
    source: Annotated[str, typer.Argument(help="Video, folder of images, /dev/video0 or rtsp://…; motion (.npz .bvh "
                                               ".glb .npy); or features (.npz .npy .h5) with their checkpoint.")],
    output: Outputs = None,
    overlay: Annotated[Path | None, typer.Option(help="Also write the video with labels and skeletons (.mp4).")] = None,
    checkpoint: Annotated[str, typer.Option(help="Embedded detector, or a folder that training made.")] = "detect",
    people: Annotated[int, typer.Option(help="Follow at most this many people at a time.")] = 1,
    threshold: Annotated[float | None, typer.Option(help="Show what scores at least this, else each class's own bar.")]
    = None,
    truth: Annotated[Path | None, typer.Option(help="File with the true segments, to draw and compare.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frame rate of a folder of images, or of a wrong file.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Read only this much, as of a camera.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Beside features: sound, for a detector that hears.")] = None,
    labels: Annotated[str | None, typer.Option(help="Find these instead, in your own words: 'waves, sits down', or a "
                                               "text file with one a line.")] = None,
    method: Annotated[str | None, typer.Option(help="With --labels: stov-tal, t3al or frame.")] = None,
    weights: Annotated[Path | None, typer.Option(help="With --labels: the open_clip weights that the features are of.")]
    = None,
    online: Annotated[bool, typer.Option("--online", help="Say each action the moment it ends, knowing nothing of "
                                                          "what comes.")] = False,
    horizon: Annotated[float | None, typer.Option(help="With --online: ask the offline detector again and again, and "
                                                       "believe it so many seconds back.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say how long each part took.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Find when each action starts and ends: in a video, a motion, or features."""
    job = Job(source, plan_outputs(source, output, overlay))
    from action_localization.detect import DetectOptions, checkpoint_classes, source_kind
    from action_localization.truth import read_truth

    options = DetectOptions(checkpoint, people, threshold, rate, seconds, audio)
    if online:
        from laban.cli.online import Stream, listen

        apart = {"--truth": truth, "--labels": labels, "--audio": audio}
        listen(Stream(source, job.name, job.outputs, options, horizon), apart, json=json, verbose=verbose)
        return
    if horizon is not None:
        raise LabanError(f"--horizon {horizon:g}: goes with --online alone")
    kind = source_kind(source, "detect" if labels is not None else checkpoint)
    check_film(job, kind)
    check_reading(options, kind)
    words = _words(labels, method, weights, kind)
    classes = checkpoint_classes(checkpoint) if words is None else words.labels.names
    true, problems = read_truth(truth, job.name, classes) if truth else (None, [])
    begun = time.perf_counter()
    found, thumbnails = _detect(job, kind, options, words, quiet=json)
    detected = time.perf_counter()
    for note in (*found.notes, *problems):
        print(f"laban: {note if note in problems else f'{source}: {note}'}", file=sys.stderr)
    files = _write_all(job, found, true, thumbnails, options, quiet=json)
    timings = Timings(found.encoding_seconds, found.detecting_seconds, time.perf_counter() - detected,
                      detected - begun)  # fmt: skip
    results, lines = _results(job, found, files, timings), _lines(job, found, verbose=verbose, timings=timings)
    if true is not None:
        compared, said = _compared(found.timeline, true)
        results["truth"] = {**compared, "problems": problems}
        lines += said
    emit(results, json, [*lines, f"-> {', '.join(files)}"])


@dataclass(frozen=True)
class Job:
    """A source and the files to make of it."""

    source: str
    outputs: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The source's short name: the video's id in files, and the beginning of files named after it."""
        return source_name(self.source)

    @property
    def films(self) -> tuple[Path, ...]:
        """The outputs that are overlays."""
        return tuple(path for path in self.outputs if path.suffix.lower() == FILM)


@dataclass(frozen=True)
class Words:
    """What is asked for with --labels."""

    labels: Labels
    method: str | None
    weights: Path | None


def _words(labels: str | None, method: str | None, weights: Path | None, kind: Kind) -> Words | None:
    """None without --labels; LabanError for wrong labels and for options that do not go together."""
    if labels is None:
        for name, value in (("--method", method), ("--weights", weights)):
            if value is not None:
                raise LabanError(f"{name} {value}: goes with --labels alone")
        return None
    from action_localization.open_vocabulary.labels import METHODS, read_labels

    if method is not None and method not in METHODS:
        raise LabanError(f"--method {method}; accepted: {', '.join(METHODS)}")
    if weights is not None and kind != "features":
        raise LabanError(f"--weights {weights}: are for features of an open_clip tower; the source is read as {kind}")
    return Words(read_labels(labels), method, weights)


@dataclass(frozen=True)
class Timings:
    """Seconds: reading and encoding, detecting, making files, and the first two as they passed."""

    encoding: float
    detecting: float
    files: float
    passed: float


def source_name(source: str) -> str:
    """`clip` of `videos/clip.mp4`, `video0` of `/dev/video0`; only letters that any file system takes of an address."""
    if "://" in source:
        last = re.sub(r"[?#].*", "", source).rstrip("/").rsplit("/", 1)[-1]
        return re.sub(r"[^\w.-]+", "_", Path(last).stem) or "stream"
    path = Path(source)
    return (path.resolve().name if path.is_dir() else path.stem) or "video"


def plan_outputs(source: str, outputs: list[Path] | None, overlay: Path | None) -> tuple[Path, ...]:
    """The files to write; LabanError, before any work, for a suffix, a folder, or the source itself."""
    name = source_name(source)
    paths = list(outputs or [Path(f"{name}.actions.json"), Path(f"{name}.actions.png")])
    if overlay is not None:
        if overlay.suffix.lower() != FILM:
            raise LabanError(f"--overlay {overlay}: found the suffix {overlay.suffix or '(none)'}; accepted: {FILM}")
        paths.append(overlay)
    accepted = (*SCORES, *FIGURES, FILM)
    for path in paths:
        if path.suffix.lower() not in accepted:
            raise LabanError(f"-o {path}: format {path.suffix!r} is unknown; accepted: {', '.join(accepted)}")
        if path.is_dir():
            raise LabanError(f"-o {path}: is a folder; name a file to write")
        if "://" not in source and path.exists() and Path(source).exists() and path.samefile(source):
            raise LabanError(f"-o {path}: is the source; name another file")
    return tuple(dict.fromkeys(paths))


def check_film(job: Job, kind: Kind) -> None:
    """LabanError where an overlay is asked for that cannot be made."""
    from models.video.container import is_live

    if job.films and kind == "features":
        raise LabanError(f"-o {job.films[0]}: features have no pictures; accepted: {', '.join((*SCORES, *FIGURES))}")
    if job.films and kind == "video" and is_live(job.source):
        raise LabanError(f"-o {job.films[0]}: {job.source} can be read only once; record it to a file first")


def check_reading(options: DetectOptions, kind: Kind) -> None:
    """LabanError for an option that only the reading of a video heeds."""
    for name, value in (("--rate", options.rate), ("--seconds", options.seconds)):
        if value is not None and kind != "video":
            raise LabanError(f"{name} {value:g}: is for videos; the source is read as {kind}")
    if options.audio is not None and kind != "features":
        raise LabanError(f"--audio {options.audio}: is for features; a {kind} brings its own sound, or none")


def _detect(
    job: Job, kind: Kind, options: DetectOptions, words: Words | None, *, quiet: bool
) -> tuple[Found, Thumbnails | None]:
    from action_localization.detect import detect_feature_file, detect_motion_file, detect_video

    if words is not None:
        from action_localization.open_vocabulary.search import search_file, search_for

        if kind == "features":
            found = search_file(job.source, words.labels, words.method, weights=words.weights, options=options)
            return found, None
        finder = search_for(words.labels, words.method, localizer=options.checkpoint)
    else:
        finder = None
    if kind == "features":
        return detect_feature_file(job.source, options), None
    if kind == "motion":
        return detect_motion_file(job.source, options, finder=finder), None
    from models.video.pose import FPS
    from models.video.reading import open_video, stoppable, tidy_times
    from viz.sheet import Thumbnails

    thumbnails = Thumbnails() if any(path.suffix.lower() in FIGURES for path in job.outputs) else None
    with open_video(job.source, rate=options.rate) as video, stoppable(video):
        if thumbnails is not None:
            video.raw = thumbnails.watch(tidy_times(video.raw, video.info, video.notes), video.size())
        lasts = min((s for s in (video.info.seconds, options.seconds) if s is not None), default=None)
        total = None if lasts is None else round(lasts * FPS)
        with progress(f"reading {job.name}", total, quiet=quiet) as advance:
            return detect_video(video, options, finder=finder, advance=advance), thumbnails


def _write_all(
    job: Job, found: Found, truth: Timeline | None, thumbnails: Thumbnails | None, options: DetectOptions, *,
    quiet: bool,
) -> list[str]:  # fmt: skip
    """Write every output, each whole or not at all; returns those written."""
    from laban.scores import write_timelines

    written = []
    for path in job.outputs:
        suffix = path.suffix.lower()
        if suffix in FIGURES:
            from viz.detections import draw_detections
            from viz.sheet import motion_thumbnails

            if found.motion is not None and thumbnails is None:
                thumbnails = motion_thumbnails(found.motion)
            draw_detections(found.timeline, path, title=_headline(job, found), truth=truth, thumbnails=thumbnails)
        elif suffix == FILM:
            _write_film(job, path, found, truth, options, quiet=quiet)
        elif suffix == ".txt" and not found.timeline.segments:
            print(f"laban: {path}: STMC text cannot hold a score without segments; not written", file=sys.stderr)
            continue
        else:
            write_timelines(path, {job.name: found.timeline}, form="results")
        written.append(str(path))
    return written


def _write_film(
    job: Job, path: Path, found: Found, truth: Timeline | None, options: DetectOptions, *, quiet: bool
) -> None:
    from viz.overlay import Detected, overlay_motion, overlay_video

    with progress(f"drawing {path.name}", None, quiet=quiet) as advance:
        if found.motion is not None:
            overlay_motion(found.motion, path, found.timeline, truth=truth, advance=advance)
        elif found.people is not None:
            detected = Detected(found.timeline, found.streams, found.people.size, truth)
            overlay_video(job.source, path, detected, rate=options.rate, seconds=options.seconds, advance=advance)


def _headline(job: Job, found: Found) -> str:
    """`clip.mp4: 0:24.2, 1 person in view, 3 actions`."""
    count, persons = len(found.timeline.segments), found.persons
    seen = {None: "", 0: ", no person in view", 1: ", 1 person in view"}.get(persons, f", {persons} people in view")
    actions = "no action found" if not count else f"{count} action{'s' if count > 1 else ''}"
    return f"{Path(job.source).name or job.source}: {clock(found.timeline.duration)}{seen}, {actions}"


def _lines(job: Job, found: Found, *, verbose: bool, timings: Timings) -> list[str]:
    """What a person reads: a row for each segment, grouped by person where there are several."""
    lines = [_headline(job, found)]
    segments = found.timeline.segments
    width = max((len(segment.label) for segment in segments), default=0)
    actors = sorted({segment.actor for segment in segments})
    for actor in actors:
        if (found.persons or 1) > 1:
            lines.append(f"person {actor + 1}")
        lines += [f"  {_span(s)}  {s.label:{width}}  {s.score:.2f}" for s in segments if s.actor == actor]
    if not segments and found.candidates.segments:
        best = max(found.candidates.segments, key=lambda segment: segment.score)
        lines.append(f"  nothing sure enough; nearest was {best.label} at {_span(best)}, score {best.score:.2f}")
        lines.append("  over the whole: " + ", ".join(f"{label} {score:.2f}" for label, score in _whole(found).items()))
    if verbose:
        total = timings.encoding + timings.detecting
        lines.append(f"reading and encoding {timings.encoding:.2f} s, after it {timings.detecting:.2f} s "
                     f"({100 * timings.detecting / max(total, 1e-9):.1f} %), files {timings.files:.2f} s; "
                     f"{found.timeline.duration / max(timings.passed, 1e-9):.1f} x real time")  # fmt: skip
    return lines


def _whole(found: Found) -> dict[str, float]:
    """The likeliest classes of the whole recording."""
    from action_localization.detect import over_the_whole

    return dict(list(over_the_whole(found.candidates).items())[:LIKELIEST])


def _span(segment: Segment) -> str:
    return f"{clock(segment.start)} - {clock(segment.end)}"


def _results(job: Job, found: Found, files: list[str], timings: Timings) -> dict[str, Any]:
    return {
        "source": job.source, "seconds": found.timeline.duration, "people": found.persons,
        "segments": [_row(segment) for segment in found.timeline.segments], "whole": _whole(found),
        "files": files, "notes": list(found.notes),
        "timings": {"reading_and_encoding": timings.encoding, "after": timings.detecting, "files": timings.files,
                    "real_time": found.timeline.duration / max(timings.passed, 1e-9)},
    }  # fmt: skip


def _row(segment: Segment) -> dict[str, Any]:
    return {"start": segment.start, "end": segment.end, "label": segment.label, "score": segment.score,
            "person": segment.actor + 1}  # fmt: skip


def _compared(found: Timeline, truth: Timeline) -> tuple[dict[str, Any], list[str]]:
    """Each true segment with what was found of it, for programs and for people."""
    from action_localization.truth import OVERLAP, compare

    matches, extra = compare(found, truth)
    right = sum(match.right for match in matches)
    many = f"; {len(extra)} of {len(found.segments)} found match nothing" if extra else ""
    lines = [f"truth: {right} of {len(matches)} found, overlap at least {OVERLAP:g}{many}"]
    lines += [f"  {_span(match.truth)}  {match.truth.label}: {_verdict(match)}" for match in matches]
    rows = [{"start": m.truth.start, "end": m.truth.end, "label": m.truth.label, "overlap": m.overlap,
             "found": _row(m.found) if m.found else None} for m in matches]  # fmt: skip
    return {"segments": rows, "found": right, "extra": len(extra)}, lines


def _verdict(match: Match) -> str:
    if match.found is None:
        return "missed"
    said = f"{_span(match.found)}, overlap {match.overlap:.2f}"
    return f"found at {said}" if match.right else f"missed; nearest {said}"
