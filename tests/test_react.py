"""Reactions: frames of reference, losses, networks that see a partner, windows, the command, and live."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.errors import LabanError
from models.body.model import load_body
from models.data.pairs import Pair
from models.diffusion.denoiser import PARTNER, Condition, Denoiser, DenoiserConfig
from models.formats import write_motion
from models.motion import Motion
from models.objectives import pair_vectors
from models.representation import pair as frames
from models.rotations import yaw_rotation
from models.training import TrainConfig, fit
from motion.evaluation_react import ERROR, Asked, Case, _diversity, _multimodality, against, evaluate_react
from motion.reaction.batches import ReactionBatches, tracks_of
from motion.reaction.features import FPS, WAY, actor_alone, path_of, start_yaw, tracks_of_roles, turned, way_of
from motion.reaction.losses import STRAY, ReactionWeights, body_loss, stray, way_loss, whole_loss
from motion.reaction.network import Reactor, Stage, StageConfig, load_reactor, new_stage, save_stage
from motion.reaction.online import LiveReaction, react_live, seen_frames
from motion.reaction.online_network import new_live
from motion.reaction.online_training import AnswerBatches, duets_of, live_loss
from motion.reaction.react import ReactConfig, actor_of, react, way_beside, windows_of

SMALL = DenoiserConfig(WAY, 32, 2, 2, 64, patch=4, partner=78, partner_layers=1)


class Words:
    """A text encoder of one word."""

    name, width = "words", 384

    def encode(self, texts):  # type: ignore[no-untyped-def]
        from models.text.encoder import TextFeatures

        tokens = torch.ones(len(texts), 2, 384) / 20
        return TextFeatures(tokens[:, 0], tokens, torch.ones(len(texts), 2, dtype=torch.bool))


def wanderer(seed: int, frames: int = 130, fps: float = FPS) -> Motion:
    """Somebody who glides about and turns, in closed form."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / fps
    phase, rate = rng.uniform(0, 2 * math.pi, 3), rng.uniform(0.3, 0.8, 3)
    yaw = 1.5 * np.sin(rate[2] * t * 2 + phase[2])
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    rotations[0, :, 0] = yaw_rotation(torch.from_numpy(yaw)).numpy()
    root = np.stack([np.sin(rate[0] * t * 2 + phase[0]), np.full(frames, 0.95), np.cos(rate[1] * t * 2 + phase[1])], -1)
    return Motion(rotations, root[None].astype(np.float32), fps)


def facing_pair(seed: int, frames: int = 130) -> Pair:
    """An actor and somebody always 0.8 m before them, face to face."""
    actor = wanderer(seed, frames)
    forward = actor.rotations[0, :, 0] @ np.array([0.0, 0.0, 0.8])
    about = yaw_rotation(torch.tensor(math.pi)).numpy()
    rotations = actor.rotations.copy()
    rotations[0, :, 0] = rotations[0, :, 0] @ about
    root = actor.root + forward[None].astype(np.float32)
    both = Motion(np.concatenate([actor.rotations, rotations]), np.concatenate([actor.root, root]), actor.fps)
    return Pair(f"pair{seed}", both, "they face one another", "made", "CC0")


def small_stage(stage: str = "way", variant: str = "two-stage", **changes: object) -> Stage:
    torch.manual_seed(0)
    features = {"one-stage": 210, "joint": 415}.get(variant, 205) if stage == "body" else WAY
    sizes = replace(SMALL, features=features, hint=variant == "joint", partner=0 if variant == "joint" else 78)
    return new_stage(replace(StageConfig(stage, variant, sizes), **changes), load_body().joint_template)


# ------------------------------------------------------------------------------------------------------------ frames


def test_ways_come_back_and_turn_with_their_frame() -> None:
    track = tracks_of_roles(facing_pair(0).motion, ("x",))[0]
    angle = start_yaw(track.actor_path)
    way = way_of(track.path, track.actor_path, angle)
    assert torch.allclose(path_of(way, track.actor_path, angle), track.path, atol=1e-5)
    assert torch.allclose(turned(way, angle - 0.7), way_of(track.path, track.actor_path, torch.tensor(0.7)), atol=1e-5)
    seen = actor_alone(track.actor_points, track.actor_path, angle)
    spin = torch.tensor(1.1)
    place = turned(track.actor_path, spin) + torch.tensor([3.0, -2.0, 0, 0, 0])
    points = track.actor_points @ yaw_rotation(spin).T + torch.tensor([3.0, 0, -2.0])
    assert torch.allclose(actor_alone(points, place, start_yaw(place)), seen, atol=1e-4)  # wherever they are


