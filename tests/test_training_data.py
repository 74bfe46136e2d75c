"""Training batches: a function of the step alone, balanced as weighted, joined without jumps, composites consistent."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.body.model import load_body
from models.representation import rifke
from models.text.encoder import load_text_encoder
from motion.training_data import (
    BLEND,
    Bank,
    Mixture,
    Span,
    TextMotionBatches,
    _at_once,
    _join,
    _near,
    _repeat,
    span_parts,
)  # fmt: skip


def make_rows(frames: int, phase: float, arm: float) -> np.ndarray:
    """A person who sways and walks forward with the upper arms raised by `arm` radians."""
    rotations = np.broadcast_to(np.eye(3), (frames, 22, 3, 3)).copy()
    swing = 0.2 * np.sin(np.arange(frames) * 0.4 + phase)
    for joint, angle in ((1, swing), (2, -swing), (16, np.full(frames, arm)), (17, np.full(frames, -arm))):
        cos, sin = np.cos(angle), np.sin(angle)
        axis = 0 if joint < 3 else 2
        a, b = (1, 2) if axis == 0 else (0, 1)
        rotations[:, joint, a, a], rotations[:, joint, b, b] = cos, cos
        rotations[:, joint, a, b], rotations[:, joint, b, a] = -sin, sin
    root = np.zeros((frames, 3))
    root[:, 2] = 0.05 * np.arange(frames)
    root[:, 1] = 0.9
    return rifke.encode(rotations, root, load_body().joint_template.numpy())


@pytest.fixture(scope="module")
def bank() -> Bank:
    clips = [make_rows(90, 0.0, -1.2), make_rows(50, 1.0, 0.4), make_rows(130, 2.0, -0.9)]
    starts = np.cumsum([0, *map(len, clips)])
    texts = (("a person walks",), ("a person waves the left hand",), ("someone jogs", "a jog"))
    spans = [Span(int(s), len(c), a, t, w) for s, c, a, t, w in
             zip(starts, clips, ("walk", "wave", "jog"), texts, (1.0, 2.0, 1.0), strict=False)]  # fmt: skip
    rows = np.concatenate(clips).astype(np.float16)
    return Bank(np.stack([rows, rows]), tuple(spans))


def make_batches(bank: Bank, **options) -> TextMotionBatches:
    return TextMotionBatches(bank, load_text_encoder("embedded"), load_body().joint_template, batch=24, **options)


def test_a_batch_is_a_function_of_seed_and_step(bank) -> None:
    first, second = make_batches(bank)(7), make_batches(bank)(7)
    assert torch.equal(first.x, second.x) and torch.equal(first.condition.tokens, second.condition.tokens)
    other = make_batches(bank, seed=1)(7)
    assert first.x.shape != other.x.shape or not torch.equal(first.x, other.x)


def test_padding_is_masked_and_zero(bank) -> None:
    for step in range(6):
        batch = make_batches(bank, mixture=Mixture(repeat=0.0))(step)
        assert torch.isfinite(batch.x).all() and (batch.x[~batch.mask] == 0).all()
        assert batch.mask[:, 0].all() and (batch.mask.int().diff(dim=1) <= 0).all()


def test_draws_follow_the_weights(bank) -> None:
    batches, rng = make_batches(bank), np.random.default_rng(0)
    actions = [batches.everything(rng).action for _ in range(4000)]
    assert abs(actions.count("wave") / 4000 - 0.5) < 0.03
    assert {batches.overs(rng).action for _ in range(20)} == {"wave"}
    assert {batches.bases(rng).action for _ in range(20)} == {"walk", "jog"}


def test_mirrored_rows_come_with_mirrored_words(bank) -> None:
    batches = make_batches(bank, mixture=Mixture(0.0, 0.0, 0.0))
    rng = np.random.default_rng(3)
    texts = {batches._item(rng, 40).text for _ in range(60)}
    assert {"a person waves the left hand", "a person waves the right hand"} <= texts


def test_joining_fades_and_keeps_the_length() -> None:
    head, tail = np.zeros((20, 3)), np.ones((15, 3))
    joined = _join(head, tail)
    assert len(joined) == 20 + 15 - BLEND
    assert np.abs(np.diff(joined, axis=0)).max() < 0.2
    assert len(_repeat(tail, 50)) == 50 and len(_repeat(np.ones((3, 3)), 50)) == 50


def test_only_like_poses_are_joined(bank) -> None:
    standing, raised = make_rows(5, 0.0, -1.2), make_rows(5, 0.0, -1.1)
    fallen = standing.copy()
    fallen[:, 0] -= 0.6
    assert _near(standing[0], raised[0]) and not _near(standing[0], fallen[0])


def test_a_composite_walks_with_the_other_clip_s_arms(bank) -> None:
    batches = make_batches(bank, mixture=Mixture(0.0, 1.0, 0.0))
    rest = load_body().joint_template
    batch = batches(2)
    features = batch.x * batches.std + batches.mean
    local = rifke.local_positions(rifke.heading_rotations(features), rest).flatten(-2)
    assert (local - features[..., 136:]).abs()[batch.mask].max() < 0.02
    item = batches._composite(np.random.default_rng(0), 60)
    assert item.composite and "wav" in item.text and re.search("walk|jog", item.text)
    forward = item.rows[:, 2].astype(np.float32)
    np.testing.assert_allclose(forward, 0.05, atol=1e-3)


def test_the_arm_of_a_composite_is_the_one_that_its_words_name(bank) -> None:
    batches, rng = make_batches(bank), np.random.default_rng(1)
    seen = set()
    for _ in range(40):
        item = batches._composite(rng, 40)
        side = "left" if "left" in item.text else "right"
        columns = [c for c in rifke.LAYOUT.parts[f"{side} arm"] if c < 136]
        waving = bank.features[0, 90:140][:, columns]
        near = np.abs(item.rows[:, None, columns].astype(np.float32) - waving[None]).max(-1).min(-1)
        assert near.max() < 1e-3, item.text
        seen.add(side)
    assert seen == {"left", "right"}


def test_no_composite_of_actions_that_need_the_same_parts(bank) -> None:
    kick = replace(bank.spans[1], action="kick", captions=("a person kicks with both legs",))
    batches = make_batches(Bank(bank.features, (bank.spans[0], kick, bank.spans[2])), mixture=Mixture(0.0, 1.0))
    assert not len(batches.overs)
    assert not any(batches._item(np.random.default_rng(k), 40).composite for k in range(10))


def test_parts_of_a_span_are_those_that_most_captions_need() -> None:
    def parts(*captions: str) -> tuple[str, ...]:
        span = Span(0, 40, "wave", captions, 1.0)
        return span_parts([span])[span]

    assert parts("a person waves", "a person waves the left hand", "a wave of the left hand") == ("left arm",)
    assert parts("a person waves") == ("left arm", "right arm"), "the clip may show either"
    assert parts("a person walks", "someone walks", "he nods and walks") == ("legs",)


def test_two_captions_become_one_sentence() -> None:
    rng = np.random.default_rng(0)
    told = {_at_once(rng, "a person walks", "someone is waving the hand") for _ in range(40)}
    assert told == {"a person walks and is waving the hand", "a person walks and also is waving the hand",
                    "a person walks while waving the hand"}  # fmt: skip
    assert "he runs while the person waved" in {_at_once(rng, "he runs", "she waved") for _ in range(40)}
    assert not any("while" in _at_once(rng, "he runs", "wave the hand") for _ in range(40))


def test_statistics_normalise_the_weighted_bank(bank) -> None:
    mean, std = bank.statistics()
    spans = [bank.features[0, s.start : s.start + s.frames].astype(np.float64) for s in bank.spans]
    weighted = sum(s.weight * rows.mean(0) for s, rows in zip(bank.spans, spans, strict=True)) / 4.0
    np.testing.assert_allclose(mean, weighted, atol=1e-3)
    assert (std > 0).all()
