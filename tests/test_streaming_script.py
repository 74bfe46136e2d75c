"""DART's prompt form: what is written comes back, and mistakes are told with their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from motion.streaming.script import LONGEST, PRIMITIVE, Line, Script, parse_script, primitives_of

WORDS = st.text(st.characters(codec="utf-8", exclude_characters=",#*", exclude_categories=["C", "Z"]), min_size=1)
ACTIONS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
SCRIPTS = st.lists(st.builds(Line, ACTIONS, st.integers(1, 500)), min_size=1, max_size=8).map(
    lambda lines: Script(tuple(lines))
)


@given(SCRIPTS)
def test_a_script_written_down_is_read_back(script) -> None:
    assert parse_script(str(script)) == script
    assert parse_script("\n# a comment\n" + str(script).replace(", ", " ,\n\n  ") + ",\n") == script


@given(ACTIONS, st.floats(0.05, 1000))
def test_seconds_become_the_nearest_primitives(action, seconds) -> None:
    line = parse_script(f"{action} * {seconds:f} s").lines[0]
    assert line.primitives == primitives_of(seconds) >= 1
    assert line.primitives == 1 or abs(line.primitives * PRIMITIVE - seconds) <= PRIMITIVE / 2 + 1e-5


def test_the_published_form_and_its_frames() -> None:
    script = parse_script("walk*10,turn left*4, wave the right hand*2.5s")
    assert script.lines == (Line("walk", 10), Line("turn left", 4), Line("wave the right hand", 9))
    assert script.frames == 23 * 8
    assert script.cues() == {0: "walk", 80: "turn left", 112: "wave the right hand"}


@given(st.text(max_size=60))
def test_any_text_is_a_script_or_one_line_of_complaint(text) -> None:
    try:
        script = parse_script(text, "s.txt")
    except LabanError as error:
        told = str(error)
    else:
        assert script.lines and script.frames / 30 <= LONGEST
        return
    assert told.startswith("s.txt") and ("found" in told or "lasts" in told) and "\n" not in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "s: found no action"),
        ("walk", "s: column 1: found 'walk' without a length; accepted: action*n"),
        ("walk*3,  jump*0", "s: column 10: found the length '0'; accepted: from 1 to"),
        ("walk*3,,jump*2", "s: column 8: found a comma with no action"),
        ("walk*3,jump*two", "s: column 8: found the length 'two'; accepted: a whole number"),
        ("walk*-1", "the length '-1'"),
        ("walk*1.5", "the length '1.5'"),
        ("walk*0s", "above 0"),
        ("walk*99999999999999999999", "accepted: from 1 to"),
        ("*4", "s: column 1: found a length, '4', without an action"),
        ("walk*3\nturn left*4,\njump*x", "s:3:1: found the length 'x'"),
        ("walk*300000, walk*300000", "lasts"),
        ("wa\x07lk*3", "control character"),
        ("walk*٣", "the length '٣'"),
    ],
)
def test_mistakes_name_column_found_and_accepted(text, says) -> None:
    with pytest.raises(LabanError) as caught:
        parse_script(text, "s")
    assert says in str(caught.value)


def test_lines_without_a_length_last_as_long_as_they_are_told() -> None:
    assert parse_script("walk\nwave*2", hold=4.0).lines == (Line("walk", 15), Line("wave", 2))
