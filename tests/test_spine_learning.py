"""Every system learns a planted problem in seconds; a resumed run equals an uninterrupted one; saved is as trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from action_localization.spine.batches import BatchConfig, FeatureBatches, training_video
from action_localization.spine.checkpoint import load_detector, save_detector
from action_localization.spine.detect import detect_features
from action_localization.spine.network import build_network
from action_localization.spine.systems import (
    ASL,
    BMN,
    CSA,
    ActionFormer,
    EncoderConfig,
    HeadConfig,
    LearningConfig,
    TemporalMaxer,
    TriDet,
    base,
)
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.training import TrainConfig, fit

CLASSES = ("clap", "wave", "kick")
WIDTH, FRAMES = 12, 96
SMALL = EncoderConfig(width=32, levels=4, embed=1, stem=1, heads=2, window=9, hidden=64, drop_path=0.1)
HEAD = HeadConfig(width=32, layers=1, bins=8)
LEARNING = LearningConfig(normaliser=40.0)
SYSTEMS = {
    "actionformer": ActionFormer(encoder=SMALL, head=HEAD, learning=LEARNING),
    "causal": ActionFormer(encoder=replace(SMALL, causal=True), head=HEAD, learning=LEARNING),
    "tridet": TriDet(
        encoder=replace(SMALL, block="sgp", factor=2.0), head=replace(HEAD, boundary="trident"),
        learning=replace(LEARNING, iou_power=0.2),
    ),
    "temporalmaxer": TemporalMaxer(encoder=replace(SMALL, block="pool", stem=0), head=HEAD, learning=LEARNING),
    "bmn": BMN(frames=48, durations=32, width=32, samples=8, map_width=16, sample_width=32, subsamples=2),
}  # fmt: skip
SYSTEMS["asl"] = ASL(SYSTEMS["actionformer"])
SYSTEMS["csa"] = CSA(SYSTEMS["actionformer"])
SYSTEMS["asl over csa"] = ASL(SYSTEMS["csa"], combine="product")
SYSTEMS["bmn-csa"] = CSA(SYSTEMS["bmn"])
TRAIN = TrainConfig(steps=45, lr=8e-3, warmup=5, ema=0.9, clip=1.0, precision="32-true", accelerator="cpu")


def planted(seed: int, frames: int = FRAMES) -> tuple[Features, Timeline]:
    """Noise in which each action holds up a direction of its own; several per video, at random places and lengths."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(len(CLASSES), WIDTH)).astype(np.float32)
    values = rng.normal(size=(frames, WIDTH)).astype(np.float32)
    grid, segments, at = FrameGrid(25, frames, stride=4, window=16, offset=0.2), [], int(rng.integers(3, 12))
    while at + 8 < frames:
        length, kind = int(rng.integers(8, 28)), int(rng.integers(len(CLASSES)))
        last = min(at + length, frames)
        values[at:last] += directions[kind]
        segments.append(Segment(grid.centre(at - 0.5), grid.centre(last - 0.5), CLASSES[kind]))
        at = last + int(rng.integers(4, 20))
    return Features(values, grid, "planted"), Timeline(tuple(segments), grid.centre(frames))


def batches(system, seed: int = 0) -> FeatureBatches:
    videos = [training_video(*planted(100 + n), CLASSES) for n in range(32)]
    resize = base(system).frames if isinstance(base(system), BMN) else 0
    return FeatureBatches(videos, BatchConfig(size=6, frames=64, resize=resize, seed=seed))


def train(system, folder, **changes):
    torch.manual_seed(0)
    network = build_network(system, WIDTH, CLASSES)
    return fit(network, training_loss, batches(system), replace(TRAIN, **changes), folder, progress=False)


def overlap(a: Segment, b: Segment) -> float:
    both = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    return both / (a.seconds + b.seconds - both)


def average_precision(system, network, videos: range) -> float:
    """Over all classes together, at IoU 0.5: the area under the precision of a list sorted by score."""
    hits, wanted = [], 0
    for seed in videos:
        features, truth = planted(seed)
        free = set(truth.segments)
        wanted += len(free)
        for found in sorted(detect_features(features, system, network).segments, key=lambda s: -s.score):
            match = max((t for t in free if t.label == found.label), key=lambda t: overlap(t, found), default=None)
            good = match is not None and overlap(match, found) >= 0.5
            if good:
                free.discard(match)
            hits.append((found.score, good))
    good = np.array([hit for _, hit in sorted(hits, key=lambda h: -h[0])])
    precision = np.maximum.accumulate((good.cumsum() / np.arange(1, len(good) + 1))[::-1])[::-1]
    return float(precision[good].sum() / wanted)


@pytest.mark.parametrize("name", ["actionformer", "causal", "tridet", "temporalmaxer", "asl over csa", "bmn-csa"])
def test_learns_a_planted_problem(tmp_path, name) -> None:
    system = SYSTEMS[name]
    torch.manual_seed(0)
    before = average_precision(system, build_network(system, WIDTH, CLASSES), range(6))
    network = train(system, tmp_path)
    after = average_precision(system, network, range(6))
    assert before < 0.3
    assert after > (0.5 if name == "causal" else 0.7)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path) -> None:
    system, config = SYSTEMS["asl over csa"], replace(TRAIN, steps=6)
    videos = batches(system)

    def run(folder, **limits):
        torch.manual_seed(0)
        network = build_network(system, WIDTH, CLASSES)
        return fit(network, training_loss, videos, config, folder, progress=False, **limits)

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop=3)
    parts = run(tmp_path / "parts")
    assert whole.state_dict().keys() == parts.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["asl", "tridet", "bmn-csa"])
def test_what_is_saved_detects_as_before(tmp_path, name) -> None:
    system, features = SYSTEMS[name], planted(3)[0]
    torch.manual_seed(1)
    network = build_network(system, WIDTH, CLASSES)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.bfloat16())
    save_detector(tmp_path, network, "# Card\n", extra={"extractor": "planted"})
    again, config = load_detector(tmp_path)
    assert again.system == system
    assert again.classes == CLASSES
    assert config["extractor"] == "planted"
    assert detect_features(features, system, again) == detect_features(features, system, network)


def test_another_checkpoint_is_no_detector() -> None:
    with pytest.raises(LabanError, match="is no detector"):
        load_detector("text_student")


@pytest.mark.parametrize("name", SYSTEMS)
def test_mixed_precision_gives_about_the_same_loss(name) -> None:
    system = SYSTEMS[name]
    torch.manual_seed(0)
    network, batch = build_network(system, WIDTH, CLASSES).train(), batches(system)(0)
    whole = training_loss(network, batch, torch.Generator().manual_seed(1))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = training_loss(network, batch, torch.Generator().manual_seed(1))["loss"]
    mixed.backward()
    assert mixed.item() == pytest.approx(whole.item(), rel=0.1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
