"""The protocol that measures performed timelines by the judge: recognition, timing, seams, beside real clips.

Every row performs the same timelines. `real` puts a real clip in the place of each interval, `spliced` strings these
clips together at the timeline's times (so its boundaries are known: what timing error the judge itself makes),
`shuffled` gives the real clips to intervals at random: chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from laban.errors import LabanError
from laban.progress import progress
from models.motion_text.examples import Example
from models.representation import joints as joint_features
from motion import metrics
from motion import timeline_metrics as measures
from motion.judge.judge import PARTS, Judge
from motion.timeline_cache import Features, Source, TimelineFunction, performances
from motion.timeline_items import Benchmark, Interval, Item
from motion.timeline_metrics import Values
from motion.timeline_real import Cut, RealClips, draw_cuts, opposite, splice

PROTOCOL = "laban-timelines-1"
FPS = joint_features.FPS
REAL, SPLICED, SHUFFLED = "real", "spliced", "shuffled"
WINDOW, HOP, REACH = 20, 2, 30
"""Frames: the judge looks at 1 s (or half the shorter neighbour) every 0.1 s, up to 1.5 s from a boundary; of
windows of 0.8 to 2 s this one errs least on spliced real clips of the dev set."""
CLOSE = 0.5
"""Seconds within which a boundary counts as kept."""
RECOGNITION = ("top-1", "top-3", "whole top-1", "whole top-3", "partial top-1", "partial top-3", "held-out top-1",
               "right side", "R@1", "R@3")  # fmt: skip
TIMING = ("timing error s", f"within {CLOSE:g} s", "timing bias s", "timing error s, second track")
"""Bias: mean of found less wanted time, so late is positive."""
SEAMS = ("transition cm", "transition cm, as published", "seam skate m/s", "seam peak jerk m/s3")
MACRO = ("top-1", "top-3")

Measured = dict[str, Values]
NOTHING = Values(np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Row:
    """Figures of one row, each also as a share of the reference rows' (`real`, `spliced`) where both have it."""

    name: str
    repeats: int
    figures: dict[str, metrics.Estimate]
    shares: dict[str, dict[str, metrics.Estimate]]
    """Reference -> figure -> ratio."""
    actions: dict[str, tuple[float, int]]
    """Action -> (top-1, intervals)."""


@dataclass(frozen=True)
class Report:
    """Everything an evaluation says, with what it takes to repeat it."""

    protocol: str
    judge: str
    benchmark: str
    about: str
    timelines: int
    intervals: int
    repeats: int
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What to run: rows as (method, checkpoint), each `repeats` times with seeds of its own."""

    rows: tuple[tuple[str, str], ...]
    repeats: int = 1
    cache: Path | None = None
    settings: Mapping[str, Any] | None = None
    quiet: bool = False

    def named(self) -> dict[str, Source]:
        """Sources by the row's name; the checkpoint is named where there are several."""
        several = len({checkpoint for _, checkpoint in self.rows}) > 1
        return {f"{m} ({c})" if several else m: Source(m, c, self.settings or {}) for m, c in self.rows}


# ------------------------------------------------------------------------------------------------------------ report


def evaluate_timelines(
    benchmark: Benchmark, examples: Sequence[Example], judge: Judge, generate: TimelineFunction, plan: Plan, *,
    finished: Callable[[Row], None] = lambda row: None,
) -> Report:  # fmt: skip
    """All rows on a benchmark whose intervals name their actions; `finished` sees each row as soon as it is there."""
    _check(benchmark, judge)
    items, clips = benchmark.items, RealClips(examples)
    found: dict[str, list[Measured]] = {REAL: [], SPLICED: [], SHUFFLED: []}
    held = np.zeros(0, bool)
    can_splice = all(part.endswith("arm") for item in items for i in item.intervals if i.track for part in i.parts)
    with progress("real clips", plan.repeats * len(items), quiet=plan.quiet) as advance:
        for repeat in range(plan.repeats):
            rng = np.random.default_rng(repeat)
            cuts = [draw_cuts(item, clips, rng) for item in items]
            held = np.array([cut.held for own in cuts for cut in own])
            found[REAL].append(real_values(items, cuts, judge, held, rng))
            found[SHUFFLED].append(recognition(items, _shuffled(cuts, rng), judge, held))
            if can_splice:
                motions = [joint_features.encode(splice(i, own)) for i, own in zip(items, cuts, strict=True)]
                found[SPLICED].append(performed_values(items, motions, judge, held))
            advance(len(items))
    references = {name: found[name] for name in (REAL, SPLICED) if found[name]}
    rows = [row_of(name, values, references) for name, values in found.items() if values]
    for row in rows:
        finished(row)
    rows += performed_rows(items, generate, plan, references, finished,
                           lambda motions, _: performed_values(items, motions, judge, held))  # fmt: skip
    return Report(
        PROTOCOL, str(judge.config["sha256"]), benchmark.name, benchmark.about, len(items), len(held), plan.repeats,
        dict(plan.settings or {}), tuple(rows), _notes(items, held, can_splice),
    )  # fmt: skip


