"""Checkpoint folders: what is written is read back, in 16 and in 8 bits, and damage is refused."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from laban.errors import LabanError
from laban.weights import SCALE, load_weights, save_weights


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "matrix": torch.randn(6, 40, generator=generator) * torch.logspace(-3, 2, 6)[:, None],
        "filter": torch.randn(4, 3, 5, generator=generator), "zero": torch.zeros(2, 7),
        "vector": torch.randn(9, generator=generator), "count": torch.arange(12).view(3, 4),
    }  # fmt: skip


@pytest.mark.parametrize("int8", [False, True])
def test_weights_come_back(tmp_path, int8):
    given = tensors()
    save_weights(tmp_path / "c", given, {"kind": "test"}, "# Card\n", int8=int8)
    found, config = load_weights(tmp_path / "c", verify=True)
    assert config["kind"] == "test" and found.keys() == given.keys()
    for name, value in given.items():
        error = (found[name].double() - value.double()).abs().flatten(1 if value.ndim > 1 else 0).amax(-1)
        largest = value.double().abs().flatten(1 if value.ndim > 1 else 0).amax(-1)
        assert (error <= (largest / 250 if value.ndim > 1 and value.is_floating_point() else 0)).all(), name


def test_int8_takes_about_half_the_room(tmp_path):
    given = {"matrix": torch.randn(256, 512)}
    sizes = []
    for int8 in (False, True):
        save_weights(tmp_path / f"{int8}", given, {}, "", int8=int8)
        sizes.append((tmp_path / f"{int8}" / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.51 * sizes[0]


def test_a_scale_without_its_matrix_is_refused(tmp_path):
    save_weights(tmp_path / "c", {"matrix": torch.randn(3, 4)}, {}, "", int8=True)
    path = tmp_path / "c" / "model.safetensors"
    kept = load_file(path)
    save_file({f"matrix{SCALE}": kept[f"matrix{SCALE}"]}, path)
    with pytest.raises(LabanError, match="belongs to no matrix"):
        load_weights(tmp_path / "c")
    save_file({"matrix": kept["matrix"], f"matrix{SCALE}": torch.ones(2)}, path)
    with pytest.raises(LabanError, match="no matrix of 2 rows"):
        load_weights(tmp_path / "c")


def test_a_giant_header_is_refused(tmp_path):
    save_weights(tmp_path / "c", {"matrix": torch.randn(3, 4)}, {}, "")
    (tmp_path / "c" / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(LabanError, match="not a readable safetensors"):
        load_weights(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(LabanError, match="format 99"):
        load_weights(tmp_path / "c")
