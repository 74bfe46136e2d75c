"""Queries: sentences with the stretches they are true of, batches of them with their videos, and training."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from action_localization.regimes.streams import RegimeVideo
from action_localization.spine.matching import SetTargets, set_targets
from laban.errors import LabanError
from models.features import Features
from models.text.captions import clean
from models.text.encoder import TextEncoder, load_text_encoder
from models.training import Loss, Network, TrainConfig, fit_whole, small_training

Span = tuple[float, float, float]
"""Start and end in seconds, and the score."""
_IDLE = ("a", "an", "the", "person", "someone", "somebody", "man", "woman", "he", "she", "his", "her", "is", "are",
         "with", "does", "motion")  # fmt: skip
_SIDES = {"left": "left", "right": "right", "both": "both", "two": "both", "forward": "forward", "forwards": "forward",
          "backward": "back", "backwards": "back", "sideways": "sideways"}  # fmt: skip
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Query:
    """A sentence, the stretches in seconds that it is true of, and others of which nobody can say.

    `kind` is the class that it speaks of ("": unknown). A sentence that does not occur has neither.
    """

    text: str
    windows: tuple[tuple[float, float], ...] = ()
    unsure: tuple[tuple[float, float], ...] = ()
    kind: str = ""


def video_queries(video: RegimeVideo) -> list[Query]:
    """The different sentences of a video, each with all stretches that it is true of.

    A sentence is true of a stretch of the same class whose own sentence has all of its words ("a person walks" where
    "a person walks forward like a child"). The class's other stretches are unsure, but where the two name different
    sides or directions. Words that say nothing do not count.
    """
    kinds = {(s.start, s.end): s.label for s in video.truth.segments}
    rows = [((s.start, s.end), clean(s.label), kinds.get((s.start, s.end), "")) for s in video.sentences]
    queries = []
    for text, kind in dict.fromkeys((text, kind) for _, text, kind in rows):
        true, unsure = [], []
        for span, other, label in rows:
            if other == text or (kind and label == kind and entails(other, text)):
                true.append(span)
            elif kind and label == kind and not contrary(text, other):
                unsure.append(span)
        queries.append(Query(text, tuple(true), tuple(unsure), kind))
    return queries


def entails(one: str, other: str) -> bool:
    """Whether the first sentence has all words of the second, those that say nothing apart."""
    return _words(other) <= _words(one)


def contrary(one: str, other: str) -> bool:
    """Whether two sentences name sides or directions, and none in common."""
    sides = [{_SIDES[word] for word in _WORD.findall(text) if word in _SIDES} for text in (one, other)]
    return bool(sides[0] and sides[1] and not sides[0] & sides[1])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text)) - set(_IDLE)


@dataclass(frozen=True)
class GroundingBatch:
    """Padded videos, and queries each of which asks about one of them; places are shares of a video's real length."""

    values: Float[Tensor, "videos time features"]
    mask: Bool[Tensor, "videos time"]
    video: Int[Tensor, " queries"]
    sentence: Float[Tensor, "queries text"]
    tokens: Float[Tensor, "queries words text"]
    words: Bool[Tensor, "queries words"]
    targets: SetTargets
    unsure: SetTargets
    kind: Int[Tensor, " queries"]
    """Number of the class that a query speaks of; -1: unknown."""

    @property
    def length(self) -> Float[Tensor, " queries"]:
        """Real entries of each query's video."""
        return self.mask.sum(1).float()[self.video]


@dataclass(frozen=True)
class QueryConfig:
    """What a batch holds."""

    videos: int = 8
    queries: int = 4
    """For each video."""
    frames: int = 320
    """Entries that longer videos are cropped to at random."""
    absent: float = 0.2
    """Share of queries that are not true anywhere in their video."""
    inside: float = 0.5
    """A window stays if at least this share of it is in the crop."""


def optimisation(steps: int, lr: float = 1e-3) -> TrainConfig:
    """How small grounding networks are trained on a CPU."""
    return small_training(steps, lr, warmup=min(50, steps), weight_decay=0.03, ema=0.995)


class QueryBatches:
    """step -> GroundingBatch: a function of (seed, step) over videos with sentences."""

    def __init__(
        self, videos: Sequence[RegimeVideo], config: QueryConfig, seed: int, *, text: TextEncoder | None = None,
        wordings: dict[str, tuple[str, ...]] | None = None,
    ) -> None:  # fmt: skip
        """`wordings` are other sentences that say the same as one."""
        self.videos = [(video.features, queries) for video in videos if (queries := video_queries(video))]
        if not self.videos:
            raise LabanError("grounding: no video has a sentence to learn from")
        self.config, self.seed, self.wordings = config, seed, wordings or {}
        self.text = text or load_text_encoder()
        self.every = [query for _, queries in self.videos for query in queries]
        self.kinds = {kind: number for number, kind in enumerate(sorted({query.kind for query in self.every}))}

    def __call__(self, step: int) -> GroundingBatch:
        rng = np.random.default_rng((self.seed, 11, step))
        rows, asked = [], []
        for number in rng.integers(len(self.videos), size=self.config.videos):
            features, queries = self.videos[int(number)]
            values, span = _crop(features, self.config.frames, rng)
            rows.append(values)
            asked.append([self._query(queries, span, rng) for _ in range(self.config.queries)])
        return make_batch(rows, asked, self.text, self.kinds)

    def _query(self, queries: Sequence[Query], span: tuple[float, float], rng: np.random.Generator) -> Query:
        """One of the video's that occurs in the crop, or one that does not; windows as shares of the crop."""
        here = [self._inside(query, span) for query in queries]
        present = [query for query in here if query.windows]
        if present and rng.random() >= self.config.absent:
            chosen = present[int(rng.integers(len(present)))]
        else:
            kinds = {query.kind for query in here if query.windows or query.unsure}
            others = [self.every[int(i)] for i in rng.integers(len(self.every), size=20)]
            free = [query for query in others if query.kind not in kinds]
            if not free:
                return present[0] if present else here[0]
            chosen = Query(free[0].text, kind=free[0].kind)
        same = self.wordings.get(chosen.text, ())
        text = same[int(rng.integers(len(same)))] if same and rng.random() < 0.7 else chosen.text
        return Query(text, chosen.windows, chosen.unsure, chosen.kind)

    def _inside(self, query: Query, span: tuple[float, float]) -> Query:
        true, unsure = (_cut(windows, span, self.config.inside) for windows in (query.windows, query.unsure))
        return Query(query.text, true, unsure, query.kind)


