"""Actions in motion and in simulated video of it: the trained detector beside a classifier on sliding windows.

    python benchmarks/detect_streams.py --dataset runs/data/mocap [--checkpoint detect] [--json FILE]

Streams of 60 to 90 s are spliced from clips of the test split, all classes drawn alike
(`action_localization.pose.mocap.measured_streams`), and read twice: as motion files, and through simulated cameras.
Takes in which several actions follow one another are read whole, as they were captured. The baseline is trained here on
the same streams (`--baseline-steps`, kept in `--baseline`), and its windows are joined by the same suppression.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.pose.checkpoint import matched, stream_features
from action_localization.pose.classes import names
from action_localization.pose.detector import detect_entries, load_pose_detector, shown
from action_localization.pose.features import WIDTH
from action_localization.pose.mocap import measured_streams, read_clips, read_takes
from action_localization.pose.streams import Pool, Stream
from action_localization.pose.training import MixConfig, StreamBatches, StreamSource
from action_localization.spine.batches import Batch
from action_localization.spine.nms import Candidates, SoftNMS, suppress
from action_localization.spine.points import to_seconds
from laban.timeline import Segment, Timeline
from models.data.dataset import MotionDataset
from models.features import Features
from models.training import TrainConfig, fit

PROTOCOL = "thumos14"
WINDOW = 16
"""Entries of a window at each scale; a scale averages 1, 2, 4 or 8 entries: windows of 1.6, 3.2, 6.4 and 12.8 s."""
SCALES = (1, 2, 4, 8)
HOP = 4
NMS = SoftNMS(keep=200)


class WindowClassifier(nn.Module):
    """A small convolutional classifier of windows: every class, and background last; one network for all scales."""

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(a, width, 5, padding=2) for a in (WIDTH, width, width))
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, len(names()) + 1))

    def forward(self, windows: Float[Tensor, "n 16 217"]) -> Float[Tensor, "n outputs"]:
        """Class logits of windows that see nothing of what is around them."""
        x = windows.transpose(1, 2)
        for conv in self.convs:
            x = F.gelu(conv(x))
        return self.out(torch.cat([x.mean(-1), x.amax(-1)], -1))


def windows_of(values: Float[Tensor, "time 217"], scale: int) -> tuple[Tensor, Tensor]:
    """(windows, their starts in entries) at one scale."""
    pooled = F.avg_pool1d(F.pad(values.T, (0, -len(values) % scale))[None], scale)[0]
    pooled = F.pad(pooled, (0, max(0, WINDOW - pooled.shape[1])))
    cut = pooled.unfold(1, WINDOW, HOP).permute(1, 2, 0)
    return cut, torch.arange(len(cut)) * HOP * scale


def window_labels(
    start: Int[Tensor, " n"], length: int, segments: Float[Tensor, "m 2"], labels: Int[Tensor, " m"]
) -> Int[Tensor, " n"]:
    """The class of the segment that a window overlaps by at least half of their union, else background."""
    begin, end = start[:, None].float(), start[:, None].float() + length
    shared = (torch.minimum(end, segments[:, 1]) - torch.maximum(begin, segments[:, 0])).clamp(min=0)
    union = (torch.maximum(end, segments[:, 1]) - torch.minimum(begin, segments[:, 0])).clamp(min=1e-6)
    overlap, which = torch.where(labels >= 0, shared / union, 0.0).max(1)
    return torch.where(overlap >= 0.5, labels[which], len(names()))


def window_loss(network: WindowClassifier, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy; of the windows of background as many as of actions."""
    cuts, wanted = [], []
    for row in range(len(batch.features)):
        for scale in SCALES:
            cut, start = windows_of(batch.features[row, batch.mask[row]], scale)
            cuts.append(cut)
            wanted.append(window_labels(start, WINDOW * scale, batch.segments[row], batch.labels[row]))
    values, labels = torch.cat(cuts), torch.cat(wanted)
    action = torch.nonzero(labels < len(names()))[:, 0]
    rest = torch.nonzero(labels == len(names()))[:, 0]
    rest = rest[torch.randperm(len(rest), generator=generator)[: len(action)]]
    pick = torch.cat([action, rest])
    return {"loss": F.cross_entropy(network(values[pick]).float(), labels[pick])}


def detect_windows(network: WindowClassifier, features: Features, duration: float) -> Timeline:
    """Every window and class as a candidate, suppressed like the detector's."""
    values, parts = torch.from_numpy(features.values), []
    for scale in SCALES:
        cut, start = windows_of(values, scale)
        with torch.no_grad():
            chance = network(cut).softmax(-1)[:, :-1].numpy()
        row, label = np.nonzero(chance > 0.01)
        begin = start.numpy()[row].astype(np.float64) - 0.5
        parts.append(Candidates(begin, begin + WINDOW * scale, chance[row, label].astype(np.float64), label))
    joined = Candidates(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("start", "end", "score", "label")))
    kept = suppress(joined, NMS, span=len(values))
    start, end = (np.clip(to_seconds(features.grid, x), 0, duration) for x in (kept.start, kept.end))
    rows = zip(start, end, kept.score, kept.label, strict=True)
    segments = [Segment(float(a), float(b), names()[k], score=float(s)) for a, b, s, k in rows if b > a]
    return Timeline(tuple(segments), duration)


