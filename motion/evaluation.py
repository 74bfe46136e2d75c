"""The protocol that measures text-to-motion: which clips, which rows beside the generator's, which figures.

Read by the judge (`motion.judge`), never by what it measures. Every row sees the same texts and lengths: `real` (the
clips themselves: calibration), `generated`, `retrieval` (the training clip whose text is nearest), `action oracle` (a
random training clip of the right coarse action) and `random pairing`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.data.dataset import ClipRecord, MotionDataset
from models.motion import Motion
from models.motion_text.examples import SEQUENCE, Example, read_examples
from models.motion_text.features import features_of
from models.representation import joints as joint_features
from motion import metrics
from motion.judge.judge import Judge

PROTOCOL = "laban-t2m-1"
REAL = "real"
FPS = joint_features.FPS
LONGEST = 200
"""Frames: the middle 10 s of a longer clip stand for it."""
SHORTEST = 20
REFERENCES = 60
"""Captured clips of an action that its kinematic reference is averaged over, at most."""
NEIGHBOURS = 8
"""Nearest training clips, by the judge, among which the nearest in pose is sought."""

Features = Float[ndarray, "_ 133"]
GenerateFunction = Callable[[list[str], list[float], str, int], list[Motion]]
"""(texts, seconds, checkpoint, seed) -> motions of one actor."""


@dataclass(frozen=True)
class Item:
    """One text with the real clip that goes with it."""

    id: str
    action: str
    text: str
    features: Features
    known: bool
    """Whether the clip is training data of the generators (single takes)."""


@dataclass(frozen=True)
class ItemSet:
    """Items to measure on, in words and in order; `balanced` draws one clip of each action for R-precision."""

    name: str
    about: str
    items: tuple[Item, ...]
    balanced: bool = False

    @property
    def actions(self) -> list[str]:
        """The wanted action of every item."""
        return [item.action for item in self.items]

    @property
    def texts(self) -> list[str]:
        """The text of every item."""
        return [item.text for item in self.items]


@dataclass(frozen=True)
class Row:
    """Figures of one source of motion on one item set."""

    set: str
    name: str
    clips: int
    figures: dict[str, metrics.Estimate | float]
    kinematics: dict[str, dict[str, metrics.Ratio]]


@dataclass(frozen=True)
class Report:
    """Everything an evaluation says, with what it takes to repeat it."""

    protocol: str
    judge: str
    seeds: tuple[int, ...]
    sets: dict[str, str]
    rows: tuple[Row, ...]
    training_clips: int

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries."""
        return asdict(self)


# ------------------------------------------------------------------------------------------------------------- items


def item_sets(examples: Sequence[Example], *, seed: int = 0) -> list[ItemSet]:
    """`test` (no depth-camera clips), `test+kinect` (all of them) and `balanced` (>= 40 actions, one clip each a draw).

    The balanced set joins val, test and the clips that are their action's only take; those are in training, for the
    judge too, so its `real` row is flattered.
    """
    whole = [e for e in examples if len(e.features) >= SHORTEST]
    test = [e for e in whole if e.record.split == "test"]
    clean = [e for e in test if not _noisy(e.record)]
    held = [e for e in whole if e.record.split != "train" and not _noisy(e.record)]
    single = [e for e in single_takes(whole) if e.action not in {h.action for h in held}]
    return [
        _item_set("test", "test clips without the depth-camera ones", clean, seed),
        _item_set("test+kinect", "all test clips; the generators never saw depth-camera clips", test, seed),
        _item_set("balanced", "val, test and single-take clips, one of each action a draw",
                  [e for e in held + single if e.action != SEQUENCE], seed, balanced=True),
    ]  # fmt: skip


def single_takes(examples: Sequence[Example]) -> list[Example]:
    """Whole training clips (not noisy) that are the only such clip of their action."""
    whole = [e for e in examples if e.action == e.record.action and e.start == 0 and not _noisy(e.record)]
    count = Counter(e.action for e in whole)
    return [e for e in whole if count[e.action] == 1 and e.record.split == "train"]


