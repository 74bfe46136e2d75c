"""The causal sequence model: a small transformer over actions with copying, or over features (AVT's head)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from action_localization.anticipation.rollout import Rollout
from action_localization.anticipation.vocabulary import Vocabulary
from models.attention import FeedForward

FAR = -1e4
COPIES = ("verb", "noun", "action")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes; `features` is the width of feature input (0: actions are the input); at most `context` items are seen."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.3
    context: int = 64
    features: int = 0


@dataclass
class Memory:
    """What earlier items left behind: keys and values of each layer, keys of copying, and the actions themselves."""

    layers: list[tuple[Tensor, Tensor]]
    keys: Tensor
    tokens: Tensor

    def repeated(self, copies: int) -> Memory:
        """The same for several copies of one sequence."""
        layers = [(k.expand(copies, -1, -1, -1), v.expand(copies, -1, -1, -1)) for k, v in self.layers]
        return Memory(layers, self.keys.expand(copies, -1, -1), self.tokens.expand(copies, -1))


def recency(heads: int, queries: int, keys: int) -> Float[Tensor, "heads queries keys"]:
    """Attention biases that fall with distance, at another slope for each head, and forbid the future (ALiBi, Press et
    al. 2022); the queries are the last of the keys."""
    slope = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
    distance = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None]
    bias = -slope[:, None, None] * distance.clamp(min=0)
    return torch.where(distance >= 0, bias, torch.tensor(FAR))


class CausalLayer(nn.Module):
    """Pre-norm causal self-attention by recency, then a feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.feed_forward = FeedForward(config.width, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch length width"], past: tuple[Tensor, Tensor] | None,
        bias: Float[Tensor, "heads length keys"],
    ) -> tuple[Float[Tensor, "batch length width"], tuple[Tensor, Tensor]]:  # fmt: skip
        """The items after the layer, and the keys and values with those of the past; `bias` is of `recency`."""
        q, k, v = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(mixed))
        return x + self.dropout(self.feed_forward(self.norms[1](x))), (k, v)


