"""Of several motions drawn for one sentence, the one to keep: nearest in meaning, with feet that slide little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.pose import motion_joints
from models.motion import Motion
from models.motion_text.encoder import load_motion_text
from models.objectives import foot_skate
from models.text.known import SEVERAL, KnownActions, says_more

ACTION = 0.5
"""What certainty of the action that a plain sentence means is worth, in cosines."""
SURE = 0.5
"""Probability of the action meant from which a candidate will do."""
SKATE = 1.0
"""What a foot that slides at 1 m/s costs, in cosines."""


@dataclass(frozen=True)
class Choice:
    """The best of a text's candidates; `sure` unless another action than the one meant was recognised in it."""

    motion: Motion
    score: float
    sure: bool


@dataclass(frozen=True)
class Rating:
    """How well a motion fits its text, in cosines; `sure` unless another action than the one meant was recognised."""

    score: float
    sure: bool


def best_of(motions: Sequence[Motion], texts: Sequence[str], known: KnownActions) -> list[Choice]:
    """The best of each text's motions, which lie next to each other, equally many for each text."""
    each = len(motions) // len(texts)
    if each == 1:
        return [Choice(motion, 0.0, True) for motion in motions]
    ratings = rated(motions, texts, known)
    rows = [max(range(k, k + each), key=lambda i: ratings[i].score) for k in range(0, len(motions), each)]
    return [Choice(motions[i], ratings[i].score, ratings[i].sure) for i in rows]


def rated(motions: Sequence[Motion], texts: Sequence[str], known: KnownActions, *, slots: bool = False) -> list[Rating]:
    """A rating of each motion; equally many, next to each other, belong to each text. See `recognised` for `slots`."""
    action = recognised(motions, texts, known, slots=slots)
    score = meaning(motions, texts, known) + ACTION * action.clip(0)
    score -= SKATE * np.array([_skate(motion) for motion in motions])
    return [Rating(float(value), not 0 <= share < SURE) for value, share in zip(score, action, strict=True)]


def meaning(motions: Sequence[Motion], texts: Sequence[str], known: KnownActions) -> Float[ndarray, " motions"]:
    """Cosine of each motion and its text; a strange text counts as far as it is trusted, then its known reading."""
    encoder = load_motion_text()
    plain, trust = known.readings(texts)
    vectors = trust[:, None] * encoder.embed_text(texts) + (1 - trust[:, None]) * encoder.embed_text(plain)
    return (encoder.embed_motion(motions) * np.repeat(vectors, len(motions) // len(texts), 0)).sum(1)


def recognised(
    motions: Sequence[Motion], texts: Sequence[str], known: KnownActions, *, slots: bool = False
) -> Float[ndarray, " motions"]:
    """Probability that each motion shows the action its text means; -1 for texts that may say more than one action.

    Texts that name a side, direction, count or speed have a say with `slots` alone.
    """
    encoder, each = load_motion_text(), len(motions) // len(texts)
    more = (lambda text: bool(SEVERAL.search(text.lower()))) if slots else says_more
    plain = [row for row, text in enumerate(texts) if not more(text)]
    found = np.full(len(motions), -1.0, np.float32)
    for row, action in zip(plain, known.meant([texts[row] for row in plain]) if plain else (), strict=True):
        own = slice(row * each, (row + 1) * each)
        if action in encoder.actions:
            found[own] = encoder.classify(motions[own])[:, encoder.actions.index(action)]
    return found


def _skate(motion: Motion) -> float:
    return float(foot_skate(torch.from_numpy(motion_joints(motion)[0]), motion.fps))
