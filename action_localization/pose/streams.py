"""Seeded streams: labelled clips spliced in random order, with gaps, speeds and mirrors, and exact boundaries.

Clips are joints at 20 fps. Where two meet, the later one is turned and moved so that it goes on where the earlier one
stopped, both are blended over 0.3 s, and bones keep their lengths; the boundary is the middle of the blend. Poses that
lie far apart get more time, which is background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from action_localization.pose.features import FPS
from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.body.skeleton import MIRROR, NUM_BODY, PARENTS
from models.representation.heading import joints_heading

BLEND = 6
"""Frames over which two clips that meet are blended."""
MIN_CLIP = 8
"""Frames; shorter clips are not spliced."""
MIRRORED = " mirrored"
"""Ends the name of a clip whose left is right."""


@dataclass(frozen=True)
class Clip:
    """A stretch of one action (None: background) at 20 fps: world joints in metres, Y up, the floor at 0.

    `confidence` and `observed` are those of a person seen in video; None for motion files. `weight` is how often the
    clip is drawn among those of its label.
    """

    name: str
    joints: Float32[ndarray, "frames 22 3"]
    label: str | None
    idle: bool = False
    confidence: Float32[ndarray, "frames 22"] | None = None
    observed: Bool[ndarray, " frames"] | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Stream:
    """Spliced clips with their truth; times in seconds from the first frame."""

    joints: Float32[ndarray, "frames 22 3"]
    confidence: Float32[ndarray, "frames 22"]
    observed: Bool[ndarray, " frames"]
    truth: Timeline
    seen: bool = False
    """Whether the clips were seen by a camera, so that none has to be imagined."""
    clips: tuple[str, ...] = ()
    """Names of the clips that the segments are from, in their order; empty for takes."""


@dataclass(frozen=True)
class StreamConfig:
    """How streams are put together."""

    seconds: tuple[float, float] = (60.0, 90.0)
    speed: tuple[float, float] = (0.8, 1.25)
    gap: float = 0.5
    """Chance of a gap between two actions."""
    idle: float = 0.4
    """Share of gaps that are people standing about; the rest are pauses and actions of no class."""
    pause: float = 0.25
    gap_seconds: tuple[float, float] = (0.8, 4.0)
    longest: tuple[float, float] = (5.0, 14.0)
    """Longer clips are cropped to a length in this range."""
    balance: float = 0.5
    """A class is drawn as often as the weights of its clips add up to, to this power; 0 draws all alike."""
    mirror: float = 0.5


class Pool:
    """Clips by label, ready to be drawn from."""

    def __init__(self, clips: Sequence[Clip], config: StreamConfig | None = None) -> None:
        self.config = config or StreamConfig()
        usable = [clip for clip in clips if len(clip.joints) >= MIN_CLIP and clip.weight > 0]
        self.by_label: dict[str, list[Clip]] = {}
        for clip in usable:
            if clip.label is not None:
                self.by_label.setdefault(clip.label, []).append(clip)
        if not self.by_label:
            raise LabanError("streams: no labelled clip of at least 0.4 s to splice")
        self.idle = [clip for clip in usable if clip.label is None and clip.idle]
        self.other = [clip for clip in usable if clip.label is None and not clip.idle]
        self.labels = sorted(self.by_label)
        total = [sum(clip.weight for clip in self.by_label[name]) for name in self.labels]
        self.chance = np.array(total) ** self.config.balance

    def label(self, rng: np.random.Generator, but: str | None) -> str:
        """A label to come next, other than `but` where there is another."""
        chance = np.where(np.array(self.labels) == but, 0.0, self.chance)
        chance = chance if chance.sum() > 0 else self.chance
        return self.labels[int(rng.choice(len(chance), p=chance / chance.sum()))]

    def clip(self, rng: np.random.Generator, label: str) -> Clip:
        """A clip of a label."""
        return _drawn(rng, self.by_label[label])


def make_stream(pool: Pool, seed: Sequence[int]) -> Stream:
    """A stream of a pool's clips: a function of pool and seed."""
    config, rng = pool.config, np.random.default_rng(list(seed))
    wanted = rng.uniform(*config.seconds) * FPS
    parts: list[Clip] = []
    total, last = 0.0, None
    while total < wanted:
        if not parts or rng.random() < config.gap:
            gap = _gap(pool, parts[-1] if parts else None, rng)
            if gap is not None:
                parts.append(gap)
                total += len(gap.joints)
        before = last if parts and parts[-1].label is not None else None
        last = pool.label(rng, before)
        clip = vary(pool.clip(rng, last), config, rng)
        parts.append(clip)
        total += len(clip.joints) - BLEND
    return splice(parts, rng)


