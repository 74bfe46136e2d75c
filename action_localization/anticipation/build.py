"""Make an anticipator: `python -m action_localization.anticipation.build ANNOTATIONS… -o FOLDER`; it resumes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from action_localization.anticipation.anticipator import Anticipator, learn_anticipator, save_anticipator
from action_localization.anticipation.evaluate import LongTerm, best_balance, choosing, long_term_row, next_actions
from action_localization.anticipation.movements import is_motion_set, read_movements
from action_localization.anticipation.network import ActionModel, ModelConfig, ModelPredictor
from action_localization.anticipation.prior import fit_prior, learn_prior, mixture_weights
from action_localization.anticipation.rollout import Predictor, Search
from action_localization.anticipation.sequences import SequenceSet, read_sequences, together
from action_localization.anticipation.training import ModelTraining, train_model
from laban.errors import LabanError

HELD_OUT = 0.1
SEARCHES = tuple(Search(48, t, s, 24) for t, s in ((0.9, 0.6), (0.75, 0.55), (0.6, 0.5)))
CHOOSING_WINDOWS = 12
"""How futures are chosen is tried on so many windows, with the prior alone: the network takes ten times as long."""


@dataclass(frozen=True)
class Building:
    """What is built of what: the network sees all but a tenth of the videos, on which everything else is chosen."""

    folder: Path
    run: Path | None = None
    steps: int = 1200
    dropout: float = 0.3
    seed: int = 0
    about: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Chosen:
    """What the held-out videos said: likelihoods in nats of each part and of both, and the ED of each search."""

    anticipator: Anticipator
    held: int
    nll: dict[str, float]
    searches: dict[str, float]
    balance: float


def read_training(paths: Sequence[Path]) -> SequenceSet:
    """The training videos of all files over one vocabulary: those of splits called train or training, where there are
    splits at all."""
    sets = []
    for path in paths:
        found = read_movements(path) if is_motion_set(path) else read_sequences(path)
        splits = {one.split.lower() for one in found.sequences}
        wanted = [name for name in ("training", "train") if name in splits]
        sets.append(found.part(*wanted) if wanted else found if splits == {""} else _refused(path, splits))
    merged = together(sets[0], sets[1:])
    sequences = tuple(one for part in merged for one in part.sequences)
    return replace(merged[0], name=" + ".join(part.name for part in merged), sequences=sequences)


def _refused(path: Path, splits: set[str]) -> SequenceSet:
    raise LabanError(f"{path}: its splits are {', '.join(sorted(splits))}; accepted: a training part")


def choose(training: SequenceSet, building: Building, *, quiet: bool = False) -> Chosen | None:
    """Learn and choose everything on training videos alone; None when the network's training has to go on first."""
    rest, held = training.held_out(HELD_OUT, building.seed)
    arrays, apart = ([one.array for one in part.sequences] for part in (rest, held))
    settings = fit_prior(training.vocabulary, arrays, apart)
    prior = learn_prior(training.vocabulary, arrays, settings)
    network: ActionModel | None = None
    if building.run is not None:
        model = ModelConfig(dropout=building.dropout)
        job = ModelTraining(building.run, building.steps, seed=building.seed, model=model)
        network = train_model(training.vocabulary, arrays, job, quiet=quiet)
        if network is None:
            return None
    parts: list[Predictor] = [prior] if network is None else [prior, ModelPredictor(network)]
    found = [next_actions(part, held) for part in parts]
    known = found[0].truth >= 0
    truth: Int64[ndarray, " _"] = found[0].truth[known]
    given = np.stack([one.probabilities[known, truth].astype(np.float64) for one in found], 1)
    weights, both = mixture_weights(given)
    nll = {
        name: float(-np.log(np.maximum(column, 1e-12)).mean())
        for name, column in zip(("prior", "network"), given.T, strict=False)
    }
    nll["mixture"] = -both
    mixed = np.asarray(sum(float(w) * one.probabilities for w, one in zip(weights, found, strict=True)))
    balance = best_balance(replace(found[0], probabilities=mixed), prior.base)
    searches = _searches(prior, held)
    best = min(searches, key=lambda search: searches[search]) if searches else Search()
    whole = learn_anticipator(training, settings=settings)
    weight = 0.0 if network is None else float(weights[1])
    said = {f"T {s.temperature:g}, sharp {s.sharp:g}": value for s, value in searches.items()}
    return Chosen(replace(whole, network=network, weight=weight, search=best), len(held.sequences), nll, said, balance)


