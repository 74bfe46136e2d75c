"""Slots of a sentence, and the known actions that it leans on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from laban.errors import LabanError
from models.text.encoder import CachedEncoder, OneText
from models.text.known import known_actions, load_known, representative_captions
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
        assert similarity == pytest.approx(1, abs=1e-5)
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
    file.write_bytes(b"broken")
    repaired = known_actions(["walk", "swim"], _bag_of_words(), cache=tmp_path)
    assert torch.equal(first.vectors, repaired.vectors)
    assert file.read_bytes() != b"broken"


def test_familiar_sentences_are_read_as_they_are_and_strange_ones_with_help() -> None:
    known = load_known(("walk", "wave"))
    own = known.encoder.encode([known.captions[0], "he ambles over the grass"])
    read = known.read([known.captions[0], "he ambles over the grass"])
    kept = int(own.mask[0].sum())
    assert int(read.mask[0].sum()) == kept
    assert torch.equal(read.tokens[0, :kept], own.tokens[0, :kept])
    torch.testing.assert_close(read.sentence[0], own.sentence[0])
    assert int(read.mask[1].sum()) > int(own.mask[1].sum())
    nearest = known.vectors.T[:, int((known.vectors @ own.sentence[1]).argmax())]
    assert read.sentence[1] @ nearest > own.sentence[1] @ nearest
    torch.testing.assert_close(read.sentence.norm(dim=-1), torch.ones(2))
