"""One call from a video to features: which encoder a name means, and how a video is read for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from laban.errors import LabanError
from models.audio.log_mel import EXTRACTOR as SOUND
from models.audio.log_mel import sound_features
from models.features import Features
from models.video.backbones import BACKBONES, load_backbone
from models.video.image_tower import PREFIX, load_image_tower
from models.video.pose import EXTRACTOR, EXTRACTOR_CONFIDENCE, FPS, read_people, stream_features, streams
from models.video.reading import Video
from models.video.windows import windowed_features

ENCODERS = (EXTRACTOR, EXTRACTOR_CONFIDENCE, SOUND, *BACKBONES, f"{PREFIX}MODEL")

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Extraction:
    """What to extract: `people` for pose; `weights`, `stride` (seconds between rows) and `device` for the networks."""

    encoder: str = EXTRACTOR
    weights: Path | None = None
    people: int = 1
    stride: float | None = None
    device: str = "cpu"


def extract(video: Video, what: Extraction, advance: Advance | None = None) -> list[Features]:
    """Features of a video: one for each person followed (none when nobody is in view), or the one of a network.

    `advance` is told of each row done. LabanError for an unknown encoder, missing weights or packages.
    """
    check_encoder(what)
    if what.encoder in (EXTRACTOR, EXTRACTOR_CONFIDENCE):
        found = read_people(video, people=what.people, advance=advance)
        confidence = what.encoder == EXTRACTOR_CONFIDENCE
        return [stream_features(found, stream, confidence=confidence) for stream in streams(found, what.people)]
    if what.encoder == SOUND:
        return [sound_features(video.info.source, advance=advance)]
    device = torch.device(what.device)
    if what.encoder.startswith(PREFIX):
        fps = {} if what.stride is None else {"fps": 1 / what.stride}
        rows, sampling = load_image_tower(what.encoder, what.weights, device=device, **fps)
    else:
        rows = load_backbone(what.encoder, what.weights, device)
        sampling = BACKBONES[what.encoder].sampling(what.stride)
    return [windowed_features(video, rows, sampling, what.encoder, device=device, advance=advance)]


def expected_rows(video: Video, what: Extraction) -> int | None:
    """About how many rows there will be, for a progress bar; None where the length is not known."""
    if video.info.seconds is None:
        return None
    if what.encoder in (EXTRACTOR, EXTRACTOR_CONFIDENCE):
        return round(video.info.seconds * FPS)
    if what.encoder == SOUND or what.encoder.startswith(PREFIX):
        return None
    sampling = BACKBONES[what.encoder].sampling(what.stride)
    return max(int((video.info.seconds * sampling.fps - sampling.window) // sampling.stride) + 1, 1)


def check_encoder(what: Extraction) -> None:
    """LabanError for what cannot be extracted, before anything is opened."""
    known = what.encoder in ENCODERS[:-1] or (what.encoder.startswith(PREFIX) and what.encoder != ENCODERS[-1])
    if not known:
        raise LabanError(f"--encoder {what.encoder}: unknown; accepted: {', '.join(ENCODERS)}")
    if what.encoder in (EXTRACTOR, EXTRACTOR_CONFIDENCE, SOUND):
        for option, value in (("--weights", what.weights), ("--stride", what.stride)):
            if value is not None:
                raise LabanError(f"{option} {value}: --encoder {what.encoder} takes none; it is for the networks")
    if what.encoder not in (EXTRACTOR, EXTRACTOR_CONFIDENCE) and what.people != 1:
        raise LabanError(f"--people {what.people}: --encoder {what.encoder} takes none; it is for poses")
    if not 1 <= what.people <= 20:
        raise LabanError(f"--people {what.people}; accepted: 1 to 20")
    if what.stride is not None and not 0.01 <= what.stride <= 3600:
        raise LabanError(f"--stride {what.stride:g}; accepted: 0.01 to 3600 seconds")
