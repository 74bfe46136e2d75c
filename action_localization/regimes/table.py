"""The one table of all regimes: every system is trained and measured on the same streams, seed by seed, and resumes.

A row's training streams are all that it learns from; scores from which it speaks are chosen on the tuning streams.
Average mAP is over tIoU .3:.1:.7; F1 is the Hungarian one at .5. What a row has measured is kept as JSON.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.evaluation.grounding import Question, score_grounding
from action_localization.evaluation.online import evaluate_online
from action_localization.grounded.queries import Span, video_queries
from action_localization.regimes.rows import ROWS, Answers, Row
from action_localization.regimes.streams import RegimeSet, RegimeVideo, only
from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from laban.timeline import Timeline

PROTOCOL = "thumos14"
VERSION = 1
"""Raised when the streams or what is measured of a row change, so that nothing kept is taken for the present."""
REPEATS = 500
_LEVELS = 40


@dataclass(frozen=True)
class Cell:
    """One row on one set with one seed."""

    row: str
    regime: str
    data: str
    seed: int
    values: Mapping[str, float]
    """Names of measures and their values: shares from 0 to 1, seconds, counts."""
    interval: tuple[float, float] | None
    """95 % of bootstraps over streams of the first measure."""


@dataclass(frozen=True)
class TableConfig:
    """Which rows are measured, and where they are kept."""

    folder: Path = Path("runs/regimes/table")
    rows: tuple[str, ...] = ()
    """Names of rows; none: all that fit a set."""
    seeds: int = 3


def measure_table(sets: Sequence[RegimeSet], config: TableConfig, *, quiet: bool = False) -> list[Cell]:
    """All cells, trained and measured where they are not kept already; LabanError for a row that there is not."""
    if unknown := [name for name in config.rows if name not in ROWS]:
        raise LabanError(f"--row {unknown[0]}; accepted: {', '.join(ROWS)}")
    wanted = [
        (data, name, row, seed)
        for data in sets
        for name, row in ROWS.items()
        if data.name in row.sets and (not config.rows or name in config.rows)
        for seed in range(config.seeds if row.seeded else 1)
    ]
    cells = []
    with progress("rows", len(wanted), quiet=quiet) as advance:
        for data, name, row, seed in wanted:
            cells.append(measure_cell(data, name, row, seed, config.folder))
            advance(1)
    return cells


def measure_cell(data: RegimeSet, name: str, row: Row, seed: int, folder: Path) -> Cell:
    """One row with one seed, from what is kept or anew."""
    kept = folder / data.name / f"{name.replace('/', '-')}-{seed}.json"
    key = {"version": VERSION, "set": _digest(data)}
    if kept.is_file():
        said = json.loads(kept.read_text(encoding="utf-8"))
        if said.get("key") == key:
            return Cell(name, row.regime, data.name, seed, said["values"], _pair(said["interval"]))
    began = time.process_time()
    answers = row.run(data, folder / data.name / f"{name.replace('/', '-')}-{seed}", seed)
    seconds = time.process_time() - began
    classes = data.unseen if row.unseen else data.classes
    if answers.spans is not None:
        values, interval = _grounding(data.test, answers.spans)
    else:
        values, interval = _detection(data, answers, classes)
    values = {**values, **answers.more, "CPU s": seconds}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(kept) as temporary:
        temporary.write_text(json.dumps({"key": key, "values": values, "interval": interval}) + "\n", encoding="utf-8")
    return Cell(name, row.regime, data.name, seed, values, interval)


def _digest(data: RegimeSet) -> str:
    """Changes when the streams that are measured on do."""
    told = hashlib.sha256()
    for video in (*data.tune, *data.test):
        told.update(video.features.values.tobytes() + repr(video.truth).encode())
    return told.hexdigest()[:16]


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _detection(
    data: RegimeSet, answers: Answers, classes: Sequence[str]
) -> tuple[dict[str, float], tuple[float, float]]:
    """Average mAP with its interval, mAP@.5, F1 and how much is said; only truth and answers of these classes count."""
    truth = {video.name: only(video, classes).truth for video in data.test}
    found = {name: _of(timeline, classes) for name, timeline in answers.found.items()}
    scores = evaluate_detection(truth, found, PROTOCOL)
    drawn = np.nanmean(bootstrap_detection(truth, found, PROTOCOL, repeats=REPEATS), 1)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    said = found
    if answers.tuned is not None:
        tuned = {name: _of(timeline, classes) for name, timeline in answers.tuned.items()}
        least = best_threshold({video.name: only(video, classes).truth for video in data.tune}, tuned)
        said = {name: _above(timeline, least) for name, timeline in found.items()}
    heard = evaluate_online(truth, said)
    values = {"mAP": scores.average, "mAP@.5": scores.at(0.5), "F1": heard.f1, "emitted": heard.emitted / heard.truths}
    if np.isfinite(heard.delay):
        values["delay s"] = heard.delay
    return values, (float(low), float(high))


def best_threshold(truth: Mapping[str, Timeline], found: Mapping[str, Timeline]) -> float:
    """The score from which segments are shown that gives the best F1; 0 where nothing was found."""
    scores = sorted(segment.score for timeline in found.values() for segment in timeline.segments)
    if not scores:
        return 0.0
    levels = np.unique(np.quantile(scores, np.linspace(0, 1, _LEVELS)))
    worth = [evaluate_online(truth, {n: _above(t, level) for n, t in found.items()}).f1 for level in levels]
    return float(levels[int(np.argmax(worth))])


def _of(timeline: Timeline, classes: Sequence[str]) -> Timeline:
    return Timeline(tuple(s for s in timeline.segments if s.label in classes), timeline.duration)


def _above(timeline: Timeline, least: float) -> Timeline:
    return Timeline(tuple(s for s in timeline.segments if s.score >= least), timeline.duration)


def questions(videos: Sequence[RegimeVideo]) -> list[Question]:
    """Every sentence of every stream with its stretches."""
    return [Question(v.name, v.truth.duration, query.windows) for v in videos for query in video_queries(v)]


def _grounding(
    videos: Sequence[RegimeVideo], spans: Sequence[Sequence[Span]]
) -> tuple[dict[str, float], tuple[float, float]]:
    """R@1 at .5 with its interval, R@1 at .3 and .7, R@5 at .5, mean IoU; no answer is a wrong one."""
    asked = questions(videos)
    scores = score_grounding(asked, spans, null="wrong")
    figures = scores.figures()
    low, high = scores.intervals(repeats=REPEATS)[R1]
    return {key: figures[key] / 100 for key in GROUNDING}, (low / 100, high / 100)


R1 = "R@1, IoU=0.5"
GROUNDING = (R1, "R@1, IoU=0.3", "R@1, IoU=0.7", "R@5, IoU=0.5", "mIoU")


def summary(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Rows of one table: means over seeds, how far seeds lie apart, and the widest of their intervals."""
    found = []
    for data, name in dict.fromkeys((cell.data, cell.row) for cell in cells):
        mine = [cell for cell in cells if (cell.data, cell.row) == (data, name)]
        keys = dict.fromkeys(key for cell in mine for key in cell.values)
        means = {key: mean(cell.values[key] for cell in mine if key in cell.values) for key in keys}
        first = next(iter(means))
        spread = [cell.values[first] for cell in mine]
        bounds = [cell.interval for cell in mine if cell.interval is not None]
        found.append({
            "set": data, "regime": mine[0].regime, "row": name, "seeds": len(mine), **means,
            "over seeds": [min(spread), max(spread)],
            "interval": [mean(low for low, _ in bounds), mean(high for _, high in bounds)] if bounds else None,
        })  # fmt: skip
    return found


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The issue's orderings, from the means: online and weak to offline, zero-shot and grounded to trivial."""
    said = []
    for name in dict.fromkeys(row["set"] for row in rows):
        by = {row["row"]: row for row in rows if row["set"] == name}
        for one, other, key, bar in COMPARED:
            if one in by and other in by and by[other][key] > 0:
                share = by[one][key] / by[other][key]
                missed = ", missed" if share < bar else ""
                said.append(f"{name}: {one} / {other}, {key}: {share:.2f} (bar {bar:g}{missed})")
    return said


