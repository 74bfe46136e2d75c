"""Streams spliced from held-out motion: the trained detector beside a classifier on sliding windows.

    python benchmarks/detect_streams.py --dataset runs/data/mocap [--json FILE]

Streams of 60 to 90 s are spliced from clips of one split, all classes drawn alike, and read twice: as motion files, and
through simulated cameras. Takes in which several actions follow one another are read whole, as they were captured.
"""

from __future__ import annotations

from action_localization.pose.mocap import read_clips
from action_localization.pose.streams import Pool, Stream, StreamConfig, make_stream
from models.data.dataset import MotionDataset

STREAMS = {"test": (2026, 60), "val": (2027, 40)}
"""Per split the seed of its streams and how many there are."""
CONFIG = StreamConfig(balance=0.0)


def spliced(dataset: MotionDataset, split: str) -> dict[str, Stream]:
    """The streams of a split: fixed by the dataset alone."""
    seed, count = STREAMS[split]
    pool = Pool(read_clips(dataset, split), CONFIG)
    return {f"{split}_{number:02d}": make_stream(pool, (seed, number)) for number in range(count)}
