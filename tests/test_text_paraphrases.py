"""The paraphrase list shares no content word with training captions, and its check can tell."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from models.text.captions import every_template
from models.text.phrases import PHRASES


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("paraphrases", repository / "benchmarks" / "paraphrases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_fifty_of_at_least_forty_known_actions(script: ModuleType) -> None:
    items = script.load_paraphrases()
    assert len({item["text"] for item in items}) == len(items) == 50
    assert len({item["action"] for item in items}) >= 40
    assert {item["action"] for item in items} <= set(PHRASES)


def test_no_template_shares_a_content_word(script: ModuleType) -> None:
    assert script.violations(script.load_paraphrases(), script.training_words(every_template())) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a butler walks about", "walks"),
        ("she ran", "ran"),
        ("a breathless athlete", "breathless"),
        ("the stepping stone", "stepping"),
        ("he was struck", "struck"),
    ],
)
def test_a_planted_violation_is_caught(script: ModuleType, tmp_path: Path, text: str, word: str) -> None:
    known = script.training_words([*every_template(), "out of breath", "steps on a stone"])
    planted = [*script.load_paraphrases(), {"text": text, "action": "walk"}]
    (found,) = script.violations(planted, known)
    assert word in found


def test_the_script_exits_with_one_on_a_violation(script: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "planted.json"
    file.write_text(json.dumps({"paraphrases": [{"text": "somebody dances", "action": "dance"}]}))
    assert script.main(["--check", "--file", str(file), "--mocap", str(tmp_path)]) == 1
    assert script.main(["--check", "--mocap", str(tmp_path)]) == 0


def test_function_words_do_not_count(script: ModuleType) -> None:
    assert script.content_words("someone is over there with her") == {}


@pytest.mark.data
def test_no_caption_of_the_real_set_shares_a_content_word(script: ModuleType, mocap_folder: Path) -> None:
    assert script.main(["--check", "--mocap", str(mocap_folder)]) == 0
