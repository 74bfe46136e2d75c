"""`laban eval ground`: sentences localized in videos by the published measures, beside rows that see no video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError

NULL = ("wrong", "random")


def ground(
    annotations: Annotated[Path, typer.Option("--annotations", help="Sentences with times: Charades-STA, TACoS, "
                                                                    "ActivityNet Captions, or QVHighlights.")],
    answers: Annotated[list[Path] | None, typer.Argument(help="Answers, a JSON object a line: vid, query, "
                                                              "pred_relevant_windows [[start, end, score]].")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Grounder to ask; repeatable.")] = None,
    features: Annotated[Path | None, typer.Option("--features", help="Folder of features for --checkpoint.")] = None,
    grid: Annotated[str | None, typer.Option("--grid", help="FPS,STRIDE,WINDOW[,OFFSET] without side-cars.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Name of the array in npz and h5 files.")] = None,
    training: Annotated[Path | None, typer.Option("--training", help="Training sentences, for fixed spans.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Part to score, as the annotations name it.")] = None,
    null: Annotated[str, typer.Option("--null", help="What no answer counts: wrong, or a random span.")] = "wrong",
    bootstraps: Annotated[int, typer.Option("--bootstraps", min=2, help="For the intervals.")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """R@n, IoU >= m, mIoU, R@1 TD <= p and onset accuracy; for QVHighlights its own mAP and highlights as well."""
    from action_localization.data.corpus import listed
    from action_localization.data.layouts import read_corpus
    from action_localization.evaluation.grounding_report import (
        grounding_report,
        highlights_report,
        highlights_table,
        read_answers,
    )

    if bool(checkpoint) != bool(features):
        raise LabanError("eval ground: accepted: --checkpoint with --features, or neither")
    if null not in NULL:
        raise LabanError(f"--null {null}; accepted: {', '.join(NULL)}")
    paths = {path.name if [p.name for p in answers or []].count(path.name) == 1 else str(path): path
             for path in answers or []}  # fmt: skip
    corpus = read_corpus(annotations)
    corpus = corpus.part(split) if split else corpus
    problems = listed(corpus.problems)
    if ".txt" in annotations.name:
        problems.append(f"{annotations}: states no durations; a video's last annotated end stands for it, which "
                        "flatters the rows that see no video")  # fmt: skip
    given: dict[str, Any] = {name: read_answers(path) for name, path in paths.items()}
    if features is not None:
        from action_localization.regimes.own import ground_corpus
        from action_localization.spine.learn import FeatureFolder, side_car_of

        folder = FeatureFolder(features, side_car=side_car_of(grid), key=key)
        if missing := [name for name in corpus.videos if folder.path(name) is None]:
            problems.append(f"{len(missing)} of {len(corpus.videos)} videos have no features, first {missing[0]}: "
                            "their sentences count as unanswered")  # fmt: skip
        given |= {name: ground_corpus(name, corpus, folder, quiet=json) for name in checkpoint or ()}
    results: dict[str, Any] = {}
    tables = []
    if paths and _is_highlights(annotations):
        results["qvhighlights"] = highlights_report(annotations, paths)
        tables.append(highlights_table(results["qvhighlights"]))
    report = grounding_report(
        corpus, given, training=read_corpus(training) if training else None, together=_is_highlights(annotations),
        null=null, repeats=bootstraps, seed=seed,  # type: ignore[arg-type]
    )  # fmt: skip
    tables.append(report.table())
    results |= {**report.to_json(), "split": split, "seed": seed, "problems": problems}
    emit(results, json, ["\n\n".join(tables), *(f"note: {problem}" for problem in problems)])


def _is_highlights(path: Path) -> bool:
    return ".jsonl" in path.name
