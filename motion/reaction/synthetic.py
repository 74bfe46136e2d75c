"""Two people made of single clips: approaching, following, mirroring, moving alike, high fives and things handed over.

Nobody captured these pairs: somebody's clip is placed beside somebody else's, or the same one again, delayed or seen in
a mirror, and hands are brought together by inverse kinematics. So they teach where people stand and which way they
face, and little of how people answer; they are marked `synthetic`, belong to no fold, and are of no use for measuring.
Only training clips go in, none of two-person takes and none of depth cameras; licences follow the clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from models.body.mirror import mirror_rotations
from models.body.touching import Hold, join_hands, palms
from models.data.dataset import ClipRecord, MotionDataset
from models.data.pairs import Pair
from models.data.sampling import FILTERS
from models.formats import together
from models.motion import Motion
from models.representation.heading import pelvis_heading
from models.representation.pair import rest_joints
from models.rotations import yaw_rotation

NO_FOLD = -1
LONGEST = 180
"""Frames at 30 fps."""
SHORTEST = 45
NEAREST = 0.5
"""Metres between pelvises below which two bodies would be in one another."""
ATTEMPTS = 30
REACHED = 0.06
"""Metres between palms, at most, of hands that were to meet."""
REJECTED_FLAGS = frozenset(("spikes", "noisy", "short", "joints_only", "in_place", "off_floor", "composite"))

TEXTS: dict[str, tuple[str, ...]] = {
    "approach": ("two people walk towards each other", "they come up to one another and stop face to face"),
    "walk up": ("one person walks up to another, who {act}", "somebody comes closer while the other {act}"),
    "follow": ("one person walks and the other follows behind", "they walk one after the other"),
    "mirror": ("they stand face to face and one mirrors the other", "one person copies the other like a mirror"),
    "alike": ("two people do the same side by side", "they move alike, next to each other"),
    "greet": ("they greet each other: one {act}, the other {answer}", "one person {act} and the other {answer}"),
    "high five": ("two people give each other a high five", "they raise a hand and clap them together"),
    "hand over": ("one person hands something to the other", "one gives an object and the other takes it"),
}
"""Sentences of our own; `act` and `answer` are what the two clips show."""

DOING = {"wave": "waves", "bow": "bows", "raise arms": "raises the arms", "gesture": "makes a gesture",
         "cheer": "cheers", "stand": "stands", "talk": "talks", "clap": "claps", "nod": "nods"}  # fmt: skip
COPIED = (*DOING, "dance", "jumping jacks", "punch", "martial arts", "turn")


@dataclass(frozen=True)
class Clip:
    """One person at 30 fps, and how the pelvis faces and goes."""

    record: ClipRecord
    motion: Motion
    pelvis: Float[ndarray, "frames 3"]
    yaw: Float[ndarray, " frames"]

    def cut(self, start: int, stop: int) -> Clip:
        """Frames `start:stop`."""
        return Clip(self.record, self.motion.slice(start, stop), self.pelvis[start:stop], self.yaw[start:stop])

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.motion.frames


class Pool:
    """Clips by their action, read when they are drawn."""

    def __init__(self, dataset: MotionDataset, licences: str = "research") -> None:
        self.dataset, allowed = dataset, FILTERS[licences]
        usable = dataset.select(
            allowed, lambda r: not r.pair and r.source != "kinect" and not REJECTED_FLAGS & set(r.flags),
            lambda r: r.frames >= SHORTEST, split="train",
        )  # fmt: skip
        self.by_action: dict[str, list[ClipRecord]] = {}
        for record in usable:
            self.by_action.setdefault(record.action, []).append(record)

    def draw(self, rng: np.random.Generator, actions: Sequence[str]) -> Clip:
        """A clip of one of the actions, each as likely as the others."""
        known = [action for action in actions if action in self.by_action]
        records = self.by_action[known[rng.integers(len(known))]]
        return clip_of(self.dataset, records[rng.integers(len(records))])


Recipe = Callable[[np.random.Generator, Pool], "Made | None"]


@dataclass(frozen=True)
class Made:
    """Two placed clips with who holds what, before they become a pair."""

    clips: tuple[Clip, Clip]
    holds: tuple[Hold, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    place: tuple[float, float, float] | None = None
    fade: float = 0.5


def synthetic_pairs(
    dataset: MotionDataset,
    each: int = 30,
    *,
    seed: int = 0,
    kinds: Sequence[str] = tuple(TEXTS),
    licences: str = "research",
) -> list[Pair]:
    """`each` pairs of every kind (fewer where clips do not fit), at 30 fps; the same for the same seed."""
    pool, pairs = Pool(dataset, licences), []
    for kind in kinds:
        for number in range(each):
            rng = np.random.default_rng([seed, list(TEXTS).index(kind), number])
            for _ in range(ATTEMPTS):
                made = RECIPES[kind](rng, pool)
                if made and _apart(made) and (pair := _pair(made, kind, number, rng)):
                    pairs.append(pair)
                    break
    return pairs


# ----------------------------------------------------------------------------------------------------------- recipes


def _approach(rng: np.random.Generator, pool: Pool) -> Made | None:
    """Both walk, and the last frame finds them face to face."""
    first, second = (_walk(rng, pool, toward_end=True) for _ in (0, 1))
    if first is None or second is None:
        return None
    frames = min(first.frames, second.frames)
    both = (first.cut(first.frames - frames, first.frames), second.cut(second.frames - frames, second.frames))
    return Made(_face_to_face(both, rng.uniform(0.9, 1.4), frames - 1))


def _walk_up(rng: np.random.Generator, pool: Pool) -> Made | None:
    """One walks up to the other, who stays where they are."""
    walker, other = _walk(rng, pool, toward_end=True), pool.draw(rng, tuple(DOING))
    if walker is None or _way(other) > 0.4:
        return None
    frames = min(walker.frames, other.frames)
    both = (walker.cut(walker.frames - frames, walker.frames), other.cut(0, frames))
    return Made(_face_to_face(both, rng.uniform(0.9, 1.5), frames - 1), words=(("act", DOING[other.record.action]),))


def _follow(rng: np.random.Generator, pool: Pool) -> Made | None:
    """The second goes where the first has been."""
    clip = _walk(rng, pool, longest=LONGEST + 60)
    if clip is None:
        return None
    gone = np.linalg.norm(clip.pelvis[:, ::2] - clip.pelvis[0, ::2], axis=-1)
    delay = int(np.searchsorted(gone, rng.uniform(0.8, 1.3)))
    if clip.frames - delay < SHORTEST:
        return None
    return Made((clip.cut(delay, clip.frames), clip.cut(0, clip.frames - delay)))


def _mirror(rng: np.random.Generator, pool: Pool) -> Made | None:
    """The second is the first one's reflection, a moment later."""
    clip = _short(rng, pool.draw(rng, COPIED))
    delay, distance = int(rng.integers(0, 12)), rng.uniform(1.0, 1.8)
    if clip.frames - delay < SHORTEST:
        return None
    front = _standing_at(clip, 0, (0.0, 0.0), 0.0)
    if front.pelvis[:, 2].max() > (distance - NEAREST) / 2:
        return None
    rest = rest_joints(front.motion)[:, None, 0].numpy().astype(np.float32)
    rotations, pelvis = mirror_rotations(front.motion.rotations, front.motion.root + rest)
    image = _clip(front.record, replace(front.motion, rotations=rotations, root=pelvis - rest))
    image = _standing_at(image, 0, (float(front.pelvis[0, 0]), distance), np.pi)
    return Made((front.cut(delay, front.frames), image.cut(0, image.frames - delay)))


