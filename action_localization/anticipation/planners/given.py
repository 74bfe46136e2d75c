"""What a planner is given: observations of start and goal (text or features), a task, perhaps end actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from torch import Tensor

from action_localization.anticipation.chains import PlanWindows
from action_localization.anticipation.sequences import SequenceSet
from action_localization.anticipation.vocabulary import Vocabulary, plain
from laban.errors import LabanError
from models.features import Features

NOT_GIVEN = -1
COMPONENTS = 64
"""Principal components that an observation is brought to."""

NOISE = 2.0
"""Noise on text-embedding observations, in root mean squares of a component: there are no pixels, and without noise an
embedding is the name of its step."""

SECONDS = 3
"""Rows of one feature observation: so many seconds at the first step's start, and as many around the last one's end."""


@dataclass(frozen=True)
class Given:
    """What is known of some plans of `length` steps. `task` is one-hot (a classifier's choice or the truth); `ends` are
    first and last action, or `NOT_GIVEN`."""

    length: int
    start: Float[Tensor, "plans observed"]
    goal: Float[Tensor, "plans observed"]
    task: Float[Tensor, "plans tasks"]
    ends: Int[Tensor, "plans 2"]

    def __len__(self) -> int:
        return len(self.start)

    def rows(self, chosen: Tensor | slice) -> Given:
        """Some of the plans."""
        return Given(self.length, self.start[chosen], self.goal[chosen], self.task[chosen], self.ends[chosen])


@dataclass(frozen=True)
class Observed:
    """Observations of start and goal, a row a window; `noise` is drawn anew whenever they are looked at."""

    start: Float32[ndarray, "windows observed"]
    goal: Float32[ndarray, "windows observed"]
    noise: float = 0.0

    def look(self, chosen: ndarray | slice, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(start, goal) of some windows."""
        both = [torch.from_numpy(rows[chosen]) for rows in (self.start, self.goal)]
        if self.noise == 0:
            return both[0], both[1]
        noisy = [r + self.noise * torch.from_numpy(rng.standard_normal(r.shape, np.float32)) for r in both]
        return noisy[0], noisy[1]


@dataclass(frozen=True)
class Components:
    """Principal components, scaled to a mean square of one."""

    mean: Float32[ndarray, " wide"]
    basis: Float32[ndarray, "wide observed"]

    def __call__(self, rows: Float[ndarray, "rows wide"]) -> Float32[ndarray, "rows observed"]:
        """Rows in these components."""
        return ((rows - self.mean) @ self.basis).astype(np.float32)


def components(rows: Float[ndarray, "rows wide"], count: int = COMPONENTS) -> Components:
    """The principal components of training rows, at most `count`."""
    mean = rows.mean(0)
    _, size, basis = np.linalg.svd(rows - mean, full_matrices=False)
    count = min(count, int((size > 1e-6 * size[0]).sum()))
    scale = np.sqrt((size[:count] ** 2).mean() / len(rows))
    return Components(mean.astype(np.float32), (basis[:count].T / scale).astype(np.float32))


def text_embeddings(path: str | Path, name: str) -> dict[str, Float32[ndarray, " wide"]]:
    """Embeddings of the steps of `crosstask`, `coin` or `niv` by their plain names, out of `step_text_embeddings.npz`
    (S3D's text side, Miech et al. 2020); the lists of steps are looked for in `../procedure`."""
    path = Path(path)
    with np.load(path) as file:
        if f"{name}_vec" not in file:
            there = ", ".join(sorted(key[:-4] for key in file.files if key.endswith("_vec")))
            raise LabanError(f"{path}: has no steps of {name}; accepted: {there}")
        ids, rows = file[f"{name}_ids"].tolist(), file[f"{name}_vec"]
        words = {int(i): text for i, text in json.loads(str(file["coin_text"])).items()} if name == "coin" else {}
    if not words:
        words = _step_names(path.parent.parent / "procedure", name)
    return {plain(words[i]): row.astype(np.float32) for i, row in zip(ids, rows, strict=True) if i in words}


def _step_names(folder: Path, name: str) -> dict[int, str]:
    file = folder / ("crosstask_cls_step.json" if name == "crosstask" else "niv.json")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabanError(f"{file}: cannot be read ({error.strerror}); it names the steps of {name}") from None
    if name == "niv":
        return {int(i): text for text, i in document["action_ids"].items()}
    return {int(i): text for task in document.values() for text, i in task["steps"].items()}


def step_vectors(vocabulary: Vocabulary, embeddings: Mapping[str, ndarray]) -> Float32[ndarray, "actions observed"]:
    """The embedding of each step in components fitted on all of them. LabanError for steps without one."""
    missing = [name for name in vocabulary.names if plain(name) not in embeddings]
    if missing:
        raise LabanError(f"{len(missing)} steps have no text embedding, such as {missing[0]!r}")
    rows = np.stack([embeddings[plain(name)] for name in vocabulary.names])
    return components(rows)(rows)


def text_observations(
    windows: PlanWindows, vectors: Float32[ndarray, "actions observed"], noise: float = NOISE
) -> Observed:
    """Start: the embedding of the first step; goal: of the last, as a video-text encoder would have it, and noise."""
    return Observed(vectors[windows.plans[:, 0]], vectors[windows.plans[:, -1]], noise)


def feature_observations(
    windows: PlanWindows, sequences: SequenceSet, features: Mapping[str, Features]
) -> tuple[Float32[ndarray, "windows wide"], Float32[ndarray, "windows wide"]]:
    """Features of a user's own, by video: `SECONDS` rows, a second apart, from the first step's start, and as many
    about the last one's end (PDPP's observations), side by side; to be brought to `components`."""
    start, goal = [], []
    for row, number in enumerate(windows.video.tolist()):
        one = sequences.sequences[number]
        if one.name not in features:
            raise LabanError(f"{one.name}: has no features; {len(features)} videos have")
        known = [segment for segment, action in zip(one.timeline.segments, one.actions, strict=True) if action >= 0]
        first, size = int(windows.first[row]), windows.plans.shape[1]
        begin, end = known[max(0, first)].start, known[first + size - 1].end
        start.append(_seconds(features[one.name], begin))
        goal.append(_seconds(features[one.name], end - (SECONDS + 1) // 2))
    return np.stack(start), np.stack(goal)


def _seconds(features: Features, begin: float) -> Float32[ndarray, " wide"]:
    grid, values = features.grid, features.values
    rows = [min(len(values) - 1, max(0, grid.index(begin + second))) for second in range(SECONDS)]
    return values[rows].astype(np.float32).ravel()
