"""`laban detect` with the shipped weights on real clips, as a new user would: one command, no flags."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from laban.cli import run
from laban.files import cache_folder
from laban.scores import read_timeline

INSTALLED = cache_folder()
"""The user's own cache, before the tests hide it."""


@pytest.mark.data
@pytest.mark.parametrize(
    ("clip", "label", "least"),
    [
        ("exercise/jumpingjack_correct_001.mp4", "jumping jacks", 2.5),
        ("clips/v_SoccerJuggling_g23_c01.avi", "football juggling", 4.0),
        ("clips/sports2d_walk_jump.mp4", "walk", 1.5),
    ],
)
def test_a_real_clip_gives_the_right_answer(clip, label, least, data_folder, tmp_path: Path, monkeypatch, capsys):
    if not (INSTALLED / "resources").is_dir() or not find_spec("ai_edge_litert"):
        pytest.skip("no pose networks; run: laban setup")
    monkeypatch.setenv("LABAN_CACHE", str(INSTALLED))
    monkeypatch.chdir(tmp_path)
    assert run(["detect", str(data_folder / "video" / clip)]) == 0
    assert label in capsys.readouterr().out
    name = Path(clip).stem
    found = [segment for segment in read_timeline(f"{name}.actions.json").segments if segment.label == label]
    assert max(segment.seconds for segment in found) >= least
    with Image.open(f"{name}.actions.png") as picture:
        assert picture.width == 1600
