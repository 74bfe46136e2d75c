"""How good is generated motion? Measures over embeddings, actions and joints; nothing here knows a network.

Embeddings are rows of L2-normalised vectors unless said otherwise. Every estimate carries its interval: `low`..`high`
is the 95 % percentile interval of a bootstrap over clips, and `spread` the half-width 1.96 sd / sqrt(repeats) over
repeated random pools that papers print, which is much narrower because it ignores which clips happened to be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

POOL = 32
TOPS = (1, 2, 3)
Rows = Float[ndarray, "clips dim"]


@dataclass(frozen=True)
class Estimate:
    """A mean with its bootstrap interval, the spread over repeated draws (0 where nothing is drawn) and its n."""

    value: float
    low: float
    high: float
    n: int
    spread: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Retrieval:
    """R-precision at `TOPS`: `micro` weighs clips equally, `macro` actions; `hits` is each clip's rate over draws."""

    micro: dict[int, Estimate]
    macro: dict[int, Estimate]
    hits: Float[ndarray, "clips tops"]
    pools: int


# -------------------------------------------------------------------------------------------------------- retrieval


def r_precision(
    motion: Rows, text: Rows, texts: Sequence[str], actions: Sequence[str], *, repeats: int = 20, seed: int = 0
) -> Retrieval:
    """How often a motion's own text is among the 1, 2, 3 nearest of a pool of 32 (Guo et al. 2022, motion to text).

    Row i of `motion` was made from (or belongs to) `texts[i]`, embedded as row i of `text`. Each repeat shuffles the
    clips into pools of exactly 32 and drops the last partial pool, because the pool size changes the measure.
    Identical texts are no competitors of one another: a text that repeats in the pool is right wherever it stands.
    """
    rng = np.random.default_rng(seed)
    draws = [rng.permutation(len(texts)) for _ in range(repeats)]
    return _pooled(1 - motion @ text.T, np.asarray(texts), np.asarray(actions), draws, seed)


def balanced_r_precision(
    motion: Rows, text: Rows, texts: Sequence[str], actions: Sequence[str], *, repeats: int = 50, seed: int = 0
) -> Retrieval:
    """`r_precision` where every repeat draws one clip of each action, so that no pool is full of the commonest one.

    Its `macro` weighs every action alike.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(np.asarray(actions) == action) for action in np.unique(actions)]
    draws = [rng.permutation([rng.choice(m) for m in members]) for _ in range(repeats)]
    return _pooled(1 - motion @ text.T, np.asarray(texts), np.asarray(actions), draws, seed)


def _pooled(
    distances: Float[ndarray, "clips clips"], texts: ndarray, actions: ndarray, draws: list[Int[ndarray, " drawn"]],
    seed: int,
) -> Retrieval:  # fmt: skip
    hits, seen = np.zeros((len(texts), len(TOPS))), np.zeros(len(texts))
    micro, macro, pools = [], [], 0
    for order in draws:
        used = order[: len(order) // POOL * POOL]
        if not len(used):
            raise ValueError(f"r-precision: {len(order)} clips do not fill one pool of {POOL}")
        pools += len(used) // POOL
        hit = np.concatenate([_pool_hits(distances, texts, pool) for pool in used.reshape(-1, POOL)])
        hits[used] += hit
        seen[used] += 1
        micro.append(hit.mean(0))
        macro.append(np.mean([hit[actions[used] == action].mean(0) for action in np.unique(actions[used])], axis=0))
    rates, kept = hits / np.maximum(seen, 1)[:, None], seen > 0
    return Retrieval(
        {top: _estimate(rates[kept, k], None, seed, [m[k] for m in micro]) for k, top in enumerate(TOPS)},
        {top: _estimate(rates[kept, k], actions[kept], seed, [m[k] for m in macro]) for k, top in enumerate(TOPS)},
        rates,
        pools,
    )


def _pool_hits(
    distances: Float[ndarray, "clips clips"], texts: ndarray, pool: Int[ndarray, " 32"]
) -> Bool[ndarray, "32 3"]:
    block = distances[np.ix_(pool, pool)]
    other = texts[pool][:, None] != texts[pool][None, :]
    rank = (other & (block <= np.diag(block)[:, None])).sum(1)  # a tie with another text counts against the motion
    return rank[:, None] < np.array(TOPS)


def _estimate(
    values: Float[ndarray, " clips"], actions: ndarray | None, seed: int, draws: Sequence[float] = ()
) -> Estimate:
    """Mean over clips (or over actions of the means over their clips) with a bootstrap inside each action."""
    rng = np.random.default_rng(seed)
    groups = [values] if actions is None else [values[actions == action] for action in np.unique(actions)]
    resampled = np.stack([rng.choice(group, (1000, len(group))).mean(1) for group in groups])
    low, high = np.percentile(resampled.mean(0), (2.5, 97.5))
    value = float(np.mean([group.mean() for group in groups]))
    spread = 1.96 * float(np.std(draws)) / len(draws) ** 0.5 if len(draws) else 0.0
    return Estimate(value, float(low), float(high), len(values), spread)


def accuracy(predicted: Sequence[str], actions: Sequence[str], *, seed: int = 0) -> tuple[Estimate, Estimate]:
    """Share of clips whose predicted action is the wanted one: micro (over clips) and macro (over actions)."""
    wanted = np.asarray(actions)
    right = (np.asarray(predicted) == wanted).astype(np.float64)
    return _estimate(right, None, seed), _estimate(right, wanted, seed)


# ----------------------------------------------------------------------------------------------------- distributions


def kid(
    generated: Rows, reference: Float[ndarray, "others dim"], *, size: int = 100, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Kernel inception distance x 1000: unbiased squared MMD with the kernel (x.y + 1)^3, mean and sd over subsets.

    Binkowski et al. 2018 scale x.y by 1/d for raw features; these are unit vectors, so the scale is 1. Unbiased,
    hence fit for a few hundred clips where a 256-d Frechet distance is mostly bias; it may be slightly negative.
    """
    rng = np.random.default_rng(seed)
    size = min(size, len(generated), len(reference))
    values = []
    for _ in range(subsets):
        x = generated[rng.choice(len(generated), size, replace=False)].astype(np.float64)
        y = reference[rng.choice(len(reference), size, replace=False)].astype(np.float64)
        values.append(mmd2(x, y))
    return 1000 * float(np.mean(values)), 1000 * float(np.std(values))


