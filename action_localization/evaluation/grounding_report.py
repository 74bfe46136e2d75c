"""Answers of files to the sentences of Charades-STA, TACoS, ActivityNet Captions and QVHighlights, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from action_localization.data.corpus import Corpus
from action_localization.data.source import open_source, records
from action_localization.evaluation.grounding import (
    Answer,
    GroundingScores,
    NullRule,
    Question,
    score_grounding,
    trivial_answers,
)
from action_localization.evaluation.moments import TIOUS, evaluate_highlights, evaluate_moments
from laban.errors import LabanError
from laban.scores.source import number
from models.text.captions import clean


@dataclass(frozen=True)
class GroundingReport:
    """Figures of every row in per cent, with their intervals."""

    name: str
    rows: Mapping[str, GroundingScores]
    repeats: int
    seed: int

    def table(self) -> str:
        """Markdown; a figure a line, a row a column."""
        first = next(iter(self.rows.values()))
        lines = [
            f"{self.name}: per cent [95 % of {self.repeats} bootstraps over videos]; {len(first.best)} sentences in "
            f"{len(set(first.videos))} videos; unanswered count as {first.rule}",
            "|  | " + " | ".join(self.rows) + " |", "|---|" + "---:|" * len(self.rows),
        ]  # fmt: skip
        figures = {name: scores.figures() for name, scores in self.rows.items()}
        spread = {name: scores.intervals(repeats=self.repeats, seed=self.seed) for name, scores in self.rows.items()}
        for figure in next(iter(figures.values())):
            cells = []
            for name in self.rows:
                low, high = spread[name][figure]
                cells.append(f"{figures[name][figure]:.2f} [{low:.1f}, {high:.1f}]")
            lines.append(f"| {figure} | " + " | ".join(cells) + " |")
        lines += [f"{name}: {scores.null} sentences without an answer" for name, scores in self.rows.items()
                  if scores.null]  # fmt: skip
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "annotations": self.name, "null": next(iter(self.rows.values())).rule,
            "rows": {
                name: {"sentences": len(scores.best), "unanswered": scores.null, "figures": scores.figures(),
                       "intervals": scores.intervals(repeats=self.repeats, seed=self.seed)}
                for name, scores in self.rows.items()
            },
        }  # fmt: skip


def questions_of(corpus: Corpus, *, together: bool = False) -> list[Question]:
    """One question for each annotated sentence, in order of time: as Charades-STA and TACoS count them.

    `together`: one for each different sentence of a video, with all of its windows, as QVHighlights counts them.
    """
    found: dict[tuple[str, str, int], Question] = {}
    for name, video in corpus.videos.items():
        for place, segment in enumerate(video.timeline.segments):
            text, window = clean(segment.label), (segment.start, segment.end)
            key = (name, text, -1 if together else place)
            before = found[key].windows if key in found else ()
            found[key] = Question(name, video.duration, (*before, window), text)
    return list(found.values())


def read_answers(path: str | Path) -> dict[tuple[str, str], Answer]:
    """Answers of a file: a JSON object a line with `vid`, `query` and `pred_relevant_windows`; null: no answer.

    The windows are [start, end] or [start, end, score] in seconds, the best first. LabanError names the line.
    """
    source = open_source(path)
    found: dict[tuple[str, str], Answer] = {}
    for line, record in records(source):
        if not {"vid", "query", "pred_relevant_windows"} <= set(record):
            raise source.fail("has no vid, query or pred_relevant_windows; accepted: one answer a line", line)
        windows = record["pred_relevant_windows"]
        try:
            answer = None if windows is None else [[number(value, "time") for value in window] for window in windows]
            if answer is not None and any(len(w) < 2 or w[1] < w[0] for w in answer):
                raise LabanError("a window is no [start, end]")
        except (LabanError, TypeError) as error:
            raise source.fail(f"pred_relevant_windows: {error}", line) from None
        found[str(record["vid"]), clean(str(record["query"]))] = answer
    return found


def grounding_report(
    corpus: Corpus, answers: Mapping[str, Mapping[tuple[str, str], Answer]], *, training: Corpus | None = None,
    together: bool = False, null: NullRule = "wrong", repeats: int = 200, seed: int = 0,
) -> GroundingReport:  # fmt: skip
    """Files' answers, then random spans, the whole video and the best fixed spans of `training`.

    LabanError where there is no sentence, or a file answers none.
    """
    questions = questions_of(corpus, together=together)
    if not questions:
        raise LabanError(f"{corpus.name}: has no sentence with a time; accepted: annotations with truth")
    rows: dict[str, GroundingScores] = {}
    for name, given in answers.items():
        matched = [given.get((question.video, question.text)) for question in questions]
        if not any(matched):
            raise LabanError(f"{name}: answers none of the {len(questions)} sentences (such as {questions[0].text!r} "
                             f"of {questions[0].video})")  # fmt: skip
        rows[name] = score_grounding(questions, matched, null=null, seed=seed)
    known = questions_of(training, together=together) if training else []
    for name, trivial in trivial_answers(questions, known, seed=seed).items():
        rows[name] = score_grounding(questions, trivial, null=null, seed=seed)
    return GroundingReport(corpus.name, rows, repeats, seed)


def highlights_report(path: str | Path, answers: Mapping[str, str | Path]) -> dict[str, Any]:
    """QVHighlights' own figures (`evaluation.moments`) of files of answers by qid."""
    queries = [record for _, record in records(open_source(path))]
    if not queries or "relevant_windows" not in queries[0]:
        raise LabanError(f"{path}: has no relevant_windows; accepted: QVHighlights queries with their truth")
    result: dict[str, Any] = {}
    for name, file in answers.items():
        source = open_source(file)
        given = [record for _, record in records(source)]
        if lacking := [line for line, record in enumerate(given, 1) if "qid" not in record]:
            raise source.fail("has no qid; accepted: QVHighlights' answers name their query", lacking[0])
        row: dict[str, Any] = {}
        for part, scores in evaluate_moments(queries, given).items():
            tious = [f"{tiou:g}" for tiou in TIOUS]
            row[part] = {
                "mAP": dict(zip(tious, scores.mean_ap, strict=True)),
                "average": scores.average,
                "R1": dict(zip(tious, scores.recall_at_1, strict=True)),
                "queries": scores.queries,
            }
        if any("pred_saliency_scores" in answer for answer in given) and "saliency_scores" in queries[0]:
            row["highlights"] = {least: {"mAP": s.mean_ap, "Hit@1": s.hit_at_1}
                                 for least, s in evaluate_highlights(queries, given).items()}  # fmt: skip
        result[name] = row
    return result


def highlights_table(results: Mapping[str, Any], queries: Sequence[str] = ("full", "short", "middle", "long")) -> str:
    """The table of `highlights_report`: R1@.5, R1@.7, mAP@.5, mAP@.75 and the average."""
    lines = [
        "QVHighlights, per cent",
        "|  | R1@.5 | R1@.7 | mAP@.5 | mAP@.75 | mAP |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in results.items():
        for part in queries:
            one = row[part]
            cells = [one["R1"]["0.5"], one["R1"]["0.7"], one["mAP"]["0.5"], one["mAP"]["0.75"], one["average"]]
            label = name if part == "full" else f"{name}, {part}"
            lines.append(f"| {label} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
        for least, scores in row.get("highlights", {}).items():
            lines.append(
                f"{name}: highlights of at least {least}: mAP {scores['mAP']:.2f}, Hit@1 {scores['Hit@1']:.2f}"
            )
    return "\n".join(lines)
