"""From a score to prompts on a frame grid: gaps filled, body parts given, and who owns which part when (STMC, SINC)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from laban.errors import LabanError
from laban.timeline import PARTS, FrameGrid, Segment, Timeline

PartsOf = Callable[[Sequence[str]], Sequence[tuple[str, ...]]]
"""From texts to the body parts that each needs."""

SHORTEST = 0.25
"""Seconds an interval lasts at least: nothing can be shown in less."""
MOST = 4000
"""Intervals one score may have."""

STAND = "a person stands still"
_POSTURES = (
    (re.compile(r"\b(stand|stands|standing|get|gets|getting|rise|rises|rising) up\b"), STAND),
    (re.compile(r"\b(lie|lies|lying|lay|lays|sleep|sleeps|sleeping)\b"), "a person is lying on the floor"),
    (re.compile(r"\b(fall|falls|falling)\b.*\b(down|over|floor|ground)\b"), "a person is lying on the floor"),
    (re.compile(r"\b(sit|sits|sitting)\b.*\b(floor|ground)\b"), "a person sits on the floor"),
    (re.compile(r"\b(sit|sits|sitting|seat|seated)\b"), "a person sits still"),
    (re.compile(r"\b(kneel|kneels|kneeling)\b"), "a person kneels"),
    (re.compile(r"\b(crouch|crouches|crouching|squat|squats|squatting)\b"), "a person crouches"),
)
"""How somebody idles after having done something; anything else is done standing."""


def idle_after(text: str, action: str = "") -> str:
    """The text of idling in the posture that `text` leads to, or, where it says nothing, its known `action`."""
    for said in (text.lower(), action):
        for pattern, idle in _POSTURES:
            if pattern.search(said):
                return idle
    return STAND


@dataclass(frozen=True)
class Prompt:
    """A text over the frames [start, stop) for body parts; `segment` is its place in the score, None for idling."""

    text: str
    start: int
    stop: int
    parts: tuple[str, ...]
    segment: int | None = None


@dataclass(frozen=True)
class Track:
    """Frames [start, stop) in which one prompt owns one body part."""

    start: int
    stop: int
    prompt: int


@dataclass(frozen=True)
class Staged:
    """A score on the grid: prompts, the tracks of every part (each covers all frames), and bridges over short gaps.

    `bridges` maps a boundary frame to half the length of the gap that was closed there, in frames.
    """

    frames: int
    prompts: tuple[Prompt, ...]
    tracks: dict[str, tuple[Track, ...]]
    bridges: dict[int, int]


def stage(timeline: Timeline, fps: float, parts_of: PartsOf, *, idle: float = 1.0) -> Staged:
    """Put a score on the grid of `fps`.

    A stretch in which nothing is asked for becomes idling in the posture that came before if it lasts `idle` seconds;
    a shorter one is shared by its neighbours, as a bridge. Parts that a segment names win over what `parts_of` says.
    Raises LabanError for an empty score, several people, too short or too many intervals, and for segments of one
    track that claim the same part at the same time.
    """
    check(timeline)
    grid = FrameGrid.lasting(timeline.duration, fps)
    unnamed = [segment.label for segment in timeline.segments if not segment.parts]
    inferred = iter(parts_of(unnamed) if unnamed else ())
    prompts = [
        Prompt(s.label, *grid.span(s.start, s.end), s.parts or next(inferred), i)
        for i, s in enumerate(timeline.segments)
    ]
    prompts, bridges = _filled(prompts, grid.frames, round(idle * fps))
    return Staged(grid.frames, tuple(prompts), _tracks(prompts, grid.frames), bridges)


def check(timeline: Timeline) -> None:
    """LabanError for a score that cannot be performed by one person; see `stage`."""
    if not timeline.segments:
        raise LabanError("the score is empty; accepted: one or more intervals of text")
    if len(timeline.segments) > MOST:
        raise LabanError(f"the score has {len(timeline.segments)} intervals; accepted: at most {MOST}")
    if actors := sorted({s.actor for s in timeline.segments} - {0}):
        raise LabanError(f"the score has a part for person {actors[0] + 1}; accepted: one person")
    for segment in timeline.segments:
        if segment.seconds < SHORTEST - 1e-6:
            raise LabanError(f"{_named(segment)} lasts {segment.seconds:.2f} s; accepted: at least {SHORTEST} s")
    active: list[Segment] = []
    for segment in timeline.segments:
        active = [other for other in active if other.end > segment.start + 1e-6]
        for other in active:
            if other.track == segment.track and (both := sorted({*other.parts} & {*segment.parts})):
                raise LabanError(f"{_named(other)} and {_named(segment)} both claim {both[0]} on one track; "
                                 "accepted: different parts, or times that do not overlap")  # fmt: skip
        active.append(segment)


def _named(segment: Segment) -> str:
    return f"{segment.label[:60]!r} ({segment.start:g} to {segment.end:g} s)"


def _filled(prompts: list[Prompt], frames: int, idle: int) -> tuple[list[Prompt], dict[int, int]]:
    """The prompts with every gap idled or bridged."""
    prompts, bridges = list(prompts), dict[int, int]()
    for start, stop in _gaps(prompts, frames):
        if stop - start >= max(idle, 1):
            before = [p for p in prompts if p.stop <= start]
            prompts.append(Prompt(_posture(before), start, stop, PARTS))
            continue
        middle = frames if stop == frames else (start + stop) // 2 if start else 0
        if 0 < middle < frames:
            bridges[middle] = (stop - start + 1) // 2
        for i, prompt in enumerate(prompts):
            if prompt.stop == start:
                prompts[i] = replace(prompt, stop=middle)
            elif prompt.start == stop:
                prompts[i] = replace(prompt, start=middle)
    return prompts, bridges


def _gaps(prompts: Sequence[Prompt], frames: int) -> list[tuple[int, int]]:
    gaps, reached = [], 0
    for prompt in sorted(prompts, key=lambda p: p.start):
        if prompt.start > reached:
            gaps.append((reached, prompt.start))
        reached = max(reached, prompt.stop)
    return [*gaps, (reached, frames)] if reached < frames else gaps


def _posture(before: Sequence[Prompt]) -> str:
    """What idling looks like after the last thing that the legs have done."""
    for prompt in sorted(before, key=lambda p: p.stop, reverse=True):
        if "legs" in prompt.parts:
            return idle_after(prompt.text)
    return STAND


def owners(active: Sequence[tuple[int, Prompt]]) -> dict[str, int]:
    """Which of the (index, prompt) under way at one time owns each body part.

    SINC's rule for any number of prompts (Athanasiou et al. 2023; STMC, sec. 4.2): the one with the most parts among
    those that move the legs (if none does, among all) is the base and owns everything; the others take their own parts
    from it, those with fewer parts last. Equals: the one that starts later takes from the other.
    """
    ranked = sorted(active, key=lambda item: (-len(item[1].parts), item[1].start, item[0]))
    base = next((item for item in ranked if "legs" in item[1].parts), ranked[0])
    owned = dict.fromkeys(PARTS, base[0])
    for index, prompt in ranked:
        if index != base[0]:
            owned |= dict.fromkeys(prompt.parts, index)
    return owned


def _tracks(prompts: Sequence[Prompt], frames: int) -> dict[str, tuple[Track, ...]]:
    """Owners of the elementary intervals, merged where they stay the same."""
    edges = sorted({0, frames, *(edge for p in prompts for edge in (p.start, p.stop) if 0 < edge < frames)})
    tracks: dict[str, list[Track]] = {part: [] for part in PARTS}
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].start)
    active: list[int] = []
    for start, stop in zip(edges, edges[1:], strict=False):
        active = [i for i in active if prompts[i].stop > start]
        while order and prompts[order[0]].start <= start:
            active.append(order.pop(0))
        owned = owners([(i, prompts[i]) for i in active if prompts[i].stop > start])
        for part, own in tracks.items():
            if own and own[-1].prompt == owned[part]:
                own[-1] = replace(own[-1], stop=stop)
            else:
                own.append(Track(start, stop, owned[part]))
    return {part: tuple(own) for part, own in tracks.items()}
