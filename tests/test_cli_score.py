"""`laban generate SCORE`: timelines in, motions with their figures out; a bad score is one line and no file."""

from __future__ import annotations

import json

import pytest
import torch

from laban.cli import run
from laban.scores import write_timeline
from laban.timeline import Segment, Timeline
from models.body.model import load_body
from models.diffusion.denoiser import DenoiserConfig
from models.formats import read_motion
from models.representation import rifke
from motion.generator import Generator, GeneratorConfig, save_generator

SCORE = "a person walks # 0 # 2\nwave with the right hand # 0.5 # 1.5 # right arm\nsit down # 2 # 3.5\n"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained generator whose poses are near the T-pose."""
    torch.manual_seed(0)
    config = GeneratorConfig(DenoiserConfig(rifke.LAYOUT.features, width=32, layers=1, heads=2, hidden=64),
                             known=(("walk", 3),))  # fmt: skip
    network = Generator(config, load_body().joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_generator(folder, network, "# small\n")
    return folder


def perform(path, checkpoint, *arguments):
    return run(
        ["generate", str(path), "--checkpoint", str(checkpoint), "--steps", "2", "--candidates", "1", *arguments]
    )


def test_a_score_becomes_a_motion_with_its_figure_beside_it(checkpoint, tmp_path, capsys) -> None:
    (tmp_path / "play.txt").write_text(SCORE)
    assert perform(tmp_path / "play.txt", checkpoint, "-o", str(tmp_path / "out.npz"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in tmp_path.glob("out.*")) == ["out.npz", "out.png", "out.svg"]
    assert read_motion(tmp_path / "out.npz").seconds == pytest.approx(3.5, abs=0.05)
    intervals = told["timelines"][0]["intervals"]
    assert [i["parts"] for i in intervals] == [["legs"], ["right arm"], ["legs", "spine"]]
    assert intervals[1]["because"] == "as written" and "walk" in intervals[0]["because"]
    svg = (tmp_path / "out.svg").read_text()
    assert svg.startswith("<?xml") and len(svg) > 2000


def test_every_form_of_score_is_performed_and_a_figure_asked_for_is_the_only_one(checkpoint, tmp_path) -> None:
    timeline = Timeline((Segment(0, 1, "walk"), Segment(1, 2.5, "sit down")))
    for suffix in (".json", ".vtt", ".csv"):
        write_timeline(tmp_path / f"play{suffix}", timeline)
        folder = tmp_path / suffix[1:]
        assert (
            perform(tmp_path / f"play{suffix}", checkpoint, "-o", str(folder / "a.bvh"), "-o", str(folder / "b.png"))
            == 0
        )
        assert sorted(path.name for path in folder.iterdir()) == ["a.bvh", "b.png"]


def test_several_timelines_and_samples_are_numbered(checkpoint, tmp_path) -> None:
    (tmp_path / "two.txt").write_text("walk # 0 # 1\n\nsit down # 0 # 2\n")
    assert perform(tmp_path / "two.txt", checkpoint, "--n", "2", "-o", str(tmp_path / "x.npz")) == 0
    assert [round(read_motion(tmp_path / f"x-{k}.npz").seconds) for k in (1, 2, 3, 4)] == [1, 1, 2, 2]


def test_as_published_is_another_motion(checkpoint, tmp_path) -> None:
    (tmp_path / "play.txt").write_text(SCORE)
    for name, more in (("a", []), ("b", ["--as-published"]), ("c", ["--method", "sinc"])):
        assert perform(tmp_path / "play.txt", checkpoint, "-o", str(tmp_path / f"{name}.npz"), *more) == 0
    a, b, c = (read_motion(tmp_path / f"{name}.npz").rotations for name in "abc")
    assert abs(a - b).max() > 1e-3 and abs(a - c).max() > 1e-3


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("walk # 0 # 2\nsit down # 3\n", [], "play.txt:2"),
        ("walk # 2 # 1\n", [], "play.txt:1"),
        ("walk # 0 # 2 # lgs\n", [], "did you mean 'legs'?"),
        ("wave # 0 # 2 # left arm\npunch # 1 # 3 # left arm\n", [], "play.txt: 'wave' (0 to 2 s) and 'punch'"),
        ("walk # 0 # 0.1\n", [], "accepted: at least 0.25 s"),
        ("\n", [], "holds no interval"),
        ("walk # 0 # nan\n", [], "play.txt:1"),
        (SCORE, ["--seconds", "4"], "no --seconds with a score"),
        (SCORE, ["--method", "best"], "--method best; accepted: stmc"),
        (SCORE, ["--overlap", "-1"], "--overlap -1; accepted: 0 to 5"),
        (SCORE, ["--labeller-url", "ftp://x"], "accepted: http:// or https://"),
    ],
)
def test_a_bad_score_is_one_line_and_writes_nothing(checkpoint, tmp_path, capsys, text, arguments, says) -> None:
    (tmp_path / "play.txt").write_text(text)
    assert perform(tmp_path / "play.txt", checkpoint, "-o", str(tmp_path / "out.npz"), *arguments) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and len(told.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["play.txt"]


def test_what_is_no_score_file_is_named(checkpoint, tmp_path, capsys) -> None:
    assert perform(tmp_path / "missing.txt", checkpoint, "-o", str(tmp_path / "x.npz")) == 2
    assert "missing.txt: no such file; accepted: a sentence, or a score" in capsys.readouterr().err
    (tmp_path / "take.pdf").write_bytes(b"%PDF")
    assert perform(tmp_path / "take.pdf", checkpoint, "-o", str(tmp_path / "x.npz")) == 2
    assert "unknown score suffix '.pdf'" in capsys.readouterr().err


def test_the_command_and_the_library_share_their_default_overlap() -> None:
    from laban.cli.generate import OVERLAP
    from motion.compose import Control

    assert Control().overlap == OVERLAP
