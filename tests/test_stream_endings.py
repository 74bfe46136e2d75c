"""When what is said is over: the sentence's own words, the table of actions, the posture reached, and its clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.body.model import load_body
from models.data.dataset import ClipRecord
from models.text.known import load_known
from motion.primitives import endings as module
from motion.primitives.endings import (
    ENDING,
    REACTION,
    REPETITION,
    durations,
    ending,
    endings,
    measure,
    over,
    stops,
    turned,
)
from motion.prompts import STAND, idle_after

ROOT = Path(__file__).parents[1]
PROMPTS = json.loads((ROOT / "benchmarks" / "stream_prompts_dev.json").read_text())["prompts"]
REST = load_body().joint_template[:22].numpy().astype(np.float64)


@pytest.mark.parametrize(
    ("text", "action"),
    [("sit down", "sit down"), ("bow", "bow"), ("a person kicks", "kick"), ("jump", "jump"), ("punch", "punch"),
     ("throw a ball", "throw"), ("pick it up", "pick up"), ("he falls over", "fall down"), ("get up", "get up"),
     ("do a cartwheel", "cartwheel"), ("backflip", "backflip"), ("slash", "slash"), ("turn left", "turn")],
)  # fmt: skip
def test_these_end_by_themselves(text: str, action: str) -> None:
    seconds = ending(text, action).seconds
    assert seconds is not None
    assert 1.0 + REACTION - 0.01 <= seconds <= 5.0 + REACTION + 0.01


@pytest.mark.parametrize("action", ["walk", "run", "wave", "dance", "swim", "clap", "jog", "stand", "sit", "crawl"])
def test_these_go_on(action: str) -> None:
    assert ending(f"a person {action}s", action).seconds is None


def test_the_sentence_has_the_first_say() -> None:
    assert ending("keep kicking", "kick").seconds is None
    assert ending("a person jumps up and down", "jump").seconds is None
    assert ending("a person is jumping", "jump").seconds is None
    assert ending("a person is sitting down", "sit down").seconds is not None  # nobody keeps sitting down
    assert ending("he keeps standing up", "stand up").seconds is not None
    assert ending("walk for 5 seconds", "walk").seconds == pytest.approx(5 + REACTION, abs=0.01)
    assert ending("dance for a minute", "dance").seconds == pytest.approx(60 + REACTION, abs=0.01)
    assert ending("run for two seconds", "run").seconds == pytest.approx(2 + REACTION, abs=0.01)


def test_what_is_counted_ends_when_it_is_counted_out() -> None:
    once, thrice = ending("a person jumps", "jump").seconds, ending("jumps three times", "jump").seconds
    assert once is not None
    assert thrice == pytest.approx(once + 2 * module.FURTHER, abs=0.02)
    assert ending("waves once", "wave").seconds == pytest.approx(REPETITION["wave"] + REACTION, abs=0.01)
    steps = ending("take five steps", "walk").seconds
    assert steps == pytest.approx(5 * REPETITION["walk"] + REACTION, abs=0.01)
    assert ending("stand up once", "stand up").seconds == ending("stand up", "stand up").seconds


@pytest.mark.parametrize(
    ("text", "action", "then"),
    [("sit down", "sit down", "a person sits still"), ("have a seat", "sit down", "a person sits still"),
     ("sit on the floor", "sit down on floor", "a person sits on the floor"), ("stand up", "stand up", STAND),
     ("go to bed", "lie down", "a person is lying on the floor"), ("bow", "bow", STAND),
     ("he collapses", "fall down", "a person is lying on the floor"), ("turn left", "turn", STAND),
     ("sit down and stand up again", "sit down", STAND),
     ("walk and turn left", "turn", "a person walks forward"), ("run and turn", "turn", "a person runs forward")],
)  # fmt: skip
def test_what_follows_is_idling_in_the_posture_reached(text: str, action: str, then: str) -> None:
    assert ending(text, action).then == then


def test_posture_rules_are_those_of_scores() -> None:
    assert idle_after("a person lies down") == idle_after("whatever", "lie down") == "a person is lying on the floor"
    assert idle_after("a person walks") == STAND


@pytest.mark.parametrize("text", ["stop", "Stop!", "stop walking", "a person stands still", "wait for a moment",
                                  "stay where you are", "do nothing", "the person stops", "he waits here"])  # fmt: skip
def test_asking_to_stop(text: str) -> None:
    assert stops(text)
    assert ending(text, "shake head") == module.Ending("stand", None, STAND)


@pytest.mark.parametrize("text", ["walk to the bus stop", "stop and turn left", "wait and then run", "restart", ""])
def test_not_asking_to_stop(text: str) -> None:
    assert not stops(text)


def test_typed_prompts_end_as_a_person_would_say() -> None:
    """Development prompts, read by the same table of known actions as the command line's."""
    names = [a for a, _ in json.loads((ROOT / "checkpoints" / "research" / "config.json").read_text())["known"]]
    found = endings([prompt["text"] for prompt in PROMPTS], load_known(names))
    assert [e.seconds is not None for e in found] == [prompt["ends"] for prompt in PROMPTS]
    assert endings([], load_known(names)) == []


