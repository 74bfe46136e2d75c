"""Actions in real video: 20 streams spliced from real clips and single clips, each without its source in training.

    python benchmarks/detect_real.py CLIPS --dataset runs/data/mocap --weights runs/checkpoints/detect [--json FILE]

CLIPS holds the files that `action_localization/pose/data/real_clips.json` names; their labels and times are ours,
checked by eye. Streams and folds are fixed in `action_localization.pose.real_streams`. Rows: the detector fine-tuned
on the other folds' sources; the one trained on motion capture and procedural motion alone (`--weights`); a classifier
of whole clips (logistic regression on means and deviations of the same features, the same folds), over sliding windows,
over whole streams, and told the true boundaries; and the most frequent class. Fine-tuned folds are kept in `--run`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

from action_localization.detect import over_the_whole
from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.pose.checkpoint import best_thresholds
from action_localization.pose.detector import PoseDetector, detect_entries, load_pose_detector
from action_localization.pose.features import EXTRACTOR, entry_grid
from action_localization.pose.real import SEEN, RealClip, files_of, marked_stretches, read_real_clips
from action_localization.pose.real_streams import FROM_MOTION, measured, real_streams, source_folds
from action_localization.pose.real_train import SETTINGS, finetuned, training_clips
from action_localization.pose.streams import Clip, Stream, mirrored
from action_localization.pose.training import motion_clips, stream_entries
from action_localization.spine.nms import Candidates, SoftNMS, suppress
from laban.progress import progress
from laban.timeline import Segment, Timeline
from models.data.dataset import MotionDataset
from models.features import Features
from models.video.blazepose import PoseNetworks

PROTOCOL = "thumos14"
TIOU = 0.5
ALONE = "without real video"
"""The row of the detector that motion capture and procedural motion taught."""
WINDOWS = (12, 24, 48, 96)
"""Entries (0.1 s) of the sliding windows of the whole-clip classifier."""

Detect = Callable[[ndarray, float], Timeline]
"""Entries of a person and the seconds they last -> every candidate."""


@dataclass(frozen=True)
class Setting:
    """What is measured: the clips that serve, the folds over their sources, and (fold, stream) pairs."""

    everything: list[RealClip]
    clips: list[RealClip]
    folds: list[frozenset[str]]
    streams: list[tuple[int, Stream]]

    @property
    def classes(self) -> list[str]:
        return sorted({clip.label for clip in self.clips if clip.label is not None})

    def fold_of(self, clip: RealClip) -> int:
        return next(k for k, sources in enumerate(self.folds) if clip.source in sources)

    def others(self, fold: int) -> list[RealClip]:
        """Every clip, also of classes that are not measured, whose source is not in a fold."""
        return [clip for clip in self.everything if clip.source not in self.folds[fold]]


class WholeClip:
    """Multinomial logistic regression on the mean and deviation of a clip's entries."""

    def __init__(self, clips: Sequence[RealClip], classes: Sequence[str], penalty: float = 0.02) -> None:
        self.classes = list(classes)
        chosen = [clip for clip in training_clips(clips) if clip.label in self.classes]
        rows = [
            (summary(entries(c)), self.classes.index(c.label or "")) for clip in chosen for c in (clip, mirrored(clip))
        ]
        x = np.stack([row for row, _ in rows])
        y = torch.tensor([label for _, label in rows])
        self.mean, self.scale = x.mean(0), x.std(0) + 0.05
        inputs = torch.tensor((x - self.mean) / self.scale)
        weight = 1 / torch.bincount(y, minlength=len(self.classes)).clamp(min=1)[y]
        self.weights = torch.zeros(x.shape[1], len(self.classes), requires_grad=True)
        self.bias = torch.zeros(len(self.classes), requires_grad=True)
        optimiser = torch.optim.LBFGS([self.weights, self.bias], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            each = F.cross_entropy(inputs @ self.weights + self.bias, y, reduction="none")
            total = (each * weight).sum() / weight.sum() + penalty * self.weights.square().sum()
            total.backward()
            return total

        optimiser.step(loss)

    def __call__(self, values: ndarray) -> ndarray:
        """The chance of each class."""
        inputs = torch.tensor((summary(values) - self.mean) / self.scale)
        with torch.no_grad():
            return (inputs @ self.weights + self.bias).softmax(-1).numpy()


def summary(values: ndarray) -> ndarray:
    return np.concatenate([values.mean(0), values.std(0)]).astype(np.float32)


def entries(clip: Clip) -> ndarray:
    assert clip.confidence is not None and clip.observed is not None
    return stream_entries(Stream(clip.joints, clip.confidence, clip.observed, Timeline(), True))


def network_detections(detector: PoseDetector) -> Detect:
    """The detector as a function."""

    def detect(values: ndarray, seconds: float) -> Timeline:
        grid = entry_grid(round(seconds * 20))
        return detect_entries(detector, Features(values, grid, EXTRACTOR), duration=seconds)

    return detect


def window_detections(model: WholeClip) -> Detect:
    """The whole-clip classifier on sliding windows of four lengths, joined by the detector's suppression."""

    def detect(values: ndarray, seconds: float) -> Timeline:
        spans, chances = [], []
        for length in WINDOWS:
            for start in range(0, max(len(values) - length, 0) + 1, max(length // 4, 1)):
                spans.append((start, min(start + length, len(values))))
                chances.append(model(values[start : start + length]))
        start, end = np.array(spans, np.float32).T
        score = np.array(chances, np.float32)
        count = len(model.classes)
        found = Candidates(
            np.repeat(start, count), np.repeat(end, count), score.reshape(-1),
            np.tile(np.arange(count, dtype=np.int64), len(start)),
        )  # fmt: skip
        kept = suppress(found, SoftNMS(keep=200), span=len(values))
        rows = zip(kept.start.tolist(), kept.end.tolist(), kept.label.tolist(), kept.score.tolist(), strict=True)
        return timeline(((a / 10, b / 10, model.classes[k], s) for a, b, k, s in rows), seconds)

    return detect


def timeline(rows: Any, seconds: float) -> Timeline:
    cut = ((max(a, 0.0), min(b, seconds), label, score) for a, b, label, score in rows)
    return Timeline(tuple(Segment(a, b, label, score=s) for a, b, label, s in cut if b > a), seconds)


# ------------------------------------------------------------------------------------------------------------ rows


def stream_scores(setting: Setting, detect: Sequence[Detect], repeats: int) -> dict[str, Any]:
    """Macro mAP over the streams, each read by its fold's function, with an interval over streams drawn again."""
    return scored(*read_streams(setting, detect), repeats)


def read_streams(setting: Setting, detect: Sequence[Detect]) -> tuple[dict[str, Timeline], dict[str, Timeline]]:
    """Truths and candidates of every stream by name."""
    truth, found = {}, {}
    for number, (fold, stream) in enumerate(setting.streams):
        truth[f"{number:02d}"] = stream.truth
        found[f"{number:02d}"] = detect[fold](stream_entries(stream), stream.truth.duration)
    return truth, found


def scored(truth: dict[str, Timeline], found: dict[str, Timeline], repeats: int) -> dict[str, Any]:
    scores = evaluate_detection(truth, found, PROTOCOL)
    at = int(np.flatnonzero(np.isclose(scores.tious, TIOU))[0])
    drawn = bootstrap_detection(truth, found, PROTOCOL, repeats=repeats)[:, at]
    low, high = np.percentile(drawn, [2.5, 97.5])
    per_class = dict(zip(scores.classes, scores.ap[at].round(4).tolist(), strict=True))
    both = [ap for label, ap in per_class.items() if label not in FROM_MOTION]
    return {
        "map": round(scores.at(TIOU), 4), "interval": [round(float(low), 4), round(float(high), 4)],
        "map_other_sources": round(float(np.mean(both)), 4), "map@0.3": round(scores.at(0.3), 4),
        "map@0.7": round(scores.at(0.7), 4), "ap": per_class,
    }  # fmt: skip


def baseline_rows(setting: Setting, models: Sequence[WholeClip], repeats: int) -> dict[str, Any]:
    """The whole-clip classifier over sliding windows, over whole streams, and told the true boundaries."""
    truth, whole, told = {}, {}, {}
    for number, (fold, stream) in enumerate(setting.streams):
        name, values, seconds = f"{number:02d}", stream_entries(stream), stream.truth.duration
        truth[name] = stream.truth
        model = models[fold]
        whole[name] = timeline(
            ((0.0, seconds, label, s) for label, s in zip(model.classes, model(values).tolist(), strict=True)), seconds
        )
        rows = []
        for one in stream.truth.segments:
            chance = model(values[int(one.start * 10) : max(int(one.end * 10), int(one.start * 10) + 2)])
            rows += [(one.start, one.end, label, s) for label, s in zip(model.classes, chance.tolist(), strict=True)]
        told[name] = timeline(rows, seconds)
    return {
        "whole-clip classifier, sliding windows": stream_scores(
            setting, [window_detections(m) for m in models], repeats
        ),
        "whole-clip classifier, whole streams": scored(truth, whole, repeats),
        "whole-clip classifier, told the boundaries": scored(truth, told, repeats),
    }


def single_scores(setting: Setting, rank: Callable[[RealClip, ndarray], Sequence[str]]) -> dict[str, Any]:
    """Share of single clips with the right label first, and among the first two; macro over classes."""
    first: dict[str, list[bool]] = {}
    second: dict[str, list[bool]] = {}
    wrong = []
    for clip in setting.clips:
        if clip.label is None:
            continue
        names = list(rank(clip, entries(clip.clip)))
        first.setdefault(clip.label, []).append(clip.label in names[:1])
        second.setdefault(clip.label, []).append(clip.label in names[:2])
        if clip.label not in names[:2]:
            wrong.append(f"{clip.stretch.name}: {clip.label} read as {', '.join(names[:2]) or 'nothing'}")
    return {
        "top1": round(float(np.mean([np.mean(hits) for hits in first.values()])), 4),
        "top2": round(float(np.mean([np.mean(hits) for hits in second.values()])), 4),
        "top2_other_sources": round(
            float(np.mean([np.mean(hits) for label, hits in second.items() if label not in FROM_MOTION])), 4
        ),
        "per_class_top2": {label: [sum(hits), len(hits)] for label, hits in sorted(second.items())},
        "wrong": wrong,
    }  # fmt: skip


def ranked_by(setting: Setting, detect: Sequence[Detect]) -> Callable[[RealClip, ndarray], list[str]]:
    def rank(clip: RealClip, values: ndarray) -> list[str]:
        found = over_the_whole(detect[setting.fold_of(clip)](values, len(clip.clip.joints) / 20))
        return list(found)

    return rank


def ranked_by_model(setting: Setting, models: Sequence[WholeClip]) -> Callable[[RealClip, ndarray], list[str]]:
    def rank(clip: RealClip, values: ndarray) -> list[str]:
        model = models[setting.fold_of(clip)]
        return [model.classes[k] for k in np.argsort(-model(values))]

    return rank


def ranked_by_count(setting: Setting) -> Callable[[RealClip, ndarray], list[str]]:
    def rank(clip: RealClip, values: ndarray) -> list[str]:
        others = Counter(c.label for c in setting.others(setting.fold_of(clip)) if c.label is not None)
        return [label for label, _ in others.most_common() if label is not None]

    return rank


# ----------------------------------------------------------------------------------------------------------- report


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every row."""
    with progress("pose of the real clips", files_of(marked_stretches()), quiet=bool(options.json)) as advance:
        everything = read_real_clips(options.clips, kept=options.kept, networks=PoseNetworks(1), advance=advance)
    clips = measured(everything)
    folds = source_folds(clips)
    setting = Setting(everything, clips, folds, real_streams(clips, folds))
    models = [WholeClip(setting.others(k), taught(setting, k)) for k in range(len(folds))]
    base = load_pose_detector(options.weights)
    alone = [network_detections(base)] * len(folds)
    rows: dict[str, Any] = {"streams": {}, "single": {}}
    rows["streams"] |= baseline_rows(setting, models, options.repeats)
    rows["streams"][ALONE] = stream_scores(setting, alone, options.repeats)
    rows["single"]["most frequent class"] = single_scores(setting, ranked_by_count(setting))
    rows["single"]["whole-clip classifier"] = single_scores(setting, ranked_by_model(setting, models))
    rows["single"][ALONE] = single_scores(setting, ranked_by(setting, alone))
    if not options.skip_tuning:
        tuned = [network_detections(detector) for detector in fold_detectors(setting, base, options)]
        truth, found = read_streams(setting, tuned)
        rows["streams"]["fine-tuned on other sources"] = scored(truth, found, options.repeats)
        rows["thresholds"] = best_thresholds(truth, found)
        rows["single"]["fine-tuned on other sources"] = single_scores(setting, ranked_by(setting, tuned))
    return {"setting": described(setting), **rows}


def taught(setting: Setting, fold: int) -> list[str]:
    """The classes of which a fold's training has a clip."""
    return sorted({c.label for c in setting.others(fold) if c.label is not None and c.seen >= SEEN})


def fold_detectors(setting: Setting, base: PoseDetector, options: argparse.Namespace) -> list[PoseDetector]:
    dataset = MotionDataset.open(options.dataset)
    motion = motion_clips(dataset)
    result = []
    with progress("fine-tuning, folds", len(setting.folds), quiet=bool(options.json)) as advance:
        for fold in range(len(setting.folds)):
            run = options.run / f"fold{fold}"
            network = finetuned(base.network, setting.others(fold), motion, run, quiet=True)
            result.append(PoseDetector(network.eval(), {}, {}))
            advance(1)
    return result


def described(setting: Setting) -> dict[str, Any]:
    segments = Counter(one.label for _, stream in setting.streams for one in stream.truth.segments)
    kept = {clip.stretch for clip in setting.clips}
    seen = {clip.stretch: clip.seen for clip in setting.everything}
    return {
        "device": "cpu", "streams": len(setting.streams), "folds": len(setting.folds), "steps": SETTINGS.steps,
        "seconds": round(sum(stream.truth.duration for _, stream in setting.streams)),
        "segments": dict(sorted(segments.items())),
        "sources": {c: len({x.source for x in setting.clips if x.label == c}) for c in setting.classes},
        "clips": {c: sum(x.label == c for x in setting.clips) for c in setting.classes},
        "from_motion_capture": [c for c in setting.classes if c in FROM_MOTION],
        "left_out": [f"{s.name}: {s.label} ({s.source}; seen {seen.get(s, 0.0):.0%})" for s in marked_stretches()
                     if s.label is not None and s not in kept],
    }  # fmt: skip


def report(result: dict[str, Any]) -> str:
    about = result["setting"]
    lines = [
        f"{about['streams']} streams ({about['seconds']} s, {sum(about['segments'].values())} actions of "
        f"{len(about['segments'])} classes) from real clips; {about['folds']} folds over sources; cpu",
        f"tested without real video of the class, which has one source: {', '.join(about['from_motion_capture'])}",
        "",
        "| streams | mAP@0.5 | 95 % over streams | classes of several sources | @0.3 | @0.7 |",
        "|---|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for name, row in result["streams"].items():
        low, high = row["interval"]
        cells = [f"{100 * value:.1f}" for value in (row["map_other_sources"], row["map@0.3"], row["map@0.7"])]
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        lines.append(f"| {name} | {100 * row['map']:.1f} | {interval} | {' | '.join(cells)} |")
    last = list(result["streams"])[-1]
    lines += ["", f"| class | sources | segments | AP@0.5, {last} | {ALONE} |", "|---|--:|--:|--:|--:|"]
    for label, count in about["segments"].items():
        aps = [100 * result["streams"][row]["ap"][label] for row in (last, ALONE)]
        lines.append(f"| {label} | {about['sources'][label]} | {count} | {aps[0]:.1f} | {aps[1]:.1f} |")
    total = sum(about["clips"].values())
    lines += [
        "",
        f"| {total} single clips, macro over classes | first | first two | classes of several sources |",
        "|---|--:|--:|--:|",
    ]
    for name, row in result["single"].items():
        lines.append(
            f"| {name} | {100 * row['top1']:.1f} | {100 * row['top2']:.1f} | {100 * row['top2_other_sources']:.1f} |"
        )
    final = result["single"][list(result["single"])[-1]]
    lines += [
        "",
        "right among the first two, by class: "
        + ", ".join(f"{label} {hit}/{n}" for label, (hit, n) in final["per_class_top2"].items()),
    ]
    lines += ["wrong:", *(f"  {line}" for line in final["wrong"])]
    lines += [
        "left out (the person is seen in less than half, or no other source):",
        *(f"  {x}" for x in about["left_out"]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of the annotated clips")
    parser.add_argument("--dataset", type=Path, default=Path("runs/data/mocap"), help="motion set for the fine-tuning")
    parser.add_argument("--weights", default="runs/checkpoints/detect", help="checkpoint that has seen no real video")
    parser.add_argument(
        "--kept", type=Path, default=Path("runs/detect/real"), help="folder of what the pose networks saw"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/detect/folds"), help="folder of the fine-tuned folds")
    parser.add_argument("--repeats", type=int, default=500, help="draws of the interval")
    parser.add_argument("--skip-tuning", action="store_true", help="only the rows without fine-tuning")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(options)
    print(report(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
