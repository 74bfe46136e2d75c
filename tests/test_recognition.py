"""Attentive Semantic Units: units, regions, network, learning; and `laban recognize` with bad and odd input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from action_localization.open_vocabulary.labels import checked_labels
from action_localization.open_vocabulary.proposals import ACTION, STOVTAL
from action_localization.open_vocabulary.similarity import words_of
from action_localization.recognition.checkpoint import load_recogniser
from action_localization.recognition.head import HeadTraining, asu_detect, fit_head, head_chances, segment_regions
from action_localization.recognition.network import ASU, SemanticUnits, label_scores, picked_units
from action_localization.recognition.recognize import label_chances, recognize
from action_localization.recognition.regions import BODY, body_columns, row_regions
from action_localization.recognition.training import LabelledRegions, UnitsConfig, fit_units
from action_localization.recognition.units import unit_bank
from action_localization.regimes.streams import toy_set
from action_localization.spine.network import Detector, build_network
from laban.cli import build_app
from laban.errors import LabanError
from models.body.skeleton import JOINT, NUM_JOINTS
from models.formats import write_motion
from models.motion import Motion
from models.motion_text.encoder import load_motion_text
from tests.detect_files import Standing
from tests.video_files import write_video

RNG = np.random.default_rng(0)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


BANK = unit(RNG.normal(size=(20, 16)))
SMALL = ASU(visual=16, text=16, regions=3, width=16, heads=2)


def network(config: ASU = SMALL) -> SemanticUnits:
    torch.manual_seed(0)
    return SemanticUnits(config, BANK).eval()


def waving(frames: int = 60) -> Motion:
    """Somebody who stands and swings the raised right arm."""
    turns = np.broadcast_to(np.eye(3), (1, frames, NUM_JOINTS, 3, 3)).copy()
    for frame in range(frames):
        angle = 2.2 + 0.5 * np.sin(frame / 4)
        turns[0, frame, JOINT["right_shoulder"]] = [
            [np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1],
        ]  # fmt: skip
    root = np.broadcast_to([0.0, 0.93, 0.0], (1, frames, 3)).copy()
    return Motion(turns, root, 30.0)


def test_units_are_distinct_and_of_four_kinds() -> None:
    bank = unit_bank()
    assert len({one.sentence for one in bank}) == len({one.name for one in bank}) == len(bank) > 100
    assert {one.kind for one in bank} == {"motion", "part", "object", "scene"}


def test_regions_are_told_by_their_own_columns() -> None:
    left, right, arms, legs = (set(body_columns(name)) for name in ("left arm", "right arm", "arms", "legs"))
    assert not left & right and arms == left | right and not arms & legs
    assert set(body_columns("whole body")) == set(range(133)) and len(BODY) == 7
    rows = RNG.normal(size=(2, 8))
    pieces = row_regions(rows)
    assert pieces.shape == (4, 8) and np.allclose(np.linalg.norm(pieces, axis=1), 1)
    assert np.allclose(pieces[1], rows[0] / np.linalg.norm(rows[0]), atol=1e-6)


def test_network_begins_with_the_encoders_own_answer_and_picks_shares() -> None:
    own, clips, texts = network(), unit(RNG.normal(size=(5, 3, 16))), unit(RNG.normal(size=(7, 16)))
    assert (label_scores(own, clips, texts).argmax(1) == (clips[:, 0] @ texts.T).argmax(1)).all()
    with torch.no_grad():
        found = own(torch.from_numpy(clips))
        assert torch.allclose(found.embedding, torch.from_numpy(clips[:, 0]), atol=1e-6)
        own.gate.fill_(1.0)
        assert not torch.allclose(own(torch.from_numpy(clips)).embedding, found.embedding, atol=1e-3)
    assert torch.allclose(found.units.sum(-1), torch.ones(5, 3)) and torch.allclose(found.weight.sum(-1), torch.ones(5))
    picked = picked_units(own, clips[0], 4)
    assert len(picked) == 4 and picked == sorted(picked, key=lambda one: -one[1])
    order = RNG.permutation(7)
    assert np.allclose(label_scores(own, clips, texts)[:, order], label_scores(own, clips, texts[order]), atol=1e-6)


def test_ten_thousand_labels_and_labels_that_do_not_fit() -> None:
    own, clips = network(), unit(RNG.normal(size=(2, 3, 16)))
    many = label_scores(own, clips, unit(RNG.normal(size=(10_000, 16))))
    assert many.shape == (2, 10_000) and np.allclose(many.sum(1), 1, atol=1e-4)
    with pytest.raises(LabanError, match="2 clips and 0 labels"):
        label_scores(own, clips, np.zeros((0, 16), np.float32))
    with pytest.raises(LabanError, match="labels of 9"):
        label_scores(own, clips, np.zeros((4, 9), np.float32))
    clips[1, 1, 1] = np.nan
    with pytest.raises(LabanError, match="regions: hold NaN"):
        label_scores(own, clips, BANK)
    with pytest.raises(LabanError, match="found 10001 labels; accepted: up to 10000"):
        checked_labels([f"label {number}" for number in range(10_001)])


@pytest.mark.parametrize("aligned", [True, False])
def test_units_learn_what_a_region_says(aligned: bool, tmp_path: Path) -> None:
    """The class is told by the second region alone; the first, which the encoder answers from, is noise."""
    texts, codes = unit(RNG.normal(size=(4, 16))), unit(RNG.normal(size=(4, 16)))

    def clips(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        label = rng.integers(4, size=count)
        regions = rng.normal(size=(count, 3, 16))
        regions[:, 1] = codes[label] + 0.1 * regions[:, 1]
        return unit(regions), label

    regions, label = clips(40, 1)
    config = UnitsConfig(network=replace(SMALL, aligned=aligned), size=32, keep=0.0)
    config = replace(config, training=replace(config.training, steps=60, warmup=6, lr=1e-2, ema=0.9))
    own = fit_units(LabelledRegions(regions, label, texts), BANK, config, tmp_path, seed=0)
    seen, wanted = clips(60, 2)
    right = (label_scores(own, seen, texts).argmax(1) == wanted).mean()
    plain = ((seen[:, 0] @ texts.T).argmax(1) == wanted).mean()
    assert right > 0.9 and plain < 0.5
    with pytest.raises(LabanError, match="0 labelled clips"):
        LabelledRegions(regions[:0], label[:0], texts)


def test_classes_of_the_detector_carry_over_to_words_like_theirs() -> None:
    labels = checked_labels(["a person claps the hands", "a person walks along"])
    chance = label_chances({"walk": 0.8, "clap": 0.1}, labels, load_motion_text())
    assert np.isclose(chance.sum(), 1) and chance[1] > 0.9


def test_recognize_reads_a_motion_and_tells_of_odd_labels(tmp_path: Path) -> None:
    write_motion(waving(), tmp_path / "wave.npz")
    found = recognize(tmp_path / "wave.npz", "waves, kicks a ball, lies on the floor", count=2)
    assert len(found.best) == 2 and np.isclose(sum(found.chances.values()), 1, atol=1e-4)
    assert found.best[0][1] >= found.best[1][1] and len(found.units) == 5 and not found.notes
    assert found.chances["lies on the floor"] < 0.1
    other = recognize(tmp_path / "wave.npz", "winkt mit der Hand, läuft")
    assert any("not English" in note for note in other.notes) and len(other.best) == 2
    for labels in ("", " , ,"):
        with pytest.raises(LabanError, match="found no label"):
            recognize(tmp_path / "wave.npz", labels)
    with pytest.raises(LabanError, match="--seconds 2: is for videos"):
        recognize(tmp_path / "wave.npz", seconds=2.0)
    with pytest.raises(LabanError, match="NaN"):
        recognize(replace(waving(), root=np.full((1, 60, 3), np.nan)), "waves")


def test_recognize_command_writes_bars_and_json(tmp_path: Path) -> None:
    write_motion(waving(), tmp_path / "wave.npz")
    files = [str(tmp_path / "bars.png"), str(tmp_path / "best.json")]
    arguments = ["recognize", str(tmp_path / "wave.npz"), "--labels", "waves,walks,sits", "-k", "2", "-o", files[0],
                 "-o", files[1], "--json"]  # fmt: skip
    result = CliRunner().invoke(build_app(arguments), arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["labels"] == 3 and len(told["best"]) == 2 and told["files"] == files
    assert json.loads(Path(files[1]).read_text())["best"] == told["best"]
    assert Path(files[0]).read_bytes()[:4] == b"\x89PNG"
    arguments[-2] = "best.txt"
    assert isinstance(CliRunner().invoke(build_app(arguments), arguments).exception, LabanError)


def test_recognize_reads_a_silent_video_and_tells_when_nobody_is_in_view(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", [i / 20 for i in range(30)])
    found = recognize(video, "waves,walks", networks=Standing())
    assert set(found.chances) == {"waves", "walks"} and not found.units
    with pytest.raises(LabanError, match="nobody is in view"):
        recognize(video, "waves,walks", networks=Standing([]))


def test_shipped_recogniser_trusts_units_for_what_it_knows() -> None:
    own = load_recogniser()
    clips = unit(RNG.normal(size=(3, 7, 256)))
    known = sorted(own.known)[:4]
    assert np.allclose(own.region_chances(clips, known), own.region_chances(clips, known, trust=1.0))
    assert not np.allclose(own.region_chances(clips, [*known, "a person juggles"])[:, :4],
                           own.region_chances(clips, [*known, "a person juggles"], trust=1.0)[:, :4])  # fmt: skip
    with pytest.raises(LabanError, match="found none"):
        own.region_chances(clips, [])


def test_head_names_proposals_and_learns_from_seen_classes_alone(tmp_path: Path) -> None:
    data = toy_set(0, train=12, measured=4)
    assert data.embed is not None
    config = HeadTraining(units=UnitsConfig(network=ASU(width=16, heads=2), size=16, keep=1.0))
    config = replace(config, units=replace(config.units, training=replace(config.units.training, steps=20, warmup=2)))
    head = fit_head(data, config, tmp_path / "head", seed=0)
    words = words_of(data.classes, data.embed, wordings=data.wordings)
    stretches = [(video.text, segment) for video in data.test for segment in video.truth.segments]
    regions = np.stack([segment_regions(text, segment) for text, segment in stretches if text is not None])
    answers = head_chances(head, regions, words, config).argmax(1)
    assert np.mean([words.labels[i] == s.label for i, (_, s) in zip(answers, stretches, strict=True)]) > 0.9
    video = data.test[0]
    assert video.text is not None
    torch.manual_seed(0)
    stov = STOVTAL(system=replace(STOVTAL().system, encoder=replace(STOVTAL().system.encoder, width=16, hidden=16)))
    localizer = build_network(stov.system, data.width, [ACTION])
    assert isinstance(localizer, Detector)
    found = asu_detect(localizer, head, video.features, video.text, words, replace(config, least=0.0), stov)
    assert found.segments and {s.label for s in found.segments} <= set(data.classes)
    with pytest.raises(LabanError, match="no segment of x"):
        fit_head(data, config, tmp_path / "none", seed=0, classes=["x"])
