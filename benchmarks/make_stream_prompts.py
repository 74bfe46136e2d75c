"""Make the prompts that streaming is measured on: `stream_prompts.json` (ten minutes) and `stream_prompts_dev.json`.

    python benchmarks/make_stream_prompts.py --data runs/data/mocap

Every prompt is what somebody might type at a live prompt, with the actions of the judge that count as right for it and
whether it goes on until something else is said or ends by itself. Prompts that need one another stay together (whoever
sits down is told to stand up next); these chains are put in a seeded order in which no action follows itself. Each
prompt lasts ten seconds, and is judged in windows of three seconds (`RULE`).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from laban.files import atomic_path
from models.data.dataset import MotionDataset
from models.data.sampling import is_research

SECONDS, WINDOW = 10.0, 3.0
STARTS = {"goes on": (1.0, 4.0, 7.0), "ends": (0.5, 3.5, 6.5)}
"""Seconds after the switch at which the windows start. An action that ends by itself may be over after one second, so
its windows start when a new word has to be seen at the latest (two primitives, 0.53 s)."""
RULE = (
    "Each prompt lasts 10 s and is judged in three windows of 3 s, by the top-1 action of the judge. A prompt that "
    "goes on: windows at 1-4, 4-7 and 7-10 s after the switch; each must be one of `right`. A prompt that ends by "
    "itself: windows at 0.5-3.5, 3.5-6.5 and 6.5-9.5 s; the first must be one of `right`, the others one of `right`, "
    "one of `after`, or rest in the posture `posture`: the judge names an action of rest in that posture, or no joint "
    "moves faster than `still` m/s on average and pelvis and head are as high as in that posture (`rest`). Rest counts "
    "as well where standing still is what was asked for."
)
STILL = 0.2
"""m/s: the fastest joint's mean speed at rest. Half of the real 3-s windows of standing have 0.06, sitting and lying
0.02; of the quietest captured actions (bow, gesture, wave) the slowest twentieth has 0.13, 0.20 and 0.21."""
REST = {
    "stand": {"actions": ["stand"], "pelvis": [0.75, 1.2], "head": [1.2, 2.0]},
    "chair": {"actions": ["sit", "sit and talk"], "pelvis": [0.4, 0.75], "head": [0.9, 1.4]},
    "floor": {"actions": ["sit on floor"], "pelvis": [0.0, 0.45], "head": [0.6, 1.1]},
    "ground": {"actions": ["lie", "sleep"], "pelvis": [0.0, 0.45], "head": [0.0, 0.6]},
}
"""What the judge calls rest in each posture, and how high, in metres, the two joints are on average."""
ABOUT = (
    "Written before any streaming model was trained, from the counts of captured training clips (`captured`: clips of "
    "the train split that are neither hand-animated nor from a depth camera) and from what the judge names in real "
    "3-s windows; no generated motion was looked at. Waving also counts as raised arms: of 195 windows of 3 s of real "
    "waving outside the training split the judge calls 164 so. The test file is never tuned on."
)

Row = tuple[str, tuple[str, ...], bool, str]
"""Text, actions that are right (first: the one meant), whether it ends by itself, posture afterwards."""


def on(action: str, *texts: str, also: tuple[str, ...] = (), posture: str = "stand") -> list[list[Row]]:
    """Prompts that go on, each a chain of its own."""
    return [[(text, (action, *also), False, posture)] for text in texts]


def ends(action: str, *texts: str, also: tuple[str, ...] = (), posture: str = "stand") -> list[list[Row]]:
    """Prompts that end by themselves, each a chain of its own."""
    return [[(text, (action, *also), True, posture)] for text in texts]


def chain(*parts: list[list[Row]]) -> list[list[Row]]:
    """The first prompt of each part, one after another."""
    return [[part[0][0] for part in parts]]


RUNNING, FLIPS = ("sprint", "jog"), ("flip", "sideflip")
TEST: list[list[Row]] = [
    *on("walk", "walk", "a person walks forward", "walk slowly", "keep walking", "he strolls along"),
    *on("run", "run", "run fast", "a person runs forward", "keep running", also=RUNNING),
    *ends("turn", "turn left", "turn right", "a person walks and turns to the left", "walk and turn right"),
    *on("wave", "wave", "wave with the right hand", "wave with the left hand", "a person waves both hands",
        also=("raise arms",)),
    *ends("raise arms", "raise the right arm", "raise your left hand", "raise both arms", "put your hands up"),
    *on("dance", "dance", "dance salsa", "a person dances", "keep dancing"),
    *on("walk sideways", "walk sideways to the left", "sidestep to the right"),
    *on("walk backward", "walk backwards", "back up", "a person walks backward"),
    *ends("jump", "jump", "a person jumps forward"),
    *on("jump", "keep jumping"),
    *ends("kick", "kick", "kick with the right leg", also=("soccer kick",)),
    *ends("punch", "punch", "throw a punch with the right hand", also=("boxing",)),
    *on("boxing", "shadow box", "a person is boxing", also=("punch",)),
    *ends("bow", "bow", "a person bows politely"),
    *ends("gesture", "beckon someone over", "a person guides someone with a hand gesture"),
    *on("basketball", "dribble a basketball", "play basketball"),
    *ends("soccer kick", "kick the ball", also=("kick",)),
    *on("martial arts", "practise martial arts"),
    *ends("slash", "slash with the sword", also=("sword attack",)),
    *ends("cartwheel", "do a cartwheel"),
    *ends("backflip", "do a backflip", also=FLIPS),
    *on("directing traffic", "direct the traffic"),
    *on("stand", "stop", "stand still", "stay where you are"),
    *chain(on("crawl", "crawl on the floor", posture="ground"), ends("get up", "get up", also=("stand up",))),
    *chain(ends("sit down", "sit down", also=("sit",), posture="chair"),
           ends("stand up", "stand up", also=("get up",))),
    *chain(ends("sit down", "a person sits down on a chair", also=("sit",), posture="chair"),
           ends("stand up", "a person stands up", also=("get up",))),
]  # fmt: skip
DEV: list[list[Row]] = [
    *on("walk", "go for a walk", "someone is walking"),
    *on("run", "start running", "someone runs", also=RUNNING),
    *ends("turn", "make a left turn", "someone walks forward and turns right"),
    *on("wave", "wave hello", "someone waves the right arm", also=("raise arms",)),
    *ends("raise arms", "lift the left arm", "lift your right hand"),
    *on("dance", "do a dance"),
    *on("walk sideways", "step sideways to the right"),
    *on("walk backward", "go backwards"),
    *ends("jump", "do a jump"),
    *ends("kick", "give a kick", also=("soccer kick",)),
    *ends("punch", "throw a punch", also=("boxing",)),
    *ends("bow", "take a bow"),
    *on("stand", "do nothing"),
    *chain(ends("sit down", "have a seat", also=("sit",), posture="chair"),
           ends("stand up", "rise from the chair", also=("get up",))),
]  # fmt: skip
TURNED = ("walk",)
"""What may follow a turn that is made while walking."""
PLANS = (("stream_prompts", TEST, 60, 2_026), ("stream_prompts_dev", DEV, 20, 77))


def ordered(chains: list[list[Row]], rng: np.random.Generator) -> list[Row]:
    """The chains in a random order in which no action follows itself."""
    while True:
        rows = [row for i in rng.permutation(len(chains)) for row in chains[i]]
        if all(a[1][0] != b[1][0] for a, b in zip(rows, rows[1:], strict=False)):
            return rows


def captured(data: Path) -> Counter[str]:
    """Training clips by action that are neither hand-animated nor from depth cameras."""
    records = MotionDataset.open(data).records
    kept = [r for r in records if r.split == "train" and is_research(r) and "hand_animated" not in r.flags]
    return Counter(r.action for r in kept)


def document(name: str, chains: list[list[Row]], count: int, seed: int, clips: Counter[str]) -> dict[str, Any]:
    """One file: checked to have `count` prompts, none of whose actions takes more than 15 %."""
    rows = ordered(chains, np.random.default_rng(seed))
    share = Counter(right[0] for _, right, _, _ in rows)
    assert len(rows) == count and max(share.values()) <= 0.15 * count, (len(rows), share)
    prompts = []
    for number, (text, right, over, posture) in enumerate(rows):
        after = list(TURNED) if over and right[0] == "turn" and "walk" in text else []
        prompts.append({"start": number * SECONDS, "text": text, "right": list(right), "ends": over, "after": after,
                        "posture": posture, "captured": clips[right[0]]})  # fmt: skip
    starts = {key: list(value) for key, value in STARTS.items()}
    return {"format": "laban-stream-prompts", "version": 1, "name": name, "seed": seed, "about": ABOUT, "rule": RULE,
            "seconds": SECONDS, "window": WINDOW, "starts": starts, "still": STILL, "rest": REST,
            "prompts": prompts}  # fmt: skip


def write(path: Path, made: dict[str, Any]) -> None:
    """JSON with one prompt a line."""
    rows = ",\n".join(f"  {json.dumps(prompt)}" for prompt in made["prompts"])
    head = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in made.items() if key != "prompts")
    with atomic_path(path) as temporary:
        temporary.write_text(f'{{\n{head},\n "prompts": [\n{rows}\n ]\n}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    clips = captured(parser.parse_args().data)
    for name, chains, count, seed in PLANS:
        made = document(name, chains, count, seed, clips)
        write(Path(__file__).with_name(f"{name}.json"), made)
        share = Counter(prompt["right"][0] for prompt in made["prompts"])
        shown = ", ".join(f"{action} {n} ({clips[action]})" for action, n in share.most_common())
        print(f"{name}: {count} prompts, {len(share)} actions; prompts (captured clips): {shown}")


if __name__ == "__main__":
    main()
