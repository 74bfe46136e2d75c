"""What somebody is to do in a room, one thing after another, and how it is said: go, sit, lie, stand up, an action."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from laban.errors import LabanError
from models.scene.furniture import kind_of
from models.scene.scene import Scene

Place = tuple[float, float]

KINDS = ("go", "sit", "lie", "stand", "act")
ACCEPTED = '"sit on NAME", "lie on NAME", "stand up", "go to x,z", "go to NAME", or an action such as "wave"'

_SIT = re.compile(
    r"^(?:to )?(?P<what>sit|sits|lie|lies|lay)(?: back)?(?: down)?(?: on| in| at| upon| onto)? ?(?:the |a )?"
    r"(?P<name>[\w .-]*)$"
)
_STAND = re.compile(r"^(?:to )?(?:stand|stands|get|gets)(?: back)? up(?: from .*| again)?$")
_GO = re.compile(r"^(?:to )?(?:go|goes|walk|walks|run|runs)(?: over)? to (?:the )?(?P<where>.+)$")
_PLACE = re.compile(r"^(?P<x>-?\d+(?:\.\d*)?) ?, ?(?P<z>-?\d+(?:\.\d*)?)$")


@dataclass(frozen=True)
class Task:
    """One thing to do."""

    kind: str
    text: str
    """What is said to the model."""
    place: Place | None = None
    """Where to go, (x, z) in metres."""
    name: str | None = None
    """The object that it is about."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LabanError(f"task {self.kind!r}; accepted: {', '.join(KINDS)}")


def read_task(said: str, scene: Scene) -> Task:
    """What "sit on chair" and the like mean in this room; LabanError for unknown objects, with those there are."""
    text = " ".join(said.lower().split())
    if not text:
        raise LabanError(f"--then {said!r}: nothing is said; accepted: {ACCEPTED}")
    if _STAND.match(text):
        return Task("stand", "a person stands up")
    if (found := _SIT.match(text)) is not None:
        kind = "sit" if found["what"].startswith("sit") else "lie"
        name = named(found["name"].strip(), scene, kind)
        return Task(kind, "a person sits down" if kind == "sit" else "a person lies down", name=name)
    if (found := _GO.match(text)) is not None:
        where = _PLACE.match(found["where"])
        if where is not None:
            return Task("go", "", place=(float(where["x"]), float(where["z"])))
        return Task("go", "", name=named(found["where"], scene))
    return Task("act", said.strip())


def named(name: str, scene: Scene, affords: str | None = None) -> str:
    """The object's whole name; without a name the only one on which one can do so."""
    if name:
        wanted = name.replace(" ", "_")
        if wanted in (one.name.lower() for one in scene.objects):
            return scene.object(wanted).name
        kind, _, number = wanted.rpartition("_")
        said = {wanted, kind_of(wanted)} - {"object"}  # a sofa is a couch
        own = [one.name for one in scene.objects if one.kind.lower() in said]
        numbered = [one.name for one in scene.objects if one.kind.lower() == kind] if number.isdigit() else []
        if len(own) == 1:
            return own[0]
        if 1 <= (int(number) if numbered else 0) <= len(numbered):
            return numbered[int(number) - 1]  # chair_2: the second chair
        return scene.object(wanted).name
    able = [one.name for one in scene.objects if one.affords == affords]
    if len(able) == 1:
        return able[0]
    listed = ", ".join(able) or "none; name one with --sit"
    raise LabanError(f"where to {affords}? In {scene.name} there are: {listed}")


def check_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks as they can be done: who sits stands up before going on. LabanError for standing up from nothing."""
    done: list[Task] = []
    for task in tasks:
        down = bool(done) and done[-1].kind in ("sit", "lie")
        if task.kind == "stand" and not down:
            raise LabanError('--then "stand up": nobody sits or lies; expected after "sit on NAME" or "lie on NAME"')
        if down and task.kind != "stand":
            done.append(Task("stand", "a person stands up"))
        done.append(task)
    return done
