"""Fine-tune the detector on the annotated real clips: the last step of the embedded checkpoint.

    python -m action_localization.pose.real_train --clips FOLDER --dataset DATASET --weights FOLDER --run RUN -o FOLDER

What is measured on real video was learnt without the clip's source (`benchmarks/detect_real.py`); these weights have
seen all of them.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_localization.pose.checkpoint import choose_thresholds, save_pose_detector
from action_localization.pose.detector import load_pose_detector
from action_localization.pose.real import SEEN, RealClip, files_of, marked_stretches, read_real_clips
from action_localization.pose.streams import Clip
from action_localization.pose.training import FineTuning, MixConfig, finetune, motion_clips
from action_localization.spine.network import Detector
from laban.progress import progress
from models.data.dataset import MotionDataset
from models.video.blazepose import PoseNetworks

SETTINGS = FineTuning(
    Path("runs/detect/real/all"), steps=240, lr=2.5e-4, mix=MixConfig(real=0.5, frames=320, block=64, reuse=3)
)

KEPT = 0.3
"""How much of the weights from before the fine-tuning is mixed into those after it (Wortsman et al. 2022): motion files
keep their precision."""

SHAKEN = 2
"""Copies of each real clip with other errors of the pose network, beside the clip itself."""
SLOW, FAST = 0.015, 0.006
"""Metres that joints of such a copy are off, for long and from frame to frame."""
FORGOTTEN = 0.15
"""Chance that such a copy does not see an arm, or the legs."""
LIMBS = ((16, 18, 20), (17, 19, 21), (4, 5, 7, 8, 10, 11))

WELL_SEEN = 0.6
"""Mean confidence from which a real clip is filmed anew."""

TOLD_APART, LOWEST_BAR = 0.5, 0.2
"""Average precision on left-out folds from which their bar of a class is used, and the least that it may be."""

LICENCES = """Fine-tuned on {clips} stretches ({seconds:.0f} s) of real video from public repositories (UCF101, HMDB51,
  Kinetics, QUVA Repetition, speed jump rope, exercise clips; terms differ or are not stated; research use), seen as
  poses alone: `python -m action_localization.pose.real_train`."""


def training_clips(clips: Sequence[RealClip], copies: int = SHAKEN) -> list[Clip]:
    """What a fine-tuning sees of real clips: those in which the person is seen, and `copies` shaken ones of each.

    A clip weighs less the more its source has of its class.
    """
    seen = [clip for clip in clips if clip.seen >= SEEN]
    alike = [(clip.label, clip.source) for clip in seen]
    result = []
    for number, clip in enumerate(seen):
        weight = alike.count((clip.label, clip.source)) ** -0.5 / (1 + copies)
        rng = np.random.default_rng([11, number])
        drawn = [clip.clip, *(shaken(clip.clip, rng) for _ in range(copies))]
        result += [replace(one, weight=weight) for one in drawn]
    return result


def shaken(clip: Clip, rng: np.random.Generator) -> Clip:
    """A clip with joints a little off, slowly and from frame to frame, and now and then a limb unseen."""
    frames, joints, _ = clip.joints.shape
    knots = rng.normal(0, SLOW, (frames // 20 + 2, joints, 3))
    place = np.linspace(0, len(knots) - 1, frames)
    low = np.floor(place).astype(int).clip(0, len(knots) - 2)
    share = (place - low)[:, None, None]
    drift = knots[low] * (1 - share) + knots[low + 1] * share
    moved = clip.joints + drift + rng.normal(0, FAST, clip.joints.shape)
    confidence = None if clip.confidence is None else clip.confidence.copy()
    for limb in LIMBS:
        if confidence is not None and rng.random() < FORGOTTEN:
            confidence[:, list(limb)] *= rng.uniform(0.0, 0.3)
    return replace(clip, joints=moved.astype(np.float32), confidence=confidence)


def refilmed(clips: Sequence[RealClip]) -> list[Clip]:
    """Real clips of people who are seen well, as if they were motion capture: to be filmed by simulated cameras."""
    return [
        replace(clip, confidence=None, observed=None) for clip in training_clips(clips, copies=0)
        if clip.confidence is not None and clip.confidence.mean() > WELL_SEEN
    ]  # fmt: skip


def finetuned(
    network: Detector, clips: Sequence[RealClip], motion: Sequence[Clip], run: Path, *,
    settings: FineTuning = SETTINGS, kept: float = KEPT, quiet: bool = False,
) -> Detector:  # fmt: skip
    """The network after a few hundred steps among real clips, with a share `kept` of its weights from before.

    An interrupted run in the folder is gone on with.
    """
    real, others = training_clips(clips), [*motion, *refilmed(clips)]
    tuned = finetune(network, real, others, replace(settings, run=run), quiet=quiet)
    return mixed_weights(network, tuned, kept)


def mixed_weights(one: Detector, other: Detector, share: float) -> Detector:
    """A network whose every weight is `share` of one's and the rest of another's, both trained from the same start."""
    result = copy.deepcopy(other)
    with torch.no_grad():
        torch._foreach_lerp_(list(result.parameters()), list(one.parameters()), share)
    return result


def left_out_bars(measured: dict[str, Any]) -> dict[str, float]:
    """Scores from which classes are shown, found on the left-out folds, where those are told apart there."""
    row = measured["streams"]["fine-tuned on other sources"]["ap"]
    return {label: max(bar, LOWEST_BAR) for label, bar in measured["thresholds"].items() if row[label] >= TOLD_APART}


def main() -> None:
    """Read the clips, fine-tune, write the checkpoint folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the annotated clips")
    parser.add_argument("--dataset", type=Path, required=True, help="motion set from `laban data build`")
    parser.add_argument("--weights", required=True, help="checkpoint that has seen no real video")
    parser.add_argument("--run", type=Path, default=Path("runs/detect/real/all"), help="folder of the run")
    parser.add_argument(
        "--kept", type=Path, default=Path("runs/detect/real"), help="folder of what the pose networks saw"
    )
    parser.add_argument(
        "--measured", type=Path, help="what benchmarks/detect_real.py --json wrote: bars of its classes"
    )
    parser.add_argument("--keep", type=float, default=KEPT, help="share of the weights from before that is mixed in")
    parser.add_argument("--figures", type=Path, help="text that goes under Measured in the model card")
    parser.add_argument("--weak", default="", help="text that goes under Weaknesses in the model card")
    parser.add_argument("--output", "-o", type=Path, required=True, help="checkpoint folder to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = load_pose_detector(options.weights)
    with progress("pose of the real clips", files_of(marked_stretches())) as advance:
        clips = read_real_clips(options.clips, kept=options.kept, networks=PoseNetworks(1), advance=advance)
    dataset = MotionDataset.open(options.dataset)
    motion = motion_clips(dataset)
    network = finetuned(base.network, clips, motion, options.run, kept=options.keep)
    seen = [clip for clip in clips if clip.seen >= SEEN]
    real = LICENCES.format(clips=len(seen), seconds=sum(len(clip.clip.joints) for clip in seen) / 20)
    figures = options.figures.read_text("utf-8").strip() if options.figures else "Not yet."
    thresholds = choose_thresholds(network.eval(), dataset)
    if options.measured:
        thresholds = left_out_bars(json.loads(options.measured.read_text("utf-8"))) | thresholds
    save_pose_detector(options.output, network, thresholds, figures=figures, real=real, weak=options.weak)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
