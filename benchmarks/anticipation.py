"""Anticipation, plans and goals from labels, beside trivial rows and the bars that were set.

    python benchmarks/anticipation.py ANNOTATIONS [--every 1] [--noise 0.4] [--part ed next plan goal]

ANNOTATIONS is a folder with epic100/ and procedure/ (EPIC-KITCHENS-100, COIN, CrossTask, NIV). Settings were chosen on
held-out training videos; the evaluation files are only measured. `--every N` measures each N-th window of ED@20.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from action_localization.anticipation.anticipator import load_anticipator
from action_localization.anticipation.chains import TaskChains, learn_chains, modal_plans, plan_windows
from action_localization.anticipation.evaluate import LongTerm
from action_localization.anticipation.measures import Figure, mean_over_groups
from action_localization.anticipation.plan_measures import accuracy, batch_iou, cumulative_iou, sample_iou, success
from action_localization.anticipation.reports import epic_tail, epic_unseen, long_term_report, next_report, read_sets
from action_localization.anticipation.sequences import SequenceSet, read_sequences, together
from laban.errors import LabanError
from laban.weights import load_weights

PARTS = ("ed", "next", "plan", "goal")
BARS = {"ED@20 verb": 0.650, "ED@20 noun": 0.800, "ED@20 action": 0.905}
RECALL_BAR = 0.170
FILLER = {"crosstask": {3: 62.3, 4: 37.7, 5: 23.3, 6: 15.4}}
"""SR with true ends by a lookup of fillers, as measured before on nearly the same windows (8 videos more)."""
FRACTIONS = (0.3, 0.5, 0.7)
KITCHEN = "anticipate_kitchen"


def verdict(name: str, value: float, bar: float) -> str:
    """A value beside what it may be at most."""
    return f"{name} {value:.3f} ({'meets' if value <= bar else 'misses'} {bar:.3f})"


def kitchen(folder: Path, parts: Sequence[str], every: int, noise: float) -> None:
    """ED@20 and the next action on EPIC-KITCHENS-100's validation part."""
    epic = folder / "epic100"
    anticipator = load_anticipator(KITCHEN)
    validation = epic / "rulstm_validation.csv.gz"
    training, evaluation = read_sets(epic / "rulstm_training.csv.gz", validation, anticipator)
    for share in (0.0, noise) if "ed" in parts else ():
        report = long_term_report(training, evaluation, LongTerm(), anticipator, noise=share, every=every)
        print(report.table())
        for row in report.rows[-2:]:
            verdicts = [verdict(name, row.figures[name].value, bar) for name, bar in BARS.items()]
            print(f"{row.name}: {', '.join(verdicts)}; {row.seconds:.0f} s\n")
    if "next" in parts:
        balance = load_weights(KITCHEN)[1]["balance"]
        report = next_report(training, evaluation, anticipator, balance=balance, unseen=epic_unseen(validation),
                             tail=epic_tail(validation, evaluation))  # fmt: skip
        print(report.table())
        for row in report.rows[1:]:
            value = row.figures["class-mean recall@5"].value
            print(f"{row.name}: {value:.3f} ({'meets' if value >= RECALL_BAR else 'misses'} {RECALL_BAR:.3f})")
        print()


def procedure_sets(folder: Path) -> dict[str, tuple[SequenceSet, SequenceSet]]:
    """(training, test) of each set, by PDPP's splits."""
    found = {}
    for name, train, test in (("crosstask", "crosstask_train_steps", "crosstask_test_steps"),
                              ("coin", "coin_train_70", "coin_test_30")):  # fmt: skip
        learn, measure = (read_sequences(folder / "procedure" / f"{file}.json.gz") for file in (train, test))
        first, second = together(learn, [measure])
        found[name] = first, second
    niv = read_sequences(folder / "procedure" / "niv.json")
    found["niv"] = niv.part("train"), niv.part("test")
    return found


