"""Anticipation from what a recogniser saw: AVT's head on its rows, or its runs as a noisy history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from action_localization.anticipation.evaluate import NextActions
from action_localization.anticipation.network import ActionModel, ModelConfig
from action_localization.anticipation.rollout import Predictor, next_probabilities
from action_localization.anticipation.sequences import ActionSequence, SequenceSet
from action_localization.anticipation.training import IGNORED, optimisation
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError
from models.training import fit, steps_done

GAP = 1.0
"""Seconds before an action begins at which it has to be foreseen (EPIC-KITCHENS' anticipation time)."""
SHORTEST = 3.0
"""Seconds below which a run of equal answers is no action of a recognised history."""


@dataclass(frozen=True)
class RowVideo:
    """A video as a recogniser's rows: log-probabilities of `classes`, `rate` rows a second, with its true sequence."""

    sequence: ActionSequence
    rows: Float32[ndarray, "rows classes"]
    classes: tuple[str, ...]
    rate: float

    def until(self, seconds: float) -> int:
        """How many rows end before a time; at least one."""
        return int(np.clip(np.floor(seconds * self.rate), 1, len(self.rows)))


def read_row_videos(
    logits: Path, annotations: SequenceSet, mapping: Sequence[str], *, fps: float = 15.0, frames: int = 8,
    every: int = 4,
) -> tuple[RowVideo, ...]:  # fmt: skip
    """Videos of an npz with `logits` (rows, classes) and `index` (JSON: [video, first row, rows, frames]); a row stands
    for `frames` frames, and each `every`-th is kept, after averaging. Columns are the classes of `mapping`."""
    try:
        with np.load(logits, allow_pickle=False) as opened:
            values, index = opened["logits"], json.loads(str(opened["index"]))
    except (OSError, KeyError, ValueError) as error:
        raise LabanError(f"{logits}: cannot be read ({error}); accepted: an npz with logits and index") from None
    if values.ndim != 2 or values.shape[1] != len(mapping):
        raise LabanError(f"{logits}: logits have shape {values.shape}; accepted: (rows, {len(mapping)} classes)")
    known = {one.name: one for one in annotations.sequences}
    found = []
    for name, first, count, _ in index:
        if name not in known or count < every:
            continue
        part = values[first : first + count // every * every].astype(np.float32)
        part -= part.max(1, keepdims=True)
        part -= np.log(np.exp(part).sum(1, keepdims=True))
        pooled = np.maximum(part, -12).reshape(-1, every, part.shape[1]).mean(1)
        found.append(RowVideo(known[name], pooled, tuple(mapping), fps / frames / every))
    if not found:
        raise LabanError(f"{logits}: none of its videos is annotated")
    return tuple(found)


def recognised(
    video: RowVideo, vocabulary: Vocabulary, until: float, shortest: float = SHORTEST
) -> Int64[ndarray, " past"]:
    """The history that a recogniser reports at a time: runs of its best class, short ones and background left out."""
    rows = video.rows[: video.until(until)]
    history: list[int] = []
    for best, run in groupby(rows.argmax(1).tolist()):
        action = vocabulary.get(video.classes[best])
        if action is not None and len(list(run)) >= shortest * video.rate and (not history or history[-1] != action):
            history.append(action)
    return np.array(history, np.int64)


def instances(videos: Sequence[RowVideo]) -> list[tuple[int, int, float]]:
    """(video, place, time at which it is foreseen) of every action but those that begin within `GAP` of the video's."""
    found = []
    for number, video in enumerate(videos):
        for place, segment in enumerate(video.sequence.timeline.segments):
            if segment.start - GAP > 0.5 / video.rate and video.sequence.actions[place] >= 0:
                found.append((number, place, segment.start - GAP))
    return found


def from_histories(videos: Sequence[RowVideo], predictor: Predictor, *, true: bool) -> NextActions:
    """Every action foreseen from the labels before it: the true ones, or those a recogniser reports."""
    rows, truth, video = [], [], []
    for number, place, time in instances(videos):
        one = videos[number]
        past = one.sequence.array[:place] if true else recognised(one, predictor.vocabulary, time)
        rows.append(next_probabilities(predictor, past[past >= 0]))
        truth.append(one.sequence.actions[place])
        video.append(number)
    return NextActions(np.stack(rows).astype(np.float32), np.array(truth), np.array(video))


@dataclass(frozen=True)
class HeadTraining:
    """One training of AVT's head on rows (Girdhar & Grauman 2021, without its GPT-2 size)."""

    run: Path
    steps: int = 400
    batch: int = 16
    seed: int = 0
    feature_loss: float = 0.1
    model: ModelConfig = field(default_factory=lambda: ModelConfig(96, 2, 4, 192, 0.3, 96, 48))


def targets(video: RowVideo) -> Int64[ndarray, " rows"]:
    """At every row, the action that begins next, `GAP` seconds ahead at least; `IGNORED` after the last one."""
    found = np.full(len(video.rows), IGNORED, np.int64)
    for action, segment in reversed(list(zip(video.sequence.actions, video.sequence.timeline.segments, strict=True))):
        if segment.start - GAP > 0 and action >= 0:
            found[: video.until(segment.start - GAP)] = action
    return found


def train_head(
    videos: Sequence[RowVideo], vocabulary: Vocabulary, training: HeadTraining, *, quiet: bool = True
) -> ActionModel | None:
    """AVT's head: causal attention over rows; the next action from every row, and the next row itself. None when time
    was up before the end (call again to go on)."""
    if any(video.rows.shape[1] != training.model.features for video in videos):
        raise LabanError(f"rows of {videos[0].rows.shape[1]} columns; the head reads {training.model.features}")
    torch.manual_seed(training.seed)
    network = ActionModel(vocabulary, training.model)
    aims = [targets(video) for video in videos]
    trained = fit(network, lambda net, batch, _: head_loss(net, batch, training.feature_loss),
                  lambda step: _crops(videos, aims, training, step), optimisation(training.steps, training.seed),
                  training.run, progress=not quiet)  # fmt: skip
    return trained if steps_done(training.run) >= training.steps else None


def head_loss(network: ActionModel, batch: Sequence[Tensor], weight: float) -> Mapping[str, Tensor]:
    """Cross-entropy of the next action, and `weight` times the squared error of the next row."""
    rows, aims, there = batch
    odds, ahead = network.from_features(rows)
    action = F.cross_entropy(odds.flatten(0, 1), aims.flatten(), ignore_index=IGNORED)
    error = ((ahead[:, :-1] - rows[:, 1:]) ** 2).mean(-1)
    feature = (error * there[:, 1:]).sum() / there[:, 1:].sum().clamp(min=1)
    return {"loss": action + weight * feature, "action": action.detach(), "feature": feature.detach()}


def _crops(videos: Sequence[RowVideo], aims: Sequence[Int64[ndarray, " _"]], training: HeadTraining,
           step: int) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rng = np.random.default_rng((training.seed, step))
    long, width = training.model.context, training.model.features
    rows, aim = np.zeros((training.batch, long, width), np.float32), np.full((training.batch, long), IGNORED, np.int64)
    there = np.zeros((training.batch, long), np.float32)
    for i, number in enumerate(rng.integers(len(videos), size=training.batch)):
        first = int(rng.integers(max(1, len(aims[number]) - long // 2)))
        piece = videos[number].rows[first : first + long] / 4
        rows[i, : len(piece)] = piece + 0.1 * rng.standard_normal(piece.shape).astype(np.float32)
        aim[i, : len(piece)] = aims[number][first : first + long]
        there[i, : len(piece)] = 1
    return torch.from_numpy(rows), torch.from_numpy(aim), torch.from_numpy(there)


def from_rows(videos: Sequence[RowVideo], network: ActionModel) -> NextActions:
    """Every action foreseen by the head from the rows up to `GAP` seconds before it."""
    rows, truth, video = [], [], []
    network.eval()
    seen: dict[int, Float[ndarray, "rows actions"]] = {}
    for number, place, time in instances(videos):
        one = videos[number]
        if number not in seen:
            with torch.inference_mode():
                odds, _ = network.from_features(torch.from_numpy(one.rows / 4)[None])
                seen[number] = odds[0].softmax(-1).numpy()
        rows.append(seen[number][one.until(time) - 1])
        truth.append(one.sequence.actions[place])
        video.append(number)
    return NextActions(np.stack(rows).astype(np.float32), np.array(truth), np.array(video))
