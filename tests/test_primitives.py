"""Primitives: an invertible representation, exact re-canonicalisation, networks, losses, and the roll-out engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT
from models.diffusion.denoiser import Condition, DenoiserConfig
from models.representation import primitive, rifke
from models.representation.primitive import FUTURE, HISTORY
from models.rotations import axis_angle_to_matrix, geodesic_angle, yaw_rotation
from models.text.encoder import CachedEncoder, OneText
from motion.primitives import distill, losses
from motion.primitives.data import PrimitiveMix, SequenceBatches, Sequences, statistics, windows_of
from motion.primitives.losses import carried_on, denoiser_loss, drifted_posture, vae_loss
from motion.primitives.network import (
    FEATURES,
    PrimitiveConfig,
    PrimitiveModel,
    load_primitives,
    save_primitives,
)
from motion.primitives.rollout import STUDENT, Sampling, State, ground, joined, noise_for, repeated, standing, step
from motion.primitives.training import PrimitiveTraining, started
from motion.training_data import Bank, Span, TextNoise

REST = load_body(OPEN_BODY).joint_template
SMALL = PrimitiveConfig(
    tokens=2, latent=8, width=32, layers=1, heads=2, hidden=32,
    denoiser=DenoiserConfig(8, 32, 1, 2, 32, patch=1, text=12, slots=(("history", FEATURES),)), steps=50,
)  # fmt: skip


def wander(frames: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random motion of one person that gets about: rotations (1, frames, 22, 3, 3) and pelvis (1, frames, 3)."""
    rng = np.random.default_rng(seed)
    t = torch.arange(frames, dtype=dtype)
    phase, rate = (torch.as_tensor(rng.uniform(0, 6, (22, 3)), dtype=dtype) for _ in range(2))
    turns = 0.4 * torch.sin(0.05 * rate[None] * t[:, None, None] + phase)
    rotations = axis_angle_to_matrix(turns)
    rotations[:, 0] = yaw_rotation(0.02 * t) @ rotations[:, 0]
    pelvis = torch.stack([torch.cumsum(0.03 * torch.sin(0.013 * t), 0), 0.9 + 0.05 * torch.sin(0.1 * t), 0.03 * t], -1)
    return rotations[None], pelvis[None]


def model(seed: int = 0, spread: float = 0.05) -> PrimitiveModel:
    """A small model with random weights that moves a little."""
    torch.manual_seed(seed)
    network = PrimitiveModel(SMALL, REST)
    eye = torch.eye(3).expand(1, 1, 22, 3, 3)
    network.stance.copy_(primitive.encode(eye, torch.tensor([[[0.0, 0.93, 0.0]]]), REST)[0, 0])
    network.mean.copy_(network.stance)
    network.std.fill_(spread)
    for layer in (network.vae.out, network.denoiser.out, network.student.out):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return network.eval()


