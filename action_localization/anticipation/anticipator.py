"""`Anticipator`: from a score to what comes next, with times; its checkpoints, and which embedded one fits a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray

from action_localization.anticipation.chains import TaskChains, chain_arrays, chains_from_arrays, learn_chains
from action_localization.anticipation.network import ActionModel, ModelConfig, ModelPredictor
from action_localization.anticipation.prior import (
    Prior,
    PriorSettings,
    fit_prior,
    learn_prior,
    prior_arrays,
    prior_from_arrays,
)
from action_localization.anticipation.rollout import (
    Mixture,
    Predictor,
    Search,
    choose_futures,
    next_probabilities,
    sample_futures,
)
from action_localization.anticipation.sequences import SequenceSet
from action_localization.anticipation.vocabulary import ACCEPTED, Vocabulary
from laban.config import from_dict
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from laban.weights import EMBEDDED, find_weights, load_module, load_weights, save_weights

KIND = "anticipator"
GOALS = "goals"
"""In a checkpoint's configuration: the folder beside it that holds the recogniser of its tasks."""
SURE_ENOUGH = 64
"""Sampled futures from which the probability of an action at each place is counted."""


@dataclass(frozen=True)
class Anticipator:
    """A prior, perhaps a network beside it (`weight` of it in the mixture), how futures are chosen, and how long
    actions take: `seconds` of each, `pause` from the end of one to the start of the next (negative: they overlap)."""

    prior: Prior
    seconds: Float64[ndarray, " actions"]
    pause: float = 0.0
    network: ActionModel | None = None
    weight: float = 0.0
    search: Search = field(default_factory=Search)
    learnt_from: str = ""
    chains: TaskChains | None = None
    """The tasks that the training videos were of, where they were of any."""
    far: PriorSettings | None = None
    """The prior's settings for whole futures, where they are not those that are best for the next action."""
    goals: Path | None = None
    """The folder of the recogniser of its tasks (`recogniser.py`), where the checkpoint names one."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The actions it knows."""
        return self.prior.vocabulary

    @property
    def predictor(self) -> Predictor:
        """The prior, or its mixture with the network."""
        return self._mixed(self.prior)

    @property
    def predictor_far(self) -> Predictor:
        """The same with the settings for whole futures."""
        return self._mixed(self.prior if self.far is None else replace(self.prior, settings=self.far))

    def _mixed(self, prior: Prior) -> Predictor:
        if self.network is None or self.weight == 0:
            return prior
        return Mixture((prior, ModelPredictor(self.network)), (1 - self.weight, self.weight))


@dataclass(frozen=True)
class History:
    """The observed actions of a score in the words of a vocabulary; `unknown` labels are left out, each once."""

    timeline: Timeline
    actions: tuple[int, ...]
    unknown: tuple[str, ...] = ()

    @property
    def array(self) -> Int64[ndarray, " length"]:
        """The actions' numbers."""
        return np.array(self.actions, np.int64)


@dataclass(frozen=True)
class Foreseen:
    """What comes next. `futures` are K timelines after `now`, the most useful first; a segment's score is how probable
    its action is at that place. `following` are the likeliest next actions, `empty` whether nothing was observed."""

    history: History
    now: float
    futures: tuple[Timeline, ...]
    following: tuple[tuple[str, float], ...]
    empty: bool


def read_history(timeline: Timeline, vocabulary: Vocabulary, until: float | None = None) -> History:
    """The actions that began before `until` seconds. A label is parsed; one that means no action is set aside."""
    kept, actions, unknown = [], [], []
    for segment in timeline.segments:
        if until is not None and segment.start >= until:
            continue
        parsed = vocabulary.parse(segment.label)
        if parsed is None or parsed.confidence < ACCEPTED:
            unknown.append(segment.label)
            continue
        end = segment.end if until is None else min(segment.end, until)
        kept.append(replace(segment, end=end))
        actions.append(parsed.action)
    duration = timeline.duration if until is None else until
    return History(Timeline(tuple(kept), duration), tuple(actions), tuple(dict.fromkeys(unknown)))