def test_ways_stray_smoothly_and_by_as_much_as_is_said() -> None:
    path = tracks_of_roles(facing_pair(1).motion, ("x",))[0].path.expand(400, -1, -1)
    off = stray(path, torch.Generator().manual_seed(0), 1.0) - path
    assert off[..., :2].std() == pytest.approx(STRAY[0], rel=0.15)
    assert float(off.diff(dim=1)[..., :3].abs().max()) < 0.06
    assert torch.equal(stray(path, torch.Generator().manual_seed(0), 0.0)[..., :3], path[..., :3])


# ---------------------------------------------------------------------------------------------------------- networks


def test_a_partner_in_sight_changes_nothing_before_it_is_learnt() -> None:
    plain = Denoiser(replace(SMALL, partner=0))
    torch.nn.init.normal_(plain.out.weight)
    seeing = Denoiser(SMALL)
    seeing.load_state_dict({**seeing.state_dict(), **plain.state_dict()})
    x, t = torch.randn(2, 10, WAY), torch.tensor([5, 900])
    text = Condition(torch.randn(2, 3, 384), torch.ones(2, 3, dtype=torch.bool), torch.randn(2, 384))
    partner = torch.randn(2, 10, 78), torch.ones(2, 10, dtype=torch.bool)
    shown = replace(text, slots={PARTNER: partner})
    assert torch.allclose(seeing(x, t, shown), plain(x, t, text), atol=1e-6)
    torch.nn.init.normal_(seeing.partner.out.weight)  # type: ignore[union-attr]
    assert not torch.allclose(seeing(x, t, shown), plain(x, t, text), atol=1e-3)
    hidden = replace(text, slots={PARTNER: (partner[0], torch.zeros(2, 10, dtype=torch.bool))})
    assert torch.isfinite(seeing(x, t, hidden)).all()


def test_vectors_between_people_count_where_they_are_near() -> None:
    first, second = torch.zeros(1, 4, 2, 3), torch.tensor([[0.05, 0, 0], [2.0, 0, 0]]).expand(1, 4, 2, 3)
    near, far = first.clone(), first + torch.tensor([0, 0, 3.0])
    moved = torch.tensor([0.04, 0.0, 0.0])
    assert pair_vectors(near, second, near, second).sum() < 1e-6
    error = pair_vectors(near + moved, second, near, second)
    assert (error > 20 * pair_vectors(far + moved, second, far, second)).all()
    assert torch.allclose(
        pair_vectors(near + moved, second + moved, near, second), torch.zeros(1, 4), atol=1e-6
    )  # both moved


@pytest.mark.parametrize("variant", ["two-stage", "one-stage", "joint"])
def test_losses_of_the_body_are_finite_and_reach_what_learns(variant: str) -> None:
    tracks = tracks_of([facing_pair(0, 50)], quiet=True)
    network = small_stage("body", variant)
    batch = ReactionBatches(tracks, Words(), batch=3, seconds=2)(0)
    loss = body_loss if variant == "two-stage" else whole_loss
    terms = loss(network, batch, torch.Generator().manual_seed(0), ReactionWeights())
    terms["loss"].backward()
    assert all(torch.isfinite(value) for value in terms.values())
    assert float(terms["interaction"]) > 0
    assert network.denoiser.out.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_following_an_actor_is_learnt(tmp_path: Path) -> None:
    """A tiny network must learn to stay 0.8 m before somebody it has not learnt from."""
    tracks = tracks_of([facing_pair(seed, 90) for seed in range(5)], quiet=True)
    batches = ReactionBatches(tracks, Words(), batch=8, seconds=3, sped=True)
    config = TrainConfig(steps=80, lr=5e-3, muon_lr=0.02, warmup=10, ema=0.95, precision="32-true")
    network = fit(small_stage().train(), way_loss, batches, config, tmp_path, progress=False)
    held = facing_pair(100)
    reactor = Reactor(small_stage("body"), replace_seconds(network, 3.0))
    actor = actor_of(held.motion.actor(0), load_body())
    text = Condition(torch.ones(1, 2, 384) / 20, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 384) / 20)
    with torch.inference_mode():
        path = way_beside(reactor.way, actor, text, ReactConfig(temperature=0.0))  # type: ignore[arg-type]
    _, true = seen_frames(held.motion.actor(1))
    error = (path[: len(true), :2] - true[:, :2]).norm(dim=-1).mean()
    still = (true[:, :2] - true[:, :2].mean(0)).norm(dim=-1).mean()
    assert float(error) < 0.25 < 0.6 * float(still) + 0.25
    facing = torch.cos(frames.yaw_of(path[: len(true)]) - frames.yaw_of(true)).mean()
    assert float(facing) > 0.8


