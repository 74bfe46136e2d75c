"""A language model on this machine (GGUF or a transformers folder) that writes legal actions alone: a trie decides."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from action_localization.anticipation.language.prompts import Prompt
from action_localization.anticipation.vocabulary import Vocabulary, plain
from laban.errors import LabanError
from models.compat import import_transformers

Trie = dict[int, Any]
END = -1
"""Key of a trie's node at which a name may end."""


def trie_of(names: Sequence[Sequence[int]]) -> Trie:
    """Token sequences as a tree: token -> tree, with `END` where one of them is complete."""
    root: Trie = {}
    for tokens in names:
        node = root
        for token in tokens:
            node = node.setdefault(token, {})
        node[END] = {}
    return root


@dataclass(frozen=True)
class Local:
    """A causal language model of the user's: a `.gguf` file, or a folder with safetensors and tokenizer. Nothing is
    fetched, and no code of the folder's runs. Needs the extra `lm`."""

    path: Path
    _tries: dict[int, tuple[Vocabulary, Trie]] = field(default_factory=dict, repr=False)
    _begun: dict[str, tuple[Any, torch.Tensor]] = field(default_factory=dict, repr=False)

    @cached_property
    def identity(self) -> str:
        """The file's name, and a hash of its size and beginning."""
        file = self.path if self.path.is_file() else _weights(self.path)[0]
        with file.open("rb") as opened:
            digest = hashlib.sha256(opened.read(1 << 20) + str(file.stat().st_size).encode())
        return f"{self.path.name} {digest.hexdigest()[:16]}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """(network, tokenizer)."""
        if not self.path.exists():
            raise LabanError(f"--lm {self.path}: is not there; accepted: a .gguf file or a transformers folder")
        if self.path.is_dir():
            _weights(self.path)
        try:
            transformers = import_transformers()
        except ImportError as error:
            raise LabanError(f"--lm {self.path}: {error}; install the extra: pip install 'laban[lm]'") from None
        transformers.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
        more = {"gguf_file": self.path.name} if self.path.is_file() else {}
        folder = self.path.parent if self.path.is_file() else self.path
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **more)
            network = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True,
                                                                        dtype=torch.float32, **more)  # fmt: skip
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise LabanError(f"--lm {self.path}: cannot be loaded ({str(error).splitlines()[0][:120]})") from None
        return network.eval(), tokenizer

    def write(self, prompt: Prompt, draw: int, temperature: float) -> str:
        """`prompt.length` legal actions, sampled token by token among those that some name goes on with."""
        trie, comma = self._trie(prompt.vocabulary), self._tokens(",")
        rng = np.random.default_rng((draw, len(prompt.text)))
        cache, odds = self._begin(f"{prompt.system}\n\n{prompt.text}")
        cache = copy.deepcopy(cache)
        written: list[int] = []
        fed = 0
        for number in range(prompt.length):
            node = trie
            while True:
                options = list(node)
                if len(options) > 1 and fed < len(written):
                    odds, fed = self._feed(cache, written[fed:]), len(written)
                token = options[0] if len(options) == 1 else _draw(odds, options, comma[0], temperature, rng)
                if token == END:
                    break
                written.append(token)
                node = node[token]
            if number + 1 < prompt.length:
                written += comma
        return self._loaded[1].decode(written)

    def choose(self, prompt: Prompt, question: str, options: Sequence[str]) -> str:
        """The likeliest option, by its tokens' mean log-likelihood."""
        begin = f"{prompt.system}\n\n{prompt.text.removesuffix('Next actions:')}{question} Answer:"
        return options[int(self.score(begin, options).argmax())]

    def score(self, text: str, options: Sequence[str]) -> Float64[ndarray, " options"]:
        """Mean log-likelihood in nats a token of every option after a text."""
        network, _ = self._loaded
        cache, odds = self._begin(text)
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(len(options))
        tokens = [self._tokens(f" {option}") for option in options]
        longest = max(map(len, tokens))
        padded = torch.tensor([row + [row[-1]] * (longest - len(row)) for row in tokens])
        with torch.inference_mode():
            after = network(input_ids=padded, past_key_values=cache).logits
        said = torch.cat([odds.expand(len(options), 1, -1), after[:, :-1]], 1).log_softmax(-1)
        each = said.gather(2, padded[..., None])[..., 0]
        return np.array([float(each[i, : len(row)].mean()) for i, row in enumerate(tokens)])

    def _begin(self, text: str) -> tuple[Any, torch.Tensor]:
        """(what the network remembers of a text, odds of the next token); of the last text it is kept."""
        if text not in self._begun:
            network, tokenizer = self._loaded
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            most = int(getattr(network.config, "max_position_embeddings", 2048)) - 512
            with torch.inference_mode():
                found = network(input_ids=ids[:, -most:], use_cache=True)
            self._begun.clear()
            self._begun[text] = found.past_key_values, found.logits[:, -1]
        return self._begun[text]

    def _feed(self, cache: Any, tokens: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return self._loaded[0](input_ids=torch.tensor([list(tokens)]), past_key_values=cache).logits[:, -1]

    def _tokens(self, text: str) -> list[int]:
        return list(self._loaded[1](text, add_special_tokens=False)["input_ids"])

    def _trie(self, vocabulary: Vocabulary) -> Trie:
        if id(vocabulary) not in self._tries:
            names = [self._tokens(f" {plain(name)}") for name in vocabulary.names]
            self._tries[id(vocabulary)] = vocabulary, trie_of(names)
        return self._tries[id(vocabulary)][1]


def _draw(odds: torch.Tensor, options: list[int], comma: int, temperature: float, rng: np.random.Generator) -> int:
    """One of the options; that a name ends is as likely as a comma."""
    kept = odds[0, [comma if option == END else option for option in options]].double().numpy()
    chance = np.exp((kept - kept.max()) / max(temperature, 1e-3))
    return options[int(np.searchsorted(chance.cumsum(), rng.random() * chance.sum()).clip(0, len(options) - 1))]


def _weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise LabanError(f"--lm {folder}: holds no .safetensors; accepted: a .gguf file or a folder with config.json, "
                         "tokenizer.json and safetensors")  # fmt: skip
    return found
