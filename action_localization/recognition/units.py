"""The bank of semantic units: body parts, motions, objects and scenes, each with the sentence that stands for it."""

from __future__ import annotations

from dataclasses import dataclass

MOTIONS = (
    "walks", "runs", "jogs", "sneaks", "crawls", "climbs", "limps", "marches", "turns around", "spins", "jumps", "hops",
    "leaps", "skips", "kicks", "punches", "boxes", "throws", "catches", "swings", "hits", "pushes", "pulls", "lifts",
    "carries", "picks something up", "puts something down", "reaches", "points", "waves", "claps", "raises both arms",
    "raises one arm", "lowers the arms", "stretches", "bends forward", "bows", "squats", "kneels", "sits down", "sits",
    "stands up", "stands still", "lies down", "lies on the floor", "gets up", "falls", "rolls", "does a flip",
    "does a cartwheel", "dances", "shakes the head", "nods", "looks around", "drinks", "eats", "writes", "draws",
    "hammers", "saws", "digs", "sweeps", "washes", "stirs", "cuts", "opens", "rows", "swims", "cycles", "rides",
    "does push-ups", "does jumping jacks", "holds a plank", "twists the trunk", "does sit-ups", "lunges", "shrugs",
    "salutes", "gestures", "talks with the hands", "shoots", "aims", "fights", "dodges", "blocks", "balances", "sways",
    "shivers", "staggers", "walks backwards", "walks sideways", "steps forward",
)  # fmt: skip
"""What somebody does."""

PARTS = (
    "the left arm", "the right arm", "both arms", "the left hand", "the right hand", "both hands", "the left leg",
    "the right leg", "both legs", "the left foot", "the right foot", "the knees", "the hips", "the trunk", "the head",
    "the shoulders", "the whole body",
)  # fmt: skip
"""What somebody does it with."""

OBJECTS = (
    "a ball", "a football", "a basketball", "a tennis racket", "a golf club", "a bat", "a sword", "a bow and arrow",
    "a gun", "a hammer", "a rope", "a hoop", "a barbell", "a dumbbell", "a box", "a bag", "a cup", "a pan", "a knife",
    "a broom", "a spade", "a brush", "a bicycle", "a segway", "a chair", "a table", "a door", "a wall", "stairs",
    "a mat",
)  # fmt: skip
"""What somebody does it to."""

SCENES = ("in a gym", "on a sports field", "on a court", "in a kitchen", "in a street", "on a stage", "in water",
          "on the floor", "in the air", "beside somebody else")  # fmt: skip
"""Where."""


@dataclass(frozen=True)
class Unit:
    """A semantic unit: its kind, its name, and the sentence whose embedding stands for it."""

    kind: str
    name: str
    sentence: str


def unit_bank() -> tuple[Unit, ...]:
    """All units, in a fixed order."""
    return (
        *(Unit("motion", name, f"a person {name}") for name in MOTIONS),
        *(Unit("part", name, f"a person moves {name}") for name in PARTS),
        *(Unit("object", name, f"a person does something with {name}") for name in OBJECTS),
        *(Unit("scene", name, f"a person moves {name}") for name in SCENES),
    )
