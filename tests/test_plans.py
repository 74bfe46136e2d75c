"""Plans and goals from chains of steps, and `laban plan`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from action_localization.anticipation.chains import (
    TaskChains,
    chain_arrays,
    chains_from_arrays,
    learn_chains,
    modal_plans,
    plan_windows,
)
from action_localization.anticipation.sequences import SequenceSet, read_sequences
from laban.cli import run
from laban.errors import LabanError

TEA = ("boil water", "take cup", "add tea", "pour water", "stir tea")
SOUP = ("boil water", "cut carrot", "add carrot", "stir soup")


def coin(folder: Path) -> Path:
    """Ten videos of tea and ten of soup; every third leaves out its second step, one is of two steps."""
    document = {}
    for task, steps in (("MakeTea", TEA), ("CookSoup", SOUP)):
        for video in range(10):
            kept = [step for i, step in enumerate(steps) if not (i == 1 and video % 3 == 0)]
            kept = kept[:2] if video == 9 else kept
            rows = [[100 + i, 5.0 * i, 5.0 * i + 4, step] for i, step in enumerate(kept)]
            document[f"{task}{video}"] = {"annotation": rows, "duration": 60, "subset": "training", "class": task}
    path = folder / "coin.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def training(tmp_path: Path) -> SequenceSet:
    return read_sequences(coin(tmp_path))


@pytest.fixture
def chains(training: SequenceSet) -> TaskChains:
    return learn_chains(training)


def named(chains: TaskChains, plan: np.ndarray) -> list[str]:
    return [chains.vocabulary.names[step] for step in plan]


def test_windows_by_both_protocols(training):
    padded, kept = plan_windows(training, 4, "A"), plan_windows(training, 4, "B")
    assert padded.padded == 5 and kept.padded == 0 and len(padded) == len(kept) + 5
    short = [plan for plan, video in zip(padded.plans, padded.video, strict=True) if video == 9][0]
    assert short[0] == short[1] == short[2] != short[3]
    with pytest.raises(LabanError, match="plans of 1 steps"):
        plan_windows(training, 1)


def test_plans_keep_their_ends_and_follow_what_people_did(chains):
    number = chains.vocabulary.action
    task = chains.task("make tea")
    plan = chains.plan(number("boil water"), number("stir tea"), 5, task)
    assert named(chains, plan) == list(TEA)
    shorter = chains.ranked(number("boil water"), number("stir tea"), 4, task)
    assert named(chains, shorter[0].steps) == [TEA[0], *TEA[2:]]
    assert sum(one.share for one in shorter) == pytest.approx(1) and shorter[0].share > 0.9
    never = chains.plan(number("take cup"), number("stir tea"), 9, task)  # no video has as many: the chain alone
    assert len(never) == 9 and never[0] == number("take cup") and never[-1] == number("stir tea")
    assert chains.ranked(number("boil water"), number("stir soup"), 3)[0].task == "CookSoup"


def test_contradictions_are_said(chains):
    number = chains.vocabulary.action
    with pytest.raises(LabanError, match="task 'MakeTea' has not both 'boil water' and 'stir soup'"):
        chains.plan(number("boil water"), number("stir soup"), 4, chains.task("MakeTea"))
    with pytest.raises(LabanError, match="no task has both 'add tea' and 'stir soup'"):
        chains.plan(number("add tea"), number("stir soup"), 4)
    with pytest.raises(LabanError, match="a plan of 1 steps; accepted: 2 to 20"):
        chains.plan(0, 1, 1)
    with pytest.raises(LabanError, match="same one"):
        chains.plan(0, 0, 2)
    with pytest.raises(LabanError, match="task 'make te' is none of 2; nearest: 'MakeTea'"):
        chains.task("make te")


def test_goals_become_surer_along_the_trace(chains):
    number = [chains.vocabulary.action(step) for step in SOUP]
    tea, soup = chains.task("MakeTea"), chains.task("CookSoup")
    belief = [chains.posterior(number[:length]) for length in range(4)]
    assert all(one.sum() == pytest.approx(1) for one in belief)
    assert belief[0][soup] == pytest.approx(0.5) and belief[1][soup] < 0.9 < belief[2][soup] < belief[3][soup]
    assert chains.unordered([chains.vocabulary.action("add tea")]).argmax() == tea


def test_modal_plans_and_arrays(training, chains):
    assert named(chains, modal_plans(training, 3)["CookSoup"]) in ([*SOUP[:3]], [*SOUP[1:]])
    back = chains_from_arrays(chains.vocabulary, chains.tasks, chain_arrays(chains))
    assert back.plans == chains.plans and np.array_equal(back.counts, chains.counts)
    assert np.array_equal(back.videos, chains.videos)


def command(*arguments: object) -> int:
    return run(["plan", *map(str, arguments)])


def test_the_command_plans_and_writes(tmp_path, capsys):
    learn = coin(tmp_path)
    files = ("-o", tmp_path / "p.csv", "-o", tmp_path / "p.png")
    ends = ("--start", "boil the water", "--goal", "stir tea", "--steps", 4)
    assert command("--task", "make tea", *ends, "--learn", learn, "--json", *files) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["plans"][0]["steps"] == [TEA[0], *TEA[2:]] and said["plans"][0]["share"] > 0.9
    assert said["plans"][0]["probabilities"] == pytest.approx([1, 0.95, 0.95, 1], abs=0.06)
    assert (tmp_path / "p.csv").read_text().count("\n") == 5 and (tmp_path / "p.png").stat().st_size > 2000


def test_one_step_and_more_than_were_ever_seen(tmp_path, capsys):
    learn = coin(tmp_path)
    same = ("--task", "make tea", "--start", "boil water", "--goal", "boil water", "--learn", learn, "--json")
    assert command(*same, "--steps", 1) == 0
    assert [plan["steps"] for plan in json.loads(capsys.readouterr().out)["plans"]] == [["boil water"]]
    assert command("--start", "boil water", "--goal", "stir soup", "--steps", 8, "--learn", learn, "--json") == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["plans"][0]["steps"]) == 8 and "no training plan has 8 steps" in said.err


def test_the_second_order_knows_what_came_before_the_last_step(tmp_path):
    """After a-c always d, after b-c always e: the last step alone cannot tell."""
    document = {}
    for video in range(60):
        steps = ("a start", "c mix", "d left", "f end") if video % 2 else ("b start", "c mix", "e right", "f end")
        rows = [[i, 5.0 * i, 5.0 * i + 4, step] for i, step in enumerate(steps)]
        document[f"Sort{video}"] = {"annotation": rows, "duration": 60, "subset": "training", "class": "Sort"}
    (tmp_path / "coin.json").write_text(json.dumps(document))
    chains = learn_chains(read_sequences(tmp_path / "coin.json"), lengths=(3,))  # no plan of four steps is known
    number = chains.vocabulary.action
    for start, middle in (("a start", "d left"), ("b start", "e right")):
        plan = chains.ranked(number(start), number("f end"), 4, chains.task("Sort"))[0]
        assert named(chains, plan.steps) == [start, "c mix", middle, "f end"] and plan.share > 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("--goal", "stir soup"),
            "--goal: label 'stir soup' is not in the vocabulary of 5 actions; nearest: 'stir tea'",
        ),
        (("--steps", "1"), "a plan of 1 steps; accepted: 2 to 20"),
        (("--task", "fly kites"), "task 'fly kites' is none of 2"),
        (("-o", "p.xyz"), "format '.xyz' is unknown"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, capsys, change, message):
    asked = {"--task": "make tea", "--start": "boil water", "--goal": "stir tea", "--steps": "4"}
    asked.update([change])
    assert command(*(part for pair in asked.items() for part in pair), "--learn", coin(tmp_path)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
