"""`laban generate` as a user meets it: files of every format, one clear line for bad input, nothing half-written."""

from __future__ import annotations

import json

import pytest
import torch

from laban.cli import run
from models.body.model import load_body
from models.diffusion.denoiser import DenoiserConfig
from models.formats import read_motion
from models.representation import rifke
from motion.generator import Generator, GeneratorConfig, save_generator


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small generator with random weights."""
    torch.manual_seed(0)
    denoiser = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
    network = Generator(GeneratorConfig(denoiser, known=(("walk", 3), ("wave", 2))), load_body().joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[0] = 0.9
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_generator(folder, network, "# small\n")
    return str(folder)


def test_every_format_is_written_and_the_text_is_explained(checkpoint, tmp_path, capsys) -> None:
    names = ["a.npz", "a.bvh", "a.glb", "a.mp4", "a.png"]
    outputs = [part for name in names for part in ("-o", str(tmp_path / name))]
    command = [
        "generate",
        "someone strolls",
        "--seconds",
        "1",
        "--steps",
        "2",
        "--checkpoint",
        checkpoint,
        "--size",
        "128",
    ]
    assert run([*command, *outputs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(tmp_path / name) for name in names]
    assert told["leaned_on"][0]["action"] == "walk"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert read_motion(tmp_path / "a.npz").seconds == pytest.approx(1.0, abs=0.1)


def test_several_samples_are_numbered_and_differ(checkpoint, tmp_path) -> None:
    target = tmp_path / "b.npz"
    command = ["generate", "walk", "--seconds", "1", "--steps", "2", "--checkpoint", checkpoint, "--n", "2"]
    assert run([*command, "-o", str(target)]) == 0
    first, second = read_motion(tmp_path / "b-1.npz"), read_motion(tmp_path / "b-2.npz")
    assert abs(first.rotations - second.rotations).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["  "], "text is empty"),
        (["walk", "--seconds", "-3"], "--seconds -3; accepted: 0.5 to 600"),
        (["walk", "--seconds", "1e9"], "accepted: 0.5 to 600"),
        (["walk", "-o", "x.fbx"], "'.fbx' is unknown; accepted: .npz, .bvh, .glb"),
        (["walk", "--n", "0"], "accepted: 1 to"),
        (["walk", "--checkpoint", "nowhere"], "nowhere"),
        (["walk", "--steps", "5000"], "accepted: 1 to 1000"),
        (["walk", "--size", "big"], "--size"),
        (["walk", "--fps", "0"], "fps"),
        (["walk", "--body", "missing.npz"], "missing.npz"),
        (["walk", "--sceonds", "3"], "--seconds"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(checkpoint, tmp_path, monkeypatch, capsys, arguments, says) -> None:
    monkeypatch.chdir(tmp_path)
    if "--checkpoint" not in arguments:
        arguments = [*arguments, "--checkpoint", checkpoint]
    if "-o" not in arguments:
        arguments = [*arguments, "-o", "x.png"]
    assert run(["generate", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and len(told.splitlines()) == 1
    assert not list(tmp_path.rglob("*.*"))


def test_a_file_in_place_of_the_folder_is_named(checkpoint, tmp_path, capsys) -> None:
    (tmp_path / "taken").write_text("")
    assert run(["generate", "walk", "--checkpoint", checkpoint, "-o", str(tmp_path / "taken" / "x.npz")]) == 2
    assert "taken" in capsys.readouterr().err
