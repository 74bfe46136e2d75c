"""Few-shot recognition of trimmed clips: K training clips of each action, measured on the test clips of those actions.

    python benchmarks/recognition.py --data runs/data/mocap [--full] [--json FILE]

All rows read the same frozen encoder (`motion_text`), which was itself trained on the training split, so this says how
well few examples are used and not how unseen actions fare. Rows: the encoder's own zero-shot answer, the nearest class
mean and a linear probe on its embedding, the probe on all regions of the body, and Attentive Semantic Units. Their
settings were chosen on validation clips. `--full` measures the shipped recogniser on val and test instead, `--views`
the ways of recognising people in video, on validation clips through simulated cameras.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from action_localization.detect import over_the_whole
from action_localization.open_vocabulary.labels import checked_labels, sentence_of
from action_localization.pose.classes import names as detector_classes
from action_localization.pose.detector import detect_person, load_pose_detector
from action_localization.pose.observe import observe
from action_localization.recognition.checkpoint import bank_rows, load_recogniser, with_classifier
from action_localization.recognition.clips import TrimmedClip, trimmed_clips
from action_localization.recognition.network import label_scores
from action_localization.recognition.recognize import label_chances
from action_localization.recognition.regions import body_regions
from action_localization.recognition.training import LabelledRegions, UnitsConfig, fit_units
from laban.progress import progress
from models.data.dataset import MotionDataset
from models.motion_text.encoder import load_motion_text
from models.representation import joints as joint_columns

SHOTS, SEEDS, MOST, LEAST = (2, 4, 8, 16), 5, 40, 16
PENALTY = 0.1
"""Of the linear probes (ridge regression to one-hot labels)."""
STEPS = 60
"""Of the units, for few clips."""
REPEATS = 1000


@dataclass(frozen=True)
class Part:
    """Clips of a split as regions and labels."""

    regions: ndarray
    label: ndarray


def read_part(data: Path, split: str, cache: Path) -> tuple[Part, list[str]]:
    """(regions and actions) of a split, kept in `cache`; labels are indices of the sorted actions."""
    path = cache / f"{split}.npz"
    if not path.is_file():
        clips: list[TrimmedClip] = trimmed_clips(
            MotionDataset.open(data), split, most=MOST if split == "train" else None
        )
        regions = body_regions(load_motion_text(), [clip.features for clip in clips])
        cache.mkdir(parents=True, exist_ok=True)
        known = {} if split == "train" else {"classes": load_motion_text().classify([clip.features for clip in clips])}
        np.savez(path, regions=regions, actions=np.array([clip.action for clip in clips]), **known)
    with np.load(path, allow_pickle=False) as stored:
        actions = [str(action) for action in stored["actions"]]
        names = sorted(set(actions))
        return Part(stored["regions"], np.array([names.index(action) for action in actions])), names


def probe(train: ndarray, label: ndarray, count: int) -> Callable[[ndarray], ndarray]:
    """Ridge regression from rows to one-hot labels; each class weighs alike."""
    weight = 1 / np.sqrt(np.bincount(label, minlength=count)[label])[:, None]
    rows = np.concatenate([train, np.ones((len(train), 1))], 1) * weight
    wanted = np.eye(count)[label] * weight
    solved = np.linalg.solve(rows.T @ rows + PENALTY * np.eye(rows.shape[1]), rows.T @ wanted)
    return lambda x: np.concatenate([x, np.ones((len(x), 1))], 1) @ solved


def rows_of(train: Part, test: Part, texts: ndarray, bank: ndarray, *, seed: int) -> dict[str, ndarray]:
    """What each row answers for the test clips."""
    count, whole = len(texts), test.regions[:, 0]
    means = np.stack([train.regions[train.label == one, 0].mean(0) for one in range(count)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    flat = [part.regions.reshape(len(part.label), -1) for part in (train, test)]
    config = UnitsConfig()
    config = replace(config, training=replace(config.training, steps=STEPS, warmup=STEPS // 10))
    with tempfile.TemporaryDirectory() as folder:
        network = fit_units(LabelledRegions(train.regions, train.label, texts), bank, config, Path(folder), seed=seed)
    return {
        "zero-shot": (whole @ texts.T).argmax(1),
        "nearest class mean": (whole @ means.T).argmax(1),
        "linear probe": probe(train.regions[:, 0], train.label, count)(whole).argmax(1),
        "linear probe, all regions": probe(flat[0], train.label, count)(flat[1]).argmax(1),
        "semantic units": label_scores(network, test.regions, texts).argmax(1),
    }


def interval(right: ndarray, label: ndarray) -> tuple[float, float, float, float, float]:
    """(accuracy, low, high, mean over actions, its half-width) of (seeds, clips): clips are drawn again, 95 %."""
    rng = np.random.default_rng(0)
    per_clip = right.mean(0)
    drawn, macro = [], []
    for _ in range(REPEATS):
        pick = rng.integers(len(label), size=len(label))
        drawn.append(per_clip[pick].mean())
        macro.append(np.mean([per_clip[pick][label[pick] == one].mean() for one in np.unique(label[pick])]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    means = float(np.mean([per_clip[label == one].mean() for one in np.unique(label)]))
    spread = np.quantile(macro, (0.025, 0.975))
    return float(per_clip.mean()), float(low), float(high), means, float(spread[1] - spread[0]) / 2


def few_shot(data: Path, cache: Path, split: str) -> dict[str, object]:
    """The table of K shots, several seeds each."""
    (train, names), (test, found) = read_part(data, "train", cache), read_part(data, split, cache)
    many = Counter(train.label.tolist())
    classes = [name for name in names if many[names.index(name)] >= LEAST and name in found]
    encoder = load_motion_text()
    texts, bank = encoder.embed_text([sentence_of(name) for name in classes]), bank_rows(encoder)
    chosen = np.isin(test.label, [found.index(name) for name in classes])
    number = np.array([classes.index(found[label]) for label in test.label[chosen]])
    measured = Part(test.regions[chosen], number)
    print(f"{split}: {len(number)} clips of {len(classes)} actions: {', '.join(classes)}")
    table: dict[str, object] = {"clips": len(number), "actions": classes, "seeds": SEEDS, "split": split}
    with progress("few shots", len(SHOTS) * SEEDS) as advance:
        for shots in SHOTS:
            right: dict[str, list[ndarray]] = {}
            for seed in range(SEEDS):
                rng = np.random.default_rng((seed, shots))
                rows = [rng.choice(np.flatnonzero(train.label == names.index(name)), shots, replace=False)
                        for name in classes]  # fmt: skip
                part = Part(train.regions[np.concatenate(rows)], np.repeat(np.arange(len(classes)), shots))
                for name, answer in rows_of(part, measured, texts, bank, seed=seed).items():
                    right.setdefault(name, []).append(answer == number)
                advance(1)
            for name, hits in right.items():
                accuracy, low, high, macro, half = interval(np.stack(hits), number)
                spread = np.std([one.mean() for one in hits])
                print(f"K={shots:2d}  {name:26} {accuracy:.3f} [{low:.3f}, {high:.3f}]  ±{spread:.3f} over seeds  "
                      f"mean over actions {macro:.3f} ±{half:.3f}", flush=True)  # fmt: skip
                table[f"{shots} {name}"] = [accuracy, low, high, float(spread), macro, half]
    return table


def full(data: Path, cache: Path) -> dict[str, object]:
    """The shipped recogniser among all actions of its training, beside the encoder alone."""
    own, result = load_recogniser(), {}
    _, names = read_part(data, "train", cache)
    sentences = [sentence_of(name) for name in names]
    for split in ("val", "test"):
        part, found = read_part(data, split, cache)
        kept = np.array([found[label] in names for label in part.label])
        label = np.array([names.index(found[one]) for one in part.label[kept]])
        rows = {"encoder alone, zero-shot": 0.0, "half of each": 0.5, "units": 1.0}
        answers = {row: own.region_chances(part.regions[kept], sentences, trust=trust).argmax(1)
                   for row, trust in rows.items()}  # fmt: skip
        place = [own.encoder.actions.index(name) for name in names]
        with np.load(cache / f"{split}.npz", allow_pickle=False) as stored:
            classes = stored["classes"][kept][:, place]
        answers["encoder's classifier (closed)"] = classes.argmax(1)
        units = own.region_chances(part.regions[kept], sentences)
        answers["laban recognize"] = with_classifier(units, classes).argmax(1)
        for row, answer in answers.items():
            figures = interval((answer == label)[None], label)
            print(f"{split}: {len(label)} clips, {len(set(label))} of {len(names)} actions  {row:30} {figures[0]:.3f} "
                  f"[{figures[1]:.3f}, {figures[2]:.3f}]  mean over actions {figures[3]:.3f} "
                  f"±{figures[4]:.3f}")  # fmt: skip
            result[f"{split} {row}"] = list(figures)
    return result


def views(data: Path, cache: Path) -> dict[str, object]:
    """Validation clips as a camera and a pose network would see them: which way people in video are recognised."""
    own, detector, known, rows = load_recogniser(), load_pose_detector(), detector_classes(), []
    path, clips = cache / "views.npz", trimmed_clips(MotionDataset.open(data), "val")
    if not path.is_file():
        for number, clip in enumerate(clips):
            rng = np.random.default_rng([7, number])
            joints, confidence, observed = observe(joint_columns.decode(clip.features), rng)
            found = over_the_whole(detect_person(detector, joints, confidence, observed, 20.0))
            rows.append((joint_columns.encode(joints.astype(np.float64)), [found.get(name, 0.0) for name in known]))
        np.savez(path, regions=body_regions(own.encoder, [row for row, _ in rows]), classes=[c for _, c in rows])
    with np.load(path, allow_pickle=False) as stored:
        regions, classes = stored["regions"], stored["classes"]
    labels = checked_labels(read_part(data, "train", cache)[1])
    truth = np.array([labels.names.index(clip.action) for clip in clips])
    sentences = [labels.sentences[name] for name in labels.names]
    carried = [label_chances(dict(zip(known, row.tolist(), strict=True)), labels, own.encoder).argmax()
               for row in classes]  # fmt: skip
    answers = {"encoder alone, zero-shot": own.region_chances(regions, sentences, trust=0.0).argmax(1),
               "units": own.region_chances(regions, sentences, trust=1.0).argmax(1),
               "the detector's classes, by text": np.array(carried)}  # fmt: skip
    result: dict[str, object] = {}
    for row, answer in answers.items():
        result[row] = figures = interval((answer == truth)[None], truth)
        print(f"val through cameras: {len(truth)} clips  {row:32} {figures[0]:.3f} [{figures[1]:.3f}, "
              f"{figures[2]:.3f}]  mean over actions {figures[3]:.3f} ±{figures[4]:.3f}")  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--cache", type=Path, default=Path("runs/recognition"), help="folder of the clips' regions")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--full", action="store_true", help="the shipped recogniser on val and test")
    parser.add_argument("--views", action="store_true", help="val clips through simulated cameras")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.full or options.views:
        found = (full if options.full else views)(options.data, options.cache)
    else:
        found = few_shot(options.data, options.cache, options.split)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
