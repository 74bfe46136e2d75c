"""Two people: canonical frames and back, roles, mirrors and folds. Every pair here is made by formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.pose import motion_joints
from models.body.skeleton import NUM_JOINTS
from models.body.touching import TOUCH, Hold, held_hands, join_hands, palms
from models.data.pairs import FOLDS, Pair, fold_of, mirrored, swap
from models.motion import Motion
from models.representation import pair as frames
from models.rotations import axis_angle_to_matrix


def two_people(length: int = 24, seed: int = 0) -> Motion:
    """Two people who sway, each on a path of their own, with different bodies."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.linspace(0, 2, length)[None, :, None, None]
    size, phase = (torch.randn(2, 1, NUM_JOINTS, 3, generator=generator) for _ in range(2))
    vectors = 0.4 * size * torch.sin(3 * time + phase)
    vectors[:, :, 0, 1] += torch.tensor([[0.4], [2.9]]) + time[..., 0, 0]
    vectors[:, :, 22:] = 0
    start = np.array([[[0.3, 0.0, -1.0]], [[0.9, 0.05, 0.2]]])
    root = start + np.linspace(0, 1, length)[None, :, None] * np.array([[[0.5, 0.0, 1.0]], [[-0.2, 0.1, 1.4]]])
    betas = np.zeros((2, 10), np.float32)
    betas[1, 0] = 1.5
    return Motion(axis_angle_to_matrix(vectors).numpy(), root.astype(np.float32), 30.0, betas, ("neutral", "neutral"))


def a_pair(text: str = "they shake right hands") -> Pair:
    return Pair("p", two_people(), text, "formula", "CC0", take=5, fold=fold_of(5))


@pytest.mark.parametrize(("frame", "actor"), [(0, 0), (7, 1)])
def test_canonical_window_stands_at_the_actor_and_decodes_to_the_same_people(frame: int, actor: int) -> None:
    motion = two_people()
    window = frames.encode(motion, frame=frame, actor=actor)
    here = window.trajectory[actor, frame]
    assert torch.allclose(here[[0, 1, 3, 4]], torch.tensor([0.0, 0.0, 0.0, 1.0]), atol=1e-6)
    back = frames.decode(window, like=motion)
    assert np.abs(back.rotations - motion.rotations).max() < 1e-5
    assert np.abs(back.root - motion.root).max() < 1e-5
    apart = np.linalg.norm(np.subtract(*motion_joints(motion)), axis=-1)
    assert torch.allclose((window.joints[0] - window.joints[1]).norm(dim=-1), torch.from_numpy(apart), atol=1e-5)


def test_a_turn_and_a_shift_of_the_world_change_no_window() -> None:
    motion = two_people()
    spin = axis_angle_to_matrix(torch.tensor([0.0, 2.2, 0.0])).numpy()
    rest = frames.rest_joints(motion)[:, None, 0].numpy()
    rotations = motion.rotations.copy()
    rotations[:, :, 0] = spin @ rotations[:, :, 0]
    root = (motion.root + rest) @ spin.T + np.array([3.0, 0.0, -2.0]) - rest
    window, moved = (
        frames.encode(one) for one in (motion, replace(motion, rotations=rotations, root=root.astype(np.float32)))
    )
    assert torch.allclose(window.trajectory, moved.trajectory, atol=1e-5)
    assert torch.allclose(window.joints, moved.joints, atol=1e-5)


def test_relative_trajectories_and_root_columns_say_the_same() -> None:
    window = frames.encode(two_people())
    actor, reactor = window.trajectory.double()
    seen = frames.relative(reactor, actor)
    assert torch.allclose(frames.absolute(seen, actor), reactor, atol=1e-6)
    assert torch.allclose(frames.relative(actor, actor)[:, [0, 1, 3]], torch.zeros(24, 3).double(), atol=1e-6)
    assert torch.allclose(frames.root_columns(reactor), window.body[1, :, :4].double(), atol=1e-4)


