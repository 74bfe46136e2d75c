"""A stream performed: the clock, where words take effect, who hears them, and how it ends."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from motion.streaming.script import parse_script
from motion.streaming.session import LATE, Pace, Session
from tests.streaming_walk import Walker


@given(st.lists(st.floats(0, 0.12), min_size=1, max_size=80))
def test_the_clock_is_never_ahead_and_never_hurries_more_than_it_may(delays) -> None:
    pace, now, shown = Pace(100.0), 100.0, []
    for index, delay in enumerate(delays):
        now += delay  # computing the frame
        now += pace.wait(index, now)
        shown.append(now)
        assert now >= 100 + index / 30 - 1e-9
        assert now - (100 + pace.lost + index / 30) <= LATE + 1e-9
    steady = [now + pace.wait(len(delays) + k, now) for k in range(60)]  # no more delays: on time again
    assert steady[-1] == pytest.approx(100 + pace.lost + (len(delays) + 59) / 30)


def test_a_long_pause_is_not_made_up_for() -> None:
    pace = Pace(0.0)
    assert pace.wait(0, 5.0) == 0
    assert pace.lost == pytest.approx(5.0)
    assert pace.wait(1, 5.0) == pytest.approx(1 / 30)


def test_a_script_changes_exactly_where_its_primitives_begin() -> None:
    script = parse_script("walk*2,turn left*1,stand*3")
    session, texts = Session(Walker(), script=script, frames=script.frames, fast=True), []
    session.sinks.append(lambda frame: texts.append(frame.text))
    assert session.run() == 48
    assert texts == ["walk"] * 16 + ["turn left"] * 8 + ["stand"] * 24


def test_real_time_is_kept_and_words_take_effect_within_two_primitives() -> None:
    session, shown, said_at = Session(Walker("stand"), frames=48), [], 15

    def look(frame) -> None:
        shown.append((time.monotonic(), frame.text))
        if frame.index == said_at:
            session.say("walk")

    session.sinks.append(look)
    start = time.monotonic()
    assert session.run() == 48
    assert all(moment - start >= index / 30 - 1e-3 for index, (moment, _) in enumerate(shown))
    assert time.monotonic() - start < 10  # on a busy machine; else 1.6 s
    walking = next(index for index, (_, text) in enumerate(shown) if text == "walk")
    assert 0 < walking - said_at <= 16


def test_everybody_hears_what_was_said_and_nonsense_is_refused() -> None:
    session, heard = Session(Walker()), []
    session.listeners.append(heard.append)
    assert session.say(" wave\t\x07 ", "somebody").sure
    assert not session.say("xyzzy").sure
    assert [(h.by, h.said.text) for h in heard] == [("somebody", "wave"), ("", "xyzzy")]
    assert "nothing known is near" in heard[1].line()
    for wrong in ("", "  \n", "\x00", "a" * 301):
        with pytest.raises(LabanError, match="found"):
            session.say(wrong)


class Failing(Walker):
    """Breaks down at a frame, or goes to pieces there."""

    def __init__(self, at: int, how: str) -> None:
        super().__init__("walk")
        self.at, self.how = at, how

    def __next__(self):
        frame = super().__next__()
        if frame.index == self.at:
            if self.how == "raise":
                raise RuntimeError("out of order")
            frame.root[1] = np.nan
        return frame


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("how", "error"), [("raise", RuntimeError), ("nan", LabanError)])
def test_a_failing_stream_is_told_after_all_good_frames_are_shown(fast, how, error) -> None:
    session, shown = Session(Failing(20, how), fast=fast), []
    session.sinks.append(lambda frame: shown.append(frame.index))
    with pytest.raises(error):
        session.run()
    assert shown == list(range(20))
    assert session.ended


def test_stop_ends_it_from_another_thread() -> None:
    session, shown = Session(Walker(), frames=9000), threading.Event()
    session.sinks.append(lambda frame: shown.set())
    threading.Thread(target=lambda: shown.wait() and session.stop(), daemon=True).start()
    assert 0 < session.run() < 9000
