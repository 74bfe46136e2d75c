"""Video networks as encoders: windows, weights the user brings, parity with the networks alone, `laban extract`."""

from __future__ import annotations

import itertools
import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from laban.cli import run
from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import read_features
from models.video.backbones import BACKBONES, build, load_backbone
from models.video.checkpoints import load_into, read_tensors
from models.video.reading import open_video
from models.video.windows import Sampling, centre_crop, prepared, windowed_features, windows
from tests.video_files import brightness, write_video

GREY = Sampling(10.0, 4, 2, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 12))
def test_windows_are_every_complete_run(count, window, stride):
    pictures = [torch.tensor(float(k)) for k in range(count)]
    found = [[int(p) for p in run] for run in windows(iter(pictures), window, stride)]
    wanted = [list(range(s, s + window)) for s in range(0, count - window + 1, stride)]
    assert found == (wanted or [[*range(count), *[count - 1] * (window - count)]])


def test_rows_lie_where_their_pictures_are(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(90) / 30)
    with open_video(path) as video:
        features = windowed_features(video, lambda clips: clips.mean((1, 3, 4)), GREY, "grey", batch=3)
    assert features.grid == FrameGrid(10.0, 14, 2, 4) and features.extractor == "grey"
    for k in range(14):
        times = [features.grid.start(k) + m / 10 for m in range(4)]
        wanted = [brightness(round(time * 30)) / 255 for time in times]
        assert features.values[k] == pytest.approx(wanted, abs=0.06)
    assert np.diff(features.values[:5].mean(1)).min() > 0.02  # the sixth row spans where brightness starts again


def test_a_video_shorter_than_a_window_gives_one_row(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(4) / 30)
    with open_video(path) as video:
        features = windowed_features(video, lambda clips: clips.mean((1, 3, 4)), GREY, "grey")
    assert features.values.shape == (1, 4)


def test_pictures_are_cropped_in_the_middle_and_normalised(tmp_path):
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 200
    assert (centre_crop(picture, 20) == 200).all()
    assert centre_crop(picture, 10).shape == (3, 10, 10) and centre_crop(picture, 33).shape == (3, 33, 33)
    path = write_video(tmp_path / "a.mp4", np.arange(2) / 30)
    sampling = Sampling(30.0, 1, 1, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    with open_video(path) as video:
        first = next(prepared(video, sampling))
    assert float(first[:, 12:, 12:].mean()) == pytest.approx((brightness(0) / 255 - 0.5) / 0.25, abs=0.1)


def little():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model_state": s, "epoch": 3},
                                  lambda s: {f"module.model.{k}": v for k, v in s.items()}])  # fmt: skip
