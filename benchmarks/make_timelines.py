"""Make the timelines that generation of timelines is measured on: `timelines.json` (test) and `timelines_dev.json`.

    python benchmarks/make_timelines.py --data runs/data/mocap          writes both files
    python benchmarks/make_timelines.py --data runs/data/mocap --check  prints the judge's rates, writes nothing

Every timeline strings known actions together in an order that a body can do (`STATES`), each as long as a real clip of
it, and half of them put an action of one arm on top of a stretch that needs the legs alone. Only what the judge
recognises on real clips of the same lengths is used, so that what it misses on generated motion is missed there.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laban.files import atomic_path
from models.data.dataset import MotionDataset
from models.motion_text.examples import SEQUENCE, Example, read_examples
from models.text.captions import sentence, side_words
from models.text.phrases import PHRASES
from motion.evaluation import middle
from motion.judge.judge import PARTS, Judge, load_judge

FPS = 20
SHORTEST, LONGEST = 1.0, 6.0
"""Seconds of one interval."""
LEAST_RIGHT = 0.8
"""Of real clips cut to the intervals' lengths, the share in which the judge must see the action."""
STATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("stand", "stand"): (
        "walk", "run", "jog", "sprint", "turn", "walk sideways", "run sideways", "walk backward", "crouch walk",
        "sneak", "zombie walk", "jump", "jumping jacks", "dance", "bow", "wave", "raise arms", "punch", "boxing",
        "martial arts", "kick", "soccer kick", "fighting stance", "basketball", "basketball signal", "archery",
        "cast spell", "sword attack", "slash", "stab", "spin attack", "chop", "dig", "mine", "saw", "hammer", "fish",
        "push", "stand", "cheer", "gesture", "shiver", "tired", "eat", "talk", "cartwheel", "wash", "shoot gun",
        "directing traffic", "crouch", "kneel", "pick up", "throw", "taunt", "dizzy", "work with hands",
    ),
    ("stand", "chair"): ("sit down",),
    ("chair", "chair"): ("sit", "sit and talk"),
    ("chair", "stand"): ("stand up",),
    ("stand", "floor"): ("sit down on floor",),
    ("floor", "floor"): ("sit on floor",),
    ("stand", "ground"): ("fall down", "lie down"),
    ("ground", "ground"): ("lie", "crawl"),
    ("floor", "stand"): ("get up",),
    ("ground", "stand"): ("get up",),
}  # fmt: skip
"""(state before, state after) -> actions; a timeline starts standing and ends in any state that it is brought into."""
CHANGES = frozenset(a for (before, after), row in STATES.items() if before != after for a in row)
"""Real clips of these are taken whole, never cut."""
BASES = ("walk", "run", "jog", "turn", "walk sideways", "walk backward", "crouch walk", "sneak", "run sideways",
         "stand", "sit", "sit on floor", "jump")  # fmt: skip
"""What leaves the arms free: played by the legs while an arm does something else."""
BASE_PARTS = ("legs",)
OVERLAYS: tuple[tuple[str, str | None, tuple[str, ...], tuple[str, ...]], ...] = (
    ("wave", "left", ("left arm",), ()),
    ("wave", "right", ("right arm",), ()),
    ("raise arms", "left", ("left arm",), ()),
    ("raise arms", "right", ("right arm",), ()),
    ("gesture", "right", ("right arm",), ("a person gestures with the right hand", "make a gesture with the right hand",
                                          "a person signals with the right hand", "gesture with the right arm")),
    ("cheer", "right", ("right arm",), ("a person pumps the right fist", "cheer with the right arm",
                                        "a person celebrates with the right fist", "pump the right fist")),
    ("punch", "left", ("left arm",), ()),
    ("punch", "right", ("right arm",), ()),
    ("cast spell", "right", ("right arm",), ("a person casts a spell with the right hand",
                                             "a person does magic with the right hand")),
    ("nod", None, ("head",), ()),
    ("shake head", None, ("head",), ()),
)  # fmt: skip
"""(action, side, parts, texts where the table has none with the side); kept where the judge's part heads see it."""
BOTH = ("wave", "raise arms")
"""As actions of the whole body these are done with both arms, and the text says so."""
_OWNERS = Counter(phrase for table in PHRASES.values() for phrase in {p for row in table.values() for p in row})
AMBIGUOUS = {phrase for phrase, owners in _OWNERS.items() if owners > 1}
"""Phrases that the table has under several actions."""
SIDED = {"turn": ("left", "right"), "walk sideways": ("left", "right"), "run sideways": ("left", "right")}


