"""Online, weak and grounded systems on a user's own features and annotations: trained, kept, read again, refused."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from action_localization.grounded.queries import video_queries
from action_localization.pose.detector import EXTRACTED
from action_localization.pose.features import EXTRACTOR, ROW, WIDTH
from action_localization.regimes import own, rows
from action_localization.regimes.streams import TOY_CLASSES, RegimeVideo, toy_set
from action_localization.regimes.systems import KINDS, answering, kind_preset, load_system, save_system
from action_localization.spine.learn import DetectorTraining
from action_localization.weak.learning import WeakBatches
from laban.cli import run
from laban.errors import LabanError
from laban.timeline import FrameGrid
from laban.weights import EMBEDDED, load_weights
from models.features import Features, read_features, write_features

STEPS = {"online": 8, "weak": 5, "grounded": 3}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with features/ of toy streams and truth.json, in which two streams are for testing."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "features").mkdir()
    toy, database = toy_set(0, train=8, measured=2), {}
    for subset, videos in (("training", toy.train), ("test", toy.test)):
        for video in videos:
            write_features(video.features, folder / "features" / f"{video.name}.npz")
            segments = [{"label": s.label, "segment": [s.start, s.end]} for s in video.truth.segments]
            database[video.name] = {"subset": subset, "duration": video.truth.duration, "annotations": segments}
    (folder / "truth.json").write_text(json.dumps({"database": database}))
    return folder


def job_of(files: Path, system: str, folder: Path, **more: Any) -> DetectorTraining:
    steps = STEPS[KINDS[system].regime]
    job = DetectorTraining(files / "features", files / "truth.json", folder / "ck", folder / "run", system=system,
                           steps=steps, batch=2)  # fmt: skip
    return replace(job, **more)


def command(job: DetectorTraining, *more: str) -> list[str]:
    return ["train", "detect", "--features", str(job.features), "--annotations", str(job.annotations), "--system",
            job.system, "-o", str(job.output), "--run", str(job.run), "--steps", str(job.steps), "--batch",
            str(job.batch), "--json", *more]  # fmt: skip


def stored(network: Any) -> Any:
    """The network with matrices as a checkpoint keeps them."""
    kept = {k: v.bfloat16().float() if v.is_floating_point() and v.ndim > 1 else v
            for k, v in network.state_dict().items()}  # fmt: skip
    network.load_state_dict(kept)
    return network


@pytest.fixture(scope="module")
def trained(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The job of a system that `laban train detect` has trained, for each once."""
    done: dict[str, DetectorTraining] = {}

    def of(system: str) -> DetectorTraining:
        if system not in done:
            job = job_of(files, system, tmp_path_factory.mktemp(system))
            assert run(command(job)) == 0
            done[system] = job
        return done[system]

    return of


@pytest.mark.parametrize("system", KINDS)
def test_a_trained_system_answers_from_its_folder_as_in_memory(system, trained, files, capsys):
    job, kind = trained(system), KINDS[system]
    capsys.readouterr()
    network, config = load_system(job.output, kind.regime)
    data = own.own_data(job, quiet=True)
    more = {"choose": False} if kind.regime == "online" else {}
    fit = kind.fit(data.data, own.configured(job, data), job.run, seed=0, **more)  # the run is over: it is read
    memory = stored(fit)
    assert [video.name for video in data.data.tune] == config["held_out"]
    assert {key: config[key] for key in ("system", "regime", "extractor")} == {
        "system": system, "regime": kind.regime, "extractor": "toy"}  # fmt: skip
    assert config["config"] == json.loads(json.dumps(config["config"])) and network.config == memory.config
    features, asked = read_features(files / "features" / "test_0.npz"), ()
    if kind.regime == "online":
        assert float(network.threshold) == pytest.approx(config["threshold"])
        for one in (network, memory):
            one.threshold.fill_(0.02)
    elif kind.regime == "weak":
        assert set(config["thresholds"]) == set(TOY_CLASSES)
    else:
        asked = (["somebody bends", "hop"],)
    said = answering(network, config)(features, *asked)
    assert said == kind.answer(memory, features, *asked)
    assert (said if asked else said.segments) or system == "action-switch"
    card = (job.output / "README.md").read_text()
    for part in (f"--system {system}", ": 5.", "**Threshold**", "## Weaknesses", "6 videos of truth.json"):
        assert part in card
    assert ("label sets alone" in card) == (kind.regime == "weak" and system != "points")