def vary(clip: Clip, config: StreamConfig, rng: np.random.Generator) -> Clip:
    """The clip at another speed, mirrored or not, cropped when it is long."""
    longest = round(rng.uniform(*config.longest) * FPS)
    if len(clip.joints) > max(longest, config.longest[1] * FPS):
        clip = cut(clip, int(rng.integers(0, len(clip.joints) - longest)), longest)
    low, high = np.log(config.speed)
    clip = faster(clip, float(np.exp(rng.uniform(low, high))))
    return mirrored(clip) if rng.random() < config.mirror else clip


def splice(parts: Sequence[Clip], rng: np.random.Generator) -> Stream:
    """The clips one after another, each going on where the one before stopped, up to 20 degrees of turn."""
    if not parts:
        raise LabanError("streams: nothing to splice")
    pieces = [_arrays(parts[0])]
    spans: list[tuple[float, float, str | None]] = [(0.0, len(parts[0].joints), parts[0].label)]
    length = len(parts[0].joints)
    for part in parts[1:]:
        joints, confidence, observed = _arrays(part)
        before, turn = pieces[-1][0], float(rng.uniform(-0.35, 0.35))
        blend = min(BLEND, len(before) // 2, len(joints) // 2)
        joints = _placed(joints, 0, before[-1], turn)
        distance = float(np.linalg.norm(joints[0] - before[-1], axis=-1).mean())
        extra = int(np.clip(round((distance - 0.25) * 30), 0, 20))
        middle = max(blend - extra, 0) // 2
        joints = _placed(joints, middle, before[-1 - middle], turn)
        pieces[-1], (joints, confidence, observed) = _blended(pieces[-1], (joints, confidence, observed), blend, extra)
        first = length - blend + extra
        spans[-1] = (spans[-1][0], length - blend / 2, spans[-1][2])
        spans.append((first + blend / 2, first + len(part.joints), part.label))
        length = first + len(part.joints)
        pieces.append((joints, confidence, observed))
    joined = [np.concatenate(arrays) for arrays in zip(*pieces, strict=True)]
    truth = Timeline(
        tuple(Segment(a / FPS, b / FPS, label) for a, b, label in spans if label is not None), length / FPS
    )
    seen = any(part.confidence is not None for part in parts)
    return Stream(joined[0], joined[1], joined[2], truth, seen, tuple(p.name for p in parts if p.label is not None))


def cut(clip: Clip, first: int, frames: int) -> Clip:
    """So many frames of a clip."""
    rows = slice(first, first + frames)
    return replace(
        clip, joints=clip.joints[rows],
        confidence=None if clip.confidence is None else clip.confidence[rows],
        observed=None if clip.observed is None else clip.observed[rows],
    )  # fmt: skip


def faster(clip: Clip, factor: float) -> Clip:
    """The clip at `factor` times its speed."""
    frames = len(clip.joints)
    count = max(2, round((frames - 1) / factor) + 1)
    place = np.linspace(0, frames - 1, count)
    low = np.floor(place).astype(int).clip(0, frames - 2) if frames > 1 else np.zeros(count, int)
    high = np.minimum(low + 1, frames - 1)
    share = (place - low).astype(np.float32)
    return replace(
        clip, joints=_lerp(clip.joints, low, high, share),
        confidence=None if clip.confidence is None else _lerp(clip.confidence, low, high, share),
        observed=None if clip.observed is None else clip.observed[np.where(share < 0.5, low, high)],
    )  # fmt: skip


def mirrored(clip: Clip) -> Clip:
    """Left becomes right."""
    partner = list(MIRROR[:NUM_BODY])
    joints = clip.joints[:, partner] * np.array([-1, 1, 1], np.float32)
    confidence = None if clip.confidence is None else clip.confidence[:, partner]
    return replace(clip, name=clip.name + MIRRORED, joints=joints, confidence=confidence)


def paused(clip: Clip, frames: int, rng: np.random.Generator) -> Clip:
    """Somebody who stays as the clip ends, swaying by a centimetre."""
    time = np.arange(frames)[:, None, None] / FPS
    rate = rng.uniform(0.2, 0.7)
    height = np.maximum(clip.joints[-1:, :, 1:2], 0.0)
    phase = rng.uniform(0, 2 * np.pi, (1, 1, 3))
    sway = 0.012 * height * np.sin(2 * np.pi * rate * time + phase) * (1, 0.2, 1)
    joints = (clip.joints[-1:] + sway).astype(np.float32)
    confidence = None if clip.confidence is None else np.repeat(clip.confidence[-1:], frames, 0)
    observed = None if clip.observed is None else np.repeat(clip.observed[-1:], frames)
    return Clip(f"{clip.name} pause", joints, None, True, confidence, observed)


def _gap(pool: Pool, before: Clip | None, rng: np.random.Generator) -> Clip | None:
    """Somebody who stands about, a pause, or an action of no class."""
    config = pool.config
    frames = round(rng.uniform(*config.gap_seconds) * FPS)
    chance = rng.random()
    if chance < config.idle and pool.idle:
        clip = vary(_drawn(rng, pool.idle), config, rng)
        while len(clip.joints) < frames:
            joints = np.concatenate([clip.joints, clip.joints[-2::-1]])
            clip = replace(clip, joints=joints, confidence=_there_and_back(clip.confidence),
                           observed=_there_and_back(clip.observed))  # fmt: skip
        return cut(clip, int(rng.integers(0, len(clip.joints) - frames + 1)), frames)
    if chance < config.idle + config.pause or not pool.other:
        return None if before is None else paused(before, frames, rng)
    return vary(_drawn(rng, pool.other), config, rng)


def _there_and_back(values: ndarray | None) -> ndarray | None:
    return None if values is None else np.concatenate([values, values[-2::-1]])


def _drawn(rng: np.random.Generator, clips: Sequence[Clip]) -> Clip:
    weight = np.array([clip.weight for clip in clips])
    return clips[int(rng.choice(len(clips), p=weight / weight.sum()))]


def _arrays(clip: Clip) -> tuple[ndarray, ndarray, ndarray]:
    frames = len(clip.joints)
    confidence = np.ones((frames, NUM_BODY), np.float32) if clip.confidence is None else clip.confidence
    return clip.joints, confidence, np.ones(frames, bool) if clip.observed is None else clip.observed


def _placed(
    joints: Float32[ndarray, "frames 22 3"], at: int, pose: Float32[ndarray, "22 3"], extra: float
) -> Float32[ndarray, "frames 22 3"]:
    """Turned so that frame `at` faces where `pose` does (and `extra` radians more), its pelvis above the other's."""
    now = joints_heading(joints[at : at + 1].astype(np.float64))[0]
    yaw = float(joints_heading(pose[None].astype(np.float64))[0] - now) + extra
    cos, sin = np.cos(yaw), np.sin(yaw)
    joints = joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32)
    joints[..., [0, 2]] += pose[0, [0, 2]] - joints[at, 0, [0, 2]]
    return joints


