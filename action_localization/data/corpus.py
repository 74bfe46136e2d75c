"""`Corpus`: what every reader of annotations returns, and the builder that checks each interval on its way in."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from action_localization.evaluation.instances import Instances, Row
from action_localization.evaluation.protocols import AMBIGUOUS
from laban.errors import LabanError
from laban.scores.source import number, words
from laban.timeline import Segment, Timeline

SHOWN = 20
"""Problems that one message lists."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A label at one moment: single-frame supervision, or an annotation of no length."""

    seconds: float
    label: str


@dataclass(frozen=True)
class Video:
    """One annotated video: `timeline` is the ground truth, `ignored` what is neither right nor wrong (ambiguous).

    `split` is the subset's name as the file has it ("" where it has none); `fps` is of the video, where it is known;
    a duration that the file does not state is the end of the last interval, and one that it does state may be shorter
    than the timeline's, which reaches to the last end.
    """

    duration: float
    split: str
    timeline: Timeline
    fps: float | None = None
    ignored: Timeline = Timeline()
    instants: tuple[Instant, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Something wrong with one item of a file; `dropped` items are not part of the corpus."""

    file: str
    item: str
    found: str
    dropped: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.item}: {self.found}{'' if self.dropped else ' (kept)'}"


@dataclass(frozen=True)
class Corpus:
    """Annotated videos by id, the class names in order of their numbers, and what was wrong in the files."""

    name: str
    classes: tuple[str, ...]
    videos: Mapping[str, Video]
    problems: tuple[Problem, ...] = ()

    def splits(self) -> dict[str, int]:
        """How many videos each split has."""
        names = [video.split for video in self.videos.values()]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def part(self, split: str) -> Corpus:
        """The videos of one split (any case); LabanError when there is none."""
        chosen = {name: video for name, video in self.videos.items() if video.split.lower() == split.lower()}
        if not chosen:
            raise LabanError(f"{self.name}: has no split {split!r}; accepted: {', '.join(map(repr, self.splits()))}")
        return replace(self, videos=chosen)

    def timelines(self) -> dict[str, Timeline]:
        """The ground truth of every video."""
        return {name: video.timeline for name, video in self.videos.items()}

    def instances(self) -> Instances:
        """The ground truth as columns, with annotations of no length (which the official evaluators count) and with
        ambiguous intervals under their own label."""
        rows: list[Row] = []
        for name, video in self.videos.items():
            rows += [(name, s.label, s.start, s.end, 1.0) for s in video.timeline.segments]
            rows += [(name, instant.label, instant.seconds, instant.seconds, 1.0) for instant in video.instants]
            rows += [(name, AMBIGUOUS, s.start, s.end, 1.0) for s in video.ignored.segments]
        return Instances.from_rows(rows, self.videos)

    def report(self) -> str:
        """Counts, and each problem on a line of its own."""
        segments = sum(len(video.timeline.segments) for video in self.videos.values())
        splits = ", ".join(f"{name or 'no split'} {count}" for name, count in self.splits().items())
        head = f"{self.name}: {len(self.videos)} videos ({splits}), {segments} segments, {len(self.classes)} classes"
        return "\n".join([head, *listed(self.problems)])


def listed(problems: Iterable[Problem]) -> list[str]:
    """The first problems as lines, and how many more there are."""
    lines = [str(problem) for problem in problems]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"… and {len(lines) - SHOWN} more"]


@dataclass
class _Draft:
    duration: float
    split: str
    fps: float | None
    segments: list[Segment] = field(default_factory=list)
    ignored: list[Segment] = field(default_factory=list)
    instants: list[Instant] = field(default_factory=list)


class Builder:
    """Collects the annotations of one file or several, and notes what is wrong with them.

    `known` are the accepted labels (None: any). An interval whose end is before its start, whose times are no finite
    numbers, or whose label is unknown is left out and listed; one of no length becomes an `Instant`; one that begins
    before 0 is cut; those that end more than `SLACK` seconds after the stated duration are kept and listed by video.
    """

    SLACK = 0.5

    def __init__(self, name: str, file: Path, known: Collection[str] | None = None) -> None:
        self.name, self.file, self.known = name, file, known
        self.drafts: dict[str, _Draft] = {}
        self.problems: list[Problem] = []
        self.labels: dict[str, None] = {}
        self.annotations = 0

    def video(self, name: str, duration: object = 0.0, split: object = "", fps: object = None) -> None:
        """Announce a video; a second time fills in what was not known."""
        seconds, rate = self._plain(name, duration, "duration"), None
        if fps is not None:
            rate = self._plain(name, fps, "fps") or None
        draft = self.drafts.setdefault(name, _Draft(seconds, "", rate))
        draft.duration = max(draft.duration, seconds)
        draft.split = draft.split or ("" if split is None else str(split))
        draft.fps = draft.fps or rate

    def _plain(self, name: str, value: object, what: str) -> float:
        try:
            found = number(value, what)
        except LabanError as error:
            self.note(name, str(error), dropped=False)
            return 0.0
        if not math.isfinite(found) or found < 0:
            self.note(name, f"{what} is {found:g}", dropped=False)
            return 0.0
        return found

    def note(self, item: str, found: str, *, dropped: bool = True, file: Path | None = None) -> None:
        """List a problem."""
        self.problems.append(Problem(str(file or self.file), item, found, dropped))

    def add(self, video: str, item: str, start: object, end: object, label: object) -> None:
        """One annotation; `item` says where in the file it stands."""
        self.annotations += 1
        if video not in self.drafts:
            self.video(video)
        draft = self.drafts[video]
        try:
            text = " ".join(words(label, "label").split())
            first, last = number(start, "start"), number(end, "end")
            if text != AMBIGUOUS and self.known is not None and text not in self.known:
                raise LabanError(f"label {text!r} is unknown; accepted: one of the {len(self.known)} classes")
            if math.isfinite(first) and math.isfinite(last) and first == last:
                draft.instants.append(Instant(max(first, 0.0), text))
                self.note(item, f"start and end are both {first:g}: a moment, no segment", dropped=False)
            else:
                if first < 0 < last:
                    self.note(item, f"start {first:g} is negative: cut to 0", dropped=False)
                    first = 0.0
                segment = Segment(first, last, text)
                (draft.ignored if text == AMBIGUOUS else draft.segments).append(segment)
        except LabanError as error:
            self.note(item, str(error))
            return
        if text != AMBIGUOUS:
            self.labels[text] = None

    def instant(self, video: str, item: str, seconds: object, label: object) -> None:
        """One label at one moment."""
        self.annotations += 1
        if video not in self.drafts:
            self.video(video)
        try:
            when, text = number(seconds, "time"), " ".join(words(label, "label").split())
            if not math.isfinite(when) or when < 0 or not text:
                raise LabanError(f"found {text!r} at {when:g} s; accepted: a label and seconds from 0")
        except LabanError as error:
            self.note(item, str(error))
            return
        self.labels[text] = None
        self.drafts[video].instants.append(Instant(when, text))

    def _note_late(self, name: str, draft: _Draft) -> None:
        late = [s.end for s in draft.segments if s.end > draft.duration + self.SLACK]
        if draft.duration and late:
            which = f"{len(late)} of {len(draft.segments)} segments end after it, the last at {max(late):g} s"
            self.note(name, f"the video lasts {draft.duration:g} s; {which}", dropped=False)

    def build(self, classes: Iterable[str] | None = None, *, strict: bool = False) -> Corpus:
        """The corpus; classes are those given, else those known, else the labels in order of text.

        Raises LabanError that lists the items that were left out: when `strict`, if there are any; else if there are
        annotations and none is left.
        """
        for name, draft in self.drafts.items():
            self._note_late(name, draft)
        dropped = [problem for problem in self.problems if problem.dropped]
        if not self.drafts:
            raise LabanError(f"{self.file}: holds no video")
        usable = sum(len(d.segments) + len(d.ignored) + len(d.instants) for d in self.drafts.values())
        if dropped and (strict or (self.annotations and not usable)):
            lines = "\n".join(listed(dropped))
            raise LabanError(f"{self.file}: {len(dropped)} of {self.annotations} annotations are unusable:\n{lines}")
        names = tuple(classes if classes is not None else self.known if self.known is not None else sorted(self.labels))
        videos = {name: _video(draft) for name, draft in self.drafts.items()}
        return Corpus(self.name, names, videos, tuple(self.problems))


def _video(draft: _Draft) -> Video:
    timeline = Timeline(tuple(draft.segments), draft.duration)
    duration, ignored = draft.duration or timeline.duration, Timeline(tuple(draft.ignored))
    return Video(duration, draft.split, timeline, draft.fps, ignored, tuple(draft.instants))
