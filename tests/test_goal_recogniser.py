"""Goal recognisers of tasks: made, kept, refused, and asked by `laban anticipate` and `laban plan`, and of plans."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from action_localization.anticipation import build_goals
from action_localization.anticipation.anticipator import learn_anticipator, load_anticipator, save_anticipator
from action_localization.anticipation.goal_training import GoalTraces, GoalTraining, train_recogniser
from action_localization.anticipation.goals import GoalConfig, facts, set_scores
from action_localization.anticipation.recogniser import (
    TaskRecogniser,
    load_recogniser,
    recogniser_of,
    save_recogniser,
)
from action_localization.anticipation.sequences import read_sequences
from laban.cli import run
from laban.errors import LabanError
from tests.test_plans import SOUP, TEA, coin


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with annotations, an anticipator `ours` and its recogniser `goals_ours`, by the documented command."""
    folder = tmp_path_factory.mktemp("goals")
    save_anticipator(folder / "ours", learn_anticipator(read_sequences(coin(folder))), "# card\n")
    build(folder, "ours")
    return folder


def build(folder: Path, anticipator: str) -> None:
    build_goals.main([str(folder / "coin.json"), "--anticipator", str(folder / anticipator), "-o",
                      str(folder / "goals_ours"), "--run", str(folder / "run"), "--steps", "60",
                      "--networks", "1"])  # fmt: skip


def test_a_kept_recogniser_gives_the_same_answers(made, tmp_path):
    anticipator = load_anticipator(made / "ours")
    assert anticipator.goals == made / "goals_ours"
    found = recogniser_of(anticipator, "ours")
    assert "Command" in (made / "goals_ours" / "README.md").read_text() and len(found.networks) == 1
    number = anticipator.vocabulary.action
    traces = [
        np.array([number(step) for step in steps[:seen]], np.int64) for steps in (TEA, SOUP) for seen in (0, 1, 2, 4)
    ]
    tasks = [anticipator.chains.tasks.index(task) for task in ("MakeTea", "CookSoup")]
    scores = found.scores(traces)
    assert scores[[2, 3, 6, 7]].argmax(1).tolist() == [tasks[0]] * 2 + [tasks[1]] * 2
    ranked = found.likeliest(traces[3])
    assert ranked[0][0] == tasks[0] and sum(chance for _, chance in ranked) == pytest.approx(1)
    assert found.likeliest(traces[3], [tasks[1]]) == ((tasks[1], 1.0),)
    np.testing.assert_allclose(scores[0], np.log(anticipator.chains.posterior([])), atol=1e-6)  # nothing seen
    save_recogniser(tmp_path / "again", found, "# card\n")
    again = load_recogniser(tmp_path / "again", anticipator.chains)
    np.testing.assert_array_equal(again.scores(traces), scores)
    assert again.belief == found.belief
    save_anticipator(tmp_path / "kept", anticipator, "# card\n")
    assert load_anticipator(tmp_path / "kept").goals == tmp_path / "goals_ours"


def test_recognisers_of_others_are_refused(made, tmp_path):
    chains = load_anticipator(made / "ours").chains
    other = load_anticipator("anticipate_tasks").chains
    for name, mine, message in ((made / "goals_ours", other, "was learnt with other actions or tasks"),
                                ("goal_policy", chains, "no task recogniser"),
                                (tmp_path / "none", chains, "no folder with config.json")):  # fmt: skip
        with pytest.raises(LabanError, match=message) as error:
            load_recogniser(name, mine)
        assert "\n" not in str(error.value)
    with pytest.raises(LabanError, match="nothing to save"):
        save_recogniser(tmp_path / "x", TaskRecogniser(chains), "")
    with pytest.raises(LabanError, match="was not learnt from these 20 training videos"):
        build_goals.same_training(read_sequences(made / "coin.json"), other, "anticipate_tasks")


def test_a_missing_recogniser_is_said_in_one_line(made, tmp_path, capsys):
    save_anticipator(tmp_path / "lonely", load_anticipator(made / "ours"), "# card\n")  # goals_ours is not beside it
    score = tmp_path / "past.csv"
    score.write_text("start,end,label\n0,1,boil water\n2,3,take cup\n")
    asked = ["--checkpoint", str(tmp_path / "lonely")]
    assert run(["anticipate", str(score), "--goal", "infer", "-o", str(tmp_path / "o.json"), *asked]) == 2
    first = capsys.readouterr().err
    assert run(["plan", "--start", "boil water", "--goal", "stir tea", *asked]) == 2
    for error in (first, capsys.readouterr().err):
        assert "goals_ours" in error and error.count("\n") == 1


