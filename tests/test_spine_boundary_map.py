"""BMN's map against the formulas written out: dense sampling, loops over cells, loops over pairs of boundaries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from action_localization.spine.batches import Batch, TrainingVideo, collate, resized
from action_localization.spine.boundary_map import BoundaryMatcher, cell_mask, map_targets, sampling
from action_localization.spine.decode import map_candidates
from action_localization.spine.detect import detect_features
from action_localization.spine.network import Detector, build_network
from action_localization.spine.systems import ASL, BMN, CSA, ActionFormer
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features

SMALL = BMN(frames=12, durations=9, width=8, samples=4, subsamples=3, map_width=6, sample_width=10)
CLASSES = ("a", "b", "c")


def make(system) -> BoundaryMatcher:
    torch.manual_seed(0)
    network = build_network(system, 6, CLASSES)
    assert isinstance(network, BoundaryMatcher)
    return network


def plain_samples(x: np.ndarray, config: BMN) -> np.ndarray:
    """(durations, time, samples, width): one cell, sample and sub-sample after another."""
    time = len(x)
    out = np.zeros((config.durations, time, config.samples, x.shape[1]))
    padded = np.concatenate([np.zeros((1, x.shape[1])), x, np.zeros((1, x.shape[1]))])
    for d in range(config.durations):
        for t in range(time - d):
            length = d + 1
            low, high = t - config.context * length, t + length + config.context * length
            for n in range(config.samples * config.subsamples):
                at = low + (high - low) * (n + 0.5) / (config.samples * config.subsamples) - 0.5
                if -1 < at < time:
                    a, share = int(np.floor(at)), at - np.floor(at)
                    value = (1 - share) * padded[a + 1] + share * padded[a + 2]
                    out[d, t, n // config.subsamples] += value / config.subsamples
    return out


def test_sampling_equals_the_formula() -> None:
    x = np.random.default_rng(0).normal(size=(SMALL.frames, 3))
    cells, rows, columns, weights = sampling(SMALL)
    found = np.zeros((len(cells), SMALL.samples, 3))
    np.add.at(found, (rows.numpy(), columns.numpy() % SMALL.samples),
              weights.numpy()[:, None] * x[columns.numpy() // SMALL.samples])  # fmt: skip
    plain = plain_samples(x, SMALL).reshape(-1, SMALL.samples, 3)
    assert np.allclose(found, plain[cells.numpy()], atol=1e-5)
    assert sorted(cells.tolist()) == torch.nonzero(cell_mask(SMALL).flatten())[:, 0].tolist()


def test_the_map_equals_sampling_first_and_weighing_after() -> None:
    network = make(SMALL)
    x = torch.randn(2, SMALL.frames, SMALL.map_width, requires_grad=True)
    found = network._quality(x)
    weight = network.sample.weight.view(SMALL.samples, SMALL.sample_width, SMALL.map_width)
    for row in range(2):
        samples = torch.tensor(plain_samples(x[row].detach().numpy(), SMALL)).float()
        image = F.relu(torch.einsum("dtnc,noc->dto", samples, weight) + network.sample_bias)
        image = F.relu(network.squeeze(image)) * cell_mask(SMALL)[..., None]
        image = image.permute(2, 0, 1)[None]
        for conv in network.map[:-1]:
            image = F.relu(conv(image))
        assert torch.allclose(network.map[-1](image)[0], found[row], atol=1e-4)
    found.square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert network.sample.weight.grad.abs().sum() > 0


def test_targets_equal_loops_over_cells() -> None:
    segments = torch.tensor([[[2.3, 6.1], [0.0, 11.0], [5.0, 7.0]]])
    start, end, iou = map_targets(SMALL, segments, torch.tensor([[1, -1, 0]]))
    real = [(2.8, 6.6), (5.5, 7.5)]
    for d in range(SMALL.durations):
        for t in range(SMALL.frames):
            best = 0.0
            for a, b in real:
                both = max(0.0, min(t + d + 1, b) - max(t, a))
                best = max(best, both / ((d + 1) + (b - a) - both))
            assert iou[0, d, t].item() == pytest.approx(best, abs=1e-5)
    for at in range(SMALL.frames):
        for found, edge in ((start, 0), (end, 1)):
            near = [max(0.0, min(at + 0.5, s[edge] + 1.5) - max(at - 0.5, s[edge] - 1.5)) for s in real]
            assert found[0, at].item() == pytest.approx(max(near), abs=1e-5)


def test_candidates_join_every_pair_of_likely_boundaries() -> None:
    rng = np.random.default_rng(1)
    start, end = rng.random(12) ** 3, rng.random(12) ** 3
    quality = rng.random((2, 9, 12))
    wide_s, ends = np.r_[-1, start, -1], np.r_[end, end[-1]]
    wide_e = np.r_[-1, ends, -1]
    wanted = {}
    for s in range(12):
        for e in range(s + 1, 13):
            likely_s = start[s] > max(wide_s[s], wide_s[s + 2]) or start[s] > 0.5 * start.max()
            likely_e = ends[e] > max(wide_e[e], wide_e[e + 2]) or ends[e] > 0.5 * ends.max()
            if likely_s and likely_e and e - s <= 9:
                wanted[s, e] = start[s] * ends[e] * quality[0, e - s - 1, s] * quality[1, e - s - 1, s]
    found = map_candidates(start, end, quality)
    assert {(int(a), int(b)) for a, b in zip(found.start, found.end, strict=True)} == set(wanted)
    assert all(wanted[a, b] == pytest.approx(c) for a, b, c in zip(found.start, found.end, found.score, strict=True))


@pytest.mark.parametrize("system", [SMALL, CSA(SMALL)])
def test_loss_is_repeatable_and_survives_videos_without_segments(system) -> None:
    for labels in (torch.tensor([[0], [2]]), torch.full((2, 1), -1), torch.zeros(2, 0, dtype=torch.long)):
        segments = torch.tensor([[[2.0, 7.0]], [[0.0, 3.0]]])[:, : labels.shape[1]]
        batch = Batch(torch.randn(2, 12, 6), torch.ones(2, 12, dtype=torch.bool), segments, labels)
        network = make(system).train()
        one, other = (training_loss(network, batch, torch.Generator().manual_seed(1)) for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert ("semantics" in one) == isinstance(system, CSA)
        one["loss"].backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_resizing_keeps_times() -> None:
    values = np.repeat(np.arange(60, dtype=np.float32)[:, None], 2, 1)
    video = resized(TrainingVideo(values, np.array([[10.0, 29.5]]), np.array([1])), 12)
    assert video.values[:, 0] == pytest.approx(np.arange(12) * 5 + 2)
    assert video.segments == pytest.approx(np.array([[10.5 / 5 - 0.5, 30 / 5 - 0.5]]))
    assert collate([video]).segments.shape == (1, 1, 2)


def test_detecting_covers_the_whole_video_and_takes_outside_labels() -> None:
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    given, network = Features(values, FrameGrid(25, 50, 5, 5), "test"), make(SMALL)
    found = detect_features(given, SMALL, network)
    assert 0 < len(found.segments) <= 200
    assert {s.label for s in found.segments} <= set(CLASSES)
    assert min(s.start for s in found.segments) < 1 and max(s.end for s in found.segments) > 9
    assert all(0 <= s.start < s.end <= 10 for s in found.segments)
    outside = detect_features(given, SMALL, network, video_scores={"jump": 0.7})
    assert {s.label for s in outside.segments} == {"jump"}


def test_what_does_not_fit() -> None:
    with pytest.raises(LabanError, match="accepted: 12"):
        make(SMALL)(torch.randn(1, 13, 6))
    with pytest.raises(LabanError, match="ActionFormer has no boundary map"):
        BoundaryMatcher(ActionFormer(), 6, CLASSES)
    with pytest.raises(LabanError, match="BMN has no pyramid"):
        Detector(SMALL, 6, CLASSES)
    with pytest.raises(LabanError, match="ASL"):
        build_network(ASL(CSA(SMALL)), 6, CLASSES)
