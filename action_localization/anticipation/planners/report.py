"""The table of planners on one set: trains what is asked for (or finds it trained), and makes a row of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from action_localization.anticipation.chains import TRUST, Protocol, TaskChains, learn_chains, plan_windows
from action_localization.anticipation.plan_measures import success
from action_localization.anticipation.planners.diffusion import MASKED_PDPP, MTID, PDPP, DiffusionConfig, PlanDenoiser
from action_localization.anticipation.planners.given import NOISE, text_observations
from action_localization.anticipation.planners.learn import (
    PlanData,
    PlanTraining,
    train_classifier,
    train_diffusion,
    train_viterbi,
)
from action_localization.anticipation.planners.rows import (
    Asked,
    Inputs,
    PlanRow,
    Plans,
    asked,
    by_places,
    by_viterbi,
    chain_rows,
    diffusion_odds,
    filler_rows,
    modal_rows,
    plan_row,
    viterbi_rows,
)
from action_localization.anticipation.planners.viterbi_net import ViterbiConfig, ViterbiPlanner, padded_chains, refine
from action_localization.anticipation.sequences import SequenceSet

DIFFUSION: Mapping[str, DiffusionConfig] = {"PDPP": PDPP, "Masked-PDPP": MASKED_PDPP, "MTID": MTID}
VITERBI = "ViterbiPlanNet-like"
DEFAULT = "counts and chain (default)"
TRUSTS = (0.0, 2.0, 6.0, 20.0, 60.0)
"""How many training plans the network may count in the default planner; chosen on held-out training videos."""

CHAIN_TRUSTS = (1.0, 2.0, 6.0)
"""How many training plans the chain may count; chosen likewise."""

HELD_OUT = 0.15
Planner = Callable[[Asked, int], Plans]
"""(conditions, length) -> a plan of each."""


@dataclass(frozen=True)
class PlanReport:
    """What is measured how: lengths, protocol, noise on observations, seeds and steps of training, where runs are."""

    folder: Path
    lengths: tuple[int, ...] = (3, 4, 5, 6)
    protocol: Protocol = "A"
    noise: float = NOISE
    seeds: int = 3
    steps: int = 500
    spread: float = 0.0
    """Noise that diffusion begins with; 0 begins at the middle. Chosen on held-out training videos of CrossTask."""
    refined: float = 1.5
    """What transitions count when a diffusion planner's rows go through Viterbi."""
    planners: tuple[str, ...] = (*DIFFUSION, VITERBI)
    quiet: bool = True


def plan_data(sequences: SequenceSet, chains: TaskChains, vectors: Float32[ndarray, "actions observed"],
              report: PlanReport) -> PlanData:  # fmt: skip
    """Windows of a set with text observations."""
    windows = {length: plan_windows(sequences, length, report.protocol) for length in report.lengths}
    observed = {length: text_observations(one, vectors, report.noise) for length, one in windows.items()}
    return PlanData(chains, windows, observed, vectors)


def plan_table(training: SequenceSet, evaluation: SequenceSet, vectors: Float32[ndarray, "actions observed"],
               report: PlanReport) -> Iterator[PlanRow]:  # fmt: skip
    """Rows of every planner with every input at every length; what has no training comes first."""
    chains = replace(learn_chains(training, report.lengths), trust=chain_trust(training, report))
    learn, measure = (plan_data(one, chains, vectors, report) for one in (training, evaluation))
    classifier = train_classifier(learn, _run(report, "task", 0))
    inputs: tuple[Inputs, ...] = ("observations", "ends")
    conditions = {(kind, length): asked(measure, length, kind, classifier) for kind in inputs
                  for length in report.lengths}  # fmt: skip

    def rows(name: str, planners: list[Planner], kinds: tuple[Inputs, ...] = inputs) -> Iterator[PlanRow]:
        for (kind, length), one in conditions.items():
            if kind in kinds:
                found = [planner(one, length)[one.back] for planner in planners]
                yield plan_row(
                    name, measure, length, kind, found, legacy=name == DEFAULT and length == report.lengths[0]
                )

    yield from rows("modal plan of the task", [lambda one, length: modal_rows(chains, one.tasks, length)])
    yield from rows("filler lookup", [lambda one, length: filler_rows(chains, one.tasks, one.nearest, length)])
    yield from rows("n-gram chain + Viterbi", [lambda one, length: _first_order(chains, one, length)])
    yield from rows(DEFAULT,
                    [lambda one, length: chain_rows(chains, one.tasks, one.nearest, length)])  # fmt: skip
    for name, config in DIFFUSION.items():
        if name in report.planners:
            yield from _diffusion(name, config, learn, report, rows)
    if VITERBI in report.planners:
        networks = [
            train_viterbi(learn, ViterbiConfig(), _run(report, "viterbi", seed)) for seed in range(report.seeds)
        ]
        yield from rows(VITERBI, [_by_viterbi(network) for network in networks])
        trust = best_trust(training, vectors, report)
        yield from rows(f"counts, chain and {VITERBI} ({trust:g})",
                        [_combined(chains, network, trust) for network in networks], ("ends",))  # fmt: skip


