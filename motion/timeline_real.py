"""Real clips in the place of generated intervals: alone, and spliced to whole timelines whose boundaries are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import PARTS as EVERY_PART
from models.body.skeleton import MIRROR, NUM_BODY
from models.motion_text.examples import SEQUENCE, Example
from models.representation import joints as joint_features
from models.representation.heading import joints_heading
from models.text.captions import side_words
from motion.timeline_items import Interval, Item

FADE = 6
"""Frames over which the jump between two spliced clips fades out."""
ENOUGH = 3
"""Clips outside the training split from which on these alone stand for an action: one odd clip is no ceiling."""
NOISY = frozenset(("noisy", "spikes"))

Joints = Float[ndarray, "frames 22 3"]
_RIGID = (9, 12, 13, 14)
"""Spine, neck and both collar joints: they sit on one bone, so they give the chest's frame."""
_ARM = {"left arm": (16, 18, 20), "right arm": (17, 19, 21)}


@dataclass(frozen=True)
class Cut:
    """A stretch of a real clip that shows an interval's action, as long as the interval or, for want, shorter."""

    joints: Joints
    held: bool
    """Whether the clip is in val or test; training clips flatter the judge, which learnt from them."""


class RealClips:
    """Clean clips by action, to draw from."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.by_action: dict[str, list[Example]] = {}
        for example in examples:
            if example.action != SEQUENCE and not NOISY & set(example.record.flags):
                self.by_action.setdefault(example.action, []).append(example)

    def draw(self, interval: Interval, frames: int, rng: np.random.Generator) -> Cut:
        """The middle of a random clip of the interval's action and side that is long enough, else of the longest.

        From val and test alone where these have `ENOUGH` such clips, else from every split.

        Where no clip names the side wanted, one that names the other is mirrored, else any is taken as it is.
        LabanError for an action without clips.
        """
        if not (clips := self.by_action.get(str(interval.action))):
            raise LabanError(f"action {interval.action!r} ({interval.text!r}): the dataset has no clean clip of it")
        if interval.side is not None:
            clips = [e for e in clips if len(side_words(" ".join(e.texts))) == 1] or clips
        clips = [e for e in clips if len(e.features) >= frames] or [max(clips, key=lambda e: len(e.features))]
        held = [e for e in clips if e.record.split != "train"]
        clips = held if len(held) >= ENOUGH else clips
        chosen = clips[int(rng.integers(len(clips)))]
        first = max(0, (len(chosen.features) - frames) // 2)
        joints = joint_features.decode(chosen.features.numpy().astype(np.float64))[first : first + frames]
        sides = side_words(" ".join(chosen.texts))
        if interval.side is not None and len(sides) == 1 and sides != (interval.side,):
            joints = mirrored(joints)
        return Cut(joints, chosen.record.split != "train")


def mirrored(joints: Joints) -> Joints:
    """Joints as seen in a mirror at x = 0."""
    return joints[:, list(MIRROR[:NUM_BODY])] * np.array([-1.0, 1.0, 1.0])


def draw_cuts(item: Item, clips: RealClips, rng: np.random.Generator) -> list[Cut]:
    """One cut for each interval of a timeline, in order."""
    return [clips.draw(interval, stop - start, rng)
            for interval in item.intervals for start, stop in [item.span(interval)]]  # fmt: skip


def splice(item: Item, cuts: Sequence[Cut]) -> Joints:
    """The cuts end to end at their times, each going on where the last one stood and faced; arms of others on top.

    What is missing (gaps, clips that are too short) is held; the jump at each boundary fades out over 0.3 s after it.
    """
    base = sorted((i.start, n) for n, i in enumerate(item.intervals) if i.track == 0)
    frames, out = item.frames, list[Joints]()
    starts = [item.span(item.intervals[n])[0] for _, n in base]
    for k, (_, n) in enumerate(base):
        lead = np.repeat(cuts[n].joints[:1], 0 if k else starts[0], 0)
        clip = _held(cuts[n].joints, (starts[k + 1] if k + 1 < len(base) else frames) - starts[k])
        clip = np.concatenate([lead, clip])
        out.append(_going_on(out[-1][-1], clip) if out else clip)
    joints = np.concatenate(out)[:frames]
    for n, interval in enumerate(item.intervals):
        if interval.track:
            start, stop = item.span(interval)
            joints[start:stop] = with_arms(joints[start:stop], _held(cuts[n].joints, stop - start), interval.parts)
    return joints


def with_arms(body: Joints, other: Joints, parts: Sequence[str]) -> Joints:
    """`body` with the arms among `parts` taken from `other`, relative to the chest (SINC's rule, in positions)."""
    if unable := [part for part in parts if part not in _ARM]:
        raise LabanError(f"second track: parts {', '.join(unable)} cannot be spliced; accepted: {', '.join(_ARM)}")
    out = body.copy()
    frame, origin = _chest(body), body[:, 9:10]
    theirs, source = _chest(other), other[:, 9:10]
    for part in parts:
        joints = list(_ARM[part])
        local = (other[:, joints] - source) @ theirs
        out[:, joints] = origin + local @ frame.transpose(0, 2, 1)
    return out


def _chest(joints: Joints) -> Float[ndarray, "frames 3 3"]:
    """Orthonormal axes, as columns, of the bone that carries neck and collars."""
    _, neck, left, right = _RIGID
    x = joints[:, left] - joints[:, right]
    x = x / np.linalg.norm(x, axis=-1, keepdims=True).clip(1e-9)
    up = joints[:, neck] - joints[:, 9]
    y = up - (up * x).sum(-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True).clip(1e-9)
    return np.stack([x, y, np.cross(x, y)], -1)


def _held(joints: Float[ndarray, "_ 22 3"], length: int) -> Float[ndarray, "_ 22 3"]:
    """Exactly `length` frames: cut, or the last one held."""
    missing = length - len(joints)
    return joints[:length] if missing <= 0 else np.concatenate([joints, np.repeat(joints[-1:], missing, 0)])


def _going_on(last: Float[ndarray, "22 3"], clip: Joints) -> Joints:
    """`clip` moved and turned about the vertical to start where and as `last` stands; the rest of the jump fades."""
    angle = joints_heading(last[None])[0] - joints_heading(clip[:1])[0]
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    moved = clip @ turn.T
    moved = moved + (last[0] - moved[0, 0]) * np.array([1.0, 0.0, 1.0])
    fade = np.clip(1 - (np.arange(len(moved)) + 1) / (FADE + 1), 0, 1)[:, None, None]
    return moved + fade * (last - moved[0])


def opposite(parts: Sequence[str]) -> tuple[str, ...] | None:
    """The same parts on the other side; None where they have no side, or both."""
    swapped = tuple(part.replace("left", "*").replace("right", "left").replace("*", "right") for part in parts)
    known = all(part in EVERY_PART for part in swapped)
    return swapped if known and not set(swapped) & set(parts) else None
