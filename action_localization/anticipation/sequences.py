"""Annotated videos as sequences of actions over one vocabulary, with goals: EPIC, EGTEA, COIN, CrossTask, NIV …"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from action_localization.anticipation.vocabulary import Vocabulary, merged, split_name
from action_localization.data.corpus import Corpus, Problem
from action_localization.data.forecasting import epic55_words, lta_words
from action_localization.data.layouts import read_corpus
from action_localization.data.options import ReadOptions
from action_localization.data.procedure import crosstask_names, crosstask_tasks
from action_localization.data.source import beside, cells, kind, open_source, split_in_name, table
from laban.errors import LabanError
from laban.scores.source import Source
from laban.timeline import Segment, Timeline

UNKNOWN = -1
"""Stands for an action that the vocabulary does not have: it can never be foreseen."""

SILENCE = ("SIL", "action_start", "action_end", "background", "BG")
"""Labels of frame-wise sets that are no actions."""


@dataclass(frozen=True)
class ActionSequence:
    """The actions of one video in order of their start; `goal` is its task ("" where nobody says), `split` its part."""

    name: str
    timeline: Timeline
    actions: tuple[int, ...]
    goal: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        if len(self.actions) != len(self.timeline.segments):
            raise LabanError(f"{self.name}: {len(self.actions)} actions for {len(self.timeline.segments)} segments")

    @cached_property
    def array(self) -> Int64[ndarray, " length"]:
        """The actions' numbers."""
        return np.array(self.actions, np.int64)


