"""Slots of a sentence, and the known actions that it leans on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from laban.errors import LabanError
from laban.weights import find_weights
from models.text import known
from models.text.encoder import CachedEncoder, OneText, load_text_encoder
from models.text.known import known_actions, load_known, representative_captions
from models.text.phrases import PHRASES
from models.text.slots import Slots, parse_slots


def _bag_of_words() -> CachedEncoder:
    """Sentence vectors that count words (hashed to 256 places): enough to know which sentences share words."""

    def compute(texts: Sequence[str]) -> list[OneText]:
        found = []
        for text in texts:
            vector = torch.zeros(256)
            for word in text.split():
                vector[sum(ord(letter) * 31**place for place, letter in enumerate(word)) % 256] += 1
            vector = F.normalize(vector + 1e-6, dim=0)
            found.append(OneText(vector, vector[None]))
        return found

    return CachedEncoder("bag", 256, compute)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a person walks forward", {"direction": ("forward",)}),
        ("she steps back twice", {"direction": ("backward",), "count": 2}),
        ("backs away, then moves to the side", {"direction": ("backward", "sideways")}),
        ("walks back and forth", {}),
        ("lies on the back", {}),
        ("quickly raises both hands three times", {"side": ("both",), "count": 3, "speed": ("fast",)}),
        ("takes 12 steps slowly", {"count": 12, "speed": ("slow",)}),
        ("turns left, then spins counter-clockwise", {"side": ("left",), "turn": ("counterclockwise",)}),
        ("spins clockwise", {"turn": ("clockwise",)}),
        ("what is left", {}),
        ("waves with one hand", {}),
        ("", {}),
    ],
)
def test_slots_are_what_the_sentence_says(text: str, said: dict[str, object]) -> None:
    assert parse_slots(text).said() == said


def test_an_action_leans_on_itself() -> None:
    known = known_actions(["walk", "wave", "swim", "chop"], _bag_of_words())
    for action, caption in representative_captions(["walk", "wave", "swim", "chop"]):
        (first, similarity), *_ = known.lean_on(caption)
        assert similarity == pytest.approx(1, abs=1e-3)
        assert first == action


def test_leaning_is_sorted_and_of_the_asked_length() -> None:
    known = known_actions(["walk", "wave", "swim", "chop", "walk"], _bag_of_words())
    found = known.lean_on("a person swims and waves", k=4)
    assert len(found) == 4
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)


def test_the_summary_names_actions_nearness_and_slots() -> None:
    leaning = known_actions(["walk", "swim"], _bag_of_words()).leaning("a person walks forward twice", k=1)
    assert leaning.slots == Slots(direction=("forward",), count=2)
    assert leaning.summary().startswith("leans on walk 0.")
    assert leaning.summary().endswith("asks: direction forward; count 2")


def test_far_is_said_of_nothing_like_it() -> None:
    assert known_actions(["swim"], _bag_of_words()).leaning("qqq zzz").nearness == "far"


def test_no_actions_is_an_error() -> None:
    with pytest.raises(LabanError, match="lists none"):
        known_actions([], _bag_of_words())


def test_vectors_are_kept_and_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    first = known_actions(["walk", "swim"], _bag_of_words(), cache=tmp_path)
    (file,) = tmp_path.iterdir()
    again = known_actions(["walk", "swim"], _bag_of_words(), cache=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    whole = file.read_bytes()
    flipped = bytes(byte ^ 255 if 60 <= place < 140 else byte for place, byte in enumerate(whole))
    for broken in (b"broken", flipped, whole[: len(whole) // 2]):
        file.write_bytes(broken)
        repaired = known_actions(["walk", "swim"], _bag_of_words(), cache=tmp_path)
        assert torch.equal(first.vectors, repaired.vectors)
        assert file.read_bytes() != broken


def test_familiar_sentences_are_read_as_they_are_and_strange_ones_with_help() -> None:
    known = load_known(("walk", "wave"))
    texts = [known.captions[0], "he ambles over the grass"]
    own, read = known.encoder.encode(texts), known.read(texts)
    kept = int(own.mask[0].sum())
    assert int(read.mask[0].sum()) == kept
    assert torch.equal(read.tokens[0, :kept], own.tokens[0, :kept])
    torch.testing.assert_close(read.sentence[0], own.sentence[0], atol=1e-3, rtol=0)
    assert int(read.mask[1].sum()) > int(own.mask[1].sum())
    (_, plain), (_, trust) = known.readings(texts)
    assert "walk" in plain
    assert 0 <= trust < 1
    nearest = known.encoder.encode([plain]).sentence[0]
    assert read.sentence[1] @ nearest > own.sentence[1] @ nearest
    torch.testing.assert_close(read.sentence.norm(dim=-1), torch.ones(2))


def test_what_a_sentence_says_beyond_its_action_is_never_replaced() -> None:
    known = load_known(("walk", "wave"))
    strange = ["the vagabond roams", "the vagabond roams and whistles", "the vagabond roams to the left"]
    read, own = known.read(strange), known.encoder.encode(strange)
    for row, kept in enumerate((False, True, True)):
        length = int(own.mask[row].sum())
        assert bool(torch.allclose(read.tokens[row, :length], own.tokens[row, :length])) is kept


def test_a_caption_stands_for_its_action_and_no_side_is_made_up() -> None:
    known = known_actions(["walk", "wave", "swim", "chop"], _bag_of_words())
    scores = known.scores(known.vectors)
    assert torch.equal(scores.argmax(1), known.label)
    plain, _ = known.readings(["a person waves", "a person waves with the left hand"])
    assert "left" not in plain[0]


def test_a_table_that_comes_with_a_checkpoint_is_used(tmp_path: Path) -> None:
    first = known_actions(["walk", "swim"], _bag_of_words(), cache=tmp_path)
    encoder = _bag_of_words()
    encoder._compute = lambda texts: pytest.fail("sentences were encoded again")
    again = known_actions(["walk", "swim"], encoder, shipped=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert torch.equal(first.probe.weight, again.probe.weight)


def test_the_embedded_table_is_of_the_present_captions_and_encoder() -> None:
    (file,) = find_weights("text_student").glob("known-*.npz")
    whole = known_actions(PHRASES, load_text_encoder("embedded"), shipped=file.parent)
    with np.load(file) as stored:
        assert len(stored["vectors"]) == len(whole.captions), (
            "run: python -m models.text.known checkpoints/text_student"
        )
    few = load_known(("walk", "wave", "sequence"))
    assert few.names == ("walk", "wave")
    text = [few.captions[few.actions.index("wave")]]
    sentence = few.encoder.encode(text).sentence
    torch.testing.assert_close(
        few.vectors[few.actions.index("wave")] @ sentence[0], torch.tensor(1.0), atol=2e-3, rtol=0
    )
    assert few.probe.log_probabilities(sentence).exp().sum() == pytest.approx(1, abs=1e-4)


def test_an_old_table_goes_only_when_the_new_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "known-old.npz", tmp_path / "known-new.npz"
    old.touch()
    monkeypatch.setattr(known, "load_text_encoder", lambda name: None)
    monkeypatch.setattr(known, "known_actions", lambda actions, encoder, cache: None)
    with pytest.raises(LabanError, match="could not be written"):
        known.write_table(tmp_path)
    assert list(tmp_path.iterdir()) == [old]
    monkeypatch.setattr(known, "known_actions", lambda actions, encoder, cache: (cache / new.name).touch())
    assert known.write_table(tmp_path) == new
    assert list(tmp_path.iterdir()) == [new]
