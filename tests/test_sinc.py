"""SINC's composition: whose joints are whose, what travels together, lengths, and features against motions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from laban.timeline import PARTS
from models.body.model import load_body
from models.body.skeleton import PARTS as JOINTS
from models.motion import Motion
from models.representation import rifke
from models.rotations import yaw_rotation
from motion.prompts import Prompt, owners
from motion.sinc import composite, merge, mirrored_parts, owners_of_two, with_positions

REST = load_body().joint_template


def make_motion(frames: int, seed: int) -> Motion:
    """Somebody who wriggles gently along a path of his own, upright."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 20
    angles = 0.4 * np.sin(time * rng.uniform(1, 3, (1, 55)) + rng.uniform(0, 6, (1, 55)))
    rotations = yaw_rotation(torch.from_numpy(angles)).numpy()
    root = np.stack([0.3 * np.sin(time[:, 0]), np.full(frames, 0.9 + 0.02 * seed), 0.2 * seed * time[:, 0]], -1)
    return Motion(rotations[None].astype(np.float32), root[None].astype(np.float32), 20.0)


def joints_equal(a: Motion, b: Motion, part: str) -> bool:
    joints = list(JOINTS[part])
    return np.array_equal(a.rotations[:, :, joints], b.rotations[:, :, joints])


def test_the_arm_of_one_on_the_body_of_the_other() -> None:
    walk, wave = make_motion(30, 1), make_motion(30, 2)
    made = composite(walk, wave, ("legs", "spine"), ("left arm",))
    assert joints_equal(made, wave, "left arm") and not joints_equal(made, walk, "left arm")
    for part in ("legs", "spine", "head", "right arm"):
        assert joints_equal(made, walk, part)
    assert np.array_equal(made.root, walk.root)


def test_legs_pelvis_and_root_travel_together() -> None:
    fuller, kick = make_motion(30, 1), make_motion(30, 2)
    made = composite(fuller, kick, ("left arm", "right arm", "head"), ("legs",))
    assert np.array_equal(made.root, kick.root) and joints_equal(made, kick, "legs")
    assert all(joints_equal(made, fuller, part) for part in ("left arm", "right arm", "head"))
    assert joints_equal(made, kick, "spine"), "what nobody claims stays with the owner of the feet"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_order_of_the_two_makes_no_difference(count) -> None:
    first, second = make_motion(25, 3), make_motion(40, 4)
    for parts in combinations(PARTS, count):
        for others in combinations(PARTS, 2):
            if {*parts} != {*others}:
                one = composite(first, second, parts, others)
                two = composite(second, first, others, parts)
                assert np.array_equal(one.rotations, two.rotations) and np.array_equal(one.root, two.root)


def test_the_rule_is_the_one_of_timelines() -> None:
    active = [(0, Prompt("", 0, 1, ("legs", "spine"))), (1, Prompt("", 0, 1, ("right arm",)))]
    assert owners_of_two(("legs", "spine"), ("right arm",)) == owners(active)
    overlapping = owners_of_two(PARTS, ("head", "right arm"))
    assert overlapping == {"left arm": 0, "legs": 0, "spine": 0, "head": 1, "right arm": 1}


def test_the_shorter_gives_the_length() -> None:
    short, long = make_motion(20, 1), make_motion(50, 2)
    centred = composite(short, long, ("right arm",), ("legs",))
    assert centred.frames == 20 and np.array_equal(centred.root, long.root[:, 15:35])
    headed = composite(long, short, ("legs",), ("right arm",), crop="head")
    assert headed.frames == 20 and np.array_equal(headed.root, long.root[:, :20])
    assert joints_equal(headed, short, "right arm")


def test_features_say_the_same_as_motions() -> None:
    """merge + with_positions of encoded clips is the encoded composite."""
    first, second = make_motion(30, 1), make_motion(30, 2)
    rest = REST.numpy()
    rows = [rifke.encode(m.rotations[0, :, :22], m.root[0], rest) for m in (first, second)]
    parts = ("legs", "head"), ("left arm", "spine")
    merged = merge(rows[0], rows[1], owners_of_two(*parts))
    stale = torch.from_numpy(merged)
    ours = with_positions(stale, REST).numpy()
    whole = composite(first, second, *parts)
    wanted = rifke.encode(whole.rotations[0, :, :22], whole.root[0], rest)
    np.testing.assert_allclose(ours, wanted, atol=2e-4)
    assert np.abs(merged - wanted).max() > 0.01, "the spine moves the arms, so copied positions are stale"


def test_mirrored_parts() -> None:
    assert mirrored_parts(("left arm", "legs")) == ("right arm", "legs")
    assert mirrored_parts(PARTS) == PARTS and mirrored_parts(("head",)) == ("head",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fps": 30.0}, "one frame rate"),
        ({"parts": ("tail",)}, "tail; accepted: left arm"),
        ({"parts": ()}, "none; accepted: left arm"),
        ({"parts": ("legs",)}, "different parts"),
        ({"actors": 2}, "the second motion has 2 people"),
    ],
)
def test_wrong_input_is_named(change, words) -> None:
    first, second = make_motion(10, 1), make_motion(10, 2)
    actors = change.get("actors", 1)
    second = Motion(second.rotations.repeat(actors, 0), second.root.repeat(actors, 0), change.get("fps", 20.0))
    with pytest.raises(LabanError, match=words):
        composite(first, second, ("legs",), change.get("parts", ("head",)))
