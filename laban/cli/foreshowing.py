"""What `--show` draws for `laban anticipate`: the motion that was seen, and the next action as generated from there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from laban.errors import LabanError

if TYPE_CHECKING:
    from models.motion import Motion
    from models.video.pose import People

SHORTEST, LONGEST = 1.5, 6.0
"""Seconds of a generated future."""
SHOWN = 6.0
"""Seconds of the past that are shown: the last ones."""


def check_show(path: Path | None) -> None:
    """LabanError, before any work, for a suffix that is neither film nor picture."""
    from viz.foreseen import SUFFIXES

    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise LabanError(f"--show {path}: format {path.suffix!r} is unknown; accepted: {', '.join(SUFFIXES)}")


def motion_of(motion: Motion | None, people: People | None) -> tuple[Motion, float]:
    """(the motion of a file, or of the most prominent person of a video; the second at which it begins)."""
    if motion is not None:
        return motion, 0.0
    assert people is not None and people.people
    from models.body.retarget import retarget_joints

    person = people.people[0]
    rate = people.grid.fps / people.grid.stride
    return retarget_joints(person.joints, rate), people.grid.offset + person.first / rate


def past_of(motion: Motion, until: float) -> Motion:
    """The first person up to `until` seconds: the last `SHOWN` of them. LabanError for less than three frames."""
    stop = min(motion.frames, round(until * motion.fps))
    start = max(0, stop - round(SHOWN * motion.fps))
    if stop - start < 3:
        raise LabanError(f"--show: {until:g} s of motion were seen; accepted: at least three frames")
    return motion.actor(0).slice(start, stop)


def continued(past: Motion, label: str, seconds: float, *, seed: int = 0, steps: int = 20) -> Motion:
    """The action of a label, generated from the last pose of what was seen, where it happened."""
    from action_localization.regimes.streams import WORDINGS
    from motion.constraints import Constraints, pose_key
    from motion.generate import GenerateConfig, generate

    start = pose_key(past, (past.frames - 1) / past.fps, 0.0, "the last pose seen")
    config = GenerateConfig(seed=seed, steps=steps)
    text = WORDINGS.get(label, f"a person does {label}")
    length = min(max(seconds, SHORTEST), LONGEST)
    return generate([text], length, config=config, constraints=Constraints(poses=(start,)))[0]


def show(motion: Motion, until: float, foreseen: tuple[str, float, float], path: Path, *, seed: int = 0,
         quiet: bool = False) -> str:  # fmt: skip
    """Draw past and future to `path`; `foreseen` is (label, probability, seconds) of what comes next."""
    from viz.foreseen import Side, draw_foreseen

    label, chance, seconds = foreseen
    past = past_of(motion, until)
    future = continued(past, label, seconds, seed=seed)
    seen = Side(past, f"seen, to {until:.1f} s")
    draw_foreseen(seen, Side(future, f"foreseen, from there: {label} ({100 * chance:.0f} %)"), path, quiet=quiet)
    return f"shown: {label} ({100 * chance:.0f} %), {future.seconds:.1f} s after the last pose seen -> {path}"
