"""Labelled stretches of real motion as joint features: what the motion-text encoder and the judge learn from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from laban.files import atomic_path
from laban.progress import progress
from models.body.model import OPEN_BODY, load_body
from models.data.dataset import ClipRecord, MotionDataset
from models.data.sampling import Sampling, sampling_weights
from models.motion_text.features import joints_of
from models.representation import joints as joint_features
from models.representation.joints import FPS
from models.text.captions import action_captions, captions_for, clean

SEQUENCE = "sequence"
"""The coarse action of takes that hold several; their segments are the classified examples."""
UNCLASSED = -100
"""Class index that the loss ignores."""
SHORTEST = 0.8
"""Seconds below which a segment teaches nothing."""
LONGEST = 10.0
"""Seconds: the longest stretch that is read at once; what is longer is cropped."""
_SIDES = re.compile(r"\b(left|right|both|two|forwards?|backwards?|back|sideways|clockwise|counterclockwise)\b")


@dataclass(frozen=True)
class Example:
    """One stretch of the clip `record`. `label` says more finely than `action` what is done, style included."""

    record: ClipRecord
    action: str
    label: str
    texts: tuple[str, ...]
    captions: tuple[str, ...]
    """`texts` and sentences with the same meaning, for training."""
    features: Float[Tensor, "frames 133"]
    start: float = 0.0
    """Seconds from the beginning of the clip."""


@dataclass(frozen=True)
class Stretch:
    """A labelled stretch of a record before its features are cut: seconds, action, finer label and wordings."""

    start: float
    end: float
    action: str
    label: str
    texts: tuple[str, ...]
    captions: tuple[str, ...]


def stretches(record: ClipRecord, actions: Sequence[str], *, captions: int = 16) -> list[Stretch]:
    """Everything that a clip record labels: its human captions' windows, its segments of known actions, and itself.

    A take of several actions counts as a whole only when it is short enough to be read at once.
    """
    found = []
    for window in record.captions:
        texts = tuple(clean(text) for text in window.texts)
        found.append(Stretch(window.start, min(window.end, record.seconds), record.action, texts[0], texts, texts))
    for segment in record.segments:
        whole = segment.start <= 0.5 and segment.end >= record.seconds - 0.5
        if segment.label in actions and segment.end - segment.start >= SHORTEST and not whole:
            plain = tuple(action_captions(segment.label).get("", ())) or (f"a person makes a {segment.label}",)
            found.append(Stretch(segment.start, segment.end, segment.label, segment.label, plain[:3], plain))
    if record.action != SEQUENCE or record.seconds <= LONGEST:
        own = _wordings(record, captions)
        texts = tuple(clean(text) for text in record.texts) or own[:1]
        label = record.id if record.action == SEQUENCE else f"{record.label} {record.style or ''}".strip().lower()
        found.append(Stretch(0.0, record.seconds, record.action, label, texts, own))
    return found


def _wordings(record: ClipRecord, count: int) -> tuple[str, ...]:
    """Captions drawn alike for all records that say the same, so that there are thousands to encode and not tens of."""
    meaning = f"{record.action} {record.texts} {record.style}"
    return tuple(captions_for(replace(record, id=meaning, captions=()), count=count))


def read_examples(
    dataset: MotionDataset, *, splits: Sequence[str] | None = None, quiet: bool = False
) -> tuple[list[Example], list[str]]:
    """Every labelled stretch of a dataset (or of some splits) with its features, and the dataset's coarse actions."""
    actions = sorted({record.action for record in dataset.records})
    joints = read_joints(dataset, quiet=quiet)
    examples = []
    for record, clip in zip(dataset.records, joints, strict=True):
        if splits is None or record.split in splits:
            features = torch.from_numpy(joint_features.encode(clip.astype(np.float64)))
            examples += [cut(record, stretch, features) for stretch in stretches(record, actions)]
    return examples, actions


def read_joints(dataset: MotionDataset, *, quiet: bool = False) -> list[Float[np.ndarray, "_ 22 3"]]:
    """World joints at 20 fps of every record, on the open body; kept beside the dataset once computed."""
    rest = load_body(OPEN_BODY).joint_template[:22].numpy()
    built = (dataset.folder / "rotations.npy").stat().st_mtime_ns  # a rebuilt dataset has other motions
    key = json.dumps([built, rest.round(5).tolist(), [(r.id, r.start, r.frames) for r in dataset.records]])
    path = dataset.folder / f"joints20-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
    if not path.exists():
        with progress("joints", len(dataset.records), quiet=quiet) as advance:
            clips = []
            for record in dataset.records:
                clips.append(joints_of(dataset.motion(record), body=load_body(OPEN_BODY))[0])
                advance(1)
        with atomic_path(path) as temporary:
            np.savez(temporary, joints=np.concatenate(clips), ends=np.cumsum([len(clip) for clip in clips]))
    with np.load(path, allow_pickle=False) as stored:
        return np.split(stored["joints"], stored["ends"][:-1])


