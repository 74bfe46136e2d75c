"""Evaluators of temporal localization: hand-computed values, brute force, and the stored results of official code."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_localization.data.corpus import Corpus, Video
from action_localization.data.layouts import read_corpus
from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.evaluation.epic import epic_tasks, evaluate_epic
from action_localization.evaluation.files import read_detections, read_epic_detections
from action_localization.evaluation.instances import Instances
from action_localization.evaluation.moments import TIOUS, evaluate_highlights, evaluate_moments, ranking_precision
from action_localization.evaluation.proposals import evaluate_proposals
from action_localization.evaluation.protocols import PROTOCOLS, Protocol, protocol_named
from action_localization.evaluation.report import detection_report
from action_localization.evaluation.retrieval import evaluate_retrieval
from action_localization.evaluation.segmentation import evaluate_segmentation, frame_labels
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline

HALF = Protocol("half", (0.5,))
KIT = Protocol("kit", (0.5,), "thumos-kit")


def rows(*items):
    """(video, start, end, score=1, label="a") as instances."""
    full = [(*item, *(1.0, "a")[len(item) - 3 :]) for item in items]
    return Instances.from_rows([(video, label, start, end, score) for video, start, end, score, label in full])


def walk(truth, detections, tiou):
    """The ActivityNet rule for one class and threshold, step by step, with its ties."""
    order = np.argsort(detections.score, kind="stable")[::-1]
    taken, right = set(), []
    for i in order:
        best = []
        for j in range(len(truth)):
            if truth.videos[truth.video[j]] != detections.videos[detections.video[i]]:
                continue
            inter = max(min(truth.end[j], detections.end[i]) - max(truth.start[j], detections.start[i]), 0)
            union = (truth.end[j] - truth.start[j]) + (detections.end[i] - detections.start[i]) - inter
            value = inter / union if union else np.inf
            if value >= tiou and j not in taken:
                best.append((value, j))
        right.append(bool(best))
        if best:
            taken.add(max(best)[1])
    return area(right, len(truth))


def area(right, positives):
    """Interpolated average precision of a list of right and wrong."""
    precision = [sum(right[: i + 1]) / (i + 1) for i in range(len(right))]
    return sum(max(precision[i:]) for i in range(len(right)) if right[i]) / positives


# ------------------------------------------------------------------------------------------------ ActivityNet rule


def test_ap_of_a_set_small_enough_to_compute_by_hand():
    truth = rows(("v", 0, 10), ("v", 20, 30), ("w", 0, 10))
    found = rows(("v", 0, 10, 0.9), ("v", 1, 10, 0.8), ("v", 21, 30, 0.7), ("w", 50, 60, 0.6))
    scores = evaluate_detection(truth, found, HALF)
    # right, wrong (its truth is taken), right, wrong: precision 1 and 2/3 at recall 1/3 and 2/3
    assert scores.average == pytest.approx((1 + 2 / 3) / 3, abs=1e-12)
    assert scores.counts.truths == 3 and scores.counts.detections == 4


def test_a_detection_falls_back_on_a_free_truth_that_it_overlaps_less():
    truth = rows(("v", 0, 10), ("v", 2, 12))
    found = rows(("v", 0, 10, 0.9), ("v", 0.5, 10.5, 0.8))
    assert evaluate_detection(truth, found, HALF).average == 1
    kit = evaluate_detection(truth, found, KIT)
    assert kit.average == 1


@pytest.mark.parametrize("protocol", [HALF, KIT])
def test_no_detections_score_nothing_and_do_not_crash(protocol):
    truth = rows(("v", 0, 10), ("w", 0, 10))
    empty = Instances.from_rows([], ["v"])
    assert evaluate_detection(truth, empty, protocol).average == 0
    assert evaluate_detection(truth, rows(("other", 0, 10)), protocol).average == 0


def test_unknown_labels_are_ignored_and_other_videos_are_wrong():
    truth = rows(("v", 0, 10))
    found = rows(("v", 0, 10, 0.5), ("v", 0, 10, 0.9, "b"), ("w", 0, 10, 0.8))
    scores = evaluate_detection(truth, found, HALF)
    assert scores.average == 0.5
    assert (scores.counts.unknown, scores.counts.elsewhere) == (1, 1)


def test_classes_count_equally_and_one_without_detections_counts_as_zero():
    truth = rows(("v", 0, 10), ("v", 20, 30), ("v", 40, 50, 1.0, "b"))
    scores = evaluate_detection(truth, rows(("v", 0, 10), ("v", 20, 30)), HALF)
    assert scores.classes == ("a", "b")
    assert scores.ap.tolist() == [[1.0, 0.0]] and scores.average == 0.5


def test_equal_scores_are_taken_in_reverse_order_of_the_file():
    truth = rows(("v", 0, 10))
    wrong_last = rows(("v", 0, 10, 0.5), ("v", 50, 60, 0.5))
    wrong_first = rows(("v", 50, 60, 0.5), ("v", 0, 10, 0.5))
    assert evaluate_detection(truth, wrong_last, HALF).average == 0.5
    assert evaluate_detection(truth, wrong_first, HALF).average == 1
    assert evaluate_detection(truth, wrong_last, KIT).average == 1
    assert evaluate_detection(truth, wrong_first, KIT).average == 0.5


def test_the_threshold_itself_is_enough_but_not_for_the_kit():
    truth, found = rows(("v", 0, 10)), rows(("v", 0, 5))
    assert evaluate_detection(truth, found, HALF).average == 1
    assert evaluate_detection(truth, found, KIT).average == 0


def test_truths_of_no_length_match_detections_of_no_length_as_in_the_official_code():
    truth = rows(("v", 5, 5), ("v", 0, 10))
    assert evaluate_detection(truth, rows(("v", 40, 40, 0.9), ("v", 0, 10)), HALF).average == 1
    assert evaluate_detection(truth, rows(("v", 4, 6, 0.5), ("v", 0, 10)), HALF).average == 0.5
    assert evaluate_detection(truth, rows(("v", 0, 10)), replace(HALF, merge=1e-3)).average == 1


def test_repeated_truths_are_merged_where_the_protocol_says_so():
    truth = rows(("v", 0, 10), ("v", 0.0005, 10), ("v", 0, 10, 1.0, "b"), ("w", 0, 10))
    found = rows(("v", 0, 10), ("w", 0, 10), ("v", 0, 10, 1.0, "b"))
    assert evaluate_detection(truth, found, HALF).ap.tolist() == [[pytest.approx(2 / 3), 1.0]]
    merged = evaluate_detection(truth, found, replace(HALF, merge=1e-3))
    assert merged.average == 1 and merged.counts.truths == 3


def test_videos_that_the_protocol_leaves_out_do_not_count():
    truth, found = rows(("v", 0, 10), ("w", 0, 10)), rows(("v", 0, 10), ("w", 50, 60, 2.0))
    assert evaluate_detection(truth, found, HALF).average == 0.25
    assert evaluate_detection(truth, found, replace(HALF, without=("w",))).average == 1


def test_timelines_and_columns_give_the_same():
    truth = {"v": Timeline((Segment(0, 10, "a"), Segment(20, 30, "b"))), "w": Timeline((), 5)}
    found = {"v": Timeline((Segment(0, 9, "a", score=0.4), Segment(19, 33, "b", score=0.7)))}
    scores = evaluate_detection(truth, found, "thumos14")
    columns = evaluate_detection(Instances.from_timelines(truth), Instances.from_timelines(found), "thumos14")
    assert np.array_equal(scores.ap, columns.ap) and scores.counts == columns.counts
    assert scores.counts.videos == 2
    assert scores.at(0.7) == scores.mean_ap[-1]
    assert "thumos14" in scores.table() and f"{100 * scores.average:.2f}" in scores.table()
    with pytest.raises(LabanError, match="accepted"):
        scores.at(0.95)


@st.composite
def crowded(draw):
    """Truths and detections of one class on a coarse grid, where ties of overlap and score abound."""
    grid = st.integers(0, 8)
    span = st.tuples(st.sampled_from("vw"), grid, st.integers(0, 5))
    truths = draw(st.lists(span, min_size=1, max_size=7))
    found = draw(st.lists(st.tuples(span, st.integers(0, 3)), max_size=14))
    return (
        rows(*[(video, float(start), float(start + length)) for video, start, length in truths]),
        rows(*[(video, float(start), float(start + length), float(score)) for (video, start, length), score in found]),
    )


@given(crowded(), st.sampled_from([0.1, 0.3, 0.5, 0.75, 0.95]))
def test_the_rule_equals_a_plain_walk(sets, tiou):
    truth, found = sets
    ours = evaluate_detection(truth, found, Protocol("one", (tiou,))).average
    assert ours == pytest.approx(walk(truth, found, tiou), abs=1e-12)


def test_thresholds_together_equal_thresholds_apart():
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 50, (2, 300))
    label, video = rng.integers(0, 4, (2, 300)), rng.integers(0, 5, (2, 300))
    sets = [
        Instances.from_rows(
            (f"v{v}", f"c{c}", s, s + length, score)
            for v, c, s, length, score in zip(
                video[k], label[k], start[k], rng.uniform(1, 9, 300), rng.random(300), strict=True
            )
        )
        for k in range(2)
    ]
    tious = PROTOCOLS["activitynet"].tious
    together = evaluate_detection(*sets, "activitynet").ap
    apart = np.concatenate([evaluate_detection(*sets, Protocol("one", (t,))).ap for t in tious])
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-14)
    for k, tiou in enumerate(tious[:3]):
        one = [
            walk(sets[0].keep(sets[0].with_label(c)), sets[1].keep(sets[1].with_label(c)), tiou)
            for c in ("c0", "c1", "c2", "c3")
        ]
        np.testing.assert_allclose(together[k], one, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_draws_without_any_truth_do_not_spoil_the_interval():
    found = rows(("v0", 0, 10))
    truth = Instances.from_rows([("v0", "a", 0.0, 10.0, 1.0)], [f"v{i}" for i in range(6)])
    drawn = bootstrap_detection(truth, found, HALF, repeats=50)
    assert np.isnan(drawn).any() and np.nanmin(drawn) == np.nanmax(drawn) == 1
    empty = Video(10.0, "", Timeline())
    videos = {"v0": Video(10.0, "", Timeline((Segment(0.0, 10.0, "a"),))), **{f"v{i}": empty for i in range(1, 6)}}
    report = detection_report(Corpus("toy", ("a",), videos), {"ours": found}, HALF, repeats=50)
    assert report.rows[0].interval.tolist() == [[1, 1], [1, 1]]


def test_bootstrap_draws_videos_and_surrounds_the_score():
    rng = np.random.default_rng(0)
    truth = rows(*[(f"v{i}", 0.0, 10.0) for i in range(40)])
    found = rows(*[(f"v{i}", float(rng.uniform(0, 6)), 10.0, float(rng.random())) for i in range(40)])
    drawn = bootstrap_detection(truth, found, HALF, repeats=200, seed=1)
    assert drawn.shape == (200, 1)
    low, high = np.percentile(drawn[:, 0], [2.5, 97.5])
    assert low < evaluate_detection(truth, found, HALF).average < high
    assert np.array_equal(drawn, bootstrap_detection(truth, found, HALF, repeats=200, seed=1))
    ambiguous = Instances.from_rows([("v0", "a", 0.0, 10.0, 1.0), ("v0", "Ambiguous", 20.0, 30.0, 1.0)])
    assert (
        bootstrap_detection(ambiguous, rows(("v0", 0, 10), ("v0", 20, 30, 2.0)), KIT, repeats=3).tolist() == [[1]] * 3
    )


def test_wrong_input_is_answered_with_the_remedy():
    with pytest.raises(LabanError, match="thumos14"):
        protocol_named("thumos_14")
    with pytest.raises(LabanError, match="no instance"):
        evaluate_detection(Instances.from_rows([], ["v"]), rows(("v", 0, 10)), HALF)
    with pytest.raises(LabanError, match="finite"):
        Instances.from_rows([("v", "a", 0.0, float("nan"), 1.0)])


# ----------------------------------------------------------------------------------------------------- THUMOS14 kit


def test_the_kit_lets_truths_choose_and_does_not_interpolate():
    truth = rows(("v", 0, 10), ("v", 20, 30))
    found = rows(("v", 40, 50, 0.9), ("v", 0, 10, 0.8), ("v", 21, 30, 0.7), ("v", 20, 30, 0.6))
    # the second truth takes the better overlap although another detection is more certain: wrong right wrong right
    assert evaluate_detection(truth, found, KIT).average == pytest.approx((1 / 2 + 2 / 4) / 2, abs=1e-12)


def test_the_kit_leaves_out_unmatched_detections_that_touch_an_ambiguous_interval():
    truth = Instances.from_rows([("v", "a", 0.0, 10.0, 1.0), ("v", "Ambiguous", 40.0, 45.0, 1.0)])
    found = rows(("v", 44, 60, 0.9), ("v", 45, 60, 0.85), ("v", 0, 10, 0.8))
    assert evaluate_detection(truth, found, KIT).average == pytest.approx(1 / 2, abs=1e-12)
    assert evaluate_detection(truth, found, HALF).average == pytest.approx(1 / 3, abs=1e-12)
    assert evaluate_detection(truth, found, HALF).classes == ("a",)


def test_kit_detections_are_read_and_errors_name_the_line(tmp_path):
    path = tmp_path / "res.txt"
    path.write_text("video_test_0000004.mp4 0.2 1.1 23 0.9\nvideo_test_0000004  11.4 12.2 23 1e-3\n")
    found = read_detections(path)
    assert found.labels == ("CricketBowling",) and found.videos == ("video_test_0000004",)
    assert found.score.tolist() == [0.9, 0.001]
    path.write_text("video_test_0000004 0.2 1.1 23 0.9\nvideo_test_0000004 0.2 1.1 8 0.9\n")
    with pytest.raises(LabanError, match=r"res\.txt:2: class is 8; accepted: 7, 9"):
        read_detections(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"label": "a", "score": 1, "segment": [3, 2]}, "end is before"),
        ({"label": "a", "score": 1, "segment": [3]}, "segment is"),
        ({"label": "a", "segment": [1, 2]}, "score is None"),
        ({"score": 1, "segment": [1, 2]}, "label is None"),
        (7, "is int"),
    ],
)
def test_bad_detections_are_named(tmp_path, entry, message):
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"results": {"v": [{"label": "a", "score": 1, "segment": [0, 1]}, entry]}}))
    with pytest.raises(LabanError, match=rf"results\.v\[1\].*{message}"):
        read_detections(path)


# ------------------------------------------------------------------------------------------- proposals and retrieval


def recall_curve(truth, proposals, most, tious):
    """Average recall as the official evaluator walks it, proposal by proposal."""
    videos = [v for v in truth.videos if (truth.video == truth.videos.index(v)).any()]
    ratio = most * len(videos) / len(proposals)
    kept = {}
    for video in videos:
        index = [i for i in range(len(proposals)) if proposals.videos[proposals.video[i]] == video]
        index.sort(key=lambda i: (-proposals.score[i], -i))
        kept[video] = index[: min(int(len(index) * ratio), len(index))]
    total = sum(map(len, kept.values()))
    points = np.arange(1, 101) / 100.0 * (most * len(videos) / total)
    recall = np.zeros((len(tious), 100))
    for row, tiou in enumerate(tious):
        for column, share in enumerate(points):
            for j in range(len(truth)):
                index = kept[truth.videos[truth.video[j]]]
                for i in index[: int(min(int(len(index) * share), len(index)))]:
                    inter = min(truth.end[j], proposals.end[i]) - max(truth.start[j], proposals.start[i])
                    union = truth.end[j] - truth.start[j] + proposals.end[i] - proposals.start[i] - max(inter, 0)
                    if max(inter, 0) / union >= tiou:
                        recall[row, column] += 1
                        break
    return recall / len(truth), points * total / len(videos)


@pytest.mark.parametrize("most", [4, 10])
def test_the_recall_curve_equals_a_plain_walk(most):
    rng = np.random.default_rng(most)
    truth = rows(*[(f"v{i % 4}", float(s), float(s + 8)) for i, s in enumerate(rng.uniform(0, 60, 11))])
    start = rng.uniform(0, 60, 50)
    found = rows(*[(f"v{i % 5}", float(s), float(s + 7), float(rng.integers(0, 9))) for i, s in enumerate(start)])
    scores = evaluate_proposals(truth, found, most=most, tious=(0.3, 0.5, 0.7))
    recall, numbers = recall_curve(truth, found, most, (0.3, 0.5, 0.7))
    np.testing.assert_allclose(scores.recall, recall, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.numbers, numbers, rtol=0, atol=1e-12)
    mean = recall.mean(axis=0)
    assert scores.auc == pytest.approx(np.trapezoid(mean, numbers) / numbers[-1], abs=1e-12)
    assert scores.at(most) == mean[-1] and (np.diff(scores.average_recall) >= 0).all()


def test_recall_by_hand():
    truth = rows(("v", 0, 10), ("v", 20, 30))
    found = rows(("v", 0, 10, 0.9), ("v", 20, 26, 0.8))
    scores = evaluate_proposals(truth, found, most=2, tious=(0.5, 0.7))
    assert scores.at(1) == 0.5 and scores.at(2) == 0.75  # 1 of 2 at both; then 2 of 2 at .5 only
    with pytest.raises(LabanError, match="accepted"):
        scores.at(1.999)
    with pytest.raises(LabanError, match="proposals"):
        evaluate_proposals(truth, Instances.from_rows([], ["v"]))


def test_recall_at_kx_by_hand():
    truth = rows(("v", 0, 10), ("v", 20, 30), ("w", 0, 10), ("v", 0, 10, 1.0, "b"))
    found = rows(("v", 50, 60, 0.9), ("v", 20, 30, 0.8), ("v", 0, 10, 0.7), ("w", 0, 5, 0.9), ("w", 0, 10, 0.8))
    scores = evaluate_retrieval(truth, found, tious=(0.5,), tops=(1, 2))
    assert scores.at(1, 0.5) == 1 / 4  # v: one of the first two; w: exactly .5 is not above; b has no answer
    assert scores.at(2, 0.5) == 3 / 4
    by_class = evaluate_retrieval(truth, found, tious=(0.5,), tops=(1, 2), rule="opentad")
    assert by_class.at(1, 0.5) == pytest.approx((2 / 3 + 0) / 2)
    with pytest.raises(LabanError):
        scores.at(3, 0.5)


@given(crowded(), st.sampled_from([0.3, 0.5, 0.7]))
def test_recall_at_kx_equals_a_plain_walk(sets, tiou):
    truth, found = sets
    hits = {1: 0, 3: 0}
    for j in range(len(truth)):
        video = truth.videos[truth.video[j]]
        size = sum(truth.videos[v] == video for v in truth.video)
        answers = [i for i in range(len(found)) if found.videos[found.video[i]] == video]
        answers.sort(key=lambda i: -found.score[i])
        for top in hits:
            for i in answers[: top * size]:
                inter = min(truth.end[j], found.end[i]) - max(truth.start[j], found.start[i])
                hull = max(truth.end[j], found.end[i]) - min(truth.start[j], found.start[i])
                if hull > 0 and max(inter, 0) / hull > tiou:
                    hits[top] += 1
                    break
    scores = evaluate_retrieval(truth, found, tious=(tiou,), tops=(1, 3))
    assert scores.recall[0].tolist() == pytest.approx([hits[1] / len(truth), hits[3] / len(truth)])


# ------------------------------------------------------------------------------------------------------------- EPIC


def test_epic_scores_verbs_nouns_and_pairs():
    truth = epic_tasks(rows(("v", 0, 10, 1.0, "0,2"), ("v", 20, 30, 1.0, "0,5")))
    found = epic_tasks(rows(("v", 0, 10, 0.9, "0,5"), ("v", 20, 30, 0.8, "0,5")))
    scores = evaluate_epic(truth, found)
    assert scores["verb"].average == 1
    assert scores["noun"].average == pytest.approx((0 + 1 / 2) / 2)
    assert scores["action"].average == pytest.approx((0 + 1 / 2) / 2)
    assert scores["action"].classes == ("2", "5") and scores["verb"].tious[0] == 0.1
    with pytest.raises(LabanError, match="VERB,NOUN"):
        epic_tasks(rows(("v", 0, 10)))


def test_epic_as_published_lets_an_absent_class_stand_for_another():
    truth = epic_tasks(rows(("v", 0, 10, 1.0, "3,3")))
    found = epic_tasks(rows(("v", 0, 10, 0.8, "3,3"), ("v", 50, 60, 0.9, "0,0")))
    assert evaluate_epic(truth, found)["verb"].average == 1
    assert evaluate_epic(truth, found, as_published=True)["verb"].average == 0.5


def test_epic_submissions_are_read(tmp_path):
    path = tmp_path / "epic.json"
    entry = {"verb": 0, "noun": 2, "action": "1,3", "score": 0.5, "segment": [1.0, 2.0]}
    path.write_text(json.dumps({"version": "0.2", "results": {"P01_11": [entry]}}))
    found = read_epic_detections(path)
    assert [found[task].labels for task in ("verb", "noun", "action")] == [("0",), ("2",), ("303",)]
    path.write_text(json.dumps({"results": {"P01_11": [entry | {"action": "1"}]}}))
    with pytest.raises(LabanError, match=r"P01_11\[0\]: action is '1'"):
        read_epic_detections(path)


# ----------------------------------------------------------------------------------------------------- segmentation


def test_segmentation_by_hand():
    truth = {"v": list("aaaabbbbcc"), "w": list("aabb")}
    found = {"v": list("aaabbbbbcb"), "w": list("aabb")}
    scores = evaluate_segmentation(truth, found)
    assert scores.accuracy == pytest.approx(100 * 12 / 14)
    assert scores.edit == pytest.approx((75 + 100) / 2)  # abcb to abc is one step of four
    assert scores.f1 == pytest.approx([100 * 10 / 11] * 3)  # the second b asks for the truth that is taken
    only_b = evaluate_segmentation(truth, found, background=("a", "c"))
    assert only_b.f1[0] == pytest.approx(100 * 4 / 5) and only_b.accuracy == scores.accuracy


def test_segmentation_refuses_what_does_not_fit():
    with pytest.raises(LabanError, match="no prediction"):
        evaluate_segmentation({"v": [0]}, {})
    with pytest.raises(LabanError, match="2 frames and the prediction 1"):
        evaluate_segmentation({"v": [0, 1]}, {"v": [0]})
    with pytest.raises(LabanError, match="labelled by"):
        evaluate_segmentation({"v": [0, 1]}, {"v": ["0", "1"]})
    nothing = evaluate_segmentation({"v": ["background"] * 3}, {"v": ["background"] * 3})
    assert (nothing.accuracy, nothing.edit, nothing.f1) == (100, 100, (0, 0, 0))


def test_timelines_become_frame_labels():
    timeline = Timeline((Segment(0, 1, "a"), Segment(2, 3, "b")), 4)
    assert frame_labels(timeline, FrameGrid(2, 8)) == ["a", "a", *["background"] * 2, "b", "b", *["background"] * 2]


# --------------------------------------------------------------------------------------------------- QVHighlights


def test_ranking_precision_by_hand():
    assert ranking_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert ranking_precision(np.array([True, False]), np.array([1.0, 1.0])) == 0.5
    assert ranking_precision(np.array([False, False]), np.array([1.0, 0.0])) == 0


def test_queries_and_answers_must_be_the_same():
    query = {"qid": 1, "relevant_windows": [[0, 10]]}
    answer = {"qid": 1, "pred_relevant_windows": [[0, 10, 0.9], [0, 5, 0.1]]}
    scores = evaluate_moments([query], [answer])
    assert scores["full"].average == 100 and scores["short"].recall_at_1 == (100.0,) * len(TIOUS)
    assert scores["long"].queries == 0
    with pytest.raises(LabanError, match="1 are missing"):
        evaluate_moments([query, {"qid": 2, "relevant_windows": []}], [answer])


# ------------------------------------------------------------------------------------------ stored official results


def load(path):
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        return json.load(stream)


@pytest.mark.data
def test_stored_detection_results_are_reproduced(data_folder):
    folder = data_folder / "annotations"
    entries = [
        e for e in load(folder / "reference_metrics.json")["entries"] if e["task"] == "temporal action detection"
    ]
    assert len(entries) == 2
    for entry in entries:
        database = load(folder / entry["ground_truth"].split(" (")[0])
        with gzip.open(folder / "activitynet" / "video_info_new.csv.gz", "rt") as stream:
            subset = {row["video"]: row["subset"] for row in csv.DictReader(stream)}
        truth = Instances.from_rows(
            (name[2:], annotation["label"], *annotation["segment"], 1.0)
            for name, video in database.items()
            if video.get("subset", subset.get(name)) == "validation"
            for annotation in video["annotations"]
        )
        scores = evaluate_detection(truth, read_detections(folder / entry["predictions"]), "activitynet")
        assert (scores.counts.truths, scores.counts.detections) == (entry["n_ground_truth"], entry["n_predictions"])
        digits = 6 if entry["n_predictions"] > 1000 else 15
        assert np.round(scores.mean_ap, digits).tolist() == np.round(entry["mAP"], digits).tolist()
        assert round(scores.average, digits) == round(entry["average_mAP"], digits)


@pytest.mark.data
def test_stored_segmentation_results_are_reproduced(data_folder):
    folder = data_folder / "annotations"
    entries = [e for e in load(folder / "reference_metrics.json")["entries"] if e["task"] == "action segmentation"]
    assert len(entries) == 2
    for entry in entries:
        runs = load(folder / entry["file"].split(" (")[0])
        frames = {
            key: {name: np.repeat(*np.array(video[key]).T) for name, video in runs.items()}
            for key in ("gt", "pred", "refined_pred")
        }
        for key in ("pred", "refined_pred"):
            scores = evaluate_segmentation(frames["gt"], frames[key], background=())
            stored = entry[key]
            assert [round(v, 4) for v in (scores.accuracy, scores.edit, *scores.f1)] == [
                stored["acc"], stored["edit"], *stored["f1@10,25,50"]
            ]  # fmt: skip


@pytest.mark.data
@pytest.mark.slow
def test_stored_moment_and_highlight_results_are_reproduced(data_folder):
    folder = data_folder / "annotations" / "qvhighlights"
    queries, answers = (
        [json.loads(line) for line in gzip.decompress((folder / name).read_bytes()).splitlines()]
        for name in ("highlight_val_release.jsonl.gz", "sample_val_preds.jsonl.gz")
    )
    stored = load(folder / "sample_val_preds_metrics_raw.json")
    for name, scores in evaluate_moments(queries, answers).items():
        assert [f"{v:.2f}" for v in (*scores.mean_ap, scores.average)] == [
            f"{v:.2f}" for v in stored[name]["MR-mAP"].values()
        ]
        assert [f"{v:.2f}" for v in scores.recall_at_1] == [f"{v:.2f}" for v in stored[name]["MR-R1"].values()]
    for name, highlights in evaluate_highlights(queries, answers).items():
        expected = stored[f"HL-min-{name}"]
        assert (round(highlights.mean_ap, 2), round(highlights.hit_at_1, 2)) == (
            expected["HL-mAP"],
            expected["HL-Hit1"],
        )


@pytest.mark.data
def test_the_truth_scores_full_marks_by_the_thumos_kit(data_folder, tmp_path):
    folder = data_folder / "annotations" / "thumos14"
    truth = read_corpus(folder / "evalkit_test_annotation.json").instances()
    perfect = truth.keep(~truth.with_label("Ambiguous"))
    scores = evaluate_detection(truth, perfect, "thumos14-kit")
    assert scores.average == 1 and scores.counts.truths == 3358 and len(scores.classes) == 20
    ambiguous = truth.keep(truth.with_label("Ambiguous")).relabelled(dict.fromkeys(truth.labels, "Diving"))
    both = Instances.from_rows(
        (one.videos[v], one.labels[c], s, e, score)
        for one, score in ((perfect, 0.5), (ambiguous, 0.9))
        for v, c, s, e in zip(one.video, one.label, one.start, one.end, strict=True)
    )
    assert evaluate_detection(truth, both, "thumos14-kit").at(0.5) > evaluate_detection(truth, both, "thumos14").at(0.5)