COMPARED = (
    ("matr", "offline", "mAP", 0.75), ("horizon", "offline", "mAP", 0.0), ("tscn", "offline", "mAP", 0.55),
    ("points", "offline", "mAP", 0.55), ("hierarchy", "offline", "mAP", 0.55), ("t3al", "frame-similarity", "mAP", 3.0),
    ("stov-tal", "frame-similarity", "mAP", 3.0), ("moment-detr", "random-spans", R1, 3.0),
    ("denoise-loc", "random-spans", R1, 3.0), ("dense", "random-spans", R1, 3.0), ("ctrl", "random-spans", R1, 3.0),
    ("mrav-ff", "visual", "mAP", 1.0),
)  # fmt: skip
"""(row, row it is compared with, measure, the ratio wanted)."""


HEADS = ("regime", "row", "avg mAP / R@1 .5 [95 %]", "over seeds", "mAP@.5 / mIoU", "F1", "emitted per true", "delay s",
         "CPU s")  # fmt: skip


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table as Markdown, set by set; shares in per cent."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        lines += [f"### {name}", "", f"| {' | '.join(HEADS)} |", "|---|---|---:|---|---:|---:|---:|---:|---:|"]
        for row in (one for one in rows if one["set"] == name):
            low, high = row["interval"] or (float("nan"),) * 2
            first = row["mAP"] if "mAP" in row else row[R1]
            spread = f"{100 * row['over seeds'][0]:.1f} to {100 * row['over seeds'][1]:.1f} ({row['seeds']})"
            second = row.get("mAP@.5", row.get("mIoU"))
            cells = [f"{100 * first:.1f} [{100 * low:.1f}, {100 * high:.1f}]", spread, f"{100 * second:.1f}"]
            cells += [f"{100 * row['F1']:.1f}" if "F1" in row else ""]
            cells += [f"{row[key]:.2f}" if key in row else "" for key in ("emitted", "delay s")]
            cells.append(f"{row['CPU s']:.0f}")
            lines.append(f"| {row['regime']} | {row['row']} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines
