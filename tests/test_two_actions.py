"""The pairs of actions that are measured on, and what the measurement makes of known answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from laban.timeline import PARTS
from models.motion_text.network import Sizes
from models.representation.joints import LAYOUT
from models.text.parts import body_parts
from motion.judge.judge import PARTS as HEADS
from motion.judge.judge import Judge, load_judge
from motion.judge.network import JudgeNetwork
from motion.timeline_items import Interval, Item, read_benchmark

FILE = Path(__file__).parents[1] / "benchmarks" / "two_actions.json"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return json.loads(FILE.read_text(encoding="utf-8"))["timelines"]


def test_pairs_are_known_actions_of_disjoint_parts(rows) -> None:
    items, known = read_benchmark(FILE).items, load_judge().actions
    assert len({item.id for item in items}) == len({row["text"] for row in rows}) == len(rows) >= 40
    for item in items:
        base, over = item.intervals
        assert base.action in known and over.action in known and base.action != over.action
        assert base.parts == ("legs",) and over.parts in (("left arm",), ("right arm",))
        assert (base.start, base.end) == (over.start, over.end)


def test_the_words_ask_for_these_parts(rows) -> None:
    """What the embedded labeller reads in each half leaves the other half alone, and names its own part."""
    halves = sorted({i["text"] for row in rows for i in row["intervals"]})
    read = dict(zip(halves, body_parts(halves), strict=True))
    for row in rows:
        base, over = row["intervals"]
        assert "legs" in read[base["text"]] and tuple(over["parts"]) == read[over["text"]]
        assert not {*read[base["text"]]} & {*read[over["text"]]} and {*read[base["text"]]} <= {*PARTS}


def test_a_sentence_says_both_halves(rows) -> None:
    for row in rows:
        base, over = (interval["text"] for interval in row["intervals"])
        assert row["text"].startswith(f"{base} while ")
        said, alone = row["text"].removeprefix(f"{base} while ").split(), over.removeprefix("a person ").split()
        assert said[0].endswith("ing") and said[0][:3] == alone[0][:3] and said[1:] == alone[1:]


@pytest.fixture(scope="module")
def benchmark_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_actions", FILE.with_suffix(".py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Oracle(Judge):
    """Sees "up" on a part whose first column is 1, "low" on one whose first column is -1, else "still"."""

    def classify_parts(self, motions, *, batch: int = 32):
        """(clips, 5, 3): sure of one of the three."""
        out = np.full((len(motions), len(HEADS), 3), 0.1)
        for row, rows in zip(out, motions, strict=True):
            for part, name in enumerate(HEADS):
                value = round(float(rows[0, LAYOUT.parts[name][0]]))
                row[part, {1: 1, -1: 2}.get(value, 0)] = 0.8
        return out


def test_both_halves_count_only_together(benchmark_script) -> None:
    network = JudgeNetwork(Sizes(actions=3, width=32, layers=2, heads=2, embedding=32)).eval()
    oracle = Oracle(network, None, ("still", "up", "low"), {})  # type: ignore[arg-type]
    pair = Item("pair", (Interval("crouch", 0, 1, "low", ("legs",)),
                         Interval("raise the left arm", 0, 1, "up", ("left arm",), "left", 1)))  # fmt: skip

    def motion(legs: float, left: float, right: float = 0.0) -> np.ndarray:
        rows = np.zeros((20, 133))
        for part, value in (("legs", legs), ("left arm", left), ("right arm", right)):
            rows[:, LAYOUT.parts[part][0]] = value
        return rows

    motions = [motion(-1, 1), motion(-1, 0), motion(0, 1), motion(-1, 0, right=1)]
    found = benchmark_script.seen((pair,) * 4, motions, oracle)
    assert found["legs top-1"].value.tolist() == [1, 1, 0, 1]
    assert found["arm top-1"].value.tolist() == [1, 0, 1, 0]
    assert found["both top-1"].value.tolist() == [1, 0, 0, 0]
    assert found["right side"].value.tolist() == [1, 0, 1, 0]
    gain = benchmark_script.differences(found, benchmark_script.seen((pair,) * 4, motions[1:] + motions[:1], oracle))
    assert gain["both top-1"].value.tolist() == [1, 0, 0, -1]
    both = benchmark_script.figures([found, found])["both top-1"]
    assert both.value == 0.25 and both.low < 0.25 < both.high and both.n == 8
