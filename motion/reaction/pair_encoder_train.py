"""Train the encoder of pairs: `python -m motion.reaction.pair_encoder_train --data DATASET --run RUN`; it resumes.

Four networks, each on the takes outside of its fold, in minutes on one core. What it prints is measured on the fold's
own takes: how well captured windows are told from each kind of spoilt ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from laban.weights import save_weights
from models.data.dataset import MotionDataset
from models.data.pairs import FOLDS, mocap_pairs
from models.resample import resample
from models.training import TrainConfig, fit
from motion.reaction.measures import contact_points
from motion.reaction.pair_encoder import (
    CHECKPOINT,
    FPS,
    SPOILT,
    WINDOW,
    PairNetwork,
    mirrored_points,
    numbers,
)

BATCH = 64
WIDTH, EMBEDDING = 64, 64
TRAIN = TrainConfig(steps=800, lr=2e-3, warmup=60, weight_decay=0.05, ema=0.99, seed=7, accelerator="cpu",
                    precision="32-true", save_minutes=2.0, log_every=100)  # fmt: skip

Take = Float[Tensor, "2 2 frames 24 3"]
"""(repaired, raw) x people x frames x points, at 20 fps."""


@dataclass(frozen=True)
class Windows:
    """Windows of two people with how each was spoilt (a number in `SPOILT`)."""

    points: Float[Tensor, "batch 2 40 24 3"]
    kind: Int[Tensor, " batch"]


def read_takes(dataset: MotionDataset) -> list[Take]:
    """Points of all takes, with hands brought together and as they were."""
    sets = [mocap_pairs(dataset, repaired=repaired) for repaired in (True, False)]
    return [torch.stack([numbers(contact_points(resample(pair.motion, FPS))) for pair in both])
            for both in zip(*sets, strict=True)]  # fmt: skip


def batches(takes: Sequence[Take], size: int = BATCH, seed: int = 0) -> Callable[[int], Windows]:
    """step -> batch: a third is captured, the rest is spoilt in equal shares; roles and sides are drawn."""

    def draw(step: int) -> Windows:
        rng = np.random.default_rng([seed, step])
        kinds = rng.choice(len(SPOILT), size, p=[1 / 3] + [2 / 3 / (len(SPOILT) - 1)] * (len(SPOILT) - 1))
        points = torch.stack([spoilt(takes, int(kind), rng) for kind in kinds])
        return Windows(points, torch.from_numpy(kinds))

    return draw


def spoilt(takes: Sequence[Take], kind: int, rng: np.random.Generator) -> Float[Tensor, "2 40 24 3"]:
    """A random window, spoilt in one of the ways of `SPOILT`."""
    take = takes[int(rng.integers(len(takes)))]
    last = take.shape[2] - WINDOW
    start, name = int(rng.integers(last + 1)), SPOILT[kind]
    source = take[1 if name == "let go" else 0]
    if name == "let go":  # only where hands are held does it make a difference
        moved = (take[0] - take[1]).abs().amax((0, 2, 3)) > 0.02
        held = moved.unfold(0, WINDOW, 1).float().mean(1) > 0.3
        if held.any():
            start = int(rng.choice(np.flatnonzero(held.numpy())))
    order = [0, 1] if rng.random() < 0.5 else [1, 0]
    window = source[order, start : start + WINDOW].clone()
    if name in _WAYS:
        window[1] = _WAYS[name](window[1], rng)
    elif name.startswith("another"):
        other = take if name == "another moment" else takes[int(rng.integers(len(takes)))]
        place = int(rng.integers(other.shape[2] - WINDOW + 1))
        if name == "another moment":  # up to four seconds off, at least two thirds of one
            shifts = [s for s in (start - rng.integers(14, 80), start + rng.integers(14, 80)) if 0 <= s <= last]
            place = int(rng.choice(shifts)) if shifts else place
        window[1] = _put(other[0, order[1], place : place + WINDOW], window[1], exact=rng.random() < 0.7)
    return mirrored_points(window) if rng.random() < 0.5 else window


def _put(points: Tensor, where: Tensor, *, exact: bool) -> Tensor:
    """One person moved and turned to where another is in the middle of the window; or left alone."""
    if not exact:
        return points
    middle, here = WINDOW // 2, points[WINDOW // 2, 0] * torch.tensor([1.0, 0.0, 1.0])
    there = where[middle, 0] * torch.tensor([1.0, 0.0, 1.0])
    return _spun(points - here, _yaw(where[middle]) - _yaw(points[middle])) + there


def _yaw(joints: Float[Tensor, "24 3"]) -> float:
    across = joints[1] - joints[2] + joints[16] - joints[17]
    return float(torch.atan2(-across[2], across[0]))


def _spun(points: Tensor, angle: float) -> Tensor:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = points.unbind(-1)
    return torch.stack([cos * x + sin * z, y, -sin * x + cos * z], -1)


def _moved(person: Tensor, rng: np.random.Generator) -> Tensor:
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.6)
    return person + torch.tensor([far * np.sin(angle), 0.0, far * np.cos(angle)], dtype=person.dtype)


def _turned(person: Tensor, rng: np.random.Generator) -> Tensor:
    centre = person[:, :1] * torch.tensor([1.0, 0.0, 1.0])
    return _spun(person - centre, rng.choice((-1.0, 1.0)) * rng.uniform(0.4, np.pi)) + centre


def _mirrored(person: Tensor, rng: np.random.Generator) -> Tensor:
    """Left and right exchanged about the person's own middle."""
    middle = WINDOW // 2
    centre, yaw = person[middle, :1] * torch.tensor([1.0, 0.0, 1.0]), _yaw(person[middle])
    return _spun(mirrored_points(_spun(person - centre, -yaw)), yaw) + centre


