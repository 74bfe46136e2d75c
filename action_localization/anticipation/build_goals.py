"""Make an anticipator's goal recogniser: `python -m action_localization.anticipation.build_goals`; it resumes."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from action_localization.anticipation.anticipator import GOALS, load_anticipator
from action_localization.anticipation.build import read_training
from action_localization.anticipation.chains import TaskChains, learn_chains
from action_localization.anticipation.goal_training import FRACTIONS, NETWORKS, STEPS, Learnt, learn_recogniser
from action_localization.anticipation.recogniser import save_recogniser
from action_localization.anticipation.sequences import SequenceSet
from laban.errors import LabanError
from laban.files import atomic_path
from laban.weights import find_weights


def same_training(training: SequenceSet, chains: TaskChains, where: str) -> SequenceSet:
    """The training videos in the anticipator's words; LabanError where its chains were learnt from other videos."""
    found = training.over(chains.vocabulary)
    own = learn_chains(found)
    same = np.array_equal(own.videos, chains.videos) and np.array_equal(own.counts, chains.counts)
    if own.tasks != chains.tasks or not same:
        raise LabanError(f"{where}: was not learnt from these {len(found.sequences)} training videos; accepted: the "
                         "annotations that its card names")  # fmt: skip
    return found


def name_recogniser(anticipator: Path, recogniser: Path) -> None:
    """Have an anticipator's configuration name its recogniser, a folder beside it."""
    if recogniser.resolve().parent != anticipator.resolve().parent:
        raise LabanError(f"-o {recogniser}: accepted: a folder beside the anticipator, in {anticipator.parent}")
    path = anticipator / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config[GOALS] = recogniser.name
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n")


def card(learnt: Learnt, training: SequenceSet, anticipator: str, command: str, about: tuple[str, str]) -> str:
    """The model card; `about` are licence and measured figures."""
    found = learnt.recogniser
    weights = sum(p.numel() for network in found.networks for p in network.parameters())
    rows = {name: " / ".join(f"{100 * one:.1f}" for one in right) for name, right in learnt.right.items()}
    parts = " / ".join(f"{100 * one:.0f}" for one in FRACTIONS)
    licence, figures = about
    steps, tasks = len(found.chains.vocabulary), len(found.chains.tasks)
    return f"""# Goal recogniser of {anticipator}

Which task somebody is at, from the steps seen so far: `laban anticipate --goal infer`, `laban plan` without `--task`.

- **What it is**: {len(found.networks)} GRNet-like networks (Chiari et al., ICAPS 2023: embedding, LSTM, attention;
  {weights:,} weights together), averaged, from steps to the probability of each of {steps} steps and {tasks} tasks
  being done at the end; tasks are scored by these and by the n-gram chains of `{anticipator}`. Vocabulary and chains
  are that checkpoint's (the configuration holds their digest); no pixels, only labels.
- **Learnt from**: {training.name}: {len(training.sequences)} training videos, the same as `{anticipator}`'s.
  No test part was read.
- **Command**: `{command}` (the training resumes).
- **Licence**: {licence or "as the annotations."} The files hold weights and shares, no annotation as such.
- **Chosen** on {learnt.held} of the training videos, which those networks and chains had not seen:
  {found.belief}; then learnt again from all. Right there after {parts} % of a video:
  {rows["belief"]} per cent; chains alone: {rows["chains"]}.
- **Figures**: {figures or "none were measured."}
- **Weak at**: a task that is none of the {tasks} is always taken for one of them; two names of the same task (of
  several data sets) share the probability; after one or two steps that many tasks have it guesses; probabilities are
  not calibrated; recognised instead of annotated steps were not measured.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, nargs="+", help="the files that the anticipator was made from")
    parser.add_argument("--anticipator", required=True, help="embedded name or folder; its config will name the output")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder beside the anticipator's")
    parser.add_argument("--run", type=Path, required=True, help="folder of the resumable trainings")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--licence", default="")
    parser.add_argument("--figures", default="", help="what was measured, for the card")
    asked = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    chains = load_anticipator(asked.anticipator).chains
    if chains is None:
        raise LabanError(f"{asked.anticipator}: knows no tasks; accepted: an anticipator of annotations with tasks")
    folder = find_weights(asked.anticipator)
    training = same_training(read_training(asked.annotations), chains, asked.anticipator)
    learnt = learn_recogniser(training, chains, asked.run, steps=asked.steps, networks=asked.networks, quiet=False)
    files = " ".join(path.name for path in asked.annotations)
    command = (f"python -m action_localization.anticipation.build_goals {files} --anticipator {folder.name} "
               f"-o {asked.output.name} --run RUN --steps {asked.steps} --networks {asked.networks}")  # fmt: skip
    text = card(learnt, training, folder.name, command, (asked.licence, asked.figures))
    digest = save_recogniser(asked.output, learnt.recogniser, text, anticipator=folder.name, held_out=learnt.right)
    name_recogniser(folder, asked.output)
    print(f"wrote {asked.output} ({digest[:12]}), named in {folder}; {learnt.recogniser.belief}; held-out "
          f"{learnt.right}")  # fmt: skip


if __name__ == "__main__":
    main()