def _alike(rng: np.random.Generator, pool: Pool) -> Made | None:
    """Both do the same beside one another."""
    clip, side = _short(rng, pool.draw(rng, (*COPIED, "walk"))), rng.choice((-1.0, 1.0)) * rng.uniform(0.9, 1.4)
    delay = int(rng.integers(0, 6))
    if clip.frames - delay < SHORTEST:
        return None
    first, second = (_standing_at(clip, 0, (x, 0.0), 0.0) for x in (0.0, float(side)))
    return Made((first.cut(delay, first.frames), second.cut(0, second.frames - delay)))


def _greet(rng: np.random.Generator, pool: Pool) -> Made | None:
    """One greets, the other answers, at a talking distance."""
    first, second = (pool.draw(rng, ("wave", "bow", "gesture", "raise arms", "cheer")) for _ in (0, 1))
    frames = min(first.frames, second.frames, LONGEST)
    if max(_way(first), _way(second)) > 0.5:
        return None
    both = _face_to_face((first.cut(0, frames), second.cut(0, frames)), rng.uniform(1.0, 2.0), 0)
    words = (("act", DOING[first.record.action]), ("answer", DOING[second.record.action]))
    return Made(both, words=words)


def _high_five(rng: np.random.Generator, pool: Pool) -> Made | None:
    """Two raised hands of captured people meet at the moment when they are highest."""
    sides = (int(rng.integers(2)),) * 2 if rng.random() < 0.7 else (0, 1)
    clips = [pool.draw(rng, ("raise arms",)) for _ in sides]
    heights = [palms(clip.motion)[0, :, side, 1] for clip, side in zip(clips, sides, strict=True)]
    peaks = [int(height.argmax()) for height in heights]
    if min(height.max() for height in heights) < 1.5 or max(_way(clip) for clip in clips) > 0.3:
        return None
    before, after = min(peaks), min(clip.frames - peak for clip, peak in zip(clips, peaks, strict=True))
    if before < 8 or after < 12 or before + after < SHORTEST - 10:
        return None
    cuts = [clip.cut(peak - before, peak + after) for clip, peak in zip(clips, peaks, strict=True)]
    distance, top = rng.uniform(0.65, 0.85), min(height.max() for height in heights)
    first, second = _face_to_face((cuts[0], cuts[1]), distance, before)
    places = [palms(clip.motion)[0, before, side] for clip, side in zip((first, second), sides, strict=True)]
    aside = float(places[0][0] - places[1][0]) * 0.6  # right hands are not opposite one another: step aside
    second = _moved(second, 0.0, (aside, 0.0))
    middle = (places[0] + places[1] + np.array([aside, 0.0, 0.0])) / 2
    place = (float(middle[0]), float(min(top - 0.1, 1.75)), float(middle[2]))
    return Made((first, second), (Hold(before - 1, before + 3, *sides),), place=place, fade=0.4)


