"""The embedded text encoder: a small student of MiniLM with a pruned vocabulary and factorised word embeddings.

Post-norm transformer layers as in BERT (Devlin et al. 2019), a factorised table as in ALBERT (Lan et al. 2020). The
checkpoint holds its vocabulary as UTF-8 bytes beside the weights, so that neither travels without the other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from laban.errors import LabanError
from models.text.minilm import mean_pool, pad_ids

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = (PAD, UNKNOWN, START, END)
_ASCII_MARKS = "$+<=>^`|~"
_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class StudentConfig:
    """Sizes of a student: vocabulary, rank of its table, width, layers, heads, inner width, longest sentence."""

    vocabulary: int
    rank: int = 112
    width: int = 384
    layers: int = 3
    heads: int = 12
    inner: int = 1536
    length: int = 64


class WordPiece:
    """Greedy longest-match word pieces (Wu et al. 2016) over lower-cased words without accents."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.index = {piece: number for number, piece in enumerate(self.vocabulary)}
        missing = [piece for piece in SPECIAL if piece not in self.index]
        if missing:
            raise LabanError(f"text encoder: vocabulary lacks {missing[0]}; expected {', '.join(SPECIAL)}")
        self._words: dict[str, tuple[int, ...]] = {}

    def pieces(self, text: str) -> list[str]:
        """The word pieces of a text, without the marks for start and end."""
        return [self.vocabulary[index] for index in self._ids(text)]

    def encode(self, text: str, length: int) -> tuple[list[int], bool]:
        """Ids with start and end marks, at most `length`, and whether the text had to be cut."""
        ids = self._ids(text)
        kept = ids[: length - 2]
        return [self.index[START], *kept, self.index[END]], len(kept) < len(ids)

    def _ids(self, text: str) -> list[int]:
        return [index for word in _words(text) if word for index in self._word_ids(word)]

    def _word_ids(self, word: str) -> tuple[int, ...]:
        if word not in self._words:
            if len(self._words) > 50_000:
                self._words.clear()
            self._words[word] = self._split(word)
        return self._words[word]

    def _split(self, word: str) -> tuple[int, ...]:
        start, ids = 0, []
        while start < len(word) and len(word) <= 100:
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.index), start)
            if end == start:
                return (self.index[UNKNOWN],)
            ids.append(self.index[prefix + word[start:end]])
            start = end
        return tuple(ids) if ids else (self.index[UNKNOWN],)


def _words(text: str) -> list[str]:
    """Lower-cased words without accents; each punctuation mark and each CJK character is a word of its own."""
    spaced: list[str] = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(letter)
        if letter in "\t\n\r" or category.startswith("Z"):
            spaced.append(" ")
        elif category == "Mn" or category.startswith("C") or letter == "\ufffd":
            continue
        elif category.startswith("P") or letter in _ASCII_MARKS or _CJK.match(letter):
            spaced.append(f" {letter} ")
        else:
            spaced.append(letter)
    return "".join(spaced).split(" ")


class Layer(nn.Module):
    """One post-norm transformer layer: attention, then a GELU network, each added and normalised."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width, eps=1e-12)
        self.up = nn.Linear(config.width, config.inner)
        self.down = nn.Linear(config.inner, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-12)

    def forward(
        self, hidden: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Tokens after one layer; only real tokens are attended to."""
        query, key, value = self.qkv(hidden).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        hidden = self.norm1(hidden + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(hidden + self.down(F.gelu(self.up(hidden))))


class TextStudent(nn.Module):
    """Word-piece ids to token features of the teacher's width."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(config.vocabulary, config.rank)
        self.widen = nn.Linear(config.rank, config.width)
        self.positions = nn.Parameter(torch.zeros(config.length, config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Token features; rows of padding are meaningless."""
        hidden = self.norm(self.widen(self.table(ids)) + self.positions[: ids.shape[1]])
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


def student_tensors(model: TextStudent, vocabulary: Sequence[str]) -> dict[str, Tensor]:
    """What a checkpoint holds: the weights and, as bytes, the vocabulary."""
    letters = torch.tensor(list("\n".join(vocabulary).encode()), dtype=torch.uint8)
    return {**model.state_dict(), "vocabulary": letters}


def student_config(model: TextStudent) -> dict[str, object]:
    """The sizes, as config.json keeps them."""
    return {"kind": "text_student", **asdict(model.config)}


def load_student(name: str) -> tuple[TextStudent, WordPiece]:
    """The model in evaluation mode and its tokenizer, from an embedded checkpoint's name or a folder."""
    from laban.weights import load_module, load_weights

    tensors, config = load_weights(name)
    if config.get("kind") != "text_student" or "vocabulary" not in tensors:
        raise LabanError(f"checkpoint {name}: kind {config.get('kind')!r} is no text encoder; accepted: text_student")
    vocabulary = bytes(tensors.pop("vocabulary").tolist()).decode().split("\n")
    sizes = {key: config[key] for key in StudentConfig.__dataclass_fields__ if key in config}
    if len(vocabulary) != sizes.get("vocabulary"):
        raise LabanError(f"checkpoint {name}: {len(vocabulary)} word pieces; config says {sizes.get('vocabulary')}")
    model = TextStudent(StudentConfig(**sizes))
    return load_module(model, tensors, name), WordPiece(vocabulary)


@torch.no_grad()
def encode_batch(
    model: TextStudent, ids: Sequence[Sequence[int]]
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch length width"], Bool[Tensor, "batch length"]]:
    """Sentence vectors (unit length), token features (zero at padding) and the mask of real tokens."""
    rows, mask = pad_ids(ids)
    tokens = model(rows, mask).float()
    return mean_pool(tokens, mask), tokens * mask.unsqueeze(-1), mask


def student_digest(name: str) -> str:
    """Sixteen digits that change with the weights: caches and conditioned models are tied to them."""
    from laban.weights import find_weights

    return hashlib.sha256((find_weights(name) / "model.safetensors").read_bytes()).hexdigest()[:16]