def _frozen(person: Tensor, rng: np.random.Generator) -> Tensor:
    """The pose of one moment carried along the pelvis' way, or standing."""
    still = person[rng.integers(WINDOW)]
    way = person[:, :1] if rng.random() < 0.5 else person[WINDOW // 2, :1].expand(WINDOW, 1, 3)
    return still - still[:1] + way


def _trembling(person: Tensor, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(rng.normal(size=(WINDOW, person.shape[1], 3))).to(person)
    if rng.random() < 0.5:  # slow errors as well as jitter
        noise = torch.stack([noise, noise.roll(1, 0), noise.roll(2, 0), noise.roll(3, 0)]).mean(0) * 2
    return person + noise * rng.uniform(0.015, 0.06)


_WAYS: Mapping[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "moved": _moved, "turned": _turned, "mirrored": _mirrored, "frozen": _frozen, "trembling": _trembling,
}  # fmt: skip


def loss(network: PairNetwork, batch: Windows, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy of the kinds; a little noise keeps the network from knowing takes by heart."""
    noise = torch.randn(batch.points.shape, generator=generator) * 0.004
    lift = torch.randn((len(batch.points), 1, 1, 1, 1), generator=generator) * 0.02
    logits = network(batch.points + noise + lift * torch.tensor([0.0, 1.0, 0.0]))
    entropy = functional.cross_entropy(logits, batch.kind, label_smoothing=0.05)
    right = (logits.detach().argmax(-1) == batch.kind).float().mean()
    return {"loss": entropy, "right": right}


@torch.inference_mode()
def told_apart(network: PairNetwork, takes: Sequence[Take], *, each: int = 200, seed: int = 1) -> dict[str, float]:
    """For each kind of spoilt window the area under the ROC curve against captured ones, of `each` windows apiece."""
    rng = np.random.default_rng(seed)
    scores = [
        network(torch.stack([spoilt(takes, kind, rng) for _ in range(each)])).softmax(-1)[:, 0]
        for kind in range(len(SPOILT))
    ]
    return {name: float((scores[0][:, None] > scores[kind]).float().mean()) for kind, name in enumerate(SPOILT) if kind}


def train_pair_encoder(
    data: str | Path, run: str | Path, output: str | Path, *, config: TrainConfig = TRAIN, quiet: bool = False
) -> dict[int, dict[str, float]]:
    """Train the networks of all folds, write the checkpoint; returns what each makes of its own fold's windows."""
    takes = read_takes(MotionDataset.open(data))
    tensors: dict[str, Tensor] = {}
    measured: dict[int, dict[str, float]] = {}
    for fold in range(FOLDS):
        seen = [take for number, take in enumerate(takes) if number % FOLDS != fold]
        torch.manual_seed(config.seed)
        network = PairNetwork(WIDTH, EMBEDDING)
        network = fit(network, loss, batches(seen, seed=fold), config, Path(run) / f"fold{fold}", progress=not quiet)
        tensors |= {f"fold{fold}.{key}": value for key, value in network.state_dict().items()}
        measured[fold] = told_apart(network, takes[fold::FOLDS])
    settings = {"width": WIDTH, "embedding": EMBEDDING, "train": asdict(config), "measured": measured}
    save_weights(output, tensors, settings, card(measured))
    return measured


def card(measured: Mapping[int, Mapping[str, float]]) -> str:
    """The model card."""
    rows = "\n".join(
        f"| {name} | " + " | ".join(f"{measured[fold][name]:.3f}" for fold in measured) + " |" for name in SPOILT[1:]
    )
    return f"""# {CHECKPOINT}: what the KID of reactions is measured in

Temporal convolutions over 2 s of two people (22 joints and two palms each, 20 fps, in the first person's frame), an
embedding of {EMBEDDING} numbers. One network for each of four folds of the 14 two-person takes (CMU subjects 60 and 61,
salsa); that of a fold has not seen the fold's takes. Trained to tell captured windows from spoilt ones. Nothing that
makes motion uses it.

- Data: CMU motion capture alone. The data used in this project was obtained from mocap.cs.cmu.edu. The database was
  created with funding from NSF EIA-0196217.
- Train again: `python -m motion.reaction.pair_encoder_train --data DATASET --run RUN`.

## Measured

Area under the ROC curve, captured against spoilt windows of the takes held out (200 of each kind):

| spoilt | {" | ".join(f"fold {fold}" for fold in measured)} |
|---|{"---|" * len(measured)}
{rows}

## Weaknesses

It knows one dance of one couple: of other things that two people do its distances say little.
"""


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--run", type=Path, default=Path("runs/pair-encoder"))
    parser.add_argument("--output", type=Path, default=Path("checkpoints") / CHECKPOINT)
    arguments = parser.parse_args()
    for fold, scores in train_pair_encoder(arguments.data, arguments.run, arguments.output).items():
        print(f"fold {fold}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


if __name__ == "__main__":
    main()
