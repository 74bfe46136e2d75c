"""Points, assignment and the way between seconds and entries, against plain loops and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_localization.spine.points import assign, level_sizes, pyramid_points, to_entries, to_seconds
from laban.timeline import FrameGrid


def test_points_of_a_small_pyramid() -> None:
    points = pyramid_points(5, 3, reach=4.0)
    assert points.sizes == (5, 3, 2) == level_sizes(5, 3)
    assert points.place.tolist() == [0, 1, 2, 3, 4, 0, 2, 4, 0, 4]
    assert points.stride.tolist() == [1] * 5 + [2] * 3 + [4] * 2
    assert points.low.tolist() == [0] * 5 + [4] * 3 + [8] * 2
    assert points.high.tolist() == [4] * 5 + [8] * 3 + [math.inf] * 2


def test_ranges_may_overlap_by_half() -> None:
    points = pyramid_points(1, 6, overlap=True)
    assert points.low.tolist() == [0, 2, 4, 8, 16, 32]
    assert points.high.tolist() == [4, 8, 16, 32, 64, math.inf]


def plain_assignment(points, segments, labels, classes, radius):
    """One point and one segment after another."""
    hot, offsets, instances = [], [], []
    for place, stride, low, high in zip(points.place, points.stride, points.low, points.high, strict=True):
        fits = []
        for n, ((start, end), label) in enumerate(zip(segments, labels, strict=True)):
            left, right = place - start, end - place
            centred = abs(place - (start + end) / 2) < radius * stride
            if label >= 0 and left > 0 and right > 0 and centred and low <= max(left, right) <= high:
                fits.append((end - start, n))
        row = torch.zeros(classes)
        shortest = min(fits, default=None)
        for length, n in fits:
            if length <= shortest[0] + 1e-3:
                row[labels[n]] = 1
        hot.append(row)
        instances.append(shortest[1] if shortest else -1)
        start, end = segments[shortest[1]] if shortest else (place, place)
        offsets.append([(place - start) / stride, (end - place) / stride])
    return torch.stack(hot), torch.tensor(offsets), torch.tensor(instances)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overlap", [False, True])
def test_assignment_equals_a_plain_loop(seed, overlap) -> None:
    draw = torch.Generator().manual_seed(seed)
    start = torch.rand(2, 7, generator=draw) * 40
    segments = torch.stack([start, start + 1 + 30 * torch.rand(2, 7, generator=draw) ** 2], -1)
    labels = torch.randint(-1, 4, (2, 7), generator=draw)
    points = pyramid_points(60, 4, reach=4.0, overlap=overlap)
    found = assign(points, segments, labels, 4, radius=1.5)
    assert (found.instance >= 0).any()
    for b in range(2):
        hot, offsets, instance = plain_assignment(points, segments[b].tolist(), labels[b].tolist(), 4, 1.5)
        assert torch.equal(found.classes[b], hot)
        assert torch.equal(found.instance[b], instance)
        positive = instance >= 0
        assert torch.allclose(found.offsets[b][positive], offsets[positive], atol=1e-5)
        assert (found.offsets[b][positive] > 0).all()


def test_the_shortest_wins_and_equals_share() -> None:
    points = pyramid_points(16, 1)
    segments = torch.tensor([[[2.0, 12.0], [5.0, 9.0], [5.0002, 8.9998]]])
    found = assign(points, segments, torch.tensor([[0, 1, 2]]), 3, radius=9.0)
    assert found.classes[0, 7].tolist() == [0, 1, 1]
    assert found.classes[0, 4].tolist() == [1, 0, 0]
    assert found.instance[0].tolist() == [-1] * 3 + [0] * 3 + [2] * 3 + [0] * 3 + [-1] * 4


def test_no_segments_no_positives() -> None:
    points = pyramid_points(8, 2)
    padded = assign(points, torch.zeros(1, 3, 2), torch.full((1, 3), -1), 2)
    bare = assign(points, torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long), 2)
    for found in (padded, bare):
        assert not found.positive.any()
        assert not found.classes.any()


@given(
    st.floats(1, 60), st.floats(0.5, 32), st.floats(0.5, 64), st.floats(-2, 5), st.lists(st.floats(0, 500), max_size=5)
)
def test_seconds_to_entries_and_back(fps, stride, window, offset, times) -> None:
    grid, seconds = FrameGrid(fps, 100, stride, window, offset), np.array(times, dtype=np.float64)
    assert np.allclose(to_seconds(grid, to_entries(grid, seconds)), seconds, atol=1e-6)
    assert to_seconds(grid, np.arange(3.0)) == pytest.approx([grid.centre(n) for n in range(3)])


def test_half_a_window_is_added_once() -> None:
    grid = FrameGrid(30, 10, stride=4, window=16)
    assert to_seconds(grid, np.array([3.0])).item() == pytest.approx((3 * 4 + 8) / 30)
