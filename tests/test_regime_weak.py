"""Weak supervision: what may be known, what the losses do, how segments are read, and that it learns planted motifs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_localization.data.corpus import Instant
from action_localization.data.layouts import read_corpus
from action_localization.evaluation.detection import evaluate_detection
from action_localization.regimes.streams import TOY_CLASSES, RegimeSet, RegimeVideo, toy_set
from action_localization.weak import activation as act
from action_localization.weak.hierarchy import (
    HierarchyConfig,
    change_points,
    fit_hierarchy,
    hierarchy_activation,
    hierarchy_detect,
)
from action_localization.weak.learning import WeakBatchConfig, attention_loss, label_loss, training_config
from action_localization.weak.points import PointConfig, fit_points, likeliest_stretches, point_detect
from action_localization.weak.pooled import PooledConfig, fit_pooled, pooled_detect
from action_localization.weak.presets import weak_preset
from action_localization.weak.supervision import CutConfig, classes_within, drawn_clicks, weak_videos
from action_localization.weak.tscn import TSCNConfig, fit_tscn, tscn_detect, view_columns
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

CUT = CutConfig(seconds=4.0)
BATCHES = WeakBatchConfig(size=8)
SYSTEMS = {
    "pooled": (fit_pooled, pooled_detect, PooledConfig, {"cut": CUT, "batches": BATCHES}, 50),
    "tscn": (fit_tscn, tscn_detect, TSCNConfig, {"cut": CUT, "batches": BATCHES, "rounds": 1}, 40),
    "hierarchy": (fit_hierarchy, hierarchy_detect, HierarchyConfig, {"cut": CUT, "batches": BATCHES}, 60),
    "points": (fit_points, point_detect, PointConfig, {"rounds": 1}, 40),
}


@pytest.fixture(scope="module")
def toy() -> RegimeSet:
    return toy_set(0)


@pytest.fixture(scope="module")
def learnt(toy, tmp_path_factory):
    """Every system after a second of learning."""

    def fitted(name, steps=None, data=toy, **more):
        fit, _, config, settings, usual = SYSTEMS[name]
        folder = tmp_path_factory.mktemp(name)
        wanted = config(**settings, training=training_config(usual if steps is None else steps, 4e-3))
        return fit(data, wanted, folder, seed=0, **more)

    cache = {}

    def system(name, **settings):
        if settings:
            return fitted(name, **settings)
        if name not in cache:
            cache[name] = fitted(name)
        return cache[name]

    return system


def average(name, network, videos, protocol="thumos14"):
    detect = SYSTEMS[name][1]
    found = {v.name: detect(network, v.features, duration=v.truth.duration) for v in videos}
    return evaluate_detection({v.name: v.truth for v in videos}, found, protocol).average


def of_length(video: RegimeVideo, entries: int) -> Features:
    return Features(video.features.values[:entries], FrameGrid(10.0, entries), "toy")


# ------------------------------------------------------------------------------------------------------ learning


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_planted_motifs(name, toy, learnt):
    fit, _, config, settings, _ = SYSTEMS[name]
    untrained = average(name, learnt(name, steps=1), toy.test)
    score = average(name, learnt(name), toy.test)
    assert score > 0.75, score
    assert untrained < 0.4, untrained


def test_a_click_on_each_action_tells_more_than_the_set_of_classes(toy, learnt):
    strict = {name: average(name, learnt(name), toy.test, "activitynet") for name in ("pooled", "points")}
    assert strict["points"] > strict["pooled"], strict


@pytest.mark.parametrize("name", SYSTEMS)
def test_true_boundaries_are_never_read(name, toy, learnt):
    """Every boundary lies elsewhere, the label sets and clicks are the same: the weights are the same to the bit."""
    moved = replace(toy, train=tuple(map(squeezed, toy.train)))
    for before, after in zip(toy.train, moved.train, strict=True):
        starts = [(a.start, b.start) for a, b in zip(before.truth.segments, after.truth.segments, strict=True)]
        assert starts and all(a != b for a, b in starts)
    clicks = {video.name: clicked(video) for video in moved.train}
    more = {"clicks": clicks} if name == "points" else {}
    one, other = (learnt(name, steps=3, data=data, **more).state_dict() for data in (toy, moved))
    assert all(torch.equal(one[key], other[key]) for key in one)


def squeezed(video: RegimeVideo) -> RegimeVideo:
    """Every segment a little shorter at both ends, by as much as changes nothing in what an annotator says."""
    for amount in (0.2, 0.1, 0.05, 0.02, 0.01, 1e-3):
        moved = [replace(s, start=s.start + amount, end=s.end - amount) for s in video.truth.segments]
        shifted = replace(video, truth=Timeline(tuple(moved), video.truth.duration))
        if label_sets(shifted) == label_sets(video):
            return shifted
    raise AssertionError("no shift leaves the label sets as they are")


def label_sets(video: RegimeVideo):
    videos = weak_videos([(video.name, video.features, video.truth)], TOY_CLASSES, CUT, seed=0)
    return [v.labels.tolist() for v in videos]


def clicked(video: RegimeVideo):
    return tuple(Instant((s.start + s.end) / 2, s.label) for s in video.truth.segments)


# --------------------------------------------------------------------------------------------------- supervision


def test_cuts_know_nothing_of_the_truth_and_lose_nothing(toy):
    named = [(v.name, v.features, v.truth) for v in toy.train]
    empty = [(name, f, Timeline((Segment(0, t.duration, toy.classes[0]),), t.duration)) for name, f, t in named]
    ours, theirs = (weak_videos(x, toy.classes, CUT, seed=3) for x in (named, empty))
    assert [len(v.values) for v in ours] == [len(v.values) for v in theirs]
    assert sum(len(v.values) for v in ours) == sum(len(v.features.values) for v in toy.train)
    lengths = np.array([len(v.values) for v in ours])
    assert lengths.min() >= 20 and lengths.max() <= 40 * 1.8
    assert 1 < np.mean([v.labels.sum() for v in ours]) < len(toy.classes) - 1


def test_an_annotator_names_what_is_mostly_there():
    truth = Timeline((Segment(0, 4, "a"), Segment(5, 6, "b")), 10)
    assert classes_within(truth, 0, 5.2, 0.5) == {"a"}
    assert classes_within(truth, 3, 5.6, 0.5) == {"b"}
    assert classes_within(truth, 1, 2, 0.5) == {"a"}
    assert classes_within(truth, 6, 10, 0.5) == set()


def test_clicks_lie_in_their_actions_and_reach_their_entries(toy):
    video = toy.train[0]
    clicks = drawn_clicks({video.name: video.truth}, 1)
    for click, segment in zip(clicks[video.name], video.truth.segments, strict=True):
        assert segment.start <= click.seconds < segment.end and click.label == segment.label
    silent = [(video.name, video.features, Timeline((), video.truth.duration))]
    (whole,) = weak_videos(silent, toy.classes, CutConfig(seconds=0), seed=0, clicks=clicks)
    assert [toy.classes[c] for _, c in whole.clicks] == [s.label for s in video.truth.segments]
    assert whole.labels.sum() == len(set(video.truth.labels()))


def test_published_single_frame_labels_are_clicks(data_folder):
    corpus = read_corpus(data_folder / "annotations" / "gtea_beoid" / "gtea_single_frame_labels.json")
    name, video = next((n, v) for n, v in corpus.videos.items() if len(v.instants) > 3)
    last = max(instant.seconds for instant in video.instants)
    grid = FrameGrid.lasting(last + 1, 5.0)
    rows = Features(np.zeros((grid.frames, 4), np.float32), grid, "zeros")
    videos = weak_videos([(name, rows, Timeline((), last + 1))], corpus.classes, CutConfig(5.0), seed=0,
                         clicks={name: video.instants})  # fmt: skip
    assert sum(len(v.clicks) for v in videos) == len(video.instants)


@pytest.mark.parametrize("name", SYSTEMS)
def test_bad_training_input_is_refused(name, toy, learnt):
    unlabelled = tuple(replace(v, truth=Timeline((), v.truth.duration)) for v in toy.train[:3])
    with pytest.raises(LabanError, match="no click|no training video has a label"):
        learnt(name, steps=1, data=replace(toy, train=unlabelled))
    values = toy.train[0].features.values.copy()
    values[7, 2] = np.nan
    broken = replace(toy.train[0], features=Features(values, toy.train[0].features.grid, "toy"))
    with pytest.raises(LabanError, match=r"train_0: 1 of \d+ entries hold NaN or infinity, first 7"):
        learnt(name, steps=1, data=replace(toy, train=(broken,)))


def test_clicks_must_be_of_a_class_and_inside(toy):
    video = toy.train[0]
    named = [(video.name, video.features, video.truth)]
    for click, message in ((Instant(1.0, "yodel"), "'yodel'; accepted: bend"), (Instant(99.0, "nod"), "outside")):
        with pytest.raises(LabanError, match=message):
            weak_videos(named, toy.classes, CUT, seed=0, clicks={video.name: (click,)})


# -------------------------------------------------------------------------------------------------------- losses


def test_attention_normalisation_parts_high_from_low_and_quiets_videos_without_actions():
    attention = torch.tensor([[0.9, 0.5, 0.4, 0.1, 0.0], [0.6, 0.6, 0.6, 0.6, 0.2]], requires_grad=True)
    mask = torch.tensor([[True] * 4 + [False], [True] * 5])
    spread = act.attention_spread(attention, mask, 0.25)
    assert torch.allclose(spread, torch.tensor([0.8, 0.2]))
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    mean = (attention * mask).sum(1) / mask.sum(1)
    attention_loss(spread, mean, labels).backward()
    grad = attention.grad
    assert grad[0, 0] < 0 < grad[0, 3] and grad[0, 1] == grad[0, 2] == grad[0, 4] == 0
    assert (grad[1] > 0).all()


def test_label_loss_shares_out_a_set_and_ignores_empty_ones():
    logits = torch.tensor([[2.0, 2.0, -9.0], [5.0, -5.0, 0.0]])
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert label_loss(logits, labels).item() == pytest.approx(np.log(2), abs=1e-3)
    assert label_loss(logits, 0 * labels).item() == 0


def test_pooling_sees_real_entries_alone():
    x = torch.tensor([[[1.0], [5.0], [3.0], [99.0]]])
    mask = torch.tensor([[True, True, True, False]])
    assert act.top_mean(x, mask, 0.1).item() == 5
    assert act.top_mean(x, mask, 0.6).item() == 4
    assert act.attention_pool(x, torch.tensor([[0.5, 0.0, 0.5, 1.0]]), mask).item() == 2


@given(st.integers(0, 10_000))
def test_likeliest_stretches_are_those_of_a_search_over_all(seed):
    rng = np.random.default_rng(seed)
    log = np.log(rng.dirichlet(np.ones(3), 7))
    clicks = np.array([(1, 0), (4, int(rng.integers(2)))])
    frame = likeliest_stretches(log, clicks)

    def labels(a, b, c, d):
        return np.array([0 if a <= t < b else clicks[1, 1] if c <= t < d else 2 for t in range(7)])

    every = [labels(a, b, c, d) for a, b in itertools.product(range(2), range(2, 5))
             for c, d in itertools.product(range(b, 5), range(5, 8))]  # fmt: skip
    best = max(log[np.arange(7), x].sum() for x in every)
    assert log[np.arange(7), frame].sum() == pytest.approx(best)


# ------------------------------------------------------------------------------------------------- change points


def test_change_points_are_peaks_placed_at_the_fastest_entry():
    fine, coarse = np.zeros(16), np.zeros(8)
    fine[[5, 11]], coarse[[3, 5]] = (3.0, 1.0), (2.0, 4.0)
    found = change_points([fine, coarse], 0.5)
    assert [points.tolist() for points in found] == [[5, 11], [5, 11]]
    assert [len(points) for points in change_points([np.zeros(1), np.zeros(1)], 0.5)] == [0, 0]


def test_latents_move_fast_where_something_was_planted(toy, learnt):
    """Entries next to a planted boundary are faster than the rest, and the fastest peaks lie at boundaries."""
    network = learnt("hierarchy")
    near, far, hits, drawn = [], [], [], []
    for video in toy.test:
        _, speeds = hierarchy_activation(network, video.features)
        edges = np.array([t * 10 for s in video.truth.segments for t in (s.start, s.end)])
        place = np.arange(len(speeds[0]))
        distance = np.abs(place[:, None] - edges).min(1)
        near.append(speeds[0][1:][distance[1:] <= 1].mean())
        far.append(speeds[0][1:][distance[1:] > 3].mean())
        points = change_points(speeds, 0.9)[0]
        hits.append((distance[points] <= 2).mean())
        drawn.append((distance[1:] <= 2).mean())
    assert np.mean(near) > 2 * np.mean(far)
    assert np.mean(hits) > np.mean(drawn) + 0.25, (np.mean(hits), np.mean(drawn))


# ------------------------------------------------------------------------------------------------------- reading


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 4))
def test_opening_and_closing(flags, radius):
    x = np.array(flags)
    opened, closed = act.opened(x, radius), act.closed(x, radius)
    assert not (opened & ~x).any() and not (x & ~closed).any()
    assert (act.opened(opened, radius) == opened).all() and (act.closed(closed, radius) == closed).all()
    spans = act.runs(x)
    assert sum(b - a for a, b in spans) == x.sum()
    inner = [(a, b) for a, b in spans if a > 0 and b < len(x)]
    for a, b in inner:
        assert opened[a:b].all() == (b - a > 2 * radius) and opened[a:b].any() == (b - a > 2 * radius)


def test_gaps_and_moving_averages():
    spans = np.array([(0, 2), (3, 5), (9, 10)])
    assert act.merged(spans, 1).tolist() == [[0, 5], [9, 10]]
    assert act.merged(spans, 0).tolist() == spans.tolist()
    assert act.moving_average(np.array([0.0, 3.0, 0.0, 0.0]), 3).tolist() == pytest.approx([1.5, 1, 1, 0])
    assert act.moving_average(np.full((5, 2), 0.7), 4) == pytest.approx(0.7)


@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_segments_lie_inside_the_video_in_order_and_scores_are_finite(seed, time, relative):
    rng = np.random.default_rng(seed)
    values = act.moving_average(rng.random((time, 2)), 3)
    config = act.ThresholdConfig(relative=relative, opening=seed % 2, closing=seed % 3, gap=seed % 4)
    duration = time / 10 + 0.03 * (seed % 3 - 1)
    line = act.as_timeline(act.threshold_decode(values, config), FrameGrid(20.0, time, 2, 4), ("a", "b"), duration)
    assert all(0 <= s.start < s.end <= duration for s in line.segments)
    assert [s.start for s in line.segments] == sorted(s.start for s in line.segments)
    assert all(np.isfinite(s.score) and 0 < s.score <= 1 for s in line.segments)


def test_a_plateau_is_found_where_it_is():
    values = np.zeros((30, 2))
    values[8:15, 1], values[20:24, 0] = 0.9, 0.5
    found = act.threshold_decode(values, act.ThresholdConfig())
    assert [(found.start[i], found.end[i], found.label[i]) for i in range(2)] == [(8, 15, 1), (20, 24, 0)]
    assert found.score.tolist() == pytest.approx([0.9, 0.5])
    line = act.as_timeline(found, FrameGrid(10.0, 30), ("a", "b"))
    assert [s.label for s in line.segments] == ["b", "a"]
    assert [x for s in line.segments for x in (s.start, s.end)] == pytest.approx([0.8, 1.5, 2.0, 2.4])
    with pytest.raises(LabanError, match="1 of 30 entries hold NaN or infinity, first 3"):
        act.threshold_decode(np.where(np.arange(30)[:, None] == 3, np.nan, values), act.ThresholdConfig())


@pytest.mark.parametrize("name", SYSTEMS)
def test_odd_videos(name, toy, learnt):
    """No row, a single one, the wrong width, and a number that is none."""
    network, detect = learnt(name), SYSTEMS[name][1]
    video = toy.test[0]
    assert detect(network, of_length(video, 0), duration=2.0) == Timeline((), 2.0)
    single = detect(network, of_length(video, 1))
    assert single.duration == pytest.approx(0.1) and all(s.end <= single.duration for s in single.segments)
    with pytest.raises(LabanError, match="features are 3 wide; the network was trained on 16"):
        detect(network, Features(np.zeros((5, 3), np.float32), FrameGrid(10.0, 5), "x"))
    values = video.features.values.copy()
    values[4] = np.inf
    with pytest.raises(LabanError, match="entries hold NaN or infinity, first 4"):
        detect(network, Features(values, video.features.grid, "toy"))


def test_presets_fit_their_sets():
    for system in ("mil", "hierarchy", "points"):
        assert weak_preset(system, "gym") == weak_preset(system, "toy") != weak_preset(system, "mocap")
    assert [weak_preset("tscn", name).views for name in ("gym", "toy", "mocap")] == ["halves", "alternate", "pose"]
    with pytest.raises(LabanError, match="'tscm'; accepted: mil, tscn, hierarchy, points"):
        weak_preset("tscm", "gym")


def test_both_streams_together_see_every_column():
    for views, width in (("halves", 7), ("alternate", 8), ("pose", 217)):
        one, other = view_columns(views, width)
        assert set(one) | set(other) == set(range(width)) and set(one) != set(other)
    with pytest.raises(LabanError, match="pose rows have 217"):
        view_columns("pose", 16)
    with pytest.raises(LabanError, match="at least 2"):
        view_columns("halves", 1)