def test_a_change_of_posture_is_not_taken_for_the_posture() -> None:
    names = [a for a, _ in json.loads((ROOT / "checkpoints" / "research" / "config.json").read_text())["known"]]
    texts = ["a person stands up", "he sits down", "she lies down", "sit on the floor", "somebody falls over", "get up"]
    wanted = ["stand up", "sit down", "lie down", "sit down on floor", "fall down", "get up"]
    found = endings(texts, load_known(names))
    assert [e.action for e in found] == wanted
    assert all(e.seconds is not None for e in found)


# ---------------------------------------------------------------------------------------------------------- the table


def test_every_action_of_the_tables_is_known() -> None:
    actions = {*json.loads((ROOT / "checkpoints" / "judge" / "config.json").read_text())["actions"]}
    assert actions >= ENDING
    assert actions >= set(REPETITION)
    assert not ENDING & set(REPETITION)
    assert set(durations()) <= ENDING
    assert len(durations()) >= 40


def test_over_is_the_last_frame_that_moves() -> None:
    joints = np.tile(REST, (80, 1, 1))
    joints[20:41, 20, 1] += np.sin(np.linspace(0, np.pi, 21))  # a wrist goes up and comes down within a second
    assert over(joints) == pytest.approx(2.0, abs=0.15)
    assert over(joints[:10]) == 0.0
    assert over(joints[:1]) == 0.0


def test_turned_is_when_the_heading_has_come_round() -> None:
    angle = np.interp(np.arange(100), [20, 60], [0, -np.pi])
    turns = np.stack([np.cos(angle), 0 * angle, np.sin(angle), 0 * angle, 0 * angle + 1, 0 * angle, -np.sin(angle),
                      0 * angle, np.cos(angle)], -1).reshape(-1, 3, 3)  # fmt: skip
    assert turned(REST @ turns.transpose(0, 2, 1)) == pytest.approx((20 + 0.95 * 40) / 20, abs=0.06)


def test_the_table_is_the_median_of_clean_train_clips() -> None:
    """Known lengths of movement in; test clips, spikes, loops and long takes do not count, rough ones only alone."""
    still = np.tile(REST, (100, 1, 1))

    def moving(seconds: float) -> np.ndarray:
        joints = still.copy()
        last = round(seconds * 20)
        joints[: last + 1, 20, 1] += np.linspace(last, 0, last + 1) * 0.05  # 1 m/s, then rest
        return joints

    bow = ClipRecord("a", "bandai", "bow", "bow", (), "CC0", "train", seconds=5.0)
    rows = [
        (bow, 1.5), (bow, 2.5), (replace(bow, split="test"), 4.5), (replace(bow, flags=("spikes",)), 4.5),
        (replace(bow, flags=("looped",)), 4.5), (replace(bow, seconds=7.0), 4.5), (replace(bow, flags=("noisy",)), 4.5),
        (replace(bow, action="kick", flags=("noisy",)), 3.0), (replace(bow, action="walk"), 3.0),
        (replace(bow, action="punch"), 0.4),
    ]  # fmt: skip
    found = measure([record for record, _ in rows], [moving(seconds) for _, seconds in rows])
    assert set(found) == {"bow", "kick", "punch"}
    assert found["bow"] == {"seconds": pytest.approx(2.0, abs=0.15), "clips": 2}
    assert found["kick"]["seconds"] == pytest.approx(3.0, abs=0.15)
    assert found["punch"]["seconds"] == 1.0