def cut(record: ClipRecord, stretch: Stretch, features: Float[Tensor, "frames 133"]) -> Example:
    """The example of one stretch of a record whose features are given."""
    first, last = round(stretch.start * FPS), round(stretch.end * FPS)
    return Example(record, stretch.action, stretch.label, stretch.texts, stretch.captions,
                   features[min(first, max(len(features) - 4, 0)) : last], stretch.start)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- sampling


def class_index(examples: Iterable[Example], actions: Sequence[str]) -> Int[np.ndarray, " examples"]:
    """The action's index of every example; `UNCLASSED` for takes of several actions."""
    index = {action: i for i, action in enumerate(actions) if action != SEQUENCE}
    return np.array([index.get(example.action, UNCLASSED) for example in examples], np.int64)


def example_weights(examples: Sequence[Example], *, balance: float = 0.5) -> Float[np.ndarray, " examples"]:
    """Chances of drawing each example, balanced over actions (`models.data.sampling`); noisy motion counts less."""
    trust = {"hand_animated": 0.7, "noisy": 0.4, "spikes": 0.4}
    return sampling_weights([replace(e.record, action=e.action) for e in examples], Sampling(balance, trust))


def may_agree(one: Example, other: Example, wordings: tuple[str, str]) -> bool:
    """Whether the text of one example may also be true of the other, so that the pair must not be pushed apart.

    Similar sentence vectors cannot tell, because they hide side and direction ("raises the left hand" and "raises the
    right hand" are 0.95 alike). So: the same wording; or the same action with, inside one source, an overlapping
    label, and between sources no different side, direction or count. `wordings` are the two texts in use, mirrored
    where their motions are.
    """
    if wordings[0] == wordings[1]:
        return True
    if one.action != other.action:
        return False
    if _sides(wordings[0]) != _sides(wordings[1]):
        return False
    if one.record.source != other.record.source:
        return True
    return one.label == other.label or bool(set(one.texts) & set(other.texts))


def _sides(text: str) -> frozenset[str]:
    return frozenset(_SIDES.findall(text)) - {"forward", "forwards"}


def agreement(examples: Sequence[Example], wordings: Sequence[str]) -> Bool[np.ndarray, "batch batch"]:
    """`may_agree` of every pair of a batch."""
    size = len(examples)
    table = np.eye(size, dtype=bool)
    for i in range(size):
        for j in range(i):
            table[i, j] = table[j, i] = may_agree(examples[i], examples[j], (wordings[i], wordings[j]))
    return table


# -------------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class TextTable:
    """Token features of every distinct wording, computed once."""

    rows: dict[str, int]
    tokens: Float[Tensor, "texts length columns"]
    mask: Bool[Tensor, "texts length"]

    def take(self, texts: Sequence[str]) -> tuple[Float[Tensor, "batch length columns"], Bool[Tensor, "batch length"]]:
        """Tokens and mask of some of the texts, cut to the longest of them."""
        rows = torch.tensor([self.rows[text] for text in texts])
        mask = self.mask[rows]
        length = int(mask.sum(1).max())
        return self.tokens[rows, :length].float(), mask[:, :length]


def text_table(texts: Iterable[str], encoder: Any, *, batch: int = 128, longest: int = 32) -> TextTable:
    """Encode distinct texts with a text encoder (`models.text.encoder`); kept in bf16, 32 tokens at most."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    parts = [encoder.encode(distinct[i : i + batch]) for i in range(0, len(distinct), batch)]
    length = min(max(part.mask.shape[1] for part in parts), longest)
    tokens = torch.zeros(len(distinct), length, parts[0].tokens.shape[-1], dtype=torch.bfloat16)
    mask = torch.zeros(len(distinct), length, dtype=torch.bool)
    for i, part in enumerate(parts):
        rows = slice(i * batch, i * batch + len(part.mask))
        width = min(part.mask.shape[1], length)
        tokens[rows, :width] = part.tokens[:, :width].to(torch.bfloat16)
        mask[rows, :width] = part.mask[:, :width]
    return TextTable({text: i for i, text in enumerate(distinct)}, tokens, mask)