def performed_rows(
    items: Sequence[Item], generate: TimelineFunction, plan: Plan, references: Mapping[str, list[Measured]],
    finished: Callable[[Row], None], measure: Callable[[Sequence[Features], Source], Measured],
) -> list[Row]:  # fmt: skip
    """The plan's rows, each performed (or taken from the cache) and measured as often as it says."""
    rows = []
    for name, source in plan.named().items():
        with progress(name, plan.repeats * len(items), quiet=plan.quiet) as advance:
            several = []
            for repeat in range(plan.repeats):
                motions = performances(items, source, generate, repeat=repeat, cache=plan.cache, advance=advance)
                several.append(measure(motions, source))
        rows.append(row_of(name, several, references))
        finished(rows[-1])
    return rows


def _check(benchmark: Benchmark, judge: Judge) -> None:
    for item in benchmark.items:
        for interval in item.intervals:
            if interval.action not in judge.actions:
                raise LabanError(f"timeline {item.id}: action {interval.action!r} is unknown; accepted: "
                                 f"{', '.join(judge.actions)}")  # fmt: skip


def _notes(items: Sequence[Item], held: ndarray, spliced: bool) -> tuple[str, ...]:
    partial = sum(bool(i.parts) for item in items for i in item.intervals)
    notes = [
        f"{int(held.sum())} of {len(held)} intervals have a real clip that the judge never saw; the others' real rows "
        f"are flattered ('held-out' is the former alone)",
        f"{partial} intervals are of some body parts: judged by the mean log-probability of these parts' heads",
    ]
    return (*notes, *(() if spliced else ("no spliced row: a second track has other parts than arms",)))


def row_of(name: str, repeats: Sequence[Measured], references: Mapping[str, Sequence[Measured]]) -> Row:
    """Figures of a row from what was measured in each repeat; "macro" ones average over actions."""
    figures: dict[str, metrics.Estimate] = {}
    shares: dict[str, dict[str, metrics.Estimate]] = {other: {} for other in references if name not in (other, REAL)}
    for key in repeats[0]:
        pooled = Values.joined([one[key] for one in repeats])
        if not len(pooled.value):
            continue
        theirs = {other: Values.joined([one[key] for one in references[other]]) for other in shares
                  if key in references[other][0]}  # fmt: skip
        for macro in (False, True) if key in MACRO else (False,):
            shown = f"{key} macro" if macro else key
            figures[shown] = measures.estimate(pooled, macro=macro, repeats=[one[key] for one in repeats])
            for other, values in theirs.items():
                shares[other][shown] = measures.ratio(pooled, values, macro=macro)
    top = Values.joined([one["top-1"] for one in repeats if "top-1" in one] or [NOTHING])
    labels = top.label if top.label is not None else np.zeros(0)
    by_action = {str(a): (float(top.value[labels == a].mean()), int((labels == a).sum())) for a in np.unique(labels)}
    return Row(name, len(repeats), figures, shares, by_action)


# ------------------------------------------------------------------------------------------------------ measurements


def performed_values(items: Sequence[Item], motions: Sequence[Features], judge: Judge, held: ndarray) -> Measured:
    """Everything that is measured on whole motions, one for each timeline."""
    crops = [rows[first:last] for item, rows in zip(items, motions, strict=True) for i in item.intervals
             for first, last in [item.span(i)]]  # fmt: skip
    joints = [joint_features.decode(rows.astype(np.float64)) for rows in motions]
    return {**recognition(items, crops, judge, held), **timing(items, motions, judge),
            **seams(joints, [item.seams() for item in items])}  # fmt: skip


