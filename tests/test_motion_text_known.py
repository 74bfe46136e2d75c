"""Sentences in other words are read through the training captions near them; known ones by the tower alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from models.motion_text.encoder import load_motion_text
from models.motion_text.known import Known, farthest, take_known


def made_up(captions: int = 12, meanings: int = 3) -> tuple[Known, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sentence = normalize(torch.randn(captions, 384, generator=generator), dim=-1)
    packed = (sentence / sentence.abs().amax(-1, keepdim=True) * 127).round().to(torch.int8)
    return Known(packed, torch.arange(captions) % meanings, torch.eye(meanings, 8)), sentence


def test_a_known_sentence_is_left_to_the_tower():
    known, sentence = made_up()
    tower = normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    torch.testing.assert_close(known.place(sentence, tower), tower)


def test_a_strange_sentence_goes_to_the_motions_of_its_nearest_captions():
    known, sentence = made_up()
    strange = normalize(sentence[4:5] + 2.5 * normalize(torch.randn(1, 384), dim=-1), dim=-1)
    tower = -torch.ones(1, 8) / 8**0.5
    placed = known.place(strange, tower)
    assert placed.argmax().item() == 4 % 3
    assert placed.norm().item() == pytest.approx(1, abs=1e-5)


def test_captions_survive_a_checkpoints_tensors():
    known, _ = made_up()
    tensors = {"motion.weight": torch.zeros(2), **known.tensors()}
    found = take_known(tensors)
    assert list(tensors) == ["motion.weight"]
    assert found is not None
    torch.testing.assert_close(found.embedding, known.embedding)
    assert take_known(tensors) is None


def test_the_kept_captions_are_the_ones_least_alike():
    base = torch.eye(4, 384)
    copies = normalize(base[:1] + 0.001 * torch.randn(3, 384, generator=torch.Generator().manual_seed(0)), dim=-1)
    chosen = farthest(torch.cat((base[:1], copies, base[1:])), 10).tolist()
    assert chosen[0] == 0
    assert set(chosen[1:]) == {4, 5, 6}
    assert len(farthest(base, 2)) == 2


@pytest.mark.slow
def test_the_shipped_encoder_tells_sides_directions_and_new_words():
    encoder = load_motion_text()
    anchors = ["a person raises the left hand", "a person raises the right hand", "a person walks forward",
               "a person walks backward", "a person runs", "a person dances"]  # fmt: skip
    rows = encoder.embed_text(anchors)
    similarity = rows @ rows.T
    assert similarity[0, 1] < 0.8
    assert similarity[2, 3] < 0.8
    asked = encoder.embed_text(["somebody jogs along quickly", "she sways to the music"])
    assert [anchors[i] for i in (asked @ rows.T).argmax(1)] == ["a person runs", "a person dances"]