def test_weights_are_found_however_they_are_wrapped(tmp_path, wrap):
    torch.save(wrap(little().state_dict()), tmp_path / "w.pth")
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 9))
    load_into(network, tmp_path / "w.pth", without=("1.",), name="little")
    assert (network[0].weight == little()[0].weight).all()


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(LabanError, match="not a readable checkpoint of tensors alone"):
        read_tensors(tmp_path / "evil.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_wrong_weights_are_one_clear_line(tmp_path):
    from safetensors.torch import save_file

    save_file({"0.weight": torch.zeros(4, 3)}, tmp_path / "part.safetensors")
    save_file({k: torch.zeros(5, 5) for k in little().state_dict()}, tmp_path / "shape.safetensors")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    (tmp_path / "w.zip").write_bytes(b"")
    for name, message in (
        ("part.safetensors", "3 of 4 tensors are missing, first 0.bias"),
        ("shape.safetensors", "0.weight has shape (5, 5); expected (4, 3)"),
        ("text.pt", "not a readable checkpoint"),
        ("tensor.pt", "holds Tensor"),
        ("w.zip", "found the suffix .zip"),
        ("none.pt", "no such file"),
    ):
        with pytest.raises(LabanError) as caught:
            load_into(little(), tmp_path / name, name="little")
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_sampling_of_the_published_networks():
    for name, spec in BACKBONES.items():
        sampling = spec.sampling()
        assert sampling.fps * spec.step == 30 and 1 <= sampling.stride <= sampling.window, name
    assert BACKBONES["x3d_s"].sampling(1.0).stride == 5


@pytest.fixture(scope="module")
def x3d(tmp_path_factory):
    """X3D-XS with random weights, and the file they are in."""
    pytest.importorskip("pytorchvideo")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = build(BACKBONES["x3d_xs"]).eval()
    path = tmp_path_factory.mktemp("x3d") / "x3d_xs.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def read_by(last, network, inputs):
    """What a network's last layer reads, averaged over positions: (batch, width)."""
    seen = []
    hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(inputs)
    hook.remove()
    return seen[0].flatten(1, -2).mean(1) if seen[0].ndim > 2 else seen[0]


def test_rows_are_what_the_networks_last_layer_reads(x3d):
    network, path = x3d
    clips = torch.randn(2, 3, 4, 160, 160)
    wanted = read_by(network.blocks[5].proj, network, clips)
    features = load_backbone("x3d_xs", path)(clips)
    assert features.shape == (2, 2048) and wanted.std() > 1e-3
    torch.testing.assert_close(features, wanted, atol=1e-5, rtol=1e-4)


def test_extract_writes_the_rows_of_a_network(tmp_path, x3d, capsys):
    video = write_video(tmp_path / "a.mp4", np.arange(90) / 30)
    out = tmp_path / "a.npz"
    weights = str(x3d[1])
    assert run(["extract", str(video), "-o", str(out), "--encoder", "x3d_xs", "--weights", weights,
                "--device", "cpu", "--json"]) == 0  # fmt: skip
    features = read_features(out)
    assert features.grid == FrameGrid(2.5, 5, 1, 4) and features.extractor == "x3d_xs"
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [str(out), f"{out}.json"] and said["features"][0]["rows"] == 5
    given = ["extract", str(video), "-o", str(out), "--encoder", "x3d_xs", "--weights", weights, "--device", "cpu"]
    assert run([*given, "--seconds", "2"]) == 0
    assert read_features(out).grid.frames == 2
    assert run([*given, "--seconds", "0"]) == 2
    assert "--seconds 0; accepted: more than 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--encoder", "x3d"], "--encoder x3d: unknown; accepted: pose, pose_confidence, log_mel, x3d_xs"),
        (["--encoder", "x3d_s"], "needs weights"),
        (["--encoder", "open_clip:"], "unknown"),
        (["--people", "0"], "--people 0; accepted: 1 to 20"),
        (["--stride", "1"], "--stride 1.0: --encoder pose takes none"),
        (["--encoder", "x3d_s", "--stride", "0"], "--stride 0; accepted"),
        (["--encoder", "x3d_s", "--people", "2"], "--people 2: --encoder x3d_s takes none"),
        (["-o", "x.mat"], "found the suffix .mat"),
        ([], "laban setup"),
    ],
)
def test_extract_refuses_in_one_line(tmp_path, capsys, arguments, said):
    video = write_video(tmp_path / "a.mp4", np.arange(5) / 30)
    out = [] if "-o" in arguments else ["-o", str(tmp_path / "a.npz")]
    pytest.importorskip("ai_edge_litert")
    assert run(["extract", str(video), *arguments, *out]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not list(tmp_path.glob("*.npz*"))


def test_extract_of_what_is_no_video_is_one_line(tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("text")
    assert run(["extract", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "a.npz")]) == 2
    assert "is not a readable video" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slowfast_r50", "slow_r50", "mvit_b_16x4"])
def test_the_larger_networks_agree_with_their_last_layer(tmp_path, name):
    pytest.importorskip("pytorchvideo")
    spec = BACKBONES[name]
    torch.manual_seed(0)
    network = build(spec).eval()
    torch.save({"model_state": network.state_dict()}, tmp_path / "w.pyth")
    clips = torch.randn(1, 3, spec.frames, spec.size, spec.size)
    inputs = [clips[:, :, :: spec.slow_every], clips] if spec.slow_every else clips
    wanted = read_by(network.get_submodule(spec.head), network, inputs)
    with torch.no_grad():
        features = load_backbone(name, tmp_path / "w.pyth")(clips)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(features, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_an_image_tower_gives_unit_rows_of_its_model(tmp_path):
    if find_spec("open_clip") is None:
        pytest.skip("open_clip is not installed")
    from models.compat import import_torchvision
    from models.video.image_tower import load_image_tower

    import_torchvision()
    import open_clip

    model = open_clip.create_model("ViT-S-32-alt", pretrained=None).eval()
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    rows, sampling = load_image_tower("open_clip:ViT-S-32-alt", tmp_path / "clip.pt")
    pictures = torch.randn(2, 3, 1, sampling.size, sampling.size)
    with torch.no_grad():
        wanted = model.encode_image(pictures[:, :, 0], normalize=True)
        torch.testing.assert_close(rows(pictures), wanted, atol=1e-5, rtol=1e-4)
    assert sampling.window == 1 and sampling.fps == 4
    for name, weights, said in (("open_clip:Nothing", None, "unknown model"),
                                ("open_clip:roberta-ViT-B-32", tmp_path / "clip.pt", "fetched from the network"),
                                ("open_clip:ViT-S-32-alt", None, "needs weights")):  # fmt: skip
        with pytest.raises(LabanError, match=said):
            load_image_tower(name, weights)


def test_the_tests_videos_tell_their_pictures_apart():
    assert all(a != b for a, b in itertools.pairwise(map(brightness, range(36))))
