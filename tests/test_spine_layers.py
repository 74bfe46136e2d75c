"""Layers against torch's own or against the formula, with and without masks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from action_localization.spine.layers import (
    GroupNorm,
    Residual,
    TemporalConv,
    halved,
    masked_mean,
    max_pool,
    running_mean,
    window_attention,
)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 1), (3, 2, 1), (5, 1, 8), (3, 2, 8), (1, 1, 2)])
@pytest.mark.parametrize("time", [1, 2, 9, 16])
def test_convolution_equals_torch(kernel, stride, groups, time) -> None:
    conv, x = TemporalConv(8, 16, kernel, stride=stride, groups=groups), rand(2, time, 8)
    plain = F.conv1d(x.transpose(1, 2), conv.weight, conv.bias, stride, kernel // 2, groups=groups).transpose(1, 2)
    found = conv(x)
    assert found.shape[1] == -(-time // stride)
    assert torch.allclose(found, plain, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_causal_convolution_looks_back_only(stride) -> None:
    conv, x = TemporalConv(4, 4, 3, stride=stride, causal=True), rand(1, 12, 4)
    changed = x.clone()
    changed[:, 7:] += 1
    before, after = conv(x), conv(changed)
    assert before.shape[1] == 12 // stride
    assert torch.allclose(before[:, : -(-7 // stride)], after[:, : -(-7 // stride)], atol=1e-6)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("time", [1, 2, 7, 12])
def test_pooling_equals_torch(time) -> None:
    x = rand(2, time, 4)
    assert torch.equal(max_pool(x), F.max_pool1d(x.transpose(1, 2), 3, 2, 1).transpose(1, 2))


def test_pooling_never_takes_what_is_masked() -> None:
    x, mask = rand(1, 10, 4) - 10, torch.arange(10)[None] < 7
    found = max_pool(x * mask[..., None], mask)
    assert torch.equal(found[:, :4], max_pool(x[:, :7]))
    assert not found[:, 4:].any()
    assert halved(mask).tolist() == [[True] * 4 + [False]]


@pytest.mark.parametrize("time", [3, 32, 50])
@pytest.mark.parametrize(("back", "ahead"), [(4, 4), (9, 0), (40, 40)])
@pytest.mark.parametrize("training", [False, True])
def test_windowed_attention_equals_full_attention_under_a_band(time, back, ahead, training) -> None:
    q, k, v = (rand(2, time, 8, seed=s) for s in range(3))
    mask = torch.arange(time)[None] < torch.tensor([[time], [max(1, time - 5)]])
    gap = torch.arange(time)[None] - torch.arange(time)[:, None]
    seen = (gap >= -back) & (gap <= ahead)
    split = [x.unflatten(-1, (2, 4)).transpose(1, 2) for x in (q, k, v)]
    wanted = F.scaled_dot_product_attention(*split, attn_mask=(seen & mask[:, None])[:, None])
    wanted = wanted.transpose(1, 2).flatten(2)
    with torch.set_grad_enabled(training):
        found = window_attention(q, k, v, mask, heads=2, back=back, ahead=ahead)
        plain = window_attention(q[:1], k[:1], v[:1], None, heads=2, back=back, ahead=ahead)
    assert torch.allclose(found[mask], wanted[mask], atol=1e-5)
    assert torch.allclose(plain, wanted[:1], atol=1e-5)
    assert found.isfinite().all()


def test_group_norm_equals_torch_and_ignores_padding() -> None:
    norm, x = GroupNorm(4, 16), rand(1, 9, 16)
    plain = F.group_norm(x.transpose(1, 2), 4).transpose(1, 2)
    assert torch.allclose(norm(x), plain, atol=1e-4)
    padded, mask = F.pad(x, (0, 0, 0, 3)), torch.arange(12)[None] < 9
    assert torch.allclose(norm(padded, mask)[:, :9], plain, atol=1e-4)


def test_causal_group_norm_is_one_entry_at_a_time() -> None:
    norm, x = GroupNorm(4, 16, causal=True), rand(2, 9, 16)
    assert torch.allclose(norm(x)[:, 3], F.group_norm(x[:, 3], 4), atol=1e-4)


def test_means() -> None:
    x, mask = rand(2, 6, 3), torch.arange(6)[None] < torch.tensor([[6], [4]])
    assert torch.allclose(masked_mean(x, mask)[1, 0], x[1, :4].mean(0), atol=1e-6)
    assert torch.allclose(running_mean(x)[:, 3], x[:, :4].mean(1), atol=1e-6)
    assert torch.equal(masked_mean(x, torch.zeros(2, 6, dtype=torch.bool)), torch.zeros(2, 1, 3))


def test_residuals_are_dropped_whole_and_keep_their_mean() -> None:
    layer, x = Residual(4, drop=0.25, start=1.0), torch.ones(4000, 1, 4)
    torch.manual_seed(0)
    out = layer(x)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[..., :1]).all()
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(layer.eval()(x), x)
