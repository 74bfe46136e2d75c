"""Training sequences of primitives: captioned stretches of clips, alone or two joined where they are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from models.diffusion.denoiser import Condition
from models.representation import primitive, rifke
from models.representation.primitive import FUTURE, HISTORY
from models.text.captions import mirror_text
from models.text.encoder import TextEncoder
from motion.prompts import STAND
from motion.training_data import Bank, Span, TextNoise

WORDS = 12
"""Tokens of a caption that are kept; prompts of a stream are short."""
IDLE_TEXTS = (STAND, "a person stands", "stand still", "stop", "a person stops", "someone is standing idle", "wait",
              "idle", "a person is standing and waiting", "do nothing")  # fmt: skip
"""What the stretches say in which somebody stands and does nothing."""
NEAR_HEIGHT, NEAR_POSE = 0.2, 0.22
"""Metres that pelvis and joints (on average) of two frames may be apart to be joined."""
TRIALS = (5, 6, 4)
"""For a join: second clips tried, places in each, and ends of the first clip."""
FASTEST, SLOWEST = 6, 16
"""Frames that a join lasts, by how far apart the poses are."""


@dataclass(frozen=True)
class PrimitiveMix:
    """How often a sequence changes from one clip to another, and how often into standing still."""

    join: float = 0.35
    idle: float = 0.3
    """Of joins: into somebody standing still."""
    idle_alone: float = 0.04
    """Of sequences: nothing but standing still."""


@dataclass(frozen=True)
class Sequences:
    """Windows of 2 + 8 K frames in a world of their own, with a text for each primitive.

    `condition` holds two texts for each sequence (rows 2 i and 2 i + 1); `second` says which primitives have the other.
    """

    rotations: Float[Tensor, "batch frames 22 3 3"]
    pelvis: Float[Tensor, "batch frames 3"]
    second: Bool[Tensor, "batch primitives"]
    condition: Condition
    own: Float[Tensor, ""]
    """Probability that a primitive is given what was predicted before it as its history, instead of the data."""

    def texts_of(self, k: int) -> Int[Tensor, " batch"]:
        """Rows of `condition` that primitive `k` of each sequence goes with."""
        return 2 * torch.arange(len(self.second), device=self.second.device) + self.second[:, k].long()


class SequenceBatches:
    """`batches(step)` is a function of (seed, step) alone."""

    def __init__(
        self, bank: Bank, encoder: TextEncoder, *, batch: int, primitives: int = 4, seed: int = 0,
        own: tuple[int, int] = (0, 1), mixture: PrimitiveMix = PrimitiveMix(), noise: TextNoise = TextNoise(),
    ) -> None:  # fmt: skip
        """`own`: the chance of a predicted history rises from 0 at the first step named to 1 at the second."""
        self.bank, self.encoder, self.mixture, self.noise = bank, encoder, mixture, noise
        self.batch, self.primitives, self.seed, self.own = batch, primitives, seed, own
        self.spans = list(bank.spans)
        self.sums = np.cumsum([span.weight for span in bank.spans])
        self.idle = _idle_stretches(bank, HISTORY + FUTURE * primitives)

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return HISTORY + FUTURE * self.primitives

    def __call__(self, step: int) -> Sequences:
        """The batch of one training step."""
        rng = np.random.default_rng((self.seed, step))
        items = [self._item(rng) for _ in range(self.batch)]
        rows = torch.from_numpy(np.stack([item.rows for item in items]).astype(np.float32))
        rotations, root = rifke.decode(rows, torch.zeros(55, 3))  # with a rest pelvis at 0 the root is the pelvis
        # a primitive has the text that holds for most of its future
        middle = HISTORY + FUTURE * np.arange(self.primitives) + FUTURE // 2
        second = torch.from_numpy(middle[None] >= np.array([item.change for item in items])[:, None])
        first, last = self.own
        share = min(1.0, max(0.0, (step - first) / max(1, last - first)))
        return Sequences(rotations, root, second, self._condition(rng, items), torch.tensor(share))

    def _condition(self, rng: np.random.Generator, items: list[_Item]) -> Condition:
        text = self.encoder.encode([text for item in items for text in item.texts])
        condition = self.noise.disturb(text, rng)
        return Condition(condition.tokens[:, :WORDS], condition.mask[:, :WORDS], condition.sentence)

    def _draw(self, rng: np.random.Generator) -> Span:
        return self.spans[int(np.searchsorted(self.sums, rng.random() * self.sums[-1], side="right"))]

    def _item(self, rng: np.random.Generator) -> _Item:
        if rng.random() < self.mixture.idle_alone and self.idle:
            side = int(rng.integers(2))
            start, _ = self.idle[int(rng.integers(len(self.idle)))]
            text = str(rng.choice(IDLE_TEXTS))
            return _Item(self.bank.features[side, start : start + self.frames], (text, text), self.frames)
        span, side = self._draw(rng), int(rng.integers(2))
        text = _caption(rng, span, side)
        if span.frames >= self.frames and rng.random() > self.mixture.join:
            start = span.start + int(rng.integers(span.frames - self.frames + 1))
            return _Item(self.bank.features[side, start : start + self.frames], (text, text), self.frames)
        return self._joined(rng, span, side, text)

    def _joined(self, rng: np.random.Generator, span: Span, side: int, text: str) -> _Item:
        """`span` up to somewhere, then another span or standing still from a frame that is much the same."""
        best: tuple[float, int, int, tuple[int, int, int], str] | None = None
        lead = (HISTORY + 4, min(span.frames, self.frames - 10))
        ends = rng.integers(lead[0], max(lead[1], lead[0]) + 1, TRIALS[2])
        if span.frames < self.frames:
            ends[0] = lead[1]
        still = bool(self.idle) and rng.random() < self.mixture.idle
        for _ in range(TRIALS[0]):
            start, length, words, turned = self._target(rng, still)
            for begin in _beginnings(rng, length):
                for end in ends:
                    head = self._start(rng, span, int(end))
                    apart = _apart(self.bank.features[side, head + end - 1], self.bank.features[turned, start + begin])
                    if best is None or apart < best[0]:
                        best = apart, head, int(end), (start, length, begin), words
                        sides = turned
        assert best is not None  # noqa: S101 - TRIALS are not empty
        apart, head, end, (start, length, begin), words = best
        if apart == np.inf:
            return _Item(_lengthened(self.bank.features[side, span.start : span.start + span.frames], self.frames),
                         (text, text), self.frames)  # fmt: skip
        blend = int(np.clip(round(75 * apart), FASTEST, SLOWEST))
        first = self.bank.features[side, head : head + end]
        after = self.bank.features[sides, start + begin : start + length]
        return _Item(_lengthened(_faded(first, after, blend), self.frames), (text, words), end - blend // 2)

    def _start(self, rng: np.random.Generator, span: Span, end: int) -> int:
        """First row of a lead of `end` frames: from the clip's end if it is short, from anywhere in it otherwise."""
        return span.start + int(rng.integers(span.frames - end + 1)) if span.frames > self.frames else span.start

    def _target(self, rng: np.random.Generator, still: bool) -> tuple[int, int, str, int]:
        """(first row, length, text, side) of what comes second."""
        side = int(rng.integers(2))
        if still:
            start, length = self.idle[int(rng.integers(len(self.idle)))]
            return start, length, str(rng.choice(IDLE_TEXTS)), side
        span = self._draw(rng)
        return span.start, span.frames, _caption(rng, span, side), side


