"""`laban eval detect --measure`: average recall and recall@kx on the command line equal the evaluators."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from action_localization.data.layouts import read_corpus
from action_localization.evaluation.files import UNLABELLED, read_detections
from action_localization.evaluation.measures import measure_report, trivial_proposals
from action_localization.evaluation.proposals import bootstrap_proposals, evaluate_proposals
from action_localization.evaluation.protocols import protocol_named
from action_localization.evaluation.retrieval import bootstrap_retrieval, evaluate_retrieval
from action_localization.evaluation.segmentation import bootstrap_segmentation, evaluate_segmentation
from laban.cli import run
from laban.errors import LabanError

VIDEOS = 8


def files(folder: Path, *, labelled: bool = True) -> tuple[Path, Path]:
    """(truth, predictions): some right, some near, some wrong; one video has no truth."""
    rng = np.random.default_rng(3)
    database, results = {}, {}
    for number in range(VIDEOS):
        true = [(label, start, start + float(rng.uniform(2, 6)))
                for label, start in (("clap", 1.0), ("wave", 12.0), ("clap", 22.0))]  # fmt: skip
        name = f"v{number}"
        annotations = [{"label": label, "segment": [start, end]} for label, start, end in true]
        database[name] = {"subset": "test", "duration": 30.0, "annotations": annotations if number else []}
        found = []
        for label, start, end in true * 3:
            at = start + float(rng.normal(0, 0.8))
            label = label if rng.random() < 0.8 else "wave"
            found.append({"label": label, "segment": [max(at, 0.0), end + 0.5], "score": float(rng.random())})
        results[name] = found if labelled else [{k: v for k, v in e.items() if k != "label"} for e in found]
    truth, predictions = folder / "truth.json", folder / "found.json"
    truth.write_text(json.dumps({"database": database}))
    predictions.write_text(json.dumps({"results": results}))
    return truth, predictions


def evaluated(capsys: pytest.CaptureFixture[str], truth: Path, predictions: Path, *options: str) -> dict:
    asked = ["eval", "detect", str(predictions), "--annotations", str(truth), "--bootstraps", "20", "--json", *options]
    assert run(asked) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_equal_the_evaluators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, predictions = files(tmp_path)
    said = evaluated(capsys, truth, predictions, "--measure", "proposals", "--measure", "recall")
    true, found = read_corpus(truth).instances(), read_detections(predictions)
    assert "rows" not in said  # mAP was not asked for
    direct = evaluate_proposals(true, found)
    values = said["proposals"]["rows"]["found.json"]["values"]
    assert values == {**{f"AR@{n}": direct.at(n) for n in (1, 5, 10, 100)}, "AUC": direct.auc}
    assert 0 < values["AR@1"] < values["AR@5"]
    recall = evaluate_retrieval(true, found)
    values = said["recall"]["rows"]["found.json"]["values"]
    assert values == {f"R@{k}x @{tiou}": recall.at(k, tiou) for tiou in (0.3, 0.5, 0.7) for k in (1, 5)}
    assert 0 < values["R@1x @0.7"] < 1
    assert (said["proposals"]["videos"], said["proposals"]["truths"]) == (VIDEOS, 3 * (VIDEOS - 1))
    for part in ("proposals", "recall"):
        for row in said[part]["rows"].values():
            assert all(low <= high for low, high in row["interval"].values())
        for name, value in said[part]["rows"]["found.json"]["values"].items():
            low, high = said[part]["rows"]["found.json"]["interval"][name]
            assert low - 0.05 <= value <= high + 0.05


def test_what_is_printed_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, predictions = files(tmp_path)
    assert not {"proposals", "recall"} & set(evaluated(capsys, truth, predictions))
    assert set(evaluated(capsys, truth, predictions, "--protocol", "ego4d-mq")) >= {"rows", "recall"}
    (tmp_path / "free").mkdir()
    truth, predictions = files(tmp_path / "free", labelled=False)
    assert read_detections(predictions).labels == (UNLABELLED,)
    said = evaluated(capsys, truth, predictions, "--protocol", "activitynet")
    assert said["unknown"] == 9 * VIDEOS
    assert said["proposals"]["rows"]["found.json"]["values"]["AUC"] > 0
    assert list(said["proposals"]["rows"])[1:] == ["whole video", "random, 100 a video"]
    where = ["--annotations", str(truth), "--protocol", "activitynet", "--bootstraps", "5"]
    assert run(["eval", "detect", str(predictions), *where]) == 0
    printed = capsys.readouterr().out
    assert "activitynet, proposals: average recall" in printed
    assert "| AR@1 | AR@5 | AR@10 | AR@100 | AUC |" in printed
    assert "8 videos, 21 truths" in printed


def test_bootstraps_that_draw_one_video_alone_give_its_figures(tmp_path: Path) -> None:
    truth, predictions = files(tmp_path)
    true, found = read_corpus(truth).instances(), read_detections(predictions)
    one = true.without_videos([f"v{i}" for i in range(VIDEOS) if i != 2])
    scores = evaluate_proposals(one, found.keep(found.with_label("wave")), most=100)
    drawn = bootstrap_proposals(one, found.keep(found.with_label("wave")), repeats=3)
    assert np.allclose(drawn, [*map(scores.at, (1, 5, 10, 100)), scores.auc], rtol=0, atol=1e-12)
    recall = bootstrap_retrieval(one, found, repeats=3)
    assert np.allclose(recall, evaluate_retrieval(one, found).recall, rtol=0, atol=1e-12)


def test_trivial_proposals_stay_in_their_videos(tmp_path: Path) -> None:
    truth, _ = files(tmp_path)
    whole, drawn = trivial_proposals(read_corpus(truth), each=5).values()
    assert (len(whole), len(drawn)) == (VIDEOS, 5 * VIDEOS)
    assert drawn.start.min() >= 0
    assert drawn.end.max() <= 30.0 + 1e-9


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, predictions = files(tmp_path)
    assert run(["eval", "detect", str(predictions), "--annotations", str(truth), "--measure", "auc"]) == 2
    error = capsys.readouterr().err
    assert "unknown measure 'auc'; accepted: map, proposals, recall" in error
    assert error.count("\n") == 1
    with pytest.raises(LabanError, match="report of its own"):
        measure_report(read_corpus(truth), {}, protocol_named("activitynet"), "map")
    predictions.write_text(json.dumps({"results": {"v1": []}}))
    assert run(["eval", "detect", str(predictions), "--annotations", str(truth), "--measure", "proposals"]) == 2
    assert "found.json: average recall needs truths and proposals" in capsys.readouterr().err


def test_frame_labels_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {"a": ["background"] * 5 + ["cut"] * 20 + ["stir"] * 7, "b": ["stir"] * 31, "c": ["cut"] * 9 + ["stir"]}
    found = {"a": ["cut"] * 22 + ["stir"] * 10, "b": ["stir"] * 11 + ["cut"] * 20, "c": truth["c"]}
    for folder in ("gtea/groundTruth", "gtea/splits", "found"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "gtea/mapping.txt").write_text("0 background\n1 cut\n2 stir\n")
    for name, labels in truth.items():
        (tmp_path / f"gtea/groundTruth/{name}.txt").write_text("\n".join(labels) + "\n")
        (tmp_path / f"found/{name}.txt").write_text("\n".join(found[name]) + "\n")
    (tmp_path / "found/b.txt").rename(tmp_path / "found/b")
    (tmp_path / "found/b").write_text("### Frame level recognition: ###\n" + " ".join(found["b"]))
    asked = ["eval", "segmentation", str(tmp_path / "found"), "--annotations", str(tmp_path / "gtea")]
    assert run([*asked, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    scores = evaluate_segmentation(truth, found)
    expected = [scores.accuracy, scores.edit, *scores.f1]
    assert list(said["rows"]["found"]["values"]) == ["accuracy", "edit", "F1@10", "F1@25", "F1@50"]
    assert np.allclose(list(said["rows"]["found"]["values"].values()), np.array(expected) / 100, rtol=0, atol=1e-15)
    assert (said["videos"], said["frames"]) == (3, 73)
    assert said["rows"]["most common label"]["values"]["accuracy"] == pytest.approx(39 / 73)
    one = {"a": truth["a"]}
    drawn = bootstrap_segmentation(one, found, repeats=3)
    alone = evaluate_segmentation(one, found)
    assert np.allclose(drawn, [alone.accuracy, alone.edit, *alone.f1], rtol=0, atol=1e-12)
    assert run(asked) == 0
    assert "3 videos, 73 frames" in capsys.readouterr().out
    (tmp_path / "found/a.txt").write_text("cut\n")
    assert run(asked) == 2
    assert "found: a: truth has 32 frames and the prediction 1" in capsys.readouterr().err
    assert run([*asked[:2], str(tmp_path / "none"), *asked[3:]]) == 2
    assert "holds no frame labels" in capsys.readouterr().err
