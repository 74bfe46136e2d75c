"""Choice among candidates: what fits the sentence, and feet that stay."""

from __future__ import annotations

import numpy as np
import pytest

from models.motion import Motion
from models.rotations import axis_angle_to_matrix
from models.text.known import KnownActions, load_known
from motion import candidates
from motion.candidates import best_of, meaning

FRAMES = 80


@pytest.fixture(scope="module")
def known() -> KnownActions:
    return load_known(("raise arms", "walk", "sit"))


def standing(lift: float = 0.0, slide: float = 0.0) -> Motion:
    """A person who stands, raises both arms by `lift` radians from hanging and slides by `slide` m/s."""
    import torch

    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, FRAMES, 55, 3, 3)).copy()
    raised = np.clip(np.linspace(-0.5, 1.5, FRAMES), 0, 1) * lift
    for joint, sign in ((16, 1), (17, -1)):
        turns = torch.zeros(FRAMES, 3)
        turns[:, 2] = sign * (torch.from_numpy(raised.astype(np.float32)) - 1.3)
        rotations[0, :, joint] = axis_angle_to_matrix(turns).numpy()
    root = np.zeros((1, FRAMES, 3), np.float32)
    root[..., 1], root[0, :, 2] = 0.95, slide * np.arange(FRAMES) / 20
    return Motion(rotations, root, 20)


def kept(motions: list[Motion], texts: list[str], known: KnownActions) -> list[Motion]:
    return [choice.motion for choice in best_of(motions, texts, known)]


def test_the_motion_that_does_what_the_text_says_is_kept(known: KnownActions) -> None:
    still, raising = standing(), standing(2.6)
    assert kept([still, raising], ["a person raises both arms"], known) == [raising]
    assert kept([raising, still], ["a person raises both arms"], known) == [raising]


def test_of_equal_motions_the_one_with_resting_feet_is_kept(known: KnownActions) -> None:
    sliding, resting = standing(2.6, 0.3), standing(2.6)
    assert kept([sliding, resting], ["a person raises both arms"], known) == [resting]


def test_each_text_chooses_among_its_own(known: KnownActions) -> None:
    motions = [standing(), standing(2.6), standing(2.6), standing()]
    assert kept(motions, ["a person raises both arms"] * 2, known) == [motions[1], motions[2]]
    assert kept(motions, ["a person walks"] * 4, known) == motions


def test_only_what_shows_the_action_meant_will_do(known: KnownActions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SURE", 0.01)  # arms that move on their own look little like a person's
    text = "a person raises their arms"
    assert best_of([standing(), standing(2.6)], [text], known)[0].sure
    assert not best_of([standing(), standing()], [text], known)[0].sure
    assert best_of([standing(), standing()], [f"{text}, then sits"], known)[0].sure  # cannot be told: no reason to draw
    assert best_of([standing()], [text], known)[0].sure  # a single candidate is kept as it is


def test_meanings_are_cosines(known: KnownActions) -> None:
    cosines = meaning([standing(), standing(2.6)], ["a wizard stretches toward the stars"], known)
    assert cosines.shape == (2,)
    assert np.abs(cosines).max() <= 1
