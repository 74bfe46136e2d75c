"""Sound beside the pictures: the log-mel encoder, joining on one grid, MRAV-FF, and the commands that use them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d
from typer.testing import CliRunner

from action_localization.audio.detector import FusionConfig, detections, fit_fusion
from action_localization.audio.joining import common_width, joined, with_sound
from action_localization.detect import DetectOptions, detect_feature_file
from action_localization.evaluation.detection import evaluate_detection
from action_localization.regimes.streams import RegimeVideo, toy_set
from action_localization.spine.checkpoint import load_detector, save_detector
from action_localization.spine.detect import detect_features
from action_localization.spine.learn import DetectorTraining, feature_folder, train_detector
from action_localization.spine.network import Detector, build_network
from action_localization.spine.systems import (
    MRAV,
    ActionFormer,
    DecodingConfig,
    EncoderConfig,
    HeadConfig,
    LearningConfig,
    from_json,
    to_json,
)
from laban.cli import build_app
from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.audio.log_mel import RATE, log_mel, sound_features
from models.features import Features, read_features, write_features
from tests.video_files import write_video

HOST = ActionFormer(
    encoder=EncoderConfig(width=32, levels=3, embed=1, stem=0, heads=2, window=9, hidden=32, drop_path=0.0),
    head=HeadConfig(width=32, layers=1), learning=LearningConfig(normaliser=30.0),
    decoding=DecodingConfig(candidates=200),
)  # fmt: skip
SOUND = 4
"""Columns of the sound in tests of the network."""


def features(rows: int, width: int = 6, seed: int = 0, fps: float = 10.0) -> Features:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return Features(values, FrameGrid(fps, rows), "made")


def fused(seed: int = 0, *, open_gate: bool = True) -> Detector:
    torch.manual_seed(seed)
    network = build_network(MRAV(host=HOST, audio=SOUND, heads=2), 6 + SOUND + 1, ["a", "b"])
    assert isinstance(network, Detector) and network.fusion is not None
    torch.nn.init.normal_(network.class_head.out.weight)
    if open_gate:
        for level in network.fusion.levels:
            torch.nn.init.constant_(level.gates.bias, 1.0)
    return network.eval()


def alone(network: Detector) -> Detector:
    """The host with the same weights."""
    host = build_network(HOST, 6, network.classes)
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith("fusion.")}
    host.load_state_dict(weights)
    assert isinstance(host, Detector)
    return host.eval()


def test_log_mel_places_a_tone_in_its_band_and_a_click_at_its_time() -> None:
    samples = np.zeros(3 * RATE, np.float32)
    assert np.allclose(log_mel(samples).values, 0)
    time = np.arange(RATE) / RATE
    samples[RATE : 2 * RATE] = 0.5 * np.sin(2 * np.pi * 1000 * time)
    found = log_mel(samples)
    assert found.width == 128 and found.grid.fps / found.grid.stride == 10
    loud = found.values[15, :64]
    hertz = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([125.0, 7500.0]) / 700)), 66)[1:-1] / 2595) - 1)
    assert abs(hertz[loud.argmax()] - 1000) < 60
    click = np.zeros(3 * RATE, np.float32)
    click[round(1.55 * RATE)] = 1.0
    rows = log_mel(click)
    at = np.flatnonzero(rows.values[:, 64:].max(1) > 0.01)
    assert all(abs(rows.grid.centre(int(i)) - 1.55) <= 0.13 for i in at) and len(at) >= 2


def test_log_mel_does_not_mind_wild_numbers_and_short_sound() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 1e30, 0.1], np.float32)
    assert np.isfinite(log_mel(wild).values).all() and len(log_mel(wild).values) == 1
    whole = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.allclose(log_mel(np.tile(whole, 2)).values[:8], log_mel(whole).values[:8])


def test_sound_of_a_video_that_ends_before_the_pictures(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", [i / 10 for i in range(20)], sound=1.0)
    found = sound_features(video)
    assert found.extractor == "log_mel" and 9 <= len(found.values) <= 11
    assert found.values.max() > 0.5
    assert len(sound_features(video, seconds=0.5).values) == 4
    silent = write_video(tmp_path / "silent.mp4", [0.0, 0.1])
    with pytest.raises(LabanError, match=r"silent.mp4: has no sound track"):
        sound_features(silent)


def test_extract_command_writes_sound_and_tells_of_a_silent_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", [i / 10 for i in range(10)], sound=1.0)
    out = tmp_path / "sound.npz"
    arguments = ["extract", str(video), "-o", str(out), "--encoder", "log_mel", "--json"]
    result = CliRunner().invoke(build_app(arguments), arguments)
    assert result.exit_code == 0 and json.loads(result.stdout)["encoder"] == "log_mel"
    assert read_features(out).width == 128
    silent = write_video(tmp_path / "silent.mp4", [0.0, 0.1])
    arguments = ["extract", str(silent), "-o", str(out), "--encoder", "log_mel"]
    assert isinstance(CliRunner().invoke(build_app(arguments), arguments).exception, LabanError)


def test_joining_takes_means_marks_what_is_heard_and_refuses_what_does_not_fit() -> None:
    visual = features(10, fps=2.0)
    rows = np.arange(60, dtype=np.float32)[:, None]
    sound = Features(rows, FrameGrid(20.0, 60), "s")  # 3 s of sound beside 5 s of pictures
    both = joined(visual, sound, 1)
    assert both.values.shape == (10, 6 + 1 + 1) and both.extractor == "made"
    assert np.allclose(both.values[:6, 6], np.arange(6) * 10 + 4.5)
    assert both.values[:, 7].tolist() == [1] * 6 + [0] * 4 and not both.values[6:, 6].any()
    slow = joined(features(20), Features(rows[:3], FrameGrid(1.0, 3), "s"), 1)
    assert np.isclose(slow.values[9, 6], 0.45) and slow.values[:, 7].all()
    assert not joined(visual, None, 3).values[:, 6:].any()
    with pytest.raises(LabanError, match=r"sound is 1 wide .* accepted: 3"):
        joined(visual, sound, 3)
    rows[4] = np.nan
    with pytest.raises(LabanError, match="1 of 60 rows hold NaN or infinity, first 4"):
        joined(visual, Features(rows, FrameGrid(20.0, 60), "s"), 1)
    with pytest.raises(LabanError, match="no sound at all"):
        common_width([None])


@pytest.mark.parametrize("heard", ["gate shut", "no sound"])
def test_shut_gate_or_no_sound_is_the_host_exactly(heard: str) -> None:
    network = fused(open_gate=heard == "no sound")
    visual = features(50)
    sound = features(50, SOUND, seed=1) if heard == "gate shut" else None
    both = torch.from_numpy(joined(visual, sound, SOUND).values)[None]
    mask = torch.arange(50)[None] < 41
    with torch.no_grad():
        mine, host = network(both, mask), alone(network)(both[..., :6], mask)
    assert torch.equal(mine.logits, host.logits) and torch.equal(mine.offsets, host.offsets)


def test_open_gate_hears_only_where_there_is_sound() -> None:
    network, visual = fused(), features(96)
    sound = features(32, SOUND, seed=1)
    short, silent = joined(visual, sound, SOUND), joined(visual, None, SOUND)
    with torch.no_grad():
        one, other = (network(torch.from_numpy(f.values)[None]).logits[0, :96] for f in (short, silent))
    changed = (one != other).any(-1)
    assert changed[:30].any() and not changed[32 + 2 :].any()  # the head's two convolutions reach no further
    loud = replace(short, values=short.values.copy())
    loud.values[32:, 6:10] = 1e9  # what lies where nothing is heard does not count
    with torch.no_grad():
        assert torch.equal(network(torch.from_numpy(loud.values)[None]).logits[0, :96], one)


def test_long_videos_in_pieces_and_checkpoints_give_the_same(tmp_path: Path) -> None:
    network, visual = fused(), features(900)
    both = joined(visual, features(700, SOUND, seed=3), SOUND)
    whole = detect_features(both, network.system, network)
    pieces = detect_features(both, network.system, network, chunk=256)
    assert [(round(s.start, 3), s.label) for s in whole.segments] == [
        (round(s.start, 3), s.label) for s in pieces.segments
    ]
    save_detector(
        tmp_path / "ck", network, "card", extra={"extractor": "made", "audio": {"extractor": "log_mel", "width": 4}}
    )
    loaded, _ = load_detector(tmp_path / "ck")
    assert loaded.system == network.system == from_json(to_json(network.system))
    with pytest.raises(LabanError, match="of which 128 are sound"):
        build_network(with_sound(HOST, 128), 100, ["a"])


def test_detect_takes_features_with_sound_beside_them(tmp_path: Path) -> None:
    network = fused()
    save_detector(tmp_path / "ck", network, "card", extra={"extractor": "made"})
    write_features(features(60), tmp_path / "clip.npy")
    write_features(features(30, SOUND, seed=1), tmp_path / "sound.npy")
    options = DetectOptions(tmp_path / "ck", threshold=0.0)
    silent = detect_feature_file(tmp_path / "clip.npy", options)
    heard = detect_feature_file(tmp_path / "clip.npy", replace(options, audio=tmp_path / "sound.npy"))
    assert "read without sound" in silent.notes[0] and "sound ends at 3.0 s of 6.0 s" in heard.notes[0]
    assert silent.candidates != heard.candidates
    write_features(features(30, 9), tmp_path / "other.npy")
    with pytest.raises(LabanError, match="sound is 9 wide"):
        detect_feature_file(tmp_path / "clip.npy", replace(options, audio=tmp_path / "other.npy"))
    save_detector(tmp_path / "deaf", alone(network), "card", extra={"extractor": "made"})
    with pytest.raises(LabanError, match="reads no sound"):
        detect_feature_file(
            tmp_path / "clip.npy", replace(options, checkpoint=tmp_path / "deaf", audio=tmp_path / "sound.npy")
        )


def vague(video: RegimeVideo) -> RegimeVideo:
    """The stream with pictures that are blurred and four times as noisy: what happens is seen, but hardly when."""
    rng = np.random.default_rng([int(part) for part in video.name.split("_")[1:]])
    values = uniform_filter1d(video.features.values, 9, axis=0) + rng.normal(0, 2.0, video.features.values.shape)
    return replace(video, features=replace(video.features, values=values.astype(np.float32)))


def test_fused_beats_pictures_alone_on_toy_streams(tmp_path: Path) -> None:
    """At equal steps; the pictures are made vague so that sound has something to add."""
    data = toy_set(0, train=32)
    data = replace(data, train=tuple(map(vague, data.train)), test=tuple(map(vague, data.test)))
    truth, found = {video.name: video.truth for video in data.test}, {}
    width = common_width([video.audio for video in data.train])
    for reads in ("visual", "fused"):
        config = FusionConfig(reads=reads, host=HOST)  # type: ignore[arg-type]
        training = replace(config.training, steps=30, warmup=3, lr=8e-3, ema=0.9)
        config = replace(config, training=training, batch=replace(config.batch, frames=64))
        network = fit_fusion(data, config, tmp_path / reads, seed=1)
        segments = detections(network, data.test, config.reads, width=width)
        found[reads] = evaluate_detection(truth, segments, "thumos14").average
    assert found["fused"] > found["visual"] + 0.05


def test_training_from_disk_with_some_silent_videos(tmp_path: Path) -> None:
    for folder in ("pictures", "sound"):
        (tmp_path / folder).mkdir()
    database = {}
    for number in range(3):
        write_features(features(40, seed=number), tmp_path / "pictures" / f"v{number}.npy")
        if number:
            write_features(features(40, SOUND, seed=number), tmp_path / "sound" / f"v{number}.npy")
        segments = [{"label": "a", "segment": [1.0, 2.0]}, {"label": "b", "segment": [2.5, 3.5]}]
        database[f"v{number}"] = {"subset": "training", "duration": 4.0, "annotations": segments}
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    job = DetectorTraining(
        tmp_path / "pictures", tmp_path / "truth.json", tmp_path / "ck", tmp_path / "run", system="mrav", steps=1,
        precision="32-true", audio=tmp_path / "sound",
    )  # fmt: skip
    with pytest.raises(LabanError, match="--system mrav with no --audio"):
        train_detector(replace(job, audio=None), quiet=True)
    with pytest.raises(LabanError, match="--system asl with --audio"):
        train_detector(replace(job, system="asl"), quiet=True)
    folder = feature_folder(tmp_path / "pictures", tmp_path / "sound")
    assert not folder("v0").values[:, 6:].any() and folder("v1").values[:, -1].all()
    (tmp_path / "none").mkdir()
    with pytest.raises(LabanError, match="holds no features of sound"):
        feature_folder(tmp_path / "pictures", tmp_path / "none")