def anticipated(folder: Path, capsys: pytest.CaptureFixture[str], labels: tuple[str, ...], *more: str) -> dict:
    score = folder / "past.csv"
    score.write_text("start,end,label\n" + "".join(f"{5 * i},{5 * i + 4},{label}\n" for i, label in enumerate(labels)))
    assert run(["anticipate", str(score), "--goal", "infer", "--next", "3", "-k", "1", "-o", str(folder / "o.json"),
                "--json", *more]) == 0  # fmt: skip
    return json.loads(capsys.readouterr().out)


def test_the_command_names_the_goal(made, tmp_path, capsys):
    steps = ("add flour", "add milk", "whisk mixture")
    said = anticipated(tmp_path, capsys, steps, "--checkpoint", "anticipate_tasks")
    best = said["goals"][0]
    assert best["goal"] == "Make Pancakes" and best["by"] == "goal recogniser and task chains"
    assert 0.5 < best["probability"] <= 1 and len(said["goals"]) == 5
    assert said["language"][0] == "goal: Make Pancakes (inferred)"
    assert said["language"][1].startswith("goals: Make Pancakes")
    said = anticipated(tmp_path, capsys, TEA[:3], "--learn", str(made / "coin.json"))
    assert said["goals"][0]["goal"] == "MakeTea" and said["goals"][0]["by"] == "task chains"


def test_a_plan_names_its_task(made, capsys):
    ends = ["plan", "--start", "add flour", "--goal", "flip pancake", "--steps", "4", "--json"]
    assert run(ends) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["task"] == said["inferred"][0]["task"] == "Make Pancakes"
    assert {plan["task"] for plan in said["plans"]} == {"Make Pancakes"}
    ours = ["plan", "--start", "boil water", "--goal", "boil water", "--steps", "3", "--checkpoint", str(made / "ours")]
    assert run(ours) == 0
    free = capsys.readouterr().out.splitlines()[0]
    taken, other = ("MakeTea", "CookSoup") if "task: MakeTea" in free else ("CookSoup", "MakeTea")
    assert free.startswith(f"task: {taken} (") and "goal recogniser" in free and f"could be {other}" in free
    assert run([*ours, "--task", other, "--json"]) == 0  # what the user says wins over the likelier one
    said = json.loads(capsys.readouterr().out)
    assert said["task"] == other and said["inferred"] == []


# ------------------------------------------------------------------------------------------------ a planning domain

BLOCKS = 4
TABLE = BLOCKS
State = tuple[int, ...]
"""What each block stands on: another block, or the table."""


def moves(state: State) -> list[tuple[int, State]]:
    """(action, state after it): move(block, from, to) takes a clear block onto another clear block or the table."""
    clear = [block for block in range(BLOCKS) if block not in state]
    found = []
    for block in clear:
        for to in (*clear, TABLE):
            if to != block and state[block] != to:
                action = (block * (BLOCKS + 1) + state[block]) * (BLOCKS + 1) + to
                found.append((action, (*state[:block], to, *state[block + 1 :])))
    return found


def shortest_plans(start: State) -> dict[State, tuple[int, ...]]:
    """A shortest plan from a state to every other, by breadth-first search."""
    plans: dict[State, tuple[int, ...]] = {start: ()}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for action, after in moves(state):
            if after not in plans:
                plans[after] = (*plans[state], action)
                queue.append(after)
    return plans


def propositions(state: State) -> np.ndarray:
    """on(block, place) of every block."""
    truth = np.zeros((BLOCKS, BLOCKS + 1), np.float32)
    truth[np.arange(BLOCKS), state] = 1
    return truth.ravel()


def test_goals_of_blocks_beat_the_prior(tmp_path):
    states = list(shortest_plans((TABLE,) * BLOCKS))
    goals = [state for state in states if sum(place == TABLE for place in state) == 1]
    assert len(states) == 73 and len(goals) == 24  # all arrangements of four blocks; all towers
    found = [shortest_plans(start) for start in states]
    pairs = [(np.array(plans[goal], np.int64), number)
             for plans in found for number, goal in enumerate(goals) if len(plans[goal]) >= 3]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(pairs))
    held, train = order[: len(order) // 4], order[len(order) // 4 :]
    truths = np.stack([propositions(goal) for goal in goals])
    data = GoalTraces(BLOCKS * (BLOCKS + 1) ** 2, tuple(pairs[i][0] for i in train),
                      truths[[pairs[i][1] for i in train]])  # fmt: skip
    network = train_recogniser(data, GoalTraining(tmp_path, 300, 48), GoalConfig(32, 64, 0.0))
    truth, usual = np.array([pairs[i][1] for i in held]), np.bincount([pairs[i][1] for i in train]).argmax()

    def right(share: float) -> float:
        seen = [pairs[i][0][: int(np.ceil(share * len(pairs[i][0])))] for i in held]
        return float((set_scores(facts(network, seen), truths.astype(np.float64)).argmax(1) == truth).mean())

    prior = float((truth == usual).mean())
    assert prior < 0.1 and right(0.3) > 4 * prior
    assert right(1.0) > 0.8 and 0.3 < right(0.5) < right(0.7)
