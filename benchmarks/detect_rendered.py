"""Actions in rendered film, read by the real pose network: what simulated cameras promise, checked.

    python benchmarks/detect_rendered.py --dataset runs/data/mocap --clips runs/detect/rendered [--per-class 3]

Test clips are drawn on the open body by a camera from anywhere, sometimes too close; BlazePose looks at the pictures,
and what it finds is lifted as in any video. The people found are spliced to streams, as in `detect_streams.py`. Slow
(about 25 ms a picture); finished clips are kept, and `--minutes` ends the call. Needs `laban setup`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from action_localization.evaluation.detection import bootstrap_detection, evaluate_detection
from action_localization.pose.checkpoint import stream_features
from action_localization.pose.detector import detect_entries, detect_person, load_pose_detector
from action_localization.pose.mocap import read_clips
from action_localization.pose.streams import Clip, Pool, StreamConfig, make_stream
from models.body.model import load_body
from models.data.dataset import MotionDataset
from models.formats.arrays import read_npz
from models.motion import Motion
from models.resample import resample
from models.video.blazepose import PoseNetworks
from models.video.pose import FPS, Person, Tracks, lifted
from models.video.tracking import track_people
from viz.camera import facing_azimuth, plan_camera
from viz.cast import Cast
from viz.renderer import make_renderer
from viz.studio import STUDIO

SIZE = (320, 320)
LONGEST = 110
STREAMS = 24
PROTOCOL = "thumos14"


def chosen(dataset: MotionDataset, split: str, per_class: int) -> list[tuple[str, str]]:
    """(clip, label) of up to so many clips of each class, in an order that mixes classes."""
    rng = np.random.default_rng(2026)
    by_label: dict[str, list[str]] = {}
    for clip in read_clips(dataset, split):
        if clip.label is not None and "@" not in clip.name:
            by_label.setdefault(clip.label, []).append(clip.name)
    picked = [(str(name), label) for label in sorted(by_label) for name in rng.permutation(by_label[label])[:per_class]]
    return [picked[k] for k in rng.permutation(len(picked))]


def filmed(motion: Motion, cast: Cast, nets: PoseNetworks, seed: int) -> Person | None:
    """The person that the pose network finds in a film of a motion."""
    rng = np.random.default_rng((11, seed))
    motion = resample(motion, FPS)
    length = min(motion.frames, LONGEST)
    first = int(rng.integers(0, motion.frames - length + 1))
    rows = slice(first, first + length)
    motion = Motion(motion.rotations[:, rows], motion.root[:, rows], FPS)
    joints = cast.joints(motion)
    turn = rng.normal(0, 40) if rng.random() < 0.4 else rng.uniform(-180, 180)
    cameras = plan_camera(joints, FPS, SIZE, azimuth=facing_azimuth(joints[0, 0]) + turn,
                          elevation=float(np.clip(rng.normal(6, 9), -10, 35)))  # fmt: skip
    zoom = rng.uniform(0.45, 0.8) if rng.random() < 0.35 else np.exp(rng.uniform(0, np.log(2.2)))
    lift = 0.7 * max(1 - zoom, 0) * rng.uniform(0.5, 1)
    cameras = replace(cameras, distance=cameras.distance * float(zoom), targets=cameras.targets + (0, lift, 0))
    renderer, studio = make_renderer("numba", SIZE), STUDIO.turned(float(cameras.azimuths[0]))
    pictures = ((k / FPS, np.ascontiguousarray(renderer.render(meshes, cameras[k], studio)[..., :3]))
                for k, meshes in enumerate(cast.frames(motion)))  # fmt: skip
    found = lifted(Tracks(tuple(track_people(pictures, nets, 1)), length, SIZE, FPS))
    renderer.close()
    return found.people[0] if found.people else None


def film(dataset: MotionDataset, picked: list[tuple[str, str]], folder: Path, minutes: float) -> None:
    """Film what is not filmed yet, until time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    cast, nets, end = Cast(load_body()), PoseNetworks(threads=1), time.monotonic() + 60 * minutes
    for seed, (name, label) in enumerate(picked):
        path = folder / f"{name}.npz"
        if path.exists() or time.monotonic() > end:
            continue
        person = filmed(dataset.motion(dataset.by_id[name]), cast, nets, seed)
        empty = (np.zeros((0, 22, 3), np.float32), np.zeros((0, 22), np.float32), np.zeros(0, bool))
        joints, seen, flags = empty if person is None else (person.joints, person.confidence, person.observed)
        np.savez(path, joints=joints, confidence=seen, observed=flags)
        print(f"{name} ({label}): {len(joints)} frames", flush=True)


def main() -> None:
    """Film, splice, detect, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--clips", type=Path, default=Path("runs/detect/rendered"))
    parser.add_argument("--checkpoint", default="detect")
    parser.add_argument("--split", default="test")
    parser.add_argument("--per-class", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30)
    args = parser.parse_args()
    dataset = MotionDataset.open(args.dataset)
    picked = chosen(dataset, args.split, args.per_class)
    film(dataset, picked, args.clips, args.minutes)
    clips, missed = [], 0
    for name, label in picked:
        path = args.clips / f"{name}.npz"
        if path.exists():
            values = read_npz(path, ("joints", "confidence", "observed"))
            missed += len(values["joints"]) < 8
            clips.append(Clip(name, values["joints"], label, False, values["confidence"], values["observed"]))
    detector = load_pose_detector(args.checkpoint)
    pool = Pool(clips, StreamConfig(balance=0.0))
    streams = {f"rendered_{k:02d}": make_stream(pool, (2028, k)) for k in range(STREAMS)}
    truths = {name: stream.truth for name, stream in streams.items()}
    found = {
        n: detect_entries(detector, stream_features(s, None), duration=s.truth.duration) for n, s in streams.items()
    }
    scores = evaluate_detection(truths, found, PROTOCOL)
    half = int(np.flatnonzero(np.isclose(scores.tious, 0.5))[0])
    low, high = np.percentile(bootstrap_detection(truths, found, PROTOCOL)[:, half], [2.5, 97.5])
    print(f"{len(clips)} rendered {args.split} clips of {len(pool.labels)} classes ({missed} without a person), "
          f"{len(streams)} streams, {scores.counts.truths} segments: mAP@.5 {scores.at(0.5):.3f} "
          f"[{low:.3f}, {high:.3f}], mAP .3-.7 {scores.average:.3f}")  # fmt: skip
    print({label: round(float(ap), 2) for label, ap in zip(scores.classes, scores.ap[half], strict=True)})
    right = []
    for clip in clips:
        if len(clip.joints) >= 8 and clip.confidence is not None and clip.observed is not None:
            alone = detect_person(detector, clip.joints, clip.confidence, clip.observed, FPS)
            best = max(alone.segments, key=lambda segment: segment.score, default=None)
            right.append(best is not None and best.label == clip.label)
    print(f"single clips: the surest segment has the right class in {sum(right)} of {len(right)}")


if __name__ == "__main__":
    main()
