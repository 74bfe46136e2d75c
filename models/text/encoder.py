"""One protocol for text encoders: sentences in; sentence vectors, token features and their mask out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from laban.errors import LabanError
from laban.files import atomic_path
from models.text.captions import clean

EMBEDDED = "text_student"
ACCEPTED = "embedded, minilm, open_clip:MODEL:WEIGHTS, or a folder of a text_student checkpoint"


@dataclass(frozen=True)
class TextFeatures:
    """What a batch of sentences becomes: unit sentence vectors, token features (zero where `mask` is False), mask.

    `cut` says which sentences were longer than the encoder reads (64 word pieces for the embedded one).
    """

    sentence: Float[Tensor, "batch width"]
    tokens: Float[Tensor, "batch length width"]
    mask: Bool[Tensor, "batch length"]
    cut: tuple[bool, ...] = ()

    def to(self, device: str | torch.device) -> TextFeatures:
        """The same features on another device."""
        return TextFeatures(self.sentence.to(device), self.tokens.to(device), self.mask.to(device), self.cut)

    def __len__(self) -> int:
        return len(self.sentence)


@dataclass(frozen=True)
class OneText:
    """Features of one sentence without padding: the unit that is cached."""

    sentence: Float[Tensor, " width"]
    tokens: Float[Tensor, "length width"]
    cut: bool = False


@runtime_checkable
class TextEncoder(Protocol):
    """Anything that turns sentences into features. An empty sentence is the null condition and still has tokens."""

    name: str
    width: int

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of the sentences, in order, float32, without gradients."""
        ...


def pad_features(items: Sequence[OneText]) -> TextFeatures:
    """Stack single sentences into a batch."""
    length = max(len(item.tokens) for item in items)
    tokens = torch.zeros(len(items), length, items[0].tokens.shape[-1])
    mask = torch.zeros(len(items), length, dtype=torch.bool)
    for index, item in enumerate(items):
        tokens[index, : len(item.tokens)] = item.tokens
        mask[index, : len(item.tokens)] = True
    return TextFeatures(torch.stack([item.sentence for item in items]), tokens, mask, tuple(item.cut for item in items))


class CachedEncoder:
    """A text encoder that remembers sentences in memory (the last `limit`) and, optionally, in a folder.

    `compute` turns new sentences (already cleaned) into single features; `name` must change whenever its weights do,
    because it names the folder's files.
    """

    def __init__(
        self,
        name: str,
        width: int,
        compute: Callable[[Sequence[str]], list[OneText]],
        *,
        folder: Path | None = None,
        limit: int = 32_000,
    ) -> None:
        self.name, self.width = name, width
        self._compute, self._folder, self._limit = compute, folder, limit
        self._memory: OrderedDict[str, OneText] = OrderedDict()

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of the sentences; LabanError for none. Case, spacing and a final full stop do not matter."""
        if not texts:
            raise LabanError("text encoder: got no sentences; expected at least one (the empty sentence is allowed)")
        keys = [clean(text) for text in texts]
        batch = {key: self._memory[key] for key in keys if key in self._memory}
        new = [key for key in dict.fromkeys(keys) if key not in batch]
        stored = {key: item for key in new if (item := self._read(key)) is not None}
        fresh = [key for key in new if key not in stored]
        for start in range(0, len(fresh), 64):
            part = fresh[start : start + 64]
            for key, item in zip(part, self._compute(part), strict=True):
                stored[key] = item
                self._write(key, item)
        batch |= stored
        self._remember(batch)
        return pad_features([batch[key] for key in keys])

    def _remember(self, batch: dict[str, OneText]) -> None:
        for key, item in batch.items():
            self._memory[key] = item
            self._memory.move_to_end(key)
        while len(self._memory) > self._limit:
            self._memory.popitem(last=False)

    def _path(self, key: str) -> Path | None:
        digest = hashlib.sha256(f"{self.name}\n{key}".encode()).hexdigest()[:32]
        return None if self._folder is None else self._folder / f"{digest}.npz"

    def _read(self, key: str) -> OneText | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as data:
                tokens, sentence, cut = data["tokens"], data["sentence"], bool(data["cut"])
        except (OSError, ValueError, KeyError, EOFError):
            return None
        return OneText(torch.from_numpy(sentence), torch.from_numpy(tokens), cut)

    def _write(self, key: str, item: OneText) -> None:
        if path := self._path(key):
            with atomic_path(path) as temporary:
                np.savez(temporary, tokens=item.tokens.numpy(), sentence=item.sentence.numpy(), cut=np.array(item.cut))


def load_text_encoder(name: str = "embedded", *, cache: Path | None = None) -> CachedEncoder:
    """The encoder of a name: "embedded" (the shipped student), "minilm" (its teacher, if installed),
    "open_clip:MODEL:WEIGHTS" (a local CLIP checkpoint), or a folder with a text_student checkpoint.

    `cache` is a folder that keeps features between runs. Raises LabanError when the name is unknown or a file is
    missing. Encoders without a cache folder are shared between callers.
    """
    return _shared(name) if cache is None else _load(name, cache)


@lru_cache(maxsize=4)
def _shared(name: str) -> CachedEncoder:
    return _load(name, None)


def _load(name: str, cache: Path | None) -> CachedEncoder:
    if name == "embedded":
        return _student(EMBEDDED, cache)
    if name == "minilm":
        return _teacher(cache)
    if name.startswith("open_clip"):
        from models.text.open_clip_text import load_open_clip

        return load_open_clip(name, cache)
    if Path(name).is_dir():
        return _student(name, cache)
    raise LabanError(f"text encoder {name!r}: unknown; accepted: {ACCEPTED}")


def _student(name: str, cache: Path | None) -> CachedEncoder:
    from models.text.student import encode_batch, load_student, student_digest

    model, pieces = load_student(name)
    length = model.config.length

    def compute(texts: Sequence[str]) -> list[OneText]:
        rows = [pieces.encode(text, length) for text in texts]
        sentence, tokens, mask = encode_batch(model, [ids for ids, _ in rows])
        return split_batch(sentence, tokens, mask, [cut for _, cut in rows])

    return CachedEncoder(f"student:{student_digest(name)}", model.config.width, compute, folder=cache)


def _teacher(cache: Path | None) -> CachedEncoder:
    from models.text.minilm import load_teacher, mean_pool, minilm_tokens, pad_ids

    weights, encode = load_teacher()

    def compute(texts: Sequence[str]) -> list[OneText]:
        ids, mask = pad_ids(rows := encode(texts))
        tokens = minilm_tokens(weights, ids, mask)
        return split_batch(mean_pool(tokens, mask), tokens, mask, [len(row) >= 64 for row in rows])

    return CachedEncoder("minilm", 384, compute, folder=cache)


def split_batch(
    sentence: Float[Tensor, "batch width"],
    tokens: Float[Tensor, "batch length width"],
    mask: Bool[Tensor, "batch length"],
    cut: Sequence[bool],
) -> list[OneText]:
    """A padded batch as single sentences."""
    lengths = mask.sum(1).tolist()
    return [
        OneText(sentence[i].clone(), tokens[i, :n].clone(), flag)
        for i, (n, flag) in enumerate(zip(lengths, cut, strict=True))
    ]