@dataclass(frozen=True)
class Plan:
    """What one file is made of: `half` picks every second wording of an action, so that the files share none."""

    name: str
    seed: int
    count: int
    half: int
    subject: str


PLANS = (
    Plan("timelines", 20_260, 216, 0, "a person"),
    Plan("timelines_dev", 4_711, 72, 1, "someone"),
)


@dataclass(frozen=True)
class Known:
    """An action that may be used: seconds of its real clips, and how often the judge saw it in cuts of them."""

    seconds: tuple[float, ...]
    right: float


# --------------------------------------------------------------------------------------------------------- the judge


def candidates(examples: list[Example]) -> dict[tuple[str, str | None], list[Example]]:
    """Clean clips outside the test split that last a second, by action and by (action, the one side they name)."""
    found: dict[tuple[str, str | None], list[Example]] = defaultdict(list)
    for e in examples:
        if e.record.split == "test" or e.action == SEQUENCE or {"noisy", "spikes"} & set(e.record.flags):
            continue
        if len(e.features) >= SHORTEST * FPS and (e.action not in CHANGES or len(e.features) <= LONGEST * FPS):
            found[e.action, None].append(e)
            if len(side := side_words(" ".join(e.texts))) == 1:
                found[e.action, side[0]].append(e)
    return found


def cuts(clips: list[Example], rng: np.random.Generator, most: int = 40) -> list[np.ndarray]:
    """The middles of at most `most` clips, as long as `duration` draws them."""
    picked = [clips[i] for i in rng.permutation(len(clips))[:most]]
    lengths = [round(duration(e.action, (len(e.features) / FPS,), rng) * FPS) for e in picked]
    return [middle(e.features.numpy(), frames) for e, frames in zip(picked, lengths, strict=True)]


def duration(action: str, seconds: tuple[float, ...], rng: np.random.Generator) -> float:
    """As long as one of the real clips, or 3 to 6 s of it where that is shorter, in whole frames."""
    whole, limit = float(rng.choice(np.array(seconds))), float(rng.uniform(3.0, LONGEST))
    return int((whole if action in CHANGES else min(whole, limit)) * FPS + 1e-6) / FPS


def usable(examples: list[Example], judge: Judge, seed: int = 0) -> tuple[dict[str, Known], dict[Any, Known]]:
    """Whole-body actions, and (action, parts, side) of what may be done on top or by the legs alone."""
    rng, clips = np.random.default_rng(seed), candidates(examples)
    place = {action: i for i, action in enumerate(judge.actions)}
    whole: dict[str, Known] = {}
    for action in dict.fromkeys(a for row in STATES.values() for a in row):
        if len(own := clips.get((action, None), [])) >= 2:
            rows = cuts(own, rng)
            right = float((judge.classify(rows).argmax(1) == place[action]).mean())
            whole[action] = Known(tuple(len(e.features) / FPS for e in own), right)
    partial: dict[Any, Known] = {}
    wanted = [(a, BASE_PARTS, None) for a in BASES] + [(a, parts, side) for a, side, parts, _ in OVERLAYS]
    for action, parts, side in wanted:
        sided = clips.get((action, side), [])
        own = sided if len(sided) >= 2 else clips.get((action, None), [])
        if len(own) >= 2:
            heads = [PARTS.index(part) for part in parts]
            logs = np.log(judge.classify_parts(cuts(own, rng))[:, heads] + 1e-12).mean(1)
            top = (-logs).argsort(1)[:, :3] == place[action]
            partial[action, parts, side] = Known(tuple(len(e.features) / FPS for e in own), float(top.any(1).mean()))
    return whole, partial


# ------------------------------------------------------------------------------------------------------- composition


