"""`laban eval open`: detections of open-vocabulary systems by a split of classes: zero-shot, or generalized."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError


def open_vocabulary(
    predictions: Annotated[list[Path], typer.Argument(help="Detections: ActivityNet JSON, THUMOS14 text, csv, tsv.")],
    annotations: Annotated[Path, typer.Option("--annotations", help="Truth, in any layout that is known.")],
    classes: Annotated[Path, typer.Option("--classes", help="Splits of classes: {set: {fold: {train, test}}}.")],
    name: Annotated[str, typer.Option("--set", help="Which of them: THUMOS14/50_50, ActivityNet1.3/75_25, …")],
    fold: Annotated[str, typer.Option("--fold", help="Which fold of it.")] = "0",
    protocol: Annotated[str, typer.Option("--protocol", help="thumos14, activitynet, …")] = "thumos14",
    split: Annotated[str | None, typer.Option("--split", help="Part to score, as the annotations name it.")] = None,
    video_scores: Annotated[Path | None, typer.Option("--video-scores", help="{video: {class: score}} of a classifier:"
                                                      " adds rows with its labels, which say so.")] = None,
    bootstraps: Annotated[int, typer.Option("--bootstraps", min=2, help="For the intervals.")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """Unseen classes alone; seen ones and the harmonic mean too for rows that offer them. Never both in one figure."""
    from action_localization.data.corpus import listed
    from action_localization.data.layouts import read_corpus
    from action_localization.evaluation.protocols import protocol_named
    from action_localization.evaluation.report import detection_report, submitted
    from action_localization.open_vocabulary.protocol import (
        external_name,
        externally_labelled,
        harmonic_mean,
        named_split,
        of_classes,
        read_video_scores,
    )

    rule, sides = protocol_named(protocol), named_split(classes, name, fold)
    corpus = read_corpus(annotations)
    corpus = corpus.part(split) if split else corpus
    found = {str(path): submitted(path, annotations, "action") for path in predictions}
    if video_scores is not None:
        scores = read_video_scores(video_scores)
        found |= {external_name(row, video_scores): externally_labelled(one, scores) for row, one in found.items()}
    reports, tables = {}, []
    for side, own in (("unseen", sides.test), ("seen", sides.train)):
        part = of_classes(corpus, own)
        offered = {row: one.keep(one.with_labels(own)) for row, one in found.items()}
        kept = offered if side == "unseen" else {row: one for row, one in offered.items() if len(one)}
        if side == "seen" and not kept:
            continue
        if not any(video.timeline.segments for video in part.videos.values()):
            raise LabanError(f"{annotations}: has no segment of the {side} classes of {name}, fold {fold}")
        reports[side] = detection_report(part, kept, rule, repeats=bootstraps, seed=seed)
        tables.append(f"{side} classes ({len(own)}) of {name}, fold {fold}\n{reports[side].table()}")
    results: dict[str, Any] = {side: report.to_json() for side, report in reports.items()}
    means: dict[str, float] = {}
    for row in found:
        seen, unseen = (reports[side].average_of(row) if side in reports else None for side in ("seen", "unseen"))
        if seen is not None and unseen is not None:
            means[row] = harmonic_mean(seen, unseen)
    results["harmonic"] = means
    lines = [f"harmonic mean of seen and unseen, {row}: {100 * value:.2f}"
             for row, value in means.items()]  # fmt: skip
    problems = listed(corpus.problems)
    results |= {"set": name, "fold": fold, "split": split, "seed": seed, "problems": problems}
    emit(results, json, ["\n\n".join(tables), *lines, *(f"note: {problem}" for problem in problems)])