def _hand_over(rng: np.random.Generator, pool: Pool) -> Made | None:
    """Hands of two people who stand face to face meet in front of them, and stay together for a moment."""
    clips = [_still(rng, pool.draw(rng, ("stand", "talk", "gesture", "bow", "wave", "nod"))) for _ in (0, 1)]
    frames = min(clip.frames for clip in clips)
    if max(_way(clip) for clip in clips) > 0.15 or frames < SHORTEST:
        return None
    first, second = _face_to_face(
        (clips[0].cut(0, frames), clips[1].cut(0, frames)), rng.uniform(0.85, 1.05), frames // 2
    )
    sides = (int(rng.integers(2)), int(rng.integers(2)))
    start, long = frames // 2 - 4, int(rng.integers(6, 15))
    across = 0.08 * (float(sides[0] == 0) - float(sides[0] == 1) + float(sides[1] == 1) - float(sides[1] == 0))
    middle = (first.pelvis[start] + second.pelvis[start]) / 2
    place = (float(middle[0]) + across, float(rng.uniform(0.95, 1.2)), float(middle[2]))
    return Made((first, second), (Hold(start, start + long, *sides),), place=place, fade=0.7)


RECIPES: dict[str, Recipe] = {
    "approach": _approach, "walk up": _walk_up, "follow": _follow, "mirror": _mirror, "alike": _alike,
    "greet": _greet, "high five": _high_five, "hand over": _hand_over,
}  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- helpers


def clip_of(dataset: MotionDataset, record: ClipRecord) -> Clip:
    """A record of a motion set with where its pelvis is and how it faces."""
    return _clip(record, dataset.motion(record))


def _clip(record: ClipRecord, motion: Motion) -> Clip:
    pelvis = motion.root[0] + rest_joints(motion)[0, 0].numpy()
    return Clip(record, motion, pelvis, pelvis_heading(motion.rotations[0, :, 0]))


def _moved(clip: Clip, turned: float, shift: tuple[float, float]) -> Clip:
    """The clip turned about the world's vertical, then shifted (x, z)."""
    spin = yaw_rotation(torch.tensor(turned, dtype=torch.float64)).numpy()
    pelvis = clip.pelvis @ spin.T + np.array([shift[0], 0.0, shift[1]])
    rotations = clip.motion.rotations.copy()
    rotations[0, :, 0] = spin @ rotations[0, :, 0]
    root = clip.motion.root + (pelvis - clip.pelvis)[None].astype(np.float32)
    return Clip(clip.record, replace(clip.motion, rotations=rotations, root=root), pelvis, clip.yaw + turned)