def words(rows: int, seed: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    return Condition(torch.randn(rows, 3, 12, generator=generator), torch.ones(rows, 3, dtype=torch.bool),
                     torch.nn.functional.normalize(torch.randn(rows, 12, generator=generator), dim=-1))  # fmt: skip


def sequences(rows: int = 3, primitives: int = 2, own: float = 0.0) -> Sequences:
    frames = HISTORY + FUTURE * primitives
    every = [wander(frames, seed, torch.float32) for seed in range(rows)]
    second = torch.zeros(rows, primitives, dtype=torch.bool)
    second[0, 1:] = True
    return Sequences(torch.cat([r for r, _ in every]), torch.cat([p for _, p in every]), second, words(2 * rows),
                     torch.tensor(own))  # fmt: skip


def test_features_decode_to_what_was_encoded() -> None:
    rotations, pelvis = wander(10)
    place = primitive.placement(rotations, pelvis)
    features = primitive.encode(*place.into(rotations, pelvis), REST)
    back = place.out_of(*primitive.decode(features))
    torch.testing.assert_close(back[0], rotations, atol=1e-9, rtol=0)
    torch.testing.assert_close(back[1], pelvis, atol=1e-9, rtol=0)
    assert features.shape[-1] == primitive.LAYOUT.features == FEATURES
    assert sorted(c for columns in primitive.LAYOUT.parts.values() for c in columns) == list(range(FEATURES))


def test_features_forget_place_and_heading_but_not_height() -> None:
    rotations, pelvis = wander(10)

    def seen(rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        return primitive.encode(*primitive.placement(rotations, pelvis).into(rotations, pelvis), REST)

    turn = yaw_rotation(torch.tensor(2.0, dtype=torch.float64))
    turned = torch.cat([(turn @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], 2)
    moved = (turn @ pelvis[..., None])[..., 0] + torch.tensor([3.0, 0.0, -7.0])
    torch.testing.assert_close(seen(turned, moved), seen(rotations, pelvis), atol=1e-9, rtol=0)
    assert (seen(rotations, pelvis + torch.tensor([0.0, 0.1, 0.0])) - seen(rotations, pelvis)).abs().max() > 0.09


def test_the_newest_history_frame_is_the_origin() -> None:
    rotations, pelvis = wander(10, seed=4)
    local_rotations, local = primitive.placement(rotations, pelvis).into(rotations, pelvis)
    assert local[0, HISTORY - 1, [0, 2]].abs().max() < 1e-12
    assert torch.allclose(primitive.heading(local_rotations[0, HISTORY - 1, 0]), torch.eye(3, dtype=torch.float64))


def test_ten_thousand_frames_taken_apart_and_put_together_again_do_not_drift() -> None:
    """Every primitive goes through features and back into the world that the one before ended in."""
    rotations, pelvis = wander(HISTORY + FUTURE * 1250)
    state = State(rotations[:, :HISTORY], pelvis[:, :HISTORY])
    for start in range(0, FUTURE * 1250, FUTURE):
        window = slice(start, start + HISTORY + FUTURE)
        truth = primitive.placement(rotations[:, window], pelvis[:, window])
        features = primitive.encode(
            *truth.into(rotations[:, window], pelvis[:, window]), REST
        ).float()  # as networks do
        place = primitive.placement(state.rotations, state.pelvis)
        made = place.out_of(*primitive.decode(features[:, HISTORY:].double()))
        state = State(made[0][:, -HISTORY:], made[1][:, -HISTORY:])
    assert (state.pelvis - pelvis[:, -HISTORY:]).norm(dim=-1).max() < 1e-3
    assert (state.rotations - rotations[:, -HISTORY:]).abs().max() < 1e-3


def test_heading_has_a_finite_gradient_upside_down() -> None:
    flipped = axis_angle_to_matrix(torch.tensor([torch.pi, 0.0, 0.0])).requires_grad_()
    primitive.heading(flipped).sum().backward()
    assert flipped.grad is not None
    assert flipped.grad.isfinite().all()


def test_what_a_primitive_ends_with_is_the_next_ones_history() -> None:
    network = model()
    _, made = step(network, standing(network, dtype=torch.float32), words(1), noise_for(network, 1))
    place = primitive.placement(made.rotations[:, -HISTORY:], made.pelvis[:, -HISTORY:])
    features = primitive.encode(*place.into(made.rotations, made.pelvis), REST)
    expected = network.normalise(features)[:, -HISTORY:]
    torch.testing.assert_close(carried_on(network, network.normalise(features)), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(made.state.history(network)[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampling", [Sampling(steps=3), Sampling(steps=3, guidance=1.0), STUDENT,
                                      Sampling(distilled=True, steps=1)])  # fmt: skip
def test_people_of_a_batch_do_not_see_each_other(sampling: Sampling) -> None:
    network = model()
    places = torch.tensor([[0.0, 0, 0], [4, 0, 1], [-2, 0, 7]])
    state = standing(network, 3, places=places, headings=torch.tensor([0.0, 1.0, -2.0]))
    condition, noise = words(3), noise_for(network, 3, torch.Generator().manual_seed(1))
    together, _ = step(network, state, condition, noise, sampling)
    for i in range(3):
        own = Condition(*(getattr(condition, n)[i : i + 1] for n in ("tokens", "mask", "sentence")))
        alone, _ = step(network, state.people(slice(i, i + 1)), own, noise[i : i + 1], sampling)
        torch.testing.assert_close(alone.pelvis, together.pelvis[i : i + 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.rotations, together.rotations[i : i + 1], atol=1e-4, rtol=0)


def test_a_rollout_goes_the_same_way_wherever_it_starts() -> None:
    network, condition = model(), words(1)
    noises = [noise_for(network, 1, torch.Generator().manual_seed(k)) for k in range(5)]
    ends = []
    for x, heading in ((0.0, 0.0), (1000.0, 2.5)):
        place, angle = torch.tensor([[x, 0.0, -x]]), torch.tensor([heading])
        state = standing(network, places=place, headings=angle)
        first = primitive.placement(state.rotations, state.pelvis)
        for noise in noises:
            state, _ = step(network, state, condition, noise, Sampling(steps=2))
        ends.append(first.into(state.rotations, state.pelvis)[1])
    torch.testing.assert_close(ends[0], ends[1], atol=1e-4, rtol=0)


def test_the_noise_has_a_gradient_through_several_primitives() -> None:
    network, condition = model(), words(1)
    noise = noise_for(network, 1).requires_grad_()
    state = standing(network, dtype=torch.float32)
    for sampling in (STUDENT, Sampling(steps=2)):
        after = state
        for _ in range(3):
            after, _ = step(network, after, condition, noise, sampling)
        (slope,) = torch.autograd.grad(after.pelvis[..., 2].sum(), noise)
        assert slope.isfinite().all()
        assert slope.abs().max() > 0


def test_guidance_of_one_is_the_denoiser_without_guidance_and_more_changes_it() -> None:
    network, condition, history = model(), words(2), torch.zeros(2, 2, FEATURES)
    noise = noise_for(network, 2, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.denoiser.text.weight)
    once = distill.guided_latent(network, condition, history, noise, sampler=distill.SamplerConfig("ddim", 1),
                                 guidance=1.0)  # fmt: skip
    own = network.seen(condition, history)
    direct = network.denoiser(noise, torch.full((2,), SMALL.steps - 1), own)
    torch.testing.assert_close(once, direct, atol=1e-5, rtol=0)
    assert (distill.guided_latent(network, condition, history, noise, guidance=5.0) - once).abs().max() > 1e-4


def test_bad_sampling_is_refused() -> None:
    for bad in ({"steps": 0}, {"steps": 3, "distilled": True}, {"steps": 101}):
        with pytest.raises(LabanError, match="accepted"):
            Sampling(**bad)


def test_losses_see_what_they_name() -> None:
    network = model()
    batch = sequences()
    for own in (0.0, 1.0):
        for loss in (vae_loss, denoiser_loss):
            terms = loss(network, replace(batch, own=torch.tensor(own)), torch.Generator().manual_seed(0))
            assert all(value.isfinite() and value >= 0 for value in terms.values())
            again = loss(network, replace(batch, own=torch.tensor(own)), torch.Generator().manual_seed(0))
            assert all(torch.equal(value, again[name]) for name, value in terms.items())
    predicted = denoiser_loss(network, batch, torch.Generator().manual_seed(0))
    assert {"latent", "frames", "joints", "velocity", "skate", "agreement"} < set(predicted)


def test_a_predicted_history_changes_what_later_primitives_learn_from() -> None:
    network, batch = model(), sequences(primitives=3)
    given, own = (
        vae_loss(network, replace(batch, own=torch.tensor(share)), torch.Generator().manual_seed(0))["loss"]
        for share in (0.0, 1.0)
    )
    assert not torch.isclose(given, own)


@pytest.mark.slow
def test_somebody_drifted_leans_with_the_feet_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    rotations, _ = wander(40, dtype=torch.float32)
    history = rotations[0].unflatten(0, (20, 2))
    generator = torch.Generator().manual_seed(3)
    drifted = drifted_posture(history, generator)
    turned = geodesic_angle(history, drifted)
    assert 2 < float(turned.mean().rad2deg()) < 8 and float(turned.amax()) > 0.15
    torch.testing.assert_close(turned[:, 0, 3:], turned[:, 1, 3:], atol=1e-3, rtol=0)  # both frames alike
    monkeypatch.setattr(losses, "POSTURE_DRIFT", {name: 15.0 * (name == "pelvis") for name in losses.POSTURE_DRIFT})
    leaning = drifted_posture(history, generator)
    rest = REST[:22].float()
    before, after = (forward_kinematics(x, rest, torch.zeros(20, 2, 3))[0] for x in (history, leaning))
    legs = [JOINT["left_hip"], JOINT["left_knee"], JOINT["left_ankle"], JOINT["left_foot"]]
    torch.testing.assert_close(before[:, :, legs].diff(dim=2), after[:, :, legs].diff(dim=2), atol=1e-5, rtol=0)
    assert float((before - after)[:, :, JOINT["head"]].norm(dim=-1).amax()) > 0.05


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    network = model()
    for layer in (network.vae.out, network.denoiser.out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    save_primitives(tmp_path / "first", network, "card")
    again = started(PrimitiveTraining(tmp_path, tmp_path, tmp_path, config=SMALL, init=tmp_path / "first"), SMALL)
    assert torch.allclose(again.denoiser.out.weight, network.denoiser.out.weight, atol=1e-2)
    with pytest.raises(LabanError, match="latent 8"):
        started(PrimitiveTraining(tmp_path, tmp_path, tmp_path, init=tmp_path / "first"), PrimitiveConfig())


def test_the_vae_learns_one_movement_and_the_denoiser_to_make_it() -> None:
    torch.manual_seed(0)
    rotations, pelvis = wander(HISTORY + FUTURE, 3, torch.float32)
    network = model()
    network.std.fill_(0.2)
    batch = Sequences(rotations.repeat(8, 1, 1, 1, 1), pelvis.repeat(8, 1, 1), torch.zeros(8, 1, dtype=torch.bool),
                      words(16), torch.tensor(0.0))  # fmt: skip
    local = primitive.placement(rotations, pelvis).into(rotations, pelvis)
    frames = network.normalise(primitive.encode(*local, REST))
    history, future = frames[:, :HISTORY], frames[:, HISTORY:]
    for part, loss in ((network.vae, vae_loss), (network.denoiser, denoiser_loss)):
        network.requires_grad_(False)
        optimizer = torch.optim.Adam(part.requires_grad_(True).parameters(), 3e-3)
        for seed in range(120):
            optimizer.zero_grad()
            loss(network, batch, torch.Generator().manual_seed(seed))["loss"].backward()
            optimizer.step()
    latent = Sampling(steps=4, guidance=1.0).latent(network, words(1), history, noise_for(network, 1))  # fmt: skip
    made = network.restore(network.future_of(latent, history))
    apart = (primitive.joints_of(made) - primitive.joints_of(network.restore(future))).norm(dim=-1).mean()
    still = (primitive.joints_of(network.restore(history[:, -1:])) - primitive.joints_of(network.restore(future))).norm(
        dim=-1
    )
    assert apart < 0.3 * still.mean()


def test_checkpoints_round_trip(tmp_path: Path) -> None:
    network = model()
    save_primitives(tmp_path / "p", network, "card")
    loaded = load_primitives(tmp_path / "p")
    assert loaded.config == SMALL
    state, condition, noise = standing(network), words(1), noise_for(network, 1, torch.Generator().manual_seed(0))
    mine, theirs = (step(n, state, condition, noise, Sampling(steps=2))[0].pelvis for n in (network, loaded))
    torch.testing.assert_close(mine, theirs, atol=5e-3, rtol=0)  # matrices are kept as bf16


# ------------------------------------------------------------------------------------------------------ training data


def letters(texts: Sequence[str]) -> list[OneText]:
    """Features of texts by their letters: enough of an encoder for batches."""
    rows = []
    for text in texts:
        generator = torch.Generator().manual_seed(sum(map(ord, text)))
        vector = torch.nn.functional.normalize(torch.randn(12, generator=generator), dim=0)
        rows.append(OneText(vector, vector.expand(len(text.split()), -1).contiguous()))
    return rows


def bank(lengths: tuple[int, ...] = (60, 25, 80)) -> Bank:
    """Clips of somebody who stands, mirrored or not, one of them short."""
    clips = []
    for seed, frames in enumerate(lengths):
        rotations, pelvis = wander(frames, seed)
        gentle = rotations.clone()
        gentle[0, :, 1:] = torch.eye(3, dtype=torch.float64)
        clips.append(rifke.encode(gentle[0].numpy(), (pelvis[0] - REST[0]).numpy(), REST.numpy()))
    rows = np.concatenate(clips)
    starts = np.cumsum([0, *lengths[:-1]])
    spans = tuple(Span(int(start), frames, f"action {k}", (f"does thing {k}",), 1.0)
                  for k, (start, frames) in enumerate(zip(starts, lengths, strict=True)))  # fmt: skip
    return Bank(np.stack([rows, rows]).astype(np.float16), spans)


def batches(**options: Any) -> SequenceBatches:
    encoder = CachedEncoder("letters", 12, letters)
    return SequenceBatches(bank(), encoder, batch=16, primitives=4, noise=TextNoise(share=0.0), **options)


def test_batches_are_functions_of_their_step_and_the_share_of_own_histories_rises() -> None:
    first, again = batches(own=(10, 20)), batches(own=(10, 20))
    for step_ in (0, 7, 15, 30):
        a, b = first(step_), again(step_)
        torch.testing.assert_close(a.pelvis, b.pelvis)
        torch.testing.assert_close(a.condition.tokens, b.condition.tokens)
    assert [float(first(k).own) for k in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]


def test_a_joined_sequence_changes_its_text_where_the_second_clip_begins() -> None:
    made = batches(mixture=PrimitiveMix(join=1.0, idle=0.0, idle_alone=0.0))(3)
    changed = made.second.any(1)
    assert changed.float().mean() > 0.5
    assert (made.second[:, 1:] >= made.second[:, :-1]).all()  # never back to the first
    rows = made.texts_of(3)[changed]
    assert (rows % 2 == 1).all()


def test_joins_are_smooth() -> None:
    """No frame of a joined sequence is further from its neighbours than the blend of near poses allows."""
    made = batches(mixture=PrimitiveMix(join=1.0, idle=0.0, idle_alone=0.0))(5)
    speed = made.pelvis.diff(dim=1).norm(dim=-1)
    assert speed.max() < 0.15


def test_statistics_are_those_of_the_windows() -> None:
    source = batches()
    mean, std = statistics(source, REST, 2)
    assert std.min() > 0
    rotations, pelvis = windows_of(source(10_000_000), 0)
    features = primitive.encode(*primitive.placement(rotations, pelvis).into(rotations, pelvis), REST)
    assert ((features - mean) / std).abs().median() < 2


def test_the_student_learns_what_the_teacher_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "CHUNK", 64)
    network = model()
    torch.nn.init.normal_(network.denoiser.text.weight)
    network.student.load_state_dict(network.denoiser.state_dict())
    pool = distill.pool_batches(network, batches(), tmp_path, batch=32, pairs=64, quiet=True)
    assert torch.equal(pool(3).noise, pool(3).noise)
    again = distill.pool_batches(network, batches(), tmp_path, batch=32, pairs=64, quiet=True)
    assert torch.equal(pool(5).latent, again(5).latent)
    pair = pool(0)
    wanted = distill.guided_latent(network, pair.condition, pair.history, pair.noise)
    torch.testing.assert_close(pair.latent, wanted, atol=0.05, rtol=0.05)  # bf16 and halves
    network.requires_grad_(False)
    optimizer = torch.optim.Adam(network.student.requires_grad_(True).parameters(), 2e-3)
    losses = []
    for k in range(60):
        optimizer.zero_grad()
        terms = distill.student_loss(network, pool(k), torch.Generator())
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["latent"].detach()))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


def test_one_text_for_everybody() -> None:
    many = repeated(words(1), 4)
    assert many.tokens.shape[0] == many.mask.shape[0] == many.sentence.shape[0] == 4


def test_whoever_floats_comes_down_and_whoever_sinks_comes_up_and_nobody_else_moves() -> None:
    network = model()
    level = network.toe_height
    stance = network.stance[None, None].expand(5, FUTURE, -1).clone()
    heights = torch.tensor([0.0, 0.3, -0.2, 0.005, 0.3])
    stance[..., 1] += heights[:, None]
    stance[4, :, 1] = 0.4  # somebody who lies, held up by something
    lowest = primitive.joints_of(stance)[..., 1].amin((-1, -2)) - level
    moved = ground(stance, level) - stance
    assert moved[[0, 3]].abs().max() < 0.02
    assert -0.0601 < moved[1, -1, 1] < -0.0599
    assert 0.0599 < moved[2, -1, 1] < 0.0601
    assert moved[4, -1, 1] >= 0  # never pulled down
    assert moved[1, 0, 1].abs() < 0.008  # without a jump
    assert lowest[1] > 0.2
    assert moved[..., [0, 2]].abs().max() == 0
    assert moved[..., 3:].abs().max() == 0


def test_primitives_join_without_a_jump_and_end_where_the_network_wants() -> None:
    rotations, pelvis = wander(10)
    frames = primitive.encode(*primitive.placement(rotations, pelvis).into(rotations, pelvis), REST)
    history, future = frames[:, :HISTORY], frames[:, HISTORY:]
    jumped = future + 0.3
    made = joined(history, jumped)
    steps = torch.cat([history, made], 1).diff(dim=1).norm(dim=-1)
    plain = torch.cat([history, future], 1).diff(dim=1).norm(dim=-1)
    assert (torch.cat([history, jumped], 1).diff(dim=1).norm(dim=-1)[:, 1] > 5 * plain[:, 1]).all()
    assert (steps[:, 1] < 1.5 * plain[:, 1]).all()
    torch.testing.assert_close(made[:, -1], jumped[:, -1])
    torch.testing.assert_close(joined(history, future), future, atol=0.02, rtol=0)  # what is smooth stays
