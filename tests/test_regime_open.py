"""Open-vocabulary localization: labels, rows of words, T3AL, STOV-TAL, protocols, and `laban detect --labels`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_localization.data.lists import ClassSplit
from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.instances import Instances
from action_localization.open_vocabulary.labels import MOST, checked_labels, read_labels, sentence_of
from action_localization.open_vocabulary.proposals import (
    STOVTAL,
    Labelling,
    fit_stov,
    named,
    pieces,
    pseudo_labels,
    stov_detect,
)
from action_localization.open_vocabulary.protocol import draw_splits, externally_labelled, open_scores, zero_shot_words
from action_localization.open_vocabulary.rows import RowConfig, text_rows
from action_localization.open_vocabulary.similarity import FrameConfig, Words, frame_similarity, words_of
from action_localization.open_vocabulary.test_time import T3AL, agreeing, pick, t3al_detect
from action_localization.regimes.streams import RegimeSet, RegimeVideo, only, toy_set
from action_localization.spine.batches import BatchConfig
from action_localization.spine.systems import ActionFormer, EncoderConfig, HeadConfig
from laban.cli import run
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features, write_features
from models.motion_text.encoder import load_motion_text

FRAMES = FrameConfig(scale=20.0, threshold=0.5, smooth=1)


@pytest.fixture(scope="module")
def toy() -> RegimeSet:
    return toy_set(0, train=24, measured=8)


def planted(spans: list[tuple[int, int]], rows: int = 60, width: int = 8, seed: int = 0) -> Features:
    """Rows near the second axis, near the first inside the spans; unit length, 5 a second."""
    rng = np.random.default_rng(seed)
    values = np.eye(width)[np.ones(rows, int)] + 0.05 * rng.normal(size=(rows, width))
    for first, last in spans:
        values[first:last] += 3 * np.eye(width)[0]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Features(values.astype(np.float32), FrameGrid(5.0, rows), "test")


def axes(count: int = 1, others: int = 1, width: int = 8) -> Words:
    eye = np.eye(width, dtype=np.float32)
    return Words(tuple(f"label {i}" for i in range(count)), eye[:count], eye[count : count + others])


# ------------------------------------------------------------------------------------------------------------ labels


def test_labels_become_sentences_and_repeated_ones_count_once(tmp_path: Path) -> None:
    found = read_labels("waves, Sits  down, kicks a ball,, WAVES")
    assert found.names == ("waves", "Sits down", "kicks a ball")
    assert found.sentences["Sits down"] == "a person sits down"
    assert len(found.notes) == 1 and "'WAVES'" in found.notes[0]
    path = tmp_path / "labels.txt"
    path.write_text("jump rope\n\nsomebody, who waves\n", encoding="utf-8")
    assert read_labels(path).names == ("jump rope", "somebody, who waves")


@pytest.mark.parametrize(
    ("label", "sentence"),
    [("wave", "a person waves"), ("sprints", "a person sprints"), ("waving", "a person is waving"),
     ("tennis swing", "a person does tennis swing"), ("a man runs", "a man runs")],
)  # fmt: skip
def test_a_label_is_put_into_a_sentence(label: str, sentence: str) -> None:
    assert sentence_of(label) == sentence


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], "found no label"), (["", "  "], "found no label"), (["a" * 301], "301 letters; accepted: up to 300"),
     ([f"label {i}" for i in range(MOST + 1)], "10001 labels; accepted: up to 10000"), (["a\x07b"], "control")],
)  # fmt: skip
def test_bad_labels_are_refused(labels: list[str], said: str) -> None:
    with pytest.raises(LabanError, match=said):
        checked_labels(labels)


def test_labels_of_another_language_run_and_are_warned_of() -> None:
    warned = [bool(checked_labels([one]).notes) for one in ("winkt mit der hand", "走る", "plays floorball", "waves")]
    assert warned == [True, True, False, False]


def test_ten_thousand_labels_work() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(MOST, 8)).astype(np.float32)
    vectors[:, 0] = -np.abs(vectors[:, 0])
    vectors[4321] = np.eye(8)[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = Words(tuple(f"label {i}" for i in range(MOST)), vectors, np.zeros((0, 8), np.float32))
    for found in (frame_similarity(planted([(20, 40)]), words, replace(FRAMES, scale=80.0)),
                  t3al_detect(planted([(20, 40)]), words, T3AL(scale=80.0, steps=2, smooth=1))):  # fmt: skip
        best = max((s for s in found.segments if s.label == "label 4321"), key=lambda s: s.score)
        assert abs(best.start - 4) < 0.5 and abs(best.end - 8) < 0.5


# -------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_unit_vectors_of_what_lies_around_them() -> None:
    encoder = load_motion_text()
    still = np.tile(np.random.default_rng(0).normal(0.0, 0.3, (1, 22, 3)) + (0, 1, 0), (101, 1, 1)).astype(np.float32)
    rows = text_rows(still, encoder=encoder)
    assert rows.values.shape == (26, 256) and rows.grid.seconds == pytest.approx(5.2)
    assert np.allclose(np.linalg.norm(rows.values, axis=1), 1, atol=1e-5)
    changed = still.copy()
    changed[80:] += 0.3 * np.sin(np.arange(21))[:, None, None]
    far = text_rows(changed, config=RowConfig(4, (24,)), encoder=encoder)
    near = text_rows(still, config=RowConfig(4, (24,)), encoder=encoder)
    # rows whose window and its last velocity end before frame 79 are the same; the last are not
    assert np.allclose(far.values[:16], near.values[:16], atol=1e-4)
    assert (far.values[-3:] * near.values[-3:]).sum(1).max() < 0.999
    still[7, 3, 1] = np.nan
    with pytest.raises(LabanError, match="1 of 101 frames hold NaN or infinity, first 7"):
        text_rows(still, encoder=encoder)
    with pytest.raises(LabanError, match="windows of 4 to 200"):
        RowConfig(4, ())


# -------------------------------------------------------------------------------------------------------------- T3AL


def test_t3al_of_a_video_does_not_depend_on_other_videos() -> None:
    config = T3AL(lr=1e-2, steps=10, smooth=3)
    one, other = planted([(10, 25)], seed=1), planted([(30, 50)], seed=2)
    alone = t3al_detect(other, axes(1, 2), config)
    t3al_detect(one, axes(1, 2), config)
    torch.randn(5)
    assert t3al_detect(other, axes(1, 2), config) == alone
    best = max(alone.segments, key=lambda s: s.score)
    assert (best.label, best.start, best.end) == ("label 0", pytest.approx(6, abs=0.5), pytest.approx(10, abs=0.5))


def test_t3al_adapts() -> None:
    rows = planted([(10, 25)], seed=1)
    config = T3AL(smooth=1, scale=10.0)
    before, after = (t3al_detect(rows, axes(), replace(config, steps=n, lr=1e-2)).segments for n in (0, 30))
    assert max(s.score for s in after) != pytest.approx(max(s.score for s in before), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), st.integers(0, 12), st.integers(1, 12))
def test_no_row_is_both_a_positive_and_a_negative(values: list[float], jitter: int, picked: int) -> None:
    config = T3AL(jitter=jitter, picked=picked)
    high, low = pick(np.array(values), config, np.random.default_rng(0))
    assert not set(high.tolist()) & set(low.tolist())
    assert (len(high) > 0) == (len(low) > 0) == (len(values) > 1)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_short_videos_are_searched(rows: int) -> None:
    for method in (t3al_detect, frame_similarity):
        found = method(planted([(0, rows)], rows=rows), axes())
        assert all(0 <= s.start < s.end <= rows / 5 + 1e-6 for s in found.segments)


def test_rows_that_do_not_fit_are_refused() -> None:
    rows = planted([(10, 20)])
    rows.values[33, 2] = np.inf
    for method in (t3al_detect, frame_similarity):
        with pytest.raises(LabanError, match="1 of 60 entries hold NaN or infinity, first 33"):
            method(rows, axes())
        with pytest.raises(LabanError, match="rows and text of one encoder"):
            method(planted([]), axes(width=9))
    with pytest.raises(LabanError, match="at least one"):
        words_of((), lambda texts: np.zeros((len(texts), 8)))


def test_captions_drop_the_stretch_that_disagrees() -> None:
    spans = np.array([[0, 10], [20, 30], [40, 50]])
    said = np.tile(np.eye(8, dtype=np.float32)[0], (60, 1))
    said[20:30] = np.eye(8)[3]
    kept = agreeing(spans, planted([]), Features(said, FrameGrid(5.0, 60), "captions"), 0.75)
    assert kept.tolist() == [[0, 10], [40, 50]]


# ---------------------------------------------------------------------------------------------------------- STOV-TAL

SMALL = STOVTAL(
    system=ActionFormer(
        encoder=EncoderConfig(block="pool", width=24, levels=4, embed=1, stem=0, drop_path=0.0),
        head=HeadConfig(width=24, layers=1),
    ),
    batch=BatchConfig(size=8, frames=64, shrink=0.8), rounds=1,
)  # fmt: skip
SMALL = replace(SMALL, training=replace(SMALL.training, steps=80, lr=6e-3, warmup=5, ema=0.9),
                labelling=Labelling(scale=20.0, runs=None))  # fmt: skip


def test_people_s_labels_hold_no_entry_of_a_held_out_class(toy: RegimeSet) -> None:
    for video in toy.train[:10]:
        hidden = np.zeros(video.features.grid.frames, bool)
        for segment in video.truth.segments:
            if segment.label in toy.unseen:
                hidden[slice(*video.features.grid.span(segment.start, segment.end))] = True
        parts = pieces(video, toy.seen, 0.0)
        rows = np.concatenate([part.values for _, part, _ in parts])
        assert len(rows) == (~hidden).sum() and np.array_equal(rows, video.features.values[~hidden])
        assert {s.label for _, _, truth in parts for s in truth.segments} <= set(toy.seen)
        assert all(truth.duration == pytest.approx(part.grid.seconds) for _, part, truth in parts)


def test_streams_are_cut_where_held_out_actions_overlap() -> None:
    features = Features(np.arange(20, dtype=np.float32)[:, None], FrameGrid(1.0, 20), "test")
    truth = Timeline((Segment(2, 12, "new"), Segment(4, 6, "new"), Segment(11, 14, "new"), Segment(15, 18, "old")), 20)
    parts = pieces(RegimeVideo("v", features, truth), ("old",), 0.0)
    assert [part.values[:, 0].tolist() for _, part, _ in parts] == [[0, 1], [14, 15, 16, 17, 18, 19]]
    assert [(s.start, s.end) for _, _, own in parts for s in own.segments] == [(1, 4)]


def test_stov_learns_where_actions_are_and_text_names_unseen_ones(toy: RegimeSet, tmp_path: Path) -> None:
    network = fit_stov(toy, SMALL, tmp_path, seed=0)
    words = zero_shot_words(toy)
    assert words.labels == toy.unseen and len(words.others) == len(toy.seen)
    truth = {video.name: only(video, toy.unseen).truth for video in toy.test}
    found, random = {}, {}
    for video in toy.test:
        assert video.text is not None
        found[video.name] = stov_detect(network, video.features, video.text, words, SMALL)
        shuffled = replace(video.text, values=np.random.default_rng(0).permutation(video.text.values))
        random[video.name] = stov_detect(network, video.features, shuffled, words, SMALL)
        assert set(found[video.name].labels()) <= set(toy.unseen)
    ours, blind = (evaluate_detection(truth, rows, "thumos14").average for rows in (found, random))
    assert ours > 0.3 and ours > 3 * blind  # a held-out class, named by text that matters
    own = pseudo_labels(network, toy.train[0], toy.seen, SMALL)
    people = only(toy.train[0], toy.seen).truth.segments
    assert set(people) <= set(own.segments) and network.classes == ("action",)


def test_proposals_are_named_by_text_alone() -> None:
    found = Timeline((Segment(4, 8, "whatever", score=0.8), Segment(9, 11, "else", score=0.6)), 12)
    best = named(found, planted([(20, 40)]), axes(), Labelling(runs=None)).segments
    assert {s.label for s in best} == {"label 0"}
    assert max(best, key=lambda s: s.score).start == 4
    spoken = named(Timeline((), 12.0), planted([(20, 40)]), axes(), Labelling(runs=FRAMES)).segments
    assert spoken[0].start == pytest.approx(4)
    assert named(Timeline((), 12.0), planted([]), axes(), Labelling(runs=None)).segments == ()


# --------------------------------------------------------------------------------------------------------- protocols


def test_splits_share_classes_out() -> None:
    classes = tuple(f"class {i}" for i in range(20))
    for share, count in ((0.5, 10), (0.75, 15)):
        splits = draw_splits(classes, share)
        assert len(splits) == 10 and len({split.test for split in splits.values()}) > 1
        assert all(len(s.train) == count and set(s.train) | set(s.test) == set(classes) for s in splits.values())
        assert all(not set(split.train) & set(split.test) for split in splits.values())
    assert draw_splits(classes, 0.5) == draw_splits(classes, 0.5)
    with pytest.raises(LabanError, match="some on both sides"):
        draw_splits(("one",), 0.5)


def test_generalized_scores_have_a_harmonic_mean_and_zero_shot_ones_do_not() -> None:
    truth = {"v": Timeline((Segment(0, 2, "new"), Segment(4, 6, "old"), Segment(8, 10, "old")), 12)}
    split = ClassSplit(("old",), ("new",))
    novel = {"v": Timeline((Segment(0, 2, "new"),), 12)}
    assert open_scores(truth, novel, split, "thumos14") == open_scores(truth, novel, split, "thumos14")
    assert (open_scores(truth, novel, split, "thumos14").unseen, open_scores(truth, novel, split, "thumos14").seen) == (
        1.0, None,
    )  # fmt: skip
    both = {"v": Timeline((Segment(0, 2, "new"), Segment(4, 6, "old")), 12)}
    scores = open_scores(truth, both, split, "thumos14")
    assert scores.seen == pytest.approx(0.5) and scores.harmonic == pytest.approx(2 / 3)


def test_external_labels_replace_one_s_own() -> None:
    found = Instances.from_rows([("a", "x", 0, 1, 0.5), ("a", "y", 0, 1, 0.8), ("b", "x", 2, 3, 0.9)])
    new = externally_labelled(found, {"a": {"p": 0.5, "q": 0.25, "r": 0.1}})
    rows = [(new.labels[i], float(s)) for i, s in zip(new.label, new.score, strict=True)]
    assert rows == [("p", pytest.approx(0.4)), ("q", pytest.approx(0.2))]


def test_eval_open_names_sides_and_external_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {"database": {"v": {"subset": "test", "duration": 12, "annotations": [
        {"segment": [0, 2], "label": "new"}, {"segment": [4, 6], "label": "old"}]}}}  # fmt: skip
    found = {"results": {"v": [{"segment": [0, 2], "label": "new", "score": 0.5}]}}
    files = {"truth": truth, "found": found, "scores": {"v": {"new": 0.9, "old": 0.1}},
             "classes": {"S": {"0": {"train": ["old"], "test": ["new"]}}}}  # fmt: skip
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    command = ["eval", "open", str(tmp_path / "found.json"), "--annotations", str(tmp_path / "truth.json"), "--classes",
               str(tmp_path / "classes.json"), "--set", "S", "--bootstraps", "5", "--json"]  # fmt: skip
    assert run(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unseen"]["rows"][str(tmp_path / "found.json")]["mAP"]["average"] == 1 and "seen" not in said
    assert run([*command, "--video-scores", str(tmp_path / "scores.json")]) == 0
    said = json.loads(capsys.readouterr().out)
    external = f"{tmp_path / 'found.json'} + external classifier scores.json"
    assert external in said["unseen"]["rows"] and list(said["harmonic"]) == [external]
    assert run([*command[:-5], "--set", "T"]) != 0
    assert "accepted: S" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- commands


def rows_file(folder: Path, extractor: str = "motion_text/24+48") -> Path:
    """Rows in which somebody first stands and then waves, as the embedded encoder's words for it."""
    vectors = load_motion_text().embed_text(["a person stands still", "a person waves"])
    values = vectors[np.repeat([0, 1, 0], [25, 15, 20])]
    write_features(Features(values.astype(np.float32), FrameGrid(20.0, 60, 4, 4), extractor), folder / "rows.npz")
    return folder / "rows.npz"


