"""Batches and losses of motion-text networks: contrastive with false negatives left out, plus action classes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.motion_text.augment import Augmentation, augment, mirror
from models.motion_text.examples import (
    UNCLASSED,
    Example,
    TextTable,
    agreement,
    class_index,
    example_weights,
)
from models.motion_text.network import pad_clips
from models.representation.joints import LAYOUT
from models.text.captions import mirror_text

PARTS = tuple(LAYOUT.parts)


@dataclass(frozen=True)
class Batch:
    """One training batch; a plain bundle of tensors."""

    features: Float[Tensor, "batch frames 133"]
    mask: Bool[Tensor, "batch frames"]
    tokens: Float[Tensor, "batch length columns"]
    token_mask: Bool[Tensor, "batch length"]
    agree: Bool[Tensor, "batch batch"]
    classes: Int[Tensor, " batch"]
    part_classes: Int[Tensor, "batch parts"]


@dataclass(frozen=True)
class BatchPlan:
    """How batches are drawn: everything follows from (seed, step), so that a resumed run is the same run."""

    size: int = 96
    balance: float = 0.5
    frames: tuple[int, ...] = (100, 120, 120, 200)
    """Longest crop, drawn for each batch: short ones are cheap, long ones show what comes late."""
    seed: int = 0
    augmentation: Augmentation = Augmentation()


def batch_maker(
    examples: Sequence[Example], actions: Sequence[str], table: TextTable, plan: BatchPlan
) -> Callable[[int], Batch]:
    """step -> batch, with balanced actions, half the clips mirrored (motion, text and label) and all augmented."""
    weights, classes = example_weights(examples, balance=plan.balance), class_index(examples, actions)

    def make(step: int) -> Batch:
        rng = np.random.default_rng((plan.seed, step))
        chooser = random.Random(f"{plan.seed}:{step}")
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        rows = rng.choice(len(examples), plan.size, p=weights)
        rule = replace(plan.augmentation, frames=int(rng.choice(plan.frames)))
        chosen, clips, wordings = [], [], []
        for row in rows:
            example, flip = examples[row], chooser.random() < 0.5
            caption = chooser.choice(example.texts if chooser.random() < 0.5 else example.captions)
            wordings.append(mirror_text(caption) if flip else caption)
            chosen.append(mirrored(example) if flip else example)
            clips.append(augment(mirror(example.features) if flip else example.features, rule, generator))
        features, mask = pad_clips(clips)
        tokens, token_mask = table.take(wordings)
        labels = torch.from_numpy(classes[rows])
        agree = torch.from_numpy(agreement(chosen, wordings))
        return Batch(features, mask, tokens, token_mask, agree, labels, part_classes(chosen, labels))

    return make


def mirrored(example: Example) -> Example:
    """The example as its mirror image is labelled; features are left alone."""
    texts = tuple(mirror_text(text) for text in example.texts)
    return replace(example, label=mirror_text(example.label), texts=texts)


def part_classes(examples: Sequence[Example], classes: Int[Tensor, " batch"]) -> Int[Tensor, "batch parts"]:
    """The class each body part should show: the action, but nothing for the arm that a one-sided label leaves idle."""
    targets = classes[:, None].repeat(1, len(PARTS))
    for row, example in enumerate(examples):
        for side, idle in (("left", "right arm"), ("right", "left arm")):
            if f"{side}-hand" in example.label or f"{side} hand" in example.label:
                targets[row, PARTS.index(idle)] = UNCLASSED
    return targets


def every_wording(examples: Sequence[Example]) -> set[str]:
    """All texts and captions of the examples and their mirror images."""
    plain = {text for example in examples for text in (*example.texts, *example.captions)}
    return plain | {mirror_text(text) for text in plain}


def contrastive(
    motion: Float[Tensor, "batch dim"], text: Float[Tensor, "batch dim"], log_scale: Float[Tensor, ""],
    agree: Bool[Tensor, "batch batch"],
) -> Float[Tensor, ""]:  # fmt: skip
    """Symmetric InfoNCE (TMR, Petrovich et al. 2023); pairs that may agree are neither positives nor negatives."""
    similarity = log_scale.clamp(max=4.0).exp() * motion @ text.T
    hidden = agree & ~torch.eye(len(agree), dtype=torch.bool, device=agree.device)
    similarity = similarity.masked_fill(hidden, float("-inf"))
    target = torch.arange(len(agree), device=agree.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def learning_loss(
    class_weight: float = 0.3, part_weight: float = 0.0
) -> Callable[[Any, Batch, torch.Generator], Mapping[str, Tensor]]:
    """Loss of a network with `motion`, `text` and `log_scale`: contrastive, action classes, classes by body part."""

    def loss(network: Any, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        output = network.motion(batch.features, batch.mask)
        text = network.text(batch.tokens, batch.token_mask)
        terms = {
            "contrast": contrastive(output.embedding.float(), text.float(), network.log_scale, batch.agree),
            "class": _class_loss(output.logits, batch.classes),
        }
        total = terms["contrast"] + class_weight * terms["class"]
        if output.part_logits is not None:
            terms["parts"] = _class_loss(output.part_logits.flatten(0, 1), batch.part_classes.flatten())
            total = total + part_weight * terms["parts"]
        return {"loss": total, **terms}

    return loss


def _class_loss(logits: Float[Tensor, "rows actions"], classes: Int[Tensor, " rows"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits.float(), classes, ignore_index=UNCLASSED, label_smoothing=0.05)
