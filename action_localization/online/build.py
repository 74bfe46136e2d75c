"""Make the embedded online detector: `python -m action_localization.online.build DATASET --run RUN -o FOLDER`.

It goes on where it stopped. MATR learns from what the offline detector learns from: spliced motion capture of the
`train` split and procedural motion, most of it seen through simulated cameras. The score from which it speaks is chosen
on streams of `val`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from action_localization.evaluation.detection import evaluate_detection
from action_localization.evaluation.online import evaluate_online
from action_localization.evaluation.protocols import PROTOCOLS, Protocol
from action_localization.online.batches import MomentBatches, MomentConfig
from action_localization.online.lane import detect_together
from action_localization.online.learning import THRESHOLDS, choose_threshold
from action_localization.online.matr import MATR, MATRConfig, matr_loss
from action_localization.online.windows import WindowConfig
from action_localization.pose.checkpoint import stream_features
from action_localization.pose.classes import VERSION, names
from action_localization.pose.detector import detect_entries, load_pose_detector, shown
from action_localization.pose.features import EXTRACTOR, FPS, WIDTH
from action_localization.pose.mocap import measured_streams, read_takes
from action_localization.pose.streams import Pool, Stream
from action_localization.pose.training import MixConfig, StreamSource, motion_clips
from action_localization.regimes.streams import RegimeVideo
from action_localization.regimes.systems import save_system
from action_localization.spine.batches import TrainingVideo
from laban.progress import progress
from models.data.dataset import MotionDataset
from models.features import Features
from models.training import TrainConfig, fit, steps_done

PRESET = MATRConfig(
    window=64, memory=3, queries=6, back=16, ahead=16, encoder=WindowConfig(width=96, hidden=192),
    moments=MomentConfig(size=12, moments=4, past=192, block=64, ahead=16, back=16, noise=0.03),
    training=TrainConfig(
        steps=1200, lr=1.5e-3, warmup=50, weight_decay=0.05, ema=0.99, precision="32-true", accelerator="cpu",
        log_every=20, save_minutes=4.0,
    ),
)  # fmt: skip
"""Rows are a tenth of a second: segments of 6.4 s, and a memory of 19 s more."""

CHOOSING = 20
"""Streams of `val` that the threshold is chosen on."""


@dataclass(frozen=True)
class Building:
    """What is built of what; `minutes` ends this call, not the run."""

    dataset: Path
    run: Path
    streams: int = 160
    minutes: float | None = None
    mix: MixConfig = field(default_factory=lambda: MixConfig(observed=0.6))
    config: MATRConfig = PRESET


def train(building: Building, *, quiet: bool = False) -> MATR | None:
    """Train, or go on where the run stopped; None when `minutes` were up before the schedule was."""
    config = building.config
    torch.manual_seed(config.training.seed)
    network = MATR(config, WIDTH, names())
    done = steps_done(building.run) >= config.training.steps
    videos = [] if done else learnt_streams(building, quiet=quiet)
    batches = MomentBatches(videos, replace(config.moments, seed=config.training.seed))
    network = fit(network, matr_loss, batches, config.training, building.run, minutes=building.minutes,
                  progress=not quiet)  # fmt: skip
    return network if steps_done(building.run) >= config.training.steps else None


def learnt_streams(building: Building, *, quiet: bool = False) -> list[TrainingVideo]:
    """The streams that are learnt from: a function of dataset and mix."""
    dataset = MotionDataset.open(building.dataset)
    source = StreamSource(Pool(motion_clips(dataset, quiet=quiet)), building.mix,
                          takes=list(read_takes(dataset, "train", quiet=quiet).values()))  # fmt: skip
    videos = []
    with progress("streams", building.streams, quiet=quiet) as advance:
        for number in range(building.streams):
            videos.append(source(number))
            advance(1)
    return videos


def entries_of(streams: Mapping[str, Stream]) -> dict[str, Features]:
    """The rows of measured streams: a third of them as motion files, the others through simulated cameras."""
    return {name: stream_features(stream, None if number % 3 == 0 else number)
            for number, (name, stream) in enumerate(streams.items())}  # fmt: skip


def figures(network: MATR, dataset: MotionDataset) -> str:
    """Online measures on the streams of the `test` split, beside the embedded offline detector on the same rows."""
    streams = measured_streams(dataset, "test", quiet=True)
    truths, rows = {name: stream.truth for name, stream in streams.items()}, entries_of(streams)
    said = detect_together(network, rows)
    online = evaluate_online(truths, said)
    detector = load_pose_detector()
    found = {name: detect_entries(detector, features, duration=truths[name].duration)
             for name, features in rows.items()}  # fmt: skip
    worth = {name: shown(detector, timeline) for name, timeline in found.items()}
    offline = evaluate_online(truths, worth)
    protocol = Protocol("online", PROTOCOLS["thumos14"].tious)
    means = [evaluate_detection(truths, one, protocol).average for one in (said, found)]
    classes = len({segment.label for truth in truths.values() for segment in truth.segments})
    return (f"{len(streams)} spliced streams of the `test` split, {online.truths} actions of {classes} classes; a "
            "third as motion files, the rest through simulated cameras, one run.\n\n"
            f"- online: {online.table()}\n- embedded offline detector, what it shows: {offline.table()}\n"
            f"- average mAP at IoU .3 to .7: online {100 * means[0]:.1f}, offline, all candidates: "
            f"{100 * means[1]:.1f}")  # fmt: skip


CARD = """# online: each action the moment it ends, from body pose

