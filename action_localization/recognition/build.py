"""Train the recogniser: `python -m action_localization.recognition.build --data DATASET --run RUN -o FOLDER`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from action_localization.open_vocabulary.labels import sentence_of
from action_localization.recognition.checkpoint import bank_rows, save_recogniser
from action_localization.recognition.clips import trimmed_clips
from action_localization.recognition.regions import body_regions
from action_localization.recognition.training import LabelledRegions, UnitsConfig, fit_units
from laban.errors import LabanError
from models.data.dataset import MotionDataset
from models.motion_text.encoder import load_motion_text

MOST = 40
"""Clips of an action, at most."""

CARD = """# recognize: trimmed clips of motion by text

Attentive Semantic Units (after Chen et al., ICCV 2023): six regions of the body and the whole of it, each read by the
frozen `motion_text` encoder, attend to a bank of {units} units of text (motions, body parts, objects, scenes), and meet
labels as sentences. About 0.1 M weights; read by `laban recognize`.

- Trained on {clips} clips ({actions} actions, at most {most} of each) of the `train` split of the project's motion
  capture set. The licence terms are those of `motion_text`: research, non-commercial.
- Again: `python -m action_localization.recognition.build --data DATASET --run RUN -o FOLDER`.

## Measured

{figures}

## Weaknesses

{weak}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m action_localization.recognition.build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder made by `laban data build`")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--output", "-o", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--figures", type=Path, help="text that goes under Measured in the model card")
    parser.add_argument("--weak", type=Path, help="text that goes under Weaknesses")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    encoder = load_motion_text()
    clips = trimmed_clips(MotionDataset.open(options.data), "train", most=MOST)
    actions = sorted({clip.action for clip in clips})
    sentences = [sentence_of(action) for action in actions]
    label = np.array([actions.index(clip.action) for clip in clips])
    data = LabelledRegions(
        body_regions(encoder, [clip.features for clip in clips]), label, encoder.embed_text(sentences)
    )
    bank = bank_rows(encoder)
    network = fit_units(data, bank, UnitsConfig(), options.run, seed=0, quiet=False)
    said = {name: path.read_text("utf-8").strip() if path else "Not yet: `python benchmarks/recognition.py`."
            for name, path in (("figures", options.figures), ("weak", options.weak))}  # fmt: skip
    card = CARD.format(units=len(bank), clips=len(clips), actions=len(actions), most=MOST, **said)
    print(f"wrote {options.output} ({save_recogniser(options.output, network, sentences, card)[:12]})")


if __name__ == "__main__":
    try:
        main()
    except LabanError as error:
        raise SystemExit(f"laban: {error}") from None