def _standing_at(clip: Clip, frame: int, at: tuple[float, float], yaw: float) -> Clip:
    """The clip moved so that at `frame` the pelvis is above (x, z), facing `yaw`."""
    turned = _moved(clip, yaw - float(clip.yaw[frame]), (0.0, 0.0))
    return _moved(turned, 0.0, (at[0] - float(turned.pelvis[frame, 0]), at[1] - float(turned.pelvis[frame, 2])))


def _face_to_face(clips: tuple[Clip, Clip], distance: float, frame: int) -> tuple[Clip, Clip]:
    """At `frame` the first is at the origin and faces +Z, the second `distance` before them and faces them."""
    return _standing_at(clips[0], frame, (0.0, 0.0), 0.0), _standing_at(clips[1], frame, (0.0, distance), np.pi)


def _walk(rng: np.random.Generator, pool: Pool, *, toward_end: bool = False, longest: int = LONGEST) -> Clip | None:
    """A stretch of forward walking of some length; with `toward_end` its last second goes where the body faces."""
    clip = pool.draw(rng, ("walk",))
    start = int(rng.integers(0, max(1, clip.frames - longest + 1)))
    clip = clip.cut(start, min(clip.frames, start + longest))
    way = clip.pelvis[-1] - clip.pelvis[max(0, clip.frames - 30)]
    direction = np.arctan2(way[0], way[2]) - clip.yaw[-1]
    forward = np.cos(direction) > 0.85 and np.linalg.norm(way[::2]) > 0.4
    return clip if clip.frames >= SHORTEST and _way(clip) > 1.2 and (forward or not toward_end) else None


def _short(rng: np.random.Generator, clip: Clip) -> Clip:
    start = int(rng.integers(0, max(1, clip.frames - LONGEST + 1)))
    return clip.cut(start, min(clip.frames, start + LONGEST))


def _still(rng: np.random.Generator, clip: Clip) -> Clip:
    """The stretch of 2.5 s, or less, in which the hands move least."""
    frames = min(clip.frames, int(rng.integers(60, 90)))
    speed = np.linalg.norm(np.diff(palms(clip.motion)[0], axis=0), axis=-1).sum(-1)
    total = np.concatenate([[0.0], np.cumsum(speed)])
    cost = total[frames - 1 :] - total[: len(total) - frames + 1]
    start = int(cost.argmin())
    return clip.cut(start, start + frames)


def _way(clip: Clip) -> float:
    """How far, metres, the pelvis gets from where it starts."""
    return float(np.linalg.norm(clip.pelvis[:, ::2] - clip.pelvis[0, ::2], axis=-1).max())


def _apart(made: Made) -> bool:
    first, second = made.clips
    return float(np.linalg.norm(first.pelvis[:, ::2] - second.pelvis[:, ::2], axis=-1).min()) >= NEAREST


def _pair(made: Made, kind: str, number: int, rng: np.random.Generator) -> Pair | None:
    """Nothing where hands that should meet do not reach."""
    records = [clip.record for clip in made.clips]
    motion = together([clip.motion for clip in made.clips], kind)
    if made.holds:
        places = None if made.place is None else np.array([made.place] * len(made.holds))
        motion = join_hands(motion, made.holds, fade=made.fade, places=places, relaxed=True)
        hands = palms(motion)
        gaps = [hands[0, hold.start : hold.stop, hold.first] - hands[1, hold.start : hold.stop, hold.second]
                for hold in made.holds]  # fmt: skip
        if max(np.linalg.norm(gap, axis=-1).max() for gap in gaps) > REACHED:
            return None
    texts = [text.format(**dict(made.words)) for text in TEXTS[kind]]
    if rng.random() < 0.5:
        texts.reverse()
    name = f"synthetic_{kind.replace(' ', '_')}_{number:03d}"
    source = "+".join(dict.fromkeys(record.id for record in records))
    licences = "; ".join(dict.fromkeys(record.license for record in records))
    return Pair(name, motion, texts[0], source, licences, number, NO_FOLD, True, made.holds, tuple(texts[1:]))
