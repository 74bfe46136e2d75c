"""The text student that ships: its size, and what it must tell apart and hold together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from laban.weights import find_weights, load_weights
from models.text.encoder import CachedEncoder, load_text_encoder
from models.text.known import known_actions
from models.text.phrases import PHRASES


@pytest.fixture(scope="module")
def encoder() -> CachedEncoder:
    return load_text_encoder("embedded")


def test_it_is_small_and_undamaged() -> None:
    folder = find_weights("text_student")
    assert (folder / "model.safetensors").stat().st_size <= 15_000_000
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 19_000_000
    load_weights("text_student", verify=True)


def test_its_card_says_what_it_was_made_of() -> None:
    card = (find_weights("text_student") / "README.md").read_text(encoding="utf-8")
    assert all(f"## {part}" in card for part in ("Data", "Initialisation", "Training", "Figures", "Known weaknesses"))


@pytest.mark.parametrize(
    ("text", "same", "opposite"),
    [
        ("a person walks forward", "someone is walking ahead", "a person walks backward"),
        ("a man raises the left hand", "the man is lifting his left arm", "a man raises the right hand"),
        ("she waves twice", "a woman waves two times", "she waves three times"),
        ("a person runs slowly", "someone is running at a slow pace", "a person runs fast"),
    ],
)
def test_it_tells_direction_side_count_and_speed_apart(
    encoder: CachedEncoder, text: str, same: str, opposite: str
) -> None:
    vectors = encoder.encode([text, same, opposite]).sentence
    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2]) + 0.1


def test_halves_of_paraphrase_pairs_find_each_other(encoder: CachedEncoder, repository: Path) -> None:
    content = json.loads((repository / "benchmarks" / "text_pairs.json").read_text(encoding="utf-8"))
    texts = [text for pair in content["pairs"] for text in pair] + content["singles"]
    vectors = encoder.encode(texts).sentence
    similar = (vectors @ vectors.T).fill_diagonal_(-2)
    nearest = similar.argmax(1)[: 2 * len(content["pairs"]) : 2]
    assert int((nearest == torch.arange(1, 2 * len(content["pairs"]), 2)).sum()) >= 12


def test_every_action_is_nearest_to_its_own_captions(encoder: CachedEncoder) -> None:
    known = known_actions(PHRASES, encoder)
    near = [known.lean_on(f"someone {action}s", 5) for action in ("walk", "jump", "swim", "clap", "kick", "sneak")]
    assert [lean[0][0] for lean in near] == ["walk", "jump", "swim", "clap", "kick", "sneak"]


def test_the_empty_sentence_is_far_from_every_action(encoder: CachedEncoder) -> None:
    assert known_actions(PHRASES, encoder).leaning("").nearness != "near"
