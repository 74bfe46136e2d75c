"""Batches are a function of (seed, step), show every video, keep segments where they were, and refuse bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from action_localization.spine.batches import (
    BatchConfig,
    FeatureBatches,
    TrainingVideo,
    collate,
    cropped,
    resize,
    training_video,
)
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features


def counting(frames: int, offset: float, *segments: tuple[float, float]) -> TrainingVideo:
    """Values that tell which entry they are, so that a crop can be recognised."""
    values = (offset + np.arange(frames, dtype=np.float32))[:, None]
    return TrainingVideo(values, np.array(segments, float).reshape(-1, 2), np.arange(len(segments)))


VIDEOS = [counting(n, 1000.0 * k, (2, 8), (n - 7.5, n - 2)) for k, n in enumerate((30, 50, 90, 40, 70))]


def test_batches_are_a_function_of_seed_and_step() -> None:
    config = BatchConfig(size=3, frames=48, seed=4)
    one, other = FeatureBatches(VIDEOS, config), FeatureBatches(VIDEOS, config)
    for step in (5, 0, 5, 2):
        a, b = one(step), other(step)
        assert all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("features", "mask", "segments", "labels"))
    changed = FeatureBatches(VIDEOS, replace(config, seed=5))
    assert any(not torch.equal(one(n).labels, changed(n).labels) or one(n).features.shape != changed(n).features.shape
               for n in range(4))  # fmt: skip


def test_every_round_shows_every_video() -> None:
    batches = FeatureBatches(VIDEOS, BatchConfig(size=2, frames=48, shrink=1.0))
    seen = [int(batches(step).features[row, 0, 0] // 1000) for step in range(5) for row in range(2)]
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))
    assert seen[:5] != seen[5:]


def test_crops_keep_segments_at_their_place() -> None:
    config, cut = BatchConfig(frames=40, shrink=0.5), 0
    for video in VIDEOS:
        for seed in range(30):
            piece = cropped(video, config, np.random.default_rng(seed))
            first = piece.values[0, 0] - video.values[0, 0]
            assert min(20, len(video.values) // 2) <= len(piece.values) <= 40
            assert np.array_equal(piece.values[:, 0], video.values[int(first) : int(first) + len(piece.values), 0])
            for (start, end), label in zip(piece.segments, piece.labels, strict=True):
                whole = video.segments[label]
                assert start == pytest.approx(max(0, whole[0] - first))
                assert end == pytest.approx(min(len(piece.values), whole[1] - first))
                assert (end - start) / (whole[1] - whole[0]) >= 0.5
                cut += end - start < whole[1] - whole[0]
    assert cut > 5


def test_a_crop_with_something_in_it_is_preferred() -> None:
    lonely = counting(400, 0, (100, 140))
    found = sum(len(cropped(lonely, BatchConfig(frames=100), np.random.default_rng(s)).labels) for s in range(40))
    assert found >= 38
    empty = cropped(counting(50, 0), BatchConfig(frames=20), np.random.default_rng(0))
    assert len(empty.values) == 20


def test_padding_is_marked() -> None:
    batch = collate([counting(3, 0), counting(5, 0, (1, 2), (0, 4))])
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.labels.tolist() == [[-1, -1], [0, 1]]
    assert not batch.features[0, 3:].any()


@pytest.mark.parametrize(("time", "frames"), [(60, 12), (7, 21), (10, 10), (1, 4)])
def test_resizing_keeps_straight_lines(time, frames) -> None:
    values = np.arange(time, dtype=np.float32)[:, None]
    wanted = np.clip((np.arange(frames) + 0.5) * time / frames - 0.5, 0, time - 1)
    assert resize(values, frames)[:, 0] == pytest.approx(wanted, abs=1e-4)


def test_truth_is_brought_to_window_centres() -> None:
    grid = FrameGrid(30, 20, stride=4, window=16, offset=0.1)
    truth = Timeline((Segment(grid.centre(3), grid.centre(8.5), "b"), Segment(grid.centre(0), grid.centre(1), "a")))
    video = training_video(Features(np.zeros((20, 2), np.float32), grid, "test"), truth, ("a", "b"))
    assert video.segments == pytest.approx(np.array([[0, 1], [3, 8.5]]))
    assert video.labels.tolist() == [0, 1]


def test_bad_input_is_named() -> None:
    good, truth = np.zeros((6, 2), np.float32), Timeline((Segment(0, 1, "jump"), Segment(1, 2, "run")))
    with pytest.raises(LabanError, match="clip 7: labels that are no class: jump, run"):
        training_video(Features(good, FrameGrid(10, 6), "test"), truth, ("walk",), name="clip 7")
    bad = good.copy()
    bad[4] = np.nan
    with pytest.raises(LabanError, match="1 of 6 entries hold NaN or infinity, first 4"):
        training_video(Features(bad, FrameGrid(10, 6), "test"), Timeline(), ())
    with pytest.raises(LabanError, match="has no features"):
        training_video(Features(good[:0], FrameGrid(10, 0), "test"), Timeline(), ())
    with pytest.raises(LabanError, match="no videos"):
        FeatureBatches([], BatchConfig())
    with pytest.raises(LabanError, match="different widths: 1, 2"):
        collate([counting(4, 0), TrainingVideo(good, np.empty((0, 2)), np.empty(0, int))])