def make_batch(
    rows: Sequence[Float[ndarray, "_ features"]], asked: Sequence[Sequence[Query]], text: TextEncoder,
    kinds: dict[str, int] | None = None,
) -> GroundingBatch:  # fmt: skip
    """A batch of videos and what is asked about each; windows of the queries are shares of their video."""
    longest = max(len(values) for values in rows)
    values = torch.zeros(len(rows), longest, rows[0].shape[1])
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        values[number, : len(row)] = torch.from_numpy(np.ascontiguousarray(row))
        mask[number, : len(row)] = True
    queries = [query for several in asked for query in several]
    owner = [number for number, several in enumerate(asked) for _ in several]
    read = text.encode([query.text for query in queries])
    numbers = [(kinds or {}).get(query.kind, -1) if query.kind else -1 for query in queries]
    return GroundingBatch(
        values, mask, torch.tensor(owner), read.sentence.float(), read.tokens.float(), read.mask,
        _targets([query.windows for query in queries]), _targets([query.unsure for query in queries]),
        torch.tensor(numbers),
    )  # fmt: skip


def asking(features: Features, sentences: Sequence[str], text: TextEncoder | None = None) -> GroundingBatch:
    """The batch of one whole video; LabanError for no features, a number that is not finite, or an empty sentence."""
    if not len(features.values):
        raise LabanError("grounding: the features have no entries")
    bad = np.flatnonzero(~np.isfinite(features.values).all(1))
    if len(bad):
        raise LabanError(
            f"grounding: {len(bad)} of {len(features.values)} entries hold NaN or infinity, first {bad[0]}"
        )
    if not sentences or any(not clean(sentence) for sentence in sentences):
        raise LabanError("grounding: the query is empty; accepted: a sentence such as 'the person waves'")
    return make_batch([features.values], [[Query(clean(one)) for one in sentences]], text or load_text_encoder())


def to_spans(
    features: Features, spans: Float[ndarray, "n 2"], scores: Float[ndarray, " n"], most: int = 10
) -> list[Span]:
    """(start, end) shares of a whole video as seconds within it, the best first."""
    first, length = features.grid.start(0), features.grid.seconds
    seconds = np.clip(spans, 0, 1) * length + first
    order = np.argsort(-scores, kind="stable")
    rows = [(float(seconds[i, 0]), float(seconds[i, 1]), float(scores[i])) for i in order]
    return [row for row in rows if row[1] > row[0]][:most]


@dataclass(frozen=True)
class Learning:
    """How a system is trained."""

    batches: QueryConfig = QueryConfig()
    training: TrainConfig = field(default_factory=lambda: optimisation(800))


def train_grounding(
    network: Network, loss: Loss, videos: Sequence[RegimeVideo], learning: Learning, folder: Path, *, seed: int,
    quiet: bool = True, deadline: float | None = None,
) -> Network:  # fmt: skip
    """Train a grounding network, or go on where `folder` stopped; the EMA network in evaluation mode."""
    batches = QueryBatches(videos, learning.batches, seed)
    training = replace(learning.training, seed=seed)
    return fit_whole(network, loss, batches, training, folder, deadline=deadline, progress=not quiet)


Ground = Callable[[nn.Module, Features, Sequence[str]], list[list[Span]]]
"""What each system offers: network, features and sentences in; for each sentence spans, best first, out."""


def _crop(
    features: Features, frames: int, rng: np.random.Generator
) -> tuple[Float[ndarray, "time features"], tuple[float, float]]:
    """A random stretch of at most so many entries, and its start and end in seconds."""
    values, grid = features.values, features.grid
    length = min(len(values), frames)
    first = int(rng.integers(0, len(values) - length + 1))
    return values[first : first + length], (grid.start(first), grid.start(first + length))


def _cut(
    windows: Sequence[tuple[float, float]], span: tuple[float, float], inside: float
) -> tuple[tuple[float, float], ...]:
    """Windows that are mostly inside the span, as shares of it."""
    kept = []
    for start, end in windows:
        low, high = max(start, span[0]), min(end, span[1])
        if high > low and high - low >= inside * (end - start):
            kept.append(((low - span[0]) / (span[1] - span[0]), (high - span[0]) / (span[1] - span[0])))
    return tuple(kept)


def _targets(windows: Sequence[Sequence[tuple[float, float]]]) -> SetTargets:
    spans = [torch.tensor(several, dtype=torch.float32).reshape(-1, 2) for several in windows]
    return set_targets(spans, [torch.zeros(len(one), dtype=torch.long) for one in spans])
