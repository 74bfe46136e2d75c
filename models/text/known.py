"""Which known actions a sentence leans on, and what it asks of direction, side, count and speed: told to the user.

The captions' vectors and the classifier come with the text encoder; `python -m models.text.known FOLDER` makes them
anew for a text_student checkpoint, which is needed whenever the templates or the scenes change.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder
from laban.progress import progress
from laban.weights import find_weights
from models.formats.arrays import read_npz
from models.text.captions import action_captions, phrases_for
from models.text.captions import sentence as caption_of
from models.text.dictionary import load_dictionary
from models.text.encoder import EMBEDDED, OneText, TextEncoder, TextFeatures, load_text_encoder, pad_features
from models.text.phrases import PHRASES, SCENES
from models.text.probe import SHARPNESS, Probe, fit_probe, nearest_mean
from models.text.slots import Slots, parse_slots

NEAR, RELATED = 0.6, 0.42
"""Cosines above which an action is called near, or related: the middle and the lowest of the student's cosines over the
fourteen pairs of `benchmarks/text_pairs.json` (nine of ten unrelated sentences there stay below 0.33)."""
SEVERAL = re.compile(r"\b(?:and|then|while|before|after|until)\b|[,;]")
"""What joins clauses; such a sentence may say more than any single caption."""
MIXED = "sequence"
"""What clips of several actions are filed under."""
STRANGE, FAMILIAR = 0.6, 0.9
"""Cosines to the nearest caption of the action that fits best, below which only that action's caption speaks in the
sentence vector, above which only the sentence's own."""
REREAD, SOFTNESS = 0.7, 0.3
"""What a sentence's readings through the dictionary count beside its own words; and the power to which probabilities
are raised before they are averaged, as the classifier is far too sure of sentences unlike its captions."""


@dataclass(frozen=True)
class Leaning:
    """The known actions nearest to a sentence, best first, with cosines; and the slots that it names."""

    text: str
    actions: tuple[tuple[str, float], ...]
    slots: Slots

    @property
    def nearness(self) -> str:
        """ "near", "related" or "far": how close the best known action is."""
        best = self.actions[0][1]
        return "near" if best >= NEAR else "related" if best >= RELATED else "far"

    def summary(self) -> str:
        """One line for the terminal: "leans on walk 0.91, jog 0.62 (near); asks: direction forward"."""
        actions = ", ".join(f"{action} {similarity:.2f}" for action, similarity in self.actions)
        said = "; ".join(f"{name} {_shown(value)}" for name, value in self.slots.said().items())
        return f"leans on {actions} ({self.nearness})" + (f"; asks: {said}" if said else "")


