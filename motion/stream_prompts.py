"""Prompts of a measured stream: what is said when, what then counts as right, and when it is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laban.errors import LabanError

FORMAT, VERSION = "laban-stream-prompts", 1
GOES_ON, ENDS = "goes on", "ends"


@dataclass(frozen=True)
class Rest:
    """Rest in a posture: names that the judge may give it, and how high pelvis and head are on average, metres."""

    actions: tuple[str, ...]
    pelvis: tuple[float, float]
    head: tuple[float, float]


@dataclass(frozen=True)
class StreamPrompt:
    """One thing said at `start` seconds. `right`: actions that show it, the one meant first."""

    start: float
    text: str
    right: tuple[str, ...]
    ends: bool
    """Whether the action ends by itself; from the second window on `after`, or rest in `posture`, is then right too."""
    after: tuple[str, ...]
    posture: str

    @property
    def action(self) -> str:
        """The action meant."""
        return self.right[0]


@dataclass(frozen=True)
class StreamPrompts:
    """A file of prompts that follow one another, each `seconds` long, and the rule by which they are judged."""

    name: str
    about: str
    rule: str
    seconds: float
    window: float
    starts: Mapping[str, tuple[float, ...]]
    still: float
    """m/s of the fastest joint below which a body is at rest."""
    rest: Mapping[str, Rest]
    prompts: tuple[StreamPrompt, ...]

    def first(self, count: int) -> StreamPrompts:
        """The same with the first prompts alone."""
        return StreamPrompts(self.name, self.about, self.rule, self.seconds, self.window, self.starts, self.still,
                             self.rest, self.prompts[:count])  # fmt: skip

    def windows(self, prompt: StreamPrompt) -> tuple[tuple[float, float], ...]:
        """Half-open windows in seconds after the prompt was said."""
        return tuple((start, start + self.window) for start in self.starts[ENDS if prompt.ends else GOES_ON])

    @property
    def duration(self) -> float:
        """Seconds of the whole."""
        return len(self.prompts) * self.seconds


def read_stream_prompts(path: str | Path) -> StreamPrompts:
    """Prompts of a file; LabanError that names the file and what is wrong in it."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            found = f"{content.get('format')} version {content.get('version')}"
            raise LabanError(f"{path}: is {found}; accepted: {FORMAT} version {VERSION}")
        prompts = _prompts(content)
    except FileNotFoundError as error:
        raise LabanError(f"{path}: no such file; accepted: a file made by benchmarks/make_stream_prompts.py") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabanError(f"{path}: is damaged ({error!r}); accepted: a {FORMAT} file") from error
    _check(prompts, path)
    return prompts


def _prompts(content: Mapping[str, Any]) -> StreamPrompts:
    rest = {
        name: Rest(tuple(row["actions"]), _pair(row["pelvis"]), _pair(row["head"]))
        for name, row in content["rest"].items()
    }
    prompts = tuple(
        StreamPrompt(float(row["start"]), str(row["text"]), tuple(row["right"]), bool(row["ends"]), tuple(row["after"]),
                     str(row["posture"])) for row in content["prompts"]
    )  # fmt: skip
    starts = {key: tuple(float(second) for second in content["starts"][key]) for key in (GOES_ON, ENDS)}
    return StreamPrompts(content["name"], content["about"], content["rule"], float(content["seconds"]),
                         float(content["window"]), starts, float(content["still"]), rest, prompts)  # fmt: skip


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def _check(prompts: StreamPrompts, path: Path) -> None:
    if not prompts.prompts:
        raise LabanError(f"{path}: holds no prompts; accepted: one or more")
    for number, prompt in enumerate(prompts.prompts):
        where = f"{path}: prompt {number + 1} ({prompt.text!r})"
        if abs(prompt.start - number * prompts.seconds) > 1e-6:
            wanted = number * prompts.seconds
            raise LabanError(f"{where} starts at {prompt.start:g} s; accepted: {wanted:g} s, one after another")
        if not prompt.right or not prompt.text.strip():
            raise LabanError(f"{where} has no text or no right action; accepted: both")
        if prompt.posture not in prompts.rest:
            raise LabanError(f"{where} ends in posture {prompt.posture!r}; accepted: {', '.join(prompts.rest)}")