def foresee(anticipator: Anticipator, history: History, *, count: int = 5, length: int = 20, top: int = 5,
            seed: int = 0, predictor: Predictor | None = None,
            told: Int64[ndarray, "count length"] | None = None) -> Foreseen:  # fmt: skip
    """`count` futures of `length` actions after a history. LabanError for less than one of either.

    `predictor` stands for the anticipator's own (one steered to a goal); `told` are futures that somebody else foresaw:
    they get times, and the predictor's probabilities.
    """
    if not 1 <= count <= 20:
        raise LabanError(f"{count} futures; accepted: 1 to 20")
    if not 1 <= length <= 100:
        raise LabanError(f"{length} future actions; accepted: 1 to 100")
    vocabulary, far = anticipator.vocabulary, predictor or anticipator.predictor_far
    predictor = predictor or anticipator.predictor
    rng = np.random.default_rng(seed)
    following = next_probabilities(predictor, history.array)
    futures = told if told is not None else choose_futures(
        far, history.array, count=count, length=length, rng=rng, search=anticipator.search)  # fmt: skip
    worlds = sample_futures(predictor, history.array, SURE_ENOUGH, length, rng=rng)
    probability = place_probabilities(worlds, futures)
    probability[:, 0] = following[futures[:, 0]]
    now = max([history.timeline.duration, *(segment.end for segment in history.timeline.segments)])
    timelines = tuple(_timed(anticipator, one, chance, now) for one, chance in zip(futures, probability, strict=True))
    best = np.argsort(-following, kind="stable")[:top]
    named = tuple((vocabulary.names[i], float(following[i])) for i in best)
    return Foreseen(history, now, timelines, named, not history.actions)


def place_probabilities(
    worlds: Int64[ndarray, "worlds length"], futures: Int64[ndarray, "count length"]
) -> Float64[ndarray, "count length"]:
    """In what share of sampled futures each action comes at its place."""
    return (worlds[None] == futures[:, None]).mean(1)


def _timed(anticipator: Anticipator, actions: Int64[ndarray, " length"], chance: Float[ndarray, " length"],
           now: float) -> Timeline:  # fmt: skip
    segments, at = [], now
    for action, probability in zip(actions.tolist(), chance.tolist(), strict=True):
        long = max(0.1, float(anticipator.seconds[action]))
        segments.append(Segment(at, at + long, anticipator.vocabulary.names[action], score=probability))
        at += max(0.1, long + anticipator.pause)
    return Timeline(tuple(segments))


def learn_anticipator(training: SequenceSet, *, settings: PriorSettings | None = None, seed: int = 0) -> Anticipator:
    """A prior learnt from sequences. Its settings are chosen on a tenth of the videos where there are at least 20."""
    arrays = [one.array for one in training.sequences]
    if settings is None and len(arrays) >= 20:
        rest, held = training.held_out(0.1, seed)
        settings = fit_prior(training.vocabulary, [one.array for one in rest.sequences],
                             [one.array for one in held.sequences])  # fmt: skip
    prior = learn_prior(training.vocabulary, arrays, settings)
    seconds, pause = typical_times(training)
    chains = learn_chains(training) if training.goals else None
    return Anticipator(prior, seconds, pause, learnt_from=training.name, chains=chains)


def typical_times(training: SequenceSet) -> tuple[Float64[ndarray, " actions"], float]:
    """(median seconds of each action, of all for one that was never seen; median pause between neighbours)."""
    lengths: dict[int, list[float]] = {}
    pauses: list[float] = []
    for one in training.sequences:
        segments = one.timeline.segments
        for action, segment in zip(one.actions, segments, strict=True):
            lengths.setdefault(action, []).append(segment.seconds)
        pauses += [b.start - a.end for a, b in zip(segments, segments[1:], strict=False)]
    overall = float(np.median([s for values in lengths.values() for s in values]))
    found = np.full(len(training.vocabulary), overall)
    for action, values in lengths.items():
        if action >= 0:
            found[action] = float(np.median(values))
    return found, float(np.median(pauses)) if pauses else 0.0