class ActionModel(nn.Module):
    """What comes next, after every item of a sequence.

    An action goes in, and comes out, as the sum of what its verb, its noun and itself mean: rare pairs are known by
    their parts. Copying raises what occurred before: an attention over the past votes for its verbs, nouns and actions.
    With `features` the input is a row of features instead (AVT, Girdhar & Grauman 2021), and nothing is copied.
    """

    verb_of: Tensor
    noun_of: Tensor

    def __init__(self, vocabulary: Vocabulary, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.register_buffer("verb_of", torch.tensor(vocabulary.verb_of), persistent=False)
        self.register_buffer("noun_of", torch.tensor(vocabulary.noun_of), persistent=False)
        sizes = {"verb": len(vocabulary.verbs), "noun": len(vocabulary.nouns), "action": len(vocabulary)}
        width = config.width
        self.tables = nn.ModuleDict({name: nn.Embedding(size, width) for name, size in sizes.items()})
        for name in sizes:
            nn.init.normal_(self._table(name).weight, std=0.02)
        self.begin = nn.Parameter(0.02 * torch.randn(width))
        self.bias = nn.Parameter(torch.zeros(sizes["action"]))
        self.read = nn.Linear(config.features, width) if config.features else None
        self.layers = nn.ModuleList(CausalLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.copy_query = nn.Linear(width, len(COPIES) * width // 2, bias=False)
        self.copy_key = nn.Linear(width, len(COPIES) * width // 2, bias=False)
        self.copy_scale = nn.Parameter(torch.tensor([2.0, 2.0, 2.0]))
        self.features_out = nn.Linear(width, config.features) if config.features else None

    def forward(
        self, tokens: Int[Tensor, "batch length"], past: Memory | None = None
    ) -> tuple[Float[Tensor, "batch positions actions"], Memory]:
        """Log-odds of the next action after every item, and what to remember.

        Without a past a beginning stands before the items, so there is one position more than items.
        """
        x, memory = self.read_actions(tokens, past)
        return self.odds(x, self._copied(x, memory)), memory

    def read_actions(
        self, tokens: Int[Tensor, "batch length"], past: Memory | None
    ) -> tuple[Float[Tensor, "batch positions width"], Memory]:
        """What the layers make of actions, and what to remember."""
        x = self.tables["action"](tokens) + self.tables["verb"](self.verb_of[tokens])
        x = x + self.tables["noun"](self.noun_of[tokens])
        if past is None:
            x = torch.cat([self.begin.expand(len(tokens), 1, -1), x], 1)
        x, layers = self._layers(x, past)
        keys = self.copy_key(x)
        first = torch.full((len(tokens), 1), -1, dtype=tokens.dtype, device=tokens.device)
        seen = torch.cat([first if past is None else past.tokens, tokens], 1)
        return x, Memory(layers, keys if past is None else torch.cat([past.keys, keys], 1), seen)

    def from_features(
        self, rows: Float[Tensor, "batch length features"]
    ) -> tuple[Float[Tensor, "batch length actions"], Float[Tensor, "batch length features"]]:
        """Log-odds of the next action after every row, and the next row itself as it is foreseen."""
        assert self.read is not None and self.features_out is not None
        x, _ = self._layers(self.read(rows), None)
        return self.odds(x, None), self.features_out(x)

    def _table(self, name: str) -> nn.Embedding:
        return cast(nn.Embedding, self.tables[name])

    def _layers(self, x: Tensor, past: Memory | None) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        x, kept = self.dropout(x), []
        before = 0 if past is None else past.layers[0][0].shape[2]
        bias = recency(self.config.heads, x.shape[1], before + x.shape[1]).to(x)
        for i, layer in enumerate(self.layers):
            x, pair = layer(x, None if past is None else past.layers[i], bias)
            kept.append(pair)
        return self.norm(x), kept

    def odds(
        self, x: Float[Tensor, "batch length width"], copied: dict[str, Tensor] | None
    ) -> Float[Tensor, "batch length actions"]:
        """Verb, noun and action each have their say."""
        x = self.dropout(x)
        said = {name: F.linear(x, self._table(name).weight) for name in COPIES}
        if copied is not None:
            said = {name: value + copied[name] for name, value in said.items()}
        return said["verb"][..., self.verb_of] + said["noun"][..., self.noun_of] + said["action"] + self.bias

    def _copied(self, x: Float[Tensor, "batch length width"], memory: Memory) -> dict[str, Tensor]:
        """Votes of the past for verbs, nouns and actions."""
        weight, votes = self.copy_weights(x, memory), {}
        for i, name in enumerate(COPIES):
            ids = self.copied_ids(name, memory.tokens)
            into = torch.zeros(*x.shape[:2], self._table(name).num_embeddings, dtype=x.dtype, device=x.device)
            votes[name] = into.scatter_add(2, ids[:, None].expand(-1, x.shape[1], -1), weight[:, i].to(x.dtype))
        return votes

    def copy_weights(
        self, x: Float[Tensor, "batch length width"], memory: Memory
    ) -> Float[Tensor, "batch kinds length past"]:
        """How much each position of the past is copied, of each of `COPIES`; the beginning takes what is not to be."""
        kinds = len(COPIES)
        q = self.copy_query(x).unflatten(-1, (kinds, -1)).transpose(1, 2)
        k = memory.keys.unflatten(-1, (kinds, -1)).transpose(1, 2)
        slope = 0.5 * recency(kinds, x.shape[1], memory.keys.shape[1]).to(x)
        weight = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + slope).softmax(-1)
        return weight * (memory.tokens >= 0)[:, None, None] * self.copy_scale[:, None, None]

    def copied_ids(self, name: str, seen: Int[Tensor, "batch past"]) -> Int[Tensor, "batch past"]:
        """The verbs, nouns or actions of the past; the beginning counts as the first one and weighs nothing."""
        ids = seen.clamp(min=0)
        return self.verb_of[ids] if name == "verb" else self.noun_of[ids] if name == "noun" else ids

    def joint_table(self) -> Float[Tensor, "actions width"]:
        """What verb, noun and action say together, as one table: the same as `odds` without copies and bias."""
        verb, noun = self._table("verb").weight[self.verb_of], self._table("noun").weight[self.noun_of]
        return verb + noun + self._table("action").weight


class ModelPredictor:
    """An `ActionModel` as a predictor of the next action."""

    def __init__(self, network: ActionModel) -> None:
        self.network = network.eval()
        self.vocabulary = network.vocabulary

    @cached_property
    def joint(self) -> Float[Tensor, "actions width"]:
        """`ActionModel.joint_table`, made once."""
        with torch.inference_mode():
            return self.network.joint_table().contiguous()

    def start(self, history: np.ndarray, copies: int = 1) -> Rollout:
        """Begin after the last actions of a history, as many as the network was trained on; unknown ones left out."""
        return _ModelRollout(self, history[history >= 0][-self.network.config.context :], copies)

    def along(self, actions: np.ndarray) -> Float[np.ndarray, "length actions"]:
        """Before each action of a sequence, in one causal pass; unknown ones are as if they had not been."""
        known = actions >= 0
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(actions[known], np.int64))[None]
            odds, _ = self.network(tokens)
            return odds[0, np.cumsum(known) - known].softmax(-1).numpy()


class _ModelRollout:
    """Odds are kept with actions in rows and copies in columns: everything per action is then a copy of whole rows."""

    def __init__(self, predictor: ModelPredictor, history: np.ndarray, copies: int) -> None:
        self.network, self.joint, self.copies = predictor.network, predictor.joint, copies
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(history, np.int64))[None]
            x, memory = self.network.read_actions(tokens, None)
            self.odds = self._odds(x[:, -1:], memory)
        self.memory = memory.repeated(copies)

    def _odds(self, x: Float[Tensor, "copies one width"], memory: Memory) -> Float[Tensor, "actions copies"]:
        network = self.network
        found = torch.addmm(network.bias[:, None], self.joint, x[:, 0].T)
        weight = network.copy_weights(x, memory)[:, :, 0]
        for i, name in enumerate(COPIES):
            ids = network.copied_ids(name, memory.tokens).T
            if name == "action":
                found.scatter_add_(0, ids, weight[:, i].T)
                continue
            number = len(network.vocabulary.verbs if name == "verb" else network.vocabulary.nouns)
            votes = torch.zeros(number, len(x)).scatter_add_(0, ids, weight[:, i].T)
            found += votes[network.verb_of if name == "verb" else network.noun_of]
        return found

    def next(self) -> Float[np.ndarray, "copies actions"]:
        """Softmax of the log-odds."""
        return self.odds.softmax(0).T.expand(self.copies, -1).numpy()

    def take(self, chosen: Int[np.ndarray, " copies"]) -> None:
        """One step with what is remembered."""
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(chosen, np.int64))[:, None]
            x, self.memory = self.network.read_actions(tokens, self.memory)
            self.odds = self._odds(x, self.memory)
