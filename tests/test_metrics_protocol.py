"""The evaluation protocol: what each item set and row holds, and figures that must follow from how they were made."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.cli.eval import print_report, read_pairs
from laban.errors import LabanError
from models.data.dataset import ClipRecord
from models.motion_text.examples import Example
from models.motion_text.network import Sizes
from models.representation import joints as joint_features
from models.text.encoder import TextFeatures
from motion import evaluation
from motion.evaluation import Report, baselines, build_bank, item_sets, measure
from motion.judge.judge import Judge
from motion.judge.network import JudgeNetwork

ACTIONS = tuple(f"action {i}" for i in range(44))


class Words:
    """A text encoder made here: one token and one sentence direction for each sentence."""

    name, width = "words", 384

    def encode(self, texts: list[str]) -> TextFeatures:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        sentence = torch.stack([torch.randn(384, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        sentence = torch.nn.functional.normalize(sentence, dim=-1)
        return TextFeatures(sentence, sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool))


def example(number: int, action: str, split: str, flags: tuple[str, ...] = ()) -> Example:
    """A made-up clip of 2-3 s; joints sway about a rest pose of their own."""
    rng = np.random.default_rng(number)
    frames = int(rng.integers(40, 60))
    rest = rng.normal(0, 0.3, (22, 3)) + np.array([0, 1, 0])
    rest[[7, 8, 10, 11], 1] = [0.08, 0.08, 0.02, 0.02]
    joints = rest + 0.05 * np.sin(np.arange(frames)[:, None, None] / 5 + rng.uniform(0, 6, (22, 3)))
    text = f"a person does {action}"
    record = ClipRecord(f"clip{number}", "made", action, action, (text,), "CC0", split, seconds=frames / 20,
                        flags=flags)  # fmt: skip
    return Example(record, action, action, (text,), (text,), torch.from_numpy(joint_features.encode(joints)))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    made = []
    for i, action in enumerate(ACTIONS[:40]):
        made += [example(10 * i + k, action, split) for k, split in enumerate(("train", "train", "val", "test"))]
    made += [example(1000 + i, action, "train") for i, action in enumerate(ACTIONS[40:42])]
    made += [example(2000, ACTIONS[42], "test", ("noisy",)), example(2001, ACTIONS[43], "train", ("noisy",))]
    return made


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    network = JudgeNetwork(Sizes(actions=len(ACTIONS), width=32, layers=2, heads=2, embedding=32)).eval()
    return Judge(network, Words(), ACTIONS, {"sha256": "0" * 64})


def test_item_sets_hold_what_they_say(examples):
    test, everything, balanced = item_sets(examples)
    assert len(test.items) == 40
    assert len(everything.items) == 41
    assert not any(item.known for item in (*test.items, *everything.items))
    assert len(set(balanced.actions)) == 42
    assert {item.action for item in balanced.items if item.known} == set(ACTIONS[40:42])


def test_rows_have_the_items_lengths_or_less_and_come_from_where_they_should(examples, judge):
    items, bank = item_sets(examples)[0], build_bank(examples, judge)
    rows = baselines(items, bank, judge.text)
    assert list(rows) == ["real", "retrieval", "action oracle", "random pairing"]
    for item, real, found in zip(items.items, rows["real"], rows["retrieval"], strict=True):
        assert real is item.features
        assert len(found) <= len(real)
    for name, expected in (("retrieval", 40), ("action oracle", 40), ("random pairing", 5)):
        own = [[e.features.numpy() for e in bank.examples if e.action == item.action] for item in items.items]
        right = [any(cut_from(whole, clip) for whole in o) for o, clip in zip(own, rows[name], strict=True)]
        assert (sum(right) == 40) if expected == 40 else (sum(right) <= expected)


def cut_from(whole: np.ndarray, clip: np.ndarray) -> bool:
    return any(np.array_equal(whole[i : i + len(clip)], clip) for i in range(len(whole) - len(clip) + 1))


def test_training_clips_are_found_out_as_copies_and_real_clips_match_themselves(examples, judge):
    items, bank = item_sets(examples)[0], build_bank(examples, judge)
    rows = baselines(items, bank, judge.text)
    real = measure("real", rows["real"], items, judge, bank)
    copied = measure("retrieval", rows["retrieval"], items, judge, bank)
    assert real.figures["KID x1000"] < 0.01 + real.figures["KID sd"]
    assert copied.figures["nearest pose cm"] < 0.01 < real.figures["nearest pose cm"]
    assert 0 <= real.figures["R@1 micro"].value <= real.figures["R@3 micro"].value <= 1
    assert real.clips == 40


def test_kinematic_ratios_see_added_jerk(examples, judge):
    items, bank = item_sets(examples)[0], build_bank(examples, judge)
    plain = [item.features for item in items.items]
    rng = np.random.default_rng(0)
    shaken = [clip + 0.03 * rng.standard_normal(clip.shape).astype(np.float32) for clip in plain]
    before = measure("real", plain, items, judge, bank).kinematics["all"]["jerk"]
    after = measure("shaken", shaken, items, judge, bank).kinematics["all"]["jerk"]
    assert before.ratio == pytest.approx(1, abs=0.2)
    assert after.ratio > 3 * before.ratio


def test_a_generated_row_is_as_long_as_the_real_clips(examples, judge):
    items = item_sets(examples)[0]
    asked = {}

    def generate(texts, seconds, checkpoint, seed):
        asked.update(texts=texts, seconds=seconds, checkpoint=checkpoint, seed=seed)
        return []

    with pytest.raises(LabanError, match="0 motions for 40 texts"):
        evaluation.generated_features(items, "research", generate, seed=3)
    assert [round(20 * s) for s in asked["seconds"]] == [len(item.features) for item in items.items]
    assert asked["checkpoint"] == "research"


def test_the_report_prints_protocol_sets_intervals_and_is_json(examples, judge, capsys):
    items, bank = item_sets(examples)[0], build_bank(examples, judge)
    rows = tuple(measure(name, clips, items, judge, bank) for name, clips in baselines(items, bank, judge.text).items())
    report = Report(evaluation.PROTOCOL, "0" * 64, (0,), {items.name: "about"}, rows, len(bank.examples))
    print_report(report, by_action=True)
    printed = capsys.readouterr().out
    for word in (
        evaluation.PROTOCOL,
        "real",
        "retrieval",
        "action oracle",
        "random pairing",
        "R@3 micro",
        "foot_skate",
    ):
        assert word in printed
    assert json.loads(json.dumps(report.to_json()))["rows"][0]["figures"]["R@1 micro"]["n"] == 40


def test_bad_paraphrase_files_get_one_line(tmp_path):
    path = tmp_path / "pairs.json"
    for content in ("[", "{}", '{"paraphrases": [{"text": "x"}]}', '{"paraphrases": 3}'):
        path.write_text(content)
        with pytest.raises(LabanError, match="accepted"):
            read_pairs(path)
    path.write_text('{"paraphrases": [{"text": "he strides", "action": "walk"}]}')
    assert read_pairs(path) == [("he strides", "walk")]


def test_the_command_refuses_an_unknown_set_and_a_missing_folder(tmp_path, capsys):
    assert run(["eval", "generation", "--data", str(tmp_path), "--set", "train"]) == 2
    assert "accepted: test, test+kinect, balanced" in capsys.readouterr().err
    assert run(["eval", "generation", "--data", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