def _searches(predictor: Predictor, held: SequenceSet) -> dict[Search, float]:
    """Mean of the three ED@Z of every search on some windows of the held-out videos; nothing where they are short."""
    protocol = LongTerm()
    try:
        windows = protocol.windows(held)
    except LabanError:
        return {}
    windows = windows.every(max(1, len(windows) // CHOOSING_WINDOWS))
    found = {}
    for search in SEARCHES:
        row = long_term_row("", choosing(predictor, protocol, search), windows, predictor.vocabulary)
        found[search] = float(np.mean([row.figures[f"ED@20 {level}"].value for level in ("verb", "noun", "action")]))
    return found


def card(chosen: Chosen, building: Building, training: SequenceSet, command: str) -> str:
    """The model card."""
    found = chosen.anticipator
    network = found.network
    size = 0 if network is None else sum(p.numel() for p in network.parameters())
    kind = "interpolated n-gram with caches" + (f" and a causal network of {size:,} weights" if network else "")
    settings = found.prior.settings
    nll = ", ".join(f"{name} {value:.3f}" for name, value in chosen.nll.items())
    searches = "; ".join(f"{name}: {value:.3f}" for name, value in chosen.searches.items()) or "default"
    return f"""# Anticipator: {building.folder.name}

{building.about or "What comes after a sequence of actions."}

- **What it is**: {kind} over {len(found.vocabulary)} actions ({len(found.vocabulary.verbs)} verbs,
  {len(found.vocabulary.nouns)} nouns); no pixels, only labels.
- **Learnt from**: {training.name}: {len(training.sequences)} training videos,
  {sum(len(one.actions) for one in training.sequences):,} actions. Order, half-lives, weights and temperatures were
  chosen on {chosen.held} of the videos, which a network has not seen; evaluation files have no part in it.
- **Command**: `{command}`.
- **Licence**: {building.licence or "as the annotations."} The files hold counts and weights, no annotation as such.
- **Chosen**: n-gram of order {settings.order}, half-lives {settings.half_life:g} and
  {settings.object_half_life:g}, weights {", ".join(f"{w:.3f}" for w in settings.weights)} (n-gram, repeated actions,
  repeated objects), network {found.weight:.3f}.
- **On the held-out training videos**: NLL in nats a next action: {nll}. Mean ED@20 by search: {searches}.
  Logit adjustment for class-mean recall: {chosen.balance:g}.
- **Figures**: `python benchmarks/anticipation.py`.
- **Weak at**: anything that was not annotated there; labels of other kinds are parsed by words alone.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="folder of the network's resumable run; without it, a prior alone")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--about", default="")
    parser.add_argument("--licence", default="")
    asked = parser.parse_args(arguments)
    building = Building(asked.output, asked.run, asked.steps, asked.dropout, asked.seed, asked.about, asked.licence)
    training = read_training(asked.annotations)
    chosen = choose(training, building)
    if chosen is None:
        print(f"time is up; call again to go on with {asked.run}")
        return
    files = " ".join(path.name for path in asked.annotations)
    network = f" --run RUN --steps {asked.steps} --dropout {asked.dropout:g}" if asked.run else ""
    command = f"python -m action_localization.anticipation.build {files} -o {asked.output.name}{network}"
    digest = save_anticipator(asked.output, chosen.anticipator, card(chosen, building, training, command),
                              balance=chosen.balance, held_out_nll=chosen.nll)  # fmt: skip
    print(f"wrote {asked.output} ({digest[:12]}); held-out NLL {chosen.nll}; searches {chosen.searches}; "
          f"balance {chosen.balance}")  # fmt: skip


if __name__ == "__main__":
    main()