def real_values(
    items: Sequence[Item], cuts: Sequence[Sequence[Cut]], judge: Judge, held: ndarray, rng: np.random.Generator
) -> Measured:
    """Recognition of the real clips; and at a random frame of each (one where nothing changes) what seams measure."""
    flat = [cut.joints for own in cuts for cut in own]
    owners = np.repeat(np.arange(len(items)), [len(own) for own in cuts])
    frames = [[int(rng.integers(1, len(joints)))] for joints in flat]
    calm = seams(flat, frames)
    owned = {name: Values(values.value, owners[values.timeline]) for name, values in calm.items()}
    return {**recognition(items, [joint_features.encode(joints) for joints in flat], judge, held), **owned}


def _shuffled(cuts: Sequence[Sequence[Cut]], rng: np.random.Generator) -> list[Features]:
    flat = [cut.joints for own in cuts for cut in own]
    return [joint_features.encode(flat[i]) for i in rng.permutation(len(flat))]


def _flat(items: Sequence[Item]) -> tuple[list[Interval], ndarray, ndarray]:
    """All intervals with the number of their timeline and their actions."""
    intervals = [interval for item in items for interval in item.intervals]
    owners = np.repeat(np.arange(len(items)), [len(item.intervals) for item in items])
    return intervals, owners, np.array([str(interval.action) for interval in intervals])


def recognition(items: Sequence[Item], crops: Sequence[Features], judge: Judge, held: ndarray) -> Measured:
    """Ranks of the wanted actions, sides, and R-precision, of one crop for each interval in order."""
    intervals, owners, actions = _flat(items)
    place = {action: i for i, action in enumerate(judge.actions)}
    wanted = np.array([place[action] for action in actions])
    partial = np.array([bool(interval.parts) for interval in intervals])
    rank = np.zeros(len(crops), np.int64)
    read = (
        judge.classify([crops[n] for n in np.flatnonzero(~partial).tolist()]) if (~partial).any() else np.zeros((0, 1))
    )
    rank[~partial] = _ranks(read, wanted[~partial])
    named = np.full(len(crops), np.nan)
    if partial.any():
        rows = np.flatnonzero(partial).tolist()
        heads = np.log(judge.classify_parts([crops[n] for n in rows]).astype(np.float64) + 1e-12)
        for n, logs in zip(rows, heads, strict=True):
            scores = _parts_mean(logs, intervals[n].parts)
            rank[n] = _ranks(scores[None], wanted[n : n + 1])[0]
            if (other := opposite(intervals[n].parts)) is not None:
                named[n] = scores[wanted[n]] > _parts_mean(logs, other)[wanted[n]]
    first, third = (Values((rank < top).astype(np.float64), owners, actions) for top in (1, 3))
    found = {
        "top-1": first, "top-3": third, "whole top-1": first.where(~partial), "whole top-3": third.where(~partial),
        "partial top-1": first.where(partial), "partial top-3": third.where(partial),
        "held-out top-1": first.where(held),
        "right side": Values(named, owners, actions).where(~np.isnan(named)),
    }  # fmt: skip
    return found | retrieval(intervals, owners, crops, judge)


def _ranks(scores: ndarray, wanted: ndarray) -> ndarray:
    """How many actions score higher than the wanted one."""
    own = scores[np.arange(len(wanted)), wanted]
    return (scores > own[:, None]).sum(1)


def _parts_mean(logs: ndarray, parts: Sequence[str]) -> ndarray:
    """Mean over body parts of log-probabilities (5, actions)."""
    return logs[[PARTS.index(part) for part in parts]].mean(0)


def retrieval(intervals: Sequence[Interval], owners: ndarray, crops: Sequence[Features], judge: Judge) -> Measured:
    """R-precision of crops against their texts in pools of 32; texts that ask for the same are no competitors."""
    if len(crops) < metrics.POOL:
        return {}
    meanings = [interval.meaning for interval in intervals]
    text = judge.embed_text([interval.text for interval in intervals])
    hits = metrics.r_precision(judge.embed_motion(crops), text, meanings, meanings).hits
    return {"R@1": Values(hits[:, 0], owners), "R@3": Values(hits[:, 2], owners)}