class Writer:
    """Draws timelines one after another, rarest actions first."""

    def __init__(self, plan: Plan, whole: dict[str, Known], partial: dict[Any, Known]) -> None:
        self.plan, self.rng = plan, np.random.default_rng(plan.seed)
        self.whole = {a: k for a, k in whole.items() if k.right >= LEAST_RIGHT}
        self.bases = [a for a in BASES if a in self.whole and partial[a, BASE_PARTS, None].right >= LEAST_RIGHT]
        self.overlays = {row: partial[row[0], row[2], row[1]] for row in OVERLAYS
                         if partial.get((row[0], row[2], row[1]), Known((), 0)).right >= LEAST_RIGHT}  # fmt: skip
        self.used: Counter[str] = Counter()
        self.said: Counter[str] = Counter()

    def timeline(self, number: int) -> dict[str, Any]:
        """One timeline; every second one has a second track."""
        layered = number % 2 == 1
        while True:
            row = self._sequence(layered)
            if row and 10 <= row[-1]["end"] <= 25 and 2 <= len(row) + layered <= 6:
                break
        if layered:
            self._overlay(row)
        for item in row:
            self.used[item["action"]] += 1
            item["text"] = self._text(item)
        seconds = max(item["end"] for item in row)
        keys = ("text", "action", "start", "end", "parts", "side", "track", "states")
        row = [{key: item[key] for key in keys} for item in row]
        return {"id": f"{self.plan.name}-{number:03d}", "seconds": seconds, "intervals": row}

    def _sequence(self, layered: bool) -> list[dict[str, Any]]:
        state, now, row = "stand", 0.0, list[dict[str, Any]]()
        target = float(self.rng.uniform(10, 22))
        while now < target:
            options = [(a, after) for (before, after), actions in STATES.items() if before == state
                       for a in actions if a in self.whole and not (row and row[-1]["action"] == a)]  # fmt: skip
            free = [item["action"] in self.bases for item in row]
            if layered and row and (not any(free) or (free[-1] and sum(free) == 1 and self.rng.random() < 0.5)):
                options = [o for o in options if o[0] in self.bases] or options
            weight = np.array([1 / (1 + self._used(a, after)) ** 2 for a, after in options])
            action, after = options[int(self.rng.choice(len(options), p=weight / weight.sum()))]
            gap = float(self.rng.integers(2, 11)) / FPS if row and self.rng.random() < 0.25 else 0.0
            length = duration(action, self.whole[action].seconds, self.rng)
            start = round(now + gap, 2)
            sides = SIDED.get(action)
            side = sides[int(self.rng.integers(2))] if sides else None
            row.append({"action": action, "start": start, "end": round(start + length, 2), "parts": [], "track": 0,
                        "side": side, "states": [state, after]})  # fmt: skip
            now, state = row[-1]["end"], after
        return row if not layered or self._spans(row) else []

    def _used(self, action: str, after: str) -> int:
        """How often an action has been drawn, or, if fewer, any that may follow in the posture it leads to."""
        follow = [a for (before, then), row in STATES.items() if before == then == after != "stand" for a in row]
        return min(self.used[a] for a in (action, *follow) if a in self.whole)

    def _spans(self, row: list[dict[str, Any]]) -> list[tuple[int, int]]:
        """Runs of one or two neighbours that leave the arms free for at least 1.5 s."""
        free = [item["action"] in self.bases for item in row]
        single = [(i, i) for i in range(len(row)) if free[i] and row[i]["end"] - row[i]["start"] >= 1.5]
        return single + [(i, i + 1) for i in range(len(row) - 1) if free[i] and free[i + 1]]

    def _overlay(self, row: list[dict[str, Any]]) -> None:
        spans = self._spans(row)
        wide = [span for span in spans if span[0] != span[1]]
        spans = wide if wide and self.rng.random() < 0.5 else spans
        first, last = spans[int(self.rng.integers(len(spans)))]
        start, end = row[first]["start"], row[last]["end"]
        options = list(self.overlays)
        weight = np.array([1 / (1 + self.said[f"{o[0]} {o[1]}"]) ** 2 for o in options])
        action, side, parts, _ = options[int(self.rng.choice(len(options), p=weight / weight.sum()))]
        self.said[f"{action} {side}"] += 1
        known = next(k for o, k in self.overlays.items() if o[0] == action and o[1] == side)
        length = min(duration(action, known.seconds, self.rng), int((end - start) * FPS + 1e-6) / FPS)
        late = int(self.rng.integers(int((end - start - length) * FPS + 1e-6) + 1)) / FPS
        own = round(start + late, 2)
        for item in row[first : last + 1]:
            if item["start"] < own + length and item["end"] > own:
                item["parts"] = list(BASE_PARTS)
        row.append({"action": action, "start": own, "end": round(own + length, 2), "parts": list(parts), "track": 1,
                    "side": side, "states": row[first]["states"]})  # fmt: skip
        row.sort(key=lambda item: (item["start"], item["track"]))

    def _text(self, item: dict[str, Any]) -> str:
        own = next((o[3] for o in OVERLAYS if (o[0], o[1]) == (item["action"], item["side"]) and item["track"]), ())
        if own:
            wordings = own[self.plan.half :: 2]
            return wordings[int(self.rng.integers(len(wordings)))]
        table = PHRASES[item["action"]]
        both = [""] if item["action"] not in BOTH else ["both"]
        keys = [key for key in table if item["side"] in key.split()] if item["side"] else both
        phrases = [p for key in keys for p in table[key] if not p.startswith("=") and p not in AMBIGUOUS]
        if item["side"]:
            phrases = [p for p in phrases if side_words(p) == (item["side"],)]
        chosen = phrases[self.plan.half :: 2]
        phrase = chosen[int(self.rng.integers(len(chosen)))]
        form = str(self.rng.choice(["s", "base", "ing"], p=[0.6, 0.3, 0.1]))
        return sentence(phrase, form, self.plan.subject)


