"""`laban eval anticipate`: what comes next by the published measures, beside trivial rows and a plain n-gram."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from action_localization.anticipation.distances import Level

MEASURES = ("ed", "next")
MORE = ("multilabel", "plans")
"""Measured when asked for."""


def anticipate(
    annotations: Annotated[Path, typer.Argument(help="Evaluation set, in any known layout.")],
    training: Annotated[Path, typer.Option("--training", help="Training set: trivial rows, n-gram, and the prior.")],
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="Anticipator to measure [a prior learnt "
                                                                        "from the training set].")] = None,
    measure: Annotated[list[str] | None, typer.Option("--measure", help="ed (ED@Z, AUED), next (accuracy, "
                                                                        "class-mean recall@5), multilabel (mAP of what "
                                                                        "is still to come) or plans (NLL, KL, modes). "
                                                                        "Repeatable [ed, next].")] = None,
    observe: Annotated[int, typer.Option("--observe", min=1, help="Actions of the past, for ed.")] = 8,
    following: Annotated[int, typer.Option("--next", min=1, help="Actions to foresee, for ed.")] = 20,
    count: Annotated[int, typer.Option("-k", min=1, help="Futures, of which the best counts.")] = 5,
    stride: Annotated[int, typer.Option("--stride", min=1, help="A window every so many actions.")] = 10,
    every: Annotated[int, typer.Option("--every", min=1, help="Only each so many-th window.")] = 1,
    noise: Annotated[float, typer.Option("--noise", help="Share of the past that is replaced, for ed.")] = 0.0,
    balance: Annotated[float | None, typer.Option("--balance", help="Logit adjustment, for next [the "
                                                                    "checkpoint's].")] = None,
    level: Annotated[str, typer.Option("--level", help="verb, noun or action, for multilabel.")] = "verb",
    steps: Annotated[int, typer.Option("--steps", min=2, max=12, help="Steps of a plan, for plans.")] = 4,
    seed: Seed = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """Anticipation from labels: ED@Z and AUED, or the next action's class-mean recall."""
    chosen = list(dict.fromkeys(measure or MEASURES))
    if unknown := [name for name in chosen if name not in (*MEASURES, *MORE)]:
        raise LabanError(f"--measure {unknown[0]}; accepted: {', '.join((*MEASURES, *MORE))}")
    if level not in ("verb", "noun", "action"):
        raise LabanError(f"--level {level}; accepted: verb, noun, action")
    from action_localization.anticipation.anticipator import learn_anticipator, load_anticipator
    from action_localization.anticipation.evaluate import LongTerm
    from action_localization.anticipation.multilabel import multilabel_report, spread_report
    from action_localization.anticipation.reports import (
        epic_tail,
        epic_unseen,
        long_term_report,
        next_report,
        read_sets,
    )
    from laban.weights import load_weights

    anticipator = load_anticipator(checkpoint) if checkpoint else None
    if checkpoint and balance is None:
        balance = load_weights(checkpoint)[1].get("balance")
    learn, evaluation = read_sets(training, annotations, anticipator)
    reports = []
    with progress("anticipation", None, quiet=json) as advance:
        if "ed" in chosen:
            protocol = LongTerm(observe, following, count, stride)
            reports.append(long_term_report(learn, evaluation, protocol, anticipator, noise=noise, every=every,
                                            seed=seed, advance=advance))  # fmt: skip
        if "next" in chosen:
            unseen, tail = epic_unseen(annotations), epic_tail(annotations, evaluation)
            reports.append(next_report(learn, evaluation, anticipator, balance=balance, unseen=unseen, tail=tail,
                                       seed=seed, advance=advance))  # fmt: skip
        if "multilabel" in chosen:
            own = anticipator or learn_anticipator(learn)
            named = {"prior": own.prior} | ({"prior + network": own.predictor} if own.network is not None else {})
            reports.append(multilabel_report(learn, evaluation, named, level=cast("Level", level), seed=seed,
                                             advance=advance))  # fmt: skip
        if "plans" in chosen:
            reports.append(spread_report(learn, evaluation, steps, seed=seed))
    results: dict[str, Any] = {"reports": [report.to_json() for report in reports], "seed": seed}
    emit(results, json, ["\n\n".join(report.table() for report in reports)])