@dataclass(frozen=True)
class SequenceSet:
    """Sequences over one vocabulary, and what was wrong in the files."""

    name: str
    vocabulary: Vocabulary
    sequences: tuple[ActionSequence, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def goals(self) -> tuple[str, ...]:
        """The distinct goals in order of text."""
        return tuple(sorted({one.goal for one in self.sequences if one.goal}))

    def part(self, *splits: str) -> SequenceSet:
        """The sequences of some splits (any case); LabanError when there is none."""
        chosen = tuple(s for s in self.sequences if s.split.lower() in {split.lower() for split in splits})
        if not chosen:
            there = ", ".join(sorted({repr(s.split) for s in self.sequences}))
            raise LabanError(f"{self.name}: has no split {' or '.join(splits)}; accepted: {there}")
        return replace(self, sequences=chosen)

    def over(self, vocabulary: Vocabulary) -> SequenceSet:
        """The same sequences numbered by another vocabulary; names it does not have become `UNKNOWN`."""
        sequences = tuple(replace(s, actions=encode(s.timeline, vocabulary)) for s in self.sequences)
        return replace(self, vocabulary=vocabulary, sequences=sequences)

    def held_out(self, share: float = 0.1, seed: int = 0) -> tuple[SequenceSet, SequenceSet]:
        """(the rest, a share of the videos drawn at random): settings are chosen on the second, not on a test part."""
        order = np.random.default_rng(seed).permutation(len(self.sequences))
        count = max(1, round(share * len(order)))
        if count >= len(order):
            raise LabanError(f"{self.name}: {len(order)} videos are too few to hold {share:.0%} of them out")
        chosen = set(order[:count].tolist())
        rest = tuple(s for i, s in enumerate(self.sequences) if i not in chosen)
        return replace(self, sequences=rest), replace(self, sequences=tuple(self.sequences[i] for i in sorted(chosen)))


def encode(timeline: Timeline, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The numbers of a timeline's labels, which have to be canonical names; others are `UNKNOWN`."""
    numbers = (vocabulary.get(segment.label) for segment in timeline.segments)
    return tuple(UNKNOWN if number is None else number for number in numbers)


def read_sequences(path: str | Path, options: ReadOptions | None = None) -> SequenceSet:
    """The sequences of an annotation file of any layout that `read_corpus` knows, or of several in one folder.

    Labels are actions. Verbs, nouns and their synonyms come from EPIC's class tables and `rulstm_actions.csv` beside
    the file, where they are. Goals: COIN's class, CrossTask's task, and what the names of NIV's and Breakfast's videos
    say. A CrossTask video that serves several tasks is one sequence for each. Silence and background are left out.
    """
    path, options = Path(path), options or ReadOptions()
    corpus = read_corpus(path, options)
    source = open_source(path) if path.is_file() and kind(path) == ".json" else None
    document = source.document if source is not None else None
    if source is not None and isinstance(document, list) and document and "steps" in document[0]:
        pieces = dict(_crosstask(source))
        goals = {name: name.partition("/")[0] for name in pieces}
    else:
        pieces = {name: (video.timeline, video.split) for name, video in corpus.videos.items()}
        goals = _goals(corpus, document)
    pieces = {name: (_without_silence(timeline), split) for name, (timeline, split) in pieces.items()}
    vocabulary = _vocabulary(path, corpus, pieces)
    sequences = tuple(
        ActionSequence(name, timeline, encode(timeline, vocabulary), goals.get(name, ""), split)
        for name, (timeline, split) in pieces.items()
        if timeline.segments
    )
    if not sequences:
        raise LabanError(f"{path}: holds no sequence of actions")
    return SequenceSet(corpus.name, vocabulary, sequences, corpus.problems)


def together(training: SequenceSet, others: Iterable[SequenceSet]) -> tuple[SequenceSet, ...]:
    """Sets over the merged vocabulary of all: what is only met later is known by name, and never seen in training."""
    sets = (training, *others)
    vocabulary = merged(one.vocabulary for one in sets)
    return tuple(one.over(vocabulary) for one in sets)


def shared_videos(training: SequenceSet, evaluation: SequenceSet) -> tuple[str, ...]:
    """Recordings that both sets have (EGTEA's published splits part actions, not recordings): histories leak there."""
    known = {one.name for one in training.sequences}
    return tuple(one.name for one in evaluation.sequences if one.name in known)


def leak_note(training: SequenceSet, evaluation: SequenceSet) -> list[str]:
    """What to say about shared recordings; nothing where there are none."""
    shared = shared_videos(training, evaluation)
    if not shared:
        return []
    return [f"{len(shared)} of {len(evaluation.sequences)} recordings of the evaluation are also in the training set "
            f"(such as {shared[0]}): sequence models have seen the actions around, figures are no measure"]  # fmt: skip


def _without_silence(timeline: Timeline) -> Timeline:
    kept = tuple(s for s in timeline.segments if s.label not in SILENCE)
    return Timeline(kept, timeline.duration)


def _crosstask(source: Source) -> Iterable[tuple[str, tuple[Timeline, str]]]:
    """`TASK/VIDEO` with its timeline and split, for every record."""
    names, tasks = crosstask_names(source), crosstask_tasks(source)
    split = split_in_name(source, "train", "test")
    for record in source.document:
        task = str(record["task"])
        title = str(tasks.get(task, {}).get("task_name", task))
        segments = tuple(Segment(start, end, names.get((task, step), f"{task} step {step}"))
                         for start, end, step in record["steps"] if end > start >= 0)  # fmt: skip
        yield f"{title}/{record['vid']}", (Timeline(segments), split)


def _goals(corpus: Corpus, document: object) -> dict[str, str]:
    if isinstance(document, Mapping) and document:
        first = next(iter(document.values()))
        if isinstance(first, Mapping) and "class" in first and "annotation" in first:
            return {name: str(entry["class"]) for name, entry in document.items()}
        if "action_ids" in document:
            return {name: re.sub(r"_?\d+$", "", name) for name in corpus.videos}
    if corpus.name == "breakfast":
        return {name: name.rsplit("_", 1)[-1] for name in corpus.videos}
    return {}


def _vocabulary(path: Path, corpus: Corpus, pieces: Mapping[str, tuple[Timeline, str]]) -> Vocabulary:
    """The corpus' classes with verbs and nouns; from EPIC's tables where they lie beside the file."""
    names = tuple(name for name in corpus.classes if name not in SILENCE)
    verbs, verb_words = _class_table(path, "EPIC_100_verb_classes.csv")
    nouns, noun_words = _class_table(path, "EPIC_100_noun_classes_v2.csv")
    if verbs and nouns:
        known = _epic_actions(path, verbs, nouns)
        known.update({name: (verbs.index(verb), nouns.index(noun)) for name in names if name not in known
                      for verb, noun in [split_name(name)] if verb in verbs and noun in nouns})  # fmt: skip
        everything = tuple(dict.fromkeys([*known, *names]))
        pairs = tuple((verbs[known[n][0]], nouns[known[n][1]]) if n in known else split_name(n) for n in everything)
        return Vocabulary(everything, pairs, verb_words, noun_words)
    if corpus.name == "ego4d-lta":
        parts = [tuple(name.split(" ", 1)) for name in names]
        pairs = tuple((verb, noun) for verb, noun in parts)
        words = [lta_words(tuple(dict.fromkeys(column))) for column in zip(*pairs, strict=True)]
        return Vocabulary(names, pairs, words[0], words[1])
    if corpus.name.startswith("epic55"):
        words55 = epic55_words(open_source(path))
        (verbs, verb_words), (nouns, noun_words) = words55["verb"], words55["noun"]
    used = dict.fromkeys(s.label for timeline, _ in pieces.values() for s in timeline.segments)
    return Vocabulary(tuple(dict.fromkeys([*names, *used])), (), verb_words, noun_words)


def _epic_actions(path: Path, verbs: tuple[str, ...], nouns: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    there = beside(path, "rulstm_actions.csv")
    if there is None:
        return {}
    rows = (row for _, row in cells(open_source(there)) if row[0].isdecimal() and len(row) == 4)
    found = {row[3]: (int(row[1]), int(row[2])) for row in rows}
    return {name: pair for name, pair in found.items() if pair[0] < len(verbs) and pair[1] < len(nouns)}


def _class_table(path: Path, name: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Class names in order, and the class of every word that annotators used; empty without the table."""
    there = beside(path, name)
    if there is None:
        return (), {}
    keys: list[str] = []
    words: dict[str, str] = {}
    for _, row in table(open_source(there), ("id", "key", "instances")):
        keys.append(row["key"])
        for word in re.findall(r"'([^']+)'", row["instances"]):
            words.setdefault(word, row["key"])
    return tuple(keys), words