@dataclass(frozen=True)
class KnownActions:
    """Sentence vectors of what a checkpoint was trained on: one row for each caption, with the action it stands for."""

    encoder: TextEncoder
    actions: tuple[str, ...]
    captions: tuple[str, ...]
    vectors: Float[Tensor, "captions width"]
    probe: Probe

    def only(self, actions: Iterable[str]) -> KnownActions:
        """The same table for fewer actions (those of the list that it has)."""
        kept = set(actions) & set(self.names)
        rows = [i for i, action in enumerate(self.actions) if action in kept]
        weight = self.probe.weight[[i for i, name in enumerate(self.names) if name in kept]]
        return KnownActions(
            self.encoder, tuple(self.actions[i] for i in rows), tuple(self.captions[i] for i in rows),
            self.vectors[rows], replace(self.probe, weight=weight),
        )  # fmt: skip

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The actions, each once."""
        return tuple(dict.fromkeys(self.actions))

    @cached_property
    def label(self) -> Int[Tensor, " captions"]:
        """Each caption's place in `names`."""
        place = {name: index for index, name in enumerate(self.names)}
        return torch.tensor([place[action] for action in self.actions])

    def scores(self, sentence: Float[Tensor, "texts width"]) -> Float[Tensor, "texts actions"]:
        """How well each of `names` fits each sentence; higher is better."""
        near = nearest_mean(sentence @ self.vectors.T, self.label, len(self.names))
        return self.probe.log_probabilities(sentence) + SHARPNESS * near

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word of the captions."""
        return frozenset(word for caption in self.captions for word in re.findall(r"[a-z]+", caption.lower()))

    def fit(self, texts: Sequence[str]) -> Float[Tensor, "texts actions"]:
        """`scores` of the texts; one with strange words is read through the dictionary too, and the readings vote."""
        own = self.scores(self.encoder.encode(texts).sentence)
        votes = {text: self._votes(text) for text in dict.fromkeys(texts)}
        for row, text in enumerate(texts):
            if (share := votes[text]) is not None:
                mine = (SOFTNESS * own[row]).softmax(-1)
                own[row] = (REREAD * share + (1 - REREAD) * mine).log()
        return own

    def _votes(self, text: str) -> Float[Tensor, " actions"] | None:
        """The weighted mean of what the text's readings through the dictionary say; None when it has none."""
        if not (readings := load_dictionary().readings(text, self.words)):
            return None
        weights, sentences = zip(*readings, strict=True)
        each = self.scores(self.encoder.encode(sentences).sentence)
        return torch.tensor(weights) @ (SOFTNESS * each).softmax(-1)

    def lean_on(self, text: str, k: int = 3) -> list[tuple[str, float]]:
        """The `k` known actions that fit `text` best, best first, each with its nearest caption's cosine."""
        query = self.encoder.encode([text]).sentence
        similarity = (self.vectors @ query[0]).clamp(-1, 1)
        order = self.fit([text])[0].argsort(descending=True, stable=True)[:k].tolist()
        return [(self.names[i], float(similarity[self.label == i].max())) for i in order]

    def meant(self, texts: Sequence[str]) -> list[str]:
        """The known action that fits each text best."""
        best = self.fit(texts).argmax(-1)
        return [self.names[i] for i in best.tolist()]

    def leaning(self, text: str, k: int = 3) -> Leaning:
        """`lean_on` together with the sentence's slots."""
        return Leaning(text, tuple(self.lean_on(text, k)), parse_slots(text))

    def read(self, texts: Sequence[str]) -> TextFeatures:
        """Features for a network that learned from these captions; sentences in other words are helped by a known one.

        A token-conditioned network follows words it was trained on and is lost with others, while sentence vectors
        know that "he ambles" means walking. So a sentence that is not familiar gets the tokens of a caption of the
        action that fits it best beside its own, and a sentence vector between the two; if it is quite strange, a single
        clause and says nothing of side, direction, count or speed, it is replaced.
        """
        own = self.encoder.encode(texts)
        plain, trust = self.readings(texts)
        near = self.encoder.encode(plain)
        items = []
        for row, (text, share) in enumerate(zip(texts, trust.tolist(), strict=True)):
            sentence = F.normalize(share * own.sentence[row] + (1 - share) * near.sentence[row], dim=-1)
            parts = [own.tokens[row][own.mask[row]]] if share > 0 or says_more(text) else []
            parts += [near.tokens[row][near.mask[row]]] if share < 1 else []
            items.append(OneText(sentence, torch.cat(parts), own.cut[row]))
        return pad_features(items)

    def readings(self, texts: Sequence[str]) -> tuple[list[str], Float[ndarray, " texts"]]:
        """For each text the known caption to read it through, and how far the text itself can be trusted, 0 to 1."""
        sentence = self.encoder.encode(texts).sentence
        similarity = sentence @ self.vectors.T
        best = self.fit(texts).argmax(-1)
        theirs = similarity.masked_fill(self.label != best[:, None], -1).amax(-1)
        trust = ((theirs - STRANGE) / (FAMILIAR - STRANGE)).clamp(0, 1)
        rows = enumerate(zip(texts, best.tolist(), strict=True))
        return [self._plain(text, action, similarity[row]) for row, (text, action) in rows], trust.numpy()

    def _plain(self, text: str, action: int, similarity: Float[Tensor, " captions"]) -> str:
        """The action's template caption nearest to `text` among those that say nothing (no side, no style) beyond it.

        Templates, not scenes: a network saw the former much more often.
        """
        plain = {caption_of(p, "s", "a person") for p in phrases_for(self.names[action], (text,)) if p[0] != "="}
        rows = (self.label == action).nonzero()[:, 0].tolist()
        modest = [i for i in rows if self.captions[i] in plain]
        return self.captions[max(modest or rows, key=lambda i: float(similarity[i]))]


def load_known(actions: Iterable[str], encoder: str = "embedded") -> KnownActions:
    """The table of a checkpoint's actions by a named text encoder.

    For actions of the templates it comes with the embedded encoder; otherwise it is made, and kept in the user's cache.
    """
    return _known(tuple(dict.fromkeys(actions)), encoder)


def says_more(text: str) -> bool:
    """Whether a sentence may say more than a plain caption can: several clauses, or a slot."""
    return bool(SEVERAL.search(text.lower()) or parse_slots(text).said())


