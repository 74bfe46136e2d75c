"""The encoder behind the KID of reactions: what it sees, how windows are spoilt, and its shipped weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.motion import Motion
from models.resample import resample
from motion.reaction.measures import contact_points
from motion.reaction.pair_encoder import (
    FEATURES,
    FPS,
    SPOILT,
    WINDOW,
    features,
    load_pair_encoder,
    mirrored_points,
    windows_of,
)
from motion.reaction.pair_encoder_train import spoilt
from tests.test_pair_baselines import elsewhere
from tests.test_pairs import facing_people, two_people


def points_of(motion: Motion) -> torch.Tensor:
    return torch.from_numpy(contact_points(resample(motion, FPS)))


def test_the_world_is_not_seen_and_who_stands_where_is() -> None:
    motion = two_people(90)
    seen = features(windows_of(motion))
    assert seen.shape == (3, WINDOW, FEATURES)
    assert torch.allclose(features(windows_of(elsewhere(motion))), seen, atol=1e-3)
    root = motion.root.copy()
    root[1, :, 0] += 0.2
    assert (features(windows_of(replace(motion, root=root))) - seen).abs().max() > 0.15
    with pytest.raises(LabanError, match=r"has 1\.00 s; accepted: 2 s or more"):
        windows_of(motion.slice(0, 30))


@pytest.fixture(scope="module")
def takes() -> list[torch.Tensor]:
    """Two takes, hands brought together and as they were."""
    fixed, raw = (points_of(facing_people(gap, frames=180)) for gap in (0.03, 0.2))
    other = points_of(two_people(180, seed=3))
    return [torch.stack([fixed, raw]), torch.stack([other, other])]


@pytest.mark.parametrize("kind", range(len(SPOILT)))
def test_spoilt_windows_keep_the_actor_and_change_the_partner(kind: int, takes: list[torch.Tensor]) -> None:
    fixed, raw, other = takes[0][0], takes[0][1], takes[1][0]
    rng = np.random.default_rng(5)
    window = spoilt(takes if SPOILT[kind] == "another take" else takes[:1], kind, rng)
    whole = torch.cat([fixed, mirrored_points(fixed), raw, mirrored_points(raw), other, mirrored_points(other)])
    places = whole.unfold(1, WINDOW, 1).permute(0, 1, 4, 2, 3)
    gaps = places[None] - window[:, None, None]
    nearest = gaps.abs().amax((-1, -2, -3)).amin((1, 2))
    assert nearest[0] < 1e-5, "the actor is as captured"
    if SPOILT[kind] in ("turned", "mirrored", "frozen", "trembling", "moved"):
        assert nearest[1] > 0.01


def test_shipped_networks_give_unit_rows_for_every_fold() -> None:
    encoder, motion = load_pair_encoder(), two_people(90)
    rows = encoder.embed([motion, motion], 3)
    assert rows.shape == (6, 64) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows[:3], rows[3:]) and not np.allclose(encoder.embed([motion], 0), rows[:3])
    assert ((encoder.real([motion], 1) > 0) & (encoder.real([motion], 1) < 1)).all()
