"""Synthetic pairs, made of a few clips by formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.body.touching import palms
from models.data.dataset import ClipRecord, MotionDataset
from models.data.pairs import Pair
from models.representation import pair as frames
from models.rotations import axis_angle_to_quaternion
from motion.reaction.synthetic import NEAREST, NO_FOLD, REACHED, TEXTS, synthetic_pairs

FRAMES = 90
LICENCES = {"walk": "CC0", "raise arms": "CMU", "wave": "MIT", "stand": "CC0"}


@pytest.fixture(scope="module")
def dataset() -> MotionDataset:
    """Somebody who walks, raises the right arm, waves, or stands; each once in training and once in test."""
    time = torch.linspace(0, 1, FRAMES)
    records, rotations, roots = [], [], []
    for number, (action, split) in enumerate((a, s) for a in LICENCES for s in ("train", "test")):
        vectors = torch.zeros(FRAMES, 22, 3)
        vectors[:, 16, 2], vectors[:, 17, 2] = -1.2, 1.2  # arms hang
        vectors[:, 0, 1] = 0.3 * number
        root = torch.zeros(FRAMES, 3) + torch.tensor([0.0, 1.28, 0.0])  # feet on the floor
        if action == "walk":
            way = 3.0 * time
            root[:, 0], root[:, 2] = way * np.sin(0.3 * number), way * np.cos(0.3 * number)
        if action == "raise arms":
            vectors[:, 17, 2] = 1.2 - 2.3 * torch.sin(torch.pi * time)
        if action == "wave":
            vectors[:, 19, 1] = 0.5 + 0.4 * torch.sin(12 * time)
        records.append(ClipRecord(f"{action}-{split}", "formula", action, action, (), LICENCES[action], split,
                                  number * FRAMES, FRAMES))  # fmt: skip
        rotations.append(axis_angle_to_quaternion(vectors).numpy())
        roots.append(root.numpy())
    return MotionDataset(Path(), tuple(records), np.concatenate(rotations), np.concatenate(roots).astype(np.float32))


@pytest.fixture(scope="module")
def pairs(dataset: MotionDataset) -> dict[str, list[Pair]]:
    """Two pairs of every kind."""
    made = synthetic_pairs(dataset, 2, seed=1)
    return {kind: [pair for pair in made if kind.replace(" ", "_") in pair.name] for kind in TEXTS}


def test_every_kind_is_made_of_training_clips_and_says_that_it_is_synthetic(pairs: dict[str, list[Pair]]) -> None:
    assert all(len(some) == 2 for some in pairs.values())
    for pair in (pair for some in pairs.values() for pair in some):
        assert pair.synthetic and pair.fold == NO_FOLD and pair.text and "{" not in pair.text
        assert "test" not in pair.source and pair.license
        window = frames.encode(pair.motion)
        assert (window.trajectory[0, :, :2] - window.trajectory[1, :, :2]).norm(dim=-1).min() >= NEAREST - 1e-4


def test_those_who_approach_end_face_to_face_and_those_who_follow_go_the_same_way(pairs: dict[str, list[Pair]]) -> None:
    for pair in pairs["approach"]:
        path = frames.encode(pair.motion, frame=-1).trajectory
        seen = frames.relative(path[1], path[0])[-1]
        assert abs(seen[0]) < 1e-4 and 0.8 < seen[1] < 1.5 and seen[4] < -0.999, "before the first, facing them"
        assert (path[0, 0, :2] - path[1, 0, :2]).norm() > 2.0
    for pair in pairs["follow"]:
        path = frames.encode(pair.motion).trajectory
        behind = frames.relative(path[1], path[0])
        assert (behind[:, 1] < -0.7).all() and (behind[:, 0].abs() < 0.05).all()


def test_a_mirror_image_is_the_reflection_of_the_other(pairs: dict[str, list[Pair]]) -> None:
    joints = frames.encode(pairs["mirror"][0].motion).joints
    left, right = joints[0, -1, 20] - joints[0, -1, 0], joints[1, -1, 21] - joints[1, -1, 0]
    assert (left * torch.tensor([1.0, 1.0, -1.0]) - right).norm() < 0.12, "up to the delay"


@pytest.mark.parametrize("kind", ["high five", "hand over"])
def test_hands_meet_where_they_should(pairs: dict[str, list[Pair]], kind: str) -> None:
    for pair in pairs[kind]:
        (hold,) = pair.holds
        hands = palms(pair.motion)
        gap = hands[0, hold.start : hold.stop, hold.first] - hands[1, hold.start : hold.stop, hold.second]
        assert np.linalg.norm(gap, axis=-1).max() <= REACHED
        assert np.linalg.norm(hands[0, 0, hold.first] - hands[1, 0, hold.second]) > 0.2, "and are apart before"


def test_the_same_seed_gives_the_same_and_open_licences_alone_can_be_asked_for(dataset: MotionDataset) -> None:
    one, other = (synthetic_pairs(dataset, 1, seed=3, kinds=("follow",), licences="open")[0] for _ in (0, 1))
    assert np.array_equal(one.motion.rotations, other.motion.rotations) and one.license == "CC0"