def seams(joints: Sequence[ndarray], frames: Sequence[Sequence[int]]) -> Measured:
    """Jumps, skate and jerk of motions at given frames of each."""
    owners = np.repeat(np.arange(len(joints)), [len(own) for own in frames])
    pairs = [(clip, own) for clip, own in zip(joints, frames, strict=True) if len(own)]
    if not pairs:
        return {}
    near = [measures.seam_kinematics(clip, own, FPS) for clip, own in pairs]
    columns = {
        "transition cm": [measures.transition_distance(clip, own) for clip, own in pairs],
        "transition cm, as published": [measures.transition_as_published(clip, own) for clip, own in pairs],
        "seam skate m/s": [one["foot_skate"] for one in near],
        "seam peak jerk m/s3": [one["peak_jerk"] for one in near],
    }
    return {name: Values(np.concatenate(parts), owners) for name, parts in columns.items()}


# ------------------------------------------------------------------------------------------------------------ timing


@dataclass(frozen=True)
class Boundary:
    """A frame at which one action gives way to another; the centres of the windows that the judge looks at."""

    frame: int
    before: str
    after: str
    parts: tuple[str, ...]
    centres: tuple[int, ...]
    window: int
    second: bool
    """Whether it is the start or end of an interval on a second track."""


def boundaries(item: Item) -> list[Boundary]:
    """Changes of action along the first track, and starts and ends of second tracks within it."""
    base = sorted((i for i in item.intervals if i.track == 0), key=lambda i: i.start)
    found = []
    for a, b in zip(base, base[1:], strict=False):
        edge = round((item.span(a)[1] + item.span(b)[0]) / 2)
        found.append(_boundary(edge, (a, item.span(a)[0]), (b, item.span(b)[1]), a.parts or b.parts, False))
    for over in (i for i in item.intervals if i.track):
        start, stop = item.span(over)
        for below in base:
            first, last = item.span(below)
            if first < start < last:
                found.append(_boundary(start, (below, first), (over, min(stop, last)), over.parts, True))
            if first < stop < last:
                found.append(_boundary(stop, (over, max(start, first)), (below, last), over.parts, True))
    return [boundary for boundary in found if boundary is not None]


def _boundary(
    frame: int, before: tuple[Interval, int], after: tuple[Interval, int], parts: tuple[str, ...], second: bool
) -> Boundary | None:
    """None where both sides ask for the same, or one is too short to be looked at."""
    (a, first), (b, last) = before, after
    window = min(WINDOW, (frame - first) // 2, (last - frame) // 2) // 2 * 2
    if a.action == b.action or window < 8:
        return None
    low, high = max(first + window // 2, frame - REACH), min(last - window // 2, frame + REACH)
    centres = tuple(range(frame - (frame - low) // HOP * HOP, high + 1, HOP))
    return Boundary(frame, str(a.action), str(b.action), parts, centres, window, second)


def timing(items: Sequence[Item], motions: Sequence[Features], judge: Judge) -> Measured:
    """|Error| of the moment at which the judge sees one action give way to the next."""
    every = [(n, boundary) for n, item in enumerate(items) for boundary in boundaries(item)]
    if not every:
        return {}
    place = {action: i for i, action in enumerate(judge.actions)}
    signed = np.zeros(len(every))
    for partial in (False, True):
        rows = [k for k, (_, boundary) in enumerate(every) if bool(boundary.parts) is partial]
        windows = [motions[n][max(0, c - b.window // 2) : c + b.window // 2]
                   for n, b in (every[k] for k in rows) for c in b.centres]  # fmt: skip
        if not windows:
            continue
        read = judge.classify_parts(windows, batch=128) if partial else judge.classify(windows, batch=128)
        logs, first = np.log(read.astype(np.float64) + 1e-6), 0
        for k in rows:
            b = every[k][1]
            own = logs[first : first + len(b.centres)]
            if partial:
                own = own[:, [PARTS.index(part) for part in b.parts]].mean(1)
            first += len(b.centres)
            at = measures.change_point(own[:, place[b.after]] - own[:, place[b.before]])
            signed[k] = (b.centres[0] + HOP * (at - 0.5) - b.frame) / FPS
    owners = np.array([n for n, _ in every])
    second = np.array([boundary.second for _, boundary in every])
    error, close = Values(abs(signed), owners), Values((abs(signed) <= CLOSE).astype(np.float64), owners)
    return {TIMING[0]: error.where(~second), TIMING[1]: close.where(~second),
            TIMING[2]: Values(signed, owners).where(~second), TIMING[3]: error.where(second)}  # fmt: skip