def chain_trust(training: SequenceSet, report: PlanReport) -> float:
    """How much the chain counts beside the plans that were seen: the best mean SR between given ends on held-out
    training videos."""
    rest, held = training.held_out(HELD_OUT, 0)
    chains = learn_chains(rest, report.lengths)
    number = {task: i for i, task in enumerate(chains.tasks)}
    quality = dict.fromkeys(CHAIN_TRUSTS, 0.0)
    for length in report.lengths:
        windows = plan_windows(held, length, report.protocol)
        known = np.array([goal in number for goal in windows.goals])
        tasks = np.array([number.get(goal, 0) for goal in windows.goals])[known]
        plans = windows.plans[known]
        for trust in CHAIN_TRUSTS:
            found = chain_rows(replace(chains, trust=trust), tasks, plans[:, [0, -1]], length)
            quality[trust] += float(success(plans, found).mean())
    return max(quality, key=lambda trust: quality[trust])


def best_trust(training: SequenceSet, vectors: Float32[ndarray, "actions observed"], report: PlanReport) -> float:
    """How much the network counts beside counts and chain: the best mean SR with given ends on held-out training
    videos."""
    rest, held = training.held_out(HELD_OUT, 0)
    chains = learn_chains(rest, report.lengths)
    learn, measure = (plan_data(one, chains, vectors, report) for one in (rest, held))
    network = train_viterbi(learn, ViterbiConfig(), _run(report, "viterbi-held-out", 0))
    classifier = train_classifier(learn, replace(_run(report, "task-held-out", 0), steps=min(100, report.steps)))
    quality = dict.fromkeys(TRUSTS, 0.0)
    for length in report.lengths:
        one = asked(measure, length, "ends", classifier)
        for trust in TRUSTS:
            found = _combined(chains, network, trust)(one, length)[one.back]
            quality[trust] += float(success(measure.windows[length].plans, found).mean())
    return max(quality, key=lambda trust: quality[trust])


def _diffusion(name: str, config: DiffusionConfig, learn: PlanData, report: PlanReport,
               rows: Callable[..., Iterator[PlanRow]]) -> Iterator[PlanRow]:  # fmt: skip
    """Rows of a diffusion planner, by itself; Viterbi over what each place says by itself; and among
    the plans of counts and chain."""
    table = padded_chains(learn.chains)

    def alone(one: Asked, length: int, network: PlanDenoiser, seed: int) -> Plans:
        return diffusion_odds(network, one.given, seed, report.spread).argmax(2)

    def through(one: Asked, length: int, network: PlanDenoiser, seed: int) -> Plans:
        odds = diffusion_odds(network, one.given, seed, 0.0, 1)
        return refine(odds, one.tasks, table, report.refined)

    def chosen(one: Asked, length: int, network: PlanDenoiser, seed: int) -> Plans:
        weigh = by_places(diffusion_odds(network, one.given, seed, 0.0, 1))
        return chain_rows(learn.chains, one.tasks, one.nearest, length, weigh, TRUST)

    networks = [train_diffusion(learn, config, _run(report, name.lower(), seed)) for seed in range(report.seeds)]
    plain: list[Planner] = [partial(alone, network=one, seed=seed) for seed, one in enumerate(networks)]
    refined: list[Planner] = [partial(through, network=one, seed=seed) for seed, one in enumerate(networks)]
    yield from rows(name, plain)
    yield from rows(f"{name} + Viterbi", refined)
    among: list[Planner] = [partial(chosen, network=one, seed=seed) for seed, one in enumerate(networks)]
    yield from rows(f"counts, chain and {name} ({TRUST:g})", among, ("ends",))


def _by_viterbi(network: ViterbiPlanner) -> Planner:
    return lambda one, length: viterbi_rows(network, one.given)


def _combined(chains: TaskChains, network: ViterbiPlanner, trust: float) -> Planner:
    return lambda one, length: chain_rows(chains, one.tasks, one.nearest, length, by_viterbi(network, one.given), trust)


def _first_order(chains: TaskChains, one: Asked, length: int) -> Plans:
    found = filler_rows(chains, one.tasks, one.nearest, length)
    known: dict[tuple[int, int, int], Plans] = {}
    for row, (task, (first, last)) in enumerate(zip(one.tasks.tolist(), one.nearest.tolist(), strict=True)):
        if first in chains.steps[task] and last in chains.steps[task]:
            key = task, first, last
            if key not in known:
                known[key] = chains.likeliest(task, first, last, length)[0]
            found[row] = known[key]
    return found


def _run(report: PlanReport, name: str, seed: int) -> PlanTraining:
    return PlanTraining(report.folder / f"{name}-{seed}", report.steps, seed, report.quiet)
