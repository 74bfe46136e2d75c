"""Train the judge: `python -m motion.judge.train --data DATASET --run RUN`; it resumes by itself.

Once embedded it stays frozen: every figure ever printed rests on these weights, and loading checks their SHA-256.
"""

from __future__ import annotations

from models.motion_text.augment import Augmentation
from models.motion_text.learning import BatchPlan
from models.motion_text.network import Sizes
from models.motion_text.train import Recipe, run_recipe
from models.training import TrainConfig
from motion.judge.network import JudgeNetwork

CARD = """# judge: what scores generated motion

Temporal convolutions and a bidirectional GRU over 22-joint features (133 columns, 20 fps, 4 frames a
token), a GRU over the token features of `text_student`; contrastive, with an action classifier and one
classifier for each of the five body parts, which sees that part's columns alone. Frozen: `config.json`
holds the SHA-256 of the weights, checked on load.

It differs in seed and architecture from `motion_text`, and nothing that makes, chooses or trains motion
imports it: use it to measure, never to guide, filter or tune, or the measurement is worth nothing.

- Data: real clips only, the `train` split of the project's motion capture set: Bandai Namco Research (CC
  BY-NC 4.0), CMU, DeepMimic (MIT; its Sony clips CC BY-NC 4.0), animator-keyed CC0 clips, UTKinect-Action3D
  and MSR Action3D (no licence stated, research use; low weight). **Because of these parts the weights are
  for research and other non-commercial use.**
- CMU: the data used in this project was obtained from mocap.cs.cmu.edu. The database was created with
  funding from NSF EIA-0196217.
- Train again: `python -m motion.judge.train --data DATASET --run RUN` (DATASET from `laban data build`); it
  would be another judge, with figures of its own.

## Measured

Not yet: run `python -m benchmarks.encoders --write`.

## Weaknesses

It forgives joint jitter and sliding feet (it was trained with noise): read the kinematic measures beside
it. 77 of the 109 actions have fewer than six takes and 35 a single one, which is in training: for those it
can only say whether a motion is like that take. Part heads of uninvolved parts (the head in a golf swing)
guess from posture.
"""

JUDGE = Recipe(
    name="judge", build=JudgeNetwork, sizes=Sizes(width=192, layers=6),
    plan=BatchPlan(size=80, seed=20471, balance=0.4, augmentation=Augmentation(size=0.08, build=0.06)),
    train=TrainConfig(steps=600, lr=1e-3, warmup=60, weight_decay=0.02, ema=0.99, seed=20471, accelerator="cpu",
                      save_minutes=2.0, log_every=25),
    class_weight=0.5, part_weight=0.1, card=CARD,
)  # fmt: skip

if __name__ == "__main__":
    run_recipe(JUDGE)
