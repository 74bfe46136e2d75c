"""The dictionary of strange words: which words are strange, what they are read as, and how it is baked."""

from __future__ import annotations

from pathlib import Path

import pytest

from laban.errors import LabanError
from models.text import dictionary as module
from models.text.dictionary import MOST, Dictionary, base_forms, load_dictionary
from models.text.known import load_known
from models.text.wordnet import bake, known_words, synsets

VERBS = """  1 A licence line.
00000001 38 v 02 walk 0 go_on_foot 0 001 ~ 00000002 v 0000 01 + 02 00 | use one's feet to advance; "Walk, don't run!"
00000002 38 v 01 zlink 0 001 @ 00000001 v 0000 01 + 02 00 | (of persons) walk stealthily; be sly; "he zlinked by"
00000003 38 v 01 zlink_off 0 000 00 | jump away
"""
INDEX = """  1 A licence line.
walk v 1 1 ~ 1 0 00000001
zlink v 1 1 @ 1 0 00000002
zlink_off v 1 0 1 0 00000003
"""
NOUNS = "00000004 18 n 01 zlinker 0 000 | a person who walks\n00000005 06 n 01 zlink 0 000 | a small ball\n"
NOUN_INDEX = "zlink n 1 0 1 0 00000005\nzlinker n 1 0 1 0 00000004\n"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A WordNet of a few words."""
    files = {"data.verb": VERBS, "index.verb": INDEX, "data.noun": NOUNS, "index.noun": NOUN_INDEX}
    empty = ("data.adj", "index.adj", "data.adv", "index.adv", "noun.exc", "adj.exc", "adv.exc")
    files |= dict.fromkeys(empty, "") | {"verb.exc": "zlunk zlink\n", "cntlist.rev": "zlink%2:38:00:: 1 9\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.fixture
def small(database: Path) -> Dictionary:
    content = bake(database, {"zlink", "zlinker"})
    return Dictionary(frozenset(content["known"].split()), content["words"], content["odd"], tuple(content["meanings"]))


def test_a_database_line_is_read_with_its_pointers_and_without_its_examples(database: Path) -> None:
    found = dict(synsets(database / "data.verb"))
    assert list(found) == ["00000001", "00000002", "00000003"]
    assert found["00000001"].words == ("walk", "go on foot")
    assert found["00000002"].pointers == (("@", "00000001", "v"),)
    assert found["00000002"].clauses == ["walk stealthily", "be sly"]


def test_strange_words_are_read_as_what_they_mean_in_the_same_form(small: Dictionary) -> None:
    readings = dict((text, weight) for weight, text in small.readings("He ZLUNK home."))
    assert "he walked stealthily home" in readings
    assert "he was sly home" in readings
    assert "he walked home" in readings
    assert sum(readings.values()) == pytest.approx(1)
    noun = {text: weight for weight, text in small.readings("he zlinks home")}
    assert noun["he walks home"] > noun["he small ball home"] > 0


def test_a_word_with_its_particle_is_one_word(small: Dictionary) -> None:
    assert [text for _, text in small.readings("she zlinks off")] == ["she jumps away"]


def test_persons_give_way_to_what_they_do(small: Dictionary) -> None:
    texts = [text for _, text in small.readings("the zlinker zlinks")]
    assert texts[:2] == ["the person walks stealthily", "the person is sly"]
    assert texts[-1].endswith(" zlinks")


def test_many_strange_words_take_no_longer_than_some(small: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    word = next(iter(small.words["v"]))
    calls = []
    plainly = module._plainly
    monkeypatch.setattr(module, "_plainly", lambda *given: calls.append(1) or plainly(*given))
    rows = small.readings(" ".join([word] * 10 * MOST))
    assert len(rows) == MOST and len(calls) == 2 * MOST


@pytest.mark.parametrize("text", ["", "a person walks forward", "qqq zzz", "he walks to it, then sits down!"])
def test_familiar_and_meaningless_sentences_have_no_other_reading(small: Dictionary, text: str) -> None:
    assert small.readings(text) == []
    assert load_dictionary().readings(text) == []


def test_words_that_the_caller_knows_are_not_strange(small: Dictionary) -> None:
    assert small.readings("he zlinks", familiar={"zlink"}) == []


@pytest.mark.parametrize(("word", "base"), [("walks", "walk"), ("tries", "try"), ("hopped", "hop"), ("diving", "dive")])
def test_endings_are_taken_off(word: str, base: str) -> None:
    assert base in base_forms(word, {})
    assert base_forms("slunk", {"slunk": "slink"}) == ["slunk", "slink"]
    assert base_forms("diving", {}, "n") == ["diving"]


def test_the_shipped_dictionary_fits_the_captions_and_is_small() -> None:
    shipped = load_dictionary()
    assert shipped.known == known_words()
    assert module.FILE.stat().st_size < 1_000_000
    assert module.FILE.with_name("WORDNET-LICENSE.txt").read_text().count("Princeton University") > 3
    assert not {base for rows in shipped.words.values() for base in rows} & shipped.known
    for text in ("the vagabond slinks past the commuter", "patriots rejoice; gladiators obstruct burglars"):
        readings = shipped.readings(text)
        assert 0 < len(readings) <= MOST
        assert readings == shipped.readings(text)


def test_a_damaged_dictionary_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "dictionary.json.gz")
    load_dictionary.cache_clear()
    try:
        with pytest.raises(LabanError, match=r"dictionary\.json\.gz: not a dictionary"):
            load_dictionary()
        packed = bytes([31, 139, 8, 0, 0, 0, 0, 0, 2, 255]) + b"\xff" * 40
        for broken in (b"broken", packed):
            module.FILE.write_bytes(broken)
            with pytest.raises(LabanError, match="not a dictionary"):
                load_dictionary()
    finally:
        load_dictionary.cache_clear()


def test_readings_vote_on_strange_sentences_alone() -> None:
    known = load_known(("walk", "wave", "chop", "sneak", "dance", "eat"))
    texts = ["a person walks", "the burglar slinks out", "the newlyweds jitterbug"]
    fit, own = known.fit(texts), known.scores(known.encoder.encode(texts).sentence)
    assert fit[0].equal(own[0])
    assert not fit[1].equal(own[1])
    assert known.meant(texts)[0] == "walk"
    assert known.meant(texts)[2] == "dance"
    assert (fit[1:].exp().sum(1) - 1).abs().max() < 1e-4