def _blended(
    before: tuple[ndarray, ndarray, ndarray], after: tuple[ndarray, ndarray, ndarray], blend: int, extra: int
) -> tuple[tuple[ndarray, ndarray, ndarray], tuple[ndarray, ndarray, ndarray]]:
    """(what is left of the earlier clip, the later one from the blend on); the blend has blend + extra frames."""
    span = blend + extra
    if span == 0:
        return before, after
    share = (np.arange(span, dtype=np.float32) + 0.5) / span
    share = share * share * (3 - 2 * share)
    kept = len(before[0]) - blend
    old = np.minimum(np.arange(span) + kept, len(before[0]) - 1)
    new = np.maximum(np.arange(span) - extra, 0)
    mixed = before[0][old] * (1 - share)[:, None, None] + after[0][new] * share[:, None, None]
    joints = with_bones(mixed, before[0][-1])
    seen = before[1][old] * (1 - share)[:, None] + after[1][new] * share[:, None]
    flags = np.where(share < 0.5, before[2][old], after[2][new])
    head = (before[0][:kept], before[1][:kept], before[2][:kept])
    rest = [np.concatenate([one, two[blend:]]) for one, two in zip((joints, seen, flags), after, strict=True)]
    return head, (rest[0].astype(np.float32), rest[1].astype(np.float32), rest[2])


def with_bones(joints: Float[ndarray, "frames 22 3"], like: Float[ndarray, "22 3"]) -> Float32[ndarray, "frames 22 3"]:
    """The same directions from joint to joint, with the bone lengths of another pose."""
    result = np.array(joints, np.float32)
    for joint in range(1, NUM_BODY):
        parent = PARENTS[joint]
        bone = joints[:, joint] - joints[:, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        wanted = np.linalg.norm(like[joint] - like[parent])
        result[:, joint] = result[:, parent] + bone * (wanted / np.maximum(length, 1e-6))
    return result


def _lerp(values: ndarray, low: ndarray, high: ndarray, share: ndarray) -> ndarray:
    weight = share.reshape(-1, *[1] * (values.ndim - 1))
    return (values[low] * (1 - weight) + values[high] * weight).astype(np.float32)
