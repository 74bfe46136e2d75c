"""Configurations go to JSON and come back equal; a wrong file is answered with the key and what it accepts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.config import from_dict, read_config, to_dict, write_config
from laban.errors import LabanError


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True)
class Schedule:
    steps: int
    shape: Literal["cosine", "linear"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass(frozen=True)
class Training:
    schedule: Schedule
    name: str = "run"
    rate: float = 1e-4
    warm: bool = True
    limit: int | None = None
    widths: tuple[int, ...] = (64, 128)
    files: list[Path] = field(default_factory=list)
    mode: Mode = Mode.FAST
    weights: dict[str, float] = field(default_factory=dict)
    size: int | str = 4
    note: Any = None


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TRAININGS = st.builds(
    Training,
    schedule=st.builds(
        Schedule, st.integers(), shape=st.sampled_from(["cosine", "linear"]), betas=st.tuples(FLOATS, FLOATS)
    ),
    name=st.text(),
    rate=FLOATS,
    warm=st.booleans(),
    limit=st.none() | st.integers(),
    widths=st.lists(st.integers()).map(tuple),
    files=st.lists(st.sampled_from([Path("a"), Path("b/c.npz")])),
    mode=st.sampled_from(Mode),
    weights=st.dictionaries(st.text(), FLOATS),
    size=st.integers() | st.text(),
    note=st.none() | st.text(),
)


@given(TRAININGS)
def test_json_and_back_is_the_same(config):
    assert from_dict(Training, json.loads(json.dumps(to_dict(config)))) == config


def test_a_file_and_back_is_the_same(tmp_path):
    config = Training(Schedule(10), files=[Path("x.npz")])
    write_config(config, tmp_path / "run" / "config.json")
    assert read_config(Training, tmp_path / "run" / "config.json") == config


def test_whole_numbers_serve_as_floats_and_nothing_else_is_converted():
    assert from_dict(Training, {"schedule": {"steps": 1}, "rate": 1}).rate == 1.0
    with pytest.raises(LabanError, match="steps: found true; accepted: a whole number"):
        from_dict(Schedule, {"steps": True})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "key 'schedule' is missing"),
        ([1], "found [1]; accepted: an object with schedule, name"),
        ({"schedule": 3}, "schedule: found 3; accepted: an object with steps"),
        ({"schedule": {}}, "schedule: key 'steps' is missing"),
        ({"schedule": {"step": 1}}, "schedule: unknown key 'step' (did you mean 'steps'?); accepted: steps, shape"),
        ({"schedule": {"steps": "many"}}, 'schedule.steps: found "many"; accepted: a whole number'),
        ({"schedule": {"steps": 1.5}}, "schedule.steps: found 1.5; accepted: a whole number"),
        ({"schedule": {"steps": 1, "shape": "cosin"}}, "schedule.shape: found \"cosin\" (did you mean 'cosine'?)"),
        ({"schedule": {"steps": 1, "betas": [1]}}, "schedule.betas: found 1 items; accepted: 2"),
        ({"schedule": {"steps": 1, "betas": [1, None]}}, "schedule.betas[1]: found null; accepted: a number"),
        ({"schedule": {"steps": 1}, "widths": [1, "2"]}, 'widths[1]: found "2"; accepted: a whole number'),
        ({"schedule": {"steps": 1}, "limit": "5"}, 'limit: found "5"; accepted: a whole number'),
        ({"schedule": {"steps": 1}, "mode": "quick"}, "mode: found \"quick\"; accepted: 'fast', 'slow'"),
        ({"schedule": {"steps": 1}, "weights": {"a": "b"}}, 'weights.a: found "b"; accepted: a number'),
        ({"schedule": {"steps": 1}, "files": ["a", 1]}, "files[1]: found 1; accepted: text"),
        ({"schedule": {"steps": 1}, "size": None}, "size: found null; accepted: one of int, str"),
        ({"schedule": {"steps": 1}, "warm": 1}, "warm: found 1; accepted: true or false"),
    ],
)
def test_a_wrong_value_is_answered_with_its_key(values, message):
    with pytest.raises(LabanError) as caught:
        from_dict(Training, values)
    assert str(caught.value).startswith(message)


def test_a_wrong_file_is_answered_with_its_name(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(LabanError, match=r"config\.json: cannot be read"):
        read_config(Schedule, path)
    path.write_text("{")
    with pytest.raises(LabanError, match=r"config\.json: is not JSON"):
        read_config(Schedule, path)
    path.write_text('{"steps": 1, "shape": 2}')
    with pytest.raises(LabanError, match=r"config\.json\.shape: found 2; accepted: 'cosine', 'linear'"):
        read_config(Schedule, path)