ABOUT = (
    "Timelines of known actions for measuring generation ({what}). Made by benchmarks/make_timelines.py before "
    "anything was generated with them. Kept are actions with two or more clean real clips of a second or more outside "
    "the test split which the judge names right in at least {least:.0%} of real cuts of the intervals' lengths "
    "(whole body: top-1; legs alone and arms: top-3 of the part heads); no generated motion was looked at. Most of "
    "these clips are training data, of the judge too. Durations are those of real clips, 6 s at most. 'states' is the "
    "posture before and after: a person who sits gets up before walking."
)


def make(plan: Plan, whole: dict[str, Known], partial: dict[Any, Known]) -> dict[str, Any]:
    """The content of one file."""
    writer = Writer(plan, whole, partial)
    rows = [writer.timeline(number) for number in range(plan.count)]
    count = Counter(item["action"] for row in rows for item in row["intervals"])
    judged = {a: {"intervals": n, "clips": len(whole[a].seconds), "judge": round(whole[a].right, 3)}
              for a, n in sorted(count.items()) if a in whole}  # fmt: skip
    what = "dev set: the only one that anything may be tuned on" if plan.half else "test set: never tune on it"
    return {"format": "laban-timelines", "version": 1, "name": plan.name, "seed": plan.seed,
            "about": ABOUT.format(what=what, least=LEAST_RIGHT), "actions": judged,
            "partial": {f"{a} {s or ''} ({', '.join(p)})".replace("  ", " "): round(k.right, 3)
                        for (a, p, s), k in partial.items() if k.right >= LEAST_RIGHT},
            "timelines": rows}  # fmt: skip


def write(path: Path, content: dict[str, Any]) -> None:
    """One timeline a line."""
    head = json.dumps({**content, "timelines": []}, indent=1)
    lines = ",\n".join("  " + json.dumps(row) for row in content["timelines"])
    with atomic_path(path) as temporary:
        temporary.write_text(head.replace('"timelines": []', f'"timelines": [\n{lines}\n ]') + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--check", action="store_true", help="print the judge's rates on real clips, write nothing")
    options = parser.parse_args()
    examples, _ = read_examples(MotionDataset.open(options.data))
    whole, partial = usable(examples, load_judge())
    for name, table in (("whole body, top-1", whole), ("parts, top-3", partial)):
        print(name)
        for key, known in table.items():
            mark = "" if known.right >= LEAST_RIGHT else "   (left out)"
            print(f"  {str(key):60s} clips {len(known.seconds):5d}  {known.right:.2f}{mark}")
    if not options.check:
        for plan in PLANS:
            write(Path(__file__).with_name(f"{plan.name}.json"), make(plan, whole, partial))


if __name__ == "__main__":
    main()
