"""Segment, Timeline and FrameGrid: order, validation, and the one conversion between seconds and indices."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from laban.timeline import PARTS, FrameGrid, Segment, Timeline, canonical_part

RATES = st.sampled_from([8.0, 12.5, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 60.0, 120.0])


def test_a_segment_normalises_label_and_parts():
    segment = Segment(1, 2, "  wave \n both  hands ", ("Left_Arm", "torso", "right hand", "left arm"))
    assert segment.label == "wave both hands"
    assert segment.parts == ("left arm", "spine", "right arm")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 5.0, "end": 2.0}, "end 2 is not after start 5"),
        ({"start": 2.0, "end": 2.0}, "end 2 is not after start 2"),
        ({"start": -1.0}, "start -1 is negative"),
        ({"start": math.nan}, "start is nan"),
        ({"end": math.inf}, "end is inf"),
        ({"label": " \n "}, "label is empty"),
        ({"label": "wa\x07ve"}, "control character"),
        ({"parts": ("left arn",)}, "did you mean 'left arm'"),
        ({"parts": ("tail",)}, "unknown body part 'tail'; accepted: left arm"),
        ({"actor": -1}, "actor is -1"),
        ({"track": -2}, "track is -2"),
        ({"score": math.nan}, "score is nan"),
    ],
)
def test_a_wrong_segment_names_the_value(values, message):
    with pytest.raises(LabanError) as caught:
        Segment(**({"start": 0.0, "end": 3.0, "label": "walk"} | values))
    assert message in str(caught.value)


def test_every_part_is_its_own_canonical_name():
    assert [canonical_part(part.upper().replace(" ", "_")) for part in PARTS] == list(PARTS)


def test_a_timeline_is_sorted_and_covers_its_segments():
    late, early, long = Segment(4, 6, "sit"), Segment(0, 1, "walk"), Segment(0, 3, "wave")
    timeline = Timeline((late, long, early), 5.0)
    assert timeline.segments == (early, long, late)
    assert timeline.duration == 6.0
    assert Timeline((late,), 9.0).duration == 9.0
    assert Timeline((late, early)) == Timeline((early, late))


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
def test_a_wrong_duration_is_refused(duration):
    with pytest.raises(LabanError, match="duration"):
        Timeline((), duration)


def test_intervals_are_half_open():
    timeline = Timeline((Segment(0, 2, "walk"), Segment(2, 4, "sit"), Segment(1, 3, "wave")))
    assert [s.label for s in timeline.at(2.0)] == ["wave", "sit"]
    assert timeline.at(4.0) == ()
    assert timeline.boundaries() == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert timeline.labels() == ("walk", "wave", "sit")


def test_crop_cuts_at_both_edges_and_shift_undoes_itself():
    timeline = Timeline((Segment(0, 2, "walk"), Segment(2, 8, "sit"), Segment(8, 9, "rise")), 10.0)
    assert timeline.crop(1.0, 4.0) == Timeline((Segment(0, 1, "walk"), Segment(1, 3, "sit")), 3.0)
    assert timeline.shift(2.0).shift(-2.0) == timeline
    with pytest.raises(LabanError, match="negative"):
        timeline.shift(-1.0)
    with pytest.raises(LabanError, match="accepted: 0 <= start < end"):
        timeline.crop(4.0, 1.0)


def test_the_documented_rounding():
    assert int(30 * 4.1) == 122, "the truncation this grid replaces"
    assert FrameGrid(30, 300).index(4.1) == 123
    assert FrameGrid(20, 0).index(0.025) == 1, "halves go upward"
    assert FrameGrid(20, 0).index(0.0249) == 0
    assert FrameGrid.lasting(6.0, 20).frames == 120
    assert FrameGrid.lasting(0.001, 20).frames == 1


@given(RATES, st.sampled_from([1, 2, 4, 8, 16]), st.floats(0, 1000), st.integers(0, 1_000_000))
def test_the_start_of_an_entry_leads_back_to_it(fps, stride, offset, index):
    grid = FrameGrid(fps, 10, stride, 16, offset)
    assert grid.index(grid.start(index)) == index


@given(RATES, st.integers(1, 2000), st.sampled_from([1, 4]), st.floats(0, 400), st.floats(1e-3, 400))
def test_a_span_lies_inside_and_never_loses_an_interval(fps, frames, stride, start, seconds):
    grid = FrameGrid(fps, frames, stride)
    first, last = grid.span(start, start + seconds)
    assert 0 <= first <= last <= frames
    if start < grid.seconds - 0.001:
        assert last > first
        assert abs(grid.start(first) - start) <= stride / fps * 1.01
    if last - first > 1 and last < frames:
        assert abs(grid.start(last) - (start + seconds)) <= stride / fps * 0.51


@given(RATES, st.integers(2, 500), st.data())
def test_a_segment_of_entries_spans_the_same_entries(fps, frames, data):
    grid = FrameGrid(fps, frames, stride=4, window=16)
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first + 1, frames))
    segment = grid.segment(first, last, "walk")
    assert grid.span(segment.start, segment.end) == (first, last)


def test_an_interval_outside_the_array_is_empty():
    grid = FrameGrid(20, 100)
    assert grid.span(5.0, 6.0) == (100, 100)
    assert FrameGrid(20, 100, offset=10.0).span(0.0, 5.0) == (0, 0)
    assert grid.span(4.999, 60.0) == (99, 100)


def test_the_centre_is_in_the_middle_of_the_window():
    grid = FrameGrid(30, 10, stride=4, window=16, offset=1.0)
    assert grid.centre(0) == pytest.approx(1.0 + 8 / 30)
    assert grid.centre(3) - grid.centre(2) == pytest.approx(4 / 30)


@pytest.mark.parametrize("values", [{"fps": 0}, {"fps": math.nan}, {"frames": -1}, {"stride": -4}])
def test_a_wrong_grid_is_refused(values):
    with pytest.raises(LabanError, match="accepted"):
        FrameGrid(**({"fps": 20, "frames": 10} | values))
