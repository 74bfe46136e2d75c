"""What actions that motion capture lacks or hardly has look like: each a function of random numbers and a length.

Written down from what the actions are (a squat bends hips and knees until the thighs are about level), with wide ranges
of tempo, extent and the ways in which people do them; nothing is fitted to a recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy import ndarray

from action_localization.pose.features import FPS
from action_localization.pose.observe import lasting
from action_localization.pose.procedural import (
    OUT,
    STANDING,
    Action,
    Posing,
    between,
    leaning,
    pitched,
    standing,
    turns,
    wave,
)

Rng = np.random.Generator


def _trunk(pose: Posing, ahead: ndarray | float, *, hips: float = 0.7, twist: ndarray | float = 0.0) -> Posing:
    """The pose with its trunk leaning ahead, of which the hips do a share, and twisted to the left; radians."""
    frames = len(pose.pelvis)
    lean, round_ = np.broadcast_to(ahead, frames), np.broadcast_to(twist, frames)
    none = np.zeros(frames)
    return replace(pose, hips=leaning(hips * lean, none, 0.4 * round_), chest=leaning(lean, none, round_))


def _hands(frames: int, left: tuple[float, float, float], right: tuple[float, float, float]) -> ndarray:
    return np.zeros((frames, 2, 3)) + np.array([left, right])


def _both(rng: Rng, frames: int, wide: tuple[float, float], high: tuple[float, float], ahead: tuple[float, float]
          ) -> ndarray:  # fmt: skip
    """Hands at the same place on either side: so far out from the shoulders, above and ahead of them."""
    x, y, z = (rng.uniform(*one) for one in (wide, high, ahead))
    return _hands(frames, (x, y, z), (-x, y, z))


def squat(rng: Rng, frames: int) -> Posing:
    """Down and up again, once or several times, with a bar on the shoulders, a weight in the hands or neither."""
    pose = standing(rng, frames)
    seconds = frames / FPS
    count = max(1, round(seconds / rng.uniform(1.0, 3.5)))
    low = wave(np.linspace(0, count, frames) + (0.5 if rng.random() < 0.12 else 0.0)) ** rng.uniform(0.7, 1.3)
    depth, lean = rng.uniform(0.22, 0.55), rng.uniform(0.25, 1.0)
    pose.pelvis[:] += np.stack([0 * low, -depth * low, -depth * rng.uniform(0.2, 0.6) * low], -1)
    pose.feet[..., 0] = OUT * rng.uniform(0.12, 0.32)
    pose = _trunk(pose, lean * low, hips=1.0)
    held = rng.integers(5)
    hands = (
        _both(rng, frames, (0.05, 0.35), (-0.05, 0.1), (-0.12, 0.05)),
        _both(rng, frames, (-0.15, 0.05), (-0.15, 0.1), (0.3, 0.49)),
        _both(rng, frames, (-0.16, -0.05), (-0.25, -0.05), (0.15, 0.3)),
        _both(rng, frames, (0.0, 0.1), (-0.49, -0.4), (0.0, 0.2)),
        _both(rng, frames, (-0.3, -0.1), (-0.1, 0.05), (0.1, 0.2)),
    )[held]  # fmt: skip
    if held == 1 and rng.random() < 0.5:
        rest = _both(rng, frames, (0.0, 0.1), (-0.48, -0.3), (0.0, 0.25))
        hands = rest + (hands - rest) * low[:, None, None]
    return replace(pose, hands=hands, nod=pose.nod - 0.6 * lean * low)


def _prone(rng: Rng, frames: int, shoulder: ndarray) -> Posing:
    """A body that is straight from the toes to the shoulders, which are at a height, and faces the floor."""
    pose = standing(rng, frames)
    rise = np.arcsin(((shoulder - 0.12) / 1.29).clip(-0.4, 0.9))
    sag = rng.normal(0.02, 0.04)
    pelvis = np.stack([0 * rise, 0.12 + 0.895 * np.sin(rise) + sag, 0.895 * np.cos(rise)], -1)
    feet = np.zeros((frames, 2, 3)) + np.array([0, 0.1, 0.0])
    feet[..., 0] = OUT * rng.uniform(0.05, 0.15)
    lean = np.pi / 2 - rise
    level = rng.normal(0, 0.04)
    pose = replace(pose, pelvis=pelvis, feet=feet, hips=pitched(lean - 2 * sag), chest=pitched(lean + 3 * sag + level))
    return replace(pose, toes=np.zeros((frames, 2, 3)) + (0, -1, 0.3), nod=np.full(frames, rng.normal(-0.4, 0.4)))


def plank(rng: Rng, frames: int) -> Posing:
    """Held on the forearms or the hands."""
    straight = rng.random() < 0.3
    height = rng.uniform(0.45, 0.52) if straight else rng.uniform(0.24, 0.33)
    pose = _prone(rng, frames, height + 0.006 * lasting(rng, (frames,), 0.8))
    if straight:
        return replace(pose, hands=_both(rng, frames, (-0.05, 0.15), (-0.05, 0.1), (0.45, 0.5)))
    hands = _both(rng, frames, (-0.2, 0.05), (0.18, 0.28), (0.22, 0.3))
    return replace(pose, hands=hands, elbows=np.zeros((frames, 2, 3)) + (0, -0.4, 1.0))


def push_up(rng: Rng, frames: int) -> Posing:
    """Down and up on the hands."""
    count = max(1, round(frames / FPS / rng.uniform(0.8, 2.6)))
    low = wave(np.linspace(0, count, frames) + (0.5 if rng.random() < 0.15 else 0.0))
    high = rng.uniform(0.45, 0.52)
    pose = _prone(rng, frames, high - rng.uniform(0.15, 0.32) * low)
    wide, ahead = rng.uniform(0.02, 0.3), rng.normal(0.0, 0.05)
    floor = np.zeros((frames, 2, 3)) + (0, 0.05, 1.28 + ahead)
    floor[..., 0] = OUT * (0.17 + wide)
    out = np.stack([OUT, [-0.7, -0.7], [-0.3, -0.3]], -1)
    return replace(pose, hands=floor, placed=True, elbows=np.zeros((frames, 2, 3)) + out)


def jumping_jacks(rng: Rng, frames: int) -> Posing:
    """Legs apart and arms up, and back, at every jump."""
    pose = standing(rng, frames)
    count = turns(rng, frames, (0.7, 1.4), 0.0)
    apart, hop = wave(count), wave(2 * count)
    pose.feet[..., 0] = OUT * (0.09 + rng.uniform(0.2, 0.4) * apart[:, None])
    lift = rng.uniform(0.02, 0.08) * hop
    pose.feet[..., 1] += lift[:, None]
    pose.pelvis[:, 1] += lift - 0.06 * apart
    angle = (-np.pi / 2 + 0.15 + rng.uniform(2.0, 2.95) * apart)[:, None]
    reach = 0.49 - rng.uniform(0, 0.1) * hop[:, None]
    hands = np.stack(
        [OUT * reach * np.cos(angle), np.repeat(reach * np.sin(angle), 2, 1), np.full((frames, 2), 0.05)], -1
    )
    return replace(pose, hands=hands)


def jump_rope(rng: Rng, frames: int) -> Posing:
    """Small jumps on both feet, or from foot to foot, while the hands beside the hips turn the rope."""
    pose = standing(rng, frames)
    count = turns(rng, frames, (1.4, 4.2))
    alternate, height = rng.random() < 0.5, rng.uniform(0.02, 0.14)
    bend = rng.uniform(0.0, 0.15)
    for k in (0, 1):
        lift = wave(count / 2 + k / 2) ** 1.5 * 1.6 if alternate else wave(count)
        pose.feet[:, k, 1] += height * lift
        pose.feet[:, k, 2] -= rng.uniform(0, 0.6) * height * lift
    pose.pelvis[:, 1] += height * (0.2 if alternate else 0.9) * wave(count) - bend
    lean = rng.uniform(0.0, 0.9) if alternate else rng.uniform(0.0, 0.35)
    pose.pelvis[:, 2] -= 0.25 * lean
    pose = _trunk(pose, lean)
    out, down, ahead, wide = (
        rng.uniform(0.05, 0.3),
        rng.uniform(-0.42, -0.22),
        rng.uniform(0.0, 0.28),
        rng.uniform(0.01, 0.09),
    )
    round_ = 2 * np.pi * (count + rng.random())[:, None]
    hands = np.stack(
        [
            np.repeat(OUT[None] * out, frames, 0),
            down + wide * np.sin(round_).repeat(2, 1),
            ahead + wide * np.cos(round_).repeat(2, 1),
        ],
        -1,
    )
    return replace(
        pose, hands=hands, elbows=np.zeros((frames, 2, 3)) + (0, -0.3, -1), nod=pose.nod + rng.uniform(-0.2, 0.5)
    )


def football_juggling(rng: Rng, frames: int) -> Posing:
    """One leg after another lifts, with foot or thigh, every half a second or so; the arms are out for balance."""
    pose = standing(rng, frames)
    count = turns(rng, frames, (0.7, 2.4))
    number, phase = np.floor(count).astype(int), count % 1
    plan = rng.random(number.max() + 1)
    swap, thigh = rng.uniform(0.0, 1.0), rng.uniform(0, 0.5)
    side = np.cumsum(plan < swap) % 2
    knee = rng.random(len(plan)) < thigh
    rise = wave(phase) ** rng.uniform(1.0, 5.0)
    high, far = rng.uniform(0.06, 0.5, len(plan)), rng.uniform(0.1, 0.5, len(plan))
    for k in (0, 1):
        mine = rise * (side[number] == k)
        up, ahead = np.where(knee, 0.4, high)[number], np.where(knee, 0.05, far)[number]
        pose.feet[:, k] += np.stack([0 * mine, up * mine, ahead * mine], -1)
        pose.pelvis[:, 0] -= OUT[k] * 0.05 * mine
    pose.pelvis[:, 1] -= rng.uniform(0.01, 0.06)
    path = np.cumsum(0.012 * lasting(rng, (frames, 2), 0.8), 0)
    pose.pelvis[:, [0, 2]] += path
    pose.feet[..., [0, 2]] += path[:, None]
    pose = _trunk(pose, rng.uniform(0.0, 0.4) + 0.1 * rise, twist=0.12 * lasting(rng, (frames,), 1.5))
    hands = _both(rng, frames, (0.1, 0.36), (-0.42, -0.1), (-0.05, 0.2)) + 0.05 * lasting(rng, (frames, 2, 3), 1.8)
    return replace(pose, hands=hands, nod=pose.nod + rng.uniform(0.1, 0.6))


def cycle(rng: Rng, frames: int) -> Posing:
    """The feet go round on pedals, or push in turn, below a body that sits upright, bent to the bars, or leans back."""
    pose = standing(rng, frames)
    lying = rng.random() < 0.35
    crank = rng.uniform(0.14, 0.19)
    height, ahead = (
        (rng.uniform(-0.4, 0.05), rng.uniform(0.5, 0.68))
        if lying
        else (rng.uniform(-0.74, -0.58), rng.uniform(0.05, 0.32))
    )
    seat = rng.uniform(0.5, 0.75) if lying else rng.uniform(0.9, 1.1)
    pose.pelvis[:, 1] = seat
    round_ = 2 * np.pi * turns(rng, frames, (0.6, 1.9))
    flat = rng.uniform(0.1, 0.5) if rng.random() < 0.2 else 1.0
    for k in (0, 1):
        angle = round_ + np.pi * k
        pose.feet[:, k] = np.stack(
            [
                np.full(frames, OUT[k] * rng.uniform(0.08, 0.14)),
                seat + height + 0.08 + crank * flat * np.cos(angle),
                ahead + crank * np.sin(angle),
            ],
            -1,
        )
    pose.pelvis[:, 0] += rng.uniform(0, 0.02) * np.sin(round_)
    lean = rng.uniform(-0.7, 0.0) if lying else rng.uniform(0.05, 1.15)
    pose = _trunk(pose, lean + 0.02 * np.sin(2 * round_), hips=0.8)
    if lying and rng.random() < 0.5:
        hands = _both(rng, frames, (-0.02, 0.1), (-0.48, -0.35), (0.0, 0.2))
    else:
        hands = _both(rng, frames, (-0.1, 0.1), (-0.4, -0.1), (0.25, 0.46))
    if rng.random() < 0.25:
        swing = rng.uniform(0.05, 0.14) * np.sin(round_)
        hands[..., 2] += swing[:, None] * OUT - 0.08
    toes = np.zeros((frames, 2, 3)) + ((0, 0.6, 0.8) if lying else (0, -0.2, 1))
    return replace(pose, hands=hands, toes=toes, nod=np.full(frames, -0.6 * lean + rng.normal(0, 0.15)))


def ride_a_segway(rng: Rng, frames: int) -> Posing:
    """Stands and glides, the hands on a bar before the belly; now and then one leaves it."""
    pose = standing(rng, frames)
    pose.feet[..., 0] = OUT * rng.uniform(0.12, 0.28)
    pose.pelvis[:, 1] -= rng.uniform(0.0, 0.04) + 0.01 * np.abs(lasting(rng, (frames,), 1.0))
    lean = rng.uniform(-0.05, 0.2) + 0.06 * lasting(rng, (frames,), 0.5)
    pose.pelvis[:, 2] += 0.4 * lean
    pose = _trunk(pose, lean, twist=0.1 * lasting(rng, (frames,), 0.4))
    hands = _both(rng, frames, (-0.12, 0.08), (-0.42, -0.24), (0.2, 0.38))
    if rng.random() < 0.3:
        off, side = lasting(rng, (frames,), 0.4) > 0.7, int(rng.integers(2))
        hands[off, side] += rng.normal(0, 0.2, 3) * (0.5, 1, 0.5) + (0, 0.1, -0.1)
        hands[:, side] = _smooth(hands[:, side])
    path, heading = _ride(rng, frames, (0.0, 4.5))
    return _gone(replace(pose, hands=hands, nod=pose.nod + 0.1 * lasting(rng, (frames,), 0.4)), path, heading)


def tennis_swing(rng: Rng, frames: int) -> Posing:
    """Forehand, backhand or serve: back, through and over to the other side."""
    pose = standing(rng, frames)
    when = np.linspace(0, 1, frames)
    hit = rng.uniform(0.4, 0.65)
    at = np.array([0.0, hit - rng.uniform(0.2, 0.32), hit, hit + rng.uniform(0.12, 0.25), 1.0])
    kind = rng.choice(3, p=(0.55, 0.25, 0.2))
    ready, way = (0.15, -0.3, 0.3), 1 if kind != 1 else -1
    if kind == 0:
        keys = [
            ready,
            (-0.35, rng.uniform(-0.25, 0.15), -0.25),
            (-0.15, rng.uniform(-0.35, 0.0), 0.45),
            (0.4, rng.uniform(-0.1, 0.2), 0.25),
            ready,
        ]
    elif kind == 1:
        keys = [
            ready,
            (0.42, rng.uniform(-0.35, -0.1), 0.1),
            (0.1, rng.uniform(-0.3, 0.0), 0.45),
            (-0.35, rng.uniform(-0.1, 0.25), 0.2),
            ready,
        ]
    else:
        keys = [ready, (-0.2, 0.05, -0.2), (0.0, 0.48, 0.1), (0.35, -0.35, 0.25), ready]
    right = between(np.array(keys) + rng.normal(0, 0.05, (5, 3)), at, when)
    free = (0.1, 0.42, 0.2) if kind == 2 else (0.1, -0.1, 0.4)
    left = between(
        np.array([(-0.1, -0.3, 0.3), free, (0.15, -0.3, 0.15), (0.1, -0.3, 0.1), (-0.1, -0.3, 0.3)]), at, when
    )
    if kind == 1 and rng.random() < 0.5:
        left = right + (-0.3, 0.0, 0.03)
    size = rng.uniform(0.6, 1.2)
    twist = between(np.array([0, -1.0 * way, 0.1, 0.8 * way, 0.0]) * size, at, when)
    low = rng.uniform(0.03, 0.18)
    pose.pelvis[:, 1] -= between(np.array([0.6, 1.0, 0.6, 0.3, 0.6]) * low, at, when)
    step = between(np.array([0, 0, 1.0, 1.0, 0.3]), at, when) * rng.uniform(0, 0.35)
    pose.feet[..., 0] = OUT * rng.uniform(0.15, 0.35)
    pose.feet[:, 0, 2] += step
    pose.pelvis[:, 2] += 0.5 * step
    pose = _trunk(pose, rng.uniform(0.0, 0.35), hips=0.6, twist=twist)
    return replace(pose, hands=np.stack([left, right], 1), nod=pose.nod + 0.1)


def basketball(rng: Rng, frames: int) -> Posing:
    """Dribbles, or holds and passes the ball with both hands, on the spot or on the way; throws now and then."""
    pace = 0.0 if rng.random() < 0.4 else rng.uniform(0.6, 4.0)
    pose = _walking(rng, frames, pace)
    pose.pelvis[:, 1] -= rng.uniform(0.02, 0.2)
    pose = _trunk(pose, rng.uniform(0.1, 0.7), twist=rng.normal(0, 0.2) + 0.1 * lasting(rng, (frames,), 1.0))
    hands = _dribbling(rng, frames) if rng.random() < 0.65 else _passing(rng, frames)
    if frames > 40 and rng.random() < 0.5:
        at = rng.uniform(0.4, 0.85) * frames
        shot = np.exp(-(((np.arange(frames) - at) / 7) ** 2))
        up = np.array([(-0.12, 0.42, 0.2), (0.1, 0.46, 0.15)])
        hands += (up - hands) * shot[:, None, None]
        jump = rng.uniform(0, 0.4) * np.exp(-(((np.arange(frames) - at) / 4) ** 2))
        pose.pelvis[:, 1] += jump
        pose.feet[..., 1] += jump[:, None]
        pose = replace(pose, chest=pose.chest @ pitched(-0.4 * shot))
    path, heading = _ride(rng, frames, (pace, pace + 0.01))
    return _gone(replace(pose, hands=hands, nod=pose.nod + rng.uniform(-0.2, 0.3)), path, heading)


def _dribbling(rng: Rng, frames: int) -> ndarray:
    """The right hand drives a ball to the floor, the left one is in the way of others."""
    down = wave(turns(rng, frames, (1.0, 2.4)))
    hands = _both(rng, frames, (0.0, 0.15), (-0.4, -0.2), (0.1, 0.3)) + 0.04 * lasting(rng, (frames, 2, 3), 1.2)
    low, high = rng.uniform(-0.49, -0.38), rng.uniform(-0.3, -0.1)
    side, ahead = rng.uniform(-0.2, 0.05), rng.uniform(0.05, 0.35)
    hands[:, 1] = np.stack([np.full(frames, side), high + (low - high) * down, np.full(frames, ahead)], -1)
    return hands


def _passing(rng: Rng, frames: int) -> ndarray:
    """A ball between both hands, held here and there before the body, drawn in and pushed away."""
    count = max(3, round(frames / FPS * rng.uniform(0.6, 1.6)))
    middle = rng.uniform((-0.25, -0.4, 0.15), (0.25, 0.3, 0.45), (count, 3))
    apart = np.where(rng.random(count) < 0.3, 0.25, 0.05)
    keys = (
        middle[:, None] + np.array([[-0.17], [0.17]]) * (1, 0, 0) + np.stack([apart, -apart], 1)[..., None] * (1, 0, 0)
    )
    return between(keys, np.linspace(0, frames, count), np.arange(frames))


def waving(rng: Rng, frames: int) -> Posing:
    """A raised hand that swings, or is held up for a moment; rarely both hands."""
    pose = _anywhere(rng, frames)
    swing = rng.uniform(0.0, 0.3) * np.sin(2 * np.pi * turns(rng, frames, (1.0, 3.5)))
    held = between(np.array([0.3, 1.0, 1.0, 0.3]), np.array([0, 0.2, 0.8, 1.0]), np.linspace(0, 1, frames))
    if rng.random() < 0.6:
        held = np.ones(frames)
    for side in (0, 1) if rng.random() < 0.12 else (1,):
        x, y, z = rng.uniform(-0.05, 0.35), rng.uniform(-0.1, 0.45), rng.uniform(0.0, 0.4)
        raised = np.stack([OUT[side] * (x + swing), np.full(frames, y) - 0.2 * np.abs(swing), np.full(frames, z)], -1)
        pose.hands[:, side] += (raised - pose.hands[:, side]) * held[:, None]
    return pose


def lift_a_barbell(rng: Rng, frames: int) -> Posing:
    """A bar from the floor to the hips, on to the shoulders or above the head, or up to the chest from the hips."""
    pose = standing(rng, frames)
    when = np.arange(frames) / FPS
    wide = rng.uniform(-0.1, 0.25)
    rows = {"floor": (0.42, 1.1, -0.42, 0.2), "hips": (0.02, 0.1, -0.48, 0.1), "chest": (0.0, 0.0, -0.12, 0.15),
            "shoulders": (0.05, 0.0, -0.05, 0.15), "up": (0.03, 0.0, 0.48, 0.05)}  # fmt: skip
    plans = (
        ("hips", "chest"),
        ("floor", "hips"),
        ("floor", "hips", "shoulders"),
        ("floor", "shoulders", "up", "shoulders"),
        ("shoulders", "up"),
    )
    plan = plans[int(rng.choice(5, p=(0.3, 0.25, 0.15, 0.15, 0.15)))]
    period = rng.uniform(1.3, 3.5)
    count = max(1, round(frames / FPS / period))
    order = [*(plan * count), plan[0]]
    keys = between(np.array([rows[name] for name in order]), np.linspace(0, when[-1] + 1e-3, len(order)), when)
    pose.pelvis[:, 1] -= keys[:, 0]
    pose.pelvis[:, 2] -= 0.6 * keys[:, 0]
    pose.feet[..., 0] = OUT * rng.uniform(0.1, 0.28)
    pose = _trunk(pose, keys[:, 1] * rng.uniform(0.6, 1.0), hips=1.0)
    place = np.stack([np.full(frames, wide), keys[:, 2], keys[:, 3]], -1)
    return replace(
        pose,
        hands=np.stack([place, place * (-1, 1, 1)], 1),
        elbows=np.zeros((frames, 2, 3)) + np.stack([OUT, [0.2, 0.2], [0, 0]], -1),
    )


def stir(rng: Rng, frames: int) -> Posing:
    """One hand goes round before the belly; the other holds or rests."""
    pose = _anywhere(rng, frames)
    round_ = 2 * np.pi * turns(rng, frames, (0.8, 3.0))
    wide = rng.uniform(0.02, 0.1)
    hands = _both(rng, frames, (-0.15, 0.1), (-0.42, -0.2), (0.2, 0.4))
    hands[:, 1] += (0.0, rng.uniform(0.0, 0.12), 0.0)
    hands[:, 1] += np.stack([wide * np.cos(round_), 0 * round_, wide * rng.uniform(0.5, 1.2) * np.sin(round_)], -1)
    return replace(_trunk(pose, rng.uniform(0.0, 0.35)), hands=hands, nod=pose.nod + rng.uniform(0.1, 0.5))


def hula_hoop(rng: Rng, frames: int) -> Posing:
    """The hips go round; the arms are out of the way."""
    pose = standing(rng, frames)
    round_ = 2 * np.pi * turns(rng, frames, (1.0, 2.2))
    wide, deep = rng.uniform(0.02, 0.1), rng.uniform(0.04, 0.12)
    pose.pelvis[:] += np.stack([wide * np.cos(round_), 0 * round_ - 0.02, deep * np.sin(round_)], -1)
    pose = replace(pose, hips=leaning(-0.25 * np.sin(round_), 0.2 * np.cos(round_), 0.1 * np.sin(round_)))
    pose.feet[:, 0, 2] += rng.uniform(-0.2, 0.2)
    bent = rng.random() < 0.5
    hands = (
        _both(rng, frames, (0.0, 0.2), (-0.1, 0.15), (0.15, 0.3))
        if bent
        else _both(rng, frames, (0.25, 0.45), (-0.15, 0.3), (0.0, 0.2))
    )
    return replace(pose, hands=hands + 0.03 * np.stack([np.cos(round_), 0 * round_, np.sin(round_)], -1)[:, None])


def pull_up(rng: Rng, frames: int) -> Posing:
    """Hangs from a bar and draws the body up to it."""
    pose = standing(rng, frames)
    up = wave(np.linspace(0, max(1, round(frames / FPS / rng.uniform(1.2, 3.5))), frames)) * rng.uniform(0.25, 0.48)
    fold = rng.uniform(0, 0.35)
    base = STANDING + rng.uniform(0.1, 0.5)
    pose.pelvis[:, 1] = base + up
    pose.feet[..., 1] = (base + up - 0.88 + fold)[:, None]
    pose.feet[..., 2] -= fold + rng.uniform(-0.1, 0.05)
    hands = np.zeros((frames, 2, 3)) + (0, base + 0.396 + 0.49, 0.05)
    hands[..., 0] = OUT * rng.uniform(0.15, 0.4)
    pose = _trunk(pose, rng.uniform(-0.3, 0.1))
    return replace(
        pose, hands=hands, placed=True, elbows=np.zeros((frames, 2, 3)) + np.stack([OUT, [-1, -1], [-0.2, -0.2]], -1)
    )


def russian_twist(rng: Rng, frames: int) -> Posing:
    """Sits leaning back with bent knees and turns the joined hands from side to side."""
    pose = standing(rng, frames)
    side = np.sin(2 * np.pi * turns(rng, frames, (0.35, 1.3)))
    seat = rng.uniform(0.12, 0.18)
    pose.pelvis[:, 1] = seat
    foot = rng.uniform(0.08, 0.4)
    pose.feet[:] = np.stack([OUT * rng.uniform(0.05, 0.12), [foot, foot], [0.62, 0.62]], -1)
    pose = _trunk(pose, -rng.uniform(0.35, 0.9), hips=0.9, twist=rng.uniform(0.3, 0.9) * side)
    across, down = rng.uniform(0.05, 0.35), rng.uniform(-0.35, -0.15)
    middle = np.stack([across * side, np.full(frames, down) - 0.08 * np.abs(side), np.full(frames, 0.3)], -1)
    hands = np.stack([middle - (0.15, 0, 0), middle + (0.15, 0, 0)], 1)
    return replace(pose, hands=hands, nod=np.full(frames, 0.4))


def pommel_horse(rng: Rng, frames: int) -> Posing:
    """On straight arms, the closed legs circling about the horse."""
    pose = standing(rng, frames)
    round_ = 2 * np.pi * turns(rng, frames, (0.7, 1.3)) * rng.choice([-1, 1])
    top, out = rng.uniform(0.8, 1.1), rng.uniform(0.6, 0.8)
    ahead, side = np.sin(round_), np.cos(round_)
    pose.pelvis[:] = np.stack([0.25 * side, np.full(frames, top + 0.12), 0.25 * ahead], -1)
    legs = np.stack([out * side, np.full(frames, -rng.uniform(0.05, 0.45)), out * ahead], -1)
    pose.feet[:] = (pose.pelvis + legs)[:, None] + np.stack([OUT * 0.04, [0, 0], [0, 0]], -1)
    tilt = leaning(-0.7 * ahead, 0.7 * side, 0 * side)
    hands = np.zeros((frames, 2, 3)) + np.stack([OUT * 0.25, [top, top], [0.05, 0.05]], -1)
    hands[:, 0, 1] += 0.2 * wave(round_ / (2 * np.pi)) ** 4
    hands[:, 1, 1] += 0.2 * wave(round_ / (2 * np.pi) + 0.5) ** 4
    return replace(pose, hips=tilt @ leaning(0 * ahead, 0 * side, 0.5 * side), chest=tilt, hands=hands, placed=True)


def swim(rng: Rng, frames: int) -> Posing:
    """Crawl or breast stroke: lies in the water, the arms reach ahead and draw back, the legs kick."""
    height = rng.uniform(0.0, 0.35)
    pose = _prone(rng, frames, np.full(frames, 0.3))
    count = turns(rng, frames, (0.4, 1.1))
    steep = rng.uniform(-0.1, 0.6)
    crawl = rng.random() < 0.6
    roll = rng.uniform(0.2, 0.7) * np.sin(2 * np.pi * count) if crawl else 0 * count
    lean = np.pi / 2 - steep - (0 if crawl else 0.3 * wave(count))
    chest = pitched(np.broadcast_to(lean, frames)) @ leaning(0 * roll, 0 * roll, roll)
    pose.pelvis[:] = (0, 0.3 + height, 0)
    kick = 2 * np.pi * (count * 3 if crawl else count)
    hands = np.zeros((frames, 2, 3))
    for k in (0, 1):
        angle = 2 * np.pi * (count + (k / 2 if crawl else 0))
        beat = 0.1 * np.sin(kick + np.pi * k) if crawl else 0.2 * wave(count + 0.3)
        pose.feet[:, k] = pose.pelvis + np.stack(
            [
                np.full(frames, OUT[k] * 0.1) + (0 if crawl else OUT[k] * 0.5 * beat),
                -0.1 - 0.5 * steep + (beat if crawl else 0 * beat),
                -0.82 + (0 * beat if crawl else 1.5 * beat),
            ],
            -1,
        )
        ahead = np.stack(
            [
                OUT[k] * (0.05 + (0 * angle if crawl else 0.3 * wave(count))),
                0.42 * np.cos(angle) if crawl else 0.45 - 0.5 * wave(count),
                -0.4 * np.sin(angle) if crawl else np.full(frames, 0.15),
            ],
            -1,
        )
        hands[:, k] = ahead
    return replace(
        pose,
        chest=chest,
        hips=pitched(np.full(frames, np.pi / 2 - steep)),
        hands=hands,
        nod=np.full(frames, rng.uniform(-1.0, 0.0)),
    )


def idle(rng: Rng, frames: int) -> Posing:
    """Stands or sits about; the hands rest, or go from place to place as of somebody who talks or works with them."""
    pose = _anywhere(rng, frames)
    if rng.random() < 0.5:
        count = max(2, int(frames / FPS * rng.uniform(0.3, 1.5)))
        at = np.linspace(0, frames, count)
        places = rng.uniform((-0.2, -0.48, 0.0), (0.2, 0.05, 0.45), (count, 2, 3)) * np.stack([OUT, [1, 1], [1, 1]], -1)
        if rng.random() < 0.4:
            places[:, 0] = places[0, 0]
        pose = replace(pose, hands=between(places, at, np.arange(frames)))
    return _trunk(
        pose, rng.normal(0.05, 0.15), hips=0.3, twist=rng.normal(0, 0.15) + 0.06 * lasting(rng, (frames,), 0.4)
    )


def _anywhere(rng: Rng, frames: int) -> Posing:
    """Somebody who stands, sits, or walks slowly, with quiet arms."""
    chance = rng.random()
    if chance < 0.6:
        pose = standing(rng, frames)
        if rng.random() < 0.4:
            pose = replace(pose, hands=_both(rng, frames, (-0.2, 0.1), (-0.45, -0.15), (0.05, 0.3)))
        return pose
    if chance < 0.75:
        pose = _walking(rng, frames, rng.uniform(0.5, 1.3))
        path, heading = _ride(rng, frames, (0.5, 1.3))
        return _gone(pose, path, heading)
    pose = standing(rng, frames)
    pose.pelvis[:, 1] = rng.uniform(0.45, 0.65)
    pose.feet[..., 2] = rng.uniform(0.25, 0.55)
    return replace(pose, hands=_both(rng, frames, (-0.1, 0.1), (-0.46, -0.3), (0.1, 0.35)))


def _walking(rng: Rng, frames: int, pace: float) -> Posing:
    """Legs that walk or run at so many metres a second, on the spot; 0 stands."""
    pose = standing(rng, frames)
    if pace <= 0:
        return pose
    count = turns(rng, frames, (0.45 + 0.35 * pace**0.5, 0.55 + 0.45 * pace**0.5))
    stride = 0.5 * pace / (0.5 + 0.4 * pace**0.5)
    for k in (0, 1):
        phase = count + k / 2
        pose.feet[:, k, 2] += 0.5 * stride * np.sin(2 * np.pi * phase)
        pose.feet[:, k, 1] += (0.05 + 0.06 * pace) * np.cos(2 * np.pi * phase).clip(0)
    pose.pelvis[:, 1] += 0.02 * np.sin(4 * np.pi * count) - 0.03 - 0.015 * pace
    return pose


def _ride(rng: Rng, frames: int, pace: tuple[float, float]) -> tuple[ndarray, ndarray]:
    """(path on the floor, heading) of somebody who moves ahead, in curves and at a pace that changes slowly."""
    heading = np.cumsum(rng.uniform(0, 0.5) * lasting(rng, (frames,), 0.3)) / FPS
    speed = rng.uniform(*pace) * (1 + 0.3 * lasting(rng, (frames,), 0.3)).clip(0)
    steps = speed[:, None] * np.stack([np.sin(heading), np.cos(heading)], -1) / FPS
    return np.cumsum(steps, 0), heading


def _gone(pose: Posing, path: ndarray, heading: ndarray) -> Posing:
    """The pose carried along a path, turned by a heading."""
    none = np.zeros(len(heading))
    yaw = leaning(none, none, heading)
    place = np.stack([path[:, 0], none, path[:, 1]], -1)
    return replace(
        pose, pelvis=(yaw @ pose.pelvis[..., None])[..., 0] + place, hips=yaw @ pose.hips, chest=yaw @ pose.chest,
        feet=pose.feet @ yaw.swapaxes(-1, -2) + place[:, None], toes=pose.toes @ yaw.swapaxes(-1, -2),
    )  # fmt: skip


def _smooth(values: ndarray, frames: int = 5) -> ndarray:
    padded = np.concatenate([values[:1].repeat(frames, 0), values, values[-1:].repeat(frames, 0)])
    return np.stack(
        [np.convolve(column, np.ones(2 * frames + 1) / (2 * frames + 1), "valid") for column in padded.T], -1
    )


ACTIONS: Mapping[str | None, tuple[Action, tuple[float, float]]] = {
    "squat": (squat, (1.0, 6.0)),
    "plank": (plank, (1.5, 10.0)),
    "push-up": (push_up, (1.0, 8.0)),
    "jumping jacks": (jumping_jacks, (2.0, 8.0)),
    "jump rope": (jump_rope, (2.0, 10.0)),
    "football juggling": (football_juggling, (3.0, 10.0)),
    "cycle": (cycle, (3.0, 10.0)),
    "ride a segway": (ride_a_segway, (3.0, 10.0)),
    "tennis swing": (tennis_swing, (1.0, 3.0)),
    "basketball": (basketball, (2.5, 9.0)),
    "wave": (waving, (0.6, 4.0)),
    "lift a barbell": (lift_a_barbell, (1.5, 9.0)),
    "stir": (stir, (2.0, 8.0)),
    "hula hoop": (hula_hoop, (2.0, 9.0)),
    "pull-up": (pull_up, (1.5, 8.0)),
    "russian twist": (russian_twist, (1.5, 8.0)),
    "pommel horse": (pommel_horse, (2.0, 8.0)),
    "swim": (swim, (3.0, 10.0)),
    None: (idle, (2.0, 8.0)),
}
"""Classes and how many seconds they are done for; None: nothing of note."""
