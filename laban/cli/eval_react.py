"""`laban eval react`: held-out pairs by contact, penetration, place and facing; each way of reacting a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Json, emit
from laban.progress import progress

if TYPE_CHECKING:
    from motion.evaluation_react import Row

SHOWN = ("trajectory error", "orientation error", "distance error", "contact F1", "contact precision",
         "contact recall", "penetration", "foot skate")  # fmt: skip
SHARE = 1.2
"""Of the real pairs' penetration: the most that is allowed."""
BETTER = 1.5
"""Of the contact F1 without the interaction loss: the least that is wanted."""


# Every parameter is an option of the command line.
def react(  # noqa: PLR0913
    data: Annotated[Path, typer.Option("--data", help="Folder made by `laban data build`.")],
    folder: Annotated[
        Path, typer.Option("--folder", help="Networks of the folds; what is measured is kept here.")
    ] = Path("runs/react"),
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            help="real, two-stage, pretrained, no-interaction, one-stage, joint, scratch, live, nearest, beside.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Of each take and direction.")] = 5,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="Only so much of each take, from its middle.")
    ] = None,
    one_way: Annotated[bool, typer.Option("--one-way", help="Role A as the actor only.")] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Denoising steps of each stage.")] = 10,
    temperature: Annotated[float, typer.Option("--temperature", help="How varied ways are.")] = 0.2,
    fold: Annotated[
        list[int] | None, typer.Option("--fold", help="Only takes of this fold, 0 to 3; repeatable.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold/--no-hold", help="Close the last gap between hands.")] = True,
    json: Json = False,
) -> None:
    """Reactions to people who were not learnt from: 4 folds over all takes, with intervals."""
    from models.data.dataset import MotionDataset
    from models.data.pairs import FOLDS, mocap_pairs
    from motion.evaluation_react import Asked, against, evaluate_react, plain
    from motion.reaction.react import ReactConfig

    config = ReactConfig(steps, steps, temperature, hold=hold)
    rows = tuple(row or ("real", "two-stage", "one-stage", "no-interaction", "joint", "nearest", "beside"))
    asked = Asked(folder, rows, seeds, config, seconds, one_way, tuple(sorted(set(fold or range(FOLDS)))))
    pairs = mocap_pairs(MotionDataset.open(data))
    count = (
        sum(pair.fold in asked.folds for pair in pairs)
        * (1 if one_way else 2)
        * sum(asked.seeds_of(name) for name in rows)
    )
    with progress("reactions", count, quiet=json) as advance:
        found = evaluate_react(pairs, asked, finished=advance)
    better = {name: [round(v, 4) for v in own] for name, own in against(found).items()}
    kept = {"folds": asked.folds, "rows": [plain(one) for one in found]}
    emit({**kept, "trajectory error, others minus ours [95 % over seeds]": better}, json, [table(found), *bars(found)])


def table(rows: list[Row]) -> str:
    """Every row in one line, mean with interval over takes and directions, as Markdown."""
    names = [*SHOWN, "KID x1000", "diversity", "multimodality", "s / s"]
    lines = [f"| row | n | seeds | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for one in rows:
        cells = [f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in (one.figures[name] for name in SHOWN)]
        near = "" if one.kid is None else "{:.1f} ± {:.1f}".format(*one.kid)
        cells += [near, *("" if value is None else f"{value:.2f}" for value in (one.diversity, one.multimodality))]
        lines.append(f"| {one.row} | {one.n} | {one.seeds} | {' | '.join(cells)} | {one.work:.2f} |")
    return "\n".join(lines)


def bars(rows: list[Row]) -> list[str]:
    """What was asked for, beside what was found."""
    from motion.evaluation_react import against, seed_interval

    by_name: dict[str, Any] = {one.row: one for one in rows}
    several = [(one, seed_interval(one.by_seed)) for one in rows if one.seeds > 1]
    lines = [f"{one.row}: trajectory error over {one.seeds} seeds {mean:.3f} [{low:.3f}, {high:.3f}] m"
             for one, (mean, low, high) in several]  # fmt: skip
    for name, (mean, low, high) in against(rows).items():
        lines.append(f"two-stage is nearer than {name} by {mean:.3f} [{low:.3f}, {high:.3f}] m (bar: > 0)")
    own = by_name.get("two-stage")
    if own is not None and "real" in by_name:
        share = own.figures["penetration"][0] / max(by_name["real"].figures["penetration"][0], 1e-6)
        lines.append(f"penetration: {share:.2f} times the real pairs' (bar: <= {SHARE})")
    if own is not None and "no-interaction" in by_name:
        ratio = own.figures["contact F1"][0] / max(by_name["no-interaction"].figures["contact F1"][0], 1e-6)
        lines.append(f"contact F1: {ratio:.2f} times that without the interaction loss (bar: >= {BETTER})")
    return lines
