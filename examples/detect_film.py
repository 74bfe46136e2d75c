"""A film with known actions, and what `laban detect` finds in it: the picture `docs/detect.png`.

    python examples/detect_film.py [FOLDER]

Four sentences become four motions, which are filmed one after another; where each begins is the truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

from laban.cli import run
from laban.scores import write_timelines
from laban.timeline import Segment, Timeline
from models.resample import resample
from motion.generate import GenerateConfig, generate
from viz.movie import Look, shots
from viz.video import open_video

TEXTS = {
    "walk": "a person walks forward", "jumping jacks": "a person does jumping jacks",
    "wave": "a person waves with the right hand", "kick": "a person kicks",
}  # fmt: skip
FPS = 30


def main() -> None:
    """Generate, film, detect."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    motions = generate(list(TEXTS.values()), 4.0, config=GenerateConfig(seed=3))
    truth, frames = [], 0
    with open_video(folder / "film.mp4", FPS) as add:
        for label, motion in zip(TEXTS, motions, strict=True):
            first = frames
            for picture in shots(resample(motion, FPS), Look(size=(854, 480), azimuth=20)):
                add(picture)
                frames += 1
            truth.append(Segment(first / FPS, frames / FPS, label))
    write_timelines(folder / "truth.json", {"film": Timeline(tuple(truth), frames / FPS)})
    files = [argument for name in ("film.png", "labels.mp4") for argument in ("-o", str(folder / name))]
    sys.exit(run(["detect", str(folder / "film.mp4"), "--truth", str(folder / "truth.json"), *files]))


if __name__ == "__main__":
    main()
