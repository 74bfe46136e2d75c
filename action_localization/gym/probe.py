"""The baseline: a linear probe on single rows, whose runs of equal answers are the segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from numpy import ndarray

from action_localization.evaluation.detection import evaluate_detection
from action_localization.gym.streams import Clip, Members, Stream
from laban.timeline import Segment, Timeline

PROTOCOL = "thumos14"
"""mAP .3:.1:.7; nothing of that protocol but its thresholds is used."""


@dataclass(frozen=True)
class Probe:
    """Multinomial logistic regression on rows to some power; the last column is background."""

    power: float
    mean: Float32[ndarray, " width"]
    scale: Float32[ndarray, " width"]
    weight: Float32[ndarray, "width columns"]
    bias: Float32[ndarray, " columns"]

    def logits(self, rows: Float32[ndarray, "rows width"]) -> Float32[ndarray, "rows columns"]:
        """Unnormalised log-chances of every class, background last."""
        return ((rows**self.power - self.mean) / self.scale) @ self.weight + self.bias

    def chances(self, rows: Float32[ndarray, "rows width"]) -> Float32[ndarray, "rows columns"]:
        """Chances of every class, background last."""
        return torch.from_numpy(self.logits(rows)).softmax(-1).numpy()


@dataclass(frozen=True)
class RunConfig:
    """How rows' chances become segments; chosen on validation streams."""

    smooth: float = 0.0
    """A row's log-chances are mixed with those of both neighbours, each with this weight relative to its own."""
    background: float = 0.0
    """Added to the logit of background."""
    score: str = "mean"
    """Of a run: `mean` or `max` chance of its class, or `sum` over its rows."""


RUNS = tuple(RunConfig(*values) for values in product((0.0, 0.25, 0.5), (-1.0, 0.0, 1.0), ("mean", "max", "sum")))
PENALTIES, POWERS = (1e-4, 1e-3, 1e-2, 1e-1), (0.5, 1.0)


def fit_probe(
    clips: Sequence[Clip], members: Members, classes: Sequence[str], *, penalty: float, power: float
) -> Probe:
    """Fit on all rows of the clips, after ReLU networks not below 0; every class, background included, counts alike.

    Rows are raised to `power` and standardised; `penalty` weighs the squared weights against the mean cross-entropy.
    L-BFGS, from zero: no randomness.
    """
    rows = np.concatenate([clips[i].values for i in members]) ** power
    label = np.repeat([column(clips[i], classes) for i in members], [len(clips[i].values) for i in members])
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    x, y = torch.from_numpy((rows - mean) / scale), torch.from_numpy(label)
    counts = torch.bincount(y, minlength=len(classes) + 1).clamp(min=1)
    of_class = counts.sum() / (counts * len(counts))
    weight = torch.zeros(rows.shape[1], len(classes) + 1, requires_grad=True)
    bias = torch.zeros(len(classes) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y, of_class) + penalty * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type]
    return Probe(power, mean, scale, weight.detach().numpy(), bias.detach().numpy())


def column(clip: Clip, classes: Sequence[str]) -> int:
    """The number of a clip's class; background comes after all."""
    return len(classes) if clip.background else classes.index(clip.label)


def run_segments(logits: Float32[ndarray, "rows columns"], classes: Sequence[str], config: RunConfig) -> Timeline:
    """Runs of rows with the same likeliest class as segments; a run of background is none."""
    log = torch.from_numpy(logits).log_softmax(-1).numpy()
    padded = np.pad(log, ((1, 1), (0, 0)), mode="edge")
    log = (log + config.smooth * (padded[:-2] + padded[2:])) / (1 + 2 * config.smooth)
    log = log + config.background * (np.arange(log.shape[1]) == len(classes))
    chance = torch.from_numpy(log).softmax(-1).numpy()
    best = chance.argmax(1)
    edges = np.flatnonzero(np.diff(best, prepend=-1, append=-1))
    segments = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        if best[first] < len(classes):
            inside = chance[first:last, best[first]]
            score = {"mean": inside.mean(), "max": inside.max(), "sum": inside.sum()}[config.score]
            segments.append(Segment(float(first), float(last), classes[best[first]], score=float(score)))
    return Timeline(tuple(segments), float(len(logits)))


def probe_detections(
    probe: Probe, streams: Sequence[Stream], classes: Sequence[str], config: RunConfig
) -> dict[str, Timeline]:
    """Segments of every stream, by its name."""
    return {s.name: run_segments(probe.logits(s.features.values), classes, config) for s in streams}


@dataclass(frozen=True)
class Choice:
    """What validation streams chose, and the average mAP that it had there."""

    penalty: float
    power: float
    runs: RunConfig
    value: float


def choose_probe(clips: Sequence[Clip], members: Members, streams: Sequence[Stream], classes: Sequence[str]) -> Choice:
    """The best of all penalties, powers and run settings on validation streams."""
    best = Choice(0.0, 1.0, RunConfig(), -1.0)
    for penalty, power in product(PENALTIES, POWERS):
        probe = fit_probe(clips, members, classes, penalty=penalty, power=power)
        logits = {stream.name: probe.logits(stream.features.values) for stream in streams}
        for config in RUNS:
            found = {name: run_segments(values, classes, config) for name, values in logits.items()}
            if (value := average(streams, found)) > best.value:
                best = Choice(penalty, power, config, value)
    return best


def average(streams: Sequence[Stream], found: Mapping[str, Timeline]) -> float:
    """Average mAP .3:.1:.7 of detections in streams."""
    return evaluate_detection({stream.name: stream.truth for stream in streams}, found, PROTOCOL).average
