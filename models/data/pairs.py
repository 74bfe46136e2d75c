"""Two people who do something together: takes of a motion set with their folds, swapped roles, and mirrored pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from models.body.mirror import mirror_rotations
from models.body.model import BodyModel, load_body
from models.body.touching import Hold, held_hands, join_hands
from models.data.dataset import ClipRecord, MotionDataset
from models.motion import Motion
from models.text.captions import mirror_text

FOLDS = 4
TEXTS: dict[str, str] = {"salsa dance": "they dance salsa together"}
"""What a take of two people is called when its label names one of them."""
WORDINGS: dict[str, tuple[str, ...]] = {
    "salsa dance": (
        "two people dance salsa", "a couple dances salsa", "they are dancing salsa", "the other person dances along",
        "two people dance together holding hands", "a partner dances salsa with them", "dance salsa with me",
    ),
}  # fmt: skip
"""Other ways to say it."""


@dataclass(frozen=True)
class Pair:
    """A motion of two people, person 0 (role A) and person 1 (role B), in one world and on one clock."""

    name: str
    motion: Motion
    text: str
    source: str
    license: str
    take: int = 0
    """Takes are numbered from 0 in the order of their names."""
    fold: int = 0
    """Which of the `FOLDS` folds holds the take out."""
    synthetic: bool = False
    holds: tuple[Hold, ...] = ()
    """Which hand holds which when."""
    wordings: tuple[str, ...] = ()
    """Other sentences that say the same as `text`."""


def fold_of(take: int) -> int:
    """The fold that holds a take out: its number in the order of names, modulo 4."""
    return take % FOLDS


def mocap_pairs(dataset: MotionDataset, body: BodyModel | None = None, *, repaired: bool = True) -> list[Pair]:
    """The two-person takes of a built motion set in the order of their names, at its own rate.

    Hands that hold each other are brought together (`models.body.touching`) unless `repaired` is False.
    """
    takes = sorted(dataset.pairs(), key=lambda both: both[0].pair or "")
    pairs = [_pair(dataset, *both, number) for number, both in enumerate(takes)]
    return [with_holds(pair, body) for pair in pairs] if repaired else pairs


def with_holds(pair: Pair, body: BodyModel | None = None) -> Pair:
    """The pair with its held hands found and brought together."""
    holds = held_hands(pair.motion, body)
    return replace(pair, motion=join_hands(pair.motion, holds, body), holds=holds)


def swap(pair: Pair) -> Pair:
    """The same with the roles exchanged."""
    motion, order = pair.motion, [1, 0]
    turned = replace(motion, rotations=motion.rotations[order], root=motion.root[order], betas=motion.betas[order],
                     genders=(motion.genders[1], motion.genders[0]))  # fmt: skip
    holds = tuple(replace(hold, first=hold.second, second=hold.first) for hold in pair.holds)
    return replace(pair, motion=turned, holds=holds)


def mirrored(pair: Pair, body: BodyModel | None = None) -> Pair:
    """The same seen in a mirror at x = 0, with left and right exchanged in the text."""
    motion = pair.motion
    rest = (body or load_body()).rest_joints(torch.from_numpy(np.asarray(motion.betas, np.float32)))[:, None, 0].numpy()
    rotations, pelvis = mirror_rotations(motion.rotations, motion.root + rest)
    motion = replace(motion, rotations=rotations, root=pelvis - rest)
    holds = tuple(replace(hold, first=1 - hold.first, second=1 - hold.second) for hold in pair.holds)
    return replace(pair, motion=motion, text=mirror_text(pair.text), holds=holds,
                   wordings=tuple(mirror_text(text) for text in pair.wordings))  # fmt: skip


def _pair(dataset: MotionDataset, first: ClipRecord, second: ClipRecord, take: int) -> Pair:
    from models.formats import together

    frames = min(first.frames, second.frames)
    name = first.pair or first.id
    motion = together([dataset.motion(record).slice(0, frames) for record in (first, second)], name)
    text = TEXTS.get(first.label, first.texts[0] if first.texts else first.label)
    wordings = WORDINGS.get(first.label, ())
    return Pair(name, motion, text, first.source, first.license, take, fold_of(take), wordings=wordings)
