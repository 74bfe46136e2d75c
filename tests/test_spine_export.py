"""An exported detector says what the network says, at any length; the packages for it are optional."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.spine.checkpoint import save_detector
from action_localization.spine.export import OnnxDetector, block_of, export_detector, main
from action_localization.spine.network import build_network
from action_localization.spine.systems import ASL, BMN, ActionFormer, EncoderConfig, HeadConfig, TriDet
from laban.errors import LabanError

SMALL = EncoderConfig(width=16, levels=2, embed=1, stem=1, heads=2, window=5, hidden=16)
HEAD = HeadConfig(width=16, layers=1, bins=4)
SYSTEMS = {
    "actionformer": ActionFormer(encoder=SMALL, head=HEAD),
    "tridet": TriDet(encoder=replace(SMALL, block="sgp"), head=replace(HEAD, boundary="trident")),
}


def test_the_block_is_a_multiple_of_what_every_level_needs() -> None:
    assert block_of(ActionFormer()) == 1024
    assert block_of(SYSTEMS["actionformer"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SYSTEMS))
def test_parity_at_lengths_it_was_not_exported_for(name: str, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    network = build_network(SYSTEMS[name], 5, ("clap", "wave")).eval()
    for key, value in network.named_parameters():
        if key.endswith("scale"):
            value.data.fill_(0.5)
    save_detector(tmp_path / "ck", network, "a test", extra={"extractor": "toy"})
    main([str(tmp_path / "ck"), "-o", str(tmp_path / "model.onnx")])
    exported = OnnxDetector(tmp_path / "model.onnx", threads=1)
    assert (exported.classes, exported.system, exported.width) == (("clap", "wave"), SYSTEMS[name], 5)
    from action_localization.spine.checkpoint import load_detector

    network, _ = load_detector(tmp_path / "ck")
    rng = np.random.default_rng(0)
    for time in (1, 37, 64, 201):
        values = rng.normal(size=(time, 5)).astype(np.float32)
        with torch.inference_mode():
            out = network(torch.from_numpy(values)[None])
        logits, offsets = exported(values)
        assert np.abs(logits - out.logits[0].numpy()).max() < 1e-4
        assert np.abs(offsets - out.offsets[0].numpy()).max() < 1e-4
    with pytest.raises(LabanError, match=r"features of shape \(3, 4\); accepted: \(time, 5\)"):
        exported(np.zeros((3, 4), np.float32))


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="BMN reads videos of one length"):
        export_detector(build_network(BMN(frames=8, durations=4, width=8, sample_width=8, map_width=8), 3, ("a",)),
                        tmp_path / "model.onnx")  # fmt: skip
    pytest.importorskip("onnxruntime")
    with pytest.raises(LabanError, match="does not exist"):
        OnnxDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(LabanError, match="is no detector exported as ONNX"):
        OnnxDetector(tmp_path / "bad.onnx")


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(LabanError, match=r"pip install 'laban\[onnx\]'"):
        export_detector(build_network(ASL(SYSTEMS["actionformer"]), 3, ("a",)), tmp_path / "model.onnx")