def replace_seconds(network: Stage, seconds: float) -> Stage:
    network.config = replace(network.config, seconds=seconds)
    return network


def test_checkpoints_come_back_and_name_what_is_missing(tmp_path: Path) -> None:
    network = small_stage("body")
    with torch.no_grad():
        network.denoiser.out.weight.normal_()
    save_stage(tmp_path / "body", network, "card")
    with pytest.raises(LabanError, match="way"):
        load_reactor(tmp_path)
    save_stage(tmp_path / "way", small_stage(), "card")
    loaded = load_reactor(tmp_path)
    assert loaded.body.config == network.config
    assert torch.allclose(loaded.body.denoiser.out.weight, network.denoiser.out.weight, atol=0.02)
    with pytest.raises(LabanError, match="laban train reaction"):
        load_reactor(tmp_path / "nowhere")


# ------------------------------------------------------------------------------------------------------- a whole pair


@pytest.fixture(scope="module")
def reactor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reaction")
    for stage in ("way", "body"):
        network = small_stage(stage, seconds=2.0)
        torch.nn.init.normal_(network.denoiser.out.weight, std=0.02)
        save_stage(folder / stage, network, "card")
    return folder


@pytest.mark.parametrize(("fps", "frames"), [(24.0, 33), (120.0, 400)])
def test_a_pair_has_the_actors_frames_and_rate(reactor: Path, fps: float, frames: int) -> None:
    actor = wanderer(3, frames, fps)
    pair = react(actor, None, checkpoint=reactor, config=ReactConfig(steps=2, way_steps=2))
    assert (pair.actors, pair.frames, pair.fps) == (2, frames, fps)
    assert np.array_equal(pair.rotations[0], actor.rotations[0])
    again = react(actor, None, checkpoint=reactor, config=ReactConfig(steps=2, way_steps=2))
    other = react(actor, None, checkpoint=reactor, config=ReactConfig(steps=2, way_steps=2, seed=1))
    assert np.array_equal(pair.root, again.root)
    assert not np.array_equal(pair.root, other.root)


def test_a_reaction_moves_with_its_world(reactor: Path) -> None:
    """An actor who is elsewhere, and turned, gets the same partner there; also across windows."""
    actor = wanderer(4, 150)
    config = ReactConfig(steps=2, way_steps=3, cleanup=False)
    assert len(windows_of(load_reactor(reactor).body, 150)) > 1
    spin = yaw_rotation(torch.tensor(0.9)).numpy().astype(np.float32)
    rest = load_body().joint_template[0].numpy()
    moved = replace(actor, rotations=actor.rotations.copy())
    moved.rotations[:, :, 0] = spin @ actor.rotations[:, :, 0]
    moved = replace(moved, root=((actor.root + rest) @ spin.T - rest + np.float32([2, 0, -1])).astype(np.float32))
    here, there = (react(one, None, checkpoint=reactor, config=config).root[1] + rest for one in (actor, moved))
    assert np.allclose(here @ spin.T + np.float32([2, 0, -1]), there, atol=2e-3)


