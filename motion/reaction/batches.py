"""Training batches of reactions: a function of (seed, step) over pairs, cut, swapped, mirrored and sped up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from laban.errors import LabanError
from laban.progress import progress
from models.body.model import OPEN_BODY, load_body
from models.data.pairs import Pair, mirrored
from models.text.encoder import TextEncoder
from motion.reaction.features import FPS, Track, tracks_of_roles
from motion.reaction.losses import Reactions
from motion.training_data import TextNoise

SHORTEST = 1.0
"""Seconds that a pair needs to be learnt from."""
WORDS = 16
"""Tokens of a text that are kept."""


@dataclass(frozen=True)
class BatchMix:
    """How often windows are changed, and into what."""

    speed: tuple[float, float] = (0.85, 1.18)
    """Range of how fast both people move; way stage alone, because rotations are not interpolated."""
    tremble: float = 0.01
    """Metres: the deviation of what is added to the actor's points, so that other bodies and sources serve as well."""
    synthetic: float = 0.0
    """Share of a batch that comes from synthetic pairs, where there are real ones."""


def tracks_of(pairs: Sequence[Pair], *, quiet: bool = False) -> list[Track]:
    """Each pair four times: both roles, each with its mirror image; LabanError when nothing is long enough."""
    body, found = load_body(OPEN_BODY), list[Track]()
    with progress("encoding pairs", len(pairs), quiet=quiet) as advance:
        for one in pairs:
            if one.motion.seconds >= SHORTEST:
                for own in (one, mirrored(one, body)):
                    found += tracks_of_roles(own.motion, (own.text, *own.wordings), body, synthetic=own.synthetic)
            advance(1)
    if not found:
        raise LabanError(f"no pair lasts {SHORTEST:g} s; a reaction cannot be learnt from these")
    return found


class ReactionBatches:
    """`batches(step)` is a function of (seed, step) alone."""

    def __init__(
        self, tracks: Sequence[Track], encoder: TextEncoder, *, batch: int = 32, seconds: float = 6.0, seed: int = 0,
        mixture: BatchMix = BatchMix(), sped: bool = False,
    ) -> None:  # fmt: skip
        self.encoder, self.batch, self.seed, self.mixture, self.sped = encoder, batch, seed, mixture, sped
        self.frames, self.noise = round(seconds * FPS), TextNoise()
        self.real = [track for track in tracks if not track.synthetic]
        self.synthetic = [track for track in tracks if track.synthetic]
        share = mixture.synthetic if self.real and self.synthetic else float(bool(self.synthetic))
        self.counts = round(batch * share), batch - round(batch * share)

    def __call__(self, step: int) -> Reactions:
        """The batch of one training step."""
        rng = np.random.default_rng((self.seed, step))
        made, real = self.counts
        chosen = [self._draw(rng, self.synthetic) for _ in range(made)] + [
            self._draw(rng, self.real) for _ in range(real)]  # fmt: skip
        rows = [self._window(rng, track) for track in chosen]
        tensors = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        tremble = rng.standard_normal(tensors["actor_points"].shape, np.float32)
        tensors["actor_points"] = tensors["actor_points"] + self.mixture.tremble * torch.from_numpy(tremble)
        text = self.encoder.encode([worded(rng, track.texts) for track in chosen])
        condition = self.noise.disturb(text, rng)
        kept = type(condition)(condition.tokens[:, :WORDS], condition.mask[:, :WORDS], condition.sentence)
        return Reactions(**tensors, condition=kept)

    def _draw(self, rng: np.random.Generator, tracks: Sequence[Track]) -> Track:
        """A track, by its length: every frame is as likely as any other."""
        sums = np.cumsum([min(track.frames, 40 * self.frames) for track in tracks])
        return tracks[int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))]

    def _window(self, rng: np.random.Generator, track: Track) -> dict[str, Tensor]:
        speed = float(rng.uniform(*self.mixture.speed)) if self.sped else 1.0
        length = min(self.frames, int((track.frames - 1) / speed) + 1)
        start = rng.random() * (track.frames - 1 - (length - 1) * speed)
        place = start + speed * np.arange(length) if self.sped else int(start) + np.arange(length)
        place = place.clip(0, track.frames - 1)
        names = [field.name for field in fields(Reactions) if field.name not in ("mask", "condition")]
        rows = {name: _padded(_at(getattr(track, name), place), self.frames) for name in names}
        return {**rows, "mask": torch.arange(self.frames) < length}


def _at(values: Tensor, place: np.ndarray) -> Tensor:
    """Rows at places between frames, linearly; exact on frames."""
    low = torch.from_numpy(place.astype(np.int64))
    high = (low + 1).clamp(max=len(values) - 1)
    share = torch.from_numpy((place - place.astype(np.int64)).astype(np.float32)).view(-1, *[1] * (values.dim() - 1))
    return values[low] + share * (values[high] - values[low])


def _padded(rows: Tensor, frames: int) -> Tensor:
    """The last row again, up to so many."""
    return torch.cat([rows, rows[-1:].expand(frames - len(rows), *rows.shape[1:])]) if len(rows) < frames else rows


def worded(rng: np.random.Generator, texts: Sequence[str]) -> str:
    """What a pair is called, or half of the time one of the other ways to say it."""
    others = texts[1:]
    return str(rng.choice(others)) if others and rng.random() < 0.5 else texts[0]