def trained_baseline(dataset: MotionDataset, run: Path, steps: int) -> WindowClassifier:
    """The classifier, trained on the detector's own streams (or as `run` has it)."""
    mix = MixConfig(seed=1)
    source = StreamSource(Pool(read_clips(dataset, "train", trust=True)), mix,
                          takes=list(read_takes(dataset, "train").values()))  # fmt: skip
    torch.manual_seed(1)
    config = TrainConfig(steps=steps, lr=1e-3, warmup=100, weight_decay=0.03, ema=0.998, seed=1)
    return fit(WindowClassifier(), window_loss, StreamBatches(source, mix), config, run)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    streams: int
    segments: int
    classes: int
    at_half: float
    low: float
    high: float
    average: float
    per_class: dict[str, float]


def score(name: str, truths: dict[str, Timeline], found: dict[str, Timeline]) -> Row:
    """Mean average precision, with a 95 % bootstrap interval over the streams for the one at IoU 0.5."""
    scores = evaluate_detection(truths, found, PROTOCOL)
    place = int(np.flatnonzero(np.isclose(scores.tious, 0.5))[0])
    if len(truths) > 1:
        low, high = np.percentile(bootstrap_detection(truths, found, PROTOCOL, repeats=500)[:, place], [2.5, 97.5])
    else:
        low = high = np.nan
    per_class = dict(zip(scores.classes, scores.ap[place].round(3).tolist(), strict=True))
    return Row(name, len(truths), scores.counts.truths, len(scores.classes), scores.at(0.5), float(low), float(high),
               scores.average, per_class)  # fmt: skip


def f1_shown(truths: dict[str, Timeline], found: dict[str, Timeline]) -> float:
    """F1 at IoU 0.5 of what a user is shown."""
    pairs = [(truths[name], found[name], label) for name in truths for label in truths[name].labels()]
    right = sum(hit for truth, seen, label in pairs for _, hit in matched(truth, seen, label, 0.5))
    return 2 * right / (sum(len(t.segments) for t in truths.values()) + sum(len(f.segments) for f in found.values()))


def measure(sets: dict[str, dict[str, Stream]], detector: Any, baseline: WindowClassifier | None) -> list[Row]:
    """Every set of streams, as motion and through cameras, by both."""
    rows = []
    for title, streams in sets.items():
        truths = {name: stream.truth for name, stream in streams.items()}
        for view in ("motion files", "simulated cameras"):
            ours, shorter, theirs = {}, {}, {}
            for number, (name, stream) in enumerate(streams.items()):
                features = stream_features(stream, None if view == "motion files" else number)
                ours[name] = detect_entries(detector, features, duration=stream.truth.duration)
                shorter[name] = shown(detector, ours[name])
                if baseline is not None:
                    theirs[name] = detect_windows(baseline, features, stream.truth.duration)
            rows.append(score(f"{title}, {view}: detector", truths, ours))
            print(f"  {rows[-1].name}: F1 of what is shown {f1_shown(truths, shorter):.3f}", flush=True)
            if baseline is not None:
                rows.append(score(f"{title}, {view}: sliding windows", truths, theirs))
    return rows


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| streams | n | segments | classes | mAP@.5 [95 %] | mAP .3-.7 |", "|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        interval = "" if np.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]"
        lines.append(f"| {row.name} | {row.streams} | {row.segments} | {row.classes} | {row.at_half:.3f}{interval} "
                     f"| {row.average:.3f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Print the table and the average precision of each class at 0.5; write both as JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--checkpoint", default="detect")
    parser.add_argument("--split", default="test", choices=("test", "val"))
    parser.add_argument("--baseline", type=Path, default=Path("runs/detect/windows"))
    parser.add_argument("--baseline-steps", type=int, default=1500, help="0 leaves the baseline out")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    dataset, detector = MotionDataset.open(args.dataset), load_pose_detector(args.checkpoint)
    baseline = trained_baseline(dataset, args.baseline, args.baseline_steps) if args.baseline_steps else None
    streams, takes = measured_streams(dataset, args.split), read_takes(dataset, args.split)
    sets = {f"spliced {args.split} clips": streams}
    sets["captured whole (depth camera)"] = {k: v for k, v in takes.items() if not k.startswith("cmu")}
    sets |= {f"captured whole ({k})": {k: v} for k, v in takes.items() if k.startswith("cmu")}
    rows = measure(sets, detector, baseline)
    print(table(rows))
    clips = Counter(c.label for c in read_clips(dataset, args.split))
    kinect = {c.label for c in read_clips(dataset, args.split)} - {
        c.label for c in read_clips(dataset, args.split) if dataset.by_id[c.name].source != "kinect"
    }
    spliced = [row for row in rows if row.name.startswith("spliced")]
    print("\n| class (test clips; * depth camera alone) | " + " | ".join(r.name.split(", ")[1] for r in spliced) + " |")
    print("|---|" + "---:|" * len(spliced))
    for label in spliced[0].per_class:
        name = f"{label}{'*' if label in kinect else ''} ({clips[label]})"
        print(f"| {name} | " + " | ".join(f"{row.per_class[label]:.2f}" for row in spliced) + " |")
    for title, chosen in (("depth camera alone", kinect), ("others", set(spliced[0].per_class) - kinect)):
        means = [np.mean([ap for label, ap in row.per_class.items() if label in chosen]) for row in spliced]
        print(f"| mean, {title} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    if args.json:
        args.json.write_text(json.dumps([replace(row).__dict__ for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