def test_detect_ground_and_eval_take_the_folders(trained, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weak, online, grounded = (str(trained(name).output) for name in ("mil", "matr", "dense"))
    clip = str(files / "features" / "test_1.npz")
    capsys.readouterr()
    assert run(["detect", clip, "--checkpoint", weak, "--threshold", "0", "-o", "a.json", "--json"]) == 0
    segments = json.loads(capsys.readouterr().out)["segments"]
    expected = answering(*load_system(weak, "weak"))(read_features(clip))
    assert [s["label"] for s in segments] == [s.label for s in expected.segments]
    assert (
        run(["detect", "--online", clip, "--checkpoint", online, "--threshold", ".02", "-o", "b.json", "--json"]) == 0
    )
    said = json.loads(capsys.readouterr().out)["segments"]
    assert said and all(one["gentime"] >= one["end"] for one in said)
    asked = ["eval", "detect", "--checkpoint", weak, "--checkpoint", online, "--features", str(files / "features")]
    assert (
        run([*asked, "--annotations", str(files / "truth.json"), "--split", "test", "--bootstraps", "2", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert list(report["rows"])[:2] == [weak, online] and report["videos"] == 2
    assert run(["ground", clip, "the person hops", "--checkpoint", grounded, "-o", "c.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["candidates"] and found["threshold"] == load_weights(grounded)[1]["threshold"]
    asked = ["eval", "ground", "--checkpoint", grounded, "--features", str(files / "features"), "--split", "test"]
    assert run([*asked, "--annotations", str(files / "truth.json"), "--bootstraps", "2", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][grounded]
    assert row["sentences"] == sum(len(video.truth.segments) for video in toy_set(0, train=8, measured=2).test)
    assert row["unanswered"] == 0
    assert run([*asked[:4], "--annotations", str(files / "truth.json")]) == 2
    assert "accepted: --checkpoint with --features" in capsys.readouterr().err
    assert run(["ground", "clip.mp4", "the person hops", "--checkpoint", grounded]) == 2
    assert "is a video, but checkpoint" in capsys.readouterr().err


def test_one_line_says_what_takes_a_checkpoint(trained, files, capsys):
    weak, online, grounded = (str(trained(name).output) for name in ("mil", "matr", "dense"))
    clip = str(files / "features" / "test_1.npz")
    capsys.readouterr()
    listen, offline = ["detect", "--online", clip, "--checkpoint"], str(EMBEDDED / "detect")
    for given, found, accepted in (
        (["detect", clip, "--checkpoint", online], "no offline detector but an online", "laban detect --online SOURCE"),
        (["detect", clip, "--checkpoint", grounded], "but a grounder", 'laban ground SOURCE "SENTENCE"'),
        ([*listen, weak], "no online detector but a weak", f"laban detect FEATURES --checkpoint {weak}"),
        ([*listen, weak, "--horizon", "1"], "no offline detector but a weak", "laban detect FEATURES"),
        ([*listen, offline], "no online detector but an offline", "laban detect SOURCE"),
        (["ground", clip, "hop", "--checkpoint", weak], "no grounder but a weak", "laban detect FEATURES"),
        (["detect", clip, "--checkpoint", weak, "--audio", clip], "reads no sound", "--audio"),
    ):
        assert run(given) == 2
        error = capsys.readouterr().err
        assert found in error and accepted in error and error.count("\n") == 1, error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--system", "hat2"], "system 'hat2'; accepted: actionformer"),
        (["--precision", "bf16-mixed"], "--precision bf16-mixed with --system mil"),
        (["--devices", "2"], "--devices 2 with --system mil"),
        (["--audio", "."], "--audio . with --system mil"),
        (["--split", "holdout"], "has no split 'holdout'"),
        (["--shards", "a.tar"], "accepted without --features, --grid, --key"),
        (["--lr", "1"], "another configuration (lr)"),
    ],
)
def test_refusals_of_training(more, message, trained, capsys):
    given = command(trained("mil"))
    capsys.readouterr()
    assert run([*given, *more]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error


@pytest.mark.parametrize("system", ["hat", "points"])
def test_a_training_out_of_time_goes_on_to_the_same_weights(system, trained, files, tmp_path, capsys):
    job = job_of(files, system, tmp_path)
    capsys.readouterr()
    assert run(command(job, "--minutes", "0.0001")) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"] is None and not job.output.exists()
    assert run(command(job)) == 0
    assert load_weights(job.output)[1]["sha256"] == load_weights(trained(system).output)[1]["sha256"]


def test_interrupting_saves_and_the_same_command_goes_on(trained, files, tmp_path, monkeypatch):
    job, drawn, before = job_of(files, "mil", tmp_path), WeakBatches.__call__, signal.getsignal(signal.SIGINT)

    def interrupted(self: WeakBatches, step: int) -> Any:
        if step == 3:
            raise KeyboardInterrupt
        return drawn(self, step)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(WeakBatches, "__call__", interrupted)
            with pytest.raises(SystemExit):
                own.train_system(job, quiet=True)
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores it from then on
    assert not job.output.exists()
    own.train_system(job, quiet=True)
    assert load_weights(job.output)[1]["sha256"] == load_weights(trained("mil").output)[1]["sha256"]


def test_what_is_held_out(files, tmp_path):
    job = job_of(files, "mil", tmp_path)
    data = own.own_data(job, quiet=True).data
    names = [video.name for video in (*data.train, *data.tune)]
    assert sorted(names) == sorted(f"train_{n}" for n in range(8)) and len(data.tune) == 2 and not data.test
    videos = toy_set(0, train=8).train
    rare = replace(videos[0].truth.segments[0], label="rare")
    one = replace(videos[0], truth=replace(videos[0].truth, segments=(rare,)))
    for seed in range(20):
        train, tune = own.held_out((one, *videos[1:]), seed)
        assert one in train and 1 <= len(tune) <= 2 and len(train) + len(tune) == 8


def labelled(folder: Path, segments: list[list[tuple[float, float]]], features: Features) -> DetectorTraining:
    """A job on as many videos as there are lists of segments of the class `clap`."""
    (folder / "features").mkdir()
    database = {}
    for number, several in enumerate(segments):
        write_features(features, folder / "features" / f"v{number}.npz")
        rows = [{"label": "clap", "segment": list(span)} for span in several]
        database[f"v{number}"] = {"duration": features.grid.seconds, "annotations": rows}
    (folder / "truth.json").write_text(json.dumps({"database": database}))
    return job_of(folder, "mil", folder)


def test_labels_of_whole_videos_and_of_moments(tmp_path):
    values = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    features = Features(values, FrameGrid(10.0, 300), "toy")
    (tmp_path / "a").mkdir()
    whole = labelled(tmp_path / "a", [[(0.0, 30.0)]] * 3, features)
    data = own.own_data(whole, quiet=True)
    assert not data.bounded and own.configured(whole, data).cut.seconds == 0
    folder, _ = own.train_system(whole, quiet=True)
    assert folder is not None and "thresholds" not in load_weights(folder)[1]
    assert "every training video is one stretch" in (folder / "README.md").read_text()
    (tmp_path / "b").mkdir()
    moments = replace(labelled(tmp_path / "b", [[(4.0, 4.0)], [(9.0, 9.0)], [(2.0, 3.0)]], features), system="points")
    data = own.own_data(moments, quiet=True)
    seconds = {"v0": [4.0], "v1": [9.0], "v2": []}
    assert {name: [i.seconds for i in several] for name, several in data.clicks.items()} == {
        video.name: seconds[video.name] for video in data.data.train}  # fmt: skip
    assert own.train_system(moments, quiet=True)[0] is not None


def test_pose_rows_become_entries_and_slow_rows_take_their_preset(tmp_path, files):
    values = np.random.default_rng(0).normal(size=(200, ROW)).astype(np.float32)
    job = labelled(tmp_path, [[(1.0, 3.0)]] * 2, Features(values, FrameGrid(20.0, 200), EXTRACTED))
    data = own.own_data(job, quiet=True).data
    assert (data.name, data.width, data.train[0].features.extractor) == ("mocap", WIDTH, EXTRACTOR)
    assert own.configured(replace(job, batch=None, steps=None), own.own_data(job, quiet=True)) == kind_preset(
        "mil", "mocap"
    )
    slow = Features(values, FrameGrid(2.0, 200), "slow")
    (tmp_path / "b").mkdir()
    job = replace(labelled(tmp_path / "b", [[(1.0, 3.0)]] * 2, slow), system="hat")
    assert own.own_data(job, quiet=True).data.name == "gym"
    write_features(read_features(files / "features" / "test_0.npz"), tmp_path / "b" / "features" / "v1.npz")
    with pytest.raises(LabanError, match="features are 16 wide; the first ones are"):
        own.own_data(job, quiet=True)


def test_a_damaged_folder_is_refused(tmp_path):
    network = KINDS["mil"].network(config=kind_preset("mil"), features=3, classes=("a", "b"))
    assert isinstance(network, torch.nn.Module)
    save_system(tmp_path, "mil", network, "# card\n", {})
    assert load_system(tmp_path, "weak")[0].classes == ("a", "b")
    said = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"system": "mill"}, "weak system 'mill'; accepted: mil, tscn"),
        ({"config": {**said["config"], "share": "much"}}, "config.json.share: found"),
        ({"features": 4}, "tensors of another shape"),
        ({"regime": "online"}, "but an online detector"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**said, **change}))
        with pytest.raises(LabanError, match=message):
            load_system(tmp_path, "weak")


def test_sentences_without_classes_are_for_grounders(tmp_path, files):
    toy = toy_set(0, train=4)
    for video in toy.train:
        write_features(video.features, tmp_path / f"{video.name}.npz")
    lines = [
        f"{v.name} {s.start:.2f} {s.end:.2f}##a person does {s.label}." for v in toy.train for s in v.truth.segments
    ]
    (tmp_path / "charades_sta_train.txt").write_text("\n".join(lines) + "\n")
    job = replace(job_of(files, "ctrl", tmp_path), features=tmp_path, annotations=tmp_path / "charades_sta_train.txt")
    folder, _ = own.train_system(job, quiet=True)
    assert folder is not None and "**Sentences**: " in (folder / "README.md").read_text()
    with pytest.raises(LabanError, match="has sentences and no classes; accepted with --system ctrl"):
        own.train_system(replace(job, system="mil"), quiet=True)


def test_the_best_span_draws_the_curve(trained, files):
    from action_localization.grounded.ground import ground_own, own_grounder

    grounder = own_grounder(trained("dense").output)
    assert grounder is not None
    features = read_features(files / "features" / "test_0.npz")
    answer = ground_own(grounder, features, "hop")
    start, end, score = answer.spans[0]
    assert answer.curve.max() <= score and answer.curve[int(10 * (start + end) / 2)] == pytest.approx(score)
    with pytest.raises(LabanError, match="features are 3 wide; the grounder was trained on 16"):
        ground_own(grounder, Features(features.values[:, :3], features.grid, "toy"), "hop")
    assert isinstance(RegimeVideo("a", features, own.as_score(["hop"], [answer.spans], 5.0)), RegimeVideo)


@pytest.mark.parametrize("name", ["action-switch", "mil", "ctrl"])
def test_the_table_learns_by_the_same_systems(name, tmp_path, monkeypatch):
    assert all(rows.ROWS[system].regime == kind.regime for system, kind in KINDS.items())
    data, short = toy_set(0, train=4, measured=2), {"steps": 2, "warmup": 1}

    def brief(system: str, of: str) -> Any:
        config = kind_preset(system, of)
        if KINDS[system].regime != "grounded":
            return replace(config, training=replace(config.training, **short))
        learning = replace(config.learning, training=replace(config.learning.training, **short))
        return replace(config, learning=learning)

    monkeypatch.setattr(rows, "kind_preset", brief)
    answers = rows.ROWS[name].run(data, tmp_path, 0)
    if name == "ctrl":
        assert len(answers.spans) == sum(len(video_queries(video)) for video in data.test)
    else:
        assert set(answers.found) == {video.name for video in data.test} and (name != "mil" or answers.tuned)
