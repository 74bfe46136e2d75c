"""Baselines of reactions: the nearest actor's partner, and somebody alone beside the actor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.data.pairs import Pair
from models.motion import Motion
from models.representation import pair as frames
from models.rotations import yaw_rotation
from motion.reaction.baselines import alone_beside, nearest_partner, partners_of
from motion.reaction.measures import measure
from tests.test_pairs import two_people


def a_pair(seed: int, frames: int = 90) -> Pair:
    motion = replace(two_people(frames, seed=seed), betas=np.zeros((2, 10), np.float32))
    return Pair(f"p{seed}", motion, "they sway", "formula", "CC0", take=seed)


def elsewhere(motion: Motion, angle: float = 1.3) -> Motion:
    """The same in another place of the world, facing another way."""
    spin = yaw_rotation(torch.tensor(angle, dtype=torch.float64)).numpy()
    rest = frames.rest_joints(motion)[:, None, 0].numpy()
    rotations = motion.rotations.copy()
    rotations[:, :, 0] = spin @ rotations[:, :, 0]
    root = (motion.root + rest) @ spin.T + np.array([2.0, 0.0, -3.0]) - rest
    return replace(motion, rotations=rotations, root=root.astype(np.float32))


@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_the_partner_of_a_known_actor_is_found_wherever_the_actor_stands(seconds: float) -> None:
    pairs = [a_pair(seed) for seed in range(3)]
    real = elsewhere(pairs[1].motion)
    made = nearest_partner(real.actor(0), partners_of(pairs), seconds=seconds)
    figures = measure(made, real)
    assert figures["trajectory error"] < 0.02 and figures["orientation error"] < 1.0
    assert np.array_equal(made.rotations[0], real.rotations[0]) and made.fps == real.fps
    other = measure(nearest_partner(real.actor(0), partners_of([pairs[0], pairs[2]]), seconds=seconds), real)
    assert other["trajectory error"] > 5 * figures["trajectory error"]


def test_somebody_alone_starts_where_partners_usually_are() -> None:
    pair = a_pair(0)
    asked = []

    def generate(text: str, seconds: float, seed: int) -> Motion:
        asked.append((text, seed))
        return a_pair(7, 100).motion.actor(0)

    actor = elsewhere(pair.motion).actor(0)
    made = alone_beside(actor, [pair], "a person sways", generate, seed=4)
    assert asked == [("a person sways", 4)] and made.frames == actor.frames
    usual, window = frames.encode(pair.motion), frames.encode(made)
    seen = frames.relative(usual.trajectory[1], usual.trajectory[0]).median(0).values
    start = frames.relative(window.trajectory[1], window.trajectory[0])[0]
    assert torch.allclose(start[:2], seen[:2], atol=1e-4)
    steps = [
        np.linalg.norm(np.diff(one.root[0], axis=0), axis=-1)
        for one in (made.actor(1), generate("", 3, 0).slice(0, 90))
    ]
    assert np.allclose(steps[0], steps[1], atol=1e-4), "they go as they were generated"


def test_bad_input_is_told() -> None:
    bank = partners_of([a_pair(0, 30)])
    with pytest.raises(LabanError, match="holds 2 people; accepted: 1"):
        nearest_partner(a_pair(1).motion, bank)
    with pytest.raises(LabanError, match="no take is 3 s long"):
        nearest_partner(a_pair(1, 91).motion.actor(0), bank, seconds=3.0)
