"""Detections by a protocol, with intervals and the trivial rows beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from action_localization.data.corpus import Corpus
from action_localization.data.kitchen import epic_label, epic_names
from action_localization.data.source import kind, open_source
from action_localization.evaluation.detection import Counts, bootstrap_detection, evaluate_detection
from action_localization.evaluation.epic import NOUNS, Task
from action_localization.evaluation.files import read_detections, read_epic_detections
from action_localization.evaluation.instances import Instances, Row
from action_localization.evaluation.protocols import AMBIGUOUS, Protocol
from laban.errors import LabanError

WHOLE, RANDOM = "whole video, every class", "random"
_SURE = (2.5, 97.5)


@dataclass(frozen=True)
class ReportRow:
    """mAP of one set of detections, from 0 to 1; the last column of both arrays is the average over thresholds."""

    name: str
    values: Float64[ndarray, " columns"]
    interval: Float64[ndarray, "2 columns"]
    """95 % of bootstraps over videos, of those that drew a truth."""
    counts: Counts


@dataclass(frozen=True)
class DetectionReport:
    """Rows by one protocol."""

    protocol: str
    about: str
    tious: tuple[float, ...]
    classes: int
    repeats: int
    rows: tuple[ReportRow, ...]

    def table(self) -> str:
        """Markdown, in per cent, with what was counted."""
        heads = [*(f"@{tiou:g}" for tiou in np.round(self.tious, 6)), "average"]
        n = self.rows[0].counts
        lines = [
            f"{self.protocol} ({self.about}): mAP in per cent [95 % of {self.repeats} bootstraps over videos]; "
            f"{n.videos} videos, {n.truths} truths of {self.classes} classes",
            *table_lines(heads, self.rows),
        ]  # fmt: skip
        first = self.rows[0]
        lines.append(f"{first.name}: {n.detections} detections ({n.unknown} of unknown class, {n.elsewhere} in other "
                     "videos)")  # fmt: skip
        return "\n".join(lines)

    def average_of(self, name: str) -> float | None:
        """The average of a row over the thresholds, from 0 to 1; None where there is no such row."""
        return next((float(row.values[-1]) for row in self.rows if row.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, from 0 to 1."""
        columns = [f"{tiou:g}" for tiou in np.round(self.tious, 6)] + ["average"]
        rows = {
            row.name: {
                "mAP": dict(zip(columns, row.values.tolist(), strict=True)),
                "interval": dict(zip(columns, row.interval.T.tolist(), strict=True)),
                "detections": row.counts.detections,
            }
            for row in self.rows
        }
        n = self.rows[0].counts
        return {"protocol": self.protocol, "videos": n.videos, "truths": n.truths, "classes": self.classes,
                "unknown": n.unknown, "elsewhere": n.elsewhere, "bootstraps": self.repeats, "rows": rows}  # fmt: skip


def table_lines(heads: Sequence[str], rows: Sequence[ReportRow]) -> list[str]:
    """A Markdown table of rows, in per cent with their intervals."""
    lines = ["|  | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for row in rows:
        cells = [f"{100 * v:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
                 for v, (low, high) in zip(row.values, row.interval.T, strict=True)]  # fmt: skip
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return lines


def interval_of(drawn: Float64[ndarray, "repeats columns"]) -> Float64[ndarray, "2 columns"]:
    """The middle 95 % of draws, of those that have a value."""
    return np.nanpercentile(drawn, _SURE, axis=0)


def check_videos(truth: Instances, detections: Mapping[str, Instances]) -> None:
    """LabanError where no detection of a set lies in a video of the truth."""
    for name, found in detections.items():
        if len(found) and not set(found.videos) & set(truth.videos):
            raise LabanError(f"{name}: none of its videos (such as {found.videos[0]}) is in the annotations "
                             f"(such as {next(iter(truth.videos), 'none')})")  # fmt: skip


def detection_report(
    corpus: Corpus, detections: Mapping[str, Instances], protocol: Protocol, *, repeats: int = 200, seed: int = 0
) -> DetectionReport:
    """Named sets of detections, then the trivial ones; all by the same bootstraps.

    LabanError where there is no truth, or no detection lies in a video of the truth.
    """
    truth = corpus.instances()
    check_videos(truth, detections)
    everything = {**detections, **trivial_detections(corpus, seed=seed)}
    rows, classes = [], 0
    for name, found in everything.items():
        scores = evaluate_detection(truth, found, protocol)
        drawn = bootstrap_detection(truth, found, protocol, repeats=repeats, seed=seed)
        drawn = np.concatenate([drawn, drawn.mean(1, keepdims=True)], 1)
        values, classes = np.append(scores.mean_ap, scores.average), len(scores.classes)
        rows.append(ReportRow(name, values, interval_of(drawn), scores.counts))
    return DetectionReport(protocol.name, protocol.about, protocol.tious, classes, repeats, tuple(rows))


def trivial_detections(corpus: Corpus, *, seed: int = 0) -> dict[str, Instances]:
    """What needs no network: every class over the whole of every video, scored by how common it is; and, for each
    video, as many segments as videos have on average, with lengths and classes drawn from the truth, at random places.

    Both know the truth's statistics and nothing about the single video but its duration.
    """
    truth = corpus.instances()
    truth = truth.keep(~truth.with_label(AMBIGUOUS))
    if not len(truth):
        return {}
    rng = np.random.default_rng(seed)
    share = np.bincount(truth.label, minlength=len(truth.labels)) / len(truth)
    common = [i for i in np.argsort(-share, kind="stable") if share[i] > 0]
    length = truth.end - truth.start
    each = max(1, round(len(truth) / max(1, len(truth.videos))))
    whole: list[Row] = []
    drawn: list[Row] = []
    for name, video in corpus.videos.items():
        whole += [(name, truth.labels[i], 0.0, video.duration, float(share[i])) for i in common]
        for i in rng.integers(0, len(truth), each):
            long = min(float(length[i]), video.duration)
            start = float(rng.uniform(0, max(video.duration - long, 0.0)))
            label = truth.labels[truth.label[int(rng.integers(len(truth)))]]
            drawn.append((name, label, start, start + long, float(rng.random())))
    return {WHOLE: Instances.from_rows(whole, corpus.videos), RANDOM: Instances.from_rows(drawn, corpus.videos)}


def submitted(path: str | Path, annotations: str | Path, task: Task) -> Instances:
    """Detections of a file; those of an EPIC-KITCHENS submission (verb, noun, action) for one task, with the names of
    the class tables beside the annotations where there are any."""
    if kind(Path(path)) != ".json" or not _is_epic(path):
        return read_detections(path)
    found = read_epic_detections(path)[task]
    verbs, nouns = epic_names(Path(annotations))
    new = {}
    for label in found.labels:
        verb, noun = divmod(int(label), NOUNS) if task == "action" else (int(label), int(label))
        named = (verbs, nouns) if task == "action" else (verbs, verbs) if task == "verb" else (nouns, nouns)
        try:
            new[label] = epic_label(task, verb, noun, *named)
        except LabanError as error:
            raise LabanError(f"{path}: {error}") from None
    return found.relabelled(new)


def _is_epic(path: str | Path) -> bool:
    document = open_source(path).document
    results = document.get("results") if isinstance(document, dict) else None
    entries = [e for v in results.values() if isinstance(v, list) for e in v[:1]] if isinstance(results, dict) else []
    return bool(entries) and all(isinstance(e, dict) and "verb" in e and "noun" in e for e in entries)
