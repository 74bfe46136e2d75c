"""`laban train detect` and `laban eval detect` on a data set as users have it: a folder of features, a truth file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from action_localization.data.layouts import read_corpus
from action_localization.evaluation.instances import Instances
from action_localization.evaluation.protocols import protocol_named
from action_localization.evaluation.report import RANDOM, WHOLE, detection_report, submitted, trivial_detections
from action_localization.spine.checkpoint import load_detector
from action_localization.spine.learn import FeatureFolder, FolderVideos, side_car_of
from action_localization.spine.presets import SYSTEMS, preset
from action_localization.spine.systems import PROTOCOLS, base
from laban.cli import run
from laban.errors import LabanError

WIDTH, FRAMES, FPS = 6, 40, 4.0


def data_set(folder: Path, videos: int = 6) -> tuple[Path, Path]:
    """(features, annotations): two classes, the last two videos are for testing; one video has no features."""
    rng = np.random.default_rng(0)
    features, database = folder / "features", {}
    features.mkdir()
    for number in range(videos):
        values = rng.normal(size=(FRAMES, WIDTH)).astype(np.float32)
        label, start = ("clap", "wave")[number % 2], float(rng.uniform(1, 5))
        values[int(start * FPS) : int((start + 3) * FPS), number % 2] += 4
        np.save(features / f"v{number}.npy", values, allow_pickle=False)
        database[f"v{number}"] = {
            "subset": "validation" if number < videos - 2 else "test", "duration": FRAMES / FPS,
            "annotations": [{"label": label, "segment": [start, start + 3]}],
        }  # fmt: skip
    database["gone"] = {**database["v0"]}
    side_car = {"fps": FPS, "stride": 1, "window": 1, "offset": 0, "extractor": "toy"}
    (features / "features.json").write_text(json.dumps(side_car))
    (folder / "truth.json").write_text(json.dumps({"database": database}))
    return features, folder / "truth.json"


def test_every_system_has_a_preset_for_every_data_set() -> None:
    for protocol in PROTOCOLS:
        for name in SYSTEMS:
            made = preset(name, protocol)
            assert made.schedule(7).steps == made.epochs * -(-7 // made.batch.size)
            assert made.schedule(7).warmup < made.schedule(7).steps
            assert (made.batch.resize > 0) == (protocol == "activitynet" or name in ("bmn", "csa"))
            if base(made.system).name == "BMN":
                assert made.batch.resize == base(made.system).frames  # type: ignore[union-attr]
    with pytest.raises(LabanError, match="layout 'kinetics'; accepted: thumos14"):
        preset("actionformer", "kinetics")


def test_train_then_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features, truth = data_set(tmp_path)
    chosen = ["--features", str(features), "--annotations", str(truth), "--system", "temporalmaxer"]
    where = ["-o", str(tmp_path / "ck"), "--run", str(tmp_path / "run")]
    assert run(["train", "detect", *chosen, *where, "--steps", "2", "--precision", "32-true", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["remarks"][0] == "4 of 5 videos have features"
    network, config = load_detector(tmp_path / "ck")
    assert (network.classes, config["extractor"], config["grid"]["fps"]) == (("clap", "wave"), "toy", FPS)
    assert "temporalmaxer" in (tmp_path / "ck" / "README.md").read_text()
    asked = ["eval", "detect", "--checkpoint", str(tmp_path / "ck"), "--features", str(features)]
    assert run([*asked, "--annotations", str(truth), "--split", "test", "--bootstraps", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["videos"], report["truths"], report["protocol"]) == (2, 2, "thumos14")
    assert list(report["rows"]) == [str(tmp_path / "ck"), WHOLE, RANDOM]
    assert report["problems"] == []
    assert run([*asked, "--annotations", str(truth), "--bootstraps", "2", "--json"]) == 0
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.startswith("1 of 7 videos have no features, first gone")
    assert run([*asked, "--annotations", str(truth), "--key", "rgb"]) == 0  # npy files hold one array
    capsys.readouterr()
    assert run([*asked, "--annotations", str(truth), "--split", "test", "--bootstraps", "5"]) == 0
    assert "| @0.3 | @0.4 | @0.5 | @0.6 | @0.7 | average |" in capsys.readouterr().out


def test_an_interrupted_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features, truth = data_set(tmp_path)
    asked = ["train", "detect", "--features", str(features), "--annotations", str(truth), "--system", "temporalmaxer",
             "-o", str(tmp_path / "ck"), "--run", str(tmp_path / "run"), "--precision", "32-true",
             "--steps", "3", "--json"]  # fmt: skip
    assert run([*asked, "--minutes", "0.0001"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"] is None
    assert not (tmp_path / "ck").exists()
    assert run(asked) == 0
    assert (tmp_path / "ck" / "model.safetensors").is_file()
    assert run([*asked, "--lr", "1"]) == 2
    assert "another configuration (lr)" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "layout"), [("temporalmaxer", "activitynet"), ("bmn", "thumos14")])
def test_bench(system: str, layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "detect", "--system", system, "--layout", layout, "--frames", "40", "--features", "4",
             "--repeats", "1", "--device", "cpu"]  # fmt: skip
    assert run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = ["forward fp32", "forward bf16", "decode", "soft-NMS"]
    assert list(found["medians"]) == [part for part in parts if system != "bmn" or part != "forward bf16"]
    assert all(value > 0 for value in found["medians"].values())
    assert found["candidates"] >= found["kept"] > 0


def test_two_files_of_one_name_are_two_rows_and_every_problem_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [{"label": "clap", "segment": [5, 4 - n / 10]} for n in range(7)]
    entry = {"duration": 10, "annotations": [{"label": "clap", "segment": [1, 2]}, *wrong]}
    (tmp_path / "truth.json").write_text(json.dumps({"database": {"a": entry}}))
    files = [tmp_path / name / "found.json" for name in ("one", "two")]
    for file, end in zip(files, (2, 9), strict=True):
        file.parent.mkdir()
        found = {"label": "clap", "segment": [1, end], "score": 1}
        file.write_text(json.dumps({"results": {"a": [found]}}))
    asked = ["eval", "detect", *map(str, files), "--annotations", str(tmp_path / "truth.json"), "--bootstraps", "2"]
    assert run([*asked, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [report["rows"][str(file)]["mAP"]["average"] for file in files] == [1, 0]
    assert len(report["problems"]) == 7
    files[0].write_text(json.dumps({"results": {"a": [{**found, "score": float("nan")}]}}))
    assert run(asked) == 2
    assert f"{files[0]}: row 1 (a)" in capsys.readouterr().err


def test_features_are_kept_in_memory_only_as_far_as_allowed(tmp_path: Path) -> None:
    features, truth = data_set(tmp_path)
    corpus = read_corpus(truth).part("test")
    small = FeatureFolder(features, cache=FRAMES * WIDTH * 4)
    videos = FolderVideos(small, corpus.timelines(), corpus.classes)
    assert [len(video.values) for video in videos] == [FRAMES] * 2
    assert list(small.kept) == ["v4"]
    assert np.array_equal(videos[1].values, FolderVideos(small, corpus.timelines(), corpus.classes)[1].values)
    with pytest.raises(LabanError, match="is no file name"):
        small("../v4")
    with pytest.raises(LabanError, match="no features of nobody"):
        small("nobody")


def test_trivial_rows_know_statistics_alone(tmp_path: Path) -> None:
    _, truth = data_set(tmp_path)
    corpus = read_corpus(truth)
    rows = trivial_detections(corpus)
    assert len(rows[WHOLE]) == 7 * 2
    assert len(rows[RANDOM]) == 7
    assert np.allclose(rows[RANDOM].end - rows[RANDOM].start, 3)
    perfect = detection_report(corpus, {"truth": corpus.instances()}, protocol_named("thumos14"), repeats=5)
    assert perfect.rows[0].values.tolist() == [1.0] * 6
    assert all(row.values[-1] < 1 for row in perfect.rows[1:])


def test_epic_submissions_are_read_for_their_task(tmp_path: Path) -> None:
    entry = {"verb": 3, "noun": 7, "action": "3,7", "score": 0.5, "segment": [1.0, 2.0]}
    (tmp_path / "sub.json").write_text(json.dumps({"results": {"P01_01": [entry]}}))
    table = tmp_path / "EPIC_100_validation.csv"
    found = {task: submitted(tmp_path / "sub.json", table, task).labels for task in ("verb", "noun", "action")}
    assert found == {"verb": ("3",), "noun": ("7",), "action": ("3,7",)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "detect", "--features", "nowhere"], "nowhere: is no folder"),
        (["train", "detect", "--system", "resnet"], "system 'resnet'; accepted: actionformer"),
        (["train", "detect", "--split", "holdout"], "has no split 'holdout'"),
        (["train", "detect", "--grid", "30,4"], "accepted: FPS,STRIDE,WINDOW"),
        (["train", "detect", "--shards", "a.tar"], "accepted without --features, --grid, --key"),
        (["train", "detect", "--task", "colour"], "task 'colour'; accepted: verb"),
        (["eval", "detect"], "accepted: PREDICTIONS, or --checkpoint with --features"),
        (["eval", "detect", "other.json"], "none of its videos (such as elsewhere) is in the annotations"),
        (["eval", "detect", "other.json", "--protocol", "thumos"], "unknown protocol 'thumos'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    features, truth = data_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("other.json").write_text(
        json.dumps({"results": {"elsewhere": [{"label": "clap", "segment": [0, 1], "score": 1}]}})
    )
    given = [*arguments, *([] if len(arguments) == 2 else ["--annotations", str(truth)])]
    if arguments[0] == "train" and "--features" not in arguments:
        given += ["--features", str(features)]
    assert run(given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_grid_of_a_command_line() -> None:
    car = side_car_of("30,4,16,2")
    assert car is not None
    assert (car.fps, car.stride, car.window, car.offset) == (30, 4, 16, 2)
    assert isinstance(Instances.from_rows([]), Instances)
