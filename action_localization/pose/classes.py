"""The fixed classes of the embedded detector, and which labels of motion sets and video sets belong to them.

Standing and idling are background. Actions that no class names are background too, as long as they look like none of
the classes (`DISTRACTORS`); the rest (martial arts, beckoning, mixed takes) teaches nothing and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from laban.errors import LabanError

VERSION = 1
"""Counts up when a class is added, dropped or renamed; kept in the checkpoint."""


@dataclass(frozen=True)
class ActionClass:
    """A name as users see it; `motion` are coarse actions and segment labels of motion sets, `video` those of video."""

    name: str
    motion: tuple[str, ...] = ()
    video: tuple[str, ...] = ()


CLASSES: tuple[ActionClass, ...] = (
    ActionClass("walk", ("walk", "walking", "zombie walk", "crouch walk", "sneak"), ("walk", "walking")),
    ActionClass("walk and turn", ("turn",)),
    ActionClass("walk backward", ("walk backward",)),
    ActionClass("walk sideways", ("walk sideways",)),
    ActionClass("run", ("run", "jog", "sprint", "run sideways"), ("run", "jog")),
    ActionClass("jump", ("jump", "jump forward"), ("jump", "HighJump")),
    ActionClass("dance", ("dance", "dance around"), ("dance",)),
    ActionClass("wave", ("wave",), ("wave",)),
    ActionClass("raise arms", ("raise arms",)),
    ActionClass("clap", ("clap", "clapping", "standing and clapping"), ("clap",)),
    ActionClass("bend forward", ("bow", "bend", "bends down"), ("bow",)),
    ActionClass("punch", ("punch", "boxing", "punching"), ("punch", "boxing")),
    ActionClass("kick", ("kick", "soccer kick", "leg kicking"), ("kick",)),
    ActionClass("throw", ("throw",), ("throw",)),
    ActionClass("catch", ("catch",), ("catch",)),
    ActionClass("draw in the air", ("draw",)),
    ActionClass("hammer", ("hammer",), ("hammering",)),
    ActionClass("golf swing", ("golf",), ("golf", "GolfSwing")),
    ActionClass("tennis swing", ("tennis",), ("TennisSwing",)),
    ActionClass("basketball", ("basketball", "play basketball"), ("basketball",)),
    ActionClass("sit down", ("sit down",), ("sit down",)),
    ActionClass("stand up", ("stand up",), ("stand up",)),
    ActionClass("pick up", ("pick up",), ("pick up",)),
    ActionClass("carry", ("carry",)),
    ActionClass("push", ("push",), ("push",)),
    ActionClass("pull", ("pull",), ("pull",)),
    ActionClass("get up from the floor", ("get up",), ("get up",)),
    ActionClass("fall down", ("fall down",), ("fall",)),
    ActionClass("crawl", ("crawl",), ("crawl",)),
    ActionClass("cartwheel", ("cartwheel",), ("cartwheel",)),
    ActionClass("flip", ("flip", "backflip", "sideflip"), ("backflip", "somersault")),
    ActionClass("roll", ("roll",)),
    ActionClass("sword swing", ("slash", "sword attack", "spin attack"), ("sword",)),
    ActionClass("archery", ("archery",), ("archery",)),
    ActionClass("aim a gun", ("aim gun", "shoot gun"), ("shoot gun",)),
    ActionClass("swim", ("swim",), ("swimming", "front")),
    ActionClass("push-up", ("push-up",), ("pushup",)),
    ActionClass("jumping jacks", ("jumping jacks",), ("jumpingjack", "jumping jacks")),
    ActionClass("squat", ("squat",), ("squat",)),
    ActionClass("plank", (), ("plank",)),
    ActionClass("russian twist", (), ("russiantwist",)),
    ActionClass("jump rope", (), ("speed_jump_rope", "rope_beach", "jump rope")),
    ActionClass("football juggling", (), ("SoccerJuggling", "soccer_keepups", "keepups")),
    ActionClass("lift a barbell", (), ("bar_lift", "Clean and jerk")),
    ActionClass("hula hoop", (), ("hoolahoop",)),
    ActionClass("pommel horse", (), ("pommel_practice", "pommel_match")),
    ActionClass("pull-up", (), ("pull-up",)),
    ActionClass("cycle", (), ("hometrainer", "spinning")),
    ActionClass("stir", (), ("stirring",)),
    ActionClass("ride a segway", (), ("using segway",)),
)  # fmt: skip

IDLE = ("stand", "talk", "tired", "zombie stand", "stand still", "stand with both hand in front of belly",
        "stand with both hand together")  # fmt: skip
"""Coarse actions of people who stand about: the gaps of spliced streams."""

DISTRACTORS = (
    "angry", "block", "cast spell", "confused", "crouch", "dig", "dizzy", "drive", "eat", "fighting stance", "fish",
    "fly", "get hit", "hold object", "kneel", "land", "levitate", "lie", "meditate", "nod", "open", "pick lock",
    "power up", "press button", "reload gun", "repair", "saw", "shake head", "shield bash", "shiver", "sit",
    "sit and talk", "sit on floor", "sleep", "spin", "sword stance", "taunt", "thumbs up", "use object", "wash",
    "work with hands",
)  # fmt: skip
"""Coarse actions of no class that look like none of them: spliced in as background."""


def names() -> tuple[str, ...]:
    """The class names in the order of the detector's outputs."""
    return tuple(one.name for one in CLASSES)


def class_of_motion(label: str) -> str | None:
    """The class of a motion set's coarse action or segment label; None when it belongs to none."""
    return _table("motion").get(_plain(label))


def class_of_video(label: str) -> str | None:
    """The class of a video set's label, whatever its case and separators; a class's own name counts too."""
    return _table("video").get(_plain(label))


@cache
def _table(field: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for one in CLASSES:
        for label in (one.name, *getattr(one, field)):
            if table.setdefault(_plain(label), one.name) != one.name:
                raise LabanError(f"label {label!r} belongs to two classes: {table[_plain(label)]!r} and {one.name!r}")
    return table


def _plain(label: str) -> str:
    return "".join(letter for letter in label.lower() if letter.isalnum())
