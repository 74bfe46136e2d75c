"""Captions: inflection, what may be said, determinism, mirroring, augmentation."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.captions import (
    SPELLINGS,
    action_captions,
    augment_caption,
    captions_for,
    every_template,
    inflect,
    mirror_text,
    phrases_for,
    sentence,
)
from models.text.phrases import PHRASES, STYLES
from models.text.slots import parse_slots

LEFT = {
    "id": "a1",
    "action": "raise arms",
    "style": "exhausted",
    "texts": ["a person raises the left hand as if exhausted"],
    "captions": [{"start": 0.0, "end": 2.0, "texts": ["The man puts a hand up."]}],
}


@pytest.mark.parametrize(
    ("verb", "third", "ing", "past"),
    [
        ("walk", "walks", "walking", "walked"),
        ("carry", "carries", "carrying", "carried"),
        ("stop", "stops", "stopping", "stopped"),
        ("box", "boxes", "boxing", "boxed"),
        ("lie", "lies", "lying", "lay"),
        ("be", "is", "being", "was"),
        ("agree", "agrees", "agreeing", "agreed"),
        ("swing", "swings", "swinging", "swung"),
        ("wave", "waves", "waving", "waved"),
        ("control", "controls", "controlling", "controlled"),
    ],
)
def test_verbs_are_inflected(verb: str, third: str, ing: str, past: str) -> None:
    assert (inflect(verb, "s"), inflect(verb, "ing"), inflect(verb, "past")) == (third, ing, past)


def test_every_verb_of_a_phrase_is_inflected_and_nouns_stand_alone() -> None:
    assert sentence("*bend down and *lift", "ing", "she", "sadly") == "she is bending down and lifting sadly"
    assert sentence("*be dizzy", "ing", "a man") == "a man is dizzy"
    assert sentence("=a jump", "s", "a man") == "a jump"


def test_captions_put_people_first_then_the_records_own_texts() -> None:
    captions = captions_for(LEFT)
    assert captions[:2] == ["the man puts a hand up", "a person raises the left hand as if exhausted"]
    assert len(captions) == len(set(captions)) >= 16


def test_captions_repeat_with_the_seed_and_vary_without_it() -> None:
    assert captions_for(LEFT, seed=3) == captions_for(dict(LEFT), seed=3)
    assert captions_for(LEFT, seed=3) != captions_for(LEFT, seed=4)


def test_captions_say_only_the_side_that_the_record_says() -> None:
    sides = {side for caption in captions_for(LEFT, count=60) for side in parse_slots(caption).side}
    assert sides == {"left"}


@pytest.mark.parametrize("action", sorted(PHRASES))
def test_a_bare_record_gets_no_side_count_or_speed(action: str) -> None:
    record = {"id": "x", "action": action, "texts": ["a person moves"]}
    said = [parse_slots(caption) for caption in captions_for(record, count=60)]
    quick = {"dodge", "sprint"}  # fast by what they are
    assert not any(slots.side for slots in said if slots.side != ("both",))
    assert not any(slots.count for slots in said)
    assert action in quick or not any(slots.speed for slots in said)


def test_most_captions_of_a_styled_record_show_the_style() -> None:
    captions = captions_for({**LEFT, "captions": []}, count=60)
    shown = [any(caption.endswith(adverb) for adverb in STYLES["exhausted"]) for caption in captions]
    assert sum(shown) > len(shown) / 2


def test_a_bare_motion_text_is_left_out() -> None:
    record = {"id": "d", "action": "run", "texts": ["a person does a run left motion"]}
    captions = captions_for(record)
    assert not any("motion" in caption for caption in captions)
    assert any("left" in caption for caption in captions)


def test_an_unknown_action_still_has_a_caption() -> None:
    assert captions_for({"id": "u", "action": "juggle", "texts": []}) == ["juggle"]


def test_segments_of_known_actions_become_a_sentence_in_order() -> None:
    segments = [{"label": label, "start": i, "end": i + 1.0} for i, label in enumerate(("jump", "clap", "sit down"))]
    record = {"id": "s", "action": "sequence", "texts": ["three things"], "segments": segments}
    made = captions_for(record)[1:]
    assert made
    assert all(caption.count("then") == 2 for caption in made)


def test_templates_stay_in_the_closed_vocabulary() -> None:
    closed = set(re.findall(r"[a-z]+", " ".join(every_template())))
    for index, action in enumerate(PHRASES):
        record = {"id": str(index), "action": action, "texts": [" ".join(PHRASES[action])], "style": "sad"}
        words = set(re.findall(r"[a-z]+", " ".join(captions_for(record, count=80)[1:])))
        assert words <= closed, action


def test_each_action_has_plain_sentences_and_several_phrases() -> None:
    assert all(len([p for row in table.values() for p in row]) >= 4 for table in PHRASES.values())
    assert all(text.startswith("a person ") for texts in action_captions("turn").values() for text in texts)


def test_phrases_need_all_words_of_their_key() -> None:
    assert "*kick forward" in phrases_for("kick", ["a person kicks forward"])
    assert "*kick forward" not in phrases_for("kick", ["a person kicks to the side"])


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("A left-handed man turns RIGHT", "A right-handed man turns LEFT"),
        ("he throws lefts and rights", "he throws rights and lefts"),
        ("spins clockwise", "spins counterclockwise"),
        ("turns counter-clockwise, leftwards", "turns clockwise, rightwards"),
        ("what is left", "what is left"),
        ("the person left the room and turns right", "the person left the room and turns left"),
        ("right away he stands upright", "right away he stands upright"),
        ("lifts both hands; all right hands go up", "lifts both hands; all left hands go up"),
        ("he is right handed", "he is left handed"),
        ("turns at a right angle", "turns at a right angle"),
    ],
)
def test_mirroring(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored


MIRRORED = """
    a person the left right Left RIGHT lefts rights left-handed leftward rightwards clockwise counterclockwise is
    what away now all hand arm foot turns walks he room and to nothing angle side up upright lefty from
