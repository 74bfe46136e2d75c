"""Batches of captioned motion: a bank of features, balanced draws, windows, repeats, sequences and composites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.timeline import PARTS
from models.diffusion.denoiser import Condition
from models.representation import rifke
from models.text.captions import SUBJECTS, mirror_text
from models.text.encoder import TextEncoder, TextFeatures
from models.text.parts import explain
from motion.generator import TextMotion
from motion.sinc import merge, mirrored_parts, owners_of_two, with_positions

LENGTHS: tuple[tuple[int, float], ...] = ((40, 0.15), (60, 0.2), (80, 0.2), (120, 0.3), (160, 0.05), (200, 0.1))
"""Frames per batch (at 20 fps) and how often."""
OUTLIER = 10.0
"""Deviations at which normalised features are cut, so that one spinning kick does not outweigh a batch."""
BLEND = 6
"""Frames over which two clips are joined."""
BACKWARDS = 0.25
"""Share of composites whose text names the action of the legs last."""
TRIES = 6
"""Draws of a second clip that goes with the first, before the first is taken alone."""
_SUBJECT = re.compile(rf"^({'|'.join(sorted(SUBJECTS, key=len, reverse=True))}) ")


@dataclass(frozen=True)
class Span:
    """A captioned stretch of a clip in the bank."""

    start: int
    frames: int
    action: str
    captions: tuple[str, ...]
    weight: float


@dataclass(frozen=True)
class Bank:
    """Features of all clips end to end, as they are and mirrored, and the spans to draw from."""

    features: Float[ndarray, "2 rows 205"]
    spans: tuple[Span, ...]

    def statistics(self) -> tuple[Float[ndarray, " 205"], Float[ndarray, " 205"]]:
        """Mean and deviation over balanced spans; a column's deviation is at least a quarter of its group's."""
        total, squares, count = np.zeros(205), np.zeros(205), 0.0
        for span in self.spans:
            rows = self.features[:, span.start : span.start + span.frames].astype(np.float64)
            share = span.weight / rows.shape[1] / 2
            total += share * rows.sum((0, 1))
            squares += share * np.square(rows).sum((0, 1))
            count += span.weight
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0)
        for group in rifke.LAYOUT.groups.values():
            variance[group] = np.maximum(variance[group], variance[group].mean() / 16)
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32).clip(1e-4)


@dataclass(frozen=True)
class Mixture:
    """How often a training item is more than a plain window of one clip."""

    sequence: float = 0.1
    composite: float = 0.06
    repeat: float = 0.8
    """Of clips shorter than the window: repeated to fill it, instead of padded."""


@dataclass(frozen=True)
class TextNoise:
    """How the features of a caption are disturbed, so that other words for the same thing still find it."""

    share: float = 0.35
    """Of captions that are disturbed at all; each by a strength drawn from 0 to 1 times the following."""
    word: float = 0.4
    """Chance that a token is hidden."""
    token: float = 0.25
    """Deviation of what is added to token features (whose own is about 0.4)."""
    sentence: float = 0.035
    """The same for the 384 numbers of the unit sentence vector."""
    one: float = 0.12
    """Chance that only the tokens are left, and that only the sentence is."""

    def disturb(self, text: TextFeatures, rng: np.random.Generator) -> Condition:
        """The features as a condition, each row disturbed by its own strength."""
        rows = len(text)
        strength = rng.random(rows) * (rng.random(rows) < self.share)
        noise = torch.from_numpy(rng.standard_normal(text.tokens.shape, np.float32))
        drift = torch.from_numpy(rng.standard_normal(text.sentence.shape, np.float32))
        scale = torch.from_numpy(strength.astype(np.float32))
        hidden = torch.from_numpy(rng.random(text.mask.shape) < self.word * strength[:, None])
        kind = torch.from_numpy(rng.random(rows))
        mask = text.mask & ~hidden & (kind > self.one)[:, None]
        tokens = text.tokens + self.token * scale[:, None, None] * noise
        sentence = torch.nn.functional.normalize(text.sentence + self.sentence * scale[:, None] * drift, dim=-1)
        return Condition(tokens, mask, sentence * (kind < 1 - self.one)[:, None])


class TextMotionBatches:
    """`batches(step)` is a function of (seed, step) alone."""

    def __init__(
        self, bank: Bank, encoder: TextEncoder, rest: Float[Tensor, "55 3"], *, batch: int = 64, seed: int = 0,
        mixture: Mixture = Mixture(), noise: TextNoise = TextNoise(),
    ) -> None:  # fmt: skip
        self.noise = noise
        self.bank, self.encoder, self.rest = bank, encoder, rest
        self.batch, self.seed, self.mixture = batch, seed, mixture
        mean, std = bank.statistics()
        self.mean, self.std = torch.from_numpy(mean), torch.from_numpy(std)
        self.everything = _Draw(bank.spans, lambda span: True)
        self.parts = span_parts(bank.spans) if mixture.composite else {}
        """Span -> the body parts that its captions need."""
        legs = {span for span, parts in self.parts.items() if "legs" in parts}
        self.bases = _Draw(bank.spans, lambda span: span in legs and len(self.parts[span]) < len(PARTS))
        self.overs = _Draw(bank.spans, lambda span: span in self.parts and span not in legs)

    def __call__(self, step: int) -> TextMotion:
        """The batch of one training step."""
        rng = np.random.default_rng((self.seed, step))
        frames = int(rng.choice([n for n, _ in LENGTHS], p=[p for _, p in LENGTHS]))
        items = [self._item(rng, frames) for _ in range(self.batch)]
        x = torch.zeros(self.batch, frames, rifke.LAYOUT.features)
        mask = torch.zeros(self.batch, frames, dtype=torch.bool)
        for row, item in enumerate(items):
            x[row, : len(item.rows)] = torch.from_numpy(item.rows.astype(np.float32))
            mask[row, : len(item.rows)] = True
        changed = [row for row, item in enumerate(items) if item.composite]
        if changed:
            x[changed] = with_positions(x[changed], self.rest) * mask[changed, :, None]
        text = self.encoder.encode([item.text for item in items])
        condition = self.noise.disturb(text, rng)
        x = ((x - self.mean) / self.std).clamp(-OUTLIER, OUTLIER)
        return TextMotion(x * mask[..., None], mask, condition)

    def _item(self, rng: np.random.Generator, frames: int) -> _Item:
        kind = rng.random()
        if kind < self.mixture.sequence and frames >= 60:
            return self._sequence(rng, frames)
        if kind > 1 - self.mixture.composite and len(self.bases) and len(self.overs):
            return self._composite(rng, frames)
        span, mirrored = self.everything(rng), int(rng.integers(2))
        rows = self._window(rng, span, mirrored, frames)
        if len(rows) < 0.8 * frames and rng.random() < self.mixture.repeat:
            rows = _repeat(rows, frames)
        return _Item(rows, _caption(rng, span, mirrored))

    def _window(self, rng: np.random.Generator, span: Span, mirrored: int, frames: int) -> ndarray:
        shift = int(rng.integers(max(0, span.frames - frames) + 1))
        start = span.start + shift
        return self.bank.features[mirrored, start : start + min(frames, span.frames)]

    def _sequence(self, rng: np.random.Generator, frames: int) -> _Item:
        mirrored = int(rng.integers(2))
        first = self.everything(rng)
        head = self._window(rng, first, mirrored, int(frames * rng.uniform(0.3, 0.7)))
        for _ in range(6):
            second = self.everything(rng)
            tail = self._window(rng, second, mirrored, frames - len(head) + BLEND)
            if _near(head[-1], tail[0]):
                texts = _caption(rng, first, mirrored), _without_subject(_caption(rng, second, mirrored))
                return _Item(_join(head, tail), str(rng.choice([" and then ", ", then ", " and "])).join(texts))
        return _Item(head, _caption(rng, first, mirrored))

    def _composite(self, rng: np.random.Generator, frames: int) -> _Item:
        """Two actions that need different body parts, at once (SINC's synthetic data, Athanasiou et al. 2023, 3.3)."""
        base, mirrored = self.bases(rng), int(rng.integers(2))
        rows = self._window(rng, base, mirrored, frames)
        if len(rows) < frames:
            rows = _repeat(rows, frames)
        text = _caption(rng, base, mirrored)
        for _ in range(TRIES):
            over, turned = self.overs(rng), int(rng.integers(2))
            parts = [mirrored_parts(self.parts[span]) if side else self.parts[span]
                     for span, side in ((base, mirrored), (over, turned))]  # fmt: skip
            if not {*parts[0]} & {*parts[1]}:
                other = _repeat(self._window(rng, over, turned, len(rows)), len(rows))
                texts = [text, _caption(rng, over, turned)][:: -1 if rng.random() < BACKWARDS else 1]
                return _Item(merge(rows, other, owners_of_two(*parts)), _at_once(rng, *texts), composite=True)
        return _Item(rows, text)


@dataclass(frozen=True)
class _Item:
    rows: ndarray
    text: str
    composite: bool = False


class _Draw:
    def __init__(self, spans: Sequence[Span], keep: Callable[[Span], bool]) -> None:
        self.spans = [span for span in spans if keep(span)]
        self.sums = np.cumsum([span.weight for span in self.spans])

    def __len__(self) -> int:
        return len(self.spans)

    def __call__(self, rng: np.random.Generator) -> Span:
        return self.spans[int(np.searchsorted(self.sums, rng.random() * self.sums[-1], side="right"))]


def _caption(rng: np.random.Generator, span: Span, mirrored: int) -> str:
    text = span.captions[int(rng.integers(len(span.captions)))]
    return mirror_text(text) if mirrored else text


def _without_subject(text: str) -> str:
    return _SUBJECT.sub("", text)


def _at_once(rng: np.random.Generator, first: str, second: str) -> str:
    """Both captions as one sentence."""
    rest = _without_subject(second)
    how = int(rng.integers(4))
    if how == 0 or (how > 1 and rest == second and not re.match(r"\w+ing\b", second)):
        return f"{first} and {rest}"
    if how == 1:
        return f"{first} and also {rest}"
    if rest == second or rest.startswith("is "):
        return f"{first} while {rest.removeprefix('is ')}"
    return f"{first} while the person {rest}"


def span_parts(spans: Sequence[Span]) -> dict[Span, tuple[str, ...]]:
    """The body parts that each span needs: those that at least half of its captions need.

    Captions that leave the side of an arm open do not count beside ones that tell it; where none does, both arms
    are needed, because the clip may show either.
    """
    captions = sorted({text for span in spans for text in span.captions})
    readings = dict(zip(captions, explain(captions), strict=True))
    found: dict[Span, tuple[str, ...]] = {}
    for span in spans:
        read = [readings[text] for text in span.captions]
        told = [reading for reading in read if not reading.assumed_side]
        counts = Counter(part for reading in told or read for part in reading.parts)
        needed = {part for part, count in counts.items() if 2 * count >= len(told or read)}
        needed |= set() if told else {"left arm", "right arm"}
        if needed:
            found[span] = tuple(part for part in PARTS if part in needed)
    return found


def _near(a: ndarray, b: ndarray) -> bool:
    """Whether two frames can be blended: pelvis within 15 cm of height, joints within 25 cm on average."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    apart = np.linalg.norm((a[136:] - b[136:]).reshape(-1, 3), axis=-1).mean()
    return bool(abs(a[0] - b[0]) < 0.15 and apart < 0.25)


def _join(head: ndarray, tail: ndarray) -> ndarray:
    """`tail` after `head`, the last frames of one fading into the first of the other."""
    n = min(BLEND, len(head), len(tail))
    fade = ((np.arange(n) + 1) / (n + 1))[:, None]
    middle = (1 - fade) * head[len(head) - n :] + fade * tail[:n]
    return np.concatenate([head[: len(head) - n], middle.astype(head.dtype), tail[n:]])


def _repeat(rows: ndarray, frames: int) -> ndarray:
    out = rows
    while len(out) < frames:
        out = _join(out, rows) if len(rows) > 2 * BLEND else np.concatenate([out, rows])
    return out[:frames]