def planned(chains: TaskChains, plans: np.ndarray, tasks: Sequence[int | None]) -> np.ndarray:
    """A plan between the true ends of each window; where the task does not know them, the start repeated."""
    known: dict[tuple[int, int, int | None], np.ndarray] = {}
    for plan, task in zip(plans, tasks, strict=True):
        key = int(plan[0]), int(plan[-1]), task
        if key not in known:
            try:
                known[key] = chains.plan(key[0], key[1], len(plan), task)
            except LabanError:
                known[key] = np.append(np.repeat(plan[:1], len(plan) - 1), plan[-1])
    return np.stack([known[int(p[0]), int(p[-1]), task] for p, task in zip(plans, tasks, strict=True)])


def plan_rows(name: str, training: SequenceSet, evaluation: SequenceSet, lengths: Sequence[int]) -> None:
    """Protocol A and B: the modal plan of the true task, and plans between the true ends with and without the task."""
    chains, number = learn_chains(training), {goal: i for i, goal in enumerate(training.goals)}
    print(f"{name}: {len(training.sequences)} training, {len(evaluation.sequences)} test videos; SR / mAcc / mIoU per "
          "sample in per cent [95 % over videos]; true ends given, no pixels")  # fmt: skip
    for length in lengths:
        for protocol in ("A", "B"):
            windows = plan_windows(evaluation, length, protocol)
            modal = modal_plans(training, length)
            empty = np.full(length, -1)
            tasks = [number.get(goal, -1) for goal in windows.goals]
            rows = {
                "modal plan of the true task": np.stack([modal.get(goal, empty) for goal in windows.goals]),
                "true ends": planned(chains, windows.plans, [None] * len(windows)),
                "true task and ends": planned(chains, windows.plans, [t if t >= 0 else None for t in tasks]),
            }
            print(f"  T={length}, protocol {protocol}: {len(windows)} windows, {windows.padded} padded")
            for row, found in rows.items():
                figures = [mean_over_groups(100.0 * measure(windows.plans, found), windows.video)
                           for measure in (success, accuracy, sample_iou)]  # fmt: skip
                print(f"    {row:28s} {' / '.join(map(shown, figures))}")
            found = rows["true task and ends"]
            legacy = 100 * batch_iou(windows.plans, found, 256), 100 * cumulative_iou(windows.plans, found)
            print(f"    legacy mIoU of the last row: batches of 256 {legacy[0]:.1f}, cumulative {legacy[1]:.1f}")
            if protocol == "A" and (bar := FILLER.get(name, {}).get(length)) is not None:
                print(f"    bar for SR with true task and ends: {bar}")


def shown(figure: Figure) -> str:
    """A value with its interval."""
    return f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"


def goal_rows(name: str, training: SequenceSet, evaluation: SequenceSet) -> None:
    """Goal recognition after a part of the trace: the most common task, and Bayes over unigrams and over chains."""
    chains = learn_chains(training)
    common = training.goals[int(chains.videos.argmax())]
    for share in FRACTIONS:
        hits: dict[str, list[float]] = {"most common task": [], "unordered steps": [], "chains": []}
        for one in evaluation.sequences:
            trace = one.array[: max(1, int(np.ceil(share * len(one.array))))]
            trace = trace[trace >= 0]
            hits["most common task"].append(one.goal == common)
            hits["unordered steps"].append(chains.tasks[int(chains.unordered(trace).argmax())] == one.goal)
            hits["chains"].append(chains.tasks[int(chains.posterior(trace).argmax())] == one.goal)
        rows = ", ".join(f"{row} {shown(mean_over_groups(100 * np.array(h, float), np.arange(len(h))))}"
                         for row, h in hits.items())  # fmt: skip
        print(f"{name}: goal after {share:.0%} of {len(evaluation.sequences)} traces, accuracy: {rows}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.4)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    begun = time.process_time()
    if {"ed", "next"} & set(asked.part):
        kitchen(asked.annotations, asked.part, asked.every, asked.noise)
    if {"plan", "goal"} & set(asked.part):
        for name, (training, evaluation) in procedure_sets(asked.annotations).items():
            if "plan" in asked.part:
                plan_rows(name, training, evaluation, (3, 4) if name in ("coin", "niv") else (3, 4, 5, 6))
            if "goal" in asked.part:
                goal_rows(name, training, evaluation)
    print(f"{time.process_time() - begun:.0f} s of processor time")


if __name__ == "__main__":
    main()
