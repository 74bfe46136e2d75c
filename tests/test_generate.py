"""Generation: seeds, batches, long clips, losses and checkpoints of a small untrained generator."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import load_body
from models.diffusion.denoiser import Condition, DenoiserConfig
from models.representation import rifke
from motion.generate import FPS, ROUNDS, STRIDE, GenerateConfig, generate, to_motion
from motion.generator import (
    Generator,
    GeneratorConfig,
    LossWeights,
    TextMotion,
    diffusion_loss,
    load_generator,
    save_generator,
)
from motion.windows import overlapping_windows

SMALL = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
QUICK = GenerateConfig(steps=3, guidance=1.5, candidates=1)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint folder with random weights whose poses are near the T-pose."""
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(SMALL, known=(("walk", 3),)), load_body().joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    save_generator(tmp_path / "small", network, "# small\n")
    return tmp_path / "small"


def test_a_sample_depends_on_its_seed_and_not_on_its_neighbours(checkpoint) -> None:
    texts = ["a person walks", "a person waves the right hand"]
    both = generate(texts, [2.0, 3.0], checkpoint=checkpoint, config=QUICK)
    assert [m.frames for m in both] == [40, 60] and all(m.fps == FPS for m in both)
    second = replace(QUICK, seed=1)
    alone = generate(texts[1:], 3.0, checkpoint=checkpoint, config=second)[0]
    np.testing.assert_allclose(alone.rotations, both[1].rotations, atol=0.05)
    other = generate(texts[1:], 3.0, checkpoint=checkpoint, config=replace(QUICK, seed=2))[0]
    assert np.abs(other.rotations - alone.rotations).max() > 0.05


def test_one_of_the_candidates_is_kept(checkpoint) -> None:
    drawn = 2 * ROUNDS  # an untrained network never shows what was meant
    several = generate(["a person walks"] * 2, 2.0, checkpoint=checkpoint, config=replace(QUICK, candidates=2))
    seeds = [row + k * STRIDE for row in range(2) for k in range(drawn)]
    single = [generate(["a person walks"], 2.0, checkpoint=checkpoint, config=replace(QUICK, seed=s))[0] for s in seeds]
    for row, motion in enumerate(several):
        gaps = [np.abs(motion.rotations - one.rotations).max() for one in single]
        assert row * drawn <= int(np.argmin(gaps)) < (row + 1) * drawn
    with pytest.raises(LabanError, match="accepted: 1 to 16"):
        generate(["a person walks"], 2.0, checkpoint=checkpoint, config=replace(QUICK, candidates=0))


def test_a_clip_longer_than_the_window_is_one_continuous_motion(checkpoint) -> None:
    motion = generate(["a person walks"], 23.0, checkpoint=checkpoint, config=replace(QUICK, candidates=2))[0]
    assert motion.frames == 460
    steps = np.linalg.norm(np.diff(motion.root[0], axis=0), axis=-1)
    assert steps.max() < 20 * np.median(steps)


@pytest.mark.parametrize(
    ("frames", "window", "overlap"), [(460, 200, 30), (201, 200, 30), (230, 200, 30), (200, 200, 30)]
)
def test_window_weights_sum_to_one_everywhere(frames, window, overlap) -> None:
    total = torch.zeros(frames)
    for w in overlapping_windows(frames, window, overlap):
        assert w.stop - w.start <= window
        total[w.start : w.stop] += w.weight[:, 0]
    torch.testing.assert_close(total, torch.ones(frames))


@pytest.mark.parametrize(
    ("texts", "seconds", "says"),
    [([""], 3.0, "empty"), (["walk"], -1.0, "0.5 to 600"), (["walk"], float("nan"), "0.5 to 600"),
     (["walk"], 1e9, "0.5 to 600"), (["walk", "run"], [1.0], "2 texts but 1")],
)  # fmt: skip
def test_bad_requests_are_named(checkpoint, texts, seconds, says) -> None:
    with pytest.raises(LabanError, match=says):
        generate(texts, seconds, checkpoint=checkpoint, config=QUICK)


def test_checkpoints_round_trip_and_say_what_is_wrong(checkpoint) -> None:
    network = load_generator(checkpoint)
    assert network.config.known == (("walk", 3),) and network.config.denoiser == SMALL
    torch.testing.assert_close(network.rest, load_body().joint_template)
    path = checkpoint / "config.json"
    good = path.read_text()
    for change, says in (({"format": 99}, "format 99"), ({"kind": "detector"}, "expected a generator")):
        path.write_text(json.dumps({**json.loads(good), **change}))
        with pytest.raises(LabanError, match=says):
            _reload(checkpoint)
    narrow = json.loads(good)
    narrow["denoiser"]["width"] = 64
    path.write_text(json.dumps(narrow))
    with pytest.raises(LabanError, match="another shape"):
        _reload(checkpoint)
    path.write_text(good)
    (checkpoint / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(LabanError, match="safetensors"):
        _reload(checkpoint)
    with pytest.raises(LabanError, match="embedded"):
        load_generator("reserch")


def _reload(folder):
    from motion import generator

    generator._load.cache_clear()
    return generator.load_generator(folder)


def make_batch(frames: int = 24) -> tuple[Generator, TextMotion]:
    torch.manual_seed(1)
    body = load_body().joint_template
    network = Generator(GeneratorConfig(SMALL), body)
    rotations = np.broadcast_to(np.eye(3), (frames, 22, 3, 3)).copy()
    clip = torch.from_numpy(rifke.encode(rotations, np.zeros((frames, 3)), body.numpy()))
    mask = torch.ones(2, frames, dtype=torch.bool)
    text = Condition(torch.randn(2, 4, 384), torch.ones(2, 4, dtype=torch.bool), torch.randn(2, 384))
    return network, TextMotion(clip.expand(2, -1, -1).clone(), mask, text)


def test_the_loss_is_zero_for_a_perfect_network_and_counts_sliding_feet() -> None:
    network, batch = make_batch()
    perfect = lambda x, t, condition, mask: batch.x  # noqa: E731
    network.forward = perfect
    terms = diffusion_loss(network, batch, torch.Generator().manual_seed(0))
    assert all(value < 1e-6 for value in terms.values())
    sliding = batch.x.clone()
    sliding[..., 1] = 0.05
    network.forward = lambda x, t, condition, mask: sliding
    terms = diffusion_loss(network, batch, torch.Generator().manual_seed(0), LossWeights())
    assert terms["skate"] > 0.05 and terms["joints"] < 1e-6


def test_decoding_puts_the_pelvis_where_the_features_say() -> None:
    body = load_body().joint_template
    features = torch.zeros(10, 205)
    features[:, 0], features[:, 2] = 0.9, 0.05
    features[:, 4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    motion = to_motion(features, body)
    pelvis = motion.root[0] + body[0].numpy()
    np.testing.assert_allclose(pelvis[:, 1], 0.9, atol=1e-5)
    np.testing.assert_allclose(pelvis[:, 2], 0.05 * np.arange(10), atol=1e-5)
