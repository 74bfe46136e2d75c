"""The protocol that measures ten minutes of a stream: what the judge sees in 3-s windows, feet, jerk, freezing, drift.

Every row is looked at by the same rule (`motion.stream_prompts`). `real` puts real clips of what is asked for (and of
rest, once an action is over) in the windows' place, `real, test clips` clips of the test split alone, where there are
any; `idling` stands still whatever is said, `shuffled` gives the real clips to windows at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.data.dataset import MotionDataset
from models.motion_text.examples import Example
from models.motion_text.features import joints_of
from models.representation import joints as joint_features
from motion import stream_metrics as measures
from motion.judge.judge import Judge
from motion.metrics import Estimate
from motion.primitives.frames import FPS
from motion.stream_prompts import StreamPrompt, StreamPrompts
from motion.stream_roll import Rolled
from motion.timeline_items import Interval
from motion.timeline_metrics import Values, estimate, ratio
from motion.timeline_real import NOISY, RealClips

PROTOCOL = "laban-stream-1"
REAL, TEST, IDLING, SHUFFLED = "real", "real, test clips", "idling", "shuffled"
RIGHT, FIRST, LATER, GOES_ON, HELD = (
    "right",
    "right: as it ends, first",
    "right: once it ended",
    "right: goes on",
    "held out",
)
SKATE, SWITCH, ELSEWHERE = "skate m/s", "peak jerk at switches m/s3", "peak jerk elsewhere m/s3"
FROZEN, MOVED, SPUN = "frozen share", "drift at rest m/s", "turn at rest deg/s"
STAND = "stand"
CLIPS = 20
"""Real clips of an action, at most, that feet and jerk are measured on."""

Joints = Float[ndarray, "_ 22 3"]
Measured = dict[str, Values]


@dataclass(frozen=True)
class Seen:
    """What the judge calls window `window` of prompt `prompt`, and whether it is right by the rule."""

    prompt: int
    window: int
    name: str
    resting: bool
    right: bool


@dataclass(frozen=True)
class Row:
    """Figures of a row, and which share of each prompt's windows was right (in the order of the prompts)."""

    name: str
    repeats: int
    figures: dict[str, Estimate]
    ratios: dict[str, Estimate]
    """Of figures that the row `real` has as well: ours over real."""
    prompts: tuple[float, ...]
    names: tuple[tuple[str, ...], ...]
    """What the windows of each prompt were called, in the first repeat."""


@dataclass(frozen=True)
class Report:
    """Everything an evaluation says."""

    protocol: str
    judge: str
    prompts: str
    rule: str
    count: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries."""
        return asdict(self)


# ----------------------------------------------------------------------------------------------------------- windows


def places(prompts: StreamPrompts) -> list[tuple[int, int]]:
    """(prompt, window) of every window, in order of time."""
    return [(n, k) for n, prompt in enumerate(prompts.prompts) for k in range(len(prompts.windows(prompt)))]


def cut(prompts: StreamPrompts, joints: Joints) -> list[Joints]:
    """The windows of a whole roll-out at 20 fps."""
    found = []
    for prompt in prompts.prompts:
        for start, stop in prompts.windows(prompt):
            first, last = (
                round((prompt.start + start) * joint_features.FPS),
                round((prompt.start + stop) * joint_features.FPS),
            )
            found.append(joints[first:last])
    return found


def seen(prompts: StreamPrompts, windows: Sequence[Joints | None], judge: Judge) -> list[Seen]:
    """What the judge sees in each window (20 fps), by the rule; nothing is said of a window that is None."""
    kept = [(place, w) for place, w in zip(places(prompts), windows, strict=True) if w is not None]
    names = judge.predict([joint_features.encode(w.astype(np.float64)) for _, w in kept]) if kept else []
    found = []
    for ((n, k), window), name in zip(kept, names, strict=True):
        prompt = prompts.prompts[n]
        resting = rests(prompts, prompt, name, window)
        found.append(Seen(n, k, name, resting, is_right(prompt, k, name, resting)))
    return found


def rests(prompts: StreamPrompts, prompt: StreamPrompt, name: str, window: Joints) -> bool:
    """Whether a window shows rest in the posture of a prompt: by the judge's word, or because nothing moves."""
    rest = prompts.rest[prompt.posture]
    return name in rest.actions or measures.at_rest(window, joint_features.FPS, rest, prompts.still)


def is_right(prompt: StreamPrompt, window: int, name: str, resting: bool) -> bool:
    """The rule: the action; from the second window of one that ended also rest and `after`; rest if that was asked."""
    over = prompt.ends and window > 0
    return name in prompt.right or (over and name in prompt.after) or (resting and (over or prompt.action == STAND))


def recognition(prompts: StreamPrompts, found: Sequence[Seen]) -> Measured:
    """Shares of right windows: all, first and later ones of what ends, those of what goes on."""
    owner, right = np.array([s.prompt for s in found], np.int64), np.array([float(s.right) for s in found])
    ends = np.array([prompts.prompts[s.prompt].ends for s in found], bool)
    first = np.array([s.window == 0 for s in found], bool)
    every = Values(right, owner, np.array([prompts.prompts[s.prompt].action for s in found]))
    return {
        RIGHT: every,
        FIRST: every.where(ends & first),
        LATER: every.where(ends & ~first),
        GOES_ON: every.where(~ends),
    }


