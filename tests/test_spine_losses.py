"""Losses by hand and by the formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from action_localization.spine.losses import balanced_bce, contrastive_loss, diou_loss, focal_loss, offsets_iou


def test_focal_loss_is_weighted_cross_entropy() -> None:
    logit = 0.7
    chance = 1 / (1 + math.exp(-logit))
    hit, miss = focal_loss(torch.tensor([logit, logit]), torch.tensor([1.0, 0.0])).tolist()
    assert hit == pytest.approx(0.25 * (1 - chance) ** 2 * -math.log(chance), rel=1e-5)
    assert miss == pytest.approx(0.75 * chance**2 * -math.log(1 - chance), rel=1e-5)
    logits, targets = torch.randn(9), torch.rand(9).round()
    flat = focal_loss(logits, targets, alpha=0.5, gamma=0.0)
    assert torch.allclose(2 * flat, F.binary_cross_entropy_with_logits(logits, targets, reduction="none"))


def test_distance_iou_by_hand() -> None:
    # around 10: [7, 12) against [9, 16): 3 in common, 9 in all, centres 9.5 and 12.5
    found, wanted = torch.tensor([3.0, 2.0]), torch.tensor([1.0, 6.0])
    assert offsets_iou(found, wanted).item() == pytest.approx(3 / 9)
    assert diou_loss(found, wanted).item() == pytest.approx(1 - 3 / 9 + (3 / 9) ** 2)
    assert diou_loss(wanted, wanted).item() == pytest.approx(0.0, abs=1e-6)


def test_distance_iou_pulls_even_an_empty_answer() -> None:
    found = torch.zeros(1, 2, requires_grad=True)
    diou_loss(found, torch.tensor([[2.0, 3.0]])).sum().backward()
    assert found.grad.isfinite().all()
    assert (found.grad < 0).all()


def test_balanced_cross_entropy_gives_both_sides_half() -> None:
    positive = torch.tensor([True] + [False] * 9)
    real = torch.ones(10, dtype=torch.bool)
    assert balanced_bce(torch.zeros(10), positive, real).item() == pytest.approx(math.log(2), rel=1e-4)
    sure = torch.where(positive, 20.0, -20.0)
    assert balanced_bce(sure, positive, real).item() == pytest.approx(0.0, abs=1e-4)
    wrong = torch.cat([sure, torch.full((5,), 20.0)])
    unreal = F.pad(real, (0, 5))
    assert balanced_bce(wrong, F.pad(positive, (0, 5)), unreal).item() == pytest.approx(0.0, abs=1e-4)


def test_contrast_by_the_formula() -> None:
    x, labels = F.normalize(torch.randn(5, 4), dim=-1), torch.tensor([0, 0, 1, 1, 2])
    rest = F.normalize(torch.randn(3, 4), dim=-1)
    total = []
    for i in range(4):
        others = [j for j in range(5) if j != i]
        below = sum(math.exp(float(x[i] @ x[j]) / 0.3) for j in others)
        below += sum(math.exp(float(x[i] @ row) / 0.3) for row in rest)
        (same,) = (j for j in others if labels[j] == labels[i])
        total.append(-math.log(math.exp(float(x[i] @ x[same]) / 0.3) / below))
    assert contrastive_loss(3 * x, labels, rest, 0.3).item() == pytest.approx(sum(total) / 4, rel=1e-4)


def test_contrast_without_pairs_is_nothing() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    for anchors, labels in ((x, torch.tensor([0, 1])), (x[:0], torch.zeros(0, dtype=torch.long))):
        loss = contrastive_loss(anchors, labels, torch.randn(3, 4), 0.2)
        loss.backward()
        assert loss.item() == 0.0
