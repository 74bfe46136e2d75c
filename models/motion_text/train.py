"""Train the motion-text encoder: `python -m models.motion_text.train --data DATASET --run RUN`; it resumes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from laban.weights import EMBEDDED, save_weights
from models.data.dataset import MotionDataset
from models.motion_text.augment import Augmentation
from models.motion_text.encoder import MotionTextEncoder
from models.motion_text.examples import Example, read_examples, text_table
from models.motion_text.known import gather_known
from models.motion_text.learning import BatchPlan, batch_maker, every_wording, learning_loss
from models.motion_text.network import MotionText, Sizes
from models.text.encoder import load_text_encoder
from models.training import TrainConfig, fit

TEXT_ENCODER = "embedded"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is learned; kept in the checkpoint's config."""

    name: str
    build: Callable[[Sizes], Any]
    sizes: Sizes
    plan: BatchPlan
    train: TrainConfig
    class_weight: float
    part_weight: float
    card: str
    known: int = 0
    """Training captions of each action to keep, for sentences in other words (`models.motion_text.known`)."""


CARD = """# motion_text: motion and text on one sphere

A transformer over 22-joint features (133 columns, 20 fps, 4 frames a token) and a small transformer over
the token features of `text_student`, trained contrastively (TMR-like), with an action classifier. 256
dimensions, unit length.

For retrieval, re-ranking, and as the feature extractor of action localization. Generated motion is
*measured* by `judge`, another network, never by this one.

- Data: the `train` split of the project's motion capture set: Bandai Namco Research (CC BY-NC 4.0), CMU,
  DeepMimic (MIT; its Sony clips CC BY-NC 4.0), animator-keyed CC0 clips, UTKinect-Action3D and MSR Action3D
  (no licence stated, research use; low weight). **Because of these parts the weights are for research and
  other non-commercial use.**
- CMU: the data used in this project was obtained from mocap.cs.cmu.edu. The database was created with
  funding from NSF EIA-0196217.
- Train again: `laban train motion-text --dataset DATASET --run RUN` (DATASET from `laban data
  build`).
- Captions: the records' own texts and sentences made by `models.text.captions`; pairs that may both be true
  are left out of the contrast (`models.motion_text.examples.may_agree`).

## Measured

Not yet: run `python -m benchmarks.encoders --write`.

## Weaknesses

Most of the training set is one studio's walking, running, arm raising and waving; 77 of the 109 actions
have fewer than six takes, 35 a single one. One body shape. Sentences far from the templates are understood
only through the captions nearest to them (`models.motion_text.known`), as well as the small text student
can tell. Styles (elderly, proud ...) are known from three actors.
"""

ENCODER = Recipe(
    name="motion_text", build=MotionText, sizes=Sizes(width=192, layers=4, text_layers=2, heads=4),
    plan=BatchPlan(size=80, seed=11, augmentation=Augmentation(still=0.1, jitter=0.015, build=0.15)),
    train=TrainConfig(steps=600, lr=1e-3, warmup=60, weight_decay=0.02, ema=0.99, seed=11, accelerator="cpu",
                      save_minutes=2.0, log_every=25),
    class_weight=0.3, part_weight=0.0, card=CARD, known=32,
)  # fmt: skip


def learn(recipe: Recipe, data: Path, run: Path, *, minutes: float | None = None) -> str | None:
    """Train on the `train` split (or go on), and write the checkpoint into `run`/checkpoint once all steps are done.

    Returns the SHA-256 of the weights, or None when the time was up before.
    """
    examples, actions = read_examples(MotionDataset.open(data))
    train = [example for example in examples if example.record.split == "train"]
    text = load_text_encoder(TEXT_ENCODER)
    torch.manual_seed(recipe.train.seed)
    sizes = replace(recipe.sizes, actions=len(actions))
    network = recipe.build(sizes)
    network.motion.normalise.set(torch.cat([example.features for example in train]))
    batches = batch_maker(train, actions, text_table(every_wording(train), text), recipe.plan)
    loss = learning_loss(recipe.class_weight, recipe.part_weight)
    trained = fit(network, loss, batches, recipe.train, run, minutes=minutes)
    if not _finished(run, recipe.train.steps):
        return None
    config = {
        "kind": recipe.name, "sizes": asdict(sizes), "actions": actions, "text_encoder": TEXT_ENCODER,
        "text_name": text.name, "recipe": {"plan": asdict(recipe.plan), "train": asdict(recipe.train),
        "class_weight": recipe.class_weight, "part_weight": recipe.part_weight}, "clips": _counts(train),
    }  # fmt: skip
    tensors = dict(trained.state_dict())
    if recipe.known:
        encoder = MotionTextEncoder(trained, text, tuple(actions), config)
        motion = torch.from_numpy(encoder.embed_motion([example.features.numpy() for example in train]))
        tensors |= gather_known(train, motion, text, most=recipe.known).tensors()
    return save_weights(run / "checkpoint", tensors, config, recipe.card)


def _finished(run: Path, steps: int) -> bool:
    return int(torch.load(run / "last.ckpt", map_location="cpu", weights_only=True)["global_step"]) >= steps


def _counts(examples: list[Example]) -> dict[str, int]:
    sources = sorted({example.record.source for example in examples})
    return {source: sum(example.record.source == source for example in examples) for source in sources}


def run_recipe(recipe: Recipe) -> None:
    """Command line of a recipe."""
    parser = argparse.ArgumentParser(description=f"Train {recipe.name}; a run that was interrupted goes on.")
    parser.add_argument("--data", type=Path, required=True, help="dataset folder made by `laban data build`")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, help="stop after this time; call again to go on")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (0: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    digest = learn(recipe, options.data, options.run, minutes=options.minutes)
    print(f"{recipe.name}: {digest or 'time is up, call again to go on'}")
    if digest:
        print(f"to embed it: cp -r {options.run}/checkpoint {EMBEDDED / recipe.name}")


if __name__ == "__main__":
    run_recipe(ENCODER)