def test_swap_and_mirror_twice_are_nothing_and_the_text_follows() -> None:
    pair = a_pair()
    there = swap(pair)
    assert np.array_equal(there.motion.root[0], pair.motion.root[1])
    assert np.array_equal(there.motion.betas[0], pair.motion.betas[1])
    assert np.array_equal(swap(there).motion.rotations, pair.motion.rotations)
    mirror = mirrored(pair)
    assert mirror.text == "they shake left hands"
    again = mirrored(mirror)
    assert again.text == pair.text and np.abs(again.motion.root - pair.motion.root).max() < 1e-6
    left, right = (motion_joints(one.motion)[:, :, joint] for one, joint in ((pair, 20), (mirror, 21)))
    assert np.abs(left * [-1, 1, 1] - right).max() < 0.03  # the body itself is nearly symmetric


def test_every_take_is_held_out_once_and_one_person_is_no_pair() -> None:
    assert sorted(fold_of(take) for take in range(14)) == sorted([0, 1, 2, 3] * 3 + [0, 1])
    assert FOLDS == 4
    with pytest.raises(LabanError, match="holds 1 people; accepted: 2"):
        frames.encode(two_people().actor(0))


def facing_people(gap: float, *, together: bool = True, frames: int = 60) -> Motion:
    """Two people who face each other with arms stretched forward, palms `gap` metres apart, swaying side to side."""
    vectors = torch.zeros(2, frames, NUM_JOINTS, 3)
    for joint, angle in ((16, -0.7), (17, 0.7), (18, -1.5), (19, 1.5)):
        vectors[:, :, joint, 1] = angle
    vectors[1, :, 0, 1] = torch.pi
    root = np.zeros((2, frames, 3), np.float32)
    motion = Motion(axis_angle_to_matrix(vectors).numpy(), root, 30.0)
    reach = palms(motion)[:, 0, :, 2]
    root[1, :, 2] = reach[0].mean() - reach[1].mean() + gap
    sway = 0.2 * np.sin(np.arange(frames) / 5)
    root[0, :, 0], root[1, :, 0] = sway, sway if together else -sway
    return replace(motion, root=root)


def test_hands_that_move_together_are_found_and_brought_together() -> None:
    motion = facing_people(0.2)
    holds = held_hands(motion)
    assert [(hold.start, hold.stop, hold.first, hold.second) for hold in holds] == [(0, 60, 0, 1), (0, 60, 1, 0)]
    joined = join_hands(motion, holds)
    hands = palms(joined)
    assert np.abs(np.linalg.norm(hands[0] - hands[1][:, ::-1], axis=-1) - TOUCH).max() < 0.005
    moved = np.abs(joined.rotations - motion.rotations).max((0, 1, 3, 4)) > 1e-6
    assert set(np.flatnonzero(moved).tolist()) <= {16, 17, 18, 19, 20, 21}
    assert np.array_equal(joined.root, motion.root)


@pytest.mark.parametrize(("gap", "together"), [(0.2, False), (0.45, True)])
def test_hands_that_only_pass_or_stay_apart_are_left_alone(gap: float, together: bool) -> None:
    assert held_hands(facing_people(gap, together=together)) == ()


def test_a_correction_comes_and_goes_smoothly_and_swaps_with_the_roles() -> None:
    motion = facing_people(0.2)
    hold = Hold(25, 35, 0, 1)
    joined = join_hands(motion, (hold,))
    hands = palms(joined) - palms(motion)
    assert np.abs(hands[:, [0, 59]]).max() < 1e-5, "far from the hold nothing moves"
    assert np.abs(np.diff(hands, axis=1)).max() < 0.03, "at most 0.9 m/s"
    assert np.abs(hands[0, :, 1]).max() < 1e-6, "nor does the other hand"
    there = swap(Pair("p", motion, "they hold hands", "formula", "CC0", holds=(hold,)))
    assert there.holds == (Hold(25, 35, 1, 0),) and mirrored(there).holds == (Hold(25, 35, 0, 1),)
    assert np.allclose(join_hands(there.motion, there.holds).rotations[::-1], joined.rotations, atol=1e-5)
    with pytest.raises(LabanError, match="holds 1 people; accepted: 2"):
        held_hands(motion.actor(0))
