"""When what a word asks for is over: whether an action ends by itself, after how long, and how somebody idles then.

`python -m motion.primitives.endings DATASET` measures `endings.json` anew: seconds per action, from the train split.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.files import atomic_path
from models.data.dataset import ClipRecord, MotionDataset
from models.motion_text.examples import read_joints
from models.representation.heading import joints_heading
from models.representation.joints import FPS as JOINT_FPS
from models.text.known import KnownActions
from models.text.slots import parse_slots
from motion.primitives.frames import FPS
from motion.prompts import STAND, idle_after

TABLE = Path(__file__).with_name("endings.json")
CHANGES = frozenset(
    ("sit down", "sit down on floor", "stand up", "get up", "lie down", "fall down", "land", "roll", "backflip", "flip",
     "sideflip", "cartwheel", "turn", "pick up")
)  # fmt: skip
"""Actions that end in another place or posture: nobody keeps doing them, whatever form the verb has."""
STROKES = frozenset(
    ("jump", "kick", "soccer kick", "punch", "throw", "catch", "slash", "sword attack", "stab", "spin attack",
     "shield bash", "shoot gun", "archery", "cast spell", "tennis", "golf", "nod", "shake head", "cheer", "taunt")
)  # fmt: skip
"""Done once unless the sentence says otherwise; "is jumping" does."""
GESTURES = frozenset(
    ("bow", "raise arms", "gesture", "bend", "draw", "block", "get hit", "reload gun", "press button", "open",
     "use object", "thumbs up", "power up", "spin")
)  # fmt: skip
"""Done once, in whatever form; only "keep …" makes them go on."""
ENDING = CHANGES | STROKES | GESTURES
"""Everything else goes on: gaits, dances, sports, work, states and ways of standing, sitting and lying."""
REPETITION: dict[str, float] = {
    "wave": 1.2, "clap": 0.5, "jumping jacks": 1.2, "push-up": 1.8, "boxing": 0.8, "hammer": 0.9, "chop": 1.2,
    "dig": 2.0, "mine": 1.6, "saw": 1.0, "basketball": 0.6, "walk": 0.55, "walk sideways": 0.7, "walk backward": 0.65,
    "jog": 0.4, "run": 0.35, "sprint": 0.3, "sneak": 0.9, "crouch walk": 0.7, "crawl": 0.9, "swim": 1.5,
}  # fmt: skip
"""Seconds of one repetition (of gaits: of one step) of what goes on, for "waves twice" and "takes three steps"."""
REACTION = 16 / FPS
"""Seconds that a new word may take to show (two primitives): they come before the action's own."""
SHORTEST, LONGEST = 1.0, 5.0
"""Seconds of one doing: less is not seen, and more means that the clips show several."""
SEVERAL = 6.0
"""Seconds from which on a clip of such an action shows it more than once, and tells nothing of one."""
QUIET = 0.2
"""m/s: once no joint is faster, the action is over."""
FURTHER = 1.5
"""Seconds of a second and any further time of an action whose clips also hold a run-up and a return."""
UNKNOWN = 2.0
"""Seconds of an action without a usable clip."""

_KEEP = re.compile(
    r"\b(?:keep|keeps|keeping|continue|continues|continuing|repeatedly|continuously|constantly|endlessly|forever|"
    r"non-?stop|over and over|again and again|up and down|without (?:a )?(?:stop\w*|pause|end))\b|\bgo(?:es)? on\b"
)
_PROGRESSIVE = re.compile(r"^\W*\w+ing\b|\b(?:is|are|am|be|start|starts|begin|begins|stand|stands) (?:\w+ly )?\w+ing\b")
_SECONDS = re.compile(r"\bfor (?P<number>\d+(?:\.\d+)?|an?|one|two|three|four|five|six|seven|eight|nine|ten) "
                      r"(?P<unit>second|minute)s?\b")  # fmt: skip
