"""Measures of reactions, on people made by formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laban.errors import LabanError
from models.body.touching import Hold, join_hands
from models.motion import Motion
from motion.reaction import measures
from tests.test_pairs import facing_people, two_people


def with_partner(motion: Motion, shift: tuple[float, float, float]) -> Motion:
    """The second person moved."""
    root = motion.root.copy()
    root[1] += np.asarray(shift, np.float32)
    return replace(motion, root=root)


def test_the_real_reaction_is_right_in_everything_and_a_moved_one_by_as_much_as_it_was_moved() -> None:
    real = two_people()
    exact = measures.measure(real, real)
    assert [exact[f"{name} error"] for name in ("trajectory", "distance", "orientation")] == [0, 0, 0]
    moved = measures.measure(with_partner(real, (0.3, 0.0, 0.4)), real)
    assert moved["trajectory error"] == pytest.approx(0.5, abs=1e-5) and moved["orientation error"] == 0
    assert moved["distance error"] <= 0.5 and moved["foot skate"] == pytest.approx(exact["foot skate"], abs=1e-6)


def test_contact_is_where_hands_are_held() -> None:
    apart = facing_people(0.2)
    real = join_hands(apart, (Hold(20, 40, 0, 1), Hold(20, 40, 1, 0)))
    touch = measures.contacts(measures.contact_points(real))
    assert touch[20:40, 0, 1].all() and touch[20:40, 1, 0].all() and not touch[20:40, 0, 0].any()
    none, exact = (measures.summary([measures.measure(made, real)] * 2) for made in (apart, real))
    assert none["contact F1"].value == 0 and exact["contact F1"].value == 1 and exact["contact F1"].n == 2
    half = join_hands(apart, (Hold(20, 40, 0, 1),))
    scores = measures.summary([measures.measure(half, real)])
    assert scores["contact precision"].value == 1 and 0.4 < scores["contact recall"].value < 0.6


def test_bodies_that_are_in_one_another_penetrate_and_hands_that_touch_do_not() -> None:
    held = join_hands(facing_people(0.2), (Hold(0, 60, 0, 1), Hold(0, 60, 1, 0)))
    assert measures.penetration(measures.contact_points(held)[:, :, :22])[0].max() == 0
    near = with_partner(held, (0.0, 0.0, -0.55))
    depth, volume = measures.penetration(measures.contact_points(near)[:, :, :22])
    assert depth.min() > 0.05 and volume.min() > 0.5
    deeper = measures.penetration(measures.contact_points(with_partner(near, (0.0, 0.0, -0.35)))[:, :, :22])
    assert (deeper[1] > 2 * volume).all(), "trunk in trunk is more than hands in trunk"


def test_samples_differ_by_their_distance_and_bad_input_is_told() -> None:
    motion = two_people()
    samples = [motion, with_partner(motion, (0.0, 0.0, 0.2)), with_partner(motion, (0.0, 0.0, 0.4))]
    assert measures.diversity(samples) == pytest.approx(0.8 / 3, abs=1e-5) and measures.diversity(samples[:1]) == 0
    with pytest.raises(LabanError, match="24 frames at 30 fps; accepted: 20 frames"):
        measures.measure(motion, motion.slice(0, 20))
    with pytest.raises(LabanError, match="holds 1 people"):
        measures.contact_points(motion.actor(0))