def test_bad_actors_are_refused_in_one_line(reactor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = facing_pair(0, 40).motion
    with pytest.raises(LabanError, match="2 people"):
        react(pair, None, checkpoint=reactor)
    with pytest.raises(LabanError, match="0.25 s"):
        react(wanderer(0, 5), None, checkpoint=reactor)
    with pytest.raises(LabanError, match="NaN"):
        replace(wanderer(0), root=np.full((1, 130, 3), np.nan, np.float32))
    with pytest.raises(LabanError, match="--temperature"):
        ReactConfig(temperature=-1)
    write_motion(pair, tmp_path / "duet.npz")
    options = ["--checkpoint", str(reactor), "--steps", "2", "-o", str(tmp_path / "out.npz")]
    assert run(["react", str(tmp_path / "duet.npz"), *options]) == 2
    assert "--actor 0" in capsys.readouterr().err
    assert run(["react", str(tmp_path / "duet.npz"), "dance", "--actor", "5", *options]) == 2
    assert "accepted: 0 to 1" in capsys.readouterr().err
    assert not (tmp_path / "out_0.npz").exists()
    assert run(["react", str(tmp_path / "duet.npz"), "dance", "--actor", "1", *options, "--json"]) == 0
    assert (tmp_path / "out_0.npz").is_file()
    assert (tmp_path / "out_1.npz").is_file()


# ------------------------------------------------------------------------------------------------------------- live


def test_live_primitives_learn_only_what_sees_the_actor() -> None:
    network = new_live()
    batch = AnswerBatches(duets_of([facing_pair(0, 40)]), Words(), network.rest, batch=2)(0)
    terms = live_loss(network, batch, torch.Generator().manual_seed(0))
    terms["loss"].backward()
    assert all(torch.isfinite(value) for value in terms.values())
    touched = {name for name, value in network.named_parameters() if value.grad is not None}
    assert touched
    assert all(".partner" in name for name in touched)


def test_a_live_reactor_answers_every_frame_from_the_past_alone() -> None:
    network = new_live().requires_grad_(False)
    points, path = seen_frames(wanderer(1, 20, 30.0))
    other = path.clone()
    other[12:, 0] += 3.0  # somebody who jumps away: not known before it happened
    both = [list(react_live(zip(points, own, strict=True), checkpoint=network)) for own in (path, other)]
    assert [frame.index for frame in both[0]] == list(range(20))
    for early, late in zip(both[0][:13], both[1][:13], strict=True):
        assert np.array_equal(early.root, late.root)
    distance = np.linalg.norm(both[0][0].root[[0, 2]] - path[0, :2].numpy())
    assert 0.5 < distance < 1.2
    live = LiveReaction(network)
    with pytest.raises(LabanError, match="NaN"):
        live.see(points[0] * float("nan"), path[0])


# ----------------------------------------------------------------------------------------------------------- figures


def test_varied_reactions_and_varied_windows_are_told_apart() -> None:
    def case(take: int, seed: int, *places: float) -> Case:
        return Case(take, False, seed, {}, 0.0, tuple((place, 0.0) for place in places))

    same = [case(0, 0, 1.0, 3.0), case(0, 1, 1.0, 3.0)]  # two windows 2 apart, whatever the seed
    varied = [case(0, 0, 1.0, 1.0), case(0, 1, 4.0, 4.0), case(1, 0, 7.0, 7.0), case(1, 1, 8.0, 8.0)]
    assert (_diversity(same, {0: 0}), _multimodality(same)) == (2.0, 0.0)
    assert (_diversity(varied, {0: 0, 1: 1}), _multimodality(varied)) == (0.0, 2.0)  # folds are not compared
    assert _diversity(varied, {0: 0, 1: 0}) > 1.0
    assert _multimodality(same[:1]) is None
    assert _diversity([case(0, 0)], {0: 0}) is None


def test_rows_are_measured_once_and_told_with_intervals(tmp_path: Path) -> None:
    pairs = [replace(facing_pair(take, 50), take=take, fold=take) for take in range(2)]
    asked = Asked(tmp_path, ("real",), seeds=3, quick=True)
    counted: list[int] = []
    (real,) = evaluate_react(pairs, asked, finished=counted.append)
    assert sum(counted) == 2  # what is not drawn has one seed
    assert (real.n, real.figures[ERROR]) == (2, (0.0, 0.0, 0.0))
    kept = sorted((tmp_path / "measured").iterdir())
    before = [path.stat().st_mtime_ns for path in kept]
    assert evaluate_react(pairs, asked) == [real]
    assert before == [path.stat().st_mtime_ns for path in kept]
    ours, other = replace(real, row="two-stage", by_seed=(0.2, 0.3, 0.25)), replace(real, row="nearest", by_seed=(0.5,))
    mean, low, high = against([ours, other])["nearest"]
    assert low < mean < high
    assert mean == pytest.approx(0.25)
    (part,) = evaluate_react(pairs, replace(asked, folds=(1,)))
    assert part.n == 1
    with pytest.raises(LabanError, match="--row best"):
        Asked(tmp_path, ("best",))
    with pytest.raises(LabanError, match="--fold 4; accepted: 0 to 3"):
        Asked(tmp_path, folds=(0, 4))