MATR ({parameters:.2f} M parameters) over the rows of the embedded detector (22 joints at 20 fps, two frames a row): a
window of {window} rows, a memory of {memory} windows before it, one decoder for ends and one for starts. The same
weights read motion files and people in video. {count} classes, those of `detect`.

- **Data**: as `detect`: the `train` split of the project's motion capture set (Bandai Namco Research, CC BY-NC 4.0;
  CMU; DeepMimic; animator-keyed CC0 clips; UTKinect-Action3D and MSR Action3D, research use), spliced to streams, and
  procedural motion; {observed:.0%} of the streams are seen through simulated cameras. No recording of real video was
  learnt from. **The weights are licensed CC BY-NC 4.0: for non-commercial use.**
- **Command**: `python -m action_localization.online.build DATASET --run RUN -o FOLDER` (DATASET from
  `laban data build`): {steps} steps, a few minutes of one core.
- **Threshold** {threshold:.2g}, the best mean of F1 and AP on {choosing} streams of the `val` split.
- **Use**: `laban detect --online VIDEO_OR_CAMERA_OR_MOTION`.
- CMU: the data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
  EIA-0196217.

## Measured

{figures}

## Weaknesses

Test clips come from the same studios and actors as training clips. What is said cannot be taken back: a pause within
an action ends it. People in real video are known from simulated cameras alone, and only the most prominent one is
followed. Rows of video come a quarter of a second late, because lifting smooths over time.
"""


def finish(network: MATR, building: Building, folder: Path) -> str:
    """Choose the threshold on `val`, write the checkpoint folder, then measure on `test` and put that into its card.

    Returns the SHA-256 of the weights.
    """
    dataset = MotionDataset.open(building.dataset)
    streams = dict(list(measured_streams(dataset, "val", quiet=True).items())[:CHOOSING])
    rows = entries_of(streams)
    choose_threshold(network, [RegimeVideo(name, rows[name], s.truth) for name, s in streams.items()], THRESHOLDS)
    save_built(folder, network, building, "Not yet.")
    return save_built(folder, network, building, figures(network, dataset))


def save_built(folder: Path, network: MATR, building: Building, said: str) -> str:
    """Write the checkpoint folder with its card; the SHA-256 of the weights."""
    config = building.config
    card = CARD.format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6, window=config.window, memory=config.memory,
        count=len(network.classes), observed=building.mix.observed, steps=config.training.steps, figures=said,
        threshold=float(network.threshold), choosing=CHOOSING,
    )  # fmt: skip
    facts = {"extractor": EXTRACTOR, "fps": FPS, "class_version": VERSION}
    return save_system(folder, "matr", network, card, facts)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="folder of the resumable run")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="end this call after so long; call again to go on")
    asked = parser.parse_args(arguments)
    building = Building(asked.dataset, asked.run, minutes=asked.minutes)
    network = train(building)
    if network is None:
        print(f"time is up; call again to go on with {asked.run}")
        return
    print(f"wrote {asked.output} ({finish(network, building, asked.output)[:12]})")


if __name__ == "__main__":
    main()