def save_anticipator(folder: str | Path, anticipator: Anticipator, card: str, **extra: Any) -> str:
    """Write a checkpoint folder; returns the SHA-256 of its weights. `extra` joins the configuration."""
    tensors = {f"prior.{name}": torch.from_numpy(value) for name, value in prior_arrays(anticipator.prior).items()}
    tensors["seconds"] = torch.from_numpy(anticipator.seconds).float()
    config: dict[str, Any] = {
        "kind": KIND, "learnt_from": anticipator.learnt_from, "pause": anticipator.pause, "weight": anticipator.weight,
        "settings": asdict(anticipator.prior.settings), "search": asdict(anticipator.search), **extra,
        "vocabulary": anticipator.vocabulary.to_json(),
    }  # fmt: skip
    if anticipator.far is not None:
        config["far"] = asdict(anticipator.far)
    if anticipator.chains is not None:
        arrays = chain_arrays(anticipator.chains)
        tensors |= {f"chains.{name}": torch.from_numpy(value) for name, value in arrays.items()}
        config["tasks"] = list(anticipator.chains.tasks)
    if anticipator.goals is not None:
        config[GOALS] = anticipator.goals.name
    if anticipator.network is not None:
        tensors |= {f"model.{name}": value for name, value in anticipator.network.state_dict().items()}
        config["model"] = asdict(anticipator.network.config)
    return save_weights(folder, tensors, config, card)


def load_anticipator(name: str | Path) -> Anticipator:
    """An embedded checkpoint's name or a folder; LabanError for another kind of checkpoint or a damaged one."""
    tensors, config = load_weights(name)
    if config.get("kind") != KIND:
        raise LabanError(f"checkpoint {name}: is a {config.get('kind', 'checkpoint of another kind')}, no anticipator; "
                         f"embedded: {', '.join(embedded_names())}")  # fmt: skip
    vocabulary = Vocabulary.from_json(config["vocabulary"], f"checkpoint {name}")
    where = f"{name}/config.json"
    settings = from_dict(PriorSettings, config["settings"], name=where)
    arrays = {key.removeprefix("prior."): value.numpy() for key, value in tensors.items() if key.startswith("prior.")}
    prior = prior_from_arrays(vocabulary, arrays, settings)
    network = None
    if "model" in config:
        network = ActionModel(vocabulary, from_dict(ModelConfig, config["model"], name=where))
        weights = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        network = load_module(network, weights, name)
    chains = None
    if "tasks" in config:
        arrays = {key.removeprefix("chains."): value.numpy() for key, value in tensors.items() if key[:7] == "chains."}
        chains = chains_from_arrays(vocabulary, config["tasks"], arrays)
    search = from_dict(Search, config["search"], name=where)
    far = from_dict(PriorSettings, config["far"], name=where) if "far" in config else None
    goals = find_weights(name).with_name(str(config[GOALS])) if GOALS in config else None
    return Anticipator(prior, tensors["seconds"].double().numpy(), float(config["pause"]), network,
                       float(config["weight"]), search, str(config.get("learnt_from", "")), chains, far,
                       goals)  # fmt: skip


def embedded_names() -> tuple[str, ...]:
    """The anticipators that come with the package."""
    return tuple(sorted(path.parent.name for path in EMBEDDED.glob("anticipate_*/config.json")))


def fitting(labels: Sequence[str]) -> str:
    """The embedded anticipator that understands most of some labels; the first one where there are no labels.

    LabanError with the nearest labels of each when none understands any.
    """
    known: dict[str, Vocabulary] = {}
    for name in embedded_names():
        config = _config(EMBEDDED / name)
        known[name] = Vocabulary.from_json(config["vocabulary"], f"checkpoint {name}")
    if not known:
        raise LabanError("no anticipator comes with this installation; accepted: --checkpoint FOLDER or --learn FILE")
    distinct = tuple(dict.fromkeys(labels))
    if not distinct:
        return next(iter(known))
    for name, vocabulary in known.items():
        if all(vocabulary.get(label) is not None for label in distinct):
            return name
    fits = {name: sum(_understood(vocabulary, label) for label in distinct) for name, vocabulary in known.items()}
    best = max(fits, key=lambda name: fits[name])
    if fits[best] == 0:
        nearest = "; ".join(f"{name}: {', '.join(map(repr, known[name].nearest(distinct[0])))}" for name in known)
        raise LabanError(f"label {distinct[0]!r} is in no embedded vocabulary; nearest: {nearest}")
    return best


def _understood(vocabulary: Vocabulary, label: str) -> float:
    parsed = vocabulary.parse(label)
    return parsed.confidence if parsed is not None and parsed.confidence >= ACCEPTED else 0.0


def _config(folder: Path) -> Mapping[str, Any]:
    import json

    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
