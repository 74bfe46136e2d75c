"""Features in, a score out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor, nn

from action_localization.spine.batches import resize
from action_localization.spine.boundary_map import BoundaryMatcher
from action_localization.spine.decode import best_of_levels, level_candidates, map_candidates
from action_localization.spine.encoder import reach
from action_localization.spine.network import Detector
from action_localization.spine.nms import Candidates, suppress
from action_localization.spine.points import to_seconds
from action_localization.spine.systems import BMN, MRAV, Dense, System, base, wrapper
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

CHUNK = 8192
"""Entries that a pyramid looks at in one go; longer videos are read in overlapping pieces."""
_VIDEO_CLASSES = 2
"""How many labels a proposal without one of its own gets (ActivityNet's rule)."""


def detect_features(
    features: Features, system: System, network: Detector | BoundaryMatcher, *, duration: float | None = None,
    video_scores: Mapping[str, float] | None = None, chunk: int = CHUNK,
) -> Timeline:  # fmt: skip
    """Localize actions in the features of one video.

    `system` says how to decode and may differ from the one the network was built with in that alone. `duration`
    (seconds) is the video's, to which segments are cut; without it the features' own end. `video_scores` are chances of
    classes for the whole video, from a classifier of the user's: the best two label every segment, with the product of
    the scores (ActivityNet's rule); figures obtained so need saying that they were.

    Videos longer than `chunk` entries are read in pieces that overlap by all that an output depends on, so that the
    result is the same (SGP's mean and CSA's gate are then those of a piece). LabanError for features that do not fit.
    """
    values, grid = features.values, features.grid
    _check(values, system, network, video_scores)
    if not len(values):
        return Timeline((), duration or 0.0)
    host = base(system)
    with torch.inference_mode(), _evaluating(network):
        if isinstance(network, BoundaryMatcher) and isinstance(host, BMN):
            kept = _map_detections(values, host, network, video_scores is None)
        elif isinstance(network, Detector) and not isinstance(host, BMN):
            kept = suppress(dense_detections(values, host, network, chunk), host.decoding.nms, span=len(values))
        else:
            raise LabanError(f"system {host.name} does not fit a network of {network.host.name}")
    return _timeline(kept, grid, network.classes, duration=duration, video_scores=video_scores)


def dense_detections(
    values: Float32[ndarray, "time features"], host: Dense, network: Detector, chunk: int = CHUNK
) -> Candidates:
    """What the points of the pyramid say, in entries, before suppression."""
    time, step = len(values), 2 ** (host.encoder.levels - 1)
    margin = -(-pyramid_reach(host, wrapper(network.system, MRAV)) // step) * step
    core = max(step, (chunk - 2 * margin) // step * step) if time > chunk else time
    chunks = []
    for first in range(0, time, core):
        low, high = (max(0, first - margin), min(time, first + core + margin)) if time > chunk else (0, time)
        out = network(_tensor(values[low:high], network))
        logits, offsets = out.logits[0].float().cpu().numpy(), out.offsets[0].float().cpu().numpy()
        found = level_candidates(logits, offsets, network.points(high - low), host.decoding,
                                 core=(first - low, first - low + core))  # fmt: skip
        chunks.append([Candidates(c.start + low, c.end + low, c.score, c.label) for c in found])
    return best_of_levels(chunks, host.decoding)


def pyramid_reach(host: Dense, sound: MRAV | None = None) -> int:
    """Entries on either side of a point that its answer can depend on (what is averaged over the video apart)."""
    widest = 2 ** (host.encoder.levels - 1)
    heard = widest * sound.window if sound else 0
    convolutions = (host.head.layers + 1) * (2 if host.encoder.causal else 1)
    bins = host.head.bins if host.head.boundary == "trident" else 0
    return reach(host.encoder) + widest * (convolutions + bins) + heard


def in_bf16(network: Detector) -> Detector:
    """A copy for detecting in bf16: about the same segments in less time where the processor has units for it.

    The output layers stay in fp32, so that scores of bf16's eight bits do not tie.
    """
    small = copy.deepcopy(network).to(torch.bfloat16).eval()
    for name, module in small.named_modules():
        if name.endswith("head.out"):
            module.float()
    return small


def _map_detections(
    values: Float32[ndarray, "time features"], host: BMN, network: BoundaryMatcher, labelled: bool
) -> Candidates:
    """BMN's proposals in entries of the features; labelled by the activations, or with class 0 throughout."""
    out = network(_tensor(resize(values, host.frames), network))
    start, end, quality, activation = (
        x[0].float().sigmoid().cpu().numpy() for x in (out.start, out.end, out.quality, out.activation)
    )
    kept = suppress(map_candidates(start, end, quality), host.nms, span=host.frames)
    ratio = len(values) / host.frames
    placed = Candidates(kept.start * ratio - 0.5, kept.end * ratio - 0.5, kept.score, kept.label)
    if not labelled or not len(kept):
        return placed
    chances = np.stack([_mean(activation, a, b) for a, b in zip(kept.start, kept.end, strict=True)])
    best = np.argsort(-chances, axis=1, kind="stable")[:, :_VIDEO_CLASSES]
    row = np.repeat(np.arange(len(kept)), best.shape[1])
    score = placed.score[row] * chances[row, best.ravel()]
    return Candidates(placed.start[row], placed.end[row], score, best.ravel())


def _mean(activation: Float[ndarray, "time classes"], start: float, end: float) -> Float[ndarray, " classes"]:
    first = min(int(start), len(activation) - 1)
    return activation[first : max(first + 1, round(end))].mean(0)


def _timeline(
    kept: Candidates, grid: FrameGrid, classes: Sequence[str], *, duration: float | None,
    video_scores: Mapping[str, float] | None,
) -> Timeline:  # fmt: skip
    last = duration if duration is not None else features_end(grid)
    start, end = (np.clip(to_seconds(grid, x), 0.0, last) for x in (kept.start, kept.end))
    top = sorted((video_scores or {}).items(), key=lambda item: -item[1])[:_VIDEO_CLASSES]
    segments = []
    for a, b, score, label in zip(start, end, kept.score, kept.label, strict=True):
        if b > a:
            named = [(name, score * chance) for name, chance in top] if top else [(classes[label], score)]
            segments += [Segment(float(a), float(b), name, score=float(value)) for name, value in named]
    return Timeline(tuple(segments), last)


def features_end(grid: FrameGrid) -> float:
    """Seconds at which the last entry ends, or its window if that is later."""
    return max(0.0, grid.start(grid.frames), 2 * grid.centre(grid.frames - 1) - grid.start(grid.frames - 1))


def _check(
    values: Float32[ndarray, "time features"], system: System, network: Detector | BoundaryMatcher,
    video_scores: Mapping[str, float] | None,
) -> None:  # fmt: skip
    if values.shape[1] != network.features:
        raise LabanError(f"features are {values.shape[1]} wide; the detector was trained on {network.features}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise LabanError(f"features: {len(bad)} of {len(values)} entries hold NaN or infinity, first {bad[0]}")
    if base(system).name != network.host.name:
        raise LabanError(f"system {base(system).name} does not fit a network of {network.host.name}")
    if video_scores is not None and not video_scores:
        raise LabanError("video_scores is empty; accepted: a chance for at least one class, or None")


def _tensor(values: Float32[ndarray, "time features"], network: nn.Module) -> Tensor:
    weight = next(network.parameters())
    return torch.from_numpy(np.ascontiguousarray(values)).to(weight.device, weight.dtype)[None]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and the mode from before afterwards."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