# --------------------------------------------------------------------------------------------------------- kinematics


def kinematics(prompts: StreamPrompts, rolled: Rolled) -> Measured:
    """Feet, jerk, freezing and drift of a roll-out at 30 fps."""
    length = round(prompts.seconds * FPS)
    spans = [(round(p.start * FPS), p) for p in prompts.prompts]
    stretches = [rolled.joints[start : start + length] for start, _ in spans]
    middles = [start + length // 2 for start, _ in spans]
    owners = np.arange(len(spans))
    switches = rolled.said[1:]  # before the first there is nothing to switch from
    return {
        SKATE: Values(np.array([measures.skate(part, FPS) for part in stretches]), owners),
        SWITCH: Values(measures.peak_jerks(rolled.joints, FPS, switches.tolist()), owners[1:]),
        ELSEWHERE: Values(measures.peak_jerks(rolled.joints, FPS, middles), owners),
        **_stillness(prompts, rolled.joints),
    }


def _stillness(prompts: StreamPrompts, joints: Joints) -> Measured:
    """How many windows of what goes on hardly move; how far a body drifts in the last window of what is over."""
    frozen, owners = list[float](), list[int]()
    drifts, rested = list[tuple[float, float]](), list[int]()
    for n, prompt in enumerate(prompts.prompts):
        spans = [(round((prompt.start + a) * FPS), round((prompt.start + b) * FPS)) for a, b in prompts.windows(prompt)]
        if not prompt.ends and prompt.action != STAND:
            frozen += [float(measures.fastest(joints[a:b], FPS) < prompts.still) for a, b in spans]
            owners += [n] * len(spans)
        if (prompt.ends and not prompt.after) or prompt.action == STAND:
            drifts.append(measures.drift(joints[slice(*spans[-1])], FPS))
            rested.append(n)
    moved, alone = np.array(drifts, np.float64).reshape(-1, 2), np.array(rested, np.int64)
    return {FROZEN: Values(np.array(frozen), np.array(owners, np.int64)), MOVED: Values(moved[:, 0], alone),
            SPUN: Values(moved[:, 1], alone)}  # fmt: skip


def real_kinematics(prompts: StreamPrompts, dataset: MotionDataset, *, seed: int = 0) -> Measured:
    """The same of real clips of the prompts' actions: of the test split where it has any, else of any split.

    A prompt's value is the mean over at most `CLIPS` clean clips; drift at rest is that of clips of standing.
    """
    rng = np.random.default_rng(seed)
    clips = {action: real_clips(dataset, action, rng) for action in dict.fromkeys(p.action for p in prompts.prompts)}
    still = clips.get(STAND) or real_clips(dataset, STAND, rng)
    figures: dict[str, list[float]] = {key: [] for key in (SKATE, SWITCH, ELSEWHERE, FROZEN)}
    owners: dict[str, list[int]] = {key: [] for key in figures}
    values: dict[str, dict[str, float]] = {}
    for action, own in clips.items():
        jerks = [measures.peak_jerks(joints, FPS, [int(rng.integers(len(joints)))])[0] for joints in own]
        values[action] = {SKATE: float(np.mean([measures.skate(joints, FPS) for joints in own])),
                          SWITCH: float(np.mean(jerks)), ELSEWHERE: float(np.mean(jerks)),
                          FROZEN: float(np.mean([measures.fastest(j, FPS) < prompts.still for j in own]))}  # fmt: skip
    for n, prompt in enumerate(prompts.prompts):
        for key in figures:
            if (key != SWITCH or n) and (key != FROZEN or not (prompt.ends or prompt.action == STAND)):
                figures[key].append(values[prompt.action][key])
                owners[key].append(n)
    moved = np.array([measures.drift(joints, FPS) for joints in still])
    alone = np.arange(len(moved))
    return {key: Values(np.array(figures[key]), np.array(owners[key], np.int64)) for key in figures} | {
        MOVED: Values(moved[:, 0], alone), SPUN: Values(moved[:, 1], alone)
    }  # fmt: skip


def real_clips(dataset: MotionDataset, action: str, rng: np.random.Generator) -> list[Joints]:
    """Joints at 30 fps of at most `CLIPS` clean clips of an action; LabanError where there is none."""
    own = [r for r in dataset.records if r.action == action and not NOISY & set(r.flags) and r.frames >= FPS]
    own = [r for r in own if r.split == "test"] or own
    if not own:
        raise LabanError(f"action {action!r}: the dataset has no clean clip of it")
    picked = [own[i] for i in rng.permutation(len(own))[:CLIPS]]
    return [joints_of(dataset.motion(record), fps=FPS)[0] for record in picked]


# --------------------------------------------------------------------------------------------------------- references


def real_windows(
    prompts: StreamPrompts, clips: RealClips, rng: np.random.Generator
) -> tuple[list[Joints | None], list[bool]]:
    """A real clip (20 fps) for each window, and whether the judge never saw it; None where there is none.

    The action's in the first window and while it goes on, rest in the posture reached once it is over.
    """
    found, held = list[Joints | None](), list[bool]()
    frames = round(prompts.window * joint_features.FPS)
    for n, k in places(prompts):
        prompt = prompts.prompts[n]
        action = prompts.rest[prompt.posture].actions[0] if prompt.ends and k else prompt.action
        if action not in clips.by_action:
            found.append(None)
            held.append(False)
            continue
        drawn = clips.draw(Interval(prompt.text, 0.0, prompts.window, action), frames, rng)
        found.append(drawn.joints)
        held.append(drawn.held)
    return found, held


def references(
    prompts: StreamPrompts, examples: Sequence[Example], judge: Judge, *, repeats: int
) -> dict[str, list[list[Seen]]]:
    """What the judge sees in the rows that need no generator; and, as `HELD`, in windows of clips it never saw."""
    every, test = RealClips(examples), RealClips([e for e in examples if e.record.split == "test"])
    where, rows = places(prompts), dict[str, list[list[Seen]]]()
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        windows, held = real_windows(prompts, every, rng)
        alone, _ = real_windows(prompts, test, rng)
        still = [every.draw(Interval(STAND, 0.0, prompts.window, STAND), 60, rng).joints for _ in where]
        order = rng.permutation(len(windows))
        unseen = [window if kept else None for window, kept in zip(windows, held, strict=True)]
        for name, own in ((REAL, windows), (HELD, unseen), (TEST, alone), (IDLING, still),
                          (SHUFFLED, [windows[i] for i in order])):  # fmt: skip
            rows.setdefault(name, []).append(seen(prompts, own, judge))
    return rows


# -------------------------------------------------------------------------------------------------------------- report


def row_of(
    prompts: StreamPrompts, name: str, repeats: Sequence[Sequence[Seen]], moved: Sequence[Measured] = (),
    real: Measured | None = None,
) -> Row:  # fmt: skip
    """Figures of several repeats of a row; intervals resample prompts."""
    several = [recognition(prompts, found) | (moved[i] if i < len(moved) else {}) for i, found in enumerate(repeats)]
    figures, ratios = dict[str, Estimate](), dict[str, Estimate]()
    for key in several[0]:
        pooled = Values.joined([one[key] for one in several if key in one])
        if not len(pooled.value):
            continue
        figures[key] = estimate(pooled, repeats=[one[key] for one in several if key in one])
        if key == RIGHT:
            figures["right, mean over actions"] = estimate(pooled, macro=True)
        if real is not None and key in real and key not in (FROZEN, MOVED, SPUN):
            ratios[key] = ratio(pooled, real[key])
    share = [
        np.mean([float(s.right) for found in repeats for s in found if s.prompt == n] or [np.nan])
        for n in range(len(prompts.prompts))
    ]
    names = [tuple(s.name + "*" * s.resting for s in repeats[0] if s.prompt == n) for n in range(len(prompts.prompts))]
    return Row(name, len(repeats), figures, ratios, tuple(float(value) for value in share), tuple(names))


def evaluate_stream(
    prompts: StreamPrompts, dataset: MotionDataset, examples: Sequence[Example], judge: Judge,
    performed: Mapping[str, Iterator[Rolled]], *, repeats: int = 3, finished: Callable[[Row], None] = lambda row: None,
) -> Report:  # fmt: skip
    """All rows; `performed` gives each row's roll-outs, `finished` sees each row as soon as it is there."""
    for prompt in prompts.prompts:
        if unknown := sorted({*prompt.right, *prompt.after} - set(judge.actions)):
            raise LabanError(f"prompt {prompt.text!r}: action {unknown[0]!r} is unknown to the judge")
    rows, real = list[Row](), real_kinematics(prompts, dataset)
    for name, found in references(prompts, examples, judge, repeats=repeats).items():
        rows.append(row_of(prompts, f"{REAL}, {HELD}" if name == HELD else name, found, [real] if name == REAL else ()))
        finished(rows[-1])
    notes = []
    for name, rolls in performed.items():
        looked, moved, memory, broken = list[list[Seen]](), list[Measured](), list[tuple[float, float]](), 0
        for rolled in rolls:
            broken += rolled.broken
            looked.append(seen(prompts, cut(prompts, rolled.joints20), judge))
            moved.append(kinematics(prompts, rolled))
            memory.append(rolled.memory)
        rows.append(row_of(prompts, name, looked, moved, real))
        finished(rows[-1])
        grown = ", ".join(f"{early:.0f} to {late:.0f}" for early, late in memory)
        notes.append(f"{name}: {broken} frames that are no numbers; memory, MB, after a minute and at the end: {grown}")
    return Report(
        PROTOCOL,
        str(judge.config["sha256"]),
        prompts.name,
        prompts.rule,
        len(prompts.prompts),
        tuple(rows),
        tuple(notes),
    )