def _item_set(name: str, about: str, examples: Sequence[Example], seed: int, *, balanced: bool = False) -> ItemSet:
    rng = np.random.default_rng(seed)
    items = [
        Item(f"{e.record.id}@{e.start:g}", e.action, str(rng.choice(e.texts)), middle(e.features.numpy()),
             e.record.split == "train")
        for e in examples
    ]  # fmt: skip
    return ItemSet(name, about, tuple(items), balanced)


def middle(features: Features, frames: int = LONGEST) -> Features:
    """At most `frames` rows from the middle of a clip."""
    first = max(0, (len(features) - frames) // 2)
    return features[first : first + frames]


def _noisy(record: ClipRecord) -> bool:
    return "noisy" in record.flags or "spikes" in record.flags


# -------------------------------------------------------------------------------------------------------------- bank


@dataclass(frozen=True)
class Bank:
    """The training clips that generated motion may have copied, as the judge sees them, and captured references."""

    examples: tuple[Example, ...]
    embeddings: Float[ndarray, "clips dim"]
    captured: dict[str, list[dict[str, float]]]


def build_bank(examples: Sequence[Example], judge: Judge, *, seed: int = 0) -> Bank:
    """Training clips without depth-camera ones, and the kinematics of captured clips of every split by action."""
    train = [e for e in examples if e.record.split == "train" and not _noisy(e.record) and len(e.features) >= SHORTEST]
    embeddings = judge.embed_motion([middle(e.features.numpy()) for e in train])
    return Bank(tuple(train), embeddings, captured_kinematics(examples, seed=seed))


def captured_kinematics(examples: Sequence[Example], *, seed: int = 0) -> dict[str, list[dict[str, float]]]:
    """Kinematics of at most 60 captured clips (not noisy, not hand-keyed) of each action."""
    rng = np.random.default_rng(seed)
    groups: dict[str, list[Example]] = {}
    for e in examples:
        if not _noisy(e.record) and "hand_animated" not in e.record.flags and len(e.features) >= SHORTEST:
            groups.setdefault(e.action, []).append(e)
    picked = {action: rng.permutation(len(group))[:REFERENCES] for action, group in groups.items()}
    return {action: [clip_kinematics(middle(groups[action][i].features.numpy())) for i in rows]
            for action, rows in picked.items()}  # fmt: skip


def clip_kinematics(features: Features) -> dict[str, float]:
    """`metrics.kinematics` of the joints that features decode to."""
    return metrics.kinematics(joint_features.decode(features.astype(np.float64)), FPS)


# -------------------------------------------------------------------------------------------------------------- rows


def baselines(items: ItemSet, bank: Bank, text_encoder: Any, *, seed: int = 0) -> dict[str, list[Features]]:
    """Motions of the rows that need no generator; each cut to the real clip's length where it is longer."""
    rng = np.random.default_rng(seed)
    actions = np.array([e.action for e in bank.examples])
    found = nearest_by_text(items.texts, [e.texts for e in bank.examples], text_encoder, rng)
    oracle = [int(rng.choice(np.flatnonzero(actions == action) if action in actions else len(actions)))
              for action in items.actions]  # fmt: skip
    picks: dict[str, list[int]] = {"retrieval": found, "action oracle": oracle,
                                   "random pairing": rng.integers(len(actions), size=len(oracle)).tolist()}  # fmt: skip
    rows = {REAL: [item.features for item in items.items]}
    for name, chosen in picks.items():
        rows[name] = [middle(bank.examples[int(i)].features.numpy(), len(item.features))
                      for i, item in zip(chosen, items.items, strict=True)]  # fmt: skip
    return rows


def nearest_by_text(
    texts: Sequence[str], bank: Sequence[Sequence[str]], text_encoder: Any, rng: np.random.Generator
) -> list[int]:
    """For each text the entry with the most similar sentence vector; equals are drawn from at random."""
    wordings = sorted({text for own in bank for text in own})
    owners: dict[str, list[int]] = {}
    for index, own in enumerate(bank):
        for text in own:
            owners.setdefault(text, []).append(index)
    similarity = _sentences(texts, text_encoder) @ _sentences(wordings, text_encoder).T
    return [int(rng.choice(owners[wordings[best]])) for best in similarity.argmax(1)]


def _sentences(texts: Sequence[str], text_encoder: Any, batch: int = 256) -> Float[ndarray, "texts dim"]:
    parts = [text_encoder.encode(list(texts[i : i + batch])).sentence for i in range(0, len(texts), batch)]
    return np.concatenate([part.numpy() for part in parts])


def generated_features(items: ItemSet, checkpoint: str, generate: GenerateFunction, *, seed: int = 0) -> list[Features]:
    """One generated clip for each item, as long as its real clip."""
    seconds = [len(item.features) / FPS for item in items.items]
    motions = generate(items.texts, seconds, checkpoint, seed)
    if len(motions) != len(seconds):
        raise LabanError(f"checkpoint {checkpoint}: gave {len(motions)} motions for {len(seconds)} texts")
    return [features_of(motion)[0] for motion in motions]


def measure(
    name: str, clips: Sequence[Features], items: ItemSet, judge: Judge, bank: Bank, *, seed: int = 0,
    real: Float[ndarray, "items dim"] | None = None,
) -> Row:  # fmt: skip
    """All figures of one row: the same texts, read from `clips` in the items' order.

    `real` is the judge's embedding of the items' own clips, where it is at hand.
    """
    motion, text = judge.embed_motion(clips), judge.embed_text(items.texts)
    precision = metrics.balanced_r_precision if items.balanced else metrics.r_precision
    found = precision(motion, text, items.texts, items.actions, seed=seed)
    figures: dict[str, metrics.Estimate | float] = {}
    for top in metrics.TOPS:
        figures |= {f"R@{top} macro": found.macro[top]} if items.balanced else {
            f"R@{top} micro": found.micro[top], f"R@{top} macro": found.macro[top]}  # fmt: skip
    classed = [i for i, action in enumerate(items.actions) if action != SEQUENCE]
    predicted = judge.predict([clips[i] for i in classed])
    micro, macro = metrics.accuracy(predicted, [items.actions[i] for i in classed])
    real = judge.embed_motion([item.features for item in items.items]) if real is None else real
    gap, spread = metrics.kid(motion, real, seed=seed) if name != REAL else metrics.kid_of_halves(real, seed=seed)
    figures |= {
        "accuracy micro": micro, "accuracy macro": macro, "matching": metrics.matching_distance(motion, text),
        "diversity": metrics.diversity(motion), "KID x1000": gap, "KID sd": spread, **copying(clips, motion, bank),
    }  # fmt: skip
    values = [clip_kinematics(clip) for clip in clips]
    return Row(items.name, name, len(clips), figures, metrics.kinematic_ratios(values, items.actions, bank.captured))


def copying(clips: Sequence[Features], motion: Float[ndarray, "clips dim"], bank: Bank) -> dict[str, float]:
    """Medians of the distance to the nearest training clip: in the judge's space, and in pose (cm a joint)."""
    index, distance = metrics.nearest(motion, bank.embeddings, NEIGHBOURS)
    poses: dict[int, ndarray] = {}

    def pose(i: int) -> ndarray:
        if i not in poses:
            poses[i] = _poses(bank.examples[i].features.numpy())
        return poses[i]

    gaps = [min(metrics.pose_distance(_poses(clip), pose(int(i)), stride=4) for i in row)
            for clip, row in zip(clips, index, strict=True)]  # fmt: skip
    return {"nearest (judge)": float(np.median(distance[:, 0])), "nearest pose cm": 100 * float(np.median(gaps))}


def _poses(features: Features) -> Float[ndarray, "_ 22 3"]:
    return metrics.local_poses(joint_features.decode(features.astype(np.float64))).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------ report


def evaluate_generation(
    data: Path, judge: Judge, generate: GenerateFunction, *, checkpoints: Sequence[str] = ("research", "open"),
    sets: Sequence[str] = ("test", "test+kinect", "balanced"), seeds: Sequence[int] = (0,), samples: int = 0,
) -> Report:  # fmt: skip
    """Measure checkpoints beside the baselines on the item sets; several seeds give one generated row each.

    `samples` > 1 adds multimodality: that many samples of each of the first 32 distinct texts.
    """
    examples, _ = read_examples(MotionDataset.open(data))
    chosen = [items for items in item_sets(examples) if items.name in sets]
    bank = build_bank(examples, judge)
    rows = []
    for items in chosen:
        motions = baselines(items, bank, judge.text)
        for checkpoint in checkpoints:
            for seed in seeds:
                label = f"generated: {checkpoint}" + (f" (seed {seed})" if len(seeds) > 1 else "")
                motions[label] = generated_features(items, checkpoint, generate, seed=10_000 * seed)
        real = judge.embed_motion(motions[REAL])
        rows += [measure(name, clips, items, judge, bank, real=real) for name, clips in motions.items()]
    if samples > 1 and chosen:
        rows += [multimodality(chosen[0], judge, checkpoint, generate, samples) for checkpoint in checkpoints]
    about = {
        items.name: f"{items.about}: n = {len(items.items)}, {len(set(items.actions))} actions" for items in chosen
    }
    return Report(PROTOCOL, str(judge.config["sha256"]), tuple(seeds), about, tuple(rows), len(bank.examples))


def multimodality(items: ItemSet, judge: Judge, checkpoint: str, generate: GenerateFunction, samples: int) -> Row:
    """Spread of several samples of one text, over the first 32 distinct texts of a set."""
    texts = list(dict.fromkeys(items.texts))[:32]
    repeated = [text for text in texts for _ in range(samples)]
    motions = generate(repeated, [4.0] * len(repeated), checkpoint, 77)
    vectors = judge.embed_motion([features_of(motion)[0] for motion in motions])
    spread = metrics.multimodality(vectors.reshape(len(texts), samples, -1))
    return Row(items.name, f"{samples} samples a text: {checkpoint}", len(repeated), {"multimodality": spread}, {})


@dataclass(frozen=True)
class Paraphrased:
    """How many generations of each paraphrase the judge took for the wanted action."""

    checkpoint: str
    judge: str
    seeds: int
    seconds: float
    right: metrics.Estimate
    by_text: tuple[tuple[str, str, int, str], ...]
    """(text, wanted action, right out of `seeds`, what it was mostly taken for)."""
    real: metrics.Estimate
    """The judge on real clips of the same actions, training takes included: what it can tell at all."""

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries."""
        return asdict(self)


def evaluate_paraphrases(
    pairs: Sequence[tuple[str, str]], judge: Judge, generate: GenerateFunction, examples: Sequence[Example], *,
    checkpoint: str = "research", seeds: int = 4, seconds: float = 4.0,
) -> Paraphrased:  # fmt: skip
    """Generate every (text, action) `seeds` times; right is when the judge's likeliest action is the wanted one."""
    texts = [text for text, _ in pairs for _ in range(seeds)]
    wanted = [action for _, action in pairs for _ in range(seeds)]
    motions = generate(texts, [seconds] * len(texts), checkpoint, 0)
    predicted = judge.predict([features_of(motion)[0] for motion in motions])
    right, _ = metrics.accuracy(predicted, wanted)
    rows = []
    for k, (text, action) in enumerate(pairs):
        own = predicted[k * seeds : (k + 1) * seeds]
        rows.append((text, action, own.count(action), Counter(own).most_common(1)[0][0]))
    actions = {action for _, action in pairs}
    real = [e for e in examples if e.action in actions and not _noisy(e.record) and len(e.features) >= SHORTEST]
    taken = judge.predict([middle(e.features.numpy()) for e in real])
    _, calibration = metrics.accuracy(taken, [e.action for e in real])
    return Paraphrased(checkpoint, str(judge.config["sha256"]), seeds, seconds, right, tuple(rows), calibration)
