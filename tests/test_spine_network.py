"""What must hold of every pyramid: padding changes nothing, shifts shift, causal looks back, wrappers can be undone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from action_localization.spine.batches import Batch
from action_localization.spine.detect import dense_detections, detect_features, features_end, in_bf16, pyramid_reach
from action_localization.spine.heads import TridentHead
from action_localization.spine.network import DenseOutput, build_network
from action_localization.spine.systems import (
    ASL,
    BMN,
    CSA,
    PROTOCOLS,
    ActionFormer,
    EncoderConfig,
    HeadConfig,
    TemporalMaxer,
    TriDet,
    base,
    for_protocol,
    from_json,
    to_json,
    wrapper,
)
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import FrameGrid
from models.features import Features

SMALL = EncoderConfig(width=16, levels=4, embed=1, stem=1, heads=2, window=5, hidden=32, drop_path=0.0)
HEAD = HeadConfig(width=16, layers=1, bins=4)
ACTIONFORMER = ActionFormer(encoder=SMALL, head=HEAD)
TRIDET = TriDet(
    encoder=replace(SMALL, block="sgp", factor=2.0), head=replace(HEAD, boundary="trident")
)  # fmt: skip
MAXER = TemporalMaxer(encoder=replace(SMALL, block="pool", stem=0), head=HEAD)
DENSE = {"actionformer": ACTIONFORMER, "tridet": TRIDET, "temporalmaxer": MAXER, "csa": CSA(ACTIONFORMER)}
CLASSES = ("a", "b", "c")


def make(system, *, scale: float = 1.0):
    """A network whose residual branches and gates all speak up, so that nothing passes a test by being silent."""
    torch.manual_seed(0)
    network = build_network(system, 6, CLASSES)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "scale" in name and value.ndim == 1 and "scales" not in name:
                value.fill_(scale)
            if "gate.expand" in name or "gate.time" in name:
                value.normal_()
    return network.eval()


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def flat(out: DenseOutput) -> torch.Tensor:
    """Everything that is said at a point, (batch, points, numbers)."""
    return torch.cat([out.logits, out.offsets.flatten(2)], -1)


def test_sizes_of_the_published_networks() -> None:
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in build_network(s, 2048, [str(n) for n in range(20)]).parameters())
            for s in (ActionFormer(), TemporalMaxer())
        ]
    assert sizes[0] == pytest.approx(29.3e6, rel=0.01)
    assert sizes[1] == pytest.approx(7.1e6, rel=0.01)


@pytest.mark.parametrize("name", DENSE)
@torch.no_grad()
def test_padding_changes_nothing(name) -> None:
    network, x = make(DENSE[name]), rand(1, 37, 6)
    padded = torch.full((2, 53, 6), torch.nan)
    padded[0, :37], padded[1] = x[0], rand(53, 6, seed=1)
    mask = torch.arange(53)[None] < torch.tensor([[37], [53]])
    alone, beside = network(x), network(padded, mask)
    assert alone.mask is None
    assert alone.logits.shape[1] == int(beside.mask[0].sum()) == len(network.points(37).place)
    assert torch.allclose(flat(alone)[0], flat(beside)[0][beside.mask[0]], atol=1e-4)


@pytest.mark.parametrize("name", DENSE)
@torch.no_grad()
def test_a_shift_of_the_video_shifts_every_level(name) -> None:
    network, shift, frames = make(DENSE[name]), 16, 320
    x = torch.zeros(1, frames, 6)
    x[:, 150:166] = rand(1, 16, 6)
    moved = torch.roll(x, shift, 1)
    host, points = base(DENSE[name]), network.points(frames)
    one, other = flat(network(x))[0], flat(network(moved))[0]
    first = 0
    for level, size in enumerate(points.sizes):
        step, edge = shift // 2**level, -(-pyramid_reach(host) // 2**level)
        inner = slice(first + edge, first + size - step - edge)
        assert (one[inner] - one[inner.start]).abs().max() > 0.1
        assert torch.allclose(one[inner], other[inner.start + step : inner.stop + step], atol=1e-4)
        first += size


@pytest.mark.parametrize("block", ["attention", "sgp", "pool"])
@torch.no_grad()
def test_causal_blocks_do_not_look_ahead(block) -> None:
    system = replace(ACTIONFORMER, encoder=replace(SMALL, block=block, causal=True))
    network, x, now = make(system), rand(1, 64, 6), 33
    changed = x.clone()
    changed[:, now:] = rand(1, 64 - now, 6, seed=1)
    place = network.points(64).place
    before, after = flat(network(x))[0], flat(network(changed))[0]
    assert torch.allclose(before[place < now], after[place < now], atol=1e-5)
    assert (before[place >= now] - after[place >= now]).abs().amax(1).min() > 1e-5
    looking = make(replace(system, encoder=replace(SMALL, block=block)))
    assert not torch.allclose(flat(looking(x))[0][place < now], flat(looking(changed))[0][place < now], atol=1e-3)


@torch.no_grad()
def test_causal_blocks_look_at_the_past_alone_when_it_grows() -> None:
    network, x = make(replace(ACTIONFORMER, encoder=replace(SMALL, causal=True))), rand(1, 64, 6)
    whole, half = network(x), network(x[:, :40])
    place, early = network.points(64).place, network.points(40).place
    assert torch.allclose(flat(whole)[0][place < 40], flat(half)[0][early < 40], atol=1e-5)


@torch.no_grad()
def test_trident_bins_are_a_distribution_over_the_video() -> None:
    network, frames = make(TRIDET), 21
    head = network.boundary_head
    assert isinstance(head, TridentHead)
    levels = network(rand(1, frames, 6)).levels
    for (start, end), (x, _), distances in zip(head.probabilities(levels), levels, head(levels), strict=True):
        size = x.shape[1]
        for chance in (start, end):
            assert chance.shape == (1, size, 3, 5)
            assert torch.allclose(chance.sum(-1), torch.ones(1, size, 3), atol=1e-5)
        for at in range(size):
            assert not start[0, at, :, at + 1 :].any()
            assert not end[0, at, :, size - at :].any()
        assert torch.allclose(distances[..., 0], (start * torch.arange(5)).sum(-1), atol=1e-5)


@torch.no_grad()
def test_trident_takes_the_boundary_logits_of_the_right_neighbours() -> None:
    network = make(TRIDET)
    head, levels = network.boundary_head, network(rand(1, 12, 6)).levels[:1]
    start, end, centre = head.start(levels)[0], head.end(levels)[0], head.centre(levels)[0]
    chances = head.probabilities(levels)[0]
    for at, kind in ((6, 1), (3, 2)):
        back = torch.tensor([start[0, at - b, kind] + centre[0, at, b] for b in range(4)])
        ahead = torch.tensor([end[0, at + b, kind] + centre[0, at, 5 + b] for b in range(5)])
        ratio = chances[0][0, at, kind, :4] / chances[0][0, at, kind, :4].sum()
        assert torch.allclose(ratio, back.softmax(0), atol=1e-5)
        assert torch.allclose(chances[1][0, at, kind], ahead.softmax(0), atol=1e-5)


def some_batch(frames: int = 48) -> Batch:
    mask = torch.arange(frames)[None] < torch.tensor([[frames], [frames - 9]])
    segments = torch.tensor([[[4.0, 11.0], [20.0, 41.0]], [[8.5, 14.0], [0.0, 0.0]]])
    return Batch(rand(2, frames, 6), mask, segments, torch.tensor([[0, 2], [1, -1]]))


def loss_and_gradients(system, batch: Batch):
    network = make(system).train()
    terms = training_loss(network, batch, torch.Generator().manual_seed(3))
    (terms["class"] + terms["boundary"]).backward()
    wanted = ("encoder.", "class_head.", "boundary_head.")
    return terms, {n: p.grad for n, p in network.named_parameters() if n.startswith(wanted)}


@pytest.mark.parametrize("host", [ACTIONFORMER, TRIDET, MAXER])
def test_sensitivity_with_flat_gaussians_is_its_host(host) -> None:
    batch = some_batch()
    plain, gradients = loss_and_gradients(host, batch)
    flat_asl = ASL(host, sigma=1e6, instance=False, contrast=0.0)
    weighed, same = loss_and_gradients(flat_asl, batch)
    assert torch.equal(plain["loss"], weighed["loss"])
    assert gradients.keys() == same.keys()
    assert all(torch.allclose(gradients[n], same[n], atol=1e-7) for n in gradients)
    peaked, other = loss_and_gradients(replace(flat_asl, sigma=0.1), batch)
    assert not torch.equal(plain["class"], peaked["class"])
    assert any(not torch.allclose(gradients[n], other[n], atol=1e-5) for n in gradients)


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_sensitivity_learns_all_of_its_parts_and_costs_nothing_when_detecting(combine) -> None:
    network = make(ASL(ACTIONFORMER, combine=combine)).train()
    terms = training_loss(network, some_batch(), torch.Generator().manual_seed(3))
    assert set(terms) == {"loss", "class", "boundary", "quality", "contrast"}
    terms["loss"].backward()
    own = {n: p for n, p in network.sensitivity.named_parameters() if "head" not in n}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own.values())
    x, host = rand(1, 32, 6), make(ACTIONFORMER)
    host.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("sensitivity.")})
    with torch.no_grad():
        assert torch.equal(flat(network.eval()(x)), flat(host.eval()(x)))


@torch.no_grad()
def test_a_new_gate_lets_everything_pass() -> None:
    torch.manual_seed(0)
    gated = build_network(CSA(ACTIONFORMER), 6, CLASSES).eval()
    host = build_network(ACTIONFORMER, 6, CLASSES).eval()
    host.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.startswith("gate.")})
    x = rand(2, 40, 6)
    assert torch.allclose(flat(gated(x)), flat(host(x)), atol=1e-6)
    assert gated(x).activation.shape == (2, 40, 3)


@pytest.mark.parametrize("system", [ACTIONFORMER, TRIDET, MAXER, CSA(ACTIONFORMER), ASL(CSA(TRIDET))])
def test_the_loss_is_a_function_of_network_batch_and_generator(system) -> None:
    drop = replace(base(system), encoder=replace(base(system).encoder, drop_path=0.5))
    values = []
    for outside in (1, 2):
        network = make(drop).train()
        torch.manual_seed(outside)
        state = torch.get_rng_state()
        values.append(training_loss(network, some_batch(), torch.Generator().manual_seed(3)))
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])
    assert values[0]["loss"].isfinite()
    assert values[0]["loss"].item() == pytest.approx(sum(v.item() for k, v in values[0].items() if k != "loss"))


def test_the_running_number_of_positives_moves_in_training_alone() -> None:
    network, batch = make(ACTIONFORMER), some_batch()
    training_loss(network, batch, torch.Generator())
    assert network.normaliser.item() == 100.0
    training_loss(network.train(), batch, torch.Generator())
    assert 90.0 < network.normaliser.item() < 100.0


def test_videos_without_a_segment_are_learnt_from_as_background() -> None:
    empty = replace(some_batch(), labels=torch.full((2, 2), -1))
    for system in (ACTIONFORMER, TRIDET, ASL(ACTIONFORMER), CSA(MAXER)):
        network = make(system).train()
        loss = training_loss(network, empty, torch.Generator())["loss"]
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def features(frames: int, seed: int = 0, **grid) -> Features:
    values = np.random.default_rng(seed).normal(size=(frames, 6)).astype(np.float32)
    return Features(values, FrameGrid(**{"fps": 30, "stride": 4, "window": 16, "frames": frames, **grid}), "test")


@pytest.mark.parametrize("system", [ACTIONFORMER, MAXER, replace(ACTIONFORMER, encoder=replace(SMALL, causal=True))])
@torch.no_grad()
def test_a_long_video_in_pieces_gives_the_same(system) -> None:
    network, values = make(system), features(700).values
    whole, pieces = (dense_detections(values, system, network, chunk) for chunk in (10_000, 320))
    assert len(whole) == len(pieces) > 1000
    assert pyramid_reach(system) < 120
    for name in ("start", "end", "score", "label"):
        assert np.allclose(getattr(whole, name), getattr(pieces, name), atol=1e-3)


def test_a_point_becomes_the_segment_it_describes(monkeypatch) -> None:
    network, given = make(ACTIONFORMER), features(40, offset=0.5)
    points = network.points(40)
    logits, offsets = torch.full((1, len(points.place), 3), -20.0), torch.ones(1, len(points.place), 1, 2)
    chosen = int(torch.nonzero((points.place == 12) & (points.stride == 4))[0])
    logits[0, chosen, 1], offsets[0, chosen, 0] = 2.0, torch.tensor([1.5, 2.25])
    monkeypatch.setattr(network, "forward", lambda x, mask=None: DenseOutput(logits, offsets, None, (), None))
    found = detect_features(given, ACTIONFORMER, network)
    (segment,) = found.segments
    seconds = lambda entry: 0.5 + (entry * 4 + 8) / 30  # noqa: E731
    assert (segment.start, segment.end) == pytest.approx((seconds(12 - 6), seconds(12 + 9)))
    assert segment.label == "b"
    assert segment.score == pytest.approx(1 / (1 + math.exp(-2)))
    assert found.duration == features_end(given.grid) == pytest.approx(0.5 + (39 * 4 + 16) / 30)
    cut = detect_features(given, ACTIONFORMER, network, duration=2.5, video_scores={"x": 0.5, "y": 0.2, "z": 0.1})
    assert [(s.label, s.end) for s in cut.segments] == [("x", 2.5), ("y", 2.5)]
    assert cut.segments[0].score == pytest.approx(0.5 * segment.score)


def test_detecting_leaves_the_mode_and_repeats() -> None:
    network = make(ACTIONFORMER).train()
    given = features(50)
    one, other = (detect_features(given, ACTIONFORMER, network) for _ in range(2))
    assert network.training
    assert one == other
    assert len(one.segments) == 200
    assert all(0 <= s.start < s.end <= one.duration and 0 < s.score < 1 for s in one.segments)


@torch.no_grad()
def test_bf16_says_about_the_same() -> None:
    network, x = make(TRIDET), rand(1, 64, 6)
    small = in_bf16(network)
    assert next(small.parameters()).dtype == torch.bfloat16
    one, other = network(x), small(x.bfloat16())
    assert other.logits.dtype == torch.float32
    assert (one.logits - other.logits).abs().mean() < 0.05
    assert detect_features(features(40), TRIDET, small).segments


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_videos(frames) -> None:
    for system in DENSE.values():
        assert detect_features(features(frames), system, make(system)).duration > 0
    assert detect_features(features(0), ACTIONFORMER, make(ACTIONFORMER)).segments == ()


def test_systems_survive_json_and_protocols() -> None:
    for system in (ActionFormer(), TriDet(), TemporalMaxer(), BMN(), CSA(), CSA(TriDet()), ASL(), ASL(CSA(MAXER))):
        assert from_json(to_json(system)) == system
        for protocol in PROTOCOLS:
            assert from_json(to_json(for_protocol(system, protocol))).name == system.name
    anet = for_protocol(ASL(CSA(ActionFormer())), "activitynet")
    assert base(anet).encoder.window == 7
    assert wrapper(anet, CSA) is not None
    assert not base(anet).decoding.nms.per_class
    with pytest.raises(LabanError, match="accepted: thumos14"):
        for_protocol(ActionFormer(), "thumos")
    with pytest.raises(LabanError, match="accepted"):
        from_json({"name": "ActionFormer", "encoder": {"block": "sgpp"}})


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (replace(TRIDET, encoder=replace(SMALL, causal=True)), "trident head looks ahead"),
        (CSA(replace(ACTIONFORMER, encoder=replace(SMALL, causal=True))), "CSA looks ahead"),
        (replace(ACTIONFORMER, encoder=replace(SMALL, heads=3)), "heads 3"),
        (replace(ACTIONFORMER, encoder=replace(SMALL, window=4)), "window 4"),
    ],
)
def test_parts_that_do_not_fit(system, message) -> None:
    with pytest.raises(LabanError, match=message):
        build_network(system, 6, CLASSES)


def test_features_that_do_not_fit() -> None:
    network, good = make(ACTIONFORMER), features(20)
    holes = good.values.copy()
    holes[3:5, 2] = np.nan
    with pytest.raises(LabanError, match="2 of 20 entries hold NaN or infinity, first 3"):
        detect_features(replace(good, values=holes), ACTIONFORMER, network)
    with pytest.raises(LabanError, match="5 wide; the detector was trained on 6"):
        detect_features(replace(good, values=good.values[:, :5].copy()), ACTIONFORMER, network)
    with pytest.raises(LabanError, match="TriDet does not fit a network of ActionFormer"):
        detect_features(good, TRIDET, network)
    for classes, width in (((), 6), (("a", "a"), 6), (("a",), 0)):
        with pytest.raises(LabanError):
            build_network(ACTIONFORMER, width, classes)
