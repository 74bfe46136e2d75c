"""Online localization: causality, flushing, streams side by side, refusals, learning on toy motifs, measures."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.evaluation.online import area, evaluate_online, matched, start_precision
from action_localization.online.batches import MomentBatches, MomentConfig, free_cuts
from action_localization.online.hat import HAT, OAT, HATConfig
from action_localization.online.horizon import Horizon, HorizonConfig
from action_localization.online.lane import Lane, OnlineSystem, detect_online, detect_together, push_together
from action_localization.online.learning import choose_threshold, training_videos
from action_localization.online.matr import MATR, MATRConfig
from action_localization.online.presets import online_preset
from action_localization.online.suppressor import Heard, SuppressorConfig, best_moments
from action_localization.online.switch import ActionSwitch, ActionSwitchConfig, switch_states
from action_localization.online.systems import fit_hat, fit_matr, fit_switch
from action_localization.online.windows import WindowConfig
from action_localization.regimes.streams import toy_set
from action_localization.spine.batches import TrainingVideo
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

CLASSES, WIDTH = ("bend", "hop", "nod"), 6
GRID = FrameGrid(10.0, 0)
ENCODER = WindowConfig(width=16, heads=2, hidden=16, layers=1)
LOCAL = replace(ENCODER, patch=1, convolutions=2)


def peaks(features: Features) -> Timeline:
    """A stand-in for an offline detector: runs of rows whose first column is high, labelled by their second."""
    high = np.flatnonzero(np.diff(np.pad(features.values[:, 0] > 0.5, 1).astype(int)))
    segments = []
    for first, last in high.reshape(-1, 2):
        label = CLASSES[int(abs(features.values[first, 1]) * 7) % 3]
        segments.append(features.grid.segment(int(first), int(last), label, score=0.9))
    return Timeline(tuple(segments))


def eager(name: str) -> OnlineSystem:
    """An untrained system that emits readily, so that its properties can be seen."""
    torch.manual_seed(3)
    if name == "matr":
        config = MATRConfig(window=8, memory=2, queries=4, encoder=LOCAL, layers=1, back=6, ahead=3, threshold=0.01)
        network = MATR(config, WIDTH, CLASSES).eval()
        torch.nn.init.normal_(network.class_head.weight, std=1.0)
        torch.nn.init.constant_(network.flag.bias, 2.0)
        return network
    if name in ("oat", "hat"):
        base = OAT if name == "oat" else HATConfig()
        config = replace(base, short=8, history=8 if name == "hat" else 0, anchors=(2, 4, 8), encoder=ENCODER,
                         layers=1, tokens=3, threshold=0.02, suppressor=SuppressorConfig(rows=4))  # fmt: skip
        network = HAT(config, WIDTH, CLASSES).eval()
        torch.nn.init.normal_(network.class_head.weight, std=1.0)
        torch.nn.init.normal_(network.box_head.weight, std=0.3)
        torch.nn.init.constant_(network.suppressor.net[-1].bias, 1.0)
        return network
    if name == "switch":
        network = ActionSwitch(ActionSwitchConfig(width=16, longest=32, shortest=1.0), WIDTH, CLASSES).eval()
        torch.nn.init.normal_(network.state.weight, std=2.0)
        return network
    return Horizon(peaks, WIDTH, CLASSES, HorizonConfig(window=24, every=2, horizon=3))


NAMES = ("matr", "oat", "hat", "switch", "horizon")


def stream(seed: int, rows: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.6, (rows, WIDTH)), 0)
    return (walk - 0.9 * np.cumsum(walk, 0) / np.arange(1, rows + 1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_future_changes_nothing_that_was_said(name: str) -> None:
    network, known = eager(name), 41
    one, other = stream(1), stream(1)
    other[known:] = 5 - 3 * other[known:]
    other[known + 4 : known + 9, 0], other[known + 9 :, 0] = 3.0, -1.0
    first, second = (Lane(network, GRID) for _ in range(2))
    said = first.push(one[:known]), second.push(other[:known])
    assert said[0] == said[1]
    assert said[0], "nothing was emitted: the test shows nothing"
    first.push(one[known:])
    second.push(other[known:])
    assert first.emitted[: len(said[0])] == second.emitted[: len(said[0])] == said[0]
    assert first.emitted != second.emitted
    for segment in (*first.emitted, *second.emitted):
        assert segment.gentime is not None
        assert segment.end <= segment.gentime <= 6.0


@pytest.mark.parametrize("name", NAMES)
def test_streams_side_by_side_equal_streams_alone(name: str) -> None:
    network, rows = eager(name), [stream(1), stream(2, 47)]
    alone = [detect_online(network, Features(one, FrameGrid(10.0, len(one)), "")) for one in rows]
    lanes = [Lane(network, GRID, str(number)) for number in range(2)]
    for first in range(0, 60, 7):  # taking turns, in uneven pieces
        for lane, one in zip(lanes, rows, strict=True):
            lane.push(one[first : first + 7])
    for lane in lanes:
        lane.flush()
    assert [lane.timeline() for lane in lanes] == alone
    streams = {str(i): Features(one, FrameGrid(10.0, len(one)), "") for i, one in enumerate(rows)}
    for number, together in enumerate(detect_together(network, streams).values()):
        assert [s.label for s in together.segments] == [s.label for s in alone[number].segments]
        for mine, theirs in zip(together.segments, alone[number].segments, strict=True):
            assert (mine.start, mine.end, mine.score) == pytest.approx(
                (theirs.start, theirs.end, theirs.score), abs=1e-4
            )


def test_flush_emits_what_is_open() -> None:
    for name in ("horizon", "switch"):
        network = eager(name)
        open_at_the_end = None
        for seed in range(20):
            lane = Lane(network, GRID)
            rows = stream(seed)
            rows[-8:, 0] = 2.0
            lane.push(rows)
            before = len(lane.emitted)
            if lane.flush():
                open_at_the_end = lane.emitted[before:]
                assert all(s.gentime == pytest.approx(6.0) for s in open_at_the_end)
            assert lane.flush() == []
            with pytest.raises(LabanError, match="flushed"):
                lane.push(rows)
        assert open_at_the_end, name


def test_bad_rows_are_refused_and_the_stream_goes_on() -> None:
    network, rows = eager("matr"), stream(1)
    lane, clean = Lane(network, GRID, "camera 2"), Lane(network, GRID)
    broken = rows.copy()
    broken[25, 3] = np.nan
    lane.push(rows[:20])
    with pytest.raises(LabanError, match=r"stream camera 2: row 25 holds NaN"):
        lane.push(broken[20:40])
    assert lane.count == 20  # nothing was taken
    lane.push(broken[20:25])
    lane.skip(1)
    lane.push(broken[26:])
    repaired = rows.copy()
    repaired[25] = rows[24]
    clean.push(repaired)
    assert lane.emitted == clean.emitted
    with pytest.raises(LabanError, match=r"camera 2: rows from 60 on are 5 wide; accepted: 6"):
        lane.push(rows[:, :5])
    with pytest.raises(LabanError, match=r"rows from 60 on come at 25 a second .*accepted: 10"):
        lane.push(Features(rows, FrameGrid(25.0, 60), ""))
    with pytest.raises(LabanError, match="nothing|taken"):
        push_together([lane, clean], [rows, broken])
    assert lane.count == clean.count == 60


def test_a_lane_before_its_first_row() -> None:
    lane = Lane(eager("hat"), GRID)
    assert lane.flush() == []
    assert lane.timeline() == Timeline((), 0.0)
    assert np.isnan(lane.latency.percentile(99))


def test_matr_learns_motifs_and_closes_the_last(tmp_path: Path) -> None:
    data = toy_set(0)
    config = MATRConfig(window=16, memory=2, queries=3, back=6, ahead=6, layers=1,
                        encoder=WindowConfig(width=48, hidden=64, layers=1))  # fmt: skip
    config = replace(config, moments=replace(config.moments, size=6, moments=8),
                     training=replace(config.training, steps=130, lr=4e-3))  # fmt: skip
    network = fit_matr(data, config, tmp_path, seed=0)
    found = detect_together(network, {v.name: v.features for v in data.test})
    scores = evaluate_online({v.name: v.truth for v in data.test}, found)
    assert scores.f1 > 0.7
    assert -0.2 < scores.delay < 0.5
    cut = [_cut(video.features, video.truth.segments[-1]) for video in data.test]
    closed = [
        any(s.gentime == pytest.approx(lane.now) for s in lane.flush())
        for lane in map(lambda c: _played(network, c), cut)
    ]
    assert np.mean(closed) > 0.4


def _cut(features: Features, last: Segment) -> Features:
    """The stream up to three quarters of its last segment."""
    rows = round(10 * (last.start + 0.75 * last.seconds))
    return Features(features.values[:rows], FrameGrid(10.0, rows), "")


def _played(network: OnlineSystem, features: Features) -> Lane:
    lane = Lane(network, features.grid)
    lane.push(features)
    return lane


def test_action_switch_learns_motifs(tmp_path: Path) -> None:
    data = toy_set(0)
    config = ActionSwitchConfig(width=32, longest=64)
    config = replace(config, moments=replace(config.moments, block=96, size=6),
                     training=replace(config.training, steps=100, lr=8e-3))  # fmt: skip
    network = fit_switch(data, config, tmp_path, seed=0, choose=False)
    found = detect_together(network, {v.name: v.features for v in data.test})
    assert evaluate_online({v.name: v.truth for v in data.test}, found).f1 > 0.6


def test_switches_take_turns() -> None:
    spans = torch.tensor([[[0.0, 3.0], [3.0, 6.0], [5.0, 8.0], [5.5, 7.0]]]) - 0.5
    states = switch_states(spans, torch.tensor([[0, 1, 2, 2]]), 9, 2)
    assert states.tolist() == [
        [1, 1, 1, 2, 2, 3, 1, 1, 0]
    ]  # touching segments change hands; the fourth finds none free


def test_suppressor_targets_are_the_best_moments() -> None:
    scores, spans = np.zeros((6, 2)), np.zeros((6, 2, 2))
    scores[2:6, 1] = (0.3, 0.8, 0.7, 0.2)
    spans[2:6, 1] = ((0, 2), (0, 3), (0, 4), (2, 6))
    speak = best_moments(Heard(scores, spans, np.array([[0.0, 3.2]]), np.array([1])))
    assert np.argwhere(speak).tolist() == [[3, 1], [4, 1]]


def test_hungarian_f1_equals_all_permutations() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        found, true = ([_random(rng) for _ in range(int(rng.integers(1, 5)))] for _ in range(2))
        pairs = matched(found, true, tiou=0.3)
        short, long = sorted((found, true), key=len)
        best = max(
            sum(_iou(a, b) for a, b in zip(short, order, strict=True)) for order in permutations(long, len(short))
        )
        options = [[(a, b) for a, b in zip(short, order, strict=True) if _iou(a, b) >= 0.3]
                   for order in permutations(long, len(short))
                   if sum(_iou(a, b) for a, b in zip(short, order, strict=True)) == pytest.approx(best)]  # fmt: skip
        assert len(pairs) in {len(option) for option in options}


def _random(rng: np.random.Generator) -> Segment:
    start = float(rng.uniform(0, 4))
    return Segment(start, start + float(rng.uniform(0.5, 4)), CLASSES[int(rng.integers(2))])


def _iou(one: Segment, other: Segment) -> float:
    shared = min(one.end, other.end) - max(one.start, other.start)
    same = one.label == other.label
    return max(shared, 0.0) / (one.seconds + other.seconds - max(shared, 0.0)) if same else 0.0


def test_measures_by_hand() -> None:
    truth = {"a": Timeline((Segment(0, 2, "hop"), Segment(4, 6, "nod"))), "b": Timeline((Segment(1, 3, "hop"),))}
    said = {"a": Timeline((Segment(0, 2, "hop", score=0.9, gentime=2.5), Segment(4.2, 6, "hop", score=0.8, gentime=6.1),
                           Segment(0.1, 2, "hop", score=0.3, gentime=2.7)))}  # fmt: skip
    scores = evaluate_online(truth, said)
    assert (scores.right, scores.truths, scores.emitted) == (1, 3, 3)
    assert scores.f1 == pytest.approx(1 / 3)
    assert scores.f1_any == pytest.approx(2 / 3)
    assert scores.delay == pytest.approx(0.5)
    assert scores.average_precision == pytest.approx(0.25)  # half of the hops, no nod
    assert start_precision(truth, said, 1.0) == pytest.approx(0.25)
    assert area(np.array([False, True, True]), 4) == pytest.approx(2 * (2 / 3) / 4)
    quarter = {"a": Timeline((Segment(0, 0.25, "hop"),))}
    assert evaluate_online(quarter, {"a": Timeline((Segment(0, 0.1, "hop"),))}).right == 0  # no union of at least 1 s
    with pytest.raises(LabanError, match="no instance"):
        evaluate_online({"a": Timeline()}, {})


def test_a_threshold_is_chosen_from_replays_that_equal_the_run() -> None:
    data = toy_set(1, train=1, measured=3)
    torch.manual_seed(3)
    config = MATRConfig(window=8, memory=2, queries=4, encoder=ENCODER, layers=1, back=6, ahead=3)
    network = MATR(config, data.width, data.classes).eval()
    torch.nn.init.normal_(network.class_head.weight, std=1.0)
    truths = {video.name: video.truth for video in data.tune}
    chosen = choose_threshold(network, data.tune, (0.05, 0.2, 0.6))
    assert chosen == pytest.approx(float(network.threshold))
    worth = {}
    for threshold in (0.05, 0.2, 0.6):
        network.threshold.fill_(threshold)
        scores = evaluate_online(truths, {v.name: detect_online(network, v.features, v.name) for v in data.tune})
        worth[threshold] = scores.f1 + scores.average_precision
    assert worth[chosen] == pytest.approx(max(worth.values()))


def test_a_suppressor_learns_after_its_network(tmp_path):
    data = toy_set(train=6, measured=2)
    few = replace(HATConfig().training, steps=3)
    config = replace(HATConfig(), training=few, suppressor=replace(SuppressorConfig(), training=few))
    network = fit_hat(data, config, tmp_path, seed=0, choose=False)
    torch.manual_seed(0)
    fresh = HAT(network.config, data.width, data.classes)
    before, after = fresh.suppressor.state_dict(), network.suppressor.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert isinstance(detect_online(network, data.test[0].features), Timeline)


def test_spliced_streams_hold_whole_segments_as_they_were() -> None:
    videos = training_videos(toy_set())
    config = MomentConfig(size=4, moments=3, past=32, block=32, noise=0.0, spliced=1.0, over=0.0)
    known = {(int(label), video.values[round(a + 0.5) : round(b + 0.5)].tobytes())
             for video in videos for (a, b), label in zip(video.segments, video.labels, strict=True)}  # fmt: skip
    drawn, whole, streams = MomentBatches(videos, config), 0, {video.values.tobytes() for video in videos}
    for seed in range(5):
        stream = drawn._spliced(200, np.random.default_rng(seed))
        assert len(stream.values) >= 200 and stream.values.tobytes() not in streams
        for (a, b), label in zip(stream.segments, stream.labels, strict=True):
            assert (int(label), stream.values[round(a + 0.5) : round(b + 0.5)].tobytes()) in known
            whole += 1
    assert whole > 20
    assert torch.equal(drawn(7).rows, MomentBatches(videos, config)(7).rows)
    assert not torch.equal(drawn(7).rows, MomentBatches(videos, replace(config, spliced=0.0))(7).rows)


def test_streams_are_cut_between_segments_alone() -> None:
    spans = np.array([[2.5, 6.5], [6.5, 8.5]])
    video = TrainingVideo(np.zeros((12, 1), np.float32), spans, np.array([0, 1]))
    assert free_cuts(video).tolist() == [0, 1, 2, 3, 7, 9, 10, 11, 12]


def test_online_presets_fit_their_sets() -> None:
    for system in ("matr", "oat", "hat", "action-switch"):
        assert len({repr(online_preset(system, name)) for name in ("toy", "mocap", "gym")}) == 3
    with pytest.raises(LabanError, match="'mat'; accepted: matr, oat, hat, action-switch"):
        online_preset("mat", "gym")