@lru_cache(maxsize=4)
def _known(actions: tuple[str, ...], encoder: str) -> KnownActions:
    cache, table = cache_folder() / "known", load_text_encoder(encoder)
    if not set(actions) - {*PHRASES, MIXED} and set(actions) & set(PHRASES):
        shipped = find_weights(EMBEDDED) if encoder == "embedded" else None
        return known_actions(PHRASES, table, cache=cache, shipped=shipped).only(actions)
    return known_actions(actions, table, cache=cache)


def representative_captions(actions: Iterable[str], most: int = 4) -> list[tuple[str, str]]:
    """(action, sentence): the first plain sentences of each action's templates, at most `most` per variant; scenes."""
    actions = tuple(actions)
    plain = [(name, text) for name in actions for texts in action_captions(name).values() for text in texts[:most]]
    return plain + [(name, text) for name in actions for text in SCENES.get(name, ())]


def known_actions(
    actions: Iterable[str], encoder: TextEncoder, *, cache: Path | None = None, shipped: Path | None = None
) -> KnownActions:
    """The table for a checkpoint's list of coarse actions; LabanError when the list is empty.

    Clips of several actions stand for none. Vectors (8 bits a number) and classifier are read from the folder
    `shipped` or `cache`, one file for each encoder and list, and kept in `cache` when they had to be made.
    """
    rows = representative_captions(action for action in dict.fromkeys(actions) if action != MIXED)
    if not rows:
        raise LabanError("known actions: the checkpoint lists none; expected at least one")
    names, texts = zip(*rows, strict=True)
    place = {name: index for index, name in enumerate(dict.fromkeys(names))}
    digest = hashlib.sha256("\n".join((encoder.name, *names, *texts)).encode()).hexdigest()[:24]
    width = encoder.width
    shapes = {"vectors": (len(texts), width), "centre": (width,), "weight": (len(place), width + 1)}
    paths = [folder / f"known-{digest}.npz" for folder in (shipped, cache) if folder is not None]
    stored = next((found for path in paths if (found := _read(path, shapes)) is not None), None)
    if stored is None:
        stored = _make(encoder, texts, torch.tensor([place[name] for name in names]), len(place))
        if cache is not None:
            with suppress(LabanError), atomic_path(cache / f"known-{digest}.npz") as temporary:
                np.savez_compressed(temporary, **{name: value.numpy() for name, value in stored.items()})  # type: ignore[arg-type]
    vectors = F.normalize(stored["vectors"].float(), dim=-1)
    probe = Probe(stored["centre"], float(stored["scale"]), stored["weight"].float())
    return KnownActions(encoder, names, texts, vectors, probe)


def _make(
    encoder: TextEncoder, texts: Sequence[str], label: Int[Tensor, " captions"], actions: int
) -> dict[str, Tensor]:
    rows = range(0, len(texts), 64)
    with progress("reading known actions", len(texts)) as advance:
        parts = []
        for start in rows:
            parts.append(encoder.encode(texts[start : start + 64]).sentence)
            advance(len(parts[-1]))
    vectors = torch.cat(parts)
    packed = (vectors / vectors.abs().amax(-1, keepdim=True) * 127).round().to(torch.int8)
    probe = fit_probe(F.normalize(packed.float(), dim=-1), label, actions)
    scale, weight = torch.tensor(probe.scale), probe.weight.half()
    return {"vectors": packed, "centre": probe.centre, "weight": weight, "scale": scale}


def _read(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
    """The file's arrays; None where there is no such file or it does not hold what is expected."""
    if not path.is_file():
        return None
    try:
        found = {name: torch.from_numpy(value) for name, value in read_npz(path, (*shapes, "scale")).items()}
    except (LabanError, TypeError):
        return None
    if set(found) != {*shapes, "scale"}:
        return None
    return found if all(tuple(found[name].shape) == shape for name, shape in shapes.items()) else None


def _shown(value: tuple[str, ...] | int) -> str:
    return str(value) if isinstance(value, int) else " and ".join(value)


def write_table(folder: str | Path) -> Path:
    """Make the table of all template actions for a text_student checkpoint and put it into its folder."""
    with TemporaryDirectory(prefix=".known-", dir=folder) as made:
        known_actions(PHRASES, load_text_encoder(str(folder)), cache=Path(made))
        fresh = next(Path(made).glob("known-*.npz"), None)
        if fresh is None:
            raise LabanError(f"{folder}: the table of known actions could not be written")
        new = fresh.replace(Path(folder) / fresh.name)
    for old in Path(folder).glob("known-*.npz"):
        if old != new:
            old.unlink()
    return new


if __name__ == "__main__":
    print(write_table(sys.argv[1]))