_NUMBERS = ("a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WALKED = re.compile(r"\b(?:walk|stroll|strid|march|step|pac)\w*")
_RUN = re.compile(r"\b(?:run|jog|sprint)\w*")


_NAMED = (
    ("sit down on floor", re.compile(r"\b(?:sits?|sitting)(?: down)? on the (?:floor|ground)\b")),
    ("sit down", re.compile(r"\b(?:sits?|sitting) down\b")),
    ("stand up", re.compile(r"\b(?:stands?|standing) (?:back )?up\b")),
    ("get up", re.compile(r"\b(?:gets?|getting) (?:back )?up\b")),
    ("lie down", re.compile(r"\b(?:lies?|lying|lays?|laying) down\b")),
    ("fall down", re.compile(r"\b(?:falls?|falling) (?:down|over)\b")),
)
"""Changes of posture that a text names outright, which sentence vectors confuse with the posture itself."""
_REST = re.compile(
    r"(?:please )?(?:(?:a|the) person |(?:some|any)one |s?he |they )?(?:(?:comes?|gets?) to a )?(?:stop|halt|pause|"
    r"wait|idle|freeze|rest|relax|stay|do(?:es)? nothing|stands? still|hold still|keeps? still)(?:s|es)?"
    r"(?: (?:\w+ing|now|still|here|there|it|that|where (?:you|they) are|where s?he is|for a (?:moment|while)))*[.!]*"
)


@dataclass(frozen=True)
class Ending:
    """What becomes of an action once it is said."""

    action: str
    seconds: float | None
    """Until it is over, from the moment it is said; None: it goes on until something else is said."""
    then: str
    """The text that drives the body afterwards: idling in the posture reached, or walking on after a walked turn."""


def ending(text: str, action: str) -> Ending:
    """When `text`, which means the known `action`, is over, and what follows.

    The sentence has the first say ("for five seconds", "keep kicking", "jumps three times", "is jumping"), then the
    action. Seconds include `REACTION`.
    """
    if stops(text):
        return Ending("stand", None, STAND)
    said = text.lower()
    then = _onward(said) if action == "turn" else idle_after(text, action)
    return Ending(action, None if (own := _seconds(said, action)) is None else round(own + REACTION, 2), then)


def stops(text: str) -> bool:
    """Whether a text asks for nothing but to stop: idling in whatever posture the body is in ("stop", "stay there")."""
    return _REST.fullmatch(text.strip().lower()) is not None


def endings(texts: Sequence[str], known: KnownActions) -> list[Ending]:
    """`ending` of each text as the change of posture that it names, else as the action that `known` takes it for."""
    if not texts:
        return []
    named = [next((action for action, words in _NAMED if words.search(text.lower())), None) for text in texts]
    return [ending(t, own or action) for t, own, action in zip(texts, named, known.meant(texts), strict=True)]


def _seconds(said: str, action: str) -> float | None:
    if lasting := _SECONDS.search(said):
        word = lasting["number"]
        number = 1.0 if word == "an" else float(max(1, _NUMBERS.index(word))) if word in _NUMBERS else float(word)
        return number * (60.0 if lasting["unit"] == "minute" else 1.0)
    if _KEEP.search(said) and action not in CHANGES:
        return None
    once = durations().get(action, UNKNOWN) if action in ENDING else REPETITION.get(action)
    if once is not None and (count := parse_slots(said).count):
        return max(SHORTEST, once + (count - 1) * min(once, FURTHER))
    if action not in ENDING or (action in STROKES and _PROGRESSIVE.search(said)):
        return None
    return once


def _onward(said: str) -> str:
    """Somebody who turns while walking or running goes on with that; who only turns stands."""
    if _RUN.search(said):
        return "a person runs forward"
    return "a person walks forward" if _WALKED.search(said) else idle_after(said)


# ---------------------------------------------------------------------------------------------------------- the table


@cache
def durations() -> dict[str, float]:
    """Seconds of each ending action that the training split has usable clips of."""
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return {action: float(row["seconds"]) for action, row in content["actions"].items()}


def measure(records: Sequence[ClipRecord], clips: Sequence[Float[ndarray, "_ 22 3"]]) -> dict[str, dict[str, float]]:
    """Median seconds (`over`, `turned`), and number of clips, of each of `ENDING` in the train split.

    Clips with spikes, loops and clips longer than `SEVERAL` are left out; depth-camera clips count only where there is
    no other. Clamped to `SHORTEST`..`LONGEST`.
    """
    found: dict[str, dict[bool, list[float]]] = {}
    for record, joints in zip(records, clips, strict=True):
        if record.split != "train" or record.action not in ENDING or record.seconds > SEVERAL:
            continue
        if {"spikes", "looped"} & set(record.flags):
            continue
        rough = found.setdefault(record.action, {False: [], True: []})["noisy" in record.flags]
        rough.append(turned(joints) if record.action == "turn" else over(joints))
    rows = {}
    for action, both in sorted(found.items()):
        own = both[False] or both[True]
        seconds = float(np.clip(np.median(own), SHORTEST, LONGEST))
        rows[action] = {"seconds": round(seconds, 2), "clips": len(own)}
    return rows


def over(joints: Float[ndarray, "frames 22 3"]) -> float:
    """Seconds (20 fps) until the fastest joint, over a quarter of a second, is slower than `QUIET` for good."""
    if len(joints) < 2:
        return 0.0
    speed = (np.linalg.norm(np.diff(joints, axis=0), axis=-1) * JOINT_FPS).max(1)
    smooth = np.convolve(np.pad(speed, 2, mode="edge"), np.ones(5) / 5, "valid")
    moving = np.flatnonzero(smooth > QUIET)
    return float((moving[-1] + 1) / JOINT_FPS) if len(moving) else 0.0


def turned(joints: Float[ndarray, "frames 22 3"]) -> float:
    """Seconds (20 fps) until 95 % of the turn of a clip is done."""
    turn = np.unwrap(joints_heading(joints))
    done = (turn - turn[0]) * np.sign(turn[-1] - turn[0])
    return float(np.argmax(done >= 0.95 * done[-1]) / JOINT_FPS)


def main() -> None:
    """Write `endings.json`."""
    about = "Median seconds of actions that end by themselves, from the train split (motion/primitives/endings.py)."
    dataset = MotionDataset.open(sys.argv[1])
    found = measure(dataset.records, read_joints(dataset))
    rows = ",\n".join(f"  {json.dumps(action)}: {json.dumps(row)}" for action, row in found.items())
    with atomic_path(TABLE) as temporary:
        temporary.write_text(f'{{\n "about": {json.dumps(about)},\n "actions": {{\n{rows}\n }}\n}}\n')


if __name__ == "__main__":
    main()