"""
WORDS = st.sampled_from(MIRRORED.split())


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_mirroring_twice_changes_nothing(text: str) -> None:
    assert mirror_text(mirror_text(text)) == text


@given(st.integers(0, 10**6), st.sampled_from(sorted(PHRASES)))
def test_augmentation_keeps_what_is_said(seed: int, action: str) -> None:
    caption = random.Random(seed).choice([text for texts in action_captions(action).values() for text in texts])
    changed = augment_caption(caption, random.Random(seed))
    assert changed == augment_caption(caption, random.Random(seed))
    assert parse_slots(changed) == parse_slots(caption)
    assert changed.split()[-1].rstrip(".").startswith(caption.split()[-1][:4])


def test_augmentation_knows_both_spellings() -> None:
    made = {augment_caption("walks forward toward someone", random.Random(seed)).rstrip(".") for seed in range(60)}
    assert len(made) > 3
    assert all(one != other for one, other in SPELLINGS)


@pytest.mark.data
def test_every_action_of_the_real_set_has_phrases(mocap_folder: Path) -> None:
    records = json.loads((mocap_folder / "index.json").read_text())
    assert {record["action"] for record in records} - set(PHRASES) <= {"sequence"}
    assert {record.get("style") for record in records} - set(STYLES) == {None}


@pytest.mark.data
def test_real_records_never_get_the_other_side(mocap_folder: Path) -> None:
    records = json.loads((mocap_folder / "index.json").read_text())
    for record in records[::17]:
        own = {side for text in record["texts"] for side in parse_slots(text).side}
        made = {side for text in captions_for({**record, "captions": []}) for side in parse_slots(text).side}
        assert not ({"left", "right"} & made) - own, record["id"]
