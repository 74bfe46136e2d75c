"""What a text tower trained on templates cannot know: sentences in other words, read through the captions near them.

A tower that learned from some thousand wordings is sharp on those and lost beyond. A sentence vector is the other way
round: it hides side and count, and knows that "he strolls" is near "a person walks". So a sentence far from every
training caption is placed where the motions of the captions nearest to it lie (Nadaraya-Watson regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8
from torch import Tensor

from models.motion_text.examples import Example
from models.text.encoder import TextEncoder

TEMPERATURE = 0.04
"""Cosine similarity over which a caption's weight falls by e."""
FAR, NEAR = 0.6, 0.9
"""Similarity to the nearest caption below which only the captions count, and above which only the tower does."""
SAME = 0.985
"""Captions more alike than this are one."""


@dataclass(frozen=True)
class Known:
    """Training captions as sentence vectors (int8, to be normalised) and the mean motions they go with."""

    sentence: Int8[Tensor, "captions width"]
    row: Int[Tensor, " captions"]
    embedding: Float[Tensor, "meanings dim"]

    def place(
        self, sentence: Float[Tensor, "texts width"], tower: Float[Tensor, "texts dim"]
    ) -> Float[Tensor, "texts dim"]:
        """The tower's unit vectors, moved towards the nearest captions' motions as far as the sentence is strange."""
        similarity = sentence @ F.normalize(self.sentence.float(), dim=-1).T
        near = F.normalize((similarity / TEMPERATURE).softmax(-1) @ self.embedding[self.row], dim=-1)
        trust = ((similarity.amax(-1, keepdim=True) - FAR) / (NEAR - FAR)).clamp(0, 1)
        return F.normalize(trust * tower + (1 - trust) * near, dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """For the checkpoint, beside the network's own."""
        return {"known.sentence": self.sentence, "known.row": self.row, "known.embedding": self.embedding}


def take_known(tensors: dict[str, Tensor]) -> Known | None:
    """Remove the captions from a checkpoint's tensors; None where it has none."""
    if "known.sentence" not in tensors:
        return None
    return Known(*(tensors.pop(f"known.{name}") for name in ("sentence", "row", "embedding")))


def gather_known(
    examples: Sequence[Example], motion: Float[Tensor, "examples dim"], text: TextEncoder, *, most: int = 32
) -> Known:
    """Up to `most` captions of each action, the ones least alike, with the mean of their examples' embeddings."""
    owners: dict[tuple[str, str], list[int]] = {}
    for index, example in enumerate(examples):
        owners.setdefault((example.action, example.label), []).append(index)
    sentences, rows, actions = [], [], []
    for row, ((action, _), members) in enumerate(owners.items()):
        captions = sorted({caption for i in members for caption in (*examples[i].texts, *examples[i].captions)})
        sentences.append(text.encode(captions).sentence)
        rows += [row] * len(captions)
        actions += [action] * len(captions)
    every, kept = torch.cat(sentences), []
    for action in dict.fromkeys(actions):
        own = torch.tensor([i for i, name in enumerate(actions) if name == action])
        kept.append(own[farthest(every[own], most)])
    chosen = torch.cat(kept)
    embedding = torch.stack([F.normalize(motion[members].mean(0), dim=-1) for members in owners.values()])
    packed = (every[chosen] / every[chosen].abs().amax(-1, keepdim=True) * 127).round().to(torch.int8)
    return Known(packed, torch.tensor(rows)[chosen], embedding)


def farthest(sentence: Float[Tensor, "captions width"], most: int) -> Int[Tensor, " kept"]:
    """Indices of at most `most` rows, each the one least like those before it; near copies are left out."""
    similarity = (sentence @ sentence.T).numpy()
    chosen, nearest = [0], similarity[0].copy()
    while len(chosen) < min(most, len(sentence)):
        index = int(np.argmin(nearest))
        if nearest[index] > SAME:
            break
        chosen.append(index)
        nearest = np.maximum(nearest, similarity[index])
    return torch.tensor(chosen)