@dataclass(frozen=True)
class _Item:
    rows: ndarray
    texts: tuple[str, str]
    change: int
    """First frame of which the second text holds."""


def _caption(rng: np.random.Generator, span: Span, mirrored: int) -> str:
    text = span.captions[int(rng.integers(len(span.captions)))]
    return mirror_text(text) if mirrored else text


def _beginnings(rng: np.random.Generator, length: int) -> Int[ndarray, " places"]:
    """Frames of the second clip from which it may go on: its beginning, so that all of the action is seen, or later."""
    late = max(1, length - 24)
    near = rng.integers(0, min(12, late), TRIALS[1] // 2)
    return np.concatenate([[0], near, rng.integers(0, late, TRIALS[1] - len(near) - 1)])


def _apart(a: Float[ndarray, " 205"], b: Float[ndarray, " 205"]) -> float:
    """Mean distance of the joints of two frames, metres, and a share of their difference in speed; inf if too far."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    joints = float(np.sqrt(np.square((a[136:] - b[136:]).reshape(-1, 3)).sum(-1)).mean())
    if abs(a[0] - b[0]) > NEAR_HEIGHT or joints > NEAR_POSE:
        return np.inf
    return joints + float(np.abs(a[:4] - b[:4])[[1, 2]].sum())


def _faded(
    head: Float[ndarray, "a 205"], tail: Float[ndarray, "b 205"], frames: int
) -> Float[ndarray, "c 205"]:  # fmt: skip
    """`tail` after `head`, smoothly faded over the last `frames` of one and the first of the other."""
    n = min(frames, len(head) - HISTORY, len(tail))
    share = (np.arange(n) + 1) / (n + 1)
    fade = (share * share * (3 - 2 * share))[:, None]
    middle = (1 - fade) * head[len(head) - n :] + fade * tail[:n]
    return np.concatenate([head[: len(head) - n], middle, tail[n:]])


def _lengthened(rows: Float[ndarray, "n 205"], frames: int) -> Float[ndarray, "frames 205"]:
    """Cut to `frames`, or made as long by holding the last pose."""
    if len(rows) >= frames:
        return rows[:frames]
    held = np.repeat(rows[-1:], frames - len(rows), 0)
    held[:, 1:4] = 0
    return np.concatenate([rows, held])


def _idle_stretches(bank: Bank, frames: int, *, speed: float = 0.006, pose: float = 0.06) -> list[tuple[int, int]]:
    """(first row, length) of stretches in which somebody stands upright with low hands and hardly moves.

    `speed` bounds the pelvis' steps in metres a frame, `pose` how far joints get from the middle frame, metres.
    """
    found = []
    hop = frames // 2
    for span in {(span.start, span.frames) for span in bank.spans}:
        for start in range(span[0], span[0] + span[1] - frames + 1, hop):
            rows = bank.features[0, start : start + frames].astype(np.float32)
            joints = rows[:, 136:].reshape(frames, 23, 3)
            still = np.abs(rows[:, 1:3]).mean() < speed and np.abs(rows[:, 3]).mean() < speed
            close = np.linalg.norm(joints - joints[frames // 2], axis=-1).mean() < pose / 2
            hands = joints[:, [19, 20], 1].max() < 0.2
            if still and close and hands and rows[:, 0].min() > 0.8:
                found.append((start, frames))
    return found


def windows_of(sequences: Sequences, k: int) -> tuple[Float[Tensor, "batch 10 22 3 3"], Float[Tensor, "batch 10 3"]]:
    """Rotations and pelvis of primitive `k`, still in the sequence's world."""
    window = slice(k * FUTURE, k * FUTURE + HISTORY + FUTURE)
    return sequences.rotations[:, window], sequences.pelvis[:, window]


def features_of(sequences: Sequences, k: int, rest: Float[Tensor, "55 3"]) -> Float[Tensor, "batch 10 198"]:
    """Features of primitive `k` in its own frame, in metres; `rest` are the body's rest joints."""
    rotations, pelvis = windows_of(sequences, k)
    return primitive.encode(*primitive.placement(rotations, pelvis).into(rotations, pelvis), rest)


def statistics(
    batches: SequenceBatches, rest: Float[Tensor, "55 3"], steps: int = 6
) -> tuple[Float[Tensor, " 198"], Float[Tensor, " 198"]]:
    """Mean and deviation of primitive features over some batches; a deviation is at least a quarter of its group's."""
    values = []
    for step in range(steps):
        sequences = batches(10_000_000 + step)
        values += [features_of(sequences, k, rest).flatten(0, 1) for k in range(batches.primitives)]
    everything = torch.cat(values)
    mean, variance = everything.mean(0), everything.var(0)
    for group in primitive.LAYOUT.groups.values():
        variance[group] = variance[group].clamp_min(float(variance[group].mean()) / 16)
    return mean, variance.sqrt()


def stance(batches: SequenceBatches, rest: Float[Tensor, "55 3"]) -> Float[Tensor, " 198"]:
    """Features of how people stand on average over the stretches in which they stand still, on their feet."""
    rows = np.concatenate([batches.bank.features[:, start : start + 1] for start, _ in batches.idle], 1)
    rotations, pelvis = rifke.decode(
        torch.from_numpy(rows.astype(np.float32)).flatten(0, 1)[:, None], torch.zeros(55, 3)
    )
    features = primitive.encode(*primitive.placement(rotations, pelvis, 0).into(rotations, pelvis), rest).mean((0, 1))
    return primitive.encode(*primitive.decode(features[None]), rest)[0]
