"""Released weights: a plain network with the release's names and layout says the same as what is imported from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from action_localization.spine.checkpoint import load_detector
from action_localization.spine.importing import import_actionformer, main, read_release, renamed
from laban.errors import LabanError

WIDTH, CLASSES, FEATURES, LEVELS = 16, 3, 5, 3


class Conv(nn.Module):
    def __init__(self, a: int, b: int, kernel: int = 3, groups: int = 1, bias: bool = False, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(a, b, kernel, stride, kernel // 2, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(1, width, 1) + 0.5), nn.Parameter(torch.randn(1, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.mT, (x.shape[1],)).mT * self.weight + self.bias


class Scaled(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(shape) + 0.2)


class Attention(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        for part in ("query", "key", "value"):
            setattr(self, f"{part}_conv", Conv(WIDTH, WIDTH, groups=WIDTH, stride=stride))
            setattr(self, f"{part}_norm", Norm(WIDTH))
            setattr(self, part, nn.Conv1d(WIDTH, WIDTH, 1))
        self.proj = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            getattr(self, part)(getattr(self, f"{part}_norm")(getattr(self, f"{part}_conv")(x)))
            .unflatten(1, (4, -1))
            .mT
            for part in ("query", "key", "value")
        )
        at = torch.arange(q.shape[2])
        return self.proj(F.scaled_dot_product_attention(q, k, v, (at[:, None] - at).abs() <= 9).mT.flatten(1, 2))


class Block(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.ln1, self.ln2, self.attn, self.stride = Norm(WIDTH), Norm(WIDTH), Attention(stride), stride
        self.mlp = nn.Sequential(
            nn.Conv1d(WIDTH, 4 * WIDTH, 1), nn.GELU(), nn.Dropout(0), nn.Conv1d(4 * WIDTH, WIDTH, 1), nn.Dropout(0)
        )
        self.drop_path_attn, self.drop_path_mlp = Scaled(1, WIDTH, 1), Scaled(1, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.stride == 1 else F.max_pool1d(x, 3, 2, 1)
        x = skip + self.drop_path_attn.scale * self.attn(self.ln1(x))
        return x + self.drop_path_mlp.scale * self.mlp(self.ln2(x))


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embd = nn.ModuleList([Conv(FEATURES, WIDTH), Conv(WIDTH, WIDTH)])
        self.embd_norm = nn.ModuleList([Norm(WIDTH), Norm(WIDTH)])
        self.stem = nn.ModuleList([Block(1)])
        self.branch = nn.ModuleList([Block(2) for _ in range(LEVELS - 1)])


class Neck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fpn_norms = nn.ModuleList([Norm(WIDTH) for _ in range(LEVELS)])


class Head(nn.Module):
    def __init__(self, name: str, outputs: int, levels: int) -> None:
        super().__init__()
        self.head = nn.ModuleList([Conv(WIDTH, WIDTH), Conv(WIDTH, WIDTH)])
        self.norm = nn.ModuleList([Norm(WIDTH), Norm(WIDTH)])
        setattr(self, name, Conv(WIDTH, outputs, bias=True))
        if levels:
            self.scale = nn.ModuleList([Scaled() for _ in range(levels)])

    def forward(self, x: Tensor, name: str) -> Tensor:
        for conv, norm in zip(self.head, self.norm, strict=True):
            x = F.relu(norm(conv(x)))
        return getattr(self, name)(x)


class Release(nn.Module):
    """Written from the paper's figure, with the names of the public code."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.neck = Backbone(), Neck()
        self.cls_head, self.reg_head = Head("cls_head", CLASSES, 0), Head("offset_head", 2, LEVELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for conv, norm in zip(self.backbone.embd, self.backbone.embd_norm, strict=True):
            x = F.relu(norm(conv(x)))
        for block in self.backbone.stem:
            x = block(x)
        levels = [x]
        for block in self.backbone.branch:
            levels.append(block(levels[-1]))
        levels = [norm(x) for norm, x in zip(self.neck.fpn_norms, levels, strict=True)]
        logits = [self.cls_head(x, "cls_head").mT for x in levels]
        scales = [part.scale for part in self.reg_head.scale]
        offsets = [F.relu(s * self.reg_head(x, "offset_head")).mT for s, x in zip(scales, levels, strict=True)]
        return torch.cat(logits, 1), torch.cat(offsets, 1)


@pytest.fixture
def release() -> Release:
    torch.manual_seed(3)
    return Release().eval()


def test_what_is_imported_says_the_same(release: Release, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in release.state_dict().items()}
    stale = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save({"epoch": 35, "state_dict": stale, "state_dict_ema": state}, tmp_path / "epoch_035.pth.tar")
    (tmp_path / "classes.txt").write_text("clap\nwave\nkick\n")
    main([str(tmp_path / "epoch_035.pth.tar"), "--classes", str(tmp_path / "classes.txt"), "-o", str(tmp_path / "ck")])
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 44, FEATURES)).astype(np.float32))
    network = import_actionformer(read_release(tmp_path / "epoch_035.pth.tar"), ("clap", "wave", "kick"))
    with torch.inference_mode():
        logits, offsets = release(x.mT)
        out = network(x)
    assert (out.logits - logits).abs().max() < 1e-4
    assert (out.offsets[:, :, 0] - offsets).abs().max() < 1e-4
    stored, _ = load_detector(tmp_path / "ck")
    assert stored.classes == ("clap", "wave", "kick")
    assert stored.system == network.system
    assert (stored.system.encoder.window, stored.system.encoder.levels) == (19, LEVELS)  # type: ignore[union-attr]


def test_what_does_not_fit_is_named(release: Release, tmp_path: Path) -> None:
    state = dict(release.state_dict())
    with pytest.raises(LabanError, match="3 classes apart; found 2 names"):
        import_actionformer(state, ("a", "b"))
    with pytest.raises(LabanError, match="accepted for released weights: thumos14, epic100"):
        import_actionformer(state, ("a", "b", "c"), layout="activitynet")
    with pytest.raises(LabanError, match=r"tensor neck.lateral_convs.0.conv.weight is no part"):
        import_actionformer({**state, "neck.lateral_convs.0.conv.weight": torch.zeros(1)}, ("a", "b", "c"))
    with pytest.raises(LabanError, match="rel_pe is no part"):
        renamed("backbone.stem.0.attn.rel_pe")
    less = {name: value for name, value in state.items() if "embd.0" not in name}
    with pytest.raises(LabanError, match="lack a part"):
        import_actionformer(less, ("a", "b", "c"))
    less = {name: value for name, value in state.items() if name != "backbone.stem.0.ln1.bias"}
    with pytest.raises(LabanError, match=r"1 tensors missing, first encoder.stem.0.attention_norm.bias"):
        import_actionformer(less, ("a", "b", "c"))


def test_files_that_would_build_objects_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Path("x")}, tmp_path / "object.pth.tar")
    with pytest.raises(LabanError, match="is no checkpoint of tensors alone"):
        read_release(tmp_path / "object.pth.tar")
    (tmp_path / "noise.pth.tar").write_bytes(b"noise")
    with pytest.raises(LabanError, match="is no checkpoint of tensors alone"):
        read_release(tmp_path / "noise.pth.tar")
    torch.save({"state_dict": {"a": 3}}, tmp_path / "numbers.pth.tar")
    with pytest.raises(LabanError, match="holds no state dict"):
        read_release(tmp_path / "numbers.pth.tar")
    with pytest.raises(LabanError, match="does not exist"):
        read_release(tmp_path / "none.pth.tar")