@pytest.mark.parametrize("method", ["t3al", "frame"])
def test_detect_finds_what_the_labels_say(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rows_file(tmp_path)
    command = ["detect", str(path), "--labels", "waves, tanzt wie verrückt", "--method", method, "-o",
               str(tmp_path / "found.json"), "--json"]  # fmt: skip
    assert run(command) == 0
    output = capsys.readouterr()
    best = json.loads(output.out)["segments"][0]
    assert best["label"] == "waves" and abs(best["start"] - 5) < 1 and abs(best["end"] - 8) < 1
    assert "not English" in output.err and (tmp_path / "found.json").is_file()


def test_detect_searches_motions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standing = np.random.default_rng(1).normal(0, 0.2, (1, 22, 3)) + (0, 1, 0)
    np.save(tmp_path / "still.npy", np.tile(standing, (60, 1, 1)))
    command = ["detect", str(tmp_path / "still.npy"), "--labels", "swims", "-o", str(tmp_path / "f.json"), "--json"]
    assert run(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["people"] == 1 and {s["label"] for s in said["segments"]} <= {"swims"}


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--labels", " , "], "found no label"), (["--labels", "waves", "--method", "magic"], "accepted: stov-tal, t3al"),
     (["--method", "t3al"], "goes with --labels alone"), (["--labels", "no.txt"], "no such file"),
     (["--labels", "waves", "--weights", "w.pt"], "its words are embedded")],
)  # fmt: skip
def test_detect_refuses(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert run(["detect", str(rows_file(tmp_path)), *options]) == 2
    assert said in capsys.readouterr().err


def test_features_without_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", str(rows_file(tmp_path, "x3d_s")), "--labels", "waves"]) == 2
    assert "which has no words" in capsys.readouterr().err
    assert run(["detect", str(rows_file(tmp_path, "open_clip:ViT-B-32")), "--labels", "waves"]) == 2
    assert "--weights FILE" in capsys.readouterr().err