def kid_of_halves(reference: Rows, *, subsets: int = 100, seed: int = 0) -> tuple[float, float]:
    """What `kid` makes of two samples of one thing: mean and sd over random halves of the reference."""
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(reference)), 2) for _ in range(subsets)]
    values = [mmd2(reference[a].astype(np.float64), reference[b].astype(np.float64)) for a, b in halves]
    return 1000 * float(np.mean(values)), 1000 * float(np.std(values))


def mmd2(x: Float[ndarray, "n dim"], y: Float[ndarray, "m dim"]) -> float:
    """Unbiased squared maximum mean discrepancy of two samples under (x.y + 1)^3."""
    xx, yy, xy = ((a @ b.T + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (len(x) * (len(x) - 1)) + (yy.sum() - np.trace(yy)) / (len(y) * (len(y) - 1))
    return float(within - 2 * xy.mean())


def matching_distance(motion: Rows, text: Rows, *, seed: int = 0) -> Estimate:
    """Mean Euclidean distance of each motion to its own text ("MM-Dist")."""
    return _estimate(np.linalg.norm(motion - text, axis=1).astype(np.float64), None, seed)


def diversity(motion: Rows, *, pairs: int = 300, seed: int = 0) -> Estimate:
    """Mean distance of random pairs of clips; good is near the real clips' value, neither below nor above."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(motion), size=pairs)
    second = (first + rng.integers(1, len(motion), size=pairs)) % len(motion)
    return _estimate(np.linalg.norm(motion[first] - motion[second], axis=1).astype(np.float64), None, seed)


def multimodality(motion: Float[ndarray, "texts samples dim"], *, seed: int = 0) -> Estimate:
    """Mean distance between samples of one text, averaged over texts (all pairs; needs two samples a text)."""
    first, second = np.triu_indices(motion.shape[1], 1)
    gaps = np.linalg.norm(motion[:, first] - motion[:, second], axis=-1).mean(1)
    return _estimate(gaps.astype(np.float64), None, seed)


# ----------------------------------------------------------------------------------------------------------- copying


def nearest(
    queries: Rows, bank: Float[ndarray, "bank dim"], k: int = 1
) -> tuple[Int[ndarray, "clips k"], Float[ndarray, "clips k"]]:
    """Indices and Euclidean distances of the k nearest rows of a bank, nearest first."""
    similarity = queries @ bank.T
    k = min(k, len(bank))
    top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(similarity, top, 1), axis=1)
    top = np.take_along_axis(top, order, 1)
    cosine = np.take_along_axis(similarity, top, 1)
    return top, np.sqrt(np.maximum(2 - 2 * cosine, 0))


def pose_distance(
    query: Float[ndarray, "frames 22 3"], other: Float[ndarray, "others 22 3"], *, stride: int = 1
) -> float:
    """Mean joint distance, metres, of the best placement in time of the shorter pose sequence inside the longer.

    Every placement is tried, each compared at every `stride`-th frame. Poses are root-centred and un-yawed
    (`local_poses`), so travelling elsewhere does not hide a copy.
    """
    short, long = (query, other) if len(query) <= len(other) else (other, query)
    frames = np.arange(0, len(short), stride)
    placed = long[np.arange(len(long) - len(short) + 1)[:, None] + frames]
    return float(np.sqrt(np.square(placed - short[frames]).sum(-1)).mean((1, 2)).min())


def local_poses(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 22 3"]:
    """Joints relative to the pelvis's ground point, each frame turned to face +Z."""
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    angle = np.arctan2(across[:, 2], across[:, 0])
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, z = joints[..., 0] - joints[:, :1, 0], joints[..., 2] - joints[:, :1, 2]
    return np.stack((c * x + s * z, joints[..., 1], -s * x + c * z), -1).astype(joints.dtype)


# -------------------------------------------------------------------------------------------------------- kinematics

KINEMATICS: dict[str, str] = {
    "foot_skate": "m/s",
    "foot_skate_soft": "m/s",
    "penetration": "mm",
    "floating": "mm",
    "jerk": "m/s3",
    "peak_jerk": "m/s3",
    "bone_drift": "mm",
}
"""Kinematic measures and their units."""
TOE_CLEARANCE = 0.025
"""Metres from the open body's sole up to its toe joint: a sole on y = 0 neither penetrates nor floats."""
RESOLUTION: dict[str, float] = {"penetration": 1.0, "floating": 1.0, "bone_drift": 0.1}
"""Values below this (millimetres) cannot be seen; ratios take both sides as at least this much."""


def kinematics(joints: Float[ndarray, "frames 22 3"], fps: float) -> dict[str, float]:
    """The `KINEMATICS` of one clip (Y up, floor at y = 0). Compare clips of one frame rate only: jerk depends on it."""
    import torch

    from models import objectives

    clip = torch.from_numpy(np.asarray(joints, np.float64))
    values = {
        "foot_skate": objectives.foot_skate(clip, fps),
        "foot_skate_soft": objectives.foot_skate_soft(clip, fps),
        "penetration": 1000 * objectives.floor_penetration(clip, clearance=TOE_CLEARANCE),
        "floating": 1000 * objectives.floating(clip, clearance=TOE_CLEARANCE),
        "jerk": objectives.jerk(clip, fps),
        "peak_jerk": objectives.peak_jerk(clip, fps),
        "bone_drift": 1000 * objectives.bone_length_drift(clip),
    }
    return {name: float(value) for name, value in values.items()}


@dataclass(frozen=True)
class Ratio:
    """Generated against captured clips of the same actions; `ratio` is None where the reference is nothing at all.

    Both sides of the ratio count as at least the measure's `RESOLUTION`.
    """

    generated: float
    reference: float
    ratio: float | None
    clips: int
    captured: int


def kinematic_ratios(
    generated: Sequence[dict[str, float]], actions: Sequence[str], captured: Mapping[str, Sequence[dict[str, float]]]
) -> dict[str, dict[str, Ratio]]:
    """{action: {measure: Ratio}} of mean values, and under "all" the mean over the clips of every action.

    Every generated clip of "all" is set against the mean of the captured clips of its own action; actions without a
    captured clip are left out. `captured` maps an action to the `kinematics` of its reference clips.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for values, action in zip(generated, actions, strict=True):
        if captured.get(action):
            groups.setdefault(action, []).append(values)
    table: dict[str, dict[str, Ratio]] = {}
    for action, clips in sorted(groups.items()):
        table[action] = {name: _ratio(name, _means(clips, name), _means(captured[action], name)) for name in KINEMATICS}
    if groups:
        table["all"] = {name: _overall(name, [table[action][name] for action in groups]) for name in KINEMATICS}
    return table


def _means(clips: Sequence[dict[str, float]], name: str) -> tuple[float, int]:
    return float(np.mean([clip[name] for clip in clips])), len(clips)


def _ratio(name: str, generated: tuple[float, int], reference: tuple[float, int]) -> Ratio:
    least = RESOLUTION.get(name, 0.0)
    ratio = max(generated[0], least) / max(reference[0], least) if max(reference[0], least) > 1e-6 else None
    return Ratio(generated[0], reference[0], ratio, generated[1], reference[1])


def _overall(name: str, parts: Sequence[Ratio]) -> Ratio:
    clips = sum(part.clips for part in parts)
    generated = sum(part.generated * part.clips for part in parts) / clips
    reference = sum(part.reference * part.clips for part in parts) / clips
    return _ratio(name, (generated, clips), (reference, sum(part.captured for part in parts)))
